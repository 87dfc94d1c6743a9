/*
 * keep/end.h
 *	  Where the archive's WAL ends: behind its last record that is complete.
 *
 * Called by wanted.c, for "latest".
 */
#ifndef PG_LEADER_KEEP_END_H
#define PG_LEADER_KEEP_END_H

#include "gids.h"

/*
 * As a gid, with its last record; newest: the path of the archive's WAL.  "scratch" is a directory of
 * the caller's, for links to segments.
 */
extern bool end_find(const Archive *archive, const Lineage *newest, const char *scratch, Gid *gid, Words *words);

#endif /* PG_LEADER_KEEP_END_H */
