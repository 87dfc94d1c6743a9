/*
 * keep/verb_drill.c
 *	  drill: proof that a state can be restored.
 *
 * It is opened as "restore" does it, but in work/, and thrown away.  What is looked at: that
 * PostgreSQL comes to exactly that state and serves; what a file of SQL says of it, if there is one;
 * and the checksums of all data pages.  The result is in the catalogue:
 *
 *	  drill	gid, timeline, base, result (ok, failed), checksums (ok, none), sql (ok, none), seconds, error
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <getopt.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../supervisor/files.h"
#include "../supervisor/program.h"
#include "catalogue.h"
#include "keep.h"
#include "opened.h"
#include "options.h"
#include "session.h"
#include "work.h"

#define VERB "drill"

#define TIMEOUT	 UINT64_C(3600000000) /* us */
#define PATIENCE UINT64_C(20000000)

#define CONNINFO_SIZE (2 * STORE_PATH_SIZE + 128)

typedef struct Order
{
	const char *text; /* NULL: the newest */
	const char *sql;  /* a file; NULL: none */
	CloneMethod method;
	uint64_t	timeout;
} Order;

typedef struct Drill
{
	Order	 order;
	Work	 work;
	Wanted	 wanted;
	Opened	 opened;
	char	 conninfo[CONNINFO_SIZE];
	uint64_t until;
	bool	 has_checksums;
} Drill;

static int
read_arguments(KeepCall *call, Order *order)
{
	static const struct option long_options[] = {
		{"method", required_argument, NULL, 'm'},
		{"sql", required_argument, NULL, 's'},
		{"timeout", required_argument, NULL, 't'},
		{NULL, 0, NULL, 0}};
	int option;

	*order = (Order){.timeout = TIMEOUT};
	while ((option = getopt_long(call->argc, call->argv, "m:s:t:", long_options, NULL)) != -1)
	{
		if (option == 's')
			order->sql = optarg;
		else if (option == 'm' && clone_method(optarg) != CLONE_ANY)
			order->method = clone_method(optarg);
		else if (option == 'm')
			return keep_usage("--method is reflink, overlay or copy");
		else if (option == 't' && !options_seconds(optarg, &order->timeout))
			return keep_usage("--timeout is a number of seconds");
		else if (option != 't')
			return keep_usage("drill was called wrongly");
	}
	if (optind < call->argc - 1)
		return keep_usage("drill takes one gid or label");
	if (optind < call->argc)
		order->text = call->argv[optind];
	return -1;
}

/* ---- what is looked at ---- */

/* As somebody who is there; which roles there are in that state, nobody knows before. */
static bool
find_role(Drill *drill, Words *words)
{
	const ArchiveSettings *settings = &drill->opened.instance.archive->settings;
	PQconninfoOption	  *options = PQconninfoParse(settings->members, NULL);
	const struct passwd	  *user = getpwuid(geteuid());
	const char			  *roles[] = {user != NULL ? user->pw_name : "", "postgres", settings->role, ""};
	char				   base[CONNINFO_SIZE - 80];
	bool				   found = false;

	for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, "user") == 0 && option->val != NULL)
			roles[3] = option->val;
	}
	instance_conninfo(&drill->opened.instance, base, sizeof(base));
	for (size_t i = 0; !found && i < sizeof(roles) / sizeof(roles[0]); i++)
	{
		PGconn *connection;

		if (roles[i][0] == '\0' || strpbrk(roles[i], "'\\") != NULL)
			continue;
		(void) snprintf(drill->conninfo, sizeof(drill->conninfo), "%s user='%.64s'", base, roles[i]);
		connection = PQconnectdb(drill->conninfo);
		found = PQstatus(connection) == CONNECTION_OK;
		if (!found)
		{
			char line[WORDS_SIZE / 2];

			(void) words_set(words, "", "could not connect to the state that was opened: %s", words_line(PQerrorMessage(connection), line, sizeof(line)));
		}
		PQfinish(connection);
	}
	PQconninfoFree(options);
	return found;
}

/* Called each second, for what it writes of its progress. */
static bool
is_in_time(const char *line, void *context)
{
	const Drill *drill = context;

	(void) line;
	return clock_now() < drill->until;
}

static bool
run_sql(Drill *drill, Words *words)
{
	const char *const arguments[] = {"-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-f", drill->order.sql, "-d", drill->conninfo, NULL};
	Program			  program = {.directory = instance_programs(), .name = "psql", .arguments = arguments};
	uint64_t		  now = clock_now();
	char			  bound[64];

	if (drill->order.sql == NULL)
		return true;
	(void) snprintf(bound, sizeof(bound), "-c statement_timeout=%" PRIu64, now < drill->until ? (drill->until - now) / 1000 + 1 : 1);
	if (setenv("PGOPTIONS", bound, 1) != 0)
		return words_set(words, "", "out of memory");
	return program_run(&program, words);
}

static bool
check_pages(Drill *drill, Words *words)
{
	const char *const arguments[] = {"--check", "--progress", "-D", drill->opened.instance.data, NULL};
	Program			  program = {.directory = instance_programs(), .name = "pg_checksums", .arguments = arguments, .line = is_in_time, .context = drill};
	Control			  control;

	if (!control_read(drill->opened.instance.data, &control, words))
		return false;
	drill->has_checksums = control.has_checksums;
	return !control.has_checksums || program_run(&program, words);
}

static bool
look(Drill *drill, Words *words)
{
	Words ended;
	bool  good;

	if (!instance_lock(&drill->opened.instance))
		return words_set(words, "", "could not lock \"%s\"", drill->opened.instance.directory);
	if (opened_start(&drill->opened, true, drill->order.timeout, words) == INSTANCE_FAILED)
		return false;
	good = find_role(drill, words) && run_sql(drill, words);

	/* pages that are still in memory only are looked at, too */
	if (!instance_stop(&drill->opened.instance, !good, good ? words : &ended))
		return false;
	return good && check_pages(drill, words);
}

static bool
prove(KeepCall *call, Drill *drill, Words *words)
{
	char made[STORE_PATH_SIZE];

	return wanted_find(call->archive, drill->order.text, drill->work.path, &drill->wanted, words) && files_join(made, drill->work.path, "made") &&
		   opened_make(call->archive, &drill->wanted, drill->order.method, drill->work.path, made, true, words) &&
		   opened_load(call->archive, made, &drill->opened, words) && look(drill, words);
}

/* ---- the result ---- */

static bool
note(KeepCall *call, const Drill *drill, bool good, double seconds, const Words *why, Words *words)
{
	CatalogueEntry entry;

	catalogue_begin(&entry, VERB);
	catalogue_add(&entry, "gid", "%" PRIu64, drill->wanted.gid.gid);
	catalogue_add(&entry, "timeline", "%" PRIu32, drill->wanted.gid.timeline);
	catalogue_add(&entry, "base", "%" PRIu64, drill->wanted.base.gid);
	catalogue_add(&entry, "result", "%s", good ? "ok" : "failed");
	if (good)
	{
		catalogue_add(&entry, "checksums", "%s", drill->has_checksums ? "ok" : "none");
		catalogue_add(&entry, "sql", "%s", drill->order.sql != NULL ? "ok" : "none");
	}
	else
		catalogue_add(&entry, "error", "%.400s", why->error);
	catalogue_add(&entry, "seconds", "%.1f", seconds);
	return catalogue_append(call->archive, &entry, words);
}

static void
say_proven(const Drill *drill, double seconds)
{
	printf("proven: gid %" PRIu64 ", by %s of base %" PRIu64 ", %s%s, in %.1f s\n", drill->wanted.gid.gid, clone_name(drill->opened.method),
		   drill->wanted.base.gid, drill->has_checksums ? "checksums are right" : "the cluster has no checksums",
		   drill->order.sql != NULL ? ", SQL ended well" : "", seconds);
}

int
verb_drill(KeepCall *call)
{
	static Drill drill;
	Words		 words;
	Words		 other;
	uint64_t	 began = clock_now();
	double		 seconds;
	int			 status = read_arguments(call, &drill.order);
	bool		 good;

	if (status >= 0)
		return status;
	if (!options_not_root(VERB))
		return EXIT_FAILED;
	words_clear(&words);
	drill.opened.instance.lock_fd = -1;
	if (drill.order.sql != NULL && access(drill.order.sql, R_OK) != 0)
	{
		(void) files_fail(&words, "", "read the file", drill.order.sql);
		return keep_fail(&words);
	}
	if (!work_begin(call->archive, VERB, true, PATIENCE, &drill.work, &words))
		return keep_fail(&words);
	drill.until = began + drill.order.timeout;
	good = prove(call, &drill, &words);
	seconds = (double) (clock_now() - began) / 1e6;
	instance_unlock(&drill.opened.instance);

	/* a gid that does not exist is no state that could not be restored */
	if (drill.wanted.gid.gid != 0 && !note(call, &drill, good, seconds, &words, &other))
		good = good && words_set(&words, other.hint, "%s", other.error);
	work_end(&drill.work);
	if (!good)
		return keep_fail(&words);
	say_proven(&drill, seconds);
	return EXIT_DONE;
}
