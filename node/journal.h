/*
 * node/journal.h
 *	  The journal: the last few hundred events of a member, on disk.
 *
 * For finding out later why the leader changed.  Elections do not need it: a journal
 * that is missing, damaged or another member's is replaced, and a write that fails is
 * tried again.  (Only a member that lost its state file takes its term from it.)  So it
 * is not synced: what
 * the kernel had not yet written when the power failed is lost.  A write may wait for
 * the disk for as long as a file system is frozen: whoever writes may block.
 *
 * One file of a fixed size for each member, "node-<id>.events" beside its state
 * file, whose lock keeps a second process out.  Event number N stands in record
 * (N - 1) modulo JOURNAL_EVENTS.  Nothing is written without an event.
 *
 * A record, numbers in network byte order:
 *
 *	  offset size field
 *	  0      8    magic "PGLDEVNT"
 *	  8      4    format
 *	  12     4    node id
 *	  16     8    digest of the cluster's name
 *	  24     8    number of the event
 *	  32     8    wall clock
 *	  40     8    boot counter of the member
 *	  48     8    boot time
 *	  56     8    start of a lease
 *	  64     8    end of it
 *	  72     8    term
 *	  80     16   boot id of the machine
 *	  96     1    role
 *	  97     1    leader id, 255: none
 *	  98     144  reason, text that a zero ends
 *	  242    10   zero
 *	  252    4    CRC-32C of all bytes before it
 *
 * Magic, format and CRC stay where they are in every format.  A record of zeros is
 * an empty one.
 *
 * Called by the worker, the recorder and pg_leader_state.  No backend symbols: errors
 * come back as words.
 */
#ifndef PG_LEADER_JOURNAL_H
#define PG_LEADER_JOURNAL_H

#include "store.h"

#define JOURNAL_FORMAT		1
#define JOURNAL_EVENTS		512
#define JOURNAL_RECORD_SIZE 256 /* divides every disk block */
#define JOURNAL_FILE_SIZE	((size_t) JOURNAL_EVENTS * JOURNAL_RECORD_SIZE)
#define JOURNAL_REASON_SIZE 144 /* with the final zero */
#define JOURNAL_BOOT_ID		16

typedef struct JournalEvent
{
	uint64_t number; /* from 1, goes on over restarts */
	int64_t	 at;	 /* wall clock, microseconds since 1970, for people */
	uint64_t boot;	 /* which start of the member wrote it */

	/*
	 * Of the election's clock, us.  They mean something only as long as the machine
	 * has not been started again since, which its boot id tells.
	 */
	uint8_t	 boot_id[JOURNAL_BOOT_ID]; /* all zero: not known */
	uint64_t boot_time;
	uint64_t lease_start; /* 0: says nothing about a lease */
	uint64_t lease_end;	  /* 0: not over */

	uint64_t term;
	RaftRole role;
	int32_t	 leader_id;
	char	 reason[JOURNAL_REASON_SIZE]; /* words */
} JournalEvent;

typedef enum JournalVerdict
{
	JOURNAL_GOOD = 0,
	JOURNAL_EMPTY, /* a record: none.  A file: there is no record in it */
	JOURNAL_TORN,  /* a file: some records are bad, the others count */
	JOURNAL_BAD,   /* a record, or all that are there */
	JOURNAL_WRONG_SIZE,
	JOURNAL_OTHER_FORMAT, /* of another version of the program */
	JOURNAL_OTHER_CLUSTER,
	JOURNAL_OTHER_NODE
} JournalVerdict;

/* ---- pure ---- */

/* Lay out one record of JOURNAL_RECORD_SIZE bytes.  What is too long is cut. */
extern void journal_encode(const StoreIdentity *identity, const JournalEvent *event,
						   uint8_t *record);

/*
 * Read one record: JOURNAL_GOOD, _EMPTY, _BAD or _OTHER_FORMAT; the rest is filled
 * in only with JOURNAL_GOOD.
 */
extern JournalVerdict journal_decode(const uint8_t *record, StoreIdentity *identity,
									 JournalEvent *event);

/*
 * Read a whole file of "length" bytes.  With JOURNAL_GOOD, _EMPTY and _TORN,
 * events[0 .. *n_events - 1] are the good ones by rising number (it has room for
 * JOURNAL_EVENTS), and *n_bad says how many records are bad.  *found says whose it is
 * if identity is NULL, and with JOURNAL_OTHER_CLUSTER and _OTHER_NODE.
 */
extern JournalVerdict journal_scan(const uint8_t *image, size_t length,
								   const StoreIdentity *identity, JournalEvent *events,
								   int *n_events, int *n_bad, StoreIdentity *found);

/* What one event tells of the member whose it is; *evidence only rises. */
extern void journal_heed(const JournalEvent *event, StoreEvidence *evidence);

/* "another node's", for people. */
extern const char *journal_verdict_name(JournalVerdict verdict);

/* ---- files ---- */

typedef struct Journal
{
	int			  fd; /* -1: closed */
	StoreIdentity identity;
	char		  path[STORE_PATH_SIZE];
} Journal;

/* "<directory>/node-<id>.events"; false if it would be too long. */
extern bool journal_path(const char *directory, int32_t node_id, char *path, size_t size);

/*
 * The journal as it is, without changing anything.  image has JOURNAL_FILE_SIZE + 1
 * bytes, so that a longer file shows as such.  false, with words; *missing says that there is merely none.
 */
extern bool journal_read(const char *path, uint8_t *image, size_t *length, bool *missing,
						 Words *words);

/*
 * Open the journal for writing, or begin one; the state file of the member is open,
 * and so locked.  An unusable one is renamed, to "<path>.bad" or, if that is
 * there already, ".bad.1" to ".bad.9", and begun anew.  error says what was found,
 * also with a journal that can be written; it is empty if there is nothing to tell.
 * *last is the highest number in it.  false: it cannot be written.
 */
extern bool journal_open(Journal *journal, const char *directory, const StoreIdentity *identity,
						 uint64_t *last, Words *words);

/* Is the file that is open still the one at its path? */
extern bool journal_is_in_place(const Journal *journal);

/* Write one event into its place.  May block.  false: words in error. */
extern bool journal_write(Journal *journal, const JournalEvent *event, Words *words);

/* Safe to call twice. */
extern void journal_close(Journal *journal);

/* This start of the machine; all zero if the system does not tell. */
extern void journal_boot_id(uint8_t *boot_id);

#endif /* PG_LEADER_JOURNAL_H */
