/*
 * test/colo/tcg_shim.c
 *	  LD_PRELOAD for QEMU 7.2 under TCG: gets round a deadlock of COLO's primary.
 *
 * The thread that makes checkpoints calls tcg_log_global_after_sync() without QEMU's big
 * lock.  That waits on a condition with the lock, comes back owning it, and locks it
 * again: it waits for itself.  Here, a wait by a thread that does not own the mutex owns
 * it only for a short timed wait.  With KVM that code is not used.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SHORT_WAIT 5000000 /* ns */

typedef int (*Wait)(pthread_cond_t *, pthread_mutex_t *);
typedef int (*TimedWait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static Wait			real_wait;
static TimedWait	real_timed_wait;
static int			n_met;
static __thread int own_id;

static void find_real(void) __attribute__((constructor));

static void
find_real(void)
{
	if (real_wait != NULL)
		return;
	real_timed_wait = (TimedWait) dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
	real_wait = (Wait) dlvsym(RTLD_NEXT, "pthread_cond_wait", "GLIBC_2.3.2");
	if (real_wait == NULL || real_timed_wait == NULL)
		abort();
}

int
pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
	struct timespec until;

	find_real();
	if (own_id == 0)
		own_id = gettid();
	if (mutex->__data.__owner == own_id)
		return real_wait(condition, mutex);
	if (n_met++ == 0)
		fprintf(stderr, "tcg_shim: a wait without the lock\n");
	(void) pthread_mutex_lock(mutex);
	(void) clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += SHORT_WAIT;
	if (until.tv_nsec >= 1000000000)
	{
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void) real_timed_wait(condition, mutex, &until);
	(void) pthread_mutex_unlock(mutex);
	return 0;
}
