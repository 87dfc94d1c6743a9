/*
 * primary/risk.h
 *	  Would one more failure stop commits?
 *
 * Of the server that is open: whoever looks at it sees that commits go on, and not that they do so
 * on the last copy, or with nobody left who could take over.  Called by the role worker, which
 * shows the answer to people.  Decides nothing that the server does.  Pure C11: no input or
 * output, no clock, no allocation.
 */
#ifndef PG_LEADER_RISK_H
#define PG_LEADER_RISK_H

#include <stddef.h>

#include "../raft/raft.h"

#define RISK_TEXT_SIZE 192

/* Members are bits: bit i, node id i. */
typedef struct RiskFacts
{
	uint64_t members;
	int32_t	 self;
	uint64_t bound;		 /* who acknowledges this leader now: raft_peer_bound(), itself included */
	uint64_t holders;	 /* who holds what it had a moment ago: quorum_holders(), itself included */
	uint64_t candidates; /* who could be elected in its place: raft_could_lead(); itself does not matter */
	bool	 in_pause;
} RiskFacts;

typedef enum Risk
{
	RISK_NONE = 0,
	RISK_VOTES,		/* just as many acknowledge as have to */
	RISK_COPIES,	/* just as many hold the newest WAL as have to */
	RISK_PAUSED,	/* nobody takes over */
	RISK_CANDIDATES /* nobody who holds it could be elected */
} Risk;

/* The first that holds, in that order. */
extern Risk risk_judge(const RiskFacts *facts);

/* As one clause without a full stop, '' for RISK_NONE.  buffer: RISK_TEXT_SIZE; returns it. */
extern const char *risk_describe(const RiskFacts *facts, char *buffer);

#endif /* PG_LEADER_RISK_H */
