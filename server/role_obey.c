/*
 * server/role_obey.c
 *	  What the role worker does for an order of primary/decide.c.
 *
 * See role.h.  Orders are given again as long as they hold, so each of them here is a step
 * that can be taken again.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "replication/message.h"
#include "replication/walreceiver.h"

#include "node/clock.h"
#include "server/auto_conf.h"
#include "server/compat.h"
#include "server/fence.h"
#include "server/once_a_minute.h"
#include "server/parent.h"
#include "server/promotion.h"
#include "server/receiver.h"
#include "server/role.h"
#include "server/senders.h"
#include "server/settings.h"

#define MARK_PREFIX "pg_leader"

/* How often it is looked whether the archiver has the last of the burnt ids, us. */
#define ARCHIVE_INTERVAL UINT64CONST(200000)

/* How often recovery starts a receiver, while the leader can be reached and there is none; us. */
#define TRY_INTERVAL UINT64CONST(50000)

/* How long after the mark a checkpoint is waited for until this server is open, us. */
#define CHECKPOINT_AFTER UINT64CONST(500000)

/* What was logged when; see once_a_minute.h. */
static uint64 write_failed_at;
static uint64 diverged_at;

static bool
ask(ExchangeKind kind, uint32_t *answer)
{
	ExchangeQuestion question = {.kind = kind, .node = RAFT_NONE};

	return exchange_ask(&question, answer);
}

/* Whom to receive from, with our slot there (NULL: as it is), and the names that are the same on all members. */
static bool
write_settings(const char *conninfo)
{
	char	 names[QUORUM_NAMES_SIZE];
	char	 slot[SLOTS_NAME_SIZE];
	RaftList list = raft_list(&role.raft);
	Words	 words;

	words_clear(&words);
	slots_name(role.raft.config.node_id, slot);
	if (auto_conf_set(conninfo, conninfo != NULL ? slot : NULL, quorum_names(&list, names, sizeof(names)), &words))
		return true;
	if (once_a_minute(&write_failed_at, role.now))
		ereport(WARNING,
				(errmsg("pg_leader: %s", words.error),
				 words.hint[0] != '\0' ? errhint("%s", words.hint) : 0));
	return false;
}

/* Nothing that a receiver brings could help: not until somebody has changed something here. */
static bool
wants_no_receiver(void)
{
	PrimaryAction action = role.order.action;

	return action == PRIMARY_CLONE || action == PRIMARY_REWIND || action == PRIMARY_REFUSE;
}

/* Does this server receive from the leader, once it receives? */
static bool
is_set_up(void)
{
	char slot[SLOTS_NAME_SIZE];

	slots_name(role.raft.config.node_id, slot);
	return PrimaryConnInfo != NULL && strcmp(PrimaryConnInfo, role.conninfo) == 0 &&
		   PrimarySlotName != NULL && strcmp(PrimarySlotName, slot) == 0;
}

/*
 * The names, before anybody is primary.  And as soon as a leader is known, that a receiver
 * connects to it: it waits at the gate until it may receive.
 */
void
role_keep_settings(void)
{
	bool is_other = role.names_leader && !is_set_up();

	if (role.raft.saved.claim != 0 && (is_other || !role_has_names()))
		(void) write_settings(role.names_leader ? role.conninfo : NULL);
	else if (role.server == RAFT_SERVER_RECOVERY && role_reaches_leader() && !wants_no_receiver() &&
			 !receiver_look().waits && role.now - role.woken_at >= TRY_INTERVAL)
	{
		/* recovery would try again after wal_retrieve_retry_interval only */
		role.woken_at = role.now;
		WakeupRecovery();
	}
}

/* ---- the receiver ---- */

static bool
lets_receive(PrimaryAction action)
{
	return action == PRIMARY_FOLLOW || action == PRIMARY_REBUILT || action == PRIMARY_LEAVE || action == PRIMARY_CLAIM;
}

void
role_stop_receiver(void)
{
	if (lets_receive(role.order.action) || role.server != RAFT_SERVER_RECOVERY)
		return;
	exchange_set_gate(EXCHANGE_SHUT, role.names_leader ? role.conninfo : NULL, 0);
	(void) receiver_end();
	watch_receiver_ended(&role.following);
	role.loose_node = RAFT_NONE;
}

/* Have the leader's timelines durable in the state file, before any WAL of them comes. */
static bool
may_follow(void)
{
	ExchangeQuestion question = {.kind = EXCHANGE_FOLLOW, .node = role.order.node};
	uint32_t		 durable;

	question.n_timelines = primary_path(&role.facts, question.timelines, RAFT_PATH);
	return exchange_ask(&question, &durable) && durable != 0;
}

static void
follow(void)
{
	const PrimaryFacts *f = &role.facts;
	ReceiverView		view = receiver_look();

	if (!role.following.check.loose || role.loose_node != role.order.node || role.loose_timeline != role.order.timeline)
	{
		if (!may_follow())
			return;
		exchange_set_gate(EXCHANGE_LOOSE, role.conninfo, f->term);
		role.loose_node = role.order.node;
		role.loose_timeline = role.order.timeline;
		watch_let_loose(&role.following, f);
		return;
	}

	/* as long as recovery has asked for no WAL since the start, nobody can bring it any */
	if (!view.asked)
		watch_let_loose(&role.following, f);
	if (watch_streams(&role.following, f, view.streams ? view.timeline : 0))
	{
		watch_followed(&role.directory);
		role_send(CONTROL_FOLLOWED);
	}
}

/* ---- the fence, and walsenders ---- */

/*
 * Only who leads serves members (rule 20), and a walsender that says more was flushed than there
 * is, is of a server that has diverged (rule 16).
 */
static void
end_walsenders(void)
{
	static uint64 said_at; /* see once_a_minute.h */
	static uint64 said_name_at;
	QuorumSender  senders[RAFT_MAX_NODES];
	QuorumView	  view;
	uint32_t	  i;

	role_view_quorum(&view, senders);
	for (i = 0; i < view.n_senders; i++)
	{
		bool diverged = role.server == RAFT_SERVER_PRIMARY && quorum_verdict(&view, i) == QUORUM_DIVERGED;

		if (!diverged && raft_may_go_on_serving(&role.raft, senders[i].member))
			continue;
		senders_end(senders[i].member);
		if (diverged && once_a_minute(&said_at, role.now))
			ereport(WARNING,
					(errmsg("pg_leader: the walsender of node %d is ended: it has flushed WAL up to %X/%X, and this server only up to %X/%X",
							senders[i].member, LSN_FORMAT_ARGS(senders[i].flush), LSN_FORMAT_ARGS(view.flush)),
					 errdetail("That server's WAL has diverged from this one's. It is not counted for commits.")));
	}
	if (senders_end_impostors(view.members | view.old) != 0 && once_a_minute(&said_name_at, role.now))
		ereport(WARNING,
				(errmsg("pg_leader: a walsender is ended: it has taken the name of a member")));
}

/*
 * Members whose data are gone: nothing that they have confirmed is counted any more, and then
 * where our WAL ends is their floor (rule 21).
 */
static void
name_floors(void)
{
	ExchangeQuestion question = {.kind = EXCHANGE_FORGOT};
	uint64_t		 members = raft_to_forget(&role.raft);
	uint32_t		 ignored;

	for (question.node = 0; question.node < RAFT_MAX_NODES; question.node++)
	{
		if ((members >> question.node & 1) != 0 && senders_end(question.node))
			(void) exchange_ask(&question, &ignored);
	}
}

void
role_keep_fence(void)
{
	/* since the start of the server, not of this process: so it is kept in shared memory */
	fence_set_compared(fence_compared(fence_look().compared, role.order.action));
	fence_set(role.open ? role.facts.term : 0, role.order.action == PRIMARY_DRAIN);
	end_walsenders();
	name_floors();
	if (role.server == RAFT_SERVER_PRIMARY)
		fence_end_waits();
}

/* ---- claims and promotion ---- */

static void
claim(void)
{
	uint32_t		 result;
	uint32_t		 ignored;
	ExchangeQuestion transfer = {.kind = EXCHANGE_TRANSFER, .node = RAFT_NONE};

	if (!ask(EXCHANGE_CLAIM, &result))
		return;
	if (result == RAFT_CLAIM_BEHIND)
	{
		transfer.node = raft_newest_peer(&role.raft, role.now);
		(void) exchange_ask(&transfer, &ignored);
	}
	if (result == RAFT_CLAIM_DIVERGED && once_a_minute(&diverged_at, role.now))
		ereport(WARNING,
				(errmsg("pg_leader: no primary yet: %s", raft_describe_claim(result)),
				 errhint("\"pg_leaderctl adopt\" shows which. Stop the supervisor of the member whose data are not wanted, "
						 "and put a base backup of the primary there, or call pg_leader_admit() on the leader; "
						 "then start it again.")));
	if (result != RAFT_CLAIM_MADE && result != RAFT_CLAIM_BEHIND && role.order.again_at == 0)
		role.order.again_at = role.now + 50000;
}

/* Use the claim up, which is durable once the member has answered. */
static void
promote(void)
{
	uint32_t timeline;

	if (!ask(EXCHANGE_PROMOTE, &timeline) || timeline == 0)
		return;
	role.asked = timeline;
	role.asked_claim_term = role.facts.term;
	role.asked_life = role.life;
	role_authorise();
}

/* What keeps this server from it now would keep it later, but for the lease. */
static void
give_up(const char *why)
{
	ereport(WARNING,
			(errmsg("pg_leader: no promotion to timeline %u: %s", role.asked, why),
			 errdetail("The server restarts as a standby, and another timeline is claimed.")));
	promotion_revoke();
	role.order = (PrimaryOrder){.action = PRIMARY_RESTART, .reason = PRIMARY_PROMOTION_PENDS, .node = RAFT_NONE};
	role_send(CONTROL_ORDER);
}

void
role_authorise(void)
{
	ExchangeUsed	*used = exchange_used();
	PromotionVerdict verdict;
	Words			 words;

	if (role.asked == 0 || role.asked_life != role.life || role.asked_claim_term != role.facts.term || used->claim == role.asked)
		return;
	verdict = promotion_ask(role.asked, role.facts.term, role.facts.end, settings.allow_timeline_gap);
	if (verdict == PROMOTION_NO_LEASE)
		return;
	words_clear(&words);
	if (verdict != PROMOTION_GOES_ON)
		give_up(promotion_describe(verdict));
	else if (promotion_begin(role.asked, role.facts.term, settings.allow_timeline_gap, &words))
		*used = (ExchangeUsed){.claim = role.asked, .term = role.facts.term};
	else
		give_up(words.error);
}

/* The message that is this reign's first record. */
static void
mark(void)
{
	static const char text[] = "a leader begins";
	XLogRecPtr		  end = compat_log_message(MARK_PREFIX, text, sizeof(text) - 1);

	XLogFlush(end);
	watch_marked(&role.leading, role.facts.term, end);
	role.marked_at = role.now;
}

/*
 * pg_rewind needs a checkpoint on this timeline: right after opening, so that it does not
 * delay that; or before, as this server may need the one that is to be rewound.
 */
static void
checkpoint(void)
{
	if (role.marked_at == 0 || (!role.open && role.now - role.marked_at < CHECKPOINT_AFTER))
		return;
	role.marked_at = 0;
	RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
}

static void
open_up(void)
{
	if (!role.open || role.leading.opened_term != role.facts.term)
	{
		watch_opened(&role.leading, &role.facts);
		role.archives = true;
	}
	role.open = true;
	if (role.archives && role.now - role.archived_at >= ARCHIVE_INTERVAL)
	{
		role.archived_at = role.now;
		role.archives = promotion_archive_burnt();
	}
}

/* ---- the supervisor ---- */

void
role_send(ControlType type)
{
	ControlMessage message;

	memset(&message, 0, sizeof(message));
	message.magic = CONTROL_MAGIC;
	message.type = type;
	message.order = role.order;
	message.term = role.facts.term;
	message.directory = role.directory;
	message.wrote_on = role.wrote_on;
	message.remains = role.remains;
	if (type == CONTROL_ORDER)
		(void) primary_describe(&role.order, &role.facts, message.text, sizeof(message.text));
	(void) send(parent_channel(), &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
resign(void)
{
	ExchangeQuestion question = {.kind = EXCHANGE_RESIGN, .node = RAFT_NONE};
	uint32_t		 ignored;

	(void) primary_describe(&role.order, &role.facts, question.text, sizeof(question.text));
	watch_resigned(&role.leading, role.order.reason);
	(void) exchange_ask(&question, &ignored);
}

/* ---- rebuilds ---- */

static bool
has_marker(RaftRebuild how)
{
	const RaftSaved *saved = &role.raft.saved;

	return saved->rebuild == how && saved->rebuild_source == role.order.node && saved->rebuild_term == saved->term;
}

/* The marker first; the rest is the supervisor's, which stops this server for it. */
static void
rebuild(RaftRebuild how)
{
	ExchangeQuestion question = {.kind = EXCHANGE_REBUILD, .node = role.order.node, .how = how, .held = role.order.floor};
	bool			 was_intact = role.raft.saved.rebuild == RAFT_INTACT;
	uint32_t		 durable = has_marker(how);

	if (!durable && exchange_ask(&question, &durable) && durable)
	{
		if (!was_intact || role.remains == PRIMARY_REMAINS_BROKEN)
			role.remains = PRIMARY_REMAINS_BROKEN;
		else
			role.remains = how == RAFT_REWINDING ? PRIMARY_REMAINS_REPEATABLE : PRIMARY_REMAINS_UNTOUCHED;
	}
	if (durable)
		role_send(CONTROL_ORDER);
}

static void
rebuilt(void)
{
	uint32_t done;

	if (role.order.node != RAFT_NONE)
		follow();
	if (ask(EXCHANGE_REBUILT, &done) && done)
		role_send(CONTROL_REBUILT);
}

/* Recovery reads it again when it has restarted, and would wait at the same place. */
static void
cut_part(void)
{
	static uint64 cut_at;
	Words		  words;

	if (cut_at == role.end)
		return;
	words_clear(&words);
	if (!position_cut(role.file_timeline, role.end, &words))
		role_say_failed(WARNING, &write_failed_at, "the part of a record that the leader does not have could not be removed", &words);
	cut_at = role.end;
}

void
role_obey(void)
{
	if (role.order.action != PRIMARY_OPEN && role.order.action != PRIMARY_DRAIN)
		role.open = false;
	role_stop_receiver();
	switch (role.order.action)
	{
		case PRIMARY_LEAVE:
			exchange_set_gate(EXCHANGE_LEFT_ALONE, NULL, 0);
			if (!receiver_look().runs)
				WakeupRecovery();
			break;
		case PRIMARY_FOLLOW:
			follow();
			break;
		case PRIMARY_CLAIM:
			claim();
			break;
		case PRIMARY_WAIT:
			/* what came before its receiver ended: recovery would look after wal_retrieve_retry_interval */
			if (role.order.reason == PRIMARY_NOT_REPLAYED && !receiver_look().runs)
				WakeupRecovery();
			break;
		case PRIMARY_RESUME_REPLAY:
			SetRecoveryPause(false);
			WakeupRecovery();
			break;
		case PRIMARY_PROMOTE:
			promote();
			break;
		case PRIMARY_MARK:
			mark();
			break;
		case PRIMARY_OPEN:
			open_up();
			break;
		case PRIMARY_RESTART:
			if (role.order.reason == PRIMARY_PART_LEFT)
				cut_part();
			if (!role_is_to_tell())
				role_send(CONTROL_ORDER);
			break;
		case PRIMARY_REWIND:
			rebuild(RAFT_REWINDING);
			break;
		case PRIMARY_CLONE:
			rebuild(RAFT_CLONING);
			break;
		case PRIMARY_REBUILT:
			rebuilt();
			break;
		case PRIMARY_RESIGN:
			resign();
			break;
		default:
			break;
	}
	if (role.server == RAFT_SERVER_PRIMARY)
		checkpoint();
}
