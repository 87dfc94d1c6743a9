/*
 * primary/health.h
 *	  Can this server still serve?  From facts that cost no look at a file.
 *
 * A server whose disk hangs, or whose postmaster is stopped, can go on talking to its peers, and
 * hold its lease for ever.  So the election worker, which never waits for a disk, asks this in
 * each of its turns, with what it finds in shared memory.  Called by server/health.c and the
 * simulator; whether a leader resigns for it is a row of decide.c.
 *
 * Time that the asking process has slept itself counts for little: what it sees then is old.
 * Pure C11: no input or output, no clock, no allocation.  Times are microseconds of one clock.
 */
#ifndef PG_LEADER_HEALTH_H
#define PG_LEADER_HEALTH_H

#include "primary.h"

typedef struct HealthFacts
{
	uint64_t now;
	uint64_t timeout; /* pg_leader.health_timeout */

	/*
	 * WAL that is there, and how much of it is flushed.  Equal: nothing waits.  Whoever asks sees to
	 * it that what is there gets flushed at least twice in timeout, or nothing would say that it can
	 * be: PostgreSQL leaves the beginning of a transaction where it is.
	 */
	uint64_t written;
	uint64_t flushed;

	uint64_t steps;	  /* any number that changes while the role worker gets on; 0: it has not begun */
	uint64_t silence; /* how long new connections have got no answer; 0: they have, or it is not known */
} HealthFacts;

/* What is remembered from one call to the next; begins as zeros. */
typedef struct HealthWatch
{
	uint64_t looked_at;
	uint64_t flushed;
	uint64_t steps;
	uint64_t unflushed_for;
	uint64_t no_step_for;
} HealthWatch;

/* HEALTHY, DISK_HUNG, WORKER_HUNG or NO_ANSWER. */
extern PrimaryHealth health_look(HealthWatch *watch, const HealthFacts *facts);

/* Does it keep a leader from serving, and not only from standing? */
extern bool health_is_grave(PrimaryHealth health);

#endif /* PG_LEADER_HEALTH_H */
