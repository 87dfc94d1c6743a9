/*
 * node/upstream.c
 *	  Asking another member's PostgreSQL: where its WAL ends, histories, bytes of WAL.
 *
 * See upstream.h.  Nothing here waits in libpq: what is sent and what comes is waited for in
 * one place, which knows the deadline and asks whether to go on.  Must not use backend
 * symbols, or keep a connection of which it is not known what comes next.
 */
#include "upstream.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "clock.h"

#define SLICE UINT64_C(20000) /* us: so often "stop" is asked */

/* SQLSTATEs: of a file that is not there, and of errors that PostgreSQL gave none. */
#define UNDEFINED_FILE "58P01"
#define INTERNAL_ERROR "XX000"

/* Of a CopyData message with WAL: 'w', where it begins, the end of the server's WAL, the time. */
#define WAL_HEADER_SIZE 25

#define HINT_CONNECT                                                                                  \
	"Check pg_leader.replication_conninfo here, and pg_hba.conf and max_wal_senders of that server. " \
	"The role needs REPLICATION, and pg_hba.conf has to let it into the database \"postgres\"."
#define HINT_SILENT	 "If this persists, check that server and the network."
#define HINT_REFUSED "If this persists, see the log of that server."
#define HINT_STRANGE "Is that a PostgreSQL server of the same version?"

void
upstream_init(Upstream *upstream, int32_t self, uint64_t patience, bool (*stop)(void))
{
	*upstream = (Upstream){.self = self, .patience = patience, .stop = stop};
}

void
upstream_close(Upstream *upstream)
{
	PQfinish(upstream->connection);
	upstream->connection = NULL;
}

/* ---- the connection string ---- */

/* What is not the user's: which server that is, and what the connection is for. */
static bool
is_ours(const char *keyword)
{
	static const char *const ours[] = {"host", "hostaddr", "port", "dbname", "replication",
									   "application_name", "options", "service", "servicefile"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
	{
		if (strcmp(keyword, ours[i]) == 0)
			return true;
	}
	return false;
}

/* A text that grows, and what it may not outgrow. */
typedef struct Text
{
	char  *at;
	size_t left; /* with the zero byte; 0: it was too long */
} Text;

static void
append(Text *text, const char *what, size_t length)
{
	if (length >= text->left)
	{
		text->left = 0;
		return;
	}
	memcpy(text->at, what, length);
	text->at += length;
	text->left -= length;
	*text->at = '\0';
}

/* A value in quotes, which are needed only for some. */
static void
append_quoted(Text *text, const char *value)
{
	append(text, "'", 1);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			append(text, "\\", 1);
		append(text, value, 1);
	}
	append(text, "'", 1);
}

static void
append_parameter(Text *text, const char *begin, const char *keyword, const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/";

	if (text->at > begin)
		append(text, " ", 1);
	append(text, keyword, strlen(keyword));
	append(text, "=", 1);
	if (value[0] != '\0' && value[strspn(value, plain)] == '\0')
		append(text, value, strlen(value));
	else
		append_quoted(text, value);
}

/* The user's own parameters; those of a link that is broken, unless the user has set them. */
static bool
append_parameters(Text *text, const char *begin, const PQconninfoOption *options, Words *words)
{
	static const char *const keepalives[][2] = {
		{"keepalives_idle", "2"}, {"keepalives_interval", "1"}, {"keepalives_count", "3"}, {"tcp_user_timeout", "5000"}};
	bool is_set[sizeof(keepalives) / sizeof(keepalives[0])] = {false};

	for (const PQconninfoOption *option = options; option->keyword != NULL; option++)
	{
		if (option->val == NULL)
			continue;
		if (is_ours(option->keyword))
			return words_set(words, "Leave it out: pg_leader sets it.",
							 "the parameters for replication set \"%s\"", option->keyword);
		append_parameter(text, begin, option->keyword, option->val);
		for (size_t i = 0; i < sizeof(keepalives) / sizeof(keepalives[0]); i++)
			is_set[i] |= strcmp(option->keyword, keepalives[i][0]) == 0;
	}
	for (size_t i = 0; i < sizeof(keepalives) / sizeof(keepalives[0]); i++)
	{
		if (!is_set[i])
			append_parameter(text, begin, keepalives[i][0], keepalives[i][1]);
	}
	return true;
}

bool
upstream_conninfo(const char *parameters, const char *host, uint16_t port, const char *name,
				  char *conninfo, size_t size, Words *words)
{
	Text			  text = {.at = conninfo, .left = size};
	char			 *error = NULL;
	char			  number[8];
	char			  line[WORDS_SIZE];
	PQconninfoOption *options = PQconninfoParse(parameters, &error);
	bool			  done;

	words_clear(words);
	if (options == NULL)
	{
		(void) words_set(words, "They are written like primary_conninfo, for example \"user=replicator sslmode=require\".",
						 "the parameters for replication cannot be read: %s",
						 error != NULL ? words_line(error, line, sizeof(line)) : "out of memory");
		PQfreemem(error);
		return false;
	}
	(void) snprintf(number, sizeof(number), "%u", (unsigned) port);
	append_parameter(&text, conninfo, "host", host);
	append_parameter(&text, conninfo, "port", number);

	/* not for replication: for PostgreSQL 17's synchronization of logical slots */
	append_parameter(&text, conninfo, "dbname", "postgres");
	append_parameter(&text, conninfo, "application_name", name);
	done = append_parameters(&text, conninfo, options, words);
	PQconninfoFree(options);
	if (done && text.left == 0)
		return words_set(words, NULL, "the parameters for replication are too long");
	return done;
}

static const char *
value_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options != NULL && options->keyword != NULL; options++)
	{
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	}
	return NULL;
}

bool
upstream_user(const char *parameters, char *user, size_t size)
{
	PQconninfoOption *options = PQconninfoParse(parameters, NULL);
	PQconninfoOption *defaults = PQconndefaults();
	const char		 *name = value_of(options, "user");
	bool			  known;

	if (name == NULL)
		name = value_of(defaults, "user");
	known = options != NULL && name != NULL && (size_t) snprintf(user, size, "%s", name) < size;
	PQconninfoFree(options);
	PQconninfoFree(defaults);
	return known;
}

/* ---- waiting ---- */

/* The connection is of no use any more.  Always false. */
static bool
fail(Upstream *upstream, const char *hint, const char *what, const char *reason, Words *words)
{
	char line[WORDS_SIZE];

	(void) words_set(words, hint, "could not %s \"%s\", port %s: %s", what, PQhost(upstream->connection),
					 PQport(upstream->connection), words_line(reason, line, sizeof(line)));
	upstream_close(upstream);
	return false;
}

/* libpq's own error. */
static bool
fail_connection(Upstream *upstream, const char *what, Words *words)
{
	return fail(upstream, HINT_SILENT, what, PQerrorMessage(upstream->connection), words);
}

/* Wait until something comes, or can be sent, until that moment at most. */
static bool
wait_for(Upstream *upstream, short events, uint64_t until, const char *what, Words *words)
{
	for (;;)
	{
		struct pollfd wait = {.fd = PQsocket(upstream->connection), .events = events};
		uint64_t	  now = clock_now();
		uint64_t	  left = until > now ? until - now : 0;
		int			  n;

		if (upstream->stop != NULL && upstream->stop())
			return fail(upstream, NULL, what, "this was broken off", words);
		n = poll(&wait, 1, (int) (((left < SLICE ? left : SLICE) + 999) / 1000));
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return fail(upstream, NULL, what, strerror(errno), words);
		if (left == 0)
			return fail(upstream, HINT_SILENT, what, "there was no answer in time", words);
	}
}

/* Send what is waiting to be sent, if that is possible now, and take in what comes. */
static bool
exchange(Upstream *upstream, uint64_t until, const char *what, Words *words)
{
	int unsent = PQflush(upstream->connection);

	if (unsent < 0)
		return fail_connection(upstream, what, words);
	if (!wait_for(upstream, unsent > 0 ? POLLIN | POLLOUT : POLLIN, until, what, words))
		return false;
	return PQconsumeInput(upstream->connection) == 1 || fail_connection(upstream, what, words);
}

/* The next result; NULL: there is none any more. */
static bool
next_result(Upstream *upstream, uint64_t until, const char *what, PGresult **result, Words *words)
{
	*result = NULL;
	while (PQisBusy(upstream->connection))
	{
		if (!exchange(upstream, until, what, words))
			return false;
	}
	*result = PQgetResult(upstream->connection);
	return true;
}

/* All results that are left are of no interest. */
static bool
skip_results(Upstream *upstream, uint64_t until, const char *what, Words *words)
{
	PGresult *result;

	do
	{
		if (!next_result(upstream, until, what, &result, words))
			return false;
		PQclear(result);
	} while (result != NULL);
	return true;
}

static uint64_t
deadline(const Upstream *upstream)
{
	return clock_now() + upstream->patience;
}

/*
 * The answer to a command, whatever it says.  A copy goes on afterwards; of anything else nothing
 * more will come.  NULL, with words: the connection is closed.
 */
static PGresult *
ask(Upstream *upstream, const char *command, uint64_t until, const char *what, Words *words)
{
	PGresult *result;

	words_clear(words);
	if (upstream->connection == NULL)
	{
		(void) words_set(words, NULL, "there is no connection");
		return NULL;
	}
	if (PQsendQuery(upstream->connection, command) != 1)
	{
		(void) fail_connection(upstream, what, words);
		return NULL;
	}
	if (!next_result(upstream, until, what, &result, words))
		return NULL;
	if (result == NULL || PQstatus(upstream->connection) != CONNECTION_OK)
		(void) fail_connection(upstream, what, words);
	else if (PQresultStatus(result) == PGRES_COPY_BOTH || skip_results(upstream, until, what, words))
		return result;
	PQclear(result);
	return NULL;
}

/* What the server has said instead of an answer. */
static bool
fail_answer(Upstream *upstream, const PGresult *result, const char *what, Words *words)
{
	const char *error = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	return fail(upstream, error != NULL ? HINT_REFUSED : HINT_STRANGE, what,
				error != NULL ? error : "an answer that makes no sense", words);
}

static bool
has_state(const PGresult *result, const char *state)
{
	const char *found = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return found != NULL && strcmp(found, state) == 0;
}

/* ---- connecting ---- */

bool
upstream_connect(Upstream *upstream, const char *conninfo, Words *words)
{
	static const char *const what = "connect to";
	static const char *const keywords[] = {"dbname", "dbname", "replication", "application_name", "options", NULL};
	char					 name[32];

	/* what is asked runs no operator that a user of that server has made */
	const char				 *values[] = {conninfo, "postgres", "database", name, "-c search_path=", NULL};
	uint64_t				  until = deadline(upstream);
	PostgresPollingStatusType step = PGRES_POLLING_WRITING;

	words_clear(words);
	if (upstream->connection != NULL)
		return true;
	(void) snprintf(name, sizeof(name), "pg_leader_%d_check", (int) upstream->self);

	/* Of two equal keywords the later one counts; the first dbname is taken apart. */
	upstream->connection = PQconnectStartParams(keywords, values, 1);
	if (upstream->connection == NULL)
		return words_set(words, NULL, "out of memory");
	while (PQstatus(upstream->connection) != CONNECTION_BAD && step != PGRES_POLLING_OK)
	{
		if (!wait_for(upstream, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, until, what, words))
			return false;
		step = PQconnectPoll(upstream->connection);
	}
	if (step != PGRES_POLLING_OK)
		return fail(upstream, HINT_CONNECT, what, PQerrorMessage(upstream->connection), words);
	if (PQsetnonblocking(upstream->connection, 1) != 0)
		return fail_connection(upstream, what, words);
	return true;
}

/* ---- what it is ---- */

static bool
read_number(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno == 0 && end > text && *end == '\0';
}

/* Of a result with one row: has it so many columns, none of them null? */
static bool
is_row(const PGresult *result, int columns)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 || PQnfields(result) < columns)
		return false;
	for (int i = 0; i < columns; i++)
	{
		if (PQgetisnull(result, 0, i))
			return false;
	}
	return true;
}

static bool
take_state(const PGresult *result, UpstreamIdentity *identity)
{
	uint64_t timeline;

	if (!is_row(result, 2) || !read_number(PQgetvalue(result, 0, 1), &timeline) || timeline > UINT32_MAX)
		return false;
	identity->in_recovery = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	identity->control_timeline = (uint32_t) timeline;
	return true;
}

static bool
take_system(const PGresult *result, UpstreamIdentity *identity)
{
	uint64_t timeline;

	if (!is_row(result, 3) || !read_number(PQgetvalue(result, 0, 0), &identity->system_id) ||
		!read_number(PQgetvalue(result, 0, 1), &timeline) || timeline > UINT32_MAX ||
		!lineage_read_lsn(PQgetvalue(result, 0, 2), &identity->flush))
		return false;
	identity->timeline = (uint32_t) timeline;
	return true;
}

bool
upstream_identify(Upstream *upstream, UpstreamIdentity *identity, Words *words)
{
	static const struct
	{
		const char *command;
		bool (*take)(const PGresult *result, UpstreamIdentity *identity);
	} questions[] = {
		/* This one first: what pg_control shows then is not newer than where the WAL ends. */
		{"SELECT pg_catalog.pg_is_in_recovery(), timeline_id FROM pg_catalog.pg_control_checkpoint()", take_state},
		{"IDENTIFY_SYSTEM", take_system},
	};
	static const char *const what = "ask what it is of";

	*identity = (UpstreamIdentity){0};
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
	{
		PGresult *result = ask(upstream, questions[i].command, deadline(upstream), what, words);
		bool	  done;

		if (result == NULL)
			return false;
		done = questions[i].take(result, identity) || fail_answer(upstream, result, what, words);
		PQclear(result);
		if (!done)
			return false;
	}
	identity->major = (uint32_t) PQserverVersion(upstream->connection) / 10000;
	return true;
}

bool
upstream_ask(Upstream *upstream, const char *query, char *text, size_t size, Words *words)
{
	static const char *const what = "ask";
	PGresult				*result = ask(upstream, query, deadline(upstream), what, words);
	bool					 done;

	if (result == NULL)
		return false;
	done = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 && PQnfields(result) == 1 &&
		   (size_t) snprintf(text, size, "%s", PQgetvalue(result, 0, 0)) < size;
	if (!done)
		(void) fail_answer(upstream, result, what, words);
	PQclear(result);
	return done;
}

bool
upstream_history(Upstream *upstream, uint32_t timeline, char *text, size_t *length, Words *words)
{
	static const char *const what = "read a history file of";
	char					 command[64];
	PGresult				*result;
	bool					 done;

	*length = 0;
	(void) snprintf(command, sizeof(command), "TIMELINE_HISTORY %" PRIu32, timeline);
	result = ask(upstream, command, deadline(upstream), what, words);
	if (result == NULL)
		return false;
	done = has_state(result, UNDEFINED_FILE);
	if (!done && !is_row(result, 2))
		(void) fail_answer(upstream, result, what, words);
	else if (!done && PQgetlength(result, 0, 1) > UPSTREAM_HISTORY_SIZE)
		(void) fail(upstream, NULL, what, "it is too long", words);
	else if (!done)
	{
		*length = (size_t) PQgetlength(result, 0, 1);
		memcpy(text, PQgetvalue(result, 0, 1), *length);
		done = true;
	}
	PQclear(result);
	return done;
}

/* ---- bytes of WAL ---- */

static const char *const reading = "read WAL of";

/* What is being read, and how much of it is there. */
typedef struct Reading
{
	uint64_t from;
	uint64_t end;
	uint64_t have; /* up to here */
	char	*bytes;
} Reading;

/* A message of the server's.  false: it is none that it can send. */
static bool
take_wal(Reading *r, const char *message, int length)
{
	uint64_t begin;
	uint64_t end;

	if (message[0] == 'k')
		return true;
	if (message[0] != 'w' || length < WAL_HEADER_SIZE)
		return false;
	memcpy(&begin, message + 1, sizeof(begin));
	begin = be64toh(begin);
	end = begin + (uint64_t) length - WAL_HEADER_SIZE;
	if (begin > r->have || end < r->have)
		return false;
	if (end > r->end)
		end = r->end;
	if (end > r->have)
	{
		memcpy(r->bytes + (r->have - r->from), message + WAL_HEADER_SIZE + (r->have - begin), end - r->have);
		r->have = end;
	}
	return true;
}

/*
 * Take what comes until all is there, or nothing more comes; without r: what comes is of no
 * interest.  *ended: the server has ended the copy.
 */
static bool
take_copy(Upstream *upstream, Reading *r, uint64_t until, bool *ended, Words *words)
{
	*ended = false;
	while (r == NULL || r->have < r->end)
	{
		char *message;
		int	  length = PQgetCopyData(upstream->connection, &message, 1);
		bool  is_good;

		if (length < -1)
			return fail_connection(upstream, reading, words);
		*ended = length < 0;
		if (*ended)
			return true;
		if (length == 0 && !exchange(upstream, until, reading, words))
			return false;
		if (length == 0)
			continue;
		is_good = r == NULL || take_wal(r, message, length);
		PQfreemem(message);
		if (!is_good)
			return fail(upstream, HINT_STRANGE, reading, "it sends what is no WAL", words);
	}
	return true;
}

/* All is there: the connection is kept if the server ends the copy soon, too. */
static void
end_copy(Upstream *upstream, uint64_t until)
{
	Words words;
	bool  ended;

	if (PQputCopyEnd(upstream->connection, NULL) < 0)
		upstream_close(upstream);
	else if (take_copy(upstream, NULL, until, &ended, &words))
		(void) skip_results(upstream, until, reading, &words);
}

/*
 * The server has refused, or has ended the copy.  The errors that say that the place is not in its
 * history, or not yet, have no SQLSTATE of their own and are translated: they are known by where
 * they come from.
 */
static UpstreamBytes
explain(Upstream *upstream, const PGresult *result, Words *words)
{
	const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
	const char *error = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	bool		is_of_start = function != NULL && (strcmp(function, "StartReplication") == 0 ||
											   strcmp(function, "tliSwitchPoint") == 0);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK &&
		!has_state(result, UNDEFINED_FILE) && !(is_of_start && has_state(result, INTERNAL_ERROR)))
	{
		(void) fail_answer(upstream, result, reading, words);
		return UPSTREAM_FAILED;
	}
	(void) words_set(words, NULL, "\"%s\", port %s does not have that WAL: %s", PQhost(upstream->connection),
					 PQport(upstream->connection), error != NULL ? error : "its timeline ends before");
	return UPSTREAM_HAS_NOT;
}

/* The server has ended the copy, at the end of the timeline or with an error. */
static UpstreamBytes
explain_end(Upstream *upstream, uint64_t until, Words *words)
{
	PGresult	 *result;
	UpstreamBytes found;

	if (!next_result(upstream, until, reading, &result, words))
		return UPSTREAM_FAILED;
	if (PQresultStatus(result) == PGRES_COPY_IN)
	{
		PQclear(result);
		if (PQputCopyEnd(upstream->connection, NULL) < 0)
		{
			(void) fail_connection(upstream, reading, words);
			return UPSTREAM_FAILED;
		}
		if (!next_result(upstream, until, reading, &result, words))
			return UPSTREAM_FAILED;
	}
	found = explain(upstream, result, words);
	PQclear(result);
	if (found == UPSTREAM_HAS_NOT)
	{
		Words unread;

		(void) skip_results(upstream, until, reading, &unread);
	}
	return found;
}

UpstreamBytes
upstream_read(Upstream *upstream, uint32_t timeline, uint64_t from, uint64_t end, char *bytes, Words *words)
{
	Reading		  r = {.from = from, .end = end, .have = from, .bytes = bytes};
	uint64_t	  until = deadline(upstream);
	char		  command[96];
	PGresult	 *result;
	UpstreamBytes found = UPSTREAM_READ;
	bool		  ended;

	assert(from < end && end - from <= UPSTREAM_READ_SIZE);
	(void) snprintf(command, sizeof(command), "START_REPLICATION PHYSICAL %X/%X TIMELINE %" PRIu32,
					(unsigned) (from >> 32), (unsigned) from, timeline);
	result = ask(upstream, command, until, reading, words);
	if (result == NULL)
		return UPSTREAM_FAILED;
	if (PQresultStatus(result) != PGRES_COPY_BOTH)
		found = explain(upstream, result, words);
	else if (!take_copy(upstream, &r, until, &ended, words))
		found = UPSTREAM_FAILED;
	else if (ended)
		found = explain_end(upstream, until, words);
	else
		end_copy(upstream, until);
	PQclear(result);
	return found;
}
