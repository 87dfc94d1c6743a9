/*
 * supervisor/probe.c
 *	  Does the server answer a new connection?
 *
 * See probe.h.  Silence is counted from look to look, and a look that came late counts little:
 * when this process itself was stopped, the answer may lie there.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "probe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../node/clock.h"
#include "say.h"

/* Microseconds. */
#define SECOND		   UINT64_C(1000000)
#define LOOK_INTERVAL  (SECOND / 10)
#define PROBE_INTERVAL SECOND

/* After so long another connection is tried; after twice that, the next one. */
#define FIRST_PATIENCE (4 * SECOND)

/* SSLRequest of PostgreSQL's protocol. */
static const unsigned char question[] = {0, 0, 0, 8, 4, 210, 22, 47};

static struct event_base *base;
static struct event		 *timer;
static struct event		 *answer; /* of the connection that waits; NULL: none does */
static Board			 *board;  /* NULL: no server runs */
static int				  fd = -1;
static uint64_t			  looked_at;
static uint64_t			  next_at; /* no other connection before that */
static uint64_t			  patience;
static uint64_t			  silence;

static void
hang_up(void)
{
	if (answer != NULL)
		event_free(answer);
	answer = NULL;
	if (fd >= 0)
		(void) close(fd);
	fd = -1;
}

/* It answers, or it is not known whether it does. */
static void
end_silence(void)
{
	hang_up();
	silence = 0;
	patience = FIRST_PATIENCE;
	next_at = clock_now() + PROBE_INTERVAL;
	board_show_silence(board, 0);
}

static void
wait_for(short what, event_callback_fn callback)
{
	if (answer != NULL)
		event_free(answer);
	answer = event_new(base, fd, what, callback, NULL);
	if (answer == NULL || event_add(answer, NULL) != 0)
		end_silence();
}

/* Read it: else the server would find the connection reset, and log that each time. */
static void
on_answer(evutil_socket_t at, short what, void *argument)
{
	char said[512];

	(void) what;
	(void) argument;
	(void) recv(at, said, sizeof(said), 0);
	end_silence();
}

static void
on_connected(evutil_socket_t at, short what, void *argument)
{
	(void) at;
	(void) what;
	(void) argument;

	/* refused: nobody listens there, as before recovery begins */
	if (send(fd, question, sizeof(question), MSG_NOSIGNAL) != sizeof(question))
		end_silence();
	else
		wait_for(EV_READ, on_answer);
}

/* EAGAIN: so many wait there already, and nobody lets them in. */
static void
ask(uint64_t now)
{
	struct sockaddr_storage address;
	socklen_t				size;

	hang_up();
	if (!board_address(board, &address, &size))
		return;
	next_at = now + patience;
	patience *= 2;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		end_silence();
	else if (connect(fd, (struct sockaddr *) &address, size) == 0 || errno == EINPROGRESS)
		wait_for(EV_WRITE, on_connected);
	else if (errno != EAGAIN)
		end_silence();
}

static void
on_look(evutil_socket_t at, short what, void *argument)
{
	uint64_t now = clock_now();
	uint64_t passed = now - looked_at;

	(void) at;
	(void) what;
	(void) argument;
	looked_at = now;
	if (fd >= 0)
	{
		silence += passed < 2 * LOOK_INTERVAL ? passed : 2 * LOOK_INTERVAL;
		board_show_silence(board, silence);
	}
	if (now >= next_at)
		ask(now);
}

void
probe_init(struct event_base *of)
{
	base = of;
	timer = event_new(base, -1, EV_PERSIST, on_look, NULL);
}

void
probe_server(Board *of_server)
{
	struct timeval interval = {.tv_usec = (suseconds_t) LOOK_INTERVAL};

	if (board != NULL)
		end_silence();
	board = of_server;
	looked_at = clock_now();
	next_at = looked_at + PROBE_INTERVAL;
	patience = FIRST_PATIENCE;
	silence = 0;
	if (board == NULL)
		(void) event_del(timer);
	else if (timer == NULL || event_add(timer, &interval) != 0)
		say_error("", "could not begin to ask whether the server answers");
}
