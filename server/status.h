/*
 * server/status.h
 *	  What SQL functions say about this member, for those that say it in errors.
 *
 * Called by status.c and requests.c, after postgres.h.
 */
#ifndef PG_LEADER_STATUS_H
#define PG_LEADER_STATUS_H

#include "server/shared.h"

/* false: the member takes no part. */
extern bool status_read(SharedStatus *status);

/* Why it takes no part, as far as the caller may know. */
extern const char *status_reason(const SharedStatus *status);

/* The address of a member as the list has it; NULL: there is none. */
extern const char *status_address(const SharedDetail *detail, int32_t node_id);

#endif /* PG_LEADER_STATUS_H */
