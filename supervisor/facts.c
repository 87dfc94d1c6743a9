/*
 * supervisor/facts.c
 *	  What is known of a server that does not run.
 *
 * See facts.h.  What has to be read from WAL is left as what it is when it is not known: that
 * closes what depends on it.
 */
#include "facts.h"

#include <string.h>

#include "../node/clock.h"
#include "directory.h"

void
facts_tell(Member *member, uint64_t system_id)
{
	RaftData	data = {.server = RAFT_SERVER_NONE, .system_id = system_id};
	const Raft *raft = &member->raft;

	/* rule 13: what was asked for cannot happen any more */
	if (raft->saved.promoting != 0)
		member_promoted(member);
	if (member->state == MEMBER_RUNS &&
		(!raft->has_looked || raft->data.server != RAFT_SERVER_NONE || raft->data.system_id != system_id))
		member_set_data(member, &data);
}

void
facts_gather(const Member *member, const Remembered *remembered, uint64_t system_id, PrimaryFacts *facts)
{
	const Raft *raft = &member->raft;

	memset(facts, 0, sizeof(*facts));
	primary_take_election(facts, raft);
	watch_directory(&remembered->watch, facts);
	facts->now = clock_now();
	facts->lease_until = raft_lease_until(raft);
	facts->server = RAFT_SERVER_NONE;
	facts->system_id = system_id;
	facts->never_held = raft_never_held(raft);
	facts->distrusted = raft_is_gone(raft) && system_id != 0;
	facts->wrote_on = remembered->wrote_on;
	facts->major = directory_major();
}
