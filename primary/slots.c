/*
 * primary/slots.c
 *	  Which replication slots a server has for the other members, and how far they hold WAL.
 *
 * See slots.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "slots.h"

#include <inttypes.h>
#include <stdio.h>

void
slots_name(int32_t member, char *name)
{
	(void) snprintf(name, SLOTS_NAME_SIZE, "pg_leader_%" PRId32, member);
}

static bool
is_other_member(const SlotsFacts *facts, int32_t member)
{
	return member >= 0 && member != facts->self && (facts->members >> member & 1) != 0;
}

/*
 * What this server's time as primary has left: PostgreSQL does not synchronize slots at all while
 * one of the name is there that it has not put there itself.
 */
static bool
is_left_behind(const SlotsFacts *facts, const SlotsSlot *slot)
{
	return facts->synchronizes && !slot->physical && slot->failover && !slot->synced;
}

uint64_t
slots_target(const SlotsFacts *facts, const SlotsSlot *slot)
{
	uint64_t target = facts->flushed[slot->member];

	/* whoever leads has all that its followers have */
	if (slot->member == facts->leader)
		target = facts->end;
	if (target > facts->end)
		target = facts->end;
	return target > slot->restart ? target : slot->restart;
}

SlotsVerdict
slots_verdict(const SlotsFacts *facts, const SlotsSlot *slot)
{
	bool wanted = is_other_member(facts, slot->member);

	if (is_left_behind(facts, slot))
		return slot->user == SLOTS_UNUSED ? SLOTS_SUPERSEDED : SLOTS_LEAVE;
	if (slot->member == RAFT_NONE)
		return SLOTS_LEAVE;
	if (!slot->physical || slot->temporary)
		return wanted ? SLOTS_TAKEN : SLOTS_LEAVE;
	if (slot->user == SLOTS_BRIEFLY)
		return SLOTS_LEAVE;
	if (slot->user == SLOTS_STRANGER || (slot->user == SLOTS_MEMBER && (slot->lost || !wanted)))
		return SLOTS_END_USER;
	if (slot->user == SLOTS_MEMBER)
		return SLOTS_LEAVE;
	if (slot->lost || !wanted)
		return SLOTS_DROP;

	/* the rows that a standby needs are held by whoever leads: here nobody would let them go */
	if (slots_target(facts, slot) / facts->step > slot->restart / facts->step || (slot->holds_rows && facts->leader != facts->self))
		return SLOTS_ADVANCE;
	return SLOTS_LEAVE;
}

/*
 * One that is away for so long that its slot was lost needs a clone in any case: for that one,
 * WAL would be held for nothing, up to the limit, again and again.
 */
bool
slots_make(const SlotsFacts *facts, int32_t member)
{
	return is_other_member(facts, member) && (member == facts->leader || (facts->heard >> member & 1) != 0);
}

uint64_t
slots_flushed(const Lineage *own, RaftPosition position)
{
	if (own == NULL || position.epoch == 0 || position.index == 0 || position.epoch > UINT32_MAX ||
		!lineage_holds(own, (uint32_t) position.epoch, position.index))
		return 0;
	return position.index;
}
