/*
 * primary/watch.h
 *	  What a server remembers from one question to the next.
 *
 * primary_decide() has no memory.  What it has to know of the past (since when nothing has
 * moved, what a comparison has shown, how often a rebuild came to nothing) is kept here: a
 * record for each of those who remember, functions that note what has happened, and for
 * the first two one that writes into the facts what follows.
 *
 *	- WatchLeading and WatchFollowing are the role worker's, and end with it; of the first
 *	  only standing_before is to be kept longer, beside WatchDirectory.
 *	- WatchDirectory is the supervisor's, and is about the data directory.
 *
 * Times are microseconds of the facts' clock.  A record of zeros is one that knows nothing.
 * Called by the role worker, the supervisor and the simulator.  Pure C11: no input or
 * output, no clock, no allocation.
 */
#ifndef PG_LEADER_WATCH_H
#define PG_LEADER_WATCH_H

#include "primary.h"

/* ---- a leader, over its term (rules 18 and 25) ---- */

typedef struct WatchLeading
{
	uint64_t term;
	uint64_t since;
	uint64_t moved_at;
	uint64_t progress;
	uint64_t mark_term;
	uint64_t mark_end;
	uint64_t opened_term;
	uint64_t opened_end; /* of WAL then */
	uint32_t list_number;
	uint64_t list_term;
	uint64_t list_end; /* of WAL since that list and its names are in force; 0: they are not */
	uint64_t standing_since;
	uint64_t standing_flushed;
	bool	 standing_before;
} WatchLeading;

/*
 * The facts of one who leads, all but those about leading, quorum_flushed included; it
 * writes leading_since, moved_at, the mark, opened_term, list_held and the two about standing still.
 * Names that are not in force end the mark and the opening.
 * "progress" is any sum that changes when something moves: replay, a promotion, a member's
 * flush, a rebuild that is fed.
 */
extern void watch_leading(WatchLeading *watch, PrimaryFacts *facts, uint64_t progress);

/* Obeyed: MARK, whose message ends there; OPEN; RESIGN. */
extern void watch_marked(WatchLeading *watch, uint64_t term, uint64_t end);
extern void watch_opened(WatchLeading *watch, const PrimaryFacts *facts);
extern void watch_resigned(WatchLeading *watch, PrimaryReason reason);

/* The worker was started anew. */
extern void watch_forget_leading(WatchLeading *watch);

/* ---- a follower, and the leader that it compares itself with (rule 20) ---- */

typedef struct WatchFollowing
{
	PrimaryCheck check;
	uint64_t	 flush;			 /* the leader's, when the receiver was let loose */
	uint64_t	 end;			 /* our own, when something new had come last */
	bool		 interrupted;	 /* since then it was seen not to stream */
	uint64_t	 rebuild_wanted; /* when PRIMARY_PREFERS_OPEN was said first */
} WatchFollowing;

/* The facts of one whose leader is another and known; writes check and rebuild_wanted. */
extern void watch_following(WatchFollowing *watch, PrimaryFacts *facts);

/* Are the last bytes of local WAL to be read now, here and in the leader's? */
extern bool watch_wants_bytes(const WatchFollowing *watch, const PrimaryFacts *facts);

/*
 * What was read there, both up to facts->end on the own path.  Bytes that the leader has no
 * more cannot be streamed from it either, so they are not the same.
 */
extern void watch_compared(WatchFollowing *watch, bool own_read, bool leader_read, bool equal);

/* Obeyed: FOLLOW; and any order under which nothing is received. */
extern void watch_let_loose(WatchFollowing *watch, const PrimaryFacts *facts);
extern void watch_receiver_ended(WatchFollowing *watch);

/*
 * Asked each time that FOLLOW is said and the receiver is loose already: does it really
 * stream?  "timeline" is the one that it streams, 0 if it does not.  Under FOLLOW the
 * leader was just reached, so that a receiver which brings nothing is not waiting for it.
 */
extern bool watch_streams(WatchFollowing *watch, const PrimaryFacts *facts, uint32_t timeline);

/* What was decided. */
extern void watch_decided(WatchFollowing *watch, const PrimaryFacts *facts, const PrimaryOrder *order);

/* ---- a data directory ---- */

typedef struct WatchDirectory
{
	uint32_t deaths; /* of startup processes that read WAL, since it last followed or was rebuilt */
	bool	 unfit;	 /* the server did not start, or the history of its own timeline is bad */
	uint32_t failures;
	uint64_t stuck_since; /* restarted because it did not stream, and still nothing has come; 0: no */
	uint64_t failed_at;
	int32_t	 failed_source;
	uint64_t failed_term;
	uint32_t rewinds; /* begun since the supervisor was started, as the next one; for people only */
	uint32_t clones;
} WatchDirectory;

/* Into the facts: how often and when rebuilds have come to nothing. */
extern void watch_directory(const WatchDirectory *watch, PrimaryFacts *facts);

/* PrimaryFacts.system_id, given the one in pg_control: 0 once nothing in it is usable. */
extern uint64_t watch_system(const WatchDirectory *watch, uint64_t system_id);

/*
 * A startup process has ended by itself; "reading": while it read WAL, and not for want of
 * room.  A server did not start, or its own history is bad.
 */
extern void watch_died(WatchDirectory *watch, bool reading);
extern void watch_unfit(WatchDirectory *watch);

/* Obeyed: REWIND or CLONE, before the first byte changes; RESTART. */
extern void watch_rebuilds(WatchDirectory *watch, RaftRebuild how, uint64_t now, int32_t source, uint64_t term);
extern void watch_restarts(WatchDirectory *watch, PrimaryReason reason, uint64_t now);

/* watch_streams() has said so: whatever failed before is over. */
extern void watch_followed(WatchDirectory *watch);

/* A clock that was started anew: what has happened was not in its future. */
extern void watch_clock(WatchDirectory *watch, uint64_t now);

#endif /* PG_LEADER_WATCH_H */
