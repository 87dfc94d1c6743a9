/*
 * node/board.h
 *	  What a server shows its supervisor: lease and leader, in memory that both have.
 *
 * The supervisor makes a board before each start of its server, which inherits it as a file
 * descriptor; its number is in the environment variable BOARD_VARIABLE.  The election worker
 * writes it, the supervisor and the processes of pg_leader.notify_command read it; but for one
 * number, which goes the other way.
 *
 * There are two entries.  The writer fills the one that does not count, and then lets it
 * count, so that one which stops or is killed in between leaves what was there before, and
 * no reader waits for it.  Times are microseconds of the election's clock (clock.h).
 *
 * Called by server/shared.c and by the supervisor.  No backend symbols.
 */
#ifndef PG_LEADER_BOARD_H
#define PG_LEADER_BOARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define BOARD_VARIABLE "PG_LEADER_BOARD"

typedef struct BoardShown
{
	uint64_t lease_until; /* 0: this member has no lease */
	uint64_t lease_term;
	uint64_t term;		/* the member's */
	int64_t	 leader_id; /* RAFT_NONE: it knows of none */
} BoardShown;

typedef struct Board Board;

/* ---- the supervisor ---- */

/*
 * A board without a lease and a leader, and a descriptor of it, close-on-exec, for the server.
 * NULL: errno says why not.
 */
extern Board *board_create(int *fd);

/* NULL is none. */
extern void board_remove(Board *board);

/*
 * What is shown at the instant *now; a lease that has ended by then is none.  Never waits.
 */
extern void board_read(const Board *board, BoardShown *shown, uint64_t *now);

/*
 * Where the server listens, of *size bytes; false: it has not said so.  And the supervisor's one
 * word to it: for how many microseconds new connections have got no answer there.
 */
extern bool board_address(const Board *board, struct sockaddr_storage *address, socklen_t *size);
extern void board_show_silence(Board *board, uint64_t silence);

/* ---- the server; none of this waits, and nothing happens where board is NULL ---- */

/* Map it, and close the descriptor.  NULL: errno says why not; EPROTO: it is none of this version. */
extern Board *board_take(int fd);

/* One writer at a time. */
extern void board_show(Board *board, const BoardShown *shown);

/* Once. */
extern void board_show_address(Board *board, const struct sockaddr_storage *address, socklen_t size);

/* 0: new connections are answered, or it is not known. */
extern uint64_t board_silence(const Board *board);

/* The lease is over, all else stays.  Readers see that before whatever is done next. */
extern void board_end_lease(Board *board);

#endif /* PG_LEADER_BOARD_H */
