/*
 * tools/ctl_session.h
 *	  One session with one server, where each step has a bound.
 *
 * For what pg_leaderctl does beside a round of ctl_ask.h: the questions of "adopt", and the commands
 * that change something.
 */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include "ctl_options.h"

typedef enum CtlSaid
{
	CTL_SAID_ROWS = 0,
	CTL_SAID_ERROR,	 /* the server has refused */
	CTL_SAID_LOST,	 /* the session has ended meanwhile, as that of a server that stops does */
	CTL_SAID_NOTHING /* no answer in time */
} CtlSaid;

/* Wait until it is connected, timeout us; what was begun with ctl_options_connect(). */
extern bool ctl_session_connect(PGconn *connection, uint64_t timeout);

/*
 * The answer to what was sent: the last result that has rows, to be freed with PQclear(); NULL with
 * anything but CTL_SAID_ROWS, and if no statement returns rows.  Otherwise words.  timeout: us.
 */
extern CtlSaid ctl_session_rows(PGconn *connection, bool is_sent, uint64_t timeout, PGresult **rows, Words *words);

#endif /* CTL_SESSION_H */
