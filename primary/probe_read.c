/*
 * primary/probe_read.c
 *	  Reading an HTTP request for a probe.
 *
 * See probe.h.  Only the first line says anything; headers are passed over.  Never reads behind
 * the bytes that it was given, nor for longer than it takes to look at each a few times.
 */
#include "probe.h"

#include <string.h>

typedef struct Text
{
	const char *bytes;
	size_t		length;
} Text;

static bool
is(Text text, const char *word)
{
	return text.length == strlen(word) && memcmp(text.bytes, word, text.length) == 0;
}

/* What is before the first "end", which *rest is behind; all of it, if there is none. */
static Text
cut(Text text, char end, Text *rest)
{
	const char *found = text.length > 0 ? memchr(text.bytes, end, text.length) : NULL;
	size_t		length = found != NULL ? (size_t) (found - text.bytes) : text.length;
	size_t		skipped = found != NULL ? length + 1 : length;

	*rest = (Text){text.bytes + skipped, text.length - skipped};
	return (Text){text.bytes, length};
}

/* ---- paths ---- */

static const struct
{
	const char *name;
	ProbePath	path;
} paths[] = {
	{"/", PROBE_PRIMARY},
	{"/primary", PROBE_PRIMARY},
	{"/master", PROBE_PRIMARY},
	{"/read-write", PROBE_PRIMARY},
	{"/leader", PROBE_LEADER},
	{"/standby-leader", PROBE_STANDBY_LEADER},
	{"/standby_leader", PROBE_STANDBY_LEADER},
	{"/replica", PROBE_REPLICA},
	{"/read-only", PROBE_READ_ONLY},
	{"/sync", PROBE_SYNC},
	{"/synchronous", PROBE_SYNC},
	{"/quorum", PROBE_SYNC},
	{"/read-only-sync", PROBE_READ_ONLY_SYNC},
	{"/read-only-synchronous", PROBE_READ_ONLY_SYNC},
	{"/read-only-quorum", PROBE_READ_ONLY_SYNC},
	{"/async", PROBE_ASYNC},
	{"/asynchronous", PROBE_ASYNC},
	{"/health", PROBE_HEALTH},
	{"/liveness", PROBE_LIVENESS},
	{"/readiness", PROBE_READINESS},
	{"/patroni", PROBE_PATRONI},
	{"/cluster", PROBE_CLUSTER},
	{"/metrics", PROBE_METRICS},
	{"/switchover", PROBE_ORDER},
	{"/failover", PROBE_ORDER},
	{"/restart", PROBE_ORDER},
	{"/reload", PROBE_ORDER},
	{"/reinitialize", PROBE_ORDER},
};

static ProbePath
find_path(Text text)
{
	if (text.length > 1 && text.bytes[text.length - 1] == '/')
		text.length--;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		if (is(text, paths[i].name))
			return paths[i].path;
	}
	return PROBE_UNKNOWN;
}

/* ---- queries ---- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
lower_case(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* How often a unit is doubled; -1: there is no such unit. */
static int
unit_of(Text text)
{
	static const char units[] = "bkmgt";
	const char		 *found;

	if (text.length == 0)
		return 0;
	found = memchr(units, lower_case(text.bytes[0]), sizeof(units) - 1);
	if (found == NULL || text.length != (found == units ? 1 : 2) ||
		(text.length == 2 && lower_case(text.bytes[1]) != 'b'))
		return -1;
	return 10 * (int) (found - units);
}

/* "1048576", "16kB", "10MB".  false: it is none, or does not fit. */
static bool
read_size(Text text, uint64_t *size)
{
	size_t n = 0;
	int	   unit;

	*size = 0;
	for (; n < text.length && is_digit(text.bytes[n]); n++)
	{
		if (*size > UINT64_MAX / 10 - 1)
			return false;
		*size = *size * 10 + (uint64_t) (text.bytes[n] - '0');
	}
	unit = unit_of((Text){text.bytes + n, text.length - n});
	if (n == 0 || unit < 0 || *size > UINT64_MAX >> unit)
		return false;
	*size <<= unit;
	return true;
}

static void
read_argument(Text name, Text value, ProbeRequest *request)
{
	if (is(name, "lag"))
	{
		request->has_lag = read_size(value, &request->lag);
		request->is_wrong |= !request->has_lag;
	}
	else if (is(name, "replication_state"))
	{
		request->streaming = true;
		request->impossible |= !is(value, "streaming");
	}
	else if (is(name, "mode"))
	{
		request->by_received = is(value, "write");
		request->is_wrong |= !request->by_received && !is(value, "apply");
	}
	else if (name.length > 4 && memcmp(name.bytes, "tag_", 4) == 0)
		request->has_tag = true;
}

/* ---- the request ---- */

/* The end of line and headers: an empty line.  false: it has not come yet. */
static bool
has_end(const char *bytes, size_t length)
{
	for (size_t i = 0; i + 1 < length; i++)
	{
		if (bytes[i] == '\n' && (bytes[i + 1] == '\n' || (bytes[i + 1] == '\r' && i + 2 < length && bytes[i + 2] == '\n')))
			return true;
	}
	return false;
}

static ProbeMethod
find_method(Text text)
{
	if (is(text, "GET"))
		return PROBE_GET;
	if (is(text, "HEAD"))
		return PROBE_HEAD;
	return is(text, "OPTIONS") ? PROBE_OPTIONS : PROBE_CHANGES;
}

/* Printable characters of ASCII only. */
static bool
is_printable(Text text)
{
	for (size_t i = 0; i < text.length; i++)
	{
		if (text.bytes[i] < ' ' || text.bytes[i] > '~')
			return false;
	}
	return true;
}

/* "METHOD target HTTP/1.1", without its end. */
static bool
read_line(Text line, ProbeRequest *request)
{
	Text method = cut(line, ' ', &line);
	Text target = cut(line, ' ', &line);
	Text path = cut(target, '?', &target);

	if (method.length == 0 || path.length == 0 || path.bytes[0] != '/' || line.length != 8 ||
		memcmp(line.bytes, "HTTP/1.", 7) != 0 || !is_digit(line.bytes[7]))
		return false;
	request->method = find_method(method);
	request->path = find_path(path);
	while (target.length > 0)
	{
		Text value = cut(target, '&', &target);
		Text name = cut(value, '=', &value);

		read_argument(name, value, request);
	}
	return true;
}

ProbeRead
probe_read(const char *bytes, size_t length, ProbeRequest *request)
{
	Text rest;
	Text line = cut((Text){bytes, length}, '\n', &rest);
	bool has_line = line.length < length;

	memset(request, 0, sizeof(*request));
	if (has_line && line.length > 0 && line.bytes[line.length - 1] == '\r')
		line.length--;
	else if (!has_line && line.length > 0 && line.bytes[line.length - 1] == '\r')
		return line.length - 1 == 0 || is_printable((Text){bytes, line.length - 1}) ? PROBE_MORE : PROBE_BAD;
	if (!is_printable(line) || (has_line && !read_line(line, request)))
		return PROBE_BAD;
	return has_line && has_end(bytes, length) ? PROBE_WHOLE : PROBE_MORE;
}
