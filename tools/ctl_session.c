/*
 * tools/ctl_session.c
 *	  One session with one server, where each step has a bound.
 *
 * See ctl_session.h.
 */
#include "ctl_session.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "../node/clock.h"

/* Class 57P: the server ends the session. */
#define SESSION_ENDS "57P"

/* false: not within the time. */
static bool
wait_for(PGconn *connection, short events, uint64_t until)
{
	struct pollfd wait = {.fd = PQsocket(connection), .events = events};
	uint64_t	  now = clock_now();

	return now < until && poll(&wait, 1, (int) ((until - now + 999) / 1000)) > 0;
}

bool
ctl_session_connect(PGconn *connection, uint64_t timeout)
{
	uint64_t				  until = clock_now() + timeout;
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

	while (PQstatus(connection) != CONNECTION_BAD && wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED &&
		   wait_for(connection, wants == PGRES_POLLING_READING ? POLLIN : POLLOUT, until))
		wants = PQconnectPoll(connection);
	return wants == PGRES_POLLING_OK;
}

/* The server's error: what it says, and of a session that it ends only that. */
static CtlSaid
take_error(const PGresult *result, Words *words)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	(void) words_set(words, hint, "%s%s%s", message != NULL ? message : "the connection is lost",
					 detail != NULL ? ". " : "", detail != NULL ? detail : "");
	return message == NULL || (state != NULL && strncmp(state, SESSION_ENDS, strlen(SESSION_ENDS)) == 0) ? CTL_SAID_LOST : CTL_SAID_ERROR;
}

/* false: no answer in time, or the connection is lost. */
static bool
has_result(PGconn *connection, uint64_t until)
{
	while (PQisBusy(connection))
	{
		if (!wait_for(connection, POLLIN, until))
			return false;
		if (PQconsumeInput(connection) != 1)
			break;
	}
	return true;
}

CtlSaid
ctl_session_rows(PGconn *connection, bool is_sent, uint64_t timeout, PGresult **rows, Words *words)
{
	uint64_t  until = clock_now() + timeout;
	CtlSaid	  said = CTL_SAID_ROWS;
	PGresult *next;

	words_clear(words);
	*rows = NULL;
	if (!is_sent)
		said = CTL_SAID_LOST;
	while (is_sent && has_result(connection, until) && (next = PQgetResult(connection)) != NULL)
	{
		if (PQresultStatus(next) == PGRES_TUPLES_OK)
		{
			PQclear(*rows);
			*rows = next;
			continue;
		}
		if (PQresultStatus(next) != PGRES_COMMAND_OK && said == CTL_SAID_ROWS)
			said = take_error(next, words);
		PQclear(next);
	}
	if (said == CTL_SAID_ROWS && PQtransactionStatus(connection) == PQTRANS_ACTIVE)
	{
		said = CTL_SAID_NOTHING;
		(void) words_set(words, NULL, "no answer within %g s", (double) timeout / 1e6);
	}
	else if (said == CTL_SAID_LOST && words->error[0] == '\0')
		(void) words_set(words, NULL, "the connection is lost");
	if (said != CTL_SAID_ROWS)
	{
		PQclear(*rows);
		*rows = NULL;
	}
	return said;
}
