/*
 * keep/status.h
 *	  What "run" is doing, for those that ask: the file run.status, written anew each second.
 *
 * Not durable, and of no use to "run" itself.
 */
#ifndef PG_LEADER_KEEP_STATUS_H
#define PG_LEADER_KEEP_STATUS_H

#include "archive.h"

typedef enum StatusState
{
	STATUS_CLEAR = 0, /* "run" does not run */
	STATUS_STARTED,	  /* it streams */
	STATUS_WAITING,	  /* there is no leader to stream from, or it does not let it */
	STATUS_STOPPED	  /* by "stop" */
} StatusState;

#define STATUS_SOURCE_SIZE 300

typedef struct Status
{
	StatusState state;
	char		source[STATUS_SOURCE_SIZE]; /* the member; empty: none */
	uint32_t	timeline;
	uint64_t	received;
	uint64_t	sent;					 /* the end of that server's WAL */
	char		trouble[WORDS_SIZE / 2]; /* why it waits; empty: nothing is wrong */
} Status;

extern const char *status_name(StatusState state);

extern bool status_write(const Archive *archive, const Status *status, Words *words);

/* As "run" has said last; STATUS_CLEAR if it does not run. */
extern void status_read(const Archive *archive, Status *status);

#endif /* PG_LEADER_KEEP_STATUS_H */
