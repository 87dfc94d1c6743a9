/*
 * server/events.h
 *	  The events of this member across restarts: between shared memory and journal.
 *
 * Called by worker.c only.  None of this raises an error, and nothing of the
 * election waits for it: what cannot be read or written is told in the log.
 */
#ifndef PG_LEADER_EVENTS_H
#define PG_LEADER_EVENTS_H

/*
 * Show the events of earlier starts, if shared memory holds none: also of a member
 * that is kept out.  Changes no file.
 */
extern void events_load(void);

/* The state file is open and locked: begin to write. */
extern void events_open(void);

/* Write the events that were shown since.  After what they tell of was sent. */
extern void events_write(void);

#endif /* PG_LEADER_EVENTS_H */
