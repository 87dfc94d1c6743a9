/*
 * node/note.h
 *	  What a member held a moment ago, on disk, newer than its state file says (rule 22).
 *
 * The state file has a floor of what a member held, as of its last save; in calm that may be
 * long ago, and the election must not wait for a disk.  So the role worker keeps a newer one
 * here, written at most once a second, and reads it at its start.  Losing it costs what the
 * peers do not remember either; so a file that is damaged, another member's or of another
 * format is as good as none, and said in words.
 *
 * One file for each member, "node-<id>.held" beside its state file, written under another name,
 * synced and renamed, whatever the server's fsync setting says.  One process writes it.  Numbers
 * in network byte order:
 *
 *	  offset size field
 *	  0      8    magic "PGLDHELD"
 *	  8      4    format
 *	  12     4    node id
 *	  16     8    digest of the cluster's name
 *	  24     8    held, timeline
 *	  32     8    held, LSN
 *	  40     4    on which timeline it has written WAL itself
 *	  44     4    1: it has resigned because its commits stood still
 *	  48     12   zero
 *	  60     4    CRC-32C of all bytes before it
 *
 * Magic, format and CRC stay where they are in every format.
 *
 * Writing waits for the disk: never called by the election worker.  No backend symbols.
 */
#ifndef PG_LEADER_NOTE_H
#define PG_LEADER_NOTE_H

#include "store.h"

#define NOTE_FORMAT 1
#define NOTE_SIZE	64

typedef struct Note
{
	RaftPosition held;			  /* for member_remember_held(); 0/0: nothing is known */
	uint32_t	 wrote_on;		  /* PrimaryFacts.wrote_on; 0: none */
	bool		 standing_before; /* WatchLeading.standing_before */
} Note;

typedef enum NoteVerdict
{
	NOTE_GOOD = 0,
	NOTE_MISSING,
	NOTE_BAD /* words say why; to be treated like one that is missing */
} NoteVerdict;

/* "<directory>/node-<id>.held"; false if it would be too long. */
extern bool note_path(const char *directory, int32_t node_id, char *path, size_t size);

/* *note is all zero unless the file is good. */
extern NoteVerdict note_read(const char *directory, const StoreIdentity *identity, Note *note, Words *words);

/* Make it durable.  false, with words: this one may or may not be there, else the one before it. */
extern bool note_write(const char *directory, const StoreIdentity *identity, const Note *note, Words *words);

#endif /* PG_LEADER_NOTE_H */
