/*
 * supervisor/files.h
 *	  Paths and files, with words for what fails.
 *
 * What libpgcommon has is used: fsync_parent_path(), rmtree().
 */
#ifndef PG_LEADER_FILES_H
#define PG_LEADER_FILES_H

#include <sys/types.h>

#include "../node/store.h"

/* Always false, with errno's words: could not "doing" "path". */
extern bool files_fail(Words *words, const char *hint, const char *doing, const char *path);

/* path: STORE_PATH_SIZE bytes.  false: it would be too long, and is empty. */
extern bool files_join(char *path, const char *directory, const char *name);

/* What a small file holds, as text.  -1: errno says why not. */
extern ssize_t files_read(const char *path, char *text, size_t size);

extern bool files_exists(const char *path);

/* Is that a directory, or a link to one? */
extern bool files_is_directory(const char *directory, const char *name);

/* Is another file system mounted there, or another part of this one? */
extern bool files_is_mount(const char *directory, const char *name);

/* Durably, and whole or not at all. */
extern bool files_write(const char *path, const char *text, Words *words);

/* A regular file of at most "most" bytes (0: any), with its mode; on disk.  Over what is there. */
extern bool files_copy(const char *from, const char *to, size_t most, Words *words);

/* A directory, or what there is of it, with all that is in it; of a link, only that. */
extern bool files_remove_tree(const char *path, Words *words);

extern bool files_sync_directory(const char *path, Words *words);

/* What is at "from" is on disk; the rename is when this has returned.  Both have one parent. */
extern bool files_rename(const char *from, const char *to, Words *words);

/* What is free on the disk of that path for us, bytes; UINT64_MAX: not known. */
extern uint64_t files_room(const char *path);

/*
 * Call "each" for the names in a directory, but for "." and "..", until it returns false.  The
 * names are read first, so it may move or remove them.
 */
extern bool files_each(const char *path, bool (*each)(const char *directory, const char *name, void *context, Words *words),
					   void *context, Words *words);

#endif /* PG_LEADER_FILES_H */
