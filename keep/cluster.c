/*
 * keep/cluster.c
 *	  What the members of the cluster are at this moment.
 *
 * See cluster.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "cluster.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../node/clock.h"

/* Microseconds, for each member. */
#define PATIENCE UINT64_C(3000000)
#define LOOK	 10000

#define QUESTION                                                                               \
	"SELECT pg_catalog.pg_is_in_recovery(), coalesce(f.is_open, false), coalesce(f.term, 0), " \
	"(SELECT redo_lsn FROM pg_catalog.pg_control_checkpoint()) FROM pg_leader_fence f"

uint64_t
cluster_lsn(const char *text)
{
	uint64_t lsn;

	return lineage_read_lsn(text, &lsn) ? lsn : 0;
}

static ClusterRole
take_answer(const PGresult *result, uint64_t *term)
{
	if (PQntuples(result) != 1)
		return CLUSTER_SILENT;
	if (strcmp(PQgetvalue(result, 0, 0), "t") == 0)
		return CLUSTER_STANDBY;
	*term = strtoull(PQgetvalue(result, 0, 2), NULL, 10);
	return strcmp(PQgetvalue(result, 0, 1), "t") == 0 ? CLUSTER_LEADER : CLUSTER_SILENT;
}

static void
ask_one(const Members *members, int i, Cluster *cluster)
{
	PGconn	 *connection = session_open(members, i, false, PATIENCE, &cluster->words);
	PGresult *result = connection != NULL ? session_ask(connection, QUESTION, PATIENCE, NULL, &cluster->words) : NULL;
	uint64_t  term = 0;

	if (result != NULL)
	{
		cluster->role[i] = take_answer(result, &term);
		cluster->redo[i] = PQntuples(result) == 1 ? cluster_lsn(PQgetvalue(result, 0, 3)) : 0;
	}
	if (cluster->role[i] == CLUSTER_LEADER && (cluster->leader < 0 || term > cluster->term))
	{
		cluster->leader = i;
		cluster->term = term;
	}
	PQclear(result);
	PQfinish(connection);
}

void
cluster_ask(const Members *members, Cluster *cluster)
{
	memset(cluster, 0, sizeof(*cluster));
	cluster->leader = -1;
	for (int i = 0; i < members->n; i++)
		ask_one(members, i, cluster);
}

/* The path may go on beyond it to other timelines. */
static bool
has_it(const Archive *archive, uint32_t timeline, uint64_t end)
{
	static Lineage newest;
	Words		   words;

	return archive->state.durable >= end && archive->state.timeline != 0 &&
		   archive_lineage(archive, archive->state.timeline, &newest, &words) && lineage_holds(&newest, timeline, end);
}

bool
cluster_wait_for_archive(Archive *archive, uint32_t timeline, uint64_t end, uint64_t until, Words *words)
{
	for (;;)
	{
		if (!archive_refresh(archive, words))
			return false;
		if (has_it(archive, timeline, end))
			return true;
		if (clock_now() >= until)
			return words_set(words, archive_is_locked(archive, "run") ? "\"get_state_all\" shows what keeps it." : "Start \"run\": it receives the WAL.",
							 "the archive has not got the WAL up to %X/%08X in time: it is at %X/%08X", (unsigned int) (end >> 32), (unsigned int) end,
							 (unsigned int) (archive->state.durable >> 32), (unsigned int) archive->state.durable);
		(void) usleep(LOOK);
	}
}
