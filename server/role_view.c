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

/* A primary that was known so lately is known, us: longer than a turn of the role worker. */
#define WITHOUT_PRIMARY UINT64CONST(1000000)

static const char *
server_name(RaftServer server)
{
	return server == RAFT_SERVER_PRIMARY ? "primary" : "standby";
}

/*
 * pg_leader_get_server(OUT server, OUT timeline, OUT wal_end, OUT is_open, OUT order_name, OUT
 * reason, OUT reason_text, OUT node_id, OUT since, OUT at_risk, OUT without_primary, OUT lag, OUT
 * rewinds, OUT clones): NULLs without managed mode.
 */
Datum
pg_leader_get_server(PG_FUNCTION_ARGS)
{
	ExchangeShown shown;
	Row			  row = {0};
	uint64_t	  now;
	int			  i;

	require_library();
	if (!exchange_read_shown(&shown) || shown.server == RAFT_SERVER_NONE)
	{
		for (i = 0; i < 14; i++)
			add_null(&row);
		return return_row(fcinfo, &row);
	}
	now = clock_now();
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
	add_age(&row, shown.since, now);
	add_text_or_null(&row, shown.at_risk);
	add_age(&row, now - shown.primary_at >= WITHOUT_PRIMARY ? shown.primary_at : 0, now);
	if (shown.lag_known)
		add_count(&row, shown.lag);
	else
		add_null(&row);
	add_count(&row, shown.rewinds);
	add_count(&row, shown.clones);
	return return_row(fcinfo, &row);
}
