/*
 * server/receiver.h
 *	  PostgreSQL's WAL receiver in managed mode: whom it may connect to, what it may report.
 *
 * A receiver calls libpq through a table of functions that a library can put its own in.
 * Ours ask exchange.h: a connection is made to the leader that the role worker has let it
 * loose on and to nobody else, whatever primary_conninfo says; and what was flushed is
 * reported only when the member's next vote has it (rules 20 and 21).
 */
#ifndef PG_LEADER_RECEIVER_H
#define PG_LEADER_RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

/* _PG_init, managed mode. */
extern void receiver_register(void);

typedef struct ReceiverView
{
	bool	 runs;
	bool	 waits; /* at the gate: it has received nothing */
	bool	 streams;
	bool	 asked;		 /* for WAL, since this start of the server */
	uint64_t flushed;	 /* of what has come since then; 0: nothing has */
	uint32_t timeline;	 /* of the byte before that, or of what will come */
	uint64_t leader_end; /* where the leader's WAL ended, as it has told last */
} ReceiverView;

/* The role worker. */
extern ReceiverView receiver_look(void);

/* The gate is shut: end the one that runs, unless it waits there.  true: nothing is received any more. */
extern bool receiver_end(void);

#endif /* PG_LEADER_RECEIVER_H */
