/*
 * primary/promotion.h
 *	  May this server make a timeline of its own now, and which ids does it pass over?
 *
 * Rule 14.  The startup process asks after the last record was replayed and before
 * PostgreSQL chooses the timeline, and has the last word; where redo does not begin nobody
 * is asked then, and the role worker's question before the signal is the only one.  After
 * PROMOTION_GOES_ON each id of promotion_burns() gets a history file, and PostgreSQL makes
 * the next one, which is the claim.
 *
 * Called by the startup process, the role worker and the simulator.  Pure C11: no input or
 * output, no clock, no allocation.
 */
#ifndef PG_LEADER_PROMOTION_H
#define PG_LEADER_PROMOTION_H

#include "histories.h"

/*
 * So many ids may be passed over at once; for more an operator has to agree.  Each leader
 * in recovery claims one, also if it is never promoted: in a bad network, or while replay
 * takes long, that may be some every minute.  Each is a file that every member has to get.
 */
#define PROMOTION_MOST_BURNT 1000

typedef struct PromotionFacts
{
	uint64_t  now;			   /* us */
	uint64_t  lease_until;	   /* us; in shared memory, as it is at this moment */
	uint64_t  term;			   /* as stored now */
	uint32_t  authorised;	   /* the claim that may be used; 0: none */
	uint64_t  authorised_term; /* of it */
	uint32_t  target;		   /* recoveryTargetTLI */
	uint64_t  target_begin;	   /* the LSN at which its history file says that it begins; 0: timeline 1 */
	uint64_t  end;			   /* of what was replayed */
	Histories histories;	   /* of pg_wal, and of the archive if there is one */
	bool	  burn_any;		   /* an operator has agreed to more than PROMOTION_MOST_BURNT */
} PromotionFacts;

typedef enum PromotionVerdict
{
	PROMOTION_GOES_ON = 0,
	PROMOTION_NOT_AUTHORISED, /* by nobody, such as pg_promote() by hand */
	PROMOTION_OTHER_TERM,	  /* the authorisation is of another term than the stored one */
	PROMOTION_NO_LEASE,

	/* The recovery target or a history file is at the claim or above it: claim anew. */
	PROMOTION_ID_TAKEN,

	/*
	 * The history of the recovery target came before its WAL.  PostgreSQL would write a
	 * history whose ends fall, which nobody can follow.
	 */
	PROMOTION_TARGET_AHEAD,
	PROMOTION_MANY_BURNT, /* more than PROMOTION_MOST_BURNT */
	PROMOTION_VERDICTS
} PromotionVerdict;

extern PromotionVerdict promotion_verdict(const PromotionFacts *facts);

/*
 * How many ids the claim makes PostgreSQL pass over.  Those below the recovery target are
 * not counted: they are the past of what exists, and only a claim can be far away.
 */
extern uint32_t promotion_passed_over(const Histories *histories, uint32_t target, uint32_t claim);

/*
 * The lowest id above "after" that is to be burnt for that claim; 0: none.  Also ids below
 * the recovery target, of which a clone has no files: a walreceiver asks for each id
 * between its own and ours, and fails where there is none.
 */
extern uint32_t promotion_burns(const Histories *histories, uint32_t claim, uint32_t after);

/*
 * What the archiver has of a history file.  Burnt ones are given to it from the highest down,
 * each once the one above is there, so that who reads the archive asking for one id after the other
 * sees all of them or none: a burnt file that is the newest stops a start.
 */
typedef enum PromotionArchived
{
	PROMOTION_NOT_ARCHIVED = 0, /* and not asked for */
	PROMOTION_WAITS,			/* it was asked for */
	PROMOTION_ARCHIVED
} PromotionArchived;

/*
 * The id whose file is to be archived now, of the present timeline's and the burnt ones directly
 * below it; 0: none.  archived[i] is about histories->files[i].  *more: not all is there yet.
 */
extern uint32_t promotion_archives(const Histories *histories, const PromotionArchived *archived,
								   uint32_t timeline, bool *more);

/* Why not, as one clause without a full stop. */
extern const char *promotion_describe(PromotionVerdict verdict);

#endif /* PG_LEADER_PROMOTION_H */
