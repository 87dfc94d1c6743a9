/*
 * test/unit/fixture.c
 *	  See fixture.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

/* splitmix64: good enough to lose datagrams by. */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

uint64_t
world_random(World *w, uint64_t below)
{
	return next_random(&w->random) % below;
}

/* ---- invariants ---- */

static void
remember_vote(World *w, int node, uint64_t term, int candidate)
{
	for (uint32_t i = w->n_votes; i-- > 0;)
	{
		const WorldVote *vote = &w->votes[i];

		if (vote->node != node || vote->term != term)
			continue;
		if (vote->candidate != candidate)
			fail_msg("V: node %d voted for %d and for %d in term %llu", node,
					 vote->candidate, candidate, (unsigned long long) term);
		return;
	}
	assert_true(w->n_votes < WORLD_HISTORY);
	w->votes[w->n_votes++] = (WorldVote){
		node, term, candidate};
}

static void
remember_leader(World *w, int node, uint64_t term)
{
	for (uint32_t i = w->n_leaders; i-- > 0;)
	{
		if (w->leaders[i].term != term)
			continue;
		if (w->leaders[i].node != node)
			fail_msg("S: nodes %d and %d both led term %llu", w->leaders[i].node,
					 node, (unsigned long long) term);
		return;
	}
	assert_true(w->n_leaders < WORLD_HISTORY);
	w->leaders[w->n_leaders++] = (WorldVote){
		node, term, RAFT_NONE};
}

static bool
same_saved(const RaftSaved *a, const RaftSaved *b)
{
	return a->save_number == b->save_number && a->boot == b->boot &&
		   a->term == b->term && a->voted_for == b->voted_for &&
		   a->promise == b->promise && a->list_digest == b->list_digest &&
		   a->list_size == b->list_size && a->abstaining == b->abstaining;
}

static bool
is_consensus(RaftMessageType type)
{
	return type >= RAFT_PRE_VOTE_REQUEST;
}

static int
compare_positions(RaftPosition a, RaftPosition b)
{
	if (a.epoch != b.epoch)
		return a.epoch < b.epoch ? -1 : 1;
	return a.index == b.index ? 0 : a.index < b.index ? -1 :
														1;
}

/* F, P and A: what a message says must follow from what will be durable. */
static void
check_message(World *w, int i, const RaftSaved *before, const RaftMessage *m,
			  const RaftMessage *received)
{
	WorldNode		*node = &w->node[i];
	const RaftSaved *saved = &node->raft.saved;

	assert_int_equal(m->from, i);
	assert_int_not_equal(m->to, i);
	assert_true(m->to >= 0 && m->to < RAFT_MAX_NODES);
	assert_true(node->config.members >> m->to & 1);
	assert_true(m->incarnation == node->config.incarnation);
	assert_true(m->list_digest == node->config.list_digest);
	assert_true(m->sequence > node->last_sequence);
	node->last_sequence = m->sequence;

	if (m->boot > saved->boot || m->save_number > saved->save_number || m->term > saved->term)
		fail_msg("F: node %d sends %s with a boot, save number or term that is not durable",
				 i, message_type_name(m->type));
	/* What was put together before the flag fell may still say that it abstains. */
	if (m->abstaining != (saved->abstaining != RAFT_VOTING) &&
		!(m->abstaining && before->abstaining != RAFT_VOTING))
		fail_msg("A: node %d does not say whether it abstains", i);
	if (is_consensus(m->type) && !node->raft.peers[m->to].answered)
		fail_msg("G: node %d sends %s to %d, which has not answered its greeting",
				 i, message_type_name(m->type), m->to);

	switch (m->type)
	{
		case RAFT_VOTE_REQUEST:
			if (saved->voted_for != i || saved->term != m->term || saved->promise < m->promise)
				fail_msg("F: node %d asks for votes without its own", i);
			remember_vote(w, i, m->term, i);
			break;
		case RAFT_HEARTBEAT:
			if (saved->promise < m->promise)
				fail_msg("F: leader %d asks for a longer promise than it stored", i);
			break;
		case RAFT_HEARTBEAT_ANSWER:
			if (m->granted && received != NULL && saved->promise < received->promise)
				fail_msg("F: node %d promises more than it stored", i);
			break;
		case RAFT_VOTE_ANSWER:
			if (!m->granted)
				break;
			if (saved->voted_for != m->to || saved->term != m->asked_term)
				fail_msg("F: node %d gives a vote that it did not store", i);
			remember_vote(w, i, m->asked_term, m->to);
			if (received != NULL && received->type == RAFT_VOTE_REQUEST)
			{
				/* A vote that is only repeated has its promise already. */
				if (saved->promise < received->promise &&
					!(before->term == saved->term && before->voted_for == m->to))
					fail_msg("F: node %d votes without storing the promise", i);
				if (compare_positions(received->position, node->raft.position) < 0)
					fail_msg("P: node %d votes for %d, which is behind it", i, m->to);
			}
			break;
		default:
			break;
	}
	if (saved->abstaining != RAFT_VOTING &&
		(m->type == RAFT_VOTE_REQUEST || m->type == RAFT_PRE_VOTE_REQUEST ||
		 m->type == RAFT_HEARTBEAT || m->type == RAFT_TRANSFER ||
		 (m->granted && (m->type == RAFT_VOTE_ANSWER || m->type == RAFT_PRE_VOTE_ANSWER))))
		fail_msg("A: node %d abstains and sends %s", i, message_type_name(m->type));
}

/* M, F: the record against the disk. */
static void
check_record(World *w, int i)
{
	WorldNode		*node = &w->node[i];
	const RaftSaved *saved = &node->raft.saved;

	if (!node->out.save && !same_saved(saved, &node->disk))
		fail_msg("F: node %d changed its record and does not ask to save it", i);
	if (node->out.save && saved->save_number <= node->disk.save_number)
		fail_msg("F: node %d saves without a new save number", i);
	if (saved->term < node->disk.term)
		fail_msg("M: the term of node %d fell from %llu to %llu", i,
				 (unsigned long long) node->disk.term, (unsigned long long) saved->term);
	if (saved->term == node->disk.term && node->disk.voted_for != RAFT_NONE &&
		saved->voted_for != node->disk.voted_for && saved->voted_for != RAFT_UNKNOWN)
		fail_msg("V: node %d changed its vote from %d to %d within a term", i,
				 node->disk.voted_for, saved->voted_for);
	if (saved->boot < node->disk.boot)
		fail_msg("M: the boot counter of node %d fell", i);
	if (saved->voted_for >= 0)
		remember_vote(w, i, saved->term, saved->voted_for);
}

/* S, X, A over all nodes. */
static void
check_world(World *w)
{
	int holder = RAFT_NONE;

	for (int i = 0; i < w->n; i++)
	{
		WorldNode *node = &w->node[i];
		uint64_t   lease = node->running ? raft_lease_until(&node->raft) : node->crashed_lease;

		if (node->running)
		{
			const Raft *r = &node->raft;

			if (r->role == RAFT_LEADER)
			{
				remember_leader(w, i, r->saved.term);
				assert_int_equal(r->saved.voted_for, i);
				assert_int_equal(r->leader_id, i);
			}
			else if (lease != 0)
				fail_msg("X: node %d is no leader and has a lease", i);
			if (r->saved.abstaining != RAFT_VOTING && r->role != RAFT_FOLLOWER)
				fail_msg("A: node %d abstains and is a %s", i, raft_role_name(r->role));
			if (raft_deadline(r) > w->now + UINT64_C(3600000000))
				fail_msg("the deadline of node %d is not finite", i);
			if (node->crashed_lease > lease)
				lease = node->crashed_lease;
		}
		if (lease <= w->now)
			continue;
		if (holder != RAFT_NONE)
			fail_msg("X: nodes %d and %d hold leases at once", holder, i);
		holder = i;
	}
}

/* ---- one call of a core ---- */

static void
enqueue(World *w, const RaftMessage *m)
{
	MessageEnvelope envelope = {.cluster_digest = WORLD_CLUSTER};
	WorldDatagram  *d;

	if (m->to >= w->n || w->cut[m->from][m->to])
		return;
	if (w->lose_count > 0 && m->type == w->lose_type)
	{
		w->lose_count--;
		return;
	}
	assert_true(w->n_queue < WORLD_QUEUE);
	d = &w->queue[w->n_queue++];
	d->from = m->from;
	d->to = m->to;
	d->arrives_at = w->now + w->delay + (w->jitter > 0 ? world_random(w, w->jitter) : 0);
	message_encode(m, &envelope, d->bytes);
}

static void
begin_call(World *w, int i)
{
	assert_true(w->node[i].running);
	assert_false(w->node[i].paused);
	memset(&w->node[i].out, 0xA5, sizeof(RaftOutput)); /* the core must fill it in */
	w->node[i].out.save = false;
	w->node[i].out.n_messages = w->node[i].out.n_events = 0;
}

/* What the call brought about is lost; what was shown before it still stands. */
static void
die_in_call(WorldNode *node)
{
	node->fault = WORLD_NO_FAULT;
	node->running = false;
	if (node->shown_lease > node->crashed_lease)
		node->crashed_lease = node->shown_lease;
}

/* Save, show, send: what the worker does. */
static void
end_call(World *w, int i, const RaftMessage *received)
{
	WorldNode		 *node = &w->node[i];
	const RaftOutput *out = &node->out;
	RaftSaved		  before = node->disk;

	assert_true(out->n_messages <= RAFT_MAX_MESSAGES);
	assert_true(out->n_events <= RAFT_MAX_EVENTS);
	if (out->save && node->fault == WORLD_SAVE_FAILS)
	{
		die_in_call(node);
		return;
	}
	check_record(w, i);
	if (out->save)
	{
		node->disk = node->raft.saved;
		node->n_saves++;
		if (node->fault == WORLD_DIES_BEFORE_SENDING)
		{
			die_in_call(node);
			return;
		}
	}
	node->shown_lease = raft_lease_until(&node->raft);
	for (uint32_t e = 0; e < out->n_events; e++)
	{
		assert_true(out->events[e].reason < RAFT_REASONS);
		if (node->n_events < WORLD_EVENTS)
			node->events[node->n_events++] = out->events[e];
	}
	if (w->observer != NULL)
		w->observer(w, i, &before);
	for (uint32_t m = 0; m < out->n_messages; m++)
	{
		check_message(w, i, &before, &out->messages[m], received);
		node->n_sent[out->messages[m].type]++;
		enqueue(w, &out->messages[m]);
	}
	check_world(w);
}

/* ---- making a world ---- */

void
world_prepare(World *w, int n)
{
	assert_true(n >= 1 && n <= WORLD_MAX_NODES);
	memset(w, 0, sizeof(*w));
	w->n = n;
	w->now = WORLD_START;
	w->random = 1;
	for (int i = 0; i < n; i++)
	{
		RaftConfig *config = &w->node[i].config;

		config->node_id = i;
		config->members = (UINT64_C(1) << n) - 1;
		config->list_digest = WORLD_LIST;
		config->list_size = (uint32_t) n;
		config->seed = 1000 + (uint64_t) i;
		config->may_lead = true;
		config->timeouts.min_timeout = MS(200);
		config->timeouts.max_timeout = MS(400);
		config->timeouts.heartbeat_interval = MS(50);
		config->timeouts.max_drift_ppm = 100000;
		assert_null(raft_check_config(config));
	}
}

void
world_new_store(World *w, int i)
{
	WorldNode *node = &w->node[i];

	memset(&node->disk, 0, sizeof(node->disk));
	node->disk.save_number = 1;
	node->disk.voted_for = RAFT_NONE;
	node->disk.list_digest = node->config.list_digest;
	node->disk.list_size = node->config.list_size;
	node->has_store = true;
	node->damaged = false;
}

void
world_start(World *w, int i)
{
	WorldNode *node = &w->node[i];
	RaftSaved  first;

	assert_false(node->running);
	memset(&first, 0xA5, sizeof(first));
	raft_first_record(node->has_store ? &node->disk : NULL, node->damaged,
					  &node->config, &first);
	if (node->has_store)
	{
		assert_true(first.term == node->disk.term);
		assert_int_equal(first.voted_for, node->disk.voted_for);
		assert_true(first.promise >= node->disk.promise);
		assert_true(first.boot > node->disk.boot);
		assert_true(first.save_number > node->disk.save_number);
	}
	else
		assert_int_equal(first.abstaining, RAFT_ABSTAIN_NEW);
	node->disk = first;
	node->has_store = true;
	node->damaged = false;
	node->config.incarnation = next_random(&w->incarnations) | 1;
	node->last_sequence = 0;
	memset(&node->raft, 0xA5, sizeof(node->raft));
	raft_init(&node->raft, &node->config, &node->disk, w->now);
	node->running = true;
	node->paused = false;
	node->shown_lease = 0;
	assert_true(same_saved(&node->raft.saved, &node->disk));
	check_world(w);
}

static void
init(World *w, int n, bool blank)
{
	world_prepare(w, n);
	for (int i = 0; i < n; i++)
	{
		if (!blank)
			world_new_store(w, i);
		world_start(w, i);
	}
}

void
world_init(World *w, int n)
{
	init(w, n, false);
}

void
world_init_blank(World *w, int n)
{
	init(w, n, true);
}

void
world_crash(World *w, int i)
{
	WorldNode *node = &w->node[i];
	uint64_t   lease;

	assert_true(node->running);
	lease = raft_lease_until(&node->raft);
	if (lease > node->crashed_lease)
		node->crashed_lease = lease;
	node->running = false;
}

void
world_restart(World *w, int i)
{
	if (w->node[i].running)
		world_crash(w, i);
	world_start(w, i);
}

void
world_wipe(World *w, int i)
{
	assert_false(w->node[i].running);
	w->node[i].has_store = false;
	memset(&w->node[i].disk, 0, sizeof(RaftSaved));
}

void
world_restore(World *w, int i, const RaftSaved *copy)
{
	assert_false(w->node[i].running);
	w->node[i].disk = *copy;
	w->node[i].has_store = true;
}

void
world_set_disk(World *w, int i, uint64_t term, int32_t voted_for)
{
	assert_false(w->node[i].running);
	world_new_store(w, i);
	w->node[i].disk.save_number = 10;
	w->node[i].disk.boot = 3;
	w->node[i].disk.term = term;
	w->node[i].disk.voted_for = voted_for;
	w->node[i].disk.promise = voted_for == RAFT_NONE ? 0 : MS(200);
}

/* ---- time ---- */

void
world_advance(World *w, uint64_t us)
{
	w->now += us;
	check_world(w);
}

void
world_tick(World *w, int i)
{
	begin_call(w, i);
	raft_tick(&w->node[i].raft, w->now, &w->node[i].out);
	end_call(w, i, NULL);
	if (w->node[i].running && raft_deadline(&w->node[i].raft) <= w->now)
		fail_msg("node %d still has something due after its tick", i);
}

void
world_tick_at_deadline(World *w, int i)
{
	uint64_t deadline = raft_deadline(&w->node[i].raft);

	if (deadline > w->now)
		world_advance(w, deadline - w->now);
	world_tick(w, i);
}

void
world_set_timer(World *w, int i, uint64_t us_from_now)
{
	assert_true(w->node[i].running);
	w->node[i].raft.timer = w->now + us_from_now;
}

/* ---- the network ---- */

static void
remove_datagram(World *w, uint32_t index)
{
	assert_true(index < w->n_queue);
	memmove(&w->queue[index], &w->queue[index + 1],
			(w->n_queue - index - 1) * sizeof(WorldDatagram));
	w->n_queue--;
}

static void
receive(World *w, int to, const uint8_t *bytes)
{
	MessageEnvelope envelope = {.cluster_digest = WORLD_CLUSTER};
	RaftMessage		message;

	assert_int_equal(message_decode(bytes, MESSAGE_SIZE, &envelope, &message), MESSAGE_OK);
	if (!w->node[to].running)
		return;
	begin_call(w, to);
	raft_receive(&w->node[to].raft, w->now, &message, &w->node[to].out);
	end_call(w, to, &message);
}

static void
deliver_index(World *w, uint32_t index)
{
	WorldDatagram d = w->queue[index];

	remove_datagram(w, index);
	receive(w, d.to, d.bytes);
}

static int
find_datagram(World *w, int from, int to)
{
	for (uint32_t i = 0; i < w->n_queue; i++)
		if (w->queue[i].from == from && w->queue[i].to == to)
			return (int) i;
	return -1;
}

bool
world_deliver(World *w, int from, int to)
{
	int index = find_datagram(w, from, to);

	if (index < 0)
		return false;
	deliver_index(w, (uint32_t) index);
	return true;
}

void
world_deliver_all(World *w)
{
	uint32_t index = 0;

	for (int steps = 0; index < w->n_queue; steps++)
	{
		if (steps >= 100000)
			fail_msg("the members talk for ever without any time passing");
		if (w->node[w->queue[index].to].paused)
			index++;
		else
			deliver_index(w, index);
	}
}

bool
world_take(World *w, int from, int to, RaftMessage *message)
{
	MessageEnvelope envelope = {.cluster_digest = WORLD_CLUSTER};
	int				index = find_datagram(w, from, to);

	if (index < 0)
		return false;
	assert_int_equal(message_decode(w->queue[index].bytes, MESSAGE_SIZE, &envelope, message),
					 MESSAGE_OK);
	remove_datagram(w, (uint32_t) index);
	return true;
}

bool
world_drop(World *w, int from, int to)
{
	RaftMessage message;

	return world_take(w, from, to, &message);
}

void
world_drop_all(World *w)
{
	w->n_queue = 0;
}

void
world_replay(World *w, const RaftMessage *message)
{
	MessageEnvelope envelope = {.cluster_digest = WORLD_CLUSTER};
	uint8_t			bytes[MESSAGE_SIZE];

	message_encode(message, &envelope, bytes);
	receive(w, message->to, bytes);
}

void
world_inject(World *w, const RaftMessage *message)
{
	uint64_t seen = world_dropped(w, message->to, RAFT_DROP_SEEN);

	world_replay(w, message);
	if (world_dropped(w, message->to, RAFT_DROP_SEEN) > seen)
		fail_msg("%s %llu has come before, or comes far too late",
				 message_type_name(message->type), (unsigned long long) message->sequence);
}

void
world_say_again(World *w, RaftMessage *message)
{
	message->sequence = ++w->node[message->from].raft.sequence;
	world_inject(w, message);
}

void
world_inject_raw(World *w, int to, const RaftMessage *message)
{
	begin_call(w, to);
	raft_receive(&w->node[to].raft, w->now, message, &w->node[to].out);
	end_call(w, to, message);
}

void
world_cut(World *w, int from, int to)
{
	w->cut[from][to] = true;
	while (world_drop(w, from, to))
		;
}

void
world_cut_both(World *w, int a, int b)
{
	world_cut(w, a, b);
	world_cut(w, b, a);
}

void
world_isolate(World *w, int node)
{
	for (int i = 0; i < w->n; i++)
		if (i != node)
			world_cut_both(w, node, i);
}

void
world_heal(World *w)
{
	memset(w->cut, 0, sizeof(w->cut));
}

/* ---- letting it run ---- */

static bool
runs(const WorldNode *node)
{
	return node->running && !node->paused;
}

/* Whatever is due now, one thing at a time; false: nothing is. */
static bool
step_now(World *w)
{
	for (uint32_t i = 0; i < w->n_queue; i++)
	{
		WorldDatagram *d = &w->queue[i];

		if (d->arrives_at > w->now || w->node[d->to].paused)
			continue;
		if (w->loss_percent > 0 && world_random(w, 100) < w->loss_percent)
			remove_datagram(w, i);
		else
			deliver_index(w, i);
		return true;
	}
	for (int i = 0; i < w->n; i++)
	{
		if (runs(&w->node[i]) && raft_deadline(&w->node[i].raft) <= w->now)
		{
			world_tick(w, i);
			return true;
		}
	}
	return false;
}

static uint64_t
next_moment(World *w, uint64_t end)
{
	uint64_t next = end;

	for (uint32_t i = 0; i < w->n_queue; i++)
		if (!w->node[w->queue[i].to].paused && w->queue[i].arrives_at < next)
			next = w->queue[i].arrives_at;
	for (int i = 0; i < w->n; i++)
		if (runs(&w->node[i]) && raft_deadline(&w->node[i].raft) < next)
			next = raft_deadline(&w->node[i].raft);
	return next > w->now ? next : w->now;
}

bool
world_run_until(World *w, bool (*done)(World *w), uint64_t us)
{
	uint64_t end = w->now + us;

	for (int steps = 0;; steps++)
	{
		if (done != NULL && done(w))
			return true;
		if (steps >= 2000000)
			fail_msg("more steps than the time that passed can explain");
		if (step_now(w))
			continue;
		if (w->now >= end)
			return false;
		world_advance(w, next_moment(w, end) - w->now);
	}
}

void
world_run(World *w, uint64_t us)
{
	(void) world_run_until(w, NULL, us);
}

static bool
all_greeted(World *w)
{
	for (int i = 0; i < w->n; i++)
		for (int j = 0; j < w->n; j++)
			if (i != j && runs(&w->node[i]) && runs(&w->node[j]) &&
				!w->cut[i][j] && !w->cut[j][i] &&
				(!w->node[i].raft.peers[j].answered ||
				 w->node[i].raft.peers[j].incarnation != w->node[j].config.incarnation))
				return false;
	return w->n_queue == 0;
}

void
world_greet_all(World *w)
{
	if (!world_run_until(w, all_greeted, MS(150)))
		fail_msg("the greetings did not come to an end");
}

RaftMessage
world_message(World *w, RaftMessageType type, int from, int to)
{
	RaftMessage m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.from = from;
	m.to = to;
	m.may_lead = true;
	m.list_digest = w->node[from].config.list_digest;
	m.boot = w->node[from].disk.boot;
	m.incarnation = w->node[from].config.incarnation;
	m.echo_boot = w->node[to].disk.boot;
	m.echo_incarnation = w->node[to].config.incarnation;
	m.sequence = ++w->node[from].raft.sequence;
	m.save_number = w->node[from].disk.save_number;
	m.term = w->node[from].disk.term;
	m.leader_id = RAFT_NONE;
	m.replaced_leader = RAFT_NONE;
	return m;
}

RaftMessage
world_pre_vote_request(World *w, int from, int to, uint64_t asked_term)
{
	RaftMessage m = world_message(w, RAFT_PRE_VOTE_REQUEST, from, to);

	m.term = asked_term - 1;
	m.asked_term = asked_term;
	m.round = 1;
	return m;
}

RaftMessage
world_vote_request(World *w, int from, int to, uint64_t term)
{
	RaftMessage m = world_message(w, RAFT_VOTE_REQUEST, from, to);

	m.term = term;
	m.promise = MS(200);
	return m;
}

RaftMessage
world_heartbeat(World *w, int from, int to, uint64_t term, uint64_t round)
{
	RaftMessage m = world_message(w, RAFT_HEARTBEAT, from, to);

	m.term = term;
	m.round = round;
	m.promise = MS(200);
	return m;
}

RaftMessage
world_answer(World *w, const RaftMessage *request, bool granted)
{
	RaftMessageType type = request->type == RAFT_PRE_VOTE_REQUEST ? RAFT_PRE_VOTE_ANSWER :
						   request->type == RAFT_VOTE_REQUEST	  ? RAFT_VOTE_ANSWER :
																	RAFT_HEARTBEAT_ANSWER;
	RaftMessage		m = world_message(w, type, request->to, request->from);

	m.round = request->round;
	m.asked_term = type == RAFT_PRE_VOTE_ANSWER ? request->asked_term : request->term;
	m.term = request->term;
	m.granted = granted;
	if (type == RAFT_HEARTBEAT_ANSWER)
		m.position = request->position;
	return m;
}

void
world_acknowledge(World *w, const RaftMessage *heartbeat)
{
	RaftMessage m = world_answer(w, heartbeat, true);

	world_inject(w, &m);
}

/* ---- calls ---- */

RaftTransferResult
world_transfer(World *w, int i, int target)
{
	RaftTransferResult result;

	begin_call(w, i);
	result = raft_transfer(&w->node[i].raft, w->now, target, &w->node[i].out);
	end_call(w, i, NULL);
	return result;
}

void
world_resign(World *w, int i)
{
	begin_call(w, i);
	raft_resign(&w->node[i].raft, w->now, &w->node[i].out);
	end_call(w, i, NULL);
}

bool
world_admit(World *w, int i)
{
	bool admitted;

	begin_call(w, i);
	admitted = raft_admit(&w->node[i].raft, w->now, &w->node[i].out);
	end_call(w, i, NULL);
	return admitted;
}

void
world_set_position(World *w, int i, uint64_t epoch, uint64_t index)
{
	raft_set_position(&w->node[i].raft, (RaftPosition){
											epoch, index});
}

/* ---- asking ---- */

void
world_forget(World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		w->node[i].n_events = 0;
		w->node[i].n_saves = 0;
		memset(w->node[i].n_sent, 0, sizeof(w->node[i].n_sent));
	}
}

const RaftEvent *
world_event(World *w, int i, RaftReason reason)
{
	for (uint32_t e = w->node[i].n_events; e-- > 0;)
		if (w->node[i].events[e].reason == reason)
			return &w->node[i].events[e];
	return NULL;
}

const RaftMessage *
world_sent(World *w, int i, RaftMessageType type, int to)
{
	for (uint32_t m = 0; m < w->node[i].out.n_messages; m++)
	{
		const RaftMessage *message = &w->node[i].out.messages[m];

		if (message->type == type && (to == RAFT_NONE || message->to == to))
			return message;
	}
	return NULL;
}

uint64_t
world_dropped(World *w, int i, RaftDrop why)
{
	return w->node[i].raft.counters.dropped[why];
}

int
world_under_way(World *w, RaftMessageType type, int from, int to)
{
	int count = 0;

	for (uint32_t i = 0; i < w->n_queue; i++)
		count += w->queue[i].bytes[5] == type &&
				 (from == RAFT_NONE || w->queue[i].from == from) &&
				 (to == RAFT_NONE || w->queue[i].to == to);
	return count;
}

int
world_leader(World *w)
{
	int leader = RAFT_NONE;

	for (int i = 0; i < w->n; i++)
		if (w->node[i].running && w->node[i].raft.role == RAFT_LEADER &&
			(leader == RAFT_NONE ||
			 w->node[i].raft.saved.term > w->node[leader].raft.saved.term))
			leader = i;
	return leader;
}

bool
world_is_stable(World *w)
{
	int leader = world_leader(w);

	if (leader == RAFT_NONE || !world_has_lease(w, leader))
		return false;
	for (int i = 0; i < w->n; i++)
		if (runs(&w->node[i]) &&
			(w->node[i].raft.leader_id != leader ||
			 w->node[i].raft.saved.term != w->node[leader].raft.saved.term))
			return false;
	return true;
}

bool
world_has_lease(World *w, int i)
{
	return w->node[i].running && raft_lease_until(&w->node[i].raft) > w->now;
}

uint64_t
world_lease_length(World *w, int i, uint64_t promise)
{
	uint64_t drift = w->node[i].config.timeouts.max_drift_ppm;

	return promise * (1000000 - drift) / (1000000 + drift) - RAFT_LEASE_MARGIN;
}

void
world_init_alone(World *w, int n)
{
	world_init(w, n);
	world_greet_all(w);
	world_drop_all(w);
	world_forget(w);
}

void
world_elect(World *w, int i)
{
	world_deliver_all(w);
	world_set_timer(w, i, 0);
	world_tick(w, i);
	world_deliver_all(w);
	if (w->node[i].raft.role != RAFT_LEADER || !world_is_stable(w))
		fail_msg("node %d did not become leader", i);
}

void
world_lead_alone(World *w, int n)
{
	world_init_alone(w, n);
	world_elect(w, 0);
	world_drop_all(w);
}
