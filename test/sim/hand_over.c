/*
 * test/sim/hand_over.c
 *	  A planned hand-over of a simulated server, as primary/switchover.c says: the facts,
 *	  the steps, and that it comes to an end.
 *
 *	  H1	the fence is not closed for longer than the limits say, and the hand-over is over
 *			then: done, given up, or cut short by the end of its worker or its term
 *	  H2	no commit begins while it drains, nothing is answered once its fence is closed, and
 *			who has told another one to stand stops its server at once
 *	  H3	in calm, a hand-over that has time enough is done, the target leads, nobody has
 *			to be rebuilt, and no walsender was ended for nothing; after one that was given
 *			up, the fence opens again
 */
#include "keeper.h"

#include <string.h>

#include "checker.h"

#define MOST_STEPS 16 /* in one turn */
#define MOST_TURNS 3  /* until the server is stopped */

static HandOver *
hand_over_of(const World *w, int i)
{
	return &w->keepers->keeper[i].hand_over;
}

static bool
is_under_way(const HandOver *h)
{
	return h->switchover.step > SWITCHOVER_IDLE && h->switchover.step < SWITCHOVER_DONE;
}

/* ---- the facts ---- */

/* Commits that are past the gate and not answered; as long as it is open, nobody knows. */
static uint32_t
count_waiting(const World *w, int i)
{
	const SimCluster *c = &w->keepers->cluster;
	uint32_t		  waiting = 0;

	if (w->keepers->keeper[i].order.action != PRIMARY_DRAIN)
		return UINT32_MAX;
	for (int k = 1; k <= c->n_commits; k++)
		waiting += c->commit[k].server == i && c->commit[k].start == c->server[i].start &&
				   (c->commit[k].outcome == SIM_COMMIT_WAITING || c->commit[k].outcome == SIM_COMMIT_RELEASED);
	return waiting;
}

/* Of the newest walsender of that member, if it counts. */
static void
gather_target(const World *w, const QuorumView *view, int target, SwitchoverFacts *f)
{
	for (uint32_t k = 0; k < view->n_senders; k++)
	{
		if (view->senders[k].member != target || quorum_verdict(view, k) != QUORUM_COUNTS)
			continue;
		f->target_flush = view->senders[k].flush;
		f->target_replay = w->keepers->cluster.server[target].at;
	}
}

static void
gather(const World *w, int i, int target, SwitchoverFacts *f)
{
	const Node		*n = &w->node[i];
	const Raft		*r = &n->member.raft;
	const Keeper	*k = &w->keepers->keeper[i];
	const SimServer *s = &w->keepers->cluster.server[i];
	QuorumSender	 senders[SIM_SENDERS];
	QuorumView		 view;

	ledger_view(w, i, &view, senders);
	*f = (SwitchoverFacts){
		.now = view.now,
		.self = i,
		.leader_id = r->role == RAFT_LEADER ? i : r->leader_id,
		.term = view.term,
		.lease_until = view.lease_until,
		.open = k->order.action == PRIMARY_OPEN,
		.checkpoint_done = k->hand_over.checkpoint_done,
		.checkpoint_failed = k->hand_over.checkpoint_failed,
		.waiting = count_waiting(w, i),
		.flush = view.flush,
		.target_fits = raft_could_lead(r, view.now, target, 0),
		.target_told = target < 0 ? 0 : r->peers[target].position.index,
		.senders = view.n_senders,
		.paused = raft_in_pause(r),
		.transfer_tried = k->hand_over.transfer_tried,
		.transfer = k->hand_over.transfer,
		.stopped = s->life == SIM_DOWN || s->start != k->hand_over.start};
	gather_target(w, &view, target, f);
}

/* ---- what is done ---- */

static void
end_walsenders(World *w, int i)
{
	SimCluster *c = &w->keepers->cluster;

	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		if (c->server[i].sender[slot].state != SIM_SENDER_FREE && (w->keepers->calm || chance(w, 700000)))
			(void) sim_sender_end(c, i, slot);
	}
}

static void
carry_out(World *w, int i, HandOver *h)
{
	SimCluster *c = &w->keepers->cluster;

	h->transfer_tried = false;
	switch (h->switchover.step)
	{
		case SWITCHOVER_CHECKPOINT:
			if (!w->keepers->calm && !chance(w, 300000))
				break;
			h->checkpoint_done = sim_checkpoint(c, i) && sim_flush_pages(c, i);
			h->checkpoint_failed = !h->checkpoint_done;
			break;
		case SWITCHOVER_END_SENDERS:
			end_walsenders(w, i);
			break;
		case SWITCHOVER_HAND_OVER:
			if (!node_is_free(w, i))
				break;
			h->transfer = node_transfer(w, i, h->switchover.target);
			h->transfer_tried = true;
			break;
		default: /* the rest is done by whoever asks primary/decide.c */
			break;
	}
}

/* ---- the end ---- */

/* The time that is left, which nothing that goes back a step makes longer. */
static void
note_step(HandOver *h, uint64_t now)
{
	if (h->switchover.step <= h->farthest)
		return;
	if (h->switchover.step == SWITCHOVER_DRAIN)
		h->ends = now + h->switchover.limits.drain;
	else if (h->switchover.step == SWITCHOVER_CATCH_UP)
		h->ends = now + h->switchover.limits.catch_up;
	h->farthest = h->switchover.step;
}

/* H1 and H2, after each step. */
static void
check_end(World *w, int i, HandOver *h, const SwitchoverFacts *f)
{
	note_step(h, f->now);
	if (h->switchover.step == SWITCHOVER_STOP && h->turns_told > MOST_TURNS)
		checker_fail(w, 'D', BIT(i), "H2: node %d has told node %d to stand, and its server goes on", i, h->switchover.target);
	if (h->switchover.step < SWITCHOVER_STOP && f->term != h->switchover.term)
		checker_fail(w, 'D', BIT(i), "H1: the hand-over of node %d to node %d goes on in another term", i, h->switchover.target);
	if (h->switchover.step < SWITCHOVER_STOP && f->now >= h->ends)
		checker_fail(w, 'D', BIT(i), "H1: the hand-over of node %d to node %d is at \"%s\" when its time is over", i,
					 h->switchover.target, switchover_step_name(h->switchover.step));
}

void
hand_over_answers(World *w, int i)
{
	const Switchover *s = &hand_over_of(w, i)->switchover;

	/* By the step itself: what primary/ makes of it is what is checked here. */
	if (s->step > SWITCHOVER_DRAIN && s->step < SWITCHOVER_DONE)
		checker_fail(w, 'D', BIT(i), "H2: node %d answers a commit, and its hand-over to node %d is at \"%s\"", i, s->target,
					 switchover_step_name(s->step));
}

void
hand_over_begins(World *w, int i)
{
	if (w->keepers->keeper[i].order.action == PRIMARY_DRAIN)
		checker_fail(w, 'D', BIT(i), "H2: node %d begins a commit while it drains for a hand-over to node %d", i,
					 hand_over_of(w, i)->switchover.target);
}

static void
note_end(World *w, int i, const Switchover *s)
{
	if (s->step == SWITCHOVER_DONE)
		w->data[DATA_SWITCHED]++;
	else if (s->step == SWITCHOVER_BACK)
		w->data[DATA_SWITCHED_BACK]++;
	TRACE(w, BIT(i), "hand-over to %d: %s%s%s", s->target, switchover_step_name(s->step),
		  s->step == SWITCHOVER_BACK ? ", " : "", s->step == SWITCHOVER_BACK ? switchover_describe(s->reason) : "");
}

/* ---- one after the other ---- */

/* To the fittest, if target is RAFT_NONE. */
static int
choose_target(const World *w, int i, int target)
{
	SwitchoverFacts best;
	SwitchoverFacts f;

	if (target != RAFT_NONE)
		return target;
	for (int j = 0; j < w->n; j++)
	{
		if (j == i)
			continue;
		gather(w, i, j, &f);
		if (target != RAFT_NONE && !switchover_is_fitter(&f, &best))
			continue;
		target = j;
		best = f;
	}
	return target;
}

SwitchoverReason
hand_over_begin(World *w, int i, int target, const SwitchoverLimits *limits)
{
	HandOver		*h = hand_over_of(w, i);
	SwitchoverFacts	 f;
	SwitchoverReason reason;

	if (is_under_way(h))
		return SWITCHOVER_GOES_ON;
	memset(h, 0, sizeof(*h));
	h->life = w->node[i].life;
	h->start = w->keepers->cluster.server[i].start;
	target = choose_target(w, i, target);
	gather(w, i, target, &f);
	h->ends = f.now + limits->checkpoint;
	reason = switchover_begin(&h->switchover, &f, target, limits);
	w->data[DATA_SWITCHOVERS] += reason == SWITCHOVER_GOES_ON;
	TRACE(w, BIT(i), "is asked to hand over to %d: %s", target, switchover_describe(reason));
	return reason;
}

void
hand_over_turn(World *w, int i)
{
	HandOver	   *h = hand_over_of(w, i);
	SwitchoverFacts f;
	SwitchoverStep	before = SWITCHOVER_IDLE;

	if (!is_under_way(h))
		return;
	if (h->life != w->node[i].life ||
		(h->start != w->keepers->cluster.server[i].start && h->switchover.step != SWITCHOVER_STOP))
	{
		/* Its worker has ended, and nobody else knows of it. */
		TRACE(w, BIT(i), "hand-over to %d is forgotten", h->switchover.target);
		memset(h, 0, sizeof(*h));
		return;
	}
	h->turns_told += h->switchover.step == SWITCHOVER_STOP;
	for (int k = 0; k < MOST_STEPS && is_under_way(h) && h->switchover.step != before; k++)
	{
		before = h->switchover.step;
		carry_out(w, i, h);
		gather(w, i, h->switchover.target, &f);
		if (switchover_next(&h->switchover, &f) != before)
			note_end(w, i, &h->switchover);
		else if (switchover_hastens(&h->switchover, &f))
			node_hasten(w, i);
		h->endings += before == SWITCHOVER_CATCH_UP && h->switchover.step == SWITCHOVER_END_SENDERS;
		check_end(w, i, h, &f);
		if (!w->keepers->calm && chance(w, 300000))
			break;
	}
}

/* ---- in calm ---- */

/* It, and how many rebuilds there were before. */
static void
check_done(World *w, int leader, const HandOver *h, uint64_t rebuilds)
{
	int	 target = h->switchover.target;
	int	 next = h->switchover.step == SWITCHOVER_DONE ? target : leader;
	bool settled = ledger_settled(w);

	if (!settled || world_lease(w) != next)
		checker_fail(w, 'D', BIT(leader) | BIT(target), "H3: calm, and after the hand-over of node %d to node %d, \"%s\", node %d leads%s",
					 leader, target, switchover_step_name(h->switchover.step), world_lease(w), settled ? "" : ", and not all follow");
	if (h->endings > 1)
		checker_fail(w, 'D', BIT(leader) | BIT(target), "H3: calm, and the hand-over of node %d to node %d has ended the walsenders %d times",
					 leader, target, h->endings);
	if (w->data[DATA_REWINDS] + w->data[DATA_CLONES] != rebuilds)
		checker_fail(w, 'D', BIT(leader) | BIT(target), "H3: calm, and the hand-over of node %d to node %d costs a rebuild", leader, target);
}

static void
run_to_its_end(World *w, const HandOver *h)
{
	for (uint64_t until = w->now + SECONDS(90); is_under_way(h) && w->now < until && !w->keepers->cluster.full;)
		world_run(w, MS(5));
}

/* All is well: who leads hands over, with time enough or not.  H3. */
void
hand_over_in_calm(World *w)
{
	bool			  hurries = chance(w, 300000);
	SwitchoverLimits  limits = {SECONDS(10), SECONDS(10), SECONDS(60)};
	const SimCluster *c = &w->keepers->cluster;
	int				  leader;
	const HandOver	 *h;
	uint64_t		  rebuilds;

	for (int i = 0; i < w->n; i++)
	{
		if (is_under_way(hand_over_of(w, i)))
			return; /* one that was begun among the faults */
	}
	world_run(w, MS(200)); /* until the leader has heard from those who have just begun to follow */
	leader = world_lease(w);
	rebuilds = w->data[DATA_REWINDS] + w->data[DATA_CLONES];
	if (c->full)
		return;
	if (leader < 0)
		checker_fail(w, 'D', BIT(w->n) - 1, "H3: calm, all was well, and nobody leads");
	h = hand_over_of(w, leader);
	if (hurries)
		limits = (SwitchoverLimits){between(w, 1, MS(60)), between(w, 1, MS(60)), between(w, 1, MS(300))};
	if (is_under_way(h))
		return;
	if (hand_over_begin(w, leader, RAFT_NONE, &limits) != SWITCHOVER_GOES_ON)
		checker_fail(w, 'D', BIT(leader), "H3: calm, and node %d cannot begin to hand over: %s", leader,
					 switchover_describe(h->switchover.reason));
	run_to_its_end(w, h);
	if (!c->full && (is_under_way(h) || (h->switchover.step != SWITCHOVER_DONE && !hurries)))
		checker_fail(w, 'D', BIT(leader), "H3: calm, and the hand-over of node %d to node %d ends at \"%s\": %s", leader,
					 h->switchover.target, switchover_step_name(h->switchover.step), switchover_describe(h->switchover.reason));
	for (uint64_t until = w->now + SECONDS(20); w->now < until && !c->full && !ledger_settled(w);)
		world_run(w, MS(50));
	if (!c->full)
		check_done(w, leader, h, rebuilds);
}
