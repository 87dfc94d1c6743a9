/*
 * raft/message.c
 *	  Laying out datagrams and reading them.  See message.h for the layout.
 */
#include "message.h"

#include <assert.h>
#include <string.h>

#include "raft.h"

#define FLAG_ABSTAINING 0x01
#define FLAG_MAY_LEAD	0x02
#define FLAG_GRANTED	0x04
#define FLAG_BOUND		0x08

/* The upper half of the flags: newest version of the sender less that of the datagram. */
#define NEWER_SHIFT 4
#define NEWER_MAX	15

/* Body fields, as a set: which of them a type may use. */
#define USES_ROUND		 0x001
#define USES_ASKED_TERM	 0x002
#define USES_PROMISE	 0x004
#define USES_POSITION	 0x008
#define USES_REPLACED	 0x010
#define USES_LEADER		 0x020
#define USES_MAX_TIMEOUT 0x040
#define USES_REMEMBERED	 0x080
#define USES_GRANTED	 0x100
#define USES_TOLD		 0x200

/* What a member says of its data, as bits; the two lowest are the server. */
#define TOLD_SERVER		0x003
#define TOLD_MANAGED	0x004
#define TOLD_KNOWN		0x008
#define TOLD_GONE		0x010
#define TOLD_REBUILDING 0x020
#define TOLD_CLAIMED	0x040
#define TOLD_PROMOTED	0x080
#define TOLD_OPEN		0x100
#define TOLD_FORGOTTEN	0x200
#define TOLD_ALL		0x3FF

/* And above them the port. */
#define TOLD_PORT_SHIFT 16
#define TOLD_BITS		UINT32_C(0xFFFF)

static unsigned
fields_of(RaftMessageType type)
{
	switch (type)
	{
		case RAFT_GREETING:
		case RAFT_GREETING_CONFIRM:
		case RAFT_TRANSFER:
			return 0;
		case RAFT_GREETING_ANSWER:
			return USES_PROMISE | USES_MAX_TIMEOUT | USES_REMEMBERED | USES_POSITION | USES_TOLD;
		case RAFT_PRE_VOTE_REQUEST:
			return USES_ROUND | USES_ASKED_TERM | USES_POSITION | USES_TOLD;
		case RAFT_PRE_VOTE_ANSWER:
			return USES_ROUND | USES_ASKED_TERM | USES_PROMISE | USES_LEADER | USES_GRANTED | USES_TOLD;
		case RAFT_VOTE_REQUEST:
			return USES_PROMISE | USES_POSITION | USES_REPLACED | USES_TOLD;
		case RAFT_VOTE_ANSWER:
			return USES_ASKED_TERM | USES_PROMISE | USES_LEADER | USES_GRANTED | USES_TOLD;
		case RAFT_HEARTBEAT:
			return USES_ROUND | USES_PROMISE | USES_POSITION | USES_TOLD;
		case RAFT_HEARTBEAT_ANSWER:
			return USES_ROUND | USES_ASKED_TERM | USES_POSITION | USES_LEADER | USES_GRANTED | USES_TOLD;
		case RAFT_MESSAGE_TYPES:
			break;
	}
	return 0;
}

static uint8_t *
put32(uint8_t *at, uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		*at++ = (uint8_t) (value >> shift);
	return at;
}

static uint8_t *
put64(uint8_t *at, uint64_t value)
{
	return put32(put32(at, (uint32_t) (value >> 32)), (uint32_t) value);
}

static uint32_t
take32(const uint8_t **at)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 8 | *(*at)++;
	return value;
}

static uint64_t
take64(const uint8_t **at)
{
	uint64_t high = take32(at);

	return high << 32 | take32(at);
}

/* Two's complement, whatever the machine's own conversion does. */
static int32_t
take_id(const uint8_t **at)
{
	uint32_t value = take32(at);

	return value <= INT32_MAX ? (int32_t) value : -1 - (int32_t) (UINT32_MAX - value);
}

/* What the upper half of the flags says. */
static unsigned
newer_versions(uint8_t version, uint8_t newest)
{
	unsigned newer = newest > version ? (unsigned) newest - version : 0;

	return newer < NEWER_MAX ? newer : NEWER_MAX;
}

/* And how it is read. */
static uint8_t
newest_version(uint8_t version, unsigned flags)
{
	unsigned newest = version + (flags >> NEWER_SHIFT);

	return (uint8_t) (newest < UINT8_MAX ? newest : UINT8_MAX);
}

bool
message_is_understood(uint8_t oldest, uint8_t latest, unsigned type, uint8_t version,
					  uint8_t newest)
{
	if (version >= oldest)
		return version <= latest;
	return type == RAFT_GREETING && version > 0 && newest >= oldest;
}

size_t
message_size(uint8_t version)
{
	return version >= MESSAGE_OLDEST && version <= MESSAGE_VERSION ? MESSAGE_SIZE : 0;
}

static uint32_t
told_bits(const RaftTold *told)
{
	return (uint32_t) told->server | (told->managed ? TOLD_MANAGED : 0) |
		   (told->known ? TOLD_KNOWN : 0) | (told->gone ? TOLD_GONE : 0) |
		   (told->rebuilding ? TOLD_REBUILDING : 0) | (told->claimed ? TOLD_CLAIMED : 0) |
		   (told->promoted ? TOLD_PROMOTED : 0) | (told->open ? TOLD_OPEN : 0) |
		   (told->forgotten ? TOLD_FORGOTTEN : 0) |
		   (uint32_t) told->port << TOLD_PORT_SHIFT;
}

static bool
take_told(uint32_t bits, RaftTold *told)
{
	told->server = (RaftServer) (bits & TOLD_SERVER);
	told->managed = (bits & TOLD_MANAGED) != 0;
	told->known = (bits & TOLD_KNOWN) != 0;
	told->gone = (bits & TOLD_GONE) != 0;
	told->rebuilding = (bits & TOLD_REBUILDING) != 0;
	told->claimed = (bits & TOLD_CLAIMED) != 0;
	told->promoted = (bits & TOLD_PROMOTED) != 0;
	told->open = (bits & TOLD_OPEN) != 0;
	told->forgotten = (bits & TOLD_FORGOTTEN) != 0;
	told->port = (uint16_t) (bits >> TOLD_PORT_SHIFT);
	return (bits & TOLD_BITS & ~(uint32_t) TOLD_ALL) == 0;
}

void
message_encode(const RaftMessage *message, const MessageEnvelope *envelope, uint8_t *buffer)
{
	uint8_t	 version = message->version != 0 ? message->version : MESSAGE_VERSION;
	uint8_t	 newest = message->newest != 0 ? message->newest : MESSAGE_VERSION;
	uint8_t *at = buffer;

	assert(message->type >= RAFT_GREETING && message->type < RAFT_MESSAGE_TYPES);
	assert(message->boot > 0 && message->sequence > 0);

	at = put32(at, MESSAGE_MAGIC);
	*at++ = version;
	*at++ = (uint8_t) message->type;
	*at++ = envelope->key_id;
	*at++ = (uint8_t) ((message->abstaining ? FLAG_ABSTAINING : 0) |
					   (message->may_lead ? FLAG_MAY_LEAD : 0) |
					   (message->granted ? FLAG_GRANTED : 0) |
					   (message->bound ? FLAG_BOUND : 0) |
					   newer_versions(version, newest) << NEWER_SHIFT);
	at = put64(at, envelope->cluster_digest);
	at = put64(at, message->list_digest);
	at = put32(at, (uint32_t) message->from);
	at = put32(at, (uint32_t) message->to);
	at = put64(at, message->boot);
	at = put64(at, message->incarnation);
	at = put64(at, message->echo_boot);
	at = put64(at, message->echo_incarnation);
	at = put64(at, message->sequence);
	at = put64(at, message->save_number);
	at = put64(at, message->term);
	assert(at == buffer + MESSAGE_HEADER_SIZE);

	at = put64(at, message->round);
	at = put64(at, message->asked_term);
	at = put64(at, message->promise);
	at = put64(at, message->position.epoch);
	at = put64(at, message->position.index);
	at = put64(at, message->replaced_term);
	at = put32(at, (uint32_t) message->leader_id);
	at = put32(at, (uint32_t) message->replaced_leader);
	at = put64(at, message->max_timeout);
	at = put64(at, message->remembered_boot);
	at = put64(at, message->remembered_incarnation);
	at = put64(at, message->remembered_save);
	at = put64(at, message->told.system_id);
	at = put32(at, message->told.claim);
	at = put32(at, told_bits(&message->told));
	at = put32(at, message->told.pause);
	at = put32(at, message->told.list.number);
	at = put64(at, message->told.list.now);
	at = put64(at, message->told.list.old);
	at = put64(at, message->told.list.digest);
	at = put64(at, message->told.list.term);
	assert(at == buffer + MESSAGE_TAG_OFFSET);

	memset(at, 0, MESSAGE_TAG_SIZE);
}

static bool
is_node_id(int32_t id)
{
	return id >= 0 && id < RAFT_MAX_NODES;
}

static bool
header_is_possible(const RaftMessage *m)
{
	if (!is_node_id(m->from) || !is_node_id(m->to) || m->from == m->to)
		return false;
	if (m->boot == 0 || m->boot > RAFT_MAX_TERM || m->echo_boot > RAFT_MAX_TERM)
		return false;
	if (m->sequence == 0 || m->save_number > RAFT_MAX_TERM)
		return false;
	return m->term <= RAFT_MAX_TERM;
}

/* Both, or none: a list on the way has come from somewhere. */
bool
raft_list_is_possible(const RaftList *list)
{
	if (list->number == 0)
		return list->term == 0 && list->now == 0 && list->old == 0 && list->digest == 0;
	if (list->term == 0 || list->term > RAFT_MAX_TERM)
		return false;
	if ((list->number & 1) != 0 && (list->old == 0 || list->old == list->now || (list->old & list->now) == 0))
		return false;
	return list->now != 0;
}

/* Only leaders promote. */
static bool
told_is_possible(const RaftMessage *m)
{
	const RaftTold *told = &m->told;

	if (told->server < RAFT_SERVER_NONE || told->server >= RAFT_SERVERS ||
		told->claim > RAFT_MAX_TIMELINE)
		return false;
	if (!told->managed || !(fields_of(m->type) & USES_TOLD))
		return told->system_id == 0 && told->claim == 0 && told_bits(told) == 0 && told->pause == 0 && told->list.number == 0 && raft_list_is_possible(&told->list);
	if ((told->claimed && told->claim == 0) || !raft_position_is_possible(m->position) || !raft_list_is_possible(&told->list))
		return false;
	if ((told->promoted || told->open || told->forgotten) && m->type != RAFT_HEARTBEAT)
		return false;
	return !(told->open && !told->promoted) && !(told->promoted && !told->claimed);
}

static bool
body_is_possible(const RaftMessage *m)
{
	unsigned uses = fields_of(m->type);

	if (!told_is_possible(m))
		return false;

	if (!(uses & USES_ROUND) && m->round != 0)
		return false;
	if (!(uses & USES_ASKED_TERM) && m->asked_term != 0)
		return false;
	if (!(uses & USES_PROMISE) && m->promise != 0)
		return false;
	if (!(uses & USES_POSITION) && (m->position.epoch != 0 || m->position.index != 0))
		return false;
	if (!(uses & USES_REPLACED) && (m->replaced_term != 0 || m->replaced_leader != RAFT_NONE))
		return false;
	if (!(uses & USES_LEADER) && m->leader_id != RAFT_NONE)
		return false;
	if (!(uses & USES_MAX_TIMEOUT) && m->max_timeout != 0)
		return false;
	if (!(uses & USES_REMEMBERED) &&
		(m->remembered_boot | m->remembered_incarnation | m->remembered_save) != 0)
		return false;
	if (!(uses & USES_GRANTED) && m->granted)
		return false;

	if (m->bound && m->type != RAFT_HEARTBEAT_ANSWER)
		return false;
	if (m->asked_term > RAFT_MAX_TERM || m->replaced_term > RAFT_MAX_TERM)
		return false;
	if (m->promise > RAFT_MAX_PROMISE || m->max_timeout > RAFT_MAX_PROMISE)
		return false;
	/* The receiver continues above these numbers, so leave room. */
	if (m->remembered_boot > RAFT_MAX_REMEMBERED || m->remembered_save > RAFT_MAX_REMEMBERED)
		return false;
	if (m->leader_id != RAFT_NONE && !is_node_id(m->leader_id))
		return false;
	return m->replaced_leader == RAFT_NONE ? m->replaced_term == 0 : is_node_id(m->replaced_leader);
}

/* false: bits that mean nothing. */
static bool
take_body(const uint8_t *at, RaftMessage *message)
{
	uint32_t bits;

	message->round = take64(&at);
	message->asked_term = take64(&at);
	message->promise = take64(&at);
	message->position.epoch = take64(&at);
	message->position.index = take64(&at);
	message->replaced_term = take64(&at);
	message->leader_id = take_id(&at);
	message->replaced_leader = take_id(&at);
	message->max_timeout = take64(&at);
	message->remembered_boot = take64(&at);
	message->remembered_incarnation = take64(&at);
	message->remembered_save = take64(&at);
	message->told.system_id = take64(&at);
	message->told.claim = take32(&at);
	bits = take32(&at);
	message->told.pause = take32(&at);
	message->told.list.number = take32(&at);
	message->told.list.now = take64(&at);
	message->told.list.old = take64(&at);
	message->told.list.digest = take64(&at);
	message->told.list.term = take64(&at);
	return take_told(bits, &message->told);
}

MessageError
message_decode(const uint8_t *buffer, size_t length, MessageEnvelope *envelope,
			   RaftMessage *message)
{
	const uint8_t *at = buffer;
	unsigned	   type;
	unsigned	   flags;
	bool		   has_body;

	memset(message, 0, sizeof(*message));
	if (length < MESSAGE_HEADER_SIZE)
		return MESSAGE_SHORT;
	if (take32(&at) != MESSAGE_MAGIC)
		return MESSAGE_FOREIGN;
	envelope->version = *at++;
	type = *at++;
	envelope->key_id = *at++;
	flags = *at++;
	message->version = envelope->version;
	message->newest = newest_version(envelope->version, flags);
	if (take64(&at) != envelope->cluster_digest)
		return MESSAGE_OTHER_CLUSTER;
	message->list_digest = take64(&at);
	message->from = take_id(&at);
	message->to = take_id(&at);
	message->boot = take64(&at);
	message->incarnation = take64(&at);
	message->echo_boot = take64(&at);
	message->echo_incarnation = take64(&at);
	message->sequence = take64(&at);
	message->save_number = take64(&at);
	message->term = take64(&at);

	if (!header_is_possible(message))
		return MESSAGE_IMPOSSIBLE;
	if (!message_is_understood(MESSAGE_OLDEST, MESSAGE_VERSION, type, message->version,
							   message->newest))
		return MESSAGE_OTHER_VERSION;
	has_body = message_size(envelope->version) != 0;
	if (has_body && length != message_size(envelope->version))
		return MESSAGE_SHORT;
	if (type < RAFT_GREETING || type >= RAFT_MESSAGE_TYPES)
		return MESSAGE_UNKNOWN_TYPE;

	message->type = (RaftMessageType) type;
	message->abstaining = (flags & FLAG_ABSTAINING) != 0;
	message->may_lead = (flags & FLAG_MAY_LEAD) != 0;
	message->granted = (flags & FLAG_GRANTED) != 0;
	message->bound = (flags & FLAG_BOUND) != 0;
	message->leader_id = message->replaced_leader = RAFT_NONE;
	if (has_body && !take_body(at, message))
		return MESSAGE_IMPOSSIBLE;
	return body_is_possible(message) ? MESSAGE_OK : MESSAGE_IMPOSSIBLE;
}

bool
message_is_possible(const RaftMessage *message)
{
	return message->type >= RAFT_GREETING && message->type < RAFT_MESSAGE_TYPES &&
		   header_is_possible(message) && body_is_possible(message);
}

const char *
message_type_name(RaftMessageType type)
{
	switch (type)
	{
		case RAFT_GREETING:
			return "greeting";
		case RAFT_GREETING_ANSWER:
			return "greeting answer";
		case RAFT_GREETING_CONFIRM:
			return "greeting confirmation";
		case RAFT_PRE_VOTE_REQUEST:
			return "pre-vote request";
		case RAFT_PRE_VOTE_ANSWER:
			return "pre-vote answer";
		case RAFT_VOTE_REQUEST:
			return "vote request";
		case RAFT_VOTE_ANSWER:
			return "vote answer";
		case RAFT_HEARTBEAT:
			return "heartbeat";
		case RAFT_HEARTBEAT_ANSWER:
			return "heartbeat answer";
		case RAFT_TRANSFER:
			return "transfer";
		case RAFT_MESSAGE_TYPES:
			break;
	}
	return "unknown";
}

const char *
message_error_name(MessageError error)
{
	switch (error)
	{
		case MESSAGE_OK:
			return "ok";
		case MESSAGE_SHORT:
			return "wrong size";
		case MESSAGE_FOREIGN:
			return "not a datagram of pg_leader";
		case MESSAGE_OTHER_VERSION:
			return "other version";
		case MESSAGE_OTHER_CLUSTER:
			return "other cluster";
		case MESSAGE_UNKNOWN_TYPE:
			return "unknown type";
		case MESSAGE_IMPOSSIBLE:
			return "impossible value";
	}
	return "unknown";
}
