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

#include "server/exchange.h"
#include "server/fence.h"
#include "server/library.h"
#include "server/login.h"
#include "server/parent.h"
#include "server/promotion.h"
#include "server/receiver.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/switchover.h"

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
	if (settings.manage)
	{
		exchange_request_memory();
		promotion_request_memory();
		fence_request_memory();
		switchover_request_memory();
	}
}

static void
init_memory(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	/* not in _PG_init, which "postgres -C" also calls, to tell settings while the server is down */
	if (IsPostmasterEnvironment && !IsBinaryUpgrade)
		parent_take();
	shared_init_memory();
	if (settings.manage)
	{
		exchange_init_memory();
		promotion_init_memory();
		fence_init_memory();
		switchover_init_memory();
	}
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress || !library_preload())
		return;

	settings_define();
	if (settings.manage)
	{
		promotion_register();
		receiver_register();
		fence_register();
		login_register();
	}

	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = init_memory;

	library_register_workers();
}
