/*
 * primary/describe.c
 *	  Words for people: logs, views and transcripts.
 *
 * See primary.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "primary.h"

#include <stdio.h>

typedef struct ReasonWords
{
	const char *name;
	const char *words;
} ReasonWords;

static const char *const actions[PRIMARY_ACTIONS] = {
	[PRIMARY_WAIT] = "WAIT",
	[PRIMARY_LEAVE] = "LEAVE",
	[PRIMARY_FOLLOW] = "FOLLOW",
	[PRIMARY_CLAIM] = "CLAIM",
	[PRIMARY_RESUME_REPLAY] = "RESUME_REPLAY",
	[PRIMARY_PROMOTE] = "PROMOTE",
	[PRIMARY_MARK] = "MARK",
	[PRIMARY_OPEN] = "OPEN",
	[PRIMARY_DRAIN] = "DRAIN",
	[PRIMARY_CLOSE] = "CLOSE",
	[PRIMARY_RESTART] = "RESTART",
	[PRIMARY_REWIND] = "REWIND",
	[PRIMARY_CLONE] = "CLONE",
	[PRIMARY_REBUILT] = "REBUILT",
	[PRIMARY_RESIGN] = "RESIGN",
	[PRIMARY_REFUSE] = "REFUSE",
};

static const ReasonWords reasons[PRIMARY_REASONS] = {
	[PRIMARY_LEADS_HALF_REBUILT] = {"leads_half_rebuilt", "it is being rebuilt and must not lead"},
	[PRIMARY_LEADS_WITHOUT_SERVER] = {"leads_without_server", "its server does not run, so it must not lead"},
	[PRIMARY_LEADS_WITHOUT_DATA] = {"leads_without_data", "it has no data that may be used, so it must not lead"},
	[PRIMARY_LEADS_BEHIND] = {"leads_behind", "it holds less WAL than it is known to have held, so it must not lead"},
	[PRIMARY_LEADS_FOREIGN] = {"leads_foreign", "its WAL is on a timeline that nobody has authorised, so it must not lead"},
	[PRIMARY_LEADS_FORBIDDEN] = {"leads_forbidden", "it must not lead"},
	[PRIMARY_LEADS_UNHEALTHY] = {"leads_unhealthy", "it must not lead"},
	[PRIMARY_PROMOTION_PENDS] = {"promotion_pends", "it lost the leadership while its promotion was pending"},
	[PRIMARY_HANDED_OVER] = {"handed_over", "it has handed over"},
	[PRIMARY_DEPOSED] = {"deposed", "another member leads"},
	[PRIMARY_LEADERLESS] = {"leaderless", "it is primary and nobody is known to lead"},
	[PRIMARY_RESTART_WANTED] = {"restart_wanted", "an operator has asked for a restart"},
	[PRIMARY_FORBIDDEN] = {"forbidden", "managed mode refuses this server"},
	[PRIMARY_OTHER_CLUSTER] = {"other_cluster", "its data are those of another cluster, or of another major version of PostgreSQL"},
	[PRIMARY_HALF_NO_SOURCE] = {"half_no_source", "its rebuild was interrupted, and no promoted leader can be reached to go on from"},
	[PRIMARY_HALF_FAILS_AGAIN] = {"half_fails_again", "its rebuild was interrupted more than once; it is tried again after a pause"},
	[PRIMARY_HALF_REWOUND] = {"half_rewound", "its rewind was interrupted"},
	[PRIMARY_HALF_CLONED] = {"half_cloned", "its rebuild was interrupted"},
	[PRIMARY_GONE_IN_PAUSE] = {"gone_in_pause", "it has no data that may be used, and no rebuild begins while the cluster is paused"},
	[PRIMARY_GONE_NO_SOURCE] = {"gone_no_source", "it has no data that may be used, and no promoted leader can be reached to clone from"},
	[PRIMARY_GONE_NO_FLOOR] = {"gone_no_floor", "it has no data that may be used, and the leader has not named its flush position yet"},
	[PRIMARY_GONE] = {"gone", "it has no data that may be used"},
	[PRIMARY_NOT_RUNNING] = {"not_running", "its server does not run"},
	[PRIMARY_NOTHING_CLAIMED_YET] = {"nothing_claimed_yet", "no timeline was ever claimed, so it claims one as soon as every member has answered"},
	[PRIMARY_NOTHING_CLAIMED] = {"nothing_claimed", "no timeline was ever claimed, so it follows whom it followed"},
	[PRIMARY_WRONG_TIMELINE] = {"wrong_timeline", "its promotion gave another timeline than the claimed one"},
	[PRIMARY_NOT_KEPT] = {"not_kept", "it is primary on a timeline that may not be kept"},
	[PRIMARY_DRAINS] = {"drains", "it is about to hand over, and waiting commits finish"},
	[PRIMARY_CLOSED_FOR_HAND_OVER] = {"closed_for_hand_over", "it is about to hand over"},
	[PRIMARY_NOT_OPENING] = {"not_opening", "nothing moved for pg_leader.open_timeout, and another member could lead"},
	[PRIMARY_CANNOT_COMMIT] = {"cannot_commit", "commits stood still for pg_leader.health_timeout, and another member has all of its WAL"},
	[PRIMARY_NO_LEASE] = {"no_lease", "it has no lease"},
	[PRIMARY_OTHER_NAMES] = {"other_names", "synchronous_standby_names is not that of the members that count"},
	[PRIMARY_NO_MARK] = {"no_mark", "it has not written since it was elected"},
	[PRIMARY_NO_QUORUM] = {"no_quorum", "not enough members hold its WAL"},
	[PRIMARY_NOT_RELEASED] = {"not_released", "PostgreSQL does not wait for the synchronous standbys yet"},
	[PRIMARY_UNHEALTHY] = {"unhealthy", "it goes on leading, since no other member could"},
	[PRIMARY_STANDS_STILL] = {"stands_still", "commits stand still: see pg_stat_replication, and why standbys cannot connect"},
	[PRIMARY_ALL_GOOD] = {"all_good", "it leads, and enough members hold its WAL"},
	[PRIMARY_PROMOTES] = {"promotes", "its promotion is pending"},
	[PRIMARY_IN_PAUSE] = {"in_pause", "it leads, and no server is promoted while the cluster is paused"},
	[PRIMARY_STILL_RECEIVING] = {"still_receiving", "its WAL receiver has not ended yet"},
	[PRIMARY_END_UNKNOWN] = {"end_unknown", "the end of its WAL is not known yet"},
	[PRIMARY_NO_CLAIM] = {"no_claim", "it leads, and needs a timeline"},
	[PRIMARY_REPLAY_PAUSED] = {"replay_paused", "it leads, and its replay is paused"},
	[PRIMARY_CLAIM_UNKNOWN] = {"claim_unknown", "its claim has not reached a majority yet"},
	[PRIMARY_MANY_BURNT] = {"many_burnt", "its claim passes over more timeline ids than are burnt without an operator's word"},
	[PRIMARY_NOT_REPLAYED] = {"not_replayed", "its WAL is not replayed to the end yet"},
	[PRIMARY_NO_LEASE_YET] = {"no_lease_yet", "it has no lease to be promoted under"},
	[PRIMARY_ELECTED] = {"elected", "it leads, and the timeline is claimed"},
	[PRIMARY_WHOLE_ALONE] = {"whole_alone", "its copy is whole and has all that it may have confirmed, and nobody leads whom it could follow first"},
	[PRIMARY_NO_LEADER] = {"no_leader", "nobody is known to lead"},
	[PRIMARY_LEADER_UNKNOWN] = {"leader_unknown", "the leader's history and flush position are not known yet"},
	[PRIMARY_LEADER_NOT_READY] = {"leader_not_ready", "the leader's server is not promoted on its claim yet"},
	[PRIMARY_NOT_COMPARABLE] = {"not_comparable", "the end of its WAL is not known yet"},
	[PRIMARY_LOOK_AGAIN] = {"look_again", "its WAL reaches beyond the leader's flush position, which is to be read again"},
	[PRIMARY_REBUILD_IN_PAUSE] = {"rebuild_in_pause", "it has to be rebuilt, and no rebuild begins while the cluster is paused"},
	[PRIMARY_REINIT_RECEIVING] = {"reinit_receiving", "an operator has asked for a new copy of the leader's data, and its WAL receiver has not ended yet"},
	[PRIMARY_REINIT_WANTED] = {"reinit_wanted", "an operator has asked for a new copy of the leader's data"},
	[PRIMARY_FAILS_AGAIN] = {"fails_again", "it was rebuilt twice and still does not fit; it is tried again after a pause"},
	[PRIMARY_PREFERS_OPEN] = {"prefers_open", "it has to be rebuilt, and the leader is not open yet"},
	[PRIMARY_FOREIGN] = {"foreign", "it holds WAL of a timeline that nobody has authorised"},
	[PRIMARY_REWIND_PAUSED] = {"rewind_paused", "its WAL has diverged from the leader's, and its replay is paused"},
	[PRIMARY_REWIND_NOT_REPLAYED] = {"rewind_not_replayed", "its WAL has diverged from the leader's, and is not replayed to the end yet"},
	[PRIMARY_REWIND_NO_CHECKPOINT] = {"rewind_no_checkpoint", "its WAL has diverged from the leader's, which has made no checkpoint on its timeline yet"},
	[PRIMARY_DIVERGED] = {"diverged", "its WAL has diverged from the leader's"},
	[PRIMARY_DIVERGED_NO_REWIND] = {"diverged_no_rewind", "its WAL has diverged from the leader's, and it cannot be rewound"},
	[PRIMARY_AHEAD] = {"ahead", "its WAL reaches beyond the leader's flush position on the leader's timeline"},
	[PRIMARY_DIFFERS] = {"differs", "the last bytes of its WAL are not the leader's"},
	[PRIMARY_PART_LEFT] = {"part_left", "its WAL ends with the beginning of a record that the leader does not have, and is cut off there"},
	[PRIMARY_NOT_STREAMING] = {"not_streaming", "it connects to the leader and receives nothing"},
	[PRIMARY_STREAMS_NEVER] = {"streams_never", "after a restart, too, it connects to the leader and receives nothing"},
	[PRIMARY_NOT_COMPARED] = {"not_compared", "its WAL has not been compared with the leader's yet"},
	[PRIMARY_IS_REBUILT] = {"is_rebuilt", "its rebuild is complete, and it streams"},
	[PRIMARY_COMPARED] = {"compared", "its WAL is the beginning of the leader's"},
	[PRIMARY_UNFORESEEN] = {"unforeseen", "no rule fits what is known"},
};

/* One sentence each that says what to set; the first word is not a name's. */
static const char *const settings[PRIMARY_SETTINGS] = {
	[PRIMARY_SETTING_GOOD] = NULL,
	[PRIMARY_SETTING_STATE_DIRECTORY] = "set pg_leader.state_directory to a directory outside the data directory",
	[PRIMARY_SETTING_HOT_STANDBY] = "set hot_standby = on",
	[PRIMARY_SETTING_WAL_LEVEL] = "set wal_level = replica or logical",
	[PRIMARY_SETTING_FSYNC] = "set fsync = on",
	[PRIMARY_SETTING_FULL_PAGE_WRITES] = "set full_page_writes = on",
	[PRIMARY_SETTING_RECOVERY_TARGET] = "remove every recovery_target setting",
	[PRIMARY_SETTING_RECOVERY_TARGET_TIMELINE] = "set recovery_target_timeline = latest",
	[PRIMARY_SETTING_WORKER_PROCESSES] = "raise max_worker_processes",
	[PRIMARY_SETTING_WAL_SENDERS] = "raise max_wal_senders above twice the number of members",
	[PRIMARY_SETTING_RESOURCE_MANAGER] = "remove the library that has taken pg_leader's resource manager id",
	[PRIMARY_SETTING_APPLY_DELAY] = "set recovery_min_apply_delay = 0",
	[PRIMARY_SETTING_RESTORE_COMMAND] = "remove restore_command",
};

static const char *const healths[PRIMARY_HEALTHS] = {
	[PRIMARY_HEALTHY] = NULL,
	[PRIMARY_HEALTH_DISK_HUNG] = "WAL stays unflushed for pg_leader.health_timeout: is the disk full, or does it hang?",
	[PRIMARY_HEALTH_WORKER_HUNG] = "its role worker has not got on for pg_leader.health_timeout: does the disk hang?",
	[PRIMARY_HEALTH_NO_ANSWER] = "a new connection gets no answer for pg_leader.health_timeout",
	[PRIMARY_HEALTH_NO_ROOM] = "its disk has no room for two segments of WAL",
	[PRIMARY_HEALTH_TOO_SMALL] = "its settings are below those in pg_control: raise them to the primary's",
};

const char *
primary_health_words(PrimaryHealth health)
{
	return (unsigned) health < PRIMARY_HEALTHS ? healths[health] : NULL;
}

const char *
primary_action_name(PrimaryAction action)
{
	return (unsigned) action < PRIMARY_ACTIONS ? actions[action] : "unknown";
}

const char *
primary_reason_name(PrimaryReason reason)
{
	return (unsigned) reason < PRIMARY_REASONS ? reasons[reason].name : "unknown";
}

/* NULL: nothing has to be added. */
static const char *
what_to_do(PrimaryReason reason, const PrimaryFacts *facts)
{
	if ((reason == PRIMARY_LEADS_FORBIDDEN || reason == PRIMARY_FORBIDDEN) && (unsigned) facts->setting < PRIMARY_SETTINGS)
		return settings[facts->setting];
	if (reason == PRIMARY_LEADS_UNHEALTHY || reason == PRIMARY_UNHEALTHY)
		return primary_health_words(facts->health);
	return NULL;
}

const char *
primary_describe(const PrimaryOrder *order, const PrimaryFacts *facts, char *buffer, size_t size)
{
	const char *words = (unsigned) order->reason < PRIMARY_REASONS ? reasons[order->reason].words : "unknown";
	const char *more = what_to_do(order->reason, facts);

	(void) snprintf(buffer, size, "%s%s%s", words, more != NULL ? ": " : "", more != NULL ? more : "");
	return buffer;
}
