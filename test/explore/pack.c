/*
 * test/explore/pack.c
 *	  Between struct Raft and its packed form, and the passing of time.
 *
 * What is not packed is a constant of this world (configuration, member list,
 * positions, version of the datagrams, that nobody pauses it) or statistics that no decision reads
 * (counters, times of events), and what is read only of data that change: of these all
 * have the same.  What does not fit a packed field ends the program:
 * nothing is cut off in silence.
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define MS			UINT64_C(1000)
#define LIST_DIGEST UINT64_C(5)
#define POINT_NEVER 255
#define SYSTEM_ID	UINT64_C(7)

/*
 * A field more in one of these is a field more to pack, or to leave out for a
 * reason: look at every function of this file before changing the numbers.
 */
#if UINTPTR_MAX > UINT32_MAX
_Static_assert(sizeof(RaftSaved) == 288, "pack.c does not know all of RaftSaved");
_Static_assert(sizeof(RaftPeer) == 384, "pack.c does not know all of RaftPeer");
_Static_assert(sizeof(RaftMessage) == 256, "pack.c does not know all of RaftMessage");
_Static_assert(offsetof(Raft, peers) == 4328, "pack.c does not know all of Raft");
#endif

WorldLimits world_limits;

/* For how many milliseconds the past of each point matters. */
static unsigned past_timer;	 /* the timer may run out for so long */
static unsigned past_lease;	 /* a lease counted from then is over */
static unsigned past_quorum; /* check quorum is over */

static RaftConfig configs[WORLD_NODES];
static Member	  members[WORLD_NODES];

static void
must_fit(bool fits, const char *what)
{
	if (fits)
		return;
	fprintf(stderr, "explore: %s does not fit a packed state\n", what);
	exit(3);
}

static uint8_t
small(uint64_t value, const char *what)
{
	must_fit(value <= UINT8_MAX, what);
	return (uint8_t) value;
}

static uint8_t
pack_ms(uint64_t us, const char *what)
{
	must_fit(us % MS == 0, what);
	return small(us / MS, what);
}

uint8_t
world_pack_end(uint64_t t)
{
	return t <= WORLD_NOW ? 0 : pack_ms(t - WORLD_NOW, "an end");
}

static uint64_t
unpack_end(uint8_t end)
{
	return end == 0 ? 0 : WORLD_NOW + end * MS;
}

static uint8_t
pack_point(uint64_t t, unsigned past)
{
	uint64_t first = WORLD_NOW - past * MS;

	if (t == 0)
		return 0;
	if (t == UINT64_MAX)
		return POINT_NEVER;
	if (t < first)
		return 1;
	must_fit((t - first) / MS + 1 < POINT_NEVER, "a point in time");
	return (uint8_t) (1 + pack_ms(t - first, "a point in time"));
}

static uint64_t
unpack_point(uint8_t point, unsigned past)
{
	if (point == 0)
		return 0;
	if (point == POINT_NEVER)
		return UINT64_MAX;
	return WORLD_NOW - past * MS + (point - 1) * MS;
}

RaftPosition
world_position(int i)
{
	RaftPosition same = {1, 5};
	RaftPosition behind = {0, 9};

	/*
	 * Epochs count before indexes.  Two that are behind would elect each other,
	 * so that what the first one must refuse comes about.
	 */
	return world_limits.different_positions && i > 0 ? behind : same;
}

const RaftConfig *
world_config(int i)
{
	return &configs[i];
}

void
world_prepare(void)
{
	uint64_t promise = (uint64_t) world_limits.units * WORLD_UNIT_MS * MS;

	for (int i = 0; i < world_limits.nodes; i++)
	{
		RaftConfig *c = &configs[i];

		memset(c, 0, sizeof(*c));
		c->node_id = i;
		c->members = c->wanted = (UINT64_C(1) << world_limits.nodes) - 1;
		c->list_digest = LIST_DIGEST;
		c->list_size = (uint32_t) world_limits.nodes;
		c->may_lead = true;
		c->managed = world_limits.claims > 0;
		c->timeouts.min_timeout = promise;
		c->timeouts.max_timeout = promise + WORLD_UNIT_MS * MS;
		c->timeouts.heartbeat_interval = WORLD_UNIT_MS * MS;
		c->timeouts.max_drift_ppm = 0;
		if (raft_check_config(c) != NULL)
			must_fit(false, raft_check_config(c));
		memset(&members[i], 0, sizeof(members[i]));
		members[i].raft.config = *c;
	}
	past_timer = WORLD_UNIT_MS;
	past_lease = (unsigned) (promise / MS);
	past_quorum = past_lease + WORLD_UNIT_MS;
}

/* ---- nodes ---- */

/* Once anything was claimed; it does not change here. */
static RaftList
the_list(void)
{
	return (RaftList){.number = 2, .term = 1, .now = configs[0].members, .digest = raft_list_digest(&configs[0], configs[0].members)};
}

void
world_load_saved(const WorldNode *n, RaftSaved *saved)
{
	memset(saved, 0, sizeof(*saved));
	saved->save_number = n->save_number;
	saved->boot = n->boot;
	saved->term = n->term;
	saved->voted_for = n->voted_for;
	saved->promise = n->promise * MS;
	saved->list_digest = LIST_DIGEST;
	saved->list_size = (uint32_t) world_limits.nodes;
	saved->abstaining = (RaftAbstain) n->abstaining;
	if (world_limits.claims == 0)
		return;

	/*
	 * Everybody holds the same data, whole.  Which timelines are a member's own
	 * decides nothing here.
	 */
	saved->claim = n->stored_claim;
	if (saved->claim != 0)
		saved->list = the_list();
	saved->system_id = SYSTEM_ID;
	saved->rebuild_source = RAFT_NONE;
}

void
world_store_saved(WorldNode *n, const RaftSaved *saved)
{
	RaftList list = the_list();

	must_fit(saved->list_digest == LIST_DIGEST, "another member list");
	n->save_number = small(saved->save_number, "a save number");
	n->boot = small(saved->boot, "a boot counter");
	n->term = small(saved->term, "a term");
	n->voted_for = (int8_t) saved->voted_for;
	n->promise = pack_ms(saved->promise, "a stored promise");
	n->abstaining = (uint8_t) saved->abstaining;
	must_fit(saved->rebuild == RAFT_INTACT && !saved->distrusted && !saved->never_held, "data");
	must_fit(raft_list_equals(&saved->list, &(RaftList){0}) || raft_list_equals(&saved->list, &list), "a member list");
	must_fit((saved->list.number != 0) == (saved->claim != 0), "a list without a claim");
	n->stored_claim = small(saved->claim, "a claim");
}

static void
load_peer(const WorldPeer *p, int j, RaftPeer *peer)
{
	bool answered = (p->flags & PEER_ANSWERED) != 0;

	memset(peer, 0, sizeof(*peer));
	peer->boot = p->boot;
	peer->incarnation = p->incarnation;
	peer->save_number = p->save_number;
	peer->earlier_save = p->earlier_save;
	peer->list_digest = p->flags & PEER_SAME_LIST ? LIST_DIGEST : 0;
	peer->term = p->term;
	peer->abstaining = (p->flags & PEER_ABSTAINING) != 0;
	peer->may_lead = (p->flags & PEER_MAY_LEAD) != 0;
	peer->bound = (p->flags & PEER_BOUND) != 0;
	if (p->flags & PEER_POSITION)
		peer->position = world_position(j);
	peer->heard_at = p->flags & PEER_HEARD ? WORLD_NOW : 0;
	peer->answered = answered;
	peer->answer_digest = answered ? LIST_DIGEST : 0;
	peer->answer_term = p->answer_term;
	peer->answer_promise = p->answer_promise * MS;
	peer->answer_max_timeout = answered ? configs[j].timeouts.max_timeout : 0;

	/* Greetings take no time here (step.c), so nobody greets too often. */
	peer->greet_at = UINT64_MAX;
	peer->told_greeter_at = peer->told_new_start_at = peer->told_others_at = 0;
	peer->sent = p->sent;
	peer->sequence = p->sequence;
	peer->window = (uint64_t) p->window[0] << 8 | p->window[1];
	peer->ballot = (RaftBallot) p->ballot;
	peer->ask_at = unpack_point(p->ask_at, 0);
	peer->acked_round = p->acked_round;
	peer->acked_at = unpack_point(p->acked_at, past_quorum);
	peer->bound_until = unpack_end(p->bound_until);
	peer->acked_claim = p->acked_claim;
	peer->voted_claim = p->voted_claim;
	peer->voted_is_claim = p->voted_claim != 0;
}

static void
store_peer(WorldPeer *p, const RaftPeer *peer)
{
	memset(p, 0, sizeof(*p));
	p->boot = small(peer->boot, "a boot counter");
	p->incarnation = small(peer->incarnation, "an incarnation");
	p->save_number = small(peer->save_number, "a save number");
	p->earlier_save = small(peer->earlier_save, "a save number");
	p->term = small(peer->term, "a term");
	p->flags = (uint8_t) ((peer->abstaining ? PEER_ABSTAINING : 0) |
						  (peer->may_lead ? PEER_MAY_LEAD : 0) |
						  (peer->answered ? PEER_ANSWERED : 0) |
						  (peer->list_digest != 0 ? PEER_SAME_LIST : 0) |
						  (peer->position.index != 0 ? PEER_POSITION : 0) |
						  (peer->heard_at != 0 ? PEER_HEARD : 0) |
						  (peer->bound ? PEER_BOUND : 0));
	p->answer_term = small(peer->answer_term, "a term");
	p->answer_promise = pack_ms(peer->answer_promise, "an answered promise");
	p->sent = small(peer->sent, "a sequence number");
	p->sequence = small(peer->sequence, "a sequence number");
	must_fit(peer->window <= UINT16_MAX, "a replay window");
	p->window[0] = (uint8_t) (peer->window >> 8);
	p->window[1] = (uint8_t) peer->window;
	p->ballot = (uint8_t) peer->ballot;
	p->ask_at = pack_point(peer->ask_at, 0);
	p->acked_round = small(peer->acked_round, "a round");
	p->acked_at = pack_point(peer->acked_at, past_quorum);
	p->bound_until = world_pack_end(peer->bound_until);
	p->acked_claim = small(peer->acked_claim, "a claim");
	p->voted_claim = small(peer->voted_claim, "a claim");
}

/* The core of node i, until the next call for the same node. */
Member *
world_load(const World *w, int i)
{
	const WorldNode *n = &w->node[i];
	Raft			*r = &members[i].raft;

	r->config.incarnation = n->incarnation;
	world_load_saved(n, &r->saved);
	r->position = world_position(i);
	r->may_lead = true;
	r->has_looked = world_limits.claims > 0;
	r->data = (RaftData){.server = RAFT_SERVER_RECOVERY, .system_id = SYSTEM_ID, .known = true, .position = r->position, .newest_timeline = 1};
	r->random = 0;
	r->loaded_save_number = n->loaded_save_number;
	r->role = (RaftRole) n->role;
	r->role_since = WORLD_NOW;
	r->leader_id = n->leader_id;
	r->term_leader = n->term_leader;
	r->heard_round = n->heard_round;
	r->leader_heard_at = WORLD_NOW;
	r->timer = unpack_point(n->timer, past_timer);
	r->promised_term = n->promised_term;
	r->promised_leader = n->promised_leader;
	r->promised_until = unpack_end(n->promised_until);
	r->promised_others_until = unpack_end(n->promised_others_until);
	r->longest_until = unpack_end(n->longest_until);
	r->round = n->round;
	r->asked_at = unpack_point(n->asked_at, past_lease);
	r->asked_promise = n->asked_promise * MS;
	r->replaced_term = n->replaced_term;
	r->replaced_leader = n->replaced_leader;
	r->heartbeat_at = unpack_point(n->heartbeat_at, 0);
	r->heartbeat_round = n->heartbeat_round;
	r->own_bound_until = unpack_end(n->own_bound_until);
	memset(r->rounds, 0, (WORLD_ROUNDS + 2) * sizeof(r->rounds[0]));
	for (int k = 0; k < WORLD_ROUNDS; k++)
	{
		if (n->sent_at[k] != 0)
			r->rounds[k + 1] = (RaftRound){(uint64_t) k + 1,
										   unpack_point(n->sent_at[k], past_lease),
										   configs[i].timeouts.min_timeout};
	}
	r->elected_claim = n->elected_claim;
	r->claim = n->claim;
	r->admitted = r->first_admitted = false;
	r->heard_from = n->heard_from;
	r->gone_above_at = n->gone_above ? WORLD_NOW : 0;
	r->abstain_until = unpack_point(n->abstain_until, 0);
	for (int j = 0; j < world_limits.nodes; j++)
	{
		if (j != i)
			load_peer(&n->peers[j], j, &r->peers[j]);
	}
	return &members[i];
}

void
world_store(World *w, int i, const Raft *r)
{
	WorldNode *n = &w->node[i];

	n->up = 1;
	world_store_saved(n, &r->saved);
	n->shown_lease = world_pack_end(raft_lease_until(r));
	n->incarnation = small(r->config.incarnation, "an incarnation");
	n->loaded_save_number = small(r->loaded_save_number, "a save number");
	n->role = (uint8_t) r->role;
	n->leader_id = (int8_t) r->leader_id;
	n->term_leader = (int8_t) r->term_leader;
	n->heard_round = small(r->heard_round, "a round");
	n->timer = pack_point(r->timer, past_timer);
	n->promised_term = small(r->promised_term, "a term");
	n->promised_leader = (int8_t) r->promised_leader;
	n->promised_until = world_pack_end(r->promised_until);
	n->promised_others_until = world_pack_end(r->promised_others_until);
	n->longest_until = world_pack_end(r->longest_until);
	n->round = small(r->round, "a round");
	n->asked_at = pack_point(r->asked_at, past_lease);
	n->asked_promise = pack_ms(r->asked_promise, "a promise");
	n->replaced_term = small(r->replaced_term, "a term");
	n->replaced_leader = (int8_t) r->replaced_leader;
	n->heartbeat_at = pack_point(r->heartbeat_at, 0);
	n->heartbeat_round = small(r->heartbeat_round, "a round");
	n->own_bound_until = world_pack_end(r->own_bound_until);
	must_fit(r->heartbeat_round <= WORLD_ROUNDS, "a round of heartbeats");
	for (int k = 0; k < WORLD_ROUNDS; k++)
	{
		const RaftRound *round = &r->rounds[k + 1];

		n->sent_at[k] = round->number == (uint64_t) k + 1 ? pack_point(round->sent_at, past_lease) : 0;
	}
	n->elected_claim = small(r->elected_claim, "a claim");
	n->claim = small(r->claim, "a claim");
	n->heard_from = small(r->heard_from, "a set of members");
	n->gone_above = r->gone_above_at != 0;
	n->abstain_until = pack_point(r->abstain_until, 0);
	for (int j = 0; j < world_limits.nodes; j++)
	{
		if (j != i)
			store_peer(&n->peers[j], &r->peers[j]);
	}
}

/* ---- datagrams ---- */

void
world_pack_message(const RaftMessage *m, WorldMessage *p)
{
	memset(p, 0, sizeof(*p));
	must_fit(m->type >= RAFT_PRE_VOTE_REQUEST && m->list_digest == LIST_DIGEST, "a datagram");
	p->type = (uint8_t) m->type;
	p->from = (uint8_t) m->from;
	p->to = (uint8_t) m->to;
	p->flags = (uint8_t) ((m->abstaining ? MESSAGE_ABSTAINING : 0) |
						  (m->may_lead ? MESSAGE_MAY_LEAD : 0) |
						  (m->granted ? MESSAGE_GRANTED : 0) |
						  (m->position.index != 0 ? MESSAGE_POSITION : 0) |
						  (m->bound ? MESSAGE_BOUND : 0));
	p->term = small(m->term, "a term");
	p->round = small(m->round, "a round");
	p->asked_term = small(m->asked_term, "a term");
	p->promise = pack_ms(m->promise, "a promise");
	p->replaced_term = small(m->replaced_term, "a term");
	p->leader_id = (int8_t) m->leader_id;
	p->replaced_leader = (int8_t) m->replaced_leader;
	p->boot = small(m->boot, "a boot counter");
	p->incarnation = small(m->incarnation, "an incarnation");
	p->echo_boot = small(m->echo_boot, "a boot counter");
	p->echo_incarnation = small(m->echo_incarnation, "an incarnation");
	p->claim = small(m->told.claim, "a claim");
	p->sequence = small(m->sequence, "a sequence number");
	p->save_number = small(m->save_number, "a save number");
}

void
world_unpack_message(const WorldMessage *p, RaftMessage *m)
{
	memset(m, 0, sizeof(*m));
	m->type = (RaftMessageType) p->type;
	m->from = p->from;
	m->to = p->to;
	m->abstaining = (p->flags & MESSAGE_ABSTAINING) != 0;
	m->may_lead = (p->flags & MESSAGE_MAY_LEAD) != 0;
	m->granted = (p->flags & MESSAGE_GRANTED) != 0;
	m->bound = (p->flags & MESSAGE_BOUND) != 0;
	m->list_digest = LIST_DIGEST;
	m->boot = p->boot;
	m->incarnation = p->incarnation;
	m->echo_boot = p->echo_boot;
	m->echo_incarnation = p->echo_incarnation;
	m->sequence = p->sequence;
	m->save_number = p->save_number;
	m->term = p->term;
	m->round = p->round;
	m->asked_term = p->asked_term;
	m->promise = p->promise * MS;
	if (p->flags & MESSAGE_POSITION)
		m->position = world_position(p->from);
	m->replaced_term = p->replaced_term;
	m->leader_id = p->leader_id;
	m->replaced_leader = p->replaced_leader;
	if (world_limits.claims > 0 && m->type != RAFT_TRANSFER)
	{
		m->told = (RaftTold){.managed = true, .known = true, .claimed = p->claim != 0, .server = RAFT_SERVER_RECOVERY, .claim = p->claim, .system_id = SYSTEM_ID};
		if (p->claim != 0)
			m->told.list = the_list();
	}
}

/* ---- time ---- */

static void
age_end(uint8_t *end)
{
	*end = *end > WORLD_UNIT_MS ? (uint8_t) (*end - WORLD_UNIT_MS) : 0;
}

static void
age_point(uint8_t *point)
{
	if (*point == 0 || *point == POINT_NEVER)
		return;
	*point = *point > WORLD_UNIT_MS ? (uint8_t) (*point - WORLD_UNIT_MS) : 1;
}

/* Every clock moves on by one unit. */
void
world_pass_time(World *w)
{
	for (int i = 0; i < world_limits.nodes; i++)
	{
		WorldNode *n = &w->node[i];

		age_end(&n->shown_lease);
		age_end(&n->promised_until);
		age_end(&n->promised_others_until);
		age_end(&n->longest_until);
		age_end(&n->own_bound_until);
		age_point(&n->timer);
		age_point(&n->asked_at);
		age_point(&n->heartbeat_at);
		age_point(&n->abstain_until);
		for (int k = 0; k < WORLD_ROUNDS; k++)
			age_point(&n->sent_at[k]);
		for (int j = 0; j < world_limits.nodes; j++)
		{
			age_end(&n->peers[j].bound_until);
			age_point(&n->peers[j].ask_at);
			age_point(&n->peers[j].acked_at);
		}
	}
}
