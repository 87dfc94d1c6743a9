/*
 * test/sim/faults.c
 *	  The faults of random runs with servers: of members, servers, disks, networks and operators.
 *
 * What no number of copies survives is not done: at most one member at a time has lost
 * data, or has them restored.
 */
#include "faults.h"

#include "checker.h"

enum
{
	CHAOS_SERVER_CRASH,
	CHAOS_POWER_LOSS,
	CHAOS_BLACKOUT,
	CHAOS_PROCESS,
	CHAOS_AT_SAVE,
	CHAOS_PAUSE,
	CHAOS_PARTITION,
	CHAOS_HEAL,
	CHAOS_BY_HAND,
	CHAOS_WIPE,
	CHAOS_SNAPSHOT,
	CHAOS_RESTORE,
	CHAOS_REPLAY,
	CHAOS_TRANSFER,
	CHAOS_SWITCHOVER,
	CHAOS_STOP_REBUILD,
	CHAOS_DISK,
	CHAOS_RECEIVER,
	CHAOS_WAL,
	CHAOS_STATE,
	CHAOS_CHECKPOINT,
	CHAOS_DELAY,
	CHAOS_IN_PLACE,
	CHAOS_NO_START,
	CHAOS_NAMES,
	CHAOS_FORBID,
	CHAOS_CANCEL,
	CHAOS_OTHER,
	CHAOS_RESTORE_BOTH,
	CHAOS_HANG,
	CHAOS_FREEZE,
	CHAOS_MAINTENANCE,
	CHAOS_LIST,
	CHAOS_RELOAD,
	CHAOS_KINDS
};

static struct
{
	uint64_t	 pace;
	uint32_t	 weight[CHAOS_KINDS]; /* of each fault, drawn per run */
	SimData		 snapshot;
	int			 snapshot_of; /* -1: none */
	RaftPosition snapshot_end;
	uint64_t	 wanted;	/* the member list that the operator has written */
	uint64_t	 lost_some; /* bit i: the end of its server has taken what it had told, or its state file was torn */
} mix;

/* Has this member all its data, as far as truth goes, and may it vote with them? */
bool
faults_is_whole(const World *w, int i)
{
	const Node		*n = &w->node[i];
	const Keeper	*k = &w->keepers->keeper[i];
	const SimServer *s = &w->keepers->cluster.server[i];

	if (w->keepers->adoption.step != ADOPTION_NONE || !n->up || n->plan == CRASH_TORN_SAVE)
		return false;

	/* Its directory; or it was promoted by hand, and its worker may not have seen that yet. */
	if (s->data.whole != SIM_WHOLE || s->data.unsynced || s->life == SIM_DOWN || k->lost || k->nobody_asked ||
		(k->wrote_on > 1 && w->keepers->authorised_of[k->wrote_on] != 1 + i))
		return false;
	return n->durable.rebuild == RAFT_INTACT && n->durable.system_id != 0 && n->durable.abstaining == RAFT_VOTING &&
		   !k->data_told.foreign && !raft_is_behind(&n->member.raft) && !raft_is_gone(&n->member.raft);
}

static bool
others_are_whole(const World *w, int but)
{
	for (int j = 0; j < w->n; j++)
	{
		if (j != but && !faults_is_whole(w, j))
			return false;
	}
	return true;
}

/* A state file that is torn in the middle of a save makes its data untrusted: a copy is lost. */
static bool
may_tear(const World *w, int i)
{
	if (!node_is_saving(w, i))
		return true;
	if (!others_are_whole(w, i))
		return false;
	mix.lost_some |= BIT(i);
	return true;
}

/*
 * Its server has died: has it less than it had told?  So it is also without a loss of power
 * while the last segment is written anew under the name of a new timeline.
 */
static void
note_what_is_left(const World *w, int i)
{
	const RaftPosition *told = &w->keepers->keeper[i].data_told.position;
	const RaftPosition *floor = &w->node[i].durable.floor;

	if (sim_true_end(&w->keepers->cluster, i, NULL) < (told->index > floor->index ? told->index : floor->index))
		mix.lost_some |= BIT(i);
}

/* A member dies at its next save, or while it sends what it has saved. */
static void
crash_at_save(World *w, int i)
{
	CrashPoint point = (CrashPoint) between(w, CRASH_BEFORE_SAVE, CRASH_MID_SEND);
	Node	  *n = &w->node[i];

	if (!n->up || n->plan != CRASH_NONE)
		return;
	if (point == CRASH_TORN_SAVE)
	{
		if (w->n < 3 || w->lost >= 0 || !others_are_whole(w, i))
			return;
		mix.lost_some |= BIT(i);
	}
	n->plan = point;
}

static void
lose_power(World *w, int i)
{
	if (!may_tear(w, i))
		return;
	w->data[DATA_POWER_LOSSES]++;
	keeper_lose_power(w, i, 40);
	note_what_is_left(w, i);
}

/* All machines at the same instant; not while a state file could be torn on two of them. */
static void
black_out(World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		if (node_is_saving(w, i))
			return;
	}
	w->data[DATA_BLACKOUTS]++;
	for (int i = 0; i < w->n; i++)
		lose_power(w, i);
}

/* The program of a rebuild is killed, if one runs. */
static void
kill_rebuild(World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		if (w->keepers->cluster.server[i].rebuild.step == SIM_REBUILD_NONE)
			continue;
		w->data[DATA_REBUILDS_KILLED]++;
		sim_rebuild_stop(&w->keepers->cluster, i);
		return;
	}
}

/* Between a server and another one, or all of them. */
static void
cut_connections(World *w, int i)
{
	bool all = chance(w, 300000);
	int	 other = (int) between(w, 0, (uint64_t) w->n - 1);

	w->data[DATA_WAL_CUTS]++;
	for (int j = 0; j < w->n; j++)
	{
		if (j != i && (all || j == other))
			keeper_cut(w, i, j);
	}
}

/*
 * Is it known here that there was more than in that copy?  The note of what was held is written
 * once a second, so of what came since, an older copy of the data shows nothing, and a leader that
 * counts on it may be gone before it could tell (doc/guarantees.md).
 */
static bool
is_loss_seen(const World *w, int i)
{
	const Keeper *k = &w->keepers->keeper[i];
	RaftPosition  known = w->node[i].durable.floor;

	if (raft_is_older(known, k->note))
		known = k->note;
	return raft_is_older(mix.snapshot_end, known) || !raft_is_older(mix.snapshot_end, k->data_told.position);
}

/* What its member was told may be less, or that it is not known. */
static RaftPosition
all_that_it_holds(const World *w, int i)
{
	uint16_t	 timeline = 0;
	SimLsn		 end = sim_true_end(&w->keepers->cluster, i, &timeline);
	RaftPosition there = {timeline, end};

	return raft_is_older(there, w->keepers->keeper[i].data_told.position) ? w->keepers->keeper[i].data_told.position : there;
}

/* The state file too; only where everybody else knows that there is a newer one. */
static void
restore_both(World *w, int i)
{
	Node *n = &w->node[i < 0 ? 0 : i];

	if (i < 0 || w->n < 3 || w->lost >= 0 || !n->up || n->paused || node_is_saving(w, i) || !n->disk.has_copy || !is_loss_seen(w, i) ||
		n->durable.abstaining != RAFT_VOTING || !others_are_whole(w, i) || !disk_is_remembered(w, i))
		return;
	keeper_kill(w, i);
	node_crash(w, i, false);
	if (sim_restore(&w->keepers->cluster, i, &mix.snapshot))
		w->data[DATA_OLD_BOTH]++;
	w->keepers->keeper[i].lost = true;
	disk_restore_copy(w, i);
	TRACE(w, BIT(i), "has older copies of its data and of its state restored");
	node_start(w, i); /* before any of those who remember can be gone */
}

/* Where rm_cleanup is not called, nobody can refuse; elsewhere it is refused. */
static void
promote_by_hand(World *w, int i)
{
	Keeper	  *k = &w->keepers->keeper[i];
	SimServer *s = &w->keepers->cluster.server[i];

	if (s->life != SIM_STANDBY || w->n < 3 || !others_are_whole(w, i) ||
		!sim_promote(&w->keepers->cluster, i))
		return;
	w->data[DATA_BY_HAND]++;
	k->nobody_asked = w->node[i].durable.promoting == 0 && chance(w, 500000);
	TRACE(w, BIT(i), "is promoted by hand%s", k->nobody_asked ? ", and nobody is asked" : "");
}

/* All commits that wait anywhere. */
static void
end_waits(World *w)
{
	SimOutcome how = chance(w, 500000) ? SIM_COMMIT_CANCELLED : SIM_COMMIT_TERMINATED;

	for (int commit = 1; commit <= w->keepers->cluster.n_commits; commit++)
		w->data[how == SIM_COMMIT_CANCELLED ? DATA_CANCELLED : DATA_TERMINATED] += ledger_end_wait(w, commit, how);
}

/* On all servers, as somebody has set them in a file that is the same everywhere. */
static void
change_names(World *w)
{
	uint64_t until = w->now + between(w, MS(1), SECONDS(2));

	w->data[DATA_OTHER_NAMES]++;
	TRACE(w, BIT(w->n) - 1, "synchronous_standby_names are set to nothing");
	for (int i = 0; i < w->n; i++)
	{
		w->keepers->keeper[i].names_until = until;
		w->keepers->keeper[i].names_changed = true;
	}
}

static void
fault_of_server(World *w, int i, int kind)
{
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = &c->server[i];
	Keeper	   *k = &w->keepers->keeper[i];

	switch (kind)
	{
		case CHAOS_CANCEL:
			end_waits(w);
			break;
		case CHAOS_REPLAY:
			s->paused = !s->paused && s->life == SIM_STANDBY;
			w->data[DATA_PAUSED] += s->paused;
			break;
		case CHAOS_DELAY:
			s->delayed = !s->delayed && s->life == SIM_STANDBY;
			w->data[DATA_DELAYED] += s->delayed;
			break;
		case CHAOS_NO_START:
			w->data[DATA_NO_START]++;
			keeper_kill(w, i);
			k->no_start_until = w->now + between(w, SECONDS(1), SECONDS(20));
			TRACE(w, BIT(i), "server is killed, and cannot start");
			break;
		case CHAOS_NAMES:
			change_names(w);
			break;
		case CHAOS_FORBID:
			w->data[DATA_FORBIDDEN]++;
			k->forbidden_until = w->now + between(w, MS(10), SECONDS(5));
			break;
		case CHAOS_HANG:
			w->data[DATA_HANGS]++;
			k->hangs_until = w->now + between(w, SECONDS(1), SECONDS(30));
			break;
		case CHAOS_FREEZE:
			w->data[DATA_FREEZES] += keeper_freeze(w, i, between(w, SECONDS(1), SECONDS(30)));
			break;
		case CHAOS_IN_PLACE:
			if (may_tear(w, i))
			{
				w->data[DATA_IN_PLACE] += keeper_restart_in_place(w, i);
				note_what_is_left(w, i);
			}
			break;
		case CHAOS_DISK:
			s->disk_full = !s->disk_full;
			w->data[DATA_DISKS_FULL] += s->disk_full;
			break;
		case CHAOS_WAL:
			cut_connections(w, i);
			break;
		case CHAOS_RECEIVER:
			w->data[DATA_RECEIVERS] += sim_receiver_end(c, i, true); /* WalRcvDie() flushes */
			break;
		case CHAOS_CHECKPOINT:
			w->data[DATA_CHECKPOINTS] += sim_checkpoint(c, i);
			(void) sim_flush_pages(c, i);
			break;
		default:
			break;
	}
}

static void
fault_of_data(World *w, int i, int kind)
{
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = &c->server[i];

	switch (kind)
	{
		case CHAOS_WIPE:
			if (!others_are_whole(w, i) || w->n < 3)
				break;
			keeper_kill(w, i);
			if (sim_wipe(c, i, false))
				w->data[DATA_WIPED]++;
			w->keepers->keeper[i].lost = true;
			TRACE(w, BIT(i), "loses its data directory");
			break;
		case CHAOS_SNAPSHOT:
			sim_snapshot(c, i, &mix.snapshot);
			mix.snapshot_end = all_that_it_holds(w, i);
			mix.snapshot_of = i;
			w->node[i].disk.has_copy = false;
			if (w->node[i].disk.exists && !node_is_saving(w, i))
				disk_keep_copy(w, i);
			break;
		case CHAOS_RESTORE:
			i = mix.snapshot_of;
			if (i < 0 || w->n < 3 || !others_are_whole(w, i) || !w->node[i].up || !is_loss_seen(w, i))
				break;
			keeper_kill(w, i);
			if (sim_restore(c, i, &mix.snapshot))
				w->data[DATA_RESTORED]++;
			w->keepers->keeper[i].lost = true;
			TRACE(w, BIT(i), "has an older copy of its data restored");
			break;
		case CHAOS_BY_HAND:
			promote_by_hand(w, i);
			break;
		case CHAOS_OTHER:
			if (w->n < 3 || !others_are_whole(w, i) || s->rebuild.step != SIM_REBUILD_NONE ||
				w->node[i].durable.system_id == 0 || s->data.system != SIM_SYSTEM)
				break;
			w->data[DATA_OTHER_SYSTEMS]++;
			keeper_put_other(w, i, between(w, MS(100), SECONDS(10)));
			w->keepers->keeper[i].lost = true;
			break;
		case CHAOS_RESTORE_BOTH:
			restore_both(w, mix.snapshot_of);
			break;
		case CHAOS_STOP_REBUILD:
			kill_rebuild(w);
			break;
		case CHAOS_STATE:
			if (w->n < 3 || w->lost >= 0 || node_is_saving(w, i) || !w->node[i].up || !others_are_whole(w, i))
				break;
			w->data[DATA_STATES_LOST]++;
			node_crash(w, i, false);
			disk_wipe(w, i);
			w->keepers->keeper[i].lost = true; /* a rebuild may have been half done: its data are not believed */
			break;
		default:
			fault_of_server(w, i, kind);
			break;
	}
}

/* From who leads, as a rule; with little time or much for each step. */
static void
switch_over(World *w, int i, int target)
{
	static const uint64_t longest[] = {MS(20), MS(200), SECONDS(2), SECONDS(20)};
	int					  leader = world_lease(w);
	SwitchoverLimits	  limits;

	if (leader >= 0 && !chance(w, 200000))
		i = leader;
	if (!node_is_free(w, i))
		return;
	limits.checkpoint = between(w, 1, longest[between(w, 1, 3)]);
	limits.drain = between(w, 1, longest[between(w, 0, 3)]);
	limits.catch_up = between(w, 1, longest[between(w, 0, 3)]);
	(void) hand_over_begin(w, i, chance(w, 500000) ? RAFT_NONE : target, &limits);
}

/* Nothing of it is a fault, but it meets them. */
static void
maintain(World *w, int i)
{
	switch (between(w, 0, 3))
	{
		case 0:
			w->data[DATA_RESTARTS_WANTED]++;
			maintenance_wish(w, i, WISH_RESTART);
			break;
		case 1:
			w->data[DATA_REINITS_WANTED]++;
			maintenance_wish(w, i, WISH_REINIT);
			break;
		default:
			maintenance_pause(w, between(w, MS(10), SECONDS(10)));
			break;
	}
}

/* Not before the first claim: until then it is what the settings say, which takes a restart. */
static bool
has_somebody_claimed(const World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		if (w->node[i].durable.list.number != 0)
			return true;
	}
	return false;
}

static void
reload_list(World *w, int i)
{
	Node *n = &w->node[i];

	if ((mix.wanted & BIT(i)) == 0 || !has_somebody_claimed(w) || n->config.wanted == mix.wanted)
		return;
	node_new_list(w, i, mix.wanted);

	/* It has lost its state, and has not been told of a list yet: its worker starts anew. */
	if (node_is_free(w, i) && n->member.raft.saved.list.number == 0)
		node_crash(w, i, false);
}

/*
 * The operator takes a member out of the settings of all, or puts one back; some of the others are
 * reloaded now, some later.  Three stay, so that one can be lost.
 */
static void
change_list(World *w, int i)
{
	uint64_t wanted = mix.wanted ^ BIT(i);

	if (raft_count_nodes(wanted) < 3)
		return;
	mix.wanted = wanted;
	w->data[DATA_LISTS]++;
	TRACE(w, BIT(w->n) - 1, "the operator %s node %d", (wanted & BIT(i)) != 0 ? "adds" : "removes", i);
	for (int j = 0; j < w->n; j++)
	{
		if (chance(w, 850000))
			reload_list(w, j);
	}
}

static void
fault(World *w, int i, int kind)
{
	int other = (int) between(w, 0, (uint64_t) w->n - 1);

	switch (kind)
	{
		case CHAOS_SERVER_CRASH:
			w->data[DATA_SERVER_CRASHES]++;
			keeper_kill(w, i);
			note_what_is_left(w, i);
			TRACE(w, BIT(i), "server is killed");
			break;
		case CHAOS_POWER_LOSS:
			lose_power(w, i);
			break;
		case CHAOS_BLACKOUT:
			black_out(w);
			break;
		case CHAOS_PROCESS:
			if (!may_tear(w, i))
				break;
			w->data[DATA_PROCESSES] += w->node[i].up;
			node_crash(w, i, false);
			break;
		case CHAOS_AT_SAVE:
			crash_at_save(w, i);
			break;
		case CHAOS_PAUSE:
			if (!w->node[i].up || w->node[i].paused)
				break;
			w->data[DATA_PAUSES]++;
			node_pause(w, i, between(w, MS(10), SECONDS(2)));
			break;
		case CHAOS_PARTITION:
			w->data[DATA_ISOLATIONS]++;
			network_isolate(w, i);
			break;
		case CHAOS_HEAL:
			w->data[DATA_HEALS]++;
			network_heal(w);
			keepers_mend(w);
			break;
		case CHAOS_TRANSFER:
			if (node_is_free(w, i) && node_has_lease(w, i) &&
				node_transfer(w, i, other) == RAFT_TRANSFER_STARTED)
				w->data[DATA_HAND_OVERS]++;
			break;
		case CHAOS_SWITCHOVER:
			switch_over(w, i, other);
			break;
		case CHAOS_MAINTENANCE:
			maintain(w, i);
			break;
		case CHAOS_LIST:
			change_list(w, i);
			break;
		case CHAOS_RELOAD:
			reload_list(w, i);
			break;
		default:
			fault_of_data(w, i, kind);
			break;
	}
}

static void
happen(World *w)
{
	uint32_t total = 0;
	uint64_t pick;
	int		 kind = 0;

	for (int k = 0; k < CHAOS_KINDS; k++)
		total += mix.weight[k];
	pick = between(w, 0, total - 1);
	while (pick >= mix.weight[kind])
		pick -= mix.weight[kind++];
	fault(w, (int) between(w, 0, (uint64_t) w->n - 1), kind);
	world_schedule(w, w->now + between(w, MS(1), mix.pace), EVENT_CHAOS, 0, 0);
}

void
faults_choose(World *w)
{
	static const uint8_t rare[] = {CHAOS_BY_HAND, CHAOS_BLACKOUT, CHAOS_HANG, CHAOS_FREEZE, CHAOS_FORBID, CHAOS_NAMES, CHAOS_NO_START};
	static const uint8_t rarer[] = {CHAOS_OTHER, CHAOS_RESTORE_BOTH};
	static const uint8_t rarest[] = {CHAOS_WIPE, CHAOS_RESTORE, CHAOS_STATE};

	for (int k = 0; k < CHAOS_KINDS; k++)
		mix.weight[k] = between(w, 0, 2) == 0 ? 0 : (uint32_t) between(w, 1, 10);
	mix.weight[CHAOS_HEAL] = 20;
	mix.weight[CHAOS_RELOAD] = mix.weight[CHAOS_LIST] == 0 ? 0 : 10;
	mix.wanted = BIT(w->n) - 1;
	for (size_t k = 0; k < sizeof(rare); k++)
		mix.weight[rare[k]] = (mix.weight[rare[k]] + 2) / 4;
	for (size_t k = 0; k < sizeof(rarer); k++)
		mix.weight[rarer[k]] = mix.weight[rarer[k]] > 5;
	for (size_t k = 0; k < sizeof(rarest); k++)
		mix.weight[rarest[k]] = mix.weight[rarest[k]] > 7;
	mix.snapshot_of = -1;
	mix.lost_some = 0;
	mix.pace = between(w, MS(50), SECONDS(3));
}

/* Saves of the state file take milliseconds, and some take longer than a timeout. */
static void
slow_down_disk(World *w, Disk *disk)
{
	disk->save_max = between(w, disk->save_max, MS(30));
	disk->slow_ppm = 50000;
	disk->slow_max = MS(600);
}

void
faults_begin(World *w)
{
	static const uint32_t rebuilds[] = {500000, 500000, 100000, 20000};

	w->keepers->rebuild_ppm = rebuilds[between(w, 0, 3)];
	w->keepers->two_homes = chance(w, 300000);
	w->keepers->clones_aside = chance(w, 500000);
	w->keepers->two_senders = chance(w, 100000);
	w->keepers->replies_always = chance(w, 50000);
	w->data[DATA_UNHELD] += w->keepers->replies_always;
	w->keepers->reply_loss_ppm = chance(w, 400000) ? (uint32_t) between(w, 10000, 500000) : 0;
	for (int i = 0, slow = chance(w, 500000); i < w->n && slow; i++)
		slow_down_disk(w, &w->node[i].disk);
	w->on_chaos = happen;
	world_schedule(w, w->now + mix.pace, EVENT_CHAOS, 0, 0);
}

void
faults_end(World *w)
{
	w->on_chaos = NULL;
	w->crash_ppm = 0;
	network_heal(w);
	keepers_mend(w);
	maintenance_pause(w, 0);
	mix.wanted = BIT(w->n) - 1;
	w->loss_ppm = w->keepers->reply_loss_ppm = 0;
	for (int i = 0; i < w->n; i++)
	{
		SimServer *s = &w->keepers->cluster.server[i];
		Keeper	  *k = &w->keepers->keeper[i];

		s->disk_full = s->paused = s->delayed = false;
		w->node[i].plan = CRASH_NONE;
		w->node[i].disk.slow_ppm = 0;
		keeper_remove_other(w, i);
		k->forbidden_until = k->names_until = 0;
		k->no_start_until = k->hangs_until = k->frozen_until = k->wish_until = 0;
		if (w->node[i].paused)
			node_resume(w, i);
		reload_list(w, i);
	}
}

bool
faults_took_some(int i)
{
	return (mix.lost_some & BIT(i)) != 0;
}
