/*
 * test/fuzz/fuzz_message.c
 *	  Fuzz target: any bytes into message_decode().
 *
 * What is let through is possible and encodes to the very bytes that it was read
 * from, up to the tag; of another version the header is read and nothing else;
 * and each refusal has the reason that the bytes show.
 */
#include <string.h>

#include "../../raft/raft.h"
#include "fuzz.h"

static uint64_t
number_at(const uint8_t *data, size_t offset, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | data[offset + (size_t) i];
	return value;
}

static bool
is_node_id(int32_t id)
{
	return id >= 0 && id < RAFT_MAX_NODES;
}

/* The header, read a second time in another way. */
static void
check_header(const uint8_t *data, const MessageEnvelope *envelope, const RaftMessage *m)
{
	CHECK(number_at(data, 0, 4) == MESSAGE_MAGIC, "magic");
	CHECK(envelope->version == data[4] && envelope->key_id == data[6], "envelope");
	CHECK(number_at(data, 8, 8) == FUZZ_CLUSTER, "cluster digest");
	CHECK(m->list_digest == number_at(data, 16, 8), "list digest");
	CHECK((uint32_t) m->from == number_at(data, 24, 4), "from");
	CHECK((uint32_t) m->to == number_at(data, 28, 4), "to");
	CHECK(m->boot == number_at(data, 32, 8), "boot");
	CHECK(m->incarnation == number_at(data, 40, 8), "incarnation");
	CHECK(m->echo_boot == number_at(data, 48, 8), "echoed boot");
	CHECK(m->echo_incarnation == number_at(data, 56, 8), "echoed incarnation");
	CHECK(m->sequence == number_at(data, 64, 8), "sequence");
	CHECK(m->save_number == number_at(data, 72, 8), "save number");
	CHECK(m->term == number_at(data, 80, 8), "term");

	CHECK(is_node_id(m->from) && is_node_id(m->to) && m->from != m->to, "ids");
	CHECK(m->boot > 0 && m->boot <= RAFT_MAX_TERM && m->echo_boot <= RAFT_MAX_TERM, "boots");
	CHECK(m->sequence > 0 && m->save_number <= RAFT_MAX_TERM, "counters");
	CHECK(m->term <= RAFT_MAX_TERM, "M: the term");
}

static void
check_accepted(const uint8_t *data, size_t size, const MessageEnvelope *envelope,
			   const RaftMessage *m)
{
	static const uint8_t no_tag[MESSAGE_TAG_SIZE];
	MessageEnvelope		 again = {.cluster_digest = FUZZ_CLUSTER};
	RaftMessage			 message;
	uint8_t				 bytes[MESSAGE_SIZE];

	CHECK(size == MESSAGE_SIZE, "size");
	CHECK(envelope->version == MESSAGE_VERSION, "version");
	check_header(data, envelope, m);
	CHECK(message_is_possible(m), "what was read is possible");
	CHECK(strcmp(message_type_name(m->type), "unknown") != 0, "type");
	CHECK(m->promise <= RAFT_MAX_PROMISE && m->max_timeout <= RAFT_MAX_PROMISE, "promise");
	CHECK(m->asked_term <= RAFT_MAX_TERM && m->replaced_term <= RAFT_MAX_TERM, "terms");
	CHECK(m->leader_id == RAFT_NONE || is_node_id(m->leader_id), "leader");
	CHECK(m->replaced_leader == RAFT_NONE || is_node_id(m->replaced_leader), "replaced leader");

	memset(bytes, 0xA5, sizeof(bytes));
	message_encode(m, envelope, bytes);
	CHECK(memcmp(bytes, data, MESSAGE_TAG_OFFSET) == 0, "encodes to the same bytes");
	CHECK(memcmp(bytes + MESSAGE_TAG_OFFSET, no_tag, MESSAGE_TAG_SIZE) == 0, "no tag yet");
	CHECK(message_decode(bytes, sizeof(bytes), &again, &message) == MESSAGE_OK, "reads again");
}

/* A refusal must have a reason that can be seen in the bytes. */
static void
check_refused(const uint8_t *data, size_t size, MessageError error,
			  const MessageEnvelope *envelope, const RaftMessage *m)
{
	bool has_header = size >= MESSAGE_HEADER_SIZE;

	if (!has_header)
		CHECK(error == MESSAGE_SHORT, "too short for a header");
	else if (number_at(data, 0, 4) != MESSAGE_MAGIC)
		CHECK(error == MESSAGE_FOREIGN, "another magic number");
	else if (number_at(data, 8, 8) != FUZZ_CLUSTER)
		CHECK(error == MESSAGE_OTHER_CLUSTER, "another cluster");
	else if (error == MESSAGE_OTHER_VERSION)
	{
		CHECK(data[4] != MESSAGE_VERSION, "another version");
		check_header(data, envelope, m);
	}
	else
	{
		CHECK(error == MESSAGE_SHORT || error == MESSAGE_UNKNOWN_TYPE ||
				  error == MESSAGE_IMPOSSIBLE,
			  "a reason");
		CHECK(error != MESSAGE_SHORT || size != MESSAGE_SIZE, "wrong size");
		CHECK(error != MESSAGE_UNKNOWN_TYPE ||
				  strcmp(message_type_name((RaftMessageType) data[5]), "unknown") == 0,
			  "unknown type");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MessageEnvelope envelope = {.cluster_digest = FUZZ_CLUSTER};
	RaftMessage		message;
	MessageError	error;

	memset(&message, 0xA5, sizeof(message));
	error = message_decode(data, size, &envelope, &message);
	CHECK(strcmp(message_error_name(error), "unknown") != 0, "a known result");
	if (error == MESSAGE_OK)
		check_accepted(data, size, &envelope, &message);
	else
		check_refused(data, size, error, &envelope, &message);
	return 0;
}
