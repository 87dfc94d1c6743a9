/*
 * primary/probe.c
 *	  Which HTTP status a load balancer gets.
 *
 * See probe.h.
 */
#include "probe.h"

#include <string.h>

/* What a leader has said of its WAL is good for so long, us. */
#define LAG_HOLDS UINT64_C(10000000)

/* How far behind a replica is ready, bytes, unless the request says it: Patroni's default. */
#define READY_LAG UINT64_C(1048576)

/* ---- what the facts say ---- */

bool
probe_is_open(const ProbeFacts *facts)
{
	const BoardShown  *election = &facts->election;
	const BoardServer *server = &facts->server;

	return facts->managed && facts->process == PROBE_RUNS && election->lease_until > facts->now &&
		   server->open_term != 0 && server->open_term == election->lease_term;
}

bool
probe_is_replica(const ProbeFacts *facts)
{
	return facts->managed && facts->process == PROBE_RUNS && facts->server.server == RAFT_SERVER_RECOVERY &&
		   facts->server.is_ready;
}

bool
probe_lag(const ProbeFacts *facts, bool by_received, uint64_t *lag)
{
	const BoardServer *server = &facts->server;
	uint64_t		   has = by_received ? server->end : server->replay;

	*lag = 0;
	if (server->server != RAFT_SERVER_RECOVERY || server->leader_end_at == 0 ||
		facts->now >= server->leader_end_at + LAG_HOLDS)
		return false;
	if (server->leader_end > has)
		*lag = server->leader_end - has;
	return true;
}

/* Where pg_leader only elects, nobody says more than that its processes are there. */
static bool
is_up(const ProbeFacts *facts)
{
	return facts->process == PROBE_RUNS && (!facts->managed || facts->server.is_ready);
}

const char *
probe_state(const ProbeFacts *facts)
{
	switch (facts->process)
	{
		case PROBE_STOPPED:
			return "stopped";
		case PROBE_REBUILDS:
			return "creating replica";
		case PROBE_RUNS:
			return is_up(facts) ? "running" : "starting";
		case PROBE_STOPS:
			return "stopping";
	}
	return "stopped";
}

/* ---- paths ---- */

static bool
leads(const ProbeFacts *facts)
{
	if (facts->managed)
		return probe_is_open(facts);
	return facts->process == PROBE_RUNS && facts->election.lease_until > facts->now;
}

/* Is it a replica as the request wants it? */
static bool
is_fit(const ProbeRequest *request, const ProbeFacts *facts)
{
	uint64_t lag;

	if (!probe_is_replica(facts) || request->impossible || (request->streaming && !facts->server.streams))
		return false;
	return !request->has_lag || (probe_lag(facts, request->by_received, &lag) && lag <= request->lag);
}

static bool
is_fit_and_streams(const ProbeRequest *request, const ProbeFacts *facts)
{
	return is_fit(request, facts) && facts->server.streams;
}

static bool
is_ready(const ProbeRequest *request, const ProbeFacts *facts)
{
	ProbeRequest with_lag = *request;

	with_lag.lag = request->has_lag ? request->lag : READY_LAG;
	with_lag.has_lag = true;
	return probe_is_open(facts) || is_fit_and_streams(&with_lag, facts);
}

static bool
holds(const ProbeRequest *request, const ProbeFacts *facts)
{
	switch (request->path)
	{
		case PROBE_PRIMARY:
			return probe_is_open(facts);
		case PROBE_LEADER:
			return leads(facts);
		case PROBE_REPLICA:
			return is_fit(request, facts);
		case PROBE_READ_ONLY:
			return probe_is_open(facts) || is_fit(request, facts);
		case PROBE_SYNC:
			return is_fit_and_streams(request, facts);
		case PROBE_READ_ONLY_SYNC:
			return probe_is_open(facts) || is_fit_and_streams(request, facts);
		case PROBE_ASYNC:
			return is_fit(request, facts) && !facts->server.streams;
		case PROBE_HEALTH:
			return is_up(facts);
		case PROBE_READINESS:
			return is_ready(request, facts);
		case PROBE_LIVENESS:
		case PROBE_PATRONI:
		case PROBE_CLUSTER:
		case PROBE_METRICS:
			return true;
		default:
			return false;
	}
}

/* Patroni takes no notice of tags where the primary is asked for. */
static bool
heeds_tags(ProbePath path)
{
	return path != PROBE_PRIMARY && path != PROBE_LEADER && path < PROBE_LIVENESS;
}

int
probe_status(const ProbeRequest *request, const ProbeFacts *facts)
{
	if (request->path == PROBE_UNKNOWN)
		return 404;
	if (request->method == PROBE_CHANGES)
		return request->path == PROBE_ORDER ? 501 : 405;
	if (request->path == PROBE_ORDER)
		return 405;
	if (request->is_wrong)
		return 400;
	if (request->has_tag && heeds_tags(request->path))
		return 503;
	return holds(request, facts) ? 200 : 503;
}

/* ---- the others ---- */

void
probe_members(const Raft *raft, BoardMember *members)
{
	memset(members, 0, sizeof(BoardMember) * RAFT_MAX_NODES);
	for (int id = 0; id < RAFT_MAX_NODES; id++)
	{
		const RaftPeer *peer = &raft->peers[id];
		bool			follows = raft->role == RAFT_LEADER && peer->acked_at != 0;

		if ((raft->config.members >> id & 1) == 0 || id == raft->config.node_id)
			continue;
		members[id] = (BoardMember){
			.heard_at = peer->heard_at,
			.end = follows ? peer->position.index : 0,
			.timeline = follows ? (uint32_t) peer->position.epoch : 0,
			.port = peer->told.port,
			.server = (uint8_t) peer->told.server,
			.is_open = peer->told.open && id == raft->leader_id};
	}
}
