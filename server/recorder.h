/*
 * server/recorder.h
 *	  The door to the process that may block: journal of events, looks at files.
 *
 * Registered by _PG_init, run by the postmaster.  The election's worker wakes it and
 * never waits for it.
 */
#ifndef PG_LEADER_RECORDER_H
#define PG_LEADER_RECORDER_H

#include "node/store.h"

extern PGDLLEXPORT void pg_leader_recorder_main(Datum argument);

/*
 * For the election's worker, before it takes part: show the events of the journal that
 * are newer than all that are shown.  *evidence, if it is asked for, is what all events
 * tell of this member.  Changes no file; what cannot be read is left to the recorder to
 * complain about.
 */
extern void recorder_load_events(StoreEvidence *evidence);

#endif /* PG_LEADER_RECORDER_H */
