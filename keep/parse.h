/*
 * keep/parse.h
 *	  What PostgreSQL's programs say about WAL, as numbers.
 *
 * Pure: text in, numbers out.
 */
#ifndef PG_LEADER_PARSE_H
#define PG_LEADER_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* ---- pg_waldump ---- */

/* The record that a line shows: where it begins and ends.  false: the line shows none. */
extern bool parse_record(const char *line, uint32_t segment_size, uint64_t *begin, uint64_t *end);

/*
 * Where a record ends that begins there and is so long: each page that it goes on to begins with a header.
 * Records begin at multiples of 8.
 */
extern uint64_t parse_end_of_record(uint64_t begin, uint32_t length, uint32_t segment_size);

/* ---- backup_manifest ---- */

/* The WAL without which the data of a base backup are not consistent. */
typedef struct BackupWal
{
	uint64_t begin;
	uint64_t end;
	uint32_t end_timeline;
} BackupWal;

/* The last part of a manifest.  Several ranges: the backup has gone on to another timeline meanwhile.  false: none. */
extern bool parse_ranges(const char *manifest, BackupWal *wal);

#endif /* PG_LEADER_PARSE_H */
