/*
 * supervisor/job.h
 *	  What would keep the supervisor from its loop: done by a process of its own.
 *
 * The member votes within milliseconds, so this process waits for no network and no disk.
 * A job is the same program once more, started with JOB_OPTION and one socket: its order comes
 * there, and it says there what it finds and how it ends.  It ends with its supervisor.
 *
 * Called by supervise.c; the other side is work.c.  One job at a time.
 */
#ifndef PG_LEADER_JOB_H
#define PG_LEADER_JOB_H

#include <event2/event.h>

#include "../node/store.h"
#include "../node/upstream.h"
#include "../raft/raft.h"

#define JOB_OPTION "--job"

#define JOB_CONNINFO_SIZE 1024

typedef enum JobKind
{
	JOB_ASK = 1, /* the leader's server what it is */
	JOB_REWIND,
	JOB_CLONE,
	JOB_FINISH, /* put a clone that is whole in the directory's place */
	JOB_CLEAN	/* remove what a rebuild that is over has left */
} JobKind;

typedef struct JobOrder
{
	JobKind		 kind;
	int32_t		 self;
	RaftPosition common;					/* the last point in common with the source; index 0: not known */
	int			 max_rate;					/* of a clone, kB/s; 0: none */
	char		 programs[STORE_PATH_SIZE]; /* the directory of PostgreSQL's */
	char		 data_directory[STORE_PATH_SIZE];
	char		 state_directory[STORE_PATH_SIZE];
	char		 conninfo[JOB_CONNINFO_SIZE];
} JobOrder;

typedef enum JobTell
{
	JOB_SAYS = 1,  /* words.error: for the log, and for whoever looks at the process */
	JOB_LEADER_IS, /* identity, has_fork */
	JOB_DONE,
	JOB_FAILED /* words; has_tried: a program has run, and it was not for want of the source */
} JobTell;

typedef struct JobMessage
{
	JobTell			 tell;
	bool			 has_fork; /* its WAL has the segment with the last point in common */
	bool			 has_tried;
	UpstreamIdentity identity;
	Words			 words;
} JobMessage;

/* Once.  "told" is called for each message; job_kind() is that of the job that has said it. */
extern void job_init(struct event_base *base, void (*told)(const JobMessage *message));

/* false: none was started. */
extern bool job_start(const JobOrder *order, Words *words);

/* Of the job that runs; 0: none does. */
extern JobKind job_kind(void);

/* The job's process, with all that it has started, is killed. */
extern void job_kill(void);

/* That process has ended: says JOB_FAILED for one that has said nothing.  false: it is no job. */
extern bool job_ended(pid_t pid);

#endif /* PG_LEADER_JOB_H */
