/*
 * test/unit/test_primary_stories.c
 *	  One server obeys its orders, step by step, until it is where it should be: no order
 *	  leads back to where it came from, and the orders are those that the design tells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/primary.h"
#include "primary_worlds.h"

#define MOST_STEPS 30

/* A server that does what it is told, at once. */
static Lineage lineage;

static void
now_on(PrimaryFacts *f, uint32_t timeline, bool created)
{
	assert_true(f->n_timelines < RAFT_TIMELINES);
	f->timeline = timeline;
	f->timelines[f->n_timelines++] = (RaftTimeline){timeline, created};
}

static void
forget_comparison(PrimaryFacts *f)
{
	f->receiving = false;
	f->check = (PrimaryCheck){.leader = RAFT_NONE};
}

/* What it waits for comes about. */
static void
wait_for(PrimaryFacts *f, PrimaryReason reason)
{
	switch (reason)
	{
		case PRIMARY_STILL_RECEIVING:
			f->receiving = false;
			break;
		case PRIMARY_END_UNKNOWN:
		case PRIMARY_NOT_COMPARABLE:
			f->end_known = true;
			break;
		case PRIMARY_NOT_REPLAYED:
		case PRIMARY_REWIND_NOT_REPLAYED:
			f->replayed = true;
			break;
		case PRIMARY_CLAIM_UNKNOWN:
			f->claiming = false;
			f->claimed = f->claim;
			break;
		case PRIMARY_NOT_COMPARED:
			f->receiving = false;
			f->check = (PrimaryCheck){.term = f->term, .leader = f->leader_id, .prefix = PRIMARY_PREFIX_SAME};
			break;
		case PRIMARY_LOOK_AGAIN:
			f->check = (PrimaryCheck){.term = f->term, .leader = f->leader_id, .looked_again = true};
			break;
		case PRIMARY_PREFERS_OPEN:
			if (f->rebuild_wanted == 0)
				f->rebuild_wanted = f->now;
			f->now += f->prefer_open;
			break;
		case PRIMARY_REWIND_NO_CHECKPOINT:
			f->leader.control_shows_timeline = f->leader.has_fork = true;
			break;
		case PRIMARY_GONE_NO_FLOOR:
			f->leader.named_floor = true;
			f->leader.floor = (RaftPosition){f->leader.lineage->timeline, f->leader.flush};
			break;
		default:
			fail_msg("waits for %s", primary_reason_name(reason));
	}
}

static void
promote(PrimaryFacts *f, uint32_t timeline)
{
	assert_true(lineage_extend(f->lineage, timeline, f->end, &lineage));
	f->lineage = &lineage;
	f->authorised = timeline;
	f->authorised_term = f->term;
	f->claimed = 0;
	f->server = RAFT_SERVER_PRIMARY;
	f->wrote_on = timeline;
	f->ran_on = true;
	f->end += 10;
	now_on(f, timeline, true);
}

static void
restart(PrimaryFacts *f)
{
	f->server = RAFT_SERVER_RECOVERY;
	f->promoting = f->end_known = f->replayed = f->ran_on = false;
	f->consistent = true;
	forget_comparison(f);
}

static void
rebuild(PrimaryFacts *f, const PrimaryOrder *order)
{
	f->rebuild = order->action == PRIMARY_REWIND ? RAFT_REWINDING : RAFT_CLONING;
	f->floor = order->floor;
	f->remains = PRIMARY_REMAINS_WHOLE;
	f->server = RAFT_SERVER_NONE;
	f->system_id = f->leader.system_id;
	f->lineage = f->leader.lineage;
	f->end = f->leader.flush;
	f->wrote_on = 0;
	f->distrusted = false;
	f->failures++;
	now_on(f, f->lineage->timeline, false);
	forget_comparison(f);
}

static void
obey(PrimaryFacts *f, const PrimaryOrder *order)
{
	switch (order->action)
	{
		case PRIMARY_WAIT:
			wait_for(f, order->reason);
			break;
		case PRIMARY_CLAIM:
			f->claim++;
			f->claiming = true;
			break;
		case PRIMARY_RESUME_REPLAY:
			f->paused = false;
			break;
		case PRIMARY_PROMOTE:
			promote(f, order->timeline);
			break;
		case PRIMARY_MARK:
			f->end += 50;
			f->mark_term = f->term;
			f->mark_end = f->end;
			break;
		case PRIMARY_CLOSE:
			assert_true(order->reason == PRIMARY_NO_QUORUM || order->reason == PRIMARY_NOT_RELEASED);
			f->released = f->quorum_flushed;
			f->quorum_flushed = f->end;
			break;
		case PRIMARY_RESTART:
			restart(f);
			break;
		case PRIMARY_REWIND:
		case PRIMARY_CLONE:
			rebuild(f, order);
			break;
		case PRIMARY_FOLLOW:
			if (f->timeline != order->timeline)
				now_on(f, order->timeline, false);
			f->receiving = true;
			f->wrote_on = 0;
			f->end = f->leader.flush;
			f->lineage = f->leader.lineage;
			f->check.loose = true;
			f->check.streaming = PRIMARY_STREAMING_REAL;
			break;
		case PRIMARY_REBUILT:
			f->rebuild = RAFT_INTACT;
			f->failures = 0;
			break;
		default:
			fail_msg("%s, %s", primary_action_name(order->action), primary_reason_name(order->reason));
	}
}

/* Until it is open, or streams and is not being rebuilt. */
static void
expect_story(PrimaryFacts *f, const char *expected)
{
	char told[400] = "";

	for (int i = 0; i < MOST_STEPS; i++)
	{
		PrimaryOrder order = primary_decide(f);
		const char	*name = primary_action_name(order.action);

		assert_true(strlen(told) + strlen(name) + 2 < sizeof(told));
		if (told[0] != '\0')
			strcat(told, " ");
		strcat(told, name);
		if (order.action == PRIMARY_OPEN ||
			(order.action == PRIMARY_FOLLOW && f->receiving && f->rebuild == RAFT_INTACT))
			break;
		obey(f, &order);
	}
	assert_string_equal(told, expected);
}

static void
a_standby_is_elected(void **state)
{
	PrimaryFacts f = world_elected();

	(void) state;
	f.claim = 5;
	f.claimed = 0;
	f.receiving = f.paused = true;
	f.replayed = false;
	expect_story(&f, "WAIT CLAIM RESUME_REPLAY WAIT WAIT PROMOTE MARK CLOSE CLOSE OPEN");
	assert_int_equal(f.timeline, 6);
}

static void
a_primary_is_elected_again(void **state)
{
	PrimaryFacts f = world_primary();

	(void) state;
	f.term = 8;
	expect_story(&f, "MARK CLOSE CLOSE OPEN");
	/* and again, after somebody else had claimed */
	f.term = 9;
	f.elected_claim = f.claim = 8;
	expect_story(&f, "RESTART WAIT CLAIM WAIT WAIT PROMOTE MARK CLOSE CLOSE OPEN");
	assert_int_equal(f.timeline, 9);
}

/* The leader has gone from 2 to 7 at 1800. */
static PrimaryFacts
deposed(void)
{
	PrimaryFacts f = world_primary();

	f.leader_id = 1;
	f.lease_until = 0;
	f.leader = world_follower().leader;
	return f;
}

static void
an_old_primary_comes_back(void **state)
{
	static Lineage leaders;
	PrimaryFacts   f = deposed();

	(void) state;
	/* it had written up to 2700, and the new one took over at 2650 */
	assert_true(lineage_extend(world_path5_7(), 8, 2650, &leaders));
	f.leader.lineage = &leaders;
	f.leader.flush = 2900;
	f.floor = (RaftPosition){7, 2640};
	f.leader.control_shows_timeline = f.leader.open = false;
	expect_story(&f, "RESTART WAIT WAIT WAIT WAIT REWIND RESTART WAIT WAIT FOLLOW REBUILT FOLLOW");
	assert_int_equal(f.timeline, 8);
	assert_int_equal(f.floor.index, 2650);

	/* nothing was lost: no rebuild */
	f = deposed();
	f.leader.lineage = &leaders;
	f.leader.flush = 2900;
	f.end = 2650;
	expect_story(&f, "RESTART WAIT WAIT FOLLOW FOLLOW");
}

static void
a_promotion_by_hand_is_thrown_away(void **state)
{
	PrimaryFacts f = deposed();

	(void) state;
	f.lineage = world_path_hand();
	f.timeline = 3;
	f.end = 1700;
	f.n_timelines = 2;
	f.floor = (RaftPosition){2, 1500};
	f.leader.lineage = world_path5();
	expect_story(&f, "RESTART WAIT CLONE RESTART WAIT WAIT FOLLOW REBUILT FOLLOW");
	assert_int_equal(f.floor.index, 1500);
	assert_false(primary_position(&f).foreign);
}

static void
an_empty_directory_is_filled(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.server = RAFT_SERVER_NONE;
	f.system_id = 0;
	f.lineage = NULL;
	f.end_known = false;
	expect_story(&f, "WAIT CLONE RESTART WAIT WAIT FOLLOW REBUILT FOLLOW");
	assert_int_equal(f.floor.index, 2600);
}

static void
one_that_is_ahead_on_the_leaders_timeline_is_cloned(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.end = 2700;
	f.check.term = 0;
	expect_story(&f, "WAIT CLONE RESTART WAIT WAIT FOLLOW REBUILT FOLLOW");
	assert_int_equal(f.floor.index, 2600);
}

/* The receiver of the old leader is stopped, and the new one is followed once it is promoted. */
static void
a_standby_gets_a_new_leader(void **state)
{
	static Lineage leaders;
	PrimaryFacts   f = world_follower();

	(void) state;
	expect_story(&f, "FOLLOW FOLLOW");
	f.term = 8;
	f.leader_id = 2;
	f.leader.server = RAFT_SERVER_RECOVERY;
	f.leader.promoted = f.leader.open = false;
	f.receiving = false;
	assert_int_equal(primary_decide(&f).reason, PRIMARY_LEADER_NOT_READY);
	assert_true(lineage_extend(f.lineage, 8, f.end, &leaders));
	f.leader.lineage = &leaders;
	f.leader.server = RAFT_SERVER_PRIMARY;
	f.leader.promoted = f.leader.open = true;
	expect_story(&f, "WAIT FOLLOW FOLLOW");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_standby_is_elected),
		cmocka_unit_test(a_primary_is_elected_again),
		cmocka_unit_test(an_old_primary_comes_back),
		cmocka_unit_test(a_promotion_by_hand_is_thrown_away),
		cmocka_unit_test(an_empty_directory_is_filled),
		cmocka_unit_test(one_that_is_ahead_on_the_leaders_timeline_is_cloned),
		cmocka_unit_test(a_standby_gets_a_new_leader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
