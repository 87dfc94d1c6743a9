/*
 * server/events.h
 *	  The events of this member across restarts: between shared memory and journal.
 *
 * Called by worker.c only.  None of this raises an error: what cannot be read or
 * written is told in the log.  A member that takes part never waits for the journal,
 * whatever its disk does: it is read and opened before the election is begun, and
 * written by the C library's asynchronous output.
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

/*
 * See what has become of the last write, and begin to write the events that were shown
 * since.  Returns at once.  After what they tell of was sent, and once for each turn.
 */
extern void events_write(void);

/* The process ends: have all of them written, if that takes no longer than a moment. */
extern void events_finish(void);

#endif /* PG_LEADER_EVENTS_H */
