/*
 * server/status.c
 *	  The SQL interface: functions over what shared.h shows.
 *
 * Backends only look, and hand requests to the worker; nothing here touches the
 * election.  All of it works on a hot standby.  A member that takes no part has
 * no term and no leader: functions that show them answer NULL, those that change
 * something raise an error, and pg_leader_status says why.  On a server that
 * did not preload the library every function raises an error that says what to do.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "node/clock.h"
#include "server/library.h"
#include "server/row.h"
#include "server/shared.h"
#include "server/status.h"

EXPORTED_FUNCTION(pg_leader_node_id);
EXPORTED_FUNCTION(pg_leader_term);
EXPORTED_FUNCTION(pg_leader_leader_id);
EXPORTED_FUNCTION(pg_leader_is_leader);
EXPORTED_FUNCTION(pg_leader_lease);
EXPORTED_FUNCTION(pg_leader_get_status);
EXPORTED_FUNCTION(pg_leader_get_peers);
EXPORTED_FUNCTION(pg_leader_get_events);
EXPORTED_FUNCTION(get_node_info);

/* ---- helpers ---- */

/* The status, if this member takes part. */
bool
status_read(SharedStatus *status)
{
	require_library();
	shared_read_status(status);
	return status->state == SHARED_TAKING_PART;
}

/* ---- who leads ---- */

Datum
pg_leader_node_id(PG_FUNCTION_ARGS)
{
	SharedStatus status;

	(void) status_read(&status);
	if (status.node_id < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(status.node_id);
}

Datum
pg_leader_term(PG_FUNCTION_ARGS)
{
	SharedStatus status;

	if (!status_read(&status))
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) status.term);
}

Datum
pg_leader_leader_id(PG_FUNCTION_ARGS)
{
	SharedStatus status;

	if (!status_read(&status) || status.leader_id < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(status.leader_id);
}

Datum
pg_leader_is_leader(PG_FUNCTION_ARGS)
{
	uint64_t term;
	uint64_t now;

	require_library();
	PG_RETURN_BOOL(shared_lease(&term, &now) != 0);
}

Datum
pg_leader_lease(PG_FUNCTION_ARGS)
{
	Row		 row = {0};
	uint64_t term;
	uint64_t now;
	uint64_t until;

	require_library();
	until = shared_lease(&term, &now);
	if (until == 0)
	{
		add_null(&row);
		add_null(&row);
	}
	else
	{
		add_count(&row, term);
		add(&row, interval_datum((int64) (until - now)));
	}
	PG_RETURN_DATUM(return_row(fcinfo, &row));
}

Datum
get_node_info(PG_FUNCTION_ARGS)
{
	SharedStatus status;
	char		 leader[32] = "no leader known";
	char		*text;

	if (!status_read(&status))
	{
		if (status.node_id < 0)
			PG_RETURN_TEXT_P(cstring_to_text("node id not set: not taking part"));
		text = psprintf("node %d: not taking part", status.node_id);
		PG_RETURN_TEXT_P(cstring_to_text(text));
	}
	if (status.leader_id >= 0)
		snprintf(leader, sizeof(leader), "leader %d", status.leader_id);
	text = psprintf("node %d: %s, term " UINT64_FORMAT ", %s", status.node_id,
					raft_role_name(status.role), (uint64) status.term, leader);
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* ---- views ---- */

/* Where files are is shown to those who may see data_directory. */
static bool
may_see_paths(void)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_SETTINGS);
}

/*
 * Why the member takes no part, as far as the caller may know.  All paths in there
 * are absolute: without a slash there is none.
 */
const char *
status_reason(const SharedStatus *status)
{
	if (may_see_paths() || strchr(status->why, '/') == NULL)
		return status->why;
	return "the reason names a file, and is shown to superusers and members of pg_read_all_settings";
}

static void
add_state(Row *row, const SharedStatus *status)
{
	switch (status->state)
	{
		case SHARED_TAKING_PART:
			add_text(row, "taking part");
			return;
		case SHARED_NOT_TAKING_PART:
			add_text(row, psprintf("not taking part: %s", status_reason(status)));
			return;
		case SHARED_STARTING:
			add_text(row, "starting");
			return;
		case SHARED_NOT_RUNNING:
			break;
	}
	add_text(row, "worker is not running");
}

const char *
status_address(const SharedDetail *detail, int32_t node_id)
{
	uint32_t i;

	for (i = 0; i < detail->n_peers && i < RAFT_MAX_NODES; i++)
	{
		if (detail->peers[i].node_id == node_id)
			return detail->peers[i].address;
	}
	return NULL;
}

/* "the answers of nodes 1, 2" or "pg_leader_admit()", or both, or the time. */
static void
add_abstain_waits_for(Row *row, const SharedStatus *status, uint64_t now)
{
	StringInfoData text;
	bool		   is_first = true;
	int			   id;

	initStringInfo(&text);
	if (status->abstain_word)
		appendStringInfoString(&text, "pg_leader_admit()");
	for (id = 0; id < RAFT_MAX_NODES; id++)
	{
		if (!(status->abstain_peers >> id & 1))
			continue;
		if (is_first)
			appendStringInfo(&text, "%sthe answers, with the same member list, of nodes %d",
							 status->abstain_word ? " and " : "", id);
		else
			appendStringInfo(&text, ", %d", id);
		is_first = false;
	}
	if (text.len == 0)
		appendStringInfo(&text, "%d ms to pass",
						 status->abstain_until > now ? (int) ((status->abstain_until - now) / 1000) : 0);
	add_text(row, text.data);
}

/* The columns that only a member that takes part has: role ... since. */
static void
add_membership(Row *row, const SharedStatus *status, const SharedDetail *detail,
			   bool has_lease, uint64_t lease_until, uint64_t now)
{
	bool abstains = status->abstaining != RAFT_VOTING;

	add_text(row, raft_role_name(status->role));
	add_count(row, status->term);
	add_node(row, status->leader_id);
	add_text_or_null(row, status_address(detail, status->leader_id));
	add_node(row, status->voted_for);
	add(row, Int32GetDatum((int32) status->n_members));
	add(row, Int32GetDatum((int32) status->quorum));
	add(row, BoolGetDatum(has_lease));
	add_remaining(row, lease_until, now);
	add(row, BoolGetDatum(status->may_lead));
	add(row, BoolGetDatum(abstains));
	add_text_or_null(row, abstains ? raft_abstain_name(status->abstaining) : NULL);
	if (abstains)
		add_abstain_waits_for(row, status, now);
	else
		add_null(row);
	add_remaining(row, status->promise_until, now);
	add(row, interval_datum((int64) status->timeouts.min_timeout));
	add(row, interval_datum((int64) status->timeouts.max_timeout));
	add(row, interval_datum((int64) status->timeouts.heartbeat_interval));
	add(row, TimestampTzGetDatum(status->since));
}

/* The same columns of a member that takes no part. */
static void
add_no_membership(Row *row)
{
	const int columns = 18;
	const int is_leader = 7;
	int		  i;

	for (i = 0; i < columns; i++)
	{
		if (i == is_leader)
			add(row, BoolGetDatum(false));
		else
			add_null(row);
	}
}

Datum
pg_leader_get_status(PG_FUNCTION_ARGS)
{
	SharedStatus  status;
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	Row			  row = {0};
	uint64_t	  lease_until;
	uint64_t	  now;
	bool		  takes_part;
	char		  health[SHARED_HEALTH_SIZE];
	char		  refused[REFUSED_SIZE + 32];

	require_library();
	shared_read_detail(detail);
	lease_until = shared_read_status_and_lease(&status, &now);
	takes_part = status.state == SHARED_TAKING_PART;

	add_state(&row, &status);
	add_node(&row, status.node_id);
	if (takes_part)
		add_membership(&row, &status, detail, lease_until != 0, lease_until, now);
	else
		add_no_membership(&row);

	add_text_or_null(&row, may_see_paths() ? detail->store_path : NULL);
	shared_read_health(detail, health);
	add_text_or_null(&row, health);
	add(&row, BoolGetDatum(takes_part && detail->authentication));
	if (takes_part)
		add_count(&row, status.boot);
	else
		add_null(&row);
	strlcpy(refused, detail->refused, sizeof(refused));
	if (!library_has_all_workers())
		snprintf(refused + strlen(refused), sizeof(refused) - strlen(refused), "%smax_worker_processes",
				 refused[0] != '\0' ? ", " : "");
	add_text_or_null(&row, refused);
	if (takes_part)
		add(&row, BoolGetDatum(status.paused));
	else
		add_null(&row);
	PG_RETURN_DATUM(return_row(fcinfo, &row));
}

static bool
is_reachable(const SharedPeer *peer, const SharedStatus *status, uint64_t now)
{
	uint64_t limit = shared_reachable_for(&status->timeouts);

	return peer->heard_at != 0 && (now <= peer->heard_at || now - peer->heard_at <= limit);
}

static void
add_key(Row *row, uint8_t key_id)
{
	if (key_id == 0)
		add_null(row);
	else
		add(row, Int32GetDatum(key_id));
}

/* What it says of its PostgreSQL: what that is, and its port. */
static void
add_server(Row *row, const SharedPeer *peer)
{
	static const char *const names[RAFT_SERVERS] = {
		[RAFT_SERVER_NONE] = "none",
		[RAFT_SERVER_RECOVERY] = "standby",
		[RAFT_SERVER_PRIMARY] = "primary",
	};

	if (!peer->managed || peer->server >= RAFT_SERVERS)
		add_null(row);
	else
		add_text(row, peer->rebuilding && peer->server == RAFT_SERVER_NONE ? "rebuilding" : names[peer->server]);
	if (peer->port != 0)
		add(row, Int32GetDatum(peer->port));
	else
		add_null(row);
}

static void
add_peer(Row *row, const SharedPeer *peer, const SharedStatus *status, uint64_t now)
{
	bool is_self = peer->node_id == status->node_id;
	bool is_heard = peer->heard_at != 0;

	add(row, Int32GetDatum(peer->node_id));
	add_text(row, peer->address);
	add_text_or_null(row, peer->resolved);
	add(row, BoolGetDatum(is_self));
	add(row, BoolGetDatum(peer->node_id == status->leader_id));
	if (is_self)
	{
		add_null(row); /* last_heard */
		add_null(row); /* round_trip */
		add_count(row, status->term);
		add(row, BoolGetDatum(true));
		add(row, BoolGetDatum(status->abstaining != RAFT_VOTING));
		add(row, BoolGetDatum(status->may_lead && status->abstaining == RAFT_VOTING));
		add(row, BoolGetDatum(true));
		add(row, BoolGetDatum(false));
		add_key(row, peer->key_id);
		add_text_or_null(row, peer->problem);
		add_server(row, peer);
		return;
	}
	add_age(row, peer->heard_at, now);
	add_age(row, peer->round_trip != 0 ? now - peer->round_trip : 0, now);
	if (is_heard)
		add_count(row, peer->term);
	else
		add_null(row);
	add(row, BoolGetDatum(is_reachable(peer, status, now)));
	if (is_heard)
	{
		add(row, BoolGetDatum(peer->abstaining));
		add(row, BoolGetDatum(peer->may_lead));
		add(row, BoolGetDatum(!peer->other_list));
	}
	else
	{
		add_null(row);
		add_null(row);
		add_null(row);
	}
	add(row, BoolGetDatum(peer->other_version));
	add_key(row, peer->key_id);
	add_text_or_null(row, peer->problem);
	add_server(row, peer);
}

Datum
pg_leader_get_peers(PG_FUNCTION_ARGS)
{
	SharedStatus  status;
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	bool		  takes_part = status_read(&status);
	uint64_t	  now;
	uint32_t	  i;

	InitMaterializedSRF(fcinfo, 0);
	if (!takes_part)
		PG_RETURN_NULL();
	shared_read_detail(detail);
	now = clock_now();
	for (i = 0; i < detail->n_peers && i < RAFT_MAX_NODES; i++)
	{
		Row row = {0};

		add_peer(&row, &detail->peers[i], &status, now);
		put_row(fcinfo, &row);
	}
	PG_RETURN_NULL();
}

/*
 * Has the machine started anew since, or is that not known?  Then moments of the
 * election's clock mean nothing.
 */
static bool
has_other_clock(const SharedEvents *events, const JournalEvent *event)
{
	static const uint8_t unknown[JOURNAL_BOOT_ID];

	return memcmp(event->boot_id, events->boot_id, JOURNAL_BOOT_ID) != 0 ||
		   memcmp(event->boot_id, unknown, JOURNAL_BOOT_ID) == 0;
}

Datum
pg_leader_get_events(PG_FUNCTION_ARGS)
{
	SharedEvents *events;
	uint64_t	  number;
	uint64_t	  now = clock_now();
	TimestampTz	  wall = GetCurrentTimestamp();

	require_library();
	InitMaterializedSRF(fcinfo, 0);
	events = palloc(sizeof(SharedEvents));
	shared_read_events(events);

	number = events->n_written > SHARED_EVENTS ? events->n_written - SHARED_EVENTS : 0;
	for (; number < events->n_written; number++)
	{
		const JournalEvent *event = &events->of[number % SHARED_EVENTS];
		bool				other_clock = has_other_clock(events, event);
		TimestampTz			at = event->at - SHARED_UNIX_EPOCH;
		Row					row = {0};
		int64				ago;

		/* journal_decode() lets nothing through that a timestamptz could not hold */
		StaticAssertStmt(PG_INT64_MAX - SHARED_UNIX_EPOCH < END_TIMESTAMP &&
							 -SHARED_UNIX_EPOCH >= MIN_TIMESTAMP,
						 "every wall clock of a journal is a timestamptz");

		if (event->number != number + 1)
			continue; /* lost with a damaged journal */

		/* the election's clock does not jump, but begins anew with the machine */
		ago = other_clock ? wall - at : (int64) (now - event->boot_time);
		add_count(&row, event->number);
		add(&row, TimestampTzGetDatum(at));
		add(&row, interval_datum(Max(ago, 0)));
		add_count(&row, event->boot);
		add_moment(&row, other_clock ? 0 : event->boot_time);
		add_count(&row, event->term);
		add_text(&row, raft_role_name(event->role));
		add_node(&row, event->leader_id);
		add_moment(&row, other_clock ? 0 : event->lease_start);
		add_moment(&row, other_clock ? 0 : event->lease_end);
		add_text(&row, event->reason);
		put_row(fcinfo, &row);
	}
	pfree(events);
	PG_RETURN_NULL();
}
