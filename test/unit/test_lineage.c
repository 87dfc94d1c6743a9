/*
 * test/unit/test_lineage.c
 *	  Timeline histories: what is read and what is refused, and in random trees of
 *	  timelines what a slow and plain reading of the tree says as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lineage.h"
#include "random.h"

static Lineage
read_good(uint32_t timeline, const char *text)
{
	static Lineage lineage;
	Words		   words;

	assert_int_equal(lineage_parse(&lineage, timeline, text, strlen(text), &words), LINEAGE_GOOD);
	assert_string_equal(words.error, "");
	return lineage;
}

static void
what_postgresql_writes_is_read(void **state)
{
	static Lineage lineage;

	(void) state;
	lineage = read_good(5, "1\t0/3000148\tno recovery target specified\n\n"
						   "2\t16/B374D848\tbefore 2026-11-29 04:00:00+00\n"
						   "\n# a comment\n4\t16/b374d848\tno recovery target specified");
	assert_int_equal(lineage.timeline, 5);
	assert_int_equal(lineage.n_ancestors, 3);
	assert_int_equal(lineage.ancestors[0].end, 0x3000148);
	assert_int_equal(lineage.ancestors[1].end, 0x16B374D848);

	assert_int_equal(lineage_begin(&lineage, 1), 0);
	assert_int_equal(lineage_end(&lineage, 1), 0x3000148);
	assert_int_equal(lineage_begin(&lineage, 2), 0x3000148);
	assert_int_equal(lineage_end(&lineage, 5), LINEAGE_NO_END);
	/* of no length */
	assert_int_equal(lineage_begin(&lineage, 4), lineage_end(&lineage, 4));
	assert_int_equal(lineage_timeline_of(&lineage, 0x16B374D848), 5);
	assert_true(lineage_has(&lineage, 4));
	assert_false(lineage_has(&lineage, 3));
	assert_int_equal(lineage_begin(&lineage, 3), LINEAGE_NO_END);
	assert_int_equal(lineage_end(&lineage, 3), 0);
}

static void
an_end_belongs_to_what_was_written_last(void **state)
{
	static Lineage lineage;

	(void) state;
	lineage = read_good(2, "1\t0/3000148\tx\n");
	assert_int_equal(lineage_timeline_of(&lineage, 0x3000147), 1);
	assert_int_equal(lineage_timeline_of(&lineage, 0x3000148), 2);
	assert_int_equal(lineage_timeline_before(&lineage, 0x3000148), 1);
	assert_int_equal(lineage_timeline_before(&lineage, 0x3000149), 2);
	assert_int_equal(lineage_timeline_before(&lineage, 0), 1);

	assert_true(lineage_holds(&lineage, 1, 0x3000148));
	assert_false(lineage_holds(&lineage, 1, 0x3000149));
	assert_false(lineage_holds(&lineage, 2, 0x3000148));
	assert_true(lineage_holds(&lineage, 2, 0x3000149));
	assert_false(lineage_holds(&lineage, 3, 0x3000149));
	assert_false(lineage_holds(&lineage, 1, 0));
}

static void
a_file_of_comments_is_a_burnt_id(void **state)
{
	static Lineage lineage;
	Words		   words;
	const char	  *texts[] = {"", "\n", "# burnt", "# burnt\n \t\n"};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(lineage_parse(&lineage, 7, texts[i], strlen(texts[i]), &words), LINEAGE_BURNT);
}

static void
what_no_history_can_be_is_refused(void **state)
{
	static Lineage lineage;
	Words		   words;
	const struct
	{
		uint32_t	timeline;
		const char *text;
		const char *error;
	} cases[] = {
		{3, "one\t0/1\tx\n", "line 1: it does not begin with the id of a timeline"},
		{3, "-1\t0/1\n", "line 1: it does not begin with the id of a timeline"},
		{3, "4294967297\t0/1\n", "line 1: an ancestor's id is not below that of its descendant"},
		{3, "99999999999999999999999\t0/1\n", "line 1: an ancestor's id is not below that of its descendant"},
		{0x7FFFFFFF, "2147483648\t0/1\n", "line 1: an ancestor's id is not below that of its descendant"},
		{3, "1\n", "line 1: the id is not followed by an LSN"},
		{3, "1\t0\n", "line 1: the id is not followed by an LSN"},
		{3, "1\t0/\n", "line 1: the id is not followed by an LSN"},
		{3, "1\t/1\n", "line 1: the id is not followed by an LSN"},
		{3, "1\t0/123456789\n", "line 1: the id is not followed by an LSN"},
		{3, "1\t123456789/0\n", "line 1: the id is not followed by an LSN"},
		{3, "1\t0/1x\n", "line 1: the id is not followed by an LSN"},
		{3, "10/1\n", "line 1: the id is not followed by an LSN"},
		{3, "1\t0/1\n1\t0/2\n", "line 2: the ids do not rise"},
		{4, "2\t0/1\n1\t0/2\n", "line 2: the ids do not rise"},
		{3, "3\t0/1\n", "line 1: an ancestor's id is not below that of its descendant"},
		{3, "1\t0/2\n2\t0/1\n", "line 2: a timeline ends before it begins"},
		{3, "0\t0/1\n", "line 1: there is no timeline 0"},
		{3, "1\t0/0\n", "line 1: 0/0 is no end of a timeline"},
		{3, "1\tFFFFFFFF/ffffffff\n", "line 1: FFFFFFFF/FFFFFFFF is no end of a timeline"},
		{1, "", "timeline 1 has no history file"},
		{0, "", "timeline 0 has no history file"},
		{0x80000000, "1\t0/1\n", "timeline 2147483648 has no history file"},
		{UINT32_MAX, "1\t0/1\n", "timeline 4294967295 has no history file"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_int_equal(lineage_parse(&lineage, cases[i].timeline, cases[i].text, strlen(cases[i].text), &words),
						 LINEAGE_BAD);
		if (strstr(words.error, cases[i].error) == NULL)
			fail_msg("\"%s\": %s", cases[i].text, words.error);
	}
	assert_int_equal(lineage_parse(&lineage, 3, "1\t0/1\0\n", 7, &words), LINEAGE_BAD);
	assert_non_null(strstr(words.error, "a zero byte"));
}

static void
too_many_ancestors_are_refused(void **state)
{
	static char	   text[(LINEAGE_ANCESTORS + 1) * 32];
	static Lineage lineage;
	size_t		   length = 0;
	Words		   words;

	(void) state;
	for (int i = 1; i <= LINEAGE_ANCESTORS; i++)
		length += (size_t) snprintf(text + length, sizeof(text) - length, "%d\t0/%X\n", i, (unsigned) i);
	assert_int_equal(lineage_parse(&lineage, 10000, text, length, &words), LINEAGE_GOOD);
	assert_false(lineage_extend(&lineage, 10001, 0xFFFFFF, &lineage));
	length += (size_t) snprintf(text + length, sizeof(text) - length, "9000\t0/FFFF\n");
	assert_int_equal(lineage_parse(&lineage, 10000, text, length, &words), LINEAGE_BAD);
	assert_non_null(strstr(words.error, "too many ancestors"));
}

static void
only_an_lsn_is_read_as_one(void **state)
{
	const char *wrong[] = {"", "/", "1", "1/", "/1", "1/1 ", " 1/1", "1/g", "123456789/1", "1/123456789", "0x1/1"};
	uint64_t	lsn;

	(void) state;
	assert_true(lineage_read_lsn("16/B374D848", &lsn));
	assert_int_equal(lsn, 0x16B374D848);
	assert_true(lineage_read_lsn("FFFFFFFF/ffffffff", &lsn));
	assert_int_equal(lsn, UINT64_MAX);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(lineage_read_lsn(wrong[i], &lsn));
}

static void
a_new_timeline_forks_off_where_it_can(void **state)
{
	static Lineage parent;
	static Lineage child;

	(void) state;
	parent = read_good(3, "1\t0/1000\tx\n");
	assert_true(lineage_extend(&parent, 4, 0x1000, &child));
	assert_true(lineage_extend(&parent, 9, 0x2000, &child));
	assert_int_equal(child.timeline, 9);
	assert_int_equal(lineage_end(&child, 3), 0x2000);
	assert_true(lineage_is_prefix(&parent, &child));
	assert_false(lineage_is_prefix(&child, &parent));

	assert_false(lineage_extend(&parent, 3, 0x2000, &child));
	assert_false(lineage_extend(&parent, 2, 0x2000, &child));
	assert_false(lineage_extend(&parent, 4, 0xFFF, &child));
	assert_false(lineage_extend(&parent, 0x80000000, 0x2000, &child));
	assert_false(lineage_extend(&parent, 4, LINEAGE_NO_END, &child));
	lineage_first(&parent);
	assert_false(lineage_extend(&parent, 2, 0, &child));
}

/* Two servers have promoted themselves to one id, at different places. */
static void
a_path_can_be_cut(void **state)
{
	Lineage first;
	Lineage parent;
	Lineage child;
	Lineage cut;

	(void) state;
	lineage_first(&first);
	assert_true(lineage_extend(&first, 3, 0x1000, &parent));
	assert_true(lineage_extend(&parent, 7, 0x2000, &child));
	assert_true(lineage_until(&child, 3, &cut));
	assert_true(lineage_is_prefix(&cut, &parent) && lineage_is_prefix(&parent, &cut));
	assert_true(lineage_until(&child, 7, &cut));
	assert_int_equal(cut.n_ancestors, child.n_ancestors);
	assert_true(lineage_until(&child, 1, &cut));
	assert_int_equal(cut.n_ancestors, 0);
	assert_false(lineage_until(&child, 5, &cut));
}

static void
an_id_that_was_used_twice_is_no_prefix(void **state)
{
	static Lineage one;
	static Lineage other;

	(void) state;
	one = read_good(2, "1\t0/1000\tx\n");
	other = read_good(2, "1\t0/2000\tx\n");
	assert_false(lineage_is_prefix(&one, &other));
	assert_false(lineage_is_prefix(&other, &one));
	assert_int_equal(lineage_fork(&one, &other), 0x1000);
	assert_int_equal(lineage_common_end(&other, 0x3000, &one), 0x1000);
	assert_int_equal(lineage_common_end(&other, 0x800, &one), 0x800);
}

static void
a_segment_belongs_where_its_bytes_do(void **state)
{
	const uint32_t size = 16 * 1024 * 1024;
	static Lineage lineage;

	(void) state;
	/* timeline 1 ends in segment 3, timeline 2 at the end of segment 4 */
	lineage = read_good(5, "1\t0/3000148\tx\n2\t0/5000000\tx\n");
	for (uint64_t segment = 0; segment < 8; segment++)
	{
		assert_int_equal(lineage_has_segment(&lineage, 1, segment, size), segment <= 3);
		assert_int_equal(lineage_has_segment(&lineage, 2, segment, size), segment == 3 || segment == 4);
		assert_int_equal(lineage_has_segment(&lineage, 5, segment, size), segment >= 5);
		assert_false(lineage_has_segment(&lineage, 3, segment, size));
	}
	assert_false(lineage_has_segment(&lineage, 5, UINT64_MAX / size, size));
}

/* ---- random trees ---- */

#define TREES	  200
#define TIMELINES 24
#define WAL_BYTES 4096

static struct
{
	Lineage	 lineage;
	int		 parent; /* -1: the first */
	uint64_t fork;
} tree[TIMELINES];

static uint64_t random_state = 1;

/* Ids rise as they do with claims; forks at few places, so that many are equal. */
static void
grow_tree(void)
{
	lineage_first(&tree[0].lineage);
	tree[0].parent = -1;
	tree[0].fork = 0;
	for (int i = 1; i < TIMELINES; i++)
	{
		uint64_t least;
		uint32_t id = tree[i - 1].lineage.timeline + 1 + random_below(&random_state, 3);

		tree[i].parent = (int) random_below(&random_state, (uint32_t) i);
		least = tree[tree[i].parent].fork;
		tree[i].fork = least + 64 * random_below(&random_state, 4);
		if (tree[i].fork == 0)
			tree[i].fork = 64;
		assert_true(lineage_extend(&tree[tree[i].parent].lineage, id, tree[i].fork, &tree[i].lineage));
	}
}

/* The node of the tree whose timeline the byte is on, as seen from a node. */
static int
plain_owner(int i, uint64_t lsn)
{
	while (tree[i].parent >= 0 && lsn < tree[i].fork)
		i = tree[i].parent;
	return i;
}

static bool
plain_is_ancestor(int a, int b)
{
	while (b >= 0 && b != a)
		b = tree[b].parent;
	return b == a;
}

static uint64_t
plain_fork(int a, int b)
{
	for (uint64_t lsn = 0; lsn < WAL_BYTES; lsn += 64)
	{
		if (plain_owner(a, lsn) != plain_owner(b, lsn))
			return lsn;
	}
	return LINEAGE_NO_END;
}

static void
check_bytes(int i)
{
	const Lineage *lineage = &tree[i].lineage;

	for (uint64_t lsn = 0; lsn < WAL_BYTES; lsn += 32)
	{
		uint32_t timeline = tree[plain_owner(i, lsn)].lineage.timeline;

		assert_int_equal(lineage_timeline_of(lineage, lsn), timeline);
		assert_int_equal(lineage_timeline_before(lineage, lsn + 1), timeline);
		assert_true(lineage_holds(lineage, timeline, lsn + 1));
		assert_true(lineage_begin(lineage, timeline) <= lsn && lsn < lineage_end(lineage, timeline));
	}
}

static void
check_pair(int a, int b)
{
	const Lineage *x = &tree[a].lineage;
	const Lineage *y = &tree[b].lineage;
	uint64_t	   fork = lineage_fork(x, y);
	uint64_t	   end = random_below(&random_state, WAL_BYTES);
	uint64_t	   common = lineage_common_end(x, end, y);

	assert_int_equal(fork, plain_fork(a, b));
	assert_int_equal(fork, lineage_fork(y, x));
	assert_int_equal(fork == LINEAGE_NO_END, a == b);
	assert_int_equal(lineage_is_prefix(x, y), plain_is_ancestor(a, b));
	assert_true(common <= end && common <= fork && (common == end || common == fork));
	/* what both have is held by both */
	if (common > 0)
		assert_true(lineage_holds(y, lineage_timeline_before(x, common), common));
	if (common < end)
		assert_int_not_equal(lineage_timeline_of(x, common), lineage_timeline_of(y, common));
}

/* As PostgreSQL writes it. */
static void
check_round_trip(int i)
{
	static char	   text[TIMELINES * 40];
	static Lineage again;
	const Lineage *lineage = &tree[i].lineage;
	size_t		   length = 0;
	Words		   words;

	for (int j = 0; j < lineage->n_ancestors; j++)
		length += (size_t) snprintf(text + length, sizeof(text) - length, "%s%u\t%X/%X\tno recovery target specified\n",
									j > 0 ? "\n" : "", lineage->ancestors[j].timeline,
									(unsigned) (lineage->ancestors[j].end >> 32), (unsigned) lineage->ancestors[j].end);
	if (i == 0)
		return;
	assert_int_equal(lineage_parse(&again, lineage->timeline, text, length, &words), LINEAGE_GOOD);
	assert_int_equal(again.n_ancestors, lineage->n_ancestors);
	assert_true(lineage_is_prefix(&again, lineage) && lineage_is_prefix(lineage, &again));
}

static void
random_trees_are_what_they_look_like(void **state)
{
	(void) state;
	for (int turn = 0; turn < TREES; turn++)
	{
		grow_tree();
		for (int a = 0; a < TIMELINES; a++)
		{
			check_bytes(a);
			check_round_trip(a);
			for (int b = 0; b < TIMELINES; b++)
				check_pair(a, b);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_postgresql_writes_is_read),
		cmocka_unit_test(an_end_belongs_to_what_was_written_last),
		cmocka_unit_test(a_file_of_comments_is_a_burnt_id),
		cmocka_unit_test(what_no_history_can_be_is_refused),
		cmocka_unit_test(too_many_ancestors_are_refused),
		cmocka_unit_test(only_an_lsn_is_read_as_one),
		cmocka_unit_test(a_new_timeline_forks_off_where_it_can),
		cmocka_unit_test(an_id_that_was_used_twice_is_no_prefix),
		cmocka_unit_test(a_segment_belongs_where_its_bytes_do),
		cmocka_unit_test(random_trees_are_what_they_look_like),
		cmocka_unit_test(a_path_can_be_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
