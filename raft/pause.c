/*
 * raft/pause.c
 *	  Paused or not: a fact of the whole cluster, kept as claims are.
 *
 * It is one number, which rises with each word of the operator: odd, the cluster is
 * paused.  The leader raises and saves it before it sends it; heartbeats carry
 * it, and a member stores a higher one before it acknowledges.  Votes and answers carry the
 * stored one, and a leader takes over what is higher.  So what a majority has stored is known
 * to whoever is elected later.
 *
 * It changes nothing about votes, promises and leases.  What a server does not do in a
 * pause is in primary/decide.c.
 *
 * Calls state.c only.
 */
#include "internal.h"

/* Store a higher number.  peer: who told it; RAFT_NONE: the operator, here. */
static void
store_pause(Raft *r, uint32_t pause, int32_t peer, RaftOutput *out)
{
	bool was_paused = raft_in_pause(r);

	if (!r->config.managed || pause <= r->saved.pause)
		return;
	r->saved.pause = pause;
	raft_mark_save(r, out);
	if (raft_in_pause(r) != was_paused)
		raft_note(r, out, RAFT_PAUSED, peer, raft_in_pause(r));
}

bool
raft_in_pause(const Raft *r)
{
	return (r->saved.pause & 1) != 0;
}

RaftPauseResult
raft_pause(Raft *r, uint64_t now, bool pauses, RaftOutput *out)
{
	uint32_t pause = r->saved.pause + 1;

	raft_clear_output(out);
	if (!r->config.managed)
		return RAFT_PAUSE_NOT_MANAGED;

	if (r->role != RAFT_LEADER)
		return RAFT_PAUSE_NOT_LEADER;

	/* One that is cut off could end a pause of which it does not know that others began it. */
	if (raft_lease_until(r) <= now)
		return RAFT_PAUSE_NO_LEASE;
	if (r->saved.claim == 0)
		return RAFT_PAUSE_NO_CLAIM;
	if (r->saved.pause > UINT32_MAX - 2)
		return RAFT_PAUSE_EXHAUSTED;

	/* Also where it is so already: a member that is away may have been told otherwise by a leader before. */
	store_pause(r, ((pause & 1) != 0) == pauses ? pause : pause + 1, RAFT_NONE, out);
	r->heartbeat_at = now; /* send it at once */
	return RAFT_PAUSE_TAKEN;
}

bool
raft_pause_is_known(const Raft *r)
{
	uint64_t nodes = UINT64_C(1) << r->config.node_id;

	if (r->role != RAFT_LEADER)
		return false;
	for_each_peer(r, id)
	{
		if (raft_counts_in_quorum(r, id) && r->peers[id].acked_pause >= r->saved.pause)
			nodes |= UINT64_C(1) << id;
	}
	return raft_is_quorum(r, nodes);
}

/* A heartbeat that is followed, or an acknowledgement that counts. */
void
raft_heed_pause(Raft *r, const RaftMessage *m, RaftOutput *out)
{
	if (m->type == RAFT_HEARTBEAT_ANSWER)
		r->peers[m->from].acked_pause = m->told.pause;
	store_pause(r, m->told.pause, m->from, out);
}

/* Elected: what came with the votes. */
void
raft_count_votes_pauses(Raft *r, RaftOutput *out)
{
	for_each_peer(r, id)
	{
		RaftPeer *peer = &r->peers[id];

		peer->acked_pause = 0;
		if (peer->ballot == RAFT_BALLOT_GRANTED)
			store_pause(r, peer->voted_pause, id, out);
	}
}

/* This member stops abstaining: it may have forgotten what it had acknowledged. */
void
raft_heed_pauses_of_all(Raft *r, uint64_t heard, RaftOutput *out)
{
	for_each_peer(r, id)
	{
		if ((heard >> id & 1) != 0)
			store_pause(r, r->peers[id].told.pause, id, out);
	}
}
