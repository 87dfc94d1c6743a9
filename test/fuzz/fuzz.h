/*
 * test/fuzz/fuzz.h
 *	  What the fuzz targets share: a check that ends the program with words, and a
 *	  reader of the input that never runs out.
 *
 * Included by fuzz_*.c and by make_corpus.c, and by nothing else.
 */
#ifndef PG_LEADER_FUZZ_H
#define PG_LEADER_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The clusters, lists and members that the seeds in corpus/ speak of. */
#define FUZZ_CLUSTER UINT64_C(0x636c7573746572)
#define FUZZ_LIST	 UINT64_C(0x6c697374)
#define FUZZ_NODE	 1

/* And the keys, as lines of a secret file. */
#define FUZZ_KEY_1 "1 6675747a7a2d6b65792d6f6e652d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d\n"
#define FUZZ_KEY_2 "2 6675747a7a2d6b65792d74776f2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d\n"

/* libFuzzer keeps the input of a program that aborts. */
#define CHECK(condition, words)                                                  \
	do                                                                           \
	{                                                                            \
		if (!(condition))                                                        \
		{                                                                        \
			fprintf(stderr, "%s:%d: %s: %s does not hold\n", __FILE__, __LINE__, \
					words, #condition);                                          \
			abort();                                                             \
		}                                                                        \
	} while (0)

typedef struct Input
{
	const uint8_t *data;
	size_t		   size;
} Input;

/* The next byte; 0 when there is no more. */
static inline uint8_t
next_byte(Input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

/* The target itself.  libFuzzer calls it; what it returns must be 0. */
extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* PG_LEADER_FUZZ_H */
