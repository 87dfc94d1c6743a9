/*
 * test/explore/seen.h
 *	  Which states have been seen, how each was reached, and which are still to
 *	  be explored: a hash table and a queue of a fixed size.
 *
 * Of a state that has been seen, only a 128-bit hash is kept: two different ones
 * are taken for one with a probability below n * n / 2^129 for n states, 10^-22
 * for a hundred million.  Each entry also names the entry and the step that it
 * was reached from, so that a path can be told.  A state waits in the queue in
 * full, without its zero bytes.
 */
#ifndef PG_LEADER_EXPLORE_SEEN_H
#define PG_LEADER_EXPLORE_SEEN_H

#include "world.h"

#define SEEN_NONE UINT32_MAX

typedef enum SeenResult
{
	SEEN_NEW = 0,
	SEEN_BEFORE,
	SEEN_FULL
} SeenResult;

/* Use so many bytes; false if there are not so many. */
extern bool seen_prepare(size_t bytes);

/* Forget everything. */
extern void seen_clear(void);

/* Have we been here?  If not, remember it and put it into the queue. */
extern SeenResult seen_add(const World *w, uint32_t from, uint32_t step);

/* The oldest state of the queue into *w; returns its entry, SEEN_NONE: empty. */
extern uint32_t seen_next(World *w);

/* How was this entry reached?  SEEN_NONE: it is the first. */
extern uint32_t seen_from(uint32_t entry, uint32_t *step);

/* How many there are, in the table and in the queue. */
extern uint64_t seen_states(void);
extern uint64_t seen_queued(void);

#endif /* PG_LEADER_EXPLORE_SEEN_H */
