/*
 * test/lib/disk.c
 *	  A disk under pg_wal that hangs, is slow or is full: for test/t/087_health.pl and
 *	  test/stand/managed_nemesis.
 *
 * Preloaded (LD_PRELOAD) into a supervisor and all processes of its server.  What the disk is says
 * the first letter of the file that PG_LEADER_TEST_DISK names: g good, also without a file;
 * h hung: each look at pg_wal waits, for everything but SIGKILL; s slow: each fsync takes SLOW more;
 * f full: no new segment can be made, and there is no room.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SLOW 60000000 /* ns */

static char
state(void)
{
	FILE *(*next)(const char *, const char *) = (FILE * (*) (const char *, const char *) ) dlsym(RTLD_NEXT, "fopen");
	FILE *file = next(getenv("PG_LEADER_TEST_DISK"), "r");
	int	  what = file != NULL ? fgetc(file) : 'g';

	if (file != NULL)
		fclose(file);
	return (char) what;
}

static void
rest(long ns)
{
	nanosleep(&(struct timespec){0, ns}, NULL);
}

/* Once it is not hung any more: what it is. */
static char
look(const char *path)
{
	sigset_t all, before;
	int		 error = errno;
	char	 now;

	if (path == NULL || strstr(path, "pg_wal") == NULL || (now = state()) == 'g')
		return 'g';
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	for (; now == 'h'; now = state())
		rest(20000000);
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return now;
}

static const char *
path_of(int fd)
{
	static _Thread_local char path[1024];
	char					  link[64];
	ssize_t					  length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	path[length > 0 ? length : 0] = '\0';
	return path;
}

static int
has_no_room(int fd)
{
	const char *path = path_of(fd);

	return look(path) == 'f' && strstr(path, "xlogtemp") != NULL;
}

static void
sync_slowly(int fd)
{
	if (look(path_of(fd)) == 's')
		rest(SLOW);
}

#define NEXT(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))
#define OPEN(name)                                        \
	int name(const char *path, int flags, ...)            \
	{                                                     \
		va_list more;                                     \
		int		mode;                                     \
		va_start(more, flags);                            \
		mode = (flags & O_CREAT) ? va_arg(more, int) : 0; \
		va_end(more);                                     \
		look(path);                                       \
		return NEXT(name)(path, flags, mode);             \
	}
#define NO_ROOM(fd)      \
	if (has_no_room(fd)) \
	{                    \
		errno = ENOSPC;  \
		return -1;       \
	}

OPEN(open)
OPEN(open64)
DIR *
opendir(const char *path)
{
	look(path);
	return NEXT(opendir)(path);
}

int
stat(const char *path, struct stat *to)
{
	look(path);
	return NEXT(stat)(path, to);
}

int
lstat(const char *path, struct stat *to)
{
	look(path);
	return NEXT(lstat)(path, to);
}

int
fsync(int fd)
{
	sync_slowly(fd);
	return NEXT(fsync)(fd);
}

int
fdatasync(int fd)
{
	sync_slowly(fd);
	return NEXT(fdatasync)(fd);
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t at)
{
	NO_ROOM(fd)
	return NEXT(pwrite)(fd, data, size, at);
}

ssize_t
pwrite64(int fd, const void *data, size_t size, off64_t at)
{
	NO_ROOM(fd)
	return NEXT(pwrite64)(fd, data, size, at);
}

ssize_t
pwritev(int fd, const struct iovec *data, int n, off_t at)
{
	NO_ROOM(fd)
	return NEXT(pwritev)(fd, data, n, at);
}

ssize_t
pwritev64(int fd, const struct iovec *data, int n, off64_t at)
{
	NO_ROOM(fd)
	return NEXT(pwritev64)(fd, data, n, at);
}

int
posix_fallocate(int fd, off_t at, off_t size)
{
	return has_no_room(fd) ? ENOSPC : NEXT(posix_fallocate)(fd, at, size);
}

int
statvfs(const char *path, struct statvfs *to)
{
	int full = look(path) == 'f';
	int result = NEXT(statvfs)(path, to);

	if (full)
		to->f_bavail = 0;
	return result;
}
