/*
 * node/transport.h
 *	  Datagrams in and out: one UDP port, and the checks at the door.
 *
 * A datagram gets in only if it is one of ours (size, magic, version, cluster),
 * comes from the configured address and port of the member that it names as its
 * sender and, where there are keys, is signed with one of them.  Whatever fails
 * is dropped and counted by reason, cheap checks first.  Nothing here blocks, and
 * no error of sending or receiving is fatal.  How much of a flood gets as far as
 * these checks is the business of sockets.c, see sockets.h.
 * Freshness (does it echo our start?) is the core's business, see raft_receive.
 *
 * Called by the worker.  No backend symbols.
 */
#ifndef PG_LEADER_TRANSPORT_H
#define PG_LEADER_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "addresses.h"
#include "cluster.h"
#include "sockets.h"
#include "secret.h"
#include "../raft/message.h"

#define TRANSPORT_NAME_WAIT 50 /* ms */

/* Why a datagram was dropped at the door. */
typedef enum TransportDrop
{
	TRANSPORT_DROP_MALFORMED = 0, /* size, magic, type, impossible values */
	TRANSPORT_DROP_VERSION,		  /* a version of the layout that we do not understand */
	TRANSPORT_DROP_CLUSTER,		  /* another cluster's name */
	TRANSPORT_DROP_UNKNOWN_NODE,  /* names a sender that is not in the list */
	TRANSPORT_DROP_UNRESOLVED,	  /* perhaps from its member: the name has to be looked up first */
	TRANSPORT_DROP_SOURCE,		  /* not from its member's address and port */
	TRANSPORT_DROP_UNSIGNED,	  /* not authenticated, and we have keys */
	TRANSPORT_DROP_KEY,			  /* signed with a key that we do not have */
	TRANSPORT_DROP_TAG,			  /* forged, spoiled, or our keys differ */
	TRANSPORT_DROP_QUEUE_MEMBER,  /* from here on by the kernel: a member's address sent too many */
	TRANSPORT_DROP_QUEUE_OTHERS,  /* all others did */
	TRANSPORT_DROPS
} TransportDrop;

typedef struct TransportCounters
{
	uint64_t received; /* datagrams, of any kind */
	uint64_t sent;
	uint64_t dropped[TRANSPORT_DROPS];
	uint64_t send_errors;
	uint64_t receive_errors;
	uint64_t unresolved; /* not sent: the member's name is unknown */
} TransportCounters;

/* Sender of a dropped datagram, as far as known. */
typedef struct TransportSender
{
	int32_t					id;		/* member whose address and port it came from, or RAFT_NONE */
	int32_t					claims; /* member that it says it is, or RAFT_NONE */
	uint8_t					version;
	struct sockaddr_storage source;
} TransportSender;

typedef struct Transport
{
	int32_t					own_id;
	int						fd;			/* sends, and hears who is no peer; -1: closed */
	Sockets					sockets;	/* what it and the peers' sockets receive */
	uint64_t				connect_at; /* when to give peers sockets (again) */
	Lookup				   *own_lookup; /* of the address to listen on, between attempts */
	Secret				   *secret;		/* the caller's; without keys: no authentication */
	uint64_t				cluster_digest;
	Addresses				addresses;
	struct sockaddr_storage listening;
	uint64_t				errors_seen; /* of sending, when "listening" was looked at last */
	uint64_t				look_at;	 /* not before: at it again */
	TransportCounters		counters;
	int						last_send_errno;
	int32_t					last_send_to; /* the member it was for */
	TransportSender			dropped;	  /* sender of the last that was dropped at the door */

	/* With which key each member signed the last datagram that got in; 0: none. */
	uint8_t key_ids[RAFT_MAX_NODES];
} Transport;

typedef enum TransportResult
{
	TRANSPORT_MESSAGE = 0, /* *message is filled in */
	TRANSPORT_DROPPED,	   /* a datagram was dropped */
	TRANSPORT_EMPTY		   /* nothing more this time; what came meanwhile is readable */
} TransportResult;

/*
 * Bind a socket for member node_id.  listen_address is an address without port,
 * or NULL or empty for the member's own entry in the list; the port is always
 * the list's.  false, with words: the address is not one of this machine's, the
 * port is taken, the own name does not resolve yet, and the like; all of these
 * can be tried again later.
 *
 * What keys there are is looked up in *secret at each datagram, so that they can
 * be exchanged while the transport is open.
 *
 * *transport is zeroed before the first attempt and left alone between attempts
 * (transport_close() only when the list or the address have changed): a look-up of
 * the own name goes on meanwhile.  One call waits for it TRANSPORT_NAME_WAIT
 * milliseconds at the most.
 */
extern bool transport_open(Transport *transport, const Cluster *cluster, int32_t node_id,
						   const char *listen_address, uint64_t cluster_digest,
						   Secret *secret, Words *words);

/*
 * Another list, while it is open: members come and go, all others stay where they are.  false, with
 * words: nothing has changed.
 */
extern bool transport_set_list(Transport *transport, const Cluster *before, const Cluster *now, Words *words);

/*
 * The checks by themselves, for whoever has a datagram and no socket: may these
 * bytes, from that address, in?
 */
extern TransportResult transport_check(Transport *transport, const Cluster *cluster,
									   const uint8_t *datagram, size_t length,
									   const struct sockaddr_storage *source,
									   RaftMessage					 *message);

/*
 * Read one datagram, if there is one to be read now.  Call until that is no longer
 * so, or again at transport_deadline().
 */
extern TransportResult transport_receive(Transport *transport, const Cluster *cluster,
										 RaftMessage *message);

/* Readable when there is something to receive; good until transport_close(). */
extern int transport_pollable(const Transport *transport);

/*
 * When to call transport_receive() although nothing is readable; UINT64_MAX: never.
 */
extern uint64_t transport_deadline(const Transport *transport);

/* When to call transport_tend(); UINT64_MAX: not yet. */
extern uint64_t transport_tend_at(const Transport *transport);

/*
 * Look up names, and give each peer whose address is known a socket of its own (a
 * peer without one is heard as well, but in the crowd).  heard_at: as for
 * addresses_poll().
 *
 * false, with words: this member cannot be reached where it listens any more.  The
 * address has left this machine, or its own name leads to another one now.  Close the
 * transport, and open it anew.
 */
extern bool transport_tend(Transport *transport, const Cluster *cluster,
						   const uint64_t *heard_at, uint64_t now, Words *words);

/* Send one message to message->to.  false: it was not sent, which is counted. */
extern bool transport_send(Transport *transport, const RaftMessage *message);

/* Safe to call twice. */
extern void transport_close(Transport *transport);

/* "wrong source address", for people. */
extern const char *transport_drop_name(TransportDrop drop);

#endif /* PG_LEADER_TRANSPORT_H */
