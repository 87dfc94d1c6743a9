/*
 * test/unit/test_sockets.c
 *	  Where datagrams come in: each peer has a queue of its own, a flood of one is
 *	  the others' business in nothing, and what is lost is counted.
 *
 * The clock is made up; the sockets are real ones on loopback.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../node/sockets.h"

static Sockets	sockets;
static int		listener;
static uint16_t own_port;
static int		peers[2]; /* sockets of nodes 0 and 1 */
static int		nobody;	  /* of no member's */
static uint64_t now;

/* ---- system calls of the sockets that tests look into, or let fail ---- */

static void (*while_shared)(void); /* called when a peer's socket is about to be connected */
static int adding_fails;		   /* errno of what epoll is to watch from now on */

int
connect(int fd, const struct sockaddr *address, socklen_t length)
{
	if (while_shared != NULL)
		while_shared();
	return (int) syscall(SYS_connect, fd, address, length);
}

int
epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event)
{
	if (what == EPOLL_CTL_ADD && adding_fails != 0)
	{
		errno = adding_fails;
		return -1;
	}
	return (int) syscall(SYS_epoll_ctl, epoll_fd, what, fd, event);
}

/* ---- what the tests share ---- */

static struct sockaddr_storage
address_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t				length = sizeof(address);

	memset(&address, 0, sizeof(address));
	assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &length), 0);
	return address;
}

static int
free_socket_at(uint32_t host)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
	int				   fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	return fd;
}

static int
free_socket(void)
{
	return free_socket_at(INADDR_LOOPBACK);
}

static bool
connect_peer(int32_t id, int fd)
{
	struct sockaddr_storage address = address_of(fd);

	return sockets_connect(&sockets, id, &address, sizeof(struct sockaddr_in));
}

static int
set_up_at(uint32_t host)
{
	struct sockaddr_storage own;

	now = 1000000;
	listener = free_socket_at(host);
	nobody = free_socket();
	own = address_of(listener);
	own_port = ((struct sockaddr_in *) &own)->sin_port;
	assert_true(sockets_open(&sockets, listener));
	for (int i = 0; i < 2; i++)
	{
		peers[i] = free_socket();
		assert_true(connect_peer(i, peers[i]));
	}
	return 0;
}

static int
set_up(void **state)
{
	(void) state;
	return set_up_at(INADDR_LOOPBACK);
}

static int
set_up_everywhere(void **state)
{
	(void) state;
	return set_up_at(INADDR_ANY);
}

static int
tear_down(void **state)
{
	(void) state;
	while_shared = NULL;
	adding_fails = 0;
	assert_int_equal(seteuid(getuid()), 0);
	sockets_close(&sockets);
	sockets_close(&sockets);
	close(listener);
	close(nobody);
	close(peers[0]);
	close(peers[1]);
	return 0;
}

static void
send_to(uint32_t host, int fd, int n)
{
	static const uint8_t bytes[MESSAGE_SIZE] = {7};
	struct sockaddr_in	 to = {
		  .sin_family = AF_INET, .sin_addr.s_addr = htonl(host), .sin_port = own_port};

	for (int i = 0; i < n; i++)
		assert_int_equal(sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *) &to, sizeof(to)),
						 sizeof(bytes));
}

static void
send_from(int fd, int n)
{
	send_to(INADDR_LOOPBACK, fd, n);
}

static bool
is_from(const Datagram *datagram, int fd)
{
	struct sockaddr_storage address = address_of(fd);

	return ((const struct sockaddr_in *) datagram->source)->sin_port ==
		   ((struct sockaddr_in *) &address)->sin_port;
}

static bool
is_readable(void)
{
	struct pollfd wait = {.fd = sockets.epoll_fd, .events = POLLIN};

	return poll(&wait, 1, 0) > 0;
}

/* Everything that may be read now; how many of them came from "fd". */
static int
read_all(int fd, int *total)
{
	Datagram datagram;
	int		 from = 0;

	*total = 0;
	while (sockets_next(&sockets, now, &datagram))
	{
		assert_int_equal(datagram.length, MESSAGE_SIZE);
		assert_int_equal(datagram.bytes[0], 7);
		from += is_from(&datagram, fd);
		(*total)++;
	}
	return from;
}

/* Go on until nothing is left in any queue, and all are watched again. */
static int
drain(void)
{
	int total = 0;

	for (int i = 0; i < 10000; i++)
	{
		int n;

		(void) read_all(nobody, &n);
		total += n;
		if (n == 0 && sockets_deadline(&sockets) == UINT64_MAX && !is_readable())
			return total;
		now += 1000;
	}
	fail_msg("it never ends");
	return 0;
}

static void
everybody_is_heard(void **state)
{
	int total;

	(void) state;
	assert_false(is_readable());
	send_from(peers[0], 1);
	send_from(peers[1], 2);
	send_from(nobody, 3);
	assert_true(is_readable());
	assert_int_equal(read_all(nobody, &total), 3);
	assert_int_equal(total, 6);
	assert_false(is_readable());
	assert_true(sockets_deadline(&sockets) == UINT64_MAX);
	assert_int_equal(sockets.errors, 0);
}

/* A peer's queue has what comes from its address, and nothing else. */
static void
peers_have_queues_of_their_own(void **state)
{
	uint8_t bytes[MESSAGE_SIZE];

	(void) state;
	send_from(peers[0], 1);
	send_from(nobody, 1);
	assert_int_equal(recv(sockets.queues[1].fd, bytes, sizeof(bytes), 0), -1);
	assert_int_equal(recv(sockets.queues[0].fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(recv(sockets.queues[0].fd, bytes, sizeof(bytes), 0), -1);
	assert_int_equal(recv(sockets.queues[SOCKETS_LISTENER].fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(recv(sockets.queues[SOCKETS_LISTENER].fd, bytes, sizeof(bytes), 0), -1);
}

/* A socket with these options is refused our port. */
static void
cannot_be_bound(bool reuse_address, bool reuse_port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = own_port};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int address_on = reuse_address;
	int port_on = reuse_port;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &address_on, sizeof(address_on)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &port_on, sizeof(port_on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(fd);
}

/* Two processes on one port would each get some of the datagrams. */
static void
nobody_else_gets_the_port(void **state)
{
	(void) state;
	cannot_be_bound(false, false);
	cannot_be_bound(true, false);
	cannot_be_bound(false, true);
	cannot_be_bound(true, true);
}

#define NOBODY 65534

static int tried_while_shared;

/*
 * Only who has our user id may bind while we do.  Another one is to be had by root
 * alone; SO_REUSEADDR, by which it could be anyone, is refused to all.
 */
static void
strangers_try_to_bind(void)
{
	tried_while_shared++;
	cannot_be_bound(false, false);
	cannot_be_bound(true, false);
	if (geteuid() != 0)
		return;
	assert_int_equal(seteuid(NOBODY), 0);
	cannot_be_bound(false, true);
	cannot_be_bound(true, true);
	assert_int_equal(seteuid(0), 0);
}

static void
no_other_user_gets_the_port_meanwhile(void **state)
{
	int moved = free_socket();

	(void) state;
	if (geteuid() != 0)
		print_message("# not as another user: that takes root\n");
	tried_while_shared = 0;
	while_shared = strangers_try_to_bind;
	assert_true(connect_peer(2, nobody));
	assert_true(connect_peer(0, moved));
	assert_int_equal(tried_while_shared, 2);
	close(moved);
}

/*
 * A listener on 0.0.0.0: a peer's queue takes what comes to the address that the
 * way to the peer begins at, and what comes to another is heard by the listener.
 */
static void
a_peer_is_heard_at_every_address(void **state)
{
	uint8_t bytes[MESSAGE_SIZE];
	int		total;

	send_from(nobody, 1);
	send_from(peers[0], 1);
	assert_int_equal(recv(sockets.queues[0].fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(recv(sockets.queues[0].fd, bytes, sizeof(bytes), 0), -1);
	assert_int_equal(read_all(nobody, &total), 1);
	assert_int_equal(total, 1);
	send_to(INADDR_LOOPBACK + 1, peers[0], 1);
	assert_int_equal(recv(sockets.queues[0].fd, bytes, sizeof(bytes), 0), -1);
	assert_int_equal(read_all(peers[0], &total), 1);
	nobody_else_gets_the_port(state);
	no_other_user_gets_the_port_meanwhile(state);
}

#define CROWD 40

static int crowd[CROWD];

static void
the_crowd_speaks(void)
{
	for (int i = 0; i < CROWD; i++)
		send_from(crowd[i], 1);
}

/*
 * However many are connected, in whatever order, anew or for the first time: each
 * has its own queue, and what comes in while one more is connected is read, too.
 */
static void
each_of_many_has_its_queue(void **state)
{
	uint8_t bytes[MESSAGE_SIZE];
	int		total;

	(void) state;
	for (int i = 0; i < CROWD; i++)
		crowd[i] = free_socket();
	for (int round = 0; round < 2; round++)
	{
		/* from the last to the first, then the other way, each to where another was */
		while_shared = the_crowd_speaks;
		for (int i = 0; i < CROWD; i++)
		{
			int k = round == 0 ? CROWD - 1 - i : i;

			assert_true(connect_peer(2 + k, crowd[(k + round) % CROWD]));
			(void) read_all(nobody, &total);
			now += SOCKETS_WINDOW;
			assert_int_equal(total + drain(), CROWD);
		}
		while_shared = NULL;
		the_crowd_speaks();
		send_from(nobody, 1);
		for (int i = 0; i < CROWD; i++)
		{
			assert_int_equal(recv(sockets.queues[2 + i].fd, bytes, sizeof(bytes), 0), sizeof(bytes));
			assert_int_equal(recv(sockets.queues[2 + i].fd, bytes, sizeof(bytes), 0), -1);
		}
		assert_int_equal(drain(), 1);
	}
	for (int i = 0; i < CROWD; i++)
		close(crowd[i]);
}

/* While strangers fill their queue, or another peer its own, a member is heard. */
static void
a_flood_holds_up_nobody_else(void **state)
{
	Datagram datagram;
	int		 flooders[] = {nobody, peers[0], peers[1]};
	int		 members[] = {peers[0], peers[1], peers[0]};

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		int before = 0;

		send_from(flooders[i], 20000);
		send_from(members[i], 1);
		while (sockets_next(&sockets, now, &datagram) && !is_from(&datagram, members[i]))
			before++;
		assert_true(is_from(&datagram, members[i]));
		assert_true(before <= SOCKETS_BATCH);
		(void) drain();
	}
}

static void
one_look_at_a_flood_is_bounded(void **state)
{
	int total;
	int n;

	(void) state;
	send_from(nobody, 1000);
	(void) read_all(nobody, &total);
	assert_int_equal(total, SOCKETS_OTHERS_BUDGET);
	send_from(peers[0], 1000);
	n = read_all(peers[0], &total);
	assert_int_equal(n, SOCKETS_MEMBER_BUDGET);

	/* those who are flooded share */
	send_from(peers[1], 1000);
	now += SOCKETS_WINDOW / 2;
	(void) read_all(nobody, &total);
	now += SOCKETS_MEMBER_READ;
	(void) read_all(nobody, &total);
	now += SOCKETS_MEMBER_READ;
	n = read_all(peers[0], &total);
	assert_in_range(n, 1, SOCKETS_MEMBER_BUDGET / 2);
	assert_in_range(total, n + 1, SOCKETS_MEMBER_BUDGET + SOCKETS_OTHERS_BUDGET);
}

/* A flooded queue is not watched: it is read when its time has come. */
static void
a_flood_does_not_wake_us(void **state)
{
	int total;

	(void) state;
	send_from(peers[0], 1000);
	(void) read_all(peers[0], &total);
	assert_true(sockets.queues[0].flooded);
	assert_false(is_readable());
	assert_true(sockets_deadline(&sockets) == now + SOCKETS_MEMBER_READ);
	now += SOCKETS_MEMBER_READ - 1;
	(void) read_all(peers[0], &total);
	assert_int_equal(total, 0);
	now++;
	(void) read_all(peers[0], &total);
	assert_int_equal(total, SOCKETS_MEMBER_BUDGET);

	/* it ends, and the queue is watched again */
	assert_int_equal(drain(), 1000 - 2 * SOCKETS_MEMBER_BUDGET);
	assert_false(sockets.queues[0].flooded);
	send_from(peers[0], 1);
	assert_true(is_readable());
	assert_int_equal(drain(), 1);
}

/* Nobody becomes deaf to a peer because there was no memory as its flood ended. */
static void
what_cannot_be_watched_again_is_read(void **state)
{
	int total = 0;

	(void) state;
	send_from(peers[0], SOCKETS_FLOOD);
	assert_int_equal(read_all(peers[0], &total), SOCKETS_FLOOD);
	assert_true(sockets.queues[0].flooded);
	adding_fails = ENOSPC;
	for (int i = 0; i < 5; i++)
	{
		now += 2 * SOCKETS_WINDOW;
		send_from(peers[0], 1);
		assert_true(sockets_deadline(&sockets) <= now);
		assert_int_equal(read_all(peers[0], &total), 1);
		assert_true(sockets_deadline(&sockets) == now + SOCKETS_MEMBER_READ);
	}
	adding_fails = 0;
	assert_int_equal(drain(), 0);
	send_from(peers[0], 1);
	assert_true(is_readable());
	assert_int_equal(read_all(peers[0], &total), 1);
}

/* What members send is no flood, however long it goes on. */
static void
members_do_not_flood(void **state)
{
	int total;

	(void) state;
	for (int i = 0; i < 1000; i++)
	{
		send_from(peers[0], 3);
		send_from(peers[1], 1);
		assert_int_equal(read_all(peers[0], &total), 3);
		assert_int_equal(total, 4);
		assert_true(sockets_deadline(&sockets) == UINT64_MAX);
		now += 1000;
	}
}

/*
 * What comes while the others are read has its turn next time, and is not forgotten:
 * it can be seen that there is something to read.
 */
static void
what_comes_meanwhile_is_next(void **state)
{
	Datagram datagram;

	(void) state;
	send_from(peers[0], 1);
	assert_true(sockets_next(&sockets, now, &datagram));
	assert_true(is_from(&datagram, peers[0]));
	send_from(peers[1], 1);
	assert_false(sockets_next(&sockets, now, &datagram));
	assert_true(sockets_deadline(&sockets) == UINT64_MAX);
	assert_true(is_readable());
	assert_true(sockets_next(&sockets, now, &datagram));
	assert_true(is_from(&datagram, peers[1]));
	assert_false(sockets_next(&sockets, now, &datagram));
	assert_false(is_readable());
}

/* Received or counted: nothing is lost in silence. */
static void
what_does_not_fit_is_counted(void **state)
{
	int n;

	(void) state;
	send_from(nobody, 20000);
	n = drain();
	now += SOCKETS_WINDOW;
	send_from(nobody, 1);
	n += drain();
	assert_true(sockets.overflowed_others > 0);
	assert_int_equal(sockets.overflowed_others + (uint64_t) n, 20001);
	assert_int_equal(sockets.overflowed_member, 0);
	send_from(peers[1], 20000);
	n = drain();
	now += SOCKETS_WINDOW;
	send_from(peers[1], 1);
	n += drain();
	assert_true(sockets.overflowed_member > 0);
	assert_int_equal(sockets.overflowed_member + (uint64_t) n, 20001);
}

/* A queue that is not flooded is asked, too, though not at each reading. */
static void
what_does_not_fit_into_a_calm_queue_is_counted(void **state)
{
	const int small = 1;
	int		  n;

	(void) state;
	assert_int_equal(setsockopt(sockets.queues[1].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	send_from(peers[1], 1);
	n = drain();
	send_from(peers[1], SOCKETS_FLOOD / 2);
	n += drain();
	assert_in_range(n, 1, SOCKETS_FLOOD / 2);
	assert_false(sockets.queues[1].flooded);
	now += SOCKETS_WINDOW;
	send_from(peers[1], 1);
	n += drain();
	assert_int_equal(sockets.overflowed_member, 0);
	now += SOCKETS_COUNT_DROPS;
	send_from(peers[1], 1);
	n += drain();
	assert_int_equal(sockets.overflowed_member + (uint64_t) n, SOCKETS_FLOOD / 2 + 3);
}

/* What was lost at its old address is not forgotten with it. */
static void
what_a_peer_that_moves_has_lost_is_counted(void **state)
{
	int moved = free_socket();

	(void) state;
	send_from(peers[1], 20000);
	assert_true(connect_peer(1, moved));
	assert_true(sockets.overflowed_member > 0);
	close(moved);
}

/* Its flood stays behind: nothing is read at intervals any more. */
static void
a_flooded_peer_that_moves_is_calm(void **state)
{
	int moved = free_socket();
	int total;

	(void) state;
	send_from(peers[1], SOCKETS_FLOOD);
	assert_int_equal(read_all(peers[1], &total), SOCKETS_FLOOD);
	assert_true(sockets_deadline(&sockets) != UINT64_MAX);
	assert_true(connect_peer(1, moved));
	assert_true(sockets_deadline(&sockets) == UINT64_MAX);
	send_from(moved, 1);
	assert_int_equal(read_all(moved, &total), 1);
	close(moved);
}

/*
 * However many are flooded, and however long it takes to read them: in between there
 * is nothing to read for a while, and so time for everything else.
 */
static void
flooded_peers_rest_together(void **state)
{
	Datagram datagram;
	int		 read = 0;

	(void) state;
	for (int i = 0; i < 2; i++)
		send_from(peers[i], 600);
	for (int i = 0; i < 2; i++)
	{
		int total;

		(void) read_all(nobody, &total);
		now += SOCKETS_MEMBER_READ;
	}
	assert_true(sockets.queues[0].flooded && sockets.queues[1].flooded);

	/* all that is read takes longer than the time between two readings */
	while (sockets_next(&sockets, now, &datagram))
	{
		now += SOCKETS_MEMBER_READ / 100;
		read++;
	}
	assert_in_range(read, 1, SOCKETS_MEMBER_BUDGET);
	assert_true(sockets_deadline(&sockets) == now + SOCKETS_MEMBER_READ);
	assert_false(sockets_next(&sockets, now, &datagram));
}

/* An address that has changed: the new one gets the queue, the old one is a stranger. */
static void
a_peer_moves(void **state)
{
	uint8_t bytes[MESSAGE_SIZE];
	int		moved = free_socket();

	(void) state;
	assert_true(connect_peer(0, moved));
	send_from(moved, 1);
	assert_int_equal(recv(sockets.queues[0].fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	send_from(peers[0], 1);
	assert_int_equal(recv(sockets.queues[0].fd, bytes, sizeof(bytes), 0), -1);
	assert_int_equal(drain(), 1);
	nobody_else_gets_the_port(state);
	close(moved);
}

/* What ICMP says of a peer that is down is no error of ours, and not the end. */
static void
a_peer_that_is_down_is_no_error(void **state)
{
	struct sockaddr_storage gone = address_of(peers[0]);
	uint8_t					bytes[MESSAGE_SIZE] = {7};
	int						total;

	(void) state;
	close(peers[0]);
	for (int i = 0; i < 3; i++)
	{
		assert_true(sendto(listener, bytes, sizeof(bytes), 0, (struct sockaddr *) &gone,
						   sizeof(struct sockaddr_in)) > 0);
		assert_true(is_readable());
		(void) read_all(nobody, &total);
		assert_int_equal(total, 0);
	}
	assert_false(is_readable());
	assert_int_equal(sockets.errors, 0);

	/* As many as somebody forges wake us no more than datagrams do. */
	for (int i = 0; i < SOCKETS_FLOOD; i++)
	{
		(void) sendto(listener, bytes, sizeof(bytes), 0, (struct sockaddr *) &gone,
					  sizeof(struct sockaddr_in));
		(void) read_all(nobody, &total);
	}
	assert_true(sockets.queues[0].flooded);
	assert_false(is_readable());
	assert_int_equal(sockets.errors, 0);
	assert_int_equal(drain(), 0);
	peers[0] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(peers[0], (struct sockaddr *) &gone, sizeof(struct sockaddr_in)), 0);
	send_from(peers[0], 1);
	assert_int_equal(read_all(peers[0], &total), 1);
}

int
main(void)
{
#define sockets_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		sockets_test(everybody_is_heard),
		sockets_test(peers_have_queues_of_their_own),
		sockets_test(nobody_else_gets_the_port),
		sockets_test(no_other_user_gets_the_port_meanwhile),
		cmocka_unit_test_setup_teardown(a_peer_is_heard_at_every_address, set_up_everywhere, tear_down),
		sockets_test(each_of_many_has_its_queue),
		sockets_test(a_flood_holds_up_nobody_else),
		sockets_test(one_look_at_a_flood_is_bounded),
		sockets_test(a_flood_does_not_wake_us),
		sockets_test(what_cannot_be_watched_again_is_read),
		sockets_test(members_do_not_flood),
		sockets_test(what_comes_meanwhile_is_next),
		sockets_test(what_does_not_fit_is_counted),
		sockets_test(what_does_not_fit_into_a_calm_queue_is_counted),
		sockets_test(what_a_peer_that_moves_has_lost_is_counted),
		sockets_test(a_flooded_peer_that_moves_is_calm),
		sockets_test(flooded_peers_rest_together),
		sockets_test(a_peer_moves),
		sockets_test(a_peer_that_is_down_is_no_error),
	};

	return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
