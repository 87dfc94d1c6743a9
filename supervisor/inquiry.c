/*
 * supervisor/inquiry.c
 *	  Asking PostgreSQL for settings.
 *
 * See inquiry.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "inquiry.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../node/clock.h"
#include "files.h"

/* The longest value is a list of RAFT_MAX_NODES members. */
#define VALUE_SIZE 32768
#define ERROR_SIZE 2048

/* Most that stands in the files of a configuration; more is not looked through. */
#define LINES_SIZE 262144

/* How long postgres may take to tell one setting. */
#define ASK_TIMEOUT_MS 30000

/* The SQLSTATE of "unrecognized configuration parameter", whatever the language is. */
#define NOT_SET "42704:"

typedef struct Answer
{
	char   text[VALUE_SIZE];
	char   error[ERROR_SIZE];
	size_t text_length;
	size_t error_length;
} Answer;

/* Big, and used by one call at a time. */
static Answer answer;

static int (*wait_for)(struct pollfd *fds, nfds_t n, int timeout) = poll;

/* ---- listening ---- */

/* Does not return. */
static void
run_postgres(char *const *arguments, int out, int err)
{
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		_exit(COMMAND_NOT_RUN);
	(void) signal(SIGPIPE, SIG_DFL);
	(void) execv(arguments[0], arguments);
	_exit(COMMAND_NOT_RUN);
}

/* More of what comes there.  false: it is all. */
static bool
take(int fd, char *buffer, size_t size, size_t *length)
{
	char	discarded[512];
	bool	full = *length + 1 >= size;
	ssize_t n = full ? read(fd, discarded, sizeof(discarded)) : read(fd, buffer + *length, size - 1 - *length);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (!full)
		*length += (size_t) n;
	buffer[*length] = '\0';
	return n > 0;
}

/* What it writes, until it ends.  false: it takes too long. */
static bool
listen_to(int out, int err)
{
	struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
	uint64_t	  end = clock_now() + ASK_TIMEOUT_MS * UINT64_C(1000);

	answer.text_length = answer.error_length = 0;
	answer.text[0] = answer.error[0] = '\0';
	while (fds[0].fd >= 0 || fds[1].fd >= 0)
	{
		uint64_t now = clock_now();

		if (now >= end)
			return false;
		if (wait_for(fds, 2, (int) ((end - now) / 1000) + 1) < 0)
			continue;
		if (fds[0].revents != 0 && !take(out, answer.text, sizeof(answer.text), &answer.text_length))
			fds[0].fd = -1;
		if (fds[1].revents != 0 && !take(err, answer.error, sizeof(answer.error), &answer.error_length))
			fds[1].fd = -1;
	}
	return true;
}

/* The last line of what it complained of is the one that ended it; cut what comes after. */
static const char *
complaint(void)
{
	char *fatal = strstr(answer.error, "FATAL:");

	if (fatal == NULL)
		fatal = answer.error;
	fatal[strcspn(fatal, "\n")] = '\0';
	return fatal;
}

/* A postgres that was asked for one setting. */
typedef struct Inquiry
{
	pid_t pid; /* 0: there is none */
	int	  out;
	int	  err;
} Inquiry;

static Inquiry			  inquiries[INQUIRIES_MOST];
static const char *const *asked_for;
static size_t			  n_asked_for;

/* ---- what need not be asked for ---- */

/* What stands in the files of the configuration, one behind the other. */
static char lines[LINES_SIZE];

/* Does it stand in them, outside comments?  No value goes over the end of a line. */
static bool
lines_have(const char *what)
{
	for (const char *found = strcasestr(lines, what); found != NULL; found = strcasestr(found + 1, what))
	{
		const char *line = found;

		while (line > lines && line[-1] != '\n')
			line--;
		if (line[strspn(line, " \t\r")] != '#')
			return true;
	}
	return false;
}

/* Does an option of the command line have it, with '-' for '_' or not? */
static bool
options_have(const Command *command, const char *what)
{
	for (int i = 0; i < command->n_options; i++)
	{
		char *option = strdup(command->options[i]);
		bool  has;

		for (char *at = option; at != NULL && *at != '\0'; at++)
		{
			if (*at == '-')
				*at = '_';
		}
		has = option == NULL || strcasestr(option, what) != NULL;
		free(option);
		if (has)
			return true;
	}
	return false;
}

/* One file more into lines.  false: what stands in it is not known. */
static bool
read_file(const Command *command, const char *name, size_t *length)
{
	char	path[STORE_PATH_SIZE];
	ssize_t n;

	if (!files_join(path, command->directory, name))
		return false;
	n = files_read(path, lines + *length, sizeof(lines) - *length);
	if (n < 0)
		return errno == ENOENT;
	if (*length + (size_t) n + 1 >= sizeof(lines) || memchr(lines + *length, '\0', (size_t) n) != NULL)
		return false;
	*length += (size_t) n;
	lines[(*length)++] = '\n';
	lines[*length] = '\0';
	return true;
}

/*
 * Read the files of the directory into lines.  false: there may be more of the configuration
 * elsewhere, so that postgres has to be asked for everything.
 */
static bool
read_lines(const Command *command)
{
	size_t length = 0;

	lines[0] = '\0';
	return read_file(command, "postgresql.conf", &length) && read_file(command, "postgresql.auto.conf", &length) &&
		   !lines_have("include") && !lines_have("data_directory") && !options_have(command, "config_file") &&
		   !options_have(command, "data_directory");
}

/*
 * Where there are no data yet, there is a configuration only if it lies elsewhere; else all settings
 * are those of the command line.
 */
static bool
has_configuration(const Command *command)
{
	char path[STORE_PATH_SIZE];

	return options_have(command, "config_file") || !files_join(path, command->directory, "postgresql.conf") || files_exists(path);
}

/* PostgreSQL has no defaults of extensions' settings as long as their library is not loaded. */
static bool
stands_nowhere(const Command *command, const char *name)
{
	return strchr(name, '.') != NULL && !lines_have(name) && !options_have(command, name);
}

/* ---- asking ---- */

/* false: *words says what went wrong. */
static bool
begin_inquiry(Inquiry *inquiry, const Command *command, const char *name, Words *words)
{
	/* errors come with their SQLSTATE, and to us */
	const char *const last[] = {"-C", name, "-c", "log_error_verbosity=verbose", "-c", "log_destination=stderr",
								has_configuration(command) ? NULL : "-c", "config_file=/dev/null", NULL};
	char			**arguments = command_arguments(command, last);
	int				  out[2] = {-1, -1};
	int				  err[2] = {-1, -1};

	inquiry->pid = -1;
	if (arguments != NULL && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0)
		inquiry->pid = fork();
	if (inquiry->pid == 0)
		run_postgres(arguments, out[1], err[1]);
	if (inquiry->pid < 0)
		(void) words_set(words, "", "could not start a process: %s", strerror(errno));
	free(arguments);
	(void) close(out[1]);
	(void) close(err[1]);
	inquiry->out = out[0];
	inquiry->err = err[0];
	if (inquiry->pid > 0)
		return true;
	(void) close(out[0]);
	(void) close(err[0]);
	inquiry->pid = 0;
	return false;
}

static int
reap(Inquiry *inquiry)
{
	int status = 0;

	while (waitpid(inquiry->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	(void) close(inquiry->out);
	(void) close(inquiry->err);
	inquiry->pid = 0;
	return status;
}

/* Listen to it until it ends.  false: *words says what went wrong. */
static bool
finish_inquiry(Inquiry *inquiry, const Command *command, int *status, Words *words)
{
	bool told = listen_to(inquiry->out, inquiry->err);

	if (!told)
	{
		(void) words_set(words, "", "\"%s\" did not tell a setting in time", command->program);
		(void) kill(inquiry->pid, SIGKILL);
	}
	*status = reap(inquiry);
	return told;
}

void
inquiry_wait_with(int (*wait)(struct pollfd *fds, nfds_t n, int timeout))
{
	wait_for = wait;
}

bool
inquiry_begin(const Command *command, const char *const *names, size_t n, Words *words)
{
	bool all_known = read_lines(command);

	assert(n <= INQUIRIES_MOST);
	asked_for = names;
	n_asked_for = n;
	for (size_t i = 0; i < n; i++)
	{
		if (all_known && stands_nowhere(command, names[i]))
			continue;
		if (!begin_inquiry(&inquiries[i], command, names[i], words))
			return false;
		(void) wait_for(NULL, 0, 0);
	}
	return true;
}

void
inquiry_end(void)
{
	for (size_t i = 0; i < n_asked_for; i++)
	{
		if (inquiries[i].pid == 0)
			continue;
		(void) kill(inquiries[i].pid, SIGKILL);
		(void) reap(&inquiries[i]);
	}
}

Asked
inquiry_answer(const Command *command, const char *name, const char **value, Words *words)
{
	size_t i = 0;
	int	   status;

	while (strcmp(asked_for[i], name) != 0)
	{
		i++;
		assert(i < n_asked_for);
	}
	if (inquiries[i].pid == 0)
		return ASKED_NOT_SET;
	if (!finish_inquiry(&inquiries[i], command, &status, words))
		return ASKED_FAILED;
	if (status == 0)
	{
		/* the end of the line; others are the value's */
		if (answer.text_length > 0 && answer.text[answer.text_length - 1] == '\n')
			answer.text[answer.text_length - 1] = '\0';
		*value = answer.text;
		return ASKED_FOUND;
	}
	if (strstr(answer.error, NOT_SET) != NULL)
		return ASKED_NOT_SET;
	if (WIFEXITED(status) && WEXITSTATUS(status) == COMMAND_NOT_RUN)
		(void) words_set(words, "It has to be in the directory of this program.", "could not run \"%s\"", command->program);
	else
		(void) words_set(words, "Correct the configuration; \"postgres -D DIRECTORY -C port\" has to work.",
						 "could not read the settings of \"%s\": %s", command->directory, complaint());
	return ASKED_FAILED;
}
