/*
 * supervisor/copy.c
 *	  pg_rewind and pg_basebackup: making a data directory a copy of the leader's.
 *
 * See copy.h.  Both can end anywhere, and are begun again: what is done when is so ordered that
 * what is found then tells how far it was (primary/rebuild.h).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "copy.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../primary/rebuild.h"
#include "aside.h"
#include "directory.h"
#include "diverged.h"
#include "files.h"
#include "own_files.h"
#include "program.h"
#include "tablespaces.h"

#define SERVICE "pg_leader"

/* How often progress is said, us. */
#define PROGRESS_INTERVAL UINT64_C(10000000)

/* What has to be free beside what is copied, bytes. */
#define SPARE_ROOM (UINT64_C(32) << 20)

#define MOST_TABLESPACES 64

#define HINT_CLONE                                                                                     \
	"The role of pg_leader.replication_conninfo needs REPLICATION, pg_hba.conf of all members has to " \
	"let it in for \"replication\" and for the database \"postgres\", and max_wal_senders needs room for three more."
#define HINT_REWIND                                                                                           \
	"The role of pg_leader.replication_conninfo has to be a superuser, or to have what the documentation of " \
	"pg_rewind grants."

#define HINT_ROOM "Make room there. The data directory stays as it is until a clone beside it is whole."

/* Of a program that has failed: what it may not do, unless something else was wrong. */
static void
add_hint(Words *words, const char *rights)
{
	const char *hint = "";

	if (strstr(words->error, "No space left on device") != NULL)
		hint = HINT_ROOM;
	else if (strstr(words->error, "FATAL: ") != NULL || strstr(words->error, "permission denied") != NULL || strstr(words->error, "must be ") != NULL)
		hint = rights;
	if (words->hint[0] == '\0')
		(void) snprintf(words->hint, sizeof(words->hint), "%s", hint);
}

/* ---- how the leader is reached ---- */

/*
 * By a service file, which has the password if there is one: arguments can be seen by everybody.
 */
static bool
write_service(const JobOrder *order, Words *words)
{
	PQconninfoOption *options = PQconninfoParse(order->conninfo, NULL);
	char			  text[4 * JOB_CONNINFO_SIZE] = "[" SERVICE "]\n";
	char			  path[STORE_PATH_SIZE];
	size_t			  length = strlen(text);

	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL && length < sizeof(text); o++)
	{
		if (o->val != NULL)
			length += (size_t) snprintf(text + length, sizeof(text) - length, "%s=%s\n", o->keyword, o->val);
	}
	PQconninfoFree(options);
	if (options == NULL || length >= sizeof(text) || snprintf(path, sizeof(path), "%s/node-%d.service", order->state_directory, order->self) >= (int) sizeof(path))
		return words_set(words, "", "pg_leader.replication_conninfo cannot be used");
	return files_write(path, text, words) && (setenv("PGSERVICEFILE", path, 1) == 0 || words_set(words, "", "out of memory"));
}

/* The leader's tablespaces: their ids and where they are.  NULL: words. */
static PGresult *
ask_tablespaces(Words *words)
{
	PGconn	 *connection = PQconnectdb("service=" SERVICE " dbname=postgres connect_timeout=10");
	PGresult *result = PQexec(connection, "SELECT oid, pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace WHERE pg_catalog.pg_tablespace_location(oid) LIKE '/%'");

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) > MOST_TABLESPACES)
	{
		(void) words_set(words, HINT_CLONE, "could not ask the leader for its tablespaces: %.*s", (int) strcspn(PQerrorMessage(connection), "\n"), PQerrorMessage(connection));
		PQclear(result);
		result = NULL;
	}
	PQfinish(connection);
	return result;
}

/*
 * What the leader writes meanwhile the server needs when it starts.  The leader keeps it as long as this
 * process lives, if it has a replication slot to spare.
 */
static void
hold_wal(const JobOrder *order, CopySays says)
{
	static PGconn *connection; /* not closed */
	PGresult	  *result;
	char		   text[512];

	connection = PQconnectdb("service=" SERVICE " replication=true connect_timeout=10");
	if (PQstatus(connection) != CONNECTION_OK)
		return; /* then nothing that follows can go well, and that is said */
	(void) snprintf(text, sizeof(text), "CREATE_REPLICATION_SLOT pg_leader_%d_%d TEMPORARY PHYSICAL RESERVE_WAL", (int) order->self, (int) getpid());
	result = PQexec(connection, text);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		(void) snprintf(text, sizeof(text), "the leader may remove WAL that it writes meanwhile: %.*s", (int) strcspn(PQerrorMessage(connection), "\n"), PQerrorMessage(connection));
		says(text);
	}
	PQclear(result);
}

/* ---- what is thrown away ---- */

static void
keep_diverged(const JobOrder *order, const DirectoryControl *control, CopySays says)
{
	char	 said[STORE_PATH_SIZE];
	Diverged diverged = {.programs = order->programs,
						 .data_directory = order->data_directory,
						 .state_directory = order->state_directory,
						 .node_id = order->self,
						 .timeline = control->timeline,
						 .segment_size = control->segment_size,
						 .common = order->common};

	if (control->system_id == 0 || order->common.index == 0)
		return;
	diverged_keep(&diverged, said, sizeof(said));
	if (said[0] != '\0')
		says(said);
}

static bool
find_aside(const JobOrder *order, Aside *aside, Words *words)
{
	return aside_find(aside, order->data_directory, order->state_directory, order->self, words);
}

/* ---- pg_rewind ---- */

static bool
is_rewound(const Aside *aside, const DirectoryControl *control)
{
	RebuildFacts facts = {.rebuild = RAFT_REWINDING,
						  .is_archive_recovery = control->is_archive_recovery,
						  .has_backup_label = control->has_backup_label,
						  .is_same_boot = aside_is_same_boot(aside)};

	return rebuild_is_rewound(&facts);
}

/* For one that is missing, pg_rewind would make a link to the leader's own place: on one machine that is the leader's data. */
static bool
has_all_tablespaces(const JobOrder *order, Words *words)
{
	PGresult *result = ask_tablespaces(words);
	bool	  good = result != NULL;
	char	  tablespaces[STORE_PATH_SIZE];
	char	  link[STORE_PATH_SIZE];

	for (int i = 0; good && i < PQntuples(result); i++)
	{
		if (!files_join(tablespaces, order->data_directory, "pg_tblspc") || !files_join(link, tablespaces, PQgetvalue(result, i, 0)) ||
			!files_exists(link))
			good = words_set(words, "", "the leader has a tablespace in \"%s\" that this directory does not have", PQgetvalue(result, i, 1));
	}
	PQclear(result);
	return good;
}

/*
 * --no-ensure-shutdown: it must never run postgres on the directory, which would write WAL
 * of the leader's timeline there.
 */
static bool
run_rewind(const JobOrder *order, const Aside *aside, Words *words)
{
	const char *const arguments[] = {"--target-pgdata", order->data_directory, "--source-server", "service=" SERVICE " dbname=postgres",
									 "--no-ensure-shutdown", NULL};
	Program			  program = {.directory = order->programs, .name = "pg_rewind", .arguments = arguments};
	DirectoryControl  control;

	if (!has_all_tablespaces(order, words))
		return false;
	if (!program_run(&program, words))
	{
		add_hint(words, HINT_REWIND);
		return false;
	}
	control = directory_control(order->data_directory);
	return is_rewound(aside, &control) || words_set(words, "", "pg_rewind has found nothing to do, where WAL has diverged");
}

/* What rebuilds have left in the leader's directory, or here. */
static bool
remove_foreign(const char *directory, const char *name, void *context, Words *words)
{
	char path[STORE_PATH_SIZE];

	(void) context;
	return !aside_is_ours(name) || !files_join(path, directory, name) || files_remove_tree(path, words);
}

bool
copy_rewind(const JobOrder *order, CopySays says, bool *has_tried, Words *words)
{
	DirectoryControl control = directory_control(order->data_directory);
	Aside			 aside = {.directory = ""};

	if (!find_aside(order, &aside, words) || !write_service(order, words))
		return false;
	if (!is_rewound(&aside, &control))
	{
		keep_diverged(order, &control, says);
		if (!aside_begin_rewind(&aside, words))
			return false;
		*has_tried = true;
		hold_wal(order, says);
		if (!own_files_keep(order->data_directory, words) || !run_rewind(order, &aside, words))
			return false;
	}
	*has_tried = false;
	return files_each(order->data_directory, remove_foreign, NULL, words) && own_files_put_back(order->data_directory, words) &&
		   aside_sync(order->data_directory, words) && aside_mark(&aside, order->data_directory, words);
}

/* ---- pg_basebackup ---- */

/* Its arguments; what is made for them lives as long as this. */
typedef struct Backup
{
	const char *arguments[2 * MOST_TABLESPACES + 24];
	int			n;
	char		mappings[MOST_TABLESPACES][2 * STORE_PATH_SIZE + 8];
	char		wal[STORE_PATH_SIZE];
	char		list[MOST_TABLESPACES * STORE_PATH_SIZE]; /* of the tablespaces' places */
	char		rate[32];
	const char *clone;
	CopySays	says;
	uint64_t	said_at;
	bool		is_checked; /* that there is room, where all is on one disk */
	Words	   *words;
} Backup;

static void
add(Backup *backup, const char *argument)
{
	backup->arguments[backup->n++] = argument;
	backup->arguments[backup->n] = NULL;
}

/* '=' separates the two paths, and a backslash is before one that is part of a path. */
static void
append_path(char *text, size_t size, const char *path)
{
	size_t length = strlen(text);

	for (; *path != '\0' && length + 2 < size; path++)
	{
		if (*path == '=')
			text[length++] = '\\';
		text[length++] = *path;
	}
	text[length] = '\0';
}

/* What is made for them can be found again if this ends anywhere. */
static bool
map_tablespaces(const JobOrder *order, const Aside *aside, Backup *backup, Words *words)
{
	PGresult *result = ask_tablespaces(words);
	bool	  good = result != NULL;
	char	  place[STORE_PATH_SIZE];

	for (int i = 0; good && i < PQntuples(result); i++)
	{
		char *mapping = backup->mappings[i];

		good = tablespaces_place(PQgetvalue(result, i, 1), order->self, place, words);
		mapping[0] = '\0';
		append_path(mapping, sizeof(backup->mappings[i]) - 1, PQgetvalue(result, i, 1));
		(void) strcat(mapping, "=");
		append_path(mapping, sizeof(backup->mappings[i]), place);
		(void) strcat(strcat(backup->list, place), "\n");
		add(backup, "-T");
		add(backup, mapping);
	}
	PQclear(result);
	return good && (backup->list[0] == '\0' || files_write(aside->places, backup->list, words));
}

/* Where initdb or whoever made the old directory had put WAL elsewhere, so is the clone's. */
static bool
place_wal(const JobOrder *order, Backup *backup, Words *words)
{
	char		path[STORE_PATH_SIZE];
	char		target[PATH_MAX];
	struct stat kind;

	if (!files_join(path, order->data_directory, "pg_wal") || lstat(path, &kind) != 0 || !S_ISLNK(kind.st_mode))
		return true;

	/* where it leads is missing: it is taken as it would be */
	if (realpath(path, target) == NULL && errno != ENOENT)
		return files_fail(words, "", "read the link", path);
	if (!tablespaces_place(target, order->self, backup->wal, words))
		return false;
	add(backup, "--waldir");
	add(backup, backup->wal);
	return true;
}

/* "1024/58881 kB (1%), 0/2 tablespaces": how much there is is known from the first of them on. */
static bool
take_progress(const char *line, void *context)
{
	Backup	*backup = context;
	uint64_t done;
	uint64_t all;
	uint64_t now = clock_now();
	char	 sentence[512];

	if (sscanf(line, "%" SCNu64 "/%" SCNu64 " kB", &done, &all) != 2)
		return true;
	if (!backup->is_checked && all > 0)
	{
		uint64_t room = files_room(backup->clone);

		backup->is_checked = true;
		if (backup->list[0] == '\0' && room < (all - done) * 1024 + SPARE_ROOM)
			return words_set(backup->words, HINT_ROOM,
							 "there is no room for a clone of %" PRIu64 " MB in \"%s\": %" PRIu64 " MB are free", all / 1024, backup->clone, room >> 20);
	}
	if (backup->said_at != 0 && now < backup->said_at + PROGRESS_INTERVAL)
		return true;
	backup->said_at = now;
	(void) snprintf(sentence, sizeof(sentence), "clone: %.400s", line + strspn(line, " "));
	backup->says(sentence);
	return true;
}

static bool
run_backup(const JobOrder *order, const Aside *aside, CopySays says, Words *words)
{
	static Backup backup;
	Program		  program = {.directory = order->programs, .name = "pg_basebackup", .line = take_progress, .context = &backup};

	backup = (Backup){.clone = aside->clone, .says = says, .words = words};

	/* hold_wal() has a slot, or there is none for this either */
	for (const char *const *a = (const char *const[]){"-D", aside->clone, "-d", "service=" SERVICE, "-X", "stream", "--no-slot", "-c", "fast", "-P", NULL}; *a != NULL; a++)
		add(&backup, *a);
	if (order->max_rate > 0)
	{
		(void) snprintf(backup.rate, sizeof(backup.rate), "--max-rate=%d", order->max_rate);
		add(&backup, backup.rate);
	}
	if (!map_tablespaces(order, aside, &backup, words) || !place_wal(order, &backup, words))
		return false;
	program.arguments = backup.arguments;
	if (program_run(&program, words))
		return true;
	add_hint(words, HINT_CLONE);
	return false;
}

bool
copy_clone(const JobOrder *order, CopySays says, Words *words)
{
	DirectoryControl control = directory_control(order->data_directory);
	Aside			 aside = {.directory = ""};

	if (!find_aside(order, &aside, words) || !aside_may_swap(&aside, words) || !own_files_put_back(order->data_directory, words) ||
		!write_service(order, words))
		return false;
	keep_diverged(order, &control, says);
	hold_wal(order, says);
	return aside_clean(&aside, words) && run_backup(order, &aside, says, words) &&
		   files_each(aside.clone, remove_foreign, NULL, words) && own_files_copy(order->data_directory, aside.clone, words) &&
		   aside_sync(aside.clone, words) && aside_mark(&aside, aside.clone, words) && aside_swap(&aside, words);
}

bool
copy_finish(const JobOrder *order, Words *words)
{
	Aside aside = {.directory = ""};

	return find_aside(order, &aside, words) && aside_swap(&aside, words);
}

bool
copy_clean(const JobOrder *order, Words *words)
{
	char  service[STORE_PATH_SIZE];
	Aside aside = {.directory = ""};

	if (snprintf(service, sizeof(service), "%s/node-%d.service", order->state_directory, order->self) < (int) sizeof(service))
		(void) unlink(service);
	return find_aside(order, &aside, words) && aside_clean(&aside, words) && own_files_clean(order->data_directory, words);
}
