/*
 * node/sieve.c
 *	  What of a flood the kernel may drop, so that nobody has to read it.
 *
 * See sieve.h.  The program looks at the header alone, whose meaning is the same in
 * every version of the protocol (message.h), in the order of raft_recognise().
 */
#include "sieve.h"

#include <assert.h>
#include <stddef.h>

#include "../raft/message.h"
#include "../raft/raft.h"

/* A UDP socket's filter sees the UDP header first. */
#define UDP_HEADER 8

/*
 * Where a comparison can lead: so many instructions ahead, or to one of the ends, which
 * become distances when the program is complete.
 */
enum
{
	NEXT = 0,
	SKIP_TWO = 2,
	PASS = 253,			   /* let it through */
	SAMPLE = 254,		   /* let one in SIEVE_SAMPLE through */
	SAMPLE_GREETINGS = 255 /* let one in SIEVE_GREETINGS through */
};

typedef struct Writer
{
	struct sock_filter *program;
	uint8_t				n;
} Writer;

static void
put(Writer *w, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
	assert(w->n < SIEVE_SIZE);
	w->program[w->n++] = (struct sock_filter){.code = code, .jt = if_true, .jf = if_false, .k = k};
}

/* Compare what was loaded last. */
static void
when(Writer *w, uint16_t comparison, uint32_t with, uint8_t if_true, uint8_t if_false)
{
	put(w, BPF_JMP | comparison | BPF_K, with, if_true, if_false);
}

static void
load_byte(Writer *w, uint32_t at)
{
	put(w, BPF_LD | BPF_B | BPF_ABS, UDP_HEADER + at, NEXT, NEXT);
}

static void
load_word(Writer *w, uint32_t at)
{
	put(w, BPF_LD | BPF_W | BPF_ABS, UDP_HEADER + at, NEXT, NEXT);
}

static void
load_length(Writer *w)
{
	put(w, BPF_LD | BPF_W | BPF_LEN, 0, NEXT, NEXT);
}

/* Does this field of 8 bytes have that value?  If so, go on. */
static void
must_be(Writer *w, uint32_t at, uint64_t value, uint8_t otherwise)
{
	load_word(w, at);
	when(w, BPF_JEQ, (uint32_t) (value >> 32), NEXT, otherwise);
	load_word(w, at + 4);
	when(w, BPF_JEQ, (uint32_t) value, NEXT, otherwise);
}

/* Above it: through.  Below it: nearly none.  Equal: go on. */
static void
must_not_be_below(Writer *w, uint32_t at, uint64_t value)
{
	for (uint32_t half = 0; half < 2; half++)
	{
		uint32_t part = (uint32_t) (half == 0 ? value >> 32 : value);

		load_word(w, at + 4 * half);
		when(w, BPF_JGT, part, PASS, NEXT);
		when(w, BPF_JEQ, part, NEXT, SAMPLE);
	}
}

/* Above it: nearly none.  Else go on. */
static void
must_not_be_above(Writer *w, uint32_t at, uint64_t value)
{
	load_word(w, at);
	when(w, BPF_JGT, (uint32_t) (value >> 32), SAMPLE, NEXT);
	when(w, BPF_JEQ, (uint32_t) (value >> 32), NEXT, SKIP_TWO);
	load_word(w, at + 4);
	when(w, BPF_JGT, (uint32_t) value, SAMPLE, NEXT);
}

/* One in so many, by chance. */
static void
sample(Writer *w, uint32_t one_in)
{
	put(w, BPF_LD | BPF_W | BPF_ABS, (uint32_t) (SKF_AD_OFF + SKF_AD_RANDOM), NEXT, NEXT);
	when(w, BPF_JSET, one_in - 1, NEXT, 1);
	put(w, BPF_RET | BPF_K, 0, NEXT, NEXT);
	put(w, BPF_RET | BPF_K, UINT32_MAX, NEXT, NEXT);
}

/* The ends that all comparisons lead to, and the ways to them. */
static void
finish(Writer *w)
{
	uint8_t n = w->n;
	uint8_t ends[3]; /* in the order of the names above */

	ends[0] = w->n;
	put(w, BPF_RET | BPF_K, UINT32_MAX, NEXT, NEXT);
	ends[1] = w->n;
	sample(w, SIEVE_SAMPLE);
	ends[2] = w->n;
	sample(w, SIEVE_GREETINGS);
	for (uint8_t i = 0; i < n; i++)
	{
		struct sock_filter *instruction = &w->program[i];

		if (BPF_CLASS(instruction->code) != BPF_JMP)
			continue;
		if (instruction->jt >= PASS)
			instruction->jt = (uint8_t) (ends[instruction->jt - PASS] - i - 1);
		if (instruction->jf >= PASS)
			instruction->jf = (uint8_t) (ends[instruction->jf - PASS] - i - 1);
	}
}

/* The highest number that the peer can have come to while this sieve is in use. */
static uint64_t
furthest(const SieveFacts *facts)
{
	uint64_t ahead = SIEVE_AHEAD + (facts->peer_silent / 1000 + SIEVE_LIFETIME / 1000) * SIEVE_FASTEST;

	return facts->peer_sequence > UINT64_MAX - ahead ? UINT64_MAX : facts->peer_sequence + ahead;
}

unsigned short
sieve_program(const SieveFacts *facts, struct sock_filter *program)
{
	Writer	 w = {.program = program};
	uint64_t oldest = facts->peer_sequence >= RAFT_WINDOW ? facts->peer_sequence - RAFT_WINDOW + 1 : 0;

	/* what is shorter than what is loaded from it is dropped by the kernel itself */
	load_length(&w);
	when(&w, BPF_JGE, UDP_HEADER + MESSAGE_HEADER_SIZE, NEXT, SAMPLE);
	load_word(&w, 0);
	when(&w, BPF_JEQ, MESSAGE_MAGIC, NEXT, SAMPLE);
	must_be(&w, MESSAGE_AT_CLUSTER, facts->cluster_digest, SAMPLE);
	load_word(&w, MESSAGE_AT_FROM);
	when(&w, BPF_JEQ, (uint32_t) facts->from, NEXT, SAMPLE);
	if (facts->has_keys)
	{
		load_byte(&w, MESSAGE_AT_KEY_ID);
		when(&w, BPF_JEQ, 0, SAMPLE, NEXT);
	}
	load_byte(&w, MESSAGE_AT_TYPE);
	when(&w, BPF_JEQ, RAFT_GREETING, SAMPLE_GREETINGS, NEXT);
	must_be(&w, MESSAGE_AT_ECHO_BOOT, facts->own_boot, SAMPLE);
	must_be(&w, MESSAGE_AT_ECHO_INCARNATION, facts->own_incarnation, SAMPLE);
	must_not_be_below(&w, MESSAGE_AT_BOOT, facts->peer_boot);

	/* a twin's: the election tells of it */
	must_be(&w, MESSAGE_AT_INCARNATION, facts->peer_incarnation, PASS);
	must_not_be_above(&w, MESSAGE_AT_SEQUENCE, furthest(facts));
	must_not_be_below(&w, MESSAGE_AT_SEQUENCE, oldest);
	finish(&w);
	return w.n;
}
