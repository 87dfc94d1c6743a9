/*
 * node/scheduler.c
 *	  What a member asks of the kernel's scheduler.
 *
 * See scheduler.h.  The struct and the call are the kernel's own (sched_setattr(2)):
 * C libraries had neither for long.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "scheduler.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The shortest that the kernel grants. */
#define TURN_NS UINT64_C(100000)

/* struct sched_attr as of its first version. */
typedef struct Attributes
{
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t	 nice;
	uint32_t priority;
	uint64_t runtime; /* with SCHED_OTHER: the length of a turn */
	uint64_t deadline;
	uint64_t period;
} Attributes;

bool
scheduler_ask_for_short_turns(void)
{
	Attributes a = {.size = sizeof(a)};

	if (syscall(SYS_sched_getattr, 0, &a, (unsigned) sizeof(a), 0U) != 0)
		return false;

	/* leave a policy that the administrator has chosen */
	if (a.policy != SCHED_OTHER)
		return true;
	a.size = sizeof(a);
	a.runtime = TURN_NS;
	return syscall(SYS_sched_setattr, 0, &a, 0U) == 0;
}
