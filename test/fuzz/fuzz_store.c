/*
 * test/fuzz/fuzz_store.c
 *	  Fuzz target: any bytes as a state file, into store_choose().
 *
 * Input: a byte of options, two slots, and what may lie between and behind them.
 * The options can put a right checksum under a slot, else nothing that a fuzzer
 * invents would ever get past it.
 *
 * What is found good encodes to the very bytes of its slot, is the newer record,
 * and lets a member start; a slot is called bad only if it is.
 */
#include "c.h"
#include "port/pg_crc32c.h"

#include <string.h>

#include "../../node/store.h"
#include "fuzz.h"

#define SEAL_FIRST	 0x01 /* put a right checksum under the first slot */
#define SEAL_SECOND	 0x02 /* and under the second */
#define SAME_TWICE	 0x04 /* the second slot is a copy of the first */
#define FILL_BETWEEN 0x08 /* bytes outside the slots are not zero */
#define SHORT_FILE	 0x10
#define LONG_FILE	 0x20
#define RAW			 0x40 /* the rest of the input is the file */

static const StoreIdentity identity = {FUZZ_CLUSTER, FUZZ_NODE};

static uint8_t image[STORE_FILE_SIZE + 1];

static void
seal(uint8_t *slot)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, slot, STORE_SLOT_SIZE - 4);
	FIN_CRC32C(crc);
	for (int i = 0; i < 4; i++)
		slot[STORE_SLOT_SIZE - 4 + i] = (uint8_t) (crc >> (24 - 8 * i));
}

/* Lay the file out as the input says; returns its length. */
static size_t
make_file(Input *input)
{
	uint8_t	 options = next_byte(input);
	uint8_t *second = image + STORE_SLOT_STRIDE;

	memset(image, options & FILL_BETWEEN ? 0xA5 : 0, sizeof(image));
	if (options & RAW)
	{
		size_t length = input->size < sizeof(image) ? input->size : sizeof(image);

		memcpy(image, input->data, length);
		return length;
	}
	for (int i = 0; i < STORE_SLOT_SIZE; i++)
		image[i] = next_byte(input);
	for (int i = 0; i < STORE_SLOT_SIZE; i++)
		second[i] = next_byte(input);
	if (options & SAME_TWICE)
		memcpy(second, image, STORE_SLOT_SIZE);
	if (options & SEAL_FIRST)
		seal(image);
	if (options & SEAL_SECOND)
		seal(second);
	if (options & SHORT_FILE)
		return STORE_FILE_SIZE - 1 - input->size % STORE_FILE_SIZE;
	return options & LONG_FILE ? STORE_FILE_SIZE + 1 : STORE_FILE_SIZE;
}

/* A member must be able to start from what was found good. */
static void
check_start(const RaftSaved *saved, bool damaged)
{
	RaftConfig config = {.node_id = FUZZ_NODE,
						 .members = 7,
						 .wanted = 7,
						 .list_digest = FUZZ_LIST,
						 .list_size = 3,
						 .may_lead = true,
						 .timeouts = {200000, 400000, 50000, 100000}};
	RaftSaved  first;
	RaftOutput out;
	Raft	   raft;

	CHECK(saved->term <= RAFT_MAX_TERM && saved->promise <= RAFT_MAX_PROMISE, "M: term, promise");
	CHECK(saved->voted_for >= RAFT_UNKNOWN && saved->voted_for < RAFT_MAX_NODES, "vote");
	CHECK(saved->abstaining <= RAFT_ABSTAIN_LAST, "abstaining");
	raft_first_record(saved, damaged, &config, &first);
	CHECK(first.term == saved->term && first.voted_for == saved->voted_for, "V: kept at the start");
	CHECK(first.boot > saved->boot && first.save_number > saved->save_number, "counters rise");
	CHECK(!damaged || first.abstaining != RAFT_VOTING, "a damaged store abstains");
	raft_init(&raft, &config, &first, 1000000);
	CHECK(raft_promise_until(&raft) >= 1000000 + saved->promise, "X: withholds");
	raft_tick(&raft, 1000000, &out);
}

static void
check_chosen(StoreVerdict verdict, const RaftSaved *saved, int slot)
{
	RaftSaved	  record[2] = {0};
	StoreIdentity owner[2];
	StoreVerdict  of[2];
	uint8_t		  again[STORE_SLOT_SIZE];

	CHECK(slot == 0 || slot == 1, "slot");
	for (int i = 0; i < 2; i++)
	{
		of[i] = store_decode(image + (size_t) i * STORE_SLOT_STRIDE, &owner[i], &record[i]);
		if (of[i] == STORE_GOOD)
			CHECK(owner[i].node_id == FUZZ_NODE && owner[i].cluster_digest == FUZZ_CLUSTER,
				  "its own");
	}
	CHECK(of[slot] == STORE_GOOD, "the slot that counts is good");
	CHECK((of[1 - slot] == STORE_GOOD) == (verdict == STORE_GOOD), "the other slot");
	CHECK(of[1 - slot] != STORE_GOOD || saved->save_number >= record[1 - slot].save_number,
		  "the newer record counts");
	store_encode(&identity, saved, again);
	CHECK(memcmp(again, image + (size_t) slot * STORE_SLOT_STRIDE, STORE_SLOT_SIZE) == 0,
		  "encodes to the same bytes");
	check_start(saved, verdict == STORE_ONE_SLOT_BAD);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		  input = {data, size};
	size_t		  length = make_file(&input);
	uint8_t		 *exact = malloc(length > 0 ? length : 1); /* so that reading past it shows */
	RaftSaved	  saved;
	StoreIdentity found = {0};
	int			  slot = -1;
	StoreVerdict  verdict;

	CHECK(exact != NULL, "memory");
	memcpy(exact, image, length);
	memset(&saved, 0xA5, sizeof(saved));
	verdict = store_choose(exact, length, &identity, &saved, &slot, &found);
	free(exact);

	CHECK(strcmp(store_verdict_name(verdict), "unknown") != 0, "a known verdict");
	CHECK((verdict == STORE_WRONG_SIZE) == (length != STORE_FILE_SIZE), "size");
	if (verdict == STORE_GOOD || verdict == STORE_ONE_SLOT_BAD)
		check_chosen(verdict, &saved, slot);
	if (verdict == STORE_OTHER_CLUSTER)
		CHECK(found.cluster_digest != FUZZ_CLUSTER, "whose it is");
	if (verdict == STORE_OTHER_NODE)
		CHECK(found.cluster_digest == FUZZ_CLUSTER && found.node_id != FUZZ_NODE, "whose it is");
	return 0;
}
