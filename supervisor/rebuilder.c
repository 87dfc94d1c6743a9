/*
 * supervisor/rebuilder.c
 *	  Rebuilding a data directory whose server does not run.
 *
 * See rebuilder.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "rebuilder.h"

#include <stdio.h>
#include <string.h>

#include "../node/clock.h"
#include "../primary/rebuild.h"
#include "aside.h"
#include "directory.h"
#include "job.h"
#include "own_files.h"
#include "say.h"
#include "service.h"

/* How often the leader's server is asked, while its answer is needed, us. */
#define ASK_INTERVAL UINT64_C(500000)

/* Between two attempts to put a clone in the directory's place, us. */
#define FINISH_INTERVAL UINT64_C(1000000)

static const Command			*command;
static const SupervisorSettings *settings;
static void (*changed)(void);

/* What the leader's server has said, and who that was. */
static UpstreamIdentity leader;
static bool				has_fork;
static int32_t			leader_id; /* RAFT_NONE: nobody has said anything */
static uint64_t			leader_term;
static int32_t			asked_id;
static uint64_t			asked_term;
static uint64_t			asked_at;

static bool		is_untouched; /* RebuildFacts */
static bool		has_failed;
static bool		is_over; /* what is left of a rebuild is to go, once there is no other job */
static uint64_t finish_at;
static uint64_t ordered_at; /* by the role worker, which knew a leader */
static Aside	aside;

static char said_trouble[WORDS_SIZE];

static void
say_trouble(const char *what, const Words *words)
{
	if (strcmp(said_trouble, words->error) == 0)
		return;
	(void) snprintf(said_trouble, sizeof(said_trouble), "%s", words->error);
	say_error(words->hint, "%s: %s", what, words->error);
}

/* ---- jobs ---- */

static const char *
job_name(JobKind kind)
{
	static const char *const names[] = {
		[JOB_ASK] = "the leader's server cannot be asked",
		[JOB_REWIND] = "the rewind has failed",
		[JOB_CLONE] = "the clone has failed",
		[JOB_FINISH] = "a clone that is whole could not be put in the directory's place",
		[JOB_CLEAN] = "could not remove what a rebuild has left",
	};

	return names[kind];
}

static void
on_done(JobKind kind)
{
	said_trouble[0] = '\0';
	if (kind == JOB_REWIND || kind == JOB_CLONE || kind == JOB_FINISH)
		say("the data directory \"%s\" is a copy of the leader's: %s", settings->data_directory, kind == JOB_REWIND ? "rewound" : "cloned");
}

static void
on_message(const JobMessage *message)
{
	JobKind kind = job_kind();

	switch (message->tell)
	{
		case JOB_SAYS:
			say("%s", message->words.error);
			if (kind == JOB_REWIND || kind == JOB_CLONE)
				service_status("%s", message->words.error);
			return;
		case JOB_LEADER_IS:
			leader = message->identity;
			has_fork = message->has_fork;
			leader_id = asked_id;
			leader_term = asked_term;
			return;
		case JOB_DONE:
			on_done(kind);
			return;
		case JOB_FAILED:
			has_failed |= message->has_tried;
			say_trouble(job_name(kind), &message->words);
			return;
	}
}

static bool
start_job(JobKind kind, const char *conninfo, RaftPosition common)
{
	static JobOrder order;
	Words			words;
	const char	   *slash = strrchr(command->program, '/');

	memset(&order, 0, sizeof(order));
	order.kind = kind;
	order.self = settings->node_id;
	order.common = common;
	order.max_rate = settings->clone_max_rate;
	(void) snprintf(order.programs, sizeof(order.programs), "%.*s", (int) (slash - command->program), command->program);
	(void) snprintf(order.data_directory, sizeof(order.data_directory), "%s", settings->data_directory);
	(void) snprintf(order.state_directory, sizeof(order.state_directory), "%s", settings->state_directory);
	(void) snprintf(order.conninfo, sizeof(order.conninfo), "%s", conninfo);
	words_clear(&words);
	if (job_start(&order, &words))
		return true;
	say_trouble(job_name(kind), &words);
	return false;
}

/* Where a member's server listens, under one of our names there. */
static bool
conninfo_of(const Member *member, int32_t id, const char *what, char *conninfo, Words *words)
{
	const ClusterMember *node = cluster_member(&settings->cluster, id);
	uint16_t			 port = member->raft.peers[id].told.port;
	char				 name[40];

	if (node == NULL || port == 0)
		return words_set(words, "", "it has not said yet on which port its PostgreSQL listens");
	(void) snprintf(name, sizeof(name), "pg_leader_%d_%s", settings->node_id, what);
	return upstream_conninfo(settings->replication_conninfo, node->host, port, name, conninfo, JOB_CONNINFO_SIZE, words);
}

/* ---- facts ---- */

static RebuildFacts
look(const Member *member)
{
	DirectoryControl control = directory_control(settings->data_directory);
	RebuildFacts	 facts = {.rebuild = member->raft.saved.rebuild,
							  .is_done = aside_state(&aside) == ASIDE_IN_PLACE,
							  .is_untouched = is_untouched && control.system_id != 0,
							  .has_failed = has_failed,
							  .is_stopped_standby = control.is_stopped_standby,
							  .is_one_timeline = control.is_one_timeline,
							  .is_archive_recovery = control.is_archive_recovery,
							  .has_backup_label = control.has_backup_label,
							  .is_same_boot = aside_is_same_boot(&aside)};

	return facts;
}

/* Somebody has to know what the leader's server is. */
static void
ask(const Member *member, const PrimaryFacts *facts)
{
	uint64_t now = clock_now();
	char	 conninfo[JOB_CONNINFO_SIZE];
	Words	 words;
	bool	 is_same = asked_id == facts->leader_id && asked_term == facts->term;

	if (job_kind() != 0 || (is_same && now < asked_at + ASK_INTERVAL))
		return;
	asked_id = facts->leader_id;
	asked_term = facts->term;
	asked_at = now;
	words_clear(&words);
	if (!conninfo_of(member, facts->leader_id, "check", conninfo, &words))
		say_trouble(job_name(JOB_ASK), &words);
	else
		(void) start_job(JOB_ASK, conninfo, facts->floor);
}

void
rebuilder_gather(const Member *member, PrimaryFacts *facts)
{
	RebuildFacts found;
	bool		 is_gone = facts->system_id == 0 || facts->distrusted;
	bool		 has_leader = facts->leader_id >= 0 && facts->leader_id != facts->self;

	if (raft_is_gone(&member->raft))
		is_untouched = false;

	/* asked at each turn of the member: the directory is looked at only where something may be left */
	if (facts->rebuild != RAFT_INTACT)
	{
		found = look(member);
		facts->remains = rebuild_remains(&found);
	}
	facts->rebuild_pause = PRIMARY_REBUILD_PAUSE;

	/* an untouched directory is not started again at once: the member gets to know that leader in a moment */
	if (facts->failed_at < ordered_at)
		facts->failed_at = ordered_at;
	if (!has_leader || facts->leader.server != RAFT_SERVER_PRIMARY || (!is_gone && facts->rebuild == RAFT_INTACT))
		return;
	if (leader_id != facts->leader_id || leader_term != facts->term)
		leader_id = RAFT_NONE;
	ask(member, facts);
	if (leader_id == RAFT_NONE || leader.in_recovery || leader.system_id != facts->leader.system_id)
		return;
	facts->leader.major = leader.major;
	facts->leader.flush = leader.flush;
	facts->leader.control_shows_timeline = leader.control_timeline >= leader.timeline;
	facts->leader.has_fork = has_fork;
}

/* ---- orders ---- */

static bool
has_marker(const Member *member, RaftRebuild how, int32_t source)
{
	const RaftSaved *saved = &member->raft.saved;

	return saved->rebuild == how && saved->rebuild_source == source && saved->rebuild_term == saved->term;
}

void
rebuilder_obey(Member *member, const PrimaryOrder *order, WatchDirectory *watch)
{
	RaftRebuild how = order->action == PRIMARY_REWIND ? RAFT_REWINDING : RAFT_CLONING;
	bool		was_intact = member->raft.saved.rebuild == RAFT_INTACT;
	char		conninfo[JOB_CONNINFO_SIZE];
	Words		words;

	if (job_kind() == JOB_ASK || job_kind() == JOB_CLEAN)
		return; /* a moment later */
	if (job_kind() != 0)
	{
		if (!rebuild_goes_on(member->raft.saved.rebuild_source, order->node))
			job_kill();
		return;
	}
	is_over = false;
	words_clear(&words);
	if (!directory_is_ours(settings->data_directory, &words))
	{
		say_trouble("the data directory is not replaced", &words);
		return;
	}
	if (!has_marker(member, how, order->node))
	{
		if (!member_rebuild(member, how, order->floor))
			return;
		is_untouched = was_intact ? directory_control(settings->data_directory).system_id != 0 : is_untouched;
		has_failed = false;
	}
	if (!conninfo_of(member, order->node, "clone", conninfo, &words))
	{
		say_trouble(job_name(JOB_CLONE), &words);
		return;
	}
	watch_rebuilds(watch, how, clock_now(), order->node, member->raft.saved.term);
	said_trouble[0] = '\0';
	service_status("%s the data directory from node %d", how == RAFT_REWINDING ? "rewinding" : "cloning", (int) order->node);
	say("%s the data directory \"%s\" from node %d", how == RAFT_REWINDING ? "rewinding" : "cloning", settings->data_directory, (int) order->node);
	(void) start_job(how == RAFT_REWINDING ? JOB_REWIND : JOB_CLONE, conninfo, order->floor);
}

void
rebuilder_is_ordered(PrimaryRemains remains)
{
	Words words;

	is_untouched = remains == PRIMARY_REMAINS_UNTOUCHED;
	has_failed = is_over = false;
	ordered_at = clock_now();

	/* a copy that was whole, and does not fit or was made before, is none */
	words_clear(&words);
	if (!aside_forget(&aside, &words))
		say_error(words.hint, "%s", words.error);
}

bool
rebuilder_is_busy(const Member *member)
{
	JobKind kind = job_kind();

	if (kind == JOB_REWIND || kind == JOB_CLONE || kind == JOB_FINISH)
	{
		if (member != NULL && kind != JOB_FINISH && !rebuild_goes_on(member->raft.saved.rebuild_source, member->raft.leader_id))
			job_kill();
		return true;
	}
	if (aside_state(&aside) != ASIDE_WHOLE)
		return false;
	if (kind == 0 && clock_now() >= finish_at)
	{
		finish_at = clock_now() + FINISH_INTERVAL;
		(void) start_job(JOB_FINISH, "", (RaftPosition){0, 0});
	}
	return true;
}

void
rebuilder_clean(void)
{
	is_over = job_kind() != 0;
	if (!is_over && (aside_has_leftovers(&aside) || own_files_are_left(settings->data_directory)))
		(void) start_job(JOB_CLEAN, "", (RaftPosition){0, 0});
}

bool
rebuilder_reap(pid_t pid)
{
	bool asked = job_kind() == JOB_ASK;

	if (!job_ended(pid))
		return false;

	/* who takes long to answer would else be asked again at once, and nothing but that be done */
	if (asked)
		asked_at = clock_now();
	if (is_over)
		rebuilder_clean();
	changed();
	return true;
}

void
rebuilder_end(void)
{
	job_kill();
}

void
rebuilder_init(struct event_base *base, const Command *how, const SupervisorSettings *known, void (*callback)(void))
{
	Words words;

	command = how;
	settings = known;
	changed = callback;
	leader_id = asked_id = RAFT_NONE;
	job_init(base, on_message);
	words_clear(&words);
	if (!aside_find(&aside, settings->data_directory, settings->state_directory, settings->node_id, &words))
		say_error(words.hint, "%s", words.error);
}
