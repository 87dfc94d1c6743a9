/*
 * test/lib/primary_worlds.c
 *	  Facts about servers in which all is well.  See primary_worlds.h.
 */
#include "primary_worlds.h"

#include <assert.h>
#include <stddef.h>

static const Lineage *
extended(Lineage *lineage, const Lineage *parent, uint32_t timeline, uint64_t fork)
{
	if (lineage->timeline == 0)
	{
		bool good = lineage_extend(parent, timeline, fork, lineage);

		assert(good);
		(void) good;
	}
	return lineage;
}

const Lineage *
world_path1(void)
{
	static Lineage lineage;

	lineage_first(&lineage);
	return &lineage;
}

const Lineage *
world_path2(void)
{
	static Lineage lineage;

	return extended(&lineage, world_path1(), 2, 1000);
}

const Lineage *
world_path5(void)
{
	static Lineage lineage;

	return extended(&lineage, world_path2(), 5, 2000);
}

const Lineage *
world_path5_7(void)
{
	static Lineage lineage;

	return extended(&lineage, world_path5(), 7, 2500);
}

const Lineage *
world_path2_7(void)
{
	static Lineage lineage;

	return extended(&lineage, world_path2(), 7, 1800);
}

const Lineage *
world_path_hand(void)
{
	static Lineage lineage;

	return extended(&lineage, world_path2(), 3, 1500);
}

static PrimaryFacts
world_member(void)
{
	return (PrimaryFacts){
		.now = 1000000,
		.members = 3,
		.term = 7,
		.leader_id = RAFT_NONE,
		.claim = 5,
		.elected_claim = 5,
		.server = RAFT_SERVER_RECOVERY,
		.system_id = 77,
		.stored_system_id = 77,
		.major = 15,
		.timeline = 5,
		.lineage = world_path5(),
		.end_known = true,
		.end = 2500,
		.replayed = true,
		.consistent = true,
		.timelines = {{1, true}, {2, false}, {5, false}},
		.n_timelines = 3,
		.floor = {5, 2400},
		.hints = true,
		.common_wal = true,
		.rewind_room = true,
		.check = {.leader = RAFT_NONE},
		.open_timeout = 10000000,
		.health_timeout = 5000000,
		.stream_timeout = 2000000,
		.prefer_open = 3000000,
	};
}

PrimaryFacts
world_follower(void)
{
	PrimaryFacts f = world_member();

	f.leader_id = 1;
	f.leader = (PrimaryLeader){
		.system_id = 77,
		.major = 15,
		.server = RAFT_SERVER_PRIMARY,
		.promoted = true,
		.open = true,
		.lineage = world_path5(),
		.flush = 2600,
		.control_shows_timeline = true,
		.has_fork = true,
	};
	f.check = (PrimaryCheck){.term = 7, .leader = 1, .prefix = PRIMARY_PREFIX_SAME};
	return f;
}

PrimaryFacts
world_elected(void)
{
	PrimaryFacts f = world_member();

	f.leader_id = 0;
	f.lease_until = f.now + 200000;
	f.leading_since = f.now - 50000;
	f.claim = 7;
	f.claimed = 7;
	f.names_in_force = true;
	f.other_could_lead = true;
	f.other_has_all = true;
	return f;
}

PrimaryFacts
world_primary(void)
{
	PrimaryFacts f = world_elected();

	f.server = RAFT_SERVER_PRIMARY;
	f.claimed = 0;
	f.authorised = 7;
	f.authorised_term = 7;
	f.timeline = 7;
	f.timelines[f.n_timelines++] = (RaftTimeline){7, true};
	f.wrote_on = 7;
	f.ran_on = true;
	f.lineage = world_path5_7();
	f.end = 2700;
	f.mark_term = 7;
	f.mark_end = 2600;
	f.quorum_flushed = 2650;
	f.released = 2650;
	return f;
}
