/*
 * server/exchange.h
 *	  What the election worker, the role worker and the WAL receiver tell each other.
 *
 * Managed mode only.  Shared memory of its own, fresh and closed at each start of the
 * server:
 *
 *	  the core	  the election worker shows a copy of its Raft at the end of each turn; the
 *				  role worker asks that copy the functions of raft.h
 *	  the data	  the role worker says what this server's data are; the election worker
 *				  tells its member, and looks itself how far WAL has been flushed since
 *	  questions	  the role worker has the member do something (claim, promote, follow ...)
 *				  and waits for what came of it, which is durable by then
 *	  the receiver  two gates: whom it may connect to, and whether it may report what it has
 *				  flushed
 *
 * The election worker never waits here.  Times are microseconds of the election's clock.
 */
#ifndef PG_LEADER_EXCHANGE_H
#define PG_LEADER_EXCHANGE_H

#include "../node/member.h"
#include "../primary/primary.h"
#include "../primary/risk.h"

#define EXCHANGE_CONNINFO_SIZE 1024 /* of PostgreSQL's receiver, MAXCONNINFO */
#define EXCHANGE_TEXT_SIZE	   144

/* ---- the postmaster ---- */

extern void exchange_request_memory(void);
extern void exchange_init_memory(void);

/* ---- the core ---- */

/*
 * The election worker: the member as it is now, and whether its process lives at all (NULL:
 * no longer).  Wakes the role worker when that has something to do.
 */
extern void exchange_show_core(const Raft *raft);

/* The role worker: false if there is no member at this moment. */
extern bool exchange_read_core(Raft *raft);

/* ---- the data ---- */

typedef struct ExchangeData
{
	RaftData data;
	bool	 grows;		/* the position is the end of WAL, and rises with its flush on that timeline */
	bool	 may_stand; /* primary_may_stand() */
	uint64	 whole;		/* end of its whole records: on whichever timeline, that is in the position */
	bool	 is_told;	/* set here: something was said since the start */
} ExchangeData;

extern void exchange_tell_data(const ExchangeData *data);

/*
 * The election worker, before a call of the member: what the role worker said last, with as
 * much of WAL as is flushed by now.  false: it has said nothing.
 */
extern bool exchange_take_data(ExchangeData *data);

/* ---- health ---- */

/* The role worker gets on: it does not wait for a disk.  The election worker: how often it has said so. */
extern void	  exchange_count_step(void);
extern uint64 exchange_steps(void);

/* What the election worker has found (health.h); the role worker. */
extern void			 exchange_show_health(PrimaryHealth health);
extern PrimaryHealth exchange_health(void);

/* ---- questions ---- */

typedef enum ExchangeKind
{
	EXCHANGE_CLAIM = 1, /* -> RaftClaimResult */
	EXCHANGE_TRANSFER,	/* node -> RaftTransferResult */
	EXCHANGE_HASTEN,	/* -> 1: the others are asked what they have */
	EXCHANGE_PROMOTE,	/* -> the timeline, 0: no */
	EXCHANGE_PROMOTED,	/* -> 1 */
	EXCHANGE_FOLLOW,	/* timelines -> 1 once they are durable */
	EXCHANGE_REBUILD,	/* how, held: the floor -> 1 once the marker is durable */
	EXCHANGE_REBUILT,	/* -> 1 */
	EXCHANGE_FORGOT,	/* node: its walsender has ended (raft_forgot()) -> 1 */
	EXCHANGE_RESIGN,	/* text: why -> 1 */
	EXCHANGE_REMEMBER,	/* held -> 1 */
	EXCHANGE_EVENT		/* text, for pg_leader_events -> 1 */
} ExchangeKind;

typedef struct ExchangeQuestion
{
	uint64_t	 number;
	ExchangeKind kind;
	int32_t		 node;
	uint32_t	 n_timelines;
	uint32_t	 timelines[RAFT_PATH];
	RaftPosition held;
	RaftRebuild	 how;
	char		 text[EXCHANGE_TEXT_SIZE];
} ExchangeQuestion;

/* The role worker: asks and waits.  false: no member has answered within a second. */
extern bool exchange_ask(ExchangeQuestion *question, uint32_t *answer);

extern bool exchange_next_question(ExchangeQuestion *question);
extern void exchange_answer(const ExchangeQuestion *question, uint32_t answer);

/* The role worker has begun, with that latch; or ended: all its gates are closed. */
extern void exchange_role_worker_start(void);
extern void exchange_role_worker_stop(void);

/* Anybody: there is something for it to look at. */
extern void exchange_wake_role_worker(void);

/* ---- what the role worker shows to people ---- */

typedef struct ExchangeShown
{
	RaftServer	  server; /* RAFT_SERVER_NONE: there is no role worker */
	bool		  end_known;
	uint32_t	  timeline; /* of the end of WAL */
	uint64_t	  end;
	PrimaryAction action;
	PrimaryReason reason;
	int32_t		  node;	 /* whom the order is about; RAFT_NONE */
	uint64_t	  since; /* when it was given */
	bool		  open;
	char		  why[EXCHANGE_TEXT_SIZE];
	char		  refusal[EXCHANGE_TEXT_SIZE]; /* what keeps this server out, whatever the order is; '': nothing */
	char		  at_risk[RISK_TEXT_SIZE];	   /* of the open primary: risk_describe(); else '' */
	uint64_t	  primary_at;				   /* when it knew of an open primary last, or its start */
	bool		  lag_known;
	uint64_t	  lag;	   /* bytes of the leader's WAL that are not replayed here */
	uint32_t	  rewinds; /* WatchDirectory */
	uint32_t	  clones;
} ExchangeShown;

extern void exchange_show(const ExchangeShown *shown);

/* Any backend; false: not now. */
extern bool exchange_read_shown(ExchangeShown *shown);

/* ---- what an operator wants of this server ---- */

typedef enum ExchangeWish
{
	EXCHANGE_NO_WISH = 0,
	EXCHANGE_REINIT,
	EXCHANGE_RESTART
} ExchangeWish;

/*
 * Any backend.  It is obeyed within 10 s or not at all, so that nothing is done of which nobody
 * thinks any more.  The end of the server is the end of it.
 */
extern void exchange_wish(ExchangeWish wish);

/* The role worker. */
extern ExchangeWish exchange_wished(uint64_t now);

/* ---- this start of the server ---- */

/* The claim that was used up here last; none after a start.  Role worker only. */
typedef struct ExchangeUsed
{
	uint32_t claim;
	uint64_t term;
	bool	 promoted; /* and the server was promoted to it, and has run on since */
} ExchangeUsed;

extern ExchangeUsed *exchange_used(void);

/* ---- the receiver's gates ---- */

/*
 * SHUT			Nothing is received.  A receiver may connect with the connection string that is
 *				expected, if there is one, and waits there: then it begins at once when it may.
 * LEFT_ALONE	Nothing was ever claimed: it receives from whom it likes.
 * LOOSE		It receives from one leader, with one connection string.
 */
typedef enum ExchangeGate
{
	EXCHANGE_SHUT = 0,
	EXCHANGE_LEFT_ALONE,
	EXCHANGE_LOOSE
} ExchangeGate;

/*
 * The role worker.  conninfo: with SHUT the one that is expected, NULL: none.  term: in which
 * it is let loose, for raft_may_acknowledge().
 */
extern void			exchange_set_gate(ExchangeGate gate, const char *conninfo, uint64_t term);
extern ExchangeGate exchange_gate(void);

/* The receiver that connects or waits at the gate, and has received nothing; 0: none does. */
extern pid_t exchange_waiting_receiver(void);

/*
 * The receiver: NULL, or why it may not connect with that.  is_expected: it is what the role
 * worker has written.
 */
extern const char *exchange_may_connect(const char *conninfo, bool *is_expected);

typedef enum ExchangePass
{
	EXCHANGE_WAIT = 0,
	EXCHANGE_PASS,
	EXCHANGE_TURN_BACK /* the connection string is not the expected one any more */
} ExchangePass;

/* The receiver, connected with that: asked again until it is not to wait. */
extern ExchangePass exchange_may_receive(const char *conninfo);

/*
 * Up to where WAL is held, and in the file of which timeline: the role worker tells.  A receiver
 * that may begin says on which timeline (primary_may_begin()): from then on what PostgreSQL shows as
 * flushed on that one has come.  Before that it may be where somebody has asked it to begin.
 */
extern void		   exchange_tell_held(uint64_t end, uint32_t timeline);
extern PrimaryHeld exchange_held(void);
extern void		   exchange_receives_on(uint32_t timeline);
extern bool		   exchange_has_received_on(uint32_t timeline);

/* A receiver may not begin, because WAL is held up to there only; 0: none was turned back. */
extern void	  exchange_turn_back(uint64_t end);
extern uint64 exchange_turned_back(void);

/*
 * The receiver: may it report that it has flushed up to there?  If not, the report is made
 * later: the election worker asks for it.
 */
extern bool exchange_may_report(uint64_t flush);

/* The election worker, around each call of the member that could give a vote. */
extern void exchange_hold_reports(void);
extern void exchange_release_reports(const Raft *raft);

#endif /* PG_LEADER_EXCHANGE_H */
