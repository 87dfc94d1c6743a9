/*
 * test/sim/scenarios_claims.c
 *	  Servers: claims, promotions and timelines (rules 12 to 14, 17).
 */
#include "scenarios_data.h"

/* A commit that was answered outlives the primary that answered it, at once. */
static void
primary_dies_after_an_answer(World *w)
{
	for (int n = 3; n <= 5; n += 2)
	{
		int primary = begin_data(w, n);
		int commit = commit_on(w, primary);

		EXPECT(w, run_until(w, SECONDS(1), answered, commit));
		network_isolate(w, primary);
		EXPECT(w, run_until(w, SECONDS(2), nobody_leads, 0));
		EXPECT(w, run_until(w, SECONDS(5), somebody_is_open, 0));
		EXPECT(w, has_commit(w, world_lease(w), commit) && world_lease(w) != primary);
		EXPECT(w, has_commit(w, settle_data(w), commit));
	}
}

const Scenario scenarios_claims[] = {
	{"primary_dies_after_an_answer", primary_dies_after_an_answer, NULL},
	{NULL, NULL, NULL}};
