/*
 * test/sim/scenarios_lease.c
 *	  Leases, promises, clocks, transfers and leaving.
 */
#include "scenarios.h"

static void
leader_paused(World *w)
{
	for (int round = 0; round < 20; round++)
	{
		int leader = begin_settled(w, 3);

		node_pause(w, leader, SIM_NEVER);
		EXPECT(w, run_until(w, MS(260), nobody_leads, 0)); /* its lease ends by itself */
		EXPECT(w, run_until(w, checker_bound(w), somebody_leads, 0));
		EXPECT(w, world_lease(w) != leader);
		world_run(w, between(w, 0, SECONDS(1)));
		node_resume(w, leader);
		EXPECT(w, !is_leading(w, leader) && w->node[leader].member.raft.role != RAFT_LEADER);
		EXPECT(w, checker_await(w) != leader);
	}
}

/* Leaders at one end of the drift, followers at the other, again and again. */
static void
drift(World *w, uint64_t slow, uint64_t fast)
{
	for (int round = 0; round < 100; round++)
	{
		int leader;

		begin(w, 3);
		network_delays(w, 50, 200);
		leader = checker_await(w);
		for (int i = 0; i < 3; i++)
			clock_set_rate(w, i, i == leader ? slow : fast);
		world_run(w, between(w, MS(500), MS(700)));
		network_isolate(w, leader);
		world_run(w, SECONDS(1));
	}
}

static void
clock_drift(World *w)
{
	drift(w, 900000, 1100000);
	drift(w, 1100000, 900000);
}

static void
clock_drift_beyond(World *w)
{
	drift(w, 800000, 1200000);
}

static bool
leads_instead(World *w, int i)
{
	return world_lease(w) >= 0 && world_lease(w) != i;
}

static void
transfer_then_isolate_old_leader(World *w)
{
	for (int round = 0; round < 20; round++)
	{
		int leader = begin_settled(w, 5);
		int target = someone(w, leader, -1);

		world_run(w, SECONDS(1));
		EXPECT(w, node_transfer(w, leader, target) == RAFT_TRANSFER_STARTED);
		EXPECT(w, !is_leading(w, leader));
		world_run(w, MS(1));
		network_isolate(w, leader);
		EXPECT(w, run_until(w, MS(50), is_leading, target));
		world_run(w, SECONDS(2));
		EXPECT(w, world_lease(w) == target && w->node[leader].member.raft.role != RAFT_LEADER);
	}
}

static SendVerdict
no_votes(World *w, const RaftMessage *m)
{
	(void) w;
	return m->type == RAFT_VOTE_ANSWER ? SEND_NOT : SEND_ON;
}

static SendVerdict
no_heartbeats(World *w, const RaftMessage *m)
{
	(void) w;
	return m->type == RAFT_HEARTBEAT ? SEND_NOT : SEND_ON;
}

/*
 * Votes are lost and asked for again: the promise that goes with them runs since
 * the first request, so the lease must count from there.
 */
static void
votes_repeated_late(World *w)
{
	int won = 0;

	for (int round = 0; round < 60; round++)
	{
		int leader = begin_settled(w, 5);
		int candidate = -1;

		node_crash(w, leader, false);
		w->on_send = no_votes;
		while (candidate < 0 && world_event(w, SECONDS(100)))
		{
			for (int i = 0; i < 5; i++)
				candidate = is_candidate(w, i) && !node_is_saving(w, i) ? i : candidate;
		}
		world_run(w, between(w, MS(100), MS(170)));
		w->on_send = no_heartbeats;
		if (run_until(w, MS(55), is_leading, candidate))
			won++;
		network_isolate(w, candidate);
		w->on_send = NULL;
		world_run(w, SECONDS(1));
	}
	EXPECT(w, won > 5);
}

static Packet recorded;

static void
late_or_replayed_transfer(World *w)
{
	int		 leader = begin_settled(w, 3);
	int		 target = someone(w, leader, -1);
	uint64_t term;

	world_run(w, SECONDS(1));
	w->record_ppm = PER_MILLION;
	w->n_archive = 0;
	EXPECT(w, node_transfer(w, leader, target) == RAFT_TRANSFER_STARTED);
	EXPECT(w, w->n_archive > 0 && w->archive[0].bytes[5] == RAFT_TRANSFER);
	recorded = w->archive[0];
	EXPECT(w, run_until(w, MS(50), is_leading, target));
	world_run(w, SECONDS(1));
	for (int k = 0; k < 3; k++)
	{
		int now = world_lease(w);

		checker_begin_edge(w, now, 0, 0);
		network_replay(w, &recorded);
		world_run(w, SECONDS(1));
		checker_end_edge(w);
		(void) node_transfer(w, now, leader);
		(void) checker_await(w);
		world_run(w, SECONDS(1));
	}
	/* Nor does it bring one that is cut off, and free, to stand. */
	if (world_lease(w) == target)
		(void) node_transfer(w, target, leader);
	leader = checker_await(w);
	network_isolate(w, target);
	world_run(w, SECONDS(1));
	term = w->node[target].durable.term;
	network_replay(w, &recorded);
	world_run(w, MS(100));
	EXPECT(w, w->node[target].durable.term == term);
}

static void
replayed_heartbeat_or_acknowledgement(World *w)
{
	int		 leader = begin_settled(w, 3);
	uint64_t until;

	w->record_ppm = PER_MILLION;
	world_run(w, SECONDS(1));
	w->record_ppm = 0;
	network_isolate(w, leader);
	until = w->now + MS(260);
	while (w->now < until)
	{
		for (uint32_t i = 0; i < w->n_archive; i += 3)
			network_replay(w, &w->archive[i]);
		world_run(w, MS(10));
	}
	EXPECT(w, !is_leading(w, leader));
	until = w->now + SECONDS(2);
	while (w->now < until)
	{
		for (uint32_t i = 0; i < w->n_archive; i += 3)
			network_replay(w, &w->archive[i]);
		world_run(w, MS(10));
	}
	EXPECT(w, leads_instead(w, leader) && w->node[leader].member.raft.role != RAFT_LEADER);
}

/* Both resign and leave; the host's loop is the same for either. */
static void
leave(World *w)
{
	for (int round = 0; round < 20; round++)
	{
		int leader = begin_settled(w, 5);

		world_run(w, SECONDS(1));
		node_stop(w, leader);
		EXPECT(w, !w->node[leader].up && w->node[leader].shown == 0);
		EXPECT(w, run_until(w, MS(20), leads_instead, leader));
		(void) checker_await(w);
	}
}

static void
transfer_to_dead_or_stale_node(World *w)
{
	int leader = begin_settled(w, 3);
	int target = someone(w, leader, -1);

	world_run(w, SECONDS(1));
	node_crash(w, target, false);
	if (node_transfer(w, leader, target) == RAFT_TRANSFER_STARTED)
		EXPECT(w, run_until(w, checker_bound(w), leads_instead, leader) || somebody_leads(w, 0));
	leader = checker_await(w);
	world_run(w, MS(300));
	EXPECT(w, node_transfer(w, leader, target) != RAFT_TRANSFER_STARTED || !is_leading(w, leader));
	node_start(w, target);
	leader = checker_await(w);
	world_run(w, SECONDS(1));
	target = someone(w, leader, -1);
	w->node[leader].position.index = 9;
	raft_set_position(&w->node[leader].member.raft, w->node[leader].position);
	world_run(w, MS(200));
	EXPECT(w, node_transfer(w, leader, target) == RAFT_TRANSFER_BEHIND && is_leading(w, leader));
}

static void
transfer_target_paused(World *w)
{
	for (int round = 0; round < 20; round++)
	{
		int leader = begin_settled(w, 3);
		int target = someone(w, leader, -1);

		world_run(w, SECONDS(1));
		EXPECT(w, node_transfer(w, leader, target) == RAFT_TRANSFER_STARTED);
		node_pause(w, target, SIM_NEVER);
		EXPECT(w, run_until(w, checker_bound(w), somebody_leads, 0));
		EXPECT(w, world_lease(w) != target);
		leader = world_lease(w);
		world_run(w, between(w, 0, SECONDS(1)));
		checker_begin_edge(w, leader, ~BIT(target), 1);
		node_resume(w, target);
		world_run(w, SECONDS(1));
		checker_end_edge(w);
		EXPECT(w, checker_await(w) == leader);
	}
}

/* Members whose own timeouts are far shorter than the promise that they gave. */
static void
promise_binds_the_promiser(World *w)
{
	static const RaftTimeouts slow = {1000000, 2000000, 400000, 100000};
	static const RaftTimeouts fast = {50000, 100000, 20000, 100000};
	int						  leader;

	world_reset(w, 3, w->seed + 1);
	for (int i = 0; i < 3; i++)
		w->node[i].config.timeouts = i == 0 ? slow : fast;
	world_start_all(w);
	for (int i = 1; i < 3; i++)
		node_may_lead(w, i, false);
	leader = checker_await(w);
	EXPECT(w, leader == 0);
	world_run(w, SECONDS(1));
	for (int i = 1; i < 3; i++)
		node_may_lead(w, i, true);
	checker_begin_edge(w, leader, 0, 0);
	world_run(w, SECONDS(20));
	checker_end_edge(w);
	network_isolate(w, leader);
	world_run(w, SECONDS(3)); /* X: they wait for their promises */
	EXPECT(w, leads_instead(w, leader));
}

static SendVerdict
lose_short_rounds(World *w, const RaftMessage *m)
{
	return m->type == RAFT_HEARTBEAT_ANSWER && m->to == w->arg ? SEND_NOT : SEND_ON;
}

static void
longer_promise_then_shorter(World *w)
{
	static const RaftTimeouts longer = {1000000, 1200000, 50000, 100000};
	static const RaftTimeouts shorter = {60000, 120000, 15000, 100000};

	for (int round = 0; round < 20; round++)
	{
		int leader = begin_settled(w, 3);

		node_reload(w, leader, &longer);
		world_run(w, MS(500));
		for (int i = 0; i < 3; i++)
			node_reload(w, i, &shorter);
		if (round % 2 == 0)
		{
			w->arg = leader;
			w->on_send = lose_short_rounds;
		}
		world_run(w, between(w, 0, MS(200)));
		network_isolate(w, leader);
		for (int i = 0; i < 3 && round % 4 == 3; i++)
		{
			if (i != leader)
			{
				node_crash(w, i, false);
				node_start(w, i);
			}
		}
		EXPECT(w, run_until(w, checker_bound(w), leads_instead, leader));
	}
}

const Scenario scenarios_lease[] = {
	{"leader_paused", leader_paused, NULL},
	{"clock_drift", clock_drift, NULL},
	{"clock_drift_beyond", clock_drift_beyond, "X"},
	{"votes_repeated_late", votes_repeated_late, NULL},
	{"transfer_then_isolate_old_leader", transfer_then_isolate_old_leader, NULL},
	{"late_or_replayed_transfer", late_or_replayed_transfer, NULL},
	{"replayed_heartbeat_or_acknowledgement", replayed_heartbeat_or_acknowledgement, NULL},
	{"graceful_stop", leave, NULL},
	{"postmaster_killed", leave, NULL},
	{"transfer_to_dead_or_stale_node", transfer_to_dead_or_stale_node, NULL},
	{"transfer_target_paused", transfer_target_paused, NULL},
	{"promise_binds_the_promiser", promise_binds_the_promiser, NULL},
	{"longer_promise_then_shorter", longer_promise_then_shorter, NULL},
	{NULL, NULL, NULL}};
