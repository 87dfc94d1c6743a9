/*
 * test/unit/test_primary_decide.c
 *	  Each row of the table in primary/decide.c is a test, named as primary_reason_name()
 *	  names it: from facts in which all is well, what the row is about is changed.  Below
 *	  them, what the rules say about their edges and about which row comes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/primary.h"
#include "../../primary/promotion.h"
#include "primary_worlds.h"

typedef PrimaryFacts (*World)(void);

typedef struct Case
{
	PrimaryReason reason;
	PrimaryAction action;
	World		  world;
	void (*change)(PrimaryFacts *f);
} Case;

static void
expect(const PrimaryFacts *f, PrimaryAction action, PrimaryReason reason)
{
	PrimaryOrder order = primary_decide(f);

	if (order.action != action || order.reason != reason)
		fail_msg("%s, %s instead of %s, %s",
				 primary_action_name(order.action), primary_reason_name(order.reason),
				 primary_action_name(action), primary_reason_name(reason));
}

/* ---- what the rows are about ---- */

static void
nothing(PrimaryFacts *f)
{
	(void) f;
}

static void
rebuilding(PrimaryFacts *f)
{
	f->rebuild = RAFT_CLONING;
	f->remains = PRIMARY_REMAINS_BROKEN;
	f->floor = (RaftPosition){2, 1800};
}

static void
whole(PrimaryFacts *f)
{
	rebuilding(f);
	f->remains = PRIMARY_REMAINS_WHOLE;
}

static void
half_without_a_source(PrimaryFacts *f)
{
	rebuilding(f);
	f->leader.promoted = false;
	f->leader.server = RAFT_SERVER_RECOVERY;
}

static void
half_rewound(PrimaryFacts *f)
{
	rebuilding(f);
	f->rebuild = RAFT_REWINDING;
	f->remains = PRIMARY_REMAINS_REPEATABLE;
	f->rebuild_source = 1;
	f->rebuild_term = 7;
}

static void
half_rewound_twice(PrimaryFacts *f)
{
	half_rewound(f);
	f->failures = 2;
	f->now = 40000000;
	f->rebuild_pause = 30000000;
	f->failed_at = f->now - f->rebuild_pause + 1;
	f->failed_source = 1;
	f->failed_term = 7;
}

static void
no_server(PrimaryFacts *f)
{
	f->server = RAFT_SERVER_NONE;
}

static void
no_data(PrimaryFacts *f)
{
	f->server = RAFT_SERVER_NONE;
	f->system_id = 0;
	f->lineage = NULL;
	f->end_known = false;
}

static void
no_data_no_source(PrimaryFacts *f)
{
	no_data(f);
	f->leader_id = RAFT_NONE;
	f->leader = (PrimaryLeader){0};
}

static void
no_data_named(PrimaryFacts *f)
{
	no_data(f);
	f->leader.named_floor = true;
	f->leader.floor = (RaftPosition){5, 2600};
}

static void
by_hand(PrimaryFacts *f)
{
	f->lineage = world_path_hand();
	f->timeline = 3;
	f->end = 1700;
	f->floor = (RaftPosition){2, 1400};
	f->timelines[2] = (RaftTimeline){0, false};
	f->n_timelines = 2;
	f->authorised = 3;
}

static void
fsync_off(PrimaryFacts *f)
{
	f->setting = PRIMARY_SETTING_FSYNC;
}

static void
disk_hung(PrimaryFacts *f)
{
	f->health = PRIMARY_HEALTH_DISK_HUNG;
	f->replaceable = true;
}

static void
disk_hung_without_heir(PrimaryFacts *f)
{
	f->health = PRIMARY_HEALTH_DISK_HUNG;
}

static void
pending_and_deposed(PrimaryFacts *f)
{
	f->promoting = f->asked = true;
	f->leader_id = 2;
}

static void
told_another(PrimaryFacts *f)
{
	f->hand_over = PRIMARY_HAND_OVER_DONE;
	f->leader_id = RAFT_NONE;
	f->lease_until = 0;
}

static void
another_leads(PrimaryFacts *f)
{
	f->leader_id = 2;
	f->lease_until = 0;
}

static void
nobody_leads(PrimaryFacts *f)
{
	f->leader_id = RAFT_NONE;
	f->lease_until = 0;
}

static void
below_its_floor(PrimaryFacts *f)
{
	f->floor = (RaftPosition){primary_position(f).position.epoch, f->end + 1};
}

static void
another_system(PrimaryFacts *f)
{
	f->leader.system_id = 78;
}

static void
before_the_first_claim(PrimaryFacts *f)
{
	f->claim = f->claimed = 0;
	f->n_timelines = 0;
	f->receiving = true;
	f->leader.promoted = false;
	f->leader.server = RAFT_SERVER_RECOVERY;
}

static void
timeline_not_the_claim(PrimaryFacts *f)
{
	f->authorised = 8;
}

/* Elected again, in a later term than that of the promotion. */
static void
elected_again(PrimaryFacts *f)
{
	f->authorised_term = 6;
}

static void
higher_claim_in_the_votes(PrimaryFacts *f)
{
	elected_again(f);
	f->elected_claim = 8;
}

static void
draining(PrimaryFacts *f)
{
	f->opened_term = 7;
	f->hand_over = PRIMARY_HAND_OVER_DRAINING;
}

static void
closed(PrimaryFacts *f)
{
	f->opened_term = 7;
	f->hand_over = PRIMARY_HAND_OVER_CLOSED;
}

static void
nothing_moved(PrimaryFacts *f)
{
	f->now = 20000000;
	f->lease_until = f->now + 200000;
	f->leading_since = 5000000;
	f->moved_at = 10000000;
	f->quorum_flushed = 2500;
}

static void
standing(PrimaryFacts *f)
{
	f->opened_term = 7;
	f->now = 20000000;
	f->lease_until = f->now + 200000;
	f->standing_since = 15000000;
}

static void
standing_without_heir(PrimaryFacts *f)
{
	standing(f);
	f->other_has_all = false;
}

static void
no_lease(PrimaryFacts *f)
{
	f->lease_until = f->now;
}

static void
other_names(PrimaryFacts *f)
{
	f->names_in_force = false;
}

static void
mark_of_an_earlier_term(PrimaryFacts *f)
{
	f->mark_term = 6;
}

static void
quorum_behind(PrimaryFacts *f)
{
	f->quorum_flushed = 2599;
}

static void
not_released(PrimaryFacts *f)
{
	f->released = 2599;
}

static void
promoting(PrimaryFacts *f)
{
	f->promoting = f->asked = true;
	f->claimed = 0;
}

static void
receiving(PrimaryFacts *f)
{
	f->receiving = true;
}

static void
end_unknown(PrimaryFacts *f)
{
	f->end_known = false;
}

static void
no_claim(PrimaryFacts *f)
{
	f->claimed = 0;
	f->replayed = false;
}

static void
paused(PrimaryFacts *f)
{
	f->paused = true;
	f->replayed = false;
}

static void
claiming(PrimaryFacts *f)
{
	f->claimed = 0;
	f->claiming = true;
}

static void
claim_far_away(PrimaryFacts *f)
{
	f->passed_over = PROMOTION_MOST_BURNT + 1;
}

static void
not_replayed(PrimaryFacts *f)
{
	f->replayed = false;
}

static void
leader_not_asked(PrimaryFacts *f)
{
	f->leader.flush = 0;
}

static void
leader_not_promoted(PrimaryFacts *f)
{
	f->leader.promoted = false;
}

static void
ahead(PrimaryFacts *f)
{
	f->leader.flush = 2499;
}

static void
ahead_still(PrimaryFacts *f)
{
	ahead(f);
	f->check.looked_again = true;
}

/* Our last bytes are on 5, and the leader has gone from 2 to 7 before it began. */
static void
diverged(PrimaryFacts *f)
{
	f->leader.lineage = world_path2_7();
	f->floor = (RaftPosition){2, 1700};
	f->failures = 0;
}

static void
diverged_thrice(PrimaryFacts *f)
{
	diverged(f);
	f->failures = 2;
}

static void
diverged_from_a_closed_one(PrimaryFacts *f)
{
	diverged(f);
	f->leader.open = false;
	f->now = 10000000;
	f->rebuild_wanted = f->now - 2999999;
}

static void
diverged_paused(PrimaryFacts *f)
{
	diverged(f);
	paused(f);
}

static void
diverged_not_replayed(PrimaryFacts *f)
{
	diverged(f);
	not_replayed(f);
}

static void
diverged_before_the_checkpoint(PrimaryFacts *f)
{
	diverged(f);
	f->leader.control_shows_timeline = false;
}

static void
diverged_without_hints(PrimaryFacts *f)
{
	diverged(f);
	f->hints = false;
}

static void
other_bytes(PrimaryFacts *f)
{
	f->check.prefix = PRIMARY_PREFIX_DIFFERENT;
}

static void
stuck(PrimaryFacts *f)
{
	f->check.streaming = PRIMARY_STREAMING_STUCK;
	f->check.loose = true;
	f->receiving = true;
}

/* Where the leader's timeline begins. */
static void
waits_in_a_record(PrimaryFacts *f)
{
	f->end = 2000;
	f->part_left = true;
}

static void
stuck_again(PrimaryFacts *f)
{
	stuck(f);
	f->failures = 1;
}

static void
check_of_an_earlier_term(PrimaryFacts *f)
{
	f->check.term = 6;
}

static void
rebuilt(PrimaryFacts *f)
{
	whole(f);
	f->receiving = true;
	f->check.loose = true;
	f->check.streaming = PRIMARY_STREAMING_REAL;
}

static void
in_pause(PrimaryFacts *f)
{
	f->in_pause = true;
}

static void
no_data_in_pause(PrimaryFacts *f)
{
	no_data_named(f);
	in_pause(f);
}

static void
diverged_in_pause(PrimaryFacts *f)
{
	diverged(f);
	in_pause(f);
}

static void
restart_is_wanted(PrimaryFacts *f)
{
	f->restart_wanted = true;
}

static void
reinit_is_wanted(PrimaryFacts *f)
{
	f->reinit_wanted = true;
}

static void
reinit_while_it_streams(PrimaryFacts *f)
{
	reinit_is_wanted(f);
	f->receiving = true;
	f->check.loose = true;
	f->end = 2700;
}

static void
whole_and_alone(PrimaryFacts *f)
{
	whole(f);
	nobody_leads(f);
}

static void
no_such_state(PrimaryFacts *f)
{
	f->server = (RaftServer) 99;
}

static const Case cases[] = {
	{PRIMARY_LEADS_HALF_REBUILT, PRIMARY_RESIGN, world_elected, whole},
	{PRIMARY_LEADS_WITHOUT_SERVER, PRIMARY_RESIGN, world_elected, no_server},
	{PRIMARY_LEADS_WITHOUT_DATA, PRIMARY_RESIGN, world_primary, another_system},
	{PRIMARY_LEADS_BEHIND, PRIMARY_RESIGN, world_elected, below_its_floor},
	{PRIMARY_LEADS_FOREIGN, PRIMARY_RESIGN, world_primary, by_hand},
	{PRIMARY_LEADS_FORBIDDEN, PRIMARY_RESIGN, world_primary, fsync_off},
	{PRIMARY_LEADS_UNHEALTHY, PRIMARY_RESIGN, world_primary, disk_hung},
	{PRIMARY_PROMOTION_PENDS, PRIMARY_RESTART, world_elected, pending_and_deposed},
	{PRIMARY_HANDED_OVER, PRIMARY_RESTART, world_primary, told_another},
	{PRIMARY_DEPOSED, PRIMARY_RESTART, world_primary, another_leads},
	{PRIMARY_LEADERLESS, PRIMARY_CLOSE, world_primary, nobody_leads},
	{PRIMARY_RESTART_WANTED, PRIMARY_RESTART, world_follower, restart_is_wanted},
	{PRIMARY_FORBIDDEN, PRIMARY_REFUSE, world_follower, fsync_off},
	{PRIMARY_OTHER_CLUSTER, PRIMARY_REFUSE, world_follower, another_system},
	{PRIMARY_HALF_NO_SOURCE, PRIMARY_WAIT, world_follower, half_without_a_source},
	{PRIMARY_HALF_FAILS_AGAIN, PRIMARY_WAIT, world_follower, half_rewound_twice},
	{PRIMARY_HALF_REWOUND, PRIMARY_REWIND, world_follower, half_rewound},
	{PRIMARY_HALF_CLONED, PRIMARY_CLONE, world_follower, rebuilding},
	{PRIMARY_GONE_IN_PAUSE, PRIMARY_WAIT, world_follower, no_data_in_pause},
	{PRIMARY_GONE_NO_SOURCE, PRIMARY_WAIT, world_follower, no_data_no_source},
	{PRIMARY_GONE_NO_FLOOR, PRIMARY_WAIT, world_follower, no_data},
	{PRIMARY_GONE, PRIMARY_CLONE, world_follower, no_data_named},
	{PRIMARY_NOT_RUNNING, PRIMARY_RESTART, world_follower, no_server},
	{PRIMARY_NOTHING_CLAIMED, PRIMARY_LEAVE, world_follower, before_the_first_claim},
	{PRIMARY_NOTHING_CLAIMED_YET, PRIMARY_CLAIM, world_elected, before_the_first_claim},
	{PRIMARY_WRONG_TIMELINE, PRIMARY_RESTART, world_primary, timeline_not_the_claim},
	{PRIMARY_NOT_KEPT, PRIMARY_RESTART, world_primary, higher_claim_in_the_votes},
	{PRIMARY_DRAINS, PRIMARY_DRAIN, world_primary, draining},
	{PRIMARY_CLOSED_FOR_HAND_OVER, PRIMARY_CLOSE, world_primary, closed},
	{PRIMARY_NOT_OPENING, PRIMARY_RESIGN, world_primary, nothing_moved},
	{PRIMARY_CANNOT_COMMIT, PRIMARY_RESIGN, world_primary, standing},
	{PRIMARY_PROMOTES, PRIMARY_WAIT, world_elected, promoting},
	{PRIMARY_IN_PAUSE, PRIMARY_WAIT, world_elected, in_pause},
	{PRIMARY_STILL_RECEIVING, PRIMARY_WAIT, world_elected, receiving},
	{PRIMARY_END_UNKNOWN, PRIMARY_WAIT, world_elected, end_unknown},
	{PRIMARY_NO_LEASE, PRIMARY_CLOSE, world_primary, no_lease},
	{PRIMARY_OTHER_NAMES, PRIMARY_CLOSE, world_primary, other_names},
	{PRIMARY_NO_MARK, PRIMARY_MARK, world_primary, mark_of_an_earlier_term},
	{PRIMARY_NO_QUORUM, PRIMARY_CLOSE, world_primary, quorum_behind},
	{PRIMARY_NOT_RELEASED, PRIMARY_CLOSE, world_primary, not_released},
	{PRIMARY_UNHEALTHY, PRIMARY_OPEN, world_primary, disk_hung_without_heir},
	{PRIMARY_STANDS_STILL, PRIMARY_OPEN, world_primary, standing_without_heir},
	{PRIMARY_ALL_GOOD, PRIMARY_OPEN, world_primary, nothing},
	{PRIMARY_NO_CLAIM, PRIMARY_CLAIM, world_elected, no_claim},
	{PRIMARY_REPLAY_PAUSED, PRIMARY_RESUME_REPLAY, world_elected, paused},
	{PRIMARY_CLAIM_UNKNOWN, PRIMARY_WAIT, world_elected, claiming},
	{PRIMARY_MANY_BURNT, PRIMARY_REFUSE, world_elected, claim_far_away},
	{PRIMARY_NOT_REPLAYED, PRIMARY_WAIT, world_elected, not_replayed},
	{PRIMARY_NO_LEASE_YET, PRIMARY_WAIT, world_elected, no_lease},
	{PRIMARY_ELECTED, PRIMARY_PROMOTE, world_elected, nothing},
	{PRIMARY_WHOLE_ALONE, PRIMARY_REBUILT, world_follower, whole_and_alone},
	{PRIMARY_NO_LEADER, PRIMARY_WAIT, world_follower, nobody_leads},
	{PRIMARY_LEADER_UNKNOWN, PRIMARY_WAIT, world_follower, leader_not_asked},
	{PRIMARY_LEADER_NOT_READY, PRIMARY_WAIT, world_follower, leader_not_promoted},
	{PRIMARY_NOT_COMPARABLE, PRIMARY_WAIT, world_follower, end_unknown},
	{PRIMARY_LOOK_AGAIN, PRIMARY_WAIT, world_follower, ahead},
	{PRIMARY_REBUILD_IN_PAUSE, PRIMARY_WAIT, world_follower, diverged_in_pause},
	{PRIMARY_REINIT_RECEIVING, PRIMARY_WAIT, world_follower, reinit_while_it_streams},
	{PRIMARY_REINIT_WANTED, PRIMARY_CLONE, world_follower, reinit_is_wanted},
	{PRIMARY_FAILS_AGAIN, PRIMARY_WAIT, world_follower, diverged_thrice},
	{PRIMARY_PREFERS_OPEN, PRIMARY_WAIT, world_follower, diverged_from_a_closed_one},
	{PRIMARY_FOREIGN, PRIMARY_CLONE, world_follower, by_hand},
	{PRIMARY_REWIND_PAUSED, PRIMARY_RESUME_REPLAY, world_follower, diverged_paused},
	{PRIMARY_REWIND_NOT_REPLAYED, PRIMARY_WAIT, world_follower, diverged_not_replayed},
	{PRIMARY_REWIND_NO_CHECKPOINT, PRIMARY_WAIT, world_follower, diverged_before_the_checkpoint},
	{PRIMARY_DIVERGED, PRIMARY_REWIND, world_follower, diverged},
	{PRIMARY_DIVERGED_NO_REWIND, PRIMARY_CLONE, world_follower, diverged_without_hints},
	{PRIMARY_AHEAD, PRIMARY_CLONE, world_follower, ahead_still},
	{PRIMARY_DIFFERS, PRIMARY_CLONE, world_follower, other_bytes},
	{PRIMARY_PART_LEFT, PRIMARY_RESTART, world_follower, waits_in_a_record},
	{PRIMARY_NOT_STREAMING, PRIMARY_RESTART, world_follower, stuck},
	{PRIMARY_STREAMS_NEVER, PRIMARY_CLONE, world_follower, stuck_again},
	{PRIMARY_NOT_COMPARED, PRIMARY_WAIT, world_follower, check_of_an_earlier_term},
	{PRIMARY_IS_REBUILT, PRIMARY_REBUILT, world_follower, rebuilt},
	{PRIMARY_COMPARED, PRIMARY_FOLLOW, world_follower, nothing},
	{PRIMARY_UNFORESEEN, PRIMARY_WAIT, world_follower, no_such_state},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void
row(void **state)
{
	const Case	*c = *state;
	PrimaryFacts f = c->world();
	PrimaryOrder order = primary_decide(&f);
	char		 text[400];

	/* the change is what brings the row about */
	if (c->change != nothing && order.reason == c->reason)
		fail_msg("it is so without any change");
	c->change(&f);
	expect(&f, c->action, c->reason);
	order = primary_decide(&f);
	assert_true(strlen(primary_describe(&order, &f, text, sizeof(text))) > 10);
	assert_true(order.again_at == 0 || order.again_at > f.now);
}

/* ---- beside the rows ---- */

static void
every_reason_has_a_row_and_a_test(void **state)
{
	(void) state;
	assert_int_equal(CASES, PRIMARY_REASONS);
	for (size_t i = 0; i < CASES; i++)
	{
		assert_non_null(primary_reason_name(cases[i].reason));
		assert_non_null(primary_action_name(cases[i].action));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(primary_reason_name(cases[i].reason), primary_reason_name(cases[j].reason));
	}
	assert_string_equal(primary_reason_name(PRIMARY_REASONS), "unknown");
	assert_string_equal(primary_action_name(PRIMARY_ACTIONS), "unknown");
}

/* ---- pause, and what an operator wants ---- */

static void
in_a_pause_nobody_is_promoted(void **state)
{
	PrimaryFacts f = world_elected();

	(void) state;
	in_pause(&f);
	expect(&f, PRIMARY_WAIT, PRIMARY_IN_PAUSE);
	f.claimed = 0;
	expect(&f, PRIMARY_WAIT, PRIMARY_IN_PAUSE);
	nothing_moved(&f);
	expect(&f, PRIMARY_WAIT, PRIMARY_IN_PAUSE);

	/* what was asked for before goes on */
	f = world_elected();
	in_pause(&f);
	promoting(&f);
	expect(&f, PRIMARY_WAIT, PRIMARY_PROMOTES);
}

/* The fence is what it always is; only health deposes nobody. */
static void
in_a_pause_a_primary_stays(void **state)
{
	static void (*const reasons[])(PrimaryFacts *) = {disk_hung, nothing_moved, standing};
	PrimaryFacts f = world_primary();

	(void) state;
	in_pause(&f);
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
	elected_again(&f);
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
	f.lease_until = 0;
	expect(&f, PRIMARY_CLOSE, PRIMARY_NO_LEASE);
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
	{
		f = world_primary();
		reasons[i](&f);
		assert_int_equal(primary_decide(&f).action, PRIMARY_RESIGN);
		in_pause(&f);
		assert_int_not_equal(primary_decide(&f).action, PRIMARY_RESIGN);
	}
	f = world_primary();
	in_pause(&f);
	fsync_off(&f);
	expect(&f, PRIMARY_RESIGN, PRIMARY_LEADS_FORBIDDEN);
	f = world_primary();
	in_pause(&f);
	another_leads(&f);
	expect(&f, PRIMARY_RESTART, PRIMARY_DEPOSED);
}

/* One that has begun is finished. */
static void
in_a_pause_no_rebuild_begins(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	in_pause(&f);
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	reinit_is_wanted(&f);
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	f = world_follower();
	in_pause(&f);
	rebuilding(&f);
	expect(&f, PRIMARY_CLONE, PRIMARY_HALF_CLONED);
	half_rewound(&f);
	expect(&f, PRIMARY_REWIND, PRIMARY_HALF_REWOUND);
	f = world_follower();
	in_pause(&f);
	whole(&f);
	diverged(&f);
	expect(&f, PRIMARY_CLONE, PRIMARY_DIVERGED_NO_REWIND);
}

/* Also where a setting that needs a restart was corrected; never of who leads. */
static void
a_restart_is_for_standbys(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	restart_is_wanted(&f);
	fsync_off(&f);
	expect(&f, PRIMARY_RESTART, PRIMARY_RESTART_WANTED);
	no_server(&f);
	expect(&f, PRIMARY_REFUSE, PRIMARY_FORBIDDEN);
	f = world_elected();
	restart_is_wanted(&f);
	expect(&f, PRIMARY_PROMOTE, PRIMARY_ELECTED);
	f = world_primary();
	restart_is_wanted(&f);
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
}

/* What comes next here is the leader's, too; or a restart has not helped. */
static void
a_part_is_cut_off_where_the_leader_goes_another_way(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	waits_in_a_record(&f);
	expect(&f, PRIMARY_RESTART, PRIMARY_PART_LEFT);
	f.end--;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	f.end++;
	f.failures = 1;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
}

/* Rule 21: its floor is all that it has confirmed, and it has a leader to copy from. */
static void
a_new_copy_begins_when_nothing_comes_in(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	reinit_while_it_streams(&f);
	expect(&f, PRIMARY_WAIT, PRIMARY_REINIT_RECEIVING);
	f.receiving = f.check.loose = false;
	expect(&f, PRIMARY_WAIT, PRIMARY_LOOK_AGAIN);
	f.leader.flush = 2700;
	expect(&f, PRIMARY_CLONE, PRIMARY_REINIT_WANTED);
	assert_true(primary_decide(&f).floor.index == 2700);
	f.leader.promoted = false;
	expect(&f, PRIMARY_WAIT, PRIMARY_LEADER_NOT_READY);
	f = world_elected();
	reinit_is_wanted(&f);
	expect(&f, PRIMARY_PROMOTE, PRIMARY_ELECTED);
}

/* Rule 17: kept only without any higher claim, run on, on a timeline of its own. */
static void
a_timeline_is_kept_only_below_no_claim(void **state)
{
	PrimaryFacts f = world_primary();

	(void) state;
	elected_again(&f);
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);

	f.claim = 8;
	expect(&f, PRIMARY_RESTART, PRIMARY_NOT_KEPT);
	f.claim = 7;
	f.elected_claim = 8;
	expect(&f, PRIMARY_RESTART, PRIMARY_NOT_KEPT);
	f.elected_claim = 7;
	f.ran_on = false;
	expect(&f, PRIMARY_RESTART, PRIMARY_NOT_KEPT);
	f.ran_on = true;
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
	/* a claim that was used up in an earlier term does not count again */
	f.mark_term = 6;
	expect(&f, PRIMARY_MARK, PRIMARY_NO_MARK);
}

/* Rule 14: only followed, and primary all the same. */
static void
a_primary_on_a_followed_timeline_is_foreign(void **state)
{
	PrimaryFacts f = world_primary();

	(void) state;
	f.timelines[3].created = false;
	expect(&f, PRIMARY_RESIGN, PRIMARY_LEADS_FOREIGN);
	f.leader_id = RAFT_NONE;
	expect(&f, PRIMARY_CLOSE, PRIMARY_LEADERLESS);
}

/* Its member speaks for it by datagrams, also a while after it has died. */
static void
a_source_was_reached_by_a_connection(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	rebuilding(&f);
	expect(&f, PRIMARY_CLONE, PRIMARY_HALF_CLONED);
	f.leader.flush = 0;
	expect(&f, PRIMARY_WAIT, PRIMARY_HALF_NO_SOURCE);
	f = world_follower();
	no_data_named(&f);
	expect(&f, PRIMARY_CLONE, PRIMARY_GONE);
	f.leader.flush = 0;
	expect(&f, PRIMARY_WAIT, PRIMARY_GONE_NO_SOURCE);
}

/* Rule 14, and it does not hold the cluster. */
static void
a_claim_far_away_is_used_at_an_operators_word(void **state)
{
	PrimaryFacts f = world_elected();

	(void) state;
	f.passed_over = PROMOTION_MOST_BURNT;
	expect(&f, PRIMARY_PROMOTE, PRIMARY_ELECTED);
	f.passed_over = PROMOTION_MOST_BURNT + 1;
	expect(&f, PRIMARY_REFUSE, PRIMARY_MANY_BURNT);
	f.burn_any = true;
	expect(&f, PRIMARY_PROMOTE, PRIMARY_ELECTED);
	f.burn_any = false;
	nothing_moved(&f);
	expect(&f, PRIMARY_RESIGN, PRIMARY_NOT_OPENING);
}

/* Rule 13: used up by asking; an attempt in the same term claims anew. */
static void
after_an_attempt_a_new_claim_is_needed(void **state)
{
	PrimaryFacts f = world_elected();

	(void) state;
	f.authorised = 7;
	f.authorised_term = 7;
	f.claimed = 0;
	f.promoting = f.asked = true;
	expect(&f, PRIMARY_WAIT, PRIMARY_PROMOTES);
	f.promoting = false;
	expect(&f, PRIMARY_CLAIM, PRIMARY_NO_CLAIM);
}

static void
an_order_names_what_it_is_about(void **state)
{
	PrimaryFacts f = world_follower();
	PrimaryOrder order;

	(void) state;
	order = primary_decide(&f);
	assert_int_equal(order.node, 1);
	assert_int_equal(order.timeline, 5);
	assert_int_equal(order.again_at, 0);

	diverged(&f);
	order = primary_decide(&f);
	assert_int_equal(order.node, 1);
	assert_int_equal(order.floor.epoch, 2);
	assert_int_equal(order.floor.index, 1800);

	f = world_elected();
	order = primary_decide(&f);
	assert_int_equal(order.node, RAFT_NONE);
	assert_int_equal(order.timeline, 7);
	assert_int_equal(order.again_at, f.lease_until);
}

/* A second failure is a clone, a third waits. */
static void
rewind_then_clone_then_wait(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	diverged(&f);
	expect(&f, PRIMARY_REWIND, PRIMARY_DIVERGED);
	f.failures = 1;
	expect(&f, PRIMARY_CLONE, PRIMARY_DIVERGED_NO_REWIND);
	f.failures = 2;
	expect(&f, PRIMARY_WAIT, PRIMARY_FAILS_AGAIN);
}

static void
a_rewind_needs_all_of_it(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	diverged(&f);
	f.common_wal = false;
	expect(&f, PRIMARY_CLONE, PRIMARY_DIVERGED_NO_REWIND);
	f.common_wal = true;
	f.rewind_room = false;
	expect(&f, PRIMARY_CLONE, PRIMARY_DIVERGED_NO_REWIND);
	f.rewind_room = true;
	f.leader.has_fork = false;
	expect(&f, PRIMARY_CLONE, PRIMARY_DIVERGED_NO_REWIND);
	f.leader.has_fork = true;
	/* never on what a rebuild has left */
	f.rebuild = RAFT_REWINDING;
	f.remains = PRIMARY_REMAINS_WHOLE;
	expect(&f, PRIMARY_CLONE, PRIMARY_DIVERGED_NO_REWIND);
}

/* Blocks of another source are in no WAL that would mend them. */
static void
a_rewind_is_repeated_only_from_its_source(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	half_rewound(&f);
	f.rebuild_source = 2;
	expect(&f, PRIMARY_CLONE, PRIMARY_HALF_CLONED);
	f.rebuild_source = 1;
	f.rebuild_term = 6;
	expect(&f, PRIMARY_CLONE, PRIMARY_HALF_CLONED);
	f.rebuild_term = 7;
	f.leader.has_fork = false;
	expect(&f, PRIMARY_CLONE, PRIMARY_HALF_CLONED);
	f.leader.has_fork = true;
	f.remains = PRIMARY_REMAINS_BROKEN;
	expect(&f, PRIMARY_CLONE, PRIMARY_HALF_CLONED);
	assert_int_equal(primary_decide(&f).floor.index, 1800);
}

/* A full disk is as full a moment later; another source may have what this one lacked. */
static void
an_interrupted_rebuild_pauses(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	half_rewound_twice(&f);
	assert_int_equal(primary_decide(&f).again_at, f.now + 1);
	f.now++;
	expect(&f, PRIMARY_REWIND, PRIMARY_HALF_REWOUND);
	f.now--;
	f.failed_term = 6;
	expect(&f, PRIMARY_REWIND, PRIMARY_HALF_REWOUND);
	f.failed_term = 7;
	f.failed_source = 2;
	expect(&f, PRIMARY_REWIND, PRIMARY_HALF_REWOUND);
	f.failed_source = 1;
	f.failures = 1;
	expect(&f, PRIMARY_REWIND, PRIMARY_HALF_REWOUND);
	f.failures = 2;
	f.rebuild_pause = 0;
	expect(&f, PRIMARY_WAIT, PRIMARY_HALF_FAILS_AGAIN);
}

/* Rule 21: insisting on an open leader deadlocks. */
static void
an_open_leader_is_preferred_for_a_while(void **state)
{
	PrimaryFacts f = world_follower();
	PrimaryOrder order;

	(void) state;
	diverged_from_a_closed_one(&f);
	order = primary_decide(&f);
	assert_int_equal(order.again_at, f.now + 1);
	f.now++;
	expect(&f, PRIMARY_REWIND, PRIMARY_DIVERGED);
	f.rebuild_wanted = 0;
	expect(&f, PRIMARY_WAIT, PRIMARY_PREFERS_OPEN);
}

/* A half rebuilt directory is not started, whatever else is the case. */
static void
what_is_half_rebuilt_is_never_started(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	rebuilding(&f);
	no_server(&f);
	expect(&f, PRIMARY_CLONE, PRIMARY_HALF_CLONED);
	nobody_leads(&f);
	expect(&f, PRIMARY_WAIT, PRIMARY_HALF_NO_SOURCE);
	f.remains = PRIMARY_REMAINS_WHOLE;
	expect(&f, PRIMARY_RESTART, PRIMARY_NOT_RUNNING);
	f.distrusted = true;
	expect(&f, PRIMARY_WAIT, PRIMARY_GONE_NO_SOURCE);
}

/* Its source is lost: what it has is all that there will be. */
static void
a_copy_that_is_alone_is_a_copy(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	whole_and_alone(&f);
	f.consistent = false;
	expect(&f, PRIMARY_WAIT, PRIMARY_NO_LEADER);
	f.consistent = true;
	f.floor = (RaftPosition){5, 2501};
	expect(&f, PRIMARY_WAIT, PRIMARY_NO_LEADER);

	/* The old one, beside a clone that is not done. */
	whole_and_alone(&f);
	f.remains = PRIMARY_REMAINS_UNTOUCHED;
	f.failed_at = f.now - f.rebuild_pause + 1;
	expect(&f, PRIMARY_WAIT, PRIMARY_HALF_NO_SOURCE);
	f.failed_at--;
	expect(&f, PRIMARY_REBUILT, PRIMARY_WHOLE_ALONE);
	no_server(&f);
	expect(&f, PRIMARY_RESTART, PRIMARY_NOT_RUNNING);
	f.distrusted = true;
	expect(&f, PRIMARY_WAIT, PRIMARY_HALF_NO_SOURCE);
	f.distrusted = false;
	f.leader_id = 1;
	f.failed_at = f.now;
	expect(&f, PRIMARY_CLONE, PRIMARY_HALF_CLONED);
}

static void
a_rebuild_is_over_only_when_all_of_it_is_true(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	rebuilt(&f);
	assert_int_equal(primary_decide(&f).timeline, 5);
	f.consistent = false;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	f.consistent = true;
	f.floor = (RaftPosition){5, 2501};
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	f.floor.index = 2500;
	expect(&f, PRIMARY_REBUILT, PRIMARY_IS_REBUILT);
	f.check.streaming = PRIMARY_STREAMING_UNKNOWN;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
}

/* Rule 20: our end may pass what we know of the leader once we receive from it, not before. */
static void
a_receiver_of_another_leader_is_not_let_on(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.receiving = true;
	expect(&f, PRIMARY_WAIT, PRIMARY_NOT_COMPARED);
	f.check.loose = true;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	f.end = 3000;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	f.receiving = false;
	expect(&f, PRIMARY_WAIT, PRIMARY_LOOK_AGAIN);
}

/* It has confirmed nothing to anybody, so there is nothing that a leader would have to forget. */
static void
a_first_clone_waits_for_no_floor(void **state)
{
	PrimaryFacts f = world_follower();
	PrimaryOrder order;

	(void) state;
	no_data(&f);
	f.stored_system_id = 0;
	f.never_held = true;
	order = primary_decide(&f);
	assert_int_equal(order.action, PRIMARY_CLONE);
	assert_int_equal(order.reason, PRIMARY_GONE);
	assert_true(order.floor.epoch == 0 && order.floor.index == 0);
	f.leader.open = f.leader.promoted = false;
	expect(&f, PRIMARY_WAIT, PRIMARY_GONE_NO_SOURCE);
}

/* Its copy is as good as any: what a full disk keeps out, another copy would not bring in. */
static void
a_copy_is_not_thrown_away_for_a_full_disk(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	stuck_again(&f);
	expect(&f, PRIMARY_CLONE, PRIMARY_STREAMS_NEVER);
	f.leader.has_end = true; /* it lets nobody in, as a rule, and will: nothing is removed for that at once */
	f.stuck_since = f.now - 4 * f.rebuild_pause + 1;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	assert_int_equal(primary_decide(&f).again_at, f.now + 1);
	f.stuck_since--;
	expect(&f, PRIMARY_CLONE, PRIMARY_STREAMS_NEVER);
	f.stuck_since = 0; /* it was rebuilt, and nothing else has failed since */
	expect(&f, PRIMARY_RESTART, PRIMARY_NOT_STREAMING);
	f.leader.has_end = false;
	f.stuck_since = 0;
	f.health = PRIMARY_HEALTH_NO_ROOM;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	f.failures = 0;
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
}

/* Section 6: the others re-point before the leader has promoted. */
static void
a_leader_in_recovery_is_not_followed(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	f.leader.promoted = false;
	f.leader.open = false;
	f.leader.server = RAFT_SERVER_RECOVERY;
	/* it may go on to a timeline of which we do not know yet that it is claimed */
	expect(&f, PRIMARY_WAIT, PRIMARY_LEADER_NOT_READY);
	/* promoted at 2500: where we end */
	f = world_follower();
	f.leader.lineage = world_path5_7();
	expect(&f, PRIMARY_FOLLOW, PRIMARY_COMPARED);
	f.end = 2501;
	expect(&f, PRIMARY_REWIND, PRIMARY_DIVERGED);
}

/* Rule 18: with one copy PostgreSQL keeps no position of standbys. */
static void
a_single_server_opens(void **state)
{
	PrimaryFacts f = world_primary();

	(void) state;
	f.members = 1;
	f.released = 0;
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
	f.members = 2;
	expect(&f, PRIMARY_CLOSE, PRIMARY_NOT_RELEASED);
}

/* Within one term of one worker a quorum that is lost does not shut the fence again. */
static void
what_has_opened_stays_open_under_its_lease(void **state)
{
	PrimaryFacts f = world_primary();

	(void) state;
	f.opened_term = 7;
	f.quorum_flushed = 0;
	f.released = 0;
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
	no_lease(&f);
	expect(&f, PRIMARY_CLOSE, PRIMARY_NO_LEASE);
}

/* Rules 18 and 25 resign only in favour of somebody. */
static void
a_leader_resigns_only_to_somebody(void **state)
{
	PrimaryFacts f = world_primary();

	(void) state;
	nothing_moved(&f);
	f.other_could_lead = false;
	expect(&f, PRIMARY_CLOSE, PRIMARY_NO_QUORUM);
	f.other_could_lead = true;
	f.moved_at++;
	expect(&f, PRIMARY_CLOSE, PRIMARY_NO_QUORUM);
	assert_int_equal(primary_decide(&f).again_at, f.now + 1);

	f = world_primary();
	standing(&f);
	f.standing_before = true;
	expect(&f, PRIMARY_OPEN, PRIMARY_STANDS_STILL);
	f.standing_before = false;
	f.standing_since++;
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
	assert_int_equal(primary_decide(&f).again_at, f.now + 1);

	f = world_elected();
	promoting(&f);
	nothing_moved(&f);
	expect(&f, PRIMARY_RESIGN, PRIMARY_NOT_OPENING);
}

/* What ends a leadership for another one, keeps it where there is none; and little room ends none. */
static void
an_unhealthy_leader_resigns_only_to_somebody(void **state)
{
	(void) state;
	for (int health = PRIMARY_HEALTHY + 1; health < PRIMARY_HEALTHS; health++)
	{
		PrimaryFacts f = world_primary();
		bool		 is_grave = health != PRIMARY_HEALTH_NO_ROOM && health != PRIMARY_HEALTH_TOO_SMALL;

		f.health = (PrimaryHealth) health;
		expect(&f, PRIMARY_OPEN, is_grave ? PRIMARY_UNHEALTHY : PRIMARY_ALL_GOOD);
		f.replaceable = true;
		if (is_grave)
			expect(&f, PRIMARY_RESIGN, PRIMARY_LEADS_UNHEALTHY);
		else
			expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
		no_lease(&f);
		f.replaceable = false;
		expect(&f, PRIMARY_CLOSE, PRIMARY_NO_LEASE);
	}
}

static void
who_may_stand(void **state)
{
	PrimaryFacts f = world_follower();

	(void) state;
	assert_true(primary_may_stand(&f));
	for (int health = PRIMARY_HEALTHY + 1; health < PRIMARY_HEALTHS; health++)
	{
		f.health = (PrimaryHealth) health;
		assert_false(primary_may_stand(&f));
	}
	f = world_follower();
	fsync_off(&f);
	assert_false(primary_may_stand(&f));
	f = world_follower();
	f.leader.major = 16;
	assert_false(primary_may_stand(&f));
	f = world_follower();
	by_hand(&f);
	assert_true(primary_may_stand(&f)); /* raft/ was told that it is foreign */
	/* an open leader with little room goes on */
	f = world_primary();
	f.health = PRIMARY_HEALTH_NO_ROOM;
	expect(&f, PRIMARY_OPEN, PRIMARY_ALL_GOOD);
}

static void
what_is_refused_says_what_to_set(void **state)
{
	PrimaryFacts f = world_follower();
	char		 text[400];

	(void) state;
	for (int s = PRIMARY_SETTING_GOOD + 1; s < PRIMARY_SETTINGS; s++)
	{
		PrimaryOrder order;

		f.setting = (PrimarySetting) s;
		order = primary_decide(&f);
		assert_int_equal(order.action, PRIMARY_REFUSE);
		primary_describe(&order, &f, text, sizeof(text));
		assert_non_null(strstr(text, "managed mode refuses this server: "));
	}
	assert_non_null(strstr(text, "restore_command"));
}

static const struct CMUnitTest edges[] = {
	cmocka_unit_test(in_a_pause_nobody_is_promoted),
	cmocka_unit_test(in_a_pause_a_primary_stays),
	cmocka_unit_test(in_a_pause_no_rebuild_begins),
	cmocka_unit_test(a_restart_is_for_standbys),
	cmocka_unit_test(a_part_is_cut_off_where_the_leader_goes_another_way),
	cmocka_unit_test(a_new_copy_begins_when_nothing_comes_in),
	cmocka_unit_test(every_reason_has_a_row_and_a_test),
	cmocka_unit_test(a_timeline_is_kept_only_below_no_claim),
	cmocka_unit_test(a_primary_on_a_followed_timeline_is_foreign),
	cmocka_unit_test(a_source_was_reached_by_a_connection),
	cmocka_unit_test(a_claim_far_away_is_used_at_an_operators_word),
	cmocka_unit_test(after_an_attempt_a_new_claim_is_needed),
	cmocka_unit_test(an_order_names_what_it_is_about),
	cmocka_unit_test(rewind_then_clone_then_wait),
	cmocka_unit_test(a_rewind_needs_all_of_it),
	cmocka_unit_test(a_rewind_is_repeated_only_from_its_source),
	cmocka_unit_test(an_interrupted_rebuild_pauses),
	cmocka_unit_test(an_open_leader_is_preferred_for_a_while),
	cmocka_unit_test(what_is_half_rebuilt_is_never_started),
	cmocka_unit_test(a_copy_that_is_alone_is_a_copy),
	cmocka_unit_test(a_rebuild_is_over_only_when_all_of_it_is_true),
	cmocka_unit_test(a_receiver_of_another_leader_is_not_let_on),
	cmocka_unit_test(a_copy_is_not_thrown_away_for_a_full_disk),
	cmocka_unit_test(a_first_clone_waits_for_no_floor),
	cmocka_unit_test(a_leader_in_recovery_is_not_followed),
	cmocka_unit_test(a_single_server_opens),
	cmocka_unit_test(what_has_opened_stays_open_under_its_lease),
	cmocka_unit_test(a_leader_resigns_only_to_somebody),
	cmocka_unit_test(an_unhealthy_leader_resigns_only_to_somebody),
	cmocka_unit_test(who_may_stand),
	cmocka_unit_test(what_is_refused_says_what_to_set),
};

#define EDGES (sizeof(edges) / sizeof(edges[0]))

int
main(void)
{
	static struct CMUnitTest tests[EDGES + CASES];

	memcpy(tests, edges, sizeof(edges));
	for (size_t i = 0; i < CASES; i++)
		tests[EDGES + i] = (struct CMUnitTest){primary_reason_name(cases[i].reason), row, NULL, NULL, (void *) &cases[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
