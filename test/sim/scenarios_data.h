/*
 * test/sim/scenarios_data.h
 *	  Worlds made by hand in which every member has a server: see README.md.
 *
 * Nothing in them is left to chance: everything gets on at once, but for what is held.
 */
#ifndef SIM_SCENARIOS_DATA_H
#define SIM_SCENARIOS_DATA_H

#include "keeper.h"
#include "scenarios.h"

extern const Scenario scenarios_adoption[];
extern const Scenario scenarios_claims[];
extern const Scenario scenarios_positions[];
extern const Scenario scenarios_answers[];
extern const Scenario scenarios_copies[];
extern const Scenario scenarios_rebuilds[];
extern const Scenario scenarios_lists[];
extern const Scenario scenarios_maintenance[];

/* ---- scenarios_data.c: what they share ---- */

extern SimCluster *cluster(World *w);
extern SimServer  *server(World *w, int i);
extern Keeper	  *keeper(World *w, int i);

/* n managed members on a LAN, of which node 0's has data; nobody runs yet. */
extern void reset_data(World *w, int n);

/* Three of them whose servers hold the same data, of which nobody has claimed anything yet. */
extern void begin_unclaimed(World *w);

/* n managed members on a LAN, settled: one is open, all others stream from it.  Returns it. */
extern int begin_data(World *w, int n);

/* As begin_data(); the other members' ids are given as well. */
extern int begin_with_others(World *w, int n, int *others);

/* The same of three members: the primary p, on timeline 2, and two others. */
typedef struct Three
{
	int p;
	int a;
	int b;
	int commit; /* the scenario's, 0 at first */
} Three;

extern Three begin_three(World *w);

/* What of a server does not get on until it is let go: bits of Hold. */
extern void hold(World *w, int i, unsigned what);
extern void let_go(World *w, int i, unsigned what);

/* Between two machines: connections of servers, or datagrams, alone. */
extern void cut_wal(World *w, int a, int b);
extern void cut_wal_all(World *w, int a); /* to and from everybody */
extern void mend_wal(World *w);			  /* all of them; network_heal() mends datagrams */

/* Datagrams of some types (bits of RaftMessageType) are lost between two members, while WAL goes on. */
#define EVERYTHING (BIT(RAFT_MESSAGE_TYPES) - 1)
extern void mute_way(World *w, int from, int to, uint64_t types);
extern void mute(World *w, int a, int b);
extern void unmute(World *w, int a, int b);
extern void unmute_all(World *w);

/* Nobody else may stand; who leads goes on. */
extern void may_lead_only(World *w, int i);

/* The server dies, its member lives; or the machine loses power, with all WAL that was not synced. */
extern void kill_server(World *w, int i);
extern void lose_power(World *w, int i);

/* A client's commit on a primary: its number.  It is flushed there, and waits. */
extern int	commit_on(World *w, int i);
extern bool is_answered(World *w, int commit);		 /* a client was told so */
extern bool has_commit(World *w, int i, int commit); /* its server has it, on its own path */

/* PostgreSQL shows a row as soon as it ends the wait: forget who has read it, where D4 is not tried. */
extern void nobody_has_read(World *w);

/* Is that peer bound to that leader? */
extern bool is_bound(World *w, int leader, int peer);

/* Conditions for run_until(). */
extern bool is_released(World *w, int commit); /* PostgreSQL has ended the wait */
extern bool is_open(World *w, int i);
extern bool is_primary(World *w, int i);
extern bool leads_as_primary(World *w, int i); /* with a lease */
extern bool has_resigned(World *w, int i);	   /* or never led */
extern bool is_gone(World *w, int i);		   /* its data, as its member knows */
extern bool is_intact(World *w, int i);		   /* no rebuild is under way, as its state file says */
extern bool is_rebuilding(World *w, int i);	   /* and the program for it runs */
extern bool is_streaming(World *w, int i);
extern bool somebody_is_open(World *w, int unused);
extern bool all_follow(World *w, int unused); /* L1: one is open, and all others stream from it */
extern bool answered(World *w, int commit);

/* A message that is kept back, to hand it over later; type 0: none yet. */
extern RaftMessage late;
extern void		   keep_back(World *w, const RaftMessage *m); /* the first one that could arrive */
extern bool		   is_kept_back(World *w, int unused);

/* Everything is mended and let go, and L1 comes about; returns the open one. */
extern int settle_data(World *w);

#endif /* SIM_SCENARIOS_DATA_H */
