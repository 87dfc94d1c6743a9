/*
 * server/worker.h
 *	  The door to the worker.
 *
 * Registered by _PG_init, run by the postmaster.
 */
#ifndef PG_LEADER_WORKER_H
#define PG_LEADER_WORKER_H

extern PGDLLEXPORT void pg_leader_worker_main(Datum argument);

#endif /* PG_LEADER_WORKER_H */
