/*
 * primary/start.c
 *	  What is cleared away and put in place before a server starts as a standby.
 *
 * See start.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "start.h"

#include <assert.h>

static bool
knows_both(const StartFacts *f)
{
	return f->lineage != NULL && f->leader_lineage != NULL;
}

static const HistoryFile *
file_of(const StartFacts *f, uint32_t timeline)
{
	for (uint32_t i = 0; i < f->histories.n; i++)
	{
		if (f->histories.files[i].timeline == timeline)
			return &f->histories.files[i];
	}
	return NULL;
}

/*
 * A history that came without its WAL, which recovery would aim at once more.  Unless that
 * has kept this server from being promoted, its WAL may still come.
 */
static bool
is_ahead(const StartFacts *f, uint32_t timeline)
{
	const HistoryFile *file = file_of(f, timeline);

	return f->target_ahead && file != NULL && file->kind == HISTORY_REAL && timeline != f->timeline &&
		   file->begin > f->end;
}

/* What is left of a promotion that came to nothing.  A burnt id stays used up. */
static bool
is_abandoned(const StartFacts *f, uint32_t timeline)
{
	return knows_both(f) && file_of(f, timeline) != NULL && timeline != f->timeline &&
		   histories_kind(&f->histories, timeline) != HISTORY_BURNT &&
		   !lineage_has(f->leader_lineage, timeline) && !lineage_has(f->lineage, timeline);
}

/*
 * Left by a promotion after which the server went on where it had been, as when it is restarted
 * in place; or by a leader that has forked before what we have replayed: a WAL receiver fetches its
 * history before it is let loose.  Recovery would aim at it, and PostgreSQL does not start: the
 * checkpoint, or the last byte before minRecoveryPoint, is not in the past of such a timeline.
 */
static bool
is_passed_by(const StartFacts *f, uint32_t timeline)
{
	const HistoryFile *file = file_of(f, timeline);

	return timeline > f->control_timeline && timeline != f->timeline && file != NULL && file->kind == HISTORY_REAL &&
		   (file->begin <= f->checkpoint || file->begin < f->min_recovery);
}

static HistoryKind
kind_left(const StartFacts *f, uint32_t timeline)
{
	if (is_ahead(f, timeline) || is_abandoned(f, timeline) || is_passed_by(f, timeline))
		return HISTORY_NONE;
	return histories_kind(&f->histories, timeline);
}

/*
 * A burnt file that is the newest stops a start: pg_control's checkpoint is not in the past
 * of such a timeline.  Those below a real one are passed over.
 */
static bool
is_newest_and_burnt(const StartFacts *f, uint32_t timeline)
{
	uint32_t id = f->control_timeline;

	if (timeline <= f->control_timeline || kind_left(f, timeline) != HISTORY_BURNT)
		return false;
	while (id < timeline && kind_left(f, id + 1) != HISTORY_NONE)
		id++;
	if (id < timeline)
		return false; /* a start does not see it */
	while (kind_left(f, id) == HISTORY_BURNT)
		id++;
	return kind_left(f, id) == HISTORY_NONE;
}

/* Once local WAL is part of the leader's past, so are all ids that the leader has. */
static bool
is_wanted(const StartFacts *f, uint32_t timeline)
{
	return knows_both(f) && timeline <= f->leader_lineage->timeline &&
		   lineage_common_end(f->lineage, f->end, f->leader_lineage) >= f->end;
}

StartSweep
start_sweep(const StartFacts *facts, uint32_t timeline)
{
	StartSweep sweep = {START_KEEP, is_abandoned(facts, timeline) || is_passed_by(facts, timeline)};
	bool	   goes = kind_left(facts, timeline) == HISTORY_NONE || is_newest_and_burnt(facts, timeline);

	assert(timeline >= 2);
	if (goes && is_wanted(facts, timeline))
		sweep.history = histories_kind(&facts->leader_histories, timeline) != HISTORY_NONE ? START_COPY : START_BURN;
	else if (goes && histories_kind(&facts->histories, timeline) != HISTORY_NONE)
		sweep.history = START_REMOVE;
	return sweep;
}

uint32_t
start_last(const StartFacts *facts)
{
	uint32_t n = facts->histories.n;
	uint32_t last = n > 0 ? facts->histories.files[n - 1].timeline : 1;

	if (facts->leader_lineage != NULL && facts->leader_lineage->timeline > last)
		last = facts->leader_lineage->timeline;
	return last;
}

bool
start_is_copy(const StartFacts *facts)
{
	return facts->backup_label;
}

uint32_t
start_wrote_on(const StartFacts *facts)
{
	return facts->was_primary && !facts->backup_label ? facts->control_timeline : 0;
}
