/*
 * server/login.h
 *	  Who may log in to a managed server.
 *
 * Sessions: where the fence is open, or, in recovery, where this server's WAL was compared with its
 * leader's.  Roles of pg_leader.fence_exempt_roles and the role of
 * pg_leader.replication_conninfo always may, read-only.  Walsenders under a member's name: that
 * member's receivers (senders.h).
 */
#ifndef PG_LEADER_LOGIN_H
#define PG_LEADER_LOGIN_H

#include <stdbool.h>

/* _PG_init, managed mode. */
extern void login_register(void);

/* Is this session's role exempt?  Its reads are not checked.  Found out once for a session. */
extern bool login_is_exempt(void);

#endif /* PG_LEADER_LOGIN_H */
