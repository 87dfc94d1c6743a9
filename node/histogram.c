/*
 * node/histogram.c
 *	  Histogram of durations, with count, sum, minimum and maximum.
 *
 * See histogram.h.
 */
#include "histogram.h"

#include <assert.h>

int
histogram_bucket(uint64_t time)
{
	int i = 0;

	/* at most HISTOGRAM_BUCKETS - 1 turns: the last bucket takes the rest */
	for (time >>= HISTOGRAM_FIRST_BITS; time != 0 && i < HISTOGRAM_BUCKETS - 1; time >>= 1)
		i++;
	return i;
}

uint64_t
histogram_lower_bound(int i)
{
	assert(i >= 0 && i < HISTOGRAM_BUCKETS);
	return i == 0 ? 0 : UINT64_C(1) << (HISTOGRAM_FIRST_BITS + i - 1);
}

uint64_t
histogram_upper_bound(int i)
{
	assert(i >= 0 && i < HISTOGRAM_BUCKETS);
	return i == HISTOGRAM_BUCKETS - 1 ? UINT64_MAX : UINT64_C(1) << (HISTOGRAM_FIRST_BITS + i);
}

void
histogram_add(Histogram *histogram, uint64_t time)
{
	if (histogram->count == 0 || time < histogram->min)
		histogram->min = time;
	if (time > histogram->max)
		histogram->max = time;
	histogram->count++;
	histogram->sum += time;
	histogram->buckets[histogram_bucket(time)]++;
}

void
histogram_merge(Histogram *into, const Histogram *from)
{
	if (from->count == 0)
		return;
	if (into->count == 0 || from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	into->count += from->count;
	into->sum += from->sum;
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}
