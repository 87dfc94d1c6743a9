/*
 * raft/describe.c
 *	  Words for people: logs, views and transcripts.
 */
#include "raft.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

const char *
raft_role_name(RaftRole role)
{
	switch (role)
	{
		case RAFT_FOLLOWER:
			return "follower";
		case RAFT_PRE_CANDIDATE:
			return "pre-candidate";
		case RAFT_CANDIDATE:
			return "candidate";
		case RAFT_LEADER:
			return "leader";
	}
	return "unknown";
}

const char *
raft_abstain_name(RaftAbstain why)
{
	switch (why)
	{
		case RAFT_VOTING:
			return "not abstaining";
		case RAFT_ABSTAIN_NEW:
			return "no state file was found, so one was created";
		case RAFT_ABSTAIN_DAMAGED:
			return "the state file was damaged";
		case RAFT_ABSTAIN_OLD_COPY:
			return "the state file is older than a peer remembers";
		case RAFT_ABSTAIN_TWIN:
			return "another server has run with this node id, or the state file was lost";
		case RAFT_ABSTAIN_LIST:
			return "the member list has changed";
	}
	return "unknown";
}

const char *
raft_outcome_name(RaftOutcome outcome)
{
	switch (outcome)
	{
		case RAFT_TAKEN:
			return "taken";
		case RAFT_REFUSED:
			return "refused";
		case RAFT_NOT_COUNTED:
			return "heard, and not counted";
		case RAFT_DROP_UNKNOWN_NODE:
			return "unknown node";
		case RAFT_DROP_IMPOSSIBLE:
			return "impossible value";
		case RAFT_DROP_ECHO:
			return "addressed to an earlier start";
		case RAFT_DROP_OLD_START:
			return "from an earlier start";
		case RAFT_DROP_TWIN:
			return "duplicate node id";
		case RAFT_DROP_SEEN:
			return "replayed or far too late";
		case RAFT_DROP_GREETED:
			return "greeting repeated too soon";
		case RAFT_DROP_NOT_GREETED:
			return "handshake not complete";
		case RAFT_DROP_OTHER_LIST:
			return "other member list";
		case RAFT_DROP_STALE:
			return "outdated answer";
		case RAFT_DROP_SECOND_LEADER:
			return "second leader in a term";
		case RAFT_OUTCOMES:
			break;
	}
	return "unknown";
}

const char *
raft_describe_claim(RaftClaimResult result)
{
	switch (result)
	{
		case RAFT_CLAIM_MADE:
			return "a timeline is claimed";
		case RAFT_CLAIM_NOT_MANAGED:
			return "pg_leader.manage is off, so no timeline is claimed";
		case RAFT_CLAIM_NOT_LEADER:
			return "only the leader claims a timeline";
		case RAFT_CLAIM_PROMOTING:
			return "an earlier promotion was asked for and may still happen";
		case RAFT_CLAIM_NO_DATA:
			return "its server is not in recovery, or the end of its own WAL is not known";
		case RAFT_CLAIM_NEEDS_ALL:
			return "nothing was ever claimed, and not every member has said what it holds";
		case RAFT_CLAIM_BEHIND:
			return "nothing was ever claimed, and another member holds more WAL";
		case RAFT_CLAIM_DIVERGED:
			return "nothing was ever claimed, and the data of another member are on another timeline";
		case RAFT_CLAIM_EXHAUSTED:
			return "no timeline is left to claim";
	}
	return "unknown";
}

const char *
raft_describe_pause(RaftPauseResult result)
{
	switch (result)
	{
		case RAFT_PAUSE_TAKEN:
			return "it is stored";
		case RAFT_PAUSE_NOT_MANAGED:
			return "pg_leader.manage is off, so no server is promoted or demoted";
		case RAFT_PAUSE_NOT_LEADER:
			return "this member is not the leader";
		case RAFT_PAUSE_NO_LEASE:
			return "this member leads, and has no lease: not enough members acknowledge in time";
		case RAFT_PAUSE_NO_CLAIM:
			return "the cluster has not had a primary under pg_leader yet";
		case RAFT_PAUSE_EXHAUSTED:
			return "the cluster was paused too often";
	}
	return "unknown";
}

/* Append to a text of "used" bytes; what does not fit is cut off.  Its length then. */
static size_t append(char *text, size_t size, size_t used, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static size_t
append(char *text, size_t size, size_t used, const char *format, ...)
{
	va_list args;
	int		n;

	va_start(args, format);
	n = vsnprintf(text + used, size - used, format, args);
	va_end(args);
	if (n < 0)
		return used;
	return used + (size_t) n < size ? used + (size_t) n : size - 1;
}

/* Of a longer list only the first ones are named. */
#define NAMED_NODES 8

/*
 * "node 3", "nodes 0, 1 and 3", "nodes 0, 1, ... and 12 more"; with somebody else,
 * who comes last, "nodes 0, 1 and itself".  Returns how many nodes there are.
 */
static int
list_nodes(uint64_t nodes, const char *last, char *text, size_t size)
{
	int	   total = 0;
	int	   left;
	int	   named = 0;
	size_t used = 0;

	for (int id = 0; id < RAFT_MAX_NODES; id++)
		total += (int) (nodes >> id & 1);
	left = total;
	text[0] = '\0';
	for (int id = 0; id < RAFT_MAX_NODES && named < NAMED_NODES; id++)
	{
		const char *before = total > 1 ? "nodes " : "node ";

		if (!(nodes >> id & 1))
			continue;
		if (named > 0)
			before = left == 1 && last == NULL ? " and " : ", ";
		used = append(text, size, used, "%s%d", before, id);
		named++;
		left--;
	}
	if (left > 0)
		used = append(text, size, used, "%s%d more", last == NULL ? " and " : ", ",
					  left);
	if (last != NULL)
		(void) append(text, size, used, " and %s", last);
	return total;
}

/* Nobody leads, or whoever did is no longer heard. */
static int
describe_silence(char *buffer, size_t size, const RaftEvent *event)
{
	if (event->peer == RAFT_NONE)
		return snprintf(buffer, size, "heard no leader within the timeout");
	return snprintf(buffer, size, "no heartbeat from node %" PRId32 " for %" PRIu64 " ms", event->peer,
					event->value / 1000);
}

/* What is said of a majority: it is these and this node itself. */
static int
describe_majority(char *buffer, size_t size, const char *what, uint64_t nodes)
{
	char names[80];

	if (list_nodes(nodes, "itself", names, sizeof(names)) == 0)
		return snprintf(buffer, size, "%s: itself alone", what);
	return snprintf(buffer, size, "%s: %s", what, names);
}

/* What is said of fewer than a majority. */
static int
describe_minority(char *buffer, size_t size, const char *what, const RaftEvent *event)
{
	uint64_t ms = event->value / 1000;
	bool	 lost_quorum = event->reason == RAFT_QUORUM_LOST;
	char	 names[80];
	char	 who[100];

	if (list_nodes(event->nodes, NULL, names, sizeof(names)) > 0)
		(void) snprintf(who, sizeof(who), "only %s", names);
	else
		(void) snprintf(who, sizeof(who), "%s", lost_quorum ? "nobody" : "nobody else");
	if (lost_quorum)
		return snprintf(buffer, size, "%s: %s answered in the last %" PRIu64 " ms", what, who, ms);
	return snprintf(buffer, size, "%s within %" PRIu64 " ms: %s voted for this node", what, ms, who);
}

static int
describe_resigning(char *buffer, size_t size, const RaftEvent *event)
{
	if (event->peer != RAFT_NONE)
		return snprintf(buffer, size, "handed over to node %" PRId32, event->peer);
	if (event->value != 0)
		return snprintf(buffer, size, "stepped down; no other member can take over");
	return snprintf(buffer, size, "gave up its candidacy");
}

/* About abstaining, which goes its own way beside roles. */
static int
describe_abstaining(char *buffer, size_t size, const RaftEvent *event)
{
	const char *why = raft_abstain_name((RaftAbstain) event->value);
	char		names[80];

	switch (event->reason)
	{
		case RAFT_STARTED_ABSTAINING:
			if (event->peer == RAFT_NONE)
				return snprintf(buffer, size, "abstains: %s", why);
			return snprintf(buffer, size, "abstains: %s (reported by node %" PRId32 ")", why,
							event->peer);
		case RAFT_HEARD_ALL:
			if (list_nodes(event->nodes, NULL, names, sizeof(names)) == 0)
				(void) snprintf(names, sizeof(names), "no other node");
			return snprintf(buffer, size, "received answers from %s, will vote again in %" PRIu64 " ms", names,
							event->value / 1000);
		case RAFT_ADMITTED:
			return snprintf(buffer, size, "admitted by pg_leader_admit()");
		case RAFT_STOPPED_ABSTAINING:
			return snprintf(buffer, size, "stopped abstaining");
		default:
			return 0;
	}
}

/* About data and timelines. */
static int
describe_data(char *buffer, size_t size, const RaftEvent *event)
{
	switch (event->reason)
	{
		case RAFT_CLAIMED:
			return snprintf(buffer, size, "claimed timeline %" PRIu64, event->value);
		case RAFT_PROMOTES:
			return snprintf(buffer, size, "promotes its server to timeline %" PRIu64, event->value);
		case RAFT_DATA_BEHIND:
			return snprintf(buffer, size,
							"holds less WAL than it is known to have held, on timeline %" PRIu64
							": does not vote until it has caught up with a leader",
							event->value);
		case RAFT_DATA_IMPOSSIBLE:
			return snprintf(buffer, size,
							"its data directory holds a WAL position or a history file of timeline %" PRIu64
							", which cannot be: neither votes nor stands",
							event->value);
		default:
			break;
	}
	if (event->value == RAFT_INTACT)
		return snprintf(buffer, size, "its data are whole again");
	return snprintf(buffer, size, "%s its data from node %" PRId32,
					event->value == RAFT_REWINDING ? "rewinds" : "clones", event->peer);
}

/* Who leads, or wants to. */
static int
describe_leader(char *buffer, size_t size, const RaftEvent *event)
{
	int32_t peer = event->peer;

	switch (event->reason)
	{
		case RAFT_LEADER_FOUND:
			return snprintf(buffer, size, "node %" PRId32 " leads", peer);
		case RAFT_HANDED_OVER:
			return snprintf(buffer, size, "handed over to node %" PRId32 " on request", peer);
		case RAFT_ASKED_TO_STAND:
			return snprintf(buffer, size, "node %" PRId32 " hands over to this node", peer);
		case RAFT_STANDS_ABOVE:
			return snprintf(buffer, size, "node %" PRId32 " has the higher term %" PRIu64 ": starting an election above it",
							peer, event->value);
		case RAFT_SECOND_LEADER:
			return snprintf(buffer, size, "node %" PRId32 " claims to lead a term that has another leader", peer);
		default:
			return 0;
	}
}

static int
describe_pause(char *buffer, size_t size, const RaftEvent *event)
{
	const char *what = event->value != 0 ? "the cluster is paused" : "the cluster is not paused any more";

	if (event->peer == RAFT_NONE)
		return snprintf(buffer, size, "%s", what);
	return snprintf(buffer, size, "%s, as node %" PRId32 " says", what, event->peer);
}

static int
describe_list(char *buffer, size_t size, const RaftEvent *event)
{
	const char *separator = "";
	int			n;

	if (event->reason == RAFT_LIST_LEAVES_OUT)
		return snprintf(buffer, size,
						"its member list leaves out %" PRIu64 " members that count: without them nobody can be elected", event->value);
	n = snprintf(buffer, size, "%s ", (event->value & 1) != 0 ? "the member list is being changed, to nodes" : "members are now nodes");
	for (int32_t id = 0; id < RAFT_MAX_NODES && n > 0 && (size_t) n < size; id++)
	{
		if ((event->nodes >> id & 1) == 0)
			continue;
		n += snprintf(buffer + n, size - (size_t) n, "%s%" PRId32, separator, id);
		separator = ", ";
	}
	return n;
}

const char *
raft_describe_event(const RaftEvent *event, char *buffer, size_t size)
{
	int n = 0;

	switch (event->reason)
	{
		case RAFT_STARTED:
			n = snprintf(buffer, size, "started");
			break;
		case RAFT_TIMED_OUT:
		case RAFT_LEADER_LOST:
			n = describe_silence(buffer, size, event);
			break;
		case RAFT_PRE_VOTE_WON:
			n = describe_majority(buffer, size, "a majority would vote for this node", event->nodes);
			break;
		case RAFT_VOTE_WON:
			n = describe_majority(buffer, size, "a majority voted for this node", event->nodes);
			break;
		case RAFT_NOT_ELECTED:
			n = describe_minority(buffer, size, "no majority of votes", event);
			break;
		case RAFT_QUORUM_LOST:
			n = describe_minority(buffer, size, "lost quorum", event);
			break;
		case RAFT_VOTE_GIVEN:
			n = snprintf(buffer, size, "voted for node %" PRId32, event->peer);
			break;
		case RAFT_HIGHER_TERM:
			n = snprintf(buffer, size, "higher term %" PRIu64 " seen from node %" PRId32,
						 event->term, event->peer);
			break;
		case RAFT_LEADER_FOUND:
		case RAFT_HANDED_OVER:
		case RAFT_ASKED_TO_STAND:
		case RAFT_STANDS_ABOVE:
		case RAFT_SECOND_LEADER:
			n = describe_leader(buffer, size, event);
			break;
		case RAFT_RESIGNED:
			n = describe_resigning(buffer, size, event);
			break;
		case RAFT_STARTED_ABSTAINING:
		case RAFT_HEARD_ALL:
		case RAFT_ADMITTED:
		case RAFT_STOPPED_ABSTAINING:
			n = describe_abstaining(buffer, size, event);
			break;
		case RAFT_CLAIMED:
		case RAFT_PROMOTES:
		case RAFT_REBUILDS_DATA:
		case RAFT_DATA_BEHIND:
		case RAFT_DATA_IMPOSSIBLE:
			n = describe_data(buffer, size, event);
			break;
		case RAFT_PAUSED:
			n = describe_pause(buffer, size, event);
			break;
		case RAFT_LIST_CHANGED:
		case RAFT_LIST_LEAVES_OUT:
			n = describe_list(buffer, size, event);
			break;
		case RAFT_REASONS:
			break;
	}
	if (n <= 0)
		(void) snprintf(buffer, size, "unknown");
	return buffer;
}
