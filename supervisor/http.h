/*
 * supervisor/http.h
 *	  HTTP for load balancers and monitoring: pg_leader.http_listen.
 *
 * Answered from what the server shows on its board (node/board.h), and by the supervisor's own
 * member while the server is down; never by asking the server.  Which status a request gets is
 * decided by primary/probe.h, the texts are in http_answer.c.
 *
 * Whoever reaches the port may ask.  So connections are few, each has one request of a bounded
 * size and a bounded time, and all that comes here has its turn after everything else in the loop.
 * Never waits.  Called by supervise.c.
 */
#ifndef PG_LEADER_SUPERVISOR_HTTP_H
#define PG_LEADER_SUPERVISOR_HTTP_H

#include <event2/event.h>
#include <poll.h>

#include "../node/board.h"
#include "../primary/probe.h"
#include "settings.h"

/* What supervise.c knows of the server. */
typedef struct HttpServer
{
	const Board *board; /* NULL: no process of it is left */
	ProbeServer	 process;
} HttpServer;

/* Once, before http_listen().  The settings may change in place. */
extern void http_init(struct event_base *base, const SupervisorSettings *settings, HttpServer (*look)(void));

/*
 * Listen where the settings say, and nowhere else.  What fails is said, again only if "again" is
 * set, and tried anew at the next call.
 */
extern void http_listen(bool again);

/*
 * As poll(), for HTTP_POLL_MOST descriptors at most: for whoever cannot go back to the loop while
 * he waits.  HTTP is answered meanwhile.
 */
#define HTTP_POLL_MOST 2
extern int http_poll(struct pollfd *fds, nfds_t n, int timeout);

#endif /* PG_LEADER_SUPERVISOR_HTTP_H */
