/*
 * raft/list.c
 *	  Which members count, and what a majority of them is (rule 24).
 *
 * Until something is claimed, those of the configured list do.  From then on it is a fact of
 * the cluster, kept and told like claims: a list with a number.  An even number: the members
 * "now" count.  An odd one: the cluster is on its way from "old" to "now" (4.3, joint
 * consensus), and whatever needs a majority needs one of both.  So two lists that follow each
 * other cannot decide apart, and membership.c goes on to the next one only when nothing
 * depends on the one before the present any more.
 *
 * Leaders that die before anybody hears of their lists may leave different ones of the same
 * number.  As with entries of Raft's log, that of the later term counts (3.6.1).
 *
 * The lowest file of the core: it changes nothing and calls no other.
 */
#include "internal.h"

bool
raft_list_equals(const RaftList *a, const RaftList *b)
{
	return a->number == b->number && a->term == b->term && a->now == b->now && a->old == b->old && a->digest == b->digest;
}

bool
raft_list_is_newer(const RaftList *a, const RaftList *b)
{
	return a->number != b->number ? a->number > b->number : a->term > b->term;
}

uint64_t
raft_members_now(const Raft *r)
{
	return r->saved.list.number != 0 ? r->saved.list.now : r->config.members;
}

uint64_t
raft_members_old(const Raft *r)
{
	return raft_list_is_joint(&r->saved.list) ? r->saved.list.old : 0;
}

RaftList
raft_list(const Raft *r)
{
	return r->saved.list.number != 0 ? r->saved.list : (RaftList){.now = r->config.members};
}

uint64_t
raft_voters(const Raft *r)
{
	RaftList list = raft_list(r);

	return raft_list_members(&list);
}

bool
raft_is_voter(const Raft *r, int32_t id)
{
	return (raft_voters(r) >> id & 1) != 0;
}

/* ---- addresses ---- */

uint64_t
raft_list_digest(const RaftConfig *config, uint64_t members)
{
	uint64_t digest = UINT64_C(0xcbf29ce484222325);

	if ((members & ~config->members) != 0)
		return 0;

	/* FNV-1a by whole numbers: it tells lists apart, and is no protection against malice. */
	for (int32_t id = 0; id < RAFT_MAX_NODES; id++)
	{
		if ((members >> id & 1) == 0)
			continue;
		digest = (digest ^ (uint64_t) id) * UINT64_C(0x00000100000001b3);
		digest = (digest ^ config->addresses[id]) * UINT64_C(0x00000100000001b3);
	}
	return digest != 0 ? digest : 1;
}

/*
 * Whose address this member does not know any more is being removed, and it has been
 * restarted in the middle of that; or the leader was, which has begun the list.
 */
bool
raft_list_fits(const RaftConfig *config, const RaftList *list)
{
	uint64_t digest = raft_list_digest(config, raft_list_members(list));

	return list->number == 0 || digest == 0 || list->digest == 0 || digest == list->digest;
}

/* Is that ours, or of another number or term, and one of us will take over the other's? */
static bool
is_ours(const Raft *r, uint64_t list_digest, const RaftList *list)
{
	if (r->saved.list.number == 0)
		return list_digest == r->config.list_digest;
	return list->number != r->saved.list.number || list->term != r->saved.list.term || raft_list_equals(list, &r->saved.list);
}

/* Does the peer count by the same list, or will it when it hears of this one? */
bool
raft_same_list(const Raft *r, const RaftPeer *peer)
{
	return is_ours(r, peer->list_digest, &peer->told.list);
}

/* Are its sender's votes and questions about votes for us? */
bool
raft_knows_list(const Raft *r, const RaftMessage *m)
{
	return is_ours(r, m->list_digest, &m->told.list);
}

/* Does this member vote by the list that it knows, and for a candidate with that list? */
bool
raft_list_lets_vote(const Raft *r, const RaftList *candidate)
{
	return raft_list_lets_stand(r) && raft_list_equals(candidate, &r->saved.list);
}

bool
raft_list_lets_stand(const Raft *r)
{
	return raft_is_voter(r, r->config.node_id) && raft_list_fits(&r->config, &r->saved.list);
}

/* ---- majorities ---- */

bool
raft_is_majority(uint64_t nodes, uint64_t members)
{
	return raft_count_nodes(nodes & members) >= raft_majority(raft_count_nodes(members));
}

bool
raft_is_quorum(const Raft *r, uint64_t nodes)
{
	uint64_t old = raft_members_old(r);

	return raft_is_majority(nodes, raft_members_now(r)) && (old == 0 || raft_is_majority(nodes, old));
}

/* The majority-th largest value of these members, 0 of those that have none. */
static uint64_t
by_majority(const uint64_t *values, uint64_t members)
{
	uint32_t n = raft_majority(raft_count_nodes(members));

	for (int32_t i = 0; i < RAFT_MAX_NODES; i++)
	{
		uint32_t larger = 0;
		uint32_t equal = 0;

		if ((members >> i & 1) == 0)
			continue;
		for (int32_t j = 0; j < RAFT_MAX_NODES; j++)
		{
			if ((members >> j & 1) == 0)
				continue;
			larger += values[j] > values[i];
			equal += values[j] == values[i];
		}
		if (larger < n && n <= larger + equal)
			return values[i];
	}
	return 0;
}

uint64_t
raft_by_quorum(const Raft *r, const uint64_t *values)
{
	uint64_t old = raft_members_old(r);
	uint64_t value = by_majority(values, raft_members_now(r));

	return old == 0 ? value : sooner_of(value, by_majority(values, old));
}

uint32_t
raft_quorum(const Raft *r)
{
	return raft_majority(raft_count_nodes(raft_members_now(r)));
}

bool
raft_list_leaves_out(const Raft *r)
{
	return r->saved.list.number != 0 && !raft_is_quorum(r, r->config.wanted);
}
