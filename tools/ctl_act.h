/*
 * tools/ctl_act.h
 *	  The commands of pg_leaderctl that change something.
 *
 * Each of them finds the member that it is about in a round of ctl_ask.h, calls one function of the
 * extension there in a session of its own, and prints what came of it.  None asks back, since
 * scripts call them; what makes no sense is refused, in words.
 *
 * A command is a row of the table in ctl_act.c and a function there.
 */
#ifndef CTL_ACT_H
#define CTL_ACT_H

#include "ctl_ask.h"
#include "ctl_session.h"

/* Does the command take a NODE? */
typedef enum CtlNodes
{
	CTL_NODE_NONE = 0,
	CTL_NODE_MAYBE,
	CTL_NODE_NEEDED /* or --rolling, where there is that */
} CtlNodes;

typedef struct CtlAct CtlAct;

typedef struct CtlVerb
{
	const char *name;
	CtlNodes	nodes;
	bool		rolls; /* has --rolling */
	uint64_t	wait;  /* us, without --wait */
	bool (*run)(CtlAct *act);
} CtlVerb;

struct CtlAct
{
	const CtlVerb	 *verb;
	int32_t			  node; /* RAFT_NONE: none was named */
	bool			  rolling;
	bool			  slots; /* a switchover waits for logical slots */
	uint64_t		  wait;	 /* us that it may take; 0: as the verb says */
	const CtlOptions *options;
	CtlRound		 *round; /* in which somebody has answered */
};

/* NULL: there is no such command that changes something. */
extern const CtlVerb *ctl_act_verb(const char *name);

/* Do it, and print what came of it.  false: it was not done, as the errors say. */
extern bool ctl_act(CtlAct *act);

/* ---- for the commands ---- */

/* The member that leads; NULL: there is none that answers, and that was said. */
extern const CtlServer *ctl_act_leader(const CtlAct *act);

/* That member of the list; NULL: it is none, or does not answer, and that was said. */
extern const CtlServer *ctl_act_member(const CtlAct *act, int32_t node_id);

/*
 * "SELECT schema.call" on that server, within act->wait and the time for an answer.  result: the first
 * column of the first row, empty if it is NULL; or NULL.  What the server says against it is printed, but
 * for that it ends the session (CTL_SAID_LOST), which a server that restarts does.
 */
extern CtlSaid ctl_act_call(const CtlAct *act, const CtlServer *server, const char *call, char *result, size_t size);

/* An error and what to do about it (NULL: nothing), on standard error.  Always false. */
extern bool ctl_act_fail(const char *hint, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* CTL_ACT_H */
