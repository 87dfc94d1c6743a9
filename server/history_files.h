/*
 * server/history_files.h
 *	  Makes and removes files of timelines in pg_wal, so that a crash cannot undo it.
 *
 * Called by the startup process, the role worker, and the postmaster before it starts that.
 * Does not raise errors, and decides nothing.
 */
#ifndef PG_LEADER_HISTORY_FILES_H
#define PG_LEADER_HISTORY_FILES_H

#include "../node/words.h"
#include "../primary/histories.h"

/*
 * A history file that says nothing for each id of promotion_burns().  They are on disk then, also
 * with fsync = off.  *n is how many were made.  false: words say what failed; some may be there.
 */
extern bool history_files_burn(const Histories *histories, uint32_t claim, uint32_t *n, Words *words);

/* Remove the history file of a timeline, or all its segments.  Durable after _sync(). */
extern bool history_files_remove(uint32_t timeline, Words *words);
extern bool history_files_remove_wal(uint32_t timeline, Words *words);
extern bool history_files_sync(Words *words);

#endif /* PG_LEADER_HISTORY_FILES_H */
