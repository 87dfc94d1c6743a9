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
 * What PostgreSQL took at a reload and the member cannot use, such as a secret file that
 * is not there, is shown with them; a member that starts with it says so in its state.
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

/* At a reload: the member cannot use the value of this setting, or can again. */
extern void refused_by_member(const char *name, bool is_useless);

/*
 * Names, with commas between them; empty: none.  At the start of the server: the default
 * is in force instead.  Now: these, and those of the last reload.  Not in force: these,
 * and what the member cannot use.
 */
extern const char *refused_at_start(void);
extern const char *refused_now(void);
extern const char *refused_not_in_force(void);

#endif /* PG_LEADER_REFUSED_H */
