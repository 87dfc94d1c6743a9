/*
 * test/unit/test_keep_wal.c
 *	  The archive's WAL on disk: written, cut at a fork wherever that was interrupted, and found missing.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../keep/archive_state.h"
#include "../../keep/catalogue.h"
#include "../../keep/wal.h"
#include "../../supervisor/files.h"

#define SEGMENT UINT32_C(0x100000)

#define AT(segment, offset) ((uint64_t) (segment) *SEGMENT + (offset))

static char	   directory[256];
static Archive archive;
static Lineage own;
static Lineage leads;
static Words   words;

static int
make_archive(void **state)
{
	const char	   *parent = getenv("TMPDIR");
	ArchiveSettings settings = {.name = "a0", .members = "host=n0", .drill_hours = "0"};
	ArchiveState	first = {.system_id = 7, .segment_size = SEGMENT};

	(void) state;
	(void) snprintf(directory, sizeof(directory), "%s/keep_XXXXXX", parent != NULL ? parent : "/tmp");
	lineage_first(&own);
	lineage_first(&leads);
	return mkdtemp(directory) != NULL && archive_create(directory, &settings, &first, &words) &&
				   archive_open(&archive, directory, &words) ?
			   0 :
			   -1;
}

static int
remove_archive(void **state)
{
	(void) state;
	archive_close(&archive);
	return files_remove_tree(directory, &words) ? 0 : -1;
}

/* WAL of a timeline between the two, each byte not zero and telling of it; the first is at the beginning of a segment. */
static void
receive(uint32_t timeline, uint64_t from, uint64_t to)
{
	ArchiveState next = archive.state;
	WalFile		 file;
	char		*bytes = malloc(to - from);
	uint64_t	 whole = 0;

	assert_non_null(bytes);
	memset(bytes, (int) timeline, to - from);
	wal_init(&file);
	assert_true(wal_write(&archive, &file, timeline, from, bytes, to - from, &whole, &words));
	assert_true(wal_flush(&file, &words));
	wal_close(&file);
	free(bytes);
	if (next.timeline == 0)
	{
		next.begin = from;
		next.begin_timeline = timeline;
	}
	next.timeline = timeline;
	next.durable = to;
	assert_true(archive_save(&archive, &next, &words));
}

static bool
is_there(uint32_t timeline, uint64_t segment, bool partial)
{
	char path[STORE_PATH_SIZE];

	archive_segment_path(&archive, timeline, segment, partial, path);
	return files_exists(path);
}

/* How many bytes of the file are not zero; they are the first ones.  -1: there is no such file. */
static int64_t
length_of(const char *path)
{
	static char bytes[SEGMENT];
	int			fd = open(path, O_RDONLY);
	int64_t		n = 0;

	if (fd < 0)
		return -1;
	assert_int_equal(read(fd, bytes, SEGMENT), SEGMENT);
	(void) close(fd);
	while (n < SEGMENT && bytes[n] != 0)
		n++;
	for (int64_t i = n; i < SEGMENT; i++)
		assert_int_equal(bytes[i], 0);
	return n;
}

static int64_t
length_in_archive(uint32_t timeline, uint64_t segment, bool partial)
{
	char path[STORE_PATH_SIZE];

	archive_segment_path(&archive, timeline, segment, partial, path);
	return length_of(path);
}

static int64_t
length_aside(const char *name)
{
	char path[STORE_PATH_SIZE];
	char relative[256];

	(void) snprintf(relative, sizeof(relative), "abandoned/%s", name);
	archive_path(&archive, relative, path);
	return length_of(path);
}

static bool
count_cuts(const CatalogueEntry *entry, void *context)
{
	*(int *) context += strcmp(entry->kind, "cut") == 0;
	return true;
}

static int
cut_lines(void)
{
	int n = 0;

	assert_true(catalogue_read(&archive, count_cuts, &n, &words));
	return n;
}

static int
cut(void)
{
	int cuts;

	assert_true(wal_cut(&archive, &own, &leads, &cuts, &words));
	return cuts;
}

/* ---- writing ---- */

static void
full_segments_are_complete(void **state)
{
	(void) state;
	receive(1, AT(3, 0), AT(5, 100));
	assert_true(is_there(1, 3, false) && is_there(1, 4, false) && is_there(1, 5, true));
	assert_false(is_there(1, 4, true) || is_there(1, 5, false));
	assert_int_equal(length_in_archive(1, 5, true), 100);
}

/* ---- cutting ---- */

static void
within_a_segment(void **state)
{
	(void) state;
	receive(1, AT(3, 0), AT(4, 500));
	assert_true(lineage_extend(&leads, 2, AT(4, 300), &leads));
	assert_int_equal(cut(), 1);
	assert_int_equal(length_in_archive(1, 4, true), 300);
	assert_int_equal(length_aside("00000001-000000000040012C/000000010000000000000004"), 500);
	assert_int_equal(cut_lines(), 1);
	assert_int_equal(cut(), 0);
	assert_int_equal(cut_lines(), 1);
}

static void
by_several_segments(void **state)
{
	(void) state;
	receive(1, AT(3, 0), AT(6, 500));
	assert_true(lineage_extend(&leads, 2, AT(4, 300), &leads));
	assert_int_equal(cut(), 1);
	assert_false(is_there(1, 4, false));
	assert_int_equal(length_in_archive(1, 3, false), SEGMENT);
	assert_int_equal(length_in_archive(1, 4, true), 300);
	assert_false(is_there(1, 5, false) || is_there(1, 6, true));
	assert_int_equal(length_aside("00000001-000000000040012C/000000010000000000000004"), SEGMENT);
	assert_int_equal(length_aside("00000001-000000000040012C/000000010000000000000005"), SEGMENT);
	assert_int_equal(length_aside("00000001-000000000040012C/000000010000000000000006"), 500);
}

static void
at_the_boundary_of_a_segment(void **state)
{
	(void) state;
	receive(1, AT(3, 0), AT(5, 500));
	assert_true(lineage_extend(&leads, 2, AT(5, 0), &leads));
	assert_int_equal(cut(), 1);
	assert_int_equal(length_in_archive(1, 4, false), SEGMENT);
	assert_false(is_there(1, 5, true));
	assert_int_equal(length_aside("00000001-0000000000500000/000000010000000000000005"), 500);
}

static void
a_whole_timeline(void **state)
{
	char path[STORE_PATH_SIZE];

	(void) state;
	receive(1, AT(3, 0), AT(4, 300));
	assert_true(wal_put_history(&archive, 2, "1\t0/40012C\tfork\n", &words));
	receive(2, AT(4, 0), AT(5, 100));
	assert_true(lineage_extend(&own, 2, AT(4, 300), &own));
	assert_true(lineage_extend(&leads, 3, AT(4, 200), &leads));
	assert_int_equal(cut(), 2);
	archive_timeline_path(&archive, 2, path);
	assert_false(files_exists(path));
	assert_int_equal(length_in_archive(1, 4, true), 200);
	assert_int_equal(length_aside("00000002-000000000040012C/000000020000000000000005"), 100);
	archive_path(&archive, "abandoned/00000002-000000000040012C/00000002.history", path);
	assert_true(files_exists(path));
	assert_int_equal(cut_lines(), 2);
}

static void
what_is_behind_the_archives_end_without_a_fork_stays(void **state)
{
	ArchiveState next;

	(void) state;
	receive(1, AT(3, 0), AT(5, 100));
	next = archive.state;
	next.durable = AT(4, 100);
	assert_true(archive_save(&archive, &next, &words));
	assert_int_equal(cut(), 0);
	assert_int_equal(length_in_archive(1, 5, true), 100);
}

static void
what_the_state_does_not_know_yet_is_cut_as_well(void **state)
{
	ArchiveState next;

	(void) state;
	receive(1, AT(3, 0), AT(4, 500));
	next = archive.state;
	next.durable = AT(4, 200);
	assert_true(archive_save(&archive, &next, &words));
	assert_true(lineage_extend(&leads, 2, AT(4, 300), &leads));
	assert_int_equal(cut(), 1);
	assert_int_equal(length_in_archive(1, 4, true), 300);
}

/* The place is there with a copy of the fork's segment, and nothing else was done yet. */
static void
interrupted_it_goes_on(void **state)
{
	char from[STORE_PATH_SIZE];
	char to[STORE_PATH_SIZE];

	(void) state;
	receive(1, AT(3, 0), AT(6, 500));
	assert_true(lineage_extend(&leads, 2, AT(4, 300), &leads));
	archive_path(&archive, "abandoned/00000001-000000000040012C", to);
	assert_int_equal(mkdir(to, 0700), 0);
	archive_path(&archive, "abandoned/00000001-000000000040012C/000000010000000000000004", to);
	archive_segment_path(&archive, 1, 4, false, from);
	assert_true(files_copy(from, to, 0, &words));

	/* and the one in which it was cut off, beside the whole one */
	archive_segment_path(&archive, 1, 4, true, to);
	assert_true(files_copy(from, to, 0, &words));
	assert_int_equal(truncate(to, 300), 0);
	assert_int_equal(truncate(to, SEGMENT), 0);
	assert_int_equal(cut(), 1);
	assert_false(is_there(1, 4, false));
	assert_int_equal(length_in_archive(1, 4, true), 300);
	assert_int_equal(length_aside("00000001-000000000040012C/000000010000000000000004"), SEGMENT);
	assert_int_equal(length_aside("00000001-000000000040012C/000000010000000000000006"), 500);
	assert_int_equal(cut_lines(), 1);
}

/* All was moved, and the line is missing. */
static void
interrupted_before_its_line(void **state)
{
	char path[STORE_PATH_SIZE];

	(void) state;
	receive(1, AT(3, 0), AT(4, 300));
	assert_true(lineage_extend(&leads, 2, AT(4, 300), &leads));
	archive_path(&archive, "abandoned/00000001-000000000040012C", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(cut(), 1);
	assert_int_equal(cut_lines(), 1);
	assert_int_equal(cut(), 0);
}

static void
a_second_cut_at_one_fork_overwrites_nothing(void **state)
{
	(void) state;
	receive(1, AT(3, 0), AT(4, 500));
	assert_true(lineage_extend(&leads, 2, AT(4, 300), &leads));
	assert_int_equal(cut(), 1);
	receive(1, AT(4, 0), AT(4, 400));
	assert_int_equal(cut(), 1);
	assert_int_equal(length_aside("00000001-000000000040012C/000000010000000000000004"), 500);
	assert_int_equal(length_aside("00000001-000000000040012C.1/000000010000000000000004"), 400);
}

/* ---- holes ---- */

static void
a_missing_segment_is_found(void **state)
{
	char	 path[STORE_PATH_SIZE];
	uint32_t timeline;
	uint64_t segment;

	(void) state;
	receive(1, AT(3, 0), AT(5, 300));
	receive(2, AT(5, 0), AT(8, 0));
	assert_true(lineage_extend(&own, 2, AT(5, 300), &own));
	assert_false(wal_find_hole(&archive, &own, &timeline, &segment));
	archive_segment_path(&archive, 2, 6, false, path);
	assert_int_equal(unlink(path), 0);
	assert_true(wal_find_hole(&archive, &own, &timeline, &segment));
	assert_int_equal(timeline, 2);
	assert_int_equal(segment, 6);
	archive_segment_path(&archive, 1, 5, true, path);
	assert_int_equal(unlink(path), 0);
	assert_true(wal_find_hole(&archive, &own, &timeline, &segment));
	assert_int_equal(timeline, 1);
	assert_int_equal(segment, 5);
}

static void
a_partial_segment_in_the_middle_is_a_hole(void **state)
{
	char	 from[STORE_PATH_SIZE];
	char	 to[STORE_PATH_SIZE];
	uint32_t timeline;
	uint64_t segment;

	(void) state;
	receive(1, AT(3, 0), AT(5, 300));
	archive_segment_path(&archive, 1, 4, false, from);
	archive_segment_path(&archive, 1, 4, true, to);
	assert_int_equal(rename(from, to), 0);
	assert_true(wal_find_hole(&archive, &own, &timeline, &segment));
	assert_int_equal(segment, 4);
}

#define WITH_ARCHIVE(test) cmocka_unit_test_setup_teardown(test, make_archive, remove_archive)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ARCHIVE(full_segments_are_complete),
		WITH_ARCHIVE(within_a_segment),
		WITH_ARCHIVE(by_several_segments),
		WITH_ARCHIVE(at_the_boundary_of_a_segment),
		WITH_ARCHIVE(a_whole_timeline),
		WITH_ARCHIVE(what_is_behind_the_archives_end_without_a_fork_stays),
		WITH_ARCHIVE(what_the_state_does_not_know_yet_is_cut_as_well),
		WITH_ARCHIVE(interrupted_it_goes_on),
		WITH_ARCHIVE(interrupted_before_its_line),
		WITH_ARCHIVE(a_second_cut_at_one_fork_overwrites_nothing),
		WITH_ARCHIVE(a_missing_segment_is_found),
		WITH_ARCHIVE(a_partial_segment_in_the_middle_is_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
