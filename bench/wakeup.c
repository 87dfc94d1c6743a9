/*
 * bench/wakeup.c
 *	  How late a timer wakes a process that sleeps as the worker does.
 *
 *	  wakeup INTERVAL_US		until SIGTERM, or until standard input ends
 *
 * For bench/calm, beside the servers that it watches: epoll on a timerfd of the
 * election's clock, as the worker waits, and nothing else.  At the end one line:
 * how many wake-ups, and their delay in us, p50 p99 p99.9 max.  Writes no file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../node/clock.h"

/* Delays are counted in steps of 10 us, up to 10 s. */
#define STEP  10
#define STEPS 1000000

static uint32_t counts[STEPS];
static uint64_t n_counted = 0;
static uint64_t longest = 0;

static volatile sig_atomic_t end_requested = 0;

static void
handle_end(int signal_number)
{
	(void) signal_number;
	end_requested = 1;
}

static void fail(const char *what) __attribute__((noreturn));

static void
fail(const char *what)
{
	fprintf(stderr, "wakeup: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
count(uint64_t delay)
{
	uint64_t step = delay / STEP;

	counts[step < STEPS ? step : STEPS - 1]++;
	n_counted++;
	if (delay > longest)
		longest = delay;
}

/* The delay that "part" of all were not above, in us. */
static uint64_t
quantile(double part)
{
	uint64_t seen = 0;

	for (uint64_t step = 0; step < STEPS; step++)
	{
		seen += counts[step];
		if ((double) seen >= part * (double) n_counted)
			return (step + 1) * STEP < longest ? (step + 1) * STEP : longest;
	}
	return longest;
}

static void
arm(int timer, uint64_t at)
{
	struct itimerspec spec = {.it_value = {.tv_sec = (time_t) (at / 1000000),
										   .tv_nsec = (long) (at % 1000000) * 1000}};

	if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL) != 0)
		fail("could not set a timer");
}

static int
watched(int set, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

	/* what cannot be waited for, such as /dev/null, never says anything */
	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0 && errno != EPERM)
		fail("could not watch a file");
	return fd;
}

static void
measure(uint64_t interval)
{
	int		 set = epoll_create1(EPOLL_CLOEXEC);
	int		 timer = timerfd_create(CLOCK_OF_ELECTION, TFD_NONBLOCK | TFD_CLOEXEC);
	uint64_t due = clock_now() + interval;

	if (set < 0 || timer < 0)
		fail("could not create a timer");
	(void) watched(set, timer);
	(void) watched(set, STDIN_FILENO);
	arm(timer, due);
	while (!end_requested)
	{
		struct epoll_event event;
		uint64_t		   expirations;
		int				   n = epoll_wait(set, &event, 1, -1);
		uint64_t		   now = clock_now();

		if (n < 0 && errno != EINTR)
			fail("could not wait");
		if (n > 0 && event.data.fd != timer)
			break; /* who started us is gone */
		if (n <= 0 || now < due)
			continue;
		(void) !read(timer, &expirations, sizeof(expirations));
		count(now - due);

		/* from now, as the worker's deadlines are: no turn is made up for */
		due = now + interval;
		arm(timer, due);
	}
}

int
main(int argc, char **argv)
{
	struct sigaction action;
	char			*end;
	unsigned long	 interval = argc == 2 ? strtoul(argv[1], &end, 10) : 0;

	if (argc != 2 || *end != '\0' || interval < 100 || interval > 60000000)
	{
		fprintf(stderr, "usage: wakeup INTERVAL_US, 100 to 60000000\n");
		return 2;
	}
	memset(&action, 0, sizeof(action));
	action.sa_handler = handle_end;
	(void) sigaction(SIGTERM, &action, NULL);
	(void) sigaction(SIGINT, &action, NULL);
	measure(interval);
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", n_counted,
		   quantile(0.5), quantile(0.99), quantile(0.999), longest);
	return 0;
}
