/*
 * test/unit/test_primary_ended.c
 *	  What has ended a server: an order, a crash, or the supervisor itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../primary/ended.h"

static void
a_stop_by_a_person_is_an_order(void **state)
{
	EndedFacts f = {.ran = true};

	(void) state;
	assert_int_equal(ended_why(&f), ENDED_ORDER);
	f.reading = true;
	assert_int_equal(ended_why(&f), ENDED_ORDER);
	assert_false(ended_reading(&f));
}

static void
a_crash_and_a_signal_are_none(void **state)
{
	EndedFacts crash = {.ran = true, .status = 1};
	EndedFacts killed = {.ran = true, .signaled = true};

	(void) state;
	assert_int_equal(ended_why(&crash), ENDED_DEATH);
	assert_int_equal(ended_why(&killed), ENDED_DEATH);
}

static void
what_the_supervisor_stops_is_its_own_affair(void **state)
{
	EndedFacts f = {.asked = true, .ran = true, .signaled = true, .reading = true};

	(void) state;
	assert_int_equal(ended_why(&f), ENDED_ASKED);
	f.signaled = false;
	f.status = 1;
	assert_int_equal(ended_why(&f), ENDED_ASKED);
	assert_false(ended_reading(&f));
}

static void
a_program_that_cannot_be_run_has_not_crashed(void **state)
{
	EndedFacts f = {.status = 127, .reading = true};

	(void) state;
	assert_int_equal(ended_why(&f), ENDED_NO_START);
	assert_false(ended_reading(&f));
}

static void
only_wal_that_cannot_be_read_counts(void **state)
{
	EndedFacts f = {.ran = true, .status = 1, .reading = true};

	(void) state;
	assert_true(ended_reading(&f));
	f.no_room = true;
	assert_false(ended_reading(&f));
	f.no_room = false;
	f.signaled = true;
	assert_false(ended_reading(&f));
	f.signaled = false;
	f.reading = false;
	assert_false(ended_reading(&f));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stop_by_a_person_is_an_order),
		cmocka_unit_test(a_crash_and_a_signal_are_none),
		cmocka_unit_test(what_the_supervisor_stops_is_its_own_affair),
		cmocka_unit_test(a_program_that_cannot_be_run_has_not_crashed),
		cmocka_unit_test(only_wal_that_cannot_be_read_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
