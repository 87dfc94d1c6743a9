/*
 * primary/promotion.c
 *	  May this server make a timeline of its own now, and which ids does it pass over?
 *
 * See promotion.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "promotion.h"

#include <assert.h>

#define FIRST_HISTORY 2 /* timeline 1 has none */

static bool
is_taken(const PromotionFacts *f)
{
	return f->target >= f->authorised || histories_count(&f->histories, f->authorised, UINT32_MAX) > 0;
}

uint32_t
promotion_passed_over(const Histories *histories, uint32_t target, uint32_t claim)
{
	if (claim <= target)
		return 0;
	return claim - 1 - target - histories_count(histories, target + 1, claim - 1);
}

PromotionVerdict
promotion_verdict(const PromotionFacts *facts)
{
	if (facts->authorised == 0)
		return PROMOTION_NOT_AUTHORISED;
	if (facts->authorised_term != facts->term)
		return PROMOTION_OTHER_TERM;
	if (facts->lease_until <= facts->now)
		return PROMOTION_NO_LEASE;
	if (is_taken(facts))
		return PROMOTION_ID_TAKEN;
	if (facts->target_begin > facts->end)
		return PROMOTION_TARGET_AHEAD;
	if (promotion_passed_over(&facts->histories, facts->target, facts->authorised) > PROMOTION_MOST_BURNT && !facts->burn_any)
		return PROMOTION_MANY_BURNT;
	return PROMOTION_GOES_ON;
}

uint32_t
promotion_burns(const Histories *histories, uint32_t claim, uint32_t after)
{
	uint32_t id = after < FIRST_HISTORY ? FIRST_HISTORY : after + 1;

	while (id < claim && histories_kind(histories, id) != HISTORY_NONE)
		id++;
	return id < claim ? id : 0;
}

uint32_t
promotion_archives(const Histories *histories, const PromotionArchived *archived, uint32_t timeline, bool *more)
{
	uint32_t id = timeline;

	*more = false;
	for (uint32_t i = histories->n; i > 0 && histories->files[i - 1].timeline >= id; i--)
	{
		const HistoryFile *file = &histories->files[i - 1];

		if (file->timeline > id)
			continue;
		if (file->kind != (id == timeline ? HISTORY_REAL : HISTORY_BURNT))
			break;
		*more = archived[i - 1] != PROMOTION_ARCHIVED;
		if (*more)
			return archived[i - 1] == PROMOTION_NOT_ARCHIVED ? id : 0;
		id--;
	}
	return 0;
}

const char *
promotion_describe(PromotionVerdict verdict)
{
	static const char *const words[PROMOTION_VERDICTS] = {
		[PROMOTION_GOES_ON] = "it goes on",
		[PROMOTION_NOT_AUTHORISED] = "the election has not authorised it",
		[PROMOTION_OTHER_TERM] = "it was authorised in another term",
		[PROMOTION_NO_LEASE] = "there is no lease",
		[PROMOTION_ID_TAKEN] = "there is a history file of the claimed timeline or a later one",
		[PROMOTION_TARGET_AHEAD] = "the recovery target timeline begins after the end of local WAL",
		[PROMOTION_MANY_BURNT] = "too many timeline ids would be passed over",
	};

	assert(verdict < PROMOTION_VERDICTS);
	return words[verdict];
}
