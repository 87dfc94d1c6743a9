/*
 * keep/plan.h
 *	  What an archive decides: from whom it takes WAL, from where on, what it has to cut off, which
 *	  members hold what it lacks, and what it answers to a restore.
 *
 * Facts in, decision out.  Pure C11: no input or output, no clock, no allocation.  Rules:
 *
 *	  source	WAL is taken from the member whose fence is open, in the highest term in which a leader
 *				was ever seen, and from nobody else.
 *	  cut		What is not on the path of that member's WAL is cut off, within a segment too.
 *	  hold		A member holds what the archive lacks if its slot begins no later than the segment
 *				in which the archive ends.
 *	  advance	A slot on a standby goes no further than what the archive has for certain.
 *	  gap		Missing WAL is a gap only if the member that has led says that it is gone.
 *	  get		A segment of which there is more WAL behind it is missing, not the end.
 *	  drill		What was proven counts for so long only, and not beyond a failover or a new base backup.
 */
#ifndef PG_LEADER_KEEP_PLAN_H
#define PG_LEADER_KEEP_PLAN_H

#include "../node/lineage.h"

/* How far an archive is. */
typedef struct PlanArchive
{
	uint32_t timeline; /* 0: it has no WAL yet */
	uint64_t durable;
	uint32_t segment_size;
} PlanArchive;

/* ---- source ---- */

/* What a member has said lately. */
typedef struct PlanWord
{
	bool	 answers; /* it has, and not long ago */
	bool	 is_open; /* its fence */
	uint64_t term;	  /* of its lease; 0: it has none */
} PlanWord;

/*
 * Which one to take WAL from; -1: nobody.  *term is the highest in which a leader was seen, before
 * and after.
 */
extern int plan_source(const PlanWord *members, int n, uint64_t *term);

/* ---- begin and cut ---- */

typedef struct PlanBegin
{
	bool	 cuts;	   /* the archive has WAL that is not on the path */
	uint32_t timeline; /* where the archive ends after that, and goes on: of the next byte */
	uint64_t durable;
	uint64_t start; /* START_REPLICATION: the beginning of that segment */
} PlanBegin;

/*
 * Of an archive that has WAL: "own" is the path to its timeline, "leads" that of the member.  false: the archive
 * has nothing in common with it.
 */
extern bool plan_begin(const PlanArchive *archive, const Lineage *own, const Lineage *leads, PlanBegin *begin);

/* Of one that has none: from where that slot of the member holds WAL. */
extern bool plan_begin_first(const PlanArchive *archive, uint64_t slot, const Lineage *leads, PlanBegin *begin);

/*
 * Up to where the archive's WAL of that timeline stays: 0: none of it, LINEAGE_NO_END: all.
 */
extern uint64_t plan_stays(const Lineage *own, const Lineage *leads, uint32_t timeline);

/* The member has no WAL any more from begin->start on, but from "slot" on: there it goes on.  false: that is no gap. */
extern bool plan_gap(const PlanArchive *archive, const PlanBegin *begin, uint64_t slot, const Lineage *leads, PlanBegin *after);

/* ---- members ---- */

typedef enum PlanHolds
{
	PLAN_DOWN = 0, /* it does not answer */
	PLAN_CLEAR,	   /* it has no slot for the archive */
	PLAN_LOST,	   /* it has one that holds no WAL any more */
	PLAN_EXPOSED,  /* it lacks WAL that the archive does not have yet */
	PLAN_HOLDING
} PlanHolds;

typedef struct PlanSlot
{
	bool	 answers;
	bool	 exists;
	bool	 lost; /* invalidated, or never reserved any */
	uint64_t restart;
} PlanSlot;

extern PlanHolds plan_holds(const PlanArchive *archive, const PlanSlot *slot);

/* "Holding" */
extern const char *plan_holds_name(PlanHolds holds);

/*
 * Would a failover now leave a gap?  "standbys" are those that follow.  So it is if one that answers does not hold, or
 * if none does.
 */
extern bool plan_is_exposed(const PlanHolds *standbys, int n);

/* Where to move the slot of a standby that has replayed so far; 0: leave it. */
extern uint64_t plan_advance(const PlanArchive *archive, const PlanSlot *slot, uint64_t replayed);

/* ---- get ---- */

typedef enum PlanGet
{
	PLAN_SERVE = 0,		/* the complete segment */
	PLAN_SERVE_PARTIAL, /* the one in which the timeline ends */
	PLAN_NOT_THERE,		/* there never was more */
	PLAN_HOLE			/* it is missing */
} PlanGet;

typedef struct PlanSegment
{
	bool	 complete;
	bool	 partial;
	bool	 later;	 /* a later one of the timeline is there */
	uint64_t begin;	 /* its first byte */
	uint64_t end;	 /* where the timeline ends for the archive: archive_end_of(); 0: it is not on the path */
	bool	 is_old; /* the path has gone on to another timeline, at "end" */
} PlanSegment;

extern PlanGet plan_get(const PlanSegment *segment);

/* ---- drills ---- */

/* Seconds: what has just changed is let settle; a drill that has not ended well is not made again at once. */
#define PLAN_DRILL_SETTLE 10
#define PLAN_DRILL_RETRY  3600

/* What a drill of the newest state is about. */
typedef struct PlanDrill
{
	uint32_t timeline;
	uint64_t base; /* the gid of a base backup; 0: there is none */
} PlanDrill;

/* Times in seconds since 1970; the clock may be set. */
typedef struct PlanDrills
{
	PlanDrill now;
	int64_t	  seen_at;	/* since when it is so, as far as is known */
	PlanDrill proven;	/* by the last drill */
	PlanDrill begun;	/* the last that was begun for this reason */
	int64_t	  began_at; /* the last drill; 0: there was none */
	bool	  is_good;	/* it has ended well, or goes on */
} PlanDrills;

/* Is one to be made now?  "every": seconds; 0: never. */
extern bool plan_drill_is_due(const PlanDrills *drills, int64_t every, int64_t now);

#endif /* PG_LEADER_KEEP_PLAN_H */
