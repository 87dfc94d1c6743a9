/*
 * server/settings.h
 *	  The pg_leader.* settings: definition, single checks, and what they add up to.
 *
 * Defined by _PG_init, read by the worker and the SQL functions.  A value that
 * is wrong by itself is refused by its check hook.  Invalid combinations are found by
 * settings_config(), which the worker calls: it can then keep
 * out of the election while the server runs on.
 */
#ifndef PG_LEADER_SETTINGS_H
#define PG_LEADER_SETTINGS_H

#include "../node/cluster.h"
#include "../node/store.h"

typedef struct Settings
{
	int	   node_id; /* -1: not set */
	char  *cluster;
	char  *cluster_name;
	char  *listen_address;
	char  *state_directory;
	char  *secret_file;
	int	   min_timeout;		   /* ms */
	int	   max_timeout;		   /* ms */
	int	   heartbeat_interval; /* ms */
	double max_clock_drift;
	bool   candidate;
	bool   log_messages;
	char  *notify_command;
	int	   notify_timeout; /* ms */
	char  *http_listen;	   /* the supervisor's */

	/* Managed mode. */
	bool  manage;
	char *replication_conninfo;
	int	  clone_max_rate; /* kB/s; 0: none.  The supervisor's */
	int	  open_timeout;	  /* ms */
	int	  health_timeout; /* ms */
	bool  allow_timeline_gap;
	int	  fence_wait; /* ms; -1: fence_wait_limit() says */
	bool  read_fence;
	bool  allow_local_commit;
	char *fence_exempt_roles;
	int	  receiver; /* of which member a walsender's client is; -1: of none */
} Settings;

extern Settings settings;

/* Define them all.  Only while shared_preload_libraries is loaded. */
extern void settings_define(void);

/* The member list that pg_leader.cluster holds, or NULL if that is empty. */
extern const Cluster *settings_cluster(void);

/* The timeouts as they are set now. */
extern void settings_timeouts(RaftTimeouts *timeouts);

/*
 * Put a configuration together, all but incarnation, seed and list_appended.
 * false: *words says what cannot work.
 */
extern bool settings_config(RaftConfig *config, Words *words);

/* The state directory as an absolute path; false if it is too long. */
extern bool settings_state_directory(char *path, size_t size);

/* The same for the file of the keys.  Not to be asked when secret_file is empty. */
extern bool settings_secret_file(char *path, size_t size);

#endif /* PG_LEADER_SETTINGS_H */
