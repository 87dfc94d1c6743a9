/*-------------------------------------------------------------------------
 *
 * pg_leader_facts.c
 *	  What the tests of PostgreSQL's own behaviour cannot do in SQL.
 *
 * Six things.  A resource manager that has no records: PostgreSQL calls its
 * rm_startup and rm_cleanup in the startup process, before the first record is
 * replayed and after the last one, which is before a promotion chooses its
 * timeline.  A function that shows the shared fields of the receiver of WAL.  A
 * gate through which everything passes that the receiver says to its primary.  A
 * hook at pg_promote().  One that is called before the startup process begins,
 * which takes away the newest history files if nothing is in them but a comment.
 * And a function that hands a history file to the archiver.
 *
 * Files in the data directory say what they shall do, so that a test can say it
 * without a reload that might come too late:
 *
 *	  facts.claim	a number: the timeline that the promotion shall get.  History
 *					files without a line are made for all those below it that
 *					have none
 *	  facts.archive	exists: those files are ready for the archiver at once, not one
 *					by one by the function
 *	  facts.refuse	exists: rm_cleanup ends in a FATAL
 *	  facts.silent	exists: the receiver's replies are held back
 *	  facts.nobody	exists: nobody may call pg_promote()
 *	  facts.sweep	exists: comments are swept at each start
 *
 * For test/t/030_promotion_facts.pl and test/t/033_burnt_timelines.pl, and as another library
 * that has a resource manager for 041_promotion.pl.  It takes the identifier that is reserved
 * for experiments, so it cannot be loaded beside another experiment, or that of
 * pg_leader_facts.id.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/rmgr.h"
#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogarchive.h"
#include "access/xlogrecovery.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/pg_lsn.h"

PG_MODULE_MAGIC;

#define CLAIM_FILE	 "facts.claim"
#define ARCHIVE_FILE "facts.archive"
#define REFUSE_FILE	 "facts.refuse"
#define SILENT_FILE	 "facts.silent"
#define NOBODY_FILE	 "facts.nobody"
#define SWEEP_FILE	 "facts.sweep"

PGDLLEXPORT void _PG_init(void);
PG_FUNCTION_INFO_V1(pg_leader_facts_receiver);
PG_FUNCTION_INFO_V1(pg_leader_facts_archive);

/* ---- the resource manager ---- */

static int manager_id;

static void
redo(XLogReaderState *record)
{
	elog(PANIC, "facts: there are no such records");
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
startup(void)
{
	elog(LOG, "facts: rm_startup");
}

/* The number in the file, 0 if there is no file. */
static TimeLineID
claimed_timeline(void)
{
	FILE		*file = AllocateFile(CLAIM_FILE, "r");
	unsigned int claim = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%u", &claim) != 1)
		elog(FATAL, "facts: there is no number in \"%s\"", CLAIM_FILE);
	FreeFile(file);
	return claim;
}

/* Its history file is ready for the archiver. */
static void
give_to_archiver(TimeLineID timeline)
{
	char name[MAXFNAMELEN];

	TLHistoryFileName(name, timeline);
	XLogArchiveNotify(name);
}

/* Make the file, unless it is there; true if it was made. */
static bool
burn(TimeLineID timeline)
{
	static const char text[] = "# not used by anybody\n";
	char			  path[MAXPGPATH];
	int				  file;

	TLHistoryFilePath(path, timeline);
	file = BasicOpenFile(path, O_CREAT | O_EXCL | O_WRONLY | PG_BINARY);
	if (file < 0 && errno == EEXIST)
		return false;
	if (file < 0 || write(file, text, strlen(text)) != (ssize_t) strlen(text))
		elog(FATAL, "facts: could not write \"%s\": %m", path);
	close(file);
	if (access(ARCHIVE_FILE, F_OK) == 0)
		give_to_archiver(timeline);
	return true;
}

static void
cleanup(void)
{
	TimeLineID timeline;
	XLogRecPtr end = GetXLogReplayRecPtr(&timeline);
	TimeLineID claim = claimed_timeline();
	int		   burnt = 0;

	elog(LOG, "facts: rm_cleanup after %X/%X on timeline %u, target %u, archive recovery %d",
		 LSN_FORMAT_ARGS(end), timeline, recoveryTargetTLI, ArchiveRecoveryRequested);
	if (access(REFUSE_FILE, F_OK) == 0)
		elog(FATAL, "facts: rm_cleanup refuses");
	for (TimeLineID next = recoveryTargetTLI + 1; next < claim; next++)
		burnt += burn(next);
	elog(LOG, "facts: rm_cleanup made %d history files", burnt);
}

static RmgrData resource_manager = {
	.rm_name = "pg_leader_facts",
	.rm_redo = redo,
	.rm_desc = describe,
	.rm_identify = identify,
	.rm_startup = startup,
	.rm_cleanup = cleanup,
};

/* ---- what the receiver says ---- */

static WalReceiverFunctionsType *their_functions;
static WalReceiverFunctionsType	 our_functions;

static void
say(WalReceiverConn *connection, const char *message, int length)
{
	if (message[0] == 'r' && access(SILENT_FILE, F_OK) == 0)
	{
		elog(LOG, "facts: a reply is held back");
		return;
	}
	(their_functions->walrcv_send)(connection, message, length);
}

/*
 * The receiver loads libpqwalreceiver, which sets the pointer to its functions, and uses
 * that.  A library that the postmaster has loaded already is not loaded again.
 */
static void
stand_between(void)
{
	load_file("libpqwalreceiver", false);
	their_functions = WalReceiverFunctions;
	our_functions = *their_functions;
	our_functions.walrcv_send = say;
	WalReceiverFunctions = &our_functions;
}

/* ---- who may promote ---- */

static object_access_hook_type their_access;

static void
before_access(ObjectAccessType access_type, Oid class, Oid object, int sub, void *more)
{
	if (access_type == OAT_FUNCTION_EXECUTE && class == ProcedureRelationId && object == F_PG_PROMOTE &&
		access(NOBODY_FILE, F_OK) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("facts: nobody may promote")));
	if (their_access != NULL)
		their_access(access_type, class, object, sub, more);
}

/* ---- before the startup process ---- */

static shmem_startup_hook_type their_startup;

/* Comments and nothing else? */
static bool
is_burnt(const char *path)
{
	FILE *file = AllocateFile(path, "r");
	char  first = '#';
	bool  burnt;

	if (file == NULL)
		return false;
	burnt = fread(&first, 1, 1, file) == 0 || first == '#';
	FreeFile(file);
	return burnt;
}

/* From the highest one that there is, down to the first that is real. */
static void
sweep(void)
{
	char path[MAXPGPATH];

	if (their_startup != NULL)
		their_startup();
	if (access(SWEEP_FILE, F_OK) != 0)
		return;
	for (TimeLineID timeline = 99; timeline > 1; timeline--)
	{
		TLHistoryFilePath(path, timeline);
		if (access(path, F_OK) != 0)
			continue;
		if (!is_burnt(path))
			break;
		unlink(path);
		elog(LOG, "facts: swept timeline %u", timeline);
	}
}

void
_PG_init(void)
{
	/* A session that calls the function where nothing was preloaded. */
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomIntVariable("pg_leader_facts.id", "Sets the identifier of the resource manager.", NULL, &manager_id,
							RM_EXPERIMENTAL_ID, RM_MIN_CUSTOM_ID, RM_MAX_CUSTOM_ID, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	RegisterCustomRmgr((RmgrId) manager_id, &resource_manager);
	stand_between();
	their_access = object_access_hook;
	object_access_hook = before_access;
	their_startup = shmem_startup_hook;
	shmem_startup_hook = sweep;
}

/* ---- the receiver ---- */

static const char *
state_name(WalRcvState state)
{
	switch (state)
	{
		case WALRCV_STOPPED:
			return "stopped";
		case WALRCV_STARTING:
			return "starting";
		case WALRCV_STREAMING:
			return "streaming";
		case WALRCV_WAITING:
			return "waiting";
		case WALRCV_RESTARTING:
			return "restarting";
		case WALRCV_STOPPING:
			return "stopping";
		default:
			return "another";
	}
}

/*
 * pg_leader_facts_receiver(OUT state, OUT pid, OUT start, OUT start_timeline,
 * OUT flushed, OUT timeline): also when there is no receiver, where
 * pg_stat_wal_receiver shows nothing.
 */
Datum
pg_leader_facts_receiver(PG_FUNCTION_ARGS)
{
	TupleDesc	description;
	Datum		values[6];
	bool		nulls[6] = {false};
	WalRcvState state;
	XLogRecPtr	start;
	XLogRecPtr	flushed;
	TimeLineID	start_timeline;
	TimeLineID	timeline;
	pid_t		pid;

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE ||
		description->natts != lengthof(values))
		elog(ERROR, "facts: the function was declared with other columns");

	SpinLockAcquire(&WalRcv->mutex);
	state = WalRcv->walRcvState;
	pid = WalRcv->pid;
	start = WalRcv->receiveStart;
	start_timeline = WalRcv->receiveStartTLI;
	flushed = WalRcv->flushedUpto;
	timeline = WalRcv->receivedTLI;
	SpinLockRelease(&WalRcv->mutex);

	values[0] = CStringGetTextDatum(state_name(state));
	values[1] = Int32GetDatum((int32) pid);
	values[2] = LSNGetDatum(start);
	values[3] = Int32GetDatum((int32) start_timeline);
	values[4] = LSNGetDatum(flushed);
	values[5] = Int32GetDatum((int32) timeline);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}

/* pg_leader_facts_archive(timeline int) */
Datum
pg_leader_facts_archive(PG_FUNCTION_ARGS)
{
	give_to_archiver((TimeLineID) PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}
