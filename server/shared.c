/*
 * server/shared.c
 *	  What the backends can see of the member: lease, status, peers, events.
 *
 * See shared.h.  The segment is made by the postmaster, and made anew after a
 * crash of the server: no lease survives that.  The lease is kept apart from
 * the rest because it is asked for in every transaction of some applications:
 * its reader takes no lock and copies three words.  The supervisor sees lease and leader, too,
 * on its board (node/board.h).
 *
 * No function here may be called by the worker between "saved" and "sent" that
 * could wait or raise an error; the publishing ones do neither.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#include "node/clock.h"
#include "server/change.h"
#include "server/compat.h"
#include "server/parent.h"
#include "server/shared.h"

#define SHARED_NAME "pg_leader"

/* Answers are kept until this many later ones were given. */
#define ANSWERS 16

/* The longest sleep of a session that waits for longer; ms, and the kernel takes an int. */
#define WAIT_AT_ONCE 3600000

typedef struct Shared
{
	/* Odd while the two words below it are being written. */
	pg_atomic_uint32 lease_change;
	pg_atomic_uint64 lease_until;
	pg_atomic_uint64 lease_term;

	pg_atomic_uint32 status_change;
	SharedStatus	 status;

	pg_atomic_uint32 detail_change;
	SharedDetail	 detail;

	pg_atomic_uint32 events_change;
	SharedEvents	 events;

	pg_atomic_uint32 statistics_change;
	Statistics		 statistics;

	/*
	 * Requests.  Backends exclude one another with the lock; one request is
	 * under way when posted is above answered, and then only the worker
	 * touches anything here, without the lock.
	 */
	LWLock			*request_lock;
	pg_atomic_uint64 posted;
	pg_atomic_uint64 answered;
	SharedRequest	 request;
	SharedAnswer	 answers[ANSWERS];
	Latch			*worker_latch; /* NULL: there is no worker */

	/* Sessions that wait for an answer, or for another leader. */
	ConditionVariable waiters;

	/* Who writes events, what it needs to know for that, and what it has found. */
	Latch			*recorder_latch;
	pg_atomic_uint32 store_change;
	SharedStore		 store;
	pg_atomic_uint32 health_change;
	char			 health[SHARED_HEALTH_SIZE];
} Shared;

static Shared *shared = NULL;

/* The worker has shown something that sessions may wait for, and has not woken them. */
static bool has_news = false;

/* ---- the postmaster ---- */

void
shared_request_memory(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Shared)));
	RequestNamedLWLockTranche(SHARED_NAME, 1);
}

void
shared_init_memory(void)
{
	bool found;

	/* after a crash this runs again, and the old address means nothing */
	shared = NULL;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(SHARED_NAME, sizeof(Shared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(Shared));
		pg_atomic_init_u32(&shared->lease_change, 0);
		pg_atomic_init_u64(&shared->lease_until, 0);
		pg_atomic_init_u64(&shared->lease_term, 0);
		pg_atomic_init_u32(&shared->status_change, 0);
		pg_atomic_init_u32(&shared->detail_change, 0);
		pg_atomic_init_u32(&shared->events_change, 0);
		pg_atomic_init_u32(&shared->statistics_change, 0);
		pg_atomic_init_u32(&shared->store_change, 0);
		pg_atomic_init_u32(&shared->health_change, 0);
		pg_atomic_init_u64(&shared->posted, 0);
		ConditionVariableInit(&shared->waiters);
		pg_atomic_init_u64(&shared->answered, 0);
		shared->request_lock = &(GetNamedLWLockTranche(SHARED_NAME))->lock;
		shared->status.node_id = -1;
		shared->status.leader_id = RAFT_NONE;
		shared->status.voted_for = RAFT_NONE;
		board_end_lease(parent_board());
		parent_tell(CONTROL_SHOWN);
	}
	LWLockRelease(AddinShmemInitLock);
}

bool
shared_available(void)
{
	return shared != NULL;
}

/* ---- change counters ---- */

static void
read_copy(pg_atomic_uint32 *change, void *copy, const void *source, size_t size)
{
	if (change_copy(change, copy, source, size))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("could not read the state of pg_leader"),
			 errdetail("The worker has not finished writing it for about a second."),
			 errhint("Check whether the worker process is stopped.")));
}

/* ---- the worker ---- */

static void
write_lease(uint64_t until, uint64_t term)
{
	change_begin(&shared->lease_change);
	pg_atomic_write_u64(&shared->lease_until, until);
	pg_atomic_write_u64(&shared->lease_term, term);
	change_end(&shared->lease_change);
}

/*
 * Never waits.  The latch may belong to another process by now; a spurious wake-up is
 * harmless.
 */
static void
wake(Latch *latch)
{
	if (latch != NULL)
		SetLatch(latch);
}

void
shared_end_lease(void)
{
	/* the board never says more than this memory: what is lost goes first there, what is won comes last */
	board_end_lease(parent_board());
	write_lease(0, 0);

	/* no datagram may leave while a reader could still see the old lease */
	pg_memory_barrier();
}

/* What the supervisor sees, once it is in this memory. */
static void
show_board(uint64_t lease_until)
{
	BoardShown shown = {.lease_until = lease_until,
						.lease_term = lease_until != 0 ? shared->status.term : 0,
						.term = shared->status.term,
						.leader_id = shared->status.leader_id,
						.paused = shared->status.paused};

	board_show(parent_board(), &shown);
}

/*
 * Fail the pending request: there is no worker.
 */
void
shared_refuse_requests(void)
{
	SharedRequest request;
	SharedAnswer  answer;

	memset(&answer, 0, sizeof(answer));
	answer.verdict = SHARED_NO_MEMBER;
	if (shared_next_request(&request))
		shared_answer_request(&request, &answer);
}

/*
 * Forget what an earlier worker showed; its events stay.
 */
static void
reset_status(SharedState state, int32_t node_id)
{
	change_begin(&shared->status_change);
	memset(&shared->status, 0, sizeof(shared->status));
	shared->status.state = state;
	shared->status.node_id = node_id;
	shared->status.leader_id = RAFT_NONE;
	shared->status.voted_for = RAFT_NONE;
	change_end(&shared->status_change);
	show_board(0);
}

void
shared_worker_start(int32_t node_id)
{
	shared_end_lease();
	reset_status(SHARED_STARTING, node_id);

	change_begin(&shared->detail_change);
	memset(&shared->detail, 0, sizeof(shared->detail));
	change_end(&shared->detail_change);

	change_begin(&shared->statistics_change);
	memset(&shared->statistics, 0, sizeof(shared->statistics));
	change_end(&shared->statistics_change);

	shared_hold_store(NULL);
	journal_boot_id(shared->events.boot_id);
	shared_refuse_requests();
	shared->worker_latch = MyLatch;
}

void
shared_worker_stop(void)
{
	shared_end_lease();
	reset_status(SHARED_NOT_RUNNING, shared->status.node_id);
	shared->worker_latch = NULL;
	shared_refuse_requests();
	parent_tell(CONTROL_SHOWN);
	has_news = true;
	shared_wake_waiters();
}

void
shared_publish_status(const SharedStatus *status, uint64_t lease_until)
{
	uint64_t before = pg_atomic_read_u64(&shared->lease_until);
	bool	 is_news = shared->status.term != status->term ||
				   shared->status.leader_id != status->leader_id ||
				   shared->status.paused != status->paused || shared->status.pause_known != status->pause_known ||
				   (lease_until == 0 && before != 0);

	/* what is lost goes first, what is won comes last */
	if (lease_until == 0)
		shared_end_lease();

	change_begin(&shared->status_change);
	memcpy(&shared->status, status, sizeof(*status));
	change_end(&shared->status_change);

	if (lease_until != 0)
		write_lease(lease_until, status->term);
	pg_memory_barrier();
	show_board(lease_until);

	/*
	 * A lease that was none, or had run out before anyone could see this one: the
	 * clock is read after it is shown.
	 */
	if (is_news || (lease_until != 0 && clock_now() >= before))
	{
		has_news = true;
		parent_tell(CONTROL_SHOWN);
	}
}

void
shared_publish_detail(const SharedDetail *detail)
{
	Assert(detail->n_peers <= RAFT_MAX_NODES);

	change_begin(&shared->detail_change);
	memcpy(&shared->detail, detail,
		   offsetof(SharedDetail, peers) + detail->n_peers * sizeof(SharedPeer));
	change_end(&shared->detail_change);
}

void
shared_hold_store(const Store *store)
{
	change_begin(&shared->store_change);
	memset(&shared->store, 0, sizeof(shared->store));
	if (store != NULL)
	{
		shared->store.is_held = true;
		shared->store.device = store->device;
		shared->store.inode = store->inode;
		strlcpy(shared->store.path, store->path, sizeof(shared->store.path));
	}
	change_end(&shared->store_change);
	wake(shared->recorder_latch);
}

void
shared_restore_event(const JournalEvent *event)
{
	Assert(event->number > shared->events.n_written);

	change_begin(&shared->events_change);
	shared->events.of[(event->number - 1) % SHARED_EVENTS] = *event;
	shared->events.n_written = event->number;
	change_end(&shared->events_change);
}

void
shared_publish_statistics(const Statistics *statistics, uint64_t peers)
{
	int i;

	change_begin(&shared->statistics_change);
	memcpy(&shared->statistics, statistics, offsetof(Statistics, peers));
	for (i = 0; peers != 0; i++, peers >>= 1)
	{
		if (peers & 1)
			shared->statistics.peers[i] = statistics->peers[i];
	}
	change_end(&shared->statistics_change);
}

void
shared_add_event(JournalEvent *event)
{
	event->number = shared->events.n_written + 1;
	memcpy(event->boot_id, shared->events.boot_id, JOURNAL_BOOT_ID);
	shared_restore_event(event);
	wake(shared->recorder_latch);
}

bool
shared_next_request(SharedRequest *request)
{
	if (pg_atomic_read_u64(&shared->posted) ==
		pg_atomic_read_u64(&shared->answered))
		return false;
	pg_read_barrier();
	*request = shared->request;
	return true;
}

void
shared_answer_request(const SharedRequest *request, const SharedAnswer *answer)
{
	shared->answers[request->number % ANSWERS] = *answer;
	pg_write_barrier();
	pg_atomic_write_u64(&shared->answered, request->number);
	has_news = true;
	shared_wake_waiters();
}

/*
 * Takes a spinlock that sessions hold for a few instructions, so it comes when nothing
 * is left to be sent.
 */
void
shared_wake_waiters(void)
{
	if (!has_news)
		return;
	has_news = false;
	ConditionVariableBroadcast(&shared->waiters);
}

/* ---- backends ---- */

uint64_t
shared_lease(uint64_t *term, uint64_t *now)
{
	int i;

	for (i = 0; i < CHANGE_READS; i++)
	{
		uint32	 before = pg_atomic_read_u32(&shared->lease_change);
		uint64_t until;

		if ((before & 1) == 0)
		{
			pg_read_barrier();
			until = pg_atomic_read_u64(&shared->lease_until);
			*term = pg_atomic_read_u64(&shared->lease_term);

			/*
			 * The clock is read between two looks at the counter: a lease that
			 * was given up before *now cannot pass for one that held at *now.
			 */
			pg_memory_barrier();
			*now = clock_now();
			pg_memory_barrier();
			if (pg_atomic_read_u32(&shared->lease_change) == before)
				return until > *now ? until : 0;
		}
		CHECK_FOR_INTERRUPTS();
		if (i >= CHANGE_READS_WITHOUT_PAUSE)
			pg_usleep(1000);
	}

	/* the writer was stopped in between; an unrenewed lease is treated as none */
	*term = 0;
	*now = clock_now();
	return 0;
}

void
shared_read_status(SharedStatus *status)
{
	read_copy(&shared->status_change, status, &shared->status, sizeof(*status));
}

uint64_t
shared_read_status_and_lease(SharedStatus *status, uint64_t *now)
{
	int i;

	/*
	 * A leader's status is shown before its lease, and its lease is withdrawn
	 * before its status: one that is read after a status that knows nothing of
	 * it was begun in between.
	 */
	for (i = 0; i < CHANGE_READS; i++)
	{
		uint64_t term;
		uint64_t until;

		shared_read_status(status);
		until = shared_lease(&term, now);
		if (until == 0 || (status->role == RAFT_LEADER && status->term == term))
			return until;
		CHECK_FOR_INTERRUPTS();
	}
	return 0;
}

bool
shared_peek_status(SharedStatus *status)
{
	return change_copy(&shared->status_change, status, &shared->status, sizeof(*status));
}

void
shared_recorder_start(void)
{
	shared->recorder_latch = MyLatch;
	pg_memory_barrier();
}

void
shared_recorder_stop(void)
{
	shared->recorder_latch = NULL;
}

uint64_t
shared_last_event(void)
{
	uint64_t last;

	return change_copy(&shared->events_change, &last, &shared->events.n_written, sizeof(last)) ? last : 0;
}

bool
shared_get_event(uint64_t number, JournalEvent *event)
{
	return change_copy(&shared->events_change, event, &shared->events.of[(number - 1) % SHARED_EVENTS],
					   sizeof(*event));
}

bool
shared_peek_store(SharedStore *store)
{
	return change_copy(&shared->store_change, store, &shared->store, sizeof(*store));
}

void
shared_publish_health(const char *health)
{
	if (strcmp(shared->health, health) == 0)
		return;
	change_begin(&shared->health_change);
	strlcpy(shared->health, health, sizeof(shared->health));
	change_end(&shared->health_change);
}

void
shared_read_health(const SharedDetail *detail, char *health)
{
	read_copy(&shared->health_change, health, shared->health, SHARED_HEALTH_SIZE);
	if (health[0] == '\0')
		strlcpy(health, detail->store_health, SHARED_HEALTH_SIZE);
}

void
shared_read_detail(SharedDetail *detail)
{
	read_copy(&shared->detail_change, detail, &shared->detail, sizeof(*detail));
}

bool
shared_member_host(int32_t node_id, char host[CLUSTER_HOST_SIZE])
{
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	bool		  found = false;
	uint32_t	  i;

	shared_read_detail(detail);
	for (i = 0; i < detail->n_peers && !found; i++)
	{
		char *from = detail->peers[i].address;
		char *colon = strrchr(from, ':');

		if (detail->peers[i].node_id != node_id || colon == NULL)
			continue;
		found = true;
		*colon = '\0';
		if (from[0] == '[')
		{
			from++;
			colon[-1] = '\0';
		}
		strlcpy(host, from, CLUSTER_HOST_SIZE);
	}
	pfree(detail);
	return found;
}

void
shared_read_events(SharedEvents *events)
{
	read_copy(&shared->events_change, events, &shared->events, sizeof(*events));
}

void
shared_read_statistics(Statistics *statistics)
{
	read_copy(&shared->statistics_change, statistics, &shared->statistics, sizeof(*statistics));
}

void
shared_wait(uint64_t until)
{
	uint64_t now = clock_now();

	if (now < until)
		(void) ConditionVariableTimedSleep(&shared->waiters,
										   (long) Min((until - now) / 1000 + 1, WAIT_AT_ONCE),
										   PG_WAIT_EXTENSION);
}

void
shared_wait_end(void)
{
	ConditionVariableCancelSleep();
}

/*
 * Put a request into the slot; 0 if another one is under way.
 */
static uint64_t
post_request(SharedRequestKind kind, int32_t target, uint64_t deadline)
{
	uint64_t number = 0;
	Latch	*latch;

	LWLockAcquire(shared->request_lock, LW_EXCLUSIVE);
	if (pg_atomic_read_u64(&shared->posted) ==
		pg_atomic_read_u64(&shared->answered))
	{
		number = pg_atomic_read_u64(&shared->posted) + 1;
		shared->request.number = number;
		shared->request.kind = kind;
		shared->request.target = target;
		shared->request.deadline = deadline;
		pg_write_barrier();
		pg_atomic_write_u64(&shared->posted, number);
	}
	LWLockRelease(shared->request_lock);

	latch = shared->worker_latch;
	if (latch != NULL)
		SetLatch(latch);
	return number;
}

void
shared_request(SharedRequestKind kind, int32_t target,
			   uint64_t deadline, SharedAnswer *answer)
{
	uint64_t number = 0;

	for (;; shared_wait(deadline))
	{
		memset(answer, 0, sizeof(*answer));
		if (number != 0 && pg_atomic_read_u64(&shared->answered) >= number)
		{
			pg_read_barrier();
			*answer = shared->answers[number % ANSWERS];
			pg_read_barrier();

			/* our answer was overwritten by later ones */
			if (pg_atomic_read_u64(&shared->answered) - number >= ANSWERS - 1)
				answer->verdict = SHARED_NO_ANSWER;
			break;
		}
		if (shared->worker_latch == NULL)
		{
			answer->verdict = SHARED_NO_MEMBER;
			break;
		}
		if (number == 0)
			number = post_request(kind, target, deadline);
		if (clock_now() >= deadline)
		{
			answer->verdict = SHARED_NO_ANSWER;
			break;
		}
	}
	shared_wait_end();
}
