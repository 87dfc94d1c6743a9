/*
 * test/sim/maintenance.c
 *	  What an operator does to simulated servers on an ordinary day: pauses the cluster and ends
 *	  that, has a standby restarted or cloned anew.
 *
 * The operator is told that the cluster is paused once a majority has stored it.  From then on,
 * and until he asks for the end of it, nobody is promoted (invariant Z).  A member that is cut off
 * may not have heard of it: so of rebuilds that is asked of those who have.
 */
#include "keeper_parts.h"

#include "checker.h"

/* How long a restart or a new copy is wanted, as on a server. */
#define WISH_LASTS SECONDS(10)

void
maintenance_pause(World *w, uint64_t us)
{
	w->keepers->maintenance.until = w->now + us;
}

void
maintenance_wish(World *w, int i, MaintenanceWish wish)
{
	Keeper *k = &w->keepers->keeper[i];

	k->wish = wish;
	k->wish_start = w->keepers->cluster.server[i].start;
	k->wish_until = w->now + WISH_LASTS;
	TRACE(w, BIT(i), "its operator wants a %s", wish == WISH_RESTART ? "restart" : "new copy");
}

MaintenanceWish
maintenance_wished(const World *w, int i)
{
	const Keeper *k = &w->keepers->keeper[i];

	return w->now < k->wish_until && k->wish_start == w->keepers->cluster.server[i].start ? k->wish : WISH_NOTHING;
}

/* He has a session with who leads, and goes on until it is as he wants it. */
void
maintenance_turn(World *w, int i)
{
	Maintenance *m = &w->keepers->maintenance;
	Member		*member = &w->node[i].member;
	bool		 wanted = w->now < m->until;

	if (!node_is_free(w, i) || !node_has_lease(w, i) ||
		(wanted == m->told && !m->waits && raft_in_pause(&member->raft) == wanted))
		return;
	if (raft_in_pause(&member->raft) != wanted)
	{
		m->waits = true;
		m->ends = !wanted;
		if (member_pause(member, wanted) != RAFT_PAUSE_TAKEN)
			return;
		w->data[wanted ? DATA_CLUSTER_PAUSED : DATA_CLUSTER_RESUMED]++;
		TRACE(w, BIT(i), "the cluster is %s", wanted ? "paused" : "not paused any more");
	}
	if (!node_is_free(w, i) || !raft_pause_is_known(&member->raft))
		return;
	m->told = wanted;
	m->waits = m->ends = false;
}

/* It was asked for a promotion. */
void
maintenance_promotes(World *w, int i)
{
	const Maintenance *m = &w->keepers->maintenance;

	if (m->told && !m->ends)
		checker_fail(w, 'Z', BIT(i), "node %d is promoted while the cluster is paused", i);
}

/* Its directory is about to be rebuilt. */
void
maintenance_rebuilds(World *w, int i)
{
	if (raft_in_pause(&w->node[i].member.raft))
		checker_fail(w, 'Z', BIT(i), "a rebuild of node %d begins while the cluster is paused", i);
}
