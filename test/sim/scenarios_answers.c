/*
 * test/sim/scenarios_answers.c
 *	  Servers: answers, opening and reading (rules 16, 18, 25).
 */
#include "scenarios_data.h"

#include <string.h>

/* ---- what these scenarios share ---- */

static void
mute_all(World *w, int a)
{
	for (int b = 0; b < w->n; b++)
		mute(w, a, b);
}

/* As begin_data(); the other members' ids are given as well. */
static int
begin_answers(World *w, int n, int *others)
{
	unmute_all(w);
	return begin_with_others(w, n, others);
}

static int
settle_answers(World *w)
{
	unmute_all(w);
	for (int k = 0; k < w->n; k++)
	{
		if (w->node[k].up)
			node_may_lead(w, k, true);
	}
	return settle_data(w);
}

static bool
rule_16_lets(World *w, int i, int commit)
{
	QuorumView	 view;
	QuorumSender senders[SIM_SENDERS];

	ledger_view(w, i, &view, senders);
	return quorum_answers(&view, cluster(w)->commit[commit].end);
}

static bool
has_quorum_for(World *w, int i, uint64_t end)
{
	QuorumView	 view;
	QuorumSender senders[SIM_SENDERS];

	ledger_view(w, i, &view, senders);
	return quorum_flushed(&view) >= end;
}

static bool
is_asking(World *w, int i)
{
	return w->node[i].member.raft.role == RAFT_PRE_CANDIDATE;
}

/* Both, in one number: for has_voted(). */
static int
vote_of(int voter, int candidate)
{
	return voter * SIM_SERVERS + candidate;
}

static bool
has_voted(World *w, int vote)
{
	return w->node[vote / SIM_SERVERS].durable.voted_for == vote % SIM_SERVERS;
}

static bool
is_marked(World *w, int i)
{
	return keeper(w, i)->leading.mark_term == w->node[i].durable.term;
}

/* ---- who counts for an answer ---- */

/*
 * C15: one of five votes for another one when its promise has run out, and flushes the
 * commit after that.  Three hold it then and three are bound, but not the same ones.  Its
 * receiver tells nobody, so PostgreSQL shows the row to nobody (rule 20); and if it did
 * tell, rule 16 would keep the answer back, not the row.
 */
static void
flush_after_a_vote(World *w, bool tells)
{
	int			 o[4];
	int			 leader = begin_answers(w, 5, o);
	int			 holder = o[0];
	int			 voter = o[1];
	int			 third = o[2];
	int			 candidate = o[3];
	int			 commit;
	uint64_t	 term;
	RaftTimeouts patient = w->node[candidate].config.timeouts;

	w->keepers->replies_always = tells;
	patient.min_timeout = MS(350); /* it waits for its votes as long as that */
	node_reload(w, candidate, &patient);
	may_lead_only(w, candidate);
	hold(w, voter, HOLD_RECEIVER | HOLD_WORKER);
	hold(w, third, HOLD_RECEIVER);
	hold(w, candidate, HOLD_RECEIVER);
	commit = commit_on(w, leader);
	world_run(w, MS(50));
	EXPECT(w, has_commit(w, holder, commit) && !has_commit(w, voter, commit) && !is_released(w, commit));

	/* The candidate gets the pre-votes of both when they are free, and the vote of one. */
	mute(w, leader, candidate);
	EXPECT(w, run_until(w, MS(450), is_asking, candidate));
	mute_way(w, candidate, third, BIT(RAFT_VOTE_REQUEST));
	mute_way(w, candidate, holder, EVERYTHING);
	mute(w, leader, voter);
	mute(w, leader, third);
	EXPECT(w, run_until(w, MS(350), is_candidate, candidate));
	unmute(w, leader, third);
	EXPECT(w, run_until(w, MS(60), is_leading, leader));
	EXPECT(w, run_until(w, MS(60), has_voted, vote_of(voter, candidate)));
	mute(w, leader, third); /* what it has promised now is enough for what follows */
	mute_way(w, candidate, third, 0);
	term = w->node[voter].durable.term;
	EXPECT(w, is_leading(w, leader));

	let_go(w, voter, HOLD_RECEIVER);
	EXPECT(w, run_until(w, MS(30), is_released, commit) == tells);
	world_run(w, MS(30));
	EXPECT(w, has_commit(w, voter, commit) && is_leading(w, leader) && is_open(w, leader));
	EXPECT(w, !is_bound(w, leader, voter) && is_bound(w, leader, third) && is_bound(w, leader, holder));

	/* Then the third one's promise runs out as well. */
	EXPECT(w, run_until(w, MS(400), is_leading, candidate));
	EXPECT(w, w->node[candidate].durable.term == term && !has_commit(w, candidate, commit));
	if (tells)
		nobody_has_read(w);
	let_go(w, candidate, HOLD_RECEIVER);
	let_go(w, third, HOLD_RECEIVER);
	let_go(w, voter, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(5), is_open, candidate));
	EXPECT(w, !is_answered(w, commit));
	EXPECT(w, !has_commit(w, settle_answers(w), commit));
}

static void
voter_flushes_after_its_vote(World *w)
{
	flush_after_a_vote(w, true);
	flush_after_a_vote(w, false);
}

/*
 * The flush arrives when the lease is over, and the worker has not shut the fence yet.  Of
 * four members two copies commit, of which both may still be bound then.
 */
static void
answer_after_the_lease(World *w)
{
	for (int n = 3; n <= 5; n++)
	{
		int o[4];
		int leader = begin_answers(w, n, o);
		int commit;

		may_lead_only(w, o[1]);
		hold(w, leader, HOLD_REPLIES | HOLD_WORKER);
		commit = commit_on(w, leader);
		for (int k = n == 4 ? 1 : 0; k < n - 1; k++)
			mute(w, leader, o[k]);
		EXPECT(w, run_until(w, MS(300), nobody_leads, 0));
		EXPECT(w, !is_released(w, commit) && keeper(w, leader)->open);
		let_go(w, leader, HOLD_REPLIES);
		EXPECT(w, run_until(w, MS(20), is_released, commit));
		world_run(w, MS(20));
		EXPECT(w, keeper(w, leader)->open && !is_answered(w, commit));
		EXPECT(w, is_bound(w, leader, o[0]) == (n == 4));
		mute_all(w, leader);
		EXPECT(w, run_until(w, SECONDS(5), somebody_is_open, 0));
		EXPECT(w, has_commit(w, world_lease(w), commit) && world_lease(w) != leader);
		EXPECT(w, has_commit(w, settle_answers(w), commit) && !is_answered(w, commit));
	}
}

/*
 * C13: a leader that has a commit on its way to the disk hands over, and votes before it is
 * flushed.  The flush that makes it a quorum arrives after that.
 */
static void
answer_after_hand_over(World *w)
{
	int o[4];
	int leader = begin_answers(w, 3, o);
	int holder = o[0];
	int target = o[1];
	int commit;

	w->keepers->replies_always = true;
	node_may_lead(w, holder, false);
	hold(w, leader, HOLD_REPLIES | HOLD_WORKER);
	hold(w, holder, HOLD_WORKER);
	hold(w, target, HOLD_RECEIVER);
	world_run(w, MS(50));
	commit = sim_commit(cluster(w), leader, 0);
	keeper(w, leader)->hangs_until = SIM_NEVER;
	EXPECT(w, commit != 0 && server(w, leader)->flushed < cluster(w)->commit[commit].end);
	EXPECT(w, node_transfer(w, leader, target) == RAFT_TRANSFER_STARTED);
	EXPECT(w, run_until(w, MS(50), is_leading, target));
	keeper(w, leader)->hangs_until = 0;
	let_go(w, leader, HOLD_REPLIES);
	EXPECT(w, run_until(w, MS(50), is_released, commit));
	world_run(w, MS(20));
	EXPECT(w, has_commit(w, holder, commit) && !has_commit(w, target, commit));
	EXPECT(w, w->node[leader].durable.voted_for == target && keeper(w, leader)->open);
	EXPECT(w, is_primary(w, leader) && !is_answered(w, commit));
	let_go(w, target, HOLD_RECEIVER);
	let_go(w, holder, HOLD_WORKER);
	let_go(w, leader, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(5), is_open, target));
	EXPECT(w, !has_commit(w, target, commit));
	EXPECT(w, !has_commit(w, settle_answers(w), commit) && !is_answered(w, commit));
}

/*
 * The flush arrives in the next term of the same leader, which has a lease again and is not
 * open yet.
 */
static void
flush_arrives_late(World *w)
{
	int		 o[4];
	int		 leader = begin_answers(w, 3, o);
	int		 commit;
	uint64_t term = w->node[leader].durable.term;

	may_lead_only(w, leader);
	hold(w, leader, HOLD_REPLIES);
	commit = commit_on(w, leader);
	world_run(w, MS(100));
	EXPECT(w, has_commit(w, o[0], commit) && has_commit(w, o[1], commit));
	EXPECT(w, is_open(w, leader) && !is_released(w, commit) && !is_answered(w, commit));

	mute_all(w, leader);
	EXPECT(w, run_until(w, SECONDS(1), has_resigned, leader));
	hold(w, o[0], HOLD_FLUSH);
	hold(w, o[1], HOLD_FLUSH);
	unmute_all(w);
	EXPECT(w, run_until(w, SECONDS(2), is_leading, leader));
	EXPECT(w, run_until(w, MS(50), is_marked, leader));
	EXPECT(w, w->node[leader].durable.term > term && is_primary(w, leader) && !is_released(w, commit));
	let_go(w, leader, HOLD_REPLIES);
	EXPECT(w, run_until(w, MS(300), is_released, commit));
	world_run(w, MS(20));
	EXPECT(w, is_leading(w, leader) && !keeper(w, leader)->open && !is_answered(w, commit));
	EXPECT(w, !rule_16_lets(w, leader, commit));
	let_go(w, o[0], HOLD_FLUSH);
	EXPECT(w, run_until(w, MS(500), is_open, leader) && rule_16_lets(w, leader, commit));
	EXPECT(w, has_commit(w, settle_answers(w), commit));
}

/*
 * A commit is done, and the fence closes before it is answered: for less than fence_wait, or
 * for longer.  Who was not told then is never told.
 */
static void
fence_closes_under_a_commit(World *w)
{
	for (int is_long = 0; is_long < 2; is_long++)
	{
		int o[4];
		int leader = begin_answers(w, 3, o);
		int commit;

		w->keepers->fence_wait = is_long ? MS(300) : SECONDS(5);
		may_lead_only(w, leader);
		hold(w, leader, HOLD_ANSWERS);
		commit = commit_on(w, leader);
		EXPECT(w, run_until(w, MS(100), is_released, commit) && is_open(w, leader));
		mute_all(w, leader);
		EXPECT(w, run_until(w, SECONDS(1), nobody_leads, 0));
		let_go(w, leader, HOLD_ANSWERS);
		world_run(w, MS(200));
		EXPECT(w, cluster(w)->commit[commit].outcome == SIM_COMMIT_RELEASED);
		world_run(w, MS(200));
		EXPECT(w, cluster(w)->commit[commit].outcome == (is_long ? SIM_COMMIT_WITHHELD : SIM_COMMIT_RELEASED));
		unmute_all(w);
		EXPECT(w, run_until(w, SECONDS(4), is_open, leader) && rule_16_lets(w, leader, commit));
		world_run(w, MS(20));
		EXPECT(w, is_answered(w, commit) == !is_long);
		EXPECT(w, has_commit(w, settle_answers(w), commit));
	}
}

/*
 * PostgreSQL lets a commit go, and then the member that holds it is bound no longer.  The
 * fence is open all the time: the answer waits for another copy, however long that takes.
 */
static void
open_fence_waits_for_a_copy(World *w)
{
	int o[4];
	int leader = begin_answers(w, 3, o);
	int commit;

	w->keepers->fence_wait = MS(10);
	may_lead_only(w, leader);
	hold(w, o[1], HOLD_RECEIVER);
	hold(w, leader, HOLD_ANSWERS);
	commit = commit_on(w, leader);
	EXPECT(w, run_until(w, MS(100), is_released, commit));
	mute(w, leader, o[0]);
	world_run(w, SECONDS(1));
	let_go(w, leader, HOLD_ANSWERS);
	world_run(w, SECONDS(1));
	EXPECT(w, is_open(w, leader) && !is_bound(w, leader, o[0]));
	EXPECT(w, cluster(w)->commit[commit].outcome == SIM_COMMIT_RELEASED);
	let_go(w, o[1], HOLD_RECEIVER);
	EXPECT(w, run_until(w, MS(300), answered, commit));
	(void) settle_answers(w);
}

/* ---- two connections ---- */

/* The receiver is gone without a word: its walsender does not find out. */
static int
lose_connection(World *w, int leader, int standby)
{
	int slot = server(w, standby)->receiver.slot;

	EXPECT(w, slot >= 0 && server(w, standby)->receiver.source == leader);
	(void) sim_receiver_end(cluster(w), standby, true);
	server(w, leader)->sender[slot].attached = true;
	return slot;
}

/*
 * C16: PostgreSQL takes two walsenders of one standby for two standbys, and shows a row that
 * two of five members hold.
 */
static void
two_of_five(World *w)
{
	int		  o[4];
	int		  leader = begin_answers(w, 5, o);
	int		  commit;
	int		  old;
	SimSender before;

	for (int k = 1; k < 4; k++)
		hold(w, o[k], HOLD_RECEIVER);
	commit = commit_on(w, leader);
	world_run(w, MS(50));
	EXPECT(w, has_commit(w, o[0], commit) && !is_released(w, commit));
	hold(w, leader, HOLD_ANSWERS);
	old = lose_connection(w, leader, o[0]);
	before = server(w, leader)->sender[old];
	EXPECT(w, before.state == SIM_SENDER_STREAMING && before.flush >= cluster(w)->commit[commit].end);
	EXPECT(w, run_until(w, MS(100), is_streaming, o[0]));
	world_run(w, MS(50));
	EXPECT(w, is_streaming(w, o[0]) && server(w, o[0])->receiver.connection != before.connection);
	EXPECT(w, !sim_has_commit(server(w, leader)->shown, commit) && !is_released(w, commit));
	let_go(w, leader, HOLD_ANSWERS);
	for (int k = 0; k < 4; k++)
		hold(w, o[k], HOLD_RECEIVER);
	lose_power(w, leader);
	network_isolate(w, o[0]);
	EXPECT(w, run_until(w, SECONDS(2), somebody_leads, 0));
	EXPECT(w, !has_commit(w, world_lease(w), commit));
	(void) settle_answers(w);
	EXPECT(w, !is_answered(w, commit));
}

static SimData older_copy;

/*
 * C16, rule 16 alone: an older walsender says what its member held before older data were
 * put in its place.
 */
static void
two_of_which_one_is_true(World *w)
{
	int o[4];
	int leader = begin_answers(w, 3, o);
	int commit;

	cluster(w)->login = NULL;
	hold(w, o[1], HOLD_RECEIVER);
	sim_snapshot(cluster(w), o[0], &older_copy);
	hold(w, leader, HOLD_REPLIES);
	commit = commit_on(w, leader);
	world_run(w, MS(20));
	EXPECT(w, has_commit(w, o[0], commit) && !is_released(w, commit));
	(void) lose_connection(w, leader, o[0]);
	hold(w, o[0], HOLD_FLUSH);
	kill_server(w, o[0]);
	EXPECT(w, sim_restore(cluster(w), o[0], &older_copy));
	keeper(w, o[0])->lost = true;
	EXPECT(w, run_until(w, MS(300), is_streaming, o[0]));
	hold(w, o[0], HOLD_RECEIVER);
	let_go(w, leader, HOLD_REPLIES);
	EXPECT(w, run_until(w, MS(20), is_released, commit));
	world_run(w, MS(50));
	EXPECT(w, is_open(w, leader) && is_bound(w, leader, o[0]) && !is_answered(w, commit));
	let_go(w, o[0], HOLD_RECEIVER | HOLD_FLUSH);
	EXPECT(w, run_until(w, MS(200), answered, commit));
	EXPECT(w, has_commit(w, settle_answers(w), commit));
}

static void
two_walsenders_of_one_standby(World *w)
{
	two_of_five(w);
	two_of_which_one_is_true(w);
}

/* Steps its receiver until the walsender counts for PostgreSQL; false: it never does. */
static bool
connect_by_hand(World *w, int i, int source)
{
	(void) sim_set_conninfo(cluster(w), i, source);
	for (int k = 0; k < 40; k++)
	{
		SimReceiver *v = &server(w, i)->receiver;

		world_run(w, MS(6)); /* its startup process gets on, and a reply is sent */
		if (v->source == source && v->slot >= 0 && server(w, source)->sender[v->slot].state == SIM_SENDER_STREAMING)
			return true;
		if (v->source == source)
			(void) sim_receiver_step(cluster(w), i, 4);
	}
	return false;
}

/*
 * A6: a standby that holds unanswered WAL of the ended timeline is let loose on the new
 * primary without having been compared.  It reports what it has replayed beyond the fork as
 * flushed, and PostgreSQL believes that it has the mark.
 */
static void
standby_ahead_on_the_old_timeline(World *w)
{
	int	   o[4];
	int	   old = begin_answers(w, 5, o);
	int	   ahead = o[0];
	int	   primary = o[1];
	int	   follower = o[2];
	SimLsn fork;

	w->keepers->replies_always = true;
	may_lead_only(w, primary);
	while (server(w, old)->inserted % SIM_SEGMENT != 1)
		EXPECT(w, sim_insert(cluster(w), old, SIM_RECORD_OTHER, 0, 0));
	world_run(w, MS(50));
	fork = server(w, old)->flushed;
	for (int k = 1; k < 4; k++)
	{
		hold(w, o[k], HOLD_RECEIVER);
		EXPECT(w, server(w, o[k])->at == fork);
	}
	(void) commit_on(w, old);
	(void) commit_on(w, old);
	world_run(w, MS(50));
	EXPECT(w, server(w, ahead)->at == fork + 2);

	hold(w, ahead, HOLD_RECEIVER | HOLD_WORKER);
	network_isolate(w, old);
	kill_server(w, old);
	cut_wal_all(w, o[3]);
	EXPECT(w, run_until(w, SECONDS(2), is_leading, primary));
	for (int k = 1; k < 4; k++)
		let_go(w, o[k], HOLD_RECEIVER);
	EXPECT(w, run_until(w, SECONDS(1), is_marked, primary));
	EXPECT(w, keeper(w, primary)->leading.mark_end == fork + 2 && server(w, primary)->flushed >= fork + 2);
	world_run(w, MS(50));
	EXPECT(w, is_streaming(w, follower) && !keeper(w, primary)->open);
	EXPECT(w, server(w, primary)->released < fork + 2);

	EXPECT(w, connect_by_hand(w, ahead, primary));
	world_run(w, MS(50));
	EXPECT(w, is_leading(w, primary) && is_bound(w, primary, ahead));
	EXPECT(w, server(w, primary)->released >= fork + 2 && !keeper(w, primary)->open);
	(void) settle_answers(w);
}

/* ---- opening ---- */

/*
 * C18: an unanswered commit becomes visible when its primary is started anew and elected
 * again.  It does not open before others hold what it shows.
 */
static void
opens_with_a_quorum_only(World *w)
{
	int o[4];
	int leader = begin_answers(w, 3, o);
	int commit;

	may_lead_only(w, leader);
	hold(w, o[0], HOLD_RECEIVER | HOLD_WORKER);
	hold(w, o[1], HOLD_RECEIVER | HOLD_WORKER);
	commit = commit_on(w, leader);
	world_run(w, MS(20));
	EXPECT(w, !sim_has_commit(server(w, leader)->shown, commit));
	kill_server(w, leader);
	EXPECT(w, run_until(w, MS(20), has_resigned, leader));
	EXPECT(w, run_until(w, SECONDS(2), is_leading, leader));
	EXPECT(w, run_until(w, SECONDS(1), is_marked, leader));
	EXPECT(w, is_primary(w, leader) && sim_has_commit(server(w, leader)->shown, commit));
	world_run(w, SECONDS(3));
	EXPECT(w, is_leading(w, leader) && is_primary(w, leader) && !keeper(w, leader)->open);
	lose_power(w, leader);
	for (int k = 0; k < 2; k++)
	{
		node_may_lead(w, o[k], true);
		let_go(w, o[k], HOLD_RECEIVER | HOLD_WORKER);
	}
	EXPECT(w, run_until(w, SECONDS(5), somebody_is_open, 0));
	EXPECT(w, !has_commit(w, world_lease(w), commit));
	(void) settle_answers(w);
}

/* The same where it keeps its timeline, and all have the mark of the term before. */
static void
opens_by_a_new_mark_only(World *w)
{
	int		 o[4];
	int		 leader = begin_answers(w, 3, o);
	int		 commit;
	uint16_t timeline = server(w, leader)->timeline;
	uint64_t term = w->node[leader].durable.term;

	may_lead_only(w, leader);
	EXPECT(w, is_marked(w, leader));
	hold(w, o[0], HOLD_RECEIVER | HOLD_WORKER);
	hold(w, o[1], HOLD_RECEIVER | HOLD_WORKER);
	commit = commit_on(w, leader);
	mute_all(w, leader);
	EXPECT(w, run_until(w, SECONDS(1), has_resigned, leader));
	unmute_all(w);
	EXPECT(w, run_until(w, SECONDS(2), is_leading, leader));
	world_run(w, SECONDS(3));
	EXPECT(w, is_leading(w, leader) && w->node[leader].durable.term > term);
	EXPECT(w, server(w, leader)->timeline == timeline && is_primary(w, leader));
	EXPECT(w, !keeper(w, leader)->open && !is_answered(w, commit));

	/* Members hold the mark, and PostgreSQL has not said that it waits for them. */
	hold(w, leader, HOLD_RELEASE);
	let_go(w, o[1], HOLD_RECEIVER | HOLD_WORKER);
	world_run(w, SECONDS(1));
	EXPECT(w, has_commit(w, o[1], commit) && has_quorum_for(w, leader, keeper(w, leader)->leading.mark_end));
	EXPECT(w, is_leading(w, leader) && !keeper(w, leader)->open);
	let_go(w, leader, HOLD_RELEASE);
	EXPECT(w, run_until(w, SECONDS(1), is_open, leader));
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, has_commit(w, settle_answers(w), commit));
}

/* PostgreSQL has released the mark for two that are not bound to this leadership. */
static void
opens_by_bound_members_only(World *w)
{
	int o[4];
	int leader = begin_answers(w, 5, o);

	w->keepers->replies_always = true;
	may_lead_only(w, leader);
	for (int k = 0; k < 4; k++)
		hold(w, o[k], k < 2 ? HOLD_RECEIVER | HOLD_WORKER : HOLD_WORKER);
	mute_all(w, leader);
	EXPECT(w, run_until(w, SECONDS(1), has_resigned, leader));
	unmute(w, leader, o[0]);
	unmute(w, leader, o[1]);
	EXPECT(w, run_until(w, SECONDS(2), is_leading, leader));
	world_run(w, MS(300));
	EXPECT(w, is_leading(w, leader) && is_marked(w, leader) && is_primary(w, leader));
	EXPECT(w, server(w, leader)->released >= keeper(w, leader)->leading.mark_end);
	EXPECT(w, is_bound(w, leader, o[0]) && !is_bound(w, leader, o[2]) && !is_bound(w, leader, o[3]));
	EXPECT(w, !keeper(w, leader)->open);
	unmute(w, leader, o[2]);
	world_run(w, MS(300));
	EXPECT(w, is_bound(w, leader, o[2]) && !keeper(w, leader)->open);
	unmute(w, leader, o[3]);
	EXPECT(w, run_until(w, SECONDS(1), is_open, leader));
	(void) settle_answers(w);
}

static void
open_without_a_quorum(World *w)
{
	opens_by_bound_members_only(w);
	opens_with_a_quorum_only(w);
	opens_by_a_new_mark_only(w);
}

/* Whoever is elected has a replay that does not get on; returns it. */
static int
elect_one_that_is_held(World *w, int *other)
{
	int o[4];
	int leader = begin_answers(w, 5, o);

	may_lead_only(w, o[0]);
	hold(w, o[0], HOLD_STARTUP);
	(void) commit_on(w, leader);
	world_run(w, MS(50));
	EXPECT(w, server(w, o[0])->at < server(w, leader)->flushed);
	network_isolate(w, leader);
	EXPECT(w, run_until(w, SECONDS(2), is_leading, o[0]));
	*other = o[1];
	return o[0];
}

/* Rule 18: a leader that cannot open makes room for one that can, and else stays. */
static void
leader_cannot_open(World *w)
{
	int		 other;
	int		 held = elect_one_that_is_held(w, &other);
	uint64_t term;

	world_run(w, SECONDS(1));
	node_may_lead(w, other, true);
	world_run(w, SECONDS(8));
	EXPECT(w, is_leading(w, held) && !is_primary(w, held));
	EXPECT(w, run_until(w, SECONDS(2), has_resigned, held));
	EXPECT(w, run_until(w, SECONDS(2), is_open, other));
	(void) settle_answers(w);

	held = elect_one_that_is_held(w, &other);
	term = w->node[held].durable.term;
	world_run(w, SECONDS(25));
	EXPECT(w, is_leading(w, held) && !is_primary(w, held) && w->node[held].durable.term == term);
	let_go(w, held, HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(2), is_open, held));
	EXPECT(w, settle_answers(w) == held);
}

/*
 * Rule 25: leases run and nobody can connect to the open primary.  It makes room for one
 * that holds everything, and stays as long as there is none.
 */
static void
open_and_cannot_commit(World *w)
{
	for (int holds_all = 0; holds_all < 2; holds_all++)
	{
		int		 o[4];
		int		 leader = begin_answers(w, 3, o);
		int		 commit;
		uint64_t term = w->node[leader].durable.term;

		if (holds_all)
			hold(w, leader, HOLD_REPLIES);
		else
			cut_wal_all(w, leader);
		commit = commit_on(w, leader);
		world_run(w, MS(50));
		cut_wal_all(w, leader);
		EXPECT(w, has_commit(w, o[0], commit) == (holds_all == 1));
		world_run(w, SECONDS(9));
		EXPECT(w, is_open(w, leader) && !is_answered(w, commit) && w->node[leader].durable.term == term);
		if (!holds_all)
		{
			world_run(w, SECONDS(15));
			EXPECT(w, is_open(w, leader) && w->node[leader].durable.term == term);
			mend_wal(w);
			EXPECT(w, run_until(w, SECONDS(30), answered, commit));
			EXPECT(w, settle_answers(w) == leader);
			continue;
		}
		EXPECT(w, run_until(w, SECONDS(2), has_resigned, leader));
		EXPECT(w, run_until(w, SECONDS(2), somebody_is_open, 0));
		EXPECT(w, world_lease(w) != leader && has_commit(w, world_lease(w), commit));
		EXPECT(w, has_commit(w, settle_answers(w), commit));
	}
}

/* ---- waits and fences of before ---- */

/*
 * C17: a wait that is cancelled, which PostgreSQL answers with success, or whose session is
 * told to end, which shows the row.  The shield keeps it from being shown, and rule 16 from
 * being answered; and the shield alone if nobody is to see what is lost (D4).
 */
static void
end_a_wait(World *w, SimOutcome how, bool shield)
{
	int o[4];
	int leader = begin_answers(w, 3, o);
	int commit;

	w->keepers->no_shield = !shield;
	hold(w, o[0], HOLD_RECEIVER);
	hold(w, o[1], HOLD_RECEIVER);
	commit = commit_on(w, leader);
	EXPECT(w, ledger_end_wait(w, commit, how));
	world_run(w, MS(500)); /* somebody reads meanwhile */
	EXPECT(w, is_open(w, leader) && !is_answered(w, commit) && !rule_16_lets(w, leader, commit));
	EXPECT(w, sim_has_commit(server(w, leader)->shown, commit) == !shield);
	network_isolate(w, leader);
	EXPECT(w, run_until(w, SECONDS(1), nobody_leads, 0));
	let_go(w, o[0], HOLD_RECEIVER);
	let_go(w, o[1], HOLD_RECEIVER);
	EXPECT(w, run_until(w, SECONDS(5), somebody_is_open, 0));
	EXPECT(w, world_lease(w) != leader && !has_commit(w, world_lease(w), commit));
	EXPECT(w, !has_commit(w, settle_answers(w), commit) && !is_answered(w, commit));
}

static void
cancelled_wait(World *w)
{
	end_a_wait(w, SIM_COMMIT_CANCELLED, true);
	end_a_wait(w, SIM_COMMIT_TERMINATED, true);
}

static void
cancelled_wait_without_shield(World *w)
{
	end_a_wait(w, SIM_COMMIT_CANCELLED, false);
}

/* The quorum has the row after all: then it is shown, and told to who is still there. */
static void
cancelled_wait_ends_well(World *w)
{
	for (SimOutcome how = SIM_COMMIT_CANCELLED; how <= SIM_COMMIT_TERMINATED; how++)
	{
		int o[4];
		int leader = begin_answers(w, 3, o);
		int commit;

		hold(w, o[0], HOLD_RECEIVER);
		hold(w, o[1], HOLD_RECEIVER);
		commit = commit_on(w, leader);
		EXPECT(w, ledger_end_wait(w, commit, how));
		world_run(w, MS(100));
		let_go(w, o[0], HOLD_RECEIVER);
		EXPECT(w, run_until(w, MS(200), is_released, commit));
		world_run(w, MS(100));
		EXPECT(w, sim_has_commit(server(w, leader)->shown, commit));
		EXPECT(w, is_answered(w, commit) == (how == SIM_COMMIT_CANCELLED));
	}
}

/*
 * Somebody empties synchronous_standby_names, PostgreSQL shows all rows that wait, and then
 * the names are back.  The fence opens again when those rows have come to a quorum.
 */
static void
names_taken_away(World *w)
{
	int o[4];
	int leader = begin_answers(w, 3, o);
	int commit;

	hold(w, o[0], HOLD_RECEIVER);
	hold(w, o[1], HOLD_RECEIVER);
	commit = commit_on(w, leader);
	keeper(w, leader)->names_until = w->now + MS(100);
	EXPECT(w, run_until(w, MS(50), is_released, commit) && !is_open(w, leader));
	EXPECT(w, sim_has_commit(server(w, leader)->shown, commit));
	world_run(w, MS(600)); /* nobody may read meanwhile */
	EXPECT(w, leads_as_primary(w, leader) && !is_open(w, leader) && !is_answered(w, commit));
	let_go(w, o[0], HOLD_RECEIVER);
	EXPECT(w, run_until(w, SECONDS(1), is_open, leader));
	EXPECT(w, has_commit(w, o[0], commit) && has_commit(w, settle_answers(w), commit));
}

/* D1: the fence stays open from an earlier leadership, because its worker has not had a turn. */
static void
fence_of_an_earlier_term(World *w)
{
	int o[4];
	int old = begin_answers(w, 3, o);
	int next = o[0];
	int third = o[1];
	int commit;

	w->keepers->replies_always = true;
	hold(w, old, HOLD_WORKER);
	hold(w, third, HOLD_WORKER);
	may_lead_only(w, next);
	mute_all(w, old);
	EXPECT(w, run_until(w, SECONDS(1), nobody_leads, 0));
	EXPECT(w, run_until(w, SECONDS(2), is_leading, next));
	EXPECT(w, run_until(w, SECONDS(1), is_marked, next)); /* on its new timeline, alone */
	EXPECT(w, is_primary(w, next) && is_primary(w, old) && keeper(w, old)->open);
	mute_all(w, next);
	unmute(w, old, third);
	EXPECT(w, run_until(w, SECONDS(3), is_leading, old));
	commit = commit_on(w, old);
	world_run(w, MS(50));
	EXPECT(w, keeper(w, old)->open && has_quorum_for(w, old, cluster(w)->commit[commit].end) && !is_answered(w, commit));
	mute_all(w, old);
	unmute(w, next, third);
	EXPECT(w, run_until(w, SECONDS(3), is_leading, next));
	let_go(w, old, HOLD_WORKER);
	let_go(w, third, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(5), is_open, next));
	(void) settle_answers(w);
}

/*
 * Rule 25: each member resigns for it once at most, until a commit has got through to
 * the quorum.  Else the leadership would go round for as long as something is wrong.
 */
static void
resigns_once(World *w)
{
	int o[4];
	int leader = begin_answers(w, 3, o);
	int commit = 0;

	may_lead_only(w, o[0]);
	node_may_lead(w, leader, true);
	for (int k = 0; k < 3; k++)
	{
		hold(w, leader, HOLD_REPLIES);
		commit = commit_on(w, leader);
		world_run(w, MS(50));
		cut_wal_all(w, leader);
		EXPECT(w, run_until(w, SECONDS(20), has_resigned, leader) == (k < 2));
		mend_wal(w);
		for (int i = 0; i < w->n; i++)
			let_go(w, i, HOLD_REPLIES);
		EXPECT(w, run_until(w, SECONDS(5), all_follow, 0));
		leader = world_lease(w);
	}

	/* A commit gets through: from now on once more. */
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	hold(w, leader, HOLD_REPLIES);
	(void) commit_on(w, leader);
	world_run(w, MS(50));
	cut_wal_all(w, leader);
	EXPECT(w, run_until(w, SECONDS(20), has_resigned, leader));
	(void) settle_answers(w);
}

/* The first claim does not reach w->arg. */
static SendVerdict
first_claim_lost(World *w, const RaftMessage *m)
{
	return m->type == RAFT_HEARTBEAT && m->told.claimed && m->to == w->arg ? SEND_NOT : SEND_ON;
}

/*
 * At an adoption one of five has followed the new primary from before, and does not hear of
 * the first claim.  It would tell what it has flushed whatever its term is, also after a vote
 * for another one; so it is not served before it has acknowledged a claim.
 */
static void
member_without_the_first_claim_is_not_served(World *w)
{
	unmute_all(w);
	reset_data(w, 5);
	for (int i = 1; i < 5; i++)
	{
		server(w, i)->data = server(w, 0)->data;
		w->node[i].config.may_lead = false;
	}
	w->arg = 2;
	w->on_send = first_claim_lost;
	for (int i = 0; i < 5; i++)
		node_new(w, i);
	for (int i = 1; i < 5; i++)
		node_start(w, i);
	world_run(w, MS(100));
	(void) sim_set_conninfo(cluster(w), 2, 0);
	node_start(w, 0);
	EXPECT(w, run_until(w, SECONDS(10), is_open, 0));
	world_run(w, SECONDS(1));
	EXPECT(w, w->node[2].durable.claim == 0 && server(w, 2)->conninfo == 0 && !is_streaming(w, 2));
	w->arg = -1;
	EXPECT(w, run_until(w, SECONDS(5), is_streaming, 2));
	EXPECT(w, is_open(w, 0) && w->node[2].durable.claim == 2);
	(void) settle_answers(w);
}

/*
 * The worker of one that follows stands still, while its leader dies, another one is elected
 * without what these two have, and the old leader is rebuilt and back.  The receiver connects
 * to whom it was let loose to, and must not be served: what is there now is other WAL.
 */
static void
one_that_leads_no_more_serves_nobody(World *w)
{
	int p = begin_data(w, 5);
	int b = someone(w, p, -1);
	int commit;

	/* The fork is to be in the middle of a segment: up to it the receiver gets what both have. */
	while (server(w, p)->inserted % SIM_SEGMENT != 1)
		EXPECT(w, run_until(w, SECONDS(1), answered, commit_on(w, p)));
	for (int i = 0; i < 5; i++)
	{
		if (i != p && i != b)
			hold(w, i, HOLD_RECEIVER);
	}
	commit = commit_on(w, p);
	world_run(w, MS(50));
	EXPECT(w, has_commit(w, b, commit) && !is_answered(w, commit));
	node_pause(w, b, SIM_NEVER);
	node_crash(w, p, false);
	kill_server(w, p);
	for (int i = 0; i < 5; i++)
		let_go(w, i, HOLD_RECEIVER);
	EXPECT(w, run_until(w, SECONDS(20), somebody_is_open, 0));
	node_start(w, p);
	EXPECT(w, run_until(w, SECONDS(20), is_streaming, p));
	world_run(w, SECONDS(1));
	EXPECT(w, server(w, b)->conninfo == p && !is_streaming(w, b) && has_commit(w, b, commit));
	(void) settle_answers(w);
	EXPECT(w, !has_commit(w, b, commit));
}

const Scenario scenarios_answers[] = {
	{"one_that_leads_no_more_serves_nobody", one_that_leads_no_more_serves_nobody, NULL},
	{"member_without_the_first_claim_is_not_served", member_without_the_first_claim_is_not_served, NULL},
	{"voter_flushes_after_its_vote", voter_flushes_after_its_vote, NULL},
	{"answer_after_the_lease", answer_after_the_lease, NULL},
	{"answer_after_hand_over", answer_after_hand_over, NULL},
	{"flush_arrives_late", flush_arrives_late, NULL},
	{"fence_closes_under_a_commit", fence_closes_under_a_commit, NULL},
	{"open_fence_waits_for_a_copy", open_fence_waits_for_a_copy, NULL},
	{"two_walsenders_of_one_standby", two_walsenders_of_one_standby, NULL},
	{"standby_ahead_on_the_old_timeline", standby_ahead_on_the_old_timeline, NULL},
	{"open_without_a_quorum", open_without_a_quorum, NULL},
	{"leader_cannot_open", leader_cannot_open, NULL},
	{"open_and_cannot_commit", open_and_cannot_commit, NULL},
	{"names_taken_away", names_taken_away, NULL},
	{"cancelled_wait", cancelled_wait, NULL},
	{"cancelled_wait_without_shield", cancelled_wait_without_shield, "D"},
	{"cancelled_wait_ends_well", cancelled_wait_ends_well, NULL},
	{"fence_of_an_earlier_term", fence_of_an_earlier_term, NULL},
	{"resigns_once", resigns_once, NULL},
	{NULL, NULL, NULL}};
