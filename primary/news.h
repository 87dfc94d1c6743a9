/*
 * primary/news.h
 *	  What pg_leader.notify_command is told next.
 *
 * Two states are compared: what is seen of lease and leader, and what the command was told
 * last.  The next step from the one to the other is:
 *
 *	  NEWS_LOST		The lease that was told is over.  Always first.
 *	  NEWS_GAINED	This member holds one that was not told.
 *	  NEWS_LEADER	Another member leads, or leads in another term.
 *
 * So there is no queue that could grow, and nothing outdated is told: changes that come and
 * go while a command runs are left out, the last state never is.  A command that was told
 * nothing yet is told at once whether there is a lease, so that what a crash has left behind
 * can be put right.
 *
 * Called by the supervisor.  Pure C11: no input or output, no clock, no allocation.
 */
#ifndef PG_LEADER_NEWS_H
#define PG_LEADER_NEWS_H

#include "../raft/raft.h"

typedef enum NewsKind
{
	NEWS_NONE = 0,
	NEWS_GAINED,
	NEWS_LOST,
	NEWS_LEADER
} NewsKind;

typedef struct News
{
	NewsKind kind;
	uint64_t term;		/* of the lease, or of the leader; 0: of whatever was left behind */
	int32_t	 leader_id; /* RAFT_NONE: none known */
} News;

/* What is seen now. */
typedef struct NewsSeen
{
	int32_t	 self;
	bool	 has_lease;
	uint64_t lease_term;
	int32_t	 leader_id; /* RAFT_NONE: none known */
	uint64_t term;		/* of that leader */
} NewsSeen;

/* What the command was told last.  All zero: nothing. */
typedef struct NewsTold
{
	bool	 anything;
	bool	 lease;
	uint64_t lease_term;
	int32_t	 leader_id;
	uint64_t leader_term;
} NewsTold;

/*
 * The next step; NEWS_NONE: there is none.  "leaving": nobody is there who would tell more,
 * so that nothing is told but the end of a lease.
 */
extern News news_next(const NewsTold *told, const NewsSeen *seen, bool leaving);

/* A command has run with that; it may have failed. */
extern void news_told(NewsTold *told, const News *news);

/* Has what was told ended while its command runs, so that the command has to end, too? */
extern bool news_is_over(const News *news, const NewsSeen *seen);

#endif /* PG_LEADER_NEWS_H */
