/*
 * server/receiver.c
 *	  PostgreSQL's WAL receiver in managed mode: whom it may connect to, what it may report.
 *
 * See receiver.h.
 */
#include "postgres.h"

#include <signal.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "postmaster/interrupt.h"
#include "replication/walreceiver.h"
#include "storage/latch.h"
#include "storage/spin.h"

#include "server/compat.h"
#include "server/exchange.h"
#include "server/receiver.h"
#include "server/senders.h"
#include "server/settings.h"

/* A status update: the byte 'r', then what was written, flushed and applied. */
#define STATUS_UPDATE	 'r'
#define STATUS_FLUSH_AT	 9
#define STATUS_FLUSH_END 17

static WalReceiverFunctionsType *theirs;
static WalReceiverFunctionsType	 ours;

static char connected_with[EXCHANGE_CONNINFO_SIZE];

static WalReceiverConn *
connect_if_allowed(COMPAT_WALRCV_CONNECT_PARAMETERS)
{
	bool		is_expected = false;
	const char *why_not = MyBackendType == B_WAL_RECEIVER ? exchange_may_connect(conninfo, &is_expected) : NULL;

	if (why_not != NULL)
	{
		*err = pstrdup(why_not);
		return NULL;
	}
	strlcpy(connected_with, conninfo, sizeof(connected_with));
	if (is_expected)
		conninfo = psprintf("%s options='" SENDERS_MARK "'", conninfo, settings.node_id);
	return (theirs->walrcv_connect)(COMPAT_WALRCV_CONNECT_ARGUMENTS);
}

/*
 * A slot that the leader does not have, or that was invalidated, must not keep WAL away: it comes
 * without one then, and the leader goes by what this member says that it has flushed.
 */
static bool
start(WalReceiverConn *connection, const WalRcvStreamOptions *options)
{
	WalRcvStreamOptions without = *options;
	MemoryContext		context = CurrentMemoryContext;
	volatile bool		failed = false;
	volatile bool		starts = false;
	ErrorData		   *error;

	without.slotname = NULL;
	if (options->logical || options->slotname == NULL)
		return (theirs->walrcv_startstreaming)(connection, options);
	PG_TRY();
	{
		starts = (theirs->walrcv_startstreaming)(connection, options);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		failed = true;
		ereport(LOG,
				(errmsg("pg_leader: the WAL receiver goes on without the replication slot \"%s\": %s", options->slotname, error->message)));
	}
	PG_END_TRY();
	return failed ? (theirs->walrcv_startstreaming)(connection, &without) : starts;
}

/* How often a receiver that is connected looks whether it may begin, if nobody wakes it; ms. */
#define LOOK_INTERVAL 10

/*
 * What PostgreSQL shows as flushed on a timeline is, until something of it has come, where a receiver
 * was first asked to begin, whether or not that one could.
 */
static void
begin_at(XLogRecPtr start, TimeLineID timeline)
{
	if (!exchange_has_received_on(timeline))
	{
		SpinLockAcquire(&WalRcv->mutex);
		WalRcv->flushedUpto = start;
		WalRcv->latestChunkStart = start;
		SpinLockRelease(&WalRcv->mutex);
	}
	exchange_receives_on(timeline);
}

static void
begin(const WalRcvStreamOptions *options)
{
	XLogRecPtr	start = options->startpoint;
	TimeLineID	timeline = options->proto.physical.startpointTLI;
	PrimaryHeld held = exchange_held();
	bool		is_left_alone = exchange_gate() == EXCHANGE_LEFT_ALONE;

	held.received = GetWalRcvFlushRecPtr(NULL, NULL);
	if (primary_may_begin(&held, start, timeline) || (held.end == 0 && is_left_alone))
		begin_at(start, timeline);
	else if (!is_left_alone)
	{
		exchange_turn_back(held.end);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_leader: WAL from %X/%X of timeline %u is asked for, and this server has it up to %X/%X of timeline %u only",
						LSN_FORMAT_ARGS(start), timeline, LSN_FORMAT_ARGS(held.end), held.timeline),
				 errdetail("It has read the beginning of a record that a former leader has not finished.")));
	}
}

static bool
start_when_allowed(WalReceiverConn *connection, const WalRcvStreamOptions *options)
{
	ExchangePass pass;

	while (!options->logical && (pass = exchange_may_receive(connected_with)) != EXCHANGE_PASS)
	{
		if (pass == EXCHANGE_TURN_BACK || ShutdownRequestPending)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("pg_leader: this server follows another leader, or none")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_INTERVAL, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	if (!options->logical)
		begin(options);
	return start(connection, options);
}

/* The workers of subscriptions report by the same function, and what they do is none of the receiver's. */
static void
send_if_allowed(WalReceiverConn *connection, const char *message, int length)
{
	uint64 flush;

	if (MyBackendType == B_WAL_RECEIVER && length >= STATUS_FLUSH_END && message[0] == STATUS_UPDATE)
	{
		memcpy(&flush, message + STATUS_FLUSH_AT, sizeof(flush));
		if (!exchange_may_report(pg_ntoh64(flush)))
			return;
	}
	(theirs->walrcv_send)(connection, message, length);
}

/*
 * A receiver loads libpqwalreceiver, which sets the pointer to its table.  It is loaded
 * once in a process, and each inherits it from the postmaster.
 */
void
receiver_register(void)
{
	load_file("libpqwalreceiver", false);
	theirs = WalReceiverFunctions;
	ours = *theirs;
	ours.walrcv_connect = connect_if_allowed;
	ours.walrcv_startstreaming = start_when_allowed;
	ours.walrcv_send = send_if_allowed;
	WalReceiverFunctions = &ours;
}

ReceiverView
receiver_look(void)
{
	ReceiverView view;
	bool		 streams; /* PostgreSQL says so from the receiver's first step on */
	pid_t		 pid;

	SpinLockAcquire(&WalRcv->mutex);
	pid = WalRcv->pid;
	view.runs = WalRcv->walRcvState != WALRCV_STOPPED || pid != 0;
	streams = WalRcv->walRcvState == WALRCV_STREAMING;
	view.asked = WalRcv->receiveStart != 0;
	view.timeline = WalRcv->receivedTLI;
	view.flushed = exchange_has_received_on(view.timeline) ? WalRcv->flushedUpto : 0;
	view.leader_end = WalRcv->latestWalEnd;
	SpinLockRelease(&WalRcv->mutex);
	view.waits = pid != 0 && pid == exchange_waiting_receiver();
	view.streams = streams && !view.waits;
	return view;
}

/*
 * It flushes what it has written before it ends, so that a position is read after that.
 */
bool
receiver_end(void)
{
	ReceiverView view = receiver_look();
	pid_t		 pid = WalRcv->pid;

	if (pid != 0 && !view.waits)
		kill(pid, SIGTERM);
	return !view.runs || view.waits;
}
