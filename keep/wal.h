/*
 * keep/wal.h
 *	  The archive's WAL on disk: writing segments, finding them, and cutting at a fork.
 *
 * Only whoever holds the lock "run" calls what changes something.
 */
#ifndef PG_LEADER_KEEP_WAL_H
#define PG_LEADER_KEEP_WAL_H

#include "archive.h"

/* The segment that is being written. */
typedef struct WalFile
{
	int		 fd; /* -1: none */
	uint32_t timeline;
	uint64_t segment;
	bool	 dirty; /* something was written that is not on disk */
} WalFile;

/* Nothing is open. */
extern void wal_init(WalFile *file);
extern void wal_close(WalFile *file);

/*
 * Write what follows, in whatever segments that is; a segment that is full is completed: on disk,
 * in the catalogue, and under its own name.  "at" is where these bytes begin; after wal_init() that is the
 * beginning of a segment.  *whole is where the last segment ends that was completed, and is left alone if none was.
 */
extern bool wal_write(Archive *archive, WalFile *file, uint32_t timeline, uint64_t at, const char *bytes, size_t length, uint64_t *whole, Words *words);

/* All that was written is on disk. */
extern bool wal_flush(WalFile *file, Words *words);

/* Store a history file, before any WAL of that timeline. */
extern bool wal_put_history(const Archive *archive, uint32_t timeline, const char *text, Words *words);

/* ---- looking ---- */

/* The timelines of which the archive has a directory, ascending; at most "most".  -1: words. */
extern int wal_timelines(const Archive *archive, uint32_t *timelines, int most, Words *words);

/* The segments of a timeline that are there; each is shown once, ascending, the partial one behind a complete one. */
typedef struct WalSegment
{
	uint64_t segment;
	bool	 partial;
} WalSegment;

/* To be freed; their number in *n.  NULL and *n = 0: there are none, or the directory is not there. */
extern WalSegment *wal_segments(const Archive *archive, uint32_t timeline, int *n);

/*
 * Where WAL is missing along the path, from state.begin up to the durable position: the first segment that
 * is neither complete nor the last of its timeline, with its timeline.  false: there is none.
 */
extern bool wal_find_hole(const Archive *archive, const Lineage *path, uint32_t *timeline, uint64_t *segment);

/* ---- cutting ---- */

/*
 * Cut off what is not on the path that leads on: into abandoned/, with a line in the catalogue for each
 * timeline.  It can be called again where it was interrupted.  *cuts: how many timelines were cut.
 */
extern bool wal_cut(Archive *archive, const Lineage *own, const Lineage *leads, int *cuts, Words *words);

#endif /* PG_LEADER_KEEP_WAL_H */
