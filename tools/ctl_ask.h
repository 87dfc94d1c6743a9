/*
 * tools/ctl_ask.h
 *	  Asks the servers of a cluster about themselves, all at the same time.
 *
 * For pg_leaderctl, which decides what to make of the answers.  A round begins with the
 * servers that the user has named.  The first of them that answers tells the member list, and the
 * rest of the members are asked from then on.  Nothing is changed on any server.
 *
 * Each server has as long as the user allows, from the moment that it is asked.  So a round with
 * servers that do not answer takes two or three times as long at most.
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include "ctl_options.h"

#define CTL_MAX_SERVERS (4 * RAFT_MAX_NODES)
#define CTL_ERROR_SIZE	512
#define CTL_SCHEMA_SIZE 160

/* What a server is asked, and the columns of the answer; the queries are in ctl_query.c. */
typedef enum CtlAnswer
{
	CTL_OWN = 0, /* one row: itself */
	CTL_PEERS,	 /* a row for each member, as it sees them */
	CTL_SENDERS, /* a row for each of its walsenders to a member */
	CTL_EVENTS,	 /* its last events, newest first */
	CTL_ANSWERS
} CtlAnswer;

typedef enum CtlOwnColumn
{
	OWN_NODE,
	OWN_STATE,
	OWN_ELECTION_ROLE,
	OWN_LEADER,
	OWN_HAS_LEASE,
	OWN_LEASE_MS,
	OWN_ABSTAINS,
	OWN_ABSTAIN_REASON,
	OWN_WAITS_FOR,
	OWN_REFUSED_SETTINGS,
	OWN_ORDER, /* this and the next four: NULL unless managed */
	OWN_REASON,
	OWN_REASON_TEXT,
	OWN_SINCE, /* s */
	OWN_SOURCE,
	OWN_TIMELINE,
	OWN_FENCE_OPEN, /* this and the next: NULL unless managed */
	OWN_FENCE_TEXT,
	OWN_MANAGED,
	OWN_CLUSTER,
	OWN_CLUSTER_NAME,
	OWN_IN_RECOVERY,
	OWN_RECEIVES,
	OWN_REPLAY_PAUSED,
	OWN_WAL_END,  /* bytes; of a standby: replayed */
	OWN_BEHIND_S, /* age of what it replayed last; NULL: nothing is left to replay */
	OWN_PAUSED,
	OWN_AT_RISK,
	OWN_WITHOUT_MS, /* how long it has known no open primary; NULL: it knows one */
	OWN_COLUMNS
} CtlOwnColumn;

typedef enum CtlPeerColumn
{
	PEER_NODE,
	PEER_RESOLVED,
	PEER_HEARD_MS, /* NULL: never, or itself */
	PEER_REACHABLE,
	PEER_PROBLEM,
	PEER_SERVER,
	PEER_PORT,
	PEER_COLUMNS
} CtlPeerColumn;

typedef enum CtlSenderColumn
{
	SENDER_NODE,
	SENDER_STATE, /* NULL: the role may not see it, as the next two */
	SENDER_SYNC,
	SENDER_REPLAYED, /* bytes */
	SENDER_COLUMNS
} CtlSenderColumn;

typedef enum CtlEventColumn
{
	EVENT_AT, /* us since 1970 */
	EVENT_NUMBER,
	EVENT_TERM,
	EVENT_ROLE,
	EVENT_LEADER,
	EVENT_REASON,
	EVENT_COLUMNS
} CtlEventColumn;

typedef enum CtlStep
{
	CTL_CONNECTING = 0,
	CTL_PREPARING, /* it is asked where the extension is */
	CTL_ASKING,
	CTL_ANSWERED,
	CTL_FAILED
} CtlStep;

typedef struct CtlServer
{
	CtlAddress at;
	int32_t	   node_id;	   /* who should be there; RAFT_NONE: a server that the user has named */
	bool	   is_guessed; /* the port is that of another member */

	CtlStep					  step;
	bool					  timed_out; /* with CTL_FAILED */
	bool					  refused;	 /* with CTL_FAILED: the server itself has said no */
	bool					  is_other;	 /* with CTL_FAILED: it has answered, and is not that member */
	char					  error[CTL_ERROR_SIZE];
	char					  hint[CTL_ERROR_SIZE];
	PGconn					 *connection;
	PostgresPollingStatusType wants;
	uint64_t				  until;
	char					  schema[CTL_SCHEMA_SIZE];
	int						  n_answers;
	PGresult				 *answers[CTL_ANSWERS];
} CtlServer;

typedef struct CtlRound
{
	int				 n_servers;
	CtlServer		 servers[CTL_MAX_SERVERS];
	const CtlServer *first; /* member that has answered, and told the list; NULL: none has */
	Cluster			 list;

	/* Where members were found, in this round or before. */
	uint64_t   found; /* bit i: member i was */
	CtlAddress at[RAFT_MAX_NODES];
} CtlRound;

/*
 * Ask them all, and wait until each has answered or failed.  The round is that of before, or all
 * zero: members that were found before are asked at once.
 */
extern void ctl_ask(CtlRound *round, const CtlOptions *options);

/* Who has answered as that member, else who has failed as it, else NULL. */
extern const CtlServer *ctl_member(const CtlRound *round, int32_t node_id);

/* Has it answered, and by no other name before? */
extern bool ctl_counts(const CtlRound *round, const CtlServer *server);

/* A value of an answer; NULL: SQL's NULL, or no such answer or row. */
extern const char *ctl_value(const CtlServer *server, CtlAnswer answer, int row, int column);
extern int		   ctl_rows(const CtlServer *server, CtlAnswer answer);

/* The same of CTL_OWN's row.  A number that is NULL: -1. */
extern const char *ctl_own(const CtlServer *server, CtlOwnColumn column);
extern bool		   ctl_own_is(const CtlServer *server, CtlOwnColumn column);
extern int64_t	   ctl_number(const char *value);

/* The row of that member in pg_leader_peers of that server; -1: there is none. */
extern int ctl_peer_row(const CtlServer *server, int32_t node_id);

/* ---- ctl_query.c ---- */

/* Where is the extension?  Its schema, quoted, in one row; or no row. */
extern const char *ctl_query_prepare(void);

/* All that a server is asked, CTL_ANSWERS results if there are events and else one less. */
extern void ctl_query_text(char *text, size_t size, const char *schema, long events);

/* How many columns that answer has. */
extern int ctl_query_columns(CtlAnswer answer);

#endif /* CTL_ASK_H */
