/*
 * test/stand/ledger.c
 *	  Clients of a managed cluster that write down what each server has answered, and when.
 *
 * Called by tests of the stand, a process for each thing that is to be done; --help has the
 * modes, README.md the grammar of the history, and check_commits judges it.
 *
 * Only what is certain is written.  A commit is acknowledged when the server is ready for the
 * next query without an error: the tag of a statement may come before its commit.  It is
 * refused when the session goes on after an error, or the server says that nothing was
 * committed, or the message that commits was never sent.  All else is unknown.  No number
 * is used twice, so none is tried again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "../../node/clock.h"

#define HEADER "pg_leader commits 1"

/* Microseconds. */
#define RECONNECT_INTERVAL UINT64_C(20000)
#define PROBE_LIMIT		   UINT64_C(15000000) /* then the session is given up */

#define OBJECT_MISSING "42704"
#define READ_ONLY	   "25006"

/* Rows of a client that a reader looks at: each time, and on a timeline that it has not seen. */
#define WINDOW		 200
#define FIRST_WINDOW 20000

#define PROBES_MAX	 1024
#define CLIENTS_MAX	 256
#define LINE_SIZE	 400000
#define HERE_SIZE	 64
#define NOWHERE		 "-\t-\t-"
#define SUCCESS		 "00000"
#define RANGES_LIMIT 4000

static const char *mode = NULL;
static const char *path = NULL;
static const char *conninfo = NULL;
static const char *kinds = "insert,block,string,pipeline,call";
static int		   node = -1;
static int		   first_id = -1;
static int		   n_clients = 4;
static uint64_t	   interval = UINT64_MAX;
static uint64_t	   patience = 2000000;

static int					 output = -1;
static volatile sig_atomic_t ends = 0;
static volatile sig_atomic_t may_exit = 0; /* nothing is under way */

static const char usage[] =
	"NAME\n"
	"    ledger - clients that write down what they were answered\n"
	"\n"
	"SYNOPSIS\n"
	"    ledger create CONNINFO\n"
	"    ledger append --file FILE --first ID [--clients N] [--interval US] [--kinds KIND,...]\n"
	"                  [--patience MS] CONNINFO\n"
	"    ledger probe --file FILE --node NODE --first ID [--interval US] CONNINFO\n"
	"    ledger read --file FILE --first ID [--interval US] [--patience MS] CONNINFO\n"
	"    ledger watch --file FILE --node NODE [--interval US] [--patience MS] CONNINFO\n"
	"    ledger contents --file FILE --node NODE CONNINFO\n"
	"\n"
	"DESCRIPTION\n"
	"    create     the table, its functions, and the rights on them for role client\n"
	"    append     N clients commit, by all servers: with target_session_attrs=read-write\n"
	"    probe      one client of one server, which is asked to commit every 10 ms, also while\n"
	"               it has not answered the last time: nothing else finds one that thaws\n"
	"    read       what an open primary shows, every 50 ms, by all servers\n"
	"    watch      where the WAL of one server ends, and whom it streams from, every 100 ms;\n"
	"               as a superuser\n"
	"    contents   all rows of one server, once; as a superuser\n"
	"\n"
	"    Clients are numbered from ID on, and no number may be used again in one history.\n"
	"    SIGTERM ends all but create and contents.\n"
	"\n"
	"OPTIONS\n"
	"    --kinds KIND,...  what is committed in turn: insert, block, string, pipeline, call\n"
	"                      and prepared; all but the last without this option\n"
	"    --patience MS     for so long an answer is waited for, 2000 without it\n"
	"    --help            this text\n"
	"\n"
	"EXIT STATUS\n"
	"    0 done, 1 it could not be done, 2 called wrongly\n";

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void
fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("ledger: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static void
handle_end(int signal_number)
{
	(void) signal_number;
	if (may_exit)
		_exit(0);
	ends = 1;
}

/* ---- the file ---- */

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One write a line, to a file opened with O_APPEND: whoever is killed leaves whole lines. */
static void
put(const char *format, ...)
{
	static char line[LINE_SIZE];
	va_list		arguments;
	int			length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t) length >= sizeof(line) - 1)
		fail("a line is too long: %s", format);
	line[length++] = '\n';
	if (write(output, line, (size_t) length) != length)
		fail("could not write to %s: %s", path, strerror(errno));
}

static void
open_output(void)
{
	output = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (output < 0)
		fail("could not open %s: %s", path, strerror(errno));
	put("%s", HEADER);
}

/* ---- answers ---- */

/*
 * DONE		the server has done it, and is ready for more
 * FAILED	it has not, and is ready for more
 * NOTHING	the session has ended, and the server has said that nothing was committed
 * LOST		the session has ended, or did not answer in time
 */
typedef enum Verdict
{
	DONE,
	FAILED,
	NOTHING,
	LOST
} Verdict;

typedef struct Answer
{
	Verdict verdict;
	char	sqlstate[6];
	char	tag[32];		 /* of the last statement */
	char	here[HERE_SIZE]; /* the only value of the last row: node, timeline and term */
} Answer;

static void
ignore_notice(void *argument, const PGresult *result)
{
	(void) argument;
	(void) result;
}

static void
nap(uint64_t us)
{
	struct timespec time = {.tv_sec = (time_t) (us / 1000000), .tv_nsec = (long) (us % 1000000) * 1000};

	may_exit = 1;
	if (ends)
		exit(0);
	(void) nanosleep(&time, NULL);
	may_exit = 0;
}

/* Comes back with a good connection only. */
static PGconn *
connect_again(PGconn *old)
{
	PQfinish(old);
	for (;;)
	{
		PGconn *connection;

		may_exit = 1;
		if (ends)
			exit(0);
		connection = PQconnectdb(conninfo);
		may_exit = 0;
		if (PQstatus(connection) == CONNECTION_OK)
		{
			(void) PQsetNoticeReceiver(connection, ignore_notice, NULL);
			return connection;
		}
		PQfinish(connection);
		nap(RECONNECT_INTERVAL);
	}
}

/* Until its socket is ready for one of the events: 1, it is too late: 0, to be ended: -1. */
static int
wait_until(PGconn *connection, short events, uint64_t time)
{
	struct pollfd wait = {.fd = PQsocket(connection), .events = events};

	for (;;)
	{
		uint64_t now = clock_now();
		int		 n;

		if (ends)
			return -1;
		n = poll(&wait, 1, now >= time ? 0 : (int) ((time - now + 999) / 1000));
		if (n > 0)
			return 1;
		if (n == 0 && clock_now() >= time)
			return 0;
		if (n < 0 && errno != EINTR)
			fail("could not wait: %s", strerror(errno));
	}
}

/* Nothing of it is committed: the server says so in words, for 57P01 alone can mean less. */
static bool
says_nothing(const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	return message != NULL && (strstr(message, "pg_leader: nothing of this transaction was committed") != NULL ||
							   strstr(message, "pg_leader: this command was not begun") != NULL);
}

static void
note_result(Answer *answer, const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	switch (PQresultStatus(result))
	{
		case PGRES_TUPLES_OK:
			if (PQntuples(result) == 1 && PQnfields(result) == 1)
				(void) snprintf(answer->here, sizeof(answer->here), "%s", PQgetvalue(result, 0, 0));
			/* fall through */
		case PGRES_COMMAND_OK:
			(void) snprintf(answer->tag, sizeof(answer->tag), "%s", PQcmdStatus((PGresult *) result));
			break;
		case PGRES_PIPELINE_SYNC:
			break;
		default:
			/* that the connection has ended comes after the reason */
			if (strcmp(answer->sqlstate, SUCCESS) != 0)
				break;
			answer->verdict = severity == NULL || strcmp(severity, "ERROR") != 0 ? LOST : FAILED;
			if (says_nothing(result))
				answer->verdict = NOTHING;
			(void) snprintf(answer->sqlstate, sizeof(answer->sqlstate), "%s", sqlstate != NULL ? sqlstate : "-");
			break;
	}
}

/*
 * All that was sent is answered when there is no more, or, in a pipeline, the sync is.  An
 * error that ends the session comes as the last result.
 */
static Answer
answer_of(PGconn *connection, int was_sent)
{
	uint64_t until = clock_now() + patience;
	bool	 is_pipeline = PQpipelineStatus(connection) != PQ_PIPELINE_OFF;
	Answer	 answer = {.verdict = DONE, .sqlstate = SUCCESS, .here = NOWHERE};
	bool	 ready = false;

	if (!was_sent || PQflush(connection) != 0)
		return (Answer){.verdict = LOST, .sqlstate = "-", .here = NOWHERE};
	while (!ready)
	{
		PGresult *result;

		while (PQisBusy(connection))
		{
			if (wait_until(connection, POLLIN, until) <= 0)
				return (Answer){.verdict = LOST, .sqlstate = "-", .here = NOWHERE};
			if (!PQconsumeInput(connection))
				break;
		}
		result = PQgetResult(connection);
		if (result != NULL)
			note_result(&answer, result);
		ready = is_pipeline ? PQresultStatus(result) == PGRES_PIPELINE_SYNC : result == NULL;
		if (result == NULL && PQstatus(connection) == CONNECTION_BAD)
			ready = true;
		PQclear(result);
	}
	if (PQstatus(connection) == CONNECTION_BAD && answer.verdict != NOTHING)
	{
		answer.verdict = LOST;
		if (strcmp(answer.sqlstate, SUCCESS) == 0)
			(void) strcpy(answer.sqlstate, "-");
	}
	return answer;
}

static Answer run(PGconn *connection, const char *format, ...) __attribute__((format(printf, 2, 3)));

static Answer
run(PGconn *connection, const char *format, ...)
{
	char	sql[512];
	va_list arguments;

	va_start(arguments, format);
	(void) vsnprintf(sql, sizeof(sql), format, arguments);
	va_end(arguments);
	return answer_of(connection, PQsendQuery(connection, sql));
}

/* ---- append ---- */

/* A transaction of one client, by whatever way. */
typedef struct Attempt
{
	PGconn	*connection;
	int		 client;
	int64_t	 n;			/* of its first row */
	uint64_t sent;		/* when the message was that commits; 0: it was not */
	bool	 prepared;	/* the server has acknowledged to keep it */
	bool	 in_pieces; /* some may be committed without the others */
	Answer	 answer;
} Attempt;

/* The message that commits. */
#define COMMIT_BY(attempt, call) \
	((attempt)->sent = clock_now(), (attempt)->answer = (call))

static int
send_insert(PGconn *connection, int client, int64_t n)
{
	char		client_text[16];
	char		n_text[32];
	const char *values[] = {client_text, n_text};

	(void) snprintf(client_text, sizeof(client_text), "%d", client);
	(void) snprintf(n_text, sizeof(n_text), "%" PRId64, n);
	return PQsendQueryParams(connection, "INSERT INTO ledger VALUES ($1, $2) RETURNING ledger_here()", 2, NULL, values, NULL, NULL, 0);
}

static void
append_insert(Attempt *attempt)
{
	COMMIT_BY(attempt, answer_of(attempt->connection, send_insert(attempt->connection, attempt->client, attempt->n)));
}

static void
append_string(Attempt *attempt)
{
	COMMIT_BY(attempt, run(attempt->connection, "INSERT INTO ledger VALUES (%d, %" PRId64 "); INSERT INTO ledger VALUES (%d, %" PRId64 ") RETURNING ledger_here()", attempt->client, attempt->n,
						   attempt->client, attempt->n + 1));
}

static void
append_pipeline(Attempt *attempt)
{
	PGconn *connection = attempt->connection;

	(void) PQenterPipelineMode(connection);
	COMMIT_BY(attempt, answer_of(connection, send_insert(connection, attempt->client, attempt->n) &&
												 send_insert(connection, attempt->client, attempt->n + 1) && PQpipelineSync(connection)));
	(void) PQexitPipelineMode(connection);
}

static void
append_call(Attempt *attempt)
{
	attempt->in_pieces = true;
	COMMIT_BY(attempt, run(attempt->connection, "CALL ledger_append_twice(%d, %" PRId64 ", NULL)", attempt->client, attempt->n));
}

/* Two rows in a transaction block that is not ended; the server's name is kept. */
static bool
open_block(Attempt *attempt, char *here)
{
	static const char insert[] = "INSERT INTO ledger VALUES (%d, %" PRId64 ") RETURNING ledger_here()";

	attempt->answer = run(attempt->connection, "BEGIN");
	for (int i = 0; i < 2 && attempt->answer.verdict == DONE; i++)
		attempt->answer = run(attempt->connection, insert, attempt->client, attempt->n + i);
	(void) memcpy(here, attempt->answer.here, HERE_SIZE);
	return attempt->answer.verdict == DONE;
}

/* A block that has failed is ended by COMMIT without an error. */
static void
expect_tag(Attempt *attempt, const char *tag, const char *here)
{
	if (attempt->answer.verdict == DONE && strcmp(attempt->answer.tag, tag) != 0)
		attempt->answer.verdict = FAILED;
	if (attempt->answer.verdict == DONE)
		(void) memcpy(attempt->answer.here, here, HERE_SIZE);
}

static void
append_block(Attempt *attempt)
{
	char here[HERE_SIZE];

	if (!open_block(attempt, here))
		return;
	COMMIT_BY(attempt, run(attempt->connection, "COMMIT"));
	expect_tag(attempt, "COMMIT", here);
}

/* Whoever was told that it is prepared goes on until it is committed. */
static void
append_prepared(Attempt *attempt)
{
	char here[HERE_SIZE];

	if (!open_block(attempt, here))
		return;
	COMMIT_BY(attempt, run(attempt->connection, "PREPARE TRANSACTION 'ledger_%d_%" PRId64 "'", attempt->client, attempt->n));
	expect_tag(attempt, "PREPARE TRANSACTION", here);
	attempt->prepared = attempt->answer.verdict == DONE;
	if (!attempt->prepared)
		return;
	COMMIT_BY(attempt, run(attempt->connection, "COMMIT PREPARED 'ledger_%d_%" PRId64 "'", attempt->client, attempt->n));
	expect_tag(attempt, "COMMIT PREPARED", here);
}

/*
 * A prepared transaction whose end nobody knows: true, it is known now.  An open primary where
 * it is no more has committed it.
 */
static bool
finish_prepared(Attempt *attempt)
{
	Answer where = run(attempt->connection, "SELECT ledger_here()");

	if (where.verdict != DONE)
		return false;
	COMMIT_BY(attempt, run(attempt->connection, "COMMIT PREPARED 'ledger_%d_%" PRId64 "'", attempt->client, attempt->n));
	expect_tag(attempt, "COMMIT PREPARED", where.here);
	if (attempt->answer.verdict == FAILED && strcmp(attempt->answer.sqlstate, OBJECT_MISSING) == 0)
	{
		Answer open = run(attempt->connection, "SELECT is_open::text FROM pg_leader_get_fence()");

		return open.verdict == DONE && strcmp(open.here, "true") == 0;
	}
	return attempt->answer.verdict == DONE;
}

typedef struct Kind
{
	const char *name;
	int			n_rows;
	void (*append)(Attempt *);
} Kind;

static const Kind all_kinds[] = {
	{"insert", 1, append_insert},
	{"block", 2, append_block},
	{"string", 2, append_string},
	{"pipeline", 2, append_pipeline},
	{"call", 2, append_call},
	{"prepared", 2, append_prepared},
};
#define N_KINDS (sizeof(all_kinds) / sizeof(all_kinds[0]))

static const char *
outcome_of(const Attempt *attempt)
{
	if (attempt->answer.verdict == DONE)
		return "ok";
	if (attempt->prepared)
		return strcmp(attempt->answer.sqlstate, OBJECT_MISSING) == 0 ? "implied" : "unknown";
	if (attempt->sent == 0 || attempt->answer.verdict == NOTHING)
		return attempt->in_pieces ? "unknown" : "refused";
	return attempt->answer.verdict == FAILED && !attempt->in_pieces ? "refused" : "unknown";
}

/* Did it end before anything began?  Then its numbers are free. */
static bool
has_begun(const Attempt *attempt)
{
	return strcmp(attempt->answer.sqlstate, READ_ONLY) != 0;
}

static void
put_commit(const Kind *kind, const Attempt *attempt, uint64_t answered)
{
	const char *outcome = outcome_of(attempt);
	bool		is_ok = strcmp(outcome, "ok") == 0;

	put("commit\t%s\t%d\t%" PRId64 "\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%s", kind->name, attempt->client, attempt->n, attempt->n + kind->n_rows - 1,
		attempt->sent != 0 ? attempt->sent : answered, answered, outcome, attempt->answer.sqlstate, is_ok ? attempt->answer.here : NOWHERE);
}

/* Which kinds are wanted: how many. */
static int
read_kinds(const Kind **wanted)
{
	char *names = strdup(kinds);
	char *rest = NULL;
	int	  n = 0;

	for (char *name = strtok_r(names, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest))
	{
		size_t i = 0;

		while (i < N_KINDS && strcmp(all_kinds[i].name, name) != 0)
			i++;
		if (i == N_KINDS || n == N_KINDS)
			fail("there is no kind \"%s\", or it is there twice", name);
		wanted[n++] = &all_kinds[i];
	}
	free(names);
	if (n == 0)
		fail("no kinds");
	return n;
}

static void
append(int client)
{
	const Kind *wanted[N_KINDS];
	int			n_wanted = read_kinds(wanted);
	Attempt		attempt = {.client = client, .n = 1};

	for (int turn = client;; turn++)
	{
		const Kind *kind = wanted[turn % n_wanted];

		if (PQstatus(attempt.connection) != CONNECTION_OK)
			attempt.connection = connect_again(attempt.connection);
		attempt = (Attempt){.connection = attempt.connection, .client = client, .n = attempt.n};
		kind->append(&attempt);
		while (attempt.prepared && attempt.answer.verdict != DONE && !ends)
		{
			PQfinish(attempt.connection);
			attempt.connection = NULL;
			(void) poll(NULL, 0, (int) (RECONNECT_INTERVAL / 1000));
			attempt.connection = PQconnectdb(conninfo);
			if (PQstatus(attempt.connection) == CONNECTION_OK && finish_prepared(&attempt))
				break;
		}
		if (has_begun(&attempt))
		{
			put_commit(kind, &attempt, clock_now());
			attempt.n += kind->n_rows;
		}
		if (attempt.answer.verdict != DONE && (PQstatus(attempt.connection) != CONNECTION_OK || PQtransactionStatus(attempt.connection) != PQTRANS_IDLE || !has_begun(&attempt)))
		{
			PQfinish(attempt.connection);
			attempt.connection = NULL;
			nap(RECONNECT_INTERVAL);
		}
		nap(interval);
	}
}

/* A process for each client. */
static int
append_all(void)
{
	pid_t pids[CLIENTS_MAX];

	for (int i = 0; i < n_clients; i++)
	{
		pids[i] = fork();
		if (pids[i] < 0)
			fail("fork: %s", strerror(errno));
		if (pids[i] == 0)
		{
			(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
			append(first_id + i);
		}
	}
	while (!ends)
	{
		int status;

		if (waitpid(-1, &status, WNOHANG) > 0)
			fail("a client has ended");
		(void) poll(NULL, 0, 50);
	}
	for (int i = 0; i < n_clients; i++)
		(void) kill(pids[i], SIGTERM);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	return 0;
}

/* ---- probe ---- */

typedef struct Probe
{
	int64_t	 n;
	uint64_t sent;
	Answer	 answer; /* as far as it has come */
} Probe;

static struct
{
	Probe	probes[PROBES_MAX]; /* those that are not answered, oldest first, from "begin" on */
	int		begin;
	int		n;
	int64_t last; /* number */
} probing;

static void
put_probe(const Probe *probe, const char *outcome, const char *sqlstate)
{
	put("commit\tprobe\t%d\t%" PRId64 "\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%s", first_id, probe->n, probe->n, probe->sent, clock_now(), outcome, sqlstate,
		strcmp(outcome, "ok") == 0 ? probe->answer.here : NOWHERE);
}

static bool
send_probe(PGconn *connection)
{
	Probe	   *probe = &probing.probes[(probing.begin + probing.n) % PROBES_MAX];
	char		client_text[16];
	char		n_text[32];
	const char *values[] = {client_text, n_text};

	*probe = (Probe){.n = ++probing.last, .sent = clock_now(), .answer = {.verdict = DONE, .sqlstate = SUCCESS, .here = NOWHERE}};
	probing.n++;
	(void) snprintf(client_text, sizeof(client_text), "%d", first_id);
	(void) snprintf(n_text, sizeof(n_text), "%" PRId64, probe->n);
	return PQsendQueryParams(connection, "SELECT ledger_probe($1, $2)", 2, NULL, values, NULL, NULL, 0) && PQpipelineSync(connection) && PQflush(connection) >= 0;
}

/* A server in recovery answers with no row's name: nothing was begun. */
static void
end_probe(void)
{
	Probe *probe = &probing.probes[probing.begin];

	probing.begin = (probing.begin + 1) % PROBES_MAX;
	probing.n--;
	if (probe->answer.verdict == DONE && probe->answer.here[0] != '\0')
		put_probe(probe, "ok", SUCCESS);
	else if (probe->answer.verdict != DONE && strcmp(probe->answer.sqlstate, READ_ONLY) != 0)
		put_probe(probe, "refused", probe->answer.sqlstate);
}

/* The session has ended: of its probes only the first can have been told of. */
static void
give_up_probes(void)
{
	for (; probing.n > 0; probing.n--)
	{
		Probe *probe = &probing.probes[probing.begin];
		bool   is_told = strcmp(probe->answer.sqlstate, SUCCESS) != 0;

		put_probe(probe, probe->answer.verdict == NOTHING ? "refused" : "unknown", is_told ? probe->answer.sqlstate : "-");
		probing.begin = (probing.begin + 1) % PROBES_MAX;
	}
}

static void
read_probes(PGconn *connection)
{
	while (probing.n > 0 && !PQisBusy(connection))
	{
		PGresult *result = PQgetResult(connection);
		bool	  is_sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC;

		if (result != NULL)
			note_result(&probing.probes[probing.begin].answer, result);
		else if (PQstatus(connection) == CONNECTION_BAD)
			return;
		PQclear(result);
		if (is_sync)
			end_probe();
	}
}

static bool
begin_probing(PGconn *connection)
{
	return run(connection, "SET default_transaction_read_only = off").verdict == DONE && PQsetnonblocking(connection, 1) == 0 && PQenterPipelineMode(connection);
}

static int
probe(void)
{
	PGconn	*connection = NULL;
	uint64_t next = clock_now();

	while (!ends)
	{
		if (PQstatus(connection) != CONNECTION_OK || (probing.n > 0 && clock_now() - probing.probes[probing.begin].sent > PROBE_LIMIT))
		{
			give_up_probes();
			connection = connect_again(connection);
			if (!begin_probing(connection))
			{
				PQfinish(connection);
				connection = NULL;
				nap(RECONNECT_INTERVAL);
			}
			next = clock_now();
			continue;
		}
		if (clock_now() >= next)
		{
			/* what was missed is not made up for */
			next = clock_now() + interval;
			if (probing.n < PROBES_MAX && !send_probe(connection))
				continue;
		}
		if (wait_until(connection, POLLIN, next) > 0)
			(void) PQconsumeInput(connection);
		read_probes(connection);
		(void) PQflush(connection);
	}
	give_up_probes();
	return 0;
}

/* ---- read ---- */

/* All results of a string of statements; their number, or -1. */
static int
ask(PGconn *connection, const char *sql, PGresult **results, int size)
{
	uint64_t until = clock_now() + patience;
	int		 n = 0;
	bool	 is_good = true;

	if (!PQsendQuery(connection, sql) || PQflush(connection) != 0)
		return -1;
	for (;;)
	{
		PGresult *result;

		while (PQisBusy(connection))
		{
			if (wait_until(connection, POLLIN, until) <= 0)
				goto lost;
			if (!PQconsumeInput(connection))
				break;
		}
		result = PQgetResult(connection);
		if (result == NULL)
			break;
		if (n < size && PQresultStatus(result) == PGRES_TUPLES_OK)
			results[n++] = result;
		else
		{
			is_good = false;
			PQclear(result);
		}
	}
	if (is_good)
		return n;
lost:
	while (n > 0)
		PQclear(results[--n]);
	return -1;
}

/* The same open primary before and after? */
static bool
is_same(const PGresult *before, const PGresult *after)
{
	return strcmp(PQgetvalue(before, 0, 0), "t") == 0 && strcmp(PQgetvalue(after, 0, 0), "t") == 0 && strcmp(PQgetvalue(before, 0, 1), PQgetvalue(after, 0, 1)) == 0;
}

static int
read_rows(void)
{
	static const char fence[] = "SELECT is_open, ledger_here() FROM pg_leader_get_fence()";
	PGconn			 *connection = NULL;
	char			  seen[HERE_SIZE] = "";

	for (; !ends; nap(interval))
	{
		PGresult   *results[3];
		char		sql[512];
		uint64_t	sent;
		uint64_t	answered;
		const char *here;

		if (PQstatus(connection) != CONNECTION_OK)
		{
			connection = connect_again(connection);
			seen[0] = '\0';
		}
		(void) snprintf(sql, sizeof(sql), "%s; SELECT * FROM ledger_ranges(%d); %s", fence, seen[0] == '\0' ? FIRST_WINDOW : WINDOW, fence);
		sent = clock_now();
		if (ask(connection, sql, results, 3) != 3)
		{
			PQfinish(connection);
			connection = NULL;
			continue;
		}
		answered = clock_now();
		here = PQgetvalue(results[2], 0, 1);
		if (is_same(results[0], results[2]))
		{
			(void) snprintf(seen, sizeof(seen), "%s", here);
			for (int i = 0; i < PQntuples(results[1]); i++)
				put("read\t%d\t%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%s", first_id, PQgetvalue(results[1], i, 0), sent, answered, here, PQgetvalue(results[1], i, 1),
					PQgetvalue(results[1], i, 2));
		}
		for (int i = 0; i < 3; i++)
			PQclear(results[i]);
	}
	return 0;
}

/* ---- watch ---- */

/*
 * What a server holds for certain is whole records: those that a standby has replayed, and those
 * that a primary had inserted at the last time and has flushed by now.  The end of flushed WAL can
 * be in the middle of one, which is then thrown away.
 */
static int
watch(void)
{
	static const char sql[] =
		"SELECT r, CASE WHEN r THEN s.timeline::text ELSE split_part(ledger_here(), E'\\t', 2) END,"
		" CASE WHEN r THEN s.wal_end ELSE pg_current_wal_flush_lsn() END - pg_lsn '0/0',"
		" CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - pg_lsn '0/0',"
		" (SELECT p.node_id FROM pg_stat_wal_receiver AS w JOIN pg_leader_get_peers() AS p"
		" ON p.port = w.sender_port AND regexp_replace(p.address, ':[0-9]+$', '') = w.sender_host"
		" WHERE w.status = 'streaming' AND w.last_msg_send_time <> w.last_msg_receipt_time)"
		" FROM (SELECT pg_is_in_recovery() AS r OFFSET 0) AS recovery, pg_leader_server AS s";
	PGconn	*connection = NULL;
	uint64_t inserted = 0;

	for (; !ends; nap(interval))
	{
		PGresult   *result;
		uint64_t	sent;
		uint64_t	held;
		const char *flushed;
		bool		is_standby;

		if (PQstatus(connection) != CONNECTION_OK)
		{
			connection = connect_again(connection);
			inserted = 0;
		}
		sent = clock_now();
		if (ask(connection, sql, &result, 1) != 1)
		{
			PQfinish(connection);
			connection = NULL;
			continue;
		}
		is_standby = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
		flushed = PQgetvalue(result, 0, 2);
		held = strtoull(PQgetvalue(result, 0, 3), NULL, 10);
		if (!is_standby)
		{
			uint64_t before = inserted;

			inserted = held;
			held = before <= strtoull(flushed, NULL, 10) ? before : 0;
		}
		if (!PQgetisnull(result, 0, 1) && !PQgetisnull(result, 0, 2))
			put("position\t%d\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%s\t%" PRIu64 "\t%s", node, sent, clock_now(), is_standby ? "standby" : "primary", PQgetvalue(result, 0, 1), flushed, held,
				PQgetisnull(result, 0, 4) ? "-" : PQgetvalue(result, 0, 4));
		PQclear(result);
	}
	return 0;
}

/* ---- create and contents ---- */

static PGresult *
must(PGconn *connection, const char *sql)
{
	PGresult *result = PQexec(connection, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		fail("%s", PQerrorMessage(connection));
	return result;
}

static PGconn *
must_connect(void)
{
	PGconn *connection = PQconnectdb(conninfo);

	if (PQstatus(connection) != CONNECTION_OK)
		fail("%s", PQerrorMessage(connection));
	(void) PQsetNoticeReceiver(connection, ignore_notice, NULL);
	return connection;
}

/*
 * ledger_here is what answers: node, timeline and term, as fields of the history.  A table is
 * read by ledger_ranges from the index, and by "contents" from the heap.
 */
static int
create(void)
{
	static const char sql[] =
		"CREATE TABLE ledger (client int4, n int8, PRIMARY KEY (client, n));"
		"CREATE FUNCTION ledger_here() RETURNS text LANGUAGE sql AS $$"
		" SELECT current_setting('pg_leader.node_id')"
		" || E'\\t' || ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int8"
		" || E'\\t' || coalesce(pg_leader_term()::text, '-') $$;"
		"CREATE FUNCTION ledger_probe(client int4, n int8) RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
		" IF pg_is_in_recovery() THEN RETURN NULL; END IF;"
		" INSERT INTO ledger VALUES (client, n);"
		" RETURN ledger_here(); END $$;"
		"CREATE PROCEDURE ledger_append_twice(client int4, n int8, INOUT here text) LANGUAGE plpgsql AS $$ BEGIN"
		" INSERT INTO ledger VALUES (client, n);"
		" COMMIT;"
		" INSERT INTO ledger VALUES (client, n + 1);"
		" here := ledger_here(); END $$;"
		"CREATE FUNCTION ledger_ranges(size int) RETURNS TABLE (client int4, above int8, ranges text) LANGUAGE sql AS $$"
		" WITH RECURSIVE clients AS (SELECT min(l.client) AS c FROM ledger l"
		" UNION ALL SELECT (SELECT min(l.client) FROM ledger l WHERE l.client > c) FROM clients WHERE c IS NOT NULL),"
		" numbers AS (SELECT c, i.n, i.n - row_number() OVER (PARTITION BY c ORDER BY i.n) AS island FROM clients,"
		" LATERAL (SELECT l.n FROM ledger l WHERE l.client = c ORDER BY l.n DESC LIMIT size) AS i),"
		" islands AS (SELECT c, min(n) AS low, max(n) AS high, count(*) AS n FROM numbers GROUP BY c, island)"
		" SELECT c, CASE WHEN sum(n) < size THEN 0 ELSE min(low) - 1 END,"
		" string_agg(CASE WHEN low = high THEN low::text ELSE low || '-' || high END, ',' ORDER BY low)"
		" FROM islands GROUP BY c $$;"
		"GRANT SELECT, INSERT ON ledger TO client";

	PQclear(must(must_connect(), sql));
	return 0;
}

static int
contents(void)
{
	PGconn	   *connection = must_connect();
	PGresult   *result;
	uint64_t	sent = clock_now();
	const char *total = "0";
	char		line[RANGES_LIMIT + 64];
	size_t		length = 0;
	int			n;

	PQclear(must(connection, "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off"));
	result = must(connection,
				  "SELECT client, CASE WHEN low = high THEN low::text ELSE low || '-' || high END, sum(size) OVER ()"
				  " FROM (SELECT client, min(n) AS low, max(n) AS high, count(*) AS size"
				  " FROM (SELECT client, n, n - row_number() OVER (PARTITION BY client ORDER BY n) AS island FROM ledger) AS numbers"
				  " GROUP BY client, island) AS islands ORDER BY client, low");
	n = PQntuples(result);
	for (int i = 0; i < n; i++)
	{
		const char *client = PQgetvalue(result, i, 0);

		length += (size_t) snprintf(line + length, sizeof(line) - length, "%s%s", length > 0 ? "," : "", PQgetvalue(result, i, 1));
		if (i + 1 < n && length < RANGES_LIMIT && strcmp(client, PQgetvalue(result, i + 1, 0)) == 0)
			continue;
		put("rows\t%d\t%s\t%s", node, client, line);
		length = 0;
	}
	if (n > 0)
		total = PQgetvalue(result, 0, 2);
	/* last, as whoever is killed before has not read all */
	put("contents\t%d\t%" PRIu64 "\t%" PRIu64 "\t%s", node, sent, clock_now(), total);
	PQclear(result);
	PQfinish(connection);
	return 0;
}

/* ---- main ---- */

typedef struct Mode
{
	const char *name;
	int (*run)(void);
	uint64_t interval; /* if none is given */
	bool	 needs_file;
	bool	 needs_node;
	bool	 needs_id;
} Mode;

static const Mode modes[] = {
	{"create", create, 0, false, false, false},
	{"append", append_all, 0, true, false, true},
	{"probe", probe, 10000, true, true, true},
	{"read", read_rows, 50000, true, false, true},
	{"watch", watch, 100000, true, true, false},
	{"contents", contents, 0, true, true, false},
};
#define N_MODES (sizeof(modes) / sizeof(modes[0]))

static void call_wrongly(const char *why) __attribute__((noreturn));

static void
call_wrongly(const char *why)
{
	fprintf(stderr, "ledger: %s\nTry ledger --help.\n", why);
	exit(2);
}

static uint64_t
number(const char *text, uint64_t most)
{
	char	*end;
	uint64_t value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || value > most)
		call_wrongly("a number is wrong");
	return value;
}

static void
read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"file", required_argument, NULL, 'f'},
		{"node", required_argument, NULL, 'n'},
		{"first", required_argument, NULL, 'i'},
		{"clients", required_argument, NULL, 'c'},
		{"interval", required_argument, NULL, 't'},
		{"kinds", required_argument, NULL, 'k'},
		{"patience", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'f':
				path = optarg;
				break;
			case 'n':
				node = (int) number(optarg, 63);
				break;
			case 'i':
				first_id = (int) number(optarg, 1000000);
				break;
			case 'c':
				n_clients = (int) number(optarg, CLIENTS_MAX);
				break;
			case 't':
				interval = number(optarg, UINT64_C(3600000000));
				break;
			case 'k':
				kinds = optarg;
				break;
			case 'p':
				patience = number(optarg, 3600000) * 1000;
				break;
			case 'h':
				fputs(usage, stdout);
				exit(0);
			default:
				call_wrongly("called wrongly");
		}
	}
	if (argc - optind != 2)
		call_wrongly("a mode and a connection string are needed");
	mode = argv[optind];
	conninfo = argv[optind + 1];
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = handle_end};
	size_t			 i = 0;

	read_options(argc, argv);
	while (i < N_MODES && strcmp(modes[i].name, mode) != 0)
		i++;
	if (i == N_MODES)
		call_wrongly("there is no such mode");
	if ((modes[i].needs_file && path == NULL) || (modes[i].needs_node && node < 0) || (modes[i].needs_id && first_id < 0))
		call_wrongly("an option is missing");
	if (interval == UINT64_MAX)
		interval = modes[i].interval;
	(void) sigaction(SIGTERM, &action, NULL);
	(void) sigaction(SIGINT, &action, NULL);
	(void) signal(SIGPIPE, SIG_IGN);
	/* whoever started this may be killed */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		fail("prctl: %s", strerror(errno));
	if (modes[i].needs_file)
		open_output();
	return modes[i].run();
}
