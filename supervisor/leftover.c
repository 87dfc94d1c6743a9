/*
 * supervisor/leftover.c
 *	  What a supervisor that was killed has left.
 *
 * See leftover.h.  The kernel has sent the postmaster SIGQUIT, which one that stands still
 * does not obey; and a postmaster that was killed, too, may have left busy processes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "leftover.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../primary/control.h"
#include "directory.h"
#include "say.h"
#include "tree.h"

/* How long they may take to end by themselves, and then to be gone. */
#define LOOKS		  100
#define LOOK_INTERVAL 50000 /* us */

/* How long a supervisor that was killed may take to be gone. */
#define DYING_LOOKS 20

/* The beginning of a file of /proc, of which zero bytes are part. */
static ssize_t
read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char	path[64];
	int		fd;
	ssize_t length;
	size_t	used = 0;

	(void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	while (used < size && (length = read(fd, text + used, size - used)) > 0)
		used += (size_t) length;
	(void) close(fd);
	return (ssize_t) used;
}

/* Was this postmaster started by a supervisor?  Then that has given it a control channel. */
static bool
was_supervised(pid_t pid)
{
	static char		  text[131072];
	static const char variable[] = "\0" CONTROL_VARIABLE "=";
	ssize_t			  length;

	text[0] = '\0';
	length = read_proc(pid, "environ", text + 1, sizeof(text) - 1);
	return length > 0 && memmem(text, (size_t) length + 1, variable, sizeof(variable) - 1) != NULL;
}

/*
 * The supervisor whose child it is, which has another state directory; 0: none.  One that was killed has
 * given up its lock a moment before its children get another parent.
 */
static pid_t
live_supervisor(pid_t postmaster)
{
	pid_t parent = 0;

	for (int i = 0; i < DYING_LOOKS; i++)
	{
		char	name[sizeof(PROGRAM)] = "";
		ssize_t length;

		parent = tree_parent(postmaster);
		length = parent > 0 && parent != getpid() ? read_proc(parent, "comm", name, sizeof(name) - 1) : -1;

		/* the kernel keeps 15 bytes of it, and adds a newline */
		if (length <= 1 || strncmp(name, PROGRAM, (size_t) length - 1) != 0)
			return 0;
		(void) usleep(LOOK_INTERVAL);
	}
	return parent;
}

/* Is it a child of a postmaster of this directory?  They say so in their titles. */
static bool
is_child(pid_t pid, const char *directory)
{
	static const char title[] = "postgres: ";
	char			  text[sizeof(title) - 1];

	return read_proc(pid, "cmdline", text, sizeof(text)) == (ssize_t) sizeof(text) &&
		   memcmp(text, title, sizeof(text)) == 0 && directory_has(directory, pid);
}

/* Send them a signal (0: none); how many there are. */
static int
signal_children(const char *directory, int number)
{
	DIR			  *processes = opendir("/proc");
	struct dirent *entry;
	int			   n = 0;

	if (processes == NULL)
		return 0;
	while ((entry = readdir(processes)) != NULL)
	{
		pid_t pid = (pid_t) atoi(entry->d_name);

		if (pid > 0 && is_child(pid, directory) && kill(pid, number) == 0)
			n++;
	}
	(void) closedir(processes);
	return n;
}

/* How many processes are left, after a while. */
static int
wait_for_end(const char *directory)
{
	int n = 0;

	for (int i = 0; i < LOOKS; i++)
	{
		n = (directory_postmaster(directory) != 0) + signal_children(directory, 0);
		if (n == 0)
			break;
		(void) usleep(LOOK_INTERVAL);
	}
	return n;
}

bool
leftover_end(const char *directory, Words *words)
{
	pid_t pid = directory_postmaster(directory);
	pid_t supervisor = pid != 0 ? live_supervisor(pid) : 0;
	int	  n;

	if (supervisor != 0)
		return words_set(words, "A data directory has one supervisor. Stop the other one, or give this one the same pg_leader.state_directory and pg_leader.node_id.",
						 "another supervisor (process %d) runs a server in \"%s\"", (int) supervisor, directory);
	if (pid != 0 && !was_supervised(pid))
		return words_set(words, "Stop it first (pg_ctl stop); the supervisor starts the server itself.",
						 "a server that no supervisor has started runs in \"%s\" (process %d)", directory, (int) pid);
	if (pid == 0 && signal_children(directory, 0) == 0)
		return true;
	say("waiting for processes of \"%s\" that a killed supervisor has left", directory);
	if (wait_for_end(directory) == 0)
		return true;
	n = tree_kill(pid, 0) + signal_children(directory, SIGKILL);
	say_warning("", "killed %d processes of the server, which did not end by themselves", n);
	return wait_for_end(directory) == 0 ||
		   words_set(words, "Find out what keeps them, such as a disk that does not answer.",
					 "processes of a server in \"%s\" do not end", directory);
}
