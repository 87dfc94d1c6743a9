/*
 * server/position.h
 *	  What is in pg_wal: where local WAL ends, its history files, and its bytes.
 *
 * Rule 15: a position is the end of the last whole record, known only after pg_wal was read
 * to there, also while replay is paused or delayed; and the timeline is that of the last byte,
 * by its history.  Nothing here decides anything.
 *
 * Called by the role worker, by the startup process at the end of recovery, and by the
 * postmaster before it starts that.  Works without a database.  Raises no error but for want of
 * memory: what cannot be read is said in words.
 */
#ifndef PG_LEADER_POSITION_H
#define PG_LEADER_POSITION_H

#include "access/xlogdefs.h"

#include "../primary/histories.h"
#include "../node/lineage.h"

typedef struct PositionEnd
{
	uint64_t end;	   /* of the last whole record; 0: not known */
	uint32_t timeline; /* of the file that it was read from; its last byte may be of a parent */
	uint64_t next;	   /* no record that begins at the end ends before that */
} PositionEnd;

/*
 * Read pg_wal from what was replayed last (before redo: from pg_control's redo pointer) to its
 * end.  About 2 s a gigabyte; "stop" is asked between records and ends it.
 * false: not known, *words says why (also when stopped).
 */
extern bool position_read_end(PositionEnd *end, bool (*stop)(void), Words *words);

/* The lineage of that timeline, from its history file in pg_wal.  words: with LINEAGE_BAD. */
extern LineageVerdict position_read_lineage(uint32_t timeline, Lineage *lineage, Words *words);

/*
 * The timelines from 2 on that pg_wal has a history file or a segment of (HISTORY_NONE: WAL
 * alone), in memory of the current context.  false: pg_wal cannot be read.
 */
extern bool position_read_histories(Histories *histories, Words *words);

/*
 * The bytes of local WAL from "from" up to "end", on that path.  false: they are not there.
 */
extern bool position_read_bytes(const Lineage *path, uint64_t from, uint64_t end, char *bytes);

/*
 * The newest timeline on the path to that one of whose segment of that number there is a file; 0:
 * there is none, or that cannot be read.
 */
extern uint32_t position_newest_file(uint32_t timeline, uint64_t segment);

/*
 * Up to where local WAL was really received, if it ends where a segment does.  After a switch of
 * segments the rest of one is padding: with the switch alone WAL counts as complete, and a
 * receiver that ended before the rest has come leaves there what the file held before.
 */
extern uint64_t position_received(const Lineage *path, uint64_t end);

/*
 * A server that is about to restart: what the files of that timeline have behind the end of WAL is
 * the beginning of a record that nobody will finish.  Its first page stays, which says that it has
 * begun (RaftData.begun).  The rest of that segment becomes zeros, and later ones are removed: then
 * recovery asks for all of the record, and not for what would come next.  false: words say why not.
 */
extern bool position_cut(uint32_t timeline, uint64_t end, Words *words);

/*
 * A primary: the end of what it has inserted.  Behind the header of an empty page there is nothing
 * that could be flushed.
 */
extern XLogRecPtr position_inserted(void);

#endif /* PG_LEADER_POSITION_H */
