/*
 * raft/raft.c
 *	  The door of the core: start, what is due, what comes in.
 *
 * See raft.h for the contract, internal.h for which file holds what.
 */
#include "internal.h"

#include <assert.h>
#include <string.h>

/* ---- configuration and start ---- */

const char *
raft_check_config(const RaftConfig *config)
{
	const RaftTimeouts *t = &config->timeouts;
	uint32_t			n = 0;

	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
		n += config->wanted >> id & 1;
	if (n == 0 || n != config->list_size || (config->wanted & ~config->members) != 0)
		return "the member list is empty";
	if (config->node_id < 0 || config->node_id >= RAFT_MAX_NODES ||
		!(config->wanted >> config->node_id & 1))
		return "this node id is not in the member list";
	if (t->min_timeout == 0 || t->heartbeat_interval == 0)
		return "timeouts must be greater than zero";
	if (t->min_timeout >= t->max_timeout)
		return "the minimum timeout must be below the maximum timeout";
	if (t->max_timeout > RAFT_MAX_PROMISE)
		return "the maximum timeout must not be above 10 minutes";
	if (t->heartbeat_interval > t->min_timeout / 2)
		return "the heartbeat interval must be at most half the minimum timeout";
	if (t->max_drift_ppm > 500000)
		return "the clock drift must be at most 0.5";
	if (raft_lease_of(t, t->min_timeout) <= t->heartbeat_interval)
		return "the lease would be shorter than the heartbeat interval: raise the minimum timeout, or lower the heartbeat interval or the clock drift";
	return NULL;
}

/*
 * Which members count is not for a configured list to say once anything was claimed; but one that
 * has other addresses for them is about other servers.
 */
static bool
is_other_list(const RaftSaved *loaded, const RaftConfig *config)
{
	return loaded->list.number == 0 ? loaded->list_digest != config->list_digest : !raft_list_fits(config, &loaded->list);
}

void
raft_first_record(const RaftSaved *loaded, bool damaged, const RaftConfig *config,
				  RaftSaved *first)
{
	if (loaded == NULL)
	{
		/* Nobody can tell a new member from one that lost its state. */
		memset(first, 0, sizeof(*first));
		first->voted_for = RAFT_UNKNOWN;
		first->rebuild_source = RAFT_NONE;
		first->list_digest = config->list_digest;
		first->list_size = config->list_size;
		first->abstaining = RAFT_ABSTAIN_NEW;
	}
	else
	{
		*first = *loaded;
		if (first->abstaining == RAFT_VOTING && damaged)
			first->abstaining = RAFT_ABSTAIN_DAMAGED;
		if (first->abstaining == RAFT_VOTING && is_other_list(first, config))
			first->abstaining = RAFT_ABSTAIN_LIST;
		if (first->abstaining == RAFT_VOTING)
		{
			first->list_digest = config->list_digest;
			first->list_size = config->list_size;
		}
	}
	first->save_number++;
	first->boot++;
}

void
raft_init(Raft *r, const RaftConfig *config, const RaftSaved *saved, uint64_t now)
{
	assert(raft_check_config(config) == NULL);
	assert(saved->boot > 0 && saved->save_number > 0 && saved->term <= RAFT_MAX_TERM);
	assert(saved->abstaining != RAFT_VOTING || saved->list_digest == config->list_digest);

	memset(r, 0, sizeof(*r));
	r->config = *config;
	r->saved = *saved;
	r->may_lead = config->may_lead;
	r->random = config->seed;
	r->loaded_save_number = saved->save_number - 1;
	r->role_since = now;
	r->leader_id = r->term_leader = r->replaced_leader = r->promised_leader = RAFT_NONE;

	/* Bound by the longest stored promise, whoever it was given to. */
	r->promised_others_until = r->longest_until = now + saved->promise;
	for_each_peer(r, id)
		r->peers[id].greet_at = now;
	raft_start_timer(r, now);
}

/* ---- the calls ---- */

static void
tick_follower(Raft *r, uint64_t now, RaftOutput *out)
{
	if (now < r->timer || now < raft_promise_until(r))
		return;
	if (raft_can_stand(r))
		raft_start_pre_vote(r, now, out);
	else
	{
		int32_t leader_id = r->leader_id;

		raft_follow_nobody(r, now);
		if (leader_id != RAFT_NONE)
			raft_note(r, out, RAFT_LEADER_LOST, leader_id, now - r->leader_heard_at);
	}
}

/* Said once: without those nobody can be elected, and if they are lost a person has to say so. */
static void
note_list_leaves_out(Raft *r, RaftOutput *out)
{
	bool leaves_out = r->leader_id == RAFT_NONE && raft_list_leaves_out(r);

	if (leaves_out && !r->said_list_leaves_out)
		raft_note(r, out, RAFT_LIST_LEAVES_OUT, RAFT_NONE, raft_count_nodes(raft_voters(r) & ~r->config.wanted));
	r->said_list_leaves_out = leaves_out;
}

void
raft_tick(Raft *r, uint64_t now, RaftOutput *out)
{
	raft_clear_output(out);
	note_list_leaves_out(r, out);
	raft_tick_greetings(r, now, out);
	raft_tick_abstaining(r, now, out);
	switch (r->role)
	{
		case RAFT_FOLLOWER:
			tick_follower(r, now, out);
			break;
		case RAFT_PRE_CANDIDATE:
		case RAFT_CANDIDATE:
			raft_tick_asking(r, now, out);
			break;
		case RAFT_LEADER:
			raft_tick_leader(r, now, out);
			break;
	}
}

uint64_t
raft_deadline(const Raft *r)
{
	uint64_t deadline = NEVER;

	for_each_peer(r, id)
		deadline = sooner_of(deadline, r->peers[id].greet_at);
	if (r->abstain_until != 0)
		deadline = sooner_of(deadline, r->abstain_until);
	switch (r->role)
	{
		case RAFT_FOLLOWER:
			return sooner_of(deadline, later_of(r->timer, raft_promise_until(r)));
		case RAFT_PRE_CANDIDATE:
		case RAFT_CANDIDATE:
			return sooner_of(deadline, sooner_of(r->timer, raft_ask_deadline(r)));
		case RAFT_LEADER:
			break;
	}
	return sooner_of(deadline, sooner_of(r->heartbeat_at, raft_quorum_deadline(r)));
}

/* Messages of members with another list are accepted, but their votes do not count. */
static bool
is_about_votes(RaftMessageType type)
{
	return type != RAFT_HEARTBEAT && type != RAFT_HEARTBEAT_ANSWER;
}

static void
dispatch(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	switch (m->type)
	{
		case RAFT_PRE_VOTE_REQUEST:
			raft_on_pre_vote_request(r, now, m, out);
			break;
		case RAFT_PRE_VOTE_ANSWER:
			raft_on_pre_vote_answer(r, now, m, out);
			break;
		case RAFT_VOTE_REQUEST:
			raft_on_vote_request(r, now, m, out);
			break;
		case RAFT_VOTE_ANSWER:
			raft_on_vote_answer(r, now, m, out);
			break;
		case RAFT_HEARTBEAT:
			raft_on_heartbeat(r, now, m, out);
			break;
		case RAFT_HEARTBEAT_ANSWER:
			if (raft_on_heartbeat_answer(r, now, m, out))
				raft_follow_member_ahead(r, now, m, out);
			break;
		case RAFT_TRANSFER:
			raft_on_transfer(r, now, m, out);
			break;
		default:
			raft_drop(r, out, RAFT_DROP_IMPOSSIBLE);
			break;
	}
}

/* Whoever does not count any more does not lead, and stands for nothing. */
static void
heed_list(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	raft_heed_list(r, m, out);
	if (r->role == RAFT_FOLLOWER || raft_list_lets_stand(r))
		return;
	if (r->role == RAFT_CANDIDATE)
		r->counters.elections_lost++;
	if (r->role == RAFT_LEADER)
		raft_stop_leading(r, now, out, RAFT_RESIGNED, RAFT_NONE, 1, 0);
	else
		raft_follow_nobody(r, now);
}

void
raft_receive(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	raft_clear_output(out);
	if (m->to != r->config.node_id || m->from == m->to || !raft_is_member(r, m->from))
	{
		raft_drop(r, out, RAFT_DROP_UNKNOWN_NODE);
		return;
	}
	if (!message_is_possible(m))
	{
		raft_drop(r, out, RAFT_DROP_IMPOSSIBLE);
		return;
	}
	r->counters.received[m->type]++;
	if (!raft_recognise(r, now, m, out))
		return;
	heed_list(r, now, m, out);
	if (m->type == RAFT_GREETING_ANSWER)
		raft_on_greeting_answer(r, now, m, out);
	else if (m->type == RAFT_GREETING_CONFIRM)
		return;
	else if (!r->peers[m->from].answered)
		raft_drop(r, out, RAFT_DROP_NOT_GREETED);
	else if (is_about_votes(m->type) && !raft_knows_list(r, m))
		raft_drop(r, out, RAFT_DROP_OTHER_LIST);
	else
		dispatch(r, now, m, out);
}

void
raft_set_position(Raft *r, RaftPosition position)
{
	if (!r->config.managed)
		r->position = position;
}

void
raft_set_may_lead(Raft *r, bool may_lead)
{
	r->may_lead = may_lead;
}

void
raft_set_timeouts(Raft *r, const RaftTimeouts *timeouts)
{
	r->config.timeouts = *timeouts;
	assert(raft_check_config(&r->config) == NULL);
}
