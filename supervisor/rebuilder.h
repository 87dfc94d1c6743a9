/*
 * supervisor/rebuilder.h
 *	  Rebuilding a data directory whose server does not run: the facts that it takes, and the
 *	  orders REWIND and CLONE.
 *
 * Decides nothing: what is to be done is primary/decide.c's, what is left of a rebuild is
 * primary/rebuild.c's.  The work is done by jobs (job.h).  Called by supervise.c.
 */
#ifndef PG_LEADER_REBUILDER_H
#define PG_LEADER_REBUILDER_H

#include <event2/event.h>
#include <sys/types.h>

#include "../node/member.h"
#include "../primary/watch.h"
#include "command.h"
#include "settings.h"

/* Once.  "changed": what is known is new, or a rebuild has ended. */
extern void rebuilder_init(struct event_base *base, const Command *command, const SupervisorSettings *settings, void (*changed)(void));

/*
 * Into the facts: what is left of a rebuild, and what the leader's server says, which is asked if
 * somebody has to know.
 */
extern void rebuilder_gather(const Member *member, PrimaryFacts *facts);

/* REWIND or CLONE: the marker, then the work.  Given again while it goes on, it changes nothing. */
extern void rebuilder_obey(Member *member, const PrimaryOrder *order, WatchDirectory *watch);

/* The role worker's order has come: what is there now, once its server has stopped. */
extern void rebuilder_is_ordered(PrimaryRemains remains);

/*
 * Is the directory being changed, or about to be?  Then no server is started; "member" NULL: the
 * member is not known now.
 */
extern bool rebuilder_is_busy(const Member *member);

/* The rebuild is over, or there is none: what is left of one can go. */
extern void rebuilder_clean(void);

/* A child has ended; false: it is none of the rebuilder's. */
extern bool rebuilder_reap(pid_t pid);

/* This process ends: so does what it does here. */
extern void rebuilder_end(void);

#endif /* PG_LEADER_REBUILDER_H */
