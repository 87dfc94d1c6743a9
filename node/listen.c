/*
 * node/listen.c
 *	  Where to listen: pg_leader.http_listen as text.
 *
 * See listen.h.  Pure; no backend symbols.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "listen.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HINT "Write address:port, for example \"10.0.0.10:8008\", \"0.0.0.0:8008\" or \"[::]:8008\"; separate several with commas."

/* The port behind the last colon; 0: there is none. */
static unsigned
read_port(const char *digits)
{
	unsigned port = 0;

	for (; *digits >= '0' && *digits <= '9' && port <= UINT16_MAX; digits++)
		port = port * 10 + (unsigned) (*digits - '0');
	return *digits == '\0' && port <= UINT16_MAX ? port : 0;
}

/* One entry without spaces around it. */
static bool
parse_entry(const char *text, ListenAt *at)
{
	struct sockaddr_in	*v4 = (struct sockaddr_in *) &at->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &at->address;
	char				 host[LISTEN_TEXT_SIZE];
	const char			*colon = strrchr(text, ':');
	size_t				 length = colon != NULL ? (size_t) (colon - text) : 0;
	unsigned			 port = colon != NULL ? read_port(colon + 1) : 0;

	if (port == 0 || length == 0)
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
	{
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t) port);
		at->length = sizeof(*v4);
		return true;
	}
	if (host[0] != '[' || host[length - 1] != ']')
		return false;
	host[length - 1] = '\0';
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t) port);
	at->length = sizeof(*v6);
	return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
}

int
listen_parse(const char *text, ListenAt *at, Words *words)
{
	int n = 0;

	if (text[strspn(text, " \t")] == '\0')
		return 0;
	for (;; text++)
	{
		const char *begin = text + strspn(text, " \t");
		size_t		length;

		text = begin + strcspn(begin, ",");
		length = (size_t) (text - begin);
		while (length > 0 && (begin[length - 1] == ' ' || begin[length - 1] == '\t'))
			length--;
		if (n == LISTEN_MOST)
			return words_set(words, HINT, "there are more than %d addresses", LISTEN_MOST), -1;
		memset(&at[n], 0, sizeof(at[n]));
		if (length < sizeof(at[n].text))
			memcpy(at[n].text, begin, length);
		if (!parse_entry(at[n].text, &at[n]))
			return words_set(words, HINT, "\"%.*s\" is no address with a port", (int) (length < 80 ? length : 80), begin), -1;
		n++;
		if (*text == '\0')
			return n;
	}
}
