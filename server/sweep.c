/*
 * server/sweep.c
 *	  Clears pg_wal of what would keep the startup process from starting.
 *
 * See sweep.h.  Of the facts those about the leader are left out, as it is not asked here, and
 * those about local WAL, which is not read: so there is nothing to copy and nothing to burn.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"

#include "primary/start.h"
#include "server/control_file.h"
#include "server/history_files.h"
#include "server/position.h"
#include "server/sweep.h"

static bool
gather(StartFacts *facts, Words *words)
{
	ControlFileData control;

	memset(facts, 0, sizeof(*facts));
	if (!control_file_read(&control, words) || !position_read_histories(&facts->histories, words))
		return false;
	facts->control_timeline = control_file_timeline(&control);
	facts->timeline = facts->control_timeline;
	facts->backup_label = access(BACKUP_LABEL_FILE, F_OK) == 0;
	facts->checkpoint = facts->backup_label ? 0 : control.checkPoint;
	facts->min_recovery = control.minRecoveryPoint;
	facts->was_primary = control.state == DB_IN_PRODUCTION || control.state == DB_SHUTDOWNING ||
						 control.state == DB_SHUTDOWNED || control.state == DB_IN_CRASH_RECOVERY;
	return true;
}

static void
log_failure(const Words *words)
{
	ereport(LOG, (errmsg("pg_leader: pg_wal is not cleared before the start: %s", words->error)));
}

/* false: words say what failed. */
static bool
sweep_timeline(const StartFacts *facts, uint32 timeline, Words *words)
{
	StartSweep	todo = start_sweep(facts, timeline);
	HistoryKind kind = histories_kind(&facts->histories, timeline);

	if (todo.remove_wal)
	{
		if (!history_files_remove_wal(timeline, words))
			return false;
		ereport(LOG, (errmsg("pg_leader: removed the WAL of timeline %u, which begins before the point that this server has reached", timeline)));
	}
	if (todo.history == START_REMOVE)
	{
		if (!history_files_remove(timeline, words))
			return false;
		ereport(LOG, (errmsg("pg_leader: removed the history file of timeline %u, %s", timeline,
							 kind == HISTORY_BURNT ? "which is the newest and was never used" : "which begins before the point that this server has reached")));
	}
	return true;
}

uint32_t
sweep_before_start(bool *is_copy)
{
	StartFacts facts;
	Words	   words;
	uint32	   timeline;

	*is_copy = false;
	if (!gather(&facts, &words))
	{
		log_failure(&words);
		return 0;
	}
	for (timeline = start_last(&facts); timeline >= 2; timeline--)
	{
		if (!sweep_timeline(&facts, timeline, &words))
			log_failure(&words);
	}
	if (!history_files_sync(&words))
		log_failure(&words);
	*is_copy = start_is_copy(&facts);
	return start_wrote_on(&facts);
}
