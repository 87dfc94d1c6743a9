/*
 * server/slots.c
 *	  The replication slots of the other members: made, moved and dropped.
 *
 * See role.h and primary/slots.h, which decides.  Done by the role worker while the server is
 * calm: nothing that leads to an open primary waits for it.  A standby asks whoever leads for
 * its slots, as only a leader knows how far all members are.  A slot is made in one piece: until
 * it holds WAL it is one that neither a crash nor an error leaves behind.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/memutils.h"

#include "node/clock.h"
#include "server/compat.h"
#include "server/once_a_minute.h"
#include "server/receiver.h"
#include "server/role.h"
#include "server/senders.h"
#include "server/slots.h"

/* How often the leader is asked, and how long a new one is not, which has enough to do; us. */
#define ASK_INTERVAL UINT64CONST(10000000)
#define FIRST_PAUSE	 UINT64CONST(2000000)

/* How long no slot is made or dropped after one could not be, us. */
#define PAUSE UINT64CONST(5000000)

/* What the leader said. */
static struct
{
	int32_t	 node;
	uint64_t term;
	uint64_t ask_at;
	uint64_t slots[RAFT_MAX_NODES]; /* by node id: from where its slot holds WAL; 0: it has none */
} leaders;

static uint64_t paused_at; /* 0: not */
static bool		says_unlimited;

/* What was logged when; see once_a_minute.h. */
static uint64 ask_said_at;
static uint64 few_said_at;
static uint64 taken_said_at;
static uint64 stranger_said_at;
static uint64 last_said_at;

/* ---- what the leader has ---- */

static uint64_t
silent_after(void)
{
	return 3 * role.raft.config.timeouts.heartbeat_interval;
}

/* So that an election does not wait for an answer of whoever led before it. */
static bool
stops_asking(void)
{
	static Raft raft;

	return role_stops() || !exchange_read_core(&raft) || raft.saved.term != leaders.term ||
		   clock_now() - raft.peers[leaders.node].heard_at > silent_after();
}

/* "1 0/3000060,2 0/3000148" */
static void
take_answer(char *answer)
{
	char		*rest = NULL;
	char		*item;
	int			 id;
	unsigned int high;
	unsigned int low;

	memset(leaders.slots, 0, sizeof(leaders.slots));
	for (item = strtok_r(answer, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest))
	{
		if (sscanf(item, "%d %X/%X", &id, &high, &low) == 3 && id >= 0 && id < RAFT_MAX_NODES)
			leaders.slots[id] = (uint64_t) high << 32 | low;
	}
}

static void
ask_leader(void)
{
	static const char query[] =
		"SELECT pg_catalog.string_agg(pg_catalog.substr(slot_name, 11) || ' ' || restart_lsn, ',') "
		"FROM pg_catalog.pg_replication_slots "
		"WHERE slot_type = 'physical' AND NOT temporary AND wal_status <> 'lost' AND slot_name ~ '^pg_leader_[0-9]+$'";
	int32_t node = role.order.node;
	char	answer[RAFT_MAX_NODES * 32];
	char	what[64];
	Words	words;

	if (leaders.node != node || leaders.term != role.facts.term)
	{
		memset(&leaders, 0, sizeof(leaders));
		leaders.node = node;
		leaders.term = role.facts.term;
		leaders.ask_at = role.now + FIRST_PAUSE;
	}
	if (role.now < leaders.ask_at || stops_asking())
		return;
	leaders.ask_at = role.now + ASK_INTERVAL;
	if (slots_ask(&role.raft, node, query, answer, sizeof(answer), stops_asking, &words))
		take_answer(answer);
	else if (!stops_asking())
	{
		snprintf(what, sizeof(what), "could not ask node %d for its replication slots", node);
		role_say_failed(LOG, &ask_said_at, what, &words);
	}
}

/* Has it a slot of that name?  Asked as seldom as the rest; false: not, or it has not said so. */
static bool
leader_has(const char *name)
{
	static uint64 asked_at;
	char		  answer[16];
	Words		  words;

	if (asked_at != 0 && role.now - asked_at < ASK_INTERVAL)
		return false;
	asked_at = role.now;
	if (!slots_ask(&role.raft, leaders.node, psprintf("SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_name = '%s'", name),
				   answer, sizeof(answer), stops_asking, &words))
		return false;
	if (strcmp(answer, "0") == 0 && once_a_minute(&last_said_at, role.now))
		ereport(WARNING,
				(errmsg("pg_leader: the logical replication slot \"%s\" is of this server's time as primary, and node %d has none of that name",
						name, leaders.node),
				 errdetail("As long as it is there, PostgreSQL synchronizes no slots to this server."),
				 errhint("Create it on the primary if it is still needed, or drop it here.")));
	return strcmp(answer, "0") != 0;
}

/* ---- what is known ---- */

static void
gather(SlotsFacts *facts)
{
	const Raft *r = &role.raft;
	bool		leads = role.server == RAFT_SERVER_PRIMARY;
	int			id;

	memset(facts, 0, sizeof(*facts));
	facts->members = r->config.members;
	facts->self = r->config.node_id;
	facts->leader = leads ? facts->self : role.order.node;
	facts->step = leads ? 1 : (uint64_t) wal_segment_size; /* what is written is saved at a checkpoint, as when it is promoted */
	facts->end = leads ? GetFlushRecPtr(NULL) : GetXLogReplayRecPtr(NULL);
	facts->synchronizes = !leads && compat_synchronizes_slots();
	for (id = 0; id < RAFT_MAX_NODES; id++)
	{
		const RaftPeer *peer = &r->peers[id];
		bool			heard = leads ? peer->heard_at != 0 && role.now - Min(peer->heard_at, role.now) < SLOTS_HEARD_FOR : leaders.slots[id] != 0;

		facts->heard |= (uint64_t) heard << id;
		facts->flushed[id] = leads ? slots_flushed(role.facts.lineage, peer->position) : leaders.slots[id];
	}
}

/* One of PostgreSQL's slots, as it is now. */
typedef struct Seen
{
	SlotsSlot slot;
	char	  name[NAMEDATALEN];
	pid_t	  user;
} Seen;

/* ReplicationSlotControlLock is held. */
static bool
look(ReplicationSlot *slot, Seen *seen)
{
	ReplicationSlotPersistentData data;
	bool						  is_walsender;
	int32_t						  whose;

	if (!slot->in_use)
		return false;
	SpinLockAcquire(&slot->mutex);
	data = slot->data;
	seen->user = slot->active_pid;
	SpinLockRelease(&slot->mutex);
	strlcpy(seen->name, NameStr(data.name), sizeof(seen->name));
	seen->slot = (SlotsSlot){.member = quorum_member(seen->name),
							 .physical = data.database == InvalidOid,
							 .temporary = data.persistency != RS_PERSISTENT,
							 .lost = data.restart_lsn == InvalidXLogRecPtr || compat_slot_is_invalid(&data),
							 .restart = data.restart_lsn,
							 .holds_rows = TransactionIdIsValid(data.xmin) || TransactionIdIsValid(data.catalog_xmin),
							 .failover = compat_slot_failover(&data),
							 .synced = compat_slot_synced(&data)};
	whose = seen->user != 0 ? senders_member(seen->user, &is_walsender) : RAFT_NONE;
	if (seen->user == 0)
		seen->slot.user = SLOTS_UNUSED;
	else if (whose != RAFT_NONE && whose == seen->slot.member)
		seen->slot.user = SLOTS_MEMBER;
	else
		seen->slot.user = is_walsender ? SLOTS_STRANGER : SLOTS_BRIEFLY;
	return true;
}

/* ---- what is done ---- */

/*
 * Without taking the slot, so that a receiver that comes at this moment finds it free: whoever
 * has it is written there under the same lock.  Not written to disk, as PostgreSQL does not do
 * that either: after a crash it holds some more.  ReplicationSlotControlLock is held.
 */
static void
advance(ReplicationSlot *slot, uint64 target, bool releases_rows)
{
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&slot->mutex);

	/* a checkpoint may have invalidated it since it was looked at */
	if (slot->active_pid == 0 && slot->data.restart_lsn != InvalidXLogRecPtr && !compat_slot_is_invalid(&slot->data))
	{
		slot->data.restart_lsn = Max(slot->data.restart_lsn, target);
		if (releases_rows)
		{
			slot->data.xmin = slot->effective_xmin = InvalidTransactionId;
			slot->data.catalog_xmin = slot->effective_catalog_xmin = InvalidTransactionId;
		}
		slot->just_dirtied = slot->dirty = true;
		compat_slot_was_used(slot, now);
	}
	SpinLockRelease(&slot->mutex);
}

static void
make(const char *name)
{
	compat_create_slot(name, RS_EPHEMERAL);
	ReplicationSlotReserveWal();
	ReplicationSlotPersist();
	ReplicationSlotRelease();
	ereport(LOG, (errmsg("pg_leader: the replication slot \"%s\" was made", name)));
}

static void
drop(const char *name)
{
	ReplicationSlotDrop(name, true);
	ereport(LOG, (errmsg("pg_leader: the replication slot \"%s\" was dropped", name)));
}

/* An error of PostgreSQL's is no reason to begin anew. */
static bool
try(void (*change)(const char *name), const char *name)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData	 *error;
	volatile bool done = false;

	PG_TRY();
	{
		change(name);
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		LWLockReleaseAll();
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		ereport(WARNING,
				(errmsg("pg_leader: the replication slot \"%s\" could not be made or dropped: %s", name, error->message),
				 errhint("It is tried again after %d s.", (int) (PAUSE / 1000000))));
	}
	PG_END_TRY();
	return done;
}

static void
end_user(const Seen *seen)
{
	if (seen->slot.user == SLOTS_STRANGER && once_a_minute(&stranger_said_at, role.now))
		ereport(WARNING,
				(errmsg("pg_leader: a walsender is ended: it uses the replication slot \"%s\", which is for a member", seen->name),
				 errhint("Slots with names like pg_leader_0 are for the members' own WAL receivers. Use another one.")));
	kill(seen->user, SIGTERM);
}

static void
say_taken(const Seen *seen)
{
	if (once_a_minute(&taken_said_at, role.now))
		ereport(WARNING,
				(errmsg("pg_leader: there is no replication slot for node %d: \"%s\" is another kind of slot", seen->slot.member, seen->name),
				 errhint("Names like pg_leader_0 are for physical replication slots of members. Drop that slot.")));
}

static void
say_few(int32_t member)
{
	if (once_a_minute(&few_said_at, role.now))
		ereport(WARNING,
				(errmsg("pg_leader: there is no replication slot for node %d: all %d are in use", member, max_replication_slots),
				 errhint("Raise max_replication_slots: pg_leader needs two for each other member. "
						 "Until then wal_keep_size decides whether the WAL that a member lacks is still there.")));
}

/* ---- all of them ---- */

/*
 * Look at all, move those that can be; "dropped": the name of one that is to go, "superseded": if the
 * leader has it.  Returns whose are there.
 */
static uint64_t
visit(const SlotsFacts *facts, char *dropped, char *superseded, int *n_free)
{
	uint64_t there = 0;
	bool	 moved = false;
	Seen	 seen;
	int		 i;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		SlotsVerdict	 verdict;

		if (!look(slot, &seen))
		{
			++*n_free;
			continue;
		}
		verdict = slots_verdict(facts, &seen.slot);
		if (seen.slot.member != RAFT_NONE)
			there |= UINT64CONST(1) << seen.slot.member;
		if (verdict == SLOTS_ADVANCE)
			advance(slot, slots_target(facts, &seen.slot), facts->leader != facts->self);
		else if (verdict == SLOTS_DROP)
			strlcpy(dropped, seen.name, NAMEDATALEN);
		else if (verdict == SLOTS_SUPERSEDED)
			strlcpy(superseded, seen.name, NAMEDATALEN);
		else if (verdict == SLOTS_END_USER)
			end_user(&seen);
		else if (verdict == SLOTS_TAKEN)
			say_taken(&seen);
		moved |= verdict == SLOTS_ADVANCE;
	}
	LWLockRelease(ReplicationSlotControlLock);
	if (moved)
	{
		ReplicationSlotsComputeRequiredLSN();
		ReplicationSlotsComputeRequiredXmin(false);
	}
	return there;
}

static bool
is_calm(void)
{
	if (role.server == RAFT_SERVER_PRIMARY)
		return role.open && role.order.action == PRIMARY_OPEN;
	return role.order.action == PRIMARY_FOLLOW && role.following.check.streaming == PRIMARY_STREAMING_REAL && receiver_look().streams;
}

static void
warn_of_no_limit(void)
{
	bool unlimited = max_slot_wal_keep_size_mb < 0;

	if (unlimited && !says_unlimited)
		ereport(WARNING,
				(errmsg("pg_leader: max_slot_wal_keep_size is -1: WAL for a member that is away is kept until the disk is full"),
				 errhint("Set max_slot_wal_keep_size to less than what is free where pg_wal is.")));
	says_unlimited = unlimited;
}

void
slots_prepare(int32_t member)
{
	char name[SLOTS_NAME_SIZE];
	Seen seen;
	Seen its = {.slot = {.member = RAFT_NONE}};
	int	 n_free = 0;
	int	 i;

	slots_name(member, name);
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (i = 0; i < max_replication_slots; i++)
	{
		if (!look(&ReplicationSlotCtl->replication_slots[i], &seen))
			n_free++;
		else if (seen.slot.member == member)
			its = seen;
	}
	LWLockRelease(ReplicationSlotControlLock);
	if (its.slot.member != RAFT_NONE)
	{
		/* PostgreSQL 16 and 17 would let it have that one, and keep no WAL for it */
		if (!its.slot.physical || its.slot.temporary || !its.slot.lost || its.slot.user != SLOTS_UNUSED || !try(drop, name))
			return;
		n_free++;
	}
	if (n_free > 0)
		(void) try(make, name);
}

void
role_keep_slots(void)
{
	SlotsFacts facts;
	char	   name[NAMEDATALEN] = "";
	char	   superseded[NAMEDATALEN] = "";
	int		   n_free = 0;
	int32_t	   id;
	uint64_t   there;

	if (!is_calm())
		return;
	warn_of_no_limit();
	if (role.server == RAFT_SERVER_RECOVERY)
		ask_leader();
	gather(&facts);
	there = visit(&facts, name, superseded, &n_free);
	if (paused_at != 0 && role.now - paused_at < PAUSE)
		return;
	paused_at = 0;
	if (name[0] == '\0' && superseded[0] != '\0' && leader_has(superseded))
		strlcpy(name, superseded, sizeof(name));
	if (name[0] != '\0')
	{
		paused_at = try(drop, name) ? 0 : role.now;
		return;
	}
	for (id = 0; id < RAFT_MAX_NODES; id++)
	{
		if ((there >> id & 1) != 0 || !slots_make(&facts, id))
			continue;
		slots_name(id, name);
		if (n_free > 0)
			paused_at = try(make, name) ? 0 : role.now;
		else
			say_few(id);
		return;
	}
}
