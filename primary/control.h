/*
 * primary/control.h
 *	  What a server's workers and its supervisor say to each other.
 *
 * Over a socket of type SOCK_SEQPACKET that the supervisor makes before each start and
 * postgres inherits; its number is in the environment variable CONTROL_VARIABLE.  Of
 * postgres only the role worker reads there; it writes, and so does the election worker
 * (CONTROL_SHOWN, CONTROL_RELOADED, CONTROL_DEPOSED).  End of file for the supervisor: no process of that
 * server is left.  One message is one packet, and one record below;
 * both ends are of one machine, so it is sent as it is in memory.
 *
 * Included by server/ and supervisor/.  Pure C11: no input or output, no clock, no
 * allocation.
 */
#ifndef PG_LEADER_CONTROL_H
#define PG_LEADER_CONTROL_H

#include "watch.h"

#define CONTROL_VARIABLE "PG_LEADER_CONTROL"

/* Changes with whatever is below: a supervisor and a library of two versions do not talk. */
#define CONTROL_MAGIC UINT32_C(0x50474C03)

#define CONTROL_TEXT_SIZE 400

typedef enum ControlType
{
	/*
	 * To the worker, first of all and once for each start: what the supervisor remembers
	 * of the directory.  directory, wrote_on.
	 */
	CONTROL_DIRECTORY = 1,

	/* To the worker: the supervisor was told to stop; a leader hands over first. */
	CONTROL_STOPS,

	/*
	 * Back to the supervisor, at once: a hand-over is under way; it ends with an order to restart, or
	 * with the next one.  Nothing keeps the server from being stopped now.
	 */
	CONTROL_HANDS_OVER,
	CONTROL_MAY_STOP,

	/* To the supervisor, in this order: local WAL is being read; it was read to its end.  As each: wrote_on. */
	CONTROL_READS_WAL,
	CONTROL_KNOWS_END,

	/* To the supervisor: it really streams from its leader (watch_followed()). */
	CONTROL_FOLLOWED,

	/* To the supervisor: a rebuild is over, durably.  What was kept of the old data can go. */
	CONTROL_REBUILT,

	/*
	 * To the supervisor: an order that primary_decide() has given and the supervisor obeys:
	 * RESTART, REWIND or CLONE, with its text.  order, term, wrote_on, remains.  It
	 * may be sent again while it holds; one that is being obeyed is not begun anew.  The
	 * marker of a rebuild is durable by then.
	 */
	CONTROL_ORDER,

	/*
	 * To the supervisor, from the election worker: there is news on the board (node/board.h);
	 * pg_leader.notify_command, notify_timeout or http_listen is another one, and is to be read.
	 */
	CONTROL_SHOWN,
	CONTROL_RELOADED,

	/*
	 * To the supervisor, from the election worker: another member leads, this server is a primary,
	 * and its role worker cannot say so.
	 */
	CONTROL_DEPOSED,
	CONTROL_TYPES
} ControlType;

typedef struct ControlMessage
{
	uint32_t	   magic;
	ControlType	   type;
	PrimaryOrder   order;
	uint64_t	   term;
	WatchDirectory directory;
	uint32_t	   wrote_on;				/* PrimaryFacts.wrote_on */
	PrimaryRemains remains;					/* PrimaryFacts.remains */
	char		   text[CONTROL_TEXT_SIZE]; /* why, ends with a zero byte */
} ControlMessage;

/*
 * NULL, or why "length" bytes that were received are no message of this version, as one
 * clause without a full stop.
 */
extern const char *control_check(const ControlMessage *message, size_t length);

#endif /* PG_LEADER_CONTROL_H */
