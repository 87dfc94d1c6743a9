/*
 * raft/handover.c
 *	  A leadership that ends for another one: transfer, resigning, and a member that
 *	  is ahead (rules 7 to 9).
 */
#include "internal.h"

#include <assert.h>

/*
 * A member is ahead of this leader (rule 9): it cannot follow a lower term,
 * and cannot adopt our term.  End the lease, and stand at once above
 * that term in our own place; unless it names a leader there, then the election
 * is over and we have missed it.
 */
void
raft_follow_member_ahead(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	if (m->leader_id == RAFT_NONE &&
		raft_stand(r, now, m->term, r->saved.term, r->config.node_id, RAFT_STANDS_ABOVE,
				   m->from, out))
		return;
	raft_follow_nobody(r, now);
	raft_raise_term(r, m->term, out);
	raft_note(r, out, RAFT_HIGHER_TERM, m->from, 0);
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
		raft_drop(r, out, RAFT_DROP_STALE);
}

/* In an election, that is: it may hold less than we do. */
bool
raft_could_lead(const Raft *r, uint64_t now, int32_t id, uint64_t index)
{
	const RaftPeer *peer = &r->peers[raft_is_member(r, id) ? id : 0];

	return raft_is_member(r, id) && is_live(peer, now, 2 * r->config.timeouts.max_timeout) &&
		   peer->may_lead && peer->told.known && peer->position.epoch != 0 && peer->position.index >= index;
}

bool
raft_other_could_lead(const Raft *r, uint64_t now, uint64_t index)
{
	for_each_peer(r, id)
	{
		if (raft_could_lead(r, now, id, index))
			return true;
	}
	return false;
}

bool
raft_is_replaceable(const Raft *r, uint64_t now)
{
	uint64_t others = 0;
	bool	 is_needed;

	if (raft_in_pause(r))
		return false;
	for_each_peer(r, id)
	{
		if (raft_counts_in_quorum(r, id) && is_live(&r->peers[id], now, 2 * r->config.timeouts.max_timeout))
			others |= UINT64_C(1) << id;
	}
	is_needed = !raft_is_quorum(r, others);
	for_each_peer(r, id)
	{
		if (raft_could_lead(r, now, id, 0) && !(is_needed && raft_is_older(r->peers[id].position, r->position)))
			return true;
	}
	return false;
}

/* Could it lead in our place?  RAFT_TRANSFER_STARTED: yes. */
static RaftTransferResult
check_target(const Raft *r, uint64_t now, int32_t id)
{
	const RaftPeer *peer = &r->peers[id];

	if (!peer->answered)
		return RAFT_TRANSFER_UNREACHABLE;
	if (!raft_counts_in_quorum(r, id) || !peer->may_lead)
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
		RaftTransferResult result = check_target(r, now, id);

		if (result != RAFT_TRANSFER_STARTED && !(resigning && result == RAFT_TRANSFER_BEHIND))
			continue;
		if (than == NULL || raft_is_older(than->position, peer->position) ||
			(!raft_is_older(peer->position, than->position) &&
			 peer->acked_round > than->acked_round))
			best = id;
	}
	return best;
}

int32_t
raft_newest_peer(const Raft *r, uint64_t now)
{
	RaftPosition most = r->position;
	int32_t		 newest = RAFT_NONE;

	for_each_peer(r, id)
	{
		const RaftPeer *peer = &r->peers[id];

		if (!raft_is_waited_for(r, now, id))
			continue;
		if (raft_is_older(most, peer->position) ||
			(newest != RAFT_NONE && !raft_is_older(peer->position, most) &&
			 check_target(r, now, newest) != RAFT_TRANSFER_STARTED &&
			 check_target(r, now, id) == RAFT_TRANSFER_STARTED))
		{
			newest = id;
			most = peer->position;
		}
	}
	return newest;
}

/* Would somebody be fit but for a promise that soon runs out? */
static bool
is_anyone_bound(const Raft *r, uint64_t now)
{
	for_each_peer(r, id)
	{
		if (check_target(r, now, id) == RAFT_TRANSFER_BOUND)
			return true;
	}
	return false;
}

/*
 * Step down for good in this term before the transfer message: the host shows the lost
 * lease before it sends (rule 7).
 */
static void
hand_over(Raft *r, uint64_t now, int32_t target, RaftReason reason, RaftOutput *out)
{
	raft_stop_leading(r, now, out, reason, target, 1, 0);
	if (target == RAFT_NONE)
		return;
	for (int i = 0; i < RAFT_TRANSFERS; i++)
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
	result = check_target(r, now, target);
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
