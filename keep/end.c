/*
 * keep/end.c
 *	  Where the archive's WAL ends.
 *
 * See end.h.  pg_waldump reads it.  It stops where no record can be read, which at the end of WAL is as it
 * should be; how far it came is what is asked.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../node/wal_record.h"
#include "../supervisor/files.h"
#include "../supervisor/program.h"
#include "choose.h"
#include "end.h"
#include "parse.h"

/* How far before the end reading begins, bytes; then at the beginnings of segments. */
#define FIRST_LOOK (UINT64_C(256) * 1024)

typedef struct Last
{
	const Archive *archive;
	uint64_t	   record; /* 0: none was read */
	uint64_t	   end;
} Last;

/* What is not durable yet does not count. */
static bool
take_record(const char *line, void *context)
{
	Last	*last = context;
	uint64_t begin;
	uint64_t end;

	if (!parse_record(line, last->archive->state.segment_size, &begin, &end))
		return true;
	if (end > last->archive->state.durable)
		return false;
	last->record = begin;
	last->end = end;
	return true;
}

/* pg_waldump wants segments of one timeline by their own names; the file is the one that replay would read. */
static bool
link_segment(const Archive *archive, const Lineage *path, uint64_t segment, const char *directory, Words *words)
{
	uint32_t size = archive->state.segment_size;
	uint32_t timeline = choose_file(path, archive->state.durable, segment, size);
	char	 file[STORE_PATH_SIZE];
	char	 link[STORE_PATH_SIZE];
	char	 name[MAXFNAMELEN];

	archive_segment_path(archive, timeline, segment, false, file);
	if (!files_exists(file))
		archive_segment_path(archive, timeline, segment, true, file);
	if (!files_exists(file))
		return words_set(words, "Put it back.", "WAL is missing in the archive: segment %X/%08X of timeline %" PRIu32,
						 (unsigned int) (segment * size >> 32), (unsigned int) (segment * size), timeline);
	XLogFileName(name, path->timeline, segment, (int) size);
	return (files_join(link, directory, name) && symlink(file, link) == 0) || files_fail(words, "", "create the link", link);
}

static bool
look_from(const Archive *archive, const Lineage *path, uint64_t from, const char *scratch, Last *last, Words *ended, Words *words)
{
	uint32_t		  size = archive->state.segment_size;
	char			  directory[STORE_PATH_SIZE];
	char			  timeline[16];
	char			  start[32];
	const char *const arguments[] = {"-p", directory, "-t", timeline, "-s", start, NULL};
	Program			  program = {.directory = instance_programs(), .name = "pg_waldump", .arguments = arguments, .output = take_record, .context = last};

	if (!files_join(directory, scratch, "end") || !files_remove_tree(directory, words))
		return false;
	if (mkdir(directory, S_IRWXU) != 0)
		return files_fail(words, "", "create the directory", directory);
	for (uint64_t segment = from / size; segment < choose_behind(archive->state.durable, size); segment++)
	{
		if (!link_segment(archive, path, segment, directory, words))
			return false;
	}
	(void) snprintf(timeline, sizeof(timeline), "%" PRIu32, path->timeline);
	(void) snprintf(start, sizeof(start), "%X/%X", (unsigned int) (from >> 32), (unsigned int) from);
	(void) program_run(&program, ended);
	return files_remove_tree(directory, words);
}

/* How long the record behind the last one says that it is; 0: there is none. */
static uint32_t
length_at(const Archive *archive, const Lineage *path, uint64_t at)
{
	uint32_t size = archive->state.segment_size;
	char	 file[STORE_PATH_SIZE];
	uint32_t length = 0;
	int		 fd;

	if (at >= archive->state.durable)
		return 0;
	archive_segment_path(archive, choose_file(path, archive->state.durable, at / size, size), at / size, false, file);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
	{
		archive_segment_path(archive, choose_file(path, archive->state.durable, at / size, size), at / size, true, file);
		fd = open(file, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0 || pread(fd, &length, sizeof(length), (off_t) (at % size)) != (ssize_t) sizeof(length))
		length = 0;
	if (fd >= 0)
		(void) close(fd);
	return length;
}

/* What is whole and could not be read is damage, and not the end. */
static bool
is_the_end(const Archive *archive, const Lineage *path, uint64_t end, const Words *ended, Words *words)
{
	uint32_t size = archive->state.segment_size;
	uint64_t at = wal_next_record(end, size);
	uint32_t length = length_at(archive, path, at);

	return length == 0 || parse_end_of_record(at, length, size) > archive->state.durable ||
		   words_set(words, "Restore a state before it, by its gid.", "the archive's WAL is damaged at %X/%08X: %.800s", (unsigned int) (at >> 32), (unsigned int) at, ended->error);
}

/*
 * Reading can begin at any page that has records.  Behind a switch of WAL a segment has none up to its end, but at
 * its beginning.
 */
bool
end_find(const Archive *archive, const Lineage *newest, const char *scratch, Gid *gid, Words *words)
{
	Last	 last = {.archive = archive};
	uint32_t size = archive->state.segment_size;
	uint64_t durable = archive->state.durable;
	uint64_t segment = (durable - 1) / size * size;
	uint64_t from = durable - segment > FIRST_LOOK ? (durable - FIRST_LOOK) / XLOG_BLCKSZ * XLOG_BLCKSZ : segment;
	Words	 ended;

	for (; last.record == 0; from = from % size != 0 ? segment : from - size)
	{
		if (from < archive->state.begin)
			from = archive->state.begin;
		if (!look_from(archive, newest, from, scratch, &last, &ended, words))
			return false;
		if (last.record != 0)
			break;
		if (from == archive->state.begin || from < size)
			return words_set(words, "", "no record can be read at the end of the archive's WAL: %.800s", ended.error);
	}
	if (!is_the_end(archive, newest, last.end, &ended, words))
		return false;
	memset(gid, 0, sizeof(*gid));
	gid->gid = last.end;
	gid->timeline = lineage_timeline_before(newest, gid->gid);
	gid->record = last.record;
	return true;
}
