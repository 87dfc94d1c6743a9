/*
 * server/show.h
 *	  What the worker shows to backends through shared memory, events among it.
 *
 * Called by worker.c only.  Nothing here saves, sends or decides, and nothing raises an
 * error.  show_state() is the "show" of save, show, send; the others may be called
 * whenever there is something to show.
 */
#ifndef PG_LEADER_SHOW_H
#define PG_LEADER_SHOW_H

#include "../node/addresses.h"
#include "../node/cluster.h"
#include "../node/store.h"
#include "../node/transport.h"
#include "../raft/raft.h"

/* ---- start and settings ---- */

extern void show_store(const Store *store, const char *health);
extern void show_not_ready(const Words *words);
extern void show_list(const Cluster *cluster); /* the members that are heard, and where they are */
extern void show_start(const RaftConfig *config, const Cluster *cluster,
					   const RaftSaved *saved);
extern void show_timeouts(const RaftTimeouts *timeouts);

/* What the role worker did, for the record. */
extern void show_event(const Raft *raft, const char *reason);

/*
 * The host makes this member resign, or ends it: why, in a few words that stay valid;
 * NULL: no longer.  They go before those of what follows from it.
 */
extern void show_cause(const char *cause);

/* The process ends; the lease has ended before this is called. */
extern void show_end(void);

/* ---- what the election decided ---- */

extern void show_state(const Raft *raft, const RaftOutput *output);

/* The reason of an event as people read it, with what this host knows of the cause. */
extern void show_reason(const RaftEvent *event, char *reason, size_t size);

/* ---- once for each turn of the loop: peers and counters ---- */

extern void show_addresses(const Addresses *addresses);
extern void show_detail(const Raft *raft, const Transport *transport);
extern void show_reset(void);

#endif /* PG_LEADER_SHOW_H */
