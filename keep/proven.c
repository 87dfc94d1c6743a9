/*
 * keep/proven.c
 *	  What drills have proven of an archive.
 *
 * See proven.h.
 */
#include "proven.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AGE_SIZE 32

static bool
take_drill(const CatalogueEntry *entry, void *context)
{
	Proven	   *proven = context;
	const char *result = catalogue_get(entry, "result");

	if (strcmp(entry->kind, "drill") != 0 || result == NULL)
		return true;
	if (strcmp(result, "ok") == 0)
		*proven = (Proven){.gid = catalogue_get_number(entry, "gid"), .at = entry->at};
	else
	{
		proven->failed_gid = catalogue_get_number(entry, "gid");
		proven->failed_at = entry->at;
	}
	return true;
}

bool
proven_read(const Archive *archive, Proven *proven, Words *words)
{
	memset(proven, 0, sizeof(*proven));
	return catalogue_read(archive, take_drill, proven, words);
}

/* A clock that was set back makes no age negative. */
static const char *
write_age(time_t from, time_t now, char *text)
{
	long long age = now > from ? (long long) (now - from) : 0;

	if (age < 120)
		(void) snprintf(text, AGE_SIZE, "%lld s", age);
	else if (age < 2 * 3600)
		(void) snprintf(text, AGE_SIZE, "%lld min", age / 60);
	else if (age < 2 * 86400)
		(void) snprintf(text, AGE_SIZE, "%lld h", age / 3600);
	else
		(void) snprintf(text, AGE_SIZE, "%lld days", age / 86400);
	return text;
}

void
proven_describe(const Proven *proven, time_t now, char *text, size_t size)
{
	char age[AGE_SIZE];
	int	 length = 0;

	text[0] = '\0';
	if (proven->failed_gid != 0)
		length = snprintf(text, size, "the drill of gid %" PRIu64 " has failed, %s ago", proven->failed_gid, write_age(proven->failed_at, now, age));
	if (proven->gid != 0 && (size_t) length < size)
		(void) snprintf(text + length, size - (size_t) length, "%sproven: gid %" PRIu64 ", %s ago", length > 0 ? "; " : "", proven->gid,
						write_age(proven->at, now, age));
}
