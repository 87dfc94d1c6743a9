/*
 * keep/watch.c
 *	  What the members say, and the archive's slot on each of them.
 *
 * See watch.h.
 */
#include "watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../node/clock.h"

#define ASK_INTERVAL  UINT64_C(200000) /* us */
#define SLOT_INTERVAL UINT64_C(1000000)
#define RETRY		  UINT64_C(1000000)
#define PATIENCE	  UINT64_C(2000000)

/* So long a word counts: a leader that is silent may be one no longer. */
#define WORD_COUNTS UINT64_C(2000000)

/* One row.  Both names of columns and of functions are PostgreSQL's and pg_leader's. */
static const char question[] =
	"SELECT pg_catalog.pg_is_in_recovery(), coalesce(f.is_open, false), coalesce(l.term, 0), "
	"CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END, "
	"coalesce(v.timeline, 0), coalesce(pg_leader_node_id(), -1), "
	"(SELECT system_identifier FROM pg_catalog.pg_control_system()), "
	"s.slot_name IS NOT NULL, s.restart_lsn IS NULL OR coalesce(s.wal_status, 'lost') = 'lost', s.restart_lsn, coalesce(s.active, false) "
	"FROM pg_leader_fence f, pg_leader_lease() l, pg_leader_server v "
	"LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = '%s' AND s.slot_type = 'physical'";

#define COLUMNS 11

void
watch_init(Watch *watch, const Archive *archive, const Members *members, bool changes)
{
	memset(watch, 0, sizeof(*watch));
	watch->members = members;
	watch->system_id = archive->state.system_id;
	watch->changes = changes;
	watch->streams = -1;
	archive_slot_name(&archive->settings, watch->slot);
	watch_set_position(watch, &archive->state);
}

static void
hang_up(WatchMember *member)
{
	PQfinish(member->connection);
	member->connection = NULL;
	member->stage = WATCH_AWAY;
	member->said.at = 0;
	member->next_at = clock_now() + RETRY;
}

void
watch_close(Watch *watch)
{
	for (int i = 0; i < watch->members->n; i++)
		hang_up(&watch->at[i]);
}

void
watch_set_position(Watch *watch, const ArchiveState *state)
{
	watch->archive = (PlanArchive){state->timeline, state->durable, state->segment_size};
}

/* ---- asking ---- */

static void
fail(WatchMember *member, const char *message)
{
	(void) words_line(message, member->error, sizeof(member->error));
	hang_up(member);
}

static void
send_query(WatchMember *member, const char *query, WatchStage stage)
{
	if (PQsendQuery(member->connection, query) == 0)
	{
		fail(member, PQerrorMessage(member->connection));
		return;
	}
	member->stage = stage;
	member->until = clock_now() + PATIENCE;
}

static void
ask(const Watch *watch, WatchMember *member)
{
	char query[sizeof(question) + ARCHIVE_SLOT_SIZE];

	(void) snprintf(query, sizeof(query), question, watch->slot);
	send_query(member, query, WATCH_ASKS);
}

static uint64_t
lsn_at(const PGresult *result, int column)
{
	uint64_t lsn;

	return lineage_read_lsn(PQgetvalue(result, 0, column), &lsn) ? lsn : 0;
}

static bool
bool_at(const PGresult *result, int column)
{
	return PQgetvalue(result, 0, column)[0] == 't';
}

static uint64_t
number_at(const PGresult *result, int column)
{
	return strtoull(PQgetvalue(result, 0, column), NULL, 10);
}

/* false: it is a member of another cluster. */
static bool
take_answer(const Watch *watch, WatchMember *member, const PGresult *result)
{
	if (PQntuples(result) != 1 || PQnfields(result) != COLUMNS || number_at(result, 6) != watch->system_id)
		return false;
	member->said = (WatchSaid){
		.at = clock_now(),
		.in_recovery = bool_at(result, 0),
		.is_open = bool_at(result, 1),
		.term = number_at(result, 2),
		.end = lsn_at(result, 3),
		.timeline = (uint32_t) number_at(result, 4),
		.node_id = atoi(PQgetvalue(result, 0, 5)),
		.slot = {.answers = true, .exists = bool_at(result, 7), .lost = bool_at(result, 8), .restart = lsn_at(result, 9)},
		.slot_is_used = bool_at(result, 10)};
	return true;
}

/* ---- slots ---- */

/* A query that mends or moves the member's slot, into "query"; false: nothing is to be done. */
static bool
slot_query(const Watch *watch, int i, char *query, size_t size)
{
	const WatchSaid *said = &watch->at[i].said;
	uint64_t		 target;

	if (!said->slot.exists)
	{
		(void) snprintf(query, size, "SELECT pg_catalog.pg_create_physical_replication_slot('%s', true)", watch->slot);
		return true;
	}
	if (said->slot_is_used || watch->streams == i)
		return false;

	/* a rewind or an invalidation: the next round makes it anew */
	if (said->slot.lost)
	{
		(void) snprintf(query, size, "SELECT pg_catalog.pg_drop_replication_slot('%s')", watch->slot);
		return true;
	}
	target = said->in_recovery ? plan_advance(&watch->archive, &said->slot, said->end) : 0;
	if (target == 0)
		return false;
	(void) snprintf(query, size, "SELECT pg_catalog.pg_replication_slot_advance('%s', '%X/%X')", watch->slot,
					(unsigned) (target >> 32), (unsigned) target);
	return true;
}

static void
look_after_slot(Watch *watch, int i)
{
	WatchMember *member = &watch->at[i];
	char		 query[256];
	uint64_t	 now = clock_now();

	if (!watch->changes || now < member->slot_at)
		return;
	member->slot_at = now + SLOT_INTERVAL;
	if (slot_query(watch, i, query, sizeof(query)))
		send_query(member, query, WATCH_CHANGES);
}

/* ---- going on ---- */

/* The answer is complete, or there is none any more. */
static void
finish_query(Watch *watch, int i)
{
	WatchMember *member = &watch->at[i];
	WatchStage	 stage = member->stage;
	PGresult	*result = PQgetResult(member->connection);
	PGresult	*more;
	bool		 good = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;

	while ((more = PQgetResult(member->connection)) != NULL)
		PQclear(more);
	member->stage = WATCH_IDLE;
	member->next_at = clock_now() + ASK_INTERVAL;
	if (!good && (stage == WATCH_ASKS || PQstatus(member->connection) != CONNECTION_OK))
		fail(member, result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(member->connection));
	else if (!good)
		(void) words_line(PQresultErrorMessage(result), member->error, sizeof(member->error));
	else if (stage == WATCH_ASKS && !take_answer(watch, member, result))
		fail(member, "it is of another cluster than the archive: its system identifier differs");
	else
		member->error[0] = '\0';
	PQclear(result);
	if (member->stage == WATCH_IDLE && stage == WATCH_ASKS)
		look_after_slot(watch, i);

	/* the archive wants to know at once what has come of it */
	else if (member->stage == WATCH_IDLE)
		member->next_at = clock_now();
}

static void
go_on_connecting(const Watch *watch, WatchMember *member)
{
	member->polling = PQconnectPoll(member->connection);
	if (member->polling == PGRES_POLLING_FAILED)
		fail(member, PQerrorMessage(member->connection));
	else if (member->polling == PGRES_POLLING_OK)
		ask(watch, member);
}

static void
go_on_reading(Watch *watch, int i)
{
	WatchMember *member = &watch->at[i];

	if (PQconsumeInput(member->connection) == 0)
		fail(member, PQerrorMessage(member->connection));
	else if (!PQisBusy(member->connection))
		finish_query(watch, i);
}

static void
begin_connecting(Watch *watch, int i)
{
	WatchMember *member = &watch->at[i];

	member->connection = members_connect(watch->members, i, false);
	member->stage = WATCH_CONNECTS;
	member->polling = PGRES_POLLING_WRITING;
	member->until = clock_now() + PATIENCE;
	if (member->connection == NULL || PQstatus(member->connection) == CONNECTION_BAD)
		fail(member, member->connection != NULL ? PQerrorMessage(member->connection) : "out of memory");
}

static void
go_on_with(Watch *watch, int i, short ready)
{
	WatchMember *member = &watch->at[i];
	uint64_t	 now = clock_now();

	if (member->stage == WATCH_AWAY && now >= member->next_at)
		begin_connecting(watch, i);
	else if (member->stage == WATCH_IDLE && (now >= member->next_at || ready != 0))
		ask(watch, member);
	else if (member->stage == WATCH_CONNECTS && ready != 0)
		go_on_connecting(watch, member);
	else if ((member->stage == WATCH_ASKS || member->stage == WATCH_CHANGES) && ready != 0)
		go_on_reading(watch, i);
	else if (member->stage != WATCH_AWAY && member->stage != WATCH_IDLE && now >= member->until)
		fail(member, "it does not answer");
}

void
watch_go_on(Watch *watch, const struct pollfd *fds)
{
	for (int i = 0; i < watch->members->n; i++)
		go_on_with(watch, i, fds[i].revents);
}

void
watch_fds(const Watch *watch, struct pollfd *fds)
{
	for (int i = 0; i < watch->members->n; i++)
	{
		const WatchMember *member = &watch->at[i];
		bool			   writes = member->stage == WATCH_CONNECTS && member->polling == PGRES_POLLING_WRITING;

		fds[i] = (struct pollfd){.fd = member->connection != NULL ? PQsocket(member->connection) : -1, .events = writes ? POLLOUT : POLLIN};
	}
}

uint64_t
watch_next_at(const Watch *watch)
{
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < watch->members->n; i++)
	{
		const WatchMember *member = &watch->at[i];
		uint64_t		   at = member->stage == WATCH_AWAY || member->stage == WATCH_IDLE ? member->next_at : member->until;

		if (at < next)
			next = at;
	}
	return next;
}

/* ---- what is made of it ---- */

bool
watch_answers(const Watch *watch, int i)
{
	uint64_t at = watch->at[i].said.at;

	return at != 0 && clock_now() - at < WORD_COUNTS;
}

void
watch_words(const Watch *watch, PlanWord *words)
{
	for (int i = 0; i < watch->members->n; i++)
	{
		const WatchSaid *said = &watch->at[i].said;

		words[i] = (PlanWord){.answers = watch_answers(watch, i), .is_open = said->is_open, .term = said->term};
	}
}

PlanHolds
watch_holds(const Watch *watch, int i)
{
	PlanSlot slot = watch->at[i].said.slot;

	slot.answers = watch_answers(watch, i);
	return plan_holds(&watch->archive, &slot);
}

bool
watch_is_exposed(const Watch *watch, int leader)
{
	PlanHolds standbys[MEMBERS_MOST];
	int		  n = 0;

	for (int i = 0; i < watch->members->n; i++)
	{
		if (i != leader)
			standbys[n++] = watch_holds(watch, i);
	}
	return plan_is_exposed(standbys, n);
}
