/*
 * test/sim/scenarios_adoption.c
 *	  Servers: the first claim, beside data that were there before (rule 12).
 */
#include "scenarios_data.h"

/* ---- conditions ---- */

static bool
claim_is_behind(World *w, int i)
{
	const Raft *r = &w->node[i].member.raft;

	return r->role == RAFT_LEADER && raft_newest_peer(r, clock_local(w, &w->node[i])) != RAFT_NONE;
}

static bool
has_claim(World *w, int i)
{
	return w->node[i].durable.claim != 0;
}

static bool
is_told_unknown(World *w, int i)
{
	return w->node[i].member.raft.has_looked && !w->node[i].member.raft.data.known;
}

static bool
knows_nobody(World *w, int i)
{
	return w->node[i].member.raft.leader_id == RAFT_NONE;
}

/* ---- scenarios ---- */

/* Its server runs as a primary without a member, writes, and is stopped. */
static void
write_alone(World *w, int i)
{
	SimCluster *c = cluster(w);
	SimServer  *s = server(w, i);

	EXPECT(w, sim_start(c, i));
	while (s->life != SIM_PRIMARY)
		EXPECT(w, sim_startup_step(c, i) != SIM_DIED);
	for (int k = 0; k < 3; k++)
		EXPECT(w, sim_insert(c, i, SIM_RECORD_OTHER, 0, 0));
	EXPECT(w, sim_wal_flush(c, i, s->inserted) && sim_stop_fast(c, i) && sim_stop_finish(c, i));
}

/*
 * Two hold less than the third one, which is bound by a promise to the first of them when
 * the second one leads: that one waits for it.
 */
static void
first_claim_is_left_to_who_holds_most(World *w)
{
	int leader;
	int other;

	begin_unclaimed(w);
	write_alone(w, 2);
	hold(w, 2, HOLD_WORKER);
	world_start_all(w);
	EXPECT(w, run_until(w, SECONDS(10), somebody_leads, 0));
	leader = world_lease(w);
	EXPECT(w, leader != 2);
	other = someone(w, leader, 2);
	world_run(w, MS(500));
	EXPECT(w, node_transfer(w, leader, other) == RAFT_TRANSFER_STARTED);
	let_go(w, 2, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(2), claim_is_behind, other));
	EXPECT(w, run_until(w, SECONDS(20), is_open, 2));
	(void) settle_data(w);
}

/* Its server restarts, and the worker stands still before it has read its WAL to the end. */
static void
begin_restart(World *w, int i)
{
	network_cut_way(w, i, 0);
	kill_server(w, i);
	EXPECT(w, run_until(w, SECONDS(1), is_told_unknown, i));
	hold(w, i, HOLD_WORKER);
}

/* Node 0 leads, as nobody else may, and has not claimed yet. */
static void
begin_before_the_first_claim(World *w)
{
	begin_unclaimed(w);
	node_may_lead(w, 1, false);
	node_may_lead(w, 2, false);
	world_start_all(w);
	EXPECT(w, run_until(w, SECONDS(10), is_leading, 0));
	hold(w, 0, HOLD_WORKER | HOLD_STARTUP);
	world_run(w, MS(300));
	EXPECT(w, !has_claim(w, 0));
}

/*
 * Two hear of the first claim while their servers restart.  What they hold is theirs all the
 * same, and one of them leads when whoever has claimed is lost.
 */
static void
first_claim_while_servers_restart(World *w)
{
	begin_before_the_first_claim(w);

	begin_restart(w, 1);
	begin_restart(w, 2);
	let_go(w, 0, HOLD_WORKER);
	EXPECT(w, run_until(w, MS(100), has_claim, 0));
	world_run(w, MS(50));
	EXPECT(w, server(w, 0)->life == SIM_STANDBY);

	network_heal(w);
	for (int i = 1; i <= 2; i++)
	{
		let_go(w, i, HOLD_WORKER);
		EXPECT(w, run_until(w, SECONDS(1), has_claim, i));
		node_may_lead(w, i, true);
	}
	network_isolate(w, 0);
	EXPECT(w, run_until(w, SECONDS(30), somebody_is_open, 0));
	(void) settle_data(w);
}

/*
 * An operator promotes it where our library is not asked.  Its member has not heard of any
 * claim, so its worker does not know yet that this is not its own.
 */
static void
promote_unclaimed(World *w, int i)
{
	SimAuthorise authorise = cluster(w)->authorise;

	EXPECT(w, run_until(w, SECONDS(2), knows_nobody, i));
	cluster(w)->authorise = NULL;
	EXPECT(w, sim_promote(cluster(w), i));
	EXPECT(w, run_until(w, SECONDS(1), is_primary, i));
	cluster(w)->authorise = authorise;
	for (int k = 0; k < 3; k++)
		(void) commit_on(w, i);
	world_run(w, MS(100));
}

/*
 * Who is cut off before the first claim arrives is promoted by hand, to the very timeline that
 * was claimed.  What it wrote there is foreign, whether its member hears of the claim from the
 * leader or from those who vote for it.
 */
static void
by_hand_after_the_first_claim(World *w, bool hears)
{
	int commit;

	begin_before_the_first_claim(w);
	network_isolate(w, 2);
	let_go(w, 0, HOLD_WORKER | HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(5), is_open, 0));
	commit = commit_on(w, 0);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	promote_unclaimed(w, 2);
	EXPECT(w, server(w, 2)->timeline == server(w, 0)->timeline);

	if (hears)
	{
		hold(w, 2, HOLD_WORKER);
		network_heal(w);
		EXPECT(w, run_until(w, SECONDS(5), has_claim, 2));
	}
	lose_power(w, 0);
	network_heal(w);
	node_may_lead(w, 2, true);
	let_go(w, 2, HOLD_WORKER);
	EXPECT(w, !run_until(w, SECONDS(10), somebody_is_open, 0));
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

static void
promoted_by_hand_before_it_hears_of_the_first_claim(World *w)
{
	by_hand_after_the_first_claim(w, true);
	by_hand_after_the_first_claim(w, false);
}

/*
 * Who held most is lost before the first claim, and its leader knows that it held more.  The
 * operator says that it does not come back: nobody waits for it.
 */
static void
first_claim_without_who_held_most(World *w)
{
	begin_unclaimed(w);
	write_alone(w, 2);
	node_may_lead(w, 1, false);
	node_may_lead(w, 2, false);
	world_start_all(w);
	EXPECT(w, run_until(w, SECONDS(10), claim_is_behind, 0));
	world_run(w, SECONDS(1));
	EXPECT(w, !has_claim(w, 0));
	lose_power(w, 2);
	EXPECT(w, !run_until(w, SECONDS(10), has_claim, 0));
	node_admit(w, 0);
	EXPECT(w, run_until(w, SECONDS(20), is_open, 0));
}

/*
 * Somebody lives who does not know yet what it holds, and it is most.  The operator's word is
 * for the dead: the first claim waits for that one, and is left to it.
 */
static void
admitted_first_claim_waits_for_the_living(World *w)
{
	begin_unclaimed(w);
	write_alone(w, 1);
	node_may_lead(w, 2, false);
	hold(w, 1, HOLD_WORKER);
	world_start_all(w);
	EXPECT(w, run_until(w, SECONDS(10), is_leading, 0));
	world_run(w, SECONDS(1));
	lose_power(w, 2);
	world_run(w, SECONDS(1));
	EXPECT(w, is_leading(w, 0));
	node_admit(w, 0);
	EXPECT(w, !run_until(w, SECONDS(2), has_claim, 0));
	let_go(w, 1, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(2), claim_is_behind, 0));
	EXPECT(w, run_until(w, SECONDS(5), is_leading, 1));
	node_admit(w, 1);
	EXPECT(w, run_until(w, SECONDS(20), is_open, 1));
	(void) settle_data(w);
}

/* The same of a standby, whose server was promoted by hand and is stopped. */
static void
promote_alone(World *w, int i)
{
	SimCluster	*c = cluster(w);
	SimServer	*s = server(w, i);
	SimAuthorise authorise = c->authorise;

	c->authorise = NULL;
	s->data.standby_signal = true;
	EXPECT(w, sim_start(c, i));
	while (s->life != SIM_STANDBY)
		EXPECT(w, sim_startup_step(c, i) != SIM_DIED);
	EXPECT(w, sim_promote(c, i));
	while (s->life != SIM_PRIMARY)
		EXPECT(w, sim_startup_step(c, i) != SIM_DIED);
	EXPECT(w, sim_stop_fast(c, i) && sim_stop_finish(c, i));
	c->authorise = authorise;
}

/*
 * One was promoted by hand before anything was claimed, and is a standby again.  Its timeline is
 * the higher one, and nobody knows whose data are wanted, until the operator says it.
 */
static void
first_claim_not_beside_another_timeline(World *w)
{
	begin_unclaimed(w);
	promote_alone(w, 2);
	world_start_all(w);
	EXPECT(w, !run_until(w, SECONDS(10), somebody_is_open, 0));
	EXPECT(w, server(w, 2)->life == SIM_STANDBY && server(w, 2)->timeline > server(w, 0)->timeline);
	for (int i = 0; i < 3; i++)
		EXPECT(w, !has_claim(w, i));
	lose_power(w, 2);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_is_open, 0));
	node_admit(w, world_lease(w));
	EXPECT(w, run_until(w, SECONDS(20), somebody_is_open, 0));
}

/* Clients write for five seconds, as fast as in random runs; then it is stopped. */
static SimCluster *
cluster_of_three(World *w, bool has_member, uint64_t standbys)
{
	reset_data(w, 3);
	w->keepers->calm = false;
	adoption_begin(w, standbys, has_member, w->now + SECONDS(5));
	return cluster(w);
}

/*
 * While it runs nobody claims, and its standbys go on following it, also who leads.  After it
 * was stopped the outage is short, and nothing that it had answered is lost.
 */
static void
adopt(World *w, bool has_member, uint64_t standbys)
{
	SimCluster *c = cluster_of_three(w, has_member, standbys);
	int			leader;

	world_run(w, SECONDS(4));
	leader = world_lease(w);
	EXPECT(w, leader >= 0 && w->keepers->adoption.step == ADOPTION_BEFORE && c->n_commits > 3);
	for (int i = 1; i < 3; i++)
		EXPECT(w, !has_claim(w, i) && ((standbys & BIT(i)) == 0 || is_streaming(w, i)));
	EXPECT(w, run_until(w, SECONDS(7), somebody_is_open, 0));
	for (int commit = 1; commit <= c->n_commits; commit++)
		EXPECT(w, has_commit(w, world_lease(w), commit));
	(void) settle_data(w);
}

static void
existing_primary_is_adopted(World *w)
{
	for (int has_member = 0; has_member <= 1; has_member++)
	{
		adopt(w, has_member, BIT(1) | BIT(2));
		adopt(w, has_member, BIT(2));
	}
}

const Scenario scenarios_adoption[] = {
	{"first_claim_is_left_to_who_holds_most", first_claim_is_left_to_who_holds_most, NULL},
	{"first_claim_while_servers_restart", first_claim_while_servers_restart, NULL},
	{"promoted_by_hand_before_it_hears_of_the_first_claim", promoted_by_hand_before_it_hears_of_the_first_claim, NULL},
	{"first_claim_without_who_held_most", first_claim_without_who_held_most, NULL},
	{"admitted_first_claim_waits_for_the_living", admitted_first_claim_waits_for_the_living, NULL},
	{"first_claim_not_beside_another_timeline", first_claim_not_beside_another_timeline, NULL},
	{"existing_primary_is_adopted", existing_primary_is_adopted, NULL},
	{NULL, NULL, NULL}};
