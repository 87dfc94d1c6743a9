/*
 * test/unit/test_note.c
 *	  What a member held a moment ago, beside its state file: what is torn, rotten or another
 *	  member's counts for nothing, and what was written is durable.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../node/note.h"

static const StoreIdentity us = {UINT64_C(0x1272d3083e7ba9e4), 2};
static const Note		   some = {.held = {.epoch = 7, .index = UINT64_C(0x1B374D848)}, .wrote_on = 6, .standing_before = true};

static char	 directory[64];
static char	 path[STORE_PATH_SIZE];
static Words words;

/* ---- the disk: what was asked of it, in this order, and which call fails ---- */

static char		   calls[64];
static const char *fails;

static int
called(const char *name, long (*call)(const void *a, const void *b), const void *a, const void *b)
{
	size_t n = strlen(calls);

	(void) snprintf(calls + n, sizeof(calls) - n, "%s%s", n > 0 ? " " : "", name);
	if (fails == NULL || strcmp(fails, name) != 0)
		return (int) call(a, b);
	errno = EIO;
	return -1;
}

static long
do_fdatasync(const void *fd, const void *unused)
{
	(void) unused;
	return syscall(SYS_fdatasync, *(const int *) fd);
}

static long
do_fsync(const void *fd, const void *unused)
{
	(void) unused;
	return syscall(SYS_fsync, *(const int *) fd);
}

static long
do_rename(const void *from, const void *to)
{
	return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* In the place of libc's. */
int
fdatasync(int fd)
{
	return called("fdatasync", do_fdatasync, &fd, NULL);
}

int
fsync(int fd)
{
	return called("fsync", do_fsync, &fd, NULL);
}

int
rename(const char *from, const char *to)
{
	return called("rename", do_rename, from, to);
}

/* ---- files ---- */

static int
new_directory(void **state)
{
	(void) state;
	calls[0] = '\0';
	fails = NULL;
	(void) snprintf(directory, sizeof(directory), "/tmp/pg_leader_note.XXXXXX");
	if (mkdtemp(directory) == NULL || !note_path(directory, us.node_id, path, sizeof(path)))
		return -1;
	return 0;
}

static int
remove_directory(void **state)
{
	(void) state;
	(void) unlink(path);
	return rmdir(directory); /* nothing else is left there */
}

static void
put(const uint8_t *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void
get(uint8_t *bytes)
{
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_int_equal(fread(bytes, 1, NOTE_SIZE + 1, file), NOTE_SIZE);
	assert_int_equal(fclose(file), 0);
}

static void
assert_same(const Note *a, const Note *b)
{
	assert_true(a->held.epoch == b->held.epoch && a->held.index == b->held.index);
	assert_int_equal(a->wrote_on, b->wrote_on);
	assert_int_equal(a->standing_before, b->standing_before);
}

static NoteVerdict
look(const StoreIdentity *identity)
{
	static const Note nothing = {0};
	Note			  note;
	NoteVerdict		  verdict;

	memset(&note, 0xEE, sizeof(note));
	verdict = note_read(directory, identity, &note, &words);
	assert_same(&note, verdict == NOTE_GOOD ? &some : &nothing);
	assert_int_equal(words.error[0] != '\0', verdict == NOTE_BAD);
	return verdict;
}

/* ---- tests ---- */

static void
file_layout_never_changes(void **state)
{
	static const uint8_t expected[NOTE_SIZE] = {
		'P', 'G', 'L', 'D', 'H', 'E', 'L', 'D', 0, 0, 0, 1, 0, 0, 0, 2,
		0x12, 0x72, 0xd3, 0x08, 0x3e, 0x7b, 0xa9, 0xe4,
		0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0xb3, 0x74, 0xd8, 0x48,
		0, 0, 0, 6, 0, 0, 0, 1, [60] = 0x15, 0xb3, 0x54, 0x97};
	uint8_t		bytes[NOTE_SIZE + 1];
	struct stat status;

	(void) state;
	assert_true(note_write(directory, &us, &some, &words));
	get(bytes);
	assert_memory_equal(bytes, expected, NOTE_SIZE);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(look(&us), NOTE_GOOD);
	assert_string_equal(path + strlen(directory), "/node-2.held");
}

static void
the_newest_counts(void **state)
{
	Note note = {0};

	(void) state;
	assert_int_equal(look(&us), NOTE_MISSING);
	assert_true(note_write(directory, &us, &some, &words));
	assert_true(note_write(directory, &us, &note, &words));
	memset(&note, 0xEE, sizeof(note));
	assert_int_equal(note_read(directory, &us, &note, &words), NOTE_GOOD);
	assert_true(note.held.epoch == 0 && note.held.index == 0 && note.wrote_on == 0 && !note.standing_before);
	assert_true(note_write(directory, &us, &some, &words));
	assert_int_equal(look(&us), NOTE_GOOD);
}

static void
what_is_damaged_counts_for_nothing(void **state)
{
	uint8_t bytes[NOTE_SIZE + 1] = {0};

	(void) state;
	assert_true(note_write(directory, &us, &some, &words));
	get(bytes);
	for (size_t size = 0; size <= NOTE_SIZE + 1; size++)
	{
		put(bytes, size);
		assert_int_equal(look(&us), size == NOTE_SIZE ? NOTE_GOOD : NOTE_BAD);
	}
	assert_non_null(strstr(words.error, "node-2.held\" is damaged"));
	assert_non_null(strstr(words.hint, "written anew"));
	for (int bit = 0; bit < 8 * NOTE_SIZE; bit++)
	{
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		put(bytes, NOTE_SIZE);
		assert_int_equal(look(&us), NOTE_BAD);
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	put(bytes, NOTE_SIZE);
	assert_int_equal(look(&us), NOTE_GOOD);
}

static void
what_is_not_ours_counts_for_nothing(void **state)
{
	static const StoreIdentity other_node = {UINT64_C(0x1272d3083e7ba9e4), 3};
	static const StoreIdentity other_cluster = {1, 2};
	char					   of_other[STORE_PATH_SIZE];

	(void) state;
	assert_true(note_write(directory, &us, &some, &words));
	assert_int_equal(look(&other_cluster), NOTE_BAD);
	assert_non_null(strstr(words.error, "node-2.held\" belongs to another cluster"));

	/* Under the other's name. */
	assert_true(note_path(directory, other_node.node_id, of_other, sizeof(of_other)));
	assert_true(note_write(directory, &other_node, &some, &words));
	assert_int_equal(rename(of_other, path), 0);
	assert_int_equal(look(&us), NOTE_BAD);
	assert_non_null(strstr(words.error, "node-2.held\" belongs to another node"));
}

static void
impossible_values_are_not_written(void **state)
{
	static const Note wrong[] = {{.held = {.epoch = 0, .index = 1}},
								 {.held = {.epoch = (uint64_t) RAFT_MAX_TIMELINE + 1, .index = 1}},
								 {.wrote_on = RAFT_MAX_TIMELINE + 1}};

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		assert_false(note_write(directory, &us, &wrong[i], &words));
		assert_non_null(strstr(words.error, "impossible values"));
		assert_int_equal(look(&us), NOTE_MISSING);
	}
}

/* First the contents, then the name, then the directory; before that it is not said to be done. */
static void
what_was_written_is_durable(void **state)
{
	static const char *const steps[][2] = {{"fdatasync", "fdatasync"}, {"rename", "fdatasync rename"}, {"fsync", "fdatasync rename fsync"}};
	Note					 newer = some;

	(void) state;
	assert_true(note_write(directory, &us, &some, &words));
	assert_string_equal(calls, "fdatasync rename fsync");
	for (int i = 0; i < 2; i++)
	{
		newer.held.index++;
		calls[0] = '\0';
		fails = steps[i][0];
		assert_false(note_write(directory, &us, &newer, &words));
		assert_string_equal(calls, steps[i][1]);
		assert_non_null(strstr(words.error, "Input/output error"));
		assert_non_null(strstr(words.hint, "kernel log"));
		assert_int_equal(look(&us), NOTE_GOOD); /* the one before */
	}
	fails = "fsync";
	assert_false(note_write(directory, &us, &some, &words));
	assert_non_null(strstr(words.error, "could not fsync the directory"));
}

static void
files_that_cannot_be_used(void **state)
{
	char long_name[STORE_PATH_SIZE];
	Note note;

	(void) state;
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(look(&us), NOTE_BAD);
	assert_int_equal(unlink(path), 0);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_false(note_write(long_name, &us, &some, &words));
	assert_int_equal(note_read(long_name, &us, &note, &words), NOTE_BAD);
	assert_string_equal(words.error, "the name of the state directory is too long");
	assert_false(note_write("/no/such/directory", &us, &some, &words));
	assert_string_equal(words.error, "could not create the file \"/no/such/directory/node-2.held.tmp\": No such file or directory");
	assert_int_equal(note_read("/no/such/directory", &us, &note, &words), NOTE_MISSING);
}

int
main(void)
{
#define NOTE_TEST(test) cmocka_unit_test_setup_teardown(test, new_directory, remove_directory)
	static const struct CMUnitTest tests[] = {
		NOTE_TEST(file_layout_never_changes),
		NOTE_TEST(the_newest_counts),
		NOTE_TEST(what_is_damaged_counts_for_nothing),
		NOTE_TEST(what_is_not_ours_counts_for_nothing),
		NOTE_TEST(impossible_values_are_not_written),
		NOTE_TEST(what_was_written_is_durable),
		NOTE_TEST(files_that_cannot_be_used),
	};

	return cmocka_run_group_tests_name("note", tests, NULL, NULL);
}
