/*
 * server/shared.h
 *	  What the backends can see of the member: lease, status, peers, events.
 *
 * One writer, the worker; any number of readers, the SQL functions.  The worker
 * never waits for a reader: each part has a change counter that is odd while it
 * is being written, and a reader takes its copy again if the counter moved.
 * Only the slot for requests (transfer, admit, reset), the recorder's latch, and what the
 * recorder says of the state file flow the other way.
 *
 * Nothing here decides anything.  Times named *_at or *_until are microseconds
 * of the election's clock, 0 for never.
 */
#ifndef PG_LEADER_SHARED_H
#define PG_LEADER_SHARED_H

#include "datatype/timestamp.h"

#include "../node/cluster.h"
#include "../node/journal.h"
#include "../node/store.h"
#include "../node/transport.h"
#include "refused.h"
#include "statistics.h"

#define SHARED_EVENTS		 JOURNAL_EVENTS
#define SHARED_REASON_SIZE	 JOURNAL_REASON_SIZE
#define SHARED_RESOLVED_SIZE CLUSTER_SOURCE_SIZE

/* What an event's wall clock is ahead of a timestamptz, in microseconds. */
#define SHARED_UNIX_EPOCH ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

#define SHARED_PROBLEM_SIZE 256
#define SHARED_HEALTH_SIZE	64

/*
 * NOT_RUNNING	There is no worker process at this moment.
 * STARTING		It is there, and has not decided yet.
 * NOT_TAKING_PART It waits for what keeps it out of the election to go away.
 * TAKING_PART	It follows, stands or leads.
 */
typedef enum SharedState
{
	SHARED_NOT_RUNNING = 0,
	SHARED_STARTING,
	SHARED_NOT_TAKING_PART,
	SHARED_TAKING_PART
} SharedState;

/* Written with every output of the election, before anything is sent. */
typedef struct SharedStatus
{
	SharedState state;
	char		why[WORDS_SIZE]; /* with NOT_TAKING_PART */

	int32_t		 node_id; /* as it is set; -1: not set */
	RaftRole	 role;
	uint64_t	 term;
	int32_t		 leader_id;
	int32_t		 voted_for;
	uint32_t	 n_members;
	uint32_t	 quorum;
	RaftAbstain	 abstaining;
	uint64_t	 abstain_until; /* 0: still waits for answers */
	uint64_t	 abstain_peers; /* bit i: it waits for i's answer */
	bool		 abstain_word;	/* it waits for pg_leader_admit() */
	uint64_t	 promise_until;
	uint64_t	 boot;
	bool		 may_lead;
	bool		 paused;	  /* raft_in_pause() */
	bool		 pause_known; /* raft_pause_is_known() */
	RaftTimeouts timeouts;
	TimestampTz	 since; /* when the role was taken up */
} SharedStatus;

typedef struct SharedPeer
{
	int32_t	 node_id;
	char	 address[CLUSTER_ADDRESS_SIZE];	 /* as in the list */
	char	 resolved[SHARED_RESOLVED_SIZE]; /* empty: not known yet */
	uint64_t heard_at;
	uint64_t round_trip; /* us; 0: not known */
	uint64_t term;
	bool	 abstaining;
	bool	 may_lead;
	bool	 other_list;
	bool	 other_version;
	uint8_t	 key_id; /* of the last datagram from it, of ours for this member; 0: none */

	/* What it says of its PostgreSQL (managed). */
	bool	   managed;
	bool	   rebuilding;
	RaftServer server;
	uint16_t   port; /* that it last named; 0: none yet */

	char problem[SHARED_PROBLEM_SIZE]; /* in what it differs; empty: in nothing */
} SharedPeer;

/* Written once for each time that the worker wakes up. */
typedef struct SharedDetail
{
	char			  store_path[STORE_PATH_SIZE];
	char			  store_health[SHARED_HEALTH_SIZE];
	bool			  authentication;
	char			  refused[REFUSED_SIZE]; /* settings whose new values are not in force */
	TimestampTz		  stats_reset;
	uint64_t		  wakeups;
	RaftCounters	  raft;
	TransportCounters transport;
	uint32_t		  n_peers;
	SharedPeer		  peers[RAFT_MAX_NODES]; /* last: only n_peers are copied */
} SharedDetail;

/*
 * The last transitions.  In one, lease_start says when a lease was first shown, lease_end
 * until when it was good: when it ran out or was given up, whichever was first.
 */
typedef struct SharedEvents
{
	uint64_t	 n_written;				   /* the last number; N is in entry N - 1, modulo the size, or nowhere */
	uint8_t		 boot_id[JOURNAL_BOOT_ID]; /* of the events of this start of the machine */
	JournalEvent of[SHARED_EVENTS];
} SharedEvents;

/* The state file, for the process that looks after it. */
typedef struct SharedStore
{
	bool  is_held; /* the worker has it open, and so locked */
	dev_t device;
	ino_t inode;
	char  path[STORE_PATH_SIZE];
} SharedStore;

typedef enum SharedRequestKind
{
	SHARED_TRANSFER = 1,
	SHARED_ADMIT,
	SHARED_TRUST_DATA,
	SHARED_PAUSE,
	SHARED_RESUME,
	SHARED_RESET_STATISTICS
} SharedRequestKind;

typedef struct SharedRequest
{
	uint64_t		  number;
	SharedRequestKind kind;
	int32_t			  target;	/* of a transfer; RAFT_NONE: the best peer */
	uint64_t		  deadline; /* nobody waits for it any more after that */
} SharedRequest;

typedef enum SharedVerdict
{
	SHARED_DONE = 0,
	SHARED_REFUSED,	  /* transfer: see result; pause, resume: see pause.  admit: not abstaining.  trust: see raft_trust_data() */
	SHARED_NO_MEMBER, /* the worker takes no part, or has just ended */
	SHARED_NO_ANSWER  /* the worker did not answer in time */
} SharedVerdict;

typedef struct SharedAnswer
{
	SharedVerdict	   verdict;
	RaftTransferResult result;
	RaftPauseResult	   pause;
	uint64_t		   term; /* of the member before that; a transfer has ended it */
} SharedAnswer;

/* ---- the postmaster ---- */

extern void shared_request_memory(void);
extern void shared_init_memory(void);

/* ---- the worker ---- */

/* A worker starts or ends: no lease, no request left without an answer. */
extern void shared_worker_start(int32_t node_id);
extern void shared_worker_stop(void);

/* Show status and lease; lease_until 0 is shown before anything else changes. */
extern void shared_publish_status(const SharedStatus *status, uint64_t lease_until);
extern void shared_publish_detail(const SharedDetail *detail);

/* Of the peers only those with a bit: unchanged peers are already published. */
extern void shared_publish_statistics(const Statistics *statistics, uint64_t peers);
extern void shared_end_lease(void);

/* event->number and ->boot_id are filled in. */
extern void shared_add_event(JournalEvent *event);

/* An event from the journal, with its number, which must be above all others. */
extern void shared_restore_event(const JournalEvent *event);

/* The state file is open and locked; NULL: no longer, and nothing is shown any more. */
extern void shared_hold_store(const Store *store);

/* The request that waits for an answer, if there is one. */
extern bool shared_next_request(SharedRequest *request);

/* There is no member that could meet what is asked. */
extern void shared_refuse_requests(void);
/* Wake the sessions that wait, if there is news for them. */
extern void shared_wake_waiters(void);
extern void shared_answer_request(const SharedRequest *request, const SharedAnswer *answer);

/* ---- backends ---- */

/* Is the library loaded by shared_preload_libraries? */
extern bool shared_available(void);

/*
 * Until when this member's lease holds, 0 if it has none at the instant *now,
 * which is read in between; *term is the lease's.
 */
extern uint64_t shared_lease(uint64_t *term, uint64_t *now);

extern void shared_read_status(SharedStatus *status);

/*
 * Both as they were at the instant *now: who has a lease is shown as leader of
 * the lease's term.  Returns until when the lease holds, 0: there is none.
 */
extern uint64_t shared_read_status_and_lease(SharedStatus *status, uint64_t *now);
extern void		shared_read_detail(SharedDetail *detail);

/*
 * The host of a member that this one hears, of those that count or are to come; false: it hears of
 * none.  Not as the settings have it now, which may not be taken over yet, or be refused.
 */
extern bool shared_member_host(int32_t node_id, char host[CLUSTER_HOST_SIZE]);

/* SHARED_HEALTH_SIZE bytes; what the recorder has found, or else the worker at its start. */
extern void shared_read_health(const SharedDetail *detail, char *health);
extern void shared_read_events(SharedEvents *events);
extern void shared_read_statistics(Statistics *statistics);

/* A peer that was silent for longer than that is not reachable: its greetings were unanswered. */
static inline uint64_t
shared_reachable_for(const RaftTimeouts *timeouts)
{
	return 2 * raft_probe_interval(timeouts);
}

/* Hand a request to the worker and wait for its answer until "deadline". */
extern void shared_request(SharedRequestKind kind, int32_t target,
						   uint64_t deadline, SharedAnswer *answer);

/*
 * Wait until the worker has shown another leader, term or lease, or answered a request,
 * or until "until"; may return early.  Handles interrupts.  shared_wait_end() comes when
 * there is nothing more to wait for; an error does that by itself.
 */
extern void shared_wait(uint64_t until);
extern void shared_wait_end(void);

/* ---- the recorder, which writes the journal and looks after files ---- */

/* Wake this process whenever there is an event, or the state file is held or not. */
extern void shared_recorder_start(void);
extern void shared_recorder_stop(void);

/*
 * The last number; 0: there are no events.  And the event in the place of one, which
 * may have another number.  false: it cannot be read now.
 */
extern uint64_t shared_last_event(void);
extern bool		shared_get_event(uint64_t number, JournalEvent *event);

/* false: it cannot be read now. */
extern bool shared_peek_store(SharedStore *store);

/* What is wrong with the state file while it is in use, in a few words; empty: nothing. */
extern void shared_publish_health(const char *health);

/* ---- both ---- */

/* As shared_read_status, but false where that would raise an error. */
extern bool shared_peek_status(SharedStatus *status);

#endif /* PG_LEADER_SHARED_H */
