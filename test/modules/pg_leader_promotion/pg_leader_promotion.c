/*-------------------------------------------------------------------------
 *
 * pg_leader_promotion.c
 *	  Lets a session call what the role worker calls.
 *
 * It is linked with the files of server/ that it calls, and attaches them to the shared
 * memory that the preloaded library has made: so the startup process takes an authorisation
 * from here as it does from the role worker.  And where it is preloaded, a worker says in the log
 * where local WAL ends, as soon as processes are started, and the member learns of it, too.
 *
 * For test/t/041_promotion.pl only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/pg_lsn.h"

#include "server/exchange.h"
#include "server/parent.h"
#include "server/position.h"
#include "server/promotion.h"
#include "server/shared.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);
PGDLLEXPORT void promotion_test_main(Datum argument);
PG_FUNCTION_INFO_V1(promotion_test_end);
PG_FUNCTION_INFO_V1(promotion_test_bytes);
PG_FUNCTION_INFO_V1(promotion_test_histories);
PG_FUNCTION_INFO_V1(promotion_test_past);
PG_FUNCTION_INFO_V1(promotion_test_ask);
PG_FUNCTION_INFO_V1(promotion_test_begin);
PG_FUNCTION_INFO_V1(promotion_test_archive);

/* A session is not what a supervisor has started. */
Board *
parent_board(void)
{
	return NULL;
}

void
parent_tell(ControlType type)
{
}

static void
attach(void)
{
	static bool is_attached = false;

	if (is_attached)
		return;
	shared_init_memory();
	promotion_init_memory();
	is_attached = true;
}

static void
fail(const Words *words)
{
	ereport(ERROR, (errmsg("%s", words->error)));
}

/* promotion_test_end(): "TIMELINE END" */
Datum
promotion_test_end(PG_FUNCTION_ARGS)
{
	PositionEnd end;
	Words		words;

	if (!position_read_end(&end, NULL, &words))
		fail(&words);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%u %X/%X", end.timeline, LSN_FORMAT_ARGS(end.end))));
}

/* promotion_test_bytes(timeline int, from pg_lsn, until pg_lsn): in hexadecimal, NULL if they are not there */
Datum
promotion_test_bytes(PG_FUNCTION_ARGS)
{
	XLogRecPtr	   from = PG_GETARG_LSN(1);
	XLogRecPtr	   end = PG_GETARG_LSN(2);
	Lineage		  *path = palloc(sizeof(Lineage));
	char		  *bytes = palloc(end - from);
	StringInfoData text;
	Words		   words;

	if (position_read_lineage(PG_GETARG_UINT32(0), path, &words) != LINEAGE_GOOD)
		fail(&words);
	if (!position_read_bytes(path, from, end, bytes))
		PG_RETURN_NULL();
	initStringInfo(&text);
	for (XLogRecPtr i = 0; i < end - from; i++)
		appendStringInfo(&text, "%02x", (uint8) bytes[i]);
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}

/* promotion_test_histories(): "TIMELINE KIND BEGIN, ..." */
Datum
promotion_test_histories(PG_FUNCTION_ARGS)
{
	static const char *const kinds[] = {"none", "burnt", "bad", "real"};
	Histories				 histories;
	StringInfoData			 text;
	Words					 words;

	if (!position_read_histories(&histories, &words))
		fail(&words);
	initStringInfo(&text);
	for (uint32 i = 0; i < histories.n; i++)
		appendStringInfo(&text, "%s%u %s %X/%X", i > 0 ? ", " : "", histories.files[i].timeline,
						 kinds[histories.files[i].kind], LSN_FORMAT_ARGS(histories.files[i].begin));
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}

/* promotion_test_past(): "wrote on TIMELINE, target TIMELINE" */
Datum
promotion_test_past(PG_FUNCTION_ARGS)
{
	Histories histories;
	Words	  words;

	attach();
	if (!position_read_histories(&histories, &words))
		fail(&words);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("wrote on %u, target %u", promotion_wrote_on(), promotion_target(&histories))));
}

/* promotion_test_ask(claim int, term int8, finish pg_lsn): the verdict in words */
Datum
promotion_test_ask(PG_FUNCTION_ARGS)
{
	attach();
	PG_RETURN_TEXT_P(cstring_to_text(promotion_describe(promotion_ask(PG_GETARG_UINT32(0), (uint64_t) PG_GETARG_INT64(1),
																	  PG_GETARG_LSN(2), false))));
}

/* promotion_test_begin(claim int, term int8) */
Datum
promotion_test_begin(PG_FUNCTION_ARGS)
{
	Words words;

	attach();
	if (!promotion_begin(PG_GETARG_UINT32(0), (uint64_t) PG_GETARG_INT64(1), false, &words))
		fail(&words);
	PG_RETURN_VOID();
}

/* promotion_test_archive(): is there more to do? */
Datum
promotion_test_archive(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(promotion_archive_burnt());
}

/* ---- the worker ---- */

/* What the role worker says at first, and never takes back. */
static void
stand_in(const PositionEnd *end)
{
	ExchangeData data;

	memset(&data, 0, sizeof(data));
	data.data.server = RAFT_SERVER_RECOVERY;
	data.data.system_id = GetSystemIdentifier();
	data.data.known = true;
	data.data.position = (RaftPosition){end->timeline, end->end};
	data.data.newest_timeline = end->timeline;
	data.may_stand = true;
	exchange_init_memory();
	exchange_set_gate(EXCHANGE_LEFT_ALONE, NULL, 0);
	exchange_tell_data(&data);
}

void
promotion_test_main(Datum argument)
{
	const char *managed = GetConfigOption("pg_leader.manage", true, false);
	bool		before_redo = XLogRecPtrIsInvalid(GetXLogReplayRecPtr(NULL));
	PositionEnd end;
	Words		words;

	BackgroundWorkerUnblockSignals();
	if (position_read_end(&end, NULL, &words))
		elog(LOG, "promotion test: WAL ends on timeline %u at %X/%X, read %s redo", end.timeline, LSN_FORMAT_ARGS(end.end),
			 before_redo ? "before" : "after");
	else
		elog(LOG, "promotion test: %s", words.error);
	if (managed == NULL || strcmp(managed, "on") != 0)
		proc_exit(0);
	stand_in(&end);

	/* so that it is there again after a crash of the server */
	while (true)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
_PG_init(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress)
		return;
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_PostmasterStart;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pg_leader_promotion", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "promotion_test_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "promotion test", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "promotion test", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}
