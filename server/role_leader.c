/*
 * server/role_leader.c
 *	  What the role worker knows of the leader: asked over a connection to it.
 *
 * See role.h.  What a leader is does not change while it leads, but for how far its WAL
 * reaches; so it is asked until the receiver really streams, and again when it does not.
 * A leader that gives no answer stays what it was.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "miscadmin.h"

#include "node/clock.h"
#include "server/position.h"
#include "server/receiver.h"
#include "server/role.h"
#include "server/settings.h"
#include "server/shared.h"

/* How often it is asked, us. */
#define ASK_INTERVAL UINT64CONST(20000)

/* So many bytes before the end of local WAL are compared, as far as they are of one timeline. */
#define COMPARED_BYTES 8192

static uint64 failed_at; /* logged; see once_a_minute.h */

static void
say_failed(const Words *words)
{
	char what[64];

	upstream_close(&role.upstream);
	snprintf(what, sizeof(what), "could not ask the leader, node %d", role.asked_leader);
	role_say_failed(LOG, &failed_at, what, words);
}

/* Its host in the list, its port as it says. */
bool
role_conninfo(const Raft *raft, int32_t id, const char *suffix, char *conninfo, Words *words)
{
	uint16_t port = raft->peers[id].told.port;
	char	 host[CLUSTER_HOST_SIZE];
	char	 name[40];

	if (port == 0 || !shared_member_host(id, host))
		return words_set(words, "", "it has not said yet on which port its PostgreSQL listens");
	snprintf(name, sizeof(name), "pg_leader_%d%s", raft->config.node_id, suffix);
	return upstream_conninfo(settings.replication_conninfo, host, port, name,
							 conninfo, EXCHANGE_CONNINFO_SIZE, words);
}

static bool
connect_to_leader(int32_t leader, Words *words)
{
	char conninfo[EXCHANGE_CONNINFO_SIZE];

	role.names_leader = role_conninfo(&role.raft, leader, "", role.conninfo, words);
	return role.names_leader && role_conninfo(&role.raft, leader, "_check", conninfo, words) &&
		   upstream_connect(&role.upstream, conninfo, words);
}

/* The lineage of the timeline that it is on. */
static bool
read_lineage(uint32_t timeline, Lineage *lineage, Words *words)
{
	char  *text;
	size_t length;
	bool   good;

	if (timeline == 1)
	{
		lineage_first(lineage);
		return true;
	}
	text = palloc(UPSTREAM_HISTORY_SIZE);
	good = upstream_history(&role.upstream, timeline, text, &length, words);
	if (good && (length == 0 || lineage_parse(lineage, timeline, text, length, words) != LINEAGE_GOOD))
		good = words_set(words, "", "the history of its timeline %u cannot be used", timeline);
	pfree(text);
	return good;
}

static bool
learn(int32_t leader, Words *words)
{
	UpstreamIdentity identity;

	if (!connect_to_leader(leader, words) || !upstream_identify(&role.upstream, &identity, words))
		return false;
	if ((!role.is_known || identity.timeline != role.identity.timeline) &&
		!read_lineage(identity.timeline, &role.leader, words))
		return false;
	role.identity = identity;
	return true;
}

/* Then its position has to be one that is read now: it may have gone on. */
static bool
is_ahead(void)
{
	return role.end > role.identity.flush && !role.following.check.loose;
}

static bool
is_due(const RaftTold *told, int32_t leader)
{
	bool same = role.asked_term == role.raft.saved.term && role.asked_leader == leader && role.asked_promoted == told->promoted;

	if (role.asked_leader != leader)
		upstream_close(&role.upstream);
	role.is_known &= same;
	if (!same)
		role.has_end_for = 0; /* another leader may have other segments */
	if (same && role.is_known && role.following.check.streaming == PRIMARY_STREAMING_REAL && receiver_look().streams)
	{
		upstream_close(&role.upstream);
		return false;
	}
	return !same || is_ahead() || role.now - role.asked_at >= ASK_INTERVAL;
}

bool
role_reaches_leader(void)
{
	return role.upstream.connection != NULL;
}

/*
 * Only one that may be followed; what it was before is not asked for.
 */
void
role_ask_leader(void)
{
	int32_t			leader = role.raft.role == RAFT_LEADER ? RAFT_NONE : role.raft.leader_id;
	const RaftTold *told;
	Words			words;

	role.is_fresh = false;
	if (leader < 0 || leader == role.raft.config.node_id || !role.raft.peers[leader].told.managed)
	{
		role.is_known = role.names_leader = false;
		upstream_close(&role.upstream);
		role.asked_leader = RAFT_NONE;
		return;
	}
	told = &role.raft.peers[leader].told;
	if (!is_due(told, leader))
		return;
	role.asked_term = role.raft.saved.term;
	role.asked_leader = leader;
	role.asked_promoted = told->promoted;
	words_clear(&words);
	if (told->server != RAFT_SERVER_PRIMARY)
	{
		/* it may be soon: the connection is there then */
		role.is_known = false;
		(void) connect_to_leader(leader, &words);
	}
	else if (learn(leader, &words))
		role.is_known = role.is_fresh = true;
	else
		say_failed(&words);
	role.asked_at = clock_now();
}

/* ---- its WAL ---- */

static bool
has_bytes(uint64_t lsn)
{
	char  byte;
	Words words;

	return lsn > 0 && upstream_read(&role.upstream, lineage_timeline_before(&role.leader, lsn), lsn - 1, lsn, &byte, &words) == UPSTREAM_READ;
}

/* The segments that matter only if local WAL cannot simply be streamed on. */
static void
gather_segments(PrimaryFacts *f)
{
	if (f->lineage == NULL || !f->end_known || (f->check.streaming != PRIMARY_STREAMING_STUCK && !primary_diverged(f)))
		return;
	if (role.has_end_for != f->end)
	{
		uint64_t fork = lineage_fork(f->lineage, &role.leader);

		role.has_end = f->end <= f->leader.flush && has_bytes(f->end);
		role.has_fork = fork <= f->leader.flush && has_bytes(fork);
		role.has_end_for = f->end;
	}
	f->leader.has_end = role.has_end;
	f->leader.has_fork = role.has_fork;
}

void
role_gather_leader(void)
{
	PrimaryFacts *f = &role.facts;

	if (f->leader_id < 0 || f->leader_id == f->self)
		return;
	f->leader.major = f->major;
	if (!role.is_known || (is_ahead() && !role.is_fresh) || role.identity.in_recovery != (f->leader.server == RAFT_SERVER_RECOVERY))
		return;
	f->leader.major = role.identity.major;
	f->leader.flush = role.identity.flush;
	f->leader.lineage = &role.leader;
	f->leader.control_shows_timeline = role.identity.control_timeline >= role.identity.timeline;
	gather_segments(f);
}

/* Where the segment begins in which WAL ends. */
static uint64_t
last_segment(uint64_t end)
{
	return end - 1 - (end - 1) % (uint64_t) wal_segment_size;
}

/*
 * Read from the leader what begins there, at best; of an older segment than the one in which
 * our WAL ends, which is where a receiver begins, it may have nothing any more.
 */
static UpstreamBytes
read_leaders(uint32_t timeline, uint64_t *from, uint64_t end, char *bytes, Words *words)
{
	uint64_t	  segment = last_segment(end);
	UpstreamBytes read = upstream_read(&role.upstream, timeline, *from, end, bytes, words);

	if (read != UPSTREAM_HAS_NOT || *from >= segment)
		return read;
	*from = segment;
	return upstream_read(&role.upstream, timeline, *from, end, bytes, words);
}

void
role_compare(void)
{
	PrimaryFacts *f = &role.facts;
	char		 *own;
	char		 *leaders;
	uint64_t	  from;
	uint64_t	  end;
	uint32_t	  timeline;
	Words		  words;
	UpstreamBytes read;
	bool		  own_read;

	watch_following(&role.following, f);
	if (!watch_wants_bytes(&role.following, f))
		return;

	/* the page in which a timeline begins was the parent's before that */
	end = position_received(f->lineage, f->end);
	timeline = lineage_timeline_before(f->lineage, end);
	from = Max(lineage_begin(f->lineage, timeline), end > COMPARED_BYTES ? end - COMPARED_BYTES : 0);
	own = palloc(COMPARED_BYTES);
	leaders = palloc(COMPARED_BYTES);

	/* nor may this server have an older segment any more, after a checkpoint */
	if (!position_read_bytes(f->lineage, from, end, own))
		from = Max(from, last_segment(end));
	read = read_leaders(timeline, &from, end, leaders, &words);
	own_read = position_read_bytes(f->lineage, from, end, own);
	if (read == UPSTREAM_FAILED)
		say_failed(&words);
	else
		watch_compared(&role.following, own_read, read == UPSTREAM_READ,
					   own_read && read == UPSTREAM_READ && memcmp(own, leaders, end - from) == 0);
	pfree(own);
	pfree(leaders);
	f->check = role.following.check;
}
