/*
 * test/sim/mishaps.c
 *	  What befalls a simulated server and its machine: whoever wants that, faults.c or a scenario.
 */
#include "keeper_parts.h"

#include <string.h>

/* ---- between machines ---- */

bool
reaches(const World *w, int a, int b)
{
	const Keepers *k = w->keepers;

	return (k->wal_apart || (!w->link[a][b].cut && !w->link[b][a].cut)) && !(k->wal_cut[a] & BIT(b));
}

void
keeper_cut(World *w, int a, int b)
{
	w->keepers->wal_cut[a] |= BIT(b);
	w->keepers->wal_cut[b] |= BIT(a);
}

void
keepers_mend(World *w)
{
	memset(w->keepers->wal_cut, 0, sizeof(w->keepers->wal_cut));
}

/* ---- its processes ---- */

void
keeper_kill(World *w, int i)
{
	sim_crash(&w->keepers->cluster, i);
	server_died(w, i);
}

/* The directory of another system takes the place of its own, until somebody removes it. */
void
keeper_put_other(World *w, int i, uint64_t us)
{
	keeper_kill(w, i);
	server_of(w, i)->data.system++;
	keeper_of(w, i)->other_until = w->now + us;
	TRACE(w, BIT(i), "has the directory of another system put in place");
}

void
keeper_remove_other(World *w, int i)
{
	if (server_of(w, i)->data.whole != SIM_GONE && server_of(w, i)->data.system != SIM_SYSTEM)
	{
		keeper_kill(w, i); /* a member that has lost its state file, too, has started it */
		if (!sim_wipe(&w->keepers->cluster, i, false))
			return;
		TRACE(w, BIT(i), "has the directory of another system removed");
	}
	keeper_of(w, i)->other_until = 0;
}

bool
keeper_freeze(World *w, int i, uint64_t us)
{
	Keeper *k = keeper_of(w, i);

	if (server_of(w, i)->life == SIM_DOWN || keeper_is_frozen(w, i))
		return false;
	k->frozen_until = w->now + us;
	k->frozen_start = server_of(w, i)->start;
	k->frozen_at = clock_local(w, &w->node[i]);
	TRACE(w, BIT(i), "server is frozen");
	return true;
}

bool
keeper_is_frozen(const World *w, int i)
{
	const Keeper	*k = &w->keepers->keeper[i];
	const SimServer *s = &w->keepers->cluster.server[i];

	return w->now < k->frozen_until && s->start == k->frozen_start && s->life != SIM_DOWN;
}

/* A member's process ends, and the next one starts soon. */
void
restart_member(World *w, int i)
{
	node_crash(w, i, false);
	world_schedule(w, w->now + between(w, MS(1), MS(10)), EVENT_START, i, w->node[i].life);
}

/* As with restart_after_crash = on, which rule 19 forbids: the election worker ends with it. */
bool
keeper_restart_in_place(World *w, int i)
{
	bool starts;

	if (server_of(w, i)->life == SIM_DOWN)
		return false;
	starts = restart_in_place(w, i);
	server_died(w, i);
	restart_member(w, i);
	TRACE(w, BIT(i), "server is restarted in place");
	return starts;
}

void
keeper_lose_power(World *w, int i, uint64_t most)
{
	node_crash(w, i, true);
	if (server_of(w, i)->rebuild.step != SIM_REBUILD_NONE)
		sim_rebuild_stop(&w->keepers->cluster, i);
	if (keeper_of(w, i)->remains == PRIMARY_REMAINS_UNTOUCHED)
		keeper_of(w, i)->remains = PRIMARY_REMAINS_BROKEN; /* the supervisor's memory */
	sim_power_loss(&w->keepers->cluster, i, most == 0 ? 0 : (SimLsn) between(w, 0, most));
	server_died(w, i);
	TRACE(w, BIT(i), "loses power");
}
