/*
 * keep/keep.h
 *	  pg_leader_keep: what its verbs share.
 *
 * A verb is a function in a file of its own, verb_NAME.c, and a row of the table in main.c.  It
 * is called with the archive that is open, if the table says that it needs one, and with what
 * stands behind its name on the command line.  What it has to say goes to standard output; what
 * went wrong goes to standard error, in one way: keep_fail().
 */
#ifndef PG_LEADER_KEEP_H
#define PG_LEADER_KEEP_H

#include "archive.h"

#define KEEP_PROGRAM "pg_leader_keep"
#define KEEP_VERSION "1.0"

#define EXIT_DONE	0
#define EXIT_FAILED 1
#define EXIT_USAGE	2

/* To PostgreSQL, of its restore_command: this is an error, and not the end of WAL. */
#define EXIT_HOLE 255

typedef struct KeepCall
{
	const char *verb;	   /* with underscores */
	const char *directory; /* as it was given */
	Archive	   *archive;   /* open, but where the verb accepts ARCHIVE_CLEAR */
	int			argc;	   /* argv[0] is the verb, as for main() and getopt() */
	char	  **argv;
} KeepCall;

/* Say what is wrong on standard error, with its hint if it has one.  Always EXIT_FAILED. */
extern int keep_fail(const Words *words);

/* Of a verb that was called wrongly.  Always EXIT_USAGE. */
extern int keep_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- the verbs ---- */

extern int verb_init(KeepCall *call);
extern int verb_run(KeepCall *call);
extern int verb_stop(KeepCall *call);
extern int verb_start(KeepCall *call);
extern int verb_get_state_all(KeepCall *call);
extern int verb_abandoned(KeepCall *call);
extern int verb_get(KeepCall *call);
extern int verb_full_backup(KeepCall *call);
extern int verb_snapshot(KeepCall *call);
extern int verb_restore(KeepCall *call);
extern int verb_get_restored_path(KeepCall *call);
extern int verb_del_restored(KeepCall *call);
extern int verb_drill(KeepCall *call);

#endif /* PG_LEADER_KEEP_H */
