/*
 * keep/snapshot.h
 *	  A restore point in the cluster's WAL, which the archive has: a state with a gid.
 *
 * Made on the leader, in a transaction that commits: it is answered when as many members as a commit
 * needs have flushed it, so that no later leader is without it.  Then the archive has to have it on its
 * disk.  All commits that were answered before are in that state.
 *
 * Called by snapshot and full_backup.
 */
#ifndef PG_LEADER_SNAPSHOT_H
#define PG_LEADER_SNAPSHOT_H

#include "gids.h"

/* Up to "until" of the clock; label may be empty.  The catalogue has it afterwards.  false: words. */
extern bool snapshot_make(Archive *archive, const char *label, uint64_t until, Gid *gid, Words *words);

#endif /* PG_LEADER_SNAPSHOT_H */
