/*
 * supervisor/service.c
 *	  What the service manager is told: systemd, or whoever else speaks its protocol.
 *
 * See service.h.  The protocol is a datagram for each message, to a Unix socket; it needs
 * no library.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

#define MESSAGE_SIZE 1024
#define STATUS		 "STATUS="

/* How long a manager that does not read is waited for; the member waits, too. */
#define SEND_TIMEOUT_US 100000

static int				  manager = -1; /* -1: nobody wants to know */
static struct sockaddr_un address;
static socklen_t		  address_length;
static bool				  has_failed; /* said once */
static char				  said_status[MESSAGE_SIZE] = STATUS;

static void
tell(const char *message)
{
	if (manager < 0 || sendto(manager, message, strlen(message), MSG_NOSIGNAL, (const struct sockaddr *) &address,
							  address_length) >= 0)
		return;
	if (!has_failed)
		say_warning("", "could not tell the service manager (NOTIFY_SOCKET): %s", strerror(errno));
	has_failed = true;
}

/* "/run/systemd/notify", or "@" and a name that is not in the file system. */
static bool
open_manager(const char *path)
{
	struct timeval timeout = {.tv_usec = SEND_TIMEOUT_US};
	size_t		   length = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || length < 2 || length >= sizeof(address.sun_path))
	{
		say_warning("", "ignoring NOTIFY_SOCKET \"%s\": it is no address of a Unix socket", path);
		return true;
	}
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, path, length + 1);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	address_length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return manager >= 0 && setsockopt(manager, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0;
}

/* ---- the watchdog ---- */

static void
on_watchdog(evutil_socket_t fd, short what, void *argument)
{
	(void) fd;
	(void) what;
	(void) argument;
	tell("WATCHDOG=1");
}

/* Twice in the time within which the manager wants to hear of this process (us). */
static bool
start_watchdog(struct event_base *base, const char *limit, const char *of_process)
{
	uint64_t	   half = limit != NULL ? strtoull(limit, NULL, 10) / 2 : 0;
	struct timeval interval = {.tv_sec = (time_t) (half / 1000000), .tv_usec = (suseconds_t) (half % 1000000)};
	struct event  *event;

	if (half == 0 || manager < 0 || (of_process != NULL && strtoull(of_process, NULL, 10) != (uint64_t) getpid()))
		return true;
	event = event_new(base, -1, EV_PERSIST, on_watchdog, NULL);
	return event != NULL && event_add(event, &interval) == 0;
}

bool
service_begin(struct event_base *base)
{
	const char *path = getenv("NOTIFY_SOCKET");
	bool		begun = (path == NULL || path[0] == '\0' || open_manager(path)) &&
				 start_watchdog(base, getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
	int failure = errno;

	/* Debian's postgres would say that it is ready, from a process that systemd does not know */
	(void) unsetenv("NOTIFY_SOCKET");
	(void) unsetenv("WATCHDOG_USEC");
	(void) unsetenv("WATCHDOG_PID");
	errno = failure;
	return begun;
}

/* ---- messages ---- */

void
service_ready(void)
{
	tell("READY=1");
}

void
service_reloads(void)
{
	char			message[64];
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	(void) snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
					(uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000);
	tell(message);
}

void
service_stops(void)
{
	tell("STOPPING=1");
}

void
service_status(const char *format, ...)
{
	char	status[MESSAGE_SIZE] = STATUS;
	size_t	begin = strlen(status);
	va_list arguments;

	va_start(arguments, format);
	(void) vsnprintf(status + begin, sizeof(status) - begin, format, arguments);
	va_end(arguments);
	for (char *end = status; (end = strchr(end, '\n')) != NULL;)
		*end = ' ';
	if (strcmp(said_status, status) == 0)
		return;
	memcpy(said_status, status, sizeof(status));
	tell(status);
}

const char *
service_said(void)
{
	return said_status + strlen(STATUS);
}
