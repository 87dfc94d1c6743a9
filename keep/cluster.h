/*
 * keep/cluster.h
 *	  What the members of the cluster are at this moment: who leads, and who are standbys.
 *
 * Called by snapshot and full_backup.
 */
#ifndef PG_LEADER_KEEP_CLUSTER_H
#define PG_LEADER_KEEP_CLUSTER_H

#include "session.h"

typedef enum ClusterRole
{
	CLUSTER_SILENT = 0, /* it does not answer, or is something else */
	CLUSTER_STANDBY,
	CLUSTER_LEADER /* the primary, which answers commits */
} ClusterRole;

typedef struct Cluster
{
	ClusterRole role[MEMBERS_MOST];
	uint64_t	redo[MEMBERS_MOST]; /* where a base backup of a standby would begin, as far as is known */
	int			leader;				/* -1: none answers */
	uint64_t	term;				/* the leader's */
	Words		words;				/* why the last of those that are silent is so */
} Cluster;

/* All members, one after the other. */
extern void cluster_ask(const Members *members, Cluster *cluster);

/* Of numbers as the server writes them; 0: it is none. */
extern uint64_t cluster_lsn(const char *text);

/*
 * Has the archive, for certain, all WAL up to there?  Waits for it, up to "until" of the clock.
 * false: words.
 */
extern bool cluster_wait_for_archive(Archive *archive, uint32_t timeline, uint64_t end, uint64_t until, Words *words);

#endif /* PG_LEADER_KEEP_CLUSTER_H */
