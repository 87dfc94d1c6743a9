/*
 * primary/decide.c
 *	  The table that says what a server should be.
 *
 * One row for each situation, from the top down: the first that is the case gives the
 * order.  A row has a test of its own name (test/unit/test_primary_decide.c).  What lets
 * commits, WAL or a promotion through (OPEN, FOLLOW, PROMOTE) says all that it needs once
 * more, so that no gap in the rows above opens a gate.
 *
 * See primary.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "primary.h"

#include <assert.h>

#include "health.h"
#include "promotion.h"
#include "quorum.h"

/* So many times the comparison may fail after a rebuild or restart. */
#define REWINDS_UP_TO  0
#define REBUILDS_UP_TO 1

/* So many pauses a member waits for WAL that its leader has and does not send, before it is cloned. */
#define STUCK_PAUSES 4

typedef struct View
{
	const PrimaryFacts *f;
	PrimaryPosition		own;
	bool				leads;
	bool				diverged;
} View;

typedef struct Row
{
	PrimaryReason reason;
	bool (*holds)(const View *v);
	PrimaryAction action;
} Row;

/* ---- what several rows ask ---- */

static bool
has_passed(const View *v, uint64_t since, uint64_t timeout)
{
	return v->f->now >= since && v->f->now - since >= timeout;
}

static bool
has_leader(const View *v)
{
	return v->f->leader_id >= 0;
}

/*
 * Rule 21: what a rebuild has left is a copy all the same, if there is no leader to go on from:
 * the new one is whole, or a clone beside the old one has not touched that, and its source does
 * not come back.
 */
static bool
is_copy_alone(const View *v)
{
	const PrimaryFacts *f = v->f;

	if (f->rebuild == RAFT_INTACT || f->distrusted || has_leader(v))
		return false;
	return f->remains == PRIMARY_REMAINS_WHOLE ||
		   (f->remains == PRIMARY_REMAINS_UNTOUCHED && has_passed(v, f->failed_at, f->rebuild_pause));
}

/* Rule 21: the directory is neither the old one nor the new one. */
static bool
is_half(const View *v)
{
	return v->f->rebuild != RAFT_INTACT && v->f->remains != PRIMARY_REMAINS_WHOLE && !is_copy_alone(v);
}

/* Rules 15, 21 and 22: there is nothing that may be used. */
static bool
is_gone(const View *v)
{
	return v->f->system_id == 0 || v->f->distrusted;
}

static bool
is_other_cluster(const View *v)
{
	const PrimaryFacts *f = v->f;

	return f->system_id != 0 &&
		   ((f->stored_system_id != 0 && f->system_id != f->stored_system_id) ||
			(f->leader.system_id != 0 && f->system_id != f->leader.system_id) ||
			(f->leader.major != 0 && f->major != f->leader.major));
}

static bool
may_be_started(const View *v)
{
	return !is_half(v) && !is_gone(v) && !is_other_cluster(v);
}

/*
 * Rule 21: a rebuild takes from the leader of our term, promoted on its claim.
 * What its member says of it may be old: where its WAL ends was read by a connection, so the
 * server itself is alive.  Else what is left here would be wiped for nothing.
 */
static bool
has_source(const View *v)
{
	return has_leader(v) && !v->leads && v->f->leader.server == RAFT_SERVER_PRIMARY && v->f->leader.promoted &&
		   v->f->leader.flush != 0;
}

static bool
is_primary(const View *v)
{
	return v->f->server == RAFT_SERVER_PRIMARY;
}

static bool
leads_primary(const View *v)
{
	return v->leads && is_primary(v);
}

static bool
leads_recovery(const View *v)
{
	return v->leads && v->f->server == RAFT_SERVER_RECOVERY;
}

static bool
has_lease(const View *v)
{
	return v->f->lease_until > v->f->now;
}

/* ---- it must not lead ---- */

static bool
leads_half_rebuilt(const View *v)
{
	return v->leads && v->f->rebuild != RAFT_INTACT;
}

static bool
leads_without_server(const View *v)
{
	return v->leads && v->f->server == RAFT_SERVER_NONE;
}

static bool
leads_without_data(const View *v)
{
	return v->leads && (is_gone(v) || is_other_cluster(v));
}

/* Elected, and then an older copy of its data was put there (rule 22). */
static bool
leads_behind(const View *v)
{
	return v->leads && primary_behind(v->f);
}

static bool
leads_foreign(const View *v)
{
	return v->leads && v->own.foreign;
}

static bool
leads_forbidden(const View *v)
{
	return v->leads && v->f->setting != PRIMARY_SETTING_GOOD;
}

/*
 * No room and small settings are reasons not to stand, not to leave.  And where no other can lead,
 * a server that still does something is better than none.  In a pause nobody would take over.
 */
static bool
leads_unhealthy(const View *v)
{
	return v->leads && !v->f->in_pause && health_is_grave(v->f->health) && v->f->replaceable;
}

/* ---- it must not stay primary ---- */

/* Rule 13: what was asked for may still happen. */
static bool
promotion_pends(const View *v)
{
	return v->f->promoting && !(v->leads && v->f->asked) && v->f->server != RAFT_SERVER_NONE && may_be_started(v);
}

static bool
is_handed_over(const View *v)
{
	return is_primary(v) && v->f->hand_over == PRIMARY_HAND_OVER_DONE && may_be_started(v);
}

/* A primary that knows another leader. */
static bool
is_deposed(const View *v)
{
	return is_primary(v) && has_leader(v) && !v->leads && may_be_started(v);
}

static bool
is_leaderless(const View *v)
{
	return is_primary(v) && !has_leader(v);
}

/* ---- whether its directory may be used ---- */

/* Also where managed mode refuses a setting: the restart may be what brings the right one. */
static bool
restart_wanted(const View *v)
{
	return v->f->restart_wanted && v->f->server == RAFT_SERVER_RECOVERY && !v->leads && !v->f->promoting && may_be_started(v);
}

static bool
is_forbidden(const View *v)
{
	return v->f->setting != PRIMARY_SETTING_GOOD;
}

static bool
half_no_source(const View *v)
{
	return is_half(v) && !has_source(v);
}

/*
 * Only against the source that it began with: blocks that came from another one are in no
 * WAL that would mend them.
 */
static bool
half_rewound(const View *v)
{
	const PrimaryFacts *f = v->f;

	return is_half(v) && f->rebuild == RAFT_REWINDING && f->remains == PRIMARY_REMAINS_REPEATABLE &&
		   f->leader_id == f->rebuild_source && f->term == f->rebuild_term && f->leader.control_shows_timeline &&
		   f->leader.has_fork;
}

/* It waits loudly, but not for ever: whatever was wrong may have been mended (L1). */
static bool
rebuild_pauses(const View *v)
{
	const PrimaryFacts *f = v->f;

	return f->failures > REBUILDS_UP_TO &&
		   !(f->rebuild_pause != 0 && has_passed(v, f->failed_at, f->rebuild_pause));
}

/* What has ended it, such as a full disk, would do so again; another source may not. */
static bool
half_fails_again(const View *v)
{
	const PrimaryFacts *f = v->f;

	return is_half(v) && f->leader_id == f->failed_source && f->term == f->failed_term && rebuild_pauses(v);
}

/* In a pause no rebuild begins; one that has begun has to be finished. */
static bool
begins_no_rebuild(const View *v)
{
	return v->f->in_pause && v->f->rebuild == RAFT_INTACT;
}

static bool
gone_in_pause(const View *v)
{
	return is_gone(v) && begins_no_rebuild(v);
}

static bool
gone_no_source(const View *v)
{
	return is_gone(v) && !has_source(v);
}

static bool
gone_no_floor(const View *v)
{
	RaftPosition floor;

	return is_gone(v) && !primary_floor(v->f, &floor);
}

static bool
is_not_running(const View *v)
{
	return v->f->server == RAFT_SERVER_NONE && may_be_started(v);
}

/* Adoption: standbys of a primary that is not managed yet go on. */
static bool
nothing_claimed(const View *v)
{
	return v->f->claim == 0 && v->f->server == RAFT_SERVER_RECOVERY && v->f->receiving && !v->leads &&
		   !v->f->leader.promoted;
}

/* So does the one that leads, until everybody has answered: commits may wait for it. */
static bool
nothing_claimed_yet(const View *v)
{
	return leads_recovery(v) && v->f->claim == 0 && v->f->claimed == 0 && v->f->receiving && !v->f->promoting;
}

/* ---- it leads and is primary ---- */

static bool
was_authorised(const View *v)
{
	return v->f->authorised != 0 && v->f->authorised_term == v->f->term;
}

/* Rule 14: what PostgreSQL made of it has to be what was claimed. */
static bool
is_on_wrong_timeline(const View *v)
{
	return leads_primary(v) && was_authorised(v) && v->f->timeline != v->f->authorised;
}

/* Rule 17: else a commit of a later timeline could be passed over (Raft's figure 8). */
static bool
may_keep(const View *v)
{
	const PrimaryFacts *f = v->f;
	bool				created = false;

	for (uint32_t i = 0; i < f->n_timelines; i++)
		created |= f->timelines[i].id == f->timeline && f->timelines[i].created;
	return created && f->claim <= f->timeline && f->elected_claim <= f->timeline && f->ran_on;
}

static bool
is_not_kept(const View *v)
{
	return leads_primary(v) && !was_authorised(v) && !may_keep(v);
}

static bool
is_opened(const View *v)
{
	return v->f->opened_term == v->f->term;
}

static bool
has_mark(const View *v)
{
	return is_opened(v) || (v->f->mark_term == v->f->term && v->f->mark_end != 0);
}

/* Rule 18, its two halves. */
static bool
quorum_has_mark(const View *v)
{
	return is_opened(v) || v->f->quorum_flushed >= v->f->mark_end;
}

/* With one copy no commit waits for a standby, and PostgreSQL keeps no such position. */
static bool
is_released(const View *v)
{
	return is_opened(v) || raft_copies(v->f->members) == 1 || v->f->released >= v->f->mark_end;
}

static bool
may_open(const View *v)
{
	return leads_primary(v) && v->own.known && !v->own.foreign && has_lease(v) && v->f->names_in_force &&
		   (was_authorised(v) || may_keep(v)) && !is_on_wrong_timeline(v) &&
		   has_mark(v) && quorum_has_mark(v) && is_released(v);
}

static bool
drains(const View *v)
{
	return v->f->hand_over == PRIMARY_HAND_OVER_DRAINING && may_open(v);
}

static bool
is_closed_for_hand_over(const View *v)
{
	return leads_primary(v) && v->f->hand_over != PRIMARY_HAND_OVER_NONE;
}

static uint64_t
moved_last(const View *v)
{
	return v->f->moved_at > v->f->leading_since ? v->f->moved_at : v->f->leading_since;
}

/* Rule 18: a paused replay or a full disk must not hold the cluster.  In a pause nobody would be promoted instead. */
static bool
is_not_opening(const View *v)
{
	return v->leads && !v->f->in_pause && !is_opened(v) && v->f->other_could_lead &&
		   has_passed(v, moved_last(v), v->f->open_timeout);
}

/* Rule 25. */
static bool
stands_still(const View *v)
{
	return leads_primary(v) && v->f->standing_since != 0 &&
		   has_passed(v, v->f->standing_since, v->f->health_timeout);
}

static bool
cannot_commit(const View *v)
{
	return stands_still(v) && !v->f->in_pause && is_opened(v) && v->f->other_has_all && !v->f->standing_before;
}

static bool
primary_no_lease(const View *v)
{
	return leads_primary(v) && !has_lease(v);
}

static bool
has_other_names(const View *v)
{
	return leads_primary(v) && !v->f->names_in_force;
}

static bool
has_no_mark(const View *v)
{
	return leads_primary(v) && !has_mark(v);
}

static bool
has_no_quorum(const View *v)
{
	return leads_primary(v) && !quorum_has_mark(v);
}

static bool
is_not_released(const View *v)
{
	return leads_primary(v) && !is_released(v);
}

static bool
opens_unhealthy(const View *v)
{
	return may_open(v) && health_is_grave(v->f->health);
}

static bool
opens_standing_still(const View *v)
{
	return may_open(v) && stands_still(v);
}

/* ---- it leads and is in recovery ---- */

static bool
promotes(const View *v)
{
	return leads_recovery(v) && v->f->promoting;
}

/* What was asked for before goes on. */
static bool
leads_in_pause(const View *v)
{
	return leads_recovery(v) && v->f->in_pause && !v->f->promoting;
}

static bool
still_receiving(const View *v)
{
	return leads_recovery(v) && v->f->receiving;
}

static bool
end_unknown(const View *v)
{
	return v->leads && !v->own.known;
}

/* Rule 12.  What replay still has to do changes nothing about which id is free. */
static bool
has_no_claim(const View *v)
{
	return leads_recovery(v) && !v->f->in_pause && v->f->claimed == 0 && !v->f->claiming;
}

static bool
replay_paused(const View *v)
{
	return leads_recovery(v) && v->f->paused;
}

static bool
claim_unknown(const View *v)
{
	return leads_recovery(v) && v->f->claimed == 0;
}

/* Rule 14.  Such a claim comes from a mistake, and uses up ids for ever. */
static bool
many_burnt(const View *v)
{
	return leads_recovery(v) && v->f->claimed != 0 && v->f->passed_over > PROMOTION_MOST_BURNT && !v->f->burn_any;
}

static bool
not_replayed(const View *v)
{
	return leads_recovery(v) && !v->f->replayed;
}

static bool
recovery_no_lease(const View *v)
{
	return leads_recovery(v) && !has_lease(v);
}

/* Rule 13. */
static bool
is_elected(const View *v)
{
	const PrimaryFacts *f = v->f;

	return leads_recovery(v) && v->own.known && !v->own.foreign && !f->receiving && !f->promoting && !many_burnt(v) &&
		   f->claimed != 0 && f->replayed && !f->paused && !f->in_pause && has_lease(v);
}

/* ---- another one leads ---- */

static bool
has_no_leader(const View *v)
{
	return !has_leader(v);
}

static bool
leader_unknown(const View *v)
{
	return v->f->leader.lineage == NULL || v->f->leader.flush == 0 || v->f->leader.system_id == 0;
}

/*
 * Rule 20: promoted on its claim.  Not in recovery: it could go on to a timeline of which
 * our state file does not know that it is claimed, while our receiver goes with it.
 */
static bool
leader_not_ready(const View *v)
{
	return v->f->leader.server != RAFT_SERVER_PRIMARY || !v->f->leader.promoted;
}

static bool
not_comparable(const View *v)
{
	return v->f->lineage == NULL || !v->f->end_known || v->f->end == 0;
}

static bool
is_checked(const View *v)
{
	return v->f->check.term == v->f->term && v->f->check.leader == v->f->leader_id;
}

/* The receiver that runs is this comparison's own: then it may be ahead of what we know. */
static bool
is_loose(const View *v)
{
	return v->f->receiving && is_checked(v) && v->f->check.loose;
}

static bool
is_ahead(const View *v)
{
	return !is_loose(v) && v->f->end > v->f->leader.flush;
}

static bool
look_again(const View *v)
{
	return !v->diverged && !v->own.foreign && is_ahead(v) &&
		   !(is_checked(v) && v->f->check.looked_again);
}

static bool
is_diverged(const View *v)
{
	return v->diverged;
}

/* What was received, and is a past of the leader that was promoted on its claim, is ours. */
static bool
is_foreign(const View *v)
{
	const PrimaryFacts *f = v->f;
	bool				is_its_past = f->leader.promoted && f->leader.lineage != NULL && !v->diverged;

	return v->own.foreign && (v->own.by_hand || !is_its_past);
}

static bool
differs(const View *v)
{
	return is_checked(v) && v->f->check.prefix == PRIMARY_PREFIX_DIFFERENT;
}

/* On a full or hung disk nothing can come in, and no other copy would help. */
static bool
is_stuck(const View *v)
{
	return v->f->health == PRIMARY_HEALTHY && is_checked(v) && v->f->check.streaming == PRIMARY_STREAMING_STUCK;
}

/*
 * A leader that has what we lack lets nobody in, as a rule, and will; another copy would come no
 * other way.  But not for ever: something else may be wrong here, such as a history (L1).
 */
static bool
streams_never(const View *v)
{
	const PrimaryFacts *f = v->f;

	return is_stuck(v) && f->failures > 0 &&
		   (!f->leader.has_end || (f->stuck_since != 0 && has_passed(v, f->stuck_since, STUCK_PAUSES * f->rebuild_pause)));
}

/*
 * Recovery waits in the middle of a record, for the rest of what a former leader had begun.  Our WAL
 * is that of this leader up to there, and from there on nobody's.  Once, as below.
 */
static bool
part_left(const View *v)
{
	const PrimaryFacts *f = v->f;

	return f->part_left && f->failures == 0 &&
		   lineage_end(f->leader.lineage, lineage_timeline_before(f->lineage, f->end)) == f->end;
}

/*
 * Once, and once after a rebuild, whose copy may only be slow to take what has come since: what a restart
 * has not mended is waited for.
 */
static bool
streams_not(const View *v)
{
	return is_stuck(v) && (v->f->failures == 0 || (v->f->leader.has_end && v->f->stuck_since == 0));
}

static bool
wants_rebuild(const View *v)
{
	return is_foreign(v) || is_diverged(v) || is_ahead(v) || differs(v) || streams_never(v);
}

static bool
rebuild_in_pause(const View *v)
{
	return wants_rebuild(v) && begins_no_rebuild(v);
}

static bool
reinit_wanted(const View *v)
{
	return v->f->reinit_wanted && !v->f->in_pause && v->f->rebuild == RAFT_INTACT;
}

/* Its floor is what it has confirmed by then: so nothing more may come (rule 21). */
static bool
reinit_receiving(const View *v)
{
	return reinit_wanted(v) && v->f->receiving;
}

static bool
fails_again(const View *v)
{
	return wants_rebuild(v) && rebuild_pauses(v);
}

/* Rule 21: for a while only, or a leader that needs this copy to open waits for ever. */
static bool
prefers_open(const View *v)
{
	return wants_rebuild(v) && !v->f->leader.open &&
		   (v->f->rebuild_wanted == 0 || !has_passed(v, v->f->rebuild_wanted, v->f->prefer_open));
}

/*
 * Never on what another rebuild has left: pg_rewind is not to run twice on one directory.
 * And from a leader that has the segment of the fork on its own timeline: else ours would
 * stay, and the start would replay what is behind the fork in it.
 */
static bool
may_rewind(const View *v)
{
	const PrimaryFacts *f = v->f;

	return is_diverged(v) && f->failures <= REWINDS_UP_TO && f->rebuild == RAFT_INTACT &&
		   f->hints && f->common_wal && f->rewind_room && f->leader.has_fork;
}

static bool
rewind_paused(const View *v)
{
	return may_rewind(v) && v->f->paused;
}

/* pg_rewind looks at minRecoveryPoint alone, never at WAL that is not replayed. */
static bool
rewind_not_replayed(const View *v)
{
	return may_rewind(v) && !v->f->replayed;
}

static bool
rewind_no_checkpoint(const View *v)
{
	return may_rewind(v) && !v->f->leader.control_shows_timeline;
}

static bool
not_compared(const View *v)
{
	return !is_checked(v) || v->f->check.prefix != PRIMARY_PREFIX_SAME || (v->f->receiving && !is_loose(v));
}

/* Rule 20. */
static bool
is_compared(const View *v)
{
	return v->f->server == RAFT_SERVER_RECOVERY && !is_gone(v) && !is_half(v) && has_leader(v) && !v->leads &&
		   !leader_unknown(v) && !leader_not_ready(v) && !not_comparable(v) && !wants_rebuild(v) &&
		   !not_compared(v) && !v->f->promoting;
}

static bool
is_rebuilt(const View *v)
{
	return is_compared(v) && v->f->rebuild != RAFT_INTACT && v->f->consistent && v->own.known &&
		   v->f->check.streaming == PRIMARY_STREAMING_REAL && is_loose(v) && !primary_behind(v->f);
}

/* It holds all that this member may have confirmed, so it is as good as any other. */
static bool
is_whole_alone(const View *v)
{
	return is_copy_alone(v) && v->f->server == RAFT_SERVER_RECOVERY && v->f->consistent && v->own.known && !v->own.foreign &&
		   !primary_behind(v->f) && !v->f->promoting;
}

static bool
always(const View *v)
{
	(void) v;
	return true;
}

/* ---- the table ---- */

static const Row table[] = {
	/* who must not lead says so first */
	{PRIMARY_LEADS_HALF_REBUILT, leads_half_rebuilt, PRIMARY_RESIGN},
	{PRIMARY_LEADS_WITHOUT_SERVER, leads_without_server, PRIMARY_RESIGN},
	{PRIMARY_LEADS_WITHOUT_DATA, leads_without_data, PRIMARY_RESIGN},
	{PRIMARY_LEADS_BEHIND, leads_behind, PRIMARY_RESIGN},
	{PRIMARY_LEADS_FOREIGN, leads_foreign, PRIMARY_RESIGN},
	{PRIMARY_LEADS_FORBIDDEN, leads_forbidden, PRIMARY_RESIGN},
	{PRIMARY_LEADS_UNHEALTHY, leads_unhealthy, PRIMARY_RESIGN},
	{PRIMARY_PROMOTION_PENDS, promotion_pends, PRIMARY_RESTART},
	{PRIMARY_HANDED_OVER, is_handed_over, PRIMARY_RESTART},
	{PRIMARY_DEPOSED, is_deposed, PRIMARY_RESTART},
	{PRIMARY_LEADERLESS, is_leaderless, PRIMARY_CLOSE},

	/* coming back, before the server runs */
	{PRIMARY_RESTART_WANTED, restart_wanted, PRIMARY_RESTART},
	{PRIMARY_FORBIDDEN, is_forbidden, PRIMARY_REFUSE},
	{PRIMARY_OTHER_CLUSTER, is_other_cluster, PRIMARY_REFUSE},
	{PRIMARY_HALF_NO_SOURCE, half_no_source, PRIMARY_WAIT},
	{PRIMARY_HALF_FAILS_AGAIN, half_fails_again, PRIMARY_WAIT},
	{PRIMARY_HALF_REWOUND, half_rewound, PRIMARY_REWIND},
	{PRIMARY_HALF_CLONED, is_half, PRIMARY_CLONE},
	{PRIMARY_GONE_IN_PAUSE, gone_in_pause, PRIMARY_WAIT},
	{PRIMARY_GONE_NO_SOURCE, gone_no_source, PRIMARY_WAIT},
	{PRIMARY_GONE_NO_FLOOR, gone_no_floor, PRIMARY_WAIT},
	{PRIMARY_GONE, is_gone, PRIMARY_CLONE},
	{PRIMARY_NOT_RUNNING, is_not_running, PRIMARY_RESTART},
	{PRIMARY_NOTHING_CLAIMED, nothing_claimed, PRIMARY_LEAVE},
	{PRIMARY_NOTHING_CLAIMED_YET, nothing_claimed_yet, PRIMARY_CLAIM},

	/* it leads */
	{PRIMARY_WRONG_TIMELINE, is_on_wrong_timeline, PRIMARY_RESTART},
	{PRIMARY_NOT_KEPT, is_not_kept, PRIMARY_RESTART},
	{PRIMARY_DRAINS, drains, PRIMARY_DRAIN},
	{PRIMARY_CLOSED_FOR_HAND_OVER, is_closed_for_hand_over, PRIMARY_CLOSE},
	{PRIMARY_NOT_OPENING, is_not_opening, PRIMARY_RESIGN},
	{PRIMARY_CANNOT_COMMIT, cannot_commit, PRIMARY_RESIGN},
	{PRIMARY_PROMOTES, promotes, PRIMARY_WAIT},
	{PRIMARY_IN_PAUSE, leads_in_pause, PRIMARY_WAIT},
	{PRIMARY_STILL_RECEIVING, still_receiving, PRIMARY_WAIT},
	{PRIMARY_END_UNKNOWN, end_unknown, PRIMARY_WAIT},
	{PRIMARY_NO_LEASE, primary_no_lease, PRIMARY_CLOSE},
	{PRIMARY_OTHER_NAMES, has_other_names, PRIMARY_CLOSE},
	{PRIMARY_NO_MARK, has_no_mark, PRIMARY_MARK},
	{PRIMARY_NO_QUORUM, has_no_quorum, PRIMARY_CLOSE},
	{PRIMARY_NOT_RELEASED, is_not_released, PRIMARY_CLOSE},
	{PRIMARY_UNHEALTHY, opens_unhealthy, PRIMARY_OPEN},
	{PRIMARY_STANDS_STILL, opens_standing_still, PRIMARY_OPEN},
	{PRIMARY_ALL_GOOD, may_open, PRIMARY_OPEN},
	{PRIMARY_NO_CLAIM, has_no_claim, PRIMARY_CLAIM},
	{PRIMARY_REPLAY_PAUSED, replay_paused, PRIMARY_RESUME_REPLAY},
	{PRIMARY_CLAIM_UNKNOWN, claim_unknown, PRIMARY_WAIT},
	{PRIMARY_MANY_BURNT, many_burnt, PRIMARY_REFUSE},
	{PRIMARY_NOT_REPLAYED, not_replayed, PRIMARY_WAIT},
	{PRIMARY_NO_LEASE_YET, recovery_no_lease, PRIMARY_WAIT},
	{PRIMARY_ELECTED, is_elected, PRIMARY_PROMOTE},

	/* another one leads, and coming back goes on */
	{PRIMARY_WHOLE_ALONE, is_whole_alone, PRIMARY_REBUILT},
	{PRIMARY_NO_LEADER, has_no_leader, PRIMARY_WAIT},
	{PRIMARY_LEADER_UNKNOWN, leader_unknown, PRIMARY_WAIT},
	{PRIMARY_LEADER_NOT_READY, leader_not_ready, PRIMARY_WAIT},
	{PRIMARY_NOT_COMPARABLE, not_comparable, PRIMARY_WAIT},
	{PRIMARY_LOOK_AGAIN, look_again, PRIMARY_WAIT},
	{PRIMARY_REBUILD_IN_PAUSE, rebuild_in_pause, PRIMARY_WAIT},
	{PRIMARY_REINIT_RECEIVING, reinit_receiving, PRIMARY_WAIT},
	{PRIMARY_REINIT_WANTED, reinit_wanted, PRIMARY_CLONE},
	{PRIMARY_FAILS_AGAIN, fails_again, PRIMARY_WAIT},
	{PRIMARY_PREFERS_OPEN, prefers_open, PRIMARY_WAIT},
	{PRIMARY_FOREIGN, is_foreign, PRIMARY_CLONE},
	{PRIMARY_REWIND_PAUSED, rewind_paused, PRIMARY_RESUME_REPLAY},
	{PRIMARY_REWIND_NOT_REPLAYED, rewind_not_replayed, PRIMARY_WAIT},
	{PRIMARY_REWIND_NO_CHECKPOINT, rewind_no_checkpoint, PRIMARY_WAIT},
	{PRIMARY_DIVERGED, may_rewind, PRIMARY_REWIND},
	{PRIMARY_DIVERGED_NO_REWIND, is_diverged, PRIMARY_CLONE},
	{PRIMARY_AHEAD, is_ahead, PRIMARY_CLONE},
	{PRIMARY_DIFFERS, differs, PRIMARY_CLONE},
	{PRIMARY_STREAMS_NEVER, streams_never, PRIMARY_CLONE},
	{PRIMARY_NOT_COMPARED, not_compared, PRIMARY_WAIT},
	{PRIMARY_PART_LEFT, part_left, PRIMARY_RESTART},
	{PRIMARY_NOT_STREAMING, streams_not, PRIMARY_RESTART},
	{PRIMARY_IS_REBUILT, is_rebuilt, PRIMARY_REBUILT},
	{PRIMARY_COMPARED, is_compared, PRIMARY_FOLLOW},
	{PRIMARY_UNFORESEEN, always, PRIMARY_WAIT},
};

#define ROWS (sizeof(table) / sizeof(table[0]))

static void
earlier(uint64_t *at, uint64_t now, uint64_t since, uint64_t timeout)
{
	uint64_t end = since + timeout;

	if (since != 0 && end > now && (*at == 0 || end < *at))
		*at = end;
}

/* When something runs out of which no fact tells. */
static uint64_t
again_at(const View *v)
{
	const PrimaryFacts *f = v->f;
	uint64_t			at = 0;

	if (v->leads)
	{
		earlier(&at, f->now, f->lease_until, 0);
		earlier(&at, f->now, f->standing_since, f->health_timeout);
		if (!is_opened(v))
			earlier(&at, f->now, moved_last(v), f->open_timeout);
	}
	else
	{
		earlier(&at, f->now, f->rebuild_wanted, f->prefer_open);
		earlier(&at, f->now, f->failed_at, f->rebuild_pause);
		if (is_loose(v) && (f->check.streaming == PRIMARY_STREAMING_UNKNOWN || f->end < f->leader.flush))
			earlier(&at, f->now, f->check.stalled_since, f->stream_timeout);
		earlier(&at, f->now, f->stuck_since, STUCK_PAUSES * f->rebuild_pause);
	}
	return at;
}

static View
look(const PrimaryFacts *facts)
{
	assert(facts->members >= 1 && facts->members <= RAFT_MAX_NODES);
	assert(facts->n_timelines <= RAFT_TIMELINES);
	return (View){.f = facts,
				  .own = primary_position(facts),
				  .leads = facts->leader_id >= 0 && facts->leader_id == facts->self,
				  .diverged = primary_diverged(facts)};
}

PrimaryOrder
primary_decide(const PrimaryFacts *facts)
{
	View		 view = look(facts);
	PrimaryOrder order = {.node = RAFT_NONE, .again_at = again_at(&view)};
	size_t		 i = 0;

	while (!table[i].holds(&view))
		i++;
	assert(i < ROWS);
	order.action = table[i].action;
	order.reason = table[i].reason;
	if (order.action == PRIMARY_FOLLOW || order.action == PRIMARY_REBUILT ||
		order.action == PRIMARY_REWIND || order.action == PRIMARY_CLONE)
		order.node = facts->leader_id;
	if (order.node != RAFT_NONE && (order.action == PRIMARY_FOLLOW || order.action == PRIMARY_REBUILT))
		order.timeline = facts->leader.lineage->timeline;
	if (order.action == PRIMARY_PROMOTE)
		order.timeline = facts->claimed;
	if (order.action == PRIMARY_REWIND || order.action == PRIMARY_CLONE)
	{
		bool known = primary_floor(facts, &order.floor);

		assert(known);
		(void) known;
	}
	return order;
}

bool
primary_may_stand(const PrimaryFacts *facts)
{
	View view = {.f = facts};

	return !is_other_cluster(&view) && facts->setting == PRIMARY_SETTING_GOOD && facts->health == PRIMARY_HEALTHY;
}
