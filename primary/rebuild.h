/*
 * primary/rebuild.h
 *	  What a rebuild has left in a data directory, and whether one that runs goes on.
 *
 * Rule 21.  The marker in the state file says that a directory is being overwritten; what is
 * there by now, the directory itself and what lies beside it have to tell.  Asked while the
 * server does not run.  Called by the supervisor and the simulator.  Pure C11: no input or
 * output, no clock, no allocation.
 */
#ifndef PG_LEADER_REBUILD_H
#define PG_LEADER_REBUILD_H

#include "primary.h"

typedef struct RebuildFacts
{
	RaftRebuild rebuild; /* of the marker */
	bool		is_done; /* the program has ended well in this directory, and all is on disk */

	/* The marker was saved beside a directory that might have been used, and nobody has changed that. */
	bool is_untouched;

	/* A rewind has ended by itself in this directory, and not well, or with nothing to do. */
	bool has_failed;

	/* pg_control. */
	bool is_stopped_standby;  /* shut down in recovery */
	bool is_one_timeline;	  /* its checkpoint is of the timeline that it has reached */
	bool is_archive_recovery; /* in archive recovery */
	bool has_backup_label;

	/* The machine has run on since the rewind began: what pg_rewind wrote is on disk, or in the kernel's memory. */
	bool is_same_boot;
} RebuildFacts;

extern PrimaryRemains rebuild_remains(const RebuildFacts *facts);

/*
 * Has pg_rewind done all but have it on disk?  It writes pg_control last, as of a base backup
 * that is not started yet; run again, it would fail.  But pg_control is on disk before all else, so after a
 * power cut it proves nothing.
 */
extern bool rebuild_is_rewound(const RebuildFacts *facts);

/*
 * Does a rebuild from that source go on?  Not once somebody else leads: the source may stand
 * still for ever, and the copy would have to be made again.
 */
extern bool rebuild_goes_on(int32_t source, int32_t leader);

#endif /* PG_LEADER_REBUILD_H */
