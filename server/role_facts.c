/*
 * server/role_facts.c
 *	  What the role worker knows of this server, and of leading.
 *
 * See role.h.  Gathers, decides nothing.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "access/twophase.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "replication/syncrep.h"
#include "replication/walreceiver.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "node/clock.h"
#include "server/compat.h"
#include "server/control_file.h"
#include "server/position.h"
#include "server/promotion.h"
#include "server/receiver.h"
#include "server/role.h"
#include "server/senders.h"
#include "server/settings.h"
#include "server/shared.h"

#define STREAM_TIMEOUT UINT64CONST(2000000)
#define PREFER_OPEN	   UINT64CONST(2000000)

/* ---- how far WAL reaches ---- */

/* Read the lineage of that timeline, unless it is the one that was read; false: it cannot be used. */
static bool
know_lineage(uint32_t timeline)
{
	Words words;

	if (role.own_read == timeline)
		return true;
	role.own_read = 0;
	if (timeline == 0 || position_read_lineage(timeline, &role.own, &words) != LINEAGE_GOOD)
		return false;
	role.own_read = timeline;
	return true;
}

static void
learn_end_of_standby(void)
{
	ReceiverView view = receiver_look();
	Words		 words;
	Lineage		*received;

	if (!role.end_known)
	{
		role_send(CONTROL_READS_WAL);
		words_clear(&words);
		if (!position_read_end(&role.read, role_stops, &words))
		{
			if (!role_stops())
				role_say_failed(WARNING, &role.end_said_at, "the end of local WAL is not known", &words);
			return;
		}
		role.end = role.read.end;
		role.file_timeline = role.read.timeline;
		role.end_known = true;
		role_send(CONTROL_KNOWS_END);
		ereport(LOG,
				(errmsg("pg_leader: local WAL ends at %X/%X on timeline %u",
						LSN_FORMAT_ARGS(role.end), role.file_timeline)));
	}
	if (view.flushed == 0)
		return;
	if (view.timeline != role.file_timeline)
	{
		/* a receiver went on to another timeline: once there are bytes of it */
		received = palloc(sizeof(Lineage));
		if (position_read_lineage(view.timeline, received, &words) == LINEAGE_GOOD &&
			view.flushed > lineage_begin(received, view.timeline))
		{
			role.file_timeline = view.timeline;
			role.partial = 0;
		}
		pfree(received);
	}
	if (view.timeline == role.file_timeline && view.flushed > Max(role.end, role.partial))
	{
		role.end = view.flushed;
		role.partial = 0;
	}
}

/*
 * Nothing is received any more: how much of what was flushed are whole records?  A leader that
 * died in the middle of one has left its beginning here, and whoever leads next goes on before it.
 */
static void
find_partial(void)
{
	Words words;

	if (role.partial != 0 || role.looked_at == role.end || GetXLogReplayRecPtr(NULL) >= role.end ||
		!position_read_end(&role.read, role_stops, &words))
		return;
	if (role.read.timeline == role.file_timeline && role.read.end < role.end)
	{
		role.partial = role.end;
		role.end = role.read.end;
	}
	role.looked_at = role.end;
}

void
role_learn_end(void)
{
	bool	   was_primary = role.server == RAFT_SERVER_PRIMARY;
	TimeLineID timeline;

	role.server = RecoveryInProgress() ? RAFT_SERVER_RECOVERY : RAFT_SERVER_PRIMARY;
	if (role.server == RAFT_SERVER_RECOVERY)
		learn_end_of_standby();
	else
	{
		if (!was_primary)
			role.end = role.partial = 0;
		role.end = Max(role.end, GetFlushRecPtr(&timeline));
		role.file_timeline = timeline;
		role.end_known = true;
	}
	if (role.end_known)
		(void) know_lineage(role.file_timeline);
}

static bool has_read; /* a record: there is one after what is replayed */

static bool
stop_after_one(void)
{
	bool stops = has_read || role_stops();

	has_read = true;
	return stops;
}

/*
 * The last record may be there in part, of whatever size: then replay stays before the end.
 */
static bool
is_replayed(void)
{
	XLogRecPtr	replay = GetXLogReplayRecPtr(NULL);
	bool		stalled = replay == role.replay;
	PositionEnd whole;
	Words		words;

	role.replay = replay;
	if (!role.end_known)
		return false;
	if (replay >= role.end)
		return true;
	if (!stalled || role.facts.receiving)
		return false;
	has_read = false;
	return position_read_end(&whole, stop_after_one, &words) && replay >= whole.end;
}

/* How long after a change the directory's time may still be the same after another one, us. */
static uint64
change_takes(const struct timespec *changed)
{
	return changed->tv_nsec != 0 ? UINT64CONST(50000) : UINT64CONST(2000000);
}

/*
 * The history files, read again when the directory has changed, and for as long as its time
 * could still be the same after another change.  There can be hundreds of them.
 */
static const Histories *
histories(void)
{
	static MemoryContext   context;
	static Histories	   known;
	static struct timespec changed;
	static uint64		   seen_at; /* when that time was seen first */
	static bool			   is_final;
	struct stat			   directory;
	MemoryContext		   before;
	Words				   words;
	uint64				   now = clock_now();
	bool				   good;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "pg_leader histories", ALLOCSET_DEFAULT_SIZES);
	if (stat(XLOGDIR, &directory) != 0)
		return &known;
	if (seen_at == 0 || memcmp(&changed, &directory.st_mtim, sizeof(changed)) != 0)
	{
		changed = directory.st_mtim;
		seen_at = now;
		is_final = false;
	}
	if (is_final)
		return &known;
	MemoryContextReset(context);
	before = MemoryContextSwitchTo(context);
	good = position_read_histories(&known, &words);
	if (!good)
		memset(&known, 0, sizeof(known));
	MemoryContextSwitchTo(before);
	is_final = good && now - seen_at >= change_takes(&changed);
	return &known;
}

/* ---- settings and health ---- */

static bool
is_inside_data_directory(void)
{
	char path[STORE_PATH_SIZE];

	return !settings_state_directory(path, sizeof(path)) || path_is_prefix_of_path(DataDir, path);
}

static PrimarySetting
refused_setting(void)
{
	int members = settings_cluster() != NULL ? settings_cluster()->n_members : 1;

	if (is_inside_data_directory())
		return PRIMARY_SETTING_STATE_DIRECTORY;
	if (!EnableHotStandby)
		return PRIMARY_SETTING_HOT_STANDBY;
	if (wal_level < WAL_LEVEL_REPLICA)
		return PRIMARY_SETTING_WAL_LEVEL;
	if (!enableFsync)
		return PRIMARY_SETTING_FSYNC;
	if (!fullPageWrites)
		return PRIMARY_SETTING_FULL_PAGE_WRITES;
	if (recoveryTarget != RECOVERY_TARGET_UNSET)
		return PRIMARY_SETTING_RECOVERY_TARGET;
	if (recoveryTargetTimeLineGoal != RECOVERY_TARGET_TIMELINE_LATEST)
		return PRIMARY_SETTING_RECOVERY_TARGET_TIMELINE;
	if (max_wal_senders < members)
		return PRIMARY_SETTING_WAL_SENDERS;
	if (recovery_min_apply_delay > 0)
		return PRIMARY_SETTING_APPLY_DELAY;
	if (recoveryRestoreCommand != NULL && recoveryRestoreCommand[0] != '\0')
		return PRIMARY_SETTING_RESTORE_COMMAND;
	return PRIMARY_SETTING_GOOD;
}

/* Is there room for so many bytes of WAL, and two segments?  Also true if that cannot be found out. */
static bool
has_room(uint64 bytes)
{
	struct statvfs disk;

	return statvfs(XLOGDIR, &disk) != 0 ||
		   (uint64) disk.f_bavail * disk.f_frsize >= bytes + 2 * (uint64) wal_segment_size;
}

/*
 * Where one of these is below the primary's, PostgreSQL does not start, or pauses replay when it
 * learns of it, and ends when that is resumed: such a server cannot be promoted.
 */
static bool
is_too_small(void)
{
	ControlFileData control;
	Words			words;

	return control_file_read(&control, &words) &&
		   (MaxConnections < control.MaxConnections || max_worker_processes < control.max_worker_processes ||
			max_wal_senders < control.max_wal_senders || max_prepared_xacts < control.max_prepared_xacts ||
			max_locks_per_xact < control.max_locks_per_xact);
}

static PrimaryHealth
health(bool is_paused)
{
	PrimaryHealth grave = exchange_health();

	if (grave != PRIMARY_HEALTHY)
		return grave;
	if (is_paused && is_too_small())
		return PRIMARY_HEALTH_TOO_SMALL;
	return has_room(0) ? PRIMARY_HEALTHY : PRIMARY_HEALTH_NO_ROOM;
}

/* ---- this server ---- */

static bool
is_receiving(void)
{
	bool		 goes_on = role.raft.saved.claim == 0 && PrimaryConnInfo != NULL && PrimaryConnInfo[0] != '\0';
	ReceiverView view = receiver_look();

	return (view.runs && !view.waits) || exchange_gate() == EXCHANGE_LOOSE ||
		   (role.server == RAFT_SERVER_RECOVERY && goes_on);
}

static void
gather_own(PrimaryFacts *f)
{
	const Raft		   *r = &role.raft;
	const ExchangeUsed *used = exchange_used();
	bool				is_follower = f->leader_id >= 0 && f->leader_id != f->self;

	/* where WAL ends is read after that: a receiver flushes once more before it ends */
	f->receiving = is_receiving();
	if (role.server == RAFT_SERVER_RECOVERY && role.end_known)
	{
		learn_end_of_standby();
		if (!f->receiving)
			find_partial();
		(void) know_lineage(role.file_timeline);
		exchange_tell_held(role.end, role.file_timeline);
	}
	f->server = role.server;
	f->system_id = watch_system(&role.directory, role.system_id);
	f->major = PG_VERSION_NUM / 10000;
	f->never_held = raft_never_held(r);
	f->distrusted = raft_is_gone(r) && f->system_id != 0;
	f->lineage = role.own_read != 0 && role.own_read == role.file_timeline ? &role.own : NULL;
	f->end_known = role.end_known;
	f->end = is_follower ? role.end : Max(role.end, role.partial);
	f->part_left = role.server == RAFT_SERVER_RECOVERY && role.end != 0 && exchange_turned_back() == role.end;
	f->begun = role.server == RAFT_SERVER_RECOVERY && role.read.end == role.end ? role.read.next : 0;
	f->timeline = role.server == RAFT_SERVER_PRIMARY || f->lineage == NULL ? role.file_timeline : lineage_timeline_before(f->lineage, f->end);
	f->replayed = role.server == RAFT_SERVER_RECOVERY && is_replayed();
	f->paused = role.server == RAFT_SERVER_RECOVERY && GetRecoveryPauseState() != RECOVERY_NOT_PAUSED;
	f->consistent = role.server == RAFT_SERVER_PRIMARY || HotStandbyActive();
	f->ran_on = used->promoted;
	f->authorised = used->claim;
	f->authorised_term = used->term;
	f->wrote_on = role.wrote_on;
	f->restart_wanted = exchange_wished(f->now) == EXCHANGE_RESTART;
	f->reinit_wanted = exchange_wished(f->now) == EXCHANGE_REINIT;
	f->setting = refused_setting();
	f->health = health(f->paused);
}

/* How much WAL a rewind brings, bytes. */
static uint64
rewind_copies(const PrimaryFacts *f)
{
	uint64 fork = f->lineage != NULL && f->leader.lineage != NULL ? lineage_fork(f->lineage, f->leader.lineage) : 0;

	return f->leader.flush > fork ? f->leader.flush - fork : 0;
}

static void
gather_rebuild(PrimaryFacts *f)
{
	watch_directory(&role.directory, f);

	/* rules 15 and 22: what was gone is not used, also once the marker says that it is rebuilt */
	if (raft_is_gone(&role.raft))
		role.remains = PRIMARY_REMAINS_BROKEN;
	f->remains = role.remains;
	f->hints = DataChecksumsEnabled() || wal_log_hints;
	f->common_wal = true; /* pg_rewind finds out: where it fails, the directory is cloned */
	f->rewind_room = has_room(rewind_copies(f));
	f->rebuild_wanted = role.following.rebuild_wanted;
}

/* ---- leading ---- */

/* What all walsenders have seen flushed: members', and those of copies that are being made. */
static uint64
all_flushed(void)
{
	uint64 sum = 0;
	int	   i;

	for (i = 0; i < max_wal_senders; i++)
	{
		WalSnd *walsnd = &WalSndCtl->walsnds[i];

		SpinLockAcquire(&walsnd->mutex);
		if (walsnd->pid != 0)
			sum += walsnd->flush;
		SpinLockRelease(&walsnd->mutex);
	}
	return sum;
}

static uint64
released(void)
{
	uint64 lsn;

	LWLockAcquire(SyncRepLock, LW_SHARED);
	lsn = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
	LWLockRelease(SyncRepLock);
	return lsn;
}

bool
role_has_names(void)
{
	char	 names[QUORUM_NAMES_SIZE];
	RaftList list = raft_list(&role.raft);

	return SyncRepStandbyNames != NULL &&
		   strcmp(SyncRepStandbyNames, quorum_names(&list, names, sizeof(names))) == 0;
}

/* Or of the list before, as long as this one's are not written. */
static bool
has_names_in_force(void)
{
	RaftList list = raft_list(&role.raft);

	return SyncRepStandbyNames != NULL && quorum_has_names(&list, SyncRepStandbyNames);
}

void
role_view_quorum(QuorumView *view, QuorumSender *senders)
{
	const PrimaryFacts *f = &role.facts;
	RaftList			list = raft_list(&role.raft);
	int					i;

	memset(view, 0, sizeof(*view));
	quorum_take_list(view, &list);
	view->self = f->self;
	view->senders = senders;
	view->n_senders = senders_read(senders);
	view->flush = role.server == RAFT_SERVER_PRIMARY ? GetFlushRecPtr(NULL) : f->end;
	for (i = 0; i < RAFT_MAX_NODES; i++)
		view->bounds[i] = raft_peer_bound(&role.raft, (int32) i);
	view->lease_until = f->lease_until;
	view->now = f->now;
	view->term = view->open_term = f->term;
}

static void
gather_leading(PrimaryFacts *f)
{
	QuorumSender senders[RAFT_MAX_NODES];
	QuorumView	 view;
	const Raft	*r = &role.raft;

	if (r->role != RAFT_LEADER)
		return;
	role_view_quorum(&view, senders);
	f->elected_claim = r->elected_claim;
	f->claiming = r->claim != 0 && raft_claimed(r) == 0;
	f->claimed = raft_claimed(r);
	if (f->claimed != 0)
		f->passed_over = promotion_passed_over(histories(), promotion_target(histories()), f->claimed);
	f->burn_any = settings.allow_timeline_gap;
	f->quorum_flushed = quorum_flushed(&view);
	f->released = released();
	f->names_in_force = has_names_in_force();
	f->names_are_new = role_has_names();
	watch_leading(&role.leading, f, GetXLogReplayRecPtr(NULL) + f->end + f->released + (uint64) f->server + all_flushed());
	f->other_could_lead = raft_other_could_lead(r, f->now, 0);
	f->other_has_all = raft_other_could_lead(r, f->now, f->end);
	f->replaceable = raft_is_replaceable(r, f->now);
}

/* ---- all of it ---- */

void
role_gather(void)
{
	PrimaryFacts *f = &role.facts;
	const Raft	 *r = &role.raft;

	memset(f, 0, sizeof(*f));
	primary_take_election(f, r);
	f->now = role.now;
	f->lease_until = role.lease;
	f->asked = role.asked_life == role.life && role.asked == r->saved.promoting && role.asked_claim_term == f->term;
	f->open_timeout = (uint64) settings.open_timeout * 1000;
	f->health_timeout = (uint64) settings.health_timeout * 1000;
	f->stream_timeout = STREAM_TIMEOUT;
	f->prefer_open = PREFER_OPEN;
	f->rebuild_pause = PRIMARY_REBUILD_PAUSE;
	gather_own(f);
	f->check = role.following.check;
	role_gather_leader();
	gather_rebuild(f);
	gather_leading(f);
}

bool
role_tell_member(void)
{
	static ExchangeData told;
	const PrimaryFacts *f = &role.facts;
	PrimaryPosition		own = primary_position(f);
	ExchangeData		data;
	const Histories	   *files = histories();

	memset(&data, 0, sizeof(data));
	data.data.server = f->server;
	data.data.port = (uint16_t) PostPortNumber;
	data.data.system_id = f->system_id;

	/* not before the member knows what it held: with less it does not vote (rule 22) */
	data.data.known = own.known && role.noted;
	data.data.foreign = own.foreign;
	data.data.position = own.position;
	data.data.begun = own.begun;
	data.whole = own.position.index;
	if (f->system_id != 0)
		data.data.newest_timeline = Max(f->timeline, files->n > 0 ? files->files[files->n - 1].timeline : 0);
	data.data.promoted = f->server == RAFT_SERVER_PRIMARY && f->ran_on && f->leader_id == f->self && f->timeline == f->claim;
	data.data.open = role.open && data.data.promoted;
	data.data.list_held = data.data.open ? f->list_held : 0;
	data.data.list_held_term = data.data.list_held != 0 ? f->list_term : 0;
	data.grows = data.data.known && own.position.index == f->end;
	if (data.grows && f->server == RAFT_SERVER_RECOVERY && role.partial > f->end)
		data.data.position = (RaftPosition){lineage_timeline_before(f->lineage, role.partial), role.partial};
	data.may_stand = primary_may_stand(f);
	data.is_told = true;
	if (memcmp(&data, &told, sizeof(data)) == 0)
		return false;
	told = data;
	exchange_tell_data(&data);
	return true;
}
