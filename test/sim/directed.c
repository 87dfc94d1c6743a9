/*
 * test/sim/directed.c
 *	  Directed random runs with servers: a story leads to a situation that plain random runs
 *	  hardly ever come to.  Who plays which part and how long each step takes is drawn; when the
 *	  situation was there, it is counted.
 *
 * What must hold is what must hold in any run, and the run ends in calm as all others do.
 */
#include "scenarios_data.h"

/* The parts: the leader comes first, the others in any order. */
typedef struct Cast
{
	int i[SIM_SERVERS];
} Cast;

/* ---- what the stories share ---- */

static Cast
cast(World *w)
{
	Cast c;

	for (int i = 0; i < w->n; i++)
		c.i[i] = i;
	c.i[0] = world_lease(w);
	c.i[c.i[0]] = 0;
	for (int k = w->n - 1; k > 1; k--)
	{
		int other = (int) between(w, 1, (uint64_t) k);
		int i = c.i[k];

		c.i[k] = c.i[other];
		c.i[other] = i;
	}
	return c;
}

static void
wait_up_to(World *w, uint64_t us)
{
	world_run(w, between(w, 0, us));
}

/* Clients commit; the last one's number, 0 if there is none. */
static int
commits(World *w, int i, int most)
{
	int commit = 0;

	for (int k = (int) between(w, 1, (uint64_t) most); k > 0 && server(w, i)->life == SIM_PRIMARY; k--)
		commit = sim_commit(cluster(w), i, (uint8_t) between(w, 0, 2));
	if (commit != 0)
		(void) sim_wal_flush(cluster(w), i, server(w, i)->inserted);
	return commit;
}

static void
cut_off(World *w, int i)
{
	network_isolate(w, i);
	cut_wal_all(w, i);
}

static void
mend(World *w)
{
	unmute_all(w);
	network_heal(w);
	mend_wal(w);
	for (int i = 0; i < w->n; i++)
	{
		keeper(w, i)->holds = 0;
		node_may_lead(w, i, true);
	}
}

/* ---- a member votes, and flushes WAL of the leader of before after that ---- */

static bool
is_asking(World *w, int i)
{
	return w->node[i].member.raft.role == RAFT_PRE_CANDIDATE;
}

/* Three in one number. */
static int
parts(int leader, int voter, int candidate)
{
	return (leader * SIM_SERVERS + voter) * SIM_SERVERS + candidate;
}

static bool
has_voted(World *w, int parts)
{
	return w->node[parts / SIM_SERVERS % SIM_SERVERS].durable.voted_for == parts % SIM_SERVERS;
}

/* Its vote is given, the commit is there, and the leader of before still has its lease. */
static bool
has_flushed_after_its_vote(World *w, int parts)
{
	return has_voted(w, parts) && has_commit(w, parts / SIM_SERVERS % SIM_SERVERS, w->arg) &&
		   is_leading(w, parts / SIM_SERVERS / SIM_SERVERS);
}

/*
 * The leader keeps the promises of the holder, who has the commit, and of the third one, who
 * lacks it and is free for a moment: time enough for its pre-vote.  See
 * voter_flushes_after_its_vote in scenarios_answers.c.
 */
static bool
get_vote(World *w, const Cast *c)
{
	int leader = c->i[0];
	int holder = c->i[1];
	int voter = c->i[2];
	int third = c->i[3];
	int candidate = c->i[4];

	mute(w, leader, candidate);
	if (!run_until(w, MS(600), is_asking, candidate))
		return false;
	mute_way(w, candidate, third, BIT(RAFT_VOTE_REQUEST));
	mute_way(w, candidate, holder, EVERYTHING);
	mute(w, leader, voter);
	mute(w, leader, third);
	if (!run_until(w, MS(500), is_candidate, candidate))
		return false;
	unmute(w, leader, third);
	if (!run_until(w, MS(60), is_leading, leader) || !run_until(w, MS(60), has_voted, parts(leader, voter, candidate)))
		return false;
	wait_up_to(w, MS(20));
	mute(w, leader, third);
	mute_way(w, candidate, third, 0);
	return is_leading(w, leader);
}

/* In half of the runs receivers are not held to rule 20: then it is rule 16 that is tried. */
static void
vote_then_flush(World *w)
{
	Cast		 c = cast(w);
	int			 candidate = c.i[4];
	RaftTimeouts usual = w->node[candidate].config.timeouts;
	RaftTimeouts patient = usual;

	patient.min_timeout = between(w, MS(250), MS(380));
	node_reload(w, candidate, &patient);
	may_lead_only(w, candidate);
	w->keepers->replies_always |= chance(w, 500000);
	hold(w, c.i[2], HOLD_RECEIVER | (chance(w, 800000) ? HOLD_WORKER : 0));
	hold(w, c.i[3], HOLD_RECEIVER);
	hold(w, candidate, HOLD_RECEIVER);
	w->arg = commits(w, c.i[0], 3);
	wait_up_to(w, MS(100));
	if (w->arg != 0 && get_vote(w, &c))
	{
		let_go(w, c.i[2], HOLD_RECEIVER);
		w->data[DATA_VOTES_FIRST] += run_until(w, MS(60), has_flushed_after_its_vote, parts(c.i[0], c.i[2], candidate));
		wait_up_to(w, MS(60));
		(void) run_until(w, MS(500), is_leading, candidate);
		for (int k = 2; k <= 4; k++)
			keeper(w, c.i[k])->holds = 0;
		(void) run_until(w, SECONDS(5), is_open, candidate);
	}
	node_reload(w, candidate, &usual);
}

/* ---- Raft's figure 8, by timelines ---- */

static bool
is_primary_above(World *w, int i)
{
	return is_primary(w, i) && server(w, i)->timeline > w->arg;
}

/* It still runs on the timeline of before. */
static bool
is_elected_again(World *w, int i)
{
	return leads_as_primary(w, i) && server(w, i)->timeline == w->arg;
}

static void
die(World *w, int i)
{
	if (chance(w, 500000) && !node_is_saving(w, i))
	{
		node_crash(w, i, false);
		keeper_kill(w, i);
	}
	cut_off(w, i);
}

/*
 * The second one is promoted, and few or none take its WAL.  The first one is elected again,
 * and answers; then it dies, and the second one has the higher timeline.
 */
static void
figure_eight(World *w)
{
	Cast c = cast(w);
	int	 first = c.i[0];
	int	 second = c.i[1];

	w->arg = server(w, first)->timeline;
	cut_off(w, first);
	for (int k = 2; k < w->n && chance(w, 900000); k++)
		cut_wal(w, second, c.i[k]);
	may_lead_only(w, second);
	if (!run_until(w, SECONDS(5), is_primary_above, second))
		return;
	wait_up_to(w, MS(100));

	network_heal(w);
	mend_wal(w);
	cut_off(w, second);
	may_lead_only(w, first);
	if (!run_until(w, SECONDS(5), is_elected_again, first))
		return;
	w->data[DATA_FIGURE_EIGHTS]++;
	for (uint64_t until = w->now + between(w, MS(50), SECONDS(3)); w->now < until && !cluster(w)->full;)
	{
		(void) commits(w, first, 2);
		wait_up_to(w, MS(300));
	}

	network_heal(w);
	mend_wal(w);
	die(w, first);
	may_lead_only(w, chance(w, 700000) ? second : c.i[2]);
	(void) run_until(w, SECONDS(10), somebody_is_open, 0);
}

/* ---- one run ---- */

const Story stories[] = {
	{"vote_then_flush", vote_then_flush, 5, 5},
	{"figure_eight", figure_eight, 3, 5},
	{NULL, NULL, 0, 0}};

int
directed_size(World *w, const Story *story)
{
	return chance(w, 500000) ? story->smallest : story->largest;
}

void
directed_play(World *w, const Story *story)
{
	w->data[DATA_DIRECTED]++;
	unmute_all(w);
	w->loss_ppm = 0;
	network_delays(w, 100, (uint32_t) between(w, 200, 3000));
	w->keepers->interval = MS(5);
	for (int rounds = (int) between(w, 1, 4); rounds > 0 && !cluster(w)->full; rounds--)
	{
		if (world_lease(w) >= 0)
			story->play(w);
		mend(w);
		(void) run_until(w, SECONDS(20), all_follow, 0);
		wait_up_to(w, MS(500));
	}
	w->keepers->interval = MS(20);
}
