/*
 * keep/work.h
 *	  A directory in work/ that a verb makes something in, and the verb's lock.
 *
 * The lock has the verb's name.  Whoever has it may remove what is found there: it is what a process
 * left that was killed.
 */
#ifndef PG_LEADER_WORK_H
#define PG_LEADER_WORK_H

#include "archive.h"

typedef struct Work
{
	int	 lock_fd;
	char path[STORE_PATH_SIZE]; /* work/<verb> */
} Work;

/*
 * Lock, and an empty directory.  Waits up to "patience" us for what a killed process has left running.
 * "is_shared": whatever this process starts has the lock, too.
 */
extern bool work_begin(const Archive *archive, const char *verb, bool is_shared, uint64_t patience, Work *work, Words *words);

/* Remove the directory, and unlock. */
extern void work_end(Work *work);

#endif /* PG_LEADER_WORK_H */
