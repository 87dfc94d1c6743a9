/*
 * test/unit/test_board.c
 *	  What a server shows its supervisor: a lease is seen whole, and not longer than it holds.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "board.h"
#include "raft.h"

#define FAR (clock_now() + UINT64_C(1000000000))

/* Both sides of a board. */
static void
both(Board **supervisor, Board **server)
{
	int fd;

	*supervisor = board_create(&fd);
	assert_non_null(*supervisor);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	*server = board_take(fd);
	assert_non_null(*server);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void
what_one_shows_the_other_sees(void **state)
{
	Board	  *ours;
	Board	  *theirs;
	uint64_t   until = FAR;
	BoardShown shown;
	uint64_t   now;

	(void) state;
	both(&ours, &theirs);
	board_read(ours, &shown, NULL, &now);
	assert_int_equal(shown.lease_until, 0);
	assert_int_equal(shown.leader_id, RAFT_NONE);
	board_show(theirs, &(BoardShown){.lease_until = until, .lease_term = 5, .term = 6, .leader_id = 2, .paused = 1});
	board_read(ours, &shown, NULL, &now);
	assert_true(shown.lease_until == until && shown.lease_term == 5 && shown.term == 6 && shown.leader_id == 2 && shown.paused == 1);
	board_end_lease(theirs);
	board_read(ours, &shown, NULL, &now);
	assert_true(shown.lease_until == 0 && shown.term == 6 && shown.leader_id == 2 && shown.paused == 1);
	board_remove(theirs);
	board_remove(ours);
}

static void
a_lease_that_has_run_out_is_none(void **state)
{
	Board	  *ours;
	Board	  *theirs;
	BoardShown shown;
	uint64_t   now;

	(void) state;
	both(&ours, &theirs);
	board_show(theirs, &(BoardShown){.lease_until = clock_now(), .lease_term = 5, .term = 5, .leader_id = 1});
	board_read(ours, &shown, NULL, &now);
	assert_int_equal(shown.lease_until, 0);
	assert_int_equal(shown.leader_id, 1);
	board_remove(theirs);
	board_remove(ours);
}

static void
what_is_no_board_is_not_taken(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void) state;
	assert_true(fd >= 0);
	assert_null(board_take(fd));
	assert_int_equal(errno, EPROTO);
	assert_null(board_take(-1));
	board_show(NULL, &(BoardShown){0});
	board_end_lease(NULL);
	board_remove(NULL);
}

static void
the_server_is_shown_beside_the_lease(void **state)
{
	Board	   *ours;
	Board	   *theirs;
	BoardShown	shown;
	BoardServer server;
	uint64_t	now;

	(void) state;
	both(&ours, &theirs);
	board_read(ours, &shown, &server, &now);
	assert_memory_equal(&server, &(BoardServer){0}, sizeof(server));
	board_show(theirs, &(BoardShown){.lease_until = FAR, .lease_term = 5, .term = 5, .leader_id = 1});
	board_show_server(theirs, &(BoardServer){.open_term = 5, .end = 7, .order = "OPEN", .members[63].port = 9});
	board_read(ours, &shown, &server, &now);
	assert_true(shown.lease_term == 5 && server.open_term == 5 && server.end == 7 && server.members[63].port == 9);
	assert_string_equal(server.order, "OPEN");
	board_close(theirs);
	board_read(ours, &shown, &server, &now);
	assert_true(shown.lease_until != 0 && server.open_term == 0 && server.end == 7 && server.members[63].port == 9);
	board_close(theirs);
	board_show_server(NULL, &server);
	board_close(NULL);
	board_remove(theirs);
	board_remove(ours);
}

/* ---- one writes, and one reads ---- */

#define TURNS UINT64_C(200000)

static bool stops;

static void *
write_pairs(void *board)
{
	uint64_t far = FAR;

	for (uint64_t i = 1; !__atomic_load_n(&stops, __ATOMIC_RELAXED); i++)
	{
		uint64_t pause = clock_now() + 2;

		board_show(board, &(BoardShown){.lease_until = far + i, .lease_term = far + i, .term = far + i, .leader_id = (int64_t) (far + i)});
		if (i % 2 == 0)
			board_show_server(board, &(BoardServer){.open_term = i, .system_id = i, .members[0].end = i, .members[63].end = i});
		while (clock_now() < pause)
			continue;
	}
	return NULL;
}

static void
no_pair_is_torn(void **state)
{
	Board	   *ours;
	Board	   *theirs;
	pthread_t	writer;
	BoardShown	shown;
	BoardServer server;
	uint64_t	now;
	uint64_t	last = 0;

	(void) state;
	both(&ours, &theirs);
	assert_int_equal(pthread_create(&writer, NULL, write_pairs, theirs), 0);
	for (uint64_t i = 0; i < TURNS; i++)
	{
		board_read(ours, &shown, &server, &now);
		assert_true(server.open_term == server.system_id && server.members[0].end == server.open_term &&
					server.members[63].end == server.open_term);
		if (shown.lease_until == 0)
			continue;
		assert_true(shown.lease_until == shown.lease_term && shown.term == shown.lease_term &&
					(uint64_t) shown.leader_id == shown.lease_term && shown.lease_term >= last);
		last = shown.lease_term;
	}
	__atomic_store_n(&stops, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_true(last > 0);
	board_remove(theirs);
	board_remove(ours);
}

static void
where_it_listens_and_whether_it_answers(void **state)
{
	Board				   *ours;
	Board				   *theirs;
	struct sockaddr_storage shown;
	struct sockaddr_storage seen;
	socklen_t				size;

	(void) state;
	both(&ours, &theirs);
	assert_false(board_address(ours, &seen, &size));
	assert_int_equal(board_silence(theirs), 0);
	memset(&shown, 7, sizeof(shown));
	board_show_address(theirs, &shown, 20);
	assert_true(board_address(ours, &seen, &size));
	assert_int_equal(size, 20);
	assert_memory_equal(&seen, &shown, sizeof(seen));
	board_show_silence(ours, 5000000);
	assert_int_equal(board_silence(theirs), 5000000);
	board_show_address(NULL, &shown, 20);
	assert_int_equal(board_silence(NULL), 0);
	board_remove(theirs);
	board_remove(ours);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_one_shows_the_other_sees),
		cmocka_unit_test(a_lease_that_has_run_out_is_none),
		cmocka_unit_test(the_server_is_shown_beside_the_lease),
		cmocka_unit_test(what_is_no_board_is_not_taken),
		cmocka_unit_test(no_pair_is_torn),
		cmocka_unit_test(where_it_listens_and_whether_it_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
