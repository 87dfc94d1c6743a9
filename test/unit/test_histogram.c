/*
 * test/unit/test_histogram.c
 *	  Times that are counted: none is lost, and each is in the bucket that says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "histogram.h"

static uint64_t
sum_of_buckets(const Histogram *histogram)
{
	uint64_t sum = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum += histogram->buckets[i];
	return sum;
}

/* The bounds as the documentation has them: 0, 16 us, 32 us, ... 16.8 s. */
static void
buckets_double(void **state)
{
	(void) state;
	assert_int_equal(histogram_lower_bound(0), 0);
	assert_int_equal(histogram_upper_bound(0), 16);
	assert_int_equal(histogram_lower_bound(HISTOGRAM_BUCKETS - 1), 16777216);
	assert_true(histogram_upper_bound(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
	for (int i = 1; i < HISTOGRAM_BUCKETS; i++)
	{
		assert_int_equal(histogram_lower_bound(i), histogram_upper_bound(i - 1));
		if (i < HISTOGRAM_BUCKETS - 1)
			assert_int_equal(histogram_upper_bound(i), 2 * histogram_lower_bound(i));
	}
}

static void
each_time_has_its_bucket(void **state)
{
	(void) state;
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
	{
		assert_int_equal(histogram_bucket(histogram_lower_bound(i)), i);
		if (i < HISTOGRAM_BUCKETS - 1)
			assert_int_equal(histogram_bucket(histogram_upper_bound(i) - 1), i);
	}
	assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void
what_is_added_is_counted(void **state)
{
	static const uint64_t times[] = {300, 20, 5000, 300, 0, UINT64_C(1) << 40};
	Histogram			  h = {0};

	(void) state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		histogram_add(&h, times[i]);
	assert_int_equal(h.count, 6);
	assert_true(h.sum == 5620 + (UINT64_C(1) << 40));
	assert_int_equal(h.min, 0);
	assert_true(h.max == UINT64_C(1) << 40);
	assert_int_equal(sum_of_buckets(&h), 6);
	assert_int_equal(h.buckets[histogram_bucket(300)], 2);
	assert_int_equal(h.buckets[0], 1);
	assert_int_equal(h.buckets[HISTOGRAM_BUCKETS - 1], 1);
}

/* The least of times is not the zero that a histogram begins with. */
static void
least_is_of_what_was_added(void **state)
{
	Histogram h = {0};

	(void) state;
	histogram_add(&h, 700);
	assert_int_equal(h.min, 700);
	assert_int_equal(h.max, 700);
	histogram_add(&h, 900);
	assert_int_equal(h.min, 700);
	assert_int_equal(h.max, 900);
	histogram_add(&h, 600);
	assert_int_equal(h.min, 600);
}

static void
merging_is_adding(void **state)
{
	Histogram a = {0};
	Histogram b = {0};
	Histogram both = {0};
	Histogram empty = {0};

	(void) state;
	for (uint64_t time = 3; time < UINT64_C(1) << 30; time = time * 3 + 1)
	{
		histogram_add(time % 2 ? &a : &b, time);
		histogram_add(&both, time);
	}
	assert_true(a.count > 0 && b.count > 0);
	histogram_merge(&a, &b);
	assert_memory_equal(&a, &both, sizeof(a));

	/* what has counted nothing changes nothing, and takes everything over */
	histogram_merge(&a, &empty);
	assert_memory_equal(&a, &both, sizeof(a));
	histogram_merge(&empty, &both);
	assert_memory_equal(&empty, &both, sizeof(both));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_double),
		cmocka_unit_test(each_time_has_its_bucket),
		cmocka_unit_test(what_is_added_is_counted),
		cmocka_unit_test(least_is_of_what_was_added),
		cmocka_unit_test(merging_is_adding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
