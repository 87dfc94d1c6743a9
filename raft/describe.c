/*
 * raft/describe.c
 *	  Words for people: logs, views and transcripts.
 */
#include "raft.h"

#include <inttypes.h>
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
			return "the state file is older than what a peer remembers";
		case RAFT_ABSTAIN_TWIN:
			return "a peer knows of another start with this node id: a second server, or a lost state file";
		case RAFT_ABSTAIN_LIST:
			return "the member list has changed";
	}
	return "unknown";
}

const char *
raft_drop_name(RaftDrop drop)
{
	switch (drop)
	{
		case RAFT_DROP_UNKNOWN_NODE:
			return "unknown node";
		case RAFT_DROP_IMPOSSIBLE:
			return "impossible value";
		case RAFT_DROP_ECHO:
			return "not meant for this start";
		case RAFT_DROP_OLD_START:
			return "from an earlier start";
		case RAFT_DROP_TWIN:
			return "node id used twice";
		case RAFT_DROP_SEEN:
			return "seen before, or far too late";
		case RAFT_DROP_GREETED:
			return "greeted again too soon";
		case RAFT_DROP_NOT_GREETED:
			return "greeting not answered yet";
		case RAFT_DROP_OTHER_LIST:
			return "other member list";
		case RAFT_DROP_STALE:
			return "answers something that is over";
		case RAFT_DROP_SECOND_LEADER:
			return "second leader in a term";
		case RAFT_DROPS:
			break;
	}
	return "unknown";
}

const char *
raft_describe_event(const RaftEvent *event, char *buffer, size_t size)
{
	int32_t	 peer = event->peer;
	uint64_t value = event->value;
	uint64_t ms = value / 1000;
	int		 n = 0;

	switch (event->reason)
	{
		case RAFT_STARTED:
			n = snprintf(buffer, size, "started");
			break;
		case RAFT_TIMED_OUT:
			if (peer == RAFT_NONE)
				n = snprintf(buffer, size, "no leader was heard within the timeout");
			else
				n = snprintf(buffer, size, "no heartbeat from node %" PRId32 " for %" PRIu64 " ms",
							 peer, ms);
			break;
		case RAFT_PRE_VOTE_WON:
			n = snprintf(buffer, size, "a majority would vote for this node");
			break;
		case RAFT_VOTE_WON:
			n = snprintf(buffer, size, "a majority voted for this node");
			break;
		case RAFT_NOT_ELECTED:
			n = snprintf(buffer, size, "no majority of votes within %" PRIu64 " ms", ms);
			break;
		case RAFT_VOTE_GIVEN:
			n = snprintf(buffer, size, "voted for node %" PRId32, peer);
			break;
		case RAFT_HIGHER_TERM:
			n = snprintf(buffer, size, "higher term %" PRIu64 " seen from node %" PRId32,
						 event->term, peer);
			break;
		case RAFT_LEADER_FOUND:
			n = snprintf(buffer, size, "node %" PRId32 " leads", peer);
			break;
		case RAFT_LEADER_LOST:
			n = snprintf(buffer, size, "no heartbeat from node %" PRId32 " for %" PRIu64 " ms",
						 peer, ms);
			break;
		case RAFT_QUORUM_LOST:
			n = snprintf(buffer, size, "lost quorum: only %" PRIu64 " of the members answered, this node included",
						 value);
			break;
		case RAFT_HANDED_OVER:
			n = snprintf(buffer, size, "handed over to node %" PRId32 " on request", peer);
			break;
		case RAFT_RESIGNED:
			if (peer == RAFT_NONE)
				n = snprintf(buffer, size, "resigned");
			else
				n = snprintf(buffer, size, "resigned in favour of node %" PRId32, peer);
			break;
		case RAFT_ASKED_TO_STAND:
			n = snprintf(buffer, size, "node %" PRId32 " hands over to this node", peer);
			break;
		case RAFT_STANDS_ABOVE:
			n = snprintf(buffer, size, "node %" PRId32 " has a higher term: standing again above it",
						 peer);
			break;
		case RAFT_STARTED_ABSTAINING:
			n = snprintf(buffer, size, "abstains: %s", raft_abstain_name((RaftAbstain) value));
			break;
		case RAFT_HEARD_ALL:
			n = snprintf(buffer, size, "has heard the members it waits for, votes again in %" PRIu64 " ms",
						 ms);
			break;
		case RAFT_ADMITTED:
			n = snprintf(buffer, size, "admitted by the operator");
			break;
		case RAFT_STOPPED_ABSTAINING:
			n = snprintf(buffer, size, "abstains no longer");
			break;
		case RAFT_SECOND_LEADER:
			n = snprintf(buffer, size, "node %" PRId32 " claims to lead a term that has another leader",
						 peer);
			break;
		case RAFT_REASONS:
			break;
	}
	if (n <= 0)
		(void) snprintf(buffer, size, "unknown");
	return buffer;
}
