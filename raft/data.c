/*
 * raft/data.c
 *	  What a member's data lets it do, and what it says of them (rules 15, 21, 22).
 *
 * A vote says: I hold nothing that you lack.  So a member that does not know what it
 * holds, or holds less than it may have confirmed to somebody, cannot give one.  A
 * member that only elects (not managed) has nothing to lose and is always fit.
 *
 * Calls list.c only, and changes nothing.
 */
#include "internal.h"

#include <assert.h>

/* Has this member never held data, as far as it knows? */
static bool
has_none(const Raft *r)
{
	return r->has_looked && r->saved.system_id == 0 && r->data.system_id == 0;
}

bool
raft_never_held(const Raft *r)
{
	return has_none(r) && r->saved.never_held;
}

/*
 * Did it lose its data?  Those of another system are not its own; and a member that
 * comes new to a cluster that has claims may have been one that held some (rule 24), but
 * for one that is known never to have held any.
 */
bool
raft_is_gone(const Raft *r)
{
	if (!r->config.managed)
		return false;
	if (r->saved.distrusted)
		return true; /* also the floor of a rebuild: what it has held since is not known */
	if (r->saved.rebuild != RAFT_INTACT)
		return false;
	if (!r->has_looked)
		return false;
	if (r->saved.system_id != 0)
		return r->data.system_id != r->saved.system_id;
	return r->saved.claim != 0 && !raft_never_held(r);
}

/* Does it hold less than it is known to have held (rule 22)? */
bool
raft_is_behind(const Raft *r)
{
	return r->config.managed && r->saved.rebuild == RAFT_INTACT && r->data.known &&
		   !raft_is_gone(r) && raft_is_below(r->position, r->data.begun, r->saved.floor);
}

/* What it votes with: nobody whose position is older gets its vote (rule 2). */
RaftPosition
raft_voting_position(const Raft *r)
{
	static const RaftPosition none = {0, 0};

	if (raft_is_gone(r) || raft_is_behind(r))
		return none;
	if (r->config.managed && r->saved.rebuild != RAFT_INTACT &&
		raft_is_older(r->position, r->saved.floor))
		return r->saved.floor;
	return r->position;
}

/* Is its position that of all that it holds? */
static bool
knows_position(const Raft *r)
{
	return r->has_looked && r->data.known && !raft_is_gone(r);
}

/* Can it give a vote to the candidate, so far as data go? */
bool
raft_data_let_vote(const Raft *r, const RaftTold *candidate)
{
	if (!r->config.managed)
		return true;
	if (candidate->system_id != 0 && r->saved.system_id != 0 &&
		candidate->system_id != r->saved.system_id)
		return false;
	if (!raft_list_lets_vote(r, &candidate->list))
		return false;
	if (r->saved.rebuild != RAFT_INTACT && !r->saved.distrusted)
		return true;
	if (!r->has_looked)
		return false;
	if (has_none(r))
		return r->saved.never_held || (r->saved.claim == 0 && !candidate->claimed);
	return knows_position(r) && !raft_is_behind(r);
}

bool
raft_data_let_stand(const Raft *r)
{
	if (!r->config.managed)
		return true;
	return knows_position(r) && r->data.server != RAFT_SERVER_NONE && r->data.system_id != 0 &&
		   r->saved.rebuild == RAFT_INTACT && !r->data.foreign && !raft_is_behind(r) && raft_list_lets_stand(r);
}

/* What goes with a message of that type to that member. */
void
raft_tell(const Raft *r, RaftMessageType type, int32_t to, RaftTold *told)
{
	bool leads = type == RAFT_HEARTBEAT && r->data.promoted && r->saved.claim != 0;

	if (!r->config.managed || type == RAFT_GREETING || type == RAFT_GREETING_CONFIRM ||
		type == RAFT_TRANSFER)
		return;
	told->managed = true;
	told->gone = raft_is_gone(r);
	told->known = has_none(r) ? !told->gone :
								knows_position(r) && (r->saved.claim == 0 || !raft_is_behind(r));
	told->rebuilding = r->saved.rebuild != RAFT_INTACT;
	told->claimed = r->saved.claim != 0;
	told->claim = told->claimed ? r->saved.claim : r->data.newest_timeline;
	if (type == RAFT_VOTE_ANSWER && r->data.newest_timeline > told->claim)
		told->claim = r->data.newest_timeline;
	told->server = r->data.server;
	told->system_id = r->saved.system_id;
	told->port = r->data.port;
	told->pause = r->saved.pause;
	told->list = r->saved.list;
	told->promoted = leads;
	told->open = leads && r->data.open;
	told->forgotten = leads && r->peers[to].forgotten;
}
