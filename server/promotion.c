/*
 * server/promotion.c
 *	  The end of recovery in managed mode: who may promote this server, and to which timeline.
 *
 * See promotion.h.  What may be promoted is decided in primary/promotion.c.  The role worker
 * leaves an authorisation in shared memory; the startup process takes it, once.  A fresh segment
 * authorises nothing, and after a crash of the server there is a fresh one.
 *
 * The callbacks of the resource manager run in the startup process, which an error would end
 * anyway; what they refuse ends it on purpose.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogarchive.h"
#include "access/xlogrecovery.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/fmgroids.h"

#include "server/control_file.h"
#include "server/history_files.h"
#include "server/position.h"
#include "server/promotion.h"
#include "server/shared.h"
#include "server/sweep.h"

/* Of the ids that PostgreSQL leaves to libraries, 128 to 255; no record ever bears it. */
#define RESOURCE_MANAGER_ID 151

#define HINT_ELECTION "The elected leader is promoted by itself. To make another member the leader, call pg_leader_transfer()."

typedef struct Authorisation
{
	uint32 claim; /* 0: none */
	uint64 term;
	bool   burn_any;
} Authorisation;

typedef struct Promotion
{
	slock_t		  mutex;
	Authorisation authorised;
	bool		  redo_began;
	uint32		  target; /* recoveryTargetTLI when redo began */
	bool		  asked;  /* rm_cleanup was called: nobody asks again in this start */
	uint32		  wrote_on;
	bool		  is_copy;
} Promotion;

static Promotion *promotion = NULL;

/* ---- facts ---- */

static uint64
begin_of(const Histories *histories, uint32 timeline)
{
	uint32 i;

	for (i = 0; i < histories->n; i++)
	{
		if (histories->files[i].timeline == timeline)
			return histories->files[i].begin;
	}
	return 0;
}

/* The target when recovery began, or the one that pg_control names. */
static uint32
first_target(void)
{
	ControlFileData control;
	Words			words;
	uint32			target;

	SpinLockAcquire(&promotion->mutex);
	target = promotion->target;
	SpinLockRelease(&promotion->mutex);
	if (target != 0)
		return target;
	return control_file_read(&control, &words) ? control_file_timeline(&control) : 1;
}

uint32_t
promotion_target(const Histories *histories)
{
	uint32 target = first_target();
	uint32 id;

	for (id = target + 1; histories_kind(histories, id) != HISTORY_NONE; id++)
	{
		if (histories_kind(histories, id) == HISTORY_REAL)
			target = id;
	}
	return target;
}

/* All facts for that authorisation; target 0: the one that pg_wal has.  false: it cannot be read. */
static bool
gather(PromotionFacts *facts, const Authorisation *authorised, uint32 target, uint64 end, Words *words)
{
	SharedStatus status;
	uint64		 lease_term;

	memset(facts, 0, sizeof(*facts));
	if (!position_read_histories(&facts->histories, words))
		return false;
	facts->authorised = authorised->claim;
	facts->authorised_term = authorised->term;
	facts->burn_any = authorised->burn_any;
	facts->target = target != 0 ? target : promotion_target(&facts->histories);
	facts->target_begin = begin_of(&facts->histories, facts->target);
	facts->end = end;
	if (shared_peek_status(&status))
		facts->term = status.term;

	/* last of all, as it is about this moment */
	facts->lease_until = shared_lease(&lease_term, &facts->now);
	if (lease_term != authorised->term)
		facts->lease_until = 0;
	return true;
}

static void
free_histories(const Histories *histories)
{
	if (histories->files != NULL)
		pfree((void *) histories->files);
}

static const char *
hint_of(PromotionVerdict verdict)
{
	switch (verdict)
	{
		case PROMOTION_MANY_BURNT:
			return "Look for the history file of a timeline far above the others in pg_wal of all members.";
		case PROMOTION_NOT_AUTHORISED:
			return HINT_ELECTION;
		default:
			return "The supervisor starts the server again as a standby, and the leader claims another timeline.";
	}
}

/* ---- the startup process ---- */

static void
redo(XLogReaderState *record)
{
	ereport(FATAL,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("pg_leader: there is a WAL record of resource manager %d, and pg_leader writes none", RESOURCE_MANAGER_ID),
			 errhint("Another library that uses this id has written it: load that one, with pg_leader.manage off.")));
}

static void
describe(StringInfo buffer, XLogReaderState *record)
{
}

static const char *
identify(uint8 info)
{
	return NULL;
}

static void
redo_begins(void)
{
	SpinLockAcquire(&promotion->mutex);
	promotion->redo_began = true;
	promotion->target = recoveryTargetTLI;
	SpinLockRelease(&promotion->mutex);
}

/* It is used up by being taken. */
static Authorisation
take_authorisation(void)
{
	Authorisation taken;

	SpinLockAcquire(&promotion->mutex);
	taken = promotion->authorised;
	memset(&promotion->authorised, 0, sizeof(promotion->authorised));
	promotion->asked = true;
	SpinLockRelease(&promotion->mutex);
	return taken;
}

static _Noreturn void
refuse(const char *why, const char *hint)
{
	(void) unlink(PROMOTE_SIGNAL_FILE);
	ereport(FATAL,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pg_leader: promotion refused: %s", why),
			 errhint("%s", hint)));
}

/*
 * Get what the archive has of the ids that would be burnt, and of the claim and those above it:
 * they are somebody's.
 */
static void
fetch_archived(const Histories *histories, uint32 claim)
{
	uint32 id;

	for (id = promotion_burns(histories, claim, 0); id != 0; id = promotion_burns(histories, claim, id))
		restoreTimeLineHistoryFiles(id, id + 1);
	for (id = claim; id <= LINEAGE_MAX_TIMELINE && existsTimeLineHistory(id); id++)
		restoreTimeLineHistoryFiles(id, id + 1);
}

/* The facts that promotion_verdict() lets pass; does not return with others. */
static void
check(PromotionFacts *facts, const Authorisation *authorised)
{
	PromotionVerdict verdict;
	Words			 words;

	if (!gather(facts, authorised, recoveryTargetTLI, GetXLogReplayRecPtr(NULL), &words))
		refuse(words.error, "Make pg_wal readable for the server.");
	verdict = promotion_verdict(facts);
	if (verdict != PROMOTION_GOES_ON)
		refuse(promotion_describe(verdict), hint_of(verdict));
}

/*
 * Where WAL is archived, PostgreSQL renames the last segment of the timeline that it leaves to
 * ".partial", unless that counts as archived.  A member that is behind the promotion before this
 * one needs it: a walsender reads the end of an old timeline from the file of the next one, never
 * from that of a later one (WalSndSegmentOpen).  Nothing is lost for the archive, as the file of
 * the new timeline begins with the same bytes.
 */
static void
keep_last_segment(uint32 target)
{
	XLogRecPtr end = GetXLogReplayRecPtr(NULL);
	char	   name[MAXFNAMELEN];
	XLogSegNo  segment;
	uint32	   timeline;

	if (!XLogArchivingActive() || XLogSegmentOffset(end, wal_segment_size) == 0)
		return;
	XLByteToSeg(end, segment, wal_segment_size);
	timeline = position_newest_file(target, segment);
	if (timeline == 0)
		return;
	XLogFileName(name, timeline, segment, wal_segment_size);
	if (!XLogArchiveIsReadyOrDone(name))
		XLogArchiveForceDone(name);
}

/* rm_cleanup: after the last record, before the timeline is chosen. */
static void
recovery_ends(void)
{
	Authorisation  authorised;
	PromotionFacts facts;
	Words		   words;
	uint32		   n;

	if (!ArchiveRecoveryRequested)
		return; /* a primary after a crash */
	authorised = take_authorisation();
	check(&facts, &authorised);
	if (recoveryRestoreCommand != NULL && recoveryRestoreCommand[0] != '\0')
	{
		fetch_archived(&facts.histories, authorised.claim);
		check(&facts, &authorised);
	}
	if (!history_files_burn(&facts.histories, authorised.claim, &n, &words))
		refuse(words.error, "Make room for pg_wal, or make it writable for the server.");
	keep_last_segment(facts.target);
	ereport(LOG,
			(errmsg("pg_leader: this server is promoted to timeline %u, as leader of term " UINT64_FORMAT, authorised.claim,
					authorised.term),
			 errdetail("%u timeline ids are passed over.", n)));
}

static RmgrData resource_manager = {
	.rm_name = "pg_leader",
	.rm_redo = redo,
	.rm_desc = describe,
	.rm_identify = identify,
	.rm_startup = redo_begins,
	.rm_cleanup = recovery_ends,
};

/* ---- sessions ---- */

static object_access_hook_type previous_object_access_hook = NULL;

static void
refuse_by_hand(ObjectAccessType access_type, Oid class, Oid object, int column, void *argument)
{
	if (access_type == OAT_FUNCTION_EXECUTE && class == ProcedureRelationId && object == F_PG_PROMOTE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_leader: this server is promoted by the election"),
				 errhint(HINT_ELECTION)));
	if (previous_object_access_hook)
		previous_object_access_hook(access_type, class, object, column, argument);
}

/* ---- the postmaster ---- */

void
promotion_register(void)
{
	if (RmgrIdExists(RESOURCE_MANAGER_ID))
		ereport(FATAL,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("pg_leader: the resource manager id %d is taken by \"%s\"", RESOURCE_MANAGER_ID,
						GetRmgr(RESOURCE_MANAGER_ID).rm_name),
				 errhint("Remove that library from shared_preload_libraries, or set pg_leader.manage to off.")));
	RegisterCustomRmgr(RESOURCE_MANAGER_ID, &resource_manager);
	previous_object_access_hook = object_access_hook;
	object_access_hook = refuse_by_hand;
}

void
promotion_request_memory(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Promotion)));
}

void
promotion_init_memory(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	promotion = ShmemInitStruct("pg_leader promotion", sizeof(Promotion), &found);
	if (!found)
	{
		memset(promotion, 0, sizeof(*promotion));
		SpinLockInit(&promotion->mutex);
	}
	LWLockRelease(AddinShmemInitLock);

	/* no server to be started: single user mode, pg_upgrade */
	if (IsPostmasterEnvironment && !IsUnderPostmaster && !IsBinaryUpgrade)
		promotion->wrote_on = sweep_before_start(&promotion->is_copy);
}

/* ---- the role worker ---- */

uint32_t
promotion_wrote_on(void)
{
	return promotion->wrote_on;
}

bool
promotion_of_copy(void)
{
	return promotion->is_copy;
}

PromotionVerdict
promotion_ask(uint32_t claim, uint64_t term, uint64_t end, bool burn_any)
{
	Authorisation	 asked = {claim, term, burn_any};
	PromotionFacts	 facts;
	PromotionVerdict verdict = PROMOTION_NOT_AUTHORISED;
	Words			 words;

	if (gather(&facts, &asked, 0, end, &words))
		verdict = promotion_verdict(&facts);
	else
		ereport(LOG, (errmsg("pg_leader: this server cannot be promoted: %s", words.error)));
	free_histories(&facts.histories);
	return verdict;
}

static void
authorise(const Authorisation *authorised)
{
	SpinLockAcquire(&promotion->mutex);
	promotion->authorised = *authorised;
	SpinLockRelease(&promotion->mutex);
}

/* Will rm_cleanup not be called at the end of this recovery? */
static bool
is_nobody_asked(void)
{
	bool answer;

	SpinLockAcquire(&promotion->mutex);
	answer = !promotion->redo_began || promotion->asked;
	SpinLockRelease(&promotion->mutex);
	return answer;
}

static bool
burn_now(uint32 claim, Words *words)
{
	Histories histories = {0};
	uint32	  n;
	bool	  good = position_read_histories(&histories, words) && history_files_burn(&histories, claim, &n, words);

	if (good)
		keep_last_segment(promotion_target(&histories));
	free_histories(&histories);
	return good;
}

/* PostgreSQL's own way: the file, and a signal to the postmaster. */
static bool
signal_promotion(Words *words)
{
	int file = open(PROMOTE_SIGNAL_FILE, O_CREAT | O_WRONLY | O_CLOEXEC, pg_file_create_mode);

	if (file < 0)
		return words_set(words, NULL, "could not create \"%s\": %s", PROMOTE_SIGNAL_FILE, strerror(errno));
	(void) close(file);
	if (kill(PostmasterPid, SIGUSR1) != 0)
		return words_set(words, NULL, "could not signal the postmaster: %s", strerror(errno));
	return true;
}

bool
promotion_begin(uint32_t claim, uint64_t term, bool burn_any, Words *words)
{
	Authorisation authorised = {claim, term, burn_any};

	words_clear(words);
	if (!is_nobody_asked())
		authorise(&authorised);
	else if (!burn_now(claim, words))
		return false;
	if (signal_promotion(words))
		return true;
	promotion_revoke();
	return false;
}

void
promotion_revoke(void)
{
	static const Authorisation none = {0};

	authorise(&none);
	(void) unlink(PROMOTE_SIGNAL_FILE);
}

/* ---- the archive ---- */

static bool
has_status(uint32 timeline, const char *suffix)
{
	char name[MAXFNAMELEN];
	char path[MAXPGPATH];

	TLHistoryFileName(name, timeline);
	StatusFilePath(path, name, suffix);
	return access(path, F_OK) == 0;
}

static PromotionArchived
archived(uint32 timeline)
{
	if (has_status(timeline, ".done"))
		return PROMOTION_ARCHIVED;
	return has_status(timeline, ".ready") ? PROMOTION_WAITS : PROMOTION_NOT_ARCHIVED;
}

static bool
archive_next(const Histories *histories)
{
	PromotionArchived *of = palloc0(Max(histories->n, 1) * sizeof(PromotionArchived));
	char			   name[MAXFNAMELEN];
	uint32			   i;
	uint32			   next;
	bool			   more;

	for (i = 0; i < histories->n; i++)
		of[i] = archived(histories->files[i].timeline);
	next = promotion_archives(histories, of, GetWALInsertionTimeLine(), &more);
	if (next != 0)
	{
		TLHistoryFileName(name, next);
		XLogArchiveNotify(name);
	}
	pfree(of);
	return more;
}

bool
promotion_archive_burnt(void)
{
	Histories histories = {0};
	Words	  words;
	bool	  more;

	if (!XLogArchivingActive() || RecoveryInProgress())
		return false;
	more = !position_read_histories(&histories, &words) || archive_next(&histories);
	free_histories(&histories);
	return more;
}
