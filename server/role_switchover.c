/*
 * server/role_switchover.c
 *	  A planned hand-over by the role worker: facts for primary/switchover.h, and its steps.
 *
 * See role.h.  A session asks for it (switchover.h), or the supervisor, which was told to stop.
 * The fence follows from PrimaryFacts.hand_over, in primary/decide.c, as does the end of this
 * server once another member was told to stand.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "postmaster/bgwriter.h"
#include "storage/lwlock.h"

#include "server/control_file.h"
#include "server/fence.h"
#include "server/position.h"
#include "server/role.h"
#include "server/senders.h"
#include "server/settings.h"
#include "server/switchover.h"

/* So long whoever asked for it has at least, until the answer has gone out, us. */
#define TELL_LIMIT UINT64CONST(300000)

/* How often the others are asked out of turn what they have, us. */
#define HASTEN_INTERVAL UINT64CONST(10000)

/* In one turn.  What needs others is looked at again in the next. */
#define MOST_STEPS 8

/* How long the supervisor lets a hand-over take, us. */
#define WAIT_OF_STOP UINT64CONST(15000000)

static Switchover	   now;
static SwitchoverAsked request; /* number 0: the supervisor's */
static uint64		   step_since;
static XLogRecPtr	   redo; /* the checkpoint begins there, or later */

static uint64 hastened_at;

static bool				  transfer_tried;
static RaftTransferResult transfer;

/* What the supervisor was told. */
static enum
{
	SAID_NOTHING = 0,
	SAID_HANDS_OVER,
	SAID_MAY_STOP
} said;

static bool
is_under_way(void)
{
	return now.step > SWITCHOVER_IDLE && now.step < SWITCHOVER_DONE;
}

/* ---- the facts ---- */

static bool
has_checkpoint(void)
{
	ControlFileData control;
	Words			words;

	return redo != InvalidXLogRecPtr && control_file_read(&control, &words) && control.checkPointCopy.redo >= redo;
}

static void
gather(int32_t target, SwitchoverFacts *f)
{
	const Raft	*r = &role.raft;
	QuorumSender senders[RAFT_MAX_NODES];
	QuorumView	 view;
	uint32_t	 i;

	role_view_quorum(&view, senders);
	memset(f, 0, sizeof(*f));
	f->now = role.now;
	f->self = role.facts.self;
	f->leader_id = role.facts.leader_id;
	f->term = role.facts.term;
	f->lease_until = role.facts.lease_until;
	f->open = role.order.action == PRIMARY_OPEN;
	f->checkpoint_done = now.step == SWITCHOVER_CHECKPOINT && has_checkpoint();

	/* before the order has reached the fence, commits may still begin */
	f->waiting = role.order.action == PRIMARY_DRAIN ? fence_count_commits() : PG_UINT32_MAX;
	f->flush = view.flush;
	f->senders = view.n_senders;
	f->paused = raft_in_pause(r);
	f->cancelled = request.number != 0 && !switchover_is_wanted(request.number);
	f->transfer_tried = transfer_tried;
	f->transfer = transfer;
	if (target < 0 || target >= RAFT_MAX_NODES)
		return;
	f->target_fits = raft_could_lead(r, role.now, target, 0);
	f->target_told = r->peers[target].position.index;
	for (i = 0; i < view.n_senders; i++)
	{
		if (senders[i].member != target || quorum_verdict(&view, i) != QUORUM_COUNTS)
			continue;
		f->target_flush = senders[i].flush;
		f->target_replay = senders[i].replay;
	}
}

static int32_t
fittest(void)
{
	SwitchoverFacts best;
	SwitchoverFacts f;
	int32_t			target = RAFT_NONE;
	int32_t			i;

	for (i = 0; i < RAFT_MAX_NODES; i++)
	{
		if (i == role.facts.self || (role.raft.config.members >> i & 1) == 0)
			continue;
		gather(i, &f);
		if (target != RAFT_NONE && !switchover_is_fitter(&f, &best))
			continue;
		target = i;
		best = f;
	}
	return target;
}

/* ---- the steps ---- */

static void
carry_out(void)
{
	ExchangeQuestion question = {.kind = EXCHANGE_TRANSFER, .node = now.target};
	uint32_t		 result;
	int32_t			 i;

	transfer_tried = false;
	switch (now.step)
	{
		case SWITCHOVER_CHECKPOINT:
			if (redo != InvalidXLogRecPtr)
				break;
			redo = GetXLogInsertRecPtr();
			RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
			break;
		case SWITCHOVER_CATCH_UP:
			XLogFlush(position_inserted());
			break;
		case SWITCHOVER_END_SENDERS:
			for (i = 0; i < RAFT_MAX_NODES; i++)
				(void) senders_end(i);
			break;
		case SWITCHOVER_HAND_OVER:
			if (exchange_ask(&question, &result) && exchange_read_core(&role.raft))
			{
				transfer_tried = true;
				transfer = (RaftTransferResult) result;
			}
			break;
		default:
			break;
	}
}

static void
event(const char *text)
{
	ExchangeQuestion question = {.kind = EXCHANGE_EVENT, .node = RAFT_NONE};
	uint32_t		 ignored;

	strlcpy(question.text, text, sizeof(question.text));
	(void) exchange_ask(&question, &ignored);
}

static void
answer(SwitchoverReason reason)
{
	SwitchoverAnswer a = {.reason = reason, .step = now.given_up_at, .target = now.target, .leader = role.facts.leader_id, .term = now.term};

	if (request.number != 0)
		switchover_answer(request.number, &a);
}

/* It is given up: the fence opens again, if this server still leads. */
static void
say_given_up(void)
{
	char text[EXCHANGE_TEXT_SIZE];

	snprintf(text, sizeof(text), "switchover to node %d given up in the step \"%s\": %s", now.target,
			 switchover_step_name(now.given_up_at), switchover_describe(now.reason));
	ereport(LOG, (errmsg("pg_leader: %s", text)));
	event(text);
	answer(now.reason);
}

static void
say_step(SwitchoverStep before)
{
	char text[EXCHANGE_TEXT_SIZE];

	ereport(LOG,
			(errmsg("pg_leader: switchover to node %d: %s", now.target, switchover_step_name(now.step)),
			 errdetail("The step \"%s\" took " UINT64_FORMAT " ms.", switchover_step_name(before), (role.now - step_since) / 1000)));
	if (now.step != SWITCHOVER_STOP)
		return;
	snprintf(text, sizeof(text), "node %d was told to stand in this server's place", now.target);
	event(text);
}

/*
 * The target has all that this server has flushed.  What is written behind the closed fence from
 * then on would have to be rewound if the WAL writer flushed it before the server is stopped: who
 * holds this lock keeps all others from that.  It is not waited for.
 */
static void
keep_from_flushing(void)
{
	bool keeps = now.step == SWITCHOVER_HAND_OVER || now.step == SWITCHOVER_STOP;
	bool holds = LWLockHeldByMe(WALWriteLock);

	if (keeps && !holds)
		(void) LWLockConditionalAcquire(WALWriteLock, LW_EXCLUSIVE);
	else if (!keeps && holds)
		LWLockRelease(WALWriteLock);
}

static void
hasten(const SwitchoverFacts *f)
{
	ExchangeQuestion question = {.kind = EXCHANGE_HASTEN, .node = RAFT_NONE};
	uint32_t		 ignored;

	if (!switchover_hastens(&now, f) || role.now - hastened_at < HASTEN_INTERVAL)
		return;
	hastened_at = role.now;
	(void) exchange_ask(&question, &ignored);
}

static void
advance(void)
{
	SwitchoverFacts f;
	SwitchoverStep	before;
	int				i;

	for (i = 0; i < MOST_STEPS && is_under_way(); i++)
	{
		before = now.step;
		carry_out();
		gather(now.target, &f);
		(void) switchover_next(&now, &f);
		keep_from_flushing();
		if (now.step == before)
		{
			hasten(&f);
			return;
		}
		if (now.step == SWITCHOVER_BACK)
			say_given_up();
		else
			say_step(before);
		step_since = role.now;
	}
}

static void
begin(int32_t target, uint64_t wait)
{
	SwitchoverLimits limits = switchover_limits(wait);
	SwitchoverFacts	 f;

	if (target == RAFT_NONE)
		target = fittest();
	memset(&now, 0, sizeof(now));
	redo = InvalidXLogRecPtr;
	step_since = role.now;
	gather(target, &f);
	if (switchover_begin(&now, &f, target, &limits) == SWITCHOVER_GOES_ON)
		ereport(LOG, (errmsg("pg_leader: switchover to node %d begins", target)));
	else
		answer(now.reason);
}

/* ---- the supervisor was told to stop ---- */

/* Who leads hands over first; if that cannot be done, it resigns. */
static void
leave(void)
{
	ExchangeQuestion question = {.kind = EXCHANGE_RESIGN, .node = RAFT_NONE, .text = "the supervisor was told to stop"};
	uint32_t		 ignored;

	if (said == SAID_NOTHING && !is_under_way() && role.raft.role == RAFT_LEADER)
	{
		request.number = 0;
		begin(RAFT_NONE, WAIT_OF_STOP);
	}
	if (is_under_way())
	{
		if (said == SAID_NOTHING)
			role_send(CONTROL_HANDS_OVER);
		said = SAID_HANDS_OVER;
		return;
	}
	if (said == SAID_MAY_STOP)
		return;
	if (role.raft.role == RAFT_LEADER)
		(void) exchange_ask(&question, &ignored);
	role_send(CONTROL_MAY_STOP);
	said = SAID_MAY_STOP;
}

/* ---- one turn ---- */

void
role_switch_over(void)
{
	SwitchoverAsked asked;

	if (!is_under_way() && !role.leaves && switchover_take(&asked))
	{
		request = asked;
		begin(request.target, request.wait);
	}
	advance();
	if (role.leaves)
		leave();
	role.facts.hand_over = switchover_hand_over(&now);
}

/*
 * Who has asked for it is to hear of it before this server stops: once another one leads, and until
 * the answer has gone out.  Not for long, since the old primary may be a copy that the new one needs.
 */
bool
role_is_to_tell(void)
{
	bool is_known = role.facts.leader_id >= 0 && role.facts.leader_id != role.facts.self;

	if (now.step != SWITCHOVER_STOP || request.number == 0 ||
		role.now - step_since >= Max(2 * (uint64_t) settings.max_timeout * 1000, TELL_LIMIT))
		return false;
	if (is_known)
		answer(SWITCHOVER_GOES_ON);
	return !switchover_is_told(request.number);
}
