/*
 * keep/status.c
 *	  What "run" is doing.
 *
 * See status.h.  Lines NAME=VALUE; what is missing is empty.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "status.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../supervisor/files.h"

#define TEXT_SIZE 2048

static const char *const names[] = {"Clear", "Started", "Waiting", "Stopped"};

#define STATES ((int) (sizeof(names) / sizeof(names[0])))

const char *
status_name(StatusState state)
{
	return names[state];
}

bool
status_write(const Archive *archive, const Status *status, Words *words)
{
	char text[TEXT_SIZE];
	char path[STORE_PATH_SIZE];
	char new[STORE_PATH_SIZE];
	int	 length = snprintf(text, sizeof(text), "state=%s\nsource=%s\ntimeline=%u\nreceived=%" PRIu64 "\nsent=%" PRIu64 "\ntrouble=%s\n",
						   names[status->state], status->source, status->timeline, status->received, status->sent, status->trouble);
	int	 fd;
	bool good;

	archive_path(archive, "run.status", path);
	archive_path(archive, "run.status.new", new);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
	good = fd >= 0 && write(fd, text, (size_t) length) == length && rename(new, path) == 0;
	if (!good)
		(void) files_fail(words, "", "write the file", new);
	if (fd >= 0)
		(void) close(fd);
	return good;
}

/* The value in the line of that name; empty: there is none. */
static void
value_of(const char *text, const char *name, char *value, size_t size)
{
	size_t length = strlen(name);

	value[0] = '\0';
	for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, '\n'))
	{
		at += *at == '\n';
		if (strncmp(at, name, length) != 0 || at[length] != '=')
			continue;
		(void) snprintf(value, size, "%.*s", (int) strcspn(at + length + 1, "\n"), at + length + 1);
		return;
	}
}

void
status_read(const Archive *archive, Status *status)
{
	char text[TEXT_SIZE];
	char path[STORE_PATH_SIZE];
	char value[32];

	memset(status, 0, sizeof(*status));
	archive_path(archive, "run.status", path);
	if (!archive_is_locked(archive, "run") || files_read(path, text, sizeof(text)) < 0)
		return;
	value_of(text, "state", value, sizeof(value));
	for (int i = 0; i < STATES; i++)
	{
		if (strcmp(names[i], value) == 0)
			status->state = (StatusState) i;
	}
	value_of(text, "source", status->source, sizeof(status->source));
	value_of(text, "trouble", status->trouble, sizeof(status->trouble));
	value_of(text, "timeline", value, sizeof(value));
	status->timeline = (uint32_t) strtoul(value, NULL, 10);
	value_of(text, "received", value, sizeof(value));
	status->received = strtoull(value, NULL, 10);
	value_of(text, "sent", value, sizeof(value));
	status->sent = strtoull(value, NULL, 10);
}
