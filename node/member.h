/*
 * node/member.h
 *	  A member: the core of the election, and the one place where what it decided is
 *	  saved, shown and sent, in this order.
 *
 * The host is what a member needs of the world around it, as a small table of
 * functions: a clock, a place for the record that must survive, somebody to show
 * things to, a network.  On a real machine that is node/home.c; the simulator, the
 * unit tests, the explorer and the fuzzers have hosts of their own, so that they run
 * the very functions that servers run.
 *
 * A host reads what has come and calls member_receive() for each message; then, when
 * member_deadline() has come, member_tick() (FIRST READ, THEN TICK of raft.h).
 *
 * Whenever a member has been told that its record could not be made durable, nothing
 * of the call that asked for it is shown or sent, and the member has ended: the host
 * starts another one from what the disk holds.
 *
 * No backend symbols, no input or output of its own.
 */
#ifndef PG_LEADER_MEMBER_H
#define PG_LEADER_MEMBER_H

#include "../raft/raft.h"

typedef struct Member Member;

/* What has become of a save. */
typedef enum MemberSave
{
	MEMBER_SAVED = 0, /* it is durable */
	MEMBER_SAVING,	  /* not yet: member_saved() will tell */
	MEMBER_NOT_SAVED  /* it cannot be made durable */
} MemberSave;

/*
 * Called by the member, in this order, for each call that brought something about.
 * What is to be saved is member->raft.saved; all else is in member->raft and
 * member->output, which nobody changes meanwhile.
 */
typedef struct MemberHost
{
	uint64_t (*now)(Member *member); /* microseconds of the election's clock */
	void (*decided)(Member *member); /* for whoever checks, before anything is done; or NULL */
	MemberSave (*save)(Member *member);
	void (*show)(Member *member);
	void (*send)(Member *member, const RaftMessage *message);
	void (*sent)(Member *member); /* all is done: what may take its time; or NULL */
} MemberHost;

typedef enum MemberState
{
	MEMBER_ENDED = 0,
	MEMBER_RUNS,
	MEMBER_WAITS /* for its save: takes no call but member_saved() */
} MemberState;

struct Member
{
	Raft			   raft;
	RaftOutput		   output;	 /* of the last call */
	const RaftMessage *received; /* that the last call took in; NULL: none */
	MemberState		   state;
	uint64_t		   now; /* of the last call */
	const MemberHost  *host;
	void			  *context; /* the host's */
};

/*
 * Begin as a follower.  "first" is durable and was made by raft_first_record().  What
 * the member is then gets shown.
 */
extern void member_start(Member *member, const MemberHost *host, void *context,
						 const RaftConfig *config, const RaftSaved *first);

/* End it, whatever it is doing; its record stays the host's. */
extern void member_end(Member *member);

/* When member_tick() must be called; always finite. */
extern uint64_t member_deadline(const Member *member);

/*
 * Take in one message that was read from the network.  *message has to stay until the
 * member is done with it: MEMBER_WAITS is over.
 */
extern void member_receive(Member *member, const RaftMessage *message);

/*
 * Handle expired timers.  "read_by": a moment at which all that had come by then was
 * received, or as much of it as one turn may take.  A timer that expired later waits for
 * the next call.
 */
extern void member_tick(Member *member, uint64_t read_by);

/* Planned hand-over, see raft_transfer(). */
extern RaftTransferResult member_transfer(Member *member, int32_t target);

/* About to stop: see raft_resign(). */
extern void member_resign(Member *member);

/* pg_leader_admit(), see raft_admit(). */
extern bool member_admit(Member *member);

/* How new this member's data is.  Takes effect with the next vote. */
extern void member_set_position(Member *member, RaftPosition position);

/* ---- of a managed member, see raft.h ---- */

extern void			   member_set_data(Member *member, const RaftData *data);
extern void			   member_remember_held(Member *member, RaftPosition held);
extern RaftClaimResult member_claim(Member *member);
extern uint32_t		   member_promote(Member *member);
extern void			   member_promoted(Member *member);
extern bool			   member_follow(Member *member, const uint32_t *timelines, uint32_t n);
extern bool			   member_rebuild(Member *member, RaftRebuild how, RaftPosition floor);
extern bool			   member_rebuilt(Member *member);
extern bool			   member_trust_data(Member *member);
extern RaftPauseResult member_pause(Member *member, bool pauses);
extern bool			   member_set_list(Member *member, const RaftConfig *config);

/*
 * Settings that can change: timeouts, which passed raft_check_config(), and whether it
 * may lead.  A leader that may no longer lead resigns.
 */
extern void member_reload(Member *member, const RaftTimeouts *timeouts, bool may_lead);

/* After MEMBER_SAVING: the record is durable, or cannot be made so. */
extern void member_saved(Member *member, bool durable);

#endif /* PG_LEADER_MEMBER_H */
