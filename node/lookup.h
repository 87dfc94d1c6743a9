/*
 * node/lookup.h
 *	  One look-up of a host name, in the background; and addresses as such.
 *
 * Nothing here blocks, but for lookup_wait().  Called by the transport for this
 * member's own name, and by addresses.c for the others.  No backend symbols.
 */
#ifndef PG_LEADER_LOOKUP_H
#define PG_LEADER_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define LOOKUP_FAILURE_SIZE 128

/* So many addresses of a name are used, the lowest. */
#define LOOKUP_ADDRESSES 8

/* What a name leads to: each once, in ascending order, all of one family. */
typedef struct LookupFound
{
	int						n;
	struct sockaddr_storage of[LOOKUP_ADDRESSES];
} LookupFound;

/*
 * One look-up under way (getaddrinfo_a).  It lives on the heap, because
 * getaddrinfo_a() requests in progress cannot be cancelled, and the resolver thread
 * may write to them later.
 */
typedef struct Lookup Lookup;

typedef enum LookupResult
{
	LOOKUP_PENDING = 0,
	LOOKUP_FOUND,
	LOOKUP_FAILED
} LookupResult;

/* Begin; NULL when even that failed.  family: AF_UNSPEC takes either. */
extern Lookup *lookup_start(const char *host, uint16_t port, int family);

/*
 * Has it come back?  FOUND fills in what was found, one address at least (of both
 * families, IPv4 alone: every member then makes the same choice).  FAILED puts the
 * resolver's words into failure (LOOKUP_FAILURE_SIZE bytes).
 */
extern LookupResult lookup_poll(Lookup *lookup, LookupFound *found, char *failure);

/* Wait for it, at most so many milliseconds; a signal ends the wait early. */
extern void lookup_wait(Lookup *lookup, int milliseconds);

/* Cancel and free; NULL is allowed. */
extern void lookup_end(Lookup *lookup);

/* Is this address one of them? */
extern bool lookup_has(const LookupFound *found, const struct sockaddr_storage *address);

/* ---- addresses ---- */

/* The size that system calls want to be told, of an IPv4 or IPv6 address. */
extern socklen_t address_length(const struct sockaddr_storage *address);

/* Same family and address, whatever the port? */
extern bool address_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/* Same family, address and port? */
extern bool address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/* Does it stand for all addresses of a machine (0.0.0.0 or ::)? */
extern bool address_is_any(const struct sockaddr_storage *address);

/* Does it stay on its machine (127.0.0.0/8 or ::1)? */
extern bool address_is_loopback(const struct sockaddr_storage *address);

/*
 * Has this machine that address, now?  Asked by binding a socket to it, at any port.
 * Whatever else is in the way counts as yes.
 */
extern bool address_is_ours(const struct sockaddr_storage *address);

/* "10.0.0.1:3500" or "[2001:db8::1]:3500". */
extern void address_format(const struct sockaddr_storage *address, char *text, size_t size);

#endif /* PG_LEADER_LOOKUP_H */
