/*
 * test/sim/scenarios.h
 *	  Worlds made by hand, each a named test: see README.md.
 */
#ifndef SIM_SCENARIOS_H
#define SIM_SCENARIOS_H

#include "checker.h"

typedef struct Scenario
{
	const char *name;
	void (*run)(World *w);
	const char *wanted; /* invariants of which one must be found broken */
} Scenario;

/* Each table ends with a NULL name. */
extern const Scenario scenarios_votes[];
extern const Scenario scenarios_network[];
extern const Scenario scenarios_state[];
extern const Scenario scenarios_lease[];

#define EXPECT(w, condition)                                                         \
	do                                                                               \
	{                                                                                \
		if (!(condition))                                                            \
			checker_fail((w), 'E', BIT((w)->n) - 1, "%s:%d: expected: %s", __FILE__, \
						 __LINE__, #condition);                                      \
	} while (0)

/* ---- scenarios.c: what they share ---- */

/* n new members on a LAN at default timings, all started now. */
extern void begin(World *w, int n);

/* The same, settled; returns the leader. */
extern int begin_settled(World *w, int n);

/* Run until the condition holds; false after "limit" us. */
typedef bool (*Condition)(World *w, int arg);
extern bool run_until(World *w, uint64_t limit, Condition condition, int arg);
extern bool is_leading(World *w, int i);		/* with a lease */
extern bool nobody_leads(World *w, int unused); /* nobody holds a lease */
extern bool somebody_leads(World *w, int unused);
extern bool is_voting(World *w, int i);
extern bool is_abstaining(World *w, int i);
extern bool everybody_votes(World *w, int unused);
extern bool is_candidate(World *w, int i);
extern bool is_saving(World *w, int i);

/* An identical member that is not "not" nor "nor". */
extern int someone(const World *w, int not, int nor);

/* A message that process "from" could send to "to" now. */
extern RaftMessage forge(World *w, RaftMessageType type, int from, int to);
extern void		   hand_over(World *w, const RaftMessage *m); /* delivered at once */

#endif /* SIM_SCENARIOS_H */
