/*
 * test/unit/test_message.c
 *	  The datagram: what goes in comes out, and nothing else gets in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../raft/raft.h"

#define CLUSTER UINT64_C(0x1122334455667788)

static uint64_t random_state;

static uint64_t
random_number(void)
{
	uint64_t z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* Small, large and boundary values alike. */
static uint64_t
random_up_to(uint64_t most)
{
	switch (random_number() % 4)
	{
		case 0:
			return random_number() % 4 <= most ? random_number() % 4 % (most + 1) : 0;
		case 1:
			return most;
		default:
			return most == UINT64_MAX ? random_number() : random_number() % (most + 1);
	}
}

/* What a managed member can say of its data in a message of that type. */
static RaftTold
random_told(RaftMessageType type)
{
	RaftTold told = {.managed = true};

	told.known = random_number() & 1;
	told.gone = random_number() & 1;
	told.rebuilding = random_number() & 1;
	told.server = (RaftServer) (random_number() % RAFT_SERVERS);
	told.claim = (uint32_t) random_up_to(RAFT_MAX_TIMELINE);
	told.claimed = told.claim != 0 && random_number() & 1;
	told.port = (uint16_t) random_up_to(UINT16_MAX);
	told.system_id = random_number();
	told.pause = (uint32_t) random_up_to(UINT32_MAX);
	if (type == RAFT_HEARTBEAT)
	{
		told.promoted = told.claimed && random_number() & 1;
		told.open = told.promoted && random_number() & 1;
		told.forgotten = random_number() & 1;
	}
	if (random_number() & 1)
		told.list = (RaftList){.number = (uint32_t) random_up_to(UINT32_MAX), .term = 1 + random_up_to(RAFT_MAX_TERM - 1), .now = random_number() | 3, .old = 1, .digest = random_number() | 1};
	if (told.list.number == 0)
		told.list = (RaftList){0};
	return told;
}

static RaftMessage
random_message(RaftMessageType type)
{
	RaftMessage m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.from = (int32_t) (random_number() % RAFT_MAX_NODES);
	m.to = (m.from + 1 + (int32_t) (random_number() % (RAFT_MAX_NODES - 1))) % RAFT_MAX_NODES;
	m.abstaining = random_number() & 1;
	m.may_lead = random_number() & 1;
	m.list_digest = random_number();
	m.boot = 1 + random_up_to(RAFT_MAX_TERM - 2);
	m.incarnation = random_number();
	m.echo_boot = random_up_to(RAFT_MAX_TERM - 1);
	m.echo_incarnation = random_number();
	m.sequence = 1 + random_up_to(UINT64_MAX - 1);
	m.save_number = random_up_to(RAFT_MAX_TERM - 1);
	m.term = random_up_to(RAFT_MAX_TERM);
	m.leader_id = RAFT_NONE;
	m.replaced_leader = RAFT_NONE;

	if (type == RAFT_PRE_VOTE_REQUEST || type == RAFT_PRE_VOTE_ANSWER ||
		type == RAFT_HEARTBEAT || type == RAFT_HEARTBEAT_ANSWER)
		m.round = random_number();
	if (type == RAFT_PRE_VOTE_REQUEST || type == RAFT_PRE_VOTE_ANSWER ||
		type == RAFT_VOTE_ANSWER || type == RAFT_HEARTBEAT_ANSWER)
		m.asked_term = random_up_to(RAFT_MAX_TERM);
	if (type == RAFT_GREETING_ANSWER || type == RAFT_VOTE_REQUEST || type == RAFT_HEARTBEAT ||
		type == RAFT_PRE_VOTE_ANSWER || type == RAFT_VOTE_ANSWER)
		m.promise = random_up_to(RAFT_MAX_PROMISE);
	if (type == RAFT_PRE_VOTE_ANSWER || type == RAFT_VOTE_ANSWER)
		m.leader_id = (int32_t) (random_number() % (RAFT_MAX_NODES + 1)) - 1;
	if (type == RAFT_PRE_VOTE_ANSWER || type == RAFT_VOTE_ANSWER || type == RAFT_HEARTBEAT_ANSWER)
		m.granted = random_number() & 1;
	if (type == RAFT_HEARTBEAT_ANSWER)
		m.bound = random_number() & 1;
	if (type == RAFT_PRE_VOTE_REQUEST || type == RAFT_VOTE_REQUEST ||
		type == RAFT_HEARTBEAT || type == RAFT_HEARTBEAT_ANSWER || type == RAFT_GREETING_ANSWER)
	{
		m.position.epoch = random_up_to(RAFT_MAX_TIMELINE);
		m.position.index = m.position.epoch == 0 ? 0 : random_number();
	}
	if (type == RAFT_VOTE_REQUEST && random_number() & 1)
	{
		m.replaced_term = random_up_to(RAFT_MAX_TERM);
		m.replaced_leader = (int32_t) (random_number() % RAFT_MAX_NODES);
	}
	if (type == RAFT_GREETING_ANSWER)
	{
		m.max_timeout = random_up_to(RAFT_MAX_PROMISE);
		m.remembered_boot = random_up_to(RAFT_MAX_REMEMBERED);
		m.remembered_incarnation = random_number();
		m.remembered_save = random_up_to(RAFT_MAX_REMEMBERED);
	}
	if (type != RAFT_GREETING && type != RAFT_GREETING_CONFIRM && type != RAFT_TRANSFER &&
		random_number() & 1)
		m.told = random_told(type);
	return m;
}

static void
assert_same(const RaftMessage *a, const RaftMessage *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->from, b->from);
	assert_int_equal(a->to, b->to);
	assert_int_equal(a->abstaining, b->abstaining);
	assert_int_equal(a->may_lead, b->may_lead);
	assert_int_equal(a->granted, b->granted);
	assert_int_equal(a->bound, b->bound);
	assert_true(a->list_digest == b->list_digest);
	assert_true(a->boot == b->boot);
	assert_true(a->incarnation == b->incarnation);
	assert_true(a->echo_boot == b->echo_boot);
	assert_true(a->echo_incarnation == b->echo_incarnation);
	assert_true(a->sequence == b->sequence);
	assert_true(a->save_number == b->save_number);
	assert_true(a->term == b->term);
	assert_true(a->round == b->round);
	assert_true(a->asked_term == b->asked_term);
	assert_true(a->promise == b->promise);
	assert_true(a->position.epoch == b->position.epoch);
	assert_true(a->position.index == b->position.index);
	assert_true(a->replaced_term == b->replaced_term);
	assert_int_equal(a->leader_id, b->leader_id);
	assert_int_equal(a->replaced_leader, b->replaced_leader);
	assert_true(a->max_timeout == b->max_timeout);
	assert_true(a->remembered_boot == b->remembered_boot);
	assert_true(a->remembered_incarnation == b->remembered_incarnation);
	assert_true(a->remembered_save == b->remembered_save);
	assert_int_equal(a->told.managed, b->told.managed);
	assert_int_equal(a->told.known, b->told.known);
	assert_int_equal(a->told.gone, b->told.gone);
	assert_int_equal(a->told.rebuilding, b->told.rebuilding);
	assert_int_equal(a->told.claimed, b->told.claimed);
	assert_int_equal(a->told.promoted, b->told.promoted);
	assert_int_equal(a->told.open, b->told.open);
	assert_int_equal(a->told.forgotten, b->told.forgotten);
	assert_int_equal(a->told.server, b->told.server);
	assert_int_equal(a->told.claim, b->told.claim);
	assert_int_equal(a->told.port, b->told.port);
	assert_true(a->told.system_id == b->told.system_id);
	assert_true(a->told.pause == b->told.pause);
	assert_true(raft_list_equals(&a->told.list, &b->told.list));
}

static void
encode(const RaftMessage *m, uint8_t *bytes)
{
	MessageEnvelope envelope = {.cluster_digest = CLUSTER};

	memset(bytes, 0xEE, MESSAGE_SIZE);
	message_encode(m, &envelope, bytes);
}

static MessageError
decode(const uint8_t *bytes, size_t length, RaftMessage *m)
{
	MessageEnvelope envelope = {.cluster_digest = CLUSTER};

	return message_decode(bytes, length, &envelope, m);
}

static void
every_type_survives_the_round_trip(void **state)
{
	(void) state;
	for (int type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
		for (int i = 0; i < 500; i++)
		{
			MessageEnvelope out = {.cluster_digest = CLUSTER, .key_id = (uint8_t) i};
			MessageEnvelope in = {.cluster_digest = CLUSTER};
			RaftMessage		m = random_message((RaftMessageType) type);
			RaftMessage		back;
			uint8_t			bytes[MESSAGE_SIZE];

			message_encode(&m, &out, bytes);
			assert_int_equal(message_decode(bytes, MESSAGE_SIZE, &in, &back), MESSAGE_OK);
			assert_same(&m, &back);
			assert_int_equal(in.version, MESSAGE_VERSION);
			assert_int_equal(in.key_id, (uint8_t) i);
		}
}

static void
every_wrong_length_is_refused(void **state)
{
	uint8_t		bytes[2048];
	RaftMessage m;

	(void) state;
	for (int type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
	{
		memset(bytes, 0, sizeof(bytes));
		m = random_message((RaftMessageType) type);
		encode(&m, bytes);
		for (size_t length = 0; length <= sizeof(bytes); length++)
		{
			uint8_t copy[2048];

			/* At the end of the buffer, so that a sanitizer sees an overrun. */
			memcpy(copy + sizeof(copy) - length, bytes, length);
			assert_int_equal(decode(copy + sizeof(copy) - length, length, &m),
							 length == MESSAGE_SIZE ? MESSAGE_OK : MESSAGE_SHORT);
		}
	}
	assert_int_equal(decode(bytes, 0, &m), MESSAGE_SHORT);
}

static void
assert_possible(const RaftMessage *m)
{
	assert_in_range(m->type, RAFT_GREETING, RAFT_MESSAGE_TYPES - 1);
	assert_in_range(m->from, 0, RAFT_MAX_NODES - 1);
	assert_in_range(m->to, 0, RAFT_MAX_NODES - 1);
	assert_int_not_equal(m->from, m->to);
	assert_true(m->boot >= 1);
	assert_true(m->sequence >= 1);
	assert_true(m->term <= RAFT_MAX_TERM);
	assert_true(m->asked_term <= RAFT_MAX_TERM);
	assert_true(m->replaced_term <= RAFT_MAX_TERM);
	assert_true(m->promise <= RAFT_MAX_PROMISE);
	assert_true(m->max_timeout <= RAFT_MAX_PROMISE);
	assert_true(m->leader_id >= RAFT_NONE && m->leader_id < RAFT_MAX_NODES);
	assert_true(m->replaced_leader >= RAFT_NONE && m->replaced_leader < RAFT_MAX_NODES);
}

/* Whatever comes out of a damaged datagram is either refused or possible, and
 * says again just what the bytes say. */
static void
every_single_bit_flip_is_refused_or_possible(void **state)
{
	(void) state;
	for (int type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
		for (int i = 0; i < 20; i++)
		{
			RaftMessage m = random_message((RaftMessageType) type);
			RaftMessage back;
			uint8_t		bytes[MESSAGE_SIZE];
			uint8_t		again[MESSAGE_SIZE];

			encode(&m, bytes);
			for (int bit = 0; bit < MESSAGE_SIZE * 8; bit++)
			{
				bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
				if (decode(bytes, MESSAGE_SIZE, &back) == MESSAGE_OK)
				{
					assert_possible(&back);
					encode(&back, again);
					again[6] = bytes[6]; /* the key id is the envelope's */
					assert_memory_equal(bytes, again, MESSAGE_TAG_OFFSET);
				}
				bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
			}
		}
}

static void
random_bytes_are_refused_or_possible(void **state)
{
	uint8_t		bytes[MESSAGE_SIZE];
	RaftMessage m;

	(void) state;
	for (int i = 0; i < 100000; i++)
	{
		size_t length = i % 2 ? MESSAGE_SIZE : random_number() % (MESSAGE_SIZE + 1);

		/* With a good start, or all of it would end at the magic number. */
		m = random_message((RaftMessageType) (1 + i % (RAFT_MESSAGE_TYPES - 1)));
		encode(&m, bytes);
		for (size_t at = (size_t) (random_number() % MESSAGE_SIZE); at < MESSAGE_SIZE; at++)
			bytes[at] = (uint8_t) random_number();
		if (decode(bytes, length, &m) == MESSAGE_OK)
			assert_possible(&m);
	}
}

static void
foreign_datagrams_are_told_apart(void **state)
{
	RaftMessage		m = random_message(RAFT_HEARTBEAT);
	RaftMessage		back;
	MessageEnvelope envelope = {.cluster_digest = CLUSTER};
	uint8_t			bytes[MESSAGE_SIZE];

	(void) state;
	encode(&m, bytes);
	bytes[0] ^= 1;
	assert_int_equal(decode(bytes, MESSAGE_SIZE, &back), MESSAGE_FOREIGN);
	bytes[0] ^= 1;

	bytes[8] ^= 1;
	assert_int_equal(decode(bytes, MESSAGE_SIZE, &back), MESSAGE_OTHER_CLUSTER);
	bytes[8] ^= 1;

	for (int type = 0; type < 256; type++)
		if (type < RAFT_GREETING || type >= RAFT_MESSAGE_TYPES)
		{
			bytes[5] = (uint8_t) type;
			assert_int_equal(decode(bytes, MESSAGE_SIZE, &back), MESSAGE_UNKNOWN_TYPE);
		}
	bytes[5] = RAFT_HEARTBEAT;

	/* Of another version one can read who speaks, whatever its length is. */
	bytes[4] = MESSAGE_VERSION + 1;
	for (size_t length = MESSAGE_HEADER_SIZE; length <= MESSAGE_SIZE; length++)
	{
		memset(&back, 0, sizeof(back));
		assert_int_equal(message_decode(bytes, length, &envelope, &back), MESSAGE_OTHER_VERSION);
		assert_int_equal(envelope.version, MESSAGE_VERSION + 1);
		assert_int_equal(back.from, m.from);
		assert_int_equal(back.to, m.to);
		assert_true(back.boot == m.boot);
		assert_true(back.incarnation == m.incarnation);
		assert_true(back.term == m.term);
		assert_true(back.list_digest == m.list_digest);
	}
	bytes[4] = 0;
	assert_int_equal(decode(bytes, MESSAGE_SIZE, &back), MESSAGE_OTHER_VERSION);
}

/* A value put into a good datagram of a type makes it impossible. */
static void
refuse(RaftMessageType type, size_t offset, int size, uint64_t value)
{
	RaftMessage m = random_message(type);
	RaftMessage back;
	uint8_t		bytes[MESSAGE_SIZE];

	encode(&m, bytes);
	for (int i = 0; i < size; i++)
		bytes[offset + (size_t) i] = (uint8_t) (value >> 8 * (size - 1 - i));
	if (decode(bytes, MESSAGE_SIZE, &back) != MESSAGE_IMPOSSIBLE)
		fail_msg("%s with %llu at offset %zu was not refused", message_type_name(type),
				 (unsigned long long) value, offset);
}

static void
garbage_impossible_headers(void **state)
{
	(void) state;
	for (int t = RAFT_GREETING; t < RAFT_MESSAGE_TYPES; t++)
	{
		RaftMessageType		  type = (RaftMessageType) t;
		static const uint64_t ids[] = {RAFT_MAX_NODES, INT32_MAX, 0x80000000, UINT32_MAX,
									   UINT32_MAX - 1};

		for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		{
			refuse(type, 24, 4, ids[i]);
			refuse(type, 28, 4, ids[i]);
		}
		refuse(type, 32, 8, 0); /* no boot */
		refuse(type, 64, 8, 0); /* no sequence number */
		refuse(type, 80, 8, RAFT_MAX_TERM + 1);
		refuse(type, 80, 8, UINT64_MAX);
	}
	refuse(RAFT_HEARTBEAT, 24, 8, UINT64_C(0x0000000100000001)); /* to itself */
}

static void
garbage_impossible_bodies(void **state)
{
	/* offset, size, and the types that use it, by bit */
	static const struct
	{
		size_t	 offset;
		int		 size;
		unsigned types;
	} fields[] = {
#define BIT(type) (1U << (type))
		{88, 8, BIT(RAFT_PRE_VOTE_REQUEST) | BIT(RAFT_PRE_VOTE_ANSWER) | BIT(RAFT_HEARTBEAT) | BIT(RAFT_HEARTBEAT_ANSWER)},
		{96, 8, BIT(RAFT_PRE_VOTE_REQUEST) | BIT(RAFT_PRE_VOTE_ANSWER) | BIT(RAFT_VOTE_ANSWER) | BIT(RAFT_HEARTBEAT_ANSWER)},
		{104, 8, BIT(RAFT_GREETING_ANSWER) | BIT(RAFT_PRE_VOTE_ANSWER) | BIT(RAFT_VOTE_REQUEST) | BIT(RAFT_VOTE_ANSWER) | BIT(RAFT_HEARTBEAT)},
		{112, 8, BIT(RAFT_GREETING_ANSWER) | BIT(RAFT_PRE_VOTE_REQUEST) | BIT(RAFT_VOTE_REQUEST) | BIT(RAFT_HEARTBEAT) | BIT(RAFT_HEARTBEAT_ANSWER)},
		{120, 8, BIT(RAFT_GREETING_ANSWER) | BIT(RAFT_PRE_VOTE_REQUEST) | BIT(RAFT_VOTE_REQUEST) | BIT(RAFT_HEARTBEAT) | BIT(RAFT_HEARTBEAT_ANSWER)},
		{128, 8, BIT(RAFT_VOTE_REQUEST)},
		{144, 8, BIT(RAFT_GREETING_ANSWER)},
		{152, 8, BIT(RAFT_GREETING_ANSWER)},
		{160, 8, BIT(RAFT_GREETING_ANSWER)},
		{168, 8, BIT(RAFT_GREETING_ANSWER)},
	};

	(void) state;
	for (int t = RAFT_GREETING; t < RAFT_MESSAGE_TYPES; t++)
	{
		RaftMessageType type = (RaftMessageType) t;

		/* A field that the type does not use must be empty. */
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			if (!(fields[i].types & BIT(t)))
				refuse(type, fields[i].offset, fields[i].size, 1);
		if (!(BIT(t) & (BIT(RAFT_PRE_VOTE_ANSWER) | BIT(RAFT_VOTE_ANSWER) | BIT(RAFT_HEARTBEAT_ANSWER))))
		{
			refuse(type, 136, 4, 1); /* leader id */
			refuse(type, 7, 1, 4);	 /* granted */
		}
		if (type != RAFT_HEARTBEAT_ANSWER)
			refuse(type, 7, 1, 8); /* bound */
		if (type != RAFT_VOTE_REQUEST)
			refuse(type, 140, 4, 1); /* replaced leader */

		refuse(type, 136, 4, RAFT_MAX_NODES);
		refuse(type, 136, 4, INT32_MAX);
		refuse(type, 136, 4, UINT32_MAX - 1);
		refuse(type, 140, 4, RAFT_MAX_NODES);
		refuse(type, 140, 4, INT32_MAX);
		refuse(type, 96, 8, RAFT_MAX_TERM + 1);
		refuse(type, 104, 8, RAFT_MAX_PROMISE + 1);
		refuse(type, 104, 8, UINT64_MAX);
		refuse(type, 128, 8, RAFT_MAX_TERM + 1);
		refuse(type, 144, 8, UINT64_MAX);

		/* Data: of no server, of no member that only elects, unknown bits, wrong types. */
		refuse(type, 184, 4, RAFT_MAX_TIMELINE + 1);
		refuse(type, 184, 8, UINT64_C(0x8000000000000044)); /* and stored as a claim */
		refuse(type, 188, 4, 0x007);
		refuse(type, 188, 4, 0x004 | 0x800);
		refuse(type, 188, 4, 0x008);
		refuse(type, 188, 8, 1);	 /* a pause */
		refuse(type, 184, 8, 0x044); /* a claim of timeline 0 */
		if (type != RAFT_HEARTBEAT)
		{
			refuse(type, 184, 8, UINT64_C(0x1000000C4));
			refuse(type, 184, 8, UINT64_C(0x100000204));
		}
		refuse(type, 184, 8, UINT64_C(0x100000104)); /* open, and not promoted */
		refuse(type, 188, 4, 0x404);
		if (type == RAFT_GREETING || type == RAFT_GREETING_CONFIRM || type == RAFT_TRANSFER)
			refuse(type, 188, 4, 0x004);
	}
}

/* The layout is a promise to other versions: these bytes may never change
 * without MESSAGE_VERSION changing. */
static void
layout_is_fixed(void **state)
{
	static const uint8_t expected[MESSAGE_SIZE] = {
		0x50, 0x47, 0x4C, 0x44, 0x01, 0x06, 0x09, 0x03, /* PGLD, 1, vote request, key, flags */
		0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, /* cluster */
		0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, /* list */
		0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x3F, /* from, to */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, /* boot */
		0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, /* incarnation */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, /* echoed boot */
		0xB0, 0xB1, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, /* echoed incarnation */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, /* sequence */
		0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, /* save number */
		0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, /* term */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* round */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* asked term */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x0D, 0x40, /* promise: 200 ms */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x11, /* epoch */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x12, /* index */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x13, /* replaced term */
		0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x05, /* leader: none, replaced leader */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* longest timeout */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* remembered boot */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* remembered incarnation */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* remembered save */
		0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, /* system identifier */
		0x7F, 0xFF, 0xFF, 0xFF, 0x15, 0x38, 0x00, 0x4D, /* claim, port, data */
		0x81, 0x82, 0x83, 0x84, 0x00, 0x00, 0x00, 0x91, /* pause, number of the list */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, /* its members */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, /* those before */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x92, /* their addresses */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x93, /* its term */
														/* and a tag of zeros */
	};
	RaftMessage		m;
	RaftMessage		back;
	MessageEnvelope envelope = {.cluster_digest = CLUSTER, .key_id = 9};
	uint8_t			bytes[MESSAGE_SIZE];

	(void) state;
	memset(&m, 0, sizeof(m));
	m.type = RAFT_VOTE_REQUEST;
	m.from = 2;
	m.to = 63;
	m.abstaining = true;
	m.may_lead = true;
	m.list_digest = UINT64_C(0x0102030405060708);
	m.boot = 7;
	m.incarnation = UINT64_C(0xA0A1A2A3A4A5A6A7);
	m.echo_boot = 0x100;
	m.echo_incarnation = UINT64_C(0xB0B1B2B3B4B5B6B7);
	m.sequence = 0x10000;
	m.save_number = 0x1000000;
	m.term = RAFT_MAX_TERM;
	m.promise = 200000;
	m.position.epoch = 0x11;
	m.position.index = 0x12;
	m.replaced_term = 0x13;
	m.replaced_leader = 5;
	m.leader_id = RAFT_NONE;
	m.told = (RaftTold){.managed = true, .known = true, .claimed = true, .server = RAFT_SERVER_RECOVERY, .claim = RAFT_MAX_TIMELINE, .port = 5432, .system_id = UINT64_C(0x7172737475767778), .pause = UINT32_C(0x81828384), .list = {.number = 0x91, .term = 0x93, .now = 7, .old = 3, .digest = 0x92}};

	memset(bytes, 0xEE, sizeof(bytes));
	message_encode(&m, &envelope, bytes);
	assert_memory_equal(bytes, expected, MESSAGE_SIZE);
	assert_int_equal(message_decode(expected, MESSAGE_SIZE, &envelope, &back), MESSAGE_OK);
	assert_same(&m, &back);

	assert_int_equal(MESSAGE_SIZE, 264);
	assert_int_equal(MESSAGE_VERSION, 1);
	assert_int_equal(RAFT_MESSAGE_TYPES, 11);
}

/*
 * What a version that does not exist yet will say in version 1: everything as now,
 * and how much more its sender understands.  The released version 1 has to take it.
 */
static void
newer_senders_are_understood(void **state)
{
	(void) state;
	for (int type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
		for (unsigned newest = MESSAGE_VERSION; newest <= UINT8_MAX; newest++)
		{
			RaftMessage m = random_message((RaftMessageType) type);
			RaftMessage back;
			uint8_t		bytes[MESSAGE_SIZE];
			uint8_t		plain[MESSAGE_SIZE];

			encode(&m, plain);
			m.version = MESSAGE_VERSION;
			m.newest = (uint8_t) newest;
			encode(&m, bytes);
			assert_int_equal(bytes[7] & 0x0F, plain[7]);
			assert_int_equal(bytes[7] >> 4, newest - MESSAGE_VERSION < 15 ? newest - MESSAGE_VERSION : 15);
			assert_int_equal(decode(bytes, MESSAGE_SIZE, &back), MESSAGE_OK);
			assert_same(&m, &back);
			assert_int_equal(back.version, MESSAGE_VERSION);
			assert_int_equal(back.newest, MESSAGE_VERSION + (bytes[7] >> 4));
		}
}

/* Also of one that we do not understand: there is no number after the last. */
static void
newest_version_does_not_wrap(void **state)
{
	RaftMessage m = random_message(RAFT_GREETING);
	uint8_t		bytes[MESSAGE_SIZE];

	(void) state;
	encode(&m, bytes);
	bytes[4] = 250;
	bytes[7] |= 0xF0;
	assert_int_equal(decode(bytes, MESSAGE_SIZE, &m), MESSAGE_OTHER_VERSION);
	assert_int_equal(m.version, 250);
	assert_int_equal(m.newest, 255);
}

static void
versions_are_understood_within_the_range(void **state)
{
	(void) state;
	/* this program is the first of all */
	assert_true(message_is_understood(1, 1, RAFT_HEARTBEAT, 1, 1));
	assert_true(message_is_understood(1, 1, RAFT_HEARTBEAT, 1, 9));
	assert_false(message_is_understood(1, 1, RAFT_GREETING, 2, 9));
	assert_false(message_is_understood(1, 1, RAFT_GREETING, 0, 9));

	/* a later one: of what is too old, greetings of those who know better */
	for (uint8_t version = 0; version < 9; version++)
		for (uint8_t newest = version; newest < 9; newest++)
		{
			bool inside = version == 4 || version == 5;

			assert_int_equal(message_is_understood(4, 5, RAFT_HEARTBEAT, version, newest), inside);
			assert_int_equal(message_is_understood(4, 5, RAFT_GREETING, version, newest),
							 inside || (version > 0 && version < 4 && newest >= 4));
		}
	assert_int_equal(message_size(0), 0);
	assert_int_equal(message_size(MESSAGE_VERSION), MESSAGE_SIZE);
	assert_int_equal(message_size(MESSAGE_VERSION + 1), 0);
}

/* Without managed mode a position is the user's own. */
static void
garbage_impossible_positions(void **state)
{
	static const RaftMessageType types[] = {RAFT_GREETING_ANSWER, RAFT_PRE_VOTE_REQUEST, RAFT_VOTE_REQUEST,
											RAFT_HEARTBEAT, RAFT_HEARTBEAT_ANSWER};
	static const RaftPosition	 wrong[] = {{0, 1}, {(uint64_t) RAFT_MAX_TIMELINE + 1, 1}, {UINT64_MAX, UINT64_MAX}};
	static const RaftPosition	 right[] = {{0, 0}, {1, 1}, {RAFT_MAX_TIMELINE, UINT64_MAX}};

	(void) state;
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
		for (int i = 0; i < 3; i++)
		{
			RaftMessage m = random_message(types[t]);

			m.told = random_told(types[t]);
			m.position = wrong[i];
			assert_false(message_is_possible(&m));
			m.position = right[i];
			assert_true(message_is_possible(&m));
			m.told = (RaftTold){0};
			m.position = wrong[i];
			assert_true(message_is_possible(&m));
		}
}

/* In datagrams and state files. */
static void
impossible_lists(void **state)
{
	static const RaftList good[] = {
		{0},
		{.number = 2, .term = 1, .now = 7},
		{.number = 3, .term = RAFT_MAX_TERM, .now = 15, .old = 7},
		{.number = 4, .term = 9, .now = 15, .old = 7, .digest = 5},
	};
	static const RaftList wrong[] = {
		{.now = 1},
		{.old = 1},
		{.digest = 1},
		{.term = 1},
		{.number = 2, .now = 7},
		{.number = 2, .term = RAFT_MAX_TERM + 1, .now = 7},
		{.number = 2, .term = 1},
		{.number = 3, .term = 1, .now = 7},
		{.number = 3, .term = 1, .now = 7, .old = 7},
		{.number = 3, .term = 1, .now = 3, .old = 4},
	};
	RaftMessage m = random_message(RAFT_HEARTBEAT);

	(void) state;
	m.told.managed = true;
	m.position = (RaftPosition){1, 1};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		m.told.list = good[i];
		assert_true(message_is_possible(&m));
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		m.told.list = wrong[i];
		assert_false(message_is_possible(&m));
	}
}

static void
names_are_words(void **state)
{
	(void) state;
	for (int type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
		assert_string_not_equal(message_type_name((RaftMessageType) type), "unknown");
	assert_string_equal(message_type_name(RAFT_VOTE_REQUEST), "vote request");
	assert_string_equal(message_type_name((RaftMessageType) 0), "unknown");
	assert_string_equal(message_type_name((RaftMessageType) 200), "unknown");
	for (int error = MESSAGE_OK; error <= MESSAGE_IMPOSSIBLE; error++)
		assert_string_not_equal(message_error_name((MessageError) error), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_survives_the_round_trip),
		cmocka_unit_test(every_wrong_length_is_refused),
		cmocka_unit_test(every_single_bit_flip_is_refused_or_possible),
		cmocka_unit_test(random_bytes_are_refused_or_possible),
		cmocka_unit_test(foreign_datagrams_are_told_apart),
		cmocka_unit_test(garbage_impossible_headers),
		cmocka_unit_test(garbage_impossible_bodies),
		cmocka_unit_test(garbage_impossible_positions),
		cmocka_unit_test(layout_is_fixed),
		cmocka_unit_test(newer_senders_are_understood),
		cmocka_unit_test(newest_version_does_not_wrap),
		cmocka_unit_test(versions_are_understood_within_the_range),
		cmocka_unit_test(impossible_lists),
		cmocka_unit_test(names_are_words),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
