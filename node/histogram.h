/*
 * node/histogram.h
 *	  How long something takes: count, sum, least, most, and a histogram.
 *
 * Adding a time costs a few instructions and no memory, so that it can be done
 * with every datagram.  Called by the worker, which adds, and by the SQL functions,
 * which read copies.  No clock, no I/O, no backend symbols.
 *
 * Times are microseconds.  The buckets' bounds are powers of two: the first ends
 * at HISTOGRAM_FIRST, each of the others is as wide as all before it together, and
 * the last one has no end.
 */
#ifndef PG_LEADER_HISTOGRAM_H
#define PG_LEADER_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_FIRST_BITS 4	/* the first bucket ends at 2^4 = 16 us, */
#define HISTOGRAM_LAST_BITS	 24 /* the last one begins at 2^24 us = 16.8 s */
#define HISTOGRAM_BUCKETS	 (HISTOGRAM_LAST_BITS - HISTOGRAM_FIRST_BITS + 2)

/* All zero: nothing was added. */
typedef struct Histogram
{
	uint64_t count;
	uint64_t sum; /* us */
	uint64_t min; /* us; means nothing without a count */
	uint64_t max; /* us */
	uint64_t buckets[HISTOGRAM_BUCKETS];
} Histogram;

extern void histogram_add(Histogram *histogram, uint64_t time);

/* The bucket that counts this time. */
extern int histogram_bucket(uint64_t time);

/* Bucket i counts times from its lower bound to below its upper one. */
extern uint64_t histogram_lower_bound(int i);

/* UINT64_MAX: the last bucket, which has none. */
extern uint64_t histogram_upper_bound(int i);

/* Everything that "from" has counted, too. */
extern void histogram_merge(Histogram *into, const Histogram *from);

#endif /* PG_LEADER_HISTOGRAM_H */
