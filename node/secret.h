/*
 * node/secret.h
 *	  The keys that members share, and the tags that they make with them.
 *
 * A text file holds one or two keys, a line each: "KEY_ID HEXDIGITS", with "#"
 * before comments.  The first key signs what this member sends; what it receives
 * may be signed with either, so that keys can be exchanged one member at a time.
 * A tag is HMAC-SHA-256 over a whole datagram with zero in the place of the tag,
 * which is the last SECRET_TAG_SIZE bytes: of every version, see message.h.
 *
 * Called by the transport and by whoever owns the keys: the worker.  No backend
 * symbols: errors come back as words, which never have a byte of a key in them.
 * In a backend, pg_hmac_create() needs a CurrentResourceOwner; see worker.c.
 */
#ifndef PG_LEADER_SECRET_H
#define PG_LEADER_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "words.h"

#define SECRET_KEYS		2
#define SECRET_KEY_MIN	32 /* bytes */
#define SECRET_KEY_MAX	64
#define SECRET_TAG_SIZE 32
#define SECRET_FILE_MAX 4096 /* bytes; comments may be long, but not endless */

typedef struct SecretKey
{
	uint8_t id; /* 1 .. 255; in a datagram 0 says "not authenticated" */
	uint8_t size;
	uint8_t bytes[SECRET_KEY_MAX]; /* zero behind "size" */
} SecretKey;

typedef struct SecretKeys
{
	int		  n;			   /* 0: no authentication */
	SecretKey of[SECRET_KEYS]; /* the first one signs */
} SecretKeys;

/* All zero: no keys.  Has one owner, and is never copied. */
typedef struct Secret
{
	SecretKeys			keys;
	struct pg_hmac_ctx *hmac[SECRET_KEYS]; /* one for each key, used for every datagram */
	bool				hmac_keeps_key;	   /* it need not be given again each time */
} Secret;

typedef enum SecretRead
{
	SECRET_FAILED = 0, /* error and hint say why; the keys are as before */
	SECRET_UNCHANGED,  /* the file holds the keys that are there already */
	SECRET_CHANGED
} SecretRead;

typedef enum SecretVerdict
{
	SECRET_GOOD = 0,
	SECRET_UNKNOWN_KEY, /* no key has this id */
	SECRET_BAD_TAG
} SecretVerdict;

/* ---- pure ---- */

/*
 * Read what a secret file holds.  false: words with the line's number, and *keys is zero.
 */
extern bool secret_parse(const char *text, size_t length, SecretKeys *keys, Words *words);

/*
 * May a server that runs as "user" rely on a file like that?  The rules of
 * PostgreSQL for the key of TLS: a regular file that is the user's own and closed
 * to everybody else, or root's and open to no more than its group, for reading.
 */
extern bool secret_may_use(const struct stat *file, uid_t user, Words *words);

/* ---- keys ---- */

/*
 * Look after the file of keys that were read: is it still there, and closed to others?
 * Does not open it.
 */
extern bool secret_look(const char *path, Words *words);

/*
 * Take the keys of a file.  Never waits, whatever kind of file that is; reads
 * SECRET_FILE_MAX bytes at most.
 */
extern SecretRead secret_read(Secret *secret, const char *path, Words *words);

/* Forget the keys, leaving no trace of them in memory.  Safe to call twice. */
extern void secret_forget(Secret *secret);

/* Id of the key that signs; 0: there is none. */
extern uint8_t secret_key_id(const Secret *secret);

/* ---- datagrams ---- */

/*
 * Put the tag into the last SECRET_TAG_SIZE bytes.  The first key's id has to be
 * in the datagram already.  false: the library for it has failed.
 */
extern bool secret_sign(Secret *secret, uint8_t *datagram, size_t length);

/* Was this datagram signed with our key of that id? */
extern SecretVerdict secret_check(Secret *secret, uint8_t key_id, const uint8_t *datagram,
								  size_t length);

#endif /* PG_LEADER_SECRET_H */
