/*
 * node/store.h
 *	  What a member must never forget, on disk: RaftSaved.
 *
 * One file of a fixed size for each member, "node-<id>.state", with two slots
 * that are written in turn: a write that is cut short costs the slot it went
 * to, and the other still holds the record before.  Reading a file (encode,
 * choose) is pure and knows nothing of files, so that tests and the simulator
 * can tear and corrupt it byte by byte.
 *
 * What is found at a start, and what follows from it:
 *	  both slots good		the newer record counts
 *	  one slot bad			torn or corrupted, which cannot be told apart: the good one
 *							counts, and the member abstains
 *	  no file				the member abstains, see raft_first_record()
 *	  anything else			the member does not take part, and says why
 *
 * Writes are one pwrite and fdatasync each, whatever the server's fsync setting
 * says.  A lock on the file keeps a second process out.
 *
 * A slot, numbers in network byte order:
 *
 *	  offset size field
 *	  0      8    magic "PGLDSAVE"
 *	  8      4    format
 *	  12     4    node id
 *	  16     8    digest of the cluster's name
 *	  24     8    save number
 *	  32     8    boot counter
 *	  40     8    term
 *	  48     4    voted for
 *	  52     4    list size
 *	  56     8    promise
 *	  64     8    list digest
 *	  72     4    abstaining, and why
 *	  76     4    rebuild: what is being done to the data directory
 *	  80     8    system identifier
 *	  88     4    claim
 *	  92     4    promotion that may still happen
 *	  96     4    rebuild: from whom
 *	  100    4    1: data are distrusted; 2: it has never held any
 *	  104    8    rebuild: term
 *	  112    8    floor, timeline
 *	  120    8    floor, LSN
 *	  128    4    number of timelines
 *	  132    64   timelines; the highest bit: created
 *	  196    4    pause
 *	  200    4    list of members that count: number
 *	  204    8    the list: its members; bit i: node i
 *	  212    8    the list: those before
 *	  220    8    the list: digest of their addresses
 *	  228    8    the list: term of the leader that wrote it
 *	  236    16   zero
 *	  252    4    CRC-32C of all bytes before it
 *
 * Magic, format and CRC stay where they are in every format, so that a file of
 * another version can be told from a broken one.  What lies outside the slots
 * is written as zero and not looked at.
 *
 * Called by the worker and by pg_leader_state.  No backend symbols: errors come
 * back as words.
 */
#ifndef PG_LEADER_STORE_H
#define PG_LEADER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "words.h"

#include "../raft/raft.h"

#define STORE_FORMAT	  1
#define STORE_SLOT_SIZE	  256  /* bytes of a record, CRC-32C included */
#define STORE_SLOT_STRIDE 4096 /* the slots share no disk block */
#define STORE_FILE_SIZE	  (2 * STORE_SLOT_STRIDE)
#define STORE_PATH_SIZE	  1024

/* Whose store it is. */
typedef struct StoreIdentity
{
	uint64_t cluster_digest; /* of the cluster's name */
	int32_t	 node_id;
} StoreIdentity;

typedef enum StoreVerdict
{
	STORE_GOOD = 0,
	STORE_ONE_SLOT_BAD, /* the other one is good */
	STORE_BAD,			/* no slot can be used */
	STORE_WRONG_SIZE,
	STORE_OTHER_FORMAT, /* of another version of the program */
	STORE_OTHER_CLUSTER,
	STORE_OTHER_NODE
} StoreVerdict;

/* ---- pure ---- */

/* Lay out one record as a slot of STORE_SLOT_SIZE bytes. */
extern void store_encode(const StoreIdentity *identity, const RaftSaved *saved,
						 uint8_t *slot);

/*
 * Read one slot.  STORE_GOOD, STORE_BAD or STORE_OTHER_FORMAT; identity and
 * saved are filled in only with STORE_GOOD.  Impossible values (a term above
 * RAFT_MAX_TERM, a vote for no possible node, ...) are STORE_BAD even under a
 * good checksum.
 */
extern StoreVerdict store_decode(const uint8_t *slot, StoreIdentity *identity,
								 RaftSaved *saved);

/*
 * Read a whole file of "length" bytes.  With STORE_GOOD and STORE_ONE_SLOT_BAD,
 * *saved is the record that counts and *slot where it stands (0 or 1).  With
 * STORE_OTHER_CLUSTER and STORE_OTHER_NODE, *found says whose it is.
 */
extern StoreVerdict store_choose(const uint8_t *image, size_t length,
								 const StoreIdentity *identity, RaftSaved *saved,
								 int *slot, StoreIdentity *found);

/*
 * Number the first record of a store that takes the place of one that may have
 * been lost: boot counter and save number begin at the wall clock, in
 * milliseconds, so that peers and old copies with the numbers of an earlier start
 * are older than this one.  Correctness does not depend on the clock: numbers that are
 * too low are detected like an old copy.
 */
extern void store_number_new_life(RaftSaved *first, uint64_t wall_clock_ms);

/* What this member is known to have been, from its journal of events. */
typedef struct StoreEvidence
{
	uint64_t term; /* the highest that it was in; 0: none is known */
	uint64_t boot;
} StoreEvidence;

/*
 * Raise the first record of such a store to what is known of the one before: the term is
 * the highest known, in which the vote is unknown, and the boot counter is above all that
 * are known.  So a cluster whose members have all lost their files, and kept their
 * journals, elects in a higher term than any that it had.
 */
extern void store_heed_evidence(RaftSaved *first, const StoreEvidence *evidence);

/*
 * May a server that runs as "user" rely on a state file or directory like that?  It is
 * that user's own or root's, and nobody else may write to it: who writes there can make
 * a member forget its vote.  false: words in error that follow the file's name.
 */
extern bool store_may_trust(const struct stat *file, uid_t user, Words *words);

/* "one slot is bad", for people. */
extern const char *store_verdict_name(StoreVerdict verdict);

/* ---- files ---- */

typedef struct Store
{
	int			  fd; /* -1: closed */
	StoreIdentity identity;
	int			  next_slot;   /* where the next record goes */
	uint64_t	  save_number; /* of the newest record on disk */
	bool		  damaged;	   /* one slot was bad when it was opened */
	dev_t		  device;	   /* which file is open */
	ino_t		  inode;
	char		  path[STORE_PATH_SIZE];
} Store;

typedef enum StoreOpen
{
	STORE_OPENED = 0, /* *saved is what counts; see store->damaged */
	STORE_MISSING,	  /* no such file; store_create() makes one */
	STORE_FAILED	  /* error and hint say what and what to do */
} StoreOpen;

/* "<directory>/node-<id>.state"; false if it would be too long. */
extern bool store_path(const char *directory, int32_t node_id,
					   char *path, size_t size);

/*
 * Open, lock and read the state file of a member.  STORE_MISSING only if the file does not exist and
 * its directory is there (or can be made by store_create()).
 */
extern StoreOpen store_open(Store *store, const char *directory,
							const StoreIdentity *identity, RaftSaved *saved,
							Words *words);

/*
 * Create the file with both slots holding "first", and leave it open and locked:
 * temporary file, fsync, rename, fsync of the directory.  Makes the directory
 * (mode 0700) if only that is missing.  Refuses to overwrite.
 */
extern bool store_create(Store *store, const char *directory,
						 const StoreIdentity *identity, const RaftSaved *first,
						 Words *words);

/*
 * Make a record durable, in the file that is at the store's path; its save number must
 * be above the last one.  false: it may or may not be on disk, and the process must not
 * go on with it in memory; the store is closed, so that nothing can be saved until it is
 * opened again.
 */
extern bool store_save(Store *store, const RaftSaved *saved, Words *words);

typedef enum StoreSight
{
	STORE_SOUND = 0,
	STORE_OPEN_TO_OTHERS, /* it or its directory: store_open() would refuse it */
	STORE_GONE			  /* the path leads nowhere, or to another file: no save will succeed */
} StoreSight;

/*
 * Look after a state file while another process has it open: which one is in
 * Store.device and .inode.  error and hint say what is wrong and what to do.
 */
extern StoreSight store_look(const char *path, dev_t device, ino_t inode, Words *words);

/*
 * Read a state file as it is, without locking it, for read-only use.
 * image has STORE_FILE_SIZE + 1 bytes, so that a longer file shows as such.  false:
 * words in error.  A member that is saving at that moment may be caught half way:
 * read again before calling a file damaged.
 */
extern bool store_read(const char *path, uint8_t *image, size_t *length,
					   Words *words);

/* Close and unlock.  Safe to call twice. */
extern void store_close(Store *store);

#endif /* PG_LEADER_STORE_H */
