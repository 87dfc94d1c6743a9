/*
 * node/upstream.h
 *	  What is asked of another member's PostgreSQL: where its WAL ends, histories, bytes.
 *
 * One connection in replication mode to a database ("replication=database"), under the name
 * pg_leader_<id>_check, which counts for no commit.  libpq, with a bound on each wait, so that a leader that
 * has vanished costs no more than that.  Called by the role worker and the supervisor; neither
 * may hold anything while it asks.  No backend symbols.
 */
#ifndef PG_LEADER_UPSTREAM_H
#define PG_LEADER_UPSTREAM_H

#include "lineage.h"
#include "words.h"

#define UPSTREAM_HISTORY_SIZE (256 * 1024) /* of the longest history file that is read */
#define UPSTREAM_READ_SIZE	  (64 * 1024)  /* as much WAL is read at once */

typedef struct Upstream
{
	void	*connection; /* libpq's; NULL: none */
	int32_t	 self;
	uint64_t patience;	/* us, for the connection and for each answer */
	bool (*stop)(void); /* asked while waiting, at least every 20 ms; true ends it.  NULL: never */
} Upstream;

typedef struct UpstreamIdentity
{
	uint64_t system_id;
	uint32_t timeline;
	uint64_t flush;
	uint32_t major; /* 15 */
	bool	 in_recovery;
	uint32_t control_timeline; /* of its pg_control's checkpoint */
} UpstreamIdentity;

typedef enum UpstreamBytes
{
	UPSTREAM_READ = 0,
	UPSTREAM_HAS_NOT, /* it has answered, and has them no more, or not on that timeline */
	UPSTREAM_FAILED	  /* not known: the connection is closed */
} UpstreamBytes;

extern void upstream_init(Upstream *upstream, int32_t self, uint64_t patience, bool (*stop)(void));

/*
 * The connection string for that member: host and port, name, the user's own parameters
 * (user, passfile, sslmode ...) and keepalives, where those do not set them.  Which server it
 * is and what for is not theirs to say: host, hostaddr, port, dbname, replication,
 * application_name, options and services are refused with words.  "name": "pg_leader_3"; what
 * primary_conninfo needs as well.
 */
extern bool upstream_conninfo(const char *parameters, const char *host, uint16_t port, const char *name,
							  char *conninfo, size_t size, Words *words);

/* The role of such connections: user, or else libpq's default; false if that is not known. */
extern bool upstream_user(const char *parameters, char *user, size_t size);

/*
 * Connect, unless it is connected, to whomever that is.  libpq looks names up by itself: that
 * takes as long as the system's resolver does, whatever the patience is.  false, with words;
 * so after every function here that fails, which closes the connection.
 */
extern bool upstream_connect(Upstream *upstream, const char *conninfo, Words *words);
extern bool upstream_identify(Upstream *upstream, UpstreamIdentity *identity, Words *words);

/*
 * The answer to a query with one row and one column, NULL as '', into text (size bytes, the zero byte
 * included).  It runs in the database "postgres".
 */
extern bool upstream_ask(Upstream *upstream, const char *query, char *text, size_t size, Words *words);

/*
 * A history file's text into *text (UPSTREAM_HISTORY_SIZE bytes), its length in *length;
 * length 0 and true: it has none.
 */
extern bool upstream_history(Upstream *upstream, uint32_t timeline, char *text, size_t *length, Words *words);

/*
 * WAL from "from" up to "end", all on that timeline, at most UPSTREAM_READ_SIZE bytes.  What it
 * has not flushed yet is waited for, but it has nothing that begins beyond what it has flushed.
 * Words but for UPSTREAM_READ.
 */
extern UpstreamBytes upstream_read(Upstream *upstream, uint32_t timeline, uint64_t from, uint64_t end,
								   char *bytes, Words *words);

extern void upstream_close(Upstream *upstream);

#endif /* PG_LEADER_UPSTREAM_H */
