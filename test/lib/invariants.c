/*
 * test/lib/invariants.c
 *	  What must hold of every member after every call; see invariants.h.
 */
#include "invariants.h"

#include <stdarg.h>
#include <stdio.h>

char invariants_violation[256];

/* Always false, so that a check can end with it. */
bool
invariants_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(invariants_violation, sizeof(invariants_violation), format, args);
	va_end(args);
	return false;
}

static bool
is_at(RaftPosition a, RaftPosition b)
{
	return a.epoch == b.epoch && a.index == b.index;
}

static bool
same_data(const RaftSaved *a, const RaftSaved *b)
{
	if (a->n_timelines != b->n_timelines)
		return false;
	for (uint32_t i = 0; i < a->n_timelines; i++)
	{
		if (a->timelines[i].id != b->timelines[i].id || a->timelines[i].created != b->timelines[i].created)
			return false;
	}
	return a->claim == b->claim && a->pause == b->pause && a->promoting == b->promoting && a->system_id == b->system_id &&
		   raft_list_equals(&a->list, &b->list) && a->distrusted == b->distrusted && a->never_held == b->never_held && a->rebuild == b->rebuild &&
		   a->rebuild_source == b->rebuild_source && a->rebuild_term == b->rebuild_term &&
		   is_at(a->floor, b->floor);
}

bool
invariants_same(const RaftSaved *a, const RaftSaved *b)
{
	return same_data(a, b) && a->save_number == b->save_number && a->boot == b->boot && a->term == b->term &&
		   a->voted_for == b->voted_for && a->promise == b->promise &&
		   a->list_digest == b->list_digest && a->list_size == b->list_size &&
		   a->abstaining == b->abstaining;
}

static bool
is_older(RaftPosition a, RaftPosition b)
{
	return a.epoch != b.epoch ? a.epoch < b.epoch : a.index < b.index;
}

/* Has this call given a vote to somebody else? */
static bool
gives_vote(const InvariantsCall *call)
{
	const RaftSaved *saved = &call->raft->saved;

	return saved->voted_for >= 0 && saved->voted_for != call->raft->config.node_id &&
		   (saved->term != call->before->term || saved->voted_for != call->before->voted_for);
}

/* P, and F of promises. */
static bool
check_received(const InvariantsCall *call)
{
	const RaftMessage *m = call->received;
	const Raft		  *r = call->raft;
	bool			   follows = m->type == RAFT_HEARTBEAT && call->output->outcome == RAFT_TAKEN;

	if (gives_vote(call) && (m->type != RAFT_VOTE_REQUEST || m->from != r->saved.voted_for))
		return invariants_fail("V: node %d votes for %d, which has not asked", call->node, r->saved.voted_for);
	if (gives_vote(call) && is_older(m->position, r->position))
		return invariants_fail("P: node %d votes for %d, whose position is older", call->node, m->from);
	if ((follows || gives_vote(call)) && r->saved.promise < m->promise)
		return invariants_fail("F: node %d gives a longer promise than it saves", call->node);
	return true;
}

bool
invariants_decided(const InvariantsCall *call)
{
	const RaftSaved *before = call->before;
	const RaftSaved *saved = &call->raft->saved;
	int				 i = call->node;

	if (!call->output->save && !invariants_same(saved, before))
		return invariants_fail("F: node %d has changed what must be durable, and does not save it", i);
	if (call->output->save && saved->save_number <= before->save_number)
		return invariants_fail("F: node %d saves without a new save number", i);
	if (saved->term < before->term || saved->term > RAFT_MAX_TERM)
		return invariants_fail("M: node %d goes from term %llu to %llu", i, (unsigned long long) before->term,
							   (unsigned long long) saved->term);
	if (saved->claim < before->claim)
		return invariants_fail("M: the claim of node %d falls from %u to %u", i, before->claim, saved->claim);
	if (saved->pause < before->pause)
		return invariants_fail("M: the number of the last pause of node %d falls from %u to %u", i, before->pause, saved->pause);
	if (raft_list_is_newer(&before->list, &saved->list))
		return invariants_fail("M: the member list of node %d goes back from %u to %u", i, before->list.number, saved->list.number);
	if (saved->boot < before->boot)
		return invariants_fail("M: the boot counter of node %d falls", i);
	if (saved->term == before->term && before->voted_for != RAFT_NONE &&
		saved->voted_for != before->voted_for && saved->voted_for != RAFT_UNKNOWN)
		return invariants_fail("V: node %d changes its vote in term %llu from %d to %d", i,
							   (unsigned long long) saved->term, before->voted_for, saved->voted_for);
	if (saved->abstaining != RAFT_VOTING && call->raft->role != RAFT_FOLLOWER)
		return invariants_fail("A: node %d abstains and is a %s", i, raft_role_name(call->raft->role));
	return call->received == NULL || check_received(call);
}

bool
invariants_durable(const InvariantsHistory *history, int node, const RaftSaved *saved, bool forgot)
{
	uint8_t *vote = history->vote(history->context, node, saved->term);

	if (saved->voted_for >= 0)
	{
		if (*vote != 0 && *vote != saved->voted_for + 1)
			return invariants_fail("V: node %d votes for %d in term %llu, and has voted for %d", node,
								   saved->voted_for, (unsigned long long) saved->term, *vote - 1);
		*vote = (uint8_t) (saved->voted_for + 1);
	}
	else if (saved->voted_for == RAFT_NONE && *vote != 0 && saved->abstaining == RAFT_VOTING && !forgot)
		return invariants_fail("V: node %d forgets that it voted for %d in term %llu", node, *vote - 1,
							   (unsigned long long) saved->term);
	return true;
}

bool
invariants_lists(int a, const RaftList *of_a, int b, const RaftList *of_b)
{
	bool same = of_a->now == of_b->now && of_a->old == of_b->old;

	if (same || of_a->number != of_b->number)
		return true;
	if (of_a->term == of_b->term)
		return invariants_fail("N: nodes %d and %d have different lists %u of term %llu", a, b, of_a->number,
							   (unsigned long long) of_a->term);
	return raft_list_is_joint(of_a) || invariants_fail("N: nodes %d and %d count by different lists %u", a, b, of_a->number);
}

bool
invariants_shown(const InvariantsHistory *history, const InvariantsCall *call, const RaftSaved *durable,
				 uint64_t shown_lease)
{
	const Raft *r = call->raft;
	int			i = call->node;
	uint8_t	   *leader;

	if (!invariants_same(durable, &r->saved))
		return invariants_fail("F: node %d shows what was never saved", i);
	if (shown_lease != raft_lease_until(r))
		return invariants_fail("F: node %d goes on without showing its lease", i);
	if (r->role != RAFT_LEADER)
		return shown_lease == 0 || invariants_fail("X: node %d shows a lease and does not lead", i);
	if (durable->voted_for != r->config.node_id || r->leader_id != r->config.node_id)
		return invariants_fail("S: node %d leads without its own vote", i);
	leader = history->leader(history->context, durable->term);
	if (*leader != 0 && *leader != i + 1)
		return invariants_fail("S: nodes %d and %d lead in term %llu", *leader - 1, i,
							   (unsigned long long) durable->term);
	*leader = (uint8_t) (i + 1);
	return true;
}

/* A: of a member that abstains. */
static bool
is_allowed_to_abstainers(const RaftMessage *m)
{
	switch (m->type)
	{
		case RAFT_PRE_VOTE_REQUEST:
		case RAFT_VOTE_REQUEST:
		case RAFT_HEARTBEAT:
		case RAFT_TRANSFER:
			return false;
		case RAFT_PRE_VOTE_ANSWER:
		case RAFT_VOTE_ANSWER:
			return !m->granted;
		default:
			return true;
	}
}

bool
invariants_sent(const InvariantsCall *call, const RaftSaved *durable, const RaftMessage *m,
				uint64_t shown_lease)
{
	int32_t id = call->raft->config.node_id;
	int		i = call->node;

	if (m->boot > durable->boot || m->save_number > durable->save_number || m->term > durable->term)
		return invariants_fail("F: node %d sends a %s with a boot, save number or term that is not durable", i,
							   message_type_name(m->type));
	/* with a vote goes the newest timeline, be it claimed or not */
	if (m->told.claimed && m->told.claim > durable->claim && m->type != RAFT_VOTE_ANSWER)
		return invariants_fail("F: node %d sends a %s with a claim that is not durable", i, message_type_name(m->type));
	if (m->told.pause > durable->pause)
		return invariants_fail("F: node %d sends a %s with a pause that is not durable", i, message_type_name(m->type));
	if (durable->abstaining != RAFT_VOTING && !is_allowed_to_abstainers(m))
		return invariants_fail("A: node %d abstains and sends a %s", i, message_type_name(m->type));
	switch (m->type)
	{
		case RAFT_VOTE_ANSWER:
			if (m->granted && (durable->voted_for != m->to || durable->term != m->asked_term))
				return invariants_fail("V: node %d answers %d with a vote that it has not saved", i, m->to);
			break;
		case RAFT_VOTE_REQUEST:
		case RAFT_HEARTBEAT:
			if (durable->voted_for != id || durable->term != m->term)
				return invariants_fail("V: node %d sends a %s without its own vote", i, message_type_name(m->type));
			if (durable->promise < m->promise)
				return invariants_fail("F: node %d asks for a longer promise than it has saved", i);
			break;
		case RAFT_HEARTBEAT_ANSWER:
			if (m->granted && call->received != NULL && durable->promise < call->received->promise)
				return invariants_fail("F: node %d promises more than it has saved", i);
			break;
		case RAFT_TRANSFER:
			if (shown_lease != 0)
				return invariants_fail("F: node %d hands over and still shows a lease", i);
			break;
		default:
			break;
	}
	return true;
}

bool
invariants_leases(const uint64_t *ends, int n, uint64_t now)
{
	int holder = RAFT_NONE;

	for (int i = 0; i < n; i++)
	{
		if (ends[i] <= now)
			continue;
		if (holder != RAFT_NONE)
			return invariants_fail("X: nodes %d and %d hold leases for another %llu and %llu us", holder, i,
								   (unsigned long long) (ends[holder] - now), (unsigned long long) (ends[i] - now));
		holder = i;
	}
	return true;
}
