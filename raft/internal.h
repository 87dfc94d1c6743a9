/*
 * raft/internal.h
 *	  Internal declarations of the core. Not included elsewhere.
 *
 *	  raft.c		the door: start, tick, receive, deadline
 *	  greeting.c	who is who: starts, twins, old copies, replays
 *	  abstain.c		a member that may have lost its state: its way back
 *	  handover.c	transfer, resigning, a member that is ahead
 *	  election.c	pre-votes and votes
 *	  leader.c		heartbeats, check quorum
 *	  claim.c		claims, promotions, rebuilds
 *	  pause.c		paused or not
 *	  membership.c	the member list changes
 *	  promise.c		promises given, and the lease that others' promises make
 *	  state.c		output, messages, terms, roles, timers
 *	  data.c		what a member's data lets it do
 *	  list.c		which members count, and majorities of them
 *
 * Each file calls only files that stand below it here.  describe.c and message.c
 * stand alone.
 */
#ifndef PG_LEADER_RAFT_INTERNAL_H
#define PG_LEADER_RAFT_INTERNAL_H

#include "raft.h"

#define NEVER UINT64_MAX

/* A peer that has answered is greeted again after this long a silence, at least. */
#define RAFT_PROBE_INTERVAL UINT64_C(1000000)

static inline uint64_t
later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t
sooner_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline bool
raft_is_member(const Raft *r, int32_t id)
{
	return id >= 0 && id < RAFT_MAX_NODES && (r->config.members >> id & 1) != 0;
}

/* Each call starts with an empty output. */
static inline void
raft_clear_output(RaftOutput *out)
{
	out->outcome = RAFT_TAKEN;
	out->heard = false;
	out->save = false;
	out->n_messages = 0;
	out->n_events = 0;
}

/* The next member after "id" that is not this one; RAFT_NONE: no more. */
static inline int32_t
raft_next_peer(const Raft *r, int32_t id)
{
	for (id++; id < RAFT_MAX_NODES && r->config.members >> id != 0; id++)
	{
		if (raft_is_member(r, id) && id != r->config.node_id)
			return id;
	}
	return RAFT_NONE;
}

#define for_each_peer(r, id) \
	for (int32_t id = raft_next_peer(r, -1); id != RAFT_NONE; id = raft_next_peer(r, id))

/* Has the peer acknowledged within the last "limit" us? */
static inline bool
is_live(const RaftPeer *peer, uint64_t now, uint64_t limit)
{
	return peer->acked_at != 0 && now - peer->acked_at <= limit;
}

/* list.c */
extern bool		raft_same_list(const Raft *r, const RaftPeer *peer);
extern bool		raft_knows_list(const Raft *r, const RaftMessage *m);
extern bool		raft_list_lets_vote(const Raft *r, const RaftList *candidate);
extern bool		raft_list_lets_stand(const Raft *r);
extern bool		raft_is_majority(uint64_t nodes, uint64_t members);
extern uint64_t raft_by_quorum(const Raft *r, const uint64_t *values);

/* data.c */
extern RaftPosition raft_voting_position(const Raft *r);
extern bool			raft_data_let_vote(const Raft *r, const RaftTold *candidate);
extern bool			raft_data_let_stand(const Raft *r);
extern void			raft_tell(const Raft *r, RaftMessageType type, int32_t to, RaftTold *told);

/* claim.c */
extern bool raft_is_waited_for(const Raft *r, uint64_t now, int32_t id);
extern void raft_count_votes_claims(Raft *r, RaftOutput *out);
extern void raft_heed_leader(Raft *r, const RaftMessage *m, RaftOutput *out);
extern void raft_heed_follower(Raft *r, const RaftMessage *m);
extern void raft_take_system_id(Raft *r, RaftOutput *out);
extern void raft_heed_claims_of_all(Raft *r, uint64_t heard, RaftOutput *out);

/* pause.c */
extern void raft_heed_pause(Raft *r, const RaftMessage *m, RaftOutput *out);
extern void raft_count_votes_pauses(Raft *r, RaftOutput *out);
extern void raft_heed_pauses_of_all(Raft *r, uint64_t heard, RaftOutput *out);

/* membership.c */
extern void raft_begin_list(Raft *r, RaftOutput *out);
extern void raft_heed_list(Raft *r, const RaftMessage *m, RaftOutput *out);
extern bool raft_force_list(Raft *r, RaftOutput *out);
extern void raft_forget_lists(Raft *r);
extern void raft_take_addresses(Raft *r);
extern void raft_tend_list(Raft *r, uint64_t now, RaftOutput *out);

/* state.c */
extern uint8_t		raft_newest_version(const Raft *r);
extern uint8_t		raft_version_for(const Raft *r, uint8_t theirs);
extern void			raft_mark_save(Raft *r, RaftOutput *out);
extern void			raft_note(Raft *r, RaftOutput *out, RaftReason reason, int32_t peer, uint64_t value);
extern void			raft_note_nodes(Raft *r, RaftOutput *out, RaftReason reason, int32_t peer,
									uint64_t value, uint64_t nodes);
extern void			raft_drop(Raft *r, RaftOutput *out, RaftOutcome why);
extern RaftMessage *raft_add_message(Raft *r, RaftOutput *out, RaftMessageType type, int32_t to);
extern void			raft_raise_term(Raft *r, uint64_t term, RaftOutput *out);
extern void			raft_set_role(Raft *r, uint64_t now, RaftRole role);
extern void			raft_follow_nobody(Raft *r, uint64_t now);
extern void			raft_start_timer(Raft *r, uint64_t now);
extern bool			raft_can_stand(const Raft *r);
extern bool			raft_counts_in_quorum(const Raft *r, int32_t id);

/* promise.c */
extern uint64_t raft_lease_of(const RaftTimeouts *timeouts, uint64_t promise);
extern uint64_t raft_lease_length(const Raft *r, uint64_t promise);
extern uint64_t raft_bound_until(const Raft *r, uint64_t replaced_term, int32_t replaced_leader);
extern void		raft_lift_promise(Raft *r, uint64_t replaced_term, int32_t replaced_leader);
extern void		raft_give_promise(Raft *r, uint64_t now, uint64_t term, int32_t leader,
								  uint64_t promise, RaftOutput *out);

/* leader.c */
extern void		raft_become_leader(Raft *r, uint64_t now, uint64_t voters, RaftOutput *out);
extern void		raft_stop_leading(Raft *r, uint64_t now, RaftOutput *out, RaftReason reason, int32_t peer,
								  uint64_t value, uint64_t nodes);
extern void		raft_tick_leader(Raft *r, uint64_t now, RaftOutput *out);
extern uint64_t raft_quorum_deadline(const Raft *r);
extern void		raft_on_heartbeat(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);
extern bool		raft_on_heartbeat_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);

/* election.c */
extern void		raft_start_pre_vote(Raft *r, uint64_t now, RaftOutput *out);
extern bool		raft_stand(Raft *r, uint64_t now, uint64_t above, uint64_t replaced_term,
						   int32_t replaced_leader, RaftReason reason, int32_t peer,
						   RaftOutput *out);
extern void		raft_ask(Raft *r, uint64_t now, RaftOutput *out);
extern uint64_t raft_ask_deadline(const Raft *r);
extern void		raft_tick_asking(Raft *r, uint64_t now, RaftOutput *out);
extern void		raft_on_pre_vote_request(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);
extern void		raft_on_pre_vote_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);
extern void		raft_on_vote_request(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);
extern void		raft_on_vote_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);

/* handover.c */
extern void raft_follow_member_ahead(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);
extern void raft_on_transfer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);

/* abstain.c */
extern void raft_tick_abstaining(Raft *r, uint64_t now, RaftOutput *out);

/* greeting.c */
extern bool raft_recognise(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);
extern void raft_on_greeting_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out);
extern void raft_tick_greetings(Raft *r, uint64_t now, RaftOutput *out);

#endif /* PG_LEADER_RAFT_INTERNAL_H */
