/*
 * supervisor/tablespaces.c
 *	  Where the tablespaces of a clone go, and its WAL if that lies elsewhere.
 *
 * See tablespaces.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/relpath.h"

#include "files.h"
#include "tablespaces.h"

#define MOST_PLACES 100

/* Between a path and the numbers of a place beside it: the member's, so that no other one takes it, and one more. */
#define BESIDE ".pg_leader_"

#define LIST_SIZE 65536

static bool
count(const char *directory, const char *name, void *n, Words *words)
{
	(void) directory;
	(void) name;
	(void) words;
	++*(int *) n;
	return true;
}

/* 1: it is there and empty, or was made; 0: it is in use; -1: words say what is wrong. */
static int
take_place(const char *path, Words *words)
{
	int n = 0;

	if (mkdir(path, S_IRWXU) == 0)
		return 1;
	if (errno != EEXIST)
		return files_fail(words, "Create its parent directory, which the user that runs the server can write.", "create the directory", path) - 1;
	return files_each(path, count, &n, words) ? n == 0 : -1;
}

/* Of that path without what an earlier clone has added, so that it does not grow with each. */
static int
length_of_wanted(const char *wanted)
{
	int			length = (int) strlen(wanted);
	const char *beside = strstr(wanted, BESIDE);

	return beside != NULL && beside[strlen(BESIDE) + strspn(beside + strlen(BESIDE), "0123456789_")] == '\0' ? (int) (beside - wanted) : length;
}

bool
tablespaces_place(const char *wanted, int node_id, char *place, Words *words)
{
	int taken = 0;
	int wanted_length = length_of_wanted(wanted);

	for (int i = 0; i < MOST_PLACES && taken == 0; i++)
	{
		int length = i == 0 ? snprintf(place, STORE_PATH_SIZE, "%.*s", wanted_length, wanted) :
							  snprintf(place, STORE_PATH_SIZE, "%.*s" BESIDE "%d_%d", wanted_length, wanted, node_id, i);

		if (length >= STORE_PATH_SIZE)
			return words_set(words, "", "the path \"%s\" is too long", wanted);
		taken = take_place(place, words);
	}
	return taken > 0 || (taken < 0 ? false : words_set(words, "Remove the directories that are not used.", "there is no empty directory for \"%s\"", wanted));
}

/* What is removed, and the data directory that stays. */
typedef struct Removal
{
	const char *removed;
	const char *stays;
} Removal;

typedef struct Search
{
	const char *target; /* a real path */
	bool		found;
} Search;

/* Does that link lead to the target? */
static bool
compare_link(const char *directory, const char *name, void *context, Words *words)
{
	Search *search = context;
	char	path[STORE_PATH_SIZE];
	char	real[MAXPGPATH * 4];

	(void) words;
	if (files_join(path, directory, name) && realpath(path, real) != NULL)
		search->found |= strcmp(real, search->target) == 0;
	return true;
}

static bool
is_used_by(const char *target, const char *directory)
{
	Search search = {.target = target};
	char   tablespaces[STORE_PATH_SIZE];
	Words  words;

	if (!files_join(tablespaces, directory, "pg_tblspc"))
		return true;
	(void) compare_link(directory, "pg_wal", &search, &words);
	return search.found || (files_exists(tablespaces) && (!files_each(tablespaces, compare_link, &search, &words) || search.found));
}

/*
 * By a server that runs on this machine, whatever it is a member of: a standby that has replayed CREATE
 * TABLESPACE beside its primary has a link to the primary's own.  "Without" is the directory that is removed.
 */
static bool
is_used_by_server(const char *target, const char *without)
{
	DIR			  *processes = opendir("/proc");
	struct dirent *entry;
	struct stat	   removed = {0};
	struct stat	   kind;
	char		   directory[64];
	bool		   found = processes == NULL;

	if (without != NULL)
		(void) stat(without, &removed);
	while (!found && (entry = readdir(processes)) != NULL)
	{
		pid_t pid = (pid_t) atoi(entry->d_name);

		(void) snprintf(directory, sizeof(directory), "/proc/%d/cwd", (int) pid);
		found = pid > 0 && files_is_directory(directory, "pg_tblspc") && stat(directory, &kind) == 0 &&
				!(kind.st_dev == removed.st_dev && kind.st_ino == removed.st_ino) && is_used_by(target, directory);
	}
	if (processes != NULL)
		(void) closedir(processes);
	return found;
}

/* Only what is this major version's; whoever made the directory may keep it. */
static bool
remove_tablespace(const char *path, Words *words)
{
	char ours[STORE_PATH_SIZE];

	if (!files_join(ours, path, TABLESPACE_VERSION_DIRECTORY) || !files_remove_tree(ours, words))
		return false;
	(void) rmdir(path);
	return true;
}

static bool
remove_link(const char *directory, const char *name, void *context, Words *words)
{
	Removal	   *removal = context;
	char		path[STORE_PATH_SIZE];
	char		real[MAXPGPATH * 4];
	struct stat kind;

	if (!files_join(path, directory, name) || lstat(path, &kind) != 0 || !S_ISLNK(kind.st_mode) || realpath(path, real) == NULL ||
		is_used_by(real, removal->stays) || is_used_by_server(real, removal->removed))
		return true;
	return strcmp(name, "pg_wal") == 0 ? files_remove_tree(real, words) : remove_tablespace(real, words);
}

bool
tablespaces_remove_unused(const char *directory, const char *other, Words *words)
{
	char	tablespaces[STORE_PATH_SIZE];
	Removal removal = {.removed = directory, .stays = other};

	if (!files_join(tablespaces, directory, "pg_tblspc") || !files_exists(tablespaces))
		return true;
	return files_each(tablespaces, remove_link, &removal, words) && remove_link(directory, "pg_wal", &removal, words);
}

bool
tablespaces_remove_listed(const char *list, const char *other, Words *words)
{
	char  text[LIST_SIZE];
	char  real[MAXPGPATH * 4];
	char *next = NULL;

	if (files_read(list, text, sizeof(text)) < 0)
		return errno == ENOENT || files_fail(words, "", "read the file", list);
	for (char *path = strtok_r(text, "\n", &next); path != NULL; path = strtok_r(NULL, "\n", &next))
	{
		if (realpath(path, real) != NULL && !is_used_by(real, other) && !is_used_by_server(real, NULL) && !remove_tablespace(real, words))
			return false;
	}
	return unlink(list) == 0 || files_fail(words, "", "remove the file", list);
}
