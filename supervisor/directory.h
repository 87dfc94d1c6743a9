/*
 * supervisor/directory.h
 *	  The data directory of a server that does not run, and the lock of its supervisor.
 *
 * Looks, and prepares a start as a standby (rule 19).  Changes nothing else in a data
 * directory, and nothing at all while a postmaster runs there.  Called by main.c and
 * supervise.c.
 */
#ifndef PG_LEADER_DIRECTORY_H
#define PG_LEADER_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../node/words.h"

/*
 * There is one supervisor for a member: "<state_directory>/node-<id>.supervisor", locked
 * for as long as this process lives.  Makes the directory if only that is missing.
 */
extern bool directory_lock(const char *state_directory, int node_id, Words *words);

/* In a job's process before it is begun: it, and what it starts, hold the lock, too. */
extern void directory_share_lock(void);

/* What pg_control and backup_label say; all zero: there is no pg_control that this major can use. */
typedef struct DirectoryControl
{
	uint64_t system_id;
	uint32_t segment_size;
	uint32_t timeline;			  /* the highest that it speaks of */
	bool	 is_one_timeline;	  /* its checkpoint is of that one */
	bool	 is_stopped_standby;  /* shut down in recovery */
	bool	 is_archive_recovery; /* in archive recovery */
	bool	 has_backup_label;
} DirectoryControl;

extern DirectoryControl directory_control(const char *directory);

/*
 * false: it has what is nobody's to replace: data of another major version of PostgreSQL than this
 * program's, or directories that are none of PostgreSQL's.
 */
extern bool directory_is_ours(const char *directory, Words *words);

/* The major version of PostgreSQL that this program was built for. */
extern uint32_t directory_major(void);

/* Is it the working directory of that process, as of those of a server? */
extern bool directory_has(const char *directory, pid_t pid);

/* The process that runs as postmaster there, by its postmaster.pid; 0: none. */
extern pid_t directory_postmaster(const char *directory);

/* A postmaster.pid that names an innocent process is removed. */
extern bool directory_remove_stale_pid(const char *directory, Words *words);

/*
 * That, and make it start as a standby: standby.signal is there, and a "promote" file is not.
 */
extern bool directory_prepare(const char *directory, Words *words);

/* Has its pg_wal room for two segments?  Also true if that cannot be found out. */
extern bool directory_has_room(const char *directory);

#endif /* PG_LEADER_DIRECTORY_H */
