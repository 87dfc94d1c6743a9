/*
 * server/notify.c
 *	  The process that runs pg_leader.notify_command when the leadership changes.
 *
 * A background worker of its own, so that a command can take its time while the
 * election goes on: the election's worker sets this one's latch and waits for
 * nothing.  Here, two states are compared again and again: what shared memory
 * shows, and what a command was told last.  Where they differ, one command is
 * run, and waited for, that compares the current state with the last notification and
 * runs the command for the next step:
 *
 *	  lost_lease	The lease that was told is over.  Always first.
 *	  gained_lease	This member holds one that was not told.
 *	  new_leader	Another member leads, or leads in another term.
 *
 * So there is no queue that could grow, and no outdated notification is sent: changes that
 * come and go while a command runs are left out, the last state never is.
 *
 * A command that was told nothing yet (the server started, this process started
 * again, the setting changed) is told at once whether there is a lease: what a
 * crash has left behind can then be put right.
 *
 * That a lease runs out is seen by the clock, whatever the election's worker does,
 * and gained_lease is not told when the lease is over at the command's start.
 *
 * Its end: at SIGTERM, or when the postmaster is gone, it waits for the lease to
 * go, which the election's worker gives up at the same moment, sends lost_lease,
 * and exits.  The exit code is always 1: with 0 the postmaster would not start it
 * again.
 *
 * Between this process and the command stands a small one, the guardian: it leads
 * the command's process group, and ends it when this process is killed.  This process
 * reaps what the command has started.
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pg_shmem.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"

#include "node/clock.h"
#include "server/compat.h"
#include "server/library.h"
#include "server/notify.h"
#include "server/settings.h"
#include "server/shared.h"

/* From SIGTERM to SIGKILL for a command, and from there to giving it up; us. */
#define GRACE UINT64CONST(1000000)

/* How often a process group is looked at whose shell has ended; us. */
#define GROUP_POLL UINT64CONST(10000)

/* The longest that lost_lease may hold up a server that shuts down; us. */
#define LEAVING_LIMIT UINT64CONST(5000000)

/* So many failures are logged in one such time, in us. */
#define FAILURES_LOGGED 10
#define FAILURES_PERIOD UINT64CONST(60000000)

typedef enum EventKind
{
	GAINED_LEASE,
	LOST_LEASE,
	NEW_LEADER
} EventKind;

static const char *const event_names[] = {"gained_lease", "lost_lease", "new_leader"};

typedef struct Event
{
	EventKind kind;
	uint64_t  term;
	int32_t	  leader_id; /* RAFT_NONE: none known */
} Event;

/* Why a command is being ended. */
typedef enum EndReason
{
	NOT_ENDED = 0,
	OUT_OF_TIME,
	LEASE_OVER,
	LEAVING
} EndReason;

static const char *const end_details[] = {
	"",
	"It took longer than pg_leader.notify_timeout.",
	"The lease that it was notified of has ended.",
	"The server is shutting down."};

/* What the command was told last. */
static struct
{
	bool	 anything; /* false: nothing yet */
	bool	 lease;
	uint64_t lease_term;
	int32_t	 leader_id;
	uint64_t leader_term;
} told;

/* What shared memory shows. */
static struct
{
	uint64_t	 until; /* 0: no lease */
	uint64_t	 term;	/* of the lease */
	uint64_t	 now;
	SharedStatus status; /* as far as it could be read */
} seen;

static volatile sig_atomic_t leave_requested = false;

/* The guardian of the command that runs, leader of its process group; 0: none. */
static volatile pid_t child = 0;

/* It has ended, and somebody else of its group may not have. */
static bool reaped = false;

/* What has become of a command; shared with it and its guardian. */
static volatile struct
{
	bool withdrawn; /* the command found the lease over, and has run nothing */
	bool ended;		/* its shell has ended */
	int	 status;	/* with this status, as waitpid() has it */
} *outcome = NULL;

/* When lost_lease must have ended, as the server shuts down; 0: it does not. */
static uint64_t leave_until = 0;

static char			*last_command = NULL; /* to notice that the setting changed */
static bool			 postmaster_gone = false;
static uint32		 wait_event = 0;
static MemoryContext run_context = NULL;

static uint64_t failures_since = 0;
static int		failures_logged = 0;
static int		failures_silent = 0;

bool
notify_check_command(char **newval, void **extra, GucSource source)
{
	const char *c;

	for (c = *newval; c != NULL && *c != '\0'; c++)
	{
		if (*c != '%')
			continue;
		c++;
		if (*c != '\0' && strchr("etlan%", *c) != NULL)
			continue;
		if (*c == '\0')
			GUC_check_errdetail("The command ends in a single \"%%\".");
		else
			GUC_check_errdetail("The command has an unknown placeholder \"%%%c\".",
								*c > 0x20 && *c < 0x7f ? *c : '?');
		GUC_check_errhint("There are %%e (event), %%t (term), %%l (leader's id), %%a (leader's address), "
						  "%%n (this node's id), and %%%% for a single percent sign.");
		return false;
	}
	return true;
}

/* ---- signals ---- */

static void
handle_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	leave_requested = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
handle_sigchld(SIGNAL_ARGS)
{
	int save_errno = errno;

	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * An immediate shutdown, or another process has crashed: as every process of the
 * server does, and the command goes along.
 */
static void
handle_sigquit(SIGNAL_ARGS)
{
	if (child > 0)
		kill(-child, SIGKILL);
	/* As SignalHandlerForCrashExit() does, whose arguments are others from 19 on. */
	_exit(2);
}

static void
at_exit(int code, Datum argument)
{
	if (child > 0)
		kill(-child, SIGKILL);
	shared_notify_stop();
}

static bool
is_leaving(void)
{
	return leave_requested || postmaster_gone;
}

/*
 * Sleep until the latch is set or until "until"; 0: for as long as it takes.
 */
static void
sleep_until(uint64_t until)
{
	uint64_t now = clock_now();
	long	 ms = 0;
	int		 events;

	if (until != 0)
	{
		if (until <= now)
			return;
		ms = (long) Min((until - now) / 1000 + 1, 3600000);
	}
	if (postmaster_gone)
	{
		/* a wait would end at once for that; this is not for long */
		pg_usleep(Min(ms == 0 ? 10 : ms, 10) * 1000);
		ResetLatch(MyLatch);
		return;
	}
	events = WaitLatch(MyLatch,
					   WL_LATCH_SET | WL_POSTMASTER_DEATH | (until != 0 ? WL_TIMEOUT : 0),
					   ms, wait_event);
	if (events & WL_POSTMASTER_DEATH)
		postmaster_gone = true;
	ResetLatch(MyLatch);
}

/* ---- what there is to tell ---- */

static bool
is_on(void)
{
	return settings.notify_command != NULL && settings.notify_command[0] != '\0';
}

/*
 * A command that was changed has been told nothing.
 */
static void
take_settings(void)
{
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (last_command == NULL || strcmp(last_command, settings.notify_command) != 0)
	{
		if (last_command != NULL)
			pfree(last_command);
		last_command = MemoryContextStrdup(TopMemoryContext, settings.notify_command);
		memset(&told, 0, sizeof(told));
		told.leader_id = RAFT_NONE;
	}
}

/*
 * The lease last: a leader's status is shown before its lease.
 */
static void
look(void)
{
	if (!shared_peek_status(&seen.status))
	{
		/* its writer was stopped in the middle: the lease counts, and is apart */
		seen.status.leader_id = RAFT_NONE;
	}
	seen.until = shared_lease(&seen.term, &seen.now);
}

/*
 * The next step from what was told to what is seen.
 */
static bool
next_event(Event *event)
{
	const SharedStatus *status = &seen.status;
	bool				is_other = status->leader_id >= 0 && status->leader_id != settings.node_id;

	event->term = status->term;
	event->leader_id = is_other ? status->leader_id : RAFT_NONE;

	if (told.anything && told.lease && (seen.until == 0 || seen.term != told.lease_term))
	{
		event->kind = LOST_LEASE;
		event->term = told.lease_term;
	}
	else if (seen.until != 0)
	{
		event->kind = GAINED_LEASE;
		event->term = seen.term;
		event->leader_id = settings.node_id;
		return !told.anything || !told.lease;
	}
	else if (!told.anything)
	{
		/* of whatever was left behind: the present term may be another's */
		event->kind = LOST_LEASE;
		event->term = 0;
	}
	else
	{
		event->kind = NEW_LEADER;
		return is_other &&
			   (status->leader_id != told.leader_id || status->term != told.leader_term);
	}
	return true;
}

static void
remember(const Event *event)
{
	told.anything = true;
	told.lease = event->kind == GAINED_LEASE;
	if (event->kind == GAINED_LEASE)
		told.lease_term = event->term;
	if (event->kind != LOST_LEASE)
	{
		told.leader_id = event->leader_id;
		told.leader_term = event->term;
	}
}

/* ---- one command ---- */

static char *
expand(const char *command, const Event *event)
{
	const ClusterMember *leader = NULL;
	const Cluster		*cluster = settings_cluster();
	char				 address[CLUSTER_ADDRESS_SIZE] = "none";
	StringInfoData		 text;
	const char			*c;

	if (event->leader_id >= 0 && cluster != NULL)
		leader = cluster_member(cluster, event->leader_id);
	if (leader != NULL)
		cluster_format_address(leader, address);

	initStringInfo(&text);
	for (c = command; *c != '\0'; c++)
	{
		/* the check hook has seen to it that something known follows */
		switch (*c == '%' ? *++c : 0)
		{
			case 'e':
				appendStringInfoString(&text, event_names[event->kind]);
				break;
			case 't':
				appendStringInfo(&text, UINT64_FORMAT, (uint64) event->term);
				break;
			case 'l':
				if (event->leader_id >= 0)
					appendStringInfo(&text, "%d", event->leader_id);
				else
					appendStringInfoString(&text, "none");
				break;
			case 'a':
				appendStringInfoString(&text, address);
				break;
			case 'n':
				appendStringInfo(&text, "%d", settings.node_id);
				break;
			default:
				appendStringInfoChar(&text, *c);
				break;
		}
	}
	return text.data;
}

/*
 * Has the lease of this gained_lease ended?
 */
static bool
is_lease_over(const Event *event)
{
	uint64_t term;
	uint64_t now;

	return event->kind == GAINED_LEASE &&
		   (shared_lease(&term, &now) == 0 || term != event->term);
}

/*
 * Not closefrom(), which older C libraries do not have: the server would not start.
 */
static void
close_files_from(int first)
{
	DIR			  *directory;
	struct dirent *entry;
	int			   fd;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
#endif
	directory = opendir("/proc/self/fd");
	if (directory == NULL)
	{
		for (fd = first; fd < getdtablesize(); fd++)
			close(fd);
		return;
	}
	while ((entry = readdir(directory)) != NULL)
	{
		fd = atoi(entry->d_name);
		if (fd >= first && fd != dirfd(directory))
			close(fd);
	}
	closedir(directory);
}

/*
 * In the command's process: nothing of the server's but its standard output and
 * error and its environment.
 */
static void
become_command(const char *command, const Event *event, pid_t guardian)
{
	sigset_t none;
	int		 fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != guardian)
		_exit(127);

	if (is_lease_over(event))
	{
		outcome->withdrawn = true;
		_exit(0);
	}

	fd = open("/dev/null", O_RDONLY);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
		_exit(127);
	close_files_from(STDERR_FILENO + 1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execl("/bin/sh", "sh", "-c", command, (char *) NULL);
	_exit(127);
}

/*
 * In the guardian: start the command, wait for its shell's end and say so.  If
 * the notify process ends before, so does the whole group at one stroke, this
 * process included: the next notify process knows nothing of it.
 *
 * All signals are blocked all the time; SIGUSR1 says that the parent has gone.
 */
static void
guard_command(const char *command, const Event *event, pid_t parent)
{
	struct sigaction action;
	sigset_t		 awaited;
	pid_t			 self = getpid();
	pid_t			 shell;
	int				 status;
	int				 signal_number;

	setpgid(0, 0);
	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (signal_number = 1; signal_number < NSIG; signal_number++)
		(void) sigaction(signal_number, &action, NULL);

	/* no interrupts are handled in here */
	HOLD_INTERRUPTS();
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	if (getppid() != parent)
		_exit(127);
	shell = fork();
	if (shell == 0)
		become_command(command, event, self);
	if (shell < 0)
		_exit(127);

	/* nothing of the server's stays in use by this process */
	set_ps_display("guards a command");
	PGSharedMemoryDetach();
	close_files_from(0);
	sigemptyset(&awaited);
	sigaddset(&awaited, SIGCHLD);
	sigaddset(&awaited, SIGUSR1);
	while (waitpid(shell, &status, WNOHANG) == 0)
	{
		if (getppid() != parent)
			kill(0, SIGKILL);
		(void) sigwaitinfo(&awaited, NULL);
	}
	outcome->status = status;
	outcome->ended = true;
	_exit(0);
}

/*
 * Reap what commands have left, and what was given up.
 */
static void
reap_orphans(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void
start_command(const char *command, const Event *event)
{
	pid_t	 parent = getpid();
	pid_t	 pid;
	sigset_t all;
	sigset_t before;

	reap_orphans();
	outcome->withdrawn = false;
	outcome->ended = false;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		guard_command(command, event, parent);
	if (pid > 0)
	{
		/* both do it, so that it is done when the first of them goes on */
		setpgid(pid, pid);
		child = pid;
		reaped = false;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("pg_leader: could not start a process for pg_leader.notify_command: %m"),
				 errhint("The notification is sent after the worker restarts.")));
}

/*
 * Has the command ended?  Its shell has, or, if it was ended from here or has lost
 * its guardian, all that it had started in its process group.
 */
static bool
has_ended(EndReason reason, int *status)
{
	pid_t pid;
	int	  end;

	/* reap orphans of the group, too: zombies look alive */
	while ((pid = waitpid(-1, &end, WNOHANG)) > 0)
	{
		if (pid != child)
			continue;
		reaped = true;
		*status = outcome->ended ? outcome->status : end;
		if (!outcome->ended)
			kill(-child, SIGKILL);
	}
	if (pid < 0 && errno == ECHILD)
		reaped = true;
	if (!reaped)
		return false;
	if ((reason != NOT_ENDED || !outcome->ended) && (kill(-child, 0) == 0 || errno != ESRCH))
		return false;
	child = 0;
	return true;
}

static bool
may_log_failure(void)
{
	uint64_t now = clock_now();

	if (failures_logged > 0 && now >= failures_since + FAILURES_PERIOD)
		failures_logged = 0;
	if (failures_logged == 0)
		failures_since = now;
	if (failures_logged >= FAILURES_LOGGED)
	{
		failures_silent++;
		return false;
	}
	failures_logged++;
	return true;
}

static void
log_failure(const char *command, const Event *event, EndReason reason, const char *result)
{
	char silent[64] = "";
	bool is_last;

	if (!may_log_failure())
		return;
	is_last = failures_logged == FAILURES_LOGGED;
	if (failures_silent > 0)
		snprintf(silent, sizeof(silent), " (%d failures before were not logged)", failures_silent);
	failures_silent = 0;
	ereport(LOG,
			(errmsg("pg_leader: notify_command failed for %s in term " UINT64_FORMAT ": %s%s",
					event_names[event->kind], (uint64) event->term, result, silent),
			 errdetail("%s%sThe command was: %s%s", end_details[reason],
					   reason != NOT_ENDED ? " " : "", command,
					   is_last ? "\nFurther failures are not logged for up to a minute." : "")));
}

/*
 * Why must the command be ended now, if it must?
 */
static EndReason
reason_to_end(const Event *event, uint64_t deadline)
{
	if (clock_now() >= deadline)
		return OUT_OF_TIME;
	if (is_leaving())
	{
		/* one that takes nothing back is told again at the next start */
		if (event->kind != LOST_LEASE || !told.lease)
			return LEAVING;
		if (leave_until == 0)
			leave_until = clock_now() + LEAVING_LIMIT;
		if (clock_now() >= leave_until)
			return LEAVING;
	}
	if (is_lease_over(event))
		return LEASE_OVER;
	return NOT_ENDED;
}

/*
 * The command may continue; returns its deadline.
 */
static uint64_t
may_run_until(const Event *event, uint64_t deadline)
{
	uint64_t term;
	uint64_t now;
	uint64_t until;

	if (event->kind == GAINED_LEASE)
	{
		until = shared_lease(&term, &now);
		return Min(deadline, until == 0 ? now + 1000 : until);
	}
	return leave_until != 0 ? Min(deadline, leave_until) : deadline;
}

/*
 * Wait for the command's end, and see to it that it does end.
 */
static void
wait_for_command(const char *command, const Event *event)
{
	uint64_t  deadline = clock_now() + (uint64_t) settings.notify_timeout * 1000;
	EndReason reason = NOT_ENDED;
	bool	  killed = false;
	int		  status = 0;

	while (!has_ended(reason, &status))
	{
		uint64_t wake_at = deadline;

		if (reason == NOT_ENDED)
		{
			reason = reason_to_end(event, deadline);
			if (reason == NOT_ENDED)
				wake_at = may_run_until(event, deadline);
			else
			{
				kill(-child, SIGTERM);
				wake_at = deadline = clock_now() + GRACE;
			}
		}
		else if (clock_now() >= deadline)
		{
			if (killed)
			{
				child = 0;
				log_failure(command, event, reason,
							"it cannot be terminated, and is no longer waited for");
				return;
			}
			kill(-child, SIGKILL);
			killed = true;
			wake_at = deadline = clock_now() + GRACE;
		}

		/* only the shell's end wakes this process */
		sleep_until(reaped ? Min(wake_at, clock_now() + GROUP_POLL) : wake_at);
	}
	if (status != 0)
		log_failure(command, event, reason, wait_result_to_str(status));
	else if (reason != NOT_ENDED)
		log_failure(command, event, reason, "it was terminated");
}

/*
 * Tell the command one event, and wait until it has ended.
 */
static void
tell(const Event *event)
{
	MemoryContext before = MemoryContextSwitchTo(run_context);
	char		 *command = expand(settings.notify_command, event);
	char		  title[64];

	snprintf(title, sizeof(title), "runs %s, term " UINT64_FORMAT,
			 event_names[event->kind], (uint64) event->term);
	set_ps_display(title);
	ereport(DEBUG1,
			(errmsg_internal("pg_leader: runs notify_command \"%s\"", command)));

	start_command(command, event);
	wait_for_command(command, event);
	if (!outcome->withdrawn)
		remember(event);

	set_ps_display("");
	MemoryContextSwitchTo(before);
	MemoryContextReset(run_context);
}

/* ---- its life ---- */

/*
 * Shutting down, the election's worker gives the lease up, or it runs out.  One
 * that is still renewed after that means that only this process is stopped; it will
 * restart, so do not send lost_lease.
 */
static void
leave(void)
{
	uint64_t until;
	Event	 event;

	if (!is_on() || !told.anything || !told.lease)
		proc_exit(1);

	look();
	until = seen.until;
	while (seen.until != 0 && seen.now < until)
	{
		sleep_until(until);
		look();
	}
	if (next_event(&event) && event.kind == LOST_LEASE)
		tell(&event);
	proc_exit(1);
}

static void
turn(void)
{
	Event event;

	reap_orphans();
	take_settings();
	if (is_leaving())
		leave();
	if (!is_on())
	{
		sleep_until(0);
		return;
	}
	look();
	if (next_event(&event))
		tell(&event);
	else
		sleep_until(seen.until);
}

void
pg_leader_notify_main(Datum argument)
{
	library_check_worker();
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGCHLD, handle_sigchld);
	pqsignal(SIGQUIT, handle_sigquit);
	pqsignal(SIGUSR1, procsignal_sigusr1_handler);
	BackgroundWorkerUnblockSignals();

	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (outcome == MAP_FAILED)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("pg_leader: could not get memory to share with pg_leader.notify_command: %m")));

	/* orphans of commands become this process's children, and are reaped here */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

	before_shmem_exit(at_exit, 0);
	shared_notify_start();
	wait_event = compat_wait_event("PgLeaderNotify");
	run_context = AllocSetContextCreate(TopMemoryContext, "pg_leader notify",
										ALLOCSET_DEFAULT_SIZES);
	for (;;)
		turn();
}
