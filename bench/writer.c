/*
 * bench/writer.c
 *	  A client that commits as fast as it can, on whichever server takes commits.
 *
 * Called by bench/writable, by bench/promote for each server, and by test/stand/managed.pl:
 *
 *		writer CONNINFO INTERVAL
 *
 * Inserts 1, 2, 3 ... into "told", each number in a transaction of its own, and prints for each
 * that was acknowledged: the number, when that was by CLOCK_REALTIME in us, and the server's
 * port.  A number whose answer did not come is not tried again: nobody knows what became of it.
 * Keeps its connection as long as that is good and the server answers within ANSWER_LIMIT, for
 * one that is frozen never does; pauses for INTERVAL us after each failure.
 * Ends with SIGTERM.
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_LIMIT 2000 /* ms */

static long long
now_us(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* Is there a result, or the end of it? */
static int
is_answered(PGconn *connection)
{
	struct pollfd answer = {.fd = PQsocket(connection), .events = POLLIN};

	while (PQisBusy(connection))
	{
		if (poll(&answer, 1, ANSWER_LIMIT) <= 0 || PQconsumeInput(connection) == 0)
			return 0;
	}
	return 1;
}

/* false: it is not, or nobody knows. */
static int
is_committed(PGconn *connection, long long number)
{
	char	  text[32];
	char	 *values[] = {text};
	PGresult *result;
	int		  done = 0;

	(void) snprintf(text, sizeof(text), "%lld", number);
	if (PQsendQueryParams(connection, "INSERT INTO told VALUES ($1::int8)", 1, NULL, (const char *const *) values, NULL, NULL, 0) == 0)
		return 0;
	while (is_answered(connection))
	{
		result = PQgetResult(connection);
		if (result == NULL)
			return done;
		done = PQresultStatus(result) == PGRES_COMMAND_OK;
		PQclear(result);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	PGconn	  *connection = NULL;
	useconds_t interval;

	if (argc != 3)
	{
		fprintf(stderr, "usage: writer CONNINFO INTERVAL\n");
		return 2;
	}
	interval = (useconds_t) atoi(argv[2]);
	(void) setvbuf(stdout, NULL, _IOLBF, 0);
	for (long long number = 1;; number++)
	{
		if (PQstatus(connection) != CONNECTION_OK)
		{
			PQfinish(connection);
			connection = PQconnectdb(argv[1]);
		}
		if (PQstatus(connection) == CONNECTION_OK && is_committed(connection, number))
		{
			printf("%lld %lld %s\n", number, now_us(), PQport(connection));
			continue;
		}
		if (PQtransactionStatus(connection) == PQTRANS_ACTIVE)
		{
			PQfinish(connection);
			connection = NULL;
		}
		(void) usleep(interval);
	}
}
