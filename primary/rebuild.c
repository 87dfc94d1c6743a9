/*
 * primary/rebuild.c
 *	  What a rebuild has left in a data directory, and whether one that runs goes on.
 *
 * See rebuild.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "rebuild.h"

bool
rebuild_is_rewound(const RebuildFacts *facts)
{
	return facts->rebuild == RAFT_REWINDING && facts->is_archive_recovery && facts->has_backup_label && facts->is_same_boot;
}

/*
 * pg_rewind takes the timeline of the last checkpoint for the directory's (PostgreSQL 15), and
 * on a backup_label it would be the second run on one directory.
 */
static bool
can_be_rewound(const RebuildFacts *facts)
{
	return facts->rebuild == RAFT_REWINDING && facts->is_stopped_standby && facts->is_one_timeline && !facts->has_backup_label;
}

PrimaryRemains
rebuild_remains(const RebuildFacts *facts)
{
	if (facts->is_done)
		return PRIMARY_REMAINS_WHOLE;
	if (!facts->has_failed && (can_be_rewound(facts) || rebuild_is_rewound(facts)))
		return PRIMARY_REMAINS_REPEATABLE;
	if (facts->rebuild == RAFT_CLONING && facts->is_untouched)
		return PRIMARY_REMAINS_UNTOUCHED;
	return PRIMARY_REMAINS_BROKEN;
}

bool
rebuild_goes_on(int32_t source, int32_t leader)
{
	return leader == RAFT_NONE || leader == source;
}
