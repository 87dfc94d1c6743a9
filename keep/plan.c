/*
 * keep/plan.c
 *	  What an archive decides.
 *
 * See plan.h for the rules, whose names the comments have.
 */
#include "plan.h"

#include <assert.h>

static uint64_t
segment_of(const PlanArchive *archive, uint64_t lsn)
{
	assert(archive->segment_size > 0);
	return lsn / archive->segment_size;
}

static uint64_t
begin_of_segment(const PlanArchive *archive, uint64_t lsn)
{
	return segment_of(archive, lsn) * archive->segment_size;
}

/* ---- source ---- */

int
plan_source(const PlanWord *members, int n, uint64_t *term)
{
	for (int i = 0; i < n; i++)
	{
		if (members[i].answers && members[i].term > *term)
			*term = members[i].term;
	}
	for (int i = 0; i < n; i++)
	{
		if (members[i].answers && members[i].is_open && members[i].term != 0 && members[i].term == *term)
			return i;
	}
	return -1;
}

/* ---- begin and cut ---- */

/* An end that is a fork belongs to the parent, and the next byte to the child: there it goes on. */
static void
go_on_at(const PlanArchive *archive, uint64_t durable, const Lineage *leads, PlanBegin *begin)
{
	begin->durable = durable;
	begin->timeline = lineage_timeline_of(leads, durable);
	begin->start = begin_of_segment(archive, durable);
}

bool
plan_begin(const PlanArchive *archive, const Lineage *own, const Lineage *leads, PlanBegin *begin)
{
	uint64_t common = lineage_fork(own, leads);

	assert(archive->timeline != 0 && own->timeline == archive->timeline);
	if (common == 0)
		return false;
	begin->cuts = common < archive->durable;
	go_on_at(archive, begin->cuts ? common : archive->durable, leads, begin);
	return true;
}

bool
plan_begin_first(const PlanArchive *archive, uint64_t slot, const Lineage *leads, PlanBegin *begin)
{
	uint64_t start = begin_of_segment(archive, slot);

	if (slot == 0 || start == 0)
		return false;
	begin->cuts = false;
	go_on_at(archive, start, leads, begin);
	return true;
}

uint64_t
plan_stays(const Lineage *own, const Lineage *leads, uint32_t timeline)
{
	uint64_t common = lineage_fork(own, leads);
	uint64_t end = lineage_end(leads, timeline);

	/* one that begins where the paths part, or behind it, has only its number in common */
	if (!lineage_has(own, timeline) || !lineage_has(leads, timeline) || lineage_begin(own, timeline) >= common)
		return 0;
	return end < common ? end : common;
}

bool
plan_gap(const PlanArchive *archive, const PlanBegin *begin, uint64_t slot, const Lineage *leads, PlanBegin *after)
{
	PlanBegin next;

	if (!plan_begin_first(archive, slot, leads, &next) || next.start <= begin->durable)
		return false;
	*after = next;
	return true;
}

/* ---- members ---- */

PlanHolds
plan_holds(const PlanArchive *archive, const PlanSlot *slot)
{
	if (!slot->answers)
		return PLAN_DOWN;
	if (!slot->exists)
		return PLAN_CLEAR;
	if (slot->lost)
		return PLAN_LOST;

	/* WAL is removed by segments, so within one it does not matter where the slot is */
	if (archive->timeline != 0 && segment_of(archive, slot->restart) > segment_of(archive, archive->durable))
		return PLAN_EXPOSED;
	return PLAN_HOLDING;
}

const char *
plan_holds_name(PlanHolds holds)
{
	static const char *const names[] = {"Down", "Clear", "Lost", "Exposed", "Holding"};

	return names[holds];
}

bool
plan_is_exposed(const PlanHolds *standbys, int n)
{
	int holding = 0;

	for (int i = 0; i < n; i++)
	{
		if (standbys[i] != PLAN_HOLDING && standbys[i] != PLAN_DOWN)
			return true;
		holding += standbys[i] == PLAN_HOLDING;
	}
	return holding == 0;
}

uint64_t
plan_advance(const PlanArchive *archive, const PlanSlot *slot, uint64_t replayed)
{
	uint64_t target = archive->durable < replayed ? archive->durable : replayed;

	if (plan_holds(archive, slot) != PLAN_HOLDING || archive->timeline == 0)
		return 0;
	return segment_of(archive, target) > segment_of(archive, slot->restart) ? target : 0;
}

/* ---- get ---- */

PlanGet
plan_get(const PlanSegment *segment)
{
	if (segment->is_old && segment->begin >= segment->end)
		return PLAN_NOT_THERE;
	if (segment->complete)
		return PLAN_SERVE;

	/* behind the fork nothing counts; up to there, what is there is all that there ever was */
	if (segment->partial && !segment->later)
		return PLAN_SERVE_PARTIAL;
	return segment->later || segment->begin < segment->end ? PLAN_HOLE : PLAN_NOT_THERE;
}

/* ---- drills ---- */

static bool
is_same(const PlanDrill *a, const PlanDrill *b)
{
	return a->timeline == b->timeline && a->base == b->base;
}

/* A clock that was set back is no reason to wait. */
static bool
has_passed(int64_t since, int64_t seconds, int64_t now)
{
	return now < since || now - since >= seconds;
}

bool
plan_drill_is_due(const PlanDrills *drills, int64_t every, int64_t now)
{
	if (every == 0 || drills->now.base == 0)
		return false;
	if (drills->began_at != 0 && !drills->is_good && !has_passed(drills->began_at, PLAN_DRILL_RETRY, now))
		return false;
	if (!is_same(&drills->now, &drills->proven) && !is_same(&drills->now, &drills->begun))
		return has_passed(drills->seen_at, PLAN_DRILL_SETTLE, now);
	return has_passed(drills->began_at, drills->is_good ? every : PLAN_DRILL_RETRY, now);
}
