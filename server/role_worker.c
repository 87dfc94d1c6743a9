/*
 * server/role_worker.c
 *	  The process that makes of this server what it should be: standby or primary.
 *
 * A background worker of its own beside the election's, which must never wait: this one
 * reads WAL, asks other servers, writes settings.  Managed mode only.
 *
 * One turn: look at the election's core and at this server, tell the member what its data
 * are, ask primary/decide.c, obey.  Woken by whatever the election worker shows that
 * matters, and in any case after a while.  What it knows ends with it; the next one looks
 * again.
 *
 * The exit code is always 1: with 0 the postmaster would not start it again.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/resowner.h"

#include "node/clock.h"
#include "server/compat.h"
#include "server/fence.h"
#include "server/health.h"
#include "server/library.h"
#include "server/once_a_minute.h"
#include "server/parent.h"
#include "server/promotion.h"
#include "server/role.h"
#include "server/role_worker.h"
#include "server/settings.h"
#include "server/shared.h"

/*
 * The longest pause between two turns, ms: while this server is about to open or hands over, when something
 * else is under way, and otherwise.
 */
#define OPENING_PAUSE 2
#define SHORT_PAUSE	  10
#define LONG_PAUSE	  100

/* How often recovery is woken, so that a promotion does not wait for one of its pauses; us. */
#define WAKE_INTERVAL UINT64CONST(10000)

/* How long another member's PostgreSQL may take for an answer, us. */
#define UPSTREAM_PATIENCE UINT64CONST(1000000)

Role role;

static volatile sig_atomic_t leave_requested = false;

static void
handle_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	leave_requested = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* Asked all the time, also while another member's answer or the end of WAL is waited for. */
bool
role_stops(void)
{
	exchange_count_step();
	return leave_requested || !PostmasterIsAlive();
}

void
role_say_failed(int level, uint64_t *last, const char *what, const Words *words)
{
	if (once_a_minute(last, role.now))
		ereport(level,
				(errmsg("pg_leader: %s: %s", what, words->error),
				 words->hint[0] != '\0' ? errhint("%s", words->hint) : 0));
}

/* ---- the channel ---- */

static void
read_channel(void)
{
	ControlMessage message;
	ssize_t		   length;
	const char	  *wrong;

	while (parent_channel() >= 0 && (length = recv(parent_channel(), &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC)) >= 0)
	{
		if (length == 0)
		{
			ereport(WARNING, (errmsg("pg_leader: the supervisor is gone")));
			parent_is_gone();
			return;
		}
		wrong = control_check(&message, (size_t) length);
		if (wrong != NULL)
			ereport(WARNING,
					(errmsg("pg_leader: cannot understand the supervisor: %s", wrong),
					 errhint("Restart the supervisor: it is of another version than the library.")));
		else if (message.type == CONTROL_DIRECTORY)
		{
			role.directory = message.directory;
			if (role.wrote_on == 0 && !promotion_of_copy())
				role.wrote_on = message.wrote_on;
		}
		else if (message.type == CONTROL_STOPS)
			role.leaves = true;
	}
}

/* ---- one turn ---- */

/* Another process is the member by now, with what its state file says. */
static void
forget_member(void)
{
	role.life = role.raft.saved.boot;
	role.noted = false;
	role.following = (WatchFollowing){0};
	watch_forget_leading(&role.leading);
	role.open = false;
	fence_set(0, false);
	role.asked = 0;
	promotion_revoke();
}

static void
look_at_member(void)
{
	uint64_t term;
	uint64_t lease = shared_lease(&term, &role.now);

	role.lease = term == role.raft.saved.term ? lease : 0;
}

/* What has become of a promotion that was asked for. */
static void
note_promoted(void)
{
	ExchangeUsed	*used = exchange_used();
	ExchangeQuestion question = {.kind = EXCHANGE_PROMOTED, .node = RAFT_NONE};
	uint32_t		 ignored;

	if (role.server != RAFT_SERVER_PRIMARY)
		return;
	if (used->claim != 0 && used->claim == role.file_timeline)
		used->promoted = true;
	if (role.raft.saved.promoting != 0 && exchange_ask(&question, &ignored))
		(void) exchange_read_core(&role.raft);
}

/*
 * A new order is in the log; one that changes what this server is, or opens or closes the
 * fence, in the events, too.
 */
static void
say_order(const PrimaryOrder *order, const PrimaryOrder *before)
{
	static const bool is_event[PRIMARY_ACTIONS] = {
		[PRIMARY_FOLLOW] = true,
		[PRIMARY_PROMOTE] = true,
		[PRIMARY_OPEN] = true,
		[PRIMARY_RESTART] = true,
		[PRIMARY_REWIND] = true,
		[PRIMARY_CLONE] = true,
		[PRIMARY_REBUILT] = true,
		[PRIMARY_REFUSE] = true,
	};
	ExchangeQuestion question = {.kind = EXCHANGE_EVENT, .node = RAFT_NONE};
	char			 why[CONTROL_TEXT_SIZE];
	uint32_t		 ignored;

	(void) primary_describe(order, &role.facts, why, sizeof(why));
	ereport(LOG,
			(errmsg("pg_leader: order %s: %s", primary_action_name(order->action), why),
			 errdetail("Node %d, timeline %u; order %s held for " UINT64_FORMAT " ms.",
					   order->node, order->timeline, primary_action_name(before->action),
					   (role.now - role.order_since) / 1000)));
	if (!is_event[order->action] && before->action != PRIMARY_OPEN)
		return;
	snprintf(question.text, sizeof(question.text), "%s, after " UINT64_FORMAT " ms of %s: %s",
			 primary_action_name(order->action), (role.now - role.order_since) / 1000,
			 primary_action_name(before->action), why);
	(void) exchange_ask(&question, &ignored);
}

/* A member that does not stand for election would only be silent about it. */
static void
say_health(void)
{
	PrimaryHealth health = role.facts.health;

	if (health != PRIMARY_HEALTHY && once_a_minute(&role.health_said_at[health], role.now))
		ereport(WARNING,
				(errmsg("pg_leader: this server does not stand for election: %s", primary_health_words(health))));
}

static void
decide(void)
{
	PrimaryOrder before = role.order;

	role.order = primary_decide(&role.facts);
	watch_decided(&role.following, &role.facts, &role.order);
	if (role.order.action == before.action && role.order.reason == before.reason && role.order.node == before.node)
		return;
	say_order(&role.order, &before);
	role.order_since = role.now;
}

static void
gather(void)
{
	role_learn_end();
	note_promoted();
	look_at_member();
	role_ask_leader();
	look_at_member();
	role_gather();
}

static void
turn(void)
{
	bool is_news;

	read_channel();
	if (!exchange_read_core(&role.raft))
	{
		role.open = false;
		fence_set(0, false);
		fence_end_waits();
		return;
	}
	if (role.life != role.raft.saved.boot)
		forget_member();
	gather();
	role_authorise();
	is_news = role_tell_member();
	is_news |= role_note_tell();
	if (is_news)
	{
		role_learn_end(); /* at the second look at a list WAL has to end where it does after the first one */
		role_gather();
	}
	role_compare();
	say_health();
	role_switch_over();
	decide();
	role_obey();
	role_keep_fence();
	role_keep_settings();
	role_keep_slots();
	(void) role_tell_member(); /* that it is open */
	role_note_keep();
	role_show_row();
	if (role.raft.saved.promoting != 0 && role.server == RAFT_SERVER_RECOVERY && role.now - role.woken_at >= WAKE_INTERVAL)
	{
		role.woken_at = role.now;
		WakeupRecovery();
	}
}

/* How long until the next one, in ms, if nothing wakes this process. */
static long
pause_for(void)
{
	PrimaryAction action = role.order.action;
	bool		  calm = action == PRIMARY_OPEN || action == PRIMARY_REFUSE ||
				(action == PRIMARY_FOLLOW && role.following.check.streaming == PRIMARY_STREAMING_REAL);
	uint64_t now = clock_now();
	bool	 opens = role.raft.saved.promoting != 0 || action == PRIMARY_CLOSE || action == PRIMARY_DRAIN;
	long	 most = SHORT_PAUSE;

	if (calm || !role.end_known)
		most = LONG_PAUSE;
	else if (opens)
		most = OPENING_PAUSE;
	if (role.order.again_at > now)
		most = Min(most, (long) ((role.order.again_at - now) / 1000) + 1);
	return most;
}

/* ---- the process ---- */

static void
at_exit(int code, Datum argument)
{
	exchange_role_worker_stop();
	fence_set(0, false);
	board_show_server(parent_board(), &(BoardServer){0});
	promotion_revoke();
	upstream_close(&role.upstream);
}

/* What nobody expects of a cluster: that it stands still without either of its servers. */
static void
warn_of_two(void)
{
	if (settings_cluster() != NULL && settings_cluster()->n_members == 2)
		ereport(WARNING,
				(errmsg("pg_leader: with two members a commit needs both: the loss of either server stops commits until it is back"),
				 errhint("Add a third member to pg_leader.cluster.")));
}

static void
begin(void)
{
	memset(&role, 0, sizeof(role));
	role.loose_node = role.asked_leader = RAFT_NONE;
	role.order = (PrimaryOrder){.action = PRIMARY_WAIT, .reason = PRIMARY_REASONS, .node = RAFT_NONE};
	role.order_since = role.now = clock_now();
	role.wrote_on = promotion_wrote_on();
	role.system_id = GetSystemIdentifier();

	/* what is not whole is not started */
	role.remains = PRIMARY_REMAINS_WHOLE;

	/* among the processes that have transactions: who lets a slot go writes his flags there */
	InitProcessPhase2();
	role_note_begin();
	upstream_init(&role.upstream, settings.node_id, UPSTREAM_PATIENCE, role_stops);
	exchange_role_worker_start();
	warn_of_two();
}

void
pg_leader_role_main(Datum argument)
{
	MemoryContext context;
	uint32		  wait_event;

	library_check_worker();
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGUSR1, procsignal_sigusr1_handler);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(at_exit, 0);
	begin();
	init_ps_display("pg_leader:");
	set_ps_display("role");
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pg_leader role");
	context = AllocSetContextCreate(TopMemoryContext, "pg_leader turn", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	wait_event = compat_wait_event("PgLeaderRole");
	while (!role_stops())
	{
		MemoryContextReset(context);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		turn();
		health_flush_rest();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause_for(), wait_event);
		ResetLatch(MyLatch);
	}
	if (leave_requested)
		fence_let_go();
	proc_exit(1);
}
