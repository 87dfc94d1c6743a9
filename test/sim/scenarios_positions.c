/*
 * test/sim/scenarios_positions.c
 *	  Servers: positions, votes and older data (rules 15, 20, 21 and 22).
 */
#include "scenarios_data.h"

/* ---- what is looked at ---- */

static const Raft *
raft_of(const World *w, int i)
{
	return &w->node[i].member.raft;
}

static RaftPosition
position_of(const World *w, int i)
{
	return raft_of(w, i)->position;
}

static uint64_t
refusals(const World *w, int i)
{
	return raft_of(w, i)->counters.pre_votes_refused;
}

/* Has the candidate asked that member in this round, and was refused? */
static bool
is_refused(const World *w, int candidate, int voter)
{
	return raft_of(w, candidate)->role != RAFT_LEADER && raft_of(w, candidate)->peers[voter].ballot == RAFT_BALLOT_REFUSED;
}

static bool
is_pre_candidate(World *w, int i)
{
	return raft_of(w, i)->role == RAFT_PRE_CANDIDATE;
}

static bool
knows_no_position(World *w, int i)
{
	return w->node[i].up && raft_of(w, i)->has_looked && !raft_of(w, i)->data.known;
}

static bool
knows_position(World *w, int i)
{
	return w->node[i].up && raft_of(w, i)->data.known;
}

static bool
is_below_its_floor(World *w, int i)
{
	return w->node[i].up && raft_is_behind(raft_of(w, i));
}

static bool
is_past_its_floor(World *w, int i)
{
	return !is_below_its_floor(w, i);
}

/* An older copy of its data, or somebody's, takes the place of what it has. */
static void
put_back(World *w, int i, const SimData *copy)
{
	EXPECT(w, sim_restore(cluster(w), i, copy));
	keeper(w, i)->lost = true;
	TRACE(w, BIT(i), "an older copy of its data is put back");
}

/* The last of five commits, which all are answered, and b has none of them. */
static int
commit_without(World *w, Three t)
{
	int commit = 0;

	cut_wal_all(w, t.b);
	for (int k = 0; k < 5; k++)
		commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, has_commit(w, t.a, commit) && !has_commit(w, t.b, commit));
	EXPECT(w, raft_is_older(position_of(w, t.b), position_of(w, t.p)));
	return commit;
}

/*
 * One may stand, and asks a voter that has to refuse for so long.  If it does not, the
 * checker tells what is lost by it.
 */
static void
asks_in_vain(World *w, int candidate, int voter, uint64_t us)
{
	uint64_t before = refusals(w, voter);
	bool	 led;

	for (int i = 0; i < w->n; i++)
		node_may_lead(w, i, i == candidate);
	led = run_until(w, us, is_leading, candidate);
	if (led)
	{
		for (int i = 0; i < w->n; i++)
			keeper(w, i)->holds = 0;
		(void) run_until(w, SECONDS(10), is_open, candidate);
	}
	EXPECT(w, !led && refusals(w, voter) > before && is_refused(w, candidate, voter));
	for (int i = 0; i < w->n; i++)
		node_may_lead(w, i, true);
}

/* ---- rule 15: positions ---- */

/*
 * C10: a deposed primary has written much on its timeline that was never answered, and less
 * on the newer one was.  It is the newer timeline that counts.
 */
static void
newer_timeline_shorter_log(World *w)
{
	Three	 t = begin_three(w);
	int		 commit = 0;
	uint64_t before;

	cut_wal_all(w, t.p);
	for (int k = 0; k < 20; k++)
		commit = commit_on(w, t.p);
	world_run(w, MS(50));
	EXPECT(w, !is_answered(w, commit));
	network_isolate(w, t.p);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), is_open, t.a));
	commit = commit_on(w, t.a);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, run_until(w, SECONDS(1), is_streaming, t.b) && has_commit(w, t.b, commit));
	world_run(w, MS(50));
	EXPECT(w, position_of(w, t.p).epoch == 2 && position_of(w, t.b).epoch == 3);
	EXPECT(w, position_of(w, t.p).index > position_of(w, t.b).index);

	/* The newest primary dies, and the older one asks for a vote with more. */
	lose_power(w, t.a);
	before = refusals(w, t.b);
	network_heal(w);
	mend_wal(w);
	EXPECT(w, !run_until(w, SECONDS(3), is_open, t.p));
	EXPECT(w, refusals(w, t.b) > before);
	node_may_lead(w, t.b, true);
	EXPECT(w, run_until(w, SECONDS(10), somebody_is_open, 0));
	EXPECT(w, has_commit(w, world_lease(w), commit));
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

/* Keeps the first pre-vote that w->arg is given; it gets none. */
static SendVerdict
keep_pre_vote(World *w, const RaftMessage *m)
{
	if (m->type != RAFT_PRE_VOTE_ANSWER || m->to != w->arg || !m->granted)
		return SEND_ON;
	keep_back(w, m);
	return SEND_NOT;
}

/*
 * A pre-vote is late: its voter holds more by the time that it is asked for the vote itself,
 * and looks at the position once more.
 */
static void
holds_more_than_at_the_pre_vote(World *w)
{
	Three	 t = begin_three(w);
	uint64_t votes;
	int		 commit;

	/* While it hears nothing of its leader, a gives a pre-vote to b. */
	w->arg = t.b;
	w->on_send = keep_pre_vote;
	node_may_lead(w, t.a, false);
	cut_wal_all(w, t.b);
	world_run(w, MS(20));
	network_isolate(w, t.p);
	EXPECT(w, run_until(w, MS(400), is_kept_back, 0));
	network_heal(w);
	network_cut(w, t.p, t.b);
	world_run(w, MS(40));
	EXPECT(w, is_leading(w, t.p) && raft_of(w, t.b)->role == RAFT_PRE_CANDIDATE);
	EXPECT(w, run_until(w, MS(60), is_open, t.p));
	commit = commit_on(w, t.p);
	EXPECT(w, run_until(w, MS(60), answered, commit));
	EXPECT(w, has_commit(w, t.a, commit) && !has_commit(w, t.b, commit));

	/* It arrives, and its leader dies. */
	world_run(w, MS(20));
	votes = raft_of(w, t.a)->counters.votes_refused;
	hand_over(w, &late);
	EXPECT(w, is_candidate(w, t.b));
	lose_power(w, t.p);
	w->on_send = NULL;
	mend_wal(w);
	EXPECT(w, !run_until(w, SECONDS(3), is_open, t.b));
	EXPECT(w, raft_of(w, t.a)->counters.votes_refused > votes + 1 && position_of(w, t.a).index > position_of(w, t.b).index);
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

static bool
connects(World *w, int i)
{
	return server(w, i)->receiver.state == SIM_WALRCV_CONNECTING;
}

/*
 * C11: a standby has the history of the newest timeline, and recovery aims at it, but of the
 * WAL it has not even the one before.  It is no better for that.
 */
static void
label_runs_ahead_of_bytes(World *w)
{
	Three		 t = begin_three(w);
	int			 commit = commit_without(w, t);
	RaftPosition label;

	lose_power(w, t.p);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), is_primary, t.a));
	hold(w, t.b, HOLD_RECEIVER);
	mend_wal(w);
	EXPECT(w, run_until(w, SECONDS(5), connects, t.b));
	while (server(w, t.b)->data.history[3] == SIM_ABSENT && sim_receiver_step(cluster(w), t.b, 1))
		;
	EXPECT(w, server(w, t.b)->data.history[3] >= SIM_REAL && !has_commit(w, t.b, commit));
	cut_wal_all(w, t.b);
	kill_server(w, t.b);
	EXPECT(w, run_until(w, SECONDS(1), knows_no_position, t.b));
	EXPECT(w, run_until(w, SECONDS(1), knows_position, t.b));
	EXPECT(w, server(w, t.b)->target.timeline == 3 && server(w, t.b)->at_timeline == 2);

	label = position_of(w, t.b);

	/* The promoted one dies; who holds the commit has the older label. */
	lose_power(w, t.a);
	let_go(w, t.b, HOLD_RECEIVER);
	mend_wal(w);
	node_start(w, t.p);
	EXPECT(w, run_until(w, SECONDS(2), knows_position, t.p));
	EXPECT(w, position_of(w, t.p).epoch == 2 && position_of(w, t.p).index > position_of(w, t.b).index);
	node_may_lead(w, t.b, true);
	EXPECT(w, run_until(w, SECONDS(10), somebody_is_open, 0));
	EXPECT(w, world_lease(w) == t.p && label.epoch == 2);
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

static bool
is_written_to_timeline_3(World *w, int i)
{
	return server(w, i)->receiver.received_timeline == 3 && server(w, i)->receiver.write > server(w, i)->receiver.flush;
}

/*
 * C11 at its narrowest: the first bytes of the newest timeline are written and not flushed.
 * The position is that of what is flushed, on the timeline of its last byte.
 */
static void
label_runs_ahead_of_the_flush(World *w)
{
	Three		 t = begin_three(w);
	RaftPosition before;
	int			 commit = 0;

	cut_wal_all(w, t.p);
	for (int k = 0; k < 8; k++)
		commit = commit_on(w, t.p);
	world_run(w, MS(50));
	before = position_of(w, t.b);
	network_isolate(w, t.p);
	node_may_lead(w, t.b, false);
	hold(w, t.b, HOLD_FLUSH);
	EXPECT(w, run_until(w, SECONDS(5), is_primary, t.a));
	EXPECT(w, run_until(w, SECONDS(1), is_written_to_timeline_3, t.b));
	hold(w, t.b, HOLD_RECEIVER);
	world_run(w, MS(50));
	hold(w, t.b, HOLD_WORKER);

	/* The older primary comes back with more, and gets this member's vote. */
	lose_power(w, t.a);
	network_heal(w);
	mend_wal(w);
	EXPECT(w, run_until(w, SECONDS(5), is_leading, t.p));
	EXPECT(w, server(w, t.b)->receiver.write > server(w, t.b)->receiver.flush);
	EXPECT(w, position_of(w, t.b).epoch == 2 && position_of(w, t.b).index == before.index);
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

/* What keeps replay back when a standby starts again. */
typedef enum Replay
{
	REPLAY_GOES_ON,
	REPLAY_PAUSED,
	REPLAY_DELAYED
} Replay;

static bool
recovers_unknown(World *w, int i)
{
	return knows_no_position(w, i) && raft_of(w, i)->data.server == RAFT_SERVER_RECOVERY;
}

/* Its server starts again, and its worker gets no further than that its WAL is not read yet. */
static void
start_unknown(World *w, int i)
{
	bool is_unknown = false;

	/* Without calm it takes some turns to read it, or none. */
	w->keepers->calm = false;
	for (int k = 0; k < 20 && !is_unknown; k++)
	{
		kill_server(w, i);
		is_unknown = run_until(w, MS(50), recovers_unknown, i);
	}
	w->keepers->calm = true;
	EXPECT(w, is_unknown);
	hold(w, i, HOLD_WORKER);
}

/* Its server starts again, its worker has read the WAL, and replay does not get to its end. */
static void
start_held(World *w, int i, Replay replay)
{
	SimServer *s = server(w, i);
	uint64_t   end = position_of(w, i).index;

	kill_server(w, i);
	hold(w, i, HOLD_STARTUP);
	EXPECT(w, run_until(w, SECONDS(1), knows_no_position, i));
	EXPECT(w, run_until(w, SECONDS(1), knows_position, i));
	s->paused = replay == REPLAY_PAUSED;
	s->delayed = replay == REPLAY_DELAYED;
	let_go(w, i, HOLD_STARTUP);
	world_run(w, MS(50));
	EXPECT(w, s->life == SIM_STANDBY && s->at < end && position_of(w, i).index == end);
}

/*
 * C12: the only live member that holds a commit has started again.  It must not give its
 * vote before it knows where its WAL ends, nor by what it has replayed.
 */
static void
restarted_standby_under_reports(World *w)
{
	for (Replay replay = REPLAY_GOES_ON; replay <= REPLAY_DELAYED; replay++)
	{
		Three t = begin_three(w);
		int	  commit = commit_without(w, t);

		node_may_lead(w, t.a, false);
		node_may_lead(w, t.b, false);
		lose_power(w, t.p);
		if (replay == REPLAY_GOES_ON)
			start_unknown(w, t.a);
		else
			start_held(w, t.a, replay);
		mend_wal(w);
		asks_in_vain(w, t.b, t.a, SECONDS(3));
		if (replay == REPLAY_GOES_ON)
			EXPECT(w, recovers_unknown(w, t.a));
		else
			EXPECT(w, server(w, t.a)->at < cluster(w)->commit[commit].end);
		EXPECT(w, has_commit(w, settle_data(w), commit));
	}
}

/* Rule 15: who does not know where its WAL ends does not stand either. */
static void
unknown_position_does_not_stand(World *w)
{
	Three t = begin_three(w);

	node_may_lead(w, t.b, false);
	lose_power(w, t.p);
	start_unknown(w, t.a);
	EXPECT(w, !run_until(w, SECONDS(3), is_pre_candidate, t.a));
	EXPECT(w, recovers_unknown(w, t.a) && w->node[t.a].member.raft.config.may_lead);
	let_go(w, t.a, HOLD_WORKER);
	EXPECT(w, run_until(w, SECONDS(5), is_open, t.a));
	(void) settle_data(w);
}

static bool
reports_a_segments_start(World *w, int i)
{
	const SimReceiver *v = &server(w, i)->receiver;

	return v->receive_start != 0 && v->flushed_upto == v->receive_start && v->flushed_upto < position_of(w, i).index;
}

/*
 * A receiver begins anew at its segment's start, and PostgreSQL says that it has flushed no
 * more than that.  The member holds what it held, and votes with that.
 */
static void
segment_start_under_reports(World *w)
{
	Three		 t = begin_three(w);
	RaftPosition end;
	int			 commit;

	/* The commit is not the first of its segment. */
	do
		commit = commit_without(w, t);
	while (cluster(w)->commit[commit].end % SIM_SEGMENT != SIM_SEGMENT - 1);
	world_run(w, MS(50));
	end = position_of(w, t.a);
	kill_server(w, t.a);
	EXPECT(w, run_until(w, SECONDS(1), knows_no_position, t.a));
	EXPECT(w, run_until(w, SECONDS(1), knows_position, t.a) && position_of(w, t.a).index == end.index);
	EXPECT(w, run_until(w, SECONDS(1), reports_a_segments_start, t.a));
	hold(w, t.a, HOLD_RECEIVER);
	world_run(w, MS(50));
	EXPECT(w, reports_a_segments_start(w, t.a) && server(w, t.a)->receiver.flushed_upto < cluster(w)->commit[commit].end);
	EXPECT(w, position_of(w, t.a).epoch == end.epoch && position_of(w, t.a).index == end.index);

	lose_power(w, t.p);
	mend_wal(w);
	asks_in_vain(w, t.b, t.a, SECONDS(3));
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

/* ---- rule 22: data that are older than they were ---- */

static int
someone_else(const World *w, int p, int a, int b)
{
	int i = 0;

	while (i < w->n && (i == p || i == a || i == b))
		i++;
	return i;
}

/* Has it begun with timeline 3, and flushed nothing there? */
static bool
rewrites_its_last_segment(World *w, int i)
{
	const SimServer	  *s = server(w, i);
	const SimReceiver *v = &s->receiver;

	return v->state == SIM_WALRCV_STREAMING && v->received_timeline == 3 && v->at > v->receive_start && v->flush >= v->write;
}

/*
 * With a new timeline a standby receives its last segment once more, into another file, and
 * flushes of that what is new only.  If power is lost just then, the file of zeros hides what
 * it had flushed and confirmed.  Its floor was saved before it followed.
 */
static void
new_segment_hides_what_was_confirmed(World *w)
{
	int		   p = begin_data(w, 5);
	int		   a = someone(w, p, -1);
	int		   b = someone(w, p, a);
	int		   commit;
	SimCommit *x;

	/* On three of five; not the first of its segment. */
	for (int i = 0; i < w->n; i++)
	{
		if (i != p && i != a && i != b)
			cut_wal_all(w, i);
		node_may_lead(w, i, i == p || i == a);
	}
	do
		commit = commit_on(w, p);
	while (cluster(w)->commit[commit].end % SIM_SEGMENT != SIM_SEGMENT - 1);
	x = &cluster(w)->commit[commit];
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	world_run(w, MS(50));
	EXPECT(w, has_commit(w, a, commit) && has_commit(w, b, commit) && position_of(w, b).index == x->end);
	hold(w, b, HOLD_RECEIVER);
	lose_power(w, p);
	EXPECT(w, run_until(w, SECONDS(2), is_primary, a));
	for (int k = 0; k < 1000 && !rewrites_its_last_segment(w, b); k++)
	{
		world_run(w, MS(1));
		(void) sim_receiver_step(cluster(w), b, 1);
	}
	EXPECT(w, rewrites_its_last_segment(w, b) && server(w, b)->receiver.flush >= x->end);

	/* Two die, and it comes back with less than it had. */
	lose_power(w, b);
	lose_power(w, a);
	let_go(w, b, HOLD_RECEIVER);
	node_start(w, b);
	EXPECT(w, run_until(w, SECONDS(2), knows_position, b));
	EXPECT(w, position_of(w, b).index < x->end && !has_commit(w, b, commit));
	mend_wal(w);
	asks_in_vain(w, someone_else(w, p, a, b), b, SECONDS(3));
	EXPECT(w, is_below_its_floor(w, b));
	EXPECT(w, has_commit(w, settle_data(w), commit) && has_commit(w, b, commit));
}

static SimData copy;

/* Then its next note is not for a while. */
static bool
has_just_noted(World *w, int i)
{
	return w->now - keeper(w, i)->note_at < MS(100);
}

/*
 * A copy of its data is taken, and then five commits are answered that b does not get.
 * "noted": the member has written down since that it holds them.
 */
static int
commit_after_copy(World *w, Three t, int i, bool noted)
{
	int commit;

	world_run(w, SECONDS(1));
	sim_snapshot(cluster(w), i, &copy);
	EXPECT(w, run_until(w, SECONDS(2), has_just_noted, i));
	commit = commit_without(w, t);
	world_run(w, noted ? MS(1200) : MS(100));
	EXPECT(w, (keeper(w, i)->note.index >= cluster(w)->commit[commit].end) == noted);
	return commit;
}

/*
 * C22: a standby comes back with its newest state file on an older copy of its data.  What
 * it confirmed is in its own notes, or a peer tells it.
 */
static void
data_restored_state_kept(World *w)
{
	for (int noted = 0; noted <= 1; noted++)
	{
		Three t = begin_three(w);
		int	  commit = commit_after_copy(w, t, t.a, noted != 0);
		bool  was_below;

		node_may_lead(w, t.b, false);
		cut_wal(w, t.p, t.a);
		lose_power(w, t.a);
		put_back(w, t.a, &copy);
		if (noted)
			network_cut(w, t.p, t.a);
		node_start(w, t.a);
		was_below = run_until(w, SECONDS(1), is_below_its_floor, t.a);
		EXPECT(w, knows_position(w, t.a) && !has_commit(w, t.a, commit));
		EXPECT(w, !raft_is_older(position_of(w, t.b), position_of(w, t.a)));

		/* The one that still holds it is gone for a while. */
		lose_power(w, t.p);
		mend_wal(w);
		asks_in_vain(w, t.b, t.a, SECONDS(3));
		EXPECT(w, was_below && w->node[t.a].durable.floor.index >= cluster(w)->commit[commit].end);
		EXPECT(w, has_commit(w, settle_data(w), commit) && run_until(w, MS(100), is_past_its_floor, t.a));
	}
}

/* C22: the same while its member runs, which remembers what it held a moment ago. */
static void
data_replaced_while_the_member_runs(World *w)
{
	Three	 t = begin_three(w);
	int		 commit = commit_after_copy(w, t, t.a, false);
	uint32_t life = w->node[t.a].life;
	bool	 was_below;

	node_may_lead(w, t.b, false);
	network_cut(w, t.p, t.a);
	kill_server(w, t.a);
	put_back(w, t.a, &copy);
	was_below = run_until(w, SECONDS(1), is_below_its_floor, t.a);
	EXPECT(w, knows_position(w, t.a) && !has_commit(w, t.a, commit) && w->node[t.a].life == life);
	lose_power(w, t.p);
	mend_wal(w);
	asks_in_vain(w, t.b, t.a, SECONDS(3));
	EXPECT(w, was_below && has_commit(w, settle_data(w), commit));
}

/*
 * C22: it is the primary that comes back on an older copy.  Of the two members that are left
 * one lacks what was answered, but it has heard where its primary was.
 */
static void
primary_restarted_from_an_older_copy(World *w)
{
	Three t = begin_three(w);
	int	  commit = commit_after_copy(w, t, t.p, false);
	bool  was_below;

	for (int i = 0; i < w->n; i++)
		node_may_lead(w, i, false);
	lose_power(w, t.p);
	put_back(w, t.p, &copy);
	network_isolate(w, t.a);
	node_start(w, t.p);
	was_below = run_until(w, SECONDS(1), is_below_its_floor, t.p);
	EXPECT(w, knows_position(w, t.p) && !has_commit(w, t.p, commit) && has_commit(w, t.a, commit));
	mend_wal(w);
	asks_in_vain(w, t.b, t.p, SECONDS(3));

	/* Nor does it stand itself, and the one that holds all leads. */
	node_may_lead(w, t.b, false);
	EXPECT(w, !run_until(w, SECONDS(3), is_pre_candidate, t.p));
	EXPECT(w, was_below && is_below_its_floor(w, t.p));
	EXPECT(w, w->node[t.p].durable.floor.index >= cluster(w)->commit[commit].end);
	EXPECT(w, settle_data(w) == t.a && has_commit(w, t.a, commit));
	EXPECT(w, has_commit(w, t.p, commit));
}

static bool
is_half_rewound(World *w, int i)
{
	return server(w, i)->data.whole == SIM_HALF_REWOUND && server(w, i)->rebuild.step == SIM_REBUILD_FILES;
}

/* What becomes of a state file. */
typedef enum State
{
	STATE_OF_THIS_START, /* an older copy is put back */
	STATE_OF_AN_EARLIER_START,
	STATE_WIPED
} State;

/*
 * The state file is lost, or an older one is put back, and with it that a rewind was half
 * done.  Such data must not be started: nothing in them tells.
 */
static void
state_restored_data_kept(World *w)
{
	for (State lost = STATE_OF_THIS_START; lost <= STATE_WIPED; lost++)
	{
		Three	 t = begin_three(w);
		bool	 was_gone;
		int		 commit;
		uint64_t rebuilt;

		cut_wal_all(w, t.p);
		for (int k = 0; k < 3; k++)
			(void) commit_on(w, t.p);
		world_run(w, MS(50));
		network_isolate(w, t.p);
		node_may_lead(w, t.b, false);
		EXPECT(w, run_until(w, SECONDS(5), is_open, t.a));
		disk_keep_copy(w, t.p);
		commit = commit_on(w, t.a);
		EXPECT(w, run_until(w, SECONDS(1), answered, commit));
		network_heal(w);
		for (int starts = 0; starts < 2 && lost == STATE_OF_AN_EARLIER_START; starts++)
		{
			lose_power(w, t.p);
			node_start(w, t.p);
			world_run(w, MS(200));
		}
		mend_wal(w);
		EXPECT(w, run_until(w, SECONDS(5), is_half_rewound, t.p));
		EXPECT(w, w->node[t.p].durable.rebuild == RAFT_REWINDING);

		lose_power(w, t.p);
		if (lost == STATE_WIPED)
			disk_wipe(w, t.p);
		else
			disk_restore_copy(w, t.p);
		node_start(w, t.p);
		EXPECT(w, is_intact(w, t.p));
		rebuilt = w->data[DATA_REBUILT];
		was_gone = run_until(w, SECONDS(5), is_gone, t.p);
		EXPECT(w, run_until(w, SECONDS(20), all_follow, 0));
		EXPECT(w, was_gone || w->data[DATA_REBUILT] > rebuilt);
		EXPECT(w, !server(w, t.p)->data.mixture && has_commit(w, t.p, commit));
		EXPECT(w, has_commit(w, settle_data(w), commit));
	}
}

/* ---- rule 21: the floor of data that are gone ---- */

static bool
has_no_data(World *w, int i)
{
	return w->node[i].up && raft_of(w, i)->data.system_id == 0;
}

static bool
is_forgotten(World *w, int i)
{
	int leader = raft_of(w, i)->leader_id;

	return leader >= 0 && raft_of(w, i)->peers[leader].told.forgotten;
}

/* The worker of a primary has started again: it tells its member before it has read its WAL. */
static void
tell_no_position(World *w, int i)
{
	RaftData data = raft_of(w, i)->data;

	data.known = data.open = false;
	data.position = (RaftPosition){0, 0};
	member_set_data(&w->node[i].member, &data);
}

/*
 * A leader whose worker has started again is a primary on its claim, and does not know its
 * own position yet.  A member whose data are gone must not take 0/0 for its floor.
 */
static void
leader_without_a_position(World *w)
{
	Three t = begin_three(w);
	int	  commit = commit_without(w, t);
	bool  waits;

	node_may_lead(w, t.a, false);
	node_may_lead(w, t.b, false);
	hold(w, t.p, HOLD_WORKER);
	hold(w, t.a, HOLD_REBUILD);
	kill_server(w, t.a);
	(void) sim_wipe(cluster(w), t.a, false);
	keeper(w, t.a)->lost = true;
	EXPECT(w, run_until(w, SECONDS(1), has_no_data, t.a));
	tell_no_position(w, t.p);
	world_run(w, MS(100));

	/* The worker has ended that one's connections, and says so before it knows the rest. */
	(void) raft_forgot(&w->node[t.p].member.raft, t.a);
	EXPECT(w, run_until(w, MS(300), is_forgotten, t.a));
	EXPECT(w, raft_of(w, t.a)->peers[t.p].told.promoted && !raft_of(w, t.a)->peers[t.p].told.known);
	world_run(w, MS(200));
	waits = keeper(w, t.a)->order.reason == PRIMARY_GONE_NO_FLOOR;

	/* Nor does it begin to rebuild by itself, with no floor at all. */
	(void) member_rebuild(&w->node[t.a].member, RAFT_CLONING, (RaftPosition){0, 0});
	world_run(w, MS(50));
	lose_power(w, t.p);
	mend_wal(w);
	asks_in_vain(w, t.b, t.a, SECONDS(3));
	EXPECT(w, waits && is_gone(w, t.a) && is_intact(w, t.a));
	EXPECT(w, has_commit(w, settle_data(w), commit));
}

/* ---- rule 20: who is followed ---- */

/*
 * A deposed primary has written beyond the fork, on a timeline that is in its leader's past.
 * It is rewound to the fork, and not followed on from where it is.
 */
static void
follows_beyond_the_fork(World *w)
{
	Three t = begin_three(w);
	int	  own = 0;
	int	  commit = 0;

	cut_wal_all(w, t.p);
	for (int k = 0; k < 3; k++)
		own = commit_on(w, t.p);
	world_run(w, MS(50));
	network_isolate(w, t.p);
	node_may_lead(w, t.b, false);
	EXPECT(w, run_until(w, SECONDS(5), is_open, t.a));
	for (int k = 0; k < 8; k++)
		commit = commit_on(w, t.a);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	EXPECT(w, cluster(w)->commit[commit].end > cluster(w)->commit[own].end);
	EXPECT(w, server(w, t.a)->timeline == 3 && server(w, t.p)->timeline == 2);

	/* With the other standby gone, every answer counts on this one. */
	lose_power(w, t.b);
	hold(w, t.p, HOLD_REBUILD);
	network_heal(w);
	mend_wal(w);
	world_run(w, SECONDS(1));
	commit = commit_on(w, t.a);
	world_run(w, MS(200));
	EXPECT(w, is_leading(w, t.a) && !is_answered(w, commit));
	EXPECT(w, is_rebuilding(w, t.p) && w->node[t.p].durable.rebuild == RAFT_REWINDING);
	EXPECT(w, w->node[t.p].durable.floor.index == cluster(w)->promotion[server(w, t.a)->promotion].fork);
	let_go(w, t.p, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(5), answered, commit));
	EXPECT(w, has_commit(w, t.p, commit) && !has_commit(w, t.p, own));
	(void) settle_data(w);
}

/* Records that nobody here has, at the end of a copy: of a clone of the primary that ran elsewhere. */
static SimLsn
write_elsewhere(World *w, SimData *d, uint16_t timeline, SimLsn end, int records)
{
	const SimSegment *before = sim_segment(d, timeline, end - 1);
	SimRecord		  r;

	EXPECT(w, before != NULL && before->record[(end - 1) % SIM_SEGMENT].uid != 0);
	r = before->record[(end - 1) % SIM_SEGMENT];
	r.kind = SIM_RECORD_OTHER;
	r.prev = SIM_ANY_SHAPE;
	for (; records > 0; records--)
	{
		r.after = r.uid;
		r.uid = ++cluster(w)->n_uids;
		sim_make_segment(cluster(w), d, timeline, end)->record[end % SIM_SEGMENT] = r;
		end++;
	}
	return end;
}

static bool
is_streamed_to(World *w, int i)
{
	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		if (server(w, i)->sender[slot].state == SIM_SENDER_STREAMING)
			return true;
	}
	return false;
}

/*
 * D5: a standby's directory is replaced by one that has more on the leader's own timeline
 * than the leader has.  It is neither followed with nor waited for: what is written next
 * there is another WAL than it has, and PostgreSQL reports what is replayed as flushed.
 */
static void
ahead_of_the_leader(World *w)
{
	Three	 t = begin_three(w);
	uint64_t clones;
	SimLsn	 end;
	int		 commit;

	/* Both end in one segment, or PostgreSQL would refuse to send. */
	do
		commit = commit_on(w, t.p);
	while (server(w, t.p)->flushed % SIM_SEGMENT != 1);
	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	world_run(w, MS(100));
	lose_power(w, t.b);
	sim_snapshot(cluster(w), t.a, &copy);
	end = write_elsewhere(w, &copy, 2, server(w, t.p)->flushed, 2);
	hold(w, t.a, HOLD_REBUILD);
	kill_server(w, t.a);
	EXPECT(w, sim_restore(cluster(w), t.a, &copy));
	clones = w->data[DATA_CLONES];
	EXPECT(w, run_until(w, SECONDS(1), knows_no_position, t.a));
	EXPECT(w, run_until(w, SECONDS(1), knows_position, t.a));
	EXPECT(w, position_of(w, t.a).epoch == 2 && position_of(w, t.a).index == end && end > server(w, t.p)->flushed);
	EXPECT(w, !keeper(w, t.a)->data_told.foreign);

	/* The one that is left writes, and this one may not be counted for it. */
	commit = commit_on(w, t.p);
	world_run(w, SECONDS(1));
	EXPECT(w, is_open(w, t.p) && !is_answered(w, commit));
	EXPECT(w, !is_streamed_to(w, t.p) && is_rebuilding(w, t.a) && w->data[DATA_CLONES] == clones + 1);
	let_go(w, t.a, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(5), answered, commit));
	EXPECT(w, has_commit(w, t.a, commit));
	(void) settle_data(w);
}

/*
 * D5: a standby's directory is replaced by one that has as much as its leader, and other
 * bytes.  Streaming begins in the last segment, so that nothing would ever mend those before
 * it, and it would be counted for commits that it does not have.
 */
static void
other_bytes_of_the_same_length(World *w)
{
	Three  t = begin_three(w);
	SimLsn end;
	int	   commit = commit_on(w, t.p);
	int	   first = commit + 1;

	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	world_run(w, MS(100));
	lose_power(w, t.b);
	hold(w, t.a, HOLD_REBUILD);
	sim_snapshot(cluster(w), t.a, &copy);
	end = write_elsewhere(w, &copy, 2, server(w, t.p)->flushed, 2 * SIM_SEGMENT);
	kill_server(w, t.a);
	EXPECT(w, sim_restore(cluster(w), t.a, &copy));
	for (int k = 0; k < 2 * SIM_SEGMENT; k++)
		commit = commit_on(w, t.p);
	EXPECT(w, server(w, t.p)->flushed == end && !has_commit(w, t.a, first));
	EXPECT(w, cluster(w)->commit[first].end <= end / SIM_SEGMENT * SIM_SEGMENT);
	world_run(w, SECONDS(1));
	EXPECT(w, is_open(w, t.p) && !is_answered(w, first) && !is_answered(w, commit));
	EXPECT(w, is_rebuilding(w, t.a) && w->node[t.a].durable.rebuild == RAFT_CLONING);
	let_go(w, t.a, HOLD_REBUILD);
	EXPECT(w, run_until(w, SECONDS(5), answered, commit));
	EXPECT(w, has_commit(w, t.a, first) && has_commit(w, t.a, commit));
	(void) settle_data(w);
}

static bool
is_alone(World *w, int i)
{
	return server(w, i)->life == SIM_STANDBY && server(w, i)->receiver.state == SIM_WALRCV_STOPPED && server(w, i)->conninfo < 0;
}

/*
 * The last bytes of a standby cannot be read, so that they are not compared with its
 * leader's.  It follows nobody before that was done.
 */
static void
last_bytes_are_gone(World *w)
{
	Three t = begin_three(w);
	int	  commit = commit_on(w, t.p);

	EXPECT(w, run_until(w, SECONDS(1), answered, commit));
	world_run(w, MS(100));
	EXPECT(w, has_commit(w, t.b, commit));
	node_may_lead(w, t.b, false);
	lose_power(w, t.p);
	EXPECT(w, run_until(w, SECONDS(2), nobody_leads, 0));
	EXPECT(w, run_until(w, SECONDS(1), is_alone, t.b));
	sim_trim(&server(w, t.b)->data, 2, (SimLsn) position_of(w, t.b).index / SIM_SEGMENT * SIM_SEGMENT - 1);
	keeper(w, t.b)->lost = true;
	EXPECT(w, run_until(w, SECONDS(5), is_primary, t.a));
	world_run(w, SECONDS(1));
	EXPECT(w, !is_streaming(w, t.b) && !is_open(w, t.a));
	EXPECT(w, keeper(w, t.b)->order.reason == PRIMARY_NOT_COMPARED && server(w, t.b)->conninfo < 0);

	/* A start reads what there is. */
	kill_server(w, t.b);
	EXPECT(w, run_until(w, SECONDS(5), is_open, t.a));
	EXPECT(w, has_commit(w, t.b, commit));
	(void) settle_data(w);
}

const Scenario scenarios_positions[] = {
	{"newer_timeline_shorter_log", newer_timeline_shorter_log, NULL},
	{"holds_more_than_at_the_pre_vote", holds_more_than_at_the_pre_vote, NULL},
	{"label_runs_ahead_of_bytes", label_runs_ahead_of_bytes, NULL},
	{"label_runs_ahead_of_the_flush", label_runs_ahead_of_the_flush, NULL},
	{"restarted_standby_under_reports", restarted_standby_under_reports, NULL},
	{"unknown_position_does_not_stand", unknown_position_does_not_stand, NULL},
	{"segment_start_under_reports", segment_start_under_reports, NULL},
	{"new_segment_hides_what_was_confirmed", new_segment_hides_what_was_confirmed, NULL},
	{"data_restored_state_kept", data_restored_state_kept, NULL},
	{"data_replaced_while_the_member_runs", data_replaced_while_the_member_runs, NULL},
	{"primary_restarted_from_an_older_copy", primary_restarted_from_an_older_copy, NULL},
	{"state_restored_data_kept", state_restored_data_kept, NULL},
	{"leader_without_a_position", leader_without_a_position, NULL},
	{"follows_beyond_the_fork", follows_beyond_the_fork, NULL},
	{"ahead_of_the_leader", ahead_of_the_leader, NULL},
	{"other_bytes_of_the_same_length", other_bytes_of_the_same_length, NULL},
	{"last_bytes_are_gone", last_bytes_are_gone, NULL},
	{NULL, NULL, NULL}};
