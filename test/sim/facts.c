/*
 * test/sim/facts.c
 *	  What the worker of a simulated server knows: histories, where its WAL ends, and the facts
 *	  that primary/decide.c is asked about.
 */
#include "keeper_parts.h"

#include <string.h>

#define OPEN_TIMEOUT   SECONDS(10)
#define HEALTH_TIMEOUT SECONDS(10)
#define PREFER_OPEN	   SECONDS(2)
#define REBUILD_PAUSE  SECONDS(30)
#define STREAM_TIMEOUT SECONDS(2)

/* ---- histories ---- */

/*
 * Read the lineage of that timeline in a server's directory.  LINEAGE_BURNT: its past is not
 * known.  LINEAGE_BAD: nothing can be compared with it: the server was promoted ahead of its
 * WAL, or the timeline that its WAL ends on was passed over in the files of whoever it
 * followed.
 */
LineageVerdict
read_lineage(const World *w, int i, uint16_t timeline, Lineage *lineage, uint32_t *key)
{
	const SimCluster *c = &w->keepers->cluster;
	const SimData	 *d = &c->server[i].data;
	uint32_t		  wanted = (uint32_t) timeline << 8 | (timeline < SIM_TIMELINES ? d->history[timeline] : 0);
	char			  text[2048];
	Words			  words;

	if (timeline == 0)
		return LINEAGE_BURNT;
	if (*key == wanted && lineage->timeline == timeline)
		return LINEAGE_GOOD;
	*key = 0;
	if (timeline == 1)
		lineage_first(lineage);
	else
	{
		/* A clone has the history of the newest only: the path is in that. */
		bool	 is_own = d->history[timeline] >= SIM_REAL; /* a burnt one says nothing */
		uint16_t newest = is_own ? timeline : c->server[i].target.timeline;
		int		 length = sim_history_text(c, d, newest, text, sizeof(text));

		if (length < 0 || lineage_parse(lineage, newest, text, (size_t) length, &words) != LINEAGE_GOOD)
			return is_own || newest == timeline ? LINEAGE_BAD : LINEAGE_BURNT;
		if (!lineage_until(lineage, timeline, lineage))
			return LINEAGE_BURNT;
	}
	*key = wanted;
	return LINEAGE_GOOD;
}

static bool
has_wal(const SimData *d, uint16_t timeline)
{
	for (int k = 0; k < d->n_files; k++)
	{
		if (d->file[k].timeline == timeline)
			return true;
	}
	return false;
}

/* By the names in pg_wal. */
Histories
read_histories(const World *w, int i, HistoryFile *files)
{
	static const HistoryKind kinds[] = {HISTORY_NONE, HISTORY_BURNT, HISTORY_BAD, HISTORY_REAL};
	const SimCluster		*c = &w->keepers->cluster;
	const SimData			*d = &c->server[i].data;
	Histories				 histories = {files, 0};

	for (uint16_t t = 2; t < SIM_TIMELINES; t++)
	{
		if (d->history[t] != SIM_ABSENT || has_wal(d, t))
			files[histories.n++] = (HistoryFile){t, kinds[d->history[t] < SIM_REAL ? d->history[t] : SIM_REAL],
												 sim_path_begin(c, sim_path(d, t), t)};
	}
	return histories;
}

/* ---- what the worker knows ---- */

/* Where the last byte is, and on which timeline: known once WAL was read to its end. */
void
learn_end(World *w, int i)
{
	Keeper	  *k = keeper_of(w, i);
	SimServer *s = server_of(w, i);
	SimLsn	   end;

	if (s->life == SIM_DOWN || s->life == SIM_STOPPING)
	{
		k->end_known = false;
		return;
	}
	if (!k->end_known)
	{
		end = sim_true_end(&w->keepers->cluster, i, NULL);
		if (end == 0 || !(w->keepers->calm || chance(w, 300000)))
			return;
		k->end = end;
		k->end_known = true;
	}
	end = s->life == SIM_PRIMARY ? s->flushed : s->receiver.flushed_upto;
	if (end > k->end)
		k->end = end;
}

uint16_t
end_timeline(const World *w, int i)
{
	uint16_t timeline = 0;

	(void) sim_true_end(&w->keepers->cluster, i, &timeline);
	return timeline != 0 ? timeline : server_of(w, i)->at_timeline; /* all is replayed */
}

static RaftServer
server_kind(const SimServer *s)
{
	if (s->life == SIM_PRIMARY)
		return RAFT_SERVER_PRIMARY;
	return s->life == SIM_STANDBY || s->life == SIM_RECOVERING ? RAFT_SERVER_RECOVERY : RAFT_SERVER_NONE;
}

static uint64_t
usable_system(const Keeper *k, const SimServer *s)
{
	bool is_there = s->data.whole != SIM_GONE && s->data.control.state != SIM_NO_CONTROL;

	return watch_system(&k->directory, is_there ? s->data.system : 0);
}

/* ---- the facts ---- */

static void
gather_leader(World *w, int i, PrimaryFacts *f)
{
	Keeper			*k = keeper_of(w, i);
	const SimServer *source;
	uint16_t		 timeline;

	if (f->leader_id < 0 || f->leader_id == i)
		return;
	source = server_of(w, f->leader_id);
	f->leader.major = f->major;

	/* By a connection to it, at the port that it told; only what it is on now counts. */
	if (!reaches(w, i, f->leader_id) || w->node[i].member.raft.peers[f->leader_id].told.port != sim_port(f->leader_id) ||
		keeper_is_frozen(w, f->leader_id) || server_kind(source) == RAFT_SERVER_NONE ||
		(source->life == SIM_PRIMARY) != (f->leader.server == RAFT_SERVER_PRIMARY))
		return;
	f->leader.flush = sim_send_end(&w->keepers->cluster, f->leader_id, &timeline);
	if (read_lineage(w, f->leader_id, timeline, &k->leader, &k->leader_key) == LINEAGE_GOOD)
		f->leader.lineage = &k->leader;
	f->leader.control_shows_timeline = source->data.control.checkpoint_timeline >= timeline;
}

/* By pg_ls_waldir() of the leader; what comes after that segment is there, too. */
static bool
leader_has(const World *w, const PrimaryFacts *f, uint64_t lsn)
{
	return sim_segment(&server_of(w, f->leader_id)->data, (uint16_t) lineage_timeline_of(f->leader.lineage, lsn), (SimLsn) lsn) != NULL;
}

static void
gather_fork(World *w, PrimaryFacts *f)
{
	if (f->lineage == NULL || f->leader.lineage == NULL)
		return;
	f->leader.has_end = f->end_known && leader_has(w, f, f->end);
	f->leader.has_fork = leader_has(w, f, lineage_fork(f->lineage, f->leader.lineage));
}

/* What the election worker, the supervisor and the role worker look after. */
static PrimaryHealth
health(const World *w, int i, uint64_t now)
{
	Keeper			*k = keeper_of(w, i);
	const SimServer *s = server_of(w, i);
	HealthFacts		 facts = {.now = now, .timeout = HEALTH_TIMEOUT, .silence = keeper_is_frozen(w, i) && now > k->frozen_at ? now - k->frozen_at : 0};
	PrimaryHealth	 grave;

	if (s->life == SIM_PRIMARY)
	{
		facts.written = s->inserted;
		facts.flushed = s->flushed;
	}
	grave = health_look(&k->health, &facts);
	if (grave != PRIMARY_HEALTHY)
		return grave;
	return s->disk_full ? PRIMARY_HEALTH_NO_ROOM : PRIMARY_HEALTHY;
}

static void
gather_own(World *w, int i, PrimaryFacts *f)
{
	Keeper			*k = keeper_of(w, i);
	const Raft		*r = &w->node[i].member.raft;
	const SimServer *s = server_of(w, i);
	LineageVerdict	 past = LINEAGE_BURNT;

	f->server = server_kind(s);
	f->system_id = usable_system(k, s);
	f->major = (uint32_t) w->keepers->cluster.major;
	f->never_held = raft_never_held(r);
	f->distrusted = raft_is_gone(r) && f->system_id != 0;
	f->timeline = s->life == SIM_PRIMARY ? s->timeline : end_timeline(w, i);
	if (f->server != RAFT_SERVER_NONE)
		past = read_lineage(w, i, (uint16_t) f->timeline, &k->own, &k->own_key);
	if (past == LINEAGE_GOOD)
		f->lineage = &k->own;
	else if (past == LINEAGE_BAD && s->life == SIM_STANDBY)
		watch_unfit(&k->directory);
	f->end_known = k->end_known;
	f->end = k->end;
	f->receiving = s->receiver.state != SIM_WALRCV_STOPPED || s->conninfo >= 0;
	f->replayed = k->end_known && s->at >= k->end;
	f->paused = s->paused;
	f->consistent = s->consistent;
	f->ran_on = k->promoted_start != 0 && k->promoted_start == s->start;
	f->wrote_on = k->wrote_on;
	if (raft_is_gone(r) && k->remains == PRIMARY_REMAINS_UNTOUCHED)
		k->remains = PRIMARY_REMAINS_BROKEN;
	f->remains = k->remains;
	watch_directory(&k->directory, f);
	f->hints = w->keepers->cluster.checksums;
	f->common_wal = !k->no_rewind;
	f->rewind_room = !s->disk_full;
	f->rebuild_wanted = k->following.rebuild_wanted;
	f->check = k->following.check;
	f->health = health(w, i, f->now);
	f->restart_wanted = maintenance_wished(w, i) == WISH_RESTART;
	f->reinit_wanted = maintenance_wished(w, i) == WISH_REINIT;
	f->setting = w->now < k->forbidden_until ? PRIMARY_SETTING_APPLY_DELAY : PRIMARY_SETTING_GOOD;
}

/* A sum that changes when anything moves. */
static uint64_t
progress(const World *w, int i)
{
	const SimServer *s = server_of(w, i);
	uint64_t		 sum = s->at + s->flushed + s->phase + s->released;

	for (int j = 0; j < SIM_SENDERS; j++)
		sum += s->sender[j].flush;
	for (int j = 0; j < w->n; j++)
		sum += server_of(w, j)->rebuild.source == i ? server_of(w, j)->rebuild.step : 0;
	return sum;
}

/* The names do not say who wrote the list. */
static bool
are_names_of(const RaftList *named, const RaftList *list)
{
	return named->number == list->number && named->now == list->now && named->old == list->old;
}

static bool
are_names_before(const RaftList *named, const RaftList *list)
{
	if (list->old == 0 || named->number + 1 != list->number)
		return false;
	return raft_list_is_joint(list) ? named->now == list->old : named->now == list->now && named->old == list->old;
}

static void
gather_leading(World *w, int i, PrimaryFacts *f)
{
	Keeper		*k = keeper_of(w, i);
	const Raft	*r = &w->node[i].member.raft;
	QuorumView	 view;
	QuorumSender senders[SIM_SENDERS];
	HistoryFile	 files[SIM_TIMELINES];
	Histories	 histories;
	RaftList	 list;

	if (r->role != RAFT_LEADER)
		return;
	ledger_view(w, i, &view, senders);
	f->elected_claim = r->elected_claim;
	f->claiming = r->claim != 0 && raft_claimed(r) == 0;
	f->claimed = raft_claimed(r);
	if (f->claimed != 0)
	{
		histories = read_histories(w, i, files);
		f->passed_over = promotion_passed_over(&histories, server_of(w, i)->target.timeline, f->claimed);
	}
	f->quorum_flushed = quorum_flushed(&view);
	f->released = server_of(w, i)->released;
	list = raft_list(r);
	f->names_are_new = keeper_has_names(w, i) && !k->names_changed && are_names_of(&k->named, &list);
	f->names_in_force = f->names_are_new || (keeper_has_names(w, i) && !k->names_changed && are_names_before(&k->named, &list));
	k->names_changed = false;
	watch_leading(&k->leading, f, progress(w, i));
	f->other_could_lead = raft_other_could_lead(r, f->now, 0);
	f->other_has_all = raft_other_could_lead(r, f->now, f->end);
	f->replaceable = raft_is_replaceable(r, f->now);
}

void
gather_facts(World *w, int i, PrimaryFacts *f)
{
	const Node *n = &w->node[i];
	const Raft *r = &n->member.raft;
	Keeper	   *k = keeper_of(w, i);

	memset(f, 0, sizeof(*f));
	primary_take_election(f, r);
	f->now = clock_local(w, n);
	f->lease_until = n->shown;
	f->asked = k->asked_life == n->life && k->asked == r->saved.promoting;
	f->authorised = k->used;
	f->authorised_term = k->authorised_term;
	f->open_timeout = OPEN_TIMEOUT;
	f->health_timeout = HEALTH_TIMEOUT;
	f->stream_timeout = STREAM_TIMEOUT;
	f->prefer_open = PREFER_OPEN;
	f->rebuild_pause = REBUILD_PAUSE;
	f->hand_over = switchover_hand_over(&k->hand_over.switchover);
	gather_own(w, i, f);
	gather_leader(w, i, f);
	gather_fork(w, f);
	gather_leading(w, i, f);
}
