/*
 * server/settings.c
 *	  The pg_leader.* settings: definition, single checks, and their combination.
 *
 * Check hooks judge one value, touch nothing outside it and say what to do
 * instead.  The parsed member list travels from check to assign hook as the
 * hook's "extra".  Nothing here talks to the election.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "node/defaults.h"
#include "node/listen.h"
#include "node/placeholders.h"
#include "server/compat.h"
#include "server/refused.h"
#include "server/settings.h"

Settings settings;

/* What pg_leader.cluster holds; NULL while it is empty. */
static const Cluster *parsed_cluster = NULL;

/*
 * pg_leader.cluster: empty, or a list that can be read.
 */
static bool
check_cluster(char **newval, void **extra, GucSource source)
{
	Words	 words;
	Cluster *cluster;

	*extra = NULL;
	if (*newval == NULL || **newval == '\0')
		return true;

	cluster = (Cluster *) compat_guc_malloc(sizeof(Cluster));
	if (cluster == NULL)
	{
		GUC_check_errcode(ERRCODE_OUT_OF_MEMORY);
		GUC_check_errmsg("out of memory");
		return false;
	}
	if (!cluster_parse(*newval, cluster, &words))
	{
		GUC_check_errdetail("Invalid member list: %s.", words.error);
		GUC_check_errhint("%s", words.hint);
		compat_guc_free(cluster);
		return false;
	}
	*extra = cluster;
	return true;
}

static void
assign_cluster(const char *newval, void *extra)
{
	parsed_cluster = (const Cluster *) extra;
}

/*
 * pg_leader.cluster_name: printable, not empty, short enough for a log line.
 */
static bool
check_cluster_name(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0')
	{
		GUC_check_errdetail("The name of the cluster must not be empty.");
		GUC_check_errhint("Give all members of one cluster the same name, and "
						  "different clusters different names.");
		return false;
	}
	if (strlen(*newval) > CLUSTER_NAME_MAX)
	{
		GUC_check_errdetail("The name of the cluster is longer than %d bytes.",
							CLUSTER_NAME_MAX);
		GUC_check_errhint("Choose a shorter name, the same on all members.");
		return false;
	}
	if (!cluster_is_name(*newval))
	{
		GUC_check_errdetail("The name of the cluster has a character that is "
							"not printable ASCII.");
		GUC_check_errhint("Use letters, digits, spaces and punctuation of ASCII.");
		return false;
	}
	return true;
}

/*
 * pg_leader.listen_address: empty, or one literal address.  A name would have to
 * be looked up, and a check hook must not touch the world.
 */
static bool
check_listen_address(char **newval, void **extra, GucSource source)
{
	struct in6_addr address;

	if (*newval == NULL || **newval == '\0' ||
		inet_pton(AF_INET, *newval, &address) == 1 ||
		inet_pton(AF_INET6, *newval, &address) == 1)
		return true;

	GUC_check_errdetail("\"%s\" is neither an IPv4 nor an IPv6 address.", *newval);
	GUC_check_errhint("Give one address without a port, such as 10.0.0.10 or fd00::10, "
					  "or leave it empty for this member's own entry in pg_leader.cluster.");
	return false;
}

/*
 * pg_leader.state_directory: not empty, and short enough for the file's name.
 */
static bool
check_state_directory(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0')
	{
		GUC_check_errdetail("The state directory must not be empty.");
		GUC_check_errhint("Give a directory, absolute or below the data directory.");
		return false;
	}
	if (strlen(*newval) >= STORE_PATH_SIZE / 2)
	{
		GUC_check_errdetail("The path is longer than %d bytes.",
							STORE_PATH_SIZE / 2 - 1);
		GUC_check_errhint("Choose a shorter path.");
		return false;
	}
	return true;
}

/*
 * pg_leader.fence_exempt_roles: a list of identifiers.
 */
static bool
check_roles(char **newval, void **extra, GucSource source)
{
	char *names = pstrdup(*newval);
	List *list = NIL;
	bool  good = SplitIdentifierString(names, ',', &list);

	list_free(list);
	pfree(names);
	if (!good)
	{
		GUC_check_errdetail("The list of roles cannot be read.");
		GUC_check_errhint("Separate names with commas, and quote those with capitals or special characters: monitoring, \"Admin\".");
	}
	return good;
}

/*
 * pg_leader.notify_command: placeholders that there are.
 */
static bool
check_notify_command(char **newval, void **extra, GucSource source)
{
	Words words;

	if (*newval == NULL || placeholders_check(*newval, &words))
		return true;
	GUC_check_errdetail("Invalid command: %s.", words.error);
	GUC_check_errhint("%s", words.hint);
	return false;
}

/*
 * pg_leader.http_listen: addresses with ports.
 */
static bool
check_http_listen(char **newval, void **extra, GucSource source)
{
	ListenAt at[LISTEN_MOST];
	Words	 words;

	if (*newval == NULL || listen_parse(*newval, at, &words) >= 0)
		return true;
	GUC_check_errdetail("Invalid list: %s.", words.error);
	GUC_check_errhint("%s", words.hint);
	return false;
}

static void
define_membership(void)
{
	DefineCustomIntVariable("pg_leader.node_id",
							"Sets which member of the cluster this server is.",
							"-1 means not set: the server takes no part in elections.",
							&settings.node_id,
							DEFAULT_NODE_ID, DEFAULT_NODE_ID, RAFT_MAX_NODES - 1,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_leader.cluster",
							   "Lists the members of the cluster and their addresses.",
							   "host:port, host:port, ... with ids by position, or "
							   "id=host:port, id=host:port, ...",
							   &settings.cluster,
							   DEFAULT_CLUSTER,
							   PGC_SIGHUP, 0, check_cluster, assign_cluster, NULL);
	DefineCustomStringVariable("pg_leader.cluster_name",
							   "Sets the name of the cluster, the same on all members.",
							   "Datagrams and state files of other clusters are refused.",
							   &settings.cluster_name,
							   DEFAULT_CLUSTER_NAME,
							   PGC_POSTMASTER, 0, check_cluster_name, NULL, NULL);
	DefineCustomStringVariable("pg_leader.listen_address",
							   "Sets the address to receive datagrams on.",
							   "Empty means this member's own entry in pg_leader.cluster.",
							   &settings.listen_address,
							   DEFAULT_LISTEN_ADDRESS,
							   PGC_POSTMASTER, 0, check_listen_address, NULL, NULL);
	DefineCustomStringVariable("pg_leader.state_directory",
							   "Sets the directory of the state file.",
							   "A relative path is below the data directory.",
							   &settings.state_directory,
							   DEFAULT_STATE_DIRECTORY,
							   PGC_POSTMASTER, GUC_SUPERUSER_ONLY,
							   check_state_directory, NULL, NULL);

	/*
	 * No check hook: at server start a rejected value is replaced by the default, and
	 * that would be a member without authentication.
	 */
	DefineCustomStringVariable("pg_leader.secret_file",
							   "Sets the file with the keys for authenticating datagrams.",
							   "A relative path is below the data directory. Empty means no authentication.",
							   &settings.secret_file,
							   DEFAULT_SECRET_FILE,
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_leader.candidate",
							 "Sets whether this member may become leader.",
							 "Switching it off makes a leader hand over.",
							 &settings.candidate,
							 true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_timing(void)
{
	DefineCustomIntVariable("pg_leader.min_timeout",
							"Sets the minimum election timeout.",
							"Also the length of a leader's lease, before it is shortened by pg_leader.max_clock_drift.",
							&settings.min_timeout,
							DEFAULT_MIN_TIMEOUT, LEAST_MIN_TIMEOUT, MOST_MIN_TIMEOUT,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_leader.max_timeout",
							"Sets the maximum election timeout.",
							"Must be above pg_leader.min_timeout.",
							&settings.max_timeout,
							DEFAULT_MAX_TIMEOUT, LEAST_MAX_TIMEOUT, MOST_MAX_TIMEOUT,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_leader.heartbeat_interval",
							"Sets how often the leader sends heartbeats.",
							"Must be at most half of pg_leader.min_timeout.",
							&settings.heartbeat_interval,
							DEFAULT_HEARTBEAT_INTERVAL, LEAST_HEARTBEAT_INTERVAL, MOST_HEARTBEAT_INTERVAL,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomRealVariable("pg_leader.max_clock_drift",
							 "Sets the maximum error of the rate of each member's clock.",
							 "A fraction; leases are shortened accordingly.",
							 &settings.max_clock_drift,
							 DEFAULT_MAX_CLOCK_DRIFT, LEAST_MAX_CLOCK_DRIFT, MOST_MAX_CLOCK_DRIFT,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_leader.log_messages",
							 "Logs each datagram that the election receives or sends.",
							 NULL,
							 &settings.log_messages,
							 false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static void
define_notification(void)
{
	DefineCustomStringVariable("pg_leader.notify_command",
							   "Sets the shell command that is run when this member gains or loses the lease, or learns of another leader.",
							   "Empty means none.",
							   &settings.notify_command,
							   DEFAULT_NOTIFY_COMMAND,
							   PGC_SIGHUP, 0, check_notify_command, NULL, NULL);
	DefineCustomIntVariable("pg_leader.notify_timeout",
							"Sets how long pg_leader.notify_command may run before it is terminated.",
							NULL,
							&settings.notify_timeout,
							DEFAULT_NOTIFY_TIMEOUT, LEAST_NOTIFY_TIMEOUT, MOST_NOTIFY_TIMEOUT,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_leader.http_listen",
							   "Sets the addresses and ports at which pg_leader_supervisor answers HTTP, for load balancers and monitoring.",
							   "Empty means none.",
							   &settings.http_listen,
							   DEFAULT_HTTP_LISTEN,
							   PGC_SIGHUP, 0, check_http_listen, NULL, NULL);
}

static void
define_fence(void)
{
	DefineCustomIntVariable("pg_leader.fence_wait",
							"Sets how long a commit waits for the fence to open, before it is refused or its answer is withheld.",
							"-1 means twice pg_leader.max_timeout.",
							&settings.fence_wait,
							-1, -1, 600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_leader.read_fence",
							 "Sets whether a transaction that has only read ends with an error where the fence is closed.",
							 "Off, a server that has lost its lease may show rows that will be gone.",
							 &settings.read_fence,
							 false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_leader.allow_local_commit",
							 "Lets sessions commit without waiting for other members, by synchronous_commit.",
							 "Such commits can be lost. Off, writing transactions are raised to synchronous_commit = on.",
							 &settings.allow_local_commit,
							 false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_leader.fence_exempt_roles",
							   "Lists roles that may log in while the fence is closed, read-only.",
							   "The role of pg_leader.replication_conninfo always may.",
							   &settings.fence_exempt_roles,
							   "",
							   PGC_SIGHUP, 0, check_roles, NULL, NULL);
	DefineCustomIntVariable("pg_leader.receiver",
							"Says of which member a connection for replication is.",
							"Set by the members' WAL receivers as they connect, by nobody else.",
							&settings.receiver,
							-1, -1, RAFT_MAX_NODES - 1,
							PGC_BACKEND, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, NULL, NULL, NULL);
}

/* What pg_basebackup refuses. */
static bool
check_clone_max_rate(int *value, void **extra, GucSource source)
{
	if (*value == 0 || *value >= LEAST_CLONE_MAX_RATE)
		return true;
	GUC_check_errdetail("It is 0, or %d kB a second at least.", LEAST_CLONE_MAX_RATE);
	return false;
}

static void
define_managed(void)
{
	DefineCustomBoolVariable("pg_leader.manage",
							 "Sets whether the elected leader becomes the primary.",
							 "The same on all members; the server has to be started by pg_leader_supervisor.",
							 &settings.manage,
							 false,
							 PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_leader.replication_conninfo",
							   "Sets how a member connects to another one: user, passfile, sslmode and the like.",
							   "Host, port, database and application name are filled in.",
							   &settings.replication_conninfo,
							   DEFAULT_REPLICATION_CONNINFO,
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_leader.clone_max_rate",
							"Sets how many kB a second a clone of the leader's data may take, 0 for no limit.",
							"As --max-rate of pg_basebackup.",
							&settings.clone_max_rate,
							DEFAULT_CLONE_MAX_RATE, 0, MOST_CLONE_MAX_RATE,
							PGC_SIGHUP, 0, check_clone_max_rate, NULL, NULL);
	DefineCustomIntVariable("pg_leader.open_timeout",
							"Sets how long a leader may fail to open, while nothing moves, before another member gets its turn.",
							NULL,
							&settings.open_timeout,
							10000, 1000, 600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_leader.health_timeout",
							"Sets how long the disk may hang, connections may get no answer, or commits may stand still before a leader resigns.",
							NULL,
							&settings.health_timeout,
							10000, 1000, 600000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_leader.allow_timeline_gap",
							 "Lets a promotion pass over more than 1000 timeline ids.",
							 "Each is a file that every member gets; a gap like that comes from a mistake.",
							 &settings.allow_timeline_gap,
							 false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_fence();
}

void
settings_define(void)
{
	refused_before_definition();
	define_managed();
	define_membership();
	define_timing();
	define_notification();
	refused_after_definition();
	MarkGUCPrefixReserved("pg_leader");
}

const Cluster *
settings_cluster(void)
{
	return parsed_cluster;
}

void
settings_timeouts(RaftTimeouts *timeouts)
{
	memset(timeouts, 0, sizeof(*timeouts));
	timeouts->min_timeout = (uint64_t) settings.min_timeout * 1000;
	timeouts->max_timeout = (uint64_t) settings.max_timeout * 1000;
	timeouts->heartbeat_interval = (uint64_t) settings.heartbeat_interval * 1000;
	timeouts->max_drift_ppm = (uint32_t) rint(settings.max_clock_drift * 1000000.0);
}

bool
settings_config(RaftConfig *config, Words *words)
{
	const Cluster *cluster = parsed_cluster;
	const char	  *wrong;

	if (refused_at_start()[0] != '\0')
		return words_set(words, "The log says why, where the server started. Correct the value and reload; pg_leader.node_id, "
								"cluster_name, listen_address and state_directory need a restart.",
						 "refused settings: %s", refused_at_start());
	if (settings.node_id < 0 || cluster == NULL)
		return words_set(words, "Set pg_leader.node_id and pg_leader.cluster and restart the server.",
						 "%s is not set",
						 cluster == NULL ? "pg_leader.cluster" : "pg_leader.node_id");
	if (cluster_member(cluster, settings.node_id) == NULL)
		return words_set(words, "Members without explicit ids are numbered from 0 by position.",
						 "pg_leader.node_id is %d, which is not in pg_leader.cluster",
						 settings.node_id);

	config->node_id = settings.node_id;
	cluster_configure(cluster, config);
	config->may_lead = settings.candidate;
	config->managed = settings.manage;
	settings_timeouts(&config->timeouts);

	wrong = raft_check_config(config);
	if (wrong != NULL)
		return words_set(words, "Correct the pg_leader settings and reload or restart the server.",
						 "%s", wrong);
	return true;
}

static bool
absolute_path(const char *setting, char *path, size_t size)
{
	int length;

	if (is_absolute_path(setting))
		length = snprintf(path, size, "%s", setting);
	else
		length = snprintf(path, size, "%s/%s", DataDir, setting);
	return length >= 0 && (size_t) length < size;
}

bool
settings_state_directory(char *path, size_t size)
{
	return absolute_path(settings.state_directory, path, size);
}

bool
settings_secret_file(char *path, size_t size)
{
	return absolute_path(settings.secret_file, path, size);
}
