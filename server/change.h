/*
 * server/change.h
 *	  Shared memory with one writer that never waits, and readers that copy.
 *
 * A change counter is odd while what it guards is being written; a reader takes its copy
 * again if the counter moved.  Used for what the workers show.
 */
#ifndef PG_LEADER_CHANGE_H
#define PG_LEADER_CHANGE_H

#include "miscadmin.h"
#include "port/atomics.h"

/*
 * How often a reader takes its copy again: without a pause at first, then with
 * one of a millisecond.  A writer holds a counter odd for microseconds; longer
 * means that it was stopped right there.
 */
#define CHANGE_READS_WITHOUT_PAUSE 100
#define CHANGE_READS			   1000

static inline void
change_begin(pg_atomic_uint32 *change)
{
	/* odd already: an earlier process ended in the middle of writing */
	pg_atomic_write_u32(change, pg_atomic_read_u32(change) | 1);
	pg_write_barrier();
}

static inline void
change_end(pg_atomic_uint32 *change)
{
	pg_write_barrier();
	pg_atomic_write_u32(change, pg_atomic_read_u32(change) + 1);
}

/* Copy "size" bytes; false: they were being written just then. */
static inline bool
change_copy_once(pg_atomic_uint32 *change, void *copy, const void *source, size_t size)
{
	uint32 before = pg_atomic_read_u32(change);

	if ((before & 1) != 0)
		return false;
	pg_read_barrier();
	memcpy(copy, source, size);
	pg_read_barrier();
	return pg_atomic_read_u32(change) == before;
}

/*
 * Copy "size" bytes that no write has touched meanwhile; false: none such in a
 * second.
 */
static inline bool
change_copy(pg_atomic_uint32 *change, void *copy, const void *source, size_t size)
{
	int i;

	for (i = 0; i < CHANGE_READS; i++)
	{
		if (change_copy_once(change, copy, source, size))
			return true;
		CHECK_FOR_INTERRUPTS();
		if (i >= CHANGE_READS_WITHOUT_PAUSE)
			pg_usleep(1000);
	}
	return false;
}

#endif /* PG_LEADER_CHANGE_H */
