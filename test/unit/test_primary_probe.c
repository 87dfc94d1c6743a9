/*
 * test/unit/test_primary_probe.c
 *	  HTTP probes: what is a request, and who gets 200.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../primary/probe.h"

#define NOW UINT64_C(1000000000)

/* An open primary, and a standby that streams and is 500 bytes behind. */
static const ProbeFacts open_primary = {
	.now = NOW,
	.managed = true,
	.process = PROBE_RUNS,
	.election = {.lease_until = NOW + 1, .lease_term = 7, .term = 7, .leader_id = 0},
	.server = {.open_term = 7, .end = 5000, .server = RAFT_SERVER_PRIMARY, .is_ready = true}};
static const ProbeFacts standby = {
	.now = NOW,
	.managed = true,
	.process = PROBE_RUNS,
	.election = {.term = 7, .leader_id = 0},
	.server = {.end = 4900, .replay = 4500, .leader_end = 5000, .leader_end_at = NOW - 10, .server = RAFT_SERVER_RECOVERY, .is_ready = true, .streams = true}};

/* What such a request gets. */
static int
ask_as(const char *method, const char *target, const ProbeFacts *facts)
{
	char		 text[512];
	ProbeRequest request;

	(void) snprintf(text, sizeof(text), "%s %s HTTP/1.0\r\nHost: here\r\n\r\n", method, target);
	assert_int_equal(probe_read(text, strlen(text), &request), PROBE_WHOLE);
	return probe_status(&request, facts);
}

static int
ask(const char *target, const ProbeFacts *facts)
{
	return ask_as("GET", target, facts);
}

/* ---- who is the primary ---- */

static const char *const primary_paths[] = {"/", "/primary", "/master", "/read-write", "/leader", "/primary/", "/?tag_zone=a", "/read-only", "/read-only-sync",
											"/read-only-quorum", "/readiness", "/read-only?lag=1"};

static void
is_asked_in_vain(const ProbeFacts *facts)
{
	for (size_t i = 0; i < sizeof(primary_paths) / sizeof(primary_paths[0]); i++)
		assert_int_equal(ask(primary_paths[i], facts), 503);
}

static void
an_open_primary_is_the_primary(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(primary_paths) / sizeof(primary_paths[0]); i++)
		assert_int_equal(ask(primary_paths[i], &open_primary), 200);
	assert_int_equal(ask_as("HEAD", "/primary", &open_primary), 200);
	assert_int_equal(ask_as("OPTIONS", "/", &open_primary), 200);
	assert_int_equal(ask("/replica", &open_primary), 503);
	assert_int_equal(ask("/sync", &open_primary), 503);
	assert_int_equal(ask("/async", &open_primary), 503);
	assert_int_equal(ask("/standby-leader", &open_primary), 503);
	assert_int_equal(ask("/health", &open_primary), 200);
	assert_string_equal(probe_state(&open_primary), "running");
}

static void
without_a_lease_nobody_is_the_primary(void **state)
{
	ProbeFacts facts = open_primary;

	(void) state;
	facts.election.lease_until = 0;
	is_asked_in_vain(&facts);
	facts.election.lease_until = NOW;
	is_asked_in_vain(&facts);
	facts.election.lease_until = NOW - 1;
	is_asked_in_vain(&facts);
	assert_int_equal(ask("/health", &facts), 200);
}

static void
a_lease_alone_is_not_enough(void **state)
{
	ProbeFacts facts = open_primary;

	(void) state;
	facts.server.open_term = 0;
	is_asked_in_vain(&facts);
	facts.server.open_term = 6; /* that of a former leadership */
	is_asked_in_vain(&facts);
	facts = open_primary;
	facts.election.lease_term = 0;
	facts.server.open_term = 0;
	is_asked_in_vain(&facts);
}

static void
a_server_that_does_not_run_is_nothing(void **state)
{
	static const ProbeServer processes[] = {PROBE_STOPPED, PROBE_REBUILDS, PROBE_STOPS};
	static const char *const states[] = {"stopped", "creating replica", "stopping"};

	(void) state;
	for (size_t i = 0; i < sizeof(processes) / sizeof(processes[0]); i++)
	{
		ProbeFacts facts = open_primary;

		facts.process = processes[i];
		is_asked_in_vain(&facts);
		assert_int_equal(ask("/health", &facts), 503);
		facts = standby;
		facts.process = processes[i];
		is_asked_in_vain(&facts);
		assert_int_equal(ask("/replica", &facts), 503);
		assert_int_equal(ask("/health", &facts), 503);
		assert_int_equal(ask("/liveness", &facts), 200);
		assert_int_equal(ask("/patroni", &facts), 200);
		assert_int_equal(ask("/cluster", &facts), 200);
		assert_int_equal(ask("/metrics", &facts), 200);
		assert_string_equal(probe_state(&facts), states[i]);
	}
}

/* Nobody knows whether its server is the primary. */
static void
where_pg_leader_only_elects_there_is_a_leader(void **state)
{
	ProbeFacts facts = {.now = NOW, .process = PROBE_RUNS, .election = {.lease_until = NOW + 1, .lease_term = 7, .term = 7}};

	(void) state;
	assert_int_equal(ask("/leader", &facts), 200);
	assert_int_equal(ask("/health", &facts), 200);
	assert_int_equal(ask("/primary", &facts), 503);
	assert_int_equal(ask("/read-only", &facts), 503);
	facts.election.lease_until = NOW;
	assert_int_equal(ask("/leader", &facts), 503);
	facts.election.lease_until = NOW + 1;
	facts.process = PROBE_STOPPED;
	assert_int_equal(ask("/leader", &facts), 503);
}

/* ---- who is a replica ---- */

static void
a_standby_that_streams_is_a_replica(void **state)
{
	static const char *const paths[] = {"/replica", "/read-only", "/sync", "/synchronous", "/quorum", "/read-only-sync", "/health", "/readiness",
										"/replica?replication_state=streaming", "/replica?lag=500", "/replica?lag=1kB&replication_state=streaming"};

	(void) state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(ask(paths[i], &standby), 200);
	assert_int_equal(ask("/primary", &standby), 503);
	assert_int_equal(ask("/leader", &standby), 503);
	assert_int_equal(ask("/async", &standby), 503);
	assert_int_equal(ask("/replica?replication_state=in%20archive%20recovery", &standby), 503);
	assert_int_equal(ask("/replica?tag_zone=a", &standby), 503);
	assert_int_equal(ask("/read-only?tag_zone=a", &standby), 503);
}

static void
one_that_does_not_stream_is_asynchronous(void **state)
{
	ProbeFacts facts = standby;

	(void) state;
	facts.server.streams = false;
	assert_int_equal(ask("/replica", &facts), 200);
	assert_int_equal(ask("/async", &facts), 200);
	assert_int_equal(ask("/replica?replication_state=streaming", &facts), 503);
	assert_int_equal(ask("/sync", &facts), 503);
	assert_int_equal(ask("/readiness", &facts), 503);
}

static void
one_that_lets_nobody_in_is_no_replica(void **state)
{
	ProbeFacts facts = standby;

	(void) state;
	facts.server.is_ready = false;
	assert_int_equal(ask("/replica", &facts), 503);
	assert_int_equal(ask("/read-only", &facts), 503);
	assert_int_equal(ask("/health", &facts), 503);
	assert_string_equal(probe_state(&facts), "starting");
}

static void
how_far_behind_is_too_far(void **state)
{
	ProbeFacts facts = standby;

	(void) state;
	assert_int_equal(ask("/replica?lag=499", &facts), 503);
	assert_int_equal(ask("/replica?lag=100&mode=write", &facts), 200);
	assert_int_equal(ask("/replica?lag=99&mode=write", &facts), 503);
	assert_int_equal(ask("/async?lag=1", &facts), 503);
	facts.server.leader_end = 4500 + 1048576;
	assert_int_equal(ask("/readiness", &facts), 200);
	facts.server.leader_end++;
	assert_int_equal(ask("/readiness", &facts), 503);
	assert_int_equal(ask("/readiness?lag=2MB", &facts), 200);

	/* what is not known is too far */
	facts = standby;
	facts.server.leader_end_at = NOW - 10000000;
	assert_int_equal(ask("/replica?lag=1GB", &facts), 503);
	assert_int_equal(ask("/replica", &facts), 200);
	facts.server.leader_end_at = 0;
	assert_int_equal(ask("/replica?lag=1GB", &facts), 503);

	/* and one that has more than it was told of is not behind */
	facts = standby;
	facts.server.leader_end = 1;
	assert_int_equal(ask("/replica?lag=0", &facts), 200);
}

/* ---- requests ---- */

static void
what_cannot_be_read_is_said(void **state)
{
	static const char *const wrong[] = {"lag=", "lag=x", "lag=-1", "lag=1.5MB", "lag=1XB", "lag=1M", "lag=10MBx", "lag=1bB", "lag=18446744073709551616", "lag=99999999999TB", "mode=both", "mode="};
	char					 target[128];

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		(void) snprintf(target, sizeof(target), "/replica?%s", wrong[i]);
		assert_int_equal(ask(target, &standby), 400);
	}
	assert_int_equal(ask("/replica?lag=500b&&=&x", &standby), 200);
	assert_int_equal(ask("/replica?lag=1TB", &standby), 200);
	assert_int_equal(ask("/config", &open_primary), 404);
	assert_int_equal(ask("/primaryx", &open_primary), 404);
	assert_int_equal(ask("//", &open_primary), 200);
}

static void
nothing_is_changed(void **state)
{
	(void) state;
	assert_int_equal(ask_as("POST", "/switchover", &open_primary), 501);
	assert_int_equal(ask_as("DELETE", "/restart", &open_primary), 501);
	assert_int_equal(ask_as("POST", "/primary", &open_primary), 405);
	assert_int_equal(ask_as("get", "/primary", &open_primary), 405);
	assert_int_equal(ask("/switchover", &open_primary), 405);
}

static ProbeRead
read_of(const char *text)
{
	ProbeRequest request;

	return probe_read(text, strlen(text), &request);
}

static void
a_request_ends_with_an_empty_line(void **state)
{
	static const char text[] = "OPTIONS / HTTP/1.0\r\n\r\nGET /more HTTP/1.1\r\n";
	ProbeRequest	  request;

	(void) state;
	for (size_t length = 0; length < 22; length++)
		assert_int_equal(probe_read(text, length, &request), PROBE_MORE);
	for (size_t length = 22; length < sizeof(text); length++)
	{
		assert_int_equal(probe_read(text, length, &request), PROBE_WHOLE);
		assert_true(request.method == PROBE_OPTIONS && request.path == PROBE_PRIMARY);
	}
	assert_int_equal(read_of("GET / HTTP/1.1\nHost: x\n\n"), PROBE_WHOLE);
	assert_int_equal(read_of("GET / HTTP/1.1\r\nHost: \x80\r\n\r\n"), PROBE_WHOLE);
}

static void
what_is_no_request_is_refused_at_once(void **state)
{
	static const char *const bad[] = {"\r\n\r\n", "\n", "GET /\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.10\r\n\r\n",
									  "GET / HTTP/1.1 x\r\n\r\n", " GET / HTTP/1.1\r\n\r\n", "GET http://here/ HTTP/1.1\r\n\r\n", "GET ?x HTTP/1.1\r\n\r\n",
									  "\x16\x03\x01", "GET /\x01", "GET /\r /", "GET / HTTP/1.1\r\r\n\r\n"};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read_of(bad[i]), PROBE_BAD);
	assert_int_equal(probe_read("GET /\0 HTTP/1.1\r\n\r\n", 20, &(ProbeRequest){0}), PROBE_BAD);
}

/* ---- the others ---- */

static void
a_leader_knows_how_far_the_others_are(void **state)
{
	static Raft raft;
	BoardMember members[RAFT_MAX_NODES];

	(void) state;
	raft.config.node_id = 1;
	raft.config.members = 0x7;
	raft.role = RAFT_LEADER;
	raft.leader_id = 1;
	raft.peers[0] = (RaftPeer){.heard_at = 5, .acked_at = 4, .position = {3, 4000}, .told = {.port = 5432, .server = RAFT_SERVER_RECOVERY}};
	raft.peers[2] = (RaftPeer){.heard_at = 6, .told = {.open = true}};
	raft.peers[3] = (RaftPeer){.heard_at = 7};
	probe_members(&raft, members);
	assert_true(members[0].heard_at == 5 && members[0].end == 4000 && members[0].timeline == 3 && members[0].port == 5432 &&
				members[0].server == RAFT_SERVER_RECOVERY);
	assert_true(members[2].heard_at == 6 && members[2].end == 0 && !members[2].is_open);
	assert_memory_equal(&members[1], &(BoardMember){0}, sizeof(BoardMember));
	assert_memory_equal(&members[3], &(BoardMember){0}, sizeof(BoardMember));
	raft.role = RAFT_FOLLOWER;
	raft.leader_id = 2;
	probe_members(&raft, members);
	assert_true(members[0].end == 0 && members[2].is_open);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_primary_is_the_primary),
		cmocka_unit_test(without_a_lease_nobody_is_the_primary),
		cmocka_unit_test(a_lease_alone_is_not_enough),
		cmocka_unit_test(a_server_that_does_not_run_is_nothing),
		cmocka_unit_test(where_pg_leader_only_elects_there_is_a_leader),
		cmocka_unit_test(a_standby_that_streams_is_a_replica),
		cmocka_unit_test(one_that_does_not_stream_is_asynchronous),
		cmocka_unit_test(one_that_lets_nobody_in_is_no_replica),
		cmocka_unit_test(how_far_behind_is_too_far),
		cmocka_unit_test(what_cannot_be_read_is_said),
		cmocka_unit_test(nothing_is_changed),
		cmocka_unit_test(a_request_ends_with_an_empty_line),
		cmocka_unit_test(what_is_no_request_is_refused_at_once),
		cmocka_unit_test(a_leader_knows_how_far_the_others_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
