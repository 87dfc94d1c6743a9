/*
 * test/lib/random.h
 *	  Numbers for tests with random facts: the same in every run.
 */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>

/* From 0 to n - 1, by Knuth's 64-bit linear congruential generator. */
static inline uint32_t
random_below(uint64_t *state, uint32_t n)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (*state >> 33) % n;
}

#endif /* TEST_RANDOM_H */
