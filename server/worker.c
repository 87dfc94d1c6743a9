/*
 * server/worker.c
 *	  The background worker: one process that is the member.
 *
 * Its life:
 *
 *	  start		The postmaster starts it first of all, so it runs on primaries,
 *				hot standbys and during recovery.  It withdraws whatever lease an
 *				earlier worker may have shown.
 *	  get ready Settings, keys, socket, state file, in this order.  What prevents it is
 *				logged once and shown in pg_leader_status; then the worker
 *				waits, looks again each second, and never takes the server down.
 *	  run		One loop: wait for a datagram, a deadline or a signal, let the
 *				election decide, act on what it decided.
 *	  leave		At SIGTERM, or when the postmaster is gone: resign, so that a
 *				peer takes over without waiting for a timeout, and exit at once.
 *
 * What the election decides is SAVED, then SHOWN, then SENT, by node/member.c; the
 * functions that it calls for that are here.  If it cannot be saved, nothing of it is
 * shown or sent: the process ends, and the next one starts from what the disk holds.
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
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/resowner.h"

#include "node/clock.h"
#include "node/home.h"
#include "node/scheduler.h"
#include "server/compat.h"
#include "server/library.h"
#include "server/recorder.h"
#include "server/refused.h"
#include "server/log.h"
#include "server/managed.h"
#include "server/parent.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/show.h"
#include "server/statistics.h"
#include "server/worker.h"

/* How often what keeps the member out is looked at again. */
#define RETRY_INTERVAL_MS 1000

/* Big, and needed as long as the process lives. */
static Home home;

/* Who is heard: those of the settings that were taken over, and whoever counts besides. */
static Cluster members;
static Cluster accepted; /* of the settings: the last one that was taken over while it ran */

static volatile sig_atomic_t leave_requested = false;
static volatile pid_t		 asked_by; /* which process has requested it; 0: the kernel did not tell */

static WaitEventSet *wait_set = NULL;
static uint32		 wait_event = 0;
static int			 timer_fd = -1;
static uint64_t		 timer_armed = 0; /* what the timer is set to; 0: to be set anew */
static MemoryContext turn_context = NULL;

/* The member has begun. */
static inline bool
is_running(void)
{
	return home.member.state != MEMBER_ENDED;
}

/*
 * A failed assertion of the layers below ends the worker, which then starts from
 * disk; the C library's own way would crash the whole server.  The linker puts
 * this in the place of __assert_fail (see Makefile).
 */
extern void __wrap___assert_fail(const char *assertion, const char *file,
								 unsigned int line, const char *function) __attribute__((noreturn));

void
__wrap___assert_fail(const char *assertion, const char *file,
					 unsigned int line, const char *function)
{
	if (is_running())
		shared_end_lease();
	ereport(FATAL,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("pg_leader: assertion failed: \"%s\" in %s, %s:%u",
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
 * Like pqsignal(), but with the sender's pid.
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
 * SIGTERM from the postmaster is a shutdown; from others it is for this process.
 */
static const char *
cause_of_sigterm(void)
{
	static char cause[64];

	if (asked_by == PostmasterPid)
		return "server is stopping";
	if (asked_by == 0)
		return "the worker received SIGTERM";
	snprintf(cause, sizeof(cause), "process %d sent SIGTERM to the worker", (int) asked_by);
	return cause;
}

/*
 * Withdraw the lease at any exit.
 */
static void
at_exit(int code, Datum argument)
{
	shared_worker_stop();
	managed_end();
	if (is_running())
		show_end();
	shared_hold_store(NULL);
}

/* ---- the member's host: save, show, send ---- */

static uint64_t
host_now(Member *member)
{
	return clock_now();
}

static MemberSave
host_save(Member *member)
{
	Words	 words;
	uint64_t began = clock_now();

	if (!home_save(&home, &words))
	{
		/* first of all: writing the log may take its time */
		shared_end_lease();
		ereport(FATAL,
				(errcode(ERRCODE_IO_ERROR),
				 errmsg("pg_leader: could not save term and vote: %s", words.error),
				 errdetail("Nothing that depends on them was published or sent."),
				 errhint("The worker restarts from its state file.")));
	}
	statistics_save(&home.config.timeouts, clock_now() - began);
	return MEMBER_SAVED;
}

static void
host_show(Member *member)
{
	show_state(&member->raft, &member->output);
}

static void
host_send(Member *member, const RaftMessage *message)
{
	if (transport_send(&home.transport, message))
		statistics_sent(message->to);
	log_sent(message);
}

/*
 * All is sent.  The log's pipe may block, so it comes when nobody waits for us.
 */
static void
host_sent(Member *member)
{
	shared_wake_waiters();
	statistics_acted(&member->raft, &member->output);
	log_changes(&member->raft, &member->output);
}

static const MemberHost host = {
	.now = host_now,
	.save = host_save,
	.show = host_show,
	.send = host_send,
	.sent = host_sent,
};

static void
arrived(Home *at, TransportResult result)
{
	if (result == TRANSPORT_DROPPED)
		log_dropped_by_transport(&at->transport);
	else if (result == TRANSPORT_MESSAGE)
		log_received(&at->message);
}

static void
taken(Home *at)
{
	RaftOutcome outcome = at->member.output.outcome;

	statistics_received(&at->member.raft, &at->message, outcome);
	if (outcome >= RAFT_FIRST_DROP)
		log_dropped_by_election(&at->message, outcome);
}

/* Does pg_leader.cluster hold another list, or none?  Written in another way it is the same. */
static bool
has_other_list(void)
{
	const Cluster *cluster = settings_cluster();
	uint64_t	   in_force;

	/* before the member is at home there is only what was tried */
	in_force = home.config.list_size != 0 ? home.config.list_digest : cluster_list_digest(&members, members.n_members);
	return cluster == NULL || cluster_list_digest(cluster, cluster->n_members) != in_force;
}

/* ---- leaving ---- */

static void
leave(const char *cause)
{
	show_cause(cause);
	if (is_running())
		member_resign(&home.member);
	proc_exit(1);
}

/* ---- getting ready ---- */

/*
 * Take the keys that pg_leader.secret_file holds now, or none if it is empty.
 * false: the file is no good, and the keys are as before.
 */
static bool
read_secret(bool *changed, Words *words)
{
	char		  path[STORE_PATH_SIZE];
	SecretRead	  result;
	MemoryContext context;

	*changed = false;
	if (settings.secret_file[0] == '\0')
	{
		*changed = home.secret.keys.n > 0;
		secret_forget(&home.secret);
		return true;
	}
	if (!settings_secret_file(path, sizeof(path)))
		return words_set(words, "Set pg_leader.secret_file to a shorter one.", "the path of the secret file is too long");

	/* what it prepares must outlive this turn */
	context = MemoryContextSwitchTo(TopMemoryContext);
	result = secret_read(&home.secret, path, words);
	(void) MemoryContextSwitchTo(context);
	*changed = result == SECRET_CHANGED;
	return result != SECRET_FAILED;
}

/*
 * All steps of the start.  false: *words says
 * why not; may be called again.
 */
static bool
get_ready(Words *words)
{
	HomeSettings at = {.cluster = &members,
					   .cluster_name = settings.cluster_name,
					   .listen_address = settings.listen_address,
					   .look_for_evidence = recorder_load_events};
	char		 directory[STORE_PATH_SIZE];
	bool		 changed;

	words_clear(words);

	/* timeouts may have been reloaded, and the list before anything was opened with it */
	if (!settings_config(&at.config, words))
		return false;
	if (members.n_members == 0)
		members = *settings_cluster();

	/*
	 * Each time: a file that became unusable meanwhile must not let this member start
	 * without keys, or with its old keys.
	 */
	if (!read_secret(&changed, words))
		return false;
	if (!settings_state_directory(directory, sizeof(directory)))
		return words_set(words, "Set pg_leader.state_directory to a shorter one.", "the path of the state directory is too long");
	at.state_directory = directory;
	if (!home_open(&home, &at, words))
		return false;
	show_store(&home.store, home.store_health);
	return true;
}

/*
 * Wait until the member is ready to take part, however long that takes.
 */
static void
wait_until_ready(void)
{
	Words words;

	while (!leave_requested && !get_ready(&words))
	{
		uint64_t again = clock_now() + RETRY_INTERVAL_MS * UINT64CONST(1000);
		uint64_t now;

		show_not_ready(&words);
		log_not_ready(&words);
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
			refused_look();
			parent_check_settings();
			if (members.n_members != 0 && has_other_list())
				leave("the member list has changed");
		}
		MemoryContextReset(turn_context);
	}
	if (leave_requested)
		leave(cause_of_sigterm());
}

/*
 * Settings that keep their values because the new ones were refused.
 */
static void
look_for_refused(void)
{
	static char said[REFUSED_SIZE];

	refused_look();
	if (strcmp(said, refused_now()) == 0)
		return;
	strlcpy(said, refused_now(), sizeof(said));
	if (said[0] != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pg_leader: refused settings keep the values that are in force: %s", said),
				 errdetail("pg_leader_status shows them in refused_settings."),
				 errhint("Correct them in the configuration files and reload again; a restart with them would keep this member out.")));
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
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, home_pollable(&home), NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, timer_fd, NULL, NULL);
}

static void
start_election(void)
{
	prepare_to_wait();
	look_for_refused();
	home.arrived = arrived;
	home.taken = taken;
	show_start(&home.config, &members, &home.first);
	log_start(&home.config, &home.first);
	log_keys(&home.secret.keys, &members);
	show_addresses(&home.transport.addresses);

	/* shows what we are before the first datagram can go out */
	if (!home_start(&home, &host))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("pg_leader: could not get random numbers")));
}

/* ---- running ---- */

/*
 * Set the timer to the next deadline, possibly in the past.
 */
static void
arm_timer(void)
{
	uint64_t		  deadline = Max(home_deadline(&home), 1); /* 0 would switch it off */
	struct itimerspec spec;

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
 * The file is read again although its name may be the same: keys are exchanged by
 * what it holds.
 */
static bool
reload_secret(void)
{
	Words words;
	bool  changed;

	bool usable = read_secret(&changed, &words);

	refused_by_member("pg_leader.secret_file", !usable);
	if (usable)
	{
		if (changed)
			log_keys(&home.secret.keys, &members);
		return true;
	}
	ereport(WARNING,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 home.secret.keys.n > 0 ? errmsg("pg_leader: new keys are not usable, keeping the old ones: %s", words.error) :
									  errmsg("pg_leader: the new secret file is not usable, authentication stays off: %s", words.error),
			 errhint("%s Then reload again.", words.hint)));
	return false;
}

/*
 * Has the cluster a list of its own by now, which the settings say only where to bring?  Then
 * members come and go while this one runs.
 */
static bool
changes_while_it_runs(void)
{
	return home.member.raft.saved.list.number != 0;
}

/* For a server that streams to all others; what it lacks takes a restart. */
static bool
has_walsenders(Words *words)
{
	return !settings.manage || max_wal_senders >= settings_cluster()->n_members ||
		   words_set(words, "Raise max_wal_senders above twice the number of members, and restart the servers one by one first.",
					 "max_wal_senders is %d, and it has %d members", max_wal_senders, settings_cluster()->n_members);
}

/* What the settings say, and whoever counts besides; whoever does neither is not heard any more. */
static bool
take_list(const Cluster *configured, Words *words)
{
	if (!home_set_list(&home, &members, configured, words))
		return false;
	accepted = *configured;
	show_list(&members);
	return true;
}

/* After a change has come about; see take_list(). */
static void
forget_those_who_left(void)
{
	const Raft *raft = &home.member.raft;
	Words		words;

	if (is_running() && accepted.n_members != 0 && (raft->config.members & ~(raft->config.wanted | raft_voters(raft))) != 0)
		(void) take_list(&accepted, &words);
}

/*
 * Another list: the member that runs takes it as what is wanted.  Before anything was claimed it
 * begins with another process, which abstains until it may vote by it.  One with which that
 * process could not take part stays out, and this one goes on.
 */
static void
reload_list(bool secret_is_usable)
{
	bool	   is_other = has_other_list();
	RaftConfig wanted;
	Words	   words;

	words_clear(&words);
	if (is_other && changes_while_it_runs())
	{
		if (settings_config(&wanted, &words) && has_walsenders(&words) && take_list(settings_cluster(), &words))
		{
			is_other = false;
			ereport(LOG,
					(errmsg("pg_leader: the member list of the settings is now: %s", settings.cluster),
					 errdetail("An open leader goes on to it, one member after the other, once all members that stay and live have it.")));
		}
	}
	else if (is_other && !secret_is_usable)
		(void) words_set(&words, "Correct the secret file.", "the secret file that goes with it is not usable");
	else if (is_other && settings_config(&wanted, &words))
	{
		ereport(LOG,
				(errmsg("pg_leader: the worker restarts to take over another member list: %s", settings.cluster)));
		leave("the member list has changed");
	}
	refused_by_member("pg_leader.cluster", is_other);
	if (is_other)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pg_leader: the new member list is not usable, keeping the old one: %s", words.error),
				 errhint("%s Then reload again.", words.hint)));
}

/* The values that differ from those in force are of no use; wanted == in_force: none is. */
static void
show_useless_timeouts(const RaftTimeouts *wanted, const RaftTimeouts *in_force)
{
	refused_by_member("pg_leader.min_timeout", wanted->min_timeout != in_force->min_timeout);
	refused_by_member("pg_leader.max_timeout", wanted->max_timeout != in_force->max_timeout);
	refused_by_member("pg_leader.heartbeat_interval", wanted->heartbeat_interval != in_force->heartbeat_interval);
	refused_by_member("pg_leader.max_clock_drift", wanted->max_drift_ppm != in_force->max_drift_ppm);
}

static void
reload_settings(void)
{
	RaftConfig	wanted = home.config;
	const char *wrong;

	ProcessConfigFile(PGC_SIGHUP);
	look_for_refused();
	parent_check_settings();

	settings_timeouts(&wanted.timeouts);
	wrong = raft_check_config(&wanted);
	if (wrong != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pg_leader: new timeouts are not usable, keeping the old ones: %s", wrong),
				 errhint("Correct the pg_leader settings and reload again.")));
	else if (memcmp(&wanted.timeouts, &home.config.timeouts, sizeof(wanted.timeouts)) != 0)
	{
		home.config.timeouts = wanted.timeouts;
		show_timeouts(&home.config.timeouts);
		log_timeouts(&home.config.timeouts);
	}
	show_useless_timeouts(&wanted.timeouts, &home.config.timeouts);
	reload_list(reload_secret());

	show_cause("pg_leader.candidate was switched off");
	member_reload(&home.member, &home.config.timeouts, settings.candidate);
	show_cause(NULL);

	/* what keeps a server from standing is no reason to resign */
	raft_set_may_lead(&home.member.raft, managed_may_lead());
}

static void
reset_statistics(void)
{
	memset(&home.member.raft.counters, 0, sizeof(home.member.raft.counters));
	memset(&home.transport.counters, 0, sizeof(home.transport.counters));
	show_reset();
	log_reset();
	statistics_end_of_turn(&home.config.timeouts);
	show_detail(&home.member.raft, &home.transport);
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
	answer.term = home.member.raft.saved.term;

	if (clock_now() >= request.deadline)
		answer.verdict = SHARED_NO_ANSWER;
	else
	{
		switch (request.kind)
		{
			case SHARED_TRANSFER:
				answer.result = member_transfer(&home.member, request.target);
				if (answer.result != RAFT_TRANSFER_STARTED)
					answer.verdict = SHARED_REFUSED;
				break;
			case SHARED_ADMIT:
				if (!member_admit(&home.member))
					answer.verdict = SHARED_REFUSED;
				break;
			case SHARED_TRUST_DATA:
				if (!member_trust_data(&home.member))
					answer.verdict = SHARED_REFUSED;
				break;
			case SHARED_PAUSE:
			case SHARED_RESUME:
				answer.pause = member_pause(&home.member, request.kind == SHARED_PAUSE);
				if (answer.pause != RAFT_PAUSE_TAKEN)
					answer.verdict = SHARED_REFUSED;
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
	Words	  words;
	bool	  is_timer = false;
	int		  n;
	int		  i;

	MemoryContextReset(turn_context);
	forget_those_who_left();
	shared_wake_waiters();
	statistics_end_of_turn(&home.config.timeouts);
	show_detail(&home.member.raft, &home.transport);
	log_send_errors(&home.transport);
	arm_timer();

	n = WaitEventSetWait(wait_set, -1, events, lengthof(events), wait_event);
	for (i = 0; i < n; i++)
	{
		if (events[i].events & WL_POSTMASTER_DEATH)
			leave(POSTMASTER_DIED);
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);

		/* it has expired; setting it again clears the expiration */
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
	managed_begin_turn(&home.member);

	statistics_looked(&home.member.raft, member_deadline(&home.member), clock_now());

	/* a latch that is set keeps the sockets from being asked; a timer does not */
	if (!home_turn(&home, is_timer && n == 1, &words))
	{
		ereport(WARNING,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("pg_leader: the worker restarts to listen elsewhere: %s", words.error),
				 errhint("%s", words.hint)));
		leave(words.error);
	}
	managed_end_turn(&home.member);

	/* what the kernel has dropped never came as far as the door */
	log_dropped_by_transport(&home.transport);
	if (home.addresses_changed)
	{
		home.addresses_changed = false;
		show_addresses(&home.transport.addresses);
	}
}

void
pg_leader_worker_main(Datum argument)
{
	library_check_worker();
	catch_sigterm();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGUSR1, procsignal_sigusr1_handler);
	BackgroundWorkerUnblockSignals();

	home_init(&home);
	before_shmem_exit(at_exit, 0);
	shared_worker_start(settings.node_id);
	init_ps_display("pg_leader:");
	set_ps_display("starting");
	recorder_load_events(NULL);

	turn_context = AllocSetContextCreate(TopMemoryContext, "pg_leader turn",
										 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(turn_context);

	/*
	 * pg_hmac_create() needs a resource owner, and a process without a database
	 * has none.
	 */
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pg_leader");

	/* an earlier worker may have forgiven what the postmaster still holds against us */
	refused_look();
	parent_check_settings();
	wait_until_ready();
	start_election();
	for (;;)
		turn();
}
