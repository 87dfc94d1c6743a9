/*
 * keep/stream_begin.c
 *	  How the receiver begins: which timeline and from where, after what is to be cut was cut.
 *
 * See stream.h.  plan.h decides; here it is asked for and done.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../node/clock.h"
#include "../supervisor/files.h"
#include "../supervisor/say.h"
#include "catalogue.h"
#include "plan.h"
#include "stream.h"

#define PATIENCE UINT64_C(3000000) /* us, for each answer */

/* What is under way, besides the stream. */
typedef struct Beginning
{
	Stream	 *stream;
	uint64_t  term;
	Lineage	  leads; /* the member's path */
	Lineage	  own;
	PlanBegin plan;
} Beginning;

static Beginning beginning;

static const char *
name_of(const Stream *stream)
{
	return stream->members->at[stream->member].name;
}

static PlanArchive
position_of(const Archive *archive)
{
	return (PlanArchive){archive->state.timeline, archive->state.durable, archive->state.segment_size};
}

/* ---- what the member has ---- */

/* A history file's text, to be freed with PQclear(); NULL: words. */
static PGresult *
ask_history(Stream *stream, uint32_t timeline, Words *words)
{
	char	  query[64];
	PGresult *result;
	Words	  why;

	(void) snprintf(query, sizeof(query), "TIMELINE_HISTORY %u", timeline);
	words_clear(&why);
	result = session_ask(stream->connection, query, PATIENCE, NULL, &why);
	if (result != NULL && PQntuples(result) == 1 && PQnfields(result) == 2)
		return result;
	(void) words_set(words, "The archive takes no WAL of a timeline without its history. It asks again.",
					 "%s does not give the history of timeline %u: %s", name_of(stream), timeline, result == NULL ? why.error : "it is empty");
	PQclear(result);
	return NULL;
}

static bool
learn_path(Beginning *b, Words *words)
{
	Stream		   *stream = b->stream;
	SessionIdentity identity = {0};
	PGresult	   *result;
	LineageVerdict	verdict;

	if (!session_identify(stream->connection, PATIENCE, &identity, words))
		return false;
	if (identity.system_id != stream->archive->state.system_id)
		return words_set(words, "Check the members in keep.conf.", "%s is of another cluster: its system identifier is %" PRIu64 ", and the archive's %" PRIu64,
						 name_of(stream), identity.system_id, stream->archive->state.system_id);
	stream->sent = identity.flush;
	if (identity.timeline == 1)
	{
		lineage_first(&b->leads);
		return true;
	}
	result = ask_history(stream, identity.timeline, words);
	if (result == NULL)
		return false;
	verdict = lineage_parse(&b->leads, identity.timeline, PQgetvalue(result, 0, 1), (size_t) PQgetlength(result, 0, 1), words);
	PQclear(result);
	return verdict == LINEAGE_GOOD || (verdict == LINEAGE_BURNT && words_set(words, "", "the history of timeline %u names no ancestors", identity.timeline));
}

/* From where the slot holds WAL; 0: it does not. */
static uint64_t
ask_slot(Stream *stream)
{
	char	  query[256];
	char	  slot[ARCHIVE_SLOT_SIZE];
	PGresult *result;
	Words	  words;
	uint64_t  lsn = 0;

	archive_slot_name(&stream->archive->settings, slot);
	(void) snprintf(query, sizeof(query), "SELECT restart_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = '%s' AND wal_status <> 'lost'", slot);
	words_clear(&words);
	result = session_ask(stream->connection, query, PATIENCE, NULL, &words);
	if (result != NULL && PQntuples(result) == 1 && !lineage_read_lsn(PQgetvalue(result, 0, 0), &lsn))
		lsn = 0;
	PQclear(result);
	return lsn;
}

/* ---- what the archive has ---- */

/* The state after that, and its line in the catalogue. */
static bool
go_to(Beginning *b, const PlanBegin *plan, bool anew, Words *words)
{
	Archive		  *archive = b->stream->archive;
	ArchiveState   next = archive->state;
	CatalogueEntry entry;

	next.term = b->term > next.term ? b->term : next.term;
	next.timeline = plan->timeline;
	next.durable = plan->durable;
	if (anew)
	{
		next.begin = plan->durable;
		next.begin_timeline = plan->timeline;
	}
	if (next.timeline != archive->state.timeline && !anew)
	{
		catalogue_begin(&entry, "timeline");
		catalogue_add(&entry, "timeline", "%u", next.timeline);
		catalogue_add_lsn(&entry, "from", next.durable);
		catalogue_add(&entry, "term", "%" PRIu64, b->term);
		if (!catalogue_append(archive, &entry, words))
			return false;
	}
	return archive_save(archive, &next, words);
}

/* Before the state names a timeline, its history is there. */
static bool
store_history(Beginning *b, uint32_t timeline, Words *words)
{
	Stream	 *stream = b->stream;
	PGresult *result;
	char	  path[STORE_PATH_SIZE];
	bool	  good;

	archive_history_path(stream->archive, timeline, path);
	if (timeline == 1 || files_exists(path))
		return true;
	result = ask_history(stream, timeline, words);
	if (result == NULL)
		return false;
	good = wal_put_history(stream->archive, timeline, PQgetvalue(result, 0, 1), words);
	PQclear(result);
	return good;
}

static bool
begin_first(Beginning *b, Words *words)
{
	Archive		  *archive = b->stream->archive;
	PlanArchive	   position = position_of(archive);
	CatalogueEntry entry;
	uint64_t	   slot = ask_slot(b->stream);

	if (!plan_begin_first(&position, slot, &b->leads, &b->plan))
		return words_set(words, "It is made by itself, about once a second.", "%s has no replication slot for this archive yet", name_of(b->stream));
	catalogue_begin(&entry, "begin");
	catalogue_add(&entry, "timeline", "%u", b->plan.timeline);
	catalogue_add_lsn(&entry, "lsn", b->plan.durable);
	return store_history(b, b->plan.timeline, words) && catalogue_append(archive, &entry, words) && go_to(b, &b->plan, true, words);
}

/* ---- the gap ---- */

/*
 * If the member had no WAL from there on when it was asked, and its slot begins behind, there is a gap.
 * false: it could not be noted.
 */
static bool
look_for_gap(Beginning *b, Words *words)
{
	Archive		  *archive = b->stream->archive;
	PlanArchive	   position = position_of(archive);
	PlanBegin	   after;
	CatalogueEntry entry;

	if (b->stream->gone != b->plan.start || !plan_gap(&position, &b->plan, ask_slot(b->stream), &b->leads, &after))
		return true;
	b->stream->gone = 0;
	catalogue_begin(&entry, "gap");
	catalogue_add(&entry, "timeline", "%u", archive->state.timeline);
	catalogue_add_lsn(&entry, "from", archive->state.durable);
	catalogue_add(&entry, "to_timeline", "%u", after.timeline);
	catalogue_add_lsn(&entry, "to", after.durable);
	if (!store_history(b, after.timeline, words) || !catalogue_append(archive, &entry, words) || !go_to(b, &after, true, words))
		return false;
	say_error("What was archived before can be restored as before. Make a new base backup: full_backup. Raise max_slot_wal_keep_size.",
			  "gap in the archive: WAL from %s on is gone, and the archive begins anew at %X/%X on timeline %u",
			  catalogue_get(&entry, "from"), (unsigned) (after.durable >> 32), (unsigned) after.durable, after.timeline);
	b->plan = after;
	return true;
}

/* Cut, and go on behind the fork. */
static bool
begin_behind(Beginning *b, Words *words)
{
	Archive	   *archive = b->stream->archive;
	PlanArchive position = position_of(archive);
	uint64_t	before = archive->state.durable;
	int			cuts;

	if (!archive_lineage(archive, archive->state.timeline, &b->own, words))
		return false;
	if (!plan_begin(&position, &b->own, &b->leads, &b->plan))
		return words_set(words, "Check the members in keep.conf.", "the WAL of %s has nothing in common with this archive", name_of(b->stream));
	if (!wal_cut(archive, &b->own, &b->leads, &cuts, words))
		return false;
	if (cuts > 0)
		say_warning("See \"pg_leader_keep abandoned\".", "cut the archive at %X/%X: WAL up to %X/%X is not on the path of the cluster any more, and is kept aside",
					(unsigned) (b->plan.durable >> 32), (unsigned) b->plan.durable, (unsigned) (before >> 32), (unsigned) before);
	if (b->plan.durable < archive->state.begin)
		return begin_first(b, words);
	if (b->plan.timeline == archive->state.timeline && b->plan.durable == before)
		return look_for_gap(b, words);
	if (!store_history(b, b->plan.timeline, words) || !go_to(b, &b->plan, false, words))
		return false;
	say("the archive goes on at %X/%X on timeline %u", (unsigned) (b->plan.durable >> 32), (unsigned) b->plan.durable, b->plan.timeline);
	return true;
}

/* ---- start ---- */

static StreamEnd
start(Beginning *b, Words *words)
{
	Stream	 *stream = b->stream;
	char	  query[128];
	char	  slot[ARCHIVE_SLOT_SIZE];
	PGresult *result;
	Words	  why;

	archive_slot_name(&stream->archive->settings, slot);
	(void) snprintf(query, sizeof(query), "START_REPLICATION SLOT %s PHYSICAL %X/%X TIMELINE %u", slot,
					(unsigned) (b->plan.start >> 32), (unsigned) b->plan.start, b->plan.timeline);
	words_clear(&why);
	result = session_ask(stream->connection, query, PATIENCE, NULL, &why);
	if (result == NULL || PQresultStatus(result) != PGRES_COPY_BOTH)
	{
		bool ended = result != NULL;

		PQclear(result);
		if (ended)
			return STREAM_ENDED; /* it has nothing of that timeline behind that position */
		(void) words_set(words, "If this persists, see the log of that server.", "%s does not send WAL: %s", name_of(stream), why.error);
		return STREAM_BROKEN;
	}
	PQclear(result);
	stream->timeline = b->plan.timeline;
	stream->received = stream->flushed = b->plan.start;
	stream->saved_at = stream->told_at = clock_now();
	stream->tell = true;
	return STREAM_GOES_ON;
}

StreamEnd
stream_begin(Stream *stream, int member, uint64_t term, Words *words)
{
	Beginning *b = &beginning;
	StreamEnd  end = STREAM_BROKEN;
	bool	   good;

	words_clear(words);
	b->stream = stream;
	b->term = term;
	stream->member = member;
	stream->connection = session_open(stream->members, member, true, PATIENCE, words);
	if (stream->connection != NULL && learn_path(b, words))
	{
		good = stream->archive->state.timeline == 0 ? begin_first(b, words) : begin_behind(b, words);
		if (good)
			end = start(b, words);
	}
	if (end == STREAM_GOES_ON)
		return end;
	PQfinish(stream->connection);
	stream->connection = NULL;
	stream->member = -1;
	return end;
}
