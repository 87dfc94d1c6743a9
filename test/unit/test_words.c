/*
 * test/unit/test_words.c
 *	  What went wrong: what is too long is cut, and nothing of an earlier error stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "words.h"

static void
too_long_is_cut(void **state)
{
	static char long_text[3 * WORDS_SIZE];
	Words		words;

	(void) state;
	memset(&words, '?', sizeof(words));
	memset(long_text, 'x', sizeof(long_text) - 1);
	assert_false(words_set(&words, long_text, "the file \"%s\" is long", long_text));
	assert_int_equal(strlen(words.error), WORDS_SIZE - 1);
	assert_int_equal(strlen(words.hint), WORDS_SIZE - 1);
	assert_memory_equal(words.error, "the file \"xxx", 13);
}

static void
nothing_of_an_earlier_error_stays(void **state)
{
	Words words;

	(void) state;
	assert_false(words_set(&words, "Do this.", "%s", "that is wrong"));
	assert_string_equal(words.error, "that is wrong");
	assert_string_equal(words.hint, "Do this.");
	assert_false(words_set(&words, NULL, "another is"));
	assert_string_equal(words.error, "another is");
	assert_string_equal(words.hint, "");
	words_clear(&words);
	assert_string_equal(words.error, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_long_is_cut),
		cmocka_unit_test(nothing_of_an_earlier_error_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
