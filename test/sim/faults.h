/*
 * test/sim/faults.h
 *	  The faults of random runs with servers.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "keeper.h"

/* Draw how often each of them happens; before the first one. */
extern void faults_choose(World *w);

/* From now on, until all that lasts is mended again. */
extern void faults_begin(World *w);
extern void faults_end(World *w);

/* Has this member all its data, as far as truth goes, and may it vote with them? */
extern bool faults_is_whole(const World *w, int i);

/* Has the end of its server taken what this member had told, or was its state file torn? */
extern bool faults_took_some(int i);

#endif /* SIM_FAULTS_H */
