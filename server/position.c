/*
 * server/position.c
 *	  What is in pg_wal: where local WAL ends, its history files, and its bytes.
 *
 * See position.h.  PostgreSQL's own functions for this (readTimeLineHistory(),
 * existsTimeLineHistory(), ReadDir()) raise errors, and ask the archive; here nothing but
 * pg_wal is looked at.  Paths are relative: each process of a server is in its data directory.
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogrecovery.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "node/wal_record.h"
#include "server/control_file.h"
#include "server/position.h"

#define FIRST_HISTORY 2 /* timeline 1 has none */

/* A history file of LINEAGE_ANCESTORS lines is a fifth of that. */
#define HISTORY_SIZE (1024 * 1024)

/* ---- one history file ---- */

typedef enum HistoryFound
{
	FOUND_TEXT,
	FOUND_NOTHING, /* there is no such file */
	FOUND_ERROR	   /* words say which */
} HistoryFound;

/* The whole file, in memory of the current context. */
static HistoryFound
read_text(uint32 timeline, char **text, size_t *length, Words *words)
{
	char		path[MAXPGPATH];
	struct stat status;
	ssize_t		got;
	int			file;

	TLHistoryFilePath(path, timeline);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 && errno == ENOENT)
		return FOUND_NOTHING;
	if (file < 0 || fstat(file, &status) != 0)
	{
		(void) words_set(words, NULL, "could not open \"%s\": %s", path, strerror(errno));
		if (file >= 0)
			(void) close(file);
		return FOUND_ERROR;
	}

	/* what is longer is cut off there, and then it is none */
	*length = Min((size_t) status.st_size, HISTORY_SIZE);
	*text = palloc(*length + 1);
	got = read(file, *text, *length);
	if (got < 0)
		(void) words_set(words, NULL, "could not read \"%s\": %s", path, strerror(errno));
	(void) close(file);
	if (got < 0)
		return FOUND_ERROR;
	*length = (size_t) got;
	return FOUND_TEXT;
}

/* The verdict is set with FOUND_TEXT; words too if it is LINEAGE_BAD. */
static HistoryFound
read_history(uint32 timeline, Lineage *lineage, LineageVerdict *verdict, Words *words)
{
	char		*text = NULL;
	size_t		 length = 0;
	HistoryFound found = read_text(timeline, &text, &length, words);

	if (found == FOUND_TEXT && length == HISTORY_SIZE)
	{
		*verdict = LINEAGE_BAD;
		(void) words_set(words, NULL, "the history file of timeline %u is larger than a megabyte", timeline);
	}
	else if (found == FOUND_TEXT)
		*verdict = lineage_parse(lineage, timeline, text, length, words);
	if (text != NULL)
		pfree(text);
	return found;
}

LineageVerdict
position_read_lineage(uint32_t timeline, Lineage *lineage, Words *words)
{
	LineageVerdict verdict = LINEAGE_BAD;

	words_clear(words);
	if (timeline == 1)
	{
		lineage_first(lineage);
		return LINEAGE_GOOD;
	}
	if (read_history(timeline, lineage, &verdict, words) == FOUND_NOTHING)
		(void) words_set(words, "Get it from another member, or from the archive.",
						 "there is no history file of timeline %u in pg_wal", timeline);
	return verdict;
}

/* ---- all of them ---- */

typedef struct Found
{
	HistoryFile *files; /* by timeline */
	uint32		 n;
	uint32		 size;
} Found;

/* That timeline's entry, which is made if there is none. */
static HistoryFile *
entry_of(Found *found, uint32 timeline)
{
	uint32 i = found->n;

	while (i > 0 && found->files[i - 1].timeline > timeline)
		i--;
	if (i > 0 && found->files[i - 1].timeline == timeline)
		return &found->files[i - 1];
	if (found->n == found->size)
	{
		found->size *= 2;
		found->files = repalloc(found->files, found->size * sizeof(HistoryFile));
	}
	memmove(&found->files[i + 1], &found->files[i], (found->n - i) * sizeof(HistoryFile));
	found->n++;
	found->files[i] = (HistoryFile){.timeline = timeline, .kind = HISTORY_NONE};
	return &found->files[i];
}

static bool
note_history(Found *found, uint32 timeline, Lineage *lineage, Words *words)
{
	LineageVerdict verdict = LINEAGE_BAD;
	HistoryFile	  *entry;

	switch (read_history(timeline, lineage, &verdict, words))
	{
		case FOUND_NOTHING: /* any more */
			return true;
		case FOUND_ERROR:
			return false;
		case FOUND_TEXT:
			break;
	}
	entry = entry_of(found, timeline);
	entry->kind = verdict == LINEAGE_GOOD ? HISTORY_REAL : verdict == LINEAGE_BURNT ? HISTORY_BURNT :
																					  HISTORY_BAD;
	if (verdict == LINEAGE_GOOD)
		entry->begin = lineage_begin(lineage, timeline);
	return true;
}

/* One name in pg_wal.  Names of files begin with the timeline. */
static bool
note_name(Found *found, const char *name, Lineage *lineage, Words *words)
{
	bool   is_history = IsTLHistoryFileName(name);
	uint32 timeline;

	if (!is_history && !IsXLogFileName(name))
		return true;
	if (sscanf(name, "%8X", &timeline) != 1 || timeline < FIRST_HISTORY)
		return true;
	if (is_history)
		return note_history(found, timeline, lineage, words);
	(void) entry_of(found, timeline);
	return true;
}

bool
position_read_histories(Histories *histories, Words *words)
{
	DIR			  *directory = opendir(XLOGDIR);
	struct dirent *entry;
	Found		   found = {.size = 64};
	Lineage		  *lineage;
	bool		   good = true;

	words_clear(words);
	*histories = (Histories){0};
	if (directory == NULL)
		return words_set(words, NULL, "could not open directory \"%s\": %s", XLOGDIR, strerror(errno));
	found.files = palloc(found.size * sizeof(HistoryFile));
	lineage = palloc(sizeof(Lineage));
	while (good && (errno = 0, entry = readdir(directory)) != NULL)
		good = note_name(&found, entry->d_name, lineage, words);
	if (good && errno != 0)
		good = words_set(words, NULL, "could not read directory \"%s\": %s", XLOGDIR, strerror(errno));
	(void) closedir(directory);
	pfree(lineage);
	*histories = (Histories){found.files, found.n};
	return good;
}

/* ---- segments ---- */

/*
 * The newest file of that segment on the path, of "oldest" or later, as XLogFileReadAnyTLI()
 * finds it.  -1: there is none, or errno is not ENOENT.
 */
static int
open_segment(const Lineage *path, XLogSegNo segment, uint32 oldest, uint32 *timeline)
{
	int i;

	for (i = path->n_ancestors; i >= 0; i--)
	{
		uint32 next = i < path->n_ancestors ? path->ancestors[i].timeline : path->timeline;
		char   name[MAXPGPATH];
		int	   file;

		if (next < oldest)
			break;
		if (segment < lineage_begin(path, next) / (uint64) wal_segment_size)
			continue;
		XLogFilePath(name, next, segment, wal_segment_size);
		file = open(name, O_RDONLY | O_CLOEXEC);
		if (file >= 0)
			*timeline = next;
		if (file >= 0 || errno != ENOENT)
			return file;
	}
	errno = ENOENT;
	return -1;
}

bool
position_read_bytes(const Lineage *path, uint64_t from, uint64_t end, char *bytes)
{
	while (from < end)
	{
		XLogSegNo segment = from / (uint64) wal_segment_size;
		size_t	  length = Min(end, (segment + 1) * wal_segment_size) - from;
		uint32	  timeline;
		ssize_t	  got;
		int		  file = open_segment(path, segment, 0, &timeline);

		if (file < 0)
			return false;
		got = pread(file, bytes, length, (off_t) XLogSegmentOffset(from, wal_segment_size));
		(void) close(file);
		if (got != (ssize_t) length)
			return false;
		from += length;
		bytes += length;
	}
	return true;
}

uint32_t
position_newest_file(uint32_t timeline, uint64_t segment)
{
	Lineage *path = palloc(sizeof(Lineage));
	uint32	 newest = 0;
	Words	 words;
	int		 file = position_read_lineage(timeline, path, &words) == LINEAGE_GOOD ? open_segment(path, segment, 0, &newest) : -1;

	if (file >= 0)
		(void) close(file);
	pfree(path);
	return newest;
}

uint64_t
position_received(const Lineage *path, uint64_t end)
{
	XLogPageHeaderData header;
	uint64_t		   segment = end - (uint64_t) wal_segment_size;
	uint64_t		   page;

	if (end == 0 || end % (uint64_t) wal_segment_size != 0)
		return end;
	for (page = end - XLOG_BLCKSZ; page > segment; page -= XLOG_BLCKSZ)
	{
		if (position_read_bytes(path, page, page + sizeof(header), (char *) &header) &&
			header.xlp_magic == XLOG_PAGE_MAGIC && header.xlp_pageaddr == page)
			break;
	}
	return page + XLOG_BLCKSZ;
}

/* ---- the end ---- */

/* PostgreSQL 16's XLogRecordMaxSize. */
#define MOST_OF_RECORD (1020 * 1024 * 1024)

typedef struct WalScan
{
	const Lineage *path;
	int			   file; /* -1: none is open */
	uint32		   timeline;
	XLogSegNo	   segment;
	int			   error; /* errno of what is not the end of WAL, 0: none */
} WalScan;

/* Of XLogReader: the page, all of it, or -1. */
static int
read_page(XLogReaderState *reader, XLogRecPtr page, int wanted, XLogRecPtr record, char *buffer)
{
	WalScan	 *scan = reader->private_data;
	XLogSegNo segment = page / (uint64) wal_segment_size;
	ssize_t	  got;

	if (scan->file < 0 || scan->segment != segment)
	{
		if (scan->file >= 0)
			(void) close(scan->file);
		scan->file = open_segment(scan->path, segment, scan->timeline, &scan->timeline);
		scan->segment = segment;
		if (scan->file < 0)
		{
			scan->error = errno == ENOENT ? 0 : errno;
			return -1;
		}
	}
	got = pread(scan->file, buffer, XLOG_BLCKSZ, (off_t) XLogSegmentOffset(page, wal_segment_size));
	if (got < 0)
		scan->error = errno;
	reader->seg.ws_tli = scan->timeline;
	return got == XLOG_BLCKSZ ? XLOG_BLCKSZ : -1;
}

/* Is there WAL of that timeline, where it begins? */
static bool
has_wal(const Lineage *lineage)
{
	char	  name[MAXPGPATH];
	XLogSegNo segment = lineage_begin(lineage, lineage->timeline) / (uint64) wal_segment_size;

	XLogFilePath(name, lineage->timeline, segment, wal_segment_size);
	return access(name, F_OK) == 0;
}

/*
 * The path that recovery takes from there: to the newest timeline that it finds by asking for one
 * id after the other, and that parts from ours at "from" or later.  Of those that exclude each
 * other it is the newest that has WAL.
 */
static bool
choose_path(Lineage *path, uint32 timeline, uint64 from, Words *words)
{
	Lineage		  *next = palloc(sizeof(Lineage));
	LineageVerdict verdict = position_read_lineage(timeline, path, words);
	uint32		   id;

	if (verdict == LINEAGE_BURNT)
		return words_set(words, NULL, "the history file of timeline %u, which WAL is on, names no parent", timeline);
	if (verdict != LINEAGE_GOOD)
		return false;
	for (id = timeline + 1;; id++)
	{
		HistoryFound found = read_history(id, next, &verdict, words);

		if (found != FOUND_TEXT)
			return found == FOUND_NOTHING;
		if (verdict != LINEAGE_GOOD || !lineage_has(next, timeline) || lineage_end(next, timeline) < from)
			continue;
		if (has_wal(next) || lineage_is_prefix(path, next))
			*path = *next;
	}
}

/* Where to begin: 0/0 is nowhere. */
static XLogRecPtr
find_beginning(uint32 *timeline, uint64 *system_id, bool *is_replayed, Words *words)
{
	ControlFileData control;
	XLogRecPtr		from;

	if (!control_file_read(&control, words))
		return InvalidXLogRecPtr;
	*system_id = control.system_identifier;
	from = GetXLogReplayRecPtr(timeline);
	*is_replayed = !XLogRecPtrIsInvalid(from);
	if (!*is_replayed)
	{
		from = control.checkPointCopy.redo;
		*timeline = control.checkPointCopy.ThisTimeLineID;
	}
	return from;
}

static bool
could_not_read(const XLogReaderState *reader, Words *words)
{
	const WalScan *scan = reader->private_data;

	return words_set(words, NULL, "could not read WAL at %X/%X: %s", LSN_FORMAT_ARGS(reader->EndRecPtr),
					 strerror(scan->error));
}

/* From "from" on, until there is no further record.  false: that is not the end. */
static bool
read_records(XLogReaderState *reader, XLogRecPtr from, PositionEnd *end, bool (*stop)(void), Words *words)
{
	WalScan *scan = reader->private_data;
	char	*why;

	XLogBeginRead(reader, from);
	for (;;)
	{
		if (stop != NULL && stop())
			return words_set(words, NULL, "it was interrupted");
		if (XLogReadRecord(reader, &why) == NULL)
			break;
		end->end = reader->EndRecPtr;
		end->timeline = scan->timeline;
	}
	return scan->error == 0 || could_not_read(reader, words);
}

static XLogReaderState *
open_reader(WalScan *scan, uint64 system_id, Words *words)
{
	XLogReaderRoutine routine = {.page_read = read_page};
	XLogReaderState	 *reader = XLogReaderAllocate(wal_segment_size, NULL, &routine, scan);

	if (reader == NULL)
		(void) words_set(words, NULL, "out of memory");
	else
		reader->system_identifier = system_id;
	return reader;
}

static void
close_reader(XLogReaderState *reader, const WalScan *scan)
{
	if (scan->file >= 0)
		(void) close(scan->file);
	XLogReaderFree(reader);
}

/*
 * The record that begins there: where the one before it does, and where it ends.  false: there is
 * none, or words say why it cannot be read.
 */
static bool
read_one(const Lineage *path, uint64 system_id, XLogRecPtr at, XLogRecPtr *before, XLogRecPtr *end, Words *words)
{
	WalScan			 scan = {.path = path, .file = -1};
	XLogReaderState *reader = open_reader(&scan, system_id, words);
	bool			 good;
	char			*why;

	if (reader == NULL)
		return false;
	XLogBeginRead(reader, at);
	good = XLogReadRecord(reader, &why) != NULL;
	if (good)
	{
		*before = XLogRecGetPrev(reader);
		*end = reader->EndRecPtr;
	}
	else if (scan.error != 0)
		(void) could_not_read(reader, words);
	close_reader(reader, &scan);
	return good;
}

/*
 * Is the record that begins at "from", where replay has ended or begins, the next one?  A segment that
 * is used again still has the whole records of one that is at least two segments older, and XLogReader
 * compares what a record says of the one before it only from the second one on.  The one before may be
 * in a segment that was removed.
 */
static bool
goes_on(const Lineage *path, uint64 system_id, XLogRecPtr from, Words *words)
{
	XLogRecPtr before;
	XLogRecPtr ignored;
	XLogRecPtr end;

	if (!read_one(path, system_id, from, &before, &end, words) || XLogRecPtrIsInvalid(before))
		return false;
	if (!read_one(path, system_id, before, &ignored, &end, words))
		return words->error[0] == '\0' && before / (uint64) wal_segment_size + 1 >= from / (uint64) wal_segment_size;
	return end == from || (end % XLOG_BLCKSZ == 0 && end < from && from - end <= SizeOfXLogLongPHD);
}

/*
 * No record ends before that which begins at the end of WAL and is not all there: where that one
 * would end, or, if its beginning is not there either, the shortest one.  A segment that is used
 * again has old bytes there: a record names the one before it, and that has to be the one that
 * ends there.
 */
static XLogRecPtr
next_end(const Lineage *path, uint64 system_id, XLogRecPtr at, Words *words)
{
	XLogRecPtr begin = wal_next_record(at, wal_segment_size);
	uint32	   length = SizeOfXLogRecord;
	XLogRecPtr ignored;
	XLogRecPtr end;
	XLogRecord record;

	/* of a header that goes on on the next page that much is enough */
	if (XLOG_BLCKSZ - begin % XLOG_BLCKSZ >= offsetof(XLogRecord, xl_info) &&
		position_read_bytes(path, begin, begin + offsetof(XLogRecord, xl_info), (char *) &record) &&
		record.xl_tot_len > length && record.xl_tot_len <= MOST_OF_RECORD && !XLogRecPtrIsInvalid(record.xl_prev) &&
		record.xl_prev < at && read_one(path, system_id, record.xl_prev, &ignored, &end, words) && end == at)
		length = record.xl_tot_len;
	return wal_end_of_record(begin, length, wal_segment_size);
}

static bool
read_end(PositionEnd *end, bool (*stop)(void), Words *words)
{
	Lineage			*path = palloc(sizeof(Lineage));
	WalScan			 scan = {.path = path, .file = -1};
	uint64			 system_id = 0;
	bool			 is_replayed = false;
	bool			 good;
	XLogRecPtr		 from;
	XLogReaderState *reader;

	from = find_beginning(&end->timeline, &system_id, &is_replayed, words);
	if (XLogRecPtrIsInvalid(from) || !choose_path(path, end->timeline, from, words))
		return false;
	end->end = is_replayed ? from : 0;
	if (!is_replayed || goes_on(path, system_id, from, words))
	{
		reader = open_reader(&scan, system_id, words);
		if (reader == NULL)
			return false;
		good = read_records(reader, from, end, stop, words);
		close_reader(reader, &scan);
	}
	else
		good = words->error[0] == '\0'; /* all there is was replayed */
	if (good && end->end != 0)
		end->next = next_end(path, system_id, end->end, words);
	if (good && end->end == 0)
		return words_set(words, NULL, "there is no WAL in pg_wal at %X/%X, where recovery has to begin", LSN_FORMAT_ARGS(from));
	return good;
}

bool
position_read_end(PositionEnd *end, bool (*stop)(void), Words *words)
{
	MemoryContext own = AllocSetContextCreate(CurrentMemoryContext, "pg_leader position", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(own);
	bool		  good;

	words_clear(words);
	memset(end, 0, sizeof(*end));
	good = read_end(end, stop, words);
	if (!good)
		memset(end, 0, sizeof(*end));
	(void) MemoryContextSwitchTo(before);
	MemoryContextDelete(own);
	return good;
}

/* ---- what is behind the end ---- */

static bool
fail_cut(const char *what, const char *path, Words *words)
{
	return words_set(words, NULL, "could not %s \"%s\": %s", what, path, strerror(errno));
}

/* Zeros from there to the end of its segment. */
static bool
zero_rest(uint32_t timeline, uint64_t from, Words *words)
{
	char  name[MAXPGPATH];
	char  zeros[XLOG_BLCKSZ] = {0};
	off_t offset = (off_t) XLogSegmentOffset(from, wal_segment_size);
	int	  file;
	bool  good;

	XLogFilePath(name, timeline, from / (uint64) wal_segment_size, wal_segment_size);
	file = open(name, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return fail_cut("open", name, words);
	for (good = true; good && offset < wal_segment_size; offset += XLOG_BLCKSZ)
		good = pwrite(file, zeros, XLOG_BLCKSZ, offset) == XLOG_BLCKSZ;
	good = (good && pg_fsync(file) == 0) || fail_cut("write", name, words);
	(void) close(file);
	return good;
}

bool
position_cut(uint32_t timeline, uint64_t end, Words *words)
{
	uint64_t	   begin = wal_next_record(end, wal_segment_size);
	uint64_t	   page = begin - begin % XLOG_BLCKSZ + XLOG_BLCKSZ;
	XLogSegNo	   last = begin / (uint64) wal_segment_size;
	DIR			  *directory;
	struct dirent *entry;
	bool		   good;

	if (page % (uint64) wal_segment_size == 0)
		return words_set(words, NULL, "it begins on the last page of a segment");
	directory = opendir(XLOGDIR);
	if (directory == NULL)
		return fail_cut("open", XLOGDIR, words);
	good = zero_rest(timeline, page, words);
	while (good && (errno = 0, entry = readdir(directory)) != NULL)
	{
		TimeLineID on;
		XLogSegNo  segment;
		char	   path[MAXPGPATH];

		if (!IsXLogFileName(entry->d_name))
			continue;
		XLogFromFileName(entry->d_name, &on, &segment, wal_segment_size);
		if (on != timeline || segment <= last)
			continue;
		snprintf(path, sizeof(path), XLOGDIR "/%s", entry->d_name);
		good = unlink(path) == 0 || fail_cut("remove", path, words);
	}
	if (good && errno != 0)
		good = fail_cut("read", XLOGDIR, words);
	(void) closedir(directory);
	if (good)
		fsync_fname(XLOGDIR, true);
	return good;
}

XLogRecPtr
position_inserted(void)
{
	XLogRecPtr end = GetXLogInsertRecPtr();

	return end % XLOG_BLCKSZ <= wal_page_header(end, wal_segment_size) ? end - end % XLOG_BLCKSZ : end;
}
