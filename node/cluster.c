/*
 * node/cluster.c
 *	  The member list: reading it, and its digests.
 *
 * All of it is pure: it looks at its arguments and at nothing else, so that the
 * module's check hook may call it.
 *
 * Called by the module's check hook, the worker and the programs.  Must not use
 * backend symbols, log, or change what a list's digest is made of: members
 * compare digests with each other and with what their stores hold.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memrchr() */
#endif

#include "cluster.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME_LENGTH	 253
#define MAX_LABEL_LENGTH 63

/* An entry is quoted in errors up to this length. */
#define SHOWN_LENGTH 80

#define HINT_FORM \
	"Write each member as host:port, for example \"10.0.0.10:3500, 10.0.0.11:3500\"."
#define HINT_PORT "Give a port from 1 to 65535, for example 10.0.0.10:3500."
#define HINT_IPV6 "Write an IPv6 address as [address]:port, for example [2001:db8::1]:3500."
#define HINT_IPV4 "Write an IPv4 address as four numbers from 0 to 255, for example 10.0.0.10."
#define HINT_NAME \
	"A host name consists of letters, digits, \"-\", \"_\" and \".\"."
#define HINT_IDS \
	"Give every entry an id, as in \"0=host:port, 2=host:port\", or none."

/* A piece of the text that is being read. */
typedef struct Piece
{
	const char *start;
	size_t		length;
} Piece;

typedef struct Parser
{
	Cluster *cluster;
	int		 entry;	   /* number of the present entry, from 1 */
	Piece	 text;	   /* the present entry, as written */
	bool	 with_ids; /* the first entry had an id */
	Words	*words;
} Parser;

/* ---- reading ---- */

/* Always false, for "return fail(...)". */
static bool fail(Parser *parser, const char *hint, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool
fail(Parser *parser, const char *hint, const char *format, ...)
{
	char	what[WORDS_SIZE];
	char	entry[SHOWN_LENGTH + 32] = "";
	va_list args;

	va_start(args, format);
	(void) vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (parser->entry > 0)
	{
		bool clipped = parser->text.length > SHOWN_LENGTH;

		(void) snprintf(entry, sizeof(entry), "entry %d (\"%.*s%s\"): ", parser->entry,
						clipped ? SHOWN_LENGTH : (int) parser->text.length,
						parser->text.start, clipped ? "..." : "");
	}
	(void) words_set(parser->words, hint, "%s%.900s", entry, what);

	/* The list can hold anything, and this is going to be printed. */
	for (char *c = parser->words->error; *c != '\0'; c++)
	{
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	parser->cluster->n_members = 0;
	return false;
}

/* isspace() and the like would depend on the locale. */
static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
lower_case(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c - 'A' + 'a') : c;
}

static Piece
make_piece(const char *start, const char *end)
{
	Piece piece;

	while (start < end && is_space(*start))
		start++;
	while (start < end && is_space(end[-1]))
		end--;
	piece.start = start;
	piece.length = (size_t) (end - start);
	return piece;
}

/* Digits only, and at most max; -1: it is not. */
static long
parse_number(Piece piece, long max)
{
	long value = 0;

	if (piece.length == 0)
		return -1;
	for (size_t i = 0; i < piece.length; i++)
	{
		if (!is_digit(piece.start[i]))
			return -1;
		value = value * 10 + (piece.start[i] - '0');
		if (value > max)
			return -1;
	}
	return value;
}

static bool
only_digits_and_dots(const char *host)
{
	return host[strspn(host, "0123456789.")] == '\0';
}

static bool
parse_ipv4(Parser *parser, ClusterMember *member)
{
	struct in_addr address;
	uint32_t	   number;

	if (inet_pton(AF_INET, member->host, &address) != 1)
		return fail(parser, HINT_IPV4, "\"%.64s\" is not an IPv4 address", member->host);
	number = ntohl(address.s_addr);
	if (number == INADDR_ANY || number == INADDR_BROADCAST || IN_MULTICAST(number))
		return fail(parser, "Give the address at which the other members reach this one.",
					"\"%s\" is not the address of one member", member->host);
	(void) inet_ntop(AF_INET, &address, member->host, CLUSTER_HOST_SIZE);
	return true;
}

/*
 * "address" or "address%interface", without brackets.  The interface is kept as
 * written: whether this machine has it is not for a pure function to know.
 */
static bool
parse_ipv6(Parser *parser, ClusterMember *member)
{
	char			zone[IF_NAMESIZE + 1] = "";
	char		   *percent = strchr(member->host, '%');
	struct in6_addr address;

	if (percent != NULL)
	{
		size_t length = strlen(percent + 1);

		if (length == 0 || length >= IF_NAMESIZE ||
			strspn(percent + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"0123456789-_.@") != length)
			return fail(parser, "Write the interface after the address, for example [fe80::1%eth0]:3500.",
						"\"%.64s\" does not name a network interface", member->host);
		(void) snprintf(zone, sizeof(zone), "%s", percent);
		*percent = '\0';
	}
	if (inet_pton(AF_INET6, member->host, &address) != 1)
		return fail(parser, HINT_IPV6, "\"%.64s\" is not an IPv6 address", member->host);
	if (IN6_IS_ADDR_UNSPECIFIED(&address) || IN6_IS_ADDR_MULTICAST(&address))
		return fail(parser, "Give the address at which the other members reach this one.",
					"\"%s\" is not the address of one member", member->host);
	if (IN6_IS_ADDR_V4MAPPED(&address))
		return fail(parser, HINT_IPV4, "\"%s\" is an IPv4-mapped IPv6 address", member->host);
	if (IN6_IS_ADDR_LINKLOCAL(&address) != (zone[0] != '\0'))
		return fail(parser, "Write the interface after a link-local address, for example [fe80::1%eth0]:3500, and after no other.",
					"\"%.64s\" %s", member->host,
					zone[0] != '\0' ? "is not a link-local address, so it has no interface" :
									  "is a link-local address without its interface");
	(void) inet_ntop(AF_INET6, &address, member->host, CLUSTER_HOST_SIZE);
	(void) strcat(member->host, zone);
	return true;
}

static bool
parse_name(Parser *parser, ClusterMember *member)
{
	char		  *host = member->host;
	size_t		   length = strlen(host);
	size_t		   label = 0;
	struct in_addr ignored;

	if (length > 1 && host[length - 1] == '.')
		host[--length] = '\0';
	if (length > MAX_NAME_LENGTH)
		return fail(parser, HINT_NAME, "the host name is longer than %d characters",
					MAX_NAME_LENGTH);
	for (size_t i = 0; i < length; i++)
	{
		host[i] = lower_case(host[i]);
		if (!(host[i] >= 'a' && host[i] <= 'z') && !is_digit(host[i]) &&
			strchr("-._", host[i]) == NULL)
			return fail(parser, HINT_NAME, "a host name cannot contain \"%c\"", host[i]);
	}
	for (size_t i = 0; i <= length; i++)
	{
		if (i < length && host[i] != '.')
			continue;
		if (i == label)
			return fail(parser, HINT_NAME, "the host name has an empty label");
		if (i - label > MAX_LABEL_LENGTH)
			return fail(parser, HINT_NAME, "a label of the host name is longer than %d characters",
						MAX_LABEL_LENGTH);
		if (host[label] == '-' || host[i - 1] == '-')
			return fail(parser, HINT_NAME, "a label of the host name begins or ends with \"-\"");
		label = i + 1;
	}

	/* The resolver would accept these as addresses, for example 0x7f.1. */
	if (inet_aton(host, &ignored) != 0)
		return fail(parser, HINT_IPV4, "\"%.64s\" is not an IPv4 address", host);
	member->is_name = true;
	return true;
}

static bool
parse_host(Parser *parser, Piece host, bool in_brackets, ClusterMember *member)
{
	if (host.length == 0)
		return fail(parser, HINT_FORM, "the host is missing");
	if (host.length >= CLUSTER_HOST_SIZE)
		return fail(parser, HINT_NAME, "the host is longer than %d characters",
					CLUSTER_HOST_SIZE - 1);
	memcpy(member->host, host.start, host.length);
	member->host[host.length] = '\0';
	if (in_brackets)
		return parse_ipv6(parser, member);
	if (strchr(member->host, ':') != NULL)
		return fail(parser, HINT_IPV6, "an IPv6 address needs brackets");
	if (only_digits_and_dots(member->host))
		return parse_ipv4(parser, member);
	return parse_name(parser, member);
}

/* "host:port" */
static bool
parse_address(Parser *parser, Piece text, ClusterMember *member)
{
	const char *end = text.start + text.length;
	const char *colon;
	const char *host_end;
	bool		in_brackets = text.length > 0 && text.start[0] == '[';
	Piece		port;
	long		number;

	if (in_brackets)
	{
		host_end = memchr(text.start, ']', text.length);
		if (host_end == NULL)
			return fail(parser, HINT_IPV6, "the closing bracket is missing");
		colon = host_end + 1;
		if (colon == end)
			return fail(parser, HINT_PORT, "the port is missing");
		if (*colon != ':')
			return fail(parser, HINT_IPV6, "after the bracket there must be a colon and the port");
	}
	else
	{
		colon = memrchr(text.start, ':', text.length);
		if (colon == NULL)
			return fail(parser, HINT_PORT, "the port is missing");
		host_end = colon;
	}

	/* The host first: a bare IPv6 address would else be called a bad port. */
	if (!parse_host(parser, make_piece(text.start + in_brackets, host_end),
					in_brackets, member))
		return false;
	port = make_piece(colon + 1, end);
	if (port.length == 0)
		return fail(parser, HINT_PORT, "the port is missing");
	number = parse_number(port, 65535);
	if (number < 1)
		return fail(parser, HINT_PORT, "\"%.*s\" is not a port",
					(int) (port.length < 32 ? port.length : 32), port.start);
	member->port = (uint16_t) number;
	return true;
}

static bool
check_unique(Parser *parser, const ClusterMember *member)
{
	for (int i = 0; i < parser->cluster->n_members; i++)
	{
		const ClusterMember *other = &parser->cluster->members[i];

		if (other->node_id == member->node_id)
			return fail(parser, "Give every member an id of its own.",
						"id %d is already used by entry %d", (int) member->node_id, i + 1);
		if (other->port == member->port && strcmp(other->host, member->host) == 0)
			return fail(parser, "Give every member a host or port of its own.",
						"the address is already used by entry %d", i + 1);
	}
	return true;
}

/* "host:port" or "id=host:port" */
static bool
parse_entry(Parser *parser)
{
	Cluster		  *cluster = parser->cluster;
	ClusterMember *member;
	const char	  *end = parser->text.start + parser->text.length;
	const char	  *equals;
	Piece		   address = parser->text;
	long		   id = parser->entry - 1;

	if (parser->text.length == 0)
		return fail(parser, "Remove the extra comma.", "the entry is empty");
	if (cluster->n_members == RAFT_MAX_NODES)
		return fail(parser, "Remove some members.", "a cluster has at most %d members",
					RAFT_MAX_NODES);
	member = &cluster->members[cluster->n_members];
	equals = memchr(parser->text.start, '=', parser->text.length);
	if (parser->entry == 1)
		parser->with_ids = equals != NULL;
	if (parser->with_ids != (equals != NULL))
		return fail(parser, HINT_IDS, equals != NULL ? "this entry has an id, but entry 1 has none" : "this entry has no id, but entry 1 has one");
	if (equals != NULL)
	{
		Piece text = make_piece(parser->text.start, equals);

		id = parse_number(text, RAFT_MAX_NODES - 1);
		if (id < 0)
			return fail(parser, HINT_IDS, "the id must be a number from 0 to %d",
						RAFT_MAX_NODES - 1);
		address = make_piece(equals + 1, end);
	}
	member->node_id = (int32_t) id;
	if (!parse_address(parser, address, member) || !check_unique(parser, member))
		return false;
	cluster->n_members++;
	return true;
}

static int
compare_members(const void *a, const void *b)
{
	return (int) ((const ClusterMember *) a)->node_id -
		   (int) ((const ClusterMember *) b)->node_id;
}

bool
cluster_parse(const char *text, Cluster *cluster, Words *words)
{
	Parser		parser = {.cluster = cluster, .words = words};
	const char *start = text;

	memset(cluster, 0, sizeof(*cluster));
	words_clear(words);
	if (text == NULL || text[strspn(text, " \t\n\v\f\r")] == '\0')
		return fail(&parser, HINT_FORM, "the member list is empty");
	for (;;)
	{
		const char *end = start + strcspn(start, ",");

		parser.entry++;
		parser.text = make_piece(start, end);
		if (!parse_entry(&parser))
			return false;
		if (*end == '\0')
			break;
		start = end + 1;
	}
	qsort(cluster->members, (size_t) cluster->n_members, sizeof(ClusterMember),
		  compare_members);
	return true;
}

/* ---- what a list says ---- */

const ClusterMember *
cluster_member(const Cluster *cluster, int32_t node_id)
{
	for (int i = 0; i < cluster->n_members; i++)
	{
		if (cluster->members[i].node_id == node_id)
			return &cluster->members[i];
	}
	return NULL;
}

uint64_t
cluster_members(const Cluster *cluster)
{
	uint64_t members = 0;

	for (int i = 0; i < cluster->n_members; i++)
		members |= UINT64_C(1) << cluster->members[i].node_id;
	return members;
}

const char *
cluster_format_address(const ClusterMember *member, char *buffer)
{
	bool brackets = strchr(member->host, ':') != NULL;

	(void) snprintf(buffer, CLUSTER_ADDRESS_SIZE, "%s%s%s:%u",
					brackets ? "[" : "", member->host, brackets ? "]" : "",
					(unsigned) member->port);
	return buffer;
}

bool
cluster_is_local(const Cluster *cluster)
{
	for (int i = 0; i < cluster->n_members; i++)
	{
		const ClusterMember *member = &cluster->members[i];

		if (member->is_name ? strcmp(member->host, "localhost") != 0 :
							  strncmp(member->host, "127.", 4) != 0 && strcmp(member->host, "::1") != 0)
			return false;
	}
	return true;
}

bool
cluster_is_name(const char *name)
{
	size_t length = strlen(name);

	if (length < 1 || length > CLUSTER_NAME_MAX)
		return false;
	for (const char *c = name; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c > 0x7e)
			return false;
	}
	return true;
}

/*
 * Digests are FNV-1a of 64 bits.  They travel in datagrams and lie in state
 * files, so they must be the same on every machine and under every major
 * version; PostgreSQL's hash_bytes() depends on the byte order and may change.
 * They tell lists apart and are no protection against malice.
 */
#define DIGEST_START UINT64_C(0xcbf29ce484222325)
#define DIGEST_PRIME UINT64_C(0x00000100000001b3)

static uint64_t
digest_add(uint64_t digest, const char *text)
{
	for (; *text != '\0'; text++)
	{
		digest ^= (unsigned char) *text;
		digest *= DIGEST_PRIME;
	}
	return digest;
}

/* 0 stands for "no digest" wherever one is stored. */
static uint64_t
digest_end(uint64_t digest)
{
	return digest != 0 ? digest : 1;
}

/* The text is "0=host:port, 2=[host]:port". */
uint64_t
cluster_list_digest(const Cluster *cluster, int n)
{
	uint64_t digest = DIGEST_START;

	for (int i = 0; i < n && i < cluster->n_members; i++)
	{
		char id[16];
		char address[CLUSTER_ADDRESS_SIZE];

		(void) snprintf(id, sizeof(id), "%s%d=", i > 0 ? ", " : "",
						(int) cluster->members[i].node_id);
		digest = digest_add(digest, id);
		digest = digest_add(digest, cluster_format_address(&cluster->members[i], address));
	}
	return digest_end(digest);
}

void
cluster_configure(const Cluster *cluster, RaftConfig *config)
{
	config->members = config->wanted = cluster_members(cluster);
	config->list_digest = cluster_list_digest(cluster, cluster->n_members);
	config->list_size = (uint32_t) cluster->n_members;
	memset(config->addresses, 0, sizeof(config->addresses));
	for (int i = 0; i < cluster->n_members; i++)
	{
		char address[CLUSTER_ADDRESS_SIZE];

		config->addresses[cluster->members[i].node_id] =
			cluster_text_digest(cluster_format_address(&cluster->members[i], address));
	}
}

void
cluster_keep(Cluster *cluster, const Cluster *before, uint64_t count)
{
	for (int i = 0; i < before->n_members; i++)
	{
		const ClusterMember *member = &before->members[i];
		int					 at = cluster->n_members;

		if ((count >> member->node_id & 1) == 0 || cluster_member(cluster, member->node_id) != NULL)
			continue;
		for (; at > 0 && cluster->members[at - 1].node_id > member->node_id; at--)
			cluster->members[at] = cluster->members[at - 1];
		cluster->members[at] = *member;
		cluster->n_members++;
	}
}

bool
cluster_is_appended(const Cluster *cluster, uint32_t size, uint64_t digest)
{
	return size >= 1 && size < (uint32_t) cluster->n_members &&
		   cluster_list_digest(cluster, (int) size) == digest;
}

uint64_t
cluster_text_digest(const char *text)
{
	return digest_end(digest_add(DIGEST_START, text));
}
