/*
 * test/unit/test_primary_rebuild.c
 *	  What a rebuild has left in a data directory (rule 21).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../primary/rebuild.h"

/* As a standby that was stopped for a rewind. */
static RebuildFacts
stopped(void)
{
	return (RebuildFacts){.rebuild = RAFT_REWINDING, .is_stopped_standby = true, .is_one_timeline = true};
}

static void
what_is_done_is_whole(void **state)
{
	RebuildFacts f = stopped();

	(void) state;
	f.is_done = true;
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_WHOLE);
	f = (RebuildFacts){.rebuild = RAFT_CLONING, .is_done = true, .is_untouched = true};
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_WHOLE);
}

static void
a_rewind_that_was_killed_is_repeated(void **state)
{
	RebuildFacts f = stopped();

	(void) state;
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_REPEATABLE);
	assert_false(rebuild_is_rewound(&f));
}

static void
never_twice_on_one_directory(void **state)
{
	RebuildFacts f = {.rebuild = RAFT_REWINDING, .is_archive_recovery = true, .has_backup_label = true, .is_same_boot = true};

	(void) state;
	assert_true(rebuild_is_rewound(&f));
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_REPEATABLE);

	/* what is to be done then is to have it on disk; but not after another backup_label */
	f = stopped();
	f.has_backup_label = true;
	assert_false(rebuild_is_rewound(&f));
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);
}

/* pg_rewind has its pg_control on disk before the rest. */
static void
what_a_power_cut_may_have_lost_is_not_rewound(void **state)
{
	RebuildFacts f = {.rebuild = RAFT_REWINDING, .is_archive_recovery = true, .has_backup_label = true};

	(void) state;
	assert_false(rebuild_is_rewound(&f));
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);

	/* but what was not finished is begun again */
	f = stopped();
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_REPEATABLE);
}

static void
a_directory_that_was_not_stopped_cleanly_cannot_be_rewound(void **state)
{
	RebuildFacts f = {.rebuild = RAFT_REWINDING, .is_archive_recovery = true, .is_one_timeline = true};

	(void) state;
	assert_false(rebuild_is_rewound(&f));
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);
	f = stopped();
	f.is_one_timeline = false;
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);
}

static void
a_rewind_that_has_failed_is_not_repeated(void **state)
{
	RebuildFacts f = stopped();

	(void) state;
	f.has_failed = true;
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);
	f = (RebuildFacts){.rebuild = RAFT_REWINDING, .is_archive_recovery = true, .has_backup_label = true, .is_same_boot = true, .has_failed = true};
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);
}

static void
beside_a_clone_the_old_one_may_be_untouched(void **state)
{
	RebuildFacts f = {.rebuild = RAFT_CLONING, .is_untouched = true};

	(void) state;
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_UNTOUCHED);
	f.is_untouched = false;
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);

	/* pg_control says nothing of that: a rewind may have been half done there before */
	f.is_stopped_standby = f.is_one_timeline = true;
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);
	f = (RebuildFacts){.rebuild = RAFT_CLONING, .is_archive_recovery = true, .has_backup_label = true};
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);
	f = stopped();
	f.is_untouched = true;
	f.has_failed = true;
	assert_int_equal(rebuild_remains(&f), PRIMARY_REMAINS_BROKEN);
}

static void
from_one_who_leads_no_more_it_does_not_go_on(void **state)
{
	(void) state;
	assert_true(rebuild_goes_on(1, 1));
	assert_true(rebuild_goes_on(1, RAFT_NONE));
	assert_false(rebuild_goes_on(1, 2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_done_is_whole),
		cmocka_unit_test(a_rewind_that_was_killed_is_repeated),
		cmocka_unit_test(never_twice_on_one_directory),
		cmocka_unit_test(what_a_power_cut_may_have_lost_is_not_rewound),
		cmocka_unit_test(a_directory_that_was_not_stopped_cleanly_cannot_be_rewound),
		cmocka_unit_test(a_rewind_that_has_failed_is_not_repeated),
		cmocka_unit_test(beside_a_clone_the_old_one_may_be_untouched),
		cmocka_unit_test(from_one_who_leads_no_more_it_does_not_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
