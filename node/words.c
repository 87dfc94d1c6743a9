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

const char *
words_line(const char *message, char *line, size_t size)
{
	size_t n = 0;

	for (; *message != '\0' && n + 1 < size; message++)
		line[n++] = *message == '\n' || *message == '\t' ? ' ' : *message;
	while (n > 0 && line[n - 1] == ' ')
		n--;
	line[n] = '\0';
	return line;
}
