/*
 * supervisor/leftover.h
 *	  What a supervisor that was killed has left: a postmaster that does not end, or
 *	  processes without one.
 *
 * Called by main.c once, under the lock of the member's supervisor.
 */
#ifndef PG_LEADER_LEFTOVER_H
#define PG_LEADER_LEFTOVER_H

#include "../node/words.h"

/*
 * Wait until no process of a server is left in that directory, and kill those that do not
 * end; takes some 10 s at most.  false: a server runs there that no supervisor has
 * started, or one that lives, or some process does not end.
 */
extern bool leftover_end(const char *directory, Words *words);

#endif /* PG_LEADER_LEFTOVER_H */
