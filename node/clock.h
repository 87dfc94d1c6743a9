/*
 * node/clock.h
 *	  The one clock: microseconds since boot, suspend included.
 *
 * CLOCK_BOOTTIME and not CLOCK_MONOTONIC, because a lease must also expire while the
 * machine is suspended; never the wall clock, because that jumps.  Called
 * by whatever needs the time of the election: the worker, and the backends that
 * ask whether a lease still holds.
 */
#ifndef PG_LEADER_CLOCK_H
#define PG_LEADER_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_OF_ELECTION CLOCK_BOOTTIME

/* Microseconds since the machine started.  Cannot fail on Linux >= 2.6.39. */
static inline uint64_t
clock_now(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_OF_ELECTION, &ts);
	return (uint64_t) ts.tv_sec * UINT64_C(1000000) + (uint64_t) ts.tv_nsec / 1000;
}

#endif /* PG_LEADER_CLOCK_H */
