/*
 * bench/commit.c
 *	  The first commit that a server takes, seen by a client that has waited for it.
 *
 * Called by bench/promote, one for each server:
 *
 *		commit CONNINFO INTERVAL
 *
 * Tries "INSERT INTO committed" each INTERVAL us until one is acknowledged, over one connection
 * as long as that is good.  Then prints when that was, by CLOCK_REALTIME in us, and ends.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long
now_us(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static int
is_committed(PGconn *connection)
{
	PGresult *result = PQexec(connection, "INSERT INTO committed VALUES (1)");
	int		  done = PQresultStatus(result) == PGRES_COMMAND_OK;

	PQclear(result);
	return done;
}

int
main(int argc, char **argv)
{
	useconds_t interval;
	PGconn	  *connection = NULL;

	if (argc != 3)
	{
		fprintf(stderr, "usage: commit CONNINFO INTERVAL\n");
		return 2;
	}
	interval = (useconds_t) atoi(argv[2]);
	for (;;)
	{
		if (PQstatus(connection) != CONNECTION_OK)
		{
			PQfinish(connection);
			connection = PQconnectdb(argv[1]);
		}
		if (PQstatus(connection) == CONNECTION_OK && is_committed(connection))
			break;
		(void) usleep(interval);
	}
	printf("%lld\n", now_us());
	return 0;
}
