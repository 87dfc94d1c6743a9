/*
 * supervisor/tree.h
 *	  All processes of a server, to be killed when nothing else helps.
 *
 * They are the postmaster, whoever holds the control channel that it has inherited, and
 * the descendants of all these.  Called by supervise.c and leftover.c.
 */
#ifndef PG_LEADER_TREE_H
#define PG_LEADER_TREE_H

#include <sys/types.h>

/*
 * Kill them, the postmaster (0: it is gone) being stopped first, so that it starts no
 * more.  "channel" is the inode of the socket that postgres has.  Returns how many there
 * were; they may take a moment to be gone.
 */
extern int tree_kill(pid_t postmaster, ino_t channel);

/* The parent of a process; 0: it is gone, or was not reaped yet. */
extern pid_t tree_parent(pid_t pid);

#endif /* PG_LEADER_TREE_H */
