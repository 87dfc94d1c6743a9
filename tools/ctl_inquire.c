/*
 * tools/ctl_inquire.c
 *	  What a member has to say for "pg_leaderctl adopt".
 *
 * See ctl_inquire.h.  What the role that asks may not see is left out of the values.  As in
 * ctl_query.c, only pg_catalog is searched, and the extension's schema is named.
 */
#include "ctl_inquire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "ctl_session.h"

#define QUERY_SIZE 4096

static const char values_query[] =
	"SET search_path TO pg_catalog, pg_temp;"
	"SELECT name, setting FROM pg_settings WHERE name IN ('server_version_num', 'port',"
	" 'data_directory', 'config_file', 'hot_standby', 'wal_level', 'fsync', 'full_page_writes',"
	" 'wal_log_hints', 'data_checksums', 'max_wal_senders', 'max_worker_processes',"
	" 'restore_command', 'recovery_min_apply_delay', 'recovery_target_timeline',"
	" 'synchronous_standby_names', 'pg_leader.state_directory', 'pg_leader.replication_conninfo')"
	" UNION ALL SELECT 'names_source', source FROM pg_settings WHERE name = 'synchronous_standby_names'"
	" UNION ALL SELECT 'recovery_target', string_agg(name, ', ') FROM pg_settings WHERE setting <> ''"
	" AND name IN ('recovery_target', 'recovery_target_lsn', 'recovery_target_name', 'recovery_target_time',"
	" 'recovery_target_xid')"
	" UNION ALL SELECT 'below_data', string_agg(DISTINCT s.sourcefile, ', ') FROM pg_settings s, pg_settings d"
	" WHERE d.name = 'data_directory' AND starts_with(s.sourcefile, d.setting || '/')"
	" AND strpos(substr(s.sourcefile, length(d.setting) + 2), '/') > 0"
	" UNION ALL SELECT 'system', system_identifier::text FROM pg_control_system()"
	" UNION ALL SELECT 'received', pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()"
	" ELSE pg_current_wal_flush_lsn() END, '0/0')::text"
	" UNION ALL SELECT 'source', sender_host || ':' || sender_port FROM pg_stat_wal_receiver WHERE status = 'streaming'"
	" UNION ALL SELECT 'senders', CASE WHEN count(*) = count(state)"
	" THEN count(*) FILTER (WHERE state = 'streaming') END::text FROM pg_stat_replication";

/* $1: the role */
static const char role_query[] =
	"SELECT CASE WHEN NOT rolcanlogin THEN 'may not log in'"
	" WHEN NOT (rolreplication OR rolsuper) THEN 'has no REPLICATION' ELSE 'good' END,"
	" has_function_privilege(rolname, 'pg_read_binary_file(text, bigint, bigint, boolean)', 'EXECUTE')"
	" AND has_function_privilege(rolname, 'pg_ls_dir(text, boolean, boolean)', 'EXECUTE')"
	" FROM pg_roles WHERE rolname = $1";

/* $1: the role; %s: the schema.  Lines count in their order, and the first that fits decides. */
static const char rules_query[] =
	"WITH line AS (SELECT *, row_number() OVER () AS number FROM pg_hba_file_rules),"
	" peer AS (SELECT node_id, regexp_replace(address, '^\\[?([^]]*)\\]?:\\d+$', '\\1') AS host,"
	" regexp_replace(resolved, '^\\[?([^]]*)\\]?:\\d+$', '\\1')::inet AS ip FROM %s.pg_leader_peers"
	" WHERE node_id <> current_setting('pg_leader.node_id')::int4)"
	" SELECT p.node_id, coalesce(host(p.ip), p.host), d.name,"
	" (SELECT l.auth_method FROM line l WHERE l.error IS NULL AND l.type LIKE 'host%%'"
	" AND (d.name = ANY (l.database) OR (d.name <> 'replication' AND 'all' = ANY (l.database)))"
	" AND EXISTS (SELECT 1 FROM unnest(l.user_name) u WHERE u IN ('all', $1) OR (u LIKE '+%%'"
	" AND EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = substr(u, 2) AND pg_has_role($1, r.oid, 'MEMBER'))))"
	" AND CASE WHEN l.address IN ('all', 'samenet') OR l.address = p.host THEN true"
	" WHEN l.netmask IS NULL OR p.ip IS NULL THEN false"
	" WHEN family(l.address::inet) <> family(p.ip) THEN false"
	" ELSE (host(p.ip)::inet & l.netmask::inet) = (host(l.address::inet)::inet & l.netmask::inet) END"
	" ORDER BY l.number LIMIT 1)"
	" FROM peer p CROSS JOIN (VALUES ('replication'), ('postgres')) d(name) ORDER BY 1, 3 DESC";

/* The rows of the answer to what was sent; NULL: error says why. */
static PGresult *
take_rows(PGconn *connection, bool is_sent, uint64_t timeout, char *error)
{
	PGresult *rows;
	Words	  words;

	(void) ctl_session_rows(connection, is_sent, timeout, &rows, &words);
	(void) snprintf(error, CTL_ERROR_SIZE, "%.*s", CTL_ERROR_SIZE - 1, words.error);
	return rows;
}

const char *
ctl_inquired(const CtlInquiry *inquiry, const char *name)
{
	for (int row = 0; inquiry->values != NULL && row < PQntuples(inquiry->values); row++)
	{
		if (strcmp(PQgetvalue(inquiry->values, row, 0), name) == 0)
			return PQgetisnull(inquiry->values, row, 1) ? NULL : PQgetvalue(inquiry->values, row, 1);
	}
	return NULL;
}

static void
take_user(CtlInquiry *inquiry)
{
	const char		 *conninfo = ctl_inquired(inquiry, "pg_leader.replication_conninfo");
	PQconninfoOption *options = conninfo != NULL ? PQconninfoParse(conninfo, NULL) : NULL;

	for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, "user") == 0 && option->val != NULL)
			(void) snprintf(inquiry->user, sizeof(inquiry->user), "%s", option->val);
	}
	PQconninfoFree(options);
}

static void
ask_for_rules(CtlInquiry *inquiry, PGconn *connection, uint64_t timeout)
{
	const char *const role[] = {inquiry->user};
	char			  query[QUERY_SIZE];
	int				  length = snprintf(query, sizeof(query), rules_query, inquiry->server->schema);
	int				  sent;

	assert(length > 0 && (size_t) length < sizeof(query));
	sent = PQsendQueryParams(connection, role_query, 1, NULL, role, NULL, NULL, 0);
	inquiry->role = take_rows(connection, sent == 1, timeout, inquiry->error);
	if (inquiry->role == NULL)
		return;
	sent = PQsendQueryParams(connection, query, 1, NULL, role, NULL, NULL, 0);
	inquiry->rules = take_rows(connection, sent == 1, timeout, inquiry->rules_error);
}

void
ctl_inquire(CtlInquiry *inquiry, const CtlServer *server, uint64_t timeout)
{
	PGconn *connection = ctl_options_connect(&server->at);

	PQclear(inquiry->values);
	PQclear(inquiry->role);
	PQclear(inquiry->rules);
	*inquiry = (CtlInquiry){.server = server};
	if (!ctl_session_connect(connection, timeout))
		(void) snprintf(inquiry->error, sizeof(inquiry->error), "no connection a moment after it had answered");
	else
		inquiry->values = take_rows(connection, PQsendQuery(connection, values_query) == 1, timeout, inquiry->error);
	take_user(inquiry);
	if (inquiry->error[0] == '\0' && inquiry->user[0] != '\0')
		ask_for_rules(inquiry, connection, timeout);
	PQfinish(connection);
}
