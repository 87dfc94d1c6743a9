/*
 * server/log.h
 *	  What the worker writes to the server's log.
 *
 * Called by worker.c, and by show.c for what was logged last.  Nothing here raises an
 * error.  The log's pipe may block: call these when nobody waits for the worker.
 */
#ifndef PG_LEADER_LOG_H
#define PG_LEADER_LOG_H

#include "../node/cluster.h"
#include "../node/transport.h"
#include "../raft/raft.h"

extern void log_not_ready(const Words *words);
extern void log_start(const RaftConfig *config, const RaftSaved *saved);
extern void log_timeouts(const RaftTimeouts *timeouts);

/* What datagrams are signed with from now on; at the start, or after a change. */
extern void log_keys(const SecretKeys *keys, const Cluster *cluster);

extern void log_sent(const RaftMessage *message);
extern void log_received(const RaftMessage *message);

/* The events of an output that are changes. */
extern void log_changes(const Raft *raft, const RaftOutput *output);

extern void log_dropped_by_transport(const Transport *transport);
extern void log_dropped_by_election(const RaftMessage *message, RaftOutcome why);
extern void log_send_errors(const Transport *transport);

/* Does the last datagram of a member use another version of the protocol? */
extern bool log_other_version(int32_t node_id);

/*
 * Append to a text of "used" bytes in a buffer of "size"; what does not fit is cut off.
 * Returns how long the text is then.
 */
extern size_t log_append(char *text, size_t size, size_t used, const char *format, ...)
	pg_attribute_printf(4, 5);

/* The counters begin again at 0. */
extern void log_reset(void);

#endif /* PG_LEADER_LOG_H */
