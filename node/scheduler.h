/*
 * node/scheduler.h
 *	  What a member asks of the kernel's scheduler.
 *
 * Called once by the worker, and by whatever else runs a member.  No backend symbols.
 */
#ifndef PG_LEADER_SCHEDULER_H
#define PG_LEADER_SCHEDULER_H

#include <stdbool.h>

/*
 * Request short time slices (0.1 ms instead of about 3 ms), so that the worker runs
 * soon after it wakes up.
 * A member has little to do when it wakes up, and on a busy machine what matters is
 * when that begins.  It gets no more of the processor than before, and no right is
 * needed for it (sched(7): nothing is said of priorities).
 *
 * Linux 6.12 and later take it into account; earlier ones ignore it.  false: errno
 * says why this kernel does not support it, which is no reason to worry anybody.
 */
extern bool scheduler_ask_for_short_turns(void);

#endif /* PG_LEADER_SCHEDULER_H */
