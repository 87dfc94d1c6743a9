/*
 * supervisor/facts.c
 *	  What is known of a server that does not run.
 *
 * See facts.h.  What has to be asked of the leader's server, or read from WAL, is left as
 * what it is when it is not known: that closes what depends on it.
 */
#include "facts.h"

#include <string.h>

#include "../node/clock.h"

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

static void
gather_leader(const Raft *raft, PrimaryFacts *f)
{
	const RaftPeer *leader;

	if (f->leader_id < 0 || f->leader_id == f->self)
		return;
	leader = &raft->peers[f->leader_id];
	f->leader.system_id = leader->told.system_id;
	f->leader.server = leader->told.server;
	f->leader.promoted = leader->told.promoted && leader->term == raft->saved.term;
	f->leader.open = leader->told.open && f->leader.promoted;
}

void
facts_gather(const Member *member, const Remembered *remembered, uint64_t system_id, PrimaryFacts *facts)
{
	const Raft			 *raft = &member->raft;
	const RaftSaved		 *saved = &raft->saved;
	const WatchDirectory *watch = &remembered->watch;

	memset(facts, 0, sizeof(*facts));
	facts->now = clock_now();
	facts->self = raft->config.node_id;
	facts->members = raft->config.list_size;
	facts->term = saved->term;
	facts->leader_id = raft->role == RAFT_LEADER ? raft->config.node_id : raft->leader_id;
	facts->lease_until = raft_lease_until(raft);
	facts->claim = saved->claim;
	facts->promoting = saved->promoting != 0;
	facts->server = RAFT_SERVER_NONE;
	facts->system_id = system_id;
	facts->stored_system_id = saved->system_id;
	facts->never_held = raft_never_held(raft);
	facts->distrusted = raft_is_gone(raft) && system_id != 0;
	facts->wrote_on = remembered->wrote_on;
	memcpy(facts->timelines, saved->timelines, sizeof(facts->timelines));
	facts->n_timelines = saved->n_timelines;
	facts->rebuild = saved->rebuild;
	facts->rebuild_source = saved->rebuild_source;
	facts->rebuild_term = saved->rebuild_term;
	facts->remains = PRIMARY_REMAINS_BROKEN;
	facts->floor = saved->floor;
	facts->failures = watch->failures;
	facts->stuck_since = watch->stuck_since;
	facts->failed_at = watch->failed_at;
	facts->failed_source = watch->failed_source;
	facts->failed_term = watch->failed_term;
	gather_leader(raft, facts);
}

bool
facts_need_rebuild(const PrimaryOrder *order)
{
	switch (order->reason)
	{
		case PRIMARY_HALF_NO_SOURCE:
		case PRIMARY_HALF_FAILS_AGAIN:
		case PRIMARY_GONE_NO_SOURCE:
		case PRIMARY_GONE_NO_FLOOR:
			return true;
		default:
			return order->action == PRIMARY_REWIND || order->action == PRIMARY_CLONE;
	}
}
