/*
 * test/unit/test_primary_news.c
 *	  What pg_leader.notify_command is told next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../primary/news.h"

#define SELF 1

/* This member leads, with a lease; another one does; nobody does. */
static NewsSeen
leads(uint64_t term)
{
	return (NewsSeen){.self = SELF, .has_lease = true, .lease_term = term, .leader_id = SELF, .term = term};
}

static NewsSeen
follows(int32_t leader, uint64_t term)
{
	return (NewsSeen){.self = SELF, .leader_id = leader, .term = term};
}

/* The next step is that one; it is told. */
static void
step(NewsTold *told, NewsSeen seen, bool leaving, NewsKind kind, uint64_t term, int32_t leader)
{
	News news = news_next(told, &seen, leaving);

	assert_int_equal(news.kind, kind);
	if (kind == NEWS_NONE)
		return;
	assert_int_equal(news.term, term);
	assert_int_equal(news.leader_id, leader);
	news_told(told, &news);
}

static void
nothing(NewsTold *told, NewsSeen seen, bool leaving)
{
	step(told, seen, leaving, NEWS_NONE, 0, 0);
}

static void
a_new_command_is_told_what_is(void **state)
{
	NewsTold at_leader = {0};
	NewsTold at_other = {0};
	NewsTold alone = {0};

	(void) state;
	step(&at_leader, leads(7), false, NEWS_GAINED, 7, SELF);
	nothing(&at_leader, leads(7), false);
	step(&at_other, follows(0, 7), false, NEWS_LOST, 0, 0);
	step(&at_other, follows(0, 7), false, NEWS_LEADER, 7, 0);
	nothing(&at_other, follows(0, 7), false);
	step(&alone, follows(RAFT_NONE, 7), false, NEWS_LOST, 0, RAFT_NONE);
	nothing(&alone, follows(RAFT_NONE, 7), false);
}

/* Member 0 is no less a leader than others. */
static void
the_first_leader_told_may_be_member_0(void **state)
{
	NewsTold told = {0};

	(void) state;
	step(&told, follows(RAFT_NONE, 0), false, NEWS_LOST, 0, RAFT_NONE);
	step(&told, follows(0, 0), false, NEWS_LEADER, 0, 0);
}

static void
a_lease_that_was_told_is_lost_before_all_else(void **state)
{
	NewsTold told = {0};

	(void) state;
	step(&told, leads(7), false, NEWS_GAINED, 7, SELF);
	step(&told, follows(2, 8), false, NEWS_LOST, 7, 2);
	step(&told, follows(2, 8), false, NEWS_LEADER, 8, 2);
	step(&told, leads(9), false, NEWS_GAINED, 9, SELF);
	step(&told, leads(11), false, NEWS_LOST, 9, RAFT_NONE);
	step(&told, leads(11), false, NEWS_GAINED, 11, SELF);
}

static void
only_the_last_of_several_leaders_is_told(void **state)
{
	NewsTold told = {0};

	(void) state;
	step(&told, follows(0, 3), false, NEWS_LOST, 0, 0);
	step(&told, follows(2, 5), false, NEWS_LEADER, 5, 2);
	step(&told, follows(2, 6), false, NEWS_LEADER, 6, 2);
	nothing(&told, follows(RAFT_NONE, 7), false);
	nothing(&told, follows(2, 6), false);
}

/* Who leads and has no lease yet, or no longer, is no other leader. */
static void
a_leader_without_a_lease_is_no_news(void **state)
{
	NewsTold told = {0};

	(void) state;
	step(&told, follows(SELF, 3), false, NEWS_LOST, 0, RAFT_NONE);
	nothing(&told, follows(SELF, 3), false);
	step(&told, leads(3), false, NEWS_GAINED, 3, SELF);
	step(&told, follows(SELF, 3), false, NEWS_LOST, 3, RAFT_NONE);
	nothing(&told, follows(SELF, 3), false);
}

static void
who_leaves_tells_of_a_lease_s_end_and_no_more(void **state)
{
	NewsTold fresh = {0};
	NewsTold told = {0};

	(void) state;
	nothing(&fresh, follows(0, 3), true);
	nothing(&fresh, leads(3), true);
	step(&told, leads(3), false, NEWS_GAINED, 3, SELF);
	nothing(&told, leads(3), true);
	step(&told, follows(0, 4), true, NEWS_LOST, 3, 0);
	nothing(&told, follows(0, 4), true);
}

static void
a_lease_that_is_over_ends_what_was_told_of_it(void **state)
{
	News	 gained = {.kind = NEWS_GAINED, .term = 3, .leader_id = SELF};
	News	 lost = {.kind = NEWS_LOST, .term = 3, .leader_id = RAFT_NONE};
	NewsSeen same = leads(3);
	NewsSeen later = leads(4);
	NewsSeen other = follows(0, 4);

	(void) state;
	assert_false(news_is_over(&gained, &same));
	assert_true(news_is_over(&gained, &later));
	assert_true(news_is_over(&gained, &other));
	assert_false(news_is_over(&lost, &later));
	assert_false(news_is_over(&lost, &other));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_command_is_told_what_is),
		cmocka_unit_test(the_first_leader_told_may_be_member_0),
		cmocka_unit_test(a_lease_that_was_told_is_lost_before_all_else),
		cmocka_unit_test(only_the_last_of_several_leaders_is_told),
		cmocka_unit_test(a_leader_without_a_lease_is_no_news),
		cmocka_unit_test(who_leaves_tells_of_a_lease_s_end_and_no_more),
		cmocka_unit_test(a_lease_that_is_over_ends_what_was_told_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
