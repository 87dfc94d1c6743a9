/*
 * supervisor/work.h
 *	  A job's process: what it does.
 *
 * See job.h.  Called by main.c, instead of all that a supervisor does.
 */
#ifndef PG_LEADER_WORK_H
#define PG_LEADER_WORK_H

/* The socket's number, as text.  Returns the exit status. */
extern int work(const char *socket);

#endif /* PG_LEADER_WORK_H */
