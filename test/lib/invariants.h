/*
 * test/lib/invariants.h
 *	  What must hold of every member after every call, whoever makes the calls: the
 *	  unit tests' fixture, the simulator, the explorer and the fuzzer.
 *
 *	  S  at most one leader per term, over the whole history
 *	  V  one vote per member and term, across restarts
 *	  M  a member's term, claim, member list and boot counter never decrease, across restarts
 *	  P  a vote goes to nobody whose position is older than the voter's
 *	  F  what is shown and sent follows from what is durable
 *	  X  at most one member holds a lease at a time
 *	  A  a member that abstains does not vote, stand or lead
 *	  N  member lists with the same number and term are the same; those with an even number anyway
 *
 * Each function says true, or false and what is violated in invariants_violation,
 * which begins with the letter.  All of them look at plain values; whoever calls them
 * keeps the history, the disks and the time.
 */
#ifndef PG_LEADER_INVARIANTS_H
#define PG_LEADER_INVARIANTS_H

#include "../../raft/raft.h"

/*
 * What is remembered: 1 + the node id, 0: nothing yet.  vote: of whom process "node"
 * voted for.
 */
typedef struct InvariantsHistory
{
	void *context;
	uint8_t *(*vote)(void *context, int node, uint64_t term);
	uint8_t *(*leader)(void *context, uint64_t term);
} InvariantsHistory;

/* One call of the core of a process, whose number need not be the member's id. */
typedef struct InvariantsCall
{
	int				   node;
	const Raft		  *raft;
	const RaftSaved	  *before; /* durable before the call */
	const RaftOutput  *output;
	const RaftMessage *received; /* NULL: no message */
} InvariantsCall;

extern char invariants_violation[256];

extern bool invariants_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern bool invariants_same(const RaftSaved *a, const RaftSaved *b);

/* The core has decided, and nothing of it was done: M, V, P, F, A. */
extern bool invariants_decided(const InvariantsCall *call);

/* That is durable now: V.  "forgot": the process lost state and nobody has noticed yet. */
extern bool invariants_durable(const InvariantsHistory *history, int node, const RaftSaved *saved,
							   bool forgot);

/* The lists that nodes a and b hold: N. */
extern bool invariants_lists(int a, const RaftList *of_a, int b, const RaftList *of_b);

/* It is shown: S, F, A. */
extern bool invariants_shown(const InvariantsHistory *history, const InvariantsCall *call,
							 const RaftSaved *durable, uint64_t shown_lease);

/* One message leaves: V, F, A. */
extern bool invariants_sent(const InvariantsCall *call, const RaftSaved *durable,
							const RaftMessage *message, uint64_t shown_lease);

/* When the leases of n processes end, 0: there is none: X. */
extern bool invariants_leases(const uint64_t *ends, int n, uint64_t now);

#endif /* PG_LEADER_INVARIANTS_H */
