/*
 * node/defaults.h
 *	  What the settings of a member are where nobody has set them, and their ranges.
 *
 * The library defines its settings with these.  A program that asks for settings without
 * the library (postgres -C) is told nothing of those that are not set, and takes them from
 * here.  Times are milliseconds.
 */
#ifndef PG_LEADER_DEFAULTS_H
#define PG_LEADER_DEFAULTS_H

#define DEFAULT_NODE_ID		   (-1) /* not set */
#define DEFAULT_CLUSTER		   ""
#define DEFAULT_CLUSTER_NAME   "pg_leader"
#define DEFAULT_LISTEN_ADDRESS ""

/* Below the data directory. */
#define DEFAULT_STATE_DIRECTORY "pg_leader"
#define DEFAULT_SECRET_FILE		""

#define DEFAULT_REPLICATION_CONNINFO ""

/* kB/s, as pg_basebackup takes it; 0: none. */
#define DEFAULT_CLONE_MAX_RATE 0
#define LEAST_CLONE_MAX_RATE   32
#define MOST_CLONE_MAX_RATE	   1048576

#define DEFAULT_HTTP_LISTEN ""

#define DEFAULT_NOTIFY_COMMAND ""
#define DEFAULT_NOTIFY_TIMEOUT 10000
#define LEAST_NOTIFY_TIMEOUT   100
#define MOST_NOTIFY_TIMEOUT	   600000

#define DEFAULT_MIN_TIMEOUT 200
#define LEAST_MIN_TIMEOUT	5
#define MOST_MIN_TIMEOUT	600000

#define DEFAULT_MAX_TIMEOUT 400
#define LEAST_MAX_TIMEOUT	6
#define MOST_MAX_TIMEOUT	600000

#define DEFAULT_HEARTBEAT_INTERVAL 50
#define LEAST_HEARTBEAT_INTERVAL   1
#define MOST_HEARTBEAT_INTERVAL	   60000

/* A fraction. */
#define DEFAULT_MAX_CLOCK_DRIFT 0.10
#define LEAST_MAX_CLOCK_DRIFT	0.0
#define MOST_MAX_CLOCK_DRIFT	0.5

#endif /* PG_LEADER_DEFAULTS_H */
