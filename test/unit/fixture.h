/*
 * test/unit/fixture.h
 *	  A small world: some cores, a disk for each, a network, and one clock.
 *
 * Tests and transcripts drive it step by step: nothing happens that was not
 * asked for.  The members are those of node/member.c (save, then show, then send); their
 * host is here, checks the invariants below, and sends every message through
 * message_encode() and message_decode().
 *
 * After every step the invariants of test/lib/invariants.h hold; leases of crashed
 * members go on to count.  A breach fails the cmocka test that runs, or ends the program outside one.
 *
 * Test code only; it looks into the cores where that makes a test plainer.
 */
#ifndef PG_LEADER_FIXTURE_H
#define PG_LEADER_FIXTURE_H

#include "../../node/member.h"

#define WORLD_MAX_NODES 9
#define WORLD_QUEUE		4096
#define WORLD_HISTORY	8192
#define WORLD_EVENTS	512

#define MS(n)		  ((uint64_t) (n) *UINT64_C(1000))
#define WORLD_START	  UINT64_C(1000000000) /* the clock at first */
#define WORLD_CLUSTER UINT64_C(0x636c7573746572)
#define WORLD_LIST	  UINT64_C(0x6c697374)

/* What goes wrong with a node's next save. */
typedef enum WorldFault
{
	WORLD_NO_FAULT = 0,
	WORLD_SAVE_FAILS,		  /* nothing reaches the disk; the process ends */
	WORLD_DIES_BEFORE_SENDING /* it does reach the disk; the process ends */
} WorldFault;

typedef struct WorldNode
{
	RaftConfig config;
	Member	   member;
	bool	   running;
	bool	   paused; /* neither reads nor ticks */

	bool	   has_store;
	bool	   damaged; /* one slot of the store is bad */
	RaftSaved  disk;
	WorldFault fault;

	RaftSaved before;	/* what the disk held before the last call */
	uint32_t  n_events; /* since world_forget() */
	RaftEvent events[WORLD_EVENTS];
	uint32_t  n_saves;					  /* since world_forget() */
	uint32_t  n_sent[RAFT_MESSAGE_TYPES]; /* since world_forget() */

	uint64_t last_sequence[WORLD_MAX_NODES];
	uint64_t shown_lease;	/* as of its last call */
	uint64_t crashed_lease; /* the lease it held when it crashed */
} WorldNode;

typedef struct WorldDatagram
{
	int		 from;
	int		 to;
	uint64_t arrives_at;
	uint8_t	 bytes[MESSAGE_SIZE];
} WorldDatagram;

typedef struct WorldVote
{
	int		 node;
	uint64_t term;
	uint8_t	 whom; /* 1 + node id */
} WorldVote;

typedef struct World World;
typedef void (*WorldObserver)(World *w, int node, const RaftSaved *before);

struct World
{
	int		  n;
	uint64_t  now;
	uint64_t  random;
	uint64_t  incarnations;
	WorldNode node[WORLD_MAX_NODES];

	/* The network; delay, jitter and loss count for world_run() only. */
	bool			cut[WORLD_MAX_NODES][WORLD_MAX_NODES]; /* [from][to] */
	uint64_t		delay;
	uint64_t		jitter;
	uint32_t		loss_percent;
	RaftMessageType lose_type;	/* the next lose_count of this type are lost, */
	uint32_t		lose_count; /* in world_run() or not */
	uint32_t		n_queue;
	WorldDatagram	queue[WORLD_QUEUE];

	/* History. */
	uint32_t  n_votes;
	WorldVote votes[WORLD_HISTORY];
	uint32_t  n_leaders;
	WorldVote leaders[WORLD_HISTORY]; /* .node is not used */

	WorldObserver observer; /* told before anything is sent */
};

/* ---- making a world ---- */

/* n members whose first stores do not abstain, as pg_leader_state --new writes
 * them; all are started, and nothing is sent yet. */
extern void world_init(World *w, int n);

/* The same without stores: nobody can know whether it lost its state. */
extern void world_init_blank(World *w, int n);

/* n members with configurations but neither stores nor processes. */
extern void world_prepare(World *w, int n);

/* Write a first store that does not abstain. */
extern void world_new_store(World *w, int node);

/* Start from what the disk holds, with a new incarnation. */
extern void world_start(World *w, int node);

/* End a process at once; its disk and its datagrams under way stay. */
extern void world_crash(World *w, int node);
extern void world_restart(World *w, int node);

/* Lose the store; the process must be down. */
extern void world_wipe(World *w, int node);

/* Put a copy in the place of the store; the process must be down. */
extern void world_restore(World *w, int node, const RaftSaved *copy);

/* ---- time ---- */

extern void world_advance(World *w, uint64_t us);
extern void world_tick(World *w, int node);				/* now, whatever the deadline */
extern void world_tick_at_deadline(World *w, int node); /* moves the clock */
extern void world_set_timer(World *w, int node, uint64_t us_from_now);

/*
 * Let everything happen by itself for so long: ticks at their deadlines,
 * datagrams after "delay" and "jitter", less "loss_percent" of them.
 */
extern void world_run(World *w, uint64_t us);

/* The same until done(w) holds after a step; false: it never did. */
extern bool world_run_until(World *w, bool (*done)(World *w), uint64_t us);

/* ---- the network ---- */

/* Deliver the oldest datagram; false if there is none. */
extern bool world_deliver(World *w, int from, int to);

/* Deliver what is under way, and what follows from it, to everyone. */
extern void world_deliver_all(World *w);
extern bool world_drop(World *w, int from, int to);
extern void world_drop_all(World *w);

/* Take the oldest datagram off the network; false if there is none. */
extern bool world_take(World *w, int from, int to, RaftMessage *message);

/*
 * Put a message into the hands of message->to, through the codec, as a datagram of
 * its own.  A test that injects one number twice to the same start fails: either
 * it means a duplicate, world_replay(), or a repetition, world_say_again().
 */
extern void world_inject(World *w, const RaftMessage *message);

/* The same bytes that came before, or that somebody recorded. */
extern void world_replay(World *w, const RaftMessage *message);

/* The same words once more: gives the message a new number and injects it. */
extern void world_say_again(World *w, RaftMessage *message);

/* The same past the codec, which would refuse some of them. */
extern void world_inject_raw(World *w, int to, const RaftMessage *message);

/* One direction; datagrams under way are lost. */
extern void world_cut(World *w, int from, int to);
extern void world_cut_both(World *w, int a, int b);
extern void world_isolate(World *w, int node);
extern void world_heal(World *w);

/* Greetings, until every running member has an answer from every other. */
extern void world_greet_all(World *w);

/*
 * A message as "from" would send it to "to" now: identities, echo, term and save
 * number are right, the body is empty.
 */
extern RaftMessage world_message(World *w, RaftMessageType type, int from, int to);

/* With the usual body: a promise of 200 ms, position 0, nobody replaced. */
extern RaftMessage world_pre_vote_request(World *w, int from, int to, uint64_t asked_term);
extern RaftMessage world_vote_request(World *w, int from, int to, uint64_t term);
extern RaftMessage world_heartbeat(World *w, int from, int to, uint64_t term, uint64_t round);

/* The answer to a request that "to" sent, yes or no, in the term it asked for. */
extern RaftMessage world_answer(World *w, const RaftMessage *request, bool granted);

/* Let the sender of a heartbeat have the answer of who it was sent to. */
extern void world_acknowledge(World *w, const RaftMessage *heartbeat);

/* ---- calls ---- */

extern RaftTransferResult world_transfer(World *w, int node, int target);
extern void				  world_resign(World *w, int node);
extern bool				  world_admit(World *w, int node);
extern void				  world_set_position(World *w, int node, uint64_t epoch, uint64_t index);

/* ---- asking ---- */

/* Forget events, counts of saves and of messages sent. */
extern void world_forget(World *w);

/* An event since world_forget(), the last one of that reason; NULL: none. */
extern const RaftEvent *world_event(World *w, int node, RaftReason reason);

/* A message of the node's last output, to RAFT_NONE for anyone; NULL: none. */
extern const RaftMessage *world_sent(World *w, int node, RaftMessageType type, int to);

/* How many messages a core has dropped for a reason since its start. */
extern uint64_t world_dropped(World *w, int node, RaftOutcome why);

/* How many datagrams of a type are under way (RAFT_NONE: from or to anyone). */
extern int world_under_way(World *w, RaftMessageType type, int from, int to);

/* The running leader of the highest term, or RAFT_NONE. */
extern int world_leader(World *w);

/* Every running member follows the leader, who has a lease. */
extern bool world_is_stable(World *w);

extern bool world_has_lease(World *w, int node);

/* What a promise of P is worth to its leader, from the send time on. */
extern uint64_t world_lease_length(World *w, int node, uint64_t promise);

/* Bring one about: the node's timer runs out, everyone hears everyone. */
extern void world_elect(World *w, int node);

/*
 * A world of which only node 0 is meant to live: all are greeted, the others
 * speak through crafted messages, and nothing is under way.
 */
extern void world_init_alone(World *w, int n);

/* The same, and node 0 leads. */
extern void world_lead_alone(World *w, int n);

/* A saved record that a member in its ordinary life might hold. */
extern void world_set_disk(World *w, int node, uint64_t term, int32_t voted_for);

extern uint64_t world_random(World *w, uint64_t below);

#endif /* PG_LEADER_FIXTURE_H */
