/*
 * test/sim/scenarios_network.c
 *	  Links that are cut, one-way, clogged or lossy; datagrams that nobody sent.
 */
#include "scenarios.h"

#include <string.h>

/* The leader must stay, and its term too, for "us" from now on. */
static void
hold(World *w, int leader, uint64_t us)
{
	checker_begin_edge(w, leader, 0, 0);
	world_run(w, us);
	checker_end_edge(w);
	EXPECT(w, is_leading(w, leader));
}

static void
three_in_the_middle(World *w)
{
	static const int cuts[][2] = {{0, 3}, {0, 4}, {1, 4}, {2, 3}, {3, 4}};

	for (int round = 0; round < 5; round++)
	{
		world_reset(w, 5, w->seed + 1);
		for (int k = 0; k < 5; k++)
			network_cut(w, cuts[k][0], cuts[k][1]);
		world_start_all(w);
		EXPECT(w, run_until(w, checker_bound(w), somebody_leads, 0));
		world_run(w, SECONDS(1));
		EXPECT(w, world_lease(w) >= 0);
		hold(w, world_lease(w), SECONDS(10));
	}
}

static void
leader_at_the_edge(World *w)
{
	int		 leader = begin_settled(w, 5);
	int		 only = someone(w, leader, -1);
	int		 dead = someone(w, leader, only);
	uint64_t until;

	node_crash(w, dead, false);
	for (int i = 0; i < 5; i++)
	{
		if (i != leader && i != only)
			network_cut(w, leader, i);
	}
	until = w->now + checker_bound(w);
	while ((world_lease(w) < 0 || world_lease(w) == leader) && world_event(w, until))
		;
	EXPECT(w, world_lease(w) >= 0 && world_lease(w) != leader);
	EXPECT(w, w->node[leader].member.raft.role != RAFT_LEADER);
}

static void
one_link_broken(World *w)
{
	int leader = begin_settled(w, 3);

	network_cut(w, leader, someone(w, leader, -1));
	hold(w, leader, SECONDS(20));
}

static void
ring(World *w)
{
	for (int n = 3; n <= 5; n++)
	{
		int leader = begin_settled(w, n);

		for (int i = 0; i < n; i++)
		{
			for (int k = i + 1; k < n; k++)
			{
				if (k != i + 1 && !(i == 0 && k == n - 1))
					network_cut(w, i, k);
			}
		}
		hold(w, leader, SECONDS(20));
	}
}

static void
talks_but_never_hears(World *w)
{
	int leader = begin_settled(w, 3);
	int deaf = someone(w, leader, -1);

	for (int i = 0; i < 3; i++)
	{
		if (i != deaf)
			network_cut_way(w, i, deaf);
	}
	hold(w, leader, SECONDS(20));
	node_crash(w, deaf, false);
	node_start(w, deaf);
	hold(w, leader, SECONDS(20));
	network_heal(w);
	hold(w, leader, SECONDS(2));
	EXPECT(w, checker_await(w) == leader);
}

static bool
has_stepped_down(World *w, int i)
{
	return w->node[i].member.raft.role != RAFT_LEADER;
}

static void
leader_hears_nothing_but_is_heard(World *w)
{
	int leader = begin_settled(w, 3);

	for (int i = 0; i < 3; i++)
	{
		if (i != leader)
			network_cut_way(w, i, leader);
	}
	EXPECT(w, run_until(w, MS(460), has_stepped_down, leader));
	EXPECT(w, run_until(w, checker_bound(w), somebody_leads, 0));
	EXPECT(w, world_lease(w) != leader);
}

static void
swizzle(World *w)
{
	(void) begin_settled(w, 5);
	for (int round = 0; round < 20; round++)
	{
		for (int k = 0; k < 15; k++)
		{
			int a = (int) between(w, 0, 4);
			int b = (int) between(w, 0, 4);

			w->link[a][b].clogged_until = w->now + between(w, MS(50), SECONDS(2));
			world_run(w, between(w, 0, MS(100)));
		}
		for (int k = 0; k < 15; k++)
		{
			int a = (int) between(w, 0, 4);
			int b = (int) between(w, 0, 4);

			w->link[a][b].clogged_until = 0;
			world_run(w, between(w, 0, MS(50)));
		}
	}
	network_heal(w);
	world_run(w, SECONDS(2));
	(void) checker_await(w);
}

/*
 * A core has no wall clock, and its own clock counts from anywhere: with clocks
 * an hour apart the very same things happen.
 */
static void
wall_clock_jumps(World *w)
{
	uint64_t seed = w->seed + 1;
	uint64_t steps = 0;
	uint64_t term = 0;
	int		 leader = -1;

	for (int run = 0; run < 2; run++)
	{
		world_reset(w, 5, seed);
		for (int i = 0; i < 5; i++)
			w->node[i].clock.local_base += run == 0 ? 0 : SECONDS(3600) * (uint64_t) i;
		world_start_all(w);
		(void) checker_await(w);
		node_crash(w, world_lease(w), false);
		world_run(w, SECONDS(10));
		EXPECT(w, run == 0 || (w->steps == steps && world_lease(w) == leader &&
							   w->max_term == term));
		steps = w->steps;
		leader = world_lease(w);
		term = w->max_term;
	}
}

static void
lease_after_partition(World *w)
{
	for (int round = 0; round < 20; round++)
	{
		int leader = begin_settled(w, 5);
		int with = someone(w, leader, -1);

		for (int i = 0; i < 5; i++)
		{
			if (i == leader || i == with)
				continue;
			network_cut(w, leader, i);
			network_cut(w, with, i);
		}
		EXPECT(w, run_until(w, MS(260), nobody_leads, 0));
		EXPECT(w, run_until(w, checker_bound(w), somebody_leads, 0));
		EXPECT(w, world_lease(w) != leader && world_lease(w) != with);
		leader = world_lease(w);
		world_run(w, SECONDS(1));
		network_heal(w);
		hold(w, leader, SECONDS(2));
		EXPECT(w, checker_await(w) == leader);
	}
}

/* One impossible datagram of each kind; "k" chooses. */
static size_t
make_garbage(World *w, uint64_t k, int from, int to, uint8_t *bytes)
{
	MessageEnvelope envelope = {.cluster_digest = SIM_CLUSTER};
	uint64_t		n_types = RAFT_MESSAGE_TYPES - RAFT_GREETING;
	RaftMessage		m = forge(w, (RaftMessageType) (RAFT_GREETING + k / 16 % n_types), from, to);
	size_t			length = MESSAGE_SIZE;

	message_encode(&m, &envelope, bytes);
	memset(bytes + MESSAGE_SIZE, 0, 48);
	switch (k % 16)
	{
		case 0:
			return between(w, 0, MESSAGE_SIZE - 1);
		case 1:
			return between(w, MESSAGE_SIZE + 1, MESSAGE_SIZE + 48);
		case 2:
			return 0;
		case 3:
			bytes[4] ^= (uint8_t) between(w, 1, 255); /* version */
			break;
		case 4:
			memcpy(bytes + 24, "\x7F\xFF\xFF\xFF", 4); /* from 2^31 - 1 */
			break;
		case 5:
			memcpy(bytes + 28, "\x7F\xFF\xFF\xFF", 4); /* to */
			break;
		case 6:
			bytes[80] |= 0x80; /* a term above INT64_MAX */
			break;
		case 7:
			memset(bytes + 104, 0xFF, 8); /* a promise that is too long */
			break;
		case 8:
			bytes[8 + between(w, 0, 7)] ^= 1; /* another cluster */
			break;
		case 9:
			bytes[5] = (uint8_t) between(w, RAFT_MESSAGE_TYPES, 255);
			break;
		case 10:
			memset(bytes + 136, 0x77, 8); /* ids of leaders */
			break;
		case 11:
			bytes[48 + between(w, 0, 15)] ^= (uint8_t) between(w, 1, 255); /* echo */
			break;
		case 12:
			bytes[between(w, 0, 3)] ^= (uint8_t) between(w, 1, 255); /* magic */
			break;
		case 13:
			memset(bytes + 64, 0, 8); /* sequence */
			break;
		case 14:
			memcpy(bytes + 24, bytes + 28, 4); /* from itself */
			break;
		default:
			for (size_t i = 0; i < MESSAGE_SIZE; i++)
				bytes[i] = (uint8_t) draw(w);
			length = between(w, 0, MESSAGE_SIZE);
			break;
	}
	return length;
}

static void
garbage(World *w)
{
	uint8_t bytes[MESSAGE_SIZE + 48];
	int		leader = begin_settled(w, 3);

	checker_begin_edge(w, leader, 0, 0);
	for (uint64_t k = 0; k < 40000; k++)
	{
		int to = (int) between(w, 0, 2);
		int from = (to + 1) % 3;

		network_inject(w, to, bytes, make_garbage(w, k, from, to, bytes), from);
		if (k % 16 == 0)
			world_run(w, MS(1));
	}
	world_run(w, SECONDS(1));
	checker_end_edge(w);
	EXPECT(w, checker_await(w) == leader);
}

static void
restart_with_version(World *w, int i, uint32_t version)
{
	node_crash(w, i, false);
	node_set_version(&w->node[i], version);
	node_start(w, i);
}

/* Does every member that is up know what the others understand? */
static bool
versions_are_known(const World *w, uint32_t version)
{
	for (int i = 0; i < w->n; i++)
		for (int j = 0; j < w->n; j++)
			if (i != j && w->node[i].member.raft.peers[j].newest != version)
				return false;
	return true;
}

/*
 * Each member's program is replaced by the next, up and down again, one member at a
 * time: there is a leader throughout, nothing is lost for its version, and members of
 * two versions elect when their leader dies.
 */
static void
mixed_wire_versions(World *w)
{
	static const uint32_t versions[] = {2, 3, 2, 1};

	(void) begin_settled(w, 3);
	for (size_t step = 0; step < sizeof(versions) / sizeof(versions[0]); step++)
	{
		uint32_t version = versions[step];
		bool	 goes_back = step > 1;
		int		 leader = checker_await(w);
		int		 a = someone(w, leader, -1);
		int		 b = someone(w, leader, a);

		w->other_version = 0;
		checker_begin_edge(w, leader, ~BIT(a), 0);
		restart_with_version(w, a, version);
		world_run(w, SECONDS(5));
		checker_end_edge(w);
		EXPECT(w, is_leading(w, leader));
		EXPECT(w, w->other_version == 0 || goes_back);

		/* One that understands more and one that understands less are all there is. */
		node_crash(w, leader, false);
		EXPECT(w, checker_await(w) != leader);
		node_start(w, leader);
		leader = checker_await(w);

		restart_with_version(w, leader == b ? a : b, version);
		world_run(w, SECONDS(5));
		for (int i = 0; i < 3; i++)
			if (w->node[i].version != version)
				restart_with_version(w, i, version);
		(void) checker_await(w);
		world_run(w, SECONDS(5));
		EXPECT(w, versions_are_known(w, version));
	}
}

/* Two versions apart: the third member is not understood, and disturbs nobody. */
static void
wire_versions_too_far_apart(World *w)
{
	int leader = begin_settled(w, 3);
	int a = someone(w, leader, -1);
	int b = someone(w, leader, a);

	checker_begin_edge(w, leader, ~BIT(a), 0);
	restart_with_version(w, a, 3);
	world_run(w, SECONDS(10));
	checker_end_edge(w);
	EXPECT(w, w->other_version > 0 && is_leading(w, leader));
	restart_with_version(w, b, 3); /* now the newer ones are the majority */
	world_run(w, SECONDS(5));
	EXPECT(w, world_lease(w) == a || world_lease(w) == b);
	restart_with_version(w, leader, 3);
	(void) checker_await(w);
}

static void
datagrams_read_late(World *w)
{
	for (int round = 0; round < 10; round++)
	{
		int			 leader = begin_settled(w, 3);
		RaftTimeouts longer = w->node[leader].config.timeouts;

		for (int i = 0; i < 3; i++)
			w->node[i].disk.save_min = w->node[i].disk.save_max = MS(300);
		longer.min_timeout = MS(300);
		node_reload(w, leader, &longer);
		/* The longer promise has to be saved everywhere: heartbeats wait. */
		world_run(w, MS(400) + MS(20) * (uint64_t) round);
		EXPECT(w, w->coverage[COVER_READ_LATE] > 0);
		network_isolate(w, leader);
		world_run(w, SECONDS(3));
		network_heal(w);
		for (int i = 0; i < 3; i++)
			w->node[i].disk.save_min = w->node[i].disk.save_max = 200;
		(void) checker_await(w);
	}
}

static SendVerdict
lose_type(World *w, const RaftMessage *m)
{
	return (int) m->type == w->arg ? SEND_NOT : SEND_ON;
}

static bool
follows(World *w, int i)
{
	return w->node[i].member.raft.leader_id != RAFT_NONE;
}

static void
greeting_lost_or_replayed(World *w)
{
	static const RaftMessageType types[] = {RAFT_GREETING, RAFT_GREETING_ANSWER,
											RAFT_GREETING_CONFIRM};
	int							 leader = begin_settled(w, 3);
	int							 node = someone(w, leader, -1);

	w->record_ppm = PER_MILLION;
	for (int k = 0; k < 3; k++)
	{
		checker_begin_edge(w, leader, ~BIT(node), 0);
		w->arg = (int) types[k];
		w->on_send = lose_type;
		node_crash(w, node, false);
		node_start(w, node);
		world_run(w, SECONDS(2));
		EXPECT(w, types[k] == RAFT_GREETING_CONFIRM || !follows(w, node));
		w->on_send = NULL;
		EXPECT(w, run_until(w, MS(150), follows, node));
		/* All that was ever said, once more and to the present start. */
		for (uint32_t i = 0; i < w->n_archive; i++)
			network_replay(w, &w->archive[i]);
		world_run(w, SECONDS(1));
		checker_end_edge(w);
		EXPECT(w, checker_await(w) == leader && everybody_votes(w, 0));
	}
}

/* Any of what was ever said, over and over: "us" of it. */
static void
play_recordings(World *w, uint64_t us)
{
	uint64_t until = w->now + us;

	while (w->now < until)
	{
		for (int k = 0; k < 20; k++)
			network_replay(w, &w->archive[between(w, 0, w->n_archive - 1)]);
		world_run(w, MS(2));
	}
}

/* Elections, hand-overs and restarts, some of all that is said recorded. */
static int
record_a_life(World *w)
{
	int leader = begin_settled(w, 5);

	w->record_ppm = 300000;
	for (int k = 0; k < 6; k++)
	{
		int node = someone(w, leader, k % 5);

		(void) node_transfer(w, leader, RAFT_NONE);
		world_run(w, SECONDS(1));
		node_crash(w, k % 2 ? node : world_lease(w), false);
		world_run(w, MS(700));
		for (int i = 0; i < 5; i++)
		{
			if (!w->node[i].up)
				node_start(w, i);
		}
		leader = checker_await(w);
		world_run(w, SECONDS(2));
	}
	w->record_ppm = 0;
	EXPECT(w, w->n_archive == SIM_ARCHIVE);
	return leader;
}

/*
 * Replayed in quiet times: nobody saves anything, the leader stays.  A member that
 * is down stays silent to all others; a leader that is cut off loses its lease, and
 * another is elected, as if nothing were replayed.
 */
static void
recordings_change_nothing(World *w)
{
	uint64_t saves[5];
	uint64_t heard[5];
	int		 leader = record_a_life(w);
	int		 dead = someone(w, leader, -1);

	for (int i = 0; i < 5; i++)
		saves[i] = w->node[i].durable.save_number;
	checker_begin_edge(w, leader, BIT(5) - 1, 0);
	play_recordings(w, SECONDS(3));
	checker_end_edge(w);
	for (int i = 0; i < 5; i++)
		EXPECT(w, w->node[i].durable.save_number == saves[i]);

	node_crash(w, dead, false);
	world_run(w, MS(10)); /* what it said last arrives */
	for (int i = 0; i < 5; i++)
		heard[i] = w->node[i].member.raft.peers[dead].heard_at;
	play_recordings(w, SECONDS(3));
	for (int i = 0; i < 5; i++)
		EXPECT(w, i == dead || w->node[i].member.raft.peers[dead].heard_at == heard[i]);

	network_isolate(w, leader);
	play_recordings(w, MS(260));
	EXPECT(w, !is_leading(w, leader));
	play_recordings(w, checker_bound(w));
	EXPECT(w, world_lease(w) >= 0 && world_lease(w) != leader);
	EXPECT(w, w->node[leader].member.raft.role != RAFT_LEADER);
}

/* A start is greeted in time, whatever recordings of earlier ones say. */
static void
a_start_is_heard_among_recordings(World *w)
{
	int leader = begin_settled(w, 3);
	int node = someone(w, leader, -1);

	w->record_ppm = PER_MILLION;
	for (int k = 0; k < 10; k++)
	{
		node_crash(w, node, false);
		node_start(w, node);
		world_run(w, MS(20));
	}
	w->record_ppm = 0;
	world_run(w, SECONDS(1));
	play_recordings(w, MS(300));
	node_crash(w, node, false);
	node_start(w, node);
	play_recordings(w, MS(150));
	EXPECT(w, follows(w, node) && world_lease(w) == leader);
}

static void
lossy_start(World *w)
{
	for (int n = 3; n <= 7; n += 2)
	{
		for (int round = 0; round < 10; round++)
		{
			world_reset(w, n, w->seed + 1);
			w->loss_ppm = 100000;
			world_start_all(w);
			EXPECT(w, run_until(w, SECONDS(4), somebody_leads, 0));
			(void) checker_await(w);
		}
	}
}

const Scenario scenarios_network[] = {
	{"three_in_the_middle", three_in_the_middle, NULL},
	{"leader_at_the_edge", leader_at_the_edge, NULL},
	{"one_link_broken", one_link_broken, NULL},
	{"ring", ring, NULL},
	{"talks_but_never_hears", talks_but_never_hears, NULL},
	{"leader_hears_nothing_but_is_heard", leader_hears_nothing_but_is_heard, NULL},
	{"swizzle", swizzle, NULL},
	{"wall_clock_jumps", wall_clock_jumps, NULL},
	{"lease_after_partition", lease_after_partition, NULL},
	{"garbage", garbage, NULL},
	{"mixed_wire_versions", mixed_wire_versions, NULL},
	{"wire_versions_too_far_apart", wire_versions_too_far_apart, NULL},
	{"datagrams_read_late", datagrams_read_late, NULL},
	{"greeting_lost_or_replayed", greeting_lost_or_replayed, NULL},
	{"recordings_change_nothing", recordings_change_nothing, NULL},
	{"a_start_is_heard_among_recordings", a_start_is_heard_among_recordings, NULL},
	{"lossy_start", lossy_start, NULL},
	{NULL, NULL, NULL}};
