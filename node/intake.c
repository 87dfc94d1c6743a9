/*
 * node/intake.c
 *	  Where datagrams come in: a socket for each peer, one for everybody else, and
 *	  a bound on the time that is spent on any of them.
 *
 * See intake.h.  Must not use backend symbols, block, or log.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "intake.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/sock_diag.h>

/* A save can block for a while; what comes in meanwhile should not be lost. */
#define RECEIVE_BUFFER (1024 * 1024)

/* ---- what is lost ---- */

/*
 * Count what the kernel has dropped since this was asked last.  Its counter is of 32
 * bits, and starts again at 0.
 */
static void
count_drops(Intake *intake, int i)
{
	IntakeSocket *s = &intake->sockets[i];
	uint32_t	  info[SK_MEMINFO_VARS] = {0};
	socklen_t	  length = sizeof(info);
	uint32_t	  drops;

	if (getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, info, &length) != 0 ||
		length <= SK_MEMINFO_DROPS * sizeof(info[0]))
		return;
	drops = info[SK_MEMINFO_DROPS] - s->drops_seen;
	s->drops_seen = info[SK_MEMINFO_DROPS];
	if (i == INTAKE_LISTENER)
		intake->overflowed_others += drops;
	else
		intake->overflowed_member += drops;
}

/* ---- opening ---- */

static bool
watch(Intake *intake, int i, bool on)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t) i};

	return epoll_ctl(intake->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
					 intake->sockets[i].fd, &event) == 0;
}

bool
intake_open(Intake *intake, int listener)
{
	const int buffer = RECEIVE_BUFFER;

	memset(intake, 0, offsetof(Intake, bytes));
	for (int i = 0; i < INTAKE_SOCKETS; i++)
		intake->sockets[i].fd = -1;
	intake->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (intake->epoll_fd < 0)
		return false;
	intake->is_open = true;

	/* Best effort: the kernel may allow less. */
	(void) setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	intake->sockets[INTAKE_LISTENER].fd = listener;
	if (watch(intake, INTAKE_LISTENER, true))
		return true;
	intake_close(intake);
	return false;
}

/*
 * May another socket be bound to our port?  Only while we do it ourselves: two
 * processes that share a port would each get some of the datagrams.  And never that
 * of another user, so not SO_REUSEADDR, which with UDP asks for nobody's consent;
 * SO_REUSEPORT is for sockets of one user.  While it is on, unconnected sockets
 * share what comes in, so the new one may get some before it is connected: they are
 * read from there.  Once it is off, the connected ones are preferred as ever.
 */
static void
share_port(Intake *intake, int shared)
{
	for (int i = 0; i < INTAKE_SOCKETS; i++)
	{
		if (intake->sockets[i].fd >= 0)
			(void) setsockopt(intake->sockets[i].fd, SOL_SOCKET, SO_REUSEPORT,
							  &shared, sizeof(shared));
	}
}

/* A socket that has the listener's address, and hears nobody but "peer". */
static int
connected_socket(Intake *intake, const struct sockaddr_storage *peer, socklen_t length)
{
	const int				on = 1;
	const int				off = 0;
	const int				buffer = RECEIVE_BUFFER;
	struct sockaddr_storage own;
	socklen_t				own_length = sizeof(own);
	int						number;
	int						fd;

	if (getsockname(intake->sockets[INTAKE_LISTENER].fd, (struct sockaddr *) &own, &own_length) != 0)
		return -1;
	fd = socket(own.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	(void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	share_port(intake, 1);
	if ((own.ss_family != AF_INET6 ||
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
		bind(fd, (const struct sockaddr *) &own, own_length) == 0 &&
		connect(fd, (const struct sockaddr *) peer, length) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &off, sizeof(off)) == 0)
	{
		share_port(intake, 0);
		return fd;
	}
	number = errno;
	share_port(intake, 0);
	(void) close(fd);
	errno = number;
	return -1;
}

bool
intake_connect(Intake *intake, int32_t node_id, const struct sockaddr_storage *peer,
			   socklen_t length)
{
	IntakeSocket *s;

	assert(node_id >= 0 && node_id < RAFT_MAX_NODES && length <= sizeof(s->peer));
	s = &intake->sockets[node_id];
	if (s->fd >= 0 && memcmp(&s->peer, peer, length) == 0)
		return true;
	if (s->fd >= 0)
	{
		count_drops(intake, node_id);
		(void) close(s->fd); /* which also ends the watching */
		intake->n_flooded -= s->flooded;
	}
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	intake->ready[node_id] = false;
	s->fd = connected_socket(intake, peer, length);
	if (s->fd < 0)
		return false;
	memcpy(&s->peer, peer, length);
	if (watch(intake, node_id, true))
		return true;
	(void) close(s->fd);
	s->fd = -1;
	return false;
}

void
intake_close(Intake *intake)
{
	if (!intake->is_open)
		return;
	for (int i = 0; i < INTAKE_LISTENER; i++)
	{
		if (intake->sockets[i].fd >= 0)
			(void) close(intake->sockets[i].fd);
	}
	(void) close(intake->epoll_fd);
	memset(intake, 0, offsetof(Intake, bytes));
}

/* ---- floods ---- */

static int
n_flooded_peers(const Intake *intake)
{
	return intake->n_flooded - intake->sockets[INTAKE_LISTENER].flooded;
}

/*
 * Some were read: is it more than a member has to say?  A queue that cannot be
 * watched again, for want of memory, goes on being read at intervals, else nothing
 * would wake us for it any more; that is tried anew when the next window ends.
 */
static void
look_for_flood(Intake *intake, int i, int n, uint64_t now)
{
	IntakeSocket *s = &intake->sockets[i];
	bool		  was_flooded = s->flooded;

	if (now >= s->window_until)
	{
		/* those of a flooded one are counted before each reading */
		if (!s->flooded && now >= s->count_drops_at)
		{
			count_drops(intake, i);
			s->count_drops_at = now + INTAKE_COUNT_DROPS;
		}
		if (s->in_window <= INTAKE_FLOOD / 2)
			s->flooded = false;
		s->in_window = 0;
		s->window_until = now + INTAKE_WINDOW;
	}
	s->in_window += (uint32_t) n;
	if (s->in_window >= INTAKE_FLOOD)
		s->flooded = true;
	if (s->flooded != was_flooded && !watch(intake, i, !s->flooded))
		s->flooded = true;
	intake->n_flooded += s->flooded - was_flooded;
}

/* ---- reading ---- */

static void
make_ready(Intake *intake, int i, int budget)
{
	intake->ready[i] = true;
	intake->sockets[i].budget = i == INTAKE_LISTENER ? INTAKE_OTHERS_BUDGET : budget;
	intake->in_sweep = true;
}

/* When a flooded queue is read again. */
static uint64_t
read_at(const Intake *intake, int i)
{
	return i == INTAKE_LISTENER ? intake->others_read_at : intake->members_read_at;
}

/* Which are to be read in this sweep, and how much of each. */
static void
begin_sweep(Intake *intake, uint64_t now)
{
	struct epoll_event events[INTAKE_SOCKETS];
	int				   n = epoll_wait(intake->epoll_fd, events, INTAKE_SOCKETS, 0);
	int				   flooded = n_flooded_peers(intake);
	int				   budget = INTAKE_MEMBER_BUDGET / (flooded > 0 ? flooded : 1);

	if (budget < INTAKE_LEAST_BUDGET)
		budget = INTAKE_LEAST_BUDGET;
	intake->sweep_began = now;
	for (int i = 0; i < n; i++)
		make_ready(intake, (int) events[i].data.u32, budget);
	if (intake->n_flooded == 0)
		return;
	for (int i = 0; i < INTAKE_SOCKETS; i++)
	{
		if (intake->sockets[i].flooded && now >= read_at(intake, i))
		{
			count_drops(intake, i);
			make_ready(intake, i, budget);
		}
	}
}

/*
 * All have had their turns.  Flooded peers rest together, from now on, however long
 * it has taken to read them: there is time for everything else in between.
 */
static void
end_sweep(Intake *intake, uint64_t now)
{
	if (intake->sweep_began >= intake->members_read_at)
		intake->members_read_at = now + INTAKE_MEMBER_READ;
	if (intake->sweep_began >= intake->others_read_at)
		intake->others_read_at = now + INTAKE_OTHERS_READ;
	intake->in_sweep = false;
}

/* A calm queue has one or two: there is no need to prepare for more. */
static int
batch_size(const IntakeSocket *s)
{
	int most = s->flooded ? INTAKE_BATCH : INTAKE_CALM_BATCH;

	return s->budget < most ? s->budget : most;
}

/* Read what one system call gets; the number of datagrams. */
static int
read_batch(Intake *intake, int i)
{
	IntakeSocket  *s = &intake->sockets[i];
	struct mmsghdr headers[INTAKE_BATCH];
	struct iovec   places[INTAKE_BATCH];
	int			   wanted = batch_size(s);
	int			   n;

	memset(headers, 0, (size_t) wanted * sizeof(headers[0]));
	memset(intake->sources, 0, (size_t) wanted * sizeof(intake->sources[0]));
	for (int k = 0; k < wanted; k++)
	{
		places[k].iov_base = intake->bytes[k];
		places[k].iov_len = sizeof(intake->bytes[k]);
		headers[k].msg_hdr.msg_iov = &places[k];
		headers[k].msg_hdr.msg_iovlen = 1;
		headers[k].msg_hdr.msg_name = &intake->sources[k];
		headers[k].msg_hdr.msg_namelen = sizeof(intake->sources[k]);
	}
	do
		n = recvmmsg(s->fd, headers, (unsigned) wanted, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
	{
		/*
		 * A peer's socket is told by ICMP that nobody listens there, or that there is
		 * no way: that is no trouble of ours.  The queue goes on after it.
		 */
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		if (i == INTAKE_LISTENER || (errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH))
			intake->errors++;
		s->budget--;
		return -1;
	}
	for (int k = 0; k < n; k++)
		intake->lengths[k] = headers[k].msg_len;
	s->budget -= n;
	return n;
}

/* Fill the batch from the next queue that has something; false: the sweep is over. */
static bool
next_batch(Intake *intake, uint64_t now)
{
	intake->batch_next = intake->batch_n = 0;
	for (int looked_at = 0; looked_at < INTAKE_SOCKETS; looked_at++)
	{
		int			  i = intake->turn_of;
		IntakeSocket *s = &intake->sockets[i];
		int			  wanted = batch_size(s);
		int			  errors = 0;
		int			  n;

		intake->turn_of = (i + 1) % INTAKE_SOCKETS;
		if (!intake->ready[i])
			continue;

		/* An error wakes us as a datagram does, and can be forged as easily. */
		while ((n = read_batch(intake, i)) < 0)
		{
			errors++;
			if (s->budget <= 0)
				break;
		}
		look_for_flood(intake, i, errors + (n > 0 ? n : 0), now);
		if (n < wanted || s->budget <= 0)
			intake->ready[i] = false;
		if (n > 0)
		{
			intake->batch_n = n;
			return true;
		}
	}
	end_sweep(intake, now);
	return false;
}

bool
intake_next(Intake *intake, uint64_t now, IntakeDatagram *datagram)
{
	if (intake->batch_next >= intake->batch_n)
	{
		if (!intake->in_sweep)
			begin_sweep(intake, now);
		if (!intake->in_sweep || !next_batch(intake, now))
			return false;
	}
	datagram->bytes = intake->bytes[intake->batch_next];
	datagram->length = intake->lengths[intake->batch_next];
	datagram->source = &intake->sources[intake->batch_next];
	intake->batch_next++;
	return true;
}

uint64_t
intake_deadline(const Intake *intake)
{
	uint64_t deadline = UINT64_MAX;

	if (intake->in_sweep || intake->batch_next < intake->batch_n)
		return 0;
	if (n_flooded_peers(intake) > 0)
		deadline = intake->members_read_at;
	if (intake->sockets[INTAKE_LISTENER].flooded && intake->others_read_at < deadline)
		deadline = intake->others_read_at;
	return deadline;
}
