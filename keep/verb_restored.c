/*
 * keep/verb_restored.c
 *	  get_restored_path and del_restored: what "restore" has made.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <inttypes.h>
#include <stdio.h>

#include "../supervisor/files.h"
#include "keep.h"
#include "opened.h"
#include "work.h"

/* For "restore" of another state to end, us. */
#define PATIENCE UINT64_C(30000000)

static bool
find(KeepCall *call, Opened *opened, Words *words)
{
	char place[STORE_PATH_SIZE];
	Gid	 gid;

	if (!wanted_gid(call->archive, call->argv[1], &gid, words))
		return false;
	opened_place(call->archive, gid.gid, place);
	if (!files_exists(place))
		return words_set(words, "Restore it first.", "the state %" PRIu64 " is not restored", gid.gid);
	return opened_load(call->archive, place, opened, words);
}

int
verb_get_restored_path(KeepCall *call)
{
	static Opened opened;
	char		  conninfo[2 * STORE_PATH_SIZE + 64];
	Words		  words;

	if (call->argc != 2)
		return keep_usage("get_restored_path needs a gid or a label");
	if (!find(call, &opened, &words))
		return keep_fail(&words);
	if (!instance_is_running(&opened.instance) || !instance_is_opened(&opened.instance))
	{
		(void) words_set(&words, "Call restore once more: it goes on with it.", "the state %" PRIu64 " is restored, but not open", opened.gid);
		return keep_fail(&words);
	}
	instance_conninfo(&opened.instance, conninfo, sizeof(conninfo));
	printf("%s\n%s\n", opened.instance.data, conninfo);
	return EXIT_DONE;
}

static bool
remove_it(KeepCall *call, Opened *opened, const Work *work, Words *words)
{
	char removed[STORE_PATH_SIZE];

	return instance_stop(&opened->instance, true, words) && files_join(removed, work->path, "removed") &&
		   archive_move(opened->instance.directory, removed, words) && opened_remove(removed, words);
}

int
verb_del_restored(KeepCall *call)
{
	static Opened opened;
	Work		  work;
	Words		  words;
	bool		  good;

	if (call->argc != 2)
		return keep_usage("del_restored needs a gid or a label");
	if (!work_begin(call->archive, "restore", false, PATIENCE, &work, &words))
		return keep_fail(&words);
	good = find(call, &opened, &words) && remove_it(call, &opened, &work, &words);
	work_end(&work);
	return good ? EXIT_DONE : keep_fail(&words);
}
