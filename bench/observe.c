/*
 * bench/observe.c
 *	  Watches who leads, often and cheaply, for bench/failover and bench/compare.
 *
 * Asks each server over one connection every few hundred microseconds whom it
 * names as the leader and whether it holds a lease itself; of etcd it reads what
 * the members' logs say, at the same interval.  Writes a line when an answer
 * differs from the one before, never one for each sample.
 *
 * Commands on standard input, a line each:
 *
 *	  fast				sample at --interval; answered by "fast" when each node that
 *						can be asked has been sampled 20 times at that rate
 *	  slow				sample every 20 ms and connect to servers that came back; so it
 *						begins.  Answered by "slow"
 *	  events TIME		what the servers' events say of the time since; the last line is
 *						"events"
 *	  (end of file)		print the intervals that were reached, and exit
 *
 * Lines on standard output, fields separated by one tab, "-" for none, times in
 * microseconds of the clock of the election:
 *
 *	  state NODE T0 T1 TERM LEADER LEASE HELD		LEASE 1: the node holds a lease.
 *						It was so at some moment from T0 to T1; HELD: T0 of the last
 *						sample in which it held one
 *	  gone NODE TIME HELD	the connection ended
 *	  event NODE TIME TERM ROLE LEADER LEASE_START LEASE_END
 *	  intervals N MEDIAN P99 MAX	us between answers of one node, at --interval
 *
 * It sleeps between samples.  A server that does not answer is not asked again
 * until it does; the others are.
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
#include <sys/timerfd.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "../node/clock.h"

#define NODES_MAX 64

/* Microseconds. */
#define SLOW_INTERVAL	   UINT64_C(20000)
#define RECONNECT_INTERVAL UINT64_C(50000)
#define DEFAULT_INTERVAL   UINT64_C(500)

/* Milliseconds: a server that has not answered by then is paused. */
#define PAUSED_AFTER 50

/* "fast" is answered after so many samples of each. */
#define WARM_SAMPLES 20

/* Intervals are counted in bins of 10 us, up to 100 ms. */
#define BIN_WIDTH UINT64_C(10)
#define BINS	  10000

#define NAME_SIZE 24

typedef struct Node
{
	int		 id;
	char	 port[16];
	PGconn	*connection;
	bool	 is_asked; /* a question is under way */
	uint64_t retry_at;

	const char *path; /* of etcd's log; NULL: a PostgreSQL server */
	int			fd;
	char		line[1024];
	size_t		length;

	uint64_t asked_at;	  /* when the question was sent; of a log: the reading before */
	uint64_t answered_at; /* 0: not since the rate was changed */
	uint64_t held_at;	  /* question of the last answer with a lease */
	int		 samples;	  /* since the rate was changed */

	/* what was written last */
	bool	 is_known;
	uint64_t term;
	char	 leader[NAME_SIZE];
	bool	 has_lease;
} Node;

/* The lease first: it is the leader's only if the node goes on to say that it leads. */
static const char sample_sql[] = "SELECT pg_leader_is_leader(), get_node_info()";

static const char events_sql[] =
	"SELECT boot_time, term, role, leader_id, lease_start, lease_end FROM pg_leader_events"
	" WHERE boot_time >= $1::int8 ORDER BY boot_time, number";

static const char *socket_directory = NULL;
static uint64_t	   fast_interval = DEFAULT_INTERVAL;

static Node nodes[NODES_MAX];
static int	n_nodes = 0;

static int	timer_fd = -1;
static bool is_fast = false;
static bool is_warm = true; /* "fast" has been answered */

static uint64_t bins[BINS + 1];
static uint64_t n_intervals = 0;
static uint64_t longest = 0;

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void
fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("observe: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A whole line, at once: somebody waits for it. */
static void
say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	if (fflush(stdout) != 0)
		exit(1);
}

/* ---- what is seen ---- */

static const char *
moment(uint64_t at, char *buffer, size_t size)
{
	if (at == 0)
		return "-";
	snprintf(buffer, size, "%" PRIu64, at);
	return buffer;
}

/* An answer has come, whatever it says: how long is it since the one before? */
static void
count_answer(Node *node, uint64_t now)
{
	if (is_fast && node->answered_at != 0)
	{
		uint64_t interval = now - node->answered_at;

		bins[interval / BIN_WIDTH < BINS ? interval / BIN_WIDTH : BINS]++;
		n_intervals++;
		if (interval > longest)
			longest = interval;
	}
	node->answered_at = now;
	node->samples++;
}

/* Between asked_at and now the node was in this term, named that leader ... */
static void
take_state(Node *node, uint64_t now, uint64_t term, const char *leader, bool has_lease)
{
	char held[24];

	if (!node->is_known || node->term != term || node->has_lease != has_lease ||
		strcmp(node->leader, leader) != 0)
		say("state\t%d\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%d\t%s", node->id,
			node->asked_at, now, term, leader, has_lease,
			moment(has_lease ? node->asked_at : node->held_at, held, sizeof(held)));
	if (has_lease)
		node->held_at = node->asked_at;
	node->is_known = true;
	node->term = term;
	node->has_lease = has_lease;
	snprintf(node->leader, sizeof(node->leader), "%s", leader);
}

/* ---- PostgreSQL ---- */

static void
ignore_notice(void *argument, const char *message)
{
	(void) argument;
	(void) message;
}

static void
drop(Node *node)
{
	char held[24];

	say("gone\t%d\t%" PRIu64 "\t%s", node->id, clock_now(),
		moment(node->held_at, held, sizeof(held)));
	PQfinish(node->connection);
	node->connection = NULL;
	node->is_asked = node->is_known = false;
	node->held_at = node->answered_at = 0;
	node->retry_at = clock_now() + RECONNECT_INTERVAL;
}

/* Blocks for a moment, so never while it matters. */
static void
connect_to(Node *node, uint64_t now)
{
	const char *const keywords[] = {"host", "port", "user", "dbname", "sslmode",
									"gssencmode", "connect_timeout", "application_name", NULL};
	const char *const values[] = {socket_directory, node->port, "postgres", "postgres",
								  "disable", "disable", "2", "bench", NULL};
	PGresult		 *result;
	bool			  is_prepared;

	node->retry_at = now + RECONNECT_INTERVAL;
	node->connection = PQconnectdbParams(keywords, values, 0);
	if (PQstatus(node->connection) != CONNECTION_OK)
	{
		PQfinish(node->connection);
		node->connection = NULL;
		return;
	}
	/* the last words of a server that stops are expected */
	(void) PQsetNoticeProcessor(node->connection, ignore_notice, NULL);
	result = PQprepare(node->connection, "sample", sample_sql, 0, NULL);
	is_prepared = PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);

	/* a server that has just started may not have the extension yet */
	if (!is_prepared)
	{
		PQfinish(node->connection);
		node->connection = NULL;
		return;
	}
	node->samples = 0;
}

static void
ask(Node *node)
{
	node->asked_at = clock_now();
	if (!PQsendQueryPrepared(node->connection, "sample", 0, NULL, NULL, NULL, 0) ||
		PQflush(node->connection) < 0)
		drop(node);
	else
		node->is_asked = true;
}

/* "node 1: follower, term 3, leader 0", "..., no leader known", or it takes no part. */
static void
take_row(Node *node, uint64_t now, const PGresult *result)
{
	bool		has_lease = PQgetvalue(result, 0, 0)[0] == 't';
	const char *words = PQgetvalue(result, 0, 1);
	uint64_t	term = 0;
	char		leader[NAME_SIZE] = "-";
	int			got = sscanf(words, "node %*d: %*[^,], term %" SCNu64 ", leader %23[0-9]",
							 &term, leader);

	if (got < 1 && strstr(words, "not taking part") == NULL)
		fail("node %d says \"%s\", which is not understood", node->id, words);
	take_state(node, now, term, leader, has_lease);
}

static void
read_answer(Node *node)
{
	PGresult *result;
	uint64_t  now;

	if (!PQconsumeInput(node->connection))
	{
		drop(node);
		return;
	}
	now = clock_now();
	while (node->is_asked && !PQisBusy(node->connection))
	{
		result = PQgetResult(node->connection);
		if (result == NULL)
		{
			node->is_asked = false;
			count_answer(node, now);
		}
		else if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
				 PQnfields(result) == 2)
			take_row(node, now, result);
		else
		{
			/* a server that stops says so, and ends the connection */
			PQclear(result);
			drop(node);
			return;
		}
		PQclear(result);
	}
	if (PQstatus(node->connection) == CONNECTION_BAD)
		drop(node);
}

static const char *
value_of(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? "-" : PQgetvalue(result, row, column);
}

static void
say_events(Node *node, const char *since)
{
	const char *values[] = {since};
	PGresult   *result;
	int			row;

	while (node->is_asked)
	{
		struct pollfd answer = {.fd = PQsocket(node->connection), .events = POLLIN};

		if (poll(&answer, 1, PAUSED_AFTER) <= 0)
			return;
		read_answer(node);
		if (node->connection == NULL)
			return;
	}
	result = PQexecParams(node->connection, events_sql, 1, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		if (PQstatus(node->connection) == CONNECTION_OK)
			fail("node %d does not tell its events: %s", node->id, PQresultErrorMessage(result));
		PQclear(result);
		drop(node);
		return;
	}
	for (row = 0; row < PQntuples(result); row++)
	{
		say("event\t%d\t%s\t%s\t%s\t%s\t%s\t%s", node->id, value_of(result, row, 0),
			value_of(result, row, 1), value_of(result, row, 2), value_of(result, row, 3),
			value_of(result, row, 4), value_of(result, row, 5));
	}
	PQclear(result);
}

/* ---- etcd ---- */

/*
 * "raft.node: SELF elected leader ID at term N", "... changed leader from ID to ID at
 * term N", "... lost leader ID at term N".  A member says so when it gets to know, and
 * before it saves what goes with it.
 */
static void
take_log_line(Node *node, uint64_t now)
{
	const char *words = strstr(node->line, "raft.node: ");
	char		self[NAME_SIZE];
	char		leader[NAME_SIZE];
	uint64_t	term;
	bool		is_lost;

	if (words == NULL)
		return;
	words += strlen("raft.node: ");
	is_lost = sscanf(words, "%23s lost leader %23s at term %" SCNu64, self, leader, &term) == 3;
	if (!is_lost &&
		sscanf(words, "%23s elected leader %23s at term %" SCNu64, self, leader, &term) != 3 &&
		sscanf(words, "%23s changed leader from %*s to %23s at term %" SCNu64,
			   self, leader, &term) != 3)
		return;
	if (is_lost)
		strcpy(leader, "-");
	take_state(node, now, term, leader, strcmp(self, leader) == 0);
}

static void
read_log(Node *node)
{
	uint64_t now = clock_now();
	char	 chunk[4096];
	ssize_t	 n;
	ssize_t	 i;

	if (node->asked_at == 0)
		node->asked_at = now;
	while ((n = read(node->fd, chunk, sizeof(chunk))) > 0)
	{
		now = clock_now();
		for (i = 0; i < n; i++)
		{
			if (chunk[i] == '\n')
			{
				node->line[node->length] = '\0';
				take_log_line(node, now);
				node->length = 0;
			}
			else if (node->length < sizeof(node->line) - 1)
				node->line[node->length++] = chunk[i];
		}
	}
	if (n < 0)
		fail("could not read %s: %s", node->path, strerror(errno));
	count_answer(node, now);
	node->asked_at = now;
}

/* ---- the loop ---- */

static void
set_rate(bool fast)
{
	uint64_t		  interval = fast ? fast_interval : SLOW_INTERVAL;
	struct itimerspec spec;
	int				  i;

	is_fast = fast;
	is_warm = !fast;
	memset(&spec, 0, sizeof(spec));
	spec.it_value.tv_sec = spec.it_interval.tv_sec = (time_t) (interval / 1000000);
	spec.it_value.tv_nsec = spec.it_interval.tv_nsec = (long) (interval % 1000000) * 1000;
	if (timerfd_settime(timer_fd, 0, &spec, NULL) != 0)
		fail("could not set a timer: %s", strerror(errno));
	for (i = 0; i < n_nodes; i++)
	{
		nodes[i].samples = 0;
		nodes[i].answered_at = 0;
	}
	if (!fast)
		say("slow");
}

static void
sample_all(void)
{
	uint64_t now = clock_now();
	bool	 all_warm = true;
	int		 i;

	for (i = 0; i < n_nodes; i++)
	{
		Node *node = &nodes[i];

		if (node->path != NULL)
			read_log(node);
		else if (node->connection == NULL && !is_fast && now >= node->retry_at)
			connect_to(node, now);
		else if (node->connection != NULL && !node->is_asked)
			ask(node);
		if (node->path != NULL || node->connection != NULL)
			all_warm = all_warm && node->samples >= WARM_SAMPLES;
	}
	if (is_fast && !is_warm && all_warm)
	{
		is_warm = true;
		say("fast");
	}
}

static void
obey(const char *command)
{
	int i;

	if (strcmp(command, "fast") == 0)
		set_rate(true);
	else if (strcmp(command, "slow") == 0)
		set_rate(false);
	else if (strncmp(command, "events ", 7) == 0)
	{
		for (i = 0; i < n_nodes; i++)
		{
			if (nodes[i].connection != NULL)
				say_events(&nodes[i], command + 7);
		}

		/* what this took is not between two samples */
		for (i = 0; i < n_nodes; i++)
			nodes[i].answered_at = 0;
		say("events");
	}
	else
		fail("there is no command \"%s\"", command);
}

/* false: standard input has ended */
static bool
read_commands(void)
{
	static char	  text[256];
	static size_t length = 0;
	ssize_t		  n = read(STDIN_FILENO, text + length, sizeof(text) - 1 - length);
	char		 *end;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	length += (size_t) n;
	text[length] = '\0';
	while ((end = strchr(text, '\n')) != NULL)
	{
		*end = '\0';
		obey(text);
		length -= (size_t) (end + 1 - text);
		memmove(text, end + 1, length + 1);
	}
	if (length == sizeof(text) - 1)
		fail("a command is too long");
	return true;
}

static void
observe(void)
{
	struct pollfd fds[NODES_MAX + 2];
	uint64_t	  expirations;
	int			  i;

	for (;;)
	{
		fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = timer_fd, .events = POLLIN};
		for (i = 0; i < n_nodes; i++)
			fds[i + 2] = (struct pollfd){
				.fd = nodes[i].connection != NULL ? PQsocket(nodes[i].connection) : -1,
				.events = POLLIN};
		if (poll(fds, (nfds_t) n_nodes + 2, -1) < 0 && errno != EINTR)
			fail("poll: %s", strerror(errno));
		for (i = 0; i < n_nodes; i++)
		{
			if (fds[i + 2].revents != 0 && nodes[i].connection != NULL)
				read_answer(&nodes[i]);
		}
		if (fds[0].revents != 0 && !read_commands())
			return;
		if (fds[1].revents != 0 && read(timer_fd, &expirations, sizeof(expirations)) > 0)
			sample_all();
	}
}

/* ---- the command line ---- */

static void
usage(FILE *where)
{
	fprintf(where,
			"usage: observe [--interval US] --socket-directory DIR --ports P0,P1,...\n"
			"       observe [--interval US] --logs FILE0,FILE1,...\n"
			"Writes down who leads, as PostgreSQL servers or the logs of etcd say; for\n"
			"bench/failover and bench/compare.  The head of bench/observe.c says more.\n");
}

static void usage_error(const char *what) __attribute__((noreturn));

static void
usage_error(const char *what)
{
	fprintf(stderr, "observe: %s\n", what);
	usage(stderr);
	exit(2);
}

/* One node for each word between commas. */
static void
set_nodes(char *list, bool are_logs)
{
	char *word;

	for (word = strtok(list, ","); word != NULL; word = strtok(NULL, ","))
	{
		Node *node = &nodes[n_nodes];

		if (n_nodes == NODES_MAX)
			usage_error("there are too many nodes");
		node->id = n_nodes++;
		node->fd = -1;
		if (!are_logs)
		{
			snprintf(node->port, sizeof(node->port), "%s", word);
			continue;
		}
		node->path = word;
		node->fd = open(word, O_RDONLY | O_CLOEXEC);
		if (node->fd < 0)
			fail("could not open %s: %s", word, strerror(errno));
	}
}

static void
parse_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket-directory", required_argument, NULL, 's'},
		{"ports", required_argument, NULL, 'p'},
		{"logs", required_argument, NULL, 'l'},
		{"interval", required_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	char *ports = NULL;
	char *logs = NULL;
	char *end = NULL;
	int	  option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 's')
			socket_directory = optarg;
		else if (option == 'p')
			ports = optarg;
		else if (option == 'l')
			logs = optarg;
		else if (option == 'i')
		{
			fast_interval = strtoull(optarg, &end, 10);
			if (*end != '\0' || fast_interval < 50 || fast_interval > 1000000)
				usage_error("--interval is a number of microseconds from 50 to 1000000");
		}
		else if (option == 'h')
		{
			usage(stdout);
			exit(0);
		}
		else
			usage_error("there is no such option");
	}
	if (optind < argc || (ports == NULL) == (logs == NULL) ||
		(ports != NULL && socket_directory == NULL))
		usage_error("either --socket-directory and --ports, or --logs");
	set_nodes(ports != NULL ? ports : logs, logs != NULL);
	if (n_nodes == 0)
		usage_error("no node is named");
}

/* The upper end of the bin that has the given part of all intervals below. */
static uint64_t
percentile(uint64_t of_thousand)
{
	uint64_t seen = 0;
	uint64_t bin;

	for (bin = 0; bin < BINS; bin++)
	{
		seen += bins[bin];
		if (seen * 1000 >= n_intervals * of_thousand)
			break;
	}
	return bin < BINS ? (bin + 1) * BIN_WIDTH : longest;
}

int
main(int argc, char **argv)
{
	int i;

	parse_arguments(argc, argv);

	/* whoever has started this may be killed, and nobody else would end it */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		fail("could not ask for a signal at the parent's end: %s", strerror(errno));
	timer_fd = timerfd_create(CLOCK_OF_ELECTION, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer_fd < 0)
		fail("could not create a timer: %s", strerror(errno));
	set_rate(false);
	observe();
	say("intervals\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64, n_intervals,
		percentile(500), percentile(990), longest);
	for (i = 0; i < n_nodes; i++)
		PQfinish(nodes[i].connection);
	return 0;
}
