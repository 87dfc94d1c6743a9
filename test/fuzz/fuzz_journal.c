/*
 * test/fuzz/fuzz_journal.c
 *	  Fuzz target: any bytes as a journal of events, into journal_scan().
 *
 * Input: a byte of options, and then records: a byte of options, two for the place
 * in the file, and the record's bytes.  A record's option can put a right checksum
 * under it, and make its number fit its place: else nothing that a fuzzer invents
 * would ever be read.
 *
 * What is found good encodes to the very bytes of its record, stands in its place,
 * is in order and can be printed; all others are counted as bad.
 */
#include "c.h"
#include "port/pg_crc32c.h"

#include <string.h>

#include "../../node/journal.h"
#include "fuzz.h"

#define SHORT_FILE 0x01
#define LONG_FILE  0x02
#define ANYBODYS   0x04 /* whose file it is, is not asked */
#define SEAL	   0x01 /* of a record: a right checksum */
#define IN_PLACE   0x02 /* its number is one of this place */

static const StoreIdentity identity = {FUZZ_CLUSTER, FUZZ_NODE};

static uint8_t		image[JOURNAL_FILE_SIZE + 1];
static JournalEvent events[JOURNAL_EVENTS];

static void
seal(uint8_t *record)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, record, JOURNAL_RECORD_SIZE - 4);
	FIN_CRC32C(crc);
	for (int i = 0; i < 4; i++)
		record[JOURNAL_RECORD_SIZE - 4 + i] = (uint8_t) (crc >> (24 - 8 * i));
}

static void
make_record(Input *input)
{
	uint8_t	 options = next_byte(input);
	int		 place = next_byte(input) << 8;
	uint8_t *record;

	place = (place | next_byte(input)) % JOURNAL_EVENTS;
	record = image + (size_t) place * JOURNAL_RECORD_SIZE;
	for (int i = 0; i < JOURNAL_RECORD_SIZE; i++)
		record[i] = next_byte(input);
	if (options & IN_PLACE)
	{
		record[30] = (uint8_t) ((record[30] & 0xfe) | (place + 1) >> 8);
		record[31] = (uint8_t) (place + 1);
	}
	if (options & SEAL)
		seal(record);
}

static void
check_events(const StoreIdentity *owner, int n_events)
{
	uint8_t again[JOURNAL_RECORD_SIZE];

	for (int i = 0; i < n_events; i++)
	{
		const JournalEvent *e = &events[i];

		CHECK(e->number > 0 && e->number <= RAFT_MAX_TERM, "number");
		CHECK(i == 0 || e->number > events[i - 1].number, "in order");
		CHECK(events[n_events - 1].number - e->number < JOURNAL_EVENTS, "of the last round");
		CHECK(e->leader_id >= RAFT_NONE && e->leader_id < RAFT_MAX_NODES, "leader");
		CHECK(e->role >= RAFT_FOLLOWER && e->role <= RAFT_LEADER, "role");
		CHECK(memchr(e->reason, 0, JOURNAL_REASON_SIZE) != NULL, "words end");
		for (const char *c = e->reason; *c != '\0'; c++)
			CHECK(*c >= ' ' && *c <= '~', "words can be printed");
		journal_encode(owner, e, again);
		CHECK(memcmp(again, image + (e->number - 1) % JOURNAL_EVENTS * JOURNAL_RECORD_SIZE, JOURNAL_RECORD_SIZE) == 0,
			  "encodes to the same bytes, in its place");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		   input = {data, size};
	uint8_t		   options = next_byte(&input);
	size_t		   length = JOURNAL_FILE_SIZE;
	StoreIdentity  found = {0};
	JournalVerdict verdict;
	int			   n_events = -1;
	int			   n_bad = -1;

	memset(image, 0, sizeof(image));
	while (input.size > 0)
		make_record(&input);
	if (options & SHORT_FILE)
		length -= 1 + size % 1000;
	else if (options & LONG_FILE)
		length++;
	verdict = journal_scan(image, length, options & ANYBODYS ? NULL : &identity, events, &n_events,
						   &n_bad, &found);

	CHECK(strcmp(journal_verdict_name(verdict), "unknown") != 0, "a known verdict");
	CHECK((verdict == JOURNAL_WRONG_SIZE) == (length != JOURNAL_FILE_SIZE), "size");
	CHECK(n_events >= 0 && n_events <= JOURNAL_EVENTS && n_bad >= 0, "counts");
	if (verdict == JOURNAL_EMPTY)
		CHECK(n_events == 0 && n_bad == 0, "nothing is there");
	if (verdict == JOURNAL_BAD)
		CHECK(n_events == 0 && n_bad > 0, "nothing that counts");
	if (verdict == JOURNAL_GOOD || verdict == JOURNAL_TORN)
	{
		CHECK(n_events > 0 && (n_bad > 0) == (verdict == JOURNAL_TORN), "some count");
		check_events(options & ANYBODYS ? &found : &identity, n_events);
	}
	if (verdict == JOURNAL_OTHER_NODE && !(options & ANYBODYS))
		CHECK(found.cluster_digest == FUZZ_CLUSTER && found.node_id != FUZZ_NODE, "whose it is");
	return 0;
}
