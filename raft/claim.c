/*
 * raft/claim.c
 *	  Claims, promotions and rebuilds: what a member does with its data (rules 12, 13,
 *	  15, 21 and 22).
 *
 * A timeline is created by one promotion for ever.  Whoever is about to create timeline
 * c has it claimed by a majority first, durably; whoever is elected later hears of that
 * in its votes, and claims above it.
 *
 * All that the host asks for here is refused unless it is sure, and what it may rely on
 * is durable before it is shown: a promotion that may still happen, and the timelines
 * that this member's WAL may be on, are in the record.
 */
#include "internal.h"

#include <assert.h>
#include <string.h>

/* Of too many, the oldest that this member's WAL is not on is forgotten. */
static void
drop_timeline(const Raft *r, RaftSaved *saved)
{
	uint32_t i = 0;

	while (i < RAFT_TIMELINES - 1 && (saved->timelines[i].id == r->position.epoch ||
									  saved->timelines[i].id == saved->floor.epoch))
		i++;
	saved->n_timelines--;
	memmove(&saved->timelines[i], &saved->timelines[i + 1],
			(saved->n_timelines - i) * sizeof(saved->timelines[0]));
}

/* Remember a timeline as this member's own. */
static void
add_timeline(Raft *r, uint32_t id, bool created, RaftOutput *out)
{
	RaftSaved *saved = &r->saved;

	if (id == 0 || id > RAFT_MAX_TIMELINE)
		return;
	for (uint32_t i = 0; i < saved->n_timelines; i++)
	{
		if (saved->timelines[i].id != id)
			continue;
		if (created && !saved->timelines[i].created)
		{
			saved->timelines[i].created = true;
			raft_mark_save(r, out);
		}
		return;
	}
	if (saved->n_timelines == RAFT_TIMELINES)
		drop_timeline(r, saved);
	saved->timelines[saved->n_timelines++] = (RaftTimeline){.id = id, .created = created};
	raft_mark_save(r, out);
}

/*
 * Has it data, and does not know at present what they are?  It stores no first claim then: it
 * could adopt nothing, and its own WAL would be foreign.
 */
static bool
adopts_later(const Raft *r)
{
	return r->saved.claim == 0 && r->saved.rebuild == RAFT_INTACT &&
		   (!r->has_looked || (r->data.system_id != 0 && !r->data.known));
}

/*
 * Are its data those that the first claim was made beside?  That was above all that anybody
 * had.  Who has not heard of it may have been promoted by hand since, to its very timeline:
 * what was written there is foreign.
 */
static bool
adopts(const Raft *r, uint32_t claim)
{
	return r->saved.claim == 0 && r->saved.rebuild == RAFT_INTACT && r->data.known && r->data.system_id != 0 &&
		   r->data.server != RAFT_SERVER_PRIMARY && r->position.epoch < claim;
}

/*
 * Store a claim.  The first one that this member hears of makes the timeline that its
 * data are on its own: it is adopted.
 */
static void
store_claim(Raft *r, uint32_t claim, RaftOutput *out)
{
	if (claim <= r->saved.claim)
		return;
	if (adopts(r, claim))
		add_timeline(r, (uint32_t) r->position.epoch, true, out);
	r->saved.claim = claim;
	raft_mark_save(r, out);
}

/* ---- what the host says of its data ---- */

/*
 * Its data become the member's own while nobody has claimed anything: then it was
 * created, or adopted.  Later only a rebuild brings them.
 */
void
raft_take_system_id(Raft *r, RaftOutput *out)
{
	if (r->saved.system_id != 0 || r->data.system_id == 0 || r->saved.claim != 0 ||
		r->saved.abstaining != RAFT_VOTING || r->saved.distrusted)
		return;
	r->saved.system_id = r->data.system_id;
	r->saved.never_held = false;
	raft_mark_save(r, out);
}

/*
 * A leader knows of no claim, and neither does this member, which has no data: it has
 * confirmed nothing to anybody.  It remembers that, so that it can vote until its first
 * rebuild, whatever is claimed meanwhile.  The leader of the first claim waits for all.
 */
static void
note_never_held(Raft *r, const RaftTold *leader, RaftOutput *out)
{
	if (leader->claimed || r->saved.claim != 0 || r->saved.never_held || !r->has_looked || r->saved.system_id != 0 ||
		r->data.system_id != 0 || r->saved.abstaining != RAFT_VOTING || r->saved.distrusted || r->saved.rebuild != RAFT_INTACT)
		return;
	r->saved.never_held = true;
	raft_mark_save(r, out);
}

/*
 * A file of a higher timeline that turns up at a primary changes nothing for those who
 * follow it.  It counts once this member does not lead any more.
 */
static bool
is_primary_of_its_term(const Raft *r)
{
	return r->role == RAFT_LEADER && (r->data.promoted || r->saved.promoting != 0);
}

/*
 * What a server's files say comes from outside.  A position that cannot be is none, and
 * above a timeline beyond the last nobody can be promoted: such data are not known.
 */
static void
take_data(Raft *r, const RaftData *data, RaftOutput *out)
{
	static const RaftPosition none = {0, 0};
	bool					  was_refused = r->data_refused;
	bool					  is_possible = !data->known || raft_position_is_possible(data->position);
	uint64_t				  timeline = is_possible ? data->newest_timeline : data->position.epoch;

	r->data = *data;
	r->has_looked = true;
	r->data_refused = !is_possible || data->newest_timeline > RAFT_MAX_TIMELINE;
	if (r->data_refused)
	{
		r->data.known = false;
		r->data.position = none;
		r->data.newest_timeline = 0;
		if (!was_refused)
			raft_note(r, out, RAFT_DATA_IMPOSSIBLE, RAFT_NONE, timeline);
	}
	r->position = r->data.known ? r->data.position : none;
}

static void
remember_held(Raft *r, RaftPosition held, RaftOutput *out)
{
	if (!r->config.managed || r->saved.rebuild != RAFT_INTACT || raft_is_gone(r) ||
		r->saved.system_id == 0 || !raft_position_is_possible(held) || !raft_is_older(r->saved.floor, held))
		return;
	r->saved.floor = held;
	raft_mark_save(r, out);
}

static void
note_behind(Raft *r, bool was_behind, RaftOutput *out)
{
	if (!was_behind && raft_is_behind(r))
		raft_note(r, out, RAFT_DATA_BEHIND, RAFT_NONE, r->saved.floor.epoch);
}

void
raft_set_data(Raft *r, const RaftData *data, RaftOutput *out)
{
	bool was_behind = raft_is_behind(r);
	bool was_promoted = r->data.promoted;

	raft_clear_output(out);
	assert(r->config.managed);
	take_data(r, data, out);
	if (r->role == RAFT_LEADER && r->data.promoted && !was_promoted)
		r->heartbeat_at = 0; /* the others wait for that: tell them at once */
	raft_take_system_id(r, out);

	/* Less than it held a moment ago, and nobody is rebuilding it: somebody put it there. */
	if (r->data.known && raft_is_older(r->position, r->held))
		remember_held(r, r->held, out);
	else if (r->data.known && r->saved.rebuild == RAFT_INTACT)
		r->held = r->position;
	if (r->saved.claim != 0 && r->data.newest_timeline > r->saved.claim && !is_primary_of_its_term(r))
		store_claim(r, r->data.newest_timeline, out);
	if (!raft_is_behind(r))
		return;
	if (r->catch_up_term == r->saved.term && !raft_is_older(r->position, r->catch_up))
	{
		/* It has all that this leader had when the loss was known already. */
		r->saved.floor = r->held = r->position;
		raft_mark_save(r, out);
	}
	else
		note_behind(r, was_behind, out);
}

/* What this member is known to have held: by a peer, or by the host's own notes. */
void
raft_remember_held(Raft *r, RaftPosition held, RaftOutput *out)
{
	bool was_behind = raft_is_behind(r);

	remember_held(r, held, out);
	note_behind(r, was_behind, out);
}

/* ---- claims and promotion, of a leader ---- */

/* Has that peer said in this term all that the first claim has to know of it? */
static bool
is_accounted_for(const Raft *r, int32_t id)
{
	const RaftPeer *peer = &r->peers[id];
	const RaftTold *told = &peer->told;

	/* Who only elects, or has not looked at its data yet, knows nothing of them. */
	if (!raft_counts_in_quorum(r, id) || peer->acked_round == 0 || !told->known ||
		told->server == RAFT_SERVER_PRIMARY)
		return false;
	if (told->system_id == 0)
		return true;

	/* What it told last may be newer than its position, which comes with acknowledgements alone. */
	return told->system_id == r->saved.system_id && peer->position.epoch != 0;
}

/* Does the first claim wait for it?  Not for the silent, once the operator has said so. */
bool
raft_is_waited_for(const Raft *r, uint64_t now, int32_t id)
{
	return !r->first_admitted || is_live(&r->peers[id], now, 2 * r->config.timeouts.max_timeout);
}

/*
 * Before the first claim two may have been primaries.  The higher timeline is no sign of whose
 * data are wanted: a standby that was promoted by mistake has it.  So a person decides.
 */
static bool
is_diverged(const Raft *r, const RaftPeer *peer)
{
	return peer->told.system_id != 0 && !peer->told.gone && peer->position.epoch != r->position.epoch;
}

/*
 * While no claim is stored anywhere, a primary that is not managed may still run beside
 * this one: everybody has to have said that it does not, or pg_leader_admit().  That is for
 * the dead, whatever they held, and for data that are gone: a member that lives and does not
 * know yet what it holds may hold what was answered.
 */
static RaftClaimResult
check_first_claim(const Raft *r, uint64_t now)
{
	for_each_peer(r, id)
	{
		const RaftPeer *peer = &r->peers[id];

		if (!raft_is_waited_for(r, now, id))
			continue;
		if (!is_accounted_for(r, id) && !(r->first_admitted && peer->told.gone))
			return RAFT_CLAIM_NEEDS_ALL;
		if (is_diverged(r, peer))
			return RAFT_CLAIM_DIVERGED;
		if (raft_is_older(r->position, peer->position))
			return RAFT_CLAIM_BEHIND;
	}
	return RAFT_CLAIM_MADE;
}

RaftClaimResult
raft_claim(Raft *r, uint64_t now, RaftOutput *out)
{
	uint32_t		highest = r->elected_claim;
	RaftClaimResult result = RAFT_CLAIM_MADE;
	bool			is_first;

	raft_clear_output(out);
	if (!r->config.managed)
		return RAFT_CLAIM_NOT_MANAGED;
	if (r->role != RAFT_LEADER)
		return RAFT_CLAIM_NOT_LEADER;
	if (r->saved.promoting != 0)
		return RAFT_CLAIM_PROMOTING;
	if (!raft_data_let_stand(r) || r->data.server != RAFT_SERVER_RECOVERY)
		return RAFT_CLAIM_NO_DATA;
	is_first = r->saved.claim == 0;
	if (is_first)
		result = check_first_claim(r, now);
	if (result != RAFT_CLAIM_MADE)
		return result;

	highest = (uint32_t) later_of(later_of(highest, r->saved.claim),
								  later_of(r->position.epoch, r->data.newest_timeline));
	if (highest >= RAFT_MAX_TIMELINE)
		return RAFT_CLAIM_EXHAUSTED;
	store_claim(r, highest + 1, out);
	if (is_first)
		raft_begin_list(r, out);
	r->claim = highest + 1;
	r->heartbeat_at = now; /* send it at once */
	raft_note(r, out, RAFT_CLAIMED, RAFT_NONE, r->claim);
	return RAFT_CLAIM_MADE;
}

uint32_t
raft_claimed(const Raft *r)
{
	uint64_t nodes = UINT64_C(1) << r->config.node_id;

	if (r->role != RAFT_LEADER || r->claim == 0)
		return 0;
	for_each_peer(r, id)
	{
		if (raft_counts_in_quorum(r, id) && r->peers[id].acked_claim >= r->claim)
			nodes |= UINT64_C(1) << id;
	}
	return raft_is_quorum(r, nodes) ? r->claim : 0;
}

uint32_t
raft_promote(Raft *r, uint64_t now, RaftOutput *out)
{
	uint32_t timeline = raft_claimed(r);

	raft_clear_output(out);
	if (timeline == 0 || raft_lease_until(r) <= now || r->saved.promoting != 0 ||
		!raft_data_let_stand(r) || r->data.server != RAFT_SERVER_RECOVERY)
		return 0;
	r->claim = 0; /* asking uses it up */
	r->saved.promoting = timeline;
	add_timeline(r, timeline, true, out);
	raft_mark_save(r, out);
	raft_note(r, out, RAFT_PROMOTES, RAFT_NONE, timeline);
	return timeline;
}

void
raft_promoted(Raft *r, RaftOutput *out)
{
	raft_clear_output(out);
	if (r->saved.promoting == 0)
		return;
	r->saved.promoting = 0;
	raft_mark_save(r, out);
}

void
raft_count_votes_claims(Raft *r, RaftOutput *out)
{
	uint32_t highest = 0;

	r->claim = 0;
	r->first_admitted = false;
	r->elected_claim = (uint32_t) later_of(r->saved.claim, r->data.newest_timeline);
	for_each_peer(r, id)
	{
		RaftPeer *peer = &r->peers[id];

		peer->acked_claim = 0;
		peer->forgotten = false;
		if (peer->ballot != RAFT_BALLOT_GRANTED)
			continue;
		r->elected_claim = (uint32_t) later_of(r->elected_claim, peer->voted_claim);
		if (peer->voted_is_claim)
			highest = (uint32_t) later_of(highest, peer->voted_claim);
	}
	if (r->config.managed && highest > r->saved.claim)
		store_claim(r, highest, out);
}

uint64_t
raft_peer_bound(const Raft *r, int32_t id)
{
	if (r->role != RAFT_LEADER || !raft_is_member(r, id))
		return 0;
	if (id == r->config.node_id)
		return r->own_bound_until;
	return raft_counts_in_quorum(r, id) ? r->peers[id].bound_until : 0;
}

uint64_t
raft_to_forget(const Raft *r)
{
	uint64_t members = 0;

	if (r->role != RAFT_LEADER || !r->data.promoted || raft_in_pause(r))
		return 0;
	for_each_peer(r, id)
	{
		if (r->peers[id].told.gone && !r->peers[id].forgotten)
			members |= UINT64_C(1) << id;
	}
	return members;
}

bool
raft_forgot(Raft *r, int32_t id)
{
	if (r->role != RAFT_LEADER || !raft_is_member(r, id) || id == r->config.node_id ||
		!r->peers[id].told.gone)
		return false;
	r->peers[id].forgotten = true;
	return true;
}

/* ---- following and rebuilding ---- */

/* Is the leader of this term known to be primary on a timeline that it claimed? */
static bool
leader_is_promoted(const Raft *r)
{
	return r->role == RAFT_FOLLOWER && r->leader_id != RAFT_NONE &&
		   r->leader_id != r->config.node_id && r->peers[r->leader_id].told.promoted &&
		   r->peers[r->leader_id].term == r->saved.term;
}

bool
raft_follow(Raft *r, const uint32_t *timelines, uint32_t n, RaftOutput *out)
{
	raft_clear_output(out);
	if (!r->config.managed || r->saved.promoting != 0 || !leader_is_promoted(r) || n == 0 ||
		r->saved.claim == 0 || r->peers[r->leader_id].told.claim != timelines[n - 1])
		return false;
	for (uint32_t i = n > RAFT_PATH ? n - RAFT_PATH : 0; i < n; i++)
		add_timeline(r, timelines[i], false, out);
	return true;
}

bool
raft_may_serve(const Raft *r, int32_t id)
{
	return r->saved.claim == 0 ||
		   (r->role == RAFT_LEADER && raft_is_member(r, id) && r->peers[id].acked_claim != 0 && !r->peers[id].forgotten);
}

bool
raft_may_go_on_serving(const Raft *r, int32_t id)
{
	return r->saved.claim == 0 ||
		   (r->role == RAFT_LEADER && raft_is_member(r, id) && r->peers[id].told.claimed);
}

bool
raft_may_acknowledge(const Raft *r, uint64_t term)
{
	return r->saved.claim == 0 || (term != 0 && term == r->saved.term && r->saved.rebuild == RAFT_INTACT);
}

static void
start_rebuild(Raft *r, RaftRebuild how, RaftPosition floor, uint32_t timeline, RaftOutput *out)
{
	/*
	 * Repeated, whichever way: what the first attempt overwrote stays overwritten.  And
	 * what was lost before stays the floor, for this member confirmed it to somebody.  But
	 * not the floor of a state file that was older: then it is what the leader names.
	 */
	if (r->saved.distrusted || (r->saved.rebuild == RAFT_INTACT && !raft_is_behind(r)))
		r->saved.floor = floor;
	r->held = (RaftPosition){0, 0};
	r->saved.rebuild = how;
	r->saved.rebuild_source = r->leader_id;
	r->saved.rebuild_term = r->saved.term;
	r->saved.distrusted = r->saved.never_held = false;
	r->saved.system_id = r->peers[r->leader_id].told.system_id;
	r->saved.promoting = 0;
	raft_mark_save(r, out);
	add_timeline(r, timeline, false, out);
	raft_note(r, out, RAFT_REBUILDS_DATA, r->leader_id, how);
}

bool
raft_rebuild(Raft *r, RaftRebuild how, RaftPosition floor, RaftOutput *out)
{
	raft_clear_output(out);
	if (!r->config.managed || how == RAFT_INTACT || !raft_position_is_possible(floor) ||
		!leader_is_promoted(r) || raft_is_gone(r))
		return false;
	start_rebuild(r, how, floor, r->peers[r->leader_id].told.claim, out);
	return true;
}

bool
raft_rebuilt(Raft *r, RaftOutput *out)
{
	raft_clear_output(out);
	/* What ends while it abstains would be distrusted once more: see raft_heed_claims_of_all(). */
	if (r->saved.rebuild == RAFT_INTACT || r->saved.distrusted || r->saved.abstaining != RAFT_VOTING || !r->data.known ||
		r->data.system_id != r->saved.system_id || raft_is_older(r->position, r->saved.floor))
		return false;
	r->saved.rebuild = RAFT_INTACT;
	r->saved.rebuild_source = RAFT_NONE;
	r->saved.rebuild_term = 0;
	raft_mark_save(r, out);
	raft_note(r, out, RAFT_REBUILDS_DATA, RAFT_NONE, RAFT_INTACT);
	return true;
}

bool
raft_trust_data(Raft *r, RaftOutput *out)
{
	bool is_last;

	raft_clear_output(out);
	if (r->data.system_id == 0 || !r->data.known || r->saved.rebuild != RAFT_INTACT)
		return false;
	is_last = raft_force_list(r, out);
	if (!is_last && !r->saved.distrusted)
		return false;

	/* what it held once and holds no more is given up as well: nobody else has it */
	if (is_last)
		r->saved.floor = r->held = r->position;
	r->saved.distrusted = r->saved.never_held = false;
	r->saved.system_id = r->data.system_id;
	add_timeline(r, (uint32_t) r->data.position.epoch, false, out);
	raft_mark_save(r, out);
	return true;
}

/* A heartbeat of the leader of this term, which is followed. */
void
raft_heed_leader(Raft *r, const RaftMessage *m, RaftOutput *out)
{
	if (!r->config.managed || !m->told.managed)
		return;
	note_never_held(r, &m->told, out);
	if (m->told.claimed && !adopts_later(r))
		store_claim(r, m->told.claim, out);
	if (m->told.known && raft_is_older(r->peers[m->from].remembered, m->position))
		r->peers[m->from].remembered = m->position;

	/* What follows goes by where its WAL ends, which it may not know itself at present. */
	if (!m->told.promoted || !m->told.known)
		return;

	/*
	 * The floor of data that are gone: until the leader has ended the connections of
	 * this member, it counts what they had confirmed.  Not while it abstains: when it stops
	 * that, its data are distrusted (rule 22), and a copy would be made for nothing.
	 */
	if (m->told.forgotten && raft_is_gone(r) && r->saved.abstaining == RAFT_VOTING)
		start_rebuild(r, RAFT_CLONING, m->position, m->told.claim, out);
	if (raft_is_behind(r) && r->catch_up_term != r->saved.term)
	{
		r->catch_up_term = r->saved.term;
		r->catch_up = m->position;
	}
}

/* An acknowledgement of this term was counted. */
void
raft_heed_follower(Raft *r, const RaftMessage *m)
{
	static const RaftPosition none = {0, 0};
	RaftPeer				 *peer = &r->peers[m->from];

	if (!r->config.managed)
		return;
	if (m->told.claimed)
		peer->acked_claim = (uint32_t) later_of(peer->acked_claim, m->told.claim);
	if (m->told.gone || m->told.rebuilding)
		peer->remembered = none;
	else if (m->told.known && raft_is_older(peer->remembered, m->position))
		peer->remembered = m->position;
}

/*
 * This member stops abstaining: it knows the highest claim of all.  If its record may be
 * older than its data, a rebuild that was half done may be forgotten with it, so they
 * cannot be used (rule 22).
 */
void
raft_heed_claims_of_all(Raft *r, uint64_t heard, RaftOutput *out)
{
	uint32_t highest = 0;

	if (!r->config.managed)
		return;
	for_each_peer(r, id)
	{
		if ((heard >> id & 1) != 0 && r->peers[id].told.claimed)
			highest = (uint32_t) later_of(highest, r->peers[id].told.claim);
	}
	/* Not by store_claim(), which would adopt the data: they may not be trusted yet. */
	if (highest > r->saved.claim)
	{
		r->saved.claim = highest;
		raft_mark_save(r, out);
	}
	if (r->saved.claim == 0)
		return;
	if (r->saved.abstaining != RAFT_ABSTAIN_LIST)
	{
		r->saved.distrusted = true;
		r->saved.never_held = false;
	}
	raft_mark_save(r, out);
}
