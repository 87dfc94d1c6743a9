/*
 * node/board.c
 *	  What a server shows its supervisor.
 *
 * See board.h.  Not with PostgreSQL's atomics, which are for backends only.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "board.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../raft/raft.h"
#include "clock.h"

/* Changes with the layout: a supervisor and a library of two versions do not share a board. */
#define BOARD_MAGIC UINT64_C(0x5047424F41524402)

/*
 * A copy is taken again only when the writer has come by meanwhile, which it does some times
 * a millisecond at most.
 */
#define MOST_READS 1000

struct Board
{
	uint64_t   magic;
	uint64_t   turn; /* the entry that counts: its last bit */
	BoardShown entries[2];

	/* Where it listens, and for how long connections there have got no answer. */
	uint64_t				silence;
	uint32_t				address_size; /* written last; 0: not said */
	struct sockaddr_storage address;
};

static Board *
map(int fd)
{
	Board *board = mmap(NULL, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return board == MAP_FAILED ? NULL : board;
}

/* ---- the supervisor ---- */

Board *
board_create(int *fd)
{
	BoardShown nothing = {.leader_id = RAFT_NONE};
	Board	  *board = NULL;
	int		   failure;

	*fd = memfd_create("pg_leader board", MFD_CLOEXEC);
	if (*fd >= 0 && ftruncate(*fd, sizeof(Board)) == 0)
		board = map(*fd);
	if (board != NULL)
	{
		board->magic = BOARD_MAGIC;
		board_show(board, &nothing);
		return board;
	}
	failure = errno;
	if (*fd >= 0)
		(void) close(*fd);
	*fd = -1;
	errno = failure;
	return NULL;
}

void
board_remove(Board *board)
{
	if (board != NULL)
		(void) munmap(board, sizeof(Board));
}

/* false: the writer has come by meanwhile. */
static bool
read_once(const Board *board, BoardShown *shown, uint64_t *now)
{
	uint64_t		  turn = __atomic_load_n(&board->turn, __ATOMIC_ACQUIRE);
	const BoardShown *entry = &board->entries[turn & 1];

	shown->lease_until = __atomic_load_n(&entry->lease_until, __ATOMIC_RELAXED);
	shown->lease_term = __atomic_load_n(&entry->lease_term, __ATOMIC_RELAXED);
	shown->term = __atomic_load_n(&entry->term, __ATOMIC_RELAXED);
	shown->leader_id = __atomic_load_n(&entry->leader_id, __ATOMIC_RELAXED);

	/* a lease that was given up before *now cannot pass for one that held at *now */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*now = clock_now();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&board->turn, __ATOMIC_RELAXED) == turn;
}

void
board_read(const Board *board, BoardShown *shown, uint64_t *now)
{
	for (int i = 0; i < MOST_READS; i++)
	{
		if (!read_once(board, shown, now))
			continue;
		if (shown->lease_until <= *now)
			shown->lease_until = 0;
		return;
	}

	/* no writer does that */
	*shown = (BoardShown){.leader_id = RAFT_NONE};
}

bool
board_address(const Board *board, struct sockaddr_storage *address, socklen_t *size)
{
	*size = __atomic_load_n(&board->address_size, __ATOMIC_ACQUIRE);
	*address = board->address;
	return *size != 0 && *size <= sizeof(*address);
}

void
board_show_silence(Board *board, uint64_t silence)
{
	__atomic_store_n(&board->silence, silence, __ATOMIC_RELAXED);
}

/* ---- the server ---- */

Board *
board_take(int fd)
{
	struct stat file;
	Board	   *board = NULL;
	int			failure;

	errno = EPROTO;
	if (fstat(fd, &file) == 0 && file.st_size == (off_t) sizeof(Board))
		board = map(fd);
	if (board != NULL && board->magic != BOARD_MAGIC)
	{
		board_remove(board);
		board = NULL;
		errno = EPROTO;
	}
	failure = errno;
	(void) close(fd);
	errno = failure;
	return board;
}

void
board_show(Board *board, const BoardShown *shown)
{
	uint64_t	turn;
	BoardShown *entry;

	if (board == NULL)
		return;
	turn = __atomic_load_n(&board->turn, __ATOMIC_RELAXED) + 1;
	entry = &board->entries[turn & 1];

	/* that the other entry counts is seen before this one changes */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&entry->lease_until, shown->lease_until, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->lease_term, shown->lease_term, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->term, shown->term, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->leader_id, shown->leader_id, __ATOMIC_RELAXED);
	__atomic_store_n(&board->turn, turn, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void
board_end_lease(Board *board)
{
	BoardShown shown;

	if (board == NULL)
		return;
	shown = board->entries[board->turn & 1];
	if (shown.lease_until == 0)
		return;
	shown.lease_until = 0;
	board_show(board, &shown);
}

void
board_show_address(Board *board, const struct sockaddr_storage *address, socklen_t size)
{
	if (board == NULL || size > sizeof(*address))
		return;
	board->address = *address;
	__atomic_store_n(&board->address_size, size, __ATOMIC_RELEASE);
}

uint64_t
board_silence(const Board *board)
{
	return board != NULL ? __atomic_load_n(&board->silence, __ATOMIC_RELAXED) : 0;
}
