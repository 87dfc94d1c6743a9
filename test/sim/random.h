/*
 * test/sim/random.h
 *	  Worlds made by a seed: see random.c.
 */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include "world.h"

/* One run; size 0: the seed chooses.  Returns when it is over and all held. */
extern void random_run(World *w, uint64_t seed, int size);

#endif /* SIM_RANDOM_H */
