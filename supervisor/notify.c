/*
 * supervisor/notify.c
 *	  Running pg_leader.notify_command when the leadership changes.
 *
 * See notify.h.  That a lease runs out is seen by the clock, whatever the election's worker
 * does, and gained_lease is not told when the lease is over at the command's start.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <inttypes.h>
#include <signal.h>

#include "../node/clock.h"
#include "../node/placeholders.h"
#include "../primary/news.h"
#include "guarded.h"
#include "host.h"
#include "notify.h"
#include "say.h"

/* From SIGTERM to SIGKILL for a command, and from there to giving it up; us. */
#define GRACE UINT64_C(1000000)

/* How often a process group is looked at whose shell has ended; us. */
#define GROUP_POLL UINT64_C(10000)

/* The longest that lost_lease may hold up a supervisor that ends; us. */
#define LEAVING_LIMIT UINT64_C(5000000)

/* After a process that could not be started; us. */
#define RETRY_INTERVAL UINT64_C(1000000)

/* So many failures are logged in one such time, in us. */
#define FAILURES_LOGGED 10
#define FAILURES_PERIOD UINT64_C(60000000)

/* Why a command is being ended. */
typedef enum EndReason
{
	NOT_ENDED = 0,
	OUT_OF_TIME,
	LEASE_OVER,
	LEAVING
} EndReason;

static const char *const end_details[] = {
	"",
	"It took longer than pg_leader.notify_timeout. ",
	"The lease that it was notified of has ended. ",
	"The supervisor is ending. "};

static const char *const event_names[] = {
	[NEWS_GAINED] = "gained_lease",
	[NEWS_LOST] = "lost_lease",
	[NEWS_LEADER] = "new_leader"};

static const SupervisorSettings *settings;
static struct event				*timer;
static void (*on_over)(void);
static const Board *board; /* NULL: no server runs */

static NewsTold told;
static char		last_command[NOTIFY_COMMAND_SIZE]; /* to notice that the setting has changed */

/* What the command that runs is told, and how far it is. */
static News		 news;
static char		 command[2 * NOTIFY_COMMAND_SIZE];
static EndReason reason;
static bool		 is_killed;
static uint64_t	 deadline;

static bool		leaving;
static uint64_t leave_until; /* when lost_lease must have ended then; 0: not known yet */

static uint64_t failures_since;
static int		failures_logged;
static int		failures_silent;

/* ---- what is seen ---- */

/* *until: the lease's; 0: there is none. */
static NewsSeen
look(uint64_t *until)
{
	NewsSeen	  seen = {.self = settings->node_id, .leader_id = RAFT_NONE};
	const Member *member = host_member();
	BoardShown	  shown;
	uint64_t	  now;

	*until = 0;
	if (board != NULL)
	{
		board_read(board, &shown, NULL, &now);
		*until = shown.lease_until;
		seen.has_lease = shown.lease_until != 0;
		seen.lease_term = shown.lease_term;
		seen.leader_id = (int32_t) shown.leader_id;
		seen.term = shown.term;
	}
	else if (member != NULL)
	{
		seen.leader_id = member->raft.leader_id;
		seen.term = member->raft.saved.term;
	}
	return seen;
}

/* Asked in the process that becomes the command. */
static bool
may_begin(void)
{
	uint64_t until;
	NewsSeen seen = look(&until);

	return !news_is_over(&news, &seen);
}

/* At that time there is something to do; 0: when something happens. */
static void
wind(uint64_t until)
{
	uint64_t	   now = clock_now();
	uint64_t	   wait = until > now ? until - now : 0;
	struct timeval interval = {.tv_sec = (time_t) (wait / 1000000), .tv_usec = (suseconds_t) (wait % 1000000)};

	if (until == 0)
		(void) event_del(timer);
	else
		(void) event_add(timer, &interval);
}

/* ---- failures ---- */

static bool
may_log_failure(void)
{
	uint64_t now = clock_now();

	if (failures_logged > 0 && now >= failures_since + FAILURES_PERIOD)
		failures_logged = 0;
	if (failures_logged == 0)
		failures_since = now;
	if (failures_logged >= FAILURES_LOGGED)
	{
		failures_silent++;
		return false;
	}
	failures_logged++;
	return true;
}

static void
log_failure(const char *result)
{
	char before[64] = "";
	char detail[sizeof(command) + 256];

	if (!may_log_failure())
		return;
	if (failures_silent > 0)
		(void) snprintf(before, sizeof(before), " (%d failures before were not logged)", failures_silent);
	failures_silent = 0;
	(void) snprintf(detail, sizeof(detail), "%s%sThe command was: %s",
					failures_logged == FAILURES_LOGGED ? "Further failures are not logged for up to a minute. " : "",
					end_details[reason], command);
	say_detail(detail, "notify_command failed for %s in term %" PRIu64 ": %s%s", event_names[news.kind], news.term, result, before);
}

/* ---- one command ---- */

static bool
fill_in(void)
{
	const ClusterMember *leader = news.leader_id >= 0 ? cluster_member(&settings->cluster, news.leader_id) : NULL;
	char				 address[CLUSTER_ADDRESS_SIZE] = "none";
	PlaceholderValues	 values = {.event = event_names[news.kind],
								   .term = news.term,
								   .leader_id = news.leader_id,
								   .leader_address = address,
								   .node_id = settings->node_id};

	if (leader != NULL)
		(void) cluster_format_address(leader, address);
	return placeholders_fill(last_command, &values, command, sizeof(command));
}

static void
start(void)
{
	reason = NOT_ENDED;
	is_killed = false;
	deadline = clock_now() + settings->notify_timeout;
	if (!fill_in())
	{
		say_error("Set pg_leader.notify_command to a script, and what it needs into the script.",
				  "notify_command is not run for %s in term %" PRIu64 ": it is too long", event_names[news.kind], news.term);
		news_told(&told, &news);
		wind(clock_now());
		return;
	}
	if (guarded_start(command, settings->data_directory, may_begin))
	{
		wind(clock_now());
		return;
	}
	say_error("", "could not start a process for pg_leader.notify_command: %s", strerror(errno));
	if (leaving)
		news_told(&told, &news); /* there is no time to try again */
	wind(clock_now() + (leaving ? 0 : RETRY_INTERVAL));
}

/* Why must the command be ended now, if it must? */
static EndReason
reason_to_end(const NewsSeen *seen, uint64_t now)
{
	if (now >= deadline)
		return OUT_OF_TIME;
	if (leaving)
	{
		/* one that takes nothing back is told again at the next start */
		if (news.kind != NEWS_LOST || !told.lease)
			return LEAVING;
		if (leave_until == 0)
			leave_until = now + LEAVING_LIMIT;
		if (now >= leave_until)
			return LEAVING;
	}
	return news_is_over(&news, seen) ? LEASE_OVER : NOT_ENDED;
}

/* Until when it may go on, if nothing happens. */
static uint64_t
may_run_until(uint64_t lease_until)
{
	uint64_t until = deadline;

	if (news.kind == NEWS_GAINED && lease_until < until)
		until = lease_until;
	if (leave_until != 0 && leave_until < until)
		until = leave_until;
	return until;
}

static void
command_has_ended(int status)
{
	char *result = wait_result_to_str(status);

	if (status != 0)
		log_failure(result);
	else if (reason != NOT_ENDED)
		log_failure("it was terminated");
	free(result);
	if (!guarded_was_withdrawn())
		news_told(&told, &news);
}

/* Wait for the command's end, and see to it that it does end.  false: it is over. */
static bool
tend(void)
{
	uint64_t now = clock_now();
	uint64_t lease_until;
	NewsSeen seen = look(&lease_until);
	uint64_t wake_at;
	int		 status;

	if (guarded_has_ended(&status))
	{
		command_has_ended(status);
		return false;
	}
	if (reason == NOT_ENDED && (reason = reason_to_end(&seen, now)) != NOT_ENDED)
	{
		guarded_signal(SIGTERM);
		deadline = now + GRACE;
	}
	else if (reason != NOT_ENDED && now >= deadline)
	{
		if (is_killed)
		{
			guarded_give_up();
			log_failure("it cannot be terminated, and is no longer waited for");
			news_told(&told, &news);
			return false;
		}
		guarded_signal(SIGKILL);
		is_killed = true;
		deadline = now + GRACE;
	}
	wake_at = reason == NOT_ENDED ? may_run_until(lease_until) : deadline;
	if (guarded_is_to_be_polled() && now + GROUP_POLL < wake_at)
		wake_at = now + GROUP_POLL;
	wind(wake_at);
	return true;
}

/* ---- one after the other ---- */

static bool
is_on(void)
{
	return last_command[0] != '\0';
}

/* A command that was changed has been told nothing. */
static void
take_command(void)
{
	if (leaving || strcmp(last_command, settings->notify_command) == 0)
		return;
	(void) snprintf(last_command, sizeof(last_command), "%s", settings->notify_command);
	memset(&told, 0, sizeof(told));
}

bool
notify_is_over(void)
{
	return leaving && !guarded_runs() && !(is_on() && told.lease);
}

void
notify_look(void)
{
	NewsSeen seen;
	uint64_t until;

	if (guarded_runs() && tend())
		return;
	take_command();
	if (notify_is_over())
	{
		wind(0);
		on_over();
		return;
	}
	seen = look(&until);
	news = is_on() ? news_next(&told, &seen, leaving) : (News){.kind = NEWS_NONE};
	if (news.kind == NEWS_NONE)
		wind(is_on() ? until : 0);
	else
		start();
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void) fd;
	(void) what;
	(void) argument;
	notify_look();
}

bool
notify_reap(pid_t pid, int status)
{
	if (!guarded_reap(pid, status))
		return false;
	notify_look();
	return true;
}

void
notify_board(const Board *of_server)
{
	board = of_server;
	notify_look();
}

void
notify_leave(void)
{
	leaving = true;
	notify_look();
}

bool
notify_init(struct event_base *base, const SupervisorSettings *known, void (*over)(void))
{
	settings = known;
	on_over = over;
	timer = evtimer_new(base, on_timer, NULL);
	return timer != NULL && guarded_init();
}
