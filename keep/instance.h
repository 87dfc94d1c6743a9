/*
 * keep/instance.h
 *	  A PostgreSQL that replays WAL of the archive on a copy of data, up to one point.
 *
 * It has configuration files of its own, and none of the member's that the data come from: it
 * does not preload pg_leader, so it is no second member of that id; it archives nothing, follows
 * nobody, waits for nobody, runs no subscriptions, and listens on a private socket alone.
 *
 *	  <directory>/postgresql.conf, pg_hba.conf, pg_ident.conf
 *	  <directory>/log, log.before	of this start, and of the one before
 *	  <directory>/lock				locked by whoever starts it, and by all of its processes
 *	  <directory>/opened			it has come to its point since it was started
 *	  <directory>/served			it has done so at least once
 *	  <directory>/.s.PGSQL.5432		the socket
 *
 * Called by full_backup, restore, drill, get_restored_path, del_restored.
 */
#ifndef PG_LEADER_INSTANCE_H
#define PG_LEADER_INSTANCE_H

#include <libpq-fe.h>
#include <sys/types.h>

#include "archive.h"
#include "control.h"

#define INSTANCE_PORT	   5432
#define INSTANCE_NAME_SIZE 64

/* Where it stops: behind the restore point of that name, or else behind a record. */
typedef struct InstanceTarget
{
	char	 name[INSTANCE_NAME_SIZE]; /* empty: none */
	uint64_t record;				   /* where that begins */
	uint32_t timeline;
	bool	 shuts_down; /* there, instead of serving read-only */
	bool	 is_unsafe;	 /* its data are thrown away: nothing is flushed */
} InstanceTarget;

typedef struct Instance
{
	const Archive *archive;
	char		   directory[STORE_PATH_SIZE];
	char		   data[STORE_PATH_SIZE];
	char		   upper[STORE_PATH_SIZE]; /* where files that it writes are seen from outside */
	InstanceTarget target;
	pid_t		   pid; /* of the postmaster that this process has started; 0: none */
	int			   lock_fd;
} Instance;

typedef enum InstanceEnd
{
	INSTANCE_FAILED = 0, /* words */
	INSTANCE_PAUSED,	 /* it serves, read-only, at its point */
	INSTANCE_PROMOTED,	 /* at its point, but it could serve only by ending recovery there */
	INSTANCE_SHUT_DOWN	 /* there */
} InstanceEnd;

/* What is known of one in that directory; false: its path is too long, with words. */
extern bool instance_init(Instance *instance, const Archive *archive, const char *directory, const char *data, const char *upper, Words *words);

/* Where PostgreSQL's programs are: beside this one.  Not freed. */
extern const char *instance_programs(void);

/* Once, before its first start: it begins by replaying WAL. */
extern bool instance_arm(const Instance *instance, Words *words);

/*
 * Lock it; false: it runs, or somebody else is at it.  Anything that this process starts has the lock, too.
 * As long as this process has it, instance_is_running() is true as well.
 */
extern bool instance_lock(Instance *instance);
extern void instance_unlock(Instance *instance);
extern bool instance_is_running(const Instance *instance);

/*
 * Start it, locked, and wait until it is where it should be, "timeout" us at most.  "ends_with_us":
 * it is stopped when this process ends; else it goes on.  Figures that are too low for WAL on the way are
 * raised.  After INSTANCE_FAILED nothing runs.
 */
extern InstanceEnd instance_open(Instance *instance, bool ends_with_us, uint64_t timeout, Words *words);

/* That of one which another process has started. */
extern InstanceEnd instance_await(Instance *instance, uint64_t timeout, Words *words);

/* Has it come to its point since it was started?  And ever, so that somebody may have used it? */
extern bool instance_is_opened(const Instance *instance);
extern bool instance_has_served(const Instance *instance);

/* Stop it, whoever has started it: at once, or with its data flushed.  true: nothing of it runs. */
extern bool instance_stop(Instance *instance, bool at_once, Words *words);

/* "host=... port=5432 dbname=postgres" */
extern void instance_conninfo(const Instance *instance, char *conninfo, size_t size);

#endif /* PG_LEADER_INSTANCE_H */
