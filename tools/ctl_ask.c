/*
 * tools/ctl_ask.c
 *	  Asks the servers of a cluster about themselves, all at the same time.
 *
 * See ctl_ask.h.  The steps of a server: connect; where is the extension? everything in one query.
 * Connections are libpq's asynchronous ones, and this waits for all of them in one poll().  Only a
 * host name that the user gave is looked up with the process standing still; the members know the
 * addresses of their own names.
 *
 * Whose port is not known is asked last, at the port of the server that told the list: machines of
 * one cluster often use the same one.  Each has to say that it is the member that is looked for.
 */
#include "ctl_ask.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../node/clock.h"

#define QUERY_SIZE 8192

/* ---- values ---- */

const char *
ctl_value(const CtlServer *server, CtlAnswer answer, int row, int column)
{
	const PGresult *result = server->answers[answer];

	if (server->step != CTL_ANSWERED || result == NULL || row < 0 || row >= PQntuples(result) ||
		PQgetisnull(result, row, column))
		return NULL;
	return PQgetvalue(result, row, column);
}

int
ctl_rows(const CtlServer *server, CtlAnswer answer)
{
	return server->step == CTL_ANSWERED ? PQntuples(server->answers[answer]) : 0;
}

const char *
ctl_own(const CtlServer *server, CtlOwnColumn column)
{
	return ctl_value(server, CTL_OWN, 0, (int) column);
}

bool
ctl_own_is(const CtlServer *server, CtlOwnColumn column)
{
	const char *value = ctl_own(server, column);

	return value != NULL && value[0] == 't';
}

int64_t
ctl_number(const char *value)
{
	return value != NULL ? strtoll(value, NULL, 10) : -1;
}

int
ctl_peer_row(const CtlServer *server, int32_t node_id)
{
	for (int row = 0; row < ctl_rows(server, CTL_PEERS); row++)
	{
		if (ctl_number(ctl_value(server, CTL_PEERS, row, PEER_NODE)) == node_id)
			return row;
	}
	return -1;
}

const CtlServer *
ctl_member(const CtlRound *round, int32_t node_id)
{
	const CtlServer *failed = NULL;

	for (int i = 0; i < round->n_servers; i++)
	{
		const CtlServer *server = &round->servers[i];

		if (server->node_id == node_id && server->step == CTL_ANSWERED)
			return server;
		if (server->node_id == node_id)
			failed = server;
	}
	return failed;
}

bool
ctl_counts(const CtlRound *round, const CtlServer *server)
{
	return server->step == CTL_ANSWERED && ctl_member(round, server->node_id) == server;
}

/* ---- one server ---- */

static void fail(CtlServer *server, const char *hint, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void
fail(CtlServer *server, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(server->error, sizeof(server->error), format, args);
	va_end(args);
	(void) snprintf(server->hint, sizeof(server->hint), "%s", hint);
	server->step = CTL_FAILED;
	PQfinish(server->connection);
	server->connection = NULL;
}

/*
 * libpq's error: the cause is in its first line, behind the name of the server, and if the server has
 * said it, behind a word like FATAL and two spaces.
 */
static void
fail_connection(CtlServer *server)
{
	const char *error = PQerrorMessage(server->connection);
	const char *cause = strstr(error, "failed: ");
	const char *what = "no connection";
	const char *hint = "";
	char		line[CTL_ERROR_SIZE];

	if (cause != NULL)
		error = cause + strlen("failed: ");
	cause = strstr(error, ":  ");
	if (cause != NULL && cause < error + strcspn(error, " "))
	{
		error = cause + strlen(":  ");
		what = "it refuses the connection";
		server->refused = true;
	}
	(void) snprintf(line, sizeof(line), "%.*s", (int) strcspn(error, "\n"), error);
	if (PQconnectionNeedsPassword(server->connection))
		hint = "Put the password into ~/.pgpass, or into the file that PGPASSFILE names.";
	else if (server->refused && strstr(line, "pg_leader: ") != NULL)
		hint = "Connect as a role of pg_leader.fence_exempt_roles, which may always log in.";
	fail(server, hint, "%s: %s", what, line);
}

static void
start(CtlRound *round, const CtlOptions *options, const CtlAddress *at, int32_t node_id, bool is_guessed)
{
	CtlServer *server = &round->servers[round->n_servers];

	if (round->n_servers == CTL_MAX_SERVERS)
		return;
	round->n_servers++;
	*server = (CtlServer){.at = *at, .node_id = node_id, .is_guessed = is_guessed};
	server->until = clock_now() + options->timeout;
	server->wants = PGRES_POLLING_WRITING;
	server->connection = ctl_options_connect(at);
	if (server->connection == NULL)
		fail(server, "", "out of memory");
	else if (PQstatus(server->connection) == CONNECTION_BAD)
		fail_connection(server);
}

static void
send_query(CtlServer *server, CtlStep step, const char *query)
{
	server->step = step;
	server->wants = PGRES_POLLING_READING;
	if (PQsendQuery(server->connection, query) != 1)
		fail_connection(server);
}

static void
go_on_connecting(CtlServer *server)
{
	server->wants = PQconnectPoll(server->connection);
	if (server->wants == PGRES_POLLING_FAILED)
		fail_connection(server);
	else if (server->wants == PGRES_POLLING_OK)
	{
		(void) snprintf(server->at.port, sizeof(server->at.port), "%s", PQport(server->connection));
		send_query(server, CTL_PREPARING, ctl_query_prepare());
	}
}

static void
fail_answer(CtlServer *server, const PGresult *result)
{
	const char *error = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	fail(server, hint != NULL ? hint : "", "%s", error != NULL ? error : PQresultErrorMessage(result));
}

/* One result of several; frees it, unless it is kept. */
static void
take_result(CtlServer *server, PGresult *result)
{
	bool has_rows = PQresultStatus(result) == PGRES_TUPLES_OK;

	if (!has_rows && PQresultStatus(result) != PGRES_COMMAND_OK)
		fail_answer(server, result);
	else if (has_rows && server->step == CTL_PREPARING && PQntuples(result) == 1)
		(void) snprintf(server->schema, sizeof(server->schema), "%s", PQgetvalue(result, 0, 0));
	else if (has_rows && server->step == CTL_ASKING && server->n_answers < CTL_ANSWERS)
	{
		assert(PQnfields(result) == ctl_query_columns((CtlAnswer) server->n_answers));
		server->answers[server->n_answers++] = result;
		return;
	}
	PQclear(result);
}

/* Nothing more comes for the query. */
static void
end_query(CtlServer *server, const CtlOptions *options)
{
	char query[QUERY_SIZE];

	if (server->step == CTL_PREPARING && server->schema[0] == '\0')
		fail(server, "CREATE EXTENSION pg_leader there, or name the database where it is, with -d.",
			 "the extension pg_leader is not in database \"%s\"", PQdb(server->connection));
	else if (server->step == CTL_PREPARING)
	{
		ctl_query_text(query, sizeof(query), server->schema, options->events);
		send_query(server, CTL_ASKING, query);
	}
	else
	{
		server->step = CTL_ANSWERED;
		PQfinish(server->connection);
		server->connection = NULL;
	}
}

static void
take_answers(CtlServer *server, const CtlOptions *options)
{
	if (PQconsumeInput(server->connection) != 1)
	{
		fail_connection(server);
		return;
	}
	while (server->connection != NULL && !PQisBusy(server->connection))
	{
		PGresult *result = PQgetResult(server->connection);

		if (result != NULL)
			take_result(server, result);
		else
		{
			end_query(server, options);
			return;
		}
	}
}

/* ---- the members ---- */

static bool
is_at(const CtlServer *server, const char *host, const char *port)
{
	return (strcmp(server->at.host, host) == 0 || strcmp(server->at.address, host) == 0) &&
		   strcmp(server->at.port, port) == 0;
}

/* Of an address as pg_leader_peers shows it: the host, without brackets and port. */
static void
host_of(const char *address, char *host, size_t size)
{
	const char *end = strrchr(address, ':');
	size_t		length = end != NULL ? (size_t) (end - address) : strlen(address);

	if (length >= 2 && address[0] == '[')
	{
		address++;
		length -= 2;
	}
	(void) snprintf(host, size, "%.*s", (int) length, address);
}

/*
 * Ask members that nobody was asked for, if that server knows their ports; is_last: else at its own
 * port.
 */
static void
ask_others(CtlRound *round, const CtlOptions *options, const CtlServer *server, bool is_last)
{
	for (int i = 0; i < round->list.n_members; i++)
	{
		const ClusterMember *member = &round->list.members[i];
		int					 row = ctl_peer_row(server, member->node_id);
		const char			*port = ctl_value(server, CTL_PEERS, row, PEER_PORT);
		const char			*resolved = ctl_value(server, CTL_PEERS, row, PEER_RESOLVED);
		CtlAddress			 at = {0};
		bool				 is_taken = false;

		if (ctl_member(round, member->node_id) != NULL || (port == NULL && !is_last))
			continue;
		(void) snprintf(at.host, sizeof(at.host), "%s", member->host);
		(void) snprintf(at.port, sizeof(at.port), "%s", port != NULL ? port : round->first->at.port);
		if (member->is_name && resolved != NULL)
			host_of(resolved, at.address, sizeof(at.address));
		for (int j = 0; j < round->n_servers && !is_taken; j++)
		{
			/* the user has named it: this is its name */
			is_taken = is_at(&round->servers[j], at.host, at.port);
			if (is_taken && round->servers[j].node_id == RAFT_NONE)
				round->servers[j].node_id = member->node_id;
		}
		if (!is_taken)
			start(round, options, &at, member->node_id, port == NULL);
	}
}

/* It has answered: is it a member, and of this cluster? */
static bool
is_member(const CtlRound *round, CtlServer *server)
{
	const char *name = ctl_own(server, OWN_CLUSTER_NAME);
	const char *text = ctl_own(server, OWN_CLUSTER);
	int64_t		node_id = ctl_number(ctl_own(server, OWN_NODE));
	Cluster		list;
	Words		words;

	if (node_id < 0 || text == NULL || !cluster_parse(text, &list, &words))
		fail(server, "Set pg_leader.node_id and pg_leader.cluster there, and restart it.",
			 "this server is no member of a cluster: %s", ctl_own(server, OWN_STATE));
	else if (server->node_id != RAFT_NONE && server->node_id != node_id)
	{
		server->is_other = true;
		fail(server, "", "there is node %" PRId64 ", and not node %d", node_id, (int) server->node_id);
	}
	else if (round->first != NULL && strcmp(name, ctl_own(round->first, OWN_CLUSTER_NAME)) != 0)
	{
		server->is_other = true;
		fail(server, "Name servers of one cluster only.", "there is a node %" PRId64 " of another cluster, \"%s\"",
			 node_id, name);
	}
	else
		return true;
	return false;
}

static void
take_member(CtlRound *round, const CtlOptions *options, CtlServer *server)
{
	Words words;

	if (!is_member(round, server))
		return;
	server->node_id = (int32_t) ctl_number(ctl_own(server, OWN_NODE));
	round->found |= UINT64_C(1) << server->node_id;
	round->at[server->node_id] = server->at;
	if (round->first == NULL)
	{
		round->first = server;
		(void) cluster_parse(ctl_own(server, OWN_CLUSTER), &round->list, &words);
	}
	ask_others(round, options, server, false);
}

/* ---- all of them ---- */

static void
clear(CtlRound *round)
{
	for (int i = 0; i < round->n_servers; i++)
	{
		for (int j = 0; j < CTL_ANSWERS; j++)
			PQclear(round->servers[i].answers[j]);
	}
	round->n_servers = 0;
	round->first = NULL;
}

/* Members where they were, if one of them has answered before; else also whom the user has named. */
static bool
begin(CtlRound *round, const CtlOptions *options)
{
	const CtlAddress *named;
	int				  n_named = ctl_options_named(&named);
	bool			  is_lost = round->first == NULL;

	clear(round);
	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
	{
		if ((round->found >> id & 1) != 0 && cluster_member(&round->list, id) != NULL)
			start(round, options, &round->at[id], id, false);
	}
	for (int i = 0; i < n_named && is_lost; i++)
		start(round, options, &named[i], RAFT_NONE, false);
	return is_lost;
}

/* Wait until something comes, or the first of them has had its time. */
static void
wait_for_any(CtlRound *round, struct pollfd *waits, int *which, int n)
{
	uint64_t now = clock_now();
	uint64_t until = UINT64_MAX;

	for (int i = 0; i < n; i++)
	{
		if (round->servers[which[i]].until < until)
			until = round->servers[which[i]].until;
	}
	if (poll(waits, (nfds_t) n, until > now ? (int) ((until - now + 999) / 1000) : 0) < 0)
	{
		for (int i = 0; i < n; i++)
			waits[i].revents = 0;
	}
}

static void
turn(CtlRound *round, const CtlOptions *options, CtlServer *server, bool is_ready)
{
	if (is_ready && server->step == CTL_CONNECTING)
		go_on_connecting(server);
	else if (is_ready)
		take_answers(server, options);
	if (server->step == CTL_ANSWERED)
		take_member(round, options, server);
	else if (server->step != CTL_FAILED && clock_now() >= server->until)
	{
		server->timed_out = true;
		fail(server, "", "no answer within %g s", (double) options->timeout / 1e6);
	}
}

/* Until all that were asked have answered or failed. */
static void
wait_for_all(CtlRound *round, const CtlOptions *options)
{
	struct pollfd waits[CTL_MAX_SERVERS];
	int			  which[CTL_MAX_SERVERS];
	int			  n;

	do
	{
		n = 0;
		for (int i = 0; i < round->n_servers; i++)
		{
			CtlServer *server = &round->servers[i];

			if (server->step >= CTL_ANSWERED)
				continue;
			waits[n] = (struct pollfd){.fd = PQsocket(server->connection),
									   .events = server->wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};
			which[n++] = i;
		}
		if (n > 0)
			wait_for_any(round, waits, which, n);
		for (int i = 0; i < n; i++)
			turn(round, options, &round->servers[which[i]], waits[i].revents != 0);
	} while (n > 0);
}

void
ctl_ask(CtlRound *round, const CtlOptions *options)
{
	bool all = begin(round, options);

	wait_for_all(round, options);
	if (round->first == NULL && !all)
	{
		(void) begin(round, options);
		wait_for_all(round, options);
	}
	if (round->first != NULL)
	{
		ask_others(round, options, round->first, true);
		wait_for_all(round, options);
	}
}
