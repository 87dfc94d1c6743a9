/*
 * tools/ctl_screen.c
 *	  The terminal on which "watch" of pg_leaderctl shows one frame in place of the other.
 *
 * See ctl_screen.h.  The frames are on the terminal's second screen, so that the first one comes
 * back as it was.  A signal that ends the program does so at once, whatever that waits for.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "ctl_screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "../node/clock.h"

/* The second screen and no cursor; and back. */
#define TAKE	  "\033[?1049h\033[?25l"
#define GIVE_BACK "\033[?25h\033[?1049l"

static volatile sig_atomic_t is_taken = 0;
static volatile sig_atomic_t has_other_size = 0;
static volatile sig_atomic_t has_keys = 0; /* standard input is a terminal, and is changed */
static bool					 reads_keys;
static struct termios		 before;
static sigset_t				 waiting; /* the signals that are blocked while it waits */

/* Safe in a signal handler. */
static void
give_back(void)
{
	ssize_t ignored;

	if (is_taken == 0)
		return;
	is_taken = 0;
	ignored = write(STDOUT_FILENO, GIVE_BACK, sizeof(GIVE_BACK) - 1);
	(void) ignored;
	if (has_keys != 0)
		(void) tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void
on_end(int number)
{
	give_back();
	(void) signal(number, SIG_DFL);
	(void) raise(number);
}

static void
on_size(int number)
{
	(void) number;
	has_other_size = 1;
}

/* Keys come one by one and are not shown; Ctrl+C stays what it is, Ctrl+Z does nothing. */
static void
take_keys(void)
{
	struct termios keys;

	reads_keys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;
	if (!reads_keys)
		return;
	has_keys = 1;
	keys = before;
	keys.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
	keys.c_cc[VMIN] = 1;
	keys.c_cc[VTIME] = 0;
	keys.c_cc[VSUSP] = _POSIX_VDISABLE;
	(void) tcsetattr(STDIN_FILENO, TCSANOW, &keys);
}

bool
ctl_screen_begin(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	const char		*terminal = getenv("TERM");
	struct sigaction action = {.sa_handler = on_end};
	sigset_t		 size;

	if (isatty(STDOUT_FILENO) != 1 || terminal == NULL || terminal[0] == '\0' || strcmp(terminal, "dumb") == 0)
		return false;

	/* another size is heard of only while it waits, so that nothing else is interrupted */
	(void) sigemptyset(&size);
	(void) sigaddset(&size, SIGWINCH);
	(void) sigprocmask(SIG_BLOCK, &size, &waiting);
	(void) sigdelset(&waiting, SIGWINCH);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		(void) sigaction(ends[i], &action, NULL);
	action.sa_handler = on_size;
	(void) sigaction(SIGWINCH, &action, NULL);
	is_taken = 1; /* first, so that a signal finds what is to be given back */
	take_keys();
	if (ctl_screen_write(TAKE) && atexit(give_back) == 0)
		return true;
	give_back();
	return false;
}

void
ctl_screen_end(void)
{
	give_back();
}

/* What the environment says if the terminal does not know; as small as a frame can be. */
static int
size_of(unsigned short known, const char *name, int otherwise)
{
	const char *text = getenv(name);
	int			size = known > 0 ? known : text != NULL ? atoi(text) :
														  otherwise;

	return size >= 2 && size <= 10000 ? size : otherwise;
}

void
ctl_screen_size(int *rows, int *columns)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		size = (struct winsize){0};
	*rows = size_of(size.ws_row, "LINES", 24);
	*columns = size_of(size.ws_col, "COLUMNS", 80);
}

bool
ctl_screen_write(const char *bytes)
{
	size_t left = strlen(bytes);

	while (left > 0)
	{
		ssize_t n = write(STDOUT_FILENO, bytes, left);

		if (n < 0 && errno != EINTR)
			return false;
		bytes += n > 0 ? n : 0;
		left -= n > 0 ? (size_t) n : 0;
	}
	return true;
}

/* All that was typed: is there a q? */
static bool
read_keys(void)
{
	char	keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0)
		reads_keys = false;
	return n > 0 && (memchr(keys, 'q', (size_t) n) != NULL || memchr(keys, 'Q', (size_t) n) != NULL);
}

CtlScreenWait
ctl_screen_wait(uint64_t until)
{
	for (;;)
	{
		uint64_t		now = clock_now();
		uint64_t		left = until > now ? until - now : 0;
		struct timespec limit = {.tv_sec = (time_t) (left / 1000000), .tv_nsec = (long) (left % 1000000 * 1000)};
		struct pollfd	keys = {.fd = reads_keys ? STDIN_FILENO : -1, .events = POLLIN};
		int				n = ppoll(&keys, 1, &limit, &waiting);

		if (n > 0 && read_keys())
			return CTL_SCREEN_QUIT;
		if (has_other_size != 0)
		{
			has_other_size = 0;
			return CTL_SCREEN_SIZE;
		}
		if (n == 0)
			return CTL_SCREEN_TIME;
	}
}
