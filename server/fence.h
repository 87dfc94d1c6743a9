/*
 * server/fence.h
 *	  The fence of a managed server: is it open at this instant, and who says so.
 *
 * Rules 16 and 18 with PostgreSQL: primary/fence.h and primary/quorum.h decide.
 *
 *	  fence.c			shared memory: the term in which the role worker has opened, the election's
 *						bounds, what waits
 *	  fence_commit.c	what a transaction meets: before its commit, and before its answer
 *	  shield.c			signals that have to wait until a commit is answered
 *	  senders.c			which walsender is which member's
 *	  login.c			who may log in
 *	  fence_view.c		the fence in words, and the view pg_leader_fence
 *
 * Closed in fresh shared memory.  A commit takes no lightweight lock here.  Managed mode only.
 */
#ifndef PG_LEADER_FENCE_H
#define PG_LEADER_FENCE_H

#include "../primary/fence.h"

#define FENCE_TEXT_SIZE 400

/* ---- the postmaster ---- */

extern void fence_request_memory(void);
extern void fence_init_memory(void);

/* _PG_init: the transactions' callback and the commands' hook (fence_commit.c). */
extern void fence_register(void);

/* ---- the election worker ---- */

/* After each turn, once the lease is shown: until when each member is bound.  NULL: there is no member. */
extern void fence_show_bounds(const Raft *raft);

/* ---- the role worker ---- */

/* In which term it has opened (0: not), and whether a hand-over keeps commits from beginning. */
extern void fence_set(uint64_t open_term, bool drains);

/* May sessions log in while this server is in recovery? */
extern void fence_set_compared(bool compared);

/*
 * Closed for longer than a commit waits: end the sessions that have committed and wait for
 * copies, behind their shields.  Their clients are cut off at once.
 */
extern void fence_end_waits(void);

/*
 * This process was told to end.  If the whole server stops, that must not wait for copies: once
 * all other sessions have ended, those that wait for them are let go.  Their answers are withheld.
 */
extern void fence_let_go(void);

/* ---- anybody ---- */

/* pg_leader.fence_wait, us. */
extern uint64_t fence_wait_limit(void);

typedef struct FenceLook
{
	bool	 is_open;
	bool	 drains;
	bool	 compared;
	uint64_t now;
} FenceLook;

extern FenceLook fence_look(void);

/* pg_leader.read_fence is not for what this transaction has read. */
extern void fence_trust_read(void);

/* Does the server stop, and wait for nobody's copies any more?  For signal handlers, too. */
extern bool fence_lets_go(void);

/* As that; and may a commit that ends there be answered (rule 16)? */
extern FenceLook fence_look_at(uint64_t end, bool *answers);

/* Sleep until the fence may have opened, for a moment at most.  Handles interrupts. */
extern void fence_sleep(void);
extern void fence_sleep_end(void);

/* What the calling process waits for; see the view's column "waiting". */
typedef enum FenceStep
{
	FENCE_STEP_NONE = 0,
	FENCE_STEP_BEGINS,	/* waits for the fence */
	FENCE_STEP_COMMITS, /* from before its commit on, behind the shield */
	FENCE_STEP_ANSWERS	/* committed, waits for its answer */
} FenceStep;

extern void fence_set_step(FenceStep step);

/*
 * A hand-over waits for the commits that have begun and are not answered.  Who has just begun one
 * asks whether it was late: then the hand-over may not have seen it.
 */
extern uint32_t fence_count_commits(void);
extern bool		fence_holds_back(void);

typedef enum FenceCount
{
	FENCE_WAITED = 0,
	FENCE_WITHHELD,
	FENCE_COMMITS_REFUSED,
	FENCE_COMMANDS_REFUSED,
	FENCE_READS_REFUSED,
	FENCE_LOGINS_REFUSED,
	FENCE_COUNTS
} FenceCount;

extern void	  fence_count(FenceCount count);
extern uint64 fence_counted(FenceCount count);

typedef struct FenceShown
{
	uint64_t open_term;
	bool	 drains;
	uint64_t changed_at; /* when the role worker has opened or closed it, or else the server was started */
	uint32_t waiting;
} FenceShown;

extern void fence_read_shown(FenceShown *shown);

/* ---- in words (fence_view.c) ---- */

/* Why it is closed, as one sentence without a full stop; reason may be NULL.  Returns text. */
extern const char *fence_describe(FenceReason *reason, char text[FENCE_TEXT_SIZE]);

/* For a hint: whom to connect to instead; '' if nobody is known. */
extern const char *fence_describe_leader(char text[FENCE_TEXT_SIZE]);

#endif /* PG_LEADER_FENCE_H */
