/*
 * test/sim/main.c
 *	  The program: which worlds to run, and what is said about them.
 *
 * TAP on standard output.  A run that breaks an invariant is run once more with
 * tracing, for the story of its end.  Exit status: 0 all held, 1 something did
 * not, 2 bad usage.
 */
#include "keeper.h"
#include "random.h"
#include "scenarios_data.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRACE_LINES		 60
#define HASH_SEEDS		 8
#define ENOUGH_RUNS		 500   /* for the floors of the coverage to mean anything */
#define RUNS_FOR_REASONS 20000 /* in which each row of primary/decide.c has to be reached */
#define N_SAVES			 5	   /* figures of state files */
#define MOST_BEYOND		 2	   /* of 1000 runs: L1 is not asked of them */
#define SPEED_SIZE		 5	   /* nodes of the figure to compare */
#define SPEED_RUNS		 200   /* with servers */

static World		world;
static int			size;	 /* of random runs; 0: by seed */
static bool			servers; /* random runs have servers */
static const Story *story;	 /* that they are led by; NULL: by seed */
static int			n_tests;
static int			n_failed;

/* Totals of random runs, in memory that jobs share with their parent. */
typedef struct Totals
{
	uint64_t runs;
	uint64_t failed;
	uint64_t simulated; /* us */
	uint64_t coverage[COVER_ITEMS];
	uint64_t data[DATA_ITEMS];
	uint64_t reasons[PRIMARY_REASONS];
} Totals;

/*
 * A broken assertion of the core is a finding like any other.  The linker puts
 * this in the place of __assert_fail.
 */
extern _Noreturn void __wrap___assert_fail(const char *assertion, const char *file,
										   unsigned int line, const char *function);

_Noreturn void
__wrap___assert_fail(const char *assertion, const char *file, unsigned int line,
					 const char *function)
{
	checker_fail(&world, 'A', BIT(world.n) - 1, "assertion %s in %s, %s:%u", assertion,
				 function, file, line);
}

static uint64_t
read_clock(clockid_t clock)
{
	struct timespec ts;

	(void) clock_gettime(clock, &ts);
	return (uint64_t) ts.tv_sec * PER_MILLION + (uint64_t) ts.tv_nsec / 1000;
}

static uint64_t
real_time(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/* ---- one run ---- */

/* True: all held, or what was wanted was found. */
static bool
attempt(const Scenario *scenario, uint64_t seed)
{
	world.failure.invariant = 0;
	if (setjmp(world.escape) == 0)
	{
		if (scenario == NULL && servers)
			data_run(&world, seed, size, story);
		else if (scenario == NULL)
			random_run(&world, seed, size);
		else
		{
			world_reset(&world, 3, 1);
			scenario->run(&world);
			if (scenario->wanted != NULL)
				checker_fail(&world, 'E', 0, "no violation of %s was found", scenario->wanted);
		}
	}
	if (scenario != NULL && scenario->wanted != NULL && world.failure.invariant != 0 &&
		strchr(scenario->wanted, world.failure.invariant) != NULL)
		return true;
	return world.failure.invariant == 0;
}

static void
print_trace(uint64_t nodes)
{
	uint64_t first = world.n_lines > SIM_TRACE ? world.n_lines - SIM_TRACE : 0;
	uint64_t from = world.n_lines;
	int		 n = 0;

	while (from > first && n < TRACE_LINES)
	{
		from--;
		n += world.lines[from % SIM_TRACE].nodes == 0 ||
			 (world.lines[from % SIM_TRACE].nodes & nodes) != 0;
	}
	for (; from < world.n_lines; from++)
	{
		if (world.lines[from % SIM_TRACE].nodes == 0 ||
			(world.lines[from % SIM_TRACE].nodes & nodes) != 0)
			printf("# %s\n", world.lines[from % SIM_TRACE].text);
	}
}

/* Say what broke, and how it came to that. */
static void
report_failure(const Scenario *scenario, uint64_t seed)
{
	const char *mix = story != NULL ? " --directed " : servers ? " --servers" :
																 "";
	Failure		first = world.failure;
	char		sized[32] = "";

	world.tracing = 1;
	world.n_lines = 0;
	(void) attempt(scenario, seed);
	world.tracing = 0;
	printf("# invariant %c broken in step %" PRIu64 " at %" PRIu64 " us: %s\n", first.invariant,
		   first.step, first.at, first.text);
	if (memcmp(&first, &world.failure, offsetof(Failure, text)) != 0)
		printf("# NOT THE SAME when run again: the simulator itself is at fault\n");
	print_trace(first.nodes);
	if (size != 0)
		(void) snprintf(sized, sizeof(sized), " --nodes %d", size);
	if (scenario != NULL)
		printf("# replay: sim --scenario %s --trace\n", scenario->name);
	else
		printf("# replay: sim%s%s --seed %" PRIu64 "%s --trace\n", mix, story != NULL ? story->name : "", seed, sized);
	fflush(stdout);
}

/* ---- scenarios ---- */

static const Scenario *const tables[] = {scenarios_votes, scenarios_network, scenarios_state,
										 scenarios_lease, scenarios_adoption, scenarios_claims, scenarios_positions, scenarios_answers,
										 scenarios_copies,
										 scenarios_rebuilds, scenarios_lists, scenarios_maintenance};

static void
list_scenarios(void)
{
	for (size_t k = 0; k < sizeof(tables) / sizeof(tables[0]); k++)
	{
		for (const Scenario *s = tables[k]; s->name != NULL; s++)
			printf("%s\n", s->name);
	}
}

static void
test_line(bool ok, const char *name)
{
	n_tests++;
	n_failed += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", n_tests, name);
	fflush(stdout);
}

static bool
run_scenarios(const char *name)
{
	bool found = false;

	for (size_t k = 0; k < sizeof(tables) / sizeof(tables[0]); k++)
	{
		for (const Scenario *s = tables[k]; s->name != NULL; s++)
		{
			bool ok;

			if (strcmp(name, "all") != 0 && strcmp(name, s->name) != 0)
				continue;
			found = true;
			ok = attempt(s, 0);
			test_line(ok, s->name);
			if (!ok && world.tracing != 2)
				report_failure(s, 0);
			else if (!ok)
				printf("# invariant %c broken in step %" PRIu64 ": %s\n",
					   world.failure.invariant, world.failure.step, world.failure.text);
			else if (s->wanted != NULL)
				printf("# found, as it must be: %s\n", world.failure.text);
		}
	}
	return found;
}

/* ---- hashes ---- */

static uint64_t
hash_of(uint64_t seed)
{
	return attempt(NULL, seed) ? world.hash : 0;
}

static void
write_hashes(void)
{
	for (uint64_t seed = 1; seed <= HASH_SEEDS; seed++)
		printf("%" PRIu64 " %016" PRIx64 "\n", seed, hash_of(seed));
}

/* Same seed, same run: as written down, on whatever machine that was. */
static void
check_hashes(const char *path)
{
	FILE	*file = fopen(path, "r");
	uint64_t seed;
	uint64_t hash;
	int		 n = 0;
	int		 wrong = 0;

	while (file != NULL && fscanf(file, "%" SCNu64 " %" SCNx64, &seed, &hash) == 2)
	{
		uint64_t got = hash_of(seed);

		n++;
		if (got == hash)
			continue;
		wrong++;
		printf("# seed %" PRIu64 ": %016" PRIx64 ", not %016" PRIx64 "\n", seed, got, hash);
	}
	if (file != NULL)
		(void) fclose(file);
	if (wrong > 0)
		printf("# after a change of the election or the simulator: make update-hashes\n");
	test_line(n == HASH_SEEDS && wrong == 0, "known_hashes");
}

/* ---- the random mix ---- */

static void
random_seed(uint64_t seed, Totals *totals)
{
	bool ok = attempt(NULL, seed);

	totals->runs++;
	totals->simulated += world.now;
	if (ok)
		return;
	totals->failed++;
	printf("# seed %" PRIu64 " fails\n", seed);
	report_failure(NULL, seed);
}

/* Every n_jobs-th seed, until the count is reached or the time is over. */
static void
run_job(uint64_t from, uint64_t count, uint64_t until, uint64_t job, uint64_t n_jobs,
		Totals *totals)
{
	memset(world.coverage, 0, sizeof(world.coverage));
	memset(world.data, 0, sizeof(world.data));
	memset(world.reasons, 0, sizeof(world.reasons));
	for (uint64_t k = job; count == 0 || k < count; k += n_jobs)
	{
		if (until != 0 && real_time() >= until)
			break;
		random_seed(from + k, totals);
		if (totals->failed >= 5)
			break;
	}
	memcpy(totals->coverage, world.coverage, sizeof(world.coverage));
	memcpy(totals->data, world.data, sizeof(totals->data));
	memcpy(totals->reasons, world.reasons, sizeof(totals->reasons));
}

#define COVERAGE_TEXT(name, text, floor)  text,
#define COVERAGE_FLOOR(name, text, floor) floor,
static const char *const cover_text[] = {COVERAGE(COVERAGE_TEXT)};
static const uint64_t	 cover_floor[] = {COVERAGE(COVERAGE_FLOOR)};
static const char *const data_text[] = {DATA_COVERAGE(COVERAGE_TEXT)};
static const uint64_t	 data_floor[] = {DATA_COVERAGE(COVERAGE_FLOOR)};

/* What the runs did; false if that was too little to mean anything.  runs 0: there are no floors. */
static bool
print_items(const char *const *text, const uint64_t *floors, const uint64_t *times, int n, uint64_t runs)
{
	bool enough = true;

	printf("# %-48s %14s %14s\n", "what the random runs did", "times", "at least");
	for (int k = 0; k < n; k++)
	{
		uint64_t floor = floors[k] * runs / 1000;
		bool	 low = times[k] < floor;

		printf("# %-48s %14" PRIu64 " %14" PRIu64 "%s\n", text[k], times[k], floor, low ? "  TOO FEW" : "");
		enough = enough && !low;
	}
	return enough;
}

/* Rows of primary/decide.c that no random run comes to, and why. */
static const struct
{
	PrimaryReason reason;
	const char	 *why;
} excused[] = {
	{PRIMARY_LEADS_HALF_REBUILT, "raft/ lets nobody stand who is being rebuilt, and nobody be rebuilt who leads"},
	{PRIMARY_LEADS_WITHOUT_DATA, "whose data are lost has no server first: leads_without_server"},
	{PRIMARY_LEADS_BEHIND, "whose data are replaced has no server first: leads_without_server"},
	{PRIMARY_MANY_BURNT, "no run loses so many claims one after the other"},
	{PRIMARY_LOOK_AGAIN, "a primary sends no more than it has flushed, and never starts as a primary on the same timeline"},
	{PRIMARY_AHEAD, "as look_again"},
	{PRIMARY_PART_LEFT, "a simulated server has whole records only"},
	{PRIMARY_UNFORESEEN, "there is no such case"},
};

/* Which rows were never reached; false if one of them had to be, in so many runs. */
static bool
print_reasons(const Totals *t)
{
	bool enough = true;

	for (int reason = 0; reason < PRIMARY_REASONS; reason++)
	{
		const char *why = NULL;

		for (size_t k = 0; k < sizeof(excused) / sizeof(excused[0]); k++)
			why = excused[k].reason == (PrimaryReason) reason ? excused[k].why : why;
		if (t->reasons[reason] == 0)
			printf("# never: %s%s%s\n", primary_reason_name((PrimaryReason) reason), why != NULL ? ", " : "", why != NULL ? why : "");
		else if (why != NULL)
			printf("# is excused, and was reached %" PRIu64 " times: %s\n", t->reasons[reason], primary_reason_name((PrimaryReason) reason));
		enough = enough && (t->reasons[reason] != 0 || why != NULL);
	}
	return enough || t->runs < RUNS_FOR_REASONS;
}

/* Of runs with servers: what befell state files. */
static bool
print_saves(const Totals *t)
{
	static const CoverageItem items[N_SAVES] = {COVER_SLOW_SAVES, COVER_CRASH_BEFORE_SAVE, COVER_CRASH_TORN_SAVE, COVER_CRASH_BEFORE_SHOW,
												COVER_CRASH_MID_SEND};
	static const uint64_t	  floors[N_SAVES] = {400, 80, 29, 80, 140};
	const char				 *text[N_SAVES];
	uint64_t				  times[N_SAVES];

	for (int k = 0; k < N_SAVES; k++)
	{
		text[k] = cover_text[items[k]];
		times[k] = t->coverage[items[k]];
	}
	return print_items(text, floors, times, N_SAVES, story != NULL ? 0 : t->runs);
}

static bool
print_coverage(const Totals *t)
{
	bool enough;

	if (!servers)
		return print_items(cover_text, cover_floor, t->coverage, COVER_ITEMS, t->runs);
	enough = print_items(data_text, data_floor, t->data, DATA_ITEMS, story != NULL ? 0 : t->runs);
	enough = print_saves(t) && enough;
	if (t->data[DATA_BEYOND] > t->runs * MOST_BEYOND / 1000)
	{
		printf("# L1 was not asked of %" PRIu64 " runs, which is too many\n", t->data[DATA_BEYOND]);
		enough = false;
	}
	return print_reasons(t) && enough;
}

static bool
run_random(uint64_t from, uint64_t count, uint64_t seconds, uint64_t n_jobs)
{
	Totals	*all = mmap(NULL, n_jobs * sizeof(Totals), PROT_READ | PROT_WRITE,
						MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	Totals	 sum = {0};
	uint64_t began = real_time();
	uint64_t until = seconds == 0 ? 0 : began + seconds * PER_MILLION;
	uint64_t took;
	bool	 died = false;

	if (all == MAP_FAILED)
	{
		fprintf(stderr, "sim: could not get memory: %s\n", strerror(errno));
		return false;
	}
	fflush(stdout);
	for (uint64_t job = 1; job < n_jobs; job++)
	{
		pid_t pid = fork();

		if (pid < 0)
			died = true;
		if (pid != 0)
			continue;
		run_job(from, count, until, job, n_jobs, &all[job]);
		fflush(stdout);
		_exit(0);
	}
	run_job(from, count, until, 0, n_jobs, &all[0]);
	for (uint64_t job = 1; job < n_jobs; job++)
	{
		int status;

		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
			died = true;
	}
	took = real_time() - began;
	for (uint64_t job = 0; job < n_jobs; job++)
	{
		sum.runs += all[job].runs;
		sum.failed += all[job].failed;
		sum.simulated += all[job].simulated;
		for (int k = 0; k < COVER_ITEMS; k++)
			sum.coverage[k] += all[job].coverage[k];
		for (int k = 0; k < DATA_ITEMS; k++)
			sum.data[k] += all[job].data[k];
		for (int k = 0; k < PRIMARY_REASONS; k++)
			sum.reasons[k] += all[job].reasons[k];
	}
	(void) munmap(all, n_jobs * sizeof(Totals));
	printf("# seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " runs, %" PRIu64 " failed; %" PRIu64
		   ".%02" PRIu64 " simulated hours in %" PRIu64 " s, %" PRIu64 " times real time\n",
		   from, from + sum.runs - 1, sum.runs, sum.failed, sum.simulated / SECONDS(3600),
		   sum.simulated / SECONDS(36) % 100, took / PER_MILLION,
		   sum.simulated / (took == 0 ? 1 : took));
	/* A handful of runs says nothing about the mix. */
	if (!print_coverage(&sum) && sum.runs >= ENOUGH_RUNS && size == 0 && story == NULL)
	{
		printf("# the runs were too quiet\n");
		died = true;
	}
	return sum.runs > 0 && sum.failed == 0 && !died;
}

/* Random runs with servers, with all their faults. */
static void
measure_servers(uint64_t from)
{
	Totals	 totals = {0};
	uint64_t steps = 0;
	uint64_t began = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t took;

	size = size == 0 ? SPEED_SIZE : size;
	for (uint64_t k = 0; k < SPEED_RUNS; k++)
	{
		random_seed(from + k, &totals);
		steps += world.steps;
	}
	took = read_clock(CLOCK_PROCESS_CPUTIME_ID) - began;
	printf("# %d random runs of %d nodes with servers: %" PRIu64 " times real time, %" PRIu64
		   " steps a second, by the time of one processor\n",
		   SPEED_RUNS, size, totals.simulated / took, steps * PER_MILLION / took);
	test_line(totals.failed == 0, "speed");
}

/* Quiet nodes at default timings, nothing but checks. */
static void
measure_speed(void)
{
	int		 n = size == 0 ? SPEED_SIZE : size;
	uint64_t began;
	uint64_t took;

	world.failure.invariant = 0;
	if (setjmp(world.escape) != 0)
	{
		test_line(false, "speed");
		return;
	}
	(void) begin_settled(&world, n);
	began = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	world_run(&world, SECONDS(20000));
	took = read_clock(CLOCK_PROCESS_CPUTIME_ID) - began;
	printf("# %d quiet nodes at default timings: %" PRIu64 " times real time, %" PRIu64
		   " steps a second, by the time of one processor\n",
		   n, SECONDS(20000) / took, world.steps * PER_MILLION / took);
	test_line(true, "speed");
}

/* ---- usage ---- */

static const char usage[] =
	"usage: sim --list | --scenario NAME|all [--trace] | --seed N [--trace] |\n"
	"           --random COUNT [--from SEED] [--jobs J] | --seconds S [--from SEED] [--jobs J] |\n"
	"           --hash SEED | --check-hashes FILE | --write-hashes | --speed | --help\n"
	"\n"
	"  --list               names of all scenarios\n"
	"  --scenario NAME      run one of them, or all; may be given with --random or --seconds\n"
	"  --seed N             one random run\n"
	"  --trace              print all that happens\n"
	"  --random COUNT       so many random runs\n"
	"  --seconds S          random runs for so long\n"
	"  --from SEED          the first seed (1)\n"
	"  --jobs J             processes, 1 to 64 (1)\n"
	"  --servers            random runs with simulated servers, see keeper.h\n"
	"  --directed STORY     as --servers, and each run is led to what that story is about:\n"
	"                       vote_then_flush, figure_eight; see directed.c\n"
	"  --nodes N            size of the clusters of random runs, 1 to 31, with servers 1 to 7\n"
	"                       (by seed; 5 with --speed)\n"
	"  --hash SEED          print the hash of a run's trace\n"
	"  --check-hashes FILE  compare hashes with those in the file\n"
	"  --write-hashes       print such a file\n"
	"  --speed              simulated time over processor time, of quiet nodes; with --servers\n"
	"                       of 200 random runs with all their faults\n";

static _Noreturn void
bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "sim: %s: \"%s\" (try --help)\n", what, value);
	exit(2);
}

static uint64_t
read_number(const char *option, const char *text, uint64_t low, uint64_t high)
{
	char	*end;
	uint64_t value;
	char	 what[128];

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && value >= low &&
		value <= high)
		return value;
	(void) snprintf(what, sizeof(what), "%s needs a number from %" PRIu64 " to %" PRIu64, option,
					low, high);
	bad_usage(what, text);
}

static const Story *
find_story(const char *name)
{
	const Story *found = stories;

	while (found->name != NULL && strcmp(found->name, name) != 0)
		found++;
	if (found->name == NULL)
		bad_usage("--directed knows no such story", name);
	return found;
}

typedef struct Options
{
	const char *scenario;
	const char *hashes;
	uint64_t	seed;
	uint64_t	hash_seed;
	uint64_t	count;
	uint64_t	seconds;
	uint64_t	from;
	uint64_t	jobs;
	bool		has_seed;
	bool		has_hash;
	bool		trace;
	bool		list;
	bool		write;
	bool		speed;
} Options;

static void
set_option(Options *o, int option, char **argv)
{
	switch (option)
	{
		case 'l':
			o->list = true;
			break;
		case 's':
			o->scenario = optarg;
			break;
		case 'n':
			o->has_seed = true;
			o->seed = read_number("--seed", optarg, 0, UINT64_MAX);
			break;
		case 't':
			o->trace = true;
			break;
		case 'r':
			o->count = read_number("--random", optarg, 1, UINT64_C(1000000000));
			break;
		case 'S':
			o->seconds = read_number("--seconds", optarg, 1, 10000000);
			break;
		case 'f':
			o->from = read_number("--from", optarg, 0, UINT64_MAX / 2);
			break;
		case 'j':
			o->jobs = read_number("--jobs", optarg, 1, 64);
			break;
		case 'N':
			size = (int) read_number("--nodes", optarg, 1, SIM_MAX_SIZE);
			break;
		case 'd':
			servers = true;
			break;
		case 'D':
			servers = true;
			story = find_story(optarg);
			break;
		case 'h':
			o->has_hash = true;
			o->hash_seed = read_number("--hash", optarg, 0, UINT64_MAX);
			break;
		case 'c':
			o->hashes = optarg;
			break;
		case 'w':
			o->write = true;
			break;
		case 'p':
			o->speed = true;
			break;
		case '?' + 128:
			fputs(usage, stdout);
			exit(0);
		default:
			bad_usage("unknown option, or its value is missing", argv[optind - 1]);
	}
}

static Options
read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{"list", no_argument, NULL, 'l'},
		{"scenario", required_argument, NULL, 's'},
		{"seed", required_argument, NULL, 'n'},
		{"trace", no_argument, NULL, 't'},
		{"random", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 'S'},
		{"from", required_argument, NULL, 'f'},
		{"jobs", required_argument, NULL, 'j'},
		{"nodes", required_argument, NULL, 'N'},
		{"servers", no_argument, NULL, 'd'},
		{"directed", required_argument, NULL, 'D'},
		{"hash", required_argument, NULL, 'h'},
		{"check-hashes", required_argument, NULL, 'c'},
		{"write-hashes", no_argument, NULL, 'w'},
		{"speed", no_argument, NULL, 'p'},
		{"help", no_argument, NULL, '?' + 128},
		{NULL, 0, NULL, 0}};
	Options o = {.from = 1, .jobs = 1};
	int		option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		set_option(&o, option, argv);
	if (optind < argc)
		bad_usage("unexpected argument", argv[optind]);
	if (servers && size > SIM_SERVERS)
		bad_usage("--servers has no room for so many nodes", "--nodes");
	if (story != NULL && size != 0 && (size < story->smallest || size > story->largest))
		bad_usage("the story is of other sizes", "--nodes");
	if (!o.list && !o.scenario && !o.hashes && !o.has_seed && !o.has_hash && !o.count &&
		!o.seconds && !o.write && !o.speed)
		bad_usage("nothing to do", argc > 1 ? argv[1] : "");
	return o;
}

int
main(int argc, char **argv)
{
	Options o = read_options(argc, argv);

	if (o.list)
		list_scenarios();
	world.tracing = o.trace ? 2 : 0;
	if (o.scenario != NULL && !run_scenarios(o.scenario))
		bad_usage("no such scenario (see --list)", o.scenario);
	if (o.has_seed)
	{
		bool ok = attempt(NULL, o.seed);

		test_line(ok, "seed");
		if (!ok && o.trace)
			printf("# invariant %c broken in step %" PRIu64 ": %s\n", world.failure.invariant,
				   world.failure.step, world.failure.text);
		else if (!ok)
			report_failure(NULL, o.seed);
	}
	world.tracing = 0;
	if (o.has_hash)
		printf("%016" PRIx64 "\n", hash_of(o.hash_seed));
	if (o.write)
		write_hashes();
	if (o.hashes != NULL)
		check_hashes(o.hashes);
	if (o.speed && servers)
		measure_servers(o.from);
	else if (o.speed)
		measure_speed();
	if (o.count != 0 || o.seconds != 0)
		test_line(run_random(o.from, o.count, o.seconds, o.jobs), "random_mix");
	if (n_tests > 0)
		printf("1..%d\n", n_tests);
	return n_failed > 0 ? 1 : 0;
}
