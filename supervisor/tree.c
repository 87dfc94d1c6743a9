/*
 * supervisor/tree.c
 *	  All processes of a server, to be killed when nothing else helps.
 *
 * See tree.h.  Each child of a postmaster is a session of its own, so no process group
 * holds them all: they are looked up in /proc.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "tree.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* So often processes may have been started while others were being looked up. */
#define MOST_ROUNDS 10

typedef struct Process
{
	pid_t pid;
	pid_t parent;
	bool  is_ours;
	bool  is_stopped;
} Process;

typedef struct Table
{
	Process *process;
	int		 n;
	int		 room;
} Table;

/* false: it is gone, or dead and not reaped. */
static bool
read_parent(pid_t pid, pid_t *parent)
{
	char  path[64];
	char  line[512];
	char *after;
	char  state;
	int	  number;
	FILE *file;

	(void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fgets(line, sizeof(line), file) == NULL)
		line[0] = '\0';
	(void) fclose(file);
	after = strrchr(line, ')'); /* behind the program's name, which may hold anything */
	if (after == NULL || sscanf(after + 1, " %c %d", &state, &number) != 2 || state == 'Z' || state == 'X')
		return false;
	*parent = number;
	return true;
}

/* Has that process a descriptor of this socket? */
static bool
holds(pid_t pid, ino_t channel)
{
	char		   path[64];
	char		   wanted[64];
	char		   target[64];
	DIR			  *directory;
	struct dirent *entry;
	bool		   found = false;

	(void) snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
	(void) snprintf(wanted, sizeof(wanted), "socket:[%llu]", (unsigned long long) channel);
	directory = opendir(path);
	if (directory == NULL)
		return false;
	while (!found && (entry = readdir(directory)) != NULL)
	{
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		target[length > 0 ? length : 0] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	(void) closedir(directory);
	return found;
}

static Process *
find(Table *table, pid_t pid)
{
	for (int i = 0; i < table->n; i++)
	{
		if (table->process[i].pid == pid)
			return &table->process[i];
	}
	return NULL;
}

static void
add(Table *table, pid_t pid, pid_t parent, bool is_ours)
{
	if (table->n == table->room)
	{
		int		 room = table->room + 256;
		Process *more = realloc(table->process, (size_t) room * sizeof(Process));

		if (more == NULL)
			return;
		table->process = more;
		table->room = room;
	}
	table->process[table->n++] = (Process){pid, parent, is_ours, false};
}

/* All that are there now; those found before are stopped already. */
static void
look_around(Table *table, pid_t postmaster, ino_t channel)
{
	DIR			  *directory = opendir("/proc");
	struct dirent *entry;
	bool		   more = true;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
	{
		pid_t pid = (pid_t) atoi(entry->d_name);
		pid_t parent;

		if (pid > 0 && pid != getpid() && find(table, pid) == NULL && read_parent(pid, &parent))
			add(table, pid, parent, pid == postmaster || holds(pid, channel));
	}
	(void) closedir(directory);
	while (more)
	{
		more = false;
		for (int i = 0; i < table->n; i++)
		{
			Process		  *process = &table->process[i];
			const Process *parent = process->is_ours ? NULL : find(table, process->parent);

			if (parent != NULL && parent->is_ours)
				process->is_ours = more = true;
		}
	}
}

static int
stop_found(Table *table)
{
	int n = 0;

	for (int i = 0; i < table->n; i++)
	{
		Process *process = &table->process[i];

		if (!process->is_ours || process->is_stopped)
			continue;
		(void) kill(process->pid, SIGSTOP);
		process->is_stopped = true;
		n++;
	}
	return n;
}

pid_t
tree_parent(pid_t pid)
{
	pid_t parent;

	return read_parent(pid, &parent) ? parent : 0;
}

int
tree_kill(pid_t postmaster, ino_t channel)
{
	Table table = {0};
	int	  found = 0;
	int	  n = 1;

	if (postmaster > 0)
		(void) kill(postmaster, SIGSTOP);
	for (int round = 0; n > 0 && round < MOST_ROUNDS; round++)
	{
		look_around(&table, postmaster, channel);
		n = stop_found(&table);
		found += n;
	}
	for (int i = 0; i < table.n; i++)
	{
		if (table.process[i].is_ours)
			(void) kill(table.process[i].pid, SIGKILL);
	}
	free(table.process);
	return found;
}
