/*
 * node/transport.c
 *	  Datagrams in and out: one UDP port, and the checks at the door.
 *
 * The checks stand in transport_check(), in the order of what they cost: is it
 * ours, is its sender a member, does it come from that member's address, is it
 * signed by one who has our key; and only then is the rest of it looked at.
 *
 * Called by the worker.  Must not use backend symbols, block, log, or treat
 * anything that comes in from the network as more than a reason to count.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "record.h"
#include "transport.h"

#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How often a socket that could not be connected is tried again: us. */
#define CONNECT_RETRY UINT64_C(1000000)

/* While sending fails: how often to see whether we still have our address. */
#define LOOK_AGAIN UINT64_C(1000000)

/* ---- opening ---- */

/*
 * The family that the members' literal addresses have; a name that leads to
 * both families is wanted in this one.
 */
static int
family_of_list(const Cluster *cluster)
{
	for (int i = 0; i < cluster->n_members; i++)
	{
		if (!cluster->members[i].is_name)
			return strchr(cluster->members[i].host, ':') != NULL ? AF_INET6 : AF_INET;
	}
	return AF_UNSPEC;
}

/*
 * The member's entry with the listening address in place of its host: as if it
 * stood in the list, except that 0.0.0.0 and :: are allowed.
 */
static bool
read_listen_address(const char *listen_address, ClusterMember *place, Words *words)
{
	char	 text[CLUSTER_ADDRESS_SIZE + 2];
	Words	 inner = {"", ""};
	size_t	 length = strlen(listen_address);
	bool	 is_bare = strchr(listen_address, ':') != NULL && listen_address[0] != '[';
	bool	 any = strcmp(listen_address, "0.0.0.0") == 0;
	bool	 any6 = strcmp(listen_address, "::") == 0 || strcmp(listen_address, "[::]") == 0;
	uint16_t port = place->port;
	int32_t	 node_id = place->node_id;
	Cluster	 parsed;

	if (any || any6)
	{
		(void) snprintf(place->host, sizeof(place->host), "%s", any ? "0.0.0.0" : "::");
		place->is_name = false;
		return true;
	}
	if (length >= CLUSTER_HOST_SIZE || strpbrk(listen_address, ",=") != NULL)
		return words_set(words, "Set pg_leader.listen_address to one address, without a port.",
						 "\"%.64s\" is not a valid listen address", listen_address);
	(void) snprintf(text, sizeof(text), "%s%s%s:%u", is_bare ? "[" : "", listen_address,
					is_bare ? "]" : "", (unsigned) port);
	if (!cluster_parse(text, &parsed, &inner))
		return words_set(words, "Set pg_leader.listen_address to one address, without a port.",
						 "\"%.64s\" is not a valid listen address: %.300s", listen_address,
						 strstr(inner.error, "): ") != NULL ? strstr(inner.error, "): ") + 3 : inner.error);
	*place = parsed.members[0];
	place->node_id = node_id;
	return true;
}

/*
 * Where to bind.  A name is looked up in the background, and the look-up stays
 * under way when this returns false, for the next attempt.
 */
static bool
find_own_address(Transport *transport, const ClusterMember *place, int family,
				 struct sockaddr_storage *address, Words *words)
{
	LookupFound	 found;
	LookupResult result;
	char		 failure[LOOKUP_FAILURE_SIZE] = "";
	Words		 inner = {"", ""};

	if (!place->is_name)
	{
		if (addresses_literal(place, address, &inner))
			return true;
		return words_set(words, "Name an interface of this machine; \"ip link\" lists them.",
						 "%.400s", inner.error);
	}
	if (transport->own_lookup == NULL)
		transport->own_lookup = lookup_start(place->host, place->port, family);
	if (transport->own_lookup == NULL)
		return words_set(words, "This is retried every second.",
						 "could not start to look up \"%.255s\"", place->host);
	lookup_wait(transport->own_lookup, TRANSPORT_NAME_WAIT);
	result = lookup_poll(transport->own_lookup, &found, failure);
	if (result == LOOKUP_PENDING)
		return words_set(words, "This is retried every second.",
						 "the name \"%.255s\" of this member is still being resolved", place->host);
	lookup_end(transport->own_lookup);
	transport->own_lookup = NULL;
	if (result == LOOKUP_FAILED)
		return words_set(words,
						 "Make the name known to this machine, or set pg_leader.listen_address. This is retried every second.",
						 "the name \"%.255s\" of this member cannot be resolved: %s", place->host, failure);
	addresses_choose_own(&found, address);
	return true;
}

/* Make and bind the socket; -1, with words. */
static int
bind_socket(const struct sockaddr_storage *address, const char *shown, Words *words)
{
	const int	on = 1;
	const char *advice = "This is retried every second.";
	int			number;
	int			fd;

	fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
	{
		number = errno;
		(void) words_set(words, number == EAFNOSUPPORT ? "This machine does not support that address family." : advice,
						 "could not make a socket for %s: %s", shown, strerror(number));
		return -1;
	}

	/*
	 * No SO_REUSEADDR or SO_REUSEPORT: with UDP they would let two processes share
	 * the port, and each would get some of the datagrams.  The second is switched on
	 * only for the moment in which a peer gets its own socket, see sockets.c.
	 */
	if ((address->ss_family == AF_INET6 &&
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
		bind(fd, (const struct sockaddr *) address, address_length(address)) != 0)
	{
		number = errno;
		if (number == EADDRNOTAVAIL)
			(void) words_set(words,
							 "Check pg_leader.node_id and this member's entry in pg_leader.cluster, or set pg_leader.listen_address.",
							 "%s is not an address of this machine", shown);
		else if (number == EADDRINUSE)
			(void) words_set(words, "Another process listens there; \"ss -lunp\" shows which.",
							 "the UDP port of %s is taken", shown);
		else
			(void) words_set(words, number == EACCES ? "Ports below 1024 need root or CAP_NET_BIND_SERVICE." : advice,
							 "could not listen on %s: %s", shown, strerror(number));
		(void) close(fd);
		return -1;
	}
	return fd;
}

/*
 * What people are shown of the address to listen on: with what its name leads to.
 */
static void
show_place(const ClusterMember *place, const struct sockaddr_storage *address, char *text, size_t size)
{
	char listed[CLUSTER_ADDRESS_SIZE];
	char found[CLUSTER_SOURCE_SIZE];

	address_format(address, found, sizeof(found));
	cluster_format_address(place, listed);
	if (place->is_name)
		(void) snprintf(text, size, "%s (%s)", listed, found);
	else
		(void) snprintf(text, size, "%s", listed);
}

/* Give each peer whose address is known a socket of its own. */
static void
connect_peers(Transport *transport, const Cluster *cluster, uint64_t now)
{
	transport->connect_at = UINT64_MAX;
	for (int i = 0; i < cluster->n_members; i++)
	{
		int32_t				 id = cluster->members[i].node_id;
		const MemberAddress *peer = &transport->addresses.of[id];

		/* What can be in the way: no route to it yet, or too many open files. */
		if (id != transport->own_id && peer->known &&
			!sockets_connect(&transport->sockets, id, &peer->address, address_length(&peer->address)))
			transport->connect_at = now + CONNECT_RETRY;
	}
}

bool
transport_open(Transport *transport, const Cluster *cluster, int32_t node_id,
			   const char *listen_address, uint64_t cluster_digest,
			   Secret *secret, Words *words)
{
	const ClusterMember	   *own = cluster_member(cluster, node_id);
	Lookup				   *lookup = transport->own_lookup;
	ClusterMember			place;
	struct sockaddr_storage address;
	char					shown[CLUSTER_ADDRESS_SIZE + CLUSTER_SOURCE_SIZE];
	Words					inner = {"", ""};

	memset(transport, 0, sizeof(*transport));
	transport->fd = -1;
	transport->own_lookup = lookup;
	transport->secret = secret;
	transport->cluster_digest = cluster_digest;
	transport->own_id = node_id;
	transport->connect_at = UINT64_MAX;
	transport->dropped.id = transport->dropped.claims = RAFT_NONE;
	words_clear(words);
	if (own == NULL)
		return words_set(words, "Set pg_leader.node_id to an id that is in pg_leader.cluster.",
						 "node %d is not in the member list", (int) node_id);
	place = *own;
	if (listen_address != NULL && listen_address[0] != '\0' &&
		!read_listen_address(listen_address, &place, words))
		return false;
	if (!find_own_address(transport, &place, family_of_list(cluster), &address, words))
		return false;
	if (!addresses_init(&transport->addresses, cluster, address.ss_family, &inner))
		return words_set(words, "All members must have addresses of one family (IPv4 or IPv6), all different.",
						 "%.500s", inner.error);

	show_place(&place, &address, shown, sizeof(shown));
	transport->fd = bind_socket(&address, shown, words);
	if (transport->fd < 0)
		return false;
	transport->listening = address;
	addresses_set_own(&transport->addresses, node_id, &address,
					  place.is_name && strcmp(place.host, own->host) == 0, clock_now());
	if (!sockets_open(&transport->sockets, transport->fd))
	{
		(void) words_set(words, "This is retried every second.",
						 "could not add the socket to epoll: %s", strerror(errno));
		(void) close(transport->fd);
		transport->fd = -1;
		return false;
	}
	connect_peers(transport, cluster, clock_now());
	return true;
}

bool
transport_set_list(Transport *transport, const Cluster *before, const Cluster *now, Words *words)
{
	Words inner = {"", ""};

	if (!addresses_set_list(&transport->addresses, before, now, &inner))
		return words_set(words, "All members must have addresses of one family (IPv4 or IPv6), all different.",
						 "%.500s", inner.error);
	for (int i = 0; i < before->n_members; i++)
	{
		if (cluster_member(now, before->members[i].node_id) == NULL)
			sockets_disconnect(&transport->sockets, before->members[i].node_id);
	}
	connect_peers(transport, now, clock_now());
	return true;
}

uint64_t
transport_tend_at(const Transport *transport)
{
	uint64_t at = addresses_deadline(&transport->addresses);

	if (transport->connect_at < at)
		at = transport->connect_at;
	if (transport->counters.send_errors != transport->errors_seen && transport->look_at < at)
		at = transport->look_at;
	return at;
}

bool
transport_tend(Transport *transport, const Cluster *cluster, const uint64_t *heard_at,
			   uint64_t now, Words *words)
{
	const char *own = cluster_member(cluster, transport->own_id)->host;
	char		text[CLUSTER_SOURCE_SIZE];

	if (addresses_poll(&transport->addresses, cluster, heard_at, now) || now >= transport->connect_at)
		connect_peers(transport, cluster, now);
	address_format(&transport->listening, text, sizeof(text));
	if (addresses_have_moved(&transport->addresses))
		return words_set(words, "Nothing is to be done if this machine was given another address.",
						 "the name \"%.255s\" of this member does not lead to %s alone any more", own, text);

	/* from an address that is not ours nothing can be sent */
	if (transport->counters.send_errors == transport->errors_seen || now < transport->look_at)
		return true;
	transport->errors_seen = transport->counters.send_errors;
	transport->look_at = now + LOOK_AGAIN;
	if (address_is_ours(&transport->listening))
		return true;
	return words_set(words, "Give it back to this machine, or correct pg_leader.cluster, the name, or pg_leader.listen_address.",
					 "%s is not an address of this machine any more", text);
}

int
transport_pollable(const Transport *transport)
{
	return transport->sockets.epoll_fd;
}

uint64_t
transport_deadline(const Transport *transport)
{
	return sockets_deadline(&transport->sockets);
}

void
transport_close(Transport *transport)
{
	sockets_close(&transport->sockets);

	/* A struct that is all zero was never opened. */
	if (transport->fd > 0)
		(void) close(transport->fd);
	transport->fd = -1;
	lookup_end(transport->own_lookup);
	transport->own_lookup = NULL;
	addresses_close(&transport->addresses);
}

/* ---- receiving ---- */

/* Is it too long or too short for its version?  Of other versions nobody can tell. */
static bool
has_wrong_size(const uint8_t *datagram, size_t length)
{
	size_t size = message_size(datagram[MESSAGE_AT_VERSION]);

	return size != 0 && length != size;
}

static TransportResult
drop(Transport *transport, TransportDrop why)
{
	transport->counters.dropped[why]++;
	return TRANSPORT_DROPPED;
}

/* The same, when it matters who it was: this is one of ours, but for something. */
static TransportResult
drop_of(Transport *transport, const Cluster *cluster, TransportDrop why, const uint8_t *datagram,
		const struct sockaddr_storage *source)
{
	int32_t claims = get_signed(datagram + MESSAGE_AT_FROM);

	transport->dropped.id = addresses_member_at(&transport->addresses, cluster, source);
	transport->dropped.claims = cluster_member(cluster, claims) != NULL ? claims : RAFT_NONE;
	transport->dropped.version = datagram[MESSAGE_AT_VERSION];
	transport->dropped.source = *source;
	return drop(transport, why);
}

/*
 * Does it have the tag that it needs?  TRANSPORT_DROPS: nothing is wrong.  Costs
 * two or three times as much as receiving it.  The echo is not looked at before,
 * though it is cheap: what a member has sent to our last start must be answered by
 * a greeting, and only the tag tells it from what somebody has made up.
 */
static TransportDrop
check_tag(const Transport *transport, const uint8_t *datagram, size_t length)
{
	uint8_t key_id = datagram[MESSAGE_AT_KEY_ID];

	if (secret_key_id(transport->secret) == 0)
		return key_id == 0 ? TRANSPORT_DROPS : TRANSPORT_DROP_KEY;
	if (key_id == 0)
		return TRANSPORT_DROP_UNSIGNED;
	switch (secret_check(transport->secret, key_id, datagram, length))
	{
		case SECRET_GOOD:
			return TRANSPORT_DROPS;
		case SECRET_UNKNOWN_KEY:
			return TRANSPORT_DROP_KEY;
		case SECRET_BAD_TAG:
		default:
			return TRANSPORT_DROP_TAG;
	}
}

TransportResult
transport_check(Transport *transport, const Cluster *cluster, const uint8_t *datagram,
				size_t length, const struct sockaddr_storage *source, RaftMessage *message)
{
	MessageEnvelope envelope = {0};
	TransportDrop	wrong;
	int32_t			from;

	if (length < MESSAGE_HEADER_SIZE || get_number(datagram, 4) != MESSAGE_MAGIC ||
		has_wrong_size(datagram, length))
		return drop(transport, TRANSPORT_DROP_MALFORMED);
	from = get_signed(datagram + MESSAGE_AT_FROM);
	if (get_number(datagram + MESSAGE_AT_CLUSTER, 8) != transport->cluster_digest)
		return drop_of(transport, cluster, TRANSPORT_DROP_CLUSTER, datagram, source);
	if (cluster_member(cluster, from) == NULL)
		return drop_of(transport, cluster, TRANSPORT_DROP_UNKNOWN_NODE, datagram, source);
	if (!addresses_are_of(&transport->addresses, cluster, from, source))
		return drop_of(transport, cluster,
					   addresses_are_sure(&transport->addresses, from, clock_now()) ?
						   TRANSPORT_DROP_SOURCE :
						   TRANSPORT_DROP_UNRESOLVED,
					   datagram, source);
	wrong = check_tag(transport, datagram, length);
	if (wrong != TRANSPORT_DROPS)
		return drop_of(transport, cluster, wrong, datagram, source);
	envelope.cluster_digest = transport->cluster_digest;
	switch (message_decode(datagram, length, &envelope, message))
	{
		case MESSAGE_OK:
			transport->key_ids[from] = envelope.key_id;
			if (addresses_heard(&transport->addresses, from, source))
				transport->connect_at = 0;
			return TRANSPORT_MESSAGE;
		case MESSAGE_OTHER_VERSION:
			return drop_of(transport, cluster, TRANSPORT_DROP_VERSION, datagram, source);
		case MESSAGE_OTHER_CLUSTER:
			return drop(transport, TRANSPORT_DROP_CLUSTER);
		default:
			return drop(transport, TRANSPORT_DROP_MALFORMED);
	}
}

/* What the sockets have counted goes where everything is counted. */
static void
take_counters(Transport *transport)
{
	Sockets *sockets = &transport->sockets;

	transport->counters.receive_errors += sockets->errors;
	transport->counters.dropped[TRANSPORT_DROP_QUEUE_MEMBER] += sockets->overflowed_member;
	transport->counters.dropped[TRANSPORT_DROP_QUEUE_OTHERS] += sockets->overflowed_others;
	sockets->errors = sockets->overflowed_member = sockets->overflowed_others = 0;
}

TransportResult
transport_receive(Transport *transport, const Cluster *cluster, RaftMessage *message)
{
	Datagram datagram;
	bool	 is_one = sockets_next(&transport->sockets, clock_now(), &datagram);

	take_counters(transport);
	if (!is_one)
		return TRANSPORT_EMPTY;
	transport->counters.received++;
	return transport_check(transport, cluster, datagram.bytes, datagram.length,
						   datagram.source, message);
}

/* ---- sending ---- */

/* Always false, for "return not_sent(...)". */
static bool
not_sent(Transport *transport, const RaftMessage *message, int number)
{
	transport->counters.send_errors++;
	transport->last_send_errno = number;
	transport->last_send_to = message->to;
	return false;
}

bool
transport_send(Transport *transport, const RaftMessage *message)
{
	uint8_t				 buffer[MESSAGE_SIZE];
	MessageEnvelope		 envelope = {0};
	const MemberAddress *to;
	ssize_t				 length;

	if (message->to < 0 || message->to >= RAFT_MAX_NODES ||
		!transport->addresses.of[message->to].known)
	{
		transport->counters.unresolved++;
		return false;
	}
	to = &transport->addresses.of[message->to];
	envelope.cluster_digest = transport->cluster_digest;
	envelope.key_id = secret_key_id(transport->secret);
	message_encode(message, &envelope, buffer);
	if (envelope.key_id != 0 && !secret_sign(transport->secret, buffer, sizeof(buffer)))
	{
		/* Never send unsigned when there are keys. */
		return not_sent(transport, message, EIO);
	}
	do
	{
		length = sendto(transport->fd, buffer, sizeof(buffer), MSG_NOSIGNAL,
						(const struct sockaddr *) &to->address, address_length(&to->address));
	} while (length < 0 && errno == EINTR);
	if (length == (ssize_t) sizeof(buffer))
	{
		transport->counters.sent++;
		return true;
	}
	return not_sent(transport, message, length < 0 ? errno : EMSGSIZE);
}

const char *
transport_drop_name(TransportDrop drop)
{
	switch (drop)
	{
		case TRANSPORT_DROP_MALFORMED:
			return "malformed";
		case TRANSPORT_DROP_VERSION:
			return "other version";
		case TRANSPORT_DROP_CLUSTER:
			return "other cluster";
		case TRANSPORT_DROP_UNKNOWN_NODE:
			return "unknown node";
		case TRANSPORT_DROP_UNRESOLVED:
			return "name not resolved yet";
		case TRANSPORT_DROP_SOURCE:
			return "wrong source address";
		case TRANSPORT_DROP_UNSIGNED:
			return "not authenticated";
		case TRANSPORT_DROP_KEY:
			return "unknown key";
		case TRANSPORT_DROP_TAG:
			return "bad tag";
		case TRANSPORT_DROP_QUEUE_MEMBER:
			return "receive queue of a member full";
		case TRANSPORT_DROP_QUEUE_OTHERS:
			return "receive queue of other senders full";
		case TRANSPORT_DROPS:
			break;
	}
	return "unknown";
}
