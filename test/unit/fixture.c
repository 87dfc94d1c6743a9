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
#include "invariants.h"

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

/* What is remembered of a node (or of all, with RAFT_NONE) in a term. */
static uint8_t *
remembered(WorldVote *list, uint32_t *n, int node, uint64_t term)
{
	for (uint32_t i = *n; i-- > 0;)
	{
		if (list[i].node == node && list[i].term == term)
			return &list[i].whom;
	}
	assert_true(*n < WORLD_HISTORY);
	list[*n] = (WorldVote){node, term, 0};
	return &list[(*n)++].whom;
}

static uint8_t *
vote_of(void *context, int node, uint64_t term)
{
	World *w = context;

	return remembered(w->votes, &w->n_votes, node, term);
}

static uint8_t *
leader_of(void *context, uint64_t term)
{
	World *w = context;

	return remembered(w->leaders, &w->n_leaders, RAFT_NONE, term);
}

static void
must_hold(bool holds)
{
	if (!holds)
		fail_msg("%s", invariants_violation);
}

static InvariantsCall
call_of(World *w, int i)
{
	Member *member = &w->node[i].member;

	return (InvariantsCall){i, &member->raft, &w->node[i].before, &member->output, member->received};
}

/* What only this small world can say of a message. */
static void
check_message(World *w, int i, const RaftMessage *m)
{
	WorldNode *node = &w->node[i];

	assert_int_equal(m->from, i);
	assert_int_not_equal(m->to, i);
	assert_true(m->to >= 0 && m->to < RAFT_MAX_NODES);
	assert_true(node->config.members >> m->to & 1);
	assert_true(m->incarnation == node->config.incarnation);
	assert_true(m->list_digest == node->config.list_digest);
	if (m->to < w->n)
	{
		assert_true(m->sequence > node->last_sequence[m->to]);
		node->last_sequence[m->to] = m->sequence;
	}

	/* What was put together before the flag fell may still say that it abstains. */
	if (m->abstaining != (node->disk.abstaining != RAFT_VOTING || !raft_list_fits(&node->config, &node->disk.list)) &&
		!(m->abstaining && node->before.abstaining != RAFT_VOTING))
		fail_msg("A: node %d does not say whether it abstains", i);
	if (m->type >= RAFT_PRE_VOTE_REQUEST && !node->member.raft.peers[m->to].answered)
		fail_msg("G: node %d sends %s to %d, which has not answered its greeting",
				 i, message_type_name(m->type), m->to);
}

/* X, with the leases that crashed members have shown. */
static void
check_world(World *w)
{
	uint64_t ends[WORLD_MAX_NODES] = {0};

	for (int i = 0; i < w->n; i++)
	{
		WorldNode *node = &w->node[i];

		ends[i] = node->crashed_lease;
		if (!node->running)
			continue;
		if (node->shown_lease > ends[i])
			ends[i] = node->shown_lease;
		if (member_deadline(&node->member) > w->now + UINT64_C(3600000000))
			fail_msg("the deadline of node %d is not finite", i);
	}
	must_hold(invariants_leases(ends, w->n, w->now));
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

/* The world is the context of all its members; which of them is this? */
static World *
world_of(Member *member, int *i)
{
	World *w = member->context;

	*i = member->raft.config.node_id;
	return w;
}

/* What the call brought about is lost; what was shown before it still stands. */
static MemberSave
die_in_call(WorldNode *node)
{
	node->fault = WORLD_NO_FAULT;
	node->running = false;
	if (node->shown_lease > node->crashed_lease)
		node->crashed_lease = node->shown_lease;
	return MEMBER_NOT_SAVED;
}

static uint64_t
host_now(Member *member)
{
	return ((World *) member->context)->now;
}

static void
host_decided(Member *member)
{
	const RaftOutput *out = &member->output;
	int				  i;
	World			 *w = world_of(member, &i);
	InvariantsCall	  call;

	assert_true(out->n_messages <= RAFT_MAX_MESSAGES);
	assert_true(out->n_events <= RAFT_MAX_EVENTS);
	w->node[i].before = w->node[i].disk;
	call = call_of(w, i);
	must_hold(invariants_decided(&call));
}

static MemberSave
host_save(Member *member)
{
	int				  i;
	World			 *w = world_of(member, &i);
	WorldNode		 *node = &w->node[i];
	InvariantsHistory history = {w, vote_of, leader_of};

	if (node->fault == WORLD_SAVE_FAILS)
		return die_in_call(node);
	node->disk = member->raft.saved;
	node->n_saves++;
	must_hold(invariants_durable(&history, i, &node->disk, false));
	return node->fault == WORLD_DIES_BEFORE_SENDING ? die_in_call(node) : MEMBER_SAVED;
}

static void
host_show(Member *member)
{
	const RaftOutput *out = &member->output;
	int				  i;
	World			 *w = world_of(member, &i);
	WorldNode		 *node = &w->node[i];
	InvariantsHistory history = {w, vote_of, leader_of};
	InvariantsCall	  call = call_of(w, i);

	node->shown_lease = raft_lease_until(&member->raft);
	must_hold(invariants_shown(&history, &call, &node->disk, node->shown_lease));
	for (uint32_t e = 0; e < out->n_events; e++)
	{
		assert_true(out->events[e].reason < RAFT_REASONS);
		if (node->n_events < WORLD_EVENTS)
			node->events[node->n_events++] = out->events[e];
	}
	if (w->observer != NULL && node->running)
		w->observer(w, i, &node->before);
}

static void
host_send(Member *member, const RaftMessage *m)
{
	int			   i;
	World		  *w = world_of(member, &i);
	InvariantsCall call = call_of(w, i);

	check_message(w, i, m);
	must_hold(invariants_sent(&call, &w->node[i].disk, m, w->node[i].shown_lease));
	w->node[i].n_sent[m->type]++;
	enqueue(w, m);
}

static void
host_sent(Member *member)
{
	check_world(member->context);
}

static const MemberHost host = {
	.now = host_now,
	.decided = host_decided,
	.save = host_save,
	.show = host_show,
	.send = host_send,
	.sent = host_sent,
};

static Member *
begin_call(World *w, int i)
{
	Member *member = &w->node[i].member;

	assert_true(w->node[i].running);
	assert_false(w->node[i].paused);
	memset(&member->output, 0xA5, sizeof(RaftOutput)); /* the core must fill it in */
	member->output.outcome = RAFT_TAKEN;
	member->output.save = member->output.heard = false;
	member->output.n_messages = member->output.n_events = 0;
	member->context = w; /* worlds can be copied */
	return member;
}

/* One message; what has no effect must have changed nothing that others can see. */
static void
take_in(World *w, int i, const RaftMessage *message)
{
	WorldNode  *node = &w->node[i];
	Member	   *member = begin_call(w, i);
	RaftRole	role = member->raft.role;
	RaftOutput *out = &member->output;

	member_receive(member, message);
	if (!node->running || out->heard || out->save || out->n_messages > 0 || out->n_events > 0)
		return;
	assert_true(invariants_same(&member->raft.saved, &node->disk));
	assert_int_equal(member->raft.role, role);
	assert_true(raft_lease_until(&member->raft) == node->shown_lease);
	if (w->observer != NULL)
		w->observer(w, i, &node->disk);
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
		config->members = config->wanted = (UINT64_C(1) << n) - 1;
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
	memset(node->last_sequence, 0, sizeof(node->last_sequence));
	memset(&node->member, 0xA5, sizeof(node->member));
	member_start(&node->member, &host, w, &node->config, &node->disk);
	node->running = true;
	node->paused = false;
	assert_true(invariants_same(&node->member.raft.saved, &node->disk));
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
	lease = raft_lease_until(&node->member.raft);
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
	member_tick(begin_call(w, i), w->now);
	if (w->node[i].running && raft_deadline(&w->node[i].member.raft) <= w->now)
		fail_msg("node %d still has something due after its tick", i);
}

void
world_tick_at_deadline(World *w, int i)
{
	uint64_t deadline = raft_deadline(&w->node[i].member.raft);

	if (deadline > w->now)
		world_advance(w, deadline - w->now);
	world_tick(w, i);
}

void
world_set_timer(World *w, int i, uint64_t us_from_now)
{
	assert_true(w->node[i].running);
	w->node[i].member.raft.timer = w->now + us_from_now;
}

/* ---- the network ---- */

static bool
runs(const WorldNode *node)
{
	return node->running && !node->paused;
}

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
	take_in(w, to, &message);
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

/* The members that read something do then what is due. */
static void
tick_readers(World *w, uint32_t readers)
{
	for (int i = 0; i < w->n; i++)
	{
		if ((readers >> i & 1) != 0 && runs(&w->node[i]) &&
			member_deadline(&w->node[i].member) <= w->now)
			world_tick(w, i);
	}
}

void
world_deliver_all(World *w)
{
	uint32_t index = 0;
	uint32_t readers = 0;

	for (int steps = 0; index < w->n_queue; steps++)
	{
		int to = w->queue[index].to;

		if (steps >= 100000)
			fail_msg("the members talk for ever without any time passing");
		if (w->node[to].paused)
			index++;
		else
		{
			readers |= UINT32_C(1) << to;
			deliver_index(w, index);
		}
		if (index < w->n_queue)
			continue;
		tick_readers(w, readers);
		readers = 0;
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
	world_replay(w, message);
	if (w->node[message->to].member.output.outcome == RAFT_DROP_SEEN)
		fail_msg("%s %llu has come before, or comes far too late",
				 message_type_name(message->type), (unsigned long long) message->sequence);
}

void
world_say_again(World *w, RaftMessage *message)
{
	message->sequence = ++w->node[message->from].member.raft.peers[message->to].sent;
	world_inject(w, message);
}

void
world_inject_raw(World *w, int to, const RaftMessage *message)
{
	take_in(w, to, message);
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
		if (runs(&w->node[i]) && raft_deadline(&w->node[i].member.raft) <= w->now)
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
		if (runs(&w->node[i]) && raft_deadline(&w->node[i].member.raft) < next)
			next = raft_deadline(&w->node[i].member.raft);
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
				(!w->node[i].member.raft.peers[j].answered ||
				 w->node[i].member.raft.peers[j].incarnation != w->node[j].config.incarnation))
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
	m.sequence = ++w->node[from].member.raft.peers[to].sent;
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
	return member_transfer(begin_call(w, i), target);
}

void
world_resign(World *w, int i)
{
	member_resign(begin_call(w, i));
}

bool
world_admit(World *w, int i)
{
	return member_admit(begin_call(w, i));
}

void
world_set_position(World *w, int i, uint64_t epoch, uint64_t index)
{
	member_set_position(&w->node[i].member, (RaftPosition){
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
	for (uint32_t m = 0; m < w->node[i].member.output.n_messages; m++)
	{
		const RaftMessage *message = &w->node[i].member.output.messages[m];

		if (message->type == type && (to == RAFT_NONE || message->to == to))
			return message;
	}
	return NULL;
}

uint64_t
world_dropped(World *w, int i, RaftOutcome why)
{
	return w->node[i].member.raft.counters.dropped[why];
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
		if (w->node[i].running && w->node[i].member.raft.role == RAFT_LEADER &&
			(leader == RAFT_NONE ||
			 w->node[i].member.raft.saved.term > w->node[leader].member.raft.saved.term))
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
			(w->node[i].member.raft.leader_id != leader ||
			 w->node[i].member.raft.saved.term != w->node[leader].member.raft.saved.term))
			return false;
	return true;
}

bool
world_has_lease(World *w, int i)
{
	return w->node[i].running && raft_lease_until(&w->node[i].member.raft) > w->now;
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

/* Members that have not met yet greet each other, and do nothing else that is due. */
static void
greet_missing(World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		Raft	*r = &w->node[i].member.raft;
		uint64_t timer = r->timer;

		if (!runs(&w->node[i]) || r->role != RAFT_FOLLOWER)
			continue;
		r->timer = w->now + MS(1);
		world_tick(w, i);
		r->timer = timer;
	}
	world_deliver_all(w);
}

void
world_elect(World *w, int i)
{
	world_deliver_all(w);
	greet_missing(w);
	world_set_timer(w, i, 0);
	world_tick(w, i);
	world_deliver_all(w);
	if (w->node[i].member.raft.role != RAFT_LEADER || !world_is_stable(w))
		fail_msg("node %d did not become leader", i);
}

void
world_lead_alone(World *w, int n)
{
	world_init_alone(w, n);
	world_elect(w, 0);
	world_drop_all(w);
}
