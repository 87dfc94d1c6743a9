/*
 * supervisor/notify.h
 *	  Running pg_leader.notify_command when the leadership changes.
 *
 * What is told next is decided by primary/news.c; here is what it goes by, and the command's
 * run: its time limit, its end when what it was told of has ended, and what is logged.  While
 * a server runs, its board (node/board.h) says what there is to tell; while none does, this
 * member has no lease, and the supervisor's own member knows the leader.
 *
 * Never waits: all happens in the supervisor's loop, one command at a time.  Called by
 * supervise.c.
 */
#ifndef PG_LEADER_SUPERVISOR_NOTIFY_H
#define PG_LEADER_SUPERVISOR_NOTIFY_H

#include <event2/event.h>
#include <sys/types.h>

#include "../node/board.h"
#include "settings.h"

/*
 * Once.  The settings may change in place.  "over" is called when notify_is_over() has become
 * true.  false: errno says why not.
 */
extern bool notify_init(struct event_base *base, const SupervisorSettings *settings, void (*over)(void));

/* A server begins, and this is its board; NULL: no process of it is left. */
extern void notify_board(const Board *board);

/* Something may have changed: board, leader, settings. */
extern void notify_look(void);

/* That child has ended; false: it is none of these. */
extern bool notify_reap(pid_t pid, int status);

/*
 * This process is about to end: commands are ended, and only the end of a lease is still told,
 * which may take LEAVING_LIMIT (notify.c).
 */
extern void notify_leave(void);

/* After notify_leave(): there is nothing left to tell. */
extern bool notify_is_over(void);

#endif /* PG_LEADER_SUPERVISOR_NOTIFY_H */
