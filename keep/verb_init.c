/*
 * keep/verb_init.c
 *	  init: an archive for the cluster of some members.
 *
 * All that answer have to be of one cluster; those that do not are named, and can be down.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue.h"
#include "keep.h"
#include "session.h"

#define PATIENCE UINT64_C(5000000) /* us, for each member */

/* "/srv/keep/a0/": a0.  Empty: it has none that can be a name. */
static void
name_of_directory(const char *directory, char *name)
{
	size_t length = strlen(directory);
	size_t begin;

	while (length > 0 && directory[length - 1] == '/')
		length--;
	begin = length;
	while (begin > 0 && directory[begin - 1] != '/')
		begin--;
	(void) snprintf(name, ARCHIVE_NAME_SIZE, "%.*s", (int) (length - begin), directory + begin);
}

static int
read_arguments(KeepCall *call, ArchiveSettings *settings)
{
	static const struct option long_options[] = {
		{"name", required_argument, NULL, 'n'},
		{"role", required_argument, NULL, 'r'},
		{NULL, 0, NULL, 0}};
	const char *name = NULL;
	const char *role = "";
	int			option;

	while ((option = getopt_long(call->argc, call->argv, "n:r:", long_options, NULL)) != -1)
	{
		if (option == 'n')
			name = optarg;
		else if (option == 'r')
			role = optarg;
		else
			return keep_usage("init was called wrongly");
	}
	if (optind != call->argc - 1)
		return keep_usage("init needs the connection string of the members, in quotes");
	if (strlen(call->argv[optind]) >= ARCHIVE_MEMBERS_SIZE || strlen(role) >= ARCHIVE_ROLE_SIZE ||
		(name != NULL && strlen(name) >= ARCHIVE_NAME_SIZE))
		return keep_usage("an argument is too long");
	settings_init(settings);
	name_of_directory(call->directory, settings->name);
	if (name != NULL)
		(void) snprintf(settings->name, sizeof(settings->name), "%s", name);
	(void) snprintf(settings->role, sizeof(settings->role), "%s", role);
	(void) snprintf(settings->members, sizeof(settings->members), "%s", call->argv[optind]);
	return -1;
}

/* What the archive has to know of the cluster. */
static bool
ask_member(const Members *members, int i, ArchiveState *found, Words *words)
{
	SessionIdentity identity = {0};
	PGresult	   *result;
	PGconn		   *connection = session_open(members, i, true, PATIENCE, words);
	bool			good = false;

	if (connection == NULL)
		return false;
	if (session_identify(connection, PATIENCE, &identity, words))
	{
		result = session_ask(connection, "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'", PATIENCE, NULL, words);
		good = result != NULL && PQntuples(result) == 1;
		if (good)
			*found = (ArchiveState){.system_id = identity.system_id, .segment_size = (uint32_t) strtoul(PQgetvalue(result, 0, 0), NULL, 10)};
		PQclear(result);
	}
	PQfinish(connection);
	return good;
}

/* All that answer; at least one does. */
static bool
ask_members(const Members *members, ArchiveState *first, Words *words)
{
	const char *whose = NULL;

	for (int i = 0; i < members->n; i++)
	{
		ArchiveState found;

		if (!ask_member(members, i, &found, words))
		{
			fprintf(stderr, "%s: warning: %s\n", KEEP_PROGRAM, words->error);
			continue;
		}
		if (whose != NULL && found.system_id != first->system_id)
			return words_set(words, "Name the members of one cluster.",
							 "%s and %s are of different clusters: their system identifiers are %" PRIu64 " and %" PRIu64,
							 whose, members->at[i].name, first->system_id, found.system_id);
		whose = members->at[i].name;
		*first = found;
	}
	return whose != NULL || words_set(words, "At least one has to run. The role needs REPLICATION and the privileges of pg_monitor, and pg_hba.conf has to let it in.",
									  "no member answers");
}

/* The directory has an archive, or what an init that was interrupted has left. */
static bool
note_beginning(const char *directory, const ArchiveState *first, Words *words)
{
	static Archive archive;
	CatalogueEntry entry;
	bool		   good;

	if (!archive_open(&archive, directory, words))
		return false;
	catalogue_begin(&entry, "init");
	catalogue_add(&entry, "system_id", "%" PRIu64, first->system_id);
	catalogue_add(&entry, "segment_size", "%u", first->segment_size);
	good = catalogue_append(&archive, &entry, words);
	archive_close(&archive);
	return good;
}

int
verb_init(KeepCall *call)
{
	static Members	members;
	ArchiveSettings settings;
	ArchiveState	first = {0};
	Words			words;
	int				status = read_arguments(call, &settings);
	bool			good;

	if (status >= 0)
		return status;
	words_clear(&words);
	good = members_parse(&settings, &members, &words) && ask_members(&members, &first, &words) &&
		   archive_create(call->directory, &settings, &first, &words) && note_beginning(call->directory, &first, &words);
	if (!good)
		return keep_fail(&words);
	printf("archive %s in \"%s\" for the cluster %" PRIu64 ", with %d members\n", settings.name, call->directory, first.system_id, members.n);
	members_free(&members);
	return EXIT_DONE;
}
