/*
 * test/sim/scenarios_rebuilds.c
 *	  Servers: rebuilds (rule 21).
 */
#include "scenarios_data.h"

static const RaftSaved *
saved(const World *w, int i)
{
	return &w->node[i].durable;
}

static RaftPosition
position(const World *w, int i)
{
	return w->node[i].member.raft.position;
}

/* A commit that p and a hold, and b does not. */
static Three
begin_without_b(World *w)
{
	Three t = begin_three(w);

	cut_wal_all(w, t.b);
	world_run(w, MS(100));
	t.commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(1), answered, t.commit));
	EXPECT(w, has_commit(w, t.a, t.commit) && !has_commit(w, t.b, t.commit));
	world_run(w, MS(100));
	return t;
}

/* ---- conditions ---- */

static bool
no_program_runs(World *w, int i)
{
	return !keeper(w, i)->rebuilding;
}

static bool
is_copied(World *w, int i)
{
	return saved(w, i)->rebuild != RAFT_INTACT && server(w, i)->life == SIM_STANDBY &&
		   w->node[i].member.raft.data.known;
}

static bool
is_started(World *w, int i)
{
	return server(w, i)->life != SIM_DOWN;
}

static bool
streams_really(World *w, int i)
{
	return is_copied(w, i) && keeper(w, i)->following.check.streaming == PRIMARY_STREAMING_REAL;
}

static bool
has_no_source(World *w, int i)
{
	return keeper(w, i)->order.reason == PRIMARY_HALF_NO_SOURCE;
}

static bool
stands(World *w, int i)
{
	return w->node[i].member.raft.role != RAFT_FOLLOWER;
}

static bool
prefers_open(World *w, int i)
{
	return keeper(w, i)->order.reason == PRIMARY_PREFERS_OPEN;
}

static bool
pauses(World *w, int i)
{
	return keeper(w, i)->order.reason == PRIMARY_HALF_FAILS_AGAIN;
}

/* ---- what the scenarios share ---- */

/* That member asks that one for its vote, and does not get it; nobody leads meanwhile. */
static void
expect_refused(World *w, int candidate, int voter)
{
	uint64_t refused = w->node[voter].member.raft.counters.pre_votes_refused;

	node_may_lead(w, candidate, true);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_leads, 0));
	EXPECT(w, w->node[candidate].member.raft.role == RAFT_PRE_CANDIDATE);
	EXPECT(w, w->node[voter].member.raft.counters.pre_votes_refused > refused);
}

/* The program that rebuilds does so many steps, and is killed; the worker is held. */
static void
interrupt(World *w, int i, int steps)
{
	while (steps-- > 0)
		EXPECT(w, sim_rebuild_step(cluster(w), i));
	sim_rebuild_stop(cluster(w), i);
	TRACE(w, BIT(i), "its rebuild is interrupted");

	hold(w, i, HOLD_WORKER);
	let_go(w, i, HOLD_REBUILD);
	EXPECT(w, run_until(w, MS(50), no_program_runs, i));
	hold(w, i, HOLD_REBUILD);
}

/* A rebuild is interrupted, and then its source dies. */
static void
interrupt_for_good(World *w, int i, int steps, int source)
{
	interrupt(w, i, steps);
	lose_power(w, source);
	EXPECT(w, run_until(w, SECONDS(2), nobody_leads, 0));
	world_run(w, MS(500));
	let_go(w, i, HOLD_WORKER);
	EXPECT(w, run_until(w, MS(50), has_no_source, i) && server(w, i)->data.whole != SIM_WHOLE);
}

/*
 * The primary p writes what nobody takes and is cut off, a is promoted to timeline 3, and
 * p comes back: it has diverged.  Rebuilds are held.
 */
static void
diverge(World *w, const Three *t, bool opens)
{
	if (opens)
		mend_wal(w);
	cut_wal_all(w, t->p);
	world_run(w, MS(50));
	for (int k = 0; k < 4; k++)
		(void) commit_on(w, t->p);
	network_isolate(w, t->p);
	node_may_lead(w, t->b, false);
	EXPECT(w, run_until(w, SECONDS(5), opens ? is_open : leads_as_primary, t->a));
	EXPECT(w, server(w, t->a)->timeline == 3);
	hold(w, t->p, HOLD_REBUILD);
	node_may_lead(w, t->p, false);
	network_heal(w);
	mend_wal(w);
}

/* p rebuilds from a, which is not open; b lacks an answered commit, and reaches nobody. */
static Three
begin_rebuilding(World *w)
{
	Three t = begin_without_b(w);

	diverge(w, &t, false);
	cut_wal_all(w, t.b);
	EXPECT(w, run_until(w, SECONDS(10), is_rebuilding, t.p));
	EXPECT(w, !is_open(w, t.a) && saved(w, t.p)->rebuild == RAFT_REWINDING);
	EXPECT(w, raft_is_older(position(w, t.b), saved(w, t.p)->floor));
	return t;
}

/* ---- votes ---- */

/*
 * C6: what a rebuild has overwritten was confirmed.  Its member votes with the floor,
 * however often the rebuild is interrupted, and not with what is left.
 */
static void
rebuilding_member_votes_with_its_floor(World *w)
{
	Three		 t = begin_rebuilding(w);
	RaftPosition floor = saved(w, t.p)->floor;

	interrupt_for_good(w, t.p, 2, t.a);
	EXPECT(w, raft_is_older(position(w, t.p), floor));
	expect_refused(w, t.b, t.p);

	/* Once more, in another way; a worker that has not seen that would have a lower floor. */
	node_may_lead(w, t.b, false);
	node_start(w, t.a);
	EXPECT(w, run_until(w, SECONDS(10), is_rebuilding, t.p));
	EXPECT(w, saved(w, t.p)->rebuild == RAFT_CLONING && node_is_free(w, t.p));
	EXPECT(w, member_rebuild(&w->node[t.p].member, RAFT_CLONING, position(w, t.b)));
	EXPECT(w, !raft_is_older(saved(w, t.p)->floor, floor));
	interrupt_for_good(w, t.p, 0, t.a);
	EXPECT(w, !has_commit(w, t.p, t.commit));
	expect_refused(w, t.b, t.p);
	node_start(w, t.a);
	EXPECT(w, has_commit(w, settle_data(w), t.commit));
}

/* Half a copy does not stand.  Once it is whole, it is as good as any, if nobody leads whom it could follow first. */
static void
rebuilding_member_stands_once_its_copy_is_whole(World *w)
{
	Three t = begin_rebuilding(w);

	node_may_lead(w, t.p, true);
	hold(w, t.p, HOLD_RECEIVER);
	let_go(w, t.p, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(5), is_copied, t.p));
	hold(w, t.p, HOLD_WORKER);
	lose_power(w, t.a);
	EXPECT(w, !run_until(w, SECONDS(5), stands, t.p));
	EXPECT(w, is_copied(w, t.p) && raft_is_older(position(w, t.b), position(w, t.p)));
	let_go(w, t.p, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(5), stands, t.p));
	node_start(w, t.a);
	EXPECT(w, has_commit(w, settle_data(w), t.commit));
}

/* ---- before the floor ---- */

/*
 * b is known to have held more than it has now, and more than p has: p's machine has lost
 * that as well.  An operator has b cloned from p.  Floor: 20 records beyond p's end.
 */
static void
begin_below_floor(World *w, int p, int b)
{
	RaftPosition floor = {2, 0};

	cut_wal(w, p, b);
	(void) commit_on(w, p);
	(void) commit_on(w, p);
	world_run(w, MS(100));
	floor.index = server(w, p)->flushed + 20;
	EXPECT(w, node_is_free(w, b) && position(w, b).index < server(w, p)->flushed);
	member_remember_held(&w->node[b].member, floor);
	world_run(w, MS(20));
	EXPECT(w, raft_is_behind(&w->node[b].member.raft));
	EXPECT(w, node_is_free(w, b) && member_rebuild(&w->node[b].member, RAFT_CLONING, position(w, b)));
	world_run(w, MS(20));
	EXPECT(w, saved(w, b)->floor.index == floor.index);
	mend_wal(w);
	EXPECT(w, run_until(w, SECONDS(5), is_rebuilding, b));
	EXPECT(w, run_until(w, SECONDS(5), streams_really, b));
	EXPECT(w, !is_intact(w, b) && raft_is_older(position(w, b), saved(w, b)->floor));
}

/*
 * A rebuild is over when the copy has come to the floor, also if it is consistent and
 * streams before: its member would be free to go on with less than it has held.
 */
static void
rebuilt_before_its_floor(World *w)
{
	Three t = begin_three(w);

	begin_below_floor(w, t.p, t.b);
	for (int k = 0; k < 20; k++)
	{
		world_run(w, MS(10));
		EXPECT(w, keeper(w, t.b)->order.reason == PRIMARY_COMPARED && server(w, t.b)->consistent);
		EXPECT(w, node_is_free(w, t.b) && !member_rebuilt(&w->node[t.b].member));
	}
	EXPECT(w, raft_is_older(position(w, t.b), saved(w, t.b)->floor));
	for (int k = 0; k < 20; k++)
		(void) commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(2), is_intact, t.b));
	EXPECT(w, !raft_is_older(position(w, t.b), saved(w, t.b)->floor));
	(void) settle_data(w);
}

/*
 * pg_rewind is not to run on what another rebuild has left, even if that has streamed:
 * what has diverged before its floor is cloned.
 */
static void
copy_is_not_rewound(World *w)
{
	int		 p = begin_data(w, 5);
	int		 a = someone(w, p, -1);
	int		 b = someone(w, p, a);
	uint64_t rewinds;

	begin_below_floor(w, p, b);
	for (int i = 0; i < 5; i++)
	{
		if (i != p && i != b)
			cut_wal(w, p, i);
		if (i != p)
			node_may_lead(w, i, i == a);
	}
	for (int k = 0; k < 4; k++)
		(void) commit_on(w, p);
	world_run(w, MS(100));
	EXPECT(w, !is_intact(w, b));
	EXPECT(w, raft_is_older(position(w, a), position(w, b)));
	EXPECT(w, keeper(w, b)->directory.failures == 0);
	rewinds = w->data[DATA_REWINDS];
	network_isolate(w, p);
	EXPECT(w, run_until(w, SECONDS(10), is_open, a));
	EXPECT(w, run_until(w, SECONDS(5), is_rebuilding, b) && saved(w, b)->rebuild == RAFT_CLONING);
	EXPECT(w, run_until(w, SECONDS(5), is_intact, b));
	EXPECT(w, w->data[DATA_REWINDS] == rewinds);
	(void) settle_data(w);
}

/* ---- the source ---- */

/*
 * C7: of three, two are alive, and one of them has diverged.  The leader cannot open
 * without it, so it is rebuilt from a leader that is not open, after a while.
 */
static void
rebuild_source_not_open(World *w)
{
	Three	 t = begin_without_b(w);
	uint64_t since;

	diverge(w, &t, false);
	lose_power(w, t.b);
	EXPECT(w, run_until(w, SECONDS(5), prefers_open, t.p));
	EXPECT(w, leads_as_primary(w, t.a) && !is_open(w, t.a));
	since = w->now;
	EXPECT(w, run_until(w, SECONDS(10), is_rebuilding, t.p));
	EXPECT(w, w->now >= since + MS(1500) && !is_open(w, t.a));
	let_go(w, t.p, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.a));
	EXPECT(w, !w->node[t.b].up && server(w, t.a)->timeline == 3);
	EXPECT(w, run_until(w, SECONDS(1), is_intact, t.p));
	EXPECT(w, has_commit(w, settle_data(w), t.commit));
}

/*
 * C8: the leader's worker restarts while the other living member is rebuilt from it.  Did
 * that one not vote, the leader that has everything could not be elected again.
 */
static void
leaders_worker_restarts_in_the_rewind(World *w)
{
	Three	 t = begin_rebuilding(w);
	uint64_t term = saved(w, t.a)->term;

	EXPECT(w, sim_rebuild_step(cluster(w), t.p) && sim_rebuild_step(cluster(w), t.p));
	lose_power(w, t.b);
	node_crash(w, t.a, false);
	EXPECT(w, run_until(w, SECONDS(2), nobody_leads, 0));
	node_start(w, t.a);
	EXPECT(w, run_until(w, SECONDS(5), leads_as_primary, t.a));
	EXPECT(w, saved(w, t.a)->term > term && is_rebuilding(w, t.p) && server(w, t.p)->data.whole == SIM_HALF_REWOUND);
	let_go(w, t.p, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.a));
	EXPECT(w, !w->node[t.b].up && run_until(w, SECONDS(1), is_intact, t.p));
	EXPECT(w, has_commit(w, settle_data(w), t.commit));
}

/* C19: what an interrupted rewind has left is never started, only rebuilt. */
static void
interrupted_rewind_is_not_started(World *w)
{
	for (int steps = 1; steps <= 4; steps++)
	{
		Three	   t = begin_without_b(w);
		SimServer *s = server(w, t.p);
		uint32_t   start;

		diverge(w, &t, true);
		EXPECT(w, run_until(w, SECONDS(10), is_rebuilding, t.p));
		start = s->start;
		interrupt(w, t.p, steps);
		lose_power(w, t.p);
		EXPECT(w, s->data.whole == SIM_HALF_REWOUND);
		world_run(w, MS(100));
		let_go(w, t.p, HOLD_WORKER);
		node_start(w, t.p);
		EXPECT(w, run_until(w, SECONDS(40), is_rebuilding, t.p));
		EXPECT(w, s->start == start && s->life == SIM_DOWN && s->rebuild.step == SIM_REBUILD_PAGES);
		let_go(w, t.p, HOLD_REBUILD);
		EXPECT(w, run_until(w, SECONDS(10), is_started, t.p));
		EXPECT(w, s->data.whole == SIM_WHOLE && !s->data.unsynced && !s->data.mixture);
		EXPECT(w, run_until(w, SECONDS(10), is_intact, t.p));
		EXPECT(w, has_commit(w, settle_data(w), t.commit));
	}
}

/*
 * A rewind that was interrupted is repeated only from the leader that it began with:
 * blocks that came from there are in no WAL of another one.
 */
static void
rebuild_is_repeated_only_from_its_source(World *w)
{
	Three	 t = begin_three(w);
	uint64_t rewinds;

	diverge(w, &t, true);
	EXPECT(w, run_until(w, SECONDS(10), is_rebuilding, t.p));
	EXPECT(w, saved(w, t.p)->rebuild == RAFT_REWINDING && saved(w, t.p)->rebuild_source == t.a);
	rewinds = w->data[DATA_REWINDS];
	interrupt_for_good(w, t.p, 1, t.a);
	EXPECT(w, keeper(w, t.p)->remains == PRIMARY_REMAINS_REPEATABLE);
	node_may_lead(w, t.b, true);
	EXPECT(w, run_until(w, SECONDS(5), leads_as_primary, t.b));
	EXPECT(w, run_until(w, SECONDS(5), is_rebuilding, t.p));
	EXPECT(w, keeper(w, t.p)->order.reason == PRIMARY_HALF_CLONED && saved(w, t.p)->rebuild_source == t.b);
	EXPECT(w, saved(w, t.p)->rebuild == RAFT_CLONING && w->data[DATA_REWINDS] == rewinds);
	let_go(w, t.p, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.b));
	EXPECT(w, !server(w, t.p)->data.mixture && run_until(w, SECONDS(1), is_intact, t.p));
	(void) settle_data(w);
}

/* ---- data that are gone ---- */

static void
lose_directory(World *w, int i)
{
	kill_server(w, i);
	EXPECT(w, sim_wipe(cluster(w), i, false));
	keeper(w, i)->lost = true;
}

/*
 * C6: a directory is gone with what its member had confirmed.  It has no vote before the
 * leader has named a floor, and then votes with that until its copy has come to it.
 */
static void
lost_directory_waits_for_a_floor(World *w)
{
	Three t = begin_without_b(w);

	/* No floor is named, for the leader's worker is busy. */
	hold(w, t.p, HOLD_WORKER);
	lose_directory(w, t.a);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(2), is_gone, t.a));
	world_run(w, SECONDS(2));
	EXPECT(w, leads_as_primary(w, t.p) && keeper(w, t.a)->order.reason == PRIMARY_GONE_NO_FLOOR);
	EXPECT(w, node_is_free(w, t.a) && !member_rebuild(&w->node[t.a].member, RAFT_CLONING, (RaftPosition){1, 1}));
	EXPECT(w, is_gone(w, t.a));
	lose_power(w, t.p);
	expect_refused(w, t.b, t.a);

	/* It is named, and the copy is not there yet. */
	node_may_lead(w, t.b, false);
	let_go(w, t.p, HOLD_WORKER);
	hold(w, t.a, HOLD_REBUILD);
	node_start(w, t.p);
	EXPECT(w, run_until(w, SECONDS(10), is_rebuilding, t.a));
	EXPECT(w, saved(w, t.a)->rebuild == RAFT_CLONING && !has_commit(w, t.a, t.commit));
	EXPECT(w, saved(w, t.a)->floor.index >= cluster(w)->commit[t.commit].end);
	EXPECT(w, raft_is_older(position(w, t.b), saved(w, t.a)->floor));
	interrupt_for_good(w, t.a, 1, t.p);
	expect_refused(w, t.b, t.a);
	node_start(w, t.p);
	EXPECT(w, has_commit(w, settle_data(w), t.commit));
	EXPECT(w, is_intact(w, t.a) && has_commit(w, t.a, t.commit));
}

static bool
streams_unfinished(World *w, int i)
{
	return is_streaming(w, i) && !is_intact(w, i);
}

/*
 * A copy streams, and its member does not know yet that it is whole: it would vote with the
 * floor of before, whatever has come in since.  So that is confirmed to nobody; here the
 * directory is lost once more, and the next clone would take it away as well.
 */
static void
rebuilding_member_confirms_nothing(World *w)
{
	Three t = begin_three(w);

	hold(w, t.b, HOLD_RECEIVER);
	lose_directory(w, t.a);
	EXPECT(w, run_until(w, SECONDS(10), streams_unfinished, t.a));
	hold(w, t.a, HOLD_WORKER);
	t.commit = commit_on(w, t.p);
	world_run(w, MS(200));
	EXPECT(w, streams_unfinished(w, t.a) && has_commit(w, t.a, t.commit) && is_open(w, t.p));
	EXPECT(w, !is_answered(w, t.commit) && saved(w, t.a)->floor.index < cluster(w)->commit[t.commit].end);
	lose_directory(w, t.a);
	let_go(w, t.a, HOLD_WORKER);
	lose_power(w, t.p);
	let_go(w, t.b, HOLD_RECEIVER);
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.b));
	EXPECT(w, !has_commit(w, settle_data(w), t.commit));
}

/*
 * A clone fails again and again on a full disk: it pauses between two tries, and does not
 * give up, so that it is done soon after there is room.
 */
static void
full_disk_pauses_rebuilds(World *w)
{
	Three	 t = begin_three(w);
	uint64_t clones;

	lose_directory(w, t.b);
	clones = w->data[DATA_CLONES];
	server(w, t.b)->disk_full = true;
	EXPECT(w, run_until(w, SECONDS(5), pauses, t.b));
	world_run(w, SECONDS(20));
	EXPECT(w, pauses(w, t.b) && w->data[DATA_CLONES] == clones + 2);
	world_run(w, SECONDS(40));
	EXPECT(w, w->data[DATA_CLONES] > clones + 2 && w->data[DATA_CLONES] <= clones + 4);
	server(w, t.b)->disk_full = false;
	EXPECT(w, run_until(w, SECONDS(31), is_intact, t.b));
	(void) settle_data(w);
}

/* A member without room for WAL does not stand, and does again as soon as there is some. */
static void
full_disk_does_not_stand(World *w)
{
	Three t = begin_three(w);

	node_may_lead(w, t.b, false);
	server(w, t.a)->disk_full = true;
	world_run(w, MS(100));
	lose_power(w, t.p);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_leads, 0));
	server(w, t.a)->disk_full = false;
	EXPECT(w, run_until(w, SECONDS(5), is_leading, t.a));
	(void) settle_data(w);
}

/* ---- a machine is replaced ---- */

/*
 * A machine of the list is replaced: state file and data are new, or the data are an older
 * copy.  It had confirmed a commit, and does not vote before a leader has named a floor.
 */
static void
replace_machine(World *w, bool stale)
{
	static SimData copy;
	Three		   t = begin_three(w);

	sim_snapshot(cluster(w), t.a, &copy);
	cut_wal_all(w, t.b);
	world_run(w, MS(100));
	t.commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(1), answered, t.commit));
	world_run(w, MS(100));
	hold(w, t.p, HOLD_WORKER);
	node_may_lead(w, t.b, false);
	lose_power(w, t.a);
	disk_wipe(w, t.a);
	lose_directory(w, t.a);
	if (stale)
		EXPECT(w, sim_restore(cluster(w), t.a, &copy));
	cut_wal_all(w, t.a);
	node_start(w, t.a);
	node_may_lead(w, t.a, false);
	EXPECT(w, run_until(w, SECONDS(5), is_voting, t.a));
	world_run(w, MS(100));
	EXPECT(w, saved(w, t.a)->system_id == 0 && saved(w, t.a)->claim == 2 && is_intact(w, t.a));
	EXPECT(w, saved(w, t.a)->distrusted);
	EXPECT(w, w->node[t.a].member.raft.has_looked && (w->node[t.a].member.raft.data.system_id != 0) == stale);

	EXPECT(w, !has_commit(w, t.a, t.commit));
	lose_power(w, t.p);
	expect_refused(w, t.b, t.a);
	let_go(w, t.p, HOLD_WORKER);
	node_start(w, t.p);
	EXPECT(w, has_commit(w, settle_data(w), t.commit));
	world_run(w, MS(500));
	EXPECT(w, has_commit(w, t.a, t.commit));
}

static void
replaced_machine_does_not_vote(World *w)
{
	replace_machine(w, false);
}

static void
stale_copy_joins(World *w)
{
	replace_machine(w, true);
}

/* An answered commit is on all three; the leader writes on, alone, and recycles what both others need. */
static Three
begin_recycled(World *w)
{
	Three		t = begin_three(w);
	SimCluster *c = cluster(w);

	t.commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(1), answered, t.commit));
	world_run(w, MS(100));
	EXPECT(w, has_commit(w, t.a, t.commit) && has_commit(w, t.b, t.commit));
	cut_wal_all(w, t.p);
	for (int k = 0; k < 8 * SIM_SEGMENT; k++)
		EXPECT(w, sim_insert(c, t.p, SIM_RECORD_OTHER, 0, 0));
	EXPECT(w, sim_wal_flush(c, t.p, server(w, t.p)->inserted) && sim_checkpoint(c, t.p));
	EXPECT(w, sim_recycle(c, t.p, (uint16_t) (server(w, t.p)->flushed / SIM_SEGMENT)));
	mend_wal(w);
	return t;
}

/* The leader is lost for good, and one of the others leads, with what was answered. */
static void
lose_the_leader(World *w, const Three *t)
{
	lose_power(w, t->p);
	let_go(w, t->a, HOLD_REBUILD | HOLD_RECEIVER);
	let_go(w, t->b, HOLD_REBUILD | HOLD_RECEIVER);
	EXPECT(w, run_until(w, SECONDS(120), somebody_is_open, 0));
	EXPECT(w, has_commit(w, world_lease(w), t->commit));
}

/*
 * Both clone beside directories that are intact.  Then the leader is lost: what they had before
 * is whole, and can be used again.
 */
static void
source_of_all_clones_is_lost(World *w)
{
	Three t = begin_recycled(w);

	w->keepers->clones_aside = true;
	hold(w, t.a, HOLD_REBUILD);
	hold(w, t.b, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(60), is_rebuilding, t.a) && run_until(w, SECONDS(60), is_rebuilding, t.b));
	EXPECT(w, keeper(w, t.a)->aside && has_commit(w, t.a, t.commit));
	EXPECT(w, keeper(w, t.b)->aside && has_commit(w, t.b, t.commit));
	lose_the_leader(w, &t);
}

/* Both copies are whole, consistent, and past their floors, but have not streamed yet. */
static void
source_of_whole_clones_is_lost(World *w)
{
	Three t = begin_recycled(w);

	hold(w, t.a, HOLD_REBUILD);
	hold(w, t.b, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(60), is_rebuilding, t.a) && run_until(w, SECONDS(60), is_rebuilding, t.b));
	hold(w, t.a, HOLD_RECEIVER);
	hold(w, t.b, HOLD_RECEIVER);
	let_go(w, t.a, HOLD_REBUILD);
	let_go(w, t.b, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(5), is_copied, t.a) && run_until(w, SECONDS(5), is_copied, t.b));
	world_run(w, MS(200));
	EXPECT(w, server(w, t.a)->consistent && has_commit(w, t.a, t.commit) && is_copied(w, t.a));
	EXPECT(w, server(w, t.b)->consistent && has_commit(w, t.b, t.commit) && is_copied(w, t.b));
	lose_the_leader(w, &t);
}

static bool
refuses_all(void *context, int at, int standby, int host)
{
	(void) context;
	(void) at;
	(void) standby;
	(void) host;
	return false;
}

/*
 * The leader lets no receiver in any more, as with a wrong pg_hba.conf, and has all its WAL.  A
 * clone would help nobody, and nothing is removed for it.
 */
static void
nothing_is_wiped_where_receivers_are_refused(World *w)
{
	Three	 t = begin_three(w);
	SimLogin login = cluster(w)->login;

	t.commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(1), answered, t.commit));
	world_run(w, MS(100));
	cluster(w)->login = refuses_all;
	EXPECT(w, sim_receiver_end(cluster(w), t.a, true) && sim_receiver_end(cluster(w), t.b, true));
	for (int k = 0; k < 3; k++)
		EXPECT(w, sim_insert(cluster(w), t.p, SIM_RECORD_OTHER, 0, 0));
	EXPECT(w, sim_wal_flush(cluster(w), t.p, server(w, t.p)->inserted));
	hold(w, t.a, HOLD_REBUILD);
	hold(w, t.b, HOLD_REBUILD);
	world_run(w, SECONDS(100));
	EXPECT(w, is_intact(w, t.a) && is_intact(w, t.b));
	cluster(w)->login = login;
	lose_the_leader(w, &t);
}

const Scenario scenarios_rebuilds[] = {
	{"rebuilding_member_votes_with_its_floor", rebuilding_member_votes_with_its_floor, NULL},
	{"rebuilding_member_stands_once_its_copy_is_whole", rebuilding_member_stands_once_its_copy_is_whole, NULL},
	{"rebuilt_before_its_floor", rebuilt_before_its_floor, NULL},
	{"copy_is_not_rewound", copy_is_not_rewound, NULL},
	{"rebuild_source_not_open", rebuild_source_not_open, NULL},
	{"leaders_worker_restarts_in_the_rewind", leaders_worker_restarts_in_the_rewind, NULL},
	{"interrupted_rewind_is_not_started", interrupted_rewind_is_not_started, NULL},
	{"rebuild_is_repeated_only_from_its_source", rebuild_is_repeated_only_from_its_source, NULL},
	{"lost_directory_waits_for_a_floor", lost_directory_waits_for_a_floor, NULL},
	{"rebuilding_member_confirms_nothing", rebuilding_member_confirms_nothing, NULL},
	{"full_disk_pauses_rebuilds", full_disk_pauses_rebuilds, NULL},
	{"full_disk_does_not_stand", full_disk_does_not_stand, NULL},
	{"replaced_machine_does_not_vote", replaced_machine_does_not_vote, NULL},
	{"stale_copy_joins", stale_copy_joins, NULL},
	{"source_of_all_clones_is_lost", source_of_all_clones_is_lost, NULL},
	{"source_of_whole_clones_is_lost", source_of_whole_clones_is_lost, NULL},
	{"nothing_is_wiped_where_receivers_are_refused", nothing_is_wiped_where_receivers_are_refused, NULL},
	{NULL, NULL, NULL}};
