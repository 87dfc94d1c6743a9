/*
 * supervisor/channel.h
 *	  The supervisor's end of the control channel, see primary/control.h.
 *
 * Never waits.  Called by server.c and supervise.c.
 */
#ifndef PG_LEADER_CHANNEL_H
#define PG_LEADER_CHANNEL_H

#include "../primary/control.h"

typedef enum ChannelResult
{
	CHANNEL_EMPTY = 0, /* there is nothing to read at present */
	CHANNEL_MESSAGE,
	CHANNEL_NO_MESSAGE, /* *wrong says why; it is dropped */
	CHANNEL_END			/* no process has the other end any more */
} ChannelResult;

/* Make both ends: ours, and the one that postgres inherits.  false: errno says why not. */
extern bool channel_open(int *ours, int *theirs);

/* false: it could not be sent, and errno says why; nobody may be reading. */
extern bool channel_send(int channel, ControlType type, const ControlMessage *message);

extern ChannelResult channel_receive(int channel, ControlMessage *message, const char **wrong);

#endif /* PG_LEADER_CHANNEL_H */
