/*
 * keep/options.h
 *	  Options that several verbs have.
 */
#ifndef PG_LEADER_KEEP_OPTIONS_H
#define PG_LEADER_KEEP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* "90", seconds from 1 to a week, as us.  false: it is none. */
extern bool options_seconds(const char *text, uint64_t *us);

/* PostgreSQL, which the verb starts, would refuse to run as root; says so.  false: we are root. */
extern bool options_not_root(const char *verb);

#endif /* PG_LEADER_KEEP_OPTIONS_H */
