/*
 * server/library.c
 *	  Which copy of the library this is, and the processes that it registers.
 *
 * See library.h.  The copy that is preloaded leaves its path in a rendezvous
 * variable, which each process inherits, and names itself by that path when it
 * registers its workers: "pg_leader" alone would be whatever lies in $libdir.
 */
#include "postgres.h"

#include <dlfcn.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"

#include "server/compat.h"
#include "server/library.h"
#include "server/settings.h"

#define ELECTION_WORKER "pg_leader"

static const struct
{
	const char *name;
	const char *function;
} workers[] = {
	{ELECTION_WORKER, "pg_leader_worker_main"},
	{"pg_leader recorder", "pg_leader_recorder_main"},
	{"pg_leader role", "pg_leader_role_main"}, /* last: in managed mode only */
};

static int
n_workers(void)
{
	return settings.manage ? (int) lengthof(workers) : (int) lengthof(workers) - 1;
}

static bool is_preloaded = false;	/* this copy */
static bool has_all_workers = true; /* as each process inherits it */

/* Where this copy was loaded from. */
static const char *
own_path(void)
{
	Dl_info info;

	return dladdr(&is_preloaded, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "pg_leader";
}

/* Where the copy that is preloaded was loaded from; NULL: none is. */
static const char **
preloaded_path(void)
{
	return (const char **) find_rendezvous_variable("pg_leader library");
}

bool
library_preload(void)
{
	if (*preloaded_path() != NULL)
	{
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("pg_leader: \"%s\" is not used, because shared_preload_libraries has loaded another copy before",
						own_path()),
				 errdetail("The copy in use is \"%s\".", *preloaded_path()),
				 errhint("Name pg_leader once in shared_preload_libraries.")));
		return false;
	}
	*preloaded_path() = own_path();
	is_preloaded = true;
	return true;
}

static void
register_worker(const char *name, const char *function)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_PostmasterStart;
	worker.bgw_restart_time = 1;

	/* a path that does not fit: library_check_worker() finds out where the name leads */
	if (strlcpy(worker.bgw_library_name, own_path(), sizeof(worker.bgw_library_name)) >=
		sizeof(worker.bgw_library_name))
		strlcpy(worker.bgw_library_name, "pg_leader", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, name, sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, name, sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

/* Is it among those that the postmaster has taken? */
static bool
is_registered(const char *function)
{
	compat_bgworker_iter iter;

	compat_foreach_bgworker(iter)
	{
		if (strcmp(compat_bgworker(iter)->rw_worker.bgw_function_name, function) == 0)
			return true;
	}
	return false;
}

/*
 * PostgreSQL drops what does not fit with a line in the log that does not name it.
 */
static void
check_registered(const char *name, const char *function)
{
	if (is_registered(function))
		return;
	has_all_workers = false;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("pg_leader: there is no room for the background worker \"%s\"", name),
			 strcmp(name, ELECTION_WORKER) == 0 ? errdetail("This server does not take part in elections.") : errdetail("Elections do not need it, what it does is missing."),
			 errhint("Increase max_worker_processes, of which pg_leader uses %d, and restart the server.",
					 n_workers())));
}

bool
library_has_all_workers(void)
{
	return has_all_workers;
}

void
library_register_workers(void)
{
	int i;

	/* pg_upgrade runs two servers with one set of settings: neither may be a member */
	if (IsBinaryUpgrade)
		return;
	for (i = 0; i < n_workers(); i++)
	{
		register_worker(workers[i].name, workers[i].function);
		check_registered(workers[i].name, workers[i].function);
	}
}

void
library_check_worker(void)
{
	if (is_preloaded)
		return;

	/* all of them are in the same copy: one says so for all */
	if (strcmp(MyBgworkerEntry->bgw_name, ELECTION_WORKER) == 0)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("pg_leader: this server does not take part in elections: its worker was started in another copy of the library than the preloaded one"),
				 errdetail("The preloaded copy is \"%s\", that of the worker is \"%s\".",
						   *preloaded_path() != NULL ? *preloaded_path() : "unknown", own_path()),
				 errhint("Set shared_preload_libraries to 'pg_leader', or to a path shorter than %d bytes, and restart the server.",
						 (int) sizeof(MyBgworkerEntry->bgw_library_name))));

	/*
	 * After 0 the postmaster does not start it again.  That is right here, and nowhere
	 * else: which copy is preloaded does not change until the server restarts, so that
	 * each further start would end like this one.
	 */
	proc_exit(0);
}

void
library_refuse(void)
{
	if (*preloaded_path() != NULL && !is_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this function is in another copy of the pg_leader library than the preloaded one"),
				 errdetail_log("The preloaded copy is \"%s\", that of the function is \"%s\".",
							   *preloaded_path(), own_path()),
				 errhint("Set shared_preload_libraries to 'pg_leader', or remove the second copy, and restart the server.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("pg_leader must be loaded via shared_preload_libraries"),
			 errhint("Add pg_leader to shared_preload_libraries and restart the server.")));
}
