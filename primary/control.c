/*
 * primary/control.c
 *	  What a server's role worker and its supervisor say to each other: is this a message?
 *
 * See control.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "control.h"

static bool
is_obeyed(PrimaryAction action)
{
	return action == PRIMARY_RESTART || action == PRIMARY_REWIND || action == PRIMARY_CLONE;
}

static bool
has_end(const char *text, size_t size)
{
	while (size > 0 && *text != '\0')
	{
		text++;
		size--;
	}
	return size > 0;
}

const char *
control_check(const ControlMessage *message, size_t length)
{
	const PrimaryOrder *order = &message->order;

	/* first of all what every version begins with */
	if (length < sizeof(message->magic))
		return "it is too short";
	if (message->magic != CONTROL_MAGIC)
		return "it is of another version of pg_leader";
	if (length != sizeof(*message))
		return "it is of another length";
	if (message->type < CONTROL_DIRECTORY || message->type >= CONTROL_TYPES)
		return "there is no such type";
	if (!has_end(message->text, sizeof(message->text)))
		return "its text has no end";
	if (message->type != CONTROL_ORDER)
		return NULL;
	if (!is_obeyed(order->action))
		return "a supervisor does not obey such an order";
	if ((unsigned) order->reason >= PRIMARY_REASONS)
		return "there is no such reason";
	if (order->node < RAFT_NONE || order->node >= RAFT_MAX_NODES)
		return "there is no such node";
	if (order->action != PRIMARY_RESTART && order->node == RAFT_NONE)
		return "it does not say from which node";
	if ((unsigned) message->remains > PRIMARY_REMAINS_LAST)
		return "there are no such remains";
	return NULL;
}
