/*
 * server/show.c
 *	  What the worker shows to backends through shared memory, events among it.
 *
 * See show.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/timestamp.h"

#include "node/clock.h"
#include "server/log.h"
#include "server/once_a_minute.h"
#include "server/problem.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/show.h"
#include "server/statistics.h"

/* The lease that this member shows, for the events. */
typedef struct ShownLease
{
	uint64_t term;
	uint64_t start; /* when it was first shown; 0: none is */
	uint64_t until;
} ShownLease;

/* One moment by both clocks. */
typedef struct Moment
{
	int64_t	 at; /* as JournalEvent's */
	uint64_t boot_time;
} Moment;

static SharedStatus status;
static SharedDetail detail;
static ShownLease	lease;
static RaftTimeouts timeouts; /* that the election goes by */
static const char  *cause;	  /* why the host makes this member resign; or NULL */
static uint64_t		second_leader_noted;

/* ---- start and settings ---- */

void
show_store(const Store *store, const char *health)
{
	shared_hold_store(store);
	strlcpy(detail.store_path, store->path, sizeof(detail.store_path));
	strlcpy(detail.store_health, health, sizeof(detail.store_health));
	detail.stats_reset = GetCurrentTimestamp();
}

/* Something keeps this member out. */
void
show_not_ready(const Words *words)
{
	memset(&status, 0, sizeof(status));
	status.state = SHARED_NOT_TAKING_PART;
	strlcpy(status.why, words->error, sizeof(status.why));
	status.node_id = settings.node_id;
	status.leader_id = RAFT_NONE;
	status.voted_for = RAFT_NONE;
	strlcpy(detail.refused, refused_not_in_force(), sizeof(detail.refused));
	shared_publish_status(&status, 0);
	shared_publish_detail(&detail);
}

void
show_timeouts(const RaftTimeouts *new_timeouts)
{
	timeouts = *new_timeouts;
}

/* ---- events ---- */

static Moment
moment_now(void)
{
	return (Moment){.at = GetCurrentTimestamp() + SHARED_UNIX_EPOCH, .boot_time = clock_now()};
}

static void
add_event(const Moment *when, RaftRole role, uint64_t term, int32_t leader_id,
		  uint64_t lease_start, uint64_t lease_end, const char *reason)
{
	JournalEvent event;

	memset(&event, 0, sizeof(event));
	event.at = when->at;
	event.boot = status.boot;
	event.boot_time = when->boot_time;
	event.term = term;
	event.role = role;
	event.leader_id = leader_id;
	event.lease_start = lease_start;
	event.lease_end = lease_end;
	strlcpy(event.reason, reason, sizeof(event.reason));
	shared_add_event(&event);
}

/* What another process of this server did, for the record. */
void
show_event(const Raft *raft, const char *reason)
{
	Moment now = moment_now();

	add_event(&now, raft->role, raft->saved.term, raft->leader_id, 0, 0, reason);
}

void
show_cause(const char *new_cause)
{
	cause = new_cause;
}

/*
 * The words for what the election tells; the only place that adds to them.
 */
void
show_reason(const RaftEvent *event, char *reason, size_t size)
{
	size_t used = 0;
	bool   is_silence = event->reason == RAFT_QUORUM_LOST || event->reason == RAFT_TIMED_OUT ||
					  event->reason == RAFT_LEADER_LOST;

	bool is_news = (event->reason == RAFT_LEADER_FOUND || event->reason == RAFT_HIGHER_TERM) &&
				   statistics_woke_late() >= timeouts.min_timeout;

	if (event->reason == RAFT_RESIGNED && cause != NULL)
		used = log_append(reason, size, 0, "%s: ", cause);
	raft_describe_event(event, reason + used, size - used);

	/* a member that stood still itself has heard nobody, and was not heard, meanwhile */
	if ((is_silence && statistics_woke_late() > 0) || is_news)
	{
		used = log_append(reason, size, strlen(reason), "; this worker woke up " UINT64_FORMAT " ms late",
						  (uint64) (statistics_woke_late() / 1000));
	}
	if ((is_silence || event->reason == RAFT_NOT_ELECTED) && statistics_saved_slowly(&timeouts) > 0)
	{
		used = log_append(reason, size, strlen(reason), "; saving term and vote took " UINT64_FORMAT " ms",
						  (uint64) (statistics_saved_slowly(&timeouts) / 1000));
	}
}

void
show_list(const Cluster *cluster)
{
	int i;

	detail.n_peers = (uint32_t) cluster->n_members;
	for (i = 0; i < cluster->n_members; i++)
	{
		SharedPeer *peer = &detail.peers[i];

		if (peer->node_id != cluster->members[i].node_id)
			memset(peer, 0, sizeof(*peer));
		peer->node_id = cluster->members[i].node_id;
		cluster_format_address(&cluster->members[i], peer->address);
	}
}

void
show_start(const RaftConfig *config, const Cluster *cluster, const RaftSaved *saved)
{
	Moment now = moment_now();
	char   reason[SHARED_REASON_SIZE];

	memset(&status, 0, sizeof(status));
	status.state = SHARED_TAKING_PART;
	status.node_id = config->node_id;
	status.since = GetCurrentTimestamp();
	status.boot = saved->boot;
	timeouts = config->timeouts;

	show_list(cluster);
	add_event(&now, RAFT_FOLLOWER, saved->term, RAFT_NONE, 0, 0, "started");
	if (saved->abstaining != RAFT_VOTING)
	{
		RaftEvent event = {.reason = RAFT_STARTED_ABSTAINING, .peer = RAFT_NONE, .value = saved->abstaining};

		show_reason(&event, reason, sizeof(reason));
		add_event(&now, RAFT_FOLLOWER, saved->term, RAFT_NONE, 0, 0, reason);
	}
}

void
show_end(void)
{
	Moment now = moment_now();
	char   reason[SHARED_REASON_SIZE];

	snprintf(reason, sizeof(reason), "the worker ended: %s",
			 cause != NULL ? cause : "an error, see the server log");
	add_event(&now, RAFT_FOLLOWER, status.term, RAFT_NONE, lease.start,
			  lease.start != 0 ? Min(lease.until, now.boot_time) : 0, reason);
	lease.start = 0;
}

/*
 * Put the output's events on record, with what has become of the lease.  A lease
 * that ends or begins without an event of the election gets one of its own, so
 * that the record of leases is complete.
 */
static void
add_events(const RaftOutput *output, const Moment *when,
		   const ShownLease *ended, const ShownLease *begun)
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

		if (event->reason == RAFT_SECOND_LEADER && !once_a_minute(&second_leader_noted, clock_now()))
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
		show_reason(event, reason, sizeof(reason));
		add_event(when, event->role, event->term, event->leader_id, start, end, reason);
	}
	if (!end_told)
		add_event(when, status.role, status.term, status.leader_id,
				  ended->start, ended->until, "the lease ended");
	if (!begin_told)
		add_event(when, status.role, status.term, status.leader_id,
				  begun->start, 0, "a majority has acknowledged: the lease starts");
}

/* ---- the show of save, show, send ---- */

static void
fill_status(const Raft *raft)
{
	if (status.role != raft->role)
		status.since = GetCurrentTimestamp();
	status.role = raft->role;
	status.term = raft->saved.term;
	status.leader_id = raft->leader_id;
	status.voted_for = raft->saved.voted_for;
	status.n_members = raft_count_nodes(raft_members_now(raft));
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
	status.paused = raft_in_pause(raft);
	status.pause_known = raft_pause_is_known(raft);
	status.timeouts = timeouts;
}

/*
 * Show what is durable by now, and record the leases: one begins with the
 * clock read before it is shown, and ends with the clock read after it is
 * withdrawn, or when it ran out if that was earlier.  So with events: nobody
 * sees what they tell before the time that they give, unless they end a lease.
 */
void
show_state(const Raft *raft, const RaftOutput *output)
{
	uint64_t   until = raft_lease_until(raft);
	Moment	   when = moment_now();
	ShownLease ended = {0, 0, 0};
	ShownLease begun = {0, 0, 0};
	bool	   is_shown = until > when.boot_time;

	fill_status(raft);
	shared_publish_status(&status, is_shown ? until : 0);

	if (lease.start != 0 && (raft->role != RAFT_LEADER || raft->saved.term != lease.term))
	{
		when = moment_now();
		ended = lease;
		ended.until = Min(ended.until, when.boot_time);
		lease.start = 0;
	}
	if (is_shown)
	{
		if (lease.start == 0)
		{
			lease.term = raft->saved.term;
			lease.start = when.boot_time;
			begun = lease;
		}
		lease.until = until;
	}
	else if (lease.start != 0)
		lease.until = Min(lease.until, clock_now()); /* ran out; may come back */
	add_events(output, &when, &ended, &begun);
}

/* ---- peers and counters ---- */

void
show_addresses(const Addresses *addresses)
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

/* Of a peer what it told; a port is remembered while no server runs. */
static void
show_server(const Raft *raft, SharedPeer *shown)
{
	bool			is_self = shown->node_id == raft->config.node_id;
	const RaftTold *told = &raft->peers[shown->node_id].told;
	uint16_t		port = is_self ? (uint16_t) PostPortNumber : told->port;

	shown->managed = is_self ? raft->config.managed : told->managed;
	shown->rebuilding = is_self ? raft->saved.rebuild != RAFT_INTACT : told->rebuilding;
	shown->server = is_self ? raft->data.server : told->server;
	if (port != 0)
		shown->port = port;
}

void
show_detail(const Raft *raft, const Transport *transport)
{
	uint32_t i;

	detail.wakeups++;
	detail.raft = raft->counters;
	detail.transport = transport->counters;
	detail.authentication = secret_key_id(transport->secret) != 0;
	strlcpy(detail.refused, refused_not_in_force(), sizeof(detail.refused));
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
		shown->other_version = log_other_version(shown->node_id);
		if (shown->node_id == raft->config.node_id)
			shown->key_id = secret_key_id(transport->secret);
		else
			shown->key_id = transport->key_ids[shown->node_id];
		show_server(raft, shown);
		problem_describe(raft, shown->node_id, shown->problem, sizeof(shown->problem));
	}
	shared_publish_detail(&detail);
}

void
show_reset(void)
{
	detail.wakeups = 0;
	statistics_reset();
	detail.stats_reset = GetCurrentTimestamp();
}
