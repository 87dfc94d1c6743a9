/*
 * raft/leader.c
 *	  Leading and being led: heartbeats and check quorum (rules 4 to 6).
 */
#include "internal.h"

#include <assert.h>
#include <string.h>

/*
 * One round of heartbeats.  The promise asked for travels with it, and the send
 * time is kept: the lease counts from there.
 */
static void
send_round(Raft *r, uint64_t now, RaftOutput *out)
{
	uint64_t   promise = r->config.timeouts.min_timeout;
	uint64_t   number = ++r->heartbeat_round;
	RaftRound *round = &r->rounds[number % RAFT_ROUNDS];

	assert(r->role == RAFT_LEADER);
	round->number = number;
	round->sent_at = now;
	round->promise = promise;

	/* A leader is under its own promise, stored before anyone hears of it. */
	raft_give_promise(r, now, r->saved.term, r->config.node_id, promise, out);
	r->own_bound_until = later_of(r->own_bound_until, now + raft_lease_length(r, promise));

	for_each_peer(r, id)
	{
		RaftMessage *m;

		if (!r->peers[id].answered)
			continue;
		m = raft_add_message(r, out, RAFT_HEARTBEAT, id);
		m->round = number;
		m->promise = promise;
		m->position = r->position;
	}
	r->heartbeat_at = now + r->config.timeouts.heartbeat_interval;
}

/* A majority voted for us in this term: "voters", bit i is node id i, and this member. */
void
raft_become_leader(Raft *r, uint64_t now, uint64_t voters, RaftOutput *out)
{
	assert(r->role == RAFT_CANDIDATE && r->saved.voted_for == r->config.node_id);
	assert(r->term_leader == RAFT_NONE);

	raft_set_role(r, now, RAFT_LEADER);
	r->leader_id = r->term_leader = r->config.node_id;
	r->counters.elections_won++;
	raft_count_votes_claims(r, out);
	raft_count_votes_pauses(r, out);
	raft_forget_lists(r);
	r->heartbeat_round = 0;
	memset(r->rounds, 0, sizeof(r->rounds));
	for_each_peer(r, id)
	{
		RaftPeer *peer = &r->peers[id];

		peer->acked_round = 0;
		peer->acked_at = peer->ballot == RAFT_BALLOT_GRANTED ? now : 0;
	}
	raft_note_nodes(r, out, RAFT_VOTE_WON, RAFT_NONE, 0, voters);
	send_round(r, now, out);
}

/* Stop leading without a successor, in the same term. */
void
raft_stop_leading(Raft *r, uint64_t now, RaftOutput *out, RaftReason reason, int32_t peer,
				  uint64_t value, uint64_t nodes)
{
	assert(r->role == RAFT_LEADER);
	raft_follow_nobody(r, now);
	raft_note_nodes(r, out, reason, peer, value, nodes);
}

/*
 * Check quorum (6.2): when a leader must have heard from a majority again.  The
 * moments of the last acknowledgements, ours being now: the quorum-th newest
 * counts.
 */
uint64_t
raft_quorum_deadline(const Raft *r)
{
	uint64_t acked[RAFT_MAX_NODES] = {0};
	uint64_t newest;

	acked[r->config.node_id] = NEVER;
	for_each_peer(r, id)
	{
		if (raft_counts_in_quorum(r, id))
			acked[id] = r->peers[id].acked_at;
	}
	newest = raft_by_quorum(r, acked);
	return newest == NEVER ? NEVER : newest + r->config.timeouts.max_timeout;
}

void
raft_tick_leader(Raft *r, uint64_t now, RaftOutput *out)
{
	assert(r->role == RAFT_LEADER);
	raft_tend_list(r, now, out);
	if (!raft_list_lets_stand(r))
	{
		/* it has taken itself out: others go on */
		raft_stop_leading(r, now, out, RAFT_RESIGNED, RAFT_NONE, 1, 0);
		return;
	}
	if (now >= raft_quorum_deadline(r))
	{
		uint64_t answered = 0;

		for_each_peer(r, id)
		{
			const RaftPeer *peer = &r->peers[id];

			if (raft_counts_in_quorum(r, id) &&
				now < peer->acked_at + r->config.timeouts.max_timeout)
				answered |= UINT64_C(1) << id;
		}
		r->counters.quorum_losses++;
		raft_stop_leading(r, now, out, RAFT_QUORUM_LOST, RAFT_NONE, r->config.timeouts.max_timeout,
						  answered);
		return;
	}
	if (now >= r->heartbeat_at)
		send_round(r, now, out);
}

void
raft_hasten(Raft *r, uint64_t now)
{
	if (r->role == RAFT_LEADER && now < r->heartbeat_at)
		r->heartbeat_at = now;
}

static void
answer_heartbeat(Raft *r, uint64_t now, const RaftMessage *m, bool granted, RaftOutput *out)
{
	RaftMessage *answer = raft_add_message(r, out, RAFT_HEARTBEAT_ANSWER, m->from);

	answer->round = m->round;
	answer->asked_term = m->term;
	answer->granted = granted;
	answer->bound = raft_bound_until(r, m->term, m->from) > now;
	answer->position = r->position;
	if (granted)
		return;
	answer->leader_id = r->leader_id;
	out->outcome = RAFT_REFUSED;
}

/* Heartbeat of a leader: follow it and give the promise. */
void
raft_on_heartbeat(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	bool is_news;

	if (m->term == 0 || m->round == 0 || m->promise == 0)
	{
		raft_drop(r, out, RAFT_DROP_IMPOSSIBLE);
		return;
	}
	if (m->term < r->saved.term)
	{
		answer_heartbeat(r, now, m, false, out);
		return;
	}
	if (m->term == r->saved.term && r->term_leader != RAFT_NONE && r->term_leader != m->from)
	{
		raft_drop(r, out, RAFT_DROP_SECOND_LEADER);
		raft_note(r, out, RAFT_SECOND_LEADER, m->from, 0);
		return;
	}
	if (m->term == r->saved.term && m->round <= r->heard_round)
	{
		/* Overtaken by a later one: it must not pass for a sign of life. */
		raft_drop(r, out, RAFT_DROP_STALE);
		return;
	}
	assert(m->term > r->saved.term || r->role != RAFT_LEADER);

	is_news = r->role != RAFT_FOLLOWER || r->leader_id != m->from || m->term > r->saved.term;
	if (r->role == RAFT_CANDIDATE)
		r->counters.elections_lost++;
	raft_set_role(r, now, RAFT_FOLLOWER);
	if (m->term > r->saved.term)
		raft_raise_term(r, m->term, out);
	r->leader_id = r->term_leader = m->from;
	r->heard_round = m->round;
	r->leader_heard_at = now;
	raft_start_timer(r, now);
	raft_give_promise(r, now, m->term, m->from, m->promise, out);
	if (is_news)
		raft_note(r, out, RAFT_LEADER_FOUND, m->from, 0);
	raft_heed_leader(r, m, out);
	raft_heed_pause(r, m, out);
	answer_heartbeat(r, now, m, true, out);
}

/*
 * An acknowledgement, or a refusal of a member with a higher term: true, and nothing
 * is done, if that member is ahead of this leader.
 */
bool
raft_on_heartbeat_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	RaftPeer		*peer = &r->peers[m->from];
	const RaftRound *round = &r->rounds[m->round % RAFT_ROUNDS];

	if (r->role != RAFT_LEADER || m->asked_term != r->saved.term)
	{
		raft_drop(r, out, RAFT_DROP_STALE);
		return false;
	}
	if (m->round == 0 || m->round > r->heartbeat_round)
	{
		raft_drop(r, out, RAFT_DROP_IMPOSSIBLE);
		return false;
	}
	if (m->term > r->saved.term)
		return true;
	if (!m->granted)
	{
		raft_drop(r, out, RAFT_DROP_STALE);
		return false;
	}
	if (m->abstaining || !raft_knows_list(r, m))
	{
		out->outcome = RAFT_NOT_COUNTED;
		return false;
	}

	/* One that was overtaken by a later round's is no sign of life either. */
	if (m->round <= peer->acked_round)
	{
		raft_drop(r, out, RAFT_DROP_STALE);
		return false;
	}
	peer->acked_round = m->round;
	peer->position = m->position;
	peer->bound = m->bound;
	peer->acked_at = now;
	raft_heed_follower(r, m);
	raft_heed_pause(r, m, out);
	peer->acked_list = raft_list_equals(&m->told.list, &r->saved.list) ? r->saved.list.number : 0;
	if (round->number == m->round)
	{
		peer->round_trip = now - round->sent_at;
		peer->bound_until = later_of(peer->bound_until,
									 round->sent_at + raft_lease_length(r, round->promise));
	}
	return false;
}
