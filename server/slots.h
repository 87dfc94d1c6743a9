/*
 * server/slots.h
 *	  The slot of a member whose WAL receiver has just logged in.
 *
 * All else that is done with slots is the role worker's: role.h.
 */
#ifndef PG_LEADER_SLOTS_SERVER_H
#define PG_LEADER_SLOTS_SERVER_H

#include <stdint.h>

/*
 * That member's walsender, before it serves it: make its slot, if there is none and one is free.
 * Where that fails, the receiver goes on without.
 */
extern void slots_prepare(int32_t member);

#endif /* PG_LEADER_SLOTS_SERVER_H */
