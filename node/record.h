/*
 * node/record.h
 *	  Encoding of integers and checksums: numbers in network byte order,
 *	  and the checksum at the end of a record.
 *
 * Included by the files of node/ that lay out bytes or read them, before anything
 * else.  Knows no layout, and does no I/O.
 */
#ifndef PG_LEADER_RECORD_H
#define PG_LEADER_RECORD_H

#include "c.h"
#include "port/pg_crc32c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The last bytes of a record: CRC-32C of all before them. */
#define RECORD_CRC_SIZE 4

/* The "size" low bytes of a number, the highest first. */
static inline void
put_number(uint8_t *at, int size, uint64_t value)
{
	for (int i = size - 1; i >= 0; i--)
	{
		at[i] = (uint8_t) value;
		value >>= 8;
	}
}

static inline uint64_t
get_number(const uint8_t *at, int size)
{
	uint64_t value = 0;

	for (int i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

/* A node id or another number that may be negative, of 4 bytes. */
static inline int32_t
get_signed(const uint8_t *at)
{
	return (int32_t) (uint32_t) get_number(at, 4);
}

static inline bool
is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
	{
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

static inline uint32_t
record_crc(const uint8_t *record, size_t size)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, record, size - RECORD_CRC_SIZE);
	FIN_CRC32C(crc);
	return (uint32_t) crc;
}

/* A record of "size" bytes is complete but for its checksum. */
static inline void
record_seal(uint8_t *record, size_t size)
{
	put_number(record + size - RECORD_CRC_SIZE, RECORD_CRC_SIZE, record_crc(record, size));
}

static inline bool
record_is_sealed(const uint8_t *record, size_t size)
{
	return get_number(record + size - RECORD_CRC_SIZE, RECORD_CRC_SIZE) == record_crc(record, size);
}

#endif /* PG_LEADER_RECORD_H */
