/*
 * test/sim/scenarios_state.c
 *	  Crashes, disks, lost state, member lists, twins.
 */
#include "scenarios.h"

#include <string.h>

static void
restart(World *w, int i)
{
	if (w->node[i].up)
		node_crash(w, i, false);
	node_start(w, i);
}

static void
crash_around_the_save(World *w)
{
	(void) begin_settled(w, 5);
	for (int round = 0; round < 200; round++)
	{
		int leader = world_lease(w);

		for (int i = 0; i < 5; i++)
		{
			if (i != leader && i % 2 == round % 2)
				w->node[i].plan = (CrashPoint) (1 + (round + i) % (CRASH_POINTS - 1));
		}
		node_crash(w, leader, round % 3 == 0);
		world_run(w, between(w, MS(100), MS(900)));
		for (int i = 0; i < 5; i++)
		{
			w->node[i].plan = CRASH_NONE;
			if (!w->node[i].up)
				node_start(w, i);
		}
		(void) checker_await(w);
	}
}

static void
save_fails(World *w)
{
	(void) begin_settled(w, 3);
	for (int round = 0; round < 60; round++)
	{
		int leader = world_lease(w);

		for (int i = 0; i < 3; i++)
			w->node[i].disk.fail_next = i != leader && i % 2 == round % 2;
		node_crash(w, leader, false);
		world_run(w, SECONDS(1));
		for (int i = 0; i < 3; i++)
		{
			w->node[i].disk.fail_next = false;
			if (!w->node[i].up)
				node_start(w, i);
		}
		(void) checker_await(w);
	}
	EXPECT(w, w->coverage[COVER_SAVES_FAILED] > 0);
}

static void
state_torn(World *w)
{
	int leader = begin_settled(w, 3);
	int voter = someone(w, leader, -1);

	for (int i = 0; i < 3; i++)
		w->node[i].plan = i == leader ? CRASH_NONE : CRASH_TORN_SAVE;
	node_crash(w, leader, false);
	world_run(w, SECONDS(2));
	EXPECT(w, !w->node[0].up || !w->node[1].up || !w->node[2].up);
	for (int i = 0; i < 3; i++)
	{
		w->node[i].plan = CRASH_NONE;
		if (!w->node[i].up && i != leader)
		{
			node_start(w, i);
			voter = i;
			EXPECT(w, w->node[i].verdict != STORE_ONE_SLOT_BAD || is_abstaining(w, i));
		}
	}
	node_start(w, leader);
	(void) checker_await(w);
	EXPECT(w, run_until(w, SECONDS(5), is_voting, voter));
}

static void
newer_slot_rots(World *w)
{
	int leader = begin_settled(w, 3);
	int i = someone(w, leader, -1);

	node_crash(w, i, false);
	disk_rot(w, i);
	node_start(w, i);
	EXPECT(w, w->node[i].verdict == STORE_ONE_SLOT_BAD && is_abstaining(w, i));
	EXPECT(w, run_until(w, SECONDS(5), is_voting, i));
	EXPECT(w, checker_await(w) == leader);
}

/* It takes no part, and never begins anew from term 0. */
static void
takes_no_part(World *w, int leader, int i, StoreVerdict verdict)
{
	node_start(w, i);
	EXPECT(w, !w->node[i].up && w->node[i].verdict == verdict);
	world_run(w, SECONDS(2));
	EXPECT(w, checker_await(w) == leader);
	node_crash(w, leader, false);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_leads, 0));
}

static void
state_corrupt(World *w)
{
	int	  leader = begin_settled(w, 3);
	int	  i = someone(w, leader, -1);
	Disk *disk = &w->node[i].disk;

	node_crash(w, i, false);
	disk->image[20] ^= 1;
	disk->image[STORE_SLOT_STRIDE + 50] ^= 4;
	takes_no_part(w, leader, i, STORE_BAD);
}

static void
copy_of_another_node(World *w)
{
	int leader = begin_settled(w, 3);
	int i = someone(w, leader, -1);

	node_crash(w, i, false);
	memcpy(w->node[i].disk.image, w->node[leader].disk.image, STORE_FILE_SIZE);
	takes_no_part(w, leader, i, STORE_OTHER_NODE);
}

/* Every disk forgets what it had acknowledged: the checker must find that. */
static void
disk_lies(World *w)
{
	for (int round = 0; round < 100; round++)
	{
		begin(w, 3);
		for (int i = 0; i < 3; i++)
			w->node[i].disk.lies = true;
		world_run(w, between(w, MS(300), SECONDS(2)));
		for (int i = 0; i < 3; i++)
		{
			node_crash(w, i, true);
			w->node[i].max_term = 0; /* M would be too easy: it must be V or S */
		}
		for (int i = 0; i < 3; i++)
			node_start(w, i);
		world_run(w, SECONDS(2));
	}
}

/* ---- lost state ---- */

static void
wipe(World *w, int i)
{
	if (w->node[i].up)
		node_crash(w, i, false);
	disk_wipe(w, i);
	node_start(w, i);
	EXPECT(w, is_abstaining(w, i));
}

static void
state_wiped(World *w)
{
	for (int n = 2; n <= 5; n++)
	{
		int leader = begin_settled(w, n);
		int i = someone(w, leader, -1);

		wipe(w, i);
		EXPECT(w, run_until(w, SECONDS(5), is_voting, i));
		(void) checker_await(w);
		EXPECT(w, n == 2 || world_lease(w) == leader);
		wipe(w, world_lease(w)); /* the leader itself */
		(void) checker_await(w);
		EXPECT(w, run_until(w, SECONDS(5), everybody_votes, 0));
	}
}

static void
wiped_twice(World *w)
{
	int leader = begin_settled(w, 3);
	int i = someone(w, leader, -1);

	for (int k = 0; k < 20; k++)
	{
		wipe(w, i);
		world_run(w, MS(70) * (uint64_t) k); /* before, while it waits, after */
		restart(w, i);
		EXPECT(w, k > 12 || is_abstaining(w, i));
		world_run(w, MS(50));
	}
	EXPECT(w, run_until(w, SECONDS(5), is_voting, i));
	EXPECT(w, checker_await(w) == leader);
}

static void
several_wiped(World *w)
{
	for (int round = 0; round < 10; round++)
	{
		int leader = begin_settled(w, 5);
		int a = someone(w, leader, -1);
		int b = someone(w, leader, a);

		world_run(w, SECONDS(1));
		wipe(w, a);
		wipe(w, b);
		world_run(w, MS(100));
		EXPECT(w, is_leading(w, leader));
		EXPECT(w, run_until(w, SECONDS(6), everybody_votes, 0));
		/* With one member gone nobody can hear all: both go on abstaining. */
		node_crash(w, leader, false);
		wipe(w, a);
		wipe(w, b);
		world_run(w, SECONDS(5));
		EXPECT(w, world_lease(w) < 0 && is_abstaining(w, a) && is_abstaining(w, b));
		node_start(w, leader);
		(void) checker_await(w);
		EXPECT(w, run_until(w, SECONDS(6), everybody_votes, 0));
	}
}

static bool
has_voted_after(World *w, int term)
{
	const Node *n = &w->node[w->arg];

	return n->up && n->durable.term > (uint64_t) term && n->durable.voted_for >= 0;
}

static void
wiped_during_an_election(World *w)
{
	for (int round = 0; round < 40; round++)
	{
		int leader = begin_settled(w, 3);
		int voter = someone(w, leader, -1);
		int term = (int) w->node[leader].durable.term;

		w->arg = voter;
		node_crash(w, leader, false);
		EXPECT(w, run_until(w, SECONDS(20), has_voted_after, term));
		if (round % 2 == 0)
			world_run(w, between(w, 0, MS(2)));
		wipe(w, voter);
		world_run(w, between(w, 0, SECONDS(1)));
		EXPECT(w, is_abstaining(w, voter));
		node_start(w, leader);
		(void) checker_await(w);
		EXPECT(w, run_until(w, SECONDS(5), everybody_votes, 0));
	}
}

static void
old_copy_restored(World *w)
{
	for (int round = 0; round < 10; round++)
	{
		int leader = begin_settled(w, 3);
		int i = someone(w, leader, -1);

		disk_keep_copy(w, i);
		for (int k = 0; k < 2; k++)
		{
			(void) node_transfer(w, world_lease(w), RAFT_NONE);
			world_run(w, MS(300));
			(void) checker_await(w);
		}
		leader = world_lease(w);
		node_crash(w, i, false);
		disk_restore_copy(w, i);
		node_start(w, i);
		EXPECT(w, run_until(w, MS(200), is_abstaining, i));
		EXPECT(w, run_until(w, SECONDS(5), is_voting, i));
		(void) checker_await(w);
	}
}

static void
leader_restarts_in_its_term(World *w)
{
	for (int round = 0; round < 20; round++)
	{
		int		 leader;
		uint64_t term;

		begin(w, 3);
		network_delays(w, 10000, 30000); /* acknowledgements are on their way */
		leader = checker_await(w);
		term = w->node[leader].durable.term;
		world_run(w, between(w, 0, MS(100)));
		restart(w, leader);
		EXPECT(w, run_until(w, checker_bound(w), somebody_leads, 0));
		EXPECT(w, w->node[world_lease(w)].durable.term > term);
	}
}

static void
voter_restarts_inside_the_lease(World *w)
{
	for (int round = 0; round < 50; round++)
	{
		int leader = begin_settled(w, 3);

		world_run(w, between(w, 0, MS(200)));
		network_isolate(w, leader);
		for (int i = 0; i < 3; i++)
		{
			if (i != leader)
				restart(w, i);
		}
		EXPECT(w, run_until(w, checker_bound(w), nobody_leads, 0)); /* X is watched */
		EXPECT(w, run_until(w, checker_bound(w), somebody_leads, 0));
	}
}

static SendVerdict
no_lease_is_shown(World *w, const RaftMessage *m)
{
	if (m->from == w->arg)
		EXPECT(w, w->node[w->arg].shown == 0);
	return SEND_ON;
}

static void
worker_restarts_alone(World *w)
{
	int leader = begin_settled(w, 3);

	node_crash(w, leader, false);
	EXPECT(w, w->node[leader].shown == 0);
	w->arg = leader;
	w->on_send = no_lease_is_shown;
	node_start(w, leader);
	world_run(w, MS(150));
	w->on_send = NULL;
	(void) checker_await(w);
}

static SendVerdict
lose_answers_of_the_third(World *w, const RaftMessage *m)
{
	return m->type == RAFT_HEARTBEAT_ANSWER && m->from == w->arg ? SEND_NOT : SEND_ON;
}

static void
minority_leader_and_a_wiped_voter(World *w)
{
	int leader = begin_settled(w, 3);
	int wiped = someone(w, leader, -1);
	int third = someone(w, leader, wiped);

	network_isolate(w, third);
	wipe(w, wiped);
	EXPECT(w, run_until(w, MS(300), nobody_leads, 0));
	EXPECT(w, !run_until(w, SECONDS(10), somebody_leads, 0));
	EXPECT(w, w->node[leader].member.raft.role != RAFT_LEADER && is_abstaining(w, wiped));
	/* It hears the third, whose acknowledgements are lost: it is on its own again. */
	network_heal(w);
	w->arg = third;
	w->on_send = lose_answers_of_the_third;
	world_run(w, MS(600));
	w->on_send = NULL;
	(void) checker_await(w);
}

/* ---- member lists and twins ---- */

static void
set_list(World *w, int i, int size)
{
	if (w->node[i].up)
		node_crash(w, i, false);
	node_set_list(&w->node[i], BIT(size) - 1);
	node_start(w, i);
}

static void
append_member(World *w, int size)
{
	for (int i = size - 1; i >= 0; i--)
	{
		set_list(w, i, size);
		world_run(w, MS(200));
		if (i > 0)
			EXPECT(w, is_abstaining(w, size - 1));
	}
	EXPECT(w, run_until(w, SECONDS(10), everybody_votes, 0));
	(void) checker_await(w);
}

static void
list_changed_member_by_member(World *w)
{
	/* 3, 4, 5 */
	(void) begin_settled(w, 3);
	for (int size = 4; size <= 5; size++)
	{
		Node *n = &w->node[size - 1];

		w->n = size;
		world_reset_node(w, size - 1);
		node_set_list(n, BIT(size) - 1);
		append_member(w, size);
	}
	/* 5 to 3: the two are stopped, the others need pg_leader_admit(). */
	node_crash(w, 3, false);
	node_crash(w, 4, false);
	for (int i = 0; i < 3; i++)
	{
		set_list(w, i, 3);
		world_run(w, SECONDS(1));
		EXPECT(w, is_abstaining(w, i));
	}
	EXPECT(w, !run_until(w, SECONDS(10), somebody_leads, 0));
	w->n = 3;
	for (int i = 0; i < 3; i++)
		node_admit(w, i);
	EXPECT(w, run_until(w, SECONDS(5), everybody_votes, 0));
	(void) checker_await(w);
	/* One is replaced by a new machine with its id. */
	wipe(w, someone(w, world_lease(w), -1));
	EXPECT(w, run_until(w, SECONDS(5), everybody_votes, 0));
	(void) checker_await(w);
}

/* Process 3 runs as member "id" from a copy of its state file. */
static void
make_twin(World *w, int id)
{
	Node *twin = &w->node[3];

	w->n = 4;
	world_reset_node(w, 3);
	twin->id = id;
	twin->config = w->node[id].config;
	twin->disk = w->node[id].disk;
}

static void
twins_one_at_the_wrong_address(World *w)
{
	int leader = begin_settled(w, 3);
	int id = someone(w, leader, -1);

	make_twin(w, id);
	w->node[3].at_wrong_address = true;
	node_start(w, 3);
	checker_begin_edge(w, leader, 0, 0);
	world_run(w, SECONDS(20));
	checker_end_edge(w);
	EXPECT(w, w->no_member > 0 && checker_await(w) == leader && is_voting(w, id));
}

static void
twins_that_meet(World *w)
{
	int leader = begin_settled(w, 3);
	int id = someone(w, leader, -1);
	int other = someone(w, leader, id);

	/* The address leads to the twin for one of the peers. */
	make_twin(w, id);
	w->route[other][id] = 3;
	node_crash(w, id, false);
	node_start(w, id);
	node_start(w, 3);
	world_run(w, SECONDS(1));
	for (int k = 0; k < 3; k++)
	{
		uint64_t begun = w->coverage[COVER_ABSTAIN_BEGUN];

		/* And now to the other one, for both: each time one is found out. */
		w->route[leader][id] = w->route[other][id] = (int16_t) (k % 2 == 0 ? 3 : id);
		world_run(w, SECONDS(8));
		EXPECT(w, w->coverage[COVER_ABSTAIN_BEGUN] > begun);
	}
	EXPECT(w, is_leading(w, leader));
	/* One is taken away, and the other votes again. */
	node_crash(w, 3, false);
	w->route[leader][id] = w->route[other][id] = (int16_t) id;
	EXPECT(w, run_until(w, SECONDS(10), is_voting, id));
}

const Scenario scenarios_state[] = {
	{"crash_around_the_save", crash_around_the_save, NULL},
	{"save_fails", save_fails, NULL},
	{"state_torn", state_torn, NULL},
	{"newer_slot_rots", newer_slot_rots, NULL},
	{"state_corrupt", state_corrupt, NULL},
	{"disk_lies", disk_lies, "SV"},
	{"state_wiped", state_wiped, NULL},
	{"wiped_twice", wiped_twice, NULL},
	{"several_wiped", several_wiped, NULL},
	{"wiped_during_an_election", wiped_during_an_election, NULL},
	{"old_copy_restored", old_copy_restored, NULL},
	{"copy_of_another_node", copy_of_another_node, NULL},
	{"leader_restarts_in_its_term", leader_restarts_in_its_term, NULL},
	{"voter_restarts_inside_the_lease", voter_restarts_inside_the_lease, NULL},
	{"worker_restarts_alone", worker_restarts_alone, NULL},
	{"minority_leader_and_a_wiped_voter", minority_leader_and_a_wiped_voter, NULL},
	{"list_changed_member_by_member", list_changed_member_by_member, NULL},
	{"twins", twins_that_meet, NULL},
	{"twins_one_at_the_wrong_address", twins_one_at_the_wrong_address, NULL},
	{NULL, NULL, NULL}};
