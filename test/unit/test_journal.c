/*
 * test/unit/test_journal.c
 *	  The journal of events: what is torn, rotten, foreign or old is never shown
 *	  as an event, never in the way, and never lost without a word.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../node/journal.h"

static const StoreIdentity us = {UINT64_C(0x1272d3083e7ba9e4), 2};

static char			directory[64];
static char			path[STORE_PATH_SIZE];
static char			aside[STORE_PATH_SIZE + 8];
static Words		words;
static uint8_t		image[JOURNAL_FILE_SIZE + 1];
static JournalEvent events[JOURNAL_EVENTS];
static int			n_events;
static int			n_bad;

static JournalEvent
event(uint64_t number)
{
	JournalEvent e = {0};

	e.number = number;
	e.at = INT64_C(1792000000000000) + (int64_t) number;
	e.boot = 3;
	memset(e.boot_id, 0xB1, sizeof(e.boot_id));
	e.boot_time = 1000 * number;
	e.term = number / 2;
	e.role = (RaftRole) (number % 4);
	e.leader_id = number % 5 == 0 ? RAFT_NONE : (int32_t) (number % 5);
	(void) snprintf(e.reason, sizeof(e.reason), "no heartbeat from node 2 for %d ms", (int) number);
	return e;
}

static bool
same_event(const JournalEvent *a, const JournalEvent *b)
{
	return a->number == b->number && a->at == b->at && a->boot == b->boot &&
		   memcmp(a->boot_id, b->boot_id, JOURNAL_BOOT_ID) == 0 &&
		   a->boot_time == b->boot_time && a->lease_start == b->lease_start &&
		   a->lease_end == b->lease_end && a->term == b->term && a->role == b->role &&
		   a->leader_id == b->leader_id && strcmp(a->reason, b->reason) == 0;
}

static uint8_t *
record_of(uint64_t number)
{
	return image + (number - 1) % JOURNAL_EVENTS * JOURNAL_RECORD_SIZE;
}

/* An image with the events from first to last. */
static void
fill_image(uint64_t first, uint64_t last)
{
	memset(image, 0, sizeof(image));
	for (uint64_t number = first; number <= last; number++)
	{
		JournalEvent e = event(number);

		journal_encode(&us, &e, record_of(number));
	}
}

static JournalVerdict
scan(void)
{
	StoreIdentity found;

	return journal_scan(image, JOURNAL_FILE_SIZE, &us, events, &n_events, &n_bad, &found);
}

/* What was read are exactly these, in order. */
static void
assert_events(uint64_t first, uint64_t last)
{
	assert_int_equal(n_events, last - first + 1);
	for (int i = 0; i < n_events; i++)
	{
		JournalEvent e = event(first + (uint64_t) i);

		assert_true(same_event(&events[i], &e));
	}
}

/* ---- pure ---- */

/* The layout is a promise to every later version. */
static void
record_layout_never_changes(void **state)
{
	static const uint8_t expected[113] = {
		'P', 'G', 'L', 'D', 'E', 'V', 'N', 'T', 0, 0, 0, 1, 0, 0, 0, 2,
		0x12, 0x72, 0xd3, 0x08, 0x3e, 0x7b, 0xa9, 0xe4,
		0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7,
		0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9,
		0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 11,
		0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
		0xB1, 0xB1, 0xB1, 0xB1, 0xB1, 0xB1, 0xB1, 0xB1,
		0xB1, 0xB1, 0xB1, 0xB1, 0xB1, 0xB1, 0xB1, 0xB1,
		3, 255, 'v', 'o', 't', 'e', 'd', ' ', 'f', 'o', 'r', ' ', 'n', 'o', 'd', 'e', 0};
	JournalEvent e = event(6);
	uint8_t		 record[JOURNAL_RECORD_SIZE];
	uint32_t	 crc = UINT32_C(0xffffffff);

	(void) state;
	e.at = 7;
	e.boot = 8;
	e.boot_time = 9;
	e.lease_start = 10;
	e.lease_end = 11;
	e.term = UINT64_C(0x0102030405060708);
	e.role = RAFT_LEADER;
	e.leader_id = RAFT_NONE;
	(void) snprintf(e.reason, sizeof(e.reason), "voted for node");
	journal_encode(&us, &e, record);
	assert_memory_equal(record, expected, sizeof(expected));

	/* CRC-32C, written out. */
	for (size_t i = 0; i < JOURNAL_RECORD_SIZE - 4; i++)
	{
		crc ^= record[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	crc = ~crc;
	for (int i = 0; i < 4; i++)
		assert_int_equal(record[JOURNAL_RECORD_SIZE - 4 + i], crc >> (24 - 8 * i) & 0xff);
}

static void
events_come_back_in_order(void **state)
{
	(void) state;
	fill_image(1, 0);
	assert_int_equal(scan(), JOURNAL_EMPTY);
	assert_int_equal(n_events, 0);
	fill_image(1, 7);
	assert_int_equal(scan(), JOURNAL_GOOD);
	assert_events(1, 7);
	fill_image(1, JOURNAL_EVENTS);
	assert_int_equal(scan(), JOURNAL_GOOD);
	assert_events(1, JOURNAL_EVENTS);
}

static void
ring_wraps(void **state)
{
	(void) state;
	fill_image(1, 3 * JOURNAL_EVENTS + 100);
	assert_int_equal(scan(), JOURNAL_GOOD);
	assert_events(2 * JOURNAL_EVENTS + 101, 3 * JOURNAL_EVENTS + 100);
}

/* Any bit, in any record: that event is gone, and the others are not. */
static void
every_bit_can_rot(void **state)
{
	(void) state;
	for (size_t bit = 0; bit < 8 * JOURNAL_RECORD_SIZE; bit++)
	{
		fill_image(1, 5);
		record_of(3)[bit / 8] ^= (uint8_t) (1 << bit % 8);
		assert_int_equal(scan(), JOURNAL_TORN);
		assert_int_equal(n_events, 4);
		assert_int_equal(n_bad, 1);
		assert_int_equal(events[1].number, 2);
		assert_int_equal(events[2].number, 4);
	}
}

/* A write that was cut short: the rest is the event that was there, or nothing. */
static void
torn_record_is_no_event(void **state)
{
	(void) state;
	for (size_t cut = 1; cut < JOURNAL_RECORD_SIZE; cut++)
	{
		uint8_t		 whole[JOURNAL_RECORD_SIZE];
		JournalEvent e = event(JOURNAL_EVENTS + 1);

		journal_encode(&us, &e, whole);
		fill_image(1, JOURNAL_EVENTS);
		if (memcmp(record_of(1) + cut, whole + cut, JOURNAL_RECORD_SIZE - cut) == 0)
			continue;
		memcpy(record_of(1), whole, cut);
		if (scan() == JOURNAL_GOOD)
			assert_events(1, JOURNAL_EVENTS); /* not a byte had changed yet */
		else
		{
			assert_int_equal(n_bad, 1);
			assert_events(2, JOURNAL_EVENTS);
		}
	}
}

/* The disk forgot a write: what is still there is a whole round older. */
static void
lost_overwriting_is_no_event(void **state)
{
	uint8_t old[JOURNAL_RECORD_SIZE];

	(void) state;
	fill_image(1, 4);
	memcpy(old, record_of(4), sizeof(old));
	fill_image(1, JOURNAL_EVENTS + 6);
	memcpy(record_of(4), old, sizeof(old));
	assert_int_equal(scan(), JOURNAL_GOOD);
	assert_int_equal(n_events, JOURNAL_EVENTS - 1);
	assert_int_equal(events[0].number, 7);

	/* a record in another one's place */
	fill_image(1, 6);
	memcpy(record_of(10), record_of(4), JOURNAL_RECORD_SIZE);
	assert_int_equal(scan(), JOURNAL_TORN);
	assert_int_equal(n_events, 6);
}

static void
foreign_journals_are_told_apart(void **state)
{
	static const StoreIdentity other_node = {UINT64_C(0x1272d3083e7ba9e4), 3};
	static const StoreIdentity other_cluster = {7, 2};
	StoreIdentity			   found;
	JournalEvent			   e = event(2);

	(void) state;
	fill_image(1, 3);
	assert_int_equal(journal_scan(image, JOURNAL_FILE_SIZE, &other_node, events, &n_events, &n_bad, &found),
					 JOURNAL_OTHER_NODE);
	assert_int_equal(found.node_id, us.node_id);
	assert_int_equal(journal_scan(image, JOURNAL_FILE_SIZE, &other_cluster, events, &n_events, &n_bad, &found),
					 JOURNAL_OTHER_CLUSTER);
	assert_true(found.cluster_digest == us.cluster_digest);
	assert_int_equal(journal_scan(image, JOURNAL_FILE_SIZE, NULL, events, &n_events, &n_bad, &found),
					 JOURNAL_GOOD);
	assert_int_equal(found.node_id, us.node_id);
	assert_int_equal(n_events, 3);

	/* two members' events in one file are nobody's */
	journal_encode(&other_node, &e, record_of(2));
	assert_int_equal(scan(), JOURNAL_OTHER_NODE);
	assert_int_equal(journal_scan(image, JOURNAL_FILE_SIZE, NULL, events, &n_events, &n_bad, &found),
					 JOURNAL_OTHER_NODE);
}

/* Under a good checksum: what a later version wrote, and what no version writes. */
static void
seal(uint8_t *record)
{
	uint32_t crc = UINT32_C(0xffffffff);

	for (size_t i = 0; i < JOURNAL_RECORD_SIZE - 4; i++)
	{
		crc ^= record[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	crc = ~crc;
	for (int i = 0; i < 4; i++)
		record[JOURNAL_RECORD_SIZE - 4 + i] = (uint8_t) (crc >> (24 - 8 * i));
}

static void
other_format_and_impossible_values(void **state)
{
	static const struct
	{
		int		offset;
		uint8_t value;
	} impossible[] = {{12, 1}, {24, 0x80}, {72, 0xff}, {96, 4}, {97, 64}, {98, '\n'}, {99, 0x1b}, {98, 0xc3}, {241, 'x'}, {242, 1}, {251, 1}};

	(void) state;
	fill_image(1, 3);
	record_of(2)[11] = 2;
	seal(record_of(2));
	assert_int_equal(scan(), JOURNAL_OTHER_FORMAT);
	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++)
	{
		fill_image(1, 3);
		record_of(2)[impossible[i].offset] = impossible[i].value;
		seal(record_of(2));
		assert_int_equal(scan(), JOURNAL_TORN);
		assert_int_equal(n_events, 2);
	}
	fill_image(1, 3);
	assert_int_equal(journal_scan(image, JOURNAL_FILE_SIZE - 1, &us, events, &n_events, &n_bad, &(StoreIdentity){0}),
					 JOURNAL_WRONG_SIZE);
	assert_int_equal(journal_scan(image, JOURNAL_FILE_SIZE + 1, &us, events, &n_events, &n_bad, &(StoreIdentity){0}),
					 JOURNAL_WRONG_SIZE);
	fill_image(1, 1);
	record_of(1)[30]++;
	assert_int_equal(scan(), JOURNAL_BAD);
}

/* Whatever order they come in: a term and a start that were once are evidence. */
static void
events_tell_the_highest_term_and_start(void **state)
{
	StoreEvidence evidence = {0};
	JournalEvent  e = event(1);

	(void) state;
	e.term = 5;
	e.boot = 3;
	journal_heed(&e, &evidence);
	assert_true(evidence.term == 5 && evidence.boot == 3);
	e.term = 4;
	e.boot = 7;
	journal_heed(&e, &evidence);
	assert_true(evidence.term == 5 && evidence.boot == 7);
}

static void
long_words_are_cut(void **state)
{
	JournalEvent  e = event(1);
	JournalEvent  back;
	StoreIdentity who;
	uint8_t		  record[JOURNAL_RECORD_SIZE];

	(void) state;
	memset(e.reason, 'x', sizeof(e.reason)); /* not even a zero */
	journal_encode(&us, &e, record);
	assert_int_equal(journal_decode(record, &who, &back), JOURNAL_GOOD);
	assert_int_equal(strlen(back.reason), JOURNAL_REASON_SIZE - 1);
}

/* ---- files ---- */

static int
set_up(void **state)
{
	(void) state;
	(void) snprintf(directory, sizeof(directory), "/tmp/test_journal.XXXXXX");
	if (mkdtemp(directory) == NULL || !journal_path(directory, us.node_id, path, sizeof(path)))
		return -1;
	return 0;
}

/* A name that a journal is moved aside to: ".bad", ".bad.1" and so on. */
static const char *
nth_aside(int n)
{
	(void) snprintf(aside, sizeof(aside), n == 0 ? "%s.bad" : "%s.bad.%d", path, n);
	return aside;
}

static int
tear_down(void **state)
{
	(void) state;
	(void) unlink(path);
	for (int i = 0; i < 10; i++)
		(void) unlink(nth_aside(i));
	return rmdir(directory);
}

static void
open_and_write(uint64_t first, uint64_t last, const char *complaint)
{
	Journal	 journal;
	uint64_t before;

	assert_true(journal_open(&journal, directory, &us, &before, &words));
	if (complaint == NULL)
		assert_string_equal(words.error, "");
	else
		assert_non_null(strstr(words.error, complaint));
	for (uint64_t number = first; number <= last; number++)
	{
		JournalEvent e = event(number);

		assert_true(journal_write(&journal, &e, &words));
	}
	journal_close(&journal);
	journal_close(&journal);
}

static JournalVerdict
read_back(void)
{
	StoreIdentity found;
	size_t		  length;
	bool		  missing;

	assert_true(journal_read(path, image, &length, &missing, &words));
	return journal_scan(image, length, &us, events, &n_events, &n_bad, &found);
}

static void
numbers_go_on(void **state)
{
	struct stat status;

	(void) state;
	open_and_write(1, 5, NULL);
	open_and_write(6, JOURNAL_EVENTS + 9, NULL);
	assert_int_equal(read_back(), JOURNAL_GOOD);
	assert_events(10, JOURNAL_EVENTS + 9);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, JOURNAL_FILE_SIZE);
	assert_int_equal(status.st_mode & 0777, 0600);
}

/* Whatever is there and will not do is kept beside, and a new one is begun. */
static void
put_bytes(const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static void
bad_journal_is_kept_aside(void **state)
{
	static const StoreIdentity other_node = {UINT64_C(0x1272d3083e7ba9e4), 3};
	JournalEvent			   e = event(1);

	(void) state;
	put_bytes("no journal", 10);
	open_and_write(1, 3, "of the wrong size");
	assert_int_equal(access(nth_aside(0), F_OK), 0);
	assert_int_equal(read_back(), JOURNAL_GOOD);
	assert_events(1, 3);

	memset(image, 0, sizeof(image));
	journal_encode(&other_node, &e, image);
	put_bytes(image, JOURNAL_FILE_SIZE);
	open_and_write(4, 4, "another node's");
	assert_int_equal(read_back(), JOURNAL_GOOD);
	assert_events(4, 4);

	fill_image(1, 1);
	image[200] ^= 1;
	put_bytes(image, JOURNAL_FILE_SIZE);
	open_and_write(1, 1, "damaged");

	/* one bad record is no reason to forget the others */
	fill_image(1, 9);
	record_of(4)[40] ^= 1;
	put_bytes(image, JOURNAL_FILE_SIZE);
	open_and_write(10, 10, "left out: 1");
	assert_int_equal(read_back(), JOURNAL_TORN);
	assert_int_equal(n_events, 9);
}

/* The first one may be the one that tells: none is ever overwritten. */
static void
what_was_kept_is_never_overwritten(void **state)
{
	Journal		journal;
	uint64_t	last;
	struct stat status;

	(void) state;
	for (int i = 0; i < 10; i++)
	{
		put_bytes("no journal, at all", (size_t) (i + 1));
		open_and_write(1, 1, "it is kept as");
		assert_non_null(strstr(words.error, nth_aside(i)));
	}
	put_bytes("no journal, at all", 18);
	assert_false(journal_open(&journal, directory, &us, &last, &words));
	assert_non_null(strstr(words.error, "was not moved aside"));
	for (int i = 0; i < 10; i++)
	{
		assert_int_equal(stat(nth_aside(i), &status), 0);
		assert_int_equal(status.st_size, i + 1);
	}
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 18);
}

/* As a process does that goes on where another one has ended. */
static void
last_number_is_told(void **state)
{
	Journal	 journal;
	uint64_t last = 99;

	(void) state;
	assert_true(journal_open(&journal, directory, &us, &last, &words));
	assert_true(last == 0);
	journal_close(&journal);
	open_and_write(1, JOURNAL_EVENTS + 7, NULL);
	assert_true(journal_open(&journal, directory, &us, &last, &words));
	assert_true(last == JOURNAL_EVENTS + 7);
	journal_close(&journal);

	/* one that is begun anew has none */
	put_bytes("no journal", 10);
	assert_true(journal_open(&journal, directory, &us, &last, &words));
	assert_true(last == 0);
	journal_close(&journal);
}

static void
one_that_was_taken_away_is_noticed(void **state)
{
	Journal	 journal;
	uint64_t last;

	(void) state;
	assert_true(journal_open(&journal, directory, &us, &last, &words));
	assert_true(journal_is_in_place(&journal));
	assert_int_equal(rename(path, nth_aside(0)), 0);
	assert_false(journal_is_in_place(&journal));
	put_bytes("", 0);
	assert_false(journal_is_in_place(&journal));
	assert_int_equal(rename(nth_aside(0), path), 0);
	assert_true(journal_is_in_place(&journal));
	journal_close(&journal);
}

static void
what_is_no_file_is_left_alone(void **state)
{
	Journal	 journal;
	uint64_t last;
	size_t	 length;
	bool	 missing;

	(void) state;
	assert_false(journal_read(path, image, &length, &missing, &words));
	assert_true(missing);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_false(journal_open(&journal, directory, &us, &last, &words));
	assert_non_null(strstr(words.error, "could not open"));
	assert_false(journal_read(path, image, &length, &missing, &words));
	assert_false(missing);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(journal_open(&journal, directory, &us, &last, &words));
	assert_non_null(strstr(words.error, "not a regular file"));
	assert_false(journal_write(&journal, &events[0], &words));
	assert_int_equal(unlink(path), 0);
	assert_false(journal_open(&journal, "/nonexistent", &us, &last, &words));
	assert_non_null(strstr(words.error, "could not open"));
}

/* A file that cannot grow: an error with words, and what was there stays. */
static void
full_disk_is_an_error(void **state)
{
	struct rlimit before;
	struct rlimit limit;
	Journal		  journal;
	uint64_t	  last;
	JournalEvent  e = event(3);

	(void) state;
	open_and_write(1, 2, NULL);
	assert_true(journal_open(&journal, directory, &us, &last, &words));
	(void) signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = JOURNAL_RECORD_SIZE;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_false(journal_write(&journal, &e, &words));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_non_null(strstr(words.error, "could not write"));
	journal_close(&journal);
	assert_int_equal(read_back(), JOURNAL_GOOD);
	assert_events(1, 2);
}

static void
boot_id_is_that_of_the_machine(void **state)
{
	uint8_t one[JOURNAL_BOOT_ID];
	uint8_t again[JOURNAL_BOOT_ID];
	uint8_t zero[JOURNAL_BOOT_ID] = {0};
	char	text[64] = "";
	char	hex[3];
	FILE   *file = fopen("/proc/sys/kernel/random/boot_id", "r");

	(void) state;
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	journal_boot_id(one);
	journal_boot_id(again);
	assert_memory_equal(one, again, sizeof(one));
	assert_memory_not_equal(one, zero, sizeof(one));
	(void) snprintf(hex, sizeof(hex), "%02x", one[0]);
	assert_memory_equal(text, hex, 2);
	(void) snprintf(hex, sizeof(hex), "%02x", one[JOURNAL_BOOT_ID - 1]);
	assert_memory_equal(text + 34, hex, 2);
}

int
main(void)
{
#define file_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_layout_never_changes),
		cmocka_unit_test(events_come_back_in_order),
		cmocka_unit_test(ring_wraps),
		cmocka_unit_test(every_bit_can_rot),
		cmocka_unit_test(torn_record_is_no_event),
		cmocka_unit_test(lost_overwriting_is_no_event),
		cmocka_unit_test(foreign_journals_are_told_apart),
		cmocka_unit_test(other_format_and_impossible_values),
		cmocka_unit_test(events_tell_the_highest_term_and_start),
		cmocka_unit_test(long_words_are_cut),
		file_test(numbers_go_on),
		file_test(bad_journal_is_kept_aside),
		file_test(what_was_kept_is_never_overwritten),
		file_test(last_number_is_told),
		file_test(one_that_was_taken_away_is_noticed),
		file_test(what_is_no_file_is_left_alone),
		file_test(full_disk_is_an_error),
		cmocka_unit_test(boot_id_is_that_of_the_machine),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
