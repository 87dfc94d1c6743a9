/*
 * node/secret.c
 *	  The keys that members share, and the tags that they make with them.
 *
 * See secret.h.  The first half reads the file of the keys, and is strict: a file
 * that is not quite right is refused as a whole.  The second half makes tags and
 * compares them.  Called by the worker and the transport.  Must not use backend
 * symbols, log, put any part of a key into a message, or leave it in memory.
 *
 * HMAC is PostgreSQL's own: in the module the server's, in programs that of
 * libpgcommon, with OpenSSL below it where PostgreSQL was built so.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* explicit_bzero() */
#endif

#include "c.h"
#include "common/hmac.h"

#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HINT_KEYS                                                                          \
	"It holds one or two keys, a line each: a key id from 1 to 255 and an even number of " \
	"hexadecimal digits, 64 to 128."
_Static_assert(SECRET_KEY_MIN == 32 && SECRET_KEY_MAX == 64, "HINT_KEYS says how long keys are");
#define HINT_READ "The user that the server runs as must be able to read it."
#define HINT_OWNER                                                                     \
	"It must be a regular file: the server user's own with permissions 0600 or less, " \
	"or root's with 0640 or less."

/* ---- pure ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The next word of a line: *word to *at; empty at the end of the line. */
static size_t
next_word(const char **at, const char *end, const char **word)
{
	while (*at < end && is_blank(**at))
		(*at)++;
	*word = *at;
	while (*at < end && !is_blank(**at))
		(*at)++;
	return (size_t) (*at - *word);
}

/* 1 to 255 in at most three digits, 0 if it is nothing of that kind. */
static uint8_t
parse_key_id(const char *word, size_t length)
{
	unsigned id = 0;

	if (length > 3)
		return 0;
	for (size_t i = 0; i < length; i++)
	{
		if (word[i] < '0' || word[i] > '9')
			return 0;
		id = id * 10 + (unsigned) (word[i] - '0');
	}
	return id <= UINT8_MAX ? (uint8_t) id : 0;
}

static bool
parse_key(const char *word, size_t length, int line, SecretKey *key, Words *words)
{
	bool varies = false;

	for (size_t i = 0; i < length; i++)
	{
		if (hex_value(word[i]) < 0)
			return words_set(words, HINT_KEYS, "line %d: character %zu of the key is not a hexadecimal digit",
							 line, i + 1);
	}
	if (length < 2 * SECRET_KEY_MIN || length > 2 * SECRET_KEY_MAX || length % 2 != 0)
		return words_set(words, HINT_KEYS, "line %d: the key has %zu hexadecimal digits, and must have an even number from %d to %d",
						 line, length, 2 * SECRET_KEY_MIN, 2 * SECRET_KEY_MAX);
	key->size = (uint8_t) (length / 2);
	for (int i = 0; i < key->size; i++)
	{
		key->bytes[i] = (uint8_t) (hex_value(word[2 * i]) << 4 | hex_value(word[2 * i + 1]));
		varies = varies || key->bytes[i] != key->bytes[0];
	}
	/* Reject obvious non-secrets, such as examples or zeros. */
	if (!varies)
		return words_set(words, HINT_KEYS, "line %d: the key is one byte again and again, and no secret", line);
	return true;
}

static bool
parse_line(const char *at, const char *end, int line, SecretKeys *keys, Words *words)
{
	const char *comment = memchr(at, '#', (size_t) (end - at));
	const char *word;
	size_t		length;
	SecretKey  *key = &keys->of[keys->n];

	if (comment != NULL)
		end = comment;
	length = next_word(&at, end, &word);
	if (length == 0)
		return true;
	if (keys->n == SECRET_KEYS)
		return words_set(words, HINT_KEYS, "line %d: there are two keys before it already, and no more than two can be in use",
						 line);
	key->id = parse_key_id(word, length);
	if (key->id == 0)
		return words_set(words, HINT_KEYS, "line %d: it does not begin with a key id, a number from 1 to 255", line);
	if (keys->n > 0 && keys->of[0].id == key->id)
		return words_set(words, HINT_KEYS, "line %d: key id %d is that of the first key already", line, key->id);
	length = next_word(&at, end, &word);
	if (length == 0)
		return words_set(words, HINT_KEYS, "line %d: there is no key behind the key id", line);
	if (!parse_key(word, length, line, key, words))
		return false;
	if (next_word(&at, end, &word) != 0)
		return words_set(words, HINT_KEYS, "line %d: there is something behind the key", line);
	keys->n++;
	return true;
}

bool
secret_parse(const char *text, size_t length, SecretKeys *keys, Words *words)
{
	const char *at = text;
	const char *end = text + length;

	memset(keys, 0, sizeof(*keys));
	words_clear(words);
	for (int line = 1; at < end; line++)
	{
		const char *eol = memchr(at, '\n', (size_t) (end - at));

		if (eol == NULL)
			eol = end;
		if (!parse_line(at, eol, line, keys, words))
			break;
		at = eol < end ? eol + 1 : end;
	}
	if (words->error[0] == '\0' && keys->n == 0)
		(void) words_set(words, HINT_KEYS, "there is no key in it");
	if (words->error[0] == '\0')
		return true;
	explicit_bzero(keys, sizeof(*keys));
	return false;
}

bool
secret_may_use(const struct stat *file, uid_t user, Words *words)
{
	mode_t too_much = S_IRWXG | S_IRWXO;

	if (!S_ISREG(file->st_mode))
		return words_set(words, HINT_OWNER, "is not a regular file");
	if (file->st_uid != user && file->st_uid != 0)
		return words_set(words, HINT_OWNER, "belongs neither to the user that the server runs as nor to root");

	/* A user cannot give a file of his own to a group, root can. */
	if (file->st_uid != user)
		too_much = S_IWGRP | S_IXGRP | S_IRWXO;
	if (file->st_mode & too_much)
		return words_set(words, HINT_OWNER, "is open to others: its permissions are %04o",
						 (unsigned) (file->st_mode & 07777));
	words_clear(words);
	return true;
}

/* ---- keys ---- */

bool
secret_look(const char *path, Words *words)
{
	struct stat file;
	Words		inner = {"", ""};

	words_clear(words);
	if (stat(path, &file) != 0)
		return words_set(words, "Put it back, or set pg_leader.secret_file to where it is.",
						 "the secret file \"%.480s\" cannot be looked at: %s", path, strerror(errno));
	if (secret_may_use(&file, geteuid(), &inner))
		return true;
	return words_set(words, HINT_OWNER " If others could read it, exchange the key.",
					 "the secret file \"%.480s\" %.480s", path, inner.error);
}

/* The whole file, if it is no longer than it may be; its length, -1 with words. */
static ssize_t
read_file(const char *path, char *text, Words *words)
{
	struct stat file;
	size_t		length = 0;
	ssize_t		got;
	int			fd;

	/* O_NONBLOCK: opening a FIFO must not wait for somebody who writes into it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
	{
		(void) words_set(words, HINT_READ, "cannot be opened: %s", strerror(errno));
		return -1;
	}
	if (fstat(fd, &file) != 0)
		(void) words_set(words, HINT_READ, "cannot be looked at: %s", strerror(errno));
	else if (secret_may_use(&file, geteuid(), words))
	{
		do
		{
			got = read(fd, text + length, SECRET_FILE_MAX + 1 - length);
			if (got > 0)
				length += (size_t) got;
		} while ((got > 0 && length <= SECRET_FILE_MAX) || (got < 0 && errno == EINTR));
		if (got < 0)
			(void) words_set(words, HINT_READ, "cannot be read: %s", strerror(errno));
		else if (length > SECRET_FILE_MAX)
			(void) words_set(words, HINT_KEYS, "is larger than %d bytes", SECRET_FILE_MAX);
	}
	(void) close(fd);
	return words->error[0] == '\0' ? (ssize_t) length : -1;
}

/* HMAC-SHA-256 over the datagram, with zero for its tag; key NULL: the one of last time. */
static bool
make_tag_with(struct pg_hmac_ctx *hmac, const SecretKey *key, const uint8_t *datagram,
			  size_t length, uint8_t *tag)
{
	static const uint8_t no_tag[SECRET_TAG_SIZE];

	return pg_hmac_init(hmac, key != NULL ? key->bytes : NULL, key != NULL ? key->size : 0) >= 0 &&
		   pg_hmac_update(hmac, datagram, length - SECRET_TAG_SIZE) >= 0 &&
		   pg_hmac_update(hmac, no_tag, SECRET_TAG_SIZE) >= 0 &&
		   pg_hmac_final(hmac, tag, SECRET_TAG_SIZE) >= 0;
}

static bool
make_tag(Secret *secret, int key, const uint8_t *datagram, size_t length, uint8_t *tag)
{
	return make_tag_with(secret->hmac[key], secret->hmac_keeps_key ? NULL : &secret->keys.of[key],
						 datagram, length, tag);
}

/*
 * Have what HMAC needs in *prepared, which holds nothing yet, and see that it works:
 * better now than with the first datagram.  A library can be built or configured to
 * refuse.
 *
 * Setting the key up is most of the work for a datagram of this size.  OpenSSL keeps
 * it when none is given (HMAC_Init_ex(3)), and PostgreSQL's functions pass that on;
 * those of a PostgreSQL without OpenSSL would take it for an empty key.  So it is
 * tried: what has made the same tag again has kept the key.
 */
static bool
prepare_hmac(Secret *prepared, Words *words)
{
	uint8_t datagram[SECRET_TAG_SIZE] = {0};
	uint8_t tag[SECRET_TAG_SIZE];
	uint8_t again[SECRET_TAG_SIZE];

	prepared->hmac_keeps_key = true;
	for (int i = 0; i < prepared->keys.n; i++)
	{
		struct pg_hmac_ctx *hmac = prepared->hmac[i] = pg_hmac_create(PG_SHA256);

		if (hmac == NULL)
			return words_set(words, "Free some memory on this machine.", "out of memory");
		if (!make_tag_with(hmac, &prepared->keys.of[i], datagram, sizeof(datagram), tag))
			return words_set(words, "The OpenSSL of this machine must provide HMAC-SHA-256.", "HMAC-SHA-256 has failed: %s", pg_hmac_error(hmac));
		if (!make_tag_with(hmac, NULL, datagram, sizeof(datagram), again) ||
			memcmp(tag, again, sizeof(tag)) != 0)
			prepared->hmac_keeps_key = false;
	}
	explicit_bzero(tag, sizeof(tag));
	explicit_bzero(again, sizeof(again));
	return true;
}

SecretRead
secret_read(Secret *secret, const char *path, Words *words)
{
	char	   text[SECRET_FILE_MAX + 1];
	Words	   inner = {"", ""};
	Secret	   taken = {0};
	SecretRead result = SECRET_FAILED;
	ssize_t	   length;

	words_clear(words);
	length = read_file(path, text, &inner);
	if (length >= 0 && secret_parse(text, (size_t) length, &taken.keys, &inner) &&
		prepare_hmac(&taken, &inner))
		result = memcmp(&taken.keys, &secret->keys, sizeof(taken.keys)) == 0 ? SECRET_UNCHANGED : SECRET_CHANGED;
	explicit_bzero(text, sizeof(text));
	if (result == SECRET_CHANGED)
	{
		Secret had = *secret;

		*secret = taken;
		taken = had;
		explicit_bzero(&had, sizeof(had));
	}
	secret_forget(&taken);
	if (result == SECRET_FAILED)
		(void) words_set(words, inner.hint, "the secret file \"%.480s\" %s%.480s", path,
						 length >= 0 ? "cannot be used: " : "", inner.error);
	return result;
}

void
secret_forget(Secret *secret)
{
	/* A context holds what was made of a key, and is wiped by this. */
	for (int i = 0; i < SECRET_KEYS; i++)
		pg_hmac_free(secret->hmac[i]);
	explicit_bzero(secret, sizeof(*secret));
}

uint8_t
secret_key_id(const Secret *secret)
{
	return secret != NULL && secret->keys.n > 0 ? secret->keys.of[0].id : 0;
}

/* ---- datagrams ---- */

/*
 * Are two tags the same?  Looks at every byte whatever it has seen: with memcmp(),
 * the time to an answer would tell a forger how many bytes are right already.
 * PostgreSQL has timingsafe_bcmp() for this only in later versions than 15.
 */
static bool
same_tag(const uint8_t *a, const uint8_t *b)
{
	volatile uint8_t difference = 0;

	for (int i = 0; i < SECRET_TAG_SIZE; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

bool
secret_sign(Secret *secret, uint8_t *datagram, size_t length)
{
	if (secret->keys.n == 0 || length < SECRET_TAG_SIZE)
		return false;
	return make_tag(secret, 0, datagram, length, datagram + length - SECRET_TAG_SIZE);
}

SecretVerdict
secret_check(Secret *secret, uint8_t key_id, const uint8_t *datagram, size_t length)
{
	uint8_t		  tag[SECRET_TAG_SIZE];
	SecretVerdict verdict = SECRET_UNKNOWN_KEY;

	for (int i = 0; i < secret->keys.n; i++)
	{
		if (secret->keys.of[i].id != key_id)
			continue;
		verdict = SECRET_BAD_TAG;
		if (length >= SECRET_TAG_SIZE &&
			make_tag(secret, i, datagram, length, tag) &&
			same_tag(tag, datagram + length - SECRET_TAG_SIZE))
			verdict = SECRET_GOOD;
	}

	/* Do not leave the correct tag of a forged datagram in memory. */
	explicit_bzero(tag, sizeof(tag));
	return verdict;
}
