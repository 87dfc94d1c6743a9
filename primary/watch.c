/*
 * primary/watch.c
 *	  What a server remembers from one question to the next.
 *
 * See watch.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "watch.h"

#include <assert.h>
#include <string.h>

#define MOST_DEATHS 5 /* with more, it is taken for unreadable */

/* ---- a leader ---- */

static void
note_movement(WatchLeading *watch, uint64_t now, uint64_t progress)
{
	if (progress != watch->progress || watch->moved_at == 0)
		watch->moved_at = now;
	watch->progress = progress;
}

/* Rule 25: the quorum's flush is below our own, and does not move. */
static void
note_standing(WatchLeading *watch, const PrimaryFacts *f)
{
	if (f->quorum_flushed >= f->end)
		watch->standing_since = 0;
	else if (f->quorum_flushed != watch->standing_flushed || watch->standing_since == 0)
		watch->standing_since = f->now;
	watch->standing_flushed = f->quorum_flushed;
	if (watch->opened_term == f->term && f->quorum_flushed > watch->opened_end)
		watch->standing_before = false;
}

/*
 * While other names were in force, PostgreSQL has shown rows that no quorum holds: it takes
 * another message to know that they have come to one (rule 18).
 */
static void
note_names(WatchLeading *watch, bool in_force)
{
	if (!in_force)
		watch->mark_term = watch->opened_term = 0;
}

/*
 * What was answered or shown by the list before had been flushed before this list was known
 * here.  So it is below where WAL ends at the look after that.
 */
static void
note_list(WatchLeading *watch, PrimaryFacts *f)
{
	bool is_new = watch->list_number != f->list_number || watch->list_term != f->list_term || !f->names_are_new;
	bool is_held;

	watch->list_number = f->names_are_new ? f->list_number : 0;
	watch->list_term = f->list_term;
	if (is_new)
		watch->list_end = 0;
	else if (watch->list_end == 0)
		watch->list_end = f->end;
	is_held = watch->list_end != 0 && f->quorum_flushed >= watch->list_end &&
			  (raft_copies(f->members) == 1 || f->released >= watch->list_end);
	f->list_held = is_held ? f->list_number : 0;
}

void
watch_leading(WatchLeading *watch, PrimaryFacts *facts, uint64_t progress)
{
	assert(facts->leader_id == facts->self);
	if (watch->term != facts->term)
	{
		watch->term = facts->term;
		watch->since = facts->now;
		watch->moved_at = facts->now;
		watch->standing_since = 0;
		watch->list_number = 0;
	}
	note_movement(watch, facts->now, progress);
	note_standing(watch, facts);
	note_names(watch, facts->names_in_force);
	note_list(watch, facts);
	facts->leading_since = watch->since;
	facts->moved_at = watch->moved_at;
	facts->mark_term = watch->mark_term;
	facts->mark_end = watch->mark_end;
	facts->opened_term = watch->opened_term;
	facts->standing_since = watch->standing_since;
	facts->standing_before = watch->standing_before;
}

void
watch_marked(WatchLeading *watch, uint64_t term, uint64_t end)
{
	watch->mark_term = term;
	watch->mark_end = end;
}

void
watch_opened(WatchLeading *watch, const PrimaryFacts *facts)
{
	watch->opened_term = facts->term;
	watch->opened_end = facts->end;
}

void
watch_resigned(WatchLeading *watch, PrimaryReason reason)
{
	watch->standing_before |= reason == PRIMARY_CANNOT_COMMIT;
}

void
watch_forget_leading(WatchLeading *watch)
{
	*watch = (WatchLeading){.standing_before = watch->standing_before};
}

/* ---- a follower ---- */

static bool
is_comparable(const PrimaryFacts *f)
{
	return f->leader_id >= 0 && f->leader_id != f->self && f->leader.lineage != NULL && f->end_known && f->end != 0;
}

void
watch_following(WatchFollowing *watch, PrimaryFacts *facts)
{
	PrimaryCheck *check = &watch->check;

	if (is_comparable(facts))
	{
		if (check->term != facts->term || check->leader != facts->leader_id)
			*check = (PrimaryCheck){.term = facts->term, .leader = facts->leader_id};
		else if (facts->end > facts->leader.flush)
			check->looked_again = true;
	}
	facts->check = *check;
	facts->rebuild_wanted = watch->rebuild_wanted;
}

bool
watch_wants_bytes(const WatchFollowing *watch, const PrimaryFacts *facts)
{
	return is_comparable(facts) && watch->check.prefix == PRIMARY_PREFIX_UNKNOWN && facts->end <= facts->leader.flush &&
		   !primary_diverged(facts);
}

void
watch_compared(WatchFollowing *watch, bool own_read, bool leader_read, bool equal)
{
	if (own_read)
		watch->check.prefix = leader_read && equal ? PRIMARY_PREFIX_SAME : PRIMARY_PREFIX_DIFFERENT;
}

void
watch_let_loose(WatchFollowing *watch, const PrimaryFacts *facts)
{
	watch->check.loose = true;
	watch->check.stalled_since = facts->now;
	watch->interrupted = false;
	watch->flush = facts->leader.flush;
	watch->end = facts->end;
}

void
watch_receiver_ended(WatchFollowing *watch)
{
	watch->check.loose = false;
}

/*
 * Nothing new comes, and there is something; one that has streamed all the time waits for
 * its own disk.  Who has had it all once may lack it later: a leader recycles WAL while the
 * connection is cut.
 */
static void
note_stall(WatchFollowing *watch, const PrimaryFacts *f, bool streams)
{
	PrimaryCheck *check = &watch->check;

	if (f->end > watch->end || (check->streaming != PRIMARY_STREAMING_UNKNOWN && f->end >= f->leader.flush))
	{
		check->stalled_since = f->now;
		watch->interrupted = false;
		if (check->streaming == PRIMARY_STREAMING_STUCK)
			check->streaming = PRIMARY_STREAMING_UNKNOWN;
	}
	watch->end = f->end;
	watch->interrupted |= !streams;
	if (watch->interrupted && f->now - check->stalled_since >= f->stream_timeout)
		check->streaming = PRIMARY_STREAMING_STUCK;
}

bool
watch_streams(WatchFollowing *watch, const PrimaryFacts *facts, uint32_t timeline)
{
	bool streams = timeline != 0 && timeline == facts->leader.lineage->timeline && facts->end >= watch->flush;

	note_stall(watch, facts, streams);
	if (!streams || watch->check.streaming == PRIMARY_STREAMING_STUCK)
		return false;
	watch->check.streaming = PRIMARY_STREAMING_REAL;
	watch->rebuild_wanted = 0;
	return true;
}

void
watch_decided(WatchFollowing *watch, const PrimaryFacts *facts, const PrimaryOrder *order)
{
	if (order->reason == PRIMARY_PREFERS_OPEN && watch->rebuild_wanted == 0)
		watch->rebuild_wanted = facts->now;
}

/* ---- a data directory ---- */

void
watch_directory(const WatchDirectory *watch, PrimaryFacts *facts)
{
	facts->failures = watch->failures;
	facts->stuck_since = watch->stuck_since;
	facts->failed_at = watch->failed_at;
	facts->failed_source = watch->failed_source;
	facts->failed_term = watch->failed_term;
}

uint64_t
watch_system(const WatchDirectory *watch, uint64_t system_id)
{
	return watch->unfit || watch->deaths > MOST_DEATHS ? 0 : system_id;
}

void
watch_died(WatchDirectory *watch, bool reading)
{
	watch->deaths += reading;
}

void
watch_unfit(WatchDirectory *watch)
{
	watch->unfit = true;
}

void
watch_rebuilds(WatchDirectory *watch, RaftRebuild how, uint64_t now, int32_t source, uint64_t term)
{
	watch->rewinds += how == RAFT_REWINDING;
	watch->clones += how == RAFT_CLONING;
	watch->unfit = false;
	watch->deaths = 0;
	watch->failures++;
	watch->stuck_since = 0;
	watch->failed_at = now;
	watch->failed_source = source;
	watch->failed_term = term;
}

/* A failure, until it really streams. */
void
watch_restarts(WatchDirectory *watch, PrimaryReason reason, uint64_t now)
{
	bool counts = reason == PRIMARY_NOT_STREAMING || reason == PRIMARY_PART_LEFT;

	if (counts && watch->stuck_since == 0)
		watch->stuck_since = now;
	watch->failures += counts;
}

void
watch_followed(WatchDirectory *watch)
{
	watch->deaths = 0;
	watch->failures = 0;
	watch->stuck_since = 0;
}

void
watch_clock(WatchDirectory *watch, uint64_t now)
{
	if (watch->failed_at > now)
		watch->failed_at = now;
	if (watch->stuck_since > now)
		watch->stuck_since = now;
}
