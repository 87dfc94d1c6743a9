/*
 * tools/ctl_act.c
 *	  The commands of pg_leaderctl that change something.
 *
 * See ctl_act.h.
 */
#include "ctl_act.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../node/clock.h"
#define SECOND UINT64_C(1000000)

/* How long each may take without --wait, us. */
#define PAUSE_WAIT	 (10 * SECOND)
#define REINIT_WAIT	 (10 * SECOND)
#define SWITCH_WAIT	 (30 * SECOND)
#define RESTART_WAIT (300 * SECOND)

/* Between two looks at a server that restarts, us. */
#define LOOK_INTERVAL (SECOND / 2)

#define CALL_SIZE 512

/* ---- what all of them need ---- */

bool
ctl_act_fail(const char *hint, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: error: ", CTL_PROGRAM);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	if (hint != NULL && hint[0] != '\0')
		fprintf(stderr, "%s: hint: %s\n", CTL_PROGRAM, hint);
	return false;
}

/* Who leads by its own word, which is sure, or else by that of others; RAFT_NONE: nobody. */
static int32_t
leader_of(const CtlRound *round)
{
	int64_t leader = RAFT_NONE;

	for (int i = 0; i < round->n_servers; i++)
	{
		const CtlServer *server = &round->servers[i];

		if (!ctl_counts(round, server))
			continue;
		if (ctl_own_is(server, OWN_HAS_LEASE))
			return server->node_id;
		if (ctl_own(server, OWN_LEADER) != NULL)
			leader = ctl_number(ctl_own(server, OWN_LEADER));
	}
	return (int32_t) leader;
}

const CtlServer *
ctl_act_leader(const CtlAct *act)
{
	int32_t leader = leader_of(act->round);

	if (leader != RAFT_NONE)
		return ctl_act_member(act, leader);
	(void) ctl_act_fail("\"" CTL_PROGRAM " list\" shows the members and what is wrong with them.", "nobody leads at this moment");
	return NULL;
}

const CtlServer *
ctl_act_member(const CtlAct *act, int32_t node_id)
{
	const CtlServer *server = ctl_member(act->round, node_id);

	if (cluster_member(&act->round->list, node_id) == NULL)
		(void) ctl_act_fail("\"" CTL_PROGRAM " list\" shows the members.", "node %d is not a member of the cluster", (int) node_id);
	else if (server == NULL)
		(void) ctl_act_fail("Name all servers: -h HOST,HOST,... -p PORT,PORT,...", "the port of node %d is not known", (int) node_id);
	else if (server->step != CTL_ANSWERED)
		(void) ctl_act_fail(server->hint, "node %d does not answer: %s", (int) node_id, server->error);
	else
		return server;
	return NULL;
}

/* One query there.  words: what went wrong. */
static CtlSaid
query(const CtlAct *act, const CtlServer *server, const char *text, uint64_t bound, char *result, size_t size, Words *words)
{
	PGconn	 *connection = ctl_options_connect(&server->at);
	PGresult *rows = NULL;
	CtlSaid	  said = CTL_SAID_NOTHING;

	words_clear(words);
	if (connection == NULL || !ctl_session_connect(connection, act->options->timeout))
		(void) words_set(words, NULL, "no connection");
	else
		said = ctl_session_rows(connection, PQsendQuery(connection, text) == 1, bound, &rows, words);
	if (size > 0)
		(void) snprintf(result, size, "%s", rows != NULL && PQntuples(rows) > 0 ? PQgetvalue(rows, 0, 0) : "");
	PQclear(rows);
	PQfinish(connection);
	return said;
}

CtlSaid
ctl_act_call(const CtlAct *act, const CtlServer *server, const char *call, char *result, size_t size)
{
	char	text[CALL_SIZE];
	int		length = snprintf(text, sizeof(text), "SELECT %s.%s", server->schema, call);
	Words	words;
	CtlSaid said;

	assert(length > 0 && (size_t) length < sizeof(text));
	said = query(act, server, text, act->wait + act->options->timeout, result, size, &words);
	if (said == CTL_SAID_ERROR || said == CTL_SAID_NOTHING)
		(void) ctl_act_fail(words.hint, "node %d: %s", (int) server->node_id, words.error);
	return said;
}

/* A call of an answer or an error: that was not its business to end the session. */
static bool
call_stays(const CtlAct *act, const CtlServer *server, const char *call)
{
	CtlSaid said = ctl_act_call(act, server, call, NULL, 0);

	if (said == CTL_SAID_LOST)
		(void) ctl_act_fail("It may have been done all the same: \"" CTL_PROGRAM " list\" tells.",
							"node %d has ended the connection before it answered", (int) server->node_id);
	return said == CTL_SAID_ROWS;
}

static void
say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static void
sleep_a_moment(void)
{
	struct timespec moment = {.tv_nsec = LOOK_INTERVAL * 1000};

	(void) nanosleep(&moment, NULL);
}

/* ---- pause, resume ---- */

/* "pg_leader_pause('10000 ms')" */
static bool
call_leader(const CtlAct *act, const char *function)
{
	const CtlServer *leader = ctl_act_leader(act);
	char			 call[CALL_SIZE];

	(void) snprintf(call, sizeof(call), "%s('%" PRIu64 " ms')", function, act->wait / 1000);
	return leader != NULL && call_stays(act, leader, call);
}

static bool
pause_cluster(CtlAct *act)
{
	if (!call_leader(act, "pg_leader_pause"))
		return false;
	say("The cluster is paused: no server is promoted, and none is demoted because of its health, until \"%s resume\".", CTL_PROGRAM);
	return true;
}

static bool
resume_cluster(CtlAct *act)
{
	if (!call_leader(act, "pg_leader_resume"))
		return false;
	say("The cluster is not paused any more.");
	return true;
}

/* ---- reinit ---- */

/* Its server is stopped for that, and so is the session perhaps before the answer comes. */
static bool
was_taken(CtlSaid said)
{
	return said == CTL_SAID_ROWS || said == CTL_SAID_LOST;
}

static bool
reinit(CtlAct *act)
{
	const CtlServer *server = ctl_act_member(act, act->node);

	if (server == NULL || !was_taken(ctl_act_call(act, server, "pg_leader_reinit()", NULL, 0)))
		return false;
	say("Node %d clones its data anew. \"%s list\" shows when it follows again.", (int) act->node, CTL_PROGRAM);
	return true;
}

/* ---- switchover ---- */

/* Who is the primary and open for commits, and not that one; RAFT_NONE: nobody that answers. */
static int32_t
other_primary(const CtlAct *act, int32_t node_id)
{
	for (int i = 0; i < act->round->n_servers; i++)
	{
		const CtlServer *server = &act->round->servers[i];

		if (ctl_counts(act->round, server) && server->node_id != node_id && ctl_own_is(server, OWN_FENCE_OPEN))
			return server->node_id;
	}
	return RAFT_NONE;
}

/*
 * Until another one is open.  That it leads was the answer, or that was lost with the server that was to
 * give it.
 */
static bool
wait_until_open(CtlAct *act, int32_t node_id, int32_t *next)
{
	uint64_t until = clock_now() + act->wait;

	do
	{
		ctl_ask(act->round, act->options);
		*next = other_primary(act, node_id);
		if (*next != RAFT_NONE)
			return true;
		sleep_a_moment();
	} while (clock_now() < until);
	return ctl_act_fail("\"" CTL_PROGRAM " events\" shows what has happened.",
						"no other primary than node %d is open for commits within %g s", (int) node_id, (double) act->wait / 1e6);
}

/* target: RAFT_NONE lets the primary choose.  next: who is the primary then. */
static bool
switch_to(CtlAct *act, const CtlServer *primary, int32_t target, bool slots, int32_t *next)
{
	int32_t node_id = primary->node_id;
	char	call[CALL_SIZE];
	CtlSaid said;

	(void) snprintf(call, sizeof(call), "pg_leader_switchover(nullif(%d, %d), '%" PRIu64 " ms', %s)", (int) target, RAFT_NONE,
					act->wait / 1000, slots ? "true" : "false");
	said = ctl_act_call(act, primary, call, NULL, 0);
	return (said == CTL_SAID_ROWS || said == CTL_SAID_LOST) && wait_until_open(act, node_id, next);
}

static bool
switch_over(CtlAct *act)
{
	const CtlServer *primary = ctl_act_leader(act);
	int32_t			 before = primary != NULL ? primary->node_id : RAFT_NONE;
	int32_t			 next;

	if (primary == NULL || !switch_to(act, primary, act->node, act->slots, &next))
		return false;
	say("Node %d is the primary now, in the place of node %d, which comes back as a standby.", (int) next, (int) before);
	return true;
}

/* ---- restart ---- */

static bool
is_primary(const CtlServer *server)
{
	return !ctl_own_is(server, OWN_IN_RECOVERY);
}

/* Does it follow, and receive? */
static bool
streams(const CtlServer *server)
{
	const char *order = ctl_own(server, OWN_ORDER);

	return server->step == CTL_ANSWERED && !is_primary(server) && ctl_own_is(server, OWN_RECEIVES) &&
		   order != NULL && strcmp(order, "FOLLOW") == 0;
}

/* When it was started, as text; empty: it does not answer. */
static void
started_at(const CtlAct *act, const CtlServer *server, char *text, size_t size)
{
	Words words;

	(void) query(act, server, "SELECT pg_catalog.pg_postmaster_start_time()", act->options->timeout, text, size, &words);
}

/* Until it was started after "before" and streams; false: not in time, and that was said. */
static bool
wait_until_back(CtlAct *act, int32_t node_id, const char *before)
{
	uint64_t		 until = clock_now() + act->wait;
	const CtlServer *server;
	char			 now[64];

	do
	{
		sleep_a_moment();
		ctl_ask(act->round, act->options);
		server = ctl_member(act->round, node_id);
		if (server == NULL || !streams(server))
			continue;
		started_at(act, server, now, sizeof(now));
		if (now[0] != '\0' && strcmp(now, before) != 0)
			return true;
	} while (clock_now() < until);
	return ctl_act_fail("Its log, and that of its supervisor, say what it waits for. \"" CTL_PROGRAM " list\" shows its state.",
						"node %d does not stream within %g s after its restart", (int) node_id, (double) act->wait / 1e6);
}

/* The old primary comes back from a switchover as a standby that was started anew. */
static bool
restart_primary(CtlAct *act, const CtlServer *primary)
{
	int32_t	 node_id = primary->node_id;
	int32_t	 next;
	uint64_t wait = act->wait;
	char	 before[64];

	started_at(act, primary, before, sizeof(before));
	act->wait = SWITCH_WAIT;
	if (!switch_to(act, primary, RAFT_NONE, false, &next))
		return false;
	act->wait = wait;
	say("Node %d is the primary now, in the place of node %d.", (int) next, (int) node_id);
	if (!wait_until_back(act, node_id, before))
		return false;
	say("Node %d was restarted, and streams.", (int) node_id);
	return true;
}

static bool
restart_standby(CtlAct *act, const CtlServer *server)
{
	int32_t node_id = server->node_id;
	char	before[64];

	started_at(act, server, before, sizeof(before));
	if (!was_taken(ctl_act_call(act, server, "pg_leader_restart()", NULL, 0)) || !wait_until_back(act, node_id, before))
		return false;
	say("Node %d was restarted, and streams.", (int) node_id);
	return true;
}

/* One after the other never stops commits, if all are there to begin with. */
static bool
may_roll(const CtlAct *act, const CtlServer **primary)
{
	const Cluster *list = &act->round->list;

	*primary = NULL;
	for (int i = 0; i < list->n_members; i++)
	{
		const CtlServer *server = ctl_act_member(act, list->members[i].node_id);

		if (server == NULL)
			return false;
		if (is_primary(server) && ctl_own_is(server, OWN_FENCE_OPEN))
			*primary = server;
		else if (!streams(server))
			return ctl_act_fail("\"" CTL_PROGRAM " list\" says why.", "node %d does not follow a primary", (int) server->node_id);
	}
	return *primary != NULL || ctl_act_fail("\"" CTL_PROGRAM " list\" says why.", "no primary is open for commits");
}

static bool
restart_all(CtlAct *act)
{
	const Cluster	*list = &act->round->list;
	const CtlServer *primary;
	int32_t			 primary_id;

	if (!may_roll(act, &primary))
		return false;
	primary_id = primary->node_id;
	for (int i = 0; i < list->n_members; i++)
	{
		int32_t			 node_id = list->members[i].node_id;
		const CtlServer *server;

		if (node_id == primary_id)
			continue;

		/* each step goes by what was seen after the one before it */
		server = ctl_act_member(act, node_id);
		if (server == NULL || !restart_standby(act, server))
			return false;
	}
	primary = ctl_act_member(act, primary_id);
	return primary != NULL && restart_primary(act, primary);
}

static bool
restart(CtlAct *act)
{
	const CtlServer *server;

	if (act->rolling)
		return restart_all(act);
	server = ctl_act_member(act, act->node);
	if (server == NULL)
		return false;
	return is_primary(server) ? restart_primary(act, server) : restart_standby(act, server);
}

/* ---- the table ---- */

static const CtlVerb verbs[] = {
	{"pause", CTL_NODE_NONE, false, PAUSE_WAIT, pause_cluster},
	{"resume", CTL_NODE_NONE, false, PAUSE_WAIT, resume_cluster},
	{"switchover", CTL_NODE_MAYBE, false, SWITCH_WAIT, switch_over},
	{"reinit", CTL_NODE_NEEDED, false, REINIT_WAIT, reinit},
	{"restart", CTL_NODE_NEEDED, true, RESTART_WAIT, restart},
};

const CtlVerb *
ctl_act_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
	{
		if (strcmp(name, verbs[i].name) == 0)
			return &verbs[i];
	}
	return NULL;
}

bool
ctl_act(CtlAct *act)
{
	if (act->wait == 0)
		act->wait = act->verb->wait;
	return act->verb->run(act);
}
