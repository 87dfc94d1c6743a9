/*
 * keep/verb_full_backup.c
 *	  full_backup: a copy of the cluster's data, from which all later states are restored.
 *
 * From a standby, so that the leader has no work; from another member if that one fails, as when it
 * is promoted meanwhile; from the leader if there is no other.  Then a restore point is made, and the copy is
 * rolled to it by replaying the archive's own WAL, which shows that they belong together.  It is put into
 * base/<gid>/ as a data directory that was stopped there: "data", with the cluster's configuration
 * files taken out to "config".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../supervisor/files.h"
#include "backup.h"
#include "catalogue.h"
#include "clone.h"
#include "cluster.h"
#include "gids.h"
#include "instance_files.h"
#include "keep.h"
#include "options.h"
#include "snapshot.h"
#include "wanted.h"
#include "work.h"

#define VERB "full_backup"

/* Microseconds. */
#define WAIT	 UINT64_C(60000000)
#define TIMEOUT	 UINT64_C(86400000000)
#define PATIENCE UINT64_C(20000000)
#define LOOK	 50000

#define HINT_BEGIN "Let the role of keep.conf make checkpoints (GRANT pg_checkpoint), or call it again after the next one."

typedef struct Full
{
	Archive	   *archive;
	Members		members;
	Cluster		cluster;
	Work		work;
	uint64_t	wait;
	const char *max_rate;
	char		made[STORE_PATH_SIZE]; /* work/full_backup/made */
	char		data[STORE_PATH_SIZE];
	int			from;
	BackupWal	wal;
	Gid			gid; /* the restore point behind it */
} Full;

static int
read_arguments(KeepCall *call, Full *full)
{
	static const struct option long_options[] = {
		{"max-rate", required_argument, NULL, 'r'},
		{"wait", required_argument, NULL, 'w'},
		{NULL, 0, NULL, 0}};
	int option;

	full->wait = WAIT;
	while ((option = getopt_long(call->argc, call->argv, "r:w:", long_options, NULL)) != -1)
	{
		if (option == 'r')
			full->max_rate = optarg;
		else if (option != 'w')
			return keep_usage("full_backup was called wrongly");
		else if (!options_seconds(optarg, &full->wait))
			return keep_usage("--wait is a number of seconds");
	}
	return optind == call->argc ? -1 : keep_usage("full_backup takes no arguments");
}

/* ---- before it ---- */

/* One query to a member; its only value, which is not empty. */
static bool
ask(const Full *full, int member, const char *query, uint64_t patience, char *value, size_t size, Words *words)
{
	PGconn	 *connection = session_open(&full->members, member, false, PATIENCE, words);
	PGresult *result = connection != NULL ? session_ask(connection, query, patience, NULL, words) : NULL;
	bool	  good = result != NULL;

	(void) snprintf(value, size, "%s", good && PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	PQfinish(connection);
	return good;
}

/*
 * A standby begins its backup at its last restartpoint, which may be older than the archive: then there has to
 * be a newer one.  The backup's own restartpoint is at the last checkpoint that was replayed.
 */
static bool
make_it_begin_later(const Full *full, int member, Words *words)
{
	uint64_t until = clock_now() + full->wait;
	char	 value[64];
	char	 query[128];

	if (full->cluster.redo[member] >= full->archive->state.begin || full->cluster.leader < 0)
		return true; /* what is missing is noticed afterwards */
	if (!ask(full, full->cluster.leader, "CHECKPOINT", full->wait, value, sizeof(value), words))
	{
		(void) snprintf(words->hint, sizeof(words->hint), HINT_BEGIN);
		return false;
	}
	if (!ask(full, full->cluster.leader, "SELECT checkpoint_lsn FROM pg_catalog.pg_control_checkpoint()", PATIENCE, value, sizeof(value), words))
		return false;
	(void) snprintf(query, sizeof(query), "SELECT pg_catalog.pg_last_wal_replay_lsn() > '%.20s'", value);
	while (member != full->cluster.leader)
	{
		if (!ask(full, member, query, PATIENCE, value, sizeof(value), words))
			return false;
		if (strcmp(value, "t") == 0)
			break;
		if (clock_now() >= until)
			return words_set(words, "", "%s does not replay WAL", full->members.at[member].name);
		(void) usleep(LOOK);
	}
	return true;
}

static bool
has_no_tablespaces(const Full *full, int member, Words *words)
{
	char names[256];

	if (!ask(full, member, "SELECT pg_catalog.string_agg(spcname, ', ') FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')",
			 PATIENCE, names, sizeof(names), words))
		return false;
	return names[0] == '\0' || words_set(words, "", "the cluster has tablespaces, which pg_leader_keep cannot back up: %s", names);
}

/* ---- taking it ---- */

static bool
is_ours(const Full *full, Words *words)
{
	Control control;

	if (!control_read(full->data, &control, words))
		return false;
	return control.system_id == full->archive->state.system_id ||
		   words_set(words, "Correct the members in keep.conf.", "%s is a server of another cluster: its system identifier is %" PRIu64 ", and the archive's is %" PRIu64,
					 full->members.at[full->from].name, control.system_id, full->archive->state.system_id);
}

static bool
take_from(Full *full, int member, bool *no_room, Words *words)
{
	Backup backup = {.members = &full->members, .from = member, .max_rate = full->max_rate, .scratch = full->work.path, .data = full->data};
	bool   good;

	full->from = member;
	if (!files_remove_tree(full->made, words))
		return false;
	if (mkdir(full->made, S_IRWXU) != 0)
		return files_fail(words, "", "create the directory", full->made);
	good = has_no_tablespaces(full, member, words) && make_it_begin_later(full, member, words) && backup_take(&backup, &full->wal, words) &&
		   is_ours(full, words);
	*no_room = backup.no_room;
	return good;
}

/* Standbys before the leader; each once. */
static int
next_member(const Full *full, const bool *tried)
{
	for (int i = 0; i < full->members.n; i++)
	{
		if (!tried[i] && full->cluster.role[i] == CLUSTER_STANDBY)
			return i;
	}
	return full->cluster.leader >= 0 && !tried[full->cluster.leader] ? full->cluster.leader : -1;
}

static bool
take(Full *full, Words *words)
{
	bool tried[MEMBERS_MOST] = {false};
	bool no_room = false;
	bool is_first = true;
	int	 member;

	/* who is what may have changed since the last one failed */
	for (cluster_ask(&full->members, &full->cluster); (member = next_member(full, tried)) >= 0; cluster_ask(&full->members, &full->cluster))
	{
		tried[member] = true;
		if (!is_first)
			fprintf(stderr, "%s: warning: %s\n", KEEP_PROGRAM, words->error);
		is_first = false;
		if (take_from(full, member, &no_room, words))
			return true;
		if (no_room)
			return false;
	}
	return is_first ? words_set(words, full->cluster.words.hint, "no member of the cluster can be copied; %.800s", full->cluster.words.error) : false;
}

/* ---- rolling it ---- */

static bool
remove_one(const char *directory, const char *name, void *context, Words *words)
{
	char path[STORE_PATH_SIZE];

	(void) context;

	/* WAL comes from the archive; what the server has put there may be of a path that is abandoned */
	return strcmp(name, "archive_status") == 0 || (files_join(path, directory, name) && files_remove_tree(path, words));
}

/* What belongs to a server goes out of the data: to "config" if somebody may want to read it. */
static bool
take_out(const Full *full, const char *name, Words *words)
{
	char from[STORE_PATH_SIZE];
	char config[STORE_PATH_SIZE];
	char to[STORE_PATH_SIZE];

	if (!files_join(from, full->data, name) || !files_join(config, full->made, "config") || !files_join(to, config, name))
		return words_set(words, "", "the path \"%s\" is too long", full->data);
	if (strstr(name, ".conf") == NULL || !files_exists(from))
		return files_remove_tree(from, words);
	return rename(from, to) == 0 || files_fail(words, "", "rename to", to);
}

static bool
prepare(const Full *full, Words *words)
{
	char path[STORE_PATH_SIZE];

	if (!files_join(path, full->made, "config") || mkdir(path, S_IRWXU) != 0)
		return files_fail(words, "", "create the directory", path);
	for (const char *const *name = instance_foreign_files; *name != NULL; name++)
	{
		if (!take_out(full, *name, words))
			return false;
	}

	/* a copy of the member's state file is nobody's */
	return take_out(full, "pg_leader", words) && files_join(path, full->data, "pg_wal") && files_each(path, remove_one, NULL, words);
}

static bool
roll(const Full *full, Words *words)
{
	Instance instance;

	if (!instance_init(&instance, full->archive, full->made, "data", "data", words))
		return false;
	instance.target = (InstanceTarget){.timeline = full->gid.timeline, .shuts_down = true};
	(void) snprintf(instance.target.name, sizeof(instance.target.name), "%s", full->gid.name);
	if (!instance_lock(&instance))
		return words_set(words, "", "could not lock \"%s\"", full->made);
	if (!instance_arm(&instance, words) || instance_open(&instance, true, TIMEOUT, words) != INSTANCE_SHUT_DOWN)
		return instance_unlock(&instance), false;
	instance_unlock(&instance);
	return true;
}

/* What replay has left beside the data, and in them. */
static bool
clean(const Full *full, Words *words)
{
	static const char *const ours[] = {"postgresql.conf", "pg_hba.conf", "pg_ident.conf", "log", "log.before", "lock", NULL};
	static const char *const theirs[] = {"backup_label.old", "backup_manifest", "recovery.signal", "postmaster.opts", NULL};
	char					 path[STORE_PATH_SIZE];
	bool					 good = true;

	for (const char *const *name = ours; good && *name != NULL; name++)
		good = files_join(path, full->made, *name) && files_remove_tree(path, words);
	for (const char *const *name = theirs; good && *name != NULL; name++)
		good = files_join(path, full->data, *name) && files_remove_tree(path, words);
	return good && files_join(path, full->data, "pg_wal") && files_each(path, remove_one, NULL, words);
}

/* ---- putting it into its place ---- */

static bool
note(const Full *full, uint64_t bytes, double seconds, Words *words)
{
	CatalogueEntry entry;

	catalogue_begin(&entry, "base");
	catalogue_add(&entry, "gid", "%" PRIu64, full->gid.gid);
	catalogue_add(&entry, "timeline", "%" PRIu32, full->gid.timeline);
	catalogue_add(&entry, "member", "%.300s", full->members.at[full->from].name);
	catalogue_add(&entry, "bytes", "%" PRIu64, bytes);
	catalogue_add(&entry, "seconds", "%.1f", seconds);
	return catalogue_append(full->archive, &entry, words);
}

static bool
put_in_place(const Full *full, uint64_t began, Words *words)
{
	Control	 control;
	char	 place[STORE_PATH_SIZE];
	uint64_t bytes = clone_size(full->data);

	if (!control_read(full->data, &control, words))
		return false;
	/* what was replayed since its last checkpoint need not be in its files */
	if (!control.is_stopped || control.end < full->wal.end || control.end > full->gid.gid)
		return words_set(words, "", "replay has ended at %X/%08X, and should have between %X/%08X and %X/%08X", (unsigned int) (control.end >> 32),
						 (unsigned int) control.end, (unsigned int) (full->wal.end >> 32), (unsigned int) full->wal.end,
						 (unsigned int) (full->gid.gid >> 32), (unsigned int) full->gid.gid);
	gids_base_path(full->archive, full->gid.gid, "", place);
	return clone_flush(full->made, words) && archive_move(full->made, place, words) &&
		   note(full, bytes, (double) (clock_now() - began) / 1e6, words);
}

/* From where the backup has begun up to the restore point. */
static bool
has_its_wal(const Full *full, Words *words)
{
	static Lineage newest;
	static Lineage path;
	Archive		  *archive = full->archive;

	if (!archive_refresh(archive, words) || !archive_lineage(archive, archive->state.timeline, &newest, words))
		return false;
	if (!lineage_until(&newest, full->gid.timeline, &path) || !lineage_holds(&path, full->wal.end_timeline, full->wal.end))
		return words_set(words, "Call it again.", "the backup was made on WAL that the cluster has abandoned");
	if (wanted_has_wal(archive, &path, full->wal.begin, full->gid.gid, words))
		return true;
	if (full->wal.begin < archive->state.begin)
		(void) snprintf(words->hint, sizeof(words->hint), HINT_BEGIN);
	return false;
}

static bool
full_backup(Full *full, Words *words)
{
	uint64_t began = clock_now();
	bool	 good;

	if (!files_join(full->made, full->work.path, "made") || !files_join(full->data, full->made, "data"))
		return words_set(words, "Use a shorter path for the archive.", "the path \"%s\" is too long", full->work.path);
	if (!members_parse(&full->archive->settings, &full->members, words))
		return false;
	good = take(full, words) && snapshot_make(full->archive, "", clock_now() + full->wait, &full->gid, words) && has_its_wal(full, words) &&
		   prepare(full, words) && roll(full, words) && clean(full, words) && put_in_place(full, began, words);
	members_free(&full->members);
	return good;
}

int
verb_full_backup(KeepCall *call)
{
	static Full full;
	Words		words;
	int			status = read_arguments(call, &full);
	bool		good;

	if (status >= 0)
		return status;
	if (!options_not_root(VERB))
		return EXIT_FAILED;
	words_clear(&words);
	full.archive = call->archive;
	if (!work_begin(call->archive, VERB, true, PATIENCE, &full.work, &words))
		return keep_fail(&words);
	good = full_backup(&full, &words);
	work_end(&full.work);
	if (!good)
		return keep_fail(&words);
	printf("%" PRIu64 "\n", full.gid.gid);
	return EXIT_DONE;
}
