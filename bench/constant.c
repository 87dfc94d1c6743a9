/*
 * bench/constant.c
 *	  A function of the kind of pg_leader_is_leader() that looks at nothing.
 *
 * For bench/overhead, which loads it into the server that it measures: what the
 * two take apart from each other is the lease's price.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_constant);

Datum
bench_constant(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(true);
}
