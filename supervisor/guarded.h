/*
 * supervisor/guarded.h
 *	  A shell command that ends with this process: its processes, and how they are ended.
 *
 * Between this process and the command stands a small one, the guardian, a fork of this
 * program: it leads the command's process group, and ends that when this process is killed.
 * What the command leaves behind becomes children of this process, which is their subreaper.
 *
 * One command at a time.  Never waits.  Called by notify.c.
 */
#ifndef PG_LEADER_GUARDED_H
#define PG_LEADER_GUARDED_H

#include <stdbool.h>
#include <sys/types.h>

/* Once.  false: errno says why not. */
extern bool guarded_init(void);

/*
 * Run it with /bin/sh in that directory, with /dev/null as standard input and this process's
 * standard error for all that it writes.  may_begin() is asked in the process that becomes
 * the command, as the last thing; it calls async-signal-safe functions only.  false: errno
 * says why there is no process.
 */
extern bool guarded_start(const char *command, const char *directory, bool (*may_begin)(void));

/* A command was started, and neither guarded_has_ended() nor guarded_give_up() has ended that. */
extern bool guarded_runs(void);

/* That child has ended; false: it is none of these. */
extern bool guarded_reap(pid_t pid, int status);

/*
 * Has the command ended?  Its shell has; if it was signalled, or has lost its guardian, all that
 * it had started in its group has, too.  *status: as of waitpid().
 */
extern bool guarded_has_ended(int *status);

/* The guardian is gone, and only others of the group are waited for: nothing tells of their end. */
extern bool guarded_is_to_be_polled(void);

/* Of a command that has ended: may_begin() has said no, and nothing was run. */
extern bool guarded_was_withdrawn(void);

/* To the whole group. */
extern void guarded_signal(int number);

/* It does not end: it is nobody's business any more. */
extern void guarded_give_up(void);

#endif /* PG_LEADER_GUARDED_H */
