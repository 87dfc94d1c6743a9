/*
 * server/slots_ready.c
 *	  Has a standby the logical slots that are to survive a failover?
 *
 * See slots.h.  PostgreSQL 17 and later copies slots with "failover" to standbys by itself, one
 * that is not complete there only for the time being: at a promotion it is dropped.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "server/compat.h"
#include "server/role.h"
#include "server/row.h"
#include "server/settings.h"
#include "server/slots.h"

/* How long another member may take, us, for the connection and for its answer. */
#define PATIENCE UINT64CONST(500000)

EXPORTED_FUNCTION(pg_leader_slots_missing);

/* ---- asking another member ---- */

/* Its address, which the election knows: nobody waits for a name service. */
static bool
add_address(int32_t node, char *conninfo, Words *words)
{
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	char		 *end = conninfo + strlen(conninfo);
	size_t		  room = EXCHANGE_CONNINFO_SIZE - strlen(conninfo);
	bool		  known = false;
	uint32_t	  i;

	shared_read_detail(detail);
	for (i = 0; i < detail->n_peers && !known; i++)
	{
		const char *from = detail->peers[i].resolved + (detail->peers[i].resolved[0] == '[');
		const char *port = strrchr(from, ':');

		if (detail->peers[i].node_id != node || port == NULL)
			continue;
		port -= port[-1] == ']';
		known = snprintf(end, room, " hostaddr='%.*s'", (int) (port - from), from) < (int) room;
	}
	pfree(detail);
	return known || words_set(words, "", "its address is not known");
}

bool
slots_ask(const Raft *raft, int32_t node, const char *query, char *answer, size_t size, bool (*stop)(void), Words *words)
{
	Upstream upstream;
	char	 conninfo[EXCHANGE_CONNINFO_SIZE];
	bool	 done;

	words_clear(words);
	upstream_init(&upstream, raft->config.node_id, PATIENCE, stop);
	done = role_conninfo(raft, node, "_check", conninfo, words) && add_address(node, conninfo, words) &&
		   upstream_connect(&upstream, conninfo, words) && upstream_ask(&upstream, query, answer, size, words);
	upstream_close(&upstream);
	return done;
}

/* ---- on the primary ---- */

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

static bool
is_interrupted(void)
{
	return InterruptPending;
}

bool
slots_are_ready(const Raft *raft, int32_t target, Words *words)
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
	if (!slots_ask(raft, target, query, missing, sizeof(missing), is_interrupted, words))
		return false;
	return missing[0] == '\0' ||
		   words_set(words, "See pg_leader_slots there. A slot is complete only after its consumer has moved on.",
					 "node %d does not have these logical replication slots yet: %s", target, missing);
}

/* pg_leader_slots_missing(target int4): why slots with failover could not go on there; NULL: they could. */
Datum
pg_leader_slots_missing(PG_FUNCTION_ARGS)
{
	int32 target = PG_GETARG_INT32(0);
	Raft *raft = palloc(sizeof(Raft));
	Words words;
	bool  ready;

	require_library();
	if (!settings.manage || RecoveryInProgress() || !exchange_read_core(raft))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server is not the primary of a managed cluster"),
				 errhint("Ask the primary. On a standby pg_leader_slots shows which slots are ready.")));
	if (target < 0 || target == raft->config.node_id || target >= RAFT_MAX_NODES || (raft->config.members >> target & 1) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("node %d is not another member of the cluster", target)));
	do
	{
		CHECK_FOR_INTERRUPTS();
		ready = slots_are_ready(raft, target, &words);
	} while (!ready && InterruptPending);
	if (ready)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(words.error));
}
