/*
 * tools/ctl_view.h
 *	  What pg_leaderctl makes of the answers: the state of each member in words, and all that is
 *	  not as it should be.
 *
 * For "list" and "watch".  Pure: looks at a round of answers, and neither asks nor prints.
 */
#ifndef CTL_VIEW_H
#define CTL_VIEW_H

#include "ctl_ask.h"

#define CTL_MAX_NOTES 8

/* One thing that is not as it should be. */
typedef struct CtlNote
{
	char text[2 * CTL_ERROR_SIZE];
} CtlNote;

typedef struct CtlMember
{
	int32_t			 node_id;
	bool			 answered;
	const CtlServer *server;					 /* that was asked; NULL: its port is not known */
	char			 host[CLUSTER_ADDRESS_SIZE]; /* of its PostgreSQL; the port may be missing */
	char			 role[32];
	char			 state[64];
	char			 sync[16];	/* as pg_stat_replication; "?": may not be seen; empty: none */
	char			 lag_s[32]; /* age of what it has replayed last; empty: nothing is left to replay */
	int64_t			 timeline;	/* this and the next two: -1: not known, or has none */
	int64_t			 lag;		/* bytes of the primary's WAL that it has not replayed */
	int64_t			 lease;		/* ms that are left */
	int				 n_notes;
	CtlNote			 notes[CTL_MAX_NOTES];
} CtlMember;

typedef struct CtlView
{
	const CtlRound	*round;
	const CtlServer *primary; /* the only one, or the only one that is open; NULL: there is none */
	bool			 managed;
	bool			 paused;	 /* as the leader says, or without one any member */
	int64_t			 without_ms; /* how long no open primary has been known; 0: there is one, or it is not known */
	const char		*at_risk;	 /* what the open primary says; NULL: nothing */
	bool			 is_fine;	 /* one open primary, or one leader, and no notes */
	char			 title[4 * CTL_ERROR_SIZE];
	int				 n_members;
	CtlMember		 members[RAFT_MAX_NODES];
} CtlView;

/* A round in which somebody has answered. */
extern void ctl_view(const CtlRound *round, CtlView *view);

/* Of a server that has answered: is it a primary whose fence is open, or without fences the leader? */
extern bool ctl_is_open(const CtlServer *server);

#endif /* CTL_VIEW_H */
