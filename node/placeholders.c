/*
 * node/placeholders.c
 *	  What stands behind a percent sign in pg_leader.notify_command.
 *
 * See placeholders.h.
 */
#include "placeholders.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool
placeholders_check(const char *command, Words *words)
{
	static const char hint[] = "There are %e (event), %t (term), %l (leader's id), %a (leader's address), "
							   "%n (this node's id), and %% for a single percent sign.";

	for (const char *c = command; *c != '\0'; c++)
	{
		if (*c != '%')
			continue;
		c++;
		if (*c == '\0')
			return words_set(words, hint, "it ends in a single \"%%\"");
		if (strchr("etlan%", *c) == NULL)
			return words_set(words, hint, "it has an unknown placeholder \"%%%c\"", *c > 0x20 && *c < 0x7f ? *c : '?');
	}
	return true;
}

/* What one placeholder becomes; "number" is room for it. */
static const char *
value_of(char placeholder, const PlaceholderValues *values, char *number, size_t size)
{
	number[0] = placeholder;
	number[1] = '\0';
	switch (placeholder)
	{
		case 'e':
			return values->event;
		case 't':
			(void) snprintf(number, size, "%" PRIu64, values->term);
			break;
		case 'l':
			if (values->leader_id < 0)
				return "none";
			(void) snprintf(number, size, "%" PRId32, values->leader_id);
			break;
		case 'a':
			return values->leader_address;
		case 'n':
			(void) snprintf(number, size, "%" PRId32, values->node_id);
			break;
	}
	return number;
}

bool
placeholders_fill(const char *command, const PlaceholderValues *values, char *text, size_t size)
{
	size_t length = 0;

	for (const char *c = command; *c != '\0'; c++)
	{
		char		number[24] = {*c};
		const char *part = number;
		size_t		part_length;

		if (*c == '%' && c[1] != '\0')
			part = value_of(*++c, values, number, sizeof(number));
		part_length = strlen(part);
		if (length + part_length >= size)
			return false;
		memcpy(text + length, part, part_length);
		length += part_length;
	}
	text[length] = '\0';
	return true;
}
