/*
 * primary/histories.c
 *	  The timelines that a data directory has files of.
 *
 * See histories.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "histories.h"

HistoryKind
histories_kind(const Histories *histories, uint32_t timeline)
{
	uint32_t low = 0;
	uint32_t high = histories->n;

	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;

		if (histories->files[middle].timeline == timeline)
			return histories->files[middle].kind;
		if (histories->files[middle].timeline < timeline)
			low = middle + 1;
		else
			high = middle;
	}
	return HISTORY_NONE;
}

uint32_t
histories_count(const Histories *histories, uint32_t first, uint32_t last)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < histories->n; i++)
	{
		const HistoryFile *file = &histories->files[i];

		n += file->kind != HISTORY_NONE && file->timeline >= first && file->timeline <= last;
	}
	return n;
}
