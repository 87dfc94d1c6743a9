/*
 * supervisor/channel.c
 *	  The supervisor's end of the control channel.
 *
 * See channel.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool
channel_open(int *ours, int *theirs)
{
	int pair[2];
	int flags;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	flags = fcntl(pair[0], F_GETFL);
	if (flags < 0 || fcntl(pair[0], F_SETFL, flags | O_NONBLOCK) != 0)
	{
		(void) close(pair[0]);
		(void) close(pair[1]);
		return false;
	}
	*ours = pair[0];
	*theirs = pair[1];
	return true;
}

bool
channel_send(int channel, ControlType type, const ControlMessage *message)
{
	ControlMessage sent;

	if (message != NULL)
		sent = *message;
	else
		memset(&sent, 0, sizeof(sent));
	sent.magic = CONTROL_MAGIC;
	sent.type = type;
	sent.order.node = RAFT_NONE;
	return send(channel, &sent, sizeof(sent), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t) sizeof(sent);
}

ChannelResult
channel_receive(int channel, ControlMessage *message, const char **wrong)
{
	ssize_t length;

	/* with MSG_TRUNC, the true length of one that is longer */
	do
		length = recv(channel, message, sizeof(*message), MSG_DONTWAIT | MSG_TRUNC);
	while (length < 0 && errno == EINTR);
	if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return CHANNEL_EMPTY;
	if (length <= 0)
		return CHANNEL_END;
	*wrong = control_check(message, (size_t) length);
	return *wrong == NULL ? CHANNEL_MESSAGE : CHANNEL_NO_MESSAGE;
}
