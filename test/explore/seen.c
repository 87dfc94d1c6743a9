/*
 * test/explore/seen.c
 *	  See seen.h.
 */
#define _DEFAULT_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "seen.h"

typedef struct Entry
{
	uint64_t hash[2]; /* both 0: free */
	uint32_t from;
	uint32_t step;
} Entry;

/* A queued state; its bytes follow: one bit for each byte, then those not zero. */
typedef struct Queued
{
	uint32_t entry; /* SEEN_NONE: go on at the beginning */
	uint16_t size;	/* of the state */
	uint16_t packed;
} Queued;

#define MOST_PACKED (sizeof(World) + sizeof(World) / 8 + 1)

static Entry   *table;
static uint64_t table_mask;
static uint64_t n_states;
static uint8_t *queue;
static size_t	queue_size;
static size_t	head; /* next to take */
static size_t	tail; /* next to put */
static uint64_t n_queued;

bool
seen_prepare(size_t bytes)
{
	size_t entries = 1024;

	while (entries * 2 * sizeof(Entry) <= bytes * 3 / 5)
		entries *= 2;
	table = mmap(NULL, entries * sizeof(Entry), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	queue_size = bytes - entries * sizeof(Entry);
	queue = mmap(NULL, queue_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	table_mask = entries - 1;
	if (table == MAP_FAILED || queue == MAP_FAILED)
		return false;
	(void) madvise(table, entries * sizeof(Entry), MADV_HUGEPAGE);
	return true;
}

void
seen_clear(void)
{
	/* Pages that are given back are zero when they are touched again. */
	(void) madvise(table, (table_mask + 1) * sizeof(Entry), MADV_DONTNEED);
	(void) madvise(queue, queue_size, MADV_DONTNEED);
	n_states = n_queued = 0;
	head = tail = 0;
}

static inline uint64_t
mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128) a * b;

	return (uint64_t) product ^ (uint64_t) (product >> 64);
}

/*
 * Two lanes with constants of their own, each a chain of folded products (the
 * way of wyhash), and at last mixed with each other.
 */
static void
hash_state(const World *w, uint64_t *hash)
{
	const uint8_t *bytes = (const uint8_t *) w;
	size_t		   size = world_size(w);
	uint64_t	   a = UINT64_C(0x243F6A8885A308D3) ^ size;
	uint64_t	   b = UINT64_C(0x13198A2E03707344) + size;

	for (size_t at = 0; at < size; at += 8)
	{
		uint64_t word = 0;

		memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
		a = mix(a ^ word, UINT64_C(0x9E3779B97F4A7C15)) + (word << 32 | word >> 32);
		b = mix(b + word, UINT64_C(0xD6E8FEB86659FD93)) ^ word;
	}
	hash[0] = mix(a ^ UINT64_C(0xA4093822299F31D0), b | 1) + a;
	hash[1] = mix(b ^ UINT64_C(0x082EFA98EC4E6C89), a | 1) + b;
	if (hash[0] == 0 && hash[1] == 0)
		hash[1] = 1;
}

/* ---- the queue ---- */

static bool
put(const World *w, uint32_t entry)
{
	const uint8_t *bytes = (const uint8_t *) w;
	Queued		   item = {.entry = entry, .size = (uint16_t) world_size(w)};
	size_t		   need = sizeof(item) + MOST_PACKED + sizeof(item);
	size_t		   bits = (item.size + 7u) / 8;
	uint8_t		  *at;
	uint8_t		  *to;

	if (tail >= head && queue_size - tail < need)
	{
		/* No room at the end: go on at the beginning, behind what is taken. */
		Queued wrap = {.entry = SEEN_NONE};

		if (head <= need)
			return false;
		memcpy(queue + tail, &wrap, sizeof(wrap));
		tail = 0;
	}
	if (tail < head && head - tail <= need)
		return false;
	at = queue + tail + sizeof(item);
	to = at + bits;
	memset(at, 0, bits);
	for (size_t k = 0; k < item.size; k++)
	{
		at[k / 8] |= (uint8_t) ((bytes[k] != 0) << (k % 8));
		*to = bytes[k];
		to += bytes[k] != 0;
	}
	item.packed = (uint16_t) (to - at);
	memcpy(queue + tail, &item, sizeof(item));
	tail += sizeof(item) + item.packed;
	n_queued++;
	return true;
}

uint32_t
seen_next(World *w)
{
	uint8_t		  *bytes = (uint8_t *) w;
	Queued		   item;
	const uint8_t *at;
	const uint8_t *from;

	if (n_queued == 0)
		return SEEN_NONE;
	memcpy(&item, queue + head, sizeof(item));
	if (item.entry == SEEN_NONE)
	{
		head = 0;
		memcpy(&item, queue, sizeof(item));
	}
	at = queue + head + sizeof(item);
	from = at + (item.size + 7u) / 8;
	memset(w, 0, sizeof(*w));
	for (size_t k = 0; k < item.size; k++)
	{
		if (at[k / 8] >> (k % 8) & 1)
			bytes[k] = *from++;
	}
	head += sizeof(item) + item.packed;
	n_queued--;
	return item.entry;
}

/* ---- the table ---- */

SeenResult
seen_add(const World *w, uint32_t from, uint32_t step)
{
	uint64_t hash[2];
	uint64_t at;

	hash_state(w, hash);
	for (at = hash[0] & table_mask; table[at].hash[0] != 0 || table[at].hash[1] != 0;
		 at = (at + 1) & table_mask)
	{
		if (table[at].hash[0] == hash[0] && table[at].hash[1] == hash[1])
			return SEEN_BEFORE;
	}
	if (n_states >= table_mask / 8 * 7 || !put(w, (uint32_t) at))
		return SEEN_FULL;
	table[at] = (Entry){{hash[0], hash[1]}, from, step};
	n_states++;
	return SEEN_NEW;
}

uint32_t
seen_from(uint32_t entry, uint32_t *step)
{
	*step = table[entry].step;
	return table[entry].from;
}

uint64_t
seen_states(void)
{
	return n_states;
}

uint64_t
seen_queued(void)
{
	return n_queued;
}
