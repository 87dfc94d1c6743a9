/*
 * node/lineage.h
 *	  Timeline histories as values: which WAL is which server's past.
 *
 * A server's WAL is a path through a tree: each timeline but the first forks off its
 * parent at some LSN, which its history file names.  A lineage is such a path, from
 * timeline 1 to the one that the WAL is on now.  What is asked of it: is one a prefix of
 * another, where do two part, and on which timeline is a byte.  Names of files are left to
 * PostgreSQL's own macros (access/xlog_internal.h).
 *
 * LSNs are byte positions; an end is the first byte that is no longer of that timeline,
 * as in PostgreSQL's history files.  Called by primary/, server/, the supervisor and the
 * simulator.  Reads bytes that are handed in, does no input or output and allocates
 * nothing.  No backend symbols.
 */
#ifndef PG_LEADER_LINEAGE_H
#define PG_LEADER_LINEAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "words.h"

#include "../raft/message.h"

/* So many ancestors are read; a history file that has more is refused. */
#define LINEAGE_ANCESTORS 2048

/* PostgreSQL counts on beyond it; nothing here does. */
#define LINEAGE_MAX_TIMELINE RAFT_MAX_TIMELINE

/* Of a position that is in no end of it: the timeline is still being written. */
#define LINEAGE_NO_END UINT64_MAX

typedef struct LineageAncestor
{
	uint32_t timeline;
	uint64_t end; /* where the next timeline of the path begins */
} LineageAncestor;

typedef struct Lineage
{
	uint32_t		timeline; /* the newest of the path, which has no end */
	int				n_ancestors;
	LineageAncestor ancestors[LINEAGE_ANCESTORS]; /* oldest first */
} Lineage;

typedef enum LineageVerdict
{
	LINEAGE_GOOD = 0,

	/*
	 * Nothing but comments: the id is used up, and no server has ever been on it.  Its
	 * past is not known, so it is not a lineage.
	 */
	LINEAGE_BURNT,
	LINEAGE_BAD /* words say what is wrong, and in which line */
} LineageVerdict;

/* Timeline 1, which has no history file. */
extern void lineage_first(Lineage *lineage);

/*
 * Read the history file of that timeline (2 to LINEAGE_MAX_TIMELINE), whose text need
 * not end with a zero byte.  More is asked than PostgreSQL asks: ends may not fall, and
 * neither 0/0 nor the last LSN of all is an end.
 */
extern LineageVerdict lineage_parse(Lineage *lineage, uint32_t timeline, const char *text,
									size_t length, Words *words);

/*
 * The lineage of a new timeline (above all of the parent's) that forks off there.  false
 * if it cannot: the id is not above, the LSN is before the parent's own timeline begins,
 * or there are too many ancestors.
 */
extern bool lineage_extend(const Lineage *parent, uint32_t timeline, uint64_t fork, Lineage *lineage);

/* The path as it was when that timeline of it was the newest.  false: it is not on it. */
extern bool lineage_until(const Lineage *path, uint32_t timeline, Lineage *lineage);

/* Is that timeline on the path? */
extern bool lineage_has(const Lineage *lineage, uint32_t timeline);

/*
 * Where a timeline of the path begins (0: the first) and ends (LINEAGE_NO_END: the
 * newest).  Asked for one that is not on it: begin LINEAGE_NO_END, end 0, so that no
 * position is in it.
 */
extern uint64_t lineage_begin(const Lineage *lineage, uint32_t timeline);
extern uint64_t lineage_end(const Lineage *lineage, uint32_t timeline);

/* The timeline that the byte at this LSN is on. */
extern uint32_t lineage_timeline_of(const Lineage *lineage, uint64_t lsn);

/*
 * The timeline of the last byte before this end of WAL: what a member's position names.
 * An end that is a fork still belongs to the parent.
 */
extern uint32_t lineage_timeline_before(const Lineage *lineage, uint64_t end);

/* Can WAL that ends there, its last byte on that timeline, be this server's past? */
extern bool lineage_holds(const Lineage *lineage, uint32_t timeline, uint64_t end);

/*
 * Is a's path the beginning of b's?  Equal ones are prefixes of each other.  That says
 * nothing of how far a server has written: see lineage_common_end().
 */
extern bool lineage_is_prefix(const Lineage *a, const Lineage *b);

/*
 * Where the paths part: the first LSN at which a byte of one need not be that of the
 * other.  LINEAGE_NO_END if they are equal.
 */
extern uint64_t lineage_fork(const Lineage *a, const Lineage *b);

/* As much of WAL on path a that ends there as is on path b as well. */
extern uint64_t lineage_common_end(const Lineage *a, uint64_t end, const Lineage *b);

/*
 * Does the path need that segment of that timeline's WAL?  The one in which a timeline
 * begins is a copy of its parent's up to there, and belongs to it; what lies behind the
 * end of a timeline does not.  Segments are numbered from 0, and segment_size is what
 * PostgreSQL allows, a power of two from 1 MB to 1 GB.
 */
extern bool lineage_has_segment(const Lineage *lineage, uint32_t timeline, uint64_t segment,
								uint32_t segment_size);

/* Read "16/B374D848".  false if it is no LSN, or something follows. */
extern bool lineage_read_lsn(const char *text, uint64_t *lsn);

#endif /* PG_LEADER_LINEAGE_H */
