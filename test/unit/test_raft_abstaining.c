/*
 * test/unit/test_raft_abstaining.c
 *	  Members that may have lost what they knew: rule 11 of the election.
 *
 * The fixture keeps every vote ever given, through lost and replaced stores:
 * whatever is done to a store here, a second vote in a term fails the test.
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

static RaftAbstain
abstains(int node)
{
	return w->node[node].disk.abstaining;
}

static bool
nobody_abstains(World *unused)
{
	(void) unused;
	for (int i = 0; i < w->n; i++)
		if (w->node[i].running && abstains(i) != RAFT_VOTING)
			return false;
	return true;
}

static void
lead(int n)
{
	world_init(w, n);
	w->delay = 200;
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_true(world_is_stable(w));
}

static void
lose_state(int node)
{
	if (w->node[node].running)
		world_crash(w, node);
	world_wipe(w, node);
	world_start(w, node);
	assert_int_equal(abstains(node), RAFT_ABSTAIN_NEW);
}

/* Until everyone votes again, and then elect without each of them in turn. */
static void
recovers(void)
{
	assert_true(world_run_until(w, nobody_abstains, MS(10000)));
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	for (int i = 0; i < 2; i++)
	{
		int old = world_leader(w);

		world_crash(w, old);
		assert_true(world_run_until(w, world_is_stable, MS(5000)));
		world_start(w, old);
		assert_true(world_run_until(w, world_is_stable, MS(5000)));
		assert_int_equal(abstains(old), RAFT_VOTING);
	}
}

/* What node "from" remembers of node 0, put into node 0's hands. */
static void
tell(int from, uint64_t boot, uint64_t incarnation, uint64_t save)
{
	RaftMessage m = world_message(w, RAFT_GREETING_ANSWER, from, 0);

	m.max_timeout = MS(400);
	m.remembered_boot = boot;
	m.remembered_incarnation = incarnation;
	m.remembered_save = save;
	world_inject(w, &m);
}

static void
rule_11_first_record(void **state)
{
	RaftConfig config;
	RaftSaved  loaded;
	RaftSaved  first;

	(void) state;
	world_prepare(w, 3);
	config = w->node[0].config;

	memset(&first, 0xA5, sizeof(first));
	raft_first_record(NULL, false, &config, &first);
	assert_int_equal(first.abstaining, RAFT_ABSTAIN_NEW);
	assert_true(first.boot >= 1 && first.save_number >= 1);
	assert_true(first.term == 0);

	world_new_store(w, 0);
	loaded = w->node[0].disk;
	loaded.term = 7;
	loaded.voted_for = 2;
	loaded.promise = MS(300);
	loaded.boot = 4;
	loaded.save_number = 40;
	raft_first_record(&loaded, false, &config, &first);
	assert_int_equal(first.abstaining, RAFT_VOTING);
	assert_true(first.boot == 5);
	assert_true(first.save_number == 41);
	assert_true(first.term == 7);
	assert_int_equal(first.voted_for, 2);
	assert_true(first.promise == MS(300));
	assert_true(first.list_digest == config.list_digest);

	raft_first_record(&loaded, true, &config, &first);
	assert_int_equal(first.abstaining, RAFT_ABSTAIN_DAMAGED);
	assert_true(first.term == 7);
	assert_true(first.save_number == 41);

	config.list_digest ^= 1;
	raft_first_record(&loaded, false, &config, &first);
	assert_int_equal(first.abstaining, RAFT_ABSTAIN_LIST);
	/* Until it is taken over, the stored list stays: a restart sees it too. */
	loaded = first;
	raft_first_record(&loaded, false, &config, &first);
	assert_int_not_equal(first.abstaining, RAFT_VOTING);
	assert_true(first.boot == 6);

	/* Whoever abstained goes on abstaining. */
	for (int why = RAFT_ABSTAIN_NEW; why <= RAFT_ABSTAIN_LAST; why++)
	{
		loaded = w->node[0].disk;
		loaded.abstaining = (RaftAbstain) why;
		raft_first_record(&loaded, false, &w->node[0].config, &first);
		assert_int_not_equal(first.abstaining, RAFT_VOTING);
	}
}

static void
rule_11_it_follows_and_promises(void **state)
{
	RaftMessage m;

	(void) state;
	lead(3);
	lose_state(2);
	world_run(w, MS(120));
	assert_int_equal(abstains(2), RAFT_ABSTAIN_NEW);
	assert_int_equal(w->node[2].member.raft.leader_id, 0);
	assert_true(w->node[2].disk.term == 1);
	assert_true(raft_promise_until(&w->node[2].member.raft) > w->now);
	assert_true(w->node[2].n_sent[RAFT_HEARTBEAT_ANSWER] > 0);

	/* It votes for nobody, in whatever term. */
	world_drop_all(w);
	world_advance(w, MS(500));
	m = world_vote_request(w, 1, 2, 2);
	world_inject(w, &m);
	assert_false(world_sent(w, 2, RAFT_VOTE_ANSWER, 1)->granted);
	assert_true(world_sent(w, 2, RAFT_VOTE_ANSWER, 1)->abstaining);
	m = world_pre_vote_request(w, 1, 2, 3);
	world_inject(w, &m);
	assert_false(world_sent(w, 2, RAFT_PRE_VOTE_ANSWER, 1)->granted);

	/* A term that rises meanwhile leaves the vote unknown. */
	m = world_heartbeat(w, 1, 2, 6, 1);
	world_inject(w, &m);
	assert_true(w->node[2].disk.term == 6);
	assert_int_equal(w->node[2].disk.voted_for, RAFT_UNKNOWN);
}

static void
rule_11_it_does_not_stand(void **state)
{
	(void) state;
	world_init_blank(w, 3);
	world_crash(w, 2); /* not everyone can answer */
	world_run(w, MS(20000));
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(abstains(i), RAFT_ABSTAIN_NEW);
		assert_int_equal(w->node[i].member.raft.role, RAFT_FOLLOWER);
		assert_true(w->node[i].member.raft.counters.pre_votes_started == 0);
		assert_true(w->node[i].disk.term == 0);
	}
	/* It can wait for ever, and go on as soon as the last one comes. */
	world_start(w, 2);
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_true(nobody_abstains(w));
}

static void
rule_11_the_way_back(void **state)
{
	uint64_t		 heard_at;
	const RaftEvent *heard;

	(void) state;
	lead(3);
	/* One promise is longer than what it will hear of afterwards. */
	lose_state(2);
	world_forget(w);
	while (world_event(w, 2, RAFT_HEARD_ALL) == NULL)
	{
		assert_true(w->now < WORLD_START + MS(2000));
		world_run(w, 100);
	}
	heard_at = w->now;
	heard = world_event(w, 2, RAFT_HEARD_ALL);
	assert_true(heard->value >= MS(200) + 2 * MS(400));
	assert_true(heard->value <= MS(200) + 2 * MS(400) + MS(1));
	world_run(w, heard->value - MS(1));
	assert_int_equal(abstains(2), RAFT_ABSTAIN_NEW);
	world_run(w, MS(2));
	assert_int_equal(abstains(2), RAFT_VOTING);
	assert_true(w->now - heard_at <= heard->value + MS(2));
	assert_non_null(world_event(w, 2, RAFT_STOPPED_ABSTAINING));
	assert_true(w->node[2].disk.term == 1);
	assert_int_equal(w->node[2].disk.voted_for, RAFT_UNKNOWN);
	assert_true(w->node[2].disk.promise >= MS(200));

	/* In that term it has voted, nobody knows for whom. */
	world_isolate(w, 2);
	world_advance(w, MS(1000));
	{
		RaftMessage m = world_vote_request(w, 1, 2, 1);

		world_inject(w, &m);
		assert_false(world_sent(w, 2, RAFT_VOTE_ANSWER, 1)->granted);
		m = world_vote_request(w, 1, 2, 2);
		world_inject(w, &m);
		assert_true(world_sent(w, 2, RAFT_VOTE_ANSWER, 1)->granted);
	}
}

static void
rule_11_the_highest_term_and_the_longest_promise(void **state)
{
	RaftMessage		 m;
	const RaftEvent *heard;

	(void) state;
	world_init(w, 4);
	world_greet_all(w);
	for (int i = 1; i < 4; i++)
		w->node[i].paused = true;
	lose_state(0);
	world_tick(w, 0);
	world_drop_all(w);
	world_forget(w);
	for (int i = 1; i < 4; i++)
	{
		assert_null(world_event(w, 0, RAFT_HEARD_ALL));
		m = world_message(w, RAFT_GREETING_ANSWER, i, 0);
		m.term = i == 2 ? 41 : 3;
		m.promise = i == 3 ? MS(7000) : MS(200);
		m.max_timeout = i == 1 ? MS(900) : MS(400);
		world_inject(w, &m);
	}
	heard = world_event(w, 0, RAFT_HEARD_ALL);
	assert_non_null(heard);
	assert_true(heard->value == MS(7000) + 2 * MS(900));
	assert_true(w->node[0].disk.term == 41);
	assert_int_equal(w->node[0].disk.voted_for, RAFT_UNKNOWN);
	assert_true(w->node[0].disk.promise >= MS(7000));
	assert_int_equal(abstains(0), RAFT_ABSTAIN_NEW);
	world_run(w, MS(8799));
	assert_int_equal(abstains(0), RAFT_ABSTAIN_NEW);
	world_run(w, MS(2));
	assert_int_equal(abstains(0), RAFT_VOTING);
}

static void
rule_11_a_majority_of_answers_is_not_enough(void **state)
{
	(void) state;
	lead(5);
	world_crash(w, 4);
	lose_state(3);
	world_run(w, MS(20000));
	assert_int_equal(abstains(3), RAFT_ABSTAIN_NEW);
	world_start(w, 4);
	assert_true(world_run_until(w, nobody_abstains, MS(3000)));
	assert_int_equal(world_leader(w), 0);
	assert_true(w->node[0].disk.term == 1);
}

static void
rule_11_an_answer_of_another_list_does_not_count(void **state)
{
	(void) state;
	world_init(w, 3);
	world_greet_all(w);
	world_crash(w, 1);
	w->node[1].config.list_digest ^= 1;
	world_start(w, 1);
	lose_state(0);
	world_run(w, MS(5000));
	assert_int_equal(abstains(0), RAFT_ABSTAIN_NEW);
	assert_int_equal(abstains(1), RAFT_ABSTAIN_LIST);
	world_crash(w, 1);
	w->node[1].config.list_digest ^= 1;
	world_start(w, 1);
	assert_true(world_run_until(w, nobody_abstains, MS(5000)));
}

static void
rule_11_setting_it_ends_lease_and_leadership(void **state)
{
	(void) state;
	lead(3);
	assert_true(world_has_lease(w, 0));
	world_forget(w);
	tell(1, w->node[0].disk.boot + 3, 12345, 1);
	assert_true(w->node[0].member.output.save);
	assert_int_equal(abstains(0), RAFT_ABSTAIN_OLD_COPY);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	assert_true(raft_lease_until(&w->node[0].member.raft) == 0);
	assert_non_null(world_event(w, 0, RAFT_STARTED_ABSTAINING));
	assert_int_equal(world_event(w, 0, RAFT_STARTED_ABSTAINING)->value, RAFT_ABSTAIN_OLD_COPY);
	assert_true(w->node[0].disk.boot > w->node[1].disk.boot);
	recovers();
}

static void
rule_11_what_a_peer_remembers(void **state)
{
	/* remembered boot and save relative to our own; own incarnation; verdict */
	static const struct
	{
		int			boot;
		int			save; /* relative to what the store held */
		bool		same_incarnation;
		RaftAbstain verdict;
	} cases[] = {
		{0, 0, true, RAFT_VOTING}, /* itself, and all that it did before */
		{0, -5, true, RAFT_VOTING},
		{0, 1, true, RAFT_ABSTAIN_OLD_COPY}, /* itself, and more before than there is */
		{-1, 0, false, RAFT_VOTING},		 /* the start before, with all its saves */
		{-1, -3, false, RAFT_VOTING},		 /* the same, not all of them seen */
		{-5, 0, false, RAFT_VOTING},
		{-1, 1, false, RAFT_ABSTAIN_OLD_COPY}, /* a save that is gone */
		{-3, 100, false, RAFT_ABSTAIN_OLD_COPY},
		{1, 0, false, RAFT_ABSTAIN_OLD_COPY}, /* a start that is gone */
		{1, -5, false, RAFT_ABSTAIN_OLD_COPY},
		{0, 0, false, RAFT_ABSTAIN_TWIN}, /* another process with our number */
		{0, -5, false, RAFT_ABSTAIN_TWIN},
		{0, 5, false, RAFT_ABSTAIN_TWIN},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint64_t boot;
		uint64_t loaded;

		world_prepare(w, 3);
		for (int n = 0; n < 3; n++)
		{
			world_set_disk(w, n, 5, RAFT_NONE);
			w->node[n].disk.boot = 20;
			w->node[n].disk.save_number = 200;
			world_start(w, n);
		}
		world_tick(w, 0);
		world_drop_all(w);
		boot = w->node[0].disk.boot;
		loaded = w->node[0].disk.save_number - 1;
		tell(1, boot + (uint64_t) (int64_t) cases[i].boot,
			 cases[i].same_incarnation ? w->node[0].config.incarnation : 4711,
			 loaded + (uint64_t) (int64_t) cases[i].save);
		if (abstains(0) != cases[i].verdict)
			fail_msg("case %zu: %s", i, raft_abstain_name(abstains(0)));
		if (cases[i].verdict == RAFT_VOTING)
		{
			assert_true(w->node[0].disk.boot == boot);
			continue;
		}
		assert_true(w->node[0].member.output.save);
		/* It goes on from above what the peer remembers. */
		assert_true(w->node[0].disk.boot > boot);
		assert_true(w->node[0].disk.boot > boot + (uint64_t) (int64_t) cases[i].boot);
		assert_true(w->node[0].disk.save_number > loaded + (uint64_t) (int64_t) cases[i].save);
		assert_true(w->node[0].disk.term == 5);
		memset(w->node[0].last_sequence, 0, sizeof(w->node[0].last_sequence));
		recovers();
	}
}

/*
 * A save of before that a peer comes to know of too late: node 0's newer slot had
 * rotted, it has come back, and only then a datagram of the lost save arrives.
 */
static void
rule_11_what_was_lost_is_settled_once_it_is_back(void **state)
{
	uint64_t lost;

	(void) state;
	lead(3);
	/* The last save, and its datagrams are still under way. */
	lost = w->node[0].disk.save_number + 1;
	world_crash(w, 0);
	w->node[0].damaged = true;
	world_start(w, 0);
	assert_int_equal(abstains(0), RAFT_ABSTAIN_DAMAGED);
	assert_true(world_run_until(w, nobody_abstains, MS(10000)));

	tell(1, w->node[0].disk.boot, w->node[0].config.incarnation, lost);
	assert_int_equal(abstains(0), RAFT_VOTING);

	/* What nobody here can have saved is another's all the same. */
	tell(1, w->node[0].disk.boot, w->node[0].config.incarnation, lost + 100);
	assert_int_equal(abstains(0), RAFT_ABSTAIN_OLD_COPY);
}

static void
state_wiped(void **state)
{
	(void) state;
	for (int victim = 0; victim < 3; victim++)
	{
		lead(3);
		lose_state(victim);
		recovers();
	}
}

/* Nobody else has the votes: the cluster waits for the wiped one, safely. */
static void
state_wiped_while_the_leader_is_gone(void **state)
{
	uint64_t term;

	(void) state;
	lead(3);
	world_crash(w, 0);
	lose_state(1);
	world_run(w, MS(10000));
	assert_int_equal(world_leader(w), RAFT_NONE);
	term = w->node[2].disk.term;
	world_start(w, 0);
	recovers();
	assert_true(w->node[0].disk.term > term);
}

static void
wiped_twice(void **state)
{
	(void) state;
	/* At all moments of the way back, hearing and waiting alike. */
	for (uint64_t at = 0; at < 1000; at += 50)
		for (int keep = 0; keep < 2; keep++)
		{
			lead(3);
			lose_state(1);
			world_run(w, MS(at) + 100);
			if (keep)
				world_restart(w, 1); /* only a crash */
			else
				lose_state(1);
			assert_int_equal(abstains(1), RAFT_ABSTAIN_NEW);
			world_isolate(w, 2);
			world_run(w, MS(3000));
			if (abstains(1) == RAFT_VOTING)
				fail_msg("left without the answer of node 2");
			world_heal(w);
			recovers();
		}
}

static void
several_wiped(void **state)
{
	(void) state;
	for (int n = 3; n <= 5; n += 2)
		for (int seed = 0; seed < 10; seed++)
		{
			world_init(w, n);
			w->random = (uint64_t) seed;
			w->delay = MS(1);
			w->jitter = MS(3);
			world_elect(w, 0);
			world_run(w, MS(400));
			/* A majority, the leader among them now and then. */
			for (int i = 0; i <= n / 2; i++)
				world_crash(w, (i + seed) % n);
			world_run(w, world_random(w, MS(300)));
			for (int i = 0; i <= n / 2; i++)
			{
				world_wipe(w, (i + seed) % n);
				world_start(w, (i + seed) % n);
			}
			world_run(w, MS(100));
			recovers();
			assert_true(w->node[world_leader(w)].disk.term > 1);
		}
}

static void
wiped_during_an_election(void **state)
{
	(void) state;
	world_init(w, 3);
	world_greet_all(w);
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	assert_true(world_deliver(w, 0, 1) && world_deliver(w, 1, 0));
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	assert_true(world_deliver(w, 0, 1));
	assert_int_equal(w->node[1].disk.voted_for, 0);
	world_drop(w, 0, 2);
	world_drop(w, 0, 2);

	/* Its vote is on the way to node 0; it forgets; node 2 asks for it too. */
	lose_state(1);
	world_set_timer(w, 2, 0);
	w->delay = 10;
	world_run(w, MS(1000));
	world_deliver_all(w);
	recovers();
}

static void
wiped_during_elections_of_all_kinds(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 40; seed++)
	{
		int n = seed % 2 ? 3 : 5;

		world_init(w, n);
		w->random = seed;
		w->delay = MS(1);
		w->jitter = MS(10);
		for (int i = 0; i < 30; i++)
		{
			int a = (int) world_random(w, (uint64_t) n);
			int b = (int) world_random(w, (uint64_t) n);

			world_run(w, world_random(w, MS(300)));
			if (a == b)
				continue;
			/* One loses its state, which all others can tell it; others crash
			 * and lose links. */
			if (nobody_abstains(w) && world_random(w, 2) == 0)
				lose_state(a);
			else if (world_random(w, 2) == 0)
				world_restart(w, a);
			else if (world_random(w, 2) == 0)
				world_cut_both(w, a, b);
			else
				world_heal(w);
		}
		world_heal(w);
		recovers();
	}
}

/*
 * The peer hears of the restored member's new start before that member hears the
 * peer: what it remembers of the starts before must not be taken for its own.
 */
static void
old_copy_restored_and_heard_first(void **state)
{
	RaftSaved	copy;
	RaftMessage greeting;
	RaftMessage m;

	(void) state;
	lead(3);
	copy = w->node[2].disk;
	world_crash(w, 0);
	assert_true(world_run_until(w, world_is_stable, MS(2000)));
	assert_true(w->node[2].disk.term > copy.term);
	world_crash(w, 2);
	world_restore(w, 2, &copy);
	world_start(w, 2);
	world_drop_all(w);

	/* Node 1 greets, and learns the new start from the answer. */
	greeting = world_message(w, RAFT_GREETING, 1, 2);
	world_inject(w, &greeting);
	assert_true(world_take(w, 2, 1, &m));
	while (m.type != RAFT_GREETING_ANSWER)
		assert_true(world_take(w, 2, 1, &m));
	world_inject(w, &m);
	assert_true(w->node[1].member.raft.peers[2].boot == w->node[2].disk.boot);
	assert_int_equal(abstains(2), RAFT_VOTING);

	/* Only now does node 2 ask. */
	world_drop_all(w);
	greeting = world_message(w, RAFT_GREETING, 2, 1);
	world_inject(w, &greeting);
	while (world_take(w, 1, 2, &m))
		world_inject(w, &m);
	assert_int_equal(abstains(2), RAFT_ABSTAIN_OLD_COPY);
}

static void
old_copy_restored(void **state)
{
	(void) state;
	for (int victim = 0; victim < 3; victim++)
		for (int age = 0; age < 4; age++)
		{
			RaftSaved copy;

			world_init(w, 3);
			w->delay = 200;
			copy = w->node[victim].disk;
			world_elect(w, 0);
			for (int i = 0; i < 3; i++)
			{
				if (age == i + 1)
					copy = w->node[victim].disk;
				world_run(w, MS(300));
				assert_int_equal(world_transfer(w, world_leader(w), RAFT_NONE),
								 RAFT_TRANSFER_STARTED);
				assert_true(world_run_until(w, world_is_stable, MS(10)));
			}
			world_run(w, MS(300));
			world_crash(w, victim);
			world_restore(w, victim, &copy);
			world_start(w, victim);
			world_run(w, MS(60));
			assert_int_not_equal(abstains(victim), RAFT_VOTING);
			assert_true(w->node[victim].disk.boot > copy.boot + 1);
			recovers();
		}
}

/* A copy that misses one vote, and peers that all ask for another at once. */
static void
old_copy_restored_in_the_middle_of_an_election(void **state)
{
	RaftSaved copy;

	(void) state;
	world_init(w, 3);
	world_greet_all(w);
	copy = w->node[1].disk;
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	assert_true(world_deliver(w, 0, 1) && world_deliver(w, 1, 0));
	assert_true(world_deliver(w, 0, 1)); /* the vote */
	assert_int_equal(w->node[1].disk.voted_for, 0);
	world_crash(w, 1);
	world_restore(w, 1, &copy);
	world_start(w, 1);
	world_set_timer(w, 2, 0);
	w->delay = 10;
	world_run(w, MS(100));
	assert_int_not_equal(abstains(1), RAFT_VOTING);
	recovers();
}

static void
damaged_store_abstains(void **state)
{
	(void) state;
	lead(3);
	world_crash(w, 1);
	w->node[1].damaged = true;
	world_start(w, 1);
	assert_int_equal(abstains(1), RAFT_ABSTAIN_DAMAGED);
	recovers();
}

static void
twin_is_not_heard(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	world_advance(w, MS(60));
	m = world_vote_request(w, 1, 0, 5);
	m.incarnation ^= 1;
	world_inject(w, &m);
	assert_true(world_dropped(w, 0, RAFT_DROP_TWIN) == 1);
	assert_true(w->node[0].disk.term == 0);
	assert_null(world_sent(w, 0, RAFT_VOTE_ANSWER, 1));
	assert_non_null(world_sent(w, 0, RAFT_GREETING_ANSWER, 1));
	assert_true(world_sent(w, 0, RAFT_GREETING_ANSWER, 1)->remembered_boot == w->node[1].disk.boot);
	assert_true(world_sent(w, 0, RAFT_GREETING_ANSWER, 1)->remembered_incarnation ==
				w->node[1].config.incarnation);
	assert_true(world_sent(w, 0, RAFT_GREETING_ANSWER, 1)->echo_incarnation == m.incarnation);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.output.n_messages, 0); /* one an interval */
}

/* The store of node 2 was copied to another machine: two that count alike. */
static void
twins_that_meet_the_same_peer_abstain(void **state)
{
	static World other;
	RaftSaved	 copy;
	RaftMessage	 m;

	(void) state;
	lead(3);
	world_crash(w, 2);
	copy = w->node[2].disk;

	/* The second runs alone in a world of its own, with another incarnation. */
	world_prepare(&other, 3);
	other.incarnations = 99;
	other.now = w->now;
	world_restore(&other, 2, &copy);
	world_start(&other, 2);
	world_start(w, 2);
	world_run(w, MS(100));
	assert_int_equal(abstains(2), RAFT_VOTING);

	world_tick(&other, 2);
	for (int round = 0; round < 200 && other.node[2].disk.abstaining == RAFT_VOTING; round++)
	{
		while (world_take(&other, 2, 0, &m))
			world_inject(w, &m);
		/* All that node 0 says to either of them reaches both. */
		while (world_take(w, 0, 2, &m))
			world_inject(&other, &m);
		world_run(w, MS(1));
		other.now = w->now;
		if (raft_deadline(&other.node[2].member.raft) <= other.now)
			world_tick(&other, 2);
	}
	assert_int_equal(other.node[2].disk.abstaining, RAFT_ABSTAIN_TWIN);
	assert_true(other.node[2].disk.boot > w->node[2].disk.boot);
}

static void
admit_is_the_operators_word(void **state)
{
	(void) state;
	lead(3);
	assert_false(world_admit(w, 1)); /* it does not abstain */
	assert_int_equal(w->node[1].member.output.n_messages, 0);
	assert_false(w->node[1].member.output.save);

	world_crash(w, 2); /* for good */
	lose_state(1);
	world_run(w, MS(5000));
	assert_int_equal(abstains(1), RAFT_ABSTAIN_NEW);
	assert_true(world_admit(w, 1));
	assert_int_equal(abstains(1), RAFT_ABSTAIN_NEW); /* it still waits */
	world_run(w, MS(700));
	assert_int_equal(abstains(1), RAFT_ABSTAIN_NEW);
	world_run(w, MS(400));
	assert_int_equal(abstains(1), RAFT_VOTING);
	assert_non_null(world_event(w, 1, RAFT_ADMITTED));
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_true(w->node[world_leader(w)].disk.term > 1);
}

/* With one answer missing its word is kept, but not across a restart. */
static void
admit_does_not_outlive_the_process(void **state)
{
	(void) state;
	lead(3);
	world_crash(w, 2);
	lose_state(1);
	world_run(w, MS(100));
	assert_true(world_admit(w, 1));
	world_run(w, MS(100));
	world_restart(w, 1);
	world_run(w, MS(5000));
	assert_int_equal(abstains(1), RAFT_ABSTAIN_NEW);
}

static void
single_member_leaves_only_by_admission(void **state)
{
	(void) state;
	world_init_blank(w, 1);
	world_run(w, MS(60000));
	assert_int_equal(abstains(0), RAFT_ABSTAIN_NEW);
	assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
	world_restart(w, 0);
	world_run(w, MS(5000));
	assert_int_equal(abstains(0), RAFT_ABSTAIN_NEW);
	assert_true(world_admit(w, 0));
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	assert_int_equal(abstains(0), RAFT_VOTING);
}

static void
new_cluster_without_first_stores_elects(void **state)
{
	(void) state;
	for (int n = 2; n <= 7; n++)
	{
		world_init_blank(w, n);
		w->delay = MS(1);
		assert_true(world_run_until(w, world_is_stable, MS(3000)));
		assert_true(nobody_abstains(w));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_11_first_record),
		cmocka_unit_test(rule_11_it_follows_and_promises),
		cmocka_unit_test(rule_11_it_does_not_stand),
		cmocka_unit_test(rule_11_the_way_back),
		cmocka_unit_test(rule_11_the_highest_term_and_the_longest_promise),
		cmocka_unit_test(rule_11_a_majority_of_answers_is_not_enough),
		cmocka_unit_test(rule_11_an_answer_of_another_list_does_not_count),
		cmocka_unit_test(rule_11_setting_it_ends_lease_and_leadership),
		cmocka_unit_test(rule_11_what_was_lost_is_settled_once_it_is_back),
		cmocka_unit_test(rule_11_what_a_peer_remembers),
		cmocka_unit_test(state_wiped),
		cmocka_unit_test(state_wiped_while_the_leader_is_gone),
		cmocka_unit_test(wiped_twice),
		cmocka_unit_test(several_wiped),
		cmocka_unit_test(wiped_during_an_election),
		cmocka_unit_test(wiped_during_elections_of_all_kinds),
		cmocka_unit_test(old_copy_restored),
		cmocka_unit_test(old_copy_restored_and_heard_first),
		cmocka_unit_test(old_copy_restored_in_the_middle_of_an_election),
		cmocka_unit_test(damaged_store_abstains),
		cmocka_unit_test(twin_is_not_heard),
		cmocka_unit_test(twins_that_meet_the_same_peer_abstain),
		cmocka_unit_test(admit_is_the_operators_word),
		cmocka_unit_test(admit_does_not_outlive_the_process),
		cmocka_unit_test(single_member_leaves_only_by_admission),
		cmocka_unit_test(new_cluster_without_first_stores_elects),
	};

	return cmocka_run_group_tests_name("abstaining", tests, NULL, NULL);
}
