/*
 * test/explore/step.c
 *	  The steps of the small world, each through the real code of raft/ and of
 *	  node/member.c, whose host is here.
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

/* The step that is being taken. */
static struct
{
	World	   *world;
	uint64_t	timer; /* of the node, before it */
	bool		crash;
	RaftSaved	durable; /* of the node */
	RaftSaved	before;	 /* the same before the step */
	WorldResult result;
} step;

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

/* The step ends here, with this result. */
static void
end_step(Member *member, WorldResult result)
{
	step.result = result;
	member_end(member);
}

static InvariantsCall
call_of(const Member *member)
{
	return (InvariantsCall){member->raft.config.node_id, &member->raft, &step.before, &member->output,
							member->received};
}

static uint64_t
host_now(Member *member)
{
	(void) member;
	return WORLD_NOW;
}

static void
host_decided(Member *member)
{
	const RaftOutput *out = &member->output;
	const Raft		 *r = &member->raft;
	InvariantsCall	  call = call_of(member);

	world_saved = world_saved || out->save;
	if (r->saved.term > (uint64_t) world_limits.terms)
		end_step(member, WORLD_OVER_LIMIT);
	else if (step.crash && !out->save)
		end_step(member, WORLD_NOT_POSSIBLE);
	else
	{
		for (uint32_t k = 0; k < out->n_events; k++)
			world_happened[out->events[k].reason]++;
		if (world_trace != NULL)
			world_tell_output(step.world, call.node, r, out);
		if (!invariants_decided(&call))
			end_step(member, WORLD_VIOLATION);
	}
}

static MemberSave
host_save(Member *member)
{
	int i = member->raft.config.node_id;

	step.durable = member->raft.saved;
	if (!world_check_saved(step.world, i, &step.durable))
		end_step(member, WORLD_VIOLATION);
	if (!step.crash)
		return MEMBER_SAVED;
	go_down(&step.world->node[i], &step.durable);
	return MEMBER_NOT_SAVED;
}

static void
host_show(Member *member)
{
	Raft		  *r = &member->raft;
	InvariantsCall call = call_of(member);

	if (!world_check_shown(step.world, &call, &step.durable))
	{
		end_step(member, WORLD_VIOLATION);
		return;
	}

	/* A timer that was drawn anew may run out from min_timeout on. */
	r->timer = r->random == 0 ? step.timer : WORLD_NOW + r->config.timeouts.min_timeout;
	world_store(step.world, call.node, r);
}

static void
host_send(Member *member, const RaftMessage *m)
{
	InvariantsCall call = call_of(member);

	if (!invariants_sent(&call, &step.durable, m, raft_lease_until(&member->raft)))
		end_step(member, WORLD_VIOLATION);
	else if (m->type <= RAFT_GREETING_CONFIRM)
	{
		if (n_greetings < GREETINGS)
			greetings[n_greetings++] = *m;
	}
	else if (!send_message(step.world, m))
		end_step(member, WORLD_OVER_LIMIT);
}

static const MemberHost host = {
	.now = host_now,
	.decided = host_decided,
	.save = host_save,
	.show = host_show,
	.send = host_send,
};

/* Load node i; its timer runs out as late as it can, or now. */
static Member *
wake(World *w, int i, bool fires, bool crash)
{
	const RaftTimeouts *t = &world_config(i)->timeouts;
	Member			   *member = world_load(w, i);

	member->host = &host;
	member->state = MEMBER_RUNS;
	step.world = w;
	step.timer = member->raft.timer;
	step.crash = crash;
	step.durable = step.before = member->raft.saved;
	step.result = WORLD_DONE;
	if (!fires)
		member->raft.timer += t->max_timeout - t->min_timeout;
	return member;
}

static WorldResult
receive(World *w, const RaftMessage *m, bool crash)
{
	Member *member = wake(w, m->to, false, crash);

	member->output.save = false;
	member_receive(member, m);
	if (crash && !member->output.save)
		return WORLD_NOT_POSSIBLE;
	return step.result;
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
	Member *member;
	bool	greets = false;

	if (!w->node[i].up)
		return WORLD_DONE;
	member = wake(w, i, false, false);
	for (int j = 0; j < world_limits.nodes; j++)
	{
		if (j != i && w->node[j].up && !member->raft.peers[j].answered)
		{
			member->raft.peers[j].greet_at = WORLD_NOW;
			greets = true;
		}
	}
	if (greets)
		member_tick(member, WORLD_NOW);
	return step.result;
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

			if (!w->node[m.to].up || is_lost(&m))
				continue;
			if ((result = receive(w, &m, false)) != WORLD_DONE)
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
	r = &world_load(w, i)->raft;
	raft_init(r, &config, &first, WORLD_NOW);
	r->timer = WORLD_NOW + config.timeouts.min_timeout;
	world_store(w, i, r);
	world_saved = true;
	return exchange_greetings(w);
}

/* ---- the steps ---- */

static WorldResult
tick(World *w, const WorldStep *what)
{
	bool	fires = what->kind == STEP_TIME_OUT;
	Member *member;

	if (!w->node[what->node].up)
		return WORLD_NOT_POSSIBLE;
	member = wake(w, what->node, fires, what->crash);
	if (member_deadline(member) > WORLD_NOW)
		return WORLD_NOT_POSSIBLE;
	if (fires && (member->raft.role == RAFT_LEADER || step.timer > WORLD_NOW))
		return WORLD_NOT_POSSIBLE;
	member_tick(member, WORLD_NOW);
	return step.result;
}

static WorldResult
deliver(World *w, const WorldStep *what)
{
	RaftMessage m;

	if (what->item >= w->n_flight || !w->node[w->flight[what->item].to].up)
		return WORLD_NOT_POSSIBLE;
	world_unpack_message(&w->flight[what->item], &m);
	if (what->kind == STEP_DUPLICATE)
	{
		if (w->duplicates == world_limits.duplicates)
			return WORLD_NOT_POSSIBLE;
		w->duplicates++;
	}
	else
	{
		w->n_flight--;
		memmove(&w->flight[what->item], &w->flight[what->item + 1],
				(size_t) (w->n_flight - what->item) * sizeof(w->flight[0]));
		memset(&w->flight[w->n_flight], 0, sizeof(w->flight[0]));
	}
	return receive(w, &m, what->crash);
}

static WorldResult
transfer(World *w, const WorldStep *what)
{
	if (!w->node[what->node].up || w->transfers == world_limits.transfers ||
		w->node[what->node].role != RAFT_LEADER || what->item == what->node)
		return WORLD_NOT_POSSIBLE;
	if (member_transfer(wake(w, what->node, false, what->crash), what->item) != RAFT_TRANSFER_STARTED)
		return WORLD_NOT_POSSIBLE;
	w->transfers++;
	return step.result;
}

/* A claim, or its use: the promotion happens and fails at once, so that there can be more. */
static WorldResult
claim(World *w, const WorldStep *what)
{
	const WorldNode *n = &w->node[what->node];
	Member			*member;
	uint32_t		 timeline;

	if (!n->up || n->role != RAFT_LEADER || world_limits.claims == 0)
		return WORLD_NOT_POSSIBLE;
	member = wake(w, what->node, false, what->crash);
	if (what->kind == STEP_CLAIM)
	{
		if (n->claim != 0 || raft_claim(&member->raft, WORLD_NOW, &member->output) != RAFT_CLAIM_MADE)
			return WORLD_NOT_POSSIBLE;
		if (member->raft.claim > (uint32_t) world_limits.claims)
			return WORLD_OVER_LIMIT;
		(void) member_claim(wake(w, what->node, false, what->crash));
		return step.result;
	}
	timeline = member_promote(member);
	if (timeline == 0)
		return WORLD_NOT_POSSIBLE;
	if (step.result != WORLD_DONE || !w->node[what->node].up)
		return step.result;
	if (!world_check_promotion(w, what->node, timeline))
		return WORLD_VIOLATION;
	member_promoted(wake(w, what->node, false, false));
	return step.result;
}

static WorldResult
restart(World *w, const WorldStep *what)
{
	WorldNode *n = &w->node[what->node];

	if (n->up != (what->kind != STEP_START))
		return WORLD_NOT_POSSIBLE;
	if (what->kind == STEP_RESTART && w->crashes++ == world_limits.crashes)
		return WORLD_NOT_POSSIBLE;
	if (what->kind == STEP_WIPE && w->wipes++ == world_limits.wipes)
		return WORLD_NOT_POSSIBLE;
	return start(w, what->node, what->kind == STEP_WIPE);
}

WorldResult
world_act(World *w, const WorldStep *what)
{
	WorldResult result = WORLD_NOT_POSSIBLE;

	n_greetings = 0;
	world_saved = false;
	if (what->crash && w->crashes++ == world_limits.crashes)
		return WORLD_NOT_POSSIBLE;
	switch (what->kind)
	{
		case STEP_TIME_PASSES:
			world_pass_time(w);
			result = WORLD_DONE;
			break;
		case STEP_TICK:
		case STEP_TIME_OUT:
			result = tick(w, what);
			break;
		case STEP_DELIVER:
		case STEP_DUPLICATE:
			result = deliver(w, what);
			break;
		case STEP_RESTART:
		case STEP_START:
		case STEP_WIPE:
			result = restart(w, what);
			break;
		case STEP_TRANSFER:
			result = transfer(w, what);
			break;
		case STEP_CLAIM:
		case STEP_PROMOTE:
			result = claim(w, what);
			break;
		case STEP_KINDS:
			break;
	}
	if (result == WORLD_DONE && !world_check_leases(w))
		result = WORLD_VIOLATION;
	if (result == WORLD_DONE)
		world_steps[what->kind]++;
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
