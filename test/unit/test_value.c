/*
 * test/unit/test_value.c
 *	  Values of settings as text are what PostgreSQL makes of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../node/value.h"

static int
truth(const char *text)
{
	bool value = false;

	return value_bool(text, &value) ? value : -1;
}

static void
words_for_yes_and_no(void **state)
{
	const char *const yes[] = {"on", "ON", "true", "t", "tr", "y", "Yes", "1"};
	const char *const no[] = {"off", "of", "false", "F", "n", "no", "0"};
	const char *const none[] = {"", "o", "onn", "maybe", "2", "10", " on"};

	(void) state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_int_equal(truth(yes[i]), 1);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_int_equal(truth(no[i]), 0);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(truth(none[i]), -1);
}

static int
number(const char *text)
{
	int value;

	return value_int(text, &value) ? value : -9999;
}

static void
whole_numbers(void **state)
{
	(void) state;
	assert_int_equal(number("0"), 0);
	assert_int_equal(number("-1"), -1);
	assert_int_equal(number(" 63 "), 63);
	assert_int_equal(number("0x10"), 16);
	assert_int_equal(number("010"), 8);
	assert_int_equal(number("2.6"), 3);
	assert_int_equal(number("2.5"), 2);
	assert_int_equal(number("3.5"), 4);
	assert_int_equal(number("-2.6"), -3);
	assert_int_equal(number("-2.5"), -2);
	assert_int_equal(number("-3.5"), -4);
	assert_int_equal(number("2147483647.0"), 2147483647);
	assert_int_equal(number("2147483648"), -9999);
	assert_int_equal(number("1e2"), 100);
	assert_int_equal(number(""), -9999);
	assert_int_equal(number("one"), -9999);
	assert_int_equal(number("1ms"), -9999);
	assert_int_equal(number("99999999999"), -9999);
	assert_int_equal(number("99999999999999999999999"), -9999);
	assert_int_equal(number("nan"), -9999);
}

static int
milliseconds(const char *text)
{
	int value;

	return value_milliseconds(text, &value) ? value : -9999;
}

static void
times_with_and_without_a_unit(void **state)
{
	(void) state;
	assert_int_equal(milliseconds("200"), 200);
	assert_int_equal(milliseconds("200ms"), 200);
	assert_int_equal(milliseconds("200 ms "), 200);
	assert_int_equal(milliseconds("0.2s"), 200);
	assert_int_equal(milliseconds("1500us"), 2);
	assert_int_equal(milliseconds("1min"), 60000);
	assert_int_equal(milliseconds("1h"), 3600000);
	assert_int_equal(milliseconds("1d"), 86400000);
	assert_int_equal(milliseconds("25d"), -9999);
	assert_int_equal(milliseconds("1S"), -9999); /* units have one case */
	assert_int_equal(milliseconds("1m"), -9999);
	assert_int_equal(milliseconds("s"), -9999);
	assert_int_equal(milliseconds("1s1"), -9999);
}

static void
fractions(void **state)
{
	double value = 7;

	(void) state;
	assert_true(value_real("0.1", &value) && value > 0.09 && value < 0.11);
	assert_true(value_real("5e-1 ", &value) && value > 0.4 && value < 0.6);
	assert_false(value_real("", &value));
	assert_false(value_real("0.1x", &value));
	assert_false(value_real("inf", &value));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_for_yes_and_no),
		cmocka_unit_test(whole_numbers),
		cmocka_unit_test(times_with_and_without_a_unit),
		cmocka_unit_test(fractions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
