/*
 * supervisor/diverged.c
 *	  WAL that a rebuild is about to throw away: kept for the DBA, and described.
 *
 * See diverged.h.  pg_waldump reads it: how far it reaches, how many commits are in it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "diverged.h"
#include "files.h"
#include "program.h"

#define DESCRIPTION "README"

/* What pg_waldump has found. */
typedef struct Found
{
	uint64_t last; /* where the last record begins; 0: there is none */
	uint32_t commits;
	char	 first_time[48];
	char	 last_time[48];
} Found;

/* "... lsn: 0/1528B00, ... desc: COMMIT 2026-11-28 12:00:00.123 UTC; ..." */
static bool
take_record(const char *line, void *context)
{
	static const char commit[] = "desc: COMMIT ";
	Found			 *found = context;
	const char		 *lsn = strstr(line, "lsn: ");
	const char		 *desc = strstr(line, commit);
	unsigned		  high;
	unsigned		  low;

	if (lsn == NULL || sscanf(lsn, "lsn: %X/%X", &high, &low) != 2)
		return true;
	found->last = (uint64_t) high << 32 | low;
	if (desc == NULL)
		return true;
	desc += strlen(commit);
	(void) snprintf(found->last_time, sizeof(found->last_time), "%.*s", (int) strcspn(desc, ";"), desc);
	if (found->commits++ == 0)
		(void) snprintf(found->first_time, sizeof(found->first_time), "%s", found->last_time);
	return true;
}

/* The first segment of that timeline from there on; 0: there is none. */
static uint64_t
first_segment(const char *wal, uint32_t timeline, uint64_t from, uint32_t size)
{
	char name[MAXFNAMELEN];
	char path[STORE_PATH_SIZE];

	for (uint64_t segment = from / size; segment <= from / size + DIVERGED_MOST / size; segment++)
	{
		XLogFileName(name, timeline, segment, (int) size);
		if (files_join(path, wal, name) && files_exists(path))
			return segment;
	}
	return 0;
}

/* What there is of one timeline, from there on. */
static bool
read_timeline(const Diverged *d, const char *wal, uint32_t timeline, uint64_t *from, Found *found)
{
	char			  begin[32];
	char			  number[16];
	const char *const arguments[] = {"-p", wal, "-t", number, "-s", begin, NULL};
	Program			  program = {.directory = d->programs, .name = "pg_waldump", .arguments = arguments, .output = take_record, .context = found};
	uint64_t		  segment = first_segment(wal, timeline, *from, d->segment_size);
	Words			  words;

	if (segment == 0)
		return false;
	if (segment * d->segment_size > *from)
		*from = segment * d->segment_size;
	(void) snprintf(begin, sizeof(begin), "%X/%X", (unsigned) (*from >> 32), (unsigned) *from);
	(void) snprintf(number, sizeof(number), "%" PRIu32, timeline);

	/* it ends with an error where the WAL does */
	(void) program_run(&program, &words);
	return found->last >= *from;
}

static bool
copy_segments(const Diverged *d, const char *wal, const char *to, uint32_t timeline, uint64_t from, uint64_t last, Words *words)
{
	char name[MAXFNAMELEN];
	char source[STORE_PATH_SIZE];
	char target[STORE_PATH_SIZE];

	if (last - from > DIVERGED_MOST)
		last = from + DIVERGED_MOST;
	if (files_room(to) < (last / d->segment_size - from / d->segment_size + 3) * d->segment_size)
		return words_set(words, "", "there is no room for it in \"%s\"", to);
	for (uint64_t segment = from / d->segment_size; segment <= last / d->segment_size; segment++)
	{
		XLogFileName(name, timeline, segment, (int) d->segment_size);
		if (!files_join(source, wal, name) || !files_join(target, to, name) || !files_copy(source, target, 0, words))
			return false;
	}
	return true;
}

/* ---- what is kept ---- */

typedef struct Kept
{
	int	 n;
	char oldest[STORE_PATH_SIZE];
	long time;
} Kept;

static bool
look_at_kept(const char *directory, const char *name, void *context, Words *words)
{
	Kept	   *kept = context;
	char		path[STORE_PATH_SIZE];
	struct stat kind;

	(void) words;
	if (!files_join(path, directory, name) || stat(path, &kind) != 0 || !S_ISDIR(kind.st_mode))
		return true;
	kept->n++;
	if (kept->oldest[0] == '\0' || kind.st_mtime < kept->time)
	{
		kept->time = kind.st_mtime;
		(void) snprintf(kept->oldest, sizeof(kept->oldest), "%s", path);
	}
	return true;
}

/* So that there is room for one more. */
static bool
remove_oldest(const char *directory, Words *words)
{
	Kept kept = {.n = 0};

	return files_each(directory, look_at_kept, &kept, words) &&
		   (kept.n < DIVERGED_KEPT || files_remove_tree(kept.oldest, words));
}

static void
describe(uint32_t timeline, uint64_t from, const Found *found, char *said, size_t size)
{
	if (found->commits == 0)
		(void) snprintf(said, size, "WAL of timeline %" PRIu32 " from %X/%X to the record at %X/%X, without a commit",
						timeline, (unsigned) (from >> 32), (unsigned) from, (unsigned) (found->last >> 32), (unsigned) found->last);
	else
		(void) snprintf(said, size, "WAL of timeline %" PRIu32 " from %X/%X to the record at %X/%X, with %" PRIu32 " commits from %s to %s",
						timeline, (unsigned) (from >> 32), (unsigned) from, (unsigned) (found->last >> 32), (unsigned) found->last,
						found->commits, found->first_time, found->last_time);
}

static bool
keep_timeline(const Diverged *d, const char *wal, const char *kept, uint32_t timeline, uint64_t from, const Found *found,
			  const char *what, char *place, Words *words)
{
	char new[STORE_PATH_SIZE];
	char text[1024];
	char path[STORE_PATH_SIZE];

	if (snprintf(place, STORE_PATH_SIZE, "%s/%" PRIu32 "-%X-%X", kept, timeline, (unsigned) (from >> 32), (unsigned) from) >= STORE_PATH_SIZE ||
		snprintf(new, sizeof(new), "%s.new", place) >= (int) sizeof(new))
		return words_set(words, "", "the path of the state directory is too long");
	if (files_exists(place))
		return true;
	if (!files_remove_tree(new, words) || !remove_oldest(kept, words))
		return false;
	if (mkdir(new, S_IRWXU) != 0)
		return files_fail(words, "", "create the directory", new);
	(void) snprintf(text, sizeof(text), "Node %d: %s.\nThe leader's WAL goes on another way from there.  Read it with pg_waldump -p . -t %" PRIu32 " -s %X/%X\n",
					d->node_id, what, timeline, (unsigned) (from >> 32), (unsigned) from);
	return copy_segments(d, wal, new, timeline, from, found->last, words) && files_join(path, new, DESCRIPTION) &&
		   files_write(path, text, words) && files_rename(new, place, words);
}

void
diverged_keep(const Diverged *d, char *said, size_t size)
{
	char	 wal[STORE_PATH_SIZE];
	char	 kept[STORE_PATH_SIZE];
	char	 place[STORE_PATH_SIZE];
	char	 what[512];
	uint32_t timeline = d->timeline;
	Words	 words;

	said[0] = '\0';
	words_clear(&words);
	if (!files_join(wal, d->data_directory, "pg_wal") ||
		snprintf(kept, sizeof(kept), "%s/node-%d.diverged", d->state_directory, d->node_id) >= (int) sizeof(kept) ||
		(mkdir(kept, S_IRWXU) != 0 && errno != EEXIST))
		return;
	for (; timeline >= d->common.epoch && timeline > 0; timeline--)
	{
		Found	 found = {.last = 0};
		uint64_t from = d->common.index;

		if (!read_timeline(d, wal, timeline, &from, &found))
			continue;
		describe(timeline, from, &found, what, sizeof(what));
		if (keep_timeline(d, wal, kept, timeline, from, &found, what, place, &words))
			(void) snprintf(said, size, "what is thrown away is kept in \"%s\": %s", place, what);
		else
			(void) snprintf(said, size, "%s, is thrown away and could not be kept: %s", what, words.error);
	}
}
