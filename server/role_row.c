/*
 * server/role_row.c
 *	  What the role worker shows people: the row of pg_leader_server.
 *
 * In shared memory (exchange.h), at the end of each turn; role_view.c makes the row.  Neither waits
 * nor decides.
 */
#include "postgres.h"

#include "access/xlogrecovery.h"

#include "server/receiver.h"
#include "server/role.h"

/* A member holds the newest WAL if it holds what there was so long ago, or up to twice as long, us. */
#define SETTLED_AFTER UINT64CONST(1000000)

/* Where our WAL ended then. */
static uint64
settled_end(uint64 end)
{
	static uint64 settled;
	static uint64 next;
	static uint64 next_at;

	if (role.now - next_at >= SETTLED_AFTER)
	{
		settled = next;
		next = end;
		next_at = role.now;
	}
	return Min(settled, end);
}

/* Would one more failure stop commits? */
static void
show_risk(char *text)
{
	const Raft	*r = &role.raft;
	QuorumSender senders[RAFT_MAX_NODES];
	QuorumView	 view;
	RiskFacts	 facts;
	uint64		 end = settled_end(role.facts.end);
	int			 i;

	if (!role.open || r->role != RAFT_LEADER)
		return;
	role_view_quorum(&view, senders);
	memset(&facts, 0, sizeof(facts));
	facts.members = view.members;
	facts.self = view.self;
	facts.holders = quorum_holders(&view, end);
	facts.in_pause = role.facts.in_pause;
	for (i = 0; i < RAFT_MAX_NODES; i++)
	{
		if (view.bounds[i] > view.now)
			facts.bound |= UINT64CONST(1) << i;
		if (raft_could_lead(r, view.now, i, 0))
			facts.candidates |= UINT64CONST(1) << i;
	}
	(void) risk_describe(&facts, text);
}

/* When an open primary was known last; a server that has just started begins to count then. */
static uint64
primary_known_at(void)
{
	static uint64		at;
	const PrimaryFacts *f = &role.facts;

	if (at == 0 || role.open || (f->leader_id >= 0 && f->leader_id != f->self && f->leader.open))
		at = role.now;
	return at;
}

/* How much WAL of the leader is not replayed here; false: nothing is received. */
static bool
find_lag(uint64 *lag)
{
	ReceiverView view = receiver_look();
	uint64		 replayed = GetXLogReplayRecPtr(NULL);

	if (role.server != RAFT_SERVER_RECOVERY || !view.streams)
		return false;
	*lag = view.leader_end > replayed ? view.leader_end - replayed : 0;
	return true;
}

/* The order's reason, and what no order says: why it would not stand. */
static void
describe(char *why, size_t size)
{
	const char *health = primary_health_words(role.facts.health);
	size_t		length;

	(void) primary_describe(&role.order, &role.facts, why, size);
	length = strlen(why);
	if (health != NULL && strstr(why, health) == NULL)
		snprintf(why + length, size - length, "; it does not stand for election: %s", health);
}

void
role_show_row(void)
{
	static const PrimaryOrder forbidden = {.action = PRIMARY_REFUSE, .reason = PRIMARY_FORBIDDEN, .node = RAFT_NONE};
	const PrimaryFacts		 *f = &role.facts;
	ExchangeShown			  shown;

	memset(&shown, 0, sizeof(shown));
	shown.server = role.server;
	shown.end_known = f->end_known;
	shown.timeline = f->timeline;
	shown.end = f->end;
	shown.action = role.order.action;
	shown.reason = role.order.reason;
	shown.node = role.order.node;
	shown.since = role.order_since;
	shown.open = role.open;
	describe(shown.why, sizeof(shown.why));
	if (role.order.action == PRIMARY_REFUSE)
		strlcpy(shown.refusal, shown.why, sizeof(shown.refusal));
	else if (f->setting != PRIMARY_SETTING_GOOD)
		(void) primary_describe(&forbidden, f, shown.refusal, sizeof(shown.refusal));
	show_risk(shown.at_risk);
	shown.primary_at = primary_known_at();
	shown.lag_known = find_lag(&shown.lag);
	shown.rewinds = role.directory.rewinds;
	shown.clones = role.directory.clones;
	exchange_show(&shown);
	role_show(&shown);
}
