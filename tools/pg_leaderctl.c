/*
 * tools/pg_leaderctl.c
 *	  What a cluster is doing: its members, and what has happened to them; and what an operator
 *	  does with it.
 *
 *	  pg_leaderctl [OPTION]... list [CONNECTION]
 *	  pg_leaderctl [OPTION]... events [CONNECTION]
 *	  pg_leaderctl [OPTION]... watch [CONNECTION]
 *	  pg_leaderctl [OPTION]... adopt [CONNECTION]
 *	  pg_leaderctl [OPTION]... switchover [NODE] [CONNECTION]
 *	  pg_leaderctl [OPTION]... pause | resume [CONNECTION]
 *	  pg_leaderctl [OPTION]... reinit | restart NODE [CONNECTION]
 *	  pg_leaderctl [OPTION]... restart --rolling [CONNECTION]
 *
 * For DBAs, and by its exit status for scripts.  It connects to the servers as psql does, reads the
 * views of the extension, and for the commands that change something calls its functions.
 *
 *	  ctl_options.c		with which parameters it connects, and to whom first
 *	  ctl_ask.c			asks all members at the same time; ctl_query.c: in SQL
 *	  ctl_view.c		what is made of the answers, in words
 *	  ctl_events.c		their events, merged
 *	  ctl_adopt.c		the way to managed mode; ctl_inquire.c: what it asks besides
 *	  ctl_act.c			the commands that change something; ctl_session.c: one session
 *	  ctl_screen.c		the terminal of "watch"; ctl_frame.c: one picture for it
 *	  ctl_table.c		how tables and JSON are printed
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../node/clock.h"
#include "ctl_act.h"
#include "ctl_adopt.h"
#include "ctl_ask.h"
#include "ctl_events.h"
#include "ctl_frame.h"
#include "ctl_screen.h"
#include "ctl_table.h"
#include "ctl_view.h"

#define PROGRAM_VERSION "1.0"

#define EXIT_TROUBLE 1
#define EXIT_USAGE	 2

#define EVENTS_OF_EVENTS 30
#define EVENTS_OF_WATCH	 10
#define EVENTS_MAX		 100000

typedef struct Options
{
	CtlOptions	ask;
	const char *verb;
	double		interval; /* s; 0: not given */
	bool		json;
	CtlAct		act; /* with verb NULL: the command changes nothing */
} Options;

/* What was asked last; large, and so not on the stack. */
static CtlRound round_of_answers;
static CtlView	view;

static void
print_help(void)
{
	printf("%s shows what a cluster of pg_leader is doing, and maintains it.\n"
		   "\n"
		   "Usage:\n"
		   "  %s [OPTION]... COMMAND [CONNECTION]\n"
		   "\n"
		   "Commands:\n"
		   "  list      the members: who is the primary, who follows it and how far behind,\n"
		   "            and what is not as it should be\n"
		   "  events    what has happened, on all members, newest last\n"
		   "  watch     the list and the last events, again and again: on a terminal in place, with\n"
		   "            what has changed in bold, until q or Ctrl+C\n"
		   "  adopt     a running primary and its standbys: what has to be corrected before they\n"
		   "            are managed, which steps are done, and the commands of the next one\n"
		   "\n"
		   "Commands that change something, and do not ask back:\n"
		   "  switchover [NODE]\n"
		   "                 make that standby the primary, or else the fittest one\n"
		   "  pause          no server is promoted, and none is demoted because of its health\n"
		   "  resume         the end of that\n"
		   "  reinit NODE    that standby clones its data anew from the primary\n"
		   "  restart NODE   restart that server, and wait until it streams; the primary by a\n"
		   "                 switchover\n"
		   "  restart --rolling\n"
		   "                 so with all of them, one after the other, the primary last\n"
		   "\n"
		   "CONNECTION is one server of the cluster, as for psql: a connection string, a URI\n"
		   "or the name of a database.  The other members are found from there.  Several hosts,\n"
		   "separated by commas, are asked at the same time, so that one of them may be down.\n"
		   "\n"
		   "Options:\n"
		   "  -d, --dbname=CONNECTION  the same\n"
		   "  -h, --host=HOST          host name, address, or directory of the Unix socket\n"
		   "  -p, --port=PORT          port\n"
		   "  -U, --username=NAME      role to connect as, on all members; to show all it needs\n"
		   "                           the privileges of pg_monitor\n"
		   "  -w, --no-password        accepted for psql's sake: no password is ever asked for;\n"
		   "                           put it into ~/.pgpass\n"
		   "  -t, --timeout=SECONDS    how long each server may take to answer (default 2)\n"
		   "  -W, --wait=SECONDS       how long a command that changes something may take (default 10,\n"
		   "                           of a switchover 30, of each restart 300)\n"
		   "      --slots              switchover: only once NODE has the logical slots that are to\n"
		   "                           survive\n"
		   "  -i, --interval=SECONDS   watch: time between two looks (default 2)\n"
		   "  -n, --events=N           how many events (default %d, of watch %d)\n"
		   "      --format=FORMAT      list, events: table, or json: one object a line\n"
		   "  -V, --version            print the version, then exit\n"
		   "  -?, --help               print this help, then exit\n"
		   "\n"
		   "The database is \"postgres\" if nothing else is said; the extension has to be there.\n"
		   "\n"
		   "Exit status of list: 0 if one primary is open for commits (without managed mode: one\n"
		   "member leads) and nothing is wrong, else 1.  Of events: 0 if all members answer, else 1.\n"
		   "Of adopt: 0 if the next step can be taken, or none is left; 1 if something has to be corrected.\n"
		   "Of the commands that change something: 0 if it was done, else 1.\n"
		   "2 if called wrongly.\n",
		   CTL_PROGRAM, CTL_PROGRAM, EVENTS_OF_EVENTS, EVENTS_OF_WATCH);
}

/* Always EXIT_USAGE.  hint may be empty. */
static int
complain(const char *hint, const char *error)
{
	fprintf(stderr, "%s: error: %s\n", CTL_PROGRAM, error);
	if (hint[0] != '\0')
		fprintf(stderr, "%s: hint: %s\n", CTL_PROGRAM, hint);
	return EXIT_USAGE;
}

/* ---- list ---- */

/* "512 B", "13 kB", "1.5 GB" */
static const char *
write_bytes(int64_t bytes, char *text, size_t size)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double					 value = (double) bytes;
	size_t					 unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]))
	{
		value /= 1024;
		unit++;
	}
	(void) snprintf(text, size, unit == 0 || value >= 10 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return text;
}

static const char *
or_dash(const char *text)
{
	return text[0] != '\0' ? text : "-";
}

static void
add_member(CtlTable *table, const CtlMember *member)
{
	char bytes[32];

	ctl_table_add(table, "%d", (int) member->node_id);
	ctl_table_add(table, "%s", member->host);
	ctl_table_add(table, "%s", or_dash(member->role));
	ctl_table_add(table, "%s", or_dash(member->state));
	if (member->timeline >= 0)
		ctl_table_add(table, "%" PRId64, member->timeline);
	else
		ctl_table_add(table, "-");
	if (member->lag < 0)
		ctl_table_add(table, "-");
	else if (member->lag > 0 && member->lag_s[0] != '\0')
		ctl_table_add(table, "%s, %s s", write_bytes(member->lag, bytes, sizeof(bytes)), member->lag_s);
	else
		ctl_table_add(table, "%s", write_bytes(member->lag, bytes, sizeof(bytes)));
	ctl_table_add(table, "%s", or_dash(member->sync));
	if (member->lease >= 0)
		ctl_table_add(table, "%" PRId64 " ms", member->lease);
	else
		ctl_table_add(table, "-");
}

/* A server that has failed, and that is not known to be a member. */
static void
print_failed(FILE *to, const char *prefix, const CtlServer *server)
{
	const char *host = server->at.host[0] != '\0' ? server->at.host : server->at.address;

	fprintf(to, "%s%s%s%s: %s\n", prefix, host[0] != '\0' ? host : "local server",
			server->at.port[0] != '\0' ? ", port " : "", server->at.port, server->error);
}

static void
print_list(FILE *to)
{
	static const char *const titles[] = {"node", "host", "role", "state", "timeline", "lag", "sync", "lease"};
	static const bool		 right[] = {true, false, false, false, true, true, false, true};
	CtlTable				 table = {.n_columns = 8, .titles = titles, .right = right};

	fprintf(to, "%s\n", view.title);
	if (view.without_ms > 0)
		fprintf(to, "without an open primary: for %" PRId64 " s\n", view.without_ms / 1000);
	if (view.at_risk != NULL)
		fprintf(to, "at risk: %s\n", view.at_risk);
	for (int i = 0; i < view.n_members; i++)
		add_member(&table, &view.members[i]);
	ctl_table_print(to, &table);
	for (int i = 0; i < view.n_members; i++)
	{
		for (int j = 0; j < view.members[i].n_notes; j++)
			fprintf(to, "node %d: %s\n", (int) view.members[i].node_id, view.members[i].notes[j].text);
	}
	for (int i = 0; i < round_of_answers.n_servers && !view.is_fine; i++)
	{
		if (round_of_answers.servers[i].node_id == RAFT_NONE)
			print_failed(to, "", &round_of_answers.servers[i]);
	}
}

static void
print_json_text(const char *name, const char *text)
{
	ctl_json_name(name, false);
	ctl_json_text(text[0] != '\0' ? text : NULL);
}

static void
print_json(void)
{
	for (int i = 0; i < view.n_members; i++)
	{
		const CtlMember *member = &view.members[i];
		bool			 is_open = member->answered && ctl_is_open(member->server);

		printf("{\"node\": %d", (int) member->node_id);
		print_json_text("host", member->host);
		printf(", \"answers\": %s, \"open\": %s", member->answered ? "true" : "false", is_open ? "true" : "false");
		print_json_text("role", member->answered ? member->role : "");
		print_json_text("state", member->state);
		ctl_json_number("timeline", member->timeline);
		ctl_json_number("lag_bytes", member->lag);
		printf(", \"lag_seconds\": %s", member->lag > 0 && member->lag_s[0] != '\0' ? member->lag_s : "null");
		print_json_text("sync", member->sync);
		ctl_json_number("lease_ms", member->lease);
		printf(", \"paused\": %s", view.paused ? "true" : "false");
		print_json_text("at_risk", member->server == view.primary && view.at_risk != NULL ? view.at_risk : "");
		fputs(", \"problems\": [", stdout);
		for (int j = 0; j < member->n_notes; j++)
		{
			fputs(j > 0 ? ", " : "", stdout);
			ctl_json_text(member->notes[j].text);
		}
		puts("]}");
	}
}

/* Nobody has answered, so there is no list. */
static void
print_silence(FILE *to)
{
	const char *hint = "Name a server that runs, with -h and -p, or several: -h HOST,HOST,... -p PORT,PORT,...";

	fprintf(to, "%s: error: no member of the cluster answers\n", CTL_PROGRAM);
	for (int i = 0; i < round_of_answers.n_servers; i++)
	{
		const CtlServer *server = &round_of_answers.servers[i];

		print_failed(to, CTL_PROGRAM ": ", server);
		if (server->hint[0] != '\0')
			hint = server->hint;
	}
	fprintf(to, "%s: hint: %s\n", CTL_PROGRAM, hint);
}

static int
ask(const Options *options)
{
	ctl_ask(&round_of_answers, &options->ask);
	if (round_of_answers.first == NULL)
		return EXIT_TROUBLE;
	ctl_view(&round_of_answers, &view);
	return view.is_fine ? EXIT_SUCCESS : EXIT_TROUBLE;
}

static int
list(const Options *options)
{
	int status = ask(options);

	if (round_of_answers.first == NULL)
		print_silence(stderr);
	else if (options->json)
		print_json();
	else
		print_list(stdout);
	return status;
}

/* ---- events ---- */

static int
events(const Options *options)
{
	int status = EXIT_SUCCESS;

	(void) ask(options);
	if (round_of_answers.first == NULL)
	{
		print_silence(stderr);
		return EXIT_TROUBLE;
	}
	if (options->json)
		ctl_events_print_json(&round_of_answers, options->ask.events);
	else
		ctl_events_print(stdout, &round_of_answers, options->ask.events);
	fflush(stdout);
	for (int i = 0; i < view.n_members; i++)
	{
		const CtlMember *member = &view.members[i];

		if (member->answered)
			continue;
		fprintf(stderr, "%s: warning: events of node %d are missing: %s\n", CTL_PROGRAM, (int) member->node_id,
				member->notes[0].text);
		status = EXIT_TROUBLE;
	}
	return status;
}

/* ---- adopt ---- */

static int
adopt(const Options *options)
{
	(void) ask(options);
	if (round_of_answers.first == NULL)
	{
		print_silence(stderr);
		return EXIT_TROUBLE;
	}
	return ctl_adopt(&view, &options->ask) ? EXIT_SUCCESS : EXIT_TROUBLE;
}

/* ---- what changes something ---- */

static int
act(Options *options)
{
	(void) ask(options);
	if (round_of_answers.first == NULL)
	{
		print_silence(stderr);
		return EXIT_TROUBLE;
	}
	options->act.options = &options->ask;
	options->act.round = &round_of_answers;
	return ctl_act(&options->act) ? EXIT_SUCCESS : EXIT_TROUBLE;
}

/* ---- watch ---- */

static void
print_now(FILE *to, double interval)
{
	time_t	  now = time(NULL);
	struct tm parts;
	char	  text[40] = "?";

	if (localtime_r(&now, &parts) != NULL)
		(void) strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
	fprintf(to, "%s, every %g s", text, interval);
}

/* The answers, as text.  rows: 0, or so many are there, which fewer events may have to fit. */
static char *
write_answers(const Options *options, double interval, int rows)
{
	char  *text = NULL;
	size_t size;
	FILE  *to = open_memstream(&text, &size);
	long   n = options->ask.events;

	if (to == NULL)
		return NULL;
	print_now(to, interval);
	fputs(rows > 0 ? "; q: end\n\n" : "\n\n", to);
	if (round_of_answers.first == NULL)
		print_silence(to);
	else
	{
		print_list(to);
		(void) fflush(to);
		for (size_t i = 0; i < size && rows > 0; i++)
			rows -= text[i] == '\n';
		/* an empty line, and two of the table */
		if (rows > 0 && n > rows - 3)
			n = rows > 4 ? rows - 3 : 1;
		fputc('\n', to);
		ctl_events_print(to, &round_of_answers, n);
	}
	if (fclose(to) == 0)
		return text;
	free(text);
	return NULL;
}

/* In place, until somebody ends it. */
static int
watch_screen(const Options *options, double interval)
{
	char		 *before = NULL; /* the text of the last look but one */
	char		 *text = NULL;
	CtlScreenWait what = CTL_SCREEN_TIME;
	uint64_t	  next_at = 0;

	while (what != CTL_SCREEN_QUIT)
	{
		int	  rows;
		int	  columns;
		char *frame;
		bool  is_shown;

		if (what == CTL_SCREEN_TIME)
		{
			free(before);
			before = text;
			text = NULL;
			next_at = clock_now() + (uint64_t) (interval * 1e6);
			(void) ask(options);
		}
		ctl_screen_size(&rows, &columns);
		free(text);
		text = write_answers(options, interval, rows);
		frame = text != NULL ? ctl_frame(text, before != NULL ? before : "", rows, columns) : NULL;
		is_shown = frame != NULL && ctl_screen_write(frame);
		free(frame);
		if (!is_shown)
			return EXIT_TROUBLE;
		what = ctl_screen_wait(next_at);
	}
	ctl_screen_end();
	return EXIT_SUCCESS;
}

/* One after the other, until it is interrupted, or nobody reads it any more. */
static int
watch_lines(const Options *options, double interval)
{
	struct timespec pause = {.tv_sec = (time_t) interval};

	pause.tv_nsec = (long) ((interval - (double) pause.tv_sec) * 1e9);
	for (;;)
	{
		char *text;

		(void) ask(options);
		text = write_answers(options, interval, 0);
		if (text == NULL || puts(text) < 0 || fflush(stdout) != 0)
			return EXIT_TROUBLE;
		free(text);
		(void) nanosleep(&pause, NULL);
	}
}

static int
watch(const Options *options)
{
	double interval = options->interval > 0 ? options->interval : 2;

	return ctl_screen_begin() ? watch_screen(options, interval) : watch_lines(options, interval);
}

/* ---- arguments ---- */

static const char try_help[] = "Try \"" CTL_PROGRAM " --help\".";

/* Seconds, 0.1 to an hour; 0: no such number. */
static double
read_seconds(const char *text)
{
	char  *end;
	double value = strtod(text, &end);

	return end > text && *end == '\0' && value >= 0.1 && value <= 3600 ? value : 0;
}

/* false: the value is wrong, and that was said. */
static bool
take_option(Options *options, int option)
{
	char *end;

	switch (option)
	{
		case 'd':
			options->ask.conninfo = optarg;
			return true;
		case 'h':
			options->ask.host = optarg;
			return true;
		case 'p':
			options->ask.port = optarg;
			return true;
		case 'U':
			options->ask.user = optarg;
			return true;
		case 't':
			options->ask.timeout = (uint64_t) (read_seconds(optarg) * 1e6);
			if (options->ask.timeout == 0)
				(void) complain(try_help, "--timeout is a number of seconds, 0.1 to 3600");
			return options->ask.timeout != 0;
		case 'W':
			options->act.wait = (uint64_t) (read_seconds(optarg) * 1e6);
			if (options->act.wait == 0)
				(void) complain(try_help, "--wait is a number of seconds, 0.1 to 3600");
			return options->act.wait != 0;
		case 'R':
			options->act.rolling = true;
			return true;
		case 'S':
			options->act.slots = true;
			return true;
		case 'i':
			options->interval = read_seconds(optarg);
			if (options->interval == 0)
				(void) complain(try_help, "--interval is a number of seconds, 0.1 to 3600");
			return options->interval != 0;
		case 'n':
			options->ask.events = strtol(optarg, &end, 10);
			if (*end == '\0' && options->ask.events >= 1 && options->ask.events <= EVENTS_MAX)
				return true;
			(void) complain(try_help, "--events is a number of events, 1 to 100000");
			return false;
		case 'F':
			options->json = strcmp(optarg, "json") == 0;
			if (!options->json && strcmp(optarg, "table") != 0)
				(void) complain("It is table or json.", "there is no such format");
			return options->json || strcmp(optarg, "table") == 0;
		default:
			return true; /* -w */
	}
}

/* The NODE of a command that changes something, if the next argument is one. */
static int
take_node(Options *options, int argc, char **argv)
{
	CtlAct *act = &options->act;
	bool	is_number = optind < argc && argv[optind][0] != '\0' && argv[optind][strspn(argv[optind], "0123456789")] == '\0';

	act->verb = ctl_act_verb(options->verb);
	act->node = RAFT_NONE;
	if (act->rolling && (act->verb == NULL || !act->verb->rolls))
		return complain("Try restart.", "--rolling goes with restart");
	if (act->slots && strcmp(options->verb, "switchover") != 0)
		return complain("Try switchover.", "--slots goes with switchover");
	if (act->verb == NULL)
		return act->wait == 0 ? EXIT_SUCCESS : complain(try_help, "--wait goes with commands that change something");
	if (options->interval > 0 || options->json || options->ask.events != 0)
		return complain(try_help, "commands that change something have no --interval, --format or --events");
	if (act->verb->nodes == CTL_NODE_NONE || act->rolling)
		return EXIT_SUCCESS;
	if (is_number)
	{
		long node = strtol(argv[optind++], NULL, 10);

		if (node >= RAFT_MAX_NODES)
			return complain("It is the pg_leader.node_id of a member.", "there is no such node id");
		act->node = (int32_t) node;
	}
	if (act->node == RAFT_NONE && act->verb->nodes == CTL_NODE_NEEDED)
		return complain("\"" CTL_PROGRAM " list\" shows the members.", "name the NODE, by its id");
	return EXIT_SUCCESS;
}

/* What is left of the arguments: the command, and perhaps a connection. */
static int
take_arguments(Options *options, int argc, char **argv)
{
	static const char *const commands = "The commands are list, events, watch, adopt, switchover, pause, resume, reinit and restart.";
	bool					 is_list;
	bool					 is_events;
	bool					 is_adopt;

	if (optind == argc)
		return complain(commands, "no command given");
	options->verb = argv[optind++];
	is_list = strcmp(options->verb, "list") == 0;
	is_events = strcmp(options->verb, "events") == 0;
	is_adopt = strcmp(options->verb, "adopt") == 0;
	if (!is_list && !is_events && !is_adopt && strcmp(options->verb, "watch") != 0 && ctl_act_verb(options->verb) == NULL)
		return complain(commands, "there is no such command");
	if (take_node(options, argc, argv) != EXIT_SUCCESS)
		return EXIT_USAGE;
	if (optind < argc && options->ask.conninfo[0] != '\0')
		return complain("Name it with -d, or after the command.", "two connections given");
	if (optind < argc)
		options->ask.conninfo = argv[optind++];
	if (optind < argc)
		return complain("Put a connection string into quotes. Several hosts are one: 'host=a,b,c'.", "too many arguments");
	if (is_adopt && (options->interval > 0 || options->json || options->ask.events != 0))
		return complain("Its options are those of the connection, and --timeout.", "adopt has no --interval, --format or --events");
	if (options->interval > 0 && (is_list || is_events))
		return complain("Try watch.", "--interval goes with watch");
	if (options->json && !is_list && !is_events)
		return complain("Call list again and again.", "watch has no --format");
	if (options->ask.events != 0 && is_list)
		return complain("Try events, or watch.", "list shows no events");
	if (options->ask.events == 0 && !is_list && !is_adopt && options->act.verb == NULL)
		options->ask.events = is_events ? EVENTS_OF_EVENTS : EVENTS_OF_WATCH;
	return EXIT_SUCCESS;
}

static int
run(Options *options)
{
	Words words;
	int	  status;

	if (!ctl_options_read(&options->ask, &words))
		return complain(words.hint, words.error);
	if (strcmp(options->verb, "watch") == 0)
		return watch(options);
	if (strcmp(options->verb, "adopt") == 0)
		status = adopt(options);
	else if (options->act.verb != NULL)
		status = act(options);
	else
		status = strcmp(options->verb, "list") == 0 ? list(options) : events(options);
	if (fflush(stdout) == 0)
		return status;
	(void) complain("", "could not write to standard output");
	return EXIT_TROUBLE;
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"dbname", required_argument, NULL, 'd'},
		{"host", required_argument, NULL, 'h'},
		{"port", required_argument, NULL, 'p'},
		{"username", required_argument, NULL, 'U'},
		{"no-password", no_argument, NULL, 'w'},
		{"timeout", required_argument, NULL, 't'},
		{"wait", required_argument, NULL, 'W'},
		{"rolling", no_argument, NULL, 'R'},
		{"slots", no_argument, NULL, 'S'},
		{"interval", required_argument, NULL, 'i'},
		{"events", required_argument, NULL, 'n'},
		{"format", required_argument, NULL, 'F'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0}};
	Options options = {.ask = {.conninfo = "", .host = "", .port = "", .user = "", .timeout = 2000000}};
	int		option;
	char	error[256];

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":d:h:p:U:wt:W:i:n:V", long_options, NULL)) != -1)
	{
		switch (option)
		{
			case 'V':
				printf("%s (pg_leader) %s\n", CTL_PROGRAM, PROGRAM_VERSION);
				return EXIT_SUCCESS;
			case 'H':
				print_help();
				return EXIT_SUCCESS;
			case ':':
				(void) snprintf(error, sizeof(error), "option \"%s\" needs a value", argv[optind - 1]);
				return complain(try_help, error);
			case '?':
				if (optopt == '?')
				{
					print_help();
					return EXIT_SUCCESS;
				}
				(void) snprintf(error, sizeof(error), "unknown option \"%s\"", argv[optind - 1]);
				return complain(try_help, error);
			default:
				if (!take_option(&options, option))
					return EXIT_USAGE;
		}
	}
	option = take_arguments(&options, argc, argv);
	return option == EXIT_SUCCESS ? run(&options) : option;
}
