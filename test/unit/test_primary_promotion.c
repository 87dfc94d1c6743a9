/*
 * test/unit/test_primary_promotion.c
 *	  Rule 14: what may be promoted at the last moment, and which ids are burnt for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/promotion.h"

/* On timeline 5, which begins at 2000, replayed up to 2500; 3 is burnt, 4 was never seen. */
static const HistoryFile files[] = {
	{2, HISTORY_REAL, 1000},
	{3, HISTORY_BURNT, 0},
	{5, HISTORY_REAL, 2000},
};

/* Authorised to make timeline 7, in the present term and under a lease. */
static PromotionFacts
world(void)
{
	return (PromotionFacts){
		.now = 1000,
		.lease_until = 1001,
		.term = 9,
		.authorised = 7,
		.authorised_term = 9,
		.target = 5,
		.target_begin = 2000,
		.end = 2500,
		.histories = {files, 3},
	};
}

static void
expect(const PromotionFacts *f, PromotionVerdict verdict)
{
	assert_int_equal(promotion_verdict(f), verdict);
}

static void
authorised_and_under_a_lease_it_goes_on(void **state)
{
	PromotionFacts f = world();

	(void) state;
	expect(&f, PROMOTION_GOES_ON);
}

static void
nobody_has_authorised_it(void **state)
{
	PromotionFacts f = world();

	(void) state;
	f.authorised = 0;
	expect(&f, PROMOTION_NOT_AUTHORISED);
}

static void
an_authorisation_of_another_term_is_none(void **state)
{
	PromotionFacts f = world();

	(void) state;
	f.term = 10;
	expect(&f, PROMOTION_OTHER_TERM);
	f.authorised_term = 11;
	expect(&f, PROMOTION_OTHER_TERM);
}

static void
a_lease_that_ends_now_is_none(void **state)
{
	PromotionFacts f = world();

	(void) state;
	f.lease_until = f.now;
	expect(&f, PROMOTION_NO_LEASE);
	f.lease_until = 0;
	expect(&f, PROMOTION_NO_LEASE);
}

/* PostgreSQL would take an id above it, or overwrite the file. */
static void
no_history_file_is_at_the_claim_or_above(void **state)
{
	static const HistoryFile claimed[] = {{2, HISTORY_REAL, 1000}, {5, HISTORY_REAL, 2000}, {7, HISTORY_BURNT, 0}};
	static const HistoryFile above[] = {{2, HISTORY_REAL, 1000}, {5, HISTORY_REAL, 2000}, {90, HISTORY_BAD, 0}};
	static const HistoryFile wal[] = {{2, HISTORY_REAL, 1000}, {5, HISTORY_REAL, 2000}, {7, HISTORY_NONE, 0}};
	PromotionFacts			 f = world();

	(void) state;
	f.histories = (Histories){claimed, 3};
	expect(&f, PROMOTION_ID_TAKEN);
	f.histories = (Histories){above, 3};
	expect(&f, PROMOTION_ID_TAKEN);
	/* WAL without a history is overwritten: PostgreSQL does not look at it */
	f.histories = (Histories){wal, 3};
	expect(&f, PROMOTION_GOES_ON);
}

static void
the_recovery_target_is_below_the_claim(void **state)
{
	PromotionFacts f = world();

	(void) state;
	f.target = 6;
	expect(&f, PROMOTION_GOES_ON);
	f.target = 7;
	expect(&f, PROMOTION_ID_TAKEN);
	f.target = 8;
	expect(&f, PROMOTION_ID_TAKEN);
}

static void
the_recovery_target_is_not_ahead_of_its_wal(void **state)
{
	PromotionFacts f = world();

	(void) state;
	f.target_begin = 2500; /* nothing of it yet, and it begins where the WAL ends */
	expect(&f, PROMOTION_GOES_ON);
	f.target_begin = 2501;
	expect(&f, PROMOTION_TARGET_AHEAD);
}

/* A claim far away comes from a mistake: files without number are no way out of it. */
static void
many_ids_are_burnt_only_by_an_operator(void **state)
{
	PromotionFacts f = world();

	(void) state;
	f.authorised = f.target + PROMOTION_MOST_BURNT + 1;
	expect(&f, PROMOTION_GOES_ON);
	f.authorised++;
	expect(&f, PROMOTION_MANY_BURNT);
	f.burn_any = true;
	expect(&f, PROMOTION_GOES_ON);

	/* Files that are there already need not be made, and the past is not counted. */
	f.burn_any = false;
	f.target = 3;
	expect(&f, PROMOTION_MANY_BURNT);
	f.authorised--;
	f.target = 4;
	expect(&f, PROMOTION_GOES_ON);
	f.target = f.authorised = 3000000;
	f.authorised += 2;
	expect(&f, PROMOTION_GOES_ON);
}

/* From 2 on, so that no walreceiver asks for one that is not there. */
static void
each_id_below_the_claim_gets_a_file(void **state)
{
	PromotionFacts f = world();

	(void) state;
	assert_int_equal(promotion_burns(&f.histories, 7, 0), 4);
	assert_int_equal(promotion_burns(&f.histories, 7, 4), 6);
	assert_int_equal(promotion_burns(&f.histories, 7, 6), 0);
	assert_int_equal(promotion_burns(&f.histories, 6, 4), 0);
	assert_int_equal(promotion_burns(&(Histories){NULL, 0}, 4, 0), 2);
	assert_int_equal(promotion_burns(&(Histories){NULL, 0}, 4, 2), 3);
	assert_int_equal(promotion_burns(&(Histories){NULL, 0}, 2, 0), 0);
}

/* On timeline 7; 4, 5 and 6 were passed over for it, and 2 long ago. */
static const HistoryFile archive_files[] = {
	{2, HISTORY_BURNT, 0},
	{3, HISTORY_REAL, 1000},
	{4, HISTORY_BURNT, 0},
	{5, HISTORY_BURNT, 0},
	{6, HISTORY_BURNT, 0},
	{7, HISTORY_REAL, 2000},
	{8, HISTORY_BURNT, 0},
};

static void
expect_archived_next(const PromotionArchived *archived, uint32_t timeline, uint32_t next, bool more)
{
	bool is_more = !more;

	assert_int_equal(promotion_archives(&(Histories){archive_files, 7}, archived, timeline, &is_more), next);
	assert_int_equal(is_more, more);
}

static void
burnt_ids_are_archived_from_the_highest_down_one_by_one(void **state)
{
	PromotionArchived archived[7] = {PROMOTION_NOT_ARCHIVED};

	(void) state;
	for (uint32_t id = 7; id >= 4; id--)
	{
		expect_archived_next(archived, 7, id, true);
		archived[id - 2] = PROMOTION_WAITS;
		expect_archived_next(archived, 7, 0, true);
		archived[id - 2] = PROMOTION_ARCHIVED;
	}
	expect_archived_next(archived, 7, 0, false);
}

/* What was archived out of order, as by an archiver of an earlier time, is not asked for again. */
static void
a_burnt_id_waits_for_all_above_it(void **state)
{
	PromotionArchived archived[7] = {PROMOTION_NOT_ARCHIVED};

	(void) state;
	archived[2] = archived[3] = archived[5] = PROMOTION_ARCHIVED;
	archived[4] = PROMOTION_WAITS;
	expect_archived_next(archived, 7, 0, true);
	archived[4] = PROMOTION_ARCHIVED;
	expect_archived_next(archived, 7, 0, false);
}

static void
what_is_not_burnt_or_missing_ends_the_archiving(void **state)
{
	PromotionArchived archived[7] = {PROMOTION_NOT_ARCHIVED};
	bool			  more = true;

	(void) state;
	archived[1] = PROMOTION_ARCHIVED;
	expect_archived_next(archived, 3, 2, true);
	archived[0] = PROMOTION_ARCHIVED;
	expect_archived_next(archived, 3, 0, false);
	expect_archived_next(archived, 1, 0, false);
	assert_int_equal(promotion_archives(&(Histories){NULL, 0}, NULL, 9, &more), 0);
	assert_false(more);
}

static void
each_verdict_has_words(void **state)
{
	(void) state;
	for (int i = 0; i < PROMOTION_VERDICTS; i++)
	{
		assert_non_null(promotion_describe((PromotionVerdict) i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(promotion_describe((PromotionVerdict) i), promotion_describe((PromotionVerdict) j));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(authorised_and_under_a_lease_it_goes_on),
		cmocka_unit_test(nobody_has_authorised_it),
		cmocka_unit_test(an_authorisation_of_another_term_is_none),
		cmocka_unit_test(a_lease_that_ends_now_is_none),
		cmocka_unit_test(no_history_file_is_at_the_claim_or_above),
		cmocka_unit_test(the_recovery_target_is_below_the_claim),
		cmocka_unit_test(the_recovery_target_is_not_ahead_of_its_wal),
		cmocka_unit_test(many_ids_are_burnt_only_by_an_operator),
		cmocka_unit_test(each_id_below_the_claim_gets_a_file),
		cmocka_unit_test(burnt_ids_are_archived_from_the_highest_down_one_by_one),
		cmocka_unit_test(a_burnt_id_waits_for_all_above_it),
		cmocka_unit_test(what_is_not_burnt_or_missing_ends_the_archiving),
		cmocka_unit_test(each_verdict_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
