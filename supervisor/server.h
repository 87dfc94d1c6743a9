/*
 * supervisor/server.h
 *	  The server that a supervisor is the parent of: starting it, and what is known of it.
 *
 * Called by supervise.c.
 */
#ifndef PG_LEADER_SERVER_H
#define PG_LEADER_SERVER_H

#include <sys/types.h>

#include "../node/board.h"
#include "channel.h"
#include "settings.h"

typedef struct Server
{
	pid_t  pid;		  /* of the postmaster; 0: there is none */
	int	   channel;	  /* our end; -1: none, or it has come to its end */
	ino_t  their_end; /* the inode of the other one */
	Board *board;	  /* what it shows; NULL: there is none */
} Server;

/* Become the parent of all that servers leave behind.  false: errno says why. */
extern bool server_prepare(void);

/*
 * Start postgres as the directory was prepared for it, with a new board, and a new channel that
 * "first" (a CONTROL_DIRECTORY) is sent on.  A managed one comes back as a standby when it has
 * crashed (rule 19), and so by this process only.
 */
extern bool server_start(Server *server, const Command *command, bool is_managed, const ControlMessage *first, Words *words);

#endif /* PG_LEADER_SERVER_H */
