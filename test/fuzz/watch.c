/*
 * test/fuzz/watch.c
 *	  What must hold of the one core that fuzz_core.c plays with.
 *
 * It keeps an account of its own of who voted and who promised, from the messages
 * alone: the core may claim less than that, and never more.  Called by
 * fuzz_core.c around every call of the core; changes nothing in it.
 */
#include <string.h>

#include "fuzz.h"
#include "fuzz_core.h"
#include "invariants.h"

#define TOO_LATE (4 * RAFT_MAX_PROMISE)

static uint64_t
larger_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What a promise is worth to its leader. */
static uint64_t
lease_length(const World *w, uint64_t promise)
{
	uint64_t drift = w->config.timeouts.max_drift_ppm;
	uint64_t length = promise * (1000000 - drift) / (1000000 + drift);

	return length > RAFT_LEASE_MARGIN ? length - RAFT_LEASE_MARGIN : 0;
}

static void
forget_term(World *w, uint64_t term)
{
	w->watched_term = term;
	w->asked_at = w->asked_promise = w->own_bound = 0;
	memset(w->rounds, 0, sizeof(w->rounds));
	for (int i = 0; i < RAFT_MAX_NODES; i++)
	{
		w->peer[i].voted = false;
		w->peer[i].bound = 0;
		w->peer[i].claim = 0;
	}
}

void
watch_start(World *w, bool forgot)
{
	uint64_t bound = raft_promise_until(&w->member.raft);

	CHECK(forgot || bound >= w->bound_until, "X: a promise does not end with a restart");
	if (forgot)
	{
		CHECK(w->member.raft.saved.abstaining != RAFT_VOTING, "a member that forgot abstains");
		w->led_term = 0;
		w->promoted_to = 0;
	}
	w->bound_until = bound;
	memset(w->last_sequence, 0, sizeof(w->last_sequence));
	forget_term(w, w->member.raft.saved.term);
}

/* ---- the account ---- */

/* From the start of the peer that the core knows, to this start, of this list? */
static bool
is_heard(const World *w, const RaftMessage *m)
{
	const Raft	   *r = &w->before;
	const RaftPeer *peer;

	if (!message_is_possible(m) || m->to != w->config.node_id ||
		(w->config.members >> m->from & 1) == 0)
		return false;
	peer = &r->peers[m->from];
	return m->echo_boot == r->saved.boot && m->echo_incarnation == w->config.incarnation &&
		   (m->boot > peer->boot || (m->boot == peer->boot && m->incarnation == peer->incarnation)) &&
		   m->list_digest == w->config.list_digest;
}

static void
account_sent(World *w, const RaftMessage *m)
{
	if (m->term != w->watched_term)
		return;
	if (m->type == RAFT_VOTE_REQUEST && w->asked_at == 0)
	{
		w->asked_at = w->now;
		w->asked_promise = m->promise;
		w->own_bound = w->now + lease_length(w, m->promise);
	}
	if (m->type == RAFT_HEARTBEAT && w->rounds[m->round % ROUNDS].number != m->round)
	{
		w->rounds[m->round % ROUNDS].number = m->round;
		w->rounds[m->round % ROUNDS].sent_at = w->now;
		w->rounds[m->round % ROUNDS].promise = m->promise;
		w->own_bound = larger_of(w->own_bound, w->now + lease_length(w, m->promise));
	}
}

static void
account_received(World *w, const RaftMessage *m)
{
	Watched *peer;

	if (!is_heard(w, m) || m->asked_term != w->watched_term)
		return;
	peer = &w->peer[m->from];
	if (m->type == RAFT_HEARTBEAT_ANSWER && m->told.claimed && m->told.claim > peer->claim)
		peer->claim = m->told.claim;
	if (m->abstaining || !m->granted)
		return;
	if (m->type == RAFT_VOTE_ANSWER && w->asked_at != 0)
	{
		peer->voted = true;
		peer->bound = larger_of(peer->bound, w->asked_at + lease_length(w, w->asked_promise));
	}
	if (m->type == RAFT_HEARTBEAT_ANSWER && w->rounds[m->round % ROUNDS].number == m->round)
		peer->bound = larger_of(peer->bound, w->rounds[m->round % ROUNDS].sent_at +
												 lease_length(w, w->rounds[m->round % ROUNDS].promise));
}

/* The longest lease that the account covers. */
static uint64_t
lease_limit(const World *w)
{
	uint32_t quorum = w->config.list_size / 2 + 1;
	int		 members = (int) w->config.list_size;
	uint64_t limit = 0;

	if (w->config.list_size == 1)
		return w->now + lease_length(w, LONGEST_MIN_TIMEOUT); /* asks nobody */
	for (int i = -1; i < members; i++)
	{
		uint64_t bound = i < 0 ? w->own_bound : w->peer[i].bound;
		uint32_t n = w->own_bound >= bound;

		for (int j = 0; j < members; j++)
			n += w->peer[j].bound >= bound && j != w->config.node_id;
		if (n >= quorum)
			limit = larger_of(limit, bound);
	}
	return limit;
}

static void
check_leadership(const World *w)
{
	const Raft *r = &w->member.raft;
	uint64_t	lease = raft_lease_until(r);
	uint32_t	votes = 1;

	if (r->role != RAFT_LEADER)
	{
		CHECK(lease == 0, "X: a lease without leading");
		return;
	}
	CHECK(r->saved.voted_for == w->config.node_id && r->leader_id == w->config.node_id,
		  "S: a leader has its own vote");
	for (int i = 0; i < RAFT_MAX_NODES; i++)
		votes += w->peer[i].voted;
	CHECK(votes >= w->config.list_size / 2 + 1, "S: a majority has voted");
	CHECK((w->before.role == RAFT_LEADER && w->before.saved.term == r->saved.term) ||
			  r->saved.term > w->led_term,
		  "X: never again leader of a term");
	CHECK(lease <= lease_limit(w), "X: the lease is covered by promises");
}

/* ---- what a managed member's host is told ---- */

void
watch_claimed(const World *w, RaftClaimResult result)
{
	const Raft *r = &w->member.raft;
	uint32_t	before = w->before.saved.claim;

	CHECK(raft_describe_claim(result)[0] != '\0', "words");
	if (result != RAFT_CLAIM_MADE)
	{
		CHECK(r->saved.claim == before, "12: what is refused claims nothing");
		return;
	}
	CHECK(r->role == RAFT_LEADER && r->data.known && r->data.server == RAFT_SERVER_RECOVERY, "12: who claims");
	CHECK(r->claim == r->saved.claim && r->claim > before && r->claim <= RAFT_MAX_TIMELINE, "12: above what was claimed");
	CHECK(r->claim > r->data.newest_timeline && r->claim > r->position.epoch, "12: above what is there");
	CHECK(r->saved.promoting == 0, "13: nothing is claimed while a promotion may happen");
}

void
watch_promotes(World *w, uint32_t timeline)
{
	const Raft *r = &w->member.raft;
	uint32_t	stored = 1;

	if (timeline == 0)
		return;
	for (int i = 0; i < RAFT_MAX_NODES; i++)
		stored += w->peer[i].claim >= timeline;
	CHECK(stored >= w->config.list_size / 2 + 1, "13: a majority has stored the claim");
	CHECK(r->role == RAFT_LEADER && raft_lease_until(r) > w->now, "13: a leader with a lease");
	CHECK(w->before.saved.promoting == 0 && w->disk.promoting == timeline, "13: durable, and the only one");
	CHECK(timeline > w->promoted_to && timeline <= w->disk.claim, "D3: never again to a timeline");
	CHECK(r->data.known && !r->data.foreign && r->saved.rebuild == RAFT_INTACT, "13: what it has is its own");
	CHECK(raft_claimed(r) == 0, "13: the claim is used up");
	w->promoted_to = timeline;
}

void
watch_followed(const World *w, uint32_t timeline)
{
	const RaftSaved *disk = &w->disk;

	CHECK(disk->promoting == 0, "13: who is being promoted follows nobody");
	for (uint32_t i = 0; i < disk->n_timelines; i++)
	{
		if (disk->timelines[i].id == timeline)
			return;
	}
	CHECK(false, "20: the timeline that it gets is durable");
}

void
watch_rebuilds(const World *w, RaftRebuild how)
{
	const RaftSaved *before = &w->before.saved;

	CHECK(how != RAFT_INTACT && w->disk.rebuild == how, "21: durable before the first byte changes");
	CHECK(before->rebuild == RAFT_INTACT || !raft_is_older(w->disk.floor, before->floor), "21: a second attempt keeps the floor");
}

void
watch_rebuilt(const World *w)
{
	const Raft *r = &w->member.raft;

	CHECK(w->disk.rebuild == RAFT_INTACT && w->before.saved.rebuild != RAFT_INTACT, "21: over");
	CHECK(r->data.known && !raft_is_older(r->position, w->before.saved.floor), "21: at its floor");
}

/* Who stands knows its data, and may use them. */
static void
check_standing(const World *w)
{
	const Raft *r = &w->member.raft;

	if (!w->config.managed || r->role == RAFT_FOLLOWER || r->role == RAFT_LEADER || r->role == w->before.role)
		return;
	CHECK(r->data.known && r->data.system_id != 0 && r->data.server != RAFT_SERVER_NONE, "15: who stands knows its data");
	CHECK(!r->data.foreign && r->saved.rebuild == RAFT_INTACT && !r->saved.distrusted, "21: and they are whole");
	CHECK(!raft_is_older(r->position, r->saved.floor), "22: and all that it held");
}

/* ---- the record, and what a call may change ---- */

static InvariantsCall
call_of(const World *w, const RaftMessage *received)
{
	return (InvariantsCall){w->config.node_id, &w->member.raft, &w->before.saved, &w->member.output, received};
}

/* A vote, for whomever, while a promise runs: only for what that promise allows. */
static void
check_withholding(const World *w, const RaftMessage *m)
{
	const Raft *before = &w->before;
	const Raft *r = &w->member.raft;
	bool		lifted = false;

	if (r->saved.voted_for < 0 || raft_promise_until(before) <= w->now ||
		(r->saved.term == before->saved.term && r->saved.voted_for == before->saved.voted_for))
		return;
	CHECK(before->promised_others_until <= w->now, "X: a vote under a promise to another");
	if (m != NULL && m->type == RAFT_TRANSFER)
		lifted = m->from == before->promised_leader && m->term == before->promised_term;
	if (m != NULL && m->type == RAFT_VOTE_REQUEST)
		lifted = m->replaced_leader == before->promised_leader &&
				 m->replaced_term == before->promised_term;
	if (m != NULL && m->type == RAFT_HEARTBEAT_ANSWER)
		lifted = before->role == RAFT_LEADER && before->promised_leader == w->config.node_id;
	CHECK(lifted, "X: a vote under a promise");
}

/*
 * What a core knows, but for what it counts, and for what it remembers of the
 * greetings that it sent and answered.
 */
static void
without_accounts(const Raft *r, Raft *plain)
{
	*plain = *r;
	memset(&plain->counters, 0, sizeof(plain->counters));
	for (int i = 0; i < RAFT_MAX_NODES; i++)
	{
		RaftPeer *peer = &plain->peers[i];

		peer->sent = peer->greet_at = peer->greeted_at = 0;
		peer->greeter_boot = peer->greeter_incarnation = 0;
		peer->told_greeter_at = peer->told_new_start_at = peer->told_others_at = 0;
	}
}

static bool
knows_the_same(const Raft *a, const Raft *b)
{
	static Raft plain[2];

	without_accounts(a, &plain[0]);
	without_accounts(b, &plain[1]);
	return memcmp(&plain[0], &plain[1], sizeof(plain[0])) == 0;
}

/* Whatever it was, the same bytes once more do nothing. */
static void
check_replay(const World *w, const RaftMessage *m)
{
	static Raft		  again;
	static RaftOutput out;

	if (m == NULL)
		return;
	again = w->member.raft;
	raft_receive(&again, w->now, m, &out);
	CHECK(!out.save && out.n_events == 0 && knows_the_same(&w->member.raft, &again),
		  "a replayed datagram changes nothing");
	for (uint32_t i = 0; i < out.n_messages; i++)
		CHECK(out.messages[i].type <= RAFT_GREETING_ANSWER, "a replayed datagram says nothing");
}

/* What must not move the timer, nor anything else. */
static void
check_effect(const World *w, const RaftMessage *m)
{
	const Raft *before = &w->before;
	const Raft *r = &w->member.raft;
	bool		same = invariants_same(&r->saved, &before->saved) && r->role == before->role;

	/* a list of members is taken over from whoever tells it */
	if (m->type == RAFT_PRE_VOTE_REQUEST && raft_list_equals(&r->saved.list, &before->saved.list))
		CHECK(same && r->timer == before->timer, "a pre-vote request changes nothing");
	if (m->type == RAFT_VOTE_REQUEST && same)
		CHECK(r->timer == before->timer, "a refused vote keeps the timer");
	if (m->type == RAFT_GREETING)
		CHECK(knows_the_same(r, before), "a greeting teaches nothing");
	if (m->type == RAFT_GREETING || m->echo_boot != before->saved.boot ||
		m->echo_incarnation != w->config.incarnation || !message_is_possible(m))
		CHECK(same && r->timer == before->timer && r->leader_id == before->leader_id &&
				  r->promised_until == before->promised_until &&
				  r->promised_others_until == before->promised_others_until &&
				  raft_lease_until(r) == raft_lease_until(before),
			  "what does not echo this start acts on nothing");
}

void
watch_call(World *w, const RaftMessage *received)
{
	InvariantsCall call = call_of(w, received);
	char		   words[256];

	CHECK(w->member.output.n_messages <= RAFT_MAX_MESSAGES, "messages");
	CHECK(w->member.output.n_events <= RAFT_MAX_EVENTS, "events");
	for (uint32_t i = 0; i < w->member.output.n_events; i++)
	{
		CHECK(w->member.output.events[i].reason < RAFT_REASONS, "a reason");
		CHECK(raft_describe_event(&w->member.output.events[i], words, sizeof(words))[0] != '\0', "words");
	}
	CHECK(raft_deadline(&w->member.raft) <= w->now + TOO_LATE, "the deadline is finite");
	CHECK(raft_promise_until(&w->member.raft) <= w->now + RAFT_MAX_PROMISE, "a promise ends");
	CHECK(w->member.raft.saved.promise <= RAFT_MAX_PROMISE, "a possible promise");
	CHECK(invariants_decided(&call), invariants_violation);
	check_withholding(w, received);

	if (w->member.raft.saved.term != w->watched_term)
		forget_term(w, w->member.raft.saved.term);
	for (uint32_t i = 0; i < w->member.output.n_messages; i++)
		account_sent(w, &w->member.output.messages[i]);
	if (received != NULL)
		account_received(w, received);
	check_leadership(w);
	check_standing(w);
}

/* What it did to the core; that it has no effect is also one. */
void
watch_received(World *w, const RaftMessage *received)
{
	check_effect(w, received);
	check_replay(w, received);
}

/* ---- what goes out ---- */

void
watch_shown(World *w)
{
	CHECK(invariants_same(&w->member.raft.saved, &w->disk), "F: saved before anything is shown");
	w->bound_until = raft_promise_until(&w->member.raft);
	if (w->member.raft.role == RAFT_LEADER)
		w->led_term = larger_of(w->led_term, w->member.raft.saved.term);
}

void
watch_sent(World *w, const RaftMessage *m, const RaftMessage *received)
{
	InvariantsCall call = call_of(w, received);

	CHECK(message_is_possible(m), "a possible message");
	CHECK(m->from == w->config.node_id && m->to != m->from, "from and to");
	CHECK((w->config.members >> m->to & 1) != 0, "to a member");
	CHECK(m->incarnation == w->config.incarnation && m->list_digest == w->config.list_digest,
		  "of this start");
	CHECK(m->sequence > w->last_sequence[m->to], "sequence");
	w->last_sequence[m->to] = m->sequence;
	if (m->type >= RAFT_PRE_VOTE_REQUEST)
		CHECK(w->before.peers[m->to].answered || w->member.raft.peers[m->to].answered,
			  "no word to who has not answered the greeting");
	CHECK(invariants_sent(&call, &w->disk, m, raft_lease_until(&w->member.raft)), invariants_violation);
	CHECK(w->disk.abstaining == RAFT_VOTING || m->abstaining, "A: who abstains says so");
}
