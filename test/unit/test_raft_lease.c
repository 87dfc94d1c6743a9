/*
 * test/unit/test_raft_lease.c
 *	  Check quorum and lease: rules 5 and 6 of the election.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

/* What a promise of 200 ms is worth with 10 % of drift: 200 * 0.9 / 1.1 - 1. */
#define LENGTH UINT64_C(162636)

static World		world;
static World *const w = &world;

/* Node 0's next round of heartbeats, and nothing else under way. */
static void
next_round(void)
{
	world_drop_all(w);
	for (int i = 0; i < 100; i++)
	{
		world_tick_at_deadline(w, 0);
		if (world_under_way(w, RAFT_HEARTBEAT, 0, RAFT_NONE) > 0)
			return;
		world_drop_all(w);
	}
	fail_msg("the leader sends no heartbeats");
}

/* Node 0's newest heartbeat to a peer. */
static RaftMessage
heartbeat_to(int peer)
{
	const RaftMessage *m = world_sent(w, 0, RAFT_HEARTBEAT, peer);

	assert_non_null(m);
	return *m;
}

static void
rule_5_check_quorum(void **state)
{
	uint64_t start;

	(void) state;
	world_lead_alone(w, 3);
	start = w->now;
	while (w->node[0].member.raft.role == RAFT_LEADER && w->now < start + MS(1000))
	{
		world_tick_at_deadline(w, 0);
		world_drop_all(w);
	}
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_in_range(w->now - start, MS(400), MS(400) + MS(50));
	assert_non_null(world_event(w, 0, RAFT_QUORUM_LOST));
	assert_int_equal(world_event(w, 0, RAFT_QUORUM_LOST)->value, MS(400));
	assert_int_equal(world_event(w, 0, RAFT_QUORUM_LOST)->nodes, 0);
	assert_int_equal(w->node[0].member.raft.leader_id, RAFT_NONE);
	assert_true(w->node[0].disk.term == 1);
	assert_true(w->node[0].member.raft.counters.quorum_losses == 1);
}

static void
rule_5_one_of_five_is_no_quorum(void **state)
{
	uint64_t start;

	(void) state;
	world_lead_alone(w, 5);
	start = w->now;
	while (w->node[0].member.raft.role == RAFT_LEADER && w->now < start + MS(1000))
	{
		world_drop_all(w);
		world_tick_at_deadline(w, 0);
		if (world_sent(w, 0, RAFT_HEARTBEAT, 1) != NULL)
		{
			RaftMessage m = heartbeat_to(1);

			world_acknowledge(w, &m);
		}
	}
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_in_range(w->now - start, MS(400), MS(450));
	assert_int_equal(world_event(w, 0, RAFT_QUORUM_LOST)->nodes, UINT64_C(1) << 1);
}

static void
rule_5_a_majority_that_answers_keeps_the_leader(void **state)
{
	uint64_t start;

	(void) state;
	world_lead_alone(w, 5);
	start = w->now;
	for (int i = 0; w->now < start + MS(3000); i++)
	{
		RaftMessage one;
		RaftMessage two;

		next_round();
		/* Never the same two: each is silent for 100 ms at most. */
		one = heartbeat_to(1 + i % 4);
		two = heartbeat_to(1 + (i + 1) % 4);
		world_acknowledge(w, &one);
		world_acknowledge(w, &two);
		assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	}
}

static void
rule_5_a_refusal_is_no_acknowledgement(void **state)
{
	uint64_t start;

	(void) state;
	world_lead_alone(w, 3);
	start = w->now;
	while (w->node[0].member.raft.role == RAFT_LEADER && w->now < start + MS(1000))
	{
		world_drop_all(w);
		world_tick_at_deadline(w, 0);
		for (int peer = 1; peer < 3 && world_sent(w, 0, RAFT_HEARTBEAT, 1) != NULL; peer++)
		{
			RaftMessage m = heartbeat_to(peer);

			w->node[0].member.output.n_messages = 0;
			m = world_answer(w, &m, false);
			world_inject(w, &m);
		}
	}
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(w->now - start <= MS(450));
}

static void
rule_6_a_new_leader_holds_a_lease_at_once(void **state)
{
	RaftMessage request;
	RaftMessage m;
	uint64_t	first_send;

	(void) state;
	world_init_alone(w, 3);
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	m = *world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1);
	m = world_answer(w, &m, true);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	first_send = w->now;
	request = *world_sent(w, 0, RAFT_VOTE_REQUEST, 1);

	/* The request is repeated; the vote that comes then may be the first's. */
	world_advance(w, MS(50));
	world_tick(w, 0);
	assert_non_null(world_sent(w, 0, RAFT_VOTE_REQUEST, 1));
	world_advance(w, MS(10));
	m = world_answer(w, &request, true);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	assert_true(raft_lease_until(&w->node[0].member.raft) == first_send + LENGTH);
	assert_non_null(world_sent(w, 0, RAFT_HEARTBEAT, 1));
	assert_non_null(world_sent(w, 0, RAFT_HEARTBEAT, 2));
}

static void
rule_6_the_lease_runs_from_the_send_time(void **state)
{
	RaftMessage m;
	uint64_t	sent;

	(void) state;
	world_lead_alone(w, 3);
	assert_true(raft_lease_until(&w->node[0].member.raft) == w->now + LENGTH);
	next_round();
	sent = w->now;
	m = heartbeat_to(1);
	assert_true(m.promise == MS(200));
	world_advance(w, MS(40)); /* the answer's way */
	world_acknowledge(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == sent + LENGTH);
}

static void
rule_6_the_lease_needs_a_majority(void **state)
{
	RaftMessage m[5];
	uint64_t	before;

	(void) state;
	world_lead_alone(w, 5);
	before = raft_lease_until(&w->node[0].member.raft);
	next_round();
	for (int peer = 1; peer < 5; peer++)
		m[peer] = heartbeat_to(peer);
	world_acknowledge(w, &m[1]);
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);
	world_acknowledge(w, &m[1]); /* twice is once */
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);
	world_acknowledge(w, &m[2]);
	assert_true(raft_lease_until(&w->node[0].member.raft) == w->now + LENGTH);
}

/* A majority that passed a round has acknowledged it. */
static void
rule_6_the_newest_round_that_a_majority_has_passed(void **state)
{
	RaftMessage m[4][5];
	uint64_t	sent[4];

	(void) state;
	world_lead_alone(w, 5);
	for (int round = 1; round < 4; round++)
	{
		next_round();
		sent[round] = w->now;
		for (int peer = 1; peer < 5; peer++)
			m[round][peer] = heartbeat_to(peer);
	}
	world_acknowledge(w, &m[3][1]);
	world_acknowledge(w, &m[1][2]);
	assert_true(raft_lease_until(&w->node[0].member.raft) == sent[1] + LENGTH);
	world_acknowledge(w, &m[2][3]);
	assert_true(raft_lease_until(&w->node[0].member.raft) == sent[2] + LENGTH);
	world_acknowledge(w, &m[1][3]); /* late: takes nothing back */
	world_acknowledge(w, &m[1][4]);
	assert_true(raft_lease_until(&w->node[0].member.raft) == sent[2] + LENGTH);
	world_acknowledge(w, &m[3][4]);
	assert_true(raft_lease_until(&w->node[0].member.raft) == sent[3] + LENGTH);
}

static void
rule_6_the_promise_travels_with_the_round(void **state)
{
	RaftTimeouts t;
	RaftMessage	 first[3];
	RaftMessage	 second[3];
	uint64_t	 sent;

	(void) state;
	world_lead_alone(w, 3);
	t = w->node[0].config.timeouts;
	t.min_timeout = MS(600);
	t.max_timeout = MS(900);
	raft_set_timeouts(&w->node[0].member.raft, &t);
	next_round();
	sent = w->now;
	first[1] = heartbeat_to(1);
	assert_true(first[1].promise == MS(600));
	assert_true(w->node[0].disk.promise >= MS(600));

	/* Shorter again; the acknowledgement of this round comes first. */
	t.min_timeout = MS(200);
	t.max_timeout = MS(400);
	raft_set_timeouts(&w->node[0].member.raft, &t);
	next_round();
	second[2] = heartbeat_to(2);
	assert_true(second[2].promise == MS(200));
	world_acknowledge(w, &second[2]);
	assert_true(raft_lease_until(&w->node[0].member.raft) == w->now + LENGTH);
	world_acknowledge(w, &first[1]);
	assert_true(raft_lease_until(&w->node[0].member.raft) == sent + world_lease_length(w, 0, MS(600)));
}

static void
longer_promise_then_shorter_at_the_leader(void **state)
{
	RaftTimeouts t;
	RaftMessage	 m;
	uint64_t	 before;

	(void) state;

	/* Made longer: what was not acknowledged holds nothing. */
	world_lead_alone(w, 3);
	before = raft_lease_until(&w->node[0].member.raft);
	t = w->node[0].config.timeouts;
	t.min_timeout = MS(1000);
	t.max_timeout = MS(2000);
	raft_set_timeouts(&w->node[0].member.raft, &t);
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);
	next_round();
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);

	/* Its own promise is as long as what it asks for: it votes for nobody. */
	assert_true(raft_promise_until(&w->node[0].member.raft) >= w->now + MS(1000));
	m = heartbeat_to(1);
	world_acknowledge(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == w->now + world_lease_length(w, 0, MS(1000)));
}

static void
rule_6_no_drift_no_discount(void **state)
{
	(void) state;
	for (uint32_t ppm = 0; ppm <= 500000; ppm += 125000)
	{
		world_prepare(w, 3);
		for (int i = 0; i < 3; i++)
		{
			w->node[i].config.timeouts.max_drift_ppm = ppm;
			world_new_store(w, i);
			world_start(w, i);
		}
		world_greet_all(w);
		world_elect(w, 0);
		assert_true(raft_lease_until(&w->node[0].member.raft) ==
					w->now + MS(200) * (1000000 - ppm) / (1000000 + ppm) - 1000);
	}
}

static void
rule_6_a_single_member_renews_its_own(void **state)
{
	(void) state;
	world_init(w, 1);
	assert_true(world_run_until(w, world_is_stable, MS(401)));
	assert_true(w->node[0].disk.term == 1);
	for (int i = 0; i < 1000; i++)
	{
		world_run(w, MS(7));
		assert_true(world_has_lease(w, 0));
	}
	assert_true(w->node[0].disk.term == 1);
	assert_true(w->node[0].n_saves < 10);

	/* A restart: never the same term again, and not before the lease is over. */
	world_restart(w, 0);
	assert_true(world_run_until(w, world_is_stable, MS(800)));
	assert_true(w->node[0].disk.term == 2);
}

static void
rule_6_a_lost_lease_does_not_come_back_by_itself(void **state)
{
	(void) state;
	world_lead_alone(w, 3);
	world_advance(w, LENGTH - 1);
	assert_true(world_has_lease(w, 0));
	world_advance(w, 1);
	assert_false(world_has_lease(w, 0));
	next_round();
	assert_false(world_has_lease(w, 0));
}

/*
 * A leader that is gone for good, and one of its heartbeats that somebody sends
 * again and again; a leader that is cut off, and its peers' last answers.
 */
static void
replayed_heartbeat_or_acknowledgement(void **state)
{
	RaftMessage heartbeat;
	RaftMessage answer;
	uint64_t	end;

	(void) state;
	world_lead_alone(w, 3);
	next_round();
	heartbeat = heartbeat_to(1);
	world_deliver_all(w);
	world_crash(w, 0);
	world_cut_both(w, 1, 2);
	end = w->now + MS(1000);
	while (w->now < end)
	{
		world_run(w, MS(40));
		world_replay(w, &heartbeat);
		world_say_again(w, &heartbeat); /* past the window: the rounds count once */
	}
	assert_int_not_equal(w->node[1].member.raft.role, RAFT_FOLLOWER);
	assert_true(raft_promise_until(&w->node[1].member.raft) < w->now);

	world_lead_alone(w, 3);
	next_round();
	heartbeat = heartbeat_to(1);
	answer = world_answer(w, &heartbeat, true);
	world_deliver_all(w);
	world_isolate(w, 0);
	end = w->now + MS(1000);
	while (w->now < end)
	{
		world_run(w, MS(40));
		world_replay(w, &answer);
		world_say_again(w, &answer);
	}
	assert_int_not_equal(w->node[0].member.raft.role, RAFT_LEADER);
}

static void
acknowledgements_that_cannot_be(void **state)
{
	RaftMessage heartbeat;
	RaftMessage m;
	uint64_t	before;

	(void) state;
	world_lead_alone(w, 3);
	next_round();
	heartbeat = heartbeat_to(1);
	before = raft_lease_until(&w->node[0].member.raft);

	m = world_answer(w, &heartbeat, true); /* of a round that was not sent */
	m.round = heartbeat.round + 1;
	world_inject(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);
	m.round = UINT64_MAX;
	world_say_again(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);

	m = world_answer(w, &heartbeat, true); /* of another term */
	m.asked_term = heartbeat.term - 1;
	world_inject(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);

	m = world_answer(w, &heartbeat, true); /* of another list */
	m.list_digest ^= 1;
	world_inject(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);

	m = world_answer(w, &heartbeat, true); /* abstaining */
	m.abstaining = true;
	world_inject(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);

	m = world_answer(w, &heartbeat, false);
	world_inject(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == before);

	m = world_answer(w, &heartbeat, true);
	world_inject(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == w->now + LENGTH);
}

/* Whoever turns out to abstain, or to have another list, holds up no lease, not
 * even by what it acknowledged before. */
static void
what_was_acknowledged_before_abstaining_does_not_count(void **state)
{
	(void) state;
	for (int other_list = 0; other_list < 2; other_list++)
		for (int both = 0; both < 2; both++)
		{
			world_lead_alone(w, 3);
			assert_true(world_has_lease(w, 0));
			for (int peer = 1; peer <= 1 + both; peer++)
			{
				RaftMessage m = world_message(w, RAFT_GREETING_CONFIRM, peer, 0);

				if (other_list)
					m.list_digest ^= 1;
				else
					m.abstaining = true;
				world_inject(w, &m);
			}
			assert_int_equal(world_has_lease(w, 0), !both);
		}
}

static void
replayed_acknowledgement_extends_nothing(void **state)
{
	RaftMessage m;
	uint64_t	until;

	(void) state;
	world_lead_alone(w, 3);
	next_round();
	m = heartbeat_to(1);
	world_acknowledge(w, &m);
	until = raft_lease_until(&w->node[0].member.raft);
	world_advance(w, MS(40));
	world_acknowledge(w, &m);
	assert_true(raft_lease_until(&w->node[0].member.raft) == until);
}

static void
leader_restarts_in_its_term(void **state)
{
	RaftMessage m;
	uint64_t	echo_drops;

	(void) state;
	world_lead_alone(w, 3);
	next_round();
	m = heartbeat_to(1);
	m = world_answer(w, &m, true);
	world_restart(w, 0);
	echo_drops = world_dropped(w, 0, RAFT_DROP_ECHO);
	for (int i = 0; i < 3; i++)
	{
		/* With the identities of before, as it was under way. */
		m.sequence++;
		world_inject(w, &m);
		assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
		assert_true(raft_lease_until(&w->node[0].member.raft) == 0);
	}
	assert_true(world_dropped(w, 0, RAFT_DROP_ECHO) > echo_drops);

	/* Even one that echoes the new start. */
	world_greet_all(w);
	m.echo_boot = w->node[0].disk.boot;
	m.echo_incarnation = w->node[0].config.incarnation;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(raft_lease_until(&w->node[0].member.raft) == 0);

	/* Whoever leads next, does so in a later term. */
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_true(w->node[world_leader(w)].disk.term > 1);
}

/* The vote answers of before the crash arrive after it. */
static void
candidate_restarts_in_its_term(void **state)
{
	RaftMessage m;

	(void) state;
	world_init(w, 3);
	world_greet_all(w);
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	assert_true(world_deliver(w, 0, 1) && world_deliver(w, 1, 0));
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(world_deliver(w, 0, 1));
	assert_true(world_take(w, 1, 0, &m));
	assert_true(m.type == RAFT_VOTE_ANSWER && m.granted);
	world_restart(w, 0);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	world_greet_all(w);
	m.echo_boot = w->node[0].disk.boot;
	m.echo_incarnation = w->node[0].config.incarnation;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_true(w->node[world_leader(w)].disk.term > 1);
}

static void
minority_leader_and_a_wiped_voter(void **state)
{
	uint64_t lease;
	uint64_t start;

	(void) state;
	world_init(w, 3);
	w->delay = 100;
	world_elect(w, 0);
	world_isolate(w, 2); /* it may elect with whoever comes back */
	start = w->now;
	world_crash(w, 1);
	world_wipe(w, 1);
	world_start(w, 1);
	lease = raft_lease_until(&w->node[0].member.raft);
	world_run(w, MS(300));
	assert_int_equal(w->node[1].member.raft.leader_id, 0); /* it follows */
	assert_true(w->node[1].n_sent[RAFT_HEARTBEAT_ANSWER] > 3);
	assert_true(raft_lease_until(&w->node[0].member.raft) <= lease);
	assert_false(world_has_lease(w, 0));
	while (w->node[0].member.raft.role == RAFT_LEADER && w->now < start + MS(1000))
		world_run(w, MS(1));
	assert_true(w->now - start <= MS(460));
}

static void
lease_after_partition(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 30; seed++)
	{
		world_prepare(w, 5);
		w->delay = MS(1);
		w->jitter = MS(10);
		w->random = seed;
		for (int i = 0; i < 5; i++)
		{
			w->node[i].config.seed = seed * 10 + (uint64_t) i;
			world_new_store(w, i);
			world_start(w, i);
		}
		assert_true(world_run_until(w, world_is_stable, MS(5000)));
		for (int i = 0; i < 5; i++)
		{
			int		 old = world_leader(w);
			uint64_t cut_at = w->now;

			world_isolate(w, old);
			while ((world_leader(w) == old || world_leader(w) == RAFT_NONE) &&
				   w->now < cut_at + MS(5000))
				world_run(w, MS(1));
			assert_int_not_equal(world_leader(w), RAFT_NONE);
			assert_false(world_has_lease(w, old));
			world_heal(w);
			assert_true(world_run_until(w, world_is_stable, MS(5000)));
		}
	}
}

/* Asked after a pause that outlasted the lease: not leader. */
static void
leader_paused(void **state)
{
	int other;

	(void) state;
	world_init(w, 3);
	w->delay = MS(1);
	world_elect(w, 0);
	w->node[0].paused = true;
	world_run(w, MS(2000));
	assert_false(world_has_lease(w, 0));
	other = world_leader(w);
	assert_int_not_equal(other, 0);
	w->node[0].paused = false;
	assert_false(world_has_lease(w, 0));
	/* All that waited for it is read at once. */
	world_deliver_all(w);
	assert_false(world_has_lease(w, 0));
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
}

/* ---- first read, then tick ---- */

/* A leader that stood still has acknowledgements waiting: they are read first. */
static void
leader_that_stood_still_reads_before_it_resigns(void **state)
{
	RaftMessage m;

	(void) state;
	for (int is_read = 0; is_read <= 1; is_read++)
	{
		world_lead_alone(w, 3);
		next_round();
		m = heartbeat_to(1);
		world_drop_all(w);
		world_advance(w, raft_deadline(&w->node[0].member.raft) - w->now + MS(390));
		assert_true(w->now > w->node[0].member.raft.peers[1].acked_at + MS(400));
		if (is_read)
			world_acknowledge(w, &m);
		world_tick(w, 0);
		assert_int_equal(w->node[0].member.raft.role, is_read ? RAFT_LEADER : RAFT_FOLLOWER);

		/* That it still leads gives it no lease: that counts from the send time. */
		assert_false(world_has_lease(w, 0));
	}
}

static void
stalled_follower_starts_no_pre_vote(void **state)
{
	(void) state;
	world_init(w, 3);
	w->delay = MS(1);
	world_elect(w, 0);
	world_run(w, MS(500));
	w->node[1].paused = true;
	world_run(w, MS(1000));
	assert_true(raft_deadline(&w->node[1].member.raft) < w->now);
	world_forget(w);
	w->node[1].paused = false;
	world_run(w, MS(1000));
	assert_true(world_is_stable(w));
	assert_int_equal(world_leader(w), 0);
	assert_true(w->node[1].member.raft.counters.pre_votes_started == 0);
	assert_null(world_event(w, 1, RAFT_TIMED_OUT));
	assert_true(w->node[1].disk.term == 1);
}

/* Heartbeats that lie there, of a leader that is dead by now, restart the timer once. */
static void
stale_heartbeats_cost_one_timer(void **state)
{
	(void) state;
	world_init(w, 3);
	w->delay = MS(1);
	world_elect(w, 0);
	world_run(w, MS(500));
	w->node[1].paused = true;
	world_run(w, MS(190));
	world_crash(w, 0);
	world_run(w, MS(2000));
	assert_true(world_under_way(w, RAFT_HEARTBEAT, 0, 1) >= 3);
	w->node[1].paused = false;
	assert_true(world_run_until(w, world_is_stable, MS(400) + MS(20)));
	assert_true(w->node[1].disk.term == 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_5_check_quorum),
		cmocka_unit_test(rule_5_one_of_five_is_no_quorum),
		cmocka_unit_test(rule_5_a_majority_that_answers_keeps_the_leader),
		cmocka_unit_test(rule_5_a_refusal_is_no_acknowledgement),
		cmocka_unit_test(rule_6_a_new_leader_holds_a_lease_at_once),
		cmocka_unit_test(rule_6_the_lease_runs_from_the_send_time),
		cmocka_unit_test(rule_6_the_lease_needs_a_majority),
		cmocka_unit_test(rule_6_the_newest_round_that_a_majority_has_passed),
		cmocka_unit_test(rule_6_the_promise_travels_with_the_round),
		cmocka_unit_test(longer_promise_then_shorter_at_the_leader),
		cmocka_unit_test(rule_6_no_drift_no_discount),
		cmocka_unit_test(rule_6_a_single_member_renews_its_own),
		cmocka_unit_test(rule_6_a_lost_lease_does_not_come_back_by_itself),
		cmocka_unit_test(replayed_heartbeat_or_acknowledgement),
		cmocka_unit_test(acknowledgements_that_cannot_be),
		cmocka_unit_test(what_was_acknowledged_before_abstaining_does_not_count),
		cmocka_unit_test(replayed_acknowledgement_extends_nothing),
		cmocka_unit_test(leader_restarts_in_its_term),
		cmocka_unit_test(candidate_restarts_in_its_term),
		cmocka_unit_test(minority_leader_and_a_wiped_voter),
		cmocka_unit_test(lease_after_partition),
		cmocka_unit_test(leader_paused),
		cmocka_unit_test(leader_that_stood_still_reads_before_it_resigns),
		cmocka_unit_test(stalled_follower_starts_no_pre_vote),
		cmocka_unit_test(stale_heartbeats_cost_one_timer),
	};

	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
