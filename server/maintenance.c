/*
 * server/maintenance.c
 *	  SQL functions with which an operator maintains one managed server: restart it, clone its
 *	  data anew.
 *
 * They check what can be checked here, and leave a wish for the role worker (exchange.h), whose
 * facts it becomes: what is done is decided by primary/decide.c.  The session ends with the server
 * that is stopped for it, so they do not wait.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "server/exchange.h"
#include "server/row.h"
#include "server/shared.h"
#include "server/status.h"

EXPORTED_FUNCTION(pg_leader_reinit);
EXPORTED_FUNCTION(pg_leader_restart);

/* Of a managed standby that does not lead; else an error.  hint: of a primary. */
static void
check_standby(SharedStatus *status, const char *hint)
{
	ExchangeShown shown;

	require_managed();
	if (!status_read(status))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server does not take part in elections"),
				 errhint("The column \"state\" of pg_leader_status says why.")));
	if (!exchange_read_shown(&shown) || shown.server == RAFT_SERVER_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the role worker of pg_leader is not running"),
				 errhint("Try again in a moment. If this persists, the server log says why.")));
	if (shown.server == RAFT_SERVER_PRIMARY || status->leader_id == status->node_id)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 shown.server == RAFT_SERVER_PRIMARY ? errmsg("this server is the primary") : errmsg("this member is the leader"),
				 errhint("%s", hint)));
}

static void
wish(ExchangeWish what, const char *function)
{
	ereport(LOG,
			(errmsg("pg_leader: role \"%s\" called %s()", GetUserNameFromId(GetUserId(), false), function)));
	exchange_wish(what);
}

/* Has that member said that it is a primary? */
static bool
is_primary(int32_t node_id)
{
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	bool		  found = false;
	uint32_t	  i;

	shared_read_detail(detail);
	for (i = 0; i < detail->n_peers && i < RAFT_MAX_NODES; i++)
		found |= detail->peers[i].node_id == node_id && detail->peers[i].server == RAFT_SERVER_PRIMARY;
	pfree(detail);
	return found;
}

Datum
pg_leader_reinit(PG_FUNCTION_ARGS)
{
	SharedStatus status;

	check_standby(&status, "Only a standby clones its data. Make another member the primary first.");
	if (status.paused)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no rebuild begins while the cluster is paused"),
				 errhint("Call pg_leader_resume() on the leader first.")));
	if (status.leader_id < 0 || !is_primary(status.leader_id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no primary to clone from"),
				 errhint("pg_leader_status shows who leads, pg_leader_peers what the members' servers are.")));
	wish(EXCHANGE_REINIT, "pg_leader_reinit");
	PG_RETURN_VOID();
}

Datum
pg_leader_restart(PG_FUNCTION_ARGS)
{
	SharedStatus status;

	check_standby(&status, "Make another member the primary first: this server restarts as a standby then.");
	wish(EXCHANGE_RESTART, "pg_leader_restart");
	PG_RETURN_VOID();
}
