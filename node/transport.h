/*
 * node/transport.h
 *	  Datagrams in and out: one UDP socket, and the checks at the door.
 *
 * A datagram gets in only if it is one of ours (size, magic, version, cluster),
 * comes from the configured address and port of the member that it names as its
 * sender and, where there are keys, is signed with one of them.  Whatever fails
 * is dropped and counted by reason, cheap checks first.  Nothing here blocks, and
 * no error of sending or receiving is fatal.
 * Freshness (does it echo our start?) is the core's business, see raft_receive.
 *
 * Called by the worker.  No backend symbols.
 */
#ifndef PG_LEADER_TRANSPORT_H
#define PG_LEADER_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster.h"
#include "secret.h"
#include "../raft/message.h"

#define TRANSPORT_ERROR_SIZE 512
#define TRANSPORT_NAME_WAIT	 50 /* ms */

/* Why a datagram was dropped at the door. */
typedef enum TransportDrop
{
	TRANSPORT_DROP_MALFORMED = 0, /* size, magic, type, impossible values */
	TRANSPORT_DROP_VERSION,		  /* another version of the layout */
	TRANSPORT_DROP_CLUSTER,		  /* another cluster's name */
	TRANSPORT_DROP_UNKNOWN_NODE,  /* names a sender that is not in the list */
	TRANSPORT_DROP_SOURCE,		  /* not from its member's address and port */
	TRANSPORT_DROP_UNSIGNED,	  /* not authenticated, and we have keys */
	TRANSPORT_DROP_KEY,			  /* signed with a key that we do not have */
	TRANSPORT_DROP_TAG,			  /* forged, spoiled, or our keys differ */
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

typedef struct Transport
{
	int				  fd;		  /* -1: closed */
	ClusterLookup	 *own_lookup; /* of the address to listen on, between attempts */
	Secret			 *secret;	  /* the caller's; without keys: no authentication */
	uint64_t		  cluster_digest;
	ClusterAddresses  addresses;
	TransportCounters counters;
	int				  last_send_errno;
	int32_t			  other_version_from; /* sender of the last TRANSPORT_DROP_VERSION */
	uint8_t			  other_version;	  /* and the version it spoke */
	int32_t			  refused_from;		  /* sender of the last that was not authentic */

	/* With which key each member signed the last datagram that got in; 0: none. */
	uint8_t key_ids[RAFT_MAX_NODES];
} Transport;

typedef enum TransportResult
{
	TRANSPORT_MESSAGE = 0, /* *message is filled in */
	TRANSPORT_DROPPED,	   /* there was one, and it was no good */
	TRANSPORT_EMPTY		   /* nothing to read */
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
						   Secret *secret, char *error, char *hint);

/*
 * The checks by themselves, for whoever has a datagram and no socket: may these
 * bytes, from that address, in?
 */
extern TransportResult transport_check(Transport *transport, const Cluster *cluster,
									   const uint8_t *datagram, size_t length,
									   const struct sockaddr_storage *source,
									   RaftMessage					 *message);

/* Read one datagram, if there is one. */
extern TransportResult transport_receive(Transport *transport, const Cluster *cluster,
										 RaftMessage *message);

/* Send one message to message->to.  Errors are counted. */
extern void transport_send(Transport *transport, const RaftMessage *message);

/* Safe to call twice. */
extern void transport_close(Transport *transport);

/* "wrong source address", for people. */
extern const char *transport_drop_name(TransportDrop drop);

#endif /* PG_LEADER_TRANSPORT_H */
