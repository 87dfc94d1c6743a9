/*
 * server/slots.h
 *	  What others than the role worker have to do with slots; that itself: role.h.
 */
#ifndef PG_LEADER_SLOTS_SERVER_H
#define PG_LEADER_SLOTS_SERVER_H

#include "../raft/raft.h"
#include "../node/words.h"

/*
 * That member's walsender, before it serves it: make its slot, if there is none that holds WAL, and
 * one is free.  Where that fails, the receiver goes on without.
 */
extern void slots_prepare(int32_t member);

/* ---- slots_ready.c: any process; raft is what exchange_read_core() has given ---- */

/*
 * Ask another member's PostgreSQL that query, as upstream_ask() does, on a connection for it
 * alone.  Takes half a second for the connection, and as much for the answer, at most; "stop" as
 * in upstream.h.
 */
extern bool slots_ask(const Raft *raft, int32_t node, const char *query, char *answer, size_t size, bool (*stop)(void), Words *words);

/*
 * On the primary: has that standby all logical slots that are to survive a failover, so that
 * after a switchover to it they go on there?  false, with words: which it has not, or why this
 * is not known.  Waits as slots_ask() does.  True before PostgreSQL 17, and without such slots.
 */
extern bool slots_are_ready(const Raft *raft, int32_t target, Words *words);

#endif /* PG_LEADER_SLOTS_SERVER_H */
