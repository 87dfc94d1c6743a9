/*
 * raft/state.c
 *	  What every rule of the election works with: the output of a call, messages,
 *	  terms, roles and timers.
 *
 * Calls data.c and list.c only.  See internal.h.
 */
#include "internal.h"

#include <assert.h>
#include <string.h>

/* ---- versions of the datagram ---- */

uint8_t
raft_newest_version(const Raft *r)
{
	return r->config.newest_version != 0 ? r->config.newest_version : MESSAGE_VERSION;
}

/*
 * In which version to speak to a peer that understands "theirs" and perhaps older
 * ones: the newest that both understand; if nothing is known of it (0), our oldest.
 */
uint8_t
raft_version_for(const Raft *r, uint8_t theirs)
{
	uint8_t oldest = r->config.oldest_version != 0 ? r->config.oldest_version : MESSAGE_OLDEST;
	uint8_t newest = raft_newest_version(r);

	if (theirs < oldest)
		return oldest;
	return theirs < newest ? theirs : newest;
}

/* ---- the output of a call ---- */

/*
 * r->saved has changed: one save, however many changes this call makes.  What this
 * member holds goes along (rule 22).
 */
void
raft_mark_save(Raft *r, RaftOutput *out)
{
	if (r->config.managed && r->saved.rebuild == RAFT_INTACT && r->data.known &&
		!raft_is_gone(r) && raft_is_older(r->saved.floor, r->position))
		r->saved.floor = r->position;
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

/* The message of this call was dropped. */
void
raft_drop(Raft *r, RaftOutput *out, RaftOutcome why)
{
	assert(why >= RAFT_DROP_UNKNOWN_NODE && why < RAFT_OUTCOMES);
	out->outcome = why;
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
	m->abstaining = r->saved.abstaining != RAFT_VOTING || !raft_list_fits(&r->config, &r->saved.list);
	m->may_lead = r->may_lead && !m->abstaining && raft_data_let_stand(r);
	m->version = raft_version_for(r, r->peers[to].newest);
	m->newest = raft_newest_version(r);
	m->list_digest = r->config.list_digest;
	m->boot = r->saved.boot;
	m->incarnation = r->config.incarnation;
	m->echo_boot = r->peers[to].boot;
	m->echo_incarnation = r->peers[to].incarnation;
	m->sequence = ++r->peers[to].sent;
	m->save_number = r->saved.save_number;
	m->term = r->saved.term;
	m->leader_id = m->replaced_leader = RAFT_NONE;
	raft_tell(r, type, to, &m->told);
	r->counters.sent[type]++;
	return m;
}

/* ---- terms, roles and timers ---- */

/*
 * A higher term: the only thing that clears a vote (rule 1).  While abstaining,
 * a vote of an earlier start may be hidden in any term.
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

/* Become a follower without a leader, with a fresh timeout. */
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
	return r->may_lead && r->saved.abstaining == RAFT_VOTING && r->saved.term < RAFT_MAX_TERM &&
		   raft_data_let_stand(r);
}

bool
raft_counts_in_quorum(const Raft *r, int32_t id)
{
	return raft_is_voter(r, id) && !r->peers[id].abstaining && raft_same_list(r, &r->peers[id]);
}

uint64_t
raft_probe_interval(const RaftTimeouts *timeouts)
{
	return later_of(RAFT_PROBE_INTERVAL, 2 * timeouts->max_timeout);
}
