/*
 * test/sim/rejoin.c
 *	  Of the simulated PostgreSQL: pg_rewind, pg_basebackup, and operators with files.
 */
#include "server_parts.h"

#include <string.h>

/* ---- pg_rewind ---- */

/*
 * pg_rewind's own "postgres --single": replays all local WAL and writes two checkpoints
 * behind it (R S4); after a rewind it ends recovery on the leader's timeline (the double-run
 * trap).  The library lets it pass.  false: it failed.
 */
static bool
single_user_recovery(SimCluster *c, int i)
{
	SimAuthorise authorise = c->authorise;
	SimStep		 step = SIM_MOVED;

	if (c->server[i].data.standby_signal)
		return false; /* standby mode is not supported by single-user servers */
	c->authorise = NULL;
	if (sim_start(c, i))
	{
		while (step != SIM_OPENED && step != SIM_DIED && step != SIM_NOTHING)
			step = sim_startup_step(c, i);
	}
	c->authorise = authorise;
	if (step != SIM_OPENED)
		return false;
	return sim_stop_fast(c, i) && sim_stop_finish(c, i);
}

/* 15 goes by the last checkpoint; 16 and later see a timeline that came after it (R 5). */
static uint16_t
control_timeline(const SimCluster *c, const SimControl *control)
{
	if (c->major >= 16 && control->min_timeline > control->checkpoint_timeline)
		return control->min_timeline;
	return control->checkpoint_timeline;
}

/* Where two histories part; 0: they have nothing in common. */
static SimLsn
find_fork(const SimCluster *c, SimPath a, SimPath b)
{
	SimLsn fork = 0;

	for (uint16_t id = 1; id < SIM_TIMELINES; id++)
	{
		SimLsn ends[2];

		if (!sim_path_has(c, a, id) && !sim_path_has(c, b, id))
			continue;
		if (!sim_path_has(c, a, id) || !sim_path_has(c, b, id) ||
			sim_path_begin(c, a, id) != sim_path_begin(c, b, id))
			break;
		ends[0] = sim_path_end(c, a, id);
		ends[1] = sim_path_end(c, b, id);
		fork = ends[0] < ends[1] ? ends[0] : ends[1];
		if (ends[0] != ends[1])
			break;
	}
	return fork;
}

/* Backwards from the fork to a checkpoint; 0: local WAL does not reach back so far (R K3). */
static SimLsn
find_checkpoint(const SimCluster *c, const SimData *d, SimPath path, SimLsn fork)
{
	for (SimLsn p = fork; p-- > SIM_FIRST_LSN;)
	{
		uint16_t		 file = 0;
		const SimRecord *r = sim_read_any(c, d, path, p, &file);

		if (r == NULL)
			return 0;
		if (r->kind == SIM_RECORD_CHECKPOINT || r->kind == SIM_RECORD_SHUTDOWN)
			return p;
	}
	return 0;
}

/* extractPageMap(): all of it must be readable, from the checkpoint to the target's end. */
static bool
can_read_all(const SimCluster *c, const SimData *d, SimPath path, SimLsn from, SimLsn end)
{
	SimReader reader = sim_reader(c, d, path, from);

	while (reader.at < end && sim_read_next(c, d, &reader) != NULL)
		;
	return reader.at >= end;
}

static bool
is_clean(const SimData *d)
{
	return d->control.state == SIM_SHUT_DOWN || d->control.state == SIM_SHUT_DOWN_IN_RECOVERY;
}

/* What pg_rewind wants of both before it looks at any timeline. */
static SimRewind
sane(const SimCluster *c, const SimServer *s, const SimServer *source)
{
	if (!sim_accepts(source))
		return SIM_REWIND_NO_SOURCE;
	if (source->data.system != s->data.system)
		return SIM_REWIND_NO_ANCESTOR;
	if (!c->checksums)
		return SIM_REWIND_NO_CHECKSUMS;
	return is_clean(&s->data) ? SIM_REWIND_BEGUN : SIM_REWIND_UNCLEAN;
}

/*
 * pg_rewind looks at both directories.  Same timeline in pg_control: nothing to do, whatever
 * is in the WAL (R S7; on 15 also of a source that has not yet made its first checkpoint
 * since promotion).  The target's end is its last checkpoint's or minRecoveryPoint,
 * never what pg_wal holds (R S6b).
 */
SimRewind
sim_rewind_begin(SimCluster *c, int i, int source_id, bool ensure_shutdown)
{
	SimServer		*s = &c->server[i];
	const SimServer *source = &c->server[source_id];
	SimControl		*control = &s->data.control;
	uint16_t		 mine;
	uint16_t		 theirs;
	SimRewind		 verdict;
	SimLsn			 fork;
	SimLsn			 end;
	SimLsn			 checkpoint;

	if (s->life != SIM_DOWN || control->state == SIM_NO_CONTROL || s->rebuild.step != SIM_REBUILD_NONE)
		return SIM_REWIND_UNCLEAN;
	if (ensure_shutdown && !is_clean(&s->data) && !single_user_recovery(c, i))
		return SIM_REWIND_UNCLEAN;
	verdict = sane(c, s, source);
	mine = control_timeline(c, control);
	theirs = control_timeline(c, &source->data.control);
	if (verdict != SIM_REWIND_BEGUN || mine == theirs)
		return verdict != SIM_REWIND_BEGUN ? verdict : SIM_REWIND_NOT_NEEDED;
	fork = find_fork(c, sim_path(&s->data, mine), sim_path(&source->data, theirs));
	end = control->min_recovery > control->checkpoint ? control->min_recovery : control->checkpoint + 1;
	if (fork == 0 || end <= fork)
		return fork == 0 ? SIM_REWIND_NO_ANCESTOR : SIM_REWIND_NOT_NEEDED;
	checkpoint = find_checkpoint(c, &s->data, sim_path(&s->data, mine), fork);
	if (checkpoint == 0 || !can_read_all(c, &s->data, sim_path(&s->data, mine), checkpoint, end))
		return SIM_REWIND_NO_WAL;
	s->rebuild = (SimRebuild){.step = SIM_REBUILD_PAGES,
							  .source = (int8_t) source_id,
							  .source_start = source->start,
							  .checkpoint = checkpoint,
							  .fork = fork};
	return SIM_REWIND_BEGUN;
}

/* Copy of one of the source's segments, without what the kernel there does not have. */
static void
copy_file(SimCluster *c, SimData *d, const SimServer *source, const SimSegment *from, SimLsn limit)
{
	SimSegment *f = sim_make_segment(c, d, from->timeline, (SimLsn) from->number * SIM_SEGMENT);

	for (SimLsn p = 0; f != NULL && p < SIM_SEGMENT; p++)
	{
		f->record[p] = from->record[p];
		f->record[p].synced = 0;
		if ((SimLsn) from->number * SIM_SEGMENT + p >= limit && from->timeline == source->timeline)
			memset(&f->record[p], 0, sizeof(f->record[p]));
	}
}

static void
copy_pages(SimData *d, const SimData *from)
{
	memcpy(d->pages, from->pages, sizeof(d->pages));
	d->pages_end = from->pages_end;
	d->pages_uid = from->pages_uid;
	d->mixture |= from->mixture;
}

/*
 * Files that are no relations: what the source lacks is deleted, all of its own are copied,
 * standby.signal's absence too; WAL back to the common checkpoint is kept (R 5).
 */
static void
rewind_files(SimCluster *c, SimServer *s, const SimServer *source)
{
	SimData *d = &s->data;
	SimLsn	 limit = source->life == SIM_PRIMARY ? source->written : SIM_NO_END;

	for (int k = d->n_files - 1; k >= 0; k--)
	{
		SimLsn number = d->file[k].number;

		if (number < s->rebuild.checkpoint / SIM_SEGMENT || number > s->rebuild.fork / SIM_SEGMENT)
			d->file[k] = d->file[--d->n_files];
	}
	for (int k = 0; k < source->data.n_files; k++)
		copy_file(c, d, source, &source->data.file[k], limit);
	memcpy(d->history, source->data.history, sizeof(d->history));
	d->standby_signal = source->data.standby_signal;
	copy_pages(d, &source->data);
}

/* pg_control last: in archive recovery up to where the source inserts now (R 3). */
static void
rewind_control(SimServer *s, const SimServer *source)
{
	SimData *d = &s->data;

	d->control = source->data.control;
	d->control.state = SIM_IN_ARCHIVE_RECOVERY;
	if (source->life == SIM_PRIMARY)
	{
		d->control.min_recovery = source->inserted;
		d->control.min_timeline = source->timeline;
	}
	d->whole = SIM_WHOLE;
	d->unsynced = true;
}

static void
rewind_step(SimCluster *c, SimServer *s, const SimServer *source)
{
	SimData *d = &s->data;

	switch ((SimRebuildStep) s->rebuild.step)
	{
		case SIM_REBUILD_PAGES:
			d->whole = SIM_HALF_REWOUND;
			for (int k = 0; k < SIM_COMMIT_WORDS; k++)
				d->pages[k] |= source->data.pages[k];
			d->pages_uid = 0; /* of no record at all */
			break;
		case SIM_REBUILD_FILES:
			rewind_files(c, s, source);
			break;
		case SIM_REBUILD_LABEL:
			d->backup_label = true;
			d->label = s->rebuild.checkpoint;
			break;
		case SIM_REBUILD_CONTROL:
			rewind_control(s, source);
			break;
		default:
			break;
	}
}

/* ---- pg_basebackup ---- */

/*
 * A clone begins: into the empty directory itself, or beside it.  backup_label is there from
 * the start, pg_control comes last (R 5).  From a primary with a checkpoint of its own,
 * from a standby with its last restartpoint.
 */
bool
sim_clone_begin(SimCluster *c, int i, int source_id, bool aside)
{
	SimServer *s = &c->server[i];
	SimServer *source = &c->server[source_id];
	SimData	  *d = aside ? &s->side : &s->data;

	if (i == source_id || !sim_accepts(source) || d->whole != SIM_GONE || s->rebuild.step != SIM_REBUILD_NONE ||
		(!aside && s->life != SIM_DOWN) || (source->life == SIM_PRIMARY && !sim_checkpoint(c, source_id)))
		return false;
	memset(d, 0, sizeof(*d));
	d->whole = SIM_HALF_CLONED;
	d->system = source->data.system;
	d->backup_label = true;
	d->label = source->data.control.checkpoint;
	s->rebuild = (SimRebuild){.step = SIM_REBUILD_PAGES,
							  .clone = true,
							  .aside = aside,
							  .source = (int8_t) source_id,
							  .source_start = source->start,
							  .checkpoint = d->label};
	return true;
}

/* WAL from the checkpoint on, and the history of the timeline that is streamed (P 1.4). */
static void
clone_wal(SimCluster *c, SimData *d, const SimServer *source, SimLsn from, SimLsn limit)
{
	uint16_t timeline = source->life == SIM_PRIMARY ? source->timeline : source->replay_timeline;
	uint16_t first = source->data.control.checkpoint_timeline;
	SimPath	 path = sim_path(&source->data, timeline);

	for (int k = 0; k < source->data.n_files; k++)
	{
		const SimSegment *f = &source->data.file[k];

		if (f->number >= from / SIM_SEGMENT && f->timeline >= first && sim_path_has(c, path, f->timeline))
			copy_file(c, d, source, f, limit);
	}
	for (uint16_t id = first; id <= timeline; id++)
	{
		if (sim_path_has(c, path, id))
			d->history[id] = source->data.history[id];
	}
}

/* The backup's end, which replay must reach, and pg_control. */
static bool
clone_control(SimCluster *c, SimData *d, SimServer *source, SimLsn checkpoint)
{
	int	   id = (int) (source - c->server);
	SimLsn limit = SIM_NO_END;

	if (source->life == SIM_PRIMARY)
	{
		if (!sim_insert(c, id, SIM_RECORD_OTHER, 0, source->own_shape) || !sim_wal_flush(c, id, source->inserted))
			return false;
		limit = source->flushed;
	}
	clone_wal(c, d, source, checkpoint, limit);
	d->control = source->data.control;
	if (source->life == SIM_PRIMARY)
	{
		d->control.min_recovery = source->flushed;
		d->control.min_timeline = source->timeline;
	}
	d->standby_signal = true;
	d->whole = SIM_WHOLE;
	d->unsynced = true;
	return true;
}

/* ---- both ---- */

/*
 * One step: pages, files, label, pg_control, sync.  A source that is gone ends it (R K8), and
 * what is half done stays so.  Stop anywhere by not going on: sim_rebuild_stop().
 */
bool
sim_rebuild_step(SimCluster *c, int i)
{
	SimServer  *s = &c->server[i];
	SimRebuild *rebuild = &s->rebuild;
	SimServer  *source = &c->server[rebuild->source];
	SimData	   *d = rebuild->aside ? &s->side : &s->data;

	if (rebuild->step == SIM_REBUILD_NONE)
		return false;
	if (rebuild->step == SIM_REBUILD_SYNC)
	{
		sim_sync_files(d);
		rebuild->step = SIM_REBUILD_NONE;
		return true;
	}
	if (!sim_accepts(source) || source->start != rebuild->source_start || s->disk_full ||
		(!rebuild->aside && s->life != SIM_DOWN))
	{
		sim_rebuild_stop(c, i);
		return false;
	}
	if (!rebuild->clone)
		rewind_step(c, s, source);
	else if (rebuild->step == SIM_REBUILD_PAGES)
		copy_pages(d, &source->data);
	else if (rebuild->step == SIM_REBUILD_CONTROL && !clone_control(c, d, source, rebuild->checkpoint))
	{
		sim_rebuild_stop(c, i);
		return false;
	}
	rebuild->step++;
	return true;
}

/* The tool is killed, or the supervisor with it. */
void
sim_rebuild_stop(SimCluster *c, int i)
{
	c->server[i].rebuild.step = SIM_REBUILD_NONE;
}

/* The finished clone takes the directory's place. */
bool
sim_swap_side(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];

	if (s->life != SIM_DOWN || s->side.whole != SIM_WHOLE || s->rebuild.step != SIM_REBUILD_NONE)
		return false;
	s->data = s->side;
	memset(&s->side, 0, sizeof(s->side));
	return true;
}

/* The directory, or the one beside it, is removed. */
bool
sim_wipe(SimCluster *c, int i, bool aside)
{
	SimServer *s = &c->server[i];

	if (s->rebuild.step != SIM_REBUILD_NONE || (!aside && s->life != SIM_DOWN))
		return false;
	memset(aside ? &s->side : &s->data, 0, sizeof(s->data));
	return true;
}

/* A snapshot of the file system, also of a running server. */
void
sim_snapshot(const SimCluster *c, int i, SimData *copy)
{
	const SimServer *s = &c->server[i];

	*copy = s->data;
	if (s->life == SIM_PRIMARY)
		sim_drop_records(copy, s->timeline, s->written);
	sim_sync_files(copy);
}

/* An older copy, or another server's, takes the directory's place (C22; A7p in 032_commit_facts.pl). */
bool
sim_restore(SimCluster *c, int i, const SimData *copy)
{
	SimServer *s = &c->server[i];

	if (s->life != SIM_DOWN || s->rebuild.step != SIM_REBUILD_NONE)
		return false;
	s->data = *copy;
	return true;
}

/* A history file is put there, or removed (SIM_ABSENT) (R 9.7, S9). */
void
sim_put_history(SimData *d, uint16_t timeline, uint8_t history)
{
	d->history[timeline] = history;
}
