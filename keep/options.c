/*
 * keep/options.c
 *	  Options that several verbs have.
 *
 * See options.h.
 */
#include "options.h"

#include <stdio.h>
#include <unistd.h>

#include "gids.h"
#include "keep.h"

#define MOST_SECONDS (7 * 86400)

bool
options_seconds(const char *text, uint64_t *us)
{
	uint64_t seconds = gids_number(text);

	*us = seconds * UINT64_C(1000000);
	return seconds >= 1 && seconds <= MOST_SECONDS;
}

bool
options_not_root(const char *verb)
{
	Words words;

	if (geteuid() != 0)
		return true;
	words_clear(&words);
	(void) words_set(&words, "Call it as the user that the archive belongs to: runuser -u postgres -- ...",
					 "%s cannot be called by root: it runs PostgreSQL", verb);
	(void) keep_fail(&words);
	return false;
}
