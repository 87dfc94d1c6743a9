/*
 * server/promotion.h
 *	  The end of recovery in managed mode: who may promote this server, and to which timeline.
 *
 * Rule 14.  A resource manager without records: PostgreSQL calls its rm_startup before the
 * first record is replayed and its rm_cleanup after the last one, in the startup process, before
 * the timeline is chosen.  There primary/promotion.c is asked: FATAL, and with it the whole
 * server ends and comes back as a standby; or history files are made for the ids that are passed
 * over, so that PostgreSQL takes exactly the claim.  pg_promote() is refused before that by
 * object_access_hook.  And before the startup process begins, primary/start.c says which files
 * must not be in its way.
 *
 * Nothing here may be called unless pg_leader.manage is on.  Raises no error but for want of memory,
 * where nothing else is said.
 */
#ifndef PG_LEADER_PROMOTION_SERVER_H
#define PG_LEADER_PROMOTION_SERVER_H

#include "../primary/promotion.h"
#include "../node/lineage.h"

/* ---- the postmaster ---- */

/*
 * In _PG_init, managed mode: the resource manager and the hook.  Another library that has taken
 * the resource manager's id: FATAL, with a hint.
 */
extern void promotion_register(void);
extern void promotion_request_memory(void);

/* Shared memory; and, as no startup process runs yet, clears pg_wal by start_sweep(). */
extern void promotion_init_memory(void);

/* ---- the role worker ---- */

/*
 * On which timeline this server wrote WAL itself before this start, as pg_control said then
 * (start_wrote_on()); 0: it did not say.
 */
extern uint32_t promotion_wrote_on(void);

/* Was the data directory a base backup before this start (start_is_copy())? */
extern bool promotion_of_copy(void);

/*
 * May this server be promoted to that claim of that term now?  As the startup process will ask
 * itself.  "end": of local WAL, all replayed.  Where pg_wal cannot be read the log says so, and it
 * is PROMOTION_NOT_AUTHORISED.
 */
extern PromotionVerdict promotion_ask(uint32_t claim, uint64_t term, uint64_t end, bool burn_any);

/*
 * Let the startup process use that claim, and promote: the "promote" file and SIGUSR1.  Where
 * redo has not begun nobody is asked at its end, so what lies between is burnt here.  false:
 * words say what failed, and nothing was asked for.  Then wake recovery every 10 ms
 * until it is over.
 */
extern bool promotion_begin(uint32_t claim, uint64_t term, bool burn_any, Words *words);

/* The startup process may use no claim any more, and there is no "promote" file. */
extern void promotion_revoke(void);

/* The highest timeline, of those with a history file, that it would be aimed at: PromotionFacts.target. */
extern uint32_t promotion_target(const Histories *histories);

/*
 * After a promotion, now and then: let the archiver have the burnt ids, the highest first and
 * one after the other, so that no standby or recovery that reads the archive sees
 * a file without what comes after it.  true: there is more to do.
 */
extern bool promotion_archive_burnt(void);

#endif /* PG_LEADER_PROMOTION_SERVER_H */
