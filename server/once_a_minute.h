/*
 * server/once_a_minute.h
 *	  How often the log is told of one kind of problem.
 *
 * For whoever in server/ logs what outsiders, disks or networks can bring about
 * any number of times.
 */
#ifndef PG_LEADER_ONCE_A_MINUTE_H
#define PG_LEADER_ONCE_A_MINUTE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * May it be logged?  "last" is when it was, in the election's clock, 0: never; if the
 * answer is yes, it is "now" from then on.
 */
static inline bool
once_a_minute(uint64_t *last, uint64_t now)
{
	if (*last != 0 && now - *last < UINT64_C(60000000))
		return false;
	*last = now;
	return true;
}

#endif /* PG_LEADER_ONCE_A_MINUTE_H */
