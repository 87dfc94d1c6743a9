/*
 * test/explore/check.c
 *	  The invariants, after every step of the small world.
 *
 * Those of test/lib/invariants.h, and why two of them hold:
 *
 *	  S  a leader has the votes of a majority
 *	  X  a majority is bound for as long as a lease lasts
 *
 * These are checked as well because a bug breaks them many steps before it makes a
 * second leader or lease, and the depth of an exhaustive search is its weakness.
 */
#include <string.h>

#include "world.h"

static int
quorum(void)
{
	return world_limits.nodes / 2 + 1;
}

static uint8_t *
vote_of(void *context, int node, uint64_t term)
{
	return &((World *) context)->vote_of[node][term];
}

static uint8_t *
leader_of(void *context, uint64_t term)
{
	return &((World *) context)->leader_of[term];
}

/* A start, after its first record is durable and before anything else.  M */
bool
world_check_start(const World *w, int i, const RaftSaved *before, bool wiped)
{
	const WorldNode *n = &w->node[i];

	if (wiped)
		return n->abstaining != RAFT_VOTING || invariants_fail("V: node %d lost its state and votes", i);
	if (n->term < before->term)
		return invariants_fail("M: node %d starts with term %d after %d", i, n->term, (int) before->term);
	if (n->save_number <= before->save_number || n->boot <= before->boot)
		return invariants_fail("F: node %d starts without a new record", i);
	if (n->term == before->term && n->voted_for != before->voted_for)
		return invariants_fail("V: node %d forgets its vote when it starts", i);
	return n->promise * UINT64_C(1000) >= before->promise || invariants_fail("X: node %d forgets promises when it starts", i);
}

/* What a call has saved is on the disk. */
bool
world_check_saved(World *w, int i, const RaftSaved *saved)
{
	InvariantsHistory history = {w, vote_of, leader_of};

	return invariants_durable(&history, i, saved, false);
}

/* A call is shown. */
bool
world_check_shown(World *w, const InvariantsCall *call, const RaftSaved *durable)
{
	InvariantsHistory history = {w, vote_of, leader_of};
	uint64_t		  term = durable->term;
	int				  votes = 0;

	if (!invariants_shown(&history, call, durable, raft_lease_until(call->raft)))
		return false;
	if (call->raft->role != RAFT_LEADER)
		return true;
	for (int j = 0; j < world_limits.nodes; j++)
		votes += w->vote_of[j][term] == call->node + 1;
	return votes >= quorum() || invariants_fail("S: node %d leads term %d with %d votes of %d", call->node,
												(int) term, votes, world_limits.nodes);
}

/* Until when the node votes for nobody, at least; ms from now. */
static int
bound_for(const WorldNode *n)
{
	if (n->abstaining != RAFT_VOTING)
		return UINT8_MAX;
	if (!n->up)
		return n->promise; /* from whenever it starts */
	return n->promised_until > n->promised_others_until ? n->promised_until :
														  n->promised_others_until;
}

/* X */
bool
world_check_leases(const World *w)
{
	uint64_t leases[WORLD_NODES] = {0};

	for (int i = 0; i < world_limits.nodes; i++)
	{
		int lease = w->node[i].shown_lease;
		int bound = 0;

		leases[i] = (uint64_t) lease;
		for (int j = 0; j < world_limits.nodes && lease != 0; j++)
			bound += bound_for(&w->node[j]) >= lease;
		if (lease != 0 && bound < quorum())
			return invariants_fail("X: node %d has a lease for %d ms more, and only %d of %d are bound for so long",
								   i, lease, bound, world_limits.nodes);
	}
	return invariants_leases(leases, world_limits.nodes, 0);
}

/* D3: a timeline is created by one promotion for ever. */
bool
world_check_promotion(World *w, int i, uint32_t timeline)
{
	if (w->promoted >> timeline & 1)
		return invariants_fail("D3: node %d may create timeline %d, which was created before", i, (int) timeline);
	w->promoted |= (uint8_t) (1U << timeline);
	return true;
}
