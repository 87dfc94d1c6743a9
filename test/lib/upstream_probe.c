/*
 * test/lib/upstream_probe.c
 *	  Asks a server by node/upstream.c, for test/t/042_upstream.pl, which compiles it.
 *
 *	upstream_probe PATIENCE STOP CONNINFO QUESTION...
 *
 * PATIENCE of each answer, and after how long it is to be broken off (0: never), in ms.  A
 * question is "identify", "history=TIMELINE" or "read=TIMELINE,FROM,END"; "sleep=MS" waits.  It
 * connects before each question unless it is connected.  One line for each: what came, bytes in hexadecimal, or the
 * error; then "connected" or "closed", and the milliseconds that it took.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../node/clock.h"
#include "../../node/upstream.h"

static Upstream upstream;
static Words	words;
static uint64_t stop_at; /* 0: never */

static bool
stops(void)
{
	return stop_at != 0 && clock_now() >= stop_at;
}

static void
print_bytes(const char *bytes, size_t length)
{
	printf("%zu ", length);
	for (size_t i = 0; i < length; i++)
		printf("%02x", (unsigned) (unsigned char) bytes[i]);
}

static void
print_words(void)
{
	printf("%s; %s", words.error, words.hint);
}

static void
identify(void)
{
	UpstreamIdentity identity;

	if (!upstream_identify(&upstream, &identity, &words))
		print_words();
	else
		printf("system %" PRIu64 " timeline %" PRIu32 " flush %X/%X major %" PRIu32 "%s control %" PRIu32,
			   identity.system_id, identity.timeline, (unsigned) (identity.flush >> 32), (unsigned) identity.flush,
			   identity.major, identity.in_recovery ? " in recovery" : "", identity.control_timeline);
}

static void
history(uint32_t timeline)
{
	static char text[UPSTREAM_HISTORY_SIZE];
	size_t		length;

	if (!upstream_history(&upstream, timeline, text, &length, &words))
		print_words();
	else
		print_bytes(text, length);
}

static void
read_wal(const char *what)
{
	static char bytes[UPSTREAM_READ_SIZE];
	unsigned	timeline;
	char		from[32];
	char		end[32];
	uint64_t	begins;
	uint64_t	ends;

	if (sscanf(what, "%u,%31[^,],%31s", &timeline, from, end) != 3 ||
		!lineage_read_lsn(from, &begins) || !lineage_read_lsn(end, &ends))
		exit(2);
	switch (upstream_read(&upstream, timeline, begins, ends, bytes, &words))
	{
		case UPSTREAM_READ:
			print_bytes(bytes, (size_t) (ends - begins));
			return;
		case UPSTREAM_HAS_NOT:
			printf("has not: ");
			break;
		case UPSTREAM_FAILED:
			printf("failed: ");
			break;
	}
	print_words();
}

static void
answer(const char *question)
{
	if (strcmp(question, "identify") == 0)
		identify();
	else if (strncmp(question, "history=", 8) == 0)
		history((uint32_t) strtoul(question + 8, NULL, 10));
	else if (strncmp(question, "read=", 5) == 0)
		read_wal(question + 5);
	else
		exit(2);
}

int
main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	upstream_init(&upstream, 7, strtoull(argv[1], NULL, 10) * 1000, stops);
	if (strcmp(argv[2], "0") != 0)
		stop_at = clock_now() + strtoull(argv[2], NULL, 10) * 1000;
	for (int i = 4; i < argc; i++)
	{
		uint64_t begin = clock_now();

		if (strncmp(argv[i], "sleep=", 6) == 0)
		{
			(void) usleep((useconds_t) strtoul(argv[i] + 6, NULL, 10) * 1000);
			continue;
		}
		if (!upstream_connect(&upstream, argv[3], &words))
			print_words();
		else
			answer(argv[i]);
		printf(" %s %" PRIu64 "\n", upstream.connection != NULL ? "connected" : "closed", (clock_now() - begin) / 1000);
		(void) fflush(stdout);
	}
	upstream_close(&upstream);
	return 0;
}
