/*
 * keep/archive_state.h
 *	  The state file of an archive as bytes, and keep.conf as text.  For archive.c alone.
 *
 * A slot, numbers in network byte order:
 *
 *	  offset size field
 *	  0      8    magic "PGLDKEEP"
 *	  8      4    format
 *	  12     4    segment size
 *	  16     8    system identifier
 *	  24     8    save number
 *	  32     8    term
 *	  40     8    durable, LSN
 *	  48     4    durable, timeline
 *	  52     4    begin, timeline
 *	  56     8    begin, LSN
 *	  64     60   zero
 *	  124    4    CRC-32C of all bytes before it
 *
 * Pure: no input or output.
 */
#ifndef PG_LEADER_ARCHIVE_STATE_H
#define PG_LEADER_ARCHIVE_STATE_H

#include "archive.h"

#define STATE_FORMAT 1
#define STATE_SLOT	 128
#define STATE_STRIDE 4096 /* the slots share no disk block */
#define STATE_FILE	 (2 * STATE_STRIDE)

typedef enum StateVerdict
{
	STATE_GOOD = 0,
	STATE_ONE_BAD, /* the other one counts */
	STATE_BAD,
	STATE_OTHER_FORMAT /* of another version of the program */
} StateVerdict;

extern void state_encode(const ArchiveState *state, uint8_t *slot);

/* Is that a state that a program could have written? */
extern bool state_is_possible(const ArchiveState *state);

/* Of a whole file, STATE_FILE bytes.  With STATE_GOOD and STATE_ONE_BAD: the newer record, and its slot. */
extern StateVerdict state_choose(const uint8_t *image, ArchiveState *state, int *slot);

/* ---- keep.conf ---- */

/* The longest keep.conf that is read. */
#define SETTINGS_TEXT_SIZE 8192

/* false: words say in which line, and what is wrong. */
extern bool settings_parse(const char *text, ArchiveSettings *settings, Words *words);

/* Into SETTINGS_TEXT_SIZE bytes; false: they are too long. */
extern bool settings_write(const ArchiveSettings *settings, char *text);

/* An archive's name is part of a slot's: lower-case letters, digits and "_". */
extern bool settings_name_is_good(const char *name, Words *words);

#endif /* PG_LEADER_ARCHIVE_STATE_H */
