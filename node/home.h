/*
 * node/home.h
 *	  A member's home on this machine: its socket, its state file, its keys, and one
 *	  turn of the loop that it lives by.
 *
 * What home.c does is what every process that hosts a member has to do in the same way;
 * the process itself waits for events, has settings, and shows things to people.
 *
 * A member can move: it has several homes, one at a time.  The state file's lock and the
 * port see to that: home_open() fails, and can be called again, until the other home is
 * closed.  The record that the other one left is what this one begins with; the peers
 * see a restart.
 *
 * Called by the worker and bench/member.  No backend symbols.
 */
#ifndef PG_LEADER_HOME_H
#define PG_LEADER_HOME_H

#include "cluster.h"
#include "member.h"
#include "secret.h"
#include "store.h"
#include "transport.h"

/* After so many datagrams, what is due and signals have their turn. */
#define HOME_DATAGRAMS 128

/*
 * When only the timer has rung, and no later than this, in us, the sockets need not be
 * asked: they were empty when the process was woken.
 */
#define HOME_ON_TIME 1000

/* What the process has to bring along; the pointers stay its own. */
typedef struct HomeSettings
{
	const Cluster *cluster;
	RaftConfig	   config; /* all but list_appended, incarnation and seed */
	const char	  *cluster_name;
	const char	  *listen_address; /* empty: the member's entry in the list */
	const char	  *state_directory;

	/* Asked when the state file is locked: what else tells of earlier starts?  Or NULL. */
	void (*look_for_evidence)(StoreEvidence *evidence);
} HomeSettings;

typedef struct Home Home;

struct Home
{
	Member		   member;
	Store		   store;	  /* fd -1: not open */
	Transport	   transport; /* fd -1: not open */
	Secret		   secret;	  /* the process fills it in, before home_open() */
	const Cluster *cluster;
	RaftConfig	   config;
	RaftSaved	   first; /* the first record of this start */
	RaftMessage	   message;

	/* What the state file was like: "ok", or in a few words what was wrong. */
	const char *store_health;

	/*
	 * For each datagram, unless NULL: it has arrived (result: at the door, or in
	 * home->message); and then, for a message, the member has taken it in.
	 */
	void (*arrived)(Home *home, TransportResult result);
	void (*taken)(Home *home);

	/* Addresses of members may have changed since this was last set to false. */
	bool addresses_changed;
};

/* A home that is not open. */
extern void home_init(Home *home);

/*
 * The socket first, then the state file: what this start makes durable, it makes durable
 * only for a list that this machine can be a member of.  false: *words says why not; may be called again.
 */
extern bool home_open(Home *home, const HomeSettings *settings, Words *words);

/*
 * Begin: the member follows, and is shown.  "host" has functions for clock, save and
 * send that call those below.  false: no random numbers could be had.
 */
extern bool home_start(Home *home, const MemberHost *host);

/* The home of a member that was started by home_start(). */
static inline Home *
home_of(Member *member)
{
	return (Home *) member->context;
}

/*
 * The member that runs gets another list, see raft_set_list().  "configured" is what the settings
 * have; *members, the list that home_open() was given, becomes that and whoever counts besides.  false,
 * with words: nothing has changed.
 */
extern bool home_set_list(Home *home, Cluster *members, const Cluster *configured, Words *words);

/* Make member->raft.saved durable; false, with words in error. */
extern bool home_save(Home *home, Words *words);

/* Readable when there is something to receive; good until home_close(). */
extern int home_pollable(const Home *home);

/* When home_turn() must be called although nothing is readable. */
extern uint64_t home_deadline(const Home *home);

/*
 * One turn: what has come, then what is due.  timer_only: nothing but the timer has woken
 * the process.  false, with words: the member cannot be reached any more
 * where it listens.  Resign, close, and start again.
 */
extern bool home_turn(Home *home, bool timer_only, Words *words);

/* Close the socket and let go of the state file.  Does not resign.  Safe to call twice. */
extern void home_close(Home *home);

#endif /* PG_LEADER_HOME_H */
