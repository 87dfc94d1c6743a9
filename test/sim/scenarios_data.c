/*
 * test/sim/scenarios_data.c
 *	  What the scenarios with servers share, see scenarios_data.h.
 */
#include "scenarios_data.h"

#include <string.h>

static Keepers keepers;

RaftMessage late;

SimCluster *
cluster(World *w)
{
	return &w->keepers->cluster;
}

SimServer *
server(World *w, int i)
{
	return &w->keepers->cluster.server[i];
}

Keeper *
keeper(World *w, int i)
{
	return &w->keepers->keeper[i];
}

void
reset_data(World *w, int n)
{
	late = (RaftMessage){0};
	world_reset(w, n, w->seed + 1);
	keepers_begin(w, &keepers);
	keepers.cluster.checksums = true;
	keepers.calm = true;
	keepers.interval = MS(5);
}

void
begin_unclaimed(World *w)
{
	reset_data(w, 3);
	server(w, 1)->data = server(w, 2)->data = server(w, 0)->data;
}

int
begin_data(World *w, int n)
{
	reset_data(w, n);
	world_start_all(w);
	EXPECT(w, run_until(w, SECONDS(20), all_follow, 0));
	return world_lease(w);
}

int
begin_with_others(World *w, int n, int *others)
{
	int leader = begin_data(w, n);

	for (int i = 0, k = 0; i < n; i++)
	{
		if (i != leader)
			others[k++] = i;
	}
	return leader;
}

Three
begin_three(World *w)
{
	Three t = {.p = begin_data(w, 3)};

	t.a = someone(w, t.p, -1);
	t.b = someone(w, t.p, t.a);
	EXPECT(w, server(w, t.p)->timeline == 2 && w->node[t.a].durable.claim == 2 && w->node[t.b].durable.claim == 2);
	return t;
}

/* ---- what is held, cut and killed ---- */

void
hold(World *w, int i, unsigned what)
{
	keeper(w, i)->holds |= what;
}

void
let_go(World *w, int i, unsigned what)
{
	keeper(w, i)->holds &= ~what;
}

void
cut_wal(World *w, int a, int b)
{
	keeper_cut(w, a, b);
}

void
cut_wal_all(World *w, int a)
{
	for (int b = 0; b < w->n; b++)
	{
		if (b != a)
			cut_wal(w, a, b);
	}
}

void
mend_wal(World *w)
{
	keepers_mend(w);
}

void
kill_server(World *w, int i)
{
	keeper_kill(w, i);
	TRACE(w, BIT(i), "server is killed");
}

void
lose_power(World *w, int i)
{
	keeper_lose_power(w, i, 0);
}

/* ---- datagrams that are lost, and who may stand ---- */

static uint64_t muted[SIM_SERVERS][SIM_SERVERS];

static SendVerdict
drop_muted(World *w, const RaftMessage *m)
{
	(void) w;
	return muted[m->from][m->to] >> m->type & 1 ? SEND_NOT : SEND_ON;
}

void
mute_way(World *w, int from, int to, uint64_t types)
{
	muted[from][to] = types;
	w->on_send = drop_muted;
}

void
mute(World *w, int a, int b)
{
	mute_way(w, a, b, EVERYTHING);
	mute_way(w, b, a, EVERYTHING);
}

void
unmute(World *w, int a, int b)
{
	mute_way(w, a, b, 0);
	mute_way(w, b, a, 0);
}

void
unmute_all(World *w)
{
	memset(muted, 0, sizeof(muted));
	w->on_send = NULL;
}

void
may_lead_only(World *w, int i)
{
	for (int k = 0; k < w->n; k++)
	{
		if (!is_leading(w, k))
			node_may_lead(w, k, k == i);
	}
}

/* ---- commits ---- */

int
commit_on(World *w, int i)
{
	int commit = sim_commit(cluster(w), i, 0);

	EXPECT(w, commit != 0);
	(void) sim_wal_flush(cluster(w), i, server(w, i)->inserted);
	TRACE(w, BIT(i), "a client's commit %d", commit);
	return commit;
}

bool
is_answered(World *w, int commit)
{
	return sim_has_commit(w->keepers->answered, commit);
}

bool
has_commit(World *w, int i, int commit)
{
	uint64_t held[SIM_COMMIT_WORDS];

	sim_held(cluster(w), i, held);
	return sim_has_commit(held, commit);
}

void
nobody_has_read(World *w)
{
	memset(w->keepers->seen, 0, sizeof(w->keepers->seen));
}

/* ---- conditions ---- */

bool
answered(World *w, int commit)
{
	return is_answered(w, commit);
}

bool
is_released(World *w, int commit)
{
	return cluster(w)->commit[commit].outcome != SIM_COMMIT_WAITING;
}

bool
is_bound(World *w, int leader, int peer)
{
	const Node *n = &w->node[leader];

	return raft_peer_bound(&n->member.raft, peer) > clock_local(w, n);
}

bool
is_open(World *w, int i)
{
	return keeper_is_open(w, i) && node_has_lease(w, i);
}

bool
is_primary(World *w, int i)
{
	return server(w, i)->life == SIM_PRIMARY;
}

bool
leads_as_primary(World *w, int i)
{
	return node_has_lease(w, i) && is_primary(w, i);
}

bool
has_resigned(World *w, int i)
{
	return w->node[i].member.raft.role != RAFT_LEADER;
}

bool
is_gone(World *w, int i)
{
	return w->node[i].up && raft_is_gone(&w->node[i].member.raft);
}

bool
is_intact(World *w, int i)
{
	return w->node[i].durable.rebuild == RAFT_INTACT;
}

bool
is_rebuilding(World *w, int i)
{
	return !is_intact(w, i) && keeper(w, i)->rebuilding;
}

bool
is_streaming(World *w, int i)
{
	return server(w, i)->receiver.state == SIM_WALRCV_STREAMING;
}

bool
somebody_is_open(World *w, int unused)
{
	(void) unused;
	for (int i = 0; i < w->n; i++)
	{
		if (is_open(w, i))
			return true;
	}
	return false;
}

bool
all_follow(World *w, int unused)
{
	(void) unused;
	return ledger_settled(w);
}

/* ---- a message that is late ---- */

void
keep_back(World *w, const RaftMessage *m)
{
	if (late.type == 0 && w->node[m->to].up)
		late = *m;
}

bool
is_kept_back(World *w, int unused)
{
	(void) w;
	(void) unused;
	return late.type != 0;
}

/* ---- all is well again ---- */

int
settle_data(World *w)
{
	network_heal(w);
	mend_wal(w);
	for (int i = 0; i < w->n; i++)
	{
		keeper(w, i)->holds = 0;
		server(w, i)->disk_full = server(w, i)->paused = server(w, i)->delayed = false;
		if (w->node[i].paused)
			node_resume(w, i);
		if (!w->node[i].up)
			node_start(w, i);
	}
	EXPECT(w, run_until(w, SECONDS(120), all_follow, 0));
	return world_lease(w);
}
