/*
 * server/library.h
 *	  Which copy of the library this is, and the processes that it registers.
 *
 * A file of the library can be there twice, and a server can load both: one by
 * shared_preload_libraries, the other for an SQL function or a background worker.
 * Only the first has settings and shared memory; the other one says so and does
 * nothing else.
 */
#ifndef PG_LEADER_LIBRARY_H
#define PG_LEADER_LIBRARY_H

/* By _PG_init while libraries are preloaded; false: another copy is preloaded already. */
extern bool library_preload(void);

/* By _PG_init: let the postmaster start the processes of pg_leader. */
extern void library_register_workers(void);

/* Was there room for all of them?  Else max_worker_processes is too small. */
extern bool library_has_all_workers(void);

/* First of all in a background worker: does not return in a copy that is not preloaded. */
extern void library_check_worker(void);

/* For an SQL function that finds no shared memory: an error that says why. */
extern _Noreturn void library_refuse(void);

#endif /* PG_LEADER_LIBRARY_H */
