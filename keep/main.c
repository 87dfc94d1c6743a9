/*
 * keep/main.c
 *	  pg_leader_keep: an archive that follows a cluster's leader through failovers.
 *
 *	  pg_leader_keep [-A DIR] VERB [ARGUMENT]...
 *
 * Here are the table of verbs, and what is the same for all: options, the archive that they work
 * on, and whether they can be called in the state that it is in.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keep.h"

#define DIRECTORY_VARIABLE "PG_LEADER_KEEP"

typedef struct Verb
{
	const char *name;
	int			states; /* that it accepts; with ARCHIVE_CLEAR the archive is not opened */
	int (*run)(KeepCall *call);
	const char *arguments;
	const char *help;
} Verb;

static const Verb verbs[] = {
	{"init", ARCHIVE_CLEAR, verb_init, "CONNECTION", "make an archive for the cluster of those members"},
	{"run", ARCHIVE_ANY, verb_run, "", "receive WAL, in the foreground, until SIGTERM or SIGINT"},
	{"stop", ARCHIVE_ANY, verb_stop, "", "stop receiving; the members keep the WAL meanwhile"},
	{"start", ARCHIVE_ANY, verb_start, "", "receive again"},
	{"get_state_all", ARCHIVE_ANY, verb_get_state_all, "[--json | --prometheus]", "the members, the receiver and the archive, a line each, or as metrics; fails if something is wrong"},
	{"abandoned", ARCHIVE_ANY, verb_abandoned, "[--json]", "WAL that was cut off at forks, and the commits in it"},
	{"get", ARCHIVE_ANY, verb_get, "FILE PATH", "copy a file of WAL, for restore_command: get %f %p"},
	{"full_backup", ARCHIVE_ANY, verb_full_backup, "[--max-rate=RATE] [--wait=S]", "make a base backup of a standby; print its gid"},
	{"snapshot", ARCHIVE_ANY, verb_snapshot, "[--wait=S] [LABEL]", "name the state of this moment; print its gid"},
	{"restore", ARCHIVE_ARCHIVED, verb_restore, "[--method=METHOD] [--timeout=S] GID|LABEL|latest", "open a state read-only, beside the archive; print its gid"},
	{"get_restored_path", ARCHIVE_ARCHIVED, verb_get_restored_path, "GID|LABEL", "print its data directory, and how to connect to it"},
	{"del_restored", ARCHIVE_ARCHIVED, verb_del_restored, "GID|LABEL", "stop and remove it"},
	{"drill", ARCHIVE_ARCHIVED, verb_drill, "[--sql=FILE] [--method=METHOD] [--timeout=S] [GID|LABEL|latest]", "prove that a state, by default the newest, can be restored"},
};

#define VERBS ((int) (sizeof(verbs) / sizeof(verbs[0])))

/* ---- words ---- */

static void
print_help(void)
{
	printf("NAME\n"
		   "    %s - an archive that follows a cluster's leader through failovers\n"
		   "\n"
		   "SYNOPSIS\n"
		   "    %s [-A DIR] VERB [ARGUMENT]...\n"
		   "\n"
		   "DESCRIPTION\n"
		   "    Keeps the WAL of a managed cluster of pg_leader without a gap, whichever of its servers\n"
		   "    leads. In a verb, \"-\" and \"_\" are the same.\n"
		   "\n",
		   KEEP_PROGRAM, KEEP_PROGRAM);
	for (int i = 0; i < VERBS; i++)
		printf("    %s%s%s\n            %s\n", verbs[i].name, verbs[i].arguments[0] != '\0' ? " " : "", verbs[i].arguments, verbs[i].help);
	printf("\n"
		   "OPTIONS\n"
		   "    -A, --archive=DIR  the archive's directory; else as the environment variable\n"
		   "                       " DIRECTORY_VARIABLE " says\n"
		   "    -V, --version      print the version, then exit\n"
		   "    -?, --help         this text; behind a verb, that verb's\n"
		   "\n"
		   "EXIT STATUS\n"
		   "    0 done, 1 not, 2 called wrongly. Of get: 1 the archive has no such file and it is not\n"
		   "    missing, 255 it is missing, or cannot be read.\n");
}

int
keep_fail(const Words *words)
{
	fprintf(stderr, "%s: error: %s\n", KEEP_PROGRAM, words->error);
	if (words->hint[0] != '\0')
		fprintf(stderr, "%s: hint: %s\n", KEEP_PROGRAM, words->hint);
	return EXIT_FAILED;
}

int
keep_usage(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: error: ", KEEP_PROGRAM);
	va_start(arguments, format);
	(void) vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n%s: hint: Try \"%s --help\" for more information.\n", KEEP_PROGRAM, KEEP_PROGRAM);
	return EXIT_USAGE;
}

/* ---- verbs ---- */

static const Verb *
find_verb(char *name)
{
	for (char *at = name; *at != '\0'; at++)
	{
		if (*at == '-')
			*at = '_';
	}
	for (int i = 0; i < VERBS; i++)
	{
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	}
	return NULL;
}

static bool
accepts(const Verb *verb, const char *directory, Words *words)
{
	int condition = archive_condition(directory);

	if ((verb->states & condition) != 0)
		return true;
	if (condition == ARCHIVE_CLEAR)
		return words_set(words, "Give its directory with -A, or make one with init.", "there is no archive in \"%s\"", directory);
	if (verb->states == ARCHIVE_CLEAR)
		return words_set(words, "Give another directory.", "there is already an archive in \"%s\"", directory);
	return words_set(words, "Make a base backup first: full_backup.", "%s needs a base backup, and the archive in \"%s\" has none (its state is %s)",
					 verb->name, directory, archive_condition_name(condition));
}

/* For PostgreSQL, which calls "get", whatever fails is not the end of WAL. */
static int
refuse(const Verb *verb, const Words *words)
{
	(void) keep_fail(words);
	return strcmp(verb->name, "get") == 0 ? EXIT_HOLE : EXIT_FAILED;
}

static int
call_verb(const Verb *verb, const char *directory, int argc, char **argv)
{
	static Archive archive;
	KeepCall	   call = {.verb = verb->name, .directory = directory, .argc = argc, .argv = argv};
	Words		   words;
	int			   status;

	words_clear(&words);
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0))
	{
		printf("%s [-A DIR] %s %s\n    %s\n", KEEP_PROGRAM, verb->name, verb->arguments, verb->help);
		return EXIT_DONE;
	}
	if (directory == NULL)
		return keep_usage("no archive was given: -A, or the environment variable " DIRECTORY_VARIABLE);
	if (!accepts(verb, directory, &words))
		return refuse(verb, &words);
	if ((verb->states & ARCHIVE_CLEAR) == 0)
	{
		if (!archive_open(&archive, directory, &words))
			return refuse(verb, &words);
		call.archive = &archive;
	}
	optind = 0;
	status = verb->run(&call);
	if (call.archive != NULL)
		archive_close(&archive);
	return status;
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"archive", required_argument, NULL, 'A'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0}};
	const char *directory = getenv(DIRECTORY_VARIABLE);
	const Verb *verb;
	int			option;

	if (argc > 1 && (strcmp(argv[1], "-?") == 0 || strcmp(argv[1], "--help") == 0))
		return print_help(), EXIT_DONE;
	while ((option = getopt_long(argc, argv, "+A:V", long_options, NULL)) != -1)
	{
		if (option == 'A')
			directory = optarg;
		else if (option == 'h')
			return print_help(), EXIT_DONE;
		else if (option == 'V')
			return printf("%s %s\n", KEEP_PROGRAM, KEEP_VERSION), EXIT_DONE;
		else
			return keep_usage("called wrongly");
	}
	if (optind == argc)
		return keep_usage("no verb was given");
	verb = find_verb(argv[optind]);
	if (verb == NULL)
		return keep_usage("there is no verb \"%s\"", argv[optind]);
	return call_verb(verb, directory, argc - optind, argv + optind);
}
