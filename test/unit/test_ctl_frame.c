/*
 * test/unit/test_ctl_frame.c
 *	  A picture of a live screen: what is cut off, and what is marked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../tools/ctl_frame.h"

/* The frame with its codes in words that can be read: [bold] <normal>, "$" for the end of a line. */
static const char *
frame(const char *text, const char *before, int rows, int columns)
{
	static char readable[4096];
	char	   *bytes = ctl_frame(text, before, rows, columns);
	size_t		length = 0;
	const struct
	{
		const char *code;
		const char *shown;
	} codes[] = {{"\033[H", ""}, {"\033[J", ""}, {"\033[K", "$"}, {"\033[1m", "["}, {"\033[0m", "]"}};

	assert_non_null(bytes);
	assert_memory_equal(bytes, "\033[H", 3);
	assert_string_equal(bytes + strlen(bytes) - 3, "\033[J");
	for (const char *at = bytes; *at != '\0';)
	{
		size_t i = 0;

		while (i < 5 && strncmp(at, codes[i].code, strlen(codes[i].code)) != 0)
			i++;
		if (i == 5)
			length += (size_t) snprintf(readable + length, sizeof(readable) - length, "%c", *at++);
		else
		{
			length += (size_t) snprintf(readable + length, sizeof(readable) - length, "%s", codes[i].shown);
			at += strlen(codes[i].code);
		}
	}
	free(bytes);
	return readable;
}

static void
the_first_one_marks_nothing(void **state)
{
	(void) state;
	assert_string_equal(frame("now\n\na | b\n", "", 10, 40), "now$\n$\na | b$");
	assert_string_equal(frame("", "", 10, 40), "");
}

static void
lines_are_cut_at_the_width(void **state)
{
	(void) state;
	assert_string_equal(frame("12345\n123456789\n", "", 10, 6), "12345$\n1234>$");
	assert_string_equal(frame("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\n", "", 10, 5), "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f$");
	assert_string_equal(frame("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\n", "", 10, 4), "\xc3\xa4\xc3\xb6>$");
	assert_string_equal(frame("a\033[2J\tb\n", "", 10, 40), "a [2J b$"); /* nobody's codes but ours */
	assert_string_equal(frame("now\nlonger\n", "now\nx\n", 10, 5), "now$\n[lon]>$");
}

static void
rows_that_do_not_fit_are_counted(void **state)
{
	(void) state;
	assert_string_equal(frame("a\nb\nc\n", "", 3, 40), "a$\nb$\nc$");
	assert_string_equal(frame("a\nb\nc\nd\n", "", 3, 40), "a$\nb$\n(2 more lines)$");
}

static void
new_lines_are_marked(void **state)
{
	(void) state;
	assert_string_equal(frame("12:01\nsame\nother\n", "12:00\nsame\nthat\n", 10, 40), "12:01$\nsame$\n[other]$");
	assert_string_equal(frame("t\nnode 1: heard 1.5 s ago, 3 kB\n", "t\nnode 1: heard 12.5 s ago, 10 MB\n", 10, 60),
						"t$\nnode 1: heard 1.5 s ago, 3 kB$");
	assert_string_equal(frame("t\nnode 1: down\n", "t\nnode 2: down\n", 10, 60), "t$\n[node 1: down]$");
	assert_string_equal(frame("t\n5 servers\n", "t\n6 servers\n", 10, 60), "t$\n[5 servers]$");
}

static void
of_tables_the_cells_are_marked(void **state)
{
	const char *before = "t\n node | state | timeline |  lag\n 0 | open |  2 | -\n 1 | up   |  2 | 13 kB, 0.2 s\n";

	(void) state;
	assert_string_equal(frame("t\n 0 | open |  2 | -\n 1 | up   |  3 | 0 B\n", before, 10, 60),
						"t$\n 0 | open |  2 | -$\n 1 | up   |[  3 ]| 0 B$");
	assert_string_equal(frame("t\n 0 | closed | 2 | 7 ms\n", before, 10, 60), "t$\n 0 |[ closed ]| 2 |[ 7 ms]$");
	assert_string_equal(frame("t\n 7 | open | 2 | -\n", before, 10, 60), "t$\n[ 7 | open | 2 | -]$");
	assert_string_equal(frame("t\n 1 | up | 2 | 9 B | more\n", before, 10, 60), "t$\n 1 | up | 2 | 9 B |[ more]$");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_one_marks_nothing),
		cmocka_unit_test(lines_are_cut_at_the_width),
		cmocka_unit_test(rows_that_do_not_fit_are_counted),
		cmocka_unit_test(new_lines_are_marked),
		cmocka_unit_test(of_tables_the_cells_are_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
