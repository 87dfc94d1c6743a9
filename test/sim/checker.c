/*
 * test/sim/checker.c
 *	  The invariants, see checker.h.
 *
 * What the checker knows it reads from the disks and from what the processes
 * show and send, never from what a core believes, except to compare the two.
 */
#include "checker.h"
#include "invariants.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
checker_fail(World *w, char invariant, uint64_t nodes, const char *format, ...)
{
	va_list args;

	w->failure.invariant = invariant;
	w->failure.step = w->steps;
	w->failure.at = w->now;
	w->failure.nodes = nodes;
	va_start(args, format);
	(void) vsnprintf(w->failure.text, SIM_TEXT_SIZE, format, args);
	va_end(args);
	longjmp(w->escape, 1);
}

static uint8_t *
vote_of(void *context, int node, uint64_t term)
{
	return &((World *) context)->vote_of[term][node];
}

static uint8_t *
leader_of(void *context, uint64_t term)
{
	return &((World *) context)->leader_of[term];
}

static InvariantsHistory
history(World *w)
{
	return (InvariantsHistory){w, vote_of, leader_of};
}

static InvariantsCall
call_of(const Node *n)
{
	const Member *member = &n->member;

	return (InvariantsCall){(int) (n - n->world->node), &member->raft, &n->before, &member->output,
							member->received};
}

/* One of the invariants that every test of a member checks. */
static void
must_hold(World *w, bool holds, uint64_t nodes)
{
	if (!holds)
		checker_fail(w, invariants_violation[0], nodes, "%s", invariants_violation + 3);
}

/* A call has been decided, and nothing of it is done. */
void
checker_decided(World *w, Node *n)
{
	InvariantsCall call = call_of(n);

	must_hold(w, invariants_decided(&call), BIT(call.node));
}

/* Something has become durable. */
void
checker_saved(World *w, Node *n)
{
	const RaftSaved	 *s = &n->durable;
	InvariantsHistory h = history(w);
	int				  i = (int) (n - w->node);

	if (!invariants_same(s, &n->member.raft.saved))
		checker_fail(w, 'F', BIT(i), "node %d: the disk does not hold what was saved", i);
	if (s->term < n->max_term)
		checker_fail(w, 'M', BIT(i), "node %d goes back from term %llu to %llu", i,
					 (unsigned long long) n->max_term, (unsigned long long) s->term);
	if (s->term >= SIM_TERMS)
		checker_fail(w, 'L', BIT(i), "the terms run away: %llu", (unsigned long long) s->term);
	if (s->term > w->max_term)
		w->max_term = s->term;

	/*
	 * An old copy that was put back has forgotten what came after it: what it may not
	 * do is act on that, so its first record, which nobody has answered yet, passes.
	 */
	must_hold(w, invariants_durable(&h, i, s, w->lost == i && n->max_term == 0),
			  BIT(i) | BIT(s->voted_for >= 0 ? s->voted_for : i));
	for (int k = 0; k < w->n; k++)
		must_hold(w, invariants_lists(i, &s->list, k, &w->node[k].durable.list), BIT(i) | BIT(k));
	n->max_term = s->term;
	if (w->lost == i && n->abstained && s->abstaining == RAFT_VOTING)
		w->lost = -1;
	n->abstained = s->abstaining != RAFT_VOTING;
}

static void
check_edge(World *w, const Node *n, int i)
{
	if (i != w->b_leader)
	{
		if (n->member.raft.role == RAFT_LEADER)
			checker_fail(w, 'B', BIT(i) | BIT(w->b_leader),
						 "node %d leads, though %d was connected to a quorum", i, w->b_leader);
		return;
	}
	if (n->member.raft.role != RAFT_LEADER && n->member.raft.role != RAFT_CANDIDATE)
		checker_fail(w, 'B', BIT(i), "node %d stopped leading, though connected to a quorum", i);
	if (n->durable.term != w->b_term)
	{
		if (w->b_budget == 0)
			checker_fail(w, 'B', BIT(i), "the term of leader %d rose from %llu to %llu", i,
						 (unsigned long long) w->b_term, (unsigned long long) n->durable.term);
		w->b_budget--;
		w->b_term = n->durable.term;
	}
}

/* A step is shown: what is durable, and who leads. */
void
checker_shown(World *w, Node *n)
{
	InvariantsHistory h = history(w);
	InvariantsCall	  call = call_of(n);

	must_hold(w, invariants_shown(&h, &call, &n->durable, n->shown), BIT(call.node));
	if (w->b_leader >= 0)
		check_edge(w, n, call.node);
}

/*
 * The lease that a node shows, in true time.  Leases begin, grow and change only
 * where this is called, so looking here is looking at every instant.
 */
void
checker_lease(World *w, Node *n)
{
	uint64_t ends[SIM_NODES];

	if (!n->up || n->shown == 0)
		return;
	n->lease_end = clock_true(&n->clock, n->shown);
	for (int k = 0; k < w->n; k++)
		ends[k] = w->node[k].up && w->node[k].shown != 0 ? w->node[k].lease_end : 0;
	must_hold(w, invariants_leases(ends, w->n, w->now), BIT(w->n) - 1);
}

/* A message leaves: does the disk hold what it says? */
void
checker_sent(World *w, Node *n, const RaftMessage *m)
{
	InvariantsCall call = call_of(n);

	must_hold(w, invariants_sent(&call, &n->durable, m, n->shown), BIT(call.node) | BIT(m->to));
}

/*
 * A member's state is lost.  Its terms may start anew, and a vote counts as never
 * given if no other disk holds its term or a later one: nobody has seen it, so
 * it was its own vote for itself, asked of nobody who took it in.
 */
void
checker_lost_state(World *w, int i)
{
	uint64_t seen = 0;

	w->lost = i;
	w->node[i].max_term = 0;
	w->node[i].abstained = false;
	memset(&w->node[i].durable, 0, sizeof(w->node[i].durable));
	for (int k = 0; k < w->n; k++)
	{
		if (w->node[k].durable.term > seen)
			seen = w->node[k].durable.term;
	}
	for (uint64_t term = seen + 1; term <= w->max_term; term++)
		w->vote_of[term][i] = 0;
}

/* At the end of a run: terms with several candidates and no leader. */
void
checker_end(World *w)
{
	for (uint64_t term = 1; term <= w->max_term; term++)
	{
		int candidates = 0;

		for (int i = 0; i < w->n; i++)
			candidates += w->vote_of[term][i] == i + 1;
		w->coverage[COVER_SPLIT_VOTES] += candidates > 1 && w->leader_of[term] == 0;
	}
	for (int i = 0; i < w->n; i++)
		node_harvest(w, &w->node[i]);
	w->coverage[COVER_STEPS] += w->steps;
}

/* ---- L: what can be demanded in calm ---- */

bool
checker_is_settled(const World *w)
{
	int leader = world_lease(w);

	if (leader < 0)
		return false;
	for (int i = 0; i < w->n; i++)
	{
		const Node *n = &w->node[i];

		if (!n->up || n->at_wrong_address)
			continue;
		if (n->member.raft.leader_id != w->node[leader].id ||
			n->member.raft.saved.term != w->node[leader].member.raft.saved.term || node_is_saving(w, i) || n->paused)
			return false;
	}
	return true;
}

/*
 * The bound of L, from a moment on at which all links work, every process runs
 * and no fault happens any more:
 *
 *	  what still runs	the longest promise of any disk or member, P
 *	  who abstains		may be needed for a quorum: it greets the last of the
 *						others within a probe interval, max(1 s, 2 T), perhaps
 *						once more after a change of its starts; then waits for
 *						P + 2 T
 *	  elections			one takes at most T of waiting and T of asking, with T the
 *						longest max_timeout.  It fails only when two members time
 *						out within a delay and a save of each other, which settings
 *						that fit their network make less likely than one half:
 *						12 in a row fail less than once in 4000 cases, and a member
 *						that falls behind once needs one more
 *
 * all of it on clocks that may be slow by the allowed drift, and longer by what is
 * on its way: delays and saves.
 */
uint64_t
checker_bound(const World *w)
{
	uint64_t timeout = 0;
	uint64_t promise = 0;
	uint64_t transit = 0;
	uint64_t probe;
	uint32_t drift = 0;

	for (int i = 0; i < w->n; i++)
	{
		const Node		   *n = &w->node[i];
		const RaftTimeouts *t = &n->config.timeouts;

		timeout = timeout > t->max_timeout ? timeout : t->max_timeout;
		promise = promise > t->min_timeout ? promise : t->min_timeout;
		promise = promise > n->durable.promise ? promise : n->durable.promise;
		drift = drift > t->max_drift_ppm ? drift : t->max_drift_ppm;
		transit = transit > n->disk.save_max ? transit : n->disk.save_max;
	}
	for (int i = 0; i < w->n; i++)
	{
		for (int k = 0; k < w->n; k++)
		{
			if (w->link[i][k].delay_max > transit)
				transit = w->link[i][k].delay_max;
		}
	}
	probe = 2 * timeout > SECONDS(1) ? 2 * timeout : SECONDS(1);
	return (promise + 2 * (probe + promise + 2 * timeout) + 24 * (timeout + 4 * transit)) *
		   PER_MILLION / (PER_MILLION - drift);
}

int
checker_await(World *w)
{
	uint64_t until = w->now + checker_bound(w);
	int		 leader;

	w->coverage[COVER_CALMS]++;
	while (!checker_is_settled(w))
	{
		if (!world_event(w, until))
			checker_fail(w, 'L', BIT(w->n) - 1,
						 "no leader that all follow after %llu ms of calm",
						 (unsigned long long) (checker_bound(w) / 1000));
	}
	leader = world_lease(w);
	TRACE(w, BIT(leader), "all follow");
	return leader;
}

/*
 * B holds while the leader and the members named can hear each other within
 * their timeouts, run, and keep true clocks.  "returns" is how many others may
 * come back with a higher term.
 */
void
checker_begin_edge(World *w, int leader, uint64_t healthy, uint64_t returns)
{
	w->coverage[COVER_EDGES]++;
	w->b_leader = leader;
	w->b_healthy = healthy;
	w->b_term = w->node[leader].durable.term;
	w->b_budget = returns;
	TRACE(w, BIT(leader), "from here on it must go on leading");
}

void
checker_end_edge(World *w)
{
	int leader = w->b_leader;

	w->b_leader = -1;
	if (w->node[leader].member.raft.role != RAFT_LEADER)
		checker_fail(w, 'B', BIT(leader), "node %d did not win its own place again", leader);
}
