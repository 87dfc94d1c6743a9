/*
 * raft/message.h
 *	  The datagram: what members say to each other, and how it is laid out.
 *
 * One fixed layout serves every type, so that decoding never has to trust a
 * length: a datagram of version 1 is exactly MESSAGE_SIZE bytes, and a field
 * that its type does not use must be zero (ids: -1).  Numbers are in network
 * byte order.
 *
 *	  offset size field
 *	  0      4    magic "PGLD"
 *	  4      1    version of the layout
 *	  5      1    type
 *	  6      1    key id (0: not authenticated)
 *	  7      1    flags; in the upper half, see below
 *	  8      8    cluster digest
 *	  16     8    digest of the configured list
 *	  24     4    from: the sender's node id
 *	  28     4    to: the receiver's node id
 *	  32     8    boot counter of the sender
 *	  40     8    incarnation of the sender
 *	  48     8    echoed boot counter: the receiver's, as the sender knows it
 *	  56     8    echoed incarnation
 *	  64     8    sequence: number of the datagram among those of this start to
 *				  this receiver
 *	  72     8    save number of the sender
 *	  80     8    term of the sender
 *	  88     8    round
 *	  96     8    asked term
 *	  104    8    promise
 *	  112    8    position, epoch
 *	  120    8    position, index
 *	  128    8    replaced term
 *	  136    4    leader id
 *	  140    4    replaced leader
 *	  144    8    longest timeout
 *	  152    8    remembered boot counter
 *	  160    8    remembered incarnation
 *	  168    8    remembered save number
 *	  176    8    system identifier
 *	  184    4    claim
 *	  188    2    port of the sender's PostgreSQL
 *	  190    2    what the sender says of its data, in bits
 *	  192    4    pause
 *	  196    4    list of members that count: number
 *	  200    8    the list: its members
 *	  208    8    the list: those before
 *	  216    8    the list: digest of their addresses
 *	  224    8    the list: term of the leader that wrote it
 *	  232    32   authentication tag
 *
 * Fixed in every version, so that any program can identify sender, version and
 * authenticity: the first
 * MESSAGE_HEADER_SIZE bytes keep their meaning; the last MESSAGE_TAG_SIZE bytes
 * are the tag, HMAC-SHA-256 over the whole datagram with zero in their place, or
 * zero with key id 0; and a datagram is shorter than MESSAGE_SIZE_LIMIT.
 *
 * A program understands the versions from MESSAGE_OLDEST to MESSAGE_VERSION.  The
 * upper half of the flags says how many versions above that of the datagram its
 * sender understands, at most 15: so a member that knows more than its peer speaks
 * the peer's version, and both find out as soon as they know more.  Greetings come
 * in the sender's oldest, and no version gives them a body.
 *
 * Called by the transport and by whatever drives a core in tests.  Pure C11:
 * no I/O, no clock, no allocation.
 */
#ifndef PG_LEADER_MESSAGE_H
#define PG_LEADER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The newest version that this program understands, and the oldest. */
#define MESSAGE_VERSION 1
#define MESSAGE_OLDEST	1

#define MESSAGE_MAGIC		UINT32_C(0x50474C44) /* "PGLD" */
#define MESSAGE_HEADER_SIZE 88
#define MESSAGE_TAG_OFFSET	232
#define MESSAGE_TAG_SIZE	32
#define MESSAGE_SIZE		(MESSAGE_TAG_OFFSET + MESSAGE_TAG_SIZE)
#define MESSAGE_SIZE_LIMIT	512

/* Where header fields are, for whoever looks before anything is decoded. */
enum
{
	MESSAGE_AT_VERSION = 4,
	MESSAGE_AT_TYPE = 5,
	MESSAGE_AT_KEY_ID = 6,
	MESSAGE_AT_FLAGS = 7,
	MESSAGE_AT_CLUSTER = 8,
	MESSAGE_AT_FROM = 24
};

/*
 * Message types.  The comment names the body fields that the type uses; all but
 * greeting, confirmation and transfer say what the sender's data is ("told").
 * "asked_term" of an answer is the term of the request that it answers.
 */
typedef enum RaftMessageType
{
	RAFT_GREETING = 1,	   /* first message of the handshake, changes no state */
	RAFT_GREETING_ANSWER,  /* promise, max_timeout, remembered_*, position
								 * (the highest of the receiver's that is remembered) */
	RAFT_GREETING_CONFIRM, /* third message of the handshake */
	RAFT_PRE_VOTE_REQUEST, /* round, asked_term, position */
	RAFT_PRE_VOTE_ANSWER,  /* round, asked_term, granted; a refusal:
								 * promise (what is left), leader_id */
	RAFT_VOTE_REQUEST,	   /* promise, position, replaced_* */
	RAFT_VOTE_ANSWER,	   /* asked_term, granted; a refusal: promise
								 * (what is left), leader_id */
	RAFT_HEARTBEAT,		   /* round, promise, position */
	RAFT_HEARTBEAT_ANSWER, /* round, asked_term, granted, bound,
								 * position; a refusal: leader_id */
	RAFT_TRANSFER,		   /* stand for election at once, in my place */
	RAFT_MESSAGE_TYPES	   /* one more than the last */
} RaftMessageType;

/* V, the votes of n members that elect: a majority. */
static inline uint32_t
raft_majority(uint32_t n)
{
	return n / 2 + 1;
}

/*
 * C, the copies among n members that commit: they and a majority meet.  Of two members one
 * would be enough for that, as both have to vote; but then a commit would be on one disk
 * alone.
 */
static inline uint32_t
raft_copies(uint32_t n)
{
	return n == 2 ? 2 : n - raft_majority(n) + 1;
}

/* How many node ids; bit i is node id i. */
static inline uint32_t
raft_count_nodes(uint64_t nodes)
{
	uint32_t n = 0;

	for (; nodes != 0; nodes &= nodes - 1)
		n++;
	return n;
}

/* How new a member's data is: compared epoch first, then index. */
typedef struct RaftPosition
{
	uint64_t epoch;
	uint64_t index;
} RaftPosition;

static inline bool
raft_is_older(RaftPosition a, RaftPosition b)
{
	return a.epoch != b.epoch ? a.epoch < b.epoch : a.index < b.index;
}

/* Timelines are numbered from 1 to this; 0: none. */
#define RAFT_MAX_TIMELINE UINT32_C(0x7FFFFFFF)

/*
 * Can WAL end there, or is it none at all?  Of managed members; without managed mode
 * positions are the user's own.
 */
static inline bool
raft_position_is_possible(RaftPosition position)
{
	return position.epoch == 0 ? position.index == 0 : position.epoch <= RAFT_MAX_TIMELINE;
}

/* What runs where a member's data is. */
typedef enum RaftServer
{
	RAFT_SERVER_NONE = 0, /* nothing, or nobody has looked yet */
	RAFT_SERVER_RECOVERY,
	RAFT_SERVER_PRIMARY,
	RAFT_SERVERS
} RaftServer;

/*
 * The members that count; see list.c.  Number 0, and all else 0, as long as nothing was claimed:
 * then those of the configured list do.
 */
typedef struct RaftList
{
	uint32_t number; /* odd: on the way from "old" to "now", and both count */
	uint64_t term;	 /* of the leader that wrote it: of one number, the latest counts */
	uint64_t now;	 /* bit i: node id i */
	uint64_t old;	 /* those before; 0: none */
	uint64_t digest; /* of the addresses of all that count; 0: its leader did not know all */
} RaftList;

static inline bool
raft_list_is_joint(const RaftList *list)
{
	return (list->number & 1) != 0;
}

/* All that count by it. */
static inline uint64_t
raft_list_members(const RaftList *list)
{
	return raft_list_is_joint(list) ? list->now | list->old : list->now;
}

/*
 * false: no member can have one like that.  Its term may be above its holder's: a list is taken
 * over from whoever tells it, a term is not.
 */
extern bool raft_list_is_possible(const RaftList *list);

/*
 * What a member says of its data.  All zero where pg_leader only elects
 * (pg_leader.manage = off).
 */
typedef struct RaftTold
{
	bool	   managed;
	bool	   known;	   /* the position is that of all that it holds, be that nothing */
	bool	   gone;	   /* it lost its data: it has to be told a floor before it votes */
	bool	   rebuilding; /* its data is being overwritten */
	bool	   claimed;	   /* the claim is one; else it is the newest timeline that it knows */
	bool	   promoted;   /* leaders: primary on the timeline of the claim */
	bool	   open;	   /* leaders: commits are answered */
	bool	   forgotten;  /* heartbeats: the receiver's flushes no longer count, and the
							* position is the floor that it asked for */
	RaftServer server;
	uint32_t   claim;	  /* highest that it has stored */
	uint16_t   port;	  /* TCP port on which its PostgreSQL listens; 0: not known */
	uint64_t   system_id; /* of its data; 0: it has never held any */
	uint32_t   pause;	  /* that it has stored, see RaftSaved */
	RaftList   list;	  /* that it has stored */
} RaftTold;

typedef struct RaftMessage
{
	RaftMessageType type;
	int32_t			from;		 /* 0 .. RAFT_MAX_NODES - 1 */
	int32_t			to;			 /* 0 .. RAFT_MAX_NODES - 1 */
	bool			abstaining;	 /* the sender abstains: count it in no quorum */
	bool			may_lead;	 /* the sender could lead */
	bool			granted;	 /* answers only: yes */
	bool			bound;		 /* heartbeat answers only: by a promise to somebody else */
	uint8_t			version;	 /* of the layout; to be sent, 0: MESSAGE_VERSION */
	uint8_t			newest;		 /* that the sender understands; to be sent, 0: the same */
	uint64_t		list_digest; /* of the sender's configured list */
	uint64_t		boot;		 /* the sender's, at least 1 */
	uint64_t		incarnation; /* the sender's */
	uint64_t		echo_boot;	 /* the receiver's as known; 0: not known */
	uint64_t		echo_incarnation;
	uint64_t		sequence;	 /* at least 1 */
	uint64_t		save_number; /* of the sender's newest durable record */
	uint64_t		term;		 /* the sender's, at most INT64_MAX */

	uint64_t	 round; /* of pre-votes or of heartbeats */
	uint64_t	 asked_term;
	uint64_t	 promise; /* microseconds, at most RAFT_MAX_PROMISE */
	RaftPosition position;
	uint64_t	 replaced_term; /* with replaced_leader: the leadership that a
								 * transfer ends; 0 with -1: none */
	int32_t		 leader_id;		/* leader known to the refusing member; -1 */
	int32_t		 replaced_leader;
	uint64_t	 max_timeout;	  /* microseconds */
	uint64_t	 remembered_boot; /* the newest start of the receiver that the
									 * sender has seen; 0: none */
	uint64_t	 remembered_incarnation;
	uint64_t	 remembered_save; /* highest of its starts before the present one */
	RaftTold	 told;
} RaftMessage;

/* Why a datagram is not one of ours; MESSAGE_OK is 0. */
typedef enum MessageError
{
	MESSAGE_OK = 0,
	MESSAGE_SHORT,		   /* too short for a header, or not MESSAGE_SIZE */
	MESSAGE_FOREIGN,	   /* another magic number */
	MESSAGE_OTHER_VERSION, /* that this program does not understand */
	MESSAGE_OTHER_CLUSTER,
	MESSAGE_UNKNOWN_TYPE,
	MESSAGE_IMPOSSIBLE /* a value that no member can have sent */
} MessageError;

/* Transport fields that the election does not use. */
typedef struct MessageEnvelope
{
	uint64_t cluster_digest;
	uint8_t	 version; /* filled in by decoding */
	uint8_t	 key_id;  /* 0: not authenticated */
} MessageEnvelope;

/*
 * Lay out one message.  buffer has MESSAGE_SIZE bytes; the tag is left zero for
 * the transport to fill in.
 */
extern void message_encode(const RaftMessage	 *message,
						   const MessageEnvelope *envelope,
						   uint8_t				 *buffer);

/*
 * Does a program that understands the versions "oldest" to "latest" understand a
 * datagram of this type and version, whose sender understands "newest"?  One that is
 * too old does if it is a greeting, for that is all header, and its sender
 * understands our oldest.
 */
extern bool message_is_understood(uint8_t oldest, uint8_t latest, unsigned type,
								  uint8_t version, uint8_t newest);

/* How long a datagram of this version is; 0: this program does not understand it. */
extern size_t message_size(uint8_t version);

/*
 * Read one datagram of "length" bytes.  envelope->cluster_digest says which
 * cluster is ours; version and key_id are filled in.  On MESSAGE_OTHER_VERSION
 * the header fields of *message are valid, after any other error none is.  The
 * tag is not looked at.
 */
extern MessageError message_decode(const uint8_t *buffer, size_t length,
								   MessageEnvelope *envelope,
								   RaftMessage	   *message);

/*
 * Is every value in range? Decoding checks this; the core checks it again for callers
 * that do not decode.
 */
extern bool message_is_possible(const RaftMessage *message);

/* "vote request", for people; "unknown" for a number that is no type. */
extern const char *message_type_name(RaftMessageType type);

/* "other version", for people. */
extern const char *message_error_name(MessageError error);

#endif /* PG_LEADER_MESSAGE_H */
