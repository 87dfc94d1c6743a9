/*
 * test/sim/server.c
 *	  Of the simulated PostgreSQL: starts, the startup process, writing, stops and crashes.
 */
#include "server_parts.h"

#include <string.h>

void
sim_begin(SimCluster *c, int n, int major, bool checksums)
{
	memset(c, 0, sizeof(*c));
	c->n = n;
	c->major = major;
	c->checksums = checksums;
	c->n_histories = SIM_REAL;
	for (int i = 0; i < n; i++)
	{
		c->server[i].conninfo = -1;
		c->server[i].upstream = -1;
		c->server[i].receiver.slot = -1;
	}
}

bool
sim_recovering(const SimServer *s)
{
	return s->life == SIM_STANDBY || s->life == SIM_RECOVERING;
}

/* Does it let walreceivers and other clients in? */
bool
sim_accepts(const SimServer *s)
{
	return s->life == SIM_PRIMARY || (s->life == SIM_STANDBY && s->consistent);
}

int
sim_new_promotion(SimCluster *c, int i, uint16_t timeline, SimLsn fork)
{
	if (c->n_promotions == SIM_PROMOTIONS)
	{
		c->full = true;
		return -1;
	}
	c->promotion[c->n_promotions].timeline = timeline;
	c->promotion[c->n_promotions].server = (int8_t) i;
	c->promotion[c->n_promotions].fork = fork;
	return c->n_promotions++;
}

/* ---- ends of a server ---- */

/* All processes are gone, whatever ended them. */
void
sim_server_ends(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];

	(void) sim_receiver_end(c, i, false);
	for (int k = 1; k <= c->n_commits; k++)
	{
		SimCommit *commit = &c->commit[k];

		if (commit->server == i && commit->start == s->start && commit->outcome == SIM_COMMIT_WAITING)
			commit->outcome = SIM_COMMIT_LOST_WAIT;
	}
	memset(s->sender, 0, sizeof(s->sender));
	s->life = SIM_DOWN;
	s->promote = s->promoting = s->consistent = s->redo_began = false;
	s->at = 0;
	memset(s->applied, 0, sizeof(s->applied));
	memset(s->shown, 0, sizeof(s->shown));
}

/*
 * kill -9 of everything, an immediate stop, a PANIC or a FATAL of the startup process: WAL
 * in shared memory is lost, what was written stays, pg_control as it is (R 3).
 */
void
sim_crash(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];

	if (s->life == SIM_PRIMARY && s->inserted > s->written)
		sim_drop_records(&s->data, s->timeline, s->written);
	if (s->life != SIM_DOWN)
		sim_server_ends(c, i);
}

/*
 * The machine loses power: of WAL that was written and not synced, what lies below "keep"
 * happens to survive; a copy without its syncfs is half a copy (R 5).
 */
void
sim_power_loss(SimCluster *c, int i, SimLsn keep)
{
	SimServer *s = &c->server[i];
	SimData	  *d = &s->data;

	sim_crash(c, i);
	sim_rebuild_stop(c, i);
	for (int k = 0; k < d->n_files; k++)
	{
		for (SimLsn p = 0; p < SIM_SEGMENT; p++)
		{
			SimRecord *r = &d->file[k].record[p];

			if (!r->synced && (SimLsn) d->file[k].number * SIM_SEGMENT + p >= keep)
				memset(r, 0, sizeof(*r));
		}
	}
	if (d->unsynced)
		d->whole = SIM_HALF_REWOUND;
	if (s->side.unsynced)
		s->side.whole = SIM_HALF_CLONED;
}

/* restart_after_crash: shared memory is new, standby.signal is looked at again (R 6). */
bool
sim_restart_in_place(SimCluster *c, int i)
{
	if (c->server[i].life == SIM_DOWN)
		return false;
	sim_crash(c, i);
	return sim_start(c, i);
}

/* ---- writing ---- */

/* One record at the end of WAL, in shared memory only.  false: a table is full. */
bool
sim_append(SimCluster *c, int i, SimKind kind, uint16_t value, uint8_t shape)
{
	SimServer  *s = &c->server[i];
	SimSegment *f = sim_make_segment(c, &s->data, s->timeline, s->inserted);
	SimRecord  *r;

	if (f == NULL)
		return false;
	r = &f->record[s->inserted % SIM_SEGMENT];
	*r = (SimRecord){.uid = ++c->n_uids,
					 .after = s->at_uid,
					 .timeline = s->timeline,
					 .promotion = s->promotion,
					 .value = value,
					 .kind = (uint8_t) kind,
					 .shape = shape,
					 .prev = s->at_shape};
	s->inserted++;
	s->at_uid = r->uid;
	s->at_shape = shape;
	s->at_timeline = s->timeline;
	return true;
}

/* A record of a primary, which is neither written nor flushed yet (P 6: nothing is sent). */
bool
sim_insert(SimCluster *c, int i, SimKind kind, uint16_t value, uint8_t shape)
{
	return c->server[i].life == SIM_PRIMARY && sim_append(c, i, kind, value, shape);
}

/* A backend commits and then waits; returns the commit's id, 0: not done. */
int
sim_commit(SimCluster *c, int i, uint8_t shape)
{
	SimServer *s = &c->server[i];
	int		   id = c->n_commits + 1;

	if (id == SIM_COMMITS)
		c->full = true;
	if (s->life != SIM_PRIMARY || id == SIM_COMMITS || !sim_append(c, i, SIM_RECORD_COMMIT, (uint16_t) id, shape))
		return 0;
	c->n_commits = id;
	c->commit[id] = (SimCommit){.outcome = SIM_COMMIT_WAITING,
								.server = (int8_t) i,
								.timeline = s->timeline,
								.promotion = s->promotion,
								.start = s->start,
								.uid = s->at_uid,
								.end = s->inserted};
	sim_add_commit(s->applied, id);
	return id;
}

/* WAL buffers go to the kernel.  A full disk is a PANIC. */
bool
sim_wal_write(SimCluster *c, int i, SimLsn upto)
{
	SimServer *s = &c->server[i];

	if (s->life != SIM_PRIMARY || upto <= s->written || upto > s->inserted)
		return false;
	if (s->disk_full)
	{
		sim_crash(c, i);
		return false;
	}
	s->written = upto;
	return true;
}

/* XLogFlush(): written and synced. */
bool
sim_wal_flush(SimCluster *c, int i, SimLsn upto)
{
	SimServer *s = &c->server[i];

	if (s->life != SIM_PRIMARY || upto <= s->flushed || upto > s->inserted || s->disk_hangs)
		return false;
	if (upto > s->written && !sim_wal_write(c, i, upto))
		return false;
	for (SimLsn p = s->flushed; p < upto; p++)
		sim_segment(&s->data, s->timeline, p)->record[p % SIM_SEGMENT].synced = 1;
	s->flushed = upto;
	return true;
}

/*
 * Dirty pages go to disk, WAL before them; on a standby minRecoveryPoint comes first (R 3:
 * a killed standby's is some flushed page's).
 */
bool
sim_flush_pages(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];
	SimData	  *d = &s->data;

	if (s->life == SIM_PRIMARY)
	{
		if (s->flushed < s->inserted && !sim_wal_flush(c, i, s->inserted))
			return false;
		d->pages_end = s->inserted;
	}
	else if (sim_recovering(s) && s->at > 0 && !s->disk_hangs)
	{
		if (d->control.state == SIM_IN_ARCHIVE_RECOVERY && s->at > d->control.min_recovery)
		{
			d->control.min_recovery = s->at;
			d->control.min_timeline = s->replay_timeline;
		}
		d->pages_end = s->at;
	}
	else
		return false;
	d->pages_uid = s->at_uid;
	memcpy(d->pages, s->applied, sizeof(d->pages));
	return true;
}

/* A primary's checkpoint, online or at its end. */
bool
sim_write_checkpoint(SimCluster *c, int i, SimKind kind)
{
	SimServer  *s = &c->server[i];
	SimControl *control = &s->data.control;
	SimLsn		at = s->inserted;

	if (!sim_append(c, i, kind, 0, s->own_shape) || !sim_flush_pages(c, i))
		return false;
	*control = (SimControl){.state = kind == SIM_RECORD_SHUTDOWN ? SIM_SHUT_DOWN : SIM_IN_PRODUCTION,
							.checkpoint_timeline = s->timeline,
							.checkpoint = at};
	return true;
}

/*
 * CHECKPOINT.  On a standby a restartpoint, at the last checkpoint that was replayed; only
 * so pg_control's timeline follows the WAL's (R 5: PG15 takes it from there).
 */
bool
sim_checkpoint(SimCluster *c, int i)
{
	SimServer  *s = &c->server[i];
	SimControl *control = &s->data.control;

	if (s->life == SIM_PRIMARY)
		return sim_write_checkpoint(c, i, SIM_RECORD_CHECKPOINT);
	if (s->life != SIM_STANDBY || s->replayed_checkpoint <= control->checkpoint || !s->consistent ||
		!sim_flush_pages(c, i))
		return false;
	control->checkpoint = s->replayed_checkpoint;
	control->checkpoint_timeline = s->replayed_checkpoint_timeline;
	return true;
}

/* ---- beginning ---- */

bool
sim_initdb(SimCluster *c, int i, uint32_t system)
{
	SimServer *s = &c->server[i];
	int		   promotion = s->life == SIM_DOWN ? sim_new_promotion(c, i, 1, 0) : -1;

	if (promotion < 0)
		return false;
	memset(&s->data, 0, sizeof(s->data));
	s->data.whole = SIM_WHOLE;
	s->data.system = system;
	s->timeline = 1;
	s->promotion = (uint16_t) promotion;
	s->inserted = s->written = s->flushed = SIM_FIRST_LSN;
	s->at_uid = 0;
	s->at_shape = SIM_ANY_SHAPE;
	c->promotion[promotion].opened = true;
	s->life = SIM_PRIMARY;
	(void) sim_write_checkpoint(c, i, SIM_RECORD_SHUTDOWN);
	sim_server_ends(c, i);
	return true;
}

/* FATAL before redo: the target does not fit what pg_control says (P 1.3 C; R S9). */
static bool
fits_control(const SimCluster *c, const SimData *d, SimPath path)
{
	const SimControl *control = &d->control;

	if (path.history == SIM_GARBAGE)
		return false;
	if (!d->backup_label && sim_path_timeline(c, path, control->checkpoint) != control->checkpoint_timeline)
		return false;
	return control->min_recovery == 0 || path.timeline == 1 ||
		   sim_path_timeline(c, path, control->min_recovery - 1) == control->min_timeline;
}

/* Which kind of recovery, and what pg_control says from now on. */
static void
begin_recovery(SimServer *s)
{
	SimData	   *d = &s->data;
	SimControl *control = &d->control;

	s->life = d->standby_signal ? SIM_STANDBY : SIM_RECOVERING;
	s->crash_first = !d->backup_label &&
					 (s->life == SIM_RECOVERING || (control->min_recovery == 0 && control->state != SIM_SHUT_DOWN));
	if (d->backup_label)
	{
		control->checkpoint = d->label;
		d->backup_label = false;
	}
	if (!s->crash_first && control->min_recovery < control->checkpoint)
	{
		control->min_recovery = control->checkpoint;
		control->min_timeline = control->checkpoint_timeline;
	}
	if (s->life == SIM_RECOVERING && control->state == SIM_SHUT_DOWN)
		return;
	control->state = s->crash_first ? SIM_IN_CRASH_RECOVERY : SIM_IN_ARCHIVE_RECOVERY;
}

/*
 * Start with what is in the directory: with standby.signal as a standby, without as a
 * primary.  WalRcv is zero again (P 4), a promote file is removed, a half-rewound
 * directory starts as if nothing were amiss (R K8), one that was half cloned has no
 * pg_control.  false: it did not come up.
 */
bool
sim_start(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];
	SimData	  *d = &s->data;
	SimPath	   path = sim_start_path(d);
	bool	   burnt = path.history < SIM_GARBAGE && path.timeline > d->control.checkpoint_timeline &&
				 path.timeline > d->control.min_timeline;

	if (s->life != SIM_DOWN || d->whole == SIM_GONE || d->control.state == SIM_NO_CONTROL)
		return false;
	s->start++;
	memset(&s->receiver, 0, sizeof(s->receiver));
	s->receiver.slot = -1;
	if (!burnt && !fits_control(c, d, path))
		return false;
	if (d->whole == SIM_HALF_REWOUND)
		d->mixture = true;

	/* SyncDataDirectory(): what a crash has left written is on disk before redo begins. */
	if (d->control.state != SIM_SHUT_DOWN && d->control.state != SIM_SHUT_DOWN_IN_RECOVERY)
		sim_sync_files(d);
	begin_recovery(s);
	s->target = path;
	s->phase = burnt ? SIM_NEVER_UP : SIM_BEFORE_REDO;
	s->upstream = s->conninfo;
	s->paused = false; /* it is in shared memory */
	s->promote = s->promoting = s->redo_began = s->consistent = false;
	s->at = s->replayed_checkpoint = s->released = 0;
	s->file_timeline = 0;
	memcpy(s->applied, d->pages, sizeof(s->applied));
	memcpy(s->shown, d->pages, sizeof(s->shown));
	return true;
}

/* ---- the startup process ---- */

SimStep
sim_dies(SimCluster *c, int i)
{
	sim_crash(c, i);
	return SIM_DIED;
}

/* Readers get in when minRecoveryPoint is passed (R 4). */
static void
look_whether_consistent(SimServer *s)
{
	if (!s->consistent && !s->crash_first && s->at >= s->data.control.min_recovery)
		s->consistent = true;
}

/* Truth: pages that were written after another record than this WAL has there. */
static void
compare_pages(SimData *d, SimLsn end, uint32_t uid)
{
	if (end == d->pages_end && uid != 0 && uid != d->pages_uid)
		d->mixture = true;
}

static bool
is_checkpoint(const SimRecord *r)
{
	return r->kind == SIM_RECORD_CHECKPOINT || r->kind == SIM_RECORD_SHUTDOWN;
}

/*
 * The checkpoint is read, and what is after it begins to be replayed; a shutdown's is not
 * itself replayed, so that there may be nothing to do ("redo is not required", P 1.2).
 */
static SimStep
begin_redo(SimCluster *c, int i)
{
	SimServer		*s = &c->server[i];
	SimLsn			 from = s->data.control.checkpoint;
	uint16_t		 file = 0;
	const SimRecord *r = sim_read_any(c, &s->data, s->target, from, &file);
	SimReader		 reader;

	if (r == NULL || !is_checkpoint(r))
		return sim_dies(c, i); /* could not locate a valid checkpoint record */
	s->at = r->kind == SIM_RECORD_SHUTDOWN ? from + 1 : from;
	reader = sim_reader(c, &s->data, s->target, s->at);
	s->at_shape = reader.shape;
	s->at_timeline = s->replay_timeline = r->timeline;
	s->file_timeline = file;
	s->at_uid = s->at > from ? r->uid : 0;
	s->replayed_checkpoint = from;
	s->replayed_checkpoint_timeline = r->timeline;
	s->data.control.checkpoint_timeline = r->timeline; /* a backup_label's may be an older one */
	s->phase = SIM_READ_WAL;
	compare_pages(&s->data, s->at, s->at_uid);
	look_whether_consistent(s);
	return SIM_MOVED;
}

/* checkTimeLineSwitch(): a PANIC if the record cannot come here. */
static bool
may_switch(const SimCluster *c, const SimServer *s, const SimRecord *r)
{
	const SimControl *control = &s->data.control;

	if (r->value != s->replay_timeline || !sim_path_has(c, s->target, r->timeline))
		return false;
	return control->min_recovery == 0 || s->at >= control->min_recovery || r->timeline <= control->min_timeline;
}

/*
 * Where lengths happen to fit, replay gets past a timeline's first record without having
 * seen it, and is stopped by the first checkpoint after that: a PANIC, at each start (R K9).
 */
static bool
fits_replay(const SimCluster *c, const SimServer *s, const SimRecord *r)
{
	if (r->kind == SIM_RECORD_END_OF_RECOVERY)
		return may_switch(c, s, r);
	return !is_checkpoint(r) || r->timeline == s->replay_timeline;
}

static SimStep
replay(SimCluster *c, int i, const SimRecord *r, uint16_t file_timeline)
{
	SimServer *s = &c->server[i];

	if (!fits_replay(c, s, r))
		return sim_dies(c, i);
	s->redo_began = true;
	if (s->at_uid != 0 && r->after != s->at_uid)
		s->data.mixture = true; /* truth: it was written after something else */
	if (is_checkpoint(r))
	{
		s->replayed_checkpoint = s->at;
		s->replayed_checkpoint_timeline = r->timeline;
	}
	if (r->kind == SIM_RECORD_COMMIT)
	{
		sim_add_commit(s->applied, r->value);
		sim_add_commit(s->shown, r->value);
	}
	s->at++;
	s->at_uid = r->uid;
	s->at_shape = r->shape;
	s->at_timeline = r->timeline;
	if (r->kind == SIM_RECORD_END_OF_RECOVERY)
		s->replay_timeline = r->timeline;
	s->file_timeline = file_timeline;
	compare_pages(&s->data, s->at, s->at_uid);
	look_whether_consistent(s);
	return SIM_REPLAYED;
}

/* The next record where the startup process looks for it just now. */
static const SimRecord *
next_record(const SimCluster *c, const SimServer *s, uint16_t *file_timeline)
{
	const SimRecord	  *r;
	const SimReceiver *v = &s->receiver;

	*file_timeline = s->file_timeline;
	if (s->phase == SIM_READ_STREAM)
	{
		const SimSegment *f = sim_segment((SimData *) &s->data, v->received_timeline, s->at);

		if (s->at >= v->flushed_upto || v->received_timeline < s->file_timeline || v->receive_start == 0)
			return NULL;
		*file_timeline = v->received_timeline;
		r = f != NULL ? &f->record[s->at % SIM_SEGMENT] : NULL;
	}
	else
		r = sim_read_any(c, &s->data, s->target, s->at, file_timeline);
	return sim_can_follow(r, s->at_shape, s->at_timeline) ? r : NULL;
}

/*
 * rescanLatestTimeLine(): a newer history file is a new target if the old one is in it and
 * was not left behind before what is replayed; WAL that is not replayed does not count
 * (R S2, S6b).  false: the file is garbage, and the server dies (P 1.3).
 */
static bool
rescan(SimCluster *c, SimServer *s)
{
	uint16_t newest = sim_newest_timeline(&s->data, s->target.timeline);
	SimPath	 path = sim_path(&s->data, newest);

	if (newest == s->target.timeline)
		return true;
	if (path.history == SIM_GARBAGE)
		return false;
	if (sim_path_has(c, path, s->target.timeline) && sim_path_end(c, path, s->target.timeline) >= s->at)
		s->target = path;
	return true;
}

/* pg_wal is read to its end. */
static SimStep
wal_exhausted(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];

	if (s->crash_first && s->life == SIM_STANDBY)
	{
		/* A crashed primary: all of its WAL is needed (R 4). */
		s->crash_first = false;
		s->consistent = true;
		s->data.control.state = SIM_IN_ARCHIVE_RECOVERY;
		s->data.control.min_recovery = s->at;
		s->data.control.min_timeline = s->replay_timeline;
		return SIM_MOVED;
	}
	if (s->life == SIM_RECOVERING || s->promote)
	{
		if (!s->consistent && !s->crash_first)
			return sim_dies(c, i); /* WAL ends before consistent recovery point */
		s->promoting = s->life == SIM_STANDBY;
		s->phase = SIM_CLEANUP;
		return SIM_MOVED;
	}
	s->upstream = s->conninfo;
	s->phase = SIM_READ_STREAM;
	if (s->upstream >= 0)
	{
		if (sim_path_timeline(c, s->target, s->at) < s->file_timeline)
			return sim_dies(c, i); /* according to history file .. belongs to timeline */
		sim_receiver_ask(c, i);
	}
	return SIM_MOVED;
}

/*
 * Nothing to replay from the stream: wait, or have done with it.  A new primary_conninfo
 * is acted on here and nowhere else (P 3), and so is a promotion, which goes through a
 * rescan and pg_wal once more (P 1.1).
 */
static SimStep
stream_exhausted(SimCluster *c, int i)
{
	SimServer	*s = &c->server[i];
	SimReceiver *v = &s->receiver;
	bool		 works = v->state != SIM_WALRCV_STOPPED && v->state != SIM_WALRCV_WAITING;
	bool		 invalid = works && v->state == SIM_WALRCV_STREAMING && s->at < v->flushed_upto;

	if (works && !invalid && !s->promote && s->conninfo == s->upstream)
		return SIM_WAITS;
	if (v->state == SIM_WALRCV_WAITING && !s->promote && s->conninfo == s->upstream)
	{
		/* The process stays and is asked anew after the rescan. */
		if (!rescan(c, s))
			return sim_dies(c, i);
		s->phase = SIM_READ_WAL;
		return SIM_MOVED;
	}
	(void) sim_receiver_end(c, i, true);
	if (v->state == SIM_WALRCV_STREAMING)
		return SIM_WAITS; /* for a receiver whose disk hangs */
	if (!rescan(c, s))
		return sim_dies(c, i);
	s->phase = SIM_READ_WAL;
	return SIM_MOVED;
}

/*
 * One step of the startup process: one record, or one change of what it does.  Paused, it
 * does nothing, not even what a reload or a dead receiver asks for (P 3), until a
 * promotion is wanted, which ends pause and delay (P 2).
 */
SimStep
sim_startup_step(SimCluster *c, int i)
{
	SimServer		*s = &c->server[i];
	uint16_t		 file_timeline;
	const SimRecord *r;

	if (!sim_recovering(s) || s->phase == SIM_NEVER_UP)
		return SIM_NOTHING;
	if (s->phase == SIM_BEFORE_REDO)
		return begin_redo(c, i);
	if (s->phase >= SIM_CLEANUP)
		return s->disk_hangs ? SIM_HELD : sim_promotion_step(c, i);
	if (s->paused && !s->promote && s->life == SIM_STANDBY && s->consistent)
		return SIM_HELD;
	r = next_record(c, s, &file_timeline);
	if (r != NULL)
	{
		if (s->delayed && !s->promote && s->life == SIM_STANDBY && s->consistent && r->kind == SIM_RECORD_COMMIT)
			return SIM_HELD;
		return replay(c, i, r, file_timeline);
	}
	return s->phase == SIM_READ_WAL ? wal_exhausted(c, i) : stream_exhausted(c, i);
}

/* pg_promote(), a promote file, an operator: a request only.  It dies with the server. */
bool
sim_promote(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];

	if (s->life != SIM_STANDBY || s->promote || s->phase >= SIM_CLEANUP)
		return false;
	s->promote = true;
	return true;
}

/* ---- stops ---- */

/*
 * A fast stop.  A primary ends its sessions, whose rows become visible without an answer
 * (READ), writes the shutdown checkpoint and goes on sending: sim_stop_finish().  A
 * standby notes how far it has replayed, and not how far it has received (R 3).
 */
bool
sim_stop_fast(SimCluster *c, int i)
{
	SimServer *s = &c->server[i];

	if (s->life == SIM_PRIMARY)
	{
		for (int k = 1; k <= c->n_commits; k++)
		{
			if (c->commit[k].server == i && c->commit[k].start == s->start)
				(void) sim_wait_end(c, k, SIM_COMMIT_TERMINATED);
		}
		if (!sim_write_checkpoint(c, i, SIM_RECORD_SHUTDOWN))
		{
			sim_crash(c, i);
			return false;
		}
		s->life = SIM_STOPPING;
		return true;
	}
	if (!sim_recovering(s))
		return false;
	if (s->phase < SIM_CLEANUP && s->at > 0 && s->data.control.state == SIM_IN_ARCHIVE_RECOVERY)
	{
		(void) sim_receiver_end(c, i, true);
		(void) sim_checkpoint(c, i);
		(void) sim_flush_pages(c, i);
		s->data.control.state = SIM_SHUT_DOWN_IN_RECOVERY;
	}
	sim_server_ends(c, i);
	return true;
}

/* The walsenders of a stopping primary have drained, or nobody waits for them any more. */
bool
sim_stop_finish(SimCluster *c, int i)
{
	if (c->server[i].life != SIM_STOPPING)
		return false;
	sim_server_ends(c, i);
	return true;
}

/* primary_conninfo in the file, reloaded; -1: empty.  When it works is another matter. */
bool
sim_set_conninfo(SimCluster *c, int i, int source)
{
	if (c->server[i].conninfo == source || source == i)
		return false;
	c->server[i].conninfo = (int8_t) source;
	return true;
}

SimView
sim_view(const SimCluster *c, int i)
{
	const SimServer	  *s = &c->server[i];
	const SimReceiver *v = &s->receiver;
	bool			   recovers = sim_recovering(s);
	SimView			   view = {.in_recovery = recovers,
							   .hot = sim_accepts(s),
							   .receiver_runs = v->state != SIM_WALRCV_STOPPED,
							   .receiver_state = v->state,
							   .receiver_flushed = v->flushed_upto,
							   .received_timeline = v->received_timeline,
							   .receive_start = v->receive_start,
							   .newest_history = sim_newest_history(&s->data)};

	if (recovers && s->phase < SIM_CLEANUP)
	{
		view.replayed = s->at;
		view.replay_timeline = s->replay_timeline;
	}
	if (s->life == SIM_PRIMARY || s->life == SIM_STOPPING)
	{
		view.flushed = s->flushed;
		view.timeline = s->timeline;
		view.released = s->released;
	}
	return view;
}
