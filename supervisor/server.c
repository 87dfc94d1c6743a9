/*
 * supervisor/server.c
 *	  The server that a supervisor is the parent of.
 *
 * See server.h.  Between fork and exec only async-signal-safe functions are called: name
 * look-ups of the member may be threads of this process.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

bool
server_prepare(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

/*
 * Does not return.  Signals are blocked, until the postmaster has handlers for them and unblocks
 * them: one that comes before must neither be lost nor reach the handlers of this program.
 */
static void
become_postgres(char *const *arguments, int channel, int board, pid_t parent)
{
	static const char failed[] = PROGRAM ": could not run postgres\n";

	/*
	 * When the supervisor is killed, its server is stopped, too: nobody else would.  It is
	 * SIGQUIT because a postmaster that dies leaves busy backends behind.  The parent may
	 * have died before this was asked for.
	 */
	if (prctl(PR_SET_PDEATHSIG, SIGQUIT, 0, 0, 0) != 0 || getppid() != parent)
		_exit(COMMAND_NOT_RUN);

	/* signals of the terminal are the supervisor's */
	(void) setsid();
	(void) signal(SIGPIPE, SIG_DFL);
	if (fcntl(channel, F_SETFD, 0) == 0 && fcntl(board, F_SETFD, 0) == 0)
		(void) execv(arguments[0], arguments);
	if (write(STDERR_FILENO, failed, sizeof(failed) - 1) < 0)
		_exit(COMMAND_NOT_RUN);
	_exit(COMMAND_NOT_RUN);
}

static void
name_descriptor(const char *variable, int fd)
{
	char number[16];

	(void) snprintf(number, sizeof(number), "%d", fd);
	(void) setenv(variable, number, 1);
}

/* What both have: a channel and a board.  false: errno says why not. */
static bool
open_common(Server *server, int *channel, int *board)
{
	struct stat end;

	if (!channel_open(&server->channel, channel))
		return false;
	server->board = board_create(board);
	if (server->board == NULL)
	{
		int failure = errno;

		(void) close(*channel);
		(void) close(server->channel);
		server->channel = -1;
		errno = failure;
		return false;
	}
	server->their_end = fstat(*channel, &end) == 0 ? end.st_ino : 0;
	name_descriptor(CONTROL_VARIABLE, *channel);
	name_descriptor(BOARD_VARIABLE, *board);
	return true;
}

bool
server_start(Server *server, const Command *command, bool is_managed, const ControlMessage *first, Words *words)
{
	/* a managed server that crashes comes back as a standby (rule 19) */
	static const char *const managed[] = {"-c", "restart_after_crash=off", NULL};
	static const char *const plain[] = {NULL};
	char				   **arguments = command_arguments(command, is_managed ? managed : plain);
	int						 channel;
	int						 board;
	pid_t					 self = getpid();
	sigset_t				 all;
	sigset_t				 before;

	if (arguments == NULL)
		return words_set(words, "", "out of memory");
	if (!open_common(server, &channel, &board))
	{
		free(arguments);
		return words_set(words, "", "could not create what supervisor and server talk by: %s", strerror(errno));
	}
	server->pid = -1;
	(void) sigfillset(&all);
	(void) sigprocmask(SIG_BLOCK, &all, &before);
	if (channel_send(server->channel, CONTROL_DIRECTORY, first))
		server->pid = fork();
	if (server->pid == 0)
		become_postgres(arguments, channel, board, self);
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	free(arguments);
	(void) close(channel);
	(void) close(board);
	(void) unsetenv(CONTROL_VARIABLE);
	(void) unsetenv(BOARD_VARIABLE);
	if (server->pid > 0)
		return true;
	(void) words_set(words, "", "could not start a process: %s", strerror(errno));
	(void) close(server->channel);
	board_remove(server->board);
	*server = (Server){.channel = -1};
	return false;
}
