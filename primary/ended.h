/*
 * primary/ended.h
 *	  What has ended a server, and what follows from it.
 *
 * A server that was stopped by a person stays down; one that crashed is started again.
 * PostgreSQL does not say which it was: the exit status of its postmaster and what the
 * supervisor knows have to tell.  Called by the supervisor, once for each postmaster that
 * has ended.  Pure C11: no input or output, no clock, no allocation.
 */
#ifndef PG_LEADER_ENDED_H
#define PG_LEADER_ENDED_H

#include <stdbool.h>

typedef struct EndedFacts
{
	bool asked;	   /* the supervisor has stopped it */
	bool ran;	   /* the program was begun: else "status" says nothing */
	bool signaled; /* by a signal; else it has exited with "status" */
	int	 status;

	/* CONTROL_READS_WAL had come, and CONTROL_KNOWS_END had not. */
	bool reading;
	bool no_room; /* its disk has no room for two segments of WAL */
} EndedFacts;

typedef enum EndedWhy
{
	ENDED_ASKED = 0, /* by the supervisor: go on with what it was stopped for */
	ENDED_ORDER,	 /* by a person (pg_ctl stop): stay down */
	ENDED_DEATH,	 /* by itself, or killed: start it again */
	ENDED_NO_START	 /* there was no postmaster: the program cannot be run */
} EndedWhy;

extern EndedWhy ended_why(const EndedFacts *facts);

/*
 * Does that death count in watch_died()?  Only that of a startup process that could not
 * read its WAL.  A postmaster that was killed says nothing about WAL, and a full disk is
 * no fault of it.
 */
extern bool ended_reading(const EndedFacts *facts);

#endif /* PG_LEADER_ENDED_H */
