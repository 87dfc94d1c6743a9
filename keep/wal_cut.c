/*
 * keep/wal_cut.c
 *	  Cutting the archive's WAL at a fork.
 *
 * See wal.h.  What the cluster does not go on from is moved to abandoned/<place>/, where each segment
 * has its plain name, so that pg_waldump reads it.  The segment with the fork in it is copied there, and
 * then replaced by one with zeros behind the fork.  Each step can be taken again: what is to be done
 * follows from the files, and the line in the catalogue comes last.
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
#include "catalogue.h"
#include "plan.h"
#include "wal.h"

#define MOST_TIMELINES 4096
#define MOST_PLACES	   1000
#define BLOCK		   8192

typedef struct Cut
{
	Archive *archive;
	uint32_t timeline;
	uint64_t fork;
	char	 place[ARCHIVE_PLACE_SIZE];
	char	 path[STORE_PATH_SIZE]; /* abandoned/<place> */
	bool	 anything;
} Cut;

/* ---- the place ---- */

typedef struct Search
{
	const char *place;
	bool		found;
} Search;

static bool
is_line_of(const CatalogueEntry *entry, void *context)
{
	Search	   *search = context;
	const char *place = strcmp(entry->kind, "cut") == 0 ? catalogue_get(entry, "place") : NULL;

	search->found = place != NULL && strcmp(place, search->place) == 0;
	return !search->found;
}

/*
 * A directory of that name whose cut is finished has a line, and is not touched again.  A whole timeline
 * goes there in one step: what is there is another one of that number.
 */
static bool
find_place(Cut *cut, bool whole, Words *words)
{
	char name[ARCHIVE_PLACE_SIZE];
	char relative[ARCHIVE_PLACE_SIZE + 16];

	archive_abandoned_name(cut->timeline, cut->fork, name);
	for (int i = 0; i < MOST_PLACES; i++)
	{
		Search search = {.place = cut->place};

		if (i == 0)
			(void) snprintf(cut->place, sizeof(cut->place), "%s", name);
		else
			(void) snprintf(cut->place, sizeof(cut->place), "%.40s.%d", name, i);
		(void) snprintf(relative, sizeof(relative), "abandoned/%s", cut->place);
		archive_path(cut->archive, relative, cut->path);
		if (!files_exists(cut->path))
			return true;
		if (whole)
			continue;
		if (!catalogue_read(cut->archive, is_line_of, &search, words))
			return false;
		if (!search.found)
		{
			cut->anything = true; /* of one that was interrupted */
			return true;
		}
	}
	return words_set(words, "Remove what is no longer needed.", "there are too many directories named like \"%s\"", cut->path);
}

static bool
make_place(Cut *cut, Words *words)
{
	char parent[STORE_PATH_SIZE];

	cut->anything = true;
	archive_path(cut->archive, "abandoned", parent);
	return ((mkdir(cut->path, S_IRWXU) == 0 || errno == EEXIST) || files_fail(words, "", "create the directory", cut->path)) &&
		   files_sync_directory(parent, words);
}

static void
name_in_place(const Cut *cut, uint64_t segment, char *path)
{
	char name[MAXFNAMELEN];

	XLogFileName(name, cut->timeline, segment, (int) cut->archive->state.segment_size);
	(void) files_join(path, cut->path, name);
}

/* ---- segments ---- */

/* One behind the fork. */
static bool
move_segment(Cut *cut, const WalSegment *segment, Words *words)
{
	char from[STORE_PATH_SIZE];
	char to[STORE_PATH_SIZE];

	archive_segment_path(cut->archive, cut->timeline, segment->segment, segment->partial, from);
	if (!make_place(cut, words))
		return false;
	name_in_place(cut, segment->segment, to);

	/* it was complete as well, and is there already */
	if (segment->partial && files_exists(to))
		return unlink(from) == 0 || files_fail(words, "", "remove", from);
	return archive_move(from, to, words);
}

/* Is there anything but zeros from that offset on? */
static bool
has_more(int fd, uint64_t offset, uint64_t size, bool *more, Words *words)
{
	static const char zeros[BLOCK];
	char			  block[BLOCK];

	*more = false;
	while (offset < size && !*more)
	{
		ssize_t n = pread(fd, block, sizeof(block), (off_t) offset);

		if (n < 0)
			return words_set(words, "Check that disk, and the kernel's log.", "could not read WAL of the archive: %s", strerror(errno));
		if (n == 0)
			break;
		*more = memcmp(block, zeros, (size_t) n) != 0;
		offset += (uint64_t) n;
	}
	return true;
}

/* What was copied there: zeros from that offset on, on disk. */
static bool
wipe(const char *path, uint64_t offset, uint64_t size, Words *words)
{
	int	 fd = open(path, O_RDWR | O_CLOEXEC);
	bool good = fd >= 0 && ftruncate(fd, (off_t) offset) == 0;
	int	 failure;

	if (good)
	{
		failure = posix_fallocate(fd, 0, (off_t) size);
		errno = failure;
		good = failure == 0 && fsync(fd) == 0;
	}
	if (!good)
		(void) files_fail(words, "", "write the file", path);
	if (fd >= 0)
		(void) close(fd);
	return good;
}

/* The whole one goes to its place first; so that it is whole there whenever this was interrupted, it stays if it is there. */
static bool
cut_within(Cut *cut, const WalSegment *segment, const char *from, Words *words)
{
	uint32_t size = cut->archive->state.segment_size;
	char	 work[STORE_PATH_SIZE];
	char	 kept[STORE_PATH_SIZE];
	char	 to[STORE_PATH_SIZE];

	archive_path(cut->archive, "work/cut", work);
	if (!make_place(cut, words))
		return false;
	name_in_place(cut, segment->segment, kept);
	if (!files_exists(kept) && (!files_copy(from, work, 0, words) || !archive_move(work, kept, words)))
		return false;
	archive_segment_path(cut->archive, cut->timeline, segment->segment, true, to);
	if (!files_copy(from, work, 0, words) || !wipe(work, cut->fork % size, size, words) || !archive_move(work, to, words))
		return false;
	if (segment->partial)
		return true;

	/* it is complete no longer */
	archive_timeline_path(cut->archive, cut->timeline, work);
	return (unlink(from) == 0 || files_fail(words, "", "remove", from)) && files_sync_directory(work, words);
}

static bool
look_within(Cut *cut, const WalSegment *segment, Words *words)
{
	uint32_t size = cut->archive->state.segment_size;
	char	 path[STORE_PATH_SIZE];
	bool	 more;
	bool	 good;
	int		 fd;

	archive_segment_path(cut->archive, cut->timeline, segment->segment, segment->partial, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return files_fail(words, "", "open", path);
	good = has_more(fd, cut->fork % size, size, &more, words);
	(void) close(fd);
	return good && (!more || cut_within(cut, segment, path, words));
}

static bool
cut_segments(Cut *cut, Words *words)
{
	uint32_t	size = cut->archive->state.segment_size;
	int			n;
	WalSegment *segments = wal_segments(cut->archive, cut->timeline, &n);
	bool		good = true;

	for (int i = 0; good && i < n; i++)
	{
		if (segments[i].segment * size >= cut->fork)
			good = move_segment(cut, &segments[i], words);
		else if ((segments[i].segment + 1) * size > cut->fork)
			good = look_within(cut, &segments[i], words);
	}
	free(segments);
	return good;
}

/* ---- timelines ---- */

/* None of it stays: also its history, which would mislead a restore to the latest timeline. */
static bool
move_timeline(Cut *cut, Words *words)
{
	char		from[STORE_PATH_SIZE];
	char		partial[STORE_PATH_SIZE];
	char		plain[STORE_PATH_SIZE];
	int			n;
	WalSegment *segments = wal_segments(cut->archive, cut->timeline, &n);
	bool		good = true;

	/* as everything there, under a plain name */
	for (int i = 0; good && i < n; i++)
	{
		if (!segments[i].partial)
			continue;
		archive_segment_path(cut->archive, cut->timeline, segments[i].segment, true, partial);
		archive_segment_path(cut->archive, cut->timeline, segments[i].segment, false, plain);
		good = files_exists(plain) || files_rename(partial, plain, words);
	}
	free(segments);
	cut->anything = true;
	archive_timeline_path(cut->archive, cut->timeline, from);
	return good && archive_move(from, cut->path, words);
}

static bool
note_cut(const Cut *cut, uint64_t end, Words *words)
{
	CatalogueEntry entry;

	catalogue_begin(&entry, "cut");
	catalogue_add(&entry, "timeline", "%u", cut->timeline);
	catalogue_add_lsn(&entry, "from", cut->fork);
	catalogue_add_lsn(&entry, "to", end > cut->fork ? end : cut->fork);
	catalogue_add(&entry, "place", "%s", cut->place);
	return catalogue_append(cut->archive, &entry, words);
}

static bool
cut_timeline(Archive *archive, const Lineage *own, uint32_t timeline, uint64_t stays, bool *was_cut, Words *words)
{
	Cut		 cut = {.archive = archive, .timeline = timeline, .fork = stays};
	uint64_t begin = lineage_begin(own, timeline);
	uint64_t end = lineage_end(own, timeline);

	if (stays == 0)
		cut.fork = begin != LINEAGE_NO_END ? begin : 0;
	if (end > archive->state.durable)
		end = archive->state.durable;
	if (!find_place(&cut, stays == 0, words))
		return false;
	if (stays == 0 ? !move_timeline(&cut, words) : !cut_segments(&cut, words))
		return false;
	*was_cut = cut.anything;
	return !cut.anything || note_cut(&cut, end, words);
}

bool
wal_cut(Archive *archive, const Lineage *own, const Lineage *leads, int *cuts, Words *words)
{
	static uint32_t timelines[MOST_TIMELINES];
	int				n = wal_timelines(archive, timelines, MOST_TIMELINES, words);

	*cuts = 0;
	for (int i = 0; i < n; i++)
	{
		uint64_t stays = plan_stays(own, leads, timelines[i]);
		bool	 was_cut;

		/* the archive has gone on from there already, and has nothing behind it */
		if (stays == LINEAGE_NO_END || (timelines[i] != own->timeline && stays != 0 && lineage_end(own, timelines[i]) == stays))
			continue;
		if (!cut_timeline(archive, own, timelines[i], stays, &was_cut, words))
			return false;
		*cuts += was_cut;
	}
	return n >= 0;
}
