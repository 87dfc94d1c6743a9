/*
 * test/sim/promote.c
 *	  Of the simulated PostgreSQL: the end of recovery, with a promotion or without.
 */
#include "server_parts.h"

#include <string.h>


/* rm_cleanup: after the last record, before the id; not called if redo never began. */
static SimStep
ask_authority(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];
	SimAnswer  answer = {0};
	SimAsked   asked = {.server = i,
						.end = s->at,
						.end_timeline = s->replay_timeline,
						.target = s->target.timeline,
						.promoting = s->promoting};

	if (c->authorise != NULL && s->redo_began)
		answer = c->authorise(c->context, &asked);
	if (answer.refuse)
		return sim_dies(c, i);
	for (int id = s->target.timeline + 1; s->promoting && id < answer.burn_below && id < SIM_TIMELINES; id++)
	{
		if (s->data.history[id] == SIM_ABSENT)
			s->data.history[id] = SIM_BURNT;
	}
	s->phase = SIM_CHOOSE;
	return SIM_MOVED;
}

/* The newest known history + 1 (P 1.1). */
static SimStep
choose_timeline(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];

	s->new_timeline = s->target.timeline;
	s->phase = SIM_OPEN;
	if (!s->promoting)
		return SIM_MOVED;
	s->new_timeline = (uint16_t) (sim_newest_timeline(&s->data, s->target.timeline) + 1);
	if (s->new_timeline >= SIM_TIMELINES)
	{
		c->full = true;
		return sim_dies(c, i);
	}
	s->phase = SIM_NEW_SEGMENT;
	return SIM_MOVED;
}

/*
 * XLogInitNewTimeline(): the last segment is copied over whatever has its name; a full disk
 * ends the server (P 2).
 */
static SimStep
copy_segment(SimCluster *c, int i)
{
	SimServer		 *s = &c->server[i];
	SimSegment		 *f;
	const SimSegment *old;

	f = s->disk_full ? NULL : sim_make_segment(c, &s->data, s->new_timeline, s->at);
	if (f == NULL)
		return sim_dies(c, i);
	old = sim_segment(&s->data, s->file_timeline, s->at);
	memset(f->record, 0, sizeof(f->record));
	for (SimLsn p = 0; old != NULL && p < s->at % SIM_SEGMENT; p++)
	{
		f->record[p] = old->record[p];
		f->record[p].synced = 1;
	}
	s->phase = SIM_UNLINK_SIGNAL;
	return SIM_MOVED;
}

static SimStep
write_history(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];
	uint8_t	   history = sim_new_history(c, s->target, s->new_timeline, s->at);

	if (history == SIM_ABSENT || s->disk_full)
		return sim_dies(c, i);
	s->data.history[s->new_timeline] = history;
	s->phase = SIM_WRITE_RECORD;
	return SIM_MOVED;
}

/* From recovery's position to a writer's. */
static void
take_over_end(SimServer *s)
{
	s->timeline = s->new_timeline;
	s->inserted = s->written = s->flushed = s->at;
	s->released = 0;
	s->life = SIM_PRIMARY;
	s->at = 0;
}

/* The end-of-recovery record, flushed; pg_control's checkpoint stays the old one. */
static SimStep
write_first_record(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];
	int		   promotion = sim_new_promotion(c, i, s->new_timeline, s->at);
	uint16_t   before = s->replay_timeline;

	if (promotion < 0)
		return sim_dies(c, i);
	c->promotion[promotion].asked = c->authorise != NULL && s->redo_began;
	s->promotion = (uint16_t) promotion;
	take_over_end(s);
	if (!sim_append(c, i, SIM_RECORD_END_OF_RECOVERY, before, s->own_shape) || !sim_wal_flush(c, i, s->inserted))
		return sim_dies(c, i);
	s->data.control.min_recovery = s->flushed;
	s->data.control.min_timeline = s->timeline;
	s->life = SIM_STANDBY; /* nobody gets in as long as it is not open */
	s->at = s->flushed;
	s->target = sim_path(&s->data, s->timeline);
	s->file_timeline = s->replay_timeline = s->timeline;
	s->phase = SIM_OPEN;
	return SIM_MOVED;
}

/* The promotion of the last record on that timeline: a primary that goes on with it. */
static uint16_t
promotion_of_end(const SimCluster *c, const SimServer *s)
{
	uint16_t		 file = 0;
	const SimRecord *r = sim_read_any(c, &s->data, s->target, s->at - 1, &file);

	return r != NULL ? r->promotion : 0;
}

/* RemoveNonParentXlogFiles(): what the parents have beyond the fork. */
static void
remove_beyond_fork(SimServer *s, SimLsn fork)
{
	for (int k = s->data.n_files - 1; k >= 0; k--)
	{
		const SimSegment *f = &s->data.file[k];

		if (f->timeline < s->timeline && f->number > (fork - 1) / SIM_SEGMENT)
			s->data.file[k] = s->data.file[--s->data.n_files];
	}
}

/* Of the last segment; the next ones keep what is in them until it is written over. */
static void
zero_rest(SimData *d, uint16_t timeline, SimLsn end)
{
	SimSegment *f = sim_segment(d, timeline, end);

	for (SimLsn p = end % SIM_SEGMENT; f != NULL && p < SIM_SEGMENT; p++)
		memset(&f->record[p], 0, sizeof(f->record[p]));
}

static SimStep
open_for_writing(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];
	bool	   clean = s->data.control.state == SIM_SHUT_DOWN;

	(void) sim_receiver_end(c, i, false);
	if (s->promoting)
	{
		s->life = SIM_PRIMARY;
		s->at = 0;
		c->promotion[s->promotion].opened = true;
		remove_beyond_fork(s, c->promotion[s->promotion].fork);
	}
	else
	{
		s->promotion = promotion_of_end(c, s);
		take_over_end(s);
		zero_rest(&s->data, s->timeline, s->inserted);
		if (!clean && !sim_write_checkpoint(c, i, SIM_RECORD_SHUTDOWN))
			return sim_dies(c, i);
	}
	s->data.control.state = SIM_IN_PRODUCTION;
	s->phase = SIM_RECOVERED;
	s->promote = s->promoting = false;
	memcpy(s->shown, s->applied, sizeof(s->shown));
	return SIM_OPENED;
}

/* One step of the end of recovery; a driver may crash the server between any two. */
SimStep
sim_promotion_step(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];

	switch ((SimPhase) s->phase)
	{
		case SIM_CLEANUP:
			return ask_authority(c, i);
		case SIM_CHOOSE:
			return choose_timeline(c, i);
		case SIM_NEW_SEGMENT:
			return copy_segment(c, i);
		case SIM_UNLINK_SIGNAL:
			s->data.standby_signal = false;
			s->phase = SIM_WRITE_HISTORY;
			return SIM_MOVED;
		case SIM_WRITE_HISTORY:
			return write_history(c, i);
		case SIM_WRITE_RECORD:
			return write_first_record(c, i);
		case SIM_OPEN:
			return open_for_writing(c, i);
		default:
			return SIM_NOTHING;
	}
}
