/*
 * test/unit/test_raft_prevote.c
 *	  Pre-votes: rule 3 of the election, and what they keep from happening.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

static World		world;
static World *const w = &world;

/* Node 0's timer runs out; returns its request to a peer. */
static RaftMessage
ask(int peer)
{
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
	assert_non_null(world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, peer));
	return *world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, peer);
}

static void
rule_3_asking_changes_nothing(void **state)
{
	RaftSaved	before;
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	before = w->node[0].disk;
	m = ask(1);
	assert_false(w->node[0].member.output.save);
	assert_true(m.asked_term == before.term + 1);
	assert_true(m.term == before.term);
	assert_true(w->node[0].disk.save_number == before.save_number);
	assert_true(w->node[0].member.raft.saved.term == before.term);
	assert_int_equal(w->node[0].member.raft.saved.voted_for, RAFT_NONE);
	assert_non_null(world_event(w, 0, RAFT_TIMED_OUT));
}

static void
rule_3_granting_changes_nothing(void **state)
{
	(void) state;
	world_init_alone(w, 3);

	/* To any number of members, for any number of terms. */
	for (uint64_t term = 1; term < 4; term++)
		for (int peer = 1; peer < 3; peer++)
		{
			RaftMessage m = world_pre_vote_request(w, peer, 0, term);

			world_inject(w, &m);
			assert_true(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, peer)->granted);
			assert_false(w->node[0].member.output.save);
			assert_true(w->node[0].member.raft.saved.term == 0);
			assert_int_equal(w->node[0].member.raft.saved.voted_for, RAFT_NONE);
			assert_true(raft_promise_until(&w->node[0].member.raft) <= w->now);
		}
	assert_true(w->node[0].member.raft.counters.pre_votes_given == 6);
}

static void
rule_3_a_round_that_fails_changes_no_term(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	world_isolate(w, 0);
	w->node[1].paused = w->node[2].paused = true;
	world_run(w, MS(10000));
	assert_true(w->node[0].disk.term == 0);
	assert_int_equal(w->node[0].disk.voted_for, RAFT_NONE);
	assert_true(w->node[0].member.raft.counters.pre_votes_started > 10);
	assert_true(w->node[0].member.raft.counters.elections_started == 0);
}

static void
rule_3_a_refusal_with_a_higher_term_is_adopted(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	m = ask(1);
	m = world_answer(w, &m, false);
	m.term = 8;
	world_inject(w, &m);
	assert_true(w->node[0].disk.term == 8);
	assert_int_equal(w->node[0].disk.voted_for, RAFT_NONE);

	/* A leader does not adopt it from a refused pre-vote of the past. */
	world_init_alone(w, 3);
	m = ask(1);
	world_deliver_all(w);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	m = world_answer(w, &m, false);
	m.term = 8;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	assert_true(w->node[0].disk.term == 1);
}

static void
rule_3_a_pre_vote_for_no_later_term_is_refused(void **state)
{
	RaftMessage m;

	(void) state;
	world_prepare(w, 3);
	for (int i = 0; i < 3; i++)
	{
		world_set_disk(w, i, 5, RAFT_NONE);
		world_start(w, i);
	}
	world_greet_all(w);
	m = world_pre_vote_request(w, 1, 0, 4);
	world_inject(w, &m);
	assert_false(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 1)->granted);
	assert_true(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 1)->term == 5);
	assert_true(w->node[0].member.raft.counters.pre_votes_refused == 1);
}

static void
pre_vote_keeps_timer(void **state)
{
	RaftMessage m;
	uint64_t	timer;

	(void) state;
	world_init_alone(w, 3);
	timer = w->node[0].member.raft.timer;
	world_advance(w, MS(20));
	m = world_pre_vote_request(w, 1, 0, 1);
	world_inject(w, &m);
	assert_true(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 1)->granted);
	assert_true(w->node[0].member.raft.timer == timer);

	world_set_position(w, 0, 1, 0);
	world_advance(w, MS(20));
	m = world_pre_vote_request(w, 1, 0, 1);
	world_inject(w, &m);
	assert_false(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 1)->granted);
	assert_true(w->node[0].member.raft.timer == timer);

	/* A higher term in a pre-vote request is no reason either. */
	m = world_pre_vote_request(w, 1, 0, 50);
	world_inject(w, &m);
	assert_true(w->node[0].member.raft.timer == timer);
	assert_true(w->node[0].disk.term == 0);
}

static void
former_leader_answers_pre_votes(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	world_elect(w, 0);
	world_drop_all(w);
	while (w->node[0].member.raft.role == RAFT_LEADER)
	{
		world_tick_at_deadline(w, 0);
		world_drop_all(w);
	}
	assert_int_equal(w->node[0].member.raft.leader_id, RAFT_NONE);
	if (raft_promise_until(&w->node[0].member.raft) > w->now)
		world_advance(w, raft_promise_until(&w->node[0].member.raft) - w->now);
	m = world_pre_vote_request(w, 1, 0, 2);
	world_inject(w, &m);
	assert_true(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 1)->granted);
}

/* The two that are left elect one of them after the leader stepped down. */
static void
former_leader_helps_to_elect(void **state)
{
	(void) state;
	world_init(w, 3);
	world_elect(w, 0);
	world_isolate(w, 0);
	w->node[2].paused = true;
	world_run(w, MS(1000));
	assert_int_equal(w->node[0].member.raft.role == RAFT_LEADER, false);
	world_heal(w);
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
}

static void
stale_pre_vote_answer(void **state)
{
	RaftMessage first;
	RaftMessage m;
	uint64_t	dropped;

	(void) state;
	world_init_alone(w, 3);
	first = ask(1);
	first = world_answer(w, &first, true);
	world_drop_all(w);
	world_advance(w, MS(1000));
	world_tick(w, 0); /* the first round has ended */
	world_drop_all(w);
	m = ask(1);
	assert_true(m.round != first.round);
	dropped = world_dropped(w, 0, RAFT_DROP_STALE);

	/* A round later. */
	world_inject(w, &first);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
	assert_true(world_dropped(w, 0, RAFT_DROP_STALE) == dropped + 1);

	/* When already a candidate: it is no vote. */
	m = world_answer(w, &m, true);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	m.from = 2;
	m.boot = w->node[2].disk.boot;
	m.incarnation = w->node[2].config.incarnation;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(world_dropped(w, 0, RAFT_DROP_STALE) == dropped + 2);

	/* And after a restart, whose rounds begin anew. */
	world_restart(w, 0);
	world_greet_all(w);
	world_advance(w, MS(1000));
	(void) ask(1);
	world_inject(w, &first);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
}

static void
pre_vote_answers_count_once_and_need_a_majority(void **state)
{
	RaftMessage m;
	RaftMessage yes;

	(void) state;
	world_init_alone(w, 5);
	m = ask(1);
	yes = world_answer(w, &m, true);
	world_inject(w, &yes);
	world_replay(w, &yes);
	world_say_again(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
	m.to = 2;
	yes = world_answer(w, &m, false);
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
	m.to = 3;
	yes = world_answer(w, &m, true);
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(w->node[0].disk.term == 1);
}

static void
pre_vote_won_then_partitioned(void **state)
{
	uint64_t term;
	int		 leader;

	(void) state;
	for (uint64_t seed = 1; seed <= 20; seed++)
	{
		world_prepare(w, 3);
		for (int i = 0; i < 3; i++)
		{
			w->node[i].config.seed = seed * 10 + (uint64_t) i;
			world_new_store(w, i);
			world_start(w, i);
		}
		w->delay = MS(1);
		world_greet_all(w);
		(void) ask(1);
		assert_true(world_deliver(w, 0, 1));
		assert_true(world_deliver(w, 1, 0));
		assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
		world_isolate(w, 0);

		world_run(w, MS(4000));
		leader = world_leader(w);
		assert_true(leader == 1 || leader == 2);
		term = w->node[leader].disk.term;
		assert_true(w->node[0].disk.term == 1); /* it stood once */
		world_heal(w);
		assert_true(world_run_until(w, world_is_stable, MS(3000)));
		world_run(w, MS(3000));
		assert_true(world_is_stable(w));
		assert_int_equal(world_leader(w), leader);
		assert_true(w->node[0].disk.term <= term + 1);
	}
}

/* A member that was away comes back behind the others: whatever it asks, a
 * healthy leader stays, in its term. */
static void
pre_vote_checks_position(void **state)
{
	uint64_t term;

	(void) state;
	world_init(w, 3);
	w->delay = MS(1);
	world_elect(w, 0);
	term = w->node[0].disk.term;
	world_isolate(w, 2);
	world_set_position(w, 0, 0, 10);
	world_set_position(w, 1, 0, 10);
	world_run(w, MS(3000));
	assert_true(w->node[2].disk.term == term);
	world_crash(w, 0);
	world_heal(w);

	/* With the leader gone it asks, and its refusal costs no term. */
	world_run(w, MS(10)); /* its last heartbeats arrive */
	world_set_timer(w, 1, MS(5000));
	world_run(w, MS(3000));
	assert_true(w->node[2].member.raft.counters.pre_votes_started > 3);
	assert_true(w->node[2].member.raft.counters.elections_started == 0);
	assert_true(w->node[2].disk.term == term);
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	assert_int_equal(world_leader(w), 1);
	assert_true(w->node[1].disk.term == term + 1);
}

static void
returning_follower_does_not_depose(void **state)
{
	uint64_t term;

	(void) state;
	world_init(w, 5);
	w->delay = MS(1);
	world_elect(w, 3);
	term = w->node[3].disk.term;
	for (int victim = 0; victim < 3; victim++)
	{
		world_isolate(w, victim);
		world_run(w, MS(2000));
		world_heal(w);
		world_run(w, MS(1000));
		assert_true(world_is_stable(w));
		assert_int_equal(world_leader(w), 3);
		assert_true(w->node[3].disk.term == term);
		assert_true(w->node[victim].disk.term == term);
	}
}

static void
equal_timers(void **state)
{
	uint64_t total = 0;

	(void) state;
	for (uint64_t seed = 1; seed <= 100; seed++)
	{
		uint64_t start;

		world_prepare(w, 5);
		w->delay = MS(1);
		for (int i = 0; i < 5; i++)
		{
			w->node[i].config.seed = seed * 100 + (uint64_t) i;
			world_new_store(w, i);
			world_start(w, i);
		}
		world_greet_all(w);
		start = w->now;
		for (int i = 0; i < 5; i++)
			world_set_timer(w, i, MS(10));
		if (!world_run_until(w, world_is_stable, MS(6000)))
			fail_msg("no leader within 6 s with seed %d", (int) seed);
		total += w->now - start;
	}
	/* The mean over all: a split costs a round, and few are split twice. */
	assert_true(total / 100 < MS(1200));
}

/* Each is refused by the other at first: for its position, for its term. */
static void
older_term_newer_position_and_reverse(void **state)
{
	(void) state;
	for (int turn = 0; turn < 2; turn++)
		for (uint64_t seed = 1; seed <= 20; seed++)
		{
			world_prepare(w, 3);
			w->delay = MS(1);
			world_set_disk(w, turn, 3, RAFT_NONE);
			world_set_disk(w, !turn, 9, 2);
			for (int i = 0; i < 2; i++)
			{
				w->node[i].config.seed = seed * 100 + (uint64_t) i;
				world_start(w, i);
			}
			world_set_position(w, turn, 0, 5);
			world_set_position(w, !turn, 0, 4);
			assert_true(world_run_until(w, world_is_stable, MS(4000)));
			assert_int_equal(world_leader(w), turn);
			assert_true(w->node[turn].disk.term == 10);
		}
}

/* One who never hears the others cannot make them change their term. */
static void
talks_but_never_hears(void **state)
{
	uint64_t term;

	(void) state;
	world_init(w, 3);
	w->delay = MS(1);
	world_elect(w, 0);
	term = w->node[0].disk.term;
	world_cut(w, 0, 2);
	world_cut(w, 1, 2);
	world_run(w, MS(10000));
	assert_int_equal(world_leader(w), 0);
	assert_true(world_has_lease(w, 0));
	assert_true(w->node[0].disk.term == term);
	world_heal(w);
	world_run(w, MS(1000));
	assert_true(world_is_stable(w));
	assert_true(w->node[0].disk.term == term);
}

/* The greatest term there can be: nobody stands above it, nothing wraps. */
static void
the_last_term_is_the_end(void **state)
{
	(void) state;
	world_prepare(w, 3);
	for (int i = 0; i < 3; i++)
	{
		world_set_disk(w, i, RAFT_MAX_TERM, i == 0 ? RAFT_NONE : 2);
		world_start(w, i);
	}
	world_run(w, MS(5000));
	for (int i = 0; i < 3; i++)
	{
		assert_true(w->node[i].disk.term == RAFT_MAX_TERM);
		assert_int_not_equal(w->node[i].member.raft.role, RAFT_LEADER);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_3_asking_changes_nothing),
		cmocka_unit_test(rule_3_granting_changes_nothing),
		cmocka_unit_test(rule_3_a_round_that_fails_changes_no_term),
		cmocka_unit_test(rule_3_a_refusal_with_a_higher_term_is_adopted),
		cmocka_unit_test(rule_3_a_pre_vote_for_no_later_term_is_refused),
		cmocka_unit_test(pre_vote_keeps_timer),
		cmocka_unit_test(former_leader_answers_pre_votes),
		cmocka_unit_test(former_leader_helps_to_elect),
		cmocka_unit_test(stale_pre_vote_answer),
		cmocka_unit_test(pre_vote_answers_count_once_and_need_a_majority),
		cmocka_unit_test(pre_vote_won_then_partitioned),
		cmocka_unit_test(pre_vote_checks_position),
		cmocka_unit_test(returning_follower_does_not_depose),
		cmocka_unit_test(equal_timers),
		cmocka_unit_test(older_term_newer_position_and_reverse),
		cmocka_unit_test(talks_but_never_hears),
		cmocka_unit_test(the_last_term_is_the_end),
	};

	return cmocka_run_group_tests_name("pre-votes", tests, NULL, NULL);
}
