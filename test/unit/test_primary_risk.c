/*
 * test/unit/test_primary_risk.c
 *	  Would one more failure stop commits: each reason, the order of them, and the words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/risk.h"

/* The first "n" node ids. */
static uint64_t
first(int n)
{
	return (UINT64_C(1) << n) - 1;
}

/* Node 0 leads n members, and all is well. */
static RiskFacts
calm(int n)
{
	return (RiskFacts){.members = first(n), .bound = first(n), .holders = first(n), .candidates = first(n)};
}

static void
three_and_more_that_are_well(void **state)
{
	char text[RISK_TEXT_SIZE] = "before";

	(void) state;
	for (int n = 3; n <= 40; n++)
	{
		RiskFacts facts = calm(n);

		assert_int_equal(risk_judge(&facts), RISK_NONE);
		assert_string_equal(risk_describe(&facts, text), "");
	}
}

static void
one_and_two_cannot_be(void **state)
{
	char text[RISK_TEXT_SIZE];

	(void) state;
	for (int n = 1; n <= 2; n++)
	{
		RiskFacts facts = calm(n);

		assert_int_equal(risk_judge(&facts), RISK_VOTES);
		assert_string_equal(risk_describe(&facts, text),
							n == 1 ? "one more failure stops commits: 1 of 1 members acknowledge the leader, and 1 have to" :
									 "one more failure stops commits: 2 of 2 members acknowledge the leader, and 2 have to");
	}
}

/* n members, and each number of those who are well. */
static void
exactly_as_many_as_have_to(void **state)
{
	(void) state;
	for (int n = 3; n <= 9; n++)
	{
		int votes = n / 2 + 1;
		int copies = n - votes + 1;

		for (int well = 1; well <= n; well++)
		{
			RiskFacts facts = calm(n);

			facts.bound = first(well);
			assert_int_equal(risk_judge(&facts), well > votes ? RISK_NONE : RISK_VOTES);
			facts = calm(n);
			facts.holders = first(well);
			assert_int_equal(risk_judge(&facts), well > copies ? RISK_NONE : RISK_COPIES);
		}
	}
}

static void
those_who_are_missing_are_named(void **state)
{
	RiskFacts facts = calm(5);
	char	  text[RISK_TEXT_SIZE];

	(void) state;
	facts.holders = 0x0D; /* 0, 2, 3 */
	assert_string_equal(risk_describe(&facts, text),
						"one more failure stops commits: 3 of 5 members hold the newest WAL, and 3 have to; not node 1, 4");

	/* whoever is in no list is not counted, and votes come first */
	facts.bound = 0xE3; /* 0, 1, and strangers */
	assert_string_equal(risk_describe(&facts, text),
						"one more failure stops commits: 2 of 5 members acknowledge the leader, and 3 have to; not node 2, 3, 4");
	facts = (RiskFacts){.members = UINT64_MAX, .bound = 1, .holders = 1};
	assert_true(strlen(risk_describe(&facts, text)) == RISK_TEXT_SIZE - 1);
}

static void
a_paused_cluster(void **state)
{
	RiskFacts facts = calm(3);
	char	  text[RISK_TEXT_SIZE];

	(void) state;
	facts.in_pause = true;
	facts.candidates = 0;
	assert_int_equal(risk_judge(&facts), RISK_PAUSED);
	assert_string_equal(risk_describe(&facts, text), "a failure of the primary stops commits: the cluster is paused, and no member takes over");
	facts.holders = 3;
	assert_int_equal(risk_judge(&facts), RISK_COPIES);
}

static void
nobody_else_may_stand(void **state)
{
	RiskFacts facts = calm(5);
	char	  text[RISK_TEXT_SIZE];

	(void) state;
	facts.candidates = 1; /* itself */
	assert_int_equal(risk_judge(&facts), RISK_CANDIDATES);
	assert_string_equal(risk_describe(&facts, text), "a failure of the primary stops commits: no other member that holds the newest WAL may lead");
	facts.candidates = 2;
	assert_int_equal(risk_judge(&facts), RISK_NONE);
	facts.holders = 0x1D; /* all but node 1 */
	assert_int_equal(risk_judge(&facts), RISK_CANDIDATES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_and_more_that_are_well),
		cmocka_unit_test(one_and_two_cannot_be),
		cmocka_unit_test(exactly_as_many_as_have_to),
		cmocka_unit_test(those_who_are_missing_are_named),
		cmocka_unit_test(a_paused_cluster),
		cmocka_unit_test(nobody_else_may_stand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
