/*
 * tools/ctl_adopt.c
 *	  "pg_leaderctl adopt": what is missing until a running primary and its standbys are
 *	  managed, and the next step.
 *
 * See ctl_adopt.h; doc/managed.md has the steps in words.  Which of them are done is known from
 * what each member says of itself, so it is called again after every step.
 *
 *	  gather		who is there, who is the primary
 *	  check_*		what has to be corrected, and what is worth a look
 *	  print_*		the table, the checks, the steps, and the commands of the next one
 */
#include "ctl_adopt.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl_inquire.h"
#include "ctl_table.h"

#define MAX_FINDINGS 64
#define MAX_LINES	 32

/* Of max_worker_processes: four of pg_leader, and PostgreSQL's for logical replication. */
#define WORKERS_AT_LEAST 5

/* What pg_rewind calls, as the documentation of PostgreSQL has it. */
#define REWIND_FUNCTIONS "pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean)"

/* One of the members. */
typedef struct Member
{
	int32_t			 node_id;
	const CtlMember *view;
	bool			 answered;
	bool			 managed;
	bool			 in_recovery;
	CtlInquiry		 inquiry;
} Member;

typedef struct Finding
{
	int32_t node_id; /* RAFT_NONE: of nobody alone */
	char	text[2 * CTL_ERROR_SIZE];
} Finding;

typedef struct Findings
{
	int		n;
	Finding found[MAX_FINDINGS];
} Findings;

static struct Adoption
{
	const CtlView *view;
	int			   n_members;
	int			   n_answered;
	int			   n_managed;
	int			   n_primaries;
	Member		   members[RAFT_MAX_NODES];
	Member		  *primary; /* that is not managed, or the last that has not answered; NULL: none */
	Findings	   wrong;	/* have to be corrected first */
	Findings	   doubts;	/* worth a look */
	int			   n_lines; /* missing in pg_hba.conf */
	char		   lines[MAX_LINES][CTL_ERROR_SIZE];
} adoption;

static void add(Findings *findings, const Member *member, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void
add(Findings *findings, const Member *member, const char *format, ...)
{
	Finding *finding;
	va_list	 args;

	if (findings->n == MAX_FINDINGS)
		return;
	finding = &findings->found[findings->n++];
	finding->node_id = member != NULL ? member->node_id : RAFT_NONE;
	va_start(args, format);
	(void) vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

/* Empty: not known. */
static const char *
value(const Member *member, const char *name)
{
	const char *text = ctl_inquired(&member->inquiry, name);

	return text != NULL ? text : "";
}

static bool
is(const Member *member, const char *name, const char *text)
{
	return strcmp(value(member, name), text) == 0;
}

static int64_t
number(const Member *member, const char *name)
{
	return ctl_number(ctl_inquired(&member->inquiry, name));
}

/* ---- who is there ---- */

/* The last member that is not managed is down between two commands of its step. */
static bool
is_last_step(const Member *member)
{
	return !member->answered && adoption.n_managed == adoption.n_members - 1 && adoption.n_answered == adoption.n_managed;
}

static void
gather(const CtlView *view, const CtlOptions *options)
{
	adoption.view = view;
	adoption.n_members = view->n_members;
	for (int i = 0; i < view->n_members; i++)
	{
		Member *member = &adoption.members[i];

		member->node_id = view->members[i].node_id;
		member->view = &view->members[i];
		member->answered = view->members[i].answered;
		if (!member->answered)
			continue;
		adoption.n_answered++;
		ctl_inquire(&member->inquiry, member->view->server, options->timeout);
		member->managed = ctl_own_is(member->view->server, OWN_MANAGED);
		member->in_recovery = ctl_own_is(member->view->server, OWN_IN_RECOVERY);
		adoption.n_managed += member->managed;
		if (member->managed || member->in_recovery)
			continue;
		adoption.n_primaries++;
		adoption.primary = adoption.n_primaries == 1 ? member : NULL;
	}
	for (int i = 0; i < adoption.n_members; i++)
	{
		if (is_last_step(&adoption.members[i]))
			adoption.primary = &adoption.members[i];
	}
}

/* ---- what has to be corrected: all members together ---- */

static bool
is_same_list(const char *text)
{
	const Cluster *list = &adoption.view->round->list;
	Cluster		   other;
	Words		   words;

	if (!cluster_parse(text, &other, &words) || other.n_members != list->n_members)
		return false;
	for (int i = 0; i < list->n_members; i++)
	{
		const ClusterMember *a = &list->members[i];
		const ClusterMember *b = &other.members[i];

		if (a->node_id != b->node_id || a->port != b->port || strcmp(a->host, b->host) != 0)
			return false;
	}
	return true;
}

/* What is to be the same everywhere, against the first that has answered. */
static void
check_same(const Member *first, const Member *member)
{
	if (!is(member, "system", value(first, "system")))
		add(&adoption.wrong, member, "its data are those of another system (system identifier %s, node %d has %s): make it a standby of the primary with pg_basebackup",
			value(member, "system"), (int) first->node_id, value(first, "system"));
	else if (number(member, "server_version_num") / 10000 != number(first, "server_version_num") / 10000)
		add(&adoption.wrong, member, "its PostgreSQL is of another major version than node %d's", (int) first->node_id);
	if (!is_same_list(ctl_own(member->view->server, OWN_CLUSTER)))
		add(&adoption.wrong, member, "its pg_leader.cluster is another list than node %d's", (int) first->node_id);
}

static void
check_stream(const Member *primary, const Member *member)
{
	const char *timeline = ctl_own(member->view->server, OWN_TIMELINE);
	const char *of_primary = ctl_own(primary->view->server, OWN_TIMELINE);

	if (!ctl_own_is(member->view->server, OWN_RECEIVES))
		add(&adoption.wrong, member, "it does not stream: see its log, and its primary_conninfo");
	if (timeline != NULL && of_primary != NULL && strcmp(timeline, of_primary) != 0)
		add(&adoption.wrong, member, "it is on timeline %s, and the primary on %s: if it was promoted by mistake, make it anew with pg_basebackup",
			timeline, of_primary);
}

static void
check_primary(void)
{
	int64_t senders;
	int		n_standbys = 0;

	if (adoption.n_primaries > 1)
		add(&adoption.wrong, NULL, "%d servers are primaries: only one of them has the data that count. Stop the others, and make them standbys of it with pg_basebackup", adoption.n_primaries);
	if (adoption.n_primaries == 0 && adoption.primary == NULL && adoption.n_managed < adoption.n_members)
		add(&adoption.wrong, NULL, "no primary runs that is not managed: start the primary, as before");
	if (adoption.n_primaries != 1)
		return;
	for (int i = 0; i < adoption.n_members; i++)
	{
		Member *member = &adoption.members[i];

		if (!member->answered || !member->in_recovery)
			continue;
		n_standbys++;
		check_stream(adoption.primary, member);
	}
	senders = number(adoption.primary, "senders");
	if (senders >= 0 && senders < n_standbys)
		add(&adoption.wrong, adoption.primary, "%" PRId64 " of %d standbys stream from it directly: none may stream from another standby", senders, n_standbys);
}

/* ---- of one member ---- */

/* A setting that is known, and is not what it has to be. */
static void
require(const Member *member, const char *name, const char *needed, const char *why)
{
	if (ctl_inquired(&member->inquiry, name) != NULL && !is(member, name, needed))
		add(&adoption.wrong, member, "set %s = %s: %s", name, needed, why);
}

static void
check_directory(const Member *member)
{
	const char *state = ctl_inquired(&member->inquiry, "pg_leader.state_directory");
	const char *data = ctl_inquired(&member->inquiry, "data_directory");

	if (state == NULL || data == NULL)
		add(&adoption.doubts, member, "directories are not visible: connect as a superuser, or as a member of pg_read_all_settings");
	else if (state[0] != '/' || (strncmp(state, data, strlen(data)) == 0 && (state[strlen(data)] == '/' || state[strlen(data)] == '\0')))
		add(&adoption.wrong, member, "pg_leader.state_directory is inside the data directory: move it out, with the state file, while the server is stopped");
	if (value(member, "below_data")[0] != '\0')
		add(&adoption.wrong, member, "move %s out of the data directory, or to its top: after a rebuild, files in directories below it are the leader's", value(member, "below_data"));
}

static void
check_recovery(const Member *member)
{
	if (value(member, "restore_command")[0] != '\0')
		add(&adoption.wrong, member, "remove restore_command: WAL from an archive is not compared with the leader's");
	if (value(member, "recovery_target")[0] != '\0')
		add(&adoption.wrong, member, "remove %s", value(member, "recovery_target"));
	require(member, "recovery_target_timeline", "latest", "a standby has to go with its leader");
	require(member, "recovery_min_apply_delay", "0", "a leader would have to replay what is delayed first");
	if (is(member, "names_source", "command line"))
		add(&adoption.wrong, member, "remove synchronous_standby_names from the command line: pg_leader writes it");
	else if (!member->managed && value(member, "synchronous_standby_names")[0] != '\0')
		add(&adoption.doubts, member, "synchronous_standby_names is set, and pg_leader replaces it at the end");
}

static void
check_settings(const Member *member)
{
	require(member, "hot_standby", "on", "else a standby could say nothing in SQL");
	require(member, "fsync", "on", "what a standby acknowledges has to be on its disk");
	require(member, "full_page_writes", "on", "the same, for its pages");
	if (is(member, "wal_level", "minimal"))
		add(&adoption.wrong, member, "set wal_level = replica or logical");
	if (number(member, "max_wal_senders") <= 2 * adoption.n_members)
		add(number(member, "max_wal_senders") < adoption.n_members ? &adoption.wrong : &adoption.doubts, member,
			"max_wal_senders is %s: each member has up to two connections to the primary, so set it to %d at least, and as high on standbys",
			value(member, "max_wal_senders"), 2 * adoption.n_members + 1);
	if (number(member, "max_worker_processes") < WORKERS_AT_LEAST)
		add(&adoption.wrong, member, "max_worker_processes is %s: pg_leader alone needs 4", value(member, "max_worker_processes"));
	if (is(member, "wal_log_hints", "off") && is(member, "data_checksums", "off"))
		add(&adoption.doubts, member, "neither checksums nor wal_log_hints: a server that has diverged cannot be rewound, and is cloned whole");
	check_directory(member);
	check_recovery(member);
}

/* The line that lets that member in; once, if several have one address. */
static void
add_line(const Member *member, const char *database, const char *address)
{
	char *line;

	if (adoption.n_lines == MAX_LINES)
		return;
	line = adoption.lines[adoption.n_lines];
	(void) snprintf(line, CTL_ERROR_SIZE, "node %d:  host  %-11s  %s  %s/%d  scram-sha-256", (int) member->node_id, database,
					member->inquiry.user, address, strchr(address, ':') != NULL ? 128 : 32);
	for (int i = 0; i < adoption.n_lines; i++)
	{
		if (strcmp(adoption.lines[i], line) == 0)
			return;
	}
	adoption.n_lines++;
}

static void
check_rules(const Member *member)
{
	const PGresult *rules = member->inquiry.rules;

	if (rules == NULL)
		add(&adoption.doubts, member, "pg_hba.conf was not checked: %s", member->inquiry.rules_error);
	for (int row = 0; rules != NULL && row < PQntuples(rules); row++)
	{
		const char *database = PQgetvalue(rules, row, RULE_DATABASE);
		const char *method = PQgetvalue(rules, row, RULE_METHOD);

		if (method[0] != '\0' && strcmp(method, "reject") != 0)
			continue;
		add(&adoption.wrong, member, "pg_hba.conf does not let node %s in as \"%s\", database \"%s\"%s",
			PQgetvalue(rules, row, RULE_NODE), member->inquiry.user, database,
			method[0] != '\0' ? ": an earlier line rejects it" : "");
		add_line(member, database, PQgetvalue(rules, row, RULE_ADDRESS));
	}
}

static void
check_role(const Member *member)
{
	const CtlInquiry *inquiry = &member->inquiry;

	if (ctl_inquired(inquiry, "pg_leader.replication_conninfo") == NULL)
	{
		add(&adoption.doubts, member, "pg_leader.replication_conninfo and pg_hba.conf are not visible: connect as a superuser");
		return;
	}
	if (inquiry->user[0] == '\0')
	{
		add(&adoption.wrong, member, "set pg_leader.replication_conninfo, with a user that has REPLICATION");
		return;
	}
	if (inquiry->role == NULL || PQntuples(inquiry->role) == 0)
		add(&adoption.wrong, member, "there is no role \"%s\" of pg_leader.replication_conninfo", inquiry->user);
	else if (strcmp(PQgetvalue(inquiry->role, 0, ROLE_STATE), "good") != 0)
		add(&adoption.wrong, member, "role \"%s\" of pg_leader.replication_conninfo %s", inquiry->user,
			PQgetvalue(inquiry->role, 0, ROLE_STATE));
	else
	{
		if (PQgetvalue(inquiry->role, 0, ROLE_REWINDS)[0] != 't' && !ctl_own_is(member->view->server, OWN_IN_RECOVERY))
			add(&adoption.doubts, member, "role \"%s\" has not the rights that pg_rewind needs: a server that has diverged is then cloned whole. GRANT EXECUTE ON FUNCTION " REWIND_FUNCTIONS " TO \"%s\"",
				inquiry->user, inquiry->user);
		check_rules(member);
	}
}

static void
check_member(const Member *member, const Member *first)
{
	const char *state = ctl_own(member->view->server, OWN_STATE);

	if (member->inquiry.error[0] != '\0')
	{
		add(&adoption.wrong, member, "it could not be asked: %s", member->inquiry.error);
		return;
	}
	if (state == NULL || strcmp(state, "taking part") != 0)
		add(&adoption.wrong, member, "it takes no part in elections: %s", state != NULL ? state : "its worker does not run");
	check_same(first, member);
	check_settings(member);
	check_role(member);
}

/* All are managed, and nobody claims: rule 12. */
static void
check_timelines(const Member *first)
{
	for (int i = 0; i < adoption.n_members; i++)
	{
		const Member *member = &adoption.members[i];

		if (member->answered && member->view->timeline >= 0 && first->view->timeline >= 0 &&
			member->view->timeline != first->view->timeline)
			add(&adoption.wrong, member, "it is on timeline %" PRId64 ", and node %d on %" PRId64 ": one of them was promoted by hand. Stop the supervisor of the one whose data are not wanted, and make it anew with pg_basebackup",
				member->view->timeline, (int) first->node_id, first->view->timeline);
	}
}

static void
check(void)
{
	const Member *first = NULL;

	for (int i = 0; i < adoption.n_members; i++)
	{
		const Member *member = &adoption.members[i];

		if (!member->answered && !is_last_step(member))
			add(&adoption.wrong, member, "it does not answer: %s", member->view->n_notes > 0 ? member->view->notes[0].text : "?");
		if (!member->answered)
			continue;
		if (first == NULL)
			first = member;
		check_member(member, first);
	}
	check_primary();
	if (first != NULL && adoption.primary == NULL && (adoption.view->primary == NULL || !ctl_is_open(adoption.view->primary)))
		check_timelines(first);
}

/* ---- the table ---- */

static void
print_table(void)
{
	static const char *const titles[] = {"node", "host", "role", "managed", "timeline", "behind", "receives from"};
	static const bool		 right[] = {true, false, false, false, true, true, false};
	CtlTable				 table = {.n_columns = 7, .titles = titles, .right = right};

	for (int i = 0; i < adoption.n_members; i++)
	{
		const Member *member = &adoption.members[i];
		int64_t		  behind = -1;

		if (member->answered && member->in_recovery && adoption.primary != NULL && adoption.primary->answered)
		{
			/* the primary was asked earlier, or later */
			behind = number(adoption.primary, "received") - number(member, "received");
			behind = behind > 0 ? behind : 0;
		}
		ctl_table_add(&table, "%d", (int) member->node_id);
		ctl_table_add(&table, "%s", member->view->host);
		ctl_table_add(&table, "%s", !member->answered ? "no answer" : member->in_recovery ? "standby" :
																							"primary");
		ctl_table_add(&table, "%s", !member->answered ? "-" : member->managed ? "on" :
																				"off");
		if (member->answered && member->view->timeline >= 0)
			ctl_table_add(&table, "%" PRId64, member->view->timeline);
		else
			ctl_table_add(&table, "-");
		if (behind >= 0)
			ctl_table_add(&table, "%" PRId64 " B", behind);
		else
			ctl_table_add(&table, "-");
		ctl_table_add(&table, "%s", value(member, "source")[0] != '\0' ? value(member, "source") : "-");
	}
	ctl_table_print(stdout, &table);
}

static void
print_findings(const char *title, const Findings *findings)
{
	if (findings->n == 0)
		return;
	printf("\n%s\n", title);
	for (int i = 0; i < findings->n; i++)
	{
		const Finding *finding = &findings->found[i];

		if (finding->node_id != RAFT_NONE)
			printf("  node %d: %s\n", (int) finding->node_id, finding->text);
		else
			printf("  %s\n", finding->text);
	}
}

static void
print_lines(void)
{
	if (adoption.n_lines == 0)
		return;
	puts("\nLines to add to pg_hba.conf, above those that reject, and then to reload (\"hostssl\" if you encrypt; your method):");
	for (int i = 0; i < adoption.n_lines; i++)
		printf("  %s\n", adoption.lines[i]);
}

/* ---- the steps ---- */

/* "/etc/postgresql/15/main/postgresql.conf": 15-main */
static bool
is_debian(const Member *member, char *instance, size_t size)
{
	char version[16];
	char name[64];

	if (sscanf(value(member, "config_file"), "/etc/postgresql/%15[^/]/%63[^/]/postgresql.conf", version, name) != 2)
		return false;
	(void) snprintf(instance, size, "%s-%s", version, name);
	return true;
}

/* Of one that is down, as the others are likely to be. */
static void
print_start(const char *directory, const char *instance)
{
	if (instance[0] != '\0')
		printf("    systemctl mask postgresql@%s && systemctl enable --now pg_leader@%s\n", instance, instance);
	else
		printf("    pg_leader_supervisor -D %s\n", directory);
}

static void
print_commands(int step, const Member *member)
{
	const char *directory = member->answered ? value(member, "data_directory") : "";
	const char *config = value(member, "config_file");
	char		instance[96] = "";
	char		configured[1024];

	if (directory[0] == '\0')
		directory = "DATADIR";
	(void) snprintf(configured, sizeof(configured), "%s", directory);
	if (config[0] != '\0' && strncmp(config, directory, strlen(directory)) != 0)
		(void) snprintf(configured, sizeof(configured), "%.*s", (int) (strrchr(config, '/') - config), config);
	(void) is_debian(member, instance, sizeof(instance));
	printf("\nNext is step %d, on the machine of node %d (%s), as the user of the server%s:\n", step, (int) member->node_id,
		   member->view->host, instance[0] != '\0' ? "; systemctl as root" : "");
	if (member->answered)
	{
		printf("    psql -p %s -c 'ALTER SYSTEM SET pg_leader.manage = on'\n", value(member, "port"));
		if (instance[0] != '\0')
			printf("    systemctl stop postgresql@%s\n", instance);
		else
			printf("    pg_ctl -D %s -m fast -w stop\n", directory);
	}
	else
		puts("    # its server is down: set pg_leader.manage = on in its configuration, if it is not, and then");
	print_start(configured, instance);
	puts("Then call this again.");
}

static void
print_step(int number_of_step, bool done, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void
print_step(int number_of_step, bool done, const char *format, ...)
{
	va_list args;

	printf("  [%c] %d. ", done ? 'x' : ' ', number_of_step);
	va_start(args, format);
	(void) vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* Does everybody take part? */
static bool
is_loaded(void)
{
	bool all = adoption.n_answered == adoption.n_members || adoption.n_managed > 0;

	for (int i = 0; i < adoption.n_members && all; i++)
	{
		const Member *member = &adoption.members[i];
		const char	 *state = member->answered ? ctl_own(member->view->server, OWN_STATE) : "taking part";

		all = state != NULL && strcmp(state, "taking part") == 0;
	}
	return all;
}

/* The standbys first, the primary last. */
static const Member *
print_members_steps(int *step, int *next_step)
{
	const Member *next = NULL;

	for (int is_primary = 0; is_primary <= 1; is_primary++)
	{
		for (int i = 0; i < adoption.n_members; i++)
		{
			const Member *member = &adoption.members[i];

			if ((member == adoption.primary) != (is_primary == 1))
				continue;
			print_step(++*step, member->managed, is_primary ? "Node %d, the primary, is stopped, and started by its supervisor: for seconds nobody can write" : "Node %d is restarted by its supervisor, with pg_leader.manage = on", (int) member->node_id);
			if (member->managed || next != NULL)
				continue;
			next = member;
			*next_step = *step;
		}
	}
	return next;
}

static void
print_steps(bool is_over)
{
	int			  step = 2;
	int			  next_step = 0;
	const Member *next;

	puts("\nSteps:");
	print_step(1, is_loaded(), "pg_leader is loaded on all members, with manage = off, and they elect a leader");
	print_step(2, adoption.wrong.n == 0, "The checks find nothing that has to be corrected");
	next = print_members_steps(&step, &next_step);
	print_step(++step, is_over, "One of them is the primary, and open for commits; the others follow it");
	if (adoption.wrong.n > 0)
		puts("\nCorrect what is listed above, and call this again.");
	else if (next != NULL)
		print_commands(next_step, next);
	else
		printf("\n%s\n", is_over ? "Nothing is left to do." : "All are managed: a leader claims a timeline, and is promoted. \"pg_leaderctl list\" shows it.");
}

bool
ctl_adopt(const CtlView *view, const CtlOptions *options)
{
	bool is_over;

	gather(view, options);
	check();
	is_over = view->managed && view->is_fine && adoption.n_managed == adoption.n_members;
	printf("Cluster of %d members: %d answer, %d managed\n", adoption.n_members, adoption.n_answered, adoption.n_managed);
	print_table();
	print_findings("To be corrected first:", &adoption.wrong);
	print_lines();
	print_findings("Worth a look:", &adoption.doubts);
	print_steps(is_over);
	return adoption.wrong.n == 0;
}
