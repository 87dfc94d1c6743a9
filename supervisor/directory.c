/*
 * supervisor/directory.c
 *	  The data directory of a server that does not run, and the lock of its supervisor.
 *
 * See directory.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "catalog/pg_control.h"
#include "port/pg_crc32c.h"

#include "aside.h"
#include "directory.h"
#include "files.h"
#include "holders.h"
#include "say.h"

/* Held until this process ends, and its jobs. */
static int lock_fd = -1;

/* ---- the lock ---- */

/*
 * The file names who has taken it.  What a supervisor that was killed has started has this lock, too,
 * until it has ended: nobody else touches the directory before.
 */
static bool
has_live_supervisor(int fd)
{
	char holder[32] = "";

	return pread(fd, holder, sizeof(holder) - 1, 0) <= 0 || kill(atoi(holder), 0) == 0;
}

bool
directory_lock(const char *state_directory, int node_id, Words *words)
{
	char path[STORE_PATH_SIZE];
	char name[64];
	char holder[32];
	int	 fd;

	(void) snprintf(name, sizeof(name), "node-%d.supervisor", node_id);
	if (!files_join(path, state_directory, name))
		return words_set(words, "Set pg_leader.state_directory to a shorter one.", "the path of the state directory is too long");
	if (mkdir(state_directory, S_IRWXU) != 0 && errno != EEXIST)
		return files_fail(words, "Create its parent directory, owned by the user that runs the server.", "create the directory", state_directory);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return files_fail(words, "It has to belong to the user that runs the server.", "open the file", path);
	if (!holders_lock(fd, true, has_live_supervisor))
	{
		int failure = errno;

		(void) files_read(path, holder, sizeof(holder));
		(void) close(fd);
		if (failure == EWOULDBLOCK)
			return words_set(words, "A member has one supervisor. Stop the other one first.",
							 "another supervisor runs for node %d (process %d)", node_id, atoi(holder));
		errno = failure;
		return files_fail(words, "", "lock the file", path);
	}

	/* for whoever is refused; nothing depends on it */
	(void) snprintf(holder, sizeof(holder), "%d\n", (int) getpid());
	if (ftruncate(fd, 0) != 0 || write(fd, holder, strlen(holder)) < 0)
		say_warning("", "could not write \"%s\": %s", path, strerror(errno));
	lock_fd = fd;
	return true;
}

void
directory_share_lock(void)
{
	(void) fcntl(lock_fd, F_SETFD, 0);
}

/* ---- looking ---- */

/*
 * Not by get_controlfile() of PostgreSQL, which ends the program if there is none.
 */
static bool
read_control(const char *directory, ControlFileData *control)
{
	char	  path[STORE_PATH_SIZE];
	pg_crc32c crc;
	int		  fd;
	ssize_t	  length;

	if (!files_join(path, directory, "global/pg_control") || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return false;
	length = read(fd, control, sizeof(*control));
	(void) close(fd);
	if (length != (ssize_t) sizeof(*control) || control->pg_control_version != PG_CONTROL_VERSION)
		return false;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, control, offsetof(ControlFileData, crc));
	FIN_CRC32C(crc);
	return EQ_CRC32C(crc, control->crc);
}

DirectoryControl
directory_control(const char *directory)
{
	DirectoryControl known = {0};
	ControlFileData	 control;
	char			 label[STORE_PATH_SIZE];

	if (!read_control(directory, &control))
		return known;
	known.system_id = control.system_identifier;
	known.segment_size = control.xlog_seg_size;
	known.timeline = Max(control.checkPointCopy.ThisTimeLineID, control.minRecoveryPointTLI);
	known.is_one_timeline = control.minRecoveryPointTLI == 0 || control.minRecoveryPointTLI == control.checkPointCopy.ThisTimeLineID;
	known.is_stopped_standby = control.state == DB_SHUTDOWNED_IN_RECOVERY;
	known.is_archive_recovery = control.state == DB_IN_ARCHIVE_RECOVERY;
	known.has_backup_label = files_join(label, directory, "backup_label") && files_exists(label);
	return known;
}

uint32_t
directory_major(void)
{
	return PG_VERSION_NUM / 10000;
}

typedef struct Contents
{
	bool is_postgres;
	char other[256]; /* a directory that is none of PostgreSQL's; empty: there is none */
} Contents;

static bool
look_at_entry(const char *directory, const char *name, void *context, Words *words)
{
	Contents *contents = context;

	(void) words;
	if (!files_is_directory(directory, name) || aside_is_ours(name) || strcmp(name, "lost+found") == 0)
		return true;
	if (strncmp(name, "pg_", strlen("pg_")) == 0 || strcmp(name, "base") == 0 || strcmp(name, "global") == 0)
		contents->is_postgres = true;
	else
		(void) snprintf(contents->other, sizeof(contents->other), "%s", name);
	return true;
}

/* What has no PG_VERSION may be what is left of a data directory, or something else, which would be removed. */
static bool
is_empty_or_postgres(const char *directory, Words *words)
{
	Contents contents = {.is_postgres = false};

	if (!files_exists(directory))
		return true;
	if (!files_each(directory, look_at_entry, &contents, words))
		return false;
	return contents.is_postgres || contents.other[0] == '\0' ||
		   words_set(words, "Correct -D or data_directory. If it is the right one, move away what lies there, but for this server's configuration files.",
					 "\"%s\" is no data directory of PostgreSQL, and not empty: it has a directory \"%s\"", directory, contents.other);
}

bool
directory_is_ours(const char *directory, Words *words)
{
	char path[STORE_PATH_SIZE];
	char text[16];

	if (!files_join(path, directory, "PG_VERSION") || files_read(path, text, sizeof(text)) <= 0)
		return is_empty_or_postgres(directory, words);
	if (atoi(text) == PG_VERSION_NUM / 10000)
		return true;
	return words_set(words, "Run the programs of that version, or move the directory away and create an empty one with this server's configuration.",
					 "the data directory \"%s\" is of PostgreSQL %d, and this program is of PostgreSQL %d", directory, atoi(text),
					 PG_VERSION_NUM / 10000);
}

bool
directory_has(const char *directory, pid_t pid)
{
	char		cwd[64];
	struct stat here;
	struct stat there;

	(void) snprintf(cwd, sizeof(cwd), "/proc/%d/cwd", (int) pid);
	return stat(cwd, &there) == 0 && stat(directory, &here) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* The process that postmaster.pid names, whatever it is now; 0: none. */
static pid_t
named_process(const char *directory, char *path)
{
	char text[64];
	int	 pid;

	if (!files_join(path, directory, "postmaster.pid") || files_read(path, text, sizeof(text)) <= 0)
		return 0;
	pid = atoi(text);
	if (pid < 0)
		pid = -pid; /* single-user mode */
	return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM) ? pid : 0;
}

pid_t
directory_postmaster(const char *directory)
{
	char  path[STORE_PATH_SIZE];
	pid_t pid = named_process(directory, path);

	return pid != 0 && directory_has(directory, pid) ? pid : 0;
}

bool
directory_has_room(const char *directory)
{
	char path[STORE_PATH_SIZE];

	return !files_join(path, directory, "pg_wal") || files_room(path) >= 2 * (uint64_t) DEFAULT_XLOG_SEG_SIZE;
}

/* ---- preparing ---- */

/*
 * After a restart of the machine or a container, the number in postmaster.pid may be that
 * of some other process: PostgreSQL would refuse to start for as long as that lives.
 */
bool
directory_remove_stale_pid(const char *directory, Words *words)
{
	char  path[STORE_PATH_SIZE];
	pid_t pid = named_process(directory, path);

	if (pid == 0)
		return true;
	if (directory_has(directory, pid))
		return words_set(words, "Stop it (pg_ctl stop); the supervisor starts the server itself.",
						 "a server that this supervisor has not started runs in \"%s\" (process %d)", directory, (int) pid);
	say_warning("", "removing \"%s\": process %d, which it names, is no server of this directory", path, (int) pid);
	return unlink(path) == 0 || errno == ENOENT || files_fail(words, "", "remove the file", path);
}

bool
directory_prepare(const char *directory, Words *words)
{
	char path[STORE_PATH_SIZE];
	int	 fd;

	words_clear(words);
	if (!directory_is_ours(directory, words) || !directory_remove_stale_pid(directory, words))
		return false;
	if (!files_join(path, directory, "promote"))
		return words_set(words, "", "the path of the data directory is too long");
	if (unlink(path) == 0)
		say_warning("Only the elected leader is promoted.", "removed \"%s\", which would have promoted the server", path);
	else if (errno != ENOENT)
		return files_fail(words, "", "remove the file", path);
	(void) files_join(path, directory, "standby.signal");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0 || fsync(fd) != 0)
	{
		(void) files_fail(words, "It has to belong to the user that runs the server.", "create the file", path);
		if (fd >= 0)
			(void) close(fd);
		return false;
	}
	(void) close(fd);
	return files_sync_directory(directory, words);
}
