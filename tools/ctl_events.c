/*
 * tools/ctl_events.c
 *	  The events of all members, merged by time.
 *
 * See ctl_events.h.  The time is that of each member's own wall clock, so events of different
 * members can be out of order by as much as their clocks differ.
 */
#include "ctl_events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ctl_table.h"

#define TIME_SIZE 64

typedef struct Event
{
	int64_t			 at; /* us since 1970 */
	int64_t			 number;
	const CtlServer *server;
	int				 row;
} Event;

static int
compare(const void *a, const void *b)
{
	const Event *x = a;
	const Event *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->server != y->server)
		return x->server->node_id < y->server->node_id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static const char *
value_of(const Event *event, CtlEventColumn column)
{
	return ctl_value(event->server, CTL_EVENTS, event->row, (int) column);
}

static Event *
collect(const CtlRound *round, size_t *n)
{
	Event *events;
	size_t room = 0;

	for (int i = 0; i < round->n_servers; i++)
		room += (size_t) ctl_rows(&round->servers[i], CTL_EVENTS);
	events = malloc(sizeof(Event) * (room + 1));
	if (events == NULL)
	{
		fputs(CTL_PROGRAM ": error: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	*n = 0;
	for (int i = 0; i < round->n_servers; i++)
	{
		const CtlServer *server = &round->servers[i];

		for (int row = 0; ctl_counts(round, server) && row < ctl_rows(server, CTL_EVENTS); row++)
		{
			Event *event = &events[(*n)++];

			event->server = server;
			event->row = row;
			event->at = ctl_number(value_of(event, EVENT_AT));
			event->number = ctl_number(value_of(event, EVENT_NUMBER));
		}
	}
	qsort(events, *n, sizeof(Event), compare);
	return events;
}

/* "2026-11-21 15:02:46.123+01" */
static void
write_time(int64_t at, char *text)
{
	time_t	  seconds = (time_t) (at / 1000000);
	struct tm parts;
	char	  moment[32] = "?";
	char	  zone[16] = "";

	if (localtime_r(&seconds, &parts) != NULL)
	{
		(void) strftime(moment, sizeof(moment), "%Y-%m-%d %H:%M:%S", &parts);
		(void) strftime(zone, sizeof(zone), "%z", &parts);
	}
	(void) snprintf(text, TIME_SIZE, "%s.%03d%.3s", moment, (int) (at % 1000000 / 1000), zone);
}

static void
print_json(const Event *event, const char *at)
{
	putchar('{');
	ctl_json_name("at", true);
	ctl_json_text(at);
	ctl_json_number("node", event->server->node_id);
	ctl_json_number("number", event->number);
	ctl_json_number("term", ctl_number(value_of(event, EVENT_TERM)));
	ctl_json_name("role", false);
	ctl_json_text(value_of(event, EVENT_ROLE));
	ctl_json_number("leader", ctl_number(value_of(event, EVENT_LEADER)));
	ctl_json_name("reason", false);
	ctl_json_text(value_of(event, EVENT_REASON));
	puts("}");
}

/* Which of them is the first of the last ones. */
static size_t
first_of_last(size_t n, long last)
{
	return n > (size_t) last ? n - (size_t) last : 0;
}

void
ctl_events_print(FILE *to, const CtlRound *round, long last)
{
	static const char *const titles[] = {"at", "node", "term", "role", "leader", "reason"};
	static const bool		 right[] = {false, true, true, false, true, false};
	CtlTable				 table = {.n_columns = 6, .titles = titles, .right = right};
	size_t					 n;
	Event					*events = collect(round, &n);

	for (size_t i = first_of_last(n, last); i < n; i++)
	{
		const Event *event = &events[i];
		const char	*leader = value_of(event, EVENT_LEADER);
		char		 at[TIME_SIZE];

		write_time(event->at, at);
		ctl_table_add(&table, "%s", at);
		ctl_table_add(&table, "%d", (int) event->server->node_id);
		ctl_table_add(&table, "%s", value_of(event, EVENT_TERM));
		ctl_table_add(&table, "%s", value_of(event, EVENT_ROLE));
		ctl_table_add(&table, "%s", leader != NULL ? leader : "-");
		ctl_table_add(&table, "%s", value_of(event, EVENT_REASON));
	}
	ctl_table_print(to, &table);
	free(events);
}

void
ctl_events_print_json(const CtlRound *round, long last)
{
	size_t n;
	Event *events = collect(round, &n);
	char   at[TIME_SIZE];

	for (size_t i = first_of_last(n, last); i < n; i++)
	{
		write_time(events[i].at, at);
		print_json(&events[i], at);
	}
	free(events);
}
