/*
 * server/requests.c
 *	  SQL functions that ask a worker for something, or wait: hand over, switch over, pause,
 *	  admit, trust data, reset, wait for a leader.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "node/clock.h"
#include "server/exchange.h"
#include "server/fence.h"
#include "server/row.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/slots.h"
#include "server/status.h"
#include "server/switchover.h"

/* Longer waits than this are cut short; nobody means more. */
#define WAIT_MAX (INT64CONST(365) * USECS_PER_DAY)

/* The worker answers requests at once, if it is there and not stopped. */
#define ANSWER_WAIT UINT64CONST(5000000)

#define RETRY_AFTER	   UINT64CONST(20000) /* us between attempts, while others are bound by promises, or there is no lease */
#define SLOTS_INTERVAL 200				  /* ms between two looks at the slots of another member */

EXPORTED_FUNCTION(pg_stat_pg_leader_reset);
EXPORTED_FUNCTION(pg_leader_switchover);
EXPORTED_FUNCTION(pg_leader_transfer);
EXPORTED_FUNCTION(pg_leader_wait_for_leader);
EXPORTED_FUNCTION(pg_leader_admit);
EXPORTED_FUNCTION(pg_leader_pause);
EXPORTED_FUNCTION(pg_leader_resume);
EXPORTED_FUNCTION(pg_leader_trust_data);

/* How long argument n says to wait, as a moment of the election's clock. */
static uint64_t
wait_deadline(FunctionCallInfo fcinfo, int n)
{
	const Interval *wait;
	int64			days;
	int64			microseconds;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the time to wait must not be null")));
	wait = PG_GETARG_INTERVAL_P(n);
	days = (int64) wait->month * DAYS_PER_MONTH + wait->day;

	/* multiply only what cannot overflow */
	if (days > WAIT_MAX / USECS_PER_DAY)
		microseconds = WAIT_MAX;
	else if (days < -(WAIT_MAX / USECS_PER_DAY))
		microseconds = -1;
	else
		microseconds = days * USECS_PER_DAY +
					   Max(Min(wait->time, WAIT_MAX), -WAIT_MAX);
	if (microseconds < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot wait for a negative time"),
				 errhint("Give an interval of zero or more, such as '5s'.")));
	return clock_now() + (uint64_t) Min(microseconds, WAIT_MAX);
}

/* The worker's answer, or an error if there is none. */
static void
request(SharedRequestKind kind, int32_t target, uint64_t deadline, SharedAnswer *answer)
{
	require_library();
	shared_request(kind, target, deadline, answer);
	if (answer->verdict == SHARED_NO_MEMBER)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server does not take part in elections"),
				 errhint("The column \"state\" of pg_leader_status says why.")));
	if (answer->verdict == SHARED_NO_ANSWER)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("the worker of pg_leader did not answer in time"),
				 errhint("Check whether the worker process is stopped.")));
}

/* For a moment.  News, and the first call, end a wait early. */
static void
wait_to_retry(uint64_t deadline)
{
	uint64_t again = Min(deadline, clock_now() + RETRY_AFTER);

	while (clock_now() < again)
		shared_wait(again);
}

Datum
pg_stat_pg_leader_reset(PG_FUNCTION_ARGS)
{
	SharedAnswer answer;

	request(SHARED_RESET_STATISTICS, RAFT_NONE, clock_now() + ANSWER_WAIT, &answer);
	PG_RETURN_VOID();
}

Datum
pg_leader_admit(PG_FUNCTION_ARGS)
{
	SharedAnswer answer;

	request(SHARED_ADMIT, RAFT_NONE, clock_now() + ANSWER_WAIT, &answer);
	if (answer.verdict == SHARED_REFUSED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this member does not abstain"),
				 errhint("It votes already; there is nothing to do.")));
	ereport(LOG,
			(errmsg("pg_leader: role \"%s\" called pg_leader_admit()",
					GetUserNameFromId(GetUserId(), false))));
	PG_RETURN_VOID();
}

/* Where another member is the primary, its data count, and nothing has to be trusted. */
static void
check_no_primary(const Raft *raft)
{
	int32_t leader = raft->leader_id;

	if (leader >= 0 && leader != raft->config.node_id && raft->peers[leader].told.promoted)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node %d is the primary", leader),
				 errhint("This member goes by the data of the primary, without a person. \"pg_leaderctl list\" shows what it waits for.")));
}

/* Who calls it has looked at where this member's WAL ends, and says so. */
static void
check_wal_end(XLogRecPtr said)
{
	Raft *raft = palloc(sizeof(Raft));
	bool  is_read = exchange_read_core(raft);

	if (is_read)
		check_no_primary(raft);
	if (!is_read || !raft->data.known)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("where the WAL of this member ends is not known"),
				 errhint("pg_leader_server.wal_end shows it once the server has read its WAL.")));
	if (raft->data.position.index != said)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the WAL of this member does not end at %X/%X", LSN_FORMAT_ARGS(said)),
				 errdetail("It ends at %X/%X on timeline " UINT64_FORMAT ".", LSN_FORMAT_ARGS(raft->data.position.index),
						   (uint64) raft->data.position.epoch),
				 errhint("Compare pg_leader_server of all members that are left, and trust the one that has most.")));
}

Datum
pg_leader_trust_data(PG_FUNCTION_ARGS)
{
	XLogRecPtr	 end = PG_GETARG_LSN(0);
	SharedAnswer answer;

	require_managed();
	check_wal_end(end);
	request(SHARED_TRUST_DATA, RAFT_NONE, clock_now() + ANSWER_WAIT, &answer);
	if (answer.verdict == SHARED_REFUSED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the data of this member are not in doubt, or are being rebuilt"),
				 errhint("Nothing has changed. \"pg_leaderctl events\" shows why there is no primary.")));
	ereport(LOG,
			(errmsg("pg_leader: role \"%s\" called pg_leader_trust_data(): WAL ends at %X/%X",
					GetUserNameFromId(GetUserId(), false), LSN_FORMAT_ARGS(end))));
	PG_RETURN_VOID();
}

/* "Node 2 (10.0.0.12:3500) leads in term 7." */
static char *
describe_leader(void)
{
	SharedStatus  status;
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	const char	 *address;

	shared_read_status(&status);
	shared_read_detail(detail);
	if (status.state == SHARED_NOT_TAKING_PART)
		return psprintf("This server does not take part in elections: %s.", status_reason(&status));
	if (status.state != SHARED_TAKING_PART)
		return pstrdup("The worker of pg_leader is not running.");
	address = status_address(detail, status.leader_id);
	if (status.leader_id < 0 || address == NULL)
		return psprintf("This member is a %s in term " UINT64_FORMAT " and knows of no leader.",
						raft_role_name(status.role), (uint64) status.term);
	return psprintf("Node %d (%s) leads in term " UINT64_FORMAT ".",
					status.leader_id, address, (uint64) status.term);
}

/* Why the transfer was refused, as an error. */
static void
refuse_transfer(RaftTransferResult result, int32_t target)
{
	switch (result)
	{
		case RAFT_TRANSFER_NOT_LEADER:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("this member is not the leader"),
					 errdetail_internal("%s", describe_leader()),
					 errhint("Call pg_leader_transfer() on the leader.")));
			break;
		case RAFT_TRANSFER_TO_SELF:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("node %d is this member, which is already the leader", target)));
			break;
		case RAFT_TRANSFER_UNKNOWN_NODE:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("node %d is not a member of the cluster", target),
					 errhint("pg_leader_peers lists the members.")));
			break;
		case RAFT_TRANSFER_UNREACHABLE:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("node %d does not answer", target),
					 errhint("Choose another member, or omit the target.")));
			break;
		case RAFT_TRANSFER_CANNOT_LEAD:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("node %d cannot lead", target),
					 errdetail("It abstains, pg_leader.candidate is off there, or it has a different member list.")));
			break;
		case RAFT_TRANSFER_BEHIND:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the data of node %d is older than this member's", target)));
			break;
		case RAFT_TRANSFER_BOUND:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 target == RAFT_NONE ? errmsg("the members that could lead are still bound by a promise to an earlier leader") : errmsg("node %d is still bound by a promise to an earlier leader", target),
					 errhint("That lasts for pg_leader.min_timeout after a restart or an election: wait a little longer.")));
			break;
		case RAFT_TRANSFER_NO_TARGET:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no other member can lead"),
					 errhint("pg_leader_peers shows which members are reachable and may lead.")));
			break;
		case RAFT_TRANSFER_STARTED:
			break;
	}
}

Datum
pg_leader_transfer(PG_FUNCTION_ARGS)
{
	int32_t		 target = PG_ARGISNULL(0) ? RAFT_NONE : PG_GETARG_INT32(0);
	uint64_t	 deadline;
	SharedAnswer answer;
	SharedStatus status;

	require_library();
	if (!PG_ARGISNULL(0) && target < 0)
		refuse_transfer(RAFT_TRANSFER_UNKNOWN_NODE, target);
	if (status_read(&status) && status.paused)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the cluster is paused, and no other member would be promoted"),
				 errhint("Call pg_leader_resume() on the leader first.")));
	deadline = wait_deadline(fcinfo, 1);

	/* a short wait is for the new leader, not for the worker's answer */
	for (;;)
	{
		request(SHARED_TRANSFER, target, clock_now() + ANSWER_WAIT, &answer);
		if (answer.verdict != SHARED_REFUSED || answer.result != RAFT_TRANSFER_BOUND ||
			clock_now() >= deadline)
			break;
		wait_to_retry(deadline);
	}
	if (answer.verdict == SHARED_REFUSED)
		refuse_transfer(answer.result, target);

	for (;;)
	{
		if (status_read(&status) && status.term > answer.term && status.leader_id >= 0)
		{
			shared_wait_end();
			if (status.leader_id != status.node_id)
				PG_RETURN_INT32(status.leader_id);
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the hand-over failed, and this member was elected again"),
					 errdetail("It gave up term " UINT64_FORMAT " and was elected in term " UINT64_FORMAT ".",
							   (uint64) answer.term, (uint64) status.term)));
		}
		if (clock_now() >= deadline)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("timed out while waiting for the new leader"),
					 errdetail("This member gave up the leadership of term " UINT64_FORMAT ". %s",
							   (uint64) answer.term, describe_leader()),
					 errhint("A new leader is elected automatically; see pg_leader_status.")));
		shared_wait(deadline);
	}
}

/* ---- switchover ---- */

static void
check_switchover(int32_t target)
{
	char host[CLUSTER_HOST_SIZE];

	if (!settings.manage)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_leader.manage is off: the leader is not the primary, and there is nothing to switch over"),
				 errhint("Call pg_leader_transfer() to hand over the leadership alone.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server is not the primary"),
				 errdetail_internal("%s", describe_leader()),
				 errhint("Call pg_leader_switchover() on the primary, or use \"pg_leaderctl switchover\".")));
	if (target == settings.node_id)
		refuse_transfer(RAFT_TRANSFER_TO_SELF, target);
	if (target != RAFT_NONE && !shared_member_host(target, host))
		refuse_transfer(RAFT_TRANSFER_UNKNOWN_NODE, target);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("pg_leader_switchover() cannot be called in a transaction that has written something"),
				 errdetail("Its commit would be one of those that a switchover waits for."),
				 errhint("Call it by itself.")));
}

static const char *
hint_of_switchover(SwitchoverReason reason)
{
	switch (reason)
	{
		case SWITCHOVER_NOT_OPEN:
			return "pg_leader_fence says why.";
		case SWITCHOVER_TARGET_LOST:
			return "pg_leader_peers shows which members are reachable and may lead; \"pg_leaderctl list\" says why not.";
		case SWITCHOVER_PAUSED:
			return "Call pg_leader_resume() first.";
		case SWITCHOVER_CHECKPOINT_SLOW:
			return "Run CHECKPOINT before, or give it more time to wait.";
		case SWITCHOVER_COMMITS_WAIT:
		case SWITCHOVER_TARGET_BEHIND:
			return "pg_stat_replication shows how far each standby is.";
		default:
			return "\"pg_leaderctl list\" shows what each member is doing.";
	}
}

static void
refuse_switchover(const SwitchoverAnswer *answer)
{
	bool is_begun = answer->step != SWITCHOVER_IDLE;
	bool is_lost = answer->reason == SWITCHOVER_LEADERSHIP_LOST;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 is_begun ? errmsg("the switchover to node %d was given up: %s", answer->target, switchover_describe(answer->reason)) : errmsg("no switchover: %s", switchover_describe(answer->reason)),
			 is_begun && !is_lost ? errdetail("It had come to the step \"%s\". This server is the primary as before.", switchover_step_name(answer->step)) : 0,
			 errhint("%s", hint_of_switchover(answer->reason))));
}

/* Until the target has the logical slots that are to survive; an error at the deadline. */
static void
wait_for_slots(int32_t target, uint64 deadline)
{
	Raft *raft = palloc(sizeof(Raft));
	Words words;

	if (target == RAFT_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a switchover that waits for logical slots needs a target")));
	(void) words_set(&words, NULL, "it is not known yet how to ask node %d for its slots", target);
	while (!exchange_read_core(raft) || !slots_are_ready(raft, target, &words))
	{
		if (clock_now() >= deadline)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no switchover: %s", words.error),
					 words.hint[0] != '\0' ? errhint("%s", words.hint) : 0));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SLOTS_INTERVAL, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * The primary becomes a standby, and the target the primary.  This server stops soon after the answer
 * has gone out, so nothing may keep it from that: by itself, its transaction has read nothing that could
 * be wrong.
 */
Datum
pg_leader_switchover(PG_FUNCTION_ARGS)
{
	SwitchoverAsked	 asked = {.target = PG_ARGISNULL(0) ? RAFT_NONE : PG_GETARG_INT32(0)};
	SwitchoverAnswer answer;
	uint64			 deadline;
	uint64			 now;

	require_library();
	if (!PG_ARGISNULL(0) && asked.target < 0)
		refuse_transfer(RAFT_TRANSFER_UNKNOWN_NODE, asked.target);
	deadline = wait_deadline(fcinfo, 1);
	check_switchover(asked.target);
	if (!PG_ARGISNULL(2) && PG_GETARG_BOOL(2))
		wait_for_slots(asked.target, deadline);
	now = clock_now();
	asked.wait = deadline > now ? deadline - now : 0;
	if (!switchover_ask(&asked, &answer))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another switchover is under way"),
				 errhint("\"pg_leaderctl events\" shows what has come of it.")));
	if (answer.reason != SWITCHOVER_GOES_ON)
		refuse_switchover(&answer);
	if (!IsTransactionBlock())
		fence_trust_read();
	ereport(LOG,
			(errmsg("pg_leader: role \"%s\" called pg_leader_switchover(), and node %d leads",
					GetUserNameFromId(GetUserId(), false), answer.leader)));
	PG_RETURN_INT32(answer.leader);
}

Datum
pg_leader_wait_for_leader(PG_FUNCTION_ARGS)
{
	uint64_t deadline;

	require_library();
	deadline = wait_deadline(fcinfo, 0);
	for (;;)
	{
		SharedStatus status;
		bool		 takes_part = status_read(&status);
		const char	*hint = "pg_leader_peers shows which members are reachable.";
		uint64_t	 term;
		uint64_t	 now;

		if (takes_part && status.leader_id >= 0 &&
			(status.leader_id != status.node_id || shared_lease(&term, &now) != 0))
		{
			shared_wait_end();
			PG_RETURN_INT32(status.leader_id);
		}
		if (!takes_part)
			hint = "The column \"state\" of pg_leader_status says why.";
		if (clock_now() >= deadline)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("timed out while waiting for a leader"),
					 errdetail_internal("%s", describe_leader()),
					 errhint("%s", hint)));
		shared_wait(deadline);
	}
}

/* ---- pause, resume ---- */

static void
refuse_pause(RaftPauseResult result)
{
	if (result == RAFT_PAUSE_NOT_LEADER)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this member is not the leader"),
				 errdetail_internal("%s", describe_leader()),
				 errhint("Call pg_leader_pause() and pg_leader_resume() on the leader, or use \"pg_leaderctl\".")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the cluster can be neither paused nor resumed: %s", raft_describe_pause(result))));
}

/* Until a majority has stored it, so that no later leader misses it. */
static void
wait_for_majority(uint64_t term, uint64_t deadline)
{
	static const char *const may_be = "It may come into force all the same. Look at pg_leader_status, and call it again on the leader.";
	SharedStatus			 status;

	for (;;)
	{
		bool leads = status_read(&status) && status.role == RAFT_LEADER && status.term == term;

		if (leads && status.pause_known)
			break;
		if (!leads)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("this member lost the leadership before a majority had stored that"),
					 errdetail_internal("%s", describe_leader()),
					 errhint("%s", may_be)));
		if (clock_now() >= deadline)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("timed out while waiting for a majority to store that"),
					 errhint("%s", may_be)));
		shared_wait(deadline);
	}
	shared_wait_end();
}

static void
pause_or_resume(FunctionCallInfo fcinfo, SharedRequestKind kind)
{
	uint64_t	 deadline;
	SharedAnswer answer;

	require_library();
	deadline = wait_deadline(fcinfo, 0);
	for (;;)
	{
		request(kind, RAFT_NONE, clock_now() + ANSWER_WAIT, &answer);
		if (answer.verdict != SHARED_REFUSED || answer.pause != RAFT_PAUSE_NO_LEASE || clock_now() >= deadline)
			break;
		wait_to_retry(deadline);
	}
	if (answer.verdict == SHARED_REFUSED)
		refuse_pause(answer.pause);
	ereport(LOG,
			(errmsg("pg_leader: role \"%s\" called pg_leader_%s()",
					GetUserNameFromId(GetUserId(), false), kind == SHARED_PAUSE ? "pause" : "resume")));
	wait_for_majority(answer.term, deadline);
}

Datum
pg_leader_pause(PG_FUNCTION_ARGS)
{
	pause_or_resume(fcinfo, SHARED_PAUSE);
	PG_RETURN_VOID();
}

Datum
pg_leader_resume(PG_FUNCTION_ARGS)
{
	pause_or_resume(fcinfo, SHARED_RESUME);
	PG_RETURN_VOID();
}
