/*
 * primary/news.c
 *	  What pg_leader.notify_command is told next.
 *
 * See news.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "news.h"

static News
lost(const NewsTold *told, int32_t leader_id)
{
	/* of whatever was left behind: the present term may be another's */
	return (News){.kind = NEWS_LOST, .term = told->anything ? told->lease_term : 0, .leader_id = leader_id};
}

News
news_next(const NewsTold *told, const NewsSeen *seen, bool leaving)
{
	bool	is_other = seen->leader_id >= 0 && seen->leader_id != seen->self;
	int32_t leader_id = is_other ? seen->leader_id : RAFT_NONE;

	if (told->anything && told->lease && (!seen->has_lease || seen->lease_term != told->lease_term))
		return lost(told, leader_id);
	if (leaving)
		return (News){.kind = NEWS_NONE};
	if (seen->has_lease)
		return (News){.kind = told->lease ? NEWS_NONE : NEWS_GAINED, .term = seen->lease_term, .leader_id = seen->self};
	if (!told->anything)
		return lost(told, leader_id);
	if (is_other && (leader_id != told->leader_id || seen->term != told->leader_term))
		return (News){.kind = NEWS_LEADER, .term = seen->term, .leader_id = leader_id};
	return (News){.kind = NEWS_NONE};
}

void
news_told(NewsTold *told, const News *news)
{
	if (!told->anything)
		told->leader_id = RAFT_NONE;
	told->anything = true;
	told->lease = news->kind == NEWS_GAINED;
	if (news->kind == NEWS_GAINED)
		told->lease_term = news->term;
	if (news->kind != NEWS_LOST)
	{
		told->leader_id = news->leader_id;
		told->leader_term = news->term;
	}
}

bool
news_is_over(const News *news, const NewsSeen *seen)
{
	return news->kind == NEWS_GAINED && (!seen->has_lease || seen->lease_term != news->term);
}
