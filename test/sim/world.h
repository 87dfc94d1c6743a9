/*
 * test/sim/world.h
 *	  A simulated world: clusters of real cores in virtual time.
 *
 * The election (raft/), the datagram codec, the member (node/member.c: save, show,
 * send) and the logic of the state file are the real ones; clocks, network, disks and processes are made here, from one
 * seed.  Time is in microseconds, and every number is an integer: the same seed
 * gives the same run on any machine and at any level of optimisation.
 *
 *	  world.c		virtual time, clocks, processes, the members' host
 *	  network.c		what happens to a datagram between two processes
 *	  disk.c		what happens to a record between core and state file
 *	  checker.c		the invariants, after every step
 *	  scenarios*.c	worlds made by hand;  random.c	worlds made by a seed
 *	  main.c		the program
 *
 * A core has no wall clock to jump: its only time is the local clock given here.
 * Only a new store takes its numbers from one.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "member.h"
#include "store.h"

#define SIM_WALL_CLOCK_MS UINT64_C(1000000) /* at the world's start; numbers new stores */
#define SIM_NODES		  32				/* processes: 31 members, and a twin */
#define SIM_MAX_SIZE	  31				/* members of the largest cluster */
#define SIM_TERMS		  32768				/* a run that needs more is a failure */
#define SIM_PACKETS		  65536
#define SIM_EVENTS		  (2 * SIM_PACKETS)
#define SIM_INBOX		  256 /* datagrams that a socket buffers */
#define SIM_ARCHIVE		  512 /* recorded datagrams, for replaying */
#define SIM_TRACE		  4096
#define SIM_LINE		  200
#define SIM_CLUSTER		  UINT64_C(0x706C6561646572)
#define SIM_NEVER		  UINT64_MAX
#define MS(n)			  ((uint64_t) (n) *1000)
#define SECONDS(n)		  ((uint64_t) (n) *1000000)
#define PER_MILLION		  1000000
#define SIM_RESTART		  SECONDS(1) /* the server's interval for its worker */
#define SIM_TEXT_SIZE	  512

/* Where in a step a process dies. */
typedef enum CrashPoint
{
	CRASH_NONE = 0,
	CRASH_BEFORE_SAVE,
	CRASH_TORN_SAVE,   /* and the record is half written */
	CRASH_BEFORE_SHOW, /* saved, but neither shown nor sent */
	CRASH_MID_SEND,	   /* some messages are out */
	CRASH_POINTS
} CrashPoint;

/*
 * What a run has done: name and floor in units per 1000 random runs.  Floors
 * are about a third of what was measured, so that they notice a fault that does
 * not happen any more, and not a mix that has shifted a little.
 */
#define COVERAGE(ITEM)                                                \
	ITEM(STEPS, "steps", 4700000)                                     \
	ITEM(ELECTIONS_WON, "elections won", 1900)                        \
	ITEM(ELECTIONS_LOST, "elections lost", 580)                       \
	ITEM(SPLIT_VOTES, "split votes", 130)                             \
	ITEM(VOTES_REFUSED, "votes refused", 3500)                        \
	ITEM(PRE_VOTES_REFUSED, "pre-votes refused", 72000)               \
	ITEM(QUORUM_LOST, "leaders without a quorum", 620)                \
	ITEM(LEASES_EXPIRED, "leases expired", 2000)                      \
	ITEM(TRANSFERS, "transfers begun", 610)                           \
	ITEM(STANDS_ABOVE, "members that came back ahead", 16)            \
	ITEM(CRASH_IDLE, "crashes between steps", 1500)                   \
	ITEM(CRASH_BEFORE_SAVE, "crashes before a save", 94)              \
	ITEM(CRASH_TORN_SAVE, "crashes that tear a save", 93)             \
	ITEM(CRASH_BEFORE_SHOW, "crashes between save and show", 93)      \
	ITEM(CRASH_MID_SEND, "crashes in the middle of sending", 85)      \
	ITEM(REBOOTS, "reboots", 750)                                     \
	ITEM(STARTS, "starts", 4900)                                      \
	ITEM(STOPS, "graceful stops", 540)                                \
	ITEM(PAUSES, "pauses", 2300)                                      \
	ITEM(SLOW_SAVES, "slow saves", 320)                               \
	ITEM(SAVES_FAILED, "saves failed", 120)                           \
	ITEM(READ_LATE, "datagrams that waited in a buffer", 76000)       \
	ITEM(OVERFLOWS, "datagrams that found a buffer full", 100)        \
	ITEM(LOST, "datagrams lost", 160000)                              \
	ITEM(CUT, "datagrams on a cut link", 1200000)                     \
	ITEM(DUPLICATED, "datagrams duplicated", 30000)                   \
	ITEM(DELAYED, "datagrams delayed past others", 30000)             \
	ITEM(CLOGGED, "datagrams on a clogged link", 9400)                \
	ITEM(REPLAYED, "datagrams replayed", 51000)                       \
	ITEM(FLIPPED, "datagrams with a bit flipped", 10000)              \
	ITEM(DROPPED_ECHO, "drops: meant for another start", 39000)       \
	ITEM(DROPPED_STALE, "drops: stale answers", 54000)                \
	ITEM(DROPPED_SEEN, "drops: seen before or too late", 50000)       \
	ITEM(DROPPED_GREETED, "drops: greeting repeated too soon", 10000) \
	ITEM(DROPPED_OLD_START, "drops: of an earlier start", 5000)       \
	ITEM(PARTITIONS, "partitions", 1200)                              \
	ITEM(WIPES, "state files wiped", 240)                             \
	ITEM(OLD_COPIES, "old copies restored", 33)                       \
	ITEM(ROTS, "slots rotten", 230)                                   \
	ITEM(ABSTAIN_BEGUN, "abstainings begun", 1200)                    \
	ITEM(ABSTAIN_ENDED, "abstainings ended", 750)                     \
	ITEM(RELOADS, "timeouts reloaded", 680)                           \
	ITEM(CLOCKS, "clock rates changed", 1800)                         \
	ITEM(POSITIONS, "positions risen", 1900)                          \
	ITEM(CANDIDATE, "may_lead switched", 360)                         \
	ITEM(LISTS, "member lists appended", 190)                         \
	ITEM(CALMS, "calm windows (L)", 1700)                             \
	ITEM(EDGES, "windows of disturbance at the edge (B)", 310)

#define COVERAGE_NAME(name, text, floor) COVER_##name,
typedef enum CoverageItem
{
	COVERAGE(COVERAGE_NAME)
	COVER_ITEMS
} CoverageItem;

/* A clock that runs at its own rate from its own origin. */
typedef struct Clock
{
	uint64_t true_base;
	uint64_t local_base;
	uint64_t rate; /* local us per million true us */
} Clock;

typedef struct Disk
{
	bool	 exists;
	int		 next_slot;
	uint64_t save_min; /* how long a save takes */
	uint64_t save_max;
	uint32_t fail_ppm; /* saves that fail */
	uint32_t slow_ppm; /* saves that take slow_max */
	uint64_t slow_max;
	bool	 fail_next; /* by scenarios */
	bool	 lies;		/* acknowledges, and keeps it in memory */
	uint8_t	 image[STORE_FILE_SIZE];
	uint8_t	 kept[STORE_FILE_SIZE]; /* what a power loss leaves of a liar's */
	uint8_t	 copy[STORE_FILE_SIZE]; /* an old copy */
	bool	 has_copy;
} Disk;

typedef struct Node
{
	int32_t		 id;
	Clock		 clock;
	Disk		 disk;
	RaftConfig	 config; /* of the next start */
	RaftPosition position;
	uint32_t	 version; /* newest of the datagram that its program understands */
	bool		 at_wrong_address;

	/* The process. */
	bool		  up;
	bool		  paused;
	uint32_t	  life;		/* number of its starts */
	StoreVerdict  verdict;	/* of its last start; not good: it takes no part */
	CrashPoint	  plan;		/* of its next step that saves (MID_SEND: that sends) */
	bool		  is_saved; /* what this step saves is on disk, and the process dies before it shows that */
	CrashPoint	  point;	/* of this step */
	uint32_t	  n_sent;	/* messages of this step that are on their way */
	uint32_t	  n_to_send;
	uint64_t	  timer_event;
	int32_t		  inbox[SIM_INBOX];
	uint32_t	  n_inbox;
	Member		  member;
	RaftMessage	  message; /* that it has read */
	RaftSaved	  durable; /* what its disk holds, read back */
	RaftSaved	  before;  /* the same, before the last call */
	struct World *world;

	/* What others can see of it. */
	uint64_t shown;		/* its lease, local; 0: none */
	uint64_t lease_end; /* the same in true time */

	/* The checker's. */
	uint64_t max_term;	/* that it ever saved; starts anew when state is lost */
	bool	 abstained; /* by its last record */
} Node;

typedef struct Packet
{
	uint64_t sent_at;
	int16_t	 from; /* processes */
	int16_t	 to;
	uint16_t length;
	bool	 broken; /* a bit was flipped: its checksum is wrong */
	int32_t	 next_free;
	uint8_t	 bytes[MESSAGE_SIZE + 48];
} Packet;

typedef struct Event
{
	uint64_t at;
	uint64_t order;
	uint8_t	 type;
	uint8_t	 node;
	uint32_t arg;
} Event;

typedef struct Link
{
	uint32_t delay_min;
	uint32_t delay_max;
	bool	 cut;
	uint64_t clogged_until; /* what is sent before arrives then */
} Link;

typedef struct Failure
{
	char	 invariant; /* S V M P F X L B, A: assertion, E: expectation */
	uint64_t step;
	uint64_t at;
	uint64_t nodes; /* bit i: involved */
	char	 text[SIM_TEXT_SIZE];
} Failure;

typedef enum SendVerdict
{
	SEND_ON = 0,
	SEND_NOT
} SendVerdict;

typedef struct World
{
	uint64_t now;
	uint64_t seed;
	uint64_t random;
	uint64_t steps;
	uint64_t hash;
	int		 n;			/* processes */
	int		 n_members; /* members of the present list */
	Node	 node[SIM_NODES];

	/* Network. */
	Link	 link[SIM_NODES][SIM_NODES];
	int16_t	 route[SIM_NODES][SIM_NODES]; /* [process][node id] -> process */
	uint32_t loss_ppm;
	uint32_t duplicate_ppm;
	uint32_t late_ppm;
	uint64_t late_max;
	uint32_t flip_ppm;
	uint32_t record_ppm;
	Packet	 archive[SIM_ARCHIVE];
	uint32_t n_archive;
	SendVerdict (*on_send)(struct World *w, const RaftMessage *m); /* by scenarios */
	void (*on_step)(struct World *w, Node *n);					   /* after a step was shown */
	int		 arg;												   /* of these two */
	uint64_t other_version;										   /* dropped: another wire version */
	uint64_t no_member;											   /* dropped: wrong source, or no datagram of ours */
	uint64_t sent;

	/* Faults of processes, from random.c. */
	uint32_t crash_ppm; /* a step that saves ends in a crash */
	bool	 restarts;	/* who is down starts again by itself */
	uint64_t down_max;
	void (*on_chaos)(struct World *w);
	struct Keepers *keepers; /* NULL: members only elect */

	/* Checker. */
	int			lost; /* a node that lost state and does not vote yet; -1: none */
	uint8_t		leader_of[SIM_TERMS];
	uint8_t		vote_of[SIM_TERMS][SIM_NODES];
	uint64_t	max_term;
	int			b_leader;  /* -1, or who must go on leading */
	uint64_t	b_healthy; /* the members that it is connected to */
	uint64_t	b_term;
	uint64_t	b_budget; /* changes of its term that are still allowed */
	uint64_t	coverage[COVER_ITEMS];
	uint64_t	data[96];	 /* the same of runs with servers, see keeper.h */
	uint64_t	reasons[96]; /* how often primary/decide.c gave each */
	Failure		failure;
	const char *wanted; /* violations that must be found; NULL: none */
	jmp_buf		escape;

	/* Tracing: 0 off, 1 into the ring, 2 to standard output. */
	int		 tracing;
	uint64_t n_lines;
	struct
	{
		uint64_t nodes;
		char	 text[SIM_LINE];
	} lines[SIM_TRACE];

	/* Events, packets. */
	uint64_t order;
	uint32_t n_events;
	Event	 heap[SIM_EVENTS];
	int32_t	 free_packet;
	uint32_t n_packets; /* ever used */
	Packet	 packet[SIM_PACKETS];
} World;

enum
{
	EVENT_DELIVER,
	EVENT_TIMER,
	EVENT_SAVED,
	EVENT_START,
	EVENT_RESUME,
	EVENT_SERVER, /* a turn of a simulated server, see keeper.h */
	EVENT_CHAOS
};

/* ---- world.c ---- */

extern uint64_t draw(World *w);
extern uint64_t between(World *w, uint64_t low, uint64_t high); /* both included */
extern bool		chance(World *w, uint32_t ppm);

/* An empty world of n members at default timings, on a LAN; nobody runs yet. */
extern void world_reset(World *w, int n, uint64_t seed);
extern void world_reset_node(World *w, int i); /* a process that has never run */
extern void world_schedule(World *w, uint64_t at, int type, int node, uint32_t arg);
extern bool world_event(World *w, uint64_t until); /* false: none until then */
extern void world_run(World *w, uint64_t us);

extern uint64_t clock_local(const World *w, const Node *n);
extern uint64_t clock_true(const Clock *c, uint64_t local); /* when it shows that */
extern void		clock_set_rate(World *w, int i, uint64_t rate);

/* Member list: the first "size" ids, or any set. */
extern void				  node_set_list(Node *n, uint64_t members);
extern void				  node_new_list(World *w, int i, uint64_t members); /* and a member that runs has it at once, if it is free */
extern void				  node_start(World *w, int i);
extern void				  node_new(World *w, int i); /* a first state file that does not abstain */
extern void				  node_crash(World *w, int i, bool power);
extern void				  node_stop(World *w, int i);
extern void				  node_pause(World *w, int i, uint64_t us); /* SIM_NEVER: until resumed */
extern void				  node_resume(World *w, int i);
extern void				  node_read(World *w, int i, int32_t packet);
extern void				  node_reload(World *w, int i, const RaftTimeouts *t);
extern void				  node_may_lead(World *w, int i, bool may_lead);
extern RaftTransferResult node_transfer(World *w, int i, int32_t target);
extern void				  node_hasten(World *w, int i);
extern void				  node_admit(World *w, int i);
extern bool				  node_is_free(const World *w, int i);	 /* up, not blocked */
extern bool				  node_is_saving(const World *w, int i); /* blocked in a save */
/* A node has lost state, and nobody has found that out yet. */
extern bool world_is_guarded(const World *w);
extern bool node_has_lease(const World *w, int i);
extern void node_rearm(World *w, int i); /* something was asked of it: its deadline may have changed */
extern void node_harvest(World *w, Node *n);
extern void world_start_all(World *w);	 /* new state files, all start now */
extern int	world_lease(const World *w); /* who holds one; -1 */
extern void world_trace(World *w, uint64_t nodes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define TRACE(w, ...)                          \
	do                                         \
	{                                          \
		if (__builtin_expect((w)->tracing, 0)) \
			world_trace((w), __VA_ARGS__);     \
	} while (0)
#define BIT(i) (UINT64_C(1) << (i))

/* ---- network.c ---- */

extern void	   network_init(World *w);
extern void	   network_send(World *w, Node *n, const RaftMessage *m);
extern int32_t packet_new(World *w);
extern void	   packet_free(World *w, int32_t p);
extern void	   node_set_version(Node *n, uint32_t version);
extern bool	   packet_read(World *w, const Packet *p, RaftMessage *m);
extern void	   network_cut(World *w, int a, int b); /* both ways */
extern void	   network_cut_way(World *w, int from, int to);
extern void	   network_isolate(World *w, int a);
extern void	   network_heal(World *w);
extern void	   network_delays(World *w, uint32_t low, uint32_t high);
extern void	   network_replay(World *w, const Packet *recorded);
extern void	   network_inject(World *w, int to, const uint8_t *bytes, size_t length, int from);

/* ---- disk.c ---- */

extern void			disk_init(World *w, Node *n);
extern uint64_t		disk_latency(World *w, Node *n);
extern bool			disk_fails(World *w, Node *n);
extern void			disk_write(World *w, Node *n, const RaftSaved *saved);
extern void			disk_create(World *w, Node *n, const RaftSaved *saved);
extern void			disk_tear(World *w, Node *n, const RaftSaved *saved);
extern void			disk_fail(World *w, Node *n, const RaftSaved *saved);
extern StoreVerdict disk_open(World *w, Node *n, RaftSaved *saved);
extern void			disk_wipe(World *w, int i);
extern void			disk_rot(World *w, int i);
extern void			disk_keep_copy(World *w, int i);
extern void			disk_restore_copy(World *w, int i);
extern bool			disk_is_remembered(const World *w, int i); /* its last save, by all others */

#endif /* SIM_WORLD_H */
