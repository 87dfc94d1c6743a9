/*
 * tools/ctl_query.c
 *	  What pg_leaderctl asks a server, in SQL.
 *
 * The order of the columns is that of the enums in ctl_ask.h.  Everything has to work for a role
 * without privileges, on primaries and on standbys, managed or not: what such a role may not see is
 * NULL.
 *
 * The owner of a database who is no superuser could put a view or an operator where search_path
 * finds it first.  Hence only pg_catalog is searched, and the extension's schema is named.
 */
#include "ctl_ask.h"

#include <assert.h>
#include <stdio.h>

const char *
ctl_query_prepare(void)
{
	return "SET search_path TO pg_catalog, pg_temp;"
		   "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
		   " WHERE e.extname = 'pg_leader'";
}

/* %1$s: the schema. */
static const char own[] =
	"SELECT s.node_id, s.state, s.role, s.leader_id, s.is_leader,"
	" (extract(epoch FROM s.lease_remaining) * 1000)::int8,"
	" s.abstaining, s.abstain_reason, s.abstain_waits_for, s.refused_settings,"
	" v.\"order\", v.reason, v.reason_text, extract(epoch FROM v.since)::int8, v.node_id,"
	" CASE WHEN current_setting('pg_leader.manage')::bool THEN v.timeline"
	" WHEN pg_is_in_recovery() THEN coalesce(r.received_tli, c.timeline_id)"
	" ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int8 END,"
	" f.is_open, f.reason_text, current_setting('pg_leader.manage')::bool,"
	" current_setting('pg_leader.cluster'), current_setting('pg_leader.cluster_name'),"
	" pg_is_in_recovery(), r.pid IS NOT NULL AND coalesce(r.status, 'streaming') = 'streaming',"
	" CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() = 'paused' END,"
	" pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
	" ELSE pg_current_wal_flush_lsn() END, '0/0'),"
	" CASE WHEN pg_is_in_recovery() AND pg_last_wal_replay_lsn() < pg_last_wal_receive_lsn()"
	" THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::numeric(20, 1) END, s.paused,"
	" v.at_risk, (extract(epoch FROM v.without_primary) * 1000)::int8"
	" FROM %1$s.pg_leader_status s CROSS JOIN %1$s.pg_leader_server v CROSS JOIN %1$s.pg_leader_fence f"
	" CROSS JOIN pg_control_checkpoint() c LEFT JOIN pg_stat_wal_receiver r ON true;";

static const char peers[] =
	"SELECT node_id, resolved, (extract(epoch FROM last_heard) * 1000)::int8, reachable, problem,"
	" server, port FROM %1$s.pg_leader_peers;";

static const char senders[] =
	"SELECT substr(application_name, 11), state, sync_state, pg_wal_lsn_diff(replay_lsn, '0/0')"
	" FROM pg_stat_replication WHERE application_name ~ '^pg_leader_[0-9]+$'"
	" ORDER BY backend_start DESC;";

/* %2$ld: how many. */
static const char events[] =
	"SELECT (extract(epoch FROM at) * 1000000)::int8, number, term, role, leader_id, reason"
	" FROM %1$s.pg_leader_events ORDER BY number DESC LIMIT %2$ld;";

void
ctl_query_text(char *text, size_t size, const char *schema, long n_events)
{
	size_t length = (size_t) snprintf(text, size, own, schema);

	length += (size_t) snprintf(text + length, size - length, peers, schema);
	length += (size_t) snprintf(text + length, size - length, "%s", senders);
	if (n_events > 0)
		length += (size_t) snprintf(text + length, size - length, events, schema, n_events);
	assert(length < size);
}

int
ctl_query_columns(CtlAnswer answer)
{
	static const int columns[CTL_ANSWERS] = {
		[CTL_OWN] = OWN_COLUMNS,
		[CTL_PEERS] = PEER_COLUMNS,
		[CTL_SENDERS] = SENDER_COLUMNS,
		[CTL_EVENTS] = EVENT_COLUMNS,
	};

	return columns[answer];
}
