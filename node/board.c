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
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

/* Changes with the layout: a supervisor and a library of two versions do not share a board. */
#define BOARD_MAGIC UINT64_C(0x5047424F41524402)

/*
 * A copy is taken again only when the writer has come by meanwhile, which it does some times
 * a millisecond at most.
 */
#define MOST_READS 1000

/* Words, so that a reader beside the writer gets each of them whole. */
#define WORD		   sizeof(uint64_t)
#define WORDS_OF(type) (sizeof(type) / WORD)

_Static_assert(sizeof(BoardShown) % WORD == 0 && sizeof(BoardServer) % WORD == 0, "parts are whole words");

struct Board
{
	uint64_t magic;

	/* Of each part, the entry that counts: its last bit. */
	uint64_t shown_turn;
	uint64_t server_turn;
	uint64_t shown[2][WORDS_OF(BoardShown)];
	uint64_t server[2][WORDS_OF(BoardServer)];

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

static void
load(void *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint64_t word = __atomic_load_n(&from[i], __ATOMIC_RELAXED);

		memcpy((char *) to + i * WORD, &word, WORD);
	}
}

/* false: a writer has come by meanwhile. */
static bool
read_once(const Board *board, BoardShown *shown, BoardServer *server, uint64_t *now)
{
	uint64_t shown_turn = __atomic_load_n(&board->shown_turn, __ATOMIC_ACQUIRE);
	uint64_t server_turn = __atomic_load_n(&board->server_turn, __ATOMIC_ACQUIRE);

	load(shown, board->shown[shown_turn & 1], WORDS_OF(BoardShown));
	if (server != NULL)
		load(server, board->server[server_turn & 1], WORDS_OF(BoardServer));

	/* what was given up before *now cannot pass for what held at *now */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*now = clock_now();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&board->shown_turn, __ATOMIC_RELAXED) == shown_turn &&
		   (server == NULL || __atomic_load_n(&board->server_turn, __ATOMIC_RELAXED) == server_turn);
}

void
board_read(const Board *board, BoardShown *shown, BoardServer *server, uint64_t *now)
{
	for (int i = 0; i < MOST_READS; i++)
	{
		if (!read_once(board, shown, server, now))
			continue;
		if (shown->lease_until <= *now)
			shown->lease_until = 0;
		return;
	}

	/* no writer does that */
	*shown = (BoardShown){.leader_id = RAFT_NONE};
	if (server != NULL)
		memset(server, 0, sizeof(*server));
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

/* Into the entry that does not count, which counts from then on. */
static void
store(uint64_t *turn, uint64_t *entries, const void *from, size_t n)
{
	uint64_t  next = __atomic_load_n(turn, __ATOMIC_RELAXED) + 1;
	uint64_t *entry = entries + (next & 1) * n;

	/* that the other entry counts is seen before this one changes */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (size_t i = 0; i < n; i++)
	{
		uint64_t word;

		memcpy(&word, (const char *) from + i * WORD, WORD);
		__atomic_store_n(&entry[i], word, __ATOMIC_RELAXED);
	}
	__atomic_store_n(turn, next, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void
board_show(Board *board, const BoardShown *shown)
{
	if (board != NULL)
		store(&board->shown_turn, board->shown[0], shown, WORDS_OF(BoardShown));
}

void
board_end_lease(Board *board)
{
	BoardShown shown;

	if (board == NULL)
		return;
	load(&shown, board->shown[board->shown_turn & 1], WORDS_OF(BoardShown));
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

void
board_show_server(Board *board, const BoardServer *server)
{
	if (board != NULL)
		store(&board->server_turn, board->server[0], server, WORDS_OF(BoardServer));
}

void
board_close(Board *board)
{
	BoardServer server;

	if (board == NULL)
		return;
	load(&server, board->server[board->server_turn & 1], WORDS_OF(BoardServer));
	if (server.open_term == 0)
		return;
	server.open_term = 0;
	board_show_server(board, &server);
}
