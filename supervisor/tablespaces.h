/*
 * supervisor/tablespaces.h
 *	  Where the tablespaces of a clone go, and its WAL if that lies elsewhere.
 *
 * A tablespace is at the same path on all servers, as a rule.  That path may be in use: by the
 * directory that the clone is to replace, or by another server of this machine.  Then it goes
 * beside it, under the same name with ".pg_leader_", the node's id and a number.  pg_basebackup fills them before
 * it makes the links to them, so they are listed in a file as long as that runs.  Called by the
 * job's process.
 */
#ifndef PG_LEADER_TABLESPACES_H
#define PG_LEADER_TABLESPACES_H

#include "../node/store.h"

/* An empty directory, or none, with that name or one of this member's beside it; made if it is missing. */
extern bool tablespaces_place(const char *wanted, int node_id, char *place, Words *words);

/*
 * Remove the tablespaces in those directories, one a line of that file, unless links of the other
 * data directory, or of a server that runs, lead there; and the file.
 */
extern bool tablespaces_remove_listed(const char *list, const char *other, Words *words);

/*
 * Remove what the links in that directory (pg_tblspc, pg_wal) lead to, unless the other one's, or
 * those of a server that runs, lead there, too.
 */
extern bool tablespaces_remove_unused(const char *directory, const char *other, Words *words);

#endif /* PG_LEADER_TABLESPACES_H */
