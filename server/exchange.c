/*
 * server/exchange.c
 *	  What the election worker, the role worker and the WAL receiver tell each other.
 *
 * See exchange.h.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "replication/walreceiver.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "node/clock.h"
#include "server/change.h"
#include "server/compat.h"
#include "server/exchange.h"

#define EXCHANGE_NAME "pg_leader exchange"

/* How long the role worker waits for the member, us. */
#define PATIENCE UINT64CONST(1000000)

/* How long an operator's wish holds, us. */
#define WISH_LASTS UINT64CONST(10000000)

/* Whether receivers' reports pass. */
typedef enum Reports
{
	REPORTS_HELD = 0,
	REPORTS_PASS
} Reports;

typedef struct Exchange
{
	pg_atomic_uint32 core_change;
	Raft			 core; /* config.list_size 0: there is no member */

	pg_atomic_uint32 data_change;
	ExchangeData	 data;

	pg_atomic_uint64 steps;
	pg_atomic_uint32 health;

	/* One question at a time: it waits while asked is above answered. */
	pg_atomic_uint64 asked;
	pg_atomic_uint64 answered;
	uint64			 numbered; /* the last number; none is given twice */
	ExchangeQuestion question;
	uint32			 answer;

	pg_atomic_uint32 shown_change;
	ExchangeShown	 shown;

	pg_atomic_uint64 wish; /* until when it holds, us; the two low bits: ExchangeWish */

	Latch *role_latch;	   /* NULL: there is no role worker */
	Latch *election_latch; /* NULL: there is no member */

	ExchangeUsed used;

	slock_t		 gate_lock; /* protects the six below */
	ExchangeGate gate;
	pid_t		 waiting;
	uint64		 loose_term;
	char		 conninfo[EXCHANGE_CONNINFO_SIZE];
	uint64		 held_end;
	uint32		 held_timeline;

	pg_atomic_uint32 received_on; /* PrimaryHeld */
	pg_atomic_uint64 turned_back;

	pg_atomic_uint32 reports;
	pg_atomic_uint32 held_back;		/* a report was, and is to be made later */
	pg_atomic_uint64 told_timeline; /* position of which the member knows */
	pg_atomic_uint64 told_end;
} Exchange;

static Exchange *exchange = NULL;

/* ---- the postmaster ---- */

void
exchange_request_memory(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Exchange)));
}

void
exchange_init_memory(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	exchange = ShmemInitStruct(EXCHANGE_NAME, sizeof(Exchange), &found);
	if (!found)
	{
		memset(exchange, 0, sizeof(Exchange));
		pg_atomic_init_u32(&exchange->core_change, 0);
		pg_atomic_init_u32(&exchange->data_change, 0);
		pg_atomic_init_u32(&exchange->shown_change, 0);
		pg_atomic_init_u64(&exchange->steps, 0);
		pg_atomic_init_u32(&exchange->health, PRIMARY_HEALTHY);
		pg_atomic_init_u64(&exchange->asked, 0);
		pg_atomic_init_u64(&exchange->answered, 0);
		pg_atomic_init_u64(&exchange->wish, 0);
		SpinLockInit(&exchange->gate_lock);
		pg_atomic_init_u32(&exchange->received_on, 0);
		pg_atomic_init_u64(&exchange->turned_back, 0);
		pg_atomic_init_u32(&exchange->reports, REPORTS_HELD);
		pg_atomic_init_u32(&exchange->held_back, 0);
		pg_atomic_init_u64(&exchange->told_timeline, 0);
		pg_atomic_init_u64(&exchange->told_end, 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

static void
wake(Latch *latch)
{
	if (latch != NULL)
		SetLatch(latch);
}

/* ---- the core ---- */

/* What the role worker acts on at once; all else can wait until it looks again. */
typedef struct Core
{
	uint64_t term;
	int32_t	 leader_id;
	RaftRole role;
	uint32_t claim;
	uint32_t claimed;
	RaftTold leader;
	uint32_t promoting;
	uint64_t forget;
	uint32_t pause;
	uint32_t list;
	uint64_t list_term;
	bool	 is_leader_of_term;
} Core;

static Core
core_of(const Raft *raft)
{
	Core core;

	memset(&core, 0, sizeof(core));
	core.term = raft->saved.term;
	core.leader_id = raft->leader_id;
	core.role = raft->role;
	core.claim = raft->saved.claim;
	core.claimed = raft->role == RAFT_LEADER ? raft_claimed(raft) : 0;
	core.promoting = raft->saved.promoting;
	core.pause = raft->saved.pause;
	core.list = raft->saved.list.number;
	core.list_term = raft->saved.list.term;
	core.forget = raft->role == RAFT_LEADER ? raft_to_forget(raft) : 0;
	if (raft->leader_id >= 0 && raft->leader_id < RAFT_MAX_NODES)
	{
		core.leader = raft->peers[raft->leader_id].told;
		core.is_leader_of_term = raft->peers[raft->leader_id].term == raft->saved.term;
	}
	return core;
}

void
exchange_show_core(const Raft *raft)
{
	static Core shown;
	Core		core;

	change_begin(&exchange->core_change);
	if (raft != NULL)
		memcpy(&exchange->core, raft, sizeof(Raft));
	else
		exchange->core.config.list_size = 0;
	change_end(&exchange->core_change);
	exchange->election_latch = raft != NULL ? MyLatch : NULL;
	if (raft == NULL)
	{
		pg_atomic_write_u32(&exchange->reports, REPORTS_HELD);
		wake(exchange->role_latch);
		return;
	}
	core = core_of(raft);
	if (memcmp(&core, &shown, sizeof(core)) != 0)
	{
		shown = core;
		wake(exchange->role_latch);
	}
}

bool
exchange_read_core(Raft *raft)
{
	return change_copy(&exchange->core_change, raft, &exchange->core, sizeof(Raft)) && raft->config.list_size != 0;
}

/* ---- the data ---- */

void
exchange_tell_data(const ExchangeData *data)
{
	change_begin(&exchange->data_change);
	exchange->data = *data;
	exchange->data.is_told = true;
	change_end(&exchange->data_change);
	wake(exchange->election_latch);
}

/* How far WAL of that timeline is flushed by now; 0: another one is being written. */
static uint64
flushed_on(RaftServer server, uint64_t timeline)
{
	TimeLineID on;
	XLogRecPtr flushed = server == RAFT_SERVER_PRIMARY ? GetFlushRecPtr(&on) : GetWalRcvFlushRecPtr(NULL, &on);

	return on == timeline && (server == RAFT_SERVER_PRIMARY || exchange_has_received_on(on)) ? flushed : 0;
}

/*
 * A role worker that stands still in the middle of writing must not keep the flush from the next
 * vote: reports on the timeline that it told before pass all the same.
 */
bool
exchange_take_data(ExchangeData *data)
{
	static ExchangeData last; /* of this process */

	if (change_copy_once(&exchange->data_change, data, &exchange->data, sizeof(*data)))
		last = *data;
	else
		*data = last;
	if (!data->is_told)
		return false;
	if (data->data.known && data->grows)
		data->data.position.index = Max(data->data.position.index, flushed_on(data->data.server, data->data.position.epoch));
	pg_atomic_write_u64(&exchange->told_timeline, data->data.known && data->grows ? data->data.position.epoch : 0);
	pg_atomic_write_u64(&exchange->told_end, data->data.known ? data->whole : 0);
	return true;
}

/* ---- health ---- */

void
exchange_count_step(void)
{
	pg_atomic_fetch_add_u64(&exchange->steps, 1);
}

uint64
exchange_steps(void)
{
	return pg_atomic_read_u64(&exchange->steps);
}

void
exchange_show_health(PrimaryHealth health)
{
	pg_atomic_write_u32(&exchange->health, health);
}

PrimaryHealth
exchange_health(void)
{
	return (PrimaryHealth) pg_atomic_read_u32(&exchange->health);
}

/* ---- questions ---- */

void
exchange_role_worker_start(void)
{
	exchange_set_gate(EXCHANGE_SHUT, NULL, 0);
	exchange->role_latch = MyLatch;
	pg_memory_barrier();
}

/* What it said of being open ends with it; the receiver goes on, since a position only grows. */
void
exchange_role_worker_stop(void)
{
	change_begin(&exchange->data_change);
	exchange->data.data.open = false;
	exchange->data.may_stand = false;
	change_end(&exchange->data_change);
	change_begin(&exchange->shown_change);
	memset(&exchange->shown, 0, sizeof(exchange->shown));
	change_end(&exchange->shown_change);
	exchange->role_latch = NULL;
	wake(exchange->election_latch);
}

void
exchange_wake_role_worker(void)
{
	wake(exchange->role_latch);
}

bool
exchange_ask(ExchangeQuestion *question, uint32_t *answer)
{
	uint64 until = clock_now() + PATIENCE;

	/*
	 * A question that nobody has answered in time is not asked any more.  It may be answered even
	 * so, by a member that was saving: as its number is not used again, not in place of this one.
	 */
	question->number = ++exchange->numbered;
	exchange->question = *question;
	pg_write_barrier();
	pg_atomic_write_u64(&exchange->asked, question->number);
	wake(exchange->election_latch);
	while (pg_atomic_read_u64(&exchange->answered) != question->number)
	{
		if (clock_now() >= until || exchange->election_latch == NULL)
		{
			pg_atomic_write_u64(&exchange->asked, 0);
			pg_memory_barrier();
			return false;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	pg_read_barrier();
	*answer = exchange->answer;

	/* whatever woke this process meanwhile is looked at in its next turn */
	SetLatch(MyLatch);
	return true;
}

bool
exchange_next_question(ExchangeQuestion *question)
{
	uint64 asked = pg_atomic_read_u64(&exchange->asked);

	if (asked <= pg_atomic_read_u64(&exchange->answered))
		return false;
	pg_read_barrier();
	*question = exchange->question;
	pg_read_barrier();

	/* given up meanwhile, and another one is being written */
	return pg_atomic_read_u64(&exchange->asked) == asked;
}

void
exchange_answer(const ExchangeQuestion *question, uint32_t answer)
{
	exchange->answer = answer;
	pg_write_barrier();
	pg_atomic_write_u64(&exchange->answered, question->number);
	wake(exchange->role_latch);
}

/* ---- what the role worker shows to people ---- */

void
exchange_show(const ExchangeShown *shown)
{
	change_begin(&exchange->shown_change);
	exchange->shown = *shown;
	change_end(&exchange->shown_change);
}

bool
exchange_read_shown(ExchangeShown *shown)
{
	return exchange != NULL && change_copy(&exchange->shown_change, shown, &exchange->shown, sizeof(*shown));
}

/* ---- what an operator wants of this server ---- */

void
exchange_wish(ExchangeWish wish)
{
	pg_atomic_write_u64(&exchange->wish, (clock_now() + WISH_LASTS) << 2 | (uint64) wish);
	wake(exchange->role_latch);
}

ExchangeWish
exchange_wished(uint64_t now)
{
	uint64 wish = pg_atomic_read_u64(&exchange->wish);

	return wish >> 2 > now ? (ExchangeWish) (wish & 3) : EXCHANGE_NO_WISH;
}

/* ---- this start of the server ---- */

ExchangeUsed *
exchange_used(void)
{
	return &exchange->used;
}

/* ---- the receiver's gates ---- */

void
exchange_set_gate(ExchangeGate gate, const char *conninfo, uint64_t term)
{
	bool waits;

	SpinLockAcquire(&exchange->gate_lock);
	exchange->gate = gate;
	exchange->loose_term = term;
	strlcpy(exchange->conninfo, conninfo != NULL ? conninfo : "", sizeof(exchange->conninfo));
	waits = exchange->waiting != 0;
	SpinLockRelease(&exchange->gate_lock);
	if (waits && gate != EXCHANGE_SHUT)
		WalRcvForceReply(); /* which wakes it */
}

ExchangeGate
exchange_gate(void)
{
	return exchange->gate;
}

pid_t
exchange_waiting_receiver(void)
{
	pid_t waiting;

	SpinLockAcquire(&exchange->gate_lock);
	waiting = exchange->waiting;
	SpinLockRelease(&exchange->gate_lock);
	return waiting;
}

const char *
exchange_may_connect(const char *conninfo, bool *is_expected)
{
	ExchangeGate gate;

	SpinLockAcquire(&exchange->gate_lock);
	gate = exchange->gate;
	*is_expected = strcmp(conninfo, exchange->conninfo) == 0;
	if (*is_expected)
		exchange->waiting = MyProcPid; /* until it passes the gate */
	SpinLockRelease(&exchange->gate_lock);
	return gate == EXCHANGE_LEFT_ALONE || *is_expected ? NULL : "pg_leader: primary_conninfo does not name the leader";
}

/* One that passes has left the gate before anybody can see it shut again. */
ExchangePass
exchange_may_receive(const char *conninfo)
{
	ExchangePass pass = EXCHANGE_TURN_BACK;

	SpinLockAcquire(&exchange->gate_lock);
	if (exchange->gate == EXCHANGE_LEFT_ALONE)
		pass = EXCHANGE_PASS;
	else if (strcmp(conninfo, exchange->conninfo) == 0)
		pass = exchange->gate == EXCHANGE_LOOSE ? EXCHANGE_PASS : EXCHANGE_WAIT;
	exchange->waiting = pass == EXCHANGE_WAIT ? MyProcPid : 0;
	SpinLockRelease(&exchange->gate_lock);
	return pass;
}

void
exchange_tell_held(uint64_t end, uint32_t timeline)
{
	SpinLockAcquire(&exchange->gate_lock);
	exchange->held_end = end;
	exchange->held_timeline = timeline;
	SpinLockRelease(&exchange->gate_lock);
}

PrimaryHeld
exchange_held(void)
{
	PrimaryHeld held = {.received_on = pg_atomic_read_u32(&exchange->received_on)};

	SpinLockAcquire(&exchange->gate_lock);
	held.end = exchange->held_end;
	held.timeline = exchange->held_timeline;
	SpinLockRelease(&exchange->gate_lock);
	return held;
}

void
exchange_receives_on(uint32_t timeline)
{
	pg_memory_barrier();
	pg_atomic_write_u32(&exchange->received_on, timeline);
}

bool
exchange_has_received_on(uint32_t timeline)
{
	return timeline != 0 && pg_atomic_read_u32(&exchange->received_on) == timeline;
}

void
exchange_turn_back(uint64_t end)
{
	pg_atomic_write_u64(&exchange->turned_back, end);
	wake(exchange->role_latch);
}

uint64
exchange_turned_back(void)
{
	return pg_atomic_read_u64(&exchange->turned_back);
}

/*
 * What is reported has to be in the next vote.  The member knows of WAL up to its end, and
 * of each further byte that is flushed on the same timeline.  The two of them are written by
 * the election worker while reports are held.
 */
bool
exchange_may_report(uint64_t flush)
{
	TimeLineID on;
	bool	   may;

	(void) GetWalRcvFlushRecPtr(NULL, &on);
	pg_memory_barrier();
	may = pg_atomic_read_u32(&exchange->reports) == REPORTS_PASS &&
		  (flush <= pg_atomic_read_u64(&exchange->told_end) || on == pg_atomic_read_u64(&exchange->told_timeline));
	if (may)
		return true;
	pg_atomic_write_u32(&exchange->held_back, 1);
	wake(exchange->role_latch); /* which knows about timelines */
	return false;
}

void
exchange_hold_reports(void)
{
	pg_atomic_write_u32(&exchange->reports, REPORTS_HELD);
	pg_memory_barrier();
}

void
exchange_release_reports(const Raft *raft)
{
	uint64 term;

	SpinLockAcquire(&exchange->gate_lock);
	term = exchange->loose_term;
	SpinLockRelease(&exchange->gate_lock);
	if (!raft_may_acknowledge(raft, term))
		return;
	pg_memory_barrier();
	pg_atomic_write_u32(&exchange->reports, REPORTS_PASS);
	pg_memory_barrier();
	if (pg_atomic_exchange_u32(&exchange->held_back, 0) != 0)
		WalRcvForceReply();
}
