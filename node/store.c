/*
 * node/store.c
 *	  The state file: RaftSaved on disk.
 *
 * The first half is pure: laying out a slot, reading one, and choosing between
 * the two of a file.  The second half does the system calls, each one checked.
 * Called by the worker and by pg_leader_state.  Must not use backend symbols,
 * log, or accept anything doubtful: a state file that is misread can lead to a second
 * vote.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* renameat2() */
#endif

#include "record.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_MAGIC		 "PGLDSAVE"
#define STORE_RECORD_END 236

/* Of a timeline which this member was authorised to create. */
#define CREATED UINT32_C(0x80000000)

/* Of the flags. */
#define DISTRUSTED 1
#define NEVER_HELD 2

/* ---- pure ---- */

static void
put_data(uint8_t *slot, const RaftSaved *saved)
{
	put_number(slot + 76, 4, (uint32_t) saved->rebuild);
	put_number(slot + 80, 8, saved->system_id);
	put_number(slot + 88, 4, saved->claim);
	put_number(slot + 92, 4, saved->promoting);
	put_number(slot + 96, 4, (uint32_t) saved->rebuild_source);
	put_number(slot + 100, 4, (saved->distrusted ? DISTRUSTED : 0) | (saved->never_held ? NEVER_HELD : 0));
	put_number(slot + 104, 8, saved->rebuild_term);
	put_number(slot + 112, 8, saved->floor.epoch);
	put_number(slot + 120, 8, saved->floor.index);
	put_number(slot + 128, 4, saved->n_timelines);
	put_number(slot + 196, 4, saved->pause);
	put_number(slot + 200, 4, saved->list.number);
	put_number(slot + 204, 8, saved->list.now);
	put_number(slot + 212, 8, saved->list.old);
	put_number(slot + 220, 8, saved->list.digest);
	put_number(slot + 228, 8, saved->list.term);
	for (uint32_t i = 0; i < saved->n_timelines; i++)
		put_number(slot + 132 + 4 * i, 4,
				   saved->timelines[i].id | (saved->timelines[i].created ? CREATED : 0));
}

/* What belongs to the data; false: impossible. */
static bool
take_data(const uint8_t *slot, RaftSaved *saved)
{
	uint64_t rebuild = get_number(slot + 76, 4);
	uint64_t flags = get_number(slot + 100, 4);

	saved->system_id = get_number(slot + 80, 8);
	saved->claim = (uint32_t) get_number(slot + 88, 4);
	saved->promoting = (uint32_t) get_number(slot + 92, 4);
	saved->rebuild_source = get_signed(slot + 96);
	saved->distrusted = (flags & DISTRUSTED) != 0;
	saved->never_held = (flags & NEVER_HELD) != 0;
	saved->rebuild_term = get_number(slot + 104, 8);
	saved->floor.epoch = get_number(slot + 112, 8);
	saved->floor.index = get_number(slot + 120, 8);
	saved->n_timelines = (uint32_t) get_number(slot + 128, 4);
	saved->pause = (uint32_t) get_number(slot + 196, 4);
	saved->list.number = (uint32_t) get_number(slot + 200, 4);
	saved->list.now = get_number(slot + 204, 8);
	saved->list.old = get_number(slot + 212, 8);
	saved->list.digest = get_number(slot + 220, 8);
	saved->list.term = get_number(slot + 228, 8);
	if (rebuild >= RAFT_REBUILDS || (flags & ~(uint64_t) (DISTRUSTED | NEVER_HELD)) != 0 || saved->claim > RAFT_MAX_TIMELINE ||
		saved->promoting > saved->claim || saved->rebuild_term > RAFT_MAX_TERM ||
		saved->rebuild_source < RAFT_NONE || saved->rebuild_source >= RAFT_MAX_NODES ||
		!raft_position_is_possible(saved->floor) || !raft_list_is_possible(&saved->list) ||
		saved->n_timelines > RAFT_TIMELINES)
		return false;
	saved->rebuild = (RaftRebuild) rebuild;
	for (uint32_t i = 0; i < saved->n_timelines; i++)
	{
		uint32_t value = (uint32_t) get_number(slot + 132 + 4 * i, 4);

		saved->timelines[i].id = value & ~CREATED;
		saved->timelines[i].created = (value & CREATED) != 0;
		if (saved->timelines[i].id == 0)
			return false;
	}
	return is_zero(slot + 132 + 4 * saved->n_timelines, 4 * (RAFT_TIMELINES - saved->n_timelines));
}

void
store_encode(const StoreIdentity *identity, const RaftSaved *saved, uint8_t *slot)
{
	memset(slot, 0, STORE_SLOT_SIZE);
	memcpy(slot, STORE_MAGIC, 8);
	put_number(slot + 8, 4, STORE_FORMAT);
	put_number(slot + 12, 4, (uint32_t) identity->node_id);
	put_number(slot + 16, 8, identity->cluster_digest);
	put_number(slot + 24, 8, saved->save_number);
	put_number(slot + 32, 8, saved->boot);
	put_number(slot + 40, 8, saved->term);
	put_number(slot + 48, 4, (uint32_t) saved->voted_for);
	put_number(slot + 52, 4, saved->list_size);
	put_number(slot + 56, 8, saved->promise);
	put_number(slot + 64, 8, saved->list_digest);
	put_number(slot + 72, 4, (uint32_t) saved->abstaining);
	put_data(slot, saved);
	record_seal(slot, STORE_SLOT_SIZE);
}

StoreVerdict
store_decode(const uint8_t *slot, StoreIdentity *identity, RaftSaved *saved)
{
	int32_t	  node_id = get_signed(slot + 12);
	RaftSaved read = {0};

	if (memcmp(slot, STORE_MAGIC, 8) != 0 || !record_is_sealed(slot, STORE_SLOT_SIZE))
		return STORE_BAD;
	if (get_number(slot + 8, 4) != STORE_FORMAT)
		return STORE_OTHER_FORMAT;
	read.save_number = get_number(slot + 24, 8);
	read.boot = get_number(slot + 32, 8);
	read.term = get_number(slot + 40, 8);
	read.voted_for = get_signed(slot + 48);
	read.list_size = (uint32_t) get_number(slot + 52, 4);
	read.promise = get_number(slot + 56, 8);
	read.list_digest = get_number(slot + 64, 8);
	if (node_id < 0 || node_id >= RAFT_MAX_NODES ||
		read.term > RAFT_MAX_TERM ||
		read.save_number > RAFT_MAX_TERM || read.boot > RAFT_MAX_TERM ||
		read.voted_for < RAFT_UNKNOWN || read.voted_for >= RAFT_MAX_NODES ||
		read.list_size > RAFT_MAX_NODES ||
		read.promise > RAFT_MAX_PROMISE ||
		get_number(slot + 72, 4) > RAFT_ABSTAIN_LAST || !take_data(slot, &read) ||
		!is_zero(slot + STORE_RECORD_END, STORE_SLOT_SIZE - RECORD_CRC_SIZE - STORE_RECORD_END))
		return STORE_BAD;
	read.abstaining = (RaftAbstain) get_number(slot + 72, 4);
	identity->cluster_digest = get_number(slot + 16, 8);
	identity->node_id = node_id;
	*saved = read;
	return STORE_GOOD;
}

StoreVerdict
store_choose(const uint8_t *image, size_t length, const StoreIdentity *identity,
			 RaftSaved *saved, int *slot, StoreIdentity *found)
{
	StoreVerdict  verdict[2];
	StoreIdentity owner[2];
	RaftSaved	  record[2];
	int			  newer;

	if (length != STORE_FILE_SIZE)
		return STORE_WRONG_SIZE;
	for (int i = 0; i < 2; i++)
		verdict[i] = store_decode(image + (size_t) i * STORE_SLOT_STRIDE,
								  &owner[i], &record[i]);

	/*
	 * One slot of another format means that another version of the program has
	 * run since: what the other slot holds is old.
	 */
	if (verdict[0] == STORE_OTHER_FORMAT || verdict[1] == STORE_OTHER_FORMAT)
		return STORE_OTHER_FORMAT;
	for (int i = 0; i < 2; i++)
	{
		if (verdict[i] != STORE_GOOD)
			continue;
		*found = owner[i];
		if (owner[i].cluster_digest != identity->cluster_digest)
			return STORE_OTHER_CLUSTER;
		if (owner[i].node_id != identity->node_id)
			return STORE_OTHER_NODE;
	}
	if (verdict[0] != STORE_GOOD && verdict[1] != STORE_GOOD)
		return STORE_BAD;
	if (verdict[0] != STORE_GOOD || verdict[1] != STORE_GOOD)
	{
		*slot = verdict[0] == STORE_GOOD ? 0 : 1;
		*saved = record[*slot];
		return STORE_ONE_SLOT_BAD;
	}

	/*
	 * A new file holds one record twice.  Two different records under one save
	 * number were never written by one member.
	 */
	if (record[0].save_number == record[1].save_number &&
		memcmp(image, image + STORE_SLOT_STRIDE, STORE_SLOT_SIZE) != 0)
		return STORE_BAD;
	newer = record[1].save_number > record[0].save_number ? 1 : 0;
	*slot = newer;
	*saved = record[newer];
	return STORE_GOOD;
}

void
store_number_new_life(RaftSaved *first, uint64_t wall_clock_ms)
{
	if (wall_clock_ms > RAFT_MAX_REMEMBERED)
		return;
	if (wall_clock_ms > first->boot)
		first->boot = wall_clock_ms;
	if (wall_clock_ms > first->save_number)
		first->save_number = wall_clock_ms;
}

void
store_heed_evidence(RaftSaved *first, const StoreEvidence *evidence)
{
	if (evidence->term > first->term)
	{
		first->term = evidence->term;
		first->voted_for = RAFT_UNKNOWN;
	}
	if (evidence->boot >= first->boot && evidence->boot < RAFT_MAX_REMEMBERED)
		first->boot = evidence->boot + 1;
}

const char *
store_verdict_name(StoreVerdict verdict)
{
	switch (verdict)
	{
		case STORE_GOOD:
			return "good";
		case STORE_ONE_SLOT_BAD:
			return "one slot is bad";
		case STORE_BAD:
			return "bad";
		case STORE_WRONG_SIZE:
			return "wrong size";
		case STORE_OTHER_FORMAT:
			return "another format";
		case STORE_OTHER_CLUSTER:
			return "another cluster's";
		case STORE_OTHER_NODE:
			return "another node's";
	}
	return "unknown";
}

bool
store_may_trust(const struct stat *file, uid_t user, Words *words)
{
	if (file->st_uid != user && file->st_uid != 0 && user != 0)
		return words_set(words, NULL, "belongs neither to the user that the server runs as nor to root");
	if (file->st_mode & (S_IWGRP | S_IWOTH))
		return words_set(words, NULL, "can be written to by others: its permissions are %04o",
						 (unsigned) (file->st_mode & 07777));
	words_clear(words);
	return true;
}

/* ---- files ---- */

#define HINT_DIRECTORY \
	"Set pg_leader.state_directory to a directory owned by the server's user; only its last component is created."
#define HINT_PERMISSION \
	"The directory and the file must belong to the user that the server runs as."
#define GONE "the state file \"%s\" was removed, or replaced by another one, while it was in use"
#define HINT_GONE                                                              \
	"If the file was moved, move it back. If it is lost, restart the server: " \
	"this member then abstains until all others have answered it."
#define HINT_TWIN	"Is another server running with this state directory and this node id?"
#define HINT_REPORT "This is an error in pg_leader. Please report it."
#define HINT_CLOSE \
	"Only the server's user may write there: see to its owner, and \"chmod go-w\" it."
#define HINT_RESTORE                                                                  \
	"Do not put an old copy in its place. If the state is lost, move the file away: " \
	"this member then abstains from voting until all others have answered it."

/* What to do about a file system that refuses. */
static const char *
hint_for(int number)
{
	switch (number)
	{
		case ENOENT:
		case ENOTDIR:
		case EEXIST:
			return HINT_DIRECTORY;
		case EACCES:
		case EPERM:
			return HINT_PERMISSION;
		case ENOSPC:
		case EDQUOT:
		case EFBIG:
			return "Free some space: the state file takes 8 kB.";
		case EROFS:
			return "Set pg_leader.state_directory to a directory that can be written to.";
		default:
			return "Check the kernel log for errors of this file system.";
	}
}

/* Words for a call that failed, and what to do.  Always false. */
static bool
fail_errno(Words *words, const char *what, const char *path)
{
	int number = errno;

	return words_set(words, hint_for(number), "could not %s \"%s\": %s", what, path, strerror(number));
}

bool
store_path(const char *directory, int32_t node_id, char *path, size_t size)
{
	int length = snprintf(path, size, "%s/node-%d.state", directory, (int) node_id);

	return length >= 0 && (size_t) length < size;
}

/* The directory that holds a directory: "a/b/" gives "a", "b" gives ".". */
static void
parent_of(const char *directory, char *parent, size_t size)
{
	size_t length = strlen(directory);

	while (length > 1 && directory[length - 1] == '/')
		length--;
	while (length > 0 && directory[length - 1] != '/')
		length--;
	while (length > 1 && directory[length - 1] == '/')
		length--;
	if (length == 0)
		(void) snprintf(parent, size, ".");
	else
		(void) snprintf(parent, size, "%.*s", (int) length, directory);
}

static bool
is_directory(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Read up to size bytes from the start.  -1: failed, see errno. */
static ssize_t
read_all(int fd, uint8_t *buffer, size_t size)
{
	size_t done = 0;

	while (done < size)
	{
		ssize_t n = pread(fd, buffer + done, size - done, (off_t) done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t) n;
	}
	return (ssize_t) done;
}

static bool
write_all(int fd, const uint8_t *buffer, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size)
	{
		ssize_t n = pwrite(fd, buffer + done, size - done, offset + (off_t) done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
		{
			errno = ENOSPC;
			return false;
		}
		done += (size_t) n;
	}
	return true;
}

/* Make the names in a directory durable. */
static bool
sync_directory(const char *directory, Words *words)
{
	int	 fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return fail_errno(words, "open the directory", directory);
	done = fsync(fd) == 0;
	if (!done)
		(void) fail_errno(words, "fsync the directory", directory);
	(void) close(fd);
	return done;
}

/* Does the path still lead to the file that is open? */
static bool
is_still_at(const char *path, dev_t device, ino_t inode)
{
	struct stat status;

	return lstat(path, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

/* "a/b/node-1.state" and the directory that it is in. */
static bool
is_closed_to_others(const char *path, bool with_file, Words *words)
{
	char		directory[STORE_PATH_SIZE];
	Words		reason = {"", ""};
	struct stat status;

	parent_of(path, directory, sizeof(directory));
	if (stat(directory, &status) != 0)
		return fail_errno(words, "look at the directory", directory);
	if (!store_may_trust(&status, geteuid(), &reason))
		return words_set(words, HINT_CLOSE, "the state directory \"%.400s\" %.400s", directory, reason.error);
	if (with_file && lstat(path, &status) != 0)
		return fail_errno(words, "look at the state file", path);
	if (with_file && !store_may_trust(&status, geteuid(), &reason))
		return words_set(words, HINT_CLOSE, "the state file \"%.400s\" %.400s", path, reason.error);
	words_clear(words);
	return true;
}

static bool
lock_file(int fd, const char *path, Words *words)
{
	int result;

	do
	{
		result = flock(fd, LOCK_EX | LOCK_NB);
	} while (result != 0 && errno == EINTR);
	if (result == 0)
		return true;
	if (errno == EWOULDBLOCK)
		return words_set(words, HINT_TWIN, "another process uses the state file \"%s\"", path);
	return words_set(words, "The state directory must be on a file system that supports flock().",
					 "could not lock the file \"%s\": %s", path, strerror(errno));
}

static bool
start_store(Store *store, const char *directory, const StoreIdentity *identity,
			Words *words)
{
	words_clear(words);
	memset(store, 0, sizeof(*store));
	store->fd = -1;
	store->identity = *identity;
	if (directory[0] != '\0' &&
		store_path(directory, identity->node_id, store->path, sizeof(store->path)))
		return true;
	return words_set(words, HINT_DIRECTORY, "the name of the state directory is %s",
					 directory[0] != '\0' ? "too long" : "empty");
}

/* The file does not open: is it merely not there? */
static StoreOpen
classify_open_error(const Store *store, const char *directory, Words *words)
{
	int	 number = errno;
	char parent[STORE_PATH_SIZE];

	if (number == ENOENT)
	{
		parent_of(directory, parent, sizeof(parent));
		if (is_directory(directory) || is_directory(parent))
			return STORE_MISSING;
		(void) words_set(words, HINT_DIRECTORY, "the directory \"%s\" does not exist", parent);
		return STORE_FAILED;
	}
	if (number == ELOOP)
	{
		(void) words_set(words, "Put the file itself there, or set pg_leader.state_directory to where it is.",
						 "the state file \"%s\" is a symbolic link", store->path);
		return STORE_FAILED;
	}
	errno = number;
	(void) fail_errno(words, "open the state file", store->path);
	return STORE_FAILED;
}

/* The file was read and will not do.  Words for it. */
static void
explain_verdict(const Store *store, StoreVerdict verdict, const StoreIdentity *found,
				size_t length, Words *words)
{
	switch (verdict)
	{
		case STORE_WRONG_SIZE:
			(void) words_set(words, HINT_RESTORE, "the state file \"%s\" has %s%zu bytes instead of %d", store->path,
							 length > STORE_FILE_SIZE ? "at least " : "", length, STORE_FILE_SIZE);
			break;
		case STORE_OTHER_FORMAT:
			(void) words_set(words, "Run the version of pg_leader that wrote it.",
							 "the state file \"%s\" was written by another version of pg_leader, in another format",
							 store->path);
			break;
		case STORE_OTHER_CLUSTER:
			(void) words_set(words, "Check pg_leader.cluster_name and pg_leader.state_directory.",
							 "the state file \"%s\" belongs to another cluster (digest %016llx of its name, ours is %016llx)",
							 store->path, (unsigned long long) found->cluster_digest,
							 (unsigned long long) store->identity.cluster_digest);
			break;
		case STORE_OTHER_NODE:
			(void) words_set(words, "Each member needs its own state file: never copy one from another member.",
							 "the state file \"%s\" belongs to node %d, and this is node %d",
							 store->path, (int) found->node_id, (int) store->identity.node_id);
			break;
		default:
			(void) words_set(words, HINT_RESTORE, "the state file \"%s\" is damaged: both of its records are invalid",
							 store->path);
			break;
	}
}

/* The file is open.  false, with words: it will not do. */
static bool
read_store(Store *store, RaftSaved *saved, Words *words)
{
	uint8_t		  image[STORE_FILE_SIZE + 1];
	StoreIdentity found = {0};
	StoreVerdict  verdict;
	struct stat	  status;
	ssize_t		  length;
	int			  slot = 0;

	if (fstat(store->fd, &status) != 0 || !S_ISREG(status.st_mode))
		return words_set(words, HINT_DIRECTORY, "the state file \"%s\" is not a regular file", store->path);
	store->device = status.st_dev;
	store->inode = status.st_ino;
	if (!is_closed_to_others(store->path, true, words) ||
		!lock_file(store->fd, store->path, words))
		return false;
	if (!is_still_at(store->path, store->device, store->inode))
		return words_set(words, "Do not change files in the state directory while the server runs.",
						 "the state file \"%s\" was replaced while it was being opened", store->path);
	length = read_all(store->fd, image, sizeof(image));
	if (length < 0)
		return words_set(words, HINT_RESTORE, "could not read the state file \"%s\": %s", store->path,
						 strerror(errno));
	verdict = store_choose(image, (size_t) length, &store->identity, saved, &slot, &found);
	if (verdict != STORE_GOOD && verdict != STORE_ONE_SLOT_BAD)
	{
		explain_verdict(store, verdict, &found, (size_t) length, words);
		return false;
	}

	/* With one bad slot this is the bad one. */
	store->next_slot = 1 - slot;
	store->damaged = verdict == STORE_ONE_SLOT_BAD;
	store->save_number = saved->save_number;
	return true;
}

StoreOpen
store_open(Store *store, const char *directory, const StoreIdentity *identity,
		   RaftSaved *saved, Words *words)
{
	if (!start_store(store, directory, identity, words))
		return STORE_FAILED;
	store->fd = open(store->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (store->fd < 0)
		return classify_open_error(store, directory, words);
	if (!read_store(store, saved, words))
	{
		store_close(store);
		return STORE_FAILED;
	}
	return STORE_OPENED;
}

/* Can this record be read back as it is?  What cannot must not be written. */
static bool
encode_checked(const StoreIdentity *identity, const RaftSaved *saved, uint8_t *slot)
{
	StoreIdentity who;
	RaftSaved	  what;

	store_encode(identity, saved, slot);
	return store_decode(slot, &who, &what) == STORE_GOOD;
}

/* Make the directory if only that is missing, durably. */
static bool
make_directory(const char *directory, Words *words)
{
	char parent[STORE_PATH_SIZE];

	if (is_directory(directory))
		return true;
	if (mkdir(directory, 0700) != 0)
		return fail_errno(words, "create the directory", directory);
	parent_of(directory, parent, sizeof(parent));
	return sync_directory(parent, words);
}

/*
 * Give the finished temporary file its name, unless that is taken.  Not every
 * file system can rename without replacing; those get a second link first.
 */
static bool
publish_file(const char *temporary, const char *path)
{
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return true;
	if (errno != EINVAL && errno != ENOSYS)
		return false;
	if (link(temporary, path) != 0)
		return false;
	(void) unlink(temporary);
	return true;
}

/*
 * The temporary file: both slots, on disk, locked.  One that a crash has left
 * behind is ignored.
 */
static bool
write_temporary(Store *store, const char *temporary, const uint8_t *image,
				Words *words)
{
	struct stat status;

	if (unlink(temporary) != 0 && errno != ENOENT)
		return fail_errno(words, "remove the file", temporary);
	store->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->fd < 0)
		return fail_errno(words, "create the file", temporary);
	if (fstat(store->fd, &status) != 0)
		return fail_errno(words, "look at the file", temporary);
	store->device = status.st_dev;
	store->inode = status.st_ino;
	if (!lock_file(store->fd, temporary, words))
		return false;
	if (!write_all(store->fd, image, STORE_FILE_SIZE, 0) || fsync(store->fd) != 0)
		return fail_errno(words, "write to the file", temporary);
	return true;
}

static bool
refuse_existing(const char *path, Words *words)
{
	return words_set(words,
					 "A state file is never overwritten, because it holds votes. "
					 "Move it away only if this member has never run with it.",
					 "the state file \"%s\" exists already", path);
}

/* Store and directory are known: make the file.  false, with words. */
static bool
create_file(Store *store, const char *directory, const uint8_t *image,
			Words *words)
{
	char		temporary[STORE_PATH_SIZE + 8];
	struct stat status;

	(void) snprintf(temporary, sizeof(temporary), "%s.tmp", store->path);
	if (!make_directory(directory, words) ||
		!is_closed_to_others(store->path, false, words))
		return false;
	if (lstat(store->path, &status) == 0)
		return refuse_existing(store->path, words);
	if (errno != ENOENT)
		return fail_errno(words, "create the state file", store->path);
	if (!write_temporary(store, temporary, image, words))
	{
		if (store->fd >= 0)
			(void) unlink(temporary);
		return false;
	}
	if (!publish_file(temporary, store->path))
	{
		bool exists = errno == EEXIST;

		if (!exists)
			(void) fail_errno(words, "create the state file", store->path);
		(void) unlink(temporary);
		return exists ? refuse_existing(store->path, words) : false;
	}
	if (!is_still_at(store->path, store->device, store->inode))
		return words_set(words, HINT_TWIN, "another process has created \"%s\" at the same time", store->path);
	return sync_directory(directory, words);
}

bool
store_create(Store *store, const char *directory, const StoreIdentity *identity,
			 const RaftSaved *first, Words *words)
{
	uint8_t image[STORE_FILE_SIZE];

	if (!start_store(store, directory, identity, words))
		return false;
	memset(image, 0, sizeof(image));
	if (!encode_checked(identity, first, image))
		return words_set(words, HINT_REPORT, "the first record holds impossible values");
	memcpy(image + STORE_SLOT_STRIDE, image, STORE_SLOT_SIZE);
	if (!create_file(store, directory, image, words))
	{
		store_close(store);
		return false;
	}

	/* A tie is read as slot 0, so the next record goes to slot 1. */
	store->next_slot = 1;
	store->save_number = first->save_number;
	return true;
}

bool
store_save(Store *store, const RaftSaved *saved, Words *words)
{
	uint8_t slot[STORE_SLOT_SIZE];

	words_clear(words);
	if (store->fd <= 0)
		return words_set(words, NULL, "the state file \"%s\" is not open", store->path);
	if (saved->save_number <= store->save_number)
		(void) words_set(words, HINT_REPORT, "save number %llu does not follow %llu in \"%s\"",
						 (unsigned long long) saved->save_number,
						 (unsigned long long) store->save_number, store->path);
	else if (!encode_checked(&store->identity, saved, slot))
		(void) words_set(words, HINT_REPORT, "the record to save in \"%s\" holds impossible values", store->path);
	else if (!write_all(store->fd, slot, STORE_SLOT_SIZE,
						(off_t) store->next_slot * STORE_SLOT_STRIDE))
		(void) fail_errno(words, "write to the state file", store->path);
	else if (fdatasync(store->fd) != 0)
		(void) fail_errno(words, "fdatasync the state file", store->path);
	else if (!is_still_at(store->path, store->device, store->inode))
		(void) words_set(words, HINT_GONE, GONE, store->path);
	else
	{
		store->next_slot = 1 - store->next_slot;
		store->save_number = saved->save_number;
		return true;
	}

	/* A second fdatasync could succeed without having written anything. */
	store_close(store);
	return false;
}

StoreSight
store_look(const char *path, dev_t device, ino_t inode, Words *words)
{
	if (!is_still_at(path, device, inode))
	{
		(void) words_set(words, "The next save will fail. " HINT_GONE, GONE, path);
		return STORE_GONE;
	}
	return is_closed_to_others(path, true, words) ? STORE_SOUND : STORE_OPEN_TO_OTHERS;
}

bool
store_read(const char *path, uint8_t *image, size_t *length, Words *words)
{
	int		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	words_clear(words);
	if (fd < 0)
		return fail_errno(words, "open the file", path);
	n = read_all(fd, image, STORE_FILE_SIZE + 1);
	if (n < 0)
		(void) fail_errno(words, "read the file", path);
	(void) close(fd);
	*length = n > 0 ? (size_t) n : 0;
	return n >= 0;
}

void
store_close(Store *store)
{
	/* A struct that is all zero was never opened. */
	if (store->fd > 0)
		(void) close(store->fd);
	store->fd = -1;
}
