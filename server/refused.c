/*
 * server/refused.c
 *	  Settings of pg_leader that have a value which PostgreSQL refused.
 *
 * See refused.h.  When the library is loaded, PostgreSQL has read the configuration
 * already: what it holds for a setting that is not defined yet is asked for before the
 * definition, and put to the test after it.  At a reload the files are read once more;
 * PostgreSQL does not keep what it made of them.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "server/compat.h"
#include "server/refused.h"

#define PREFIX "pg_leader."

/* All of them; settings.c says what they are. */
typedef struct Known
{
	const char *name;
	char	   *given;		/* before it was defined; NULL: nothing */
	bool		in_file;	/* "given" came from a file */
	bool		at_start;	/* refused then, and the default is in force */
	bool		now;		/* the files hold a value that is refused */
	bool		is_set;		/* the files hold a value */
	bool		is_useless; /* PostgreSQL took the value, the member cannot use it */
} Known;

static Known known[] = {
	{.name = "pg_leader.node_id"},
	{.name = "pg_leader.cluster"},
	{.name = "pg_leader.cluster_name"},
	{.name = "pg_leader.listen_address"},
	{.name = "pg_leader.state_directory"},
	{.name = "pg_leader.secret_file"},
	{.name = "pg_leader.candidate"},
	{.name = "pg_leader.min_timeout"},
	{.name = "pg_leader.max_timeout"},
	{.name = "pg_leader.heartbeat_interval"},
	{.name = "pg_leader.max_clock_drift"},
	{.name = "pg_leader.log_messages"},
	{.name = "pg_leader.notify_command"},
	{.name = "pg_leader.notify_timeout"},
	{.name = "pg_leader.http_listen"},
	{.name = "pg_leader.manage"},
	{.name = "pg_leader.replication_conninfo"},
	{.name = "pg_leader.clone_max_rate"},
	{.name = "pg_leader.open_timeout"},
	{.name = "pg_leader.health_timeout"},
	{.name = "pg_leader.allow_timeline_gap"},
	{.name = "pg_leader.fence_wait"},
	{.name = "pg_leader.read_fence"},
	{.name = "pg_leader.allow_local_commit"},
	{.name = "pg_leader.fence_exempt_roles"},
};

static char unknown[REFUSED_SIZE]; /* names in the files that are no settings */
static char names_at_start[REFUSED_SIZE];
static char names_now[REFUSED_SIZE];
static char names_not_in_force[REFUSED_SIZE];

static void
append(char *names, const char *name)
{
	if (names[0] != '\0')
		strlcat(names, ", ", REFUSED_SIZE);
	strlcat(names, name, REFUSED_SIZE);
}

static void
list_names(void)
{
	int i;

	strlcpy(names_at_start, unknown, REFUSED_SIZE);
	strlcpy(names_now, unknown, REFUSED_SIZE);
	for (i = 0; i < (int) lengthof(known); i++)
	{
		if (known[i].at_start)
			append(names_at_start, known[i].name);
		if (known[i].at_start || known[i].now)
			append(names_now, known[i].name);
	}
	strlcpy(names_not_in_force, names_now, REFUSED_SIZE);
	for (i = 0; i < (int) lengthof(known); i++)
	{
		if (known[i].is_useless && !known[i].at_start && !known[i].now)
			append(names_not_in_force, known[i].name);
	}
}

/* Would PostgreSQL take this value?  Changes nothing, and says nothing. */
static bool
is_refused(const char *name, const char *value)
{
	return set_config_option(name, value, PGC_POSTMASTER, PGC_S_FILE, GUC_ACTION_SET,
							 false, DEBUG5, false) == 0;
}

static Known *
find(const char *name)
{
	int i;

	for (i = 0; i < (int) lengthof(known); i++)
	{
		if (pg_strcasecmp(known[i].name, name) == 0)
			return &known[i];
	}
	return NULL;
}

/* Both files, as a reload reads them; NULL: PostgreSQL would take nothing from them. */
static ConfigVariable *
parse_files(void)
{
	ConfigVariable *head = NULL;
	ConfigVariable *tail = NULL;

	/* the errors have been reported by whoever started or reloaded */
	if (ParseConfigFile(ConfigFileName, true, NULL, 0, 0, DEBUG5, &head, &tail) &&
		ParseConfigFile(PG_AUTOCONF_FILENAME, false, NULL, 0, 0, DEBUG5, &head, &tail))
		return head;
	FreeConfigVariables(head);
	return NULL;
}

/*
 * What the files hold; of a setting that stands there twice, the last counts.  False:
 * they cannot be read, and what was known of them stays.
 */
static bool
read_files(bool is_first)
{
	ConfigVariable *head = parse_files();
	ConfigVariable *item;
	int				i;

	if (head == NULL)
		return false;
	unknown[0] = '\0';
	for (i = 0; i < (int) lengthof(known); i++)
		known[i].now = known[i].is_set = false;
	for (item = head; item != NULL; item = item->next)
	{
		Known *setting;

		if (item->name == NULL || pg_strncasecmp(item->name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		setting = find(item->name);
		if (setting == NULL)
		{
			append(unknown, item->name);
			continue;
		}
		setting->is_set = true;
		setting->now = is_refused(setting->name, item->value);
		if (is_first && setting->given != NULL && strcmp(setting->given, item->value) == 0)
			setting->in_file = true;
	}
	FreeConfigVariables(head);
	return true;
}

void
refused_before_definition(void)
{
	int i;

	for (i = 0; i < (int) lengthof(known); i++)
	{
		const char *value = GetConfigOption(known[i].name, true, false);

		known[i].given = value != NULL ? strdup(value) : NULL;
	}
}

void
refused_after_definition(void)
{
	int i;

	(void) read_files(true);
	for (i = 0; i < (int) lengthof(known); i++)
		known[i].at_start = known[i].given != NULL && is_refused(known[i].name, known[i].given);
	list_names();
}

/*
 * Is the default in force although the files hold another value?  A reload takes nothing
 * from files with an error anywhere, and a file may have changed since the last reload.
 */
static bool
is_not_taken(const Known *setting)
{
	return setting->is_set && compat_guc(setting->name)->source < PGC_S_FILE;
}

static bool
needs_restart(const Known *setting)
{
	return compat_guc(setting->name)->context == PGC_POSTMASTER;
}

/*
 * What a file held when the server started is forgiven when the file is corrected, the
 * setting can change, and PostgreSQL has taken the correction; what the command line held
 * is not.
 */
void
refused_look(void)
{
	int i;

	if (!read_files(false))
		return;
	for (i = 0; i < (int) lengthof(known); i++)
	{
		if (known[i].in_file && !needs_restart(&known[i]) && !known[i].now && !is_not_taken(&known[i]))
			known[i].at_start = false;
	}
	list_names();
}

void
refused_by_member(const char *name, bool is_useless)
{
	find(name)->is_useless = is_useless;
	list_names();
}

const char *
refused_at_start(void)
{
	return names_at_start;
}

const char *
refused_now(void)
{
	return names_now;
}

const char *
refused_not_in_force(void)
{
	return names_not_in_force;
}
