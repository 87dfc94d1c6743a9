/*
 * server/switchover.c
 *	  A session asks for a switchover, and hears what has come of it.
 *
 * See switchover.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "node/clock.h"
#include "server/compat.h"
#include "server/exchange.h"
#include "server/settings.h"
#include "server/switchover.h"

#define SWITCHOVER_NAME "pg_leader switchover"

/* How long the session sleeps at most until it looks again, ms. */
#define SLEEP 100

/* How long an answer may be late, us: beside what the end of a switchover takes. */
#define GRACE UINT64CONST(5000000)

typedef struct Entry
{
	slock_t			  lock; /* protects all but the last */
	SwitchoverAsked	  asked;
	int				  process; /* the session's number among all processes */
	pid_t			  pid;	   /* 0: that session has ended */
	bool			  is_wanted;
	uint64			  answered; /* the number of the last request that has an answer */
	SwitchoverAnswer  answer;
	ConditionVariable changed;
} Entry;

static Entry *entry = NULL;

/* ---- the postmaster ---- */

void
switchover_request_memory(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Entry)));
}

void
switchover_init_memory(void)
{
	bool found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	entry = ShmemInitStruct(SWITCHOVER_NAME, sizeof(Entry), &found);
	if (!found)
	{
		memset(entry, 0, sizeof(Entry));
		SpinLockInit(&entry->lock);
		ConditionVariableInit(&entry->changed);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* ---- a session ---- */

/* The entry may be another session's by now. */
static void
give_up(int code, Datum ignored)
{
	SpinLockAcquire(&entry->lock);
	if (entry->pid == MyProcPid)
		entry->is_wanted = false;
	SpinLockRelease(&entry->lock);
	exchange_wake_role_worker();
}

/* The same of it. */
static void
leave(int code, Datum ignored)
{
	SpinLockAcquire(&entry->lock);
	if (entry->pid == MyProcPid)
		entry->pid = 0;
	SpinLockRelease(&entry->lock);
	exchange_wake_role_worker();
}

/* Whoever has asked before has an answer, so that the role worker reads nothing else meanwhile. */
static bool
fill(const SwitchoverAsked *asked, SwitchoverAnswer *busy, volatile uint64 *number)
{
	bool is_free;

	SpinLockAcquire(&entry->lock);
	is_free = entry->asked.number == entry->answered;
	busy->target = entry->asked.target;
	if (is_free)
	{
		*number = entry->asked.number + 1;
		entry->asked = *asked;
		entry->asked.number = *number;
		entry->process = compat_proc_number();
		entry->pid = MyProcPid;
		entry->is_wanted = true;
	}
	SpinLockRelease(&entry->lock);
	return is_free;
}

static bool
has_answer(uint64 number, SwitchoverAnswer *answer)
{
	bool has;

	SpinLockAcquire(&entry->lock);
	has = entry->answered >= number;
	if (has)
		*answer = entry->answer;
	SpinLockRelease(&entry->lock);
	return has;
}

/* It takes the request back, see give_up(). */
static void
fail(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("the role worker of pg_leader has not said in time what has come of the switchover"),
			 errdetail("It gives the switchover up as soon as it gets on, unless the target was told to stand before."),
			 errhint("\"pg_leaderctl list\" shows who is the primary, the server log why the role worker does not get on.")));
}

bool
switchover_ask(const SwitchoverAsked *asked, SwitchoverAnswer *answer)
{
	static bool		leaves = false;
	volatile uint64 number;
	uint64			until = clock_now() + asked->wait + 2 * (uint64) settings.max_timeout * 1000 + GRACE;

	if (!leaves)
		before_shmem_exit(leave, (Datum) 0);
	leaves = true;
	if (!fill(asked, answer, &number))
		return false;
	PG_ENSURE_ERROR_CLEANUP(give_up, (Datum) 0);
	{
		exchange_wake_role_worker();
		while (!has_answer(number, answer))
		{
			if (clock_now() >= until)
				fail();
			ConditionVariableTimedSleep(&entry->changed, SLEEP, PG_WAIT_EXTENSION);
		}
		ConditionVariableCancelSleep();
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_up, (Datum) 0);
	return true;
}

/* ---- the role worker ---- */

bool
switchover_take(SwitchoverAsked *asked)
{
	bool is_new;

	SpinLockAcquire(&entry->lock);
	is_new = entry->asked.number != entry->answered;
	*asked = entry->asked;
	SpinLockRelease(&entry->lock);
	return is_new;
}

bool
switchover_is_wanted(uint64_t number)
{
	bool is_wanted;

	SpinLockAcquire(&entry->lock);
	is_wanted = entry->asked.number == number && entry->is_wanted;
	SpinLockRelease(&entry->lock);
	return is_wanted;
}

void
switchover_answer(uint64_t number, const SwitchoverAnswer *answer)
{
	SpinLockAcquire(&entry->lock);
	entry->answer = *answer;
	entry->answered = number;
	SpinLockRelease(&entry->lock);
	ConditionVariableBroadcast(&entry->changed);
}

/* A session that waits for its client has sent all that it had for it. */
bool
switchover_is_told(uint64_t number)
{
	PGPROC *process;
	pid_t	pid;

	SpinLockAcquire(&entry->lock);
	process = GetPGProcByNumber(entry->process);
	pid = entry->pid;
	SpinLockRelease(&entry->lock);
	return pid == 0 || (has_answer(number, &(SwitchoverAnswer){0}) &&
						*(volatile uint32 *) &process->wait_event_info == WAIT_EVENT_CLIENT_READ);
}
