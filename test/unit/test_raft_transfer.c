/*
 * test/unit/test_raft_transfer.c
 *	  Hand-over, resigning and a member that is ahead: rules 7 to 9.
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
lead(int n)
{
	world_init(w, n);
	w->delay = 200;
	world_elect(w, 0);
	world_run(w, MS(200)); /* everyone has acknowledged */
	assert_true(world_is_stable(w));
	world_run(w, MS(1));
	world_drop_all(w);
	world_forget(w);
}

static void
rule_7_hand_over_takes_no_timeout(void **state)
{
	uint64_t start;

	(void) state;
	lead(3);
	start = w->now;
	assert_int_equal(world_transfer(w, 0, 2), RAFT_TRANSFER_STARTED);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(raft_lease_until(&w->node[0].member.raft) == 0);
	assert_non_null(world_event(w, 0, RAFT_HANDED_OVER));
	assert_int_equal(world_event(w, 0, RAFT_HANDED_OVER)->peer, 2);
	assert_int_equal(world_under_way(w, RAFT_TRANSFER, 0, 2), RAFT_TRANSFERS);
	assert_int_equal(world_under_way(w, RAFT_TRANSFER, 0, 1), 0);
	assert_true(world_run_until(w, world_is_stable, MS(10)));
	assert_int_equal(world_leader(w), 2);
	assert_true(w->node[2].disk.term == 2);
	assert_true(w->now - start <= MS(2));
	assert_non_null(world_event(w, 2, RAFT_ASKED_TO_STAND));
	assert_int_equal(w->node[2].n_sent[RAFT_PRE_VOTE_REQUEST], 0);
	assert_true(w->node[0].member.raft.counters.transfers == 1);
}

static void
rule_7_the_candidacy_names_whom_it_replaces(void **state)
{
	const RaftMessage *m;

	(void) state;
	lead(3);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	assert_true(world_deliver(w, 0, 1));
	assert_int_equal(w->node[1].member.raft.role, RAFT_CANDIDATE);
	m = world_sent(w, 1, RAFT_VOTE_REQUEST, 2);
	assert_non_null(m);
	assert_true(m->term == 2);
	assert_true(m->replaced_term == 1);
	assert_int_equal(m->replaced_leader, 0);
}

static void
rule_7_only_that_promise_is_lifted(void **state)
{
	static const struct
	{
		uint64_t term;
		int32_t	 leader;
		bool	 granted;
	} cases[] = {
		{4, 1, true}, {4, 3, false}, {3, 1, false}, {5, 1, false}, {0, RAFT_NONE, false}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		RaftMessage m;

		world_init_alone(w, 5);
		m = world_heartbeat(w, 1, 0, 4, 1);
		world_inject(w, &m);
		m = world_vote_request(w, 2, 0, 6);
		m.replaced_term = cases[i].term;
		m.replaced_leader = cases[i].leader;
		world_inject(w, &m);
		assert_int_equal(world_sent(w, 0, RAFT_VOTE_ANSWER, 2)->granted, cases[i].granted);
		assert_true(w->node[0].disk.term == (cases[i].granted ? 6 : 4));
	}
}

static void
rule_7_a_promise_to_another_is_not_lifted(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 5);
	m = world_heartbeat(w, 3, 0, 3, 1);
	m.promise = MS(1000);
	world_inject(w, &m);
	world_advance(w, MS(10));
	m = world_heartbeat(w, 1, 0, 4, 1);
	world_inject(w, &m);
	m = world_vote_request(w, 2, 0, 5);
	m.replaced_term = 4;
	m.replaced_leader = 1;
	world_inject(w, &m);
	assert_false(world_sent(w, 0, RAFT_VOTE_ANSWER, 2)->granted);
	assert_true(world_sent(w, 0, RAFT_VOTE_ANSWER, 2)->promise == MS(990));

	/* Nor is one that a restart has left without a name. */
	world_init_alone(w, 5);
	m = world_heartbeat(w, 1, 0, 4, 1);
	world_inject(w, &m);
	world_restart(w, 0);
	world_greet_all(w);
	m = world_vote_request(w, 2, 0, 5);
	m.replaced_term = 4;
	m.replaced_leader = 1;
	world_inject(w, &m);
	assert_false(world_sent(w, 0, RAFT_VOTE_ANSWER, 2)->granted);
}

static void
rule_7_late_acknowledgements_change_nothing(void **state)
{
	RaftMessage m;
	RaftMessage heartbeat;

	(void) state;
	lead(3);
	while (world_under_way(w, RAFT_HEARTBEAT, 0, 1) == 0)
		world_tick_at_deadline(w, 0);
	heartbeat = *world_sent(w, 0, RAFT_HEARTBEAT, 1);
	world_drop_all(w);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	for (int peer = 1; peer < 3; peer++)
	{
		heartbeat.to = peer;
		m = world_answer(w, &heartbeat, true);
		world_inject(w, &m);
		assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
		assert_true(raft_lease_until(&w->node[0].member.raft) == 0);
	}
}

static void
rule_7_if_the_target_fails_the_next_term_has_a_leader(void **state)
{
	(void) state;
	for (int lost = 0; lost < 2; lost++)
	{
		lead(3);
		assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
		if (lost)
			world_drop_all(w);
		else
			world_crash(w, 1);
		assert_true(world_run_until(w, world_is_stable, MS(3000)));
		assert_true(w->node[world_leader(w)].disk.term > 1);
	}
}

static void
rule_7_who_may_be_the_target(void **state)
{
	RaftMessage m;

	(void) state;
	lead(3);
	assert_int_equal(world_transfer(w, 1, 2), RAFT_TRANSFER_NOT_LEADER);
	assert_int_equal(world_transfer(w, 0, 0), RAFT_TRANSFER_TO_SELF);
	assert_int_equal(world_transfer(w, 0, 3), RAFT_TRANSFER_UNKNOWN_NODE);
	assert_int_equal(world_transfer(w, 0, 64), RAFT_TRANSFER_UNKNOWN_NODE);
	assert_int_equal(world_transfer(w, 0, INT32_MAX), RAFT_TRANSFER_UNKNOWN_NODE);
	assert_int_equal(world_transfer(w, 0, INT32_MIN), RAFT_TRANSFER_UNKNOWN_NODE);
	world_set_position(w, 0, 1, 1);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_BEHIND);
	assert_int_equal(world_transfer(w, 0, RAFT_NONE), RAFT_TRANSFER_NO_TARGET);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	assert_true(world_has_lease(w, 0));
	world_set_position(w, 2, 1, 1);
	world_run(w, MS(100));
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_BEHIND);
	assert_int_equal(world_transfer(w, 0, RAFT_NONE), RAFT_TRANSFER_STARTED);
	m = *world_sent(w, 0, RAFT_TRANSFER, RAFT_NONE);
	assert_int_equal(m.to, 2);

	/* May not lead. */
	lead(3);
	raft_set_may_lead(&w->node[1].member.raft, false);
	world_run(w, MS(100));
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_CANNOT_LEAD);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);

	/* Nobody there. */
	world_init(w, 1);
	assert_true(world_run_until(w, world_is_stable, MS(401)));
	assert_int_equal(world_transfer(w, 0, RAFT_NONE), RAFT_TRANSFER_NO_TARGET);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
}

static void
transfer_to_dead_or_stale_node(void **state)
{
	(void) state;
	/* Known to be dead: refused, and the leader goes on. */
	lead(3);
	world_crash(w, 1);
	world_run(w, MS(260));
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_UNREACHABLE);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	assert_true(world_has_lease(w, 0));
	assert_int_equal(world_transfer(w, 0, RAFT_NONE), RAFT_TRANSFER_STARTED);
	assert_int_equal(world_sent(w, 0, RAFT_TRANSFER, RAFT_NONE)->to, 2);

	/* Just dead, which nobody knows yet: someone leads in a later term. */
	lead(5);
	world_crash(w, 1);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	assert_true(world_run_until(w, world_is_stable, MS(2000)));
	assert_true(w->node[world_leader(w)].disk.term > 1);

	/* Stale without knowing it: its candidacy is refused, and again one leads. */
	lead(3);
	world_set_position(w, 1, 0, 5);
	world_set_position(w, 2, 0, 0);
	assert_int_equal(world_transfer(w, 0, 2), RAFT_TRANSFER_STARTED);
	world_set_position(w, 0, 0, 5);
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_int_not_equal(world_leader(w), 2);
}

/*
 * A peer that has just restarted is bound by the promises of its earlier start.
 * The leader knows, and gives up nothing for a target that could not stand.
 */
static void
rule_7_a_bound_target_is_not_asked(void **state)
{
	(void) state;
	lead(3);
	world_restart(w, 1);
	world_run(w, MS(60));
	assert_true(w->node[0].member.raft.peers[1].bound);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_BOUND);
	assert_true(world_has_lease(w, 0));

	/* Asked for the fittest one, it finds the other; resigning does so too. */
	assert_int_equal(world_transfer(w, 0, RAFT_NONE), RAFT_TRANSFER_STARTED);
	assert_int_equal(world_sent(w, 0, RAFT_TRANSFER, RAFT_NONE)->to, 2);

	/* Nobody else is there: the answer is the same, until the promise ends. */
	lead(3);
	world_crash(w, 2);
	world_run(w, MS(260));
	world_restart(w, 1);
	world_run(w, MS(60));
	assert_int_equal(world_transfer(w, 0, RAFT_NONE), RAFT_TRANSFER_BOUND);
	world_run(w, MS(250));
	assert_int_equal(world_transfer(w, 0, RAFT_NONE), RAFT_TRANSFER_STARTED);
	world_run(w, MS(5));
	assert_int_equal(world_leader(w), 1);
}

static void
transfer_target_paused(void **state)
{
	(void) state;
	lead(3);
	w->node[1].paused = true;
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	world_run(w, MS(3000)); /* another leads by then, in term 2 */
	assert_true(world_leader(w) == 0 || world_leader(w) == 2);
	assert_true(world_has_lease(w, world_leader(w)));
	{
		int		 leader = world_leader(w);
		uint64_t term = w->node[leader].disk.term;

		w->node[1].paused = false;
		world_deliver_all(w); /* the order to stand first of all */
		world_run(w, MS(2000));
		assert_true(world_is_stable(w));
		assert_int_equal(world_leader(w), leader);
		assert_true(w->node[leader].disk.term <= term + 1);
	}
}

static void
transfer_then_isolate_old_leader(void **state)
{
	(void) state;
	lead(3);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	assert_true(world_deliver(w, 0, 1));
	world_isolate(w, 0);
	/* The new one has a lease long before the promises to the old one end. */
	world_run(w, MS(2));
	assert_true(world_has_lease(w, 1));
	assert_false(world_has_lease(w, 0));
	world_run(w, MS(3000));
	assert_int_equal(world_leader(w), 1);
	assert_true(w->node[1].disk.term == 2);
	assert_int_equal(w->node[0].member.raft.role == RAFT_LEADER, false);
	world_heal(w);
	world_run(w, MS(1000));
	assert_true(world_is_stable(w));
	assert_int_equal(world_leader(w), 1);
	assert_true(w->node[1].disk.term == 2);
}

static void
late_or_replayed_transfer(void **state)
{
	RaftMessage order;
	RaftMessage m;

	(void) state;
	lead(3);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	assert_true(world_take(w, 0, 1, &order));
	world_inject(w, &order);
	assert_int_equal(w->node[1].member.raft.role, RAFT_CANDIDATE);
	assert_true(w->node[1].disk.term == 2);

	/* Again: to the candidate, to the leader, to the leader that handed on. */
	world_replay(w, &order);
	world_say_again(w, &order);
	assert_true(w->node[1].disk.term == 2);
	assert_true(world_run_until(w, world_is_stable, MS(100)));
	assert_int_equal(world_leader(w), 1);
	world_replay(w, &order);
	world_say_again(w, &order);
	assert_int_equal(w->node[1].member.raft.role, RAFT_LEADER);
	assert_true(w->node[1].disk.term == 2);
	world_run(w, MS(200));
	assert_int_equal(world_transfer(w, 1, 2), RAFT_TRANSFER_STARTED);
	assert_true(world_run_until(w, world_is_stable, MS(100)));
	world_replay(w, &order);
	world_say_again(w, &order);
	assert_int_equal(w->node[1].member.raft.role, RAFT_FOLLOWER);
	assert_true(w->node[1].disk.term == 3);
	assert_true(world_dropped(w, 1, RAFT_DROP_STALE) >= 3);

	/* After a restart of the target: it does not echo. */
	lead(3);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	assert_true(world_take(w, 0, 1, &order));
	world_restart(w, 1);
	world_greet_all(w);
	world_inject(w, &order);
	assert_int_equal(w->node[1].member.raft.role, RAFT_FOLLOWER);
	assert_true(world_dropped(w, 1, RAFT_DROP_ECHO) == RAFT_TRANSFERS);

	/* From one who does not lead, or of another term. */
	lead(3);
	m = world_message(w, RAFT_TRANSFER, 2, 1);
	world_inject(w, &m);
	assert_int_equal(w->node[1].member.raft.role, RAFT_FOLLOWER);
	m = world_message(w, RAFT_TRANSFER, 0, 1);
	m.term = 0;
	world_inject(w, &m);
	assert_int_equal(w->node[1].member.raft.role, RAFT_FOLLOWER);
	assert_true(w->node[1].disk.term == 1);
}

/* No promise is in the way any more, and still it is for a term that is over,
 * or from one who does not lead. */
static void
late_transfer_when_nothing_binds(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	m = world_heartbeat(w, 1, 0, 4, 1);
	world_inject(w, &m);
	m = world_heartbeat(w, 2, 0, 5, 1);
	world_inject(w, &m);
	world_advance(w, MS(201));
	assert_true(raft_promise_until(&w->node[0].member.raft) <= w->now);
	for (uint64_t term = 3; term <= 6; term++)
		for (int from = 1; from < 3; from++)
		{
			if (term == 5 && from == 2)
				continue;
			world_set_timer(w, 0, MS(300));
			m = world_message(w, RAFT_TRANSFER, from, 0);
			m.term = term;
			world_inject(w, &m);
			assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
			assert_true(w->node[0].disk.term == 5);
			assert_null(world_sent(w, 0, RAFT_VOTE_REQUEST, RAFT_NONE));
		}

	/* The one that may, however late. */
	m = world_message(w, RAFT_TRANSFER, 2, 0);
	m.term = 5;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(w->node[0].disk.term == 6);
}

/* The order arrives after its term's promise was renewed by a second leader. */
static void
late_transfer_after_another_election(void **state)
{
	RaftMessage order;

	(void) state;
	lead(3);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	assert_true(world_take(w, 0, 1, &order));
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	for (int i = 0; i < 3; i++)
	{
		int		 leader = world_leader(w);
		uint64_t term = w->node[leader].disk.term;

		world_replay(w, &order); /* late; later a duplicate too */
		world_say_again(w, &order);
		world_run(w, MS(500));
		assert_true(world_is_stable(w));
		assert_int_equal(world_leader(w), leader);
		assert_true(w->node[leader].disk.term == term);
	}
}

static void
a_target_that_may_not_lead_does_not_stand(void **state)
{
	(void) state;
	lead(3);
	raft_set_may_lead(&w->node[1].member.raft, false);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_STARTED);
	world_run(w, MS(5));
	assert_int_equal(w->node[1].member.raft.role, RAFT_FOLLOWER);
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_int_not_equal(world_leader(w), 1);
}

static void
rule_8_resigning_hands_over_to_the_most_up_to_date(void **state)
{
	(void) state;
	lead(5);
	world_set_position(w, 0, 1, 7);
	world_set_position(w, 1, 1, 3);
	world_set_position(w, 2, 1, 9);
	world_set_position(w, 3, 1, 8);
	world_set_position(w, 4, 2, 0);
	world_crash(w, 4); /* the most up to date is dead */
	world_run(w, MS(300));
	world_resign(w, 0);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(raft_lease_until(&w->node[0].member.raft) == 0);
	assert_non_null(world_sent(w, 0, RAFT_TRANSFER, RAFT_NONE));
	assert_int_equal(world_sent(w, 0, RAFT_TRANSFER, RAFT_NONE)->to, 2);
	assert_non_null(world_event(w, 0, RAFT_RESIGNED));
	world_crash(w, 0);
	assert_true(world_run_until(w, world_is_stable, MS(10)));
	assert_int_equal(world_leader(w), 2);
}

static void
rule_8_resigning_without_anyone_fit_stops_leading(void **state)
{
	(void) state;
	lead(3);
	world_crash(w, 1);
	world_crash(w, 2);
	world_run(w, MS(260));
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	world_resign(w, 0);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(raft_lease_until(&w->node[0].member.raft) == 0);
	assert_null(world_sent(w, 0, RAFT_TRANSFER, RAFT_NONE));
	assert_non_null(world_event(w, 0, RAFT_RESIGNED));
	assert_int_equal(world_event(w, 0, RAFT_RESIGNED)->peer, RAFT_NONE);

	/* A single member. */
	world_init(w, 1);
	assert_true(world_run_until(w, world_is_stable, MS(401)));
	world_resign(w, 0);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_false(world_has_lease(w, 0));
}

/* Whoever stays elects without the one that goes: its position is no bar. */
static void
rule_8_resigning_though_the_others_are_behind(void **state)
{
	(void) state;
	lead(3);
	world_set_position(w, 0, 1, 0);
	world_set_position(w, 2, 0, 1);
	world_run(w, MS(100));
	world_resign(w, 0);
	assert_int_equal(world_sent(w, 0, RAFT_TRANSFER, RAFT_NONE)->to, 2);
	world_crash(w, 0);
	assert_true(world_run_until(w, world_is_stable, MS(10)));
	assert_int_equal(world_leader(w), 2);
}

static void
rule_8_others_have_nothing_to_resign(void **state)
{
	(void) state;
	lead(3);
	world_resign(w, 1);
	assert_int_equal(w->node[1].member.output.n_messages, 0);
	assert_int_equal(w->node[1].member.output.n_events, 0);
	assert_false(w->node[1].member.output.save);
}

static void
rule_9_a_leader_stands_above_a_member_that_is_ahead(void **state)
{
	const RaftMessage *request;
	RaftMessage		   m;

	(void) state;
	lead(5);
	while (world_under_way(w, RAFT_HEARTBEAT, 0, 4) == 0)
		world_tick_at_deadline(w, 0);
	m = *world_sent(w, 0, RAFT_HEARTBEAT, 4);
	m = world_answer(w, &m, false);
	m.term = 9;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(raft_lease_until(&w->node[0].member.raft) == 0);
	assert_true(w->node[0].disk.term == 10);
	assert_int_equal(w->node[0].disk.voted_for, 0);
	request = world_sent(w, 0, RAFT_VOTE_REQUEST, 1);
	assert_non_null(request);
	assert_true(request->replaced_term == 1);
	assert_int_equal(request->replaced_leader, 0);
	assert_non_null(world_event(w, 0, RAFT_STANDS_ABOVE));
	assert_int_equal(world_event(w, 0, RAFT_STANDS_ABOVE)->peer, 4);
	assert_true(world_run_until(w, world_is_stable, MS(10)));
	assert_int_equal(world_leader(w), 0);
	assert_true(w->node[0].disk.term == 10);
}

static void
rule_9_only_by_an_answer_to_its_own_heartbeat(void **state)
{
	RaftMessage m;

	(void) state;
	lead(5);
	while (world_under_way(w, RAFT_HEARTBEAT, 0, 4) == 0)
		world_tick_at_deadline(w, 0);
	m = *world_sent(w, 0, RAFT_HEARTBEAT, 4);
	m.term = 0; /* of a leadership before */
	m = world_answer(w, &m, false);
	m.term = 9;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	m = world_vote_request(w, 4, 0, 9);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	m = world_pre_vote_request(w, 4, 0, 10);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	assert_true(w->node[0].disk.term == 1);
}

static void
member_comes_back_ahead(void **state)
{
	(void) state;
	for (uint64_t ahead = 1; ahead < 50; ahead += 12)
	{
		uint64_t  term;
		uint64_t  start;
		RaftSaved record;

		lead(3);
		term = w->node[0].disk.term;
		world_crash(w, 2);
		record = w->node[2].disk;
		record.term = term + ahead; /* a candidacy saved, its requests lost */
		record.voted_for = 2;
		record.save_number++;
		world_restore(w, 2, &record);
		world_start(w, 2);
		start = w->now;
		assert_true(world_run_until(w, world_is_stable, MS(300)));
		assert_int_equal(world_leader(w), 0);
		assert_true(w->node[0].disk.term == term + ahead + 1);
		assert_true(w->now - start <= MS(120));
		world_run(w, MS(3000));
		assert_true(world_is_stable(w));
		assert_int_equal(world_leader(w), 0);
		assert_true(w->node[0].disk.term == term + ahead + 1);
	}
}

/* The way it happens: a candidate is cut off with its term saved. */
static void
member_comes_back_ahead_after_a_lost_candidacy(void **state)
{
	(void) state;
	lead(3);
	assert_int_equal(world_transfer(w, 0, 2), RAFT_TRANSFER_STARTED);
	assert_true(world_deliver(w, 0, 2));
	assert_int_equal(w->node[2].member.raft.role, RAFT_CANDIDATE);
	world_isolate(w, 2);
	world_run(w, MS(3000));
	assert_true(world_leader(w) == 0 || world_leader(w) == 1);
	{
		int		 leader = world_leader(w);
		uint64_t term = w->node[leader].disk.term;

		world_heal(w);
		world_run(w, MS(3000));
		assert_true(world_is_stable(w));
		assert_int_equal(world_leader(w), leader);
		assert_true(w->node[leader].disk.term <= term + 1);
	}
}

/* One of its datagrams is enough; the others are stale. */
static void
rule_7_a_hand_over_survives_lost_datagrams(void **state)
{
	(void) state;
	lead(3);
	w->lose_type = RAFT_TRANSFER;
	w->lose_count = RAFT_TRANSFERS - 1;
	assert_int_equal(world_transfer(w, 0, 2), RAFT_TRANSFER_STARTED);
	assert_true(world_run_until(w, world_is_stable, MS(10)));
	assert_int_equal(world_leader(w), 2);
	assert_true(w->node[2].disk.term == 2);

	lead(3);
	assert_int_equal(world_transfer(w, 0, 2), RAFT_TRANSFER_STARTED);
	assert_true(world_run_until(w, world_is_stable, MS(10)));
	world_run(w, MS(10));
	assert_true(w->node[2].disk.term == 2);
	assert_true(world_dropped(w, 2, RAFT_DROP_STALE) >= RAFT_TRANSFERS - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_7_hand_over_takes_no_timeout),
		cmocka_unit_test(rule_7_the_candidacy_names_whom_it_replaces),
		cmocka_unit_test(rule_7_a_hand_over_survives_lost_datagrams),
		cmocka_unit_test(rule_7_only_that_promise_is_lifted),
		cmocka_unit_test(rule_7_a_promise_to_another_is_not_lifted),
		cmocka_unit_test(rule_7_late_acknowledgements_change_nothing),
		cmocka_unit_test(rule_7_if_the_target_fails_the_next_term_has_a_leader),
		cmocka_unit_test(rule_7_who_may_be_the_target),
		cmocka_unit_test(rule_7_a_bound_target_is_not_asked),
		cmocka_unit_test(transfer_to_dead_or_stale_node),
		cmocka_unit_test(transfer_target_paused),
		cmocka_unit_test(transfer_then_isolate_old_leader),
		cmocka_unit_test(late_or_replayed_transfer),
		cmocka_unit_test(late_transfer_when_nothing_binds),
		cmocka_unit_test(late_transfer_after_another_election),
		cmocka_unit_test(a_target_that_may_not_lead_does_not_stand),
		cmocka_unit_test(rule_8_resigning_hands_over_to_the_most_up_to_date),
		cmocka_unit_test(rule_8_resigning_without_anyone_fit_stops_leading),
		cmocka_unit_test(rule_8_resigning_though_the_others_are_behind),
		cmocka_unit_test(rule_8_others_have_nothing_to_resign),
		cmocka_unit_test(rule_9_a_leader_stands_above_a_member_that_is_ahead),
		cmocka_unit_test(rule_9_only_by_an_answer_to_its_own_heartbeat),
		cmocka_unit_test(member_comes_back_ahead),
		cmocka_unit_test(member_comes_back_ahead_after_a_lost_candidacy),
	};

	return cmocka_run_group_tests_name("hand-over", tests, NULL, NULL);
}
