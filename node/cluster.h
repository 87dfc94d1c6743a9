/*
 * node/cluster.h
 *	  The member list: who belongs to the cluster, and at which address.
 *
 * The list is one text, 'host:port, host:port, ...' with ids by position, or
 * 'id=host:port, ...' with ids as given (all entries or none have one).  A host
 * is an IPv4 address, an IPv6 address in brackets, or a name.  Everything here is
 * pure and touches nothing; names are resolved in lookup.c and addresses.c.
 *
 * Called by the module's check hook, the worker and the programs.  No backend
 * symbols: errors come back as a code and words.
 */
#ifndef PG_LEADER_CLUSTER_H
#define PG_LEADER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../raft/raft.h"
#include "words.h"

#define CLUSTER_HOST_SIZE	 256					 /* longest host, terminator included */
#define CLUSTER_ADDRESS_SIZE (CLUSTER_HOST_SIZE + 8) /* "[host]:port" */
#define CLUSTER_SOURCE_SIZE	 72						 /* as address_format() writes it */
#define CLUSTER_NAME_MAX	 63						 /* bytes of a cluster's name */

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
 * Read a member list.  false: *words says what is wrong, and what to do.  Refused: an empty list,
 * more than RAFT_MAX_NODES members, a missing or impossible port, an empty or
 * overlong host, an id out of range or used twice, ids on some entries only,
 * two members with one host and port, an address of no member (0.0.0.0, ::,
 * multicast), a link-local IPv6 address without its interface.
 */
extern bool cluster_parse(const char *text, Cluster *cluster,
						  Words *words);

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
 * What the core has to know of a list: members, wanted, addresses, list_digest and list_size of
 * the configuration.
 */
extern void cluster_configure(const Cluster *cluster, RaftConfig *config);

/*
 * The members of "count" that the list lacks, as "before" has them, are added to it: whoever counts
 * has an address until it does not count any more.  A member of "before" alone stays out.
 */
extern void cluster_keep(Cluster *cluster, const Cluster *before, uint64_t count);

/*
 * Is this list the given one (size, digest) with members appended?
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

#endif /* PG_LEADER_CLUSTER_H */
