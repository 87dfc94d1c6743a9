/*
 * supervisor/job.c
 *	  What would keep the supervisor from its loop: done by a process of its own.
 *
 * See job.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "directory.h"
#include "say.h"

static struct event_base *base;
static void (*told)(const JobMessage *message);

static pid_t		 job; /* 0: none */
static JobKind		 kind;
static int			 channel = -1;
static struct event *readable;
static bool			 has_ended; /* it has said how it ended */

static void
close_channel(void)
{
	if (readable != NULL)
		event_free(readable);
	readable = NULL;
	if (channel >= 0)
		(void) close(channel);
	channel = -1;
}

static void
read_messages(void)
{
	JobMessage message;

	while (channel >= 0 && recv(channel, &message, sizeof(message), MSG_DONTWAIT) == (ssize_t) sizeof(message))
	{
		has_ended |= message.tell == JOB_DONE || message.tell == JOB_FAILED;
		told(&message);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *argument)
{
	char byte;

	(void) what;
	(void) argument;
	read_messages();

	/* its end is noticed when the process has ended */
	if (channel >= 0 && recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0)
		(void) event_del(readable);
}

void
job_init(struct event_base *event_base, void (*callback)(const JobMessage *message))
{
	base = event_base;
	told = callback;
}

/* Does not return. */
static void
become_job(int theirs, pid_t parent)
{
	char		number[16];
	char *const arguments[] = {PROGRAM, JOB_OPTION, number, NULL};
	sigset_t	none;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
		_exit(COMMAND_NOT_RUN);
	directory_share_lock();
	(void) setsid();
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	(void) snprintf(number, sizeof(number), "%d", theirs);
	if (fcntl(theirs, F_SETFD, 0) == 0)
		(void) execv("/proc/self/exe", arguments);
	_exit(COMMAND_NOT_RUN);
}

bool
job_start(const JobOrder *order, Words *words)
{
	int	  pair[2];
	pid_t self = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return words_set(words, "", "could not create a socket: %s", strerror(errno));
	job = send(pair[0], order, sizeof(*order), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t) sizeof(*order) ? fork() : -1;
	if (job == 0)
		become_job(pair[1], self);
	if (job > 0)
		readable = event_new(base, pair[0], EV_READ | EV_PERSIST, on_readable, NULL);
	(void) close(pair[1]);
	channel = pair[0];
	kind = order->kind;
	has_ended = false;
	if (job > 0 && readable != NULL && event_add(readable, NULL) == 0)
		return true;
	(void) words_set(words, "", "could not start a process: %s", strerror(errno));
	if (job > 0)
		(void) kill(job, SIGKILL);
	close_channel();
	job = 0;
	return false;
}

JobKind
job_kind(void)
{
	return job > 0 ? kind : 0;
}

void
job_kill(void)
{
	/* the programs that it has started end with it */
	if (job > 0)
		(void) kill(job, SIGKILL);
}

bool
job_ended(pid_t pid)
{
	JobMessage message;

	if (pid != job || job == 0)
		return false;
	read_messages();
	close_channel();
	if (!has_ended)
	{
		memset(&message, 0, sizeof(message));
		message.tell = JOB_FAILED;
		(void) words_set(&message.words, "", "its process was killed");
		told(&message);
	}
	job = 0;
	return true;
}
