/*
 * supervisor/settings.c
 *	  What the supervisor has to know of its server's configuration.
 *
 * See settings.h.  The postgres that is asked does not load the library: of its settings it tells
 * what stands in the files, and nothing of those that are not set.  So values are read and checked
 * here by the functions of node/ that the library uses, and defaults are those of node/defaults.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "settings.h"

#include <arpa/inet.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../node/defaults.h"
#include "../node/listen.h"
#include "../node/placeholders.h"
#include "../node/value.h"
#include "files.h"
#include "inquiry.h"

#define NOTIFY_COMMAND "pg_leader.notify_command"
#define NOTIFY_TIMEOUT "pg_leader.notify_timeout"
#define HTTP_LISTEN	   "pg_leader.http_listen"

static const char *const asked_for[] = {
	"data_directory",
	"pg_leader.manage",
	"pg_leader.node_id",
	"pg_leader.cluster_name",
	"pg_leader.listen_address",
	"pg_leader.state_directory",
	"pg_leader.secret_file",
	"pg_leader.replication_conninfo",
	"pg_leader.clone_max_rate",
	"pg_leader.max_clock_drift",
	"pg_leader.min_timeout",
	"pg_leader.max_timeout",
	"pg_leader.heartbeat_interval",
	"pg_leader.cluster",
	NOTIFY_COMMAND,
	NOTIFY_TIMEOUT,
	HTTP_LISTEN,
};

#define N_ASKED_FOR (sizeof(asked_for) / sizeof(asked_for[0]))

/* The last ones are asked for alone, too. */
#define N_OWN 4

/* The last answer. */
static const char *answer;

static Asked
ask(const Command *command, const char *name, Words *words)
{
	return inquiry_answer(command, name, &answer, words);
}

/* The value or the default, in answer. */
static bool
ask_or(const Command *command, const char *name, const char *otherwise, Words *words)
{
	Asked asked = ask(command, name, words);

	if (asked == ASKED_NOT_SET)
		answer = otherwise;
	return asked != ASKED_FAILED;
}

static bool
bad_value(const char *name, const char *hint, Words *words)
{
	return words_set(words, hint, "invalid value for \"%s\": \"%.200s\"", name, answer);
}

/* ---- one by one ---- */

static bool
read_text(const Command *command, const char *name, const char *otherwise, char *text, size_t size, Words *words)
{
	if (!ask_or(command, name, otherwise, words))
		return false;
	if (snprintf(text, size, "%s", answer) >= (int) size)
		return bad_value(name, "It is too long.", words);
	return true;
}

/* A time in us. */
static bool
read_time(const Command *command, const char *name, int otherwise, int least, int most, uint64_t *time, Words *words)
{
	int	  milliseconds = otherwise;
	Asked asked = ask(command, name, words);

	if (asked == ASKED_FAILED)
		return false;
	if (asked == ASKED_FOUND &&
		(!value_milliseconds(answer, &milliseconds) || milliseconds < least || milliseconds > most))
		return bad_value(name, "See the documentation of the setting for its range.", words);
	*time = (uint64_t) milliseconds * 1000;
	return true;
}

/* In kB/s, as pg_basebackup takes it. */
static bool
read_rate(const Command *command, int *rate, Words *words)
{
	Asked asked = ask(command, "pg_leader.clone_max_rate", words);

	*rate = DEFAULT_CLONE_MAX_RATE;
	if (asked == ASKED_FOUND && (!value_int(answer, rate) || *rate < 0 || *rate > MOST_CLONE_MAX_RATE ||
								 (*rate > 0 && *rate < LEAST_CLONE_MAX_RATE)))
		return bad_value("pg_leader.clone_max_rate", "It is 0, or 32 to 1048576 kB a second.", words);
	return asked != ASKED_FAILED;
}

static bool
read_timeouts(const Command *command, RaftTimeouts *timeouts, Words *words)
{
	double drift = DEFAULT_MAX_CLOCK_DRIFT;
	Asked  asked = ask(command, "pg_leader.max_clock_drift", words);

	if (asked == ASKED_FAILED)
		return false;
	if (asked == ASKED_FOUND && (!value_real(answer, &drift) || drift < LEAST_MAX_CLOCK_DRIFT || drift > MOST_MAX_CLOCK_DRIFT))
		return bad_value("pg_leader.max_clock_drift", "It is a fraction up to 0.5.", words);
	timeouts->max_drift_ppm = (uint32_t) rint(drift * 1000000.0);
	return read_time(command, "pg_leader.min_timeout", DEFAULT_MIN_TIMEOUT, LEAST_MIN_TIMEOUT, MOST_MIN_TIMEOUT,
					 &timeouts->min_timeout, words) &&
		   read_time(command, "pg_leader.max_timeout", DEFAULT_MAX_TIMEOUT, LEAST_MAX_TIMEOUT, MOST_MAX_TIMEOUT,
					 &timeouts->max_timeout, words) &&
		   read_time(command, "pg_leader.heartbeat_interval", DEFAULT_HEARTBEAT_INTERVAL, LEAST_HEARTBEAT_INTERVAL,
					 MOST_HEARTBEAT_INTERVAL, &timeouts->heartbeat_interval, words);
}

/* A directory without data is one to be cloned, and only a managed server is. */
static bool
read_manage(const Command *command, SupervisorSettings *settings, Words *words)
{
	Asked asked = ask(command, "pg_leader.manage", words);
	char  path[STORE_PATH_SIZE];

	if (asked == ASKED_FAILED)
		return false;
	if (asked == ASKED_FOUND && !value_bool(answer, &settings->manage))
		return bad_value("pg_leader.manage", "It is on or off.", words);
	if (settings->manage || !files_join(path, settings->data_directory, "PG_VERSION") || files_exists(path))
		return true;
	return words_set(words, "Set pg_leader.manage = on for a server whose data are to be cloned, or make a database cluster with initdb.",
					 "pg_leader.manage is off, and there is no database cluster in \"%s\"", settings->data_directory);
}

static bool
read_notification(const Command *command, SupervisorSettings *settings, Words *words)
{
	Words wrong;

	if (!read_text(command, NOTIFY_COMMAND, DEFAULT_NOTIFY_COMMAND, settings->notify_command,
				   sizeof(settings->notify_command), words) ||
		!read_time(command, NOTIFY_TIMEOUT, DEFAULT_NOTIFY_TIMEOUT, LEAST_NOTIFY_TIMEOUT, MOST_NOTIFY_TIMEOUT,
				   &settings->notify_timeout, words))
		return false;
	words_clear(&wrong);
	return placeholders_check(settings->notify_command, &wrong) ||
		   words_set(words, wrong.hint, "invalid value for \"" NOTIFY_COMMAND "\": %s", wrong.error);
}

static bool
read_http_listen(const Command *command, SupervisorSettings *settings, Words *words)
{
	ListenAt at[LISTEN_MOST];
	Words	 wrong;

	if (!read_text(command, HTTP_LISTEN, DEFAULT_HTTP_LISTEN, settings->http_listen, sizeof(settings->http_listen), words))
		return false;
	words_clear(&wrong);
	return listen_parse(settings->http_listen, at, &wrong) >= 0 ||
		   words_set(words, wrong.hint, "invalid value for \"" HTTP_LISTEN "\": %s", wrong.error);
}

static bool
read_list(const Command *command, SupervisorSettings *settings, Words *words)
{
	if (!ask_or(command, "pg_leader.cluster", DEFAULT_CLUSTER, words))
		return false;
	if (settings->node_id == DEFAULT_NODE_ID || answer[0] == '\0')
		return words_set(words, "Set pg_leader.node_id and pg_leader.cluster.", "%s is not set",
						 answer[0] == '\0' ? "pg_leader.cluster" : "pg_leader.node_id");
	if (!cluster_parse(answer, &settings->cluster, words))
		return false;
	return cluster_member(&settings->cluster, settings->node_id) != NULL ||
		   words_set(words, "Members without explicit ids are numbered from 0 by position.",
					 "pg_leader.node_id is %d, which is not in pg_leader.cluster", settings->node_id);
}

/* Those that are asked for last. */
static bool
read_own(const Command *command, SupervisorSettings *settings, Words *words)
{
	return read_notification(command, settings, words) && read_http_listen(command, settings, words);
}

static bool
read_member(const Command *command, SupervisorSettings *settings, Words *words)
{
	Asked asked = ask(command, "pg_leader.node_id", words);

	settings->node_id = DEFAULT_NODE_ID;
	if (asked == ASKED_FAILED)
		return false;
	if (asked == ASKED_FOUND && (!value_int(answer, &settings->node_id) || settings->node_id < DEFAULT_NODE_ID || settings->node_id >= RAFT_MAX_NODES))
		return bad_value("pg_leader.node_id", "It is a number from 0 to 63.", words);
	if (!read_list(command, settings, words) ||
		!read_text(command, "pg_leader.cluster_name", DEFAULT_CLUSTER_NAME, settings->cluster_name, sizeof(settings->cluster_name), words))
		return false;
	return cluster_is_name(settings->cluster_name) ||
		   bad_value("pg_leader.cluster_name", "It is 1 to 63 printable characters of ASCII.", words);
}

static bool
read_listen_address(const Command *command, SupervisorSettings *settings, Words *words)
{
	struct in6_addr address;

	if (!read_text(command, "pg_leader.listen_address", DEFAULT_LISTEN_ADDRESS, settings->listen_address,
				   sizeof(settings->listen_address), words))
		return false;
	return settings->listen_address[0] == '\0' || inet_pton(AF_INET, settings->listen_address, &address) == 1 ||
		   inet_pton(AF_INET6, settings->listen_address, &address) == 1 ||
		   bad_value("pg_leader.listen_address", "Give one IPv4 or IPv6 address without a port.", words);
}

/* Relative ones are below the data directory; an empty one stays so. */
static bool
read_path(const Command *command, const char *name, const char *otherwise, const SupervisorSettings *settings, char *path, Words *words)
{
	bool is_relative;

	if (!ask_or(command, name, otherwise, words))
		return false;
	is_relative = answer[0] != '/' && answer[0] != '\0';
	if (snprintf(path, STORE_PATH_SIZE, "%s%s%s", is_relative ? settings->data_directory : "", is_relative ? "/" : "",
				 answer) >= STORE_PATH_SIZE)
		return bad_value(name, "Choose a shorter path.", words);
	return true;
}

/*
 * Is it below the data directory, or will it be once it is made?  Paths are compared
 * without symbolic links.
 */
static bool
is_inside(const char *path, const char *directory)
{
	char   real_path[PATH_MAX];
	char   real_directory[PATH_MAX];
	char   upper[STORE_PATH_SIZE];
	size_t length;

	if (realpath(directory, real_directory) == NULL)
		return false;
	(void) snprintf(upper, sizeof(upper), "%s", path);
	while (realpath(upper, real_path) == NULL)
	{
		char *slash = strrchr(upper, '/');

		if (slash == NULL || slash == upper)
			return false;
		*slash = '\0';
	}
	length = strlen(real_directory);
	return strncmp(real_path, real_directory, length) == 0 && (real_path[length] == '/' || real_path[length] == '\0');
}

static bool
read_state_directory(const Command *command, SupervisorSettings *settings, Words *words)
{
	if (!read_path(command, "pg_leader.state_directory", DEFAULT_STATE_DIRECTORY, settings, settings->state_directory, words))
		return false;
	if (settings->state_directory[0] == '\0')
		return words_set(words, "Set it to a directory outside the data directory.", "pg_leader.state_directory is empty");
	if (settings->manage && is_inside(settings->state_directory, settings->data_directory))
		return words_set(words, "Set pg_leader.state_directory to a directory outside the data directory, and move the state file there while the server is down.",
						 "the state directory \"%s\" is inside the data directory, which may be replaced as a whole", settings->state_directory);
	return true;
}

/* Without links: a rebuild puts another directory in its place, not in that of a link. */
static bool
read_data_directory(const Command *command, SupervisorSettings *settings, Words *words)
{
	char path[PATH_MAX];

	if (!read_text(command, "data_directory", "", settings->data_directory, sizeof(settings->data_directory), words))
		return false;
	if (realpath(settings->data_directory, path) == NULL)
		return true;
	return snprintf(settings->data_directory, sizeof(settings->data_directory), "%s", path) < (int) sizeof(settings->data_directory) ||
		   words_set(words, "", "the path of the data directory is too long");
}

static bool
read_all(const Command *command, SupervisorSettings *settings, Words *words)
{
	RaftConfig	config;
	const char *wrong;

	if (!read_data_directory(command, settings, words) ||
		!read_manage(command, settings, words) || !read_member(command, settings, words) ||
		!read_listen_address(command, settings, words) || !read_state_directory(command, settings, words) ||
		!read_path(command, "pg_leader.secret_file", DEFAULT_SECRET_FILE, settings, settings->secret_file, words) ||
		!read_text(command, "pg_leader.replication_conninfo", DEFAULT_REPLICATION_CONNINFO, settings->replication_conninfo,
				   sizeof(settings->replication_conninfo), words) ||
		!read_rate(command, &settings->clone_max_rate, words) || !read_timeouts(command, &settings->timeouts, words) ||
		!read_own(command, settings, words))
		return false;
	config = (RaftConfig){
		.node_id = settings->node_id,
		.managed = settings->manage,
		.timeouts = settings->timeouts};
	cluster_configure(&settings->cluster, &config);
	wrong = raft_check_config(&config);
	return wrong == NULL || words_set(words, "Correct the pg_leader settings.", "%s", wrong);
}

bool
supervisor_settings_read(const Command *command, SupervisorSettings *settings, Words *words)
{
	bool good;

	words_clear(words);
	memset(settings, 0, sizeof(*settings));
	good = inquiry_begin(command, asked_for, N_ASKED_FOR, words) && read_all(command, settings, words);
	inquiry_end();
	return good;
}

bool
supervisor_settings_read_own(const Command *command, SupervisorSettings *settings, Words *words)
{
	bool good;

	words_clear(words);
	good = inquiry_begin(command, asked_for + N_ASKED_FOR - N_OWN, N_OWN, words) &&
		   (settings->manage || read_list(command, settings, words)) && read_own(command, settings, words);
	inquiry_end();
	return good;
}
