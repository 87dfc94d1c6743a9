/*
 * node/cluster.h
 *	  The member list: who belongs to the cluster, and at which address.
 *
 * The list is one text, 'host:port, host:port, ...' with ids by position, or
 * 'id=host:port, ...' with ids as given (all entries or none have one).  A host
 * is an IPv4 address, an IPv6 address in brackets, or a name.  Parsing is pure
 * and touches nothing; resolving names is apart, and never blocks once the
 * member runs.
 *
 * Called by the module's check hook, the worker and the programs.  No backend
 * symbols: errors come back as a code and words.
 */
#ifndef PG_LEADER_CLUSTER_H
#define PG_LEADER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../raft/raft.h"

#define CLUSTER_HOST_SIZE	 256					 /* longest host, terminator included */
#define CLUSTER_ADDRESS_SIZE (CLUSTER_HOST_SIZE + 8) /* "[host]:port" */
#define CLUSTER_SOURCE_SIZE	 72						 /* as cluster_format_source() writes it */
#define CLUSTER_ERROR_SIZE	 512
#define CLUSTER_NAME_MAX	 63 /* bytes of a cluster's name */

typedef struct ClusterMember
{
	int32_t	 node_id;				  /* 0 .. RAFT_MAX_NODES - 1 */
	char	 host[CLUSTER_HOST_SIZE]; /* without brackets, lower case */
	uint16_t port;					  /* 1 .. 65535 */
	bool	 is_name;				  /* has to be resolved */
} ClusterMember;

/* Members are sorted by node id. */
typedef struct Cluster
{
	int			  n_members; /* 1 .. RAFT_MAX_NODES */
	ClusterMember members[RAFT_MAX_NODES];
} Cluster;

/*
 * Read a member list.  false: *error says what is wrong and *hint what to do
 * (both CLUSTER_ERROR_SIZE bytes, always terminated).  Refused: an empty list,
 * more than RAFT_MAX_NODES members, a missing or impossible port, an empty or
 * overlong host, an id out of range or used twice, ids on some entries only,
 * two members with one host and port, an address of no member (0.0.0.0, ::,
 * multicast), a link-local IPv6 address without its interface.
 */
extern bool cluster_parse(const char *text, Cluster *cluster,
						  char *error, char *hint);

/* The member with that id, or NULL. */
extern const ClusterMember *cluster_member(const Cluster *cluster, int32_t node_id);

/* Bit i set: node id i is in the list. */
extern uint64_t cluster_members(const Cluster *cluster);

/*
 * Digest of the first n members in the order of their ids, 1 .. n_members, over
 * the normalised text ("0=host:port" and so on), never over what names resolve
 * to.  The same on every machine.
 */
extern uint64_t cluster_list_digest(const Cluster *cluster, int n);

/*
 * Was the list that had so many members, and this digest, the head of this one?  Not
 * if it is the same.
 */
extern bool cluster_is_appended(const Cluster *cluster, uint32_t size, uint64_t digest);

/* Digest of any text, for the cluster's name.  Never 0. */
extern uint64_t cluster_text_digest(const char *text);

/* "host:port" or "[host]:port" into buffer of CLUSTER_ADDRESS_SIZE; returns it. */
extern const char *cluster_format_address(const ClusterMember *member, char *buffer);

/*
 * Is every member on the loopback interface, so that its datagrams never leave the
 * machine?  A name other than localhost counts as elsewhere.
 */
extern bool cluster_is_local(const Cluster *cluster);

/* Can a cluster have this name?  1 to CLUSTER_NAME_MAX bytes of printable ASCII. */
extern bool cluster_is_name(const char *name);

/* ---- looking a name up, in the background ---- */

/*
 * One look-up under way (getaddrinfo_a).  It lives on the heap, because a
 * look-up that is being worked on cannot be cancelled: the resolver's thread
 * may write to it after we have lost interest.
 */
typedef struct ClusterLookup ClusterLookup;

typedef enum ClusterLookupResult
{
	CLUSTER_LOOKUP_PENDING = 0,
	CLUSTER_LOOKUP_FOUND,
	CLUSTER_LOOKUP_FAILED
} ClusterLookupResult;

/* Begin; NULL when even that failed.  family: AF_UNSPEC takes either. */
extern ClusterLookup *cluster_lookup_start(const char *host, uint16_t port, int family);

/*
 * Has it come back?  FOUND fills in address and length (of both families, IPv4
 * goes first: every member then makes the same choice), FAILED puts words into
 * failure.
 */
extern ClusterLookupResult cluster_lookup_poll(ClusterLookup		   *lookup,
											   struct sockaddr_storage *address,
											   socklen_t			   *length,
											   char *failure, size_t size);

/* Wait for it, at most so many milliseconds; a signal ends the wait early. */
extern void cluster_lookup_wait(ClusterLookup *lookup, int milliseconds);

/* Cancel and free; NULL is allowed. */
extern void cluster_lookup_end(ClusterLookup *lookup);

/* ---- where the members are ---- */

/*
 * A literal address is known at once; a name is looked up in the background, at
 * first and again every so often while its member is silent.
 */
typedef struct ClusterAddress
{
	bool					known;
	ClusterLookup		   *lookup;		  /* under way, or NULL */
	uint64_t				look_up_at;	  /* when to look it up (again), or to see whether
								 * the look-up has come back; UINT64_MAX: never */
	char					failure[128]; /* why the last look-up failed, or empty */
	struct sockaddr_storage address;
	socklen_t				length;
} ClusterAddress;

typedef struct ClusterAddresses
{
	int			   family;			   /* AF_INET or AF_INET6, of this member's socket */
	ClusterAddress of[RAFT_MAX_NODES]; /* by node id */
} ClusterAddresses;

/*
 * Forget everything and take over the literal addresses.  "family" is that of
 * the socket; false, with words in error, if a literal address is of the other
 * family or two members have one address.
 */
extern bool cluster_addresses_init(ClusterAddresses *addresses, const Cluster *cluster,
								   int family, char *error);

/*
 * Start look-ups that are due and gather those that have come back; never
 * blocks.  heard_at[i] is when member i was last heard, 0 for never: a member
 * that is heard is not looked up again.  True if an address has changed.
 */
extern bool cluster_addresses_poll(ClusterAddresses *addresses, const Cluster *cluster,
								   const uint64_t *heard_at, uint64_t now);

/* When cluster_addresses_poll() wants to be called next; UINT64_MAX: never. */
extern uint64_t cluster_addresses_deadline(const ClusterAddresses *addresses);

/*
 * The address of one literal (not is_name) member.  false, with words in error,
 * if it names a network interface that this machine does not have.
 */
extern bool cluster_literal_address(const ClusterMember		*member,
									struct sockaddr_storage *address,
									socklen_t *length, char *error);

/* Cancel what is under way.  Safe on a zeroed struct. */
extern void cluster_addresses_close(ClusterAddresses *addresses);

/* "10.0.0.1:3500" or "[2001:db8::1]:3500", of what a socket says of a datagram. */
extern void cluster_format_source(const struct sockaddr_storage *source, char *text, size_t size);

/* Same family, address and port? */
extern bool cluster_same_address(const struct sockaddr_storage *a,
								 const struct sockaddr_storage *b);

#endif /* PG_LEADER_CLUSTER_H */
