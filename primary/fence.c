/*
 * primary/fence.c
 *	  The fence: what becomes of a commit, of a login and of a read at one instant.
 *
 * See fence.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "fence.h"

#include <assert.h>

FenceVerdict
fence_begin(bool is_open, bool drains, uint64_t waited, uint64_t wait)
{
	if (is_open && !drains)
		return FENCE_PASS;
	return waited < wait ? FENCE_WAIT : FENCE_REFUSE;
}

/*
 * As long as the fence is open, enough members may still come to hold it: PostgreSQL waits
 * for them without a limit, too.
 */
FenceVerdict
fence_answer(bool answers, bool is_open, bool hung_up, uint64_t closed_for, uint64_t wait)
{
	assert(!answers || is_open);
	if (hung_up)
		return FENCE_REFUSE;
	if (answers)
		return FENCE_PASS;
	return is_open || closed_for < wait ? FENCE_WAIT : FENCE_REFUSE;
}

FenceLogin
fence_login(const FenceLoginFacts *f)
{
	if (f->in_recovery ? f->compared : f->is_open)
		return FENCE_LOGIN;
	if (f->is_exempt)
		return FENCE_LOGIN_READ_ONLY;
	return f->leads && f->waited < f->wait ? FENCE_LOGIN_WAIT : FENCE_LOGIN_REFUSE;
}

bool
fence_compared(bool before, PrimaryAction action)
{
	switch (action)
	{
		case PRIMARY_FOLLOW:
		case PRIMARY_LEAVE:
			return true;
		case PRIMARY_REWIND:
		case PRIMARY_CLONE:
		case PRIMARY_REFUSE:
			return false;
		default:
			return before;
	}
}

FenceReason
fence_reason(const FenceState *s)
{
	const QuorumView view = {.open_term = s->open_term, .term = s->term, .lease_until = s->lease_until, .now = s->now};

	if (!s->takes_part)
		return FENCE_NO_MEMBER;
	if (quorum_is_open(&view))
		return s->drains ? FENCE_DRAINS : FENCE_OPEN;
	if (!s->has_role_worker)
		return FENCE_NO_ROLE;
	if (s->refuses)
		return FENCE_REFUSED;
	if (s->leader_id >= 0 && s->leader_id != s->self)
		return s->in_recovery ? FENCE_STANDBY : FENCE_OTHER_LEADS;
	if (s->leader_id < 0)
		return FENCE_NO_LEADER;
	return s->lease_until > s->now ? FENCE_NOT_OPENED : FENCE_NO_LEASE;
}

const char *
fence_reason_name(FenceReason reason)
{
	static const char *const names[] = {
		[FENCE_OPEN] = "open",
		[FENCE_NO_MEMBER] = "no_member",
		[FENCE_NO_ROLE] = "no_role_worker",
		[FENCE_REFUSED] = "refused",
		[FENCE_STANDBY] = "standby",
		[FENCE_OTHER_LEADS] = "other_leads",
		[FENCE_NO_LEADER] = "no_leader",
		[FENCE_NO_LEASE] = "no_lease",
		[FENCE_DRAINS] = "drains",
		[FENCE_NOT_OPENED] = "not_opened",
	};

	assert((unsigned) reason < sizeof(names) / sizeof(names[0]));
	return names[reason];
}
