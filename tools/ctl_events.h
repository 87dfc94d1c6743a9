/*
 * tools/ctl_events.h
 *	  The events of all members, merged by time.
 *
 * For "events" and "watch" of pg_leaderctl.  Prints what a round of answers has brought.
 */
#ifndef CTL_EVENTS_H
#define CTL_EVENTS_H

#include <stdio.h>

#include "ctl_ask.h"

/* The last n of all, oldest first, as a table; or to standard output, as one JSON object a line. */
extern void ctl_events_print(FILE *to, const CtlRound *round, long n);
extern void ctl_events_print_json(const CtlRound *round, long n);

#endif /* CTL_EVENTS_H */
