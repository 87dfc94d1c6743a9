/*
 * primary/facts.c
 *	  What follows for the facts from the election's core alone.
 *
 * See primary.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "primary.h"

#include <assert.h>
#include <string.h>

static void
take_saved(PrimaryFacts *facts, const RaftSaved *saved)
{
	facts->term = saved->term;
	facts->claim = saved->claim;
	facts->promoting = saved->promoting != 0;
	facts->stored_system_id = saved->system_id;
	memcpy(facts->timelines, saved->timelines, sizeof(facts->timelines));
	facts->n_timelines = saved->n_timelines;
	facts->rebuild = saved->rebuild;
	facts->rebuild_source = saved->rebuild_source;
	facts->rebuild_term = saved->rebuild_term;
	facts->floor = saved->floor;
	facts->in_pause = (saved->pause & 1) != 0;
	facts->list_number = saved->list.number;
	facts->list_term = saved->list.term;
}

/* What it says of itself; that it is promoted counts if it was said in the present term. */
static void
take_told(PrimaryLeader *leader, const RaftPeer *peer, uint64_t term)
{
	leader->system_id = peer->told.system_id;
	leader->server = peer->told.server;
	leader->promoted = peer->told.promoted && peer->term == term;
	leader->open = peer->told.open && leader->promoted;
}

void
primary_take_election(PrimaryFacts *facts, const Raft *raft)
{
	take_saved(facts, &raft->saved);
	facts->self = raft->config.node_id;
	facts->members = raft_count_nodes(raft->saved.list.number != 0 ? raft_list_members(&raft->saved.list) : raft->config.members);
	facts->leader_id = raft->role == RAFT_LEADER ? facts->self : raft->leader_id;
	assert(facts->leader_id < RAFT_MAX_NODES);
	if (facts->leader_id >= 0 && facts->leader_id != facts->self)
		take_told(&facts->leader, &raft->peers[facts->leader_id], facts->term);
}
