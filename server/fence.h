/*
 * server/fence.h
 *	  What transactions of a managed server may do: nothing that has to be answered, yet.
 *
 * Managed mode only.  A transaction that has written anything is refused before it commits,
 * unless pg_leader.without_fence lets it, which is for developers.
 */
#ifndef PG_LEADER_FENCE_H
#define PG_LEADER_FENCE_H

/* _PG_init, managed mode. */
extern void fence_register(void);

#endif /* PG_LEADER_FENCE_H */
