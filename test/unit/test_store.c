/*
 * test/unit/test_store.c
 *	  The state file: whatever is torn, rotten, cut off or foreign, a member
 *	  never gets a record that lets it vote where it could have voted before.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../node/store.h"

static const StoreIdentity us = {UINT64_C(0x1272d3083e7ba9e4), 2};

static char	 directory[64];
static char	 path[STORE_PATH_SIZE];
static Words words;

static RaftSaved
record(uint64_t save_number)
{
	RaftSaved saved = {0};

	saved.save_number = save_number;
	saved.boot = 3;
	saved.term = 40 + save_number;
	saved.voted_for = (int32_t) (save_number % 5);
	saved.promise = 200000;
	saved.list_digest = UINT64_C(0x843537421df3c8f4);
	saved.list_size = 3;
	saved.abstaining = RAFT_VOTING;
	return saved;
}

static RaftSaved
record_of_data(uint64_t save_number)
{
	RaftSaved saved = record(save_number);

	saved.claim = 9;
	saved.promoting = 8;
	saved.system_id = UINT64_C(0x7171717171717171);
	saved.distrusted = saved.never_held = true;
	saved.list = (RaftList){.number = 5, .term = 77, .now = 0x8000000000000005, .old = 5, .digest = 99};
	saved.rebuild = RAFT_CLONING;
	saved.rebuild_source = 4;
	saved.rebuild_term = 41;
	saved.floor = (RaftPosition){.epoch = 7, .index = UINT64_C(0x1B374D848)};
	saved.n_timelines = 2;
	saved.timelines[0] = (RaftTimeline){.id = 1};
	saved.timelines[1] = (RaftTimeline){.id = 9, .created = true};
	saved.pause = 6;
	return saved;
}

static bool
same_data(const RaftSaved *a, const RaftSaved *b)
{
	for (uint32_t i = 0; i < RAFT_TIMELINES; i++)
	{
		if (a->timelines[i].id != b->timelines[i].id ||
			a->timelines[i].created != b->timelines[i].created)
			return false;
	}
	return a->claim == b->claim && a->promoting == b->promoting &&
		   a->system_id == b->system_id && a->distrusted == b->distrusted && a->never_held == b->never_held &&
		   raft_list_equals(&a->list, &b->list) && a->rebuild == b->rebuild &&
		   a->rebuild_source == b->rebuild_source && a->rebuild_term == b->rebuild_term &&
		   a->floor.epoch == b->floor.epoch && a->floor.index == b->floor.index &&
		   a->n_timelines == b->n_timelines && a->pause == b->pause;
}

static bool
same_record(const RaftSaved *a, const RaftSaved *b)
{
	if (!same_data(a, b))
		return false;
	return a->save_number == b->save_number && a->boot == b->boot &&
		   a->term == b->term && a->voted_for == b->voted_for &&
		   a->promise == b->promise && a->list_digest == b->list_digest &&
		   a->list_size == b->list_size && a->abstaining == b->abstaining;
}

static void
make_image(uint8_t *image, const RaftSaved *slot0, const RaftSaved *slot1)
{
	memset(image, 0, STORE_FILE_SIZE);
	store_encode(&us, slot0, image);
	store_encode(&us, slot1, image + STORE_SLOT_STRIDE);
}

static StoreVerdict
choose(const uint8_t *image, size_t length, RaftSaved *saved, int *slot)
{
	StoreIdentity found;

	return store_choose(image, length, &us, saved, slot, &found);
}

/* ---- pure ---- */

/* The layout is a promise to every later version. */
static void
slot_layout_never_changes(void **state)
{
	static const uint8_t expected[STORE_SLOT_SIZE - 4] = {
		'P', 'G', 'L', 'D', 'S', 'A', 'V', 'E', 0, 0, 0, 1, 0, 0, 0, 2,
		0x12, 0x72, 0xd3, 0x08, 0x3e, 0x7b, 0xa9, 0xe4,
		0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7,
		0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
		0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 3,
		0, 0, 0, 0, 0, 0x03, 0x0d, 0x40,
		0x84, 0x35, 0x37, 0x42, 0x1d, 0xf3, 0xc8, 0xf4,
		0, 0, 0, 5, 0, 0, 0, 2,
		0x71, 0x71, 0x71, 0x71, 0x71, 0x71, 0x71, 0x71,
		0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, 3,
		0, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 7,
		0, 0, 0, 1, 0xb3, 0x74, 0xd8, 0x48,
		0, 0, 0, 2, 0, 0, 0, 1, 0x80, 0, 0, 9,
		[199] = 6, [203] = 5, [204] = 0x80, [211] = 5, [219] = 5, [227] = 99, [235] = 77};
	RaftSaved saved = record_of_data(6);
	uint8_t	  slot[STORE_SLOT_SIZE];
	uint32_t  crc = UINT32_C(0xffffffff);

	(void) state;
	saved.boot = 7;
	saved.term = UINT64_C(0x0102030405060708);
	saved.voted_for = RAFT_UNKNOWN;
	saved.abstaining = RAFT_ABSTAIN_LIST;
	store_encode(&us, &saved, slot);
	assert_memory_equal(slot, expected, sizeof(expected));

	/* CRC-32C, written out. */
	for (size_t i = 0; i < sizeof(expected); i++)
	{
		crc ^= slot[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	crc = ~crc;
	for (int i = 0; i < 4; i++)
		assert_int_equal(slot[STORE_SLOT_SIZE - 4 + i], crc >> (24 - 8 * i) & 0xff);
}

static void
every_value_comes_back(void **state)
{
	RaftSaved values[4] = {record(1), record_of_data(2), {0}, {0}};

	(void) state;
	values[1].voted_for = RAFT_UNKNOWN;
	values[2].voted_for = RAFT_NONE;
	values[3].save_number = RAFT_MAX_TERM;
	values[3].boot = RAFT_MAX_TERM;
	values[3].term = RAFT_MAX_TERM;
	values[3].voted_for = RAFT_MAX_NODES - 1;
	values[3].promise = RAFT_MAX_PROMISE;
	values[3].list_digest = UINT64_MAX;
	values[3].list_size = RAFT_MAX_NODES;
	values[3].abstaining = RAFT_ABSTAIN_LAST;
	values[3].claim = RAFT_MAX_TIMELINE;
	values[3].floor = (RaftPosition){.epoch = RAFT_MAX_TIMELINE, .index = UINT64_MAX};
	values[3].n_timelines = RAFT_TIMELINES;
	values[3].pause = UINT32_MAX;
	for (uint32_t i = 0; i < RAFT_TIMELINES; i++)
		values[3].timelines[i] = (RaftTimeline){.id = RAFT_MAX_TIMELINE - i, .created = i % 2 == 0};
	for (int i = 0; i < 4; i++)
	{
		uint8_t		  slot[STORE_SLOT_SIZE];
		StoreIdentity identity;
		RaftSaved	  saved;

		store_encode(&us, &values[i], slot);
		assert_int_equal(store_decode(slot, &identity, &saved), STORE_GOOD);
		assert_true(same_record(&saved, &values[i]));
		assert_int_equal(identity.node_id, us.node_id);
		assert_true(identity.cluster_digest == us.cluster_digest);
	}
}

static void
impossible_values_are_bad_under_a_good_checksum(void **state)
{
	RaftSaved	  values[20];
	StoreIdentity identity = us;
	uint8_t		  slot[STORE_SLOT_SIZE];
	RaftSaved	  saved;

	(void) state;
	for (int i = 0; i < 20; i++)
		values[i] = i < 7 ? record(1) : record_of_data(1);
	values[0].term = RAFT_MAX_TERM + 1;
	values[1].voted_for = RAFT_MAX_NODES;
	values[2].voted_for = RAFT_UNKNOWN - 1;
	values[3].promise = RAFT_MAX_PROMISE + 1;
	values[4].list_size = RAFT_MAX_NODES + 1;
	values[5].abstaining = RAFT_ABSTAIN_LAST + 1;
	values[6].voted_for = INT32_MIN;
	values[7].claim = RAFT_MAX_TIMELINE + 1;
	values[8].promoting = values[8].claim + 1;
	values[9].rebuild = RAFT_REBUILDS;
	values[10].rebuild_source = RAFT_MAX_NODES;
	values[11].rebuild_term = RAFT_MAX_TERM + 1;
	values[12].timelines[1].id = 0;
	values[13].timelines[0].id = UINT32_C(0x80000000);
	values[14].floor.epoch = RAFT_MAX_TIMELINE + 1;
	values[15].floor.epoch = 0;
	values[16].list.term = 0;
	values[17].list.term = RAFT_MAX_TERM + 1;
	values[18].list = (RaftList){.term = 1};
	values[19].list.now = 0;
	for (int i = 0; i < 20; i++)
	{
		store_encode(&us, &values[i], slot);
		assert_int_equal(store_decode(slot, &identity, &saved), STORE_BAD);
	}
	identity.node_id = RAFT_MAX_NODES;
	store_encode(&identity, &values[0], slot);
	assert_int_equal(store_decode(slot, &identity, &saved), STORE_BAD);
	memset(slot, 0, sizeof(slot));
	assert_int_equal(store_decode(slot, &identity, &saved), STORE_BAD);
	memset(slot, 0xff, sizeof(slot));
	assert_int_equal(store_decode(slot, &identity, &saved), STORE_BAD);
}

static void
newer_record_counts(void **state)
{
	RaftSaved older = record(8);
	RaftSaved newer = record(9);
	RaftSaved saved;
	uint8_t	  image[STORE_FILE_SIZE];
	int		  slot = -1;

	(void) state;
	make_image(image, &older, &newer);
	assert_int_equal(choose(image, sizeof(image), &saved, &slot), STORE_GOOD);
	assert_int_equal(slot, 1);
	assert_true(same_record(&saved, &newer));
	make_image(image, &newer, &older);
	assert_int_equal(choose(image, sizeof(image), &saved, &slot), STORE_GOOD);
	assert_int_equal(slot, 0);
	assert_true(same_record(&saved, &newer));

	/* A new file: one record twice. */
	make_image(image, &newer, &newer);
	assert_int_equal(choose(image, sizeof(image), &saved, &slot), STORE_GOOD);
	assert_int_equal(slot, 0);

	/* Two records under one number: nobody can say which one was acted on. */
	older.save_number = newer.save_number;
	make_image(image, &older, &newer);
	assert_int_equal(choose(image, sizeof(image), &saved, &slot), STORE_BAD);
}

/*
 * After damage: as before, or one slot bad with one of the two records that were
 * there (the member then abstains), or no part taken.
 */
static void
check_damaged(const uint8_t *image, const RaftSaved *older, const RaftSaved *newer, bool in_slot)
{
	RaftSaved	 saved;
	int			 slot = -1;
	StoreVerdict verdict = choose(image, STORE_FILE_SIZE, &saved, &slot);

	if (!in_slot)
	{
		assert_int_equal(verdict, STORE_GOOD);
		assert_true(same_record(&saved, newer));
	}
	else if (verdict == STORE_ONE_SLOT_BAD)
		assert_true(same_record(&saved, slot == 0 ? older : newer));
	else
		assert_int_not_equal(verdict, STORE_GOOD);
}

static void
every_bit_and_byte_can_rot(void **state)
{
	RaftSaved older = record(8);
	RaftSaved newer = record(9);
	uint8_t	  image[STORE_FILE_SIZE];

	(void) state;
	make_image(image, &older, &newer);
	for (size_t at = 0; at < STORE_FILE_SIZE; at++)
	{
		uint8_t original = image[at];
		bool	in_slot = at % STORE_SLOT_STRIDE < STORE_SLOT_SIZE;

		for (int bit = 0; bit < 8; bit++)
		{
			image[at] = (uint8_t) (original ^ 1 << bit);
			check_damaged(image, &older, &newer, in_slot);
		}
		for (int value = 0; in_slot && value < 256; value++)
		{
			image[at] = (uint8_t) value;
			if (value != original)
				check_damaged(image, &older, &newer, true);
		}
		image[at] = original;
	}
}

/* Both slots damaged at once is never good either. */
static void
both_slots_rotten_is_unusable(void **state)
{
	RaftSaved older = record(8);
	RaftSaved newer = record(9);
	RaftSaved saved;
	uint8_t	  image[STORE_FILE_SIZE];
	int		  slot;

	(void) state;
	make_image(image, &older, &newer);
	for (size_t a = 0; a < STORE_SLOT_SIZE; a++)
	{
		for (size_t b = 0; b < STORE_SLOT_SIZE; b++)
		{
			image[a] ^= 0x10;
			image[STORE_SLOT_STRIDE + b] ^= 0x01;
			assert_int_equal(choose(image, sizeof(image), &saved, &slot), STORE_BAD);
			image[a] ^= 0x10;
			image[STORE_SLOT_STRIDE + b] ^= 0x01;
		}
	}
}

static void
every_truncation_is_the_wrong_size(void **state)
{
	RaftSaved saved = record(9);
	uint8_t	  image[STORE_FILE_SIZE + 1] = {0};
	int		  slot;

	(void) state;
	make_image(image, &saved, &saved);
	for (size_t length = 0; length <= sizeof(image); length++)
	{
		if (length != STORE_FILE_SIZE)
			assert_int_equal(choose(image, length, &saved, &slot), STORE_WRONG_SIZE);
	}
	assert_int_equal(choose(image, STORE_FILE_SIZE, &saved, &slot), STORE_GOOD);
}

/*
 * A save cut short after any number of bytes, from the front, from the back, or
 * with only one byte left out: the old record counts as before only if the file
 * is as before, the new one only if it is complete.
 */
static void
torn_save_is_never_good(void **state)
{
	(void) state;
	for (int into = 0; into < 2; into++)
	{
		RaftSaved oldest = record(0xfe);
		RaftSaved old = record(0xff);
		RaftSaved new = record(0x100);
		uint8_t before[STORE_FILE_SIZE];
		uint8_t after[STORE_FILE_SIZE];

		make_image(before, into == 0 ? &oldest : &old, into == 0 ? &old : &oldest);
		make_image(after, into == 0 ? &new : &old, into == 0 ? &old : &new);
		for (int how = 0; how < 3; how++)
		{
			for (size_t k = 0; k <= STORE_SLOT_SIZE; k++)
			{
				size_t		 start = (size_t) into * STORE_SLOT_STRIDE;
				uint8_t		 image[STORE_FILE_SIZE];
				RaftSaved	 saved;
				int			 slot = -1;
				StoreVerdict verdict;

				memcpy(image, before, sizeof(image));
				for (size_t i = 0; i < STORE_SLOT_SIZE; i++)
				{
					if (how == 0 ? i < k : how == 1 ? i >= k :
													  i != k)
						image[start + i] = after[start + i];
				}
				verdict = choose(image, sizeof(image), &saved, &slot);
				if (memcmp(image, before, sizeof(image)) == 0)
				{
					assert_int_equal(verdict, STORE_GOOD);
					assert_true(same_record(&saved, &old));
				}
				else if (memcmp(image, after, sizeof(image)) == 0)
				{
					assert_int_equal(verdict, STORE_GOOD);
					assert_true(same_record(&saved, &new));
				}
				else
				{
					assert_int_equal(verdict, STORE_ONE_SLOT_BAD);
					assert_true(same_record(&saved, &old));
					assert_int_equal(slot, 1 - into);
				}
			}
		}
	}
}

static void
foreign_files_are_told_apart(void **state)
{
	RaftSaved	  saved = record(9);
	StoreIdentity other_node = {us.cluster_digest, 3};
	StoreIdentity other_cluster = {us.cluster_digest + 1, 2};
	StoreIdentity found;
	uint8_t		  image[STORE_FILE_SIZE];
	int			  slot;

	(void) state;
	make_image(image, &saved, &saved);
	assert_int_equal(store_choose(image, sizeof(image), &other_node, &saved, &slot, &found),
					 STORE_OTHER_NODE);
	assert_int_equal(found.node_id, 2);
	assert_int_equal(store_choose(image, sizeof(image), &other_cluster, &saved, &slot, &found),
					 STORE_OTHER_CLUSTER);
	assert_true(found.cluster_digest == us.cluster_digest);

	/* One slot is enough to refuse, also if the other one is bad. */
	store_encode(&other_node, &saved, image + STORE_SLOT_STRIDE);
	assert_int_equal(choose(image, sizeof(image), &saved, &slot), STORE_OTHER_NODE);
	image[0] ^= 1;
	assert_int_equal(choose(image, sizeof(image), &saved, &slot), STORE_OTHER_NODE);
}

static void
first_record_rises_to_what_is_known(void **state)
{
	StoreEvidence evidence = {0};
	RaftSaved	  first = record(1);

	(void) state;
	first.term = 0;
	first.voted_for = RAFT_UNKNOWN;
	first.boot = 1000;
	store_heed_evidence(&first, &evidence);
	assert_true(first.term == 0 && first.boot == 1000);
	evidence.term = 5;
	evidence.boot = 999;
	store_heed_evidence(&first, &evidence);
	assert_true(first.term == 5 && first.boot == 1000);

	/* the wall clock is behind that of an earlier start; and no vote is made up */
	evidence.boot = 1000;
	first.term = 4;
	first.voted_for = 2;
	store_heed_evidence(&first, &evidence);
	assert_true(first.term == 5 && first.boot == 1001);
	assert_int_equal(first.voted_for, RAFT_UNKNOWN);

	/* what is known and lower changes nothing */
	first.term = 6;
	first.voted_for = 2;
	store_heed_evidence(&first, &evidence);
	assert_true(first.term == 6 && first.voted_for == 2 && first.boot == 1001);
	evidence.boot = RAFT_MAX_TERM;
	store_heed_evidence(&first, &evidence);
	assert_true(first.boot == 1001);
}

/* ---- files ---- */

static void
write_file(const char *name, const void *data, size_t size)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static StoreOpen
open_store(Store *store, RaftSaved *saved)
{
	return store_open(store, directory, &us, saved, &words);
}

static void
create_store(Store *store, uint64_t save_number)
{
	RaftSaved first = record(save_number);

	if (!store_create(store, directory, &us, &first, &words))
		fail_msg("%s", words.error);
}

static void
assert_refused(const char *fragment)
{
	Store	  store;
	RaftSaved saved;

	assert_int_equal(open_store(&store, &saved), STORE_FAILED);
	if (strstr(words.error, fragment) == NULL || words.hint[0] == '\0')
		fail_msg("\"%s\" is not in \"%s\" / \"%s\"", fragment, &words);
	assert_true(store.fd < 0);
	store_close(&store);
}

static int
set_up(void **state)
{
	(void) state;
	strcpy(directory, "/tmp/test_store.XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	return store_path(directory, us.node_id, path, sizeof(path)) ? 0 : -1;
}

static int
tear_down(void **state)
{
	char command[128];

	(void) state;
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	return system(command);
}

static void
create_save_and_open(void **state)
{
	Store		store;
	RaftSaved	saved;
	struct stat status;

	(void) state;
	assert_int_equal(open_store(&store, &saved), STORE_MISSING);
	create_store(&store, 1);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, STORE_FILE_SIZE);
	assert_int_equal(status.st_mode & 07777, 0600);
	for (uint64_t i = 2; i < 20; i++)
	{
		RaftSaved next = record(i);

		assert_true(store_save(&store, &next, &words));
		if (i % 3 != 0)
			continue;
		store_close(&store);
		assert_int_equal(open_store(&store, &saved), STORE_OPENED);
		assert_true(same_record(&saved, &next));
		assert_false(store.damaged);
	}
	store_close(&store);
	store_close(&store);
	assert_int_equal(open_store(&store, &saved), STORE_OPENED);
	assert_int_equal(saved.save_number, 19);
	store_close(&store);
}

/* Also when the file is torn on disk, and then goes on. */
static void
save_goes_to_the_slot_that_is_older_or_bad(void **state)
{
	(void) state;
	for (int bad = 0; bad < 2; bad++)
	{
		RaftSaved older = record(8);
		RaftSaved newer = record(9);
		RaftSaved next = record(10);
		RaftSaved saved;
		uint8_t	  image[STORE_FILE_SIZE];
		Store	  store;

		make_image(image, bad == 0 ? &newer : &older, bad == 0 ? &older : &newer);
		image[bad * STORE_SLOT_STRIDE + 50] ^= 4;
		write_file(path, image, sizeof(image));
		assert_int_equal(open_store(&store, &saved), STORE_OPENED);
		assert_true(store.damaged);
		assert_true(same_record(&saved, &older));
		assert_int_equal(store.next_slot, bad);
		assert_true(store_save(&store, &next, &words));
		store_close(&store);
		assert_int_equal(open_store(&store, &saved), STORE_OPENED);
		assert_false(store.damaged);
		assert_true(same_record(&saved, &next));
		assert_int_equal(store.next_slot, 1 - bad);
		store_close(&store);
	}
}

static void
save_numbers_must_rise(void **state)
{
	Store	  store;
	RaftSaved saved;

	(void) state;
	create_store(&store, 5);
	saved = record(5);
	assert_false(store_save(&store, &saved, &words));
	assert_non_null(strstr(words.error, "does not follow"));
	saved = record(6);
	assert_false(store_save(&store, &saved, &words));
	assert_non_null(strstr(words.error, "is not open"));
	assert_int_equal(open_store(&store, &saved), STORE_OPENED);
	assert_int_equal(saved.save_number, 5);
	saved = record(6);
	saved.voted_for = 64;
	assert_false(store_save(&store, &saved, &words));
	assert_non_null(strstr(words.error, "impossible"));
	assert_int_equal(open_store(&store, &saved), STORE_OPENED);
	assert_int_equal(saved.save_number, 5);
	store_close(&store);
}

static void
creation_never_overwrites(void **state)
{
	Store	  store;
	RaftSaved first = record(1);
	RaftSaved saved;

	(void) state;
	create_store(&store, 7);
	store_close(&store);
	assert_false(store_create(&store, directory, &us, &first, &words));
	assert_non_null(strstr(words.error, "exists already"));
	assert_int_equal(open_store(&store, &saved), STORE_OPENED);
	assert_int_equal(saved.save_number, 7);
	store_close(&store);

	/* Whatever it is. */
	write_file(path, "x", 1);
	assert_false(store_create(&store, directory, &us, &first, &words));
	assert_non_null(strstr(words.error, "exists already"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/nonexistent", path), 0);
	assert_false(store_create(&store, directory, &us, &first, &words));
	assert_non_null(strstr(words.error, "exists already"));
}

static void
leftovers_of_a_crash_do_not_matter(void **state)
{
	char	  temporary[STORE_PATH_SIZE + 8];
	Store	  store;
	RaftSaved saved;

	(void) state;
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	write_file(temporary, "half a file", 11);
	assert_int_equal(open_store(&store, &saved), STORE_MISSING);
	create_store(&store, 1);
	store_close(&store);
	assert_int_equal(access(temporary, F_OK), -1);
	assert_int_equal(open_store(&store, &saved), STORE_OPENED);
	store_close(&store);
}

static void
lock_keeps_a_second_process_out(void **state)
{
	Store	  store;
	Store	  second;
	RaftSaved saved;

	(void) state;
	create_store(&store, 1);
	assert_refused("another process uses the state file");
	store_close(&store);
	assert_int_equal(open_store(&store, &saved), STORE_OPENED);
	assert_int_equal(open_store(&second, &saved), STORE_FAILED);
	store_close(&store);
	assert_int_equal(open_store(&second, &saved), STORE_OPENED);
	store_close(&second);
}

static void
missing_directory_is_made(void **state)
{
	char		below[128];
	char		deeper[160];
	Store		store;
	RaftSaved	first = record(1);
	RaftSaved	saved;
	struct stat status;

	(void) state;
	snprintf(below, sizeof(below), "%s/state/", directory);
	snprintf(deeper, sizeof(deeper), "%s/deep/er", directory);
	assert_int_equal(store_open(&store, below, &us, &saved, &words), STORE_MISSING);
	assert_true(store_create(&store, below, &us, &first, &words));
	store_close(&store);
	assert_int_equal(stat(below, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_int_equal(store_open(&store, below, &us, &saved, &words), STORE_OPENED);
	store_close(&store);

	/* Only one directory is made. */
	assert_int_equal(store_open(&store, deeper, &us, &saved, &words), STORE_FAILED);
	assert_non_null(strstr(words.error, "does not exist"));
	assert_false(store_create(&store, deeper, &us, &first, &words));
	assert_non_null(strstr(words.error, "could not create the directory"));
	assert_non_null(strstr(words.hint, "pg_leader.state_directory"));
}

static void
what_is_no_state_file_is_refused(void **state)
{
	static const uint8_t zero[STORE_FILE_SIZE + 1];
	char				 below[128];
	RaftSaved			 saved = record(9);
	uint8_t				 image[STORE_FILE_SIZE];
	StoreIdentity		 other = us;
	Store				 store;

	(void) state;
	write_file(path, zero, 0);
	assert_refused("has 0 bytes instead of 8192");
	write_file(path, zero, STORE_FILE_SIZE - 1);
	assert_refused("has 8191 bytes");
	write_file(path, zero, STORE_FILE_SIZE + 1);
	assert_refused("has at least 8193 bytes");
	write_file(path, zero, STORE_FILE_SIZE);
	assert_refused("both of its records are invalid");
	make_image(image, &saved, &saved);
	write_file(path, image, sizeof(image));
	other.node_id = 3;
	store_encode(&other, &saved, image);
	write_file(path, image, sizeof(image));
	assert_refused("belongs to node 3, and this is node 2");
	other = us;
	other.cluster_digest++;
	store_encode(&other, &saved, image);
	write_file(path, image, sizeof(image));
	assert_refused("belongs to another cluster");

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_refused("could not open the state file");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused("is not a regular file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_refused("is a symbolic link");

	/* A file where the directory should be. */
	snprintf(below, sizeof(below), "%s/file", directory);
	write_file(below, "x", 1);
	assert_int_equal(store_open(&store, below, &us, &saved, &words), STORE_FAILED);
	assert_non_null(strstr(words.error, "Not a directory"));
	saved = record(1);
	assert_false(store_create(&store, below, &us, &saved, &words));
	assert_non_null(strstr(words.error, "could not create the directory"));
	assert_int_equal(store_open(&store, "", &us, &saved, &words), STORE_FAILED);
	assert_non_null(strstr(words.error, "is empty"));
	{
		char endless[STORE_PATH_SIZE + 1];

		memset(endless, 'x', sizeof(endless));
		endless[sizeof(endless) - 1] = '\0';
		assert_int_equal(store_open(&store, endless, &us, &saved, &words), STORE_FAILED);
		assert_non_null(strstr(words.error, "too long"));
	}
}

/* A format that this version does not know, under a good checksum. */
static void
other_format_is_refused(void **state)
{
	RaftSaved saved = record(9);
	uint8_t	  image[STORE_FILE_SIZE];
	uint32_t  crc = UINT32_C(0xffffffff);

	(void) state;
	make_image(image, &saved, &saved);
	image[11] = STORE_FORMAT + 1;
	for (size_t i = 0; i < STORE_SLOT_SIZE - 4; i++)
	{
		crc ^= image[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	crc = ~crc;
	for (int i = 0; i < 4; i++)
		image[STORE_SLOT_SIZE - 4 + i] = (uint8_t) (crc >> (24 - 8 * i));
	write_file(path, image, sizeof(image));
	assert_refused("another version of pg_leader");
}

/* ---- files that others may write to, and files that are taken away ---- */

static bool
may_trust(uid_t owner, mode_t mode, uid_t user)
{
	struct stat file = {.st_uid = owner, .st_mode = S_IFREG | mode};
	bool		may = store_may_trust(&file, user, &words);

	assert_int_equal(may, words.error[0] == '\0');
	return may;
}

static void
only_its_owner_and_root_may_write(void **state)
{
	(void) state;
	assert_true(may_trust(26, 0600, 26));
	assert_true(may_trust(26, 0644, 26));
	assert_true(may_trust(0, 0644, 26));
	assert_true(may_trust(26, 0700, 0)); /* pg_leader_state, run by root */
	assert_false(may_trust(27, 0600, 26));
	assert_non_null(strstr(words.error, "belongs neither"));
	assert_false(may_trust(26, 0620, 26));
	assert_non_null(strstr(words.error, "its permissions are 0620"));
	assert_false(may_trust(26, 0602, 26));
	assert_false(may_trust(0, 0666, 26));
	assert_false(may_trust(0, 01777, 0)); /* a sticky bit keeps nobody from making a file first */
}

static void
what_others_may_write_to_is_refused(void **state)
{
	Store	  store;
	RaftSaved first = record(1);

	(void) state;
	assert_int_equal(chmod(directory, 0777), 0);
	assert_false(store_create(&store, directory, &us, &first, &words));
	assert_non_null(strstr(words.error, "its permissions are 0777"));
	assert_non_null(strstr(words.hint, "chmod go-w"));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(chmod(directory, 0755), 0);
	create_store(&store, 1);
	store_close(&store);
	assert_int_equal(chmod(path, 0666), 0);
	assert_refused("can be written to by others: its permissions are 0666");
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chmod(directory, 0720), 0);
	assert_refused("can be written to by others: its permissions are 0720");
	assert_int_equal(chmod(directory, 0700), 0);
}

typedef enum TakenAway
{
	MOVED,
	REPLACED, /* by a copy of itself */
	WITH_ITS_DIRECTORY,
	WAYS
} TakenAway;

static void
take_away(TakenAway how)
{
	char	aside[STORE_PATH_SIZE + 8];
	uint8_t image[STORE_FILE_SIZE + 1];
	size_t	length;

	(void) snprintf(aside, sizeof(aside), "%s.aside", how == WITH_ITS_DIRECTORY ? directory : path);
	assert_true(store_read(path, image, &length, &words));
	assert_int_equal(rename(how == WITH_ITS_DIRECTORY ? directory : path, aside), 0);
	if (how == REPLACED)
		write_file(path, image, length);
	else if (how == WITH_ITS_DIRECTORY)
		assert_int_equal(mkdir(directory, 0700), 0);
}

static void
save_into_a_file_that_was_taken_away_fails(void **state)
{
	(void) state;
	for (TakenAway how = 0; how < WAYS; how++)
	{
		RaftSaved next = record(3);
		RaftSaved saved;
		Store	  store;
		char	  command[128];

		create_store(&store, 2);
		assert_int_equal(store_look(path, store.device, store.inode, &words), STORE_SOUND);
		assert_string_equal(words.error, "");
		take_away(how);
		assert_int_equal(store_look(path, store.device, store.inode, &words), STORE_GONE);
		assert_non_null(strstr(words.hint, "move it back"));
		assert_false(store_save(&store, &next, &words));
		assert_non_null(strstr(words.error, "was removed, or replaced"));
		assert_int_equal(store.save_number, 2);
		assert_true(store.fd < 0);

		/* it goes on from what is there now */
		assert_int_equal(open_store(&store, &saved), how == REPLACED ? STORE_OPENED : STORE_MISSING);
		store_close(&store);
		(void) unlink(path);
		(void) snprintf(command, sizeof(command), "rm -rf '%s.aside'", directory);
		assert_int_equal(system(command), 0);
	}
}

static void
one_that_was_opened_to_others_is_seen(void **state)
{
	RaftSaved next = record(2);
	Store	  store;

	(void) state;
	create_store(&store, 1);
	assert_int_equal(chmod(path, 0606), 0);
	assert_int_equal(store_look(path, store.device, store.inode, &words), STORE_OPEN_TO_OTHERS);
	assert_non_null(strstr(words.error, "the state file"));
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chmod(directory, 0770), 0);
	assert_int_equal(store_look(path, store.device, store.inode, &words), STORE_OPEN_TO_OTHERS);
	assert_non_null(strstr(words.error, "the state directory"));

	/* what it holds is right all the same */
	assert_true(store_save(&store, &next, &words));
	store_close(&store);
}

static void
limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The save that was cut short costs its slot; the one before still counts. */
static void
full_disk_costs_a_slot_and_no_vote(void **state)
{
	RaftSaved saved;
	RaftSaved next = record(2);
	Store	  store;

	(void) state;
	create_store(&store, 1);
	limit_file_size(STORE_SLOT_STRIDE + 60);
	assert_false(store_save(&store, &next, &words));
	limit_file_size(RLIM_INFINITY);
	assert_non_null(strstr(words.error, "could not write to the state file"));

	/* Nothing more is written by a store that failed. */
	next = record(3);
	assert_false(store_save(&store, &next, &words));
	assert_non_null(strstr(words.error, "is not open"));
	assert_int_equal(open_store(&store, &saved), STORE_OPENED);
	assert_int_equal(saved.save_number, 1);
	assert_true(store.damaged);
	store_close(&store);
}

static void
full_disk_leaves_no_new_file(void **state)
{
	char	  temporary[STORE_PATH_SIZE + 8];
	RaftSaved first = record(1);
	RaftSaved saved;
	Store	  store;

	(void) state;
	limit_file_size(5000);
	assert_false(store_create(&store, directory, &us, &first, &words));
	limit_file_size(RLIM_INFINITY);
	assert_non_null(strstr(words.error, "could not write to the file"));
	assert_non_null(strstr(words.hint, "space"));
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	assert_int_equal(access(temporary, F_OK), -1);
	assert_int_equal(open_store(&store, &saved), STORE_MISSING);
	create_store(&store, 1);
	store_close(&store);
}

/* Killed between any two saves: what was acknowledged is there. */
static void
acknowledged_saves_survive_sigkill(void **state)
{
	Store store;

	(void) state;
	create_store(&store, 1);
	store_close(&store);
	for (int round = 0; round < 5; round++)
	{
		RaftSaved saved;
		uint64_t  acknowledged = 0;
		uint64_t  number;
		int		  pipes[2];
		pid_t	  child;

		assert_int_equal(pipe(pipes), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
		{
			if (open_store(&store, &saved) != STORE_OPENED)
				_exit(1);
			for (number = saved.save_number + 1;; number++)
			{
				RaftSaved next = record(number);

				if (!store_save(&store, &next, &words) ||
					write(pipes[1], &number, sizeof(number)) != sizeof(number))
					_exit(1);
			}
		}
		close(pipes[1]);
		for (int i = 0; i < 20 + round; i++)
			assert_int_equal(read(pipes[0], &acknowledged, sizeof(acknowledged)),
							 sizeof(acknowledged));
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		while (read(pipes[0], &number, sizeof(number)) == sizeof(number))
			acknowledged = number;
		close(pipes[0]);
		assert_int_equal(open_store(&store, &saved), STORE_OPENED);
		assert_true(saved.save_number >= acknowledged);
		assert_int_equal(saved.term, 40 + saved.save_number);
		store_close(&store);
	}
}

static void
reading_takes_no_lock(void **state)
{
	uint8_t	  image[STORE_FILE_SIZE + 1];
	RaftSaved saved;
	Store	  store;
	size_t	  length;
	int		  slot;

	(void) state;
	assert_false(store_read(path, image, &length, &words));
	assert_non_null(strstr(words.error, "could not open the file"));
	create_store(&store, 1);
	assert_true(store_read(path, image, &length, &words));
	assert_int_equal(length, STORE_FILE_SIZE);
	assert_int_equal(choose(image, length, &saved, &slot), STORE_GOOD);
	store_close(&store);
	assert_false(store_read(directory, image, &length, &words));
}

int
main(void)
{
#define file_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slot_layout_never_changes),
		cmocka_unit_test(every_value_comes_back),
		cmocka_unit_test(impossible_values_are_bad_under_a_good_checksum),
		cmocka_unit_test(newer_record_counts),
		cmocka_unit_test(every_bit_and_byte_can_rot),
		cmocka_unit_test(both_slots_rotten_is_unusable),
		cmocka_unit_test(every_truncation_is_the_wrong_size),
		cmocka_unit_test(torn_save_is_never_good),
		cmocka_unit_test(foreign_files_are_told_apart),
		cmocka_unit_test(first_record_rises_to_what_is_known),
		file_test(create_save_and_open),
		file_test(save_goes_to_the_slot_that_is_older_or_bad),
		file_test(save_numbers_must_rise),
		file_test(creation_never_overwrites),
		file_test(leftovers_of_a_crash_do_not_matter),
		file_test(lock_keeps_a_second_process_out),
		file_test(missing_directory_is_made),
		file_test(what_is_no_state_file_is_refused),
		file_test(other_format_is_refused),
		cmocka_unit_test(only_its_owner_and_root_may_write),
		file_test(what_others_may_write_to_is_refused),
		file_test(save_into_a_file_that_was_taken_away_fails),
		file_test(one_that_was_opened_to_others_is_seen),
		file_test(full_disk_costs_a_slot_and_no_vote),
		file_test(full_disk_leaves_no_new_file),
		file_test(acknowledged_saves_survive_sigkill),
		file_test(reading_takes_no_lock),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
