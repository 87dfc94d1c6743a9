/*
 * primary/primary.h
 *	  What should this server be?  Facts in, one order out.
 *
 * The election says who leads; this decides what follows from it for one server: wait,
 * follow the leader, claim a timeline, promote, let commits through, go back to being a
 * standby, be rewound or cloned.  The rules are numbered as in the design (12 to 25).
 * Called by the role worker, the supervisor and the simulator, which gather the facts and
 * obey; they decide nothing.
 *
 * Pure C11: no input or output, no clock, no allocation, no memory between two calls.  The
 * same facts give the same order.
 *
 * HOW AN ORDER IS OBEYED.  It says what holds now, so it is asked for again whenever a fact
 * changes, and at again_at.  Three gates hang on it, and each is shut under every order
 * but its own:
 *	- commits are answered only under OPEN (and, those that wait already, under DRAIN);
 *	- WAL is received from another server only under FOLLOW, REBUILT and LEAVE;
 *	- a server that does not run is started only by RESTART, REWIND or CLONE.
 * REWIND and CLONE stop the server first, and save marker and floor before that (rule 21).
 *
 * A fact that is not known is false, 0 or NULL, and closes what depends on it.  Times
 * are microseconds of one monotonic clock, 0: never.  LSNs are byte positions; the end of
 * WAL is behind its last whole record.
 */
#ifndef PG_LEADER_PRIMARY_H
#define PG_LEADER_PRIMARY_H

#include "../node/lineage.h"
#include "../raft/raft.h"

/* What the leader is known to have.  All of it was learned in the present term. */
typedef struct PrimaryLeader
{
	uint64_t	   system_id;
	uint32_t	   major; /* version of PostgreSQL */
	RaftServer	   server;
	bool		   promoted; /* primary on this leadership's claim, or kept by rule 17 */
	bool		   open;
	const Lineage *lineage;
	uint64_t	   flush;				   /* read when our own receiver was down, or later; 0: not known */
	bool		   control_shows_timeline; /* its pg_control has the newest of lineage: a checkpoint was made */
	bool		   has_fork;			   /* its pg_wal has the segment in which lineage parts from ours */
	bool		   has_end;				   /* and the one in which ours ends, on its own path: we could stream */

	/*
	 * For a member whose data are gone: it has ended our walsenders, forgotten their
	 * flushes, and named where its WAL ended then.
	 */
	bool		 named_floor;
	RaftPosition floor;
} PrimaryLeader;

/* The last bytes of local WAL, beside the leader's. */
typedef enum PrimaryPrefix
{
	PRIMARY_PREFIX_UNKNOWN = 0, /* not compared */
	PRIMARY_PREFIX_SAME,
	PRIMARY_PREFIX_DIFFERENT
} PrimaryPrefix;

typedef enum PrimaryStreaming
{
	PRIMARY_STREAMING_UNKNOWN = 0, /* not let loose, or too early to tell */

	/* The received timeline is the leader's, and the flush has passed where the leader was. */
	PRIMARY_STREAMING_REAL,

	/* The leader can be reached and has more, and for stream_timeout nothing new has come from it. */
	PRIMARY_STREAMING_STUCK
} PrimaryStreaming;

/* What a comparison with a leader has shown.  Begun anew by each rebuild and restart. */
typedef struct PrimaryCheck
{
	uint64_t		 term; /* in which it was made; that of another one says nothing */
	int32_t			 leader;
	PrimaryPrefix	 prefix;
	bool			 loose;		   /* the receiver that runs was let loose after it */
	bool			 looked_again; /* leader.flush was read a second time, after it was behind our end */
	PrimaryStreaming streaming;
	uint64_t		 stalled_since; /* as long as that is not known: since when nothing new has come */
} PrimaryCheck;

/* What is left of a rebuild that the state file has a marker of. */
typedef enum PrimaryRemains
{
	PRIMARY_REMAINS_BROKEN = 0, /* not known, or fit for nothing */
	PRIMARY_REMAINS_REPEATABLE, /* a rewind that has not written pg_control yet */
	PRIMARY_REMAINS_UNTOUCHED,	/* the old one: a clone beside it is not done; not what was gone or distrusted */
	PRIMARY_REMAINS_WHOLE		/* the program has ended well, and all is on disk: may be started */
} PrimaryRemains;

#define PRIMARY_REMAINS_LAST PRIMARY_REMAINS_WHOLE

/* PrimaryFacts.rebuild_pause of servers. */
#define PRIMARY_REBUILD_PAUSE UINT64_C(30000000)

/* A setting that managed mode refuses. */
typedef enum PrimarySetting
{
	PRIMARY_SETTING_GOOD = 0,
	PRIMARY_SETTING_STATE_DIRECTORY,
	PRIMARY_SETTING_HOT_STANDBY,
	PRIMARY_SETTING_WAL_LEVEL,
	PRIMARY_SETTING_FSYNC,
	PRIMARY_SETTING_FULL_PAGE_WRITES,
	PRIMARY_SETTING_RECOVERY_TARGET,
	PRIMARY_SETTING_RECOVERY_TARGET_TIMELINE,
	PRIMARY_SETTING_WORKER_PROCESSES,
	PRIMARY_SETTING_WAL_SENDERS,
	PRIMARY_SETTING_RESOURCE_MANAGER,
	PRIMARY_SETTING_APPLY_DELAY,
	PRIMARY_SETTING_RESTORE_COMMAND,
	PRIMARY_SETTINGS
} PrimarySetting;

typedef enum PrimaryHealth
{
	PRIMARY_HEALTHY = 0,
	PRIMARY_HEALTH_DISK_HUNG,	/* WAL stays unflushed for health_timeout */
	PRIMARY_HEALTH_WORKER_HUNG, /* nor does the role worker get on: it may wait for a disk */
	PRIMARY_HEALTH_NO_ANSWER,	/* a new connection got none for health_timeout */
	PRIMARY_HEALTH_NO_ROOM,		/* for two segments of WAL: may not stand */
	PRIMARY_HEALTH_TOO_SMALL,	/* settings below those in pg_control: may not stand */
	PRIMARY_HEALTHS
} PrimaryHealth;

/* How far a planned hand-over is; see switchover.h. */
typedef enum PrimaryHandOver
{
	PRIMARY_HAND_OVER_NONE = 0,
	PRIMARY_HAND_OVER_DRAINING, /* no commit begins, those that wait are answered */
	PRIMARY_HAND_OVER_CLOSED,
	PRIMARY_HAND_OVER_DONE /* another was told to stand: the lease is over for ever in this term */
} PrimaryHandOver;

typedef struct PrimaryFacts
{
	uint64_t now;

	/* The election. */
	int32_t	 self;
	uint32_t members; /* in the list, 1 .. RAFT_MAX_NODES */
	uint64_t term;
	int32_t	 leader_id;	  /* of this term; ourselves only while our role is leader; RAFT_NONE: not known */
	uint64_t lease_until; /* raft_lease_until() */
	bool	 in_pause;	  /* raft_in_pause(): no promotion, no resigning because of health, no rebuild begins */

	/* Claims. */
	uint32_t claim;			/* the highest stored */
	uint32_t elected_claim; /* highest in the votes that elected us, our own included */
	bool	 claiming;		/* made in this term, not acknowledged by V yet */
	uint32_t claimed;		/* raft_claimed(): acknowledged, and not used up */
	bool	 promoting;		/* raft_promote() .. raft_promoted() */
	bool	 asked;			/* and it was this worker that asked: else it may happen, or never */
	uint32_t authorised;	/* the claim that was used up last, and in which term */
	uint64_t authorised_term;
	uint32_t passed_over; /* promotion_passed_over() of claimed */
	bool	 burn_any;	  /* an operator has agreed to more than PROMOTION_MOST_BURNT of them */

	/* Our data. */
	RaftServer	   server;
	uint64_t	   system_id; /* of the data directory; 0: nothing usable in it */
	uint64_t	   stored_system_id;
	uint32_t	   major;
	bool		   never_held; /* it has none, and has confirmed nothing to anybody: raft_never_held() */
	bool		   distrusted; /* the state file was lost or is older than a peer remembers (rule 22) */
	uint32_t	   timeline;   /* that the server is on */
	const Lineage *lineage;	   /* of local WAL; read after end, which may have passed a fork */
	bool		   end_known;
	uint64_t	   begun;	  /* no record that begins at "end" ends before that; 0: not known */
	bool		   part_left; /* recovery waits for the rest of that one, and no receiver may bring it */
	uint64_t	   end;
	bool		   receiving; /* a receiver runs */
	bool		   replayed;  /* to the end */
	bool		   paused;
	bool		   consistent;
	bool		   ran_on; /* neither server nor shared memory was started anew since its promotion */

	/*
	 * On which timeline it has written WAL itself: as a primary, or as pg_control said
	 * before the start.  0: on none since it last followed a leader or was rebuilt.
	 */
	uint32_t	 wrote_on;
	RaftTimeline timelines[RAFT_TIMELINES];
	uint32_t	 n_timelines;

	/* Being rebuilt. */
	RaftRebuild	   rebuild;
	int32_t		   rebuild_source; /* from whom the marker says, and in which term */
	uint64_t	   rebuild_term;
	PrimaryRemains remains;
	RaftPosition   floor;		  /* as the state file has it, also without a marker (rule 22) */
	uint64_t	   stuck_since;	  /* when it was restarted because it did not stream, in vain so far; 0: no */
	uint32_t	   failures;	  /* rebuilds, and restarts for that, since it really streamed */
	bool		   hints;		  /* checksums or wal_log_hints */
	bool		   common_wal;	  /* local WAL reaches back to the last common checkpoint */
	bool		   rewind_room;	  /* for what a rewind copies */
	uint64_t	   failed_at;	  /* the last of them; 0: none */
	int32_t		   failed_source; /* from whom that was, and in which term */
	uint64_t	   failed_term;
	uint64_t	   rebuild_wanted; /* when PRIMARY_PREFERS_OPEN was first said of this leader */

	/* What an operator has asked for here. */
	bool restart_wanted;
	bool reinit_wanted;

	PrimaryLeader leader;
	PrimaryCheck  check;

	PrimarySetting setting;
	PrimaryHealth  health;

	/* Leading. */
	uint64_t		leading_since;
	uint64_t		moved_at; /* replay, promotion, a member's flush, a rebuild that is fed */
	uint64_t		mark_term;
	uint64_t		mark_end;		 /* of the logical message of that term */
	uint64_t		quorum_flushed;	 /* quorum_flushed() */
	uint64_t		released;		 /* WalSndCtl->lsn[FLUSH] */
	bool			names_in_force;	 /* synchronous_standby_names is the list's, or the one's before */
	bool			names_are_new;	 /* it is the list's */
	uint32_t		list_number;	 /* of the members that count; 0: nothing was claimed */
	uint64_t		list_term;		 /* of the leader that wrote that list */
	uint32_t		list_held;		 /* list_number if that list is held, see RaftData.list_held; else 0 */
	uint64_t		opened_term;	 /* the last one in which this worker has opened */
	uint64_t		standing_since;	 /* open, and the quorum's flush stands still below our own */
	bool			standing_before; /* we have resigned for that, and no commit has got through since */
	bool			other_could_lead;
	bool			other_has_all; /* a live member holds everything that we have */
	bool			replaceable;   /* raft_is_replaceable() */
	PrimaryHandOver hand_over;

	uint64_t open_timeout;
	uint64_t health_timeout;
	uint64_t stream_timeout; /* how long a receiver may bring nothing before it really streams */
	uint64_t prefer_open;	 /* how long a rebuild waits for the leader to be open */
	uint64_t rebuild_pause;	 /* before a third rebuild, and each that follows; 0: for ever */
} PrimaryFacts;

typedef enum PrimaryAction
{
	PRIMARY_WAIT = 0,
	PRIMARY_LEAVE,		   /* as WAIT, but a receiver goes on: nothing was ever claimed */
	PRIMARY_FOLLOW,		   /* raft_follow(timeline), then receive from node */
	PRIMARY_CLAIM,		   /* raft_claim(); a receiver that runs goes on */
	PRIMARY_RESUME_REPLAY, /* somebody has paused it */
	PRIMARY_PROMOTE,	   /* raft_promote(), which gives timeline, then the server */
	PRIMARY_MARK,		   /* write and flush a logical message: mark_term, mark_end */
	PRIMARY_OPEN,
	PRIMARY_DRAIN,	 /* no commit begins; those that wait are answered by rule 16 */
	PRIMARY_CLOSE,	 /* stay primary, answer nothing */
	PRIMARY_RESTART, /* stop at once if it runs, remove a "promote" file, start as a standby */
	PRIMARY_REWIND,	 /* from node, with floor */
	PRIMARY_CLONE,	 /* from node, with floor */
	PRIMARY_REBUILT, /* raft_rebuilt(); goes on following */
	PRIMARY_RESIGN,	 /* raft_resign() */
	PRIMARY_REFUSE,	 /* do nothing, and say so loudly */
	PRIMARY_ACTIONS
} PrimaryAction;

/* Why; each is one row of the table in decide.c, and one test. */
typedef enum PrimaryReason
{
	PRIMARY_LEADS_HALF_REBUILT = 0,
	PRIMARY_LEADS_WITHOUT_SERVER,
	PRIMARY_LEADS_WITHOUT_DATA,
	PRIMARY_LEADS_BEHIND,
	PRIMARY_LEADS_FOREIGN,
	PRIMARY_LEADS_FORBIDDEN,
	PRIMARY_LEADS_UNHEALTHY,
	PRIMARY_PROMOTION_PENDS,
	PRIMARY_HANDED_OVER,
	PRIMARY_DEPOSED,
	PRIMARY_LEADERLESS,
	PRIMARY_RESTART_WANTED,
	PRIMARY_FORBIDDEN,
	PRIMARY_OTHER_CLUSTER,
	PRIMARY_HALF_NO_SOURCE,
	PRIMARY_HALF_FAILS_AGAIN,
	PRIMARY_HALF_REWOUND,
	PRIMARY_HALF_CLONED,
	PRIMARY_GONE_IN_PAUSE,
	PRIMARY_GONE_NO_SOURCE,
	PRIMARY_GONE_NO_FLOOR,
	PRIMARY_GONE,
	PRIMARY_NOT_RUNNING,
	PRIMARY_NOTHING_CLAIMED,
	PRIMARY_NOTHING_CLAIMED_YET,

	PRIMARY_WRONG_TIMELINE,
	PRIMARY_NOT_KEPT,
	PRIMARY_DRAINS,
	PRIMARY_CLOSED_FOR_HAND_OVER,
	PRIMARY_NOT_OPENING,
	PRIMARY_CANNOT_COMMIT,
	PRIMARY_NO_LEASE,
	PRIMARY_OTHER_NAMES,
	PRIMARY_NO_MARK,
	PRIMARY_NO_QUORUM,
	PRIMARY_NOT_RELEASED,
	PRIMARY_UNHEALTHY,
	PRIMARY_STANDS_STILL,
	PRIMARY_ALL_GOOD,

	PRIMARY_PROMOTES,
	PRIMARY_IN_PAUSE,
	PRIMARY_STILL_RECEIVING,
	PRIMARY_END_UNKNOWN,
	PRIMARY_NO_CLAIM,
	PRIMARY_REPLAY_PAUSED,
	PRIMARY_CLAIM_UNKNOWN,
	PRIMARY_MANY_BURNT,
	PRIMARY_NOT_REPLAYED,
	PRIMARY_NO_LEASE_YET,
	PRIMARY_ELECTED,

	PRIMARY_WHOLE_ALONE,
	PRIMARY_NO_LEADER,
	PRIMARY_LEADER_UNKNOWN,
	PRIMARY_LEADER_NOT_READY,
	PRIMARY_NOT_COMPARABLE,
	PRIMARY_LOOK_AGAIN,
	PRIMARY_REBUILD_IN_PAUSE,
	PRIMARY_REINIT_RECEIVING,
	PRIMARY_REINIT_WANTED,
	PRIMARY_FAILS_AGAIN,
	PRIMARY_PREFERS_OPEN,
	PRIMARY_FOREIGN,
	PRIMARY_REWIND_PAUSED,
	PRIMARY_REWIND_NOT_REPLAYED,
	PRIMARY_REWIND_NO_CHECKPOINT,
	PRIMARY_DIVERGED,
	PRIMARY_DIVERGED_NO_REWIND,
	PRIMARY_AHEAD,
	PRIMARY_DIFFERS,
	PRIMARY_PART_LEFT,
	PRIMARY_NOT_STREAMING,
	PRIMARY_STREAMS_NEVER,
	PRIMARY_NOT_COMPARED,
	PRIMARY_IS_REBUILT,
	PRIMARY_COMPARED,
	PRIMARY_UNFORESEEN,
	PRIMARY_REASONS
} PrimaryReason;

typedef struct PrimaryOrder
{
	PrimaryAction action;
	PrimaryReason reason;
	int32_t		  node;		/* FOLLOW, REWIND, CLONE: from whom; else RAFT_NONE */
	uint32_t	  timeline; /* FOLLOW: the leader's; PROMOTE: the claim; else 0 */
	RaftPosition  floor;	/* REWIND, CLONE: the last point in common, for the marker */
	uint64_t	  again_at; /* ask again then, whatever happens; 0: only if a fact changes */
} PrimaryOrder;

/*
 * The facts that are the election's own: who leads in which term, what its state file has, and
 * what the leader says of itself.  The same for whoever hosts the member.
 */
extern void primary_take_election(PrimaryFacts *facts, const Raft *raft);

extern PrimaryOrder primary_decide(const PrimaryFacts *facts);

/*
 * What the election is told of our data (rule 15): the last flushed byte, cut before what
 * was written by hand.  Not known: it neither votes nor stands.  Foreign: it does not stand.
 */
typedef struct PrimaryPosition
{
	bool		 known;
	bool		 foreign; /* WAL that nobody has authorised here; may be true of an unknown one */
	bool		 by_hand; /* and this server wrote it itself; else it was received */
	RaftPosition position;
	RaftPosition begun; /* RaftData.begun */
} PrimaryPosition;

extern PrimaryPosition primary_position(const PrimaryFacts *facts);

/*
 * FOLLOW: the timelines of which WAL will be received, oldest first, for raft_follow(); of
 * more than "most", the last ones.  Returns how many.
 */
extern uint32_t primary_path(const PrimaryFacts *facts, uint32_t *timelines, uint32_t most);

/*
 * Do settings, health and version let this member stand?  For raft_set_may_lead(), beside
 * the operator's setting.  Whether its data do, raft/ knows from what it was told of them.
 */
extern bool primary_may_stand(const PrimaryFacts *facts);

/* Does our WAL go on where the leader's path does not? */
extern bool primary_diverged(const PrimaryFacts *facts);

/* Rule 22: is there less than the state file remembers?  Unknown data are not behind. */
extern bool primary_behind(const PrimaryFacts *facts);

/* WAL that a standby holds, without a gap. */
typedef struct PrimaryHeld
{
	uint64_t end;		  /* as far as the role worker knows */
	uint32_t timeline;	  /* in the name of the file in which that is */
	uint32_t received_on; /* the last timeline on which a receiver was let begin, 0: none was, */
	uint64_t received;	  /* and how far that was flushed */
} PrimaryHeld;

/*
 * May a receiver begin there?  Recovery asks for what follows the last page that it has read.  That
 * may be in the middle of a record that another leader had begun: then WAL of this leader is missing
 * before that place, and PostgreSQL would say all the same that it is flushed up to there.
 */
extern bool primary_may_begin(const PrimaryHeld *held, uint64_t start, uint32_t timeline);

/*
 * The floor of a rebuild that begins or goes on now (rule 21).  false: the leader has to
 * name it first.
 */
extern bool primary_floor(const PrimaryFacts *facts, RaftPosition *floor);

/* "FOLLOW", for tests and transcripts. */
extern const char *primary_action_name(PrimaryAction action);

/* "prefix_differs", for tests and transcripts. */
extern const char *primary_reason_name(PrimaryReason reason);

/* Why it must not stand or lead, as one clause without a full stop; NULL: it may. */
extern const char *primary_health_words(PrimaryHealth health);

/*
 * Why, as one clause without a full stop; about a setting or health with what to do about
 * it.  Always terminates the text; returns buffer.
 */
extern const char *primary_describe(const PrimaryOrder *order, const PrimaryFacts *facts,
									char *buffer, size_t size);

#endif /* PG_LEADER_PRIMARY_H */
