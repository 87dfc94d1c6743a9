/*
 * keep/verb_restore.c
 *	  restore: a state of the cluster, opened read-only beside the archive.
 *
 * It is made in work/, put into restored/, and started there.  A call that was killed is gone on
 * with by the next one: what is in work/ is made anew, what is in restored/ is started or waited for.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../supervisor/files.h"
#include "keep.h"
#include "opened.h"
#include "options.h"
#include "work.h"

#define VERB "restore"

#define TIMEOUT	 UINT64_C(86400000000) /* us */
#define PATIENCE UINT64_C(2000000)

typedef struct Order
{
	const char *text; /* gid, label or "latest" */
	CloneMethod method;
	uint64_t	timeout;
} Order;

static int
read_arguments(KeepCall *call, Order *order)
{
	static const struct option long_options[] = {
		{"method", required_argument, NULL, 'm'},
		{"timeout", required_argument, NULL, 't'},
		{NULL, 0, NULL, 0}};
	int option;

	*order = (Order){.timeout = TIMEOUT};
	while ((option = getopt_long(call->argc, call->argv, "m:t:", long_options, NULL)) != -1)
	{
		if (option == 'm')
		{
			order->method = clone_method(optarg);
			if (order->method == CLONE_ANY)
				return keep_usage("--method is reflink, overlay or copy");
		}
		else if (option == 't')
		{
			if (!options_seconds(optarg, &order->timeout))
				return keep_usage("--timeout is a number of seconds");
		}
		else
			return keep_usage("restore was called wrongly");
	}
	if (optind != call->argc - 1)
		return keep_usage("restore needs a gid, a label, or \"latest\"");
	order->text = call->argv[optind];
	return -1;
}

static bool
say_end(const Opened *opened, InstanceEnd end, bool is_new)
{
	if (end == INSTANCE_PROMOTED && is_new)
		fprintf(stderr, "%s: warning: the state can be opened only read-write: a transaction with very many subtransactions was under way there\n", KEEP_PROGRAM);
	printf("%" PRIu64 "\n", opened->gid);
	return true;
}

/* What is in restored/ already: it runs, or is being opened, or has stopped. */
static bool
go_on(Opened *opened, const Order *order, Words *words)
{
	InstanceEnd end;
	bool		is_new = !instance_has_served(&opened->instance);

	if (instance_is_running(&opened->instance) && instance_is_opened(&opened->instance))
		return say_end(opened, INSTANCE_PAUSED, is_new);
	if (instance_lock(&opened->instance))
		end = opened_start(opened, false, order->timeout, words);
	else
		end = instance_await(&opened->instance, order->timeout, words);
	instance_unlock(&opened->instance);
	return end != INSTANCE_FAILED && say_end(opened, end, is_new);
}

/* One that has never been opened is of no use to anybody; its log stays in work/ until the next call. */
static void
take_back(const Opened *opened, const Work *work)
{
	char  failed[STORE_PATH_SIZE];
	Words words;

	if (!instance_has_served(&opened->instance) && !instance_is_running(&opened->instance) && files_join(failed, work->path, "failed"))
		(void) archive_move(opened->instance.directory, failed, &words);
}

static bool
is_free(const Archive *archive, const char *place, Words *words)
{
	Instance instance;

	/* the path of its socket has a bound */
	return instance_init(&instance, archive, place, "data", "data", words);
}

static bool
make(Archive *archive, const Order *order, const Work *work, Opened *opened, Words *words)
{
	Wanted wanted;
	char   made[STORE_PATH_SIZE];
	char   place[STORE_PATH_SIZE];

	if (!wanted_find(archive, order->text, work->path, &wanted, words))
		return false;
	opened_place(archive, wanted.gid.gid, place);
	if (!is_free(archive, place, words))
		return false;
	if (files_exists(place))
		return opened_load(archive, place, opened, words);
	return files_join(made, work->path, "made") && opened_make(archive, &wanted, order->method, work->path, made, false, words) &&
		   archive_move(made, place, words) && opened_load(archive, place, opened, words);
}

/* A gid that was restored before needs nothing of the archive. */
static bool
is_restored(const Archive *archive, const char *text, Opened *opened)
{
	char  place[STORE_PATH_SIZE];
	Gid	  gid;
	Words words;

	if (!wanted_gid(archive, text, &gid, &words))
		return false;
	opened_place(archive, gid.gid, place);
	return files_exists(place) && opened_load(archive, place, opened, &words);
}

int
verb_restore(KeepCall *call)
{
	static Opened opened;
	Order		  order;
	Work		  work;
	Words		  words;
	int			  status = read_arguments(call, &order);
	bool		  good;

	if (status >= 0)
		return status;
	if (!options_not_root(VERB))
		return EXIT_FAILED;
	words_clear(&words);
	if (!work_begin(call->archive, VERB, false, PATIENCE, &work, &words))
		return keep_fail(&words);
	good = (is_restored(call->archive, order.text, &opened) || make(call->archive, &order, &work, &opened, &words)) &&
		   go_on(&opened, &order, &words);
	if (!good && opened.gid != 0)
		take_back(&opened, &work);
	if (good)
		work_end(&work);
	return good ? EXIT_DONE : keep_fail(&words);
}
