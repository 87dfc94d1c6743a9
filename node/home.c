/*
 * node/home.c
 *	  A member's home on this machine.
 *
 * See home.h.  Must not use backend symbols, wait, or log.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "home.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "clock.h"

void
home_init(Home *home)
{
	memset(home, 0, sizeof(*home));
	home->store.fd = -1;
	home->transport.fd = -1;
}

/* ---- opening ---- */

/* For numbering only; nothing here is timed by the wall clock. */
static uint64_t
wall_clock_ms(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec < 0 ? 0 : (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

/* Open the state file and make this start's first record durable. */
static bool
open_store(Home *home, const HomeSettings *settings, Words *words)
{
	StoreIdentity identity;
	StoreEvidence evidence = {0};
	StoreOpen	  found;
	RaftSaved	  loaded;

	memset(&identity, 0, sizeof(identity));
	identity.cluster_digest = cluster_text_digest(settings->cluster_name);
	identity.node_id = home->config.node_id;
	found = store_open(&home->store, settings->state_directory, &identity, &loaded, words);
	if (found != STORE_FAILED && settings->look_for_evidence != NULL)
		settings->look_for_evidence(&evidence);
	switch (found)
	{
		case STORE_OPENED:
			home->config.list_appended = cluster_is_appended(home->cluster, loaded.list_size,
															 loaded.list_digest);
			raft_first_record(&loaded, home->store.damaged, &home->config, &home->first);
			home->store_health = home->store.damaged ? "one slot was bad" : "ok";
			if (store_save(&home->store, &home->first, words))
				return true;
			store_close(&home->store);
			return false;
		case STORE_MISSING:
			home->config.list_appended = false;
			raft_first_record(NULL, false, &home->config, &home->first);
			store_number_new_life(&home->first, wall_clock_ms());
			store_heed_evidence(&home->first, &evidence);
			home->store_health = "was missing at start";
			return store_create(&home->store, settings->state_directory, &identity, &home->first, words);
		case STORE_FAILED:
		default:
			return false;
	}
}

bool
home_open(Home *home, const HomeSettings *settings, Words *words)
{
	home->cluster = settings->cluster;
	if (home->transport.fd < 0 &&
		!transport_open(&home->transport, home->cluster, settings->config.node_id,
						settings->listen_address, cluster_text_digest(settings->cluster_name),
						&home->secret, words))
		return false;
	if (home->store.fd >= 0)
		return true;
	home->config = settings->config;
	return open_store(home, settings, words);
}

bool
home_start(Home *home, const MemberHost *host)
{
	uint64_t random[2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
		return false;
	home->config.incarnation = random[0] != 0 ? random[0] : 1;
	home->config.seed = random[1];
	member_start(&home->member, host, home, &home->config, &home->first);
	return true;
}

/* A member that both lists have, at two places: datagrams would go to one, and be taken from the other. */
static bool
has_moved(const Cluster *before, const Cluster *now)
{
	for (int i = 0; i < now->n_members; i++)
	{
		const ClusterMember *member = &now->members[i];
		const ClusterMember *was = cluster_member(before, member->node_id);

		if (was != NULL && (was->port != member->port || strcmp(was->host, member->host) != 0))
			return true;
	}
	return false;
}

bool
home_set_list(Home *home, Cluster *members, const Cluster *configured, Words *words)
{
	const Raft *raft = &home->member.raft;
	Cluster		next = *configured;
	RaftConfig	config = raft->config;

	cluster_keep(&next, members, raft_voters(raft));
	cluster_configure(&next, &config);
	config.wanted = cluster_members(configured);
	config.list_digest = cluster_list_digest(configured, configured->n_members);
	config.list_size = (uint32_t) configured->n_members;
	if (has_moved(members, configured) || !raft_list_fits(&config, &raft->saved.list))
		return words_set(words, "Take the member out of the list first. When it does not count any more, add it with its new address.",
						 "a member has another address in it");
	if (!transport_set_list(&home->transport, members, &next, words))
		return false;
	*members = next;
	(void) member_set_list(&home->member, &config);
	home->config = home->member.raft.config;
	home->addresses_changed = true;
	return true;
}

bool
home_save(Home *home, Words *words)
{
	return store_save(&home->store, &home->member.raft.saved, words);
}

void
home_close(Home *home)
{
	member_end(&home->member);
	transport_close(&home->transport);
	store_close(&home->store);
}

/* ---- one turn ---- */

int
home_pollable(const Home *home)
{
	return transport_pollable(&home->transport);
}

static uint64_t
sooner_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t
home_deadline(const Home *home)
{
	return sooner_of(member_deadline(&home->member),
					 sooner_of(transport_tend_at(&home->transport), transport_deadline(&home->transport)));
}

static void
receive(Home *home)
{
	TransportResult result = TRANSPORT_MESSAGE;

	for (int i = 0; i < HOME_DATAGRAMS && result != TRANSPORT_EMPTY && home->member.state == MEMBER_RUNS; i++)
	{
		result = transport_receive(&home->transport, home->cluster, &home->message);
		if (home->arrived != NULL)
			home->arrived(home, result);
		if (result != TRANSPORT_MESSAGE)
			continue;
		member_receive(&home->member, &home->message);
		if (home->taken != NULL)
			home->taken(home);
	}
}

static bool
tend(Home *home, uint64_t now, Words *words)
{
	uint64_t heard_at[RAFT_MAX_NODES];

	if (now < transport_tend_at(&home->transport))
		return true;
	for (int i = 0; i < RAFT_MAX_NODES; i++)
		heard_at[i] = home->member.raft.peers[i].heard_at;
	home->addresses_changed = true;
	return transport_tend(&home->transport, home->cluster, heard_at, now, words);
}

/*
 * FIRST READ, THEN TICK of raft.h.  The clock is read before the sockets are: what had
 * come by then is read, as much as one turn may take.  A process that was stopped between
 * waking up and this line wakes late, and asks its sockets again.
 */
bool
home_turn(Home *home, bool timer_only, Words *words)
{
	uint64_t now = clock_now();

	if (!timer_only || now >= member_deadline(&home->member) + HOME_ON_TIME ||
		now >= transport_deadline(&home->transport))
		receive(home);
	if (home->member.state == MEMBER_RUNS)
		member_tick(&home->member, now);
	return tend(home, now, words);
}
