/*
 * server/sweep.h
 *	  Clears pg_wal of what would keep the startup process from starting.
 *
 * Called by the postmaster while no other process of the server runs, also after a crash in
 * place.  primary/start.c says what goes.  Failures are logged: the start goes on, and says
 * itself what is in its way.
 */
#ifndef PG_LEADER_SWEEP_H
#define PG_LEADER_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

/* Returns start_wrote_on(), 0 also where pg_control cannot be read; is_copy is start_is_copy(). */
extern uint32_t sweep_before_start(bool *is_copy);

#endif /* PG_LEADER_SWEEP_H */
