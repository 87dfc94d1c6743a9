/*
 * primary/switchover.c
 *	  A planned hand-over, step by step, with the way back.
 *
 * See switchover.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "switchover.h"

#include <assert.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

/* What is behind the closed fence should not take long: without an end to it, it is better given up. */
#define MOST_CLOSED (5 * SECOND)

static void
go(Switchover *s, SwitchoverStep step, uint64_t deadline)
{
	s->step = step;
	s->deadline = deadline;
}

static SwitchoverReason
give_up(Switchover *s, SwitchoverReason reason)
{
	s->given_up_at = s->step;
	go(s, SWITCHOVER_BACK, 0);
	s->reason = reason;
	return reason;
}

static bool
leads(const SwitchoverFacts *facts)
{
	return facts->leader_id == facts->self && facts->lease_until > facts->now;
}

SwitchoverLimits
switchover_limits(uint64_t wait)
{
	uint64_t closed = wait / 4 < MOST_CLOSED ? wait / 4 : MOST_CLOSED;

	return (SwitchoverLimits){.checkpoint = wait - 2 * closed, .drain = closed, .catch_up = closed};
}

bool
switchover_is_fitter(const SwitchoverFacts *one, const SwitchoverFacts *than)
{
	bool one_streams = one->target_flush != 0;
	bool than_streams = than->target_flush != 0;

	if (one->target_fits != than->target_fits)
		return one->target_fits;
	if (one_streams != than_streams)
		return one_streams;
	return one->target_replay > than->target_replay;
}

SwitchoverReason
switchover_begin(Switchover *s, const SwitchoverFacts *facts, int32_t target, const SwitchoverLimits *limits)
{
	memset(s, 0, sizeof(*s));
	s->target = target;
	s->term = facts->term;
	s->limits = *limits;
	if (!leads(facts) || !facts->open)
		return give_up(s, SWITCHOVER_NOT_OPEN);
	if (facts->paused)
		return give_up(s, SWITCHOVER_PAUSED);
	if (target < 0 || target >= RAFT_MAX_NODES || target == facts->self)
		return give_up(s, SWITCHOVER_NO_TARGET);
	if (!facts->target_fits)
		return give_up(s, SWITCHOVER_TARGET_LOST);
	go(s, SWITCHOVER_CHECKPOINT, facts->now + limits->checkpoint);
	return SWITCHOVER_GOES_ON;
}

/* The steps from which there is a way back. */
static bool
may_go_back(const Switchover *s)
{
	return s->step >= SWITCHOVER_CHECKPOINT && s->step <= SWITCHOVER_HAND_OVER;
}

/* Why this step cannot be finished any more. */
static SwitchoverReason
overdue(const Switchover *s)
{
	switch (s->step)
	{
		case SWITCHOVER_CHECKPOINT:
			return SWITCHOVER_CHECKPOINT_SLOW;
		case SWITCHOVER_DRAIN:
			return SWITCHOVER_COMMITS_WAIT;
		case SWITCHOVER_END_SENDERS:
			return SWITCHOVER_SENDERS_STAY;
		default:
			return SWITCHOVER_TARGET_BEHIND;
	}
}

/*
 * What was tried has an answer.  The target may have to fetch what was written since, or
 * be bound for a moment: both pass, within the deadline.
 */
static void
hand_over(Switchover *s, const SwitchoverFacts *facts)
{
	if (!facts->transfer_tried)
		return;
	switch (facts->transfer)
	{
		case RAFT_TRANSFER_STARTED:
			go(s, SWITCHOVER_STOP, 0);
			break;
		case RAFT_TRANSFER_BEHIND:
		case RAFT_TRANSFER_BOUND:
			go(s, SWITCHOVER_CATCH_UP, s->deadline);
			break;
		default:
			(void) give_up(s, SWITCHOVER_REFUSED);
	}
}

/* One step on, if it is done. */
static void
advance(Switchover *s, const SwitchoverFacts *facts)
{
	switch (s->step)
	{
		case SWITCHOVER_CHECKPOINT:
			if (facts->checkpoint_failed)
				(void) give_up(s, SWITCHOVER_CHECKPOINT_FAILED);
			else if (facts->checkpoint_done)
				go(s, SWITCHOVER_DRAIN, facts->now + s->limits.drain);
			break;
		case SWITCHOVER_DRAIN:
			if (facts->waiting == 0)
				go(s, SWITCHOVER_CATCH_UP, facts->now + s->limits.catch_up);
			break;
		case SWITCHOVER_CATCH_UP:
			if (facts->target_flush >= facts->flush && facts->target_told >= facts->flush)
				go(s, SWITCHOVER_END_SENDERS, s->deadline);
			break;
		case SWITCHOVER_END_SENDERS:
			if (facts->senders == 0)
				go(s, SWITCHOVER_HAND_OVER, s->deadline);
			break;
		case SWITCHOVER_HAND_OVER:
			hand_over(s, facts);
			break;
		case SWITCHOVER_STOP:
			if (facts->stopped)
				go(s, SWITCHOVER_DONE, 0);
			break;
		default:
			break;
	}
}

/*
 * At most one step a call: each says something to do, and its facts are those of after
 * it was done.  A transfer that was started counts before everything else: its lease is
 * over, so that it looks like a leadership that was lost.
 */
SwitchoverStep
switchover_next(Switchover *s, const SwitchoverFacts *facts)
{
	SwitchoverStep before = s->step;
	bool		   told = before == SWITCHOVER_HAND_OVER && facts->transfer_tried &&
				facts->transfer == RAFT_TRANSFER_STARTED;

	assert(s->step >= SWITCHOVER_IDLE && s->step < SWITCHOVER_STEPS);
	if (may_go_back(s) && !told)
	{
		if (!leads(facts) || facts->term != s->term)
			(void) give_up(s, SWITCHOVER_LEADERSHIP_LOST);
		else if (!facts->target_fits)
			(void) give_up(s, SWITCHOVER_TARGET_LOST);
		else if (facts->paused)
			(void) give_up(s, SWITCHOVER_PAUSED);
		else if (facts->cancelled)
			(void) give_up(s, SWITCHOVER_CANCELLED);
	}
	if (s->step == before)
		advance(s, facts);
	if (may_go_back(s) && facts->now >= s->deadline)
		(void) give_up(s, overdue(s));
	return s->step;
}

bool
switchover_hastens(const Switchover *s, const SwitchoverFacts *facts)
{
	return s->step == SWITCHOVER_CATCH_UP && facts->target_flush >= facts->flush && facts->target_told < facts->flush;
}

PrimaryHandOver
switchover_hand_over(const Switchover *s)
{
	switch (s->step)
	{
		case SWITCHOVER_DRAIN:
			return PRIMARY_HAND_OVER_DRAINING;
		case SWITCHOVER_CATCH_UP:
		case SWITCHOVER_END_SENDERS:
		case SWITCHOVER_HAND_OVER:
			return PRIMARY_HAND_OVER_CLOSED;
		case SWITCHOVER_STOP:
			return PRIMARY_HAND_OVER_DONE;
		default:
			return PRIMARY_HAND_OVER_NONE;
	}
}

const char *
switchover_step_name(SwitchoverStep step)
{
	static const char *const names[SWITCHOVER_STEPS] = {
		"idle", "checkpoint", "drain", "catch up", "end walsenders", "hand over", "stop", "done", "given up"};

	return (unsigned) step < SWITCHOVER_STEPS ? names[step] : "unknown";
}

const char *
switchover_describe(SwitchoverReason reason)
{
	static const char *const words[SWITCHOVER_REASONS] = {
		[SWITCHOVER_GOES_ON] = "it goes on",
		[SWITCHOVER_NOT_OPEN] = "this server does not lead, or does not take commits",
		[SWITCHOVER_NO_TARGET] = "the target is not another member of the list",
		[SWITCHOVER_TARGET_LOST] = "the target is not heard, or may not lead",
		[SWITCHOVER_LEADERSHIP_LOST] = "this server has lost the leadership meanwhile",
		[SWITCHOVER_CHECKPOINT_FAILED] = "the checkpoint has failed",
		[SWITCHOVER_CHECKPOINT_SLOW] = "the checkpoint took too long",
		[SWITCHOVER_COMMITS_WAIT] = "commits are still waiting for standbys",
		[SWITCHOVER_TARGET_BEHIND] = "the target has not caught up in time",
		[SWITCHOVER_SENDERS_STAY] = "WAL senders have not ended in time",
		[SWITCHOVER_REFUSED] = "the election refused the transfer",
		[SWITCHOVER_CANCELLED] = "it was cancelled",
		[SWITCHOVER_PAUSED] = "the cluster is paused, and no other member would be promoted",
	};

	return (unsigned) reason < SWITCHOVER_REASONS ? words[reason] : "unknown";
}
