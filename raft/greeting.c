/*
 * raft/greeting.c
 *	  Who is who: starts of members, and the protection against replay.
 *
 * Every start of a member has a boot counter and a random incarnation.  A
 * datagram acts only if it echoes the present start of its receiver, comes from
 * the present start of its sender, and has not come before.  So one that somebody
 * recorded and sends again acts on nothing:
 *
 *	  sent to an earlier start of ours		falls at the echo
 *	  by an earlier start of the peer		falls at the start
 *	  between these two starts				falls at the window: its number was seen,
 *											or is RAFT_WINDOW or more behind
 *
 * The window lives in memory alone.  It need not outlive a start: after ours the
 * echo is another one, after the peer's its numbers begin anew.
 *
 * Held back and delivered once is not the same as sent again: within the window
 * datagrams still come late and overtake each other, as in any network.  Each
 * rule looks after that itself (rounds that are counted once, answers that are
 * overtaken); none of those checks is made superfluous by the window.
 *
 *	  1. greeting		here is my start.  Acts on nothing.
 *	  2. answer			echoes it, names the answerer's start, and says what the
 *						answerer remembers of the greeter: so a member learns
 *						that its store is an old copy, or that it has a twin.
 *	  3. confirmation	any datagram that echoes the answerer's start.
 *
 * Two messages go to unverified senders: the answer to a
 * greeting, and the greeting that a wrong echo brings about.  Both are limited for
 * each peer, so that replays cannot make us send.
 *
 * Which versions of the datagram a peer understands is learned in the same way, by
 * what is fresh and by nothing else: a recording from before somebody went back to an
 * older program must not make us use a version that it no longer understands.  Only the
 * answer to a greeting goes by what that greeting says, and leaves no trace.
 */
#include "internal.h"

#include <assert.h>

/* ---- greetings ---- */

static void
greet(Raft *r, uint64_t now, int32_t id, RaftOutput *out)
{
	RaftPeer	*peer = &r->peers[id];
	RaftMessage *m = raft_add_message(r, out, RAFT_GREETING, id);

	/*
	 * It changes no state, so it needs neither an echo nor a negotiated version.
	 */
	m->version = raft_version_for(r, 0);
	m->echo_boot = 0;
	m->echo_incarnation = 0;
	peer->greeted_at = now;
	peer->greet_at = now + (peer->answered ? raft_probe_interval(&r->config.timeouts) :
											 r->config.timeouts.heartbeat_interval);
}

/*
 * Greet peers that have not answered, every heartbeat_interval, and peers that have
 * been silent for long: the answer tells whether the link and the peer live, and whether
 * anyone else has started under our name meanwhile.
 */
void
raft_tick_greetings(Raft *r, uint64_t now, RaftOutput *out)
{
	for_each_peer(r, id)
	{
		RaftPeer *peer = &r->peers[id];
		uint64_t  due;

		if (now < peer->greet_at)
			continue;
		due = later_of(peer->heard_at, peer->greeted_at) + raft_probe_interval(&r->config.timeouts);
		if (peer->answered && due > now && peer->answer_digest == peer->list_digest)
			peer->greet_at = due;
		else
			greet(r, now, id, out);
	}
}

/* Tell the sender of "m" about this start, and what is remembered of its own. */
static void
answer_greeting(Raft *r, const RaftMessage *m, RaftOutput *out)
{
	const RaftPeer *peer = &r->peers[m->from];
	RaftMessage	   *answer = raft_add_message(r, out, RAFT_GREETING_ANSWER, m->from);
	uint64_t		save = later_of(peer->save_number, peer->earlier_save);

	answer->version = raft_version_for(r, m->newest);
	answer->echo_boot = m->boot;
	answer->echo_incarnation = m->incarnation;
	answer->promise = r->saved.promise;
	answer->max_timeout = r->config.timeouts.max_timeout;
	answer->remembered_boot = sooner_of(peer->boot, RAFT_MAX_REMEMBERED);
	answer->remembered_incarnation = peer->incarnation;
	answer->position = peer->remembered;

	/*
	 * What the greeter may have forgotten is what it did before its present
	 * start, whether we have heard of that start already or not.
	 */
	if (m->boot == peer->boot && m->incarnation == peer->incarnation)
		save = peer->earlier_save;
	answer->remembered_save = sooner_of(save, RAFT_MAX_REMEMBERED);
}

/* Was the last of something less than "interval" ago?  0: never was. */
static bool
is_recent(uint64_t last, uint64_t now, uint64_t interval)
{
	return last != 0 && now - last < interval;
}

/*
 * Answer the start that "m" comes from, unless its kind was answered within half a
 * heartbeat_interval.  Half: a start repeats its greeting every whole one, and the
 * answer to each of these may be the first that is not lost.
 *
 * There are three kinds, so that none keeps another waiting.  The greeter repeats
 * itself.  A newer start than that is answered at once: recordings are older than
 * the real newest start, and fall under the rest.  The rest may still be real, an
 * old copy or a twin that has to be told.  Whoever can forge greetings, which
 * needs a network without authentication, can keep the last two kinds busy: a
 * start then waits for its repetition to be the first of a half interval.  False:
 * not answered.
 */
static bool
answer_start(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	RaftPeer *peer = &r->peers[m->from];
	uint64_t *last = &peer->told_others_at;

	if (m->boot > peer->greeter_boot)
		last = &peer->told_new_start_at;
	else if (m->boot == peer->greeter_boot && m->incarnation == peer->greeter_incarnation)
		last = &peer->told_greeter_at;
	if (is_recent(*last, now, r->config.timeouts.heartbeat_interval / 2))
		return false;
	*last = now;
	if (m->boot > peer->greeter_boot)
	{
		peer->greeter_boot = m->boot;
		peer->greeter_incarnation = m->incarnation;
		peer->told_greeter_at = now;
	}
	answer_greeting(r, m, out);
	return true;
}

/* ---- the replay window ---- */

/* Has a datagram with this number come before, or can nobody tell any more? */
static bool
was_seen(const RaftPeer *peer, uint64_t sequence)
{
	if (sequence > peer->sequence)
		return false;
	return peer->sequence - sequence >= RAFT_WINDOW ||
		   (peer->window >> (peer->sequence - sequence) & 1) != 0;
}

static void
mark_seen(RaftPeer *peer, uint64_t sequence)
{
	assert(!was_seen(peer, sequence));
	if (sequence > peer->sequence)
	{
		uint64_t ahead = sequence - peer->sequence;

		peer->window = ahead < RAFT_WINDOW ? peer->window << ahead : 0;
		peer->sequence = sequence;
	}
	peer->window |= UINT64_C(1) << (peer->sequence - sequence);
}

/* ---- who speaks ---- */

/* An echo of our own start has come from a start that is newer than the known one. */
static void
learn_start(Raft *r, uint64_t now, const RaftMessage *m)
{
	RaftPeer *peer = &r->peers[m->from];

	peer->boot = m->boot;
	peer->incarnation = m->incarnation;
	peer->sequence = 0;
	peer->window = 0;
	if (m->boot != peer->greeter_boot || m->incarnation != peer->greeter_incarnation)
		peer->told_greeter_at = 0; /* that was another start */
	peer->greeter_boot = m->boot;
	peer->greeter_incarnation = m->incarnation;
	peer->earlier_save = later_of(peer->earlier_save, peer->save_number);
	peer->save_number = 0;
	if (peer->answered && r->saved.abstaining != RAFT_VOTING)
		peer->greet_at = now; /* its list may be another one now */
}

/*
 * Is this message from the present start of its sender to our present start, and
 * here for the first time?  Learns a new start of the sender.  Greetings are
 * answered here.  False: the message is completely handled.
 *
 * The window comes last: a number is marked only when the datagram is known to be
 * the sender's own, to this start, so that nothing else can use numbers up.  What
 * is dropped after this (not greeted yet, another list) is marked all the same: it
 * has come, and taught what every datagram teaches.
 */
bool
raft_recognise(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	RaftPeer *peer = &r->peers[m->from];

	if (m->type == RAFT_GREETING)
	{
		if (!answer_start(r, now, m, out))
			raft_drop(r, out, RAFT_DROP_GREETED);
		return false;
	}
	if (m->echo_boot != r->saved.boot || m->echo_incarnation != r->config.incarnation)
	{
		raft_drop(r, out, RAFT_DROP_ECHO);
		if (!is_recent(peer->greeted_at, now, r->config.timeouts.heartbeat_interval))
			greet(r, now, m->from, out);
		return false;
	}
	if (m->boot < peer->boot)
	{
		raft_drop(r, out, RAFT_DROP_OLD_START);
		return false;
	}
	if (m->boot == peer->boot && m->incarnation != peer->incarnation)
	{
		raft_drop(r, out, RAFT_DROP_TWIN);
		(void) answer_start(r, now, m, out);
		return false;
	}

	if (m->boot > peer->boot)
		learn_start(r, now, m);
	if (was_seen(peer, m->sequence))
	{
		raft_drop(r, out, RAFT_DROP_SEEN);
		return false;
	}
	mark_seen(peer, m->sequence);
	out->heard = true;
	peer->save_number = later_of(peer->save_number, m->save_number);
	peer->heard_at = now;
	peer->newest = m->newest;

	/* One that was overtaken by others knows less of its sender than they did. */
	if (m->sequence == peer->sequence)
	{
		peer->list_digest = m->list_digest;
		peer->term = m->term;
		peer->abstaining = m->abstaining;
		peer->may_lead = m->may_lead;
		if (m->type != RAFT_GREETING_CONFIRM && m->type != RAFT_TRANSFER)
		{
			peer->told = m->told;
			peer->forgotten &= m->told.gone;
		}
	}
	return true;
}

/*
 * Another process has run as this member since our state file was written: continue
 * above all numbers that peers remember, as a new start that abstains.
 */
static void
go_above(Raft *r, uint64_t now, const RaftMessage *m, RaftAbstain why, RaftOutput *out)
{
	if (r->role == RAFT_CANDIDATE)
		r->counters.elections_lost++;
	if (r->saved.abstaining == RAFT_VOTING)
		r->saved.abstaining = why;
	r->saved.boot = later_of(r->saved.boot, m->remembered_boot) + 1;
	r->saved.save_number = later_of(r->saved.save_number, m->remembered_save);
	raft_mark_save(r, out);
	r->loaded_save_number = r->saved.save_number;

	if (r->role != RAFT_FOLLOWER)
		raft_follow_nobody(r, now);
	r->gone_above_at = now;
	r->admitted = false;
	r->abstain_until = 0;
	for_each_peer(r, id)
	{
		r->peers[id].answered = false;
		r->peers[id].greet_at = now;
	}
	raft_note(r, out, RAFT_STARTED_ABSTAINING, m->from, why);
}

/* What a peer remembers of us that this start cannot have done; else VOTING. */
static RaftAbstain
what_is_remembered(const Raft *r, const RaftMessage *m)
{
	if (m->remembered_boot == 0)
		return RAFT_VOTING;
	if (m->remembered_boot > r->saved.boot)
		return RAFT_ABSTAIN_OLD_COPY;
	if (m->remembered_boot == r->saved.boot && m->remembered_incarnation != r->config.incarnation)
		return RAFT_ABSTAIN_TWIN;
	return m->remembered_save > r->loaded_save_number ? RAFT_ABSTAIN_OLD_COPY : RAFT_VOTING;
}

void
raft_on_greeting_answer(Raft *r, uint64_t now, const RaftMessage *m, RaftOutput *out)
{
	RaftPeer   *peer = &r->peers[m->from];
	RaftAbstain why = what_is_remembered(r, m);

	/*
	 * Overtaken by what the peer sent later: what it remembered then may have been
	 * of an earlier start, and be settled since.  The window lets it through.
	 */
	if (m->sequence < peer->sequence)
	{
		raft_drop(r, out, RAFT_DROP_STALE);
		return;
	}
	if (why != RAFT_VOTING)
	{
		/* Two servers with one node id must not cause a save per datagram. */
		if (r->gone_above_at == 0 || now - r->gone_above_at >= raft_probe_interval(&r->config.timeouts))
			go_above(r, now, m, why, out);
		return;
	}
	peer->answered = true;
	peer->answer_digest = m->list_digest;
	peer->answer_term = m->term;
	peer->answer_promise = m->promise;
	peer->answer_max_timeout = m->max_timeout;
	if (peer->greeted_at != 0 && peer->round_trip == 0)
		peer->round_trip = now - peer->greeted_at;
	raft_remember_held(r, m->position, out);
	(void) raft_add_message(r, out, RAFT_GREETING_CONFIRM, m->from);

	raft_tick_abstaining(r, now, out);
	raft_ask(r, now, out);
}
