/*-------------------------------------------------------------------------
 *
 * pg_leader_promotion.c
 *	  Lets a session call what the role worker calls.
 *
 * It is linked with the files of server/ that it calls, and attaches them to the shared
 * memory that the preloaded library has made: so the startup process takes an authorisation
 * from here as it does from the role worker.
 *
 * For test/t/041_promotion.pl only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlogdefs.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

#include "server/position.h"
#include "server/promotion.h"
#include "server/shared.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(promotion_test_end);
PG_FUNCTION_INFO_V1(promotion_test_bytes);
PG_FUNCTION_INFO_V1(promotion_test_histories);
PG_FUNCTION_INFO_V1(promotion_test_past);
PG_FUNCTION_INFO_V1(promotion_test_ask);
PG_FUNCTION_INFO_V1(promotion_test_begin);
PG_FUNCTION_INFO_V1(promotion_test_archive);

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
	attach();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("wrote on %u, target %u", promotion_wrote_on(), promotion_target())));
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
