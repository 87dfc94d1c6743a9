/*
 * node/placeholders.h
 *	  What stands behind a percent sign in pg_leader.notify_command.
 *
 * The library refuses a command that cannot be run, and the supervisor fills in and runs
 * those that can.  Pure, no backend symbols.
 */
#ifndef PG_LEADER_PLACEHOLDERS_H
#define PG_LEADER_PLACEHOLDERS_H

#include <stddef.h>
#include <stdint.h>

#include "words.h"

/* What is filled in. */
typedef struct PlaceholderValues
{
	const char *event;			/* %e */
	uint64_t	term;			/* %t */
	int32_t		leader_id;		/* %l; negative: "none" */
	const char *leader_address; /* %a */
	int32_t		node_id;		/* %n */
} PlaceholderValues;

/* false: *words says what cannot be. */
extern bool placeholders_check(const char *command, Words *words);

/* The command, which has passed the check, filled in.  false: it is longer than "size". */
extern bool placeholders_fill(const char *command, const PlaceholderValues *values, char *text, size_t size);

#endif /* PG_LEADER_PLACEHOLDERS_H */
