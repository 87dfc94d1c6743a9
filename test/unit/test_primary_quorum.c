/*
 * test/unit/test_primary_quorum.c
 *	  Who counts for a commit, and how many have to (rule 16).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/quorum.h"
#include "random.h"

/* Five members, of which 0 is ours; all are bound, and 1 and 2 have flushed up to 100. */
static QuorumSender senders[8];

static QuorumView
world(void)
{
	QuorumView view = {
		.members = 0x1f,
		.self = 0,
		.senders = senders,
		.n_senders = 2,
		.flush = 110,
		.lease_until = 2000,
		.now = 1000,
		.term = 7,
		.open_term = 7,
	};

	senders[0] = (QuorumSender){1, 1, 100, 110, 0};
	senders[1] = (QuorumSender){2, 2, 100, 110, 0};
	for (int id = 1; id < 5; id++)
		view.bounds[id] = 1001;
	return view;
}

static void
votes_and_copies_meet(void **state)
{
	const uint32_t votes[] = {0, 1, 2, 2, 3, 3, 4, 4};
	const uint32_t copies[] = {0, 1, 2, 2, 2, 3, 3, 4};

	(void) state;
	for (uint32_t n = 1; n <= 7; n++)
	{
		assert_int_equal(raft_majority(n), votes[n]);
		assert_int_equal(raft_copies(n), copies[n]);
	}
	for (uint32_t n = 1; n <= RAFT_MAX_NODES; n++)
	{
		assert_true(raft_majority(n) + raft_copies(n) > n);
		/* and no more than is needed, but for two */
		assert_int_equal(raft_majority(n) + raft_copies(n) == n + 1, n != 2);
	}
}

static void
the_names_are_those_of_all_members(void **state)
{
	char text[QUORUM_NAMES_SIZE];

	(void) state;
	assert_string_equal(quorum_names(&(RaftList){.now = 0x1}, text, sizeof(text)), "");
	assert_string_equal(quorum_names(&(RaftList){.now = 0x3}, text, sizeof(text)), "ANY 1 (\"pg_leader_0\", \"pg_leader_1\")");
	assert_string_equal(quorum_names(&(RaftList){.now = 0x7}, text, sizeof(text)),
						"ANY 1 (\"pg_leader_0\", \"pg_leader_1\", \"pg_leader_2\")");
	assert_string_equal(quorum_names(&(RaftList){.now = 0xf}, text, sizeof(text)),
						"ANY 1 (\"pg_leader_0\", \"pg_leader_1\", \"pg_leader_2\", \"pg_leader_3\")");
	assert_string_equal(quorum_names(&(RaftList){.now = 0x45}, text, sizeof(text)),
						"ANY 1 (\"pg_leader_0\", \"pg_leader_2\", \"pg_leader_6\")");
	quorum_names(&(RaftList){.now = 0x1f}, text, sizeof(text));
	assert_memory_equal(text, "ANY 2 (", 7);
	quorum_names(&(RaftList){.now = UINT64_MAX}, text, sizeof(text));
	assert_memory_equal(text, "ANY 31 (", 8);
	assert_string_equal(text + strlen(text) - 15, "\"pg_leader_63\")");
}

/*
 * While two lists count, whoever PostgreSQL waits for is enough for either: each set of so many
 * of the names, and the primary.  And one standby that is away never blocks more than it does in
 * the stricter of the two lists.
 */
static void
the_names_are_enough_for_both_lists(void **state)
{
	char text[QUORUM_NAMES_SIZE];

	(void) state;
	for (uint32_t n = 1; n < 9; n++)
	{
		uint64_t small = (UINT64_C(1) << n) - 1;
		uint64_t large = (UINT64_C(1) << (n + 1)) - 1;

		for (int grows = 0; grows < 2; grows++)
		{
			RaftList list = {.number = 3, .now = grows ? large : small, .old = grows ? small : large};
			uint32_t waits_for = 0;
			uint64_t named = 0;

			(void) quorum_names(&list, text, sizeof(text));
			assert_int_equal(sscanf(text, "ANY %u (", &waits_for), 1);
			for (int32_t id = 0; id <= (int32_t) n; id++)
			{
				char name[32];

				(void) snprintf(name, sizeof(name), "\"pg_leader_%d\"", id);
				if (strstr(text, name) != NULL)
					named |= UINT64_C(1) << id;
			}
			assert_true(named == small || named == large);
			assert_true(waits_for < raft_count_nodes(named));
			for (uint64_t holders = 0; holders <= large; holders++)
			{
				if ((holders & ~named) != 0 || (holders & 1) == 0 || raft_count_nodes(holders) != waits_for + 1)
					continue;
				assert_true(raft_count_nodes(holders & small) >= raft_copies(n));
				assert_true(raft_count_nodes(holders) >= raft_copies(n + 1));
			}
			assert_true(waits_for <= raft_copies(n + 1) || waits_for <= raft_copies(n));
		}
	}
}

static void
names_of_the_list_before_are_good_for_a_while(void **state)
{
	RaftList joint = {.number = 7, .now = 0x1f, .old = 0xf};
	RaftList after = {.number = 8, .now = 0x1f, .old = 0xf};
	RaftList first = {.number = 2, .now = 0x1f};
	char	 four[QUORUM_NAMES_SIZE];
	char	 both[QUORUM_NAMES_SIZE];
	char	 five[QUORUM_NAMES_SIZE];

	(void) state;
	(void) quorum_names(&(RaftList){.number = 6, .now = 0xf}, four, sizeof(four));
	(void) quorum_names(&joint, both, sizeof(both));
	(void) quorum_names(&after, five, sizeof(five));
	assert_memory_equal(four, "ANY 1 (", 7);
	assert_memory_equal(both, "ANY 2 (", 7);
	assert_true(strcmp(both, five) != 0);
	assert_true(quorum_has_names(&joint, four) && quorum_has_names(&joint, both) && !quorum_has_names(&joint, five));
	assert_true(!quorum_has_names(&after, four) && quorum_has_names(&after, both) && quorum_has_names(&after, five));
	assert_true(!quorum_has_names(&first, four) && !quorum_has_names(&first, "") && quorum_has_names(&first, five));
}

static void
clones_and_checks_are_nobodys(void **state)
{
	const char *nobodys[] = {"", "pg_leader_", "pg_leader", "pg_leader_1_clone", "pg_leader_1_check", "pg_leader_01",
							 "pg_leader_64", "pg_leader_-1", "pg_leader_1 ", " pg_leader_1", "PG_LEADER_01",
							 "pg_leader_99999999999999999999", "walreceiver"};

	(void) state;
	assert_int_equal(quorum_member("pg_leader_0"), 0);
	assert_int_equal(quorum_member("pg_leader_7"), 7);
	assert_int_equal(quorum_member("pg_leader_63"), 63);
	assert_int_equal(quorum_member("PG_Leader_7"), 7); /* PostgreSQL takes it for that standby */
	for (size_t i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++)
		assert_int_equal(quorum_member(nobodys[i]), RAFT_NONE);
}

static void
answered_when_enough_hold_it(void **state)
{
	QuorumView view = world();

	(void) state;
	assert_true(quorum_answers(&view, 100));
	assert_int_equal(quorum_holders(&view, 100), 0x7);
	assert_int_equal(quorum_flushed(&view), 100);
	assert_false(quorum_answers(&view, 101));
	senders[1].flush = 99;
	assert_false(quorum_answers(&view, 100));
	assert_int_equal(quorum_flushed(&view), 99);
	view.n_senders = 1;
	assert_int_equal(quorum_flushed(&view), 0);
}

static void
nothing_is_answered_behind_a_closed_fence_or_without_a_lease(void **state)
{
	QuorumView view = world();

	(void) state;
	view.open_term = 0;
	assert_false(quorum_answers(&view, 100));
	view.open_term = 6;
	assert_false(quorum_answers(&view, 100));
	view.open_term = 7;
	view.lease_until = 1000;
	assert_false(quorum_answers(&view, 100));
	view.lease_until = 1001;
	assert_true(quorum_answers(&view, 100));
}

/* C15: one that has voted for somebody else meanwhile is no copy of ours. */
static void
only_members_that_are_bound_now_count(void **state)
{
	QuorumView view = world();

	(void) state;
	view.bounds[2] = 1000;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_UNBOUND);
	assert_false(quorum_answers(&view, 100));
	assert_int_equal(quorum_flushed(&view), 0);
	view.bounds[2] = 0;
	assert_false(quorum_answers(&view, 100));
}

static void
name_is_only_the_members(void **state)
{
	(void) state;
	assert_true(quorum_is_from(2, 2));
	assert_false(quorum_is_from(2, 1));
	assert_false(quorum_is_from(2, RAFT_NONE));
}

/* C16: PostgreSQL counts both. */
static void
only_the_newest_walsender_of_a_member_counts(void **state)
{
	QuorumView view = world();

	(void) state;
	senders[2] = (QuorumSender){2, 3, 90, 110, 0};
	view.n_senders = 3;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_OLDER);
	assert_int_equal(quorum_verdict(&view, 2), QUORUM_COUNTS);
	assert_false(quorum_answers(&view, 100));
	assert_int_equal(quorum_flushed(&view), 90);
	/* nor does the older one stand in for a newer one that does not count */
	senders[2].flush = 111;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_OLDER);
	assert_false(quorum_answers(&view, 100));
	/* nor do two of one member make two */
	senders[2] = (QuorumSender){1, 3, 100, 110, 0};
	view.n_senders = 3;
	senders[1].flush = 0;
	assert_false(quorum_answers(&view, 100));
	assert_int_equal(quorum_verdict(&view, 0), QUORUM_OLDER);
}

/* Walreceivers begin with their replay position as flushed. */
static void
one_that_is_beyond_us_has_diverged(void **state)
{
	QuorumView view = world();

	(void) state;
	senders[1].flush = 111;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_DIVERGED);
	assert_false(quorum_answers(&view, 100));
	assert_int_equal(quorum_flushed(&view), 0);
	senders[1].flush = 110;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_COUNTS);
	assert_true(quorum_answers(&view, 100));
}

/* A6: one that is ahead on the timeline that ended says so, and has nothing of ours. */
static void
only_what_was_sent_counts(void **state)
{
	QuorumView view = world();

	(void) state;
	senders[1].sent = 99;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_COUNTS);
	assert_false(quorum_answers(&view, 100));
	assert_true(quorum_answers(&view, 99));
	assert_int_equal(quorum_flushed(&view), 99);
	senders[1].sent = 100;
	assert_true(quorum_answers(&view, 100));
}

static void
our_own_copy_is_one_of_them(void **state)
{
	QuorumView view = world();

	(void) state;
	senders[2] = (QuorumSender){3, 3, 110, 110, 0};
	view.n_senders = 3;
	view.flush = 99;
	senders[0].flush = senders[1].flush = senders[2].flush = 99;
	assert_false(quorum_answers(&view, 100));
	assert_int_equal(quorum_flushed(&view), 99);
	/* a walsender of ourselves, or of nobody, is no copy */
	view = world();
	senders[1].member = 0;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_NOBODYS);
	assert_false(quorum_answers(&view, 100));
	senders[1].member = RAFT_NONE;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_NOBODYS);
	senders[1].member = 5;
	assert_int_equal(quorum_verdict(&view, 1), QUORUM_NOBODYS);
	assert_false(quorum_answers(&view, 100));
}

static void
two_members_need_both_and_one_itself(void **state)
{
	QuorumView view = world();

	(void) state;
	view.members = 0x3;
	assert_true(quorum_answers(&view, 100));
	view.n_senders = 0;
	assert_false(quorum_answers(&view, 100));
	assert_int_equal(quorum_flushed(&view), 0);
	view.members = 0x1;
	assert_true(quorum_answers(&view, 110));
	assert_false(quorum_answers(&view, 111));
	assert_int_equal(quorum_flushed(&view), 110);
}

/* While two lists count, enough of one are not enough. */
static void
both_lists_count(void **state)
{
	QuorumView	 view = {.self = 0, .flush = 100, .lease_until = 9, .now = 1, .term = 1, .open_term = 1};
	QuorumSender senders[4];

	(void) state;
	for (int i = 0; i < 4; i++)
		senders[i] = (QuorumSender){.member = i + 1, .started = 1, .flush = 0, .sent = 100};
	view.senders = senders;
	view.n_senders = 4;
	for (int i = 0; i < 5; i++)
		view.bounds[i] = 9;
	quorum_take_list(&view, &(RaftList){.number = 3, .now = 0x1f, .old = 0x7});
	senders[2].flush = senders[3].flush = 100; /* three of five, and one of three */
	assert_false(quorum_answers(&view, 100));
	assert_int_equal(quorum_flushed(&view), 0);
	senders[2].flush = 0;
	senders[0].flush = 100; /* and two of three */
	assert_true(quorum_answers(&view, 100));
	senders[3].flush = 0; /* two of three, and of five */
	assert_false(quorum_answers(&view, 100));
	quorum_take_list(&view, &(RaftList){.number = 2, .now = 0x7});
	assert_true(quorum_answers(&view, 100));
	quorum_take_list(&view, &(RaftList){.number = 4, .now = 0x1f, .old = 0x7});
	assert_false(quorum_answers(&view, 100));
	senders[2].flush = senders[3].flush = 100;
	senders[0].flush = 0;
	assert_true(quorum_answers(&view, 100));
}

/* What quorum_flushed() says is answered, and one byte more is not. */
static void
random_views_agree(void **state)
{
	uint64_t random = 1;

	(void) state;
	for (int turn = 0; turn < 200000; turn++)
	{
		QuorumView view = world();
		uint64_t   held;

#define BELOW(n) random_below(&random, n)
		view.members = (UINT64_C(1) << (1 + BELOW(6))) - 1;
		view.n_senders = BELOW(8);
		view.flush = 1 + BELOW(8);
		for (uint32_t i = 0; i < view.n_senders; i++)
			senders[i] = (QuorumSender){(int32_t) BELOW(7) - 1, i + 1, BELOW(10), BELOW(12), 0};
		for (int id = 0; id < 6; id++)
			view.bounds[id] = 999 + BELOW(4);
		held = quorum_flushed(&view);
		assert_true(held <= view.flush);
		assert_int_equal(quorum_answers(&view, held), held > 0 || quorum_answers(&view, 0));
		for (uint64_t end = held + 1; end < 12; end++)
			assert_false(quorum_answers(&view, end));
		for (uint64_t end = 1; end <= held; end++)
			assert_true(quorum_answers(&view, end));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(votes_and_copies_meet),
		cmocka_unit_test(the_names_are_those_of_all_members),
		cmocka_unit_test(the_names_are_enough_for_both_lists),
		cmocka_unit_test(names_of_the_list_before_are_good_for_a_while),
		cmocka_unit_test(both_lists_count),
		cmocka_unit_test(clones_and_checks_are_nobodys),
		cmocka_unit_test(answered_when_enough_hold_it),
		cmocka_unit_test(nothing_is_answered_behind_a_closed_fence_or_without_a_lease),
		cmocka_unit_test(only_members_that_are_bound_now_count),
		cmocka_unit_test(name_is_only_the_members),
		cmocka_unit_test(only_the_newest_walsender_of_a_member_counts),
		cmocka_unit_test(one_that_is_beyond_us_has_diverged),
		cmocka_unit_test(only_what_was_sent_counts),
		cmocka_unit_test(our_own_copy_is_one_of_them),
		cmocka_unit_test(two_members_need_both_and_one_itself),
		cmocka_unit_test(random_views_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
