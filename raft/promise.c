/*
 * raft/promise.c
 *	  Promises, and the lease that they make (rules 4 and 6).
 *
 * While a promise of this member runs, it votes for nobody, itself included.
 * A leader that holds promises from a majority until some moment knows that
 * nobody else can be elected before that moment: that is its lease (6.4.1).
 * Both sides count from a moment of their own: the member from when it read the
 * request, the leader from when it sent it, which is earlier.
 */
#include "internal.h"

#include <assert.h>

/*
 * For how long a promise of "promise" us can be relied on by the leader: clocks may
 * differ by the configured drift, and a reader needs time between reading the clock
 * and acting.
 */
uint64_t
raft_lease_of(const RaftTimeouts *timeouts, uint64_t promise)
{
	uint64_t drift = timeouts->max_drift_ppm;
	uint64_t length;

	assert(promise <= RAFT_MAX_PROMISE && drift <= 500000);
	length = promise * (1000000 - drift) / (1000000 + drift);
	return length > RAFT_LEASE_MARGIN ? length - RAFT_LEASE_MARGIN : 0;
}

uint64_t
raft_lease_length(const Raft *r, uint64_t promise)
{
	return raft_lease_of(&r->config.timeouts, promise);
}

uint64_t
raft_promise_until(const Raft *r)
{
	return later_of(r->promised_until, r->promised_others_until);
}

/*
 * Until when this member is bound towards a candidacy that replaces the
 * leadership (replaced_term, replaced_leader): promises to exactly that one do
 * not count, because its leader has given up its lease for good (rule 7).
 */
uint64_t
raft_bound_until(const Raft *r, uint64_t replaced_term, int32_t replaced_leader)
{
	if (replaced_leader != RAFT_NONE && replaced_leader == r->promised_leader &&
		replaced_term == r->promised_term)
		return r->promised_others_until;
	return raft_promise_until(r);
}

/* The vote for that candidacy is given: the promises it lifts are over. */
void
raft_lift_promise(Raft *r, uint64_t replaced_term, int32_t replaced_leader)
{
	if (replaced_leader != RAFT_NONE && replaced_leader == r->promised_leader &&
		replaced_term == r->promised_term)
		r->promised_until = 0;
}

/*
 * Promise the leadership (term, leader) "promise" us from now.  A longer one
 * that still runs stays.  The stored promise covers every running one: a member
 * that restarts is bound by it from then on.  Lengthening it is a save; it falls
 * only after the longer one has run out.
 */
void
raft_give_promise(Raft *r, uint64_t now, uint64_t term, int32_t leader, uint64_t promise,
				  RaftOutput *out)
{
	uint64_t left;

	assert(promise > 0 && promise <= RAFT_MAX_PROMISE);

	if (term != r->promised_term || leader != r->promised_leader)
	{
		r->promised_others_until = raft_promise_until(r);
		r->promised_until = 0;
		r->promised_term = term;
		r->promised_leader = leader;
	}
	r->promised_until = later_of(r->promised_until, now + promise);

	if (promise >= r->saved.promise)
	{
		if (promise > r->saved.promise)
		{
			r->saved.promise = promise;
			raft_mark_save(r, out);
		}
		r->longest_until = later_of(r->longest_until, now + promise);
	}
	else if (now >= r->longest_until)
	{
		left = later_of(promise, raft_promise_until(r) - now);
		if (left < r->saved.promise)
		{
			r->saved.promise = left;
			r->longest_until = raft_promise_until(r);
			raft_mark_save(r, out);
		}
	}
	assert(raft_promise_until(r) <= now + RAFT_MAX_PROMISE);
}

/*
 * The lease ends when fewer than a majority are certain to be still bound: at
 * the quorum-th largest of the bounds, our own included.  With one length of
 * promise this is the send time of the newest round that a majority has
 * acknowledged or passed, plus the length; with several it stays right.
 */
uint64_t
raft_lease_until(const Raft *r)
{
	uint64_t bounds[RAFT_MAX_NODES] = {0};

	if (r->role != RAFT_LEADER)
		return 0;
	bounds[r->config.node_id] = r->own_bound_until;
	for_each_peer(r, id)
	{
		if (raft_counts_in_quorum(r, id))
			bounds[id] = r->peers[id].bound_until;
	}
	return raft_by_quorum(r, bounds);
}
