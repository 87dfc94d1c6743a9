/*
 * server/slots_ready.c
 *	  Has a standby the logical slots that are to survive a failover?
 *
 * See role.h.  PostgreSQL 17 and later copies slots with "failover" to standbys by itself, one
 * that is not complete there only for the time being: at a promotion it is dropped.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "server/compat.h"
#include "server/role.h"

/* Their names, with commas.  A slot's name has nothing that would have to be quoted. */
static void
list_failover_slots(StringInfo names)
{
	int i;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot				 *slot = &ReplicationSlotCtl->replication_slots[i];
		ReplicationSlotPersistentData data;

		if (!slot->in_use)
			continue;
		SpinLockAcquire(&slot->mutex);
		data = slot->data;
		SpinLockRelease(&slot->mutex);
		if (compat_slot_failover(&data) && !compat_slot_is_invalid(&data))
			appendStringInfo(names, "%s%s", names->len > 0 ? "," : "", NameStr(data.name));
	}
	LWLockRelease(ReplicationSlotControlLock);
}

bool
role_slots_are_ready(int32_t target, Words *words)
{
	StringInfoData names;
	char		   missing[256];
	char		  *query;

	initStringInfo(&names);
	list_failover_slots(&names);
	words_clear(words);
	if (names.len == 0)
		return true;
	query = psprintf("SELECT pg_catalog.left(pg_catalog.string_agg(n, ', '), 250) FROM pg_catalog.unnest('{%s}'::text[]) n "
					 "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s "
					 "WHERE s.slot_name = n AND s.synced AND NOT s.temporary AND s.invalidation_reason IS NULL)",
					 names.data);
	if (!role_ask(target, query, missing, sizeof(missing), role_stops, words))
		return false;
	return missing[0] == '\0' ||
		   words_set(words, "See pg_leader_slots there. A slot is complete only after its consumer has moved on.",
					 "node %d does not have these logical replication slots yet: %s", target, missing);
}
