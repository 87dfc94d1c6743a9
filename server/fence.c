/*
 * server/fence.c
 *	  The fence of a managed server: is it open at this instant, and who says so.
 *
 * See fence.h.  Shared memory with one writer for each part, which never waits.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/pidfile.h"

#include "node/clock.h"
#include "server/change.h"
#include "server/compat.h"
#include "server/fence.h"
#include "server/parent.h"
#include "server/senders.h"
#include "server/settings.h"
#include "server/shared.h"

#define FENCE_NAME "pg_leader fence"

/* How long a process sleeps before it looks at the fence again, ms: also if nobody wakes it. */
#define SLEEP 20

/* How long other sessions are waited for when the server stops, ms. */
#define LET_GO_AFTER 1000

typedef struct Bounds
{
	uint64_t term; /* 0: this member does not lead */
	RaftList list; /* who counts */
	uint64_t until[RAFT_MAX_NODES];
} Bounds;

typedef struct Fence
{
	/* The role worker's. */
	pg_atomic_uint64 open_term;
	pg_atomic_uint32 drains;
	pg_atomic_uint32 compared;
	pg_atomic_uint64 changed_at;
	pg_atomic_uint32 lets_go;

	/* The election worker's. */
	pg_atomic_uint32 bounds_change;
	Bounds			 bounds;

	ConditionVariable changed;
	pg_atomic_uint64  counts[FENCE_COUNTS];
	pg_atomic_uint32  steps[FLEXIBLE_ARRAY_MEMBER]; /* by the number of the process */
} Fence;

static Fence *fence = NULL;

/* ---- the postmaster ---- */

static Size
memory_size(void)
{
	return add_size(offsetof(Fence, steps), mul_size((Size) MaxBackends, sizeof(pg_atomic_uint32)));
}

void
fence_request_memory(void)
{
	RequestAddinShmemSpace(MAXALIGN(memory_size()));
	senders_request_memory();
}

void
fence_init_memory(void)
{
	bool found;
	int	 i;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	fence = ShmemInitStruct(FENCE_NAME, memory_size(), &found);
	if (!found)
	{
		memset(fence, 0, memory_size());
		pg_atomic_init_u64(&fence->open_term, 0);
		pg_atomic_init_u32(&fence->drains, 0);
		pg_atomic_init_u32(&fence->compared, 0);
		pg_atomic_init_u64(&fence->changed_at, clock_now());
		pg_atomic_init_u32(&fence->lets_go, 0);
		pg_atomic_init_u32(&fence->bounds_change, 0);
		ConditionVariableInit(&fence->changed);
		for (i = 0; i < FENCE_COUNTS; i++)
			pg_atomic_init_u64(&fence->counts[i], 0);
		for (i = 0; i < MaxBackends; i++)
			pg_atomic_init_u32(&fence->steps[i], 0);
		board_show_server(parent_board(), &(BoardServer){0});
	}
	LWLockRelease(AddinShmemInitLock);
	senders_init_memory();
}

/* ---- the workers ---- */

/* A bound of a term never shrinks, so that a reader of an older one is on the safe side. */
void
fence_show_bounds(const Raft *raft)
{
	static bool had_lease;
	bool		leads = raft != NULL && raft->role == RAFT_LEADER;
	bool		has_lease = leads && raft_lease_until(raft) > clock_now();
	int			i;

	if (leads || fence->bounds.term != 0)
	{
		change_begin(&fence->bounds_change);
		fence->bounds.term = leads ? raft->saved.term : 0;
		fence->bounds.list = leads ? raft_list(raft) : (RaftList){0};
		for (i = 0; i < RAFT_MAX_NODES; i++)
			fence->bounds.until[i] = leads ? raft_peer_bound(raft, i) : 0;
		change_end(&fence->bounds_change);
	}
	if (has_lease && !had_lease)
		ConditionVariableBroadcast(&fence->changed);
	had_lease = has_lease;
}

void
fence_set(uint64_t open_term, bool drains)
{
	uint64_t before = pg_atomic_read_u64(&fence->open_term);

	/* the board never says more than this memory */
	if (open_term != before || drains)
		board_close(parent_board());
	if (before == open_term)
	{
		pg_atomic_write_u32(&fence->drains, drains);
		return;
	}

	/* from draining to closed: nobody sees it open in between, see fence_holds_back() */
	pg_atomic_write_u64(&fence->open_term, open_term);
	pg_write_barrier();
	pg_atomic_write_u32(&fence->drains, drains);
	if ((before == 0) != (open_term == 0))
		pg_atomic_write_u64(&fence->changed_at, clock_now());
	pg_memory_barrier();
	if (open_term != 0)
		ConditionVariableBroadcast(&fence->changed);
}

void
fence_set_compared(bool compared)
{
	pg_atomic_write_u32(&fence->compared, compared);
}

/* Those behind their shields. */
static void
end_commits(void)
{
	int i;

	for (i = 0; i < MaxBackends; i++)
	{
		pid_t pid = GetPGProcByNumber(i)->pid;

		if (pid != 0 && pg_atomic_read_u32(&fence->steps[i]) == FENCE_STEP_COMMITS)
			kill(pid, SIGTERM);
	}
}

void
fence_end_waits(void)
{
	static uint64_t closed_since;
	FenceLook		look = fence_look();

	if (look.is_open || closed_since == 0)
		closed_since = look.now;
	if (fence_begin(look.is_open, false, look.now - closed_since, fence_wait_limit()) != FENCE_REFUSE)
		return;
	end_commits();
}

/* The postmaster writes that it stops to its file before it tells anybody. */
static bool
is_stopping(void)
{
	FILE *file = AllocateFile("postmaster.pid", "r");
	char  line[MAXPGPATH];
	bool  stops = false;
	int	  number = 1;

	if (file == NULL)
		return false;
	while (number <= LOCK_FILE_LINE_PM_STATUS && fgets(line, sizeof(line), file) != NULL)
		stops = number++ == LOCK_FILE_LINE_PM_STATUS && strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
	FreeFile(file);
	return stops;
}

static bool
has_other_sessions(void)
{
	int i;

	for (i = 0; i < MaxBackends; i++)
	{
		PGPROC *process = GetPGProcByNumber(i);

		if (process->pid != 0 && process->databaseId != InvalidOid &&
			pg_atomic_read_u32(&fence->steps[i]) != FENCE_STEP_COMMITS)
			return true;
	}
	return false;
}

/*
 * Who is let go shows its row, so the others have to be told to end before.  They are told at the
 * same time as this process; who needs longer to end shows nobody anything.  On a standby nobody
 * waits, and the longer it takes to stop, the longer its member is without a vote.
 */
void
fence_let_go(void)
{
	int i;

	if (!is_stopping())
		return;
	for (i = 0; i < LET_GO_AFTER / SLEEP && !RecoveryInProgress() && has_other_sessions(); i++)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SLEEP, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	pg_atomic_write_u32(&fence->lets_go, 1);
	pg_memory_barrier();
	end_commits();
}

bool
fence_lets_go(void)
{
	return pg_atomic_read_u32(&fence->lets_go) != 0;
}

/* ---- anybody ---- */

uint64_t
fence_wait_limit(void)
{
	return (uint64_t) (settings.fence_wait >= 0 ? settings.fence_wait : 2 * settings.max_timeout) * 1000;
}

static void
read_lease(QuorumView *view)
{
	view->lease_until = shared_lease(&view->term, &view->now);
	view->open_term = pg_atomic_read_u64(&fence->open_term);
}

static FenceLook
look_of(const QuorumView *view)
{
	return (FenceLook){.is_open = quorum_is_open(view),
					   .drains = pg_atomic_read_u32(&fence->drains) != 0,
					   .compared = pg_atomic_read_u32(&fence->compared) != 0,
					   .now = view->now};
}

FenceLook
fence_look(void)
{
	QuorumView view;

	read_lease(&view);
	return look_of(&view);
}

/* Those of that term; none where they are being written, or the writer stands still in that. */
static void
read_bounds(QuorumView *view, uint64_t *term)
{
	Bounds bounds;
	int	   i;

	for (i = 0; i < CHANGE_READS_WITHOUT_PAUSE; i++)
	{
		if (!change_copy_once(&fence->bounds_change, &bounds, &fence->bounds, sizeof(bounds)))
			continue;
		memcpy(view->bounds, bounds.until, sizeof(view->bounds));
		quorum_take_list(view, &bounds.list);
		*term = bounds.term;
		return;
	}
	*term = 0;
}

/* In rule 16's order: the walsenders' flushes, our own, a barrier, the bounds, the clock. */
FenceLook
fence_look_at(uint64_t end, bool *answers)
{
	QuorumSender senders[RAFT_MAX_NODES];
	QuorumView	 view;
	uint64_t	 bounds_term;

	view.self = settings.node_id;
	view.senders = senders;
	view.n_senders = senders_read(senders);
	view.flush = GetFlushRecPtr(NULL);
	pg_read_barrier();
	read_bounds(&view, &bounds_term);
	pg_read_barrier();
	read_lease(&view);

	/* without those of the lease's term nobody is known to count */
	*answers = bounds_term != 0 && bounds_term == view.term && quorum_answers(&view, end);
	return look_of(&view);
}

void
fence_sleep(void)
{
	static uint32 wait_event;

	if (wait_event == 0)
		wait_event = compat_wait_event("PgLeaderFence");
	ConditionVariableTimedSleep(&fence->changed, SLEEP, wait_event);
}

void
fence_sleep_end(void)
{
	ConditionVariableCancelSleep();
}

void
fence_set_step(FenceStep step)
{
	int number = compat_proc_number();

	if (number >= 0 && number < MaxBackends)
		pg_atomic_write_u32(&fence->steps[number], step);
}

uint32_t
fence_count_commits(void)
{
	uint32_t n = 0;
	int		 i;

	pg_memory_barrier();
	for (i = 0; i < MaxBackends; i++)
	{
		uint32 step = pg_atomic_read_u32(&fence->steps[i]);

		n += step == FENCE_STEP_COMMITS || step == FENCE_STEP_ANSWERS;
	}
	return n;
}

bool
fence_holds_back(void)
{
	bool drains;

	pg_memory_barrier();
	drains = pg_atomic_read_u32(&fence->drains) != 0;
	pg_read_barrier();
	return drains || pg_atomic_read_u64(&fence->open_term) == 0;
}

void
fence_count(FenceCount count)
{
	pg_atomic_fetch_add_u64(&fence->counts[count], 1);
}

uint64
fence_counted(FenceCount count)
{
	return pg_atomic_read_u64(&fence->counts[count]);
}

void
fence_read_shown(FenceShown *shown)
{
	int i;

	shown->open_term = pg_atomic_read_u64(&fence->open_term);
	shown->drains = pg_atomic_read_u32(&fence->drains) != 0;
	shown->changed_at = pg_atomic_read_u64(&fence->changed_at);
	shown->waiting = 0;
	for (i = 0; i < MaxBackends; i++)
		shown->waiting += pg_atomic_read_u32(&fence->steps[i]) != FENCE_STEP_NONE;
}
