/*
 * server/refused.h
 *	  Settings of pg_leader that have a value which PostgreSQL refused.
 *
 * PostgreSQL lets a server run on with the default, or with the value that a setting
 * had, and warns once.  A member must not: "may not lead" that was misspelt would become
 * "may lead".  A value that was refused when the server started keeps the member out of
 * the election; one that is refused at a reload leaves the earlier value in force, and
 * is shown.  A name that begins with pg_leader. and is no setting counts as refused.
 *
 * Called by settings.c and the worker.  Nothing here raises an error.
 */
#ifndef PG_LEADER_REFUSED_H
#define PG_LEADER_REFUSED_H

#define REFUSED_SIZE 256

/* Before and after the settings are defined, while the library is loaded. */
extern void refused_before_definition(void);
extern void refused_after_definition(void);

/* Read the configuration files again; the worker, when it starts and at a reload. */
extern void refused_look(void);

/*
 * Names, with commas between them; empty: none.  At the start of the server: the default
 * is in force instead.  Now: these, and those of the last reload.
 */
extern const char *refused_at_start(void);
extern const char *refused_now(void);

#endif /* PG_LEADER_REFUSED_H */
