/*
 * primary/histories.h
 *	  The timelines that a data directory has files of.
 *
 * Read from the names in pg_wal (and, for a promotion, in the archive) and from the history
 * files themselves.  Timeline 1 has no history file and is in no list.  Used by promotion.c
 * and start.c.  Pure C11: no input or output, no clock, no allocation.
 */
#ifndef PG_LEADER_HISTORIES_H
#define PG_LEADER_HISTORIES_H

#include <stdbool.h>
#include <stdint.h>

typedef enum HistoryKind
{
	HISTORY_NONE = 0, /* no file; there may be WAL */
	HISTORY_BURNT,	  /* nothing but comments: the id is used up, and nobody has been on it */
	HISTORY_BAD,	  /* it cannot be read */
	HISTORY_REAL
} HistoryKind;

typedef struct HistoryFile
{
	uint32_t	timeline; /* from 2 on */
	HistoryKind kind;
	uint64_t	begin; /* of a real one: the LSN in its last line, where the timeline begins */
} HistoryFile;

typedef struct Histories
{
	const HistoryFile *files; /* by timeline, lowest first, no two of one */
	uint32_t		   n;
} Histories;

extern HistoryKind histories_kind(const Histories *histories, uint32_t timeline);

/* How many files are there of the timelines from "first" to "last"? */
extern uint32_t histories_count(const Histories *histories, uint32_t first, uint32_t last);

#endif /* PG_LEADER_HISTORIES_H */
