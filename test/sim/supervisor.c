/*
 * test/sim/supervisor.c
 *	  What the supervisor of a simulated server does: it stops and starts it, and rebuilds
 *	  its directory.  It is told; what it is told comes from primary/.
 */
#include "keeper_parts.h"

#include "../../primary/rebuild.h"

#include "checker.h"

/* ---- starts and stops ---- */

void
stop_server(World *w, int i, bool immediate)
{
	SimServer *s = server_of(w, i);

	if (s->life == SIM_DOWN)
		return;
	TRACE(w, BIT(i), "server is stopped");
	if (immediate || s->life == SIM_PRIMARY || !sim_stop_fast(&w->keepers->cluster, i))
		sim_crash(&w->keepers->cluster, i);
	server_died(w, i);
}

static void
gather_start(World *w, int i, const PrimaryFacts *f, StartFacts *start, HistoryFile *files, HistoryFile *leader_files)
{
	Keeper		  *k = keeper_of(w, i);
	const SimData *d = &server_of(w, i)->data;

	*start = (StartFacts){0};
	start->histories = read_histories(w, i, files);
	start->timeline = end_timeline(w, i);
	start->end = sim_true_end(&w->keepers->cluster, i, NULL);
	start->lineage = read_lineage(w, i, (uint16_t) start->timeline, &k->own, &k->own_key) == LINEAGE_GOOD ? &k->own : NULL;
	start->control_timeline = d->control.checkpoint_timeline > d->control.min_timeline ? d->control.checkpoint_timeline : d->control.min_timeline;
	start->checkpoint = d->backup_label ? 0 : d->control.checkpoint;
	start->min_recovery = d->control.min_recovery;
	start->backup_label = d->backup_label;
	start->was_primary = d->control.state == SIM_IN_PRODUCTION || d->control.state == SIM_SHUT_DOWN;
	start->target_ahead = k->target_ahead;
	start->leader_lineage = f->leader.promoted ? f->leader.lineage : NULL;
	if (start->leader_lineage != NULL)
		start->leader_histories = read_histories(w, f->leader_id, leader_files);
}

static void
sweep(World *w, int i, const StartFacts *start, int leader)
{
	SimData *d = &server_of(w, i)->data;

	for (uint32_t t = start_last(start); t >= 2; t--)
	{
		StartSweep todo = start_sweep(start, t);

		if (todo.remove_wal)
			sim_remove_timeline(d, (uint16_t) t);
		if (todo.history == START_REMOVE)
			sim_put_history(d, (uint16_t) t, SIM_ABSENT);
		else if (todo.history == START_COPY)
			sim_put_history(d, (uint16_t) t, server_of(w, leader)->data.history[t]);
		else if (todo.history == START_BURN)
			sim_put_history(d, (uint16_t) t, SIM_BURNT);
	}
}

/* What the library does before the startup process begins, whoever has started the server. */
static bool
start_swept(World *w, int i, const PrimaryFacts *f)
{
	Keeper	   *k = keeper_of(w, i);
	StartFacts	start;
	HistoryFile files[SIM_TIMELINES];
	HistoryFile leader_files[SIM_TIMELINES];

	gather_start(w, i, f, &start, files, leader_files);
	if (start_is_copy(&start))
		k->wrote_on = 0;
	if (start_wrote_on(&start) != 0)
		k->wrote_on = start_wrote_on(&start);
	sweep(w, i, &start, f->leader_id);
	k->target_ahead = false;
	return sim_start(&w->keepers->cluster, i);
}

void
restart_server(World *w, int i, const PrimaryFacts *f)
{
	Keeper	  *k = keeper_of(w, i);
	SimServer *s = server_of(w, i);

	stop_server(w, i, true);
	if (w->node[i].durable.promoting != 0)
		return; /* the member has to know first that nothing comes of it any more */
	if (w->now < k->no_start_until || s->disk_hangs)
		return;
	s->data.standby_signal = true;
	s->conninfo = -1;
	if (start_swept(w, i, f))
		TRACE(w, BIT(i), "server starts as a standby");
	else
		watch_unfit(&k->directory);
}

/* The postmaster itself, with restart_after_crash = on: standby.signal is there or not. */
bool
restart_in_place(World *w, int i)
{
	static const PrimaryFacts nothing = {.leader_id = RAFT_NONE};

	sim_crash(&w->keepers->cluster, i);
	return start_swept(w, i, &nothing);
}

/* ---- rebuilds ---- */

/* Begin a rebuild: the marker first, then the server, then the directory. */
void
rebuild(World *w, int i, const PrimaryOrder *order, RaftRebuild how)
{
	Keeper	   *k = keeper_of(w, i);
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = server_of(w, i);
	Node	   *n = &w->node[i];
	bool		is_aside = how == RAFT_CLONING && w->keepers->clones_aside && s->data.whole == SIM_WHOLE;

	if (k->rebuilding)
		return;
	if (n->durable.rebuild != how || n->durable.rebuild_source != order->node || n->durable.rebuild_term != n->durable.term)
	{
		/* It is durable at the next turn, or was refused; nothing is changed before. */
		if (n->durable.rebuild == RAFT_INTACT)
			maintenance_rebuilds(w, i);
		if (member_rebuild(&n->member, how, order->floor) && n->durable.rebuild == RAFT_INTACT)
			k->remains = how == RAFT_REWINDING ? PRIMARY_REMAINS_REPEATABLE :
						 is_aside			   ? PRIMARY_REMAINS_UNTOUCHED :
												 PRIMARY_REMAINS_BROKEN;
		return;
	}
	watch_rebuilds(&k->directory, how, clock_local(w, n), order->node, n->durable.term);
	stop_server(w, i, how == RAFT_CLONING);
	if (!is_aside || k->remains != PRIMARY_REMAINS_UNTOUCHED)
		k->remains = PRIMARY_REMAINS_BROKEN;
	k->wrote_on = 0;
	k->rebuild_how = how;
	k->aside = is_aside;
	if (how == RAFT_REWINDING)
	{
		s->data.standby_signal = true;
		if (sim_rewind_begin(c, i, order->node, false) != SIM_REWIND_BEGUN)
		{
			k->no_rewind = true;
			return;
		}
		w->data[DATA_REWINDS]++;
	}
	else
	{
		(void) sim_wipe(c, i, k->aside);
		if (!sim_clone_begin(c, i, order->node, k->aside))
			return;
		w->data[DATA_CLONES]++;
		w->data[DATA_CLONES_ASIDE] += k->aside;
	}
	TRACE(w, BIT(i), "%s from %d", how == RAFT_CLONING ? "clones" : "rewinds", order->node);
	k->rebuilding = true;
}

/* The finished clone takes the place of the directory that was intact. */
static bool
swap(World *w, int i)
{
	if (server_of(w, i)->side.unsynced || !sim_swap_side(&w->keepers->cluster, i))
		return false;
	w->data[DATA_SWAPPED]++;
	return true;
}

/* Of one that did not come to its end. */
static PrimaryRemains
look_at_remains(World *w, int i)
{
	Keeper		  *k = keeper_of(w, i);
	const SimData *d = &server_of(w, i)->data;
	RebuildFacts   facts = {.rebuild = k->rebuild_how,
							.is_untouched = k->remains == PRIMARY_REMAINS_UNTOUCHED,
							.is_stopped_standby = d->control.state == SIM_SHUT_DOWN_IN_RECOVERY,
							.is_one_timeline = true,
							.has_backup_label = d->backup_label};

	return rebuild_remains(&facts);
}

void
rebuild_gets_on(World *w, int i)
{
	Keeper	  *k = keeper_of(w, i);
	SimServer *s = server_of(w, i);
	int		   source = s->rebuild.source;

	if (!k->rebuilding || is_held(w, i, HOLD_REBUILD) ||
		(s->rebuild.step != SIM_REBUILD_NONE && (s->disk_hangs || keeper_is_frozen(w, source))))
		return;
	if (s->rebuild.step != SIM_REBUILD_NONE &&
		(!reaches(w, i, source) || (w->node[i].up && !rebuild_goes_on(source, w->node[i].member.raft.leader_id))))
		sim_rebuild_stop(&w->keepers->cluster, i);
	else if (s->rebuild.step != SIM_REBUILD_NONE && (w->keepers->calm || chance(w, w->keepers->rebuild_ppm)))
		(void) sim_rebuild_step(&w->keepers->cluster, i);
	if (s->rebuild.step != SIM_REBUILD_NONE)
		return;
	k->rebuilding = false;
	if (k->aside && !swap(w, i))
		w->data[DATA_REBUILDS_STOPPED]++;
	else if (s->data.whole == SIM_WHOLE && s->data.control.state != SIM_NO_CONTROL && !s->data.unsynced)
	{
		TRACE(w, BIT(i), "the copy is whole");
		k->remains = PRIMARY_REMAINS_WHOLE;
		k->no_rewind = false;
		s->data.standby_signal = true;
	}
	else
	{
		w->data[DATA_REBUILDS_STOPPED]++;
		w->data[DATA_REWINDS_STOPPED] += k->rebuild_how == RAFT_REWINDING;
		k->remains = look_at_remains(w, i);
	}
}
