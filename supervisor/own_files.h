/*
 * supervisor/own_files.h
 *	  The files in a data directory that belong to this server and not to the data.
 *
 * Configuration, pg_hba.conf, certificates: whatever lies at the top of a data directory and is
 * none of PostgreSQL's own files.  pg_basebackup and pg_rewind bring the leader's, which name the
 * leader's port and node.  So a clone gets copies of those that were here; and during a rewind
 * they lie in a directory beside the data, from where they are put back also after a crash,
 * before anybody reads a setting.
 *
 * Called by main.c, supervise.c and the job's process.
 */
#ifndef PG_LEADER_OWN_FILES_H
#define PG_LEADER_OWN_FILES_H

#include "../node/words.h"

/* Is that the name of such a file, at the top of a data directory? */
extern bool own_files_is(const char *name);

/* Copy them from one directory to the other, over what is there. */
extern bool own_files_copy(const char *from, const char *to, Words *words);

/*
 * Keep them beside the data directory, from now until they are put back.  false also where there
 * can be nothing beside it.
 */
extern bool own_files_keep(const char *data_directory, Words *words);

/* Put back what is kept, if anything is, and keep it no longer. */
extern bool own_files_put_back(const char *data_directory, Words *words);

/* Are they kept now?  Then those in the directory may be the leader's: no setting is read there. */
extern bool own_files_are_kept(const char *data_directory);

/* What was interrupted may have left a part of such a directory, which nobody uses: is it there?  Remove it. */
extern bool own_files_are_left(const char *data_directory);
extern bool own_files_clean(const char *data_directory, Words *words);

#endif /* PG_LEADER_OWN_FILES_H */
