/*
 * server/problem.c
 *	  Members that differ, and names that lead nowhere: in what words.
 *
 * See problem.h.
 */
#include "postgres.h"

#include "node/clock.h"
#include "server/once_a_minute.h"
#include "server/shared.h"
#include "server/problem.h"

typedef enum ProblemKind
{
	PROBLEM_NAME = 0,	 /* what is wrong with its name */
	PROBLEM_LIST,		 /* another member list */
	PROBLEM_CLUSTER,	 /* another cluster's name */
	PROBLEM_VERSION,	 /* another version of the protocol */
	PROBLEM_UNSIGNED,	 /* it has no key, we have */
	PROBLEM_KEY,		 /* its key has an id that we do not know */
	PROBLEM_NO_KEY,		 /* it has a key, we have none */
	PROBLEM_TAG,		 /* its key has an id of ours, and is another one */
	PROBLEM_NODE_ID,	 /* says that it is another node */
	PROBLEM_NOT_IN_LIST, /* says that it is a node that is not in our list */
	PROBLEM_TAKEN_FOR,	 /* takes this node for another one */
	PROBLEM_CLAIMED,	 /* somebody elsewhere uses the node id of this member */
	PROBLEM_TWIN,		 /* two processes run as this member */
	PROBLEM_KINDS
} ProblemKind;

typedef struct Problem
{
	uint64_t seen_at;	/* 0: never */
	uint64_t logged_at; /* 0: never */
} Problem;

static Problem	problems[RAFT_MAX_NODES][PROBLEM_KINDS];
static uint32_t seen[RAFT_MAX_NODES]; /* bit k: kind k is worth a look */

/* The details of the last of some kinds. */
static uint8_t version_of[RAFT_MAX_NODES];
static int32_t claim_of[RAFT_MAX_NODES];
static int32_t taken_for[RAFT_MAX_NODES];
static char	   claimed_by[RAFT_MAX_NODES][SHARED_RESOLVED_SIZE];
static char	   name_failure[RAFT_MAX_NODES][ADDRESSES_FAILURE_SIZE];

static void
describe(const Raft *raft, int32_t id, ProblemKind kind, char *text, size_t size)
{
	switch (kind)
	{
		case PROBLEM_NAME:
			strlcpy(text, name_failure[id], size);
			break;
		case PROBLEM_LIST:
			snprintf(text, size, "it has a different member list");
			break;
		case PROBLEM_CLUSTER:
			snprintf(text, size, "it has a different pg_leader.cluster_name");
			break;
		case PROBLEM_VERSION:
			snprintf(text, size, "it uses protocol version %d, this member version %d",
					 version_of[id], MESSAGE_VERSION);
			break;
		case PROBLEM_UNSIGNED:
			snprintf(text, size, "its datagrams are not authenticated");
			break;
		case PROBLEM_KEY:
			snprintf(text, size, "it signs with a key id that this member does not have");
			break;
		case PROBLEM_NO_KEY:
			snprintf(text, size, "it authenticates its datagrams, and this member has no key");
			break;
		case PROBLEM_TAG:
			snprintf(text, size, "it has a different key with the same id");
			break;
		case PROBLEM_NODE_ID:
			snprintf(text, size, "it identifies itself as node %d%s", claim_of[id],
					 raft != NULL && claim_of[id] == raft->config.node_id ? ", which is this node" : "");
			break;
		case PROBLEM_NOT_IN_LIST:
			snprintf(text, size, "it identifies itself as a node that is not in the member list");
			break;
		case PROBLEM_TAKEN_FOR:
			snprintf(text, size, "it addresses this member as node %d", taken_for[id]);
			break;
		case PROBLEM_CLAIMED:
			snprintf(text, size, "%s uses the node id of this member", claimed_by[id]);
			break;
		case PROBLEM_TWIN:
			snprintf(text, size, "two servers run with the node id of this member");
			break;
		case PROBLEM_KINDS:
			break;
	}
}

/* Is what it tells about somebody else than the member whose address this is? */
static bool
is_of_another(ProblemKind kind)
{
	return kind == PROBLEM_CLAIMED || kind == PROBLEM_TWIN;
}

static const char *
hint_for(ProblemKind kind)
{
	switch (kind)
	{
		case PROBLEM_LIST:
		case PROBLEM_NOT_IN_LIST:
		case PROBLEM_TAKEN_FOR:
			return "Set pg_leader.cluster to the same list on all members.";
		case PROBLEM_CLUSTER:
			return "Set pg_leader.cluster_name to the same name on all members, and give other clusters other ports.";
		case PROBLEM_VERSION:
			return "Run the same version of pg_leader on all members.";
		case PROBLEM_NODE_ID:
		case PROBLEM_CLAIMED:
		case PROBLEM_TWIN:
			return "Check that no two servers use the same pg_leader.node_id, for example after one was copied.";
		default:
			return "Check that pg_leader.secret_file holds the same keys on all members, and that all have reloaded it.";
	}
}

/* There was a datagram that shows it. */
static void
note(int32_t id, ProblemKind kind, const char *dropped_as)
{
	Problem *problem = &problems[id][kind];
	uint64_t now = clock_now();
	char	 words[SHARED_PROBLEM_SIZE] = "";

	problem->seen_at = now;
	seen[id] |= 1U << kind;
	if (!once_a_minute(&problem->logged_at, now))
		return;
	describe(NULL, id, kind, words, sizeof(words));
	ereport(LOG,
			(is_of_another(kind) ?
				 errmsg("pg_leader: dropped a datagram that names node %d: %s", id, dropped_as) :
				 errmsg("pg_leader: dropped a datagram from the address of node %d: %s", id, dropped_as),
			 errdetail("Node %d: %s.  This is logged at most once a minute; pg_leader_stat_drops counts all.",
					   id, words),
			 errhint("%s", hint_for(kind))));
}

bool
problem_in_transport(const Transport *transport, TransportDrop why)
{
	const TransportSender *sender = &transport->dropped;
	ProblemKind			   kind;
	int32_t				   id = sender->id;

	switch (why)
	{
		case TRANSPORT_DROP_CLUSTER:
			kind = PROBLEM_CLUSTER;
			break;
		case TRANSPORT_DROP_VERSION:
			kind = PROBLEM_VERSION;
			break;
		case TRANSPORT_DROP_UNSIGNED:
			kind = PROBLEM_UNSIGNED;
			break;
		case TRANSPORT_DROP_KEY:
			kind = secret_key_id(transport->secret) == 0 ? PROBLEM_NO_KEY : PROBLEM_KEY;
			break;
		case TRANSPORT_DROP_TAG:
			kind = PROBLEM_TAG;
			break;
		case TRANSPORT_DROP_UNKNOWN_NODE:
			kind = PROBLEM_NOT_IN_LIST;
			break;
		case TRANSPORT_DROP_SOURCE:
			kind = id != RAFT_NONE ? PROBLEM_NODE_ID : PROBLEM_CLAIMED;
			id = id != RAFT_NONE ? id : sender->claims;
			break;
		default:
			return false;
	}
	if (id < 0 || id >= RAFT_MAX_NODES)
		return false;
	if (kind == PROBLEM_VERSION)
		version_of[id] = sender->version;
	else if (kind == PROBLEM_NODE_ID)
		claim_of[id] = sender->claims;
	else if (kind == PROBLEM_CLAIMED)
		address_format(&sender->source, claimed_by[id], sizeof(claimed_by[id]));
	note(id, kind, transport_drop_name(why));
	return true;
}

bool
problem_in_election(const RaftMessage *message, int32_t own_id, RaftOutcome why)
{
	ProblemKind kind;

	if (message->from < 0 || message->from >= RAFT_MAX_NODES || message->from == own_id)
		return false;
	if (why == RAFT_DROP_TWIN)
		kind = PROBLEM_TWIN;
	else if (why == RAFT_DROP_UNKNOWN_NODE && message->to != own_id)
	{
		kind = PROBLEM_TAKEN_FOR;
		taken_for[message->from] = message->to;
	}
	else
		return false;
	note(message->from, kind, raft_outcome_name(why));
	return true;
}

void
problem_address_changed(int32_t node_id)
{
	seen[node_id] &= ~(1U << PROBLEM_CLAIMED | 1U << PROBLEM_NODE_ID);
}

void
problem_name(int32_t node_id, const char *address, const char *failure)
{
	strlcpy(name_failure[node_id], failure, sizeof(name_failure[node_id]));
	if (failure[0] != '\0' && once_a_minute(&problems[node_id][PROBLEM_NAME].logged_at, clock_now()))
		ereport(LOG,
				(errmsg("pg_leader: address of node %d (%s): %s", node_id, address, failure),
				 errdetail("It is tried again each second, and logged at most once a minute."),
				 errhint("Correct pg_leader.cluster, or what this machine's name service says of the name.")));
}

bool
problem_other_list(const Raft *raft, int32_t node_id)
{
	const RaftPeer *peer = &raft->peers[node_id];

	return node_id != raft->config.node_id && peer->heard_at != 0 &&
		   peer->list_digest != raft->config.list_digest;
}

static void
log_other_list(const Raft *raft, int32_t id, uint64_t now)
{
	if (once_a_minute(&problems[id][PROBLEM_LIST].logged_at, now))
		ereport(LOG,
				(errmsg("pg_leader: node %d has a different member list", id),
				 errdetail("The digest of its list is %016llx, that of this node's is %016llx.",
						   (unsigned long long) raft->peers[id].list_digest,
						   (unsigned long long) raft->config.list_digest),
				 errhint("%s", hint_for(PROBLEM_LIST))));
}

void
problem_describe(const Raft *raft, int32_t node_id, char *text, size_t size)
{
	const RaftPeer *peer = &raft->peers[node_id];
	bool			other_list = problem_other_list(raft, node_id);
	uint64_t		now;
	uint64_t		limit;
	bool			is_heard;
	size_t			used = 0;
	int				kind;

	text[0] = '\0';
	if (seen[node_id] == 0 && !other_list && name_failure[node_id][0] == '\0')
		return;
	now = clock_now();

	/* As pg_leader_peers.reachable; who greets without an answer does so far more often. */
	limit = shared_reachable_for(&raft->config.timeouts);
	is_heard = peer->heard_at != 0 && now - peer->heard_at <= limit;
	if (other_list && is_heard)
		log_other_list(raft, node_id, now);
	for (kind = 0; kind < PROBLEM_KINDS; kind++)
	{
		bool show = (kind == PROBLEM_LIST && other_list) ||
					(kind == PROBLEM_NAME && name_failure[node_id][0] != '\0' && !is_heard);

		if (seen[node_id] & (1U << kind))
		{
			if (now - problems[node_id][kind].seen_at > 4 * limit)
				seen[node_id] &= ~(1U << kind);
			else
				show = is_of_another((ProblemKind) kind) || !is_heard;
		}
		if (!show || used + 2 >= size)
			continue;
		if (used > 0)
			used += strlcpy(text + used, "; ", size - used);
		describe(raft, node_id, (ProblemKind) kind, text + used, size - used);
		used = strlen(text);
	}
}
