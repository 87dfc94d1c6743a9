/*
 * tools/ctl_screen.h
 *	  The terminal on which "watch" of pg_leaderctl shows one frame in place of the other.
 *
 * Knows nothing of what it shows.  However the program ends, the terminal is as it was before, but
 * for SIGKILL.
 */
#ifndef CTL_SCREEN_H
#define CTL_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* Is standard output a terminal that can do this?  If so, it is taken. */
extern bool ctl_screen_begin(void);

extern void ctl_screen_end(void);

extern void ctl_screen_size(int *rows, int *columns);

/* In one write, if the terminal takes that.  false: it is gone. */
extern bool ctl_screen_write(const char *bytes);

typedef enum CtlScreenWait
{
	CTL_SCREEN_TIME, /* it has passed */
	CTL_SCREEN_SIZE, /* the terminal has another size */
	CTL_SCREEN_QUIT	 /* somebody has typed q */
} CtlScreenWait;

/* Until that instant of clock_now(), or until something happens before. */
extern CtlScreenWait ctl_screen_wait(uint64_t until);

#endif /* CTL_SCREEN_H */
