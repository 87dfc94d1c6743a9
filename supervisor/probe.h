/*
 * supervisor/probe.h
 *	  Does the server answer a new connection?
 *
 * A postmaster that stands still accepts nothing more, while its sessions and workers go on and
 * know nothing of it.  So a new connection is made each second.  Any answer is one, of whatever
 * kind, and so is the end of the connection; only silence is none.  How long it has lasted goes
 * to the server's board, whose election worker judges it.
 *
 * What is sent is the question whether the server speaks SSL: a session does not come of it, nor a
 * line in the log.  Never waits: all happens in the supervisor's loop.  Called by supervise.c.
 */
#ifndef PG_LEADER_SUPERVISOR_PROBE_H
#define PG_LEADER_SUPERVISOR_PROBE_H

#include <event2/event.h>

#include "../node/board.h"

/* Once. */
extern void probe_init(struct event_base *base);

/* A server begins, and this is its board; NULL: no process of it is left. */
extern void probe_server(Board *board);

#endif /* PG_LEADER_SUPERVISOR_PROBE_H */
