/*
 * test/unit/test_primary_properties.c
 *	  What no order of primary/decide.c may do, whatever the facts are: from facts in which
 *	  all is well, some are changed at random, and the order is held against the rules as
 *	  the design words them, not as the table does.
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
#include "random.h"

#define TURNS 600000

static uint64_t random_state = 1;

static uint32_t
below(uint32_t n)
{
	return random_below(&random_state, n);
}

static bool
coin(void)
{
	return below(2) > 0;
}

static const Lineage *
any_lineage(void)
{
	const Lineage *all[] = {NULL, world_path1(), world_path2(), world_path5(), world_path5_7(), world_path2_7(), world_path_hand()};

	return all[below(sizeof(all) / sizeof(all[0]))];
}

/* Around where the histories part. */
static uint64_t
any_lsn(void)
{
	const uint64_t at[] = {1, 1000, 1500, 1800, 2000, 2400, 2500, 2600};

	return at[below(8)] + below(3) - 1;
}

static RaftPosition
any_position(void)
{
	const uint64_t timelines[] = {0, 1, 2, 5, 7};

	return (RaftPosition){timelines[below(5)], any_lsn()};
}

static void
change_election(PrimaryFacts *f)
{
	switch (below(8))
	{
		case 0:
			f->leader_id = (int32_t) below(4) - 1;
			break;
		case 1:
			f->lease_until = f->now + below(3) - 1;
			break;
		case 2:
			f->term += below(2);
			f->in_pause = coin();
			break;
		case 3:
			f->claim = below(9);
			if (f->claim == 0)
				f->elected_claim = 0;
			break;
		case 4:
			f->elected_claim = below(9);
			break;
		case 5:
			f->claimed = coin() ? 7 + below(2) : 0;
			f->passed_over = coin() ? PROMOTION_MOST_BURNT + below(2) : 0;
			f->burn_any = below(4) == 0;
			f->claiming = coin();
			break;
		case 6:
			f->promoting = coin();
			f->asked = coin();
			break;
		default:
			f->authorised = below(9);
			f->authorised_term = 6 + below(2);
	}
}

static void
change_data(PrimaryFacts *f)
{
	switch (below(13))
	{
		case 0:
			f->server = (RaftServer) below(3);
			break;
		case 1:
			f->system_id = below(3) > 0 ? 77 + below(2) : 0;
			break;
		case 2:
			f->distrusted = coin();
			break;
		case 3:
			f->lineage = any_lineage();
			break;
		case 4:
			f->end = any_lsn();
			f->part_left = coin();
			break;
		case 5:
			f->end_known = coin();
			break;
		case 6:
			f->receiving = coin();
			break;
		case 7:
			f->replayed = coin();
			f->paused = coin();
			break;
		case 8:
			f->ran_on = coin();
			f->consistent = coin();
			break;
		case 9:
			f->wrote_on = below(8);
			break;
		case 10:
			f->n_timelines = below(f->n_timelines + 1);
			break;
		case 11:
			f->timelines[below(4)].created = coin();
			break;
		default:
			f->timeline = below(8);
	}
}

static void
change_rebuild(PrimaryFacts *f)
{
	switch (below(6))
	{
		case 0:
			f->rebuild = (RaftRebuild) below(3);
			f->remains = (PrimaryRemains) below(4);
			f->rebuild_source = (int32_t) below(3);
			f->rebuild_term = 6 + below(2);
			break;
		case 1:
			f->floor = any_position();
			break;
		case 2:
			f->failures = below(4);
			f->failed_source = (int32_t) below(3);
			f->failed_term = 5 + below(4);
			break;
		case 3:
			f->hints = coin();
			f->common_wal = coin();
			f->rewind_room = coin();
			break;
		case 4:
			f->rebuild_wanted = below(2000000);
			f->prefer_open = below(1000000);
			break;
		default:
			f->setting = coin() ? PRIMARY_SETTING_GOOD : PRIMARY_SETTING_FSYNC;
			f->health = (PrimaryHealth) below(PRIMARY_HEALTHS);
			f->restart_wanted = below(4) == 0;
			f->reinit_wanted = coin();
	}
}

static void
change_leader(PrimaryFacts *f)
{
	PrimaryLeader *leader = &f->leader;

	switch (below(7))
	{
		case 0:
			leader->server = (RaftServer) below(3);
			leader->promoted = coin();
			leader->open = coin();
			break;
		case 1:
			leader->lineage = any_lineage();
			break;
		case 2:
			leader->flush = coin() ? any_lsn() : 0;
			break;
		case 3:
			leader->control_shows_timeline = coin();
			leader->has_fork = coin();
			break;
		case 4:
			leader->named_floor = coin();
			leader->floor = any_position();
			break;
		case 5:
			leader->system_id = below(3) > 0 ? 77 : below(2) * 78;
			leader->major = 15 + below(2);
			break;
		default:
			f->check = (PrimaryCheck){6 + below(2), (int32_t) below(3), (PrimaryPrefix) below(3), coin(), coin(), (PrimaryStreaming) below(3), 0};
	}
}

static void
change_leading(PrimaryFacts *f)
{
	switch (below(7))
	{
		case 0:
			f->mark_term = 6 + below(2);
			f->mark_end = any_lsn();
			break;
		case 1:
			f->quorum_flushed = any_lsn();
			break;
		case 2:
			f->released = any_lsn();
			break;
		case 3:
			f->names_in_force = coin();
			break;
		case 4:
			f->opened_term = 6 + below(2);
			break;
		case 5:
			f->hand_over = (PrimaryHandOver) below(4);
			break;
		default:
			f->now += below(20000000);
			f->standing_since = coin() ? 1 + below(20000000) : 0;
			f->standing_before = coin();
			f->other_could_lead = coin();
			f->other_has_all = coin();
			f->replaceable = coin();
	}
}

/* A rebuild that is about to be over. */
static PrimaryFacts
world_rebuilt(void)
{
	PrimaryFacts f = world_follower();

	f.rebuild = RAFT_CLONING;
	f.remains = PRIMARY_REMAINS_WHOLE;
	f.floor = (RaftPosition){2, 1800};
	f.receiving = true;
	f.check.loose = true;
	f.check.streaming = PRIMARY_STREAMING_REAL;
	return f;
}

static PrimaryFacts
any_facts(void)
{
	static PrimaryFacts (*const worlds[])(void) = {world_follower, world_rebuilt, world_elected, world_primary};
	static void (*const changes[])(PrimaryFacts *) = {change_election, change_data, change_rebuild, change_leader, change_leading};
	PrimaryFacts f = worlds[below(4)]();

	f.members = 1 + below(5);
	for (uint32_t n = below(8); n > 0; n--)
		changes[below(5)](&f);
	return f;
}

/* ---- the rules ---- */

static bool
may_write_on(const PrimaryFacts *f, uint32_t timeline)
{
	for (uint32_t i = 0; i < f->n_timelines; i++)
	{
		if (f->timelines[i].id == timeline && f->timelines[i].created)
			return true;
	}
	return false;
}

/* Commits are answered. */
static void
check_open(const PrimaryFacts *f)
{
	assert_int_equal(f->leader_id, f->self);
	assert_int_equal(f->server, RAFT_SERVER_PRIMARY);
	assert_true(f->lease_until > f->now);
	assert_false(primary_position(f).foreign);
	assert_true(may_write_on(f, f->timeline) || (f->claim == 0 && f->n_timelines == 0));
	assert_true(f->names_in_force);
	assert_true(f->setting == PRIMARY_SETTING_GOOD && f->rebuild == RAFT_INTACT && !f->distrusted);
	assert_true(f->hand_over == PRIMARY_HAND_OVER_NONE || f->hand_over == PRIMARY_HAND_OVER_DRAINING);
	if (f->authorised_term == f->term && f->authorised != 0)
		assert_int_equal(f->timeline, f->authorised);
	else
		assert_true(f->ran_on && f->claim <= f->timeline && f->elected_claim <= f->timeline);
	if (f->opened_term != f->term)
	{
		assert_int_equal(f->mark_term, f->term);
		assert_true(f->quorum_flushed >= f->mark_end);
		assert_true(f->members == 1 || f->released >= f->mark_end);
	}
}

static void
check_promote(const PrimaryFacts *f, const PrimaryOrder *order)
{
	assert_int_equal(f->leader_id, f->self);
	assert_int_equal(f->server, RAFT_SERVER_RECOVERY);
	assert_true(f->lease_until > f->now);
	assert_true(f->claimed != 0 && order->timeline == f->claimed && !f->in_pause);
	assert_true(f->end_known && f->replayed && !f->paused && !f->receiving && !f->promoting);
	assert_true(f->passed_over <= PROMOTION_MOST_BURNT || f->burn_any);
	assert_false(primary_position(f).foreign);
	assert_true(f->rebuild == RAFT_INTACT && !f->distrusted && f->setting == PRIMARY_SETTING_GOOD);
}

static void
check_claim(const PrimaryFacts *f)
{
	assert_int_equal(f->leader_id, f->self);
	assert_int_equal(f->server, RAFT_SERVER_RECOVERY);
	assert_true((f->claim == 0 && f->receiving) || (f->end_known && !f->receiving));
	assert_true(!f->promoting && f->claimed == 0);
	assert_false(primary_position(f).foreign);
}

/* WAL is received. */
static void
check_follow(const PrimaryFacts *f, const PrimaryOrder *order)
{
	bool loose = f->receiving && f->check.loose;

	assert_true(order->node == f->leader_id && f->leader_id >= 0 && f->leader_id != f->self);
	assert_int_equal(f->server, RAFT_SERVER_RECOVERY);
	assert_int_equal(f->system_id, f->leader.system_id);
	assert_true(f->leader.server == RAFT_SERVER_PRIMARY && f->leader.promoted);
	assert_true(f->end_known && !f->promoting);
	/* the end is not beyond the fork, nor beyond the leader's own */
	assert_true(lineage_holds(f->leader.lineage, lineage_timeline_before(f->lineage, f->end), f->end));
	assert_true(lineage_common_end(f->lineage, f->end, f->leader.lineage) == f->end);
	assert_true(loose || f->end <= f->leader.flush);
	assert_true(loose || !f->receiving);
	assert_false(primary_position(f).by_hand);
	assert_true(f->check.term == f->term && f->check.leader == f->leader_id && f->check.prefix == PRIMARY_PREFIX_SAME);
	assert_true(f->rebuild == RAFT_INTACT || f->remains == PRIMARY_REMAINS_WHOLE);
	assert_false(f->distrusted);
}

static void
check_rebuild(const PrimaryFacts *f, const PrimaryOrder *order)
{
	assert_true(f->leader.flush != 0);
	assert_true(!f->in_pause || f->rebuild != RAFT_INTACT);
	assert_true(order->node == f->leader_id && f->leader_id >= 0 && f->leader_id != f->self);
	assert_true(f->leader.server == RAFT_SERVER_PRIMARY && f->leader.promoted);
	assert_true(f->system_id == 0 || f->stored_system_id == f->system_id);
	assert_int_equal(f->setting, PRIMARY_SETTING_GOOD);
	if (f->rebuild != RAFT_INTACT)
		assert_memory_equal(&order->floor, &f->floor, sizeof(order->floor));
	else if (f->system_id == 0 || f->distrusted)
		assert_true(f->leader.named_floor && order->floor.index == f->leader.floor.index);
	else if (primary_behind(f))
		assert_memory_equal(&order->floor, &f->floor, sizeof(order->floor));
	else if (!f->leader.named_floor || order->floor.index != f->leader.floor.index)
		/* what both have, and no more */
		assert_true(order->floor.index <= f->end && order->floor.index <= f->leader.flush &&
					lineage_holds(f->leader.lineage, (uint32_t) order->floor.epoch, order->floor.index));
}

static void
check_rewind(const PrimaryFacts *f)
{
	assert_true(f->leader.control_shows_timeline && f->leader.has_fork);
	if (f->rebuild == RAFT_INTACT)
		assert_true(f->replayed && f->hints && f->common_wal && f->rewind_room && f->failures == 0 &&
					primary_diverged(f) && !primary_position(f).foreign);
	else
		assert_true(f->rebuild == RAFT_REWINDING && f->remains == PRIMARY_REMAINS_REPEATABLE &&
					f->rebuild_source == f->leader_id && f->rebuild_term == f->term);
}

/* A new copy, or the old one that a clone beside it has not touched, when nobody leads for long enough. */
static bool
is_copy(const PrimaryFacts *f)
{
	return f->rebuild == RAFT_INTACT || f->remains == PRIMARY_REMAINS_WHOLE ||
		   (f->remains == PRIMARY_REMAINS_UNTOUCHED && f->leader_id < 0 && !f->distrusted && f->now >= f->failed_at &&
			f->now - f->failed_at >= f->rebuild_pause);
}

/* A server is started: nothing that is half done, or is not to be used. */
static void
check_restart(const PrimaryFacts *f)
{
	assert_true(is_copy(f));
	assert_true(f->system_id != 0 && !f->distrusted);
	assert_true(f->stored_system_id == f->system_id);
}

static void
check_order(const PrimaryFacts *f, const PrimaryOrder *order)
{
	assert_int_not_equal(order->reason, PRIMARY_UNFORESEEN);
	assert_true(order->again_at == 0 || order->again_at > f->now);
	switch (order->action)
	{
		case PRIMARY_OPEN:
			assert_int_equal(f->hand_over, PRIMARY_HAND_OVER_NONE);
			check_open(f);
			break;
		case PRIMARY_DRAIN:
			assert_int_equal(f->hand_over, PRIMARY_HAND_OVER_DRAINING);
			check_open(f);
			break;
		case PRIMARY_PROMOTE:
			check_promote(f, order);
			break;
		case PRIMARY_CLAIM:
			check_claim(f);
			break;
		case PRIMARY_REBUILT:
			assert_true(f->rebuild != RAFT_INTACT && f->consistent && !primary_behind(f) && primary_position(f).known);
			if (order->node == RAFT_NONE)
			{
				assert_true(f->leader_id < 0 && f->server == RAFT_SERVER_RECOVERY && is_copy(f) && !f->distrusted);
				assert_false(primary_position(f).foreign);
				break;
			}
			assert_int_equal(f->check.streaming, PRIMARY_STREAMING_REAL);
			/* FALLTHROUGH */
		case PRIMARY_FOLLOW:
			check_follow(f, order);
			break;
		case PRIMARY_REWIND:
			check_rewind(f);
			/* FALLTHROUGH */
		case PRIMARY_CLONE:
			check_rebuild(f, order);
			break;
		case PRIMARY_RESTART:
			check_restart(f);
			break;
		case PRIMARY_LEAVE:
			assert_true(f->claim == 0 && f->receiving && f->server == RAFT_SERVER_RECOVERY);
			break;
		case PRIMARY_RESIGN:
			assert_int_equal(f->leader_id, f->self);
			break;
		default:
			break;
	}
}

/* A primary beside another leader does not stay, and what was asked of it is stopped first. */
static void
check_deposed(const PrimaryFacts *f, const PrimaryOrder *order)
{
	bool usable = f->system_id == 77 && !f->distrusted && f->leader.system_id != 78 && f->leader.major != 16 && is_copy(f);

	if (f->leader_id == f->self || !usable)
		return;
	if ((f->server == RAFT_SERVER_PRIMARY && f->leader_id >= 0) ||
		(f->server != RAFT_SERVER_NONE && f->promoting))
		assert_int_equal(order->action, PRIMARY_RESTART);
}

static void
no_order_breaks_a_rule(void **state)
{
	uint32_t seen[PRIMARY_REASONS] = {0};

	(void) state;
	for (int turn = 0; turn < TURNS; turn++)
	{
		PrimaryFacts f = any_facts();
		PrimaryOrder order = primary_decide(&f);
		PrimaryOrder again = primary_decide(&f);

		check_order(&f, &order);
		check_deposed(&f, &order);
		assert_true(order.action == again.action && order.reason == again.reason && order.node == again.node &&
					order.floor.index == again.floor.index && order.again_at == again.again_at);
		seen[order.reason]++;
	}
	/* the runs have been everywhere, so that the above means something */
	for (int reason = 0; reason < PRIMARY_UNFORESEEN; reason++)
	{
		if (seen[reason] == 0)
			fail_msg("%s never came about", primary_reason_name((PrimaryReason) reason));
	}
}

/* What is told to the election never has a byte that was written by hand. */
static void
no_position_has_a_foreign_byte(void **state)
{
	(void) state;
	for (int turn = 0; turn < TURNS; turn++)
	{
		PrimaryFacts	f = any_facts();
		PrimaryPosition own = primary_position(&f);
		bool			ours = f.claim == 0 && f.n_timelines == 0;

		if (!own.known)
			continue;
		assert_true(own.position.index > 0 && own.position.index <= f.end);
		assert_true(lineage_holds(f.lineage, (uint32_t) own.position.epoch, own.position.index));
		assert_true(own.foreign || own.position.index == f.end);
		/* one of ours comes at it or later on the path */
		for (uint32_t i = 0; i < f.n_timelines; i++)
			ours |= lineage_end(f.lineage, f.timelines[i].id) >= own.position.index;
		assert_true(ours || (own.foreign && !own.by_hand));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_order_breaks_a_rule),
		cmocka_unit_test(no_position_has_a_foreign_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
