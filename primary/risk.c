/*
 * primary/risk.c
 *	  Would one more failure stop commits?
 *
 * See risk.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "risk.h"

#include <inttypes.h>
#include <stdio.h>

static uint32_t
majority(const RiskFacts *facts)
{
	return raft_count_nodes(facts->members) / 2 + 1;
}

Risk
risk_judge(const RiskFacts *facts)
{
	uint64_t self = UINT64_C(1) << facts->self;

	if (raft_count_nodes(facts->bound & facts->members) <= majority(facts))
		return RISK_VOTES;
	if (raft_count_nodes(facts->holders & facts->members) <= raft_copies(raft_count_nodes(facts->members)))
		return RISK_COPIES;
	if (facts->in_pause)
		return RISK_PAUSED;
	return (facts->candidates & facts->holders & ~self) == 0 ? RISK_CANDIDATES : RISK_NONE;
}

/* "one more failure stops commits: 2 of 3 members hold the newest WAL, and 2 have to; not node 1" */
static void
count(const RiskFacts *facts, uint64_t those, const char *what, uint32_t needed, char *buffer)
{
	uint64_t	missing = facts->members & ~those;
	int			length;
	const char *before = "; not node ";

	length = snprintf(buffer, RISK_TEXT_SIZE, "one more failure stops commits: %" PRIu32 " of %" PRIu32 " %s %" PRIu32 " have to",
					  raft_count_nodes(facts->members & those), raft_count_nodes(facts->members), what, needed);
	for (int id = 0; id < RAFT_MAX_NODES && length < RISK_TEXT_SIZE; id++)
	{
		if ((missing >> id & 1) == 0)
			continue;
		length += snprintf(buffer + length, RISK_TEXT_SIZE - (size_t) length, "%s%d", before, id);
		before = ", ";
	}
}

const char *
risk_describe(const RiskFacts *facts, char *buffer)
{
	const char *words = "";

	switch (risk_judge(facts))
	{
		case RISK_VOTES:
			count(facts, facts->bound, "members acknowledge the leader, and", majority(facts), buffer);
			return buffer;
		case RISK_COPIES:
			count(facts, facts->holders, "members hold the newest WAL, and", raft_copies(raft_count_nodes(facts->members)), buffer);
			return buffer;
		case RISK_PAUSED:
			words = "a failure of the primary stops commits: the cluster is paused, and no member takes over";
			break;
		case RISK_CANDIDATES:
			words = "a failure of the primary stops commits: no other member that holds the newest WAL may lead";
			break;
		case RISK_NONE:
			break;
	}
	(void) snprintf(buffer, RISK_TEXT_SIZE, "%s", words);
	return buffer;
}
