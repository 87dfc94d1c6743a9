/*
 * test/sim/adoption.c
 *	  A primary that was there before pg_leader managed anything: its server runs outside the
 *	  fence, and answers its clients as stock PostgreSQL does, while the members of its
 *	  standbys are managed already.  Then it is stopped, and starts under its supervisor as a
 *	  standby.
 *
 * Beside it nobody may claim.  What it had answered has to be on every server that opens later
 * (D1) if so many members hold it as a commit needs copies when the first claim is made: else it
 * is on one machine, which can be lost.  Data are not taken away before the first one has opened.
 */
#include "keeper_parts.h"

#include "checker.h"

/* ---- the cluster before ---- */

static void
start_as_primary(World *w, int i)
{
	SimServer *s = server_of(w, i);

	s->data.standby_signal = false;
	s->conninfo = -1;
	if (sim_start(&w->keepers->cluster, i))
		TRACE(w, BIT(i), "server starts as a primary that nobody manages");
}

/* A standby by pg_basebackup. */
static bool
copy(World *w, int i, int source)
{
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = server_of(w, i);

	if (!sim_clone_begin(c, i, source, false))
		return false;
	while (s->rebuild.step != SIM_REBUILD_NONE)
		(void) sim_rebuild_step(c, i);
	s->data.standby_signal = true;
	s->conninfo = (int8_t) source;
	return s->data.whole == SIM_WHOLE && sim_start(c, i);
}

void
adoption_begin(World *w, uint64_t standbys, bool has_member, uint64_t stops_at)
{
	Adoption   *a = &w->keepers->adoption;
	SimCluster *c = &w->keepers->cluster;

	*a = (Adoption){.step = ADOPTION_BEFORE, .stops_at = stops_at};
	start_as_primary(w, 0);
	while (c->server[0].life == SIM_STANDBY || c->server[0].life == SIM_RECOVERING)
		(void) sim_startup_step(c, 0);
	w->node[0].config.managed = false;
	for (int i = 0; i < w->n; i++)
	{
		if ((standbys & ~BIT(0)) >> i & 1 && !copy(w, i, 0))
			checker_fail(w, 'E', BIT(i), "adoption: node %d gets no copy", i);
		node_new(w, i);
		if (i != 0 || has_member)
			node_start(w, i);
	}
}

/* ---- while it runs ---- */

/* Of the clients of stock PostgreSQL without synchronous standbys. */
static void
answer(World *w)
{
	SimCluster *c = &w->keepers->cluster;

	(void) sim_release(c, 0, 0);
	for (int commit = 1; commit <= c->n_commits; commit++)
	{
		if (c->commit[commit].server != 0 || c->commit[commit].outcome != SIM_COMMIT_RELEASED || !sim_answer(c, commit, true))
			continue;
		TRACE(w, BIT(0), "answers commit %d outside the fence", commit);
		sim_add_commit(w->keepers->adoption.answered, commit);
		for (int i = 0; i < w->n; i++)
		{
			if (keeper_is_open(w, i))
				checker_fail(w, 'D', BIT(0) | BIT(i), "D2: node %d is open beside a primary that nobody manages", i);
		}
	}
}

static void
clients(World *w)
{
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = server_of(w, 0);

	if (s->life != SIM_PRIMARY)
		return;
	if (!w->keepers->calm && chance(w, 20000))
		w->data[DATA_COMMITS] += sim_commit(c, 0, (uint8_t) between(w, 0, 2)) != 0;
	if (w->keepers->calm || chance(w, 500000))
		(void) sim_wal_flush(c, 0, s->inserted);
	if (s->life == SIM_PRIMARY)
		answer(w);
}

/*
 * What it had answered, and enough members have flushed by now.  Not once something is
 * claimed: another one may have been promoted above it without that, and copies that are made
 * later do not help (Raft's figure 8).
 */
static void
count_answered(World *w)
{
	const SimCluster *c = &w->keepers->cluster;
	uint64_t		  held[SIM_SERVERS][SIM_COMMIT_WORDS];

	for (int i = 0; i < w->n; i++)
	{
		if (w->node[i].durable.claim != 0 || (w->node[i].up && w->node[i].member.raft.saved.claim != 0))
			return;
		sim_held(c, i, held[i]);
	}
	for (int commit = 1; commit <= c->n_commits; commit++)
	{
		uint32_t copies = 0;

		if (!sim_has_commit(w->keepers->adoption.answered, commit) || sim_has_commit(w->keepers->answered, commit))
			continue;
		for (int i = 0; i < w->n; i++)
			copies += w->node[i].durable.rebuild == RAFT_INTACT && keeper_of(w, i)->end_known &&
					  keeper_of(w, i)->end >= c->commit[commit].end && sim_has_commit(held[i], commit);
		if (copies < raft_copies((uint32_t) w->n))
			continue;
		sim_add_commit(w->keepers->answered, commit);
		w->data[DATA_ADOPTED]++;
	}
}

/* Its supervisor takes over: from now on its member is as all others. */
static void
hand_to_supervisor(World *w)
{
	if (w->node[0].up && !node_is_free(w, 0))
		return;
	w->node[0].config.managed = true;
	if (w->node[0].up)
		node_stop(w, 0);
	if (!w->restarts || w->node[0].life == 0)
		node_start(w, 0);
	TRACE(w, BIT(0), "is managed now");
	w->keepers->adoption.step = ADOPTION_UNDER_WAY;
}

bool
adoption_turn(World *w, int i)
{
	Adoption  *a = &w->keepers->adoption;
	SimServer *s = server_of(w, i);

	if (a->step == ADOPTION_NONE || i != 0)
		return false;
	if (a->step == ADOPTION_UNDER_WAY)
	{
		count_answered(w);
		return false;
	}
	clients(w);
	if (w->now >= a->stops_at && s->life == SIM_PRIMARY && sim_stop_fast(&w->keepers->cluster, 0))
		TRACE(w, BIT(0), "server is stopped fast, to be managed");
	else if (s->life == SIM_DOWN && w->now >= a->stops_at)
		hand_to_supervisor(w);
	else if (s->life == SIM_DOWN && chance(w, 50000))
		start_as_primary(w, 0);
	return true;
}

/* ---- what must hold ---- */

void
adoption_claims(World *w, int i)
{
	if (w->keepers->adoption.step == ADOPTION_BEFORE)
		checker_fail(w, 'D', BIT(i) | BIT(0), "D2: node %d claims a timeline while a primary that nobody manages may run", i);
}

void
adoption_opens(World *w)
{
	if (w->keepers->adoption.step == ADOPTION_NONE)
		return;
	w->data[DATA_ADOPTIONS]++;
	w->keepers->adoption.step = ADOPTION_NONE;
}
