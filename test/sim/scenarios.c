/*
 * test/sim/scenarios.c
 *	  What the scenarios share, see scenarios.h.
 */
#include "scenarios.h"

void
begin(World *w, int n)
{
	world_reset(w, n, w->seed + 1);
	world_start_all(w);
}

int
begin_settled(World *w, int n)
{
	begin(w, n);
	return checker_await(w);
}

bool
run_until(World *w, uint64_t limit, Condition condition, int arg)
{
	uint64_t until = w->now + limit;

	while (!condition(w, arg))
	{
		if (!world_event(w, until))
			return condition(w, arg);
	}
	return true;
}

bool
is_leading(World *w, int i)
{
	return node_has_lease(w, i);
}

bool
nobody_leads(World *w, int unused)
{
	(void) unused;
	return world_lease(w) < 0;
}

bool
somebody_leads(World *w, int unused)
{
	(void) unused;
	return world_lease(w) >= 0;
}

bool
is_voting(World *w, int i)
{
	return w->node[i].up && w->node[i].durable.abstaining == RAFT_VOTING;
}

bool
is_abstaining(World *w, int i)
{
	return w->node[i].up && w->node[i].durable.abstaining != RAFT_VOTING;
}

bool
everybody_votes(World *w, int unused)
{
	(void) unused;
	for (int i = 0; i < w->n; i++)
	{
		if (!is_voting(w, i))
			return false;
	}
	return true;
}

bool
is_candidate(World *w, int i)
{
	return w->node[i].up && w->node[i].member.raft.role == RAFT_CANDIDATE;
}

bool
is_saving(World *w, int i)
{
	return node_is_saving(w, i);
}

int
someone(const World *w, int not, int nor)
{
	for (int i = 0; i < w->n; i++)
	{
		if (i != not &&i != nor)
			return i;
	}
	return -1;
}

RaftMessage
forge(World *w, RaftMessageType type, int from, int to)
{
	Node	   *a = &w->node[from];
	const Node *b = &w->node[to];
	RaftMessage m = {.type = type, .from = a->id, .to = b->id};

	m.may_lead = true;
	m.list_digest = a->config.list_digest;
	m.boot = a->durable.boot;
	m.incarnation = a->member.raft.config.incarnation;
	m.echo_boot = b->durable.boot;
	m.echo_incarnation = b->member.raft.config.incarnation;
	m.sequence = ++a->member.raft.peers[m.to].sent; /* a datagram of its own */
	m.save_number = a->durable.save_number;
	m.term = a->durable.term;
	m.leader_id = m.replaced_leader = RAFT_NONE;
	return m;
}

void
hand_over(World *w, const RaftMessage *m)
{
	MessageEnvelope envelope = {.cluster_digest = SIM_CLUSTER};
	uint8_t			bytes[MESSAGE_SIZE];

	message_encode(m, &envelope, bytes);
	network_inject(w, m->to, bytes, MESSAGE_SIZE, m->from);
	while (w->n_events > 0 && w->heap[0].at <= w->now)
		(void) world_event(w, w->now);
}
