/*
 * primary/switchover.h
 *	  A planned hand-over, step by step, with the way back.
 *
 * The leader makes a checkpoint, lets no new commit begin, answers those that wait,
 * waits until the target has flushed all of its WAL, ends its walsenders and tells the
 * target to stand.  Each step has a deadline.  Until the target has been told, the way back
 * is to open again; afterwards there is none, because the lease is over for ever in this
 * term: the server is stopped, and the election decides who leads.
 *
 * Rule 23 (a former leader votes with its flush position at the closing of its fence) is
 * not built.  So the target needs what the leader's WAL ends with when it is told: what is
 * written behind the closed fence (a checkpoint, a vacuum) sends the hand-over back to
 * catching up, until its deadline.
 *
 * Called by the role worker, which does what the step says and asks again when a fact
 * has changed, and at the deadline.  Pure C11: no input or output, no clock, no allocation.
 */
#ifndef PG_LEADER_SWITCHOVER_H
#define PG_LEADER_SWITCHOVER_H

#include "primary.h"

typedef enum SwitchoverStep
{
	SWITCHOVER_IDLE = 0,

	/* Open.  Make a checkpoint, so that the old primary's restart is short. */
	SWITCHOVER_CHECKPOINT,

	/* No commit begins; those that wait are answered. */
	SWITCHOVER_DRAIN,

	/*
	 * Nothing is answered.  Flush all WAL, and wait until it stands still for so long that the
	 * target has flushed it and its member has told us so: else the transfer would find it behind,
	 * and its walsender would have been ended for nothing.
	 */
	SWITCHOVER_CATCH_UP,

	/* End the members' walsenders: nobody acknowledges any more. */
	SWITCHOVER_END_SENDERS,

	/* raft_transfer() to the target; say what came of it. */
	SWITCHOVER_HAND_OVER,

	/* Stop the server at once, without a checkpoint; the supervisor starts it as a standby. */
	SWITCHOVER_STOP,

	SWITCHOVER_DONE,
	SWITCHOVER_BACK, /* given up; the fence opens again as rule 18 allows */
	SWITCHOVER_STEPS
} SwitchoverStep;

typedef enum SwitchoverReason
{
	SWITCHOVER_GOES_ON = 0,
	SWITCHOVER_NOT_OPEN, /* it does not lead, or answers no commits */
	SWITCHOVER_NO_TARGET,
	SWITCHOVER_TARGET_LOST,		/* not heard, or may not lead */
	SWITCHOVER_LEADERSHIP_LOST, /* another term, or no lease */
	SWITCHOVER_CHECKPOINT_FAILED,
	SWITCHOVER_CHECKPOINT_SLOW,
	SWITCHOVER_COMMITS_WAIT,
	SWITCHOVER_TARGET_BEHIND,
	SWITCHOVER_SENDERS_STAY,
	SWITCHOVER_REFUSED,	  /* raft_transfer() says no, for another reason than the position */
	SWITCHOVER_CANCELLED, /* by whoever has asked for it */
	SWITCHOVER_PAUSED,	  /* in a pause nobody is promoted */
	SWITCHOVER_REASONS
} SwitchoverReason;

typedef struct SwitchoverLimits
{
	uint64_t checkpoint; /* us, each */
	uint64_t drain;
	uint64_t catch_up; /* from the closing of the fence until the target is told */
} SwitchoverLimits;

typedef struct SwitchoverFacts
{
	uint64_t now;
	int32_t	 self;
	int32_t	 leader_id;
	uint64_t term;
	uint64_t lease_until;
	bool	 open; /* the last order was OPEN */
	bool	 checkpoint_done;
	bool	 checkpoint_failed;
	uint32_t waiting;	   /* commits that are past the gate and not answered */
	uint64_t flush;		   /* our own */
	bool	 target_fits;  /* raft_could_lead() */
	uint64_t target_flush; /* of its newest walsender, QUORUM_COUNTS; 0: none */
	uint64_t target_told;  /* LSN of the position in its last heartbeat answer */
	uint64_t target_replay;
	uint32_t senders;	/* walsenders of members that still run */
	bool	 cancelled; /* nobody wants it any more */
	bool	 paused;	/* the cluster is */

	/* What raft_transfer() said in this step; only in SWITCHOVER_HAND_OVER. */
	bool			   transfer_tried;
	RaftTransferResult transfer;
	bool			   stopped; /* the server */
} SwitchoverFacts;

typedef struct Switchover
{
	SwitchoverStep	 step;
	SwitchoverReason reason;	  /* of BACK, */
	SwitchoverStep	 given_up_at; /* and the step before it */
	SwitchoverLimits limits;
	int32_t			 target;
	uint64_t		 term;
	uint64_t		 deadline; /* of this step; 0: none */
} Switchover;

/* The limits of one that takes "wait" us at most, until the target is told or the fence is open again. */
extern SwitchoverLimits switchover_limits(uint64_t wait);

/*
 * Is the target of "one" the better choice?  It fits, is streamed to, and has replayed more:
 * what it has not replayed is what its promotion waits for.
 */
extern bool switchover_is_fitter(const SwitchoverFacts *one, const SwitchoverFacts *than);

/* Begin, or say why not: then s is at BACK. */
extern SwitchoverReason switchover_begin(Switchover *s, const SwitchoverFacts *facts, int32_t target,
										 const SwitchoverLimits *limits);

/* The step to be done now. */
extern SwitchoverStep switchover_next(Switchover *s, const SwitchoverFacts *facts);

/*
 * The target has flushed what it needs, and has not told so yet: the next heartbeats should not wait
 * for their time (raft_hasten()).
 */
extern bool switchover_hastens(const Switchover *s, const SwitchoverFacts *facts);

/* What primary_decide() has to know of it. */
extern PrimaryHandOver switchover_hand_over(const Switchover *s);

/* "catch up", for people. */
extern const char *switchover_step_name(SwitchoverStep step);

/* Why it was given up, as one clause without a full stop. */
extern const char *switchover_describe(SwitchoverReason reason);

#endif /* PG_LEADER_SWITCHOVER_H */
