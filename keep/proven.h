/*
 * keep/proven.h
 *	  What drills have proven of an archive, as its catalogue says.
 *
 * Called by get_state_all.
 */
#ifndef PG_LEADER_PROVEN_H
#define PG_LEADER_PROVEN_H

#include "catalogue.h"

typedef struct Proven
{
	uint64_t gid; /* that was restored last; 0: none ever was */
	time_t	 at;
	uint64_t failed_gid; /* of the last drill, if that has failed; else 0 */
	time_t	 failed_at;
} Proven;

extern bool proven_read(const Archive *archive, Proven *proven, Words *words);

/* "proven: gid 184549400, 6 min ago"; empty: there was no drill */
extern void proven_describe(const Proven *proven, time_t now, char *text, size_t size);

#endif /* PG_LEADER_PROVEN_H */
