/*
 * node/value.h
 *	  Values of settings as text: read as PostgreSQL reads them.
 *
 * For programs that ask "postgres -C" for settings of a library that is not loaded: they
 * are told what stands in the files, units and all.  Pure, no backend symbols.
 */
#ifndef PG_LEADER_VALUE_H
#define PG_LEADER_VALUE_H

#include <stdbool.h>

/* "on", "t", "yes", "1", and the like.  false: it is no boolean, and *value is as before. */
extern bool value_bool(const char *text, bool *value);

/* A whole number: decimal, hexadecimal or octal; a fraction is rounded. */
extern bool value_int(const char *text, int *value);

/* A time, in milliseconds, which is also its unit if it names none. */
extern bool value_milliseconds(const char *text, int *value);

/* A number without a unit. */
extern bool value_real(const char *text, double *value);

#endif /* PG_LEADER_VALUE_H */
