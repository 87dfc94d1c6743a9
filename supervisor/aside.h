/*
 * supervisor/aside.h
 *	  The place beside a data directory where a clone is made, and how it takes the
 *	  directory's place when it is whole.
 *
 * A clone is made beside the directory, or in it where its parent cannot be written or it is a
 * mount point.  When it is whole and on disk, a file in the state directory says so: it names
 * the clone's "global" by its inode, which neither a base backup nor a rewind copies.  Only
 * then does it take the directory's place: at one stroke where the file system can exchange two
 * directories, else entry by entry, "global" with pg_control last; whatever interrupts that, it
 * is gone on with.  The old data stay until aside_clean().
 *
 * Called by supervise.c for looking, and by the job's process for the rest.
 */
#ifndef PG_LEADER_ASIDE_H
#define PG_LEADER_ASIDE_H

#include "../node/store.h"

typedef struct Aside
{
	char directory[STORE_PATH_SIZE]; /* the data directory */
	char clone[STORE_PATH_SIZE];
	char old[STORE_PATH_SIZE];	   /* what was moved out of the way entry by entry: all of it, */
	char partial[STORE_PATH_SIZE]; /* or a part */
	char mark[STORE_PATH_SIZE];
	char places[STORE_PATH_SIZE]; /* a list of where the clone's tablespaces are */
} Aside;

typedef enum AsideState
{
	ASIDE_NOTHING = 0, /* no copy is whole */
	ASIDE_WHOLE,	   /* one is, and not in the directory's place yet */
	ASIDE_IN_PLACE	   /* the directory is it */
} AsideState;

extern bool aside_find(Aside *aside, const char *data_directory, const char *state_directory, int node_id, Words *words);

extern AsideState aside_state(const Aside *aside);

/* Is there anything that aside_clean() would remove? */
extern bool aside_has_leftovers(const Aside *aside);

/* Nothing that is there counts as whole from now on. */
extern bool aside_forget(const Aside *aside, Words *words);

/*
 * The directory itself is about to be rewound: nothing that is there counts as whole, and it is noted in
 * which boot of the machine that began.  Is that still the same?
 */
extern bool aside_begin_rewind(const Aside *aside, Words *words);
extern bool aside_is_same_boot(const Aside *aside);

/* The clone, or the directory itself after a rewind, is whole and on disk. */
extern bool aside_mark(const Aside *aside, const char *directory, Words *words);

/* Asked before anything is copied: false if a directory in the data directory cannot be moved. */
extern bool aside_may_swap(const Aside *aside, Words *words);

/* ASIDE_WHOLE becomes ASIDE_IN_PLACE; may be repeated. */
extern bool aside_swap(const Aside *aside, Words *words);

/* Remove the mark, and all that lies aside, with the tablespaces that only that has used. */
extern bool aside_clean(const Aside *aside, Words *words);

/* Write all of the directory's file system, and of its tablespaces', to disk. */
extern bool aside_sync(const char *directory, Words *words);

/* Is this the name of a file or directory of ours, which is no part of the data? */
extern bool aside_is_ours(const char *name);

#endif /* PG_LEADER_ASIDE_H */
