/*
 * node/value.c
 *	  Values of settings as text: read as PostgreSQL reads them.
 *
 * See value.h, and parse_bool() and parse_int() of PostgreSQL.  No backend symbols.
 */
#include "value.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct Unit
{
	const char *name;
	double		milliseconds;
} Unit;

static const Unit units[] = {{"us", 0.001}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};

#define UNITS ((int) (sizeof(units) / sizeof(units[0])))

/* Is it that word or the beginning of it, so many letters at least? */
static bool
begins(const char *text, const char *word, size_t least)
{
	size_t length = strlen(text);

	return length >= least && length <= strlen(word) && strncasecmp(text, word, length) == 0;
}

bool
value_bool(const char *text, bool *value)
{
	if (begins(text, "true", 1) || begins(text, "yes", 1) || begins(text, "on", 2) || strcmp(text, "1") == 0)
		*value = true;
	else if (begins(text, "false", 1) || begins(text, "no", 1) || begins(text, "off", 2) || strcmp(text, "0") == 0)
		*value = false;
	else
		return false;
	return true;
}

static const char *
skip_spaces(const char *text)
{
	while (isspace((unsigned char) *text))
		text++;
	return text;
}

/* The number that it begins with, and where what follows it begins. */
static bool
read_number(const char *text, double *number, const char **rest)
{
	char *end;

	errno = 0;
	*number = (double) strtol(text, &end, 0);
	if (*end == '.' || *end == 'e' || *end == 'E' || errno == ERANGE)
	{
		errno = 0;
		*number = strtod(text, &end);
	}
	*rest = skip_spaces(end);
	return end != text && errno == 0 && isfinite(*number);
}

/* As rint(): of two that are equally near, the even one. */
static bool
round_to_int(double number, int *value)
{
	int	   whole;
	double rest;

	if (number < INT_MIN || number > INT_MAX)
		return false;
	whole = (int) number;
	rest = number - whole;
	if (rest > 0.5 || (rest == 0.5 && whole % 2 != 0))
		whole++;
	else if (rest < -0.5 || (rest == -0.5 && whole % 2 != 0))
		whole--;
	*value = whole;
	return true;
}

bool
value_int(const char *text, int *value)
{
	double		number;
	const char *rest;

	return read_number(text, &number, &rest) && *rest == '\0' && round_to_int(number, value);
}

bool
value_milliseconds(const char *text, int *value)
{
	double		number;
	const char *rest;

	if (!read_number(text, &number, &rest))
		return false;
	if (*rest == '\0')
		return round_to_int(number, value);
	for (int i = 0; i < UNITS; i++)
	{
		size_t length = strlen(units[i].name);

		if (strncmp(rest, units[i].name, length) == 0 && *skip_spaces(rest + length) == '\0')
			return round_to_int(number * units[i].milliseconds, value);
	}
	return false;
}

bool
value_real(const char *text, double *value)
{
	char  *end;
	double number;

	errno = 0;
	number = strtod(text, &end);
	if (end == text || errno != 0 || !isfinite(number) || *skip_spaces(end) != '\0')
		return false;
	*value = number;
	return true;
}
