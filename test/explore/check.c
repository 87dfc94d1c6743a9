/*
 * test/explore/check.c
 *	  The invariants, after every step of the small world.
 *
 *	  S  at most one leader a term, and it has the votes of a majority
 *	  V  one vote a node and term, across restarts
 *	  M  a node's term never decreases, across restarts
 *	  P  a vote goes to no candidate whose position is older than the voter's
 *	  F  what is sent follows from what is durable
 *	  X  one lease at a time; and a majority is bound for as long as it lasts
 *
 * The second halves of S and X say why the first halves hold.  They are checked as
 * well because a bug breaks them many steps before it makes a second leader or
 * lease, and the depth of an exhaustive search is its weakness.
 */
#include <stdarg.h>
#include <string.h>

#include "world.h"

char world_violation[256];

/* Always false, so that a check can end with it. */
bool
world_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(world_violation, sizeof(world_violation), format, args);
	va_end(args);
	return false;
}

static int
quorum(void)
{
	return world_limits.nodes / 2 + 1;
}

static bool
is_older(RaftPosition a, RaftPosition b)
{
	return a.epoch != b.epoch ? a.epoch < b.epoch : a.index < b.index;
}

static bool
same_saved(const RaftSaved *a, const RaftSaved *b)
{
	return a->save_number == b->save_number && a->boot == b->boot && a->term == b->term &&
		   a->voted_for == b->voted_for && a->promise == b->promise &&
		   a->list_digest == b->list_digest && a->list_size == b->list_size &&
		   a->abstaining == b->abstaining;
}

/* V */
static bool
remember_vote(World *w, int i, uint64_t term, int32_t candidate)
{
	uint8_t *vote = &w->vote_of[i][term];

	if (*vote != 0 && *vote != candidate + 1)
		return world_fail("V: node %d voted for node %d and for node %d in term %d", i, *vote - 1,
						  candidate, (int) term);
	*vote = (uint8_t) (candidate + 1);
	return true;
}

/* S */
static bool
remember_leader(World *w, int i, uint64_t term)
{
	int votes = 0;

	if (w->leader_of[term] != 0 && w->leader_of[term] != i + 1)
		return world_fail("S: nodes %d and %d both led term %d", w->leader_of[term] - 1, i,
						  (int) term);
	w->leader_of[term] = (uint8_t) (i + 1);
	for (int j = 0; j < world_limits.nodes; j++)
		votes += w->vote_of[j][term] == i + 1;
	if (votes < quorum())
		return world_fail("S: node %d leads term %d with %d votes of %d", i, (int) term, votes,
						  world_limits.nodes);
	return true;
}

/* F and P: does the message follow from what is durable by now? */
static bool
check_message(const World *w, int i, const RaftSaved *saved, const RaftMessage *m, const RaftMessage *received)
{
	const char *type = message_type_name(m->type);
	bool		votes = m->type == RAFT_VOTE_ANSWER && m->granted;

	if (m->boot != saved->boot || m->save_number > saved->save_number || m->term > saved->term)
		return world_fail("F: node %d sends a %s with a boot, save number or term that is not durable",
						  i, type);
	if (votes && (saved->voted_for != m->to || saved->term != m->asked_term))
		return world_fail("F: node %d says it voted for node %d, and has not saved that", i, m->to);
	if (votes && is_older(world_position(m->to), world_position(i)))
		return world_fail("P: node %d votes for node %d, whose position is older", i, m->to);
	/* The term may have risen since, in the same call: what was due went first. */
	if (m->type == RAFT_VOTE_REQUEST && w->vote_of[i][m->term] != i + 1)
		return world_fail("F: node %d asks for votes without its own", i);
	if ((m->type == RAFT_VOTE_REQUEST || m->type == RAFT_HEARTBEAT) && saved->promise < m->promise)
		return world_fail("F: node %d asks for a longer promise than it has saved", i);
	if ((m->type == RAFT_VOTE_ANSWER || m->type == RAFT_HEARTBEAT_ANSWER) && m->granted &&
		received != NULL &&
		saved->promise < received->promise)
		return world_fail("F: node %d promises more than it has saved", i);
	if (m->granted && m->type != RAFT_HEARTBEAT_ANSWER && saved->abstaining != RAFT_VOTING)
		return world_fail("S: node %d abstains and grants something", i);
	return true;
}

/* A start, after its first record is durable and before anything else.  M */
bool
world_check_start(const World *w, int i, const RaftSaved *before, bool wiped)
{
	const WorldNode *n = &w->node[i];

	if (wiped)
		return n->abstaining != RAFT_VOTING || world_fail("V: node %d lost its state and votes", i);
	if (n->term < before->term)
		return world_fail("M: node %d starts with term %d after %d", i, n->term, (int) before->term);
	if (n->save_number <= before->save_number || n->boot <= before->boot)
		return world_fail("F: node %d starts without a new record", i);
	if (n->term == before->term && n->voted_for != before->voted_for)
		return world_fail("V: node %d forgets its vote when it starts", i);
	return n->promise * UINT64_C(1000) >= before->promise || world_fail("X: node %d forgets promises when it starts", i);
}

/* After a call of node i: "before" was on its disk, r->saved is now. */
bool
world_check_node(World *w, int i, const Raft *r, const RaftSaved *before, const RaftOutput *out,
				 const RaftMessage *received)
{
	const RaftSaved *saved = &r->saved;

	if (!out->save && !same_saved(before, saved))
		return world_fail("F: node %d has changed what must be durable, and does not save it", i);
	if (out->save && saved->save_number <= before->save_number)
		return world_fail("F: node %d saves under an old number", i);
	if (saved->term < before->term)
		return world_fail("M: node %d goes from term %d to %d", i, (int) before->term,
						  (int) saved->term);
	if (saved->term == before->term && before->voted_for != RAFT_NONE &&
		saved->voted_for != before->voted_for && saved->voted_for != RAFT_UNKNOWN)
		return world_fail("V: node %d changes its vote in term %d", i, (int) saved->term);
	if (saved->voted_for >= 0 && !remember_vote(w, i, saved->term, saved->voted_for))
		return false;
	if (r->role == RAFT_LEADER && !remember_leader(w, i, saved->term))
		return false;
	for (uint32_t k = 0; k < out->n_messages; k++)
	{
		if (!check_message(w, i, saved, &out->messages[k], received))
			return false;
	}
	return true;
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
	int holder = RAFT_NONE;

	for (int i = 0; i < world_limits.nodes; i++)
	{
		int lease = w->node[i].shown_lease;
		int bound = 0;

		if (lease == 0)
			continue;
		if (holder != RAFT_NONE)
			return world_fail("X: nodes %d and %d hold leases at one instant", holder, i);
		holder = i;
		for (int j = 0; j < world_limits.nodes; j++)
			bound += bound_for(&w->node[j]) >= lease;
		if (bound < quorum())
			return world_fail("X: node %d has a lease for %d ms more, and only %d of %d are bound for so long",
							  i, lease, bound, world_limits.nodes);
	}
	return true;
}
