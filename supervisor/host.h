/*
 * supervisor/host.h
 *	  The member, while its server does not run.
 *
 * Its home (node/home.c) is in the supervisor's loop then: it keeps its vote, and never
 * stands.  The other home is the election worker of the library; they hand over the lock
 * of the state file, so this one is closed before a server is started, and opened when no
 * process of it is left.  Called by supervise.c, and itself called by libevent.
 */
#ifndef PG_LEADER_HOST_H
#define PG_LEADER_HOST_H

#include <event2/event.h>

#include "../node/member.h"
#include "settings.h"

/*
 * Once, before all else.  "turned" is called after each turn of the member's: what it
 * knows may have changed.
 */
extern bool host_init(struct event_base *base, void (*turned)(void));

/*
 * Open it, with settings that have to stay until it is closed.  false: *words says why
 * not; may be called again.
 */
extern bool host_open(const SupervisorSettings *settings, Words *words);

/* Safe to call twice. */
extern void host_close(void);

/*
 * The member; NULL while the home is closed, also after an error that closed it, of which
 * people were told.
 */
extern Member *host_member(void);

/* After calls of the member's functions from outside: its deadline may be another one. */
extern void host_wind(void);

#endif /* PG_LEADER_HOST_H */
