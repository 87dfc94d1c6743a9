/*
 * test/unit/test_primary_facts.c
 *	  What follows for the facts from the election's core and from the record of the directory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/watch.h"

static Raft			raft;
static PrimaryFacts facts;

/* Node 1 of three, in term 7, in which node 2 leads, promoted and open on claim 4. */
static void
begin(void)
{
	memset(&raft, 0, sizeof(raft));
	memset(&facts, 0, sizeof(facts));
	raft.config.node_id = 1;
	raft.config.members = 7;
	raft.role = RAFT_FOLLOWER;
	raft.leader_id = 2;
	raft.saved.term = 7;
	raft.saved.claim = 4;
	raft.saved.system_id = 99;
	raft.peers[2].term = 7;
	raft.peers[2].told = (RaftTold){.server = RAFT_SERVER_PRIMARY, .system_id = 99, .promoted = true, .open = true};
}

static void
the_leader_says_what_it_is(void **state)
{
	(void) state;
	begin();
	primary_take_election(&facts, &raft);
	assert_true(facts.self == 1 && facts.members == 3 && facts.term == 7 && facts.leader_id == 2);
	assert_true(facts.claim == 4 && facts.stored_system_id == 99 && !facts.promoting);
	assert_true(facts.leader.server == RAFT_SERVER_PRIMARY && facts.leader.system_id == 99);
	assert_true(facts.leader.promoted && facts.leader.open);
}

/* Who counts: of two lists those of both, and afterwards of the new one alone. */
static void
the_members_are_those_that_count(void **state)
{
	(void) state;
	begin();
	raft.saved.list = (RaftList){.number = 3, .term = 8, .now = 1, .old = 3};
	primary_take_election(&facts, &raft);
	assert_int_equal(facts.members, 2);
	assert_true(facts.list_number == 3 && facts.list_term == 8);
	raft.saved.list.number = 4;
	primary_take_election(&facts, &raft);
	assert_int_equal(facts.members, 1);
}

/* It may have been promoted, and open, on another leadership's claim. */
static void
what_it_said_in_another_term_is_no_promotion(void **state)
{
	(void) state;
	begin();
	raft.peers[2].term = 6;
	primary_take_election(&facts, &raft);
	assert_false(facts.leader.promoted);
	assert_false(facts.leader.open);
	assert_int_equal(facts.leader.server, RAFT_SERVER_PRIMARY);
}

static void
who_leads_itself_has_no_leader_to_follow(void **state)
{
	(void) state;
	begin();
	raft.role = RAFT_LEADER;
	raft.leader_id = RAFT_NONE;
	primary_take_election(&facts, &raft);
	assert_int_equal(facts.leader_id, 1);
	assert_int_equal(facts.leader.server, RAFT_SERVER_NONE);
}

static void
a_rebuild_and_what_failed_before_are_told(void **state)
{
	WatchDirectory watch = {.failures = 2, .stuck_since = 5, .failed_at = 6, .failed_source = 2, .failed_term = 3};

	(void) state;
	begin();
	raft.saved.rebuild = RAFT_CLONING;
	raft.saved.rebuild_source = 2;
	raft.saved.rebuild_term = 7;
	raft.saved.floor = (RaftPosition){3, 100};
	primary_take_election(&facts, &raft);
	watch_directory(&watch, &facts);
	assert_true(facts.rebuild == RAFT_CLONING && facts.rebuild_source == 2 && facts.rebuild_term == 7);
	assert_true(facts.floor.epoch == 3 && facts.floor.index == 100);
	assert_true(facts.failures == 2 && facts.stuck_since == 5 && facts.failed_at == 6);
	assert_true(facts.failed_source == 2 && facts.failed_term == 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_members_are_those_that_count),
		cmocka_unit_test(the_leader_says_what_it_is),
		cmocka_unit_test(what_it_said_in_another_term_is_no_promotion),
		cmocka_unit_test(who_leads_itself_has_no_leader_to_follow),
		cmocka_unit_test(a_rebuild_and_what_failed_before_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
