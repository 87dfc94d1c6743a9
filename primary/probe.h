/*
 * primary/probe.h
 *	  What a load balancer asks a server by HTTP, and which status it gets.
 *
 * Paths, queries and statuses are Patroni's, so that what was configured for Patroni works
 * unchanged.  What is asked comes from anybody: probe_read() takes any bytes.  Called by the
 * supervisor.  Pure C11: no input or output, no clock, no allocation.
 *
 * "Primary" means that a commit would be answered: the fence is open in the term of a lease that
 * holds at the instant of the facts (rule 16).  What is not known counts as no.
 */
#ifndef PG_LEADER_PROBE_H
#define PG_LEADER_PROBE_H

#include "../node/board.h"

/* ---- what is asked ---- */

/* A request's line and headers may have so many bytes. */
#define PROBE_MOST_BYTES 8192

typedef enum ProbeRead
{
	PROBE_MORE = 0, /* it is not all there yet */
	PROBE_WHOLE,
	PROBE_BAD /* this is no HTTP */
} ProbeRead;

typedef enum ProbeMethod
{
	PROBE_GET = 0,
	PROBE_HEAD, /* these two get no body */
	PROBE_OPTIONS,
	PROBE_CHANGES /* any other */
} ProbeMethod;

typedef enum ProbePath
{
	PROBE_UNKNOWN = 0,
	PROBE_PRIMARY,
	PROBE_LEADER, /* where pg_leader only elects: has the lease */
	PROBE_REPLICA,
	PROBE_READ_ONLY, /* replica or primary */
	PROBE_SYNC,		 /* a replica that streams: each of those counts for commits */
	PROBE_READ_ONLY_SYNC,
	PROBE_ASYNC,
	PROBE_STANDBY_LEADER, /* no: there are no standby clusters */
	PROBE_HEALTH,		  /* the server runs, and lets sessions in */
	PROBE_LIVENESS,		  /* the supervisor runs */
	PROBE_READINESS,	  /* primary, or a replica that streams and is not far behind */
	PROBE_PATRONI,		  /* these are always answered */
	PROBE_CLUSTER,
	PROBE_METRICS,
	PROBE_ORDER /* switchover and the like */
} ProbePath;

typedef struct ProbeRequest
{
	ProbeMethod method;
	ProbePath	path;
	bool		has_lag;
	uint64_t	lag;		 /* bytes that a replica may be behind */
	bool		by_received; /* of what was received, not replayed */
	bool		streaming;	 /* it has to stream */
	bool		impossible;	 /* or in another state: those are not known here */
	bool		has_tag;	 /* there are none here */
	bool		is_wrong;	 /* a value that cannot be read */
} ProbeRequest;

/* Of "length" bytes that have come.  The request is set with PROBE_WHOLE only. */
extern ProbeRead probe_read(const char *bytes, size_t length, ProbeRequest *request);

/* ---- what is known ---- */

/* In which state a server is, as its supervisor sees it. */
typedef enum ProbeServer
{
	PROBE_STOPPED = 0,
	PROBE_REBUILDS, /* its data are being replaced */
	PROBE_RUNS,		/* its processes are there */
	PROBE_STOPS
} ProbeServer;

typedef struct ProbeFacts
{
	uint64_t	now; /* the instant of all that follows */
	bool		managed;
	ProbeServer process;
	BoardShown	election; /* lease_until 0: there is none now */
	BoardServer server;	  /* all zero: not known */
} ProbeFacts;

/* Would a commit be answered? */
extern bool probe_is_open(const ProbeFacts *facts);

/* Is it a standby that lets sessions in? */
extern bool probe_is_replica(const ProbeFacts *facts);

/* How far it is behind what its leader had when it said so last; false: that is too long ago. */
extern bool probe_lag(const ProbeFacts *facts, bool by_received, uint64_t *lag);

/* The state in Patroni's words. */
extern const char *probe_state(const ProbeFacts *facts);

/* 200 or 503; 400: a value is wrong; 404: no such path; 405, 501: nothing is changed by HTTP. */
extern int probe_status(const ProbeRequest *request, const ProbeFacts *facts);

/*
 * What a member knows of the others.  members: room for RAFT_MAX_NODES.  Where their WAL ends is
 * known to a leader only.
 */
extern void probe_members(const Raft *raft, BoardMember *members);

#endif /* PG_LEADER_PROBE_H */
