/*
 * keep/snapshot.c
 *	  A restore point in the cluster's WAL, which the archive has.
 *
 * See snapshot.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "../node/clock.h"
#include "cluster.h"

/* Microseconds. */
#define PAUSE	 UINT64_C(100000)
#define PATIENCE UINT64_C(5000000) /* for a connection */

#define QUERY_SIZE 1024

static bool
label_is_free(const Archive *archive, const char *label, Words *words)
{
	Gids gids;
	bool good = gids_load(archive, &gids, words);

	for (int i = 0; good && i < gids.n; i++)
	{
		if (label[0] != '\0' && strcmp(gids.list[i].label, label) == 0)
			good = words_set(words, "Take another one.", "the label \"%s\" is that of the state %" PRIu64, label, gids.list[i].gid);
	}
	gids_free(&gids);
	return good;
}

/* Recovery stops at the first restore point of a name, so no other may ever have it. */
static bool
name_it(uint64_t term, Gid *gid, Words *words)
{
	uint64_t nonce;

	if (getrandom(&nonce, sizeof(nonce), 0) != (ssize_t) sizeof(nonce))
		return words_set(words, "", "there are no random numbers");
	(void) snprintf(gid->name, sizeof(gid->name), "keep/%" PRIu64 "/%016" PRIx64, term, nonce);
	return true;
}

/* Another leader may do better: this one has gone, or could not answer. */
static bool
is_worth_another(const char *state)
{
	return state[0] == '\0' || strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0 || strcmp(state, "25006") == 0 ||
		   strcmp(state, "55000") == 0;
}

/* The role may have another default, where the cluster lets it. */
static bool
wants_copies(PGconn *connection, char *state, Words *words)
{
	PGresult *result = session_ask(connection, "SET synchronous_commit = on", PATIENCE, state, words);

	PQclear(result);
	return result != NULL;
}

/* The transaction has an id, so its end is answered as any commit is: by as many members as it takes. */
static bool
make_point(const Members *members, const Cluster *cluster, uint64_t patience, Gid *gid, char *state, Words *words)
{
	PGconn	 *connection = session_open(members, cluster->leader, false, PATIENCE, words);
	PGresult *result;
	char	  query[QUERY_SIZE];
	bool	  good;

	state[0] = '\0';
	if (connection == NULL || !name_it(cluster->term, gid, words) || !wants_copies(connection, state, words))
		return PQfinish(connection), false;
	(void) snprintf(query, sizeof(query),
					"SELECT point, pg_catalog.pg_walfile_name(point), "
					"(SELECT count(*) FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')), "
					"pg_catalog.pg_current_xact_id() FROM (SELECT pg_catalog.pg_create_restore_point('%s') AS point OFFSET 0) AS made",
					gid->name);
	result = session_ask(connection, query, patience, state, words);
	good = result != NULL && PQntuples(result) == 1;
	if (good)
	{
		char timeline[9];

		(void) snprintf(timeline, sizeof(timeline), "%.8s", PQgetvalue(result, 0, 1));
		gid->gid = cluster_lsn(PQgetvalue(result, 0, 0));
		gid->timeline = (uint32_t) strtoul(timeline, NULL, 16);
		gid->has_tablespaces = strcmp(PQgetvalue(result, 0, 2), "0") != 0;
	}
	PQclear(result);
	PQfinish(connection);
	return good;
}

static void
add_hint(const char *state, Words *words)
{
	if (strcmp(state, "42501") == 0)
		(void) snprintf(words->hint, sizeof(words->hint), "GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO the role of keep.conf.");
}

/* On whoever leads, until that time. */
static bool
make_on_leader(const Members *members, uint64_t until, Gid *gid, uint64_t *term, Words *words)
{
	static Cluster cluster;
	char		   state[6] = "";

	for (;;)
	{
		uint64_t now = clock_now();

		cluster_ask(members, &cluster);
		*term = cluster.term;
		if (cluster.leader < 0)
			(void) words_set(words, cluster.words.hint, "no member of the cluster leads and answers commits%s%.800s",
							 cluster.words.error[0] != '\0' ? "; " : "", cluster.words.error);
		else if (make_point(members, &cluster, until > now ? until - now : 1, gid, state, words))
			return true;
		if (clock_now() + PAUSE >= until || !is_worth_another(state))
		{
			add_hint(state, words);
			return false;
		}
		(void) usleep((useconds_t) PAUSE);
	}
}

bool
snapshot_make(Archive *archive, const char *label, uint64_t until, Gid *gid, Words *words)
{
	static Members members;
	uint64_t	   term;
	bool		   good;

	memset(gid, 0, sizeof(*gid));
	if (!label_is_free(archive, label, words) || !members_parse(&archive->settings, &members, words))
		return false;
	(void) snprintf(gid->label, sizeof(gid->label), "%s", label);
	good = make_on_leader(&members, until, gid, &term, words) && cluster_wait_for_archive(archive, gid->timeline, gid->gid, until, words) &&
		   gids_append(archive, gid, term, words);
	members_free(&members);
	return good;
}
