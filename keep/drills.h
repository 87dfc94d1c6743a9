/*
 * keep/drills.h
 *	  The drills that "run" makes by itself: after each base backup and failover, and once in a while.
 *
 * plan.h says when.  A drill is a process of its own, at a lower priority: this program with the verb
 * "drill", which ends with this one.  Called by verb_run.c.
 */
#ifndef PG_LEADER_DRILLS_H
#define PG_LEADER_DRILLS_H

#include <sys/types.h>

#include "archive.h"
#include "plan.h"

typedef struct Drills
{
	const Archive *archive;
	PlanDrills	   facts;
	pid_t		   pid;		/* 0: none goes on */
	uint64_t	   look_at; /* us */
	off_t		   read_up_to;
	int			   n_drills; /* in the catalogue */
	bool		   said_root;
} Drills;

extern void drills_init(Drills *drills, const Archive *archive);

/* Called often. */
extern void drills_go_on(Drills *drills);

/* The one that goes on is ended. */
extern void drills_end(Drills *drills);

#endif /* PG_LEADER_DRILLS_H */
