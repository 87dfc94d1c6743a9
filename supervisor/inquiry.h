/*
 * supervisor/inquiry.h
 *	  Asking PostgreSQL for settings: "postgres -C NAME", which reads files, includes and the
 *	  command line as the server does.
 *
 * A postgres tells one setting, and takes some 70 ms of processor time for it.  All are begun at
 * once, and none for a setting that stands nowhere.  Called by settings.c.
 */
#ifndef PG_LEADER_INQUIRY_H
#define PG_LEADER_INQUIRY_H

#include <poll.h>
#include <stddef.h>

#include "../node/words.h"
#include "command.h"

/* Most settings that are asked for at once. */
#define INQUIRIES_MOST 20

typedef enum Asked
{
	ASKED_FAILED = 0,
	ASKED_NOT_SET,
	ASKED_FOUND
} Asked;

/* What is to be called instead of poll() while a postgres is waited for. */
extern void inquiry_wait_with(int (*wait)(struct pollfd *fds, nfds_t n, int timeout));

/*
 * Ask for these settings, which live as long as the answers are waited for.  false: *words says what
 * cannot be.  inquiry_end() is due either way.
 */
extern bool inquiry_begin(const Command *command, const char *const *names, size_t n, Words *words);

/*
 * One of them, once: *value is what is set, up to the next call.  ASKED_FAILED: *words says what
 * cannot be.
 */
extern Asked inquiry_answer(const Command *command, const char *name, const char **value, Words *words);

/* End those that nobody waits for any more. */
extern void inquiry_end(void);

#endif /* PG_LEADER_INQUIRY_H */
