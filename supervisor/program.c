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

typedef struct Lines
{
	char text[LINE_SIZE];
	char last[LINE_SIZE]; /* that was not empty */
	bool (*take)(const char *line, void *context);
	size_t length;
} Lines;

/* Does not return. */
static void
become_program(const Program *program, int out, int err, pid_t parent)
{
	const char *arguments[MOST_ARGUMENTS + 2];
	char		path[STORE_PATH_SIZE];
	int			null = open("/dev/null", O_RDWR);
	int			n = 0;

	arguments[n++] = program->name;
	while (program->arguments[n - 1] != NULL && n < MOST_ARGUMENTS)
	{
		arguments[n] = program->arguments[n - 1];
		n++;
	}
	arguments[n] = NULL;
	(void) snprintf(path, sizeof(path), "%s/%s", program->directory, program->name);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		dup2(program->output != NULL ? out : null, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0)
		(void) execv(path, (char *const *) arguments);
	_exit(COMMAND_NOT_RUN);
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
		if (*line != '\0')
			(void) snprintf(lines->last, sizeof(lines->last), "%s", line);
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

/* What it writes, until it ends. */
static void
listen_to(const Program *program, pid_t pid, int out, int err, Lines *errors)
{
	Lines		  output = {.take = program->output};
	struct pollfd fds[2] = {{.fd = err, .events = POLLIN}, {.fd = out, .events = POLLIN}};
	Lines		 *lines[2] = {errors, &output};
	bool		  stops = false;

	while (fds[0].fd >= 0 || fds[1].fd >= 0)
	{
		if (poll(fds, 2, -1) < 0)
			continue;
		for (int i = 0; i < 2; i++)
		{
			if (fds[i].revents != 0 && !read_lines(fds[i].fd, lines[i], program->context, &stops))
				fds[i].fd = -1;
		}
		if (stops)
			(void) kill(pid, SIGKILL);
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
	if (WIFSIGNALED(status))
		return words_set(words, "", "%s was killed by signal %d", program->name, WTERMSIG(status));
	return words_set(words, "", "%s has failed: %.800s", program->name, errors->last);
}

bool
program_run(const Program *program, Words *words)
{
	Lines errors = {.take = program->line};
	int	  out[2] = {-1, -1};
	int	  err[2] = {-1, -1};
	int	  status = 0;
	pid_t self = getpid();
	pid_t pid = -1;

	words_clear(words);
	if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0)
		become_program(program, out[1], err[1], self);
	if (pid < 0)
		(void) words_set(words, "", "could not start a process: %s", strerror(errno));
	(void) close(out[1]);
	(void) close(err[1]);
	if (pid > 0)
	{
		listen_to(program, pid, out[0], err[0], &errors);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	(void) close(out[0]);
	(void) close(err[0]);
	return pid > 0 && say_end(program, status, &errors, words);
}
