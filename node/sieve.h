/*
 * node/sieve.h
 *	  What of a flood the kernel may drop, so that nobody has to read it.
 *
 * A flood with a peer's address has to be read to the end, because that peer's own
 * datagrams are among it.  Most of what an attacker can send is known to have no
 * effect before its tag is looked at: it is no datagram of ours, has no tag, speaks to
 * another start of ours, has come before, or has a number that the peer cannot have
 * come to.  A socket filter (a program of classic
 * BPF, which any user may attach to a socket of his own) drops that where it comes in,
 * for a tenth of what reading it costs.
 *
 * One in sixteen is let through all the same, by chance.  So the counters go on to say
 * what the flood is made of, a greeting still comes of an echo that is out of date, and
 * a sieve that is wrong about a peer delays it, but never shuts it out.  Of greetings,
 * which anybody can make up and which are sent again until they are answered, it is one
 * in four.  The word of a newer start of the peer always gets through.
 *
 * What it knows of the peer is as old as the sieve.  That only lets more through:
 * starts and sequence numbers never go back.  When something of our own changes, our
 * start or whether we have keys, the sieve has to be made anew.
 *
 * Called by the intake.  No backend symbols, no system calls.
 */
#ifndef PG_LEADER_SIEVE_H
#define PG_LEADER_SIEVE_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/filter.h>

#define SIEVE_SIZE 64 /* instructions, at most */

/* One in so many gets through; powers of 2. */
#define SIEVE_SAMPLE	16
#define SIEVE_GREETINGS 4

/* How long a sieve is good enough. */
#define SIEVE_LIFETIME UINT64_C(500000) /* us */

/*
 * No member sends more datagrams than the second in a millisecond, to all others
 * together; the first is for what was under way, and for clocks.
 */
#define SIEVE_AHEAD	  1000
#define SIEVE_FASTEST 100

typedef struct SieveFacts
{
	uint64_t cluster_digest;
	int32_t	 from;	   /* the peer whose queue it is */
	bool	 has_keys; /* so what is not signed is dropped */
	uint64_t own_boot; /* this start of ours */
	uint64_t own_incarnation;
	uint64_t peer_boot; /* the peer's newest start that is known; 0: none */
	uint64_t peer_incarnation;
	uint64_t peer_sequence; /* the highest number of that start that was seen */
	uint64_t peer_silent;	/* us since the peer was heard */
} SieveFacts;

/* Write the program for a peer's UDP socket, and return its length. */
extern unsigned short sieve_program(const SieveFacts *facts, struct sock_filter *program);

#endif /* PG_LEADER_SIEVE_H */
