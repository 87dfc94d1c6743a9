/*
 * test/explore/world.h
 *	  A small world around the real election code: two or three cores, what
 *	  their disks hold, the datagrams on their way, and what has to be remembered
 *	  to judge them.  One state of it is a few hundred bytes.
 *
 * The explorer (explore.c) asks which steps are possible in a state and what
 * comes of them.  A step loads the cores that take part into struct Raft, calls
 * the code of raft/, checks what it did, and packs the result again: nothing of
 * the election is modelled here.
 *
 * A state is kept in a form in which two states that differ only in what the
 * election cannot tell apart are the same bytes; normalise.c says what that is.
 *
 * Time: all clocks show the same, and stand still until the step "time passes"
 * moves them by one unit.  No timer is ever forced to be served in time: a
 * member that is late is a member that was not scheduled.  So "nothing happens
 * on this node for a while" needs no steps of its own.
 */
#ifndef PG_LEADER_EXPLORE_WORLD_H
#define PG_LEADER_EXPLORE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "invariants.h"
#include "member.h"

#define WORLD_NODES	  3	 /* at most */
#define WORLD_TERMS	  8	 /* terms 0 .. 7 are remembered */
#define WORLD_ROUNDS  16 /* rounds of heartbeats that still matter */
#define WORLD_BAG	  16 /* datagrams, before the surplus is lost */
#define WORLD_REASONS RAFT_REASONS

/* The one moment at which everything happens; times are packed relative to it. */
#define WORLD_NOW	  UINT64_C(1000000000)
#define WORLD_UNIT_MS 5

/* How much of everything there may be. */
typedef struct WorldLimits
{
	int	 nodes;		 /* 2 or 3 */
	int	 terms;		 /* highest term, below WORLD_TERMS */
	int	 flight;	 /* datagrams on their way at a time */
	int	 duplicates; /* datagrams delivered and delivered again */
	int	 crashes;
	int	 transfers;
	int	 wipes;	 /* state files lost */
	int	 units;	 /* a promise lasts that many units of time */
	int	 claims; /* highest timeline that is claimed; 0: members only elect */
	bool different_positions;
	bool exact; /* forget nothing, see normalise.c */
} WorldLimits;

/* Bits of WorldPeer.flags. */
enum
{
	PEER_ABSTAINING = 1,
	PEER_MAY_LEAD = 2,
	PEER_ANSWERED = 4,
	PEER_SAME_LIST = 8,
	PEER_POSITION = 16,
	PEER_HEARD = 32,
	PEER_BOUND = 64
};

/*
 * Times are packed, as the comments behind them say.  An "end" is milliseconds from
 * now, 0 when it is over.  A "point" keeps 0 for never, and how long ago it was for as
 * long as that can matter: 1 + milliseconds from the earliest that is told apart.
 */
typedef struct WorldPeer
{
	uint8_t boot;
	uint8_t incarnation;
	uint8_t save_number;
	uint8_t earlier_save;
	uint8_t term;
	uint8_t flags;
	uint8_t answer_term;
	uint8_t answer_promise;
	uint8_t sent; /* number of the last datagram that went to it */
	uint8_t sequence;
	uint8_t window[2]; /* bit k: sequence - k was seen; high byte first */
	uint8_t ballot;
	uint8_t ask_at; /* point */
	uint8_t acked_round;
	uint8_t acked_at;	 /* point */
	uint8_t bound_until; /* end */
	uint8_t acked_claim;
	uint8_t voted_claim;
} WorldPeer;

typedef struct WorldNode
{
	uint8_t up;
	uint8_t shown_lease; /* end; stays shown when the node crashes */

	/* On disk; equal to the core's saved state whenever the node is up. */
	uint8_t save_number;
	uint8_t boot;
	uint8_t term;
	int8_t	voted_for;
	uint8_t promise; /* ms */
	uint8_t abstaining;
	uint8_t stored_claim;

	/* The rest is zero on a node that is down. */
	uint8_t	  incarnation;
	uint8_t	  loaded_save_number;
	uint8_t	  role;
	int8_t	  leader_id;
	int8_t	  term_leader;
	uint8_t	  heard_round;
	uint8_t	  timer; /* point; the earliest moment at which it may run out */
	uint8_t	  promised_term;
	int8_t	  promised_leader;
	uint8_t	  promised_until;		 /* end */
	uint8_t	  promised_others_until; /* end */
	uint8_t	  longest_until;		 /* end */
	uint8_t	  round;
	uint8_t	  asked_at;		 /* point */
	uint8_t	  asked_promise; /* ms */
	uint8_t	  replaced_term;
	int8_t	  replaced_leader;
	uint8_t	  heartbeat_at; /* point */
	uint8_t	  heartbeat_round;
	uint8_t	  own_bound_until; /* end */
	uint8_t	  elected_claim;
	uint8_t	  claim;
	uint8_t	  heard_from;
	uint8_t	  gone_above;			 /* lately: within the second that this world may last */
	uint8_t	  abstain_until;		 /* point */
	uint8_t	  sent_at[WORLD_ROUNDS]; /* points, by round - 1 */
	WorldPeer peers[WORLD_NODES];
} WorldNode;

enum
{
	MESSAGE_ABSTAINING = 1,
	MESSAGE_MAY_LEAD = 2,
	MESSAGE_GRANTED = 4,
	MESSAGE_POSITION = 8,
	MESSAGE_BOUND = 16
};

/* A datagram on its way; greetings never are, see step.c. */
typedef struct WorldMessage
{
	uint8_t type;
	uint8_t from;
	uint8_t to;
	uint8_t flags;
	uint8_t term;
	uint8_t round;
	uint8_t asked_term;
	uint8_t promise; /* ms */
	uint8_t replaced_term;
	int8_t	leader_id;
	int8_t	replaced_leader;
	uint8_t boot;
	uint8_t incarnation;
	uint8_t echo_boot;
	uint8_t echo_incarnation;
	uint8_t claim;
	uint8_t sequence; /* from here on, two that differ only in this are one */
	uint8_t save_number;
} WorldMessage;

typedef struct World
{
	uint8_t n_flight;
	uint8_t duplicates;
	uint8_t crashes;
	uint8_t transfers;
	uint8_t wipes;

	/* What the checks remember; 0: nothing, else 1 + node id. */
	uint8_t leader_of[WORLD_TERMS];
	uint8_t promoted; /* bit t: somebody was authorised to create timeline t */
	uint8_t vote_of[WORLD_NODES][WORLD_TERMS];

	WorldNode	 node[WORLD_NODES];
	WorldMessage flight[WORLD_BAG]; /* last: only what is used is kept */
} World;

typedef enum WorldStepKind
{
	STEP_TIME_PASSES = 0,
	STEP_TICK,		/* node does what is due; its timer holds */
	STEP_TIME_OUT,	/* the same, and its timer runs out now */
	STEP_DELIVER,	/* item: index of the datagram */
	STEP_DUPLICATE, /* the same, and it stays on its way */
	STEP_RESTART,	/* node ends and starts again */
	STEP_START,		/* node that is down starts */
	STEP_WIPE,		/* node ends, loses its state file and starts */
	STEP_TRANSFER,	/* item: the target */
	STEP_CLAIM,		/* a leader claims the next timeline */
	STEP_PROMOTE,	/* and uses the claim up */
	STEP_KINDS
} WorldStepKind;

#define KEEP_ALL 0xFFFF

typedef struct WorldStep
{
	WorldStepKind kind;
	int			  node;
	int			  item;
	bool		  crash; /* between the save and showing or sending anything */
	uint32_t	  keep;	 /* which datagrams are not lost for want of room */
} WorldStep;

typedef enum WorldResult
{
	WORLD_DONE = 0,
	WORLD_NOT_POSSIBLE, /* no such step in this state */
	WORLD_OVER_LIMIT,
	WORLD_VIOLATION
} WorldResult;

extern WorldLimits world_limits;
extern FILE		  *world_trace;						   /* where to say what happens; or NULL */
extern uint64_t	   world_happened[WORLD_REASONS];	   /* events of the cores, by reason */
extern uint64_t	   world_steps[STEP_KINDS];			   /* steps that could be taken */
extern uint64_t	   world_sent[RAFT_MESSAGE_TYPES + 1]; /* datagrams put on their way */
extern bool		   world_saved;						   /* has the last step saved? */

/* pack.c */
extern void				 world_prepare(void); /* after setting world_limits */
extern Member			*world_load(const World *w, int i);
extern void				 world_store(World *w, int i, const Raft *r);
extern void				 world_store_saved(WorldNode *n, const RaftSaved *saved);
extern void				 world_load_saved(const WorldNode *n, RaftSaved *saved);
extern void				 world_unpack_message(const WorldMessage *p, RaftMessage *m);
extern void				 world_pack_message(const RaftMessage *m, WorldMessage *p);
extern void				 world_pass_time(World *w);
extern uint8_t			 world_pack_end(uint64_t t);
extern RaftPosition		 world_position(int i);
extern const RaftConfig *world_config(int i);

/* normalise.c */
extern void world_normalise(World *w);

/* How many bytes of it are in use. */
static inline size_t
world_size(const World *w)
{
	return offsetof(World, flight) + w->n_flight * sizeof(WorldMessage);
}

/* step.c */

/*
 * Take the step in *w.  The result is not normalised, and may have more datagrams
 * on their way than there may be: world_lose() comes next.
 */
extern WorldResult world_act(World *w, const WorldStep *step);

/* Greetings of that type (0: all) between two nodes are lost; a < 0: none are. */
extern void world_lose_greetings(int a, int b, int type);

/* Keep the datagrams in the mask, and normalise. */
extern void world_lose(World *w, uint32_t keep);

/* starts.c */

/* The state by that name, or false; world_start_names[] ends with NULL. */
extern bool				 world_begin(World *w, const char *name);
extern bool				 world_start_needs_three(const char *name);
extern const char *const world_start_names[];

/* check.c */
extern bool world_check_start(const World *w, int i, const RaftSaved *before, bool wiped);
extern bool world_check_saved(World *w, int i, const RaftSaved *saved);
extern bool world_check_shown(World *w, const InvariantsCall *call, const RaftSaved *durable);
extern bool world_check_leases(const World *w);
extern bool world_check_promotion(World *w, int i, uint32_t timeline);

/* tell.c */
extern void world_tell_step(const World *w, const WorldStep *step);
extern void world_tell_output(const World *w, int i, const Raft *r, const RaftOutput *out);

#endif /* PG_LEADER_EXPLORE_WORLD_H */
