/*
 * supervisor/program.c
 *	  Programs of PostgreSQL that the job's process runs.
 *
 * See program.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../node/store.h"
#include "command.h"

#define MOST_ARGUMENTS 256
#define LINE_SIZE	   1024

#define SILENT "silent"

typedef struct Lines
{
	char text[LINE_SIZE];
	char last[LINE_SIZE]; /* that was not empty, or the first that is an error */
	bool has_error;
	bool (*take)(const char *line, void *context);
	size_t length;
} Lines;

/* The ends of what a program writes, and what its guard knows of its end. */
typedef struct Pipes
{
	int out[2];
	int err[2];
	int status[2];
	int life[2]; /* at its end, this process has ended */
} Pipes;

/* Does not return. */
static void
become_program(const Program *program, const Pipes *pipes, pid_t parent)
{
	const char *arguments[MOST_ARGUMENTS + 2];
	char		path[STORE_PATH_SIZE];
	int			null = open("/dev/null", O_RDWR);
	int			n = 0;
	sigset_t	none;

	arguments[n++] = program->name;
	while (program->arguments[n - 1] != NULL && n < MOST_ARGUMENTS)
	{
		arguments[n] = program->arguments[n - 1];
		n++;
	}
	arguments[n] = NULL;
	(void) snprintf(path, sizeof(path), "%s/%s", program->directory, program->name);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	(void) setenv("LC_ALL", "C", 1); /* what it says is read */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		dup2(program->output != NULL ? pipes->out[1] : null, STDOUT_FILENO) >= 0 && dup2(pipes->err[1], STDERR_FILENO) >= 0)
		(void) execv(path, (char *const *) arguments);
	_exit(COMMAND_NOT_RUN);
}

static void
on_child(int number)
{
	(void) number;
}

/*
 * The program's parent, in a process group that both have for themselves: all of it ends when the program
 * does, or this process's parent.  pg_basebackup has a second process, which would go on for
 * ever if only the first were killed.  Does not return.
 */
static void
guard_program(const Program *program, const Pipes *pipes)
{
	struct pollfd life = {.fd = pipes->life[0], .events = POLLIN};
	sigset_t	  held;
	sigset_t	  before;
	int			  status = 0;
	pid_t		  pid;
	pid_t		  self = getpid();

	(void) setpgid(0, 0);
	(void) close(pipes->life[1]);
	(void) sigemptyset(&held);
	(void) sigaddset(&held, SIGCHLD);
	(void) sigprocmask(SIG_BLOCK, &held, &before);
	(void) signal(SIGCHLD, on_child);
	pid = fork();
	if (pid == 0)
		become_program(program, pipes, self);
	while (pid > 0 && life.revents == 0 && waitpid(pid, &status, WNOHANG) != pid)
		(void) ppoll(&life, 1, NULL, &before);
	if (pid > 0 && life.revents == 0 && write(pipes->status[1], &status, sizeof(status)) < 0)
		_exit(COMMAND_NOT_RUN);
	(void) kill(0, SIGKILL);
	_exit(COMMAND_NOT_RUN);
}

/* Behind the error may come what is done about it, as that what was made is removed. */
static void
remember_line(Lines *lines, const char *line)
{
	if (*line == '\0' || lines->has_error)
		return;
	lines->has_error = strstr(line, ": error: ") != NULL;
	(void) snprintf(lines->last, sizeof(lines->last), "%s", line);
}

/* The lines that are complete; what shows progress ends them with a carriage return.  false: kill it. */
static bool
take_lines(Lines *lines, void *context)
{
	char *line = lines->text;
	char *end;
	bool  goes_on = true;

	while (goes_on && (end = strpbrk(line, "\r\n")) != NULL)
	{
		*end = '\0';
		remember_line(lines, line);
		if (*line != '\0' && lines->take != NULL)
			goes_on = lines->take(line, context);
		line = end + 1;
	}
	lines->length = strlen(line);
	memmove(lines->text, line, lines->length + 1);
	if (lines->length == sizeof(lines->text) - 1)
		lines->length = 0; /* too long for a line */
	return goes_on;
}

/* false: the end, or "stops". */
static bool
read_lines(int fd, Lines *lines, void *context, bool *stops)
{
	ssize_t n = read(fd, lines->text + lines->length, sizeof(lines->text) - 1 - lines->length);

	if (n < 0)
		return errno == EINTR;
	lines->text[lines->length + (size_t) n] = '\0';
	if (n == 0 && lines->length > 0)
		(void) strcat(lines->text, "\n");
	*stops = !take_lines(lines, context);
	return n > 0 && !*stops;
}

/*
 * What it writes, until it ends.  "status" shows when the guard has ended: if that was killed, what it
 * guards would keep the other pipes open.
 */
static void
listen_to(const Program *program, pid_t guard, int out, int err, int status, Lines *errors)
{
	Lines		  output = {.take = program->output};
	struct pollfd fds[3] = {{.fd = err, .events = POLLIN}, {.fd = out, .events = POLLIN}, {.fd = status, .events = POLLIN}};
	Lines		 *lines[2] = {errors, &output};
	bool		  stops = false;

	while (fds[0].fd >= 0 || fds[1].fd >= 0)
	{
		int n = poll(fds, 3, program->patience > 0 ? program->patience : -1);

		if (n < 0)
			continue;
		if (n == 0)
		{
			(void) snprintf(errors->last, sizeof(errors->last), SILENT);
			(void) kill(-guard, SIGKILL);
			continue;
		}
		if (fds[2].revents != 0)
		{
			(void) kill(-guard, SIGKILL);
			fds[2].fd = -1;
		}
		for (int i = 0; i < 2; i++)
		{
			if (fds[i].revents != 0 && !read_lines(fds[i].fd, lines[i], program->context, &stops))
				fds[i].fd = -1;
		}
		if (stops)
			(void) kill(-guard, SIGKILL);
	}
}

static bool
say_end(const Program *program, int status, const Lines *errors, Words *words)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (words->error[0] != '\0')
		return false; /* whoever read the lines knows better */
	if (WIFEXITED(status) && WEXITSTATUS(status) == COMMAND_NOT_RUN)
		return words_set(words, "It is installed with the server's programs, or with the client's.", "could not run \"%s/%s\"",
						 program->directory, program->name);
	if (WIFSIGNALED(status) && strcmp(errors->last, SILENT) == 0)
		return words_set(words, "", "%s has said nothing for too long, and was killed", program->name);
	if (WIFSIGNALED(status))
		return words_set(words, "", "%s was killed by signal %d", program->name, WTERMSIG(status));
	return words_set(words, "", "%s has failed: %.800s", program->name, errors->last);
}

static bool
open_pipes(Pipes *pipes)
{
	memset(pipes, -1, sizeof(*pipes));
	return pipe2(pipes->out, O_CLOEXEC) == 0 && pipe2(pipes->err, O_CLOEXEC) == 0 && pipe2(pipes->status, O_CLOEXEC) == 0 &&
		   pipe2(pipes->life, O_CLOEXEC) == 0;
}

/* -1: not open, or closed. */
static void
close_end(int *end)
{
	if (*end >= 0)
		(void) close(*end);
	*end = -1;
}

static void
close_pipes(Pipes *pipes)
{
	int *pairs[] = {pipes->out, pipes->err, pipes->status, pipes->life};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		close_end(&pairs[i][0]);
		close_end(&pairs[i][1]);
	}
}

bool
program_run(const Program *program, Words *words)
{
	Lines errors = {.take = program->line};
	Pipes pipes;
	int	  status = SIGKILL; /* as waitpid() says it of what was killed */
	pid_t guard = -1;

	words_clear(words);
	if (open_pipes(&pipes))
		guard = fork();
	if (guard == 0)
		guard_program(program, &pipes);
	if (guard < 0)
		(void) words_set(words, "", "could not start a process: %s", strerror(errno));
	else
	{
		(void) setpgid(guard, guard);
		close_end(&pipes.out[1]);
		close_end(&pipes.err[1]);
		close_end(&pipes.status[1]);
		listen_to(program, guard, pipes.out[0], pipes.err[0], pipes.status[0], &errors);
		if (read(pipes.status[0], &status, sizeof(status)) != (ssize_t) sizeof(status))
			status = SIGKILL;
		while (waitpid(guard, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	close_pipes(&pipes);
	return guard > 0 && say_end(program, status, &errors, words);
}
