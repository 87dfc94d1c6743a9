/*
 * raft/raft.c
 *	  The door of the core: start, what is due, what comes in; terms and roles.
 *
 * See raft.h for the contract, internal.h for which file holds what.
 */
#include "internal.h"

#include <assert.h>
#include <string.h>

/* ---- configuration and start ---- */

const char *
raft_check_config(const RaftConfig *config)
{
	const RaftTimeouts *t = &config->timeouts;
	uint32_t			n = 0;

	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
		n += config->members >> id & 1;
	if (n == 0 || n != config->list_size)
		return "the member list is empty";
	if (config->node_id < 0 || config->node_id >= RAFT_MAX_NODES ||
		!(config->members >> config->node_id & 1))
		return "this node id is not in the member list";
	if (t->min_timeout == 0 || t->heartbeat_interval == 0)
		return "timeouts must be above zero";
	if (t->min_timeout >= t->max_timeout)
		return "the minimum timeout must be below the maximum timeout";
	if (t->max_timeout > RAFT_MAX_PROMISE)
		return "the maximum timeout must not be above 10 minutes";
	if (t->heartbeat_interval > t->min_timeout / 2)
		return "the heartbeat interval must be at most half the minimum timeout";
	if (t->max_drift_ppm > 500000)
		return "the clock drift must be at most one half";
	if (raft_lease_of(t, t->min_timeout) <= t->heartbeat_interval)
		return "a lease would run out between two heartbeats: the minimum timeout is too short for this heartbeat interval and clock drift";
	return NULL;
}

void
raft_first_record(const RaftSaved *loaded, bool damaged, const RaftConfig *config,
				  RaftSaved *first)
{
	if (loaded == NULL)
	{
		/* Nobody can tell a new member from one that lost its state. */
		memset(first, 0, sizeof(*first));
		first->voted_for = RAFT_UNKNOWN;
		first->list_digest = config->list_digest;
		first->list_size = config->list_size;
		first->abstaining = RAFT_ABSTAIN_NEW;
	}
	else
	{
		*first = *loaded;
		if (first->abstaining == RAFT_VOTING && damaged)
			first->abstaining = RAFT_ABSTAIN_DAMAGED;
		if (first->abstaining == RAFT_VOTING && first->list_digest != config->list_digest)
			first->abstaining = RAFT_ABSTAIN_LIST;
	}
	first->save_number++;
	first->boot++;
}

void
raft_init(Raft *r, const RaftConfig *config, const RaftSaved *saved, uint64_t now)
{
	assert(raft_check_config(config) == NULL);
	assert(saved->boot > 0 && saved->save_number > 0 && saved->term <= RAFT_MAX_TERM);
	assert(saved->abstaining != RAFT_VOTING || saved->list_digest == config->list_digest);

	memset(r, 0, sizeof(*r));
	r->config = *config;
	r->saved = *saved;
	r->may_lead = config->may_lead;
	r->random = config->seed;
	r->loaded_save_number = saved->save_number - 1;
	r->role_since = now;
	r->leader_id = r->term_leader = r->replaced_leader = r->promised_leader = RAFT_NONE;

	/* Under the longest promise of the store, given to nobody knows whom. */
	r->promised_others_until = r->longest_until = now + saved->promise;
	for_each_peer(r, id)
		r->peers[id].greet_at = now;
	raft_start_timer(r, now);
}

/* ---- what the other files share ---- */

/* r->saved has changed: one save, however many changes this call makes. */
void
raft_mark_save(Raft *r, RaftOutput *out)
{
	if (!out->save)
		r->saved.save_number++;
	out->save = true;
}

void
raft_note_nodes(Raft *r, RaftOutput *out, RaftReason reason, int32_t peer, uint64_t value,
				uint64_t nodes)
{
	RaftEvent *event;

	if (out->n_events == RAFT_MAX_EVENTS)
		return;
	event = &out->events[out->n_events++];
	event->reason = reason;
	event->role = r->role;
	event->term = r->saved.term;
	event->leader_id = r->leader_id;
	event->peer = peer;
	event->value = value;
	event->nodes = nodes;
}

void
raft_note(Raft *r, RaftOutput *out, RaftReason reason, int32_t peer, uint64_t value)
{
	raft_note_nodes(r, out, reason, peer, value, 0);
}

void
raft_drop(Raft *r, RaftDrop why)
{
	r->counters.dropped[why]++;
}

/* The next message to send, with everything but its type's own fields. */
RaftMessage *
raft_add_message(Raft *r, RaftOutput *out, RaftMessageType type, int32_t to)
{
	RaftMessage *m;

	assert(out->n_messages < RAFT_MAX_MESSAGES);
	assert(raft_is_member(r, to) && to != r->config.node_id);
	m = &out->messages[out->n_messages++];
	memset(m, 0, sizeof(*m));
	m->type = type;
	m->from = r->config.node_id;
	m->to = to;
	m->abstaining = r->saved.abstaining != RAFT_VOTING;
	m->may_lead = r->may_lead && !m->abstaining;
	m->version = raft_version_for(r, r->peers[to].newest);
	m->newest = raft_newest_version(r);
	m->list_digest = r->config.list_digest;
	m->boot = r->saved.boot;
	m->incarnation = r->config.incarnation;
	m->echo_boot = r->peers[to].boot;
	m->echo_incarnation = r->peers[to].incarnation;
	m->sequence = ++r->sequence;
	m->save_number = r->saved.save_number;
	m->term = r->saved.term;
	m->leader_id = m->replaced_leader = RAFT_NONE;
	r->counters.sent[type]++;
	return m;
}

/*
 * A higher term: the only thing that clears a vote (rule 1).  While abstaining,
 * a vote of an earlier life may be hidden in any term.
 */
void
raft_raise_term(Raft *r, uint64_t term, RaftOutput *out)
{
	assert(term > r->saved.term && term <= RAFT_MAX_TERM);
	r->saved.term = term;
	r->saved.voted_for = r->saved.abstaining == RAFT_VOTING ? RAFT_NONE : RAFT_UNKNOWN;
	r->leader_id = r->term_leader = RAFT_NONE;
	r->heard_round = 0;
	raft_mark_save(r, out);
}

void
raft_set_role(Raft *r, uint64_t now, RaftRole role)
{
	if (r->role == role)
		return;
	assert(role != RAFT_LEADER || r->role == RAFT_CANDIDATE);
	if (r->role == RAFT_LEADER)
		r->leader_id = RAFT_NONE;
	r->role = role;
	r->role_since = now;
	r->replaced_term = 0;
	r->replaced_leader = RAFT_NONE;
}

/* A follower that knows of no leader and gives others their time. */
void
raft_follow_nobody(Raft *r, uint64_t now)
{
	raft_set_role(r, now, RAFT_FOLLOWER);
	r->leader_id = RAFT_NONE;
	raft_start_timer(r, now);
}

/* splitmix64 (S. Vigna, public domain): any seed will do, also 0. */
static uint64_t
next_random(Raft *r)
{
	uint64_t z = (r->random += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

/* A fresh timeout, uniform over [min_timeout, max_timeout]. */
void
raft_start_timer(Raft *r, uint64_t now)
{
	const RaftTimeouts *t = &r->config.timeouts;

	r->timer = now + t->min_timeout + next_random(r) % (t->max_timeout - t->min_timeout + 1);
}

bool
raft_can_stand(const Raft *r)
{
	return r->may_lead && r->saved.abstaining == RAFT_VOTING && r->saved.term < RAFT_MAX_TERM;
}

uint32_t
raft_quorum(const Raft *r)
{
	return r->config.list_size / 2 + 1;
}

/* The n-th largest of the values, n from 1; 0 if there are fewer. */
uint64_t
raft_nth_largest(const uint64_t *values, uint32_t n_values, uint32_t n)
{
	assert(n_values <= RAFT_MAX_NODES && n > 0);
	for (uint32_t i = 0; i < n_values; i++)
	{
		uint32_t larger = 0;
		uint32_t equal = 0;

		for (uint32_t j = 0; j < n_values; j++)
		{
			larger += values[j] > values[i];
			equal += values[j] == values[i];
		}
		if (larger < n && n <= larger + equal)
			return values[i];
	}
	return 0;
}

/* ---- the calls ---- */

static void
tick_follower(Raft *r, uint64_t now, RaftOutput *out)
{
	if (now < r->timer || now < raft_promise_until(r))
		return;
	if (raft_can_stand(r))
		raft_start_pre_vote(r, now, out);
	else
	{
		int32_t leader_id = r->leader_id;

		raft_follow_nobody(r, now);
		if (leader_id != RAFT_NONE)
			raft_note(r, out, RAFT_LEADER_LOST, leader_id, now - r->leader_heard_at);
	}
}

static void
do_what_is_due(Raft *r, uint64_t now, RaftOutput *out)
{
	raft_tick_greetings(r, now, out);
	raft_tick_abstaining(r, now, out);
	switch (r->role)
	{
		case RAFT_FOLLOWER:
			tick_follower(r, now, out);
			break;
		case RAFT_PRE_CANDIDATE:
		case RAFT_CANDIDATE:
			raft_tick_asking(r, now, out);
			break;
		case RAFT_LEADER:
			raft_tick_leader(r, now, out);
			break;
	}
}

void
raft_tick(Raft *r, uint64_t now, RaftOutput *out)
{
	raft_clear_output(out);
	do_what_is_due(r, now, out);
}

uint64_t
raft_deadline(const Raft *r)
{
	uint64_t deadline = NEVER;

	for_each_peer(r, id)
		deadline = sooner_of(deadline, r->peers[id].greet_at);
	if (r->abstain_until != 0)
		deadline = sooner_of(deadline, r->abstain_until);
	switch (r->role)
	{
		case RAFT_FOLLOWER:
			return sooner_of(deadline, later_of(r->timer, raft_promise_until(r)));
		case RAFT_PRE_CANDIDATE:
		case RAFT_CANDIDATE:
			return sooner_of(deadline, sooner_of(r->timer, raft_ask_deadline(r)));
		case RAFT_LEADER:
			break;
	}
	return sooner_of(deadline, sooner_of(r->heartbeat_at, raft_quorum_deadline(r)));
}

/* Members with another list are heard, but their votes are another cluster's. */
static bool
is_about_votes(RaftMessageType type)
{
	return type != RAFT_HEARTBEAT && type != RAFT_HEARTBEAT_ANSWER;
}

static void
dispatch(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	switch (m->type)
	{
		case RAFT_PRE_VOTE_REQUEST:
			raft_on_pre_vote_request(r, now, m, out);
			break;
		case RAFT_PRE_VOTE_ANSWER:
			raft_on_pre_vote_answer(r, now, m, out);
			break;
		case RAFT_VOTE_REQUEST:
			raft_on_vote_request(r, now, m, out);
			break;
		case RAFT_VOTE_ANSWER:
			raft_on_vote_answer(r, now, m, out);
			break;
		case RAFT_HEARTBEAT:
			raft_on_heartbeat(r, now, m, out);
			break;
		case RAFT_HEARTBEAT_ANSWER:
			raft_on_heartbeat_answer(r, now, m, out);
			break;
		case RAFT_TRANSFER:
			raft_on_transfer(r, now, m, out);
			break;
		default:
			raft_drop(r, RAFT_DROP_IMPOSSIBLE);
			break;
	}
}

void
raft_receive(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	raft_clear_output(out);
	if (now >= raft_deadline(r))
		do_what_is_due(r, now, out);

	if (m->to != r->config.node_id || m->from == m->to || !raft_is_member(r, m->from))
	{
		raft_drop(r, RAFT_DROP_UNKNOWN_NODE);
		return;
	}
	if (!message_is_possible(m))
	{
		raft_drop(r, RAFT_DROP_IMPOSSIBLE);
		return;
	}
	r->counters.received[m->type]++;
	if (!raft_recognise(r, now, m, out))
		return;
	if (m->type == RAFT_GREETING_ANSWER)
		raft_on_greeting_answer(r, now, m, out);
	else if (m->type == RAFT_GREETING_CONFIRM)
		return;
	else if (!r->peers[m->from].answered)
		raft_drop(r, RAFT_DROP_NOT_GREETED);
	else if (is_about_votes(m->type) && m->list_digest != r->config.list_digest)
		raft_drop(r, RAFT_DROP_OTHER_LIST);
	else
		dispatch(r, now, m, out);
}

void
raft_set_position(Raft *r, RaftPosition position)
{
	r->position = position;
}

void
raft_set_may_lead(Raft *r, bool may_lead)
{
	r->may_lead = may_lead;
}

void
raft_set_timeouts(Raft *r, const RaftTimeouts *timeouts)
{
	r->config.timeouts = *timeouts;
	assert(raft_check_config(&r->config) == NULL);
}
