/*
 * supervisor/own_files.c
 *	  The files in a data directory that belong to this server and not to the data.
 *
 * See own_files.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aside.h"
#include "files.h"
#include "holders.h"
#include "own_files.h"

/* Larger ones are no configuration. */
#define LARGEST (16 * 1024 * 1024)

#define KEPT ".pg_leader_own"

/* While they are kept by a rewind that runs: locked by it, and by pg_rewind itself. */
static int kept_fd = -1;

bool
own_files_is(const char *name)
{
	static const char *const postgres_own[] = {
		"PG_VERSION", "backup_label", "backup_label.old", "tablespace_map", "tablespace_map.old", "backup_manifest",
		"standby.signal", "recovery.signal", "promote", "logrotate", "postmaster.pid", "postmaster.opts", "current_logfiles",
		"current_logfiles.tmp", "core"};

	for (size_t i = 0; i < lengthof(postgres_own); i++)
	{
		if (strcmp(name, postgres_own[i]) == 0)
			return false;
	}
	return !aside_is_ours(name);
}

static bool
copy_link(const char *from, const char *to, Words *words)
{
	char	target[STORE_PATH_SIZE];
	ssize_t length = readlink(from, target, sizeof(target) - 1);

	if (length < 0)
		return files_fail(words, "", "read the link", from);
	target[length] = '\0';
	(void) unlink(to);
	return symlink(target, to) == 0 || files_fail(words, "", "create the link", to);
}

static bool
copy_one(const char *directory, const char *name, void *to, Words *words)
{
	char		source[STORE_PATH_SIZE];
	char		target[STORE_PATH_SIZE];
	struct stat kind;

	if (!own_files_is(name))
		return true;
	if (!files_join(source, directory, name) || !files_join(target, to, name))
		return words_set(words, "", "the path of \"%s\" is too long", name);
	if (lstat(source, &kind) != 0)
		return files_fail(words, "", "read the file", source);

	/* a link to a directory is one of PostgreSQL's, such as pg_wal */
	if (S_ISLNK(kind.st_mode) && !(stat(source, &kind) == 0 && S_ISDIR(kind.st_mode)))
		return copy_link(source, target, words);
	if (!S_ISREG(kind.st_mode) || kind.st_size > LARGEST)
		return true;
	return files_copy(source, target, LARGEST, words);
}

bool
own_files_copy(const char *from, const char *to, Words *words)
{
	return files_each(from, copy_one, (void *) to, words) && files_sync_directory(to, words);
}

static bool
find_kept(const char *data_directory, char *kept, char *made, Words *words)
{
	return (snprintf(kept, STORE_PATH_SIZE, "%s" KEPT, data_directory) < STORE_PATH_SIZE &&
			snprintf(made, STORE_PATH_SIZE, "%s" KEPT ".new", data_directory) < STORE_PATH_SIZE) ||
		   words_set(words, "", "the path of the data directory is too long");
}

/* Not for long: whoever has it is ending, or runs. */
static bool
lock_kept(const char *kept, Words *words)
{
	if (kept_fd >= 0)
		return true;
	kept_fd = open(kept, O_RDONLY | O_DIRECTORY); /* inherited by pg_rewind */
	if (kept_fd < 0)
		return files_fail(words, "", "open the directory", kept);
	if (holders_lock(kept_fd, false, NULL))
		return true;
	(void) close(kept_fd);
	kept_fd = -1;
	return words_set(words, "A member has one supervisor. Stop the other one first.", "the data directory is being rewound by another supervisor");
}

static void
unlock_kept(void)
{
	if (kept_fd >= 0)
		(void) close(kept_fd);
	kept_fd = -1;
}

bool
own_files_keep(const char *data_directory, Words *words)
{
	char kept[STORE_PATH_SIZE];
	char made[STORE_PATH_SIZE];

	if (!find_kept(data_directory, kept, made, words))
		return false;
	if (files_exists(kept))
		return lock_kept(kept, words);
	if (!files_remove_tree(made, words))
		return false;
	if (mkdir(made, S_IRWXU) != 0)
		return files_fail(words, "", "create the directory", made);
	if (!own_files_copy(data_directory, made, words))
		return false;

	/* locked before anybody finds it, else another supervisor could put it back at once */
	return lock_kept(made, words) && files_rename(made, kept, words);
}

bool
own_files_put_back(const char *data_directory, Words *words)
{
	char kept[STORE_PATH_SIZE];
	char made[STORE_PATH_SIZE];
	bool good;

	words_clear(words);
	if (!find_kept(data_directory, kept, made, words) || !files_exists(kept))
		return words->error[0] == '\0';
	if (!lock_kept(kept, words))
		return false;
	if (!files_exists(kept))
	{
		/* whoever had it has put it back, and removed it */
		unlock_kept();
		return true;
	}
	if (!own_files_copy(kept, data_directory, words))
		return false;

	/* what is removed in part is not put back once more */
	good = files_remove_tree(made, words) && files_rename(kept, made, words) && files_remove_tree(made, words);
	unlock_kept();
	return good;
}

bool
own_files_are_kept(const char *data_directory)
{
	char  kept[STORE_PATH_SIZE];
	char  made[STORE_PATH_SIZE];
	Words words;

	words_clear(&words);
	return find_kept(data_directory, kept, made, &words) && files_exists(kept);
}

bool
own_files_are_left(const char *data_directory)
{
	char  kept[STORE_PATH_SIZE];
	char  made[STORE_PATH_SIZE];
	Words words;

	words_clear(&words);
	return find_kept(data_directory, kept, made, &words) && files_exists(made);
}

bool
own_files_clean(const char *data_directory, Words *words)
{
	char kept[STORE_PATH_SIZE];
	char made[STORE_PATH_SIZE];

	return find_kept(data_directory, kept, made, words) && files_remove_tree(made, words);
}
