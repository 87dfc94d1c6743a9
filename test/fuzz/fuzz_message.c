/*
 * test/fuzz/fuzz_message.c
 *	  Fuzz target: any bytes into message_decode(), and through the checks at the
 *	  door with and without keys.
 *
 * What is let through is possible and encodes to the very bytes that it was read
 * from, up to the tag; of another version the header is read and nothing else;
 * and each refusal has the reason that the bytes show.  With keys, bytes get in if
 * and only if they have the right tag and would have got in without; so they are
 * also tried with a right tag put on, and with one bit changed after that.
 */
#include <string.h>
#include <unistd.h>

#include "../../node/transport.h"
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

/* ---- the door ---- */

static Cluster	 cluster;
static Secret	 secret;	 /* of the receiver */
static Secret	 signers[2]; /* its keys, each by itself */
static Transport without_keys;
static Transport with_keys;

static void
take_keys(Secret *keys, const char *text)
{
	char  name[] = "/tmp/pg_leader_fuzz.XXXXXX";
	Words words;
	int	  fd = mkstemp(name);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text), "a file for keys");
	(void) close(fd);
	CHECK(secret_read(keys, name, &words) != SECRET_FAILED, "keys are read");
	(void) unlink(name);
}

/* Every node id is a member, so that the sender is one if it can be. */
static void
prepare_door(void)
{
	static bool is_ready = false;
	char		list[RAFT_MAX_NODES * 20];
	Words		words;
	size_t		used = 0;

	if (is_ready)
		return;
	is_ready = true;
	for (int i = 0; i < RAFT_MAX_NODES; i++)
		used += (size_t) snprintf(list + used, sizeof(list) - used, "%s127.0.0.1:%d",
								  i > 0 ? "," : "", 1000 + i);
	CHECK(cluster_parse(list, &cluster, &words), "a list");
	take_keys(&secret, FUZZ_KEY_1 FUZZ_KEY_2);
	take_keys(&signers[0], FUZZ_KEY_1);
	take_keys(&signers[1], FUZZ_KEY_2);
	with_keys.cluster_digest = without_keys.cluster_digest = FUZZ_CLUSTER;
	with_keys.secret = &secret;
	CHECK(addresses_init(&with_keys.addresses, &cluster, AF_INET, &words) &&
			  addresses_init(&without_keys.addresses, &cluster, AF_INET, &words),
		  "addresses");
}

/* Does it get in, coming from where it should? */
static bool
gets_in(Transport *transport, const uint8_t *data, size_t size)
{
	struct sockaddr_storage source = transport->addresses.of[0].address;
	uint64_t				from = size >= 28 ? number_at(data, 24, 4) : 0;
	uint64_t				drops = 0;
	uint64_t				drops_before = 0;
	RaftMessage				message;
	TransportResult			result;

	if (from < RAFT_MAX_NODES)
		source = transport->addresses.of[from].address;
	for (int i = 0; i < TRANSPORT_DROPS; i++)
		drops_before += transport->counters.dropped[i];
	result = transport_check(transport, &cluster, data, size, &source, &message);
	for (int i = 0; i < TRANSPORT_DROPS; i++)
		drops += transport->counters.dropped[i];
	CHECK(result == TRANSPORT_MESSAGE || result == TRANSPORT_DROPPED, "a verdict");
	CHECK(drops - drops_before == (result == TRANSPORT_DROPPED), "each drop is counted once");
	return result == TRANSPORT_MESSAGE;
}

static void
check_door(const uint8_t *data, size_t size, bool is_good)
{
	uint8_t	 copy[512];
	Secret	*signer = &signers[size > 90 ? data[90] & 1 : 0];
	uint64_t other_versions = with_keys.counters.dropped[TRANSPORT_DROP_VERSION];
	size_t	 bit;
	bool	 is_signed = false;

	prepare_door();
	CHECK(gets_in(&without_keys, data, size) == (is_good && data[6] == 0), "without keys");
	if (size < MESSAGE_HEADER_SIZE + MESSAGE_TAG_SIZE || size > sizeof(copy))
	{
		CHECK(!gets_in(&with_keys, data, size), "with keys: no room for a tag");
		return;
	}
	memcpy(copy, data, size);
	for (int i = 0; i < 2; i++)
	{
		CHECK(secret_sign(&signers[i], copy, size), "signed");
		if (data[6] == secret_key_id(&signers[i]))
			is_signed = memcmp(copy, data, size) == 0;
	}
	CHECK(gets_in(&with_keys, data, size) == (is_good && is_signed), "with keys: as it came");
	if (!is_signed)
		CHECK(with_keys.counters.dropped[TRANSPORT_DROP_VERSION] == other_versions,
			  "a version is believed only with its tag");

	copy[6] = secret_key_id(signer);
	CHECK(secret_sign(signer, copy, size), "signed");
	CHECK(gets_in(&with_keys, copy, size) == is_good, "with keys: with a right tag");
	bit = (size_t) number_at(data, 88, 2) % (8 * size);
	copy[bit / 8] ^= (uint8_t) (1 << bit % 8);
	CHECK(!gets_in(&with_keys, copy, size), "with keys: one bit changed");
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
	check_door(data, size, error == MESSAGE_OK);
	return 0;
}
