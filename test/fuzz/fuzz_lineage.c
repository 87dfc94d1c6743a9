/*
 * test/fuzz/fuzz_lineage.c
 *	  Fuzz target: any bytes as a history file, into lineage_parse(), and paths that are
 *	  made of any numbers by lineage_extend().
 *
 * The first byte is the timeline that the file is said to be of, those from FIRST_EDGE
 * on are ids at the edges; or it is PATH, and what follows are numbers of timelines and
 * forks.  What is accepted is a possible path, each byte of which is on the timeline that
 * it should be on, and which is read from its own history file; what is refused has words.
 */
#include <string.h>

#include "../../node/lineage.h"
#include "fuzz.h"

#define PATH	   255
#define FIRST_EDGE 240

/* Ids at which something ends, and what is beside them. */
static uint32_t
edge(uint8_t choice)
{
	static const uint32_t edges[] = {0, 2, LINEAGE_MAX_TIMELINE, UINT32_C(0x80000000), UINT32_MAX};

	return edges[choice / 3 % 5] + choice % 3 - 1;
}

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

/* ---- a path of any numbers ---- */

static uint64_t
take_number(Input *input, int bytes)
{
	uint64_t number = 0;

	while (bytes-- > 0)
		number = number << 8 | next_byte(input);
	return number;
}

/* Small steps, edges, and anything. */
static uint32_t
take_timeline(Input *input, uint32_t newest)
{
	uint8_t choice = next_byte(input);

	if (choice < 128)
		return newest + choice % 4;
	return choice < 192 ? edge(choice) : (uint32_t) take_number(input, 4);
}

static uint64_t
take_fork(Input *input)
{
	uint8_t choice = next_byte(input);

	if (choice < 128)
		return choice;
	return choice < 192 ? UINT64_MAX - choice % 4 : take_number(input, 8);
}

/* As PostgreSQL writes it. */
static void
check_round_trip(const Lineage *lineage)
{
	static Lineage again;
	static char	   text[64 * 1024];
	size_t		   length = 0;
	Words		   words;

	if (lineage->n_ancestors == 0)
		return;
	for (int i = 0; i < lineage->n_ancestors; i++)
		length += (size_t) snprintf(text + length, sizeof(text) - length, "%u\t%X/%X\tx\n", lineage->ancestors[i].timeline,
									(unsigned) (lineage->ancestors[i].end >> 32), (unsigned) lineage->ancestors[i].end);
	CHECK(length < sizeof(text), "room");
	CHECK(lineage_parse(&again, lineage->timeline, text, length, &words) == LINEAGE_GOOD, "its own history can be read");
	CHECK(lineage_is_prefix(&again, lineage) && lineage_is_prefix(lineage, &again), "and is the same");
}

static void
make_path(Input *input)
{
	static Lineage path;

	lineage_first(&path);
	while (input->size > 0)
	{
		uint32_t newest = path.timeline;
		uint64_t begin = lineage_begin(&path, newest);
		uint32_t timeline = take_timeline(input, newest);
		uint64_t fork = take_fork(input);
		bool	 is_possible = timeline > newest && timeline <= LINEAGE_MAX_TIMELINE && fork > 0 &&
						   fork < LINEAGE_NO_END && fork >= begin;

		CHECK(lineage_extend(&path, timeline, fork, &path) == is_possible, "what can be a fork");
		CHECK(path.timeline == (is_possible ? timeline : newest), "the newest");
	}
	if (path.n_ancestors > 0)
		check_accepted(&path);
	check_round_trip(&path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Lineage lineage;
	uint32_t	   timeline;
	Words		   words;
	char		  *text;

	if (size == 0)
		return 0;
	if (data[0] == PATH)
	{
		Input input = {data + 1, size - 1};

		make_path(&input);
		return 0;
	}
	timeline = data[0] < FIRST_EDGE ? data[0] : edge(data[0] - FIRST_EDGE);
	/* exactly as much memory as there is text, so that reading on is seen */
	text = malloc(size - 1 > 0 ? size - 1 : 1);
	CHECK(text != NULL, "memory");
	memcpy(text, data + 1, size - 1);
	memset(&lineage, 0xA5, sizeof(lineage));
	switch (lineage_parse(&lineage, timeline, text, size - 1, &words))
	{
		case LINEAGE_GOOD:
			check_accepted(&lineage);
			check_round_trip(&lineage);
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
