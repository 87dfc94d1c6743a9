/*
 * server/worker.h
 *	  The door to the worker, run by the postmaster; and how processes are registered
 *	  by _PG_init.
 */
#ifndef PG_LEADER_WORKER_H
#define PG_LEADER_WORKER_H

/*
 * Register one of this module's processes: it starts with the postmaster, uses no
 * database, and is started again a second after its end.  "name" is shown in the
 * process list, "function" is its main function.
 */
extern void worker_register(const char *name, const char *function);

extern PGDLLEXPORT void pg_leader_worker_main(Datum argument);

#endif /* PG_LEADER_WORKER_H */
