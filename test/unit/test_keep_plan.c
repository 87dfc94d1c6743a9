/*
 * test/unit/test_keep_plan.c
 *	  What an archive decides: from whom it takes WAL, what it cuts, what holds, and what it serves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../keep/plan.h"

#define SEGMENT UINT64_C(0x100000)

/* A byte of a segment. */
#define AT(segment, offset) ((uint64_t) (segment) *SEGMENT + (offset))

static Lineage own;
static Lineage leads;

static PlanArchive
archive_at(uint32_t timeline, uint64_t durable)
{
	return (PlanArchive){.timeline = timeline, .durable = durable, .segment_size = SEGMENT};
}

/* The same path as far as that timeline, and then another one. */
static void
fork_off(Lineage *lineage, uint32_t timeline, uint64_t fork)
{
	assert_true(lineage_extend(lineage, timeline, fork, lineage));
}

/* ---- source ---- */

static void
taken_from_the_open_one_of_the_highest_term(void **state)
{
	PlanWord members[] = {{true, true, 4}, {true, true, 5}, {true, false, 0}};
	uint64_t term = 3;

	(void) state;
	assert_int_equal(plan_source(members, 3, &term), 1);
	assert_int_equal(term, 5);
}

static void
not_from_one_that_led_before(void **state)
{
	PlanWord members[] = {{true, true, 4}, {false, false, 0}};
	uint64_t term = 5;

	(void) state;
	assert_int_equal(plan_source(members, 2, &term), -1);
	assert_int_equal(term, 5);
}

static void
not_while_a_newer_leader_is_not_open(void **state)
{
	PlanWord members[] = {{true, true, 4}, {true, false, 5}};
	uint64_t term = 4;

	(void) state;
	assert_int_equal(plan_source(members, 2, &term), -1);
	assert_int_equal(term, 5);
}

static void
not_from_one_that_is_silent_or_closed_or_has_no_lease(void **state)
{
	PlanWord silent = {false, true, 4};
	PlanWord closed = {true, false, 4};
	PlanWord no_lease = {true, true, 0};
	uint64_t term = 0;

	(void) state;
	assert_int_equal(plan_source(&no_lease, 1, &term), -1);
	term = 4;
	assert_int_equal(plan_source(&silent, 1, &term), -1);
	assert_int_equal(plan_source(&closed, 1, &term), -1);
}

static void
what_a_silent_one_has_said_raises_no_term(void **state)
{
	PlanWord members[] = {{true, true, 4}, {false, true, 9}};
	uint64_t term = 4;

	(void) state;
	assert_int_equal(plan_source(members, 2, &term), 0);
	assert_int_equal(term, 4);
}

/* ---- begin and cut ---- */

static void
goes_on_in_its_segment(void **state)
{
	PlanArchive archive = archive_at(1, AT(5, 77));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	lineage_first(&leads);
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_false(begin.cuts);
	assert_int_equal(begin.timeline, 1);
	assert_int_equal(begin.durable, AT(5, 77));
	assert_int_equal(begin.start, AT(5, 0));
}

static void
behind_the_fork_it_finishes_the_old_timeline_first(void **state)
{
	PlanArchive archive = archive_at(1, AT(5, 77));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	lineage_first(&leads);
	fork_off(&leads, 3, AT(7, 10));
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_false(begin.cuts);
	assert_int_equal(begin.timeline, 1);
	assert_int_equal(begin.durable, AT(5, 77));
	assert_int_equal(plan_stays(&own, &leads, 1), AT(7, 10));
}

static void
at_the_fork_it_goes_to_the_new_timeline(void **state)
{
	PlanArchive archive = archive_at(1, AT(7, 10));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	lineage_first(&leads);
	fork_off(&leads, 3, AT(7, 10));
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_false(begin.cuts);
	assert_int_equal(begin.timeline, 3);
	assert_int_equal(begin.durable, AT(7, 10));
	assert_int_equal(begin.start, AT(7, 0));
}

static void
ahead_of_the_fork_it_is_cut(void **state)
{
	PlanArchive archive = archive_at(1, AT(9, 500));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	lineage_first(&leads);
	fork_off(&leads, 3, AT(7, 10));
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_true(begin.cuts);
	assert_int_equal(begin.timeline, 3);
	assert_int_equal(begin.durable, AT(7, 10));
	assert_int_equal(begin.start, AT(7, 0));
	assert_int_equal(plan_stays(&own, &leads, 1), AT(7, 10));
}

static void
within_one_segment_it_is_cut_as_well(void **state)
{
	PlanArchive archive = archive_at(1, AT(7, 11));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	lineage_first(&leads);
	fork_off(&leads, 2, AT(7, 10));
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_true(begin.cuts);
	assert_int_equal(begin.durable, AT(7, 10));
}

static void
at_the_boundary_of_a_segment(void **state)
{
	PlanArchive archive = archive_at(1, AT(8, 0));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	lineage_first(&leads);
	fork_off(&leads, 2, AT(8, 0));
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_false(begin.cuts);
	assert_int_equal(begin.timeline, 2);
	assert_int_equal(begin.start, AT(8, 0));
}

static void
a_timeline_that_the_cluster_left_goes_as_a_whole(void **state)
{
	PlanArchive archive = archive_at(2, AT(9, 0));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	fork_off(&own, 2, AT(7, 10));
	lineage_first(&leads);
	fork_off(&leads, 3, AT(6, 10));
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_true(begin.cuts);
	assert_int_equal(begin.timeline, 3);
	assert_int_equal(begin.durable, AT(6, 10));
	assert_int_equal(plan_stays(&own, &leads, 2), 0);
	assert_int_equal(plan_stays(&own, &leads, 1), AT(6, 10));
}

static void
one_number_twice_is_two_timelines(void **state)
{
	PlanArchive archive = archive_at(2, AT(9, 0));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	fork_off(&own, 2, AT(7, 10));
	lineage_first(&leads);
	fork_off(&leads, 2, AT(7, 20));
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_int_equal(begin.durable, AT(7, 10));
	assert_int_equal(begin.timeline, 1);
	assert_int_equal(plan_stays(&own, &leads, 2), 0);
	assert_int_equal(plan_stays(&own, &leads, 1), AT(7, 10));
}

static void
several_forks_are_passed_one_by_one(void **state)
{
	PlanArchive archive = archive_at(1, AT(7, 10));
	PlanBegin	begin;

	(void) state;
	lineage_first(&own);
	lineage_first(&leads);
	fork_off(&leads, 2, AT(7, 10));
	fork_off(&leads, 5, AT(7, 20));
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_int_equal(begin.timeline, 2);
	assert_int_equal(begin.durable, AT(7, 10));
}

static void
what_is_on_the_path_stays(void **state)
{
	(void) state;
	lineage_first(&own);
	fork_off(&own, 2, AT(7, 10));
	lineage_first(&leads);
	fork_off(&leads, 2, AT(7, 10));
	assert_true(plan_stays(&own, &leads, 2) == LINEAGE_NO_END);
	assert_int_equal(plan_stays(&own, &leads, 1), AT(7, 10));
	assert_int_equal(plan_stays(&own, &leads, 4), 0);
}

static void
the_first_begin_is_the_slots_segment(void **state)
{
	PlanArchive archive = archive_at(0, 0);
	PlanBegin	begin;

	(void) state;
	lineage_first(&leads);
	fork_off(&leads, 2, AT(7, 10));
	assert_true(plan_begin_first(&archive, AT(6, 900), &leads, &begin));
	assert_int_equal(begin.timeline, 1);
	assert_int_equal(begin.durable, AT(6, 0));
	assert_int_equal(begin.start, AT(6, 0));
	assert_true(plan_begin_first(&archive, AT(9, 900), &leads, &begin));
	assert_int_equal(begin.timeline, 2);
	assert_false(plan_begin_first(&archive, 0, &leads, &begin));
}

static void
a_gap_is_what_the_slot_begins_behind(void **state)
{
	PlanArchive archive = archive_at(1, AT(5, 77));
	PlanBegin	begin;
	PlanBegin	after;

	(void) state;
	lineage_first(&own);
	lineage_first(&leads);
	assert_true(plan_begin(&archive, &own, &leads, &begin));
	assert_true(plan_gap(&archive, &begin, AT(8, 30), &leads, &after));
	assert_int_equal(after.durable, AT(8, 0));
	assert_int_equal(after.start, AT(8, 0));
	assert_false(plan_gap(&archive, &begin, AT(5, 900), &leads, &after));
	assert_false(plan_gap(&archive, &begin, AT(4, 0), &leads, &after));
	assert_false(plan_gap(&archive, &begin, 0, &leads, &after));
}

/* ---- members ---- */

static void
holds_up_to_the_segment_of_the_archive(void **state)
{
	PlanArchive archive = archive_at(1, AT(5, 77));
	PlanSlot	slot = {.answers = true, .exists = true, .restart = AT(5, 900)};

	(void) state;
	assert_int_equal(plan_holds(&archive, &slot), PLAN_HOLDING);
	slot.restart = AT(6, 0);
	assert_int_equal(plan_holds(&archive, &slot), PLAN_EXPOSED);
	slot.lost = true;
	assert_int_equal(plan_holds(&archive, &slot), PLAN_LOST);
	slot.exists = false;
	assert_int_equal(plan_holds(&archive, &slot), PLAN_CLEAR);
	slot.answers = false;
	assert_int_equal(plan_holds(&archive, &slot), PLAN_DOWN);
	assert_string_equal(plan_holds_name(PLAN_EXPOSED), "Exposed");
}

static void
an_archive_without_wal_lacks_nothing(void **state)
{
	PlanArchive archive = archive_at(0, 0);
	PlanSlot	slot = {.answers = true, .exists = true, .restart = AT(6, 0)};

	(void) state;
	assert_int_equal(plan_holds(&archive, &slot), PLAN_HOLDING);
	assert_int_equal(plan_advance(&archive, &slot, AT(9, 0)), 0);
}

static void
exposed_while_one_that_could_win_does_not_hold(void **state)
{
	PlanHolds all[] = {PLAN_HOLDING, PLAN_HOLDING};
	PlanHolds one[] = {PLAN_HOLDING, PLAN_EXPOSED};
	PlanHolds down[] = {PLAN_HOLDING, PLAN_DOWN};
	PlanHolds none[] = {PLAN_DOWN, PLAN_DOWN};
	PlanHolds clear[] = {PLAN_HOLDING, PLAN_CLEAR};

	(void) state;
	assert_false(plan_is_exposed(all, 2));
	assert_true(plan_is_exposed(one, 2));
	assert_false(plan_is_exposed(down, 2));
	assert_true(plan_is_exposed(none, 2));
	assert_true(plan_is_exposed(clear, 2));
	assert_true(plan_is_exposed(all, 0));
}

static void
advanced_no_further_than_the_archive_is(void **state)
{
	PlanArchive archive = archive_at(1, AT(5, 77));
	PlanSlot	slot = {.answers = true, .exists = true, .restart = AT(3, 0)};

	(void) state;
	assert_int_equal(plan_advance(&archive, &slot, AT(9, 0)), AT(5, 77));
	assert_int_equal(plan_advance(&archive, &slot, AT(4, 30)), AT(4, 30));
	assert_int_equal(plan_advance(&archive, &slot, AT(3, 30)), 0);
	slot.restart = AT(5, 1);
	assert_int_equal(plan_advance(&archive, &slot, AT(9, 0)), 0);
	slot.restart = AT(3, 0);
	slot.lost = true;
	assert_int_equal(plan_advance(&archive, &slot, AT(9, 0)), 0);
}

/* ---- get ---- */

static void
complete_segments_are_served(void **state)
{
	PlanSegment segment = {.complete = true, .later = true, .begin = AT(5, 0), .end = AT(8, 0)};

	(void) state;
	assert_int_equal(plan_get(&segment), PLAN_SERVE);
}

static void
the_last_one_is_served_as_far_as_it_is(void **state)
{
	PlanSegment segment = {.partial = true, .begin = AT(5, 0), .end = AT(5, 77)};

	(void) state;
	assert_int_equal(plan_get(&segment), PLAN_SERVE_PARTIAL);
	segment.is_old = true;
	assert_int_equal(plan_get(&segment), PLAN_SERVE_PARTIAL);
}

static void
what_has_wal_behind_it_is_missing(void **state)
{
	PlanSegment absent = {.later = true, .begin = AT(5, 0), .end = AT(8, 0)};
	PlanSegment partial = {.partial = true, .later = true, .begin = AT(5, 0), .end = AT(8, 0)};
	PlanSegment last = {.begin = AT(5, 0), .end = AT(5, 77)};
	PlanSegment old = {.later = true, .begin = AT(2, 0), .end = AT(8, 0)};

	(void) state;
	assert_int_equal(plan_get(&absent), PLAN_HOLE);
	assert_int_equal(plan_get(&partial), PLAN_HOLE);
	assert_int_equal(plan_get(&last), PLAN_HOLE);
	assert_int_equal(plan_get(&old), PLAN_HOLE);
}

static void
behind_the_end_there_is_nothing(void **state)
{
	PlanSegment segment = {.begin = AT(6, 0), .end = AT(5, 77)};

	(void) state;
	assert_int_equal(plan_get(&segment), PLAN_NOT_THERE);
	segment.begin = segment.end = AT(6, 0);
	assert_int_equal(plan_get(&segment), PLAN_NOT_THERE);
}

static void
nothing_is_served_behind_a_fork(void **state)
{
	PlanSegment segment = {.complete = true, .later = true, .is_old = true, .begin = AT(6, 0), .end = AT(5, 77)};
	PlanSegment other = {.complete = true, .is_old = true, .begin = AT(6, 0), .end = 0};

	(void) state;
	assert_int_equal(plan_get(&segment), PLAN_NOT_THERE);
	assert_int_equal(plan_get(&other), PLAN_NOT_THERE);
}

/* ---- drills ---- */

#define DAY	 86400
#define THEN 1000000

/* A base backup of which nothing is proven, seen at THEN. */
static const PlanDrills unproven = {.now = {3, 500}, .seen_at = THEN};

static PlanDrills
proven_at(int64_t began)
{
	PlanDrills drills = unproven;

	drills.proven = drills.now;
	drills.began_at = began;
	drills.is_good = true;
	return drills;
}

static void
what_is_new_is_proven_once_it_has_settled(void **state)
{
	PlanDrills drills = unproven;

	(void) state;
	assert_false(plan_drill_is_due(&drills, DAY, THEN + PLAN_DRILL_SETTLE - 1));
	assert_true(plan_drill_is_due(&drills, DAY, THEN + PLAN_DRILL_SETTLE));
	assert_false(plan_drill_is_due(&drills, 0, THEN + PLAN_DRILL_SETTLE));
	drills.now.base = 0;
	assert_false(plan_drill_is_due(&drills, DAY, THEN + 10 * DAY));
}

static void
a_failover_and_a_base_backup_are_new(void **state)
{
	PlanDrills failover = proven_at(THEN - 100);
	PlanDrills backup = proven_at(THEN - 100);

	(void) state;
	assert_false(plan_drill_is_due(&failover, DAY, THEN + PLAN_DRILL_SETTLE));
	failover.now.timeline++;
	assert_true(plan_drill_is_due(&failover, DAY, THEN + PLAN_DRILL_SETTLE));
	backup.now.base++;
	assert_true(plan_drill_is_due(&backup, DAY, THEN + PLAN_DRILL_SETTLE));

	/* once: a drill may end before the archive has come that far */
	failover.begun = failover.now;
	failover.began_at = THEN + PLAN_DRILL_SETTLE;
	assert_false(plan_drill_is_due(&failover, DAY, THEN + PLAN_DRILL_SETTLE + 100));
}

static void
proof_gets_old(void **state)
{
	PlanDrills drills = proven_at(THEN);

	(void) state;
	assert_false(plan_drill_is_due(&drills, DAY, THEN + DAY - 1));
	assert_true(plan_drill_is_due(&drills, DAY, THEN + DAY));
}

static void
one_that_failed_is_made_again_later(void **state)
{
	PlanDrills drills = proven_at(THEN);

	(void) state;
	drills.is_good = false;
	drills.now.timeline++;
	assert_false(plan_drill_is_due(&drills, DAY, THEN + PLAN_DRILL_RETRY - 1));
	assert_true(plan_drill_is_due(&drills, DAY, THEN + PLAN_DRILL_RETRY));
	drills.begun = drills.now;
	assert_false(plan_drill_is_due(&drills, DAY, THEN + PLAN_DRILL_RETRY - 1));
	assert_true(plan_drill_is_due(&drills, DAY, THEN + PLAN_DRILL_RETRY));
}

static void
a_clock_that_is_set_back_holds_up_no_drill(void **state)
{
	PlanDrills drills = unproven;

	(void) state;
	assert_true(plan_drill_is_due(&drills, DAY, THEN - DAY));
	drills = proven_at(THEN);
	assert_true(plan_drill_is_due(&drills, DAY, THEN - DAY));
	drills.is_good = false;
	assert_true(plan_drill_is_due(&drills, DAY, THEN - DAY));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_from_the_open_one_of_the_highest_term),
		cmocka_unit_test(not_from_one_that_led_before),
		cmocka_unit_test(not_while_a_newer_leader_is_not_open),
		cmocka_unit_test(not_from_one_that_is_silent_or_closed_or_has_no_lease),
		cmocka_unit_test(what_a_silent_one_has_said_raises_no_term),
		cmocka_unit_test(goes_on_in_its_segment),
		cmocka_unit_test(behind_the_fork_it_finishes_the_old_timeline_first),
		cmocka_unit_test(at_the_fork_it_goes_to_the_new_timeline),
		cmocka_unit_test(ahead_of_the_fork_it_is_cut),
		cmocka_unit_test(within_one_segment_it_is_cut_as_well),
		cmocka_unit_test(at_the_boundary_of_a_segment),
		cmocka_unit_test(a_timeline_that_the_cluster_left_goes_as_a_whole),
		cmocka_unit_test(one_number_twice_is_two_timelines),
		cmocka_unit_test(several_forks_are_passed_one_by_one),
		cmocka_unit_test(what_is_on_the_path_stays),
		cmocka_unit_test(the_first_begin_is_the_slots_segment),
		cmocka_unit_test(a_gap_is_what_the_slot_begins_behind),
		cmocka_unit_test(holds_up_to_the_segment_of_the_archive),
		cmocka_unit_test(an_archive_without_wal_lacks_nothing),
		cmocka_unit_test(exposed_while_one_that_could_win_does_not_hold),
		cmocka_unit_test(advanced_no_further_than_the_archive_is),
		cmocka_unit_test(complete_segments_are_served),
		cmocka_unit_test(the_last_one_is_served_as_far_as_it_is),
		cmocka_unit_test(what_has_wal_behind_it_is_missing),
		cmocka_unit_test(behind_the_end_there_is_nothing),
		cmocka_unit_test(nothing_is_served_behind_a_fork),
		cmocka_unit_test(what_is_new_is_proven_once_it_has_settled),
		cmocka_unit_test(a_failover_and_a_base_backup_are_new),
		cmocka_unit_test(proof_gets_old),
		cmocka_unit_test(one_that_failed_is_made_again_later),
		cmocka_unit_test(a_clock_that_is_set_back_holds_up_no_drill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
