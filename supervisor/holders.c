/*
 * supervisor/holders.c
 *	  Locks that processes go on with whose supervisor was killed.
 *
 * See holders.h.  They share its open file: the kernel names the lock in /proc/PID/fdinfo of each.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "holders.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../node/clock.h"
#include "say.h"

/* How long they may take to end, when they are killed, and how often that is looked at, us. */
#define BOUND	 UINT64_C(10000000)
#define KILL	 UINT64_C(2000000)
#define INTERVAL 20000

static bool
is_lock(const char *path)
{
	FILE *file = fopen(path, "r");
	char  line[256];
	bool  found = false;

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
		found = strncmp(line, "lock:", strlen("lock:")) == 0 && strstr(line, "FLOCK") != NULL;
	if (file != NULL)
		(void) fclose(file);
	return found;
}

/* Not one that has the file open and waits for the lock. */
static bool
holds(pid_t pid, const struct stat *locked)
{
	char		   path[300];
	DIR			  *files;
	struct dirent *entry;
	struct stat	   open_file;
	bool		   found = false;

	(void) snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
	files = opendir(path);
	while (files != NULL && !found && (entry = readdir(files)) != NULL)
	{
		(void) snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int) pid, entry->d_name);
		if (stat(path, &open_file) != 0 || open_file.st_dev != locked->st_dev || open_file.st_ino != locked->st_ino)
			continue;
		(void) snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int) pid, entry->d_name);
		found = is_lock(path);
	}
	if (files != NULL)
		(void) closedir(files);
	return found;
}

/* SIGKILL to all other processes through which the file is locked. */
static void
kill_holders(int fd)
{
	DIR			  *processes = opendir("/proc");
	struct dirent *entry;
	struct stat	   locked;

	while (processes != NULL && fstat(fd, &locked) == 0 && (entry = readdir(processes)) != NULL)
	{
		pid_t pid = (pid_t) atoi(entry->d_name);

		if (pid > 0 && pid != getpid() && holds(pid, &locked) && kill(pid, SIGKILL) == 0)
			say_warning("", "killed process %d, which a killed supervisor has left", (int) pid);
	}
	if (processes != NULL)
		(void) closedir(processes);
}

bool
holders_lock(int fd, bool kills, bool (*is_somebodys)(int fd))
{
	uint64_t began = clock_now();

	while (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		if (errno != EWOULDBLOCK)
			return false;
		if ((is_somebodys != NULL && is_somebodys(fd)) || clock_now() >= began + BOUND)
		{
			errno = EWOULDBLOCK;
			return false;
		}
		if (kills && clock_now() >= began + KILL)
			kill_holders(fd);
		(void) usleep(INTERVAL);
	}
	return true;
}
