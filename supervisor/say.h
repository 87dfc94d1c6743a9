/*
 * supervisor/say.h
 *	  What a program that runs in the foreground tells people: lines on standard error, as
 *	  PostgreSQL writes them.
 *
 * With a time stamp, because the supervisor's stand between those of the server.  Called by all
 * of supervisor/, and by keep/ where it runs as long.
 */
#ifndef PG_LEADER_SAY_H
#define PG_LEADER_SAY_H

#define PROGRAM			"pg_leader_supervisor"
#define PROGRAM_VERSION "1.0"

/* Whose lines they are, if not the supervisor's; the name is not copied. */
extern void say_as(const char *name);

extern void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern void say_detail(const char *detail, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* hint: what to do about it; empty: none. */
extern void say_warning(const char *hint, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void say_error(const char *hint, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif /* PG_LEADER_SAY_H */
