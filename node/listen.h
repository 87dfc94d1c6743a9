/*
 * node/listen.h
 *	  Where to listen: pg_leader.http_listen as text.
 *
 * 'address:port, address:port, ...', where an address is an IPv4 address or an IPv6 address in
 * brackets.  No names: what they lead to can change, and looking them up can take long.
 *
 * Called by the module's check hook and by the supervisor.  Pure; no backend symbols.
 */
#ifndef PG_LEADER_LISTEN_H
#define PG_LEADER_LISTEN_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "words.h"

#define LISTEN_MOST		 8
#define LISTEN_TEXT_SIZE 64 /* of one entry */

typedef struct ListenAt
{
	struct sockaddr_storage address;
	socklen_t				length;
	char					text[LISTEN_TEXT_SIZE]; /* as it was written */
} ListenAt;

/*
 * The entries of text into at, which has room for LISTEN_MOST; how many.  An empty text has none.
 * -1: *words says what cannot be.
 */
extern int listen_parse(const char *text, ListenAt *at, Words *words);

#endif /* PG_LEADER_LISTEN_H */
