/*
 * test/unit/test_primary_switchover.c
 *	  A planned hand-over: each step, each way back, and what the fence does meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../primary/switchover.h"
#include "random.h"

static const SwitchoverLimits limits = {.checkpoint = 1000, .drain = 100, .catch_up = 500};

static SwitchoverFacts
world(void)
{
	return (SwitchoverFacts){
		.now = 10000,
		.self = 0,
		.leader_id = 0,
		.term = 7,
		.lease_until = 20000,
		.open = true,
		.waiting = 3,
		.flush = 2500,
		.target_fits = true,
		.target_flush = 2400,
		.target_told = 2300,
		.senders = 2,
	};
}

static Switchover
begun(SwitchoverFacts *f)
{
	Switchover s;

	*f = world();
	assert_int_equal(switchover_begin(&s, f, 1, &limits), SWITCHOVER_GOES_ON);
	assert_int_equal(s.step, SWITCHOVER_CHECKPOINT);
	return s;
}

/* As far as that step, all going well. */
static Switchover
at_step(SwitchoverStep step, SwitchoverFacts *f)
{
	Switchover s = begun(f);

	for (int i = 0; s.step != step && i < 10; i++)
	{
		f->checkpoint_done = true;
		f->waiting = s.step == SWITCHOVER_DRAIN ? 0 : f->waiting;
		f->open = s.step == SWITCHOVER_CHECKPOINT;
		f->target_flush = s.step == SWITCHOVER_CATCH_UP ? f->flush : f->target_flush;
		f->target_told = f->target_flush;
		f->senders = s.step == SWITCHOVER_END_SENDERS ? 0 : f->senders;
		f->transfer_tried = s.step == SWITCHOVER_HAND_OVER;
		f->transfer = RAFT_TRANSFER_STARTED;
		f->stopped = s.step == SWITCHOVER_STOP;
		(void) switchover_next(&s, f);
	}
	assert_int_equal(s.step, step);
	f->transfer_tried = false;
	return s;
}

static void
expect_back(Switchover *s, const SwitchoverFacts *f, SwitchoverReason reason)
{
	assert_int_equal(switchover_next(s, f), SWITCHOVER_BACK);
	assert_int_equal(s->reason, reason);
	assert_in_range(s->given_up_at, SWITCHOVER_CHECKPOINT, SWITCHOVER_HAND_OVER);
	assert_int_equal(switchover_hand_over(s), PRIMARY_HAND_OVER_NONE);
	assert_string_equal(switchover_step_name(s->step), "given up");
	assert_non_null(switchover_describe(s->reason));
	/* for good */
	assert_int_equal(switchover_next(s, f), SWITCHOVER_BACK);
}

static void
all_steps_in_their_order(void **state)
{
	SwitchoverFacts f;
	Switchover		s = begun(&f);

	(void) state;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_CHECKPOINT);
	assert_int_equal(switchover_hand_over(&s), PRIMARY_HAND_OVER_NONE);
	f.checkpoint_done = true;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_DRAIN);
	assert_int_equal(switchover_hand_over(&s), PRIMARY_HAND_OVER_DRAINING);
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_DRAIN);
	f.waiting = 0;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_CATCH_UP);
	assert_int_equal(switchover_hand_over(&s), PRIMARY_HAND_OVER_CLOSED);
	f.target_flush = f.target_told = 2499;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_CATCH_UP);
	f.target_flush = 2500;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_CATCH_UP);
	f.target_told = 2499;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_CATCH_UP);
	f.target_told = 2500;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_END_SENDERS);
	f.senders = 1;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_END_SENDERS);
	f.senders = 0;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_HAND_OVER);
	assert_int_equal(switchover_hand_over(&s), PRIMARY_HAND_OVER_CLOSED);
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_HAND_OVER);

	/* the lease is over, and that is no way back */
	f.transfer_tried = true;
	f.transfer = RAFT_TRANSFER_STARTED;
	f.leader_id = RAFT_NONE;
	f.lease_until = 0;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_STOP);
	assert_int_equal(switchover_hand_over(&s), PRIMARY_HAND_OVER_DONE);
	f.term = 8;
	f.leader_id = 1;
	f.now = 1000000;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_STOP);
	f.stopped = true;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_DONE);
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_DONE);
}

static void
it_does_not_begin_where_it_cannot_end(void **state)
{
	SwitchoverFacts f = world();
	Switchover		s;

	(void) state;
	f.open = false;
	assert_int_equal(switchover_begin(&s, &f, 1, &limits), SWITCHOVER_NOT_OPEN);
	assert_int_equal(s.step, SWITCHOVER_BACK);
	f = world();
	f.leader_id = 1;
	assert_int_equal(switchover_begin(&s, &f, 1, &limits), SWITCHOVER_NOT_OPEN);
	f = world();
	f.lease_until = f.now;
	assert_int_equal(switchover_begin(&s, &f, 1, &limits), SWITCHOVER_NOT_OPEN);
	f = world();
	assert_int_equal(switchover_begin(&s, &f, 0, &limits), SWITCHOVER_NO_TARGET);
	assert_int_equal(switchover_begin(&s, &f, RAFT_NONE, &limits), SWITCHOVER_NO_TARGET);
	f.target_fits = false;
	assert_int_equal(switchover_begin(&s, &f, 1, &limits), SWITCHOVER_TARGET_LOST);
	f = world();
	f.paused = true;
	assert_int_equal(switchover_begin(&s, &f, 1, &limits), SWITCHOVER_PAUSED);
}

static void
every_step_has_a_deadline_and_a_way_back(void **state)
{
	const struct
	{
		SwitchoverStep	 step;
		SwitchoverReason reason;
	} late[] = {
		{SWITCHOVER_CHECKPOINT, SWITCHOVER_CHECKPOINT_SLOW},
		{SWITCHOVER_DRAIN, SWITCHOVER_COMMITS_WAIT},
		{SWITCHOVER_CATCH_UP, SWITCHOVER_TARGET_BEHIND},
		{SWITCHOVER_END_SENDERS, SWITCHOVER_SENDERS_STAY},
		{SWITCHOVER_HAND_OVER, SWITCHOVER_TARGET_BEHIND},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++)
	{
		SwitchoverFacts f;
		Switchover		s = at_step(late[i].step, &f);

		f.checkpoint_done = false;
		f.waiting = 1;
		f.target_flush = 0;
		f.senders = 1;
		f.now = s.deadline - 1;
		f.lease_until = f.now + 1000;
		assert_int_equal(switchover_next(&s, &f), late[i].step);
		f.now++;
		expect_back(&s, &f, late[i].reason);

		s = at_step(late[i].step, &f);
		f.lease_until = f.now;
		expect_back(&s, &f, SWITCHOVER_LEADERSHIP_LOST);
		s = at_step(late[i].step, &f);
		f.term = 8;
		expect_back(&s, &f, SWITCHOVER_LEADERSHIP_LOST);
		s = at_step(late[i].step, &f);
		f.target_fits = false;
		expect_back(&s, &f, SWITCHOVER_TARGET_LOST);
	}
}

static void
a_failed_checkpoint_is_a_way_back(void **state)
{
	SwitchoverFacts f;
	Switchover		s = begun(&f);

	(void) state;
	f.checkpoint_failed = true;
	expect_back(&s, &f, SWITCHOVER_CHECKPOINT_FAILED);
}

/* Something was written behind the closed fence: the target fetches it, within the deadline. */
static void
a_target_that_fell_behind_catches_up_again(void **state)
{
	SwitchoverFacts f;
	Switchover		s = at_step(SWITCHOVER_HAND_OVER, &f);
	uint64_t		deadline = s.deadline;

	(void) state;
	f.flush = 2580;
	f.now += 100;
	f.transfer_tried = true;
	f.transfer = RAFT_TRANSFER_BEHIND;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_CATCH_UP);
	assert_int_equal(s.deadline, deadline);
	f.transfer_tried = false;
	f.target_flush = 2580;
	assert_false(f.target_told >= f.flush);
	assert_true(switchover_hastens(&s, &f));
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_CATCH_UP);

	/* what is written meanwhile counts, too */
	f.target_told = 2580;
	f.flush = 2600;
	assert_false(switchover_hastens(&s, &f));
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_CATCH_UP);
	f.now = deadline;
	expect_back(&s, &f, SWITCHOVER_TARGET_BEHIND);
}

static void
a_refused_transfer_is_a_way_back(void **state)
{
	SwitchoverFacts f;
	Switchover		s = at_step(SWITCHOVER_HAND_OVER, &f);

	(void) state;
	f.transfer_tried = true;
	f.transfer = RAFT_TRANSFER_CANNOT_LEAD;
	expect_back(&s, &f, SWITCHOVER_REFUSED);
}

/* Whatever comes: commits are let through only at first, and no step is taken back. */
static void
random_facts_never_open_in_the_middle(void **state)
{
	uint64_t random = 1;

	(void) state;
	for (int turn = 0; turn < 50000; turn++)
	{
		SwitchoverFacts f;
		Switchover		s = begun(&f);
		bool			told = false;

#define BELOW(n) random_below(&random, n)
		for (int i = 0; i < 20; i++)
		{
			SwitchoverStep before = s.step;

			f.now += BELOW(60);
			f.lease_until = f.now + (BELOW(30) > 0);
			f.checkpoint_done = BELOW(2) > 0;
			f.waiting = BELOW(2);
			f.flush += BELOW(3);
			f.target_flush = f.flush - BELOW(3);
			f.target_told = f.target_flush - BELOW(2);
			f.senders = BELOW(2);
			f.transfer_tried = BELOW(2) > 0;
			f.transfer = (RaftTransferResult) BELOW(RAFT_TRANSFER_NO_TARGET + 1);
			told |= s.step == SWITCHOVER_HAND_OVER && f.transfer_tried && f.transfer == RAFT_TRANSFER_STARTED;
			(void) switchover_next(&s, &f);

			/* told: no way back; not told: no stop */
			assert_int_equal(told, s.step == SWITCHOVER_STOP || s.step == SWITCHOVER_DONE);
			assert_true(s.step >= before || (before == SWITCHOVER_HAND_OVER && s.step == SWITCHOVER_CATCH_UP));
			if (s.step == SWITCHOVER_END_SENDERS && before == SWITCHOVER_CATCH_UP)
				assert_true(f.target_flush >= f.flush && f.target_told >= f.flush);
			assert_true(f.now < s.deadline || s.deadline == 0);
		}
	}
}

static void
all_have_names(void **state)
{
	(void) state;
	for (int i = 0; i < SWITCHOVER_STEPS; i++)
		assert_string_not_equal(switchover_step_name((SwitchoverStep) i), "unknown");
	for (int i = 0; i < SWITCHOVER_REASONS; i++)
		assert_string_not_equal(switchover_describe((SwitchoverReason) i), "unknown");
	assert_string_equal(switchover_step_name(SWITCHOVER_STEPS), "unknown");
	assert_string_equal(switchover_describe(SWITCHOVER_REASONS), "unknown");
}

/* ---- limits, and whom to choose ---- */

static void
limits_take_as_long_as_was_said(void **state)
{
	static const uint64_t waits[] = {0, 1, 3, 1000, 2000000, 19999999, 20000000, 30000000, 86400000000};

	(void) state;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
	{
		SwitchoverLimits l = switchover_limits(waits[i]);

		assert_true(l.checkpoint + l.drain + l.catch_up == waits[i]);
		assert_true(l.drain <= 5000000 && l.catch_up <= 5000000);
		assert_true(l.checkpoint >= l.drain);
	}
	assert_true(switchover_limits(30000000).checkpoint == 20000000);
}

static void
the_fittest_streams_and_has_replayed_most(void **state)
{
	SwitchoverFacts one = world();
	SwitchoverFacts other = world();

	(void) state;
	assert_false(switchover_is_fitter(&one, &other));

	/* what is flushed differs all the time, and is waited for; what is not replayed delays the promotion */
	one.target_flush = 2000;
	one.target_replay = 1900;
	other.target_replay = 1800;
	assert_true(switchover_is_fitter(&one, &other));
	assert_false(switchover_is_fitter(&other, &one));
	one.target_flush = 0;
	assert_false(switchover_is_fitter(&one, &other));
	assert_true(switchover_is_fitter(&other, &one));
	other.target_fits = false;
	assert_true(switchover_is_fitter(&one, &other));
	assert_false(switchover_is_fitter(&other, &one));
}

static void
cancelled_in_each_step_that_has_a_way_back(void **state)
{
	(void) state;
	for (SwitchoverStep step = SWITCHOVER_CHECKPOINT; step <= SWITCHOVER_HAND_OVER; step++)
	{
		SwitchoverFacts f;
		Switchover		s = at_step(step, &f);

		f.cancelled = true;
		expect_back(&s, &f, SWITCHOVER_CANCELLED);
		s = at_step(step, &f);
		f.paused = true;
		expect_back(&s, &f, SWITCHOVER_PAUSED);
	}

	/* and not afterwards */
	SwitchoverFacts f;
	Switchover		s = at_step(SWITCHOVER_STOP, &f);

	f.cancelled = true;
	assert_int_equal(switchover_next(&s, &f), SWITCHOVER_STOP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_take_as_long_as_was_said),
		cmocka_unit_test(the_fittest_streams_and_has_replayed_most),
		cmocka_unit_test(cancelled_in_each_step_that_has_a_way_back),
		cmocka_unit_test(all_steps_in_their_order),
		cmocka_unit_test(it_does_not_begin_where_it_cannot_end),
		cmocka_unit_test(every_step_has_a_deadline_and_a_way_back),
		cmocka_unit_test(a_failed_checkpoint_is_a_way_back),
		cmocka_unit_test(a_target_that_fell_behind_catches_up_again),
		cmocka_unit_test(a_refused_transfer_is_a_way_back),
		cmocka_unit_test(random_facts_never_open_in_the_middle),
		cmocka_unit_test(all_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
