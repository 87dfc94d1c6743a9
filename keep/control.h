/*
 * keep/control.h
 *	  What pg_control says of a data directory whose server does not run, or runs for us.
 */
#ifndef PG_LEADER_KEEP_CONTROL_H
#define PG_LEADER_KEEP_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "../node/words.h"

/* Settings that a server in recovery needs as high as the primary had them. */
typedef struct ControlFigures
{
	int max_connections;
	int max_worker_processes;
	int max_wal_senders;
	int max_prepared_transactions;
	int max_locks_per_transaction;
} ControlFigures;

typedef struct Control
{
	uint64_t	   system_id;
	uint32_t	   segment_size;
	uint64_t	   redo; /* where replay begins */
	uint64_t	   end;	 /* of WAL at which the data are consistent; 0: not in recovery */
	uint32_t	   end_timeline;
	bool		   is_stopped; /* cleanly, in recovery */
	bool		   has_checksums;
	ControlFigures figures;
} Control;

/* false: words. */
extern bool control_read(const char *data, Control *control, Words *words);

#endif /* PG_LEADER_KEEP_CONTROL_H */
