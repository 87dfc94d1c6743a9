/*
 * bench/member.c
 *	  One member of a cluster in a process that is no PostgreSQL server.
 *
 *	  member --node-id N --cluster LIST --state-directory DIR --show FILE [OPTION...]
 *
 * For bench/scale: a member in its home (node/home.c), as the worker hosts it, over real
 * sockets and a real state file, without a backend around it.  What the worker shows in
 * shared memory, this shows in a file that others map or read (see Shown).
 *
 * Unlike the worker it does not wait for what is in its way: it says what that is
 * and ends, with status 1.  SIGTERM and SIGINT: resign, then leave, with status 0.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../node/home.h"
#include "../node/scheduler.h"

/* A signal, a deadline, a datagram. */
#define WAITED_FOR 3

/*
 * What the file holds, in the machine's byte order, 8 bytes each.  "change" is odd
 * while the rest is being written: read all again if it was, or has moved.  Times
 * are microseconds of the election's clock, 0: not yet.
 */
typedef struct Shown
{
	_Atomic uint64_t change;
	uint64_t		 pid;
	uint64_t		 boot;
	uint64_t		 role; /* RaftRole */
	uint64_t		 term;
	int64_t			 leader_id;	  /* RAFT_NONE: none known */
	uint64_t		 lease_until; /* 0: no lease */
	uint64_t		 led_since;	  /* since when it knows this leader of this term */
	uint64_t		 lease_since; /* when it first showed a lease in this term */
	uint64_t		 abstaining;  /* RaftAbstain */
	uint64_t		 greeted;	  /* peers whose start it knows */
	uint64_t		 rounds;	  /* of heartbeats sent as leader */
	uint64_t		 elections;	  /* candidacies */
	uint64_t		 wakeups;
	uint64_t		 saves;
	uint64_t		 sent;	   /* datagrams */
	uint64_t		 received; /* of any kind */
	uint64_t		 dropped;  /* by the transport or the election */
} Shown;

typedef struct Options
{
	long		 node_id;
	const char	*cluster;
	const char	*cluster_name;
	const char	*listen_address;
	const char	*state_directory;
	const char	*secret_file;
	const char	*show;
	bool		 with_parent;
	RaftTimeouts timeouts;
} Options;

/* Big, and needed as long as the process lives. */
static Home	   home;
static Cluster cluster;

static Shown   *shown;
static uint64_t wakeups = 0;
static uint64_t saves = 0;
static int		timer_fd = -1;
static int		signal_fd = -1;
static uint64_t timer_armed = 0;

static void fail(const char *hint, const char *format, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

static void
fail(const char *hint, const char *format, ...)
{
	va_list arguments;

	fputs("member: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	if (hint[0] != '\0')
		fprintf(stderr, "hint: %s\n", hint);
	exit(1);
}

/* ---- the member's host: save, show, send ---- */

static uint64_t
host_now(Member *member)
{
	(void) member;
	return clock_now();
}

static MemberSave
host_save(Member *member)
{
	Words words;

	(void) member;
	if (!home_save(&home, &words))
		fail("Start it again: it goes on from what the disk holds.",
			 "could not save term and vote: %s", words.error);
	saves++;
	return MEMBER_SAVED;
}

static void
show_counters(void)
{
	const Raft *raft = &home.member.raft;

	shown->rounds = raft->heartbeat_round;
	shown->elections = raft->counters.elections_started;
	shown->wakeups = wakeups;
	shown->saves = saves;
	shown->sent = home.transport.counters.sent;
	shown->received = home.transport.counters.received;
	shown->dropped = 0;
	shown->greeted = 0;
	for (int i = 0; i < TRANSPORT_DROPS; i++)
		shown->dropped += home.transport.counters.dropped[i];
	for (int i = 0; i < RAFT_OUTCOMES; i++)
		shown->dropped += raft->counters.dropped[i];
	for (int i = 0; i < RAFT_MAX_NODES; i++)
		shown->greeted += raft->peers[i].boot != 0;
}

static void
host_show(Member *member)
{
	const Raft *raft = &member->raft;
	bool		news = shown->term != raft->saved.term || shown->leader_id != raft->leader_id;
	uint64_t	change = atomic_load_explicit(&shown->change, memory_order_relaxed);

	atomic_store_explicit(&shown->change, change + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	shown->lease_until = raft_lease_until(raft);
	if (news)
	{
		shown->led_since = raft->leader_id == RAFT_NONE ? 0 : clock_now();
		if (shown->term != raft->saved.term)
			shown->lease_since = 0;
	}
	if (shown->lease_until != 0 && shown->lease_since == 0)
		shown->lease_since = clock_now();
	shown->role = raft->role;
	shown->term = raft->saved.term;
	shown->leader_id = raft->leader_id;
	shown->abstaining = raft->saved.abstaining;
	show_counters();
	atomic_store_explicit(&shown->change, change + 2, memory_order_release);
}

static void
host_send(Member *member, const RaftMessage *message)
{
	(void) member;
	(void) transport_send(&home.transport, message);
}

static const MemberHost host = {
	.now = host_now,
	.save = host_save,
	.show = host_show,
	.send = host_send,
};

/* ---- getting ready ---- */

/* A file of its own for each member; a later start of it goes on with the same. */
static void
open_shown(const char *path)
{
	int	  fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	void *memory;

	if (fd < 0 || ftruncate(fd, sizeof(Shown)) != 0)
		fail("", "could not open \"%s\": %s", path, strerror(errno));
	memory = mmap(NULL, sizeof(Shown), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		fail("", "could not map \"%s\": %s", path, strerror(errno));
	(void) close(fd);
	shown = memory;

	/* whoever was killed while it was writing has left an odd number */
	atomic_store(&shown->change, (atomic_load(&shown->change) | 1) + 1);
	memset((char *) shown + sizeof(shown->change), 0, sizeof(Shown) - sizeof(shown->change));
	shown->pid = (uint64_t) getpid();
	shown->leader_id = RAFT_NONE;
}

static void
make_config(const Options *options, RaftConfig *config)
{
	Words		words;
	const char *wrong;

	if (!cluster_parse(options->cluster, &cluster, &words))
		fail(words.hint, "the member list is wrong: %s", words.error);
	if (cluster_member(&cluster, (int32_t) options->node_id) == NULL)
		fail("Ids are positions in the list, from 0, unless it gives them.",
			 "node %ld is not in the member list", options->node_id);
	*config = (RaftConfig){
		.node_id = (int32_t) options->node_id,
		.may_lead = true,
		.timeouts = options->timeouts};
	cluster_configure(&cluster, config);
	wrong = raft_check_config(config);
	if (wrong != NULL)
		fail("See the settings of the same names.", "%s", wrong);
}

static void
prepare_to_wait(void)
{
	sigset_t ends;

	(void) sigemptyset(&ends);
	(void) sigaddset(&ends, SIGTERM);
	(void) sigaddset(&ends, SIGINT);
	if (sigprocmask(SIG_BLOCK, &ends, NULL) != 0)
		fail("", "could not block signals: %s", strerror(errno));
	signal_fd = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
	timer_fd = timerfd_create(CLOCK_OF_ELECTION, TFD_NONBLOCK | TFD_CLOEXEC);
	if (signal_fd < 0 || timer_fd < 0)
		fail("", "could not create a timer: %s", strerror(errno));
}

static void
start(const Options *options)
{
	HomeSettings settings = {.cluster = &cluster,
							 .cluster_name = options->cluster_name,
							 .listen_address = options->listen_address,
							 .state_directory = options->state_directory};
	Words		 words;

	make_config(options, &settings.config);
	prepare_to_wait();
	(void) scheduler_ask_for_short_turns();
	open_shown(options->show);
	home_init(&home);
	if (options->secret_file != NULL &&
		secret_read(&home.secret, options->secret_file, &words) == SECRET_FAILED)
		fail(words.hint, "%s", words.error);
	if (!home_open(&home, &settings, &words))
		fail(words.hint, "%s", words.error);
	saves++; /* the first record */
	shown->boot = home.first.boot;
	if (!home_start(&home, &host))
		fail("", "could not get random numbers");
}

/* ---- running ---- */

/* Let the timer ring at the next deadline, which may be past already. */
static void
arm_timer(void)
{
	uint64_t		  deadline = home_deadline(&home);
	struct itimerspec spec;

	if (deadline == 0)
		deadline = 1; /* 0 would switch it off */
	if (deadline == timer_armed)
		return;
	memset(&spec, 0, sizeof(spec));
	spec.it_value.tv_sec = (time_t) (deadline / 1000000);
	spec.it_value.tv_nsec = (long) (deadline % 1000000) * 1000;
	if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) != 0)
		fail("", "could not set a timer: %s", strerror(errno));
	timer_armed = deadline;
}

/* Sleep until there is something to do, or to read.  false: the process has been told to end. */
static bool
wait_for_work(bool *timer_only)
{
	struct pollfd fds[WAITED_FOR] = {
		{.fd = signal_fd, .events = POLLIN},
		{.fd = timer_fd, .events = POLLIN},
		{.fd = home_pollable(&home), .events = POLLIN}};

	if (poll(fds, WAITED_FOR, -1) < 0 && errno != EINTR)
		fail("", "could not wait: %s", strerror(errno));
	wakeups++;

	/* it has rung; to set it anew takes back what a read would tell */
	if (fds[1].revents != 0)
		timer_armed = 0;
	*timer_only = fds[1].revents != 0 && fds[2].revents == 0;
	return fds[0].revents == 0;
}

/* ---- arguments ---- */

static void
usage(FILE *where)
{
	fprintf(where,
			"usage: member --node-id N --cluster LIST --state-directory DIR --show FILE [OPTION...]\n"
			"One member of a cluster, without PostgreSQL.  Options as the settings:\n"
			"    --cluster-name NAME, --listen-address ADDRESS, --secret-file FILE\n"
			"    --min-timeout MS, --max-timeout MS, --heartbeat-interval MS (200, 400, 50)\n"
			"    --with-parent    end when the process that started it ends\n"
			"The first state file is pg_leader_state's to write; without one it abstains.\n");
}

static long
number(const char *name, const char *text, long most)
{
	char *end;
	long  value = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || value > most)
	{
		fprintf(stderr, "member: --%s: \"%s\" is not a number from 0 to %ld\n", name, text, most);
		exit(2);
	}
	return value;
}

enum
{
	NODE_ID,
	CLUSTER,
	CLUSTER_NAME,
	LISTEN_ADDRESS,
	STATE_DIRECTORY,
	SECRET_FILE,
	SHOW,
	MIN_TIMEOUT,
	MAX_TIMEOUT,
	HEARTBEAT_INTERVAL,
	WITH_PARENT,
	HELP
};

static const struct option long_options[] = {
	{"node-id", required_argument, NULL, NODE_ID},
	{"cluster", required_argument, NULL, CLUSTER},
	{"cluster-name", required_argument, NULL, CLUSTER_NAME},
	{"listen-address", required_argument, NULL, LISTEN_ADDRESS},
	{"state-directory", required_argument, NULL, STATE_DIRECTORY},
	{"secret-file", required_argument, NULL, SECRET_FILE},
	{"show", required_argument, NULL, SHOW},
	{"min-timeout", required_argument, NULL, MIN_TIMEOUT},
	{"max-timeout", required_argument, NULL, MAX_TIMEOUT},
	{"heartbeat-interval", required_argument, NULL, HEARTBEAT_INTERVAL},
	{"with-parent", no_argument, NULL, WITH_PARENT},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0}};

static void
take_option(Options *options, int option)
{
	const char	*name = option <= HELP ? long_options[option].name : "";
	uint64_t	*timeouts[] = {&options->timeouts.min_timeout, &options->timeouts.max_timeout,
							   &options->timeouts.heartbeat_interval};
	const char **texts[] = {[CLUSTER] = &options->cluster,
							[CLUSTER_NAME] = &options->cluster_name,
							[LISTEN_ADDRESS] = &options->listen_address,
							[STATE_DIRECTORY] = &options->state_directory,
							[SECRET_FILE] = &options->secret_file,
							[SHOW] = &options->show};

	switch (option)
	{
		case NODE_ID:
			options->node_id = number(name, optarg, RAFT_MAX_NODES - 1);
			break;
		case MIN_TIMEOUT:
		case MAX_TIMEOUT:
		case HEARTBEAT_INTERVAL:
			*timeouts[option - MIN_TIMEOUT] = (uint64_t) number(name, optarg, 600000) * 1000;
			break;
		case WITH_PARENT:
			options->with_parent = true;
			break;
		case HELP:
		case '?':
			usage(option == HELP ? stdout : stderr);
			exit(option == HELP ? 0 : 2);
		default:
			*texts[option] = optarg;
	}
}

static void
parse_arguments(int argc, char **argv, Options *options)
{
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take_option(options, option);
	if (optind < argc || options->node_id < 0 || options->cluster == NULL ||
		options->state_directory == NULL || options->show == NULL)
	{
		usage(stderr);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	Options options = {
		.node_id = -1,
		.cluster_name = "pg_leader",
		.timeouts = {.min_timeout = 200000,
					 .max_timeout = 400000,
					 .heartbeat_interval = 50000,
					 .max_drift_ppm = 100000}};
	bool  timer_only = false;
	Words words;

	parse_arguments(argc, argv, &options);
	if (options.with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		fail("", "could not ask for a signal at the parent's end: %s", strerror(errno));
	start(&options);
	do
	{
		if (!home_turn(&home, timer_only, &words))
			fail(words.hint, "%s", words.error);
		arm_timer();
	} while (wait_for_work(&timer_only));
	member_resign(&home.member);
	home_close(&home);
	secret_forget(&home.secret);
	return 0;
}
