/*
 * tools/pg_leader_state.c
 *	  Print a member's state file or journal of events, or write the first state file
 *	  of a new member.
 *
 *	  pg_leader_state FILE
 *	  pg_leader_state --events FILE
 *	  pg_leader_state --new FILE --node-id N --cluster LIST [--cluster-name NAME]
 *
 * For DBAs and scripts: "key: value" lines, and an exit status that tells a good
 * file (0) from one with a bad slot (1) and from one that cannot be used (2).
 *
 * A file written by --new does not abstain.  That is right for a cluster that is
 * created now, and for a single member; for a member that has ever run it would
 * be a vote forgotten.  So this program never overwrites or repairs a file.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../node/cluster.h"
#include "../node/defaults.h"
#include "../node/journal.h"
#include "../node/store.h"

#define PROGRAM			"pg_leader_state"
#define PROGRAM_VERSION "1.0"

#define EXIT_DAMAGED  1
#define EXIT_UNUSABLE 2

typedef struct Options
{
	bool		new_file;
	bool		events;
	const char *file;
	const char *node_id;
	const char *cluster;
	const char *cluster_name;
} Options;

static void
print_help(void)
{
	printf("%s prints the state file of a pg_leader member, or its events, or writes\n"
		   "a first state file.\n"
		   "\n"
		   "Usage:\n"
		   "  %s FILE\n"
		   "  %s --events FILE\n"
		   "  %s --new FILE --node-id N --cluster LIST [--cluster-name NAME]\n"
		   "\n"
		   "Options:\n"
		   "      --events             FILE is a journal, node-N.events beside the state file:\n"
		   "                           print the events that it holds, with their causes\n"
		   "      --new                write a first state file: when a whole cluster is\n"
		   "                           created, for a member that has never run; never to\n"
		   "                           join a cluster that runs, or after losing a file\n"
		   "      --node-id=N          as pg_leader.node_id\n"
		   "      --cluster=LIST       as pg_leader.cluster\n"
		   "      --cluster-name=NAME  as pg_leader.cluster_name (default \"%s\")\n"
		   "  -V, --version            print the version, then exit\n"
		   "  -?, -h, --help           print this help, then exit\n"
		   "\n"
		   "Exit status: 0 if the file is good or was written, 1 if one of its two slots\n"
		   "or some events are bad, 2 if it cannot be used and after any other error.\n",
		   PROGRAM, PROGRAM, PROGRAM, PROGRAM, DEFAULT_CLUSTER_NAME);
}

/* Always EXIT_UNUSABLE.  hint may be empty. */
static int complain(const char *hint, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int
complain(const char *hint, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: error: ", PROGRAM);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	if (hint[0] != '\0')
		fprintf(stderr, "%s: hint: %s\n", PROGRAM, hint);
	return EXIT_UNUSABLE;
}

/* ---- printing ---- */

static void
print_position(const char *name, RaftPosition position)
{
	printf("%s: %X/%X on timeline %llu\n", name, (unsigned) (position.index >> 32),
		   (unsigned) position.index, (unsigned long long) position.epoch);
}

static void
print_nodes(const char *name, uint64_t nodes)
{
	printf("%s:", name);
	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
	{
		if ((nodes >> id & 1) != 0)
			printf(" %d", (int) id);
	}
	printf("%s\n", nodes == 0 ? " those of its settings" : "");
}

/* What the member remembers of its data; nothing where pg_leader only elects. */
static void
print_data(const RaftSaved *saved)
{
	static const char *const rebuilds[] = {"no", "rewinding", "cloning"};

	if (saved->claim == 0 && saved->system_id == 0 && saved->rebuild == RAFT_INTACT)
		return;
	printf("system identifier: %llu\n", (unsigned long long) saved->system_id);
	printf("highest claimed timeline: %u\n", (unsigned) saved->claim);
	if (saved->promoting != 0)
		printf("promotion under way: to timeline %u\n", (unsigned) saved->promoting);
	printf("own timelines:");
	for (uint32_t i = 0; i < saved->n_timelines; i++)
		printf(" %u%s", (unsigned) saved->timelines[i].id,
			   saved->timelines[i].created ? " (created)" : "");
	printf("%s\n", saved->n_timelines == 0 ? " none" : "");
	printf("rebuilding: %s", rebuilds[saved->rebuild]);
	if (saved->rebuild != RAFT_INTACT)
		printf(", from node %d, since term %llu", (int) saved->rebuild_source,
			   (unsigned long long) saved->rebuild_term);
	printf("\n");
	print_position("has held", saved->floor);
	printf("cluster paused: %s\n", (saved->pause & 1) != 0 ? "yes" : "no");
	printf("data distrusted: %s\n", saved->distrusted ? "yes" : "no");
	if (saved->never_held)
		printf("has never held data\n");
	print_nodes("members that count", saved->list.now);
	if ((saved->list.number & 1) != 0)
		print_nodes("and, until all have changed over", saved->list.old);
}

static void
print_record(const RaftSaved *saved)
{
	printf("save number: %llu\n", (unsigned long long) saved->save_number);
	printf("boot counter: %llu\n", (unsigned long long) saved->boot);
	printf("term: %llu\n", (unsigned long long) saved->term);
	if (saved->voted_for == RAFT_NONE)
		printf("voted for: none\n");
	else if (saved->voted_for == RAFT_UNKNOWN)
		printf("voted for: unknown\n");
	else
		printf("voted for: %d\n", (int) saved->voted_for);
	printf("promise: %llu.%03llu ms\n", (unsigned long long) (saved->promise / 1000),
		   (unsigned long long) (saved->promise % 1000));
	printf("list digest: %016llx\n", (unsigned long long) saved->list_digest);
	printf("list size: %u\n", (unsigned) saved->list_size);
	if (saved->abstaining == RAFT_VOTING)
		printf("abstaining: no\n");
	else
		printf("abstaining: yes (%s)\n", raft_abstain_name(saved->abstaining));
	print_data(saved);
}

/* Read a whole file for what it says of itself. */
static StoreVerdict
examine(const uint8_t *image, size_t length, StoreVerdict *slots,
		StoreIdentity *identity, RaftSaved *saved, int *slot)
{
	StoreIdentity found;

	memset(identity, 0, sizeof(*identity));
	if (length != STORE_FILE_SIZE)
		return STORE_WRONG_SIZE;
	for (int i = 1; i >= 0; i--)
		slots[i] = store_decode(image + (size_t) i * STORE_SLOT_STRIDE, identity, saved);
	return store_choose(image, length, identity, saved, slot, &found);
}

static int
print_file(const char *path)
{
	uint8_t		  image[STORE_FILE_SIZE + 1];
	size_t		  length;
	Words		  words;
	StoreVerdict  slots[2];
	StoreVerdict  verdict = STORE_BAD;
	StoreIdentity identity;
	RaftSaved	  saved;
	int			  slot = 0;
	struct stat	  kind;

	/* What is not there, or closed to the caller, is worded below. */
	if (stat(path, &kind) == 0 && !S_ISREG(kind.st_mode))
		return complain("", "\"%s\" is not a regular file", path);

	/* The member may be saving just now, so a bad file gets a second look. */
	for (int attempt = 0; attempt < 2 && verdict != STORE_GOOD; attempt++)
	{
		if (!store_read(path, image, &length, &words))
			return complain("", "%s", words.error);
		verdict = examine(image, length, slots, &identity, &saved, &slot);
	}
	printf("file: %s\n", path);
	if (verdict == STORE_WRONG_SIZE)
	{
		printf("verdict: %s\n", store_verdict_name(verdict));
		fflush(stdout);
		return complain("This is not a state file of pg_leader, or it was truncated.",
						"\"%s\" has %s%zu bytes instead of %d", path,
						length > STORE_FILE_SIZE ? "at least " : "", length, STORE_FILE_SIZE);
	}
	if (slots[0] == STORE_GOOD || slots[1] == STORE_GOOD)
	{
		printf("format: %d\n", STORE_FORMAT);
		printf("node id: %d\n", (int) identity.node_id);
		printf("cluster digest: %016llx\n", (unsigned long long) identity.cluster_digest);
	}
	printf("slot 0: %s\n", store_verdict_name(slots[0]));
	printf("slot 1: %s\n", store_verdict_name(slots[1]));
	printf("verdict: %s\n", store_verdict_name(verdict));
	if (verdict != STORE_GOOD && verdict != STORE_ONE_SLOT_BAD)
	{
		fflush(stdout);
		return complain(verdict == STORE_OTHER_FORMAT ?
							"Use the " PROGRAM " of the version that wrote it." :
							"A member does not start with this file.",
						"\"%s\" cannot be used", path);
	}
	printf("record: slot %d\n", slot);
	print_record(&saved);
	return verdict == STORE_GOOD ? EXIT_SUCCESS : EXIT_DAMAGED;
}

/* ---- printing events ---- */

static uint8_t		journal_image[JOURNAL_FILE_SIZE + 1];
static JournalEvent events[JOURNAL_EVENTS];

/* "2026-11-21 14:02:46.123456+00" */
static void
print_wall_clock(int64_t at)
{
	time_t	  seconds = (time_t) (at / 1000000);
	struct tm parts;
	char	  text[40] = "?";

	if (gmtime_r(&seconds, &parts) != NULL)
		(void) strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
	printf("%s.%06d+00", text, (int) (at % 1000000));
}

static void
print_event(const JournalEvent *event)
{
	printf("%llu\t", (unsigned long long) event->number);
	print_wall_clock(event->at);
	printf("\tboot %llu\tterm %llu\t%s\t", (unsigned long long) event->boot,
		   (unsigned long long) event->term, raft_role_name(event->role));
	if (event->leader_id == RAFT_NONE)
		printf("no leader");
	else
		printf("leader %d", (int) event->leader_id);
	printf("\t%s\n", event->reason);
}

static int
print_events(const char *path)
{
	Words		   words;
	StoreIdentity  found;
	size_t		   length;
	bool		   missing;
	int			   n_events;
	int			   n_bad;
	JournalVerdict verdict = JOURNAL_BAD;

	/* The member may be writing just now, so a bad file gets a second look. */
	for (int attempt = 0; attempt < 2 && verdict > JOURNAL_EMPTY; attempt++)
	{
		if (!journal_read(path, journal_image, &length, &missing, &words))
			return complain(missing ? "It is node-N.events in the state directory." : "", "%s", words.error);
		verdict = journal_scan(journal_image, length, NULL, events, &n_events, &n_bad, &found);
	}
	if (verdict > JOURNAL_TORN)
		return complain("This is not a journal of pg_leader, or it is damaged.", "\"%s\" is %s", path,
						journal_verdict_name(verdict));
	for (int i = 0; i < n_events; i++)
		print_event(&events[i]);
	if (verdict != JOURNAL_TORN)
		return EXIT_SUCCESS;
	fflush(stdout);
	(void) complain("Their events are lost; the others are good.", "damaged records in \"%s\": %d", path, n_bad);
	return EXIT_DAMAGED;
}

/* ---- writing the first one ---- */

/*
 * The directory of FILE, whose name must be what the server will look for.
 * false: it is not.
 */
static bool
split_path(const char *file, int32_t node_id, char *directory, size_t size)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash != NULL ? slash + 1 : file;
	char		expected[64];

	(void) snprintf(expected, sizeof(expected), "node-%d.state", (int) node_id);
	if (strcmp(name, expected) != 0)
		return false;
	if (slash == NULL)
		(void) snprintf(directory, size, ".");
	else
		(void) snprintf(directory, size, "%.*s",
						slash == file ? 1 : (int) (slash - file), file);
	return true;
}

/*
 * A journal of this member beside the file says that it has run: then a first state file
 * would forget votes, and terms that others remember.
 */
static int
refuse_if_it_has_run(const char *directory, const StoreIdentity *identity)
{
	char		   path[STORE_PATH_SIZE];
	Words		   words;
	StoreIdentity  found;
	StoreEvidence  evidence = {0};
	size_t		   length;
	bool		   missing;
	int			   n_events;
	int			   n_bad;
	JournalVerdict verdict;

	if (!journal_path(directory, identity->node_id, path, sizeof(path)))
		return complain("", "the path of the file is too long");
	if (!journal_read(path, journal_image, &length, &missing, &words))
		return missing ? EXIT_SUCCESS : complain("It may tell that this member has run before.", "%s", words.error);
	verdict = journal_scan(journal_image, length, identity, events, &n_events, &n_bad, &found);
	if (verdict == JOURNAL_EMPTY || verdict == JOURNAL_OTHER_NODE || verdict == JOURNAL_OTHER_CLUSTER)
		return EXIT_SUCCESS;
	for (int i = 0; i < n_events; i++)
		journal_heed(&events[i], &evidence);
	if (n_events == 0)
		return complain("It may tell that this member has run before. If it has not, move that file away.",
						"the journal of events \"%s\" is %s", path, journal_verdict_name(verdict));
	return complain("Start its server without a state file: it goes on above that term, and abstains until all "
					"others have answered it. Move that file away only if the whole cluster is created anew.",
					"node %d has run before: its journal of events \"%s\" goes up to term %llu",
					(int) identity->node_id, path, (unsigned long long) evidence.term);
}

static int
write_first(const Options *options)
{
	Cluster		  cluster;
	Store		  store;
	StoreIdentity identity;
	RaftSaved	  first = {0};
	char		  directory[STORE_PATH_SIZE];
	Words		  words;
	char		  name[64];
	char		 *end;
	long		  id;

	if (options->events)
		return complain("The server creates the journal.", "--new and --events exclude each other");
	if (options->node_id == NULL || options->cluster == NULL)
		return complain("Use the values of pg_leader.node_id and pg_leader.cluster.",
						"--new needs --node-id and --cluster");
	id = strtol(options->node_id, &end, 10);
	if (options->node_id[0] < '0' || options->node_id[0] > '9' || *end != '\0' ||
		id < 0 || id >= RAFT_MAX_NODES)
		return complain("Give the value of pg_leader.node_id.",
						"\"%s\" is not a node id (0 to %d)", options->node_id,
						RAFT_MAX_NODES - 1);
	if (!cluster_parse(options->cluster, &cluster, &words))
		return complain(words.hint, "the member list is wrong: %s", words.error);
	if (cluster_member(&cluster, (int32_t) id) == NULL)
		return complain("Ids are positions in the list, from 0, unless it gives them.",
						"node %ld is not in the member list", id);
	if (!cluster_is_name(options->cluster_name))
		return complain("Give the value of pg_leader.cluster_name.",
						"a cluster's name is 1 to %d characters of printable ASCII",
						CLUSTER_NAME_MAX);
	if (strlen(options->file) >= STORE_PATH_SIZE)
		return complain("", "the path of the file is too long");
	if (!split_path(options->file, (int32_t) id, directory, sizeof(directory)))
	{
		(void) snprintf(name, sizeof(name), "The server looks for node-%ld.state.", id);
		return complain(name, "\"%s\" is not the name of node %ld's state file",
						options->file, id);
	}
	identity.node_id = (int32_t) id;
	identity.cluster_digest = cluster_text_digest(options->cluster_name);
	if (refuse_if_it_has_run(directory, &identity) != EXIT_SUCCESS)
		return EXIT_UNUSABLE;
	first.save_number = 1;
	first.voted_for = RAFT_NONE;
	first.list_digest = cluster_list_digest(&cluster, cluster.n_members);
	first.list_size = (uint32_t) cluster.n_members;
	first.abstaining = RAFT_VOTING;
	if (!store_create(&store, directory, &identity, &first, &words))
		return complain(words.hint, "%s", words.error);
	store_close(&store);
	printf("%s: wrote \"%s\" for node %ld of %d\n", PROGRAM, options->file, id,
		   cluster.n_members);
	if (geteuid() == 0)
		fprintf(stderr,
				"%s: warning: the file is owned by root, and PostgreSQL does not run as root\n"
				"%s: hint: give it and its directory to the user that the server runs as, with chown\n",
				PROGRAM, PROGRAM);
	return EXIT_SUCCESS;
}

/* ---- arguments ---- */

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"new", optional_argument, NULL, 'n'},
		{"events", optional_argument, NULL, 'e'},
		{"node-id", required_argument, NULL, 'i'},
		{"cluster", required_argument, NULL, 'c'},
		{"cluster-name", required_argument, NULL, 'N'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	static const char try_help[] = "Try \"" PROGRAM " --help\".";
	Options			  options = {.cluster_name = DEFAULT_CLUSTER_NAME};
	bool			  for_new = false;
	int				  option;

	/* getopt_long() uses '?' for what it does not know. */
	if (argc > 1 && strcmp(argv[1], "-?") == 0)
	{
		print_help();
		return EXIT_SUCCESS;
	}
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":Vh", long_options, NULL)) != -1)
	{
		switch (option)
		{
			case 'n':
				options.new_file = true;
				options.file = optarg; /* --new=FILE; else it is an argument */
				break;
			case 'e':
				options.events = true;
				options.file = optarg;
				break;
			case 'i':
				options.node_id = optarg;
				for_new = true;
				break;
			case 'c':
				options.cluster = optarg;
				for_new = true;
				break;
			case 'N':
				options.cluster_name = optarg;
				for_new = true;
				break;
			case 'V':
				printf("%s (pg_leader) %s\n", PROGRAM, PROGRAM_VERSION);
				return EXIT_SUCCESS;
			case 'h':
				print_help();
				return EXIT_SUCCESS;
			case ':':
				return complain(try_help, "option \"%s\" needs a value", argv[optind - 1]);
			default:
				return complain(try_help, "unknown option \"%s\"", argv[optind - 1]);
		}
	}
	if (options.file == NULL && optind < argc)
		options.file = argv[optind++];
	if (options.file == NULL || optind != argc)
		return complain(try_help, options.file == NULL ? "no file given" : "more than one file given");
	if (options.new_file)
		return write_first(&options);
	if (for_new)
		return complain(try_help, "--node-id, --cluster and --cluster-name go with --new");
	return options.events ? print_events(options.file) : print_file(options.file);
}
