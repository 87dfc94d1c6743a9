/*
 * test/unit/test_home.c
 *	  Members in homes on this machine: real sockets, real state files, the real clock.
 *
 * All of them live in this process, one turn after the other.  Each member has two homes,
 * of which it is in one at a time, as a server and what starts it would be.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../node/clock.h"
#include "../../node/home.h"
#include "invariants.h"

#define MEMBERS 3
#define TERMS	1024
#define LIMIT	UINT64_C(20000000) /* us that anything here may take */

static char	   directory[] = "/tmp/test_home.XXXXXX";
static Cluster cluster;
static Home	   homes[MEMBERS][2];
static int	   at[MEMBERS];			  /* in which of the two it is */
static bool	   stands_still[MEMBERS]; /* gets no turns */

static Words words;

/* What the invariants need: each member's disk, and what it has shown. */
static RaftSaved durable[MEMBERS];
static RaftSaved before[MEMBERS];
static uint64_t	 shown[MEMBERS];
static uint8_t	 votes[MEMBERS][TERMS];
static uint8_t	 leaders[TERMS];

static uint8_t *
vote_of(void *context, int node, uint64_t term)
{
	(void) context;
	assert_true(term < TERMS);
	return &votes[node][term];
}

static uint8_t *
leader_of(void *context, uint64_t term)
{
	(void) context;
	assert_true(term < TERMS);
	return &leaders[term];
}

static const InvariantsHistory history = {NULL, vote_of, leader_of};

static void
must_hold(bool holds)
{
	if (!holds)
		fail_msg("%s", invariants_violation);
}

static InvariantsCall
call_of(const Member *member)
{
	int i = member->raft.config.node_id;

	return (InvariantsCall){i, &member->raft, &before[i], &member->output, member->received};
}

static Home *
home(int i)
{
	return &homes[i][at[i]];
}

static const Raft *
raft(int i)
{
	return &home(i)->member.raft;
}

/* ---- the host ---- */

static uint64_t
host_now(Member *member)
{
	(void) member;
	return clock_now();
}

static void
host_decided(Member *member)
{
	InvariantsCall call = call_of(member);

	before[call.node] = durable[call.node];
	must_hold(invariants_decided(&call));
}

static MemberSave
host_save(Member *member)
{
	int i = member->raft.config.node_id;

	if (!home_save(home_of(member), &words))
		fail_msg("%s", words.error);
	durable[i] = member->raft.saved;
	must_hold(invariants_durable(&history, i, &durable[i], false));
	return MEMBER_SAVED;
}

static void
host_show(Member *member)
{
	InvariantsCall call = call_of(member);

	shown[call.node] = raft_lease_until(&member->raft);
	must_hold(invariants_shown(&history, &call, &durable[call.node], shown[call.node]));
	must_hold(invariants_leases(shown, MEMBERS, clock_now()));
}

static void
host_send(Member *member, const RaftMessage *m)
{
	InvariantsCall call = call_of(member);

	must_hold(invariants_sent(&call, &durable[call.node], m, shown[call.node]));
	(void) transport_send(&home_of(member)->transport, m);
}

static const MemberHost host = {
	.now = host_now,
	.decided = host_decided,
	.save = host_save,
	.show = host_show,
	.send = host_send,
};

/* ---- moving in and out ---- */

static HomeSettings
settings_of(int i)
{
	HomeSettings settings = {
		.cluster = &cluster,
		.config = {.node_id = i,
				   .may_lead = true,
				   .timeouts = {100000, 200000, 20000, 100000}},
		.cluster_name = "test",
		.listen_address = "",
		.state_directory = directory};

	cluster_configure(&cluster, &settings.config);
	return settings;
}

/* Move in; the record that was there goes on. */
static void
move_in(int i)
{
	HomeSettings settings = settings_of(i);
	RaftSaved	 left = durable[i];

	home_init(home(i));
	if (!home_open(home(i), &settings, &words))
		fail_msg("%s", words.error);
	durable[i] = home(i)->first;
	must_hold(invariants_durable(&history, i, &durable[i], false));
	assert_true(durable[i].term == left.term && durable[i].voted_for == left.voted_for);
	assert_true(durable[i].boot > left.boot && durable[i].promise >= left.promise);
	assert_true(home_start(home(i), &host));
}

static void
move_out(int i)
{
	member_resign(&home(i)->member);
	home_close(home(i));
	shown[i] = 0;
}

/* ---- letting it run ---- */

static bool
all_follow(void)
{
	int32_t leader = raft(0)->leader_id;

	if (leader == RAFT_NONE || shown[leader] <= clock_now())
		return false;
	for (int i = 0; i < MEMBERS; i++)
	{
		if (raft(i)->leader_id != leader || raft(i)->saved.term != raft(leader)->saved.term)
			return false;
	}
	return true;
}

/* Until done() or for so long; a turn each, whenever there is something to do. */
static void
run(bool (*done)(void), uint64_t us)
{
	uint64_t end = clock_now() + us;

	while (clock_now() < end && (done == NULL || !done()))
	{
		struct pollfd fds[MEMBERS];
		uint64_t	  next = end;
		uint64_t	  now;

		for (int i = 0; i < MEMBERS; i++)
		{
			fds[i] = (struct pollfd){.fd = stands_still[i] ? -1 : home_pollable(home(i)), .events = POLLIN};
			if (!stands_still[i] && home_deadline(home(i)) < next)
				next = home_deadline(home(i));
		}
		now = clock_now();
		assert_true(poll(fds, MEMBERS, next > now ? (int) ((next - now) / 1000) : 0) >= 0);
		for (int i = 0; i < MEMBERS; i++)
		{
			if (!stands_still[i] && !home_turn(home(i), false, &words))
				fail_msg("%s", words.error);
		}
	}
}

static void
settle(void)
{
	run(all_follow, LIMIT);
	assert_true(all_follow());
}

static int
make_members(void **state)
{
	char text[128];
	int	 ports[MEMBERS];
	int	 fds[MEMBERS];

	(void) state;
	assert_non_null(mkdtemp(directory));
	for (int i = 0; i < MEMBERS; i++)
	{
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t		   length = sizeof(address);

		fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
		assert_int_equal(bind(fds[i], (struct sockaddr *) &address, sizeof(address)), 0);
		assert_int_equal(getsockname(fds[i], (struct sockaddr *) &address, &length), 0);
		ports[i] = ntohs(address.sin_port);
	}
	for (int i = 0; i < MEMBERS; i++)
		(void) close(fds[i]);
	(void) snprintf(text, sizeof(text), "127.0.0.1:%d, 127.0.0.1:%d, 127.0.0.1:%d", ports[0], ports[1], ports[2]);
	assert_true(cluster_parse(text, &cluster, &words));
	for (int i = 0; i < MEMBERS; i++)
	{
		StoreIdentity identity = {.cluster_digest = cluster_text_digest("test"), .node_id = i};
		RaftSaved	  first = {.save_number = 1,
							   .voted_for = RAFT_NONE,
							   .list_digest = cluster_list_digest(&cluster, MEMBERS),
							   .list_size = MEMBERS};
		Store		  store = {.fd = -1};

		assert_true(store_create(&store, directory, &identity, &first, &words));
		store_close(&store);
		durable[i] = first;
		at[i] = 0;
		move_in(i);
	}
	settle();
	return 0;
}

static int
remove_members(void **state)
{
	char path[STORE_PATH_SIZE];

	(void) state;
	for (int i = 0; i < MEMBERS; i++)
	{
		home_close(home(i));
		(void) snprintf(path, sizeof(path), "%s/node-%d.state", directory, i);
		(void) unlink(path);
	}
	return rmdir(directory);
}

/* ---- tests ---- */

/*
 * Back and forth, leaders among them: the invariants hold over all homes (no vote twice,
 * no term back), nobody is in two homes, and a follower that moves disturbs nobody.
 */
static void
a_member_moves_between_its_homes(void **state)
{
	(void) state;
	for (int move = 0; move < 24; move++)
	{
		int			 i = move % MEMBERS;
		HomeSettings settings = settings_of(i);
		bool		 leads = raft(i)->role == RAFT_LEADER;
		uint64_t	 term = raft(i)->saved.term;
		Home		*next = &homes[i][1 - at[i]];

		home_init(next);
		assert_false(home_open(next, &settings, &words));
		home_close(next);
		move_out(i);
		at[i] = 1 - at[i];
		move_in(i);
		settle();
		if (!leads)
			assert_true(raft(i)->saved.term == term);
	}
}

/* It follows again as soon as the greetings are done: with the next heartbeat. */
static void
a_member_that_moved_follows_with_the_next_heartbeat(void **state)
{
	int		 leader;
	int		 follower;
	uint64_t round;

	(void) state;
	settle();
	leader = raft(0)->leader_id;
	follower = (leader + 1) % MEMBERS;
	for (int move = 0; move < 5; move++)
	{
		move_out(follower);
		at[follower] = 1 - at[follower];
		round = raft(leader)->heartbeat_round;
		move_in(follower);
		settle();
		assert_int_equal(raft(0)->leader_id, leader);
		assert_true(raft(leader)->heartbeat_round <= round + 3);
	}
}

/* One that stood still reads what has come before it takes the silence for a death. */
static void
a_member_that_stood_still_reads_first(void **state)
{
	(void) state;
	for (int timer_only = 0; timer_only <= 1; timer_only++)
	{
		int		 leader;
		int		 follower;
		uint64_t started;
		uint64_t term;

		settle();
		leader = raft(0)->leader_id;
		follower = (leader + 1) % MEMBERS;
		started = raft(follower)->counters.pre_votes_started;
		term = raft(follower)->saved.term;
		stands_still[follower] = true;
		run(NULL, 400000);
		assert_true(member_deadline(&home(follower)->member) + HOME_ON_TIME < clock_now());
		stands_still[follower] = false;
		assert_true(home_turn(home(follower), timer_only != 0, &words));
		assert_int_equal(raft(follower)->role, RAFT_FOLLOWER);
		assert_int_equal(raft(follower)->leader_id, leader);
		assert_true(raft(follower)->counters.pre_votes_started == started);
		assert_true(raft(follower)->saved.term == term);
	}
}

/* Receiving may take long itself, by a save: what came meanwhile is read before a tick. */
static void
a_member_that_took_long_to_receive_reads_again(void **state)
{
	int		 leader;
	int		 follower;
	Member	*member;
	uint64_t read_by;
	uint64_t started;

	(void) state;
	settle();
	leader = raft(0)->leader_id;
	follower = (leader + 1) % MEMBERS;
	member = &home(follower)->member;
	started = raft(follower)->counters.pre_votes_started;
	read_by = clock_now();
	assert_true(read_by < member_deadline(member));
	stands_still[follower] = true;
	run(NULL, 400000);
	assert_false(member_admit(member)); /* here its clock goes on */
	member_tick(member, read_by);
	assert_int_equal(raft(follower)->role, RAFT_FOLLOWER);
	stands_still[follower] = false;
	assert_true(home_turn(home(follower), true, &words));
	assert_int_equal(raft(follower)->leader_id, leader);
	assert_true(raft(follower)->counters.pre_votes_started == started);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_member_moves_between_its_homes),
		cmocka_unit_test(a_member_that_moved_follows_with_the_next_heartbeat),
		cmocka_unit_test(a_member_that_stood_still_reads_first),
		cmocka_unit_test(a_member_that_took_long_to_receive_reads_again),
	};

	return cmocka_run_group_tests_name("home", tests, make_members, remove_members);
}
