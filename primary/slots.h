/*
 * primary/slots.h
 *	  Which replication slots a server has for the other members, and how far they hold WAL.
 *
 * Every member has a physical slot "pg_leader_<id>" for each other one, so that whoever comes to
 * lead has the WAL that the others lack.  On the leader the member's own WAL receiver uses its
 * slot, which moves it; everywhere else it is moved here, by what the member is known to have
 * flushed.  Called by the role worker (server/slots.c) alone, once for each slot and each member.
 * Pure C11: no input or output, no clock, no allocation.
 */
#ifndef PG_LEADER_SLOTS_H
#define PG_LEADER_SLOTS_H

#include "../node/lineage.h"
#include "../raft/raft.h"

#define SLOTS_NAME_SIZE 24

/* The name of that member's slot, wherever it is; into SLOTS_NAME_SIZE bytes. */
extern void slots_name(int32_t member, char *name);

/* A new slot is made only for a member that was heard of so lately, us: see slots_make(). */
#define SLOTS_HEARD_FOR UINT64_C(60000000)

/* What is known of the server. */
typedef struct SlotsFacts
{
	uint64_t members; /* bit i: node id i is in the list */
	int32_t	 self;
	int32_t	 leader;				  /* whom this server follows, itself if it leads */
	uint64_t end;					  /* what it has replayed, or as primary flushed */
	uint64_t heard;					  /* bit i: node id i was heard of within SLOTS_HEARD_FOR, or the leader has a slot for it */
	uint64_t step;					  /* of WAL, bytes: within one a slot is not moved; 1 or more */
	bool	 synchronizes;			  /* sync_replication_slots is on, in recovery */
	uint64_t flushed[RAFT_MAX_NODES]; /* by node id: slots_flushed() of this server's history; 0: not known */
} SlotsFacts;

typedef enum SlotsUser
{
	SLOTS_UNUSED = 0,
	SLOTS_MEMBER,	/* the walsender of the member that it is for */
	SLOTS_STRANGER, /* another walsender */
	SLOTS_BRIEFLY	/* another process, which is about to let it go */
} SlotsUser;

typedef struct SlotsSlot
{
	int32_t	  member; /* of the name; RAFT_NONE: no name of ours */
	bool	  physical;
	bool	  temporary;
	bool	  lost;		  /* it holds no WAL: invalidated, or never reserved any */
	uint64_t  restart;	  /* it holds WAL from there on */
	bool	  holds_rows; /* an xmin */
	bool	  failover;	  /* a logical one that is to be on the standbys, too, */
	bool	  synced;	  /* and was put here by PostgreSQL's synchronization */
	SlotsUser user;
} SlotsSlot;

typedef enum SlotsVerdict
{
	SLOTS_LEAVE = 0,
	SLOTS_ADVANCE, /* to slots_target(), and without holding rows on a standby */
	SLOTS_DROP,
	SLOTS_SUPERSEDED, /* drop, if whoever leads has one of that name: else it is the last one */
	SLOTS_END_USER,	  /* and then look again */
	SLOTS_TAKEN		  /* the name is a member's, and the slot is of another kind */
} SlotsVerdict;

extern SlotsVerdict slots_verdict(const SlotsFacts *facts, const SlotsSlot *slot);

/* Of one that is to be advanced: to where; never back. */
extern uint64_t slots_target(const SlotsFacts *facts, const SlotsSlot *slot);

/* Is that member to get a slot, if it has none? */
extern bool slots_make(const SlotsFacts *facts, int32_t member);

/*
 * How much of a member's WAL is known to be flushed and part of this history; 0: not known.  A
 * position on another path says nothing: that member is rewound first, or cloned.
 */
extern uint64_t slots_flushed(const Lineage *own, RaftPosition position);

#endif /* PG_LEADER_SLOTS_H */
