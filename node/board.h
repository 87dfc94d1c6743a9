/*
 * node/board.h
 *	  What a server shows its supervisor, in memory that both have.
 *
 * The supervisor makes a board before each start of its server, which inherits it as a file
 * descriptor; its number is in the environment variable BOARD_VARIABLE.  It has two parts, with
 * one writer each: lease and leader are the election worker's, what the server is and does is the
 * role worker's (managed mode only).  The supervisor and the processes of
 * pg_leader.notify_command read it.  One number goes the other way.
 *
 * Each part has two entries.  The writer fills the one that does not count, and then lets it
 * count, so that one which stops or is killed in between leaves what was there before, and
 * no reader waits for it.  Times are microseconds of the election's clock (clock.h).
 *
 * Called by server/ and by the supervisor.  No backend symbols.
 */
#ifndef PG_LEADER_BOARD_H
#define PG_LEADER_BOARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../raft/raft.h"

#define BOARD_VARIABLE "PG_LEADER_BOARD"

#define BOARD_ORDER_SIZE 16
#define BOARD_WHY_SIZE	 144

typedef struct BoardShown
{
	uint64_t lease_until; /* 0: this member has no lease */
	uint64_t lease_term;
	uint64_t term;		/* the member's */
	int64_t	 leader_id; /* RAFT_NONE: it knows of none */
	uint64_t paused;	/* 1: the cluster is, as far as this member knows */
} BoardShown;

/* What a member has said of its PostgreSQL. */
typedef struct BoardMember
{
	uint64_t heard_at; /* when it was heard last; 0: not since the start */
	uint64_t end;	   /* of its WAL, as a leader is told by those who follow; 0: not known */
	uint32_t timeline; /* of that */
	uint16_t port;	   /* 0: not known */
	uint8_t	 server;   /* RaftServer */
	bool	 is_open;
} BoardMember;

/* All zero: no role worker has shown anything. */
typedef struct BoardServer
{
	uint64_t	open_term;	   /* in which the fence is open; 0: it is closed, or drains */
	uint64_t	system_id;	   /* of the data */
	int64_t		started_at;	   /* by the wall clock, us since 1970 */
	uint64_t	end;		   /* of flushed WAL */
	uint64_t	replay;		   /* in recovery: so much is replayed */
	uint64_t	leader_end;	   /* in recovery: where the WAL of its leader ended, as that said last */
	uint64_t	leader_end_at; /* when it streamed last; 0: never */
	uint64_t	senders;	   /* bit i: node id i streams from here */
	uint64_t	primary_at;	   /* when it knew of an open primary last, or its start */
	uint32_t	timeline;	   /* of end */
	int32_t		node;		   /* whom the order is about; RAFT_NONE */
	int32_t		version;	   /* PG_VERSION_NUM */
	uint8_t		server;		   /* RaftServer */
	bool		is_ready;	   /* sessions may log in, as far as the server's data are concerned */
	bool		streams;
	bool		at_risk;				 /* as the open primary: one more failure would stop commits */
	bool		is_paused;				 /* replay */
	char		order[BOARD_ORDER_SIZE]; /* primary_action_name() */
	char		why[BOARD_WHY_SIZE];	 /* and why, for people */
	BoardMember members[RAFT_MAX_NODES]; /* by node id, without this one */
} BoardServer;

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
 * What is shown at the instant *now; a lease that has ended by then is none.  server: NULL, or
 * the other part, as it is at the same instant.  Never waits.
 */
extern void board_read(const Board *board, BoardShown *shown, BoardServer *server, uint64_t *now);

/*
 * Where the server listens, of *size bytes; false: it has not said so.  And the supervisor's one
 * word to it: for how many microseconds new connections have got no answer there.
 */
extern bool board_address(const Board *board, struct sockaddr_storage *address, socklen_t *size);
extern void board_show_silence(Board *board, uint64_t silence);

/* ---- the server; none of this waits, and nothing happens where board is NULL ---- */

/* Map it, and close the descriptor.  NULL: errno says why not; EPROTO: it is none of this version. */
extern Board *board_take(int fd);

/* The election worker. */
extern void board_show(Board *board, const BoardShown *shown);

/* Once. */
extern void board_show_address(Board *board, const struct sockaddr_storage *address, socklen_t size);

/* 0: new connections are answered, or it is not known. */
extern uint64_t board_silence(const Board *board);

/* The lease is over, all else stays.  Readers see that before whatever is done next. */
extern void board_end_lease(Board *board);

/* The role worker. */
extern void board_show_server(Board *board, const BoardServer *server);

/* The fence is about to be closed, all else stays.  Readers see that before whatever is done next. */
extern void board_close(Board *board);

#endif /* PG_LEADER_BOARD_H */
