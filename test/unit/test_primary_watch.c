/*
 * test/unit/test_primary_watch.c
 *	  What is remembered from one question to the next: of leading, of following, and of a
 *	  data directory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/watch.h"
#include "primary_worlds.h"

/* ---- leading ---- */

/* The facts of that moment, with what the record has to say in them. */
static PrimaryFacts
led(WatchLeading *watch, uint64_t now, uint64_t term, uint64_t progress)
{
	PrimaryFacts f = world_primary();

	f.now = now;
	f.term = term;
	f.leading_since = f.moved_at = f.mark_term = f.mark_end = 0;
	watch_leading(watch, &f, progress);
	return f;
}

static void
a_leadership_begins_with_its_term(void **state)
{
	WatchLeading watch = {0};

	(void) state;
	assert_int_equal(led(&watch, 1000, 7, 5).leading_since, 1000);
	assert_int_equal(led(&watch, 2000, 7, 6).leading_since, 1000);
	assert_int_equal(led(&watch, 3000, 8, 6).leading_since, 3000);
	assert_int_equal(led(&watch, 4000, 8, 6).moved_at, 3000);
}

/* Rule 18: for open_timeout. */
static void
a_leader_moves_whenever_anything_does(void **state)
{
	WatchLeading watch = {0};

	(void) state;
	(void) led(&watch, 1000, 7, 5);
	assert_int_equal(led(&watch, 2000, 7, 5).moved_at, 1000);
	assert_int_equal(led(&watch, 3000, 7, 6).moved_at, 3000);
	assert_int_equal(led(&watch, 4000, 7, 6).moved_at, 3000);
	assert_int_equal(led(&watch, 5000, 7, 2).moved_at, 5000); /* a sum, so also when it falls */
}

static PrimaryFacts
stood(WatchLeading *watch, uint64_t now, uint64_t quorum_flushed, uint64_t end)
{
	PrimaryFacts f = world_primary();

	f.now = now;
	f.quorum_flushed = quorum_flushed;
	f.end = end;
	watch_leading(watch, &f, 0);
	return f;
}

/* Rule 25. */
static void
a_quorum_stands_still_while_its_flush_is_short_and_the_same(void **state)
{
	WatchLeading watch = {0};

	(void) state;
	assert_int_equal(stood(&watch, 1000, 2650, 2650).standing_since, 0);
	assert_int_equal(stood(&watch, 2000, 2650, 2700).standing_since, 2000);
	assert_int_equal(stood(&watch, 3000, 2650, 2800).standing_since, 2000);
	assert_int_equal(stood(&watch, 4000, 2660, 2800).standing_since, 4000);
	assert_int_equal(stood(&watch, 5000, 2800, 2800).standing_since, 0);
	assert_int_equal(stood(&watch, 6000, 2800, 2801).standing_since, 6000);

	/* In another term it begins anew. */
	watch.term = 6;
	assert_int_equal(stood(&watch, 7000, 2800, 2801).standing_since, 7000);
}

static uint32_t
held(WatchLeading *watch, uint32_t number, uint64_t term, uint64_t end, uint64_t flushed, bool names)
{
	PrimaryFacts f = world_primary();

	f.list_number = number;
	f.list_term = term;
	f.end = end;
	f.quorum_flushed = f.released = flushed;
	f.names_are_new = names;
	watch_leading(watch, &f, 0);
	return f.list_held;
}

/* Rule 24: what was there at the look after it came into force is held; each time that there is another one. */
static void
a_list_is_held_once_what_was_there_before_is(void **state)
{
	WatchLeading watch = {0};

	(void) state;
	assert_int_equal(held(&watch, 3, 7, 2700, 2700, false), 0);
	assert_int_equal(held(&watch, 3, 7, 2700, 2700, true), 0);
	assert_int_equal(held(&watch, 3, 7, 2800, 2700, true), 0);
	assert_int_equal(held(&watch, 3, 7, 2900, 2799, true), 0);
	assert_int_equal(held(&watch, 3, 7, 2900, 2800, true), 3);

	/* Of the same number, and of another leader. */
	assert_int_equal(held(&watch, 3, 8, 3000, 2900, true), 0);
	assert_int_equal(held(&watch, 3, 8, 3100, 2900, true), 0);
	assert_int_equal(held(&watch, 3, 8, 3100, 3100, true), 3);
	assert_int_equal(held(&watch, 4, 8, 3200, 3200, true), 0);
	assert_int_equal(held(&watch, 4, 8, 3200, 3200, false), 0);
}

/* Rule 25: never twice in a row; what it has held since it opened ends that. */
static void
it_resigns_for_standing_still_once(void **state)
{
	WatchLeading watch = {0};
	PrimaryFacts f = world_primary();

	(void) state;
	watch_resigned(&watch, PRIMARY_NOT_OPENING);
	assert_false(stood(&watch, 1000, 2650, 2700).standing_before);
	watch_resigned(&watch, PRIMARY_CANNOT_COMMIT);
	watch_resigned(&watch, PRIMARY_NOT_OPENING);
	watch_forget_leading(&watch); /* whoever asks after a restart */
	assert_true(stood(&watch, 2000, 9000, 9000).standing_before);
	f.end = 2700;
	watch_opened(&watch, &f);
	assert_true(stood(&watch, 3000, 2700, 2800).standing_before);
	assert_false(stood(&watch, 4000, 2701, 2800).standing_before);
}

/* Rule 18: PostgreSQL may have ended waits meanwhile, of rows that no quorum holds. */
static void
other_names_end_the_mark_and_the_opening(void **state)
{
	WatchLeading watch = {0};
	PrimaryFacts f = world_primary();

	(void) state;
	(void) led(&watch, 1000, 7, 5);
	watch_marked(&watch, 7, 2700);
	watch_opened(&watch, &f);
	assert_int_equal(led(&watch, 2000, 7, 5).opened_term, 7);
	f = world_primary();
	f.names_in_force = false;
	watch_leading(&watch, &f, 5);
	assert_int_equal(f.opened_term, 0);
	assert_int_equal(f.mark_term, 0);
	f = led(&watch, 3000, 7, 5);
	assert_int_equal(f.opened_term, 0);
	assert_int_equal(f.mark_term, 0);
}

static void
the_mark_and_the_opening_are_remembered(void **state)
{
	WatchLeading watch = {0};
	PrimaryFacts f = world_primary();

	(void) state;
	watch_marked(&watch, 7, 2600);
	f = led(&watch, 1000, 7, 0);
	assert_int_equal(f.mark_term, 7);
	assert_int_equal(f.mark_end, 2600);
	assert_int_equal(f.opened_term, 0);
	watch_opened(&watch, &f);
	assert_int_equal(led(&watch, 2000, 7, 0).opened_term, 7);
	/* of that term: primary_decide() knows what it says in another */
	assert_int_equal(led(&watch, 3000, 8, 0).mark_term, 7);
	watch_forget_leading(&watch);
	f = led(&watch, 4000, 8, 0);
	assert_int_equal(f.mark_term, 0);
	assert_int_equal(f.opened_term, 0);
	assert_int_equal(f.leading_since, 4000);
}

/* ---- following ---- */

/* Compared with member 1 in term 7, the receiver let loose when the leader was at 2600. */
static WatchFollowing
following(PrimaryFacts *f)
{
	WatchFollowing watch = {0};

	*f = world_follower();
	watch_following(&watch, f);
	assert_int_equal(f->check.prefix, PRIMARY_PREFIX_UNKNOWN);
	assert_true(watch_wants_bytes(&watch, f));
	watch_compared(&watch, true, true, true);
	watch_let_loose(&watch, f);
	f->receiving = true;
	watch_following(&watch, f);
	assert_int_equal(f->check.term, 7);
	assert_int_equal(f->check.leader, 1);
	assert_true(f->check.loose);
	assert_int_equal(f->check.prefix, PRIMARY_PREFIX_SAME);
	return watch;
}

static void
another_leader_or_term_is_compared_anew(void **state)
{
	PrimaryFacts   f;
	WatchFollowing watch = following(&f);

	(void) state;
	f.term = 8;
	watch_following(&watch, &f);
	assert_int_equal(f.check.term, 8);
	assert_int_equal(f.check.prefix, PRIMARY_PREFIX_UNKNOWN);
	assert_false(f.check.loose);

	watch = following(&f);
	f.leader_id = 2;
	watch_following(&watch, &f);
	assert_int_equal(f.check.leader, 2);
	assert_int_equal(f.check.prefix, PRIMARY_PREFIX_UNKNOWN);
	assert_false(f.check.loose);
}

/* Rule 20, and never by a flush that was read before our own end was. */
static void
an_end_beyond_the_leaders_is_looked_at_twice(void **state)
{
	PrimaryFacts   f = world_follower();
	WatchFollowing watch = {0};

	(void) state;
	f.leader.flush = 2499;
	watch_following(&watch, &f);
	assert_false(f.check.looked_again);
	watch_following(&watch, &f);
	assert_true(f.check.looked_again);

	watch = following(&f);
	watch_following(&watch, &f);
	assert_false(f.check.looked_again);
}

static void
bytes_are_read_once_and_where_both_have_them(void **state)
{
	PrimaryFacts   f;
	WatchFollowing watch = following(&f);

	(void) state;
	assert_false(watch_wants_bytes(&watch, &f));
	watch = (WatchFollowing){0};
	assert_true(watch_wants_bytes(&watch, &f));
	f.leader.flush = 2499;
	assert_false(watch_wants_bytes(&watch, &f));
	f = world_follower();
	f.leader.lineage = world_path2_7();
	assert_false(watch_wants_bytes(&watch, &f));
	f.leader.lineage = NULL;
	assert_false(watch_wants_bytes(&watch, &f));
	f = world_follower();
	f.end_known = false;
	assert_false(watch_wants_bytes(&watch, &f));
	f = world_follower();
	f.leader_id = RAFT_NONE;
	assert_false(watch_wants_bytes(&watch, &f));
}

static void
expect_prefix(bool own_read, bool leader_read, bool equal, PrimaryPrefix prefix)
{
	WatchFollowing watch = {0};

	watch_compared(&watch, own_read, leader_read, equal);
	assert_int_equal(watch.check.prefix, prefix);
}

static void
bytes_that_the_leader_has_no_more_are_not_the_same(void **state)
{
	(void) state;
	expect_prefix(true, true, true, PRIMARY_PREFIX_SAME);
	expect_prefix(true, true, false, PRIMARY_PREFIX_DIFFERENT);
	expect_prefix(true, false, false, PRIMARY_PREFIX_DIFFERENT);
	expect_prefix(false, true, false, PRIMARY_PREFIX_UNKNOWN);
}

static void
a_receiver_is_real_once_it_has_what_the_leader_had(void **state)
{
	PrimaryFacts   f;
	WatchFollowing watch = following(&f);

	(void) state;
	f.leader.flush = 9000;
	f.end = 2599;
	assert_false(watch_streams(&watch, &f, 5));
	f.end = 2600;
	assert_false(watch_streams(&watch, &f, 0));
	assert_false(watch_streams(&watch, &f, 2));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_UNKNOWN);
	assert_true(watch_streams(&watch, &f, 5));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_REAL);

	watch_receiver_ended(&watch);
	watch_following(&watch, &f);
	assert_false(f.check.loose);
}

/* A restart, and then another copy: what brings WAL, however slowly, needs neither. */
static void
a_receiver_is_stuck_when_nothing_new_comes_for_a_while(void **state)
{
	PrimaryFacts   f;
	WatchFollowing watch = following(&f);
	uint64_t	   began = f.now;

	(void) state;
	f.now = began + f.stream_timeout - 1;
	assert_false(watch_streams(&watch, &f, 5));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_UNKNOWN);
	f.end++;
	assert_false(watch_streams(&watch, &f, 5));
	f.now++;
	assert_false(watch_streams(&watch, &f, 5));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_UNKNOWN);
	f.check = watch.check;
	assert_int_equal(primary_decide(&f).again_at, began + 2 * f.stream_timeout - 1);
	f.now = began + 2 * f.stream_timeout - 1;
	assert_false(watch_streams(&watch, &f, 5));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_STUCK);

	/* Ended and let loose again: the time is that of the new one. */
	watch = following(&f);
	watch_receiver_ended(&watch);
	f.now += f.stream_timeout;
	watch_let_loose(&watch, &f);
	assert_false(watch_streams(&watch, &f, 5));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_UNKNOWN);

	/* Once it is real, a leader that writes nothing does not make it stuck. */
	f.end = 2600;
	assert_true(watch_streams(&watch, &f, 5));
	f.leader.flush = 2600;
	f.now += 9 * f.stream_timeout;
	assert_false(watch_streams(&watch, &f, 0));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_REAL);
}

/* Cut off for a while, and what it needs was recycled meanwhile. */
static void
a_receiver_that_was_real_is_stuck_when_the_leader_has_more(void **state)
{
	PrimaryFacts   f;
	WatchFollowing watch = following(&f);

	(void) state;
	f.end = f.leader.flush = 2600;
	assert_true(watch_streams(&watch, &f, 5));
	f.leader.flush = 2700;

	/* A slow disk of its own: the connection stands. */
	f.now += 9 * f.stream_timeout;
	assert_true(watch_streams(&watch, &f, 5));
	f.end++;
	assert_true(watch_streams(&watch, &f, 5));
	f.now += f.stream_timeout - 1;
	assert_false(watch_streams(&watch, &f, 0));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_REAL);
	f.check = watch.check;
	assert_int_equal(primary_decide(&f).again_at, f.now + 1);
	f.now++;
	assert_false(watch_streams(&watch, &f, 5)); /* one that connects, and is told that it is not there */
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_STUCK);

	/* Whatever was wrong has been mended. */
	f.end++;
	assert_true(watch_streams(&watch, &f, 5));
	assert_int_equal(watch.check.streaming, PRIMARY_STREAMING_REAL);
}

/* Rule 21: for a bounded time, from the first answer on. */
static void
an_open_leader_is_waited_for_from_the_first_time_on(void **state)
{
	PrimaryFacts   f;
	WatchFollowing watch = following(&f);
	PrimaryOrder   order = {.action = PRIMARY_WAIT, .reason = PRIMARY_LOOK_AGAIN};

	(void) state;
	watch_decided(&watch, &f, &order);
	watch_following(&watch, &f);
	assert_int_equal(f.rebuild_wanted, 0);
	order.reason = PRIMARY_PREFERS_OPEN;
	f.now = 5000;
	watch_decided(&watch, &f, &order);
	f.now = 6000;
	watch_decided(&watch, &f, &order);
	watch_following(&watch, &f);
	assert_int_equal(f.rebuild_wanted, 5000);
	f.end = 2600;
	assert_true(watch_streams(&watch, &f, 5));
	watch_following(&watch, &f);
	assert_int_equal(f.rebuild_wanted, 0);
}

/* ---- a data directory ---- */

static void
a_server_that_ends_again_and_again_has_nothing_usable(void **state)
{
	WatchDirectory watch = {0};

	(void) state;
	for (int i = 0; i < 9; i++)
		watch_died(&watch, false);
	for (int i = 0; i < 5; i++)
		watch_died(&watch, true);
	assert_int_equal(watch_system(&watch, 77), 77);
	watch_died(&watch, true);
	assert_int_equal(watch_system(&watch, 77), 0);
	watch_followed(&watch);
	assert_int_equal(watch_system(&watch, 77), 77);
}

static void
what_does_not_start_is_unfit_until_it_is_rebuilt(void **state)
{
	WatchDirectory watch = {0};

	(void) state;
	watch_unfit(&watch);
	assert_int_equal(watch_system(&watch, 77), 0);
	watch_died(&watch, false);
	assert_int_equal(watch_system(&watch, 77), 0);
	watch_rebuilds(&watch, RAFT_CLONING, 1000, 1, 7);
	assert_int_equal(watch_system(&watch, 77), 77);
	assert_int_equal(watch_system(&watch, 0), 0);
}

static void
failures_count_until_it_follows(void **state)
{
	WatchDirectory watch = {0};

	(void) state;
	watch_rebuilds(&watch, RAFT_CLONING, 1000, 1, 7);
	watch_restarts(&watch, PRIMARY_NOT_RUNNING, 2000);
	assert_int_equal(watch.failures, 1);
	assert_int_equal(watch.stuck_since, 0);
	watch_restarts(&watch, PRIMARY_NOT_STREAMING, 3000);
	watch_restarts(&watch, PRIMARY_PART_LEFT, 4000);
	assert_int_equal(watch.failures, 3);
	assert_int_equal(watch.stuck_since, 3000);
	watch_rebuilds(&watch, RAFT_REWINDING, 5000, 2, 8);
	assert_int_equal(watch.stuck_since, 0);
	assert_int_equal(watch.failures, 4);
	assert_int_equal(watch.failed_at, 5000);
	assert_int_equal(watch.failed_source, 2);
	assert_int_equal(watch.failed_term, 8);
	watch_restarts(&watch, PRIMARY_NOT_STREAMING, 6000);
	assert_int_equal(watch.stuck_since, 6000);
	watch_clock(&watch, 7000);
	assert_int_equal(watch.stuck_since, 6000);
	watch_clock(&watch, 10);
	assert_int_equal(watch.stuck_since, 10);
	watch_followed(&watch);
	assert_int_equal(watch.failures, 0);
	assert_int_equal(watch.stuck_since, 0);

	/* for people: all of them */
	watch_rebuilds(&watch, RAFT_CLONING, 7000, 1, 9);
	assert_int_equal(watch.rewinds, 1);
	assert_int_equal(watch.clones, 2);
}

/* Else its pause would last as long as the machine had run. */
static void
a_failure_is_not_in_the_future(void **state)
{
	WatchDirectory watch = {0};

	(void) state;
	watch_rebuilds(&watch, RAFT_CLONING, 5000, 1, 7);
	watch_clock(&watch, 6000);
	assert_int_equal(watch.failed_at, 5000);
	watch_clock(&watch, 100);
	assert_int_equal(watch.failed_at, 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leadership_begins_with_its_term),
		cmocka_unit_test(a_leader_moves_whenever_anything_does),
		cmocka_unit_test(a_quorum_stands_still_while_its_flush_is_short_and_the_same),
		cmocka_unit_test(a_list_is_held_once_what_was_there_before_is),
		cmocka_unit_test(it_resigns_for_standing_still_once),
		cmocka_unit_test(other_names_end_the_mark_and_the_opening),
		cmocka_unit_test(the_mark_and_the_opening_are_remembered),
		cmocka_unit_test(another_leader_or_term_is_compared_anew),
		cmocka_unit_test(an_end_beyond_the_leaders_is_looked_at_twice),
		cmocka_unit_test(bytes_are_read_once_and_where_both_have_them),
		cmocka_unit_test(bytes_that_the_leader_has_no_more_are_not_the_same),
		cmocka_unit_test(a_receiver_is_real_once_it_has_what_the_leader_had),
		cmocka_unit_test(a_receiver_is_stuck_when_nothing_new_comes_for_a_while),
		cmocka_unit_test(a_receiver_that_was_real_is_stuck_when_the_leader_has_more),
		cmocka_unit_test(an_open_leader_is_waited_for_from_the_first_time_on),
		cmocka_unit_test(a_server_that_ends_again_and_again_has_nothing_usable),
		cmocka_unit_test(what_does_not_start_is_unfit_until_it_is_rebuilt),
		cmocka_unit_test(failures_count_until_it_follows),
		cmocka_unit_test(a_failure_is_not_in_the_future),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
