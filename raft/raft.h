/*
 * raft/raft.h
 *	  The election: terms, votes, heartbeats and leases, as a state machine.
 *
 * This is the election part of Raft (D. Ongaro, "Consensus: Bridging Theory and
 * Practice", 2014; section numbers below are that dissertation's) with pre-vote,
 * leader leases, transfer, and recovery of a member that lost its state.
 *
 * A core is one plain struct.  It does no I/O, reads no clock, allocates
 * nothing and draws its random numbers from a generator that the caller seeds:
 * the same configuration and the same calls give the same output, bit for bit.
 * The caller passes in the time, messages and what the disk held; it gets back
 * what to save, to show and to send.  node/member.c is that caller.
 *
 * THE CONTRACT.  When out->save is set, r->saved must be durable before
 * anything else that the call brought about is shown or sent.  When it cannot
 * be made durable, discard the output and the core; restart from the state file.  Then
 * show (role, term, leader, lease), and
 * only then send: a lost lease is shown before anything that follows from
 * losing it is on its way.
 *
 * FIRST READ, THEN TICK.  raft_receive() takes in one message and does nothing that
 * is due.  Before it calls raft_tick(), the caller passes in what has come by then, as
 * far as its bound on one turn allows, and gives raft_tick() a time at which all of
 * that had been read.  So a member that stood still for a while does not take it for
 * silence of the others when their messages lie unread in its socket.
 *
 * Times are microseconds of the caller's monotonic clock, which must not run
 * backwards; 0: never.  Terms are 0 .. INT64_MAX.
 */
#ifndef PG_LEADER_RAFT_H
#define PG_LEADER_RAFT_H

#include "message.h"

#define RAFT_MAX_NODES 64
#define RAFT_NONE	   (-1) /* no node */
#define RAFT_UNKNOWN   (-2) /* voted, for an unknown candidate */

#define RAFT_MAX_TERM		((uint64_t) INT64_MAX)
#define RAFT_MAX_PROMISE	UINT64_C(600000000) /* 10 minutes */
#define RAFT_MAX_REMEMBERED (RAFT_MAX_TERM / 2) /* of boot and save numbers */

/*
 * A datagram that is this far behind the newest one of its sender is dropped: only for
 * newer ones is it known whether they were received.
 */
#define RAFT_WINDOW 64

/* A leader remembers the send times of this many rounds of heartbeats. */
#define RAFT_ROUNDS 128

/*
 * A hand-over is said so many times at once: the leader that says it may be gone the
 * next moment, and nobody else would repeat it.  All but the first that arrives are
 * stale by rule 7.
 */
#define RAFT_TRANSFERS 4

/*
 * The most that one call can have to send: a greeting and a request to every
 * member.
 */
#define RAFT_MAX_MESSAGES (2 * RAFT_MAX_NODES)
#define RAFT_MAX_EVENTS	  16

/*
 * Safety margin, us: a lease of P microseconds is shown for
 * P * (1 - drift) / (1 + drift) - RAFT_LEASE_MARGIN.
 */
#define RAFT_LEASE_MARGIN UINT64_C(1000)

/*
 * FOLLOWER		Listens to a leader, or waits for its timer.  Initial role; any role
 * returns here on a higher term or a leader.
 * PRE_CANDIDATE The timer ran out: asks whether an election could be won, and
 *				changes nothing by asking (9.6).
 * CANDIDATE	Raised its term, voted for itself and asks for votes (3.4).
 * LEADER		Has the votes of a majority; sends heartbeats until it hears of
 *				a higher term, has lost its majority, or hands over.
 */
typedef enum RaftRole
{
	RAFT_FOLLOWER = 0,
	RAFT_PRE_CANDIDATE,
	RAFT_CANDIDATE,
	RAFT_LEADER
} RaftRole;

/*
 * Why a member abstains (it follows and promises, but neither votes nor stands,
 * and counts in no quorum).  Kept in the store, so that a restart knows.
 */
typedef enum RaftAbstain
{
	RAFT_VOTING = 0,	   /* it does not abstain */
	RAFT_ABSTAIN_NEW,	   /* this start created the store */
	RAFT_ABSTAIN_DAMAGED,  /* one of the store's two slots is bad */
	RAFT_ABSTAIN_OLD_COPY, /* a peer remembers a later save */
	RAFT_ABSTAIN_TWIN,	   /* another process has started as this member */
	RAFT_ABSTAIN_LIST,	   /* the member list is not the stored one; once anything was claimed: has other addresses */
	RAFT_ABSTAIN_LAST = RAFT_ABSTAIN_LIST
} RaftAbstain;

/* What is being done to a member's data directory, if anything. */
typedef enum RaftRebuild
{
	RAFT_INTACT = 0,
	RAFT_REWINDING,
	RAFT_CLONING,
	RAFT_REBUILDS
} RaftRebuild;

/* A timeline on which this member's WAL may be; all else is foreign. */
typedef struct RaftTimeline
{
	uint32_t id;
	bool	 created; /* it was authorised to create it, or adopted it; else it followed */
} RaftTimeline;

/* So many are remembered, the newest ones. */
#define RAFT_TIMELINES 16

/* Of those on the way to a leader's, so many: there is room for that which WAL is on. */
#define RAFT_PATH (RAFT_TIMELINES - 2)

/*
 * What has to survive.  One record, always written whole.  The first one of a store
 * is made by raft_first_record(), or, for a cluster that is created now, by
 * pg_leader_state.
 */
typedef struct RaftSaved
{
	uint64_t	save_number; /* rises by at least one with each save */
	uint64_t	boot;		 /* rises with each start */
	uint64_t	term;
	int32_t		voted_for;	 /* a node id, RAFT_NONE or RAFT_UNKNOWN */
	uint64_t	promise;	 /* longest promise that may be running, in us */
	uint64_t	list_digest; /* of the list that this member last took over */
	uint32_t	list_size;
	RaftAbstain abstaining;

	/* Of the data; all zero as long as pg_leader only elects. */
	uint32_t	claim;		/* highest that it has seen; 0: none */
	uint32_t	promoting;	/* a promotion to it was asked for, and may still happen; 0: none */
	uint64_t	system_id;	/* 0: no data are its own */
	bool		distrusted; /* this record may be older than the data: do not use them */
	bool		never_held; /* it had no data when nothing was claimed, and has got none since */
	RaftRebuild rebuild;
	int32_t		rebuild_source; /* a node id; RAFT_NONE */
	uint64_t	rebuild_term;

	/*
	 * Of which this member may be the only one to remember that it held it.  While
	 * rebuilding: it votes as if it had that.  Else: below it, it does not vote.
	 */
	RaftPosition floor;
	uint32_t	 n_timelines;
	RaftTimeline timelines[RAFT_TIMELINES]; /* the newest last */

	/*
	 * Rises each time that an operator pauses the cluster or ends that; odd: it is paused.
	 * The highest that this member has heard of.
	 */
	uint32_t pause;

	/* The members that count, once anything was claimed. */
	RaftList list;
} RaftSaved;

typedef struct RaftTimeouts
{
	uint64_t min_timeout;		 /* us; also the promise asked for as leader */
	uint64_t max_timeout;		 /* us; above min_timeout */
	uint64_t heartbeat_interval; /* us; at most half of min_timeout */
	uint32_t max_drift_ppm;		 /* how far clocks may be off, 0 .. 500000 */
} RaftTimeouts;

typedef struct RaftConfig
{
	int32_t		 node_id;
	uint64_t	 members;					/* bit i: node id i is in the list, or its address is known from before */
	uint64_t	 wanted;					/* those in the configured list */
	uint64_t	 addresses[RAFT_MAX_NODES]; /* a digest of each of theirs */
	uint64_t	 list_digest;
	uint32_t	 list_size;		/* number of members in the configured list */
	bool		 list_appended; /* the stored list is the head of this one */
	uint64_t	 incarnation;	/* random, drawn for this start */
	uint64_t	 seed;			/* of the timeouts' generator */
	bool		 may_lead;
	bool		 managed;		 /* the leader becomes the primary: rules 12 to 25 are in force */
	uint8_t		 oldest_version; /* of datagrams; 0: MESSAGE_OLDEST */
	uint8_t		 newest_version; /* 0: MESSAGE_VERSION */
	RaftTimeouts timeouts;
} RaftConfig;

/* What the host knows of its data (managed). */
typedef struct RaftData
{
	RaftServer	 server;
	uint64_t	 system_id;		  /* 0: there is none, or nothing usable */
	bool		 known;			  /* the position is that of the end of local WAL */
	bool		 foreign;		  /* there is WAL on a timeline that is not this member's */
	RaftPosition position;		  /* timeline and LSN of that end, cut before foreign WAL */
	RaftPosition begun;			  /* no record that begins there ends before that; 0/0: not known */
	uint32_t	 newest_timeline; /* of which there is WAL or a history file; 0: none */
	uint16_t	 port;			  /* on which the server listens; 0: not known */
	bool		 promoted;		  /* primary on this leadership's claim, or kept (rule 17) */
	bool		 open;

	/*
	 * As a primary: number and term of a list by which all WAL from before is held by as many as
	 * commits need, and synchronous_standby_names is that list's; 0: of none.  The number alone
	 * could be that of another list, which this leader had before it heard of a newer one.
	 */
	uint32_t list_held;
	uint64_t list_held_term;
} RaftData;

/* Why something happened; raft_describe_event() has the words. */
typedef enum RaftReason
{
	RAFT_STARTED = 0,		 /* reported by the host, not by the core */
	RAFT_TIMED_OUT,			 /* peer: who was last heard; value: us ago */
	RAFT_PRE_VOTE_WON,		 /* nodes: who would vote for us */
	RAFT_VOTE_WON,			 /* nodes: who voted for us */
	RAFT_NOT_ELECTED,		 /* value: duration of the attempt, us; nodes: voters */
	RAFT_VOTE_GIVEN,		 /* peer: to whom */
	RAFT_HIGHER_TERM,		 /* peer: who has it */
	RAFT_LEADER_FOUND,		 /* peer: the leader */
	RAFT_LEADER_LOST,		 /* peer: who led; value: us since it was heard */
	RAFT_QUORUM_LOST,		 /* value: us without a majority; nodes: who answered in that time */
	RAFT_HANDED_OVER,		 /* peer: to whom */
	RAFT_RESIGNED,			 /* peer: to whom; RAFT_NONE: to nobody; value: 0 if it only stood */
	RAFT_ASKED_TO_STAND,	 /* peer: by whom */
	RAFT_STANDS_ABOVE,		 /* a member is ahead.  peer: who; value: its term */
	RAFT_STARTED_ABSTAINING, /* value: RaftAbstain; peer: who told, or RAFT_NONE */
	RAFT_HEARD_ALL,			 /* waits before it votes again; value: us; nodes: who was heard */
	RAFT_ADMITTED,			 /* pg_leader_admit() */
	RAFT_STOPPED_ABSTAINING,
	RAFT_SECOND_LEADER,	  /* peer: who claims a term that has a leader */
	RAFT_CLAIMED,		  /* value: the timeline */
	RAFT_PROMOTES,		  /* value: the timeline */
	RAFT_REBUILDS_DATA,	  /* value: RaftRebuild, RAFT_INTACT when done; peer: from whom */
	RAFT_DATA_BEHIND,	  /* it holds less than it is known to have held; value: timeline of that */
	RAFT_LIST_LEAVES_OUT, /* value: how many members that count the configured list lacks, too many */
	RAFT_DATA_IMPOSSIBLE, /* no WAL can end where its host says; value: timeline of that */
	RAFT_PAUSED,		  /* value: 1, or 0 at the end; peer: who told, RAFT_NONE: the operator, here */
	RAFT_LIST_CHANGED,	  /* value: its number; nodes: its members, this one included; peer: who told, RAFT_NONE: this leader */
	RAFT_REASONS
} RaftReason;

/* One transition: the state after it, and what brought it about. */
typedef struct RaftEvent
{
	RaftReason reason;
	RaftRole   role;
	uint64_t   term;
	int32_t	   leader_id;
	int32_t	   peer;
	uint64_t   value;
	uint64_t   nodes; /* bit i: node id i, never this one */
} RaftEvent;

/* What became of a message. */
typedef enum RaftOutcome
{
	RAFT_TAKEN = 0,			/* as its sender meant it */
	RAFT_REFUSED,			/* understood, and answered with no */
	RAFT_NOT_COUNTED,		/* an acknowledgement of a member that counts in no quorum */
	RAFT_DROP_UNKNOWN_NODE, /* from or to is not in the list, or is wrong */
	RAFT_DROP_IMPOSSIBLE,	/* a value that no member can have sent */
	RAFT_DROP_ECHO,			/* does not echo this start of ours */
	RAFT_DROP_OLD_START,	/* from an earlier start of the peer */
	RAFT_DROP_TWIN,			/* from another process with the peer's id */
	RAFT_DROP_SEEN,			/* has come before, or is too late to tell */
	RAFT_DROP_GREETED,		/* a greeting of the kind was answered a moment ago */
	RAFT_DROP_NOT_GREETED,	/* the peer has not answered our greeting */
	RAFT_DROP_OTHER_LIST,	/* the peer's member list is not ours */
	RAFT_DROP_STALE,		/* outdated answer */
	RAFT_DROP_SECOND_LEADER,
	RAFT_OUTCOMES
} RaftOutcome;

#define RAFT_FIRST_DROP RAFT_DROP_UNKNOWN_NODE

typedef struct RaftCounters
{
	uint64_t pre_votes_started; /* rounds of pre-votes */
	uint64_t elections_started; /* candidacies */
	uint64_t elections_won;
	uint64_t elections_lost;
	uint64_t votes_given; /* to others */
	uint64_t votes_refused;
	uint64_t pre_votes_given; /* to others */
	uint64_t pre_votes_refused;
	uint64_t transfers; /* told another to stand in our place */
	uint64_t quorum_losses;
	uint64_t received[RAFT_MESSAGE_TYPES];
	uint64_t sent[RAFT_MESSAGE_TYPES];
	uint64_t dropped[RAFT_OUTCOMES]; /* from RAFT_FIRST_DROP on */
} RaftCounters;

/* What a peer said to what this member asks of it at present. */
typedef enum RaftBallot
{
	RAFT_BALLOT_OPEN = 0,
	RAFT_BALLOT_GRANTED,
	RAFT_BALLOT_REFUSED /* for good: not asked again in this round */
} RaftBallot;

typedef struct RaftPeer
{
	/* Its identity; learned only from datagrams that echo our start. */
	uint64_t	 boot; /* of its newest start; 0: not known */
	uint64_t	 incarnation;
	uint64_t	 save_number;  /* highest seen of its newest start */
	uint64_t	 earlier_save; /* highest seen of all starts before that */
	uint64_t	 list_digest;  /* as of its last datagram */
	uint64_t	 term;		   /* as of its last datagram */
	bool		 abstaining;
	bool		 may_lead;
	bool		 bound;		  /* by a promise to somebody else; as of its last heartbeat answer */
	uint8_t		 newest;	  /* version that it understands; 0: not known */
	RaftPosition position;	  /* as of its last heartbeat answer */
	RaftPosition remembered;  /* the highest that it said it held, since it last lost data */
	uint32_t	 voted_claim; /* that came with its vote */
	bool		 voted_is_claim;
	uint32_t	 voted_pause;
	RaftTold	 told;		 /* as of its last datagram that says anything of it */
	bool		 forgotten;	 /* its flushes are: a floor may be named */
	uint64_t	 heard_at;	 /* last datagram that echoed our start; 0: none */
	uint64_t	 round_trip; /* us, of its last heartbeat answer, or first greeting; 0: not known */

	/* Its answer to the greeting of this start. */
	bool	 answered;
	uint64_t answer_digest;
	uint64_t answer_term;
	uint64_t answer_promise;
	uint64_t answer_max_timeout;

	uint64_t sent;		 /* number of the last datagram that went to it */
	uint64_t greet_at;	 /* when to send it the next greeting */
	uint64_t greeted_at; /* when the last one was sent; 0: never */

	/*
	 * The replay window: which numbers of its newest start were seen.  A new
	 * start begins both anew.
	 */
	uint64_t sequence; /* the highest; 0: none */
	uint64_t window;   /* bit k: sequence - k was seen, k < RAFT_WINDOW */

	/*
	 * Greetings can be recorded and forged.  Each kind of them is answered once in
	 * half a heartbeat_interval; these are the moments of the last answers, 0:
	 * none.  The greeter is the newest start that was answered, until a datagram
	 * that echoes ours shows which one is real.
	 */
	uint64_t greeter_boot;
	uint64_t greeter_incarnation;
	uint64_t told_greeter_at;	/* the greeter itself */
	uint64_t told_new_start_at; /* a start that is newer than the greeter was */
	uint64_t told_others_at;	/* any other: an old copy, a twin, a recording */

	/* While asking for pre-votes or votes. */
	RaftBallot ballot;
	uint64_t   ask_at; /* when to ask (again) */

	/* While leading. */
	uint64_t acked_round;
	uint32_t acked_claim; /* that it had stored by then; 0: none */
	uint32_t acked_pause; /* the same of a pause */
	uint32_t acked_list;  /* number of its list, if that is ours; 0: it is another one */
	uint64_t acked_at;	  /* when the last acknowledgement came */
	uint64_t bound_until; /* its promise to us is valid at least until then */
} RaftPeer;

typedef struct RaftRound
{
	uint64_t number;
	uint64_t sent_at;
	uint64_t promise;
} RaftRound;

typedef struct Raft
{
	RaftConfig	 config;
	RaftSaved	 saved; /* what must be durable, see THE CONTRACT */
	RaftPosition position;
	bool		 may_lead;
	bool		 has_looked;   /* raft_set_data() was called: data is what is there */
	bool		 data_refused; /* what it said then cannot be */
	bool		 said_list_leaves_out;
	RaftData	 data;
	RaftPosition held;				 /* the highest position of this start, since the last rebuild */
	uint64_t	 random;			 /* state of the generator */
	uint64_t	 loaded_save_number; /* saves of earlier starts up to it are accounted for */

	RaftRole role;
	uint64_t role_since;
	int32_t	 leader_id;	  /* who leads the present term, as far as known */
	int32_t	 term_leader; /* who was seen to lead the present term */
	uint64_t heard_round; /* newest heartbeat of the present term */
	uint64_t leader_heard_at;
	uint64_t timer; /* when the present waiting or asking ends */

	/*
	 * Promises.  Those to one leadership (promised_term, promised_leader) are
	 * kept apart from all others, because a transfer lifts just these.
	 */
	uint64_t promised_term;
	int32_t	 promised_leader;
	uint64_t promised_until;
	uint64_t promised_others_until;
	uint64_t longest_until; /* saved.promise must not fall before this */

	/* Asking for pre-votes or votes. */
	uint64_t round;			/* of pre-votes, rises within this start */
	uint64_t asked_at;		/* first send of this round or candidacy */
	uint64_t asked_promise; /* that the candidacy asks for */
	uint64_t replaced_term; /* leadership that the candidacy replaces */
	int32_t	 replaced_leader;

	/* Leading. */
	uint64_t  heartbeat_at; /* when the next round goes out */
	uint64_t  heartbeat_round;
	uint64_t  own_bound_until; /* our own promise to ourselves */
	RaftRound rounds[RAFT_ROUNDS];
	uint32_t  elected_claim;  /* the highest in the votes that elected it, its own included */
	uint32_t  claim;		  /* its own of this term, not used up; 0: none */
	bool	  first_admitted; /* pg_leader_admit(): the first claim need not hear everyone */

	/* Data that are less than they were (rule 22). */
	uint64_t	 catch_up_term; /* in which the leader said this; 0: it did not */
	RaftPosition catch_up;		/* how far its WAL reached then */

	/* Abstaining. */
	uint64_t gone_above_at; /* when it last detected that its state is old; 0: never */
	bool	 admitted;		/* pg_leader_admit() was given */
	uint64_t heard_from;	/* bit i: i's answer is in what was adopted */
	uint64_t abstain_until; /* end of the wait; 0: not waiting yet */

	RaftPeer	 peers[RAFT_MAX_NODES];
	RaftCounters counters;
} Raft;

typedef struct RaftOutput
{
	RaftOutcome outcome; /* of a message; else RAFT_TAKEN */
	bool		heard;	 /* the message was its sender's own, and new: what is known of the peer has changed */
	bool		save;	 /* r->saved has changed */
	uint32_t	n_messages;
	uint32_t	n_events;
	RaftMessage messages[RAFT_MAX_MESSAGES];
	RaftEvent	events[RAFT_MAX_EVENTS];
} RaftOutput;

typedef enum RaftTransferResult
{
	RAFT_TRANSFER_STARTED = 0, /* the target was told to stand */
	RAFT_TRANSFER_NOT_LEADER,
	RAFT_TRANSFER_TO_SELF,
	RAFT_TRANSFER_UNKNOWN_NODE, /* not in the list */
	RAFT_TRANSFER_UNREACHABLE,	/* has not answered for min_timeout */
	RAFT_TRANSFER_CANNOT_LEAD,	/* abstains, may not lead, or has another list */
	RAFT_TRANSFER_BOUND,		/* for a while: by a promise to somebody else */
	RAFT_TRANSFER_BEHIND,		/* its position is older than ours */
	RAFT_TRANSFER_NO_TARGET		/* none was named, and nobody is fit */
} RaftTransferResult;

/*
 * NULL, or what is wrong with a configuration, as a message for the DBA.
 * Everything below expects a configuration that passed.
 */
extern const char *raft_check_config(const RaftConfig *config);

/*
 * The first record of a new start, to be made durable before raft_init() and
 * the first datagram: boot counter and save number rise by one, and the member
 * abstains when its list is not the stored one or its store was damaged.
 * "loaded" is what the store held, NULL if there was none: then the record is
 * that of a member that cannot know whether it lost its state.
 */
extern void raft_first_record(const RaftSaved *loaded, bool damaged,
							  const RaftConfig *config, RaftSaved *first);

/*
 * Begin as a follower.  "saved" is durable and was made by raft_first_record():
 * the store held save number saved->save_number - 1 when it was read.
 */
extern void raft_init(Raft *r, const RaftConfig *config, const RaftSaved *saved,
					  uint64_t now);

/*
 * Do what is due at "now", by which all that had come was received (see FIRST READ,
 * THEN TICK).  Call at raft_deadline(); calling early does no harm.
 */
extern void raft_tick(Raft *r, uint64_t now, RaftOutput *out);

/*
 * Take in one message.  "now" is read after the message was read from the network.
 * Without "heard", nothing that others may be shown has changed but what is in *out.
 */
extern void raft_receive(Raft *r, uint64_t now, const RaftMessage *message,
						 RaftOutput *out);

/*
 * Planned hand-over (3.10) to "target", or to the fittest peer if it is
 * RAFT_NONE.  The lease ends for ever in this term.
 */
extern RaftTransferResult raft_transfer(Raft *r, uint64_t now, int32_t target,
										RaftOutput *out);

/*
 * A leader's next heartbeats are due now, not after the rest of the interval: somebody waits for
 * what the others answer.  The next raft_tick() sends them.  Others: no effect.
 */
extern void raft_hasten(Raft *r, uint64_t now);

/*
 * About to stop, or may no longer lead: a leader hands over to the most
 * up-to-date live peer if there is one, and stops leading in any case.  A
 * member that stands for election stops standing.  Others: no effect.
 */
extern void raft_resign(Raft *r, uint64_t now, RaftOutput *out);

/*
 * pg_leader_admit() (rule 11 of the election): the greetings that are
 * unanswered will stay so, and every member that was left out of the list or
 * replaced is stopped.  On a leader while nothing was ever claimed (rule 12): no
 * primary runs beside it, and what the silent hold is not needed; a member that lives
 * has to say all the same what it holds, unless its data are gone.  Returns false, and
 * does nothing, on any other member that does not abstain.
 */
extern bool raft_admit(Raft *r, uint64_t now, RaftOutput *out);

/*
 * What a member that abstains is waiting for, at time now: *peers gets a bit for
 * each peer whose answer, with our member list, has to come first, and the
 * result says whether pg_leader_admit() is needed as well.  With neither, only
 * r->abstain_until has to pass.
 */
extern bool raft_abstains_for(const Raft *r, uint64_t now, uint64_t *peers);

/*
 * How new this member's data is, where pg_leader only elects; no effect on a managed
 * member.  Takes effect with the next vote.
 */
extern void raft_set_position(Raft *r, RaftPosition position);

/* ---- of a managed member: rules 12 to 25 ---- */

/*
 * What its data are now.  The position is a running maximum as long as the directory
 * is the same, and unknown until local WAL was read to its end.  It is unknown, too, when
 * no WAL can end there, or a timeline is above RAFT_MAX_TIMELINE: then there is an event.
 */
extern void raft_set_data(Raft *r, const RaftData *data, RaftOutput *out);

/*
 * It is known from elsewhere that this member held that (rule 22): it does not vote
 * below it.  No effect if no WAL can end there.
 */
extern void raft_remember_held(Raft *r, RaftPosition held, RaftOutput *out);

typedef enum RaftClaimResult
{
	RAFT_CLAIM_MADE = 0,
	RAFT_CLAIM_NOT_MANAGED,
	RAFT_CLAIM_NOT_LEADER,
	RAFT_CLAIM_PROMOTING, /* a promotion that was asked for may still happen */
	RAFT_CLAIM_NO_DATA,	  /* not in recovery, or its position is not known, or not its own */
	RAFT_CLAIM_NEEDS_ALL, /* the first claim: not every member has said what it holds */
	RAFT_CLAIM_BEHIND,	  /* the first claim: another member holds more, see raft_newest_peer() */
	RAFT_CLAIM_DIVERGED,  /* the first claim: another member's data are on another timeline */
	RAFT_CLAIM_EXHAUSTED  /* no timeline is left below RAFT_MAX_TIMELINE */
} RaftClaimResult;

/*
 * A leader in recovery claims the next timeline that nobody has (rule 12).  The next
 * raft_tick(), which is due at once, sends it.  Called again, it claims another one.
 */
extern RaftClaimResult raft_claim(Raft *r, uint64_t now, RaftOutput *out);

/* The claim of this term if a majority has stored it and it is not used up; else 0. */
extern uint32_t raft_claimed(const Raft *r);

/*
 * Use the claim up: once this is durable and shown, the server may be promoted to the
 * timeline that is returned.  0: it may not (rule 13).  r->saved.promoting says so until
 * raft_promoted(): the server has left recovery, or has been stopped for good.
 */
extern uint32_t raft_promote(Raft *r, uint64_t now, RaftOutput *out);
extern void		raft_promoted(Raft *r, RaftOutput *out);

typedef enum RaftPauseResult
{
	RAFT_PAUSE_TAKEN = 0, /* it is so, once raft_pause_is_known() */
	RAFT_PAUSE_NOT_MANAGED,
	RAFT_PAUSE_NOT_LEADER,
	RAFT_PAUSE_NO_LEASE, /* for a while, as a rule: acknowledgements are late */
	RAFT_PAUSE_NO_CLAIM, /* nothing was ever claimed: nobody would be promoted later either */
	RAFT_PAUSE_EXHAUSTED /* no number is left */
} RaftPauseResult;

/*
 * The operator pauses the cluster, or ends that.  The next raft_tick(), which is due at once,
 * sends it.  If this leader loses the leadership before raft_pause_is_known(), it may come
 * into force, or not.
 */
extern RaftPauseResult raft_pause(Raft *r, uint64_t now, bool pauses, RaftOutput *out);

/* Is the cluster paused, as far as this member knows? */
extern bool raft_in_pause(const Raft *r);

/* For a leader: has a majority stored whether it is, in this term?  Then no later leader misses it. */
extern bool raft_pause_is_known(const Raft *r);

/*
 * Until when that member, this one included, votes for nobody else than this leader,
 * with the margins of a lease; 0: it does not (rule 16).
 */
extern uint64_t raft_peer_bound(const Raft *r, int32_t id);

/*
 * A leader has ended the connections of a member whose data are gone, and does not
 * count what they had confirmed; the position that it set since is the floor.  That
 * holds until the member has said that its data are not gone any more; before, it is not
 * served (raft_may_serve()), so that nothing is confirmed that the floor does not know of.
 */
extern bool raft_forgot(Raft *r, int32_t id);

/*
 * For which members that is to be done now (bit i: node id i); none if this is no leader
 * that is promoted on its claim, whose position alone is a floor, and none in a pause, in
 * which no rebuild begins.
 */
extern uint64_t raft_to_forget(const Raft *r);

/*
 * The server is about to get WAL of these timelines from the leader, oldest first, the
 * last one being that on which it was promoted: true once they are durable, false if the
 * leader of this term has not been promoted on that.  A server can be stopped anywhere
 * between them.
 */
extern bool raft_follow(Raft *r, const uint32_t *timelines, uint32_t n, RaftOutput *out);

/*
 * May the server send WAL to that member, once anything is claimed?  Only a leader's, since
 * others may hold other WAL by now than when they led; and not before the member has
 * acknowledged a claim in this term: while it knows of none, it tells whatever its term is
 * (see raft_may_acknowledge()).  Nor while its data are gone, once its floor was named.
 */
extern bool raft_may_serve(const Raft *r, int32_t id);

/*
 * May it go on sending to that member, whom it serves already?  Elected again, it waits for an
 * acknowledgement again, but its WAL is still the same: so while it leads, and the member
 * has said that it knows of a claim.
 */
extern bool raft_may_go_on_serving(const Raft *r, int32_t id);

/*
 * May the server tell a leader what it has flushed of its WAL, when it was let loose to
 * follow that one in this term?  Not once the term is another: whoever votes then does so
 * with all that was ever confirmed to the leader before (rule 20).  And not while a rebuild
 * is not over, durably: its member votes with a floor from before it began (rule 21).  The
 * host holds the answers of the receiver back before it reads a position for a call that
 * could give a vote, and asks this after the call.  While nothing was ever claimed, servers
 * follow whom they did before.
 */
extern bool raft_may_acknowledge(const Raft *r, uint64_t term);

/*
 * The data directory is about to be changed (rule 21): true once this is durable.
 * "floor" is the last point that its history has in common with the leader's.  A
 * second attempt keeps the first floor; false if no WAL can end there.  And: it is whole
 * again; false if it is below the floor, or while this member abstains.
 */
extern bool raft_rebuild(Raft *r, RaftRebuild how, RaftPosition floor, RaftOutput *out);
extern bool raft_rebuilt(Raft *r, RaftOutput *out);

/*
 * The operator's word that data which are distrusted are whole; where the configured list is this
 * member alone: that it is the only one that is left, and held as much as any other: then its floor
 * is where its WAL ends, which has to be known.
 */
extern bool raft_trust_data(Raft *r, RaftOutput *out);

/* Did it lose its data, and holds it less than it is known to have held? */
extern bool raft_is_gone(const Raft *r);
extern bool raft_is_behind(const Raft *r);

/*
 * Is what a member has less than that floor?  Not if the floor is in the middle of a record
 * that it has the beginning of: nobody counts on a part of one, and a server that ends in the
 * middle of writing or receiving a record has told more than the whole ones that it finds later.
 */
static inline bool
raft_is_below(RaftPosition position, RaftPosition begun, RaftPosition floor)
{
	return raft_is_older(position, floor) && !(floor.epoch == begun.epoch && floor.index < begun.index);
}

/*
 * Had it no data when nothing was claimed, and has it got none since?  Then it has confirmed
 * nothing to anybody: it votes until its first rebuild, whose floor is nothing.
 */
extern bool raft_never_held(const Raft *r);

/* ---- reading ---- */

/* Whether this member may stand.  A leader that may not must raft_resign(). */
extern void raft_set_may_lead(Raft *r, bool may_lead);

/* New timeouts (they passed raft_check_config); from the next timer on. */
extern void raft_set_timeouts(Raft *r, const RaftTimeouts *timeouts);

/* When raft_tick() must be called; always finite. */
extern uint64_t raft_deadline(const Raft *r);

/* Until when this member's lease holds; 0: it has none. */
extern uint64_t raft_lease_until(const Raft *r);

/* Until when this member votes for nobody; not after now: it is free. */
extern uint64_t raft_promise_until(const Raft *r);

/* raft_majority() of the members that count. */
extern uint32_t raft_quorum(const Raft *r);

/* ---- the members that count (rule 24) ---- */

/*
 * How far behind a member may be that is to count from now on, in bytes of WAL: commits need not
 * wait long for it.
 */
#define RAFT_LIST_LAG UINT64_C(16777216)

/* Bit i: node id i.  Those of the list, and of the one before while both count, else 0. */
extern uint64_t raft_members_now(const Raft *r);
extern uint64_t raft_members_old(const Raft *r);

/* Those as a list; before anything was claimed its number is 0. */
extern RaftList raft_list(const Raft *r);

/* All that count, and: is that one of them? */
extern uint64_t raft_voters(const Raft *r);
extern bool		raft_is_voter(const Raft *r, int32_t id);

/* Are these a majority; of both lists, while both count? */
extern bool raft_is_quorum(const Raft *r, uint64_t nodes);

extern bool raft_list_equals(const RaftList *a, const RaftList *b);

/* Is "a" to be taken over by those who have "b"? */
extern bool raft_list_is_newer(const RaftList *a, const RaftList *b);

/* A digest of the addresses of these members, as configured; 0: not all are known. */
extern uint64_t raft_list_digest(const RaftConfig *config, uint64_t members);

/* Are its addresses those that are configured, as far as these are known? */
extern bool raft_list_fits(const RaftConfig *config, const RaftList *list);

/* Has the configured list no majority of the members that count? */
extern bool raft_list_leaves_out(const Raft *r);

/*
 * Another configured list, in a running member: members, wanted, addresses, list_digest and
 * list_size of "config".  "members" has to include those that count as far as their addresses
 * are known.  A leader goes on to it as soon as it may.  false: nothing has been claimed yet, or
 * a member that counts has another address in it; then nothing has changed.
 */
extern bool raft_set_list(Raft *r, uint64_t now, const RaftConfig *config, RaftOutput *out);

/*
 * For a leader: is that another member, heard lately, that may lead, knows what it holds,
 * and holds everything up to there (0: it does not matter)?  And is there any?  Rules 18
 * and 25.
 */
extern bool raft_could_lead(const Raft *r, uint64_t now, int32_t id, uint64_t index);
extern bool raft_other_could_lead(const Raft *r, uint64_t now, uint64_t index);

/*
 * For a leader: could another member be elected now, and take over?  The others are a majority
 * without this one; or it takes this one's vote, which somebody who holds less does not get.  In a
 * pause nobody takes over.
 */
extern bool raft_is_replaceable(const Raft *r, uint64_t now);

/*
 * For a leader: who holds most of all, and more than this member; of several, one that can
 * be handed over to at once.  RAFT_NONE: nobody holds more.  The first claim is left to it:
 * a leader that may not make it (RAFT_CLAIM_BEHIND) hands over to this one and to nobody
 * else, and waits while that one is bound.  For two members that both hold less would hand
 * over to each other for ever, each time binding the third one.
 */
extern int32_t raft_newest_peer(const Raft *r, uint64_t now);

/* How long a peer that has answered may be silent before it is greeted again. */
extern uint64_t raft_probe_interval(const RaftTimeouts *timeouts);

/* "follower", for people. */
extern const char *raft_role_name(RaftRole role);

/* "the member list has changed", for people. */
extern const char *raft_abstain_name(RaftAbstain why);

/* "other member list", for people. */
extern const char *raft_outcome_name(RaftOutcome outcome);

/* What came of raft_claim(), as one clause without a full stop. */
extern const char *raft_describe_claim(RaftClaimResult result);

/* What came of raft_pause(), the same. */
extern const char *raft_describe_pause(RaftPauseResult result);

/*
 * What happened, as one clause without a full stop ("no heartbeat from node 2
 * for 312 ms").  Always terminates the text; returns buffer.
 */
extern const char *raft_describe_event(const RaftEvent *event,
									   char *buffer, size_t size);

#endif /* PG_LEADER_RAFT_H */
