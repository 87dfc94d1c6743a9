/*
 * supervisor/http.c
 *	  HTTP for load balancers and monitoring.
 *
 * See http.h.  One request a connection: what is sent behind it is thrown away.  Not libevent's
 * evhttp, which bounds neither the number of connections nor the time that a request may take.
 *
 * A connection reads its request, writes the answer, and then waits for the client to close, so
 * that no reset overtakes the answer.  When all are taken, the one that has been there longest
 * makes room: a client that sends its request at once is answered also beside many that do not.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../node/listen.h"
#include "host.h"
#include "http_answer.h"
#include "say.h"

#define CONNECTIONS 64
#define BACKLOG		256

/* From accepting a connection to its end, whatever it does; us. */
#define LIFE UINT64_C(5000000)

/* So many are accepted before others have their turn. */
#define ACCEPTS_AT_ONCE 16

/* After accept() has failed for want of something; us. */
#define ACCEPT_PAUSE UINT64_C(1000000)

/* Other events have the one in the middle. */
#define PRIORITIES	 3
#define LOW_PRIORITY 2

typedef enum Stage
{
	STAGE_FREE = 0,
	STAGE_READS,
	STAGE_WRITES,
	STAGE_ENDS
} Stage;

typedef struct Connection
{
	Stage		  stage;
	int			  fd;
	struct event *event;
	uint64_t	  until; /* the end of its life */
	size_t		  length;
	size_t		  sent;
	char		  text[HTTP_ANSWER_SIZE]; /* the request, then the answer */
} Connection;

typedef struct Listener
{
	int			  fd; /* -1: it does not listen */
	struct event *event;
	ListenAt	  at;
} Listener;

_Static_assert(PROBE_MOST_BYTES <= HTTP_ANSWER_SIZE, "a request has room");

static struct event_base		*base;
static const SupervisorSettings *settings;
static HttpServer (*look)(void);

static Connection connections[CONNECTIONS];
static Listener	  listeners[LISTEN_MOST];
static int		  n_listeners;
static char		  listens_at[HTTP_LISTEN_SIZE]; /* the setting that they are of */

/* ---- what is answered ---- */

static void
gather(ProbeFacts *facts)
{
	HttpServer	  seen = look();
	const Member *member = host_member();

	memset(facts, 0, sizeof(*facts));
	facts->managed = settings->manage;
	facts->process = seen.process;
	facts->election.leader_id = RAFT_NONE;
	if (seen.board != NULL)
	{
		board_read(seen.board, &facts->election, &facts->server, &facts->now);
		return;
	}
	facts->now = clock_now();
	if (member == NULL)
		return;
	facts->election.leader_id = member->raft.leader_id;
	facts->election.term = member->raft.saved.term;
	facts->election.paused = raft_in_pause(&member->raft);
	probe_members(&member->raft, facts->server.members);
}

static void
answer(Connection *connection, ProbeRead read)
{
	ProbeRequest request;
	ProbeFacts	 facts;

	if (probe_read(connection->text, connection->length, &request) == PROBE_WHOLE)
	{
		gather(&facts);
		connection->length = http_answer(settings, &request, &facts, connection->text);
	}
	else
		connection->length = http_refuse(read == PROBE_BAD ? 400 : 431, connection->text);
	connection->sent = 0;
	connection->stage = STAGE_WRITES;
}

/* ---- connections ---- */

static void
end_connection(Connection *connection)
{
	if (connection->stage == STAGE_FREE)
		return;
	if (connection->event != NULL)
		event_free(connection->event);
	(void) close(connection->fd);
	connection->event = NULL;
	connection->stage = STAGE_FREE;
}

/* What became of it; false: it is over. */
static bool
failed_for_now(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

static bool
read_more(Connection *connection)
{
	size_t	  room = PROBE_MOST_BYTES - connection->length;
	ssize_t	  n = recv(connection->fd, connection->text + connection->length, room, MSG_DONTWAIT);
	ProbeRead read;

	if (n <= 0)
		return failed_for_now(n);
	connection->length += (size_t) n;
	read = probe_read(connection->text, connection->length, &(ProbeRequest){0});
	if (read != PROBE_MORE || connection->length == PROBE_MOST_BYTES)
		answer(connection, read);
	return true;
}

static bool
write_more(Connection *connection)
{
	ssize_t n = send(connection->fd, connection->text + connection->sent, connection->length - connection->sent,
					 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return failed_for_now(n);
	connection->sent += (size_t) n;
	if (connection->sent < connection->length)
		return true;
	connection->stage = STAGE_ENDS;
	return shutdown(connection->fd, SHUT_WR) == 0;
}

static bool
wait_for_end(Connection *connection)
{
	ssize_t n = recv(connection->fd, connection->text, sizeof(connection->text), MSG_DONTWAIT);

	return n > 0 || failed_for_now(n);
}

static void on_connection(evutil_socket_t fd, short what, void *argument);

/* Until something comes, or can be written, or its life is over.  false: it is. */
static bool
wind_connection(Connection *connection)
{
	uint64_t	   now = clock_now();
	uint64_t	   left = connection->until > now ? connection->until - now : 0;
	struct timeval wait = {.tv_sec = (time_t) (left / 1000000), .tv_usec = (suseconds_t) (left % 1000000)};

	if (connection->event != NULL)
		event_free(connection->event);
	connection->event = event_new(base, connection->fd, connection->stage == STAGE_WRITES ? EV_WRITE : EV_READ, on_connection, connection);
	return left > 0 && connection->event != NULL && event_priority_set(connection->event, LOW_PRIORITY) == 0 &&
		   event_add(connection->event, &wait) == 0;
}

static void
go_on(Connection *connection)
{
	bool goes_on = true;

	if (connection->stage == STAGE_READS)
		goes_on = read_more(connection);
	else if (connection->stage == STAGE_ENDS)
		goes_on = wait_for_end(connection);
	if (goes_on && connection->stage == STAGE_WRITES)
		goes_on = write_more(connection);
	if (!goes_on || !wind_connection(connection))
		end_connection(connection);
}

static void
on_connection(evutil_socket_t fd, short what, void *argument)
{
	(void) fd;
	if ((what & EV_TIMEOUT) != 0)
		end_connection(argument);
	else
		go_on(argument);
}

/* A free one, or that of whoever has been there longest. */
static Connection *
take_connection(void)
{
	Connection *oldest = &connections[0];

	for (int i = 0; i < CONNECTIONS; i++)
	{
		if (connections[i].stage == STAGE_FREE)
			return &connections[i];
		if (connections[i].until < oldest->until)
			oldest = &connections[i];
	}
	end_connection(oldest);
	return oldest;
}

/* ---- listening ---- */

static void
wait_for_clients(Listener *listener)
{
	if (listener->fd >= 0)
		(void) event_add(listener->event, NULL);
}

static void
on_pause(evutil_socket_t fd, short what, void *argument)
{
	(void) fd;
	(void) what;
	wait_for_clients(argument);
}

/* There are no descriptors, or no memory, and the listener would be called again at once. */
static void
pause_listener(Listener *listener)
{
	struct timeval pause = {.tv_sec = (time_t) (ACCEPT_PAUSE / 1000000), .tv_usec = (suseconds_t) (ACCEPT_PAUSE % 1000000)};

	(void) event_base_once(base, -1, EV_TIMEOUT, on_pause, listener, &pause);
}

static void
begin_connection(int client)
{
	Connection *connection = take_connection();

	connection->stage = STAGE_READS;
	connection->fd = client;
	connection->until = clock_now() + LIFE;
	connection->length = 0;
	go_on(connection);
}

static void
on_listener(evutil_socket_t fd, short what, void *argument)
{
	(void) what;
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++)
	{
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0)
			begin_connection(client);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		else if (errno != EINTR && errno != ECONNABORTED)
		{
			pause_listener(argument);
			return;
		}
	}
	wait_for_clients(argument);
}

static void
end_listener(Listener *listener)
{
	if (listener->event != NULL)
		event_free(listener->event);
	if (listener->fd >= 0)
		(void) close(listener->fd);
	listener->event = NULL;
	listener->fd = -1;
}

/* false: errno says why not. */
static bool
open_listener(Listener *listener)
{
	int	 on = 1;
	bool is_v6 = listener->at.address.ss_family == AF_INET6;
	int	 failure;

	listener->fd = socket(listener->at.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd >= 0 && setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(!is_v6 || setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
		bind(listener->fd, (const struct sockaddr *) &listener->at.address, listener->at.length) == 0 &&
		listen(listener->fd, BACKLOG) == 0)
	{
		listener->event = event_new(base, listener->fd, EV_READ, on_listener, listener);
		if (listener->event != NULL && event_priority_set(listener->event, LOW_PRIORITY) == 0)
		{
			wait_for_clients(listener);
			return true;
		}
		errno = ENOMEM;
	}
	failure = errno;
	end_listener(listener);
	errno = failure;
	return false;
}

static void
say_not_listening(const Listener *listener, int failure)
{
	const char *hint = failure == EADDRINUSE ? "Another program listens there: stop it, or change pg_leader.http_listen. Then reload." :
											   "Correct pg_leader.http_listen, and reload.";

	say_error(hint, "load balancers cannot ask this server: could not listen at \"%s\" for HTTP: %s", listener->at.text, strerror(failure));
}

/* Of the setting as it is now. */
static void
replace_listeners(void)
{
	ListenAt at[LISTEN_MOST];
	Words	 words;
	int		 n;

	words_clear(&words);
	n = listen_parse(settings->http_listen, at, &words);
	for (int i = 0; i < n_listeners; i++)
		end_listener(&listeners[i]);
	n_listeners = n > 0 ? n : 0;
	for (int i = 0; i < n_listeners; i++)
		listeners[i] = (Listener){.fd = -1, .at = at[i]};
	(void) snprintf(listens_at, sizeof(listens_at), "%s", settings->http_listen);
}

void
http_listen(bool again)
{
	bool is_new = strcmp(listens_at, settings->http_listen) != 0;

	if (is_new)
		replace_listeners();
	for (int i = 0; i < n_listeners; i++)
	{
		if (listeners[i].fd >= 0)
			continue;
		if (open_listener(&listeners[i]))
			say("answering HTTP at %s", listeners[i].at.text);
		else if (is_new || again)
			say_not_listening(&listeners[i], errno);
	}
	if (is_new && n_listeners == 0)
		say("answering HTTP no longer");
}

/* ---- beside the loop ---- */

int
http_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct pollfd  all[HTTP_POLL_MOST + CONNECTIONS + LISTEN_MOST];
	struct pollfd *of_connections = all + n;
	struct pollfd *of_listeners = of_connections + CONNECTIONS;
	int			   ready = 0;

	/* what has no descriptor is left out by poll() */
	for (nfds_t i = 0; i < n; i++)
		all[i] = fds[i];
	for (int i = 0; i < CONNECTIONS; i++)
		of_connections[i] = (struct pollfd){.fd = connections[i].stage != STAGE_FREE ? connections[i].fd : -1,
											.events = connections[i].stage == STAGE_WRITES ? POLLOUT : POLLIN};
	for (int i = 0; i < LISTEN_MOST; i++)
		of_listeners[i] = (struct pollfd){.fd = i < n_listeners ? listeners[i].fd : -1, .events = POLLIN};
	if (poll(all, n + CONNECTIONS + LISTEN_MOST, timeout) < 0)
		return -1;
	for (nfds_t i = 0; i < n; i++)
	{
		fds[i] = all[i];
		ready += fds[i].revents != 0;
	}

	/* connections first: accepting can end one */
	for (int i = 0; i < CONNECTIONS; i++)
	{
		if (of_connections[i].revents != 0)
			go_on(&connections[i]);
	}
	for (int i = 0; i < n_listeners; i++)
	{
		if (of_listeners[i].revents != 0)
			on_listener(listeners[i].fd, EV_READ, &listeners[i]);
	}
	return ready;
}

void
http_init(struct event_base *of, const SupervisorSettings *known, HttpServer (*see)(void))
{
	base = of;
	settings = known;
	look = see;
	(void) event_base_priority_init(base, PRIORITIES);
}
