/*
 * test/sim/checker.h
 *	  The invariants of the election, checked after every step.
 *
 *	  S V M P F X A	as test/lib/invariants.h says; X at any instant of true time
 *	  L	in calm, one leader that all follow within a bound
 *	  B	a leader connected to a quorum stays leader, whatever others do
 *
 * A check that fails does not return: it fills in w->failure and jumps to
 * w->escape.
 */
#ifndef SIM_CHECKER_H
#define SIM_CHECKER_H

#include "world.h"

extern _Noreturn void checker_fail(World *w, char invariant, uint64_t nodes,
								   const char *format, ...)
	__attribute__((format(printf, 4, 5)));

extern void checker_saved(World *w, Node *n);
extern void checker_shown(World *w, Node *n);
extern void checker_lease(World *w, Node *n);
extern void checker_decided(World *w, Node *n);
extern void checker_sent(World *w, Node *n, const RaftMessage *m);
extern void checker_lost_state(World *w, int i);
extern void checker_end(World *w); /* counts what only the whole history shows */

/* One leader, with a lease, that every member that runs follows? */
extern bool checker_is_settled(const World *w);

/* Within what time L must hold, from a moment on that is calm. */
extern uint64_t checker_bound(const World *w);

/* Run until settled; L fails after the bound.  Returns the leader. */
extern int checker_await(World *w);

/* From now on B: the leader keeps these members; see checker.c. */
extern void checker_begin_edge(World *w, int leader, uint64_t healthy, uint64_t returns);
extern void checker_end_edge(World *w);

#endif /* SIM_CHECKER_H */
