/*
 * keep/opened.h
 *	  A state of the cluster as a directory with a server: a clone of a base backup, and an instance on it.
 *
 *	  <directory>/data		the data directory; of an overlay, where it is mounted
 *	  <directory>/upper		of an overlay: what was written
 *	  <directory>/overlay	of an overlay: the kernel's own
 *	  <directory>/about		what it is: read by opened_load()
 *
 * and the files of instance.h.  Called by restore, get_restored_path, del_restored and drill.
 */
#ifndef PG_LEADER_OPENED_H
#define PG_LEADER_OPENED_H

#include "clone.h"
#include "wanted.h"

typedef struct Opened
{
	Instance	instance;
	CloneMethod method;
	uint64_t	gid;
	uint64_t	base;
} Opened;

/*
 * Make it in a new directory, which is to be at "place" when it is started; "work" is where trials are made.
 * is_unsafe: it is thrown away soon.
 */
extern bool opened_make(const Archive *archive, const Wanted *wanted, CloneMethod method, const char *work, const char *directory, bool is_unsafe, Words *words);

/* What is at its place; false: words. */
extern bool opened_load(const Archive *archive, const char *place, Opened *opened, Words *words);

/* Start it; its instance is locked. */
extern InstanceEnd opened_start(Opened *opened, bool ends_with_us, uint64_t timeout, Words *words);

/* Remove it; nothing of it runs.  A directory that is incomplete, too, or does not exist. */
extern bool opened_remove(const char *directory, Words *words);

/* restored/r_<gid> */
extern void opened_place(const Archive *archive, uint64_t gid, char *path);

#endif /* PG_LEADER_OPENED_H */
