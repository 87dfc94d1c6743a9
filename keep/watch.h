/*
 * keep/watch.h
 *	  What the members say, and the archive's slot on each of them.
 *
 * An ordinary connection to each member, on which one question is under way at a time: a member
 * that hangs keeps nobody waiting.  Who leads is asked of all several times a second; about once a
 * second the slot is made where there is none, made anew where it has lost its WAL, and advanced on
 * standbys.  Used by "run"; get_state_all asks once and changes nothing.
 */
#ifndef PG_LEADER_KEEP_WATCH_H
#define PG_LEADER_KEEP_WATCH_H

#include <poll.h>

#include "archive.h"
#include "plan.h"
#include "session.h"

typedef enum WatchStage
{
	WATCH_AWAY = 0, /* no connection */
	WATCH_CONNECTS,
	WATCH_IDLE,
	WATCH_ASKS,	  /* for its state */
	WATCH_CHANGES /* its slot */
} WatchStage;

/* What a member has said last. */
typedef struct WatchSaid
{
	uint64_t at; /* when, us; 0: never, or the connection has ended since */
	bool	 in_recovery;
	bool	 is_open;
	uint64_t term; /* of its lease; 0: none */
	uint64_t end;  /* what it has replayed, or flushed */
	uint32_t timeline;
	int		 node_id; /* -1: not known */
	PlanSlot slot;
	bool	 slot_is_used;
} WatchSaid;

typedef struct WatchMember
{
	PGconn					 *connection;
	WatchStage				  stage;
	PostgresPollingStatusType polling; /* of WATCH_CONNECTS */
	uint64_t				  until;   /* the end of patience with what is under way */
	uint64_t				  next_at; /* when to connect or to ask again */
	uint64_t				  slot_at; /* when to look after the slot again */
	WatchSaid				  said;
	char					  error[WORDS_SIZE / 2]; /* why it is away, or why its slot cannot be changed; empty: nothing is wrong */
	char					  said_error[WORDS_SIZE / 2];
} WatchMember;

typedef struct Watch
{
	const Members *members;
	uint64_t	   system_id;
	char		   slot[ARCHIVE_SLOT_SIZE];
	bool		   changes; /* slots may be made and advanced */
	PlanArchive	   archive; /* how far it is, for advancing */
	int			   streams; /* the member whose slot is used by the stream; -1: none */
	WatchMember	   at[MEMBERS_MOST];
} Watch;

extern void watch_init(Watch *watch, const Archive *archive, const Members *members, bool changes);
extern void watch_close(Watch *watch);

/* The archive's position is that from now on. */
extern void watch_set_position(Watch *watch, const ArchiveState *state);

/* Its descriptors, one a member; those without one have fd -1. */
extern void watch_fds(const Watch *watch, struct pollfd *fds);

/* Go on, with what poll() has said of them. */
extern void watch_go_on(Watch *watch, const struct pollfd *fds);

/* When it has to be called at the latest. */
extern uint64_t watch_next_at(const Watch *watch);

/* Has it answered, and not long ago? */
extern bool watch_answers(const Watch *watch, int i);

/* For plan_source(). */
extern void watch_words(const Watch *watch, PlanWord *words);

/* Of the members but the one whose fence is open ("leader", or -1): what they hold. */
extern PlanHolds watch_holds(const Watch *watch, int i);
extern bool		 watch_is_exposed(const Watch *watch, int leader);

#endif /* PG_LEADER_KEEP_WATCH_H */
