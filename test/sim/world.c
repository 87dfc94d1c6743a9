/*
 * test/sim/world.c
 *	  Virtual time, clocks, processes, and the members' host.
 *
 * What a member decides is saved, shown and sent by node/member.c, as on a server; the
 * host that it does that with is here.  See world.h for what is simulated where.  Must not use floating point, pointers
 * or anything else that differs between machines in what it decides.
 */
#include "checker.h"
#include "keeper.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- chance: splitmix64 (S. Vigna, public domain) ---- */

uint64_t
draw(World *w)
{
	uint64_t z = (w->random += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

uint64_t
between(World *w, uint64_t low, uint64_t high)
{
	assert(low <= high);
	return low == high ? low : low + draw(w) % (high - low + 1);
}

bool
chance(World *w, uint32_t ppm)
{
	return ppm != 0 && draw(w) % PER_MILLION < ppm;
}

static void
mix(World *w, uint64_t value)
{
	w->hash = (w->hash ^ value) * UINT64_C(0x100000001B3);
	w->hash ^= w->hash >> 29;
}

/* ---- events: a heap, ordered by time and then by order of scheduling ---- */

static bool
is_sooner(const Event *a, const Event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void
world_schedule(World *w, uint64_t at, int type, int node, uint32_t arg)
{
	Event	 event = {at, ++w->order, (uint8_t) type, (uint8_t) node, arg};
	uint32_t i;

	assert(w->n_events < SIM_EVENTS && at >= w->now);
	i = w->n_events++;
	while (i > 0 && is_sooner(&event, &w->heap[(i - 1) / 2]))
	{
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = event;
}

static Event
next_event(World *w)
{
	Event	 first = w->heap[0];
	Event	 last = w->heap[--w->n_events];
	uint32_t i = 0;

	for (;;)
	{
		uint32_t child = 2 * i + 1;

		if (child >= w->n_events)
			break;
		if (child + 1 < w->n_events && is_sooner(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!is_sooner(&w->heap[child], &last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return first;
}

/* ---- clocks ---- */

static uint64_t
local_at(const Clock *c, uint64_t now)
{
	return c->local_base + (now - c->true_base) * c->rate / PER_MILLION;
}

uint64_t
clock_local(const World *w, const Node *n)
{
	return local_at(&n->clock, w->now);
}

/* The first moment at which the clock shows "local" or later. */
uint64_t
clock_true(const Clock *c, uint64_t local)
{
	if (local <= c->local_base)
		return c->true_base;
	return c->true_base + ((local - c->local_base) * PER_MILLION + c->rate - 1) / c->rate;
}

static void
arm(World *w, Node *n)
{
	uint64_t at;

	if (!node_is_free(w, (int) (n - w->node)))
		return;
	at = clock_true(&n->clock, member_deadline(&n->member));
	if (at < w->now)
		at = w->now;
	if (at >= n->timer_event)
		return; /* looked at again then */
	n->timer_event = at;
	world_schedule(w, at, EVENT_TIMER, (int) (n - w->node), 0);
}

void
node_rearm(World *w, int i)
{
	arm(w, &w->node[i]);
}

void
clock_set_rate(World *w, int i, uint64_t rate)
{
	Node *n = &w->node[i];

	n->clock.local_base = clock_local(w, n);
	n->clock.true_base = w->now;
	n->clock.rate = rate;
	TRACE(w, BIT(i), "clock now runs at %llu ppm", (unsigned long long) rate);
	checker_lease(w, n);
	arm(w, n);
}

/* ---- the world ---- */

static const RaftTimeouts default_timeouts = {
	.min_timeout = 200000,
	.max_timeout = 400000,
	.heartbeat_interval = 50000,
	.max_drift_ppm = 100000,
};

static uint64_t
list_digest(uint64_t members)
{
	return members * UINT64_C(0x9E3779B97F4A7C15) | 1;
}

void
node_set_list(Node *n, uint64_t members)
{
	n->config.members = n->config.wanted = members;
	n->config.list_digest = list_digest(members);
	for (int id = 0; id < RAFT_MAX_NODES; id++)
		n->config.addresses[id] = (members & BIT(id)) != 0 ? 1000 + (uint64_t) id : 0;
	n->config.list_size = (uint32_t) __builtin_popcountll(members);
}

void
node_new_list(World *w, int i, uint64_t members)
{
	Node	  *n = &w->node[i];
	RaftConfig config;

	node_set_list(n, members);
	if (!node_is_free(w, i) || n->member.raft.saved.list.number == 0)
		return;
	config = n->config;
	for (int id = 0; id < RAFT_MAX_NODES; id++)
	{
		/* whoever counts has an address as long as this process lives */
		if ((n->member.raft.config.members & (raft_voters(&n->member.raft) | BIT(i)) & BIT(id)) == 0)
			continue;
		config.members |= BIT(id);
		config.addresses[id] = 1000 + (uint64_t) id;
	}
	(void) member_set_list(&n->member, &config);
}

void
world_reset_node(World *w, int i)
{
	Node *n = &w->node[i];

	memset(n, 0, sizeof(*n));
	n->id = i;
	n->world = w;
	n->timer_event = SIM_NEVER;
	n->clock.local_base = between(w, 1, SECONDS(1000000));
	n->clock.rate = PER_MILLION;
	n->config.node_id = i;
	n->config.may_lead = true;
	n->config.timeouts = default_timeouts;
	node_set_version(n, MESSAGE_VERSION);
	node_set_list(n, BIT(w->n_members) - 1);
	disk_init(w, n);
}

void
world_reset(World *w, int n, uint64_t seed)
{
	assert(n >= 1 && n < SIM_NODES);
	memset(w->leader_of, 0, (w->max_term + 1) * sizeof(w->leader_of[0]));
	memset(w->vote_of, 0, (w->max_term + 1) * sizeof(w->vote_of[0]));
	w->now = w->steps = w->order = w->max_term = w->sent = 0;
	w->other_version = w->no_member = 0;
	w->seed = w->random = seed;
	w->hash = UINT64_C(0xCBF29CE484222325);
	w->n = w->n_members = n;
	w->crash_ppm = 0;
	w->restarts = false;
	w->down_max = SECONDS(1);
	w->on_chaos = NULL;
	w->keepers = NULL;
	w->on_send = NULL;
	w->on_step = NULL;
	w->lost = w->b_leader = -1;
	w->n_events = 0;
	network_init(w);
	for (int i = 0; i < n + 1 && i < SIM_NODES; i++)
		world_reset_node(w, i);
}

void
world_trace(World *w, uint64_t nodes, const char *format, ...)
{
	char   *line = w->lines[w->n_lines % SIM_TRACE].text;
	char	first[16] = "";
	size_t	length;
	va_list args;

	for (int i = 0; i < w->n && first[0] == '\0'; i++)
	{
		if (nodes >> i & 1)
			(void) snprintf(first, sizeof(first), "%d: ", i);
	}
	(void) snprintf(line, SIM_LINE, "%10llu.%06llu #%-7llu %s", (unsigned long long) (w->now / PER_MILLION),
					(unsigned long long) (w->now % PER_MILLION), (unsigned long long) w->steps, first);
	length = strlen(line);
	va_start(args, format);
	(void) vsnprintf(line + length, SIM_LINE - length, format, args);
	va_end(args);
	w->lines[w->n_lines++ % SIM_TRACE].nodes = nodes;
	if (w->tracing == 2)
		printf("%s\n", line);
}

/* ---- save, show, send: the host of a member, see node/member.h ---- */

static void
trace_output(World *w, const Node *n, const RaftOutput *out)
{
	char text[192];

	for (uint32_t i = 0; i < out->n_events; i++)
	{
		const RaftEvent *e = &out->events[i];

		world_trace(w, BIT(n - w->node), "%s in term %llu: %s", raft_role_name(e->role),
					(unsigned long long) e->term, raft_describe_event(e, text, sizeof(text)));
	}
}

static void
count_events(World *w, const RaftOutput *out)
{
	for (uint32_t i = 0; i < out->n_events; i++)
	{
		switch (out->events[i].reason)
		{
			case RAFT_STANDS_ABOVE:
				w->coverage[COVER_STANDS_ABOVE]++;
				break;
			case RAFT_STARTED_ABSTAINING:
				w->coverage[COVER_ABSTAIN_BEGUN]++;
				break;
			case RAFT_STOPPED_ABSTAINING:
				w->coverage[COVER_ABSTAIN_ENDED]++;
				break;
			default:
				break;
		}
	}
}

static void
show_lease(World *w, Node *n, uint64_t lease)
{
	if (n->lease_end != 0 && n->lease_end <= w->now && lease != n->shown)
	{
		w->coverage[COVER_LEASES_EXPIRED]++;
		n->lease_end = 0;
	}
	n->shown = lease;
	checker_lease(w, n);
}

static void
die(World *w, Node *n, CoverageItem how, const char *text)
{
	TRACE(w, BIT(n - w->node), "dies %s", text);
	w->coverage[how]++;
	node_crash(w, (int) (n - w->node), false);
}

static uint64_t
host_now(Member *member)
{
	const Node *n = member->context;

	return clock_local(n->world, n);
}

/* Where in this step the process dies, if it does. */
static void
host_decided(Member *member)
{
	Node			 *n = member->context;
	World			 *w = n->world;
	const RaftOutput *out = &member->output;

	n->before = n->durable;
	checker_decided(w, n);
	n->point = CRASH_NONE;
	n->is_saved = false;
	n->n_sent = 0;
	n->n_to_send = UINT32_MAX;
	if (n->plan != CRASH_NONE && (out->save || (n->plan == CRASH_MID_SEND && out->n_messages > 0)))
	{
		n->point = n->plan;
		n->plan = CRASH_NONE;
	}
	else if (out->save && !world_is_guarded(w) && chance(w, w->crash_ppm))
		n->point = (CrashPoint) between(w, CRASH_BEFORE_SAVE, CRASH_MID_SEND);
	if (n->point == CRASH_MID_SEND && out->n_messages > 0)
		n->n_to_send = (uint32_t) between(w, 0, out->n_messages - 1);
}

/* The disk has it.  false: the process dies all the same. */
static bool
is_durable(World *w, Node *n)
{
	disk_write(w, n, &n->member.raft.saved);
	checker_saved(w, n);
	if (n->point != CRASH_BEFORE_SHOW)
		return true;
	n->is_saved = true;
	die(w, n, COVER_CRASH_BEFORE_SHOW, "between save and show");
	return false;
}

static MemberSave
host_save(Member *member)
{
	Node	*n = member->context;
	World	*w = n->world;
	uint64_t latency;

	if (n->point == CRASH_BEFORE_SAVE)
	{
		die(w, n, COVER_CRASH_BEFORE_SAVE, "before the save");
		return MEMBER_NOT_SAVED;
	}
	if (n->point == CRASH_TORN_SAVE)
	{
		disk_tear(w, n, &member->raft.saved);
		die(w, n, COVER_CRASH_TORN_SAVE, "with a save half done");
		return MEMBER_NOT_SAVED;
	}
	if (!world_is_guarded(w) && disk_fails(w, n))
	{
		disk_fail(w, n, &member->raft.saved);
		die(w, n, COVER_SAVES_FAILED, "because a save failed");
		return MEMBER_NOT_SAVED;
	}
	latency = disk_latency(w, n);
	if (latency == 0)
		return is_durable(w, n) ? MEMBER_SAVED : MEMBER_NOT_SAVED;
	world_schedule(w, w->now + latency, EVENT_SAVED, (int) (n - w->node), n->life);
	return MEMBER_SAVING;
}

static void
host_show(Member *member)
{
	Node			 *n = member->context;
	World			 *w = n->world;
	const RaftOutput *out = &member->output;

	show_lease(w, n, raft_lease_until(&member->raft));
	checker_shown(w, n);
	mix(w, w->now);
	mix(w, (uint64_t) (n - w->node) | (uint64_t) member->raft.role << 8 | (uint64_t) out->n_messages << 16 |
			   (uint64_t) (uint32_t) n->durable.voted_for << 32);
	mix(w, n->durable.term);
	mix(w, n->shown);
	count_events(w, out);
	if (__builtin_expect(w->tracing, 0))
		trace_output(w, n, out);
}

static void
host_send(Member *member, const RaftMessage *m)
{
	Node  *n = member->context;
	World *w = n->world;

	if (n->n_sent == n->n_to_send)
	{
		TRACE(w, BIT(n - w->node), "dies after %u of %u datagrams", n->n_sent, member->output.n_messages);
		w->coverage[COVER_CRASH_MID_SEND]++;
		node_crash(w, (int) (n - w->node), false);
		return;
	}
	n->n_sent++;
	checker_sent(w, n, m);
	network_send(w, n, m);
}

static void
host_sent(Member *member)
{
	Node *n = member->context;

	if (n->world->on_step != NULL)
		n->world->on_step(n->world, n);
}

static const MemberHost host = {
	.now = host_now,
	.decided = host_decided,
	.save = host_save,
	.show = host_show,
	.send = host_send,
	.sent = host_sent,
};

/* ---- what wakes a process ---- */

bool
node_is_free(const World *w, int i)
{
	return w->node[i].up && !w->node[i].paused && !node_is_saving(w, i);
}

bool
node_is_saving(const World *w, int i)
{
	return w->node[i].up && w->node[i].member.state == MEMBER_WAITS;
}

void
node_read(World *w, int i, int32_t p)
{
	Node *n = &w->node[i];
	bool  is_ours = packet_read(w, &w->packet[p], &n->message);

	packet_free(w, p);
	if (is_ours)
	{
		w->steps++;
		TRACE(w, BIT(i), "reads %s from %d, term %llu", message_type_name(n->message.type), n->message.from,
			  (unsigned long long) n->message.term);
		member_receive(&n->member, &n->message);
		if (n->member.output.outcome >= RAFT_FIRST_DROP)
			TRACE(w, BIT(i), "  drops a %s from %d: %s", message_type_name(n->message.type), n->message.from,
				  raft_outcome_name(n->member.output.outcome));
	}
	arm(w, n);
}

/* The process looks up: true if it can do something then. */
static bool
look(World *w, int i)
{
	if (node_is_free(w, i) && w->keepers != NULL)
		keepers_look(w, i);
	return node_is_free(w, i);
}

/* Awake again: first what waits in the buffer, then what is due. */
static void
drain(World *w, int i)
{
	Node	*n = &w->node[i];
	uint32_t life = n->life;
	uint32_t k = 0;

	while (k < n->n_inbox && look(w, i) && n->life == life)
	{
		int32_t p = n->inbox[k++];

		n->inbox[k - 1] = -1;
		node_read(w, i, p);
	}
	if (n->n_inbox >= k)
	{
		n->n_inbox -= k;
		memmove(n->inbox, n->inbox + k, n->n_inbox * sizeof(n->inbox[0]));
	}
	arm(w, n);
}

static void
deliver(World *w, int i, int32_t p)
{
	Node *n = &w->node[i];

	if (!n->up)
		packet_free(w, p);
	else if (look(w, i))
		node_read(w, i, p);
	else if (n->n_inbox < SIM_INBOX)
	{
		w->coverage[COVER_READ_LATE]++;
		n->inbox[n->n_inbox++] = p;
	}
	else
	{
		w->coverage[COVER_OVERFLOWS]++;
		packet_free(w, p);
	}
}

static void
ring(World *w, int i, uint64_t at)
{
	Node *n = &w->node[i];

	if (n->timer_event != at)
		return;
	n->timer_event = SIM_NEVER;
	if (!look(w, i))
		return;
	if (member_deadline(&n->member) <= clock_local(w, n))
	{
		w->steps++;
		member_tick(&n->member, clock_local(w, n));
		if (member_deadline(&n->member) <= clock_local(w, n))
			checker_fail(w, 'A', BIT(i), "node %d: a tick leaves its deadline in the past", i);
	}
	arm(w, n);
}

static void
save_done(World *w, int i, uint32_t life)
{
	Node *n = &w->node[i];

	if (!n->up || n->life != life || !node_is_saving(w, i))
		return;
	if (n->paused)
	{
		/* the disk is ready, the process is not */
		world_schedule(w, w->now + MS(1), EVENT_SAVED, i, life);
		return;
	}
	if (!is_durable(w, n))
		return;
	member_saved(&n->member, true);
	drain(w, i);
}

bool
world_event(World *w, uint64_t until)
{
	Event e;

	if (w->n_events == 0 || w->heap[0].at > until)
	{
		w->now = until;
		return false;
	}
	e = next_event(w);
	w->now = e.at;
	switch (e.type)
	{
		case EVENT_DELIVER:
			deliver(w, e.node, (int32_t) e.arg);
			break;
		case EVENT_TIMER:
			ring(w, e.node, e.at);
			break;
		case EVENT_SAVED:
			save_done(w, e.node, e.arg);
			break;
		case EVENT_START:
			if (!w->node[e.node].up && w->node[e.node].life == e.arg)
				node_start(w, e.node);
			break;
		case EVENT_RESUME:
			if (w->node[e.node].life == e.arg)
				node_resume(w, e.node);
			break;
		case EVENT_SERVER:
			keepers_event(w, e.node);
			break;
		default:
			if (w->on_chaos != NULL)
				w->on_chaos(w);
			break;
	}
	return true;
}

void
world_run(World *w, uint64_t us)
{
	uint64_t until = w->now + us;

	while (world_event(w, until))
		;
}

/* ---- processes ---- */

static bool
is_appended(const Node *n, const RaftSaved *stored)
{
	uint64_t members = n->config.members;
	uint64_t head = 0;

	if (stored->list_size < 1 || stored->list_size >= n->config.list_size)
		return false;
	for (uint32_t k = 0; k < stored->list_size; k++)
	{
		head |= members & -members;
		members &= members - 1;
	}
	return list_digest(head) == stored->list_digest;
}

/* Start the process; a state file that cannot be used keeps it from taking part. */
void
node_start(World *w, int i)
{
	Node	 *n = &w->node[i];
	RaftSaved loaded;
	RaftSaved first;
	bool	  exists = n->disk.exists;

	assert(!n->up);
	n->life++;
	w->coverage[COVER_STARTS]++;
	n->verdict = exists ? disk_open(w, n, &loaded) : STORE_GOOD;
	if (n->verdict != STORE_GOOD && n->verdict != STORE_ONE_SLOT_BAD)
	{
		TRACE(w, BIT(i), "takes no part: its state file is %s", store_verdict_name(n->verdict));
		return;
	}
	n->config.list_appended = exists && is_appended(n, &loaded);
	raft_first_record(exists ? &loaded : NULL, n->verdict == STORE_ONE_SLOT_BAD, &n->config,
					  &first);
	if (!exists)
		store_number_new_life(&first, SIM_WALL_CLOCK_MS + w->now / 1000);
	if (first.abstaining != RAFT_VOTING && (!exists || loaded.abstaining == RAFT_VOTING))
		w->coverage[COVER_ABSTAIN_BEGUN]++;
	if (exists)
		disk_write(w, n, &first);
	else
		disk_create(w, n, &first);
	n->config.incarnation = draw(w) | 1;
	n->config.seed = draw(w);
	n->up = true;
	n->paused = false;
	n->n_inbox = 0;
	n->timer_event = SIM_NEVER;
	member_start(&n->member, &host, n, &n->config, &first);
	member_set_position(&n->member, n->position);
	checker_saved(w, n);
	mix(w, w->now ^ n->config.incarnation);
	TRACE(w, BIT(i), "starts: boot %llu, term %llu, vote %d, %s", (unsigned long long) first.boot,
		  (unsigned long long) first.term, first.voted_for,
		  first.abstaining == RAFT_VOTING ? "votes" : raft_abstain_name(first.abstaining));
	arm(w, n);
}

void
node_new(World *w, int i)
{
	Node	 *n = &w->node[i];
	RaftSaved first = {.save_number = 1, .voted_for = RAFT_NONE};

	first.list_digest = n->config.list_digest;
	first.list_size = n->config.list_size;
	disk_create(w, n, &first);
}

/* The core's counters, before they are gone. */
void
node_harvest(World *w, Node *n)
{
	const RaftCounters *c = &n->member.raft.counters;

	w->coverage[COVER_ELECTIONS_WON] += c->elections_won;
	w->coverage[COVER_ELECTIONS_LOST] += c->elections_lost;
	w->coverage[COVER_VOTES_REFUSED] += c->votes_refused;
	w->coverage[COVER_PRE_VOTES_REFUSED] += c->pre_votes_refused;
	w->coverage[COVER_QUORUM_LOST] += c->quorum_losses;
	w->coverage[COVER_TRANSFERS] += c->transfers;
	w->coverage[COVER_DROPPED_ECHO] += c->dropped[RAFT_DROP_ECHO];
	w->coverage[COVER_DROPPED_STALE] += c->dropped[RAFT_DROP_STALE];
	w->coverage[COVER_DROPPED_SEEN] += c->dropped[RAFT_DROP_SEEN];
	w->coverage[COVER_DROPPED_GREETED] += c->dropped[RAFT_DROP_GREETED];
	w->coverage[COVER_DROPPED_OLD_START] += c->dropped[RAFT_DROP_OLD_START];
	memset(&n->member.raft.counters, 0, sizeof(n->member.raft.counters));
}

static void
end_process(World *w, int i)
{
	Node *n = &w->node[i];

	node_harvest(w, n);
	for (uint32_t k = 0; k < n->n_inbox; k++)
	{
		if (n->inbox[k] >= 0)
			packet_free(w, n->inbox[k]);
	}
	n->n_inbox = 0;
	n->up = n->paused = false;
	n->plan = CRASH_NONE;
	n->life++;
	member_end(&n->member);
	show_lease(w, n, 0);
	n->lease_end = 0;
}

/*
 * SIGKILL, or with "power" the machine's end: then its clock starts anew, and a
 * disk that lies forgets.  While crashes are part of the world it starts again.
 */
void
node_crash(World *w, int i, bool power)
{
	Node *n = &w->node[i];

	if (!n->up)
		return;
	if (node_is_saving(w, i) && !n->is_saved && chance(w, 333333))
		disk_tear(w, n, &n->member.raft.saved);
	else if (node_is_saving(w, i) && !n->is_saved && chance(w, 500000))
		disk_write(w, n, &n->member.raft.saved);
	end_process(w, i);
	TRACE(w, BIT(i), power ? "is down: power lost" : "is down");
	if (power)
	{
		w->coverage[COVER_REBOOTS]++;
		n->clock.true_base = w->now;
		n->clock.local_base = between(w, 1, SECONDS(60));
		if (n->disk.lies)
		{
			memcpy(n->disk.image, n->disk.kept, STORE_FILE_SIZE);
			TRACE(w, BIT(i), "loses saves that its disk had acknowledged");
		}
	}
	if (w->restarts)
		world_schedule(w, w->now + between(w, 0, w->down_max), EVENT_START, i, n->life);
}

/* SIGTERM, or the postmaster's death: resign, then leave. */
void
node_stop(World *w, int i)
{
	Node *n = &w->node[i];

	if (!node_is_free(w, i))
	{
		node_crash(w, i, false);
		return;
	}
	w->coverage[COVER_STOPS]++;
	TRACE(w, BIT(i), "is asked to stop");
	w->steps++;
	member_resign(&n->member);
	if (n->up)
		node_crash(w, i, false);
}

void
node_pause(World *w, int i, uint64_t us)
{
	Node *n = &w->node[i];

	if (!n->up || n->paused)
		return;
	w->coverage[COVER_PAUSES]++;
	TRACE(w, BIT(i), "is paused");
	n->paused = true;
	if (us != SIM_NEVER)
		world_schedule(w, w->now + us, EVENT_RESUME, i, n->life);
}

void
node_resume(World *w, int i)
{
	Node *n = &w->node[i];

	if (!n->up || !n->paused)
		return;
	TRACE(w, BIT(i), "is resumed");
	n->paused = false;
	drain(w, i);
}

void
node_reload(World *w, int i, const RaftTimeouts *t)
{
	Node	  *n = &w->node[i];
	RaftConfig wanted = n->config;

	wanted.timeouts = *t;
	if (raft_check_config(&wanted) != NULL)
		return;
	w->coverage[COVER_RELOADS]++;
	TRACE(w, BIT(i), "reloads: timeouts %llu to %llu us, heartbeat %llu us",
		  (unsigned long long) t->min_timeout, (unsigned long long) t->max_timeout,
		  (unsigned long long) t->heartbeat_interval);
	n->config.timeouts = *t;
	if (node_is_free(w, i))
	{
		member_reload(&n->member, t, n->member.raft.may_lead);
		arm(w, n);
	}
}

void
node_may_lead(World *w, int i, bool may_lead)
{
	Node *n = &w->node[i];

	n->config.may_lead = may_lead;
	if (!node_is_free(w, i) || n->member.raft.may_lead == may_lead)
		return;
	w->coverage[COVER_CANDIDATE]++;
	TRACE(w, BIT(i), may_lead ? "may lead" : "may not lead any more");
	w->steps++;
	member_reload(&n->member, &n->member.raft.config.timeouts, may_lead);
	arm(w, n);
}

RaftTransferResult
node_transfer(World *w, int i, int32_t target)
{
	Node			  *n = &w->node[i];
	RaftTransferResult result;

	if (!node_is_free(w, i))
		return RAFT_TRANSFER_NOT_LEADER;
	TRACE(w, BIT(i), "is asked for a transfer to %d", target);
	w->steps++;
	result = member_transfer(&n->member, target);
	arm(w, n);
	return result;
}

void
node_hasten(World *w, int i)
{
	Node *n = &w->node[i];

	if (!node_is_free(w, i))
		return;
	raft_hasten(&n->member.raft, clock_local(w, n));
	arm(w, n);
}

void
node_admit(World *w, int i)
{
	Node *n = &w->node[i];

	if (!node_is_free(w, i))
		return;
	TRACE(w, BIT(i), "the operator admits it");
	w->steps++;
	(void) member_admit(&n->member);
	arm(w, n);
}

void
world_start_all(World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		node_new(w, i);
		node_start(w, i);
	}
}

/*
 * While it is not found out, random crashes would take away the memory of those
 * who can.
 */
bool
world_is_guarded(const World *w)
{
	return w->lost >= 0 && w->node[w->lost].durable.abstaining == RAFT_VOTING;
}

bool
node_has_lease(const World *w, int i)
{
	const Node *n = &w->node[i];

	return n->up && n->shown > clock_local(w, n);
}

int
world_lease(const World *w)
{
	for (int i = 0; i < w->n; i++)
	{
		if (node_has_lease(w, i))
			return i;
	}
	return -1;
}
