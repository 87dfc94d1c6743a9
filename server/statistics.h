/*
 * server/statistics.h
 *	  What the worker measures: round trips, heartbeats, saves, its own lateness.
 *
 * The worker adds to a copy of its own, a few instructions at a time, and shows
 * what has changed once for each turn of its loop.  Backends read what is shown,
 * see shared.h.  Nothing here decides, saves or sends, and nothing raises an error.
 * Times are microseconds.
 *
 *	  round_trip	leader: from sending a heartbeat to reading its answer
 *	  heartbeat_gap follower: from reading a heartbeat of the leader to reading the
 *					next one of the same leader in the same term
 *	  save_time		of one save of term and vote
 *	  loop_delay	from the moment when something of the election was due to the
 *					worker's reading of the clock that deals with it
 *	  pre_vote_time from the timeout until a majority said that it would vote
 *	  vote_time		from standing until a majority had voted
 *	  announce_time from there until the first heartbeats were sent
 *	  election_time all of it: from the timeout, or from being asked to stand
 *
 * The last four are of elections that this member won.
 */
#ifndef PG_LEADER_STATISTICS_H
#define PG_LEADER_STATISTICS_H

#include "../node/histogram.h"
#include "../raft/raft.h"

typedef struct StatisticsPeer
{
	uint64_t  received; /* datagrams that were let in */
	uint64_t  sent;
	Histogram round_trip;
	Histogram heartbeat_gap;
	uint64_t  close_heartbeats; /* that came when the timeout had nearly run out */
} StatisticsPeer;

typedef struct Statistics
{
	Histogram	   save_time;
	Histogram	   loop_delay;
	Histogram	   pre_vote_time;
	Histogram	   vote_time;
	Histogram	   announce_time;
	Histogram	   election_time;
	uint64_t	   election_time_last;
	uint64_t	   late_wakeups;
	StatisticsPeer peers[RAFT_MAX_NODES]; /* by node id; last */
} Statistics;

/* ---- the worker ---- */

extern void statistics_save(const RaftTimeouts *timeouts, uint64_t took);
extern void statistics_sent(int32_t to);

/* A message was received, and that came of it. */
extern void statistics_received(const Raft *raft, const RaftMessage *message, RaftOutcome outcome);

/* After what the core decided was saved, shown and sent. */
extern void statistics_acted(const Raft *raft, const RaftOutput *output);

/* The clock was read when the election's next deadline was "deadline". */
extern void statistics_looked(const Raft *raft, uint64_t deadline, uint64_t now);

/*
 * How late this wake-up was, as of statistics_looked(): 0 if no more than half a
 * heartbeat interval.  The time of a save is not part of it.
 */
extern uint64_t statistics_woke_late(void);

/*
 * How long a save took that may be why this member has heard nobody, or was not heard:
 * a slow one, of a quarter of min_timeout or more, that ended no longer than max_timeout
 * ago.  0: there is none.
 */
extern uint64_t statistics_saved_slowly(const RaftTimeouts *timeouts);

/* Show what has changed; warn of slow saves and of heartbeats that nearly came too late. */
extern void statistics_end_of_turn(const RaftTimeouts *timeouts);

extern void statistics_reset(void);

#endif /* PG_LEADER_STATISTICS_H */
