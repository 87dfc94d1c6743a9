/*
 * raft/leader.c
 *	  Leading and being led: heartbeats, check quorum, transfer, resigning
 *	  (rules 4 to 9).
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

/* A majority voted for us in this term. */
void
raft_become_leader(Raft *r, uint64_t now, RaftOutput *out)
{
	assert(r->role == RAFT_CANDIDATE && r->saved.voted_for == r->config.node_id);
	assert(r->term_leader == RAFT_NONE);

	raft_set_role(r, now, RAFT_LEADER);
	r->leader_id = r->term_leader = r->config.node_id;
	r->counters.elections_won++;
	r->heartbeat_round = 0;
	memset(r->rounds, 0, sizeof(r->rounds));
	for_each_peer(r, id)
	{
		RaftPeer *peer = &r->peers[id];

		peer->acked_round = 0;
		peer->acked_at = peer->ballot == RAFT_BALLOT_GRANTED ? now : 0;
	}
	raft_note_nodes(r, out, RAFT_VOTE_WON, RAFT_NONE, 0, raft_granted(r));
	send_round(r, now, out);
}

/* Stop leading without a successor, in the same term. */
static void
stop_leading(Raft *r, uint64_t now, RaftOutput *out, RaftReason reason, int32_t peer,
			 uint64_t value, uint64_t nodes)
{
	assert(r->role == RAFT_LEADER);
	raft_follow_nobody(r, now);
	raft_note_nodes(r, out, reason, peer, value, nodes);
}

static bool
counts_in_quorum(const Raft *r, const RaftPeer *peer)
{
	return !peer->abstaining && raft_same_list(r, peer);
}

/*
 * Check quorum (6.2): when a leader must have heard from a majority again.  The
 * moments of the last acknowledgements, ours being now: the quorum-th newest
 * counts.
 */
uint64_t
raft_quorum_deadline(const Raft *r)
{
	uint64_t acked[RAFT_MAX_NODES];
	uint32_t n = 0;
	uint64_t newest;

	acked[n++] = NEVER;
	for_each_peer(r, id)
	{
		if (counts_in_quorum(r, &r->peers[id]))
			acked[n++] = r->peers[id].acked_at;
	}
	newest = raft_nth_largest(acked, n, raft_quorum(r));
	return newest == NEVER ? NEVER : newest + r->config.timeouts.max_timeout;
}

void
raft_tick_leader(Raft *r, uint64_t now, RaftOutput *out)
{
	assert(r->role == RAFT_LEADER);
	if (now >= raft_quorum_deadline(r))
	{
		uint64_t answered = 0;

		for_each_peer(r, id)
		{
			const RaftPeer *peer = &r->peers[id];

			if (counts_in_quorum(r, peer) &&
				now < peer->acked_at + r->config.timeouts.max_timeout)
				answered |= UINT64_C(1) << id;
		}
		r->counters.quorum_losses++;
		stop_leading(r, now, out, RAFT_QUORUM_LOST, RAFT_NONE, r->config.timeouts.max_timeout,
					 answered);
		return;
	}
	if (now >= r->heartbeat_at)
		send_round(r, now, out);
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
	if (!granted)
		answer->leader_id = r->leader_id;
}

/* Someone leads: follow it, and promise what it asks for. */
void
raft_on_heartbeat(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	bool is_news;

	if (m->term == 0 || m->round == 0 || m->promise == 0)
	{
		raft_drop(r, RAFT_DROP_IMPOSSIBLE);
		return;
	}
	if (m->term < r->saved.term)
	{
		answer_heartbeat(r, now, m, false, out);
		return;
	}
	if (m->term == r->saved.term && r->term_leader != RAFT_NONE && r->term_leader != m->from)
	{
		raft_drop(r, RAFT_DROP_SECOND_LEADER);
		raft_note(r, out, RAFT_SECOND_LEADER, m->from, 0);
		return;
	}
	if (m->term == r->saved.term && m->round <= r->heard_round)
	{
		/* Overtaken by a later one: it must not pass for a sign of life. */
		raft_drop(r, RAFT_DROP_STALE);
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
	answer_heartbeat(r, now, m, true, out);
}

/*
 * A member is ahead of this leader (rule 9): it cannot follow a lower term, and
 * no vote of ours will bring it back.  End the lease, and stand at once above
 * that term in our own place; unless it names a leader there, then the election
 * is over and we have missed it.
 */
static void
follow_member_ahead(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	if (m->leader_id == RAFT_NONE &&
		raft_stand(r, now, m->term, r->saved.term, r->config.node_id, RAFT_STANDS_ABOVE,
				   m->from, out))
		return;
	raft_follow_nobody(r, now);
	raft_raise_term(r, m->term, out);
	raft_note(r, out, RAFT_HIGHER_TERM, m->from, 0);
}

void
raft_on_heartbeat_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	RaftPeer		*peer = &r->peers[m->from];
	const RaftRound *round = &r->rounds[m->round % RAFT_ROUNDS];

	if (r->role != RAFT_LEADER || m->asked_term != r->saved.term)
	{
		raft_drop(r, RAFT_DROP_STALE);
		return;
	}
	if (m->round == 0 || m->round > r->heartbeat_round)
	{
		raft_drop(r, RAFT_DROP_IMPOSSIBLE);
		return;
	}
	if (m->term > r->saved.term)
	{
		follow_member_ahead(r, now, m, out);
		return;
	}
	if (!m->granted)
	{
		raft_drop(r, RAFT_DROP_STALE);
		return;
	}

	if (m->abstaining || m->list_digest != r->config.list_digest)
		return; /* heard, and counted nowhere */

	/* One that was overtaken by a later round's is no sign of life either. */
	if (m->round <= peer->acked_round)
	{
		raft_drop(r, RAFT_DROP_STALE);
		return;
	}
	peer->acked_round = m->round;
	peer->position = m->position;
	peer->bound = m->bound;
	peer->acked_at = now;
	if (round->number == m->round)
	{
		peer->round_trip = now - round->sent_at;
		peer->bound_until = later_of(peer->bound_until,
									 round->sent_at + raft_lease_length(r, round->promise));
	}
}

/*
 * Asked to stand in the leader's place.  Only the leader of the very term that
 * we are in can ask that: one that is late or repeated finds a later term, or
 * us bound to another leader, and changes nothing.
 */
void
raft_on_transfer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	if (m->term != r->saved.term || m->from != r->term_leader || r->role == RAFT_LEADER ||
		!raft_stand(r, now, m->term, m->term, m->from, RAFT_ASKED_TO_STAND, m->from, out))
		raft_drop(r, RAFT_DROP_STALE);
}

/* Has the peer acknowledged within the last "limit" us? */
static bool
is_live(const RaftPeer *peer, uint64_t now, uint64_t limit)
{
	return peer->acked_at != 0 && now - peer->acked_at <= limit;
}

/* Could it lead in our place?  RAFT_TRANSFER_STARTED: yes. */
static RaftTransferResult
check_target(const Raft *r, uint64_t now, const RaftPeer *peer)
{
	if (!peer->answered)
		return RAFT_TRANSFER_UNREACHABLE;
	if (!counts_in_quorum(r, peer) || !peer->may_lead)
		return RAFT_TRANSFER_CANNOT_LEAD;
	if (!is_live(peer, now, r->config.timeouts.min_timeout))
		return RAFT_TRANSFER_UNREACHABLE;
	if (raft_is_older(peer->position, r->position))
		return RAFT_TRANSFER_BEHIND;
	return peer->bound ? RAFT_TRANSFER_BOUND : RAFT_TRANSFER_STARTED;
}

/*
 * The fittest peer to lead in our place: the newest position, then the newest
 * acknowledgement, then the lowest id; RAFT_NONE if none is fit.  "resigning":
 * better one that is behind than none.
 */
static int32_t
pick_target(const Raft *r, uint64_t now, bool resigning)
{
	int32_t best = RAFT_NONE;

	for_each_peer(r, id)
	{
		const RaftPeer	  *peer = &r->peers[id];
		const RaftPeer	  *than = best == RAFT_NONE ? NULL : &r->peers[best];
		RaftTransferResult result = check_target(r, now, peer);

		if (result != RAFT_TRANSFER_STARTED && !(resigning && result == RAFT_TRANSFER_BEHIND))
			continue;
		if (than == NULL || raft_is_older(than->position, peer->position) ||
			(!raft_is_older(peer->position, than->position) &&
			 peer->acked_round > than->acked_round))
			best = id;
	}
	return best;
}

/* Would somebody be fit but for a promise that soon runs out? */
static bool
is_anyone_bound(const Raft *r, uint64_t now)
{
	for_each_peer(r, id)
	{
		if (check_target(r, now, &r->peers[id]) == RAFT_TRANSFER_BOUND)
			return true;
	}
	return false;
}

/*
 * Give the leadership up for good in this term, and only then tell the target:
 * the host shows what is lost before it sends (rule 7).
 */
static void
hand_over(Raft *r, uint64_t now, int32_t target, RaftReason reason, RaftOutput *out)
{
	stop_leading(r, now, out, reason, target, 1, 0);
	if (target == RAFT_NONE)
		return;
	(void) raft_add_message(r, out, RAFT_TRANSFER, target);
	r->counters.transfers++;
}

RaftTransferResult
raft_transfer(Raft *r, uint64_t now, int32_t target, RaftOutput *out)
{
	RaftTransferResult result;

	raft_clear_output(out);
	if (r->role != RAFT_LEADER)
		return RAFT_TRANSFER_NOT_LEADER;
	if (target == RAFT_NONE)
	{
		target = pick_target(r, now, false);
		if (target == RAFT_NONE)
			return is_anyone_bound(r, now) ? RAFT_TRANSFER_BOUND : RAFT_TRANSFER_NO_TARGET;
	}
	if (target == r->config.node_id)
		return RAFT_TRANSFER_TO_SELF;
	if (!raft_is_member(r, target))
		return RAFT_TRANSFER_UNKNOWN_NODE;
	result = check_target(r, now, &r->peers[target]);
	if (result == RAFT_TRANSFER_STARTED)
		hand_over(r, now, target, RAFT_HANDED_OVER, out);
	return result;
}

void
raft_resign(Raft *r, uint64_t now, RaftOutput *out)
{
	raft_clear_output(out);
	if (r->role == RAFT_LEADER)
		hand_over(r, now, pick_target(r, now, true), RAFT_RESIGNED, out);
	else if (r->role != RAFT_FOLLOWER)
	{
		if (r->role == RAFT_CANDIDATE)
			r->counters.elections_lost++;
		raft_follow_nobody(r, now);
		raft_note(r, out, RAFT_RESIGNED, RAFT_NONE, 0);
	}
}
