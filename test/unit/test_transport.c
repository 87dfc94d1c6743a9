/*
 * test/unit/test_transport.c
 *	  The door: what two members say to each other gets in, and nothing else.
 */
#define _GNU_SOURCE /* getaddrinfo_a() */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../node/clock.h"
#include "../../node/transport.h"
#include "resolver.h"

#define CLUSTER UINT64_C(0x1272d3083e7ba9e4)

static Cluster	 cluster;
static Transport a;
static Transport b;
static Secret	 secret; /* of both; all zero: none */
static Secret	 other_secret;
static int		 stranger = -1;
static uint16_t	 ports[3];

static Words words;

/* A socket on 127.0.0.1 and a port that the kernel chose. */
static int
free_socket(uint16_t *port)
{
	struct sockaddr_in address = {0};
	socklen_t		   length = sizeof(address);
	int				   fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &length), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void
parse(const char *format, int p0, int p1, int p2)
{
	char text[256];

	snprintf(text, sizeof(text), format, p0, p1, p2);
	if (!cluster_parse(text, &cluster, &words))
		fail_msg("%s", words.error);
}

static bool
open_transport(Transport *transport, int32_t node_id, const char *listen_address)
{
	memset(transport, 0, sizeof(*transport));
	return transport_open(transport, &cluster, node_id, listen_address, CLUSTER, &secret, &words);
}

/* Nodes 0 and 1 are ours, node 2 is "stranger": a plain socket at a member's place. */
static int
set_up(void **state)
{
	int holders[2];

	(void) state;
	resolver_forgets();
	resolver_says("localhost", "127.0.0.1");
	holders[0] = free_socket(&ports[0]);
	holders[1] = free_socket(&ports[1]);
	stranger = free_socket(&ports[2]);
	close(holders[0]);
	close(holders[1]);
	parse("127.0.0.1:%d, 127.0.0.1:%d, 127.0.0.1:%d", ports[0], ports[1], ports[2]);
	if (!open_transport(&a, 0, NULL) || !open_transport(&b, 1, ""))
		fail_msg("%s", words.error);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	transport_close(&a);
	transport_close(&b);
	transport_close(&b);
	secret_forget(&secret);
	secret_forget(&other_secret);
	if (stranger >= 0)
		close(stranger);
	return 0;
}

static RaftMessage
greeting(int32_t from, int32_t to)
{
	RaftMessage message;

	memset(&message, 0, sizeof(message));
	message.type = RAFT_GREETING;
	message.from = from;
	message.to = to;
	message.list_digest = 5;
	message.boot = 1;
	message.incarnation = 77;
	message.sequence = 1;
	message.save_number = 3;
	message.term = 9;
	message.leader_id = RAFT_NONE;
	message.replaced_leader = RAFT_NONE;
	return message;
}

static TransportResult
receive(Transport *transport, RaftMessage *message)
{
	struct pollfd	wait = {.fd = transport_pollable(transport), .events = POLLIN};
	TransportResult result = transport_receive(transport, &cluster, message);

	/* a queue that gets many is read once a millisecond */
	for (int i = 0; i < 5000 && result == TRANSPORT_EMPTY; i++)
	{
		(void) poll(&wait, 1, 1);
		result = transport_receive(transport, &cluster, message);
	}
	return result;
}

static void
send_raw(int fd, uint16_t port, const void *data, size_t size)
{
	struct sockaddr_in address = {0};

	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(port);
	assert_int_equal(sendto(fd, data, size, 0, (struct sockaddr *) &address, sizeof(address)), size);
}

/* What the stranger would send to node 0 as a good node 2. */
static void
good_datagram(uint8_t *buffer)
{
	RaftMessage		message = greeting(2, 0);
	MessageEnvelope envelope = {.cluster_digest = CLUSTER};

	message_encode(&message, &envelope, buffer);
}

/* The first may only say that those which were there have had their turns. */
static void
assert_nothing_waits(Transport *transport)
{
	RaftMessage message;

	assert_int_equal(transport_receive(transport, &cluster, &message), TRANSPORT_EMPTY);
	assert_int_equal(transport_receive(transport, &cluster, &message), TRANSPORT_EMPTY);
}

/* One datagram from node 2 is dropped for this reason, and the next gets in. */
static void
assert_dropped(const uint8_t *data, size_t size, TransportDrop why)
{
	TransportCounters before = a.counters;
	RaftMessage		  message;
	uint8_t			  good[MESSAGE_SIZE];

	send_raw(stranger, ports[0], data, size);
	assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
	for (int i = 0; i < TRANSPORT_DROPS; i++)
		assert_int_equal(a.counters.dropped[i], before.dropped[i] + (i == (int) why));
	good_datagram(good);
	send_raw(stranger, ports[0], good, sizeof(good));
	assert_int_equal(receive(&a, &message), TRANSPORT_MESSAGE);
	assert_int_equal(message.from, 2);
	assert_int_equal(a.counters.received, before.received + 2);
	assert_nothing_waits(&a);
}

static void
messages_go_both_ways(void **state)
{
	RaftMessage sent = greeting(0, 1);
	RaftMessage got;

	(void) state;
	assert_nothing_waits(&b);
	transport_send(&a, &sent);
	assert_int_equal(receive(&b, &got), TRANSPORT_MESSAGE);
	assert_int_equal(got.type, RAFT_GREETING);
	assert_int_equal(got.from, 0);
	assert_int_equal(got.to, 1);
	assert_int_equal(got.term, 9);
	assert_int_equal(got.incarnation, 77);
	for (int i = 0; i < 50; i++)
	{
		RaftMessage answer = greeting(1, 0);

		answer.type = RAFT_GREETING_ANSWER;
		answer.sequence = (uint64_t) i + 1;
		answer.max_timeout = 400000;
		transport_send(&b, &answer);
	}
	for (int i = 0; i < 50; i++)
	{
		assert_int_equal(receive(&a, &got), TRANSPORT_MESSAGE);
		assert_int_equal(got.sequence, i + 1);
	}
	assert_nothing_waits(&a);
	assert_int_equal(a.counters.sent, 1);
	assert_int_equal(b.counters.sent, 50);
	assert_int_equal(a.counters.received, 50);
	assert_int_equal(b.counters.received, 1);
	assert_int_equal(a.counters.send_errors, 0);
}

static void
any_length_but_one_is_malformed(void **state)
{
	uint8_t data[4 * MESSAGE_SIZE] = {0};

	(void) state;
	good_datagram(data);
	for (size_t size = 0; size <= MESSAGE_SIZE + 2; size++)
	{
		if (size != MESSAGE_SIZE)
			assert_dropped(data, size, TRANSPORT_DROP_MALFORMED);
	}
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
}

static void
garbage_is_malformed(void **state)
{
	uint8_t data[MESSAGE_SIZE];

	(void) state;
	memset(data, 0, sizeof(data));
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
	memset(data, 0xff, sizeof(data));
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
	good_datagram(data);
	data[0] ^= 1;
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
	good_datagram(data);
	data[5] = RAFT_MESSAGE_TYPES;
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
	good_datagram(data);
	data[80] = 0x80; /* a term above INT64_MAX */
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
}

/* Nobody could claim a timeline above that. */
static void
claims_of_the_future_are_malformed(void **state)
{
	RaftMessage		heartbeat = greeting(2, 0);
	MessageEnvelope envelope = {.cluster_digest = CLUSTER};
	RaftMessage		got;
	uint8_t			data[MESSAGE_SIZE];

	(void) state;
	heartbeat.type = RAFT_HEARTBEAT;
	heartbeat.told = (RaftTold){.managed = true, .claimed = true, .claim = RAFT_MAX_TIMELINE};
	message_encode(&heartbeat, &envelope, data);
	send_raw(stranger, ports[0], data, sizeof(data));
	assert_int_equal(receive(&a, &got), TRANSPORT_MESSAGE);
	assert_int_equal(got.told.claim, RAFT_MAX_TIMELINE);
	heartbeat.told.claim++;
	message_encode(&heartbeat, &envelope, data);
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
	heartbeat.told.claim = UINT32_MAX;
	message_encode(&heartbeat, &envelope, data);
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
	assert_string_equal(transport_drop_name(TRANSPORT_DROP_MALFORMED), "malformed");
}

static void
other_clusters_and_versions_are_told(void **state)
{
	uint8_t data[MESSAGE_SIZE];

	(void) state;
	good_datagram(data);
	data[15] ^= 1;
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_CLUSTER);
	assert_int_equal(a.counters.dropped[TRANSPORT_DROP_VERSION], 0);
	assert_int_equal(a.dropped.id, 2); /* by its address, whatever it says */
	data[27] = 1;
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_CLUSTER);
	assert_int_equal(a.dropped.id, 2);
	good_datagram(data);
	data[4] = MESSAGE_VERSION + 1;
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_VERSION);
	assert_int_equal(a.dropped.id, 2);
	assert_int_equal(a.dropped.version, MESSAGE_VERSION + 1);
	data[4] = MESSAGE_VERSION + 2;
	assert_dropped(data, MESSAGE_HEADER_SIZE, TRANSPORT_DROP_VERSION);
	assert_int_equal(a.dropped.version, MESSAGE_VERSION + 2);
}

static void
unknown_senders_are_dropped(void **state)
{
	static const uint32_t ids[] = {3, 63, 64, 65535, 0x7fffffff, 0x80000000, 0xffffffff};
	uint8_t				  data[MESSAGE_SIZE];

	(void) state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
	{
		uint32_t id = htonl(ids[i]);

		good_datagram(data);
		memcpy(data + 24, &id, 4);
		assert_dropped(data, sizeof(data), TRANSPORT_DROP_UNKNOWN_NODE);
		assert_int_equal(a.dropped.id, 2);
		assert_int_equal(a.dropped.claims, RAFT_NONE);
	}
}

/* A member's name from any other address or port: another member's, or nobody's. */
static void
wrong_source_is_dropped(void **state)
{
	RaftMessage		   message = greeting(1, 0);
	uint8_t			   data[MESSAGE_SIZE];
	uint16_t		   port;
	int				   nobody = free_socket(&port);
	struct sockaddr_in address = {0};

	(void) state;
	good_datagram(data);
	data[27] = 1;
	assert_dropped(data, sizeof(data), TRANSPORT_DROP_SOURCE);
	assert_int_equal(a.dropped.id, 2);
	assert_int_equal(a.dropped.claims, 1);
	good_datagram(data);
	send_raw(nobody, ports[0], data, sizeof(data));
	assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
	assert_int_equal(a.dropped.id, RAFT_NONE);
	assert_int_equal(a.dropped.claims, 2);
	assert_int_equal(((struct sockaddr_in *) &a.dropped.source)->sin_port, htons(port));
	assert_int_equal(a.counters.dropped[TRANSPORT_DROP_SOURCE], 2);
	close(nobody);

	/* The right port of another address. */
	nobody = socket(AF_INET, SOCK_DGRAM, 0);
	address.sin_family = AF_INET;
	address.sin_port = htons(ports[2]);
	address.sin_addr.s_addr = inet_addr("127.0.0.2");
	if (bind(nobody, (struct sockaddr *) &address, sizeof(address)) == 0)
	{
		send_raw(nobody, ports[0], data, sizeof(data));
		assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
		assert_int_equal(a.counters.dropped[TRANSPORT_DROP_SOURCE], 3);
	}
	close(nobody);

	/* Before its address is known, a member is nobody. */
	a.addresses.of[2].known = false;
	send_raw(stranger, ports[0], data, sizeof(data));
	assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
	a.addresses.of[2].known = true;
}

static void
sending_never_fails_loudly(void **state)
{
	RaftMessage message = greeting(0, 2);

	(void) state;
	a.addresses.of[2].known = false;
	transport_send(&a, &message);
	message.to = 5;
	transport_send(&a, &message);
	message.to = INT32_MAX;
	transport_send(&a, &message);
	message.to = -1;
	transport_send(&a, &message);
	assert_int_equal(a.counters.unresolved, 4);
	assert_int_equal(a.counters.sent, 0);

	/* A port that nobody listens on: no error, or a counted one. */
	a.addresses.of[2].known = true;
	close(stranger);
	stranger = -1;
	message.to = 2;
	for (int i = 0; i < 5; i++)
		transport_send(&a, &message);
	assert_int_equal(a.counters.sent + a.counters.send_errors, 5);
	for (int i = 0; i < 10; i++)
	{
		if (transport_receive(&a, &cluster, &message) == TRANSPORT_EMPTY)
			break;
		assert_true(i < 9);
	}

	/* An address that cannot be sent to. */
	a.counters.send_errors = 0;
	((struct sockaddr_in *) &a.addresses.of[2].address)->sin_port = 0;
	message = greeting(0, 2);
	transport_send(&a, &message);
	assert_int_equal(a.counters.send_errors, 1);
	assert_true(a.last_send_errno != 0);
	assert_int_equal(a.last_send_to, 2);
}

/* ---- authentication ---- */

#define KEY_1		"1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_2		"2 f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe0e1e2e3e4e5e6e7e8e9eaebecedeeef\n"
#define FALSE_KEY_1 "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1e\n"

static void
take_keys(Secret *keys, const char *text)
{
	char  name[] = "/tmp/pg_leader_transport.XXXXXX";
	Words said;
	int	  fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	if (secret_read(keys, name, &said) == SECRET_FAILED)
		fail_msg("%s", said.error);
	unlink(name);
}

/* What the stranger would send to node 0 if it had these keys. */
static void
signed_datagram(uint8_t *buffer, Secret *keys)
{
	good_datagram(buffer);
	buffer[6] = secret_key_id(keys);
	assert_true(secret_sign(keys, buffer, MESSAGE_SIZE));
}

/* Through the checks alone: the result, and why it was dropped. */
static TransportResult
check(const uint8_t *data, size_t size, TransportDrop *why)
{
	struct sockaddr_storage source = a.addresses.of[2].address;
	TransportCounters		before = a.counters;
	RaftMessage				message;
	TransportResult			result;

	result = transport_check(&a, &cluster, data, size, &source, &message);
	*why = TRANSPORT_DROPS;
	for (int i = 0; i < TRANSPORT_DROPS; i++)
	{
		if (a.counters.dropped[i] != before.dropped[i])
			*why = (TransportDrop) i;
	}
	assert_int_equal(result, *why == TRANSPORT_DROPS ? TRANSPORT_MESSAGE : TRANSPORT_DROPPED);
	return result;
}

static void
assert_checked(const uint8_t *data, size_t size, TransportDrop expected)
{
	TransportDrop why;

	(void) check(data, size, &why);
	if (why != expected)
		fail_msg("%s instead of %s", transport_drop_name(why), transport_drop_name(expected));
	if (expected >= TRANSPORT_DROP_UNSIGNED && expected <= TRANSPORT_DROP_TAG)
		assert_int_equal(a.dropped.id, 2);
}

static void
signed_messages_go_both_ways(void **state)
{
	RaftMessage sent = greeting(0, 1);
	RaftMessage got;
	uint8_t		data[MESSAGE_SIZE + 1];

	(void) state;
	take_keys(&secret, KEY_2 KEY_1);
	transport_send(&a, &sent);
	assert_int_equal(receive(&b, &got), TRANSPORT_MESSAGE);
	assert_int_equal(got.incarnation, 77);
	assert_int_equal(b.key_ids[0], 2);
	assert_int_equal(b.key_ids[1], 0);

	/* what is on the wire has the id, and a tag over all of it */
	sent = greeting(0, 2);
	transport_send(&a, &sent);
	assert_int_equal(recv(stranger, data, sizeof(data), 0), MESSAGE_SIZE);
	assert_int_equal(data[6], 2);
	assert_int_equal(secret_check(&secret, 2, data, MESSAGE_SIZE), SECRET_GOOD);

	/* keys are exchanged under the open socket */
	take_keys(&secret, KEY_1);
	transport_send(&a, &sent);
	assert_int_equal(recv(stranger, data, sizeof(data), 0), MESSAGE_SIZE);
	assert_int_equal(data[6], 1);
	secret_forget(&secret);
	transport_send(&a, &sent);
	assert_int_equal(recv(stranger, data, sizeof(data), 0), MESSAGE_SIZE);
	assert_int_equal(data[6], 0);
	for (int i = 0; i < MESSAGE_TAG_SIZE; i++)
		assert_int_equal(data[MESSAGE_TAG_OFFSET + i], 0);
	assert_int_equal(a.counters.sent, 4);
}

static void
with_keys_nothing_gets_in_without(void **state)
{
	uint8_t data[MESSAGE_SIZE];

	(void) state;
	good_datagram(data);
	assert_checked(data, sizeof(data), TRANSPORT_DROPS);
	assert_int_equal(a.key_ids[2], 0);
	take_keys(&secret, KEY_1);
	assert_checked(data, sizeof(data), TRANSPORT_DROP_UNSIGNED);

	/* the right tag, and no key id */
	assert_true(secret_sign(&secret, data, sizeof(data)));
	assert_checked(data, sizeof(data), TRANSPORT_DROP_UNSIGNED);
	for (int id = 2; id <= 255; id++)
	{
		data[6] = (uint8_t) id;
		assert_true(secret_sign(&secret, data, sizeof(data)));
		assert_checked(data, sizeof(data), TRANSPORT_DROP_KEY);
	}

	/* the right id, and no tag, or that of another key */
	data[6] = 1;
	memset(data + MESSAGE_TAG_OFFSET, 0, MESSAGE_TAG_SIZE);
	assert_checked(data, sizeof(data), TRANSPORT_DROP_TAG);
	take_keys(&other_secret, FALSE_KEY_1);
	signed_datagram(data, &other_secret);
	assert_checked(data, sizeof(data), TRANSPORT_DROP_TAG);
	assert_int_equal(a.key_ids[2], 0);
	signed_datagram(data, &secret);
	assert_checked(data, sizeof(data), TRANSPORT_DROPS);
	assert_int_equal(a.key_ids[2], 1);
}

static void
without_keys_nothing_signed_gets_in(void **state)
{
	uint8_t data[MESSAGE_SIZE];

	(void) state;
	take_keys(&other_secret, KEY_1);
	signed_datagram(data, &other_secret);
	assert_checked(data, sizeof(data), TRANSPORT_DROP_KEY);
	data[4] = MESSAGE_VERSION + 1;
	assert_checked(data, sizeof(data), TRANSPORT_DROP_KEY);
	assert_int_equal(a.counters.dropped[TRANSPORT_DROP_VERSION], 0);
	a.secret = NULL;
	assert_checked(data, sizeof(data), TRANSPORT_DROP_KEY);
	good_datagram(data);
	assert_checked(data, sizeof(data), TRANSPORT_DROPS);
}

static void
one_flipped_bit_anywhere_is_dropped(void **state)
{
	uint8_t		  data[MESSAGE_SIZE + 1] = {0};
	uint64_t	  bad_tags;
	TransportDrop why;

	(void) state;
	take_keys(&secret, KEY_1 KEY_2);
	signed_datagram(data, &secret);
	for (int bit = 0; bit < 8 * MESSAGE_SIZE; bit++)
	{
		int at = bit / 8;

		data[at] ^= (uint8_t) (1 << bit % 8);
		if (check(data, MESSAGE_SIZE, &why) == TRANSPORT_MESSAGE)
			fail_msg("bit %d of byte %d", bit % 8, at);
		if (at >= 28 || at == 5 || at == 7)
			assert_int_equal(why, TRANSPORT_DROP_TAG); /* "to", type, flags and all the rest */
		data[at] ^= (uint8_t) (1 << bit % 8);
	}
	bad_tags = a.counters.dropped[TRANSPORT_DROP_TAG];
	assert_true(bad_tags > 8 * (MESSAGE_SIZE - 28));
	for (size_t size = 0; size <= MESSAGE_SIZE + 1; size++)
		assert_checked(data, size, size == MESSAGE_SIZE ? TRANSPORT_DROPS : TRANSPORT_DROP_MALFORMED);
	assert_int_equal(a.counters.dropped[TRANSPORT_DROP_TAG], bad_tags);
}

/* A tag costs more to check than an address. */
static void
the_source_is_checked_before_the_tag(void **state)
{
	RaftMessage message;
	uint8_t		data[MESSAGE_SIZE];
	uint16_t	port;
	int			nobody = free_socket(&port);

	(void) state;
	take_keys(&secret, KEY_1);
	signed_datagram(data, &secret);
	send_raw(nobody, ports[0], data, sizeof(data));
	assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
	assert_int_equal(a.counters.dropped[TRANSPORT_DROP_SOURCE], 1);
	data[200] ^= 1;
	send_raw(nobody, ports[0], data, sizeof(data));
	assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
	assert_int_equal(a.counters.dropped[TRANSPORT_DROP_SOURCE], 2);
	assert_int_equal(a.counters.dropped[TRANSPORT_DROP_TAG], 0);
	close(nobody);
}

/* What is impossible is found out after the tag, and is then a member's fault. */
static void
an_authentic_datagram_is_looked_at_all_the_same(void **state)
{
	uint8_t data[MESSAGE_SIZE];

	(void) state;
	take_keys(&secret, KEY_1);
	signed_datagram(data, &secret);
	data[5] = RAFT_MESSAGE_TYPES;
	assert_checked(data, sizeof(data), TRANSPORT_DROP_TAG);
	assert_true(secret_sign(&secret, data, sizeof(data)));
	assert_checked(data, sizeof(data), TRANSPORT_DROP_MALFORMED);
}

/* The tag is at the end in every version, so a version is believed only with it. */
static void
other_versions_are_authenticated_too(void **state)
{
	static const size_t sizes[] = {MESSAGE_HEADER_SIZE + MESSAGE_TAG_SIZE, MESSAGE_SIZE - 1,
								   MESSAGE_SIZE, MESSAGE_SIZE + 1, MESSAGE_SIZE_LIMIT - 1};
	uint8_t				data[MESSAGE_SIZE_LIMIT + 100] = {0};
	RaftMessage			message;

	(void) state;
	take_keys(&secret, KEY_1);
	good_datagram(data);
	data[4] = MESSAGE_VERSION + 1;
	assert_checked(data, MESSAGE_SIZE, TRANSPORT_DROP_UNSIGNED);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		data[6] = 1;
		memset(data + sizes[i] - MESSAGE_TAG_SIZE, 0, MESSAGE_TAG_SIZE);
		send_raw(stranger, ports[0], data, sizes[i]);
		assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
		assert_int_equal(a.counters.dropped[TRANSPORT_DROP_VERSION], i);
		assert_true(secret_sign(&secret, data, sizes[i]));
		send_raw(stranger, ports[0], data, sizes[i]);
		assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
		assert_int_equal(a.counters.dropped[TRANSPORT_DROP_TAG], i + 1);
		assert_int_equal(a.counters.dropped[TRANSPORT_DROP_VERSION], i + 1);
		assert_int_equal(a.dropped.id, 2);
		assert_int_equal(a.dropped.version, MESSAGE_VERSION + 1);
	}

	/* longer than any version may be: its end is not seen, nor its tag */
	assert_true(secret_sign(&secret, data, sizeof(data)));
	send_raw(stranger, ports[0], data, sizeof(data));
	assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
	assert_int_equal(a.counters.dropped[TRANSPORT_DROP_VERSION], sizeof(sizes) / sizeof(sizes[0]));
}

/* Old first, then new first, then new alone, one member after the other. */
static void
keys_are_exchanged_one_member_at_a_time(void **state)
{
	static const char *const steps[] = {KEY_1, KEY_1 KEY_2, KEY_2 KEY_1, KEY_2};
	uint8_t					 data[MESSAGE_SIZE];

	(void) state;
	for (int mine = 0; mine < 4; mine++)
	{
		for (int theirs = 0; theirs < 4; theirs++)
		{
			int apart = mine > theirs ? mine - theirs : theirs - mine;

			take_keys(&secret, steps[mine]);
			take_keys(&other_secret, steps[theirs]);
			signed_datagram(data, &other_secret);
			if (apart <= 1)
				assert_checked(data, sizeof(data), TRANSPORT_DROPS);
			else if (apart == 3)
				assert_checked(data, sizeof(data), TRANSPORT_DROP_KEY);
		}
	}
}

/* ---- opening ---- */

static void
assert_not_opened(int32_t node_id, const char *listen_address, const char *fragment)
{
	Transport transport;

	assert_false(open_transport(&transport, node_id, listen_address));
	if (strstr(words.error, fragment) == NULL || words.hint[0] == '\0')
		fail_msg("\"%s\" is not in \"%s\" / \"%s\"", fragment, &words);
	assert_true(transport.fd < 0);
	transport_close(&transport);
}

static void
opening_says_what_is_wrong(void **state)
{
	char taken[64];

	(void) state;
	snprintf(taken, sizeof(taken), "the UDP port of 127.0.0.1:%d is taken", ports[2]);
	assert_not_opened(2, NULL, taken);
	assert_not_opened(2, "0.0.0.0", "is taken");
	assert_not_opened(3, NULL, "node 3 is not in the member list");
	assert_not_opened(-1, NULL, "node -1 is not in the member list");
	assert_not_opened(0, "127.0.0.1:5", "is not a valid listen address");
	assert_not_opened(0, "a,b", "is not a valid listen address");
	assert_not_opened(0, "256.0.0.1", "is not an IPv4 address");
	assert_not_opened(0, "::1", "but this member's own address is IPv6");
	parse("192.0.2.1:%d, 127.0.0.1:%d, 127.0.0.1:%d", ports[0], ports[1], ports[2]);
	assert_not_opened(0, NULL, "is not an address of this machine");
	parse("127.0.0.1:%d, [2001:db8::1]:%d, 127.0.0.1:%d", ports[0], ports[1], ports[2]);
	assert_not_opened(0, NULL, "node 1 is at [2001:db8::1]");
	assert_int_equal(stranger >= 0, 1);
}

/* Try again and again, as the worker does, until it is decided. */
static bool
open_name(Transport *transport)
{
	memset(transport, 0, sizeof(*transport));
	for (int i = 0; i < 1000; i++)
	{
		if (transport_open(transport, &cluster, 0, NULL, CLUSTER, NULL, &words))
			return true;
		if (strstr(words.error, "is still being resolved") == NULL)
			return false;
	}
	fail_msg("still not looked up");
	return false;
}

static bool
tend(Transport *transport, uint64_t now)
{
	uint64_t heard_at[RAFT_MAX_NODES] = {0};

	return transport_tend(transport, &cluster, heard_at, now, &words);
}

static void
own_name_is_looked_up(void **state)
{
	Transport transport;

	(void) state;
	transport_close(&a);
	parse("no-such-host.invalid:%d, 127.0.0.1:%d, 127.0.0.1:%d", ports[0], ports[1], ports[2]);
	assert_false(open_name(&transport));
	assert_non_null(strstr(words.error, "the name \"no-such-host.invalid\" of this member cannot be resolved: "));
	assert_non_null(strstr(words.hint, "retried"));
	transport_close(&transport);

	parse("localhost:%d, 127.0.0.1:%d, 127.0.0.1:%d", ports[0], ports[1], ports[2]);
	if (!open_name(&transport))
		fail_msg("%s", words.error);
	assert_int_equal(transport.addresses.family, AF_INET);
	assert_true(transport.addresses.of[0].known);
	transport_close(&transport);

	/* what it leads to is shown if this machine does not have it */
	resolver_says("localhost", "203.0.113.1");
	assert_false(open_name(&transport));
	assert_non_null(strstr(words.error, " (203.0.113.1:"));
	assert_non_null(strstr(words.error, ") is not an address of this machine"));
	transport_close(&transport);

	/* With a listening address of its own, the name is nobody's business here. */
	parse("no-such-host.invalid:%d, 127.0.0.1:%d, 127.0.0.1:%d", ports[0], ports[1], ports[2]);
	assert_true(open_transport(&transport, 0, "0.0.0.0"));
	assert_true(transport_tend_at(&transport) == UINT64_MAX);
	transport_close(&transport);
	assert_true(open_transport(&transport, 0, "127.0.0.1"));
	assert_true(transport_tend_at(&transport) == UINT64_MAX);
	transport_close(&transport);
}

/* A name that leads to another address of this machine: there is where others send to. */
static void
own_name_leads_elsewhere(void **state)
{
	Transport transport;

	(void) state;
	transport_close(&a);
	parse("localhost:%d, 127.0.0.1:%d, 127.0.0.1:%d", ports[0], ports[1], ports[2]);
	assert_true(open_name(&transport));
	for (int i = 0; i < 10; i++)
		assert_true(tend(&transport, transport_tend_at(&transport)));
	resolver_says("localhost", "127.0.0.2");
	assert_true(tend(&transport, transport_tend_at(&transport)));
	assert_false(tend(&transport, transport_tend_at(&transport)));
	assert_non_null(strstr(words.error, "the name \"localhost\" of this member does not lead to 127.0.0.1:"));
	transport_close(&transport);
	assert_true(open_name(&transport));
	assert_int_equal(((struct sockaddr_in *) &transport.listening)->sin_addr.s_addr, htonl(0x7f000002));
	transport_close(&transport);
}

/* Nothing can be sent from an address that has left the machine, and it is looked at then. */
static void
own_address_leaves_the_machine(void **state)
{
	RaftMessage message = greeting(0, 1);
	uint64_t	now = clock_now();

	(void) state;
	assert_true(transport_tend_at(&a) == UINT64_MAX);
	a.addresses.of[1].address.ss_family = AF_UNIX;
	assert_false(transport_send(&a, &message));
	assert_true(transport_tend_at(&a) <= now);
	assert_true(tend(&a, now));
	assert_true(transport_tend_at(&a) == UINT64_MAX);

	((struct sockaddr_in *) &a.listening)->sin_addr.s_addr = inet_addr("203.0.113.1");
	assert_true(tend(&a, now));
	assert_false(transport_send(&a, &message));

	/* once a second is enough */
	assert_true(transport_tend_at(&a) > now);
	assert_true(tend(&a, now));
	assert_false(tend(&a, transport_tend_at(&a)));
	assert_non_null(strstr(words.error, "203.0.113.1:"));
	assert_non_null(strstr(words.error, "is not an address of this machine any more"));
	assert_non_null(strstr(words.hint, "pg_leader.listen_address"));
}

/* The drops of node 0, when the stranger has sent this. */
static void
assert_dropped_for(const uint8_t *data, TransportDrop why)
{
	uint64_t	before = a.counters.dropped[why];
	RaftMessage message;

	send_raw(stranger, ports[0], data, MESSAGE_SIZE);
	assert_int_equal(receive(&a, &message), TRANSPORT_DROPPED);
	assert_int_equal(a.counters.dropped[why], before + 1);
}

/* A peer's name that is found later: nobody hostile until then, and then it talks. */
static void
peer_name_is_found_later(void **state)
{
	RaftMessage message = greeting(0, 2);
	uint8_t		data[MESSAGE_SIZE];

	(void) state;
	transport_close(&a);
	resolver_says("localhost", NO_ANSWER);
	parse("127.0.0.1:%d, 127.0.0.1:%d, localhost:%d", ports[0], ports[1], ports[2]);
	assert_true(open_transport(&a, 0, NULL));
	transport_send(&a, &message);
	assert_int_equal(a.counters.unresolved, 1);
	good_datagram(data);
	for (int i = 0; i < 3; i++)
	{
		assert_dropped_for(data, TRANSPORT_DROP_UNRESOLVED);
		assert_true(tend(&a, clock_now()));
	}
	resolver_says("localhost", "127.0.0.1");
	assert_true(tend(&a, transport_tend_at(&a)));
	assert_true(a.sockets.queues[2].fd >= 0);
	assert_dropped(data, 0, TRANSPORT_DROP_MALFORMED);
	message = greeting(0, 2);
	transport_send(&a, &message);
	assert_int_equal(a.counters.sent, 1);
}

/* It has moved, or somebody else speaks in its name: the name says which. */
static void
peer_that_moves_is_told_from_a_stranger(void **state)
{
	RaftMessage message;
	uint8_t		data[MESSAGE_SIZE];

	(void) state;
	transport_close(&a);
	resolver_says("localhost", "127.0.0.3");
	parse("127.0.0.1:%d, 127.0.0.1:%d, localhost:%d", ports[0], ports[1], ports[2]);
	assert_true(open_transport(&a, 0, NULL));
	assert_true(tend(&a, clock_now() - 2000000));
	good_datagram(data);

	/* a stranger */
	assert_dropped_for(data, TRANSPORT_DROP_UNRESOLVED);
	assert_true(tend(&a, clock_now()));
	assert_dropped_for(data, TRANSPORT_DROP_SOURCE);

	/* it has moved */
	a.addresses.of[2].looked_up_at -= 2000000;
	resolver_says("localhost", "127.0.0.1");
	assert_dropped_for(data, TRANSPORT_DROP_UNRESOLVED);
	assert_true(tend(&a, clock_now()));
	send_raw(stranger, ports[0], data, sizeof(data));
	assert_int_equal(receive(&a, &message), TRANSPORT_MESSAGE);
}

/*
 * A name with two addresses: what comes from either is its member's, who is sent to
 * where it was heard.  But not before its tag was right.
 */
static void
peer_is_heard_at_each_of_its_addresses(void **state)
{
	RaftMessage message;
	uint8_t		data[MESSAGE_SIZE];

	(void) state;
	transport_close(&a);
	resolver_says("localhost", "127.0.0.1 10.255.255.254 10.255.255.253");
	parse("127.0.0.1:%d, 127.0.0.1:%d, localhost:%d", ports[0], ports[1], ports[2]);
	assert_true(open_transport(&a, 0, NULL));
	assert_true(tend(&a, clock_now()));
	assert_int_equal(((struct sockaddr_in *) &a.addresses.of[2].address)->sin_addr.s_addr,
					 inet_addr("10.255.255.253"));
	good_datagram(data);
	data[6] = 1; /* signed, and we have no key */
	assert_dropped_for(data, TRANSPORT_DROP_KEY);
	assert_int_equal(((struct sockaddr_in *) &a.addresses.of[2].address)->sin_addr.s_addr,
					 inet_addr("10.255.255.253"));
	good_datagram(data);
	send_raw(stranger, ports[0], data, sizeof(data));
	assert_int_equal(receive(&a, &message), TRANSPORT_MESSAGE);
	assert_int_equal(((struct sockaddr_in *) &a.addresses.of[2].address)->sin_addr.s_addr,
					 htonl(INADDR_LOOPBACK));

	/* and gets a queue of its own there */
	assert_true(transport_tend_at(&a) == 0);
	assert_true(tend(&a, clock_now()));
	assert_dropped(data, 0, TRANSPORT_DROP_MALFORMED);
	assert_int_equal(((struct sockaddr_in *) &a.sockets.queues[2].peer)->sin_addr.s_addr,
					 htonl(INADDR_LOOPBACK));
}

static void
ipv6_works_where_there_is_one(void **state)
{
	Transport	six[2];
	RaftMessage message = greeting(0, 1);

	(void) state;
	transport_close(&a);
	transport_close(&b);
	parse("[::1]:%d, [::1]:%d, [::1]:%d", ports[0], ports[1], ports[2]);
	if (!open_transport(&six[0], 0, NULL) || !open_transport(&six[1], 1, "::1"))
	{
		transport_close(&six[0]);
		skip();
	}
	transport_send(&six[0], &message);
	assert_int_equal(receive(&six[1], &message), TRANSPORT_MESSAGE);
	assert_int_equal(message.from, 0);
	transport_close(&six[0]);
	transport_close(&six[1]);
}

int
main(void)
{
#define door_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		door_test(messages_go_both_ways),
		door_test(any_length_but_one_is_malformed),
		door_test(garbage_is_malformed),
		door_test(claims_of_the_future_are_malformed),
		door_test(other_clusters_and_versions_are_told),
		door_test(unknown_senders_are_dropped),
		door_test(wrong_source_is_dropped),
		door_test(sending_never_fails_loudly),
		door_test(signed_messages_go_both_ways),
		door_test(with_keys_nothing_gets_in_without),
		door_test(without_keys_nothing_signed_gets_in),
		door_test(one_flipped_bit_anywhere_is_dropped),
		door_test(the_source_is_checked_before_the_tag),
		door_test(an_authentic_datagram_is_looked_at_all_the_same),
		door_test(other_versions_are_authenticated_too),
		door_test(keys_are_exchanged_one_member_at_a_time),
		door_test(opening_says_what_is_wrong),
		door_test(own_name_is_looked_up),
		door_test(own_name_leads_elsewhere),
		door_test(own_address_leaves_the_machine),
		door_test(peer_name_is_found_later),
		door_test(peer_that_moves_is_told_from_a_stranger),
		door_test(peer_is_heard_at_each_of_its_addresses),
		door_test(ipv6_works_where_there_is_one),
	};

	return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
