/*
 * server/senders.c
 *	  Which walsender is which member's.
 *
 * See senders.h.  One entry for each member, written by its walsender as it logs in and
 * ends.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/backend_status.h"

#include "node/clock.h"
#include "server/compat.h"
#include "server/senders.h"
#include "server/settings.h"

#define SENDERS_NAME "pg_leader walsenders"

/* How long an older walsender may take to end, us, and how often it is asked whether it has, ms. */
#define PATIENCE UINT64CONST(2000000)
#define INTERVAL 2

typedef struct Senders
{
	slock_t			 lock; /* protects the changes */
	uint64			 numbered;
	pg_atomic_uint32 pid[RAFT_MAX_NODES]; /* by node id; 0: none */
	pg_atomic_uint64 number[RAFT_MAX_NODES];
} Senders;

static Senders *registry = NULL;

void
senders_request_memory(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Senders)));
}

void
senders_init_memory(void)
{
	bool found;
	int	 i;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	registry = ShmemInitStruct(SENDERS_NAME, sizeof(Senders), &found);
	if (!found)
	{
		SpinLockInit(&registry->lock);
		registry->numbered = 0;
		for (i = 0; i < RAFT_MAX_NODES; i++)
		{
			pg_atomic_init_u32(&registry->pid[i], 0);
			pg_atomic_init_u64(&registry->number[i], 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/* ---- logging in ---- */

/* Runs after PostgreSQL has given up its own entry. */
static void
leave(int code, Datum member)
{
	SpinLockAcquire(&registry->lock);
	if (pg_atomic_read_u32(&registry->pid[DatumGetInt32(member)]) == (uint32) MyProcPid)
		pg_atomic_write_u32(&registry->pid[DatumGetInt32(member)], 0);
	SpinLockRelease(&registry->lock);
}

/* Take the member's entry; or the process that has it. */
static pid_t
take(int32_t member)
{
	pid_t other;

	SpinLockAcquire(&registry->lock);
	other = (pid_t) pg_atomic_read_u32(&registry->pid[member]);
	if (other == 0)
	{
		pg_atomic_write_u64(&registry->number[member], ++registry->numbered);
		pg_write_barrier();
		pg_atomic_write_u32(&registry->pid[member], (uint32) MyProcPid);
	}
	SpinLockRelease(&registry->lock);
	return other;
}

bool
senders_register(int32_t member)
{
	uint64 deadline = clock_now() + PATIENCE;
	pid_t  other;

	while ((other = take(member)) != 0)
	{
		if (clock_now() >= deadline)
			return false;
		kill(other, SIGTERM);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, INTERVAL, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	on_shmem_exit(leave, Int32GetDatum(member));
	return true;
}

/* ---- reading ---- */

static bool
read_walsender(pid_t pid, QuorumSender *sender)
{
	int i;

	for (i = 0; i < max_wal_senders; i++)
	{
		WalSnd *walsnd = &WalSndCtl->walsnds[i];
		bool	is_it;

		if (walsnd->pid != pid)
			continue;
		SpinLockAcquire(&walsnd->mutex);
		is_it = walsnd->pid == pid;
		sender->flush = walsnd->flush;
		sender->sent = walsnd->sentPtr;
		sender->replay = walsnd->apply;
		SpinLockRelease(&walsnd->mutex);
		if (is_it)
			return true;
	}
	return false;
}

uint32_t
senders_read(QuorumSender *senders)
{
	uint32_t n = 0;
	int32_t	 member;

	/* of all that connect so: who counts is for quorum_verdict() to say */
	for (member = 0; member < RAFT_MAX_NODES; member++)
	{
		pid_t pid = (pid_t) pg_atomic_read_u32(&registry->pid[member]);

		pg_read_barrier();
		senders[n].member = member;
		senders[n].started = pg_atomic_read_u64(&registry->number[member]);
		if (pid != 0 && read_walsender(pid, &senders[n]))
			n++;
	}
	return n;
}

/* ---- ending ---- */

bool
senders_end(int32_t member)
{
	pid_t pid = (pid_t) pg_atomic_read_u32(&registry->pid[member]);

	if (pid != 0)
		kill(pid, SIGTERM);
	return pid == 0;
}

int32_t
senders_member(pid_t pid, bool *is_walsender)
{
	int i;

	*is_walsender = false;
	for (i = 0; i < max_wal_senders; i++)
		*is_walsender |= WalSndCtl->walsnds[i].pid == pid;
	for (i = 0; i < RAFT_MAX_NODES; i++)
	{
		if (pg_atomic_read_u32(&registry->pid[i]) == (uint32) pid)
			return i;
	}
	return RAFT_NONE;
}

/* The name that it bears now; NULL: it has ended. */
static const char *
name_of(pid_t pid)
{
	int i;

	for (i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		const LocalPgBackendStatus *local = compat_backend_status(i);

		if (local != NULL && local->backendStatus.st_procpid == pid)
			return local->backendStatus.st_appname;
	}
	return NULL;
}

/* A snapshot of all sessions is made only where there is a walsender that is nobody's. */
uint32_t
senders_end_impostors(uint64_t members)
{
	uint32_t ended = 0;
	bool	 is_walsender;
	int		 i;

	pgstat_clear_backend_activity_snapshot();
	for (i = 0; i < max_wal_senders; i++)
	{
		pid_t		pid = WalSndCtl->walsnds[i].pid;
		const char *name = pid != 0 && senders_member(pid, &is_walsender) == RAFT_NONE ? name_of(pid) : NULL;
		int32_t		member = name != NULL ? quorum_member(name) : RAFT_NONE;

		if (member == RAFT_NONE || (members >> member & 1) == 0)
			continue;
		kill(pid, SIGTERM);
		ended++;
	}
	return ended;
}
