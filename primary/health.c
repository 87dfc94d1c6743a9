/*
 * primary/health.c
 *	  Can this server still serve?
 *
 * See health.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "health.h"

#include <assert.h>

/* At least so many looks it takes until something has lasted for the timeout. */
#define LOOKS 4

PrimaryHealth
health_look(HealthWatch *watch, const HealthFacts *facts)
{
	uint64_t passed = watch->looked_at != 0 && facts->now > watch->looked_at ? facts->now - watch->looked_at : 0;

	assert(facts->timeout > 0);
	if (passed > facts->timeout / LOOKS)
		passed = facts->timeout / LOOKS;
	if (facts->written <= facts->flushed || facts->flushed != watch->flushed)
		watch->unflushed_for = 0;
	else
		watch->unflushed_for += passed;
	if (facts->steps == 0 || facts->steps != watch->steps)
		watch->no_step_for = 0;
	else
		watch->no_step_for += passed;
	watch->looked_at = facts->now;
	watch->flushed = facts->flushed;
	watch->steps = facts->steps;
	if (watch->unflushed_for >= facts->timeout)
		return PRIMARY_HEALTH_DISK_HUNG;
	if (watch->no_step_for >= facts->timeout)
		return PRIMARY_HEALTH_WORKER_HUNG;
	return facts->silence >= facts->timeout ? PRIMARY_HEALTH_NO_ANSWER : PRIMARY_HEALTHY;
}

bool
health_is_grave(PrimaryHealth health)
{
	return health == PRIMARY_HEALTH_DISK_HUNG || health == PRIMARY_HEALTH_WORKER_HUNG || health == PRIMARY_HEALTH_NO_ANSWER;
}
