/*
 * test/unit/test_raft_votes.c
 *	  Votes and positions: rules 1 and 2 of the election, and what a crash
 *	  around a save may do to them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

static World		world;
static World *const w = &world;

/* Node 0 is asked for its vote; true: given. */
static bool
asked_by(int candidate, uint64_t term)
{
	RaftMessage		   m = world_vote_request(w, candidate, 0, term);
	const RaftMessage *answer;

	world_inject(w, &m);
	answer = world_sent(w, 0, RAFT_VOTE_ANSWER, candidate);
	assert_non_null(answer);
	assert_true(answer->asked_term == term);
	return answer->granted;
}

/* Node 0 stands, with the pre-votes of node 1 and, if there are 5, node 2. */
static void
make_candidate(void)
{
	RaftMessage m;

	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
	for (int peer = 1; peer <= w->n / 2; peer++)
	{
		const RaftMessage *request;

		for (bool found = false; !found;)
		{
			assert_true(world_take(w, 0, peer, &m));
			found = m.type == RAFT_PRE_VOTE_REQUEST;
		}
		request = &m;
		m = world_answer(w, request, true);
		world_inject(w, &m);
	}
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
}

static void
rule_1_one_vote_per_term(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	assert_true(asked_by(1, 5));
	assert_true(w->node[0].member.output.save);
	assert_int_equal(w->node[0].disk.voted_for, 1);
	assert_true(w->node[0].disk.term == 5);
	assert_non_null(world_event(w, 0, RAFT_VOTE_GIVEN));

	world_advance(w, MS(1000)); /* long after the vote's promise */
	assert_false(asked_by(2, 5));
	assert_int_equal(w->node[0].disk.voted_for, 1);
	assert_true(w->node[0].member.raft.counters.votes_given == 1);
	assert_true(w->node[0].member.raft.counters.votes_refused == 1);
}

static void
rule_1_only_a_higher_term_clears_the_vote(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	assert_true(asked_by(1, 5));
	world_advance(w, MS(1000));
	assert_false(asked_by(2, 4));
	assert_int_equal(w->node[0].disk.voted_for, 1);
	assert_true(asked_by(2, 6));
	assert_int_equal(w->node[0].disk.voted_for, 2);

	/* A term learnt from a leader clears it, and gives it to nobody. */
	{
		RaftMessage m = world_heartbeat(w, 1, 0, 9, 1);

		world_inject(w, &m);
		assert_true(w->node[0].disk.term == 9);
		assert_int_equal(w->node[0].disk.voted_for, RAFT_NONE);
	}
}

static void
rule_1_a_restart_keeps_the_vote(void **state)
{
	(void) state;
	world_init_alone(w, 3);
	assert_true(asked_by(1, 5));
	world_restart(w, 0);
	world_greet_all(w);
	world_advance(w, MS(1000));
	assert_false(asked_by(2, 5));
	assert_true(asked_by(1, 5));
}

static void
rule_2_a_vote_needs_a_position_as_new(void **state)
{
	static const struct
	{
		uint64_t epoch,
			index;
		bool granted;
	} cases[] = {
		{3, 99, false}, {4, 9, false}, {4, 10, true}, {4, 11, true}, {5, 0, true}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int pre = 0; pre < 2; pre++)
		{
			RaftMessage m;

			world_init_alone(w, 3);
			world_set_position(w, 0, 4, 10);
			m = pre ? world_pre_vote_request(w, 1, 0, 5) : world_vote_request(w, 1, 0, 5);
			m.position.epoch = cases[i].epoch;
			m.position.index = cases[i].index;
			world_inject(w, &m);
			assert_int_equal(world_sent(w, 0, pre ? RAFT_PRE_VOTE_ANSWER : RAFT_VOTE_ANSWER, 1)->granted,
							 cases[i].granted);
			if (!cases[i].granted)
				assert_int_equal(w->node[0].disk.voted_for, RAFT_NONE);
		}
}

static void
duplicate_vote_request(void **state)
{
	uint64_t saves;

	(void) state;
	world_init_alone(w, 3);
	assert_true(asked_by(1, 5));
	saves = w->node[0].disk.save_number;
	world_advance(w, MS(50)); /* well inside the promise that it gave */
	assert_true(asked_by(1, 5));
	assert_int_equal(w->node[0].disk.voted_for, 1);
	assert_true(w->node[0].disk.save_number <= saves + 1);

	world_restart(w, 0);
	world_greet_all(w);
	assert_true(raft_promise_until(&w->node[0].member.raft) > w->now);
	assert_true(asked_by(1, 5));
}

static void
duplicate_vote_response(void **state)
{
	RaftMessage m;
	RaftMessage yes;

	(void) state;
	world_init_alone(w, 5);
	make_candidate();
	for (int i = 0; i < 3; i++)
	{
		m = *world_sent(w, 0, RAFT_VOTE_REQUEST, RAFT_NONE);
		m.to = 1;
		yes = world_answer(w, &m, true);
		world_inject(w, &yes);
		assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
		w->node[0].member.output.messages[0] = m; /* for the next turn */
		w->node[0].member.output.n_messages = 1;
	}
	m.to = 2;
	yes = world_answer(w, &m, true);
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
}

static void
refusals_do_not_make_a_leader(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	make_candidate();
	m = *world_sent(w, 0, RAFT_VOTE_REQUEST, RAFT_NONE);
	for (int peer = 1; peer < 3; peer++)
	{
		RaftMessage no;

		m.to = peer;
		no = world_answer(w, &m, false);
		world_inject(w, &no);
		assert_int_not_equal(w->node[0].member.raft.role, RAFT_LEADER);
	}
}

static void
vote_of_an_earlier_term_is_not_counted(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	make_candidate();
	m = *world_sent(w, 0, RAFT_VOTE_REQUEST, RAFT_NONE);
	world_drop_all(w);
	world_advance(w, MS(1000));
	world_set_timer(w, 0, 0);
	make_candidate(); /* one term later */
	assert_true(w->node[0].disk.term == m.term + 1);
	m.to = 1;
	m = world_answer(w, &m, true);
	m.term = w->node[0].disk.term; /* the voter has followed since */
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(world_dropped(w, 0, RAFT_DROP_STALE) == 1);
}

static void
step_down_keeps_vote_candidate(void **state)
{
	RaftMessage m;
	uint64_t	term;

	(void) state;
	world_init_alone(w, 3);
	make_candidate();
	term = w->node[0].disk.term;
	m = world_heartbeat(w, 1, 0, term, 1);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_int_equal(w->node[0].disk.voted_for, 0);
	world_advance(w, MS(1000));
	assert_false(asked_by(1, term));
	assert_false(asked_by(2, term));
}

static void
step_down_keeps_vote_leader(void **state)
{
	uint64_t term;

	(void) state;
	world_init_alone(w, 3);
	world_elect(w, 0);
	term = w->node[0].disk.term;
	world_drop_all(w);
	for (int i = 0; i < 100 && w->node[0].member.raft.role == RAFT_LEADER; i++)
	{
		world_tick_at_deadline(w, 0);
		world_drop_all(w);
	}
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(w->node[0].disk.term == term);
	assert_int_equal(w->node[0].disk.voted_for, 0);
	world_advance(w, MS(1000));
	assert_false(asked_by(1, term));

	/* The same after a hand-over. */
	world_init_alone(w, 3);
	world_elect(w, 0);
	term = w->node[0].disk.term;
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	world_drop_all(w);
	world_advance(w, MS(1000));
	assert_int_equal(w->node[0].disk.voted_for, 0);
	assert_false(asked_by(1, term));
}

static void
losing_an_election_keeps_vote(void **state)
{
	uint64_t term;

	(void) state;
	world_init_alone(w, 3);
	make_candidate();
	term = w->node[0].disk.term;
	world_drop_all(w);
	for (int i = 0; i < 100 && w->node[0].member.raft.role == RAFT_CANDIDATE; i++)
	{
		world_tick_at_deadline(w, 0);
		world_drop_all(w);
	}
	assert_int_not_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(w->node[0].member.raft.counters.elections_lost == 1);
	if (w->node[0].disk.term == term)
	{
		assert_int_equal(w->node[0].disk.voted_for, 0);
		world_advance(w, MS(1000));
		assert_false(asked_by(1, term));
	}
}

static void
learning_a_leader_keeps_vote(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 5);
	assert_true(asked_by(1, 5));
	m = world_heartbeat(w, 2, 0, 5, 1);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.leader_id, 2);
	assert_int_equal(w->node[0].disk.voted_for, 1);
	world_advance(w, MS(1000));
	assert_false(asked_by(2, 5));
	assert_false(asked_by(3, 5));
}

static void
refused_vote_keeps_timer(void **state)
{
	uint64_t	timer;
	RaftMessage m;

	(void) state;

	/* Behind the voter; in a term that the voter adopts, and then its own. */
	world_init_alone(w, 3);
	world_set_position(w, 0, 1, 1);
	timer = w->node[0].member.raft.timer;
	world_advance(w, MS(10));
	assert_false(asked_by(1, 5));
	assert_true(w->node[0].disk.term == 5);
	assert_true(w->node[0].member.raft.timer == timer);
	assert_false(asked_by(2, 5));
	assert_true(w->node[0].member.raft.timer == timer);
	assert_false(asked_by(2, 3));
	assert_true(w->node[0].member.raft.timer == timer);

	/* Under a promise. */
	m = world_heartbeat(w, 1, 0, 5, 1);
	world_inject(w, &m);
	timer = w->node[0].member.raft.timer;
	world_advance(w, MS(10));
	assert_false(asked_by(2, 6));
	assert_true(w->node[0].member.raft.timer == timer);

	/* Voted already. */
	world_init_alone(w, 3);
	assert_true(asked_by(1, 5));
	timer = w->node[0].member.raft.timer;
	world_advance(w, MS(10));
	assert_false(asked_by(2, 5));
	assert_true(w->node[0].member.raft.timer == timer);
}

/* Two of three are left, one of them far behind in terms: each way round. */
static void
voter_with_lower_term_needed_for_quorum(void **state)
{
	(void) state;
	for (int lower = 0; lower < 2; lower++)
		for (int first = 0; first < 2; first++)
		{
			world_prepare(w, 3);
			world_set_disk(w, lower, 3, RAFT_NONE);
			world_set_disk(w, !lower, 7, 2);
			world_start(w, 0);
			world_start(w, 1);
			world_greet_all(w);
			world_run(w, MS(200)); /* the stored promise */
			world_set_timer(w, first, 0);
			assert_true(world_run_until(w, world_is_stable, MS(2000)));
			assert_true(w->node[0].disk.term > 7);
		}
}

static void
elect_with(uint64_t term0, uint64_t index0, uint64_t term1, uint64_t index1, uint64_t seed)
{
	world_prepare(w, 3);
	world_set_disk(w, 0, term0, RAFT_NONE);
	world_set_disk(w, 1, term1, RAFT_NONE);
	for (int i = 0; i < 2; i++)
	{
		w->node[i].config.seed = seed + (uint64_t) i;
		world_start(w, i);
	}
	world_set_position(w, 0, 1, index0);
	world_set_position(w, 1, 1, index1);
	w->delay = MS(1);
	if (!world_run_until(w, world_is_stable, MS(5000)))
		fail_msg("no leader");
}

static void
newer_position_older_term(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 50; seed++)
	{
		elect_with(5, 1, 3, 2, seed);
		assert_int_equal(world_leader(w), 1);
		assert_true(w->node[1].disk.term > 5);
	}
}

static void
older_position_newer_term(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 50; seed++)
	{
		elect_with(3, 7, 900, 6, seed);
		assert_int_equal(world_leader(w), 0);
		assert_true(w->node[0].disk.term > 900);
	}
}

static void
crash_around_the_save_of_a_vote(void **state)
{
	RaftMessage m;

	(void) state;

	/* Before it: the vote was never given, and may go to another. */
	world_init_alone(w, 3);
	w->node[0].fault = WORLD_SAVE_FAILS;
	m = world_vote_request(w, 1, 0, 5);
	world_inject(w, &m);
	assert_false(w->node[0].running);
	assert_int_equal(world_under_way(w, RAFT_VOTE_ANSWER, 0, RAFT_NONE), 0);
	world_start(w, 0);
	world_greet_all(w);
	assert_true(w->node[0].disk.term == 0);
	assert_true(asked_by(2, 5));

	/* Between save and send: nobody heard of it, and still it is given. */
	world_init_alone(w, 3);
	w->node[0].fault = WORLD_DIES_BEFORE_SENDING;
	m = world_vote_request(w, 1, 0, 5);
	world_inject(w, &m);
	assert_false(w->node[0].running);
	assert_int_equal(world_under_way(w, RAFT_VOTE_ANSWER, 0, RAFT_NONE), 0);
	world_start(w, 0);
	world_greet_all(w);
	assert_true(w->node[0].disk.term == 5);
	world_advance(w, MS(1000));
	assert_false(asked_by(2, 5));
	assert_true(asked_by(1, 5));

	/* After both. */
	world_init_alone(w, 3);
	assert_true(asked_by(1, 5));
	world_crash(w, 0);
	world_start(w, 0);
	world_greet_all(w);
	world_advance(w, MS(1000));
	assert_false(asked_by(2, 5));
}

static void
crash_around_the_save_of_a_candidacy(void **state)
{
	(void) state;
	for (int fault = WORLD_SAVE_FAILS; fault <= WORLD_DIES_BEFORE_SENDING; fault++)
	{
		world_init_alone(w, 3);
		w->node[0].fault = (WorldFault) fault;
		world_set_timer(w, 0, 0);
		world_tick(w, 0);
		world_deliver_all(w); /* pre-votes; the candidacy is saved, or not */
		assert_false(w->node[0].running);
		assert_int_equal(w->node[1].n_sent[RAFT_VOTE_ANSWER], 0);
		world_start(w, 0);
		world_greet_all(w);
		world_advance(w, MS(1000));
		assert_true(w->node[0].disk.term == (fault == WORLD_SAVE_FAILS ? 0 : 1));

		/* With its vote durable it must not give another. */
		assert_int_equal(asked_by(2, 1), fault == WORLD_SAVE_FAILS);
	}
}

static void
crash_around_the_save_in_elections(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 30; seed++)
	{
		world_init(w, 5);
		w->random = seed;
		w->delay = MS(1);
		w->jitter = MS(3);
		for (int i = 0; i < 60; i++)
		{
			int victim = (int) world_random(w, 5);

			if (!w->node[victim].running)
				world_start(w, victim);
			w->node[victim].fault = (WorldFault) world_random(w, 3);
			world_run(w, world_random(w, MS(120)));
		}
		for (int i = 0; i < 5; i++)
		{
			w->node[i].fault = WORLD_NO_FAULT;
			if (!w->node[i].running)
				world_start(w, i);
		}
		assert_true(world_run_until(w, world_is_stable, MS(5000)));
	}
}

static void
save_fails(void **state)
{
	RaftMessage m;

	(void) state;

	/* An acknowledgement whose promise is not durable is not sent. */
	world_init_alone(w, 3);
	w->node[0].fault = WORLD_SAVE_FAILS;
	m = world_heartbeat(w, 1, 0, 1, 1);
	world_inject(w, &m);
	assert_false(w->node[0].running);
	assert_int_equal(world_under_way(w, RAFT_HEARTBEAT_ANSWER, 0, RAFT_NONE), 0);
	assert_true(w->node[0].disk.term == 0);

	/* It goes on from what the disk holds, and never below it. */
	world_start(w, 0);
	world_greet_all(w);
	m = world_heartbeat(w, 1, 0, 1, 2);
	world_inject(w, &m);
	assert_true(world_sent(w, 0, RAFT_HEARTBEAT_ANSWER, 1)->granted);
	assert_true(w->node[0].disk.term == 1);
	assert_true(w->node[0].disk.promise >= MS(200));
}

static void
position_rises_during_vote(void **state)
{
	RaftMessage m;

	(void) state;

	/* At the voter, between pre-vote and vote. */
	world_init_alone(w, 3);
	m = world_pre_vote_request(w, 1, 0, 1);
	world_inject(w, &m);
	assert_true(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 1)->granted);
	world_set_position(w, 0, 0, 1);
	assert_false(asked_by(1, 1));

	/* The candidate catches up and asks again: now it may have it. */
	m = world_vote_request(w, 1, 0, 1);
	m.position.index = 1;
	world_inject(w, &m);
	assert_true(world_sent(w, 0, RAFT_VOTE_ANSWER, 1)->granted);

	/* Every request names the position of its own moment. */
	world_init_alone(w, 3);
	make_candidate();
	assert_true(world_sent(w, 0, RAFT_VOTE_REQUEST, 1)->position.index == 0);
	world_set_position(w, 0, 0, 4);
	world_advance(w, MS(50));
	world_tick(w, 0);
	assert_non_null(world_sent(w, 0, RAFT_VOTE_REQUEST, 1));
	assert_true(world_sent(w, 0, RAFT_VOTE_REQUEST, 1)->position.index == 4);
}

static void
a_member_that_may_not_lead_votes_and_never_stands(void **state)
{
	(void) state;
	world_prepare(w, 3);
	for (int i = 0; i < 3; i++)
	{
		world_new_store(w, i);
		w->node[i].config.may_lead = i == 2;
		world_start(w, i);
	}
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_int_equal(world_leader(w), 2);
	world_crash(w, 2);
	world_run(w, MS(3000));
	assert_int_equal(world_leader(w), RAFT_NONE);
	assert_true(w->node[0].member.raft.counters.elections_started == 0);
	raft_set_may_lead(&w->node[1].member.raft, true);
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_int_equal(world_leader(w), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_1_one_vote_per_term),
		cmocka_unit_test(rule_1_only_a_higher_term_clears_the_vote),
		cmocka_unit_test(rule_1_a_restart_keeps_the_vote),
		cmocka_unit_test(rule_2_a_vote_needs_a_position_as_new),
		cmocka_unit_test(duplicate_vote_request),
		cmocka_unit_test(duplicate_vote_response),
		cmocka_unit_test(refusals_do_not_make_a_leader),
		cmocka_unit_test(vote_of_an_earlier_term_is_not_counted),
		cmocka_unit_test(step_down_keeps_vote_candidate),
		cmocka_unit_test(step_down_keeps_vote_leader),
		cmocka_unit_test(losing_an_election_keeps_vote),
		cmocka_unit_test(learning_a_leader_keeps_vote),
		cmocka_unit_test(refused_vote_keeps_timer),
		cmocka_unit_test(voter_with_lower_term_needed_for_quorum),
		cmocka_unit_test(newer_position_older_term),
		cmocka_unit_test(older_position_newer_term),
		cmocka_unit_test(crash_around_the_save_of_a_vote),
		cmocka_unit_test(crash_around_the_save_of_a_candidacy),
		cmocka_unit_test(crash_around_the_save_in_elections),
		cmocka_unit_test(save_fails),
		cmocka_unit_test(position_rises_during_vote),
		cmocka_unit_test(a_member_that_may_not_lead_votes_and_never_stands),
	};

	return cmocka_run_group_tests_name("votes", tests, NULL, NULL);
}
