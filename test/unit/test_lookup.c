/*
 * test/unit/test_lookup.c
 *	  Names as this machine's own resolver finds them, and addresses as such.
 *
 * What a name server may say is in test_addresses.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "../../node/addresses.h"

static struct sockaddr_storage
address(const char *host, uint16_t port, uint32_t scope)
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_in	   *in = (struct sockaddr_in *) &storage;
	struct sockaddr_in6	   *in6 = (struct sockaddr_in6 *) &storage;

	if (inet_pton(AF_INET, host, &in->sin_addr) == 1)
	{
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return storage;
	}
	memset(&storage, 0, sizeof(storage));
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	in6->sin6_scope_id = scope;
	assert_int_equal(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
	return storage;
}

static void
equal_compares_what_counts(void **state)
{
	struct sockaddr_storage a = address("fe80::1", 1, 2);
	struct sockaddr_storage b = address("fe80::1", 1, 3);
	struct sockaddr_storage c = address("2001:db8::1", 1, 0);
	struct sockaddr_storage d = address("2001:db8::1", 1, 3);
	struct sockaddr_storage e = address("2001:db8::1", 2, 0);
	struct sockaddr_storage f = {0};

	(void) state;
	assert_true(address_equal(&a, &a));
	assert_false(address_equal(&a, &b));
	assert_true(address_equal(&c, &d));
	assert_false(address_equal(&c, &e));
	assert_false(address_equal(&c, &f));
	assert_false(address_equal(&f, &f));
	((struct sockaddr_in6 *) &d)->sin6_flowinfo = 7;
	assert_true(address_equal(&c, &d));
}

static void
addresses_are_shown_with_their_ports(void **state)
{
	struct sockaddr_storage four = address("10.0.0.1", 3500, 0);
	struct sockaddr_storage six = address("2001:db8:1111:2222:3333:4444:5555:6666", 65535, 0);
	char					text[CLUSTER_SOURCE_SIZE];

	(void) state;
	address_format(&four, text, sizeof(text));
	assert_string_equal(text, "10.0.0.1:3500");
	address_format(&six, text, sizeof(text));
	assert_string_equal(text, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
}

/* 203.0.113.0/24 is for documentation: nobody has it.  The port does not matter. */
static void
a_machine_knows_its_own_addresses(void **state)
{
	struct sockaddr_storage loopback = address("127.0.0.1", 1, 0);
	struct sockaddr_storage any = address("0.0.0.0", 1, 0);
	struct sockaddr_storage other = address("203.0.113.1", 1, 0);
	struct sockaddr_storage other6 = address("2001:db8::1", 1, 0);

	(void) state;
	assert_true(address_is_ours(&loopback));
	assert_true(address_is_ours(&any));
	assert_false(address_is_ours(&other));
	if (address_is_ours(&other6))
		print_message("# no IPv6 here\n");
}

static LookupResult
look_up(const char *host, LookupFound *found, char *failure)
{
	Lookup		*lookup = lookup_start(host, 3500, AF_INET);
	LookupResult result = LOOKUP_PENDING;

	assert_non_null(lookup);
	for (int i = 0; i < 600 && result == LOOKUP_PENDING; i++)
	{
		lookup_wait(lookup, 100);
		result = lookup_poll(lookup, found, failure);
	}
	lookup_end(lookup);
	return result;
}

static void
the_resolver_is_asked(void **state)
{
	struct sockaddr_storage loopback = address("127.0.0.1", 3500, 0);
	LookupFound				found;
	char					failure[LOOKUP_FAILURE_SIZE] = "";

	(void) state;
	assert_int_equal(look_up("localhost", &found, failure), LOOKUP_FOUND);
	assert_true(lookup_has(&found, &loopback));
	assert_string_equal(failure, "");
	assert_int_equal(look_up("no-such-host.invalid", &found, failure), LOOKUP_FAILED);
	assert_true(failure[0] != '\0');
}

/* Ended while under way: nothing is written to what was freed (ASan). */
static void
lookups_can_be_abandoned(void **state)
{
	(void) state;
	lookup_end(NULL);
	for (int i = 0; i < 20; i++)
	{
		lookup_end(lookup_start("no-such-host.invalid", 1, AF_INET6));
		lookup_end(lookup_start("localhost", 2, AF_INET6));
	}
	usleep(100000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_compares_what_counts),
		cmocka_unit_test(addresses_are_shown_with_their_ports),
		cmocka_unit_test(a_machine_knows_its_own_addresses),
		cmocka_unit_test(the_resolver_is_asked),
		cmocka_unit_test(lookups_can_be_abandoned),
	};

	return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
