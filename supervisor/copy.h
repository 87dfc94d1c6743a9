/*
 * supervisor/copy.h
 *	  pg_rewind and pg_basebackup: making a data directory a copy of the leader's.
 *
 * What has to be right before, after and in between (rule 21): see copy.c.  Called by work.c.
 */
#ifndef PG_LEADER_COPY_H
#define PG_LEADER_COPY_H

#include "job.h"

/* For the log; the order's supervisor hears it. */
typedef void (*CopySays)(const char *sentence);

/*
 * false: words.  has_tried: pg_rewind has run and failed, or had nothing to do.
 */
extern bool copy_rewind(const JobOrder *order, CopySays says, bool *has_tried, Words *words);
extern bool copy_clone(const JobOrder *order, CopySays says, Words *words);

/* Put a clone that is whole in the directory's place; remove what a rebuild that is over has left. */
extern bool copy_finish(const JobOrder *order, Words *words);
extern bool copy_clean(const JobOrder *order, Words *words);

#endif /* PG_LEADER_COPY_H */
