/*
 * test/unit/test_primary_fence.c
 *	  What becomes of a commit, of a login and of a read (rules 16 and 18).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/fence.h"

#define WAIT 1000

/* ---- before it begins ---- */

static void
commit_begins_behind_an_open_fence(void **state)
{
	(void) state;
	assert_int_equal(fence_begin(true, false, 0, WAIT), FENCE_PASS);
	assert_int_equal(fence_begin(true, false, 0, 0), FENCE_PASS);
	/* it has waited in vain until now, and the fence opens at the last moment */
	assert_int_equal(fence_begin(true, false, WAIT, WAIT), FENCE_PASS);
}

static void
commit_waits_for_a_closed_fence_and_is_refused(void **state)
{
	(void) state;
	assert_int_equal(fence_begin(false, false, 0, WAIT), FENCE_WAIT);
	assert_int_equal(fence_begin(false, false, WAIT - 1, WAIT), FENCE_WAIT);
	assert_int_equal(fence_begin(false, false, WAIT, WAIT), FENCE_REFUSE);
	assert_int_equal(fence_begin(false, false, WAIT + 1, WAIT), FENCE_REFUSE);
}

static void
without_a_wait_it_is_refused_at_once(void **state)
{
	(void) state;
	assert_int_equal(fence_begin(false, false, 0, 0), FENCE_REFUSE);
	assert_int_equal(fence_begin(true, true, 0, 0), FENCE_REFUSE);
	assert_int_equal(fence_answer(false, false, false, 0, 0), FENCE_REFUSE);
}

static void
no_commit_begins_during_a_hand_over(void **state)
{
	(void) state;
	assert_int_equal(fence_begin(true, true, 0, WAIT), FENCE_WAIT);
	assert_int_equal(fence_begin(true, true, WAIT - 1, WAIT), FENCE_WAIT);
	assert_int_equal(fence_begin(true, true, WAIT, WAIT), FENCE_REFUSE);
	assert_int_equal(fence_begin(false, true, 0, WAIT), FENCE_WAIT);
	assert_int_equal(fence_begin(false, true, WAIT, WAIT), FENCE_REFUSE);
}

/* ---- when it is done ---- */

static void
commit_that_enough_members_hold_is_answered(void **state)
{
	(void) state;
	assert_int_equal(fence_answer(true, true, false, 0, WAIT), FENCE_PASS);
	/* however long the fence was closed before */
	assert_int_equal(fence_answer(true, true, false, 10 * WAIT, WAIT), FENCE_PASS);
}

/* As in PostgreSQL, where a commit waits for its standbys without a limit. */
static void
open_fence_withholds_nothing(void **state)
{
	(void) state;
	assert_int_equal(fence_answer(false, true, false, 0, WAIT), FENCE_WAIT);
	assert_int_equal(fence_answer(false, true, false, 0, 0), FENCE_WAIT);
	assert_int_equal(fence_answer(false, true, false, 10 * WAIT, WAIT), FENCE_WAIT);
}

static void
answer_is_withheld_when_the_fence_stays_closed(void **state)
{
	(void) state;
	assert_int_equal(fence_answer(false, false, false, 0, WAIT), FENCE_WAIT);
	assert_int_equal(fence_answer(false, false, false, WAIT - 1, WAIT), FENCE_WAIT);
	assert_int_equal(fence_answer(false, false, false, WAIT, WAIT), FENCE_REFUSE);
	assert_int_equal(fence_answer(false, false, false, UINT64_MAX, WAIT), FENCE_REFUSE);
}

/* Its connection is shut down: there is nobody to wait for. */
static void
client_that_was_cut_off_is_not_answered(void **state)
{
	(void) state;
	assert_int_equal(fence_answer(true, true, true, 0, WAIT), FENCE_REFUSE);
	assert_int_equal(fence_answer(false, true, true, 0, WAIT), FENCE_REFUSE);
	assert_int_equal(fence_answer(false, false, true, 0, WAIT), FENCE_REFUSE);
}

/* ---- logins ---- */

/* A primary that leads and is closed, and somebody who may wait. */
static FenceLoginFacts
closed_primary(void)
{
	return (FenceLoginFacts){.compared = true, .leads = true, .wait = WAIT};
}

static void
login_to_an_open_primary(void **state)
{
	FenceLoginFacts f = closed_primary();

	(void) state;
	f.is_open = true;
	f.compared = false; /* that is asked of standbys */
	assert_int_equal(fence_login(&f), FENCE_LOGIN);
	f.is_exempt = true;
	assert_int_equal(fence_login(&f), FENCE_LOGIN);
}

static void
login_to_a_closed_primary_waits_and_is_refused(void **state)
{
	FenceLoginFacts f = closed_primary();

	(void) state;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_WAIT);
	f.waited = WAIT - 1;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_WAIT);
	f.waited = WAIT;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_REFUSE);
	f.wait = f.waited = 0;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_REFUSE);
}

/* It does not open before it leads again: clients look for another host. */
static void
login_to_a_primary_that_does_not_lead_is_refused_at_once(void **state)
{
	FenceLoginFacts f = closed_primary();

	(void) state;
	f.leads = false;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_REFUSE);
}

static void
login_to_a_standby_that_was_compared(void **state)
{
	FenceLoginFacts f = {.in_recovery = true, .compared = true, .wait = WAIT};

	(void) state;
	assert_int_equal(fence_login(&f), FENCE_LOGIN);
	f.is_exempt = true;
	assert_int_equal(fence_login(&f), FENCE_LOGIN);
}

static void
login_to_a_standby_that_was_not_compared_is_refused(void **state)
{
	FenceLoginFacts f = {.in_recovery = true, .wait = WAIT};

	(void) state;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_REFUSE);
	/* a fence is open only out of recovery: that says nothing of a standby */
	f.is_open = true;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_REFUSE);
	/* it leads, and will be promoted */
	f.is_open = false;
	f.leads = true;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_WAIT);
	f.waited = WAIT;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_REFUSE);
}

/* For those who have to repair it; they do not wait either. */
static void
exempt_roles_log_in_read_only(void **state)
{
	FenceLoginFacts f = closed_primary();

	(void) state;
	f.is_exempt = true;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_READ_ONLY);
	f.leads = false;
	f.waited = WAIT;
	assert_int_equal(fence_login(&f), FENCE_LOGIN_READ_ONLY);
	f = (FenceLoginFacts){.in_recovery = true, .is_exempt = true};
	assert_int_equal(fence_login(&f), FENCE_LOGIN_READ_ONLY);
}

/* ---- is a standby compared? ---- */

static void
standby_that_follows_is_compared(void **state)
{
	(void) state;
	assert_true(fence_compared(false, PRIMARY_FOLLOW));
	assert_true(fence_compared(true, PRIMARY_FOLLOW));
	/* nothing was ever claimed: it is the standby that it was before pg_leader */
	assert_true(fence_compared(false, PRIMARY_LEAVE));
}

static void
standby_to_be_rebuilt_is_not_compared(void **state)
{
	(void) state;
	assert_false(fence_compared(true, PRIMARY_REWIND));
	assert_false(fence_compared(true, PRIMARY_CLONE));
	assert_false(fence_compared(true, PRIMARY_REFUSE));
	assert_false(fence_compared(false, PRIMARY_REWIND));
}

static void
every_other_order_leaves_the_comparison_alone(void **state)
{
	static const PrimaryAction settles[] = {PRIMARY_FOLLOW, PRIMARY_LEAVE, PRIMARY_REWIND, PRIMARY_CLONE, PRIMARY_REFUSE};
	int						   others = 0;

	(void) state;
	for (int action = 0; action < PRIMARY_ACTIONS; action++)
	{
		bool is_settled = false;

		for (size_t i = 0; i < sizeof(settles) / sizeof(settles[0]); i++)
			is_settled |= settles[i] == (PrimaryAction) action;
		if (is_settled)
			continue;
		others++;
		assert_true(fence_compared(true, (PrimaryAction) action));
		assert_false(fence_compared(false, (PrimaryAction) action));
	}
	assert_int_equal(others, PRIMARY_ACTIONS - 5);
}

/* ---- why it is closed ---- */

/* Node 1 leads in term 7, and was opened in it. */
static FenceState
open_leader(void)
{
	return (FenceState){.takes_part = true,
						.has_role_worker = true,
						.self = 1,
						.leader_id = 1,
						.open_term = 7,
						.term = 7,
						.lease_until = 2000,
						.now = 1999};
}

static void
open_has_a_lease_of_the_term_in_which_it_opened(void **state)
{
	FenceState s = open_leader();

	(void) state;
	assert_int_equal(fence_reason(&s), FENCE_OPEN);
	s.now = 2000;
	assert_int_equal(fence_reason(&s), FENCE_NO_LEASE);
	s.now = 1999;
	s.open_term = 6;
	assert_int_equal(fence_reason(&s), FENCE_NOT_OPENED);
	s.open_term = 0;
	assert_int_equal(fence_reason(&s), FENCE_NOT_OPENED);
	s.term = 0;
	assert_int_equal(fence_reason(&s), FENCE_NOT_OPENED);
}

/* Commits that wait are answered, so quorum_is_open() says that it is open. */
static void
hand_over_is_a_reason_only_while_it_is_open(void **state)
{
	FenceState s = open_leader();

	(void) state;
	s.drains = true;
	assert_int_equal(fence_reason(&s), FENCE_DRAINS);
	s.now = 2000;
	assert_int_equal(fence_reason(&s), FENCE_NO_LEASE);
}

static void
reason_is_who_leads_instead(void **state)
{
	FenceState s = open_leader();

	(void) state;
	s.lease_until = 0;
	s.leader_id = 2;
	assert_int_equal(fence_reason(&s), FENCE_OTHER_LEADS);
	s.in_recovery = true;
	assert_int_equal(fence_reason(&s), FENCE_STANDBY);
	s.leader_id = 0;
	assert_int_equal(fence_reason(&s), FENCE_STANDBY);
	s.leader_id = RAFT_NONE;
	assert_int_equal(fence_reason(&s), FENCE_NO_LEADER);
	s.in_recovery = false;
	assert_int_equal(fence_reason(&s), FENCE_NO_LEADER);
}

static void
reason_is_the_worker_that_is_missing(void **state)
{
	FenceState s = open_leader();

	(void) state;
	/* the fence stays open while the role worker starts anew, as long as the lease holds */
	s.has_role_worker = false;
	assert_int_equal(fence_reason(&s), FENCE_OPEN);
	s.lease_until = 0;
	assert_int_equal(fence_reason(&s), FENCE_NO_ROLE);
	s.leader_id = 2;
	assert_int_equal(fence_reason(&s), FENCE_NO_ROLE);
	s.takes_part = false;
	assert_int_equal(fence_reason(&s), FENCE_NO_MEMBER);
	s = open_leader();
	s.takes_part = false;
	assert_int_equal(fence_reason(&s), FENCE_NO_MEMBER);
}

/* Settings or data that keep it out say more than who leads meanwhile. */
static void
reason_is_the_refusal(void **state)
{
	FenceState s = open_leader();

	(void) state;
	s.refuses = true;
	assert_int_equal(fence_reason(&s), FENCE_OPEN);
	s.lease_until = 0;
	s.leader_id = 2;
	assert_int_equal(fence_reason(&s), FENCE_REFUSED);
	s.in_recovery = true;
	s.leader_id = RAFT_NONE;
	assert_int_equal(fence_reason(&s), FENCE_REFUSED);
	s.has_role_worker = false;
	assert_int_equal(fence_reason(&s), FENCE_NO_ROLE);
}

/* What the view shows and what backends ask are two functions. */
static void
reason_agrees_with_what_is_answered(void **state)
{
	(void) state;
	for (int bits = 0; bits < 1 << 6; bits++)
	{
		FenceState s = open_leader();
		QuorumView view = {.members = 0x2, .self = 1};
		bool	   is_open;

		s.open_term = bits & 1 ? 7 : bits & 2 ? 6 :
												0;
		s.lease_until = bits & 4 ? 2000 : 1999;
		s.drains = bits & 8;
		s.leader_id = bits & 16 ? 1 : RAFT_NONE;
		s.in_recovery = bits & 32;
		view.open_term = s.open_term;
		view.term = s.term;
		view.lease_until = s.lease_until;
		view.now = s.now;
		is_open = fence_reason(&s) == FENCE_OPEN || fence_reason(&s) == FENCE_DRAINS;
		assert_int_equal(quorum_is_open(&view), is_open);
		assert_int_equal(fence_begin(quorum_is_open(&view), s.drains, 0, 0) == FENCE_PASS, fence_reason(&s) == FENCE_OPEN);
	}
}

static void
every_reason_has_a_name_of_its_own(void **state)
{
	(void) state;
	assert_string_equal(fence_reason_name(FENCE_OPEN), "open");
	assert_string_equal(fence_reason_name(FENCE_NO_MEMBER), "no_member");
	assert_string_equal(fence_reason_name(FENCE_NO_ROLE), "no_role_worker");
	assert_string_equal(fence_reason_name(FENCE_REFUSED), "refused");
	assert_string_equal(fence_reason_name(FENCE_STANDBY), "standby");
	assert_string_equal(fence_reason_name(FENCE_OTHER_LEADS), "other_leads");
	assert_string_equal(fence_reason_name(FENCE_NO_LEADER), "no_leader");
	assert_string_equal(fence_reason_name(FENCE_NO_LEASE), "no_lease");
	assert_string_equal(fence_reason_name(FENCE_DRAINS), "drains");
	assert_string_equal(fence_reason_name(FENCE_NOT_OPENED), "not_opened");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commit_begins_behind_an_open_fence),
		cmocka_unit_test(commit_waits_for_a_closed_fence_and_is_refused),
		cmocka_unit_test(without_a_wait_it_is_refused_at_once),
		cmocka_unit_test(no_commit_begins_during_a_hand_over),
		cmocka_unit_test(commit_that_enough_members_hold_is_answered),
		cmocka_unit_test(open_fence_withholds_nothing),
		cmocka_unit_test(answer_is_withheld_when_the_fence_stays_closed),
		cmocka_unit_test(client_that_was_cut_off_is_not_answered),
		cmocka_unit_test(login_to_an_open_primary),
		cmocka_unit_test(login_to_a_closed_primary_waits_and_is_refused),
		cmocka_unit_test(login_to_a_primary_that_does_not_lead_is_refused_at_once),
		cmocka_unit_test(login_to_a_standby_that_was_compared),
		cmocka_unit_test(login_to_a_standby_that_was_not_compared_is_refused),
		cmocka_unit_test(exempt_roles_log_in_read_only),
		cmocka_unit_test(standby_that_follows_is_compared),
		cmocka_unit_test(standby_to_be_rebuilt_is_not_compared),
		cmocka_unit_test(every_other_order_leaves_the_comparison_alone),
		cmocka_unit_test(open_has_a_lease_of_the_term_in_which_it_opened),
		cmocka_unit_test(hand_over_is_a_reason_only_while_it_is_open),
		cmocka_unit_test(reason_is_who_leads_instead),
		cmocka_unit_test(reason_is_the_worker_that_is_missing),
		cmocka_unit_test(reason_is_the_refusal),
		cmocka_unit_test(reason_agrees_with_what_is_answered),
		cmocka_unit_test(every_reason_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
