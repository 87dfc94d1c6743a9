/*
 * tools/ctl_options.c
 *	  Whom pg_leaderctl asks first, and with which parameters it connects.
 *
 * As psql: options, a connection string, the environment, a service file.  But libpq would connect to
 * one of several hosts, and here each of them is a server to be asked.  So hosts and ports are taken
 * apart here, and everything else is the same for all servers.
 */
#include "ctl_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARAMETERS 100

static const char *keywords[MAX_PARAMETERS + 1];
static const char *values[MAX_PARAMETERS + 1];
static int		   n_parameters;

static CtlAddress named[RAFT_MAX_NODES];
static int		  n_named;

static const char *
find(const PQconninfoOption *options, const char *keyword)
{
	for (; options != NULL && options->keyword != NULL; options++)
	{
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	}
	return NULL;
}

/* As libpq tells a connection string from the name of a database. */
static bool
is_conninfo(const char *text)
{
	return strchr(text, '=') != NULL || strncmp(text, "postgres://", 11) == 0 ||
		   strncmp(text, "postgresql://", 13) == 0;
}

/* ---- hosts and ports ---- */

/* How many values "a,b,c" has; NULL: none. */
static int
count(const char *list)
{
	int n = list != NULL;

	for (; list != NULL && *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* The value with that number, which may be empty.  false: it is too long. */
static bool
take(const char *list, int number, char *value, size_t size)
{
	const char *end;

	for (; number > 0; number--)
		list = strchr(list, ',') + 1;
	end = strchrnul(list, ',');
	return (size_t) snprintf(value, size, "%.*s", (int) (end - list), list) < size;
}

static bool
take_port(const char *list, int number, char *port, Words *words)
{
	char *end;
	long  value;

	if (!take(list, number, port, CTL_PORT_SIZE))
		return words_set(words, "Ports are numbers from 1 to 65535.", "\"%s\" is no list of ports", list);
	value = strtol(port, &end, 10);
	return port[0] == '\0' || (*end == '\0' && value >= 1 && value <= 65535) ||
		   words_set(words, "Ports are numbers from 1 to 65535.", "\"%s\" is no port", port);
}

static bool
take_servers(const char *host, const char *address, const char *port, Words *words)
{
	int n_hosts = address != NULL ? count(address) : count(host);
	int n_ports = count(port);

	n_named = n_hosts > 0 ? n_hosts : 1;
	if ((host != NULL && address != NULL && count(host) != n_hosts) || (n_ports > 1 && n_ports != n_named))
		return words_set(words, "Give as many ports as hosts, or one port for all. PGHOST and PGPORT count, too.",
						 "there are %d hosts and %d ports", n_named, n_ports);
	if (n_named > RAFT_MAX_NODES)
		return words_set(words, NULL, "more than %d hosts", RAFT_MAX_NODES);
	for (int i = 0; i < n_named; i++)
	{
		CtlAddress *server = &named[i];

		if ((host != NULL && !take(host, i, server->host, sizeof(server->host))) ||
			(address != NULL && !take(address, i, server->address, sizeof(server->address))))
			return words_set(words, NULL, "the name of a host is too long");
		if (port != NULL && !take_port(port, n_ports == 1 ? 0 : i, server->port, words))
			return false;
	}
	return true;
}

/* ---- everything else ---- */

/* Is it different for each server, or of no use here? */
static bool
is_left_out(const char *keyword)
{
	static const char *const names[] = {"host", "hostaddr", "port", "dbname",
										"target_session_attrs", "load_balance_hosts", "replication"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(keyword, names[i]) == 0)
			return true;
	}
	return false;
}

static void
keep(const char *keyword, const char *value)
{
	if (value != NULL && value[0] != '\0' && n_parameters < MAX_PARAMETERS)
	{
		keywords[n_parameters] = strdup(keyword);
		values[n_parameters++] = strdup(value);
	}
}

/* The first that says something. */
static const char *
either(const char *a, const char *b)
{
	return a != NULL && a[0] != '\0' ? a : b;
}

static bool
merge(const CtlOptions *options, const PQconninfoOption *given, const PQconninfoOption *defaults, Words *words)
{
	const char *host = either(either(find(given, "host"), options->host), NULL);
	const char *address = either(find(given, "hostaddr"), NULL);
	const char *port = either(either(find(given, "port"), options->port), find(defaults, "port"));
	const char *database = find(given, "dbname");

	if (given == NULL)
		database = options->conninfo;
	if (host == NULL && address == NULL)
	{
		host = either(find(defaults, "host"), NULL);
		address = either(find(defaults, "hostaddr"), NULL);
	}
	for (const PQconninfoOption *option = defaults; option->keyword != NULL; option++)
	{
		const char *value = either(find(given, option->keyword), NULL);

		if (value == NULL && strcmp(option->keyword, "user") == 0)
			value = either(options->user, NULL);
		if (!is_left_out(option->keyword))
			keep(option->keyword, either(value, option->val));
	}
	keep("dbname", either(either(database, find(defaults, "dbname")), "postgres"));
	keep("target_session_attrs", "any");
	keep("fallback_application_name", CTL_PROGRAM);
	return take_servers(host, address, port, words);
}

bool
ctl_options_read(const CtlOptions *options, Words *words)
{
	static const char *const of_environment[] = {"PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGTARGETSESSIONATTRS",
												 "PGLOADBALANCEHOSTS"};
	PQconninfoOption		*given = NULL;
	PQconninfoOption		*defaults;
	const char				*service;
	char					*error = NULL;
	bool					 done;

	words_clear(words);
	if (is_conninfo(options->conninfo))
	{
		given = PQconninfoParse(options->conninfo, &error);
		if (given == NULL)
		{
			(void) words_set(words, "Write it as for psql: 'host=... port=... user=... dbname=...', or a URI.",
							 "the connection string is wrong: %.*s", error != NULL ? (int) strcspn(error, "\n") : 0,
							 error != NULL ? error : "");
			PQfreemem(error);
			return false;
		}
	}
	service = find(given, "service");
	if (service != NULL)
		(void) setenv("PGSERVICE", service, 1);
	defaults = PQconndefaults();
	if (defaults == NULL)
		return words_set(words, "Is there such a service in the service file?", "could not read libpq's defaults");
	done = merge(options, given, defaults, words);
	PQconninfoFree(given);
	PQconninfoFree(defaults);

	/* From here on each connection names its own server. */
	for (size_t i = 0; i < sizeof(of_environment) / sizeof(of_environment[0]); i++)
		(void) unsetenv(of_environment[i]);
	return done;
}

int
ctl_options_named(const CtlAddress **servers)
{
	*servers = named;
	return n_named;
}

/* What a server says that ends, or warns of, is no answer; what it refuses is an error. */
static void
ignore_notice(void *argument, const PGresult *notice)
{
	(void) argument;
	(void) notice;
}

PGconn *
ctl_options_connect(const CtlAddress *server)
{
	PGconn	   *connection;
	const char *all_keywords[MAX_PARAMETERS + 4];
	const char *all_values[MAX_PARAMETERS + 4];
	int			n = n_parameters;

	memcpy(all_keywords, keywords, (size_t) n * sizeof(keywords[0]));
	memcpy(all_values, values, (size_t) n * sizeof(values[0]));
	all_keywords[n] = "host";
	all_values[n++] = server->host;
	all_keywords[n] = "hostaddr";
	all_values[n++] = server->address;
	all_keywords[n] = "port";
	all_values[n++] = server->port;
	all_keywords[n] = NULL;
	all_values[n] = NULL;
	connection = PQconnectStartParams(all_keywords, all_values, 0);
	if (connection != NULL)
		(void) PQsetNoticeReceiver(connection, ignore_notice, NULL);
	return connection;
}
