/*
 * server/worker.c
 *	  The background worker: one process that is the member.
 *
 * Its life:
 *
 *	  start		The postmaster starts it first of all, so it runs on primaries,
 *				hot standbys and during recovery.  It withdraws whatever lease an
 *				earlier worker may have shown.
 *	  get ready Settings, keys, socket, state file, in this order.  What is in the way
 *				is said once in the log and in pg_leader_status; then the worker
 *				waits, looks again each second, and never takes the server down.
 *	  run		One loop: wait for a datagram, a deadline or a signal, let the
 *				election decide, act on what it decided.
 *	  leave		At SIGTERM, or when the postmaster is gone: resign, so that a
 *				peer takes over without waiting for a timeout, and exit at once.
 *
 * act_on() is the heart: what the election decided is SAVED, then SHOWN, then
 * SENT, there and nowhere else.  If it cannot be saved, nothing of it is shown or
 * sent: the process ends, and the next one starts from what the disk holds.
 *
 * The exit code is always 1: with 0 the postmaster would not start it again.
 * The worker uses no database, takes no heavyweight lock, waits for no backend,
 * and allocates nothing that outlives a turn of the loop.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/resowner.h"

#include "node/clock.h"
#include "node/scheduler.h"
#include "server/compat.h"
#include "server/recorder.h"
#include "server/report.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/statistics.h"
#include "server/worker.h"

/* After so many datagrams the loop looks at deadlines and signals again. */
#define DATAGRAMS_PER_TURN 128

/* How often what keeps the member out is looked at again. */
#define RETRY_INTERVAL_MS 1000

/* How far get_ready() has come; a step that is done is not done again. */
typedef enum Readiness
{
	NOTHING_READY = 0,
	SOCKET_READY,
	STORE_READY /* this start's first record is durable */
} Readiness;

/* Big, and needed as long as the process lives. */
static Raft		   raft;
static RaftOutput  output;
static RaftMessage message;
static Store	   store = {.fd = -1};
static Transport   transport = {.fd = -1};
static Secret	   secret; /* the keys; nobody else has them */
static RaftConfig  config;
static RaftSaved   first_record;

static Readiness			 readiness = NOTHING_READY;
static bool					 running = false; /* raft_init() was called */
static volatile sig_atomic_t leave_requested = false;
static volatile pid_t		 asked_by; /* who has requested it; 0: the kernel did not tell */

static WaitEventSet *wait_set = NULL;
static uint32		 wait_event = 0;
static int			 timer_fd = -1;
static uint64_t		 timer_armed = 0;  /* what the timer is set to; 0: to be set anew */
static uint64_t		 election_due = 0; /* of it, what the election waits for */
static MemoryContext turn_context = NULL;

void
worker_register(const char *name, const char *function)
{
	BackgroundWorker worker;

	/* pg_upgrade runs two servers with one set of settings: neither may be a member */
	if (IsBinaryUpgrade)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_PostmasterStart;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pg_leader", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, name, sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, name, sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

/*
 * A broken invariant of the layers below ends the worker, which then starts from
 * disk; the C library's own way would crash the whole server.  The linker puts
 * this in the place of __assert_fail (see Makefile).
 */
extern void __wrap___assert_fail(const char *assertion, const char *file,
								 unsigned int line, const char *function) __attribute__((noreturn));

void
__wrap___assert_fail(const char *assertion, const char *file,
					 unsigned int line, const char *function)
{
	if (running)
		shared_end_lease();
	ereport(FATAL,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("pg_leader: broken invariant \"%s\" in %s, %s:%u",
					assertion, function, file, line),
			 errhint("This is a bug in pg_leader; please report it.")));
	abort(); /* not reached */
}

static void
handle_sigterm(int signal_number, siginfo_t *info, void *context)
{
	int save_errno = errno;

	leave_requested = true;
	asked_by = info->si_pid;
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * As pqsignal() does it, which does not tell who has sent the signal.
 */
static void
catch_sigterm(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handle_sigterm;
	action.sa_flags = SA_RESTART | SA_SIGINFO;
	(void) sigemptyset(&action.sa_mask);
	(void) sigaction(SIGTERM, &action, NULL);
}

#define POSTMASTER_DIED "postmaster died"

/*
 * The postmaster tells all its processes to go; anyone else means this one.
 */
static const char *
cause_of_sigterm(void)
{
	static char cause[64];

	if (asked_by == PostmasterPid)
		return "server is stopping";
	if (asked_by == 0)
		return "the worker was told to end";
	snprintf(cause, sizeof(cause), "process %d told the worker to end", (int) asked_by);
	return cause;
}

/*
 * However the process ends, its lease ends before.
 */
static void
at_exit(int code, Datum argument)
{
	shared_worker_stop();
	if (running)
		report_end(clock_now());
	shared_hold_store(NULL);
}

/* ---- save, show, send ---- */

/* Every call of the election that has an output does this itself. */
static void
begin_output(void)
{
	output.save = false;
	output.n_messages = 0;
	output.n_events = 0;
}

static void
save(const RaftSaved *saved)
{
	char	 error[STORE_ERROR_SIZE];
	uint64_t began = clock_now();

	if (!store_save(&store, saved, error))
	{
		/* first of all: writing the log may take its time */
		shared_end_lease();
		ereport(FATAL,
				(errcode(ERRCODE_IO_ERROR),
				 errmsg("pg_leader: could not save term and vote: %s", error),
				 errdetail("What depends on them was neither shown nor sent."),
				 errhint("The worker starts again from what the disk holds.")));
	}
	statistics_save(&config.timeouts, clock_now() - began);
}

/*
 * THE CONTRACT of raft.h, kept here and nowhere else.
 */
static void
act_on(void)
{
	uint32_t i;

	if (output.save)
		save(&raft.saved);

	report_show(&raft, &output);

	for (i = 0; i < output.n_messages; i++)
	{
		if (transport_send(&transport, &output.messages[i]))
			statistics_sent(output.messages[i].to);
		report_sent(&output.messages[i]);
	}
	statistics_acted(&raft, &output);

	/* the log's pipe may block, so this comes when nobody waits for us */
	report_log(&raft, &output);
}

/* ---- leaving ---- */

static void
leave(const char *cause)
{
	report_cause(cause);
	if (running)
	{
		raft_resign(&raft, clock_now(), &output);
		act_on();
	}
	proc_exit(1);
}

/* ---- getting ready ---- */

/* For numbering only; nothing here is timed by the wall clock. */
static uint64_t
wall_clock_ms(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec < 0 ? 0 : (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

/*
 * Open the state file and make this start's first record durable.
 */
static bool
ready_store(char *why, char *hint)
{
	StoreIdentity identity;
	StoreEvidence evidence;
	StoreOpen	  found;
	RaftSaved	  loaded;
	char		  directory[STORE_PATH_SIZE];
	const char	 *health = "ok";

	if (!settings_state_directory(directory, sizeof(directory)))
	{
		strlcpy(why, "the path of the state directory is too long", STORE_ERROR_SIZE);
		strlcpy(hint, "Set pg_leader.state_directory to a shorter one.", STORE_ERROR_SIZE);
		return false;
	}
	memset(&identity, 0, sizeof(identity));
	identity.cluster_digest = cluster_text_digest(settings.cluster_name);
	identity.node_id = config.node_id;

	found = store_open(&store, directory, &identity, &loaded, why, hint);
	if (found != STORE_FAILED)
		recorder_load_events(&evidence);
	switch (found)
	{
		case STORE_OPENED:
			config.list_appended = cluster_is_appended(settings_cluster(), loaded.list_size,
													   loaded.list_digest);
			raft_first_record(&loaded, store.damaged, &config, &first_record);
			if (!store_save(&store, &first_record, why))
			{
				strlcpy(hint, "Check the disk that holds the state directory.",
						STORE_ERROR_SIZE);
				store_close(&store);
				return false;
			}
			if (store.damaged)
				health = "one slot was bad";
			break;
		case STORE_MISSING:
			config.list_appended = false;
			raft_first_record(NULL, false, &config, &first_record);
			store_number_new_life(&first_record, wall_clock_ms());
			store_heed_evidence(&first_record, &evidence);
			if (!store_create(&store, directory, &identity, &first_record, why, hint))
				return false;
			health = "was missing at start";
			break;
		case STORE_FAILED:
		default:
			return false;
	}
	report_store(&store, health);
	return true;
}

/*
 * Take the keys that pg_leader.secret_file holds now, or none if it is empty.
 * false: the file is no good, and the keys are as before.
 */
static bool
read_secret(bool *changed, char *why, char *hint)
{
	char		  path[STORE_PATH_SIZE];
	SecretRead	  result;
	MemoryContext context;

	StaticAssertStmt(SECRET_ERROR_SIZE <= STORE_ERROR_SIZE, "words of secret.c fit");
	*changed = false;
	if (settings.secret_file[0] == '\0')
	{
		*changed = secret.keys.n > 0;
		secret_forget(&secret);
		return true;
	}
	if (!settings_secret_file(path, sizeof(path)))
	{
		strlcpy(why, "the path of the secret file is too long", STORE_ERROR_SIZE);
		strlcpy(hint, "Set pg_leader.secret_file to a shorter one.", STORE_ERROR_SIZE);
		return false;
	}

	/* what it prepares must outlive this turn */
	context = MemoryContextSwitchTo(TopMemoryContext);
	result = secret_read(&secret, path, why, hint);
	(void) MemoryContextSwitchTo(context);
	*changed = result == SECRET_CHANGED;
	return result != SECRET_FAILED;
}

/*
 * Everything that stands between a start and the first datagram.  false: "why"
 * and "hint" say what is in the way; may be called again.
 */
static bool
get_ready(char *why, char *hint)
{
	bool changed;

	why[0] = hint[0] = '\0';

	/* timeouts may have been reloaded, all else is fixed */
	if (!settings_config(&config, why, hint))
		return false;

	/*
	 * Each time: a file that has gone bad while something else was in the way
	 * must not let this member start without, or with what it held before.
	 */
	if (!read_secret(&changed, why, hint))
		return false;

	/*
	 * The socket before the store: what this start makes durable, it makes durable only
	 * for a list that this machine can be a member of.
	 */
	if (readiness < SOCKET_READY)
	{
		if (!transport_open(&transport, settings_cluster(), config.node_id,
							settings.listen_address,
							cluster_text_digest(settings.cluster_name), &secret, why, hint))
			return false;
		readiness = SOCKET_READY;
	}
	if (readiness < STORE_READY)
	{
		if (!ready_store(why, hint))
			return false;
		readiness = STORE_READY;
	}
	return true;
}

/*
 * Wait until the member is ready to take part, however long that takes.
 */
static void
wait_until_ready(void)
{
	char why[STORE_ERROR_SIZE];
	char hint[STORE_ERROR_SIZE];

	while (!leave_requested && !get_ready(why, hint))
	{
		uint64_t again = clock_now() + RETRY_INTERVAL_MS * UINT64CONST(1000);
		uint64_t now;

		report_not_ready(why, hint);
		while (!leave_requested && !ConfigReloadPending && (now = clock_now()) < again)
		{
			int events = WaitLatch(MyLatch,
								   WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH,
								   (long) ((again - now) / 1000) + 1,
								   PG_WAIT_EXTENSION);

			if (events & WL_POSTMASTER_DEATH)
				leave(POSTMASTER_DIED);
			ResetLatch(MyLatch);
			shared_refuse_requests();
		}
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextReset(turn_context);
	}
	if (leave_requested)
		leave(cause_of_sigterm());
}

static void
prepare_to_wait(void)
{
	timer_fd = timerfd_create(CLOCK_OF_ELECTION, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer_fd < 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("pg_leader: could not create a timer: %m")));

	/* best effort: it is only about milliseconds on a busy machine */
	(void) scheduler_ask_for_short_turns();

	wait_event = compat_wait_event("PgLeaderMain");
	wait_set = compat_create_wait_event_set(4);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_POSTMASTER_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, transport_pollable(&transport), NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, timer_fd, NULL, NULL);
}

static void
start_election(void)
{
	if (!pg_strong_random(&config.incarnation, sizeof(config.incarnation)) ||
		!pg_strong_random(&config.seed, sizeof(config.seed)))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("pg_leader: could not get random numbers")));
	if (config.incarnation == 0)
		config.incarnation = 1;

	prepare_to_wait();
	report_start(&config, settings_cluster(), &first_record);
	report_keys(&secret.keys, settings_cluster());
	report_addresses(&transport.addresses);
	raft_init(&raft, &config, &first_record, clock_now());
	running = true;

	/* show what we are before the first datagram can go out */
	begin_output();
	report_show(&raft, &output);
}

/* ---- running ---- */

/*
 * Let the timer ring at the next deadline, which may be past already.
 */
static void
arm_timer(void)
{
	uint64_t		  deadline;
	struct itimerspec spec;

	election_due = raft_deadline(&raft);
	deadline = Min(election_due, cluster_addresses_deadline(&transport.addresses));

	/* 0 would switch it off */
	deadline = Max(Min(deadline, transport_deadline(&transport)), 1);
	if (deadline == timer_armed)
		return;
	memset(&spec, 0, sizeof(spec));
	spec.it_value.tv_sec = (time_t) (deadline / 1000000);
	spec.it_value.tv_nsec = (long) (deadline % 1000000) * 1000;
	if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) != 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("pg_leader: could not set a timer: %m")));
	timer_armed = deadline;
}

/*
 * A datagram was read when something was due already: the core does that first, and
 * this is how late it is.
 */
static void
look_at_deadline(uint64_t now)
{
	if (now < election_due)
		return;
	statistics_looked(&raft, raft_deadline(&raft), now);
	election_due = UINT64_MAX; /* once is enough until the timer is set again */
}

/*
 * Of a flood, the kernel drops what this member knows to have no effect.
 */
static void
sift_floods(void)
{
	uint64_t now = clock_now();
	int32_t	 id;

	while ((id = transport_flooded_peer(&transport, now, raft.saved.boot)) != RAFT_NONE)
	{
		const RaftPeer *peer = &raft.peers[id];
		SieveFacts		facts = {.own_boot = raft.saved.boot,
								 .own_incarnation = config.incarnation,
								 .peer_boot = peer->boot,
								 .peer_incarnation = peer->incarnation,
								 .peer_sequence = peer->sequence,
								 .peer_silent = peer->heard_at != 0 ? now - Min(now, peer->heard_at) : now};

		transport_sift(&transport, id, now, &facts);
	}
}

/*
 * Did this datagram change nothing?  A flood is full of them, and there is nothing to
 * save, show or send then.
 */
static bool
had_no_effect(const RaftCounters *before, bool was_due)
{
	return !was_due && !output.save && output.n_messages == 0 && output.n_events == 0 &&
		   memcmp(before->dropped, raft.counters.dropped, sizeof(before->dropped)) != 0;
}

static void
receive_message(void)
{
	RaftCounters before = raft.counters;
	uint64_t	 now;
	bool		 was_due;

	report_received(&raft, &message);

	/* the clock is read after the datagram, never before */
	now = clock_now();
	was_due = now >= raft_deadline(&raft);
	look_at_deadline(now);
	raft_receive(&raft, now, &message, &output);
	statistics_received(&raft, &message);
	if (!had_no_effect(&before, was_due))
		act_on();
	report_dropped_by_election(&before, &raft.counters, &message);
}

static void
receive_datagrams(void)
{
	TransportResult result = TRANSPORT_MESSAGE;
	int				i;

	for (i = 0; i < DATAGRAMS_PER_TURN && !leave_requested && result != TRANSPORT_EMPTY; i++)
	{
		result = transport_receive(&transport, settings_cluster(), &message);
		if (result == TRANSPORT_DROPPED)
			report_dropped_at_door(&transport);
		else if (result == TRANSPORT_MESSAGE)
			receive_message();
	}
	sift_floods();

	/* what the kernel has dropped never came as far as the door */
	report_dropped_at_door(&transport);
}

static void
do_what_is_due(void)
{
	uint64_t heard_at[RAFT_MAX_NODES];
	uint64_t deadline = raft_deadline(&raft);
	uint64_t now = clock_now();
	int		 i;

	statistics_looked(&raft, deadline, now);
	if (now >= deadline)
	{
		raft_tick(&raft, now, &output);
		act_on();
	}
	if (now >= cluster_addresses_deadline(&transport.addresses))
	{
		for (i = 0; i < RAFT_MAX_NODES; i++)
			heard_at[i] = raft.peers[i].heard_at;
		if (cluster_addresses_poll(&transport.addresses, settings_cluster(),
								   heard_at, clock_now()))
		{
			report_addresses(&transport.addresses);
			transport_connect(&transport, settings_cluster(), now);
		}
	}
	if (now >= transport.connect_at)
		transport_connect(&transport, settings_cluster(), now);
}

/*
 * The file is read again although its name may be the same: keys are exchanged by
 * what it holds.
 */
static void
reload_secret(void)
{
	char why[STORE_ERROR_SIZE];
	char hint[STORE_ERROR_SIZE];
	bool changed;

	if (read_secret(&changed, why, hint))
	{
		if (changed)
			report_keys(&secret.keys, settings_cluster());
		return;
	}
	ereport(WARNING,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 secret.keys.n > 0 ? errmsg("pg_leader: keeps the keys that it had: %s", why) :
								 errmsg("pg_leader: goes on without authentication, as it was: %s", why),
			 errhint("%s Then reload again.", hint)));
}

static void
reload_settings(void)
{
	bool		could_lead = raft.may_lead;
	RaftConfig	wanted = config;
	const char *wrong;

	ProcessConfigFile(PGC_SIGHUP);

	settings_timeouts(&wanted.timeouts);
	wrong = raft_check_config(&wanted);
	if (wrong != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pg_leader: keeps the timeouts that it had: %s", wrong),
				 errhint("Correct the pg_leader settings and reload again.")));
	else if (memcmp(&wanted.timeouts, &config.timeouts, sizeof(wanted.timeouts)) != 0)
	{
		config.timeouts = wanted.timeouts;
		raft_set_timeouts(&raft, &config.timeouts);
		report_timeouts(&config.timeouts);
	}

	reload_secret();

	raft_set_may_lead(&raft, settings.candidate);
	begin_output();
	if (could_lead && !settings.candidate)
	{
		report_cause("pg_leader.candidate was switched off");
		raft_resign(&raft, clock_now(), &output);
	}
	act_on();
	report_cause(NULL);
}

static void
reset_statistics(void)
{
	memset(&raft.counters, 0, sizeof(raft.counters));
	memset(&transport.counters, 0, sizeof(transport.counters));
	report_reset();
	statistics_end_of_turn(&config.timeouts);
	report_detail(&raft, &transport);
}

static void
answer_request(void)
{
	SharedRequest request;
	SharedAnswer  answer;

	if (!shared_next_request(&request))
		return;
	memset(&answer, 0, sizeof(answer));
	answer.verdict = SHARED_DONE;
	answer.term = raft.saved.term;

	if (clock_now() >= request.deadline)
		answer.verdict = SHARED_NO_ANSWER;
	else
	{
		switch (request.kind)
		{
			case SHARED_TRANSFER:
				answer.result = raft_transfer(&raft, clock_now(), request.target, &output);
				if (answer.result != RAFT_TRANSFER_STARTED)
					answer.verdict = SHARED_REFUSED;
				act_on();
				break;
			case SHARED_ADMIT:
				if (!raft_admit(&raft, clock_now(), &output))
					answer.verdict = SHARED_REFUSED;
				act_on();
				break;
			case SHARED_RESET_STATISTICS:
				reset_statistics();
				break;
		}
	}
	shared_answer_request(&request, &answer);
}

/*
 * One turn: whatever woke us, signals and requests first, then a bounded number
 * of datagrams, then deadlines.
 */
static void
turn(void)
{
	WaitEvent events[4];
	bool	  is_timer = false;
	int		  n;
	int		  i;

	MemoryContextReset(turn_context);
	statistics_end_of_turn(&config.timeouts);
	report_detail(&raft, &transport);
	arm_timer();

	n = WaitEventSetWait(wait_set, -1, events, lengthof(events), wait_event);
	for (i = 0; i < n; i++)
	{
		if (events[i].events & WL_POSTMASTER_DEATH)
			leave(POSTMASTER_DIED);
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);

		/* it has rung; to set it anew takes back what a read would tell */
		if ((events[i].events & WL_SOCKET_READABLE) && events[i].fd == timer_fd)
		{
			is_timer = true;
			timer_armed = 0;
		}
	}
	if (leave_requested)
		leave(cause_of_sigterm());
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		reload_settings();
	}
	answer_request();

	/* a latch that is set keeps the sockets from being asked; a timer does not */
	if (!is_timer || n > 1 || clock_now() >= transport_deadline(&transport))
		receive_datagrams();
	do_what_is_due();
}

void
pg_leader_worker_main(Datum argument)
{
	catch_sigterm();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGUSR1, procsignal_sigusr1_handler);
	BackgroundWorkerUnblockSignals();

	before_shmem_exit(at_exit, 0);
	shared_worker_start(settings.node_id);
	init_ps_display("pg_leader:");
	set_ps_display("starting");
	recorder_load_events(NULL);

	turn_context = AllocSetContextCreate(TopMemoryContext, "pg_leader turn",
										 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(turn_context);

	/*
	 * pg_hmac_create() keeps its books with one, and a process without a database
	 * has none.
	 */
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pg_leader");

	wait_until_ready();
	start_election();
	for (;;)
		turn();
}
