/*
 * test/unit/test_raft_mutants.c
 *	  What no other test missed when test/mutants/ took it out of the core.
 *
 * Each test here is the only one that kills some mutant, or the only one that
 * says why.  Most are about old news: datagrams that come late, and promises
 * that count no longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

/* What a promise of 200 ms is worth with 10 % of drift: 200 * 0.9 / 1.1 - 1. */
#define LENGTH UINT64_C(162636)

static World		world;
static World *const w = &world;

/* Node 0's next round of heartbeats, not delivered; the one to "peer". */
static RaftMessage
next_heartbeat(int peer)
{
	const RaftMessage *m = NULL;

	for (int i = 0; i < 100 && m == NULL; i++)
	{
		world_tick_at_deadline(w, 0);
		m = world_sent(w, 0, RAFT_HEARTBEAT, peer);
	}
	assert_non_null(m);
	world_drop_all(w);
	return *m;
}

/* ---- leases ---- */

/* A leader forgets old rounds; an acknowledgement of one is worth nothing. */
static void
rule_6_a_round_that_is_forgotten_gives_no_lease(void **state)
{
	RaftMessage first;
	RaftMessage last;
	uint64_t	lease;

	(void) state;
	world_lead_alone(w, 3);
	first = next_heartbeat(1);
	do
	{
		last = next_heartbeat(2);
		world_acknowledge(w, &last);
	} while (last.round < first.round + RAFT_ROUNDS - 1);
	lease = raft_lease_until(&w->node[0].member.raft);
	assert_true(lease > w->now);

	/* This round is where the first one was. */
	assert_true(next_heartbeat(2).round == first.round + RAFT_ROUNDS);
	world_acknowledge(w, &first);
	assert_true(raft_lease_until(&w->node[0].member.raft) == lease);
}

/*
 * A leader that handed over and comes back: the longer promises to its earlier
 * leadership were lifted by the transfer, and count in no lease any more.
 */
static void
rule_7_lifted_promises_count_in_no_later_lease(void **state)
{
	RaftTimeouts longer;
	RaftTimeouts usual;
	RaftMessage	 m;

	(void) state;
	world_init_alone(w, 3);
	usual = longer = w->node[0].config.timeouts;
	longer.min_timeout = MS(1000);
	longer.max_timeout = MS(2000);
	raft_set_timeouts(&w->node[0].member.raft, &longer);
	world_elect(w, 0);
	m = next_heartbeat(1);
	world_acknowledge(w, &m);
	m = next_heartbeat(2);
	world_acknowledge(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) > w->now + MS(500));

	raft_set_timeouts(&w->node[0].member.raft, &usual);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	world_deliver_all(w);
	assert_int_equal(world_leader(w), 1);
	assert_int_equal(world_transfer(w, 1, 0), RAFT_TRANSFER_STARTED);
	world_deliver_all(w);
	assert_int_equal(world_leader(w), 0);
	assert_true(raft_lease_until(&w->node[0].member.raft) <= w->now + LENGTH);
}

/* Later datagrams say that it abstains; one that was overtaken changes that not. */
static void
rule_11_a_late_datagram_does_not_end_abstaining(void **state)
{
	RaftMessage heartbeat;
	RaftMessage late;
	RaftMessage newer;
	uint64_t	lease;

	(void) state;
	world_lead_alone(w, 3);
	heartbeat = next_heartbeat(1);
	late = world_answer(w, &heartbeat, true);
	newer = world_answer(w, &heartbeat, true);
	assert_true(newer.sequence > late.sequence);
	newer.abstaining = true;
	newer.may_lead = false;
	world_inject(w, &newer);
	lease = raft_lease_until(&w->node[0].member.raft);
	world_inject(w, &late);
	assert_true(w->node[0].member.raft.peers[1].abstaining);
	assert_true(raft_lease_until(&w->node[0].member.raft) == lease);
}

/* ---- standing ---- */

/* A candidacy after a failed one as a transfer's target replaces nobody. */
static void
rule_7_a_later_candidacy_replaces_nobody(void **state)
{
	const RaftMessage *m;

	(void) state;
	world_lead_alone(w, 3);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	assert_true(world_deliver(w, 0, 1));
	m = world_sent(w, 1, RAFT_VOTE_REQUEST, 2);
	assert_non_null(m);
	assert_int_equal(m->replaced_leader, 0);
	assert_true(m->replaced_term == 1);
	world_drop_all(w);

	/* Not elected; the next attempt, when every promise has run out. */
	world_advance(w, MS(1000));
	for (int i = 0; i < 10 && w->node[1].member.raft.counters.elections_started < 2; i++)
	{
		world_tick_at_deadline(w, 1);
		while (world_deliver(w, 1, 2))
			;
		while (world_under_way(w, RAFT_PRE_VOTE_ANSWER, 2, 1) > 0)
			assert_true(world_deliver(w, 2, 1));
	}
	m = world_sent(w, 1, RAFT_VOTE_REQUEST, 2);
	assert_non_null(m);
	assert_true(m->term > 2);
	assert_int_equal(m->replaced_leader, RAFT_NONE);
	assert_true(m->replaced_term == 0);
}

/* ---- abstaining ---- */

/* What is remembered of a peer's saves does not fall with a late datagram. */
static void
rule_11_the_highest_save_number_is_remembered(void **state)
{
	RaftMessage late;
	RaftMessage newer;
	RaftMessage greeting;

	(void) state;
	world_init_alone(w, 3);
	late = world_message(w, RAFT_GREETING_CONFIRM, 1, 0);
	newer = world_message(w, RAFT_GREETING_CONFIRM, 1, 0);
	late.save_number = 9;
	newer.save_number = 10;
	world_inject(w, &newer);
	world_inject(w, &late);
	greeting = world_message(w, RAFT_GREETING, 1, 0);
	greeting.boot++; /* its next start, which asks what was before */
	world_advance(w, MS(25));
	world_inject(w, &greeting);
	assert_non_null(world_sent(w, 0, RAFT_GREETING_ANSWER, 1));
	assert_true(world_sent(w, 0, RAFT_GREETING_ANSWER, 1)->remembered_save == 10);
}

/*
 * An answer to a greeting that was overtaken remembers things that are settled
 * since: it makes nobody abstain.
 */
static void
rule_11_an_overtaken_answer_remembers_nothing(void **state)
{
	RaftMessage late;
	RaftMessage newer;

	(void) state;
	world_init_alone(w, 3);
	late = world_message(w, RAFT_GREETING_ANSWER, 1, 0);
	late.max_timeout = MS(400);
	late.remembered_boot = w->node[0].disk.boot + 5;
	late.remembered_incarnation = 1;
	newer = world_message(w, RAFT_GREETING_CONFIRM, 1, 0);
	assert_true(newer.sequence > late.sequence);
	world_inject(w, &newer);
	world_inject(w, &late);
	assert_int_equal(w->node[0].disk.abstaining, RAFT_VOTING);
	assert_int_equal(world_dropped(w, 0, RAFT_DROP_STALE), 1);

	/* The same one in its turn does. */
	world_say_again(w, &late);
	assert_int_equal(w->node[0].disk.abstaining, RAFT_ABSTAIN_OLD_COPY);
}

/* An answer that comes after pg_leader_admit(), during the wait, counts too. */
static void
rule_11_the_wait_begins_again_with_a_new_answer(void **state)
{
	uint64_t wait = MS(5000) + 2 * MS(400);

	(void) state;
	world_init(w, 3);
	world_greet_all(w);
	world_crash(w, 1);
	world_set_disk(w, 1, 50, 0);
	w->node[1].disk.promise = MS(5000);
	world_crash(w, 2);
	world_wipe(w, 2);
	world_start(w, 2);
	world_run(w, MS(100));
	assert_true(world_admit(w, 2));
	assert_true(w->node[2].member.raft.abstain_until > w->now);
	assert_true(w->node[2].member.raft.abstain_until < w->now + wait);

	world_start(w, 1);
	world_run(w, MS(200));
	assert_int_equal(w->node[2].disk.abstaining, RAFT_ABSTAIN_NEW);
	assert_true(w->node[2].member.raft.abstain_until > w->now + wait - MS(200));
	assert_true(w->node[2].disk.term >= 50);
	assert_true(w->node[2].disk.promise == MS(5000));
}

/* pg_leader_admit() is for the dead: a living member with another list counts. */
static void
rule_11_no_word_covers_a_living_member(void **state)
{
	uint64_t peers = 0;

	(void) state;
	world_prepare(w, 3);
	w->node[2].config.list_digest++;
	world_new_store(w, 1);
	world_new_store(w, 2);
	for (int i = 0; i < 3; i++)
		world_start(w, i);
	world_run(w, MS(500));
	assert_true(world_admit(w, 0));
	assert_false(raft_abstains_for(&w->node[0].member.raft, w->now, &peers));
	assert_true(peers == UINT64_C(1) << 2);
	world_run(w, MS(3000));
	assert_int_equal(w->node[0].disk.abstaining, RAFT_ABSTAIN_NEW);

	/* It is stopped, and silent for long. */
	world_crash(w, 2);
	world_run(w, MS(10000));
	assert_int_equal(w->node[0].disk.abstaining, RAFT_VOTING);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_6_a_round_that_is_forgotten_gives_no_lease),
		cmocka_unit_test(rule_7_lifted_promises_count_in_no_later_lease),
		cmocka_unit_test(rule_11_a_late_datagram_does_not_end_abstaining),
		cmocka_unit_test(rule_7_a_later_candidacy_replaces_nobody),
		cmocka_unit_test(rule_11_the_highest_save_number_is_remembered),
		cmocka_unit_test(rule_11_an_overtaken_answer_remembers_nothing),
		cmocka_unit_test(rule_11_the_wait_begins_again_with_a_new_answer),
		cmocka_unit_test(rule_11_no_word_covers_a_living_member),
	};

	return cmocka_run_group_tests_name("mutants", tests, NULL, NULL);
}
