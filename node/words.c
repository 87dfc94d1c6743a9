/*
 * node/words.c
 *	  See words.h.
 */
#include "words.h"

#include <stdarg.h>
#include <stdio.h>

bool
words_set(Words *words, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void) vsnprintf(words->error, WORDS_SIZE, format, args);
	va_end(args);
	(void) snprintf(words->hint, WORDS_SIZE, "%s", hint != NULL ? hint : "");
	return false;
}

void
words_clear(Words *words)
{
	words->error[0] = words->hint[0] = '\0';
}
