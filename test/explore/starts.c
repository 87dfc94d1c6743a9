/*
 * test/explore/starts.c
 *	  Where explorations begin.
 *
 *	  fresh		all have started with first stores that may vote, and any timer
 *				may run out
 *	  leader	node 0 leads, and everybody has acknowledged its first heartbeat
 *	  again		node 0 led, the acknowledgements are late, it lost its quorum and
 *				leads again in the next term; now they arrive
 *	  ahead		node 0 leads without a lease, node 2 stands in the next term
 *	  promoted	node 0 led and was promoted on its claim, of which node 1 knows and node 2
 *				does not; node 2 stands in the next term
 *	  wiped		as leader, and then the last node has lost its state file
 *	  voted		node 0 stands; the last node has voted for it, the answer is on
 *				its way, that node has lost its state file, and the end of its
 *				greeting was lost
 *	  waited	as voted, and its time of abstaining is nearly over
 *	  minority	node 0 has led and does not know that node 1 leads the next term
 *				with a lease by the vote of node 2, which has lost its state file,
 *				greeted node 0 and cannot reach node 1
 *
 * The later ones are reached from the first, but in so many steps that a search
 * from there would not get much further.  Each is brought about by the same steps
 * as everything else, so it can happen.
 */
#include <string.h>

#include "world.h"

#define BIT(type) (1u << (type))

const char *const world_start_names[] = {"fresh", "leader", "again", "ahead", "promoted", "wiped",
										 "voted", "waited", "minority", NULL};

static bool
take(World *w, WorldStepKind kind, int node, int item)
{
	WorldStep step = {.kind = kind, .node = node, .item = item, .keep = KEEP_ALL};

	if (world_act(w, &step) != WORLD_DONE)
		return false;
	world_lose(w, KEEP_ALL);
	return true;
}

static bool
pass(World *w, int units)
{
	bool ok = true;

	while (ok && units-- > 0)
		ok = take(w, STEP_TIME_PASSES, 0, 0);
	return ok;
}

/* Deliver all but what comes from or goes to "cut", and the types in "hold". */
static bool
deliver(World *w, int cut, unsigned hold)
{
	for (int steps = 0; steps < 200; steps++)
	{
		int item = 0;

		while (item < w->n_flight &&
			   (w->flight[item].from == cut || w->flight[item].to == cut ||
				(hold >> w->flight[item].type & 1) != 0))
			item++;
		if (item == w->n_flight)
			return true;
		if (!take(w, STEP_DELIVER, 0, item))
			return false;
	}
	return false;
}

/* Deliver the datagram of that type on that link. */
static bool
deliver_one(World *w, RaftMessageType type, int from, int to)
{
	for (int k = 0; k < w->n_flight; k++)
	{
		const WorldMessage *m = &w->flight[k];

		if (m->type == type && m->from == from && m->to == to)
			return take(w, STEP_DELIVER, 0, k);
	}
	return false;
}

/* Of what is on its way, only these types remain. */
static void
keep_only(World *w, unsigned types)
{
	uint32_t keep = 0;

	for (int k = 0; k < w->n_flight; k++)
		keep |= (uint32_t) (types >> w->flight[k].type & 1) << k;
	world_lose(w, keep);
}

static bool
begin_again(World *w)
{
	if (!take(w, STEP_TIME_OUT, 0, 0) || !deliver(w, -1, BIT(RAFT_HEARTBEAT_ANSWER)) ||
		!pass(w, world_limits.units + 1) || !take(w, STEP_TICK, 0, 0) ||
		!pass(w, world_limits.units) || !take(w, STEP_TIME_OUT, 0, 0) ||
		!deliver_one(w, RAFT_PRE_VOTE_REQUEST, 0, 1) || !deliver_one(w, RAFT_PRE_VOTE_ANSWER, 1, 0) ||
		!deliver_one(w, RAFT_VOTE_REQUEST, 0, 1) || !pass(w, 1) ||
		!deliver_one(w, RAFT_VOTE_ANSWER, 1, 0))
		return false;
	keep_only(w, BIT(RAFT_HEARTBEAT) | BIT(RAFT_HEARTBEAT_ANSWER));
	return w->node[0].role == RAFT_LEADER && w->node[0].term == 2;
}

static bool
begin_ahead(World *w, int last)
{
	if (!pass(w, world_limits.units) || !take(w, STEP_TIME_OUT, last, 0) ||
		!deliver(w, 0, BIT(RAFT_VOTE_REQUEST)))
		return false;
	keep_only(w, BIT(RAFT_VOTE_REQUEST));
	return w->node[0].role == RAFT_LEADER && w->node[last].role == RAFT_CANDIDATE;
}

static bool
begin_promoted(World *w, int last)
{
	if (!take(w, STEP_CLAIM, 0, 0) || !take(w, STEP_TICK, 0, 0) ||
		!deliver_one(w, RAFT_HEARTBEAT, 0, 1) || !deliver_one(w, RAFT_HEARTBEAT_ANSWER, 1, 0) ||
		!take(w, STEP_PROMOTE, 0, 0))
		return false;
	keep_only(w, 0);
	return begin_ahead(w, last);
}

static bool
begin_minority(World *w, int last)
{
	if (!pass(w, world_limits.units) || !take(w, STEP_TIME_OUT, 1, 0) ||
		!deliver(w, 0, BIT(RAFT_HEARTBEAT)))
		return false;
	keep_only(w, 0);
	world_lose_greetings(1, last, 0);
	return take(w, STEP_WIPE, last, 0) && w->node[0].role == RAFT_LEADER &&
		   w->node[1].role == RAFT_LEADER && w->node[1].shown_lease > 0;
}

static bool
begin_voted(World *w, int last, int wait)
{
	if (!take(w, STEP_TIME_OUT, 0, 0) || !deliver(w, -1, BIT(RAFT_VOTE_ANSWER)))
		return false;
	world_lose_greetings(0, last, RAFT_GREETING_CONFIRM);
	return take(w, STEP_WIPE, last, 0) && pass(w, wait);
}

static bool
begin(World *w, const char *name)
{
	int	 last = world_limits.nodes - 1;
	bool ok = true;

	memset(w, 0, sizeof(*w));
	for (int i = 0; i <= last; i++)
	{
		w->node[i].voted_for = RAFT_NONE;
		w->node[i].stored_claim = world_limits.claims > 0; /* of the first, all have heard */
	}
	for (int i = 0; ok && i <= last; i++)
		ok = take(w, STEP_START, i, 0);
	ok = ok && pass(w, world_limits.units);
	if (!ok || strcmp(name, "fresh") == 0)
		return ok;
	if (strcmp(name, "again") == 0)
		return begin_again(w);
	if (strcmp(name, "voted") == 0)
		return begin_voted(w, last, 0);
	if (strcmp(name, "waited") == 0) /* a promise and twice the longest timeout */
		return begin_voted(w, last, 3 * world_limits.units + 1);
	ok = take(w, STEP_TIME_OUT, 0, 0) && deliver(w, -1, 0);
	if (!ok || strcmp(name, "leader") == 0)
		return ok;
	if (strcmp(name, "wiped") == 0)
		return take(w, STEP_WIPE, last, 0);
	if (strcmp(name, "ahead") == 0)
		return begin_ahead(w, last);
	if (strcmp(name, "promoted") == 0)
		return begin_promoted(w, last);
	return begin_minority(w, last);
}

bool
world_start_needs_three(const char *name)
{
	return strcmp(name, "ahead") == 0 || strcmp(name, "minority") == 0 || strcmp(name, "promoted") == 0;
}

bool
world_begin(World *w, const char *name)
{
	WorldLimits limits = world_limits;
	bool		ok;

	world_limits.wipes = 1;
	world_lose_greetings(-1, 0, 0);
	ok = begin(w, name);
	world_lose_greetings(-1, 0, 0);
	world_limits = limits;
	w->wipes = w->crashes = w->duplicates = w->transfers = 0;
	world_normalise(w);
	memset(world_happened, 0, sizeof(world_happened));
	memset(world_steps, 0, sizeof(world_steps));
	memset(world_sent, 0, sizeof(world_sent));
	return ok;
}
