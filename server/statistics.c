/*
 * server/statistics.c
 *	  What the worker measures: round trips, heartbeats, saves, its own lateness.
 *
 * See statistics.h for what is measured from when to when.  Called by worker.c, and
 * by show.c for the reset and for how late a wake-up was.  The core says what has
 * become of a message, and keeps no statistics of times itself.
 *
 * A heartbeat that arrives shortly before the timeout nearly caused an unnecessary
 * election.  The log gets a warning with all that is known about
 * the cause, once a minute at most.
 */
#include "postgres.h"

#include "node/clock.h"
#include "server/log.h"
#include "server/once_a_minute.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/statistics.h"

/* How much of the timeout may pass before a heartbeat is a close one. */
#define CLOSE_PERCENT 80

static Statistics statistics;
static uint64_t	  changed_peers; /* bit i: statistics.peers[i] is to be shown */

/* The last heartbeat that this member took. */
typedef struct Heartbeat
{
	int32_t	 leader_id;
	uint64_t term; /* 0: there was none */
	uint64_t round;
	uint64_t at;
	uint64_t timeout; /* this member would have waited that long for the next one */
} Heartbeat;

static Heartbeat last_heartbeat;

/* Delays of this worker since then: the worst of each, in us. */
static uint64_t woke_late;
static uint64_t saved_slowly;

/* An election waits for two saves, the candidate's and a voter's. */
#define IS_SLOW_SAVE(took, timeouts) ((took) >= (timeouts)->min_timeout / 4)

/* Slow saves: the last one, and those that the log was not told of yet. */
static uint64_t slow_save;
static uint64_t slow_save_at; /* when it ended; 0: there was none */
static uint64_t slow_worst;
static uint64_t slow_not_told;
static uint64_t slow_warned_at;

/* A close heartbeat of this turn, to be told when all datagrams are answered. */
typedef struct CloseHeartbeat
{
	bool	 is_there;
	int32_t	 leader_id;
	uint64_t gap;
	uint64_t timeout;
	uint64_t missing; /* heartbeats of the leader in between */
	uint32_t waiting; /* later ones that were there in the same turn */
	uint64_t woke_late;
	uint64_t saved_slowly;
} CloseHeartbeat;

static CloseHeartbeat close_heartbeat;
static uint64_t		  warned_at; /* 0: never */
static uint64_t		  not_told;	 /* close heartbeats since then */

/* Moments of the election that this member tries to win. */
static uint64_t timed_out_at;
static uint64_t stood_at;

/* The deadline that was looked at last, if it was over, and when that was. */
static uint64_t met_deadline;
static uint64_t looked_at;
static uint64_t late_now; /* how late that was, if it was late */
static uint64_t saving;	  /* time that saves have taken since then */

static StatisticsPeer *
change_peer(int32_t id)
{
	Assert(id >= 0 && id < RAFT_MAX_NODES);
	changed_peers |= UINT64CONST(1) << id;
	return &statistics.peers[id];
}

/* ---- the worker itself ---- */

void
statistics_save(const RaftTimeouts *timeouts, uint64_t took)
{
	histogram_add(&statistics.save_time, took);
	saving += took;
	if (!IS_SLOW_SAVE(took, timeouts))
		return;
	saved_slowly = Max(saved_slowly, took);
	slow_worst = Max(slow_worst, took);
	slow_not_told++;
	slow_save = took;
	slow_save_at = clock_now();
}

uint64_t
statistics_saved_slowly(const RaftTimeouts *timeouts)
{
	return slow_save_at != 0 && clock_now() - slow_save_at <= timeouts->max_timeout ? slow_save : 0;
}

void
statistics_sent(int32_t to)
{
	change_peer(to)->sent++;
}

/*
 * A wake-up counts as late above half a heartbeat interval: a leader that does it
 * twice in a row has left out a heartbeat.
 */
void
statistics_looked(const Raft *raft, uint64_t deadline, uint64_t now)
{
	uint64_t late_after = raft->config.timeouts.heartbeat_interval / 2;

	late_now = 0;
	if (now >= deadline && deadline != met_deadline)
	{
		/* some moments are set in the past, on purpose: these do not count as late */
		uint64_t delay = now - Max(deadline, looked_at);

		met_deadline = deadline;
		histogram_add(&statistics.loop_delay, delay);

		/* the time of a save is told as such */
		delay -= Min(delay, saving);
		if (delay > late_after)
		{
			statistics.late_wakeups++;
			late_now = delay;
			woke_late = Max(woke_late, delay);
		}
	}
	looked_at = now;
	saving = 0;
}

uint64_t
statistics_woke_late(void)
{
	return late_now;
}

/* ---- heartbeats ---- */

/*
 * A heartbeat was taken.  Was it close?  Tell only the first of a turn: the others
 * were waiting behind it.
 */
static void
count_gap(const RaftMessage *message, uint64_t gap)
{
	StatisticsPeer *peer = change_peer(message->from);

	histogram_add(&peer->heartbeat_gap, gap);
	if (gap < last_heartbeat.timeout / 100 * CLOSE_PERCENT)
	{
		if (close_heartbeat.is_there)
			close_heartbeat.waiting++;
		return;
	}
	peer->close_heartbeats++;
	not_told++;
	if (close_heartbeat.is_there)
		return;
	close_heartbeat.is_there = true;
	close_heartbeat.leader_id = message->from;
	close_heartbeat.gap = gap;
	close_heartbeat.timeout = last_heartbeat.timeout;
	close_heartbeat.missing = message->round - last_heartbeat.round - 1;
	close_heartbeat.waiting = 0;
	close_heartbeat.woke_late = woke_late;
	close_heartbeat.saved_slowly = saved_slowly;
}

static void
received_heartbeat(const Raft *raft, const RaftMessage *message)
{
	bool is_same_leader = last_heartbeat.term == message->term &&
						  last_heartbeat.leader_id == message->from;

	if (is_same_leader)
		count_gap(message, raft->leader_heard_at - last_heartbeat.at);
	last_heartbeat.leader_id = message->from;
	last_heartbeat.term = message->term;
	last_heartbeat.round = message->round;
	last_heartbeat.at = raft->leader_heard_at;
	last_heartbeat.timeout = Max(raft->timer, raft_promise_until(raft)) - raft->leader_heard_at;
	woke_late = 0;
	saved_slowly = 0;
}

static void
received_heartbeat_answer(const Raft *raft, const RaftMessage *message)
{
	const RaftRound *round = &raft->rounds[message->round % RAFT_ROUNDS];

	/* it is only known for how long if the round is not forgotten */
	if (message->granted && round->number == message->round)
		histogram_add(&change_peer(message->from)->round_trip, raft->peers[message->from].round_trip);
}

void
statistics_received(const Raft *raft, const RaftMessage *message, RaftOutcome outcome)
{
	if (outcome == RAFT_DROP_UNKNOWN_NODE)
		return;
	change_peer(message->from)->received++;
	if (outcome != RAFT_TAKEN)
		return;
	if (message->type == RAFT_HEARTBEAT)
		received_heartbeat(raft, message);
	else if (message->type == RAFT_HEARTBEAT_ANSWER)
		received_heartbeat_answer(raft, message);
}

/* ---- elections ---- */

/*
 * All that one call of the core brings about happens at one moment: that of the
 * last change of role, and of the last opening of ballots.
 */
void
statistics_acted(const Raft *raft, const RaftOutput *output)
{
	uint32_t i;

	for (i = 0; i < output->n_events; i++)
	{
		switch (output->events[i].reason)
		{
			case RAFT_TIMED_OUT:
				timed_out_at = raft->role_since;
				break;
			case RAFT_PRE_VOTE_WON:
				stood_at = raft->asked_at;
				histogram_add(&statistics.pre_vote_time, stood_at - timed_out_at);
				break;
			case RAFT_ASKED_TO_STAND:
			case RAFT_STANDS_ABOVE:
				timed_out_at = stood_at = raft->asked_at;
				break;
			case RAFT_VOTE_WON:
			{
				uint64_t now = clock_now();

				histogram_add(&statistics.vote_time, raft->role_since - stood_at);
				histogram_add(&statistics.announce_time, now - raft->role_since);
				histogram_add(&statistics.election_time, now - timed_out_at);
				statistics.election_time_last = now - timed_out_at;
				break;
			}
			default:
				break;
		}
	}
}

/* ---- once for each turn ---- */

/* All that this member knows about why it was close, in sentences. */
static void
describe_cause(const CloseHeartbeat *close, uint64_t others, char *text, size_t size)
{
	size_t n = 0;

	text[0] = '\0';
	if (close->woke_late > 0)
		n = log_append(text, size, n, " This worker woke up " UINT64_FORMAT " ms late.",
					   (uint64) (close->woke_late / 1000));
	if (close->saved_slowly > 0)
		n = log_append(text, size, n, " Saving term and vote has taken this worker " UINT64_FORMAT " ms.",
					   (uint64) (close->saved_slowly / 1000));
	if (close->waiting > 0)
		n = log_append(text, size, n, " %u more were queued behind it.", close->waiting);
	if (close->missing > 0)
		n = log_append(text, size, n, " " UINT64_FORMAT " in between were lost.",
					   (uint64) close->missing);
	if (n == 0)
		n = log_append(text, size, n, " None in between was lost: it was sent late, or delayed by the network.");
	if (others > 0)
		(void) log_append(text, size, n, " " UINT64_FORMAT " such heartbeats since the last warning were not logged.",
						  (uint64) others);
}

static void
warn_of_close_heartbeat(void)
{
	const CloseHeartbeat *close = &close_heartbeat;
	char				  cause[400];

	if (!once_a_minute(&warned_at, clock_now()))
		return;
	describe_cause(close, not_told - 1, cause, sizeof(cause));
	not_told = 0;
	ereport(WARNING,
			(errmsg("pg_leader: a heartbeat from node %d came " UINT64_FORMAT " ms after the previous one, %s this member's timeout of " UINT64_FORMAT " ms",
					close->leader_id, (uint64) (close->gap / 1000),
					close->gap < close->timeout ? "close to" : "later than",
					(uint64) (close->timeout / 1000)),
			 errdetail_internal("%s", cause + 1),
			 errhint("If this persists, reduce the load of machines whose workers wake up late, check the disk of pg_leader.state_directory if saves take long, check the network if heartbeats are lost or delayed, or raise pg_leader.min_timeout and pg_leader.max_timeout on all members.")));
}

static void
warn_of_slow_saves(const RaftTimeouts *timeouts)
{
	if (!once_a_minute(&slow_warned_at, clock_now()))
		return;
	ereport(WARNING,
			(errmsg("pg_leader: saving term and vote took " UINT64_FORMAT " ms", (uint64) (slow_worst / 1000)),
			 errdetail("Elections wait for two saves, and pg_leader.min_timeout is " UINT64_FORMAT " ms. Slow saves since the last warning: " UINT64_FORMAT ".",
					   (uint64) (timeouts->min_timeout / 1000), (uint64) slow_not_told),
			 errhint("Put pg_leader.state_directory (\"%s\") on a disk that syncs faster, or raise pg_leader.min_timeout and pg_leader.max_timeout on all members.",
					 settings.state_directory)));
	slow_worst = 0;
	slow_not_told = 0;
}

void
statistics_end_of_turn(const RaftTimeouts *timeouts)
{
	if (slow_not_told > 0)
		warn_of_slow_saves(timeouts);
	shared_publish_statistics(&statistics, changed_peers);
	changed_peers = 0;
	if (close_heartbeat.is_there)
	{
		warn_of_close_heartbeat();
		close_heartbeat.is_there = false;
	}
}

void
statistics_reset(void)
{
	memset(&statistics, 0, sizeof(statistics));
	changed_peers = ~UINT64CONST(0);
}
