/*
 * test/fuzz/make_corpus.c
 *	  Writes the seeds: make_corpus DIRECTORY, as "make corpus" does.
 *
 * The seeds that this makes bear names; those in the same directories that are
 * named by a hash were found by fuzzing, and are left alone.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../node/journal.h"
#include "../../node/secret.h"
#include "../../node/store.h"
#include "../../raft/raft.h"
#include "fuzz.h"
#include "fuzz_core.h"

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static const char *directory;

static void
write_seed(const char *target, const char *name, const void *bytes, size_t size)
{
	char  path[1024];
	FILE *file;

	(void) snprintf(path, sizeof(path), "%s/%s", directory, target);
	if (mkdir(path, 0777) != 0 && errno != EEXIST)
	{
		perror(path);
		exit(1);
	}
	(void) snprintf(path, sizeof(path), "%s/%s/%s", directory, target, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
	{
		perror(path);
		exit(1);
	}
}

/* ---- datagrams ---- */

static RaftMessage
message(RaftMessageType type)
{
	RaftMessage m = {
		.type = type,
		.from = 1,
		.to = 0,
		.may_lead = true,
		.list_digest = FUZZ_LIST,
		.boot = 3,
		.incarnation = 0x1234,
		.echo_boot = 2,
		.echo_incarnation = 0x5678,
		.sequence = 7,
		.save_number = 9,
		.term = 5,
		.leader_id = RAFT_NONE,
		.replaced_leader = RAFT_NONE,
	};

	switch (type)
	{
		case RAFT_GREETING_ANSWER:
			m.promise = 200000;
			m.max_timeout = 400000;
			m.remembered_boot = 2;
			m.remembered_incarnation = 0x5678;
			m.remembered_save = 11;
			break;
		case RAFT_PRE_VOTE_REQUEST:
		case RAFT_PRE_VOTE_ANSWER:
			m.round = 4;
			m.asked_term = 6;
			break;
		case RAFT_VOTE_REQUEST:
			m.replaced_term = 4;
			m.replaced_leader = 2;
			m.promise = 200000;
			break;
		case RAFT_VOTE_ANSWER:
			m.asked_term = 5;
			m.promise = 150000; /* a refusal */
			m.leader_id = 2;
			break;
		case RAFT_HEARTBEAT:
			m.round = 12;
			m.promise = 200000;
			break;
		case RAFT_HEARTBEAT_ANSWER:
			m.round = 12;
			m.asked_term = 5;
			break;
		default:
			break;
	}
	if (type == RAFT_PRE_VOTE_REQUEST || type == RAFT_VOTE_REQUEST || type == RAFT_HEARTBEAT ||
		type == RAFT_HEARTBEAT_ANSWER)
		m.position = (RaftPosition){1, 4096};
	m.granted = type == RAFT_PRE_VOTE_ANSWER || type == RAFT_HEARTBEAT_ANSWER;
	return m;
}

/* A heartbeat with one byte changed. */
static void
spoiled(const char *name, size_t size, size_t offset, uint8_t value)
{
	MessageEnvelope envelope = {.cluster_digest = FUZZ_CLUSTER};
	RaftMessage		m = message(RAFT_HEARTBEAT);
	uint8_t			bytes[MESSAGE_SIZE + 8] = {0};

	message_encode(&m, &envelope, bytes);
	bytes[offset] = value;
	write_seed("fuzz_message", name, bytes, size);
}

/* A heartbeat of a primary, managed, with that claim. */
static void
managed(const char *name, uint32_t claim, RaftPosition position)
{
	MessageEnvelope envelope = {.cluster_digest = FUZZ_CLUSTER};
	RaftMessage		m = message(RAFT_HEARTBEAT);
	uint8_t			bytes[MESSAGE_SIZE];

	m.position = position;
	m.told = (RaftTold){.managed = true, .known = true, .claimed = true, .promoted = true, .open = true, .server = RAFT_SERVER_PRIMARY, .claim = claim, .port = 5432, .system_id = FUZZ_SYSTEM, .pause = 3};
	message_encode(&m, &envelope, bytes);
	write_seed("fuzz_message", name, bytes, sizeof(bytes));
}

/* A vote request with the right tag of the second key. */
static void
make_signed(void)
{
	MessageEnvelope envelope = {.cluster_digest = FUZZ_CLUSTER, .key_id = 2};
	RaftMessage		m = message(RAFT_VOTE_REQUEST);
	Secret			secret = {0};
	uint8_t			bytes[MESSAGE_SIZE];
	char			name[] = "/tmp/pg_leader_corpus.XXXXXX";
	Words			words;
	int				fd = mkstemp(name);

	if (fd < 0 || write(fd, FUZZ_KEY_2, strlen(FUZZ_KEY_2)) != (ssize_t) strlen(FUZZ_KEY_2) ||
		close(fd) != 0 || secret_read(&secret, name, &words) == SECRET_FAILED)
	{
		perror(name);
		exit(1);
	}
	(void) unlink(name);
	message_encode(&m, &envelope, bytes);
	if (!secret_sign(&secret, bytes, sizeof(bytes)))
		exit(1);
	write_seed("fuzz_message", "signed_vote_request", bytes, sizeof(bytes));
	secret_forget(&secret);
}

static void
make_messages(void)
{
	MessageEnvelope envelope = {.cluster_digest = FUZZ_CLUSTER};
	uint8_t			bytes[MESSAGE_SIZE];
	char			name[64];

	for (int type = RAFT_GREETING; type < RAFT_MESSAGE_TYPES; type++)
	{
		RaftMessage m = message((RaftMessageType) type);

		message_encode(&m, &envelope, bytes);
		(void) snprintf(name, sizeof(name), "%s", message_type_name(m.type));
		for (char *c = name; *c != '\0'; c++)
			*c = *c == ' ' || *c == '-' ? '_' : *c;
		write_seed("fuzz_message", name, bytes, sizeof(bytes));
	}
	spoiled("empty", 0, 0, 'P');
	spoiled("truncated", MESSAGE_SIZE - 1, 0, 'P');
	spoiled("overlong", MESSAGE_SIZE + 8, 0, 'P');
	spoiled("foreign", MESSAGE_SIZE, 0, 'X');
	spoiled("other_version", MESSAGE_HEADER_SIZE, 4, 9);
	spoiled("unknown_type", MESSAGE_SIZE, 5, 77);
	spoiled("newer_sender", MESSAGE_SIZE, 7, 0x80);
	spoiled("other_cluster", MESSAGE_SIZE, 8, 1);
	spoiled("sender_out_of_range", MESSAGE_SIZE, 24, 0x7F);
	spoiled("term_above_the_last", MESSAGE_SIZE, 80, 0xFF);
	spoiled("promise_too_long", MESSAGE_SIZE, 104, 1);
	spoiled("with_a_tag", MESSAGE_SIZE, MESSAGE_TAG_OFFSET, 0x5A);
	spoiled("with_a_key_id", MESSAGE_SIZE, 6, 1);
	managed("managed", FUZZ_CLAIM, (RaftPosition){FUZZ_CLAIM, 4096});
	managed("last_claim", RAFT_MAX_TIMELINE, (RaftPosition){FUZZ_CLAIM, 4096});
	managed("claim_of_the_future", RAFT_MAX_TIMELINE + 1, (RaftPosition){FUZZ_CLAIM, 4096});
	managed("position_above_the_last_timeline", FUZZ_CLAIM, (RaftPosition){(uint64_t) RAFT_MAX_TIMELINE + 1, 4096});
	managed("position_on_no_timeline", FUZZ_CLAIM, (RaftPosition){0, 4096});
	make_signed();
}

/* ---- state files ---- */

/* Options, two slots and what is behind them: see fuzz_store.c. */
static void
store_seed(const char *name, uint8_t options, const RaftSaved *first, const RaftSaved *second,
		   int32_t node_id, size_t rot)
{
	StoreIdentity identity = {FUZZ_CLUSTER, node_id};
	uint8_t		  bytes[1 + 2 * STORE_SLOT_SIZE];

	bytes[0] = options;
	store_encode(&identity, first, bytes + 1);
	store_encode(&identity, second, bytes + 1 + STORE_SLOT_SIZE);
	if (rot > 0)
		bytes[1 + rot] ^= 0x11;
	write_seed("fuzz_store", name, bytes, sizeof(bytes));
}

static void
make_stores(void)
{
	RaftSaved older = {
		.save_number = 41,
		.boot = 3,
		.term = 7,
		.voted_for = 2,
		.promise = 200000,
		.list_digest = FUZZ_LIST,
		.list_size = 3,
	};
	RaftSaved newer = older;
	RaftSaved abstaining = older;
	RaftSaved impossible = older;
	RaftSaved rebuilding = older;
	RaftSaved no_floor;

	newer.save_number++;
	newer.term++;
	newer.voted_for = RAFT_NONE;
	abstaining.save_number += 2;
	abstaining.voted_for = RAFT_UNKNOWN;
	abstaining.abstaining = RAFT_ABSTAIN_TWIN;
	impossible.save_number += 3;
	impossible.term = UINT64_MAX;
	rebuilding.save_number++;
	rebuilding.claim = FUZZ_CLAIM;
	rebuilding.system_id = FUZZ_SYSTEM;
	rebuilding.rebuild = RAFT_REWINDING;
	rebuilding.rebuild_source = 2;
	rebuilding.rebuild_term = 7;
	rebuilding.floor = (RaftPosition){FUZZ_CLAIM - 1, 4096};
	rebuilding.n_timelines = 2;
	rebuilding.timelines[0] = (RaftTimeline){FUZZ_CLAIM - 1, true};
	rebuilding.timelines[1] = (RaftTimeline){FUZZ_CLAIM, false};
	no_floor = rebuilding;
	no_floor.floor.epoch = (uint64_t) RAFT_MAX_TIMELINE + 1;

	store_seed("newer_second", 0, &older, &newer, FUZZ_NODE, 0);
	store_seed("newer_first", 0, &newer, &older, FUZZ_NODE, 0);
	store_seed("new_file", 0, &older, &older, FUZZ_NODE, 0);
	store_seed("abstaining", 0, &newer, &abstaining, FUZZ_NODE, 0);
	store_seed("rebuilding", 0, &older, &rebuilding, FUZZ_NODE, 0);
	store_seed("impossible_floor", 0x03, &older, &no_floor, FUZZ_NODE, 0);
	store_seed("rotten_first", 0, &older, &newer, FUZZ_NODE, 60);
	store_seed("rotten_second", 0, &older, &newer, FUZZ_NODE, STORE_SLOT_SIZE + 60);
	store_seed("no_magic", 0x03, &older, &newer, FUZZ_NODE, 3);
	store_seed("other_format", 0x03, &older, &newer, FUZZ_NODE, 11);
	store_seed("impossible_term", 0x03, &older, &impossible, FUZZ_NODE, 0);
	store_seed("padding_not_zero", 0x03, &older, &newer, FUZZ_NODE, 100);
	store_seed("another_node", 0, &older, &newer, FUZZ_NODE + 1, 0);
	store_seed("another_cluster", 0x03, &older, &newer, FUZZ_NODE, 20);
	store_seed("short_file", 0x10, &older, &newer, FUZZ_NODE, 0);
	store_seed("long_file", 0x20, &older, &newer, FUZZ_NODE, 0);
	store_seed("raw", 0x40, &older, &newer, FUZZ_NODE, 0);
}

/* ---- member lists ---- */

static void
make_lists(void)
{
	static const char *const lists[][2] = {
		{"three", "10.0.0.10:3500, 10.0.0.11:3500, 10.0.0.12:3500"},
		{"with_ids", "2=10.0.0.12:3500,0=10.0.0.10:3500 , 63=10.0.0.13:65535"},
		{"ipv6", "[2001:db8::1]:3500, [::ffff:10.0.0.2]:3501, [FE80::1%lo]:3500"},
		{"names", "Pg-One.example.org:3500, pg_two:3501, localhost.:1"},
		{"one_host", "127.0.0.1:3500, 127.0.0.1:3501"},
		{"empty", ""},
		{"no_port", "10.0.0.10, 10.0.0.11:3500"},
		{"port_out_of_range", "10.0.0.10:65536"},
		{"id_twice", "1=a:1, 1=b:1"},
		{"some_ids", "0=a:1, b:1"},
		{"address_twice", "a:1, A:1"},
		{"not_an_address", "256.1.1.1:1, 0x7f.1:1, 1.2.3:1"},
		{"nobody", "0.0.0.0:1, [::]:1, 224.0.0.1:1"},
		{"brackets", "[::1:3500, ::1]:1, []:1"},
		{"commas", ",a:1,,b:1,"},
	};
	char   many[64 * 16] = "";
	size_t used = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		write_seed("fuzz_cluster", lists[i][0], lists[i][1], strlen(lists[i][1]));
	for (int i = 0; i < RAFT_MAX_NODES; i++)
		used += (size_t) snprintf(many + used, sizeof(many) - used, "h%d:%d,", i, 3500 + i);
	write_seed("fuzz_cluster", "sixty_four", many, used - 1);
}

/* ---- history files ---- */

/* The first byte is the timeline that the file is said to be of, or more: see fuzz_lineage.c. */
static void
make_histories(void)
{
	static const char *const histories[][2] = {
		{"first_promotion", "\002"
							"1\t0/3000148\tno recovery target specified\n"},
		{"two", "\005"
				"1\t0/3000148\tx\n\n4\t16/B374D848\tbefore 2026-11-29 04:00:00+00\n"},
		{"of_no_length", "\005"
						 "1\t0/1\n2\t0/1\n3\tFFFFFFFF/FFFFFFFE"},
		{"last_lsn", "\005"
					 "1\tFFFFFFFF/FFFFFFFF\n"},
		{"of_the_last_timeline", "\367"
								 "1\t0/1\n2147483646\t0/2\n"},
		{"above_the_last_timeline", "\370"
									"1\t0/1\n"},
		{"of_timeline_4294967295", "\375"
								   "1\t0/1\n4294967294\t0/2\n"},
		{"ancestor_of_33_bits", "\367"
								"4294967297\t0/1\n"},
		{"burnt", "\007# burnt\n"},
		{"empty", "\003"},
		{"first_has_none", "\001"
						   "1\t0/1\n"},
		{"falls", "\005"
				  "1\t0/2\n2\t0/1\n"},
		{"own_ancestor", "\003"
						 "3\t0/1\n"},
		{"not_an_lsn", "\003"
					   "1\t0/123456789\n"},
	};

	for (size_t i = 0; i < sizeof(histories) / sizeof(histories[0]); i++)
		write_seed("fuzz_lineage", histories[i][0], histories[i][1], strlen(histories[i][1]));
	write_seed("fuzz_lineage", "path", BYTES(255, 1, 16, 2, 16, 3, 64, 0, 70));
	write_seed("fuzz_lineage", "path_at_the_edges", BYTES(255, 1, 0, 134, 16, 135, 16, 136, 16, 200, 127, 255, 255, 255, 128, 200, 255, 255, 255, 255, 250, 0, 0, 1, 0, 0, 0, 0, 0));
}

/* ---- scripts for a core ---- */

/* Configuration, seed, greeted; the timer runs out, both pre-votes, both votes. */
#define ELECT_OF_3                                            \
	0, 1, 1, STEP_DEADLINE, STEP_DEADLINE, STEP_ANSWER, 0, 0, \
		STEP_ANSWER, 0, 1, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 1
#define HEARTBEAT_OF_3		  STEP_DEADLINE, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 1
#define SAVED_THEN_DEAD(step) (DYING_AFTER * STEPS + (step))
#define DEAD_THEN_SAVED(step) (DYING_BEFORE * STEPS + (step))

/* type, sender, flags, term as mine, then the body: see make_message(). */
#define LED_LONG_BY(peer)  7, peer, 0, 0, 1, 0, 3
#define LED_BY(peer)	   7, peer, 0, 0, 1, 3, 3
#define LED_ON_BY(peer)	   7, peer, 0, 3, 1, 3, 0
#define ASKED_BY(peer)	   5, peer, 0, 0, 2, 3
#define PRE_ASKED_BY(peer) 3, peer, 0, 3, 1

/* The same, managed; the first claim comes from nothing, later ones are above FUZZ_CLAIM. */
#define MANAGED		 (SCRIPT_MANAGED | 1)
#define CLAIMED		 (SCRIPT_MANAGED | SCRIPT_CLAIMED | 1)
#define STANDBY		 STEP_DATA, 0, 0, 100
#define VOTES_OF_3	 STEP_DEADLINE, STEP_DEADLINE, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 1, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 1
#define LEAD_MANAGED STANDBY, VOTES_OF_3, HEARTBEAT_OF_3
#define PROMOTE		 STEP_CLAIM, HEARTBEAT_OF_3, STEP_PROMOTE

/* Heartbeats of node 0, which is promoted on the claim: of a term above mine, of mine, and one that has forgotten. */
#define PROMOTED_LED 7, 0, 0, 0, 0, 120, 3, 0, 0x61, 0
#define LED_ON		 7, 0, 0, 3, 0, 120, 3, 0, 0x61, 0
#define FORGOTTEN	 7, 0, 0, 3, 0, 120, 3, 0, 0xA0, 0

static void
make_managed_scripts(void)
{
	write_seed("fuzz_core", "first_claim", BYTES(0, 1, MANAGED, STEP_DATA, 0, 1, 100, VOTES_OF_3, HEARTBEAT_OF_3, PROMOTE, STEP_PROMOTED, STEP_DATA, 0x31, 0, 110, HEARTBEAT_OF_3));
	write_seed("fuzz_core", "claim_and_promotion",
			   BYTES(0, 1, CLAIMED, LEAD_MANAGED, PROMOTE, STEP_PROMOTED, STEP_DATA, 0x31, 0, 110, HEARTBEAT_OF_3, STEP_RESIGN, 0));
	write_seed("fuzz_core", "promotion_outlives_the_process",
			   BYTES(0, 1, CLAIMED, LEAD_MANAGED, PROMOTE, STEP_RESTART, 0, STANDBY, STEP_CLAIM, STEP_PROMOTED, STEP_DEADLINE));
	write_seed("fuzz_core", "dies_when_it_is_to_be_promoted",
			   BYTES(0, 1, CLAIMED, LEAD_MANAGED, STEP_CLAIM, HEARTBEAT_OF_3, DEAD_THEN_SAVED(STEP_PROMOTE), STANDBY, STEP_DEADLINE));
	write_seed("fuzz_core", "claims_twice",
			   BYTES(0, 1, CLAIMED, LEAD_MANAGED, STEP_CLAIM, STEP_CLAIM, HEARTBEAT_OF_3, STEP_PROMOTE, STEP_PROMOTE));
	write_seed("fuzz_core", "follows_a_promoted_leader",
			   BYTES(8, 5, CLAIMED, STANDBY, PROMOTED_LED, STEP_FOLLOW, 2, 0, STEP_DATA, 0, 0, 120, LED_ON));
	write_seed("fuzz_core", "rewinds",
			   BYTES(8, 5, CLAIMED, STANDBY, PROMOTED_LED, STEP_REBUILD, 1, 0, 90, STEP_RESTART, 0,
					 STEP_DATA, 0, 0, 80, STEP_REBUILT, STEP_DATA, 0, 0, 100, STEP_REBUILT));
	write_seed("fuzz_core", "data_gone_and_cloned",
			   BYTES(8, 5, CLAIMED, STEP_DATA, 0xC0, 0, 0, PROMOTED_LED, FORGOTTEN, STANDBY,
					 STEP_REBUILT, STEP_DATA, 0, 0, 130, STEP_REBUILT));
	write_seed("fuzz_core", "behind_and_caught_up",
			   BYTES(8, 5, CLAIMED, STANDBY, STEP_HELD, 0, 110, PROMOTED_LED, STEP_DATA, 0, 0, 121));
	write_seed("fuzz_core", "impossible_data",
			   BYTES(0, 1, CLAIMED, STEP_DATA, 0, 242, 100, STEP_DATA, 0, 244, 100, STEP_DATA, 0, 245, 100,
					 STEP_DATA, 0, 0, 255, STEP_HELD, 0, 255, LEAD_MANAGED, STEP_DATA, 0x40, 228, 100, STEP_CLAIM));
	write_seed("fuzz_core", "wiped_and_trusted",
			   BYTES(8, 5, CLAIMED, STANDBY, STEP_RESTART, 7, STEP_DATA, 0, 199, 100, 1, 0, 0, 3, 0, 0, 0, 1, 2, 0, 3, 0, 0, 0,
					 PROMOTED_LED, STEP_WAIT_LONG, 100, STEP_DEADLINE, STEP_DEADLINE, STEP_TRUST, STEP_DEADLINE));
}

static void
make_scripts(void)
{
	write_seed("fuzz_core", "elect", BYTES(ELECT_OF_3));
	write_seed("fuzz_core", "duplicate_votes",
			   BYTES(4, 1, 1, STEP_DEADLINE, STEP_DEADLINE, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 0,
					 STEP_ANSWER, 0, 1, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 0,
					 STEP_DEADLINE));
	write_seed("fuzz_core", "lead",
			   BYTES(ELECT_OF_3, HEARTBEAT_OF_3, STEP_WAIT, 60, HEARTBEAT_OF_3, HEARTBEAT_OF_3,
					 STEP_WAIT_LONG, 30, STEP_TICK, STEP_DEADLINE));
	write_seed("fuzz_core", "hand_over",
			   BYTES(ELECT_OF_3, HEARTBEAT_OF_3, STEP_TRANSFER, 2, STEP_ANSWER, 0, 3, STEP_DEADLINE,
					 LED_BY(1), LED_ON_BY(1), STEP_RESIGN, 0));
	write_seed("fuzz_core", "resign", BYTES(ELECT_OF_3, HEARTBEAT_OF_3, STEP_RESIGN, 0, ASKED_BY(1)));
	write_seed("fuzz_core", "member_ahead",
			   BYTES(ELECT_OF_3, STEP_DEADLINE, STEP_ANSWER, 31, 0, STEP_ANSWER, 0, 0));
	write_seed("fuzz_core", "follow",
			   BYTES(8, 5, 1, LED_BY(0), LED_ON_BY(0), STEP_WAIT, 80, LED_ON_BY(0), PRE_ASKED_BY(2),
					 ASKED_BY(2), STEP_WAIT_LONG, 40, ASKED_BY(2), STEP_DEADLINE));
	write_seed("fuzz_core", "asked_to_stand",
			   BYTES(8, 5, 1, LED_BY(0), 9, 0, 0, 3, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 1,
					 HEARTBEAT_OF_3));
	write_seed("fuzz_core", "asked_to_stand_under_another_promise",
			   BYTES(8, 5, 1, LED_LONG_BY(0), LED_BY(2), 9, 2, 0, 3, STEP_DEADLINE));
	write_seed("fuzz_core", "vote_and_crash",
			   BYTES(8, 5, 1, SAVED_THEN_DEAD(5), 0, 0, 0, 2, 3, 5, 2, 0, 3, 2, 3, STEP_RESTART, 0,
					 DEAD_THEN_SAVED(5), 0, 0, 0, 2, 3, STEP_DEADLINE));
	write_seed("fuzz_core", "crash_of_a_leader",
			   BYTES(ELECT_OF_3, HEARTBEAT_OF_3, STEP_RESTART, 0, 1, 1, 0, 3, 0, 1, 2, 0, 3, 0,
					 STEP_ANSWER, 0, 6, STEP_DEADLINE, STEP_DEADLINE, STEP_DEADLINE));
	write_seed("fuzz_core", "wiped_and_back",
			   BYTES(8, 5, 1, LED_BY(0), STEP_RESTART, 7, 1, 0, 0, 3, 0, 1, 2, 0, 3, 0, LED_BY(0),
					 STEP_WAIT_LONG, 100, STEP_DEADLINE, STEP_DEADLINE, STEP_DEADLINE, STEP_DEADLINE));
	write_seed("fuzz_core", "damaged_and_admitted",
			   BYTES(8, 5, 1, LED_BY(0), STEP_RESTART, 6, 1, 0, 0, 3, 0, STEP_ADMIT, 0,
					 STEP_WAIT_LONG, 200, STEP_TICK, 1, 2, 0, 3, 0, STEP_WAIT_LONG, 200, STEP_TICK));
	write_seed("fuzz_core", "old_copy", BYTES(8, 5, 1, LED_BY(0), 1, 0, 0, 3, 161, 0, 3, STEP_DEADLINE));
	write_seed("fuzz_core", "peer_restarts",
			   BYTES(8, 5, 1, LED_BY(0), STEP_PEER_RESTARTS, 0, 0, 0, 0, 3, LED_ON_BY(0), STEP_DEADLINE));
	write_seed("fuzz_core", "longer_promise_then_shorter",
			   BYTES(ELECT_OF_3, STEP_TIMEOUTS, 15, HEARTBEAT_OF_3, STEP_TIMEOUTS, 1, HEARTBEAT_OF_3,
					 HEARTBEAT_OF_3, STEP_RESTART, 0, STEP_DEADLINE));
	write_seed("fuzz_core", "may_not_lead",
			   BYTES(ELECT_OF_3, STEP_MAY_LEAD, 0, STEP_DEADLINE, STEP_POSITION, 65, STEP_MAY_LEAD, 1));
	write_seed("fuzz_core", "end_of_terms", BYTES(200, 1, 1, STEP_DEADLINE, STEP_DEADLINE, ASKED_BY(1)));
	write_seed("fuzz_core", "single_member", BYTES(1, 1, 1, STEP_DEADLINE, STEP_DEADLINE, STEP_RESTART, 0));
	write_seed("fuzz_core", "sixty_four_members",
			   BYTES(6, 1, 1, STEP_DEADLINE, STEP_DEADLINE, STEP_ANSWER, 0, 0, STEP_ANSWER, 0, 1));
	make_managed_scripts();
	write_seed("fuzz_core", "new_member",
			   BYTES(128, 1, 1, STEP_WAIT_LONG, 100, STEP_TICK, STEP_DEADLINE));
}

/* ---- journals ---- */

/* Options of the file and of each record, places and records: see fuzz_journal.c. */
static void
journal_seed(const char *name, uint8_t options, uint8_t of_records, int n, int32_t node_id, size_t rot)
{
	StoreIdentity identity = {FUZZ_CLUSTER, node_id};
	uint8_t		  bytes[1 + 4 * (3 + JOURNAL_RECORD_SIZE)];
	size_t		  used = 0;

	bytes[used++] = options;
	for (int i = 0; i < n; i++)
	{
		JournalEvent event = {.number = (uint64_t) (1021 + i), .at = 1792000000000000, .boot = 3, .boot_time = 5000, .term = 7, .role = (RaftRole) i, .leader_id = i == 0 ? RAFT_NONE : i, .reason = "started"};

		bytes[used++] = of_records;
		bytes[used++] = (uint8_t) ((event.number - 1) % JOURNAL_EVENTS >> 8);
		bytes[used++] = (uint8_t) ((event.number - 1) % JOURNAL_EVENTS);
		journal_encode(&identity, &event, bytes + used);
		used += JOURNAL_RECORD_SIZE;
	}
	if (rot > 0)
		bytes[4 + rot] ^= 0x11;
	write_seed("fuzz_journal", name, bytes, used);
}

static void
make_journals(void)
{
	journal_seed("empty", 0, 0, 0, FUZZ_NODE, 0);
	journal_seed("around_the_end", 0, 0, 4, FUZZ_NODE, 0);
	journal_seed("one_rotten", 0, 0, 3, FUZZ_NODE, 50);
	journal_seed("all_rotten", 0, 0, 1, FUZZ_NODE, 50);
	journal_seed("other_format", 0, 0x01, 2, FUZZ_NODE, 11);
	journal_seed("other_words", 0, 0x01, 2, FUZZ_NODE, 99);
	journal_seed("numbers_made_to_fit", 0, 0x03, 2, FUZZ_NODE, 28);
	journal_seed("another_node", 0, 0, 2, FUZZ_NODE + 1, 0);
	journal_seed("anybodys", 0x04, 0, 2, FUZZ_NODE + 1, 0);
	journal_seed("short_file", 0x01, 0, 1, FUZZ_NODE, 0);
	journal_seed("long_file", 0x02, 0, 1, FUZZ_NODE, 0);
}

/* ---- HTTP requests ---- */

static void
make_requests(void)
{
	static const char *const seeds[][2] = {
		{"haproxy", "OPTIONS / HTTP/1.0\r\n\r\n"},
		{"head", "HEAD /primary HTTP/1.1\r\nHost: db:8008\r\n\r\n"},
		{"replica", "GET /replica?lag=10MB&replication_state=streaming HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"readiness", "GET /readiness?lag=16kB&mode=write HTTP/1.1\n\n"},
		{"tag", "GET /read-only?tag_zone=a&lag=1TB HTTP/1.1\r\n\r\n"},
		{"metrics", "GET /metrics HTTP/1.1\r\nAccept: text/plain\r\n\r\n"},
		{"switchover", "POST /switchover HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"},
		{"pipeline", "GET /health HTTP/1.1\r\n\r\nGET /sync HTTP/1.1\r\n\r\n"},
		{"tls", "\x16\x03\x01\x02"},
		{"http_2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{"overflow", "GET /async?lag=18446744073709551616 HTTP/1.1\r\n\r\n"}};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		write_seed("fuzz_probe", seeds[i][0], seeds[i][1], strlen(seeds[i][1]));
}

int
main(int argc, char **argv)
{
	if (argc != 2)
	{
		fprintf(stderr, "usage: make_corpus DIRECTORY\n");
		return 2;
	}
	directory = argv[1];
	if (mkdir(directory, 0777) != 0 && errno != EEXIST)
	{
		perror(directory);
		return 1;
	}
	make_messages();
	make_stores();
	make_journals();
	make_lists();
	make_histories();
	make_scripts();
	make_requests();
	return 0;
}
