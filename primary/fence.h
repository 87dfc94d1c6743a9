/*
 * primary/fence.h
 *	  The fence: what becomes of a commit, of a login and of a read at one instant.
 *
 * Rules 16 and 18.  Called by each process that commits, at one reading of the clock, and by
 * the simulator.  Whether the fence is open and whether enough members hold a commit is
 * quorum.h's.  Pure C11: no input or output, no clock, no allocation.  Times are microseconds
 * of one clock.
 */
#ifndef PG_LEADER_FENCE_RULES_H
#define PG_LEADER_FENCE_RULES_H

#include "primary.h"
#include "quorum.h"

typedef enum FenceVerdict
{
	FENCE_WAIT = 0, /* ask again */
	FENCE_PASS,
	FENCE_REFUSE /* nothing was done: an error.  Of an answer: it is withheld */
} FenceVerdict;

/*
 * May a commit begin, a command that cannot be refused at its end, or a read be believed?
 * "drains": a hand-over is under way, and no commit begins.  waited: for how long already.
 */
extern FenceVerdict fence_begin(bool is_open, bool drains, uint64_t waited, uint64_t wait);

/*
 * A commit is done here: may it be answered?  answers: quorum_answers().  hung_up: the session is
 * to end, and its client was cut off.  closed_for: how long the fence has been closed without a
 * break; a longer loss than "wait" is none that passes.
 */
extern FenceVerdict fence_answer(bool answers, bool is_open, bool hung_up, uint64_t closed_for, uint64_t wait);

typedef enum FenceLogin
{
	FENCE_LOGIN_WAIT = 0, /* ask again: this server leads, and may be open soon */
	FENCE_LOGIN,
	FENCE_LOGIN_READ_ONLY,
	FENCE_LOGIN_REFUSE
} FenceLogin;

typedef struct FenceLoginFacts
{
	bool	 in_recovery;
	bool	 compared; /* with its leader: see fence_compared() */
	bool	 is_open;
	bool	 leads;
	bool	 is_exempt; /* the role is */
	uint64_t waited;
	uint64_t wait;
} FenceLoginFacts;

extern FenceLogin fence_login(const FenceLoginFacts *facts);

/*
 * Is what a standby shows the beginning of what its leader has?  It is asked with each order; once
 * it was, and the leader is lost, that stays so.
 */
extern bool fence_compared(bool before, PrimaryAction action);

/* The one reason why the fence is closed now. */
typedef enum FenceReason
{
	FENCE_OPEN = 0,
	FENCE_NO_MEMBER,   /* the election worker does not take part */
	FENCE_NO_ROLE,	   /* there is no role worker */
	FENCE_REFUSED,	   /* settings, data or version forbid it: the order of decide.c says why */
	FENCE_STANDBY,	   /* in recovery, and another one leads */
	FENCE_OTHER_LEADS, /* a primary, and another one leads */
	FENCE_NO_LEADER,
	FENCE_NO_LEASE,
	FENCE_DRAINS,	 /* a hand-over is under way */
	FENCE_NOT_OPENED /* it leads: the order of decide.c says why */
} FenceReason;

typedef struct FenceState
{
	bool	 takes_part;
	bool	 has_role_worker;
	bool	 refuses; /* its order is REFUSE, or a setting forbids it to lead */
	bool	 in_recovery;
	bool	 drains;
	int32_t	 self;
	int32_t	 leader_id; /* below 0: none known */
	uint64_t open_term;
	uint64_t term; /* of the lease */
	uint64_t lease_until;
	uint64_t now;
} FenceState;

extern FenceReason fence_reason(const FenceState *state);

/* "no_lease", for the view and for tests. */
extern const char *fence_reason_name(FenceReason reason);

#endif /* PG_LEADER_FENCE_RULES_H */
