/*
 * server/shield.h
 *	  Holds cancels and terminations back while a commit waits for its copies.
 *
 * PostgreSQL answers a commit whose synchronous wait was cancelled with success, and shows its
 * row.  Behind the shield SIGINT is held back and dropped in the end: the statement is
 * complete.  SIGTERM is held back until the shield is lowered, but the client's connection is
 * shut at once, so that it learns nothing false.  When the server stops, a wait for copies ends
 * after all other sessions (fence_let_go()).  SIGQUIT always works.
 */
#ifndef PG_LEADER_SHIELD_H
#define PG_LEADER_SHIELD_H

#include <stdbool.h>

/* Raise it; what has arrived before that is an error here, as usual. */
extern void shield_raise(void);

/* Is this process to end?  Its client is cut off then. */
extern bool shield_has_term(void);

/* Lower it, if it is up: a process that is to end does so at its next chance. */
extern void shield_lower(void);

#endif /* PG_LEADER_SHIELD_H */
