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

/* The WAL of one timeline that is thrown away, and what pg_waldump has found in it. */
typedef struct Part
{
	const Diverged *d;
	const char	   *wal;  /* the directory that it is in */
	const char	   *kept; /* and that of all that is kept */
	uint32_t		timeline;
	uint64_t		from;
	uint64_t		last; /* where the last record begins; 0: there is none */
	uint32_t		commits;
	char			first_time[48];
	char			last_time[48];
	char			what[512]; /* all that, as a clause */
} Part;

/* "... lsn: 0/1528B00, ... desc: COMMIT 2026-11-28 12:00:00.123 UTC; ..." */
static bool
take_record(const char *line, void *context)
{
	static const char commit[] = "desc: COMMIT ";
	Part			 *part = context;
	const char		 *lsn = strstr(line, "lsn: ");
	const char		 *desc = strstr(line, commit);
	unsigned		  high;
	unsigned		  low;

	if (lsn == NULL || sscanf(lsn, "lsn: %X/%X", &high, &low) != 2)
		return true;
	part->last = (uint64_t) high << 32 | low;
	if (desc == NULL)
		return true;
	desc += strlen(commit);
	(void) snprintf(part->last_time, sizeof(part->last_time), "%.*s", (int) strcspn(desc, ";"), desc);
	if (part->commits++ == 0)
		(void) snprintf(part->first_time, sizeof(part->first_time), "%s", part->last_time);
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

/* What there is of its timeline, from there on. */
static bool
read_part(Part *part)
{
	char			  begin[32];
	char			  number[16];
	const char *const arguments[] = {"-p", part->wal, "-t", number, "-s", begin, NULL};
	Program			  program = {.directory = part->d->programs, .name = "pg_waldump", .arguments = arguments, .output = take_record, .context = part};
	uint64_t		  segment = first_segment(part->wal, part->timeline, part->from, part->d->segment_size);
	Words			  words;

	if (segment == 0)
		return false;
	if (segment * part->d->segment_size > part->from)
		part->from = segment * part->d->segment_size;
	(void) snprintf(begin, sizeof(begin), "%X/%X", (unsigned) (part->from >> 32), (unsigned) part->from);
	(void) snprintf(number, sizeof(number), "%" PRIu32, part->timeline);

	/* it ends with an error where the WAL does */
	(void) program_run(&program, &words);
	return part->last >= part->from;
}

static bool
copy_segments(const Part *part, const char *to, Words *words)
{
	uint32_t size = part->d->segment_size;
	uint64_t last = part->last - part->from > DIVERGED_MOST ? part->from + DIVERGED_MOST : part->last;
	char	 name[MAXFNAMELEN];
	char	 source[STORE_PATH_SIZE];
	char	 target[STORE_PATH_SIZE];

	if (files_room(to) < (last / size - part->from / size + 3) * size)
		return words_set(words, "", "there is no room for it in \"%s\"", to);
	for (uint64_t segment = part->from / size; segment <= last / size; segment++)
	{
		XLogFileName(name, part->timeline, segment, (int) size);
		if (!files_join(source, part->wal, name) || !files_join(target, to, name) || !files_copy(source, target, 0, words))
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
describe(Part *part)
{
	int length = snprintf(part->what, sizeof(part->what), "WAL of timeline %" PRIu32 " from %X/%X to the record at %X/%X", part->timeline,
						  (unsigned) (part->from >> 32), (unsigned) part->from, (unsigned) (part->last >> 32), (unsigned) part->last);

	if (part->commits == 0)
		(void) snprintf(part->what + length, sizeof(part->what) - (size_t) length, ", without a commit");
	else
		(void) snprintf(part->what + length, sizeof(part->what) - (size_t) length, ", with %" PRIu32 " %s from %s to %s", part->commits,
						part->commits == 1 ? "commit" : "commits", part->first_time, part->last_time);
}

/* Whole or not at all, at *place. */
static bool
keep_part(const Part *part, char *place, Words *words)
{
	char new[STORE_PATH_SIZE];
	char text[1024];
	char path[STORE_PATH_SIZE];

	if (snprintf(place, STORE_PATH_SIZE, "%s/%" PRIu32 "-%X-%X", part->kept, part->timeline, (unsigned) (part->from >> 32), (unsigned) part->from) >= STORE_PATH_SIZE ||
		snprintf(new, sizeof(new), "%s.new", place) >= (int) sizeof(new))
		return words_set(words, "", "the path of the state directory is too long");
	if (files_exists(place))
		return true;
	if (!files_remove_tree(new, words) || !remove_oldest(part->kept, words))
		return false;
	if (mkdir(new, S_IRWXU) != 0)
		return files_fail(words, "", "create the directory", new);
	(void) snprintf(text, sizeof(text), "Node %d: %s.\nThe leader's WAL goes on another way from there.  Read it with pg_waldump -p . -t %" PRIu32 " -s %X/%X\n",
					part->d->node_id, part->what, part->timeline, (unsigned) (part->from >> 32), (unsigned) part->from);
	return copy_segments(part, new, words) && files_join(path, new, DESCRIPTION) && files_write(path, text, words) &&
		   files_rename(new, place, words);
}

void
diverged_keep(const Diverged *d, char *said, size_t size)
{
	char  wal[STORE_PATH_SIZE];
	char  kept[STORE_PATH_SIZE];
	char  place[STORE_PATH_SIZE];
	Words words;

	said[0] = '\0';
	words_clear(&words);
	if (!files_join(wal, d->data_directory, "pg_wal") ||
		snprintf(kept, sizeof(kept), "%s/node-%d.diverged", d->state_directory, d->node_id) >= (int) sizeof(kept) ||
		(mkdir(kept, S_IRWXU) != 0 && errno != EEXIST))
		return;
	for (uint32_t timeline = d->timeline; timeline >= d->common.epoch && timeline > 0; timeline--)
	{
		Part part = {.d = d, .wal = wal, .kept = kept, .timeline = timeline, .from = d->common.index};

		if (!read_part(&part))
			continue;
		describe(&part);
		if (keep_part(&part, place, &words))
			(void) snprintf(said, size, "what is thrown away is kept in \"%s\": %s", place, part.what);
		else
			(void) snprintf(said, size, "%s, is thrown away and could not be kept: %s", part.what, words.error);
	}
}
