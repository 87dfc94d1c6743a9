/*
 * test/unit/test_placeholders.c
 *	  What stands behind a percent sign in pg_leader.notify_command.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "placeholders.h"

static const PlaceholderValues values = {
	.event = "lost_lease", .term = UINT64_MAX, .leader_id = 2, .leader_address = "[::1]:7", .node_id = 63};

static void
each_has_its_meaning(void **state)
{
	PlaceholderValues nobody = {.event = "new_leader", .leader_id = -1, .leader_address = "none"};
	char			  text[128];

	(void) state;
	assert_true(placeholders_fill("x %e %t %l '%a' %n 100%%", &values, text, sizeof(text)));
	assert_string_equal(text, "x lost_lease 18446744073709551615 2 '[::1]:7' 63 100%");
	assert_true(placeholders_fill("%e%l%a%t", &nobody, text, sizeof(text)));
	assert_string_equal(text, "new_leadernonenone0");
	assert_true(placeholders_fill("", &nobody, text, sizeof(text)));
	assert_string_equal(text, "");
}

static void
what_is_too_long_is_refused(void **state)
{
	char text[11];

	(void) state;
	assert_true(placeholders_fill("%e", &values, text, sizeof(text)));
	assert_false(placeholders_fill("%e", &values, text, sizeof(text) - 1));
	assert_false(placeholders_fill("%e ", &values, text, sizeof(text)));
}

static void
others_are_refused(void **state)
{
	Words words;

	(void) state;
	assert_true(placeholders_check("", &words));
	assert_true(placeholders_check("%e%t%l%a%n%%", &words));
	assert_false(placeholders_check("a %e %p", &words));
	assert_string_equal(words.error, "it has an unknown placeholder \"%p\"");
	assert_non_null(strstr(words.hint, "%e (event)"));
	assert_false(placeholders_check("a 100%", &words));
	assert_string_equal(words.error, "it ends in a single \"%\"");
	assert_false(placeholders_check("a %\xc3\xa4", &words));
	assert_string_equal(words.error, "it has an unknown placeholder \"%?\"");
	assert_false(placeholders_check("%%%", &words));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_meaning),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
