/*
 * node/sockets.h
 *	  Where datagrams come in: a socket for each peer, one for everybody else, and
 *	  a bound on the time that is spent on any of them.
 *
 * A peer's socket is connected, so the kernel sorts: what claims to come from that
 * peer's address waits in a queue of its own, and the rest of the world in the
 * listener's.  Whoever floods one queue makes that one overflow, and no other.
 *
 * A queue that gets more than a member has to say is flooded.  It no longer wakes
 * us, but is read once in a while, a bounded number of datagrams at a time; which
 * is all that a flood can cost.  What the kernel has dropped is counted.
 *
 * Decides nothing about a datagram: that is the transport's business, its only
 * caller.  No backend symbols.
 */
#ifndef PG_LEADER_SOCKETS_H
#define PG_LEADER_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../raft/message.h"
#include "../raft/raft.h"

/* One socket for each node id, and the listener behind them. */
#define SOCKETS_LISTENER RAFT_MAX_NODES
#define SOCKETS_N		 (RAFT_MAX_NODES + 1)

/* Datagrams that are read by one system call, of a flooded queue and of another. */
#define SOCKETS_BATCH	   32
#define SOCKETS_CALM_BATCH 4

/*
 * So many in a window flood a queue, no more than half of that end it.  A member
 * sends a few with each heartbeat.
 */
#define SOCKETS_WINDOW		UINT64_C(10000) /* us */
#define SOCKETS_FLOOD		64
#define SOCKETS_MEMBER_READ UINT64_C(2000)	/* us between reads of flooded peers' queues */
#define SOCKETS_OTHERS_READ UINT64_C(10000) /* us between reads of a flooded listener's */

/*
 * How many a flooded queue is read at a time; peers' queues share the first, and
 * have the third each at least.  With a tag to check for each of them they are a
 * quarter of a processor.
 */
#define SOCKETS_MEMBER_BUDGET 256
#define SOCKETS_OTHERS_BUDGET 64
#define SOCKETS_LEAST_BUDGET  8

/* How often the kernel is asked what did not fit into a queue that is not flooded. */
#define SOCKETS_COUNT_DROPS UINT64_C(1000000) /* us */

typedef struct SocketQueue
{
	int						fd; /* -1: there is none */
	struct sockaddr_storage peer;
	bool					flooded; /* or cannot be watched: read at intervals */
	int						budget;	 /* what may still be read in this sweep */
	uint64_t				window_until;
	uint32_t				in_window;		/* datagrams read since it began */
	uint32_t				drops_seen;		/* of the kernel's counter */
	uint64_t				count_drops_at; /* when it is looked at next, if there is no flood */
} SocketQueue;

typedef struct Datagram
{
	const uint8_t				  *bytes;
	size_t						   length; /* MESSAGE_SIZE_LIMIT: maybe cut off */
	const struct sockaddr_storage *source;
} Datagram;

typedef struct Sockets
{
	bool		is_open;
	int			epoll_fd; /* readable when there is something to read */
	SocketQueue queues[SOCKETS_N];
	int			n_flooded;		  /* of them */
	bool		ready[SOCKETS_N]; /* has something, as far as known */
	bool		in_sweep;		  /* some are ready */
	int			turn_of;		  /* whose batch comes next */
	int			batch_n;		  /* datagrams in the batch */
	int			batch_next;		  /* the first that was not handed out yet */

	/* when flooded queues are read again, and were looked at last */
	uint64_t sweep_began;
	uint64_t members_read_at;
	uint64_t others_read_at;

	uint64_t errors;			/* of receiving, but for what ICMP says of a peer */
	uint64_t overflowed_member; /* dropped by the kernel: a peer's queue was full */
	uint64_t overflowed_others; /* and the listener's */

	uint8_t					bytes[SOCKETS_BATCH][MESSAGE_SIZE_LIMIT];
	size_t					lengths[SOCKETS_BATCH];
	struct sockaddr_storage sources[SOCKETS_BATCH];
} Sockets;

/*
 * Take over a bound, non-blocking listener, which stays the caller's to close.
 * false: errno says why, and nothing is left open.
 */
extern bool sockets_open(Sockets *sockets, int listener);

/*
 * Give peer node_id a socket that is connected to "peer", or connect the one that
 * it has anew if that is another address.  false: errno says why; what this peer
 * sends then comes in by the listener.
 */
extern bool sockets_connect(Sockets *sockets, int32_t node_id,
							const struct sockaddr_storage *peer, socklen_t length);

/* A peer that is none any more: its socket is closed, if it has one. */
extern void sockets_disconnect(Sockets *sockets, int32_t node_id);

/*
 * The next datagram; false: there is none to be read now.  *datagram is good until
 * the next call.  Queues take turns, and all that are ready have had theirs when
 * this returns false.
 */
extern bool sockets_next(Sockets *sockets, uint64_t now, Datagram *datagram);

/*
 * When sockets_next() has to be called although epoll_fd is silent; UINT64_MAX: it
 * need not be, 0: at once.
 */
extern uint64_t sockets_deadline(const Sockets *sockets);

/* Safe to call twice, and on a struct that is all zero. */
extern void sockets_close(Sockets *sockets);

#endif /* PG_LEADER_SOCKETS_H */
