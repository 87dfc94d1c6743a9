/*
 * server/history_files.c
 *	  Makes and removes files of timelines in pg_wal, so that a crash cannot undo it.
 *
 * See history_files.h.  pg_fsync() and durable_rename() do nothing under fsync = off; a
 * timeline that was promised to nobody else has to be on disk even then.
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "common/file_perm.h"

#include "primary/promotion.h"
#include "server/history_files.h"

static const char burnt_text[] = "# not used: pg_leader has passed over this timeline\n";

/* PostgreSQL has such a temporary name itself, and removes those that are left over. */
static void
temporary_path(char *path)
{
	snprintf(path, MAXPGPATH, XLOGDIR "/xlogtemp.%d", (int) getpid());
}

static bool
write_temporary(const char *path, Words *words)
{
	ssize_t length = (ssize_t) strlen(burnt_text);
	ssize_t written;
	int		file = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, pg_file_create_mode);
	bool	good;

	if (file < 0)
		return words_set(words, NULL, "could not create \"%s\": %s", path, strerror(errno));
	errno = 0;
	written = write(file, burnt_text, (size_t) length);
	if (written >= 0 && written < length)
		errno = ENOSPC;
	good = written == length && fsync(file) == 0;
	if (!good)
		(void) words_set(words, NULL, "could not write \"%s\": %s", path, strerror(errno));
	return close(file) == 0 && good;
}

static bool
burn(uint32 timeline, Words *words)
{
	char temporary[MAXPGPATH];
	char path[MAXPGPATH];

	temporary_path(temporary);
	TLHistoryFilePath(path, timeline);
	if (write_temporary(temporary, words))
	{
		if (rename(temporary, path) == 0)
			return true;
		(void) words_set(words, NULL, "could not rename \"%s\" to \"%s\": %s", temporary, path, strerror(errno));
	}
	(void) unlink(temporary);
	return false;
}

bool
history_files_burn(const Histories *histories, uint32_t claim, uint32_t *n, Words *words)
{
	uint32 id;

	*n = 0;
	words_clear(words);
	for (id = promotion_burns(histories, claim, 0); id != 0; id = promotion_burns(histories, claim, id))
	{
		if (!burn(id, words))
			return false;
		(*n)++;
	}
	return *n == 0 || history_files_sync(words);
}

static bool
remove_file(const char *path, Words *words)
{
	if (unlink(path) == 0 || errno == ENOENT)
		return true;
	return words_set(words, NULL, "could not remove \"%s\": %s", path, strerror(errno));
}

bool
history_files_remove(uint32_t timeline, Words *words)
{
	char path[MAXPGPATH];

	TLHistoryFilePath(path, timeline);
	return remove_file(path, words);
}

bool
history_files_remove_wal(uint32_t timeline, Words *words)
{
	char		   prefix[9];
	DIR			  *directory = opendir(XLOGDIR);
	struct dirent *entry;
	bool		   good = true;

	if (directory == NULL)
		return words_set(words, NULL, "could not open directory \"%s\": %s", XLOGDIR, strerror(errno));
	snprintf(prefix, sizeof(prefix), "%08X", timeline);
	while (good && (errno = 0, entry = readdir(directory)) != NULL)
	{
		char path[MAXPGPATH];

		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 ||
			!(IsXLogFileName(entry->d_name) || IsPartialXLogFileName(entry->d_name)))
			continue;
		snprintf(path, sizeof(path), XLOGDIR "/%s", entry->d_name);
		good = remove_file(path, words);
	}
	if (good && errno != 0)
		good = words_set(words, NULL, "could not read directory \"%s\": %s", XLOGDIR, strerror(errno));
	(void) closedir(directory);
	return good;
}

bool
history_files_sync(Words *words)
{
	int	 directory = open(XLOGDIR, O_RDONLY | O_CLOEXEC);
	bool good = directory >= 0 && fsync(directory) == 0;

	if (!good)
		(void) words_set(words, NULL, "could not synchronize directory \"%s\": %s", XLOGDIR, strerror(errno));
	if (directory >= 0)
		(void) close(directory);
	return good;
}
