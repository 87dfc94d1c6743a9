/*
 * server/senders.h
 *	  Which walsender is which member's.
 *
 * PostgreSQL counts walsenders by application_name, whoever bears it.  Here a member's is
 * registered when it logs in (login.c): it comes from that member's address, and was begun by
 * that member's WAL receiver.  A member has one: an older one is ended first.
 */
#ifndef PG_LEADER_SENDERS_H
#define PG_LEADER_SENDERS_H

#include "../primary/quorum.h"

extern void senders_request_memory(void);
extern void senders_init_memory(void);

/* What a member's receiver adds to its connection string. */
#define SENDERS_MARK "-c pg_leader.receiver=%d"

/*
 * The calling walsender is that member's from now on.  false: an older one does not end.
 * Handles interrupts.
 */
extern bool senders_register(int32_t member);

/*
 * How far each member's walsender is; at most one for a member.  Returns how many, of at most
 * RAFT_MAX_NODES.  Takes no lightweight lock.
 */
extern uint32_t senders_read(QuorumSender *senders);

/* Whose walsender is that process?  RAFT_NONE: nobody's; is_walsender: is it one at all? */
extern int32_t senders_member(pid_t pid, bool *is_walsender);

/* End that member's.  true: there is none. */
extern bool senders_end(int32_t member);

/*
 * End walsenders that bear a member's name and are not registered: they have changed their name
 * after they logged in.  Returns how many.
 */
extern uint32_t senders_end_impostors(uint64_t members);

#endif /* PG_LEADER_SENDERS_H */
