/*
 * test/unit/test_addresses.c
 *	  Where the members are, whatever the name service says: late, nothing, something
 *	  wrong, something else, or several addresses for a name.
 *
 * The name service is that of resolver.h; time is made up.
 */
#define _GNU_SOURCE /* getaddrinfo_a() */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../node/addresses.h"
#include "resolver.h"

#define SECOND UINT64_C(1000000)

static Addresses addresses;
static Cluster	 cluster;
static uint64_t	 now;
static uint64_t	 heard_at[RAFT_MAX_NODES];
static Words	 words;

static int
set_up(void **state)
{
	(void) state;
	now = 1000 * SECOND;
	memset(heard_at, 0, sizeof(heard_at));
	resolver_forgets();
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	addresses_close(&addresses);
	assert_true(addresses_deadline(&addresses) == UINT64_MAX);
	return 0;
}

static void
begin(const char *list)
{
	if (!cluster_parse(list, &cluster, &words) ||
		!addresses_init(&addresses, &cluster, AF_INET, &words))
		fail_msg("%s", words.error);
}

static struct sockaddr_storage
address(const char *host)
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_in	   *in = (struct sockaddr_in *) &storage;

	in->sin_family = AF_INET;
	in->sin_port = htons(3500);
	assert_int_equal(inet_pton(AF_INET, host, &in->sin_addr), 1);
	return storage;
}

/* Where member "id" is sent to: "10.0.0.1:3500", or empty. */
static const char *
place(int32_t id)
{
	static char text[CLUSTER_SOURCE_SIZE];

	text[0] = '\0';
	if (addresses.of[id].known)
		address_format(&addresses.of[id].address, text, sizeof(text));
	return text;
}

static bool
is_of(int32_t id, const char *host)
{
	struct sockaddr_storage source = address(host);

	return addresses_are_of(&addresses, &cluster, id, &source);
}

/* Let so much time pass; each poll takes place when it was asked for.  How many did? */
static int
pass(uint64_t us)
{
	uint64_t until = now + us;
	int		 polls = 0;

	while (addresses_deadline(&addresses) <= until)
	{
		if (addresses_deadline(&addresses) > now)
			now = addresses_deadline(&addresses);
		(void) addresses_poll(&addresses, &cluster, heard_at, now);
		if (++polls > 10000)
			fail_msg("it never rests");
	}
	now = until;
	return polls;
}

static void
literals_are_known_at_once(void **state)
{
	(void) state;
	begin("127.0.0.1:3500, 3.4.5.6:7");
	assert_string_equal(place(0), "127.0.0.1:3500");
	assert_string_equal(place(1), "3.4.5.6:7");
	assert_false(addresses.of[2].known);
	assert_true(addresses_deadline(&addresses) == UINT64_MAX);
	assert_false(addresses_init(&addresses, &cluster, AF_INET6, &words));
	assert_non_null(strstr(words.error, "node 0 is at 127.0.0.1:3500"));
	assert_true(cluster_parse("127.0.0.1:3500, [::1]:7", &cluster, &words));
	assert_false(addresses_init(&addresses, &cluster, AF_INET, &words));
	assert_non_null(strstr(words.error, "node 1 is at [::1]:7, but this member's own address is IPv4"));
	assert_true(cluster_parse("[fe80::1%lo]:1, [fe80::1%1]:1", &cluster, &words));
	if (!addresses_init(&addresses, &cluster, AF_INET6, &words))
		assert_non_null(strstr(words.error, "nodes 0 and 1 have the same address"));
	assert_true(cluster_parse("[fe80::1%nosuchif]:1", &cluster, &words));
	assert_false(addresses_init(&addresses, &cluster, AF_INET6, &words));
	assert_non_null(strstr(words.error, "no network interface \"nosuchif\""));
	memset(&addresses, 0, sizeof(addresses));
	addresses_close(&addresses);
}

static void
a_silent_member_is_looked_up_again_and_again(void **state)
{
	(void) state;
	resolver_says("a", "10.0.0.1");
	begin("a:3500, 10.0.0.9:3500");
	(void) pass(0);
	assert_string_equal(place(0), "10.0.0.1:3500");
	assert_int_equal(resolver_asked("a"), 1);
	(void) pass(30 * SECOND);
	assert_int_equal(resolver_asked("a"), 4);

	/* one that is heard is left alone */
	heard_at[0] = now;
	(void) pass(10 * SECOND);
	assert_int_equal(resolver_asked("a"), 4);
	resolver_says("a", "10.0.0.2");
	(void) pass(SECOND);
	assert_int_equal(resolver_asked("a"), 5);
	assert_string_equal(place(0), "10.0.0.2:3500");
}

/* Slow: nothing is known, and nothing wrong, until the answer comes. */
static void
a_late_answer_is_taken(void **state)
{
	(void) state;
	resolver_says("a", NO_ANSWER);
	begin("a:3500");
	assert_true(pass(60 * SECOND) > 1000);
	assert_int_equal(resolver_asked("a"), 1);
	assert_string_equal(place(0), "");
	assert_string_equal(addresses.of[0].failure, "");
	resolver_says("a", "10.0.0.1");
	(void) pass(SECOND / 10);
	assert_string_equal(place(0), "10.0.0.1:3500");
}

static void
a_failing_name_is_tried_each_second_and_says_why(void **state)
{
	(void) state;
	resolver_says("a", "");
	begin("a:3500");
	(void) pass(10 * SECOND);
	assert_int_equal(resolver_asked("a"), 11);
	assert_string_equal(place(0), "");
	assert_string_equal(addresses.of[0].failure, "its name cannot be resolved: Name or service not known");
	resolver_says("a", "0.0.0.0 0.0.0.0");
	(void) pass(SECOND);
	assert_string_equal(place(0), "");
	assert_string_equal(addresses.of[0].failure, "its name cannot be resolved: the name has no usable address");
	resolver_says("a", "10.0.0.1");
	(void) pass(SECOND);
	assert_string_equal(place(0), "10.0.0.1:3500");
	assert_string_equal(addresses.of[0].failure, "");

	/* a failing look-up takes no address away */
	resolver_says("a", SERVER_FAILS);
	(void) pass(10 * SECOND);
	assert_string_equal(place(0), "10.0.0.1:3500");
	assert_true(addresses.of[0].failure[0] != '\0');
}

/* In whatever order they come: all members send to the lowest, and hear all. */
static void
a_name_may_have_several_addresses(void **state)
{
	struct sockaddr_storage second = address("10.0.0.10");

	(void) state;
	resolver_says("a", "10.0.0.10 10.0.0.9 ::1 10.0.0.10 10.0.0.11");
	begin("a:3500, 10.0.0.11:3500");
	addresses.family = AF_UNSPEC;
	(void) pass(0);
	assert_int_equal(addresses.of[0].found.n, 3);
	assert_string_equal(place(0), "10.0.0.9:3500");
	assert_true(is_of(0, "10.0.0.9"));
	assert_true(is_of(0, "10.0.0.10"));
	assert_false(is_of(0, "10.0.0.12"));

	/* that of another member is not its */
	assert_false(is_of(0, "10.0.0.11"));
	assert_true(is_of(1, "10.0.0.11"));

	/* where it was heard it is sent to, and stays */
	assert_true(addresses_heard(&addresses, 0, &second));
	assert_false(addresses_heard(&addresses, 0, &second));
	assert_string_equal(place(0), "10.0.0.10:3500");
	heard_at[0] = now;
	addresses.of[0].wanted = true;
	addresses.of[0].look_up_at = now;
	(void) pass(0);
	assert_string_equal(place(0), "10.0.0.10:3500");

	/* a silent one is tried at each of them in turn, but not at another's */
	heard_at[0] = 0;
	(void) pass(10 * SECOND);
	assert_string_equal(place(0), "10.0.0.9:3500");
	(void) pass(10 * SECOND);
	assert_string_equal(place(0), "10.0.0.10:3500");
}

static void
more_addresses_than_there_is_room_for_are_the_lowest(void **state)
{
	(void) state;
	resolver_says("a", "10.0.0.9 10.0.0.8 10.0.0.7 10.0.0.6 10.0.0.5 10.0.0.4 10.0.0.3 10.0.0.2 10.0.0.1 10.0.0.10");
	begin("a:3500");
	(void) pass(0);
	assert_int_equal(addresses.of[0].found.n, LOOKUP_ADDRESSES);
	assert_string_equal(place(0), "10.0.0.1:3500");
	assert_true(is_of(0, "10.0.0.8"));
	assert_false(is_of(0, "10.0.0.9"));
}

/* Either could speak for the other.  It is said, not fought over. */
static void
two_names_for_one_address_are_told(void **state)
{
	(void) state;
	resolver_says("a", "10.0.0.1");
	resolver_says("b", "10.0.0.1");
	begin("a:3500, b:3500, c:3500, 10.0.0.3:3500");
	resolver_says("c", "10.0.0.3");
	(void) pass(10 * SECOND);
	assert_string_equal(place(0), "10.0.0.1:3500");
	assert_string_equal(place(1), "");
	assert_string_equal(addresses.of[0].failure, "");
	assert_string_equal(addresses.of[1].failure, "its name leads to the address of node 0");
	assert_string_equal(addresses.of[2].failure, "its name leads to the address of node 3");
	assert_in_range(resolver_asked("a"), 1, 12);
	assert_in_range(resolver_asked("b"), 1, 12);
	assert_false(is_of(1, "10.0.0.1"));

	resolver_says("b", "10.0.0.2");
	(void) pass(SECOND);
	assert_string_equal(place(1), "10.0.0.2:3500");
	assert_string_equal(addresses.of[1].failure, "");
}

static void
addresses_may_be_swapped(void **state)
{
	(void) state;
	resolver_says("a", "10.0.0.1");
	resolver_says("b", "10.0.0.2");
	begin("a:3500, b:3500");
	(void) pass(0);
	heard_at[0] = heard_at[1] = now;
	resolver_says("a", "10.0.0.2");
	resolver_says("b", "10.0.0.1");
	(void) pass(13 * SECOND);
	assert_string_equal(place(0), "10.0.0.2:3500");
	assert_string_equal(place(1), "10.0.0.1:3500");
	assert_string_equal(addresses.of[0].failure, "");
	assert_string_equal(addresses.of[1].failure, "");
}

/* A machine is gone, with its name, and another has its address now. */
static void
a_name_that_is_gone_gives_its_address_up(void **state)
{
	(void) state;
	resolver_says("a", "10.0.0.1");
	begin("a:3500, b:3500");
	(void) pass(0);
	heard_at[0] = now;
	resolver_says("a", "");
	resolver_says("b", "10.0.0.1");
	addresses.of[0].wanted = true;
	addresses.of[0].look_up_at = now;
	(void) pass(5 * SECOND);
	assert_string_equal(place(0), "10.0.0.1:3500");
	(void) pass(10 * SECOND);
	assert_string_equal(place(0), "");
	assert_string_equal(place(1), "10.0.0.1:3500");
}

/*
 * Somebody elsewhere speaks in a member's name.  Perhaps it has moved: its name is
 * looked up before that is said to be wrong, and not more than once a second.
 */
static void
a_name_is_asked_before_a_source_is_wrong(void **state)
{
	(void) state;
	resolver_says("a", NO_ANSWER);
	begin("a:3500, 10.0.0.9:3500");
	(void) pass(SECOND);
	assert_false(addresses_are_sure(&addresses, 0, now));
	assert_true(addresses_are_sure(&addresses, 1, now));
	resolver_says("a", "10.0.0.1");
	(void) pass(SECOND);
	(void) pass(5 * SECOND);
	assert_int_equal(resolver_asked("a"), 1);

	/* it was heard just now, and has moved */
	heard_at[0] = now;
	resolver_says("a", "10.0.0.2");
	assert_false(addresses_are_sure(&addresses, 0, now));
	assert_true(addresses_deadline(&addresses) <= now);
	(void) pass(0);
	assert_string_equal(place(0), "10.0.0.2:3500");
	assert_true(is_of(0, "10.0.0.2"));
	assert_false(is_of(0, "10.0.0.1"));
	assert_int_equal(resolver_asked("a"), 2);

	/* somebody else: he is told from it, and makes it ask but once a second */
	for (int i = 0; i < 100; i++)
	{
		assert_int_equal(addresses_are_sure(&addresses, 0, now), i % 10 != 0 || i == 0);
		(void) pass(SECOND / 10);
	}
	assert_int_equal(resolver_asked("a"), 11);

	/* while nobody knows, he may be it */
	resolver_says("a", SERVER_FAILS);
	(void) pass(SECOND);
	for (int i = 0; i < 100; i++)
	{
		assert_false(addresses_are_sure(&addresses, 0, now));
		(void) pass(SECOND / 10);
	}
	assert_in_range(resolver_asked("a"), 20, 22);
}

/* ---- this member's own name ---- */

/* It listens where its name "a" leads to. */
static const char *
listen_by_name(const char *answer)
{
	struct sockaddr_storage chosen;
	LookupFound				found;
	char					failure[LOOKUP_FAILURE_SIZE];
	Lookup				   *lookup = lookup_start("a", 3500, AF_INET);

	resolver_says("a", answer);
	assert_int_equal(lookup_poll(lookup, &found, failure), LOOKUP_FOUND);
	lookup_end(lookup);
	addresses_choose_own(&found, &chosen);
	begin("a:3500, 10.0.0.9:3500");
	addresses_set_own(&addresses, 0, &chosen, true, now);
	return place(0);
}

static void
it_listens_where_its_name_leads(void **state)
{
	(void) state;
	assert_string_equal(listen_by_name("127.0.0.1"), "127.0.0.1:3500");

	/* at the one of them that it has, at all if it has several */
	assert_string_equal(listen_by_name("10.255.255.254 127.0.0.1"), "127.0.0.1:3500");
	assert_string_equal(listen_by_name("127.0.0.1 127.0.0.2"), "0.0.0.0:3500");

	/* so there is nothing to look at later */
	assert_true(addresses_deadline(&addresses) == UINT64_MAX);

	/* it has none */
	assert_string_equal(listen_by_name("203.0.113.2 203.0.113.1"), "203.0.113.1:3500");
}

static void
it_notices_that_its_name_leads_elsewhere(void **state)
{
	(void) state;
	(void) listen_by_name("127.0.0.1");
	(void) pass(35 * SECOND);
	assert_int_equal(resolver_asked("a"), 4);
	assert_false(addresses_have_moved(&addresses));

	/* once may be a mistake */
	resolver_says("a", "127.0.0.2");
	(void) pass(5 * SECOND);
	assert_false(addresses_have_moved(&addresses));
	assert_string_equal(place(0), "127.0.0.1:3500");
	resolver_says("a", "127.0.0.1");
	(void) pass(SECOND);
	resolver_says("a", "127.0.0.2");
	(void) pass(10 * SECOND);
	assert_false(addresses_have_moved(&addresses));
	(void) pass(SECOND);
	assert_true(addresses_have_moved(&addresses));
}

static void
it_moves_to_no_address_of_another_machine(void **state)
{
	(void) state;
	(void) listen_by_name("127.0.0.1");
	resolver_says("a", "203.0.113.1");
	(void) pass(60 * SECOND);
	assert_false(addresses_have_moved(&addresses));
	assert_string_equal(place(0), "127.0.0.1:3500");
	assert_string_equal(addresses.of[0].failure,
						"its name leads to 203.0.113.1:3500, which is not an address of this machine");
	resolver_says("a", "");
	(void) pass(10 * SECOND);
	assert_string_equal(addresses.of[0].failure, "its name cannot be resolved: Name or service not known");
	assert_string_equal(place(0), "127.0.0.1:3500");
	resolver_says("a", "127.0.0.1");
	(void) pass(10 * SECOND);
	assert_non_null(strstr(addresses.of[0].failure, "which other machines cannot reach"));
}

/* Debian's installer writes 127.0.1.1 for the machine's own name. */
static void
it_says_that_nobody_reaches_it_on_loopback(void **state)
{
	(void) state;
	(void) listen_by_name("127.0.1.1");
	(void) pass(10 * SECOND);
	assert_string_equal(addresses.of[0].failure,
						"its name leads to 127.0.1.1:3500, which other machines cannot reach");
	assert_false(addresses_have_moved(&addresses));
	assert_true(cluster_parse("a:3500, 127.0.0.9:3500", &cluster, &words));
	addresses.of[1].address = address("127.0.0.9");
	(void) pass(10 * SECOND);
	assert_string_equal(addresses.of[0].failure, "");
}

/* No name of another member takes it away, whatever becomes of its own. */
static void
nobody_takes_its_own_address(void **state)
{
	struct sockaddr_storage own = address("127.0.0.1");

	(void) state;
	resolver_says("a", "");
	resolver_says("b", "127.0.0.1");
	begin("a:3500, b:3500");
	addresses_set_own(&addresses, 0, &own, true, now);
	(void) pass(60 * SECOND);
	assert_string_equal(place(0), "127.0.0.1:3500");
	assert_string_equal(place(1), "");
	assert_string_equal(addresses.of[1].failure, "its name leads to the address of node 0");
}

int
main(void)
{
#define addresses_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		addresses_test(literals_are_known_at_once),
		addresses_test(a_silent_member_is_looked_up_again_and_again),
		addresses_test(a_late_answer_is_taken),
		addresses_test(a_failing_name_is_tried_each_second_and_says_why),
		addresses_test(a_name_may_have_several_addresses),
		addresses_test(more_addresses_than_there_is_room_for_are_the_lowest),
		addresses_test(two_names_for_one_address_are_told),
		addresses_test(addresses_may_be_swapped),
		addresses_test(a_name_that_is_gone_gives_its_address_up),
		addresses_test(a_name_is_asked_before_a_source_is_wrong),
		addresses_test(it_listens_where_its_name_leads),
		addresses_test(it_notices_that_its_name_leads_elsewhere),
		addresses_test(it_moves_to_no_address_of_another_machine),
		addresses_test(it_says_that_nobody_reaches_it_on_loopback),
		addresses_test(nobody_takes_its_own_address),
	};

	return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
