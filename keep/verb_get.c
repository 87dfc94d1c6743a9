/*
 * keep/verb_get.c
 *	  get %f %p: PostgreSQL's restore_command.
 *
 * PostgreSQL takes an exit status of 1 to 125 for "there is no such file", and with it may end
 * recovery, and any above for an error that stops it.  So whatever is not known for certain is 255.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog_internal.h"

#include "../supervisor/files.h"
#include "keep.h"
#include "plan.h"
#include "wal.h"

#define COPIED_AT_ONCE (256 * 1024)

static int
hole(const Words *words)
{
	(void) keep_fail(words);
	return EXIT_HOLE;
}

/* Behind the fork nothing is given away, whatever the file holds. */
static bool
copy_segment(const char *from, const char *to, uint64_t keep, uint64_t size, Words *words)
{
	static char buffer[COPIED_AT_ONCE];
	int			in = open(from, O_RDONLY | O_CLOEXEC);
	int			out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
	ssize_t		n = 1;
	bool		good = in >= 0 && out >= 0;

	for (uint64_t at = 0; good && at < keep && n > 0; at += (uint64_t) n)
	{
		n = pread(in, buffer, keep - at < sizeof(buffer) ? keep - at : sizeof(buffer), (off_t) at);
		good = n >= 0 && write(out, buffer, (size_t) n) == n;
	}
	good = good && ftruncate(out, (off_t) size) == 0;
	if (!good)
		(void) words_set(words, "", "could not copy \"%s\" to \"%s\": %s", from, to, strerror(errno));
	if (in >= 0)
		(void) close(in);
	if (out >= 0)
		good = close(out) == 0 && good;
	return good;
}

/* ---- a segment ---- */

/* What plan_get() has to know. */
static void
look_for(const Archive *archive, const Lineage *newest, uint32_t timeline, uint64_t number, PlanSegment *segment)
{
	int			n;
	WalSegment *segments = wal_segments(archive, timeline, &n);

	*segment = (PlanSegment){.begin = number * archive->state.segment_size,
							 .end = archive_end_of(archive, newest, timeline),
							 .is_old = timeline != archive->state.timeline};
	for (int i = 0; i < n; i++)
	{
		segment->complete |= segments[i].segment == number && !segments[i].partial;
		segment->partial |= segments[i].segment == number && segments[i].partial;
		segment->later |= segments[i].segment > number && (!segment->is_old || segments[i].segment * archive->state.segment_size < segment->end);
	}
	free(segments);
}

static int
get_segment(const Archive *archive, const char *name, const char *to)
{
	static Lineage newest;
	TimeLineID	   timeline;
	XLogSegNo	   number;
	PlanSegment	   segment;
	PlanGet		   verdict;
	uint64_t	   keep = archive->state.segment_size;
	char		   from[STORE_PATH_SIZE];
	Words		   words;

	words_clear(&words);
	XLogFromFileName(name, &timeline, &number, (int) archive->state.segment_size);
	if (archive->state.timeline == 0)
		return EXIT_FAILED;
	if (!archive_lineage(archive, archive->state.timeline, &newest, &words))
		return hole(&words);
	look_for(archive, &newest, timeline, number, &segment);
	verdict = plan_get(&segment);
	if (verdict == PLAN_NOT_THERE)
		return EXIT_FAILED;
	if (verdict == PLAN_HOLE)
	{
		(void) words_set(&words, "See \"pg_leader_keep get_state_all\". Restore to a point before it.",
						 "WAL is missing in the archive \"%s\": it has no segment %s, and has WAL behind it", archive->path, name);
		return hole(&words);
	}
	if (segment.is_old && segment.end - segment.begin < keep)
		keep = segment.end - segment.begin;
	archive_segment_path(archive, timeline, number, verdict == PLAN_SERVE_PARTIAL, from);
	return copy_segment(from, to, keep, archive->state.segment_size, &words) ? EXIT_DONE : hole(&words);
}

/* ---- a history ---- */

static int
get_history(const Archive *archive, const char *name, const char *to)
{
	static Lineage newest;
	uint32_t	   timeline = (uint32_t) strtoul(name, NULL, 16);
	char		   from[STORE_PATH_SIZE];
	Words		   words;

	words_clear(&words);
	archive_history_path(archive, timeline, from);
	if (files_exists(from))
		return files_copy(from, to, 0, &words) ? EXIT_DONE : hole(&words);
	if (timeline == archive->state.timeline && timeline != 1 && !archive_lineage(archive, timeline, &newest, &words))
		return hole(&words);
	return EXIT_FAILED;
}

int
verb_get(KeepCall *call)
{
	Words words;

	if (call->argc != 3)
	{
		(void) keep_usage("get needs the name of a file and where to put it: restore_command = '%s get %%f %%p'", KEEP_PROGRAM);
		return EXIT_HOLE;
	}
	if (IsXLogFileName(call->argv[1]))
		return get_segment(call->archive, call->argv[1], call->argv[2]);
	if (IsTLHistoryFileName(call->argv[1]))
		return get_history(call->archive, call->argv[1], call->argv[2]);

	/* what PostgreSQL asks for besides is of no use here, such as the label of a base backup */
	if (IsBackupHistoryFileName(call->argv[1]) || IsPartialXLogFileName(call->argv[1]))
		return EXIT_FAILED;
	words_clear(&words);
	(void) words_set(&words, "", "\"%s\" is no name of WAL", call->argv[1]);
	return hole(&words);
}
