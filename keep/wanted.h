/*
 * keep/wanted.h
 *	  A state that somebody wants to see: which it is, and whether the archive has all that it takes.
 *
 * Called by restore, drill, get_restored_path and del_restored.  Nothing is started here: whatever can be
 * known before is said before, in words that name the cause.
 */
#ifndef PG_LEADER_WANTED_H
#define PG_LEADER_WANTED_H

#include "gids.h"

typedef struct Wanted
{
	Gid		   gid;
	ChooseBase base; /* that it is restored from */
} Wanted;

/*
 * By gid, label or "latest"; NULL: the newest gid that there is.  "scratch" is a directory for what is needed
 * on the way.  "latest" is added to the catalogue, if it is no gid yet.
 */
extern bool wanted_find(Archive *archive, const char *text, const char *scratch, Wanted *wanted, Words *words);

/* Only which gid it is; "latest" is none here. */
extern bool wanted_gid(const Archive *archive, const char *text, Gid *gid, Words *words);

/* Is all WAL there, from "from" up to "to" on that path?  false: words name the first segment that is missing. */
extern bool wanted_has_wal(const Archive *archive, const Lineage *path, uint64_t from, uint64_t to, Words *words);

#endif /* PG_LEADER_WANTED_H */
