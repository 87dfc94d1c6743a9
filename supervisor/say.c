/*
 * supervisor/say.c
 *	  What a program that runs in the foreground tells people.
 *
 * See say.h.  What belongs together is one write, so that lines of the server do not come
 * between.
 */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 4096

static const char *program = PROGRAM;

/* Into line, of LINE_SIZE; what is too long is cut.  Its length. */
static size_t
put_line(char *line, const char *level, const char *text)
{
	char			date[32];
	char			zone[16];
	struct timespec now;
	struct tm		local;
	int				length;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	(void) localtime_r(&now.tv_sec, &local);
	(void) strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &local);
	(void) strftime(zone, sizeof(zone), "%Z", &local);
	length = snprintf(line, LINE_SIZE - 1, "%s.%03ld %s [%d] %s: %s:  %s", date, now.tv_nsec / 1000000,
					  zone, (int) getpid(), program, level, text);
	if (length > LINE_SIZE - 2)
		length = LINE_SIZE - 2;
	line[length] = '\n';
	return (size_t) length + 1;
}

static void write_both(const char *level, const char *second, const char *more, const char *format, va_list arguments)
	__attribute__((format(printf, 4, 0)));

/* "more" is on a line of its own, of that second level; empty: there is none. */
static void
write_both(const char *level, const char *second, const char *more, const char *format, va_list arguments)
{
	char   text[LINE_SIZE - 128];
	char   lines[2 * LINE_SIZE];
	size_t length;

	(void) vsnprintf(text, sizeof(text), format, arguments);
	length = put_line(lines, level, text);
	if (more[0] != '\0')
		length += put_line(lines + length, second, more);
	if (write(STDERR_FILENO, lines, length) < 0)
	{
		/* there is nobody else to tell */
	}
}

void
say_as(const char *name)
{
	program = name;
}

void
say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_both("LOG", "", "", format, arguments);
	va_end(arguments);
}

void
say_detail(const char *detail, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_both("LOG", "DETAIL", detail, format, arguments);
	va_end(arguments);
}

void
say_warning(const char *hint, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_both("WARNING", "HINT", hint, format, arguments);
	va_end(arguments);
}

void
say_error(const char *hint, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_both("ERROR", "HINT", hint, format, arguments);
	va_end(arguments);
}
