/*
 * keep/work.c
 *	  A directory in work/ that a verb makes something in, and the verb's lock.
 *
 * See work.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../supervisor/files.h"
#include "opened.h"

#define LOOK 20000 /* us */

/* Of what is in there, a state that was opened has what others cannot remove. */
static bool
remove_entry(const char *directory, const char *name, void *context, Words *words)
{
	char path[STORE_PATH_SIZE];

	(void) context;
	return files_join(path, directory, name) && opened_remove(path, words);
}

static bool
clear(const char *path, Words *words)
{
	return !files_exists(path) || (files_each(path, remove_entry, NULL, words) && files_remove_tree(path, words));
}

bool
work_begin(const Archive *archive, const char *verb, bool is_shared, uint64_t patience, Work *work, Words *words)
{
	uint64_t until = clock_now() + patience;
	char	 name[64];

	while ((work->lock_fd = archive_lock(archive, verb, words)) < 0)
	{
		if (clock_now() >= until)
			return false;
		(void) usleep(LOOK);
	}
	if (is_shared)
		(void) fcntl(work->lock_fd, F_SETFD, 0);
	(void) snprintf(name, sizeof(name), "work/%s", verb);
	archive_path(archive, name, work->path);
	if (clear(work->path, words) && (mkdir(work->path, S_IRWXU) == 0 || files_fail(words, "", "create the directory", work->path)))
		return true;
	(void) close(work->lock_fd);
	return false;
}

void
work_end(Work *work)
{
	Words words;

	(void) clear(work->path, &words);
	(void) close(work->lock_fd);
}
