/*
 * keep/parse.c
 *	  What PostgreSQL's programs say about WAL, as numbers.
 *
 * See parse.h.
 */
#include "postgres_fe.h"

#include "../node/wal_record.h"
#include "parse.h"

static uint64_t
lsn_of(unsigned int high, unsigned int low)
{
	return (uint64_t) high << 32 | low;
}

/* ---- pg_waldump ---- */

uint64_t
parse_end_of_record(uint64_t begin, uint32_t length, uint32_t segment_size)
{
	return wal_end_of_record(begin, MAXALIGN64(length), segment_size);
}

/* "rmgr: Heap  len (rec/tot):  54/  54, tx: 734, lsn: 0/01500060, prev 0/01500028, desc: ..." */
bool
parse_record(const char *line, uint32_t segment_size, uint64_t *begin, uint64_t *end)
{
	const char	*lengths = strstr(line, "len (rec/tot):");
	const char	*lsn = strstr(line, ", lsn: ");
	unsigned int high;
	unsigned int low;
	unsigned int length;

	if (lengths == NULL || lsn == NULL || sscanf(lengths, "len (rec/tot): %*u/ %u", &length) != 1 || sscanf(lsn, ", lsn: %X/%X", &high, &low) != 2)
		return false;
	*begin = lsn_of(high, low);
	*end = parse_end_of_record(*begin, length, segment_size);
	return true;
}

/* ---- backup_manifest ---- */

/* { "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" } */
bool
parse_ranges(const char *manifest, BackupWal *wal)
{
	const char *at = strstr(manifest, "\"WAL-Ranges\"");
	bool		found = false;

	*wal = (BackupWal){.begin = UINT64_MAX};
	while (at != NULL && (at = strstr(at, "{ \"Timeline\":")) != NULL)
	{
		unsigned int timeline;
		unsigned int from[2];
		unsigned int to[2];

		if (sscanf(at, "{ \"Timeline\": %u, \"Start-LSN\": \"%X/%X\", \"End-LSN\": \"%X/%X\" }", &timeline, &from[0], &from[1], &to[0], &to[1]) != 5)
			return false;
		if (lsn_of(from[0], from[1]) < wal->begin)
			wal->begin = lsn_of(from[0], from[1]);
		if (lsn_of(to[0], to[1]) > wal->end)
		{
			wal->end = lsn_of(to[0], to[1]);
			wal->end_timeline = timeline;
		}
		found = true;
		at++;
	}
	return found && wal->begin <= wal->end;
}
