/*
 * tools/ctl_options.h
 *	  Whom pg_leaderctl asks first, and with which parameters it connects.
 *
 * For ctl_ask.c.  Reads the environment and the service file, and connects to nobody by itself.
 */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <libpq-fe.h>

#include "../node/cluster.h"

#define CTL_PROGRAM	  "pg_leaderctl"
#define CTL_PORT_SIZE 8

/* As the user has said; empty: what libpq's defaults say. */
typedef struct CtlOptions
{
	const char *conninfo; /* or the name of a database */
	const char *host;
	const char *port;
	const char *user;
	uint64_t	timeout; /* us, for each server */
	long		events;	 /* how many of each; 0: none */
} CtlOptions;

/* Where a server is; empty: libpq's default. */
typedef struct CtlAddress
{
	char host[CLUSTER_HOST_SIZE];
	char address[CLUSTER_HOST_SIZE]; /* numeric; empty: the host is looked up */
	char port[CTL_PORT_SIZE];
} CtlAddress;

/* Once, before the others.  false: words. */
extern bool ctl_options_read(const CtlOptions *options, Words *words);

/* The servers that the user has named, at least one; their number. */
extern int ctl_options_named(const CtlAddress **servers);

/* Begin to connect, as PQconnectStart(). */
extern PGconn *ctl_options_connect(const CtlAddress *server);

#endif /* CTL_OPTIONS_H */
