/*
 * server/report.h
 *	  What the worker tells: to backends through shared memory, and to the log.
 *
 * Called by worker.c only.  Nothing here saves, sends or decides, and nothing
 * raises an error.  report_show() is the "show" of save, show, send; the others
 * may be called whenever there is something to tell.
 */
#ifndef PG_LEADER_REPORT_H
#define PG_LEADER_REPORT_H

#include "../node/cluster.h"
#include "../node/store.h"
#include "../node/transport.h"
#include "../raft/raft.h"

/* ---- life ---- */

extern void report_store(const Store *store, const char *health);
extern void report_not_ready(const Words *words);
extern void report_start(const RaftConfig *config, const Cluster *cluster,
						 const RaftSaved *saved);

/* What datagrams are signed with from now on; at the start, or after a change. */
extern void report_keys(const SecretKeys *keys, const Cluster *cluster);
extern void report_timeouts(const RaftTimeouts *timeouts);

/*
 * The host makes this member resign, or ends it: why, in a few words that live on;
 * NULL: no longer.  They go before those of what follows from it.
 */
extern void report_cause(const char *cause);

/* The process ends; the lease has ended before this is called. */
extern void report_end(uint64_t now);

/* ---- save, show, send ---- */

extern void report_show(const Raft *raft, const RaftOutput *output);
extern void report_sent(const RaftMessage *message);
extern void report_log(const Raft *raft, const RaftOutput *output);

/* ---- everything else ---- */

extern void report_received(const RaftMessage *message);
extern void report_dropped_at_door(const Transport *transport);
extern void report_dropped_by_election(const RaftMessage *message, RaftOutcome why);
extern void report_addresses(const Addresses *addresses);

/* Once for each turn of the loop: peers and counters. */
extern void report_detail(const Raft *raft, const Transport *transport);
extern void report_reset(void);

#endif /* PG_LEADER_REPORT_H */
