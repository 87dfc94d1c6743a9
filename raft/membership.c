/*
 * raft/membership.c
 *	  The member list changes while the cluster runs (rule 24).
 *
 * Every member has a list in its settings; what counts is the list with a number, see list.c.
 * An open leader brings the second to the first, one member after the other, so that one
 * that is down stands in the way of as little as possible:
 *
 *	  even n	members "now" count.  The one to come is there: it has the same settings, follows
 *				this leader and holds its WAL.  A majority has stored n with this leader's term.
 *	  odd n+1	both lists count, for votes, leases, claims and commits.  A majority of each has
 *				stored that with this leader's term, and all WAL from before is held by as many
 *				of the new list as commits need.
 *	  even n+2	the new list alone counts.
 *
 * A member takes a higher number over from whoever tells it, of the same number a later term,
 * and votes for nobody who has another list than it has then.  So a list that a majority has stored
 * in its leader's term outlives every list before it.
 */
#include "internal.h"

/* By the word of a person: above all that those who are lost may have gone on to. */
#define FORCED_STEP 1000

static uint64_t
bit(int32_t id)
{
	return UINT64_C(1) << id;
}

/* Elected, or another list: who has stored it is asked anew. */
void
raft_forget_lists(Raft *r)
{
	for_each_peer(r, id)
		r->peers[id].acked_list = 0;
}

/* Another term alone is no news. */
static void
store_list(Raft *r, const RaftList *list, int32_t peer, RaftOutput *out)
{
	bool is_news = list->number != r->saved.list.number || list->now != r->saved.list.now;

	r->saved.list = *list;
	raft_forget_lists(r);
	raft_mark_save(r, out);
	if (is_news)
		raft_note_nodes(r, out, RAFT_LIST_CHANGED, peer, list->number, list->now);
}

/* The first claim: from here on it is this list, and changes like this alone. */
void
raft_begin_list(Raft *r, RaftOutput *out)
{
	RaftList list = {.number = 2, .term = r->saved.term, .now = r->config.members};

	if (r->saved.list.number != 0)
		return;
	list.digest = raft_list_digest(&r->config, list.now);
	store_list(r, &list, RAFT_NONE, out);
}

/* Whoever told it: a list that was begun is known to be good to go on to. */
void
raft_heed_list(Raft *r, const RaftMessage *m, RaftOutput *out)
{
	if (r->config.managed && raft_list_is_newer(&m->told.list, &r->saved.list))
		store_list(r, &m->told.list, m->from, out);
}

bool
raft_force_list(Raft *r, RaftOutput *out)
{
	RaftList list = {.now = bit(r->config.node_id)};

	if (r->saved.list.number == 0 || r->config.wanted != list.now || r->role == RAFT_LEADER || r->leader_id != RAFT_NONE || raft_voters(r) == list.now ||
		r->saved.list.number > UINT32_MAX - 2 * FORCED_STEP)
		return false;
	list.number = (r->saved.list.number & ~UINT32_C(1)) + FORCED_STEP;
	list.term = later_of(r->saved.term, 1);
	list.digest = raft_list_digest(&r->config, list.now);
	store_list(r, &list, RAFT_NONE, out);
	return true;
}

/*
 * This member stops abstaining.  If the members that count have other addresses than before, all
 * of them have been told so, for all have the same list in their settings.
 */
void
raft_take_addresses(Raft *r)
{
	if (!raft_list_fits(&r->config, &r->saved.list))
		r->saved.list.digest = raft_list_digest(&r->config, raft_voters(r));
}

/* ---- a leader ---- */

/* Who has acknowledged the list in this term, and what else later leaders have to know. */
static bool
is_stored(const Raft *r)
{
	uint64_t nodes = bit(r->config.node_id);

	for_each_peer(r, id)
	{
		const RaftPeer *peer = &r->peers[id];

		if (raft_counts_in_quorum(r, id) && peer->acked_list == r->saved.list.number &&
			peer->acked_claim >= r->saved.claim && peer->acked_pause >= r->saved.pause)
			nodes |= bit(id);
	}
	return raft_is_quorum(r, nodes);
}

/* Is all that was answered before held by as many as commits need by the present list? */
static bool
is_held(const Raft *r)
{
	return r->data.list_held == r->saved.list.number && r->data.list_held_term == r->saved.list.term;
}

/* So that the lease goes on when they count, or others do not any more. */
static bool
is_bound(const Raft *r, uint64_t now, int32_t id)
{
	return r->peers[id].bound_until > now;
}

static bool
is_heard(const Raft *r, uint64_t now, int32_t id)
{
	return is_bound(r, now, id) || is_live(&r->peers[id], now, 2 * r->config.timeouts.max_timeout);
}

static bool
has_same_settings(const Raft *r, int32_t id)
{
	return r->peers[id].list_digest == r->config.list_digest;
}

/* Everybody who counts, stays and lives has the new list in its settings; and who is bound is a majority of the next one. */
static bool
are_told(const Raft *r, uint64_t now, uint64_t target)
{
	uint64_t told = bit(r->config.node_id);

	for_each_peer(r, id)
	{
		if (!is_heard(r, now, id))
			continue;
		if ((r->config.wanted >> id & 1) != 0 && !has_same_settings(r, id))
		{
			if ((raft_members_now(r) >> id & 1) != 0)
				return false;
			continue;
		}
		if (is_bound(r, now, id))
			told |= bit(id);
	}
	return raft_is_majority(told, target);
}

/* Does it follow this leader, and hold all of its WAL but the last? */
static bool
is_ready(const Raft *r, uint64_t now, int32_t id)
{
	const RaftPeer *peer = &r->peers[id];

	return raft_is_member(r, id) && is_bound(r, now, id) && has_same_settings(r, id) && !peer->abstaining &&
		   peer->acked_list == r->saved.list.number && peer->told.known && !peer->told.gone && !peer->told.rebuilding &&
		   peer->position.epoch == r->position.epoch && peer->position.index + RAFT_LIST_LAG >= r->position.index;
}

/* The members after the next step; 0: none is to be taken, or can be. */
static uint64_t
next_members(const Raft *r, uint64_t now)
{
	uint64_t present = r->saved.list.now;

	uint64_t goes = present & ~r->config.wanted;
	int32_t	 last = RAFT_NONE;

	/* First who is to go and is not there: nothing is lost with it. */
	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
	{
		if ((goes & bit(id)) == 0)
			continue;
		last = id;
		if (id != r->config.node_id && !is_heard(r, now, id))
			return present & ~bit(id);
	}
	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
	{
		if ((r->config.wanted & ~present & bit(id)) != 0 && is_ready(r, now, id))
			return present | bit(id);
	}
	return last == RAFT_NONE || (r->config.wanted & ~present) != 0 ? 0 : present & ~bit(last);
}

/*
 * Is the list this leader's own?  Else it makes it that before anything depends on it: as with
 * entries of Raft's log (3.6.2), one of an earlier term may be stored by a majority, and still give
 * way to one of the same number and a later term.  One of a later term than ours is not touched.
 */
static bool
is_own(Raft *r, uint64_t now, RaftOutput *out)
{
	RaftList list = r->saved.list;

	if (list.term >= r->saved.term)
		return list.term == r->saved.term;
	list.term = r->saved.term;
	store_list(r, &list, RAFT_NONE, out);
	r->heartbeat_at = now;
	return false;
}

static void
begin_change(Raft *r, uint64_t now, uint64_t next, RaftOutput *out)
{
	RaftList list = {.number = r->saved.list.number + 1, .term = r->saved.term, .now = next, .old = r->saved.list.now};

	if (!is_stored(r) || (r->saved.list.old != 0 && !is_held(r)) || !are_told(r, now, list.now) ||
		list.number > UINT32_MAX - 2 * FORCED_STEP)
		return;
	list.digest = raft_list_digest(&r->config, list.now | list.old);
	store_list(r, &list, RAFT_NONE, out);
	r->heartbeat_at = now;
}

static void
end_change(Raft *r, uint64_t now, RaftOutput *out)
{
	RaftList list = r->saved.list;

	if (!is_held(r) || !is_stored(r))
		return;
	list.number++;
	list.digest = raft_list_digest(&r->config, list.now);
	store_list(r, &list, RAFT_NONE, out);
	r->heartbeat_at = now;
}

/* Only an open leader knows that nothing is held by too few; and it does not take itself out. */
void
raft_tend_list(Raft *r, uint64_t now, RaftOutput *out)
{
	bool	 is_joint = raft_list_is_joint(&r->saved.list);
	uint64_t next;

	if (!r->config.managed || r->saved.list.number == 0 || !r->data.promoted || !r->data.open || raft_lease_until(r) <= now)
		return;
	next = is_joint ? r->saved.list.now : next_members(r, now);
	if (!is_joint && (next & bit(r->config.node_id)) == 0)
		return;
	if (!is_own(r, now, out))
		return;
	if (is_joint)
		end_change(r, now, out);
	else
		begin_change(r, now, next, out);
}

/* ---- the settings ---- */

/*
 * It may have been a peer before.  Who it is goes on, and what it has seen of us: the numbers of
 * datagrams begin once in a start.  What it did under a leadership does not.
 */
static void
begin_peer(RaftPeer *peer, uint64_t now)
{
	static const RaftPosition none = {0, 0};

	peer->greet_at = now;
	peer->ask_at = now;
	peer->ballot = RAFT_BALLOT_OPEN;
	peer->position = none;
	peer->bound = peer->forgotten = peer->voted_is_claim = false;
	peer->acked_round = peer->acked_at = peer->bound_until = 0;
	peer->acked_claim = peer->acked_pause = peer->acked_list = 0;
	peer->voted_claim = peer->voted_pause = 0;
}

bool
raft_set_list(Raft *r, uint64_t now, const RaftConfig *config, RaftOutput *out)
{
	uint64_t came = config->members & ~r->config.members;

	raft_clear_output(out);
	if (r->saved.list.number == 0 || !raft_list_fits(config, &r->saved.list) ||
		(config->members >> r->config.node_id & 1) == 0)
		return false;
	r->config.members = config->members;
	r->config.wanted = config->wanted;
	r->config.list_digest = config->list_digest;
	r->config.list_size = config->list_size;
	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
	{
		r->config.addresses[id] = config->addresses[id];
		if ((came >> id & 1) != 0)
			begin_peer(&r->peers[id], now);
	}
	r->saved.list_digest = config->list_digest;
	r->saved.list_size = config->list_size;
	raft_mark_save(r, out);
	return true;
}
