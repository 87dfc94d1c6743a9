/*
 * supervisor/holders.h
 *	  Locks that processes go on with whose supervisor was killed.
 *
 * A program that the supervisor runs has its locks, so that nobody touches the data directory as long
 * as it is at work.  It ends with whoever has started it; but of pg_basebackup a second process goes
 * on for ever if all above it were killed at one moment, as by "killall -9 pg_leader_supervisor".
 *
 * Called by directory.c, own_files.c and work.c.
 */
#ifndef PG_LEADER_HOLDERS_H
#define PG_LEADER_HOLDERS_H

#include <stdbool.h>

/*
 * Lock that file (flock, exclusively), once nobody else has it.  Waits for 10 s at most; after 2 s, "kills"
 * sends SIGKILL to whoever has it.  "is_somebodys" says whether a living process has taken it itself, which
 * is not waited for; NULL: that cannot be.  false: errno says why not; EWOULDBLOCK: others have it.
 */
extern bool holders_lock(int fd, bool kills, bool (*is_somebodys)(int fd));

#endif /* PG_LEADER_HOLDERS_H */
