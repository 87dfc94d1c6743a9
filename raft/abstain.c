/*
 * raft/abstain.c
 *	  A member's way back into the votes (rule 11).
 *
 * A member that may have lost its state abstains until every other member has
 * answered its greeting: whatever it promised or voted before, one of them knows at
 * least its term.
 */
#include "internal.h"

#include <assert.h>

/* Has it answered, with the list that we have? */
static bool
has_answered(const Raft *r, const RaftPeer *peer)
{
	return peer->answered && peer->answer_digest == r->config.list_digest && peer->list_digest == r->config.list_digest;
}

/*
 * Members that never answered are done without on pg_leader_admit().  One that
 * has another list and was heard of late is alive, and nobody's word covers that.
 */
bool
raft_abstains_for(const Raft *r, uint64_t now, uint64_t *peers)
{
	bool takes_list = r->saved.list_digest == r->config.list_digest || r->config.list_appended;
	bool anybody = false;

	/* Members that count and have left the configured list know what this one voted, too. */
	*peers = r->admitted || !raft_is_voter(r, r->config.node_id) ? 0 : raft_voters(r) & ~r->config.members;
	if (r->saved.list.number != 0)
		takes_list = raft_list_fits(&r->config, &r->saved.list);
	for_each_peer(r, id)
	{
		const RaftPeer *peer = &r->peers[id];
		bool			lives = peer->answered && now - peer->heard_at < 3 * raft_probe_interval(&r->config.timeouts);

		anybody = anybody || has_answered(r, peer);
		if (!has_answered(r, peer) && (lives || !r->admitted))
			*peers |= UINT64_C(1) << id;
	}

	/* Nobody to ask, or a change of the list that is more than an addition? */
	return !r->admitted && (!takes_list || (*peers == 0 && !anybody));
}

/* Whose answers count; 0 and false while others are still to come. */
static bool
heard_enough(const Raft *r, uint64_t now, uint64_t *heard)
{
	uint64_t missing;
	bool	 needs_word = raft_abstains_for(r, now, &missing);

	*heard = 0;
	if (needs_word || missing != 0)
		return false;
	for_each_peer(r, id)
	{
		if (has_answered(r, &r->peers[id]))
			*heard |= UINT64_C(1) << id;
	}
	return true;
}

/* Take over the highest term and the longest promise, and begin to wait. */
static void
begin_wait(Raft *r, uint64_t now, uint64_t heard, RaftOutput *out)
{
	uint64_t term = r->saved.term;
	uint64_t promise = r->saved.promise;
	uint64_t max_timeout = r->config.timeouts.max_timeout;
	uint64_t wait;

	for_each_peer(r, id)
	{
		const RaftPeer *peer = &r->peers[id];

		if (!(heard >> id & 1))
			continue;
		term = later_of(term, later_of(peer->answer_term, peer->term));
		promise = later_of(promise, peer->answer_promise);
		max_timeout = later_of(max_timeout, peer->answer_max_timeout);
	}
	wait = promise + 2 * max_timeout;
	if (term > r->saved.term)
		raft_raise_term(r, term, out);
	r->saved.voted_for = RAFT_UNKNOWN;
	r->saved.promise = promise;
	r->longest_until = later_of(r->longest_until, now + promise);
	raft_mark_save(r, out);
	r->heard_from = heard;
	r->abstain_until = now + wait;
	raft_note_nodes(r, out, RAFT_HEARD_ALL, RAFT_NONE, wait, heard);
}

/* Has this member heard enough, and waited long enough, to vote again? */
void
raft_tick_abstaining(Raft *r, uint64_t now, RaftOutput *out)
{
	uint64_t heard;

	if (r->saved.abstaining == RAFT_VOTING)
		return;
	if (!heard_enough(r, now, &heard))
	{
		r->abstain_until = 0;
		return;
	}
	if (r->abstain_until == 0 || heard != r->heard_from)
	{
		begin_wait(r, now, heard, out);
		return;
	}
	if (now < r->abstain_until)
		return;

	assert(r->role == RAFT_FOLLOWER);
	raft_heed_claims_of_all(r, heard, out);
	raft_heed_pauses_of_all(r, heard, out);
	r->saved.abstaining = RAFT_VOTING;
	raft_take_system_id(r, out); /* what it was told of its data meanwhile */
	r->saved.list_digest = r->config.list_digest;
	r->saved.list_size = r->config.list_size;
	raft_take_addresses(r);
	raft_mark_save(r, out);

	/*
	 * From here on, lost state no longer matters.  A peer may hear only later, by a
	 * datagram that was long under way, of a save from before: that is settled.
	 */
	r->loaded_save_number = r->saved.save_number;
	r->abstain_until = 0;
	r->admitted = false;
	if (r->leader_id == RAFT_NONE)
		raft_start_timer(r, now);
	raft_note(r, out, RAFT_STOPPED_ABSTAINING, RAFT_NONE, 0);
}

bool
raft_admit(Raft *r, uint64_t now, RaftOutput *out)
{
	raft_clear_output(out);
	if (r->config.managed && r->role == RAFT_LEADER && r->saved.claim == 0)
	{
		/* No primary runs beside this one: the first claim need not hear everyone. */
		r->first_admitted = true;
		raft_note(r, out, RAFT_ADMITTED, RAFT_NONE, 0);
		return true;
	}
	if (r->saved.abstaining == RAFT_VOTING)
		return false;
	r->admitted = true;
	raft_note(r, out, RAFT_ADMITTED, RAFT_NONE, 0);
	raft_tick_abstaining(r, now, out);
	return true;
}
