/*
 * test/sim/wal.c
 *	  Of the simulated PostgreSQL: records, segments, histories, and reading them as
 *	  PostgreSQL does.
 */
#include "server_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- commits ---- */

bool
sim_has_commit(const uint64_t *set, int commit)
{
	return (set[commit / 64] >> (commit % 64) & 1) != 0;
}

void
sim_add_commit(uint64_t *set, int commit)
{
	set[commit / 64] |= UINT64_C(1) << (commit % 64);
}

/* ---- histories ---- */

/* findNewestTimeLine(): probes upwards, so what lies above a gap is not seen (P 1.1). */
uint16_t
sim_newest_timeline(const SimData *d, uint16_t from)
{
	uint16_t newest = from;

	while (newest + 1 < SIM_TIMELINES && d->history[newest + 1] != SIM_ABSENT)
		newest++;
	return newest;
}

/* The highest id that has a file, gaps or not; 0: none. */
uint16_t
sim_newest_history(const SimData *d)
{
	uint8_t newest = 0;

	for (uint8_t id = 2; id < SIM_TIMELINES; id++)
		newest = d->history[id] != SIM_ABSENT ? id : newest;
	return newest;
}

/* readTimeLineHistory(): a burnt or missing file is a timeline without a past (P 1.3). */
SimPath
sim_path(const SimData *d, uint16_t timeline)
{
	uint8_t history = timeline < SIM_TIMELINES ? d->history[timeline] : SIM_ABSENT;

	return (SimPath){timeline, history};
}

static int
n_ancestors(const SimCluster *c, SimPath path)
{
	return path.history >= SIM_REAL ? c->history[path.history].n : 0;
}

/* The entries of a path by their place in it, oldest first; the last is its own. */
static uint16_t
timeline_at(const SimCluster *c, SimPath path, int k)
{
	return k == n_ancestors(c, path) ? path.timeline : c->history[path.history].ancestor[k].timeline;
}

static SimLsn
end_at(const SimCluster *c, SimPath path, int k)
{
	return k == n_ancestors(c, path) ? SIM_NO_END : c->history[path.history].ancestor[k].end;
}

static SimLsn
begin_at(const SimCluster *c, SimPath path, int k)
{
	return k == 0 ? 0 : c->history[path.history].ancestor[k - 1].end;
}

static int
place_of(const SimCluster *c, SimPath path, uint16_t timeline)
{
	for (int k = n_ancestors(c, path); k >= 0; k--)
	{
		if (timeline_at(c, path, k) == timeline)
			return k;
	}
	return -1;
}

bool
sim_path_has(const SimCluster *c, SimPath path, uint16_t timeline)
{
	return place_of(c, path, timeline) >= 0;
}

SimLsn
sim_path_begin(const SimCluster *c, SimPath path, uint16_t timeline)
{
	int k = place_of(c, path, timeline);

	return k < 0 ? SIM_NO_END : begin_at(c, path, k);
}

/* tliSwitchPoint(); 0 if it is not in the history. */
SimLsn
sim_path_end(const SimCluster *c, SimPath path, uint16_t timeline)
{
	int k = place_of(c, path, timeline);

	return k < 0 ? 0 : end_at(c, path, k);
}

/* tliOfPointInHistory() */
uint16_t
sim_path_timeline(const SimCluster *c, SimPath path, SimLsn lsn)
{
	for (int k = n_ancestors(c, path); k >= 0; k--)
	{
		if (lsn >= begin_at(c, path, k) && lsn < end_at(c, path, k))
			return timeline_at(c, path, k);
	}
	return path.timeline;
}

/*
 * writeTimeLineHistory(): the parent's file and one line more, whether or not the ends
 * still rise.  SIM_ABSENT: a table is full.
 */
uint8_t
sim_new_history(SimCluster *c, SimPath parent, uint16_t timeline, SimLsn fork)
{
	SimHistory *h;
	int			n = n_ancestors(c, parent);

	if (c->n_histories == SIM_HISTORIES || n == SIM_ANCESTORS)
	{
		c->full = true;
		return SIM_ABSENT;
	}
	h = &c->history[c->n_histories];
	if (n > 0)
		memcpy(h->ancestor, c->history[parent.history].ancestor, (size_t) n * sizeof(h->ancestor[0]));
	h->timeline = timeline;
	h->ancestor[n].timeline = parent.timeline;
	h->ancestor[n].end = fork;
	h->n = (uint16_t) (n + 1);
	return (uint8_t) c->n_histories++;
}

/* The file as PostgreSQL would write it; its length, -1 if there is none (P 1.3). */
int
sim_history_text(const SimCluster *c, const SimData *d, uint16_t timeline, char *text, size_t size)
{
	SimPath path = sim_path(d, timeline);
	int		length = 0;

	if (path.history == SIM_ABSENT)
		return -1;
	text[0] = '\0';
	if (path.history == SIM_GARBAGE)
		length = snprintf(text, size, "garbage\n");
	for (int k = 0; k < n_ancestors(c, path) && length < (int) size; k++)
		length += snprintf(text + length, size - (size_t) length, "%s%u\t0/%X\tno recovery target specified\n",
						   k > 0 ? "\n" : "", timeline_at(c, path, k), end_at(c, path, k));
	return length < (int) size ? length : (int) size - 1;
}

/* ---- segments ---- */

SimSegment *
sim_segment(SimData *d, uint16_t timeline, SimLsn lsn)
{
	SimLsn number = lsn / SIM_SEGMENT;

	/* The newest are at the end, and are wanted most. */
	for (int k = d->n_files - 1; k >= 0; k--)
	{
		if (d->file[k].number == number && d->file[k].timeline == timeline)
			return &d->file[k];
	}
	return NULL;
}

/* The same, made of zeros if it is missing.  NULL: a table is full. */
SimSegment *
sim_make_segment(SimCluster *c, SimData *d, uint16_t timeline, SimLsn lsn)
{
	SimSegment *f = sim_segment(d, timeline, lsn);

	if (f != NULL)
		return f;
	if (d->n_files == SIM_FILES || lsn / SIM_SEGMENT > UINT16_MAX)
	{
		c->full = true;
		return NULL;
	}
	f = &d->file[d->n_files++];
	memset(f, 0, sizeof(*f));
	f->timeline = timeline;
	f->number = (uint16_t) (lsn / SIM_SEGMENT);
	return f;
}

static void
remove_file(SimData *d, int k)
{
	d->file[k] = d->file[--d->n_files];
}

/* Segments behind the last checkpoint are removed (R K3). */
bool
sim_recycle(SimCluster *c, int i, uint16_t below)
{
	SimData *d = &c->server[i].data;
	SimLsn	 redo = sim_redo(c, d);
	bool	 any = false;

	if (redo == 0)
		return false;
	for (int k = d->n_files - 1; k >= 0; k--)
	{
		if (d->file[k].number < below && d->file[k].number < redo / SIM_SEGMENT)
		{
			remove_file(d, k);
			any = true;
		}
	}
	return any;
}

/* Zeros from there on in that timeline's segments. */
void
sim_drop_records(SimData *d, uint16_t timeline, SimLsn from)
{
	for (int k = 0; k < d->n_files; k++)
	{
		SimSegment *f = &d->file[k];

		for (SimLsn p = 0; f->timeline == timeline && p < SIM_SEGMENT; p++)
		{
			if ((SimLsn) f->number * SIM_SEGMENT + p >= from)
				memset(&f->record[p], 0, sizeof(f->record[p]));
		}
	}
}

/* A tool cuts WAL that was never replayed: later segments go, zeros in this one (R S6b++). */
void
sim_trim(SimData *d, uint16_t timeline, SimLsn from)
{
	sim_drop_records(d, timeline, from);
	for (int k = d->n_files - 1; k >= 0; k--)
	{
		if (d->file[k].timeline == timeline && (SimLsn) d->file[k].number * SIM_SEGMENT >= from)
			remove_file(d, k);
	}
}

/* A supervisor clears away an abandoned timeline: its history file and segments (R 9.7). */
void
sim_remove_timeline(SimData *d, uint16_t timeline)
{
	d->history[timeline] = SIM_ABSENT;
	for (int k = d->n_files - 1; k >= 0; k--)
	{
		if (d->file[k].timeline == timeline)
			remove_file(d, k);
	}
}

/* ---- reading ---- */

/*
 * XLogFileReadAnyTLI(): the newest timeline of the path whose segment is there, although
 * another one's may be the right one.  "file_timeline" is the last file's, below which it
 * does not look.
 */
static const SimSegment *
open_any(const SimCluster *c, const SimData *d, SimPath path, SimLsn lsn, uint16_t *file_timeline)
{
	for (int k = n_ancestors(c, path); k >= 0; k--)
	{
		uint16_t		  timeline = timeline_at(c, path, k);
		const SimSegment *f;

		if (timeline < *file_timeline)
			break;
		if (lsn / SIM_SEGMENT < begin_at(c, path, k) / SIM_SEGMENT)
			continue;
		f = sim_segment((SimData *) d, timeline, lsn);
		if (f == NULL)
			continue;
		*file_timeline = timeline;
		return f;
	}
	return NULL;
}

static const SimRecord *
record_in(const SimSegment *f, SimLsn lsn)
{
	return f != NULL && f->record[lsn % SIM_SEGMENT].uid != 0 ? &f->record[lsn % SIM_SEGMENT] : NULL;
}

/* NULL: no file, or zeros. */
const SimRecord *
sim_read_any(const SimCluster *c, const SimData *d, SimPath path, SimLsn lsn, uint16_t *file_timeline)
{
	return record_in(open_any(c, d, path, lsn, file_timeline), lsn);
}

/*
 * Is it a record that PostgreSQL takes after one of that shape?  Positions and lengths
 * must fit ("incorrect prev-link", "invalid record length"), and the page's timeline may
 * not fall.  Equal shapes fit, whoever wrote them (R S7a, S7c).
 */
bool
sim_can_follow(const SimRecord *r, uint8_t shape, uint16_t timeline)
{
	return r != NULL && r->uid != 0 && r->timeline >= timeline &&
		   (shape == SIM_ANY_SHAPE || r->prev == SIM_ANY_SHAPE || r->prev == shape);
}

/* A reader that has read up to there; it knows the record before if that is still there. */
SimReader
sim_reader(const SimCluster *c, const SimData *d, SimPath path, SimLsn from)
{
	SimReader		 reader = {.path = path, .at = from, .shape = SIM_ANY_SHAPE};
	const SimRecord *before;

	if (from == 0)
		return reader;
	reader.file = open_any(c, d, path, from - 1, &reader.file_timeline);
	before = record_in(reader.file, from - 1);
	if (before != NULL)
	{
		reader.shape = before->shape;
		reader.timeline = before->timeline;
	}
	return reader;
}

const SimRecord *
sim_read_next(const SimCluster *c, const SimData *d, SimReader *reader)
{
	const SimRecord *r;

	if (reader->file == NULL || reader->at % SIM_SEGMENT == 0)
		reader->file = open_any(c, d, reader->path, reader->at, &reader->file_timeline);
	r = record_in(reader->file, reader->at);
	if (!sim_can_follow(r, reader->shape, reader->timeline))
		return NULL;
	reader->at++;
	reader->shape = r->shape;
	reader->timeline = r->timeline;
	return r;
}

/* Where replay starts: the checkpoint of backup_label, else of pg_control; 0: unknown. */
SimLsn
sim_redo(const SimCluster *c, const SimData *d)
{
	(void) c;
	if (d->control.state == SIM_NO_CONTROL)
		return 0;
	return d->backup_label ? d->label : d->control.checkpoint;
}

/* What a start takes for recoveryTargetTLI and expectedTLEs (READ, P 1.1). */
SimPath
sim_start_path(const SimData *d)
{
	uint16_t from = d->control.checkpoint_timeline;

	if (d->control.min_timeline > from)
		from = d->control.min_timeline;
	return sim_path(d, d->standby_signal ? sim_newest_timeline(d, from) : from);
}

/*
 * The end of the last whole record, found by reading local WAL to its end, as a role
 * worker's XLogReader does (P 4); by the path that the startup process has, or would have.
 * "timeline" (may be NULL) is that of the last byte.  0: nothing can be read.
 */
SimLsn
sim_true_end(const SimCluster *c, int i, uint16_t *timeline)
{
	const SimServer *s = &c->server[i];
	bool			 runs = s->life == SIM_STANDBY || s->life == SIM_RECOVERING;
	SimReader		 reader;

	if (s->life == SIM_PRIMARY || s->life == SIM_STOPPING)
	{
		reader = sim_reader(c, &s->data, sim_path(&s->data, s->timeline), s->written);
		if (timeline != NULL)
			*timeline = reader.timeline;
		return s->written;
	}
	if (sim_redo(c, &s->data) == 0)
		return 0;
	reader = sim_reader(c, &s->data, runs ? s->target : sim_start_path(&s->data),
						runs && s->at > 0 ? s->at : sim_redo(c, &s->data));
	while (sim_read_next(c, &s->data, &reader) != NULL)
		;
	if (timeline != NULL)
		*timeline = reader.timeline;
	return reader.at;
}

/*
 * Truth: the commits that a server has or would have after replaying all it can read:
 * in pages (on disk, and in memory if it runs) and in local WAL, synced or not.
 */
void
sim_held(const SimCluster *c, int i, uint64_t held[SIM_COMMIT_WORDS])
{
	const SimServer *s = &c->server[i];
	SimLsn			 redo = sim_redo(c, &s->data);
	SimReader		 reader;
	const SimRecord *r;

	for (int k = 0; k < SIM_COMMIT_WORDS; k++)
		held[k] = s->data.pages[k] | (s->life != SIM_DOWN ? s->applied[k] : 0);
	if (redo == 0 || s->life == SIM_PRIMARY || s->life == SIM_STOPPING)
		return; /* a primary's pages have all that it inserted */
	reader = sim_reader(c, &s->data, s->life == SIM_DOWN ? sim_start_path(&s->data) : s->target, redo);
	while ((r = sim_read_next(c, &s->data, &reader)) != NULL)
	{
		if (r->kind == SIM_RECORD_COMMIT)
			sim_add_commit(held, r->value);
	}
}

/* Everything in the directory is on disk. */
void
sim_sync_files(SimData *d)
{
	for (int k = 0; k < d->n_files; k++)
	{
		for (int p = 0; p < SIM_SEGMENT; p++)
			d->file[k].record[p].synced = 1;
	}
	d->unsynced = false;
}
