/*
 * server/parent.h
 *	  What this server has from pg_leader_supervisor, which has started it: a channel and a board.
 *
 * Over the channel (primary/control.h) the two tell each other what is to be done; on the board
 * (node/board.h) the election worker shows lease and leader, and the role worker the server.  A server without pg_leader.manage
 * may have neither.  Both are the postmaster's, and every process inherits them.
 */
#ifndef PG_LEADER_PARENT_H
#define PG_LEADER_PARENT_H

#include "../node/board.h"
#include "../primary/control.h"

/*
 * The postmaster, at each beginning of its shared memory: the first time, takes what is
 * inherited.  FATAL for a managed server that no supervisor has started.
 */
extern void parent_take(void);

/* -1: there is none, or its other end is gone. */
extern int parent_channel(void);

/* This process has read to the channel's end. */
extern void parent_is_gone(void);

/* NULL: there is none. */
extern Board *parent_board(void);

/* Have the supervisor look at the board, or read its settings again.  Never waits; it may be gone. */
extern void parent_tell(ControlType type);

/*
 * The election worker, at its start and after each reload: the supervisor runs
 * pg_leader.notify_command and answers at pg_leader.http_listen, and has to hear of others.
 * Without a supervisor, a warning.
 */
extern void parent_check_settings(void);

#endif /* PG_LEADER_PARENT_H */
