/*
 * server/notify.h
 *	  The door to the process that runs pg_leader.notify_command.
 *
 * Registered by _PG_init, run by the postmaster.  Only looks at what the
 * election's worker shows in shared memory; that worker never waits for it.
 */
#ifndef PG_LEADER_NOTIFY_H
#define PG_LEADER_NOTIFY_H

#include "utils/guc.h"

extern PGDLLEXPORT void pg_leader_notify_main(Datum argument);

/* Check hook of pg_leader.notify_command: placeholders that there are. */
extern bool notify_check_command(char **newval, void **extra, GucSource source);

#endif /* PG_LEADER_NOTIFY_H */
