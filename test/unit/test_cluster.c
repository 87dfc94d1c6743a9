/*
 * test/unit/test_cluster.c
 *	  The member list: what is read, what is refused and in which words, digests
 *	  that must never change.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../node/cluster.h"
#include "random.h"

static Words words;

/* The list as the digest sees it, so that one string compares everything. */
static const char *
normalised(const Cluster *cluster)
{
	static char text[RAFT_MAX_NODES * (CLUSTER_ADDRESS_SIZE + 8)];
	char		address[CLUSTER_ADDRESS_SIZE];
	size_t		used = 0;

	text[0] = '\0';
	for (int i = 0; i < cluster->n_members; i++)
		used += (size_t) snprintf(text + used, sizeof(text) - used, "%s%d=%s",
								  i > 0 ? ", " : "", (int) cluster->members[i].node_id,
								  cluster_format_address(&cluster->members[i], address));
	return text;
}

static void
parse(const char *text, Cluster *cluster)
{
	if (!cluster_parse(text, cluster, &words))
		fail_msg("\"%s\" was refused: %s", text, words.error);
	assert_string_equal(words.error, "");
	assert_string_equal(words.hint, "");
}

static void
good_lists_are_read(void **state)
{
	static const char *const table[][2] = {
		{"10.0.0.10:3500", "0=10.0.0.10:3500"},
		{"10.0.0.10:3500,10.0.0.11:3500", "0=10.0.0.10:3500, 1=10.0.0.11:3500"},
		{" \t10.0.0.10:3500 ,\n10.0.0.11:3501\r\n", "0=10.0.0.10:3500, 1=10.0.0.11:3501"},
		{"0=10.0.0.10:3500, 2=10.0.0.12:3500", "0=10.0.0.10:3500, 2=10.0.0.12:3500"},
		{"63 = h:1,0= g:65535", "0=g:65535, 63=h:1"},
		{"[2001:DB8:0:0::1]:3500", "0=[2001:db8::1]:3500"},
		{"[::1]:1,[0:0::0:2]:1", "0=[::1]:1, 1=[::2]:1"},
		{"[fe80::1%eth0]:3500,[fe80::1%eth1]:3500", "0=[fe80::1%eth0]:3500, 1=[fe80::1%eth1]:3500"},
		{"DB-1.Example.COM.:3500", "0=db-1.example.com:3500"},
		{"a_b:03500", "0=a_b:3500"},
		{"10a:1, 1.2.3.4.example:1", "0=10a:1, 1=1.2.3.4.example:1"},
		{"127.0.0.1:1,127.0.0.1:2", "0=127.0.0.1:1, 1=127.0.0.1:2"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		Cluster cluster;

		parse(table[i][0], &cluster);
		assert_string_equal(normalised(&cluster), table[i][1]);
	}
}

static void
bad_lists_are_refused(void **state)
{
	/* list, part of the error, part of the hint */
	static const char *const table[][3] = {
		{"", "the member list is empty", "host:port"},
		{" \n", "the member list is empty", "host:port"},
		{",", "entry 1 (\"\"): the entry is empty", "extra comma"},
		{"a:1,,b:1", "entry 2 (\"\"): the entry is empty", "extra comma"},
		{"a:1,", "entry 2 (\"\"): the entry is empty", "extra comma"},
		{"a:1, 10.0.0.11", "entry 2 (\"10.0.0.11\"): the port is missing", "1 to 65535"},
		{"a:", "the port is missing", "1 to 65535"},
		{"a:0", "entry 1 (\"a:0\"): \"0\" is not a port", "1 to 65535"},
		{"a:65536", "\"65536\" is not a port", "1 to 65535"},
		{"a:99999999999999999999", "is not a port", "1 to 65535"},
		{"a:-1", "\"-1\" is not a port", "1 to 65535"},
		{"a:+1", "\"+1\" is not a port", "1 to 65535"},
		{"a:5432x", "\"5432x\" is not a port", "1 to 65535"},
		{"a: 1 2", "\"1 2\" is not a port", "1 to 65535"},
		{":3500", "the host is missing", "host:port"},
		{"1=", "the port is missing", ""},
		{"10.0.0:1", "\"10.0.0\" is not an IPv4 address", "four numbers"},
		{"256.1.1.1:1", "\"256.1.1.1\" is not an IPv4 address", "four numbers"},
		{"10.0.0.1.:1", "is not an IPv4 address", "four numbers"},
		{"010.0.0.1:1", "is not an IPv4 address", "four numbers"},
		{"1:1", "\"1\" is not an IPv4 address", "four numbers"},
		{"0x7f.1:1", "is not an IPv4 address", "four numbers"},
		{"0x7f000001:1", "is not an IPv4 address", "four numbers"},
		{"0.0.0.0:1", "is not the address of one member", "reach"},
		{"224.0.0.1:1", "is not the address of one member", "reach"},
		{"255.255.255.255:1", "is not the address of one member", "reach"},
		{"[::]:1", "is not the address of one member", "reach"},
		{"[ff02::1]:1", "is not the address of one member", "reach"},
		{"::1:3500", "an IPv6 address needs brackets", "[address]:port"},
		{"2001:db8::1", "an IPv6 address needs brackets", "[address]:port"},
		{"a:1:2", "an IPv6 address needs brackets", "[address]:port"},
		{"[::1]", "the port is missing", ""},
		{"[::1]3500", "after the bracket there must be a colon", ""},
		{"[::1:3500", "the closing bracket is missing", ""},
		{"[]:1", "the host is missing", ""},
		{"[10.0.0.1]:1", "\"10.0.0.1\" is not an IPv6 address", ""},
		{"[name]:1", "\"name\" is not an IPv6 address", ""},
		{"[1::2::3]:1", "is not an IPv6 address", ""},
		{"[::ffff:10.0.0.1]:1", "is an IPv4-mapped IPv6 address", "four numbers"},
		{"[fe80::1]:1", "is a link-local address without its interface", "eth0"},
		{"[fe80::1%]:1", "does not name a network interface", "eth0"},
		{"[fe80::1%a b]:1", "does not name a network interface", "eth0"},
		{"[fe80::1%abcdefghijklmnop]:1", "does not name a network interface", "eth0"},
		{"[2001:db8::1%eth0]:1", "is not a link-local address", ""},
		{"a b:1", "a host name cannot contain \" \"", "letters"},
		{"a\xc3\xa4:1", "cannot contain \"?\"", "letters"},
		{"a/b:1", "cannot contain \"/\"", "letters"},
		{"a..b:1", "the host name has an empty label", ""},
		{".a:1", "the host name has an empty label", ""},
		{".:1", "is not an IPv4 address", ""},
		{"-a.b:1", "begins or ends with \"-\"", ""},
		{"a-.b:1", "begins or ends with \"-\"", ""},
		{"0=a:1, b:1", "entry 2 (\"b:1\"): this entry has no id, but entry 1 has one", "every entry"},
		{"a:1, 1=b:1", "entry 2 (\"1=b:1\"): this entry has an id, but entry 1 has none", "every entry"},
		{"64=a:1", "the id must be a number from 0 to 63", ""},
		{"-1=a:1", "the id must be a number from 0 to 63", ""},
		{"=a:1", "the id must be a number from 0 to 63", ""},
		{"x=a:1", "the id must be a number from 0 to 63", ""},
		{"2147483647=a:1", "the id must be a number from 0 to 63", ""},
		{"4294967296=a:1", "the id must be a number from 0 to 63", ""},
		{"1=a:1, 0=b:1, 1=c:1", "entry 3 (\"1=c:1\"): id 1 is already used by entry 1", "id of its own"},
		{"a:1, b:1, A.:01", "entry 3 (\"A.:01\"): the address is already used by entry 1", ""},
		{"[::1]:1, [0::1]:1", "entry 2 (\"[0::1]:1\"): the address is already used by entry 1", ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		Cluster cluster;

		if (cluster_parse(table[i][0], &cluster, &words))
			fail_msg("\"%s\" was accepted", table[i][0]);
		if (strstr(words.error, table[i][1]) == NULL || strstr(words.hint, table[i][2]) == NULL ||
			words.hint[0] == '\0')
			fail_msg("\"%s\" gives \"%s\" / \"%s\"", table[i][0], &words);
		assert_int_equal(cluster.n_members, 0);
	}
	{
		Cluster cluster;

		assert_false(cluster_parse(NULL, &cluster, &words));
	}
}

static void
a_list_is_appended_to_its_head_alone(void **state)
{
	Cluster	 three;
	Cluster	 two;
	Cluster	 other;
	uint64_t head;

	(void) state;
	parse("10.0.0.10:1, 10.0.0.11:1, 10.0.0.12:1", &three);
	parse("10.0.0.10:1, 10.0.0.11:1", &two);
	parse("10.0.0.11:1, 10.0.0.10:1", &other);
	head = cluster_list_digest(&two, 2);
	assert_true(cluster_is_appended(&three, 2, head));
	assert_true(cluster_is_appended(&three, 1, cluster_list_digest(&two, 1)));
	assert_false(cluster_is_appended(&three, 1, head));
	assert_false(cluster_is_appended(&three, 2, cluster_list_digest(&other, 2)));
	assert_false(cluster_is_appended(&three, 0, cluster_list_digest(&three, 0)));
	assert_false(cluster_is_appended(&three, 3, cluster_list_digest(&three, 3)));
	assert_false(cluster_is_appended(&two, 3, cluster_list_digest(&three, 3)));
}

static void
names_of_clusters_are_printable_and_short(void **state)
{
	char name[CLUSTER_NAME_MAX + 2];

	(void) state;
	memset(name, 'x', sizeof(name));
	name[CLUSTER_NAME_MAX + 1] = '\0';
	assert_false(cluster_is_name(name));
	name[CLUSTER_NAME_MAX] = '\0';
	assert_true(cluster_is_name(name));
	assert_true(cluster_is_name(" ~"));
	assert_false(cluster_is_name(""));
	assert_false(cluster_is_name("a\tb"));
	assert_false(cluster_is_name("a\x7f"));
	assert_false(cluster_is_name("\xc3\xa4"));
}

static void
long_lists_and_hosts_are_measured(void **state)
{
	static Cluster cluster;
	char		   text[4096];
	size_t		   used = 0;
	char		   label[64];

	(void) state;
	for (int i = 0; i < RAFT_MAX_NODES; i++)
		used += (size_t) snprintf(text + used, sizeof(text) - used, "%sh%d:1",
								  i > 0 ? "," : "", i);
	parse(text, &cluster);
	assert_int_equal(cluster.n_members, RAFT_MAX_NODES);
	assert_true(cluster_members(&cluster) == UINT64_MAX);
	strcpy(text + used, ",one-more:1");
	assert_false(cluster_parse(text, &cluster, &words));
	assert_non_null(strstr(words.error, "entry 65 (\"one-more:1\"): a cluster has at most 64 members"));

	memset(label, 'a', 63);
	label[63] = '\0';
	snprintf(text, sizeof(text), "%s.%s.%s.%.61s:1", label, label, label, label);
	parse(text, &cluster);
	assert_int_equal(strlen(cluster.members[0].host), 253);
	snprintf(text, sizeof(text), "%s.%s.%s.%.62s:1", label, label, label, label);
	assert_false(cluster_parse(text, &cluster, &words));
	assert_non_null(strstr(words.error, "longer than 253"));
	snprintf(text, sizeof(text), "a%s.b:1", label);
	assert_false(cluster_parse(text, &cluster, &words));
	assert_non_null(strstr(words.error, "longer than 63"));

	/* Overlong: quoted in part, terminated, nothing overrun. */
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	strcpy(text + 4000, ":1");
	assert_false(cluster_parse(text, &cluster, &words));
	assert_non_null(strstr(words.error, "...\"): the host is longer than 255"));
}

/* Any text at all: a verdict, and never a crash. */
static void
garbage_is_survived(void **state)
{
	static const char alphabet[] = "0123456789abz.:,=[]%- \t\x80\xff";
	static Cluster	  cluster;
	uint64_t		  random = 42;

	(void) state;
	for (int run = 0; run < 100000; run++)
	{
		char text[33];
		int	 length = (int) random_below(&random, 32);

		for (int i = 0; i < length; i++)
			text[i] = alphabet[random_below(&random, sizeof(alphabet) - 1)];
		text[length] = '\0';
		if (cluster_parse(text, &cluster, &words))
		{
			Cluster again;
			char	copy[1024];

			/* What was read means the same when it is written and read again. */
			snprintf(copy, sizeof(copy), "%s", normalised(&cluster));
			parse(copy, &again);
			assert_string_equal(normalised(&again), copy);
		}
		else
			assert_true(words.error[0] != '\0' && words.hint[0] != '\0');
	}
}

static void
members_are_found_by_id(void **state)
{
	Cluster cluster;

	(void) state;
	parse("5=e:5, 0=[::1]:1, 63=10.0.0.1:9", &cluster);
	assert_true(cluster_members(&cluster) == (UINT64_C(1) << 63 | 1 << 5 | 1));
	assert_string_equal(cluster_member(&cluster, 5)->host, "e");
	assert_true(cluster_member(&cluster, 5)->is_name);
	assert_int_equal(cluster_member(&cluster, 63)->port, 9);
	assert_false(cluster_member(&cluster, 63)->is_name);
	assert_false(cluster_member(&cluster, 0)->is_name);
	assert_null(cluster_member(&cluster, 1));
	assert_null(cluster_member(&cluster, -1));
	assert_null(cluster_member(&cluster, INT32_MAX));
}

/* Known values of FNV-1a: state files and peers of any age hold them. */
static void
digests_never_change(void **state)
{
	Cluster cluster;

	(void) state;
	assert_true(cluster_text_digest("") == UINT64_C(0xcbf29ce484222325));
	assert_true(cluster_text_digest("a") == UINT64_C(0xaf63dc4c8601ec8c));
	assert_true(cluster_text_digest("pg_leader") == UINT64_C(0x1272d3083e7ba9e4));
	parse("10.0.0.10:3500, 10.0.0.11:3500, 10.0.0.12:3500", &cluster);
	assert_true(cluster_list_digest(&cluster, 1) == UINT64_C(0x8cf939212f103b6c));
	assert_true(cluster_list_digest(&cluster, 2) == UINT64_C(0x77e92fd710d661f9));
	assert_true(cluster_list_digest(&cluster, 3) == UINT64_C(0x843537421df3c8f4));
	parse("7=DB-7.example:65535,0=[2001:db8:0::1]:3500", &cluster);
	assert_true(cluster_list_digest(&cluster, 2) == UINT64_C(0x224784e3c3c89462));
}

static void
digest_tells_lists_apart_and_writings_not(void **state)
{
	Cluster a;
	Cluster b;

	(void) state;
	parse("A:1, [::0:1]:2", &a);
	parse("1=[::1]:2,0=a.:01", &b);
	assert_true(cluster_list_digest(&a, 2) == cluster_list_digest(&b, 2));
	parse("[::1]:2, a:1", &b);
	assert_true(cluster_list_digest(&a, 2) != cluster_list_digest(&b, 2));
	parse("a:1, [::1]:3", &b);
	assert_true(cluster_list_digest(&a, 2) != cluster_list_digest(&b, 2));
	assert_true(cluster_list_digest(&a, 1) == cluster_list_digest(&b, 1));

	/* Appending keeps the digest of the head. */
	parse("a:1, [::1]:2, c:3, d:4", &b);
	assert_true(cluster_list_digest(&a, 2) == cluster_list_digest(&b, 2));
	assert_true(cluster_list_digest(&a, 2) != cluster_list_digest(&b, 3));
}

static void
loopback_is_local_and_nothing_else(void **state)
{
	static const char *const local[] = {"127.0.0.1:1", "127.0.0.1:1, 127.255.0.9:1", "localhost:1, localhost:2",
										"[::1]:1, [::1]:2", "63=127.0.0.1:1"};
	static const char *const remote[] = {"10.0.0.1:1", "127.0.0.1:1, 10.0.0.1:1", "10.0.0.1:1, 127.0.0.1:1",
										 "db0:1", "localhost:1, localhost.example.org:2", "127.example.org:1",
										 "[::2]:1", "[fe80::1%lo]:1", "12.7.0.1:1"};
	Cluster					 cluster;

	(void) state;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
	{
		parse(local[i], &cluster);
		if (!cluster_is_local(&cluster))
			fail_msg("%s", local[i]);
	}
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
	{
		parse(remote[i], &cluster);
		if (cluster_is_local(&cluster))
			fail_msg("%s", remote[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lists_are_read),
		cmocka_unit_test(bad_lists_are_refused),
		cmocka_unit_test(a_list_is_appended_to_its_head_alone),
		cmocka_unit_test(names_of_clusters_are_printable_and_short),
		cmocka_unit_test(long_lists_and_hosts_are_measured),
		cmocka_unit_test(garbage_is_survived),
		cmocka_unit_test(members_are_found_by_id),
		cmocka_unit_test(digests_never_change),
		cmocka_unit_test(digest_tells_lists_apart_and_writings_not),
		cmocka_unit_test(loopback_is_local_and_nothing_else),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
