/*
 * test/sim/ledger.c
 *	  The clients of simulated servers, the fence that answers them, and what must hold:
 *
 *	  D1	a commit that was answered is on every server that opens later
 *	  D2	at most one server answers at a time
 *	  D3	a timeline is created by one authorised promotion; nothing else ever opens
 *	  D4	what a reader of an open primary saw is on every server that opens later
 *	  D5	whoever is counted for a commit holds it
 *	  D6	a session at a standby sees what its leader has, and nothing else
 *	  L1	in calm, one open primary that everybody follows
 *
 *	  PostgreSQL counts walsenders, not members, and believes what receivers report.  Where
 *	  C - 1 of them are two or more, what readers see is safe (D4) only while each member has
 *	  one walsender and its receiver is held to rule 20: is_seen_safely().
 */
#include "keeper_parts.h"

#include <string.h>

#include "checker.h"

/* What the fence reads, in rule 16's order. */
void
ledger_view(const World *w, int i, QuorumView *view, QuorumSender *senders)
{
	const SimServer *s = &w->keepers->cluster.server[i];
	const Node		*n = &w->node[i];
	const Raft		*r = &n->member.raft;
	RaftList		 list = raft_list(r);

	memset(view, 0, sizeof(*view));
	quorum_take_list(view, &list);
	view->self = i;
	view->senders = senders;
	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		const SimSender *sender = &s->sender[slot];

		if (sender->state == SIM_SENDER_FREE)
			continue;
		senders[view->n_senders++] = (QuorumSender){quorum_is_from(sender->standby, sender->host) ? sender->standby : RAFT_NONE,
													sender->connection, sender->flush, sender->sent, sender->flush};
	}
	view->flush = s->flushed;
	for (int j = 0; j < w->n; j++)
		view->bounds[j] = n->up ? raft_peer_bound(r, j) : 0;
	view->lease_until = n->shown;
	view->now = clock_local(w, n);
	view->term = r->saved.term;
	view->open_term = w->keepers->keeper[i].open && keeper_has_names(w, i) ? w->keepers->keeper[i].leading.opened_term : 0;
}

void
ledger_authorised(World *w, int i, uint32_t timeline)
{
	uint8_t *by = &w->keepers->authorised_of[timeline];

	if (*by != 0)
		checker_fail(w, 'D', BIT(i) | BIT(*by - 1), "D3: node %d is promoted to timeline %u, as node %d was before",
					 i, timeline, *by - 1);
	*by = (uint8_t) (1 + i);
}

static bool
is_seen_safely(const World *w)
{
	return (!w->keepers->replies_always || w->n < 4) &&
		   (!w->keepers->two_senders || raft_copies((uint32_t) w->n) <= 2);
}

void
ledger_opens(World *w, int i)
{
	Keepers			*k = w->keepers;
	const SimServer *s = &k->cluster.server[i];
	uint64_t		 held[SIM_COMMIT_WORDS];

	if (k->authorised_of[s->timeline] != 1 + i)
		checker_fail(w, 'D', BIT(i), "D3: node %d opens on timeline %u, which it was not authorised to create", i, s->timeline);
	sim_held(&k->cluster, i, held);
	for (int commit = 1; commit <= k->cluster.n_commits; commit++)
	{
		if (sim_has_commit(k->answered, commit) && !sim_has_commit(held, commit))
			checker_fail(w, 'D', BIT(i), "D1: node %d opens on timeline %u without commit %d, which node %d had answered on timeline %u",
						 i, s->timeline, commit, k->cluster.commit[commit].server, k->cluster.commit[commit].timeline);
		if (is_seen_safely(w) && sim_has_commit(k->seen, commit) && !sim_has_commit(held, commit))
			checker_fail(w, 'D', BIT(i), "D4: node %d opens on timeline %u without commit %d, which a reader of node %d saw",
						 i, s->timeline, commit, k->cluster.commit[commit].server);
	}
	adoption_opens(w);
}

/* What the source has there must be that record, if it has anything. */
static void
check_shared(World *w, int i, SimLsn end, uint32_t uid)
{
	const SimCluster *c = &w->keepers->cluster;
	int				  source = c->server[i].receiver.source;
	const SimData	 *d = &c->server[source].data;
	uint16_t		  timeline;
	uint16_t		  file = 0;
	const SimRecord	 *theirs;

	if (end == 0 || uid == 0 || sim_send_end(c, source, &timeline) < end)
		return;
	theirs = sim_read_any(c, d, sim_path(d, timeline), end - 1, &file);
	if (theirs != NULL && theirs->uid != uid)
		checker_fail(w, 'D', BIT(i) | BIT(source), "D5: node %d streams from node %d, whose WAL differs from its own before %u",
					 i, source, end);
}

/* It has just begun to stream, or has got on: what it has replayed and what it has on disk. */
void
ledger_streams(World *w, int i)
{
	const SimServer *s = &w->keepers->cluster.server[i];
	uint16_t		 timeline;
	uint16_t		 file = 0;
	SimLsn			 end = sim_true_end(&w->keepers->cluster, i, &timeline);
	const SimRecord *last = end == 0 ? NULL : sim_read_any(&w->keepers->cluster, &s->data, sim_path(&s->data, timeline), end - 1, &file);

	check_shared(w, i, s->at, s->at_uid);
	check_shared(w, i, end, last == NULL ? 0 : last->uid);
}

/* Rule 21: half rebuilt, it votes with its floor, which says that it held this. */
static bool
is_below_floor(const World *w, int j, const SimCommit *commit)
{
	const RaftSaved *saved = &w->node[j].durable;
	RaftPosition	 end = {commit->timeline, commit->end};

	return saved->rebuild != RAFT_INTACT && !raft_is_older(saved->floor, end);
}

static void
check_answer(World *w, int i, int commit, const QuorumView *view)
{
	Keepers *k = w->keepers;
	uint64_t holders = quorum_holders(view, k->cluster.commit[commit].end);
	uint64_t held[SIM_COMMIT_WORDS];

	for (int j = 0; j < w->n; j++)
	{
		if (j != i && keeper_is_open(w, j) && node_has_lease(w, j))
			checker_fail(w, 'D', BIT(i) | BIT(j), "D2: node %d answers while node %d is open as well", i, j);
		if (!(holders >> j & 1) || k->keeper[j].lost)
			continue;
		sim_held(&k->cluster, j, held);
		if (!sim_has_commit(held, commit) && !is_below_floor(w, j, &k->cluster.commit[commit]))
			checker_fail(w, 'D', BIT(i) | BIT(j), "D5: node %d answers commit %d and counts node %d, which does not hold it",
						 i, commit, j);
	}
	TRACE(w, BIT(i), "answers commit %d, which ends at %u; holders %llx", commit, (unsigned) k->cluster.commit[commit].end,
		  (unsigned long long) holders);
	if (!node_has_lease(w, i))
		checker_fail(w, 'D', BIT(i), "D2: node %d answers without a lease", i);
	hand_over_answers(w, i);
}

/* Walsenders that may not count are ended; was there one? */
static bool
end_uncounted(World *w, int i, const QuorumView *view)
{
	bool ended = false;

	for (uint32_t k = 0; k < view->n_senders; k++)
	{
		QuorumVerdict verdict = quorum_verdict(view, k);

		if (verdict == QUORUM_OLDER || verdict == QUORUM_DIVERGED)
			ended |= end_senders(&w->keepers->cluster, i, RAFT_NONE, (uint32_t) view->senders[k].started);
	}
	return ended;
}

/*
 * A client cancels, or its session is told to end, while its commit waits for the quorum.
 * The fence holds both back until the wait is over: the row stays invisible until the
 * quorum has it.  Whose session was to end is never answered: its socket is shut.
 */
bool
ledger_end_wait(World *w, int commit, SimOutcome how)
{
	Keepers	  *k = w->keepers;
	SimCommit *waits = &k->cluster.commit[commit];

	if (waits->outcome != SIM_COMMIT_WAITING)
		return false;
	TRACE(w, BIT(waits->server), "the wait of commit %d is %s", commit, how == SIM_COMMIT_CANCELLED ? "cancelled" : "terminated");
	if (k->no_shield)
		return sim_wait_end(&k->cluster, commit, how);
	if (how == SIM_COMMIT_TERMINATED)
		sim_add_commit(k->hung_up, commit);
	return true;
}

/* As its session has seen it, which looks when PostgreSQL has let it go. */
static uint64_t
closed_for(Keepers *k, int commit, bool is_open, uint64_t now)
{
	uint64_t *since = &k->closed_since[commit];

	if (is_open)
		*since = 0;
	else if (*since == 0)
		*since = now;
	return *since == 0 ? 0 : now - *since;
}

/*
 * Those that PostgreSQL has let go.  A client whose answer is withheld hears nothing, whatever
 * becomes of its commit.
 */
static void
answer(World *w, int i)
{
	Keepers		*k = w->keepers;
	SimCluster	*c = &k->cluster;
	SimServer	*s = &c->server[i];
	QuorumView	 view;
	QuorumSender senders[SIM_SENDERS];

	ledger_view(w, i, &view, senders);
	if (end_uncounted(w, i, &view))
		ledger_view(w, i, &view, senders);
	for (int commit = c->n_commits; commit > 0; commit--)
	{
		SimCommit *waits = &c->commit[commit];
		bool	   hung_up = sim_has_commit(k->hung_up, commit);
		bool	   is_open = quorum_is_open(&view);

		if (waits->server != i || waits->start != s->start ||
			(waits->outcome != SIM_COMMIT_RELEASED && waits->outcome != SIM_COMMIT_CANCELLED))
			continue;
		switch (fence_answer(quorum_answers(&view, waits->end), is_open, hung_up,
							 closed_for(k, commit, is_open, view.now), k->fence_wait))
		{
			case FENCE_WAIT:
				break;
			case FENCE_PASS:
				check_answer(w, i, commit, &view);
				(void) sim_answer(c, commit, true);
				sim_add_commit(k->answered, commit);
				w->data[DATA_ANSWERED]++;
				break;
			case FENCE_REFUSE:
				TRACE(w, BIT(i), "withholds the answer of commit %d", commit);
				(void) sim_answer(c, commit, false);
				w->data[DATA_WITHHELD] += !hung_up;
				break;
		}
	}
}

static bool
is_open_now(const World *w, int i)
{
	QuorumView	 view;
	QuorumSender senders[SIM_SENDERS];

	ledger_view(w, i, &view, senders);
	return quorum_is_open(&view);
}

/* One client at a time: it waits for the fence, and then commits or is refused. */
static void
begin_commit(World *w, int i, bool is_open)
{
	Keepers *k = w->keepers;
	uint64_t now = clock_local(w, &w->node[i]);
	Clients *clients = &k->keeper[i].clients;
	bool	 has_waited = clients->waits_since != 0;

	if (!has_waited && (k->calm || !chance(w, 50000)))
		return;
	if (!has_waited)
		clients->waits_since = now;
	switch (fence_begin(is_open, k->keeper[i].order.action == PRIMARY_DRAIN, now - clients->waits_since, k->fence_wait))
	{
		case FENCE_WAIT:
			return;
		case FENCE_PASS:
			hand_over_begins(w, i);
			w->data[DATA_WAITED] += has_waited;
			w->data[DATA_COMMITS] += sim_commit(&k->cluster, i, (uint8_t) between(w, 0, 2)) != 0;
			break;
		case FENCE_REFUSE:
			w->data[DATA_REFUSED]++;
			break;
	}
	clients->waits_since = 0;
}

/* Those of a standby see what the leader has that it follows, and is open. */
static void
check_standby(World *w, int i)
{
	const Keepers *k = w->keepers;
	const Keeper  *keeper = &k->keeper[i];
	int			   leader = keeper->order.node;
	uint64_t	   held[SIM_COMMIT_WORDS];

	if (keeper->followed_start != k->cluster.server[i].start || keeper->order.action == PRIMARY_REWIND ||
		keeper->order.action == PRIMARY_CLONE || keeper->order.action == PRIMARY_REFUSE)
		checker_fail(w, 'D', BIT(i), "D6: node %d lets a session in, and its data were not compared with its leader's", i);
	if (keeper->order.action != PRIMARY_FOLLOW || !keeper_is_open(w, leader) || !node_has_lease(w, leader) ||
		w->node[leader].durable.term != w->node[i].durable.term)
		return;
	sim_held(&k->cluster, leader, held);
	for (int word = 0; word < SIM_COMMIT_WORDS; word++)
	{
		if (k->cluster.server[i].shown[word] & ~held[word])
			checker_fail(w, 'D', BIT(i) | BIT(leader), "D6: node %d shows commits that node %d, whom it follows, does not have",
						 i, leader);
	}
}

/* Somebody logs in: now, or not at all.  Has that session seen what will last? */
static bool
log_in(World *w, int i, bool is_open)
{
	const Node	   *n = &w->node[i];
	Keeper		   *k = &w->keepers->keeper[i];
	SimServer	   *s = &w->keepers->cluster.server[i];
	FenceLoginFacts f = {.in_recovery = s->life == SIM_STANDBY,
						 .compared = k->compared_start == s->start,
						 .is_open = is_open,
						 .leads = n->up && n->member.raft.role == RAFT_LEADER,
						 .is_exempt = chance(w, 200000)};
	FenceLogin		verdict = fence_login(&f);

	if (verdict == FENCE_LOGIN_REFUSE)
	{
		w->data[DATA_LOGINS_REFUSED]++;
		return false;
	}
	k->clients.session_start = s->start;
	if (!f.in_recovery)
		return verdict == FENCE_LOGIN;
	if (verdict == FENCE_LOGIN)
	{
		w->data[DATA_STANDBY_READS]++;
		check_standby(w, i);
	}
	return false;
}

/* An older session asks the fence when its read is done, as with read_fence. */
static void
read_rows(World *w, int i, bool is_open)
{
	Keepers			*k = w->keepers;
	const SimServer *s = &k->cluster.server[i];
	bool			 has_session = k->keeper[i].clients.session_start == s->start;

	if (!chance(w, 50000))
		return;
	if (!has_session || chance(w, 500000))
	{
		if (!log_in(w, i, is_open))
			return;
	}
	else if (s->life == SIM_STANDBY || fence_begin(is_open, false, 0, 0) != FENCE_PASS)
		return;
	w->data[DATA_READS]++;
	for (int word = 0; word < SIM_COMMIT_WORDS; word++)
		k->seen[word] |= s->shown[word];
}

void
ledger_clients(World *w, int i)
{
	Keepers	   *k = w->keepers;
	SimCluster *c = &k->cluster;
	SimServer  *s = &c->server[i];
	uint32_t	copies;
	bool		is_open = is_open_now(w, i);

	if (s->life == SIM_STANDBY)
		read_rows(w, i, is_open);
	if (s->life != SIM_PRIMARY)
	{
		k->keeper[i].clients.waits_since = 0;
		return;
	}
	begin_commit(w, i, is_open);
	if (!k->calm && s->life == SIM_PRIMARY && chance(w, 2000))
		(void) sim_insert(c, i, SIM_RECORD_OTHER, 0, s->own_shape);
	if (s->life == SIM_PRIMARY && (k->calm || chance(w, 500000)))
		(void) sim_wal_flush(c, i, s->inserted);
	if (s->life != SIM_PRIMARY)
		return;
	s->unnamed = ~quorum_named(&k->keeper[i].named, &copies);
	if (!(k->keeper[i].holds & HOLD_RELEASE) && (k->calm || chance(w, 500000)))
		(void) sim_release(c, i, keeper_has_names(w, i) ? (int) copies - 1 : 0);
	if (!(k->keeper[i].holds & HOLD_ANSWERS))
		answer(w, i);
	read_rows(w, i, is_open);
}

/* Is it not yet the list of its settings that counts? */
static bool
is_changing_list(const Raft *r)
{
	return r->saved.list.number != 0 && (raft_members_now(r) != r->config.wanted || raft_members_old(r) != 0);
}

bool
ledger_settled(const World *w)
{
	const Keepers *k = w->keepers;
	int			   leader = world_lease(w);

	if (leader < 0 || !keeper_is_open(w, leader) || raft_in_pause(&w->node[leader].member.raft) || is_changing_list(&w->node[leader].member.raft))
		return false;
	for (int j = 0; j < w->n; j++)
	{
		const SimServer *s = &k->cluster.server[j];

		if (j == leader || (k->buried & BIT(j)))
			continue;

		/* A receiver streams for a moment also when its source has recycled what it needs. */
		if (!w->node[j].up || s->life != SIM_STANDBY || s->receiver.state != SIM_WALRCV_STREAMING ||
			s->receiver.source != leader || s->receiver.flush < k->cluster.server[leader].flushed ||
			w->node[j].durable.rebuild != RAFT_INTACT || w->node[j].durable.abstaining != RAFT_VOTING ||
			raft_is_gone(&w->node[j].member.raft))
			return false;
	}
	return true;
}
