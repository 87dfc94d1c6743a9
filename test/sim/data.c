/*
 * test/sim/data.c
 *	  Random runs with servers: a new cluster opens, then faults, then calm, in which L1 has
 *	  to come about.
 */
#include "faults.h"

#include "checker.h"

static Keepers keepers;

static void
trace_state(World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		const Node		*n = &w->node[i];
		const RaftSaved *s = &n->durable;
		const SimServer *server = &keepers.cluster.server[i];
		const Keeper	*k = &keepers.keeper[i];

		uint16_t last = 0;

		(void) sim_true_end(&keepers.cluster, i, &last);
		TRACE(w, BIT(w->n) - 1, "node %d: last timeline %u, its history %d, target %u, end known %d lineage %u", i, last,
			  server->data.history[last], server->target.timeline, k->end_known, k->own.timeline);
		TRACE(w, BIT(w->n) - 1, "node %d: %s, server %d phase %d timeline %u end %u receiver %d, claim %u promoting %u floor %u/%u %s%s%s rebuild %d failures %u data %d/%d known %d abstaining %d distrusted %d %s",
			  i, n->up ? raft_role_name(n->member.raft.role) : "down", server->life, server->phase, server->timeline,
			  (unsigned) k->end, server->receiver.state, s->claim, s->promoting, (unsigned) s->floor.epoch,
			  (unsigned) s->floor.index, raft_is_behind(&n->member.raft) ? "behind " : "",
			  raft_is_gone(&n->member.raft) ? "gone " : "", k->data_told.foreign ? "foreign" : "", s->rebuild,
			  k->directory.failures, server->data.whole, server->data.control.state, k->data_told.known, s->abstaining, s->distrusted, primary_reason_name(k->order.reason));
	}
}

/*
 * L1 is for as long as no more copies are missing than may be: of data that are lost, half
 * overwritten by a rebuild whose source is lost, or shortened by the end of a server while the
 * last segment was written anew under the name of a new timeline; or not believed, as that
 * tore the state file.
 */
static bool
are_too_few_left(const World *w)
{
	uint32_t missing = 0;

	for (int i = 0; i < w->n; i++)
		missing += (keepers.buried & BIT(i)) || keepers.keeper[i].lost || w->node[i].durable.rebuild != RAFT_INTACT ||
				   (faults_took_some(i) &&
					(raft_is_behind(&w->node[i].member.raft) || raft_is_gone(&w->node[i].member.raft)));
	return missing > (uint32_t) w->n - raft_majority((uint32_t) w->n);
}

static bool
has_whole_list(const World *w, int i)
{
	const RaftList *list = &w->node[i].durable.list;

	return list->number == 0 || (list->now == BIT(w->n) - 1 && !raft_list_is_joint(list));
}

/*
 * Some machines never come back: as many as can be done without.  None of them while a member
 * abstains, which waits for the answer of each other one, or for an operator (rule 11); nor while
 * the list changes, or is shorter: fewer can be done without.
 */
static void
bury_some(World *w)
{
	uint32_t spare = 0;

	for (int i = 0; i < w->n; i++)
	{
		if (!w->node[i].up || w->node[i].durable.abstaining != RAFT_VOTING || !has_whole_list(w, i))
			return;
		spare += faults_is_whole(w, i);
	}
	if (spare <= raft_majority((uint32_t) w->n))
		return;
	spare = (uint32_t) between(w, 1, spare - raft_majority((uint32_t) w->n));
	w->restarts = false;
	for (int first = (int) between(w, 0, (uint64_t) w->n - 1), k = 0; k < w->n && spare > 0; k++)
	{
		int i = (first + k) % w->n;

		if (!w->node[i].up)
			continue;
		spare--;
		keepers.buried |= BIT(i);
		w->data[DATA_BURIED]++;
		keeper_lose_power(w, i, 0);
	}
	w->restarts = true;
}

static void
run_until_settled(World *w, uint64_t until)
{
	while (w->now < until && !keepers.cluster.full && !ledger_settled(w))
		world_run(w, MS(100));
}

/* Everything works again: L1 within the bound. */
static void
calm_down(World *w)
{
	faults_end(w);
	keepers.calm = true;
	if (w->n >= 3 && chance(w, 400000))
	{
		run_until_settled(w, w->now + between(w, 0, SECONDS(10)));
		bury_some(w);
		world_run(w, SECONDS(2)); /* until all know of it */
	}
	run_until_settled(w, w->now + SECONDS(300));

	/* Of fewer than three, no member can be done without: nothing replaces what it lost. */
	if (w->n < 3 || keepers.cluster.full)
		return;
	if (ledger_settled(w))
	{
		if (chance(w, 300000))
			hand_over_in_calm(w);
		return;
	}
	trace_state(w);
	if (are_too_few_left(w))
		w->data[DATA_BEYOND]++;
	else
		checker_fail(w, 'D', BIT(w->n) - 1, "L1: calm for 300 s, and no open primary that all follow");
}

/* A new cluster; it opens. */
static void
begin_new(World *w)
{
	world_start_all(w);
	run_until_settled(w, SECONDS(20));
	if (!ledger_settled(w))
		checker_fail(w, 'D', BIT(w->n) - 1, "L1: a new cluster does not open");
}

/* One that is adopted, while faults happen: of whole copies it has as many as an answered commit. */
static void
begin_adoption(World *w)
{
	uint64_t standbys = 0;

	for (int i = 1; i < w->n; i++)
		standbys |= chance(w, 700000) ? BIT(i) : 0;
	for (int i = 1; raft_count_nodes(standbys) + 1 < raft_copies((uint32_t) w->n); i++)
		standbys |= BIT(i);
	adoption_begin(w, standbys, chance(w, 500000), w->now + between(w, 0, SECONDS(20)));
}

/* One normal run in twenty, of any story. */
static const Story *
choose_story(World *w, int size)
{
	int n = 0;

	while (stories[n].name != NULL)
		n++;
	return size == 0 && chance(w, 50000) ? &stories[between(w, 0, (uint64_t) n - 1)] : NULL;
}

static int
choose_size(World *w, const Story *story)
{
	static const uint8_t sizes[] = {3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 7, 6};

	return story != NULL ? directed_size(w, story) : sizes[between(w, 0, sizeof(sizes) - 1)];
}

void
data_run(World *w, uint64_t seed, int size, const Story *story)
{
	int n;

	world_reset(w, 1, seed);
	if (story == NULL)
		story = choose_story(w, size);
	n = size != 0 ? size : choose_size(w, story);
	world_reset(w, n, seed ^ UINT64_C(0xDA7A));
	faults_choose(w);
	network_delays(w, 100, (uint32_t) between(w, 200, 20000));
	w->loss_ppm = between(w, 0, 1) == 0 ? 0 : (uint32_t) between(w, 0, 100000);
	keepers_begin(w, &keepers);
	keepers.wal_apart = chance(w, 300000) || story != NULL;
	keepers.wal_keep = (SimLsn) between(w, 2, 16);
	if (chance(w, 500000))
		keepers.fence_wait = between(w, 0, keepers.fence_wait);
	w->restarts = true;
	if (story == NULL && chance(w, 200000))
		begin_adoption(w);
	else
		begin_new(w);
	if (story != NULL)
		directed_play(w, story);
	else
	{
		faults_begin(w);
		for (uint64_t until = w->now + between(w, SECONDS(10), SECONDS(40)); w->now < until && !keepers.cluster.full;)
			world_run(w, SECONDS(1));
	}
	calm_down(w);
	w->data[DATA_CALMS] += !keepers.cluster.full;
}
