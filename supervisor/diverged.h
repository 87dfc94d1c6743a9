/*
 * supervisor/diverged.h
 *	  WAL that a rebuild is about to throw away: kept for the DBA, and described.
 *
 * A commit in it was answered to nobody, or was asked for without waiting; but somebody may want
 * to know what it was.  Called by the job's process, before the directory changes.
 */
#ifndef PG_LEADER_DIVERGED_H
#define PG_LEADER_DIVERGED_H

#include "../raft/raft.h"

#include "../node/words.h"

typedef struct Diverged
{
	const char	*programs;		 /* the directory of PostgreSQL's */
	const char	*data_directory; /* of a server that does not run */
	const char	*state_directory;
	int			 node_id;
	uint32_t	 timeline; /* the last one that there is WAL of */
	uint32_t	 segment_size;
	RaftPosition common; /* the last point in common with the leader's */
} Diverged;

/*
 * Copies it to "<state_directory>/node-<id>.diverged/<timeline>-<LSN>", at most DIVERGED_MOST bytes,
 * and removes the oldest beyond DIVERGED_KEPT of them.  "said" is one sentence for the log; empty:
 * there is none.  A failure keeps nobody from rebuilding: it is said, too.
 */
#define DIVERGED_MOST (UINT64_C(1) << 30)
#define DIVERGED_KEPT 3
extern void diverged_keep(const Diverged *diverged, char *said, size_t size);

#endif /* PG_LEADER_DIVERGED_H */
