/*
 * node/note.c
 *	  The small file beside the state file: what a member held a moment ago.
 *
 * See note.h.  Must not use backend symbols or log, and must not take a file that is in any
 * way doubtful: too high a floor keeps a healthy member from voting.
 */
#include "record.h"

#include "note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOTE_MAGIC "PGLDHELD"

#define NOTE_RECORD_END 48
#define STANDING_BEFORE 1 /* of the flags */

#define HINT_BAD \
	"It is written anew. Until then this member relies on its state file and on what the others remember of it."
#define HINT_FILE "Check the permissions and the free space of the state directory, and the kernel log."

/* ---- pure ---- */

static void
encode(const StoreIdentity *identity, const Note *note, uint8_t *record)
{
	memset(record, 0, NOTE_SIZE);
	memcpy(record, NOTE_MAGIC, 8);
	put_number(record + 8, 4, NOTE_FORMAT);
	put_number(record + 12, 4, (uint32_t) identity->node_id);
	put_number(record + 16, 8, identity->cluster_digest);
	put_number(record + 24, 8, note->held.epoch);
	put_number(record + 32, 8, note->held.index);
	put_number(record + 40, 4, note->wrote_on);
	put_number(record + 44, 4, note->standing_before ? STANDING_BEFORE : 0);
	record_seal(record, NOTE_SIZE);
}

/* NULL, or what is wrong with it. */
static const char *
decode(const uint8_t *record, size_t length, const StoreIdentity *identity, Note *note)
{
	uint64_t flags = get_number(record + 44, 4);

	if (length != NOTE_SIZE || memcmp(record, NOTE_MAGIC, 8) != 0 || !record_is_sealed(record, NOTE_SIZE))
		return "is damaged";
	if (get_number(record + 8, 4) != NOTE_FORMAT)
		return "was written by another version of pg_leader, in another format";
	if (get_number(record + 16, 8) != identity->cluster_digest)
		return "belongs to another cluster";
	if (get_signed(record + 12) != identity->node_id)
		return "belongs to another node";
	note->held.epoch = get_number(record + 24, 8);
	note->held.index = get_number(record + 32, 8);
	note->wrote_on = (uint32_t) get_number(record + 40, 4);
	note->standing_before = (flags & STANDING_BEFORE) != 0;
	if (!raft_position_is_possible(note->held) || note->wrote_on > RAFT_MAX_TIMELINE || flags > STANDING_BEFORE ||
		!is_zero(record + NOTE_RECORD_END, NOTE_SIZE - RECORD_CRC_SIZE - NOTE_RECORD_END))
		return "holds impossible values";
	return NULL;
}

/* ---- the file ---- */

bool
note_path(const char *directory, int32_t node_id, char *path, size_t size)
{
	int length = snprintf(path, size, "%s/node-%d.held", directory, (int) node_id);

	return length >= 0 && (size_t) length < size;
}

static bool
fail_errno(Words *words, const char *what, const char *path)
{
	return words_set(words, HINT_FILE, "could not %s \"%s\": %s", what, path, strerror(errno));
}

static bool
path_of(const char *directory, const StoreIdentity *identity, char *path, Words *words)
{
	words_clear(words);
	return note_path(directory, identity->node_id, path, STORE_PATH_SIZE) ||
		   words_set(words, "Set pg_leader.state_directory to a shorter one.", "the name of the state directory is too long");
}

/* So many bytes of it; -1, see errno. */
static ssize_t
read_file(const char *path, uint8_t *bytes, size_t size)
{
	int		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;
	int		number;

	if (fd < 0)
		return -1;
	do
	{
		n = read(fd, bytes, size);
	} while (n < 0 && errno == EINTR);
	number = errno;
	(void) close(fd);
	errno = number;
	return n;
}

NoteVerdict
note_read(const char *directory, const StoreIdentity *identity, Note *note, Words *words)
{
	char		path[STORE_PATH_SIZE];
	uint8_t		record[NOTE_SIZE + 1] = {0}; /* so that a longer file shows as such */
	ssize_t		length;
	const char *wrong;

	*note = (Note){0};
	if (!path_of(directory, identity, path, words))
		return NOTE_BAD;
	length = read_file(path, record, sizeof(record));
	if (length < 0 && errno == ENOENT)
		return NOTE_MISSING;
	if (length < 0)
	{
		(void) fail_errno(words, "read the file", path);
		return NOTE_BAD;
	}
	wrong = decode(record, (size_t) length, identity, note);
	if (wrong == NULL)
		return NOTE_GOOD;
	*note = (Note){0};
	(void) words_set(words, HINT_BAD, "the file \"%s\" %s", path, wrong);
	return NOTE_BAD;
}

/* A file that holds just that, durably but for its name. */
static bool
write_file(const char *path, const uint8_t *bytes, size_t size, Words *words)
{
	int		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t n;
	bool	done;

	if (fd < 0)
		return fail_errno(words, "create the file", path);
	errno = 0;
	n = write(fd, bytes, size);
	if (n >= 0 && (size_t) n < size)
		errno = ENOSPC;
	done = n == (ssize_t) size && fdatasync(fd) == 0;
	if (!done)
		(void) fail_errno(words, "write to the file", path);
	if (close(fd) != 0 && done)
		done = fail_errno(words, "close the file", path);
	return done;
}

static bool
sync_names(const char *directory, Words *words)
{
	int	 fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;

	if (!done)
		(void) fail_errno(words, "fsync the directory", directory);
	if (fd >= 0)
		(void) close(fd);
	return done;
}

bool
note_write(const char *directory, const StoreIdentity *identity, const Note *note, Words *words)
{
	char	path[STORE_PATH_SIZE];
	char	temporary[STORE_PATH_SIZE + 8];
	uint8_t record[NOTE_SIZE];
	Note	back;

	if (!path_of(directory, identity, path, words))
		return false;
	encode(identity, note, record);
	if (decode(record, NOTE_SIZE, identity, &back) != NULL)
		return words_set(words, "This is an error in pg_leader. Please report it.",
						 "what is to be written to \"%s\" holds impossible values", path);
	(void) snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	if (!write_file(temporary, record, NOTE_SIZE, words))
	{
		(void) unlink(temporary);
		return false;
	}
	if (rename(temporary, path) != 0)
	{
		(void) fail_errno(words, "give its name to the file", temporary);
		(void) unlink(temporary);
		return false;
	}
	return sync_names(directory, words);
}
