/*
 * test/unit/test_raft_greeting.c
 *	  Greeting and freshness: how members learn each other's start, and what is
 *	  dropped until they have.
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

static void
three_steps(void **state)
{
	const RaftMessage *m;

	(void) state;
	world_init(w, 2);
	world_tick(w, 1); /* its own greeting is lost */
	world_drop_all(w);
	world_tick(w, 0);
	m = world_sent(w, 0, RAFT_GREETING, 1);
	assert_non_null(m);
	assert_true(m->echo_boot == 0); /* it knows nobody yet */
	assert_int_equal(w->node[0].member.output.n_messages, 1);

	assert_true(world_deliver(w, 0, 1));
	m = world_sent(w, 1, RAFT_GREETING_ANSWER, 0);
	assert_non_null(m);
	assert_true(m->echo_boot == w->node[0].disk.boot);
	assert_true(m->echo_incarnation == w->node[0].config.incarnation);
	assert_true(m->max_timeout == MS(400));
	assert_true(m->remembered_boot == 0);
	assert_true(w->node[1].member.raft.peers[0].boot == 0); /* a greeting teaches nothing */

	assert_true(world_deliver(w, 1, 0));
	m = world_sent(w, 0, RAFT_GREETING_CONFIRM, 1);
	assert_non_null(m);
	assert_true(m->echo_boot == w->node[1].disk.boot);
	assert_true(m->echo_incarnation == w->node[1].config.incarnation);
	assert_true(w->node[0].member.raft.peers[1].answered);
	assert_true(w->node[0].member.raft.peers[1].boot == w->node[1].disk.boot);

	assert_true(world_deliver(w, 0, 1));
	assert_true(w->node[1].member.raft.peers[0].boot == w->node[0].disk.boot);
	assert_true(w->node[1].member.raft.peers[0].incarnation == w->node[0].config.incarnation);
	assert_false(w->node[1].member.raft.peers[0].answered); /* it has not asked yet */
}

static void
answer_says_what_it_remembers(void **state)
{
	const RaftMessage *m;
	uint64_t		   boot;
	uint64_t		   incarnation;

	(void) state;
	world_init(w, 3);
	world_elect(w, 0);
	boot = w->node[2].disk.boot;
	incarnation = w->node[2].config.incarnation;
	world_advance(w, MS(25)); /* not in the instant of its first start */
	world_restart(w, 2);
	world_tick(w, 2);
	while (world_sent(w, 0, RAFT_GREETING_ANSWER, 2) == NULL)
		assert_true(world_deliver(w, 2, 0));
	m = world_sent(w, 0, RAFT_GREETING_ANSWER, 2);
	assert_true(m->remembered_boot == boot);
	assert_true(m->remembered_incarnation == incarnation);
	assert_true(m->remembered_save > 0);
	assert_true(m->remembered_save < w->node[2].disk.save_number);
	assert_true(m->term == 1);
	assert_true(m->promise >= MS(200));
}

static void
greeting_acts_on_nothing(void **state)
{
	RaftMessage m;
	RaftPeer	before;
	RaftSaved	record;
	uint64_t	timer;

	(void) state;
	world_init_alone(w, 3);
	before = w->node[0].member.raft.peers[1];
	record = w->node[0].member.raft.saved;
	timer = w->node[0].member.raft.timer;
	world_advance(w, MS(25));
	m = world_message(w, RAFT_GREETING, 1, 0);
	m.boot = 77;
	m.incarnation = 88;
	m.term = 99;
	m.save_number = 1000;
	m.echo_boot = 0;
	m.echo_incarnation = 0;
	world_inject(w, &m);
	assert_non_null(world_sent(w, 0, RAFT_GREETING_ANSWER, 1));
	assert_true(w->node[0].member.raft.peers[1].boot == before.boot);
	assert_true(w->node[0].member.raft.peers[1].incarnation == before.incarnation);
	assert_true(w->node[0].member.raft.peers[1].save_number == before.save_number);
	assert_true(w->node[0].member.raft.peers[1].heard_at == before.heard_at);
	assert_memory_equal(&w->node[0].member.raft.saved, &record, sizeof(record));
	assert_true(w->node[0].member.raft.timer == timer);
}

static void
greeting_repeats_until_answered(void **state)
{
	uint64_t last = 0;

	(void) state;
	world_init(w, 2);
	world_tick(w, 0);
	assert_non_null(world_sent(w, 0, RAFT_GREETING, 1));
	for (int i = 0; i < 10; i++)
	{
		last = w->now;
		do
			world_tick_at_deadline(w, 0);
		while (world_sent(w, 0, RAFT_GREETING, 1) == NULL);
		assert_true(w->now - last == MS(50));
	}
	world_deliver_all(w);
	assert_true(w->node[0].member.raft.peers[1].answered);
	world_forget(w);
	w->node[1].paused = true;
	world_run(w, MS(900));
	assert_int_equal(w->node[0].n_sent[RAFT_GREETING], 0);
}

/* A member that was known and falls silent is asked again, at leisure. */
static void
silent_peer_is_probed(void **state)
{
	uint64_t start;

	(void) state;
	world_init_alone(w, 3);
	w->node[1].paused = w->node[2].paused = true;
	start = w->now;
	world_run(w, MS(990));
	assert_int_equal(w->node[0].n_sent[RAFT_GREETING], 0);
	while (w->node[0].n_sent[RAFT_GREETING] == 0 && w->now < start + MS(1200))
		world_run(w, MS(1));
	assert_in_range(w->now - start, MS(990), MS(1060));
}

/* Each step lost some times over: it talks again in bounded time. */
static void
greeting_lost_or_replayed_each_step_lost(void **state)
{
	static const RaftMessageType steps[] = {
		RAFT_GREETING, RAFT_GREETING_ANSWER, RAFT_GREETING_CONFIRM};

	(void) state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		for (uint32_t count = 1; count < 30; count++)
		{
			uint64_t start;
			uint64_t term;

			world_init(w, 3);
			w->delay = MS(1);
			world_elect(w, 0);
			term = w->node[0].disk.term;
			world_restart(w, 2);
			w->lose_type = steps[i];
			w->lose_count = count;
			start = w->now;
			if (!world_run_until(w, world_is_stable, MS(3000)))
				fail_msg("%s lost %u times: no way back", message_type_name(steps[i]), count);
			assert_true(w->now - start <= MS(150) + MS(50) * count);
			world_run(w, MS(1000));
			assert_true(world_is_stable(w));
			assert_true(w->node[0].disk.term == term);
		}
}

/* All of a first start, each step lost. */
static void
greeting_lost_at_the_first_start(void **state)
{
	(void) state;
	for (int type = RAFT_GREETING; type <= RAFT_GREETING_CONFIRM; type++)
		for (uint32_t count = 1; count <= 24; count++)
		{
			world_init(w, 3);
			w->delay = MS(1);
			w->lose_type = (RaftMessageType) type;
			w->lose_count = count;
			assert_true(world_run_until(w, world_is_stable, MS(3000)));
		}
}

static void
greeting_lost_or_replayed_repeated(void **state)
{
	RaftMessage m;

	(void) state;
	world_init(w, 3);
	for (int i = 0; i < 3; i++)
		world_tick(w, i);
	for (int steps = 0; w->n_queue > 0; steps++)
	{
		int from = w->queue[0].from;

		assert_true(steps < 200);
		assert_true(world_take(w, from, w->queue[0].to, &m));
		world_inject(w, &m);
		if (steps < 60)
		{
			/* The answers to repetitions are repeated too, as often as is allowed. */
			world_replay(w, &m);
			if (steps % 10 == 0)
				world_advance(w, MS(25));
			world_say_again(w, &m);
		}
	}
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			if (i != j)
			{
				assert_true(w->node[i].member.raft.peers[j].answered);
				assert_true(w->node[i].member.raft.peers[j].incarnation == w->node[j].config.incarnation);
				assert_int_equal(w->node[i].disk.abstaining, RAFT_VOTING);
			}
}

static void
greeting_lost_or_replayed_from_an_earlier_start(void **state)
{
	RaftMessage old[3];
	uint64_t	boot;

	(void) state;
	world_init(w, 3);
	world_greet_all(w);

	/* What node 1 said to node 0 before its restart, with node 0's true echo. */
	for (int i = 0; i < 3; i++)
		old[i] = world_message(w, (RaftMessageType) (RAFT_GREETING + i), 1, 0);
	old[1].max_timeout = MS(400);
	old[1].term = 50;
	world_restart(w, 1);
	world_greet_all(w);
	boot = w->node[1].disk.boot;
	assert_true(w->node[0].member.raft.peers[1].boot == boot);
	for (int i = 0; i < 3; i++)
	{
		world_inject(w, &old[i]);
		assert_true(w->node[0].member.raft.peers[1].boot == boot);
		assert_true(w->node[0].member.raft.peers[1].incarnation == w->node[1].config.incarnation);
		assert_true(w->node[0].member.raft.peers[1].answered);
		assert_int_equal(w->node[0].disk.abstaining, RAFT_VOTING);
		assert_true(w->node[0].disk.term == 0);
	}
	assert_true(world_dropped(w, 0, RAFT_DROP_OLD_START) >= 2);

	/* The answers to such a greeting do the newer start no harm. */
	world_deliver_all(w);
	assert_int_equal(w->node[1].disk.abstaining, RAFT_VOTING);
	assert_true(w->node[1].disk.boot == boot);
	assert_true(world_run_until(w, world_is_stable, MS(3000)));

	/* What was said to node 0's own earlier start does not count for this. */
	for (int i = 1; i < 3; i++)
	{
		world_init(w, 3);
		world_greet_all(w);
		old[i] = world_message(w, (RaftMessageType) (RAFT_GREETING + i), 1, 0);
		world_restart(w, 0);
		world_inject(w, &old[i]);
		assert_false(w->node[0].member.raft.peers[1].answered);
		assert_true(w->node[0].member.raft.peers[1].boot == 0);
		assert_true(world_dropped(w, 0, RAFT_DROP_ECHO) == 1);
	}
}

static void
wrong_echo_is_dropped_and_greeted(void **state)
{
	RaftMessage m;

	(void) state;
	for (int type = RAFT_GREETING_CONFIRM; type < RAFT_MESSAGE_TYPES; type++)
		for (int which = 0; which < 2; which++)
		{
			uint64_t timer;

			world_init_alone(w, 3);
			world_advance(w, MS(60));
			timer = w->node[0].member.raft.timer;
			m = world_message(w, (RaftMessageType) type, 1, 0);
			m.term = 5;
			if (type == RAFT_VOTE_REQUEST || type == RAFT_HEARTBEAT)
				m.promise = MS(200);
			if (which == 0)
				m.echo_incarnation ^= 1;
			else
				m.echo_boot--;
			world_inject(w, &m);
			assert_true(world_dropped(w, 0, RAFT_DROP_ECHO) == 1);
			assert_int_equal(w->node[0].member.output.n_messages, 1);
			assert_non_null(world_sent(w, 0, RAFT_GREETING, 1));
			assert_true(w->node[0].disk.term == 0);
			assert_int_equal(w->node[0].member.raft.leader_id, RAFT_NONE);
			assert_true(w->node[0].member.raft.timer == timer);

			/* One greeting an interval is enough. */
			world_inject(w, &m);
			assert_int_equal(w->node[0].member.output.n_messages, 0);
			world_advance(w, MS(49));
			world_inject(w, &m);
			assert_null(world_sent(w, 0, RAFT_GREETING, 1));
			world_advance(w, MS(1));
			world_inject(w, &m);
			assert_non_null(world_sent(w, 0, RAFT_GREETING, 1));
		}
}

static void
nothing_counts_before_the_greeting_is_answered(void **state)
{
	(void) state;
	for (int type = RAFT_PRE_VOTE_REQUEST; type < RAFT_MESSAGE_TYPES; type++)
	{
		RaftMessage m;

		world_init(w, 3);
		world_tick(w, 0);
		world_drop_all(w);
		m = world_message(w, (RaftMessageType) type, 1, 0);
		m.term = 5;
		if (type == RAFT_VOTE_REQUEST || type == RAFT_HEARTBEAT)
			m.promise = MS(200);
		world_inject(w, &m);
		assert_true(world_dropped(w, 0, RAFT_DROP_NOT_GREETED) == 1);
		for (uint32_t i = 0; i < w->node[0].member.output.n_messages; i++)
			assert_true(w->node[0].member.output.messages[i].type <= RAFT_GREETING_CONFIRM);
		assert_true(w->node[0].disk.term == 0);
		assert_int_equal(w->node[0].disk.voted_for, RAFT_NONE);
	}
}

/* The other side restarts: its own greeting has to be answered anew, and what
 * it said before is nothing any more. */
static void
peer_restarts(void **state)
{
	(void) state;
	for (int victim = 0; victim < 3; victim++)
	{
		uint64_t term;

		world_init(w, 3);
		w->delay = MS(1);
		world_elect(w, 0);
		world_run(w, MS(500));
		term = w->node[0].disk.term;
		for (int i = 0; i < 5; i++)
		{
			world_restart(w, victim);
			world_run(w, MS(20));
		}
		world_run(w, MS(2000));
		assert_true(world_is_stable(w));
		assert_int_equal(w->node[victim].disk.abstaining, RAFT_VOTING);
		if (victim != 0)
			assert_true(w->node[0].disk.term == term);
		else
			assert_true(w->node[world_leader(w)].disk.term == term + 1);
	}
}

static void
lossy_start(void **state)
{
	uint64_t total = 0;

	(void) state;
	for (uint64_t seed = 1; seed <= 100; seed++)
	{
		world_prepare(w, 5);
		w->random = seed;
		w->delay = 500;
		w->jitter = MS(1);
		w->loss_percent = 10;
		for (int i = 0; i < 5; i++)
		{
			w->node[i].config.seed = seed * 10 + (uint64_t) i;
			world_new_store(w, i);
			world_start(w, i);
		}
		if (!world_run_until(w, world_is_stable, MS(5000)))
			fail_msg("no leader after 5 s with 10 %% loss, seed %d", (int) seed);
		total += w->now - WORLD_START;
	}
	assert_true(total / 100 < MS(1200));
}

static void
started_in_the_same_instant(void **state)
{
	(void) state;
	for (int n = 3; n <= 5; n++)
	{
		uint64_t total = 0;

		for (uint64_t seed = 1; seed <= 100; seed++)
		{
			world_prepare(w, n);
			w->delay = 500;
			for (int i = 0; i < n; i++)
			{
				w->node[i].config.seed = seed * 10 + (uint64_t) i;
				world_new_store(w, i);
				world_start(w, i);
			}
			if (!world_run_until(w, world_is_stable, MS(4000)))
				fail_msg("no leader after 4 s, seed %d", (int) seed);
			total += w->now - WORLD_START;
		}
		assert_true(total / 100 < MS(700));
	}
}

/* ---- versions of the datagram ---- */

/* Two members; node 0 understands up to "newest", and is greeted. */
static void
begin_with_versions(uint8_t oldest, uint8_t newest)
{
	world_prepare(w, 2);
	w->node[0].config.oldest_version = oldest;
	w->node[0].config.newest_version = newest;
	for (int i = 0; i < 2; i++)
	{
		world_new_store(w, i);
		world_start(w, i);
	}
	world_drop_all(w);
}

/* Node 1 says something fresh: that it understands versions up to this one. */
static void
hear_of_version(uint8_t newest)
{
	RaftMessage m = world_message(w, RAFT_GREETING_CONFIRM, 1, 0);

	m.version = 1;
	m.newest = newest;
	world_inject_raw(w, 0, &m);
}

/* In which version does node 0 answer a greeting that says this? */
static int
version_of_answer(uint64_t boot, uint8_t version, uint8_t newest)
{
	RaftMessage m = world_message(w, RAFT_GREETING, 1, 0);

	world_advance(w, MS(100));
	m.boot = boot;
	m.version = version;
	m.newest = newest;
	world_inject_raw(w, 0, &m);
	assert_non_null(world_sent(w, 0, RAFT_GREETING_ANSWER, 1));
	assert_int_equal(world_sent(w, 0, RAFT_GREETING_ANSWER, 1)->newest,
					 w->node[0].config.newest_version);
	return world_sent(w, 0, RAFT_GREETING_ANSWER, 1)->version;
}

/* In which version does node 0 ask for a pre-vote, and greet? */
static int
version_of_request(void)
{
	const RaftMessage *m;

	world_advance(w, MS(2000));
	w->node[0].member.raft.peers[1].answered = true;
	w->node[0].member.raft.peers[1].list_digest = WORLD_LIST;
	world_tick(w, 0);
	m = world_sent(w, 0, RAFT_GREETING, 1);
	if (m != NULL)
		assert_int_equal(m->version, w->node[0].config.oldest_version);
	m = world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1);
	assert_non_null(m);
	assert_int_equal(m->newest, w->node[0].config.newest_version);
	return m->version;
}

static void
newest_version_that_both_understand_is_spoken(void **state)
{
	static const struct
	{
		uint8_t oldest;
		uint8_t newest;
		uint8_t theirs;
		uint8_t spoken;
	} pairs[] = {{1, 2, 1, 1}, {1, 2, 2, 2}, {1, 2, 3, 2}, {2, 3, 2, 2}, {2, 3, 3, 3}, {1, 5, 4, 4}};

	(void) state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		begin_with_versions(pairs[i].oldest, pairs[i].newest);
		assert_int_equal(version_of_request(), pairs[i].oldest); /* nothing is known */
		hear_of_version(pairs[i].theirs);
		assert_int_equal(version_of_request(), pairs[i].spoken);
	}
}

static void
released_version_speaks_itself_to_all(void **state)
{
	(void) state;
	begin_with_versions(MESSAGE_OLDEST, MESSAGE_VERSION);
	hear_of_version(9);
	assert_int_equal(version_of_request(), MESSAGE_VERSION);
	assert_int_equal(version_of_answer(w->node[1].disk.boot, MESSAGE_VERSION, 9), MESSAGE_VERSION);
}

/* Somebody went back to an older program: it must get answers that it can read. */
static void
greeting_is_answered_in_its_senders_version(void **state)
{
	uint64_t boot;

	(void) state;
	begin_with_versions(1, 3);
	boot = w->node[1].disk.boot;
	hear_of_version(3);
	assert_int_equal(version_of_answer(boot + 1, 1, 1), 1);
	assert_int_equal(version_of_answer(boot + 2, 1, 2), 2);
	assert_int_equal(version_of_answer(boot + 3, 1, 9), 3);
	assert_int_equal(version_of_answer(boot + 4, 2, 2), 2);
}

/* Neither a greeting nor anything that was recorded changes what is spoken. */
static void
only_fresh_datagrams_teach_a_version(void **state)
{
	RaftMessage recorded;

	(void) state;
	begin_with_versions(1, 3);
	hear_of_version(2);
	(void) version_of_answer(w->node[1].disk.boot, 1, 1);
	(void) version_of_answer(w->node[1].disk.boot + 1, 1, 3);
	assert_int_equal(version_of_request(), 2);

	recorded = world_message(w, RAFT_GREETING_CONFIRM, 1, 0);
	recorded.newest = 2;
	world_inject_raw(w, 0, &recorded);
	recorded.newest = 3; /* its number has come */
	world_inject_raw(w, 0, &recorded);
	assert_int_equal(version_of_request(), 2);
	recorded = world_message(w, RAFT_GREETING_CONFIRM, 1, 0);
	recorded.newest = 3;
	recorded.echo_incarnation ^= 1; /* for an earlier start of ours */
	world_inject_raw(w, 0, &recorded);
	assert_int_equal(version_of_request(), 2);
	recorded = world_message(w, RAFT_GREETING_CONFIRM, 1, 0);
	recorded.newest = 3;
	recorded.boot--; /* of an earlier start of its own */
	world_inject_raw(w, 0, &recorded);
	assert_int_equal(version_of_request(), 2);
	hear_of_version(3);
	assert_int_equal(version_of_request(), 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_steps),
		cmocka_unit_test(answer_says_what_it_remembers),
		cmocka_unit_test(greeting_acts_on_nothing),
		cmocka_unit_test(greeting_repeats_until_answered),
		cmocka_unit_test(silent_peer_is_probed),
		cmocka_unit_test(greeting_lost_or_replayed_each_step_lost),
		cmocka_unit_test(greeting_lost_at_the_first_start),
		cmocka_unit_test(greeting_lost_or_replayed_repeated),
		cmocka_unit_test(greeting_lost_or_replayed_from_an_earlier_start),
		cmocka_unit_test(wrong_echo_is_dropped_and_greeted),
		cmocka_unit_test(nothing_counts_before_the_greeting_is_answered),
		cmocka_unit_test(peer_restarts),
		cmocka_unit_test(lossy_start),
		cmocka_unit_test(started_in_the_same_instant),
		cmocka_unit_test(newest_version_that_both_understand_is_spoken),
		cmocka_unit_test(released_version_speaks_itself_to_all),
		cmocka_unit_test(greeting_is_answered_in_its_senders_version),
		cmocka_unit_test(only_fresh_datagrams_teach_a_version),
	};

	return cmocka_run_group_tests_name("greeting", tests, NULL, NULL);
}
