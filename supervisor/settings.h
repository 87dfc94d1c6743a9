/*
 * supervisor/settings.h
 *	  What the supervisor has to know of its server's configuration.
 *
 * There is one configuration, PostgreSQL's, and PostgreSQL is asked for it: see inquiry.h, which
 * also says how long that may take.  Called by main.c and supervise.c.
 */
#ifndef PG_LEADER_SUPERVISOR_SETTINGS_H
#define PG_LEADER_SUPERVISOR_SETTINGS_H

#include "../node/cluster.h"
#include "../node/store.h"
#include "command.h"

#define LISTEN_ADDRESS_SIZE		  64
#define REPLICATION_CONNINFO_SIZE 1024
#define NOTIFY_COMMAND_SIZE		  8192
#define HTTP_LISTEN_SIZE		  1024

typedef struct SupervisorSettings
{
	char		 data_directory[STORE_PATH_SIZE]; /* where the data are; a Command's may have the configuration only */
	bool		 manage;
	int			 node_id;
	Cluster		 cluster;
	char		 cluster_name[CLUSTER_NAME_MAX + 1];
	char		 listen_address[LISTEN_ADDRESS_SIZE]; /* empty: the member's entry in the list */
	char		 state_directory[STORE_PATH_SIZE];	  /* absolute */
	char		 secret_file[STORE_PATH_SIZE];		  /* absolute; empty: no authentication */
	char		 replication_conninfo[REPLICATION_CONNINFO_SIZE];
	int			 clone_max_rate; /* kB/s; 0: none */
	RaftTimeouts timeouts;
	char		 notify_command[NOTIFY_COMMAND_SIZE]; /* empty: none */
	uint64_t	 notify_timeout;					  /* us */
	char		 http_listen[HTTP_LISTEN_SIZE];		  /* empty: nowhere; else listen_parse() can read it */
} SupervisorSettings;


/* false: *words says what cannot be. */
extern bool supervisor_settings_read(const Command *command, SupervisorSettings *settings, Words *words);

/*
 * The last three of them alone, what of the supervisor's own can change at any time, and the member
 * list where a reload of the server changes it: manage is off.  false: they may be half read.
 */
extern bool supervisor_settings_read_own(const Command *command, SupervisorSettings *settings, Words *words);

#endif /* PG_LEADER_SUPERVISOR_SETTINGS_H */
