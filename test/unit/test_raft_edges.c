/*
 * test/unit/test_raft_edges.c
 *	  What the outside may throw at a core: rule 10 of the election, garbage,
 *	  a second leader; and member lists that change.
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
rule_10_an_older_leader_is_told_the_term(void **state)
{
	RaftMessage		   m;
	const RaftMessage *answer;
	uint64_t		   timer;

	(void) state;
	world_prepare(w, 3);
	for (int i = 0; i < 3; i++)
	{
		world_set_disk(w, i, 9, RAFT_NONE);
		world_start(w, i);
	}
	world_greet_all(w);
	timer = w->node[0].member.raft.timer;
	m = world_heartbeat(w, 1, 0, 6, 3);
	world_inject(w, &m);
	answer = world_sent(w, 0, RAFT_HEARTBEAT_ANSWER, 1);
	assert_non_null(answer);
	assert_false(answer->granted);
	assert_true(answer->term == 9);
	assert_true(answer->asked_term == 6);
	assert_true(answer->round == 3);
	assert_int_equal(w->node[0].member.raft.leader_id, RAFT_NONE);
	assert_true(raft_promise_until(&w->node[0].member.raft) <= w->now);
	assert_true(w->node[0].member.raft.timer == timer);
	assert_false(w->node[0].member.output.save);
}

static void
rule_10_answers_carry_what_they_answer(void **state)
{
	RaftMessage		   m;
	const RaftMessage *answer;

	(void) state;
	world_init_alone(w, 3);
	world_set_position(w, 0, 3, 4);
	m = world_heartbeat(w, 1, 0, 6, 17);
	world_inject(w, &m);
	answer = world_sent(w, 0, RAFT_HEARTBEAT_ANSWER, 1);
	assert_true(answer->granted);
	assert_true(answer->round == 17);
	assert_true(answer->asked_term == 6);
	assert_true(answer->term == 6);
	assert_true(answer->position.epoch == 3 && answer->position.index == 4);
	assert_int_equal(w->node[0].member.raft.leader_id, 1);

	m = world_pre_vote_request(w, 2, 0, 7);
	m.round = 99;
	world_inject(w, &m);
	answer = world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 2);
	assert_false(answer->granted);
	assert_true(answer->round == 99);
	assert_true(answer->asked_term == 7);
	assert_true(answer->term == 6);
	assert_int_equal(answer->leader_id, 1);
}

static void
rule_10_answers_to_nothing_are_stale(void **state)
{
	static const RaftMessageType types[] = {
		RAFT_PRE_VOTE_ANSWER, RAFT_VOTE_ANSWER, RAFT_HEARTBEAT_ANSWER};

	(void) state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		for (int granted = 0; granted < 2; granted++)
		{
			RaftMessage m;

			world_init_alone(w, 3);
			m = world_message(w, types[i], 1, 0);
			m.granted = granted;
			m.asked_term = 1;
			m.term = 1;
			world_inject(w, &m);
			assert_int_equal(w->node[0].member.raft.role, RAFT_FOLLOWER);
			assert_int_equal(w->node[0].member.output.n_messages, 0);
			assert_true(world_dropped(w, 0, RAFT_DROP_STALE) == 1);
		}
}

static void
rule_10_a_second_leader_is_not_followed(void **state)
{
	RaftMessage m;
	uint64_t	timer;

	(void) state;
	world_init_alone(w, 5);
	m = world_heartbeat(w, 1, 0, 6, 1);
	world_inject(w, &m);
	timer = w->node[0].member.raft.timer;
	world_advance(w, MS(20));
	m = world_heartbeat(w, 2, 0, 6, 1);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.leader_id, 1);
	assert_true(world_dropped(w, 0, RAFT_DROP_SECOND_LEADER) == 1);
	assert_non_null(world_event(w, 0, RAFT_SECOND_LEADER));
	assert_int_equal(world_event(w, 0, RAFT_SECOND_LEADER)->peer, 2);
	assert_int_equal(w->node[0].member.output.n_messages, 0);
	assert_true(w->node[0].member.raft.timer == timer);
	assert_true(raft_promise_until(&w->node[0].member.raft) == w->now + MS(180));

	/* Even long after the first was heard. */
	world_advance(w, MS(3000));
	world_tick(w, 0);
	m = world_heartbeat(w, 2, 0, 6, 2);
	world_inject(w, &m);
	assert_true(world_dropped(w, 0, RAFT_DROP_SECOND_LEADER) == 2);

	/* To a leader itself. */
	world_init_alone(w, 3);
	world_elect(w, 0);
	m = world_heartbeat(w, 2, 0, 1, 1);
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
	assert_true(world_dropped(w, 0, RAFT_DROP_SECOND_LEADER) == 1);
}

static void
garbage_wrong_ids(void **state)
{
	static const int32_t ids[] = {
		3, 5, 63, 64, 65, 1000, INT32_MAX, -1, -2, -64, INT32_MIN};

	(void) state;
	for (int type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
		for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		{
			RaftMessage m;
			RaftSaved	before;

			world_init_alone(w, 3);
			before = w->node[0].disk;
			m = world_message(w, (RaftMessageType) type, 1, 0);
			m.from = ids[i];
			world_inject_raw(w, 0, &m);
			m = world_message(w, (RaftMessageType) type, 1, 0);
			m.to = ids[i];
			world_inject_raw(w, 0, &m);
			m = world_message(w, (RaftMessageType) type, 1, 0);
			m.to = 2;
			world_inject_raw(w, 0, &m);
			m = world_message(w, (RaftMessageType) type, 1, 0);
			m.from = 0;
			world_inject_raw(w, 0, &m);
			assert_true(world_dropped(w, 0, RAFT_DROP_UNKNOWN_NODE) == 4);
			assert_int_equal(w->node[0].member.output.n_messages, 0);
			assert_memory_equal(&before, &w->node[0].disk, sizeof(before));
		}
}

static void
garbage_impossible_values(void **state)
{
	(void) state;
	for (int type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
		for (int what = 0; what < 4; what++)
		{
			RaftMessage m;

			/* Fields that a type does not use are the decoder's business. */
			if (what == 2 && type != RAFT_PRE_VOTE_REQUEST && type != RAFT_PRE_VOTE_ANSWER &&
				type != RAFT_VOTE_ANSWER && type != RAFT_HEARTBEAT_ANSWER)
				continue;
			if (what == 3 && type != RAFT_VOTE_REQUEST && type != RAFT_HEARTBEAT &&
				type != RAFT_GREETING_ANSWER && type != RAFT_PRE_VOTE_ANSWER &&
				type != RAFT_VOTE_ANSWER)
				continue;
			world_init_alone(w, 3);
			m = world_message(w, (RaftMessageType) type, 1, 0);
			if (what == 0)
				m.term = RAFT_MAX_TERM + 1;
			else if (what == 1)
				m.term = UINT64_MAX;
			else if (what == 2)
				m.asked_term = UINT64_MAX;
			else
				m.promise = RAFT_MAX_PROMISE + 1;
			world_inject_raw(w, 0, &m);
			if (world_dropped(w, 0, RAFT_DROP_IMPOSSIBLE) != 1)
				fail_msg("%s, impossible value %d", message_type_name(m.type), what);
			assert_int_equal(w->node[0].member.output.n_messages, 0);
			assert_true(w->node[0].disk.term == 0);
			assert_true(raft_promise_until(&w->node[0].member.raft) <= w->now);
		}
}

/* A datagram of a peer that may say anything within the layout: the core
 * survives, keeps one vote a term, and its term never falls.  What a forger can
 * do beyond that is the transport's business. */
static void
garbage_within_the_layout(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 40; seed++)
	{
		world_init_alone(w, 5);
		w->random = seed;
		if (seed % 2)
			world_elect(w, 0);
		for (int i = 0; i < 500; i++)
		{
			int			type = 1 + (int) world_random(w, RAFT_MESSAGE_TYPES - 1);
			RaftMessage m = world_message(w, (RaftMessageType) type, 1 + (int) world_random(w, 4), 0);

			m.term = w->node[0].disk.term + world_random(w, 4);
			if (world_random(w, 200) == 0)
				m.term = RAFT_MAX_TERM - world_random(w, 3);
			if (m.term > RAFT_MAX_TERM)
				m.term = RAFT_MAX_TERM;
			m.asked_term = m.term > 0 && world_random(w, 2) ? m.term - 1 : m.term;
			m.round = world_random(w, 30);
			m.granted = world_random(w, 2);
			m.abstaining = world_random(w, 10) == 0;
			m.promise = world_random(w, MS(300));
			m.position.index = world_random(w, 2);
			m.replaced_leader = (int32_t) world_random(w, 6) - 1;
			m.replaced_term = m.replaced_leader < 0 ? 0 : m.term;
			m.leader_id = (int32_t) world_random(w, 6) - 1;
			m.max_timeout = world_random(w, MS(1000));
			if (world_random(w, 50) == 0)
			{
				m.remembered_boot = world_random(w, 5);
				m.remembered_save = world_random(w, 100);
			}
			/* Forged votes could make a second leader of a term elsewhere. */
			w->n_leaders = 0;
			memset(w->node[0].last_sequence, 0, sizeof(w->node[0].last_sequence));
			world_inject_raw(w, 0, &m);
			world_drop_all(w);
			world_advance(w, world_random(w, MS(30)));
			if (raft_deadline(&w->node[0].member.raft) <= w->now)
				world_tick(w, 0);
			world_drop_all(w);
		}
	}
}

static void
ticking_early_does_no_harm(void **state)
{
	RaftSaved before;

	(void) state;
	world_init(w, 3);
	w->delay = MS(1);
	world_elect(w, 0);
	world_run(w, MS(300));
	world_deliver_all(w);
	before = w->node[0].disk;
	for (int i = 0; i < 2000; i++)
	{
		for (int n = 0; n < 3; n++)
			world_tick(w, n);
		world_run(w, 100);
	}
	assert_true(world_is_stable(w));
	assert_int_equal(world_leader(w), 0);
	assert_true(before.term == w->node[0].disk.term);
	/* Four rounds of heartbeats, not two thousand. */
	assert_in_range(w->node[0].n_sent[RAFT_HEARTBEAT], 2, 60);
}

static void
same_calls_same_output(void **state)
{
	static World one;

	(void) state;
	for (int turn = 0; turn < 2; turn++)
	{
		memset(w, turn ? 0x11 : 0xEE, sizeof(*w));
		world_init(w, 5);
		w->delay = MS(2);
		w->jitter = MS(5);
		w->loss_percent = 5;
		world_run(w, MS(5000));
		world_crash(w, world_leader(w));
		world_run(w, MS(3000));
		if (turn == 0)
			one = *w;
	}
	assert_int_equal(one.n_queue, w->n_queue);
	assert_true(one.random == w->random);
	for (int i = 0; i < 5; i++)
	{
		assert_int_equal(world_leader(&one), world_leader(w));
		assert_true(one.node[i].disk.save_number == w->node[i].disk.save_number);
		assert_true(one.node[i].member.raft.peers[(i + 1) % 5].sent == w->node[i].member.raft.peers[(i + 1) % 5].sent);
		assert_true(one.node[i].member.raft.random == w->node[i].member.raft.random);
	}
}

static void
bad_configurations_are_refused(void **state)
{
	RaftConfig good;
	RaftConfig bad;

	(void) state;
	world_prepare(w, 3);
	good = w->node[0].config;
	good.incarnation = 1;
	assert_null(raft_check_config(&good));
#define REFUSED(change)                           \
	do                                            \
	{                                             \
		bad = good;                               \
		change;                                   \
		assert_non_null(raft_check_config(&bad)); \
	} while (0)
	REFUSED(bad.node_id = 3);
	REFUSED(bad.node_id = -1);
	REFUSED(bad.node_id = 64);
	REFUSED(bad.members = 0);
	REFUSED(bad.wanted = 0);
	REFUSED(bad.wanted = 3);
	REFUSED(bad.list_size = 4);
	REFUSED(bad.timeouts.min_timeout = 0);
	REFUSED(bad.timeouts.max_timeout = bad.timeouts.min_timeout);
	REFUSED(bad.timeouts.max_timeout = bad.timeouts.min_timeout - 1);
	REFUSED(bad.timeouts.heartbeat_interval = 0);
	REFUSED(bad.timeouts.heartbeat_interval = bad.timeouts.min_timeout / 2 + 1);
	REFUSED(bad.timeouts.max_drift_ppm = 500001);
	REFUSED(bad.timeouts.max_timeout = UINT64_MAX);
	REFUSED(bad.timeouts.min_timeout = RAFT_MAX_PROMISE + 1;
			bad.timeouts.max_timeout = RAFT_MAX_PROMISE * 2);
#undef REFUSED
}

static void
words_for_everything(void **state)
{
	char text[200];
	char small[8];

	(void) state;
	for (int reason = 0; reason < RAFT_REASONS; reason++)
		for (int peer = RAFT_NONE; peer < 2; peer++)
		{
			RaftEvent event = {.reason = (RaftReason) reason, .role = RAFT_FOLLOWER, .term = 3, .leader_id = RAFT_NONE, .peer = peer, .value = 2};

			memset(text, 'x', sizeof(text));
			assert_ptr_equal(raft_describe_event(&event, text, sizeof(text)), text);
			assert_non_null(memchr(text, 0, sizeof(text)));
			assert_true(strlen(text) > 3);
			assert_true(text[strlen(text) - 1] != '.');
			memset(small, 'x', sizeof(small));
			raft_describe_event(&event, small, sizeof(small));
			assert_non_null(memchr(small, 0, sizeof(small)));
		}
	for (int role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++)
		assert_true(strlen(raft_role_name((RaftRole) role)) > 3);
	for (int why = RAFT_VOTING; why <= RAFT_ABSTAIN_LAST; why++)
		assert_non_null(raft_abstain_name((RaftAbstain) why));
	for (int why = 0; why < RAFT_OUTCOMES; why++)
		assert_true(strlen(raft_outcome_name((RaftOutcome) why)) > 3);
}

static void
words_say_what_came_of_a_claim(void **state)
{
	static const char *const expected[] = {
		[RAFT_CLAIM_MADE] = "a timeline is claimed",
		[RAFT_CLAIM_NOT_MANAGED] = "pg_leader.manage is off, so no timeline is claimed",
		[RAFT_CLAIM_NOT_LEADER] = "only the leader claims a timeline",
		[RAFT_CLAIM_PROMOTING] = "an earlier promotion was asked for and may still happen",
		[RAFT_CLAIM_NO_DATA] = "its server is not in recovery, or the end of its own WAL is not known",
		[RAFT_CLAIM_NEEDS_ALL] = "nothing was ever claimed, and not every member has said what it holds",
		[RAFT_CLAIM_BEHIND] = "nothing was ever claimed, and another member holds more WAL",
		[RAFT_CLAIM_DIVERGED] = "nothing was ever claimed, and the data of another member are on another timeline",
		[RAFT_CLAIM_EXHAUSTED] = "no timeline is left to claim",
		[RAFT_CLAIM_EXHAUSTED + 1] = "unknown",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_string_equal(raft_describe_claim((RaftClaimResult) i), expected[i]);
}

static const char *
words(RaftReason reason, int32_t peer, uint64_t value, uint64_t nodes)
{
	static char text[144];
	RaftEvent	event = {.reason = reason, .term = 18, .leader_id = RAFT_NONE, .peer = peer, .value = value, .nodes = nodes};

	return raft_describe_event(&event, text, sizeof(text));
}

/* The causes that a person reads at three in the morning. */
static void
words_name_the_cause(void **state)
{
	(void) state;
	assert_string_equal(words(RAFT_TIMED_OUT, 2, 312700, 0), "no heartbeat from node 2 for 312 ms");
	assert_string_equal(words(RAFT_LEADER_LOST, 2, 312700, 0), "no heartbeat from node 2 for 312 ms");
	assert_string_equal(words(RAFT_PRE_VOTE_WON, RAFT_NONE, 0, 8), "a majority would vote for this node: node 3 and itself");
	assert_string_equal(words(RAFT_VOTE_WON, RAFT_NONE, 0, 9), "a majority voted for this node: nodes 0, 3 and itself");
	assert_string_equal(words(RAFT_VOTE_WON, RAFT_NONE, 0, 0), "a majority voted for this node: itself alone");
	assert_string_equal(words(RAFT_NOT_ELECTED, RAFT_NONE, 300000, 0), "no majority of votes within 300 ms: nobody else voted for this node");
	assert_string_equal(words(RAFT_NOT_ELECTED, RAFT_NONE, 300000, 6), "no majority of votes within 300 ms: only nodes 1 and 2 voted for this node");
	assert_string_equal(words(RAFT_QUORUM_LOST, RAFT_NONE, 400000, 8), "lost quorum: only node 3 answered in the last 400 ms");
	assert_string_equal(words(RAFT_QUORUM_LOST, RAFT_NONE, 400000, 0), "lost quorum: nobody answered in the last 400 ms");
	assert_string_equal(words(RAFT_HIGHER_TERM, 4, 0, 0), "higher term 18 seen from node 4");
	assert_string_equal(words(RAFT_STANDS_ABOVE, 4, 17, 0), "node 4 has the higher term 17: starting an election above it");
	assert_string_equal(words(RAFT_RESIGNED, 1, 1, 0), "handed over to node 1");
	assert_string_equal(words(RAFT_RESIGNED, RAFT_NONE, 1, 0), "stepped down; no other member can take over");
	assert_string_equal(words(RAFT_RESIGNED, RAFT_NONE, 0, 0), "gave up its candidacy");
	assert_string_equal(words(RAFT_HEARD_ALL, RAFT_NONE, 1200000, 7), "received answers from nodes 0, 1 and 2, will vote again in 1200 ms");
	assert_string_equal(words(RAFT_VOTE_WON, RAFT_NONE, 0, UINT64_MAX - 1), "a majority voted for this node: nodes 1, 2, 3, 4, 5, 6, 7, 8, 55 more and itself");
	assert_string_equal(words(RAFT_QUORUM_LOST, RAFT_NONE, 400000, UINT64_MAX << 10), "lost quorum: only nodes 10, 11, 12, 13, 14, 15, 16, 17 and 46 more answered in the last 400 ms");
}

/* ---- other member lists ---- */

#define LIST_OF_FIVE UINT64_C(0x5555)

static void
use_list(int node, uint64_t members, uint32_t size, uint64_t digest, bool appended)
{
	RaftConfig *config = &w->node[node].config;

	config->members = config->wanted = members;
	config->list_size = size;
	config->list_digest = digest;
	config->list_appended = appended;
	assert_null(raft_check_config(config));
}

static void
other_list_is_followed_and_never_voted_for(void **state)
{
	RaftMessage m;

	(void) state;
	world_init_alone(w, 3);
	m = world_vote_request(w, 1, 0, 1);
	m.list_digest ^= 1;
	world_inject(w, &m);
	assert_int_equal(w->node[0].disk.voted_for, RAFT_NONE);
	assert_true(world_sent(w, 0, RAFT_VOTE_ANSWER, 1) == NULL ||
				!world_sent(w, 0, RAFT_VOTE_ANSWER, 1)->granted);
	m = world_pre_vote_request(w, 1, 0, 5);
	m.list_digest ^= 1;
	world_inject(w, &m);
	assert_true(world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 1) == NULL ||
				!world_sent(w, 0, RAFT_PRE_VOTE_ANSWER, 1)->granted);
	m = world_heartbeat(w, 1, 0, 6, 1);
	m.list_digest ^= 1;
	world_inject(w, &m);
	assert_int_equal(w->node[0].member.raft.leader_id, 1);
	assert_true(w->node[0].disk.term == 6);
}

static void
other_list_votes_do_not_count(void **state)
{
	RaftMessage m;
	RaftMessage yes;

	(void) state;
	world_init_alone(w, 3);
	world_set_timer(w, 0, 0);
	world_tick(w, 0);
	m = *world_sent(w, 0, RAFT_PRE_VOTE_REQUEST, 1);
	yes = world_answer(w, &m, true);
	yes.list_digest ^= 1;
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
	yes = world_answer(w, &m, true);
	yes.abstaining = true;
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_PRE_CANDIDATE);
	yes = world_answer(w, &m, true);
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	m = *world_sent(w, 0, RAFT_VOTE_REQUEST, 1);
	yes = world_answer(w, &m, true);
	yes.list_digest ^= 1;
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	yes = world_answer(w, &m, true);
	yes.abstaining = true;
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_CANDIDATE);
	yes = world_answer(w, &m, true);
	world_inject(w, &yes);
	assert_int_equal(w->node[0].member.raft.role, RAFT_LEADER);
}

static void
list_changed_member_by_member_appending(void **state)
{
	uint64_t term;

	(void) state;
	world_prepare(w, 5);
	w->delay = 300;
	for (int i = 0; i < 3; i++)
	{
		use_list(i, 7, 3, WORLD_LIST, false);
		world_new_store(w, i);
		world_start(w, i);
	}
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	term = w->node[world_leader(w)].disk.term;
	for (int i = 0; i < 5; i++)
	{
		if (w->node[i].running)
			world_crash(w, i);
		use_list(i, 31, 5, LIST_OF_FIVE, i < 3);
		world_start(w, i);
		assert_int_equal(w->node[i].disk.abstaining, i < 3 ? RAFT_ABSTAIN_LIST : RAFT_ABSTAIN_NEW);
		world_run(w, MS(1500));
		if (i < 4)
			assert_int_not_equal(w->node[i].disk.abstaining, RAFT_VOTING);
	}
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	for (int i = 0; i < 5; i++)
	{
		assert_int_equal(w->node[i].disk.abstaining, RAFT_VOTING);
		assert_true(w->node[i].disk.list_digest == LIST_OF_FIVE);
		assert_int_equal(w->node[i].disk.list_size, 5);
		assert_int_equal(raft_quorum(&w->node[i].member.raft), 3);
	}
	assert_true(w->node[world_leader(w)].disk.term > term);
	/* From now on a restart is nothing special. */
	world_restart(w, 1);
	assert_int_equal(w->node[1].disk.abstaining, RAFT_VOTING);
}

static void
list_changed_member_by_member_removing(void **state)
{
	(void) state;
	world_init(w, 5);
	w->delay = 300;
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	for (int i = 0; i < 5; i++)
		world_crash(w, i);
	for (int i = 0; i < 3; i++)
	{
		use_list(i, 7, 3, 0x333, false);
		world_start(w, i);
	}
	/* All that are left have answered, and still: the others might live. */
	world_run(w, MS(10000));
	for (int i = 0; i < 3; i++)
		assert_int_equal(w->node[i].disk.abstaining, RAFT_ABSTAIN_LIST);
	assert_int_equal(world_leader(w), RAFT_NONE);

	/* The operator says that they do not. */
	for (int i = 0; i < 3; i++)
		assert_true(world_admit(w, i));
	assert_true(world_run_until(w, world_is_stable, MS(3000)));
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(w->node[i].disk.abstaining, RAFT_VOTING);
		assert_int_equal(w->node[i].disk.list_size, 3);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_10_an_older_leader_is_told_the_term),
		cmocka_unit_test(rule_10_answers_carry_what_they_answer),
		cmocka_unit_test(rule_10_answers_to_nothing_are_stale),
		cmocka_unit_test(rule_10_a_second_leader_is_not_followed),
		cmocka_unit_test(garbage_wrong_ids),
		cmocka_unit_test(garbage_impossible_values),
		cmocka_unit_test(garbage_within_the_layout),
		cmocka_unit_test(ticking_early_does_no_harm),
		cmocka_unit_test(same_calls_same_output),
		cmocka_unit_test(bad_configurations_are_refused),
		cmocka_unit_test(words_for_everything),
		cmocka_unit_test(words_say_what_came_of_a_claim),
		cmocka_unit_test(words_name_the_cause),
		cmocka_unit_test(other_list_is_followed_and_never_voted_for),
		cmocka_unit_test(other_list_votes_do_not_count),
		cmocka_unit_test(list_changed_member_by_member_appending),
		cmocka_unit_test(list_changed_member_by_member_removing),
	};

	return cmocka_run_group_tests_name("edges", tests, NULL, NULL);
}
