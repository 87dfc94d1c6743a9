/*
 * test/unit/test_secret.c
 *	  The keys: which files are taken, which tags are made, which are believed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../node/secret.h"
#include "../../raft/message.h"

/* 32 and 64 bytes: 01 02 03 ... */
#define KEY_32 "0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F20"
#define KEY_64 KEY_32 "2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40"

static char directory[64];
static char path[128];

static Words words;

static int
set_up(void **state)
{
	(void) state;
	snprintf(directory, sizeof(directory), "/tmp/pg_leader_secret.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/secret", directory);
	return 0;
}

static int
tear_down(void **state)
{
	char other[160];

	(void) state;
	unlink(path);
	snprintf(other, sizeof(other), "%s/link", directory);
	unlink(other);
	return rmdir(directory);
}

static void
write_file(const char *text, size_t length, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void
write_text(const char *text)
{
	write_file(text, strlen(text), 0600);
}

static void
assert_has(const char *text, const char *fragment)
{
	if (strstr(text, fragment) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", fragment, text);
}

/* ---- parsing ---- */

static void
assert_keys(const char *text, int n, int id, int size, int second_id, int second_size)
{
	SecretKeys keys;

	if (!secret_parse(text, strlen(text), &keys, &words))
		fail_msg("%s", words.error);
	assert_int_equal(keys.n, n);
	assert_int_equal(keys.of[0].id, id);
	assert_int_equal(keys.of[0].size, size);
	assert_int_equal(keys.of[1].id, second_id);
	assert_int_equal(keys.of[1].size, second_size);
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < SECRET_KEY_MAX; j++)
			assert_int_equal(keys.of[i].bytes[j], j < keys.of[i].size ? j + 1 : 0);
	}
}

static void
one_or_two_keys_are_read(void **state)
{
	(void) state;
	assert_keys("1 " KEY_32 "\n", 1, 1, 32, 0, 0);
	assert_keys("255 " KEY_64, 1, 255, 64, 0, 0);
	assert_keys("2 " KEY_32 "\n1 " KEY_64 "\n", 2, 2, 32, 1, 64);
	assert_keys("# new\n\n  \t\n\t 007\t" KEY_32 "  # made today\r\n#\n#1 x\n9 " KEY_64 "#old", 2, 7, 32, 9, 64);
	assert_keys("\r\n1 " KEY_32 "\r\n", 1, 1, 32, 0, 0);
}

static void
malformed_lines_are_named_and_not_shown(void **state)
{
	static const struct
	{
		const char *text;
		const char *fragment;
	} cases[] = {
		{"", "there is no key in it"},
		{"# nothing\n\n", "there is no key in it"},
		{KEY_32 "\n", "line 1: it does not begin with a key id"},
		{"\n\n0 " KEY_32, "line 3: it does not begin with a key id"},
		{"256 " KEY_32, "line 1: it does not begin with a key id"},
		{"0001 " KEY_32, "line 1: it does not begin with a key id"},
		{"-1 " KEY_32, "line 1: it does not begin with a key id"},
		{"+1 " KEY_32, "line 1: it does not begin with a key id"},
		{"1: " KEY_32, "line 1: it does not begin with a key id"},
		{"0x1 " KEY_32, "line 1: it does not begin with a key id"},
		{"\xef\xbb\xbf"
		 "1 " KEY_32,
		 "line 1: it does not begin with a key id"},
		{"1", "line 1: there is no key behind the key id"},
		{"1 # " KEY_32, "line 1: there is no key behind the key id"},
		{"1\n" KEY_32, "line 1: there is no key behind the key id"},
		{"1 0x" KEY_32, "line 1: character 2 of the key is not a hexadecimal digit"},
		{"1 " KEY_32 "g0", "line 1: character 65 of the key is not a hexadecimal digit"},
		{"1 \"" KEY_32 "\"", "line 1: character 1 of the key is not a hexadecimal digit"},
		{"1 " KEY_32 "0", "line 1: the key has 65 hexadecimal digits"},
		{"1 01020304", "line 1: the key has 8 hexadecimal digits"},
		{"1 " KEY_64 "41", "line 1: the key has 130 hexadecimal digits"},
		{"1 " KEY_32 " " KEY_32, "line 1: there is something behind the key"},
		{"1 " KEY_32 " 2 " KEY_32, "line 1: there is something behind the key"},
		{"1 " KEY_32 "\n1 " KEY_64 "\n", "line 2: key id 1 is that of the first key already"},
		{"1 " KEY_32 "\n# x\n2 " KEY_64 "\n3 " KEY_32 "\n", "line 4: there are two keys before it"},
		{"1 " KEY_32 "\n2\n", "line 2: there is no key behind the key id"},
		{"1 0000000000000000000000000000000000000000000000000000000000000000", "line 1: the key is one byte again"},
		{"1 abababababababababababababababababababababababababababababababab", "line 1: the key is one byte again"},
	};
	static const SecretKeys none;
	SecretKeys				keys;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		if (secret_parse(cases[i].text, strlen(cases[i].text), &keys, &words))
			fail_msg("accepted: %s", cases[i].text);
		assert_has(words.error, cases[i].fragment);
		assert_null(strstr(words.error, "01020"));
		assert_memory_equal(&keys, &none, sizeof(keys));
	}
	/* one digit short, and a byte that ends strings */
	assert_false(secret_parse("1 " KEY_32, strlen("1 " KEY_32) - 1, &keys, &words));
	assert_has(words.error, "the key has 63 hexadecimal digits");
	assert_false(secret_parse("1 " KEY_32 "\0", strlen("1 " KEY_32) + 1, &keys, &words));
	assert_has(words.error, "character 65 of the key is not");
	assert_false(secret_parse("\0001 " KEY_32, strlen("1 " KEY_32) + 1, &keys, &words));
}

/* ---- files ---- */

static bool
may_use(mode_t mode, uid_t owner, uid_t user)
{
	struct stat file = {0};
	bool		may;

	file.st_mode = mode;
	file.st_uid = owner;
	may = secret_may_use(&file, user, &words);
	if (may)
		assert_true(words.error[0] == '\0' && words.hint[0] == '\0');
	else
		assert_true(words.error[0] != '\0' && strstr(words.hint, "0600") != NULL);
	return may;
}

static void
only_closed_files_are_taken(void **state)
{
	(void) state;
	assert_true(may_use(S_IFREG | 0600, 100, 100));
	assert_true(may_use(S_IFREG | 0400, 100, 100));
	assert_true(may_use(S_IFREG | 0640, 0, 100));
	assert_true(may_use(S_IFREG | 0440, 0, 100));
	assert_true(may_use(S_IFREG | 0600, 0, 0));

	/* every bit beyond these is one too many */
	for (int bit = 0; bit < 6; bit++)
	{
		mode_t more = (mode_t) 1 << bit;

		assert_false(may_use(S_IFREG | 0600 | more, 100, 100));
		assert_has(words.error, "is open to others: its permissions are 06");
		assert_false(may_use(S_IFREG | 0600 | more, 0, 0));
		assert_int_equal(may_use(S_IFREG | 0600 | more, 0, 100), more == 0040);
	}
	assert_false(may_use(S_IFREG | 0600, 101, 100));
	assert_has(words.error, "belongs neither to the user that the server runs as nor to root");
	assert_false(may_use(S_IFREG | 0400, 101, 0));

	assert_false(may_use(S_IFDIR | 0700, 100, 100));
	assert_has(words.error, "is not a regular file");
	assert_false(may_use(S_IFIFO | 0600, 100, 100));
	assert_false(may_use(S_IFCHR | 0600, 100, 100));
	assert_false(may_use(S_IFBLK | 0600, 0, 100));
	assert_false(may_use(S_IFSOCK | 0600, 100, 100));
}

/* Refused with these words, and the keys stay what they were. */
static void
assert_refused(Secret *secret, const char *file, const char *fragment)
{
	SecretKeys before = secret->keys;

	assert_int_equal(secret_read(secret, file, &words), SECRET_FAILED);
	assert_has(words.error, "the secret file \"");
	assert_has(words.error, file);
	assert_has(words.error, fragment);
	assert_null(strstr(words.error, "01020"));
	assert_true(words.hint[0] != '\0');
	assert_memory_equal(&before, &secret->keys, sizeof(before));
}

static void
a_bad_file_changes_nothing(void **state)
{
	Secret secret = {0};
	char   text[SECRET_FILE_MAX + 2];

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		assert_refused(&secret, "/nonexistent/secret", "cannot be opened: ");
		assert_refused(&secret, directory, "is not a regular file");
		assert_refused(&secret, "/dev/null", "is not a regular file");
		write_file("1 " KEY_32 "\n", 67, 0604);
		assert_refused(&secret, path, "is open to others: its permissions are 0604");
		write_file("1 " KEY_32 "\n", 67, 0620);
		assert_refused(&secret, path, "is open to others: its permissions are 0620");
		write_text("");
		assert_refused(&secret, path, "cannot be used: there is no key in it");
		write_text("# keys\n1 " KEY_32 "\n2 0102030405\n");
		assert_refused(&secret, path, "cannot be used: line 3: the key has 10 hexadecimal digits");

		/* again, with keys that it has to keep */
		write_text("1 " KEY_32 "\n");
		assert_int_equal(secret_read(&secret, path, &words),
						 i == 0 ? SECRET_CHANGED : SECRET_UNCHANGED);
		assert_int_equal(secret_key_id(&secret), 1);
	}

	/* as long as it may be, and one byte more */
	memset(text, '#', sizeof(text));
	memcpy(text, "1 " KEY_32 "\n", 67);
	write_file(text, SECRET_FILE_MAX, 0600);
	assert_int_equal(secret_read(&secret, path, &words), SECRET_UNCHANGED);
	write_file(text, SECRET_FILE_MAX + 1, 0600);
	assert_refused(&secret, path, "is larger than 4096 bytes");
	secret_forget(&secret);
}

/* What happens to the file after its keys were read. */
static void
a_file_is_looked_after(void **state)
{
	(void) state;
	write_text("1 " KEY_32 "\n");
	assert_true(secret_look(path, &words));
	assert_string_equal(words.error, "");
	assert_int_equal(chmod(path, 0604), 0);
	assert_false(secret_look(path, &words));
	assert_has(words.error, "is open to others: its permissions are 0604");
	assert_has(words.error, path);
	assert_has(words.hint, "exchange the key");
	assert_int_equal(unlink(path), 0);
	assert_false(secret_look(path, &words));
	assert_has(words.error, "No such file");
	assert_has(words.hint, "Put it back");
}

static void
a_fifo_holds_nobody_up(void **state)
{
	Secret secret = {0};

	(void) state;
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(10);
	assert_refused(&secret, path, "is not a regular file");
	alarm(0);
}

/* As with the key of TLS: what counts is the file that a link leads to. */
static void
a_link_is_followed(void **state)
{
	Secret secret = {0};
	char   other[160];

	(void) state;
	snprintf(other, sizeof(other), "%s/link", directory);
	assert_int_equal(symlink(path, other), 0);
	assert_refused(&secret, other, "cannot be opened: ");
	write_text("1 " KEY_32 "\n");
	assert_int_equal(secret_read(&secret, other, &words), SECRET_CHANGED);
	write_file("1 " KEY_32 "\n", 67, 0644);
	assert_refused(&secret, other, "is open to others");
	secret_forget(&secret);
}

static void
keys_are_replaced_and_wiped(void **state)
{
	static const Secret nothing;
	Secret				secret = {0};

	(void) state;
	assert_int_equal(secret_key_id(NULL), 0);
	assert_int_equal(secret_key_id(&secret), 0);
	write_text("1 " KEY_32 "\n");
	assert_int_equal(secret_read(&secret, path, &words), SECRET_CHANGED);
	assert_int_equal(secret_key_id(&secret), 1);
	write_text("# the same\n1 " KEY_32 "\n");
	assert_int_equal(secret_read(&secret, path, &words), SECRET_UNCHANGED);
	write_text("1 " KEY_32 "\n2 " KEY_64 "\n");
	assert_int_equal(secret_read(&secret, path, &words), SECRET_CHANGED);
	assert_int_equal(secret_key_id(&secret), 1);
	write_text("2 " KEY_64 "\n1 " KEY_32 "\n");
	assert_int_equal(secret_read(&secret, path, &words), SECRET_CHANGED);
	assert_int_equal(secret_key_id(&secret), 2);
	write_text("2 " KEY_32 "\n");
	assert_int_equal(secret_read(&secret, path, &words), SECRET_CHANGED);
	assert_int_equal(secret.keys.n, 1);
	for (size_t i = sizeof(SecretKey); i < SECRET_KEYS * sizeof(SecretKey); i++)
		assert_int_equal(((uint8_t *) secret.keys.of)[i], 0);
	secret_forget(&secret);
	secret_forget(&secret);
	assert_memory_equal(&secret, &nothing, sizeof(secret));
}

/* ---- tags ---- */

static void
make_datagram(uint8_t *datagram)
{
	for (int i = 0; i < MESSAGE_SIZE; i++)
		datagram[i] = (uint8_t) i;
}

static void
read_keys(Secret *secret, const char *text)
{
	write_text(text);
	if (secret_read(secret, path, &words) != SECRET_CHANGED)
		fail_msg("%s", words.error);
}

static void
assert_tag(Secret *secret, const uint8_t *datagram, const char *expected)
{
	char shown[2 * SECRET_TAG_SIZE + 1];

	for (int i = 0; i < SECRET_TAG_SIZE; i++)
		snprintf(shown + 2 * i, 3, "%02x", datagram[MESSAGE_TAG_OFFSET + i]);
	assert_string_equal(shown, expected);
	assert_int_equal(secret_check(secret, secret_key_id(secret), datagram, MESSAGE_SIZE), SECRET_GOOD);
}

/* Computed by another program (Python's hmac) over 00 01 ... e7 and 32 zeros. */
static void
tags_are_hmac_sha_256(void **state)
{
	Secret	secret = {0};
	uint8_t datagram[MESSAGE_SIZE];

	(void) state;
	make_datagram(datagram);
	assert_false(secret_sign(&secret, datagram, sizeof(datagram)));
	read_keys(&secret, "1 " KEY_32);
	for (int i = 0; i < 3; i++)
	{
		assert_true(secret_sign(&secret, datagram, sizeof(datagram)));
		assert_tag(&secret, datagram, "89c499b68a2d25dc0041e043e7b004b501e315b8ebdd752e34b0410041e791f3");
	}
	read_keys(&secret, "9 " KEY_64);
	assert_true(secret_sign(&secret, datagram, sizeof(datagram)));
	assert_tag(&secret, datagram, "a79bf6bc047d76bda18098f5bbd5110172a3bffe4c978aaa2f8ac6769a8d2bfa");
	assert_false(secret_sign(&secret, datagram, SECRET_TAG_SIZE - 1));
	secret_forget(&secret);
}

/* Whether the library keeps a key between datagrams is only a matter of speed. */
static void
a_key_that_is_kept_or_given_again_is_the_same(void **state)
{
	static const char *const keys[] = {"1 " KEY_32, "1 " KEY_32 "\n2 " KEY_64, "2 " KEY_64 "\n1 " KEY_32};
	uint8_t					 datagram[MESSAGE_SIZE];

	(void) state;
	make_datagram(datagram);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		Secret kept = {0};
		Secret given = {0};
		char   line[100];

		read_keys(&kept, keys[i]);
		read_keys(&given, keys[i]);
		given.hmac_keeps_key = false;
		for (int round = 0; round < 3; round++)
		{
			assert_true(secret_sign(&kept, datagram, sizeof(datagram)));
			for (uint8_t id = 1; id <= 2; id++)
				assert_int_equal(secret_check(&given, id, datagram, sizeof(datagram)),
								 secret_check(&kept, id, datagram, sizeof(datagram)));
			assert_true(secret_sign(&given, datagram, sizeof(datagram)));
			assert_int_equal(secret_check(&kept, secret_key_id(&kept), datagram, sizeof(datagram)), SECRET_GOOD);
		}

		/* the one that had another key before */
		(void) snprintf(line, sizeof(line), "%d ff" KEY_32, secret_key_id(&kept));
		read_keys(&kept, line);
		assert_int_equal(secret_check(&kept, secret_key_id(&kept), datagram, sizeof(datagram)), SECRET_BAD_TAG);
		secret_forget(&kept);
		secret_forget(&given);
	}
}

static void
any_changed_bit_is_noticed(void **state)
{
	Secret	secret = {0};
	uint8_t datagram[MESSAGE_SIZE];

	(void) state;
	make_datagram(datagram);
	read_keys(&secret, "1 " KEY_32);
	assert_true(secret_sign(&secret, datagram, sizeof(datagram)));
	for (int bit = 0; bit < 8 * MESSAGE_SIZE; bit++)
	{
		datagram[bit / 8] ^= (uint8_t) (1 << bit % 8);
		assert_int_equal(secret_check(&secret, 1, datagram, sizeof(datagram)), SECRET_BAD_TAG);
		datagram[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	for (size_t length = 0; length < sizeof(datagram); length++)
		assert_int_equal(secret_check(&secret, 1, datagram, length), SECRET_BAD_TAG);
	assert_int_equal(secret_check(&secret, 1, datagram, sizeof(datagram)), SECRET_GOOD);
	secret_forget(&secret);
}

static void
each_key_is_believed_under_its_own_id(void **state)
{
	Secret	one = {0};
	Secret	two = {0};
	Secret	both = {0};
	Secret	swapped = {0};
	uint8_t datagram[MESSAGE_SIZE];

	(void) state;
	make_datagram(datagram);
	read_keys(&one, "1 " KEY_32);
	read_keys(&two, "2 " KEY_64);
	read_keys(&both, "1 " KEY_32 "\n2 " KEY_64);
	read_keys(&swapped, "1 " KEY_64 "\n2 " KEY_32);

	assert_true(secret_sign(&two, datagram, sizeof(datagram)));
	assert_int_equal(secret_check(&both, 2, datagram, sizeof(datagram)), SECRET_GOOD);
	assert_int_equal(secret_check(&both, 1, datagram, sizeof(datagram)), SECRET_BAD_TAG);
	assert_int_equal(secret_check(&both, 3, datagram, sizeof(datagram)), SECRET_UNKNOWN_KEY);
	assert_int_equal(secret_check(&both, 0, datagram, sizeof(datagram)), SECRET_UNKNOWN_KEY);
	assert_int_equal(secret_check(&one, 2, datagram, sizeof(datagram)), SECRET_UNKNOWN_KEY);
	assert_int_equal(secret_check(&one, 1, datagram, sizeof(datagram)), SECRET_BAD_TAG);
	assert_int_equal(secret_check(&swapped, 2, datagram, sizeof(datagram)), SECRET_BAD_TAG);

	/* the first one signs */
	assert_true(secret_sign(&both, datagram, sizeof(datagram)));
	assert_int_equal(secret_check(&one, 1, datagram, sizeof(datagram)), SECRET_GOOD);
	secret_forget(&one);
	secret_forget(&two);
	secret_forget(&both);
	secret_forget(&swapped);
}

int
main(void)
{
#define file_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_or_two_keys_are_read),
		cmocka_unit_test(malformed_lines_are_named_and_not_shown),
		cmocka_unit_test(only_closed_files_are_taken),
		file_test(a_bad_file_changes_nothing),
		file_test(a_file_is_looked_after),
		file_test(a_fifo_holds_nobody_up),
		file_test(a_link_is_followed),
		file_test(keys_are_replaced_and_wiped),
		file_test(tags_are_hmac_sha_256),
		file_test(a_key_that_is_kept_or_given_again_is_the_same),
		file_test(any_changed_bit_is_noticed),
		file_test(each_key_is_believed_under_its_own_id),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
