/*
 * test/sim/processes.c
 *	  The processes of a simulated server: how far they get between two turns, which is drawn
 *	  from the world's seed, and what they ask of primary/ and raft/ on their way.
 */
#include "keeper_parts.h"

#include "checker.h"

#define MOST_SEGMENTS 24 /* max_wal_size */

/* ---- the startup process ---- */

void
gather_promotion(const World *w, int i, PromotionFacts *f, HistoryFile *files)
{
	const Keeper	*k = &w->keepers->keeper[i];
	const SimServer *s = server_of(w, i);

	f->now = clock_local(w, &w->node[i]);
	f->lease_until = w->node[i].shown;
	f->term = w->node[i].durable.term;
	f->authorised = k->authorised;
	f->authorised_term = k->authorised_term;
	f->target = s->target.timeline;
	f->target_begin = sim_path_begin(&w->keepers->cluster, s->target, s->target.timeline);
	f->end = s->at;
	f->histories = read_histories(w, i, files);
}

void
burn(World *w, int i, const Histories *histories, uint32_t claim)
{
	for (uint32_t t = promotion_burns(histories, claim, 0); t != 0; t = promotion_burns(histories, claim, t))
		sim_put_history(&server_of(w, i)->data, (uint16_t) t, SIM_BURNT);
	ledger_authorised(w, i, claim);
}

SimAnswer
at_the_end_of_recovery(void *context, const SimAsked *asked)
{
	World			*w = ((Keepers *) context)->world;
	Keeper			*k = keeper_of(w, asked->server);
	SimAnswer		 answer = {0};
	PromotionFacts	 f;
	HistoryFile		 files[SIM_TIMELINES];
	PromotionVerdict verdict;

	if (!asked->promoting || k->nobody_asked)
		return answer;
	gather_promotion(w, asked->server, &f, files);
	verdict = promotion_verdict(&f);
	answer.refuse = verdict != PROMOTION_GOES_ON;
	k->target_ahead = verdict == PROMOTION_TARGET_AHEAD;
	if (answer.refuse)
		w->data[DATA_PROMOTIONS_REFUSED]++;
	else
		burn(w, asked->server, &f.histories, k->authorised);
	TRACE(w, BIT(asked->server), "at the end of recovery: %s", promotion_describe(verdict));
	k->authorised = 0;
	return answer;
}

void
startup_gets_on(World *w, int i)
{
	Keeper	   *k = keeper_of(w, i);
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = server_of(w, i);
	int			steps = (int) between(w, 0, 8) + (w->keepers->calm ? 8 : 0);

	while (steps-- > 0 && (s->life == SIM_STANDBY || s->life == SIM_RECOVERING) && !is_held(w, i, HOLD_STARTUP))
	{
		bool	reads = s->phase < SIM_CLEANUP && !s->disk_full;
		SimStep step = sim_startup_step(c, i);

		TRACE(w, BIT(i), "    startup %d phase %d at %u", step, s->phase, (unsigned) s->at);
		if (step == SIM_DIED)
		{
			TRACE(w, BIT(i), "server: the startup process ends");
			watch_died(&k->directory, reads);
			server_died(w, i);
		}
		else if (step == SIM_OPENED)
		{
			TRACE(w, BIT(i), "server is primary on timeline %u", s->timeline);
			k->wrote_on = s->timeline;
			k->promoted_start = s->timeline == k->used ? s->start : 0;
			w->data[DATA_BY_HAND_DONE] += k->nobody_asked && w->keepers->authorised_of[s->timeline] != 1 + i;
			k->nobody_asked = false;
			w->data[DATA_PROMOTIONS]++;
		}
		if (step == SIM_WAITS || step == SIM_HELD || step == SIM_NOTHING)
			break;
	}
}

/* ---- walreceivers and walsenders ---- */

static bool
may_serve(const World *w, int i, int standby)
{
	const Node *n = &w->node[i];

	return w->keepers->replies_always || (n->up ? raft_may_serve(&n->member.raft, standby) : n->durable.claim == 0);
}

/* Those whom it served before, and may not any more. */
static void
end_senders_not_to_be_served(World *w, int i)
{
	const SimServer *s = server_of(w, i);

	if (!w->node[i].up || w->keepers->replies_always)
		return;
	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		if (s->sender[slot].state != SIM_SENDER_FREE && !raft_may_go_on_serving(&w->node[i].member.raft, s->sender[slot].standby))
			(void) sim_sender_end(&w->keepers->cluster, i, slot);
	}
}

/* What standbys have reported arrives, or is lost, in any order. */
static void
replies_arrive(World *w, int i, int slot)
{
	Keepers	  *k = w->keepers;
	SimSender *sender = &server_of(w, i)->sender[slot];

	while (sender->state != SIM_SENDER_FREE && sender->n_replies > 0 && (k->calm || chance(w, 600000)))
	{
		int which = k->calm ? 0 : (int) between(w, 0, (uint64_t) sender->n_replies - 1);

		if (k->reply_loss_ppm != 0 && chance(w, k->reply_loss_ppm))
			w->data[DATA_REPLIES_LOST] += sim_reply_lost(&k->cluster, i, slot, which);
		else
			(void) sim_reply_arrives(&k->cluster, i, slot, which);
	}
}

void
streams_get_on(World *w, int i)
{
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = server_of(w, i);
	SimLsn		at;

	end_senders_not_to_be_served(w, i);
	if (s->receiver.state != SIM_WALRCV_STOPPED && !reaches(w, i, s->receiver.source))
		(void) sim_receiver_end(c, i, true); /* WalRcvDie() flushes */
	at = s->receiver.state == SIM_WALRCV_STREAMING ? s->receiver.at : 0;
	for (int k = (int) between(w, 0, 4) + (w->keepers->calm ? 4 : 0);
		 k > 0 && !is_held(w, i, HOLD_RECEIVER) && !keeper_is_frozen(w, s->receiver.source); k--)
		(void) sim_receiver_step(c, i, (int) between(w, 1, 4));
	if (s->receiver.state == SIM_WALRCV_STREAMING && s->receiver.at != at)
		ledger_streams(w, i);
	if (!is_held(w, i, HOLD_FLUSH) && (w->keepers->calm || chance(w, 600000)))
		(void) sim_receiver_flush(c, i);
	if (w->keepers->calm || chance(w, 600000))
		(void) sim_receiver_reply(c, i);
	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		SimSender *sender = &s->sender[slot];

		if (!is_held(w, i, HOLD_REPLIES))
			replies_arrive(w, i, slot);
		if (sender->state != SIM_SENDER_FREE && !sender->attached && (w->keepers->calm || chance(w, 20000)))
			(void) sim_sender_end(c, i, slot);
	}
	if (s->life == SIM_STOPPING && (w->keepers->calm || chance(w, 300000)))
		(void) sim_stop_finish(c, i);
}

/*
 * The checkpointer, once there is much WAL: what no start and no wal_keep_size needs goes.
 * A standby can only repeat a checkpoint that it has replayed.  In calm there is little, and
 * a record that comes while a server hands over would cost it a rewind.
 */
void
checkpointer_gets_on(World *w, int i)
{
	SimCluster *c = &w->keepers->cluster;
	SimServer  *s = server_of(w, i);
	SimLsn		end = (s->life == SIM_PRIMARY ? s->flushed : s->at) / SIM_SEGMENT;

	if (w->keepers->calm || s->data.n_files <= MOST_SEGMENTS || s->disk_full || s->life == SIM_DOWN || !chance(w, 200000))
		return;
	(void) sim_checkpoint(c, i);
	if (end > w->keepers->wal_keep)
		w->data[DATA_RECYCLED] += sim_recycle(c, i, (uint16_t) (end - w->keepers->wal_keep));
}

/* End the walsenders of that standby (RAFT_NONE: of any), of that connection (0: any); was there one? */
bool
end_senders(SimCluster *c, int i, int standby, uint32_t connection)
{
	bool ended = false;

	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		const SimSender *sender = &c->server[i].sender[slot];

		if (sender->state != SIM_SENDER_FREE && (standby == RAFT_NONE || sender->standby == standby) &&
			(connection == 0 || sender->connection == connection))
			ended |= sim_sender_end(c, i, slot);
	}
	return ended;
}

static bool
has_sender(const SimCluster *c, int i, int standby)
{
	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		if (c->server[i].sender[slot].state != SIM_SENDER_FREE && c->server[i].sender[slot].standby == standby)
			return true;
	}
	return false;
}

/* Rule 16: a member's older one is ended before its newer one is served, and nobody else bears its name. */
bool
at_login(void *context, int server, int standby, int host)
{
	World *w = ((Keepers *) context)->world;

	if (!quorum_is_from(standby, host))
		return false;
	if (w->keepers->two_senders && chance(w, 500000))
		w->data[DATA_SECOND_SENDERS] += has_sender(&w->keepers->cluster, server, standby);
	else
		(void) end_senders(&w->keepers->cluster, server, standby, 0);
	return may_serve(w, server, standby);
}

/* What its receiver has flushed is told to nobody but the leader of the member's own term. */
bool
may_reply(void *context, int server, int source)
{
	Keepers		 *keepers = context;
	const Node	 *n = &keepers->world->node[server];
	const Keeper *k = &keepers->keeper[server];

	if (n->durable.claim == 0)
		return true;
	if (n->durable.rebuild != RAFT_INTACT)
		return false; /* rule 21, on which D1 rests; that it is over counts once it is durable */
	if (keepers->replies_always)
		return true;
	return k->loose_source == source &&
		   (n->up ? raft_may_acknowledge(&n->member.raft, k->loose_term) : n->durable.term == k->loose_term);
}
