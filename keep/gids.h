/*
 * keep/gids.h
 *	  The states of a cluster that an archive knows by number, and its base backups.
 *
 * A gid is the LSN at which the WAL of that state ends.  Known are the restore points that "snapshot" and
 * "full_backup" have made, and ends of WAL that "restore latest" has found.
 *
 * In the catalogue:
 *
 *	  gid	gid, timeline, name and label of a restore point; or record: where the last one begins; tablespaces
 *	  base	gid, timeline, member, bytes
 */
#ifndef PG_LEADER_GIDS_H
#define PG_LEADER_GIDS_H

#include <time.h>

#include "archive.h"
#include "choose.h"
#include "instance.h"

#define GID_LABEL_SIZE 64
#define GID_TEXT_SIZE  24

typedef struct Gid
{
	uint64_t gid;
	uint32_t timeline;
	char	 name[INSTANCE_NAME_SIZE]; /* of its restore point; empty: it is none */
	char	 label[GID_LABEL_SIZE];	   /* empty: none */
	uint64_t record;				   /* where its last record begins; 0: not known */
	bool	 has_tablespaces;		   /* the cluster had some */
} Gid;

typedef struct Gids
{
	Gid		   *list; /* in the order in which they were made */
	int			n;
	ChooseBase *bases;
	int			n_bases;
} Gids;

/* All there are; false: words.  gids_free() in any case. */
extern bool gids_load(const Archive *archive, Gids *gids, Words *words);
extern void gids_free(Gids *gids);

/* By its number or its label; NULL: words. */
extern const Gid *gids_find(const Gids *gids, const char *text, Words *words);

/* The one with that number; the highest one on that path; NULL: there is none. */
extern const Gid *gids_of(const Gids *gids, uint64_t gid);
extern const Gid *gids_newest(const Gids *gids, const Lineage *path);

/* Can it be a label?  Not a number, and not "latest"; letters, digits, "-", "_" and ".". */
extern bool gids_is_label(const char *text);

/* Is it a number from 1 on?  0: no. */
extern uint64_t gids_number(const char *text);

/* Add it to the catalogue. */
extern bool gids_append(const Archive *archive, const Gid *gid, uint64_t term, Words *words);

/* base/<gid>, and below it "data" */
extern void gids_base_path(const Archive *archive, uint64_t gid, const char *below, char *path);

#endif /* PG_LEADER_GIDS_H */
