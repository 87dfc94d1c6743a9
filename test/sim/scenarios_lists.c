/*
 * test/sim/scenarios_lists.c
 *	  Servers: the member list changes (rule 24).
 */
#include "scenarios_data.h"

static const RaftList *
list_of(const World *w, int i)
{
	return &w->node[i].durable.list;
}

/* The first n have that list of the first n; nobody is on the way to another one. */
static bool
have_list(World *w, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (list_of(w, i)->now != BIT(n) - 1 || raft_list_is_joint(list_of(w, i)))
			return false;
	}
	return true;
}

static bool
is_joint(World *w, int i)
{
	return raft_list_is_joint(list_of(w, i));
}

static bool
follows_list(World *w, int n)
{
	return have_list(w, n) && all_follow(w, 0);
}

/* Their settings say so, from now on. */
static void
settings(World *w, int from, int to, int n)
{
	for (int i = from; i <= to; i++)
		node_new_list(w, i, BIT(n) - 1);
}

/* Machines that have never run get the next ids, and the longer list, with a copy of older data if there is one. */
static void
add_machines(World *w, int n, const SimData *copy)
{
	int n_old = w->n;

	w->n = w->n_members = cluster(w)->n = n;
	for (int i = n_old; i < n; i++)
	{
		SimServer *s = server(w, i);

		world_reset_node(w, i);
		w->node[i].config.managed = true;
		s->conninfo = s->upstream = s->receiver.slot = -1;
		if (copy != NULL)
			EXPECT(w, sim_restore(cluster(w), i, copy));
		world_schedule(w, w->now + MS(1), EVENT_SERVER, i, 0);
		node_start(w, i);
	}
}

/*
 * One more machine, which follows the leader and holds its WAL.  It does not count yet, for the
 * last of the others does not have the new list in its settings any more.
 */
static void
add_learner(World *w)
{
	int n = w->n;

	add_machines(w, n + 1, NULL);
	settings(w, 0, n - 1, n + 1);
	EXPECT(w, run_until(w, SECONDS(30), is_voting, n));
	settings(w, n - 1, n - 1, n);
	EXPECT(w, run_until(w, SECONDS(30), is_streaming, n));
	world_run(w, SECONDS(2));
	EXPECT(w, have_list(w, n) && !raft_is_voter(&w->node[n].member.raft, n));
}

/* Now it may come to count. */
static void
go_on(World *w)
{
	settings(w, w->n - 2, w->n - 2, w->n);
}

static void
take_out_of_the_world(World *w, int n)
{
	for (int i = n; i < w->n; i++)
		lose_power(w, i);
	w->n = w->n_members = cluster(w)->n = n;
}

/* One commit after the other is answered while the condition comes about. */
static int
commit_until(World *w, uint64_t limit, Condition condition, int arg)
{
	int commit = 0;

	for (uint64_t until = w->now + limit; w->now < until && !condition(w, arg);)
	{
		commit = commit_on(w, world_lease(w));
		EXPECT(w, run_until(w, SECONDS(1), answered, commit));
		world_run(w, MS(100));
	}
	EXPECT(w, condition(w, arg));
	return commit;
}

/* The open one is to be node i. */
static void
lead_with(World *w, int i)
{
	int p = world_lease(w);

	world_run(w, MS(500));
	if (p != i)
		EXPECT(w, node_transfer(w, p, i) == RAFT_TRANSFER_STARTED);
	EXPECT(w, run_until(w, SECONDS(10), is_open, i) && run_until(w, SECONDS(10), all_follow, 0));
	world_run(w, MS(500));
}

/* From three to five and back, and the same leadership all the while. */
static void
three_to_five_and_back(World *w)
{
	int		 first;
	int		 second;
	uint64_t term;

	(void) begin_data(w, 3);
	lead_with(w, 0);
	term = w->node[0].durable.term;
	add_machines(w, 5, NULL);
	settings(w, 0, 2, 5);
	first = commit_until(w, SECONDS(60), follows_list, 5);
	EXPECT(w, w->node[0].durable.term == term && is_open(w, 0));
	take_out_of_the_world(w, 3);
	settings(w, 0, 2, 3);
	second = commit_until(w, SECONDS(60), have_list, 3);
	EXPECT(w, w->node[0].durable.term == term && is_open(w, 0));
	lose_power(w, 0);
	EXPECT(w, run_until(w, SECONDS(20), somebody_is_open, 0));
	EXPECT(w, has_commit(w, world_lease(w), first) && has_commit(w, world_lease(w), second));
}

/*
 * Two of four hold a commit, and the fifth comes: three of five elect.  So the list is not
 * the new one alone before three hold it, and if those two die before, nobody is elected.
 */
static void
member_appended_to_four(World *w)
{
	int commit;

	(void) begin_data(w, 4);
	lead_with(w, 0);
	add_learner(w);
	for (int i = 2; i < 5; i++)
		cut_wal_all(w, i);
	world_run(w, MS(100));
	commit = commit_on(w, 0);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, has_commit(w, 1, commit) && !has_commit(w, 2, commit) && !has_commit(w, 3, commit) && !has_commit(w, 4, commit));
	go_on(w);
	EXPECT(w, run_until(w, SECONDS(5), is_joint, 0));
	world_run(w, SECONDS(2));
	EXPECT(w, is_joint(w, 0) && is_open(w, 0));
	lose_power(w, 0);
	lose_power(w, 1);
	mend_wal(w);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_leads, 0));
	node_start(w, 1);
	EXPECT(w, has_commit(w, settle_data(w), commit));
	EXPECT(w, run_until(w, SECONDS(60), have_list, 5));
}

/* The one that leaves is one of two of four that hold a commit: two of three elect. */
static void
holder_leaves(World *w)
{
	int commit;

	(void) begin_data(w, 4);
	lead_with(w, 0);
	cut_wal_all(w, 1);
	cut_wal_all(w, 2);
	world_run(w, MS(100));
	commit = commit_on(w, 0);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit) && has_commit(w, 3, commit));
	settings(w, 0, 2, 3);
	EXPECT(w, run_until(w, SECONDS(5), is_joint, 0));
	world_run(w, SECONDS(2));
	EXPECT(w, is_joint(w, 0) && is_open(w, 0));
	lose_power(w, 0);
	mend_wal(w);
	EXPECT(w, run_until(w, SECONDS(20), somebody_is_open, 0));
	EXPECT(w, has_commit(w, world_lease(w), commit));
}

/* The commits of both lists: what the old list's copies hold is not enough while both count. */
static void
both_lists_count_for_commits(World *w)
{
	int commit;

	(void) begin_data(w, 4);
	lead_with(w, 0);
	add_learner(w);
	cut_wal_all(w, 2);
	cut_wal_all(w, 3);
	hold(w, 0, HOLD_WORKER); /* it does not say that all is held */
	go_on(w);
	EXPECT(w, run_until(w, SECONDS(5), is_joint, 0));
	cut_wal_all(w, 4);
	world_run(w, MS(100));
	commit = commit_on(w, 0);
	EXPECT(w, !run_until(w, MS(500), answered, commit) && has_commit(w, 1, commit));
	let_go(w, 0, HOLD_WORKER);
	mend_wal(w);
	EXPECT(w, run_until(w, SECONDS(5), answered, commit) && run_until(w, SECONDS(20), have_list, 5));
}

/* Whoever dies on the way: the next leader goes on, by whichever list it knows. */
static void
leader_dies_on_the_way(World *w)
{
	for (int after = 0; after < 3; after++)
	{
		int commit;

		(void) begin_data(w, 3);
		lead_with(w, 0);
		add_learner(w);
		commit = commit_on(w, 0);
		EXPECT(w, run_until(w, SECONDS(1), answered, commit));
		if (after == 1)
			hold(w, 0, HOLD_WORKER);
		go_on(w);
		if (after == 0)
		{
			/* only the leader has stored the first step */
			while (!is_joint(w, 0))
				world_run(w, 100);
		}
		else
			EXPECT(w, run_until(w, SECONDS(5), after == 1 ? is_joint : have_list, after == 1 ? 1 : 4));
		lose_power(w, 0);
		let_go(w, 0, HOLD_WORKER);
		EXPECT(w, run_until(w, SECONDS(20), somebody_is_open, 0) && has_commit(w, world_lease(w), commit));
		node_start(w, 0);
		EXPECT(w, has_commit(w, settle_data(w), commit) && run_until(w, SECONDS(60), follows_list, 4));
	}
}

/* A leader begins a change, and is cut off before anybody hears of that; another one leads meanwhile. */
static void
begun_and_cut_off(World *w)
{
	int commit;

	(void) begin_data(w, 3);
	lead_with(w, 0);
	add_learner(w);
	for (int i = 1; i < 4; i++)
		mute_way(w, 0, i, EVERYTHING);
	go_on(w);
	world_run(w, MS(150));
	network_isolate(w, 0);
	EXPECT(w, run_until(w, SECONDS(20), somebody_is_open, 0));
	unmute_all(w);
	commit = commit_on(w, world_lease(w));
	EXPECT(w, run_until(w, SECONDS(5), answered, commit));
	network_heal(w);
	EXPECT(w, has_commit(w, settle_data(w), commit) && run_until(w, SECONDS(60), follows_list, 4));
}

/* Nobody hears that a list is being changed. */
static SendVerdict
lose_joint_lists(World *w, const RaftMessage *m)
{
	(void) w;
	return raft_list_is_joint(&m->told.list) ? SEND_NOT : SEND_ON;
}

static void
dies_with_its_list(World *w, int i)
{
	w->on_send = lose_joint_lists;
	for (uint64_t until = w->now + SECONDS(30); w->now < until && !is_joint(w, i);)
		world_run(w, 100);
	lose_power(w, i);
	w->on_send = NULL;
	for (int k = 0; k < w->n; k++)
		EXPECT(w, is_joint(w, k) == (k == 0 || k == i));
}

/*
 * Two leaders begin different lists of the same number, one after the other, and die before
 * anybody hears of it: node 0 appends the last one, node 1 removes node 0.
 */
static void
begin_two_lists(World *w)
{
	(void) begin_data(w, 3);
	lead_with(w, 0);
	add_learner(w);
	go_on(w);
	dies_with_its_list(w, 0);
	may_lead_only(w, 1);
	for (int i = 1; i < 4; i++)
		node_new_list(w, i, BIT(1) | BIT(2) | BIT(3));
	dies_with_its_list(w, 1);
	EXPECT(w, list_of(w, 0)->number == list_of(w, 1)->number && list_of(w, 0)->now != list_of(w, 1)->now);
	settings(w, 0, 3, 4);
	for (int i = 0; i < 4; i++)
		node_may_lead(w, i, true);
}

/* Each is heard by one other member first: neither list has its majorities, but the later one is taken over. */
static void
two_lists_of_one_number(World *w)
{
	begin_two_lists(w);
	for (int i = 0; i < 2; i++)
	{
		network_cut(w, i, 1 - i);
		network_cut(w, i, 3 - i);
	}
	network_cut(w, 2, 3);
	node_start(w, 0);
	node_start(w, 1);
	EXPECT(w, run_until(w, SECONDS(5), is_joint, 2) && run_until(w, SECONDS(5), is_joint, 3));
	EXPECT(w, list_of(w, 2)->now == list_of(w, 0)->now && list_of(w, 3)->now == list_of(w, 1)->now);
	(void) settle_data(w);
	EXPECT(w, run_until(w, SECONDS(60), follows_list, 4));
}

/* Nobody hears of the list that comes after that. */
static SendVerdict
lose_later_lists(World *w, const RaftMessage *m)
{
	return m->told.list.number > (uint32_t) w->arg ? SEND_NOT : SEND_ON;
}

static bool
has_gone_on(World *w, int i)
{
	return list_of(w, i)->number > (uint32_t) w->arg;
}

/*
 * The earlier one comes back first, and its leader goes on from it.  That dies, and the later one
 * comes back: it has not been told to anybody, and does not return over what was gone on from.
 */
static void
list_that_was_gone_on_from(World *w)
{
	int p;

	begin_two_lists(w);
	node_start(w, 0);
	EXPECT(w, run_until(w, SECONDS(30), somebody_is_open, 0));
	p = world_lease(w);
	hold(w, p, HOLD_WORKER);
	world_run(w, SECONDS(3));
	EXPECT(w, is_joint(w, p) && is_joint(w, 0) && is_joint(w, 3));
	w->arg = (int) list_of(w, 0)->number;
	w->on_send = lose_later_lists;
	if (p != 0)
		EXPECT(w, node_transfer(w, p, 0) == RAFT_TRANSFER_STARTED);
	let_go(w, p, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(30), has_gone_on, 0));
	lose_power(w, 0);
	w->on_send = NULL;
	EXPECT(w, !has_gone_on(w, 2) && !has_gone_on(w, 3));
	node_start(w, 1);
	EXPECT(w, run_until(w, SECONDS(60), somebody_is_open, 0));
	(void) settle_data(w);
	EXPECT(w, run_until(w, SECONDS(60), follows_list, 4));
}

/* It was down while it was removed, and comes back with its old state and list: nothing happens. */
static void
removed_member_returns(World *w)
{
	int		 commit;
	uint64_t term;

	(void) begin_data(w, 4);
	lead_with(w, 0);
	lose_power(w, 3);
	settings(w, 0, 2, 3);
	commit = commit_until(w, SECONDS(20), have_list, 3);
	term = w->node[0].durable.term;
	node_start(w, 3);
	node_may_lead(w, 3, true);
	world_run(w, SECONDS(10));
	EXPECT(w, w->node[0].durable.term == term && is_open(w, 0) && !is_leading(w, 3));

	/* And with everybody else away it leads nobody. */
	lose_power(w, 0);
	lose_power(w, 1);
	EXPECT(w, !run_until(w, SECONDS(10), somebody_leads, 0));
	node_start(w, 0);
	EXPECT(w, run_until(w, SECONDS(20), somebody_is_open, 0) && has_commit(w, world_lease(w), commit));
}

/* Restarts instead of reloads: from then on a member does not know the addresses of those who leave. */
static void
restarted_with_the_shorter_list(World *w)
{
	int commit;

	(void) begin_data(w, 5);
	lead_with(w, 0);
	commit = commit_on(w, 0);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	take_out_of_the_world(w, 3);
	for (int i = 0; i < 3; i++)
	{
		node_crash(w, i, false);
		node_set_list(&w->node[i], BIT(3) - 1);
		node_start(w, i);
		EXPECT(w, is_voting(w, i));
		world_run(w, SECONDS(3));
	}
	EXPECT(w, run_until(w, SECONDS(60), have_list, 3));
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

/* The new member was given a copy of the data beforehand: it has confirmed nothing, and is cloned. */
static void
appended_with_an_older_copy(World *w)
{
	static SimData copy;
	int			   p = begin_data(w, 3);
	int			   commit;

	sim_snapshot(cluster(w), someone(w, p, -1), &copy);
	commit = commit_on(w, p);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	add_machines(w, 4, &copy);
	settings(w, 0, 2, 4);
	EXPECT(w, run_until(w, SECONDS(60), follows_list, 4) && has_commit(w, 3, commit));
}

/* Who is to come does not count before it has the data: with it and one more nobody is elected. */
static void
learner_does_not_vote(World *w)
{
	(void) begin_data(w, 3);
	lead_with(w, 0);
	add_learner(w);
	lose_power(w, 0);
	lose_power(w, 1);
	node_may_lead(w, 3, true);
	EXPECT(w, !run_until(w, SECONDS(10), somebody_leads, 0));
	node_start(w, 0);
	node_start(w, 1);
	go_on(w);
	(void) settle_data(w);
}

/*
 * The settings leave out the two that held a commit.  The third does not lead alone; with the old
 * list again, nothing has been lost.
 */
static void
three_to_one(World *w)
{
	int commit;

	(void) begin_data(w, 3);
	lead_with(w, 2);
	cut_wal_all(w, 0);
	world_run(w, MS(100));
	commit = commit_on(w, 2);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit) && !has_commit(w, 0, commit));
	take_out_of_the_world(w, 1);
	node_crash(w, 0, false);
	node_set_list(&w->node[0], 1);
	node_start(w, 0);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_leads, 0));

	w->n = w->n_members = cluster(w)->n = 3;
	settings(w, 0, 0, 3);
	node_start(w, 1);
	node_start(w, 2);
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

/* The other two are lost for good: a person has to say that the third goes on with what it has. */
static void
majority_lost_for_good(World *w)
{
	int		 commit;
	uint32_t claim;

	(void) begin_data(w, 3);
	lead_with(w, 2);
	commit = commit_on(w, 2);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	world_run(w, MS(500));
	EXPECT(w, has_commit(w, 0, commit));
	claim = w->node[0].durable.claim;
	take_out_of_the_world(w, 1);
	node_crash(w, 0, false);
	node_set_list(&w->node[0], 1);
	node_start(w, 0);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_leads, 0));
	EXPECT(w, member_trust_data(&w->node[0].member));
	EXPECT(w, settle_data(w) == 0 && has_commit(w, 0, commit) && w->node[0].durable.claim > claim);
	commit = commit_on(w, 0);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));

	/* Two more come, one after the other. */
	add_machines(w, 3, NULL);
	settings(w, 0, 0, 3);
	EXPECT(w, run_until(w, SECONDS(60), follows_list, 3) && has_commit(w, 2, commit));
}

/* Down to one, while it is open; a single one needs nobody. */
static void
three_to_two_to_one(World *w)
{
	int commit;

	(void) begin_data(w, 3);
	lead_with(w, 0);
	for (int n = 2; n >= 1; n--)
	{
		w->n = w->n_members = cluster(w)->n = n + 1;
		settings(w, 0, n - 1, n);
		commit = commit_until(w, SECONDS(20), have_list, n);
		lose_power(w, n);
		w->n = w->n_members = cluster(w)->n = n;
		EXPECT(w, is_open(w, 0) && has_commit(w, 0, commit));
	}
	commit = commit_on(w, 0);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));

	/* And opens again when it has been restarted. */
	lose_power(w, 0);
	node_start(w, 0);
	EXPECT(w, run_until(w, SECONDS(30), is_open, 0) && has_commit(w, 0, commit));
}

const Scenario scenarios_lists[] = {
	{"three_to_five_and_back", three_to_five_and_back, NULL},
	{"member_appended_to_four", member_appended_to_four, NULL},
	{"holder_leaves", holder_leaves, NULL},
	{"both_lists_count_for_commits", both_lists_count_for_commits, NULL},
	{"leader_dies_on_the_way", leader_dies_on_the_way, NULL},
	{"begun_and_cut_off", begun_and_cut_off, NULL},
	{"two_lists_of_one_number", two_lists_of_one_number, NULL},
	{"list_that_was_gone_on_from", list_that_was_gone_on_from, NULL},
	{"removed_member_returns", removed_member_returns, NULL},
	{"restarted_with_the_shorter_list", restarted_with_the_shorter_list, NULL},
	{"appended_with_an_older_copy", appended_with_an_older_copy, NULL},
	{"learner_does_not_vote", learner_does_not_vote, NULL},
	{"three_to_one", three_to_one, NULL},
	{"majority_lost_for_good", majority_lost_for_good, NULL},
	{"three_to_two_to_one", three_to_two_to_one, NULL},
	{NULL, NULL, NULL}};
