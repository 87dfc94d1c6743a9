/*
 * server/fence_view.c
 *	  The SQL function behind pg_leader_fence: is the fence open, and if not, why.
 */
#include "postgres.h"

#include "node/clock.h"
#include "server/fence.h"
#include "server/row.h"
#include "server/settings.h"

EXPORTED_FUNCTION(pg_leader_get_fence);

/*
 * pg_leader_get_fence(OUT is_open, OUT reason, OUT reason_text, OUT since, OUT term, OUT waiting,
 * OUT waited, OUT withheld, OUT commits_refused, OUT commands_refused, OUT reads_refused, OUT
 * logins_refused): NULLs without managed mode.
 */
Datum
pg_leader_get_fence(PG_FUNCTION_ARGS)
{
	FenceShown	shown;
	FenceReason reason;
	char		text[FENCE_TEXT_SIZE];
	Row			row = {0};
	int			i;

	require_library();
	if (!settings.manage)
	{
		for (i = 0; i < 6 + FENCE_COUNTS; i++)
			add_null(&row);
		return return_row(fcinfo, &row);
	}
	fence_read_shown(&shown);
	(void) fence_describe(&reason, text);
	add(&row, BoolGetDatum(reason == FENCE_OPEN));
	add_text(&row, fence_reason_name(reason));
	add_text_or_null(&row, text);
	add_age(&row, shown.changed_at, clock_now());
	if (shown.open_term != 0)
		add_count(&row, shown.open_term);
	else
		add_null(&row);
	add(&row, Int32GetDatum((int32) shown.waiting));
	for (i = 0; i < FENCE_COUNTS; i++)
		add_count(&row, fence_counted((FenceCount) i));
	return return_row(fcinfo, &row);
}
