/*
 * keep/archive_settings.c
 *	  keep.conf as text: lines NAME = 'VALUE', as in postgresql.conf.
 *
 * See archive_state.h.
 */
#include "archive_state.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define DRILL_HOURS "24"
#define MOST_HOURS	8760

#define HINT_LINE "Lines are NAME = 'VALUE', with a quote in a value written twice."

typedef struct Setting
{
	const char *name;
	size_t		offset;
	size_t		size;
	const char *comment;
} Setting;

/* All that there are; the first has to be there. */
static const Setting table[] = {
	{"name", offsetof(ArchiveSettings, name), ARCHIVE_NAME_SIZE, "of this archive; its replication slots are named after it"},
	{"members", offsetof(ArchiveSettings, members), ARCHIVE_MEMBERS_SIZE, "connection string with the hosts of all members"},
	{"role", offsetof(ArchiveSettings, role), ARCHIVE_ROLE_SIZE, "to connect as; empty: as the connection string says"},
	{"drill_hours", offsetof(ArchiveSettings, drill_hours), ARCHIVE_HOURS_SIZE, "between two drills of \"run\", which also makes one after each base backup and failover; 0: none"},
	{"drill_sql", offsetof(ArchiveSettings, drill_sql), ARCHIVE_FILE_SIZE, "file of SQL that its drills run; empty: none"}};

#define SETTINGS ((int) (sizeof(table) / sizeof(table[0])))

bool
settings_name_is_good(const char *name, Words *words)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	if (name[length] == '\0' && length > 0 && length < ARCHIVE_NAME_SIZE)
		return true;
	return words_set(words, "It is part of a replication slot's name. Give one with --name.",
					 "\"%s\" is no name for an archive: at most %d lower-case letters, digits and \"_\"", name, ARCHIVE_NAME_SIZE - 1);
}

static const Setting *
find(const char *name, size_t length)
{
	for (int i = 0; i < SETTINGS; i++)
	{
		if (strlen(table[i].name) == length && memcmp(table[i].name, name, length) == 0)
			return &table[i];
	}
	return NULL;
}

static const char *
skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* The value in quotes, whose first is there; what stands behind it.  NULL: it has no end, or no room. */
static const char *
take_value(const char *at, char *value, size_t size)
{
	size_t n = 0;

	if (*at++ != '\'')
		return NULL;
	for (; *at != '\0'; at++)
	{
		if (*at == '\'' && *++at != '\'')
		{
			value[n] = '\0';
			return at;
		}
		if (n + 1 == size)
			return NULL;
		value[n++] = *at;
	}
	return NULL;
}

static bool
take_line(const char *line, int number, ArchiveSettings *settings, Words *words)
{
	const char	  *at = skip_blanks(line);
	size_t		   length = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
	const Setting *setting;

	if (*at == '\0' || *at == '#')
		return true;
	setting = find(at, length);
	if (setting == NULL)
		return words_set(words, HINT_LINE, "keep.conf is wrong in line %d: there is no setting \"%.*s\"", number, (int) length, at);
	at = skip_blanks(at + length);
	if (*at != '=')
		return words_set(words, HINT_LINE, "keep.conf is wrong in line %d: \"%s\" is not followed by \"=\"", number, setting->name);
	at = take_value(skip_blanks(at + 1), (char *) settings + setting->offset, setting->size);
	if (at == NULL)
		return words_set(words, HINT_LINE, "keep.conf is wrong in line %d: the value of \"%s\" is not in quotes, or is too long",
						 number, setting->name);
	at = skip_blanks(at);
	return *at == '\0' || *at == '#' ||
		   words_set(words, HINT_LINE, "keep.conf is wrong in line %d: something follows the value of \"%s\"", number, setting->name);
}

void
settings_init(ArchiveSettings *settings)
{
	memset(settings, 0, sizeof(*settings));
	(void) strcpy(settings->drill_hours, DRILL_HOURS);
}

int
settings_hours(const ArchiveSettings *settings)
{
	const char *text = settings->drill_hours;
	int			hours = 0;

	if (*text == '\0')
		return -1;
	for (; *text >= '0' && *text <= '9' && hours <= MOST_HOURS; text++)
		hours = 10 * hours + (*text - '0');
	return *text == '\0' && hours <= MOST_HOURS ? hours : -1;
}

bool
settings_parse(const char *text, ArchiveSettings *settings, Words *words)
{
	char line[ARCHIVE_MEMBERS_SIZE * 2];
	int	 number = 0;

	settings_init(settings);
	while (*text != '\0')
	{
		size_t length = strcspn(text, "\n");

		number++;
		if (length >= sizeof(line))
			return words_set(words, HINT_LINE, "keep.conf is wrong in line %d: it is too long", number);
		memcpy(line, text, length);
		line[length] = '\0';
		while (length > 0 && isspace((unsigned char) line[length - 1]))
			line[--length] = '\0';
		if (!take_line(line, number, settings, words))
			return false;
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	if (settings->members[0] == '\0')
		return words_set(words, HINT_LINE, "keep.conf does not say which members there are");
	if (settings_hours(settings) < 0)
		return words_set(words, "It is a number of hours up to 8760; 0: no drills.", "keep.conf is wrong: \"%s\" is no drill_hours", settings->drill_hours);
	if (settings->drill_sql[0] != '\0' && settings->drill_sql[0] != '/')
		return words_set(words, "Write its whole path.", "keep.conf is wrong: the drill_sql \"%.200s\" does not begin with \"/\"", settings->drill_sql);
	return settings_name_is_good(settings->name, words);
}

/* "size" bytes are there.  What it takes with the zero byte; more than "size": it is cut off. */
static size_t
put_setting(const Setting *setting, const char *value, char *text, size_t size)
{
	char   quoted[2 * ARCHIVE_MEMBERS_SIZE];
	size_t n = 0;

	for (; *value != '\0'; value++)
	{
		if (*value == '\'')
			quoted[n++] = '\'';
		quoted[n++] = *value;
	}
	quoted[n] = '\0';
	return (size_t) snprintf(text, size, "\n# %s\n%s = '%s'\n", setting->comment, setting->name, quoted) + 1;
}

bool
settings_write(const ArchiveSettings *settings, char *text)
{
	size_t n = (size_t) snprintf(text, SETTINGS_TEXT_SIZE, "# pg_leader_keep\n");

	for (int i = 0; i < SETTINGS; i++)
	{
		const char *value = (const char *) settings + table[i].offset;
		size_t		room = SETTINGS_TEXT_SIZE - n;
		size_t		took;

		if (strchr(value, '\n') != NULL)
			return false;
		took = put_setting(&table[i], value, text + n, room);
		if (took > room)
			return false;
		n += took - 1;
	}
	return true;
}
