/*
 * keep/wal.c
 *	  The archive's WAL on disk: writing segments, and finding them.
 *
 * See wal.h; cutting is in wal_cut.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "common/cryptohash.h"
#include "common/sha2.h"

#include "../supervisor/files.h"
#include "catalogue.h"
#include "wal.h"

#define HINT_ROOM "The archive goes on by itself once there is room. Until then the members keep the WAL, up to max_slot_wal_keep_size."

#define COPIED_AT_ONCE (256 * 1024)

void
wal_init(WalFile *file)
{
	*file = (WalFile){.fd = -1};
}

void
wal_close(WalFile *file)
{
	if (file->fd >= 0)
		(void) close(file->fd);
	wal_init(file);
}

/* ---- writing ---- */

static bool
make_timeline(const Archive *archive, uint32_t timeline, Words *words)
{
	char path[STORE_PATH_SIZE];
	char parent[STORE_PATH_SIZE];

	archive_timeline_path(archive, timeline, path);
	archive_path(archive, "wal", parent);
	if (mkdir(path, S_IRWXU) == 0)
		return files_sync_directory(parent, words);
	return errno == EEXIST || files_fail(words, "", "create the directory", path);
}

/* With all of its room, so that a full disk shows before anything is written. */
static bool
open_segment(const Archive *archive, WalFile *file, uint32_t timeline, uint64_t segment, Words *words)
{
	char		path[STORE_PATH_SIZE];
	char		directory[STORE_PATH_SIZE];
	struct stat kind;
	int			failure;

	wal_close(file);
	if (!make_timeline(archive, timeline, words))
		return false;
	archive_segment_path(archive, timeline, segment, true, path);
	archive_timeline_path(archive, timeline, directory);
	file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (file->fd < 0 || fstat(file->fd, &kind) != 0)
	{
		(void) files_fail(words, "It has to belong to the user that runs this program.", "open", path);
		wal_close(file);
		return false;
	}
	failure = kind.st_size == (off_t) archive->state.segment_size ? 0 : posix_fallocate(file->fd, 0, archive->state.segment_size);
	if (failure != 0)
	{
		errno = failure;
		(void) files_fail(words, HINT_ROOM, "make room for", path);
		wal_close(file);
		return false;
	}
	file->timeline = timeline;
	file->segment = segment;
	file->dirty = true;
	return files_sync_directory(directory, words);
}

/* What a file holds, as hexadecimal digits; of PG_SHA256_DIGEST_STRING_LENGTH bytes. */
static bool
hash_file(int fd, size_t size, char *text, Words *words)
{
	static char		   buffer[COPIED_AT_ONCE];
	uint8_t			   digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	bool			   good = context != NULL && pg_cryptohash_init(context) >= 0;

	for (size_t at = 0; good && at < size;)
	{
		ssize_t n = pread(fd, buffer, sizeof(buffer), (off_t) at);

		good = n > 0 && pg_cryptohash_update(context, (const uint8 *) buffer, (size_t) n) >= 0;
		at += n > 0 ? (size_t) n : 0;
	}
	good = good && pg_cryptohash_final(context, digest, sizeof(digest)) >= 0;
	if (context != NULL)
		pg_cryptohash_free(context);
	if (!good)
		return words_set(words, "Check that disk, and the kernel's log.", "could not read back a segment of WAL: %s", strerror(errno));
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		(void) sprintf(text + 2 * i, "%02x", digest[i]);
	return true;
}

/*
 * It is full: on disk, noted, and renamed, in this order.  A crash in between costs a second line of the
 * same content.
 */
static bool
complete_segment(Archive *archive, WalFile *file, Words *words)
{
	char		   from[STORE_PATH_SIZE];
	char		   to[STORE_PATH_SIZE];
	char		   digest[PG_SHA256_DIGEST_STRING_LENGTH];
	CatalogueEntry entry;

	if (!wal_flush(file, words) || !hash_file(file->fd, archive->state.segment_size, digest, words))
		return false;
	catalogue_begin(&entry, "segment");
	catalogue_add(&entry, "timeline", "%u", file->timeline);
	catalogue_add(&entry, "segment", "%" PRIu64, file->segment);
	catalogue_add(&entry, "sha256", "%s", digest);
	archive_segment_path(archive, file->timeline, file->segment, true, from);
	archive_segment_path(archive, file->timeline, file->segment, false, to);
	if (!catalogue_append(archive, &entry, words) || !files_rename(from, to, words))
		return false;
	wal_close(file);
	return true;
}

bool
wal_flush(WalFile *file, Words *words)
{
	if (file->fd < 0 || !file->dirty)
		return true;
	if (fdatasync(file->fd) != 0)
		return words_set(words, "Check that disk, and the kernel's log.", "could not write WAL of timeline %u: %s", file->timeline, strerror(errno));
	file->dirty = false;
	return true;
}

bool
wal_write(Archive *archive, WalFile *file, uint32_t timeline, uint64_t at, const char *bytes, size_t length, uint64_t *whole, Words *words)
{
	uint32_t size = archive->state.segment_size;

	while (length > 0)
	{
		uint64_t segment = at / size;
		uint64_t offset = at % size;
		size_t	 part = length < size - offset ? length : size - offset;

		if ((file->fd < 0 || file->timeline != timeline || file->segment != segment) &&
			!open_segment(archive, file, timeline, segment, words))
			return false;
		errno = ENOSPC;
		if (pwrite(file->fd, bytes, part, (off_t) offset) != (ssize_t) part)
			return words_set(words, HINT_ROOM, "could not write WAL of timeline %u: %s", timeline, strerror(errno));
		file->dirty = true;
		at += part;
		bytes += part;
		length -= part;
		if (at % size != 0)
			continue;
		if (!complete_segment(archive, file, words))
			return false;
		*whole = at;
	}
	return true;
}

bool
wal_put_history(const Archive *archive, uint32_t timeline, const char *text, Words *words)
{
	char path[STORE_PATH_SIZE];

	archive_history_path(archive, timeline, path);
	return make_timeline(archive, timeline, words) && files_write(path, text, words);
}

/* ---- looking ---- */

static int
by_number(const void *a, const void *b)
{
	uint32_t one = *(const uint32_t *) a;
	uint32_t other = *(const uint32_t *) b;

	return one < other ? -1 : one > other;
}

int
wal_timelines(const Archive *archive, uint32_t *timelines, int most, Words *words)
{
	char		   path[STORE_PATH_SIZE];
	DIR			  *directory;
	struct dirent *entry;
	int			   n = 0;

	archive_path(archive, "wal", path);
	directory = opendir(path);
	if (directory == NULL)
	{
		(void) files_fail(words, "", "read the directory", path);
		return -1;
	}
	while ((entry = readdir(directory)) != NULL && n < most)
	{
		if (strlen(entry->d_name) == 8 && strspn(entry->d_name, "0123456789ABCDEF") == 8)
			timelines[n++] = (uint32_t) strtoul(entry->d_name, NULL, 16);
	}
	(void) closedir(directory);
	qsort(timelines, (size_t) n, sizeof(*timelines), by_number);
	return n;
}

static int
by_segment(const void *a, const void *b)
{
	const WalSegment *one = a;
	const WalSegment *other = b;

	if (one->segment != other->segment)
		return one->segment < other->segment ? -1 : 1;
	return (int) one->partial - (int) other->partial;
}

/* "000000010000000000000005", maybe with ".partial" */
static bool
read_name(const Archive *archive, const char *name, uint32_t timeline, WalSegment *segment)
{
	TimeLineID of;
	XLogSegNo  number;

	segment->partial = IsPartialXLogFileName(name);
	if (!segment->partial && !IsXLogFileName(name))
		return false;
	XLogFromFileName(name, &of, &number, (int) archive->state.segment_size);
	segment->segment = number;
	return of == timeline;
}

WalSegment *
wal_segments(const Archive *archive, uint32_t timeline, int *n)
{
	char		   path[STORE_PATH_SIZE];
	DIR			  *directory;
	struct dirent *entry;
	WalSegment	  *segments = NULL;
	WalSegment	   one;
	int			   room = 0;

	*n = 0;
	archive_timeline_path(archive, timeline, path);
	directory = opendir(path);
	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		if (!read_name(archive, entry->d_name, timeline, &one))
			continue;
		if (*n == room)
		{
			room = room == 0 ? 64 : 2 * room;
			segments = pg_realloc(segments, (size_t) room * sizeof(*segments));
		}
		segments[(*n)++] = one;
	}
	if (directory != NULL)
		(void) closedir(directory);
	if (*n > 0)
		qsort(segments, (size_t) *n, sizeof(*segments), by_segment);
	return segments;
}

static bool
is_there(const Archive *archive, uint32_t timeline, uint64_t segment, bool may_be_partial)
{
	char path[STORE_PATH_SIZE];

	archive_segment_path(archive, timeline, segment, false, path);
	if (files_exists(path))
		return true;
	archive_segment_path(archive, timeline, segment, true, path);
	return may_be_partial && files_exists(path);
}

bool
wal_find_hole(const Archive *archive, const Lineage *path, uint32_t *timeline, uint64_t *segment)
{
	const ArchiveState *state = &archive->state;
	uint32_t			size = state->segment_size;
	uint64_t			at = state->begin;

	while (state->timeline != 0 && at < state->durable)
	{
		uint64_t end;
		bool	 is_last;

		*timeline = lineage_timeline_of(path, at);
		*segment = at / size;
		end = archive_end_of(archive, path, *timeline);
		is_last = (*segment + 1) * size > end;
		if (!is_there(archive, *timeline, *segment, is_last))
			return true;

		/* behind a fork it goes on in the same segment, on the next timeline */
		at = (*segment + 1) * size < end ? (*segment + 1) * size : end;
	}
	return false;
}
