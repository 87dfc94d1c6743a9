/*
 * server/role.h
 *	  The role worker's parts: it gathers facts, asks primary/decide.c, and obeys.
 *
 *	  role_worker.c	the process: its turns, and its channel to the supervisor
 *	  role_obey.c	what is done for an order
 *	  role_facts.c	what is known of this server, and of leading
 *	  role_leader.c	what is known of the leader: asked over a connection
 *	  role_note.c	what this member held, in a file
 *	  role_switchover.c	a planned hand-over
 *	  slots.c		the replication slots of the other members
 *	  role_show.c	what the supervisor sees of all this
 *
 * It decides nothing: what is not in primary/ or raft/ is not decided.  test/sim/keeper.c is
 * the same for simulated servers.  One process, so all that it knows is in one record.
 */
#ifndef PG_LEADER_ROLE_H
#define PG_LEADER_ROLE_H

#include "../node/upstream.h"
#include "../primary/control.h"
#include "../primary/promotion.h"
#include "../primary/quorum.h"
#include "../primary/slots.h"
#include "../primary/watch.h"
#include "exchange.h"
#include "position.h"

typedef struct Role
{
	/* The election. */
	Raft	 raft;	 /* as of this turn */
	uint64_t life;	 /* raft.saved.boot of the member that this process talks to */
	uint64_t lease;	 /* until when it was shown for the present term; 0: no */
	bool	 leaves; /* the supervisor was told to stop */
	uint64_t now;

	/* This server. */
	RaftServer	server;
	bool		end_known;
	uint64_t	end;		   /* while nothing is received: of the last whole record, */
	PositionEnd read;		   /* as it was read last */
	uint64_t	partial;	   /* what was flushed of the next one ends there, and counts in votes; 0: nothing */
	uint64_t	looked_at;	   /* the end that was looked at for that */
	uint32_t	file_timeline; /* of the file that the end is in */
	uint64_t	replay;		   /* at the last turn */
	Lineage		own;		   /* of the WAL that ends there */
	uint32_t	own_read;	   /* the timeline that it was read for; 0: not read */
	uint32_t	wrote_on;
	uint64_t	system_id;
	bool		noted; /* the member was told what the note says */

	/* The leader. */
	Upstream		 upstream;
	UpstreamIdentity identity;
	uint64_t		 asked_at; /* when it was asked last */
	uint64_t		 asked_term;
	int32_t			 asked_leader;
	bool			 asked_promoted;
	bool			 is_known; /* identity and lineage are that leader's */
	bool			 is_fresh; /* and were read in this turn */
	Lineage			 leader;
	bool			 has_fork;
	bool			 has_end;
	uint64_t		 has_end_for;

	/* What is remembered from one turn to the next. */
	WatchLeading   leading;
	WatchFollowing following;
	WatchDirectory directory;
	uint32_t	   asked;			 /* the claim that this process has asked to promote to */
	uint64_t	   asked_claim_term; /* in which that was claimed: in another one it is worth nothing */
	uint64_t	   asked_life;
	PrimaryRemains remains; /* of the directory that the server runs on */
	bool		   open;
	int32_t		   loose_node;	   /* on whom the receiver was let loose, */
	uint32_t	   loose_timeline; /* and on which timeline */
	bool		   names_leader;   /* conninfo is that of whoever leads */
	char		   conninfo[EXCHANGE_CONNINFO_SIZE];
	uint64_t	   woken_at; /* when recovery was */
	bool		   archives; /* the archiver does not have all burnt ids yet */
	uint64_t	   archived_at;
	uint64_t	   marked_at; /* and no checkpoint was asked for since; 0: it was */

	uint64_t health_said_at[PRIMARY_HEALTHS];
	uint64_t end_said_at;

	PrimaryFacts facts;
	PrimaryOrder order;
	uint64_t	 order_since;
} Role;

extern Role role;

/* Is the process to end? */
extern bool role_stops(void);

/* In the log, at most once a minute ("last": once_a_minute.h): what failed, and the words for it. */
extern void role_say_failed(int level, uint64_t *last, const char *what, const Words *words);

/* ---- role_facts.c ---- */

/* How far local WAL reaches by now. */
extern void role_learn_end(void);
extern void role_gather(void);

/* Tell the member what the data are; true: something was new. */
extern bool role_tell_member(void);

/* Is synchronous_standby_names that of the member list? */
extern bool role_has_names(void);

/* Who holds this server's WAL now, for primary/quorum.h.  senders: room for RAFT_MAX_NODES. */
extern void role_view_quorum(QuorumView *view, QuorumSender *senders);

/* ---- role_leader.c ---- */

/* Whoever leads: learn its position and lineage, if that is due; may wait for it. */
extern void role_ask_leader(void);

/* Has it answered just now? */
extern bool role_reaches_leader(void);

/* What was learned, into role.facts. */
extern void role_gather_leader(void);

/*
 * How to connect to that member, under our name with that after it; room for
 * EXCHANGE_CONNINFO_SIZE.  Any process; raft: what exchange_read_core() has given.  false, with
 * words: where it is, is not known.
 */
extern bool role_conninfo(const Raft *raft, int32_t id, const char *suffix, char *conninfo, Words *words);

/* Compare the last bytes of WAL, if role.following wants that; may wait for the leader. */
extern void role_compare(void);

/* ---- role_note.c ---- */

/* Read at the start; told to each member that begins (true: just now); written as it changes. */
extern void role_note_begin(void);
extern bool role_note_tell(void);
extern void role_note_keep(void);

/* ---- role_switchover.c ---- */

/* Begin and go on with a planned hand-over; writes role.facts.hand_over. */
extern void role_switch_over(void);

/* Must the stop of this server wait for a moment, until who has asked for the hand-over has heard of it? */
extern bool role_is_to_tell(void);

/* ---- slots.c ---- */

/* In each turn, as long as nothing is to be waited for: one slot is made or dropped at most. */
extern void role_keep_slots(void);

/* ---- role_row.c ---- */

/* At the end of each turn, for people; then role_show(). */
extern void role_show_row(void);

/* ---- role_show.c ---- */

/* At the end of each turn, onto the supervisor's board.  row: of that turn. */
extern void role_show(const ExchangeShown *row);

/* ---- role_obey.c ---- */

extern void role_obey(void);

/* A claim that was used up: may the server be promoted to it by now? */
extern void role_authorise(void);

/* primary_conninfo and synchronous_standby_names, as far as no order writes them. */
extern void role_keep_settings(void);

/* In each turn: what the order says of the fence; and the walsenders that may not be there. */
extern void role_keep_fence(void);

/* In each turn: the receiver's gate is shut and none runs, unless the order lets one. */
extern void role_stop_receiver(void);

/* What is said to the supervisor. */
extern void role_send(ControlType type);

#endif /* PG_LEADER_ROLE_H */
