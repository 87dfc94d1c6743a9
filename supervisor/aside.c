/*
 * supervisor/aside.c
 *	  The place beside a data directory where a clone is made, and how it takes the
 *	  directory's place when it is whole.
 *
 * See aside.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_utils.h"

#include "aside.h"
#include "files.h"
#include "own_files.h"
#include "tablespaces.h"

#define CLONE	"pg_leader_clone"
#define OLD		"pg_leader_old"
#define PARTIAL OLD ".partial"

#define CONTROL_DIRECTORY "global" /* it has pg_control, so it moves first and last */

bool
aside_is_ours(const char *name)
{
	return strncmp(name, ".pg_leader_", strlen(".pg_leader_")) == 0;
}

/* Beside the directory, where both are of one file system and its parent can be written. */
static bool
is_beside(const char *directory)
{
	char		parent[STORE_PATH_SIZE];
	struct stat here;
	struct stat there;

	return files_join(parent, directory, "..") && stat(directory, &here) == 0 && stat(parent, &there) == 0 &&
		   here.st_dev == there.st_dev && access(parent, W_OK | X_OK) == 0;
}

bool
aside_find(Aside *aside, const char *data_directory, const char *state_directory, int node_id, Words *words)
{
	const char *between = is_beside(data_directory) ? "." : "/.";
	int			size = STORE_PATH_SIZE;

	if (snprintf(aside->directory, STORE_PATH_SIZE, "%s", data_directory) >= size ||
		snprintf(aside->clone, STORE_PATH_SIZE, "%s%s" CLONE, data_directory, between) >= size ||
		snprintf(aside->old, STORE_PATH_SIZE, "%s%s" OLD, data_directory, between) >= size ||
		snprintf(aside->partial, STORE_PATH_SIZE, "%s%s" PARTIAL, data_directory, between) >= size ||
		snprintf(aside->mark, STORE_PATH_SIZE, "%s/node-%d.copy", state_directory, node_id) >= size ||
		snprintf(aside->places, STORE_PATH_SIZE, "%s/node-%d.tablespaces", state_directory, node_id) >= size)
		return words_set(words, "", "the path of the data directory is too long");
	return true;
}

/* ---- the mark ---- */

/* false: it has no such directory. */
static bool
name_of(const char *directory, char *name, size_t size)
{
	char		path[STORE_PATH_SIZE];
	struct stat control;

	if (!files_join(path, directory, CONTROL_DIRECTORY) || stat(path, &control) != 0)
		return false;
	(void) snprintf(name, size, "%" PRIu64 " %" PRIu64 "\n", (uint64_t) control.st_dev, (uint64_t) control.st_ino);
	return true;
}

AsideState
aside_state(const Aside *aside)
{
	char marked[64];
	char name[64];

	if (files_read(aside->mark, marked, sizeof(marked)) <= 0)
		return ASIDE_NOTHING;
	if (name_of(aside->directory, name, sizeof(name)) && strcmp(name, marked) == 0)
		return files_exists(aside->old) && files_exists(aside->clone) ? ASIDE_WHOLE : ASIDE_IN_PLACE;
	if (name_of(aside->clone, name, sizeof(name)) && strcmp(name, marked) == 0)
		return ASIDE_WHOLE;
	return ASIDE_NOTHING;
}

bool
aside_mark(const Aside *aside, const char *directory, Words *words)
{
	char name[64];

	return name_of(directory, name, sizeof(name)) ? files_write(aside->mark, name, words) :
													files_fail(words, "", "find \"" CONTROL_DIRECTORY "\" of", directory);
}

/* Empty: not known. */
static void
name_of_boot(char *name, size_t size)
{
	char boot[48];

	name[0] = '\0';
	if (files_read("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) > 0)
		(void) snprintf(name, size, "boot %s", boot);
}

bool
aside_begin_rewind(const Aside *aside, Words *words)
{
	char name[64];

	name_of_boot(name, sizeof(name));
	return files_write(aside->mark, name, words);
}

bool
aside_is_same_boot(const Aside *aside)
{
	char marked[64];
	char name[64];

	name_of_boot(name, sizeof(name));
	return name[0] != '\0' && files_read(aside->mark, marked, sizeof(marked)) > 0 && strcmp(marked, name) == 0;
}

bool
aside_forget(const Aside *aside, Words *words)
{
	return unlink(aside->mark) == 0 ? fsync_parent_path(aside->mark) == 0 || files_fail(words, "", "write the directory of", aside->mark) :
									  errno == ENOENT || files_fail(words, "", "remove the file", aside->mark);
}

/* ---- taking the directory's place ---- */

static bool
move(const char *from, const char *to, const char *name, Words *words)
{
	char source[STORE_PATH_SIZE];
	char target[STORE_PATH_SIZE];

	if (!files_join(source, from, name) || !files_join(target, to, name))
		return words_set(words, "", "the path of \"%s\" is too long", name);
	return rename(source, target) == 0 || errno == ENOENT || files_fail(words, "", "move", source);
}

/* Own files stay where they are: settings are read from there at any moment. */
static bool
move_away(const char *directory, const char *name, void *to, Words *words)
{
	if (aside_is_ours(name) || strcmp(name, "lost+found") == 0 || (own_files_is(name) && !files_is_directory(directory, name)))
		return true;
	return move(directory, to, name, words);
}

static bool
move_up(const char *directory, const char *name, void *to, Words *words)
{
	char there[STORE_PATH_SIZE];

	if (strcmp(name, CONTROL_DIRECTORY) == 0 || (files_join(there, to, name) && files_exists(there)))
		return true;
	return move(directory, to, name, words);
}

static bool
is_no_mount(const char *directory, const char *name, void *context, Words *words)
{
	(void) context;
	return !files_is_directory(directory, name) || !files_is_mount(directory, name) ||
		   words_set(words, "Mount the file system elsewhere, and let a symbolic link in the data directory lead to a directory in it.",
					 "\"%s/%s\" is a mount point, which a clone cannot take the place of", directory, name);
}

bool
aside_may_swap(const Aside *aside, Words *words)
{
	return !files_exists(aside->directory) || files_each(aside->directory, is_no_mount, NULL, words);
}

/* The old ones go first "global", which comes last: in between nobody takes that for a directory. */
static bool
swap_entries(const Aside *aside, Words *words)
{
	if (!files_exists(aside->old))
	{
		if (mkdir(aside->partial, S_IRWXU) != 0 && errno != EEXIST)
			return files_fail(words, "", "create the directory", aside->partial);
		if (!move(aside->directory, aside->partial, CONTROL_DIRECTORY, words) ||
			!files_sync_directory(aside->directory, words) ||
			!files_each(aside->directory, move_away, (void *) aside->partial, words) ||
			!files_sync_directory(aside->partial, words) || !files_sync_directory(aside->directory, words))
			return false;
		if (!files_rename(aside->partial, aside->old, words))
			return false;
	}
	return files_each(aside->clone, move_up, (void *) aside->directory, words) &&
		   files_sync_directory(aside->directory, words) &&
		   move(aside->clone, aside->directory, CONTROL_DIRECTORY, words) &&
		   files_sync_directory(aside->directory, words) && files_remove_tree(aside->clone, words);
}

bool
aside_swap(const Aside *aside, Words *words)
{
	bool has_begun = files_exists(aside->partial) || files_exists(aside->old);

	if (!has_begun && renameat2(AT_FDCWD, aside->clone, AT_FDCWD, aside->directory, RENAME_EXCHANGE) == 0)
		return fsync_parent_path(aside->directory) == 0 || files_fail(words, "", "write the directory of", aside->directory);
	if (!has_begun && errno != EINVAL && errno != EBUSY && errno != ENOSYS && errno != EXDEV && errno != EACCES && errno != EPERM)
		return files_fail(words, "", "put the clone in the place of", aside->directory);
	return swap_entries(aside, words);
}

/* ---- afterwards ---- */

bool
aside_has_leftovers(const Aside *aside)
{
	return files_exists(aside->clone) || files_exists(aside->old) || files_exists(aside->partial) || files_exists(aside->mark) ||
		   files_exists(aside->places);
}

static bool
remove_one(const Aside *aside, const char *path, Words *words)
{
	return tablespaces_remove_unused(path, aside->directory, words) && files_remove_tree(path, words);
}

bool
aside_clean(const Aside *aside, Words *words)
{
	return aside_forget(aside, words) && remove_one(aside, aside->clone, words) &&
		   remove_one(aside, aside->old, words) && remove_one(aside, aside->partial, words) &&
		   tablespaces_remove_listed(aside->places, aside->directory, words);
}

static bool
sync_one(const char *path, Words *words)
{
	int	 fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && syncfs(fd) == 0;

	if (!good)
		(void) files_fail(words, "", "write to disk", path);
	if (fd >= 0)
		(void) close(fd);
	return good;
}

static bool
sync_entry(const char *directory, const char *name, void *context, Words *words)
{
	char path[STORE_PATH_SIZE];

	(void) context;
	return !files_join(path, directory, name) || sync_one(path, words);
}

bool
aside_sync(const char *directory, Words *words)
{
	char tablespaces[STORE_PATH_SIZE];
	char wal[STORE_PATH_SIZE];

	return files_join(tablespaces, directory, "pg_tblspc") && files_join(wal, directory, "pg_wal") && sync_one(directory, words) &&
		   sync_one(wal, words) && files_each(tablespaces, sync_entry, NULL, words);
}
