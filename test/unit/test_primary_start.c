/*
 * test/unit/test_primary_start.c
 *	  What is swept and put in place before a start, timeline by timeline.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../primary/start.h"
#include "primary_worlds.h"

/* A server on 1, 2, 5; 3 and 4 are burnt. */
static const HistoryFile own[] = {
	{2, HISTORY_REAL, 1000},
	{3, HISTORY_BURNT, 0},
	{4, HISTORY_BURNT, 0},
	{5, HISTORY_REAL, 2000},
};

/* Its leader on 1, 2, 5, 7; 6 was passed over. */
static const HistoryFile leaders[] = {
	{2, HISTORY_REAL, 1000},
	{3, HISTORY_BURNT, 0},
	{4, HISTORY_BURNT, 0},
	{5, HISTORY_REAL, 2000},
	{6, HISTORY_BURNT, 0},
	{7, HISTORY_REAL, 2500},
};

static StartFacts
world(void)
{
	return (StartFacts){
		.histories = {own, 4},
		.timeline = 5,
		.end = 2400,
		.lineage = world_path5(),
		.control_timeline = 5,
		.leader_lineage = world_path5_7(),
		.leader_histories = {leaders, 6},
	};
}

/* The same server, and no leader that is promoted. */
static StartFacts
leaderless(void)
{
	StartFacts f = world();

	f.leader_lineage = NULL;
	f.leader_histories = (Histories){NULL, 0};
	return f;
}

static void
expect(const StartFacts *f, uint32_t timeline, StartHistory history, bool remove_wal)
{
	StartSweep sweep = start_sweep(f, timeline);

	if (sweep.history != history || sweep.remove_wal != remove_wal)
		fail_msg("timeline %u: %d, %d instead of %d, %d", timeline, sweep.history, sweep.remove_wal, history, remove_wal);
}

static void
expect_kept(const StartFacts *f, uint32_t first, uint32_t last)
{
	for (uint32_t t = first; t <= last; t++)
		expect(f, t, START_KEEP, false);
}

/* PostgreSQL would not start: its checkpoint is not in the past of timeline 5. */
static void
a_fork_before_the_checkpoint_is_removed(void **state)
{
	StartFacts f = leaderless();

	(void) state;
	f.timeline = f.control_timeline = 2;
	f.checkpoint = 1999;
	expect_kept(&f, 2, 2);
	expect(&f, 5, START_KEEP, false);
	f.checkpoint = 2000;
	expect_kept(&f, 2, 2);
	expect(&f, 5, START_REMOVE, true);
	f.control_timeline = 5;
	expect(&f, 5, START_KEEP, false);
}

/* Nor would it start if minRecoveryPoint is not: its last byte counts, whatever else lies above the fork. */
static void
a_fork_before_min_recovery_is_removed(void **state)
{
	static const HistoryFile later[] = {
		{2, HISTORY_REAL, 1000},
		{3, HISTORY_BURNT, 0},
		{4, HISTORY_REAL, 2000},
		{5, HISTORY_REAL, 2300},
	};
	StartFacts f = leaderless();

	(void) state;
	f.histories = (Histories){later, 4};
	f.timeline = f.control_timeline = 2;
	f.checkpoint = 1500;
	f.min_recovery = 2000;
	expect_kept(&f, 2, 5);
	f.min_recovery = 2001;
	expect_kept(&f, 2, 2);
	expect(&f, 3, START_REMOVE, false); /* the newest, and burnt */
	expect(&f, 4, START_REMOVE, true);
	f.backup_label = true; /* of a rewind */
	f.checkpoint = 0;
	expect(&f, 4, START_REMOVE, true);
	f.control_timeline = 4;
	expect_kept(&f, 2, 5);
}

/* A start looks for the newest one id after the other: no gap may be left. */
static void
the_ids_of_the_leader_are_put_in_place(void **state)
{
	static const HistoryFile cloned[] = {{5, HISTORY_REAL, 2000}};
	StartFacts				 f = world();

	(void) state;
	assert_int_equal(start_last(&f), 7);
	expect_kept(&f, 2, 5);
	expect(&f, 6, START_COPY, false);
	expect(&f, 7, START_COPY, false);

	f.histories = (Histories){cloned, 1}; /* of which a clone has the newest alone */
	f.leader_histories = (Histories){&leaders[1], 5};
	expect(&f, 2, START_BURN, false);
	expect(&f, 3, START_COPY, false);
	expect_kept(&f, 5, 5);
}

/* Local WAL has to be a past of the leader's, or the start would go where it cannot follow. */
static void
nothing_is_put_in_place_for_wal_that_parts_from_the_leaders(void **state)
{
	StartFacts f = world();

	(void) state;
	f.leader_lineage = world_path2_7();
	expect(&f, 6, START_KEEP, false);
	expect(&f, 7, START_KEEP, false);
	f = world();
	f.end = 2501;
	expect(&f, 7, START_KEEP, false);
	f.end = 2500;
	expect(&f, 7, START_COPY, false);
	f = world();
	f.lineage = NULL;
	expect(&f, 7, START_KEEP, false);
	f = leaderless();
	expect(&f, 7, START_KEEP, false);
}

static void
timelines_of_neither_path_are_removed(void **state)
{
	static const HistoryFile left[] = {
		{2, HISTORY_REAL, 1000},
		{3, HISTORY_REAL, 1500},
		{4, HISTORY_NONE, 0},
		{5, HISTORY_REAL, 2000},
		{6, HISTORY_BAD, 0},
		{8, HISTORY_REAL, 2300},
	};
	StartFacts f = world();

	(void) state;
	f.histories = (Histories){left, 6};
	assert_int_equal(start_last(&f), 8);
	expect_kept(&f, 2, 2);
	expect(&f, 3, START_COPY, true);
	expect(&f, 4, START_COPY, true);
	expect_kept(&f, 5, 5);
	expect(&f, 6, START_COPY, true);
	expect(&f, 7, START_COPY, false);
	expect(&f, 8, START_REMOVE, true);

	/* Our own path stays, though the leader's is another one. */
	f.leader_lineage = world_path2_7();
	expect_kept(&f, 5, 5);
	expect(&f, 3, START_REMOVE, true);

	f.lineage = world_path5_7();
	f.timeline = 7;
	expect_kept(&f, 5, 5);

	/* As long as one of the two is not known, nothing is known to be abandoned. */
	f.lineage = NULL;
	expect_kept(&f, 2, 8);
	f = leaderless();
	f.histories = (Histories){left, 6};
	expect_kept(&f, 2, 8);
}

static void
burnt_ids_stay_used_up(void **state)
{
	StartFacts f = world();

	(void) state;
	expect_kept(&f, 3, 4);
	f = leaderless();
	expect_kept(&f, 3, 4);
}

static void
a_burnt_file_is_never_the_newest(void **state)
{
	static const HistoryFile burnt[] = {
		{2, HISTORY_REAL, 1000},
		{3, HISTORY_BURNT, 0},
		{4, HISTORY_BURNT, 0},
		{5, HISTORY_REAL, 2000},
		{6, HISTORY_BURNT, 0},
		{7, HISTORY_BURNT, 0},
		{9, HISTORY_BURNT, 0},
	};
	StartFacts f = leaderless();

	(void) state;
	f.histories = (Histories){burnt, 7};
	expect_kept(&f, 2, 5);
	expect(&f, 6, START_REMOVE, false);
	expect(&f, 7, START_REMOVE, false);
	expect(&f, 9, START_KEEP, false); /* a start does not look beyond the gap */

	/* Where pg_control is already, a start does not look for less. */
	f.control_timeline = 6;
	expect_kept(&f, 2, 6);
	expect(&f, 7, START_REMOVE, false);

	/* Those that come to lie below the leader's newest are no trouble. */
	f = world();
	f.histories = (Histories){burnt, 7};
	expect(&f, 6, START_COPY, false);
	expect(&f, 7, START_COPY, false);
}

/* What is swept itself hides no burnt file, and ends the row of them. */
static void
a_burnt_file_below_an_abandoned_timeline_goes_with_it(void **state)
{
	static const HistoryFile left[] = {
		{2, HISTORY_REAL, 1000},
		{3, HISTORY_BURNT, 0},
		{4, HISTORY_BURNT, 0},
		{5, HISTORY_REAL, 2000},
		{6, HISTORY_BURNT, 0},
		{7, HISTORY_REAL, 2350},
	};
	StartFacts f = world();

	(void) state;
	f.histories = (Histories){left, 6};
	f.leader_lineage = world_path5();
	f.leader_histories = (Histories){leaders, 4};
	expect_kept(&f, 2, 5);
	expect(&f, 6, START_REMOVE, false);
	expect(&f, 7, START_REMOVE, true);
	f = leaderless();
	f.histories = (Histories){left, 6};
	expect_kept(&f, 2, 7);
}

static void
a_history_ahead_of_its_wal_goes_after_a_refused_promotion(void **state)
{
	static const HistoryFile ahead[] = {
		{2, HISTORY_REAL, 1000},
		{3, HISTORY_BURNT, 0},
		{4, HISTORY_BURNT, 0},
		{5, HISTORY_REAL, 2000},
		{6, HISTORY_REAL, 2400},
		{7, HISTORY_REAL, 2401},
	};
	StartFacts f = leaderless();

	(void) state;
	f.histories = (Histories){ahead, 6};
	expect_kept(&f, 2, 7); /* its WAL may still come */
	f.target_ahead = true;
	expect_kept(&f, 2, 6);
	expect(&f, 7, START_REMOVE, false);

	/* Never that of our own WAL. */
	f.end = 1900;
	expect_kept(&f, 5, 5);
}

static void
pg_control_says_who_has_written(void **state)
{
	StartFacts f = world();

	(void) state;
	assert_int_equal(start_wrote_on(&f), 0);
	f.was_primary = true;
	assert_int_equal(start_wrote_on(&f), 5);
	f.control_timeline = 2; /* whatever newer history lies beside it */
	assert_int_equal(start_wrote_on(&f), 2);
	assert_false(start_is_copy(&f));
	f.backup_label = true; /* it is the pg_control of whom this was copied from */
	assert_int_equal(start_wrote_on(&f), 0);
	assert_true(start_is_copy(&f));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ids_of_the_leader_are_put_in_place),
		cmocka_unit_test(a_fork_before_the_checkpoint_is_removed),
		cmocka_unit_test(a_fork_before_min_recovery_is_removed),
		cmocka_unit_test(nothing_is_put_in_place_for_wal_that_parts_from_the_leaders),
		cmocka_unit_test(timelines_of_neither_path_are_removed),
		cmocka_unit_test(burnt_ids_stay_used_up),
		cmocka_unit_test(a_burnt_file_is_never_the_newest),
		cmocka_unit_test(a_burnt_file_below_an_abandoned_timeline_goes_with_it),
		cmocka_unit_test(a_history_ahead_of_its_wal_goes_after_a_refused_promotion),
		cmocka_unit_test(pg_control_says_who_has_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
