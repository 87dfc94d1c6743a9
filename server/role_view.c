/*
 * server/role_view.c
 *	  The SQL function behind pg_leader_server: what the role worker has this server be.
 */
#include "postgres.h"

#include "utils/pg_lsn.h"

#include "node/clock.h"
#include "server/exchange.h"
#include "server/row.h"

EXPORTED_FUNCTION(pg_leader_get_server);

static const char *
server_name(RaftServer server)
{
	return server == RAFT_SERVER_PRIMARY ? "primary" : "standby";
}

/*
 * pg_leader_get_server(OUT server, OUT timeline, OUT wal_end, OUT is_open, OUT order_name, OUT
 * reason, OUT reason_text, OUT node_id, OUT since): NULLs without managed mode.
 */
Datum
pg_leader_get_server(PG_FUNCTION_ARGS)
{
	ExchangeShown shown;
	Row			  row = {0};
	int			  i;

	require_library();
	if (!exchange_read_shown(&shown) || shown.server == RAFT_SERVER_NONE)
	{
		for (i = 0; i < 9; i++)
			add_null(&row);
		return return_row(fcinfo, &row);
	}
	add_text(&row, server_name(shown.server));
	if (shown.end_known)
	{
		add_count(&row, shown.timeline);
		add(&row, LSNGetDatum(shown.end));
	}
	else
	{
		add_null(&row);
		add_null(&row);
	}
	add(&row, BoolGetDatum(shown.open));
	add_text(&row, primary_action_name(shown.action));
	add_text(&row, primary_reason_name(shown.reason));
	add_text(&row, shown.why);
	add_node(&row, shown.node);
	add_age(&row, shown.since, clock_now());
	return return_row(fcinfo, &row);
}
