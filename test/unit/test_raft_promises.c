/*
 * test/unit/test_raft_promises.c
 *	  Promises and withholding: rule 4 of the election.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

static World		world;
static World *const w = &world;

static void
heartbeat(int from, uint64_t term, uint64_t round, uint64_t promise)
{
	RaftMessage m = world_heartbeat(w, from, 0, term, round);

	m.promise = promise;
	world_inject(w, &m);
	assert_true(world_sent(w, 0, RAFT_HEARTBEAT_ANSWER, from)->granted);
}

static RaftMessage
answer_to_vote_request(int from, uint64_t term)
{
	RaftMessage m = world_vote_request(w, from, 0, term);

	world_inject(w, &m);
	assert_non_null(world_sent(w, 0, RAFT_VOTE_ANSWER, from));
	return *world_sent(w, 0, RAFT_VOTE_ANSWER, from);
}

static RaftMessage
answer_to_pre_vote_request(int from, uint64_t asked_term)
{
	RaftMessage m = world_pre_vote_request(w, from, 0, asked_term);

	world_inject(w, &m);
	assert_non_null(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, from));
	return *world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, from);
}

static void
rule_4_acknowledging_gives_a_promise(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(200));
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(200));
	assert_true(w->node[0].disk.promise >= MS(200));

	/* One microsecond before its end it still holds ... */
	world_advance(w, MS(200) - 1);
	m = answer_to_vote_request(2, 5);
	assert_false(m.granted);
	assert_true(m.promise == 1);
	assert_int_equal(m.leader_id, 1);
	assert_true(m.term == 4);
	assert_true(w->node[0].disk.term == 4); /* not adopted */
	m = answer_to_pre_vote_request(2, 5);
	assert_false(m.granted);
	assert_true(m.promise == 1);
	assert_int_equal(m.leader_id, 1);

	/* ... and at its end it is over. */
	world_advance(w, 1);
	assert_true(answer_to_pre_vote_request(2, 5).granted);
	assert_true(answer_to_vote_request(2, 5).granted);
}

static void
rule_4_a_promise_ends_at_the_later_of_both(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(200));
	world_advance(w, MS(50));
	heartbeat(1, 4, 2, MS(200));
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(200));
	world_advance(w, MS(10));
	heartbeat(1, 4, 3, MS(100));
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(190));
}

/* Another term's heartbeat ends no promise that was given before. */
static void
rule_4_a_new_leader_does_not_end_a_promise(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(1000));
	world_advance(w, MS(10));
	heartbeat(2, 5, 1, MS(200));
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(990));
}

static void
rule_4_a_vote_gives_a_promise(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	assert_true(answer_to_vote_request(1, 4).granted);
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(200));
	assert_true(w->node[0].disk.promise >= MS(200));
	world_advance(w, MS(199));
	assert_false(answer_to_vote_request(2, 5).granted);
	assert_true(w->node[0].disk.term == 4);
	world_advance(w, MS(1));
	assert_true(answer_to_vote_request(2, 5).granted);
}

static void
rule_4_lengthening_the_stored_promise_is_a_save(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(200));
	world_forget(w);
	world_advance(w, MS(50));
	heartbeat(1, 4, 2, MS(200));
	assert_int_equal(w->node[0].n_saves, 0); /* an ordinary round is none */
	world_advance(w, MS(50));
	heartbeat(1, 4, 3, MS(201));
	assert_int_equal(w->node[0].n_saves, 1);
	assert_true(w->node[0].disk.promise >= MS(201));
}

static void
rule_4_the_stored_promise_falls_only_after_the_longer_one_ran_out(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(1000));
	for (uint64_t round = 2; round <= 20; round++)
	{
		world_advance(w, MS(50));
		heartbeat(1, 4, round, MS(200));
		assert_true(w->node[0].disk.promise >= MS(1000));
	}
	/* Afterwards it may; what it holds then is still enough. */
	for (uint64_t round = 21; round <= 60; round++)
	{
		world_advance(w, MS(50));
		heartbeat(1, 4, round, MS(200));
		assert_true(w->node[0].disk.promise >= MS(200));
	}
}

static void
rule_4_an_impossible_promise_is_dropped(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	m = world_heartbeat(w, 1, 0, 4, 1);
	m.promise = RAFT_MAX_PROMISE + 1;
	world_inject_raw(w, 0, &m);
	assert_true(world_dropped(w, 0, RAFT_DROP_IMPOSSIBLE) == 1);
	assert_int_equal(w->node[0].member.output.n_messages, 0);
	assert_true(w->node[0].disk.term == 0);
	m.promise = RAFT_MAX_PROMISE;
	world_inject_raw(w, 0, &m);
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + RAFT_MAX_PROMISE);
}

static void
rule_4_a_leader_is_under_its_own_promise(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	world_elect(w, 0);
	assert_true(w->node[0].disk.promise >= MS(200));
	assert_true(raft_promise_until(&w->node[0].member.raft) >= w->now + MS(200));
	assert_false(answer_to_vote_request(1, 2).granted);
	assert_false(answer_to_pre_vote_request(1, 2).granted);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	assert_true(w->node[0].disk.term == 1);
}

static void
promise_binds_the_promiser(void **state)
{
	uint64_t	end;
	RaftMessage m;

	(void) state;

	/* It does not stand, though its timer has run out. */
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(3000));
	end = raft_promise_until(&w->node[0].member.raft);
	world_isolate(w, 0);
	while (raft_deadline(&w->node[0].member.raft) < end)
	{
		world_tick_at_deadline(w, 0);
		assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
		assert_null(world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, RAFT_NONE));
	}
	for (int i = 0; i < 10 && w->node[0].member.raft.role == RAFT_FOLLOWER; i++)
		world_tick_at_deadline(w, 0);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
	assert_true(w->now >= end && w->now <= end + MS(400));

	/* Not even when told to: that was not its promise's leader. */
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(3000));
	heartbeat(2, 5, 1, MS(200));
	m = world_message(w, RAFT_TRANSFER, 2, 0);
	m.term = 5;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(w->node[0].disk.term == 5);

	/* Nor does a leader vote for another. */
	world_init_alone(w, 3);
	world_elect(w, 0);
	m = answer_to_vote_request(1, 7);
	assert_false(m.granted);
	assert_true(m.promise > 0 && m.promise <= MS(200));
	assert_int_equal(m.leader_id, 0);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	assert_true(w->node[0].disk.term == 1);
}

/* A candidate promises to itself as its voters do to it. */
static void
promise_binds_the_candidate(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 5);
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	m = *world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1);
	for (int peer = 1; peer < 3; peer++)
	{
		RaftMessage yes;

		m.to = peer;
		yes = world_answer(w, &m, true);
		world_inject(w, &yes);
	}
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(w->node[0].disk.promise >= MS(200));
	assert_true(raft_promise_until(&w->node[0].member.raft) >= w->now + MS(200));
	world_advance(w, MS(100));
	assert_false(answer_to_vote_request(4, 9).granted);
	assert_true(w->node[0].disk.term == 1);
}

static void
voter_restarts_inside_the_lease(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(200));
	world_advance(w, MS(100));
	world_restart(w, 0);
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(200));
	world_greet_all(w);
	world_drop_all(w);
	assert_false(answer_to_vote_request(2, 5).granted);
	assert_false(answer_to_pre_vote_request(2, 5).granted);
	assert_true(w->node[0].disk.term == 4);

	/* It does not stand either, and the end comes. */
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	world_advance(w, MS(200));
	assert_true(answer_to_vote_request(2, 5).granted);
}

static void
voter_restarts_inside_the_lease_of_an_isolated_leader(void **state)
{
	(void) state;
	for (uint64_t at = 0; at < 200; at += 5)
	{
		world_init(w, 3);
		world_elect(w, 0);
		world_isolate(w, 0);
		world_run(w, MS(at));
		world_restart(w, 1);
		world_restart(w, 2);
		/* Invariant X watches while the two elect one of them. */
		assert_true(world_run_until(w, world_is_stable, MS(10)) == false);
		for (int i = 0; i < 300 && world_leader(w) < 1; i++)
			world_run(w, MS(10));
		assert_true(world_leader(w) >= 1);
		assert_true(w->node[world_leader(w)].disk.term == 2);
	}
}

static void
longer_promise_then_shorter_at_the_promiser(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	heartbeat(1, 4, 1, MS(1000));
	world_advance(w, MS(100));
	heartbeat(1, 4, 2, MS(200));
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(900));
	world_advance(w, MS(899));
	assert_false(answer_to_vote_request(2, 5).granted);

	/* A restart in between withholds by the longer one as well. */
	world_restart(w, 0);
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(1000));
}

/* A reload in the middle of a leadership; the acknowledgement that follows it
 * is lost. */
static void
longer_promise_then_shorter(void **state)
{
	RaftTimeouts shorter;

	(void) state;
	world_prepare(w, 3);
	for (int i = 0; i < 3; i++)
	{
		w->node[i].config.timeouts.min_timeout = MS(2000);
		w->node[i].config.timeouts.max_timeout = MS(4000);
		w->node[i].config.timeouts.heartbeat_interval = MS(50);
		world_new_store(w, i);
		world_start(w, i);
	}
	world_greet_all(w);
	world_elect(w, 0);
	shorter = w->node[0].config.timeouts;
	shorter.min_timeout = MS(200);
	shorter.max_timeout = MS(400);
	for (int i = 0; i < 3; i++)
		raft_set_timeouts(&w->node[i].member.raft, &shorter);
	assert_true(raft_lease_until(&w->node[0].member.raft) == w->now + world_lease_length(w, 0, MS(2000)));
	world_tick_at_deadline(w, 0); /* a round of the shorter promise */
	world_drop_all(w);
	world_isolate(w, 0);
	world_run(w, MS(1500));
	/* The promises of before hold the two others for their whole length. */
	assert_int_equal(w->node[1].member.raft.role == RAFT_LEADER || w->node[2].member.raft.role == RAFT_LEADER, false);
	assert_true(raft_promise_until(&w->node[1].member.raft) > w->now);
	world_run(w, MS(4000));
	assert_true(world_leader(w) >= 1);
}

static void
refusal_says_when_to_ask_again(void **state)
{
	RaftMessage request;
	RaftMessage m;
	uint64_t	again;

	(void) state;
	world_init_alone(w, 3);
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	request = *world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1);
	world_set_timer(w, 0, MS(400));
	m = world_answer(w, &request, false);
	m.promise = MS(130);
	world_inject(w, &m);
	again = w->now + MS(130);
	while (w->now < again)
	{
		world_tick_at_deadline(w, 0);
		if (w->now < again)
			assert_null(world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1));
		assert_true(w->now <= again);
	}
	assert_non_null(world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1));
	assert_true(world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1)->round == request.round);

	/* The yes that follows counts in this round. */
	m = world_answer(w, &request, true);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);

	/* The same for votes. */
	request = *world_sent(w, 0, RAFT_VOTE_REQUEST, 1);
	world_set_timer(w, 0, MS(400));
	m = world_answer(w, &request, false);
	m.promise = MS(70);
	world_inject(w, &m);
	again = w->now + MS(70);
	while (w->now < again)
	{
		world_tick_at_deadline(w, 0);
		if (w->now < again)
			assert_null(world_sent(w, 0, RAFT_VOTE_REQUEST, 1));
	}
	assert_non_null(world_sent(w, 0, RAFT_VOTE_REQUEST, 1));
	m = world_answer(w, &request, true);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
}

static void
requests_repeat_to_those_who_have_not_answered(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 5);
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	world_set_timer(w, 0, MS(400));
	m = *world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1);
	m = world_answer(w, &m, true);
	world_inject(w, &m);
	for (int i = 0; i < 3; i++)
	{
		uint64_t before = w->now;

		do
			world_tick_at_deadline(w, 0);
		while (world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 2) == NULL && w->now < before + MS(60));
		assert_true(w->now == before + MS(50));
		assert_null(world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1));
		assert_non_null(world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 3));
		assert_non_null(world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 4));
	}
}

/* Nodes whose timers differ widely: the leader's promise counts. */
static void
different_timeouts_do_not_break_the_lease(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 20; seed++)
	{
		world_prepare(w, 3);
		for (int i = 0; i < 3; i++)
		{
			RaftTimeouts *t = &w->node[i].config.timeouts;

			t->min_timeout = MS(100) << (i * 2);
			t->max_timeout = t->min_timeout * 2;
			t->heartbeat_interval = MS(40);
			w->node[i].config.seed = seed * 10 + (uint64_t) i;
			world_new_store(w, i);
			world_start(w, i);
		}
		w->delay = MS(1);
		for (int i = 0; i < 6; i++)
		{
			assert_true(world_run_until(w, world_is_stable, MS(20000)));
			world_isolate(w, world_leader(w));
			world_run(w, MS(500 * (seed % 7)));
			world_heal(w);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_4_acknowledging_gives_a_promise),
		cmocka_unit_test(rule_4_a_promise_ends_at_the_later_of_both),
		cmocka_unit_test(rule_4_a_new_leader_does_not_end_a_promise),
		cmocka_unit_test(rule_4_a_vote_gives_a_promise),
		cmocka_unit_test(rule_4_lengthening_the_stored_promise_is_a_save),
		cmocka_unit_test(rule_4_the_stored_promise_falls_only_after_the_longer_one_ran_out),
		cmocka_unit_test(rule_4_an_impossible_promise_is_dropped),
		cmocka_unit_test(rule_4_a_leader_is_under_its_own_promise),
		cmocka_unit_test(promise_binds_the_promiser),
		cmocka_unit_test(promise_binds_the_candidate),
		cmocka_unit_test(voter_restarts_inside_the_lease),
		cmocka_unit_test(voter_restarts_inside_the_lease_of_an_isolated_leader),
		cmocka_unit_test(longer_promise_then_shorter_at_the_promiser),
		cmocka_unit_test(longer_promise_then_shorter),
		cmocka_unit_test(refusal_says_when_to_ask_again),
		cmocka_unit_test(requests_repeat_to_those_who_have_not_answered),
		cmocka_unit_test(different_timeouts_do_not_break_the_lease),
	};

	return cmocka_run_group_tests_name("promises", tests, NULL, NULL);
}
