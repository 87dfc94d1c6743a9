/*
 * test/sim/checker.c
 *	  The invariants, see checker.h.
 *
 * What the checker knows it reads from the disks and from what the processes
 * show and send, never from what a core believes, except to compare the two.
 */
#include "checker.h"

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

static bool
is_same(const RaftSaved *a, const RaftSaved *b)
{
	return a->save_number == b->save_number && a->boot == b->boot && a->term == b->term &&
		   a->voted_for == b->voted_for && a->promise == b->promise &&
		   a->list_digest == b->list_digest && a->list_size == b->list_size &&
		   a->abstaining == b->abstaining;
}

/*
 * A vote that is on disk is given, whether or not anyone hears of it.  An old copy
 * that was put back has forgotten what came after it: what it may not do is act
 * on that, so only its first record, which nobody has answered yet, is let pass.
 */
static void
check_vote(World *w, const Node *n, int i, bool is_old_copy)
{
	const RaftSaved *s = &n->durable;
	int8_t			*vote = &w->vote_of[s->term][i];

	if (s->voted_for >= 0)
	{
		if (*vote >= 0 && *vote != s->voted_for)
			checker_fail(w, 'V', BIT(i) | BIT(*vote) | BIT(s->voted_for),
						 "node %d votes for %d in term %llu, and has voted for %d", i,
						 s->voted_for, (unsigned long long) s->term, *vote);
		*vote = (int8_t) s->voted_for;
	}
	else if (s->voted_for == RAFT_NONE && *vote >= 0 && s->abstaining == RAFT_VOTING && !is_old_copy)
		checker_fail(w, 'V', BIT(i) | BIT(*vote),
					 "node %d forgets that it voted for %d in term %llu", i, *vote,
					 (unsigned long long) s->term);
}

/* Something has become durable. */
void
checker_saved(World *w, Node *n)
{
	const RaftSaved *s = &n->durable;
	int				 i = (int) (n - w->node);

	bool is_old_copy = w->lost == i && n->max_term == 0;

	if (!is_same(s, &n->raft.saved))
		checker_fail(w, 'F', BIT(i), "node %d: the disk does not hold what was saved", i);
	if (s->term < n->max_term)
		checker_fail(w, 'M', BIT(i), "node %d goes back from term %llu to %llu", i,
					 (unsigned long long) n->max_term, (unsigned long long) s->term);
	n->max_term = s->term;
	if (s->term >= SIM_TERMS)
		checker_fail(w, 'L', BIT(i), "the terms run away: %llu", (unsigned long long) s->term);
	if (s->term > w->max_term)
		w->max_term = s->term;
	check_vote(w, n, i, is_old_copy);
	if (w->lost == i && n->abstained && s->abstaining == RAFT_VOTING)
		w->lost = -1;
	n->abstained = s->abstaining != RAFT_VOTING;
}

static void
check_edge(World *w, const Node *n, int i)
{
	if (i != w->b_leader)
	{
		if (n->raft.role == RAFT_LEADER)
			checker_fail(w, 'B', BIT(i) | BIT(w->b_leader),
						 "node %d leads, though %d was connected to a quorum", i, w->b_leader);
		return;
	}
	if (n->raft.role != RAFT_LEADER && n->raft.role != RAFT_CANDIDATE)
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
	int i = (int) (n - w->node);

	if (!is_same(&n->durable, &n->raft.saved))
		checker_fail(w, 'F', BIT(i), "node %d shows what was never saved", i);
	if (n->shown != 0 && n->raft.role != RAFT_LEADER)
		checker_fail(w, 'F', BIT(i), "node %d shows a lease and does not lead", i);
	if (n->shown != raft_lease_until(&n->raft))
		checker_fail(w, 'F', BIT(i), "node %d goes on without showing its lease", i);
	if (n->raft.role == RAFT_LEADER)
	{
		int8_t *leader = &w->leader_of[n->durable.term];

		if (*leader >= 0 && *leader != i)
			checker_fail(w, 'S', BIT(i) | BIT(*leader), "nodes %d and %d lead in term %llu",
						 *leader, i, (unsigned long long) n->durable.term);
		*leader = (int8_t) i;
	}
	if (w->b_leader >= 0)
		check_edge(w, n, i);
}

/*
 * The lease that a node shows, in true time.  Leases begin, grow and change only
 * where this is called, so looking here is looking at every instant.
 */
void
checker_lease(World *w, Node *n)
{
	int i = (int) (n - w->node);

	if (!n->up || n->shown == 0)
		return;
	n->lease_end = clock_true(&n->clock, n->shown);
	if (n->lease_end <= w->now)
		return;
	for (int k = 0; k < w->n; k++)
	{
		const Node *other = &w->node[k];

		if (k != i && other->up && other->shown != 0 && other->lease_end > w->now)
			checker_fail(w, 'X', BIT(i) | BIT(k),
						 "nodes %d and %d hold leases for another %llu and %llu us", i, k,
						 (unsigned long long) (n->lease_end - w->now),
						 (unsigned long long) (other->lease_end - w->now));
	}
}

/* What a core makes of a message, before any of it is done. */
void
checker_received(World *w, Node *n, const RaftMessage *m, const RaftOutput *out)
{
	int				   i = (int) (n - w->node);
	const RaftMessage *answer;

	if (out->n_messages == 0)
		return;
	answer = &out->messages[out->n_messages - 1];
	if (!answer->granted || answer->to != m->from)
		return;
	/* a vote that is only repeated gives no new promise */
	if (((answer->type == RAFT_VOTE_ANSWER && out->save) ||
		 answer->type == RAFT_HEARTBEAT_ANSWER) &&
		n->raft.saved.promise < m->promise)
		checker_fail(w, 'F', BIT(i), "node %d gives a promise that it does not save", i);
	if (answer->type == RAFT_VOTE_ANSWER && out->save &&
		(m->position.epoch < n->raft.position.epoch ||
		 (m->position.epoch == n->raft.position.epoch &&
		  m->position.index < n->raft.position.index)))
		checker_fail(w, 'P', BIT(i) | BIT(m->from),
					 "node %d votes for %d, whose position is older", i, m->from);
}

/* A message leaves: does the disk hold what it says? */
void
checker_sent(World *w, Node *n, const RaftMessage *m)
{
	int				 i = (int) (n - w->node);
	const RaftSaved *s = &n->durable;

	if (m->term > s->term || m->save_number > s->save_number || m->boot > s->boot)
		checker_fail(w, 'F', BIT(i), "node %d sends a term, save or boot that is not durable", i);
	switch (m->type)
	{
		case RAFT_VOTE_ANSWER:
			if (m->granted && (m->asked_term > s->term || w->vote_of[m->asked_term][i] != m->to))
				checker_fail(w, 'V', BIT(i) | BIT(m->to),
							 "node %d answers %d with a vote that it has not given", i, m->to);
			/* fall through */
		case RAFT_PRE_VOTE_ANSWER:
			if (m->granted && s->abstaining != RAFT_VOTING)
				checker_fail(w, 'V', BIT(i), "node %d votes while it abstains", i);
			break;
		case RAFT_VOTE_REQUEST:
			if (w->vote_of[m->term][i] != n->id || s->abstaining != RAFT_VOTING)
				checker_fail(w, 'V', BIT(i), "node %d stands without its own vote", i);
			break;
		case RAFT_HEARTBEAT:
			if (w->leader_of[m->term] != i)
				checker_fail(w, 'S', BIT(i), "node %d sends a heartbeat and does not lead", i);
			if (s->promise < m->promise)
				checker_fail(w, 'F', BIT(i), "node %d: its own promise is not durable", i);
			break;
		case RAFT_TRANSFER:
			if (n->shown != 0)
				checker_fail(w, 'F', BIT(i), "node %d hands over and still shows a lease", i);
			break;
		default:
			break;
	}
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
		w->vote_of[term][i] = -1;
}

/* At the end of a run: terms with several candidates and no leader. */
void
checker_end(World *w)
{
	for (uint64_t term = 1; term <= w->max_term; term++)
	{
		int candidates = 0;

		for (int i = 0; i < w->n; i++)
			candidates += w->vote_of[term][i] == i;
		w->coverage[COVER_SPLIT_VOTES] += candidates > 1 && w->leader_of[term] < 0;
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
		if (n->raft.leader_id != w->node[leader].id ||
			n->raft.saved.term != w->node[leader].raft.saved.term || n->saving || n->paused)
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
	if (w->node[leader].raft.role != RAFT_LEADER)
		checker_fail(w, 'B', BIT(leader), "node %d did not win its own place again", leader);
}
