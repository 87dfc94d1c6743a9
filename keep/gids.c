/*
 * keep/gids.c
 *	  The states of a cluster that an archive knows by number, and its base backups.
 *
 * See gids.h.  Base backups are what lies in base/, whatever the catalogue says: a directory is put there
 * when it is complete, and its line in the catalogue comes later, or never after a crash.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "gids.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../supervisor/files.h"
#include "catalogue.h"
#include "control.h"
#include "keep.h"

#define LETTERS_OF_LABELS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

uint64_t
gids_number(const char *text)
{
	char	*end;
	uint64_t number;

	if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	return errno == 0 ? number : 0;
}

bool
gids_is_label(const char *text)
{
	return text[0] != '\0' && text[0] != '-' && strlen(text) < GID_LABEL_SIZE && text[strspn(text, LETTERS_OF_LABELS)] == '\0' &&
		   text[strspn(text, "0123456789")] != '\0' && strcmp(text, "latest") != 0;
}

void
gids_base_path(const Archive *archive, uint64_t gid, const char *below, char *path)
{
	char name[64];

	(void) snprintf(name, sizeof(name), "base/%" PRIu64 "%s%s", gid, below[0] != '\0' ? "/" : "", below);
	archive_path(archive, name, path);
}

/* ---- loading ---- */

/* One more in a list that grows; NULL: out of memory. */
static void *
add_to(void **list, int *n, size_t size)
{
	void *more = *list;

	/* its size doubles */
	if ((*n & (*n - 1)) == 0)
		more = realloc(*list, (size_t) (*n > 0 ? 2 * *n : 1) * size);
	if (more == NULL)
		return NULL;
	*list = more;
	memset((char *) more + (size_t) *n * size, 0, size);
	return (char *) more + (size_t) (*n)++ * size;
}

static Gid *
add_gid(Gids *gids)
{
	return add_to((void **) &gids->list, &gids->n, sizeof(Gid));
}

static void
take_text(char *to, size_t size, const CatalogueEntry *entry, const char *name)
{
	const char *value = catalogue_get(entry, name);

	(void) snprintf(to, size, "%s", value != NULL ? value : "");
}

/* false: out of memory */
static bool
take_entry(const CatalogueEntry *entry, void *context)
{
	Gids	*gids = context;
	uint64_t number = catalogue_get_number(entry, "gid");
	Gid		*gid;

	if (strcmp(entry->kind, "gid") != 0 || number == 0)
		return true;
	gid = add_gid(gids);
	if (gid == NULL)
		return false;
	gid->gid = number;
	gid->timeline = (uint32_t) catalogue_get_number(entry, "timeline");
	gid->record = catalogue_get_lsn(entry, "record");
	gid->has_tablespaces = catalogue_get_number(entry, "tablespaces") > 0;
	take_text(gid->name, sizeof(gid->name), entry, "name");
	take_text(gid->label, sizeof(gid->label), entry, "label");
	return true;
}

/* Is it as full_backup has left it? */
static bool
is_good(const char *data, uint64_t number, Control *control, Words *words)
{
	if (!control_read(data, control, words))
		return false;
	return (control->is_stopped && control->end <= number && control->redo <= control->end) ||
		   words_set(words, "", "somebody else has started a server in \"%.500s\"", data);
}

/* One that is bad must not keep others from being used. */
static bool
take_base(const char *directory, const char *name, void *context, Words *words)
{
	Gids	   *gids = context;
	char		path[STORE_PATH_SIZE];
	char		data[STORE_PATH_SIZE];
	uint64_t	number = gids_number(name);
	Control		control;
	ChooseBase *base;

	if (number == 0 || !files_join(path, directory, name) || !files_join(data, path, "data"))
		return true;
	if (!is_good(data, number, &control, words))
	{
		fprintf(stderr, "%s: warning: the base backup %" PRIu64 " is not used: %s\n", KEEP_PROGRAM, number, words->error);
		return true;
	}
	base = add_to((void **) &gids->bases, &gids->n_bases, sizeof(ChooseBase));
	if (base == NULL)
		return words_set(words, "", "out of memory");
	*base = (ChooseBase){.gid = number, .end = control.end, .timeline = control.end_timeline, .redo = control.redo};
	return true;
}

bool
gids_load(const Archive *archive, Gids *gids, Words *words)
{
	char path[STORE_PATH_SIZE];

	memset(gids, 0, sizeof(*gids));
	archive_path(archive, "base", path);
	return catalogue_read(archive, take_entry, gids, words) && files_each(path, take_base, gids, words);
}

void
gids_free(Gids *gids)
{
	free(gids->list);
	free(gids->bases);
	memset(gids, 0, sizeof(*gids));
}

/* ---- finding ---- */

const Gid *
gids_of(const Gids *gids, uint64_t number)
{
	for (int i = 0; i < gids->n; i++)
	{
		if (gids->list[i].gid == number)
			return &gids->list[i];
	}
	return NULL;
}

const Gid *
gids_newest(const Gids *gids, const Lineage *path)
{
	const Gid *newest = NULL;

	for (int i = 0; i < gids->n; i++)
	{
		const Gid *gid = &gids->list[i];

		if (lineage_holds(path, gid->timeline, gid->gid) && (newest == NULL || gid->gid > newest->gid))
			newest = gid;
	}
	return newest;
}

static const Gid *
labelled(const Gids *gids, const char *label)
{
	for (int i = 0; i < gids->n; i++)
	{
		if (strcmp(gids->list[i].label, label) == 0)
			return &gids->list[i];
	}
	return NULL;
}

const Gid *
gids_find(const Gids *gids, const char *text, Words *words)
{
	uint64_t   number = gids_number(text);
	const Gid *gid = number != 0 ? gids_of(gids, number) : gids_is_label(text) ? labelled(gids, text) :
																				 NULL;

	if (gid == NULL)
		(void) words_set(words, "\"snapshot\" prints the gid of each state that can be restored; \"latest\" is the end of the archive's WAL.",
						 "the archive knows no gid or label \"%.100s\"", text);
	return gid;
}

bool
gids_append(const Archive *archive, const Gid *gid, uint64_t term, Words *words)
{
	CatalogueEntry entry;

	catalogue_begin(&entry, "gid");
	catalogue_add(&entry, "gid", "%" PRIu64, gid->gid);
	catalogue_add(&entry, "timeline", "%" PRIu32, gid->timeline);
	if (term != 0)
		catalogue_add(&entry, "term", "%" PRIu64, term);
	if (gid->name[0] != '\0')
		catalogue_add(&entry, "name", "%s", gid->name);
	if (gid->label[0] != '\0')
		catalogue_add(&entry, "label", "%s", gid->label);
	if (gid->record != 0)
		catalogue_add_lsn(&entry, "record", gid->record);
	if (gid->has_tablespaces)
		catalogue_add(&entry, "tablespaces", "1");
	return catalogue_append(archive, &entry, words);
}
