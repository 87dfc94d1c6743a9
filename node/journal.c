/*
 * node/journal.c
 *	  The journal: the last few hundred events of a member, on disk.
 *
 * See journal.h.  The first half is pure, the second half does the system calls.
 * Called by the worker, the recorder and pg_leader_state.  Must not use backend
 * symbols, log, or trust anything that it reads.
 */
#include "record.h"

#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_MAGIC "PGLDEVNT"
#define REASON_OFFSET 98
#define REASON_END	  (REASON_OFFSET + JOURNAL_REASON_SIZE)
#define NO_LEADER	  255

/* Journals that will not do and are kept: ".bad", ".bad.1" and so on. */
#define MOST_ASIDE 10

/* ---- pure ---- */

void
journal_encode(const StoreIdentity *identity, const JournalEvent *event, uint8_t *record)
{
	memset(record, 0, JOURNAL_RECORD_SIZE);
	memcpy(record, JOURNAL_MAGIC, 8);
	put_number(record + 8, 4, JOURNAL_FORMAT);
	put_number(record + 12, 4, (uint64_t) identity->node_id);
	put_number(record + 16, 8, identity->cluster_digest);
	put_number(record + 24, 8, event->number);
	put_number(record + 32, 8, event->at > 0 ? (uint64_t) event->at : 0);
	put_number(record + 40, 8, event->boot);
	put_number(record + 48, 8, event->boot_time);
	put_number(record + 56, 8, event->lease_start);
	put_number(record + 64, 8, event->lease_end);
	put_number(record + 72, 8, event->term);
	memcpy(record + 80, event->boot_id, JOURNAL_BOOT_ID);
	record[96] = (uint8_t) event->role;
	record[97] = event->leader_id == RAFT_NONE ? NO_LEADER : (uint8_t) event->leader_id;
	memcpy(record + REASON_OFFSET, event->reason, strnlen(event->reason, JOURNAL_REASON_SIZE - 1));
	record_seal(record, JOURNAL_RECORD_SIZE);
}

/* Words are printed as they are: no control characters. */
static bool
is_text(const uint8_t *bytes, size_t size)
{
	size_t length = strnlen((const char *) bytes, size);

	for (size_t i = 0; i < length; i++)
	{
		if (bytes[i] < 0x20 || bytes[i] > 0x7e)
			return false;
	}
	return length < size && is_zero(bytes + length, size - length);
}

JournalVerdict
journal_decode(const uint8_t *record, StoreIdentity *identity, JournalEvent *event)
{
	uint64_t node_id = get_number(record + 12, 4);

	if (is_zero(record, JOURNAL_RECORD_SIZE))
		return JOURNAL_EMPTY;
	if (memcmp(record, JOURNAL_MAGIC, 8) != 0 || !record_is_sealed(record, JOURNAL_RECORD_SIZE))
		return JOURNAL_BAD;
	if (get_number(record + 8, 4) != JOURNAL_FORMAT)
		return JOURNAL_OTHER_FORMAT;
	if (node_id >= RAFT_MAX_NODES || record[96] > RAFT_LEADER ||
		(record[97] >= RAFT_MAX_NODES && record[97] != NO_LEADER) ||
		!is_text(record + REASON_OFFSET, JOURNAL_REASON_SIZE) ||
		!is_zero(record + REASON_END, JOURNAL_RECORD_SIZE - RECORD_CRC_SIZE - REASON_END))
		return JOURNAL_BAD;
	for (int offset = 24; offset < 80; offset += 8)
	{
		if (get_number(record + offset, 8) > RAFT_MAX_TERM)
			return JOURNAL_BAD;
	}
	if (get_number(record + 24, 8) == 0)
		return JOURNAL_BAD;

	identity->node_id = (int32_t) node_id;
	identity->cluster_digest = get_number(record + 16, 8);
	memset(event, 0, sizeof(*event));
	event->number = get_number(record + 24, 8);
	event->at = (int64_t) get_number(record + 32, 8);
	event->boot = get_number(record + 40, 8);
	event->boot_time = get_number(record + 48, 8);
	event->lease_start = get_number(record + 56, 8);
	event->lease_end = get_number(record + 64, 8);
	event->term = get_number(record + 72, 8);
	memcpy(event->boot_id, record + 80, JOURNAL_BOOT_ID);
	event->role = (RaftRole) record[96];
	event->leader_id = record[97] == NO_LEADER ? RAFT_NONE : record[97];
	memcpy(event->reason, record + REASON_OFFSET, JOURNAL_REASON_SIZE);
	return JOURNAL_GOOD;
}

/*
 * What one record of a file is.  *last rises to the highest number.  Without an
 * owner that is asked for, the first good record says whose the file is.
 */
static JournalVerdict
look_at(const uint8_t *image, int i, const StoreIdentity *identity, StoreIdentity *found,
		uint64_t *last)
{
	StoreIdentity  owner;
	JournalEvent   event;
	JournalVerdict verdict = journal_decode(image + (size_t) i * JOURNAL_RECORD_SIZE,
											&owner, &event);

	if (verdict != JOURNAL_GOOD)
		return verdict;
	if (identity == NULL && found->node_id < 0)
		*found = owner;
	if (identity == NULL)
		identity = found;
	if (owner.cluster_digest != identity->cluster_digest)
		verdict = JOURNAL_OTHER_CLUSTER;
	else if (owner.node_id != identity->node_id)
		verdict = JOURNAL_OTHER_NODE;
	else if ((event.number - 1) % JOURNAL_EVENTS != (uint64_t) i)
		verdict = JOURNAL_BAD;
	else if (event.number > *last)
		*last = event.number;
	if (verdict == JOURNAL_OTHER_CLUSTER || verdict == JOURNAL_OTHER_NODE)
		*found = owner;
	return verdict;
}

JournalVerdict
journal_scan(const uint8_t *image, size_t length, const StoreIdentity *identity,
			 JournalEvent *events, int *n_events, int *n_bad, StoreIdentity *found)
{
	uint64_t	  last = 0;
	StoreIdentity owner;

	*n_events = *n_bad = 0;
	found->node_id = -1;
	if (length != JOURNAL_FILE_SIZE)
		return JOURNAL_WRONG_SIZE;
	for (int i = 0; i < JOURNAL_EVENTS; i++)
	{
		JournalVerdict verdict = look_at(image, i, identity, found, &last);

		if (verdict == JOURNAL_BAD)
			(*n_bad)++;
		else if (verdict != JOURNAL_GOOD && verdict != JOURNAL_EMPTY)
			return verdict;
	}
	if (last == 0)
		return *n_bad > 0 ? JOURNAL_BAD : JOURNAL_EMPTY;

	/* By number; a record whose overwriting was lost is older than all that count. */
	for (uint64_t number = last > JOURNAL_EVENTS ? last - JOURNAL_EVENTS + 1 : 1;
		 number <= last; number++)
	{
		const uint8_t *record = image + (number - 1) % JOURNAL_EVENTS * JOURNAL_RECORD_SIZE;

		if (journal_decode(record, &owner, &events[*n_events]) == JOURNAL_GOOD &&
			events[*n_events].number == number)
			(*n_events)++;
	}
	return *n_bad > 0 ? JOURNAL_TORN : JOURNAL_GOOD;
}

void
journal_heed(const JournalEvent *event, StoreEvidence *evidence)
{
	if (event->term > evidence->term)
		evidence->term = event->term;
	if (event->boot > evidence->boot)
		evidence->boot = event->boot;
}

const char *
journal_verdict_name(JournalVerdict verdict)
{
	switch (verdict)
	{
		case JOURNAL_GOOD:
			return "good";
		case JOURNAL_EMPTY:
			return "empty";
		case JOURNAL_TORN:
			return "some records are damaged";
		case JOURNAL_BAD:
			return "damaged";
		case JOURNAL_WRONG_SIZE:
			return "of the wrong size";
		case JOURNAL_OTHER_FORMAT:
			return "in the format of another version of pg_leader";
		case JOURNAL_OTHER_CLUSTER:
			return "another cluster's";
		case JOURNAL_OTHER_NODE:
			return "another node's";
	}
	return "unknown";
}

/* ---- files ---- */

bool
journal_path(const char *directory, int32_t node_id, char *path, size_t size)
{
	int length = snprintf(path, size, "%s/node-%d.events", directory, (int) node_id);

	return length >= 0 && (size_t) length < size;
}

/* Open a regular file that nobody has put a link in the place of. */
static int
open_file(const char *path, int flags, Words *words)
{
	int			fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat status;

	if (fd < 0)
	{
		int number = errno;

		(void) words_set(words, NULL, "could not open \"%s\": %s", path, strerror(number));
		errno = number;
		return -1;
	}
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return fd;
	(void) close(fd);
	(void) words_set(words, NULL, "\"%s\" is not a regular file", path);
	errno = EINVAL;
	return -1;
}

bool
journal_read(const char *path, uint8_t *image, size_t *length, bool *missing, Words *words)
{
	int	 fd = open_file(path, O_RDONLY, words);
	bool done = true;

	*length = 0;
	*missing = fd < 0 && errno == ENOENT;
	if (fd < 0)
		return false;
	while (*length <= JOURNAL_FILE_SIZE)
	{
		ssize_t n = read(fd, image + *length, JOURNAL_FILE_SIZE + 1 - *length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			done = words_set(words, NULL, "could not read \"%s\": %s", path, strerror(errno));
		if (n <= 0)
			break;
		*length += (size_t) n;
	}
	(void) close(fd);
	return done;
}

/* A sparse file: it uses space only for its events. */
static bool
begin_file(Journal *journal, Words *words)
{
	journal->fd = open_file(journal->path, O_RDWR | O_CREAT | O_EXCL, words);
	if (journal->fd < 0)
		return false;
	if (ftruncate(journal->fd, (off_t) JOURNAL_FILE_SIZE) == 0)
		return true;
	(void) words_set(words, NULL, "could not make room for \"%s\": %s", journal->path, strerror(errno));
	journal_close(journal);
	(void) unlink(journal->path);
	return false;
}

/*
 * What is there will not do: rename it to an unused name.  Nobody
 * takes it in between, for the state file is locked.
 */
static bool
move_aside(const Journal *journal, const char *what, Words *words)
{
	char		aside[STORE_PATH_SIZE + 8];
	struct stat status;
	int			i;

	(void) snprintf(aside, sizeof(aside), "%s.bad", journal->path);
	for (i = 1; i <= MOST_ASIDE && lstat(aside, &status) == 0; i++)
		(void) snprintf(aside, sizeof(aside), "%s.bad.%d", journal->path, i);
	if (i > MOST_ASIDE)
		return words_set(words, NULL, "\"%s\" is %s, and was not moved aside: there are too many as \"%s.bad\" already",
						 journal->path, what, journal->path);
	if (rename(journal->path, aside) != 0)
		return words_set(words, NULL, "\"%s\" is %s, and could not be moved aside: %s", journal->path, what,
						 strerror(errno));
	(void) words_set(words, NULL, "\"%s\" was %s; it is kept as \"%s\", and a new one is begun", journal->path,
					 what, aside);
	return true;
}

/* Is what was read good to go on with?  If not, it is moved aside. */
static bool
can_go_on(const Journal *journal, const uint8_t *image, size_t length, uint64_t *last, bool *moved,
		  Words *words)
{
	static JournalEvent events[JOURNAL_EVENTS];
	StoreIdentity		found;
	int					n_events;
	int					n_bad;
	JournalVerdict		verdict;

	verdict = journal_scan(image, length, &journal->identity, events, &n_events, &n_bad, &found);
	if (verdict == JOURNAL_TORN)
		(void) words_set(words, NULL, "damaged records in \"%s\", left out: %d", journal->path, n_bad);
	if (n_events > 0)
		*last = events[n_events - 1].number;
	if (verdict == JOURNAL_GOOD || verdict == JOURNAL_EMPTY || verdict == JOURNAL_TORN)
		return true;
	*moved = move_aside(journal, journal_verdict_name(verdict), words);
	return false;
}

bool
journal_open(Journal *journal, const char *directory, const StoreIdentity *identity,
			 uint64_t *last, Words *words)
{
	static uint8_t image[JOURNAL_FILE_SIZE + 1];
	size_t		   length;
	bool		   begin = false;

	words_clear(words);
	*last = 0;
	memset(journal, 0, sizeof(*journal));
	journal->fd = -1;
	journal->identity = *identity;
	if (!journal_path(directory, identity->node_id, journal->path, sizeof(journal->path)))
		return words_set(words, NULL, "the name of the state directory is too long");
	if (!journal_read(journal->path, image, &length, &begin, words))
	{
		if (!begin)
			return false;
		words_clear(words);
	}
	else if (can_go_on(journal, image, length, last, &begin, words))
	{
		journal->fd = open_file(journal->path, O_RDWR, words);
		return journal->fd >= 0;
	}
	return begin && begin_file(journal, words);
}

bool
journal_is_in_place(const Journal *journal)
{
	struct stat ours;
	struct stat theirs;

	return fstat(journal->fd, &ours) == 0 && lstat(journal->path, &theirs) == 0 &&
		   ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

bool
journal_write(Journal *journal, const JournalEvent *event, Words *words)
{
	uint8_t record[JOURNAL_RECORD_SIZE];
	off_t	place = (off_t) ((event->number - 1) % JOURNAL_EVENTS) * JOURNAL_RECORD_SIZE;
	ssize_t n;

	if (journal->fd < 0 || event->number == 0)
		return words_set(words, NULL, "no journal is open");
	journal_encode(&journal->identity, event, record);
	do
	{
		n = pwrite(journal->fd, record, sizeof(record), place);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t) sizeof(record))
		return true;
	return words_set(words, NULL, "could not write to \"%s\": %s", journal->path, strerror(n < 0 ? errno : ENOSPC));
}

void
journal_close(Journal *journal)
{
	if (journal->fd >= 0)
		(void) close(journal->fd);
	journal->fd = -1;
}

void
journal_boot_id(uint8_t *boot_id)
{
	char text[64] = "";
	int	 fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	int	 digits = 0;

	memset(boot_id, 0, JOURNAL_BOOT_ID);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	(void) close(fd);
	for (const char *c = text; *c != '\0' && *c != '\n' && digits < 2 * JOURNAL_BOOT_ID; c++)
	{
		static const char hex[] = "0123456789abcdef";
		const char		 *digit = strchr(hex, *c);

		if (digit == NULL)
			continue;
		boot_id[digits / 2] = (uint8_t) (boot_id[digits / 2] << 4 | (digit - hex));
		digits++;
	}
}
