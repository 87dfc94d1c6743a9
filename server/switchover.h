/*
 * server/switchover.h
 *	  A session asks for a switchover, and hears what has come of it.
 *
 * One entry of shared memory: the session that asks fills it, the role worker does it step by
 * step (role_switchover.c) and answers.  There is one at a time.  Managed mode only.
 */
#ifndef PG_LEADER_SWITCHOVER_ENTRY_H
#define PG_LEADER_SWITCHOVER_ENTRY_H

#include "../primary/switchover.h"

typedef struct SwitchoverAsked
{
	uint64_t number; /* 0: nobody has asked yet */
	int32_t	 target; /* RAFT_NONE: the fittest */
	uint64_t wait;	 /* us, until the target is told or the fence is open again */
} SwitchoverAsked;

typedef struct SwitchoverAnswer
{
	SwitchoverReason reason; /* SWITCHOVER_GOES_ON: it is done */
	SwitchoverStep	 step;	 /* at which it was given up */
	int32_t			 target;
	int32_t			 leader; /* done: who leads now; RAFT_NONE: not known yet */
	uint64_t		 term;	 /* that was handed over */
} SwitchoverAnswer;

/* ---- the postmaster ---- */

extern void switchover_request_memory(void);
extern void switchover_init_memory(void);

/* ---- a session ---- */

/*
 * Ask, and wait for the answer, a few seconds longer than asked->wait at most: then it is an error.
 * An error that ends the wait takes the request back.  false:
 * another switchover is under way, to answer->target.
 */
extern bool switchover_ask(const SwitchoverAsked *asked, SwitchoverAnswer *answer);

/* ---- the role worker ---- */

/* The request that has no answer yet, if there is one. */
extern bool switchover_take(SwitchoverAsked *asked);

/* Does its session still wait for it? */
extern bool switchover_is_wanted(uint64_t number);

extern void switchover_answer(uint64_t number, const SwitchoverAnswer *answer);

/* Has its client got the answer, as far as this server can tell?  Also if there is no session any more. */
extern bool switchover_is_told(uint64_t number);

#endif /* PG_LEADER_SWITCHOVER_ENTRY_H */
