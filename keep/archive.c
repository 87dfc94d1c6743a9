/*
 * keep/archive.c
 *	  An archive: its directory, settings, state, and locks.
 *
 * See archive.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog_internal.h"

#include "../supervisor/files.h"
#include "archive.h"
#include "archive_state.h"

#define FOLDER_MODE S_IRWXU
#define FILE_MODE	(S_IRUSR | S_IWUSR)

#define HINT_STATE                                                                             \
	"Do not put an old copy in its place. Make a new archive with init in another directory; " \
	"what this one holds is still there."

static const char *const folders[] = {"wal", "base", "work", "restored", "abandoned"};

#define FOLDERS ((int) (sizeof(folders) / sizeof(folders[0])))

/* ---- paths ---- */

void
archive_path(const Archive *archive, const char *name, char *path)
{
	(void) files_join(path, archive->path, name);
}

void
archive_timeline_path(const Archive *archive, uint32_t timeline, char *path)
{
	char name[32];

	(void) snprintf(name, sizeof(name), "wal/%08X", timeline);
	archive_path(archive, name, path);
}

void
archive_segment_path(const Archive *archive, uint32_t timeline, uint64_t segment, bool partial, char *path)
{
	char file[MAXFNAMELEN];
	char name[MAXFNAMELEN + 32];

	XLogFileName(file, timeline, segment, (int) archive->state.segment_size);
	(void) snprintf(name, sizeof(name), "wal/%08X/%s%s", timeline, file, partial ? ".partial" : "");
	archive_path(archive, name, path);
}

void
archive_history_path(const Archive *archive, uint32_t timeline, char *path)
{
	char name[64];

	(void) snprintf(name, sizeof(name), "wal/%08X/%08X.history", timeline, timeline);
	archive_path(archive, name, path);
}

void
archive_slot_name(const ArchiveSettings *settings, char *name)
{
	(void) snprintf(name, ARCHIVE_SLOT_SIZE, "keep_%s", settings->name);
}

void
archive_abandoned_name(uint32_t timeline, uint64_t fork, char *name)
{
	(void) snprintf(name, ARCHIVE_PLACE_SIZE, "%08X-%016" PRIX64, timeline, fork);
}

/* ---- condition ---- */

/* Has a directory an entry that is none of ours to overlook? */
static bool
has_entries(const char *path)
{
	DIR			  *directory = opendir(path);
	struct dirent *entry;
	bool		   found = false;

	while (directory != NULL && !found && (entry = readdir(directory)) != NULL)
		found = entry->d_name[0] != '.' && strcmp(entry->d_name, "lost+found") != 0;
	if (directory != NULL)
		(void) closedir(directory);
	return found;
}

int
archive_condition(const char *path)
{
	char settings[STORE_PATH_SIZE];
	char bases[STORE_PATH_SIZE];

	if (!files_join(settings, path, "keep.conf") || !files_exists(settings))
		return ARCHIVE_CLEAR;
	return files_join(bases, path, "base") && has_entries(bases) ? ARCHIVE_ARCHIVED : ARCHIVE_SYNC_READY;
}

const char *
archive_condition_name(int condition)
{
	return condition == ARCHIVE_CLEAR ? "Clear" : condition == ARCHIVE_SYNC_READY ? "SyncReady" :
																					"Archived";
}

/* ---- making one ---- */

/* Its own entries may be there: of an init that was interrupted. */
static bool
is_empty_for_us(const char *path, Words *words)
{
	struct dirent **entries;
	int				n = scandir(path, &entries, NULL, alphasort);
	bool			empty = n >= 0;

	if (n < 0)
		return files_fail(words, "", "read the directory", path);
	for (int i = 0; i < n; i++)
	{
		const char *name = entries[i]->d_name;
		bool		ours = strcmp(name, "state") == 0 || strcmp(name, "state.new") == 0 || strcmp(name, "keep.conf.new") == 0 ||
					strcmp(name, "lost+found") == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
		char folder[STORE_PATH_SIZE];

		for (int j = 0; !ours && j < FOLDERS; j++)
			ours = strcmp(name, folders[j]) == 0 && files_join(folder, path, name) && !has_entries(folder);
		empty = empty && (ours || words_set(words, "Give another directory, or empty this one.",
											"the directory \"%s\" is not empty: there is \"%s\"", path, name));
		free(entries[i]);
	}
	free(entries);
	return empty;
}

static bool
make_folder(const char *path, Words *words)
{
	return mkdir(path, FOLDER_MODE) == 0 || errno == EEXIST ||
		   files_fail(words, "Its parent has to exist, and to belong to the user that runs this program.", "create the directory", path);
}

/* Both slots hold the first record. */
static bool
write_first_state(const char *path, const ArchiveState *first, Words *words)
{
	uint8_t image[STATE_FILE] = {0};
	char new[STORE_PATH_SIZE];
	char to[STORE_PATH_SIZE];
	int	 fd;
	bool good;

	if (!files_join(new, path, "state.new") || !files_join(to, path, "state"))
		return words_set(words, "", "the path \"%s\" is too long", path);
	state_encode(first, image);
	state_encode(first, image + STATE_STRIDE);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
	if (fd < 0)
		return files_fail(words, "", "create the file", new);
	errno = ENOSPC;
	good = write(fd, image, sizeof(image)) == (ssize_t) sizeof(image) && fsync(fd) == 0;
	if (!good)
		(void) files_fail(words, "", "write the file", new);
	(void) close(fd);
	return good && files_rename(new, to, words);
}

bool
archive_create(const char *path, const ArchiveSettings *settings, const ArchiveState *first, Words *words)
{
	char text[SETTINGS_TEXT_SIZE];
	char file[STORE_PATH_SIZE];

	words_clear(words);
	if (!state_is_possible(first))
		return words_set(words, "", "an archive cannot begin with such a state");
	if (!settings_name_is_good(settings->name, words))
		return false;
	if (!settings_write(settings, text))
		return words_set(words, "", "the connection string is too long, or has more than one line");
	if (!files_join(file, path, "keep.conf"))
		return words_set(words, "", "the path \"%s\" is too long", path);
	if (!make_folder(path, words) || !is_empty_for_us(path, words))
		return false;
	for (int i = 0; i < FOLDERS; i++)
	{
		char folder[STORE_PATH_SIZE];

		if (!files_join(folder, path, folders[i]) || !make_folder(folder, words))
			return false;
	}
	return write_first_state(path, first, words) && files_sync_directory(path, words) && files_write(file, text, words);
}

/* ---- opening ---- */

static bool
read_settings(Archive *archive, Words *words)
{
	char	path[STORE_PATH_SIZE];
	char	text[SETTINGS_TEXT_SIZE];
	ssize_t length;

	archive_path(archive, "keep.conf", path);
	length = files_read(path, text, sizeof(text));
	if (length < 0)
		return files_fail(words, errno == ENOENT ? "There is no archive in that directory. Give one with -A, or make one with init." : "",
						  "read", path);
	if (length == (ssize_t) sizeof(text) - 1)
		return words_set(words, "", "the file \"%s\" is too long", path);
	return settings_parse(text, &archive->settings, words);
}

bool
archive_refresh(Archive *archive, Words *words)
{
	uint8_t		 image[STATE_FILE];
	int			 slot;
	StateVerdict verdict;

	errno = EIO;
	if (pread(archive->state_fd, image, sizeof(image), 0) != (ssize_t) sizeof(image))
		return words_set(words, HINT_STATE, "could not read the state of the archive \"%s\": %s", archive->path, strerror(errno));
	verdict = state_choose(image, &archive->state, &slot);
	if (verdict == STATE_OTHER_FORMAT)
		return words_set(words, "Use the version that has written it, or a newer one.",
						 "the state of the archive \"%s\" has a format that this program does not know", archive->path);
	if (verdict == STATE_BAD)
		return words_set(words, HINT_STATE, "the state of the archive \"%s\" is damaged", archive->path);
	archive->state_damaged = verdict == STATE_ONE_BAD;
	archive->next_slot = 1 - slot;
	return true;
}

bool
archive_open(Archive *archive, const char *path, Words *words)
{
	char absolute[PATH_MAX];
	char file[STORE_PATH_SIZE];

	words_clear(words);
	memset(archive, 0, sizeof(*archive));
	archive->state_fd = -1;
	if (realpath(path, absolute) == NULL)
		return files_fail(words, "There is no archive in that directory. Give one with -A, or make one with init.", "open the directory", path);
	if (strlen(absolute) > STORE_PATH_SIZE / 2)
		return words_set(words, "", "the path \"%s\" is too long", absolute);
	(void) snprintf(archive->path, sizeof(archive->path), "%s", absolute);
	if (!read_settings(archive, words))
		return false;
	archive_path(archive, "state", file);
	archive->state_fd = open(file, O_RDWR | O_CLOEXEC);
	if (archive->state_fd < 0)
		return files_fail(words, "It has to belong to the user that runs this program.", "open", file);
	if (archive_refresh(archive, words))
		return true;
	archive_close(archive);
	return false;
}

void
archive_close(Archive *archive)
{
	if (archive->state_fd >= 0)
		(void) close(archive->state_fd);
	archive->state_fd = -1;
}

bool
archive_save(Archive *archive, const ArchiveState *state, Words *words)
{
	uint8_t		 slot[STATE_SLOT];
	ArchiveState next = *state;

	next.save_number = archive->state.save_number + 1;
	if (!state_is_possible(&next))
		return words_set(words, "This is an error in pg_leader_keep. Please report it.", "refused to save an impossible state");
	state_encode(&next, slot);
	errno = ENOSPC;
	if (pwrite(archive->state_fd, slot, sizeof(slot), (off_t) archive->next_slot * STATE_STRIDE) != (ssize_t) sizeof(slot) ||
		fdatasync(archive->state_fd) != 0)
		return words_set(words, "Check that disk, and the kernel's log.", "could not write the state of the archive \"%s\": %s",
						 archive->path, strerror(errno));
	archive->state = next;
	archive->next_slot = 1 - archive->next_slot;
	return true;
}

/* ---- locks ---- */

static void
lock_path(const Archive *archive, const char *name, char *path)
{
	char file[64];

	(void) snprintf(file, sizeof(file), "%s.lock", name);
	archive_path(archive, file, path);
}

int
archive_lock(const Archive *archive, const char *name, Words *words)
{
	char path[STORE_PATH_SIZE];
	char pid[16] = "";
	int	 fd;

	lock_path(archive, name, path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
	if (fd < 0)
	{
		(void) files_fail(words, "It has to belong to the user that runs this program.", "open", path);
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		(void) files_read(path, pid, sizeof(pid));
		(void) words_set(words, "Let it end, or end it.", "another process (%s) already does \"%s\" for the archive \"%s\"",
						 pid[0] != '\0' ? pid : "unknown", name, archive->path);
		(void) close(fd);
		return -1;
	}
	(void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
	{
		/* it is for people: the lock is held all the same */
	}
	return fd;
}

bool
archive_is_locked(const Archive *archive, const char *name)
{
	char path[STORE_PATH_SIZE];
	int	 fd;
	bool held;

	lock_path(archive, name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
	if (fd >= 0)
		(void) close(fd);
	return held;
}

/* ---- stop and start ---- */

bool
archive_is_stopped(const Archive *archive)
{
	char path[STORE_PATH_SIZE];

	archive_path(archive, "stopped", path);
	return files_exists(path);
}

bool
archive_set_stopped(const Archive *archive, bool stopped, Words *words)
{
	char path[STORE_PATH_SIZE];

	archive_path(archive, "stopped", path);
	if (stopped)
		return files_write(path, "", words);
	return ((unlink(path) == 0 || errno == ENOENT) || files_fail(words, "", "remove", path)) && files_sync_directory(archive->path, words);
}

/* ---- files ---- */

bool
archive_move(const char *from, const char *to, Words *words)
{
	char  parent[STORE_PATH_SIZE];
	char *slash;

	(void) snprintf(parent, sizeof(parent), "%s", from);
	slash = strrchr(parent, '/');
	if (slash != NULL)
		*slash = '\0';
	return files_rename(from, to, words) && files_sync_directory(parent, words);
}

static bool
sync_entry(const char *directory, const char *name, void *context, Words *words)
{
	char		path[STORE_PATH_SIZE];
	struct stat kind;
	int			fd;
	bool		good;

	(void) context;
	if (!files_join(path, directory, name) || lstat(path, &kind) != 0)
		return files_fail(words, "", "look at", path);
	if (S_ISDIR(kind.st_mode))
		return archive_sync_tree(path, words);
	if (!S_ISREG(kind.st_mode))
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	good = fd >= 0 && fsync(fd) == 0;
	if (!good)
		(void) files_fail(words, "", "write the file", path);
	if (fd >= 0)
		(void) close(fd);
	return good;
}

bool
archive_sync_tree(const char *path, Words *words)
{
	return files_each(path, sync_entry, NULL, words) && files_sync_directory(path, words);
}

/* ---- lineage ---- */

bool
archive_lineage(const Archive *archive, uint32_t timeline, Lineage *lineage, Words *words)
{
	static char text[256 * 1024];
	char		path[STORE_PATH_SIZE];
	ssize_t		length;

	words_clear(words);
	if (timeline == 1)
	{
		lineage_first(lineage);
		return true;
	}
	archive_history_path(archive, timeline, path);
	length = files_read(path, text, sizeof(text));
	if (length < 0)
		return files_fail(words, "The archive has no history of that timeline, so it cannot tell where its WAL belongs.", "read", path);
	if (length == (ssize_t) sizeof(text) - 1)
		return words_set(words, "", "the history file \"%s\" is too long", path);
	if (lineage_parse(lineage, timeline, text, (size_t) length, words) == LINEAGE_BURNT)
		return words_set(words, "", "the history file \"%s\" names no ancestors", path);
	return words->error[0] == '\0';
}

uint64_t
archive_end_of(const Archive *archive, const Lineage *newest, uint32_t timeline)
{
	uint64_t end = lineage_end(newest, timeline);

	/* one that is not on the path ends at 0 */
	return end < archive->state.durable ? end : archive->state.durable;
}
