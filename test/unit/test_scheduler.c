/*
 * test/unit/test_scheduler.c
 *	  What is asked of the scheduler is asked for, and nothing else is changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../node/scheduler.h"

/* struct sched_attr of the kernel, by its words of 8 bytes. */
enum
{
	SIZE_AND_POLICY,
	FLAGS,
	NICE_AND_PRIORITY,
	RUNTIME,
	DEADLINE,
	PERIOD,
	WORDS
};

static void
read_attributes(uint64_t attributes[WORDS])
{
	memset(attributes, 0, WORDS * sizeof(attributes[0]));
	assert_int_equal(syscall(SYS_sched_getattr, 0, attributes, WORDS * sizeof(attributes[0]), 0), 0);
}

/* In a child, whose niceness is its own business. */
static int
in_a_child(void (*test)(void))
{
	int	  status;
	pid_t child = fork();

	if (child == 0)
	{
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void
ask_while_nice(void)
{
	uint64_t before[WORDS];
	uint64_t after[WORDS];

	if (setpriority(PRIO_PROCESS, 0, 19) != 0)
		_exit(1);
	read_attributes(before);
	if (!scheduler_ask_for_short_turns())
		_exit(2);
	read_attributes(after);

	/* an earlier kernel says 0 for it, before and after */
	if (before[RUNTIME] != 0 && after[RUNTIME] != 100000)
		_exit(3);
	after[RUNTIME] = before[RUNTIME];
	if (memcmp(before, after, sizeof(before)) != 0 || getpriority(PRIO_PROCESS, 0) != 19)
		_exit(4);
}

static void
turns_become_short_and_nothing_else_changes(void **state)
{
	(void) state;
	assert_int_equal(in_a_child(ask_while_nice), 0);
}

static void
ask_as_batch(void)
{
	struct sched_param none = {0};

	if (sched_setscheduler(0, SCHED_BATCH, &none) != 0)
		_exit(1);
	if (!scheduler_ask_for_short_turns() || sched_getscheduler(0) != SCHED_BATCH)
		_exit(2);
}

/* Whoever has chosen another policy for the server is left alone. */
static void
another_policy_stays(void **state)
{
	(void) state;
	assert_int_equal(in_a_child(ask_as_batch), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(turns_become_short_and_nothing_else_changes),
		cmocka_unit_test(another_policy_stays),
	};

	return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
