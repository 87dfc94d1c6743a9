/*
 * test/unit/test_primary_health.c
 *	  Can a server still serve: what stands still for the timeout, and what only looks so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../primary/health.h"

#define TIMEOUT 1000
#define LOOK	100

/* A server that has not changed for so many looks; the last answer. */
static PrimaryHealth
looks(HealthWatch *watch, HealthFacts *facts, int n)
{
	PrimaryHealth health = PRIMARY_HEALTHS;

	while (n-- > 0)
	{
		health = health_look(watch, facts);
		facts->now += LOOK;
	}
	return health;
}

static HealthFacts
begin(void)
{
	return (HealthFacts){.now = 5000000, .timeout = TIMEOUT, .written = 70, .flushed = 70};
}

static void
an_idle_server_is_healthy(void **state)
{
	HealthWatch watch = {0};
	HealthFacts facts = begin();

	(void) state;
	assert_int_equal(looks(&watch, &facts, 100), PRIMARY_HEALTHY);
	facts.written = 60; /* flushed since */
	assert_int_equal(looks(&watch, &facts, 100), PRIMARY_HEALTHY);
}

static void
a_disk_that_hangs_for_the_timeout(void **state)
{
	HealthWatch watch = {0};
	HealthFacts facts = begin();

	(void) state;
	facts.written = 90;
	assert_int_equal(looks(&watch, &facts, 10), PRIMARY_HEALTHY);
	facts.written = 95; /* which others still do */
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTH_DISK_HUNG);
	facts.flushed = 80;
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTHY);
}

static void
a_slow_disk_that_moves_is_healthy(void **state)
{
	HealthWatch watch = {0};
	HealthFacts facts = begin();

	(void) state;
	for (int i = 0; i < 50; i++)
	{
		facts.flushed++;
		facts.written = facts.flushed + 1000;
		assert_int_equal(looks(&watch, &facts, 10), PRIMARY_HEALTHY);
	}
}

static void
it_begins_to_hang_when_there_is_something_to_flush(void **state)
{
	HealthWatch watch = {0};
	HealthFacts facts = begin();

	(void) state;
	looks(&watch, &facts, 100);
	facts.written = 90;
	assert_int_equal(looks(&watch, &facts, 9), PRIMARY_HEALTHY);
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTH_DISK_HUNG);
}

static void
a_role_worker_that_does_not_get_on(void **state)
{
	HealthWatch watch = {0};
	HealthFacts facts = begin();

	(void) state;
	assert_int_equal(looks(&watch, &facts, 100), PRIMARY_HEALTHY); /* it has not begun */
	facts.steps = 1;
	assert_int_equal(looks(&watch, &facts, 10), PRIMARY_HEALTHY);
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTH_WORKER_HUNG);
	facts.steps++;
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTHY);
	facts.written = 90;
	assert_int_equal(looks(&watch, &facts, 11), PRIMARY_HEALTH_DISK_HUNG); /* which is why */
}

static void
connections_that_get_no_answer(void **state)
{
	HealthWatch watch = {0};
	HealthFacts facts = begin();

	(void) state;
	facts.silence = TIMEOUT - 1;
	assert_int_equal(looks(&watch, &facts, 100), PRIMARY_HEALTHY); /* nobody looks any more */
	facts.silence = TIMEOUT;
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTH_NO_ANSWER);
	facts.silence = 0;
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTHY);
}

/* This process was stopped, and the others with it, perhaps; or its clock has been set back. */
static void
who_was_asleep_looks_again_first(void **state)
{
	HealthWatch watch = {0};
	HealthFacts facts = begin();

	(void) state;
	facts.written = 90;
	facts.steps = 1;
	looks(&watch, &facts, 3);
	facts.now += 100 * TIMEOUT;
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTHY);
	facts.now -= 200 * TIMEOUT;
	assert_int_equal(looks(&watch, &facts, 1), PRIMARY_HEALTHY);
	assert_int_equal(looks(&watch, &facts, 10), PRIMARY_HEALTH_DISK_HUNG);
}

static void
what_is_grave(void **state)
{
	(void) state;
	assert_false(health_is_grave(PRIMARY_HEALTHY));
	assert_true(health_is_grave(PRIMARY_HEALTH_DISK_HUNG));
	assert_true(health_is_grave(PRIMARY_HEALTH_WORKER_HUNG));
	assert_true(health_is_grave(PRIMARY_HEALTH_NO_ANSWER));
	assert_false(health_is_grave(PRIMARY_HEALTH_NO_ROOM));
	assert_false(health_is_grave(PRIMARY_HEALTH_TOO_SMALL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_server_is_healthy),
		cmocka_unit_test(a_disk_that_hangs_for_the_timeout),
		cmocka_unit_test(a_slow_disk_that_moves_is_healthy),
		cmocka_unit_test(it_begins_to_hang_when_there_is_something_to_flush),
		cmocka_unit_test(a_role_worker_that_does_not_get_on),
		cmocka_unit_test(connections_that_get_no_answer),
		cmocka_unit_test(who_was_asleep_looks_again_first),
		cmocka_unit_test(what_is_grave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
