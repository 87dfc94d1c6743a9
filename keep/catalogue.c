/*
 * keep/catalogue.c
 *	  The catalogue of an archive.
 *
 * See catalogue.h.  The first half is pure: a line as text.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "../node/record.h"

#include "catalogue.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../supervisor/files.h"

#define CRC_SIZE 10 /* " #" and eight digits */

#define HINT_DAMAGE "Put back a copy of that file, or remove the line: WAL and base backups do not depend on it."

static const char word_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
static const char plain_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+,";

/* ---- a line ---- */

static uint32_t
crc_of(const char *text, size_t length)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, text, length);
	FIN_CRC32C(crc);
	return (uint32_t) crc;
}

static bool
is_word(const char *text)
{
	return text != NULL && text[0] != '\0' && text[strspn(text, word_letters)] == '\0';
}

/* Behind what is there; the length, or SIZE_MAX once there was no room. */
static size_t
put_encoded(char *line, size_t n, const char *value)
{
	for (; *value != '\0' && n < CATALOGUE_LINE_SIZE - 4; value++)
	{
		if (strchr(plain_letters, *value) != NULL)
			line[n++] = *value;
		else
			n += (size_t) sprintf(line + n, "%%%02X", (unsigned) (unsigned char) *value);
	}
	return *value == '\0' ? n : SIZE_MAX;
}

size_t
catalogue_write_line(const CatalogueEntry *entry, char *line)
{
	struct tm utc;
	size_t	  n;

	if (!is_word(entry->kind) || strlen(entry->kind) > 32 || entry->n_fields < 0 || entry->n_fields > CATALOGUE_FIELDS ||
		gmtime_r(&entry->at, &utc) == NULL)
		return 0;
	n = strftime(line, CATALOGUE_LINE_SIZE, "%Y-%m-%dT%H:%M:%SZ ", &utc);
	n += (size_t) sprintf(line + n, "%s", entry->kind);
	for (int i = 0; i < entry->n_fields; i++)
	{
		const char *name = entry->fields[i].name;

		if (!is_word(name) || n + strlen(name) + 3 > CATALOGUE_LINE_SIZE)
			return 0;
		n += (size_t) sprintf(line + n, " %s=", name);
		n = put_encoded(line, n, entry->fields[i].value);
		if (n == SIZE_MAX)
			return 0;
	}
	if (n + CRC_SIZE + 2 > CATALOGUE_LINE_SIZE)
		return 0;
	return n + (size_t) sprintf(line + n, " #%08x\n", crc_of(line, n));
}

/* In place, which it never outgrows. */
static bool
decode(char *value)
{
	char *to = value;

	for (; *value != '\0'; value++)
	{
		unsigned int byte;

		if (*value != '%')
			*to++ = *value;
		else if (sscanf(value + 1, "%2X", &byte) == 1 && byte != 0)
		{
			*to++ = (char) byte;
			value += 2;
		}
		else
			return false;
	}
	*to = '\0';
	return true;
}

static bool
take_fields(CatalogueEntry *entry, char *rest)
{
	char *item;

	while ((item = strsep(&rest, " ")) != NULL)
	{
		char *equals = strchr(item, '=');

		if (equals == NULL || entry->n_fields == CATALOGUE_FIELDS)
			return false;
		*equals = '\0';
		if (!is_word(item) || !decode(equals + 1))
			return false;
		entry->fields[entry->n_fields++] = (CatalogueField){item, equals + 1};
	}
	return true;
}

bool
catalogue_read_line(const char *line, size_t length, CatalogueEntry *entry)
{
	struct tm	 utc = {0};
	unsigned int crc;
	char		*rest = entry->text;
	const char	*time_text;
	const char	*end;

	if (length <= CRC_SIZE || length >= CATALOGUE_LINE_SIZE || memchr(line, '\0', length) != NULL)
		return false;
	memcpy(entry->text, line, length);
	entry->text[length] = '\0';
	length -= CRC_SIZE;
	if (strncmp(entry->text + length, " #", 2) != 0 || sscanf(entry->text + length + 2, "%8x", &crc) != 1 ||
		crc != crc_of(line, length))
		return false;
	entry->text[length] = '\0';
	entry->n_fields = 0;
	time_text = strsep(&rest, " ");
	entry->kind = strsep(&rest, " ");
	end = strptime(time_text, "%Y-%m-%dT%H:%M:%SZ", &utc);
	if (end == NULL || *end != '\0' || !is_word(entry->kind))
		return false;
	entry->at = timegm(&utc);
	return rest == NULL || take_fields(entry, rest);
}

/* ---- an entry ---- */

/* The text of an entry that is being made: its first byte that is free is behind the last value. */
static size_t
used_of(const CatalogueEntry *entry)
{
	const char *last = entry->n_fields > 0 ? entry->fields[entry->n_fields - 1].value : entry->kind;

	return (size_t) (last - entry->text) + strlen(last) + 1;
}

void
catalogue_begin(CatalogueEntry *entry, const char *kind)
{
	entry->at = time(NULL);
	entry->n_fields = 0;
	(void) snprintf(entry->text, sizeof(entry->text), "%s", kind);
	entry->kind = entry->text;
}

void
catalogue_add(CatalogueEntry *entry, const char *name, const char *format, ...)
{
	char	value[CATALOGUE_VALUE_SIZE];
	va_list arguments;
	size_t	used;
	size_t	of_name = strlen(name) + 1;
	int		length;

	if (entry->n_fields > CATALOGUE_FIELDS)
		return;
	va_start(arguments, format);
	length = vsnprintf(value, sizeof(value), format, arguments);
	va_end(arguments);
	used = used_of(entry);
	if (entry->n_fields == CATALOGUE_FIELDS || length < 0 || length >= CATALOGUE_VALUE_SIZE ||
		used + of_name + (size_t) length + 1 > sizeof(entry->text))
	{
		entry->n_fields = CATALOGUE_FIELDS + 1; /* catalogue_write_line() refuses it */
		return;
	}
	memcpy(entry->text + used, name, of_name);
	memcpy(entry->text + used + of_name, value, (size_t) length + 1);
	entry->fields[entry->n_fields++] = (CatalogueField){entry->text + used, entry->text + used + of_name};
}

void
catalogue_add_lsn(CatalogueEntry *entry, const char *name, uint64_t lsn)
{
	catalogue_add(entry, name, "%X/%X", (unsigned) (lsn >> 32), (unsigned) lsn);
}

const char *
catalogue_get(const CatalogueEntry *entry, const char *name)
{
	for (int i = 0; i < entry->n_fields; i++)
	{
		if (strcmp(entry->fields[i].name, name) == 0)
			return entry->fields[i].value;
	}
	return NULL;
}

uint64_t
catalogue_get_number(const CatalogueEntry *entry, const char *name)
{
	const char *value = catalogue_get(entry, name);
	char	   *end;
	uint64_t	number;

	if (value == NULL || value[0] < '0' || value[0] > '9')
		return 0;
	errno = 0;
	number = strtoull(value, &end, 10);
	return *end == '\0' && errno == 0 ? number : 0;
}

uint64_t
catalogue_get_lsn(const CatalogueEntry *entry, const char *name)
{
	const char *value = catalogue_get(entry, name);
	uint64_t	lsn;

	return value != NULL && lineage_read_lsn(value, &lsn) ? lsn : 0;
}

/* ---- the file ---- */

static bool
fail(const char *doing, const char *path, int fd, Words *words)
{
	(void) files_fail(words, "It has to belong to the user that runs this program, and needs room.", doing, path);
	if (fd >= 0)
		(void) close(fd);
	return false;
}

/* Where the next line goes: behind the last one that is complete, which what a crash left is not. */
static off_t
find_end(int fd, off_t size)
{
	char		   tail[CATALOGUE_LINE_SIZE];
	CatalogueEntry entry;
	off_t		   from = size > (off_t) sizeof(tail) ? size - (off_t) sizeof(tail) : 0;
	ssize_t		   n = pread(fd, tail, (size_t) (size - from), from);
	const char	  *newline;
	const char	  *begin;

	if (n < 0)
		return -1;
	newline = n > 0 ? memrchr(tail, '\n', (size_t) n) : NULL;
	if (newline == NULL)
		return from == 0 ? 0 : -1;
	begin = memrchr(tail, '\n', (size_t) (newline - tail));
	begin = begin != NULL ? begin + 1 : tail;

	/* blocks of a write can reach the disk in any order: a line may have its end and not its middle */
	if (newline + 1 == tail + n && !catalogue_read_line(begin, (size_t) (newline - begin), &entry))
		return from + (begin - tail);
	return from + (newline + 1 - tail);
}

bool
catalogue_append(const Archive *archive, const CatalogueEntry *entry, Words *words)
{
	char		path[STORE_PATH_SIZE];
	char		line[CATALOGUE_LINE_SIZE];
	size_t		length = catalogue_write_line(entry, line);
	struct stat kind;
	int			fd;
	off_t		end;

	if (length == 0)
		return words_set(words, "", "a line for the catalogue is too long or not well formed");
	archive_path(archive, "catalogue", path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0 || flock(fd, LOCK_EX) != 0 || fstat(fd, &kind) != 0)
		return fail("open", path, fd, words);
	end = find_end(fd, kind.st_size);
	if (end < 0 || (end < kind.st_size && ftruncate(fd, end) != 0))
		return fail("cut off what a crash left of", path, fd, words);
	errno = ENOSPC;
	if (pwrite(fd, line, length, end) != (ssize_t) length || fsync(fd) != 0)
		return fail("write to", path, fd, words);
	(void) close(fd);
	return kind.st_size > 0 || files_sync_directory(archive->path, words);
}

/* All that is there, with a zero byte; to be freed.  NULL: words. */
static char *
read_all(const char *path, size_t *length, Words *words)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat kind;
	char	   *text = NULL;

	*length = 0;
	if (fd < 0 && errno == ENOENT)
		return strdup("");
	if (fd < 0 || flock(fd, LOCK_SH) != 0 || fstat(fd, &kind) != 0)
	{
		(void) fail("read", path, fd, words);
		return NULL;
	}
	text = malloc((size_t) kind.st_size + 1);
	if (text == NULL || pread(fd, text, (size_t) kind.st_size, 0) != kind.st_size)
	{
		free(text);
		(void) fail("read", path, fd, words);
		return NULL;
	}
	(void) close(fd);
	text[kind.st_size] = '\0';
	*length = (size_t) kind.st_size;
	return text;
}

bool
catalogue_read(const Archive *archive, bool (*each)(const CatalogueEntry *entry, void *context), void *context, Words *words)
{
	CatalogueEntry entry;
	char		   path[STORE_PATH_SIZE];
	size_t		   length;
	char		  *text;
	const char	  *at;
	const char	  *newline;
	bool		   good = true;
	int			   number = 0;

	archive_path(archive, "catalogue", path);
	text = read_all(path, &length, words);
	if (text == NULL)
		return false;
	for (at = text; (newline = memchr(at, '\n', (size_t) (text + length - at))) != NULL; at = newline + 1)
	{
		number++;
		if (catalogue_read_line(at, (size_t) (newline - at), &entry))
		{
			if (!each(&entry, context))
				break;
		}
		else if (newline + 1 < text + length)
		{
			good = words_set(words, HINT_DAMAGE, "\"%s\" is damaged in line %d", path, number);
			break;
		}
	}
	free(text);
	return good;
}
