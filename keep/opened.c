/*
 * keep/opened.c
 *	  A state of the cluster as a directory with a server.
 *
 * See opened.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "opened.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../supervisor/files.h"

/* What has to be free beside all else, bytes. */
#define SPARE_ROOM (UINT64_C(64) << 20)

#define ABOUT_SIZE 1024

void
opened_place(const Archive *archive, uint64_t gid, char *path)
{
	char name[48];

	(void) snprintf(name, sizeof(name), "restored/r_%" PRIu64, gid);
	archive_path(archive, name, path);
}

/* ---- making ---- */

static bool
choose_method(CloneMethod *method, const char *base, const char *work, Words *words)
{
	bool is_any = *method == CLONE_ANY;

	if (is_any || *method == CLONE_REFLINK)
	{
		if (clone_has_reflinks(base, work))
			*method = CLONE_REFLINK;
		else if (!is_any)
			return words_set(words, "Use another --method, or a file system that has them: btrfs or XFS.", "the file system of \"%s\" has no reflinks", work);
	}
	if (*method == CLONE_ANY)
		*method = clone_has_overlays(base, work) ? CLONE_OVERLAY : CLONE_COPY;
	return true;
}

/* Before anything is written. */
static bool
has_room(const Wanted *wanted, CloneMethod method, const char *base, const char *work, Words *words)
{
	uint64_t needed = wanted->gid.gid - wanted->base.redo + SPARE_ROOM;
	uint64_t room = files_room(work);

	if (method == CLONE_COPY)
		needed += clone_size(base);
	return room >= needed ||
		   words_set(words, "Make room there.", "there is no room to restore the state %" PRIu64 " by %s: it takes %" PRIu64 " MB, and %" PRIu64 " MB are free",
					 wanted->gid.gid, clone_name(method), needed >> 20, room >> 20);
}

static bool
make_folder(const char *directory, const char *name, Words *words)
{
	char path[STORE_PATH_SIZE];

	if (!files_join(path, directory, name))
		return words_set(words, "Use a shorter path for the archive.", "the path \"%s\" is too long", directory);
	return mkdir(path, S_IRWXU) == 0 || files_fail(words, "", "create the directory", path);
}

static bool
write_about(const Wanted *wanted, CloneMethod method, bool is_unsafe, const char *directory, Words *words)
{
	char text[ABOUT_SIZE];
	char path[STORE_PATH_SIZE];

	(void) snprintf(text, sizeof(text), "gid %" PRIu64 "\nbase %" PRIu64 "\nmethod %s\ntimeline %" PRIu32 "\nrecord %" PRIu64 "\nunsafe %d\nname %s\n",
					wanted->gid.gid, wanted->base.gid, clone_name(method), wanted->gid.timeline, wanted->gid.record, is_unsafe, wanted->gid.name);
	return files_join(path, directory, "about") && files_write(path, text, words);
}

/* It may be used for long, and survive a crash of the machine. */
static bool
make_durable(CloneMethod method, const char *directory, Words *words)
{
	if (method == CLONE_OVERLAY)
		return files_sync_directory(directory, words);
	return clone_flush(directory, words);
}

bool
opened_make(const Archive *archive, const Wanted *wanted, CloneMethod method, const char *work, const char *directory, bool is_unsafe, Words *words)
{
	char   base[STORE_PATH_SIZE];
	char   data[STORE_PATH_SIZE];
	Opened opened;
	bool   good;

	gids_base_path(archive, wanted->base.gid, "data", base);
	if (!choose_method(&method, base, work, words) || !has_room(wanted, method, base, work, words))
		return false;
	if (mkdir(directory, S_IRWXU) != 0)
		return files_fail(words, "", "create the directory", directory);
	if (method == CLONE_OVERLAY)
		good = make_folder(directory, "data", words) && make_folder(directory, "upper", words) && make_folder(directory, "overlay", words);
	else
		good = files_join(data, directory, "data") && clone_tree(method, base, data, words);
	return good && write_about(wanted, method, is_unsafe, directory, words) && opened_load(archive, directory, &opened, words) &&
		   instance_arm(&opened.instance, words) && (is_unsafe || make_durable(method, directory, words));
}

/* ---- loading and starting ---- */

bool
opened_load(const Archive *archive, const char *place, Opened *opened, Words *words)
{
	char		   path[STORE_PATH_SIZE];
	char		   text[ABOUT_SIZE];
	char		   method[16];
	InstanceTarget target = {.name = ""};
	int			   is_unsafe;

	memset(opened, 0, sizeof(*opened));
	if (!files_join(path, place, "about") || files_read(path, text, sizeof(text)) < 0)
		return files_fail(words, "", "read the file", path);

	/* the last may be empty */
	if (sscanf(text, "gid %" SCNu64 " base %" SCNu64 " method %15s timeline %" SCNu32 " record %" SCNu64 " unsafe %d name %63s", &opened->gid,
			   &opened->base, method, &target.timeline, &target.record, &is_unsafe, target.name) < 6)
		return words_set(words, "Remove that directory.", "the file \"%s\" cannot be read", path);
	opened->method = clone_method(method);
	target.is_unsafe = is_unsafe != 0;
	if (!instance_init(&opened->instance, archive, place, "data", opened->method == CLONE_OVERLAY ? "upper" : "data", words))
		return false;
	opened->instance.target = target;
	return true;
}

InstanceEnd
opened_start(Opened *opened, bool ends_with_us, uint64_t timeout, Words *words)
{
	char base[STORE_PATH_SIZE];

	gids_base_path(opened->instance.archive, opened->base, "data", base);
	if (opened->method == CLONE_OVERLAY && !clone_mount(base, opened->instance.directory, words))
		return INSTANCE_FAILED;
	return instance_open(&opened->instance, ends_with_us, timeout, words);
}

bool
opened_remove(const char *directory, Words *words)
{
	char path[STORE_PATH_SIZE];

	/* the kernel's own directory in there is nobody's to read */
	if (files_join(path, directory, "overlay/work"))
		(void) chmod(path, S_IRWXU);
	clone_unmount(directory);
	return files_remove_tree(directory, words);
}
