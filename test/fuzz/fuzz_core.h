/*
 * test/fuzz/fuzz_core.h
 *	  The script that fuzz_core.c plays, and the account that watch.c keeps.
 *
 * Included by fuzz_core.c, watch.c and make_corpus.c.
 */
#ifndef PG_LEADER_FUZZ_CORE_H
#define PG_LEADER_FUZZ_CORE_H

#include "../../node/store.h"
#include "../../node/member.h"

/*
 * A step is a byte: what to do is its remainder by STEPS, and its quotient says
 * whether the process dies in it (DYING_AFTER its save, DYING_BEFORE it).  Steps 0 to
 * 9 are messages of the type 1 to 10.
 */
enum
{
	STEP_ANSWER = 10, /* an honest answer to something sent: choice, how far back */
	STEP_ANSWER_AGAIN,
	STEP_DEADLINE, /* move the clock to the deadline, and tick */
	STEP_DEADLINE_AGAIN,
	STEP_WAIT,		/* move the clock: so many half milliseconds */
	STEP_WAIT_LONG, /* so many times 20 ms */
	STEP_TICK,
	STEP_TRANSFER,
	STEP_RESIGN,
	STEP_ADMIT,
	STEP_MAY_LEAD,
	STEP_POSITION,
	STEP_TIMEOUTS,
	STEP_PEER_RESTARTS,
	STEP_RESTART, /* 6 of 8: with one slot rotten, 7 of 8: wiped */

	/* What the host of a managed member asks; nothing for one that is not. */
	STEP_DATA, /* what its data are: flags, timeline, LSN */
	STEP_HELD, /* what it held: timeline, LSN */
	STEP_CLAIM,
	STEP_PROMOTE,
	STEP_PROMOTED,
	STEP_FOLLOW,  /* how many timelines, and which ones */
	STEP_REBUILD, /* how; the floor: timeline, LSN */
	STEP_REBUILT,
	STEP_TRUST,
	STEP_FORGET, /* whose flushes */
	STEP_PAUSE,	 /* 1 of 2: the end of one */
	STEPS
};

#define DYING_AFTER	 5
#define DYING_BEFORE 6

enum
{
	DIES_NOT = 0,
	DIES_AFTER_SAVE,
	DIES_BEFORE_SAVE,
	STARTS
};

/* Timeouts are changed to multiples of 50 ms, up to this one. */
#define LONGEST_MIN_TIMEOUT UINT64_C(800000)

#define SENT_KEPT 64
#define ROUNDS	  256

/* The third byte of a script. */
#define SCRIPT_GREETED 0x03 /* any of them: by all peers */
#define SCRIPT_MANAGED 0x04
#define SCRIPT_CLAIMED 0x08 /* managed, with this claim and this system */

#define FUZZ_CLAIM	7
#define FUZZ_SYSTEM UINT64_C(0x73797374656d)

/* What a peer has said in the present term of this member's own candidacy. */
typedef struct Watched
{
	uint64_t boot; /* how the peer presents itself */
	uint64_t incarnation;
	uint64_t round;
	bool	 voted;
	uint64_t bound; /* until when its promise is worth something to us */
	uint32_t claim; /* that it said it had stored */
} Watched;

typedef struct World
{
	RaftConfig config;
	Member	   member;
	Raft	   before; /* the call */
	uint8_t	   dies;   /* in it, or not; or it is its start */
	uint64_t   now;
	uint32_t   n_calls;

	RaftSaved disk;
	int		  next_slot;
	uint8_t	  image[STORE_FILE_SIZE];

	uint32_t	n_sent;
	RaftMessage sent[SENT_KEPT];
	uint64_t	sequence; /* of what peers send */
	Watched		peer[RAFT_MAX_NODES];

	/* The account of this start; watched_term is the term it speaks of. */
	uint64_t last_sequence[RAFT_MAX_NODES];
	uint64_t watched_term;
	uint64_t asked_at; /* first vote request of that term */
	uint64_t asked_promise;
	uint64_t own_bound;
	struct
	{
		uint64_t number;
		uint64_t sent_at;
		uint64_t promise;
	} rounds[ROUNDS];
	uint64_t led_term;	  /* newest term that it has led */
	uint64_t bound_until; /* its own promises, across restarts */
	uint32_t promoted_to; /* the newest timeline that it was allowed to create */
} World;

/* After member_start(); "forgot": the store was lost or damaged. */
extern void watch_start(World *w, bool forgot);

/* After a call, before anything of it is saved; "received" may be NULL. */
extern void watch_call(World *w, const RaftMessage *received);

/* After a call of a managed member's host, which has lived on; what it was told. */
extern void watch_claimed(const World *w, RaftClaimResult result);
extern void watch_promotes(World *w, uint32_t timeline);
extern void watch_followed(const World *w, uint32_t timeline);
extern void watch_rebuilds(const World *w, RaftRebuild how);
extern void watch_rebuilt(const World *w);

/* After a message was taken in, whatever came of it. */
extern void watch_received(World *w, const RaftMessage *received);

/* It is shown, and one of its messages goes out: after the save. */
extern void watch_shown(World *w);
extern void watch_sent(World *w, const RaftMessage *m, const RaftMessage *received);

#endif /* PG_LEADER_FUZZ_CORE_H */
