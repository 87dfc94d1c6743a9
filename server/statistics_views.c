/*
 * server/statistics_views.c
 *	  The SQL interface of the statistics: pg_stat_pg_leader and the views beside it.
 *
 * Backends only look; nothing here touches the election.  All of it works on a hot
 * standby, and on a member that takes no part, whose counters are zero.
 */
#include "postgres.h"

#include "server/row.h"
#include "server/shared.h"

EXPORTED_FUNCTION(pg_leader_get_stats);
EXPORTED_FUNCTION(pg_leader_get_stat_messages);
EXPORTED_FUNCTION(pg_leader_get_stat_drops);

static uint64_t
sum(const uint64_t *counts, int n)
{
	uint64_t total = 0;
	int		 i;

	for (i = 0; i < n; i++)
		total += counts[i];
	return total;
}

Datum
pg_leader_get_stats(PG_FUNCTION_ARGS)
{
	SharedDetail	   *detail = palloc(sizeof(SharedDetail));
	const RaftCounters *raft = &detail->raft;
	Row					row = {0};

	require_library();
	shared_read_detail(detail);
	add_count(&row, raft->pre_votes_started);
	add_count(&row, raft->elections_started);
	add_count(&row, raft->elections_won);
	add_count(&row, raft->elections_lost);
	add_count(&row, raft->votes_given);
	add_count(&row, raft->votes_refused);
	add_count(&row, raft->pre_votes_given);
	add_count(&row, raft->pre_votes_refused);
	add_count(&row, raft->transfers);
	add_count(&row, raft->quorum_losses);
	add_count(&row, detail->transport.received);
	add_count(&row, detail->transport.sent);
	add_count(&row, sum(detail->transport.dropped, TRANSPORT_DROPS) +
						sum(raft->dropped, RAFT_DROPS));
	add_count(&row, detail->transport.send_errors);
	add_count(&row, detail->transport.receive_errors);
	add_count(&row, detail->transport.unresolved);
	add_count(&row, detail->saves);
	add(&row, Float8GetDatum(detail->save_time / 1000.0));
	add(&row, Float8GetDatum(detail->save_time_max / 1000.0));
	add_count(&row, detail->wakeups);
	if (detail->stats_reset != 0)
		add(&row, TimestampTzGetDatum(detail->stats_reset));
	else
		add_null(&row);
	PG_RETURN_DATUM(return_row(fcinfo, &row));
}

Datum
pg_leader_get_stat_messages(PG_FUNCTION_ARGS)
{
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	int			  type;

	require_library();
	InitMaterializedSRF(fcinfo, 0);
	shared_read_detail(detail);
	for (type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
	{
		Row row = {0};

		add_text(&row, message_type_name((RaftMessageType) type));
		add_count(&row, detail->raft.received[type]);
		add_count(&row, detail->raft.sent[type]);
		put_row(fcinfo, &row);
	}
	PG_RETURN_NULL();
}

static void
put_drop(FunctionCallInfo fcinfo, const char *by, const char *reason, uint64_t count)
{
	Row row = {0};

	add_text(&row, by);
	add_text(&row, reason);
	add_count(&row, count);
	put_row(fcinfo, &row);
}

Datum
pg_leader_get_stat_drops(PG_FUNCTION_ARGS)
{
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	int			  why;

	require_library();
	InitMaterializedSRF(fcinfo, 0);
	shared_read_detail(detail);
	for (why = 0; why < TRANSPORT_DROPS; why++)
		put_drop(fcinfo, "transport", transport_drop_name((TransportDrop) why),
				 detail->transport.dropped[why]);
	for (why = 0; why < RAFT_DROPS; why++)
		put_drop(fcinfo, "election", raft_drop_name((RaftDrop) why),
				 detail->raft.dropped[why]);
	PG_RETURN_NULL();
}
