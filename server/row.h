/*
 * server/row.h
 *	  What the files that hold SQL functions share: rows of results, filled from left
 *	  to right, and the errors of a library that is too old and of a server that is not managed.
 *
 * Included after postgres.h.  Nothing here knows what a column means.
 */
#ifndef PG_LEADER_ROW_H
#define PG_LEADER_ROW_H

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "server/library.h"
#include "server/settings.h"
#include "server/shared.h"

#define EXPORTED_FUNCTION(name)                      \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

static inline void
require_library(void)
{
	if (!shared_available())
		library_refuse();
}

static inline void
require_managed(void)
{
	require_library();
	if (!settings.manage)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server is not managed by pg_leader"),
				 errhint("pg_leader.manage is off.")));
}

static inline Datum
interval_datum(int64 microseconds)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

/* One row of results. */
typedef struct Row
{
	int	  n;
	Datum values[40];
	bool  nulls[40];
} Row;

static inline void
check_room(const Row *row)
{
	if (row->n >= (int) lengthof(row->values))
		elog(ERROR, "a row of pg_leader has more than %d columns", row->n);
}

static inline void
add(Row *row, Datum value)
{
	check_room(row);
	row->nulls[row->n] = false;
	row->values[row->n++] = value;
}

static inline void
add_null(Row *row)
{
	check_room(row);
	row->nulls[row->n] = true;
	row->values[row->n++] = (Datum) 0;
}

static inline void
add_text(Row *row, const char *text)
{
	add(row, CStringGetTextDatum(text));
}

/* NULL for a text that is not there or empty. */
static inline void
add_text_or_null(Row *row, const char *text)
{
	if (text == NULL || text[0] == '\0')
		add_null(row);
	else
		add_text(row, text);
}

static inline void
add_node(Row *row, int32_t node_id)
{
	if (node_id < 0)
		add_null(row);
	else
		add(row, Int32GetDatum(node_id));
}

static inline void
add_count(Row *row, uint64_t count)
{
	add(row, Int64GetDatum((int64) count));
}

/* A moment of the election's clock; NULL for never. */
static inline void
add_moment(Row *row, uint64_t moment)
{
	if (moment == 0)
		add_null(row);
	else
		add(row, Int64GetDatum((int64) moment));
}

/* How long until then; NULL if it is over. */
static inline void
add_remaining(Row *row, uint64_t until, uint64_t now)
{
	if (until <= now)
		add_null(row);
	else
		add(row, interval_datum((int64) (until - now)));
}

/* How long ago; NULL for never. */
static inline void
add_age(Row *row, uint64_t moment, uint64_t now)
{
	if (moment == 0)
		add_null(row);
	else
		add(row, interval_datum(now > moment ? (int64) (now - moment) : 0));
}

/*
 * While servers are upgraded one by one, the library and the extension's objects are
 * of different versions.  That is why columns are only ever added at the end, and keep
 * their types: the objects of an older version leave out what a newer library has
 * more.  Columns that an older library does not know cannot be filled.
 */
static inline void
require_columns(const Row *row, TupleDesc descriptor)
{
	if (row->n < descriptor->natts)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the pg_leader library of this server is older than the objects of the extension"),
				 errhint("Install the new version of pg_leader on this server, and restart it.")));
}

static inline void
put_row(FunctionCallInfo fcinfo, Row *row)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	require_columns(row, result->setDesc);
	tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->nulls);
}

static inline Datum
return_row(FunctionCallInfo fcinfo, Row *row)
{
	TupleDesc descriptor;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	require_columns(row, descriptor);
	descriptor = BlessTupleDesc(descriptor);
	return HeapTupleGetDatum(heap_form_tuple(descriptor, row->values, row->nulls));
}

#endif /* PG_LEADER_ROW_H */
