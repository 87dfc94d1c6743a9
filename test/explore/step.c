/*
 * test/explore/step.c
 *	  The steps of the small world, each through the real code of raft/.
 *
 * Crashes.  What a step brings about is first saved, then shown, then sent, at
 * one instant.  A crash before the save leaves nothing of the step but the
 * datagram that was read, and is therefore the same as a crash before the step.
 * A crash while sending loses datagrams, as the network does anyway.  So there
 * are two kinds: between the steps, and between the save and showing anything.
 * After the second kind the node stays down, and the lease that it showed before
 * stays shown, until the step "start".  After the first kind the node starts at
 * once: one that is down for a while does what one does that is not scheduled,
 * nothing.
 *
 * Losses.  A datagram that is never delivered is a lost one.  It is dropped in
 * earnest only when there are more on their way than the limit allows; the
 * explorer tries every choice of what to drop.
 *
 * Greetings.  When a node starts, it and all that are up greet each other in an
 * instant, by the real code; at other times greetings are lost.  The orders in
 * which greetings can go wrong are left to the simulator.
 */
#include <string.h>

#include "world.h"

FILE	*world_trace;
uint64_t world_happened[WORLD_REASONS];
uint64_t world_steps[STEP_KINDS];
uint64_t world_sent[RAFT_MESSAGE_TYPES + 1];
bool	 world_saved;

/* Greetings under way, in the one instant in which they are. */
#define GREETINGS 64
static RaftMessage greetings[GREETINGS];
static int		   n_greetings;

static int greetings_lost_a = -1;
static int greetings_lost_b;
static int greetings_lost_type;

static RaftOutput out;

void
world_lose_greetings(int a, int b, int type)
{
	greetings_lost_a = a;
	greetings_lost_b = b;
	greetings_lost_type = type;
}

static bool
is_lost(const RaftMessage *m)
{
	bool between = (m->from == greetings_lost_a && m->to == greetings_lost_b) ||
				   (m->from == greetings_lost_b && m->to == greetings_lost_a);

	return between && (greetings_lost_type == 0 || (int) m->type == greetings_lost_type);
}

/* ---- around every call of a core ---- */

/* Load node i; its timer runs out as late as it can, or now. */
static Raft *
wake(const World *w, int i, bool fires, uint64_t *timer)
{
	const RaftTimeouts *t = &world_config(i)->timeouts;
	Raft			   *r = world_load(w, i);

	*timer = r->timer;
	if (!fires)
		r->timer += t->max_timeout - t->min_timeout;
	return r;
}

/* Put one datagram on its way.  Of two that differ in nothing but the number of
 * the datagram and of the newest save, the older one is lost. */
static bool
send_message(World *w, const RaftMessage *m)
{
	WorldMessage p;

	world_pack_message(m, &p);
	world_sent[m->type]++;
	for (int k = 0; k < w->n_flight; k++)
	{
		WorldMessage *other = &w->flight[k];

		if (memcmp(other, &p, offsetof(WorldMessage, sequence)) == 0)
		{
			*other = p;
			return true;
		}
	}
	if (w->n_flight == WORLD_BAG)
		return false;
	w->flight[w->n_flight++] = p;
	return true;
}

static void
go_down(WorldNode *n, const RaftSaved *saved)
{
	uint8_t shown = n->shown_lease;

	memset(n, 0, sizeof(*n));
	n->shown_lease = shown;
	world_store_saved(n, saved);
}

/* Save, show and send what a call of node i brought about, and check it. */
static WorldResult
finish(World *w, int i, Raft *r, uint64_t timer, const RaftMessage *received, bool crash)
{
	RaftSaved before;

	world_load_saved(&w->node[i], &before);
	world_saved = world_saved || out.save;
	if (r->saved.term > (uint64_t) world_limits.terms)
		return WORLD_OVER_LIMIT;
	if (crash && !out.save)
		return WORLD_NOT_POSSIBLE;
	for (uint32_t k = 0; k < out.n_events; k++)
		world_happened[out.events[k].reason]++;
	if (world_trace != NULL)
		world_tell_output(w, i, r, &out);
	if (!world_check_node(w, i, r, &before, &out, received))
		return WORLD_VIOLATION;
	if (crash)
	{
		go_down(&w->node[i], &r->saved);
		return WORLD_DONE;
	}

	/* A timer that was drawn anew may run out from min_timeout on. */
	r->timer = r->random == 0 ? timer : WORLD_NOW + r->config.timeouts.min_timeout;
	world_store(w, i, r);
	for (uint32_t k = 0; k < out.n_messages; k++)
	{
		const RaftMessage *m = &out.messages[k];

		if (m->type > RAFT_GREETING_CONFIRM)
		{
			if (!send_message(w, m))
				return WORLD_OVER_LIMIT;
		}
		else if (n_greetings < GREETINGS)
			greetings[n_greetings++] = *m;
	}
	return WORLD_DONE;
}

/* ---- starting ---- */

static uint8_t
fresh_incarnation(const World *w, int i)
{
	uint8_t highest = w->node[i].incarnation;

	for (int j = 0; j < world_limits.nodes; j++)
	{
		uint8_t seen = w->node[j].peers[i].incarnation;

		highest = j != i && seen > highest ? seen : highest;
	}
	for (int k = 0; k < w->n_flight; k++)
	{
		const WorldMessage *m = &w->flight[k];
		uint8_t				seen = m->from == i ? m->incarnation : m->to == i ? m->echo_incarnation :
																				0;

		highest = seen > highest ? seen : highest;
	}
	return (uint8_t) (highest + 1);
}

/* Whoever is up and has not been answered by another that is up greets it. */
static WorldResult
greet_missing(World *w, int i)
{
	Raft	   *r;
	uint64_t	timer;
	bool		greets = false;
	WorldResult result;

	if (!w->node[i].up)
		return WORLD_DONE;
	r = wake(w, i, false, &timer);
	for (int j = 0; j < world_limits.nodes; j++)
	{
		if (j != i && w->node[j].up && !r->peers[j].answered)
		{
			r->peers[j].greet_at = WORLD_NOW;
			greets = true;
		}
	}
	if (!greets)
		return WORLD_DONE;
	raft_tick(r, WORLD_NOW, &out);
	result = finish(w, i, r, timer, NULL, false);
	return result;
}

/* Again and again, because what a member learns may make it greet anew. */
static WorldResult
exchange_greetings(World *w)
{
	WorldResult result;
	int			done = 0;

	n_greetings = 0;
	for (int rounds = 0; rounds < 3; rounds++)
	{
		for (int i = 0; i < world_limits.nodes; i++)
		{
			if ((result = greet_missing(w, i)) != WORLD_DONE)
				return result;
		}
		for (; done < n_greetings; done++)
		{
			RaftMessage m = greetings[done];
			Raft	   *r;
			uint64_t	timer;

			if (!w->node[m.to].up || is_lost(&m))
				continue;
			r = wake(w, m.to, false, &timer);
			raft_receive(r, WORLD_NOW, &m, &out);
			if ((result = finish(w, m.to, r, timer, &m, false)) != WORLD_DONE)
				return result;
		}
	}
	return WORLD_DONE;
}

static WorldResult
start(World *w, int i, bool wiped)
{
	WorldNode *n = &w->node[i];
	RaftSaved  loaded;
	RaftSaved  first;
	RaftConfig config = *world_config(i);
	Raft	  *r;

	config.incarnation = fresh_incarnation(w, i);
	world_load_saved(n, &loaded);
	raft_first_record(wiped ? NULL : &loaded, false, &config, &first);
	memset(n, 0, sizeof(*n));
	world_store_saved(n, &first);
	if (!world_check_start(w, i, &loaded, wiped))
		return WORLD_VIOLATION;
	r = world_load(w, i);
	raft_init(r, &config, &first, WORLD_NOW);
	r->timer = WORLD_NOW + config.timeouts.min_timeout;
	world_store(w, i, r);
	world_saved = true;
	return exchange_greetings(w);
}

/* ---- the steps ---- */

static WorldResult
tick(World *w, const WorldStep *step)
{
	const WorldNode *n = &w->node[step->node];
	bool			 fires = step->kind == STEP_TIME_OUT;
	uint64_t		 timer;
	Raft			*r;

	if (!n->up)
		return WORLD_NOT_POSSIBLE;
	r = wake(w, step->node, fires, &timer);
	if (raft_deadline(r) > WORLD_NOW)
		return WORLD_NOT_POSSIBLE;
	if (fires && (r->role == RAFT_LEADER || timer > WORLD_NOW))
		return WORLD_NOT_POSSIBLE;
	raft_tick(r, WORLD_NOW, &out);
	return finish(w, step->node, r, timer, NULL, step->crash);
}

static WorldResult
deliver(World *w, const WorldStep *step)
{
	RaftMessage m;
	uint64_t	timer;
	Raft	   *r;

	if (step->item >= w->n_flight || !w->node[w->flight[step->item].to].up)
		return WORLD_NOT_POSSIBLE;
	world_unpack_message(&w->flight[step->item], &m);
	if (step->kind == STEP_DUPLICATE)
	{
		if (w->duplicates == world_limits.duplicates)
			return WORLD_NOT_POSSIBLE;
		w->duplicates++;
	}
	else
	{
		w->n_flight--;
		memmove(&w->flight[step->item], &w->flight[step->item + 1],
				(size_t) (w->n_flight - step->item) * sizeof(w->flight[0]));
		memset(&w->flight[w->n_flight], 0, sizeof(w->flight[0]));
	}
	r = wake(w, m.to, false, &timer);
	raft_receive(r, WORLD_NOW, &m, &out);
	return finish(w, m.to, r, timer, &m, step->crash);
}

static WorldResult
transfer(World *w, const WorldStep *step)
{
	uint64_t timer;
	Raft	*r;

	if (!w->node[step->node].up || w->transfers == world_limits.transfers ||
		w->node[step->node].role != RAFT_LEADER || step->item == step->node)
		return WORLD_NOT_POSSIBLE;
	r = wake(w, step->node, false, &timer);
	if (raft_transfer(r, WORLD_NOW, step->item, &out) != RAFT_TRANSFER_STARTED)
		return WORLD_NOT_POSSIBLE;
	w->transfers++;
	return finish(w, step->node, r, timer, NULL, step->crash);
}

static WorldResult
restart(World *w, const WorldStep *step)
{
	WorldNode *n = &w->node[step->node];

	if (n->up != (step->kind != STEP_START))
		return WORLD_NOT_POSSIBLE;
	if (step->kind == STEP_RESTART && w->crashes++ == world_limits.crashes)
		return WORLD_NOT_POSSIBLE;
	if (step->kind == STEP_WIPE && w->wipes++ == world_limits.wipes)
		return WORLD_NOT_POSSIBLE;
	return start(w, step->node, step->kind == STEP_WIPE);
}

WorldResult
world_act(World *w, const WorldStep *step)
{
	WorldResult result = WORLD_NOT_POSSIBLE;

	n_greetings = 0;
	world_saved = false;
	if (step->crash && w->crashes++ == world_limits.crashes)
		return WORLD_NOT_POSSIBLE;
	switch (step->kind)
	{
		case STEP_TIME_PASSES:
			world_pass_time(w);
			result = WORLD_DONE;
			break;
		case STEP_TICK:
		case STEP_TIME_OUT:
			result = tick(w, step);
			break;
		case STEP_DELIVER:
		case STEP_DUPLICATE:
			result = deliver(w, step);
			break;
		case STEP_RESTART:
		case STEP_START:
		case STEP_WIPE:
			result = restart(w, step);
			break;
		case STEP_TRANSFER:
			result = transfer(w, step);
			break;
		case STEP_KINDS:
			break;
	}
	if (result == WORLD_DONE && !world_check_leases(w))
		result = WORLD_VIOLATION;
	if (result == WORLD_DONE)
		world_steps[step->kind]++;
	return result;
}

void
world_lose(World *w, uint32_t keep)
{
	int n = 0;

	for (int k = 0; k < w->n_flight; k++)
	{
		if (keep >> k & 1)
			w->flight[n++] = w->flight[k];
	}
	memset(&w->flight[n], 0, (size_t) (w->n_flight - n) * sizeof(w->flight[0]));
	w->n_flight = (uint8_t) n;
	world_normalise(w);
}
