/*
 * bench/writer.c
 *	  A client that commits as fast as it can, on whichever server takes commits.
 *
 * Called by bench/writable and bench/compare, by bench/promote for each server, and by
 * test/stand/managed.pl:
 *
 *		writer CONNINFO INTERVAL [PAUSE FIRST]
 *
 * Inserts 1, 2, 3 ..., or FIRST and those after it, into "told", each number in a transaction of
 * its own, and prints for each that was acknowledged: the number, when that was by CLOCK_REALTIME
 * in us, and the server's port; with FIRST also when it was begun, and the timeline, in
 * hexadecimal.  A number whose answer did not come is not tried again: nobody knows what became
 * of it.  Keeps its connection as long as that is good and the server answers within
 * ANSWER_LIMIT, for one that is frozen never does; pauses for INTERVAL us after each failure, and
 * for PAUSE us after each success.
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

#define INSERT	 "INSERT INTO told VALUES ($1::int8)"
#define TIMELINE " RETURNING substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"

/* false: it is not, or nobody knows.  timeline: of 9 bytes, or NULL. */
static int
is_committed(PGconn *connection, long long number, char *timeline)
{
	char	  text[32];
	char	 *values[] = {text};
	PGresult *result;
	int		  done = 0;

	(void) snprintf(text, sizeof(text), "%lld", number);
	if (PQsendQueryParams(connection, timeline ? INSERT TIMELINE : INSERT, 1, NULL, (const char *const *) values, NULL, NULL, 0) == 0)
		return 0;
	while (is_answered(connection))
	{
		result = PQgetResult(connection);
		if (result == NULL)
			return done;
		done = PQresultStatus(result) == (timeline ? PGRES_TUPLES_OK : PGRES_COMMAND_OK);
		if (done && timeline)
			(void) snprintf(timeline, 9, "%s", PQgetvalue(result, 0, 0));
		PQclear(result);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	PGconn	  *connection = NULL;
	useconds_t interval;
	useconds_t pause = 0;
	long long  number = 1;
	long long  begun;
	char	   timeline[9];

	if (argc != 3 && argc != 5)
	{
		fprintf(stderr, "usage: writer CONNINFO INTERVAL [PAUSE FIRST]\n");
		return 2;
	}
	interval = (useconds_t) atoi(argv[2]);
	if (argc == 5)
	{
		pause = (useconds_t) atoi(argv[3]);
		number = atoll(argv[4]);
	}
	(void) setvbuf(stdout, NULL, _IOLBF, 0);
	for (;; number++)
	{
		if (PQstatus(connection) != CONNECTION_OK)
		{
			PQfinish(connection);
			connection = PQconnectdb(argv[1]);
		}
		begun = now_us();
		if (PQstatus(connection) == CONNECTION_OK && is_committed(connection, number, argc == 5 ? timeline : NULL))
		{
			printf("%lld %lld %s", number, now_us(), PQport(connection));
			if (argc == 5)
				printf(" %lld %s", begun, timeline);
			printf("\n");
			if (pause > 0)
				(void) usleep(pause);
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
