/*
 * keep/clone.h
 *	  A directory that is the same as another one, and can be written without changing that one.
 *
 * Three ways, fastest first: by reflinks, where the file system has them (btrfs, XFS); by an
 * overlay, which only this process and what it starts can see; by a copy.  Called by opened.c.
 */
#ifndef PG_LEADER_CLONE_H
#define PG_LEADER_CLONE_H

#include <stdbool.h>
#include <stdint.h>

#include "../node/words.h"

typedef enum CloneMethod
{
	CLONE_ANY = 0, /* the fastest that works here */
	CLONE_REFLINK,
	CLONE_OVERLAY,
	CLONE_COPY
} CloneMethod;

extern const char *clone_name(CloneMethod method);

/* By its name; CLONE_ANY: there is none of that name. */
extern CloneMethod clone_method(const char *name);

/* Can a file of "from" be cloned to the directory "to" by reflinks? */
extern bool clone_has_reflinks(const char *from, const char *to);

/*
 * Can a directory below that one be the upper layer of an overlay over "lower"?  Tried in another
 * process, so nothing is mounted here.
 */
extern bool clone_has_overlays(const char *lower, const char *directory);

/* All of a directory as another one, which must not exist: CLONE_REFLINK or CLONE_COPY.  Not flushed. */
extern bool clone_tree(CloneMethod method, const char *from, const char *to, Words *words);

/* All of a tree on disk, by writing its file system: of many files that takes less time than one after the other. */
extern bool clone_flush(const char *path, Words *words);

/*
 * directory/data shows "lower", and what is written there goes to directory/upper; directory/overlay is the
 * kernel's own.  These three must be there.  This process gets name spaces of its own for it (once),
 * which end with the last process in them, and so does the mount.  It must have no threads.
 */
extern bool clone_mount(const char *lower, const char *directory, Words *words);

/* The end of that, in this process. */
extern void clone_unmount(const char *directory);

/* What a tree takes on disk, bytes. */
extern uint64_t clone_size(const char *path);

#endif /* PG_LEADER_CLONE_H */
