/*
 * server/fence_view.c
 *	  The fence in words: is it open, and if not, why, and whom to connect to instead; and the SQL
 *	  function behind pg_leader_fence.
 *
 * See fence.h.  Reads, and decides nothing.
 */
#include "postgres.h"

#include "access/xlog.h"

#include "node/clock.h"
#include "server/exchange.h"
#include "server/fence.h"
#include "server/row.h"
#include "server/settings.h"
#include "server/shared.h"

EXPORTED_FUNCTION(pg_leader_get_fence);

static FenceReason
find_reason(const SharedStatus *status, const ExchangeShown *shown)
{
	FenceState state;
	FenceShown fence;
	uint64_t   term;
	uint64_t   now;
	uint64_t   lease_until = shared_lease(&term, &now);

	fence_read_shown(&fence);
	state = (FenceState){
		.takes_part = status->state == SHARED_TAKING_PART,
		.has_role_worker = shown->server != RAFT_SERVER_NONE,
		.refuses = shown->refusal[0] != '\0',
		.in_recovery = RecoveryInProgress(),
		.drains = fence.drains,
		.self = settings.node_id,
		.leader_id = status->leader_id,
		.open_term = fence.open_term,
		.term = term,
		.lease_until = lease_until,
		.now = now};
	return fence_reason(&state);
}

const char *
fence_describe(FenceReason *its, char text[FENCE_TEXT_SIZE])
{
	SharedStatus  status;
	ExchangeShown shown;
	FenceReason	  reason = FENCE_NO_MEMBER;

	if (!exchange_read_shown(&shown))
		shown = (ExchangeShown){.server = RAFT_SERVER_NONE};
	if (shared_peek_status(&status))
		reason = find_reason(&status, &shown);
	else
		status = (SharedStatus){.leader_id = RAFT_NONE};
	if (its != NULL)
		*its = reason;
	switch (reason)
	{
		case FENCE_OPEN:
			text[0] = '\0';
			break;
		case FENCE_NO_MEMBER:
			/* this is for everyone, and where files are is not: see status_reason() */
			snprintf(text, FENCE_TEXT_SIZE, "this server takes no part in the election%s%s",
					 status.why[0] != '\0' ? ": " : "",
					 strchr(status.why, '/') != NULL ? "the reason names a file, and is in the log" : status.why);
			break;
		case FENCE_NO_ROLE:
			snprintf(text, FENCE_TEXT_SIZE, "its role worker is not running");
			break;
		case FENCE_REFUSED:
			snprintf(text, FENCE_TEXT_SIZE, "%s", shown.refusal);
			break;
		case FENCE_STANDBY:
		case FENCE_OTHER_LEADS:
			snprintf(text, FENCE_TEXT_SIZE, "node %d leads", status.leader_id);
			break;
		case FENCE_NO_LEADER:
			snprintf(text, FENCE_TEXT_SIZE, "no leader is known");
			break;
		case FENCE_NO_LEASE:
			snprintf(text, FENCE_TEXT_SIZE, "its lease has run out: it does not hear from enough members");
			break;
		case FENCE_DRAINS:
			snprintf(text, FENCE_TEXT_SIZE, "the leadership is being handed over");
			break;
		case FENCE_NOT_OPENED:
			snprintf(text, FENCE_TEXT_SIZE, "it leads and is not open yet: %s", shown.why);
			break;
	}
	return text;
}

const char *
fence_describe_leader(char text[FENCE_TEXT_SIZE])
{
	Raft	*raft = palloc(sizeof(Raft));
	char	 host[CLUSTER_HOST_SIZE];
	bool	 is_known = false;
	uint16_t port = 0;

	if (exchange_read_core(raft) && raft->leader_id >= 0 && raft->leader_id != raft->config.node_id)
	{
		is_known = shared_member_host(raft->leader_id, host);
		port = raft->peers[raft->leader_id].told.port;
	}
	text[0] = '\0';
	if (is_known && port != 0)
		snprintf(text, FENCE_TEXT_SIZE, "Connect to the leader: node %d, host %s, port %u.", raft->leader_id, host, port);
	else if (is_known)
		snprintf(text, FENCE_TEXT_SIZE, "Connect to the leader: node %d, host %s.", raft->leader_id, host);
	pfree(raft);
	return text;
}

/*
 * pg_leader_get_fence(OUT is_open, OUT reason, OUT reason_text, OUT since, OUT term, OUT waiting,
 * OUT waited, OUT withheld, OUT commits_refused, OUT commands_refused, OUT reads_refused, OUT
 * logins_refused): NULLs without managed mode.
 */
Datum
pg_leader_get_fence(PG_FUNCTION_ARGS)
{
	FenceShown	shown;
	FenceReason reason;
	char		text[FENCE_TEXT_SIZE];
	Row			row = {0};
	int			i;

	require_library();
	if (!settings.manage)
	{
		for (i = 0; i < 6 + FENCE_COUNTS; i++)
			add_null(&row);
		return return_row(fcinfo, &row);
	}
	fence_read_shown(&shown);
	(void) fence_describe(&reason, text);
	add(&row, BoolGetDatum(reason == FENCE_OPEN));
	add_text(&row, fence_reason_name(reason));
	add_text_or_null(&row, text);
	add_age(&row, shown.changed_at, clock_now());
	if (shown.open_term != 0)
		add_count(&row, shown.open_term);
	else
		add_null(&row);
	add(&row, Int32GetDatum((int32) shown.waiting));
	for (i = 0; i < FENCE_COUNTS; i++)
		add_count(&row, fence_counted((FenceCount) i));
	return return_row(fcinfo, &row);
}
