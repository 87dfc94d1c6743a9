/*
 * test/unit/resolver.h
 *	  A name service that says what a test wants: in time, late, wrong, or
 *	  something else next time.
 *
 * For one test program: it takes the place of the C library's getaddrinfo_a() and
 * what goes with it.
 */
#ifndef PG_LEADER_TEST_RESOLVER_H
#define PG_LEADER_TEST_RESOLVER_H

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_ANSWER	 "?" /* it is still being resolved */
#define SERVER_FAILS "!" /* the name server does not answer, says the resolver */

typedef struct ResolverName
{
	char name[64];
	char answer[256]; /* addresses with spaces between; empty: there is no such name */
	int	 asked;		  /* so many look-ups were started */
} ResolverName;

static ResolverName resolver_names[16];

static ResolverName *
resolver_name(const char *name)
{
	for (size_t i = 0; i < sizeof(resolver_names) / sizeof(resolver_names[0]); i++)
	{
		ResolverName *n = &resolver_names[i];

		if (n->name[0] == '\0')
			(void) snprintf(n->name, sizeof(n->name), "%s", name);
		if (strcmp(n->name, name) == 0)
			return n;
	}
	abort();
}

static void
resolver_says(const char *name, const char *answer)
{
	(void) snprintf(resolver_name(name)->answer, sizeof(resolver_name(name)->answer), "%s", answer);
}

__attribute__((unused)) static int
resolver_asked(const char *name)
{
	return resolver_name(name)->asked;
}

static void
resolver_forgets(void)
{
	memset(resolver_names, 0, sizeof(resolver_names));
}

int
getaddrinfo_a(int mode, struct gaicb *list[], int n, struct sigevent *event)
{
	(void) mode;
	(void) event;
	for (int i = 0; i < n; i++)
	{
		list[i]->ar_result = NULL;
		resolver_name(list[i]->ar_name)->asked++;
	}
	return 0;
}

/* In the order in which the name server gave them, as many as are of the family. */
static void
resolver_fill(struct gaicb *request, const char *answer)
{
	struct addrinfo **end = &request->ar_result;
	char			  words[256];
	char			 *rest = words;
	char			 *word;

	(void) snprintf(words, sizeof(words), "%s", answer);
	while ((word = strsep(&rest, " ")) != NULL)
	{
		struct addrinfo		*a = calloc(1, sizeof(*a));
		struct sockaddr_in6 *in6 = calloc(1, sizeof(*in6));
		struct sockaddr_in	*in = (struct sockaddr_in *) in6;
		in_port_t			 port = htons((uint16_t) atoi(request->ar_service));
		bool				 is_6 = strchr(word, ':') != NULL;

		a->ai_family = is_6 ? AF_INET6 : AF_INET;
		a->ai_addr = (struct sockaddr *) in6;
		a->ai_addrlen = is_6 ? sizeof(*in6) : sizeof(*in);
		if (is_6)
		{
			in6->sin6_family = AF_INET6;
			in6->sin6_port = port;
		}
		else
		{
			in->sin_family = AF_INET;
			in->sin_port = port;
		}
		if (inet_pton(a->ai_family, word, is_6 ? (void *) &in6->sin6_addr : (void *) &in->sin_addr) != 1)
			abort();
		if (request->ar_request->ai_family == AF_UNSPEC || request->ar_request->ai_family == a->ai_family)
		{
			*end = a;
			end = &a->ai_next;
			continue;
		}
		free(in6);
		free(a);
	}
}

int
gai_error(struct gaicb *request)
{
	const char *answer = resolver_name(request->ar_name)->answer;

	if (request->ar_result != NULL)
		return 0;
	if (strcmp(answer, NO_ANSWER) == 0)
		return EAI_INPROGRESS;
	if (strcmp(answer, SERVER_FAILS) == 0)
		return EAI_AGAIN;
	if (answer[0] != '\0')
		resolver_fill(request, answer);
	return request->ar_result != NULL ? 0 : EAI_NONAME;
}

int
gai_cancel(struct gaicb *request)
{
	(void) request;
	return EAI_NOTCANCELED;
}

int
gai_suspend(const struct gaicb *const list[], int n, const struct timespec *timeout)
{
	(void) list;
	(void) n;
	(void) timeout;
	return 0;
}

void
freeaddrinfo(struct addrinfo *a)
{
	while (a != NULL)
	{
		struct addrinfo *next = a->ai_next;

		free(a->ai_addr);
		free(a);
		a = next;
	}
}

#endif /* PG_LEADER_TEST_RESOLVER_H */
