/*
 * keep/verb_snapshot.c
 *	  snapshot: a name for the cluster's state of this moment; prints its gid.
 *
 * See snapshot.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../node/clock.h"
#include "keep.h"
#include "options.h"
#include "snapshot.h"

/* Microseconds. */
#define WAIT  UINT64_C(30000000)
#define PAUSE UINT64_C(10000)

static int
read_arguments(KeepCall *call, const char **label, uint64_t *wait)
{
	static const struct option long_options[] = {
		{"wait", required_argument, NULL, 'w'},
		{NULL, 0, NULL, 0}};
	int option;

	*label = "";
	*wait = WAIT;
	while ((option = getopt_long(call->argc, call->argv, "w:", long_options, NULL)) != -1)
	{
		if (option != 'w')
			return keep_usage("snapshot was called wrongly");
		if (!options_seconds(optarg, wait))
			return keep_usage("--wait is a number of seconds");
	}
	if (optind < call->argc - 1)
		return keep_usage("snapshot takes one label");
	if (optind == call->argc)
		return -1;
	*label = call->argv[optind];
	if (!gids_is_label(*label))
		return keep_usage("a label is letters, digits, \"-\", \"_\" and \".\", up to 63, not only digits, and not \"latest\"");
	return -1;
}

int
verb_snapshot(KeepCall *call)
{
	const char *label;
	uint64_t	wait;
	uint64_t	until;
	Gid			gid = {0};
	Words		words;
	int			status = read_arguments(call, &label, &wait);
	int			lock;
	bool		good;

	if (status >= 0)
		return status;
	words_clear(&words);
	until = clock_now() + wait;

	/* one after the other, so that no two get the same label */
	while ((lock = archive_lock(call->archive, "snapshot", &words)) < 0 && clock_now() < until)
		(void) usleep(PAUSE);
	good = lock >= 0 && snapshot_make(call->archive, label, until, &gid, &words);
	if (lock >= 0)
		(void) close(lock);
	if (!good)
		return keep_fail(&words);
	printf("%" PRIu64 "\n", gid.gid);
	return EXIT_DONE;
}
