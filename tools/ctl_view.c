/*
 * tools/ctl_view.c
 *	  What pg_leaderctl makes of the answers: the state of each member in words, and all that is
 *	  not as it should be.
 *
 * See ctl_view.h.  Members are asked at about the same time and not at the same instant: while the
 * leader changes, answers may contradict each other.
 */
#include "ctl_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(CtlMember *member, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
note(CtlMember *member, const char *format, ...)
{
	va_list args;

	if (member->n_notes == CTL_MAX_NOTES)
		return;
	va_start(args, format);
	(void) vsnprintf(member->notes[member->n_notes++].text, sizeof(CtlNote), format, args);
	va_end(args);
}

static bool
is(const char *value, const char *text)
{
	return value != NULL && strcmp(value, text) == 0;
}

static void
set(char *text, size_t size, const char *value)
{
	(void) snprintf(text, size, "%s", value != NULL ? value : "");
}

/* For a sentence: what should be there always. */
static const char *
own(const CtlServer *server, CtlOwnColumn column)
{
	const char *value = ctl_own(server, column);

	return value != NULL ? value : "?";
}

bool
ctl_is_open(const CtlServer *server)
{
	return ctl_own_is(server, ctl_own_is(server, OWN_MANAGED) ? OWN_FENCE_OPEN : OWN_HAS_LEASE);
}

/* ---- who does not answer ---- */

/* What the other members know of one that does not answer. */
typedef struct Heard
{
	int64_t		by; /* who has heard it last; -1: nobody */
	int64_t		ms;
	bool		reachable;
	const char *server; /* what it says of its PostgreSQL */
} Heard;

static Heard
heard_of(const CtlView *view, int32_t node_id)
{
	Heard heard = {.by = -1};

	for (int i = 0; i < view->round->n_servers; i++)
	{
		const CtlServer *server = &view->round->servers[i];
		int				 row = ctl_peer_row(server, node_id);
		int64_t			 ms = ctl_number(ctl_value(server, CTL_PEERS, row, PEER_HEARD_MS));

		if (ms < 0 || (heard.by >= 0 && ms >= heard.ms))
			continue;
		heard.by = server->node_id;
		heard.ms = ms;
		heard.reachable = is(ctl_value(server, CTL_PEERS, row, PEER_REACHABLE), "t");
		heard.server = ctl_value(server, CTL_PEERS, row, PEER_SERVER);
	}
	return heard;
}

/* Does it run, as far as the others know? */
static bool
runs(const Heard *heard)
{
	return heard->server != NULL && !is(heard->server, "none") && !is(heard->server, "rebuilding");
}

/* Does it say that no PostgreSQL of it runs? */
static bool
has_no_server(const Heard *heard)
{
	return heard->reachable && heard->server != NULL && !runs(heard);
}

static const char *
state_without_server(const Heard *heard)
{
	return is(heard->server, "rebuilding") ? "being rebuilt" : "server is down";
}

static void
describe_heard(const Heard *heard, bool says_no, char *text, size_t size)
{
	if (heard->by < 0)
		(void) snprintf(text, size, "no other member has heard it");
	else
		(void) snprintf(text, size, "node %" PRId64 " heard it %.1f s ago%s", heard->by, (double) heard->ms / 1000,
						!says_no && has_no_server(heard) ? ", without a PostgreSQL that runs" : "");
}

static void
judge_silent(const CtlView *view, CtlMember *member)
{
	const CtlServer *server = member->server;
	Heard			 heard = heard_of(view, member->node_id);
	char			 others[128];
	char			 tried[CTL_ERROR_SIZE + 32] = "";
	const char		*state = "no connection";

	describe_heard(&heard, server != NULL && server->refused, others, sizeof(others));
	if (heard.reachable && runs(&heard))
		(void) snprintf(member->role, sizeof(member->role), "%s?", heard.server);
	if ((server == NULL || server->is_guessed) && has_no_server(&heard))
	{
		set(member->state, sizeof(member->state), state_without_server(&heard));
		note(member, "%s", others);
		return;
	}
	if (server == NULL || server->is_guessed)
	{
		set(member->state, sizeof(member->state), heard.reachable ? "port not known" : "down or cut off");
		if (server != NULL && !server->is_other)
			(void) snprintf(tried, sizeof(tried), " (at %s: %s)", server->at.port, server->error);
		note(member, "the port of its PostgreSQL is not known%s; %s. Name all servers: -h HOST,HOST,... -p PORT,PORT,...", tried, others);
		return;
	}
	if (server->refused)
		state = "refuses connections";
	else if (!heard.reachable)
		state = "down or cut off";
	else if (has_no_server(&heard))
		state = state_without_server(&heard);
	else if (server->timed_out)
		state = "no answer";
	set(member->state, sizeof(member->state), state);
	note(member, "%s; %s%s%s", server->error, others, server->hint[0] != '\0' ? ". " : "", server->hint);
}

/* ---- who answers ---- */

/* What a standby is called whose order is this. */
static const char *
words_for(const char *order, bool leads)
{
	static const struct
	{
		const char *order;
		const char *words;
	} all[] = {
		{"FOLLOW", "not streaming"},
		{"RESTART", "restarting"},
		{"REWIND", "needs a rewind"},
		{"CLONE", "needs a clone"},
		{"REBUILT", "rebuilt"},
		{"RESIGN", "resigning"},
		{"REFUSE", "refused"},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
	{
		if (is(order, all[i].order))
			return all[i].words;
	}
	return leads ? "becoming primary" : "waiting";
}

/* Why a managed server is not open, or does not stream. */
static void
note_order(CtlMember *member)
{
	const CtlServer *server = member->server;

	note(member, "%s, for %s s (%s, %s)", own(server, OWN_REASON_TEXT), own(server, OWN_SINCE),
		 own(server, OWN_ORDER), own(server, OWN_REASON));
}

static void
judge_managed(CtlMember *member)
{
	const CtlServer *server = member->server;
	const char		*order = ctl_own(server, OWN_ORDER);
	const char		*source = ctl_own(server, OWN_SOURCE);
	bool			 in_recovery = ctl_own_is(server, OWN_IN_RECOVERY);

	set(member->role, sizeof(member->role), in_recovery ? "standby" : "primary");
	if (!in_recovery)
	{
		set(member->state, sizeof(member->state), ctl_is_open(server) ? "open for commits" : "closed for commits");
		if (!ctl_is_open(server))
			note(member, "%s", own(server, OWN_FENCE_TEXT));
		else if (is(ctl_own(server, OWN_REASON), "stands_still"))
			note_order(member);
	}
	else if (order == NULL)
	{
		set(member->state, sizeof(member->state), "starting");
		note(member, "it has not looked at its data yet");
	}
	else if (is(order, "FOLLOW") && ctl_own_is(server, OWN_RECEIVES) && source != NULL)
		(void) snprintf(member->state, sizeof(member->state), "streaming from node %s", source);
	else
	{
		set(member->state, sizeof(member->state), words_for(order, ctl_own_is(server, OWN_HAS_LEASE)));
		if (is(order, "FOLLOW"))
			note(member, "it follows node %s and receives nothing: its log and that of node %s say why", own(server, OWN_SOURCE), own(server, OWN_SOURCE));
		else
			note_order(member);
	}
}

static void
judge_elected(CtlMember *member)
{
	const CtlServer *server = member->server;
	const char		*state = "primary";

	if (ctl_own_is(server, OWN_IN_RECOVERY))
		state = ctl_own_is(server, OWN_RECEIVES) ? "standby, streaming" : "standby";
	set(member->role, sizeof(member->role), ctl_own(server, OWN_ELECTION_ROLE));
	set(member->state, sizeof(member->state), state);
}

/* What is the matter with its part in the election. */
static void
note_election(const CtlView *view, CtlMember *member, int64_t leader)
{
	const CtlServer *server = member->server;
	const char		*known = ctl_own(server, OWN_LEADER);

	if (view->managed != ctl_own_is(server, OWN_MANAGED))
		note(member, "pg_leader.manage is %s here, and %s on node %d", view->managed ? "off" : "on",
			 view->managed ? "on" : "off", (int) view->round->first->node_id);
	if (!is(ctl_own(server, OWN_STATE), "taking part"))
		note(member, "%s", own(server, OWN_STATE));
	else if (ctl_own_is(server, OWN_ABSTAINS))
		note(member, "it does not vote (%s), and waits for %s", own(server, OWN_ABSTAIN_REASON),
			 own(server, OWN_WAITS_FOR));
	else if (leader >= 0 && known == NULL)
		note(member, "it knows no leader");
	else if (leader >= 0 && ctl_number(known) != leader)
		note(member, "it takes node %s for the leader", known);
	if (ctl_own(server, OWN_REFUSED_SETTINGS) != NULL)
		note(member, "settings that are not in force: %s; its log says why", own(server, OWN_REFUSED_SETTINGS));
}

/* What the others say of it, once. */
static void
note_problems(const CtlView *view, CtlMember *member)
{
	const char *said = NULL;

	for (int i = 0; i < view->round->n_servers; i++)
	{
		const CtlServer *server = &view->round->servers[i];
		int				 row = ctl_peer_row(server, member->node_id);
		const char		*problem = ctl_value(server, CTL_PEERS, row, PEER_PROBLEM);

		if (row < 0 || !ctl_counts(view->round, server))
			continue;
		if (problem != NULL && !is(said, problem))
			note(member, "%s (says node %d)", problem, (int) server->node_id);
		if (problem != NULL)
			said = problem;
		if (member->answered && is(ctl_value(server, CTL_PEERS, row, PEER_REACHABLE), "f"))
			note(member, "node %d does not hear it", (int) server->node_id);
	}
}

/* ---- lag ---- */

static void
judge_lag(const CtlView *view, CtlMember *member)
{
	int64_t		end = view->primary != NULL ? ctl_number(ctl_own(view->primary, OWN_WAL_END)) : -1;
	const char *replayed = NULL;

	if (view->primary == NULL || member->server == view->primary)
		return;
	for (int row = ctl_rows(view->primary, CTL_SENDERS) - 1; row >= 0; row--)
	{
		if (ctl_number(ctl_value(view->primary, CTL_SENDERS, row, SENDER_NODE)) != member->node_id)
			continue;
		set(member->sync, sizeof(member->sync), "?");
		if (ctl_value(view->primary, CTL_SENDERS, row, SENDER_STATE) != NULL)
			set(member->sync, sizeof(member->sync), ctl_value(view->primary, CTL_SENDERS, row, SENDER_SYNC));
		replayed = ctl_value(view->primary, CTL_SENDERS, row, SENDER_REPLAYED);
	}
	if (member->answered && !ctl_own_is(member->server, OWN_IN_RECOVERY))
		return;
	if (member->answered)
	{
		replayed = ctl_own(member->server, OWN_WAL_END);
		set(member->lag_s, sizeof(member->lag_s), ctl_own(member->server, OWN_BEHIND_S));
	}
	if (replayed != NULL && end >= 0)
		member->lag = ctl_number(replayed) < end ? end - ctl_number(replayed) : 0;
}

/* ---- all of them ---- */

static void
judge_member(const CtlView *view, CtlMember *member, int64_t leader)
{
	const CtlServer *server = member->server;

	if (!member->answered)
		judge_silent(view, member);
	else
	{
		if (ctl_own_is(server, OWN_MANAGED))
			judge_managed(member);
		else
			judge_elected(member);
		if (ctl_own_is(server, OWN_REPLAY_PAUSED))
			strncat(member->state, ", replay paused", sizeof(member->state) - strlen(member->state) - 1);
		member->timeline = ctl_number(ctl_own(server, OWN_TIMELINE));
		member->lease = ctl_number(ctl_own(server, OWN_LEASE_MS));
		note_election(view, member, leader);
	}
	note_problems(view, member);
	judge_lag(view, member);
}

static void
set_host(CtlMember *member, const ClusterMember *entry)
{
	ClusterMember postgres = *entry;
	const char	 *port = member->server != NULL && (!member->server->is_guessed || member->answered) ?
							 member->server->at.port :
							 "";

	postgres.port = (uint16_t) atoi(port);
	(void) cluster_format_address(&postgres, member->host);
	if (port[0] == '\0')
		*strrchr(member->host, ':') = '\0';
}

/* The only one of those that pass; NULL: there is none, or there are several. */
static const CtlServer *
only(const CtlRound *round, bool (*passes)(const CtlServer *server), int *n)
{
	const CtlServer *found = NULL;

	*n = 0;
	for (int i = 0; i < round->list.n_members; i++)
	{
		const CtlServer *server = ctl_member(round, round->list.members[i].node_id);

		if (server == NULL || server->step != CTL_ANSWERED || !passes(server))
			continue;
		found = server;
		++*n;
	}
	return *n == 1 ? found : NULL;
}

static bool
is_primary(const CtlServer *server)
{
	return ctl_own(server, OWN_IN_RECOVERY) != NULL && !ctl_own_is(server, OWN_IN_RECOVERY);
}

static bool
has_lease(const CtlServer *server)
{
	return ctl_own_is(server, OWN_HAS_LEASE);
}

/*
 * For how long nobody has known an open primary: as long as the one who has known it last.  A server
 * that was started since counts from its start, and others that were cut off from theirs on.
 */
static int64_t
time_without(const CtlRound *round)
{
	int64_t least = -1;

	for (int i = 0; i < round->n_servers; i++)
	{
		const CtlServer *server = &round->servers[i];
		int64_t			 ms = ctl_counts(round, server) ? ctl_number(ctl_own(server, OWN_WITHOUT_MS)) : -1;

		if (ms >= 0 && (least < 0 || ms < least))
			least = ms;
	}
	return least > 0 ? least : 0;
}

static void
set_title(CtlView *view, const CtlServer *open, int n_open, int n_answered)
{
	const CtlRound *round = view->round;
	const char	   *name = own(round->first, OWN_CLUSTER_NAME);
	char			verdict[128];

	if (open != NULL)
		(void) snprintf(verdict, sizeof(verdict), view->managed ? "node %d is the primary, and open for commits" : "node %d leads", (int) open->node_id);
	else if (n_open > 1)
		(void) snprintf(verdict, sizeof(verdict), "%d members say that they %s; ask again", n_open,
						view->managed ? "are the open primary" : "lead");
	else
		(void) snprintf(verdict, sizeof(verdict), view->managed ? "no primary is open for commits" : "nobody leads");
	(void) snprintf(view->title, sizeof(view->title), "Cluster \"%s\"%s: %s. %d of %d members answer.%s", name,
					view->managed ? "" : ", election only", verdict, n_answered, view->n_members,
					view->paused ? " It is PAUSED: no server is promoted until \"" CTL_PROGRAM " resume\"." : "");
}

void
ctl_view(const CtlRound *round, CtlView *view)
{
	int				 n_open;
	int				 n;
	int				 n_answered = 0;
	const CtlServer *open = only(round, ctl_is_open, &n_open);
	const CtlServer *leader = only(round, has_lease, &n);

	memset(view, 0, sizeof(*view));
	view->round = round;
	view->managed = ctl_own_is(round->first, OWN_MANAGED);
	view->primary = view->managed && open != NULL ? open : only(round, is_primary, &n);
	view->paused = leader != NULL && ctl_own_is(leader, OWN_PAUSED);
	view->is_fine = open != NULL;
	view->n_members = round->list.n_members;
	for (int i = 0; i < view->n_members; i++)
	{
		const ClusterMember *entry = &round->list.members[i];
		CtlMember			*member = &view->members[i];

		member->node_id = entry->node_id;
		member->server = ctl_member(round, entry->node_id);
		member->answered = member->server != NULL && member->server->step == CTL_ANSWERED;
		member->timeline = -1;
		member->lag = -1;
		member->lease = -1;
		set_host(member, entry);
		judge_member(view, member, leader != NULL ? leader->node_id : -1);
		n_answered += member->answered;
		view->paused |= leader == NULL && member->answered && ctl_own_is(member->server, OWN_PAUSED);
		view->is_fine &= member->n_notes == 0;
	}
	if (n_open == 0)
		view->without_ms = time_without(round);
	if (open != NULL)
		view->at_risk = ctl_own(open, OWN_AT_RISK);
	set_title(view, open, n_open, n_answered);
}
