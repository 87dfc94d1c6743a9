/*
 * keep/wanted.c
 *	  A state that somebody wants to see: which it is, and whether the archive has all that it takes.
 *
 * See wanted.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "wanted.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../supervisor/files.h"
#include "end.h"

#define LSN_FORMAT	"%X/%08X"
#define LSN_OF(lsn) (unsigned int) ((lsn) >> 32), (unsigned int) (lsn)

static bool
has_segment(const Archive *archive, uint32_t timeline, uint64_t segment, bool is_last)
{
	char path[STORE_PATH_SIZE];

	archive_segment_path(archive, timeline, segment, false, path);
	if (files_exists(path))
		return true;
	archive_segment_path(archive, timeline, segment, true, path);
	return is_last && files_exists(path);
}

bool
wanted_has_wal(const Archive *archive, const Lineage *path, uint64_t from, uint64_t to, Words *words)
{
	uint32_t size = archive->state.segment_size;
	uint64_t behind = choose_behind(to, size);

	for (uint64_t segment = from / size; segment < behind; segment++)
	{
		uint32_t timeline = choose_file(path, to, segment, size);

		if (!has_segment(archive, timeline, segment, segment + 1 == behind))
			return words_set(words, "Nothing behind it can be restored from what lies before it: make a new base backup with full_backup.",
							 "WAL is missing in the archive: segment " LSN_FORMAT " of timeline %" PRIu32, LSN_OF(segment * size), timeline);
	}
	return true;
}

/* The archive's own end goes on from it, or it was never there for good. */
static bool
is_on_the_path(const Archive *archive, const Lineage *newest, const Gid *gid, Words *words)
{
	uint64_t end = archive_end_of(archive, newest, gid->timeline);

	if (gid->gid <= end)
		return true;
	if (!lineage_holds(newest, gid->timeline, gid->gid))
		return words_set(words, "\"abandoned\" shows what the archive has cut off, and when.",
						 "the state %" PRIu64 " is on WAL of timeline %" PRIu32 " that the cluster has abandoned", gid->gid, gid->timeline);
	return words_set(words, "Start \"run\", or wait for it.", "the archive has WAL only up to " LSN_FORMAT ", and the state %" PRIu64 " is at " LSN_FORMAT,
					 LSN_OF(end), gid->gid, LSN_OF(gid->gid));
}

static bool
find_base(const Lineage *path, const Gids *gids, Wanted *wanted, Words *words)
{
	uint64_t gid = wanted->gid.gid;
	int		 found;

	switch (choose_base(path, gid, gids->bases, gids->n_bases, &found))
	{
		case CHOOSE_FOUND:
			wanted->base = gids->bases[found];
			return true;
		case CHOOSE_NO_BASE:
			return words_set(words, "Make one with full_backup.", "the archive has no base backup");
		case CHOOSE_TOO_OLD:
			return words_set(words, "", "the state %" PRIu64 " is older than the oldest base backup, %" PRIu64, gid, choose_oldest(gids->bases, gids->n_bases));
		case CHOOSE_ASIDE:
			break;
	}
	return words_set(words, "Make a new one with full_backup, for states from then on.",
					 "no base backup leads to the state %" PRIu64 ": those that are old enough were made on WAL that the cluster has abandoned", gid);
}

/* Whether there is all that the gid takes. */
static bool
is_there(const Archive *archive, const Gids *gids, const Lineage *newest, Wanted *wanted, Words *words)
{
	static Lineage path;
	const Gid	  *gid = &wanted->gid;

	if (gid->has_tablespaces)
		return words_set(words, "", "the state %" PRIu64 " has tablespaces, which pg_leader_keep cannot restore", gid->gid);
	return is_on_the_path(archive, newest, gid, words) && lineage_until(newest, gid->timeline, &path) && find_base(&path, gids, wanted, words) &&
		   wanted_has_wal(archive, &path, wanted->base.redo, gid->gid, words);
}

/* The end of the archive's WAL as a gid, old or new. */
static bool
take_end(const Archive *archive, const Gids *gids, const Lineage *newest, const char *scratch, Gid *gid, Words *words)
{
	const Gid *known;

	if (!end_find(archive, newest, scratch, gid, words))
		return false;
	known = gids_of(gids, gid->gid);
	if (known == NULL)
		return gids_append(archive, gid, 0, words);
	*gid = *known;
	return true;
}

static bool
take_text(const Archive *archive, const Gids *gids, const Lineage *newest, const char *text, const char *scratch, Gid *gid, Words *words)
{
	const Gid *known;

	if (text != NULL && strcmp(text, "latest") == 0)
		return take_end(archive, gids, newest, scratch, gid, words);
	known = text != NULL ? gids_find(gids, text, words) : gids_newest(gids, newest);
	if (known == NULL && text == NULL)
		return words_set(words, "Make a base backup with full_backup.", "the archive knows no state yet");
	if (known == NULL)
		return false;
	*gid = *known;
	return true;
}

bool
wanted_find(Archive *archive, const char *text, const char *scratch, Wanted *wanted, Words *words)
{
	static Lineage newest;
	Gids		   gids;
	bool		   good;

	memset(wanted, 0, sizeof(*wanted));
	words_clear(words);
	good = gids_load(archive, &gids, words) && archive_refresh(archive, words);
	if (good && archive->state.timeline == 0)
		good = words_set(words, "Start \"run\".", "the archive has no WAL yet");
	good = good && archive_lineage(archive, archive->state.timeline, &newest, words) &&
		   take_text(archive, &gids, &newest, text, scratch, &wanted->gid, words) &&
		   is_there(archive, &gids, &newest, wanted, words);
	gids_free(&gids);
	return good;
}

bool
wanted_gid(const Archive *archive, const char *text, Gid *gid, Words *words)
{
	Gids	   gids;
	const Gid *known = NULL;

	words_clear(words);
	if (gids_load(archive, &gids, words))
		known = gids_find(&gids, text, words);
	if (known != NULL)
		*gid = *known;
	gids_free(&gids);
	return known != NULL;
}
