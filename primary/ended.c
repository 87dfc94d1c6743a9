/*
 * primary/ended.c
 *	  What has ended a server, and what follows from it.
 *
 * See ended.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "ended.h"

EndedWhy
ended_why(const EndedFacts *facts)
{
	if (facts->asked)
		return ENDED_ASKED;
	if (!facts->ran)
		return ENDED_NO_START;

	/*
	 * A postmaster exits with 0 after each of the three ways of stopping it, also after an
	 * immediate one, and in no other case; restart_after_crash = off makes it exit with 1
	 * when a process of its own has crashed.
	 */
	return facts->signaled || facts->status != 0 ? ENDED_DEATH : ENDED_ORDER;
}

bool
ended_reading(const EndedFacts *facts)
{
	return ended_why(facts) == ENDED_DEATH && !facts->signaled && facts->reading && !facts->no_room;
}
