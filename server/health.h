/*
 * server/health.h
 *	  Can this server still serve: what is known of that without a look at a file.
 *
 * What is known is in shared memory, and what it means is in primary/health.h.  Managed mode only.
 */
#ifndef PG_LEADER_SERVER_HEALTH_H
#define PG_LEADER_SERVER_HEALTH_H

#include "../node/member.h"
#include "../primary/primary.h"

/*
 * The election worker, in each turn: look; a leader that cannot serve resigns, if another member
 * could lead.  Takes spinlocks that are held for some instructions, and no other lock: whoever
 * flushes WAL holds those for as long as the disk takes.
 */
extern void health_keep(Member *member, RaftServer server);

/* As it was found last. */
extern PrimaryHealth health_now(void);

/*
 * The role worker, after each turn: WAL that nobody flushes for long is flushed, so that it shows
 * whether it can be.  May wait for the disk.
 */
extern void health_flush_rest(void);

#endif /* PG_LEADER_SERVER_HEALTH_H */
