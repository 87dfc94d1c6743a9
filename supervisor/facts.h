/*
 * supervisor/facts.h
 *	  What is known of a server that does not run: the facts that primary/ is asked about.
 *
 * The role worker gathers them while it runs.  What a rebuild has to know comes from
 * rebuilder.c.  Nothing is decided here.  Called by supervise.c.
 */
#ifndef PG_LEADER_FACTS_H
#define PG_LEADER_FACTS_H

#include "../node/member.h"
#include "../primary/watch.h"

/* What the supervisor remembers of a data directory from one start to the next. */
typedef struct Remembered
{
	WatchDirectory watch;
	uint32_t	   wrote_on; /* PrimaryFacts.wrote_on */
} Remembered;

/* Tell the member what its data are, and that no promotion comes any more; no server runs. */
extern void facts_tell(Member *member, uint64_t system_id);

extern void facts_gather(const Member *member, const Remembered *remembered, uint64_t system_id, PrimaryFacts *facts);

#endif /* PG_LEADER_FACTS_H */
