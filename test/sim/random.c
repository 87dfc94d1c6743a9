/*
 * test/sim/random.c
 *	  Worlds made by a seed: size, timeouts, distances, clocks and a mix of
 *	  faults.
 *
 * A run has three parts.  Chaos: the faults of the mix, each as often as its
 * weight says.  Calm: everything works again, and L must hold within its bound.
 * Edge: the leader and a quorum are left alone while the rest are crashed,
 * paused, cut off and let back in, and B must hold; then calm once more.
 *
 * What a real cluster is not promised to survive is left out: two members that
 * lose their state at once, an old copy of a state file that a peer may not
 * notice (doc/guarantees.md).  Scenarios show these.
 */
#include "random.h"

#include "checker.h"

#include <string.h>

typedef enum Fault
{
	FAULT_LOSS = 0,
	FAULT_DUPLICATE,
	FAULT_LATE,
	FAULT_FLIP,
	FAULT_SAVE_CRASH,
	FAULT_SAVE_FAIL,
	FAULT_SLOW_SAVE,
	/* from here on: things that happen at moments of chaos */
	FAULT_PARTITION,
	FAULT_ONE_WAY,
	FAULT_CLOG,
	FAULT_REPLAY,
	FAULT_CRASH,
	FAULT_STOP,
	FAULT_PAUSE,
	FAULT_DRIFT,
	FAULT_RELOAD,
	FAULT_TRANSFER,
	FAULT_POSITION,
	FAULT_MAY_LEAD,
	FAULT_WIPE,
	FAULT_ROT,
	FAULT_OLD_COPY,
	FAULT_LIST,
	FAULTS
} Fault;

/* Of the run under way; everything else is in the world. */
static struct
{
	bool		 has[FAULTS];
	RaftTimeouts timeouts;
	uint64_t	 delay; /* longest one-way delay of a link */
	uint64_t	 until; /* end of chaos */
	uint64_t	 pace;	/* mean time between two moments of chaos */
	uint32_t	 drift;
	bool		 edge;
	uint64_t	 edge_nodes;
	int			 n_old; /* members of the list before it is appended */
} mix;

static int
pick(World *w)
{
	return (int) between(w, 0, (uint64_t) w->n - 1);
}

/* ---- choosing a world ---- */

/* From 12-24 ms to 1-10 s. */
static void
choose_timeouts(World *w)
{
	static const uint32_t milliseconds[] = {12, 25, 50, 100, 150, 200, 200, 200, 300, 500, 1000};
	RaftTimeouts		 *t = &mix.timeouts;

	t->min_timeout = MS(milliseconds[between(w, 0, 10)]);
	t->max_timeout = t->min_timeout * between(w, 8, t->min_timeout == SECONDS(1) ? 40 : 16) / 4;
	t->heartbeat_interval = t->min_timeout / between(w, 4, 8);
	t->max_drift_ppm = mix.drift;
}

/* Nodes may differ: each its own, within a third. */
static RaftTimeouts
vary_timeouts(World *w)
{
	RaftTimeouts t = mix.timeouts;
	uint64_t	 percent = between(w, 80, 140);

	t.min_timeout = t.min_timeout * percent / 100;
	t.max_timeout = t.max_timeout * percent / 100;
	return t;
}

/*
 * From LAN to intercontinental, as far as the timeouts allow: an operator who
 * sets 12 ms between continents has no working cluster to begin with.
 */
static void
choose_delays(World *w)
{
	static const uint32_t longest[] = {100, 500, 2000, 10000, 40000, 90000, 150000};
	uint64_t			  most = mix.timeouts.min_timeout / 8;
	uint64_t			  scale = longest[between(w, 0, 6)];

	if (scale > most)
		scale = most;
	mix.delay = scale;
	for (int i = 0; i < w->n; i++)
	{
		for (int k = 0; k < w->n; k++)
		{
			uint64_t low = between(w, scale / 8, scale / 2);

			w->link[i][k].delay_min = (uint32_t) low;
			w->link[i][k].delay_max = (uint32_t) between(w, low, scale);
		}
	}
}

static int
choose_size(World *w)
{
	static const int sizes[] = {1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 5, 5, 6, 7, 7, 8, 9};

	return between(w, 0, 249) == 0 ? SIM_MAX_SIZE : sizes[between(w, 0, 16)];
}

static void
set_clock(World *w, int i)
{
	uint64_t rate = between(w, PER_MILLION - mix.drift, PER_MILLION + mix.drift);

	/* The ends of what is allowed are where leases break. */
	if (between(w, 0, 3) == 0)
		rate = between(w, 0, 1) ? PER_MILLION - mix.drift : PER_MILLION + mix.drift;
	clock_set_rate(w, i, rate);
}

static void
choose_faults(World *w)
{
	for (int fault = 0; fault < FAULTS; fault++)
		mix.has[fault] = between(w, 0, 1);
	mix.has[FAULT_LIST] = w->n >= 3 && w->n <= 9 && between(w, 0, 5) == 0;
	if (mix.has[FAULT_LIST] || w->n < 2)
		mix.has[FAULT_WIPE] = mix.has[FAULT_ROT] = mix.has[FAULT_OLD_COPY] = false;
}

/* ---- faults that last as long as chaos does ---- */

static void
set_faults(World *w, bool on)
{
	const RaftTimeouts *t = &mix.timeouts;

	w->loss_ppm = on && mix.has[FAULT_LOSS] ? (uint32_t) between(w, 5000, 300000) : 0;
	w->duplicate_ppm = on && mix.has[FAULT_DUPLICATE] ? 30000 : 0;
	w->late_ppm = on && mix.has[FAULT_LATE] ? 30000 : 0;
	w->late_max = 2 * t->max_timeout;
	w->flip_ppm = on && mix.has[FAULT_FLIP] ? 10000 : 0;
	w->record_ppm = mix.has[FAULT_REPLAY] ? 20000 : 0;
	w->crash_ppm = on && mix.has[FAULT_SAVE_CRASH] ? 60000 : 0;
	w->down_max = 2 * t->max_timeout;
	for (int i = 0; i < w->n; i++)
	{
		Disk *disk = &w->node[i].disk;

		disk->fail_ppm = on && mix.has[FAULT_SAVE_FAIL] ? 20000 : 0;
		disk->slow_ppm = on && mix.has[FAULT_SLOW_SAVE] ? 50000 : 0;
		disk->slow_max = 3 * t->max_timeout / 2;
	}
}

/* ---- moments of chaos ---- */

static void
partition(World *w)
{
	uint64_t side = draw(w);

	network_heal(w);
	if (between(w, 0, 2) == 0)
		return;
	w->coverage[COVER_PARTITIONS]++;
	for (int i = 0; i < w->n; i++)
	{
		for (int k = i + 1; k < w->n; k++)
		{
			if ((side >> i & 1) != (side >> k & 1))
				network_cut(w, i, k);
		}
	}
}

static void
replay(World *w)
{
	if (w->n_archive == 0)
		return;
	for (uint64_t k = between(w, 1, 12); k > 0; k--)
		network_replay(w, &w->archive[between(w, 0, w->n_archive - 1)]);
}

/* May this member lose state now, without going beyond what is promised? */
static bool
may_lose(const World *w, int i)
{
	return w->node[i].up && (w->lost < 0 || w->lost == i) &&
		   w->node[i].verdict == STORE_GOOD;
}

static void
lose_state(World *w, int i, Fault how)
{
	if (!may_lose(w, i) || node_is_saving(w, i))
		return;
	if (how == FAULT_OLD_COPY && (!w->node[i].disk.has_copy || w->lost >= 0 || !disk_is_remembered(w, i)))
	{
		if (w->lost < 0)
			disk_keep_copy(w, i);
		return;
	}
	node_crash(w, i, false);
	if (how == FAULT_WIPE)
		disk_wipe(w, i);
	else if (how == FAULT_ROT)
		disk_rot(w, i);
	else
	{
		disk_restore_copy(w, i);
		node_start(w, i); /* before any of those who remember can be gone */
	}
}

/* A server gets the longer list and is restarted. */
static void
append_list(World *w, int i)
{
	Node *n = &w->node[i];

	if (n->config.list_size == (uint32_t) w->n)
		return;
	w->coverage[COVER_LISTS]++;
	TRACE(w, BIT(i), "its member list is appended");
	node_crash(w, i, false);
	node_set_list(n, BIT(w->n) - 1);
}

static void
transfer(World *w, int i)
{
	int leader = world_lease(w);

	if (leader >= 0 && between(w, 0, 3) != 0)
		i = leader;
	(void) node_transfer(w, i, between(w, 0, 1) ? RAFT_NONE : (int32_t) pick(w));
}

static void
happen(World *w, Fault fault, int i)
{
	Node		*n = &w->node[i];
	RaftTimeouts t;
	int			 other = pick(w);

	switch (fault)
	{
		case FAULT_PARTITION:
			partition(w);
			break;
		case FAULT_ONE_WAY:
			if (other != i)
				network_cut_way(w, i, other);
			break;
		case FAULT_CLOG:
			w->link[i][other].clogged_until = w->now + between(w, 0, 2 * mix.timeouts.max_timeout);
			break;
		case FAULT_REPLAY:
			replay(w);
			break;
		case FAULT_CRASH:
			if (n->up)
				w->coverage[COVER_CRASH_IDLE]++;
			node_crash(w, i, between(w, 0, 1));
			break;
		case FAULT_STOP:
			if (n->up)
				node_stop(w, i);
			break;
		case FAULT_PAUSE:
			node_pause(w, i, between(w, 1, 3 * mix.timeouts.max_timeout));
			break;
		case FAULT_DRIFT:
			w->coverage[COVER_CLOCKS]++;
			set_clock(w, i);
			break;
		case FAULT_RELOAD:
			t = vary_timeouts(w);
			node_reload(w, i, &t);
			break;
		case FAULT_TRANSFER:
			transfer(w, i);
			break;
		case FAULT_POSITION:
			w->coverage[COVER_POSITIONS]++;
			n->position.epoch += between(w, 0, 7) == 0;
			n->position.index += between(w, 1, 5);
			if (n->up)
				raft_set_position(&n->member.raft, n->position);
			break;
		case FAULT_MAY_LEAD:
			node_may_lead(w, i, between(w, 0, 2) != 0);
			break;
		case FAULT_LIST:
			append_list(w, i);
			break;
		default:
			lose_state(w, i, fault);
			break;
	}
}

static void
chaos(World *w)
{
	static const Fault rare[] = {FAULT_WIPE, FAULT_ROT, FAULT_OLD_COPY, FAULT_LIST, FAULT_CRASH,
								 FAULT_STOP, FAULT_RELOAD, FAULT_MAY_LEAD};
	Fault			   fault = (Fault) between(w, FAULT_PARTITION, FAULTS - 1);
	int				   i = pick(w);
	bool			   happens = mix.has[fault];

	if (w->now >= mix.until)
		return;
	for (int k = 0; k < 8; k++)
	{
		if (fault == rare[k] && between(w, 0, 2) != 0)
			happens = false;
	}
	if (world_is_guarded(w) && (fault == FAULT_CRASH || fault == FAULT_STOP))
		happens = false;
	if (happens)
		happen(w, fault, i);
	world_schedule(w, w->now + between(w, 1, 2 * mix.pace), EVENT_CHAOS, 0, 0);
}

/* The same for members at the edge, whom the leader does not need. */
static void
chaos_at_the_edge(World *w)
{
	int i = pick(w);
	int other = pick(w);

	if (w->now >= mix.until)
		return;
	world_schedule(w, w->now + between(w, 1, 2 * mix.pace), EVENT_CHAOS, 0, 0);
	if (!(mix.edge_nodes >> i & 1))
	{
		if (mix.has[FAULT_REPLAY])
			replay(w);
		return;
	}
	switch (between(w, 0, 6))
	{
		case 0:
			if (w->node[i].up)
				w->coverage[COVER_CRASH_IDLE]++;
			node_crash(w, i, between(w, 0, 1));
			break;
		case 1:
			node_pause(w, i, between(w, 1, 3 * mix.timeouts.max_timeout));
			break;
		case 2:
			network_isolate(w, i);
			break;
		case 3:
			w->link[i][other].cut = i != other;
			break;
		case 4:
			w->link[other][i].cut = i != other;
			break;
		case 5:
			for (int k = 0; k < w->n; k++)
				w->link[i][k].cut = w->link[k][i].cut = false;
			break;
		default:
			if (!mix.has[FAULT_LIST])
				(void) node_transfer(w, i, RAFT_NONE);
			break;
	}
}

/* ---- a run ---- */

/* Everything works again, and everyone runs. */
static void
calm(World *w)
{
	TRACE(w, 0, "calm");
	w->on_chaos = NULL;
	set_faults(w, false);
	network_heal(w);
	for (int i = 0; i < w->n; i++)
	{
		Node *n = &w->node[i];

		if (mix.has[FAULT_LIST] && n->config.list_size != (uint32_t) w->n)
			append_list(w, i);
		node_resume(w, i);
		n->plan = CRASH_NONE;
		if (!n->up)
			node_start(w, i);
		node_may_lead(w, i, true);
	}
}

/* Processes that were asked while they were blocked take their settings now. */
static void
settle_settings(World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		Node *n = &w->node[i];

		if (!node_is_free(w, i))
			continue;
		node_may_lead(w, i, true);
		raft_set_timeouts(&n->member.raft, &n->config.timeouts);
		raft_set_position(&n->member.raft, n->position);
	}
}

static int
expect_leader(World *w)
{
	calm(w);
	world_run(w, w->late_max + 2 * mix.timeouts.max_timeout);
	settle_settings(w);
	if (w->n == 1)
		node_admit(w, 0); /* it has nobody to ask */
	return checker_await(w);
}

static void
disturb_the_edge(World *w, int leader)
{
	int needed = w->n_members / 2;
	int first = (int) between(w, 0, (uint64_t) w->n - 1);

	mix.edge_nodes = 0;
	for (int k = 0; k < w->n; k++)
	{
		int i = (first + k) % w->n;

		if (i == leader)
			continue;
		if (needed > 0 && w->node[i].up && w->node[i].durable.abstaining == RAFT_VOTING)
			needed--;
		else
			mix.edge_nodes |= BIT(i);
	}
	if (needed > 0 || mix.edge_nodes == 0)
		return;
	checker_begin_edge(w, leader, ~mix.edge_nodes, 0);
	w->on_chaos = chaos_at_the_edge;
	mix.until = w->now + 15 * mix.timeouts.max_timeout;
	world_schedule(w, w->now, EVENT_CHAOS, 0, 0);
	world_run(w, 15 * mix.timeouts.max_timeout);
	calm(w);
	world_run(w, 4 * mix.timeouts.max_timeout);
	checker_end_edge(w);
	if (checker_await(w) != leader)
		checker_fail(w, 'B', BIT(leader), "node %d does not lead any more", leader);
}

static void
start(World *w)
{
	int n_old = w->n;

	/* New members that vote at once are safe only if they are no quorum. */
	if (mix.has[FAULT_LIST])
		n_old = (int) between(w, (uint64_t) w->n / 2 + 1, (uint64_t) w->n - 1);
	if (n_old < 1)
		n_old = 1;
	for (int i = 0; i < w->n; i++)
	{
		Node *n = &w->node[i];

		n->config.timeouts = between(w, 0, 1) ? mix.timeouts : vary_timeouts(w);
		n->disk.save_min = between(w, 20, 200);
		n->disk.save_max = between(w, 200, mix.timeouts.min_timeout / 10);
		set_clock(w, i);
		if (i < n_old)
			node_set_list(n, BIT(n_old) - 1);
		if (i < n_old || between(w, 0, 1))
			node_new(w, i);
		world_schedule(w, w->now + between(w, 0, mix.timeouts.max_timeout), EVENT_START, i, 0);
	}
}

void
random_run(World *w, uint64_t seed, int size)
{
	int n;

	memset(&mix, 0, sizeof(mix));
	world_reset(w, 1, seed);
	n = choose_size(w);
	world_reset(w, size != 0 ? size : n, seed ^ UINT64_C(0x5EED));
	mix.drift = between(w, 0, 2) == 0 ? 1000 : between(w, 0, 1) ? 50000 :
																  100000;
	choose_timeouts(w);
	choose_delays(w);
	choose_faults(w);
	set_faults(w, true);
	mix.pace = between(w, 1, 4) * mix.timeouts.max_timeout / 8;
	mix.until = between(w, 30, 60) * mix.timeouts.max_timeout;
	start(w);
	w->on_chaos = chaos;
	w->restarts = true;
	world_schedule(w, between(w, 0, 5 * mix.timeouts.max_timeout), EVENT_CHAOS, 0, 0);
	world_run(w, mix.until);

	for (int round = 0; round < 2; round++)
	{
		int leader = expect_leader(w);

		world_run(w, 2 * mix.timeouts.max_timeout);
		if (checker_await(w) != leader)
			checker_fail(w, 'B', BIT(leader), "calm, and node %d stops leading", leader);
		if (round == 0)
			disturb_the_edge(w, leader);
	}
	checker_end(w);
}
