/*
 * supervisor/main.c
 *	  pg_leader_supervisor: the parent of a server that is a member; of one that is the
 *	  primary when it leads, if pg_leader.manage is on.
 *
 *	  pg_leader_supervisor -D DATADIR [-c NAME=VALUE...] [-- POSTGRES OPTIONS]
 *
 * One for each server, in the foreground, started by a service manager or as the first
 * process of a container.  Here are its arguments, and what has to be right before it
 * begins; the rest is in supervise.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"
#include "job.h"
#include "leftover.h"
#include "own_files.h"
#include "say.h"
#include "settings.h"
#include "supervise.h"
#include "work.h"

#define EXIT_FAILED 1
#define EXIT_USAGE	2

static void
print_help(void)
{
	printf("%s runs a PostgreSQL server as a member of a pg_leader cluster: it\n"
		   "starts the server as a standby, again when it has crashed, and rewinds or clones its\n"
		   "data where they do not go together with the leader's. It runs pg_leader.notify_command\n"
		   "and answers HTTP at pg_leader.http_listen.\n"
		   "With pg_leader.manage = off, the server is started as it is, and its data stay as they\n"
		   "are.\n"
		   "\n"
		   "Usage:\n"
		   "  %s -D DATADIR [-c NAME=VALUE]... [-- POSTGRES OPTIONS]\n"
		   "\n"
		   "Options:\n"
		   "  -D, --pgdata=DATADIR  the server's directory, as for postgres\n"
		   "  -c NAME=VALUE         a setting of the server, as for postgres\n"
		   "  -V, --version         print the version, then exit\n"
		   "  -?, -h, --help        print this help, then exit\n"
		   "\n"
		   "It runs in the foreground, as the user who owns the directory. Settings are the\n"
		   "server's. With pg_leader.manage = on, a directory that is empty or missing is\n"
		   "cloned from the leader's; as long as it has no postgresql.conf, settings are those\n"
		   "of the command line, which may name a config_file elsewhere.\n"
		   "\n"
		   "Signals:\n"
		   "  SIGTERM, SIGINT  stop the server fast, then end\n"
		   "  SIGQUIT          stop the server immediately, then end\n"
		   "  SIGHUP           reload the settings, here and in the server\n"
		   "\n"
		   "Exit status: 0 after such a signal, 1 if it could not begin, 2 if it was called\n"
		   "wrongly.\n",
		   PROGRAM, PROGRAM);
}

static int
usage_error(const char *what)
{
	fprintf(stderr, "%s: error: %s\n%s: hint: Try \"%s --help\" for more information.\n", PROGRAM, what, PROGRAM, PROGRAM);
	return EXIT_USAGE;
}

/* ---- arguments ---- */

/* -1: go on; else the exit status. */
static int
take_setting(Command *command, const char *setting)
{
	const char *equals = strchr(setting, '=');

	if (equals == NULL || equals == setting)
		return usage_error("-c needs a setting, NAME=VALUE");
	command->options[command->n_options++] = "-c";
	command->options[command->n_options++] = setting;
	return -1;
}

static int
read_arguments(int argc, char **argv, Command *command, const char **directory)
{
	static const struct option long_options[] = {
		{"pgdata", required_argument, NULL, 'D'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0}};
	int option;
	int status = -1;

	if (argc > 1 && strcmp(argv[1], "-?") == 0)
		return print_help(), 0;
	while (status < 0 && (option = getopt_long(argc, argv, "+D:c:hV", long_options, NULL)) != -1)
	{
		switch (option)
		{
			case 'D':
				*directory = optarg;
				break;
			case 'c':
				status = take_setting(command, optarg);
				break;
			case 'h':
				return print_help(), 0;
			case 'V':
				return printf("%s %s\n", PROGRAM, PROGRAM_VERSION), 0;
			default:
				fprintf(stderr, "%s: hint: Try \"%s --help\" for more information.\n", PROGRAM, PROGRAM);
				return EXIT_USAGE;
		}
	}
	if (status >= 0)
		return status;
	if (optind < argc && strcmp(argv[optind - 1], "--") != 0)
		return usage_error("options of postgres come behind \"--\"");
	if (*directory == NULL)
		return usage_error("no data directory was given (-D)");
	for (int i = optind; i < argc; i++)
		command->options[command->n_options++] = argv[i];
	return -1;
}

/* ---- what has to be right ---- */

/*
 * What comes before supervise() can handle it waits.  Process 1 of a container would not
 * get it at all.
 */
static void
hold_signals(void)
{
	sigset_t held;

	(void) sigemptyset(&held);
	(void) sigaddset(&held, SIGTERM);
	(void) sigaddset(&held, SIGINT);
	(void) sigaddset(&held, SIGQUIT);
	(void) sigaddset(&held, SIGHUP);
	(void) sigprocmask(SIG_SETMASK, &held, NULL);
}

/* postgres is where this program is. */
static bool
find_postgres(Command *command, Words *words)
{
	char	path[STORE_PATH_SIZE];
	char   *slash;
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL)
		return words_set(words, "", "could not find this program's own directory");
	*slash = '\0';
	if (snprintf(command->program, sizeof(command->program), "%s/postgres", path) >= (int) sizeof(command->program))
		return words_set(words, "", "the path of this program is too long");
	return access(command->program, X_OK) == 0 ||
		   words_set(words, "It is installed beside the programs of the PostgreSQL that it was built for.",
					 "could not find \"%s\": %s", command->program, strerror(errno));
}

static bool
find_directory(const char *given, Command *command, Words *words)
{
	char		path[PATH_MAX];
	struct stat kind;

	if (mkdir(given, S_IRWXU) == 0)
		say("created the data directory \"%s\", which will be cloned from the leader's", given);
	if (realpath(given, path) == NULL || stat(path, &kind) != 0)
		return words_set(words, "Its parent directory has to exist, and to belong to the user who runs this program.",
						 "could not open the data directory \"%s\": %s", given, strerror(errno));
	if (!S_ISDIR(kind.st_mode))
		return words_set(words, "", "\"%s\" is not a directory", given);
	if (snprintf(command->directory, sizeof(command->directory), "%s", path) >= (int) sizeof(command->directory))
		return words_set(words, "", "the path of the data directory is too long");
	return true;
}

int
main(int argc, char **argv)
{
	static Command			  command;
	static SupervisorSettings settings;
	const char				 *directory = NULL;
	Words					  words;
	int						  status;

	command.options = calloc((size_t) argc * 2 + 1, sizeof(char *));
	if (command.options == NULL)
		return usage_error("out of memory");
	if (argc == 3 && strcmp(argv[1], JOB_OPTION) == 0)
		return work(argv[2]);
	status = read_arguments(argc, argv, &command, &directory);
	if (status >= 0)
		return status;
	words_clear(&words);
	hold_signals();
	if (geteuid() == 0)
		(void) words_set(&words, "Run it as the user who owns the data directory, for example with \"runuser -u postgres --\".",
						 "root cannot run a PostgreSQL server");
	else if (find_postgres(&command, &words) && find_directory(directory, &command, &words) &&
			 own_files_put_back(command.directory, &words) &&
			 supervisor_settings_read(&command, &settings, &words) &&
			 (strcmp(settings.data_directory, command.directory) == 0 ||
			  (own_files_put_back(settings.data_directory, &words) && supervisor_settings_read(&command, &settings, &words))) &&
			 directory_lock(settings.state_directory, settings.node_id, &words) && leftover_end(settings.data_directory, &words))
		return supervise(&command, &settings) ? 0 : EXIT_FAILED;
	say_error(words.hint, "%s", words.error);
	return EXIT_FAILED;
}
