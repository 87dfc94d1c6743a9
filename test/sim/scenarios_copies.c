/*
 * test/sim/scenarios_copies.c
 *	  Servers: who is a copy of an answered commit, and how many there are (rule 16).
 */
#include "scenarios_data.h"

static SimData copy;

/* ---- names that others bear ---- */

/* A machine that is no member's has a copy of that member's directory, its settings included. */
static int
clone_elsewhere(World *w, int member, int leader)
{
	SimCluster *c = cluster(w);
	int			stranger = c->n++;

	world_reset_node(w, stranger);
	c->server[stranger].receiver.slot = -1;
	sim_snapshot(c, member, &copy);
	EXPECT(w, sim_restore(c, stranger, &copy));
	c->server[stranger].bears = (int8_t) (1 + member);
	c->server[stranger].conninfo = (int8_t) leader;
	EXPECT(w, sim_start(c, stranger));
	return stranger;
}

/* It gets on, and everything that it says arrives. */
static void
stranger_gets_on(World *w, int stranger)
{
	for (int k = 0; k < 40; k++)
	{
		(void) sim_startup_step(cluster(w), stranger);
		(void) sim_receiver_step(cluster(w), stranger, 4);
		(void) sim_receiver_flush(cluster(w), stranger);
		(void) sim_receiver_reply(cluster(w), stranger);
		world_run(w, MS(5));
	}
}

/*
 * A clone bears the name of the member whose settings were copied with its data, from a
 * machine that is no member's, or from that of another member.
 */
static void
clone_with_a_copied_conninfo(World *w)
{
	for (int by_member = 0; by_member < 2; by_member++)
	{
		int o[4];
		int leader = begin_with_others(w, 3, o);
		int clone = by_member ? o[1] : clone_elsewhere(w, o[0], leader);
		int commit;

		hold(w, o[0], HOLD_RECEIVER);
		hold(w, o[1], HOLD_WORKER | (by_member ? 0 : HOLD_RECEIVER));
		if (by_member)
		{
			server(w, clone)->bears = (int8_t) (1 + o[0]);
			(void) sim_receiver_end(cluster(w), clone, true);
		}
		commit = commit_on(w, leader);
		if (by_member)
			world_run(w, MS(200));
		else
			stranger_gets_on(w, clone);
		EXPECT(w, !is_released(w, commit) && !sim_has_commit(server(w, leader)->shown, commit) && !is_answered(w, commit));
		EXPECT(w, is_open(w, leader) && is_streaming(w, o[0])); /* whose own connection stays */
		server(w, clone)->bears = 0;
		cluster(w)->n = w->n;
		let_go(w, o[1], HOLD_WORKER);
		let_go(w, o[0], HOLD_RECEIVER);
		EXPECT(w, run_until(w, SECONDS(1), answered, commit));
		(void) settle_data(w);
	}
}

/* It streams under that name from there, and counts for PostgreSQL; false: it was refused. */
static bool
receive_to_files(World *w, int leader, int name, int host)
{
	SimCluster *c = cluster(w);
	SimSender  *sender = server(w, leader)->sender;

	if (c->login != NULL && !c->login(c->context, leader, name, host))
		return false;
	while (sender->state != SIM_SENDER_FREE)
		sender++;
	*sender = (SimSender){.state = SIM_SENDER_STREAMING,
						  .standby = (int8_t) name,
						  .host = (int8_t) host,
						  .attached = true,
						  .connection = ++c->n_connections,
						  .timeline = server(w, leader)->timeline,
						  .sent = server(w, leader)->flushed,
						  .flush = server(w, leader)->flushed};
	return true;
}

/*
 * A pg_receivewal on another machine bears a member's name.  It flushes all that it gets, and
 * no server will ever come up with it.  Let in all the same, it counts for nothing.
 */
static void
pg_receivewal_under_a_members_name(World *w)
{
	int o[4];
	int leader = begin_with_others(w, 3, o);
	int commit;

	hold(w, o[0], HOLD_RECEIVER);
	hold(w, o[1], HOLD_RECEIVER);
	commit = commit_on(w, leader);
	EXPECT(w, !receive_to_files(w, leader, o[0], SIM_SERVERS - 1));
	world_run(w, MS(50));
	EXPECT(w, !is_released(w, commit) && is_streaming(w, o[0]));

	cluster(w)->login = NULL;
	EXPECT(w, receive_to_files(w, leader, o[0], SIM_SERVERS - 1));
	EXPECT(w, run_until(w, MS(50), is_released, commit));
	world_run(w, MS(50));
	EXPECT(w, is_open(w, leader) && is_bound(w, leader, o[0]) && !is_answered(w, commit));
	nobody_has_read(w);
	let_go(w, o[0], HOLD_RECEIVER);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

/* ---- how many ---- */

/* With "copies" of n members a commit waits on; false: it was answered. */
static bool
waits_with(World *w, int n, int copies)
{
	int o[4];
	int leader = begin_with_others(w, n, o);
	int commit;

	for (int k = copies - 1; k < n - 1; k++)
		hold(w, o[k], HOLD_RECEIVER);
	commit = commit_on(w, leader);
	world_run(w, MS(100));
	for (int k = 0; k < n - 1; k++)
		EXPECT(w, has_commit(w, o[k], commit) == (k < copies - 1));
	if (n > 2)
	{
		/* All that have it are gone, and the rest elects. */
		network_isolate(w, leader);
		for (int k = 0; k < copies - 1; k++)
			network_isolate(w, o[k]);
		EXPECT(w, run_until(w, SECONDS(1), nobody_leads, 0));
		nobody_has_read(w);
		for (int k = copies - 1; k < n - 1; k++)
			let_go(w, o[k], HOLD_RECEIVER);
		(void) run_until(w, SECONDS(5), somebody_is_open, 0);
	}
	(void) settle_data(w);
	return !is_answered(w, commit);
}

/* C20: as many copies as meet every majority, and of two members both. */
static void
one_copy_less(World *w)
{
	static const int copies[6] = {0, 1, 2, 2, 2, 3};

	for (int n = 2; n <= 5; n++)
	{
		int o[4];
		int leader;
		int commit;

		EXPECT(w, waits_with(w, n, copies[n] - 1));
		leader = begin_with_others(w, n, o);
		for (int k = copies[n] - 1; k < n - 1; k++)
			hold(w, o[k], HOLD_RECEIVER);
		commit = commit_on(w, leader);
		EXPECT(w, run_until(w, MS(100), answered, commit));
		network_isolate(w, leader);
		EXPECT(w, run_until(w, SECONDS(1), nobody_leads, 0));
		for (int k = 0; k < n - 1; k++)
			let_go(w, o[k], HOLD_RECEIVER);
		if (n > 2)
			EXPECT(w, run_until(w, SECONDS(5), somebody_is_open, 0) && has_commit(w, world_lease(w), commit));
		EXPECT(w, has_commit(w, settle_data(w), commit));
	}
}

static bool
is_half_cloned(World *w, int i)
{
	return w->node[i].durable.rebuild == RAFT_CLONING;
}

/*
 * C20 with members that never get any data, and vote: 2 and 1, 3 and 1, 4 and 1, 3 and 2.  An
 * answered commit is on as many as ever; those without data are none of them.
 */
static void
members_without_data(World *w)
{
	static const struct
	{
		int data;
		int empty;
		int copies;
	} cases[] = {{2, 1, 2}, {3, 1, 2}, {4, 1, 3}, {3, 2, 3}};

	for (int k = 0; k < 4; k++)
	{
		int n = cases[k].data + cases[k].empty;
		int commit;
		int holders = 0;

		reset_data(w, n);
		for (int i = cases[k].data; i < n; i++)
			hold(w, i, HOLD_REBUILD);
		world_start_all(w);
		for (int i = cases[k].data; i < n; i++)
			EXPECT(w, run_until(w, SECONDS(20), is_half_cloned, i));
		for (int i = 1; i < cases[k].data; i++)
			EXPECT(w, run_until(w, SECONDS(20), is_streaming, i));
		EXPECT(w, run_until(w, SECONDS(20), is_open, 0));

		/* One copy less is not enough. */
		for (int i = cases[k].copies - 1; i < cases[k].data; i++)
			hold(w, i, HOLD_RECEIVER);
		commit = commit_on(w, 0);
		world_run(w, MS(200));
		EXPECT(w, is_open(w, 0) && !is_answered(w, commit));
		let_go(w, cases[k].copies - 1, HOLD_RECEIVER);
		EXPECT(w, run_until(w, SECONDS(1), answered, commit));
		for (int i = 0; i < n; i++)
			holders += has_commit(w, i, commit);
		EXPECT(w, holders == cases[k].copies);

		/* Without the primary they elect one that has it, with the votes of all without data. */
		network_isolate(w, 0);
		for (int i = 1; i < cases[k].data; i++)
			let_go(w, i, HOLD_RECEIVER);
		if (cases[k].data >= 1 + cases[k].copies)
			EXPECT(w, run_until(w, SECONDS(10), somebody_is_open, 0) && has_commit(w, world_lease(w), commit));
		else
			EXPECT(w, run_until(w, SECONDS(10), somebody_leads, 0) && has_commit(w, world_lease(w), commit));
		EXPECT(w, has_commit(w, settle_data(w), commit));
	}
}

const Scenario scenarios_copies[] = {
	{"clone_with_a_copied_conninfo", clone_with_a_copied_conninfo, NULL},
	{"pg_receivewal_under_a_members_name", pg_receivewal_under_a_members_name, NULL},
	{"one_copy_less", one_copy_less, NULL},
	{"members_without_data", members_without_data, NULL},
	{NULL, NULL, NULL}};
