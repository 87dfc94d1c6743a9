/*
 * test/sim/network.c
 *	  What happens to a datagram between two processes.
 *
 * Datagrams are bytes, laid out and read by the real codec.  What the transport
 * of a real member checks before it decodes stands in packet_read(): the source
 * address must be that of the member that is named, and the checksum (UDP's, or
 * the tag once there is one) must be right, for no codec can tell a flipped bit
 * in a term from another term.
 */
#include "checker.h"

#include <assert.h>
#include <string.h>

void
network_init(World *w)
{
	memset(w->link, 0, sizeof(w->link));
	w->loss_ppm = w->duplicate_ppm = w->late_ppm = w->flip_ppm = w->record_ppm = 0;
	w->late_max = 0;
	w->n_archive = 0;
	w->n_packets = 0;
	w->free_packet = -1;
	for (int i = 0; i < SIM_NODES; i++)
	{
		for (int k = 0; k < SIM_NODES; k++)
			w->route[i][k] = (int16_t) k;
	}
	network_delays(w, 100, 500);
}

void
network_delays(World *w, uint32_t low, uint32_t high)
{
	for (int i = 0; i < SIM_NODES; i++)
	{
		for (int k = 0; k < SIM_NODES; k++)
		{
			w->link[i][k].delay_min = low;
			w->link[i][k].delay_max = high;
		}
	}
}

int32_t
packet_new(World *w)
{
	int32_t p = w->free_packet;

	if (p >= 0)
	{
		w->free_packet = w->packet[p].next_free;
		return p;
	}
	assert(w->n_packets < SIM_PACKETS);
	return (int32_t) w->n_packets++;
}

void
packet_free(World *w, int32_t p)
{
	w->packet[p].next_free = w->free_packet;
	w->free_packet = p;
}

/* Any bit of it, and its checksum is wrong from then on. */
static void
flip(World *w, Packet *p)
{
	uint64_t bit = between(w, 0, 8 * MESSAGE_SIZE - 1);

	p->bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
	p->broken = true;
	w->coverage[COVER_FLIPPED]++;
}

/* Put one copy on its way; p belongs to the network from here on. */
static void
travel(World *w, int32_t p)
{
	Packet	   *packet = &w->packet[p];
	const Link *link = &w->link[packet->from][packet->to];
	uint64_t	at = w->now + between(w, link->delay_min, link->delay_max);

	if (w->late_ppm != 0 && chance(w, w->late_ppm))
	{
		at += between(w, 0, w->late_max);
		w->coverage[COVER_DELAYED]++;
	}
	if (link->clogged_until > at)
	{
		at = link->clogged_until + between(w, 0, link->delay_max);
		w->coverage[COVER_CLOGGED]++;
	}
	if (w->flip_ppm != 0 && chance(w, w->flip_ppm))
		flip(w, packet);
	world_schedule(w, at, EVENT_DELIVER, packet->to, (uint32_t) p);
}

static void
send_packet(World *w, int32_t p)
{
	Packet	   *packet = &w->packet[p];
	const Link *link = &w->link[packet->from][packet->to];

	if (link->cut)
	{
		w->coverage[COVER_CUT]++;
		packet_free(w, p);
		return;
	}
	if (w->loss_ppm != 0 && chance(w, w->loss_ppm))
	{
		w->coverage[COVER_LOST]++;
		packet_free(w, p);
		return;
	}
	if (w->duplicate_ppm != 0 && chance(w, w->duplicate_ppm))
	{
		int32_t copy = packet_new(w);

		w->packet[copy] = *packet;
		w->coverage[COVER_DUPLICATED]++;
		travel(w, copy);
	}
	travel(w, p);
}

void
network_send(World *w, Node *n, const RaftMessage *m)
{
	MessageEnvelope envelope = {.cluster_digest = SIM_CLUSTER};
	int				from = (int) (n - w->node);
	int32_t			p;
	Packet		   *packet;

	TRACE(w, BIT(from), "sends %d %s%s, term %llu, round %llu", m->to, message_type_name(m->type),
		  m->granted ? " yes" : "", (unsigned long long) m->term, (unsigned long long) m->round);
	if (m->type == RAFT_GREETING_ANSWER)
		TRACE(w, BIT(from), "  remembers of %d boot %llu, save %llu", m->to,
			  (unsigned long long) m->remembered_boot, (unsigned long long) m->remembered_save);
	w->sent++;
	if (w->on_send != NULL && w->on_send(w, m) == SEND_NOT)
		return;
	p = packet_new(w);
	packet = &w->packet[p];
	packet->sent_at = w->now;
	packet->from = (int16_t) from;
	packet->to = w->route[from][m->to];
	packet->length = MESSAGE_SIZE;
	packet->broken = false;
	message_encode(m, &envelope, packet->bytes);
	if (w->record_ppm != 0 && chance(w, w->record_ppm))
	{
		uint32_t k = w->n_archive < SIM_ARCHIVE ? w->n_archive++ :
												  (uint32_t) between(w, 0, SIM_ARCHIVE - 1);

		w->archive[k] = *packet;
	}
	send_packet(w, p);
}

/* A recorded datagram once more, with the source address that it had. */
void
network_replay(World *w, const Packet *recorded)
{
	int32_t p = packet_new(w);

	w->packet[p] = *recorded;
	w->coverage[COVER_REPLAYED]++;
	world_schedule(w, w->now + between(w, 0, 1000), EVENT_DELIVER, recorded->to, (uint32_t) p);
}

/* Any bytes, as from process "from", arriving at once. */
void
network_inject(World *w, int to, const uint8_t *bytes, size_t length, int from)
{
	int32_t p = packet_new(w);
	Packet *packet = &w->packet[p];

	assert(length <= sizeof(packet->bytes));
	packet->sent_at = w->now;
	packet->from = (int16_t) from;
	packet->to = (int16_t) to;
	packet->length = (uint16_t) length;
	packet->broken = false;
	memcpy(packet->bytes, bytes, length);
	world_schedule(w, w->now, EVENT_DELIVER, to, (uint32_t) p);
}

/*
 * Programs that are newer than this one are made of it: they understand versions
 * of the datagram that differ from ours in nothing but the number, theirs and the
 * one before.
 */
void
node_set_version(Node *n, uint32_t version)
{
	n->version = version;
	n->config.newest_version = (uint8_t) version;
	n->config.oldest_version = (uint8_t) (version > MESSAGE_VERSION ? version - 1 : MESSAGE_OLDEST);
}

static MessageError
decode(const Node *n, const Packet *p, MessageEnvelope *envelope, RaftMessage *m)
{
	uint8_t		 bytes[sizeof(p->bytes)];
	uint8_t		 version = p->bytes[MESSAGE_AT_VERSION];
	uint8_t		 newest = (uint8_t) (version + (p->bytes[MESSAGE_AT_FLAGS] >> 4));
	bool		 understood = message_is_understood(n->config.oldest_version, n->config.newest_version,
													p->bytes[MESSAGE_AT_TYPE], version, newest);
	MessageError error;

	if (n->version == MESSAGE_VERSION)
		return message_decode(p->bytes, p->length, envelope, m);
	memcpy(bytes, p->bytes, sizeof(bytes));
	bytes[MESSAGE_AT_VERSION] = understood ? MESSAGE_VERSION : 0;
	error = message_decode(bytes, p->length, envelope, m);
	m->version = version;
	m->newest = newest;
	return error;
}

/* What the transport does before the core sees a message. */
bool
packet_read(World *w, const Packet *p, RaftMessage *m)
{
	MessageEnvelope envelope = {.cluster_digest = SIM_CLUSTER};
	MessageError	error = decode(&w->node[p->to], p, &envelope, m);

	if (error == MESSAGE_OTHER_VERSION)
		w->other_version++;
	if (error != MESSAGE_OK || p->broken)
	{
		TRACE(w, BIT(p->to), "  drops a datagram from %d: %s", p->from,
			  error != MESSAGE_OK ? message_error_name(error) : "broken");
		return false;
	}
	if (m->from != w->node[p->from].id || w->node[p->from].at_wrong_address)
	{
		w->no_member++;
		return false;
	}
	return true;
}

void
network_cut_way(World *w, int from, int to)
{
	TRACE(w, BIT(from) | BIT(to), "the link to %d is cut", to);
	w->link[from][to].cut = true;
}

void
network_cut(World *w, int a, int b)
{
	network_cut_way(w, a, b);
	network_cut_way(w, b, a);
}

void
network_isolate(World *w, int a)
{
	for (int i = 0; i < w->n; i++)
	{
		if (i != a)
			network_cut(w, a, i);
	}
}

void
network_heal(World *w)
{
	TRACE(w, 0, "all links are whole");
	for (int i = 0; i < SIM_NODES; i++)
	{
		for (int k = 0; k < SIM_NODES; k++)
		{
			w->link[i][k].cut = false;
			w->link[i][k].clogged_until = 0;
		}
	}
}
