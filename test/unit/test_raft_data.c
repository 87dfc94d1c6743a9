/*
 * test/unit/test_raft_data.c
 *	  The election knows the data: rules 12, 13, 15, 16, 20 to 22 and 24.
 *
 * Members of these worlds are managed.  What a server would do is said by data_is(); the
 * fixture checks the election's own invariants after every step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define SYSTEM UINT64_C(7300000000000000001)

static World		world;
static World *const w = &world;
static int			more; /* nodes that are there, and are in nobody's list yet */

static Raft *
raft(int node)
{
	return &w->node[node].member.raft;
}

static const RaftSaved *
disk(int node)
{
	return &w->node[node].disk;
}

/* A server in recovery whose WAL is known to its end. */
static RaftData
standby(uint32_t timeline, uint64_t lsn)
{
	return (RaftData){.server = RAFT_SERVER_RECOVERY, .system_id = SYSTEM, .known = true, .position = {.epoch = timeline, .index = lsn}, .newest_timeline = timeline};
}

static void
data_is(int node, RaftData data)
{
	member_set_data(&w->node[node].member, &data);
}

static void
promoted_on(int node, uint32_t timeline, uint64_t lsn, bool open)
{
	RaftData data = standby(timeline, lsn);

	data.server = RAFT_SERVER_PRIMARY;
	data.promoted = true;
	data.open = open;
	data_is(node, data);
}

static bool
follows(Member *member, uint32_t timeline)
{
	return member_follow(member, &timeline, 1);
}

/* n members, managed, that have not looked at their data yet. */
static void
managed(int n)
{
	world_prepare(w, n + more);
	w->delay = 200;
	w->n = n;
	for (int i = 0; i < n; i++)
	{
		RaftConfig *config = &w->node[i].config;

		config->members = config->wanted = (UINT64_C(1) << n) - 1;
		config->list_size = (uint32_t) n;
		config->managed = true;
		world_new_store(w, i);
		world_start(w, i);
	}
}

static void
all_standby(uint32_t timeline, uint64_t lsn)
{
	for (int i = 0; i < w->n; i++)
		data_is(i, standby(timeline, lsn));
}

/* Node 0 leads, and every peer has acknowledged in its term. */
static void
lead(int n)
{
	managed(n);
	all_standby(1, 100);
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_int_equal(world_leader(w), 0);
}

/* Node 0 has claimed timeline 2, and a majority knows. */
static void
lead_with_claim(int n)
{
	lead(n);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	assert_int_equal(raft_claimed(raft(0)), n == 1 ? 2 : 0);
	world_run(w, MS(100));
	assert_int_equal(raft_claimed(raft(0)), 2);
}

/* And is promoted on it, with everybody else following. */
static void
lead_promoted(int n)
{
	lead_with_claim(n);
	assert_int_equal(member_promote(&w->node[0].member), 2);
	member_promoted(&w->node[0].member);
	promoted_on(0, 2, 110, true);
	world_run(w, MS(100));
	for (int i = 1; i < n; i++)
	{
		assert_true(follows(&w->node[i].member, 2));
		data_is(i, standby(2, 110));
	}
	world_run(w, MS(100));
}

/* Does the member grant a vote to the candidate, who holds that? */
static bool
votes(int voter, int candidate, RaftPosition position, const RaftTold *told)
{
	RaftMessage request = world_vote_request(w, candidate, voter, disk(voter)->term + 1);
	bool		granted;

	request.position = position;
	request.told = *told;
	if (told->list.number == 0)
		request.told.list = raft(voter)->saved.list;
	world_advance(w, MS(1000)); /* no promise holds any more */
	world_drop_all(w);
	world_forget(w);
	world_inject(w, &request);
	assert_non_null(world_sent(w, voter, RAFT_VOTE_ANSWER, candidate));
	granted = world_sent(w, voter, RAFT_VOTE_ANSWER, candidate)->granted;
	world_drop_all(w);
	return granted;
}

static RaftTold
candidate_with(uint32_t claim)
{
	return (RaftTold){.managed = true, .known = true, .claimed = claim != 0, .claim = claim, .server = RAFT_SERVER_RECOVERY, .system_id = SYSTEM};
}

static bool
votes_for(int voter, int candidate, uint32_t timeline, uint64_t lsn, uint32_t claim)
{
	RaftTold told = candidate_with(claim);

	return votes(voter, candidate, (RaftPosition){timeline, lsn}, &told);
}

/* ---- rule 12 ---- */

static void
rule_12_first_claim_needs_everyone(void **state)
{
	RaftData primary = standby(1, 100);

	(void) state;
	lead(3);
	primary.server = RAFT_SERVER_PRIMARY;
	data_is(2, primary);
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NEEDS_ALL);

	data_is(2, standby(1, 101));
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_BEHIND);

	data_is(2, (RaftData){.server = RAFT_SERVER_RECOVERY, .system_id = SYSTEM});
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NEEDS_ALL);

	data_is(2, standby(1, 99));
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
}

/* A request for a vote tells that its data are known now; where they end it has acknowledged earlier. */
static void
rule_12_first_claim_goes_by_positions_that_are_known(void **state)
{
	RaftMessage request;

	(void) state;
	lead(3);
	data_is(2, (RaftData){.server = RAFT_SERVER_RECOVERY, .system_id = SYSTEM});
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NEEDS_ALL);
	request = world_pre_vote_request(w, 2, 0, disk(0)->term + 1);
	request.position = (RaftPosition){1, 101};
	request.told = candidate_with(0);
	world_inject(w, &request);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NEEDS_ALL);
	data_is(2, standby(1, 101));
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_BEHIND);
}

static void
rule_12_first_claim_hears_the_dead_only_by_the_operator(void **state)
{
	(void) state;
	managed(3);
	all_standby(1, 100);
	world_crash(w, 2);
	world_deliver_all(w);
	world_set_timer(w, 0, 0);
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	assert_int_equal(world_leader(w), 0);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NEEDS_ALL);
	assert_true(world_admit(w, 0));
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
}

static void
rule_12_first_claim_does_without_members_that_never_held_data(void **state)
{
	(void) state;
	managed(3);
	data_is(0, standby(1, 100));
	data_is(1, (RaftData){0});
	data_is(2, (RaftData){0});
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	assert_true(disk(0)->system_id == SYSTEM && disk(1)->system_id == 0);
}

static void
rule_12_first_claim_not_beside_another_system(void **state)
{
	RaftData other = standby(1, 50);

	(void) state;
	managed(3);
	other.system_id = SYSTEM + 1;
	data_is(0, standby(1, 100));
	data_is(1, standby(1, 100));
	data_is(2, other);
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NEEDS_ALL);
}

/* One that was promoted by hand has the higher timeline, and may lack what the primary wrote since. */
static void
rule_12_first_claim_not_beside_another_timeline(void **state)
{
	(void) state;
	managed(3);
	data_is(0, standby(2, 90));
	data_is(1, standby(1, 100));
	data_is(2, standby(1, 100));
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_DIVERGED);

	/* the operator's word is for the dead */
	assert_true(world_admit(w, 0));
	data_is(1, standby(2, 90));
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_DIVERGED);
	world_crash(w, 2);
	world_run(w, MS(5000));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
}

/* It says nothing of its data, as one that never held any: but its server may be the primary. */
static void
rule_12_first_claim_not_beside_one_that_only_elects(void **state)
{
	(void) state;
	managed(3);
	world_crash(w, 2);
	w->node[2].config.managed = false;
	world_start(w, 2);
	data_is(0, standby(1, 100));
	data_is(1, standby(1, 100));
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NEEDS_ALL);
}

/* What was the primary a moment ago is managed now, and has said nothing of its data yet. */
static void
rule_12_first_claim_not_before_everyone_has_looked(void **state)
{
	(void) state;
	managed(3);
	data_is(0, standby(1, 100));
	data_is(1, standby(1, 100));
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_true(raft(0)->peers[2].acked_round != 0 && raft(0)->peers[2].told.system_id == 0);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NEEDS_ALL);
	data_is(2, standby(1, 101));
	world_run(w, MS(200));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_BEHIND);
}

/* Durable on both sides before anybody counts it. */
static void
rule_12_claim_is_stored_before_it_counts(void **state)
{
	(void) state;
	lead(3);
	world_drop_all(w);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	assert_int_equal(disk(0)->claim, 2);
	assert_int_equal(disk(1)->claim, 0);
	assert_int_equal(raft_claimed(raft(0)), 0);
	world_tick_at_deadline(w, 0);
	assert_true(world_deliver(w, 0, 1));
	assert_int_equal(disk(1)->claim, 2);
	assert_int_equal(raft_claimed(raft(0)), 0);
	assert_true(world_deliver(w, 1, 0));
	assert_int_equal(raft_claimed(raft(0)), 2);
	world_restart(w, 1);
	assert_int_equal(disk(1)->claim, 2);
}

/* It could adopt nothing, and its own WAL would be foreign for ever. */
static void
rule_12_first_claim_is_stored_once_the_data_are_known(void **state)
{
	RaftData unknown = {.server = RAFT_SERVER_RECOVERY, .system_id = SYSTEM};

	(void) state;
	lead(3);
	world_drop_all(w);
	data_is(1, unknown);
	world_crash(w, 2);
	world_start(w, 2);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	world_run(w, MS(200));
	assert_int_equal(world_leader(w), 0);
	assert_true(disk(1)->claim == 0 && disk(2)->claim == 0);
	assert_int_equal(raft_claimed(raft(0)), 0);

	/* It is the leader's WAL that it would get. */
	promoted_on(0, 2, 110, true);
	world_run(w, MS(100));
	assert_false(follows(&w->node[1].member, 2));

	data_is(1, standby(1, 100));
	data_is(2, (RaftData){0});
	world_run(w, MS(100));
	assert_int_equal(raft_claimed(raft(0)), 2);
	assert_true(disk(1)->claim == 2 && disk(1)->n_timelines == 1);
	assert_true(disk(1)->timelines[0].id == 1 && disk(1)->timelines[0].created);
	assert_true(disk(2)->claim == 2 && disk(2)->n_timelines == 0);
	assert_true(follows(&w->node[1].member, 2));

	/* Later ones adopt nothing, and wait for nothing. */
	data_is(1, unknown);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NO_DATA);
	data_is(0, standby(2, 110));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	world_run(w, MS(100));
	assert_int_equal(disk(1)->claim, 3);
}

/* The others wait for that to follow it: no heartbeat is too early. */
static void
a_promotion_is_told_at_once(void **state)
{
	(void) state;
	lead_with_claim(3);
	assert_int_equal(member_promote(&w->node[0].member), 2);
	member_promoted(&w->node[0].member);
	promoted_on(0, 2, 110, false);
	world_run(w, MS(1));
	assert_true(raft(1)->peers[0].told.promoted && raft(2)->peers[0].told.promoted);
}

/* Then what it holds is the leader's already, and not its own. */
static void
rule_12_first_claim_adopts_nothing_that_is_rebuilt(void **state)
{
	(void) state;
	lead(3);
	world_drop_all(w);
	data_is(1, (RaftData){.server = RAFT_SERVER_RECOVERY, .system_id = SYSTEM});
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	world_run(w, MS(100));
	promoted_on(0, 2, 110, true);
	world_run(w, MS(100));
	assert_int_equal(disk(1)->claim, 0);
	assert_true(member_rebuild(&w->node[1].member, RAFT_CLONING, (RaftPosition){1, 90}));
	data_is(1, standby(1, 105));
	world_run(w, MS(100));
	assert_true(disk(1)->claim == 2 && disk(1)->n_timelines == 1);
	assert_true(disk(1)->timelines[0].id == 2 && !disk(1)->timelines[0].created);
}

/* An acknowledgement of a round before the claim does not count. */
static void
rule_12_only_what_was_stored_counts(void **state)
{
	(void) state;
	lead(3);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	for (int i = 1; i < 3; i++)
	{
		RaftMessage heartbeat = world_heartbeat(w, 0, i, disk(0)->term, raft(0)->heartbeat_round);
		RaftMessage answer = world_answer(w, &heartbeat, true);

		answer.told = candidate_with(0);
		world_inject(w, &answer);
	}
	assert_int_equal(raft_claimed(raft(0)), 0);
}

static void
rule_12_claim_is_above_the_votes_that_elected(void **state)
{
	(void) state;
	lead_promoted(3);
	/* Node 1 stores a claim of which node 2, the next leader, has heard nothing. */
	world_cut_both(w, 0, 2);
	assert_true(disk(2)->claim == 2);
	member_resign(&w->node[0].member);
	world_drop_all(w);
	world_crash(w, 0);
	{
		RaftMessage heartbeat = world_heartbeat(w, 0, 1, disk(1)->term, 1000);

		heartbeat.boot = disk(0)->boot;
		heartbeat.told = candidate_with(7);
		world_inject(w, &heartbeat);
	}
	world_drop_all(w);
	assert_int_equal(disk(1)->claim, 7);
	world_run(w, MS(300));
	world_set_timer(w, 2, 0);
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	if (world_leader(w) == 2)
		assert_int_equal(raft(2)->elected_claim, 7);
	assert_int_equal(member_claim(&w->node[world_leader(w)].member), RAFT_CLAIM_MADE);
	assert_int_equal(raft(world_leader(w))->claim, 8);
}

static void
rule_12_claim_is_above_all_that_is_known(void **state)
{
	RaftData data = standby(1, 100);

	(void) state;
	lead(3);
	data.newest_timeline = 9;
	data_is(0, data);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	assert_int_equal(raft(0)->claim, 10);
	data.newest_timeline = RAFT_MAX_TIMELINE;
	data_is(0, data);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_EXHAUSTED);
}

/* A history file that turns up at a primary deposes nobody, and is above the next claim. */
static void
rule_12_primary_goes_on_beside_a_higher_history(void **state)
{
	RaftData data = standby(2, 110);
	int		 next;

	(void) state;
	lead_promoted(3);
	data.server = RAFT_SERVER_PRIMARY;
	data.promoted = data.open = true;
	data.newest_timeline = 9;
	data_is(0, data);
	world_run(w, MS(200));
	assert_int_equal(world_leader(w), 0);
	assert_int_equal(disk(0)->claim, 2);
	assert_true(follows(&w->node[1].member, 2) && follows(&w->node[2].member, 2));

	/* Deposed, it votes with that before its host has looked again. */
	w->node[0].config.may_lead = false;
	member_reload(&w->node[0].member, &w->node[0].config.timeouts, false);
	world_drop_all(w);
	world_crash(w, 2);
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	next = world_leader(w);
	assert_int_equal(next, 1);
	assert_int_equal(raft(next)->elected_claim, 9);
	data.promoted = data.open = false;
	data_is(0, data);
	assert_int_equal(disk(0)->claim, 9);
}

static void
rule_12_claim_of_an_older_term_is_dropped(void **state)
{
	RaftMessage late;

	(void) state;
	lead_with_claim(3);
	late = world_heartbeat(w, 0, 1, disk(1)->term - 1, 1000);
	late.told = candidate_with(9);
	world_inject(w, &late);
	assert_int_equal(disk(1)->claim, 2);
}

/* ---- rule 13 ---- */

static void
rule_13_promotion_uses_the_claim_up(void **state)
{
	(void) state;
	lead_with_claim(3);
	assert_int_equal(member_promote(&w->node[0].member), 2);
	assert_int_equal(disk(0)->promoting, 2);
	assert_int_equal(raft_claimed(raft(0)), 0);
	assert_int_equal(member_promote(&w->node[0].member), 0);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_PROMOTING);
	member_promoted(&w->node[0].member);
	assert_int_equal(disk(0)->promoting, 0);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	assert_int_equal(raft(0)->claim, 3);
}

static void
rule_13_promotion_needs_the_lease(void **state)
{
	(void) state;
	lead_with_claim(3);
	world_advance(w, MS(199)); /* the lease is over, and the leader does not know yet */
	assert_false(world_has_lease(w, 0));
	assert_int_equal(world_leader(w), 0);
	assert_int_equal(member_promote(&w->node[0].member), 0);
}

static void
rule_13_promotion_under_way_outlives_the_process(void **state)
{
	(void) state;
	lead_with_claim(3);
	assert_int_equal(member_promote(&w->node[0].member), 2);
	world_restart(w, 0);
	assert_int_equal(raft(0)->saved.promoting, 2);
	assert_true(disk(0)->n_timelines > 0);
	assert_int_equal(disk(0)->timelines[disk(0)->n_timelines - 1].id, 2);
	assert_true(disk(0)->timelines[disk(0)->n_timelines - 1].created);
}

static void
rule_13_claim_of_a_lost_leadership_is_void(void **state)
{
	(void) state;
	lead_with_claim(3);
	member_resign(&w->node[0].member);
	assert_int_equal(raft_claimed(raft(0)), 0);
	assert_int_equal(member_promote(&w->node[0].member), 0);
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	assert_int_equal(raft_claimed(raft(world_leader(w))), 0);
}

/* ---- rule 15 ---- */

static void
rule_15_unknown_position_acknowledges_only(void **state)
{
	(void) state;
	lead_promoted(3);
	world_restart(w, 2);
	world_run(w, MS(500));
	assert_int_equal(world_leader(w), 0);
	assert_true(raft(0)->peers[2].acked_at + MS(200) > w->now);
	assert_false(raft(0)->peers[2].told.known || raft(0)->peers[2].may_lead);
	assert_false(votes_for(2, 1, 5, 900, 5));
	assert_int_equal(raft(2)->role, RAFT_FOLLOWER);
	data_is(2, standby(2, 110));
	assert_true(votes_for(2, 1, 5, 900, 5));
}

static void
rule_15_unknown_position_does_not_stand(void **state)
{
	(void) state;
	lead_promoted(3);
	world_restart(w, 2);
	world_isolate(w, 2);
	world_run(w, MS(3000));
	data_is(2, (RaftData){.server = RAFT_SERVER_RECOVERY, .system_id = SYSTEM});
	world_run(w, MS(3000));
	assert_int_equal(raft(2)->role, RAFT_FOLLOWER);
	data_is(2, standby(2, 110));
	world_run(w, MS(3000));
	assert_int_equal(raft(2)->role, RAFT_PRE_CANDIDATE);
}

static void
rule_15_no_vote_for_another_system(void **state)
{
	RaftTold told = candidate_with(2);

	(void) state;
	lead_promoted(3);
	told.system_id = SYSTEM + 1;
	assert_false(votes(1, 2, (RaftPosition){9, 900}, &told));
	told.system_id = SYSTEM;
	assert_true(votes(1, 2, (RaftPosition){9, 900}, &told));
}

static void
rule_15_data_of_another_system_are_gone(void **state)
{
	RaftData other = standby(1, 5000);

	(void) state;
	lead_promoted(3);
	other.system_id = SYSTEM + 1;
	data_is(2, other);
	assert_true(raft_is_gone(raft(2)));
	assert_false(votes_for(2, 1, 5, 9000, 5));
	assert_true(disk(2)->system_id == SYSTEM);
}

static void
rule_15_never_held_votes_while_nothing_is_claimed(void **state)
{
	(void) state;
	managed(3);
	for (int i = 0; i < 3; i++)
		data_is(i, (RaftData){0});
	world_deliver_all(w);
	world_greet_all(w);
	assert_false(votes_for(1, 0, 2, 100, 2));
	assert_true(votes_for(1, 0, 1, 100, 0));
	assert_int_equal(raft(1)->role, RAFT_FOLLOWER);
}

/*
 * Until its first rebuild, whatever is claimed meanwhile: it has confirmed nothing.  One that
 * comes when something is claimed, or has lost its state, is not known to be such a member.
 */
static void
rule_24_never_held_votes_as_long_as_it_is_known(void **state)
{
	RaftSaved before;

	(void) state;
	managed(3);
	data_is(0, standby(1, 100));
	data_is(1, (RaftData){0});
	data_is(2, (RaftData){0});
	assert_false(raft_never_held(raft(1)));
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_true(disk(1)->never_held && disk(2)->never_held && !disk(0)->never_held);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	world_run(w, MS(100));
	assert_true(disk(1)->claim == 2 && raft_never_held(raft(1)) && !raft_is_gone(raft(1)));
	data_is(1, standby(1, 100));
	assert_true(!raft_never_held(raft(1)) && raft_is_gone(raft(1)));
	data_is(1, (RaftData){0});

	assert_int_equal(member_promote(&w->node[0].member), 2);
	member_promoted(&w->node[0].member);
	promoted_on(0, 2, 110, true);
	world_run(w, MS(100));
	assert_int_equal(raft_to_forget(raft(0)), 0);
	before = *disk(1);
	assert_true(member_rebuild(&w->node[1].member, RAFT_CLONING, (RaftPosition){0, 0}));
	assert_true(!disk(1)->never_held && disk(1)->rebuild == RAFT_CLONING);
	assert_true(votes_for(1, 0, 1, 100, 2));
	assert_true(raft_never_held(raft(2)) && votes_for(2, 0, 1, 100, 2));
	world_crash(w, 2);
	world_wipe(w, 2);
	world_start(w, 2);
	world_run(w, MS(3000));
	assert_true(raft(2)->saved.abstaining == RAFT_VOTING && !raft_never_held(raft(2)) && raft_is_gone(raft(2)));
	assert_false(votes_for(2, 0, 1, 100, 2));

	/* An older copy, of before its clone. */
	world_crash(w, 1);
	world_restore(w, 1, &before);
	world_start(w, 1);
	world_run(w, MS(3000));
	assert_true(raft(1)->saved.abstaining == RAFT_VOTING && !raft_never_held(raft(1)) && raft_is_gone(raft(1)));
	assert_false(votes_for(1, 0, 1, 100, 2));
}

static void
rule_24_a_member_that_comes_late_may_have_held(void **state)
{
	(void) state;
	managed(3);
	world_crash(w, 2);
	data_is(0, standby(1, 100));
	data_is(1, standby(1, 100));
	world_elect(w, 0);
	world_run(w, MS(200));
	assert_true(world_admit(w, 0));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	world_run(w, MS(100));
	world_start(w, 2);
	data_is(2, (RaftData){0});
	world_run(w, MS(500));
	assert_true(disk(2)->claim == 2 && disk(2)->abstaining == RAFT_VOTING && !raft_never_held(raft(2)));
	assert_true(raft_is_gone(raft(2)));
}

/* Its floor is as old as the file: what it has held since then is not known. */
static void
rule_22_an_older_file_that_rebuilds_is_not_believed(void **state)
{
	RaftSaved before;

	(void) state;
	lead_promoted(3);
	assert_true(member_rebuild(&w->node[1].member, RAFT_CLONING, (RaftPosition){1, 50}));
	before = *disk(1);
	data_is(1, standby(2, 110));
	assert_true(member_rebuilt(&w->node[1].member));
	world_run(w, MS(100));
	world_crash(w, 1);
	world_restore(w, 1, &before);
	world_start(w, 1);
	data_is(1, (RaftData){.system_id = SYSTEM});
	world_run(w, MS(300));
	assert_int_equal(raft(1)->saved.abstaining, RAFT_ABSTAIN_OLD_COPY);
	world_isolate(w, 0);
	world_run(w, MS(3000));
	world_heal(w);
	world_run(w, MS(3000));
	assert_true(raft(1)->saved.abstaining == RAFT_VOTING && disk(1)->rebuild == RAFT_CLONING && raft_is_gone(raft(1)));
	assert_false(votes_for(1, 2, 1, 60, 2));
	assert_false(votes_for(1, 2, 2, 9000, 2));
	assert_false(member_rebuilt(&w->node[1].member));
	assert_false(member_trust_data(&w->node[1].member));
}

static void
rule_22_a_floor_that_is_not_believed_gives_way(void **state)
{
	(void) state;
	lead_promoted(3);
	assert_true(member_rebuild(&w->node[2].member, RAFT_CLONING, (RaftPosition){1, 50}));
	raft(2)->saved.distrusted = w->node[2].disk.distrusted = true;
	world_run(w, MS(200));
	assert_true(raft_is_gone(raft(2)) && raft_forgot(raft(0), 2));
	world_run(w, MS(200));
	assert_true(!raft_is_gone(raft(2)) && disk(2)->rebuild == RAFT_CLONING && disk(2)->floor.index == 110);
}

static void
rule_15_foreign_wal_does_not_stand(void **state)
{
	RaftData data = standby(2, 110);

	(void) state;
	lead_promoted(3);
	data.foreign = true;
	data_is(2, data);
	world_isolate(w, 2);
	world_run(w, MS(3000));
	assert_int_equal(raft(2)->role, RAFT_FOLLOWER);
	world_heal(w);
	world_run(w, MS(1000));
	assert_true(votes_for(2, 1, 2, 110, 2));
	assert_false(votes_for(2, 1, 2, 109, 2));
}

/* ---- rule 16 ---- */

static void
rule_16_bounds_are_this_leaderships(void **state)
{
	(void) state;
	lead(3);
	for (int i = 0; i < 3; i++)
		assert_true(raft_peer_bound(raft(0), i) > w->now);
	assert_true(raft_peer_bound(raft(0), 1) < w->now + MS(200));
	assert_true(raft_peer_bound(raft(1), 0) == 0);
	assert_true(raft_peer_bound(raft(0), 40) == 0);
	member_resign(&w->node[0].member);
	assert_true(raft_peer_bound(raft(0), 1) == 0);
}

/* ---- rules 20 and 21 ---- */

static void
rule_20_follows_only_what_the_leader_claimed(void **state)
{
	(void) state;
	lead_with_claim(3);
	assert_false(follows(&w->node[1].member, 2)); /* not promoted yet */
	assert_int_equal(member_promote(&w->node[0].member), 2);
	member_promoted(&w->node[0].member);
	promoted_on(0, 2, 100, false);
	world_run(w, MS(100));
	assert_false(follows(&w->node[1].member, 3));
	assert_true(follows(&w->node[1].member, 2));
	assert_int_equal(disk(1)->timelines[disk(1)->n_timelines - 1].id, 2);
	assert_false(disk(1)->timelines[disk(1)->n_timelines - 1].created);
	assert_false(follows(&w->node[0].member, 2));

	/* What comes before it is its own as well: it may be stopped there. */
	assert_true(member_follow(&w->node[1].member, (uint32_t[]){7, 2}, 2));
	assert_int_equal(disk(1)->timelines[disk(1)->n_timelines - 1].id, 7);
	assert_false(member_follow(&w->node[1].member, (uint32_t[]){2, 7}, 2));
	assert_false(member_follow(&w->node[1].member, NULL, 0));
}

/* Whoever votes has told the leader before nothing that its vote does not stand for. */
static void
rule_20_tells_nobody_after_its_vote(void **state)
{
	uint64_t term;

	(void) state;
	lead(3);
	assert_true(raft_may_acknowledge(raft(1), 0)); /* nothing was ever claimed */
	lead_promoted(3);
	term = raft(1)->saved.term;
	assert_true(raft_may_acknowledge(raft(1), term));
	assert_false(raft_may_acknowledge(raft(1), term - 1));
	assert_false(raft_may_acknowledge(raft(1), 0));
	world_crash(w, 0);
	assert_true(world_run_until(w, world_is_stable, MS(5000)) && world_leader(w) != 0);
	assert_false(raft_may_acknowledge(raft(3 - world_leader(w)), term));
	assert_false(raft_may_acknowledge(raft(world_leader(w)), term));
}

static void
rule_20_only_a_leader_serves(void **state)
{
	(void) state;
	lead(3);
	assert_true(raft_may_serve(raft(0), 1) && raft_may_serve(raft(2), 1)); /* nothing was ever claimed */
	assert_true(raft_may_go_on_serving(raft(2), 1));
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	assert_false(raft_may_serve(raft(0), 1));
	assert_false(raft_may_go_on_serving(raft(0), 1)); /* it does not know of the first one yet */
	world_run(w, MS(100));
	assert_true(raft_may_go_on_serving(raft(0), 1));
	assert_true(raft_may_serve(raft(0), 1) && raft_may_serve(raft(0), 2));
	assert_false(raft_may_serve(raft(0), RAFT_MAX_NODES - 1));
	assert_false(raft_may_serve(raft(2), 1));
	member_resign(&w->node[0].member);
	assert_false(raft_may_go_on_serving(raft(0), 1));
	assert_false(raft_may_serve(raft(0), 1));
}

/* However long the way to the leader's timeline is: said again, it changes nothing. */
static void
rule_20_a_long_path_settles(void **state)
{
	uint32_t path[40];

	(void) state;
	lead_promoted(3);
	data_is(1, standby(1, 50));
	for (uint32_t i = 0; i < 39; i++)
		path[i] = 100 + i;
	path[39] = 2;
	assert_true(member_follow(&w->node[1].member, path, 40));
	world_forget(w);
	assert_true(member_follow(&w->node[1].member, path, 40));
	assert_int_equal(w->node[1].n_saves, 0);
}

static void
rule_21_votes_with_the_floor_while_rebuilding(void **state)
{
	(void) state;
	lead_promoted(3);
	assert_true(member_rebuild(&w->node[2].member, RAFT_REWINDING, (RaftPosition){2, 105}));
	assert_int_equal(disk(2)->rebuild, RAFT_REWINDING);
	assert_int_equal(disk(2)->rebuild_source, 0);
	world_restart(w, 2);
	data_is(2, (RaftData){0});
	assert_int_equal(disk(2)->rebuild, RAFT_REWINDING);
	world_run(w, MS(500));
	assert_false(raft(0)->peers[2].may_lead);
	assert_false(votes_for(2, 1, 2, 104, 2));
	assert_true(votes_for(2, 1, 2, 105, 2));

	/* A second attempt keeps the floor; it is over when the copy has reached it. */
	world_run(w, MS(2000));
	if (world_leader(w) == 0)
		assert_true(member_rebuild(&w->node[2].member, RAFT_CLONING, (RaftPosition){2, 3}));
	data_is(2, standby(2, 104));
	assert_false(member_rebuilt(&w->node[2].member));
	data_is(2, standby(2, 105));
	assert_true(member_rebuilt(&w->node[2].member));
	assert_int_equal(disk(2)->rebuild, RAFT_INTACT);
	assert_false(member_rebuilt(&w->node[2].member));
}

/* Nor does it begin by itself, with a floor of its own. */
static void
rule_21_gone_data_are_not_rebuilt_before_that(void **state)
{
	(void) state;
	lead_promoted(3);
	data_is(2, (RaftData){0});
	assert_true(raft_is_gone(raft(2)));
	assert_false(member_rebuild(&w->node[2].member, RAFT_CLONING, (RaftPosition){1, 1}));
	assert_int_equal(disk(2)->rebuild, RAFT_INTACT);
}

static void
rule_21_does_not_stand_while_rebuilding(void **state)
{
	(void) state;
	lead_promoted(3);
	assert_true(member_rebuild(&w->node[2].member, RAFT_REWINDING, (RaftPosition){2, 105}));
	data_is(2, standby(2, 110));
	world_isolate(w, 2);
	world_run(w, MS(3000));
	assert_int_equal(raft(2)->role, RAFT_FOLLOWER);
}

static void
rule_21_a_second_attempt_keeps_the_floor(void **state)
{
	(void) state;
	lead_promoted(3);
	assert_true(member_rebuild(&w->node[2].member, RAFT_REWINDING, (RaftPosition){2, 105}));
	assert_true(member_rebuild(&w->node[2].member, RAFT_CLONING, (RaftPosition){2, 3}));
	assert_int_equal(disk(2)->rebuild, RAFT_CLONING);
	assert_true(disk(2)->floor.epoch == 2 && disk(2)->floor.index == 105);
}

/* What comes in meanwhile is not what it votes with. */
static void
rule_21_confirms_nothing_while_rebuilding(void **state)
{
	(void) state;
	lead_promoted(3);
	assert_true(member_rebuild(&w->node[2].member, RAFT_REWINDING, (RaftPosition){2, 105}));
	data_is(2, standby(2, 105));
	assert_false(raft_may_acknowledge(raft(2), raft(2)->saved.term));
	assert_true(member_rebuilt(&w->node[2].member));
	assert_true(raft_may_acknowledge(raft(2), raft(2)->saved.term));
}

static void
rule_21_rebuilds_only_from_a_promoted_leader_of_its_term(void **state)
{
	(void) state;
	lead_with_claim(3);
	assert_false(member_rebuild(&w->node[2].member, RAFT_CLONING, (RaftPosition){1, 50}));
	assert_false(member_rebuild(&w->node[0].member, RAFT_CLONING, (RaftPosition){1, 50}));
	assert_int_equal(disk(2)->rebuild, RAFT_INTACT);
}

static void
rule_21_gone_data_need_a_floor_of_the_leader(void **state)
{
	(void) state;
	lead_promoted(3);
	world_restart(w, 2);
	world_greet_all(w);
	data_is(2, (RaftData){0});
	assert_true(raft_is_gone(raft(2)));
	assert_false(votes_for(2, 1, 5, 900, 5));
	assert_false(member_rebuild(&w->node[2].member, RAFT_CLONING, (RaftPosition){1, 1}));
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	world_run(w, MS(500));

	/* Only when the leader has forgotten what it confirmed. */
	assert_int_equal(disk(2)->rebuild, RAFT_INTACT);
	assert_false(raft_forgot(raft(0), 1));
	if (world_leader(w) != 0)
		return;
	assert_true(raft_forgot(raft(0), 2));
	promoted_on(0, 2, 150, true);
	world_run(w, MS(200));
	assert_int_equal(disk(2)->rebuild, RAFT_CLONING);
	assert_true(disk(2)->floor.epoch == 2 && disk(2)->floor.index == 150);
	assert_false(votes_for(2, 1, 2, 149, 2));
	assert_true(votes_for(2, 1, 2, 150, 2));
}

/* Whose walsenders a leader has to end: its own position is a floor once it is promoted. */
static void
rule_21_whom_a_leader_has_to_forget(void **state)
{
	(void) state;
	lead_promoted(3);
	assert_int_equal(raft_to_forget(raft(0)), 0);
	data_is(2, (RaftData){0});
	world_run(w, MS(200));
	assert_int_equal(world_leader(w), 0);
	assert_int_equal(raft_to_forget(raft(0)), 1 << 2);
	assert_int_equal(raft_to_forget(raft(1)), 0);
	data_is(0, standby(2, 110));
	assert_int_equal(raft_to_forget(raft(0)), 0);
	promoted_on(0, 2, 110, true);
	assert_true(raft_forgot(raft(0), 2));
	assert_int_equal(raft_to_forget(raft(0)), 0);
}

static void
holds(int peer, uint64_t lsn, bool may_lead)
{
	raft(0)->peers[peer].position = (RaftPosition){1, lsn};
	raft(0)->peers[peer].may_lead = may_lead;
}

/* Of several, to one that can lead. */
static void
rule_12_first_claim_is_left_to_who_holds_most(void **state)
{
	uint64_t now;

	(void) state;
	lead(5);
	now = raft(0)->peers[1].acked_at;
	assert_int_equal(raft_newest_peer(raft(0), now), RAFT_NONE);
	holds(1, 99, true);
	holds(3, 101, true);
	assert_int_equal(raft_newest_peer(raft(0), now), 3);
	holds(1, 102, false);
	assert_int_equal(raft_newest_peer(raft(0), now), 1);
	holds(4, 102, true);
	assert_int_equal(raft_newest_peer(raft(0), now), 4);
	holds(1, 102, true);
	assert_int_equal(raft_newest_peer(raft(0), now), 1);
	raft(0)->peers[1].bound = raft(0)->peers[4].bound = true;
	assert_int_equal(raft_newest_peer(raft(0), now), 1);
	assert_int_equal(world_transfer(w, 0, 1), RAFT_TRANSFER_BOUND);
	assert_int_equal(world_leader(w), 0);
}

/* Rules 18 and 25: a leader resigns only to somebody. */
static void
who_could_lead_instead(void **state)
{
	uint64_t now;

	(void) state;
	lead_promoted(3);
	world_isolate(w, 2);
	now = raft(0)->peers[1].acked_at;
	raft(0)->peers[2].acked_at = 0;
	for (int id = -1; id <= RAFT_MAX_NODES; id++)
		assert_int_equal(raft_could_lead(raft(0), now, id, 110), id == 1);
	assert_true(raft_other_could_lead(raft(0), now, 0));
	assert_true(raft_other_could_lead(raft(0), now, 110));
	assert_false(raft_other_could_lead(raft(0), now, 111));
	assert_true(raft_other_could_lead(raft(0), now + 2 * raft(0)->config.timeouts.max_timeout, 110));
	assert_false(raft_other_could_lead(raft(0), now + 2 * raft(0)->config.timeouts.max_timeout + 1, 110));
	raft(0)->peers[1].told.known = false;
	assert_false(raft_other_could_lead(raft(0), now, 0));
	raft(0)->peers[1].told.known = true;
	raft(0)->peers[1].may_lead = false;
	assert_false(raft_other_could_lead(raft(0), now, 0));
	raft(0)->peers[1].may_lead = true;
	assert_true(raft_other_could_lead(raft(0), now, 0));
	raft(0)->peers[1].position = (RaftPosition){0, 0}; /* it has never held data */
	assert_false(raft_other_could_lead(raft(0), now, 0));
}

/* A leader that cannot serve: whoever takes its place needs its vote, or it does not. */
static void
who_can_be_elected_instead(void **state)
{
	uint64_t now;
	Raft	*r;

	(void) state;
	lead_promoted(3);
	r = raft(0);
	now = r->peers[1].acked_at > r->peers[2].acked_at ? r->peers[1].acked_at : r->peers[2].acked_at;
	r->position.index = 1000; /* both lack something */
	assert_true(raft_is_replaceable(r, now));
	r->peers[2].acked_at = 0;
	assert_false(raft_is_replaceable(r, now));
	r->position = r->peers[1].position;
	assert_true(raft_is_replaceable(r, now));
	assert_false(raft_is_replaceable(r, now + 2 * r->config.timeouts.max_timeout + 1));
	r->peers[1].may_lead = false;
	assert_false(raft_is_replaceable(r, now));
	r->peers[2].acked_at = now; /* who is there, and may not either */
	r->peers[2].may_lead = false;
	assert_false(raft_is_replaceable(r, now));
	r->peers[2].may_lead = true;
	assert_true(raft_is_replaceable(r, now));
}

/*
 * It holds until that member has said that it goes on from there.  Before, it is not served: else
 * data that are lost once more, with nothing heard in between, would have had more than that.
 */
static void
rule_21_a_floor_is_for_one_loss(void **state)
{
	(void) state;
	lead_promoted(3);
	data_is(2, (RaftData){0});
	world_run(w, MS(200));
	assert_int_equal(world_leader(w), 0);
	assert_true(raft_may_serve(raft(0), 2));
	assert_true(raft_forgot(raft(0), 2));
	assert_true(raft(0)->peers[2].forgotten);
	assert_false(raft_may_serve(raft(0), 2));
	world_run(w, MS(200));
	assert_int_equal(disk(2)->rebuild, RAFT_CLONING);
	assert_false(raft(0)->peers[2].forgotten); /* it has said so */
	assert_true(raft_may_serve(raft(0), 2));
	assert_false(raft_forgot(raft(0), 2));
}

/* ---- rule 22 ---- */

/* A cluster that begins without state files: what a member was told of its data counts once it votes. */
static void
rule_12_data_are_its_own_once_it_votes(void **state)
{
	(void) state;
	world_prepare(w, 3);
	w->delay = 200;
	for (int i = 0; i < 3; i++)
	{
		w->node[i].config.managed = true;
		world_start(w, i);
		data_is(i, i == 0 ? standby(1, 100) : (RaftData){0});
	}
	assert_int_equal(raft(0)->saved.abstaining, RAFT_ABSTAIN_NEW);
	assert_int_equal(raft(0)->saved.system_id, 0);
	world_run(w, MS(3000));
	assert_int_equal(world_leader(w), 0);
	assert_int_equal(disk(0)->system_id, SYSTEM);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	assert_false(raft_is_gone(raft(0)));
}

/* It would be distrusted once it votes again, and be made once more. */
static void
rule_21_no_copy_is_begun_while_it_abstains(void **state)
{
	(void) state;
	lead_promoted(3);
	world_crash(w, 2);
	world_wipe(w, 2);
	world_crash(w, 1); /* it waits for everybody's answer */
	world_start(w, 2);
	data_is(2, (RaftData){0});
	world_run(w, MS(100));
	assert_true(raft_forgot(raft(0), 2));
	world_run(w, MS(100));
	assert_int_equal(disk(2)->rebuild, RAFT_INTACT);
	world_start(w, 1);
	data_is(1, standby(2, 110));
	world_run(w, MS(3000));
	assert_int_equal(disk(2)->abstaining, RAFT_VOTING);
	assert_true(raft_forgot(raft(0), 2) || raft(0)->peers[2].forgotten || disk(2)->rebuild == RAFT_CLONING);
	world_run(w, MS(200));
	assert_int_equal(disk(2)->rebuild, RAFT_CLONING);
}

/* What is rebuilt while it abstains is not distrusted when it stops abstaining. */
static void
rule_22_no_rebuild_ends_while_it_abstains(void **state)
{
	(void) state;
	lead_promoted(3);
	assert_true(member_rebuild(&w->node[2].member, RAFT_CLONING, (RaftPosition){2, 105}));
	data_is(2, standby(2, 110));
	raft(2)->saved.abstaining = w->node[2].disk.abstaining = RAFT_ABSTAIN_NEW;
	assert_false(member_rebuilt(&w->node[2].member));
	assert_int_equal(disk(2)->rebuild, RAFT_CLONING);
	raft(2)->saved.abstaining = w->node[2].disk.abstaining = RAFT_VOTING;
	assert_true(member_rebuilt(&w->node[2].member));
	assert_int_equal(disk(2)->rebuild, RAFT_INTACT);
}

static void
rule_22_below_its_floor_it_does_not_vote(void **state)
{
	(void) state;
	lead_promoted(3);
	assert_true(disk(2)->floor.epoch != 0);
	member_remember_held(&w->node[2].member, (RaftPosition){2, 110});
	world_restart(w, 2);
	world_greet_all(w);
	data_is(2, standby(2, 90));
	assert_true(raft_is_behind(raft(2)));
	assert_false(votes_for(2, 1, 2, 500, 2));
}

/* It died in the middle of a record, of which it finds the beginning and has told more. */
static void
rule_22_a_part_of_a_record_is_not_missing(void **state)
{
	RaftData data = standby(2, 105);

	(void) state;
	lead_promoted(3);
	member_remember_held(&w->node[2].member, (RaftPosition){2, 110});
	world_restart(w, 2);
	world_greet_all(w);
	data.begun = (RaftPosition){2, 110}; /* it was whole */
	data_is(2, data);
	assert_true(raft_is_behind(raft(2)));
	data.begun = (RaftPosition){3, 111}; /* of another timeline */
	data_is(2, data);
	assert_true(raft_is_behind(raft(2)));
	data.begun = (RaftPosition){2, 111};
	data_is(2, data);
	assert_false(raft_is_behind(raft(2)));
	assert_true(votes_for(2, 1, 2, 105, 2));
}

static void
rule_22_peers_remember_what_it_held(void **state)
{
	RaftSaved old;

	(void) state;
	lead_promoted(3);
	old = w->node[2].disk;
	old.floor = (RaftPosition){1, 1};
	world_crash(w, 2);
	w->node[2].disk.floor = old.floor;
	world_start(w, 2);
	data_is(2, standby(2, 109));
	assert_false(raft_is_behind(raft(2)));
	world_run(w, MS(500));
	assert_true(raft_is_behind(raft(2)) || disk(2)->floor.index == 109);
	assert_true(disk(2)->floor.epoch == 2);
}

static void
rule_22_votes_again_when_it_has_caught_up(void **state)
{
	(void) state;
	lead_promoted(3);
	member_remember_held(&w->node[2].member, (RaftPosition){2, 200});
	world_restart(w, 2);
	data_is(2, standby(2, 90));
	world_run(w, MS(500));
	assert_true(raft_is_behind(raft(2)));
	data_is(2, standby(2, 109)); /* the leader had 110 */
	assert_true(raft_is_behind(raft(2)));
	data_is(2, standby(2, 110));
	assert_false(raft_is_behind(raft(2)));
	assert_true(disk(2)->floor.index == 110);
}

/* A leader that does not know where its WAL ends names neither a floor nor an end. */
static void
rule_22_an_unknown_position_is_no_measure(void **state)
{
	RaftData unknown = {.server = RAFT_SERVER_PRIMARY, .system_id = SYSTEM, .promoted = true};

	(void) state;
	lead_promoted(3);
	world_drop_all(w);
	data_is(0, unknown);
	member_remember_held(&w->node[2].member, (RaftPosition){2, 200});
	data_is(2, standby(2, 90));
	data_is(1, (RaftData){0});
	world_run(w, MS(200));
	assert_true(raft_forgot(raft(0), 1));
	world_run(w, MS(200));
	data_is(2, standby(2, 91));
	assert_true(raft_is_behind(raft(2)));
	assert_int_equal(disk(1)->rebuild, RAFT_INTACT);

	promoted_on(0, 2, 130, true);
	world_run(w, MS(200));
	data_is(2, standby(2, 129));
	assert_true(raft_is_behind(raft(2)));
	assert_true(disk(1)->rebuild == RAFT_CLONING && disk(1)->floor.index == 130);
}

/* An older copy of the directory, put there while the member runs. */
static void
rule_22_position_does_not_fall_by_itself(void **state)
{
	(void) state;
	lead_promoted(3);
	data_is(2, standby(2, 300));
	data_is(2, (RaftData){0});
	data_is(2, standby(2, 299));
	assert_true(raft_is_behind(raft(2)));
	assert_true(disk(2)->floor.index == 300);
	data_is(2, standby(2, 300));
	assert_false(raft_is_behind(raft(2)));
}

/* A leader sends no acknowledgements, so its followers remember its heartbeats. */
static void
rule_22_followers_remember_what_the_leader_held(void **state)
{
	(void) state;
	lead_promoted(3);
	promoted_on(0, 2, 400, true);
	world_run(w, MS(200));
	world_crash(w, 0);
	w->node[0].disk.floor = (RaftPosition){1, 1};
	world_start(w, 0);
	world_greet_all(w);
	data_is(0, standby(2, 399));
	assert_true(raft_is_behind(raft(0)));
}

/* What was lost stays the floor of a rebuild: it confirmed it, and its source may die. */
static void
rule_22_what_was_lost_stays_the_floor(void **state)
{
	(void) state;
	lead_promoted(3);
	member_remember_held(&w->node[2].member, (RaftPosition){2, 110});
	data_is(2, standby(2, 90));
	assert_true(member_rebuild(&w->node[2].member, RAFT_CLONING, (RaftPosition){2, 90}));
	assert_false(votes_for(2, 1, 2, 109, 2));
	assert_true(votes_for(2, 1, 2, 110, 2));
}

static void
rule_22_lost_state_file_distrusts_the_data(void **state)
{
	(void) state;
	lead_promoted(3);
	world_crash(w, 2);
	world_wipe(w, 2);
	world_start(w, 2);
	data_is(2, standby(2, 110));
	world_run(w, MS(5000));
	assert_int_equal(disk(2)->abstaining, RAFT_VOTING);
	assert_int_equal(disk(2)->claim, 2);
	assert_true(disk(2)->distrusted && raft_is_gone(raft(2)));
	assert_false(votes_for(2, 1, 2, 500, 2));
	assert_true(member_trust_data(&w->node[2].member));
	assert_true(votes_for(2, 1, 2, 500, 2));
}

/* ---- rule 24 ---- */

static uint64_t
first_of(int n)
{
	return (UINT64_C(1) << n) - 1;
}

/* The first n nodes are the list in the settings of that one. */
static void
list_is(int node, int n)
{
	RaftConfig *config = &w->node[node].config;

	config->members = config->wanted = first_of(n);
	config->list_digest = WORLD_LIST + (uint64_t) n;
	config->list_size = (uint32_t) n;
	if (!w->node[node].running)
		return;
	config->members |= raft_voters(raft(node));
	assert_true(member_set_list(&w->node[node].member, config));
}

/* The first n nodes have begun; "later" more are there and have never run. */
static void
lead_and_later(int n, int later)
{
	more = later;
	lead_promoted(n);
	more = 0;
	w->n = n + later;
	for (int i = 0; i < n; i++)
		list_is(i, n);
}

static void
holds_list(int node)
{
	RaftData data = raft(node)->data;

	data.list_held = raft(node)->saved.list.number;
	data.list_held_term = raft(node)->saved.list.term;
	data_is(node, data);
}

static void
comes(int node, uint32_t timeline, uint64_t lsn)
{
	w->node[node].config.managed = true;
	world_new_store(w, node);
	world_start(w, node);
	data_is(node, standby(timeline, lsn));
	world_run(w, MS(300));
	(void) follows(&w->node[node].member, timeline);
}

static void
expect_list(uint32_t number, uint64_t now, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!w->node[i].running)
			continue;
		assert_int_equal(disk(i)->list.number, number);
		assert_true(disk(i)->list.now == now);
	}
}

static void
rule_24_first_claim_begins_the_list(void **state)
{
	(void) state;
	lead(3);
	expect_list(0, 0, 3);
	assert_true(raft_voters(raft(0)) == 7);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
	world_run(w, MS(100));
	expect_list(2, 7, 3);
}

static void
rule_24_list_grows_when_all_is_ready(void **state)
{
	(void) state;
	lead_and_later(3, 1);
	list_is(3, 4);
	for (int i = 0; i < 3; i++)
	{
		list_is(i, 4);
		world_run(w, MS(300));
		expect_list(2, 7, 3);
	}
	comes(3, 2, 110);
	world_run(w, MS(300));
	expect_list(3, 15, 4);
	assert_true(disk(3)->list.old == 7 && raft_members_old(raft(3)) == 7);

	/* Not before all WAL is held by enough of both. */
	world_run(w, MS(1000));
	expect_list(3, 15, 4);
	holds_list(0);
	world_run(w, MS(300));
	expect_list(4, 15, 4);
	assert_true(raft_members_old(raft(3)) == 0);
	assert_int_equal(world_leader(w), 0);
	assert_int_equal(disk(0)->term, disk(3)->term);
}

/* Whoever lives and stays has to have the same settings; and who comes, to hold the WAL. */
static void
rule_24_list_waits_for_the_living(void **state)
{
	(void) state;
	lead_and_later(3, 1);
	list_is(3, 4);
	list_is(0, 4);
	list_is(1, 4);
	comes(3, 2, 110);
	world_run(w, MS(300));
	expect_list(2, 7, 4);
	world_crash(w, 2);
	world_run(w, MS(500));
	expect_list(2, 7, 2);
	world_run(w, MS(1000)); /* it is not heard any more */
	expect_list(3, 15, 2);
}

static void
rule_24_list_waits_for_the_data_of_who_comes(void **state)
{
	(void) state;
	for (int ready = 0; ready < 2; ready++)
	{
		lead_and_later(3, 1);
		for (int i = 0; i < 4; i++)
			list_is(i, 4);
		promoted_on(0, 2, 2 * RAFT_LIST_LAG, true);
		comes(3, 2, RAFT_LIST_LAG - 1 + (uint64_t) ready);
		world_run(w, MS(300));
		expect_list(ready ? 3 : 2, ready ? 15 : 7, 3);
	}
	lead_and_later(3, 1);
	for (int i = 0; i < 4; i++)
		list_is(i, 4);
	comes(3, 1, 110); /* another timeline */
	world_run(w, MS(300));
	expect_list(2, 7, 3);
}

/* Only an open leader changes it, and one that stays. */
static void
rule_24_only_an_open_leader_changes_the_list(void **state)
{
	(void) state;
	for (int open = 0; open < 2; open++)
	{
		lead_and_later(3, 1);
		promoted_on(0, 2, 110, open != 0);
		for (int i = 0; i < 4; i++)
			list_is(i, 4);
		comes(3, 2, 110);
		world_run(w, MS(300));
		expect_list(open ? 3 : 2, open ? 15 : 7, 3);
	}
}

/* Whoever was elected later has to know of the list before the next one, and of the claim: a majority has it. */
static void
rule_24_no_step_before_the_last_is_stored(void **state)
{
	(void) state;
	lead_and_later(3, 1);
	list_is(0, 4);
	list_is(1, 4);
	list_is(3, 4);
	comes(3, 2, 110);
	world_run(w, MS(300));
	for (int step = 2; step <= 3; step++)
	{
		expect_list((uint32_t) step, step == 2 ? 7 : 15, 3);
		holds_list(0);
		raft(0)->peers[2].list_digest = raft(0)->config.list_digest;
		for (int i = 1; i < 4; i++)
			raft(0)->peers[i].acked_list = i < 3 ? 0 : (uint32_t) step;
		world_tick_at_deadline(w, 0);
		assert_int_equal(disk(0)->list.number, step);
		for (int i = 1; i < 4; i++)
			raft(0)->peers[i].acked_list = (uint32_t) step;
		raft(0)->peers[1].acked_claim = raft(0)->peers[2].acked_claim = 0;
		world_tick_at_deadline(w, 0);
		assert_int_equal(disk(0)->list.number, step);
		list_is(2, 4);
		world_run(w, MS(200));
	}
	expect_list(4, 15, 4);
}

/* Datagrams to a member are numbered from one on once in a start, or it takes them for recordings. */
static void
rule_24_numbers_go_on_when_a_member_comes_back(void **state)
{
	uint64_t sent;

	(void) state;
	lead_and_later(3, 1);
	list_is(0, 4);
	world_run(w, MS(300));
	sent = raft(0)->peers[3].sent;
	assert_true(sent > 0);
	list_is(0, 3);
	world_run(w, MS(300));
	assert_true(raft(0)->peers[3].sent == sent);
	list_is(0, 4);
	world_run(w, MS(300));
	assert_true(raft(0)->peers[3].sent > sent);
}

/* What it did under an earlier leadership is not what it does now. */
static void
rule_24_who_comes_back_begins_anew(void **state)
{
	RaftPeer *peer;

	(void) state;
	lead_and_later(3, 1);
	list_is(0, 4);
	peer = &raft(0)->peers[3];
	peer->ballot = RAFT_BALLOT_GRANTED;
	peer->acked_round = 1000000;
	peer->bound_until = UINT64_MAX;
	peer->acked_claim = 9;
	list_is(0, 3);
	list_is(0, 4);
	assert_int_equal(peer->ballot, RAFT_BALLOT_OPEN);
	assert_true(peer->acked_round == 0 && peer->bound_until == 0 && peer->acked_claim == 0);
	assert_int_equal(raft_peer_bound(raft(0), 3), 0);
}

/* A member is replaced by another id: the dead one goes first, for it may be what the new one waits for. */
static void
rule_24_the_dead_go_first(void **state)
{
	(void) state;
	lead_and_later(3, 1);
	world_crash(w, 2);
	for (int i = 0; i < 2; i++)
	{
		RaftConfig *config = &w->node[i].config;

		config->members = 15;
		config->wanted = 11;
		config->list_digest = WORLD_LIST + 11;
		config->list_size = 3;
		assert_true(member_set_list(&w->node[i].member, config));
	}
	world_run(w, MS(2000)); /* until it is not heard any more */
	expect_list(3, 3, 2);
	holds_list(0);
	world_run(w, MS(300));
	expect_list(4, 3, 2);
}

static void
rule_24_list_shrinks(void **state)
{
	(void) state;
	lead_and_later(4, 0);
	world_crash(w, 3);
	for (int i = 0; i < 3; i++)
		list_is(i, 3);
	world_run(w, MS(300));
	expect_list(3, 7, 3);
	assert_true(disk(0)->list.old == 15);
	holds_list(0);
	world_run(w, MS(300));
	expect_list(4, 7, 3);

	/* Who missed it is told, and does not count. */
	world_start(w, 3);
	data_is(3, standby(2, 500));
	world_run(w, MS(3000));
	assert_int_equal(world_leader(w), 0);
	assert_int_equal(disk(3)->list.number, 4);
	assert_false(raft_is_voter(raft(3), 3));
}

/* A majority is one of both lists; so is a lease. */
static void
rule_24_both_lists_count(void **state)
{
	Raft *r = raft(0);

	(void) state;
	lead_promoted(5);
	r->saved.list = (RaftList){.number = 3, .term = 1, .now = 0x1f, .old = 0x7, .digest = r->saved.list.digest};
	assert_false(raft_is_quorum(r, 0x19)); /* three of five, one of three */
	assert_true(raft_is_quorum(r, 0x0b));
	assert_false(raft_is_quorum(r, 0x03)); /* two of three, and of five */
	for (int i = 1; i < 5; i++)
	{
		r->peers[i].told.list = r->saved.list;
		r->peers[i].bound_until = i < 3 ? 1000 : 2000;
	}
	r->own_bound_until = 2000;
	assert_true(raft_lease_until(r) == 1000);
	r->peers[1].bound_until = 2000;
	assert_true(raft_lease_until(r) == 2000);
	r->saved.list = (RaftList){.number = 4, .term = 1, .now = 0x1f, .old = 0x7, .digest = r->saved.list.digest};
	r->peers[1].bound_until = 1000;
	for (int i = 1; i < 5; i++)
		r->peers[i].told.list = r->saved.list;
	assert_true(raft_lease_until(r) == 2000);
}

/* Lower numbers get no vote; a higher one is taken over, and then the vote is given. */
static void
rule_24_older_list_gets_no_vote(void **state)
{
	RaftTold told;

	(void) state;
	lead_promoted(3);
	told = candidate_with(2);
	told.list = disk(1)->list;
	raft(1)->saved.list.number = w->node[1].disk.list.number = 4;
	told.list.number = 2;
	assert_false(votes(1, 2, (RaftPosition){2, 500}, &told));
	told.list.number = 4;
	assert_true(votes(1, 2, (RaftPosition){2, 500}, &told));
	told.list.number = 6;
	assert_true(votes(1, 2, (RaftPosition){2, 500}, &told));
	assert_int_equal(disk(1)->list.number, 6);
	told.list.number = 8;
	told.list.now = 5; /* without this member */
	told.list.digest = raft_list_digest(&raft(1)->config, 5);
	assert_false(votes(1, 2, (RaftPosition){2, 500}, &told));
	assert_int_equal(disk(1)->list.number, 8);
}

/* Of one leader they can only differ in addresses: neither elects the other. */
static void
rule_24_other_list_of_the_same_number_gets_no_vote(void **state)
{
	RaftMessage request;

	(void) state;
	lead_promoted(3);
	request = world_vote_request(w, 2, 1, disk(1)->term + 1);
	request.position = (RaftPosition){2, 500};
	request.told = candidate_with(2);
	request.told.list = disk(1)->list;
	request.told.list.digest ^= 1;
	world_advance(w, MS(1000));
	world_drop_all(w);
	world_forget(w);
	world_inject(w, &request);
	assert_null(world_sent(w, 1, RAFT_VOTE_ANSWER, 2));
	assert_int_equal(world_dropped(w, 1, RAFT_DROP_OTHER_LIST), 1);
}

/* Two leaders that knew nothing of each other have begun lists of one number: the later one is taken over. */
static void
rule_24_list_of_a_later_term_is_taken_over(void **state)
{
	RaftTold told;

	(void) state;
	lead_promoted(3);
	told = candidate_with(2);
	told.list = disk(1)->list;
	raft(1)->saved.list.term = w->node[1].disk.list.term = told.list.term = 3;
	told.list.term = 2;
	told.list.now = 3;
	assert_false(votes(1, 2, (RaftPosition){2, 500}, &told));
	assert_true(disk(1)->list.term == 3 && disk(1)->list.now == 7);
	told.list.now = 7; /* nor the same one, of an earlier leader */
	assert_false(votes(1, 2, (RaftPosition){2, 500}, &told));
	told.list.term = 4;
	told.list.now = 6;
	told.list.digest = raft_list_digest(&raft(1)->config, 6);
	assert_true(votes(1, 2, (RaftPosition){2, 500}, &told));
	assert_true(disk(1)->list.term == 4 && disk(1)->list.now == 6);
	assert_non_null(world_event(w, 1, RAFT_LIST_CHANGED));
}

/* Node 0 has begun to append node 3, which all have heard, and has died; node 1 leads, and is not open yet. */
static void
lead_on_the_way(void)
{
	lead_and_later(3, 1);
	for (int i = 0; i < 4; i++)
		list_is(i, 4);
	comes(3, 2, 110);
	world_run(w, MS(300));
	expect_list(3, 15, 4);
	raft(2)->may_lead = raft(3)->may_lead = false;
	world_crash(w, 0);
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	assert_int_equal(world_leader(w), 1);
	world_run(w, MS(300));
	world_forget(w);
}

static void
expect_list_of(uint64_t term)
{
	for (int i = 1; i < 4; i++)
		assert_int_equal(disk(i)->list.term, term);
}

/* A list of an earlier leader may still give way to another one: it goes on from its own alone. */
static void
rule_24_list_of_an_earlier_leader_is_written_anew(void **state)
{
	uint64_t first;

	(void) state;
	lead_on_the_way();
	first = disk(0)->term;
	expect_list_of(first);
	assert_true(disk(1)->term > first);
	promoted_on(1, 2, 110, true);
	holds_list(1); /* the earlier leader's */
	world_run(w, MS(300));
	expect_list(3, 15, 4);
	expect_list_of(disk(1)->term);
	for (int i = 1; i < 4; i++)
		assert_null(world_event(w, i, RAFT_LIST_CHANGED)); /* it is no other one */
	holds_list(1);
	world_run(w, MS(300));
	for (int i = 1; i < 4; i++)
		assert_int_equal(disk(i)->list.number, 4);
	expect_list_of(disk(1)->term);
}

/* Whoever has acknowledged the earlier leader's list has not acknowledged this one's. */
static void
rule_24_acknowledgements_of_another_list_do_not_count(void **state)
{
	RaftList earlier;
	uint64_t round;

	(void) state;
	lead_on_the_way();
	earlier = disk(1)->list;
	world_isolate(w, 1);
	world_tick_at_deadline(w, 1);
	assert_non_null(world_sent(w, 1, RAFT_HEARTBEAT, 2));
	round = raft(1)->heartbeat_round;
	promoted_on(1, 2, 110, true);
	world_tick(w, 1);
	assert_int_equal(disk(1)->list.term, disk(1)->term);
	assert_non_null(world_sent(w, 1, RAFT_HEARTBEAT, 2));
	holds_list(1);
	world_tick_at_deadline(w, 1);
	assert_int_equal(disk(1)->list.number, 3);

	/* Answers that were under way. */
	for (int told = 0; told < 2; told++)
	{
		for (int i = 2; i < 4; i++)
		{
			RaftMessage heartbeat = world_heartbeat(w, 1, i, disk(1)->term, told ? raft(1)->heartbeat_round : round);
			RaftMessage answer;

			assert_int_equal(raft(1)->role, RAFT_LEADER);
			answer = world_answer(w, &heartbeat, true);
			answer.told = candidate_with(2);
			answer.told.list = told ? disk(1)->list : earlier;
			answer.position = (RaftPosition){2, 110};
			world_inject(w, &answer);
		}
		world_tick_at_deadline(w, 1);
		assert_int_equal(disk(1)->list.number, told ? 4 : 3);
	}
}

/* A leader that hears of a list of a later one has been replaced, and does not write an older one over it. */
static void
rule_24_list_of_a_later_leader_is_left_alone(void **state)
{
	RaftMessage request;

	(void) state;
	lead_on_the_way();
	promoted_on(1, 2, 110, true);
	world_run(w, MS(100));
	request = world_pre_vote_request(w, 2, 1, disk(1)->term + 1);
	request.told = candidate_with(2);
	request.told.list = disk(1)->list;
	request.told.list.term = disk(1)->term + 5;
	world_inject(w, &request);
	assert_int_equal(disk(1)->list.term, disk(1)->term + 5);
	holds_list(1);
	world_run(w, MS(100));
	assert_int_equal(raft(1)->role, RAFT_LEADER);
	assert_true(disk(1)->list.number == 3 && disk(1)->list.term == disk(1)->term + 5);
}

/* A failover writes nothing that it would not without a list. */
static void
rule_24_list_that_stays_is_not_written_anew(void **state)
{
	uint64_t first;

	(void) state;
	lead_promoted(3);
	first = disk(0)->term;
	assert_int_equal(disk(0)->list.term, first);
	world_crash(w, 0);
	raft(2)->may_lead = false;
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	promoted_on(1, 2, 110, true);
	world_run(w, MS(500));
	assert_true(disk(1)->term > first);
	assert_true(disk(1)->list.term == first && disk(2)->list.term == first);
}

static void
rule_24_who_does_not_count_neither_votes_nor_leads(void **state)
{
	RaftMessage heartbeat;

	(void) state;
	lead_promoted(3);
	world_crash(w, 0);
	world_run(w, MS(50));
	heartbeat = world_heartbeat(w, 0, 1, disk(1)->term, 1000);
	heartbeat.told = candidate_with(2);
	heartbeat.told.list = (RaftList){.number = 4, .term = 1, .now = 5, .old = 7, .digest = raft_list_digest(&raft(1)->config, 5)};
	world_inject(w, &heartbeat);
	assert_false(raft_is_voter(raft(1), 1));
	world_run(w, MS(3000));
	assert_int_equal(raft(1)->counters.pre_votes_started, 0);

	lead_promoted(3);
	raft(1)->saved.list = w->node[1].disk.list = (RaftList){.number = 4, .term = 1, .now = 6, .old = 7, .digest = raft_list_digest(&raft(1)->config, 6)};
	for (int ms = 0; ms < 200 && disk(0)->list.number != 4; ms++)
	{
		assert_int_equal(raft(0)->role, RAFT_LEADER);
		world_run(w, MS(1));
	}
	assert_int_equal(disk(0)->list.number, 4);
	assert_int_equal(raft(0)->role, RAFT_FOLLOWER);
}

/* What counts is not for the settings to say: a restart with another list is no reason to abstain. */
static void
rule_24_restarted_with_another_list(void **state)
{
	(void) state;
	lead_promoted(3);
	world_crash(w, 1);
	list_is(1, 2);
	world_start(w, 1);
	assert_int_equal(disk(1)->abstaining, RAFT_VOTING);
	assert_int_equal(raft_quorum(raft(1)), 2);
	assert_true(raft_voters(raft(1)) == 7);

	/* But other addresses are other servers. */
	world_crash(w, 1);
	list_is(1, 3);
	w->node[1].config.addresses[2] ^= 1;
	world_start(w, 1);
	assert_int_equal(disk(1)->abstaining, RAFT_ABSTAIN_LIST);
}

static void
rule_24_other_address_is_refused(void **state)
{
	RaftConfig config;

	(void) state;
	lead_promoted(3);
	config = raft(1)->config;
	config.addresses[2] ^= 1;
	assert_false(member_set_list(&w->node[1].member, &config));
	assert_true(raft(1)->config.addresses[2] != config.addresses[2]);
	config.addresses[2] ^= 1;
	config.addresses[5] ^= 1; /* of nobody who counts */
	config.members |= 1 << 5;
	config.wanted |= 1 << 5;
	config.list_size = 4;
	assert_true(member_set_list(&w->node[1].member, &config));
}

/*
 * The leader was restarted with the shorter list, and does not know the address of the one that leaves;
 * the others were reloaded, and do.
 */
static void
rule_24_leader_restarted_with_the_shorter_list(void **state)
{
	(void) state;
	lead_and_later(4, 0);
	for (int i = 0; i < 4; i++)
	{
		for (int id = 0; id < 4; id++)
			w->node[i].config.addresses[id] = raft(i)->config.addresses[id] = 77 + (uint64_t) id;
		raft(i)->saved.list.digest = w->node[i].disk.list.digest = raft_list_digest(&raft(i)->config, 15);
	}
	world_crash(w, 3);
	world_crash(w, 0);
	list_is(0, 3);
	w->node[0].config.addresses[3] = 0;
	world_start(w, 0);
	data_is(0, standby(2, 110));
	list_is(1, 3);
	list_is(2, 3);
	raft(1)->may_lead = raft(2)->may_lead = false;
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	assert_int_equal(world_leader(w), 0);
	promoted_on(0, 2, 110, true);
	world_run(w, MS(300));
	expect_list(3, 7, 3);
	assert_int_equal(world_leader(w), 0);
	holds_list(0);
	world_run(w, MS(300));
	expect_list(4, 7, 3);
	assert_true(disk(0)->list.digest != 0 && raft_list_fits(&raft(1)->config, &disk(0)->list));
}

/* All members are given other addresses at once: the list is the same when all have said so. */
static void
rule_24_all_addresses_change(void **state)
{
	(void) state;
	lead_promoted(3);
	for (int i = 0; i < 3; i++)
		world_crash(w, i);
	for (int i = 0; i < 3; i++)
	{
		for (int id = 0; id < 3; id++)
			w->node[i].config.addresses[id] = 77 + (uint64_t) id;
		w->node[i].config.list_digest = 4711;
		world_start(w, i);
		data_is(i, standby(2, 110));
	}
	world_run(w, MS(3000));
	assert_int_equal(world_leader(w), -1); /* it takes the word of a person, on each */
	for (int i = 0; i < 3; i++)
		assert_true(world_admit(w, i));
	assert_true(world_run_until(w, world_is_stable, MS(8000)));
	expect_list(2, 7, 3);
	assert_true(raft_list_fits(&raft(0)->config, &disk(0)->list));
}

/* The operator's word: this one is all that is left, and nobody held more. */
static void
rule_24_operator_vouches_for_the_last(void **state)
{
	RaftData unread = standby(2, 110);

	(void) state;
	lead_promoted(3);
	for (int i = 0; i < 3; i++)
		world_crash(w, i);
	list_is(0, 1);
	w->node[0].disk.floor = (RaftPosition){2, 120};
	world_start(w, 0);
	unread.known = false;
	data_is(0, unread);
	assert_false(member_trust_data(&w->node[0].member)); /* where its WAL ends is not known yet */
	data_is(0, standby(2, 110));
	world_run(w, MS(3000));
	assert_true(raft_list_leaves_out(raft(0)));
	assert_int_equal(world_leader(w), -1);
	assert_true(member_trust_data(&w->node[0].member));
	assert_false(raft_list_leaves_out(raft(0)));
	assert_true(disk(0)->list.number > 4 && disk(0)->list.now == 1);
	assert_int_equal(disk(0)->list.term, disk(0)->term);
	assert_false(member_trust_data(&w->node[0].member));
	world_run(w, MS(1000));
	assert_int_equal(world_leader(w), 0);

	/* Not beside a leader, and not on one. */
	lead_promoted(3);
	list_is(0, 1);
	assert_false(member_trust_data(&w->node[0].member));
	assert_true(disk(0)->list.now == 7);
}

/* A majority is left: no word is asked for, and none is taken. */
static void
rule_24_no_word_where_a_majority_is_left(void **state)
{
	(void) state;
	lead_promoted(3);
	world_crash(w, 0);
	list_is(0, 2);
	world_start(w, 0);
	data_is(0, standby(2, 110));
	assert_false(raft_list_leaves_out(raft(0)));
	assert_false(member_trust_data(&w->node[0].member));
}

static void
rule_24_appended_member_is_gone_once_there_are_claims(void **state)
{
	RaftTold told = candidate_with(2);

	(void) state;
	lead_promoted(3);
	world_crash(w, 2);
	world_wipe(w, 2);
	world_start(w, 2);
	data_is(2, (RaftData){0});
	world_run(w, MS(5000));
	assert_int_equal(disk(2)->abstaining, RAFT_VOTING);
	assert_true(raft_is_gone(raft(2)));
	assert_false(votes(2, 1, (RaftPosition){2, 110}, &told));
}

/* ---- what cannot be ---- */

static bool
has_noted(Member *member, RaftReason reason)
{
	for (uint32_t i = 0; i < member->output.n_events; i++)
	{
		if (member->output.events[i].reason == reason)
			return true;
	}
	return false;
}

/* A server's files come from outside: what they say may be anything. */
static void
impossible_data_are_unknown(void **state)
{
	RaftData wrong[5];

	(void) state;
	lead(3);
	for (int i = 0; i < 5; i++)
		wrong[i] = standby(1, 120);
	wrong[0].position.epoch = (uint64_t) RAFT_MAX_TIMELINE + 1;
	wrong[1].position.epoch = UINT64_MAX;
	wrong[2].position.epoch = 0;
	wrong[3].newest_timeline = RAFT_MAX_TIMELINE + 1;
	wrong[4].newest_timeline = UINT32_MAX;
	for (int i = 0; i < 5; i++)
	{
		Member *member = &w->node[0].member;

		data_is(0, wrong[i]);
		assert_true(has_noted(member, RAFT_DATA_IMPOSSIBLE));
		assert_false(raft(0)->data.known);
		assert_int_equal(raft(0)->position.epoch, 0);
		assert_int_equal(raft(0)->data.newest_timeline, 0);
		assert_int_equal(member_claim(member), RAFT_CLAIM_NO_DATA);
		data_is(0, wrong[i]); /* once is enough */
		assert_false(has_noted(member, RAFT_DATA_IMPOSSIBLE));
		world_run(w, MS(100)); /* what it tells is possible: the fixture drops nothing else */
		data_is(0, standby(1, 100));
		assert_true(raft(0)->data.known);
	}
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_MADE);
}

/* Its position is that of its WAL, whatever somebody says. */
static void
rule_15_position_is_not_set_by_hand(void **state)
{
	(void) state;
	lead(3);
	member_set_position(&w->node[0].member, (RaftPosition){9, 900});
	assert_int_equal(raft(0)->position.epoch, 1);
	assert_int_equal(raft(0)->position.index, 100);
}

static void
impossible_positions_are_no_floor(void **state)
{
	RaftPosition floor;

	(void) state;
	lead_promoted(3);
	floor = raft(1)->saved.floor;
	member_remember_held(&w->node[1].member, (RaftPosition){(uint64_t) RAFT_MAX_TIMELINE + 1, 1});
	assert_memory_equal(&raft(1)->saved.floor, &floor, sizeof(floor));
	assert_false(member_rebuild(&w->node[1].member, RAFT_REWINDING, (RaftPosition){(uint64_t) RAFT_MAX_TIMELINE + 1, 1}));
	assert_false(member_rebuild(&w->node[1].member, RAFT_REWINDING, (RaftPosition){0, 1}));
	assert_int_equal(raft(1)->saved.rebuild, RAFT_INTACT);
	assert_true(member_rebuild(&w->node[1].member, RAFT_REWINDING, (RaftPosition){1, 90}));
}

/* A claim of the future, and WAL on a timeline that cannot be: dropped, counted, without effect. */
static void
impossible_claims_of_others_are_dropped(void **state)
{
	RaftMessage heartbeat;
	uint64_t	dropped;

	(void) state;
	lead_with_claim(3);
	heartbeat = *world_sent(w, 0, RAFT_HEARTBEAT, 1);
	dropped = raft(1)->counters.dropped[RAFT_DROP_IMPOSSIBLE];
	for (int i = 0; i < 3; i++)
	{
		RaftMessage wrong = heartbeat;

		wrong.sequence += 1000 + (uint64_t) i;
		if (i == 0)
			wrong.told.claim = RAFT_MAX_TIMELINE + 1;
		else
			wrong.position = (RaftPosition){i == 1 ? 0 : (uint64_t) RAFT_MAX_TIMELINE + 1, 1};
		world_inject_raw(w, 1, &wrong);
		assert_int_equal(raft(1)->counters.dropped[RAFT_DROP_IMPOSSIBLE], dropped + 1 + (uint64_t) i);
	}
	assert_string_equal(raft_outcome_name(RAFT_DROP_IMPOSSIBLE), "impossible value");
	assert_int_equal(raft(1)->saved.claim, 2);
	heartbeat.sequence += 2000;
	heartbeat.told.claim = RAFT_MAX_TIMELINE;
	world_inject(w, &heartbeat);
	assert_int_equal(raft(1)->saved.claim, RAFT_MAX_TIMELINE);
}

/* Of a server that is not there, too: the supervisor knows where it will listen. */
static void
everybody_knows_the_port_of_a_server(void **state)
{
	RaftData data = standby(1, 100);

	(void) state;
	lead(3);
	for (int i = 0; i < 3; i++)
	{
		data.port = (uint16_t) (5432 + i);
		data_is(i, data);
	}
	assert_int_equal(raft(1)->peers[0].told.port, 0);
	world_run(w, MS(200));
	for (int i = 1; i < 3; i++)
	{
		assert_int_equal(raft(i)->peers[0].told.port, 5432);
		assert_int_equal(raft(0)->peers[i].told.port, 5432 + i);
	}

	data.server = RAFT_SERVER_NONE;
	data.port = 65535;
	data_is(2, data);
	world_run(w, MS(200));
	assert_int_equal(raft(0)->peers[2].told.port, 65535);
}

/* ---- not managed ---- */

/* ---- pause ---- */

/* Node 0 is paused, or not, and whoever it reaches knows. */
static void
pause_is(bool pauses, uint32_t number)
{
	assert_int_equal(member_pause(&w->node[0].member, pauses), RAFT_PAUSE_TAKEN);
	assert_int_equal(disk(0)->pause, number);
	world_run(w, MS(100));
	assert_true(raft_pause_is_known(raft(0)));
	assert_int_equal(raft_in_pause(raft(0)), pauses);
}

static void
pause_is_known_once_a_majority_has_stored_it(void **state)
{
	(void) state;
	lead_promoted(3);
	world_isolate(w, 0);
	assert_int_equal(member_pause(&w->node[0].member, true), RAFT_PAUSE_TAKEN);
	world_tick(w, 0);
	world_drop_all(w);
	assert_true(disk(0)->pause == 1 && raft_in_pause(raft(0)) && !raft_pause_is_known(raft(0)));
	world_heal(w);
	world_cut_both(w, 0, 2);
	world_run(w, MS(100));
	assert_true(raft_pause_is_known(raft(0)) && disk(1)->pause == 1 && disk(2)->pause == 0);
	assert_non_null(world_event(w, 1, RAFT_PAUSED));
	world_heal(w);
	world_run(w, MS(100));
	assert_true(disk(2)->pause == 1 && raft_in_pause(raft(2)));
}

/* Its leader is lost, and who leads next has heard of it in a vote alone. */
static void
pause_outlives_its_leader(void **state)
{
	(void) state;
	lead_promoted(3);
	world_cut_both(w, 0, 2);
	pause_is(true, 1);
	world_crash(w, 0);
	w->node[1].config.may_lead = false;
	member_reload(&w->node[1].member, &w->node[1].config.timeouts, false);
	world_heal(w);
	assert_int_equal(disk(2)->pause, 0);
	assert_true(world_run_until(w, world_is_stable, MS(5000)));
	assert_int_equal(world_leader(w), 2);
	assert_true(disk(2)->pause == 1 && raft_in_pause(raft(2)));
	world_run(w, MS(100));
	assert_true(raft_pause_is_known(raft(2)));
	assert_int_equal(member_pause(&w->node[2].member, false), RAFT_PAUSE_TAKEN);
	world_run(w, MS(100));
	assert_true(disk(1)->pause == 2 && !raft_in_pause(raft(1)));
}

static void
pause_outlives_all_processes(void **state)
{
	(void) state;
	lead_promoted(3);
	pause_is(true, 1);
	for (int i = 0; i < 3; i++)
		world_crash(w, i);
	for (int i = 0; i < 3; i++)
	{
		world_restart(w, i);
		assert_true(raft_in_pause(raft(i)));
	}
}

/* What a leader said that had no majority gives way to what a later one says. */
static void
later_word_about_a_pause_counts(void **state)
{
	RaftMessage late;

	(void) state;
	lead_promoted(3);
	pause_is(true, 1);
	pause_is(true, 3);
	pause_is(false, 4);
	pause_is(false, 6);
	late = world_heartbeat(w, 0, 1, disk(0)->term, raft(0)->heartbeat_round + 1);
	late.told = candidate_with(2);
	late.told.pause = 5;
	world_inject(w, &late);
	assert_true(disk(1)->pause == 6 && !raft_in_pause(raft(1)));

	/* and a leader takes over what one of its members was told before */
	late = world_heartbeat(w, 0, 1, disk(0)->term, raft(0)->heartbeat_round + 2);
	late.told = candidate_with(2);
	late.told.pause = 7;
	world_inject(w, &late);
	assert_int_equal(disk(1)->pause, 7);
	world_run(w, MS(300));
	assert_true(disk(0)->pause == 7 && disk(2)->pause == 7);
}

static void
pause_is_refused(void **state)
{
	(void) state;
	lead(3);
	assert_int_equal(member_pause(&w->node[0].member, true), RAFT_PAUSE_NO_CLAIM);
	lead_promoted(3);
	assert_int_equal(member_pause(&w->node[1].member, true), RAFT_PAUSE_NOT_LEADER);

	/* it leads, and its lease has run out: others may have paused the cluster meanwhile */
	world_advance(w, MS(1000));
	assert_int_equal(raft(0)->role, RAFT_LEADER);
	assert_int_equal(member_pause(&w->node[0].member, true), RAFT_PAUSE_NO_LEASE);
	assert_int_equal(disk(0)->pause, 0);
	lead_promoted(1);
	raft(0)->saved.pause = w->node[0].disk.pause = w->node[0].before.pause = UINT32_MAX - 1;
	assert_int_equal(member_pause(&w->node[0].member, true), RAFT_PAUSE_EXHAUSTED);
	for (int result = RAFT_PAUSE_TAKEN; result <= RAFT_PAUSE_EXHAUSTED; result++)
		assert_true(strlen(raft_describe_pause((RaftPauseResult) result)) > 5);
	assert_string_equal(raft_describe_pause((RaftPauseResult) 99), "unknown");
}

/* A member that has lost its state may have been one of the majority. */
static void
pause_is_learned_with_the_lost_state(void **state)
{
	(void) state;
	lead_promoted(3);
	world_cut_both(w, 0, 1);
	pause_is(true, 1);
	for (int i = 0; i < 3; i++)
	{
		world_crash(w, i);
		w->node[i].config.may_lead = false;
	}
	world_heal(w);
	world_wipe(w, 2);
	for (int i = 0; i < 3; i++)
		world_start(w, i);
	world_run(w, MS(5000));
	assert_int_equal(world_leader(w), RAFT_NONE);
	assert_int_equal(disk(2)->abstaining, RAFT_VOTING);
	assert_true(disk(2)->pause == 1 && disk(1)->pause == 0);
}

/* No rebuild begins in a pause, so no floor is named for one. */
static void
nobody_is_forgotten_in_a_pause(void **state)
{
	(void) state;
	lead_promoted(3);
	data_is(1, (RaftData){.server = RAFT_SERVER_NONE});
	world_run(w, MS(100));
	assert_true(raft_to_forget(raft(0)) == 2);
	pause_is(true, 1);
	assert_true(raft_to_forget(raft(0)) == 0);
	pause_is(false, 2);
	assert_true(raft_to_forget(raft(0)) == 2);
}

static void
not_managed_says_nothing_of_data(void **state)
{
	(void) state;
	world_init(w, 3);
	world_elect(w, 0);
	world_forget(w);
	world_tick_at_deadline(w, 0);
	assert_non_null(world_sent(w, 0, RAFT_HEARTBEAT, 1));
	assert_false(world_sent(w, 0, RAFT_HEARTBEAT, 1)->told.managed);
	assert_int_equal(member_claim(&w->node[0].member), RAFT_CLAIM_NOT_MANAGED);
	assert_int_equal(member_promote(&w->node[0].member), 0);
	assert_false(follows(&w->node[1].member, 1));
	assert_false(member_rebuild(&w->node[1].member, RAFT_CLONING, (RaftPosition){1, 1}));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_promotion_is_told_at_once),
		cmocka_unit_test(rule_12_first_claim_needs_everyone),
		cmocka_unit_test(rule_12_first_claim_goes_by_positions_that_are_known),
		cmocka_unit_test(rule_12_first_claim_hears_the_dead_only_by_the_operator),
		cmocka_unit_test(rule_12_first_claim_does_without_members_that_never_held_data),
		cmocka_unit_test(rule_12_first_claim_not_beside_another_system),
		cmocka_unit_test(rule_12_first_claim_not_beside_another_timeline),
		cmocka_unit_test(rule_12_first_claim_not_beside_one_that_only_elects),
		cmocka_unit_test(rule_12_first_claim_not_before_everyone_has_looked),
		cmocka_unit_test(rule_12_claim_is_stored_before_it_counts),
		cmocka_unit_test(rule_12_first_claim_is_stored_once_the_data_are_known),
		cmocka_unit_test(rule_12_first_claim_adopts_nothing_that_is_rebuilt),
		cmocka_unit_test(rule_12_only_what_was_stored_counts),
		cmocka_unit_test(rule_12_claim_is_above_the_votes_that_elected),
		cmocka_unit_test(rule_12_claim_is_above_all_that_is_known),
		cmocka_unit_test(rule_12_primary_goes_on_beside_a_higher_history),
		cmocka_unit_test(rule_12_claim_of_an_older_term_is_dropped),
		cmocka_unit_test(rule_13_promotion_uses_the_claim_up),
		cmocka_unit_test(rule_13_promotion_needs_the_lease),
		cmocka_unit_test(rule_13_promotion_under_way_outlives_the_process),
		cmocka_unit_test(rule_13_claim_of_a_lost_leadership_is_void),
		cmocka_unit_test(rule_15_unknown_position_acknowledges_only),
		cmocka_unit_test(rule_15_unknown_position_does_not_stand),
		cmocka_unit_test(rule_15_no_vote_for_another_system),
		cmocka_unit_test(rule_15_data_of_another_system_are_gone),
		cmocka_unit_test(rule_15_never_held_votes_while_nothing_is_claimed),
		cmocka_unit_test(rule_24_never_held_votes_as_long_as_it_is_known),
		cmocka_unit_test(rule_24_a_member_that_comes_late_may_have_held),
		cmocka_unit_test(rule_22_an_older_file_that_rebuilds_is_not_believed),
		cmocka_unit_test(rule_22_a_floor_that_is_not_believed_gives_way),
		cmocka_unit_test(rule_15_foreign_wal_does_not_stand),
		cmocka_unit_test(rule_16_bounds_are_this_leaderships),
		cmocka_unit_test(rule_20_follows_only_what_the_leader_claimed),
		cmocka_unit_test(rule_20_tells_nobody_after_its_vote),
		cmocka_unit_test(rule_20_only_a_leader_serves),
		cmocka_unit_test(rule_20_a_long_path_settles),
		cmocka_unit_test(rule_21_votes_with_the_floor_while_rebuilding),
		cmocka_unit_test(rule_21_gone_data_are_not_rebuilt_before_that),
		cmocka_unit_test(rule_21_does_not_stand_while_rebuilding),
		cmocka_unit_test(rule_21_a_second_attempt_keeps_the_floor),
		cmocka_unit_test(rule_21_confirms_nothing_while_rebuilding),
		cmocka_unit_test(rule_21_rebuilds_only_from_a_promoted_leader_of_its_term),
		cmocka_unit_test(rule_21_gone_data_need_a_floor_of_the_leader),
		cmocka_unit_test(rule_21_a_floor_is_for_one_loss),
		cmocka_unit_test(rule_21_whom_a_leader_has_to_forget),
		cmocka_unit_test(rule_12_first_claim_is_left_to_who_holds_most),
		cmocka_unit_test(who_could_lead_instead),
		cmocka_unit_test(who_can_be_elected_instead),
		cmocka_unit_test(rule_12_data_are_its_own_once_it_votes),
		cmocka_unit_test(rule_21_no_copy_is_begun_while_it_abstains),
		cmocka_unit_test(rule_22_no_rebuild_ends_while_it_abstains),
		cmocka_unit_test(rule_22_below_its_floor_it_does_not_vote),
		cmocka_unit_test(rule_22_a_part_of_a_record_is_not_missing),
		cmocka_unit_test(rule_22_peers_remember_what_it_held),
		cmocka_unit_test(rule_22_votes_again_when_it_has_caught_up),
		cmocka_unit_test(rule_22_an_unknown_position_is_no_measure),
		cmocka_unit_test(rule_22_position_does_not_fall_by_itself),
		cmocka_unit_test(rule_22_followers_remember_what_the_leader_held),
		cmocka_unit_test(rule_22_what_was_lost_stays_the_floor),
		cmocka_unit_test(rule_22_lost_state_file_distrusts_the_data),
		cmocka_unit_test(rule_24_first_claim_begins_the_list),
		cmocka_unit_test(rule_24_list_grows_when_all_is_ready),
		cmocka_unit_test(rule_24_list_waits_for_the_living),
		cmocka_unit_test(rule_24_list_waits_for_the_data_of_who_comes),
		cmocka_unit_test(rule_24_only_an_open_leader_changes_the_list),
		cmocka_unit_test(rule_24_no_step_before_the_last_is_stored),
		cmocka_unit_test(rule_24_numbers_go_on_when_a_member_comes_back),
		cmocka_unit_test(rule_24_who_comes_back_begins_anew),
		cmocka_unit_test(rule_24_the_dead_go_first),
		cmocka_unit_test(rule_24_list_shrinks),
		cmocka_unit_test(rule_24_both_lists_count),
		cmocka_unit_test(rule_24_older_list_gets_no_vote),
		cmocka_unit_test(rule_24_other_list_of_the_same_number_gets_no_vote),
		cmocka_unit_test(rule_24_list_of_a_later_term_is_taken_over),
		cmocka_unit_test(rule_24_list_of_an_earlier_leader_is_written_anew),
		cmocka_unit_test(rule_24_acknowledgements_of_another_list_do_not_count),
		cmocka_unit_test(rule_24_list_of_a_later_leader_is_left_alone),
		cmocka_unit_test(rule_24_list_that_stays_is_not_written_anew),
		cmocka_unit_test(rule_24_who_does_not_count_neither_votes_nor_leads),
		cmocka_unit_test(rule_24_restarted_with_another_list),
		cmocka_unit_test(rule_24_other_address_is_refused),
		cmocka_unit_test(rule_24_leader_restarted_with_the_shorter_list),
		cmocka_unit_test(rule_24_all_addresses_change),
		cmocka_unit_test(rule_24_operator_vouches_for_the_last),
		cmocka_unit_test(rule_24_no_word_where_a_majority_is_left),
		cmocka_unit_test(rule_24_appended_member_is_gone_once_there_are_claims),
		cmocka_unit_test(rule_15_position_is_not_set_by_hand),
		cmocka_unit_test(impossible_data_are_unknown),
		cmocka_unit_test(impossible_positions_are_no_floor),
		cmocka_unit_test(impossible_claims_of_others_are_dropped),
		cmocka_unit_test(everybody_knows_the_port_of_a_server),
		cmocka_unit_test(pause_is_known_once_a_majority_has_stored_it),
		cmocka_unit_test(pause_outlives_its_leader),
		cmocka_unit_test(pause_outlives_all_processes),
		cmocka_unit_test(later_word_about_a_pause_counts),
		cmocka_unit_test(pause_is_refused),
		cmocka_unit_test(pause_is_learned_with_the_lost_state),
		cmocka_unit_test(nobody_is_forgotten_in_a_pause),
		cmocka_unit_test(not_managed_says_nothing_of_data),
	};

	return cmocka_run_group_tests_name("raft_data", tests, NULL, NULL);
}
