/*
 * primary/quorum.c
 *	  Who counts for a commit, and how many have to.
 *
 * See quorum.h.  Pure C11: no input or output, no clock, no allocation.
 */
#include "quorum.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define NAME_PREFIX "pg_leader_"

static bool
is_member(uint64_t members, int32_t id)
{
	return id >= 0 && id < RAFT_MAX_NODES && (members >> id & 1) != 0;
}

static uint32_t
copies_of(uint64_t members)
{
	return raft_copies(raft_count_nodes(members));
}

/*
 * Whose names, and how many copies in all.  One list contains the other: who is in both is in
 * the smaller one.  Only where that has too few, as from one member to two, the larger one.
 */
uint64_t
quorum_named(const RaftList *list, uint32_t *copies)
{
	uint64_t both = list->now & list->old;

	*copies = copies_of(list->now);
	if (!raft_list_is_joint(list))
		return list->now;
	if (copies_of(list->old) > *copies)
		*copies = copies_of(list->old);
	return raft_count_nodes(both) >= *copies ? both : list->now | list->old;
}

const char *
quorum_names(const RaftList *list, char *buffer, size_t size)
{
	uint32_t	copies;
	uint64_t	members = quorum_named(list, &copies);
	const char *separator = "";
	size_t		length;

	assert(size >= QUORUM_NAMES_SIZE);
	buffer[0] = '\0';
	if (copies == 1)
		return buffer;
	length = (size_t) snprintf(buffer, size, "ANY %u (", copies - 1);
	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
	{
		if (!is_member(members, id))
			continue;
		length += (size_t) snprintf(buffer + length, size - length, "%s\"" NAME_PREFIX "%d\"", separator, id);
		separator = ", ";
	}
	length += (size_t) snprintf(buffer + length, size - length, ")");
	assert(length < size);
	return buffer;
}

/* Of a joint list: what counted before.  Of one that was reached through that: the joint one. */
static RaftList
list_before(const RaftList *list)
{
	if (raft_list_is_joint(list))
		return (RaftList){.number = list->number - 1, .now = list->old};
	return (RaftList){.number = list->number - 1, .now = list->now, .old = list->old};
}

bool
quorum_has_names(const RaftList *list, const char *names)
{
	char	 buffer[QUORUM_NAMES_SIZE];
	RaftList before = list_before(list);

	if (strcmp(names, quorum_names(list, buffer, sizeof(buffer))) == 0)
		return true;
	return list->old != 0 && strcmp(names, quorum_names(&before, buffer, sizeof(buffer))) == 0;
}

void
quorum_take_list(QuorumView *view, const RaftList *list)
{
	view->members = list->now;
	view->old = raft_list_is_joint(list) ? list->old : 0;
}

static bool
has_prefix(const char *name)
{
	for (const char *prefix = NAME_PREFIX; *prefix != '\0'; prefix++, name++)
	{
		char lower = *name >= 'A' && *name <= 'Z' ? (char) (*name - 'A' + 'a') : *name;

		if (lower != *prefix)
			return false;
	}
	return true;
}

int32_t
quorum_member(const char *application_name)
{
	const char *digits = application_name + strlen(NAME_PREFIX);
	int32_t		id = 0;

	if (!has_prefix(application_name) || *digits == '\0')
		return RAFT_NONE;
	if (digits[0] == '0' && digits[1] != '\0')
		return RAFT_NONE;
	for (; *digits != '\0'; digits++)
	{
		if (*digits < '0' || *digits > '9')
			return RAFT_NONE;
		id = id * 10 + (*digits - '0');
		if (id >= RAFT_MAX_NODES)
			return RAFT_NONE;
	}
	return id;
}

bool
quorum_is_from(int32_t member, int32_t host)
{
	return member == host;
}

static bool
has_newer(const QuorumView *view, const QuorumSender *sender)
{
	for (uint32_t i = 0; i < view->n_senders; i++)
	{
		const QuorumSender *other = &view->senders[i];

		if (other->member == sender->member && other->started > sender->started)
			return true;
	}
	return false;
}

/* An older one is no member's any more, even where the newer one does not count. */
QuorumVerdict
quorum_verdict(const QuorumView *view, uint32_t i)
{
	const QuorumSender *sender = &view->senders[i];

	assert(i < view->n_senders);
	if (!is_member(view->members | view->old, sender->member) || sender->member == view->self)
		return QUORUM_NOBODYS;
	if (has_newer(view, sender))
		return QUORUM_OLDER;
	if (sender->flush > view->flush)
		return QUORUM_DIVERGED;
	return view->bounds[sender->member] > view->now ? QUORUM_COUNTS : QUORUM_UNBOUND;
}

/*
 * A walreceiver begins by reporting what it has replayed as flushed, whatever timeline that
 * is on, and PostgreSQL believes it.  What has been sent is on our own path.
 */
static uint64_t
held_by(const QuorumSender *sender)
{
	return sender->flush < sender->sent ? sender->flush : sender->sent;
}

uint64_t
quorum_holders(const QuorumView *view, uint64_t end)
{
	uint64_t holders = 0;

	if (view->flush >= end)
		holders |= UINT64_C(1) << view->self;
	for (uint32_t i = 0; i < view->n_senders; i++)
	{
		const QuorumSender *sender = &view->senders[i];

		if (quorum_verdict(view, i) == QUORUM_COUNTS && held_by(sender) >= end)
			holders |= UINT64_C(1) << sender->member;
	}
	return holders;
}

/*
 * "The server itself, and others": whoever counts is not beyond our own flush, so that
 * nobody holds what we do not hold.
 */
static bool
is_held(const QuorumView *view, uint64_t end)
{
	uint64_t holders = quorum_holders(view, end);

	return is_member(view->members | view->old, view->self) && raft_count_nodes(holders & view->members) >= copies_of(view->members) &&
		   raft_count_nodes(holders & view->old) >= (view->old == 0 ? 0 : copies_of(view->old));
}

/*
 * Whoever opens the fence may be late to close it: what it was opened for in one term lets
 * nothing through in a later one, before rules 17 and 18 were asked again.  For an even
 * number of members C bounds are fewer than V: the lease is asked as well.
 */
bool
quorum_is_open(const QuorumView *view)
{
	return view->open_term != 0 && view->open_term == view->term &&
		   view->lease_until > view->now;
}

bool
quorum_answers(const QuorumView *view, uint64_t end)
{
	return quorum_is_open(view) && is_held(view, end);
}

uint64_t
quorum_flushed(const QuorumView *view)
{
	uint64_t held = is_held(view, view->flush) ? view->flush : 0;

	for (uint32_t i = 0; i < view->n_senders; i++)
	{
		uint64_t end = held_by(&view->senders[i]);

		if (end > held && quorum_verdict(view, i) == QUORUM_COUNTS && is_held(view, end))
			held = end;
	}
	return held;
}
