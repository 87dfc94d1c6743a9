/*
 * supervisor/supervise.c
 *	  The supervisor at work.
 *
 * Its phases:
 *
 *	  down		No process of the server is left.  The member's home is here; primary/ is
 *				asked what is to be done, at each turn of the member and once a second.
 *	  runs		The postmaster is a child of this process.  The member's home is the
 *				election worker, and the role worker says over the control channel what is
 *				to be done.
 *	  stops		The postmaster was told to stop: at once or fast, with a bound, after which
 *				all processes are killed.
 *	  orphans	The postmaster is gone, and others still hold the control channel.
 *
 * A server without pg_leader.manage is started as it is, has no member while it is down, and is
 * not rebuilt.
 *
 * It has no opinion.  What a server should be is decided by primary/decide.c, and what has
 * ended it by primary/ended.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "supervise.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../primary/ended.h"
#include "directory.h"
#include "facts.h"
#include "host.h"
#include "http.h"
#include "inquiry.h"
#include "notify.h"
#include "own_files.h"
#include "probe.h"
#include "rebuilder.h"
#include "say.h"
#include "server.h"
#include "service.h"
#include "tree.h"

/* Microseconds. */
#define SECOND			UINT64_C(1000000)
#define ANSWER_BOUND	SECOND		  /* until the role worker says whether it hands over */
#define HAND_OVER_BOUND (20 * SECOND) /* until it has, or has given up */
#define FAST_BOUND		(60 * SECOND)
#define IMMEDIATE_BOUND (5 * SECOND)
#define ORPHANS_BOUND	(5 * SECOND)
#define KILL_INTERVAL	SECOND /* between two looks whether all are gone */
#define LOOK_INTERVAL	SECOND /* while it is down */

/* Between two starts, unless the supervisor itself has stopped the server. */
#define START_INTERVAL SECOND

#define OTHER_CLUSTER_HINT \
	"Move them away, and put this server's own configuration files into an empty directory: it is cloned from the leader then."

/* So many messages are read before others have their turn. */
#define MESSAGES_AT_ONCE 64

typedef enum Phase
{
	PHASE_DOWN = 0,
	PHASE_RUNS,
	PHASE_STOPS,
	PHASE_ORPHANS
} Phase;

/* How far a stop is. */
typedef enum Step
{
	STEP_HAND_OVER = 0, /* this process was told to end, and the server may lead */
	STEP_FAST,
	STEP_IMMEDIATE,
	STEP_KILL
} Step;

static const Command	  *command;
static SupervisorSettings *settings;
static SupervisorSettings  fresh; /* as read anew, before it is known to fit */
static uint64_t			   read_at;

static struct event_base *base;
static struct event		 *timer;
static struct event		 *channel_event;

static Phase	  phase;
static Step		  step;
static Server	  server = {.channel = -1};
static Remembered remembered;
static uint64_t	  system_id;  /* of the data, while it is down */
static bool		  leaving;	  /* this process was told to end */
static bool		  stays_down; /* somebody has stopped the server */
static bool		  asked;	  /* the stop that is under way is ours */
static bool		  reading;	  /* the server reads its WAL */
static int		  ended_with; /* the postmaster's status, of waitpid() */
static uint64_t	  not_before; /* no start before that */

/* What people were told last, so that they are told once. */
static PrimaryAction said_action;
static PrimaryReason said_reason;
static char			 said_trouble[WORDS_SIZE];

static void look_now(void);

static void
wind_timer(uint64_t wait)
{
	struct timeval until = {.tv_sec = (time_t) (wait / SECOND), .tv_usec = (suseconds_t) (wait % SECOND)};

	(void) event_add(timer, &until);
}

/* What is in the way, once as long as it is the same. */
static void
say_trouble(const char *what, const Words *words)
{
	service_status("%s: %s", what, words->error);
	if (strcmp(said_trouble, words->error) == 0)
		return;
	(void) snprintf(said_trouble, sizeof(said_trouble), "%s", words->error);
	say_error(words->hint, "%s: %s", what, words->error);
}

/* ---- settings ---- */

/* What this process has begun with cannot change under it. */
static bool
read_settings(Words *words)
{
	words_clear(words);
	if (own_files_are_kept(settings->data_directory))
		return words_set(words, "", "the configuration in \"%s\" may be the leader's until its rewind is over", settings->data_directory);
	if (!supervisor_settings_read(command, &fresh, words))
		return false;
	if (fresh.node_id != settings->node_id || strcmp(fresh.state_directory, settings->state_directory) != 0 ||
		strcmp(fresh.data_directory, settings->data_directory) != 0 || fresh.manage != settings->manage)
		return words_set(words, "If a file in the data directory sets it, a rebuild may have brought the leader's: correct that. Else stop the supervisor and start it again.",
						 "pg_leader.node_id, pg_leader.manage, pg_leader.state_directory or data_directory has changed");
	read_at = clock_now();
	return true;
}

/* The member's home holds on to the old ones. */
static void
take_settings(bool is_reload)
{
	host_close();
	*settings = fresh;
	notify_look();
	http_listen(is_reload);
}

/* The server was told to reload, by whomever. */
static void
read_own_settings(void)
{
	Words words;

	fresh = *settings;
	if (supervisor_settings_read_own(command, &fresh, &words))
	{
		*settings = fresh;
		say("pg_leader.notify_command, notify_timeout and http_listen were read again");
		http_listen(true);
	}
	else
		say_error(words.hint, "pg_leader.notify_command, notify_timeout and http_listen stay as they were: %s", words.error);
}

/* ---- stopping ---- */

static void
signal_postmaster(int number)
{
	if (server.pid > 0)
		(void) kill(server.pid, number);
}

static void
kill_all(void)
{
	static int said; /* so many wait for a disk, and do not even end then */
	int		   n = tree_kill(server.pid, server.their_end);

	if (n > 0 && n != said)
		say_warning("", "killed %d processes of the server, which did not end by themselves", n);
	said = n;
	wind_timer(KILL_INTERVAL);
}

static void
take_step(void)
{
	switch (step)
	{
		case STEP_HAND_OVER:
			/* nobody may be listening */
			(void) channel_send(server.channel, CONTROL_STOPS, NULL);
			wind_timer(ANSWER_BOUND);
			break;
		case STEP_FAST:
			signal_postmaster(SIGINT);
			wind_timer(FAST_BOUND);
			break;
		case STEP_IMMEDIATE:
			signal_postmaster(SIGQUIT);
			wind_timer(IMMEDIATE_BOUND);
			break;
		case STEP_KILL:
			kill_all();
			break;
	}
}

static void
stop(Step first)
{
	asked = true;
	phase = PHASE_STOPS;
	step = first;
	service_status("the server is being stopped");
	take_step();
}

/* ---- the end of a server ---- */

static void
close_channel(void)
{
	if (channel_event != NULL)
		event_free(channel_event);
	channel_event = NULL;
	if (server.channel >= 0)
		(void) close(server.channel);
	server.channel = -1;
}

static void
say_ended(EndedWhy why)
{
	switch (why)
	{
		case ENDED_ASKED:
			say("the server has stopped");
			break;
		case ENDED_ORDER:
			say_warning("Stop this supervisor and start it again to start the server.",
						"somebody has stopped the server, and it stays down");
			break;
		case ENDED_DEATH:
			if (WIFSIGNALED(ended_with))
				say_warning("", "the server was killed by signal %d, and is started again", WTERMSIG(ended_with));
			else
				say_warning("", "the server has ended with exit status %d, and is started again; its log says why",
							WEXITSTATUS(ended_with));
			break;
		case ENDED_NO_START:
			say_error("", "\"%s\" could not be run", command->program);
			break;
	}
}

/* This process was told to end: nothing of the server is left, and nothing to tell. */
static void
end_if_over(void)
{
	if (phase == PHASE_DOWN && notify_is_over())
		(void) event_base_loopbreak(base);
}

/* No process of it is left. */
static void
server_is_gone(void)
{
	EndedFacts ended = {
		.asked = asked,
		.ran = !WIFEXITED(ended_with) || WEXITSTATUS(ended_with) != COMMAND_NOT_RUN,
		.signaled = WIFSIGNALED(ended_with),
		.status = WEXITSTATUS(ended_with),
		.reading = reading,
		.no_room = !directory_has_room(settings->data_directory)};
	EndedWhy why = ended_why(&ended);

	close_channel();
	notify_board(NULL);
	probe_server(NULL);
	board_remove(server.board);
	server.board = NULL;
	watch_died(&remembered.watch, ended_reading(&ended));
	say_ended(why);
	stays_down |= why == ENDED_ORDER;
	if (why == ENDED_ASKED)
		not_before = 0;
	phase = PHASE_DOWN;
	said_action = PRIMARY_ACTIONS;
	said_trouble[0] = '\0';
	if (leaving)
		end_if_over();
	else
		wind_timer(0);
}

static void
postmaster_ended(int status)
{
	ended_with = status;
	server.pid = 0;
	if (server.channel < 0)
	{
		server_is_gone();
		return;
	}
	phase = PHASE_ORPHANS;
	service_status("the postmaster has ended, and the other processes of the server are waited for");
	wind_timer(step == STEP_KILL ? KILL_INTERVAL : ORPHANS_BOUND);
}

/* Whatever has no other parent is a child of this process, as of PID 1 of a container. */
static void
on_child(evutil_socket_t number, short what, void *argument)
{
	pid_t pid;
	int	  status;

	(void) number;
	(void) what;
	(void) argument;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
	{
		if (pid == server.pid)
			postmaster_ended(status);
		else if (!notify_reap(pid, status))
			(void) rebuilder_reap(pid);
	}
}

/* ---- what the server says ---- */

/* Before this process ends: what the leader says of its hand-over. */
static void
hands_over(bool goes_on)
{
	if (phase != PHASE_STOPS || step != STEP_HAND_OVER)
		return;
	if (goes_on)
	{
		say("the server hands over to another member first");
		wind_timer(HAND_OVER_BOUND);
		return;
	}
	step = STEP_FAST;
	take_step();
}

/* As above; it has handed over, and whatever it wrote from now on would be lost. */
static void
has_handed_over(const ControlMessage *message)
{
	if (step != STEP_HAND_OVER)
		return;
	say("stopping the server at once: %s", message->text);
	step = STEP_IMMEDIATE;
	take_step();
}

static void
take_order(const ControlMessage *message)
{
	const PrimaryOrder *order = &message->order;

	if (phase == PHASE_STOPS)
		has_handed_over(message);
	if (phase != PHASE_RUNS)
		return;
	if (order->action == PRIMARY_RESTART)
	{
		say("restarting the server as a standby: %s", message->text);
		watch_restarts(&remembered.watch, order->reason, clock_now());
		stop(order->reason == PRIMARY_RESTART_WANTED ? STEP_FAST : STEP_IMMEDIATE);
		return;
	}
	say("stopping the server for a %s from node %d: %s", order->action == PRIMARY_REWIND ? "rewind" : "clone",
		(int) order->node, message->text);
	rebuilder_is_ordered(message->remains);

	/* pg_rewind wants a directory that was shut down cleanly */
	stop(order->action == PRIMARY_REWIND ? STEP_FAST : STEP_IMMEDIATE);
}

/* Its role worker hangs, and others may, too. */
static void
stop_deposed(void)
{
	if (phase != PHASE_RUNS)
		return;
	say_warning("", "restarting the server as a standby: another member leads, and the role worker does not get on");
	stop(STEP_IMMEDIATE);
}

static void
take_message(const ControlMessage *message)
{
	/* of the election worker, which knows nothing of data; what is shown is looked at below */
	if (message->type == CONTROL_SHOWN)
		return;
	if (message->type == CONTROL_RELOADED)
	{
		read_own_settings();
		return;
	}
	if (message->type == CONTROL_DEPOSED)
	{
		stop_deposed();
		return;
	}

	/* pg_control says it only at the first start after that */
	remembered.wrote_on = message->wrote_on;
	switch (message->type)
	{
		case CONTROL_READS_WAL:
			reading = true;
			break;
		case CONTROL_KNOWS_END:
			reading = false;
			break;
		case CONTROL_FOLLOWED:
			watch_followed(&remembered.watch);
			break;
		case CONTROL_REBUILT:
			say("the server has what it needs, and the rebuild of its data is over");
			rebuilder_clean();
			break;
		case CONTROL_HANDS_OVER:
		case CONTROL_MAY_STOP:
			hands_over(message->type == CONTROL_HANDS_OVER);
			break;
		case CONTROL_ORDER:
			take_order(message);
			break;
		default:
			break; /* the others are for the worker */
	}
}

static void
say_no_message(const char *wrong)
{
	Words words;

	words_clear(&words);
	(void) words_set(&words, "Install library and supervisor of one version.", "%s", wrong);
	say_trouble("a message of the server is no message", &words);
}

static void
on_channel(evutil_socket_t fd, short what, void *argument)
{
	ControlMessage message;
	const char	  *wrong;

	(void) fd;
	(void) what;
	(void) argument;
	for (int i = 0; i < MESSAGES_AT_ONCE; i++)
	{
		switch (channel_receive(server.channel, &message, &wrong))
		{
			case CHANNEL_EMPTY:
				notify_look();
				return;
			case CHANNEL_MESSAGE:
				take_message(&message);
				break;
			case CHANNEL_NO_MESSAGE:
				say_no_message(wrong);
				break;
			case CHANNEL_END:
				close_channel();
				if (server.pid == 0)
					server_is_gone();
				return;
		}
	}
}

/* ---- starting ---- */

static bool
begin_server(Words *words)
{
	ControlMessage first;

	memset(&first, 0, sizeof(first));
	first.directory = remembered.watch;
	first.wrote_on = remembered.wrote_on;
	if (!server_start(&server, command, settings->manage, &first, words))
		return false;
	channel_event = event_new(base, server.channel, EV_READ | EV_PERSIST, on_channel, NULL);
	if (channel_event == NULL || event_add(channel_event, NULL) != 0)
		say_error("", "could not wait for what the server says");
	phase = PHASE_RUNS;
	step = STEP_FAST; /* the least, if it ends by itself */
	asked = reading = false;
	said_action = PRIMARY_ACTIONS;
	said_trouble[0] = '\0';
	(void) event_del(timer);
	say("started the server%s, process %d", settings->manage ? " as a standby" : "", (int) server.pid);
	service_status("the server runs%s, process %d", settings->manage ? ", and was started as a standby" : "", (int) server.pid);
	notify_board(server.board);
	probe_server(server.board);
	return true;
}

static bool
prepare(Words *words)
{
	return settings->manage ? directory_prepare(settings->data_directory, words) : directory_remove_stale_pid(settings->data_directory, words);
}

/*
 * The server reads its configuration anew, so this has to be done here, too.  The home of
 * the member is closed last, since the peers see a restart of the member each time, and
 * before the server begins: the election worker opens it.
 */
static void
start(void)
{
	Words	 words;
	uint64_t now = clock_now();
	bool	 are_old = now >= read_at + START_INTERVAL;
	bool	 can;

	if (stays_down || now < not_before || rebuilder_is_busy(host_member()))
		return;
	not_before = now + START_INTERVAL;
	words_clear(&words);
	can = (!are_old || read_settings(&words)) && prepare(&words);
	if (can && are_old)
		take_settings(false);
	if (can)
	{
		host_close();
		can = begin_server(&words);
	}
	if (!can)
		say_trouble("the server is not started", &words);
}

/* ---- while it is down ---- */

static void
say_order(const PrimaryFacts *facts, const PrimaryOrder *order)
{
	char why[CONTROL_TEXT_SIZE];
	bool is_obeyed = order->action == PRIMARY_RESTART || order->action == PRIMARY_REWIND || order->action == PRIMARY_CLONE;

	(void) primary_describe(order, facts, why, sizeof(why));
	if (stays_down)
		service_status("somebody has stopped the server, and it stays down");
	else if (!is_obeyed)
		service_status("the server is not started: %s", why);
	if (is_obeyed || (order->action == said_action && order->reason == said_reason))
		return;
	said_action = order->action;
	said_reason = order->reason;
	if (order->action == PRIMARY_REFUSE)
		say_error(order->reason == PRIMARY_OTHER_CLUSTER ? OTHER_CLUSTER_HINT : "Correct that, and restart the supervisor.",
				  "the server is not started: %s", why);
	else
		say("the server is not started: %s", why);
}

static bool
open_home(void)
{
	Words words;

	if (host_member() != NULL)
		return true;
	host_close();
	if (host_open(settings, &words))
	{
		said_trouble[0] = '\0';
		return true;
	}
	say_trouble("the member of this server cannot take part", &words);
	return false;
}

/* Ask what is to be done, and do it. */
static void
look(void)
{
	PrimaryFacts facts;
	PrimaryOrder order;
	uint64_t	 usable = watch_system(&remembered.watch, system_id);

	if (phase == PHASE_DOWN && !leaving && !settings->manage)
		start();
	if (phase != PHASE_DOWN || leaving || !settings->manage || !open_home())
		return;
	facts_tell(host_member(), usable);
	if (host_member() == NULL)
		return; /* it could not be saved; it is opened anew after a while */
	host_wind();
	facts_gather(host_member(), &remembered, usable, &facts);
	rebuilder_gather(host_member(), &facts);
	if (rebuilder_is_busy(host_member()))
		return;
	order = primary_decide(&facts);
	say_order(&facts, &order);
	if (order.action == PRIMARY_RESTART)
	{
		if (facts.rebuild == RAFT_INTACT)
			rebuilder_clean();
		start();
	}
	else if (!stays_down && (order.action == PRIMARY_REWIND || order.action == PRIMARY_CLONE))
		rebuilder_obey(host_member(), &order, &remembered.watch);
	else if (order.action == PRIMARY_RESIGN)
		member_resign(host_member());
}

/* The member has had a turn, or it is time to look. */
static void
turn(void)
{
	look();
	notify_look();
}

/* Something has changed in the directory. */
static void
look_now(void)
{
	if (phase == PHASE_DOWN)
		wind_timer(0);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void) fd;
	(void) what;
	(void) argument;
	switch (phase)
	{
		case PHASE_DOWN:
			wind_timer(LOOK_INTERVAL);
			system_id = directory_control(settings->data_directory).system_id;
			turn();
			break;
		case PHASE_RUNS:
			break;
		case PHASE_STOPS:
			step = step < STEP_KILL ? step + 1 : STEP_KILL;
			take_step();
			break;
		case PHASE_ORPHANS:
			kill_all();
			break;
	}
}

/* ---- signals ---- */

static void
on_end(evutil_socket_t number, short what, void *argument)
{
	Step first = number == SIGQUIT ? STEP_IMMEDIATE : settings->manage && phase == PHASE_RUNS ? STEP_HAND_OVER :
																								STEP_FAST;

	(void) what;
	(void) argument;
	say("received %s: %s", number == SIGQUIT ? "SIGQUIT" : number == SIGINT ? "SIGINT" :
																			  "SIGTERM",
		phase == PHASE_DOWN ? "ending" : "stopping the server");
	leaving = true;
	rebuilder_end();
	service_stops();
	notify_leave();
	if (phase == PHASE_RUNS || (phase == PHASE_STOPS && step < first))
		stop(first);
	else if (phase == PHASE_ORPHANS && first == STEP_IMMEDIATE)
		kill_all();
}

static void
on_reload(evutil_socket_t number, short what, void *argument)
{
	Words words;

	(void) number;
	(void) what;
	(void) argument;
	service_reloads();
	if (read_settings(&words))
	{
		take_settings(true);
		say("received SIGHUP: settings were read again");
	}
	else
		say_error(words.hint, "received SIGHUP, and the settings stay as they were: %s", words.error);
	signal_postmaster(SIGHUP);
	service_ready();
	if (phase == PHASE_DOWN)
		wind_timer(0);
}

/* ---- what is seen by HTTP ---- */

static HttpServer
look_at_server(void)
{
	HttpServer seen = {.board = server.board, .process = PROBE_STOPPED};

	/* while it hands over it takes commits, until its fence says otherwise */
	if (phase == PHASE_RUNS || (phase == PHASE_STOPS && step == STEP_HAND_OVER))
		seen.process = PROBE_RUNS;
	else if (phase != PHASE_DOWN)
		seen.process = PROBE_STOPS;
	else if (rebuilder_is_busy(host_member()))
		seen.process = PROBE_REBUILDS;
	return seen;
}

static bool
catch_signals(void)
{
	static const struct
	{
		int				  number;
		event_callback_fn callback;
	} caught[] = {{SIGCHLD, on_child}, {SIGTERM, on_end}, {SIGINT, on_end}, {SIGQUIT, on_end}, {SIGHUP, on_reload}};

	sigset_t none;

	(void) signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
	{
		struct event *event = evsignal_new(base, caught[i].number, caught[i].callback, NULL);

		if (event == NULL || event_add(event, NULL) != 0)
			return false;
	}
	(void) sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

bool
supervise(const Command *how, SupervisorSettings *known)
{
	command = how;
	settings = known;
	read_at = clock_now();
	said_action = PRIMARY_ACTIONS;
	base = event_base_new();
	timer = base != NULL ? evtimer_new(base, on_timer, NULL) : NULL;
	if (timer == NULL || !catch_signals() || !host_init(base, turn) || !server_prepare() ||
		!service_begin(base) || !notify_init(base, settings, end_if_over))
	{
		say_error("", "could not begin: %s", strerror(errno));
		return false;
	}
	probe_init(base);
	rebuilder_init(base, command, settings, look_now);
	http_init(base, settings, look_at_server);
	inquiry_wait_with(http_poll);
	http_listen(true);
	service_ready();
	wind_timer(0);
	(void) event_base_dispatch(base);
	host_close();
	say("ended");
	return true;
}
