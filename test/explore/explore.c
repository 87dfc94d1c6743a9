/*
 * test/explore/explore.c
 *	  Exhaustive exploration of small worlds: every state that two or three real
 *	  cores can reach, breadth first, with every invariant checked in each.
 *
 * Run by hand and by the test run; prints TAP.  See README.md for what a state
 * is, which steps there are, and what the exploration does not cover.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "seen.h"

#define MAX_PATH 1024

typedef struct Setup
{
	const char *start;
	WorldLimits limits;
	int			depth;
	double		seconds;
} Setup;

/* What came of exploring one configuration. */
typedef struct Report
{
	uint64_t	steps;	   /* taken, the checks done */
	uint64_t	explored;  /* states whose every step was taken */
	uint64_t	over;	   /* steps not taken because of the limits */
	int			depth;	   /* up to here every state was explored */
	const char *stopped;   /* why there may be more; NULL: there is none */
	bool		violation; /* invariants_violation says which */
	double		seconds;
} Report;

/* For telling the path when an assertion of the core fails. */
static const Setup *now_exploring;
static uint32_t		now_entry = SEEN_NONE;
static WorldStep	now_step;

/* Over all configurations. */
static uint64_t happened[WORLD_REASONS];
static uint64_t steps_taken[STEP_KINDS];

static double
seconds_now(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* ---- steps as numbers ---- */

static uint32_t
pack_step(const WorldStep *s)
{
	return (uint32_t) s->kind | (uint32_t) s->node << 4 | (uint32_t) s->item << 6 |
		   (uint32_t) s->crash << 10 | s->keep << 11;
}

static WorldStep
unpack_step(uint32_t packed)
{
	WorldStep s = {
		.kind = (WorldStepKind) (packed & 15),
		.node = packed >> 4 & 3,
		.item = packed >> 6 & 15,
		.crash = (packed >> 10 & 1) != 0,
		.keep = packed >> 11 & KEEP_ALL,
	};

	return s;
}

/* ---- telling a path ---- */

static void
tell_state(const World *w)
{
	for (int i = 0; i < world_limits.nodes; i++)
	{
		const WorldNode *n = &w->node[i];

		if (n->up)
			printf("        node %d: %s, term %d, vote %d, promised for %d ms, lease for %d ms%s\n", i,
				   raft_role_name((RaftRole) n->role), n->term, n->voted_for,
				   n->promised_until > n->promised_others_until ? n->promised_until :
																  n->promised_others_until,
				   n->shown_lease, n->abstaining ? ", abstaining" : "");
		else
			printf("        node %d: down, term %d, vote %d, shows a lease for %d ms\n", i, n->term,
				   n->voted_for, n->shown_lease);
	}
}

/* All steps from the start to an entry; returns how many. */
static int
tell_path(const Setup *setup, uint32_t entry, World *w)
{
	static uint32_t steps[MAX_PATH];
	uint32_t		step;
	uint32_t		from;
	int				n = 0;

	while (n < MAX_PATH && (from = seen_from(entry, &step)) != SEEN_NONE)
	{
		steps[n++] = step;
		entry = from;
	}
	world_trace = NULL;
	(void) world_begin(w, setup->start);
	world_trace = stdout;
	printf("    start \"%s\":\n", setup->start);
	tell_state(w);
	for (int k = 0; k < n; k++)
	{
		WorldStep s = unpack_step(steps[n - 1 - k]);

		printf("%4d. ", k + 1);
		world_tell_step(w, &s);
		(void) world_act(w, &s);
		if (w->n_flight > world_limits.flight)
			printf("        lost: %d of %d datagrams\n", w->n_flight - world_limits.flight, w->n_flight);
		world_lose(w, s.keep);
	}
	return n;
}

/* The path to what was found, the step that it was found in included. */
static void
tell_finding(const Setup *setup, bool can_be_repeated)
{
	static World w;
	int			 n = tell_path(setup, now_entry, &w);

	printf("%4d. ", n + 1);
	world_tell_step(&w, &now_step);
	if (can_be_repeated)
	{
		(void) world_act(&w, &now_step);
		printf("    and then:\n");
		tell_state(&w);
	}
	world_trace = NULL;
}

/* An assertion of the core is a finding like any other. */
static void
on_abort(int signal_number)
{
	(void) signal_number;
	if (now_entry != SEEN_NONE)
	{
		printf("not ok - %d nodes, start \"%s\"\n", world_limits.nodes, now_exploring->start);
		printf("# VIOLATION in %" PRIu64 " states: an assertion of the core\n", seen_states());
		tell_finding(now_exploring, false);
		(void) fflush(stdout);
	}
	_exit(1);
}

/* ---- exploring ---- */

/* The next larger number with as many bits set (Gosper's way). */
static uint32_t
next_choice(uint32_t choice)
{
	uint32_t lowest = choice & -choice;
	uint32_t ripple = choice + lowest;

	return (((choice ^ ripple) >> 2) / lowest) | ripple;
}

/* Add what comes of a step, once for each choice of what is lost. */
static SeenResult
add_results(const World *after, uint32_t entry, WorldStep step)
{
	int		   n = after->n_flight;
	int		   room = world_limits.flight;
	uint32_t   end = UINT32_C(1) << n;
	World	   w;
	SeenResult result = SEEN_BEFORE;

	step.keep = n <= room ? KEEP_ALL : (UINT32_C(1) << room) - 1;
	do
	{
		memcpy(&w, after, world_size(after));
		world_lose(&w, step.keep);
		if (seen_add(&w, entry, pack_step(&step)) == SEEN_FULL)
			return SEEN_FULL;
		if (n <= room)
			break;
		step.keep = next_choice(step.keep);
	} while (step.keep < end);
	return result;
}

/* Take one step, and the same with a crash.  false: stop exploring. */
static bool
try_step(const World *before, uint32_t entry, WorldStep step, Report *report)
{
	World		after;
	bool		saved;
	WorldResult result;

	memcpy(&after, before, world_size(before));
	memset(&after.flight[before->n_flight], 0,
		   (size_t) (WORLD_BAG - before->n_flight) * sizeof(WorldMessage));
	now_step = step;
	result = world_act(&after, &step);
	saved = world_saved;
	report->over += result == WORLD_OVER_LIMIT;
	if (result == WORLD_VIOLATION)
	{
		report->violation = true;
		return false;
	}
	if (result != WORLD_DONE)
		return true;
	report->steps++;
	if (add_results(&after, entry, step) == SEEN_FULL)
	{
		report->stopped = "memory is full";
		return false;
	}
	if (!saved || step.crash || step.kind == STEP_RESTART || step.kind == STEP_START ||
		step.kind == STEP_WIPE)
		return true;
	step.crash = true;
	return try_step(before, entry, step, report);
}

/* Every step from one state. */
static bool
explore_state(const World *w, uint32_t entry, Report *report)
{
	WorldStep step = {.kind = STEP_TIME_PASSES};
	bool	  go_on = try_step(w, entry, step, report);

	for (int k = 0; go_on && k < w->n_flight; k++)
	{
		step = (WorldStep){.kind = STEP_DELIVER, .node = w->flight[k].to, .item = k};
		go_on = try_step(w, entry, step, report);
		step.kind = STEP_DUPLICATE;
		go_on = go_on && try_step(w, entry, step, report);
	}
	for (int i = 0; go_on && i < world_limits.nodes; i++)
	{
		static const WorldStepKind kinds[] = {STEP_TICK, STEP_TIME_OUT, STEP_RESTART, STEP_START, STEP_WIPE,
											  STEP_CLAIM, STEP_PROMOTE};

		for (size_t k = 0; go_on && k < sizeof(kinds) / sizeof(kinds[0]); k++)
			go_on = try_step(w, entry, (WorldStep){.kind = kinds[k], .node = i}, report);
		for (int j = 0; go_on && j < world_limits.nodes; j++)
			go_on = try_step(w, entry, (WorldStep){.kind = STEP_TRANSFER, .node = i, .item = j}, report);
	}
	return go_on;
}

static void
explore(const Setup *setup, Report *report)
{
	static World w;
	double		 begin = seconds_now();
	uint64_t	 left; /* states of this depth that are not explored yet */
	int			 depth = 0;

	memset(report, 0, sizeof(*report));
	report->depth = -1;
	world_limits = setup->limits;
	world_prepare();
	seen_clear();
	now_exploring = setup;
	now_entry = SEEN_NONE;
	(void) invariants_fail("the start \"%s\" cannot be brought about", setup->start);
	if (!world_begin(&w, setup->start))
	{
		report->violation = true;
		return;
	}
	(void) seen_add(&w, SEEN_NONE, 0);
	left = 1;
	while (seen_queued() > 0)
	{
		if (setup->depth > 0 && depth == setup->depth)
		{
			report->stopped = "that is the depth asked for";
			break;
		}
		if (report->explored % 1024 == 0 && seconds_now() - begin > setup->seconds)
		{
			report->stopped = "time is up";
			break;
		}
		now_entry = seen_next(&w);
		if (!explore_state(&w, now_entry, report))
			break;
		report->explored++;
		if (--left == 0)
		{
			report->depth = depth++;
			left = seen_queued();
		}
	}
	report->seconds = seconds_now() - begin;
	for (int k = 0; k < WORLD_REASONS; k++)
		happened[k] += world_happened[k];
	for (int k = 0; k < STEP_KINDS; k++)
		steps_taken[k] += world_steps[k];
}

/* ---- reporting ---- */

static void
print_happened(void)
{
	printf("#   seen: %" PRIu64 " elections won, %" PRIu64 " lost, %" PRIu64 " votes given, %" PRIu64
		   " time-outs, %" PRIu64 " quorums lost, %" PRIu64 " second leaders refused\n",
		   world_happened[RAFT_VOTE_WON], world_happened[RAFT_NOT_ELECTED],
		   world_happened[RAFT_VOTE_GIVEN], world_happened[RAFT_TIMED_OUT],
		   world_happened[RAFT_QUORUM_LOST], world_happened[RAFT_SECOND_LEADER]);
	if (world_limits.claims > 0)
		printf("#   claims: %" PRIu64 ", promotions: %" PRIu64 "\n", world_happened[RAFT_CLAIMED],
			   world_happened[RAFT_PROMOTES]);
	printf("#   steps: %" PRIu64 " deliveries, %" PRIu64 " of a copy, %" PRIu64 " restarts, %" PRIu64
		   " starts after a crash in a save, %" PRIu64 " transfers, %" PRIu64 " state files lost\n",
		   world_steps[STEP_DELIVER], world_steps[STEP_DUPLICATE], world_steps[STEP_RESTART],
		   world_steps[STEP_START], world_steps[STEP_TRANSFER], world_steps[STEP_WIPE]);
}

static bool
print_report(int number, const Setup *setup, const Report *report, uint64_t floor)
{
	const WorldLimits *l = &setup->limits;
	bool			   quiet = !report->violation && seen_states() < floor;

	printf("%sok %d - %d nodes, start \"%s\": %" PRIu64 " states, %d steps deep%s\n",
		   report->violation || quiet ? "not " : "", number, l->nodes, setup->start, seen_states(),
		   report->depth, report->stopped == NULL && !report->violation ? ", that is all of them" : "");
	printf("#   limits: terms to %d, %d datagrams on their way, %d copies, %d crashes, %d transfers,"
		   " %d state files lost, promises of %d units, positions %s, claims to %d\n",
		   l->terms, l->flight, l->duplicates, l->crashes, l->transfers, l->wipes, l->units,
		   l->different_positions ? "different" : "the same", l->claims);
	printf("#   %" PRIu64 " steps taken, %" PRIu64 " states seen, %" PRIu64 " explored, %" PRIu64
		   " on the frontier, %" PRIu64 " steps over the limit of terms; %.1f s, %.0f steps/s%s%s\n",
		   report->steps, seen_states(), report->explored, seen_queued(), report->over, report->seconds,
		   (double) report->steps / (report->seconds > 0 ? report->seconds : 1),
		   report->stopped != NULL ? "; stopped: " : "", report->stopped != NULL ? report->stopped : "");
	print_happened();
	if (quiet)
		printf("#   too quiet: fewer than %" PRIu64 " states\n", floor);
	if (report->violation)
	{
		printf("# VIOLATION after %d steps, in %.1f s: %s\n", report->depth + 2, report->seconds,
			   invariants_violation);
		if (now_entry != SEEN_NONE)
			tell_finding(setup, true);
	}
	(void) fflush(stdout);
	return !report->violation && !quiet;
}

/* Did what the configurations are for come about in them?  From the totals. */
static bool
print_coverage(int number)
{
	bool all = happened[RAFT_VOTE_WON] > 0 && happened[RAFT_NOT_ELECTED] > 0 &&
			   happened[RAFT_QUORUM_LOST] > 0 && happened[RAFT_HANDED_OVER] > 0 &&
			   happened[RAFT_STANDS_ABOVE] > 0 && happened[RAFT_STOPPED_ABSTAINING] > 0 &&
			   happened[RAFT_CLAIMED] > 0 && happened[RAFT_PROMOTES] > 0;

	for (int k = 0; k < STEP_KINDS; k++)
		all = all && (steps_taken[k] > 0 || k == STEP_WIPE);
	printf("%sok %d - elections were won and lost, quorums lost, leaderships handed over, members"
		   " ahead, members back from abstaining, timelines claimed, servers promoted, and every kind of step was taken\n",
		   all ? "" : "not ", number);
	printf("#   %" PRIu64 " won, %" PRIu64 " lost, %" PRIu64 " quorums lost, %" PRIu64
		   " handed over, %" PRIu64 " members ahead, %" PRIu64 " back from abstaining\n",
		   happened[RAFT_VOTE_WON], happened[RAFT_NOT_ELECTED], happened[RAFT_QUORUM_LOST],
		   happened[RAFT_HANDED_OVER], happened[RAFT_STANDS_ABOVE], happened[RAFT_STOPPED_ABSTAINING]);
	return all;
}

/* ---- the command line ---- */

/* What the test run explores, and with which share of the time. */
static const struct
{
	const char *start;
	WorldLimits limits;
	double		share;
} configurations[] = {
	/* nodes, terms, flight, duplicates, crashes, transfers, wipes, units, claims, positions */
	{"fresh", {2, 3, 3, 1, 1, 0, 0, 2, 0, false, false}, 0.08},
	{"leader", {2, 3, 3, 1, 1, 1, 0, 2, 0, false, false}, 0.08},
	{"fresh", {3, 2, 3, 0, 1, 0, 0, 2, 0, true, false}, 0.15},
	{"leader", {3, 3, 2, 0, 1, 1, 0, 2, 0, false, false}, 0.13},
	{"again", {3, 3, 2, 0, 0, 0, 0, 2, 0, false, false}, 0.08},
	{"ahead", {3, 3, 2, 0, 0, 0, 0, 2, 0, false, false}, 0.10},
	{"wiped", {3, 3, 2, 0, 0, 0, 0, 2, 0, false, false}, 0.10},
	{"voted", {3, 2, 2, 0, 0, 0, 0, 2, 0, false, false}, 0.08},
	{"waited", {3, 2, 2, 0, 0, 0, 0, 2, 0, false, false}, 0.06},
	{"minority", {3, 3, 2, 0, 0, 0, 0, 2, 0, false, false}, 0.04},
	{"leader", {3, 2, 2, 0, 1, 0, 0, 2, 3, false, false}, 0.14},
	{"promoted", {3, 2, 2, 0, 1, 0, 0, 2, 4, false, false}, 0.10},
};

#define N_CONFIGURATIONS ((int) (sizeof(configurations) / sizeof(configurations[0])))
#define FLOOR			 2000 /* states; a configuration with fewer was not explored */

static const char help[] =
	"NAME\n"
	"    explore - visit every state that two or three members can reach\n\n"
	"SYNOPSIS\n"
	"    explore [OPTION VALUE...]\n\n"
	"DESCRIPTION\n"
	"    Without --nodes and --start: the configurations of the test run, which share\n"
	"    the time.  With either: that one.  Breadth first, so that a violation is\n"
	"    shown by a shortest path.  Prints TAP.\n\n"
	"OPTIONS\n"
	"    --nodes 2|3        members (3)\n"
	"    --start NAME       fresh, leader, again, ahead, promoted, wiped, voted,\n"
	"                       waited or minority, see starts.c (fresh)\n"
	"    --depth N          at most so many steps (0: no limit)\n"
	"    --seconds S        stop after so long (60)\n"
	"    --memory MB        at most so much (1536)\n"
	"    --terms N          highest term, 1 to 7 (3)\n"
	"    --flight N         datagrams on their way at a time, 1 to 8 (3)\n"
	"    --duplicates N     datagrams delivered once more on a path (1)\n"
	"    --crashes N        crashes on a path (1)\n"
	"    --transfers N      transfers on a path (1)\n"
	"    --wipes N          state files lost on a path (0)\n"
	"    --units N          a promise lasts N units of time, 2 to 8 (2)\n"
	"    --claims N         highest timeline that is claimed, 2 to 7; 0: members only elect (0)\n"
	"    --positions WHICH  same or different (same)\n"
	"    --exact 1          keep also what the code cannot read any more (0)\n"
	"    --help             this text\n\n"
	"EXIT STATUS\n"
	"    0 nothing is violated, 1 something is, 2 called wrongly, 3 cannot go on\n";

static void
called_wrongly(const char *what, const char *value)
{
	fprintf(stderr, "explore: %s: \"%s\" (--help says what there is)\n", what, value);
	exit(2);
}

static int
number_of(const char *option, const char *value, long lowest, long highest)
{
	char *end;
	long  n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || n < lowest || n > highest)
	{
		fprintf(stderr, "explore: %s must be a number from %ld to %ld, not \"%s\"\n", option, lowest,
				highest, value);
		exit(2);
	}
	return (int) n;
}

/* Options that are numbers; "given" says which were. */
typedef struct Option
{
	const char *name;
	int			lowest;
	int			highest;
	int			value;
	bool		given;
} Option;

enum
{
	NODES,
	DEPTH,
	SECONDS,
	MEMORY,
	TERMS,
	FLIGHT,
	DUPLICATES,
	CRASHES,
	TRANSFERS,
	WIPES,
	UNITS,
	CLAIMS,
	EXACT,
	N_OPTIONS
};

static Option options[N_OPTIONS] = {
	{"--nodes", 2, WORLD_NODES, 3, false},
	{"--depth", 0, MAX_PATH - 2, 0, false},
	{"--seconds", 1, 1000000, 60, false},
	{"--memory", 64, 65536, 1536, false},
	{"--terms", 1, WORLD_TERMS - 1, 3, false},
	{"--flight", 1, 8, 3, false},
	{"--duplicates", 0, 100, 1, false},
	{"--crashes", 0, 100, 1, false},
	{"--transfers", 0, 100, 1, false},
	{"--wipes", 0, 100, 0, false},
	{"--units", 2, 8, 2, false},
	{"--claims", 0, 7, 0, false},
	{"--exact", 0, 1, 0, false},
};

static const char *start_option;
static const char *positions_option;

static void
read_option(const char *name, const char *value)
{
	if (value == NULL)
		called_wrongly("an option without its value", name);
	for (int k = 0; k < N_OPTIONS; k++)
	{
		if (strcmp(name, options[k].name) != 0)
			continue;
		options[k].value = number_of(name, value, options[k].lowest, options[k].highest);
		options[k].given = true;
		return;
	}
	if (strcmp(name, "--positions") == 0)
	{
		if (strcmp(value, "same") != 0 && strcmp(value, "different") != 0)
			called_wrongly("--positions must be same or different", value);
		positions_option = value;
	}
	else if (strcmp(name, "--start") == 0)
	{
		int k = 0;

		while (world_start_names[k] != NULL && strcmp(world_start_names[k], value) != 0)
			k++;
		if (world_start_names[k] == NULL)
			called_wrongly("there is no start of that name", value);
		start_option = value;
	}
	else
		called_wrongly("unknown option", name);
}

/* Put the options that were given, or all of them, into the limits. */
static void
apply_options(WorldLimits *l, bool all)
{
	struct
	{
		int	 option;
		int *limit;
	} const map[] = {
		{NODES, &l->nodes},
		{TERMS, &l->terms},
		{FLIGHT, &l->flight},
		{DUPLICATES, &l->duplicates},
		{CRASHES, &l->crashes},
		{TRANSFERS, &l->transfers},
		{WIPES, &l->wipes},
		{UNITS, &l->units},
		{CLAIMS, &l->claims},
	};

	for (size_t k = 0; k < sizeof(map) / sizeof(map[0]); k++)
	{
		if (all || options[map[k].option].given)
			*map[k].limit = options[map[k].option].value;
	}
	l->exact = options[EXACT].value != 0;
	if (all || positions_option != NULL)
		l->different_positions = positions_option != NULL && strcmp(positions_option, "different") == 0;
}

int
main(int argc, char **argv)
{
	bool   one;
	bool   passed = true;
	Report report;
	Setup  setup;

	for (int k = 1; k < argc; k += 2)
	{
		if (strcmp(argv[k], "--help") == 0)
		{
			(void) fputs(help, stdout);
			return 0;
		}
		read_option(argv[k], argv[k + 1]);
	}
	one = start_option != NULL || options[NODES].given;
	if (start_option != NULL && options[NODES].value < 3 && world_start_needs_three(start_option))
		called_wrongly("this start needs three nodes", start_option);
	if (start_option != NULL && strcmp(start_option, "promoted") == 0 && options[CLAIMS].value == 0)
		called_wrongly("this start needs --claims", start_option);
	if (!seen_prepare((size_t) options[MEMORY].value << 20))
	{
		fprintf(stderr, "explore: there is not so much memory: %d MB\n", options[MEMORY].value);
		return 3;
	}
	(void) signal(SIGABRT, on_abort);
	printf("1..%d\n", one ? 1 : N_CONFIGURATIONS + 1);
	for (int k = 0; k < (one ? 1 : N_CONFIGURATIONS); k++)
	{
		memset(&setup, 0, sizeof(setup));
		setup.start = one ? (start_option != NULL ? start_option : "fresh") : configurations[k].start;
		setup.limits = configurations[k].limits;
		apply_options(&setup.limits, one);
		setup.depth = options[DEPTH].value;
		setup.seconds = options[SECONDS].value * (one ? 1.0 : configurations[k].share);
		explore(&setup, &report);
		passed = print_report(k + 1, &setup, &report, one ? 0 : FLOOR) && passed;
		if (report.violation)
			return 1;
	}
	if (!one)
		passed = print_coverage(N_CONFIGURATIONS + 1) && passed;
	return passed ? 0 : 1;
}
