/*
 * test/unit/test_primary_control.c
 *	  Messages of the control channel: what is one, and what is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/control.h"

static ControlMessage
good(ControlType type)
{
	ControlMessage message;

	memset(&message, 0, sizeof(message));
	message.magic = CONTROL_MAGIC;
	message.type = type;
	message.order.node = RAFT_NONE;
	return message;
}

static ControlMessage
order(PrimaryAction action, int32_t node)
{
	ControlMessage message = good(CONTROL_ORDER);

	message.order.action = action;
	message.order.node = node;
	return message;
}

static const char *
verdict(ControlMessage message)
{
	return control_check(&message, sizeof(message));
}

static void
every_type_is_a_message(void **state)
{
	(void) state;
	for (int type = CONTROL_DIRECTORY; type < CONTROL_ORDER; type++)
		assert_null(verdict(good((ControlType) type)));
	assert_null(verdict(order(PRIMARY_RESTART, RAFT_NONE)));
	assert_null(verdict(order(PRIMARY_REWIND, 0)));
	assert_null(verdict(order(PRIMARY_CLONE, RAFT_MAX_NODES - 1)));
	assert_non_null(verdict(good((ControlType) 0)));
	assert_non_null(verdict(good(CONTROL_TYPES)));
}

/* Of a length that is another one too: the version is what a person has to know. */
static void
another_version_is_named_first(void **state)
{
	ControlMessage message = good(CONTROL_STOPS);

	(void) state;
	message.magic++;
	assert_string_equal(control_check(&message, sizeof(message)), "it is of another version of pg_leader");
	assert_string_equal(control_check(&message, sizeof(message) - 8), "it is of another version of pg_leader");
}

static void
another_length_is_none(void **state)
{
	ControlMessage message = good(CONTROL_STOPS);

	(void) state;
	assert_non_null(control_check(&message, 0));
	assert_non_null(control_check(&message, sizeof(message.magic) - 1));
	assert_non_null(control_check(&message, sizeof(message.magic)));
	assert_non_null(control_check(&message, sizeof(message) - 1));
	assert_non_null(control_check(&message, sizeof(message) + 1));
}

static void
a_text_without_an_end_is_none(void **state)
{
	ControlMessage message = good(CONTROL_FOLLOWED);

	(void) state;
	memset(message.text, 'x', sizeof(message.text));
	assert_non_null(verdict(message));
	message.text[sizeof(message.text) - 1] = '\0';
	assert_null(verdict(message));
}

static void
only_orders_for_a_supervisor_count(void **state)
{
	ControlMessage message = order(PRIMARY_RESTART, RAFT_NONE);

	(void) state;
	for (int action = 0; action < PRIMARY_ACTIONS; action++)
	{
		bool obeyed = action == PRIMARY_RESTART || action == PRIMARY_REWIND || action == PRIMARY_CLONE;

		assert_int_equal(verdict(order((PrimaryAction) action, 1)) == NULL, obeyed);
	}
	message.order.reason = PRIMARY_REASONS;
	assert_non_null(verdict(message));
	assert_non_null(verdict(order(PRIMARY_RESTART, RAFT_NONE - 1)));
	assert_non_null(verdict(order(PRIMARY_CLONE, RAFT_MAX_NODES)));
	assert_non_null(verdict(order(PRIMARY_CLONE, RAFT_NONE)));
	assert_non_null(verdict(order(PRIMARY_REWIND, RAFT_NONE)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_a_message),
		cmocka_unit_test(another_version_is_named_first),
		cmocka_unit_test(another_length_is_none),
		cmocka_unit_test(a_text_without_an_end_is_none),
		cmocka_unit_test(only_orders_for_a_supervisor_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
