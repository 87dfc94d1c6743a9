/*
 * bench/jitter.c
 *	  What the machine itself takes: how late a timer wakes a process that sleeps as
 *	  the worker does, and how long an fdatasync lasts.
 *
 * For bench/jitter, and for bench/failover, bench/compare and bench/calm beside what
 * they do: no election can be more punctual than this.  Two processes, so that neither
 * waits for the other; both sleep nearly all of the time.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../node/clock.h"

/* Counted in bins of 1 us, up to 1 s. */
#define BINS 1000000

/* us: a timer rings after 1 to 10 ms, as a worker's does; a save comes every 20 ms. */
#define SLEEP_MIN	  1000
#define SLEEP_MAX	  10000
#define SAVE_INTERVAL 20000

/* What node/store.c writes is a slot of this size at one of two places. */
#define SLOT_SIZE	512
#define SLOT_STRIDE 4096

static uint32_t bins[BINS + 1];
static uint64_t n_values = 0;
static uint64_t largest = 0;
static double	sum = 0;

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
	fprintf(stderr, "jitter: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
count(uint64_t us)
{
	bins[us < BINS ? us : BINS]++;
	n_values++;
	sum += (double) us;
	if (us > largest)
		largest = us;
}

/* The smallest value that is not below the given part of all. */
static double
percentile_ms(double part)
{
	uint64_t seen = 0;
	uint64_t bin;

	for (bin = 0; bin < BINS; bin++)
	{
		seen += bins[bin];
		if ((double) seen >= part * (double) n_values)
			break;
	}
	return (double) (bin < BINS ? bin : largest) / 1e3;
}

static void
print_line(const char *name)
{
	printf("%-22s %6" PRIu64 " times  mean %.3f  median %.3f  p95 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms\n",
		   name, n_values, n_values > 0 ? sum / (double) n_values / 1e3 : 0,
		   percentile_ms(0.5), percentile_ms(0.95), percentile_ms(0.99), percentile_ms(0.999),
		   (double) largest / 1e3);
	(void) fflush(stdout);
}

/* A timer at a moment of the election's clock, and a process that waits for it. */
static void
measure_timer(uint64_t until, uint64_t interval)
{
	struct epoll_event event = {.events = EPOLLIN};
	int				   timer = timerfd_create(CLOCK_OF_ELECTION, TFD_NONBLOCK | TFD_CLOEXEC);
	int				   set = epoll_create1(EPOLL_CLOEXEC);

	if (timer < 0 || set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, timer, &event) != 0)
		fail("could not make a timer");
	while (!end_requested && clock_now() < until)
	{
		uint64_t		  sleep = interval != 0 ? interval : SLEEP_MIN + (uint64_t) (random() % (SLEEP_MAX - SLEEP_MIN));
		uint64_t		  at = clock_now() + sleep;
		struct itimerspec spec = {.it_value = {.tv_sec = (time_t) (at / 1000000),
											   .tv_nsec = (long) (at % 1000000) * 1000}};
		uint64_t		  expirations;

		if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL) != 0)
			fail("could not set a timer");
		if (epoll_wait(set, &event, 1, -1) == 1)
			count(clock_now() - at);
		(void) !read(timer, &expirations, sizeof(expirations));
	}
}

static void
measure_saves(const char *directory, uint64_t until)
{
	char path[4096];
	char slot[SLOT_SIZE];
	int	 fd;
	int	 turn;

	snprintf(path, sizeof(path), "%s/jitter.XXXXXX", directory);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		fail(path);
	(void) unlink(path);
	memset(slot, 1, sizeof(slot));
	for (turn = 0; turn < 2; turn++)
	{
		if (pwrite(fd, slot, sizeof(slot), turn * SLOT_STRIDE) != sizeof(slot) || fsync(fd) != 0)
			fail("could not write");
	}
	while (!end_requested && clock_now() < until)
	{
		uint64_t began = clock_now();

		slot[0]++;
		if (pwrite(fd, slot, sizeof(slot), turn++ % 2 * SLOT_STRIDE) != sizeof(slot) ||
			fdatasync(fd) != 0)
			fail("could not write");
		count(clock_now() - began);
		(void) usleep(SAVE_INTERVAL);
	}
}

static void
usage(FILE *where)
{
	fprintf(where,
			"NAME\n"
			"    jitter - what the machine itself takes: wake-ups and fdatasync\n\n"
			"SYNOPSIS\n"
			"    bench/jitter [--seconds N] [--directory DIR | --no-saves] [--interval US]\n\n"
			"DESCRIPTION\n"
			"    How late timers ring for a process that sleeps, and how long pwrite and\n"
			"    fdatasync of 512 bytes last in DIR.  No election is more punctual than the\n"
			"    one, and none that needs two saves in a row takes less than two of the other.\n\n"
			"OPTIONS\n"
			"    --seconds N       how long; 10 by default, and until SIGINT or SIGTERM at most\n"
			"    --directory DIR   on the disk that matters; TMPDIR or /tmp by default\n"
			"    --no-saves        only the timer\n"
			"    --interval US     it rings so often; at random, after 1000 to 10000, by default\n"
			"    --help            this text\n\n"
			"EXIT STATUS\n"
			"    0 measured, 1 not, 2 called wrongly\n");
}

typedef struct Options
{
	unsigned long seconds;
	unsigned long interval;	 /* us; 0: at random */
	const char	 *directory; /* NULL: no saves */
} Options;

/* A number, or false and words. */
static bool
take_number(const char *name, const char *text, unsigned long least, unsigned long most,
			unsigned long *number)
{
	char *end;

	*number = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && *end == '\0' && *number >= least && *number <= most)
		return true;
	fprintf(stderr, "jitter: --%s is a number from %lu to %lu\n", name, least, most);
	return false;
}

static void
parse_arguments(int argc, char **argv, Options *given)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 's'},
		{"directory", required_argument, NULL, 'd'},
		{"no-saves", no_argument, NULL, 'n'},
		{"interval", required_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 's' && take_number("seconds", optarg, 1, 1000000, &given->seconds))
			continue;
		if (option == 'i' && take_number("interval", optarg, 100, 60000000, &given->interval))
			continue;
		if (option == 'd' || option == 'n')
		{
			given->directory = option == 'd' ? optarg : NULL;
			continue;
		}
		usage(option == 'h' ? stdout : stderr);
		exit(option == 'h' ? 0 : 2);
	}
	if (optind < argc)
	{
		usage(stderr);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = handle_end};
	Options			 options = {.seconds = 10, .directory = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp"};
	uint64_t		 until;
	pid_t			 child = 0;
	int				 status = 0;

	parse_arguments(argc, argv, &options);
	(void) sigaction(SIGTERM, &action, NULL);
	(void) sigaction(SIGINT, &action, NULL);
	(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
	until = clock_now() + options.seconds * UINT64_C(1000000);
	if (options.directory != NULL)
	{
		child = fork();
		if (child < 0)
			fail("fork");
		if (child == 0)
		{
			(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
			measure_saves(options.directory, until);
			print_line("pwrite and fdatasync");
			return 0;
		}
	}
	srandom((unsigned int) clock_now());
	measure_timer(until, options.interval);
	if (child != 0)
	{
		(void) kill(child, SIGTERM);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	}
	print_line("a timer rings late by");
	return status == 0 ? 0 : 1;
}
