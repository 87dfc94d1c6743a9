/*
 * keep/verb_stop.c
 *	  stop and start: receiving is paused, and goes on; also over a restart of "run".
 *
 * "run" looks for the file "stopped" all the time.
 */
#include <stdio.h>
#include <unistd.h>

#include "../node/clock.h"
#include "keep.h"
#include "status.h"

#define PATIENCE UINT64_C(10000000) /* us */
#define PAUSE	 20000

/* Until "run", if it runs, does not stream any more. */
static bool
wait_for_end(const Archive *archive, Words *words)
{
	uint64_t until = clock_now() + PATIENCE;
	Status	 status;

	for (;;)
	{
		status_read(archive, &status);
		if (status.state == STATUS_STOPPED || status.state == STATUS_CLEAR)
			return true;
		if (clock_now() >= until)
			return words_set(words, "It stops as soon as it gets on. Its disk may hang.", "\"run\" has not stopped receiving yet");
		(void) usleep(PAUSE);
	}
}

int
verb_stop(KeepCall *call)
{
	Words words;

	if (call->argc != 1)
		return keep_usage("stop has no arguments");
	words_clear(&words);
	if (!archive_set_stopped(call->archive, true, &words) || !wait_for_end(call->archive, &words))
		return keep_fail(&words);
	printf("archive %s: receiving is stopped; the members keep the WAL, up to max_slot_wal_keep_size\n", call->archive->settings.name);
	return EXIT_DONE;
}

int
verb_start(KeepCall *call)
{
	Words words;

	if (call->argc != 1)
		return keep_usage("start has no arguments");
	words_clear(&words);
	if (!archive_set_stopped(call->archive, false, &words))
		return keep_fail(&words);
	printf("archive %s: %s\n", call->archive->settings.name,
		   archive_is_locked(call->archive, "run") ? "receiving goes on" : "receiving goes on once \"run\" runs");
	return EXIT_DONE;
}
