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
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "catalog/pg_control.h"
#include "port/pg_crc32c.h"

#include "../node/store.h"
#include "directory.h"
#include "say.h"

/* Held until this process ends. */
static int lock_fd = -1;

static bool
fail_errno(Words *words, const char *hint, const char *doing, const char *path)
{
	return words_set(words, hint, "could not %s \"%s\": %s", doing, path, strerror(errno));
}

/* false: it would be too long, and is empty. */
static bool
path_in(char *path, const char *directory, const char *name)
{
	if (snprintf(path, STORE_PATH_SIZE, "%s/%s", directory, name) < STORE_PATH_SIZE)
		return true;
	path[0] = '\0';
	return false;
}

/* What a small file holds, as text.  -1: errno says why not. */
static ssize_t
read_file(const char *path, char *text, size_t size)
{
	int		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t length;
	int		failure;

	if (fd < 0)
		return -1;
	length = read(fd, text, size - 1);
	failure = errno;
	(void) close(fd);
	errno = failure;
	text[length > 0 ? length : 0] = '\0';
	return length;
}

/* ---- the lock ---- */

bool
directory_lock(const char *state_directory, int node_id, Words *words)
{
	char path[STORE_PATH_SIZE];
	char name[64];
	char holder[32];
	int	 fd;

	(void) snprintf(name, sizeof(name), "node-%d.supervisor", node_id);
	if (!path_in(path, state_directory, name))
		return words_set(words, "Set pg_leader.state_directory to a shorter one.", "the path of the state directory is too long");
	if (mkdir(state_directory, S_IRWXU) != 0 && errno != EEXIST)
		return fail_errno(words, "Create its parent directory, owned by the user that runs the server.", "create the directory", state_directory);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return fail_errno(words, "It has to belong to the user that runs the server.", "open the file", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		int failure = errno;

		(void) read_file(path, holder, sizeof(holder));
		(void) close(fd);
		if (failure == EWOULDBLOCK)
			return words_set(words, "A member has one supervisor. Stop the other one first.",
							 "another supervisor runs for node %d (process %d)", node_id, atoi(holder));
		errno = failure;
		return fail_errno(words, "", "lock the file", path);
	}

	/* for whoever is refused; nothing depends on it */
	(void) snprintf(holder, sizeof(holder), "%d\n", (int) getpid());
	if (ftruncate(fd, 0) != 0 || write(fd, holder, strlen(holder)) < 0)
		say_warning("", "could not write \"%s\": %s", path, strerror(errno));
	lock_fd = fd;
	return true;
}

/* ---- looking ---- */

/*
 * Not by get_controlfile() of PostgreSQL, which ends the program if there is none.
 */
uint64_t
directory_system(const char *directory)
{
	char			path[STORE_PATH_SIZE];
	ControlFileData control;
	pg_crc32c		crc;
	int				fd;
	ssize_t			length;

	if (!path_in(path, directory, "global/pg_control") || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	length = read(fd, &control, sizeof(control));
	(void) close(fd);
	if (length != (ssize_t) sizeof(control) || control.pg_control_version != PG_CONTROL_VERSION)
		return 0;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, &control, offsetof(ControlFileData, crc));
	FIN_CRC32C(crc);
	return EQ_CRC32C(crc, control.crc) ? control.system_identifier : 0;
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

	if (!path_in(path, directory, "postmaster.pid") || read_file(path, text, sizeof(text)) <= 0)
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
	char		   path[STORE_PATH_SIZE];
	struct statvfs room;
	uint64_t	   segment = DEFAULT_XLOG_SEG_SIZE;

	if (!path_in(path, directory, "pg_wal") || statvfs(path, &room) != 0)
		return true;
	return (uint64_t) room.f_bavail * room.f_frsize >= 2 * segment;
}

/* ---- preparing ---- */

/*
 * After a restart of the machine or a container, the number in postmaster.pid may be that
 * of some other process: PostgreSQL would refuse to start for as long as that lives.
 */
static bool
remove_stale_pid(const char *directory, Words *words)
{
	char  path[STORE_PATH_SIZE];
	pid_t pid = named_process(directory, path);

	if (pid == 0)
		return true;
	if (directory_has(directory, pid))
		return words_set(words, "Stop it (pg_ctl stop); the supervisor starts the server itself.",
						 "a server that this supervisor has not started runs in \"%s\" (process %d)", directory, (int) pid);
	say_warning("", "removing \"%s\": process %d, which it names, is no server of this directory", path, (int) pid);
	return unlink(path) == 0 || errno == ENOENT || fail_errno(words, "", "remove the file", path);
}

static bool
sync_directory(const char *directory, Words *words)
{
	int	 fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;

	if (!done)
		(void) fail_errno(words, "", "write the directory", directory);
	if (fd >= 0)
		(void) close(fd);
	return done;
}

bool
directory_prepare(const char *directory, Words *words)
{
	char path[STORE_PATH_SIZE];
	int	 fd;

	words_clear(words);
	if (!remove_stale_pid(directory, words))
		return false;
	if (!path_in(path, directory, "promote"))
		return words_set(words, "", "the path of the data directory is too long");
	if (unlink(path) == 0)
		say_warning("Only the elected leader is promoted.", "removed \"%s\", which would have promoted the server", path);
	else if (errno != ENOENT)
		return fail_errno(words, "", "remove the file", path);
	(void) path_in(path, directory, "standby.signal");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0 || fsync(fd) != 0)
	{
		(void) fail_errno(words, "It has to belong to the user that runs the server.", "create the file", path);
		if (fd >= 0)
			(void) close(fd);
		return false;
	}
	(void) close(fd);
	return sync_directory(directory, words);
}
