/*
 * test/sim/scenarios_claims.c
 *	  Servers: claims, promotions and timelines (rules 12 to 14, 17).
 */
#include "scenarios_data.h"

static uint32_t
claim_of(const World *w, int i)
{
	return w->node[i].durable.claim;
}

/* Datagrams of that one reach nobody; all others are connected. */
static void
only_isolated(World *w, int i)
{
	network_heal(w);
	network_isolate(w, i);
}

/* ---- conditions ---- */

static bool
has_own_claim(World *w, int i)
{
	const Raft *r = &w->node[i].member.raft;

	return r->role == RAFT_LEADER && r->claim != 0 && claim_of(w, i) == r->claim;
}

static bool
knows_no_leader(World *w, int i)
{
	return w->node[i].member.raft.leader_id == RAFT_NONE;
}

static bool
is_asked(World *w, int i)
{
	return w->node[i].durable.promoting != 0 && server(w, i)->promote;
}

static bool
nothing_pends(World *w, int i)
{
	return w->node[i].durable.promoting == 0;
}

static bool
is_cloned_as_foreign(World *w, int i)
{
	return keeper(w, i)->order.reason == PRIMARY_FOREIGN && keeper(w, i)->order.action == PRIMARY_CLONE;
}

static bool
leads_foreign_wal(World *w, int i)
{
	return keeper(w, i)->order.reason == PRIMARY_LEADS_FOREIGN;
}

/* ---- timelines that are kept ---- */

/* A commit that was answered outlives the primary that answered it, at once. */
static void
primary_dies_after_an_answer(World *w)
{
	for (int n = 3; n <= 5; n += 2)
	{
		int primary = begin_data(w, n);
		int commit = commit_on(w, primary);

		EXPECT(w, run_until(w, SECONDS(1), answered, commit));
		network_isolate(w, primary);
		EXPECT(w, run_until(w, SECONDS(2), nobody_leads, 0));
		EXPECT(w, run_until(w, SECONDS(5), somebody_is_open, 0));
		EXPECT(w, has_commit(w, world_lease(w), commit) && world_lease(w) != primary);
		EXPECT(w, has_commit(w, settle_data(w), commit));
	}
}

/*
 * C14, Raft's figure 8: a primary that is elected again answers on its old timeline, while
 * another one that was promoted to a higher one lacks that commit, and would win by it.
 */
static void
figure_eight(World *w)
{
	Three	 t = begin_three(w);
	uint16_t timeline;
	int		 commit;

	/* The next one is promoted, and nobody takes its WAL. */
	network_isolate(w, t.p);
	cut_wal(w, t.a, t.b);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), is_primary, t.a));
	EXPECT(w, server(w, t.a)->timeline == 3 && claim_of(w, t.b) == 3 && !is_open(w, t.a));

	/* The first one wins again, and still runs. */
	only_isolated(w, t.a);
	EXPECT(w, run_until(w, SECONDS(5), leads_as_primary, t.p));
	EXPECT(w, server(w, t.p)->timeline == 2 && w->node[t.p].member.raft.elected_claim == 3);
	EXPECT(w, run_until(w, SECONDS(5), is_open, t.p));
	timeline = server(w, t.p)->timeline;
	commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));

	/* It dies; who has the higher timeline may stand. */
	EXPECT(w, is_primary(w, t.a) && server(w, t.a)->timeline == 3);
	lose_power(w, t.p);
	network_heal(w);
	mend_wal(w);
	node_may_lead(w, t.b, true);
	EXPECT(w, run_until(w, SECONDS(10), somebody_is_open, 0));
	EXPECT(w, timeline == 4 && has_commit(w, world_lease(w), commit));
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

/*
 * A history that appears in the pg_wal of a primary, kept or not, disturbs nobody: all go on
 * following it.  Whoever is elected next goes above that.
 */
static void
history_above_a_kept_timeline(World *w)
{
	Three	 t = begin_three(w);
	uint64_t term = w->node[t.p].durable.term;
	int		 primary;

	node_may_lead(w, t.a, false);
	node_may_lead(w, t.b, false);
	network_isolate(w, t.p);
	EXPECT(w, run_until(w, SECONDS(2), has_resigned, t.p));
	network_heal(w);
	EXPECT(w, run_until(w, SECONDS(5), all_follow, 0));
	EXPECT(w, w->node[t.p].durable.term > term && server(w, t.p)->timeline == 2);
	sim_put_history(&server(w, t.p)->data, 5, SIM_GARBAGE);
	world_run(w, SECONDS(15));
	EXPECT(w, is_open(w, t.p) && all_follow(w, 0) && server(w, t.p)->timeline == 2 && claim_of(w, t.p) == 2);
	node_may_lead(w, t.a, true);
	network_isolate(w, t.b); /* so that its vote is needed */
	node_may_lead(w, t.p, false);
	EXPECT(w, run_until(w, SECONDS(5), is_primary, t.a));
	primary = settle_data(w);
	EXPECT(w, primary == t.a && server(w, primary)->timeline == 6);
}

/* Member w->arg hears of no claim, and its votes do not arrive. */
static SendVerdict
leave_out(World *w, const RaftMessage *m)
{
	if (m->from == w->arg && m->type == RAFT_VOTE_ANSWER)
		return SEND_NOT;
	return m->to == w->arg && m->type == RAFT_HEARTBEAT && m->told.claimed ? SEND_NOT : SEND_ON;
}

/*
 * C14: a member that has stored no claim has the history of a higher timeline, and its vote
 * says so.  A primary that is elected with it does not go on below that.
 */
static void
history_above_in_the_votes(World *w)
{
	begin_unclaimed(w);
	sim_put_history(&server(w, 2)->data, 5, SIM_GARBAGE);
	w->arg = 2;
	w->on_send = leave_out;
	world_start_all(w);
	node_may_lead(w, 1, false);
	node_may_lead(w, 2, false);
	EXPECT(w, run_until(w, SECONDS(5), is_open, 0));
	EXPECT(w, server(w, 0)->timeline == 2 && claim_of(w, 1) == 2 && claim_of(w, 2) == 0);

	/* It is elected again, by that one's vote alone. */
	network_isolate(w, 0);
	EXPECT(w, run_until(w, SECONDS(2), has_resigned, 0));
	w->on_send = NULL;
	only_isolated(w, 1);
	EXPECT(w, run_until(w, SECONDS(5), leads_as_primary, 0));
	EXPECT(w, server(w, 0)->timeline == 2 && claim_of(w, 0) == 2 && w->node[0].member.raft.elected_claim == 5);
	EXPECT(w, settle_data(w) == 0 && server(w, 0)->timeline == 6);
}

/* ---- claims ---- */

/* The claims above timeline 2 of w->arg do not arrive. */
static SendVerdict
lose_new_claims(World *w, const RaftMessage *m)
{
	return m->type == RAFT_HEARTBEAT && m->from == w->arg && m->told.claim > 2 ? SEND_NOT : SEND_ON;
}

/*
 * C1: a leader is promoted while its claim is still on its way; the next one hears of none
 * in its votes and makes the same timeline.
 */
static void
claim_by_a_minority(World *w)
{
	Three t = begin_three(w);
	bool  is_promoted;

	w->arg = t.a;
	w->on_send = lose_new_claims;
	lose_power(w, t.p);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), has_own_claim, t.a));
	EXPECT(w, node_has_lease(w, t.a));
	EXPECT(w, run_until(w, SECONDS(2), nobody_leads, 0));
	EXPECT(w, claim_of(w, t.a) == 3 && claim_of(w, t.b) == 2);
	is_promoted = is_primary(w, t.a);

	network_isolate(w, t.a);
	w->on_send = NULL;
	node_start(w, t.p);
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.p));
	EXPECT(w, server(w, t.p)->timeline == 3 && !is_promoted);
	(void) settle_data(w);
}

/* C2: who has acknowledged a claim starts again, and must not have forgotten it. */
static void
claim_lost_by_restart(World *w)
{
	Three t = begin_three(w);
	int	  primary;

	lose_power(w, t.p);
	cut_wal(w, t.a, t.b);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), is_primary, t.a));
	EXPECT(w, server(w, t.a)->timeline == 3 && claim_of(w, t.p) == 2);
	EXPECT(w, server(w, t.b)->data.history[3] == SIM_ABSENT);

	/* The one that used it is gone, and the one that knows of it starts again. */
	lose_power(w, t.a);
	lose_power(w, t.b);
	node_start(w, t.b);
	node_start(w, t.p);
	EXPECT(w, run_until(w, SECONDS(10), somebody_is_open, 0));
	primary = world_lease(w);
	EXPECT(w, primary != t.a && server(w, primary)->timeline == 4);
	(void) settle_data(w);
}

/* The first claim above timeline 2 of w->arg is late; nothing after it arrives. */
static SendVerdict
keep_new_claim(World *w, const RaftMessage *m)
{
	if (lose_new_claims(w, m) == SEND_ON)
		return SEND_ON;
	keep_back(w, m);
	return SEND_NOT;
}

/*
 * C4: a claim reaches a member that has voted in a newer term.  Stored and acknowledged
 * now, two leaders would rest on it.
 */
static void
late_claim_of_an_older_term(World *w)
{
	Three t = begin_three(w);

	w->arg = t.a;
	w->on_send = keep_new_claim;
	lose_power(w, t.p);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), is_kept_back, 0));
	EXPECT(w, late.to == t.b && late.told.claim == 3);
	node_pause(w, t.a, SIM_NEVER);

	/* Another one is elected, whose votes know nothing of it. */
	node_start(w, t.p);
	EXPECT(w, run_until(w, SECONDS(10), is_leading, t.p));
	EXPECT(w, w->node[t.b].durable.term > late.term && claim_of(w, t.b) == 2);
	EXPECT(w, w->node[t.a].member.raft.role == RAFT_LEADER);
	hand_over(w, &late);
	EXPECT(w, w->node[t.b].member.raft.saved.claim == 2);

	/* The older leader goes on, and reads what came, but cannot stand against the newer one. */
	w->on_send = NULL;
	network_cut_way(w, t.a, t.b);
	network_cut_way(w, t.a, t.p);
	node_resume(w, t.a);
	EXPECT(w, run_until(w, SECONDS(5), is_primary, t.p));
	EXPECT(w, server(w, t.p)->timeline == 3 && !is_primary(w, t.a));
	(void) settle_data(w);
}

/* ---- promotions that pend ---- */

/* a is elected, and has asked its server for timeline 3, which does not get on. */
static Three
begin_pending(World *w)
{
	Three t = begin_three(w);

	lose_power(w, t.p);
	node_may_lead(w, t.b, false);
	hold(w, t.a, HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(5), is_asked, t.a));
	EXPECT(w, w->node[t.a].durable.promoting == 3 && claim_of(w, t.b) == 3);
	return t;
}

/*
 * C5: another one is elected while a promotion pends.  The server is stopped before it
 * follows, or the late promotion makes a timeline that the other one claims.
 */
static void
promotion_pending_when_deposed(World *w)
{
	Three	 t = begin_pending(w);
	uint32_t start = server(w, t.a)->start;

	network_isolate(w, t.a);
	node_start(w, t.p);
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.p));
	EXPECT(w, server(w, t.p)->timeline == 4);

	/* Nothing but the worker gets on; it has to stop the server. */
	network_heal(w);
	EXPECT(w, run_until(w, SECONDS(2), nothing_pends, t.a));
	EXPECT(w, server(w, t.a)->start != start || server(w, t.a)->life == SIM_DOWN);
	EXPECT(w, !server(w, t.a)->promote && server(w, t.a)->data.history[3] == SIM_ABSENT);
	EXPECT(w, settle_data(w) == t.p && server(w, t.p)->timeline == 4);
}

/*
 * C5b: the same member is elected again while what it asked for in an older term pends.
 * That request would yield the timeline that it claims now.
 */
static void
promotion_pending_when_elected_again(World *w)
{
	Three	 t = begin_pending(w);
	uint64_t term = w->node[t.a].durable.term;
	uint32_t start = server(w, t.a)->start;

	network_isolate(w, t.a);
	EXPECT(w, run_until(w, SECONDS(2), has_resigned, t.a));
	network_heal(w);
	EXPECT(w, run_until(w, SECONDS(2), nothing_pends, t.a));
	EXPECT(w, server(w, t.a)->start != start || server(w, t.a)->life == SIM_DOWN);
	let_go(w, t.a, HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(5), is_open, t.a));
	EXPECT(w, w->node[t.a].durable.term > term && server(w, t.a)->timeline == 4);
	(void) settle_data(w);
}

/*
 * C5b: a promotion that came to nothing has written its history already.  The claim was
 * used up by asking, and nothing is claimed while it pends; the next attempt needs another.
 */
static void
promotion_asked_twice(World *w)
{
	Three	   t = begin_pending(w);
	SimServer *s = server(w, t.a);

	world_run(w, MS(50));
	EXPECT(w, keeper(w, t.a)->order.reason == PRIMARY_PROMOTES && claim_of(w, t.a) == 3);
	EXPECT(w, raft_claimed(&w->node[t.a].member.raft) == 0);
	while (s->life == SIM_STANDBY && s->phase != SIM_WRITE_RECORD)
		(void) sim_startup_step(cluster(w), t.a);
	EXPECT(w, s->data.history[3] >= SIM_REAL);
	kill_server(w, t.a);
	let_go(w, t.a, HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(5), is_open, t.a));
	EXPECT(w, s->timeline == 4);
	(void) settle_data(w);
}

/*
 * C3: the target of recovery is two ids below the claim, and PostgreSQL takes the first id
 * that has no history.  That one was made by another member, which is cut off.
 */
static void
burn_forgotten(World *w)
{
	Three t = begin_three(w);
	int	  commit;

	lose_power(w, t.p);
	cut_wal(w, t.a, t.b);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), is_primary, t.a));
	EXPECT(w, server(w, t.a)->timeline == 3);
	network_isolate(w, t.a);
	node_start(w, t.p);
	EXPECT(w, run_until(w, SECONDS(10), has_own_claim, t.p));
	EXPECT(w, claim_of(w, t.p) == 4 && server(w, t.p)->data.history[3] == SIM_ABSENT);
	EXPECT(w, server(w, t.p)->target.timeline == 2);
	EXPECT(w, run_until(w, SECONDS(5), is_open, t.p));
	EXPECT(w, server(w, t.p)->timeline == 4 && server(w, t.p)->data.history[3] == SIM_BURNT);
	commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, settle_data(w) == t.p && has_commit(w, t.a, commit));
}

/* ---- by hand ---- */

/* An operator promotes it where our library is not asked: redo has not begun, or it is not loaded. */
static void
promote_by_hand(World *w, int i)
{
	SimAuthorise authorise = cluster(w)->authorise;

	cluster(w)->authorise = NULL;
	EXPECT(w, sim_promote(cluster(w), i));
	EXPECT(w, run_until(w, SECONDS(1), is_primary, i));
	cluster(w)->authorise = authorise;
	TRACE(w, BIT(i), "was promoted by hand");
}

/* The primary is dead, nobody may lead, and b was promoted by hand and written to. */
static Three
begin_by_hand(World *w)
{
	Three t = begin_three(w);
	int	  commit = commit_on(w, t.p);

	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	world_run(w, MS(100));
	node_may_lead(w, t.a, false);
	node_may_lead(w, t.b, false);
	lose_power(w, t.p);
	EXPECT(w, run_until(w, SECONDS(2), knows_no_leader, t.b));
	promote_by_hand(w, t.b);
	for (int k = 0; k < 3; k++)
		(void) commit_on(w, t.b);
	world_run(w, SECONDS(1));
	EXPECT(w, is_primary(w, t.b) && server(w, t.b)->timeline == 3 && keeper(w, t.b)->data_told.foreign);
	EXPECT(w, sim_true_end(cluster(w), t.b, NULL) > sim_true_end(cluster(w), t.a, NULL));
	return t;
}

/* C21: WAL that was written by hand is in nobody's way: its member votes without it. */
static void
promoted_by_hand(World *w)
{
	Three t = begin_by_hand(w);

	node_may_lead(w, t.a, true);
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.a));
	EXPECT(w, w->node[t.a].member.raft.peers[t.b].ballot == RAFT_BALLOT_GRANTED);
	for (int commit = 2; commit <= 4; commit++)
		EXPECT(w, cluster(w)->commit[commit].server == t.b && !has_commit(w, t.b, commit));
	EXPECT(w, has_commit(w, t.b, 1) && has_commit(w, settle_data(w), 1));
}

/* C21: its member does not stand, and nobody takes the foreign WAL over. */
static void
promoted_by_hand_does_not_stand(World *w)
{
	Three t = begin_by_hand(w);

	node_may_lead(w, t.b, true);
	EXPECT(w, !run_until(w, SECONDS(5), somebody_leads, 0));
	EXPECT(w, !has_commit(w, settle_data(w), 2));
}

/* C21: a leader whose server was promoted by hand is no leader, and opens nothing. */
static void
promoted_by_hand_while_it_leads(World *w)
{
	Three t = begin_three(w);

	lose_power(w, t.p);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), is_leading, t.a));
	hold(w, t.a, HOLD_WORKER);
	promote_by_hand(w, t.a);
	EXPECT(w, node_has_lease(w, t.a) && server(w, t.a)->timeline == 3);
	node_may_lead(w, t.b, true);
	let_go(w, t.a, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(1), leads_foreign_wal, t.a) && is_primary(w, t.a));
	EXPECT(w, settle_data(w) != t.a);
}

/*
 * C21: by hand, a standby makes the very timeline that the leader has claimed.  The id is
 * the same, what is written on it is not: it must not be followed with.
 */
static void
promoted_by_hand_to_the_claimed_timeline(World *w)
{
	Three t = begin_three(w);
	int	  by_hand;
	int	  commit;

	lose_power(w, t.p);
	node_may_lead(w, t.b, false);
	hold(w, t.a, HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(5), is_asked, t.a));
	hold(w, t.b, HOLD_WORKER);
	promote_by_hand(w, t.b);
	by_hand = commit_on(w, t.b);
	let_go(w, t.a, HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(2), leads_as_primary, t.a));
	EXPECT(w, server(w, t.a)->timeline == 3 && server(w, t.b)->timeline == 3);
	world_run(w, MS(200));
	EXPECT(w, !is_open(w, t.a));
	let_go(w, t.b, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(5), is_cloned_as_foreign, t.b) && !is_open(w, t.a));
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.a));
	commit = commit_on(w, t.a);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, !has_commit(w, t.b, by_hand) && has_commit(w, t.b, commit));
	(void) settle_data(w);
}

/*
 * By hand, a standby is started as a primary and goes on with the timeline that it only
 * followed.  No id tells its own WAL from what it received, so it does not vote.
 */
static void
started_as_a_primary_by_hand(World *w)
{
	Three t = begin_three(w);
	int	  by_hand;

	node_may_lead(w, t.a, false);
	lose_power(w, t.p);
	EXPECT(w, run_until(w, SECONDS(2), knows_no_leader, t.b));
	kill_server(w, t.b);
	server(w, t.b)->data.standby_signal = false;
	EXPECT(w, sim_start(cluster(w), t.b));
	EXPECT(w, run_until(w, SECONDS(1), is_primary, t.b));
	by_hand = commit_on(w, t.b);
	EXPECT(w, !run_until(w, SECONDS(3), somebody_leads, 0));
	EXPECT(w, server(w, t.b)->timeline == 2 && keeper(w, t.b)->data_told.foreign && !keeper(w, t.b)->data_told.known);
	node_may_lead(w, t.a, true);
	EXPECT(w, !run_until(w, SECONDS(3), somebody_leads, 0));
	EXPECT(w, settle_data(w) != t.b && !has_commit(w, t.b, by_hand));
}

/* ---- who is followed ---- */

/*
 * Two members are promoted from the same point, one after the other.  The first one comes
 * back with a timeline that begins where the leader's begins: it is rebuilt, and counted
 * for nothing before.
 */
static void
two_failovers_to_one_point(World *w)
{
	Three t = begin_three(w);
	int	  own;
	int	  commit;

	lose_power(w, t.p);
	cut_wal(w, t.a, t.b);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), leads_as_primary, t.a));
	for (int k = 0; k < 4; k++)
		own = commit_on(w, t.a);
	only_isolated(w, t.a);
	mend_wal(w);
	node_start(w, t.p);
	node_may_lead(w, t.p, false);
	node_may_lead(w, t.b, true);
	EXPECT(w, run_until(w, SECONDS(10), is_open, t.b));
	EXPECT(w, server(w, t.b)->timeline == 4);
	EXPECT(w, cluster(w)->promotion[server(w, t.a)->promotion].fork == cluster(w)->promotion[server(w, t.b)->promotion].fork);

	for (int k = 0; k < 8; k++)
		(void) commit_on(w, t.b);
	EXPECT(w, sim_true_end(cluster(w), t.b, NULL) > sim_true_end(cluster(w), t.a, NULL));

	/* The other standby goes, and the first one returns. */
	hold(w, t.a, HOLD_REBUILD);
	only_isolated(w, t.p);
	node_may_lead(w, t.a, false);
	commit = commit_on(w, t.b);
	EXPECT(w, run_until(w, SECONDS(10), is_rebuilding, t.a));
	EXPECT(w, keeper(w, t.a)->rebuild_how == RAFT_REWINDING);
	world_run(w, SECONDS(1));
	EXPECT(w, node_has_lease(w, t.b) && !is_answered(w, commit));
	let_go(w, t.a, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(5), is_intact, t.a));
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, has_commit(w, t.a, commit) && !has_commit(w, t.a, own));
	EXPECT(w, settle_data(w) == t.b);
}

/*
 * C9: the leader of the term is a primary of an older reign, which it may not keep.  It is
 * neither followed nor a source for a rebuild before it is promoted on a claim.
 */
static void
primary_of_an_older_reign_is_no_source(World *w)
{
	for (int gone = 0; gone <= 1; gone++)
	{
		Three t = begin_three(w);

		/* Timeline 3 is claimed, and the old primary is elected above it. */
		network_isolate(w, t.p);
		cut_wal(w, t.a, t.b);
		node_may_lead(w, t.b, false);
		hold(w, t.a, HOLD_STARTUP);
		EXPECT(w, run_until(w, SECONDS(5), is_asked, t.a));
		if (gone)
		{
			kill_server(w, t.a);
			(void) sim_wipe(cluster(w), t.a, false);
			keeper(w, t.a)->lost = true;
		}
		node_may_lead(w, t.a, false);
		only_isolated(w, t.a);
		EXPECT(w, run_until(w, SECONDS(5), leads_as_primary, t.p));
		hold(w, t.p, HOLD_WORKER);
		network_heal(w);
		mend_wal(w);
		world_run(w, SECONDS(2));
		EXPECT(w, leads_as_primary(w, t.p) && server(w, t.p)->timeline == 2);
		EXPECT(w, keeper(w, t.b)->order.reason == PRIMARY_LEADER_NOT_READY && server(w, t.b)->conninfo < 0);
		if (gone)
			EXPECT(w, keeper(w, t.a)->order.reason == PRIMARY_GONE_NO_SOURCE && is_intact(w, t.a));
		EXPECT(w, server(w, settle_data(w))->timeline > 3);
	}
}

/* It turns up after rm_cleanup has looked for such, and before the end of recovery. */
static void
history_appears_while_it_promotes(World *w)
{
	Three	   t = begin_pending(w);
	SimServer *s = server(w, t.a);

	kill_server(w, t.b);
	EXPECT(w, sim_wipe(cluster(w), t.b, false));
	keeper(w, t.b)->lost = true;
	while (s->life == SIM_STANDBY && s->phase != SIM_WRITE_RECORD)
		(void) sim_startup_step(cluster(w), t.a);
	sim_put_history(&s->data, 5, SIM_GARBAGE);
	world_run(w, MS(20));
	let_go(w, t.a, HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(1), is_primary, t.a));
	EXPECT(w, run_until(w, SECONDS(300), is_open, t.a));
	(void) settle_data(w);
}

static bool
has_stored_a_claim(World *w, int i)
{
	return w->node[i].durable.claim != 0;
}

/*
 * Of three members one holds data.  It is restarted when it alone has stored the first claim,
 * and again when the first clones are under way: the others have confirmed nothing to
 * anybody, and elect it.
 */
static void
sole_holder_is_elected_again(World *w)
{
	reset_data(w, 3);
	for (int i = 1; i < 3; i++)
		hold(w, i, HOLD_REBUILD);
	world_start_all(w);
	EXPECT(w, run_until(w, SECONDS(5), has_stored_a_claim, 0));
	EXPECT(w, !has_stored_a_claim(w, 1) && !has_stored_a_claim(w, 2));
	node_crash(w, 0, false);
	world_run(w, SECONDS(1));
	EXPECT(w, !has_stored_a_claim(w, 1) && !has_stored_a_claim(w, 2));
	node_start(w, 0);
	EXPECT(w, run_until(w, SECONDS(5), is_rebuilding, 1) && run_until(w, SECONDS(5), is_rebuilding, 2));
	lose_power(w, 0);
	world_run(w, SECONDS(1));
	node_start(w, 0);
	EXPECT(w, run_until(w, SECONDS(5), leads_as_primary, 0));
	EXPECT(w, !is_intact(w, 1) && !is_intact(w, 2));
	EXPECT(w, settle_data(w) == 0);
}

const Scenario scenarios_claims[] = {
	{"sole_holder_is_elected_again", sole_holder_is_elected_again, NULL},
	{"history_appears_while_it_promotes", history_appears_while_it_promotes, NULL},
	{"primary_dies_after_an_answer", primary_dies_after_an_answer, NULL},
	{"figure_eight", figure_eight, NULL},
	{"history_above_a_kept_timeline", history_above_a_kept_timeline, NULL},
	{"history_above_in_the_votes", history_above_in_the_votes, NULL},
	{"claim_by_a_minority", claim_by_a_minority, NULL},
	{"claim_lost_by_restart", claim_lost_by_restart, NULL},
	{"late_claim_of_an_older_term", late_claim_of_an_older_term, NULL},
	{"promotion_pending_when_deposed", promotion_pending_when_deposed, NULL},
	{"promotion_pending_when_elected_again", promotion_pending_when_elected_again, NULL},
	{"promotion_asked_twice", promotion_asked_twice, NULL},
	{"burn_forgotten", burn_forgotten, NULL},
	{"promoted_by_hand", promoted_by_hand, NULL},
	{"promoted_by_hand_does_not_stand", promoted_by_hand_does_not_stand, NULL},
	{"promoted_by_hand_while_it_leads", promoted_by_hand_while_it_leads, NULL},
	{"promoted_by_hand_to_the_claimed_timeline", promoted_by_hand_to_the_claimed_timeline, NULL},
	{"started_as_a_primary_by_hand", started_as_a_primary_by_hand, NULL},
	{"two_failovers_to_one_point", two_failovers_to_one_point, NULL},
	{"primary_of_an_older_reign_is_no_source", primary_of_an_older_reign_is_no_source, NULL},
	{NULL, NULL, NULL}};
