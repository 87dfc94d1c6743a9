/*
 * server/fence.c
 *	  What transactions of a managed server may do.
 *
 * See fence.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"

#include "server/fence.h"
#include "server/settings.h"

/*
 * FATAL, because connection pools throw such a connection away.
 */
static void
before_commit(XactEvent event, void *argument)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE && event != XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	if (settings.without_fence || !IsUnderPostmaster || !TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	ereport(FATAL,
			(errcode(ERRCODE_ADMIN_SHUTDOWN),
			 errmsg("pg_leader: nothing of this transaction was committed"),
			 errdetail("Managed mode does not let transactions that write commit yet."),
			 errhint("Developers can set pg_leader.without_fence = on, and may lose commits.")));
}

void
fence_register(void)
{
	RegisterXactCallback(before_commit, NULL);
}
