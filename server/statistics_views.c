/*
 * server/statistics_views.c
 *	  The SQL interface of the statistics: pg_stat_pg_leader and the views beside it.
 *
 * Backends only look; nothing here touches the election.  All of it works on a hot
 * standby, and on a member that takes no part, whose counters are zero.
 */
#include "postgres.h"

#include "utils/float.h"

#include "server/row.h"
#include "server/shared.h"

EXPORTED_FUNCTION(pg_leader_get_stats);
EXPORTED_FUNCTION(pg_leader_get_stat_peers);
EXPORTED_FUNCTION(pg_leader_get_stat_times);
EXPORTED_FUNCTION(pg_leader_get_stat_histogram);
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

/* Milliseconds of so many microseconds. */
static void
add_ms(Row *row, double us)
{
	add(row, Float8GetDatum(us / 1000.0));
}

/* The three of them are NULL for what has not happened. */
static void
add_min(Row *row, const Histogram *of)
{
	if (of->count == 0)
		add_null(row);
	else
		add_ms(row, of->min);
}

static void
add_mean(Row *row, const Histogram *of)
{
	if (of->count == 0)
		add_null(row);
	else
		add_ms(row, (double) of->sum / of->count);
}

static void
add_max(Row *row, const Histogram *of)
{
	if (of->count == 0)
		add_null(row);
	else
		add_ms(row, of->max);
}

static Statistics *
read_statistics(void)
{
	Statistics *statistics = palloc(sizeof(Statistics));

	require_library();
	shared_read_statistics(statistics);
	return statistics;
}

Datum
pg_leader_get_stats(PG_FUNCTION_ARGS)
{
	SharedDetail	   *detail = palloc(sizeof(SharedDetail));
	const RaftCounters *raft = &detail->raft;
	const Statistics   *statistics = read_statistics();
	Histogram			gaps = {0};
	uint64_t			close_heartbeats = 0;
	Row					row = {0};
	int					id;

	shared_read_detail(detail);
	for (id = 0; id < RAFT_MAX_NODES; id++)
	{
		histogram_merge(&gaps, &statistics->peers[id].heartbeat_gap);
		close_heartbeats += statistics->peers[id].close_heartbeats;
	}
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
						sum(raft->dropped, RAFT_OUTCOMES));
	add_count(&row, detail->transport.send_errors);
	add_count(&row, detail->transport.receive_errors);
	add_count(&row, detail->transport.unresolved);
	add_count(&row, statistics->save_time.count);
	add_ms(&row, statistics->save_time.sum);
	add_min(&row, &statistics->save_time);
	add_mean(&row, &statistics->save_time);
	add_max(&row, &statistics->save_time);
	add_count(&row, detail->wakeups);
	add_count(&row, statistics->late_wakeups);
	add_mean(&row, &statistics->loop_delay);
	add_max(&row, &statistics->loop_delay);
	add_mean(&row, &gaps);
	add_max(&row, &gaps);
	add_count(&row, close_heartbeats);
	if (statistics->election_time.count == 0)
		add_null(&row);
	else
		add_ms(&row, statistics->election_time_last);
	add_max(&row, &statistics->election_time);
	if (detail->stats_reset != 0)
		add(&row, TimestampTzGetDatum(detail->stats_reset));
	else
		add_null(&row);
	PG_RETURN_DATUM(return_row(fcinfo, &row));
}

Datum
pg_leader_get_stat_peers(PG_FUNCTION_ARGS)
{
	SharedDetail	 *detail = palloc(sizeof(SharedDetail));
	const Statistics *statistics = read_statistics();
	SharedStatus	  status;
	uint32_t		  i;

	InitMaterializedSRF(fcinfo, 0);
	shared_read_status(&status);
	shared_read_detail(detail);
	for (i = 0; i < detail->n_peers && i < RAFT_MAX_NODES; i++)
	{
		int32_t				  id = detail->peers[i].node_id;
		const StatisticsPeer *peer = &statistics->peers[id];
		Row					  row = {0};

		if (id == status.node_id)
			continue;
		add(&row, Int32GetDatum(id));
		add_count(&row, peer->received);
		add_count(&row, peer->sent);
		add_count(&row, peer->round_trip.count);
		add_min(&row, &peer->round_trip);
		add_mean(&row, &peer->round_trip);
		add_max(&row, &peer->round_trip);
		add_count(&row, peer->heartbeat_gap.count);
		add_mean(&row, &peer->heartbeat_gap);
		add_max(&row, &peer->heartbeat_gap);
		add_count(&row, peer->close_heartbeats);
		put_row(fcinfo, &row);
	}
	PG_RETURN_NULL();
}

/* ---- times and their histograms ---- */

/* Called with each thing that is measured; node_id RAFT_NONE: of this member. */
typedef void (*PutMeasure)(FunctionCallInfo fcinfo, const char *measure, int32_t node_id,
						   const Histogram *of);

static Datum
put_measures(FunctionCallInfo fcinfo, PutMeasure put)
{
	SharedDetail	 *detail = palloc(sizeof(SharedDetail));
	const Statistics *statistics = read_statistics();
	SharedStatus	  status;
	uint32_t		  i;

	InitMaterializedSRF(fcinfo, 0);
	shared_read_status(&status);
	shared_read_detail(detail);
	put(fcinfo, "save_time", RAFT_NONE, &statistics->save_time);
	put(fcinfo, "loop_delay", RAFT_NONE, &statistics->loop_delay);
	put(fcinfo, "pre_vote_time", RAFT_NONE, &statistics->pre_vote_time);
	put(fcinfo, "vote_time", RAFT_NONE, &statistics->vote_time);
	put(fcinfo, "announce_time", RAFT_NONE, &statistics->announce_time);
	put(fcinfo, "election_time", RAFT_NONE, &statistics->election_time);
	for (i = 0; i < detail->n_peers && i < RAFT_MAX_NODES; i++)
	{
		int32_t id = detail->peers[i].node_id;

		if (id == status.node_id)
			continue;
		put(fcinfo, "round_trip", id, &statistics->peers[id].round_trip);
		put(fcinfo, "heartbeat_gap", id, &statistics->peers[id].heartbeat_gap);
	}
	PG_RETURN_NULL();
}

static void
put_times(FunctionCallInfo fcinfo, const char *measure, int32_t node_id, const Histogram *of)
{
	Row row = {0};

	add_text(&row, measure);
	add_node(&row, node_id);
	add_count(&row, of->count);
	add_ms(&row, of->sum);
	add_min(&row, of);
	add_mean(&row, of);
	add_max(&row, of);
	put_row(fcinfo, &row);
}

static void
put_buckets(FunctionCallInfo fcinfo, const char *measure, int32_t node_id, const Histogram *of)
{
	int i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
	{
		Row row = {0};

		add_text(&row, measure);
		add_node(&row, node_id);
		add_ms(&row, histogram_lower_bound(i));
		if (histogram_upper_bound(i) == UINT64_MAX)
			add(&row, Float8GetDatum(get_float8_infinity()));
		else
			add_ms(&row, histogram_upper_bound(i));
		add_count(&row, of->buckets[i]);
		put_row(fcinfo, &row);
	}
}

Datum
pg_leader_get_stat_times(PG_FUNCTION_ARGS)
{
	return put_measures(fcinfo, put_times);
}

Datum
pg_leader_get_stat_histogram(PG_FUNCTION_ARGS)
{
	return put_measures(fcinfo, put_buckets);
}

/* ---- messages and drops ---- */

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

/*
 * What the reasons mean, in more words than their names.  A reason that is missing
 * here has NULL in the view, which a test notices.
 */
static const char *const transport_drop_meaning[TRANSPORT_DROPS] = {
	[TRANSPORT_DROP_MALFORMED] = "not a datagram of pg_leader, or corrupted in transit",
	[TRANSPORT_DROP_VERSION] = "the member uses another version of the protocol",
	[TRANSPORT_DROP_CLUSTER] = "sent with another pg_leader.cluster_name",
	[TRANSPORT_DROP_UNKNOWN_NODE] = "its sender has an id that is not in pg_leader.cluster",
	[TRANSPORT_DROP_UNRESOLVED] = "its sender's name is not resolved yet, or leads elsewhere and is looked up again",
	[TRANSPORT_DROP_SOURCE] = "came from another address or port than its sender has in pg_leader.cluster",
	[TRANSPORT_DROP_UNSIGNED] = "not signed, and this member has a pg_leader.secret_file",
	[TRANSPORT_DROP_KEY] = "signed with a key that is not in pg_leader.secret_file",
	[TRANSPORT_DROP_TAG] = "the signature is wrong: a different key with the same id, corrupted, or forged",
	[TRANSPORT_DROP_QUEUE_MEMBER] = "the queue overflowed with datagrams from a member's address: a flood, or the worker was stopped",
	[TRANSPORT_DROP_QUEUE_OTHERS] = "the queue overflowed with datagrams from other addresses: a flood",
};

static const char *const raft_drop_meaning[RAFT_OUTCOMES] = {
	[RAFT_DROP_UNKNOWN_NODE] = "names an invalid sender or receiver",
	[RAFT_DROP_IMPOSSIBLE] = "holds values that no member can have sent",
	[RAFT_DROP_ECHO] = "sent to an earlier start of this member; normal after a restart",
	[RAFT_DROP_OLD_START] = "sent by an earlier start of its sender; normal after its restart",
	[RAFT_DROP_TWIN] = "two servers run with the node id of its sender",
	[RAFT_DROP_SEEN] = "duplicated or delayed by the network, or replayed",
	[RAFT_DROP_GREETED] = "answers to greetings of each kind are limited to one per half heartbeat interval",
	[RAFT_DROP_NOT_GREETED] = "the handshake with its sender is not complete; normal for a moment",
	[RAFT_DROP_OTHER_LIST] = "its sender has a different member list",
	[RAFT_DROP_STALE] = "outdated or overtaken; normal around elections",
	[RAFT_DROP_SECOND_LEADER] = "a heartbeat of a second leader in a term; must never happen",
};

static void
put_drop(FunctionCallInfo fcinfo, const char *by, const char *reason, uint64_t count,
		 const char *meaning)
{
	Row row = {0};

	add_text(&row, by);
	add_text(&row, reason);
	add_count(&row, count);
	add_text_or_null(&row, meaning);
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
		put_drop(fcinfo,
				 why >= TRANSPORT_DROP_QUEUE_MEMBER ? "kernel" : "transport",
				 transport_drop_name((TransportDrop) why),
				 detail->transport.dropped[why], transport_drop_meaning[why]);
	for (why = RAFT_FIRST_DROP; why < RAFT_OUTCOMES; why++)
		put_drop(fcinfo, "election", raft_outcome_name((RaftOutcome) why),
				 detail->raft.dropped[why], raft_drop_meaning[why]);
	PG_RETURN_NULL();
}
