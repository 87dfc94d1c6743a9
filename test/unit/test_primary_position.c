/*
 * test/unit/test_primary_position.c
 *	  What a server's WAL is worth in the election, what of it is foreign, and what a
 *	  rebuild's floor is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../primary/primary.h"
#include "primary_worlds.h"

static void
expect_position(const PrimaryFacts *f, uint64_t timeline, uint64_t lsn, bool foreign)
{
	PrimaryPosition own = primary_position(f);

	assert_true(own.known);
	assert_int_equal(own.position.epoch, timeline);
	assert_int_equal(own.position.index, lsn);
	assert_int_equal(own.foreign, foreign);
}

/* Rule 15: by where the byte is, never by what is received. */
static void
the_timeline_is_that_of_the_last_byte(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	expect_position(&f, 5, 2500, false);
	f.end = 2000;
	expect_position(&f, 2, 2000, false);
	f.end = 2001;
	expect_position(&f, 5, 2001, false);
	f.end = 1000;
	expect_position(&f, 1, 1000, false);
}

static void
what_is_not_known_has_no_position(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.end_known = false;
	assert_false(primary_position(&f).known);
	f.end_known = true;
	f.lineage = NULL;
	assert_false(primary_position(&f).known);
	f = world_follower();
	f.system_id = 0;
	assert_false(primary_position(&f).known);
}

/* Rule 14. */
static void
it_is_cut_before_the_first_foreign_byte(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.lineage = world_path_hand();
	f.timeline = 3;
	f.wrote_on = 3;
	f.end = 1501;
	expect_position(&f, 2, 1500, true);
	/* what was received may have been counted for a commit: nobody may vote as if it were not there */
	f.wrote_on = 0;
	expect_position(&f, 3, 1501, true);
	assert_false(primary_position(&f).by_hand);
	f.end = 1500;
	expect_position(&f, 2, 1500, false);
	/* also while it is primary there, and nothing is flushed yet */
	f.wrote_on = 3;
	f.server = RAFT_SERVER_PRIMARY;
	expect_position(&f, 2, 1500, true);
	f.end = 1700;
	expect_position(&f, 2, 1500, true);
}

/* The list of timelines is short; what came with one of them is ours. */
static void
what_came_before_one_of_ours_is_ours(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.timelines[0] = (RaftTimeline){5, false};
	f.n_timelines = 1;
	expect_position(&f, 5, 2500, false);
	f.end = 900;
	expect_position(&f, 1, 900, false);
	/* and what comes after the last of them is not */
	f.end = 2500;
	f.timelines[0].id = 2;
	expect_position(&f, 5, 2500, true);
}

static void
without_any_of_ours_all_is_foreign(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.n_timelines = 0;
	expect_position(&f, 5, 2500, true);
	/* before the first claim all is ours */
	f.claim = 0;
	expect_position(&f, 5, 2500, false);
	f.wrote_on = 5;
	expect_position(&f, 5, 2500, false);
}

/*
 * Where it has written by hand on a timeline that it followed, too low a position would
 * give a vote that it must not give, and too high a one would be elected.
 */
static void
written_by_hand_on_a_followed_timeline_is_not_known(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.wrote_on = 5;
	assert_true(primary_position(&f).foreign);
	assert_false(primary_position(&f).known);
	/* it still holds after the restart as a standby, and it is cloned */
	assert_int_equal(primary_decide(&f).action, PRIMARY_CLONE);

	/* A leader's timeline that it followed since then was compared first. */
	f.wrote_on = 1;
	expect_position(&f, 5, 2500, false);

	f.timelines[2].created = true;
	expect_position(&f, 5, 2500, false);
}

static void
diverged_is_beyond_the_fork(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	assert_false(primary_diverged(&f));
	f.leader.lineage = world_path5_7();
	assert_false(primary_diverged(&f));
	f.end = 2501;
	assert_true(primary_diverged(&f));
	f.leader.lineage = world_path2_7();
	f.end = 1800;
	assert_false(primary_diverged(&f));
	f.end = 1801;
	assert_true(primary_diverged(&f));
}

/* Rule 21. */
static void
the_floor_is_what_both_have(void **state)
{
	PrimaryFacts f = world_follower();
	RaftPosition floor;

	(void) state;
	f.floor = (RaftPosition){0, 0};
	f.leader.lineage = world_path2_7();
	assert_true(primary_floor(&f, &floor));
	assert_int_equal(floor.epoch, 2);
	assert_int_equal(floor.index, 1800);

	/* on the leader's timeline it is where the leader ends */
	f.leader.lineage = world_path5();
	f.leader.flush = 2300;
	assert_true(primary_floor(&f, &floor));
	assert_int_equal(floor.epoch, 5);
	assert_int_equal(floor.index, 2300);

	/* also where we may not vote with what is beyond it */
	f = world_follower();
	f.floor = (RaftPosition){0, 0};
	f.n_timelines = 2;
	f.leader.lineage = world_path2_7();
	assert_true(primary_floor(&f, &floor));
	assert_int_equal(floor.epoch, 2);
	assert_int_equal(floor.index, 1800);

	f.leader.flush = 0;
	assert_false(primary_floor(&f, &floor));
}

static void
an_interrupted_rebuild_keeps_its_floor(void **state)
{
	PrimaryFacts f = world_follower();
	RaftPosition floor;

	(void) state;
	f.rebuild = RAFT_REWINDING;
	f.floor = (RaftPosition){2, 1234};
	f.leader.named_floor = true;
	f.leader.floor = (RaftPosition){5, 2600};
	assert_true(primary_floor(&f, &floor));
	assert_int_equal(floor.epoch, 2);
	assert_int_equal(floor.index, 1234);
}

/* Rule 22: nobody counts on a part of a record. */
static void
a_record_that_has_begun_is_told(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.floor = (RaftPosition){5, 2501};
	assert_true(primary_behind(&f));
	assert_int_equal(primary_position(&f).begun.index, 0);
	f.begun = 2502;
	assert_int_equal(primary_position(&f).begun.epoch, 5);
	assert_int_equal(primary_position(&f).begun.index, 2502);
	assert_false(primary_behind(&f));
	f.begun = 2501;
	assert_true(primary_behind(&f));
	f.begun = f.end;
	assert_int_equal(primary_position(&f).begun.index, 0);
}

/* Rules 21 and 22: a copy that lost what it acknowledged says nothing of a common point. */
static void
for_what_is_gone_the_leader_names_the_floor(void **state)
{
	PrimaryFacts f = world_follower();
	RaftPosition floor;

	(void) state;
	f.leader.lineage = world_path2_7();
	f.floor = (RaftPosition){5, 2501};
	assert_true(primary_behind(&f));

	/* What it acknowledged and has no more stays the floor: its source may die. */
	assert_true(primary_floor(&f, &floor));
	assert_int_equal(floor.epoch, 5);
	assert_int_equal(floor.index, 2501);

	f = world_follower();
	assert_false(primary_behind(&f));
	f.distrusted = true;
	assert_false(primary_floor(&f, &floor));
	f.distrusted = false;
	f.system_id = 0;
	assert_false(primary_floor(&f, &floor));
}

/* Recovery asks for what follows the last page that it has read. */
static void
a_receiver_begins_where_wal_is_held(void **state)
{
	PrimaryHeld held = {.end = 1000, .timeline = 2};

	(void) state;
	assert_true(primary_may_begin(&held, 1000, 3));
	assert_false(primary_may_begin(&held, 1001, 3));

	/* the rest of a record of which the beginning is on that timeline, too */
	assert_true(primary_may_begin(&held, 4096, 2));

	/* a receiver goes on from where one was */
	held.received_on = 3;
	held.received = 2048;
	assert_true(primary_may_begin(&held, 2048, 3));
	assert_false(primary_may_begin(&held, 2049, 3));
	assert_false(primary_may_begin(&held, 2048, 4));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_timeline_is_that_of_the_last_byte),
		cmocka_unit_test(what_is_not_known_has_no_position),
		cmocka_unit_test(it_is_cut_before_the_first_foreign_byte),
		cmocka_unit_test(what_came_before_one_of_ours_is_ours),
		cmocka_unit_test(without_any_of_ours_all_is_foreign),
		cmocka_unit_test(written_by_hand_on_a_followed_timeline_is_not_known),
		cmocka_unit_test(diverged_is_beyond_the_fork),
		cmocka_unit_test(the_floor_is_what_both_have),
		cmocka_unit_test(an_interrupted_rebuild_keeps_its_floor),
		cmocka_unit_test(a_record_that_has_begun_is_told),
		cmocka_unit_test(a_receiver_begins_where_wal_is_held),
		cmocka_unit_test(for_what_is_gone_the_leader_names_the_floor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
