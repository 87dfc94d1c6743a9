/*
 * server/parent.c
 *	  What this server has from pg_leader_supervisor, which has started it.
 *
 * See parent.h.
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "server/parent.h"
#include "server/settings.h"

static int	  channel = -1;
static Board *board = NULL;
static bool	  is_taken = false; /* and the numbers in the environment mean nothing any more */

/* What the supervisor has read: when the server began, and what it was told of since. */
static char *known_command = NULL;
static int	 known_timeout;
static char *known_listen = NULL;
static char *known_cluster = NULL;

/* The descriptor that a variable names, which what this server starts does not see; -1: none. */
static int
inherited(const char *variable)
{
	const char *text = getenv(variable);
	char	   *end = NULL;
	long		number = text != NULL ? strtol(text, &end, 10) : -1;
	bool		is_good = text != NULL && *text != '\0' && *end == '\0' && number >= 0 && number <= INT_MAX &&
				   fcntl((int) number, F_SETFD, FD_CLOEXEC) == 0;

	(void) unsetenv(variable);
	return is_good ? (int) number : -1;
}

static void
know_settings(void)
{
	if (known_command != NULL)
		pfree(known_command);
	if (known_listen != NULL)
		pfree(known_listen);
	if (known_cluster != NULL)
		pfree(known_cluster);
	known_command = MemoryContextStrdup(TopMemoryContext, settings.notify_command);
	known_timeout = settings.notify_timeout;
	known_listen = MemoryContextStrdup(TopMemoryContext, settings.http_listen);
	known_cluster = MemoryContextStrdup(TopMemoryContext, settings.cluster);
	if (channel < 0 && known_command[0] != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("pg_leader.notify_command is set, and is not run, because this server was not started by pg_leader_supervisor"),
				 errhint("Start the server with pg_leader_supervisor, also where pg_leader.manage is off.")));
	if (channel < 0 && known_listen[0] != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("pg_leader.http_listen is set, and HTTP is not answered, because this server was not started by pg_leader_supervisor"),
				 errhint("Start the server with pg_leader_supervisor, also where pg_leader.manage is off.")));
}

void
parent_take(void)
{
	int fd;

	if (is_taken)
		return;
	is_taken = true;
	channel = inherited(CONTROL_VARIABLE);
	if (channel < 0 && settings.manage)
		ereport(FATAL,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("pg_leader.manage is on, and this server was not started by pg_leader_supervisor"),
				 errhint("Start it with pg_leader_supervisor, or set pg_leader.manage to off.")));
	know_settings();
	if (channel < 0)
		return;
	fd = inherited(BOARD_VARIABLE);
	errno = EBADF;
	board = fd >= 0 ? board_take(fd) : NULL;
	if (board == NULL)
		ereport(WARNING,
				(errmsg("pg_leader: the supervisor does not see which member leads: %m"),
				 errdetail("It will not run pg_leader.notify_command."),
				 errhint("Restart the supervisor: it may be of another version than the library.")));
}

int
parent_channel(void)
{
	return channel;
}

void
parent_is_gone(void)
{
	channel = -1;
}

Board *
parent_board(void)
{
	return board;
}

void
parent_tell(ControlType type)
{
	ControlMessage message;

	if (channel < 0)
		return;
	memset(&message, 0, sizeof(message));
	message.magic = CONTROL_MAGIC;
	message.type = type;
	message.order.node = RAFT_NONE;

	/* where there is no room, it has others to read, and looks after those */
	(void) send(channel, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void
parent_check_settings(void)
{
	if (strcmp(known_command, settings.notify_command) == 0 && known_timeout == settings.notify_timeout &&
		strcmp(known_listen, settings.http_listen) == 0 && strcmp(known_cluster, settings.cluster) == 0)
		return;
	know_settings();
	parent_tell(CONTROL_RELOADED);
}
