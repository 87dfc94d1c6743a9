/*
 * keep/metrics.h
 *	  Metrics of an archive in the text format of Prometheus.
 *
 * Called by verb_state.c.
 */
#ifndef PG_LEADER_METRICS_H
#define PG_LEADER_METRICS_H

#include <stdbool.h>
#include <stdint.h>

/* A metric of the archive of that name; "help" says what it is. */
extern void metrics_print(const char *archive, const char *name, const char *help, uint64_t value);

/* A member's, all of them behind each other; "first": none was before it. */
extern void metrics_print_storage(const char *archive, const char *storage, const char *state, bool holds, bool first);

#endif /* PG_LEADER_METRICS_H */
