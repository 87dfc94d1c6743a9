/*
 * supervisor/holders.h
 *	  Ends processes that go on with a lock of one that was killed.
 *
 * A program that the supervisor runs has its locks, so that nobody touches the data directory as long
 * as it is at work.  It ends with whoever has started it; but of pg_basebackup a second process goes
 * on for ever if all above it were killed at one moment, as by "killall -9 pg_leader_supervisor".
 *
 * Called by directory.c and work.c, who know that the one that took the lock is gone.
 */
#ifndef PG_LEADER_HOLDERS_H
#define PG_LEADER_HOLDERS_H

/* SIGKILL to all other processes through which the file of that descriptor is locked (flock). */
extern void holders_kill(int fd);

#endif /* PG_LEADER_HOLDERS_H */
