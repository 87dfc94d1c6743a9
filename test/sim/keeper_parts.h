/*
 * test/sim/keeper_parts.h
 *	  What the parts of a simulated server's worker and supervisor use of each other.
 */
#ifndef SIM_KEEPER_PARTS_H
#define SIM_KEEPER_PARTS_H

#include "keeper.h"

static inline Keeper *
keeper_of(const World *w, int i)
{
	return &w->keepers->keeper[i];
}

static inline SimServer *
server_of(const World *w, int i)
{
	return &w->keepers->cluster.server[i];
}

/* Where a server listens. */
static inline uint16_t
sim_port(int i)
{
	return (uint16_t) (5432 + i);
}

static inline bool
is_held(const World *w, int i, Hold what)
{
	return (w->keepers->keeper[i].holds & what) != 0;
}

/* ---- keeper.c ---- */

extern void server_died(World *w, int i);

/* ---- facts.c ---- */

extern LineageVerdict read_lineage(const World *w, int i, uint16_t timeline, Lineage *lineage, uint32_t *key);
extern Histories	  read_histories(const World *w, int i, HistoryFile *files);
extern uint16_t		  end_timeline(const World *w, int i);
extern void			  learn_end(World *w, int i);
extern void			  gather_facts(World *w, int i, PrimaryFacts *f);

/* ---- mishaps.c ---- */

extern bool reaches(const World *w, int a, int b);
extern void restart_member(World *w, int i);

/* ---- supervisor.c ---- */

extern void stop_server(World *w, int i, bool immediate);
extern void restart_server(World *w, int i, const PrimaryFacts *f);
extern bool restart_in_place(World *w, int i);
extern void rebuild(World *w, int i, const PrimaryOrder *order, RaftRebuild how);
extern void rebuild_gets_on(World *w, int i);

/* ---- processes.c ---- */

extern void		 startup_gets_on(World *w, int i);
extern void		 streams_get_on(World *w, int i);
extern void		 checkpointer_gets_on(World *w, int i);
extern bool		 end_senders(SimCluster *c, int i, int standby, uint32_t connection);
extern void		 gather_promotion(const World *w, int i, PromotionFacts *f, HistoryFile *files);
extern void		 burn(World *w, int i, const Histories *histories, uint32_t claim);
extern SimAnswer at_the_end_of_recovery(void *context, const SimAsked *asked);
extern bool		 at_login(void *context, int server, int standby, int host);
extern bool		 may_reply(void *context, int server, int source);

#endif /* SIM_KEEPER_PARTS_H */
