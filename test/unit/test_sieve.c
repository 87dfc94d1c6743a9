/*
 * test/unit/test_sieve.c
 *	  What the kernel drops of a flood: each reason by itself, on a real socket, and
 *	  what must get through whatever happens.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../node/intake.h"
#include "../../node/sieve.h"
#include "../../raft/message.h"

#define SENT 480

/* Of one in 16, neither none nor so many come by chance: below 1 in 10^13. */
#define BY_CHANCE (SENT / 2)

#define NEWEST 5000

static const SieveFacts facts = {.cluster_digest = 0x1122334455667788, .from = 3, .has_keys = true, .own_boot = UINT64_C(7) << 32 | 9, .own_incarnation = 0xaabbccddeeff0011, .peer_boot = UINT64_C(2) << 32 | 4, .peer_incarnation = 0x0102030405060708, .peer_sequence = NEWEST};

static int				  receiver;
static int				  sender;
static struct sockaddr_in there;
static RaftMessage		  message;
static MessageEnvelope	  envelope;

static void
sift(const SieveFacts *by)
{
	struct sock_filter program[SIEVE_SIZE];
	struct sock_fprog  sieve = {.len = sieve_program(by, program), .filter = program};

	assert_in_range(sieve.len, 1, SIEVE_SIZE);
	assert_int_equal(setsockopt(receiver, SOL_SOCKET, SO_ATTACH_FILTER, &sieve, sizeof(sieve)), 0);
}

/* A heartbeat of the peer, just now. */
static int
set_up(void **state)
{
	socklen_t length = sizeof(there);

	(void) state;
	receiver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	sender = socket(AF_INET, SOCK_DGRAM, 0);
	there = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(receiver, (struct sockaddr *) &there, sizeof(there)), 0);
	assert_int_equal(getsockname(receiver, (struct sockaddr *) &there, &length), 0);
	memset(&message, 0, sizeof(message));
	message.type = RAFT_HEARTBEAT;
	message.from = facts.from;
	message.boot = facts.peer_boot;
	message.incarnation = facts.peer_incarnation;
	message.echo_boot = facts.own_boot;
	message.echo_incarnation = facts.own_incarnation;
	message.sequence = NEWEST + 1;
	envelope = (MessageEnvelope){.cluster_digest = facts.cluster_digest, .key_id = 1};
	sift(&facts);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	close(receiver);
	close(sender);
	return 0;
}

static int
how_many_arrive(const uint8_t *bytes, size_t length)
{
	uint8_t got[MESSAGE_SIZE_LIMIT];
	int		n = 0;

	for (int i = 0; i < SENT; i++)
	{
		assert_int_equal(sendto(sender, bytes, length, 0, (struct sockaddr *) &there, sizeof(there)), length);
		n += recv(receiver, got, sizeof(got), 0) == (ssize_t) length && memcmp(got, bytes, length) == 0;
	}
	return n;
}

static int
arrive(void)
{
	uint8_t bytes[MESSAGE_SIZE];

	message_encode(&message, &envelope, bytes);
	return how_many_arrive(bytes, sizeof(bytes));
}

#define all_arrive() assert_int_equal(arrive(), SENT)
#define few_arrive() assert_in_range(arrive(), 1, BY_CHANCE)

static void
what_the_peer_says_arrives(void **state)
{
	(void) state;
	all_arrive();
	message.type = RAFT_VOTE_REQUEST;
	message.sequence = NEWEST + SIEVE_AHEAD + SIEVE_LIFETIME / 1000 * SIEVE_FASTEST;
	all_arrive();
}

/* No member can have sent so many since it was heard. */
static void
what_is_too_far_ahead_is_dropped(void **state)
{
	uint64_t   far = NEWEST + SIEVE_AHEAD + SIEVE_LIFETIME / 1000 * SIEVE_FASTEST;
	SieveFacts silent = facts;

	(void) state;
	message.sequence = far + 1;
	few_arrive();
	message.sequence = UINT64_C(1) << 32;
	few_arrive();
	message.sequence = UINT64_MAX;
	few_arrive();

	/* the longer it was silent, the further it may have come */
	silent.peer_silent = 60000000;
	sift(&silent);
	message.sequence = far + 60000 * SIEVE_FASTEST;
	all_arrive();
	message.sequence++;
	few_arrive();

	/* across a word of the program, and at the end of all numbers */
	silent.peer_sequence = (UINT64_C(7) << 32) - 1;
	sift(&silent);
	message.sequence = (UINT64_C(7) << 32) + 60000 * SIEVE_FASTEST;
	all_arrive();
	message.sequence = UINT64_C(8) << 32;
	few_arrive();
	silent.peer_sequence = UINT64_MAX - 5;
	sift(&silent);
	message.sequence = UINT64_MAX;
	all_arrive();
}

/* However it is done, it is not a datagram of this peer to this cluster. */
static void
what_is_not_the_peers_is_dropped(void **state)
{
	uint8_t bytes[MESSAGE_SIZE_LIMIT];

	(void) state;
	memset(bytes, 'x', sizeof(bytes));
	assert_in_range(how_many_arrive(bytes, MESSAGE_SIZE), 1, BY_CHANCE);
	assert_in_range(how_many_arrive(bytes, 1), 1, BY_CHANCE);
	assert_in_range(how_many_arrive(bytes, MESSAGE_HEADER_SIZE - 1), 1, BY_CHANCE);

	message_encode(&message, &envelope, bytes);
	bytes[0] ^= 1;
	assert_in_range(how_many_arrive(bytes, MESSAGE_SIZE), 1, BY_CHANCE);

	envelope.cluster_digest ^= 1;
	few_arrive();
	envelope.cluster_digest ^= 1 | UINT64_C(1) << 63;
	few_arrive();
	envelope.cluster_digest = facts.cluster_digest;
	message.from = 2;
	few_arrive();
}

static void
unsigned_is_dropped_with_keys(void **state)
{
	SieveFacts without = facts;

	(void) state;
	envelope.key_id = 0;
	few_arrive();
	without.has_keys = false;
	sift(&without);
	all_arrive();
}

static void
what_another_start_of_ours_was_told_is_dropped(void **state)
{
	(void) state;
	message.echo_boot--;
	few_arrive();
	message.echo_boot = facts.own_boot - (UINT64_C(1) << 32);
	few_arrive();
	message.echo_boot = facts.own_boot;
	message.echo_incarnation ^= 1;
	few_arrive();
	message.echo_incarnation ^= 1 | UINT64_C(1) << 40;
	few_arrive();
}

static void
an_earlier_start_of_the_peer_is_dropped(void **state)
{
	(void) state;
	message.boot = facts.peer_boot - 1;
	few_arrive();
	message.boot = facts.peer_boot - (UINT64_C(1) << 32);
	few_arrive();
	message.boot = UINT64_C(1) << 32 | 0xffffffff;
	few_arrive();
}

/* Its numbers begin anew, and the sieve does not know them. */
static void
a_newer_start_of_the_peer_arrives(void **state)
{
	(void) state;
	message.sequence = 1;
	message.boot = facts.peer_boot + 1;
	all_arrive();
	message.boot = UINT64_C(3) << 32;
	all_arrive();
}

static void
a_twin_arrives(void **state)
{
	(void) state;
	message.sequence = 1;
	message.incarnation ^= 1;
	all_arrive();
}

/* The peer may not know our start yet; it asks again until it is answered. */
static void
of_greetings_a_quarter_arrives(void **state)
{
	(void) state;
	message.type = RAFT_GREETING;
	message.echo_boot = message.echo_incarnation = 0;
	message.sequence = 1;
	assert_in_range(arrive(), SENT / 8, SENT / 2);
}

static void
what_has_come_before_is_dropped(void **state)
{
	SieveFacts many = facts;

	(void) state;
	message.sequence = NEWEST - RAFT_WINDOW;
	few_arrive();
	message.sequence = 1;
	few_arrive();
	message.sequence = NEWEST - RAFT_WINDOW + 1; /* may be overtaken */
	all_arrive();

	many.peer_sequence = (UINT64_C(5) << 32) + RAFT_WINDOW;
	sift(&many);
	message.sequence = UINT64_C(4) << 32 | 0xfffffff0;
	few_arrive();
	message.sequence = (UINT64_C(5) << 32);
	few_arrive();
	message.sequence++;
	all_arrive();
}

static void
a_peer_that_is_not_known_yet_arrives(void **state)
{
	SieveFacts unknown = facts;

	(void) state;
	unknown.peer_boot = unknown.peer_incarnation = unknown.peer_sequence = 0;
	sift(&unknown);
	message.sequence = 1;
	all_arrive();
}

/* Header fields keep their places in all versions, and so the sieve holds for all. */
static void
another_version_is_sifted_as_well(void **state)
{
	uint8_t bytes[MESSAGE_SIZE_LIMIT] = {0};

	(void) state;
	message_encode(&message, &envelope, bytes);
	bytes[MESSAGE_AT_VERSION] = MESSAGE_VERSION + 1;
	assert_int_equal(how_many_arrive(bytes, MESSAGE_SIZE + 8), SENT);
	bytes[MESSAGE_AT_ECHO_BOOT + 7] ^= 1;
	assert_in_range(how_many_arrive(bytes, MESSAGE_SIZE + 8), 1, BY_CHANCE);
}

/* Where message.h says that fields are, they are. */
static void
the_places_are_right(void **state)
{
	uint8_t bytes[MESSAGE_SIZE];

	(void) state;
	message.echo_boot = 0;
	message.sequence = 0x0102030405060708;
	message_encode(&message, &envelope, bytes);
	assert_int_equal(bytes[MESSAGE_AT_VERSION], MESSAGE_VERSION);
	assert_int_equal(bytes[MESSAGE_AT_TYPE], RAFT_HEARTBEAT);
	assert_int_equal(bytes[MESSAGE_AT_KEY_ID], 1);
	assert_int_equal(bytes[MESSAGE_AT_CLUSTER], 0x11);
	assert_int_equal(bytes[MESSAGE_AT_FROM + 3], 3);
	assert_int_equal(bytes[MESSAGE_AT_BOOT + 7], 4);
	assert_int_equal(bytes[MESSAGE_AT_INCARNATION], 1);
	assert_int_equal(bytes[MESSAGE_AT_ECHO_BOOT + 7], 0);
	assert_int_equal(bytes[MESSAGE_AT_ECHO_INCARNATION], 0xaa);
	assert_int_equal(bytes[MESSAGE_AT_SEQUENCE + 7], 8);
}

#define sieve_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		sieve_test(what_the_peer_says_arrives),
		sieve_test(what_is_too_far_ahead_is_dropped),
		sieve_test(what_is_not_the_peers_is_dropped),
		sieve_test(unsigned_is_dropped_with_keys),
		sieve_test(what_another_start_of_ours_was_told_is_dropped),
		sieve_test(an_earlier_start_of_the_peer_is_dropped),
		sieve_test(a_newer_start_of_the_peer_arrives),
		sieve_test(a_twin_arrives),
		sieve_test(of_greetings_a_quarter_arrives),
		sieve_test(what_has_come_before_is_dropped),
		sieve_test(a_peer_that_is_not_known_yet_arrives),
		sieve_test(another_version_is_sifted_as_well),
		sieve_test(the_places_are_right),
	};

	return cmocka_run_group_tests_name("sieve", tests, NULL, NULL);
}
