/*
 * server/problem.h
 *	  Members that differ, and names that lead nowhere: in what words.
 *
 * A member with another list, cluster name, key, protocol version or node id is
 * does not count in any quorum; it is reported here, in the log (once a minute at most for
 * each member and kind) and in pg_leader_peers.problem.  So does what is wrong with a
 * member's host name.  What is told by a datagram
 * that was dropped may have been told by somebody who uses the member's address.
 * So it is shown only while the member itself is not heard, except for the kinds
 * that report a second server with its id.
 *
 * Called by show.c and log.c.  Decides nothing.
 */
#ifndef PG_LEADER_PROBLEM_H
#define PG_LEADER_PROBLEM_H

#include "../node/transport.h"
#include "../raft/raft.h"

/*
 * A datagram was dropped at the door.  False: that says nothing of a member, and is
 * the caller's to log.
 */
extern bool problem_in_transport(const Transport *transport, TransportDrop why);

/* The same for one that the election of node "own_id" has dropped. */
extern bool problem_in_election(const RaftMessage *message, int32_t own_id, RaftOutcome why);

/* The address of this member has changed: what was said of the one that it had is over. */
extern void problem_address_changed(int32_t node_id);

/* What is wrong with the name that the member has in "address", or empty. */
extern void problem_name(int32_t node_id, const char *address, const char *failure);

/* Has this member another list, as far as is known of it? */
extern bool problem_other_list(const Raft *raft, int32_t node_id);

/* In what this member differs, in words; empty: in nothing that is known. */
extern void problem_describe(const Raft *raft, int32_t node_id, char *text, size_t size);

#endif /* PG_LEADER_PROBLEM_H */
