/*
 * node/sockets.c
 *	  Receiving: one socket per peer, one for all other senders, and a limit on the time
 *	  spent on each.
 *
 * See sockets.h.  Must not use backend symbols, block, or log.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "sockets.h"

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
count_drops(Sockets *sockets, int i)
{
	SocketQueue *s = &sockets->queues[i];
	uint32_t	 info[SK_MEMINFO_VARS] = {0};
	socklen_t	 length = sizeof(info);
	uint32_t	 drops;

	if (getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, info, &length) != 0 ||
		length <= SK_MEMINFO_DROPS * sizeof(info[0]))
		return;
	drops = info[SK_MEMINFO_DROPS] - s->drops_seen;
	s->drops_seen = info[SK_MEMINFO_DROPS];
	if (i == SOCKETS_LISTENER)
		sockets->overflowed_others += drops;
	else
		sockets->overflowed_member += drops;
}

/* ---- opening ---- */

static bool
watch(Sockets *sockets, int i, bool on)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t) i};

	return epoll_ctl(sockets->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
					 sockets->queues[i].fd, &event) == 0;
}

bool
sockets_open(Sockets *sockets, int listener)
{
	const int buffer = RECEIVE_BUFFER;

	memset(sockets, 0, offsetof(Sockets, bytes));
	for (int i = 0; i < SOCKETS_N; i++)
		sockets->queues[i].fd = -1;
	sockets->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (sockets->epoll_fd < 0)
		return false;
	sockets->is_open = true;

	/* Best effort: the kernel may allow less. */
	(void) setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	sockets->queues[SOCKETS_LISTENER].fd = listener;
	if (watch(sockets, SOCKETS_LISTENER, true))
		return true;
	sockets_close(sockets);
	return false;
}

/*
 * May another socket be bound to our port?  Only while we do it ourselves: two
 * processes that share a port would each get some of the datagrams.  And never that
 * of another user, so not SO_REUSEADDR, which with UDP needs no consent of the other
 * socket;
 * SO_REUSEPORT is for sockets of one user.  While it is on, unconnected sockets
 * share what comes in, so the new one may get some before it is connected: they are
 * read from there.  Once it is off, the connected ones are preferred as ever.
 */
static void
share_port(Sockets *sockets, int shared)
{
	for (int i = 0; i < SOCKETS_N; i++)
	{
		if (sockets->queues[i].fd >= 0)
			(void) setsockopt(sockets->queues[i].fd, SOL_SOCKET, SO_REUSEPORT,
							  &shared, sizeof(shared));
	}
}

/* A socket that has the listener's address, and hears nobody but "peer". */
static int
connected_socket(Sockets *sockets, const struct sockaddr_storage *peer, socklen_t length)
{
	const int				on = 1;
	const int				off = 0;
	const int				buffer = RECEIVE_BUFFER;
	struct sockaddr_storage own;
	socklen_t				own_length = sizeof(own);
	int						number;
	int						fd;

	if (getsockname(sockets->queues[SOCKETS_LISTENER].fd, (struct sockaddr *) &own, &own_length) != 0)
		return -1;
	fd = socket(own.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	(void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	share_port(sockets, 1);
	if ((own.ss_family != AF_INET6 ||
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
		bind(fd, (const struct sockaddr *) &own, own_length) == 0 &&
		connect(fd, (const struct sockaddr *) peer, length) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &off, sizeof(off)) == 0)
	{
		share_port(sockets, 0);
		return fd;
	}
	number = errno;
	share_port(sockets, 0);
	(void) close(fd);
	errno = number;
	return -1;
}

void
sockets_disconnect(Sockets *sockets, int32_t node_id)
{
	SocketQueue *s = &sockets->queues[node_id];

	if (s->fd >= 0)
	{
		count_drops(sockets, node_id);
		(void) close(s->fd); /* which also ends the watching */
		sockets->n_flooded -= s->flooded;
	}
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	sockets->ready[node_id] = false;
}

bool
sockets_connect(Sockets *sockets, int32_t node_id, const struct sockaddr_storage *peer,
				socklen_t length)
{
	SocketQueue *s;

	assert(node_id >= 0 && node_id < RAFT_MAX_NODES && length <= sizeof(s->peer));
	s = &sockets->queues[node_id];
	if (s->fd >= 0 && memcmp(&s->peer, peer, length) == 0)
		return true;
	sockets_disconnect(sockets, node_id);
	s->fd = connected_socket(sockets, peer, length);
	if (s->fd < 0)
		return false;
	memcpy(&s->peer, peer, length);
	if (watch(sockets, node_id, true))
		return true;
	(void) close(s->fd);
	s->fd = -1;
	return false;
}

void
sockets_close(Sockets *sockets)
{
	if (!sockets->is_open)
		return;
	for (int i = 0; i < SOCKETS_LISTENER; i++)
	{
		if (sockets->queues[i].fd >= 0)
			(void) close(sockets->queues[i].fd);
	}
	(void) close(sockets->epoll_fd);
	memset(sockets, 0, offsetof(Sockets, bytes));
}

/* ---- floods ---- */

static int
n_flooded_peers(const Sockets *sockets)
{
	return sockets->n_flooded - sockets->queues[SOCKETS_LISTENER].flooded;
}

/*
 * Some were read: is it more than a member has to say?  A queue that cannot be
 * watched again, for want of memory, goes on being read at intervals, else nothing
 * would wake us for it any more; that is tried anew when the next window ends.
 */
static void
look_for_flood(Sockets *sockets, int i, int n, uint64_t now)
{
	SocketQueue *s = &sockets->queues[i];
	bool		 was_flooded = s->flooded;

	if (now >= s->window_until)
	{
		/* those of a flooded one are counted before each reading */
		if (!s->flooded && now >= s->count_drops_at)
		{
			count_drops(sockets, i);
			s->count_drops_at = now + SOCKETS_COUNT_DROPS;
		}
		if (s->in_window <= SOCKETS_FLOOD / 2)
			s->flooded = false;
		s->in_window = 0;
		s->window_until = now + SOCKETS_WINDOW;
	}
	s->in_window += (uint32_t) n;
	if (s->in_window >= SOCKETS_FLOOD)
		s->flooded = true;
	if (s->flooded != was_flooded && !watch(sockets, i, !s->flooded))
		s->flooded = true;
	sockets->n_flooded += s->flooded - was_flooded;
}

/* ---- reading ---- */

static void
make_ready(Sockets *sockets, int i, int budget)
{
	sockets->ready[i] = true;
	sockets->queues[i].budget = i == SOCKETS_LISTENER ? SOCKETS_OTHERS_BUDGET : budget;
	sockets->in_sweep = true;
}

/* When a flooded queue is read again. */
static uint64_t
read_at(const Sockets *sockets, int i)
{
	return i == SOCKETS_LISTENER ? sockets->others_read_at : sockets->members_read_at;
}

/* Which are to be read in this sweep, and how much of each. */
static void
begin_sweep(Sockets *sockets, uint64_t now)
{
	struct epoll_event events[SOCKETS_N];
	int				   n = epoll_wait(sockets->epoll_fd, events, SOCKETS_N, 0);
	int				   flooded = n_flooded_peers(sockets);
	int				   budget = SOCKETS_MEMBER_BUDGET / (flooded > 0 ? flooded : 1);

	if (budget < SOCKETS_LEAST_BUDGET)
		budget = SOCKETS_LEAST_BUDGET;
	sockets->sweep_began = now;
	for (int i = 0; i < n; i++)
		make_ready(sockets, (int) events[i].data.u32, budget);
	if (sockets->n_flooded == 0)
		return;
	for (int i = 0; i < SOCKETS_N; i++)
	{
		if (sockets->queues[i].flooded && now >= read_at(sockets, i))
		{
			count_drops(sockets, i);
			make_ready(sockets, i, budget);
		}
	}
}

/*
 * All have had their turns.  Flooded peers rest together, from now on, however long
 * it has taken to read them: there is time for everything else in between.
 */
static void
end_sweep(Sockets *sockets, uint64_t now)
{
	if (sockets->sweep_began >= sockets->members_read_at)
		sockets->members_read_at = now + SOCKETS_MEMBER_READ;
	if (sockets->sweep_began >= sockets->others_read_at)
		sockets->others_read_at = now + SOCKETS_OTHERS_READ;
	sockets->in_sweep = false;
}

/* A calm queue has one or two: there is no need to prepare for more. */
static int
batch_size(const SocketQueue *s)
{
	int most = s->flooded ? SOCKETS_BATCH : SOCKETS_CALM_BATCH;

	return s->budget < most ? s->budget : most;
}

/* Read what one system call gets; the number of datagrams. */
static int
read_batch(Sockets *sockets, int i)
{
	SocketQueue	  *s = &sockets->queues[i];
	struct mmsghdr headers[SOCKETS_BATCH];
	struct iovec   places[SOCKETS_BATCH];
	int			   wanted = batch_size(s);
	int			   n;

	memset(headers, 0, (size_t) wanted * sizeof(headers[0]));
	memset(sockets->sources, 0, (size_t) wanted * sizeof(sockets->sources[0]));
	for (int k = 0; k < wanted; k++)
	{
		places[k].iov_base = sockets->bytes[k];
		places[k].iov_len = sizeof(sockets->bytes[k]);
		headers[k].msg_hdr.msg_iov = &places[k];
		headers[k].msg_hdr.msg_iovlen = 1;
		headers[k].msg_hdr.msg_name = &sockets->sources[k];
		headers[k].msg_hdr.msg_namelen = sizeof(sockets->sources[k]);
	}
	do
		n = recvmmsg(s->fd, headers, (unsigned) wanted, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
	{
		/*
		 * A peer's socket is told by ICMP that nobody listens there, or that there is
		 * no way: that is no fault of ours.  The queue goes on after it.
		 */
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		if (i == SOCKETS_LISTENER || (errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH))
			sockets->errors++;
		s->budget--;
		return -1;
	}
	for (int k = 0; k < n; k++)
		sockets->lengths[k] = headers[k].msg_len;
	s->budget -= n;
	return n;
}

/* Fill the batch from the next queue that has something; false: the sweep is over. */
static bool
next_batch(Sockets *sockets, uint64_t now)
{
	sockets->batch_next = sockets->batch_n = 0;
	for (int looked_at = 0; looked_at < SOCKETS_N; looked_at++)
	{
		int			 i = sockets->turn_of;
		SocketQueue *s = &sockets->queues[i];
		int			 wanted = batch_size(s);
		int			 errors = 0;
		int			 n;

		sockets->turn_of = (i + 1) % SOCKETS_N;
		if (!sockets->ready[i])
			continue;

		/* An error wakes us as a datagram does, and can be forged as easily. */
		while ((n = read_batch(sockets, i)) < 0)
		{
			errors++;
			if (s->budget <= 0)
				break;
		}
		look_for_flood(sockets, i, errors + (n > 0 ? n : 0), now);
		if (n < wanted || s->budget <= 0)
			sockets->ready[i] = false;
		if (n > 0)
		{
			sockets->batch_n = n;
			return true;
		}
	}
	end_sweep(sockets, now);
	return false;
}

bool
sockets_next(Sockets *sockets, uint64_t now, Datagram *datagram)
{
	if (sockets->batch_next >= sockets->batch_n)
	{
		if (!sockets->in_sweep)
			begin_sweep(sockets, now);
		if (!sockets->in_sweep || !next_batch(sockets, now))
			return false;
	}
	datagram->bytes = sockets->bytes[sockets->batch_next];
	datagram->length = sockets->lengths[sockets->batch_next];
	datagram->source = &sockets->sources[sockets->batch_next];
	sockets->batch_next++;
	return true;
}

uint64_t
sockets_deadline(const Sockets *sockets)
{
	uint64_t deadline = UINT64_MAX;

	if (sockets->in_sweep || sockets->batch_next < sockets->batch_n)
		return 0;
	if (n_flooded_peers(sockets) > 0)
		deadline = sockets->members_read_at;
	if (sockets->queues[SOCKETS_LISTENER].flooded && sockets->others_read_at < deadline)
		deadline = sockets->others_read_at;
	return deadline;
}
