/*
 * keep/backup.h
 *	  One run of pg_basebackup from one member, and what its manifest says.
 *
 * Called by full_backup.
 */
#ifndef PG_LEADER_BACKUP_H
#define PG_LEADER_BACKUP_H

#include "parse.h"
#include "session.h"

typedef struct Backup
{
	const Members *members;
	int			   from;	 /* the number of the member */
	const char	  *max_rate; /* as pg_basebackup takes it; NULL: none */
	const char	  *scratch;	 /* a directory of the caller's */
	const char	  *data;	 /* the directory that is made */
	bool		   no_room;	 /* that is why it failed */
} Backup;

/* Take it, and compare every file with the manifest's checksum.  false: words. */
extern bool backup_take(Backup *backup, BackupWal *wal, Words *words);

#endif /* PG_LEADER_BACKUP_H */
