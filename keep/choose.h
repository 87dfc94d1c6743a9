/*
 * keep/choose.h
 *	  Which base backup a state is restored from, and which WAL that takes.
 *
 * A state has a number, its gid: the LSN at which its WAL ends.  It is restored from a base backup
 * that is not newer, and whose own end is on the same path of WAL, by replaying what lies between.
 *
 * Pure: facts in, answer out.  Called by restore and drill.
 */
#ifndef PG_LEADER_CHOOSE_H
#define PG_LEADER_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "../node/lineage.h"

/* A base backup.  It was rolled to gid; that it has nothing of the WAL behind "end" is known. */
typedef struct ChooseBase
{
	uint64_t gid;
	uint64_t end;
	uint32_t timeline; /* of the last byte before end */
	uint64_t redo;	   /* where replay begins */
} ChooseBase;

typedef enum ChooseAnswer
{
	CHOOSE_FOUND = 0,
	CHOOSE_NO_BASE, /* there is none at all */
	CHOOSE_TOO_OLD, /* the state is older than all bases */
	CHOOSE_ASIDE	/* bases that are old enough are on WAL that is not this state's past */
} ChooseAnswer;

/*
 * The newest base from which the state at the end of WAL "gid" can be reached; path: until the state's
 * own timeline.  "found" is its index.
 */
extern ChooseAnswer choose_base(const Lineage *path, uint64_t gid, const ChooseBase *bases, int n, int *found);

/* The oldest of some bases; there is one. */
extern uint64_t choose_oldest(const ChooseBase *bases, int n);

/*
 * Of the segments that are replayed to get to "gid", which timeline's file is read: PostgreSQL
 * takes the newest that there can be.  The segment has WAL before gid.
 */
extern uint32_t choose_file(const Lineage *path, uint64_t gid, uint64_t segment, uint32_t segment_size);

/* The segment behind the last that is replayed. */
extern uint64_t choose_behind(uint64_t gid, uint32_t segment_size);

#endif /* PG_LEADER_CHOOSE_H */
