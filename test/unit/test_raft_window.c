/*
 * test/unit/test_raft_window.c
 *	  The replay window: a datagram acts once, and a recording of it never.
 *
 * Where it falls: at the echo after our own restart, at the start after the
 * peer's, at the window in between.  And what is said to those who have proved
 * nothing, answers to greetings, is bounded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static World		world;
static World *const w = &world;

/* Only node 0 is meant to live; the peers are in their second start at least. */
static void
begin(int n)
{
	world_init(w, n);
	for (int i = 0; i < n; i++)
		world_restart(w, i);
	world_greet_all(w);
	world_drop_all(w);
	world_forget(w);
}

/* "type" as peer 1 would send it to node 0 under some number. */
static RaftMessage
numbered(RaftMessageType type, uint64_t sequence)
{
	RaftMessage m = world_message(w, type, 1, 0);

	m.sequence = sequence;
	return m;
}

static bool
is_taken(const RaftMessage *m)
{
	uint64_t seen = world_dropped(w, m->to, RAFT_DROP_SEEN);

	world_replay(w, m);
	return world_dropped(w, m->to, RAFT_DROP_SEEN) == seen;
}

/* Does a confirmation with that number count as new?  From then on it is not. */
static bool
takes(uint64_t sequence)
{
	RaftMessage m = numbered(RAFT_GREETING_CONFIRM, sequence);

	return is_taken(&m);
}

/*
 * All that a core knows, but for what it counts, and for what it remembers of the
 * greetings that it sent and answered.
 */
static void
without_accounts(const Raft *r, Raft *plain)
{
	*plain = *r;
	memset(&plain->counters, 0, sizeof(plain->counters));
	for (int i = 0; i < RAFT_MAX_NODES; i++)
	{
		RaftPeer *peer = &plain->peers[i];

		peer->sent = peer->greet_at = peer->greeted_at = 0;
		peer->greeter_boot = peer->greeter_incarnation = 0;
		peer->told_greeter_at = peer->told_new_start_at = peer->told_others_at = 0;
	}
}

static void
expect_same(const Raft *before, int node, const RaftMessage *m)
{
	static Raft a;
	static Raft b;

	without_accounts(before, &a);
	without_accounts(&w->node[node].member.raft, &b);
	if (memcmp(&a, &b, sizeof(a)) != 0)
		fail_msg("a recorded %s from %d changes node %d", message_type_name(m->type), m->from, node);
	if (w->node[node].member.output.save || w->node[node].member.output.n_events > 0)
		fail_msg("a recorded %s from %d brings something about", message_type_name(m->type), m->from);
}

/* ---- the window ---- */

static void
seen_twice_is_dropped(void **state)
{
	(void) state;
	begin(3);
	assert_true(takes(100));
	assert_false(takes(100));
	assert_true(takes(99)); /* overtaken is not seen */
	assert_false(takes(99));
	assert_true(takes(101));
	assert_false(takes(101));
	assert_false(takes(100));
	assert_false(takes(99));
	assert_true(world_dropped(w, 0, RAFT_DROP_SEEN) == 5);
}

static void
the_edge_of_the_window(void **state)
{
	(void) state;
	begin(3);
	assert_true(takes(1000));
	assert_true(takes(1000 - (RAFT_WINDOW - 1)));
	assert_false(takes(1000 - (RAFT_WINDOW - 1)));
	assert_false(takes(1000 - RAFT_WINDOW));
	assert_false(takes(1000 - RAFT_WINDOW - 1));
	assert_false(takes(1));

	/* One further: what was at the edge is behind it. */
	assert_true(takes(1001));
	assert_false(takes(1000 - (RAFT_WINDOW - 1)));
	assert_true(takes(1001 - (RAFT_WINDOW - 1)));

	/* Nothing between was taken for seen, and nothing is taken twice. */
	for (uint64_t sequence = 1002 - (RAFT_WINDOW - 1); sequence < 1000; sequence++)
		assert_true(takes(sequence));
	for (uint64_t sequence = 1001 - (RAFT_WINDOW - 1); sequence <= 1001; sequence++)
		assert_false(takes(sequence));
}

/* By how much it jumps forward decides what is still known of those before. */
static void
jumps_forward(void **state)
{
	static const uint64_t jumps[] = {
		1, 2, RAFT_WINDOW - 1, RAFT_WINDOW, RAFT_WINDOW + 1, 1000, UINT64_C(1) << 40};

	(void) state;
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++)
	{
		uint64_t to = 500 + jumps[i];

		begin(3);
		assert_true(takes(500));
		assert_true(takes(to));
		assert_false(takes(500));
		assert_false(takes(to));
		assert_int_equal(takes(499), to - 499 < RAFT_WINDOW);
		if (jumps[i] > 1)
			assert_true(takes(to - 1));
		if (jumps[i] >= RAFT_WINDOW)
			assert_true(takes(to - (RAFT_WINDOW - 1)));
	}

	/* To the very end, and no number after it. */
	begin(3);
	assert_true(takes(UINT64_MAX));
	assert_false(takes(UINT64_MAX));
	assert_true(takes(UINT64_MAX - 1));
	assert_false(takes(1));
}

/* Against a plain list of what has come. */
static void
any_order_of_numbers(void **state)
{
	static bool came[20000];

	(void) state;
	begin(3);
	memset(came, 0, sizeof(came));
	for (uint64_t i = 0, middle = 1000, highest = 0; i < 20000; i++)
	{
		uint64_t sequence = middle + world_random(w, 150) - 100;
		bool	 is_new = !came[sequence] && sequence + RAFT_WINDOW > highest;

		if (i == 0)
			highest = w->node[0].member.raft.peers[1].sequence;
		middle += world_random(w, 400) == 0 ? 200 : world_random(w, 2);
		if (middle > 19000)
			break;
		if (takes(sequence) != is_new)
			fail_msg("number %llu, highest %llu", (unsigned long long) sequence,
					 (unsigned long long) highest);
		came[sequence] = true;
		highest = sequence > highest ? sequence : highest;
	}
}

static void
a_new_start_of_the_peer_begins_anew(void **state)
{
	RaftMessage old;

	(void) state;
	begin(3);
	assert_true(takes(5000));
	assert_true(takes(1000000));
	old = numbered(RAFT_GREETING_CONFIRM, 1000001);
	world_restart(w, 1);
	assert_true(takes(7));
	assert_true(w->node[0].member.raft.peers[1].boot == w->node[1].disk.boot);
	assert_false(takes(7));
	assert_true(takes(1));
	assert_true(takes(8));

	/* The start before, though its number was never seen. */
	world_replay(w, &old);
	assert_true(world_dropped(w, 0, RAFT_DROP_OLD_START) == 1);
	assert_true(takes(9));
}

static void
peers_are_counted_apart(void **state)
{
	RaftMessage m;

	(void) state;
	begin(3);
	assert_true(takes(700));
	m = world_message(w, RAFT_GREETING_CONFIRM, 2, 0);
	m.sequence = 700;
	assert_true(is_taken(&m));
	assert_false(is_taken(&m));
	m.sequence = 600;
	assert_false(is_taken(&m));
	assert_true(takes(699));
}

/* Whoever has no right to speak uses up no numbers. */
static void
what_is_dropped_before_marks_nothing(void **state)
{
	(void) state;
	for (int which = 0; which < 7; which++)
	{
		static const RaftOutcome reasons[] = {
			RAFT_DROP_ECHO, RAFT_DROP_ECHO, RAFT_DROP_OLD_START, RAFT_DROP_TWIN,
			RAFT_DROP_IMPOSSIBLE, RAFT_DROP_UNKNOWN_NODE, RAFT_DROP_UNKNOWN_NODE};
		RaftMessage m;
		uint64_t	dropped;
		uint64_t	number = 500;

		begin(3);
		assert_true(takes(number));
		for (int ahead = -1; ahead <= 1; ahead += 2)
		{
			m = numbered(RAFT_GREETING_CONFIRM, number + (uint64_t) (int64_t) ahead);
			if (which == 0)
				m.echo_incarnation ^= 1;
			else if (which == 1)
				m.echo_boot--;
			else if (which == 2)
				m.boot--;
			else if (which == 3)
				m.incarnation ^= 1;
			else if (which == 4)
				m.term = RAFT_MAX_TERM + 1;
			else if (which == 5)
				m.to = 2;
			else
				m.from = 7;
			dropped = world_dropped(w, 0, reasons[which]);
			world_inject_raw(w, 0, &m);
			assert_true(world_dropped(w, 0, reasons[which]) == dropped + 1);
			assert_true(w->node[0].member.raft.peers[1].sequence == 500);
		}
		assert_true(takes(number - 1));
		assert_true(takes(number + 1));
	}
}

/* It has come, though it may not act: once the way is free it is old. */
static void
what_is_heard_and_not_acted_on_is_marked(void **state)
{
	RaftMessage m;

	(void) state;
	world_init(w, 3); /* the greeting is not answered yet */
	m = world_heartbeat(w, 1, 0, 5, 1);
	world_inject(w, &m);
	assert_true(world_dropped(w, 0, RAFT_DROP_NOT_GREETED) == 1);
	world_greet_all(w);
	assert_false(is_taken(&m));
	assert_true(w->node[0].disk.term == 0);

	begin(3);
	m = world_vote_request(w, 1, 0, 5);
	m.list_digest ^= 1;
	world_inject(w, &m);
	assert_true(world_dropped(w, 0, RAFT_DROP_OTHER_LIST) == 1);
	m.list_digest ^= 1;
	assert_false(is_taken(&m));
	assert_int_equal(w->node[0].disk.voted_for, RAFT_NONE);

	/* Another list is heard and followed; its duplicates are duplicates. */
	m = world_heartbeat(w, 1, 0, 5, 1);
	m.list_digest ^= 1;
	assert_true(is_taken(&m));
	assert_int_equal(w->node[0].member.raft.leader_id, 1);
	assert_false(is_taken(&m));
}

/* ---- each type acts once ---- */

/* Node 0 in a state in which that type from peer 1 does something. */
static RaftMessage
something_to_say(RaftMessageType type)
{
	RaftMessage m;

	begin(3);
	if (type == RAFT_HEARTBEAT_ANSWER)
		world_elect(w, 0);
	else if (type == RAFT_TRANSFER)
		world_elect(w, 1);
	else if (type == RAFT_PRE_VOTE_ANSWER || type == RAFT_VOTE_ANSWER)
	{
		world_set_timer(w, 0, 0);
		world_tick(w, 0);
	}
	if (type == RAFT_VOTE_ANSWER)
	{
		m = *world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 2);
		m = world_answer(w, &m, true);
		world_inject(w, &m);
	}
	if (type == RAFT_HEARTBEAT_ANSWER)
		world_tick_at_deadline(w, 0);

	m = world_message(w, type, 1, 0);
	if (type == RAFT_PRE_VOTE_ANSWER)
		m = *world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1);
	else if (type == RAFT_VOTE_ANSWER)
		m = *world_sent(w, 0, RAFT_VOTE_REQUEST, 1);
	else if (type == RAFT_HEARTBEAT_ANSWER)
		m = *world_sent(w, 0, RAFT_HEARTBEAT, 1);
	if (type == RAFT_PRE_VOTE_ANSWER || type == RAFT_VOTE_ANSWER || type == RAFT_HEARTBEAT_ANSWER)
		m = world_answer(w, &m, true);
	else if (type == RAFT_PRE_VOTE_REQUEST)
		m = world_pre_vote_request(w, 1, 0, 5);
	else if (type == RAFT_VOTE_REQUEST)
		m = world_vote_request(w, 1, 0, 5);
	else if (type == RAFT_HEARTBEAT)
		m = world_heartbeat(w, 1, 0, 5, 1);
	else if (type == RAFT_GREETING_ANSWER)
		m.max_timeout = MS(400);
	world_drop_all(w);
	return m;
}

static void
duplicates_of_every_type_act_once(void **state)
{
	static Raft before;

	(void) state;
	for (int type = RAFT_GREETING_ANSWER; type < RAFT_MESSAGE_TYPES; type++)
	{
		RaftMessage m = something_to_say((RaftMessageType) type);

		before = w->node[0].member.raft;
		world_inject(w, &m);
		assert_true(w->node[0].member.raft.peers[1].sequence == m.sequence);
		if (type != RAFT_GREETING_CONFIRM && type != RAFT_HEARTBEAT_ANSWER)
			assert_true(w->node[0].member.output.n_messages > 0); /* it did act */
		if (type == RAFT_HEARTBEAT_ANSWER)
			assert_true(w->node[0].member.raft.peers[1].acked_round > before.peers[1].acked_round);

		for (int i = 0; i < 3; i++)
		{
			before = w->node[0].member.raft;
			world_replay(w, &m);
			assert_true(world_dropped(w, 0, RAFT_DROP_SEEN) == (uint64_t) i + 1);
			assert_int_equal(w->node[0].member.output.n_messages, 0);
			expect_same(&before, 0, &m);
			world_advance(w, 100);
		}
	}
}

/* ---- recordings ---- */

#define RECORDS 20000

static RaftMessage records[RECORDS];
static int		   n_records;

static void
record(World *unused, int node, const RaftSaved *before)
{
	const RaftOutput *out = &w->node[node].member.output;

	(void) unused;
	(void) before;
	for (uint32_t i = 0; i < out->n_messages; i++)
	{
		assert_true(n_records < RECORDS);
		records[n_records++] = out->messages[i];
	}
}

/* Nothing is under way, and nobody has anything to do at this instant. */
static void
come_to_rest(void)
{
	for (int turns = 0;; turns++)
	{
		bool rests = true;

		assert_true(turns < 1000);
		world_deliver_all(w);
		for (int i = 0; i < w->n; i++)
		{
			if (w->node[i].running && raft_deadline(&w->node[i].member.raft) <= w->now)
			{
				world_tick(w, i);
				rests = false;
			}
		}
		if (rests && w->n_queue == 0)
			return;
	}
}

/* All that was ever said, to whom it was said, at this one instant. */
static void
replay_everything(void)
{
	static Raft before;
	int			n = n_records;

	w->observer = NULL;
	for (int i = 0; i < n; i++)
	{
		int to = records[i].to;

		before = w->node[to].member.raft;
		world_replay(w, &records[i]);
		expect_same(&before, to, &records[i]);
		for (uint32_t k = 0; k < w->node[to].member.output.n_messages; k++)
			assert_in_range(w->node[to].member.output.messages[k].type, RAFT_GREETING, RAFT_GREETING_ANSWER);
		world_drop_all(w);
	}
	w->observer = record;
}

/*
 * Elections, a hand-over, restarts, a crashed leader, a lost state file: of all
 * that was said then, nothing changes anything on any node, at any later moment.
 */
static void
any_recorded_datagram_changes_nothing(void **state)
{
	int leader;

	(void) state;
	world_init(w, 3);
	n_records = 0;
	w->observer = record;
	w->delay = MS(1);
	world_run(w, MS(1000));
	for (int i = 0; i < 5; i++)
	{
		come_to_rest();
		replay_everything();
		leader = world_leader(w);
		if (i == 0)
			assert_int_equal(world_transfer(w, leader, RAFT_NONE), RAFT_TRANSFER_STARTED);
		else if (i == 3)
		{
			world_crash(w, (leader + 1) % 3);
			world_wipe(w, (leader + 1) % 3);
			world_start(w, (leader + 1) % 3);
		}
		else
			world_restart(w, i == 1 ? leader : (leader + i) % 3);
		assert_true(world_run_until(w, world_is_stable, MS(4000)));
		come_to_rest();
		replay_everything();
		world_run(w, MS(2500));
		assert_true(world_is_stable(w));
	}
	assert_true(n_records > 1000);
	assert_true(world_dropped(w, world_leader(w), RAFT_DROP_SEEN) > 100);
}

static void
after_our_own_restart_it_falls_at_the_echo(void **state)
{
	RaftMessage m;

	(void) state;
	for (int seen = 0; seen < 2; seen++)
	{
		begin(3);
		m = world_heartbeat(w, 1, 0, 5, 1);
		if (seen)
			world_inject(w, &m);
		world_restart(w, 0);
		world_greet_all(w);
		world_replay(w, &m);
		assert_true(world_dropped(w, 0, RAFT_DROP_ECHO) >= 1);
		assert_true(world_dropped(w, 0, RAFT_DROP_SEEN) == 0);
		assert_int_equal(w->node[0].member.raft.leader_id, RAFT_NONE);
	}
}

static void
after_the_peers_restart_it_falls_at_the_start(void **state)
{
	RaftMessage m;

	(void) state;
	begin(3);
	m = world_heartbeat(w, 1, 0, 5, 1);
	world_restart(w, 1);
	world_greet_all(w);
	world_replay(w, &m);
	assert_true(world_dropped(w, 0, RAFT_DROP_OLD_START) == 1);
	assert_int_equal(w->node[0].member.raft.leader_id, RAFT_NONE);
	assert_true(w->node[0].disk.term == 0);
}

/* ---- what is said to those who have proved nothing ---- */

static RaftMessage
greeting_of(uint64_t boot, uint64_t incarnation)
{
	RaftMessage m = world_message(w, RAFT_GREETING, 1, 0);

	m.boot = boot;
	m.incarnation = incarnation;
	m.echo_boot = m.echo_incarnation = 0;
	return m;
}

static bool
is_answered(const RaftMessage *greeting)
{
	const RaftMessage *answer;

	world_replay(w, greeting);
	answer = world_sent(w, 0, RAFT_GREETING_ANSWER, 1);
	world_drop_all(w);
	if (answer == NULL)
		return false;
	assert_true(answer->echo_boot == greeting->boot);
	assert_true(answer->echo_incarnation == greeting->incarnation);
	return true;
}

static void
a_start_is_answered_once_in_half_an_interval(void **state)
{
	RaftMessage m;

	(void) state;
	begin(3);
	world_advance(w, MS(100));
	m = greeting_of(w->node[1].disk.boot, w->node[1].config.incarnation);
	assert_true(is_answered(&m));
	for (int i = 0; i < 24; i++)
	{
		assert_false(is_answered(&m));
		world_advance(w, MS(1));
	}
	assert_true(world_dropped(w, 0, RAFT_DROP_GREETED) == 24);
	assert_false(is_answered(&m));
	world_advance(w, MS(1));
	assert_true(is_answered(&m));

	/* One that repeats its greeting every interval hears every answer. */
	for (int i = 0; i < 20; i++)
	{
		world_advance(w, i % 2 ? MS(40) : MS(60));
		assert_true(is_answered(&m));
		assert_false(is_answered(&m));
	}
}

/* Earlier starts are replayed all the time; the new one does not wait for them. */
static void
a_new_start_is_answered_at_once(void **state)
{
	RaftMessage old[3];
	RaftMessage present;
	RaftMessage new;
	uint64_t boot;

	(void) state;
	begin(3);
	boot = w->node[1].disk.boot + 10;
	w->node[1].disk.boot = boot;
	present = numbered(RAFT_GREETING_CONFIRM, 1);
	world_inject(w, &present);
	for (int i = 0; i < 3; i++)
		old[i] = greeting_of(boot - 1 - (uint64_t) i, 100 + (uint64_t) i);
	present = greeting_of(boot, w->node[1].config.incarnation);
	new = greeting_of(boot + 1, 200);
	for (int ms = 0; ms < 200; ms++)
	{
		int answers = 0;

		for (int i = 0; i < 3; i++)
			answers += is_answered(&old[i]);
		assert_true(answers <= 1);
		if (ms % 50 == 7 && ms < 130)
			assert_true(is_answered(&present));
		if (ms == 130)
			assert_true(is_answered(&new));
		if (ms == 180)
			assert_true(is_answered(&new));
		world_advance(w, MS(1));
	}
}

/* An old copy of a member has an older start than the known one: it is told so. */
static void
an_older_start_is_answered_too(void **state)
{
	RaftMessage m;

	(void) state;
	begin(3);
	m = greeting_of(w->node[1].disk.boot - 1, 4711); /* as a store that was restored says */
	assert_true(is_answered(&m));
	assert_false(is_answered(&m));
	world_advance(w, MS(50));
	assert_true(is_answered(&m));

	/* A forged start far ahead does not shut out the real one that follows. */
	m = greeting_of(UINT64_C(1) << 60, 1);
	world_advance(w, MS(50));
	assert_true(is_answered(&m));
	m = greeting_of(w->node[1].disk.boot + 1, 2);
	assert_true(is_answered(&m));
	world_advance(w, MS(50));
	assert_true(is_answered(&m));

	/* And once that has shown itself, the start after it is new again. */
	w->node[1].disk.boot++;
	w->node[1].config.incarnation = 2;
	m = numbered(RAFT_GREETING_CONFIRM, 1);
	world_inject(w, &m);
	m = greeting_of(w->node[1].disk.boot + 1, 3);
	world_advance(w, MS(25));
	for (int i = 0; i < 10; i++)
	{
		RaftMessage forged = greeting_of(1, 50 + (uint64_t) i);

		(void) is_answered(&forged);
	}
	assert_true(is_answered(&m));
}

/* Forged greetings, each of a start of its own, upwards, downwards and mixed. */
static void
forged_greetings_are_bounded(void **state)
{
	(void) state;
	for (int how = 0; how < 3; how++)
	{
		Raft before;
		int	 answers = 0;

		begin(3);
		world_advance(w, MS(100));
		before = w->node[0].member.raft;
		for (uint64_t i = 0; i < 10000; i++) /* in one second */
		{
			uint64_t	boot = how == 0 ? 100 + i : how == 1 ? 100000 - i :
															   1 + world_random(w, 1000000);
			RaftMessage m = greeting_of(boot, i);

			answers += is_answered(&m);
			expect_same(&before, 0, &m);
			if (i % 100 == 99)
			{
				world_advance(w, MS(10));
				world_set_timer(w, 0, MS(500));
				before = w->node[0].member.raft;
			}
		}
		assert_in_range(answers, 30, 3 * 1000 / 25 + 3);
	}
}

/* Datagrams are numbered for each peer: in a large cluster as in a small one the
 * window is as many datagrams of that very link. */
static void
numbers_of_a_link_have_no_gaps(void **state)
{
	(void) state;
	world_init(w, WORLD_MAX_NODES);
	world_elect(w, 0);
	for (int rounds = 0; rounds < 20; rounds++)
	{
		world_tick_at_deadline(w, 0);
		world_deliver_all(w);
	}
	for (int i = 1; i < w->n; i++)
	{
		const RaftPeer *peer = &w->node[i].member.raft.peers[0];

		assert_true(peer->sequence == w->node[0].member.raft.peers[i].sent);
		assert_true(peer->sequence >= 20);
		assert_true((peer->window & 0xFFFF) == 0xFFFF);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_of_a_link_have_no_gaps),
		cmocka_unit_test(seen_twice_is_dropped),
		cmocka_unit_test(the_edge_of_the_window),
		cmocka_unit_test(jumps_forward),
		cmocka_unit_test(any_order_of_numbers),
		cmocka_unit_test(a_new_start_of_the_peer_begins_anew),
		cmocka_unit_test(peers_are_counted_apart),
		cmocka_unit_test(what_is_dropped_before_marks_nothing),
		cmocka_unit_test(what_is_heard_and_not_acted_on_is_marked),
		cmocka_unit_test(duplicates_of_every_type_act_once),
		cmocka_unit_test(any_recorded_datagram_changes_nothing),
		cmocka_unit_test(after_our_own_restart_it_falls_at_the_echo),
		cmocka_unit_test(after_the_peers_restart_it_falls_at_the_start),
		cmocka_unit_test(a_start_is_answered_once_in_half_an_interval),
		cmocka_unit_test(a_new_start_is_answered_at_once),
		cmocka_unit_test(an_older_start_is_answered_too),
		cmocka_unit_test(forged_greetings_are_bounded),
	};

	return cmocka_run_group_tests_name("replay window", tests, NULL, NULL);
}
