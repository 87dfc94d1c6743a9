/*
 * server/login.c
 *	  Who may log in to a managed server.
 *
 * See login.h.  Asked when the client has been authenticated, before its session begins.
 */
#include "postgres.h"
#include "server/port.h"

#include <netdb.h>
#include <sys/socket.h>

#include "access/xlog.h"
#include "libpq/auth.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "replication/walsender.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "node/clock.h"
#include "node/lookup.h"
#include "node/upstream.h"
#include "server/compat.h"
#include "server/exchange.h"
#include "server/fence.h"
#include "server/login.h"
#include "server/senders.h"
#include "server/settings.h"
#include "server/shared.h"
#include "server/slots.h"

/* How long a member that may not be served yet waits for it, us, and how often it is asked, ms. */
#define SERVE_PATIENCE UINT64CONST(1000000)
#define SERVE_INTERVAL 5

static ClientAuthentication_hook_type previous_hook = NULL;

/* ---- sessions ---- */

static bool
is_listed(const char *role)
{
	char	 *names = pstrdup(settings.fence_exempt_roles);
	List	 *list = NIL;
	ListCell *cell;
	bool	  found = false;

	if (SplitIdentifierString(names, ',', &list))
	{
		foreach(cell, list)
			found |= strcmp((const char *) lfirst(cell), role) == 0;
	}
	list_free(list);
	pfree(names);
	return found;
}

/* pg_rewind and pg_basebackup log in as that role, as ordinary clients too. */
static bool
is_exempt_role(const char *role)
{
	char user[NAMEDATALEN];

	return is_listed(role) || (upstream_user(settings.replication_conninfo, user, sizeof(user)) && strcmp(user, role) == 0);
}

bool
login_is_exempt(void)
{
	static enum
	{
		UNKNOWN,
		NO,
		YES
	} known = UNKNOWN;

	if (known == UNKNOWN)
		known = is_exempt_role(MyProcPort->user_name) ? YES : NO;
	return known == YES;
}

static bool
leads(void)
{
	Raft *raft = palloc(sizeof(Raft));
	bool  leads = exchange_read_core(raft) && raft->role == RAFT_LEADER;

	pfree(raft);
	return leads;
}

static FenceLogin
ask(uint64 begun)
{
	FenceLook		look = fence_look();
	FenceLoginFacts facts = {.in_recovery = RecoveryInProgress(),
							 .compared = look.compared,
							 .is_open = look.is_open,
							 .waited = look.now - Min(begun, look.now),
							 .wait = Min(fence_wait_limit(), (uint64) AuthenticationTimeout * 500000)};

	if (facts.in_recovery ? !facts.compared : !facts.is_open)
	{
		facts.is_exempt = login_is_exempt();
		facts.leads = leads();
	}
	return fence_login(&facts);
}

static void
refuse(void)
{
	char why[FENCE_TEXT_SIZE];
	char leader[FENCE_TEXT_SIZE];

	fence_count(FENCE_LOGINS_REFUSED);
	(void) fence_describe(NULL, why);
	if (RecoveryInProgress() && !fence_look().compared)
		strlcpy(why, "its data have not been compared with the leader's since its start", sizeof(why));
	ereport(FATAL,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("pg_leader: this server does not accept connections now: %s", why),
			 *fence_describe_leader(leader) != '\0' ? errhint("%s", leader) : errhint("Try the other servers, or later again.")));
}

static void
let_in(void)
{
	uint64	   begun = clock_now();
	FenceLogin verdict;

	while ((verdict = ask(begun)) == FENCE_LOGIN_WAIT)
		fence_sleep();
	fence_sleep_end();
	if (verdict == FENCE_LOGIN_REFUSE)
		refuse();
	if (verdict == FENCE_LOGIN_READ_ONLY)
		SetConfigOption("default_transaction_read_only", "on", PGC_SUSET, PGC_S_OVERRIDE);
}

/* ---- members' walsenders ---- */

/* Where the election sends that member's datagrams: known without the name service. */
static bool
comes_from_peer(const struct sockaddr_storage *from, int32_t member)
{
	SharedDetail *detail = palloc(sizeof(SharedDetail));
	char		  text[SHARED_RESOLVED_SIZE];
	size_t		  length;
	bool		  same = false;
	uint32_t	  i;

	/* both with a port, which is not the same */
	address_format(from, text, sizeof(text));
	length = strrchr(text, ':') != NULL ? (size_t) (strrchr(text, ':') - text) + 1 : 0;
	shared_read_detail(detail);
	for (i = 0; i < detail->n_peers && length > 0; i++)
	{
		const SharedPeer *peer = &detail->peers[i];

		same |= peer->node_id == member && strncmp(peer->resolved, text, length) == 0 && strchr(peer->resolved + length, ':') == NULL;
	}
	pfree(detail);
	return same;
}

/* The member from whose address it comes: that one, or nobody.  May ask the name service. */
static int32_t
host_of(const struct sockaddr_storage *from, int32_t member, const char *name)
{
	struct addrinfo	 hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct addrinfo *one;
	int32_t			 host = RAFT_NONE;

	if (from->ss_family != AF_INET && from->ss_family != AF_INET6)
		return RAFT_NONE;
	if (comes_from_peer(from, member))
		return member;
	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		return RAFT_NONE;
	for (one = found; one != NULL && host == RAFT_NONE; one = one->ai_next)
	{
		struct sockaddr_storage address = {0};

		memcpy(&address, one->ai_addr, one->ai_addrlen);
		if (address_same_host(&address, from))
			host = member;
	}
	freeaddrinfo(found);
	return host;
}

static void
refuse_name(const Port *port, const char *why)
{
	fence_count(FENCE_LOGINS_REFUSED);
	ereport(FATAL,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("pg_leader: a connection from %s may not replicate as \"%s\": %s",
					port->remote_host, port->application_name != NULL ? port->application_name : "", why),
			 errhint("Names like pg_leader_0 are for the members' own WAL receivers. Set application_name to another one.")));
}

static bool
may_serve(int32_t member)
{
	Raft *raft = palloc(sizeof(Raft));
	bool  may = exchange_read_core(raft) && raft_may_serve(raft, member);

	pfree(raft);
	return may;
}

/* Its receiver is early, more often than not: the claim is on its way to it. */
static void
wait_to_serve(int32_t member)
{
	uint64 deadline = clock_now() + SERVE_PATIENCE;

	while (!may_serve(member))
	{
		if (clock_now() >= deadline)
			ereport(FATAL,
					(errcode(ERRCODE_CANNOT_CONNECT_NOW),
					 errmsg("pg_leader: node %d is not served now: this server does not lead, or node %d does not follow it",
							member, member)));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SERVE_INTERVAL, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* As PostgreSQL reads options: a backslash is dropped, '-' is '_', capitals do not matter. */
static bool
is_in_options(const char *options, const char *name)
{
	char *plain = palloc(strlen(options) + 1);
	char *end = plain;
	bool  found;

	for (; *options != '\0'; options++)
	{
		if (*options != '\\')
			*end++ = *options == '-' ? '_' : (char) pg_ascii_tolower((unsigned char) *options);
	}
	*end = '\0';
	found = strstr(plain, name) != NULL;
	pfree(plain);
	return found;
}

/* Is its name also set in a way that is not looked at here? */
static bool
has_other_name(const Port *port)
{
	static const char name[] = "application_name";
	int				  i;

	if (port->cmdline_options != NULL && is_in_options(port->cmdline_options, name))
		return true;
	for (i = 0; i < list_length(port->guc_options); i += 2)
	{
		const char *setting = list_nth(port->guc_options, i);

		if (strcmp(setting, name) != 0 && pg_strcasecmp(setting, name) == 0)
			return true;
	}
	return false;
}

static void
register_sender(const Port *port)
{
	int32_t id = port->application_name != NULL ? quorum_member(port->application_name) : RAFT_NONE;
	char	host[CLUSTER_HOST_SIZE];
	char	mark[64];

	if (has_other_name(port))
		refuse_name(port, "the options set application_name");
	if (id == RAFT_NONE || !shared_member_host(id, host))
		return;
	snprintf(mark, sizeof(mark), SENDERS_MARK, id);
	if (port->cmdline_options == NULL || strcmp(port->cmdline_options, mark) != 0)
		refuse_name(port, "it is not a WAL receiver of a managed server");
	if (id == settings.node_id || !quorum_is_from(id, host_of(&port->raddr.addr, id, host)))
		refuse_name(port, "it does not come from that member's address");
	wait_to_serve(id);
	if (!senders_register(id))
		ereport(FATAL,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("pg_leader: an earlier walsender of node %d does not end", id)));
	slots_prepare(id);
}

static void
at_login(Port *port, int status)
{
	if (previous_hook)
		(previous_hook)(port, status);
	if (status != STATUS_OK || IsBinaryUpgrade)
		return;
	if (am_walsender)
		register_sender(port);
	else
		let_in();
}

void
login_register(void)
{
	previous_hook = ClientAuthentication_hook;
	ClientAuthentication_hook = at_login;
}
