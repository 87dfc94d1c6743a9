/*
 * test/unit/test_primary_slots.c
 *	  Which replication slots are made, moved and dropped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/slots.h"

/* Nodes 0, 1, 2 and 5; node 1 is ours, and follows node 0. */
static SlotsFacts
standby(void)
{
	SlotsFacts facts = {.members = 0x27, .self = 1, .leader = 0, .end = 1000, .heard = 0x24, .step = 1};

	facts.flushed[2] = 900;
	facts.flushed[5] = 1100;
	return facts;
}

static SlotsFacts
primary(void)
{
	SlotsFacts facts = standby();

	facts.leader = facts.self;
	return facts;
}

static SlotsSlot
slot_of(int32_t member)
{
	return (SlotsSlot){.member = member, .physical = true, .restart = 500};
}

static void
names_are_those_of_the_members(void **state)
{
	char name[SLOTS_NAME_SIZE];

	(void) state;
	slots_name(0, name);
	assert_string_equal(name, "pg_leader_0");
	slots_name(INT32_MIN, name);
	assert_string_equal(name, "pg_leader_-2147483648");
}

static void
moved_to_what_the_member_has_flushed(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = slot_of(2);

	(void) state;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_ADVANCE);
	assert_int_equal(slots_target(&facts, &slot), 900);
	slot.restart = 900;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
}

static void
never_moved_back(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = slot_of(2);

	(void) state;
	slot.restart = 950;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
	assert_int_equal(slots_target(&facts, &slot), 950);
	facts.flushed[2] = 0;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
}

static void
never_moved_beyond_what_is_here(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = slot_of(5);

	(void) state;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_ADVANCE);
	assert_int_equal(slots_target(&facts, &slot), 1000);
}

/* WAL is kept by whole segments. */
static void
not_moved_within_a_segment(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = slot_of(2);

	(void) state;
	facts.step = 300;
	slot.restart = 600;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_ADVANCE);
	assert_int_equal(slots_target(&facts, &slot), 900);
	facts.flushed[2] = 899;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
}

/* Nobody says how far it is: further than any other. */
static void
the_leaders_is_moved_with_our_own_end(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = slot_of(0);

	(void) state;
	assert_int_equal(slots_target(&facts, &slot), 1000);
	facts.leader = 2;
	assert_int_equal(slots_target(&facts, &slot), 500);
}

static void
one_in_use_is_its_walsenders(void **state)
{
	SlotsFacts facts = primary();
	SlotsSlot  slot = slot_of(2);

	(void) state;
	slot.user = SLOTS_MEMBER;
	slot.holds_rows = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
	slot.user = SLOTS_BRIEFLY;
	slot.lost = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
}

static void
nobody_else_may_use_it(void **state)
{
	SlotsFacts facts = primary();
	SlotsSlot  slot = slot_of(2);

	(void) state;
	slot.user = SLOTS_STRANGER;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_END_USER);
	slot.member = RAFT_NONE;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
}

static void
one_that_was_lost_is_dropped(void **state)
{
	SlotsFacts facts = primary();
	SlotsSlot  slot = slot_of(2);

	(void) state;
	slot.lost = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_DROP);

	/* PostgreSQL 16 and 17 let a receiver have it, and keep no WAL for it */
	slot.user = SLOTS_MEMBER;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_END_USER);
}

static void
nobodys_and_our_own_are_dropped(void **state)
{
	static const int32_t nobody[] = {1, 3, 63};
	SlotsFacts			 facts = primary();

	(void) state;
	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++)
	{
		SlotsSlot slot = slot_of(nobody[i]);

		assert_int_equal(slots_verdict(&facts, &slot), SLOTS_DROP);
		assert_false(slots_make(&facts, nobody[i]));
		slot.user = SLOTS_MEMBER;
		assert_int_equal(slots_verdict(&facts, &slot), SLOTS_END_USER);
	}
}

static void
what_others_have_made_is_left_alone(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = slot_of(RAFT_NONE);

	(void) state;
	slot.lost = true;
	slot.holds_rows = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
	slot = slot_of(3);
	slot.physical = false;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
	slot = slot_of(3);
	slot.temporary = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
}

static void
a_name_that_is_taken_is_said(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = slot_of(2);

	(void) state;
	slot.physical = false;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_TAKEN);
	slot = slot_of(2);
	slot.temporary = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_TAKEN);
}

/* As primary a server holds them for a standby that is away. */
static void
a_standby_holds_no_rows(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = slot_of(2);

	(void) state;
	slot.restart = 900;
	slot.holds_rows = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_ADVANCE);
	assert_int_equal(slots_target(&facts, &slot), 900);
	facts.leader = facts.self;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
}

static void
made_for_members_that_are_there(void **state)
{
	SlotsFacts facts = standby();

	(void) state;
	assert_true(slots_make(&facts, 0)); /* it leads */
	assert_true(slots_make(&facts, 2));
	facts.heard = 0x20;
	assert_false(slots_make(&facts, 2));
	assert_true(slots_make(&facts, 5));
	assert_false(slots_make(&facts, RAFT_NONE));
	facts.leader = facts.self;
	assert_false(slots_make(&facts, 1));
}

static void
left_behind_by_a_primary_it_is_in_the_way(void **state)
{
	SlotsFacts facts = standby();
	SlotsSlot  slot = {.member = RAFT_NONE, .failover = true, .restart = 500};

	(void) state;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
	facts.synchronizes = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_SUPERSEDED);
	slot.user = SLOTS_STRANGER;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
	slot.user = SLOTS_UNUSED;
	slot.synced = true;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
	slot.synced = false;
	slot.failover = false;
	assert_int_equal(slots_verdict(&facts, &slot), SLOTS_LEAVE);
}

static void
only_what_is_on_our_path_was_flushed(void **state)
{
	Lineage first;
	Lineage own;

	(void) state;
	lineage_first(&first);
	assert_true(lineage_extend(&first, 3, 400, &own));
	assert_int_equal(slots_flushed(&own, (RaftPosition){1, 400}), 400);
	assert_int_equal(slots_flushed(&own, (RaftPosition){1, 401}), 0);
	assert_int_equal(slots_flushed(&own, (RaftPosition){2, 300}), 0);
	assert_int_equal(slots_flushed(&own, (RaftPosition){3, 401}), 401);
	assert_int_equal(slots_flushed(&own, (RaftPosition){0, 0}), 0);
	assert_int_equal(slots_flushed(&own, (RaftPosition){UINT64_C(0x100000003), 500}), 0);
	assert_int_equal(slots_flushed(NULL, (RaftPosition){1, 400}), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_those_of_the_members),
		cmocka_unit_test(moved_to_what_the_member_has_flushed),
		cmocka_unit_test(never_moved_back),
		cmocka_unit_test(never_moved_beyond_what_is_here),
		cmocka_unit_test(not_moved_within_a_segment),
		cmocka_unit_test(the_leaders_is_moved_with_our_own_end),
		cmocka_unit_test(one_in_use_is_its_walsenders),
		cmocka_unit_test(nobody_else_may_use_it),
		cmocka_unit_test(one_that_was_lost_is_dropped),
		cmocka_unit_test(nobodys_and_our_own_are_dropped),
		cmocka_unit_test(what_others_have_made_is_left_alone),
		cmocka_unit_test(a_name_that_is_taken_is_said),
		cmocka_unit_test(a_standby_holds_no_rows),
		cmocka_unit_test(made_for_members_that_are_there),
		cmocka_unit_test(left_behind_by_a_primary_it_is_in_the_way),
		cmocka_unit_test(only_what_is_on_our_path_was_flushed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
