/*
 * keep/session.c
 *	  Connections to the members of a cluster.
 *
 * See session.h.
 */
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../node/clock.h"

#define HINT_CONNECTION "It is written as for psql, for example \"host=n0,n1,n2 port=5432 dbname=postgres\"."
#define HINT_CONNECT                                                                               \
	"Check keep.conf, and pg_hba.conf and the log of that server. The role needs REPLICATION and " \
	"the privileges of pg_monitor."

#define PARAMETERS_MOST 64

/* ---- the members ---- */

static const char *
option_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword != NULL; options++)
	{
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	}
	return NULL;
}

/* The item of that number in a list with commas; of a list of one, that one.  false: there is none. */
static bool
item_of(const char *list, int i, char *item, size_t size)
{
	const char *comma = strchr(list, ',');

	for (; i > 0 && comma != NULL; i--)
	{
		list = comma + 1;
		comma = strchr(list, ',');
		if (comma == NULL && i > 1)
			return false;
	}
	if (i > 0 && strchr(list, ',') != NULL)
		return false;
	return (size_t) snprintf(item, size, "%.*s", comma != NULL ? (int) (comma - list) : (int) strlen(list), list) < size;
}

static int
count_items(const char *list)
{
	int n = 1;

	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

static bool
take_addresses(Members *members, Words *words)
{
	const char *hosts = option_of(members->options, "host");
	const char *ports = option_of(members->options, "port");

	if (hosts == NULL || hosts[0] == '\0')
		return words_set(words, HINT_CONNECTION, "the connection string names no host");
	if (option_of(members->options, "hostaddr") != NULL)
		return words_set(words, HINT_CONNECTION, "the connection string has \"hostaddr\": give the addresses as \"host\"");
	members->n = count_items(hosts);
	if (ports == NULL || ports[0] == '\0')
		ports = "5432";
	if (members->n > MEMBERS_MOST || (count_items(ports) != 1 && count_items(ports) != members->n))
		return words_set(words, HINT_CONNECTION, "the connection string has %d hosts and %d ports", members->n, count_items(ports));
	for (int i = 0; i < members->n; i++)
	{
		MemberAddress *at = &members->at[i];

		if (!item_of(hosts, i, at->host, sizeof(at->host)) || at->host[0] == '\0' ||
			!item_of(ports, count_items(ports) == 1 ? 0 : i, at->port, sizeof(at->port)))
			return words_set(words, HINT_CONNECTION, "the host or port of number %d in the connection string is empty or too long", i + 1);
		(void) snprintf(at->name, sizeof(at->name), "%s:%s", at->host, at->port);
	}
	return true;
}

bool
members_parse(const ArchiveSettings *settings, Members *members, Words *words)
{
	char *error = NULL;
	char  line[WORDS_SIZE];

	memset(members, 0, sizeof(*members));
	archive_slot_name(settings, members->application_name);
	(void) snprintf(members->role, sizeof(members->role), "%s", settings->role);
	members->options = PQconninfoParse(settings->members, &error);
	if (members->options == NULL)
	{
		(void) words_set(words, HINT_CONNECTION, "the connection string cannot be read: %s",
						 error != NULL ? words_line(error, line, sizeof(line)) : "out of memory");
		PQfreemem(error);
		return false;
	}
	if (take_addresses(members, words))
		return true;
	members_free(members);
	return false;
}

void
members_free(Members *members)
{
	PQconninfoFree(members->options);
	members->options = NULL;
}

/* ---- connecting ---- */

typedef struct Parameters
{
	const char *keywords[PARAMETERS_MOST];
	const char *values[PARAMETERS_MOST];
	int			n;
} Parameters;

/* The first that is given counts. */
static void
add_parameter(Parameters *parameters, const char *keyword, const char *value)
{
	if (value == NULL || parameters->n == PARAMETERS_MOST - 1)
		return;
	for (int i = 0; i < parameters->n; i++)
	{
		if (strcmp(parameters->keywords[i], keyword) == 0)
			return;
	}
	parameters->keywords[parameters->n] = keyword;
	parameters->values[parameters->n++] = value;
}

PGconn *
members_connect(const Members *members, int i, bool replication)
{
	Parameters parameters = {.n = 0};

	add_parameter(&parameters, "host", members->at[i].host);
	add_parameter(&parameters, "port", members->at[i].port);
	add_parameter(&parameters, "application_name", members->application_name);
	add_parameter(&parameters, "replication", replication ? "database" : NULL);
	add_parameter(&parameters, "user", members->role[0] != '\0' ? members->role : NULL);
	for (const PQconninfoOption *option = members->options; option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, "replication") != 0 && strcmp(option->keyword, "target_session_attrs") != 0)
			add_parameter(&parameters, option->keyword, option->val);
	}
	add_parameter(&parameters, "dbname", "postgres");
	add_parameter(&parameters, "keepalives_idle", "2");
	add_parameter(&parameters, "keepalives_interval", "1");
	add_parameter(&parameters, "keepalives_count", "3");
	add_parameter(&parameters, "tcp_user_timeout", "5000");
	return PQconnectStartParams(parameters.keywords, parameters.values, 0);
}

/* Until it can be read or written; false: the time is over. */
static bool
wait_for(PGconn *connection, short events, uint64_t until)
{
	struct pollfd fd = {.fd = PQsocket(connection), .events = events};
	uint64_t	  now = clock_now();
	int			  ready;

	if (now >= until || fd.fd < 0)
		return false;
	ready = poll(&fd, 1, (int) ((until - now) / 1000) + 1);
	return ready > 0 || (ready < 0 && errno == EINTR);
}

PGconn *
session_open(const Members *members, int i, bool replication, uint64_t patience, Words *words)
{
	uint64_t				  until = clock_now() + patience;
	PGconn					 *connection = members_connect(members, i, replication);
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;
	char					  line[WORDS_SIZE / 2];

	while (connection != NULL && PQstatus(connection) != CONNECTION_BAD && status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED)
	{
		if (!wait_for(connection, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, until))
		{
			PQfinish(connection);
			(void) words_set(words, HINT_CONNECT, "%s does not answer", members->at[i].name);
			return NULL;
		}
		status = PQconnectPoll(connection);
	}
	if (connection != NULL && status == PGRES_POLLING_OK)
		return connection;
	(void) words_set(words, HINT_CONNECT, "could not connect to %s: %s", members->at[i].name,
					 connection != NULL ? words_line(PQerrorMessage(connection), line, sizeof(line)) : "out of memory");
	PQfinish(connection);
	return NULL;
}

/* ---- asking ---- */

static void
take_state(const PGresult *result, char *state)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (state != NULL)
		(void) snprintf(state, 6, "%s", code != NULL ? code : "");
}

PGresult *
session_ask(PGconn *connection, const char *query, uint64_t patience, char *state, Words *words)
{
	uint64_t  until = clock_now() + patience;
	PGresult *result = NULL;
	PGresult *next;
	char	  line[WORDS_SIZE / 2];

	if (state != NULL)
		state[0] = '\0';
	if (PQsendQuery(connection, query) == 0)
	{
		(void) words_set(words, "", "could not ask: %s", words_line(PQerrorMessage(connection), line, sizeof(line)));
		return NULL;
	}
	for (;;)
	{
		if (PQisBusy(connection))
		{
			if (!wait_for(connection, POLLIN, until) || PQconsumeInput(connection) == 0)
				break;
			continue;
		}
		next = PQgetResult(connection);
		if (next == NULL)
			break;

		/* behind an error nothing of interest comes */
		if (result == NULL)
			result = next;
		else
			PQclear(next);
		if (PQresultStatus(result) == PGRES_COPY_BOTH)
			return result;
	}
	if (result != NULL && (PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK))
		return result;
	take_state(result, state);
	(void) words_set(words, "", "%s", result != NULL ? words_line(PQresultErrorMessage(result), line, sizeof(line)) : "no answer came in time");
	PQclear(result);
	return NULL;
}

bool
session_identify(PGconn *connection, uint64_t patience, SessionIdentity *identity, Words *words)
{
	PGresult *result = session_ask(connection, "IDENTIFY_SYSTEM", patience, NULL, words);
	bool	  good;

	if (result == NULL)
		return false;
	good = PQntuples(result) == 1 && PQnfields(result) >= 3 && lineage_read_lsn(PQgetvalue(result, 0, 2), &identity->flush);
	if (good)
	{
		identity->system_id = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
		identity->timeline = (uint32_t) strtoul(PQgetvalue(result, 0, 1), NULL, 10);
	}
	else
		(void) words_set(words, "Is that a PostgreSQL server?", "the answer to IDENTIFY_SYSTEM cannot be read");
	PQclear(result);
	return good;
}
