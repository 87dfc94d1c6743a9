/*
 * node/addresses.h
 *	  Where the members are: literal addresses, and names that are looked up while
 *	  the member runs.
 *
 * A literal address is known at once.  A name is looked up in the background: at
 * first, every so often while its member is silent, and when a datagram in its
 * member's name comes from elsewhere.  A name may lead to several addresses: its
 * member is heard at each of them, and sent to at one.
 *
 * Called by the transport.  Never blocks.  No backend symbols.
 */
#ifndef PG_LEADER_ADDRESSES_H
#define PG_LEADER_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "cluster.h"
#include "lookup.h"

#define ADDRESSES_FAILURE_SIZE (LOOKUP_FAILURE_SIZE + 64)

typedef struct MemberAddress
{
	bool					known;
	struct sockaddr_storage address; /* where it is sent to */
	LookupFound				found;	 /* by the last look-up that found anything */
	Lookup				   *lookup;	 /* under way, or NULL */

	/* when to look it up (again), or to see what has become of it; UINT64_MAX: never */
	uint64_t look_up_at;
	uint64_t looked_up_at; /* when the last look-up came back; 0: none has */
	bool	 failed;	   /* it did */
	bool	 wanted;	   /* to be looked up although its member is heard */

	/* what is wrong with its name: "its name leads to ...", or empty */
	char failure[ADDRESSES_FAILURE_SIZE];
} MemberAddress;

typedef struct Addresses
{
	int			  family;			  /* AF_INET or AF_INET6, of this member's socket */
	int32_t		  own_id;			  /* RAFT_NONE: not set */
	int			  moves;			  /* so many look-ups in a row said that the own name leads elsewhere */
	MemberAddress of[RAFT_MAX_NODES]; /* by node id */
} Addresses;

/*
 * The address of one literal (not is_name) member.  false, with words,
 * if it names a network interface that this machine does
 * not have.
 */
extern bool addresses_literal(const ClusterMember *member, struct sockaddr_storage *address,
							  Words *words);

/*
 * Where to listen when this member's name leads there: at the one of these addresses
 * that this machine has, or at all of its addresses if it has several of them.  If
 * it has none, at the first, which will fail.
 */
extern void addresses_choose_own(const LookupFound *found, struct sockaddr_storage *address);

/*
 * Reset, and set the literal addresses.  "family" is that of
 * the socket; false, with words in error, if a literal address is of the other
 * family or two members have one address.
 */
extern bool addresses_init(Addresses *addresses, const Cluster *cluster, int family, Words *words);

/*
 * Another list: members that come are looked up, those that go are forgotten, and all others stay
 * as they are.  false, with words in error: one that comes cannot be; nothing has changed.
 */
extern bool addresses_set_list(Addresses *addresses, const Cluster *before, const Cluster *now, Words *words);

/*
 * This member is own_id, and listens there.  is_found: because its name leads there;
 * so that is looked at again, see addresses_have_moved().
 */
extern void addresses_set_own(Addresses *addresses, int32_t own_id,
							  const struct sockaddr_storage *listening, bool is_found, uint64_t now);

/*
 * Start look-ups that are due and gather those that have come back.  heard_at[i] is
 * when member i was last heard, 0 for never: a member that is heard is not looked up
 * again, unless somebody elsewhere speaks in its name.  True if an address has changed.
 */
extern bool addresses_poll(Addresses *addresses, const Cluster *cluster,
						   const uint64_t *heard_at, uint64_t now);

/* When addresses_poll() wants to be called next; UINT64_MAX: never. */
extern uint64_t addresses_deadline(const Addresses *addresses);

/*
 * Does this member's own name lead to another address of this machine by now, twice in
 * a row?  Then it has to listen there.
 */
extern bool addresses_have_moved(const Addresses *addresses);

/* The member that is sent to at this address and port, or RAFT_NONE. */
extern int32_t addresses_member_at(const Addresses *addresses, const Cluster *cluster,
								   const struct sockaddr_storage *address);

/* Is this an address of member node_id, and of no other? */
extern bool addresses_are_of(const Addresses *addresses, const Cluster *cluster, int32_t node_id,
							 const struct sockaddr_storage *address);

/*
 * Member node_id itself was heard from that address of its own: it is sent to there
 * from now on.  True if that is a change.
 */
extern bool addresses_heard(Addresses *addresses, int32_t node_id,
							const struct sockaddr_storage *address);

/*
 * Something came in the name of member node_id from an address that is none of its.
 * Is that known for sure?  If its name was not looked up just now it will be, at once
 * but no more than once a second, and this is false.
 */
extern bool addresses_are_sure(Addresses *addresses, int32_t node_id, uint64_t now);

/* Cancel what is under way.  Safe on a zeroed struct. */
extern void addresses_close(Addresses *addresses);

#endif /* PG_LEADER_ADDRESSES_H */
