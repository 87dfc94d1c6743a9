/*
 * keep/catalogue.h
 *	  The catalogue of an archive: what happened to it, in the order in which it did.
 *
 * A text file of lines that are only ever appended:
 *
 *	  2026-12-01T00:50:00Z gid gid=83886216 timeline=1 label=before%20upgrade #3f07a9c1
 *
 * the time in UTC, the kind, fields, and the CRC-32C of all before the last blank.  In values, all
 * but letters, digits and "-_./:+," is written as %XX.  A line is appended with one write under a
 * lock of the file, and is on disk when catalogue_append() has returned.  What a crash leaves of a
 * line is the last of the file and has no good end: readers ignore it, and the next that appends
 * cuts it off.  A bad line with others behind it is damage, and is an error.
 *
 * Which kinds there are, and the fields of each:
 *
 *	  init		system_id, segment_size
 *	  begin		timeline, lsn: WAL is complete from there on
 *	  gap		timeline, from, to_timeline, to: WAL between the two is missing
 *	  timeline	timeline, from, term: the archive has gone on to that timeline at that LSN
 *	  cut		timeline, from, to, place: WAL that the cluster abandoned is in abandoned/<place>/
 *	  segment	timeline, segment (its number), sha256: it is complete, with that content
 *
 * Verbs add kinds of their own ("base", "gid", "drill"); whoever reads takes the kinds that it knows.
 */
#ifndef PG_LEADER_CATALOGUE_H
#define PG_LEADER_CATALOGUE_H

#include <time.h>

#include "archive.h"

#define CATALOGUE_LINE_SIZE	 2048 /* with its newline and the zero byte */
#define CATALOGUE_FIELDS	 16
#define CATALOGUE_VALUE_SIZE 512

typedef struct CatalogueField
{
	const char *name;
	const char *value; /* decoded */
} CatalogueField;

typedef struct CatalogueEntry
{
	time_t		   at;
	const char	  *kind;
	int			   n_fields;
	CatalogueField fields[CATALOGUE_FIELDS];
	char		   text[CATALOGUE_LINE_SIZE]; /* that the others point into */
} CatalogueEntry;

/* ---- writing ---- */

/* Begin an entry of now.  The kind and names of fields are lower-case letters, digits and "_". */
extern void catalogue_begin(CatalogueEntry *entry, const char *kind);

/*
 * Add a field, whose value is copied.  What does not fit makes catalogue_append() fail: there is
 * no need to look at each call.
 */
extern void catalogue_add(CatalogueEntry *entry, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
extern void catalogue_add_lsn(CatalogueEntry *entry, const char *name, uint64_t lsn);

/* Durably, behind all others.  Any process, at any time. */
extern bool catalogue_append(const Archive *archive, const CatalogueEntry *entry, Words *words);

/* ---- reading ---- */

/*
 * Call "each" for all entries, oldest first, until it returns false.  The entry is gone when it
 * has returned.  false: the catalogue cannot be read, or is damaged, with words; entries before
 * the damage were shown.
 */
extern bool catalogue_read(const Archive *archive, bool (*each)(const CatalogueEntry *entry, void *context), void *context, Words *words);

/* A field's value; NULL: there is none of that name. */
extern const char *catalogue_get(const CatalogueEntry *entry, const char *name);

/* As a number or LSN; 0: there is none, or it is none. */
extern uint64_t catalogue_get_number(const CatalogueEntry *entry, const char *name);
extern uint64_t catalogue_get_lsn(const CatalogueEntry *entry, const char *name);

/* ---- pure ---- */

/*
 * The entry as a line with its newline, into CATALOGUE_LINE_SIZE bytes.  Its length; 0: too long, or
 * not well formed.
 */
extern size_t catalogue_write_line(const CatalogueEntry *entry, char *line);

/* One line without its newline; false: it is none. */
extern bool catalogue_read_line(const char *line, size_t length, CatalogueEntry *entry);

#endif /* PG_LEADER_CATALOGUE_H */
