/*
 * test/sim/scenarios_maintenance.c
 *	  Servers: a paused cluster, whoever fails; and standbys that are cloned anew.
 */
#include "scenarios_data.h"

static bool
pauses(World *w, int i)
{
	return raft_in_pause(&w->node[i].member.raft);
}

/* The operator was told that it is so. */
static bool
is_told(World *w, int paused)
{
	return w->keepers->maintenance.told == (paused != 0) && !w->keepers->maintenance.waits;
}

static bool
waits_in_pause(World *w, int i)
{
	return keeper(w, i)->order.reason == PRIMARY_IN_PAUSE;
}

/*
 * A majority has stored it, and the primary is lost.  Who leads next had heard nothing of it, but
 * for the vote of one who had.
 */
static void
pause_outlives_its_leader(World *w)
{
	Three t = begin_three(w);

	network_isolate(w, t.b);
	node_may_lead(w, t.a, false);
	maintenance_pause(w, SECONDS(60));
	EXPECT(w, run_until(w, SECONDS(2), is_told, true));
	EXPECT(w, pauses(w, t.a) && !pauses(w, t.b));
	lose_power(w, t.p);
	network_heal(w);
	EXPECT(w, run_until(w, SECONDS(5), waits_in_pause, t.b));
	EXPECT(w, pauses(w, t.b) && world_lease(w) == t.b);
	world_run(w, SECONDS(15));
	EXPECT(w, !is_primary(w, t.a) && !is_primary(w, t.b) && world_lease(w) == t.b);
	maintenance_pause(w, 0);
	EXPECT(w, run_until(w, SECONDS(2), is_primary, t.b));
	(void) settle_data(w);
}

/* With the leader alone it is nobody's word yet: a later leader has never heard of it. */
static void
pause_of_a_minority_is_not_told(World *w)
{
	Three t = begin_three(w);

	mute(w, t.p, t.a);
	mute(w, t.p, t.b);
	maintenance_pause(w, MS(300));
	world_run(w, MS(100));
	EXPECT(w, pauses(w, t.p) && !is_told(w, true));
	EXPECT(w, run_until(w, SECONDS(2), has_resigned, t.p));
	EXPECT(w, run_until(w, SECONDS(5), somebody_is_open, 0));
	EXPECT(w, world_lease(w) != t.p && !pauses(w, world_lease(w)));
	unmute_all(w);
	(void) settle_data(w);
}

/* A primary that goes on leading is not touched by a pause; nor is it by the end of one. */
static void
pause_changes_nothing_for_a_primary(World *w)
{
	Three	 t = begin_three(w);
	uint16_t timeline = server(w, t.p)->timeline;

	for (int round = 0; round < 2; round++)
	{
		maintenance_pause(w, SECONDS(20));
		EXPECT(w, run_until(w, SECONDS(2), is_told, true));
		t.commit = commit_on(w, t.p);
		EXPECT(w, run_until(w, SECONDS(1), answered, t.commit));
		world_run(w, SECONDS(15));
		EXPECT(w, is_open(w, t.p) && is_streaming(w, t.a) && is_streaming(w, t.b));
		maintenance_pause(w, 0);
		EXPECT(w, run_until(w, SECONDS(2), is_told, false));
	}
	EXPECT(w, settle_data(w) == t.p && server(w, t.p)->timeline == timeline);
}

/* It votes meanwhile with all that it has confirmed: its source is lost, and the commit is not. */
static void
new_copy_keeps_what_was_confirmed(World *w)
{
	Three t = begin_three(w);

	hold(w, t.b, HOLD_RECEIVER | HOLD_REBUILD);
	t.commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(1), answered, t.commit));
	EXPECT(w, has_commit(w, t.a, t.commit) && !has_commit(w, t.b, t.commit));
	hold(w, t.a, HOLD_REBUILD);
	maintenance_wish(w, t.a, WISH_REINIT);
	EXPECT(w, run_until(w, SECONDS(2), is_rebuilding, t.a));
	lose_power(w, t.p);
	world_run(w, SECONDS(10));
	EXPECT(w, !is_primary(w, t.b));
	EXPECT(w, has_commit(w, settle_data(w), t.commit));
}

const Scenario scenarios_maintenance[] = {
	{"pause_outlives_its_leader", pause_outlives_its_leader, NULL},
	{"pause_of_a_minority_is_not_told", pause_of_a_minority_is_not_told, NULL},
	{"pause_changes_nothing_for_a_primary", pause_changes_nothing_for_a_primary, NULL},
	{"new_copy_keeps_what_was_confirmed", new_copy_keeps_what_was_confirmed, NULL},
	{NULL, NULL, NULL}};
