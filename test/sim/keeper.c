/*
 * test/sim/keeper.c
 *	  One turn of a simulated server: its processes get on, its keeper gathers facts, asks
 *	  primary/decide.c, and obeys.
 *
 * The keeper is what the role worker will be; supervisor.c is beside it.  They decide
 * nothing: what is not in primary/ or raft/ is not decided.
 */
#include "keeper_parts.h"

#include <string.h>

/* ---- what the worker knows ---- */

bool
keeper_has_names(const World *w, int i)
{
	return w->now >= w->keepers->keeper[i].names_until;
}

/* As soon as a claim is known, and then when the list changes. */
static void
write_names(World *w, int i)
{
	const Raft *r = &w->node[i].member.raft;

	if (r->saved.claim == 0)
		return;
	w->data[DATA_LISTS_REACHED] += r->role == RAFT_LEADER && keeper_of(w, i)->named.number + 1 == r->saved.list.number &&
								   !raft_list_is_joint(&r->saved.list);
	keeper_of(w, i)->named = raft_list(r);
}

/* Whose address nobody needs any more. */
static void
forget_left(World *w, int i)
{
	const Raft *r = &w->node[i].member.raft;
	RaftConfig	config;

	if (w->keepers->calm && r->saved.list.number != 0 && w->node[i].config.list_digest != r->config.list_digest)
		node_new_list(w, i, w->node[i].config.wanted);
	if (!node_is_free(w, i))
		return;
	config = r->config;
	config.members = r->config.members & (r->config.wanted | raft_voters(r));
	if (r->saved.list.number != 0 && config.members != r->config.members)
		(void) member_set_list(&w->node[i].member, &config);
}

bool
keeper_is_open(const World *w, int i)
{
	const Keeper *k = &w->keepers->keeper[i];

	return k->open && keeper_has_names(w, i) && k->leading.opened_term == w->node[i].member.raft.saved.term;
}

void
server_died(World *w, int i)
{
	Keeper *k = keeper_of(w, i);

	k->open = false;
	k->authorised = k->used = 0;
	k->nobody_asked = false;
	k->end_known = false;
	k->promoted_start = 0;
}

static void
forget_worker(Keeper *k, uint32_t life, uint32_t start, uint64_t now)
{
	bool server_lives = k->start == start;

	watch_clock(&k->directory, now);
	k->life = life;
	k->start = start;
	k->told = k->note_told = false;
	k->following = (WatchFollowing){0};
	watch_forget_leading(&k->leading);

	/* A worker that ends clears what it showed; the server's own memory stays. */
	k->open = false;
	k->authorised = 0;
	if (!server_lives)
	{
		k->end_known = false;
		k->promoted_start = 0;
	}
}

/* ---- telling the member ---- */

/* Was there anything new? */
static bool
tell_member(World *w, int i, const PrimaryFacts *f)
{
	Keeper			*k = keeper_of(w, i);
	PrimaryPosition	 own = primary_position(f);
	const SimServer *s = server_of(w, i);
	RaftData		 data = {.server = f->server, .system_id = f->system_id, .port = sim_port(i)};
	uint16_t		 newest = sim_newest_history(&s->data);

	k->told_end = f->end;
	data.known = own.known;
	data.foreign = own.foreign;
	data.position = own.position;
	data.newest_timeline = f->system_id == 0 ? 0 : newest > f->timeline ? newest :
																		  f->timeline;
	data.promoted = f->server == RAFT_SERVER_PRIMARY && k->promoted_start == s->start && f->leader_id == i &&
					f->timeline == f->claim;
	data.open = keeper_is_open(w, i) && data.promoted;
	data.list_held = data.open ? f->list_held : 0;
	data.list_held_term = data.list_held != 0 ? f->list_term : 0;
	if (k->told && memcmp(&data, &k->data_told, sizeof(data)) == 0)
		return false;
	k->told = true;
	k->data_told = data;
	TRACE(w, BIT(i), "tells its member: %s%s position %u/%u", data.known ? "known" : "unknown", data.foreign ? " foreign" : "",
		  (unsigned) data.position.epoch, (unsigned) data.position.index);
	member_set_data(&w->node[i].member, &data);
	return true;
}

/*
 * The election worker reads where the WAL ends before each call of the member: what was
 * flushed while it stood still counts for its next vote.
 */
void
keepers_look(World *w, int i)
{
	Keeper		*k = keeper_of(w, i);
	PrimaryFacts f;

	if (!k->told || !k->end_known || k->life != w->node[i].life || k->start != server_of(w, i)->start)
		return;
	learn_end(w, i);
	if (!k->end_known || k->end == k->told_end)
		return;
	gather_facts(w, i, &f);
	(void) tell_member(w, i, &f);
}

/*
 * What it held, in a file beside the state file, so that the election waits for no disk.
 * Was the member told of it?
 */
static bool
keep_note(World *w, int i)
{
	Keeper *k = keeper_of(w, i);
	Node   *n = &w->node[i];
	bool	tells = !k->note_told && n->durable.rebuild == RAFT_INTACT;

	k->note_told = true;
	if (n->durable.rebuild != RAFT_INTACT)
	{
		k->note = (RaftPosition){0, 0};
		return false;
	}
	if (tells)
		member_remember_held(&n->member, k->note);
	if (k->data_told.known && w->now >= k->note_at + SECONDS(1) && !raft_is_behind(&n->member.raft))
	{
		k->note = k->data_told.position;
		k->note_at = w->now;
	}
	return tells;
}

/* ---- obeying ---- */

static void
stop_receiver(World *w, int i)
{
	SimServer *s = server_of(w, i);

	if (s->conninfo >= 0)
		(void) sim_set_conninfo(&w->keepers->cluster, i, -1);
	if (s->receiver.state != SIM_WALRCV_STOPPED)
		(void) sim_receiver_end(&w->keepers->cluster, i, true);
	watch_receiver_ended(&keeper_of(w, i)->following);
}

static void
compare(World *w, int i, PrimaryFacts *f)
{
	Keeper			 *k = keeper_of(w, i);
	const SimCluster *c = &w->keepers->cluster;
	const SimServer	 *source;
	const SimRecord	 *mine;
	const SimRecord	 *theirs;
	uint16_t		  file = 0;

	watch_following(&k->following, f);
	if (!watch_wants_bytes(&k->following, f))
		return;
	source = server_of(w, f->leader_id);
	mine = sim_read_any(c, &server_of(w, i)->data, sim_path(&server_of(w, i)->data, (uint16_t) f->timeline),
						(SimLsn) f->end - 1, &file);
	file = 0;
	theirs = sim_read_any(c, &source->data, sim_path(&source->data, (uint16_t) f->leader.lineage->timeline),
						  (SimLsn) f->end - 1, &file);
	watch_compared(&k->following, mine != NULL, theirs != NULL, mine != NULL && theirs != NULL && mine->uid == theirs->uid);
	f->check = k->following.check;
}

static void
follow(World *w, int i, const PrimaryFacts *f, const PrimaryOrder *order)
{
	Keeper	  *k = keeper_of(w, i);
	SimServer *s = server_of(w, i);
	uint32_t   path[RAFT_PATH];
	uint32_t   n = primary_path(f, path, RAFT_PATH);

	if (!member_follow(&w->node[i].member, path, n) || !node_is_free(w, i))
		return;
	k->loose_source = order->node;
	k->loose_term = f->term;
	if (!k->following.check.loose || s->conninfo != order->node)
	{
		TRACE(w, BIT(i), "follows %d on timeline %u", order->node, order->timeline);
		w->data[DATA_FOLLOWS]++;
		(void) sim_set_conninfo(&w->keepers->cluster, i, order->node);
		watch_let_loose(&k->following, f);
		return;
	}
	if (watch_streams(&k->following, f, s->receiver.state == SIM_WALRCV_STREAMING ? s->receiver.received_timeline : 0))
		watch_followed(&k->directory);
}

/* Use the claim up; once that is durable, the startup process may. */
static void
promote(World *w, int i)
{
	Keeper	*k = keeper_of(w, i);
	Node	*n = &w->node[i];
	uint32_t timeline = member_promote(&n->member);

	if (timeline == 0)
		return;
	k->asked = timeline;
	k->asked_life = n->life;
	maintenance_promotes(w, i);
}

static void
authorise(World *w, int i)
{
	Keeper			*k = keeper_of(w, i);
	const Node		*n = &w->node[i];
	PromotionFacts	 f;
	PromotionVerdict verdict;
	HistoryFile		 files[SIM_TIMELINES];

	if (n->durable.promoting == 0 || k->asked != n->durable.promoting || k->asked_life != n->life ||
		k->used == k->asked)
		return;
	k->authorised = k->asked;
	k->authorised_term = n->durable.term;
	gather_promotion(w, i, &f, files);
	verdict = promotion_verdict(&f);
	k->target_ahead = verdict == PROMOTION_TARGET_AHEAD;
	if (verdict != PROMOTION_GOES_ON)
	{
		k->authorised = 0;
		if (verdict != PROMOTION_NO_LEASE) /* which may come back */
			stop_server(w, i, true);
		return;
	}
	k->used = k->asked;
	TRACE(w, BIT(i), "asks for promotion to timeline %u", k->used);
	if (!server_of(w, i)->redo_began || k->nobody_asked)
	{
		/* Then nobody is asked at the end: what lies between is burnt now. */
		burn(w, i, &f.histories, k->used);
		k->authorised = 0;
	}
	(void) sim_promote(&w->keepers->cluster, i);
}

static void
claim(World *w, int i)
{
	RaftClaimResult result = member_claim(&w->node[i].member);

	TRACE(w, BIT(i), "asks for a claim: %s", raft_describe_claim(result));
	if (result == RAFT_CLAIM_MADE)
	{
		w->data[DATA_CLAIMS]++;
		keeper_of(w, i)->claim_made = w->node[i].member.raft.claim;
		adoption_claims(w, i);
		w->keepers->cluster.full |= w->node[i].member.raft.claim >= SIM_TIMELINES - 1;
	}
	else if (result == RAFT_CLAIM_BEHIND && node_is_free(w, i))
		(void) node_transfer(w, i, raft_newest_peer(&w->node[i].member.raft, clock_local(w, &w->node[i])));
}

static void
open_fence(World *w, int i, const PrimaryFacts *f)
{
	Keeper *k = keeper_of(w, i);

	if (k->open && k->leading.opened_term == f->term)
		return;
	k->open = true;
	if (k->leading.opened_term != f->term)
	{
		TRACE(w, BIT(i), "opens on timeline %u", f->timeline);
		w->data[DATA_OPENED]++;
		w->data[DATA_KEPT] += k->authorised_term != f->term;
	}
	watch_opened(&k->leading, f);
	ledger_opens(w, i);
}

static void
obey(World *w, int i, const PrimaryFacts *f, const PrimaryOrder *order)
{
	Keeper	   *k = keeper_of(w, i);
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = server_of(w, i);
	Member	   *member = &w->node[i].member;

	if (order->action != PRIMARY_OPEN && order->action != PRIMARY_DRAIN)
		k->open = false;
	if (order->action != PRIMARY_FOLLOW && order->action != PRIMARY_REBUILT && order->action != PRIMARY_LEAVE &&
		order->action != PRIMARY_CLAIM && s->life != SIM_DOWN)
		stop_receiver(w, i);
	k->compared_start = fence_compared(k->compared_start == s->start, order->action) ? s->start : 0;
	if (order->action == PRIMARY_FOLLOW || order->action == PRIMARY_LEAVE)
		k->followed_start = s->start;
	switch (order->action)
	{
		case PRIMARY_FOLLOW:
			follow(w, i, f, order);
			break;
		case PRIMARY_CLAIM:
			claim(w, i);
			break;
		case PRIMARY_RESUME_REPLAY:
			s->paused = false;
			break;
		case PRIMARY_PROMOTE:
			promote(w, i);
			break;
		case PRIMARY_MARK:
			if (sim_insert(c, i, SIM_RECORD_MARK, (uint16_t) f->term, s->own_shape) &&
				sim_wal_flush(c, i, s->inserted))
			{
				watch_marked(&k->leading, f->term, s->inserted);
				(void) sim_checkpoint(c, i); /* pg_rewind needs it, before and after opening */
			}
			break;
		case PRIMARY_OPEN:
			open_fence(w, i, f);
			break;
		case PRIMARY_RESTART:
			watch_restarts(&k->directory, order->reason, f->now);
			restart_server(w, i, f);
			break;
		case PRIMARY_REWIND:
			rebuild(w, i, order, RAFT_REWINDING);
			break;
		case PRIMARY_CLONE:
			rebuild(w, i, order, RAFT_CLONING);
			break;
		case PRIMARY_REBUILT:
			if (order->node != RAFT_NONE)
				follow(w, i, f, order);
			if (node_is_free(w, i) && member_rebuilt(member))
			{
				k->lost &= k->remains == PRIMARY_REMAINS_UNTOUCHED;
				k->remains = PRIMARY_REMAINS_BROKEN;
				w->data[DATA_REBUILT]++;
			}
			break;
		case PRIMARY_RESIGN:
			watch_resigned(&k->leading, order->reason);
			member_resign(member);
			break;
		default:
			break;
	}
}

/* ---- a leader and members whose data are gone ---- */

static void
name_floors(World *w, int i)
{
	Raft	*r = &w->node[i].member.raft;
	uint64_t members = raft_to_forget(r);

	for (int j = 0; j < w->n; j++)
	{
		if (!(members & BIT(j)))
			continue;
		(void) end_senders(&w->keepers->cluster, i, j, 0);
		keeper_of(w, i)->told = false; /* the position is what it is after that */
		w->data[DATA_FLOORS_NAMED] += raft_forgot(r, j);
	}
}

/* ---- a turn ---- */

/* What is done also when no process of the server gets on. */
static bool
is_for_supervisor(PrimaryAction action)
{
	return action == PRIMARY_RESTART || action == PRIMARY_REWIND || action == PRIMARY_CLONE || action == PRIMARY_RESIGN;
}

/* A claim is for one term: deposed before it has used it, its leader has lost it. */
static void
note_claim(World *w, int i)
{
	Keeper	   *k = keeper_of(w, i);
	const Raft *r = &w->node[i].member.raft;
	bool		used = k->used == k->claim_made || k->asked == k->claim_made;

	if (k->claim_made == 0 || (!used && w->node[i].up && r->role == RAFT_LEADER && r->claim == k->claim_made))
		return;
	w->data[DATA_CLAIMS_LOST] += !used;
	k->claim_made = 0;
}

static void
turn(World *w, int i)
{
	Keeper		*k = keeper_of(w, i);
	Node		*n = &w->node[i];
	SimServer	*s = server_of(w, i);
	PrimaryFacts f;
	PrimaryOrder order;
	bool		 told;

	bool is_frozen = keeper_is_frozen(w, i);

	if (k->other_until != 0 && w->now >= k->other_until)
		keeper_remove_other(w, i);
	w->data[DATA_TURNS]++;
	s->disk_hangs = w->now < k->hangs_until;
	if (!is_frozen)
	{
		startup_gets_on(w, i);
		streams_get_on(w, i);
		checkpointer_gets_on(w, i);
	}
	rebuild_gets_on(w, i);
	if (n->up && (k->life != n->life || k->start != s->start))
		forget_worker(k, n->life, s->start, clock_local(w, n));
	if (!n->up)
		k->open = false;
	note_claim(w, i);
	learn_end(w, i);
	if (adoption_turn(w, i))
		return;
	if (!is_frozen)
		ledger_clients(w, i);
	if (w->keepers->cluster.full || !node_is_free(w, i) || is_held(w, i, HOLD_WORKER))
		return;
	if (n->durable.promoting != 0 && (s->life == SIM_DOWN || s->life == SIM_PRIMARY))
	{
		member_promoted(&n->member);
		if (!node_is_free(w, i))
			return;
	}
	if (!is_frozen)
	{
		authorise(w, i);
		hand_over_turn(w, i);
		maintenance_turn(w, i);
	}
	if (!node_is_free(w, i))
		return;
	forget_left(w, i);
	if (!node_is_free(w, i))
		return;
	gather_facts(w, i, &f);
	told = tell_member(w, i, &f);
	write_names(w, i);
	if (!node_is_free(w, i))
		return;
	told |= keep_note(w, i);
	if (!node_is_free(w, i))
		return;
	if (told)
		gather_facts(w, i, &f);
	compare(w, i, &f);
	name_floors(w, i);
	raft_set_may_lead(&n->member.raft, n->config.may_lead && primary_may_stand(&f));
	order = primary_decide(&f);
	watch_decided(&k->following, &f, &order);
	w->reasons[order.reason]++;
	TRACE(w, BIT(i), "  order %s: %s", primary_action_name(order.action), primary_reason_name(order.reason));

	/* a frozen worker has given no other order since */
	if (is_frozen && !is_for_supervisor(order.action))
		return;
	k->order = order;
	obey(w, i, &f, &k->order);
}

/*
 * A member lives in the election worker while its server runs, and in the supervisor
 * otherwise: it ends in one and starts in the other, with the same state file.
 */
static void
move_home(World *w, int i)
{
	Keeper *k = keeper_of(w, i);
	Node   *n = &w->node[i];
	bool	runs = server_of(w, i)->life != SIM_DOWN;

	if (runs == k->ran || node_is_saving(w, i) || n->paused)
		return;
	k->ran = runs;
	if (!w->keepers->two_homes || !n->up)
		return;
	TRACE(w, BIT(i), "its member moves to the %s", runs ? "election worker" : "supervisor");
	w->data[DATA_HOMES]++;
	restart_member(w, i);
}

void
keepers_event(World *w, int i)
{
	w->steps++;
	turn(w, i);
	move_home(w, i);
	if (w->node[i].up)
		node_rearm(w, i);
	world_schedule(w, w->now + between(w, MS(1), w->keepers->interval), EVENT_SERVER, i, 0);
}

void
keepers_begin(World *w, Keepers *k)
{
	memset(k->keeper, 0, sizeof(k->keeper));
	memset(k->answered, 0, sizeof(k->answered));
	memset(k->seen, 0, sizeof(k->seen));
	memset(k->authorised_of, 0, sizeof(k->authorised_of));
	k->world = w;
	memset(k->hung_up, 0, sizeof(k->hung_up));
	memset(k->closed_since, 0, sizeof(k->closed_since));
	k->buried = 0;
	k->calm = k->two_homes = k->wal_apart = k->replies_always = false;
	k->two_senders = k->clones_aside = k->no_shield = false;
	k->adoption = (Adoption){0};
	k->maintenance = (Maintenance){0};
	k->interval = MS(20);
	k->wal_keep = SIM_FILES;
	k->rebuild_ppm = 500000;
	k->reply_loss_ppm = 0;
	k->fence_wait = 2 * w->node[0].config.timeouts.max_timeout;
	w->keepers = k;
	keepers_mend(w);
	sim_begin(&k->cluster, w->n, 15, chance(w, 700000));
	k->cluster.authorise = at_the_end_of_recovery;
	k->cluster.login = at_login;
	k->cluster.may_reply = may_reply;
	k->cluster.context = k;
	(void) sim_initdb(&k->cluster, 0, SIM_SYSTEM);
	for (int i = 0; i < w->n; i++)
	{
		w->node[i].config.managed = true;
		world_schedule(w, w->now + between(w, 0, k->interval), EVENT_SERVER, i, 0);
	}
}
