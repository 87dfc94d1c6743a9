/*
 * server/managed.h
 *	  The election worker's part in managed mode: its member learns of the data, and does what
 *	  the role worker asks for.
 *
 * Around each turn of the loop: reports of the WAL receiver are held back, the member is told
 * what is held by now, and only then may it be asked for its vote; afterwards reports pass
 * again (rule 20).  Neither waits.  Both do nothing without pg_leader.manage.
 */
#ifndef PG_LEADER_MANAGED_H
#define PG_LEADER_MANAGED_H

#include "../node/member.h"

extern void managed_begin_turn(Member *member);
extern void managed_end_turn(Member *member);

/* May this member stand: the operator's setting, and what the role worker says of the server. */
extern bool managed_may_lead(void);

/* The member ends. */
extern void managed_end(void);

#endif /* PG_LEADER_MANAGED_H */
