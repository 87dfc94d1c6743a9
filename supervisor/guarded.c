/*
 * supervisor/guarded.c
 *	  A shell command that ends with this process.
 *
 * See guarded.h.  After fork() only async-signal-safe functions are called: name look-ups of
 * the member may be threads of this process.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "guarded.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

/* Of processes, as ps shows it; 15 bytes. */
#define GUARDIAN_NAME "pg_leader guard"

/* Where the kernel cannot close a range of descriptors: this process has no higher ones. */
#define MOST_FILES 1024

/* The guardian, leader of its process group; 0: no command runs. */
static pid_t guardian;

static bool is_reaped;	   /* and somebody else of its group may not have ended */
static bool is_signalled;  /* from here */
static int	reaped_status; /* of waitpid() */

/* What has become of a command; shared with it and its guardian. */
static volatile struct
{
	bool withdrawn;
	bool ended;	 /* its shell has ended */
	int	 status; /* with this status, as waitpid() has it */
} * outcome;

bool
guarded_init(void)
{
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return outcome != MAP_FAILED;
}

/* Not closefrom(), which older C libraries do not have. */
static void
close_files_from(int first)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
#endif
	for (int fd = first; fd < MOST_FILES; fd++)
		(void) close(fd);
}

/* In the command's process.  Does not return. */
static void
become_command(const char *command, const char *directory, bool (*may_begin)(void), pid_t parent)
{
	sigset_t none;
	int		 fd;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
		_exit(COMMAND_NOT_RUN);
	if (chdir(directory) != 0 && chdir("/") != 0)
		_exit(COMMAND_NOT_RUN);
	fd = open("/dev/null", O_RDONLY);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(COMMAND_NOT_RUN);
	close_files_from(STDERR_FILENO + 1);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	if (!may_begin())
	{
		outcome->withdrawn = true;
		_exit(0);
	}
	(void) execl("/bin/sh", "sh", "-c", command, (char *) NULL);
	_exit(COMMAND_NOT_RUN);
}

/*
 * In the guardian: start the command, wait for its shell's end and say so.  If the supervisor
 * ends before, so does the whole group at one stroke, this process included.  All signals are
 * blocked all the time; SIGUSR1 says that the parent has gone.  Does not return.
 */
static void
guard_command(const char *command, const char *directory, bool (*may_begin)(void), pid_t parent)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t		 awaited;
	pid_t			 self = getpid();
	pid_t			 shell;
	int				 status;

	(void) setpgid(0, 0);
	for (int number = 1; number < NSIG; number++)
		(void) sigaction(number, &action, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0) != 0 || getppid() != parent)
		_exit(COMMAND_NOT_RUN);
	shell = fork();
	if (shell == 0)
		become_command(command, directory, may_begin, self);
	if (shell < 0)
		_exit(COMMAND_NOT_RUN);

	/* nothing of the supervisor's stays in use by this process */
	(void) prctl(PR_SET_NAME, GUARDIAN_NAME, 0, 0, 0);
	close_files_from(0);
	(void) sigemptyset(&awaited);
	(void) sigaddset(&awaited, SIGCHLD);
	(void) sigaddset(&awaited, SIGUSR1);
	while (waitpid(shell, &status, WNOHANG) == 0)
	{
		if (getppid() != parent)
			(void) kill(0, SIGKILL);
		(void) sigwaitinfo(&awaited, NULL);
	}
	outcome->status = status;
	outcome->ended = true;
	_exit(0);
}

bool
guarded_start(const char *command, const char *directory, bool (*may_begin)(void))
{
	pid_t	 self = getpid();
	pid_t	 pid;
	int		 failure;
	sigset_t all;
	sigset_t before;

	outcome->withdrawn = false;
	outcome->ended = false;
	(void) sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		guard_command(command, directory, may_begin, self);
	failure = errno;

	/* both do it, so that it is done when the first of them goes on */
	if (pid > 0)
		(void) setpgid(pid, pid);
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	errno = failure;
	if (pid < 0)
		return false;
	guardian = pid;
	is_reaped = is_signalled = false;
	return true;
}

bool
guarded_runs(void)
{
	return guardian != 0;
}

bool
guarded_reap(pid_t pid, int status)
{
	if (guardian == 0 || pid != guardian)
		return false;
	is_reaped = true;
	reaped_status = status;
	if (!outcome->ended)
		(void) kill(-guardian, SIGKILL);
	return true;
}

bool
guarded_has_ended(int *status)
{
	if (!is_reaped)
		return false;

	/* zombies look alive: this process reaps them */
	if ((is_signalled || !outcome->ended) && (kill(-guardian, 0) == 0 || errno != ESRCH))
		return false;
	*status = outcome->ended ? outcome->status : reaped_status;
	guardian = 0;
	return true;
}

bool
guarded_is_to_be_polled(void)
{
	return is_reaped;
}

bool
guarded_was_withdrawn(void)
{
	return outcome->withdrawn;
}

void
guarded_signal(int number)
{
	is_signalled = true;
	(void) kill(-guardian, number);
}

void
guarded_give_up(void)
{
	guardian = 0;
}
