/*
 * server/role_worker.h
 *	  The background worker that makes of this server what it should be (managed mode).
 */
#ifndef PG_LEADER_ROLE_WORKER_H
#define PG_LEADER_ROLE_WORKER_H

#include "postgres.h"

extern PGDLLEXPORT void pg_leader_role_main(Datum argument);

#endif /* PG_LEADER_ROLE_WORKER_H */
