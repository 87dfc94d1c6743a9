/*
 * server/managed.c
 *	  The election worker's part in managed mode.
 *
 * See managed.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "node/clock.h"
#include "server/exchange.h"
#include "server/fence.h"
#include "server/health.h"
#include "server/managed.h"
#include "server/settings.h"
#include "server/show.h"

static ExchangeData told; /* what the member was told last */

bool
managed_may_lead(void)
{
	return settings.candidate && (!settings.manage || (told.may_stand && health_now() == PRIMARY_HEALTHY));
}

static void
take_data(Member *member)
{
	ExchangeData data;

	if (!exchange_take_data(&data))
		return;
	health_keep(member, data.data.server);
	if (memcmp(&data, &told, sizeof(data)) == 0)
		return;
	told = data;
	raft_set_may_lead(&member->raft, managed_may_lead());
	member_set_data(member, &data.data);
}

static void
resign(Member *member, const char *why)
{
	show_cause(why);
	member_resign(member);
	show_cause(NULL);
}

static uint32_t
obey(Member *member, ExchangeQuestion *question)
{
	switch (question->kind)
	{
		case EXCHANGE_CLAIM:
			return member_claim(member);
		case EXCHANGE_TRANSFER:
			return member_transfer(member, question->node);
		case EXCHANGE_HASTEN:
			raft_hasten(&member->raft, clock_now());
			return 1;
		case EXCHANGE_PROMOTE:
			return member_promote(member);
		case EXCHANGE_PROMOTED:
			member_promoted(member);
			return 1;
		case EXCHANGE_FOLLOW:
			return member_follow(member, question->timelines, question->n_timelines);
		case EXCHANGE_REBUILD:
			return member_rebuild(member, question->how, question->held);
		case EXCHANGE_REBUILT:
			return member_rebuilt(member);
		case EXCHANGE_FORGOT:
			return raft_forgot(&member->raft, question->node);
		case EXCHANGE_RESIGN:
			question->text[sizeof(question->text) - 1] = '\0';
			resign(member, question->text);
			return 1;
		case EXCHANGE_REMEMBER:
			member_remember_held(member, question->held);
			return 1;
		case EXCHANGE_EVENT:
			question->text[sizeof(question->text) - 1] = '\0';
			show_event(&member->raft, question->text);
			return 1;
	}
	return 0;
}

void
managed_begin_turn(Member *member)
{
	ExchangeQuestion question;
	uint32_t		 answer;

	if (!settings.manage)
		return;
	exchange_hold_reports();
	take_data(member);
	if (!exchange_next_question(&question))
		return;
	answer = obey(member, &question);

	/* whoever asked sees what has become of it */
	exchange_show_core(&member->raft);
	exchange_answer(&question, answer);
}

void
managed_end_turn(Member *member)
{
	if (!settings.manage)
		return;
	fence_show_bounds(&member->raft); /* first: who writes the names knows that commits are counted by them */
	exchange_show_core(&member->raft);
	exchange_release_reports(&member->raft);
}

void
managed_end(void)
{
	if (!settings.manage)
		return;
	exchange_show_core(NULL);
	fence_show_bounds(NULL);
}
