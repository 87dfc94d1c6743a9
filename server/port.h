/*
 * server/port.h
 *	  PostgreSQL's Port, the connection of a session, without the headers of GSSAPI and OpenSSL.
 *
 * Those are not there where only the server's own headers are installed.  What differs without
 * them lies behind all that is used here.  Included right after postgres.h.
 */
#ifndef PG_LEADER_PORT_H
#define PG_LEADER_PORT_H

#undef ENABLE_GSS
#undef USE_OPENSSL
#undef USE_SSL
#include "libpq/libpq-be.h"

#endif /* PG_LEADER_PORT_H */
