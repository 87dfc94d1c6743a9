/*
 * node/lookup.c
 *	  One look-up of a host name, in the background; and addresses as such.
 *
 * See lookup.h.  Must not use backend symbols, or log.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* getaddrinfo_a() */
#endif

#include "lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cluster.h"

struct Lookup
{
	struct gaicb	request;
	struct addrinfo hints;
	char			host[CLUSTER_HOST_SIZE];
	char			service[8];
	Lookup		   *next; /* in the list of abandoned ones */
};

/* Abandoned look-ups; freed when the resolver thread has finished. */
static Lookup *abandoned = NULL;

static void
free_lookup(Lookup *lookup)
{
	if (lookup->request.ar_result != NULL)
		freeaddrinfo(lookup->request.ar_result);
	free(lookup);
}

static void
free_abandoned(void)
{
	Lookup **at = &abandoned;

	while (*at != NULL)
	{
		Lookup *lookup = *at;

		if (gai_error(&lookup->request) == EAI_INPROGRESS)
			at = &lookup->next;
		else
		{
			*at = lookup->next;
			free_lookup(lookup);
		}
	}
}

Lookup *
lookup_start(const char *host, uint16_t port, int family)
{
	Lookup		 *lookup;
	struct gaicb *list[1];

	free_abandoned();
	lookup = calloc(1, sizeof(Lookup));
	if (lookup == NULL)
		return NULL;
	(void) snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	(void) snprintf(lookup->service, sizeof(lookup->service), "%u", (unsigned) port);
	lookup->hints.ai_family = family;
	lookup->hints.ai_socktype = SOCK_DGRAM;
	lookup->hints.ai_flags = AI_NUMERICSERV;
	lookup->request.ar_name = lookup->host;
	lookup->request.ar_service = lookup->service;
	lookup->request.ar_request = &lookup->hints;
	list[0] = &lookup->request;
	if (getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) != 0)
	{
		free(lookup);
		return NULL;
	}
	return lookup;
}

/* IPv4 before IPv6, then by number: the same order on every machine. */
static int
compare(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return a->ss_family == AF_INET ? -1 : 1;
	if (a->ss_family == AF_INET)
		return memcmp(&((const struct sockaddr_in *) a)->sin_addr,
					  &((const struct sockaddr_in *) b)->sin_addr, sizeof(struct in_addr));
	return memcmp(&((const struct sockaddr_in6 *) a)->sin6_addr,
				  &((const struct sockaddr_in6 *) b)->sin6_addr, sizeof(struct in6_addr));
}

/* Put it in its place, unless it is there already or there are enough lower ones. */
static void
insert(LookupFound *found, const struct sockaddr_storage *address)
{
	int at = 0;
	int n_after;

	if (lookup_has(found, address))
		return;
	while (at < found->n && compare(&found->of[at], address) < 0)
		at++;
	if (at == LOOKUP_ADDRESSES)
		return;
	n_after = (found->n < LOOKUP_ADDRESSES ? found->n : LOOKUP_ADDRESSES - 1) - at;
	memmove(&found->of[at + 1], &found->of[at], (size_t) n_after * sizeof(found->of[0]));
	found->of[at] = *address;
	found->n = at + n_after + 1;
}

LookupResult
lookup_poll(Lookup *lookup, LookupFound *found, char *failure)
{
	int result = gai_error(&lookup->request);

	if (result == EAI_INPROGRESS)
		return LOOKUP_PENDING;
	if (result != 0)
	{
		(void) snprintf(failure, LOOKUP_FAILURE_SIZE, "%s", gai_strerror(result));
		return LOOKUP_FAILED;
	}
	found->n = 0;
	for (const struct addrinfo *a = lookup->request.ar_result; a != NULL; a = a->ai_next)
	{
		struct sockaddr_storage address = {0};

		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		memcpy(&address, a->ai_addr, a->ai_addrlen);

		/* some name servers answer 0.0.0.0 for what they want to hide */
		if (!address_is_any(&address))
			insert(found, &address);
	}
	while (found->n > 0 && found->of[found->n - 1].ss_family != found->of[0].ss_family)
		found->n--;
	if (found->n > 0)
		return LOOKUP_FOUND;
	(void) snprintf(failure, LOOKUP_FAILURE_SIZE, "the name has no usable address");
	return LOOKUP_FAILED;
}

void
lookup_wait(Lookup *lookup, int milliseconds)
{
	const struct gaicb *const list[1] = {&lookup->request};
	struct timespec			  timeout;

	timeout.tv_sec = milliseconds / 1000;
	timeout.tv_nsec = (long) (milliseconds % 1000) * 1000000;
	(void) gai_suspend(list, 1, &timeout);
}

/*
 * A look-up that the resolver's thread is at work on cannot be cancelled, and
 * the thread will write to it: it is kept until that is over.  That happens when
 * a member stops or gives up in the middle of one.
 */
void
lookup_end(Lookup *lookup)
{
	if (lookup == NULL)
		return;
	if (gai_error(&lookup->request) == EAI_INPROGRESS)
		(void) gai_cancel(&lookup->request);
	if (gai_error(&lookup->request) != EAI_INPROGRESS)
	{
		free_lookup(lookup);
		return;
	}
	lookup->next = abandoned;
	abandoned = lookup;
}

bool
lookup_has(const LookupFound *found, const struct sockaddr_storage *address)
{
	for (int i = 0; i < found->n; i++)
	{
		if (address_equal(&found->of[i], address))
			return true;
	}
	return false;
}

/* ---- addresses ---- */

socklen_t
address_length(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool
address_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *) a)->sin_addr.s_addr == ((const struct sockaddr_in *) b)->sin_addr.s_addr;
	if (a->ss_family == AF_INET6)
	{
		const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *) a;
		const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *) b;

		/* The scope means something for link-local addresses only. */
		return IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr) &&
			   (!IN6_IS_ADDR_LINKLOCAL(&a6->sin6_addr) ||
				a6->sin6_scope_id == b6->sin6_scope_id);
	}
	return false;
}

bool
address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (!address_same_host(a, b))
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *) a)->sin_port == ((const struct sockaddr_in *) b)->sin_port;
	return ((const struct sockaddr_in6 *) a)->sin6_port == ((const struct sockaddr_in6 *) b)->sin6_port;
}

bool
address_is_any(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ((const struct sockaddr_in *) address)->sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *) address)->sin6_addr);
}

bool
address_is_loopback(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) address)->sin6_addr);
}

bool
address_is_ours(const struct sockaddr_storage *address)
{
	struct sockaddr_storage any_port = *address;
	int						fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool					is_ours = true;

	if (fd < 0)
		return true;
	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *) &any_port)->sin6_port = 0;
	else
		((struct sockaddr_in *) &any_port)->sin_port = 0;
	if (bind(fd, (const struct sockaddr *) &any_port, address_length(address)) != 0)
		is_ours = errno != EADDRNOTAVAIL;
	(void) close(fd);
	return is_ours;
}

void
address_format(const struct sockaddr_storage *address, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "";

	text[0] = '\0';
	if (address->ss_family == AF_INET6)
	{
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address;

		if (inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)) != NULL)
			(void) snprintf(text, size, "[%s]:%d", host, ntohs(in6->sin6_port));
	}
	else
	{
		const struct sockaddr_in *in = (const struct sockaddr_in *) address;

		if (inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)) != NULL)
			(void) snprintf(text, size, "%s:%d", host, ntohs(in->sin_port));
	}
}
