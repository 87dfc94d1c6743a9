/*
 * primary/position.c
 *	  What a server's WAL is worth: its position in the election, what of it is foreign,
 *	  and what it has in common with the leader's.
 *
 * See primary.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "primary.h"

#include <assert.h>

/* Rule 14: was this member authorised to write on that timeline itself? */
static bool
is_created(const PrimaryFacts *facts, uint32_t timeline)
{
	assert(facts->n_timelines <= RAFT_TIMELINES);
	for (uint32_t i = 0; i < facts->n_timelines; i++)
	{
		if (facts->timelines[i].id == timeline)
			return facts->timelines[i].created;
	}
	return false;
}

/*
 * Has it gone on, since it wrote there, to a timeline of ours?  Then what it wrote is part
 * of that leader's past, or it could not have been followed (rule 20).
 */
static bool
has_gone_on(const PrimaryFacts *facts, uint32_t wrote_on)
{
	for (uint32_t i = 0; facts->lineage != NULL && i < facts->n_timelines; i++)
	{
		if (facts->timelines[i].id > wrote_on && lineage_has(facts->lineage, facts->timelines[i].id))
			return true;
	}
	return false;
}

/*
 * The first byte that is not ours.  What comes before a timeline that is ours came with
 * it, so the last such one of the path counts, and older ones may be forgotten.  Before
 * the first claim everything is ours: there is nothing that it could be held against.
 */
static uint64_t
own_end(const PrimaryFacts *facts)
{
	uint64_t end = 0;

	if (facts->claim == 0 && facts->n_timelines == 0)
		return LINEAGE_NO_END;
	for (uint32_t i = 0; i < facts->n_timelines; i++)
	{
		uint64_t until = lineage_end(facts->lineage, facts->timelines[i].id);

		if (until > end)
			end = until;
	}
	return end;
}

/*
 * Rule 15.  Where WAL that was followed and WAL that was written by hand are on one
 * timeline, nothing says which byte is the first foreign one: the position is not known.
 */
PrimaryPosition
primary_position(const PrimaryFacts *facts)
{
	PrimaryPosition position = {0};
	bool			has_claims = facts->claim > 0 || facts->n_timelines > 0;
	uint32_t		wrote_on = facts->server == RAFT_SERVER_PRIMARY ? facts->timeline : facts->wrote_on;
	bool			by_hand = has_claims && wrote_on != 0 && !is_created(facts, wrote_on) &&
				   (facts->server == RAFT_SERVER_PRIMARY || !has_gone_on(facts, wrote_on));
	uint64_t end;
	uint64_t cut;

	position.foreign = position.by_hand = by_hand;
	if (facts->lineage == NULL || !facts->end_known || facts->system_id == 0)
		return position;
	cut = own_end(facts);
	position.foreign = by_hand || facts->end > cut;

	/*
	 * Cut is only what was written by hand.  What was received on a timeline that nobody
	 * is known to have claimed, by a worker that stood still when the leader went on to
	 * it, may have been counted for a commit: to vote as if it were not there would lose
	 * that, and not to vote would lose a vote.
	 */
	end = by_hand && cut < facts->end ? cut : facts->end;
	if (end == 0 || (by_hand && cut >= facts->end && end > lineage_begin(facts->lineage, wrote_on)))
		return position;
	position.known = true;
	position.position = (RaftPosition){lineage_timeline_before(facts->lineage, end), end};
	if (end == facts->end && facts->begun > end)
		position.begun = (RaftPosition){lineage_timeline_before(facts->lineage, facts->begun), facts->begun};
	return position;
}

bool
primary_diverged(const PrimaryFacts *facts)
{
	if (facts->lineage == NULL || facts->leader.lineage == NULL)
		return false;
	return lineage_common_end(facts->lineage, facts->end, facts->leader.lineage) < facts->end;
}

bool
primary_behind(const PrimaryFacts *facts)
{
	PrimaryPosition own = primary_position(facts);

	return own.known && raft_is_below(own.position, own.begun, facts->floor);
}

bool
primary_may_begin(const PrimaryHeld *held, uint64_t start, uint32_t timeline)
{
	/* what is on the timeline in which ours ends was read there */
	return start <= held->end || timeline == held->timeline ||
		   (timeline == held->received_on && start <= held->received);
}

/*
 * Rule 21.  An interrupted rebuild keeps its floor, and so does one of data that are less
 * than this member acknowledged.  Data that are gone say nothing of what the others count
 * on: then it is what the leader named; nothing, if there never were any.  Else it is what both have, whether or not we may
 * vote with what is beyond that.
 */
bool
primary_floor(const PrimaryFacts *facts, RaftPosition *floor)
{
	PrimaryPosition own = primary_position(facts);
	uint64_t		common;

	*floor = facts->floor;
	if (facts->rebuild != RAFT_INTACT)
		return true;
	if (facts->never_held)
	{
		*floor = (RaftPosition){0, 0};
		return true;
	}
	if (facts->system_id == 0 || facts->distrusted)
	{
		*floor = facts->leader.floor;
		return facts->leader.named_floor;
	}
	if (primary_behind(facts))
		return true;
	if (facts->lineage == NULL || !facts->end_known || facts->leader.lineage == NULL || facts->leader.flush == 0)
		return false;
	common = lineage_common_end(facts->lineage, own.known ? own.position.index : facts->end, facts->leader.lineage);
	if (common > facts->leader.flush)
		common = facts->leader.flush;
	*floor = (RaftPosition){lineage_timeline_before(facts->lineage, common), common};
	return true;
}

uint32_t
primary_path(const PrimaryFacts *facts, uint32_t *timelines, uint32_t most)
{
	const Lineage *path = facts->leader.lineage;
	uint32_t	   n = 0;
	int			   first = path->n_ancestors;

	while (first > 0 && path->ancestors[first - 1].end > facts->end &&
		   (uint32_t) (path->n_ancestors - first) + 1 < most)
		first--;
	for (int i = first; i < path->n_ancestors; i++)
		timelines[n++] = path->ancestors[i].timeline;
	timelines[n++] = path->timeline;
	return n;
}
