/*
 * keep/verb_abandoned.c
 *	  abandoned: what was cut off at forks, and the commits in it.
 *
 * The directories in abandoned/ are listed, whose names say what they are; pg_waldump of this
 * installation reads the commits.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../supervisor/files.h"
#include "../supervisor/program.h"
#include "../tools/ctl_table.h"
#include "keep.h"

#define MOST_SHOWN 20 /* transactions of one place, in text */

typedef struct Place
{
	bool		json;
	const char *path;
	uint32_t	timeline;
	uint64_t	fork;
	int			commits;
	char		xids[512];
	char		last[64];
} Place;

typedef struct Listing
{
	const char *programs; /* where pg_waldump is */
	bool		json;
	int			n;
} Listing;

/* "rmgr: Transaction len ... tx: 741, lsn: ..., desc: COMMIT 2026-12-01 00:50:00.123 UTC" */
static bool
take_record(const char *line, void *context)
{
	Place	   *place = context;
	const char *commit = strstr(line, "desc: COMMIT ");
	const char *xid = strstr(line, "tx:");
	size_t		used = strlen(place->xids);

	if (commit == NULL || xid == NULL)
		return true;
	place->commits++;
	if (place->commits <= MOST_SHOWN)
		(void) snprintf(place->xids + used, sizeof(place->xids) - used, "%s%lu", used > 0 ? ", " : "", strtoul(xid + 3, NULL, 10));
	commit += strlen("desc: COMMIT ");
	(void) snprintf(place->last, sizeof(place->last), "%.*s", (int) strcspn(commit, ";"), commit);
	return true;
}

static void
print_place(const Place *place)
{
	char fork[24];

	(void) snprintf(fork, sizeof(fork), "%X/%X", (unsigned) (place->fork >> 32), (unsigned) place->fork);
	if (place->json)
	{
		putchar('{');
		ctl_json_name("timeline", true);
		printf("%u", place->timeline);
		ctl_json_name("from", false);
		ctl_json_text(fork);
		ctl_json_number("commits", place->commits);
		ctl_json_name("xids", false);
		ctl_json_text(place->xids);
		ctl_json_name("last", false);
		ctl_json_text(place->last[0] != '\0' ? place->last : NULL);
		ctl_json_name("path", false);
		ctl_json_text(place->path);
		printf("}\n");
		return;
	}
	printf("timeline %u from %s: %d commits", place->timeline, fork, place->commits);
	if (place->commits > 0)
		printf(", the last %s; transactions %s%s", place->last, place->xids, place->commits > MOST_SHOWN ? ", ..." : "");
	printf("\n    %s\n", place->path);
}

/* pg_waldump ends with an error where WAL does: what it has read counts. */
static bool
list_place(const char *directory, const char *name, void *context, Words *words)
{
	Listing		*listing = context;
	char		 path[STORE_PATH_SIZE];
	char		 timeline[16];
	char		 fork[24];
	unsigned int of;
	uint64_t	 lsn;
	const char	*arguments[] = {"--path", path, "--timeline", timeline, "--start", fork, "--rmgr", "Transaction", NULL};
	Place		 place = {.json = listing->json, .path = path};
	Program		 program = {.directory = listing->programs, .name = "pg_waldump", .arguments = arguments, .output = take_record, .context = &place};
	Words		 ignored;

	if (sscanf(name, "%8X-%16" SCNx64, &of, &lsn) != 2)
		return true;
	if (!files_join(path, directory, name))
		return words_set(words, "", "the path \"%s\" is too long", directory);
	place.timeline = of;
	place.fork = lsn;
	(void) snprintf(timeline, sizeof(timeline), "%u", of);
	(void) snprintf(fork, sizeof(fork), "%X/%X", (unsigned) (lsn >> 32), (unsigned) lsn);
	(void) program_run(&program, &ignored);
	print_place(&place);
	listing->n++;
	return true;
}

/* PostgreSQL's programs are where this one is. */
static bool
find_programs(char *directory, Words *words)
{
	char	waldump[STORE_PATH_SIZE + 16];
	ssize_t length = readlink("/proc/self/exe", directory, STORE_PATH_SIZE - 1);
	char   *slash;

	directory[length > 0 ? length : 0] = '\0';
	slash = strrchr(directory, '/');
	if (slash == NULL)
		return words_set(words, "", "could not find this program's own directory");
	*slash = '\0';
	(void) snprintf(waldump, sizeof(waldump), "%s/pg_waldump", directory);
	return access(waldump, X_OK) == 0 ||
		   words_set(words, "It comes with the PostgreSQL server that this program was built for.", "could not find \"%s\": %s", waldump, strerror(errno));
}

int
verb_abandoned(KeepCall *call)
{
	static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	char					   programs[STORE_PATH_SIZE];
	char					   path[STORE_PATH_SIZE];
	Listing					   listing = {.programs = programs};
	Words					   words;
	int						   option;

	while ((option = getopt_long(call->argc, call->argv, "", long_options, NULL)) != -1)
	{
		if (option != 'j')
			return keep_usage("abandoned was called wrongly");
		listing.json = true;
	}
	if (optind != call->argc)
		return keep_usage("abandoned has no arguments");
	words_clear(&words);
	archive_path(call->archive, "abandoned", path);
	if (!find_programs(programs, &words) || !files_each(path, list_place, &listing, &words))
		return keep_fail(&words);
	if (listing.n == 0 && !listing.json)
		printf("nothing was cut off\n");
	return EXIT_DONE;
}
