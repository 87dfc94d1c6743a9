/*
 * server/health.c
 *	  Can this server still serve?
 *
 * See health.h.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "replication/walreceiver.h"
#include "storage/lwlock.h"

#include "node/clock.h"
#include "primary/health.h"
#include "server/exchange.h"
#include "server/health.h"
#include "server/managed.h"
#include "server/parent.h"
#include "server/position.h"
#include "server/receiver.h"
#include "server/settings.h"
#include "server/show.h"

/* How often the supervisor is told that this server has to stop, us. */
#define TELL_INTERVAL UINT64CONST(1000000)

/* ---- what is seen ---- */

/*
 * What is written is read first: else a flush in between would look like something that waits.  A
 * receiver that has ended has flushed what it had written; and one that has begun writes again, and
 * does not flush, what was replayed by then.
 */
static void
look_at_wal(HealthFacts *facts, RaftServer server)
{
	ReceiverView view;
	XLogRecPtr	 written;

	if (server == RAFT_SERVER_PRIMARY)
	{
		facts->written = position_inserted();
		facts->flushed = GetFlushRecPtr(NULL);
	}
	else if (server == RAFT_SERVER_RECOVERY)
	{
		written = GetWalRcvWriteRecPtr();
		view = receiver_look();
		facts->written = view.runs && !view.waits ? written : 0;
		facts->flushed = Max(view.flushed, GetXLogReplayRecPtr(NULL));
	}
}

/* ---- where this server listens ---- */

static socklen_t
unix_address(struct sockaddr_un *address, const char *directories)
{
	const char *end = strchr(directories, ',');
	int			length = end != NULL ? (int) (end - directories) : (int) strlen(directories);
	int			written;

	while (length > 0 && directories[length - 1] == ' ')
		length--;
	address->sun_family = AF_UNIX;
	written = snprintf(address->sun_path, sizeof(address->sun_path), "%.*s/.s.PGSQL.%d", length, directories, PostPortNumber);
	if (length == 0 || (directories[0] != '/' && directories[0] != '@') || written >= (int) sizeof(address->sun_path))
		return 0;
	if (directories[0] == '@')
		address->sun_path[0] = '\0';
	return offsetof(struct sockaddr_un, sun_path) + written + (directories[0] == '/');
}

static socklen_t
tcp_address(struct sockaddr_in *address)
{
	static const char *const local[] = {"*", "0.0.0.0", "localhost", "127.0.0.1"};
	char					 first[64] = "";
	int						 i;

	address->sin_family = AF_INET;
	address->sin_port = htons((uint16) PostPortNumber);
	if (sscanf(ListenAddresses, " %63[^, ]", first) != 1)
		return 0;
	for (i = 0; i < (int) lengthof(local); i++)
	{
		if (strcmp(first, local[i]) == 0)
		{
			address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			return sizeof(*address);
		}
	}
	return inet_pton(AF_INET, first, &address->sin_addr) == 1 ? sizeof(*address) : 0;
}

/* The supervisor connects there; if there is nothing that it can use, it does not. */
static void
tell_supervisor(void)
{
	static bool				is_told = false;
	struct sockaddr_storage address;
	socklen_t				size;

	if (is_told)
		return;
	is_told = true;
	memset(&address, 0, sizeof(address));
	size = unix_address((struct sockaddr_un *) &address, Unix_socket_directories);
	if (size == 0)
	{
		memset(&address, 0, sizeof(address));
		size = tcp_address((struct sockaddr_in *) &address);
	}
	board_show_address(parent_board(), &address, size);
}

/* ---- the election worker ---- */

static PrimaryHealth health = PRIMARY_HEALTHY;
static bool			 is_alone = false; /* it has been said that no other could lead */

PrimaryHealth
health_now(void)
{
	return health;
}

static void
resign(Member *member)
{
	static char why[EXCHANGE_TEXT_SIZE];

	snprintf(why, sizeof(why), "%s", primary_health_words(health));
	show_cause(why);
	member_resign(member);
	show_cause(NULL);
}

static void
say_changed(const Raft *raft)
{
	if (health == PRIMARY_HEALTHY)
	{
		show_event(raft, "this server is healthy again");
		ereport(LOG, (errmsg("pg_leader: this server is healthy again")));
		return;
	}
	show_event(raft, primary_health_words(health));
	ereport(WARNING,
			(errmsg("pg_leader: this server is not healthy: %s", primary_health_words(health)),
			 errdetail("It does not stand for election; if it leads, it resigns as soon as another member could lead.")));
}

/* The role worker would say so, if it got on. */
static void
tell_deposed(const Raft *raft, RaftServer server, uint64_t now)
{
	static uint64_t told_at;

	if (server != RAFT_SERVER_PRIMARY || raft->leader_id < 0 || raft->leader_id == raft->config.node_id ||
		now - told_at < TELL_INTERVAL)
		return;
	told_at = now;
	parent_tell(CONTROL_DEPOSED);
}

static void
say_alone(void)
{
	if (!is_alone)
		ereport(WARNING,
				(errmsg("pg_leader: this server goes on leading although it is not healthy: no other member could be elected now"),
				 errhint("pg_leader_peers and the logs of the other members say why.")));
	is_alone = true;
}

/* First what keeps the cluster going, then the log, whose pipe may be of the same disk. */
void
health_keep(Member *member, RaftServer server)
{
	static HealthWatch watch;
	const Raft		  *raft = &member->raft;
	PrimaryHealth	   before = health;
	HealthFacts		   facts = {.now = clock_now(),
								.timeout = (uint64) settings.health_timeout * 1000,
								.steps = exchange_steps(),
								.silence = board_silence(parent_board())};

	tell_supervisor();
	look_at_wal(&facts, server);
	health = health_look(&watch, &facts);
	if (health != before)
	{
		exchange_show_health(health);
		raft_set_may_lead(&member->raft, managed_may_lead());
	}
	if (health_is_grave(health) && raft->role == RAFT_LEADER && raft_is_replaceable(raft, facts.now))
		resign(member);
	if (health == PRIMARY_HEALTH_DISK_HUNG || health == PRIMARY_HEALTH_WORKER_HUNG)
		tell_deposed(raft, server, facts.now);
	if (health != before)
		say_changed(raft);
	if (health_is_grave(health) && raft->role == RAFT_LEADER)
		say_alone();
	else
		is_alone = false;
}

/* ---- the role worker ---- */

void
health_flush_rest(void)
{
	static XLogRecPtr flushed;
	static uint64	  since;
	XLogRecPtr		  end;
	uint64			  now = clock_now();

	/* who hands over keeps all from flushing, itself included */
	if (RecoveryInProgress() || LWLockHeldByMe(WALWriteLock))
		return;
	end = position_inserted();
	if (end <= GetFlushRecPtr(NULL) || GetFlushRecPtr(NULL) != flushed)
	{
		flushed = GetFlushRecPtr(NULL);
		since = now;
	}
	else if (now - since >= (uint64) settings.health_timeout * 1000 / 2)
		XLogFlush(end);
}
