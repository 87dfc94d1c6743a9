/*
 * pg_leader.c
 *	  The module's door: settings, shared memory, and the workers.
 *
 * Loaded by shared_preload_libraries, or later by a session that calls one of
 * the SQL functions.  In the second case nothing is set up, and the functions
 * say what to do.  Nothing here knows about elections.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "server/notify.h"
#include "server/recorder.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/worker.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
request_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	shared_request_memory();
}

static void
init_memory(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	shared_init_memory();
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;

	settings_define();

	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = init_memory;

	worker_register("pg_leader", "pg_leader_worker_main");
	worker_register("pg_leader recorder", "pg_leader_recorder_main");
	worker_register("pg_leader notify", "pg_leader_notify_main");
}
