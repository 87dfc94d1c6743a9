/*
 * test/fuzz/fuzz_cluster.c
 *	  Fuzz target: any text as a member list, into cluster_parse().
 *
 * A list that is accepted is a possible one, and its normalised text parses to
 * the same list with the same digest; one that is refused has words for it, and
 * those end.
 */
#include <netinet/in.h>
#include <string.h>

#include "../../node/addresses.h"
#include "fuzz.h"

static char normal[RAFT_MAX_NODES * (CLUSTER_ADDRESS_SIZE + 8)];

static void
check_words(const Words *words)
{
	CHECK(memchr(words->error, '\0', WORDS_SIZE) != NULL, "the error ends");
	CHECK(memchr(words->hint, '\0', WORDS_SIZE) != NULL, "the hint ends");
}

static void
check_member(const Cluster *cluster, int i)
{
	const ClusterMember *member = &cluster->members[i];

	CHECK(member->node_id >= 0 && member->node_id < RAFT_MAX_NODES, "id");
	CHECK(i == 0 || cluster->members[i - 1].node_id < member->node_id, "sorted, no id twice");
	CHECK(memchr(member->host, '\0', CLUSTER_HOST_SIZE) != NULL, "the host ends");
	CHECK(member->host[0] != '\0' && member->port > 0, "host and port");
	CHECK(cluster_member(cluster, member->node_id) == member, "found by its id");
	for (const char *c = member->host; *c != '\0'; c++)
		CHECK(*c > ' ' && *c < 127 && *c != ',' && *c != '=' && *c != '[' && *c != ']',
			  "the host has nothing in it that separates");
	for (int j = 0; j < i; j++)
		CHECK(strcmp(cluster->members[j].host, member->host) != 0 ||
				  cluster->members[j].port != member->port,
			  "no address twice");
}

/* "0=host:port, 1=host:port": what the digest is made of. */
static void
normalise(const Cluster *cluster)
{
	size_t used = 0;

	for (int i = 0; i < cluster->n_members; i++)
	{
		char address[CLUSTER_ADDRESS_SIZE];
		int	 length = snprintf(normal + used, sizeof(normal) - used, "%s%d=%s", i > 0 ? ", " : "",
							   (int) cluster->members[i].node_id,
							   cluster_format_address(&cluster->members[i], address));

		CHECK(length > 0 && used + (size_t) length < sizeof(normal), "room");
		used += (size_t) length;
	}
}

static void
check_accepted(const Cluster *cluster)
{
	static Addresses addresses;
	Cluster			 again;
	Words			 words;

	CHECK(cluster->n_members >= 1 && cluster->n_members <= RAFT_MAX_NODES, "size");
	for (int i = 0; i < cluster->n_members; i++)
		check_member(cluster, i);
	CHECK(__builtin_popcountll(cluster_members(cluster)) == cluster->n_members, "set of ids");

	normalise(cluster);
	CHECK(cluster_parse(normal, &again, &words), "the normalised text is a list");
	CHECK(again.n_members == cluster->n_members, "of as many members");
	for (int n = 1; n <= cluster->n_members; n++)
		CHECK(cluster_list_digest(&again, n) == cluster_list_digest(cluster, n), "digest");
	for (int i = 0; i < cluster->n_members; i++)
		CHECK(again.members[i].node_id == cluster->members[i].node_id &&
				  again.members[i].port == cluster->members[i].port &&
				  again.members[i].is_name == cluster->members[i].is_name &&
				  strcmp(again.members[i].host, cluster->members[i].host) == 0,
			  "the same members");

	/* Literal addresses only: names would be looked up later. */
	memset(words.error, 0xA5, sizeof(words.error));
	if (!addresses_init(&addresses, cluster, AF_INET, &words))
		CHECK(memchr(words.error, '\0', sizeof(words.error)) != NULL, "the error ends");
	addresses_close(&addresses);
	memset(words.error, 0xA5, sizeof(words.error));
	if (!addresses_init(&addresses, cluster, AF_INET6, &words))
		CHECK(memchr(words.error, '\0', sizeof(words.error)) != NULL, "the error ends");
	addresses_close(&addresses);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char   *text = malloc(size + 1);
	Cluster cluster;
	Words	words;

	CHECK(text != NULL, "memory");
	memcpy(text, data, size);
	text[size] = '\0';
	memset(&cluster, 0xA5, sizeof(cluster));
	memset(words.error, 0xA5, sizeof(words.error));
	memset(words.hint, 0xA5, sizeof(words.hint));
	CHECK(cluster_text_digest(text) != 0, "a digest is never 0");
	if (cluster_parse(text, &cluster, &words))
		check_accepted(&cluster);
	else
	{
		check_words(&words);
		CHECK(words.error[0] != '\0', "a refusal has words");
	}
	free(text);
	return 0;
}
