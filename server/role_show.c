/*
 * server/role_show.c
 *	  What the role worker shows the supervisor, for those who ask that by HTTP.
 *
 * On the board (node/board.h), at the end of each turn.  Neither waits nor decides.
 */
#include "postgres.h"

#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/timestamp.h"

#include "node/board.h"
#include "primary/probe.h"
#include "server/fence.h"
#include "server/parent.h"
#include "server/receiver.h"
#include "server/role.h"
#include "server/senders.h"
#include "server/shared.h"

/* Where the WAL of the leader ended, as it has told our receiver. */
static void
show_leader_end(BoardServer *shown)
{
	static uint64 at; /* when it streamed last */
	ReceiverView  view = receiver_look();

	shown->streams = view.streams;
	if (view.streams)
		at = role.now;
	shown->leader_end = view.leader_end;
	shown->leader_end_at = at;
}

static uint64
streaming_members(void)
{
	QuorumSender senders[RAFT_MAX_NODES];
	uint32_t	 n = senders_read(senders);
	uint64		 members = 0;
	uint32_t	 i;

	for (i = 0; i < n; i++)
	{
		if (senders[i].member >= 0)
			members |= UINT64CONST(1) << senders[i].member;
	}
	return members;
}

/* Beside the others, for whoever lists them all. */
static void
show_self(BoardServer *shown)
{
	BoardMember *self = &shown->members[role.raft.config.node_id];

	self->heard_at = role.now;
	self->end = shown->end;
	self->timeline = shown->timeline;
	self->port = (uint16_t) PostPortNumber;
	self->server = shown->server;
	self->is_open = shown->open_term != 0;
}

void
role_show(const ExchangeShown *row)
{
	const PrimaryFacts *f = &role.facts;
	BoardServer			shown;

	memset(&shown, 0, sizeof(shown));
	shown.open_term = role.open && role.order.action == PRIMARY_OPEN ? f->term : 0;
	shown.system_id = f->system_id;
	shown.started_at = PgStartTime + SHARED_UNIX_EPOCH;
	shown.end = f->end;
	shown.timeline = f->timeline;
	shown.node = role.order.node;
	shown.version = PG_VERSION_NUM;
	shown.server = (uint8_t) role.server;
	shown.is_ready = f->consistent && (role.server == RAFT_SERVER_PRIMARY || fence_look().compared);
	shown.is_paused = f->paused;
	if (role.server == RAFT_SERVER_RECOVERY)
	{
		shown.replay = GetXLogReplayRecPtr(NULL);
		show_leader_end(&shown);
	}
	shown.senders = streaming_members();
	shown.primary_at = row->primary_at;
	shown.at_risk = row->at_risk[0] != '\0';
	strlcpy(shown.order, primary_action_name(role.order.action), sizeof(shown.order));
	(void) primary_describe(&role.order, f, shown.why, sizeof(shown.why));
	probe_members(&role.raft, shown.members);
	show_self(&shown);
	board_show_server(parent_board(), &shown);
}
