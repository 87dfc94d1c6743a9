/*
 * tools/ctl_inquire.h
 *	  Asks the members of a cluster what "pg_leaderctl adopt" has to know of them besides
 *	  what all commands ask: settings, the role for replication, and who may connect.
 *
 * Of servers that have answered in a round, one after the other.  Nothing is changed.
 */
#ifndef CTL_INQUIRE_H
#define CTL_INQUIRE_H

#include "ctl_ask.h"

#define CTL_USER_SIZE 128

typedef enum CtlRoleColumn
{
	ROLE_STATE,	  /* good, or what is wrong */
	ROLE_REWINDS, /* has it the rights that pg_rewind needs? */
	ROLE_COLUMNS
} CtlRoleColumn;

typedef enum CtlRuleColumn
{
	RULE_NODE,
	RULE_ADDRESS,
	RULE_DATABASE,
	RULE_METHOD, /* of the first line that fits; NULL: there is none */
	RULE_COLUMNS
} CtlRuleColumn;

typedef struct CtlInquiry
{
	const CtlServer *server;
	char			 error[CTL_ERROR_SIZE];		  /* empty: it has answered */
	char			 rules_error[CTL_ERROR_SIZE]; /* why there are no rules; empty: there are */
	char			 user[CTL_USER_SIZE];		  /* of pg_leader.replication_conninfo; empty: not known */
	PGresult		*values;					  /* name and value */
	PGresult		*role;						  /* that user's row, CtlRoleColumn; none: there is no such role */
	PGresult		*rules;						  /* a row for each other member and database, CtlRuleColumn */
} CtlInquiry;

/* timeout: us for each of its questions.  The inquiry is that of before, or all zero. */
extern void ctl_inquire(CtlInquiry *inquiry, const CtlServer *server, uint64_t timeout);

/* NULL: there is no such value, or the role that asks may not see it. */
extern const char *ctl_inquired(const CtlInquiry *inquiry, const char *name);

#endif /* CTL_INQUIRE_H */
