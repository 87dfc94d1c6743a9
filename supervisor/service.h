/*
 * supervisor/service.h
 *	  What the service manager is told: systemd, or whoever else speaks its protocol.
 *
 * See sd_notify(3).  Called by supervise.c.  Nothing happens where no service manager has
 * asked for it (NOTIFY_SOCKET), and nothing depends on what it makes of it.
 */
#ifndef PG_LEADER_SERVICE_H
#define PG_LEADER_SERVICE_H

#include <stdbool.h>

#include <event2/event.h>

/*
 * Once.  Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment: they
 * are for this process, and not for the server.  From here on the watchdog is answered in
 * the loop of "base".  false: errno says why not.
 */
extern bool service_begin(struct event_base *base);

/*
 * READY: the supervisor runs, its member takes part or will as soon as it can, and the
 * server is started as soon as it may be.  Not that the server runs, nor that it is open:
 * that can take as long as a rebuild or another member's return, and a service manager
 * would give up.  Also ends a reload.
 */
extern void service_ready(void);

extern void service_reloads(void);
extern void service_stops(void);

/* What the server is, as one line.  May be called often: it is sent when it is another one. */
extern void service_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* That line as it was given last; '': none was yet. */
extern const char *service_said(void);

#endif /* PG_LEADER_SERVICE_H */
