/*
 * supervisor/http_answer.c
 *	  The answers to HTTP requests, as text.
 *
 * See http_answer.h.  The fields of /patroni and /cluster have Patroni's names and meanings; what
 * pg_leader knows beyond these is in the object "pg_leader".  Text that does not fit is cut off.
 */
#include "http_answer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "say.h"
#include "service.h"

#define HEAD_SIZE 512

#define NO_ORDERS "Nothing is changed by HTTP: use pg_leaderctl, or the functions of the extension.\n"

typedef struct Text
{
	char  *bytes;
	size_t size;
	size_t length;
} Text;

static void put(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
put(Text *text, const char *format, ...)
{
	va_list arguments;
	size_t	room = text->size - text->length;
	int		n;

	va_start(arguments, format);
	n = vsnprintf(text->bytes + text->length, room, format, arguments);
	va_end(arguments);
	if (n > 0)
		text->length += (size_t) n < room ? (size_t) n : room - 1;
}

/* In quotes, for JSON and for labels of Prometheus. */
static void
put_quoted(Text *text, const char *word)
{
	put(text, "\"");
	for (; *word != '\0'; word++)
	{
		if (*word == '"' || *word == '\\')
			put(text, "\\%c", *word);
		else
			put(text, "%c", (unsigned char) *word < ' ' ? ' ' : *word);
	}
	put(text, "\"");
}

static const char *
boolean(bool value)
{
	return value ? "true" : "false";
}

/* ---- the server: /patroni and all health checks ---- */

/* A primary that answers no commits is nobody's primary. */
static const char *
role_of(const ProbeFacts *facts)
{
	if (probe_is_open(facts))
		return "primary";
	return facts->server.server == RAFT_SERVER_PRIMARY ? "demoted" : "replica";
}

static void
put_time(Text *text, int64_t us)
{
	time_t	  seconds = (time_t) (us / 1000000);
	struct tm parts;
	char	  day[32];

	if (us <= 0 || gmtime_r(&seconds, &parts) == NULL)
		return;
	(void) strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &parts);
	put(text, "\"postmaster_start_time\": \"%s.%06d+00:00\", ", day, (int) (us % 1000000));
}

static void
put_wal(Text *text, const BoardServer *server)
{
	if (server->server == RAFT_SERVER_PRIMARY)
		put(text, "\"xlog\": {\"location\": %" PRIu64 "}, ", server->end);
	else if (server->server == RAFT_SERVER_RECOVERY)
		put(text, "\"xlog\": {\"received_location\": %" PRIu64 ", \"replayed_location\": %" PRIu64 ", \"replayed_timestamp\": null, \"paused\": %s}, ",
			server->end, server->replay, boolean(server->is_paused));
	if (server->timeline != 0)
		put(text, "\"timeline\": %" PRIu32 ", ", server->timeline);
}

static void
put_standbys(Text *text, const SupervisorSettings *settings, const BoardServer *server)
{
	const Cluster *cluster = &settings->cluster;
	const char	  *comma = "";

	if (server->senders == 0)
		return;
	put(text, "\"replication\": [");
	for (int i = 0; i < cluster->n_members; i++)
	{
		const ClusterMember *member = &cluster->members[i];

		if ((server->senders >> member->node_id & 1) == 0)
			continue;
		put(text, "%s{\"application_name\": \"pg_leader_%d\", \"client_addr\": ", comma, (int) member->node_id);
		put_quoted(text, member->host);
		put(text, ", \"state\": \"streaming\", \"sync_state\": \"quorum\", \"sync_priority\": 1}");
		comma = ", ";
	}
	put(text, "], ");
}

/* What it is about, in words: of the role worker's order, or of the supervisor. */
static const char *
reason_of(const ProbeFacts *facts)
{
	return facts->process == PROBE_RUNS && facts->server.order[0] != '\0' ? facts->server.why : service_said();
}

static void
put_own(Text *text, const SupervisorSettings *settings, const ProbeFacts *facts)
{
	const BoardShown *election = &facts->election;
	uint64_t		  lease = election->lease_until > facts->now ? election->lease_until - facts->now : 0;

	put(text, "\"pg_leader\": {\"node\": %d, \"managed\": %s, \"term\": %" PRIu64 ", \"leader\": ", settings->node_id,
		boolean(settings->manage), election->term);
	put(text, election->leader_id >= 0 ? "%d" : "null", (int) election->leader_id);
	put(text, ", \"is_open\": %s, \"lease_ms\": %" PRIu64 ", \"order\": ", boolean(probe_is_open(facts)), lease / 1000);
	put_quoted(text, facts->server.order);
	put(text, ", \"reason\": ");
	put_quoted(text, reason_of(facts));
	put(text, "}");
}

static void
put_server(Text *text, const SupervisorSettings *settings, const ProbeFacts *facts)
{
	const BoardServer *server = &facts->server;

	put(text, "{\"state\": \"%s\", \"role\": \"%s\", ", probe_state(facts), role_of(facts));
	put_time(text, server->started_at);
	if (server->version != 0)
		put(text, "\"server_version\": %" PRId32 ", ", server->version);
	put_wal(text, server);
	if (server->streams)
		put(text, "\"replication_state\": \"streaming\", \"quorum_standby\": true, ");
	put_standbys(text, settings, server);
	if (facts->election.leader_id < 0)
		put(text, "\"cluster_unlocked\": true, ");
	if (facts->election.paused)
		put(text, "\"pause\": true, ");
	if (server->system_id != 0)
		put(text, "\"database_system_identifier\": \"%" PRIu64 "\", ", server->system_id);
	put(text, "\"patroni\": {\"version\": \"" PROGRAM_VERSION "\", \"scope\": ");
	put_quoted(text, settings->cluster_name);
	put(text, ", \"name\": \"pg_leader_%d\"}, ", settings->node_id);
	put_own(text, settings, facts);
	put(text, "}\n");
}

/* ---- all members: /cluster ---- */

static const char *
member_state(const SupervisorSettings *settings, const ProbeFacts *facts, int32_t id)
{
	const BoardMember *member = &facts->server.members[id];

	if (id == settings->node_id)
		return facts->server.streams ? "streaming" : probe_state(facts);
	if (member->heard_at == 0 || facts->now >= member->heard_at + 2 * raft_probe_interval(&settings->timeouts))
		return "unknown";
	if (member->server == RAFT_SERVER_NONE)
		return "stopped";
	return (facts->server.senders >> id & 1) != 0 ? "streaming" : "running";
}

/* Behind the leader, as far as that is known. */
static void
put_lag(Text *text, const SupervisorSettings *settings, const ProbeFacts *facts, int32_t id)
{
	const BoardServer *server = &facts->server;
	uint64_t		   end = server->members[id].end;
	uint64_t		   lag;

	if (id == settings->node_id && probe_lag(facts, true, &lag))
		put(text, ", \"lag\": %" PRIu64, lag);
	else if (id != settings->node_id && end != 0 && facts->election.leader_id == settings->node_id)
		put(text, ", \"lag\": %" PRIu64, server->end > end ? server->end - end : 0);
	else
		put(text, ", \"lag\": \"unknown\"");
}

static void
put_member(Text *text, const SupervisorSettings *settings, const ProbeFacts *facts, const ClusterMember *member)
{
	const BoardMember *known = &facts->server.members[member->node_id];
	bool			   leads = facts->election.leader_id == member->node_id;

	put(text, "{\"name\": \"pg_leader_%d\", \"role\": \"%s\", \"state\": \"%s\", \"host\": ", (int) member->node_id,
		leads ? "leader" : "replica", member_state(settings, facts, member->node_id));
	put_quoted(text, member->host);
	if (known->port != 0)
		put(text, ", \"port\": %d", known->port);
	if (known->timeline != 0)
		put(text, ", \"timeline\": %" PRIu32, known->timeline);
	if (!leads)
		put_lag(text, settings, facts, member->node_id);
	put(text, "}");
}

static void
put_cluster(Text *text, const SupervisorSettings *settings, const ProbeFacts *facts)
{
	const Cluster *cluster = &settings->cluster;

	put(text, "{\"members\": [");
	for (int i = 0; i < cluster->n_members; i++)
	{
		put(text, "%s", i > 0 ? ", " : "");
		put_member(text, settings, facts, &cluster->members[i]);
	}
	put(text, "], \"scope\": ");
	put_quoted(text, settings->cluster_name);
	put(text, "%s}\n", facts->election.paused ? ", \"pause\": true" : "");
}

/* ---- Prometheus: /metrics ---- */

static void
put_metric(Text *text, const SupervisorSettings *settings, const char *name, const char *help, double value)
{
	put(text, "# HELP pg_leader_server_%s %s\n# TYPE pg_leader_server_%s gauge\npg_leader_server_%s{cluster=", name, help, name, name);
	put_quoted(text, settings->cluster_name);
	put(text, ",node=\"%d\"} %.17g\n", settings->node_id, value);
}

/* In seconds; 0: it knows one, or did less than one second ago. */
static double
without_primary(const ProbeFacts *facts)
{
	uint64_t at = facts->server.primary_at;
	double	 seconds = facts->now > at ? (double) (facts->now - at) / 1e6 : 0;

	return seconds >= 1 ? seconds : 0;
}

static void
put_metrics(Text *text, const SupervisorSettings *settings, const ProbeFacts *facts)
{
	const BoardShown  *election = &facts->election;
	const BoardServer *server = &facts->server;
	uint64_t		   lease = election->lease_until > facts->now ? election->lease_until - facts->now : 0;
	uint64_t		   lag;
	const struct
	{
		const char *name;
		const char *help;
		double		value;
	} metrics[] = {
		{"up", "1 if the server runs and lets sessions in.", strcmp(probe_state(facts), "running") == 0},
		{"is_open", "1 if the server is the primary and commits are answered.", probe_is_open(facts)},
		{"is_replica", "1 if the server is a standby that lets sessions in.", probe_is_replica(facts)},
		{"is_streaming", "1 if the server receives WAL from the leader.", server->streams},
		{"is_rebuilding", "1 while the data of the server are being replaced.", facts->process == PROBE_REBUILDS},
		{"replay_is_paused", "1 if somebody has paused replay.", server->is_paused},
		{"cluster_is_paused", "1 if the cluster is paused, as far as this member knows.", election->paused},
		{"at_risk", "1 if the server is the open primary, and one more failure would stop commits.", server->at_risk},
		{"term", "Term of the member.", (double) election->term},
		{"leader_id", "Id of the leader that it knows; -1: none.", (double) election->leader_id},
		{"lease_remaining_seconds", "Rest of the lease of this member; 0: it has none.", (double) lease / 1e6},
		{"timeline", "Timeline of the end of WAL; 0: not known.", server->timeline},
		{"wal_end_bytes", "End of the WAL that is flushed here.", (double) server->end},
		{"wal_replayed_bytes", "End of the WAL that is replayed here.", (double) server->replay},
		{"standbys_streaming", "How many members stream from this server.", raft_count_nodes(server->senders)},
	};

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		put_metric(text, settings, metrics[i].name, metrics[i].help, metrics[i].value);
	if (server->primary_at != 0)
		put_metric(text, settings, "without_primary_seconds", "For how long the server has known no open primary; 0: it knows one.", without_primary(facts));
	if (probe_lag(facts, false, &lag))
		put_metric(text, settings, "lag_bytes", "How much WAL of the leader is not replayed here.", (double) lag);
}

/* ---- answers ---- */

static const char *
words_of(int status)
{
	switch (status)
	{
		case 200:
			return "OK";
		case 400:
			return "Bad Request";
		case 404:
			return "Not Found";
		case 405:
			return "Method Not Allowed";
		case 431:
			return "Request Header Fields Too Large";
		case 501:
			return "Not Implemented";
		default:
			return "Service Unavailable";
	}
}

static void
put_refusal(Text *text, int status)
{
	switch (status)
	{
		case 400:
			put(text, "This is no HTTP request, or has a value that cannot be read: lag is bytes or such as 16kB, 64MB, 1GB; mode is apply or write.\n");
			break;
		case 404:
			put(text, "There is no such path: /primary, /replica, /read-only, /patroni, /cluster, /metrics and more are in pg_leader's documents.\n");
			break;
		case 405:
		case 501:
			put(text, NO_ORDERS);
			break;
		default:
			put(text, "%s.\n", words_of(status));
			break;
	}
}

/* Head and body; the body is written first, because its length is in the head. */
static size_t
finish(int status, const char *type, bool has_body, char *text, const Text *body)
{
	char head[HEAD_SIZE];
	int	 n = snprintf(head, sizeof(head), "HTTP/1.1 %d %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
					  status, words_of(status), status == 405 ? "Allow: GET, HEAD, OPTIONS\r\n" : "", type, has_body ? body->length : 0);

	if (has_body)
		memmove(text + n, body->bytes, body->length);
	memcpy(text, head, (size_t) n);
	return (size_t) n + (has_body ? body->length : 0);
}

size_t
http_answer(const SupervisorSettings *settings, const ProbeRequest *request, const ProbeFacts *facts, char *text)
{
	Text		body = {.bytes = text + HEAD_SIZE, .size = HTTP_ANSWER_SIZE - HEAD_SIZE};
	int			status = probe_status(request, facts);
	const char *type = "application/json";

	if (status != 200 && status != 503)
	{
		type = "text/plain";
		put_refusal(&body, status);
	}
	else if (request->path == PROBE_METRICS)
	{
		type = "text/plain; version=0.0.4";
		put_metrics(&body, settings, facts);
	}
	else if (request->path == PROBE_CLUSTER)
		put_cluster(&body, settings, facts);
	else
		put_server(&body, settings, facts);
	return finish(status, type, request->method != PROBE_HEAD && request->method != PROBE_OPTIONS, text, &body);
}

size_t
http_refuse(int status, char *text)
{
	Text body = {.bytes = text + HEAD_SIZE, .size = HTTP_ANSWER_SIZE - HEAD_SIZE};

	put_refusal(&body, status);
	return finish(status, "text/plain", true, text, &body);
}
