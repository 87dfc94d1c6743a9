/*
 * test/unit/test_keep_archive.c
 *	  What an archive has on disk survives a crash: the state in two slots, the catalogue's last
 *	  line, keep.conf.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../keep/archive_state.h"
#include "../../keep/catalogue.h"
#include "../../supervisor/files.h"

static char			   directory[256];
static Archive		   archive;
static ArchiveSettings settings = {.name = "a0", .members = "host=n0,n1 application_name='it''s'", .role = "keep", .drill_hours = "12", .drill_sql = "/etc/keep/check.sql"};
static ArchiveState	   first = {.system_id = 7, .segment_size = 1 << 20};
static Words		   words;

static int
make_archive(void **state)
{
	const char *parent = getenv("TMPDIR");

	(void) state;
	(void) snprintf(directory, sizeof(directory), "%s/keep_XXXXXX", parent != NULL ? parent : "/tmp");
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

static ArchiveState
state_at(uint64_t durable)
{
	ArchiveState next = archive.state;

	next.term = 3;
	next.timeline = next.begin_timeline = 1;
	next.begin = 1 << 20;
	next.durable = durable;
	return next;
}

static void
write_at(const char *name, off_t at, const char *bytes, size_t length)
{
	char path[STORE_PATH_SIZE];
	int	 fd;

	archive_path(&archive, name, path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	if (at < 0)
		at = lseek(fd, 0, SEEK_END);
	assert_int_equal(pwrite(fd, bytes, length, at), length);
	(void) close(fd);
}

/* ---- the state ---- */

static void
what_was_saved_is_read(void **state)
{
	ArchiveState next = state_at(2 << 20);

	(void) state;
	assert_true(archive_save(&archive, &next, &words));
	next.durable++;
	assert_true(archive_save(&archive, &next, &words));
	archive_close(&archive);
	assert_true(archive_open(&archive, directory, &words));
	assert_int_equal(archive.state.durable, (2 << 20) + 1);
	assert_int_equal(archive.state.system_id, 7);
	assert_int_equal(archive.state.term, 3);
	assert_string_equal(archive.settings.members, settings.members);
	assert_false(archive.state_damaged);
}

static void
a_torn_slot_leaves_the_one_before(void **state)
{
	ArchiveState next = state_at(2 << 20);

	(void) state;
	assert_true(archive_save(&archive, &next, &words));
	next.durable = 3 << 20;
	assert_true(archive_save(&archive, &next, &words));
	write_at("state", (off_t) (1 - archive.next_slot) * STATE_STRIDE + 40, "torn", 4);
	assert_true(archive_refresh(&archive, &words));
	assert_true(archive.state_damaged);
	assert_int_equal(archive.state.durable, 2 << 20);

	/* the bad one is the next to be written */
	assert_true(archive_save(&archive, &next, &words));
	assert_true(archive_refresh(&archive, &words));
	assert_false(archive.state_damaged);
	assert_int_equal(archive.state.durable, 3 << 20);
}

static void
without_a_good_slot_it_is_not_opened(void **state)
{
	(void) state;
	write_at("state", 30, "torn", 4);
	write_at("state", STATE_STRIDE + 30, "torn", 4);
	assert_false(archive_refresh(&archive, &words));
	assert_non_null(strstr(words.error, "damaged"));
}

static void
an_impossible_state_is_refused(void **state)
{
	ArchiveState next = state_at(1 << 19);

	(void) state;
	assert_false(archive_save(&archive, &next, &words));
	next = state_at(2 << 20);
	next.timeline = 0;
	assert_false(archive_save(&archive, &next, &words));
}

static void
a_directory_that_is_not_empty_is_refused(void **state)
{
	(void) state;
	assert_false(archive_create(directory, &settings, &first, &words));
	assert_int_equal(archive_condition(directory), ARCHIVE_SYNC_READY);
}

static void
an_init_that_was_interrupted_can_be_done_again(void **state)
{
	char path[STORE_PATH_SIZE];

	(void) state;
	archive_path(&archive, "keep.conf", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(archive_condition(directory), ARCHIVE_CLEAR);
	assert_true(archive_create(directory, &settings, &first, &words));
}

/* ---- keep.conf ---- */

static void
settings_are_read_as_written(void **state)
{
	char			text[SETTINGS_TEXT_SIZE];
	ArchiveSettings read;

	(void) state;
	assert_true(settings_write(&settings, text));
	assert_true(settings_parse(text, &read, &words));
	assert_memory_equal(&read, &settings, sizeof(read));
}

static void
drills_are_daily_unless_said_otherwise(void **state)
{
	static const char *const bad[] = {"", "x", "1.5", "-1", "8761", "99999999", " 1", "1h"};
	ArchiveSettings			 read;
	char					 text[256];

	(void) state;
	assert_true(settings_parse("name = 'a0'\nmembers = 'host=n0'\n", &read, &words));
	assert_int_equal(settings_hours(&read), 24);
	assert_string_equal(read.drill_sql, "");
	assert_true(settings_parse("name = 'a0'\nmembers = 'host=n0'\ndrill_hours = '1'\ndrill_hours = '0'\n", &read, &words));
	assert_int_equal(settings_hours(&read), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		(void) snprintf(text, sizeof(text), "name = 'a0'\nmembers = 'host=n0'\ndrill_hours = '%s'\n", bad[i]);
		words_clear(&words);
		assert_false(settings_parse(text, &read, &words));
		assert_true(words.error[0] != '\0' && words.hint[0] != '\0');
	}
	assert_false(settings_parse("name = 'a0'\nmembers = 'host=n0'\ndrill_sql = 'check.sql'\n", &read, &words));
	assert_true(settings_parse("name = 'a0'\nmembers = 'host=n0'\ndrill_sql = '/check.sql'\n", &read, &words));
}

static void
a_wrong_line_is_named(void **state)
{
	ArchiveSettings read;

	(void) state;
	assert_false(settings_parse("name = 'a0'\nmembers = 'host=n0'\nrolle = 'x'\n", &read, &words));
	assert_non_null(strstr(words.error, "line 3"));
	assert_false(settings_parse("name = 'a0\n", &read, &words));
	assert_false(settings_parse("name = 'a0' b\n", &read, &words));
	assert_false(settings_parse("name = 'a0'\n", &read, &words));
	assert_false(settings_parse("name = 'a-0'\nmembers = 'host=n0'\n", &read, &words));
}

/* ---- locks ---- */

static void
a_lock_is_held_once(void **state)
{
	int lock = archive_lock(&archive, "run", &words);
	int other = archive_lock(&archive, "backup", &words);

	(void) state;
	assert_true(lock >= 0 && other >= 0);
	assert_int_equal(archive_lock(&archive, "run", &words), -1);
	assert_true(archive_is_locked(&archive, "run"));
	(void) close(lock);
	assert_false(archive_is_locked(&archive, "run"));
	(void) close(other);
}

/* ---- the catalogue ---- */

static bool
count(const CatalogueEntry *entry, void *context)
{
	int *n = context;

	assert_string_equal(entry->kind, "gid");
	assert_int_equal(catalogue_get_number(entry, "gid"), 83886216 + *n);
	assert_string_equal(catalogue_get(entry, "label"), "before: 100% \"it's\"\n");
	assert_int_equal(catalogue_get_lsn(entry, "lsn"), UINT64_C(0x100000028));
	assert_null(catalogue_get(entry, "none"));
	(*n)++;
	return true;
}

static bool
append(int n)
{
	CatalogueEntry entry;

	catalogue_begin(&entry, "gid");
	catalogue_add(&entry, "gid", "%d", 83886216 + n);
	catalogue_add(&entry, "label", "before: 100%% \"it's\"\n");
	catalogue_add_lsn(&entry, "lsn", UINT64_C(0x100000028));
	return catalogue_append(&archive, &entry, &words);
}

static int
lines(void)
{
	int n = 0;

	assert_true(catalogue_read(&archive, count, &n, &words));
	return n;
}

static void
lines_are_read_as_written(void **state)
{
	(void) state;
	assert_int_equal(lines(), 0);
	assert_true(append(0) && append(1));
	assert_int_equal(lines(), 2);
}

/* Each beginning of a line is what a crash can leave. */
static void
what_a_crash_leaves_of_a_line_is_cut_off(void **state)
{
	CatalogueEntry entry;
	char		   line[CATALOGUE_LINE_SIZE];
	size_t		   length;

	(void) state;
	catalogue_begin(&entry, "gid");
	catalogue_add(&entry, "gid", "1");
	length = catalogue_write_line(&entry, line);
	assert_true(length > 20);
	for (size_t i = 1; i < length; i++)
	{
		int before = lines();

		write_at("catalogue", -1, line, i);
		assert_int_equal(lines(), before);
		assert_true(append(before));
		assert_int_equal(lines(), before + 1);
	}
}

static void
a_last_line_with_a_hole_in_it_is_cut_off(void **state)
{
	static const char torn[] = "2026-12-01T00:00:00Z gid \0\0\0\0 #00000000\n";

	(void) state;
	assert_true(append(0));
	write_at("catalogue", -1, torn, sizeof(torn) - 1);
	assert_int_equal(lines(), 1);
	assert_true(append(1));
	assert_int_equal(lines(), 2);
}

static void
damage_in_the_middle_is_said(void **state)
{
	int n = 0;

	(void) state;
	assert_true(append(0) && append(1) && append(2));
	write_at("catalogue", 25, "x", 1);
	assert_false(catalogue_read(&archive, count, &n, &words));
	assert_non_null(strstr(words.error, "line 1"));
}

static void
what_does_not_fit_is_refused(void **state)
{
	CatalogueEntry entry;
	char		   longest[CATALOGUE_VALUE_SIZE + 1];

	(void) state;
	memset(longest, 'x', CATALOGUE_VALUE_SIZE);
	longest[CATALOGUE_VALUE_SIZE] = '\0';
	catalogue_begin(&entry, "gid");
	catalogue_add(&entry, "label", "%s", longest);
	assert_false(catalogue_append(&archive, &entry, &words));
	catalogue_begin(&entry, "gid");
	for (int i = 0; i <= CATALOGUE_FIELDS; i++)
		catalogue_add(&entry, "a", "1");
	assert_false(catalogue_append(&archive, &entry, &words));
	catalogue_begin(&entry, "Gid");
	assert_false(catalogue_append(&archive, &entry, &words));
}

#define WITH_ARCHIVE(test) cmocka_unit_test_setup_teardown(test, make_archive, remove_archive)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ARCHIVE(what_was_saved_is_read),
		WITH_ARCHIVE(a_torn_slot_leaves_the_one_before),
		WITH_ARCHIVE(without_a_good_slot_it_is_not_opened),
		WITH_ARCHIVE(an_impossible_state_is_refused),
		WITH_ARCHIVE(a_directory_that_is_not_empty_is_refused),
		WITH_ARCHIVE(an_init_that_was_interrupted_can_be_done_again),
		cmocka_unit_test(settings_are_read_as_written),
		cmocka_unit_test(drills_are_daily_unless_said_otherwise),
		cmocka_unit_test(a_wrong_line_is_named),
		WITH_ARCHIVE(a_lock_is_held_once),
		WITH_ARCHIVE(lines_are_read_as_written),
		WITH_ARCHIVE(what_a_crash_leaves_of_a_line_is_cut_off),
		WITH_ARCHIVE(a_last_line_with_a_hole_in_it_is_cut_off),
		WITH_ARCHIVE(damage_in_the_middle_is_said),
		WITH_ARCHIVE(what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
