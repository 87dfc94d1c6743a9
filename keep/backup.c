/*
 * keep/backup.c
 *	  One run of pg_basebackup from one member.
 *
 * See backup.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "backup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../supervisor/files.h"
#include "../supervisor/program.h"
#include "instance.h"

#define SERVICE "keep"

/* What has to be free beside the data, for WAL that is replayed on them, bytes. */
#define SPARE_ROOM (UINT64_C(64) << 20)

/* A member that sends nothing for so long is not waited for; its checkpoint may take its time, ms. */
#define PATIENCE 300000

#define TAIL_SIZE (64 * 1024)

#define HINT_ROOM "Make room there."

/* By a service file, which may have a password: arguments can be seen by everybody. */
static bool
write_service(const Backup *backup, Words *words)
{
	static const char *const own[] = {"host", "port", "user", "dbname", "replication", "target_session_attrs", "application_name"};
	const Members			*members = backup->members;
	char					 text[8192];
	char					 path[STORE_PATH_SIZE];
	const char				*user = members->role[0] != '\0' ? members->role : NULL;
	size_t					 length;

	length = (size_t) snprintf(text, sizeof(text), "[" SERVICE "]\nhost=%s\nport=%s\napplication_name=%s\n",
							   members->at[backup->from].host, members->at[backup->from].port, members->application_name);
	for (const PQconninfoOption *option = members->options; option->keyword != NULL && length < sizeof(text); option++)
	{
		bool is_own = option->val == NULL;

		for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
			is_own |= strcmp(option->keyword, own[i]) == 0;
		if (strcmp(option->keyword, "user") == 0 && user == NULL)
			user = option->val;
		if (!is_own)
			length += (size_t) snprintf(text + length, sizeof(text) - length, "%s=%s\n", option->keyword, option->val);
	}
	if (user != NULL && length < sizeof(text))
		length += (size_t) snprintf(text + length, sizeof(text) - length, "user=%s\n", user);
	if (length >= sizeof(text) || !files_join(path, backup->scratch, "service"))
		return words_set(words, "", "the connection string of keep.conf is too long");
	return files_write(path, text, words) && (setenv("PGSERVICEFILE", path, 1) == 0 || words_set(words, "", "out of memory"));
}

typedef struct Progress
{
	Backup *backup;
	bool	is_checked; /* that there is room */
	Words  *words;
} Progress;

/* "1024/58881 kB (1%), 0/1 tablespace": how much there is is known from the first on. */
static bool
take_progress(const char *line, void *context)
{
	Progress *progress = context;
	uint64_t  done;
	uint64_t  all;
	uint64_t  room;

	if (strstr(line, "No space left on device") != NULL)
		progress->backup->no_room = true;
	if (progress->is_checked || sscanf(line, "%" SCNu64 "/%" SCNu64 " kB", &done, &all) != 2 || all == 0)
		return true;
	progress->is_checked = true;
	room = files_room(progress->backup->scratch);
	if (room == UINT64_MAX || room / 1024 >= all - done + SPARE_ROOM / 1024)
		return true;
	progress->backup->no_room = true;
	return words_set(progress->words, HINT_ROOM, "there is no room for a base backup of %" PRIu64 " MB in \"%s\": %" PRIu64 " MB are free", all / 1024,
					 progress->backup->scratch, room >> 20);
}

/* Not flushed: the whole copy is, when it is rolled. */
static bool
run_basebackup(Backup *backup, Words *words)
{
	Progress	progress = {.backup = backup, .words = words};
	const char *arguments[] = {"-D", backup->data, "-d", "service=" SERVICE, "-X", "none", "-c", "fast", "-P", "--no-sync", "--no-password",
							   "--manifest-checksums=SHA256", NULL, NULL, NULL};
	Program		program = {.directory = instance_programs(), .name = "pg_basebackup", .arguments = arguments, .line = take_progress, .context = &progress, .patience = PATIENCE};

	if (backup->max_rate != NULL)
	{
		arguments[12] = "--max-rate";
		arguments[13] = backup->max_rate;
	}
	return program_run(&program, words);
}

static bool
verify(const Backup *backup, Words *words)
{
	const char *const arguments[] = {"-n", "-q", backup->data, NULL};
	Program			  program = {.directory = instance_programs(), .name = "pg_verifybackup", .arguments = arguments};

	return program_run(&program, words);
}

/* ---- the manifest ---- */

static bool
read_manifest(const Backup *backup, BackupWal *wal, Words *words)
{
	static char text[TAIL_SIZE + 1];
	char		path[STORE_PATH_SIZE];
	int			fd;
	off_t		size;
	ssize_t		n;

	if (!files_join(path, backup->data, "backup_manifest"))
		return words_set(words, "", "the path \"%s\" is too long", backup->data);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return files_fail(words, "", "open the file", path);
	size = lseek(fd, 0, SEEK_END);
	n = pread(fd, text, TAIL_SIZE, size > TAIL_SIZE ? size - TAIL_SIZE : 0);
	(void) close(fd);
	text[n > 0 ? n : 0] = '\0';
	return parse_ranges(text, wal) || words_set(words, "", "\"%s\" names no WAL", path);
}

bool
backup_take(Backup *backup, BackupWal *wal, Words *words)
{
	backup->no_room = false;
	return write_service(backup, words) && run_basebackup(backup, words) && verify(backup, words) && read_manifest(backup, wal, words);
}
