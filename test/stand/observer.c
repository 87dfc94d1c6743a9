/*
 * test/stand/observer.c
 *	  Watches a cluster of real servers, and writes down what each of them says.
 *
 * Called by the tests of the stand while another program cuts links and kills
 * servers.  Asks all nodes in turn, over one connection to each, what they are
 * and whether they hold a lease, and collects their events; README.md has the
 * grammar of the file that it writes, check_history judges it.
 *
 * It only looks: it never changes anything on a server, and never waits for one.
 * A server that is paused keeps its query; the others are asked meanwhile.
 *
 * A life is a start of the member, which its boot counter numbers: events and
 * samples both say which one they are of.  Events outlive it, and their numbers go
 * on: what was not seen of a life is told in the next one.  Only an event that the
 * member had shown, but not written yet when it was killed, is lost, and its number
 * is used again in the next life; so what is new is known by the life first, and
 * then by the number.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "../../node/clock.h"

#define HEADER "pg_leader history 1"

#define NODES_MAX 64

/* Microseconds. */
#define RECONNECT_INTERVAL UINT64_C(50000)
#define ATTEMPT_LIMIT	   UINT64_C(2000000)
#define EVENTS_INTERVAL	   UINT64_C(100000)
#define FLUSH_INTERVAL	   UINT64_C(100000)
#define END_LIMIT		   UINT64_C(1000000)
/* Samples that could not be taken in time are made up for, but not without end. */
#define BACKLOG_LIMIT UINT64_C(20000)

#define DEFAULT_RATE 625
#define LINE_SIZE	 2048

/*
 * DOWN			no connection, and none is being made
 * CONNECTING	libpq is at it
 * PREPARE_*	telling the new backend the two statements
 * FIRST_EVENTS what has happened meanwhile
 * IDLE			may be asked
 * SAMPLE		asked what it is
 * EVENTS		asked for new events
 */
typedef enum Step
{
	DOWN,
	CONNECTING,
	PREPARE_SAMPLE,
	PREPARE_EVENTS,
	FIRST_EVENTS,
	IDLE,
	SAMPLE,
	EVENTS
} Step;

typedef struct Node
{
	int		  id;
	char	  port[16];
	PGconn	 *connection;
	PGresult *result; /* of the query under way, as far as it has come */
	Step	  step;
	short	  poll_for;	  /* while CONNECTING */
	uint64_t  step_since; /* begin of the attempt, or when the query was sent */
	uint64_t  retry_at;	  /* while DOWN */
	bool	  told_down;

	/* the last event that was seen */
	uint64_t last_boot;
	uint64_t last_event;

	uint64_t sampled_at;
	uint64_t events_at;
	bool	 wants_events;
	char	 seen[160]; /* what changes with an event, as of the last sample */
	bool	 is_final;	/* ending, and nothing more is expected of it */

	uint64_t samples;
	uint64_t slowest; /* us between question and answer */
} Node;

/*
 * The row of pg_leader_status is no single reading: role, term and leader are read
 * first, and the lease, on which is_leader goes, a moment later, until they fit.
 * Whether they do is for the checker to judge, so nothing here relies on it.
 * pg_leader_lease() reads the lease together with its term.  So the status is read on both sides
 * of the lease; where the two agree ("steady"), everything between them was of
 * that role and term, for a member that ceases to lead a term does not lead it
 * again.  The functions are called from left to right, once each: a subquery
 * with volatile columns is not merged into the outer one.
 */
static const char sample_sql[] =
	"SELECT (a).boot, (a).role, (a).term, (a).leader_id, (a).is_leader, (l).term,"
	" (extract(epoch FROM (l).remaining) * 1000000)::int8,"
	" ((a).boot, (a).role, (a).term, (a).leader_id) IS NOT DISTINCT FROM"
	" ((b).boot, (b).role, (b).term, (b).leader_id)"
	" FROM (SELECT pg_leader_get_status() AS a, pg_leader_lease() AS l,"
	" pg_leader_get_status() AS b OFFSET 0) AS reading";

enum
{
	SAMPLE_BOOT,
	SAMPLE_ROLE,
	SAMPLE_TERM,
	SAMPLE_LEADER,
	SAMPLE_IS_LEADER,
	SAMPLE_LEASE_TERM,
	SAMPLE_REMAINING,
	SAMPLE_STEADY,
	SAMPLE_COLUMNS
};

/*
 * A row even if there is no event: which start of the member this is, is wanted
 * anyway.  What the machine did before its own last start is nobody's concern.
 */
static const char events_sql[] =
	"SELECT (status.of).boot, event.boot, number, boot_time, event.term, event.role,"
	" event.leader_id, lease_start, lease_end, reason"
	" FROM (SELECT pg_leader_get_status() AS of OFFSET 0) AS status"
	" LEFT JOIN pg_leader_get_events() AS event ON boot_time IS NOT NULL"
	" AND (event.boot > $1::int8 OR (event.boot = $1::int8 AND number > $2::int8))"
	" ORDER BY number";

enum
{
	EVENT_PRESENT_BOOT,
	EVENT_BOOT,
	EVENT_NUMBER,
	EVENT_BOOT_TIME,
	EVENT_TERM,
	EVENT_ROLE,
	EVENT_LEADER,
	EVENT_LEASE_START,
	EVENT_LEASE_END,
	EVENT_REASON,
	EVENT_COLUMNS
};

static const char *socket_directory = NULL;
static const char *user = "postgres";
static const char *database = "postgres";
static const char *output_path = NULL;
static bool		   append = false;
static uint64_t	   sample_interval = 1000000 / DEFAULT_RATE;

static Node nodes[NODES_MAX];
static int	n_nodes = 0;

static int		output_fd = -1;
static char		buffer[65536];
static size_t	buffered = 0;
static uint64_t flushed_at = 0;

static uint64_t next_sample = 0;
static uint64_t end_by = 0; /* 0: not ending */

static volatile sig_atomic_t end_requested = 0;

static void
handle_end(int signal_number)
{
	(void) signal_number;
	end_requested = 1;
}

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void
fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("observer: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

/* ---- the file ---- */

/*
 * Whole lines in one write, to a file opened with O_APPEND: another writer's
 * lines come before or after them, never between.
 */
static void
flush(void)
{
	size_t written = 0;

	while (written < buffered)
	{
		ssize_t n = write(output_fd, buffer + written, buffered - written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail("could not write to %s: %s", output_path, strerror(errno));
		written += (size_t) n;
	}
	buffered = 0;
	flushed_at = clock_now();
}

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Add a line; the end of the line is added here. */
static void
put(const char *format, ...)
{
	va_list arguments;
	char	line[LINE_SIZE];
	int		length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t) length >= sizeof(line) - 1)
		fail("a line is too long: %s", format);
	line[length++] = '\n';
	if (buffered + (size_t) length > sizeof(buffer))
		flush();
	memcpy(buffer + buffered, line, (size_t) length);
	buffered += (size_t) length;
}

/* Words on one line, without what would end a field. */
static void
tidy(char *text, size_t size, const char *words)
{
	size_t n = 0;
	bool   space = false;

	for (; *words != '\0' && n + 2 < size; words++)
	{
		if ((unsigned char) *words <= ' ')
		{
			space = n > 0;
			continue;
		}
		if (space)
			text[n++] = ' ';
		space = false;
		text[n++] = *words;
	}
	if (n == 0)
		text[n++] = '-';
	text[n] = '\0';
}

static void
open_output(void)
{
	struct stat status;
	char		begin[sizeof(HEADER)];
	int			fd = open(output_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0 || fstat(fd, &status) != 0)
		fail("could not open %s: %s", output_path, strerror(errno));
	output_fd = fd;
	if (status.st_size == 0)
	{
		put("%s", HEADER);
		flush();
		return;
	}
	if (!append)
		fail("%s is not empty; --append adds to it", output_path);
	if (pread(fd, begin, sizeof(begin), 0) != (ssize_t) sizeof(begin) ||
		memcmp(begin, HEADER "\n", sizeof(begin)) != 0)
		fail("%s is no history: its first line is not \"%s\"", output_path, HEADER);
}

/* ---- connections ---- */

static void
ignore_notice(void *argument, const char *message)
{
	(void) argument;
	(void) message;
}

static void
drop(Node *node, const char *why)
{
	uint64_t now = clock_now();
	char	 words[512];

	if (!node->told_down)
	{
		tidy(words, sizeof(words), why);
		put("unreachable\t%d\t%" PRIu64 "\t%s", node->id, now, words);
		node->told_down = true;
	}
	PQclear(node->result);
	node->result = NULL;
	PQfinish(node->connection);
	node->connection = NULL;
	node->step = DOWN;
	node->retry_at = now + RECONNECT_INTERVAL;
	if (end_by != 0)
		node->is_final = true;
}

static void
start_connecting(Node *node, uint64_t now)
{
	const char *const keywords[] = {
		"host", "port", "user", "dbname", "sslmode", "gssencmode",
		"application_name", NULL};
	const char *const values[] = {
		socket_directory, node->port, user, database, "disable", "disable",
		"observer", NULL};

	node->step_since = now;
	node->connection = PQconnectStartParams(keywords, values, 0);
	if (node->connection == NULL)
		fail("out of memory");
	if (PQstatus(node->connection) == CONNECTION_BAD)
	{
		drop(node, PQerrorMessage(node->connection));
		return;
	}
	PQsetNoticeProcessor(node->connection, ignore_notice, NULL);
	node->step = CONNECTING;
	node->poll_for = POLLOUT;
}

/* After each question: hand it to the kernel, and know when it was asked. */
static void
asked(Node *node, Step step, int was_sent)
{
	if (!was_sent || PQflush(node->connection) < 0)
	{
		drop(node, PQerrorMessage(node->connection));
		return;
	}
	node->step = step;
}

static void
ask_to_prepare(Node *node, Step step)
{
	bool is_sample = step == PREPARE_SAMPLE;

	asked(node, step,
		  PQsendPrepare(node->connection, is_sample ? "sample" : "events",
						is_sample ? sample_sql : events_sql, 0, NULL));
}

static void
ask_for_sample(Node *node)
{
	/* the clock first: whatever the answer says, it was so after this */
	node->step_since = node->sampled_at = clock_now();
	asked(node, SAMPLE,
		  PQsendQueryPrepared(node->connection, "sample", 0, NULL, NULL, NULL, 0));
}

static void
ask_for_events(Node *node, Step step)
{
	char		boot[32];
	char		number[32];
	const char *values[] = {boot, number};

	snprintf(boot, sizeof(boot), "%" PRIu64, node->last_boot);
	snprintf(number, sizeof(number), "%" PRIu64, node->last_event);
	node->events_at = clock_now();
	node->wants_events = false;
	asked(node, step,
		  PQsendQueryPrepared(node->connection, "events", 2, values, NULL, NULL, 0));
}

static void
go_on_connecting(Node *node)
{
	switch (PQconnectPoll(node->connection))
	{
		case PGRES_POLLING_READING:
			node->poll_for = POLLIN;
			break;
		case PGRES_POLLING_WRITING:
			node->poll_for = POLLOUT;
			break;
		case PGRES_POLLING_OK:
			if (PQsetnonblocking(node->connection, 1) != 0)
				drop(node, PQerrorMessage(node->connection));
			else
				ask_to_prepare(node, PREPARE_SAMPLE);
			break;
		default:
			drop(node, PQerrorMessage(node->connection));
			break;
	}
}

/* ---- answers ---- */

static const char *
field(const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return "-";
	return PQgetvalue(result, row, column);
}

static void
take_sample(Node *node, const PGresult *result, uint64_t now)
{
	char		seen[sizeof(node->seen)];
	const char *of[SAMPLE_COLUMNS];
	int			i;

	for (i = 0; i < SAMPLE_COLUMNS; i++)
		of[i] = field(result, 0, i);
	put("sample\t%d\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s",
		node->id, node->step_since, now, of[SAMPLE_BOOT], of[SAMPLE_BOOT], of[SAMPLE_ROLE],
		of[SAMPLE_TERM], of[SAMPLE_LEADER], of[SAMPLE_IS_LEADER], of[SAMPLE_LEASE_TERM],
		of[SAMPLE_REMAINING], of[SAMPLE_STEADY]);
	node->samples++;
	if (now - node->step_since > node->slowest)
		node->slowest = now - node->step_since;

	snprintf(seen, sizeof(seen), "%s %s %s %s %s", of[SAMPLE_BOOT], of[SAMPLE_ROLE],
			 of[SAMPLE_TERM], of[SAMPLE_LEADER], of[SAMPLE_LEASE_TERM]);
	if (strcmp(seen, node->seen) != 0)
		node->wants_events = true;
	memcpy(node->seen, seen, sizeof(seen));
}

static void
take_life(Node *node, const PGresult *result, uint64_t now)
{
	node->told_down = false;
	put("reachable\t%d\t%" PRIu64 "\t%s", node->id, now, field(result, 0, EVENT_PRESENT_BOOT));
}

/* By rising number, as they come; a number that is used again is of a later life. */
static void
take_events(Node *node, const PGresult *result)
{
	int row;

	for (row = 0; row < PQntuples(result); row++)
	{
		uint64_t number = strtoull(field(result, row, EVENT_NUMBER), NULL, 10);
		char	 reason[512];

		if (number == 0) /* the row without an event */
			continue;
		if (number > node->last_event + 1)
			put("lost\t%d\t%s\t%" PRIu64 "\t%" PRIu64, node->id, field(result, row, EVENT_BOOT),
				node->last_event + 1, number - 1);
		tidy(reason, sizeof(reason), field(result, row, EVENT_REASON));
		put("event\t%d\t%s\t%" PRIu64 "\t%s\t%s\t%s\t%s\t%s\t%s\t%s", node->id,
			field(result, row, EVENT_BOOT), number, field(result, row, EVENT_BOOT_TIME),
			field(result, row, EVENT_TERM), field(result, row, EVENT_ROLE),
			field(result, row, EVENT_LEADER), field(result, row, EVENT_LEASE_START),
			field(result, row, EVENT_LEASE_END), reason);
		node->last_event = number;
		node->last_boot = strtoull(field(result, row, EVENT_BOOT), NULL, 10);
	}
}

/* Ending, and asked after that began? */
static bool
is_last_word(const Node *node)
{
	return end_by != 0 && node->events_at + END_LIMIT >= end_by;
}

/* The answer is complete; go on with whatever comes after it. */
static void
take_answer(Node *node, const PGresult *result)
{
	uint64_t now = clock_now();

	switch (node->step)
	{
		case PREPARE_SAMPLE:
			ask_to_prepare(node, PREPARE_EVENTS);
			return;
		case PREPARE_EVENTS:
			ask_for_events(node, FIRST_EVENTS);
			return;
		case FIRST_EVENTS:
			take_life(node, result, now);
			take_events(node, result);
			node->is_final = is_last_word(node);
			break;
		case EVENTS:
			take_events(node, result);
			node->is_final = is_last_word(node);
			break;
		case SAMPLE:
			take_sample(node, result, now);
			break;
		case DOWN:
		case CONNECTING:
		case IDLE:
			break;
	}
	node->step = IDLE;
}

static bool
is_expected(const Node *node, const PGresult *result)
{
	if (node->step == PREPARE_SAMPLE || node->step == PREPARE_EVENTS)
		return PQresultStatus(result) == PGRES_COMMAND_OK;
	return PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) >= 1 &&
		   PQnfields(result) == (node->step == SAMPLE ? (int) SAMPLE_COLUMNS : (int) EVENT_COLUMNS);
}

static void
read_answer(Node *node)
{
	PGresult *result;

	if (PQflush(node->connection) < 0 || !PQconsumeInput(node->connection))
	{
		drop(node, PQerrorMessage(node->connection));
		return;
	}
	while (node->step != IDLE && !PQisBusy(node->connection))
	{
		result = PQgetResult(node->connection);
		if (result != NULL)
		{
			/* an error message and the end of the connection come as two */
			if (node->result == NULL)
				node->result = result;
			else
				PQclear(result);
			if (PQstatus(node->connection) == CONNECTION_BAD)
			{
				drop(node, PQresultErrorMessage(node->result));
				return;
			}
			continue;
		}
		result = node->result;
		node->result = NULL;
		if (result == NULL || !is_expected(node, result))
		{
			drop(node, result != NULL ? PQresultErrorMessage(result) : "no answer to a query");
			PQclear(result);
			return;
		}
		take_answer(node, result);
		PQclear(result);
		if (node->step == DOWN)
			return;
	}
}

/* ---- the loop ---- */

/* Of those that may be asked, the one that was not asked for longest. */
static Node *
next_to_sample(void)
{
	Node *found = NULL;
	int	  i;

	for (i = 0; i < n_nodes; i++)
	{
		if (nodes[i].step == IDLE && (found == NULL || nodes[i].sampled_at < found->sampled_at))
			found = &nodes[i];
	}
	return found;
}

/* What is due without anything having arrived. */
static void
do_node_timers(Node *node, uint64_t now)
{
	if (node->step == DOWN && end_by == 0 && now >= node->retry_at)
		start_connecting(node, now);
	else if (node->step >= CONNECTING && node->step <= FIRST_EVENTS &&
			 now >= node->step_since + ATTEMPT_LIMIT)
		drop(node, "no connection within 2 s");
	else if (node->step == IDLE &&
			 (end_by != 0 ? !node->is_final :
							node->wants_events || now >= node->events_at + EVENTS_INTERVAL))
		ask_for_events(node, EVENTS);
}

/*
 * At the rate in total, not for each node: where some are down, the others are
 * looked at more often.
 */
static void
take_samples(uint64_t now)
{
	Node *node;

	if (next_sample + BACKLOG_LIMIT < now)
		next_sample = now - BACKLOG_LIMIT;
	while (next_sample <= now && (node = next_to_sample()) != NULL)
	{
		ask_for_sample(node);
		next_sample += sample_interval;
	}
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Until when there is nothing to do unless something arrives. */
static uint64_t
wake_at(void)
{
	uint64_t at = flushed_at + FLUSH_INTERVAL;
	int		 i;

	if (end_by != 0)
		at = earlier(at, end_by);
	else if (next_to_sample() != NULL)
		at = earlier(at, next_sample);
	for (i = 0; i < n_nodes; i++)
	{
		const Node *node = &nodes[i];

		if (node->step == DOWN && end_by == 0)
			at = earlier(at, node->retry_at);
		else if (node->step >= CONNECTING && node->step <= FIRST_EVENTS)
			at = earlier(at, node->step_since + ATTEMPT_LIMIT);
		else if (node->step == IDLE && end_by == 0)
			at = earlier(at, node->events_at + EVENTS_INTERVAL);
	}
	return at;
}

/* Wait for answers, time or a signal; signals come through only here. */
static void
wait_for_answers(const sigset_t *unblocked)
{
	struct pollfd	fds[NODES_MAX];
	struct timespec timeout;
	uint64_t		at = wake_at();
	uint64_t		now = clock_now();
	uint64_t		us = at > now ? at - now : 0;
	int				i;

	for (i = 0; i < n_nodes; i++)
	{
		fds[i].fd = nodes[i].connection != NULL ? PQsocket(nodes[i].connection) : -1;
		fds[i].events = nodes[i].step == CONNECTING ? nodes[i].poll_for : POLLIN;
		fds[i].revents = 0;
		if (nodes[i].step > CONNECTING && PQflush(nodes[i].connection) > 0)
			fds[i].events |= POLLOUT;
	}
	timeout.tv_sec = (time_t) (us / 1000000);
	timeout.tv_nsec = (long) (us % 1000000) * 1000;
	if (ppoll(fds, (nfds_t) n_nodes, &timeout, unblocked) <= 0)
		return; /* time, or a signal: the loop looks at both */
	for (i = 0; i < n_nodes; i++)
	{
		if (fds[i].revents == 0)
			continue;
		if (nodes[i].step == CONNECTING)
			go_on_connecting(&nodes[i]);
		else
			read_answer(&nodes[i]);
	}
}

static bool
is_over(uint64_t now)
{
	int i;

	if (end_by == 0 || now >= end_by)
		return end_by != 0;
	for (i = 0; i < n_nodes; i++)
	{
		if (!nodes[i].is_final)
			return false;
	}
	return true;
}

/* The last events are still wanted, of every node that can be asked. */
static void
begin_end(uint64_t now)
{
	int i;

	end_by = now + END_LIMIT;
	for (i = 0; i < n_nodes; i++)
		nodes[i].is_final = nodes[i].step == DOWN;
}

static void
observe(const sigset_t *unblocked)
{
	uint64_t now = clock_now();
	int		 i;

	next_sample = flushed_at = now;
	while (!is_over(now))
	{
		if (end_requested && end_by == 0)
			begin_end(now);
		for (i = 0; i < n_nodes; i++)
			do_node_timers(&nodes[i], now);
		if (end_by == 0)
			take_samples(now);
		if (now >= flushed_at + FLUSH_INTERVAL)
			flush();
		wait_for_answers(unblocked);
		now = clock_now();
	}
}

/* ---- the command line ---- */

static void
usage(void)
{
	printf("NAME\n"
		   "    observer - write down what the servers of a cluster say\n\n"
		   "SYNOPSIS\n"
		   "    observer --output FILE --socket-directory DIR --ports P0,P1,... [OPTION...]\n\n"
		   "DESCRIPTION\n"
		   "    Asks all servers in turn for their role, term, leader and lease, collects\n"
		   "    their events, and adds it all to FILE until SIGTERM or SIGINT comes, or the\n"
		   "    process that has started it ends.\n\n"
		   "OPTIONS\n"
		   "    --output FILE           the history; must be new or empty\n"
		   "    --append                it may be a history already, and is added to\n"
		   "    --socket-directory DIR  where the servers' Unix sockets are\n"
		   "    --ports P0,P1,...       the servers' ports\n"
		   "    --nodes ID0,ID1,...     their node ids; by default 0, 1, ...\n"
		   "    --user NAME             whom to connect as (postgres)\n"
		   "    --database NAME         where the extension is (postgres)\n"
		   "    --rate N                samples a second, of all servers together (%d)\n"
		   "    --help                  this text\n\n"
		   "EXIT STATUS\n"
		   "    0 ended by a signal, 1 the file could not be written, 2 called wrongly\n",
		   DEFAULT_RATE);
}

static void usage_error(const char *what) __attribute__((noreturn));

static void
usage_error(const char *what)
{
	fprintf(stderr, "observer: %s\nTry observer --help.\n", what);
	exit(2);
}

/* "5432,5433" into numbers; how many. */
static int
parse_numbers(const char *text, long max, long *numbers)
{
	int n = 0;

	for (;;)
	{
		char *end;

		errno = 0;
		numbers[n] = strtol(text, &end, 10);
		if (end == text || errno != 0 || numbers[n] < 0 || numbers[n] > max)
			usage_error("a list of numbers is wrong");
		n++;
		if (*end == '\0')
			return n;
		if (*end != ',' || n == NODES_MAX)
			usage_error("a list of numbers is wrong");
		text = end + 1;
	}
}

static void
set_nodes(const char *ports, const char *ids)
{
	long port[NODES_MAX];
	long id[NODES_MAX];
	int	 i;
	int	 j;

	n_nodes = parse_numbers(ports, 65535, port);
	for (i = 0; i < n_nodes; i++)
		id[i] = i;
	if (ids != NULL && parse_numbers(ids, NODES_MAX - 1, id) != n_nodes)
		usage_error("as many --nodes as --ports are needed");
	for (i = 0; i < n_nodes; i++)
	{
		for (j = 0; j < i; j++)
		{
			if (id[j] == id[i])
				usage_error("--nodes names one twice");
		}
		nodes[i].id = (int) id[i];
		snprintf(nodes[i].port, sizeof(nodes[i].port), "%ld", port[i]);
	}
}

static void
parse_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"socket-directory", required_argument, NULL, 's'},
		{"ports", required_argument, NULL, 'p'},
		{"nodes", required_argument, NULL, 'n'},
		{"user", required_argument, NULL, 'U'},
		{"database", required_argument, NULL, 'd'},
		{"rate", required_argument, NULL, 'r'},
		{"append", no_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	const char *ports = NULL;
	const char *ids = NULL;
	long		rate[NODES_MAX] = {DEFAULT_RATE};
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'o')
			output_path = optarg;
		else if (option == 's')
			socket_directory = optarg;
		else if (option == 'p')
			ports = optarg;
		else if (option == 'n')
			ids = optarg;
		else if (option == 'U')
			user = optarg;
		else if (option == 'd')
			database = optarg;
		else if (option == 'a')
			append = true;
		else if (option == 'r')
		{
			if (parse_numbers(optarg, 100000, rate) != 1 || rate[0] == 0)
				usage_error("--rate is a number from 1 to 100000");
		}
		else if (option == 'h')
		{
			usage();
			exit(0);
		}
		else
			usage_error("there is no such option");
	}
	if (optind < argc || output_path == NULL || socket_directory == NULL || ports == NULL)
		usage_error("--output, --socket-directory and --ports are needed, and no other words");
	sample_interval = 1000000 / (uint64_t) rate[0];
	set_nodes(ports, ids);
}

static double
cpu_seconds(void)
{
	struct rusage used;

	(void) getrusage(RUSAGE_SELF, &used);
	return (double) (used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		   (double) (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void
summarise(uint64_t took)
{
	double	 seconds = took > 0 ? (double) took / 1e6 : 1e-6;
	uint64_t total = 0;
	int		 i;

	for (i = 0; i < n_nodes; i++)
	{
		total += nodes[i].samples;
		fprintf(stderr, "observer: node %d: %" PRIu64 " samples, the slowest took %.1f ms\n",
				nodes[i].id, nodes[i].samples, (double) nodes[i].slowest / 1e3);
	}
	fprintf(stderr, "observer: %" PRIu64 " samples in %.1f s, %.0f a second; used %.1f %% of a processor\n",
			total, seconds, (double) total / seconds, 100 * cpu_seconds() / seconds);
}

/* "start" with the nodes that are watched, or "end". */
static void
put_observer_record(const char *what)
{
	char   list[NODES_MAX * 4] = "";
	size_t used = 0;
	int	   i;

	for (i = 0; i < n_nodes; i++)
		used += (size_t) snprintf(list + used, sizeof(list) - used, "%s%d",
								  i > 0 ? "," : "", nodes[i].id);
	put("observer\t%" PRIu64 "\t%s\t%s", clock_now(), what, list);
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = handle_end};
	sigset_t		 ending;
	sigset_t		 unblocked;
	uint64_t		 began;
	pid_t			 parent = getppid();
	int				 i;

	parse_arguments(argc, argv);

	/* before the file is there: who waits for the file may send a signal */
	(void) sigemptyset(&ending);
	(void) sigaddset(&ending, SIGTERM);
	(void) sigaddset(&ending, SIGINT);
	(void) sigprocmask(SIG_BLOCK, &ending, &unblocked);
	(void) sigdelset(&unblocked, SIGTERM);
	(void) sigdelset(&unblocked, SIGINT);
	(void) sigaction(SIGTERM, &action, NULL);
	(void) sigaction(SIGINT, &action, NULL);

	/* who started us may be killed, and nobody else would end us; or was, by now */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		fail("could not ask for a signal at the parent's end: %s", strerror(errno));
	if (getppid() != parent)
		end_requested = 1;

	open_output();
	began = clock_now();
	put_observer_record("start");
	observe(&unblocked);
	put_observer_record("end");
	flush();
	for (i = 0; i < n_nodes; i++)
	{
		PQclear(nodes[i].result);
		PQfinish(nodes[i].connection);
	}
	summarise(clock_now() - began);
	return 0;
}
