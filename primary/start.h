/*
 * primary/start.h
 *	  What is cleared away and put in place in a data directory before its server starts as
 *	  a standby, and what pg_control says of its past.
 *
 * Rules 14 and 19.  A start takes the newest timeline that it finds by probing
 * one id after the other from pg_control's on.  So nothing may lie in its way that nobody
 * will go on with, and no id of the leader's past may be missing.
 *
 * The server is down while this is asked and obeyed.  All answers are about the directory
 * as it was read; a sweep that is interrupted is begun anew.  Called by the supervisor and
 * the simulator.  Pure C11: no input or output, no clock, no allocation.
 */
#ifndef PG_LEADER_START_H
#define PG_LEADER_START_H

#include "../node/lineage.h"

#include "histories.h"

typedef struct StartFacts
{
	/* Our directory. */
	Histories	   histories;		 /* with the timelines that have WAL alone */
	uint32_t	   timeline;		 /* of the last byte of local WAL */
	uint64_t	   end;				 /* of local WAL; 0: not known */
	const Lineage *lineage;			 /* of that WAL; NULL: not known */
	uint32_t	   control_timeline; /* of pg_control: its checkpoint's or its minRecoveryPoint's, whichever is higher */
	uint64_t	   checkpoint;		 /* of pg_control: where that record begins; 0: not known, or of a backup_label */
	uint64_t	   min_recovery;	 /* of pg_control: minRecoveryPoint, at least to which recovery goes; 0: none */
	bool		   backup_label;
	bool		   was_primary;	 /* pg_control: in production, or shut down as a primary */
	bool		   target_ahead; /* its last promotion was refused: PROMOTION_TARGET_AHEAD */

	/* The leader's of our term, once it is promoted on its claim. */
	const Lineage *leader_lineage; /* NULL: not known, or not promoted */
	Histories	   leader_histories;
} StartFacts;

typedef enum StartHistory
{
	START_KEEP = 0, /* also: leave it missing */
	START_REMOVE,
	START_COPY, /* the leader's file */
	START_BURN	/* a file that says nothing: the leader has none of that id */
} StartHistory;

typedef struct StartSweep
{
	StartHistory history;
	bool		 remove_wal; /* all of that timeline's segments */
} StartSweep;

/* What is done with one timeline, from 2 on, before the start. */
extern StartSweep start_sweep(const StartFacts *facts, uint32_t timeline);

/* The highest timeline that start_sweep() has something to say of; 1: none. */
extern uint32_t start_last(const StartFacts *facts);

/*
 * Is it a base backup that was not started yet?  Then this server has written nothing in it, whatever
 * was known of the directory that was there before.
 */
extern bool start_is_copy(const StartFacts *facts);

/*
 * PrimaryFacts.wrote_on after this start: the timeline on which this server wrote WAL itself
 * before it.  0: pg_control does not say, and what was known before stays.
 */
extern uint32_t start_wrote_on(const StartFacts *facts);

#endif /* PG_LEADER_START_H */
