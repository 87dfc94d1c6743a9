/*
 * test/sim/scenarios_votes.c
 *	  Votes, pre-votes, positions, terms.
 */
#include "random.h"
#include "scenarios.h"

static uint64_t n_seen;

static SendVerdict
count_grants(World *w, const RaftMessage *m)
{
	n_seen += m->type == RAFT_VOTE_ANSWER && m->granted && m->to == w->arg;
	return SEND_ON;
}

static void
duplicate_vote_request(World *w)
{
	int			leader = begin_settled(w, 3);
	int			voter = someone(w, leader, -1);
	RaftMessage m;

	if (w->node[voter].durable.voted_for != leader)
		voter = someone(w, leader, voter);
	w->arg = leader;
	w->on_send = count_grants;
	n_seen = 0;
	for (int k = 0; k < 3; k++)
	{
		m = forge(w, RAFT_VOTE_REQUEST, leader, voter);
		m.promise = MS(200);
		hand_over(w, &m);
		hand_over(w, &m); /* its duplicate is not even answered */
	}
	EXPECT(w, n_seen == 3 && raft_promise_until(&w->node[voter].member.raft) > 0);
	w->duplicate_ppm = PER_MILLION;
	node_crash(w, leader, false);
	EXPECT(w, checker_await(w) != leader);
}

static SendVerdict
one_voter(World *w, const RaftMessage *m)
{
	return m->type == RAFT_VOTE_ANSWER && m->from != w->arg ? SEND_NOT : SEND_ON;
}

static void
duplicate_vote_response(World *w)
{
	begin(w, 5);
	w->duplicate_ppm = PER_MILLION;
	w->arg = 0;
	w->on_send = one_voter;
	EXPECT(w, !run_until(w, SECONDS(10), somebody_leads, 0));
	w->on_send = NULL;
	(void) checker_await(w);
}

static SendVerdict
no_votes(World *w, const RaftMessage *m)
{
	(void) w;
	return m->type == RAFT_VOTE_ANSWER ? SEND_NOT : SEND_ON;
}

static bool
is_follower(World *w, int i)
{
	return w->node[i].member.raft.role == RAFT_FOLLOWER;
}

static void
step_down_keeps_vote(World *w)
{
	int		 leader = begin_settled(w, 3);
	uint64_t term = w->node[leader].durable.term;
	int		 candidate = -1;

	network_isolate(w, leader);
	EXPECT(w, run_until(w, SECONDS(1), is_follower, leader));
	EXPECT(w, w->node[leader].durable.term == term && w->node[leader].durable.voted_for == leader);

	begin(w, 3);
	w->on_send = no_votes;
	while (candidate < 0)
	{
		(void) world_event(w, SECONDS(100));
		for (int i = 0; i < 3; i++)
			candidate = is_candidate(w, i) && !node_is_saving(w, i) ? i : candidate;
	}
	term = w->node[candidate].durable.term;
	while (w->node[candidate].member.raft.role == RAFT_CANDIDATE && world_event(w, SECONDS(100)))
		;
	if (w->node[candidate].durable.term == term)
		EXPECT(w, w->node[candidate].durable.voted_for == candidate);
	w->on_send = NULL;
	(void) checker_await(w);
}

/* Make node i free of promises and cut off, then let it vote in a later term. */
static void
put_ahead(World *w, int i, int asker, uint64_t terms)
{
	RaftMessage m;

	network_isolate(w, i);
	world_run(w, MS(700));
	m = forge(w, RAFT_VOTE_REQUEST, asker, i);
	m.term = w->node[i].durable.term + terms;
	m.promise = MS(200);
	m.position = w->node[i].member.raft.position;
	hand_over(w, &m);
	world_run(w, MS(5));
	EXPECT(w, w->node[i].durable.term == m.term && w->node[i].durable.voted_for == asker);
}

static void
learning_a_leader_keeps_vote(World *w)
{
	int			leader = begin_settled(w, 5);
	int			voter = someone(w, leader, -1);
	int			asker = someone(w, leader, voter);
	int			other = leader;
	RaftMessage m;

	put_ahead(w, voter, asker, 1);
	m = forge(w, RAFT_HEARTBEAT, other, voter);
	m.term = w->node[voter].durable.term;
	m.round = 1;
	m.promise = MS(200);
	hand_over(w, &m);
	EXPECT(w, w->node[voter].member.raft.leader_id == other);
	EXPECT(w, w->node[voter].durable.voted_for == asker);
	/* Asked again by its candidate, it is the same vote. */
	w->arg = asker;
	n_seen = 0;
	w->on_send = count_grants;
	m = forge(w, RAFT_VOTE_REQUEST, asker, voter);
	m.term = w->node[voter].durable.term;
	m.promise = MS(200);
	hand_over(w, &m);
	EXPECT(w, n_seen == 1 && w->node[voter].durable.voted_for == asker);
}

static void
refused_vote_keeps_timer(World *w)
{
	int			leader = begin_settled(w, 3);
	int			voter = someone(w, leader, -1);
	int			asker = someone(w, leader, voter);
	uint64_t	timer = w->node[voter].member.raft.timer;
	RaftMessage m = forge(w, RAFT_VOTE_REQUEST, asker, voter);

	m.promise = MS(200);
	m.term++;
	hand_over(w, &m); /* a promise runs */
	EXPECT(w, w->node[voter].member.raft.timer == timer);
	network_isolate(w, voter);
	world_run(w, MS(700));
	raft_set_position(&w->node[voter].member.raft, (RaftPosition){1, 1});
	timer = w->node[voter].member.raft.timer;
	m = forge(w, RAFT_VOTE_REQUEST, asker, voter);
	m.promise = MS(200);
	m.term++;
	hand_over(w, &m); /* an older position */
	world_run(w, MS(2));
	EXPECT(w, w->node[voter].durable.term == m.term && w->node[voter].member.raft.timer == timer);
}

static void
pre_vote_keeps_timer(World *w)
{
	int			leader = begin_settled(w, 3);
	int			voter = someone(w, leader, -1);
	int			asker = someone(w, leader, voter);
	uint64_t	timer = w->node[voter].member.raft.timer;
	uint64_t	saves = w->node[voter].durable.save_number;
	RaftMessage m = forge(w, RAFT_PRE_VOTE_REQUEST, asker, voter);

	m.round = 1;
	m.asked_term = m.term + 1;
	hand_over(w, &m);
	EXPECT(w, w->node[voter].member.raft.timer == timer && w->node[voter].member.raft.counters.pre_votes_refused > 0);
	network_isolate(w, voter);
	world_run(w, MS(700));
	timer = w->node[voter].member.raft.timer;
	hand_over(w, &m);
	EXPECT(w, w->node[voter].member.raft.timer == timer && w->node[voter].member.raft.counters.pre_votes_given > 0);
	EXPECT(w, w->node[voter].durable.save_number == saves);
}

static void
former_leader_answers_pre_votes(World *w)
{
	int leader = begin_settled(w, 3);
	int a = someone(w, leader, -1);
	int b = someone(w, leader, a);

	node_crash(w, a, false);
	node_crash(w, b, false);
	EXPECT(w, run_until(w, SECONDS(1), is_follower, leader));
	node_may_lead(w, leader, false); /* so that it is the other's turn */
	node_start(w, a);
	EXPECT(w, checker_await(w) == a);
}

static void
stale_pre_vote_answer(World *w)
{
	int			leader = begin_settled(w, 5);
	int			asker = someone(w, leader, -1);
	Node	   *n = &w->node[asker];
	uint64_t	term = n->durable.term;
	RaftMessage m;

	network_isolate(w, asker);
	world_run(w, SECONDS(2));
	EXPECT(w, n->member.raft.role == RAFT_PRE_CANDIDATE && n->member.raft.round > 1);
	for (int i = 0; i < 5; i++)
	{
		if (i == asker)
			continue;
		m = forge(w, RAFT_PRE_VOTE_ANSWER, i, asker);
		m.round = n->member.raft.round - 1;
		m.asked_term = term + 1;
		m.granted = true;
		hand_over(w, &m);
	}
	EXPECT(w, n->member.raft.role == RAFT_PRE_CANDIDATE && n->durable.term == term);
	/* A pre-vote is no vote either. */
	w->on_send = no_votes;
	network_heal(w);
	node_crash(w, leader, false);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_leads, 0));
}

/* Votes of an earlier candidacy of the same start. */
static void
stale_vote_answer(World *w)
{
	int			candidate = -1;
	RaftMessage m;

	begin(w, 5);
	w->on_send = no_votes;
	while (candidate < 0)
	{
		(void) world_event(w, SECONDS(100));
		for (int i = 0; i < 5; i++)
		{
			if (is_candidate(w, i) && !node_is_saving(w, i) && w->node[i].durable.term > 1)
				candidate = i;
		}
	}
	for (int i = 0; i < 5; i++)
	{
		if (i == candidate)
			continue;
		m = forge(w, RAFT_VOTE_ANSWER, i, candidate);
		m.asked_term = w->node[candidate].durable.term - 1;
		m.term = m.asked_term;
		m.granted = true;
		hand_over(w, &m);
	}
	EXPECT(w, w->node[candidate].member.raft.role != RAFT_LEADER);
}

/* Raise the term by hand-overs among those who are connected. */
static void
raise_terms(World *w, int n)
{
	for (int k = 0; k < n; k++)
	{
		EXPECT(w, run_until(w, SECONDS(5), somebody_leads, 0));
		world_run(w, MS(500));
		(void) node_transfer(w, world_lease(w), RAFT_NONE);
		world_run(w, MS(100));
	}
	EXPECT(w, run_until(w, SECONDS(5), somebody_leads, 0));
}

static void
voter_with_lower_term_needed_for_quorum(World *w)
{
	int leader = begin_settled(w, 3);
	int late = someone(w, leader, -1);

	network_isolate(w, late);
	raise_terms(w, 3);
	EXPECT(w, w->node[late].durable.term + 3 <= w->node[world_lease(w)].durable.term);
	node_crash(w, world_lease(w), false);
	network_heal(w);
	(void) checker_await(w);
}

/* x has the newer position, y the later term, the third is dead. */
static void
meet(World *w, bool newer_has_older_term)
{
	int leader = begin_settled(w, 3);
	int x = someone(w, leader, -1);
	int y = someone(w, leader, x);

	if (newer_has_older_term)
		put_ahead(w, y, leader, 5);
	else
		put_ahead(w, x, leader, 5);
	w->node[x].position = (RaftPosition){1, 10};
	w->node[y].position = (RaftPosition){1, 9};
	raft_set_position(&w->node[x].member.raft, w->node[x].position);
	raft_set_position(&w->node[y].member.raft, w->node[y].position);
	node_crash(w, leader, false);
	network_heal(w);
	EXPECT(w, checker_await(w) == x);
}

static void
newer_position_older_term(World *w)
{
	meet(w, true);
}

static void
older_position_newer_term(World *w)
{
	meet(w, false);
}

static SendVerdict
no_requests(World *w, const RaftMessage *m)
{
	(void) w;
	return m->type == RAFT_VOTE_REQUEST ? SEND_NOT : SEND_ON;
}

static void
pre_vote_won_then_partitioned(World *w)
{
	int leader = begin_settled(w, 5);
	int candidate = -1;

	node_crash(w, leader, false);
	w->on_send = no_requests;
	while (candidate < 0 && world_event(w, SECONDS(100)))
	{
		for (int i = 0; i < 5; i++)
			candidate = is_candidate(w, i) && !node_is_saving(w, i) ? i : candidate;
	}
	network_isolate(w, candidate);
	w->on_send = NULL;
	EXPECT(w, run_until(w, SECONDS(10), somebody_leads, 0));
	leader = world_lease(w);
	world_run(w, SECONDS(1));
	checker_begin_edge(w, leader, ~BIT(candidate), 1);
	network_heal(w);
	world_run(w, SECONDS(3));
	checker_end_edge(w);
	EXPECT(w, checker_await(w) == leader);
}

static void
pre_vote_checks_position(World *w)
{
	int leader = begin_settled(w, 3);
	int old = someone(w, leader, -1);

	for (int i = 0; i < 3; i++)
		raft_set_position(&w->node[i].member.raft, (RaftPosition){1, i == old ? 1 : 2});
	checker_begin_edge(w, leader, ~BIT(old), 0);
	for (int k = 0; k < 10; k++)
	{
		network_isolate(w, old);
		world_run(w, SECONDS(1));
		network_heal(w);
		world_run(w, MS(30 * k));
	}
	world_run(w, SECONDS(1));
	checker_end_edge(w);
	/* Nor can it win when the leader is gone. */
	node_crash(w, leader, false);
	EXPECT(w, checker_await(w) == someone(w, leader, old));
}

static void
storm(World *w)
{
	static const int sizes[] = {1, 2, 3, 4, 5, 7, 9};

	for (int k = 0; k < 7; k++)
	{
		begin(w, sizes[k]);
		w->loss_ppm = 250000;
		w->duplicate_ppm = 100000;
		w->late_ppm = 100000;
		w->late_max = SECONDS(1);
		w->record_ppm = 50000;
		for (int round = 0; round < 300; round++)
		{
			if (w->n_archive > 0)
				network_replay(w, &w->archive[between(w, 0, w->n_archive - 1)]);
			world_run(w, MS(100));
		}
		w->loss_ppm = w->duplicate_ppm = w->late_ppm = 0;
		(void) checker_await(w);
	}
}

static void
equal_timers(World *w)
{
	for (int round = 0; round < 20; round++)
	{
		world_reset(w, 5, w->seed + 1);
		for (int i = 0; i < 5; i++)
			w->node[i].config.timeouts.max_timeout = MS(205);
		world_start_all(w);
		(void) checker_await(w);
	}
}

static SendVerdict
raise_positions(World *w, const RaftMessage *m)
{
	if (m->type == RAFT_VOTE_REQUEST && w->arg > 0)
	{
		w->arg--;
		for (int i = 0; i < w->n; i++)
		{
			if (i == m->from)
				continue;
			w->node[i].position.index++;
			raft_set_position(&w->node[i].member.raft, w->node[i].position);
		}
	}
	return SEND_ON;
}

static void
position_rises_during_vote(World *w)
{
	int leader = begin_settled(w, 5);

	w->arg = 6;
	w->on_send = raise_positions;
	node_crash(w, leader, false);
	leader = checker_await(w);
	EXPECT(w, w->arg == 0 || w->arg < 6);
}

static void
same_seed_same_run(World *w)
{
	for (uint64_t seed = 1; seed <= 5; seed++)
	{
		uint64_t hash;
		uint64_t steps;

		random_run(w, seed, 0);
		hash = w->hash;
		steps = w->steps;
		random_run(w, seed, 0);
		EXPECT(w, w->hash == hash && w->steps == steps);
	}
}

static void
member_comes_back_ahead(World *w)
{
	int		 leader = begin_settled(w, 5);
	int		 ahead = someone(w, leader, -1);
	uint64_t term;

	put_ahead(w, ahead, someone(w, leader, ahead), 7);
	term = w->node[ahead].durable.term;
	checker_begin_edge(w, leader, ~BIT(ahead), 1);
	network_heal(w);
	world_run(w, SECONDS(2));
	checker_end_edge(w);
	EXPECT(w, checker_await(w) == leader && w->node[leader].durable.term == term + 1);
	EXPECT(w, w->node[ahead].member.raft.leader_id == leader);
}

static void
older_term_newer_position_and_reverse(World *w)
{
	int a = begin_settled(w, 2);
	int b = 1 - a;

	put_ahead(w, b, a, 3);
	w->node[a].position = (RaftPosition){2, 0};
	raft_set_position(&w->node[a].member.raft, w->node[a].position);
	world_run(w, SECONDS(1));
	network_heal(w);
	EXPECT(w, checker_await(w) == a);
}

static void
started_in_the_same_instant(World *w)
{
	for (int round = 0; round < 50; round++)
	{
		world_reset(w, 5, w->seed + 1);
		for (int i = 0; i < 5; i++)
			w->node[i].clock.local_base = SECONDS(1);
		world_start_all(w);
		(void) checker_await(w);
	}
}

const Scenario scenarios_votes[] = {
	{"duplicate_vote_request", duplicate_vote_request, NULL},
	{"duplicate_vote_response", duplicate_vote_response, NULL},
	{"step_down_keeps_vote", step_down_keeps_vote, NULL},
	{"learning_a_leader_keeps_vote", learning_a_leader_keeps_vote, NULL},
	{"refused_vote_keeps_timer", refused_vote_keeps_timer, NULL},
	{"pre_vote_keeps_timer", pre_vote_keeps_timer, NULL},
	{"former_leader_answers_pre_votes", former_leader_answers_pre_votes, NULL},
	{"stale_pre_vote_answer", stale_pre_vote_answer, NULL},
	{"stale_vote_answer", stale_vote_answer, NULL},
	{"voter_with_lower_term_needed_for_quorum", voter_with_lower_term_needed_for_quorum, NULL},
	{"newer_position_older_term", newer_position_older_term, NULL},
	{"older_position_newer_term", older_position_newer_term, NULL},
	{"pre_vote_won_then_partitioned", pre_vote_won_then_partitioned, NULL},
	{"pre_vote_checks_position", pre_vote_checks_position, NULL},
	{"storm", storm, NULL},
	{"equal_timers", equal_timers, NULL},
	{"position_rises_during_vote", position_rises_during_vote, NULL},
	{"same_seed_same_run", same_seed_same_run, NULL},
	{"member_comes_back_ahead", member_comes_back_ahead, NULL},
	{"older_term_newer_position_and_reverse", older_term_newer_position_and_reverse, NULL},
	{"started_in_the_same_instant", started_in_the_same_instant, NULL},
	{NULL, NULL, NULL}};
