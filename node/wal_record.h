/*
 * node/wal_record.h
 *	  Where records of WAL begin and end, which go around the headers of pages.
 *
 * After postgres.h or postgres_fe.h.  Segment sizes in bytes.
 */
#ifndef PG_LEADER_WAL_RECORD_H
#define PG_LEADER_WAL_RECORD_H

#include "access/xlog_internal.h"

/* The header's size, of the page that this is on. */
static inline uint32_t
wal_page_header(uint64_t at, uint32_t segment_size)
{
	return at % segment_size < XLOG_BLCKSZ ? SizeOfXLogLongPHD : SizeOfXLogShortPHD;
}

/* Where the record begins that follows one which ends there. */
static inline uint64_t
wal_next_record(uint64_t end, uint32_t segment_size)
{
	return end % XLOG_BLCKSZ != 0 ? end : end + wal_page_header(end, segment_size);
}

/* Where a record of that length ends. */
static inline uint64_t
wal_end_of_record(uint64_t begin, uint64_t length, uint32_t segment_size)
{
	uint64_t at = begin;

	for (;;)
	{
		uint64_t room = XLOG_BLCKSZ - at % XLOG_BLCKSZ;

		if (length <= room)
			return at + length;
		length -= room;
		at += room;
		at += wal_page_header(at, segment_size);
	}
}

#endif /* PG_LEADER_WAL_RECORD_H */
