/*
 * primary/quorum.h
 *	  Who counts for a commit (rule 16), and how many have to.
 *
 * n members: V of them elect, C copies commit, the primary's own included, and V + C > n
 * makes both meet.  Called by the fence, the role worker and the simulator.  Pure C11: no
 * input or output, no clock, no allocation.
 *
 * READ IN THIS ORDER: the walsenders' flush positions, the server's own, a barrier, the
 * bounds, the clock.  So a walsender that is beyond the server itself is one that has
 * diverged, and a bound that runs ran when the flushes were read.
 */
#ifndef PG_LEADER_QUORUM_H
#define PG_LEADER_QUORUM_H

#include "../raft/raft.h"

/* Room for the names of RAFT_MAX_NODES members. */
#define QUORUM_NAMES_SIZE 1200

/*
 * The text of synchronous_standby_names, the same on all members: C - 1 of all names, ''
 * for one member.  While two lists count: so many of those who are in both that it is enough for
 * either.  Returns buffer.
 */
extern const char *quorum_names(const RaftList *list, char *buffer, size_t size);

/* Whose names those are, bit i: node id i; *copies: of how many copies a commit then has to have. */
extern uint64_t quorum_named(const RaftList *list, uint32_t *copies);

/*
 * Are these the names of the list, or of the one before?  For with those, commits are held by as
 * many as the present list's elections have to meet: nobody goes on to the next list before the
 * names of the present one are in force (see PrimaryFacts.list_held).
 */
extern bool quorum_has_names(const RaftList *list, const char *names);

/*
 * The member whose walsender this is: "pg_leader_7" is 7.  Capitals do not matter, as they do not
 * in synchronous_standby_names.  RAFT_NONE: nobody's, like those of clones and checks
 * ("pg_leader_7_clone", "pg_leader_7_check").
 */
extern int32_t quorum_member(const char *application_name);

/*
 * Is a connection under a member's name that member's?  host: from whose address it comes,
 * RAFT_NONE from nobody's.  PostgreSQL counts names, whoever bears them, and then shows rows: a
 * clone that came up with the settings of a member, a pg_receivewal.  So it is asked when
 * somebody logs in, and who is another is refused.
 */
extern bool quorum_is_from(int32_t member, int32_t host);

typedef struct QuorumSender
{
	int32_t	 member;  /* quorum_member(), RAFT_NONE also if not quorum_is_from() */
	uint64_t started; /* rises with each connection; no two are equal */
	uint64_t flush;	  /* pg_stat_replication's flush_lsn, what the walreceiver says */
	uint64_t sent;	  /* and sent_lsn, what it can have from this connection */
	uint64_t replay;  /* and replay_lsn; counts for nothing */
} QuorumSender;

typedef enum QuorumVerdict
{
	QUORUM_COUNTS = 0, /* for what it has flushed */
	QUORUM_NOBODYS,	   /* a clone, a check, somebody else's, ourselves: leave it alone */
	QUORUM_OLDER,	   /* the member has a newer one: to be ended */
	QUORUM_DIVERGED,   /* beyond our own flush: to be ended, with an alarm */
	QUORUM_UNBOUND	   /* its member is not bound to this leadership at present */
} QuorumVerdict;

typedef struct QuorumView
{
	uint64_t			members; /* bit i: node id i */
	uint64_t			old;	 /* of the list before, while that counts, too; 0: it does not */
	int32_t				self;
	const QuorumSender *senders;
	uint32_t			n_senders;
	uint64_t			flush;					/* our own */
	uint64_t			bounds[RAFT_MAX_NODES]; /* raft_peer_bound() of this term; 0: not bound */
	uint64_t			lease_until;
	uint64_t			now;
	uint64_t			term;	   /* of the lease and the bounds */
	uint64_t			open_term; /* in which the fence was opened; 0: it is closed */
} QuorumView;

/* Who counts: members and old. */
extern void quorum_take_list(QuorumView *view, const RaftList *list);

extern QuorumVerdict quorum_verdict(const QuorumView *view, uint32_t sender);

/* Who holds the WAL up to there, ourselves included; bit i: node id i. */
extern uint64_t quorum_holders(const QuorumView *view, uint64_t end);

/* Is the fence open at that instant: opened in the term of a lease that holds? */
extern bool quorum_is_open(const QuorumView *view);

/* Rule 16: may a commit that ends there be answered? */
extern bool quorum_answers(const QuorumView *view, uint64_t end);

/* Up to where C members hold the WAL, of both lists while both count; 0: nowhere. */
extern uint64_t quorum_flushed(const QuorumView *view);

#endif /* PG_LEADER_QUORUM_H */
