/*
 * keep/session.h
 *	  Connections to the members of a cluster, and questions with a bound on each wait.
 *
 * libpq looks names of hosts up by itself: that takes as long as the system's resolver does.
 */
#ifndef PG_LEADER_KEEP_SESSION_H
#define PG_LEADER_KEEP_SESSION_H

#include <libpq-fe.h>

#include "archive.h"

#define MEMBERS_MOST	 RAFT_MAX_NODES
#define MEMBER_NAME_SIZE 280

typedef struct MemberAddress
{
	char host[256];
	char port[16];
	char name[MEMBER_NAME_SIZE]; /* "host:port", for people */
} MemberAddress;

typedef struct Members
{
	int				  n;
	MemberAddress	  at[MEMBERS_MOST];
	PQconninfoOption *options; /* what else the connection string says */
	char			  role[ARCHIVE_ROLE_SIZE];
	char			  application_name[ARCHIVE_SLOT_SIZE];
} Members;

/* What is written in keep.conf; to be freed. */
extern bool members_parse(const ArchiveSettings *settings, Members *members, Words *words);
extern void members_free(Members *members);

/*
 * Begin to connect to one of them: PQconnectPoll() is next.  With "replication", for replication
 * commands, in the same database.  The connection may have failed already; NULL: out of memory.
 */
extern PGconn *members_connect(const Members *members, int i, bool replication);

/* The same to its end, within that time, us.  NULL: words. */
extern PGconn *session_open(const Members *members, int i, bool replication, uint64_t patience, Words *words);

/*
 * One statement or replication command, and its only result: tuples, or none.  NULL: words, with
 * the server's own; "state" (6 bytes, or NULL) is then its SQLSTATE, or empty if it has not answered.
 */
extern PGresult *session_ask(PGconn *connection, const char *query, uint64_t patience, char *state, Words *words);

typedef struct SessionIdentity
{
	uint64_t system_id;
	uint32_t timeline;
	uint64_t flush;
} SessionIdentity;

/* IDENTIFY_SYSTEM, of a connection for replication. */
extern bool session_identify(PGconn *connection, uint64_t patience, SessionIdentity *identity, Words *words);

#endif /* PG_LEADER_KEEP_SESSION_H */
