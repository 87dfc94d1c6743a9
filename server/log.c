/*
 * server/log.c
 *	  What the worker writes to the server's log.
 *
 * One line for each change of role, of leader or of abstaining, and at most one a minute
 * for each kind of problem: what repeats with every datagram must not fill a disk.
 */
#include "postgres.h"

#include "utils/ps_status.h"

#include "node/clock.h"
#include "server/log.h"
#include "server/once_a_minute.h"
#include "server/problem.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/show.h"

/* What the log was told last. */
static RaftRole logged_role = RAFT_FOLLOWER;
static int32_t	logged_leader = RAFT_NONE;
static uint64_t logged_term = 0;

/* When each kind of problem was logged last; 0: never. */
static uint64_t transport_logged[TRANSPORT_DROPS];
static uint64_t election_logged[RAFT_OUTCOMES];
static uint64_t send_logged;
static uint64_t abstaining_logged[RAFT_REASONS];

static TransportCounters transport_seen;
static bool				 other_version[RAFT_MAX_NODES];

static bool
may_log(uint64_t *last)
{
	return once_a_minute(last, clock_now());
}

/* ---- start and settings ---- */

/*
 * Log once why this member takes no part, and again when it is another thing.
 */
void
log_not_ready(const Words *words)
{
	static char last[WORDS_SIZE];

	if (strcmp(words->error, last) == 0)
		return;
	strlcpy(last, words->error, sizeof(last));
	set_ps_display("not taking part");
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pg_leader: this server does not take part in elections: %s", words->error),
			 words->hint[0] != '\0' ? errhint("%s", words->hint) : 0));
}

void
log_start(const RaftConfig *config, const RaftSaved *saved)
{
	ereport(LOG,
			(errmsg("pg_leader: node %d of %u members started in term " UINT64_FORMAT,
					config->node_id, config->list_size, (uint64) saved->term)));
	if (saved->abstaining != RAFT_VOTING)
		ereport(WARNING,
				(errmsg("pg_leader: node %d abstains from elections: %s",
						config->node_id, raft_abstain_name(saved->abstaining)),
				 errhint("See abstain_waits_for in pg_leader_status.")));
}

void
log_timeouts(const RaftTimeouts *timeouts)
{
	ereport(LOG,
			(errmsg("pg_leader: timeouts are now " UINT64_FORMAT " to " UINT64_FORMAT
					" ms, heartbeats every " UINT64_FORMAT " ms",
					(uint64) (timeouts->min_timeout / 1000),
					(uint64) (timeouts->max_timeout / 1000),
					(uint64) (timeouts->heartbeat_interval / 1000))));
}

/*
 * Ids of keys only, never a key.
 */
void
log_keys(const SecretKeys *keys, const Cluster *cluster)
{
	if (keys->n == 2)
		ereport(LOG,
				(errmsg("pg_leader: signing datagrams with key %d, accepting keys %d and %d",
						keys->of[0].id, keys->of[0].id, keys->of[1].id)));
	else if (keys->n == 1)
		ereport(LOG,
				(errmsg("pg_leader: signing datagrams with key %d, accepting no other",
						keys->of[0].id)));
	else if (!cluster_is_local(cluster))
		ereport(WARNING,
				(errmsg("pg_leader: datagrams are not authenticated"),
				 errdetail("Whoever can send from a member's address and read its traffic can influence elections."),
				 errhint("Set pg_leader.secret_file to a file with the same key on all members; "
						 "script/make_secret.sh writes one.")));
}

/* ---- the election ---- */

void
log_sent(const RaftMessage *message)
{
	if (settings.log_messages)
		ereport(LOG,
				(errmsg("pg_leader: sent %s to node %d, term " UINT64_FORMAT ", round " UINT64_FORMAT "%s",
						message_type_name(message->type), message->to,
						(uint64) message->term, (uint64) message->round,
						message->granted ? ", granted" : "")));
}

/*
 * "follower of node 2, term 7", behind "postgres: pg_leader: "; only when it changes.
 */
static void
show_title(const Raft *raft)
{
	static char shown[96];
	char		title[96];
	char		whom[32] = "";

	if (raft->role == RAFT_FOLLOWER && raft->leader_id != RAFT_NONE)
		snprintf(whom, sizeof(whom), " of node %d", raft->leader_id);
	snprintf(title, sizeof(title), "%s%s, term " UINT64_FORMAT "%s", raft_role_name(raft->role),
			 whom, (uint64) raft->saved.term,
			 raft->saved.abstaining != RAFT_VOTING ? ", abstaining" : "");
	if (strcmp(title, shown) == 0)
		return;
	strlcpy(shown, title, sizeof(shown));
	set_ps_display(title);
}

/*
 * Is it about abstaining, which goes its own way beside role and leader?
 */
static bool
is_about_abstaining(RaftReason reason)
{
	return reason == RAFT_STARTED_ABSTAINING || reason == RAFT_HEARD_ALL ||
		   reason == RAFT_ADMITTED || reason == RAFT_STOPPED_ABSTAINING;
}

/*
 * "became leader in term 7: a majority voted for this node"
 */
static void
describe_change(const RaftEvent *event, char *text, size_t size)
{
	unsigned long long term = event->term;
	char			   reason[SHARED_REASON_SIZE];

	show_reason(event, reason, sizeof(reason));
	if (is_about_abstaining(event->reason))
		snprintf(text, size, "%s", reason);
	else if (event->role == RAFT_LEADER)
		snprintf(text, size, "became leader in term %llu: %s", term, reason);
	else if (event->role == RAFT_CANDIDATE)
		snprintf(text, size, "stands for election in term %llu: %s", term, reason);
	else if (event->role == RAFT_PRE_CANDIDATE)
		snprintf(text, size, "starts a pre-vote after term %llu: %s",
				 term, reason);
	else if (event->leader_id == RAFT_NONE)
		snprintf(text, size, "has no leader in term %llu: %s", term, reason);
	else
		snprintf(text, size, "follows node %d in term %llu: %s", event->leader_id, term, reason);
}

/* What keeps this member from voting is logged, although it changes neither role nor leader. */
static bool
is_about_data(RaftReason reason)
{
	return reason == RAFT_DATA_BEHIND || reason == RAFT_DATA_IMPOSSIBLE || reason == RAFT_LIST_LEAVES_OUT;
}

void
log_changes(const Raft *raft, const RaftOutput *output)
{
	uint32_t i;

	for (i = 0; i < output->n_events; i++)
	{
		const RaftEvent *event = &output->events[i];
		char			 change[2 * SHARED_REASON_SIZE];

		if (event->reason == RAFT_SECOND_LEADER)
			continue; /* log_dropped_by_election() has it */

		/* two servers with one node id can make these events all the time */
		if (is_about_abstaining(event->reason) && event->reason != RAFT_ADMITTED &&
			!may_log(&abstaining_logged[event->reason]))
			continue;
		if (event->role == logged_role && event->leader_id == logged_leader &&
			(event->term == logged_term || event->leader_id == RAFT_NONE) &&
			!is_about_abstaining(event->reason) && !is_about_data(event->reason) && event->reason != RAFT_STANDS_ABOVE)
			continue;
		logged_role = event->role;
		logged_leader = event->leader_id;
		logged_term = event->term;
		describe_change(event, change, sizeof(change));
		ereport(LOG,
				(errmsg("pg_leader: node %d %s", raft->config.node_id, change)));
	}
	if (output->n_events > 0)
		show_title(raft);
}

void
log_received(const RaftMessage *message)
{
	int32_t from = message->from;

	if (settings.log_messages)
		ereport(LOG,
				(errmsg("pg_leader: received %s from node %d, term " UINT64_FORMAT ", round " UINT64_FORMAT "%s",
						message_type_name(message->type), from,
						(uint64) message->term, (uint64) message->round,
						message->granted ? ", granted" : "")));
	if (from < 0 || from >= RAFT_MAX_NODES)
		return;
	other_version[from] = false;
}

/* ---- what was dropped, and what could not be sent ---- */

void
log_dropped_by_transport(const Transport *transport)
{
	const TransportCounters *counters = &transport->counters;
	int32_t					 from = transport->dropped.id;
	int						 i;

	for (i = 0; i < TRANSPORT_DROPS; i++)
	{
		if (counters->dropped[i] == transport_seen.dropped[i])
			continue;
		if (i == TRANSPORT_DROP_VERSION && from >= 0 && from < RAFT_MAX_NODES)
			other_version[from] = true;
		if (problem_in_transport(transport, (TransportDrop) i) || !may_log(&transport_logged[i]))
			continue;
		ereport(LOG,
				(errmsg("pg_leader: dropped a datagram: %s",
						transport_drop_name((TransportDrop) i)),
				 errdetail("This is logged at most once a minute; pg_leader_stat_drops counts all.")));
	}
	transport_seen = *counters;
}

void
log_dropped_by_election(const RaftMessage *message, RaftOutcome why)
{
	/* the others are everyday events: an answer that comes late and the like */
	if (why != RAFT_DROP_UNKNOWN_NODE && why != RAFT_DROP_IMPOSSIBLE && why != RAFT_DROP_TWIN &&
		why != RAFT_DROP_SECOND_LEADER)
		return;
	if (problem_in_election(message, settings.node_id, why) || !may_log(&election_logged[why]))
		return;
	ereport(LOG,
			(errmsg("pg_leader: dropped a datagram from node %d (%s): %s", message->from,
					message_type_name(message->type), raft_outcome_name(why))));
}

bool
log_other_version(int32_t node_id)
{
	return other_version[node_id];
}

/*
 * Sending fails as a rule while a peer or a network is down; once a minute is
 * enough for that too.
 */
void
log_send_errors(const Transport *transport)
{
	static uint64_t seen = 0;

	if (transport->counters.send_errors > seen && may_log(&send_logged))
	{
		errno = transport->last_send_errno;
		ereport(LOG,
				(errcode_for_socket_access(),
				 errmsg("pg_leader: could not send a datagram to node %d: %m", transport->last_send_to)));
	}
	seen = transport->counters.send_errors;
}

void
log_reset(void)
{
	memset(&transport_seen, 0, sizeof(transport_seen));
}

size_t
log_append(char *text, size_t size, size_t used, const char *format, ...)
{
	va_list args;
	int		n;

	if (used >= size)
		return used;
	va_start(args, format);
	n = vsnprintf(text + used, size - used, format, args);
	va_end(args);
	return n < 0 ? used : Min(used + (size_t) n, size - 1);
}
