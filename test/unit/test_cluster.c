/*
 * test/unit/test_cluster.c
 *	  The member list: what is read, what is refused and in which words, digests
 *	  that must never change, and looking names up.
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
#include "../../node/clock.h"

static char error[CLUSTER_ERROR_SIZE];
static char hint[CLUSTER_ERROR_SIZE];

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
	if (!cluster_parse(text, cluster, error, hint))
		fail_msg("\"%s\" was refused: %s", text, error);
	assert_string_equal(error, "");
	assert_string_equal(hint, "");
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
		{"[::ffff:10.0.0.1]:1", "is an IPv4 address in disguise", "four numbers"},
		{"[fe80::1]:1", "is a link-local address without its interface", "eth0"},
		{"[fe80::1%]:1", "does not name a network interface", "eth0"},
		{"[fe80::1%a b]:1", "does not name a network interface", "eth0"},
		{"[fe80::1%abcdefghijklmnop]:1", "does not name a network interface", "eth0"},
		{"[2001:db8::1%eth0]:1", "is not a link-local address", ""},
		{"a b:1", "a host name cannot contain \" \"", "letters"},
		{"a\xc3\xa4:1", "cannot contain \"?\"", "letters"},
		{"a/b:1", "cannot contain \"/\"", "letters"},
		{"a..b:1", "the host name has an empty part", ""},
		{".a:1", "the host name has an empty part", ""},
		{".:1", "is not an IPv4 address", ""},
		{"-a.b:1", "begins or ends with \"-\"", ""},
		{"a-.b:1", "begins or ends with \"-\"", ""},
		{"0=a:1, b:1", "entry 2 (\"b:1\"): it has no id, entry 1 has one", "every entry"},
		{"a:1, 1=b:1", "entry 2 (\"1=b:1\"): it has an id, entry 1 has none", "every entry"},
		{"64=a:1", "the id must be a number from 0 to 63", ""},
		{"-1=a:1", "the id must be a number from 0 to 63", ""},
		{"=a:1", "the id must be a number from 0 to 63", ""},
		{"x=a:1", "the id must be a number from 0 to 63", ""},
		{"2147483647=a:1", "the id must be a number from 0 to 63", ""},
		{"4294967296=a:1", "the id must be a number from 0 to 63", ""},
		{"1=a:1, 0=b:1, 1=c:1", "entry 3 (\"1=c:1\"): id 1 belongs to entry 1 already", "id of its own"},
		{"a:1, b:1, A.:01", "entry 3 (\"A.:01\"): the address is that of entry 1", ""},
		{"[::1]:1, [0::1]:1", "entry 2 (\"[0::1]:1\"): the address is that of entry 1", ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		Cluster cluster;

		if (cluster_parse(table[i][0], &cluster, error, hint))
			fail_msg("\"%s\" was accepted", table[i][0]);
		if (strstr(error, table[i][1]) == NULL || strstr(hint, table[i][2]) == NULL ||
			hint[0] == '\0')
			fail_msg("\"%s\" gives \"%s\" / \"%s\"", table[i][0], error, hint);
		assert_int_equal(cluster.n_members, 0);
	}
	{
		Cluster cluster;

		assert_false(cluster_parse(NULL, &cluster, error, hint));
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
sources_are_shown_as_addresses(void **state)
{
	struct sockaddr_storage source;
	char					text[CLUSTER_SOURCE_SIZE];
	ClusterMember			member = {.host = "10.0.0.1", .port = 3500};
	socklen_t				length;

	(void) state;
	assert_true(cluster_literal_address(&member, &source, &length, error));
	cluster_format_source(&source, text, sizeof(text));
	assert_string_equal(text, "10.0.0.1:3500");
	(void) snprintf(member.host, sizeof(member.host), "2001:db8:1111:2222:3333:4444:5555:6666");
	member.port = 65535;
	assert_true(cluster_literal_address(&member, &source, &length, error));
	cluster_format_source(&source, text, sizeof(text));
	assert_string_equal(text, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
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
	assert_false(cluster_parse(text, &cluster, error, hint));
	assert_non_null(strstr(error, "entry 65 (\"one-more:1\"): a cluster has at most 64 members"));

	memset(label, 'a', 63);
	label[63] = '\0';
	snprintf(text, sizeof(text), "%s.%s.%s.%.61s:1", label, label, label, label);
	parse(text, &cluster);
	assert_int_equal(strlen(cluster.members[0].host), 253);
	snprintf(text, sizeof(text), "%s.%s.%s.%.62s:1", label, label, label, label);
	assert_false(cluster_parse(text, &cluster, error, hint));
	assert_non_null(strstr(error, "longer than 253"));
	snprintf(text, sizeof(text), "a%s.b:1", label);
	assert_false(cluster_parse(text, &cluster, error, hint));
	assert_non_null(strstr(error, "longer than 63"));

	/* Overlong: quoted in part, terminated, nothing overrun. */
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	strcpy(text + 4000, ":1");
	assert_false(cluster_parse(text, &cluster, error, hint));
	assert_non_null(strstr(error, "...\"): the host is longer than 255"));
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
		int	 length;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		length = (int) (random >> 33) % 32;
		for (int i = 0; i < length; i++)
		{
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			text[i] = alphabet[(random >> 33) % (sizeof(alphabet) - 1)];
		}
		text[length] = '\0';
		if (cluster_parse(text, &cluster, error, hint))
		{
			Cluster again;
			char	copy[1024];

			/* What was read means the same when it is written and read again. */
			snprintf(copy, sizeof(copy), "%s", normalised(&cluster));
			parse(copy, &again);
			assert_string_equal(normalised(&again), copy);
		}
		else
			assert_true(error[0] != '\0' && hint[0] != '\0');
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

/* ---- addresses ---- */

static void
literals_are_known_at_once(void **state)
{
	Cluster			  cluster;
	ClusterAddresses *addresses = calloc(1, sizeof(*addresses));

	(void) state;
	parse("127.0.0.1:3500, 3.4.5.6:7", &cluster);
	assert_true(cluster_addresses_init(addresses, &cluster, AF_INET, error));
	assert_true(addresses->of[0].known);
	assert_int_equal(((struct sockaddr_in *) &addresses->of[0].address)->sin_port, htons(3500));
	assert_true(addresses->of[1].known);
	assert_false(addresses->of[2].known);
	assert_true(cluster_addresses_deadline(addresses) == UINT64_MAX);
	assert_false(cluster_addresses_init(addresses, &cluster, AF_INET6, error));
	assert_non_null(strstr(error, "node 0 is at 127.0.0.1:3500"));
	parse("127.0.0.1:3500, [::1]:7", &cluster);
	assert_false(cluster_addresses_init(addresses, &cluster, AF_INET, error));
	assert_non_null(strstr(error, "node 1 is at [::1]:7, but this member's own address is IPv4"));
	parse("[fe80::1%lo]:1, [fe80::1%1]:1", &cluster);
	if (!cluster_addresses_init(addresses, &cluster, AF_INET6, error))
		assert_non_null(strstr(error, "nodes 0 and 1 have the same address"));
	parse("[fe80::1%nosuchif]:1", &cluster);
	assert_false(cluster_addresses_init(addresses, &cluster, AF_INET6, error));
	assert_non_null(strstr(error, "no network interface \"nosuchif\""));
	cluster_addresses_close(addresses);
	memset(addresses, 0, sizeof(*addresses));
	cluster_addresses_close(addresses);
	free(addresses);
}

static struct sockaddr_storage
address6(const char *text, uint16_t port, uint32_t scope)
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_in6	   *in6 = (struct sockaddr_in6 *) &storage;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	in6->sin6_scope_id = scope;
	assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
	return storage;
}

static void
same_address_compares_what_counts(void **state)
{
	struct sockaddr_storage a = address6("fe80::1", 1, 2);
	struct sockaddr_storage b = address6("fe80::1", 1, 3);
	struct sockaddr_storage c = address6("2001:db8::1", 1, 0);
	struct sockaddr_storage d = address6("2001:db8::1", 1, 3);
	struct sockaddr_storage e = address6("2001:db8::1", 2, 0);
	struct sockaddr_storage f = {0};

	(void) state;
	assert_true(cluster_same_address(&a, &a));
	assert_false(cluster_same_address(&a, &b));
	assert_true(cluster_same_address(&c, &d));
	assert_false(cluster_same_address(&c, &e));
	assert_false(cluster_same_address(&c, &f));
	assert_false(cluster_same_address(&f, &f));
	((struct sockaddr_in6 *) &d)->sin6_flowinfo = 7;
	assert_true(cluster_same_address(&c, &d));
}

/*
 * Poll until the look-ups under way have come back.  "now" stands still, except
 * that each poll takes place when it was asked for; what passes in truth is what
 * the resolver needs.
 */
static bool
settle(ClusterAddresses *addresses, const Cluster *cluster, const uint64_t *heard_at,
	   uint64_t *now)
{
	bool changed = cluster_addresses_poll(addresses, cluster, heard_at, *now);

	for (int waited = 0; waited < 60000; waited += 5)
	{
		bool busy = false;

		for (int i = 0; i < RAFT_MAX_NODES; i++)
			busy |= addresses->of[i].lookup != NULL;
		if (!busy)
			return changed;
		usleep(5000);
		*now = cluster_addresses_deadline(addresses);
		changed |= cluster_addresses_poll(addresses, cluster, heard_at, *now);
	}
	fail_msg("a look-up did not come back within a minute");
	return changed;
}

static void
names_are_looked_up(void **state)
{
	static ClusterAddresses addresses;
	uint64_t				heard_at[RAFT_MAX_NODES] = {0};
	uint64_t				now = 1000000;
	Cluster					cluster;

	(void) state;
	parse("localhost:3500, no-such-host.invalid:3500", &cluster);
	assert_true(cluster_addresses_init(&addresses, &cluster, AF_INET, error));
	assert_false(addresses.of[0].known);
	assert_true(cluster_addresses_deadline(&addresses) == 0);
	assert_true(settle(&addresses, &cluster, heard_at, &now));
	assert_true(addresses.of[0].known);
	assert_int_equal(addresses.of[0].address.ss_family, AF_INET);
	assert_int_equal(((struct sockaddr_in *) &addresses.of[0].address)->sin_addr.s_addr,
					 htonl(INADDR_LOOPBACK));
	assert_int_equal(((struct sockaddr_in *) &addresses.of[0].address)->sin_port, htons(3500));
	assert_string_equal(addresses.of[0].failure, "");

	/* What fails is tried again a second later, and says why. */
	assert_false(addresses.of[1].known);
	assert_true(addresses.of[1].failure[0] != '\0');
	assert_true(addresses.of[1].look_up_at <= now + 1000000);
	assert_true(cluster_addresses_deadline(&addresses) == addresses.of[1].look_up_at);

	/* A member that is heard is left alone, a silent one looked up again. */
	heard_at[0] = now + 5000000;
	now += 10000000;
	addresses.of[1].look_up_at = UINT64_MAX;
	assert_false(cluster_addresses_poll(&addresses, &cluster, heard_at, now));
	assert_null(addresses.of[0].lookup);
	assert_true(addresses.of[0].look_up_at > now);
	now = addresses.of[0].look_up_at;
	assert_true(now > heard_at[0] + 10000000);
	assert_false(settle(&addresses, &cluster, heard_at, &now));
	assert_true(addresses.of[0].known);
	assert_true(addresses.of[0].look_up_at > now + 9000000);

	/* A failing look-up takes no address away. */
	strcpy(cluster.members[0].host, "no-such-host.invalid");
	now = addresses.of[0].look_up_at;
	assert_false(settle(&addresses, &cluster, heard_at, &now));
	assert_true(addresses.of[0].known);
	assert_true(addresses.of[0].failure[0] != '\0');
	assert_true(addresses.of[0].look_up_at <= now + 1000000);
	cluster_addresses_close(&addresses);
	assert_true(cluster_addresses_deadline(&addresses) == UINT64_MAX);
}

/* Two members at one address could speak for each other. */
static void
two_members_never_share_an_address(void **state)
{
	static ClusterAddresses addresses;
	uint64_t				heard_at[RAFT_MAX_NODES] = {0};
	uint64_t				now = 1000000;
	Cluster					cluster;

	(void) state;
	parse("127.0.0.1:3500, localhost:3500", &cluster);
	assert_true(cluster_addresses_init(&addresses, &cluster, AF_INET, error));
	assert_false(settle(&addresses, &cluster, heard_at, &now));
	assert_false(addresses.of[1].known);
	assert_string_equal(addresses.of[1].failure, "the name leads to the address of node 0");
	cluster_addresses_close(&addresses);

	/* Of two names, the one whose member is heard there keeps it. */
	parse("localhost:3500, b:3500", &cluster);
	assert_true(cluster_addresses_init(&addresses, &cluster, AF_INET, error));
	addresses.of[1].look_up_at = UINT64_MAX - 1;
	assert_true(settle(&addresses, &cluster, heard_at, &now));
	strcpy(cluster.members[1].host, "localhost");
	addresses.of[1].look_up_at = now;
	heard_at[0] = now;
	addresses.of[0].look_up_at = UINT64_MAX - 1;
	assert_false(settle(&addresses, &cluster, heard_at, &now));
	assert_true(addresses.of[0].known);
	assert_false(addresses.of[1].known);

	/* A silent one gives it up. */
	heard_at[0] = 0;
	addresses.of[1].look_up_at = now;
	addresses.of[0].look_up_at = now + 1000000;
	assert_true(cluster_addresses_poll(&addresses, &cluster, heard_at, now) ||
				settle(&addresses, &cluster, heard_at, &now));
	assert_int_equal(addresses.of[0].known + addresses.of[1].known, 1);
	cluster_addresses_close(&addresses);
}

/* Closed while under way: nothing is written to what was freed (ASan). */
static void
lookups_can_be_abandoned(void **state)
{
	static ClusterAddresses addresses;
	uint64_t				heard_at[RAFT_MAX_NODES] = {0};
	Cluster					cluster;

	(void) state;
	parse("no-such-host.invalid:1, localhost:2", &cluster);
	for (int i = 0; i < 20; i++)
	{
		assert_true(cluster_addresses_init(&addresses, &cluster, AF_INET6, error));
		(void) cluster_addresses_poll(&addresses, &cluster, heard_at, clock_now());
		cluster_addresses_close(&addresses);
	}
	usleep(100000);
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
		cmocka_unit_test(sources_are_shown_as_addresses),
		cmocka_unit_test(long_lists_and_hosts_are_measured),
		cmocka_unit_test(garbage_is_survived),
		cmocka_unit_test(members_are_found_by_id),
		cmocka_unit_test(digests_never_change),
		cmocka_unit_test(digest_tells_lists_apart_and_writings_not),
		cmocka_unit_test(literals_are_known_at_once),
		cmocka_unit_test(same_address_compares_what_counts),
		cmocka_unit_test(names_are_looked_up),
		cmocka_unit_test(two_members_never_share_an_address),
		cmocka_unit_test(lookups_can_be_abandoned),
		cmocka_unit_test(loopback_is_local_and_nothing_else),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
