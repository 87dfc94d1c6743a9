/*
 * server/compat.h
 *	  What differs between the PostgreSQL majors that the module builds on.
 *
 * Included by the files in server/ after postgres.h; the only place with
 * conditionals on PG_VERSION_NUM.  Nothing of pg_leader's own belongs here.
 */
#ifndef PG_LEADER_COMPAT_H
#define PG_LEADER_COMPAT_H

#include "postmaster/bgworker_internals.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "pg_leader needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

/* "extra" of a check hook: must be freed with the matching allocator. */
#if PG_VERSION_NUM >= 160000
#define compat_guc_malloc(size)	 guc_malloc(LOG, (size))
#define compat_guc_free(pointer) guc_free(pointer)
#else
#define compat_guc_malloc(size)	 malloc(size)
#define compat_guc_free(pointer) free(pointer)
#endif

/* What PostgreSQL knows of a setting; it exists. */
static inline const struct config_generic *
compat_guc(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, false, ERROR);
#else
	struct config_generic **settings = get_guc_variables();

	while (strcmp((*settings)->name, name) != 0)
		settings++;
	return *settings;
#endif
}

/* A wait event set that lives as long as the process. */
#if PG_VERSION_NUM >= 170000
#define compat_create_wait_event_set(n_events) \
	CreateWaitEventSet(NULL, (n_events))
#define compat_wait_event(name) WaitEventExtensionNew(name)
#else
#define compat_create_wait_event_set(n_events) \
	CreateWaitEventSet(TopMemoryContext, (n_events))
#define compat_wait_event(name) PG_WAIT_EXTENSION
#endif

/* The background workers that the postmaster has taken. */
#if PG_VERSION_NUM >= 180000
#define compat_bgworker_iter		  dlist_iter
#define compat_foreach_bgworker(iter) dlist_foreach(iter, &BackgroundWorkerList)
#define compat_bgworker(iter)		  dlist_container(RegisteredBgWorker, rw_lnode, (iter).cur)
#else
#define compat_bgworker_iter		  slist_iter
#define compat_foreach_bgworker(iter) slist_foreach(iter, &BackgroundWorkerList)
#define compat_bgworker(iter)		  slist_container(RegisteredBgWorker, rw_lnode, (iter).cur)
#endif

/* How a WAL receiver connects. */
#if PG_VERSION_NUM >= 170000
#define COMPAT_WALRCV_CONNECT_PARAMETERS \
	const char *conninfo, bool replication, bool logical, bool must_use_password, const char *appname, char **err
#define COMPAT_WALRCV_CONNECT_ARGUMENTS conninfo, replication, logical, must_use_password, appname, err
#elif PG_VERSION_NUM >= 160000
#define COMPAT_WALRCV_CONNECT_PARAMETERS \
	const char *conninfo, bool logical, bool must_use_password, const char *appname, char **err
#define COMPAT_WALRCV_CONNECT_ARGUMENTS conninfo, logical, must_use_password, appname, err
#else
#define COMPAT_WALRCV_CONNECT_PARAMETERS const char *conninfo, bool logical, const char *appname, char **err
#define COMPAT_WALRCV_CONNECT_ARGUMENTS	 conninfo, logical, appname, err
#endif

/* Replication slots: what became of one, and what 17 has beside. */
#if PG_VERSION_NUM >= 170000
#include "replication/slotsync.h"
#define compat_create_slot(name, persistency) ReplicationSlotCreate((name), false, (persistency), false, false, false)
#define compat_slot_failover(data)			  ((data)->failover)
#define compat_slot_synced(data)			  ((data)->synced)
#define compat_slot_was_used(slot, at)		  ((slot)->inactive_since = (at))
#define compat_synchronizes_slots()			  (sync_replication_slots)
#else
#define compat_create_slot(name, persistency) ReplicationSlotCreate((name), false, (persistency), false)
#define compat_slot_failover(data)			  (false)
#define compat_slot_synced(data)			  (false)
#define compat_slot_was_used(slot, at)		  ((void) (at))
#define compat_synchronizes_slots()			  (false)
#endif
#if PG_VERSION_NUM >= 160000
#define compat_slot_is_invalid(data) ((data)->invalidated != RS_INVAL_NONE)
#else
#define compat_slot_is_invalid(data) (false)
#endif

/* A message of no transaction. */
#if PG_VERSION_NUM >= 170000
#define compat_log_message(prefix, text, size) LogLogicalMessage((prefix), (text), (size), false, true)
#else
#define compat_log_message(prefix, text, size) LogLogicalMessage((prefix), (text), (size), false)
#endif

/* What pg_stat_activity shows, one process after the other. */
#if PG_VERSION_NUM >= 160000
#define compat_backend_status(i) pgstat_get_local_beentry_by_index(i)
#else
#define compat_backend_status(i) pgstat_fetch_stat_local_beentry(i)
#endif

/* Is this an autovacuum process? */
#if PG_VERSION_NUM >= 170000
#define compat_is_autovacuum() (AmAutoVacuumWorkerProcess() || AmAutoVacuumLauncherProcess())
#else
#include "postmaster/autovacuum.h"
#define compat_is_autovacuum() (IsAutoVacuumWorkerProcess() || IsAutoVacuumLauncherProcess())
#endif

/* The number of this process among all that the server can have. */
#if PG_VERSION_NUM >= 170000
#define compat_proc_number() (MyProcNumber)
#else
#define compat_proc_number() (MyProc != NULL ? MyProc->pgprocno : -1)
#endif

#endif /* PG_LEADER_COMPAT_H */
