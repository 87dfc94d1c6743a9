/*
 * test/unit/test_listen.c
 *	  pg_leader.http_listen: what is an address, and what is refused with a hint.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <string.h>

#include <cmocka.h>

#include "listen.h"

static void
addresses_are_read(void **state)
{
	ListenAt				   at[LISTEN_MOST];
	Words					   words;
	const struct sockaddr_in  *v4 = (const struct sockaddr_in *) &at[0].address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &at[1].address;

	(void) state;
	assert_int_equal(listen_parse("", at, &words), 0);
	assert_int_equal(listen_parse("  ", at, &words), 0);
	assert_int_equal(listen_parse(" 127.0.0.1:8008 ,\t[::1]:65535", at, &words), 2);
	assert_int_equal(v4->sin_family, AF_INET);
	assert_int_equal(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(ntohs(v4->sin_port), 8008);
	assert_int_equal(at[0].length, sizeof(*v4));
	assert_int_equal(v6->sin6_family, AF_INET6);
	assert_true(IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
	assert_int_equal(ntohs(v6->sin6_port), 65535);
	assert_string_equal(at[0].text, "127.0.0.1:8008");
	assert_string_equal(at[1].text, "[::1]:65535");
	assert_int_equal(listen_parse("0.0.0.0:1,0.0.0.0:2,0.0.0.0:3,0.0.0.0:4,[::]:1,[::]:2,[::]:3,[::]:4", at, &words), LISTEN_MOST);
}

static void
all_else_is_refused_with_a_hint(void **state)
{
	static const char *const bad[] = {
		"8008", ":8008", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:99999999999999999999",
		"127.0.0.1:80x", "127.0.0.1: 80", "127.0.0:80", "localhost:80", "*:80", "::1:80", "[::1]", "[::1:80", "[127.0.0.1]:80", "[]:80",
		"127.0.0.1:80,", ",127.0.0.1:80", "127.0.0.1:80,,127.0.0.1:81", "127.0.0.1:80 127.0.0.1:81",
		"0.0.0.0:1,0.0.0.0:2,0.0.0.0:3,0.0.0.0:4,[::]:1,[::]:2,[::]:3,[::]:4,[::]:5",
		"1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111.0.0.1:80"};

	ListenAt at[LISTEN_MOST];

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		Words words;

		words_clear(&words);
		assert_int_equal(listen_parse(bad[i], at, &words), -1);
		assert_true(words.error[0] != '\0' && strlen(words.error) < 200 && words.hint[0] != '\0');
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(all_else_is_refused_with_a_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
