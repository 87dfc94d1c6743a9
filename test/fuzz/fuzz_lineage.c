/*
 * test/fuzz/fuzz_lineage.c
 *	  Fuzz target: any bytes as a history file, into lineage_parse().
 *
 * The first byte is the timeline that the file is said to be of.  What is accepted is a
 * possible path, each byte of which is on the timeline that it should be on; what is
 * refused has words.
 */
#include <string.h>

#include "../../node/lineage.h"
#include "fuzz.h"

static void
check_ends(const Lineage *lineage, int i)
{
	uint32_t timeline = lineage->ancestors[i].timeline;
	uint64_t end = lineage->ancestors[i].end;

	CHECK(timeline > 0 && timeline < lineage->timeline && end > 0, "possible");
	CHECK(i == 0 || timeline > lineage->ancestors[i - 1].timeline, "ids rise");
	CHECK(i == 0 || end >= lineage->ancestors[i - 1].end, "ends do not fall");
	CHECK(lineage_has(lineage, timeline) && lineage_end(lineage, timeline) == end, "found");
	CHECK(lineage_timeline_of(lineage, end) != timeline, "an end is the next one's");
	CHECK(lineage_timeline_before(lineage, end) <= timeline, "what is before it is not");
}

static void
check_accepted(const Lineage *lineage)
{
	static Lineage child;
	static Lineage shorter;

	CHECK(lineage->n_ancestors > 0 && lineage->n_ancestors <= LINEAGE_ANCESTORS, "number");
	for (int i = 0; i < lineage->n_ancestors; i++)
		check_ends(lineage, i);
	CHECK(lineage_end(lineage, lineage->timeline) == LINEAGE_NO_END, "the newest has no end");
	CHECK(lineage_is_prefix(lineage, lineage) && lineage_fork(lineage, lineage) == LINEAGE_NO_END, "itself");

	shorter = *lineage;
	shorter.timeline = lineage->ancestors[--shorter.n_ancestors].timeline;
	CHECK(lineage_is_prefix(&shorter, lineage) && !lineage_is_prefix(lineage, &shorter), "its parent");
	CHECK(lineage_fork(&shorter, lineage) == lineage->ancestors[shorter.n_ancestors].end, "forks off there");
	if (lineage_extend(lineage, lineage->timeline + 1, UINT64_MAX - 1, &child))
		CHECK(lineage_is_prefix(lineage, &child) && lineage_fork(lineage, &child) == UINT64_MAX - 1, "its child");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Lineage lineage;
	Words		   words;
	char		  *text;

	if (size == 0)
		return 0;
	/* exactly as much memory as there is text, so that reading on is seen */
	text = malloc(size - 1 > 0 ? size - 1 : 1);
	CHECK(text != NULL, "memory");
	memcpy(text, data + 1, size - 1);
	memset(&lineage, 0xA5, sizeof(lineage));
	switch (lineage_parse(&lineage, data[0], text, size - 1, &words))
	{
		case LINEAGE_GOOD:
			check_accepted(&lineage);
			break;
		case LINEAGE_BURNT:
			CHECK(lineage.n_ancestors == 0, "no ancestors");
			break;
		default:
			CHECK(words.error[0] != '\0' && memchr(words.error, '\0', WORDS_SIZE) != NULL, "a refusal has words");
			break;
	}
	free(text);
	return 0;
}
