/*
 * node/words.h
 *	  What went wrong, for the DBA: one sentence, and what to do about it.
 *
 * Functions of node/ never log: they return a code, and fill this in for whoever called
 * them.  An error longer than its buffer is cut off.
 */
#ifndef PG_LEADER_WORDS_H
#define PG_LEADER_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#define WORDS_SIZE 1024

typedef struct Words
{
	char error[WORDS_SIZE]; /* without a full stop */
	char hint[WORDS_SIZE];	/* empty: none */
} Words;

/*
 * Fill in both; hint NULL: none.  What the format prints must not come from the same
 * struct.  Always false, for "return words_set(...)".
 */
extern bool words_set(Words *words, const char *hint, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Nothing went wrong. */
extern void words_clear(Words *words);

/* An error of libpq's, which ends with a newline and can have several lines, on one; its line. */
extern const char *words_line(const char *message, char *line, size_t size);

#endif /* PG_LEADER_WORDS_H */
