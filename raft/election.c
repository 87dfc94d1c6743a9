/*
 * raft/election.c
 *	  Pre-votes and votes, on both sides (rules 1 to 5).
 */
#include "internal.h"

#include <assert.h>

static void
open_ballots(Raft *r, uint64_t now)
{
	for_each_peer(r, id)
	{
		r->peers[id].ballot = RAFT_BALLOT_OPEN;
		r->peers[id].ask_at = now;
	}
	r->asked_at = now;
}

/* Who has given us a vote or pre-vote, this member aside: bit i is node id i. */
static uint64_t
granted_by(const Raft *r)
{
	uint64_t nodes = 0;

	for_each_peer(r, id)
	{
		if (r->peers[id].ballot == RAFT_BALLOT_GRANTED)
			nodes |= UINT64_C(1) << id;
	}
	return nodes;
}

static bool
are_enough(const Raft *r)
{
	return raft_is_quorum(r, granted_by(r) | UINT64_C(1) << r->config.node_id);
}

/* Is there still something to ask of this peer? */
static bool
is_open(const Raft *r, int32_t id)
{
	const RaftPeer *peer = &r->peers[id];

	return raft_is_voter(r, id) && peer->ballot == RAFT_BALLOT_OPEN && peer->answered && raft_same_list(r, peer);
}

/* One round of asking whether an election could be won (9.6). */
static void
begin_round(Raft *r, uint64_t now, RaftOutput *out)
{
	r->round++;
	r->counters.pre_votes_started++;
	open_ballots(r, now);
	if (are_enough(r))
		(void) raft_stand(r, now, r->saved.term, 0, RAFT_NONE, RAFT_PRE_VOTE_WON, RAFT_NONE, out);
	else
		raft_ask(r, now, out);
}

/* The timer ran out, and no promise prevents it. */
void
raft_start_pre_vote(Raft *r, uint64_t now, RaftOutput *out)
{
	int32_t leader_id = r->leader_id;

	assert(raft_can_stand(r) && raft_promise_until(r) <= now);
	assert(r->role == RAFT_FOLLOWER || r->role == RAFT_PRE_CANDIDATE);

	r->leader_id = RAFT_NONE;
	raft_start_timer(r, now);
	if (r->role == RAFT_FOLLOWER)
	{
		raft_set_role(r, now, RAFT_PRE_CANDIDATE);
		raft_note(r, out, RAFT_TIMED_OUT, leader_id,
				  leader_id != RAFT_NONE ? now - r->leader_heard_at : 0);
	}
	begin_round(r, now, out);
}

/*
 * Stand for election in the term after "above" and our own, with our own vote
 * (3.4).  replaced_* name the leadership that ends by this, see rule 7; RAFT_NONE
 * after a pre-vote.  false, and nothing done, if this member may not stand or a
 * promise forbids it.
 */
bool
raft_stand(Raft *r, uint64_t now, uint64_t above, uint64_t replaced_term, int32_t replaced_leader,
		   RaftReason reason, int32_t peer, RaftOutput *out)
{
	uint64_t term = later_of(above, r->saved.term) + 1;

	if (!raft_can_stand(r) || term > RAFT_MAX_TERM)
		return false;
	if (raft_bound_until(r, replaced_term, replaced_leader) > now)
		return false;

	raft_set_role(r, now, RAFT_CANDIDATE);
	raft_raise_term(r, term, out);
	r->saved.voted_for = r->config.node_id;
	r->counters.elections_started++;
	r->replaced_term = replaced_term;
	r->replaced_leader = replaced_leader;
	raft_start_timer(r, now);
	raft_note_nodes(r, out, reason, peer, above,
					reason == RAFT_PRE_VOTE_WON ? granted_by(r) : 0);

	/* Our own vote binds us like anyone's, from the first request on. */
	r->asked_promise = r->config.timeouts.min_timeout;
	raft_lift_promise(r, replaced_term, replaced_leader);
	raft_give_promise(r, now, term, r->config.node_id, r->asked_promise, out);
	r->own_bound_until = now + raft_lease_length(r, r->asked_promise);
	for_each_peer(r, id)
		r->peers[id].bound_until = 0;

	open_ballots(r, now);
	if (are_enough(r))
		raft_become_leader(r, now, granted_by(r), out);
	else
		raft_ask(r, now, out);
	return true;
}

/* Ask those who have not answered yet, every heartbeat_interval. */
void
raft_ask(Raft *r, uint64_t now, RaftOutput *out)
{
	RaftMessage *m;

	if (r->role != RAFT_PRE_CANDIDATE && r->role != RAFT_CANDIDATE)
		return;
	for_each_peer(r, id)
	{
		RaftPeer *peer = &r->peers[id];

		if (!is_open(r, id) || now < peer->ask_at)
			continue;
		if (r->role == RAFT_PRE_CANDIDATE)
		{
			m = raft_add_message(r, out, RAFT_PRE_VOTE_REQUEST, id);
			m->round = r->round;
			m->asked_term = r->saved.term + 1;
		}
		else
		{
			m = raft_add_message(r, out, RAFT_VOTE_REQUEST, id);
			m->promise = r->asked_promise;
			m->replaced_term = r->replaced_term;
			m->replaced_leader = r->replaced_leader;
		}
		m->position = r->position;
		peer->ask_at = now + r->config.timeouts.heartbeat_interval;
	}
}

uint64_t
raft_ask_deadline(const Raft *r)
{
	uint64_t deadline = NEVER;

	for_each_peer(r, id)
	{
		if (is_open(r, id))
			deadline = sooner_of(deadline, r->peers[id].ask_at);
	}
	return deadline;
}

/* Pre-candidate or candidate: ask again, or give this round up. */
void
raft_tick_asking(Raft *r, uint64_t now, RaftOutput *out)
{
	if (now < r->timer)
	{
		raft_ask(r, now, out);
		return;
	}
	if (r->role == RAFT_CANDIDATE)
	{
		r->counters.elections_lost++;
		raft_set_role(r, now, RAFT_FOLLOWER);
		raft_note_nodes(r, out, RAFT_NOT_ELECTED, RAFT_NONE, now - r->asked_at, granted_by(r));
	}
	if (raft_can_stand(r) && raft_promise_until(r) <= now)
		raft_start_pre_vote(r, now, out);
	else
		raft_follow_nobody(r, now);
}

/*
 * Answer whether a candidate could have our vote.  Changes neither term nor
 * vote nor any timer, whatever the answer is (rule 3).
 */
void
raft_on_pre_vote_request(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	uint64_t	 bound = raft_promise_until(r);
	bool		 free_vote;
	RaftMessage *answer;

	if (m->asked_term != m->term + 1)
	{
		raft_drop(r, out, RAFT_DROP_IMPOSSIBLE);
		return;
	}
	free_vote = m->asked_term > r->saved.term ||
				(m->asked_term == r->saved.term &&
				 (r->saved.voted_for == RAFT_NONE || r->saved.voted_for == m->from));

	answer = raft_add_message(r, out, RAFT_PRE_VOTE_ANSWER, m->from);
	answer->round = m->round;
	answer->asked_term = m->asked_term;
	answer->granted = free_vote && bound <= now && r->role != RAFT_LEADER &&
					  r->saved.abstaining == RAFT_VOTING && raft_data_let_vote(r, &m->told) &&
					  !raft_is_older(m->position, raft_voting_position(r));
	if (answer->granted)
	{
		r->counters.pre_votes_given++;
		return;
	}
	r->counters.pre_votes_refused++;
	out->outcome = RAFT_REFUSED;
	answer->leader_id = r->leader_id;
	if (bound > now && free_vote && r->saved.abstaining == RAFT_VOTING)
		answer->promise = bound - now;
}

/* Is the refusal final, or should we ask again when the promise expires? */
static void
note_refusal(RaftPeer *peer, uint64_t now, uint64_t promise)
{
	if (peer->ballot != RAFT_BALLOT_OPEN)
		return;
	if (promise > 0)
		peer->ask_at = now + promise;
	else
		peer->ballot = RAFT_BALLOT_REFUSED;
}

void
raft_on_pre_vote_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	RaftPeer *peer = &r->peers[m->from];

	if (r->role != RAFT_PRE_CANDIDATE || m->round != r->round ||
		m->asked_term != r->saved.term + 1 || (m->granted && m->abstaining))
	{
		raft_drop(r, out, RAFT_DROP_STALE);
		return;
	}
	if (m->granted)
	{
		peer->ballot = RAFT_BALLOT_GRANTED;
		if (are_enough(r) &&
			!raft_stand(r, now, r->saved.term, 0, RAFT_NONE, RAFT_PRE_VOTE_WON, RAFT_NONE, out))
			raft_follow_nobody(r, now);
		return;
	}
	if (m->term > r->saved.term)
	{
		/* And ask again at once, in the new term.  Terms only rise, so this ends. */
		raft_raise_term(r, m->term, out);
		raft_note(r, out, RAFT_HIGHER_TERM, m->from, 0);
		if (raft_can_stand(r))
			begin_round(r, now, out);
		else
			raft_follow_nobody(r, now);
		return;
	}
	note_refusal(peer, now, m->promise);
}

static void
refuse_vote(Raft *r, const RaftMessage *m, uint64_t promise, RaftOutput *out)
{
	RaftMessage *answer = raft_add_message(r, out, RAFT_VOTE_ANSWER, m->from);

	answer->asked_term = m->term;
	answer->promise = promise;
	answer->leader_id = r->leader_id;
	r->counters.votes_refused++;
	out->outcome = RAFT_REFUSED;
}

static void
grant_vote(Raft *r, const RaftMessage *m, RaftOutput *out)
{
	RaftMessage *answer = raft_add_message(r, out, RAFT_VOTE_ANSWER, m->from);

	assert(r->saved.term == m->term && r->saved.voted_for == m->from);
	answer->asked_term = m->term;
	answer->granted = true;
}

/* Request with a higher term, and no promise runs: adopt the term. */
static void
adopt_term_of_asker(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	RaftRole role = r->role;

	if (role == RAFT_CANDIDATE)
		r->counters.elections_lost++;
	raft_set_role(r, now, RAFT_FOLLOWER);
	raft_raise_term(r, m->term, out);
	if (role == RAFT_LEADER)
		raft_start_timer(r, now);
	if (role != RAFT_FOLLOWER)
		raft_note(r, out, RAFT_HIGHER_TERM, m->from, 0);
}

void
raft_on_vote_request(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	uint64_t bound;

	if (m->term == 0 || m->promise == 0 ||
		(m->replaced_leader != RAFT_NONE && m->replaced_term >= m->term))
	{
		raft_drop(r, out, RAFT_DROP_IMPOSSIBLE);
		return;
	}

	if (m->term < r->saved.term || r->saved.abstaining != RAFT_VOTING)
	{
		refuse_vote(r, m, 0, out);
		return;
	}
	if (m->term == r->saved.term && r->saved.voted_for != RAFT_NONE)
	{
		/*
		 * A repeated request for a vote already given: repeat the answer.  The promise
		 * that went with it covers the lease, which counts from the first
		 * request.
		 */
		if (r->saved.voted_for == m->from)
			grant_vote(r, m, out);
		else
			refuse_vote(r, m, 0, out);
		return;
	}
	bound = raft_bound_until(r, m->replaced_term, m->replaced_leader);
	if (bound > now)
	{
		/* Withholding (4.2.3): not even the term is taken over. */
		refuse_vote(r, m, bound - now, out);
		return;
	}
	if (m->term > r->saved.term)
		adopt_term_of_asker(r, now, m, out);
	if (!raft_data_let_vote(r, &m->told) || raft_is_older(m->position, raft_voting_position(r)))
	{
		refuse_vote(r, m, 0, out);
		return;
	}

	assert(r->saved.voted_for == RAFT_NONE);
	raft_set_role(r, now, RAFT_FOLLOWER);
	r->leader_id = RAFT_NONE;
	r->saved.voted_for = m->from;
	raft_mark_save(r, out);
	raft_lift_promise(r, m->replaced_term, m->replaced_leader);
	raft_give_promise(r, now, m->term, m->from, m->promise, out);
	raft_start_timer(r, now);
	r->counters.votes_given++;
	raft_note(r, out, RAFT_VOTE_GIVEN, m->from, 0);
	grant_vote(r, m, out);
}

void
raft_on_vote_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	RaftPeer *peer = &r->peers[m->from];
	bool	  is_candidate = r->role == RAFT_CANDIDATE;

	/* A late vote still binds its voter to the leader that it helped to elect. */
	if (m->asked_term != r->saved.term || (m->granted && m->abstaining) ||
		!(is_candidate || (r->role == RAFT_LEADER && m->granted)))
	{
		raft_drop(r, out, RAFT_DROP_STALE);
		return;
	}
	if (m->granted)
	{
		peer->ballot = RAFT_BALLOT_GRANTED;
		peer->voted_claim = m->told.claim;
		peer->voted_is_claim = m->told.claimed;
		peer->voted_pause = m->told.pause;
		peer->bound_until = later_of(peer->bound_until,
									 r->asked_at + raft_lease_length(r, r->asked_promise));
		if (is_candidate && are_enough(r))
			raft_become_leader(r, now, granted_by(r), out);
		return;
	}
	if (m->term > r->saved.term)
	{
		/* Keep the timer: our own vote is a promise anyway. */
		r->counters.elections_lost++;
		raft_set_role(r, now, RAFT_FOLLOWER);
		raft_raise_term(r, m->term, out);
		raft_note(r, out, RAFT_HIGHER_TERM, m->from, 0);
		return;
	}
	note_refusal(peer, now, m->promise);
}
