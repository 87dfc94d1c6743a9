/*
 * test/sim/stream.c
 *	  Of the simulated PostgreSQL: walreceivers, walsenders, synchronous commit.
 *
 * What a walsender has sent, its receiver has got: there is no WAL under way, only a
 * receiver that has not read on.  Flush replies are under way, per connection.
 */
#include "server_parts.h"

#include <string.h>

/* The walsender of this receiver's connection; NULL: it is gone. */
static SimSender *
sender_of(SimCluster *c, const SimReceiver *v)
{
	SimSender *sender;

	if (v->slot < 0)
		return NULL;
	sender = &c->server[v->source].sender[v->slot];
	return sender->state != SIM_SENDER_FREE && sender->connection == v->connection ? sender : NULL;
}

/*
 * Up to where a server sends, and on which timeline it is (IDENTIFY_SYSTEM): a primary what
 * it has flushed, a standby what it has replayed or, on that timeline, received.
 */
SimLsn
sim_send_end(const SimCluster *c, int i, uint16_t *timeline)
{
	const SimServer	  *s = &c->server[i];
	const SimReceiver *v = &s->receiver;

	if (s->life == SIM_PRIMARY || s->life == SIM_STOPPING)
	{
		*timeline = s->timeline;
		return s->flushed;
	}
	*timeline = s->replay_timeline;
	return v->received_timeline == s->replay_timeline && v->flushed_upto > s->at ? v->flushed_upto : s->at;
}

/*
 * RequestXLogStreaming(): from the segment's start, and at a server's first request or
 * another timeline flushedUpto goes back to there, labelled with the new one (P 4).
 */
void
sim_receiver_ask(SimCluster *c, int i)
{
	SimServer	*s = &c->server[i];
	SimReceiver *v = &s->receiver;
	uint16_t	 timeline = sim_path_timeline(c, s->target, s->at);
	SimLsn		 start = s->at / SIM_SEGMENT * SIM_SEGMENT;

	if (v->receive_start == 0 || v->received_timeline != timeline)
	{
		v->flushed_upto = start;
		v->received_timeline = timeline;
	}
	v->receive_start = start;
	if (v->state == SIM_WALRCV_WAITING)
		v->state = SIM_WALRCV_BEGINNING;
	else
	{
		v->state = SIM_WALRCV_CONNECTING;
		v->source = s->upstream;
		v->slot = -1;
		v->write = v->flush = 0;
	}
}

/*
 * The receiver is gone: SIGTERM, an error, a lost connection; then it flushes what it has
 * written (P 3).  The other side need not know: its walsender stays, and counts, until
 * sim_sender_end().  WalRcv keeps its values.
 */
bool
sim_receiver_end(SimCluster *c, int i, bool flush)
{
	SimReceiver *v = &c->server[i].receiver;
	SimSender	*sender = sender_of(c, v);

	if (v->state == SIM_WALRCV_STOPPED)
		return false;
	if (flush && v->state == SIM_WALRCV_STREAMING)
	{
		(void) sim_receiver_flush(c, i);
		if (v->flush < v->write && c->server[i].disk_hangs)
			return false; /* it waits for its fsync */
	}
	if (sender != NULL)
		sender->attached = false;
	v->state = SIM_WALRCV_STOPPED;
	v->slot = -1;
	return true;
}

/* ---- connecting ---- */

static bool
connect_to(SimCluster *c, int i)
{
	SimServer	*s = &c->server[i];
	SimReceiver *v = &s->receiver;
	SimServer	*source = &c->server[v->source];
	int			 slot = 0;
	int			 name = s->bears > 0 ? s->bears - 1 : i;

	while (slot < SIM_SENDERS && source->sender[slot].state != SIM_SENDER_FREE)
		slot++;
	if (!sim_accepts(source) || slot == SIM_SENDERS || source->data.system != s->data.system)
		return sim_receiver_end(c, i, false);
	(void) sim_send_end(c, v->source, &v->source_timeline);
	if (v->source_timeline < v->received_timeline)
		return sim_receiver_end(c, i, false); /* highest timeline of the primary is behind */
	if (c->login != NULL && !c->login(c->context, v->source, name, i))
		return sim_receiver_end(c, i, false);
	v->slot = (int8_t) slot;
	v->connection = ++c->n_connections;
	source->sender[slot] = (SimSender){.state = SIM_SENDER_STARTUP,
									   .standby = (int8_t) name,
									   .host = (int8_t) i,
									   .attached = true,
									   .connection = v->connection};
	v->fetch = v->received_timeline;
	v->state = SIM_WALRCV_FETCHING;
	return true;
}

/*
 * History files, in ascending order, one by one; a file that the source lacks ends it: a
 * clone has only its own timeline's (P 1.4).  Burnt ones are files like others.
 */
static bool
fetch_history(SimCluster *c, int i)
{
	SimServer		*s = &c->server[i];
	SimReceiver		*v = &s->receiver;
	const SimServer *source = &c->server[v->source];

	if (v->fetch > v->source_timeline)
	{
		v->state = SIM_WALRCV_BEGINNING;
		return true;
	}
	if (v->fetch > 1 && s->data.history[v->fetch] == SIM_ABSENT)
	{
		if (source->data.history[v->fetch] == SIM_ABSENT || s->disk_full)
			return sim_receiver_end(c, i, false);
		s->data.history[v->fetch] = source->data.history[v->fetch];
	}
	v->fetch++;
	return true;
}

/* Where that timeline ends for the source: its fork, else how far it may send. */
static SimLsn
sendable_end(const SimCluster *c, int source, uint16_t timeline, bool *historic)
{
	const SimServer *s = &c->server[source];
	uint16_t		 current;
	SimLsn			 end = sim_send_end(c, source, &current);

	*historic = timeline != current;
	return *historic ? sim_path_end(c, sim_path(&s->data, current), timeline) : end;
}

/* The timeline has come to its end: what is there of newer ones, and wait for orders. */
static bool
timeline_ended(SimCluster *c, int i)
{
	SimReceiver *v = &c->server[i].receiver;

	(void) sim_receiver_flush(c, i);
	(void) sim_send_end(c, v->source, &v->source_timeline);
	for (uint16_t id = 2; id <= v->source_timeline; id++)
	{
		SimServer *s = &c->server[i];

		if (id < v->received_timeline || s->data.history[id] != SIM_ABSENT)
			continue;
		if (c->server[v->source].data.history[id] == SIM_ABSENT)
			return sim_receiver_end(c, i, false);
		s->data.history[id] = c->server[v->source].data.history[id];
	}
	v->state = SIM_WALRCV_WAITING;
	sender_of(c, v)->state = SIM_SENDER_STARTUP;
	return true;
}

/*
 * START_REPLICATION.  The source looks whether the timeline is in its history and the
 * segment's start is not beyond the fork or its own end, and at nothing else (R S2, A7).
 * The receiver begins by reporting what it has REPLAYED as flushed (R 2).
 */
static bool
begin_streaming(SimCluster *c, int i)
{
	SimServer	*s = &c->server[i];
	SimReceiver *v = &s->receiver;
	SimSender	*sender = sender_of(c, v);
	bool		 historic;
	SimLsn		 end = sendable_end(c, v->source, v->received_timeline, &historic);

	if (end < v->receive_start || end == 0)
		return sim_receiver_end(c, i, false);
	v->at = v->receive_start;
	v->write = v->flush = s->at;
	v->state = SIM_WALRCV_STREAMING;
	sender->timeline = v->received_timeline;
	sender->sent = v->at;
	if (historic && v->at >= end)
		return timeline_ended(c, i);
	sender->state = SIM_SENDER_CATCHUP;
	(void) sim_receiver_reply(c, i);
	return true;
}

/* ---- streaming ---- */

/*
 * The segment that the source reads: that with the fork from the next timeline's copy, as
 * WalSndSegmentOpen() does.
 */
static const SimRecord *
record_to_send(SimCluster *c, int source, uint16_t timeline, SimLsn lsn, SimLsn end, bool historic)
{
	SimServer		 *s = &c->server[source];
	const SimSegment *f;

	if (historic && lsn / SIM_SEGMENT == end / SIM_SEGMENT)
	{
		uint16_t current;

		(void) sim_send_end(c, source, &current);
		timeline = sim_path_timeline(c, sim_path(&s->data, current), end);
	}
	f = sim_segment(&s->data, timeline, lsn);
	return f != NULL ? &f->record[lsn % SIM_SEGMENT] : NULL;
}

/* One record into the local segment, over whatever is there (P 1.5). */
static bool
receive_record(SimCluster *c, int i, const SimRecord *r)
{
	SimServer	*s = &c->server[i];
	SimReceiver *v = &s->receiver;
	SimSegment	*f;
	SimRecord	*mine;

	if (v->at % SIM_SEGMENT == 0 && v->write == v->at)
		(void) sim_receiver_flush(c, i); /* the segment before is closed */
	f = s->disk_full ? NULL : sim_make_segment(c, &s->data, v->received_timeline, v->at);
	if (f == NULL)
		return false;
	mine = &f->record[v->at % SIM_SEGMENT];
	if (mine->uid != r->uid)
	{
		*mine = *r;
		mine->synced = 0;
	}
	v->write = ++v->at;
	return true;
}

/* At most so many records, whatever there is to send; where nothing is left, how it stands. */
static bool
stream(SimCluster *c, int i, int most)
{
	SimReceiver *v = &c->server[i].receiver;
	SimSender	*sender = sender_of(c, v);
	bool		 historic;
	SimLsn		 end = sendable_end(c, v->source, sender->timeline, &historic);

	if (historic && end < v->at)
		return sim_receiver_end(c, i, true); /* more was sent than the timeline has */
	for (; most > 0 && v->at < end; most--)
	{
		const SimRecord *r = record_to_send(c, v->source, sender->timeline, v->at, end, historic);

		if (r == NULL || r->uid == 0 || !receive_record(c, i, r))
			return sim_receiver_end(c, i, true); /* segment removed, or no room here */
		sender->sent = v->at;
	}
	if (v->at < end)
		return true;

	/* Also for the instant until the receiver has heard that the timeline is at its end (R A6). */
	if (historic && sender->state == SIM_SENDER_STREAMING)
		return timeline_ended(c, i);
	sender->state = SIM_SENDER_STREAMING;
	return true;
}

/*
 * One step of the walreceiver: connect, fetch one history file, begin, or receive at most
 * so many records.  Where it fails, it ends.
 */
bool
sim_receiver_step(SimCluster *c, int i, int most)
{
	SimReceiver *v = &c->server[i].receiver;

	if (v->state == SIM_WALRCV_CONNECTING)
		return connect_to(c, i);
	if (v->state == SIM_WALRCV_STOPPED)
		return false;
	if (c->server[i].disk_hangs)
		return false; /* at the first fsync that it comes to */
	if (sender_of(c, v) == NULL)
		return sim_receiver_end(c, i, true);
	switch ((SimWalRcv) v->state)
	{
		case SIM_WALRCV_FETCHING:
			return fetch_history(c, i);
		case SIM_WALRCV_BEGINNING:
			return begin_streaming(c, i);
		case SIM_WALRCV_STREAMING:
			return stream(c, i, most);
		default:
			return false;
	}
}

/*
 * XLogWalRcvFlush(): only if it has written beyond what it believes flushed, which at first
 * is the replay position: what it wrote over below that is not synced.
 */
bool
sim_receiver_flush(SimCluster *c, int i)
{
	SimServer	*s = &c->server[i];
	SimReceiver *v = &s->receiver;
	SimSegment	*f;

	if (v->state != SIM_WALRCV_STREAMING || v->flush >= v->write || s->disk_hangs)
		return false;
	f = sim_segment(&s->data, v->received_timeline, v->write - 1);
	for (int p = 0; f != NULL && p < SIM_SEGMENT; p++)
		f->record[p].synced = 1;
	v->flush = v->write;
	if (v->flushed_upto < v->flush)
		v->flushed_upto = v->flush;
	return true;
}

/* A reply is sent; it arrives when the driver says so. */
bool
sim_receiver_reply(SimCluster *c, int i)
{
	SimReceiver *v = &c->server[i].receiver;
	SimSender	*sender = sender_of(c, v);

	if (v->state != SIM_WALRCV_STREAMING || sender == NULL || sender->n_replies == SIM_REPLIES)
		return false;
	if (c->may_reply != NULL && !c->may_reply(c->context, i, v->source))
		return false;
	sender->reply[sender->n_replies++] = v->flush;
	return true;
}

static bool
take_reply(SimSender *sender, int which, SimLsn *flush)
{
	if (sender->state == SIM_SENDER_FREE || which < 0 || which >= sender->n_replies)
		return false;
	*flush = sender->reply[which];
	sender->n_replies--;
	memmove(&sender->reply[which], &sender->reply[which + 1], (size_t) (sender->n_replies - which) * sizeof(SimLsn));
	return true;
}

/*
 * The primary hears a reply, 0 being the oldest; also of a receiver that has gone.  It
 * takes the value as it comes, lower ones too.
 */
bool
sim_reply_arrives(SimCluster *c, int i, int slot, int which)
{
	SimSender *sender = &c->server[i].sender[slot];
	SimLsn	   flush;

	if (!take_reply(sender, which, &flush))
		return false;
	sender->flush = flush;
	return true;
}

bool
sim_reply_lost(SimCluster *c, int i, int slot, int which)
{
	SimLsn flush;

	return take_reply(&c->server[i].sender[slot], which, &flush);
}

/* The walsender ends: its receiver was gone, or pg_terminate_backend(); that one notices. */
bool
sim_sender_end(SimCluster *c, int i, int slot)
{
	SimSender *sender = &c->server[i].sender[slot];

	if (sender->state == SIM_SENDER_FREE)
		return false;
	memset(sender, 0, sizeof(*sender));
	return true;
}

/* ---- synchronous commit ---- */

/*
 * ANY k (...): the k-th highest flush of the walsenders that stream.  It counts
 * connections and names, not standbys (C16), those in catch-up do not count, and it believes
 * what it is told (R A6, R A7).
 */
SimLsn
sim_stock_position(const SimCluster *c, int i, int k)
{
	const SimServer *s = &c->server[i];
	SimLsn			 heard[SIM_SENDERS];
	int				 n = 0;

	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		SimLsn flush = s->sender[slot].flush;
		int	   place = n;

		if (s->sender[slot].state != SIM_SENDER_STREAMING || flush == 0 || (s->unnamed >> s->sender[slot].standby & 1) != 0)
			continue;
		for (; place > 0 && heard[place - 1] < flush; place--)
			heard[place] = heard[place - 1];
		heard[place] = flush;
		n++;
	}
	return k >= 1 && k <= n ? heard[k - 1] : 0;
}

/*
 * SyncRepReleaseWaiters(): lsn[FLUSH] rises (and never falls, P 6), and who waits for less
 * is released, whenever the driver lets it run.  k = 0: no names are set.  Returns how many.
 */
int
sim_release(SimCluster *c, int i, int k)
{
	SimServer *s = &c->server[i];
	SimLsn	   heard = sim_stock_position(c, i, k);
	int		   n = 0;

	if (s->life != SIM_PRIMARY)
		return 0;
	if (heard > s->released)
		s->released = heard;
	for (int id = 1; id <= c->n_commits; id++)
	{
		const SimCommit *commit = &c->commit[id];

		if (commit->server == i && commit->start == s->start && commit->outcome == SIM_COMMIT_WAITING &&
			commit->end <= s->flushed && (k == 0 || commit->end <= s->released))
			n += sim_wait_end(c, id, SIM_COMMIT_RELEASED);
	}
	return n;
}

/*
 * A wait ends: released, cancelled (stock PostgreSQL answers with success, C17) or
 * with its session.  It needs the local flush; from then on the row is visible.
 */
bool
sim_wait_end(SimCluster *c, int commit, SimOutcome how)
{
	SimCommit *waits = &c->commit[commit];
	SimServer *s = &c->server[waits->server];

	if (commit < 1 || commit > c->n_commits || waits->outcome != SIM_COMMIT_WAITING || s->start != waits->start)
		return false;
	if (s->flushed < waits->end && !sim_wal_flush(c, waits->server, waits->end))
		return false;
	waits->outcome = (uint8_t) how;
	sim_add_commit(s->shown, commit);
	return true;
}

/* What the client is told after the wait: success, or that nobody knows. */
bool
sim_answer(SimCluster *c, int commit, bool answered)
{
	SimCommit *waits = &c->commit[commit];

	if (commit < 1 || commit > c->n_commits || (waits->outcome != SIM_COMMIT_RELEASED && waits->outcome != SIM_COMMIT_CANCELLED))
		return false;
	if (c->server[waits->server].life == SIM_DOWN || c->server[waits->server].start != waits->start)
		return false; /* the session died with the server */
	waits->outcome = answered ? SIM_COMMIT_ANSWERED : SIM_COMMIT_WITHHELD;
	return true;
}
