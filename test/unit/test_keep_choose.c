/*
 * test/unit/test_keep_choose.c
 *	  keep/: from which base backup a state is restored, which WAL that takes, and what the programs
 *	  of PostgreSQL say about WAL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../keep/choose.h"
#include "../../keep/parse.h"
#include "lineage.h"

#define SEGMENT		(UINT32_C(16) << 20)
#define SEGMENTS(n) ((uint64_t) SEGMENT * (n))

/* Timeline 1 up to the middle of segment 5, 2 up to the end of segment 6, then 3. */
static Lineage
three_timelines(void)
{
	static Lineage path;
	const char	  *text = "1\t0/5800000\tno recovery target specified\n2\t0/7000000\tno recovery target specified\n";
	Words		   words;

	assert_int_equal(lineage_parse(&path, 3, text, strlen(text), &words), LINEAGE_GOOD);
	return path;
}

static ChooseBase
base_at(uint32_t timeline, uint64_t gid)
{
	return (ChooseBase){.gid = gid, .end = gid, .timeline = timeline, .redo = gid - 0x100};
}

/* ---- bases ---- */

static void
the_newest_base_that_is_not_newer_is_taken(void **state)
{
	static Lineage path;
	ChooseBase	   bases[] = {base_at(1, SEGMENTS(4)), base_at(1, SEGMENTS(2)), base_at(2, SEGMENTS(6)), base_at(3, SEGMENTS(8))};
	int			   found;

	(void) state;
	path = three_timelines();
	assert_int_equal(choose_base(&path, SEGMENTS(5), bases, 4, &found), CHOOSE_FOUND);
	assert_int_equal(found, 0);
	assert_int_equal(choose_base(&path, SEGMENTS(4) - 1, bases, 4, &found), CHOOSE_FOUND);
	assert_int_equal(found, 1);
	assert_int_equal(choose_base(&path, SEGMENTS(9), bases, 4, &found), CHOOSE_FOUND);
	assert_int_equal(found, 3);

	/* a base is a state itself */
	assert_int_equal(choose_base(&path, SEGMENTS(6), bases, 4, &found), CHOOSE_FOUND);
	assert_int_equal(found, 2);
}

static void
a_state_that_is_older_than_all_bases_cannot_be_restored(void **state)
{
	static Lineage path;
	ChooseBase	   bases[] = {base_at(1, SEGMENTS(4)), base_at(1, SEGMENTS(3))};
	int			   found;

	(void) state;
	path = three_timelines();
	assert_int_equal(choose_base(&path, SEGMENTS(3) - 8, bases, 2, &found), CHOOSE_TOO_OLD);
	assert_int_equal(found, -1);
	assert_int_equal(choose_oldest(bases, 2), SEGMENTS(3));
	assert_int_equal(choose_base(&path, SEGMENTS(3), bases, 0, &found), CHOOSE_NO_BASE);
}

static void
a_base_of_abandoned_wal_leads_nowhere(void **state)
{
	static Lineage path;

	/* timeline 1 has gone on beyond the fork, where the cluster has not followed */
	ChooseBase bases[] = {base_at(1, 0x5900000), base_at(1, SEGMENTS(3)), base_at(4, SEGMENTS(2))};
	int		   found;

	(void) state;
	path = three_timelines();
	assert_int_equal(choose_base(&path, SEGMENTS(6), bases, 3, &found), CHOOSE_FOUND);
	assert_int_equal(found, 1);
	assert_int_equal(choose_base(&path, SEGMENTS(6), bases, 1, &found), CHOOSE_ASIDE);
	assert_int_equal(choose_base(&path, SEGMENTS(6), bases + 2, 1, &found), CHOOSE_ASIDE);
}

/* Rolled over a fork, of which its files need not have anything yet. */
static void
what_a_base_has_counts_and_not_how_far_it_was_rolled(void **state)
{
	static Lineage path;
	ChooseBase	   base = {.gid = 0x5900000, .end = 0x5700000, .timeline = 1, .redo = 0x5600000};
	int			   found;

	(void) state;
	path = three_timelines();
	assert_int_equal(choose_base(&path, SEGMENTS(6), &base, 1, &found), CHOOSE_FOUND);
	assert_int_equal(choose_base(&path, 0x5800000, &base, 1, &found), CHOOSE_TOO_OLD);
}

/* ---- WAL ---- */

static void
the_segment_of_a_fork_is_read_from_the_newest_that_there_can_be(void **state)
{
	static Lineage path;
	static Lineage old;

	(void) state;
	path = three_timelines();
	assert_int_equal(choose_file(&path, SEGMENTS(9), 4, SEGMENT), 1);
	assert_int_equal(choose_file(&path, SEGMENTS(9), 5, SEGMENT), 2);
	assert_int_equal(choose_file(&path, SEGMENTS(9), 6, SEGMENT), 2);
	assert_int_equal(choose_file(&path, SEGMENTS(9), 7, SEGMENT), 3);

	/* of a state before the fork, there need not be any other */
	assert_int_equal(choose_file(&path, 0x5800000, 5, SEGMENT), 1);
	assert_int_equal(choose_file(&path, 0x5800001, 5, SEGMENT), 2);
	assert_true(lineage_until(&path, 1, &old));
	assert_int_equal(choose_file(&old, 0x5700000, 5, SEGMENT), 1);
}

static void
the_last_segment_is_the_one_before_the_end(void **state)
{
	(void) state;
	assert_int_equal(choose_behind(SEGMENTS(5), SEGMENT), 5);
	assert_int_equal(choose_behind(SEGMENTS(5) + 1, SEGMENT), 6);
	assert_int_equal(choose_behind(1, SEGMENT), 1);
}

/* ---- what programs say ---- */

static void
a_record_ends_behind_the_headers_of_its_pages(void **state)
{
	(void) state;
	assert_int_equal(parse_end_of_record(0x1000028, 54, SEGMENT), 0x1000028 + 56);

	/* up to the page's end and no further */
	assert_int_equal(parse_end_of_record(0x1001FC8, 56, SEGMENT), 0x1002000);
	assert_int_equal(parse_end_of_record(0x1001FC8, 64, SEGMENT), 0x1002000 + 24 + 8);

	/* a page in between, and the first of a segment, whose header is longer */
	assert_int_equal(parse_end_of_record(0x1001FC8, 56 + 8192 - 24 + 8, SEGMENT), 0x1004000 + 24 + 8);
	assert_int_equal(parse_end_of_record(0x1FFFFF8, 16, SEGMENT), 0x2000000 + 40 + 8);
}

static void
a_line_of_pg_waldump_is_a_record(void **state)
{
	uint64_t begin;
	uint64_t end;

	(void) state;
	assert_true(parse_record("rmgr: Heap        len (rec/tot):     54/   150, tx:        734, lsn: 1/01500060, prev 1/01500028, desc: INSERT off 1", SEGMENT, &begin, &end));
	assert_int_equal(begin, 0x101500060);
	assert_int_equal(end, 0x101500060 + 152);
	assert_false(parse_record("first record is after 0/1500000, at 0/1500028, skipping over 40 bytes", SEGMENT, &begin, &end));
	assert_false(parse_record("", SEGMENT, &begin, &end));
}

static void
the_wal_of_a_manifest_is_read(void **state)
{
	BackupWal wal;

	(void) state;
	assert_true(parse_ranges("\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": 2, \"Start-LSN\": \"1/5800000\", \"End-LSN\": \"1/5900000\" },\n"
							 "{ \"Timeline\": 1, \"Start-LSN\": \"1/5000028\", \"End-LSN\": \"1/5800000\" }\n],\n\"Manifest-Checksum\": \"00\"}",
							 &wal));
	assert_int_equal(wal.begin, 0x105000028);
	assert_int_equal(wal.end, 0x105900000);
	assert_int_equal(wal.end_timeline, 2);
	assert_false(parse_ranges("\"WAL-Ranges\": [\n],", &wal));
	assert_false(parse_ranges("\"Files\": [ { \"Timeline\": 1 } ]", &wal));
	assert_false(parse_ranges("\"WAL-Ranges\": [\n{ \"Timeline\": x }\n],", &wal));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_base_that_is_not_newer_is_taken),
		cmocka_unit_test(a_state_that_is_older_than_all_bases_cannot_be_restored),
		cmocka_unit_test(a_base_of_abandoned_wal_leads_nowhere),
		cmocka_unit_test(what_a_base_has_counts_and_not_how_far_it_was_rolled),
		cmocka_unit_test(the_segment_of_a_fork_is_read_from_the_newest_that_there_can_be),
		cmocka_unit_test(the_last_segment_is_the_one_before_the_end),
		cmocka_unit_test(a_record_ends_behind_the_headers_of_its_pages),
		cmocka_unit_test(a_line_of_pg_waldump_is_a_record),
		cmocka_unit_test(the_wal_of_a_manifest_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
