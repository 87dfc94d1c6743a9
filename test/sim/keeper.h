/*
 * test/sim/keeper.h
 *	  Simulated servers under the simulated members: what the role worker, the supervisor
 *	  and the fence do, obeying primary/ as the real ones do.
 *
 *	  keeper.c	one turn of a server: facts, the order, obeying it
 *	  facts.c	what its worker knows
 *	  mishaps.c	what befalls it: kills, power, freezes, cut connections
 *	  supervisor.c	starts, stops and rebuilds
 *	  processes.c	the startup process, walreceivers and walsenders
 *	  ledger.c	clients, answers, and the invariants D1 to D6 and L1
 *	  hand_over.c	planned hand-overs, and that they end: H1 to H3
 *	  adoption.c	a primary that was there before, and is adopted
 *	  data.c	random runs with servers
 *	  directed.c	those of them that are led to a situation
 *	  faults.[ch]	their faults
 */
#ifndef SIM_KEEPER_H
#define SIM_KEEPER_H

#include "../../primary/fence.h"
#include "../../primary/health.h"
#include "../../primary/primary.h"
#include "../../primary/promotion.h"
#include "../../primary/quorum.h"
#include "../../primary/start.h"
#include "../../primary/watch.h"
#include "../../primary/switchover.h"
#include "server.h"
#include "world.h"

#define SIM_SYSTEM 1 /* of every server */

/* What random runs with servers did; floors in units per 1000 runs. */
#define DATA_COVERAGE(ITEM)                                               \
	ITEM(TURNS, "turns of servers", 3000000)                              \
	ITEM(CLAIMS, "claims", 1500)                                          \
	ITEM(PROMOTIONS, "promotions", 1900)                                  \
	ITEM(PROMOTIONS_REFUSED, "promotions refused at the end", 22)         \
	ITEM(OPENED, "times that a primary opened", 1600)                     \
	ITEM(KEPT, "timelines kept by rule 17", 160)                          \
	ITEM(COMMITS, "commits", 60000)                                       \
	ITEM(ANSWERED, "commits answered", 60000)                             \
	ITEM(WITHHELD, "answers withheld", 250)                               \
	ITEM(WAITED, "commits that waited for the fence", 700)                \
	ITEM(REFUSED, "commits refused by the fence", 2100)                   \
	ITEM(LOGINS_REFUSED, "logins refused by the fence", 12000)            \
	ITEM(READS, "reads", 33000)                                           \
	ITEM(STANDBY_READS, "reads of standbys", 50000)                       \
	ITEM(FOLLOWS, "receivers let loose", 8000)                            \
	ITEM(REWINDS, "rewinds begun", 120)                                   \
	ITEM(CLONES, "clones begun", 1300)                                    \
	ITEM(REBUILDS_STOPPED, "rebuilds stopped half-way", 250)              \
	ITEM(REBUILT, "rebuilds finished", 1000)                              \
	ITEM(SERVER_CRASHES, "servers killed", 1800)                          \
	ITEM(POWER_LOSSES, "machines without power", 2000)                    \
	ITEM(BLACKOUTS, "times that all lost power at once", 200)             \
	ITEM(BY_HAND, "promotions by hand", 46)                               \
	ITEM(WIPED, "data directories lost", 14)                              \
	ITEM(RESTORED, "older copies of data put back", 5)                    \
	ITEM(PAUSED, "replays paused", 850)                                   \
	ITEM(FLOORS_NAMED, "floors named for data that were gone", 45)        \
	ITEM(BEYOND, "runs that ended with too few copies", 0)                \
	ITEM(RECYCLED, "times that WAL was recycled", 500)                    \
	ITEM(BURIED, "machines that never came back", 200)                    \
	ITEM(CALMS, "runs that no full table cut short", 980)                 \
	ITEM(ADOPTIONS, "primaries adopted", 60)                              \
	ITEM(ADOPTED, "commits adopted", 1000)                                \
	ITEM(DIRECTED, "directed runs", 15)                                   \
	ITEM(VOTES_FIRST, "votes before flushes", 10)                         \
	ITEM(FIGURE_EIGHTS, "figure eights seen", 10)                         \
	ITEM(WAL_CUTS, "connections of servers cut", 500)                     \
	ITEM(STATES_LOST, "state files lost", 10)                             \
	ITEM(HAND_OVERS, "hand-overs", 32)                                    \
	ITEM(SWITCHOVERS, "switchovers begun", 600)                           \
	ITEM(SWITCHED, "switchovers done", 280)                               \
	ITEM(SWITCHED_BACK, "switchovers given up", 86)                       \
	ITEM(PROCESSES, "members killed", 760)                                \
	ITEM(PAUSES, "members that stood still", 670)                         \
	ITEM(ISOLATIONS, "members cut off", 890)                              \
	ITEM(HEALS, "networks mended", 4900)                                  \
	ITEM(DISKS_FULL, "disks full", 540)                                   \
	ITEM(RECEIVERS, "walreceivers ended", 200)                            \
	ITEM(REBUILDS_KILLED, "programs of rebuilds killed", 29)              \
	ITEM(CHECKPOINTS, "checkpoints and restartpoints", 330)               \
	ITEM(CLAIMS_LOST, "claims that nobody used", 40)                      \
	ITEM(REWINDS_STOPPED, "rewinds stopped half-way", 6)                  \
	ITEM(REPLIES_LOST, "replies of standbys lost", 76000)                 \
	ITEM(DELAYED, "replays delayed", 290)                                 \
	ITEM(NO_START, "servers that could not start for seconds", 230)       \
	ITEM(HOMES, "members that went to their other home", 930)             \
	ITEM(HANGS, "disks that hung for seconds", 250)                       \
	ITEM(FREEZES, "servers that gave no answer for seconds", 150)         \
	ITEM(BY_HAND_DONE, "promotions by hand that went through", 17)        \
	ITEM(OTHER_SYSTEMS, "directories of another system put in place", 22) \
	ITEM(OLD_BOTH, "older copies of data and state put back together", 5) \
	ITEM(CANCELLED, "waits for the quorum cancelled", 260)                \
	ITEM(TERMINATED, "sessions ended in their wait for the quorum", 250)  \
	ITEM(SECOND_SENDERS, "second walsenders of one standby", 2200)        \
	ITEM(UNHELD, "runs whose receivers report to whomever they like", 15) \
	ITEM(CLONES_ASIDE, "clones begun beside an intact directory", 180)    \
	ITEM(SWAPPED, "such clones put in its place", 110)                    \
	ITEM(OTHER_NAMES, "synchronous_standby_names changed by hand", 260)   \
	ITEM(FORBIDDEN, "settings that managed mode refuses", 240)            \
	ITEM(IN_PLACE, "servers restarted in place", 590)                     \
	ITEM(CLUSTER_PAUSED, "clusters paused", 150)                          \
	ITEM(CLUSTER_RESUMED, "clusters not paused any more", 150)            \
	ITEM(RESTARTS_WANTED, "restarts that an operator wanted", 200)        \
	ITEM(REINITS_WANTED, "new copies that an operator wanted", 200)       \
	ITEM(LISTS, "member lists written by an operator", 100)               \
	ITEM(LISTS_REACHED, "such lists reached", 50)

#define DATA_COVERAGE_NAME(name, text, floor) DATA_##name,
typedef enum DataItem
{
	DATA_COVERAGE(DATA_COVERAGE_NAME)
	DATA_ITEMS
} DataItem;

_Static_assert(DATA_ITEMS <= sizeof(((World *) NULL)->data) / sizeof(uint64_t), "World.data has room");
_Static_assert(PRIMARY_REASONS <= sizeof(((World *) NULL)->reasons) / sizeof(uint64_t), "World.reasons has room");

/* What scenarios keep from getting on. */
typedef enum Hold
{
	HOLD_STARTUP = 1,  /* the startup process: replay, promotion */
	HOLD_RECEIVER = 2, /* the walreceiver: nothing comes in */
	HOLD_FLUSH = 4,	   /* what came in is not flushed */
	HOLD_REPLIES = 8,  /* what standbys report does not arrive here */
	HOLD_RELEASE = 16, /* PostgreSQL ends no wait here */
	HOLD_ANSWERS = 32, /* backends do not get on to their answers */
	HOLD_REBUILD = 64, /* a rewind or clone */
	HOLD_WORKER = 128  /* the role worker: it gathers and does nothing */
} Hold;

/* A planned hand-over, and the worker that drives it. */
typedef struct HandOver
{
	Switchover		   switchover;
	uint32_t		   life; /* of that process and that start of the server */
	uint32_t		   start;
	uint64_t		   ends; /* when the time for its step is over, local */
	SwitchoverStep	   farthest;
	bool			   checkpoint_done;
	bool			   checkpoint_failed;
	bool			   transfer_tried;
	RaftTransferResult transfer;
	int				   turns_told; /* since the target was told to stand */
	int				   endings;	   /* of the walsenders */
} HandOver;

/* Those of one server. */
typedef struct Clients
{
	uint64_t waits_since;	/* one waits for the fence, and then commits; its member's clock, 0: nobody does */
	uint32_t session_start; /* somebody has logged in to that start of the server */
} Clients;

/* What an operator wants of one server. */
typedef enum MaintenanceWish
{
	WISH_NOTHING = 0,
	WISH_RESTART,
	WISH_REINIT
} MaintenanceWish;

/* The worker of one server, and its supervisor. */
typedef struct Keeper
{
	/* Worker memory: of that process and that start of the server. */
	uint32_t	   life;
	uint32_t	   start;
	bool		   told; /* data_told is what the member was told last */
	RaftData	   data_told;
	bool		   end_known;
	uint64_t	   end;		 /* a running maximum */
	uint64_t	   told_end; /* that the member was told last */
	WatchFollowing following;
	WatchLeading   leading;

	/* Shared memory: of that start. */
	uint32_t authorised; /* for the startup process; 0: nothing is */
	uint32_t used;		 /* what it was authorised to */
	uint32_t asked;		 /* what the worker has asked the member for, and in which life */
	uint32_t asked_life;
	uint64_t authorised_term;
	uint32_t claim_made;	 /* and neither used nor lost yet; 0: none */
	uint32_t promoted_start; /* 0: not by us */
	bool	 open;
	uint32_t compared_start; /* the last one of which fence_compared() was true */

	/* From whom the receiver was let loose last, and in which term. */
	int32_t	 loose_source;
	uint64_t loose_term;
	uint32_t followed_start; /* the last one that has followed, or was left alone */

	/* The supervisor's. */
	uint32_t	   wrote_on;
	RaftPosition   note; /* in a file: what it held, once a second (rule 22) */
	uint64_t	   note_at;
	bool		   note_told;
	bool		   lost; /* truth: its data were lost or replaced, and it has not been rebuilt since */
	bool		   no_rewind;
	bool		   target_ahead;	/* a promotion was refused for that */
	bool		   nobody_asked;	/* rm_cleanup is not called at the end of this recovery, as before redo */
	uint64_t	   other_until;		/* true time: then the directory of another system is removed */
	bool		   ran;				/* at its last turn, so that its member is the election worker's */
	uint64_t	   no_start_until;	/* true time: its directory cannot be used, its port is taken */
	uint64_t	   forbidden_until; /* a setting that managed mode refuses */
	uint64_t	   names_until;		/* synchronous_standby_names are empty */
	bool		   names_changed;	/* and its worker has not seen that yet */
	RaftList	   named;			/* whose names it has written */
	uint64_t	   hangs_until;		/* its disk */
	uint64_t	   frozen_until;	/* the processes of that start; the member and the supervisor live */
	uint32_t	   frozen_start;
	uint64_t	   frozen_at; /* local */
	HealthWatch	   health;
	PrimaryRemains remains;
	WatchDirectory directory;
	bool		   rebuilding; /* its program runs */
	bool		   aside;	   /* and beside the directory */
	RaftRebuild	   rebuild_how;

	/* Histories that were read: own and the leader's. */
	uint32_t own_key;
	uint32_t leader_key;
	Lineage	 own;
	Lineage	 leader;

	MaintenanceWish wish;
	uint32_t		wish_start; /* of the server */
	uint64_t		wish_until; /* true time */

	HandOver	 hand_over;
	Clients		 clients;
	PrimaryOrder order; /* the last one */
	unsigned	 holds; /* bits of Hold */
} Keeper;

/* The operator of the cluster. */
typedef struct Maintenance
{
	uint64_t until; /* true time: so long he wants it to be paused */
	bool	 told;	/* that it is; false: that it is not */
	bool	 waits; /* he has asked, and was not told yet that it is so */
	bool	 ends;	/* for the end of a pause */
} Maintenance;

typedef enum AdoptionStep
{
	ADOPTION_NONE = 0,	/* all servers are managed, and one was open */
	ADOPTION_BEFORE,	/* node 0's server is a primary that nobody manages, or is about to be started as one */
	ADOPTION_UNDER_WAY, /* its supervisor has it, and nobody has opened */
} AdoptionStep;

typedef struct Adoption
{
	AdoptionStep step;
	uint64_t	 stops_at;
	uint64_t	 answered[SIM_COMMIT_WORDS]; /* by node 0's server, outside the fence */
} Adoption;

typedef struct Keepers
{
	SimCluster cluster;
	World	  *world;
	Keeper	   keeper[SIM_SERVERS];
	uint64_t   interval;			 /* between two turns of a server, at most, us */
	bool	   calm;				 /* no more faults: everything gets on */
	uint64_t   buried;				 /* bit j: that machine never comes back */
	uint32_t   rebuild_ppm;			 /* a rebuild takes its next step in a turn */
	uint32_t   reply_loss_ppm;		 /* of what standbys report */
	bool	   two_homes;			 /* members move between election worker and supervisor */
	uint64_t   wal_cut[SIM_SERVERS]; /* bit j: no connection to that server, in spite of datagrams */
	bool	   wal_apart;			 /* connections go another way than datagrams do */
	SimLsn	   wal_keep;			 /* wal_keep_size, in segments */
	bool	   replies_always;		 /* receivers are not held to rule 20: what stands behind it is tried */
	bool	   two_senders;			 /* a login may come before the older walsender has ended */
	bool	   clones_aside;		 /* into a side directory, as long as the old one is intact */
	bool	   no_shield;			 /* a cancelled wait is what it is in PostgreSQL */
	uint64_t   fence_wait;			 /* pg_leader.fence_wait, us */

	Adoption	adoption;
	Maintenance maintenance;

	/* ledger.c */
	uint64_t hung_up[SIM_COMMIT_WORDS]; /* nobody is there any more who could be told */
	uint64_t answered[SIM_COMMIT_WORDS];
	uint64_t closed_since[SIM_COMMITS];	   /* the fence, as who waits for an answer has seen it; 0: it is open */
	uint64_t seen[SIM_COMMIT_WORDS];	   /* by readers of open primaries */
	uint8_t	 authorised_of[SIM_TIMELINES]; /* 1 + node that was authorised to create it */
} Keepers;

/* ---- keeper.c ---- */

/* n servers, node 0's with data, the others empty; the members must be managed. */
extern void keepers_begin(World *w, Keepers *k);
extern void keepers_event(World *w, int i);			 /* EVENT_SERVER */
extern void keepers_look(World *w, int i);			 /* before each call of its member: what its server holds by now */
extern bool keeper_is_open(const World *w, int i);	 /* the fence, in its member's term */
extern bool keeper_has_names(const World *w, int i); /* the list's, in synchronous_standby_names */

/* ---- mishaps.c ---- */

extern void keeper_kill(World *w, int i); /* its server */
extern bool keeper_restart_in_place(World *w, int i);
extern void keeper_put_other(World *w, int i, uint64_t us);
extern void keeper_remove_other(World *w, int i);
extern bool keeper_freeze(World *w, int i, uint64_t us); /* all processes of its server */
extern bool keeper_is_frozen(const World *w, int i);

/* Its machine: at most so many records are on disk beyond what was synced; 0: none, and nothing is drawn. */
extern void keeper_lose_power(World *w, int i, uint64_t most);

/* Connections of servers between two machines; and mend all. */
extern void keeper_cut(World *w, int a, int b);
extern void keepers_mend(World *w);

/* ---- ledger.c ---- */

extern void ledger_clients(World *w, int i);
extern void ledger_opens(World *w, int i);
extern void ledger_streams(World *w, int i);
extern void ledger_authorised(World *w, int i, uint32_t timeline);
extern void ledger_view(const World *w, int i, QuorumView *view, QuorumSender *senders);
extern bool ledger_settled(const World *w); /* L1 */
extern bool ledger_end_wait(World *w, int commit, SimOutcome how);

/* ---- hand_over.c ---- */

/* To the fittest, if target is RAFT_NONE.  What came of it; one that is under way goes on. */
extern SwitchoverReason hand_over_begin(World *w, int i, int target, const SwitchoverLimits *limits);
extern void				hand_over_turn(World *w, int i);	/* the steps that can be done now */
extern void				hand_over_answers(World *w, int i); /* a commit: may it? */
extern void				hand_over_begins(World *w, int i);	/* the same of one that begins */
extern void				hand_over_in_calm(World *w);		/* the leader's, begun and ended; L1 holds before and after */

/* ---- maintenance.c ---- */

extern void			   maintenance_pause(World *w, uint64_t us); /* the cluster; 0: not, or no longer */
extern void			   maintenance_wish(World *w, int i, MaintenanceWish wish);
extern MaintenanceWish maintenance_wished(const World *w, int i);
extern void			   maintenance_turn(World *w, int i); /* with who leads */
extern void			   maintenance_promotes(World *w, int i);
extern void			   maintenance_rebuilds(World *w, int i);

/* ---- adoption.c ---- */

/*
 * Instead of world_start_all(): node 0's server runs as a primary until then, those standbys
 * (bit i: node i) stream from it, all others are empty.  Its member is not managed yet, or does
 * not run.
 */
extern void adoption_begin(World *w, uint64_t standbys, bool has_member, uint64_t stops_at);
extern bool adoption_turn(World *w, int i); /* true: its keeper does nothing yet */
extern void adoption_claims(World *w, int i);
extern void adoption_opens(World *w);

/* ---- directed.c ---- */

typedef struct Story
{
	const char *name;
	void (*play)(World *w); /* once; all follow before */
	int smallest;			/* of the clusters that it needs */
	int largest;
} Story;

extern const Story stories[]; /* ends with a NULL name */

extern int	directed_size(World *w, const Story *story);
extern void directed_play(World *w, const Story *story); /* some times */

/* ---- data.c ---- */

/* size 0, story NULL: by seed. */
extern void data_run(World *w, uint64_t seed, int size, const Story *story);

#endif /* SIM_KEEPER_H */
