/*
 * node/addresses.c
 *	  Where the members are: literal addresses, and names that are looked up while
 *	  the member runs.
 *
 * See addresses.h.  Must not use backend symbols, block, or log.
 */
#include "addresses.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A name that could not be found is tried again after this long, in us; and none is
 * asked more often.
 */
#define LOOK_UP_RETRY UINT64_C(1000000)

/*
 * A name whose member is silent this long is looked up again, and then as often
 * as this: the member may have moved.  So is the own name.
 */
#define LOOK_UP_SILENCE UINT64_C(10000000)

/* How often to see whether a look-up has come back. */
#define LOOK_UP_CHECK UINT64_C(20000)

/* ---- addresses that are no names ---- */

bool
addresses_literal(const ClusterMember *member, struct sockaddr_storage *address, Words *words)
{
	struct sockaddr_in	*in = (struct sockaddr_in *) address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) address;
	char				 host[CLUSTER_HOST_SIZE];
	char				*zone;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, member->host, &in->sin_addr) == 1)
	{
		in->sin_family = AF_INET;
		in->sin_port = htons(member->port);
		return true;
	}
	memset(address, 0, sizeof(*address));
	(void) snprintf(host, sizeof(host), "%s", member->host);
	zone = strchr(host, '%');
	if (zone != NULL)
	{
		*zone++ = '\0';
		in6->sin6_scope_id = zone[strspn(zone, "0123456789")] == '\0' ?
								 (uint32_t) strtoul(zone, NULL, 10) :
								 if_nametoindex(zone);
		if (in6->sin6_scope_id == 0)
			return words_set(words, NULL, "this machine has no network interface \"%.32s\"", zone);
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return words_set(words, NULL, "\"%.64s\" is not an address", member->host);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(member->port);
	return true;
}

/* A member whose address is not known yet, or by its name only. */
static bool
begin_address(Addresses *addresses, const Cluster *cluster, const ClusterMember *member, Words *words)
{
	MemberAddress *its = &addresses->of[member->node_id];
	char		   text[CLUSTER_ADDRESS_SIZE];
	int32_t		   other;

	if (member->is_name)
	{
		its->look_up_at = 0;
		return true;
	}
	if (!addresses_literal(member, &its->address, words))
		return false;
	if (its->address.ss_family != addresses->family)
		return words_set(words, NULL, "node %d is at %.200s, but this member's own address is %s",
						 (int) member->node_id, cluster_format_address(member, text),
						 addresses->family == AF_INET ? "IPv4" : "IPv6");
	other = addresses_member_at(addresses, cluster, &its->address);
	if (other != RAFT_NONE)
		return words_set(words, NULL, "nodes %d and %d have the same address",
						 (int) other, (int) member->node_id);
	its->known = true;
	return true;
}

bool
addresses_init(Addresses *addresses, const Cluster *cluster, int family, Words *words)
{
	memset(addresses, 0, sizeof(*addresses));
	addresses->family = family;
	addresses->own_id = RAFT_NONE;
	for (int i = 0; i < RAFT_MAX_NODES; i++)
		addresses->of[i].look_up_at = UINT64_MAX;
	for (int i = 0; i < cluster->n_members; i++)
	{
		if (!begin_address(addresses, cluster, &cluster->members[i], words))
			return false;
	}
	return true;
}

static void
forget_address(Addresses *addresses, int32_t id)
{
	lookup_end(addresses->of[id].lookup);
	memset(&addresses->of[id], 0, sizeof(addresses->of[id]));
	addresses->of[id].look_up_at = UINT64_MAX;
}

bool
addresses_set_list(Addresses *addresses, const Cluster *before, const Cluster *now, Words *words)
{
	for (int i = 0; i < now->n_members; i++)
	{
		if (cluster_member(before, now->members[i].node_id) != NULL || begin_address(addresses, now, &now->members[i], words))
			continue;
		for (; i >= 0; i--)
		{
			if (cluster_member(before, now->members[i].node_id) == NULL)
				forget_address(addresses, now->members[i].node_id);
		}
		return false;
	}
	for (int i = 0; i < before->n_members; i++)
	{
		if (cluster_member(now, before->members[i].node_id) == NULL)
			forget_address(addresses, before->members[i].node_id);
	}
	return true;
}

/* ---- this member's own ---- */

void
addresses_choose_own(const LookupFound *found, struct sockaddr_storage *address)
{
	int n_ours = 0;

	*address = found->of[0];
	for (int i = 0; i < found->n; i++)
	{
		if (address_is_ours(&found->of[i]) && ++n_ours == 1)
			*address = found->of[i];
	}
	if (n_ours < 2)
		return;
	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *) address)->sin6_addr = in6addr_any;
	else
		((struct sockaddr_in *) address)->sin_addr.s_addr = htonl(INADDR_ANY);
}

void
addresses_set_own(Addresses *addresses, int32_t own_id, const struct sockaddr_storage *listening,
				  bool is_found, uint64_t now)
{
	MemberAddress *own = &addresses->of[own_id];

	addresses->own_id = own_id;
	if (own->known)
		return; /* a literal address, whatever it listens at */
	own->known = true;
	own->address = *listening;
	own->found.n = 1;
	own->found.of[0] = *listening;

	/* who listens at all addresses is heard at whichever the name leads to */
	own->look_up_at = is_found && !address_is_any(listening) ? now + LOOK_UP_SILENCE : UINT64_MAX;
}

static bool
others_are_elsewhere(const Addresses *addresses)
{
	for (int i = 0; i < RAFT_MAX_NODES; i++)
	{
		if (addresses->of[i].known && i != addresses->own_id &&
			!address_is_loopback(&addresses->of[i].address))
			return true;
	}
	return false;
}

/*
 * The own name was found: does this member listen where others will send to?  A second
 * look-up has to say so before it moves: some name servers answer with one of several
 * addresses in turn.
 */
static void
judge_own(Addresses *addresses, const LookupFound *found, uint64_t now)
{
	MemberAddress		   *own = &addresses->of[addresses->own_id];
	struct sockaddr_storage chosen;
	char					text[CLUSTER_SOURCE_SIZE];

	addresses_choose_own(found, &chosen);
	address_format(&chosen, text, sizeof(text));
	if (!address_is_ours(&chosen))
	{
		addresses->moves = 0;
		(void) snprintf(own->failure, sizeof(own->failure),
						"its name leads to %s, which is not an address of this machine", text);
	}
	else if (address_equal(&chosen, &own->address))
	{
		addresses->moves = 0;
		if (address_is_loopback(&chosen) && others_are_elsewhere(addresses))
			(void) snprintf(own->failure, sizeof(own->failure),
							"its name leads to %s, which other machines cannot reach", text);
	}
	else
	{
		addresses->moves++;
		own->look_up_at = now + LOOK_UP_RETRY;
	}
}

bool
addresses_have_moved(const Addresses *addresses)
{
	return addresses->moves >= 2;
}

/* ---- names ---- */

static bool
heard_lately(uint64_t heard_at, uint64_t now)
{
	return heard_at != 0 && (heard_at >= now || now - heard_at <= LOOK_UP_SILENCE);
}

/* Look it up as soon as may be. */
static void
want_look_up(MemberAddress *its, uint64_t now)
{
	uint64_t at = its->looked_up_at != 0 ? its->looked_up_at + LOOK_UP_RETRY : 0;

	its->wanted = true;
	if (its->lookup == NULL && its->look_up_at > at)
		its->look_up_at = at > now ? at : now;
}

/*
 * Does this member's claim to the address that it has stand against another one's?  A
 * name's does as long as it leads there; if it can no longer be found, as long as
 * the member is heard.
 */
static bool
keeps_address(const MemberAddress *its, bool is_name, uint64_t heard_at, uint64_t now)
{
	if (!is_name || its->look_up_at == UINT64_MAX)
		return true;
	return lookup_has(&its->found, &its->address) && (!its->failed || heard_lately(heard_at, now));
}

/*
 * Two members never have one address, else either could speak for the other.  False:
 * another one has this, and keeps it for now.
 */
static bool
take_from_others(Addresses *addresses, const Cluster *cluster, int32_t node_id,
				 const struct sockaddr_storage *address, const uint64_t *heard_at, uint64_t now)
{
	MemberAddress *its = &addresses->of[node_id];
	int32_t		   other_id = addresses_member_at(addresses, cluster, address);
	MemberAddress *other;

	if (other_id == RAFT_NONE || other_id == node_id)
		return true;
	other = &addresses->of[other_id];
	if (other_id == addresses->own_id ||
		keeps_address(other, cluster_member(cluster, other_id)->is_name, heard_at[other_id], now))
	{
		(void) snprintf(its->failure, sizeof(its->failure),
						"its name leads to the address of node %d", (int) other_id);

		/* addresses may have been swapped */
		if (other->look_up_at != UINT64_MAX)
			want_look_up(other, now);
		return false;
	}
	other->known = false;
	want_look_up(other, now);
	return true;
}

/*
 * Take over one of the addresses that were found: the present one if the member was
 * heard there, else the next.  True if that changed anything.
 */
static bool
take_found(Addresses *addresses, const Cluster *cluster, int32_t node_id,
		   const uint64_t *heard_at, uint64_t now)
{
	MemberAddress *its = &addresses->of[node_id];
	int			   n = its->found.n;
	int			   first = 0;

	for (int i = 0; i < n && its->known; i++)
	{
		if (address_equal(&its->found.of[i], &its->address))
			first = heard_lately(heard_at[node_id], now) ? i : i + 1;
	}
	for (int i = 0; i < n; i++)
	{
		const struct sockaddr_storage *address = &its->found.of[(first + i) % n];

		if (its->known && address_equal(address, &its->address))
			return false;
		if (!take_from_others(addresses, cluster, node_id, address, heard_at, now))
			continue;
		its->failure[0] = '\0';
		its->address = *address;
		its->known = true;
		return true;
	}
	its->look_up_at = now + LOOK_UP_RETRY;
	return false;
}

/* A look-up has come back.  True if the member's address has changed. */
static bool
take_result(Addresses *addresses, const Cluster *cluster, int32_t node_id, LookupResult result,
			const LookupFound *found, const char *failure, const uint64_t *heard_at, uint64_t now)
{
	MemberAddress *its = &addresses->of[node_id];

	lookup_end(its->lookup);
	its->lookup = NULL;
	its->wanted = false;
	its->looked_up_at = now;
	its->failed = result == LOOKUP_FAILED;
	if (its->failed)
	{
		(void) snprintf(its->failure, sizeof(its->failure), "its name cannot be resolved: %s", failure);
		its->look_up_at = now + LOOK_UP_RETRY;
		return false;
	}
	its->failure[0] = '\0';
	its->look_up_at = now + LOOK_UP_SILENCE;
	if (node_id == addresses->own_id)
	{
		judge_own(addresses, found, now);
		return false;
	}
	its->found = *found;
	return take_found(addresses, cluster, node_id, heard_at, now);
}

/* Start or poll the look-up of one member.  True if its address has changed. */
static bool
poll_member(Addresses *addresses, const Cluster *cluster, const ClusterMember *member,
			const uint64_t *heard_at, uint64_t now)
{
	MemberAddress *its = &addresses->of[member->node_id];
	LookupFound	   found;
	LookupResult   result;
	char		   failure[LOOKUP_FAILURE_SIZE] = "";

	if (its->lookup == NULL)
	{
		if (its->known && !its->wanted && heard_lately(heard_at[member->node_id], now))
		{
			its->look_up_at = heard_at[member->node_id] + LOOK_UP_SILENCE + 1;
			return false;
		}
		its->lookup = lookup_start(member->host, member->port, addresses->family);
		if (its->lookup == NULL)
		{
			(void) snprintf(its->failure, sizeof(its->failure),
							"the look-up of its name could not be started");
			its->look_up_at = now + LOOK_UP_RETRY;
			return false;
		}
	}
	its->look_up_at = now + LOOK_UP_CHECK;
	result = lookup_poll(its->lookup, &found, failure);
	if (result == LOOKUP_PENDING)
		return false;
	return take_result(addresses, cluster, member->node_id, result, &found, failure, heard_at, now);
}

bool
addresses_poll(Addresses *addresses, const Cluster *cluster, const uint64_t *heard_at, uint64_t now)
{
	bool changed = false;

	for (int i = 0; i < cluster->n_members; i++)
	{
		const ClusterMember *member = &cluster->members[i];

		if (addresses->of[member->node_id].look_up_at <= now &&
			poll_member(addresses, cluster, member, heard_at, now))
			changed = true;
	}
	return changed;
}

uint64_t
addresses_deadline(const Addresses *addresses)
{
	uint64_t deadline = UINT64_MAX;

	for (int i = 0; i < RAFT_MAX_NODES; i++)
	{
		if (addresses->of[i].look_up_at < deadline)
			deadline = addresses->of[i].look_up_at;
	}
	return deadline;
}

void
addresses_close(Addresses *addresses)
{
	for (int i = 0; i < RAFT_MAX_NODES; i++)
	{
		lookup_end(addresses->of[i].lookup);
		addresses->of[i].lookup = NULL;
		addresses->of[i].look_up_at = UINT64_MAX;
	}
}

/* ---- whose an address is ---- */

int32_t
addresses_member_at(const Addresses *addresses, const Cluster *cluster,
					const struct sockaddr_storage *address)
{
	for (int i = 0; i < cluster->n_members; i++)
	{
		int32_t				 id = cluster->members[i].node_id;
		const MemberAddress *its = &addresses->of[id];

		if (its->known && address_equal(&its->address, address))
			return id;
	}
	return RAFT_NONE;
}

bool
addresses_are_of(const Addresses *addresses, const Cluster *cluster, int32_t node_id,
				 const struct sockaddr_storage *address)
{
	const MemberAddress *its = &addresses->of[node_id];

	if (its->known && address_equal(&its->address, address))
		return true;
	return lookup_has(&its->found, address) &&
		   addresses_member_at(addresses, cluster, address) == RAFT_NONE;
}

bool
addresses_heard(Addresses *addresses, int32_t node_id, const struct sockaddr_storage *address)
{
	MemberAddress *its = &addresses->of[node_id];

	if (its->known && address_equal(&its->address, address))
		return false;
	its->address = *address;
	its->known = true;
	return true;
}

bool
addresses_are_sure(Addresses *addresses, int32_t node_id, uint64_t now)
{
	MemberAddress *its = &addresses->of[node_id];

	if (its->look_up_at == UINT64_MAX)
		return true; /* no name */
	if (its->looked_up_at != 0 && !its->failed && now < its->looked_up_at + LOOK_UP_RETRY)
		return true;
	want_look_up(its, now);
	return false;
}
