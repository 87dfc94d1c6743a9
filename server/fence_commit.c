/*
 * server/fence_commit.c
 *	  What a transaction meets at the fence: before its commit, and before its answer.
 *
 * Rule 16.  In CommitTransaction the order is: deferred triggers; PRE_COMMIT, where an error is
 * still an error; the commit record, its flush and the synchronous wait, behind the shield; the
 * row becomes visible; COMMIT, where an error would be a PANIC.  So there the answer is
 * withheld without one: the client gets a hand-made FATAL 08007, and after that nothing.
 *
 * Commands whose refusal at their end would leave something behind are refused at their
 * beginning.
 *
 * A logical replication worker tells its publisher that something is safe once it is flushed
 * here.  It finishes prepared transactions past all hooks, and after a restart it counts as flushed
 * what its predecessor has applied.  So each transaction of such a worker waits at its end, also
 * one without an xid, until enough members hold all WAL up to there.
 */
#include "postgres.h"
#include "server/port.h"

#include <sys/socket.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "libpq/libpq.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "replication/logicalworker.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/guc.h"

#include "server/compat.h"
#include "server/fence.h"
#include "server/login.h"
#include "server/settings.h"
#include "server/shield.h"

/* How soon it is looked again whether a commit can be answered, ms. */
#define ANSWER_INTERVAL 2

static ProcessUtility_hook_type previous_utility_hook = NULL;

/* COMMIT PREPARED and ROLLBACK PREPARED are done before the transaction around them, which has no xid. */
static bool finishes_prepared = false;

/*
 * Does this transaction leave WAL behind?  One that does not (temporary tables, NOTIFY, an xid and
 * nothing else) leaves nothing that could be lost: PostgreSQL neither flushes nor waits for its
 * commit.  PREPARE TRANSACTION always does, also if nothing was written before it.
 */
static bool has_written = false;

/* fence_trust_read() was called in it. */
static bool is_trusted = false;

/*
 * What is nobody's: autovacuum's sessions tell no client, and commit with synchronous_commit
 * = local; so does a session that ends and drops its temporary tables.  initdb and single-user
 * mode have no fence.
 */
static bool
is_outside(void)
{
	return !IsUnderPostmaster || IsBinaryUpgrade || compat_is_autovacuum() || proc_exit_inprogress;
}

/* ---- before ---- */

static void
refuse(FenceCount count, const char *what)
{
	char why[FENCE_TEXT_SIZE];
	char leader[FENCE_TEXT_SIZE];

	fence_sleep_end();
	fence_set_step(FENCE_STEP_NONE);
	fence_count(count);
	(void) fence_describe(NULL, why);
	ereport(FATAL,
			(errcode(ERRCODE_ADMIN_SHUTDOWN),
			 errmsg("pg_leader: %s", what),
			 why[0] != '\0' ? errdetail("This server does not answer commits now: %s.", why) : 0,
			 *fence_describe_leader(leader) != '\0' ? errhint("%s", leader) : errhint("Connect again and repeat it.")));
}

/*
 * FATAL if it does not open in time: connection pools throw such a connection away, and keep
 * one that gets "read-only transaction".
 */
static void
wait_until_open(FenceCount count, const char *what)
{
	FenceLook	 look = fence_look();
	uint64		 begun = look.now;
	FenceVerdict verdict;
	bool		 waited = false;

	while ((verdict = fence_begin(look.is_open, look.drains, look.now - begun, fence_wait_limit())) == FENCE_WAIT)
	{
		if (!waited)
			fence_set_step(FENCE_STEP_BEGINS);
		waited = true;
		fence_sleep();
		look = fence_look();
	}
	if (verdict == FENCE_REFUSE)
		refuse(count, what);
	if (!waited)
		return;
	fence_sleep_end();
	fence_set_step(FENCE_STEP_NONE);
	fence_count(FENCE_WAITED);
}

static bool
may_be_local(void)
{
	return settings.allow_local_commit && synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH;
}

/*
 * For this transaction only: undone at its end.  In a logical replication worker as its subscription's
 * own setting is made, so that the COMMIT PREPARED that comes next waits as well.
 */
static void
raise_synchronous_commit(void)
{
	if (synchronous_commit >= SYNCHRONOUS_COMMIT_REMOTE_FLUSH || may_be_local())
		return;
	if (IsLogicalWorker())
		SetConfigOption("synchronous_commit", "on", PGC_BACKEND, PGC_S_OVERRIDE);
	else
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static void
begin_commit(void)
{
	raise_synchronous_commit();
	shield_raise();
	fence_set_step(FENCE_STEP_COMMITS);
}

static void
end_commit(void)
{
	finishes_prepared = false;
	fence_set_step(FENCE_STEP_NONE);
	shield_lower();
}

/*
 * A hand-over waits for the commits that have begun, so it must not look between the two: who
 * has begun looks at it once more.
 */
static void
begin_commit_when_open(FenceCount count, const char *what)
{
	for (;;)
	{
		wait_until_open(count, what);
		begin_commit();
		if (!fence_holds_back())
			return;
		end_commit();
	}
}

void
fence_trust_read(void)
{
	is_trusted = true;
}

static bool
is_fenced_read(void)
{
	return settings.read_fence && !is_trusted && IsNormalProcessingMode() && MyProcPort != NULL && !am_walsender && !login_is_exempt() &&
		   !finishes_prepared && !RecoveryInProgress();
}

static void
before_commit(bool is_prepare)
{
	has_written = is_prepare || XactLastRecEnd != 0 || IsLogicalWorker();
	if (proc_exit_inprogress)
		synchronous_commit = SYNCHRONOUS_COMMIT_LOCAL_FLUSH;
	if (is_outside())
		return;
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		begin_commit_when_open(FENCE_COMMITS_REFUSED, "nothing of this transaction was committed");
	else if (IsLogicalWorker())
		begin_commit();
	else if (is_fenced_read())
		wait_until_open(FENCE_READS_REFUSED, "what this transaction has read may be out of date");
}

/* ---- the answer ---- */

static void
append_field(char *message, size_t *length, char field, const char *value)
{
	message[(*length)++] = field;
	memcpy(message + *length, value, strlen(value) + 1);
	*length += strlen(value) + 1;
}

/* An ErrorResponse as ereport() would send it. */
static void
send_unknown(void)
{
	char   message[512];
	size_t length = 0;

	append_field(message, &length, 'S', "FATAL");
	append_field(message, &length, 'V', "FATAL");
	append_field(message, &length, 'C', "08007");
	append_field(message, &length, 'M', "pg_leader: whether this transaction is committed is not known");
	append_field(message, &length, 'D', "The commit was written here, and this server may no longer say that enough members hold it.");
	append_field(message, &length, 'H', "Connect to the leader and look before you repeat it.");
	message[length++] = '\0';
	pq_putmessage_noblock('E', message, length);
	(void) pq_flush_if_writable();
}

/*
 * Nothing may leave after that message, whatever is still in PostgreSQL's buffer: the socket takes
 * no more.  The process ends at its next chance.
 */
static void
withhold(void)
{
	fence_count(FENCE_WITHHELD);
	if (whereToSendOutput == DestRemote && MyProcPort != NULL)
	{
		send_unknown();
		(void) shutdown(MyProcPort->sock, SHUT_WR);
	}
	whereToSendOutput = DestNone;
	ereport(LOG,
			(errmsg("pg_leader: the answer to a commit is withheld, and this session ends"),
			 errdetail("The fence is closed, or not enough members hold the commit.")));
	ProcDiePending = true;
	InterruptPending = true;
}

/*
 * Wait until the commit that ends there may be answered; or withhold the answer.  A logical
 * replication worker has no client, and is not to begin again and again while the fence is closed.
 */
static void
answer(XLogRecPtr end)
{
	uint64_t	 limit = IsLogicalWorker() ? PG_UINT64_MAX : fence_wait_limit();
	FenceVerdict verdict;
	uint64		 closed_since = 0;
	bool		 answers;

	for (;;)
	{
		FenceLook look = fence_look_at(end, &answers);

		answers |= look.is_open && (may_be_local() || !has_written);
		if (look.is_open)
			closed_since = 0;
		else if (closed_since == 0)
			closed_since = look.now;
		verdict = fence_answer(answers, look.is_open, shield_has_term(),
							   closed_since != 0 ? look.now - closed_since : 0, limit);
		if (verdict != FENCE_WAIT)
			break;
		fence_set_step(FENCE_STEP_ANSWERS);
		if ((WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, ANSWER_INTERVAL, PG_WAIT_EXTENSION) &
			 WL_POSTMASTER_DEATH) != 0)
		{
			verdict = FENCE_REFUSE;
			break;
		}
		ResetLatch(MyLatch);
	}
	if (verdict == FENCE_REFUSE)
		withhold();
}

/*
 * Where the WAL ends that has to be held before this transaction is answered; 0: there is none.  The
 * xid is asked for again: NOTIFY gets one after PRE_COMMIT.
 */
static XLogRecPtr
end_of_commit(void)
{
	if (finishes_prepared || TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return XactLastCommitEnd;
	return IsLogicalWorker() ? GetFlushRecPtr(NULL) : InvalidXLogRecPtr;
}

/* At PREPARE PostgreSQL has forgotten where the record ends, which is flushed. */
static void
at_transaction(XactEvent event, void *argument)
{
	XLogRecPtr end;

	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		is_trusted = false;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			before_commit(event == XACT_EVENT_PRE_PREPARE);
			break;
		case XACT_EVENT_COMMIT:
			end = end_of_commit();
			if (XLogRecPtrIsInvalid(end))
				break;
			if (!is_outside())
				answer(end);
			end_commit();
			break;
		case XACT_EVENT_PREPARE:
			if (!is_outside())
				answer(GetFlushRecPtr(NULL));
			end_commit();
			break;
		case XACT_EVENT_ABORT:
			end_commit();
			break;
		default:
			break;
	}
}

/* A command that has waited, or COMMIT PREPARED, has failed after a savepoint. */
static void
at_subtransaction(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *argument)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_commit();
}

/* ---- commands ---- */

static bool
detaches_concurrently(const AlterTableStmt *statement)
{
	ListCell *cell;

	foreach(cell, statement->cmds)
	{
		const AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype == AT_DetachPartition && ((const PartitionCmd *) command->def)->concurrent)
			return true;
	}
	return false;
}

static bool
ends_prepared(const Node *statement)
{
	TransactionStmtKind kind;

	if (!IsA(statement, TransactionStmt))
		return false;
	kind = ((const TransactionStmt *) statement)->kind;
	return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

/* Refused at its end, it would have done something all the same. */
static bool
begins_open(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_AlterDatabaseStmt:
		case T_CreateTableSpaceStmt:
		case T_DropTableSpaceStmt:
		case T_VacuumStmt:
		case T_ClusterStmt:
		case T_ReindexStmt:
		case T_CreateSubscriptionStmt:
		case T_AlterSubscriptionStmt:
		case T_DropSubscriptionStmt:
			return true;
		case T_IndexStmt:
			return ((const IndexStmt *) statement)->concurrent;
		case T_DropStmt:
			return ((const DropStmt *) statement)->concurrent;
		case T_AlterTableStmt:
			return detaches_concurrently((const AlterTableStmt *) statement);
		default:
			return ends_prepared(statement);
	}
}

static void
before_command(PlannedStmt *planned, const char *query, bool read_only_tree, ProcessUtilityContext context,
			   ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *destination,
			   QueryCompletion *completion)
{
	const Node *statement = planned->utilityStmt;

	if (begins_open(statement) && !is_outside() && !RecoveryInProgress())
	{
		if (ends_prepared(statement))
		{
			begin_commit_when_open(FENCE_COMMANDS_REFUSED, "this command was not begun");
			finishes_prepared = true;
		}
		else
			wait_until_open(FENCE_COMMANDS_REFUSED, "this command was not begun");
	}
	else if (IsA(statement, NotifyStmt) && !is_outside() && !RecoveryInProgress())
		(void) GetTopTransactionId(); /* so that it is a commit like others, behind the shield */
	if (previous_utility_hook)
		(previous_utility_hook)(planned, query, read_only_tree, context, parameters, environment, destination, completion);
	else
		standard_ProcessUtility(planned, query, read_only_tree, context, parameters, environment, destination, completion);
}

void
fence_register(void)
{
	RegisterXactCallback(at_transaction, NULL);
	RegisterSubXactCallback(at_subtransaction, NULL);
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = before_command;
}
