/*
 * server/report.c
 *	  What the worker tells: to backends through shared memory, and to the log.
 *
 * See report.h.  The log gets one line for each change of role, of leader or of
 * abstaining, and at most one a minute for each kind of problem: what repeats
 * with every datagram must not fill a disk.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/timestamp.h"

#include "node/clock.h"
#include "server/once_a_minute.h"
#include "server/report.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/statistics.h"
#include "server/problem.h"

/* The lease that this member shows, for the events. */
typedef struct ShownLease
{
	uint64_t term;
	uint64_t start; /* when it was first shown; 0: none is */
	uint64_t until;
} ShownLease;

static SharedStatus status;
static SharedDetail detail;
static ShownLease	lease;

static RaftTimeouts timeouts; /* that the election goes by */
static char			last_not_ready[WORDS_SIZE];

static const char *cause; /* why the host makes this member resign; or NULL */

/* What the log was told last. */
static RaftRole logged_role = RAFT_FOLLOWER;
static int32_t	logged_leader = RAFT_NONE;
static uint64_t logged_term = 0;

/* When each kind of problem was logged last; 0: never. */
static uint64_t door_logged[TRANSPORT_DROPS];
static uint64_t election_logged[RAFT_OUTCOMES];
static uint64_t send_logged;
static uint64_t second_leader_noted;
static uint64_t abstaining_logged[RAFT_REASONS];

static TransportCounters door_seen;
static bool				 other_version[RAFT_MAX_NODES];

static bool
may_log(uint64_t *last)
{
	return once_a_minute(last, clock_now());
}

/* ---- life ---- */

void
report_store(const Store *store, const char *health)
{
	shared_hold_store(store);
	strlcpy(detail.store_path, store->path, sizeof(detail.store_path));
	strlcpy(detail.store_health, health, sizeof(detail.store_health));
	detail.stats_reset = GetCurrentTimestamp();
}

/*
 * Something keeps this member out: say so once, and again when it is another
 * thing.
 */
void
report_not_ready(const Words *words)
{
	const char *why = words->error;
	const char *hint = words->hint;

	memset(&status, 0, sizeof(status));
	status.state = SHARED_NOT_TAKING_PART;
	strlcpy(status.why, why, sizeof(status.why));
	status.node_id = settings.node_id;
	status.leader_id = RAFT_NONE;
	status.voted_for = RAFT_NONE;
	strlcpy(detail.refused, refused_now(), sizeof(detail.refused));
	shared_publish_status(&status, 0);
	shared_publish_detail(&detail);

	if (strcmp(why, last_not_ready) == 0)
		return;
	strlcpy(last_not_ready, why, sizeof(last_not_ready));
	set_ps_display("not taking part");
	ereport(WARNING,
			(errmsg("pg_leader: this server does not take part in elections: %s", why),
			 hint[0] != '\0' ? errhint("%s", hint) : 0));
}

void
report_timeouts(const RaftTimeouts *new_timeouts)
{
	timeouts = *new_timeouts;
	ereport(LOG,
			(errmsg("pg_leader: timeouts are now " UINT64_FORMAT " to " UINT64_FORMAT
					" ms, heartbeats every " UINT64_FORMAT " ms",
					(uint64) (timeouts.min_timeout / 1000),
					(uint64) (timeouts.max_timeout / 1000),
					(uint64) (timeouts.heartbeat_interval / 1000))));
}

/*
 * Ids of keys only, never a key.
 */
void
report_keys(const SecretKeys *keys, const Cluster *cluster)
{
	if (keys->n == 2)
		ereport(LOG,
				(errmsg("pg_leader: signs its datagrams with key %d, and accepts keys %d and %d",
						keys->of[0].id, keys->of[0].id, keys->of[1].id)));
	else if (keys->n == 1)
		ereport(LOG,
				(errmsg("pg_leader: signs its datagrams with key %d, and accepts no other",
						keys->of[0].id)));
	else if (!cluster_is_local(cluster))
		ereport(WARNING,
				(errmsg("pg_leader: datagrams are not authenticated"),
				 errdetail("Whoever can send from a member's address and read its traffic can influence elections."),
				 errhint("Set pg_leader.secret_file to a file with the same key on all members; "
						 "script/make_secret.sh writes one.")));
}

/* ---- events ---- */

static void
add_event(RaftRole role, uint64_t term, int32_t leader_id,
		  uint64_t lease_start, uint64_t lease_end, const char *reason)
{
	JournalEvent event;

	memset(&event, 0, sizeof(event));
	event.at = GetCurrentTimestamp() + SHARED_UNIX_EPOCH;
	event.boot = status.boot;
	event.boot_time = clock_now();
	event.term = term;
	event.role = role;
	event.leader_id = leader_id;
	event.lease_start = lease_start;
	event.lease_end = lease_end;
	strlcpy(event.reason, reason, sizeof(event.reason));
	shared_add_event(&event);
}

void
report_cause(const char *new_cause)
{
	cause = new_cause;
}

/*
 * The words for what the election tells; the only place that adds to them.
 */
static void
describe(const RaftEvent *event, char *reason, size_t size)
{
	size_t used = 0;
	bool   is_silence = event->reason == RAFT_QUORUM_LOST || event->reason == RAFT_TIMED_OUT ||
					  event->reason == RAFT_LEADER_LOST;

	if (event->reason == RAFT_RESIGNED && cause != NULL)
		used = Min((size_t) snprintf(reason, size, "%s: ", cause), size - 1);
	raft_describe_event(event, reason + used, size - used);

	/* a member that stood still itself has heard nobody, and was not heard, meanwhile */
	if (is_silence && statistics_woke_late() > 0)
	{
		used = strlen(reason);
		snprintf(reason + used, size - used, "; this worker itself woke up " UINT64_FORMAT " ms late",
				 (uint64) (statistics_woke_late() / 1000));
	}
	if ((is_silence || event->reason == RAFT_NOT_ELECTED) && statistics_saved_slowly(&timeouts) > 0)
	{
		used = strlen(reason);
		snprintf(reason + used, size - used, "; saving term and vote took " UINT64_FORMAT " ms",
				 (uint64) (statistics_saved_slowly(&timeouts) / 1000));
	}
}

void
report_start(const RaftConfig *config, const Cluster *cluster, const RaftSaved *saved)
{
	char reason[SHARED_REASON_SIZE];
	int	 i;

	memset(&status, 0, sizeof(status));
	status.state = SHARED_TAKING_PART;
	status.node_id = config->node_id;
	status.n_members = config->list_size;
	status.since = GetCurrentTimestamp();
	status.boot = saved->boot;
	timeouts = config->timeouts;

	detail.n_peers = (uint32_t) cluster->n_members;
	for (i = 0; i < cluster->n_members; i++)
	{
		SharedPeer *peer = &detail.peers[i];

		peer->node_id = cluster->members[i].node_id;
		cluster_format_address(&cluster->members[i], peer->address);
	}

	add_event(RAFT_FOLLOWER, saved->term, RAFT_NONE, 0, 0, "started");
	if (saved->abstaining != RAFT_VOTING)
	{
		RaftEvent event = {.reason = RAFT_STARTED_ABSTAINING, .peer = RAFT_NONE, .value = saved->abstaining};

		describe(&event, reason, sizeof(reason));
		add_event(RAFT_FOLLOWER, saved->term, RAFT_NONE, 0, 0, reason);
	}
	ereport(LOG,
			(errmsg("pg_leader: node %d of %u members started in term " UINT64_FORMAT,
					config->node_id, config->list_size, (uint64) saved->term)));
	if (saved->abstaining != RAFT_VOTING)
		ereport(WARNING,
				(errmsg("pg_leader: node %d follows, but neither votes nor stands: %s",
						config->node_id, raft_abstain_name(saved->abstaining)),
				 errhint("pg_leader_status says in abstain_waits_for what it waits for.")));
}

void
report_end(uint64_t now)
{
	char reason[SHARED_REASON_SIZE];

	snprintf(reason, sizeof(reason), "the worker ended: %s",
			 cause != NULL ? cause : "an error, see the server's log");
	add_event(RAFT_FOLLOWER, status.term, RAFT_NONE, lease.start,
			  lease.start != 0 ? Min(lease.until, now) : 0, reason);
	lease.start = 0;
}

/*
 * Put the output's events on record, with what has become of the lease.  A lease
 * that ends or begins without an event of the election gets one of its own, so
 * that the record of leases is complete.
 */
static void
add_events(const RaftOutput *output, const ShownLease *ended, const ShownLease *begun)
{
	bool	 end_told = ended->start == 0;
	bool	 begin_told = begun->start == 0;
	uint32_t i;

	for (i = 0; i < output->n_events; i++)
	{
		const RaftEvent *event = &output->events[i];
		char			 reason[SHARED_REASON_SIZE];
		uint64_t		 start = 0;
		uint64_t		 end = 0;

		if (event->reason == RAFT_SECOND_LEADER && !may_log(&second_leader_noted))
			continue;
		if (!end_told && (event->role != RAFT_LEADER || event->term != ended->term))
		{
			start = ended->start;
			end = ended->until;
			end_told = true;
		}
		else if (!begin_told && event->role == RAFT_LEADER && event->term == begun->term)
		{
			start = begun->start;
			begin_told = true;
		}
		describe(event, reason, sizeof(reason));
		add_event(event->role, event->term, event->leader_id, start, end, reason);
	}
	if (!end_told)
		add_event(status.role, status.term, status.leader_id,
				  ended->start, ended->until, "the lease ended");
	if (!begin_told)
		add_event(status.role, status.term, status.leader_id,
				  begun->start, 0, "a majority has acknowledged: the lease begins");
}

/* ---- save, show, send ---- */

static void
fill_status(const Raft *raft)
{
	if (status.role != raft->role)
		status.since = GetCurrentTimestamp();
	status.role = raft->role;
	status.term = raft->saved.term;
	status.leader_id = raft->leader_id;
	status.voted_for = raft->saved.voted_for;
	status.quorum = raft_quorum(raft);
	status.abstaining = raft->saved.abstaining;
	status.abstain_until = raft->abstain_until;
	status.abstain_word = false;
	status.abstain_peers = 0;
	if (raft->saved.abstaining != RAFT_VOTING)
		status.abstain_word = raft_abstains_for(raft, clock_now(), &status.abstain_peers);
	status.promise_until = raft_promise_until(raft);
	status.boot = raft->saved.boot;
	status.may_lead = raft->may_lead;
	status.timeouts = timeouts;
}

/*
 * Show what is durable by now, and keep the books on leases: one begins with the
 * clock read before it is shown, and ends with the clock read after it is
 * withdrawn, or when it ran out if that was earlier.
 */
void
report_show(const Raft *raft, const RaftOutput *output)
{
	uint64_t   until = raft_lease_until(raft);
	uint64_t   before = clock_now();
	ShownLease ended = {0, 0, 0};
	ShownLease begun = {0, 0, 0};
	bool	   is_shown = until > before;

	fill_status(raft);
	shared_publish_status(&status, is_shown ? until : 0);

	if (lease.start != 0 && (raft->role != RAFT_LEADER || raft->saved.term != lease.term))
	{
		ended = lease;
		ended.until = Min(ended.until, clock_now());
		lease.start = 0;
	}
	if (is_shown)
	{
		if (lease.start == 0)
		{
			lease.term = raft->saved.term;
			lease.start = before;
			begun = lease;
		}
		lease.until = until;
	}
	else if (lease.start != 0)
		lease.until = Min(lease.until, clock_now()); /* ran out; may come back */
	add_events(output, &ended, &begun);
}

void
report_sent(const RaftMessage *message)
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
show_title(void)
{
	static char shown[96];
	char		title[96];
	char		whom[32] = "";

	if (status.role == RAFT_FOLLOWER && status.leader_id != RAFT_NONE)
		snprintf(whom, sizeof(whom), " of node %d", status.leader_id);
	snprintf(title, sizeof(title), "%s%s, term " UINT64_FORMAT "%s", raft_role_name(status.role),
			 whom, (uint64) status.term,
			 status.abstaining != RAFT_VOTING ? ", abstaining" : "");
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

	describe(event, reason, sizeof(reason));
	if (is_about_abstaining(event->reason))
		snprintf(text, size, "%s", reason);
	else if (event->role == RAFT_LEADER)
		snprintf(text, size, "became leader in term %llu: %s", term, reason);
	else if (event->role == RAFT_CANDIDATE)
		snprintf(text, size, "stands for election in term %llu: %s", term, reason);
	else if (event->role == RAFT_PRE_CANDIDATE)
		snprintf(text, size, "asks whether it could win an election after term %llu: %s",
				 term, reason);
	else if (event->leader_id == RAFT_NONE)
		snprintf(text, size, "has no leader in term %llu: %s", term, reason);
	else
		snprintf(text, size, "follows node %d in term %llu: %s", event->leader_id, term, reason);
}

void
report_log(const Raft *raft, const RaftOutput *output)
{
	uint32_t i;

	for (i = 0; i < output->n_events; i++)
	{
		const RaftEvent *event = &output->events[i];
		char			 change[2 * SHARED_REASON_SIZE];

		if (event->reason == RAFT_SECOND_LEADER)
			continue; /* report_dropped_by_election() has it */

		/* two servers with one node id can make these events all the time */
		if (is_about_abstaining(event->reason) && event->reason != RAFT_ADMITTED &&
			!may_log(&abstaining_logged[event->reason]))
			continue;
		if (event->role == logged_role && event->leader_id == logged_leader &&
			(event->term == logged_term || event->leader_id == RAFT_NONE) &&
			!is_about_abstaining(event->reason) && event->reason != RAFT_STANDS_ABOVE)
			continue;
		logged_role = event->role;
		logged_leader = event->leader_id;
		logged_term = event->term;
		describe_change(event, change, sizeof(change));
		ereport(LOG,
				(errmsg("pg_leader: node %d %s", raft->config.node_id, change)));
	}
	if (output->n_events > 0)
		show_title();
}

/* ---- everything else ---- */

void
report_received(const RaftMessage *message)
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

void
report_dropped_at_door(const Transport *transport)
{
	const TransportCounters *counters = &transport->counters;
	int32_t					 from = transport->dropped.id;
	int						 i;

	for (i = 0; i < TRANSPORT_DROPS; i++)
	{
		if (counters->dropped[i] == door_seen.dropped[i])
			continue;
		if (i == TRANSPORT_DROP_VERSION && from >= 0 && from < RAFT_MAX_NODES)
			other_version[from] = true;
		if (problem_at_door(transport, (TransportDrop) i) || !may_log(&door_logged[i]))
			continue;
		ereport(LOG,
				(errmsg("pg_leader: dropped a datagram: %s",
						transport_drop_name((TransportDrop) i)),
				 errdetail("Others for the same reason are counted in pg_leader_stat_drops and logged at most once a minute.")));
	}
	door_seen = *counters;
}

void
report_dropped_by_election(const RaftMessage *message, RaftOutcome why)
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

void
report_addresses(const Addresses *addresses)
{
	uint32_t i;

	for (i = 0; i < detail.n_peers; i++)
	{
		SharedPeer			*peer = &detail.peers[i];
		const MemberAddress *its = &addresses->of[peer->node_id];
		char				 resolved[SHARED_RESOLVED_SIZE] = "";

		if (its->known)
			address_format(&its->address, resolved, sizeof(resolved));
		if (strcmp(resolved, peer->resolved) != 0)
			problem_address_changed(peer->node_id);
		strlcpy(peer->resolved, resolved, sizeof(peer->resolved));
		problem_name(peer->node_id, peer->address, its->failure);
	}
}

/*
 * Sending fails as a rule while a peer or a network is down; once a minute is
 * enough for that too.
 */
static void
log_send_errors(const Transport *transport)
{
	static uint64_t seen = 0;

	if (transport->counters.send_errors > seen && may_log(&send_logged))
	{
		errno = transport->last_send_errno;
		ereport(LOG,
				(errcode_for_socket_access(),
				 errmsg("pg_leader: could not send a datagram: %m")));
	}
	seen = transport->counters.send_errors;
}

void
report_detail(const Raft *raft, const Transport *transport)
{
	uint32_t i;

	detail.wakeups++;
	detail.raft = raft->counters;
	detail.transport = transport->counters;
	detail.authentication = secret_key_id(transport->secret) != 0;
	strlcpy(detail.refused, refused_now(), sizeof(detail.refused));
	for (i = 0; i < detail.n_peers; i++)
	{
		SharedPeer	   *shown = &detail.peers[i];
		const RaftPeer *peer = &raft->peers[shown->node_id];

		shown->heard_at = peer->heard_at;
		shown->round_trip = peer->round_trip;
		shown->term = peer->term;
		shown->abstaining = peer->abstaining;
		shown->may_lead = peer->may_lead;
		shown->other_list = problem_other_list(raft, shown->node_id);
		shown->other_version = other_version[shown->node_id];
		if (shown->node_id == raft->config.node_id)
			shown->key_id = secret_key_id(transport->secret);
		else
			shown->key_id = transport->key_ids[shown->node_id];
		problem_describe(raft, shown->node_id, shown->problem, sizeof(shown->problem));
	}
	shared_publish_detail(&detail);
	log_send_errors(transport);
}

void
report_reset(void)
{
	memset(&door_seen, 0, sizeof(door_seen));
	detail.wakeups = 0;
	statistics_reset();
	detail.stats_reset = GetCurrentTimestamp();
}
