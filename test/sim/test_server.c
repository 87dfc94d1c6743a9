/*
 * test/sim/test_server.c
 *	  Tests of the simulated PostgreSQL itself: one for each behaviour that experiments with
 *	  real servers showed, and random steps against what must always hold.
 *
 * TAP.  "P" and "R" with a number: see server.h.
 */
#include "server.h"

#include "lineage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static SimCluster  c;
static const char *broken; /* what the test that runs found */
static int		   broken_line;

#define EXPECT(condition)               \
	do                                  \
	{                                   \
		if (!(condition))               \
		{                               \
			if (broken == NULL)         \
			{                           \
				broken = #condition;    \
				broken_line = __LINE__; \
			}                           \
			return;                     \
		}                               \
	} while (0)

/* ---- helpers ---- */

/* Everything that would happen by itself, on those servers, for a while. */
static void
settle(void)
{
	for (int round = 0; round < 80; round++)
	{
		for (int i = 0; i < c.n; i++)
		{
			(void) sim_startup_step(&c, i);
			(void) sim_receiver_step(&c, i, 2);
			(void) sim_receiver_flush(&c, i);
			(void) sim_receiver_reply(&c, i);
			for (int slot = 0; slot < SIM_SENDERS; slot++)
			{
				while (sim_reply_arrives(&c, i, slot, 0))
					;
				if (c.server[i].sender[slot].state != SIM_SENDER_FREE && !c.server[i].sender[slot].attached)
					(void) sim_sender_end(&c, i, slot);
			}
		}
	}
}

static SimStep
steps(int i, SimPhase until)
{
	SimStep step = SIM_MOVED;

	for (int k = 0; k < 200 && c.server[i].phase != until; k++)
	{
		step = sim_startup_step(&c, i);
		if (step == SIM_OPENED || step == SIM_DIED)
			break;
	}
	return step;
}

static bool
promote(int i)
{
	return sim_promote(&c, i) && steps(i, SIM_RECOVERED) == SIM_OPENED;
}

static int
commit_shaped(int i, uint8_t shape)
{
	int id = sim_commit(&c, i, shape);

	(void) sim_wal_flush(&c, i, c.server[i].inserted);
	return id;
}

static int
commit(int i)
{
	return commit_shaped(i, 0);
}

static bool
shows(int i, int id)
{
	return sim_has_commit(c.server[i].shown, id);
}

static bool
holds(int i, int id)
{
	uint64_t held[SIM_COMMIT_WORDS];

	sim_held(&c, i, held);
	return sim_has_commit(held, id);
}

static bool
start_standby(int i, int source)
{
	c.server[i].data.standby_signal = true;
	(void) sim_set_conninfo(&c, i, source);
	return sim_start(&c, i);
}

/* Node 0 is the primary of timeline 1, the others stream from it. */
static void
begin(int n)
{
	sim_begin(&c, n, 15, true);
	(void) sim_initdb(&c, 0, 7);
	for (int i = 1; i < n; i++)
	{
		(void) sim_restore(&c, i, &c.server[0].data);
		(void) start_standby(i, 0);
	}
	(void) sim_start(&c, 0);
	settle();
}

/* Both were promoted to timeline 2 at the same point; node 0 is dead. */
static void
begin_two_primaries(int before)
{
	begin(3);
	while (before-- > 0)
		(void) commit(0);
	settle();
	sim_crash(&c, 0);
	(void) sim_set_conninfo(&c, 1, -1);
	(void) sim_set_conninfo(&c, 2, -1);
	settle();
	(void) promote(1);
	(void) promote(2);
}


static const SimSender *
walsender(int i, int standby)
{
	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		if (c.server[i].sender[slot].state != SIM_SENDER_FREE && c.server[i].sender[slot].standby == standby)
			return &c.server[i].sender[slot];
	}
	return NULL;
}

/* Does it really stream?  A receiver alone says little: it flickers (R 9.8). */
static bool
streams(int i)
{
	const SimReceiver *v = &c.server[i].receiver;
	const SimSender	  *sender = v->state == SIM_WALRCV_STREAMING ? walsender(v->source, i) : NULL;

	return sender != NULL && sender->attached && sender->state == SIM_SENDER_STREAMING;
}

/* Node 0 crashed with a commit that nobody got; node 1 leads timeline 2.  Returns the commit. */
static int
begin_diverged(int n)
{
	int lost;

	begin(n);
	(void) commit(0);
	settle();
	for (int i = 1; i < n; i++)
		(void) sim_set_conninfo(&c, i, -1);
	settle();
	lost = commit(0);
	sim_crash(&c, 0);
	(void) promote(1);
	(void) sim_checkpoint(&c, 1);
	return lost;
}

static bool
rebuild_all(int i)
{
	while (c.server[i].rebuild.step != SIM_REBUILD_NONE)
	{
		if (!sim_rebuild_step(&c, i))
			return false;
	}
	return true;
}

/* Started alone as a standby and stopped fast: how a crashed server is made clean (R 4). */
static void
make_clean(int i)
{
	(void) start_standby(i, -1);
	for (int k = 0; k < 60; k++)
		(void) sim_startup_step(&c, i);
	(void) sim_stop_fast(&c, i);
}

/* ---- promotion ---- */

static SimAnswer answer;
static int		 n_asked;

static SimAnswer
authorise(void *context, const SimAsked *asked)
{
	(void) context;
	n_asked += asked->promoting;
	return answer;
}

static void
ask(bool refuse, uint16_t burn_below)
{
	answer = (SimAnswer){refuse, burn_below};
	n_asked = 0;
	c.authorise = authorise;
}

static void
newest_history_plus_one(void)
{
	begin(2);
	c.server[1].data.history[2] = SIM_BURNT;
	c.server[1].data.history[3] = SIM_BURNT;
	sim_crash(&c, 0);
	EXPECT(promote(1));
	EXPECT(c.server[1].timeline == 4);
	EXPECT(c.server[1].data.history[4] >= SIM_REAL);
	EXPECT(!c.server[1].data.standby_signal);
}

static void
gap_hides_what_is_above(void)
{
	begin(2);
	c.server[1].data.history[3] = SIM_BURNT;
	EXPECT(promote(1));
	EXPECT(c.server[1].timeline == 2);
}

static void
burnt_ids_move_the_choice(void)
{
	begin(3);
	(void) commit(0);
	settle();
	ask(false, 5);
	EXPECT(promote(1));
	EXPECT(n_asked == 1 && c.server[1].timeline == 5);
	for (int id = 2; id < 5; id++)
		EXPECT(c.server[1].data.history[id] == SIM_BURNT);
	(void) sim_set_conninfo(&c, 2, 1);
	settle();
	EXPECT(streams(2) && c.server[2].at_timeline == 5);
	for (int id = 2; id < 5; id++)
		EXPECT(c.server[2].data.history[id] == SIM_BURNT);
}

static void
callback_not_called_without_redo(void)
{
	begin(2);
	EXPECT(sim_stop_fast(&c, 0) && sim_stop_finish(&c, 0));
	ask(true, 9);
	EXPECT(start_standby(0, -1));
	for (int k = 0; k < 10; k++)
		(void) sim_startup_step(&c, 0);
	EXPECT(promote(0));
	EXPECT(n_asked == 0 && c.server[0].timeline == 2);
}

static void
refused_promotion_ends_the_server(void)
{
	begin(2);
	(void) commit(0);
	settle();
	ask(true, 0);
	EXPECT(!promote(1));
	EXPECT(n_asked == 1 && c.server[1].life == SIM_DOWN);
	EXPECT(c.server[1].data.standby_signal && c.server[1].data.history[2] == SIM_ABSENT);
	EXPECT(start_standby(1, 0));
	settle();
	EXPECT(streams(1) && !c.server[1].promote); /* the request died with it */
}

static void
promotion_replays_all_local_wal_first(void)
{
	int id;

	begin(2);
	c.server[1].paused = true;
	id = commit(0);
	settle();
	EXPECT(!shows(1, id) && c.server[1].receiver.flushed_upto == c.server[0].flushed);
	EXPECT(sim_startup_step(&c, 1) == SIM_HELD);
	EXPECT(promote(1)); /* ends the pause */
	EXPECT(shows(1, id) && c.promotion[c.server[1].promotion].fork == c.server[0].flushed);
}

static void
failed_promotion_leaves_a_history(void)
{
	begin(3);
	(void) commit(0);
	settle();
	EXPECT(sim_promote(&c, 1));
	(void) steps(1, SIM_WRITE_RECORD);
	sim_crash(&c, 1);
	EXPECT(c.server[1].data.history[2] >= SIM_REAL && c.server[1].life == SIM_DOWN);
	EXPECT(start_standby(1, -1));
	for (int k = 0; k < 20; k++)
		(void) sim_startup_step(&c, 1);
	EXPECT(promote(1));
	EXPECT(c.server[1].timeline == 3);
}

/* R S9 */
static void
stale_history_blocks_until_it_is_removed(void)
{
	failed_promotion_leaves_a_history();
	EXPECT(broken == NULL);
	begin(3);
	settle();
	EXPECT(sim_promote(&c, 2));
	(void) steps(2, SIM_WRITE_RECORD);
	sim_crash(&c, 2);
	sim_crash(&c, 0);
	ask(false, 3);
	c.server[1].data.history[2] = SIM_BURNT;
	EXPECT(promote(1));
	EXPECT(c.server[1].timeline == 3);
	EXPECT(start_standby(2, 1));
	settle();
	EXPECT(!streams(2) && c.server[2].target.timeline == 2);
	sim_crash(&c, 2);
	sim_put_history(&c.server[2].data, 2, SIM_BURNT);
	sim_put_history(&c.server[2].data, 3, c.server[1].data.history[3]);
	EXPECT(start_standby(2, 1));
	settle();
	EXPECT(streams(2) && c.server[2].at_timeline == 3);
}

/*
 * A promotion to 2 that died after its history file; another server made 2 from an earlier
 * point.  The first one believes its own file and goes on into the other's WAL.
 */
static void
stale_history_of_the_same_id_misleads(void)
{
	int old;

	begin(3);
	settle();
	(void) sim_set_conninfo(&c, 1, -1);
	settle();
	old = commit(0);
	settle();
	EXPECT(shows(2, old) && sim_promote(&c, 2));
	(void) steps(2, SIM_WRITE_RECORD);
	sim_crash(&c, 2);
	EXPECT(promote(1) && c.server[1].timeline == 2 && !holds(1, old));
	(void) commit(1);
	(void) commit(1);
	EXPECT(start_standby(2, 1));
	settle();
	EXPECT(streams(2) && shows(2, old) && c.server[2].data.mixture);
}

static void
signal_gone_and_no_history_starts_the_old_timeline(void)
{
	begin(2);
	EXPECT(sim_promote(&c, 1));
	(void) steps(1, SIM_WRITE_HISTORY);
	sim_crash(&c, 1);
	EXPECT(!c.server[1].data.standby_signal && c.server[1].data.history[2] == SIM_ABSENT);
	EXPECT(sim_start(&c, 1) && steps(1, SIM_RECOVERED) == SIM_OPENED);
	EXPECT(c.server[1].timeline == 1 && c.server[0].life == SIM_PRIMARY); /* two of them */
}

static void
full_disk_ends_a_promotion(void)
{
	begin(2);
	c.server[1].disk_full = true;
	EXPECT(!promote(1));
	EXPECT(c.server[1].life == SIM_DOWN && c.server[1].data.standby_signal);
	EXPECT(c.server[1].data.history[2] == SIM_ABSENT);
}

static void
late_promotion_happens_on_another_timeline(void)
{
	begin(3);
	(void) commit(0);
	settle();
	EXPECT(sim_promote(&c, 2)); /* and nothing happens for a while */
	sim_crash(&c, 0);
	EXPECT(promote(1));
	(void) sim_set_conninfo(&c, 2, 1);
	sim_put_history(&c.server[2].data, 2, c.server[1].data.history[2]); /* it learned of 2 */
	EXPECT(steps(2, SIM_RECOVERED) == SIM_OPENED);
	EXPECT(c.server[2].timeline == 3);
}

/* The target runs ahead of the bytes; lineage_parse() refuses what PostgreSQL writes then. */
static void
promotion_writes_a_history_that_falls(void)
{
	static Lineage lineage;
	char		   text[4096];
	Words		   words;
	int			   length;

	begin(3);
	settle();
	(void) sim_receiver_end(&c, 2, false);
	c.server[2].conninfo = -1;
	(void) sim_startup_step(&c, 2);
	(void) commit(0);
	settle();
	EXPECT(promote(1));
	EXPECT(c.server[2].at < c.promotion[c.server[1].promotion].fork);
	sim_put_history(&c.server[2].data, 2, c.server[1].data.history[2]);
	settle();
	EXPECT(c.server[2].target.timeline == 2 && c.server[2].at_timeline == 1);
	EXPECT(promote(2));
	length = sim_history_text(&c, &c.server[2].data, 3, text, sizeof(text));
	EXPECT(length > 0);
	EXPECT(lineage_parse(&lineage, 3, text, (size_t) length, &words) == LINEAGE_BAD);
}

/*
 * The same file says that timeline 1 went on to the first fork, and so a standby that has
 * WAL up to there is let on to WAL that left earlier (READ, not tried on real ones).
 */
static void
history_that_falls_deceives_a_standby(void)
{
	int old;

	begin(4);
	settle();
	(void) sim_receiver_end(&c, 2, false);
	(void) sim_set_conninfo(&c, 2, -1);
	(void) sim_startup_step(&c, 2);
	old = commit(0);
	settle();
	EXPECT(shows(3, old) && promote(1));
	sim_put_history(&c.server[2].data, 2, c.server[1].data.history[2]);
	settle();
	EXPECT(promote(2) && c.server[2].timeline == 3 && !holds(2, old));
	(void) sim_set_conninfo(&c, 3, 2);
	(void) commit(2);
	(void) commit(2);
	settle();
	EXPECT(streams(3) && c.server[3].target.timeline == 3);
	EXPECT(shows(3, old) && c.server[3].data.mixture);
}

/* ---- history files ---- */

static void
burnt_newest_stops_a_start(void)
{
	begin(2);
	c.server[1].data.history[2] = SIM_BURNT;
	settle();
	EXPECT(streams(1)); /* one that runs does not mind */
	sim_crash(&c, 1);
	EXPECT(start_standby(1, 0));
	settle();
	EXPECT(c.server[1].phase == SIM_NEVER_UP && !c.server[1].consistent);
	sim_crash(&c, 1);
	sim_put_history(&c.server[1].data, 2, SIM_ABSENT);
	EXPECT(start_standby(1, 0));
	settle();
	EXPECT(streams(1));
}

static void
garbage_history_kills(void)
{
	begin(2);
	c.server[1].data.history[2] = SIM_GARBAGE;
	(void) sim_receiver_end(&c, 1, true);
	settle();
	EXPECT(c.server[1].life == SIM_DOWN);
	EXPECT(!start_standby(1, 0));
}

static void
clone_has_only_its_own_history(void)
{
	begin(4);
	(void) commit(0);
	settle();
	ask(false, 4);
	EXPECT(promote(1) && c.server[1].timeline == 4);
	sim_crash(&c, 2);
	EXPECT(sim_wipe(&c, 2, false) && sim_clone_begin(&c, 2, 1, false) && rebuild_all(2));
	EXPECT(c.server[2].data.history[4] >= SIM_REAL && c.server[2].data.history[3] == SIM_ABSENT);
	EXPECT(start_standby(2, 1));
	settle();
	EXPECT(streams(2));
	(void) sim_set_conninfo(&c, 3, 2); /* that needs 2 and 3 as well */
	settle();
	EXPECT(!streams(3) && c.server[3].target.timeline == 1);
}

static void
histories_agree_with_lineage(void)
{
	static Lineage lineage;
	char		   text[4096];
	Words		   words;

	begin(2);
	for (int round = 0; round < 12; round++)
	{
		int		   i = round % 2 == 0 ? 1 : 0;
		SimServer *s = &c.server[i];
		int		   length;

		for (int k = 0; k <= round % 5; k++)
			(void) commit(1 - i);
		settle();
		sim_crash(&c, 1 - i);
		EXPECT(promote(i));
		(void) commit(i);
		EXPECT(start_standby(1 - i, i));
		settle();
		EXPECT(streams(1 - i) && c.server[1 - i].at == s->flushed);
		length = sim_history_text(&c, &s->data, s->timeline, text, sizeof(text));
		EXPECT(lineage_parse(&lineage, s->timeline, text, (size_t) length, &words) == LINEAGE_GOOD);
		for (SimLsn lsn = 1; lsn < s->inserted + 3; lsn++)
			EXPECT(lineage_timeline_of(&lineage, lsn) == sim_path_timeline(&c, sim_path(&s->data, s->timeline), lsn));
		(void) sim_checkpoint(&c, i);
	}
}

/* ---- positions and streaming ---- */

/* R A7 */
static void
receiver_begins_at_replay_position(void)
{
	int id;

	begin_two_primaries(0);
	(void) commit(2);
	EXPECT(c.server[2].inserted == c.server[1].inserted + 1);
	sim_crash(&c, 2);
	EXPECT(start_standby(2, 1));
	settle();
	EXPECT(streams(2) && walsender(1, 2)->state == SIM_SENDER_STREAMING);
	EXPECT(walsender(1, 2)->flush > c.server[1].flushed);
	id = commit(1);
	EXPECT(sim_release(&c, 1, 1) == 1 && c.commit[id].outcome == SIM_COMMIT_RELEASED);
	EXPECT(!holds(2, id));
}

static void
segment_start_under_reports(void)
{
	int id = 0;

	begin(2);
	for (int k = 0; k < 5; k++)
		id = commit(0);
	settle();
	EXPECT(sim_release(&c, 0, 1) == 5);
	sim_crash(&c, 1);
	EXPECT(start_standby(1, 0));
	EXPECT(sim_view(&c, 1).receiver_flushed == 0 && sim_true_end(&c, 1, NULL) == c.server[0].flushed);
	(void) steps(1, SIM_READ_STREAM);
	EXPECT(sim_view(&c, 1).receiver_flushed == c.server[1].at / SIM_SEGMENT * SIM_SEGMENT);
	EXPECT(sim_view(&c, 1).receiver_flushed < c.commit[id].end && holds(1, id));
}

static void
change_of_timeline_relabels_flushed(void)
{
	uint16_t timeline;

	begin(3);
	for (int k = 0; k < 2; k++)
		(void) commit(0);
	settle();
	sim_crash(&c, 0);
	EXPECT(promote(1));
	(void) sim_set_conninfo(&c, 2, 1);
	for (int k = 0; k < 60 && c.server[2].receiver.received_timeline != 2; k++)
	{
		(void) sim_startup_step(&c, 2);
		(void) sim_receiver_step(&c, 2, 1);
	}
	EXPECT(sim_view(&c, 2).received_timeline == 2 && sim_view(&c, 2).receiver_flushed == 4);
	EXPECT(sim_true_end(&c, 2, &timeline) == 7 && timeline == 1); /* no byte of 2 is here */
}

static void
delayed_standby_does_not_ask(void)
{
	int id;

	begin(2);
	id = commit(0);
	(void) commit(0);
	settle();
	sim_crash(&c, 1);
	c.server[1].delayed = true;
	EXPECT(start_standby(1, 0));
	settle();
	EXPECT(sim_startup_step(&c, 1) == SIM_HELD);
	EXPECT(sim_view(&c, 1).receive_start == 0 && sim_view(&c, 1).receiver_flushed == 0);
	EXPECT(!shows(1, id) && holds(1, id) && walsender(0, 1) == NULL);
}

static void
paused_replay_ignores_conninfo(void)
{
	int id;

	begin(2);
	c.server[1].paused = true;
	(void) sim_set_conninfo(&c, 1, -1);
	id = commit(0);
	settle();
	EXPECT(streams(1) && holds(1, id) && sim_release(&c, 0, 1) == 1);
	EXPECT(sim_receiver_end(&c, 1, true)); /* SIGTERM ends it, and it does not come back */
	settle();
	EXPECT(!streams(1));
	c.server[1].paused = false;
	settle();
	EXPECT(!streams(1) && shows(1, id));
}

static void
killed_receiver_comes_back_and_flushed_what_it_had(void)
{
	begin(2);
	(void) commit(0);
	(void) sim_receiver_step(&c, 1, 5);
	EXPECT(c.server[1].receiver.flushed_upto < c.server[0].flushed);
	EXPECT(sim_receiver_end(&c, 1, true));
	EXPECT(sim_view(&c, 1).receiver_flushed == c.server[0].flushed);
	settle();
	EXPECT(streams(1));
}

static void
only_flushed_wal_is_sent(void)
{
	int id;

	begin(2);
	id = sim_commit(&c, 0, 0);
	EXPECT(sim_wal_write(&c, 0, c.server[0].inserted));
	settle();
	EXPECT(!holds(1, id));
	EXPECT(sim_wal_flush(&c, 0, c.server[0].inserted));
	settle();
	EXPECT(shows(1, id));
}

static void
cascading_standby_follows_a_promotion(void)
{
	begin(3);
	(void) sim_set_conninfo(&c, 2, 1);
	(void) commit(0);
	settle();
	EXPECT(streams(2) && c.server[2].at == c.server[0].flushed);
	sim_crash(&c, 0);
	EXPECT(promote(1));
	(void) commit(1);
	settle();
	EXPECT(streams(2) && c.server[2].at_timeline == 2 && c.server[2].at == c.server[1].flushed);
}

static void
removed_segments_are_not_sent(void)
{
	begin(2);
	sim_crash(&c, 1);
	for (int k = 0; k < 12; k++)
		(void) commit(0);
	EXPECT(sim_checkpoint(&c, 0) && sim_recycle(&c, 0, 3));
	EXPECT(start_standby(1, 0));
	settle();
	EXPECT(c.server[1].consistent && !streams(1) && c.server[1].at < 8);
}

static void
other_system_id_is_refused(void)
{
	begin(2);
	sim_crash(&c, 1);
	EXPECT(sim_initdb(&c, 1, 8) && start_standby(1, 0));
	settle();
	EXPECT(!streams(1) && walsender(0, 1) == NULL);
}

/* ---- synchronous commit ---- */

static void
two_walsenders_count_twice_in_stock(void)
{
	int id;

	begin(3);
	(void) sim_receiver_end(&c, 2, true);
	id = commit(0);
	(void) sim_receiver_step(&c, 1, 9);
	(void) sim_receiver_flush(&c, 1);
	(void) sim_receiver_reply(&c, 1);
	(void) sim_receiver_end(&c, 1, true); /* and node 0 does not notice */
	for (int k = 0; k < 20; k++)
	{
		(void) sim_startup_step(&c, 1);
		(void) sim_receiver_step(&c, 1, 9);
		(void) sim_receiver_reply(&c, 1);
	}
	(void) sim_sender_end(&c, 0, 1);
	for (int slot = 0; slot < SIM_SENDERS; slot++)
	{
		while (sim_reply_arrives(&c, 0, slot, 0))
			;
	}
	EXPECT(sim_release(&c, 0, 2) == 1 && c.commit[id].outcome == SIM_COMMIT_RELEASED);
	EXPECT(holds(1, id) && !holds(2, id));
}

/* A clone that came up with the settings of another one is that one for PostgreSQL. */
static void
name_counts_whoever_bears_it(void)
{
	int id;

	begin(3);
	c.server[2].bears = 1 + 1;
	(void) sim_receiver_end(&c, 2, true);
	id = commit(0);
	settle();
	EXPECT(walsender(0, 2) == NULL && sim_release(&c, 0, 2) == 1 && c.commit[id].outcome == SIM_COMMIT_RELEASED);
}

static void
replies_are_late_lost_and_of_old_connections(void)
{
	int id;
	int slot;

	begin(2);
	id = commit(0);
	while (sim_reply_arrives(&c, 0, 0, 0))
		;
	for (slot = 0; walsender(0, 1) != &c.server[0].sender[slot]; slot++)
		;
	(void) sim_receiver_step(&c, 1, 9);
	(void) sim_receiver_reply(&c, 1);
	(void) sim_receiver_flush(&c, 1);
	(void) sim_receiver_reply(&c, 1);
	EXPECT(sim_release(&c, 0, 1) == 0);
	sim_crash(&c, 1);
	EXPECT(sim_reply_lost(&c, 0, slot, 0) && sim_release(&c, 0, 1) == 0);
	EXPECT(sim_reply_arrives(&c, 0, slot, 0) && sim_release(&c, 0, 1) == 1);
	EXPECT(sim_answer(&c, id, true) && c.commit[id].outcome == SIM_COMMIT_ANSWERED);
}

/* R A6 */
static void
ended_timeline_is_counted_for_an_instant(void)
{
	int id;
	int slot;

	begin(3);
	(void) sim_receiver_end(&c, 1, true);
	(void) sim_set_conninfo(&c, 1, -1);
	for (int k = 0; k < 2; k++)
		(void) commit(0);
	settle();
	sim_crash(&c, 0);
	EXPECT(promote(1));
	(void) sim_set_conninfo(&c, 2, 1);
	id = commit(1);
	for (int k = 0; k < 400 && (walsender(1, 2) == NULL || walsender(1, 2)->state != SIM_SENDER_STREAMING); k++)
	{
		(void) sim_startup_step(&c, 2);
		(void) sim_receiver_step(&c, 2, 9);
	}
	EXPECT(walsender(1, 2) != NULL && walsender(1, 2)->state == SIM_SENDER_STREAMING && walsender(1, 2)->timeline == 1);
	for (slot = 0; walsender(1, 2) != &c.server[1].sender[slot]; slot++)
		;
	EXPECT(sim_reply_arrives(&c, 1, slot, 0) && walsender(1, 2)->flush > walsender(1, 2)->sent);
	EXPECT(c.server[2].at > c.promotion[c.server[1].promotion].fork);
	(void) sim_wal_flush(&c, 1, c.server[1].inserted);
	EXPECT(c.commit[id].end <= c.server[2].at);
	EXPECT(sim_release(&c, 1, 1) == 1 && c.commit[id].outcome == SIM_COMMIT_RELEASED && !holds(2, id));
	id = commit(1);
	while (c.commit[id].end <= c.server[2].at)
		id = commit(1);
	settle();
	EXPECT(sim_release(&c, 1, 1) == 0 && c.commit[id].outcome == SIM_COMMIT_WAITING);
	EXPECT(c.server[2].target.timeline == 1); /* forked off before current recovery point */
}

static void
catchup_is_not_counted(void)
{
	begin(2);
	(void) commit(0);
	settle();
	(void) sim_receiver_end(&c, 1, true);
	settle();
	(void) sim_receiver_end(&c, 1, true);
	while (sim_sender_end(&c, 0, 0) || sim_sender_end(&c, 0, 1))
		;
	for (int k = 0; k < 40 && c.server[1].receiver.state != SIM_WALRCV_STREAMING; k++)
	{
		(void) sim_startup_step(&c, 1);
		(void) sim_receiver_step(&c, 1, 0);
	}
	EXPECT(walsender(0, 1) != NULL && walsender(0, 1)->state == SIM_SENDER_CATCHUP);
	EXPECT(sim_reply_arrives(&c, 0, 0, 0) && walsender(0, 1)->flush == c.server[0].flushed);
	EXPECT(sim_stock_position(&c, 0, 1) == 0);
	settle();
	EXPECT(sim_stock_position(&c, 0, 1) == c.server[0].flushed);
}

static void
cancelled_wait_is_visible(void)
{
	int id;

	begin(2);
	id = commit(0);
	EXPECT(!shows(0, id) && !sim_answer(&c, id, true));
	EXPECT(sim_wait_end(&c, id, SIM_COMMIT_CANCELLED));
	EXPECT(shows(0, id) && !holds(1, id) && sim_answer(&c, id, true));
}

static void
released_position_never_falls(void)
{
	begin(2);
	(void) commit(0);
	settle();
	EXPECT(sim_release(&c, 0, 1) == 1);
	sim_crash(&c, 1);
	settle();
	EXPECT(sim_stock_position(&c, 0, 1) == 0 && sim_release(&c, 0, 1) == 0);
	EXPECT(sim_view(&c, 0).released == c.server[0].flushed);
}

/* ---- crashes and stops ---- */

static void
power_loss_loses_unsynced_wal(void)
{
	int first;
	int second;

	begin(2);
	first = commit(0);
	second = commit(0);
	settle();
	EXPECT(holds(1, second));
	(void) commit(0);
	(void) sim_receiver_step(&c, 1, 9); /* written, not flushed */
	sim_power_loss(&c, 1, 0);
	EXPECT(holds(1, first) && holds(1, second) && sim_true_end(&c, 1, NULL) == c.commit[second].end);
}

static void
crash_keeps_written_wal_and_loses_the_rest(void)
{
	int written;
	int buffered;

	begin(2);
	written = sim_commit(&c, 0, 0);
	EXPECT(sim_wal_write(&c, 0, c.server[0].inserted));
	buffered = sim_commit(&c, 0, 0);
	sim_crash(&c, 0);
	EXPECT(holds(0, written) && !holds(0, buffered) && c.commit[written].outcome == SIM_COMMIT_LOST_WAIT);
	sim_power_loss(&c, 0, 0);
	EXPECT(!holds(0, written));
}

static void
restart_in_place_shows_what_was_not_answered(void)
{
	int id;

	begin(2);
	id = commit(0);
	EXPECT(!shows(0, id) && sim_restart_in_place(&c, 0));
	EXPECT(steps(0, SIM_RECOVERED) == SIM_OPENED);
	EXPECT(shows(0, id) && !holds(1, id) && c.server[0].timeline == 1);
	c.server[0].data.standby_signal = true;
	EXPECT(sim_restart_in_place(&c, 0) && c.server[0].life == SIM_STANDBY);
}

static void
crashed_primary_is_consistent_only_at_the_end(void)
{
	begin(2);
	for (int k = 0; k < 3; k++)
		(void) commit(0);
	sim_crash(&c, 0);
	EXPECT(c.server[0].data.control.state == SIM_IN_PRODUCTION);
	EXPECT(start_standby(0, -1));
	while (c.server[0].at < 8)
	{
		EXPECT(!c.server[0].consistent);
		(void) sim_startup_step(&c, 0);
	}
	EXPECT(sim_startup_step(&c, 0) == SIM_MOVED && c.server[0].consistent);
	EXPECT(c.server[0].data.control.min_recovery == 8);
}

static void
fast_stop_of_a_standby_notes_what_it_replayed(void)
{
	begin(2);
	c.server[1].paused = true;
	(void) commit(0);
	settle();
	EXPECT(sim_stop_fast(&c, 1));
	EXPECT(c.server[1].data.control.state == SIM_SHUT_DOWN_IN_RECOVERY);
	EXPECT(c.server[1].data.control.min_recovery < sim_true_end(&c, 1, NULL));
}

/* R S1 */
static void
stopped_primary_follows_if_its_checkpoint_was_received(void)
{
	begin(2);
	(void) commit(0);
	EXPECT(sim_stop_fast(&c, 0));
	settle();
	EXPECT(sim_stop_finish(&c, 0) && promote(1));
	EXPECT(start_standby(0, 1));
	settle();
	EXPECT(streams(0) && c.server[0].at_timeline == 2 && !c.server[0].data.mixture);
}

/* R S2 */
static void
stopped_primary_does_not_follow_if_it_was_not(void)
{
	begin(2);
	(void) commit(0);
	settle();
	(void) sim_receiver_end(&c, 1, true);
	EXPECT(sim_stop_fast(&c, 0) && sim_stop_finish(&c, 0) && promote(1));
	EXPECT(start_standby(0, 1));
	settle();
	EXPECT(c.server[0].consistent && !streams(0) && c.server[0].at_timeline == 1);
	EXPECT(c.server[0].data.history[2] >= SIM_REAL && c.server[0].target.timeline == 1);
}

/*
 * R S6b+: ahead of the fork, with the leader's history file fetched, and restarted: replays
 * past the fork, then it is stuck, or, if lengths happen to fit, goes on in silence until a
 * checkpoint comes.
 */
static void
server_ahead_restarts_and_goes_on(void)
{
	for (uint8_t shape = 0; shape < 2; shape++)
	{
		int lost;

		begin(3);
		(void) commit(0);
		settle();
		(void) sim_set_conninfo(&c, 1, -1);
		settle();
		lost = commit(0);
		settle();
		sim_crash(&c, 0);
		c.server[1].own_shape = shape;
		EXPECT(promote(1));
		(void) commit_shaped(1, shape);
		(void) commit_shaped(1, shape);
		(void) sim_set_conninfo(&c, 2, 1);
		settle();
		EXPECT(shows(2, lost) && !streams(2) && c.server[2].target.timeline == 1);
		sim_crash(&c, 2);
		EXPECT(start_standby(2, 1));
		settle();
		EXPECT(shows(2, lost) && c.server[2].target.timeline == 2);
		EXPECT((c.server[2].at == c.server[1].flushed) == (shape == 0));

		/* The first record of timeline 2 was not replayed: a PANIC at the next checkpoint. */
		EXPECT(sim_checkpoint(&c, 1));
		settle();
		EXPECT((c.server[2].life == SIM_DOWN) == (shape == 0));
	}
}

/* The same with minRecoveryPoint past the fork: FATAL, the timeline does not contain it. */
static void
start_with_min_recovery_past_the_fork_is_refused(void)
{
	(void) begin_diverged(2);
	EXPECT(start_standby(0, 1));
	settle();
	EXPECT(c.server[0].data.history[2] >= SIM_REAL && c.server[0].data.control.min_recovery == 7);
	sim_crash(&c, 0);
	EXPECT(!start_standby(0, 1));
	sim_put_history(&c.server[0].data, 2, SIM_ABSENT);
	EXPECT(start_standby(0, 1));
}

/* R S3 */
static void
diverged_server_shows_lost_rows(void)
{
	int lost = begin_diverged(2);

	EXPECT(start_standby(0, 1));
	settle();
	EXPECT(!streams(0) && c.server[0].consistent && shows(0, lost) && !holds(1, lost));
}

static void
full_disk_is_a_panic_of_a_primary(void)
{
	begin(2);
	(void) sim_commit(&c, 0, 0);
	c.server[0].disk_full = true;
	EXPECT(!sim_wal_flush(&c, 0, c.server[0].inserted) && c.server[0].life == SIM_DOWN);
}

/* ---- the same timeline twice ---- */

/* R S7a */
static void
same_id_and_shape_is_silent(void)
{
	int mine;
	int theirs;
	int later;

	begin_two_primaries(1);
	theirs = commit(1);
	mine = commit(2);
	sim_crash(&c, 2);
	EXPECT(start_standby(2, 1));
	settle();
	later = commit(1);
	settle();
	EXPECT(streams(2) && shows(2, mine) && !shows(2, theirs) && shows(2, later));
	EXPECT(c.server[2].at == c.server[1].flushed && c.server[2].data.mixture);
	EXPECT(c.promotion[1].timeline == 2 && c.promotion[2].timeline == 2);
}

/* R S7c, P 1.5 */
static void
same_id_and_other_shape_is_stuck(void)
{
	SimLsn at;

	begin_two_primaries(1);
	(void) commit_shaped(1, 3);
	(void) commit(2);
	sim_crash(&c, 2);
	EXPECT(start_standby(2, 1));
	settle();
	at = c.server[2].at;
	(void) commit_shaped(1, 3);
	(void) commit_shaped(1, 3);
	settle();
	EXPECT(c.server[2].at == at && at < c.server[1].flushed);
	EXPECT(c.server[2].receiver.flushed_upto > at); /* and it acknowledged that */
}

/* R A7p */
static void
older_copy_on_its_own_timeline_is_believed(void)
{
	static SimData copy;
	int			   answered;
	int			   id;

	begin(2);
	sim_snapshot(&c, 0, &copy);
	answered = commit(0);
	settle();
	EXPECT(sim_release(&c, 0, 1) == 1 && sim_answer(&c, answered, true));
	sim_crash(&c, 0);
	EXPECT(sim_restore(&c, 0, &copy) && sim_start(&c, 0) && steps(0, SIM_RECOVERED) == SIM_OPENED);
	EXPECT(!holds(0, answered) && holds(1, answered) && c.server[0].timeline == 1);
	settle();
	id = commit(0);
	settle();
	EXPECT(sim_release(&c, 0, 1) == 1 && c.commit[id].outcome == SIM_COMMIT_RELEASED);
	EXPECT(c.server[1].data.mixture && shows(1, answered));
}

/* ---- pg_rewind and pg_basebackup ---- */

static void
rewind_of_same_timeline_is_a_noop(void)
{
	begin_two_primaries(1);
	(void) commit(1);
	(void) sim_checkpoint(&c, 1);
	(void) sim_checkpoint(&c, 2);
	EXPECT(sim_stop_fast(&c, 2) && sim_stop_finish(&c, 2));
	EXPECT(sim_rewind_begin(&c, 2, 1, false) == SIM_REWIND_NOT_NEEDED);
}

static void
rewind_before_the_first_checkpoint(void)
{
	for (int major = 15; major <= 16; major++)
	{
		(void) begin_diverged(2);
		c.major = major;
		c.server[1].data.control.checkpoint_timeline = 1; /* as if there had been none */
		c.server[1].data.control.min_timeline = 2;
		make_clean(0);
		EXPECT(sim_rewind_begin(&c, 0, 1, false) == (major == 15 ? SIM_REWIND_NOT_NEEDED : SIM_REWIND_BEGUN));
	}
}

static void
rewind_removes_what_diverged(void)
{
	int lost = begin_diverged(2);
	int id;

	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_UNCLEAN);
	make_clean(0);
	EXPECT(holds(0, lost) && c.server[0].data.control.state == SIM_SHUT_DOWN_IN_RECOVERY);
	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_BEGUN && rebuild_all(0));
	EXPECT(start_standby(0, 1));
	settle();
	id = commit(1);
	settle();
	EXPECT(streams(0) && !holds(0, lost) && shows(0, id) && !c.server[0].data.mixture);
}

/* R S6b, S6b++ */
static void
rewind_does_not_see_unreplayed_wal(void)
{
	int	   lost;
	SimLsn fork;

	begin(3);
	(void) commit(0);
	settle();
	c.server[2].paused = true;
	(void) sim_set_conninfo(&c, 1, -1);
	settle();
	lost = commit(0);
	settle();
	EXPECT(holds(2, lost) && !shows(2, lost) && !holds(1, lost));
	EXPECT(sim_stop_fast(&c, 2));
	sim_crash(&c, 0);
	EXPECT(promote(1) && sim_checkpoint(&c, 1));
	EXPECT(sim_rewind_begin(&c, 2, 1, false) == SIM_REWIND_NOT_NEEDED);
	c.server[2].paused = false;
	EXPECT(start_standby(2, 1));
	settle();
	EXPECT(!streams(2) && shows(2, lost));
	sim_crash(&c, 2);
	sim_put_history(&c.server[2].data, 2, c.server[1].data.history[2]);
	EXPECT(sim_true_end(&c, 2, NULL) > c.promotion[c.server[1].promotion].fork); /* S6b+ */
	fork = c.promotion[c.server[1].promotion].fork;
	sim_trim(&c.server[2].data, 1, fork);
	EXPECT(start_standby(2, 1));
	settle();
	EXPECT(streams(2) && c.server[2].at_timeline == 2 && !shows(2, lost) && !c.server[2].data.mixture);
}

static void
rewind_needs_checksums_and_wal(void)
{
	(void) begin_diverged(2);
	make_clean(0);
	c.checksums = false;
	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_NO_CHECKSUMS);
	c.checksums = true;
	for (int k = c.server[0].data.n_files - 1; k >= 0; k--)
	{
		if (c.server[0].data.file[k].number == 1)
			c.server[0].data.file[k] = c.server[0].data.file[--c.server[0].data.n_files];
	}
	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_NO_WAL);
}

/*
 * R K9: the source has removed the segment in which its timeline begins, so the target's own
 * is kept, with what diverged in it, and replayed.  Then it is stuck or, where lengths happen
 * to fit, dies at the first checkpoint on the new timeline, at each start.
 */
static void
rewind_from_a_source_without_the_fork(void)
{
	for (uint8_t shape = 0; shape < 2; shape++)
	{
		int lost;

		begin(2);
		(void) commit(0);
		settle();
		(void) sim_set_conninfo(&c, 1, -1);
		settle();
		lost = commit(0);
		(void) commit(0);
		sim_crash(&c, 0);
		c.server[1].own_shape = shape;
		EXPECT(promote(1));
		for (int k = 0; k < 3; k++)
			(void) commit_shaped(1, shape);
		EXPECT(sim_checkpoint(&c, 1) && sim_recycle(&c, 1, 2));
		make_clean(0);
		EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_BEGUN && rebuild_all(0));
		for (int k = 0; k < 2; k++)
		{
			EXPECT(start_standby(0, 1));
			settle();
			EXPECT(!streams(0) && holds(0, lost) && (c.server[0].life == SIM_DOWN) == (shape == 0));
			EXPECT(shape == 0 || (shows(0, lost) && !c.server[0].consistent));
			sim_crash(&c, 0);
		}
	}
}

/* R K8 */
static void
half_rewound_directory_starts_and_is_a_mixture(void)
{
	int lost = begin_diverged(2);
	int theirs = commit(1);

	(void) sim_flush_pages(&c, 1);
	make_clean(0);
	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_BEGUN && sim_rebuild_step(&c, 0));
	sim_crash(&c, 1);
	EXPECT(!sim_rebuild_step(&c, 0) && c.server[0].data.whole == SIM_HALF_REWOUND);
	EXPECT(c.server[0].data.control.state == SIM_SHUT_DOWN_IN_RECOVERY && !c.server[0].data.backup_label);
	EXPECT(start_standby(0, -1));
	settle();
	EXPECT(c.server[0].consistent && shows(0, lost) && shows(0, theirs) && c.server[0].data.mixture);
}

static void
interrupted_rewind_can_be_run_again(void)
{
	int lost = begin_diverged(2);

	make_clean(0);
	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_BEGUN && sim_rebuild_step(&c, 0));
	sim_rebuild_stop(&c, 0);
	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_BEGUN && rebuild_all(0));
	EXPECT(start_standby(0, 1));
	settle();
	EXPECT(streams(0) && !shows(0, lost) && !c.server[0].data.mixture);
}

static void
second_rewind_is_a_trap(void)
{
	(void) begin_diverged(2);
	make_clean(0);
	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_BEGUN && rebuild_all(0));
	EXPECT(sim_rewind_begin(&c, 0, 1, false) == SIM_REWIND_UNCLEAN);
	c.server[0].own_shape = 7;
	EXPECT(sim_rewind_begin(&c, 0, 1, true) == SIM_REWIND_NOT_NEEDED);
	EXPECT(c.server[0].data.control.checkpoint_timeline == 2);
	EXPECT(sim_true_end(&c, 0, NULL) > c.server[1].flushed); /* WAL of its own on 2 */
}

/* R S4 */
static void
single_user_recovery_moves_the_end(void)
{
	SimLsn end;

	begin(2);
	(void) commit(0);
	settle();
	sim_crash(&c, 0);
	EXPECT(promote(1) && sim_checkpoint(&c, 1));
	end = sim_true_end(&c, 0, NULL);
	EXPECT(end == c.promotion[c.server[1].promotion].fork);
	EXPECT(sim_rewind_begin(&c, 0, 1, true) == SIM_REWIND_BEGUN);
	EXPECT(sim_true_end(&c, 0, NULL) == end + 2);
	c.server[0].rebuild.step = SIM_REBUILD_NONE;
	c.server[0].data.standby_signal = true;
	c.server[0].data.control.state = SIM_IN_PRODUCTION;
	EXPECT(sim_rewind_begin(&c, 0, 1, true) == SIM_REWIND_UNCLEAN);
}

static void
clone_in_place_and_aside(void)
{
	int id;

	begin(2);
	id = commit(0);
	sim_crash(&c, 1);
	EXPECT(!sim_clone_begin(&c, 1, 0, false)); /* not empty */
	EXPECT(sim_clone_begin(&c, 1, 0, true) && sim_rebuild_step(&c, 1));
	sim_rebuild_stop(&c, 1);
	EXPECT(!sim_swap_side(&c, 1) && c.server[1].data.whole == SIM_WHOLE);
	EXPECT(sim_wipe(&c, 1, true) && sim_clone_begin(&c, 1, 0, true) && rebuild_all(1) && sim_swap_side(&c, 1));
	EXPECT(start_standby(1, 0));
	settle();
	EXPECT(streams(1) && shows(1, id) && !c.server[1].data.mixture);
	sim_crash(&c, 1);
	EXPECT(sim_wipe(&c, 1, false) && !start_standby(1, 0));
	c.server[1].data.standby_signal = false;
	EXPECT(sim_clone_begin(&c, 1, 0, false) && sim_rebuild_step(&c, 1));
	EXPECT(c.server[1].data.backup_label && c.server[1].data.control.state == SIM_NO_CONTROL);
	EXPECT(!start_standby(1, 0));
}

static void
copy_without_sync_does_not_survive_power_loss(void)
{
	begin(2);
	(void) commit(0);
	sim_crash(&c, 1);
	EXPECT(sim_wipe(&c, 1, false) && sim_clone_begin(&c, 1, 0, false));
	while (c.server[1].rebuild.step != SIM_REBUILD_SYNC)
		EXPECT(sim_rebuild_step(&c, 1));
	sim_power_loss(&c, 1, 0);
	EXPECT(c.server[1].data.whole == SIM_HALF_REWOUND);
}

/* ---- random steps ---- */

static uint64_t seed;

static int
any(int below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (int) ((seed >> 20) % (uint64_t) below);
}

static struct
{
	uint64_t steps;
	uint64_t runs;
	uint64_t promotions;
	uint64_t commits;
	uint64_t rebuilds;
	uint64_t full;
	uint64_t mixtures;
	uint64_t twice;	   /* runs in which a timeline was made twice */
	uint64_t tampered; /* runs in which pages may be of two pasts for other reasons */
	uint64_t followed; /* servers that stream a timeline above 1 at the end of a run */
} done;

static bool recycled; /* some segment was, in this run */
static bool careless; /* in this run servers start as they are, and pg_rewind runs postgres */

/* May pages come to hold two pasts?  Only for one of these reasons. */
static bool
may_mix(bool tampered)
{
	if (tampered)
		return true;
	for (int h = SIM_REAL; h < c.n_histories; h++)
	{
		/* See history_that_falls_deceives_a_standby. */
		for (int k = 1; k < c.history[h].n; k++)
		{
			if (c.history[h].ancestor[k].end < c.history[h].ancestor[k - 1].end)
				return true;
		}
	}
	for (int a = SIM_REAL; a < c.n_histories; a++)
	{
		/* Also one that was never opened: see stale_history_of_the_same_id_misleads. */
		for (int b = SIM_REAL; b < a; b++)
		{
			if (c.history[a].timeline == c.history[b].timeline)
				return true;
		}
	}
	return false;
}

/* Has it replayed WAL that its target does not hold?  See server_ahead_restarts_and_goes_on. */
static bool
strayed(const SimServer *s)
{
	return s->life == SIM_STANDBY && s->at > 0 && s->phase < SIM_CLEANUP &&
		   s->at_timeline != sim_path_timeline(&c, s->target, s->at - 1);
}

static void
check_server(int i, bool tampered)
{
	const SimServer	  *s = &c.server[i];
	const SimReceiver *v = &s->receiver;

	if (s->life == SIM_PRIMARY || s->life == SIM_STOPPING)
	{
		EXPECT(s->flushed <= s->written && s->written <= s->inserted);
		EXPECT(tampered || s->timeline == 1 || s->data.history[s->timeline] >= SIM_REAL);
	}
	if (s->life == SIM_STANDBY && s->phase < SIM_CLEANUP && s->at > 0)
	{
		uint64_t held[SIM_COMMIT_WORDS];

		EXPECT(sim_true_end(&c, i, NULL) >= s->at);
		sim_held(&c, i, held);
		for (int k = 0; k < SIM_COMMIT_WORDS; k++)
			EXPECT((s->shown[k] & ~held[k]) == 0);
	}
	for (int k = 0; k < SIM_COMMIT_WORDS; k++)
		EXPECT((s->shown[k] & ~s->applied[k]) == 0);
	if (v->state == SIM_WALRCV_STREAMING)
	{
		const SimSender *sender = &c.server[v->source].sender[v->slot];

		if (sender->state != SIM_SENDER_FREE && sender->connection == v->connection)
			EXPECT(v->at == sender->sent); /* never more than was sent */
	}
	EXPECT(s->data.n_files <= SIM_FILES);
	if (s->data.mixture && !may_mix(tampered))
		EXPECT(!"pages of two pasts, and no reason for it");
}

/* One thing that a server's processes do by themselves. */
static void
work_step(int i)
{
	int slot = any(SIM_SENDERS);

	switch (any(10))
	{
		case 0:
		case 1:
		case 2:
			(void) sim_startup_step(&c, i);
			break;
		case 3:
		case 4:
			(void) sim_receiver_step(&c, i, 1 + any(3));
			break;
		case 5:
			(void) sim_receiver_flush(&c, i);
			break;
		case 6:
			(void) sim_receiver_reply(&c, i);
			break;
		case 7:
			if (any(8) == 0)
				(void) sim_reply_lost(&c, i, slot, any(2));
			else
				(void) sim_reply_arrives(&c, i, slot, any(2));
			break;
		case 8:
			(void) sim_wal_flush(&c, i, c.server[i].flushed + 1 + (SimLsn) any(3));
			break;
		default:
			(void) sim_release(&c, i, 1 + any(2));
			break;
	}
}

/* -1: there is none */
static int
newest_primary(void)
{
	int best = -1;

	for (int i = 0; i < c.n; i++)
	{
		if (c.server[i].life == SIM_PRIMARY && (best < 0 || c.server[i].timeline > c.server[best].timeline))
			best = i;
	}
	return best;
}

static void
user_step(int i)
{
	SimServer *s = &c.server[i];

	switch (any(10))
	{
		case 0:
		case 1:
		case 2:
			(void) sim_commit(&c, i, (uint8_t) any(2));
			break;
		case 3:
			(void) sim_checkpoint(&c, i);
			break;
		case 4:
			(void) sim_flush_pages(&c, i);
			break;
		case 5:
			(void) sim_set_conninfo(&c, i, any(3) == 0 ? any(c.n + 1) - 1 : newest_primary());
			break;
		case 6:
			(void) sim_sender_end(&c, i, any(SIM_SENDERS));
			break;
		case 7:
			(void) sim_receiver_end(&c, i, any(2) == 0);
			break;
		case 8:
			s->paused = any(3) == 0;
			s->delayed = any(4) == 0;
			break;
		default:
			if (c.n_commits > 0 && any(4) == 0)
				(void) sim_wait_end(&c, 1 + any(c.n_commits), SIM_COMMIT_CANCELLED);
			recycled |= sim_recycle(&c, i, (uint16_t) (c.server[any(c.n)].inserted / SIM_SEGMENT));
			break;
	}
}

/* A supervisor starts what is down: with the signal, and not a half-rewound directory. */
static void
start_somehow(int i, bool *tampered)
{
	SimServer *s = &c.server[i];

	(void) sim_stop_finish(&c, i);
	if (!careless && s->data.whole == SIM_HALF_REWOUND)
		(void) sim_wipe(&c, i, false);
	if (!careless || any(4) != 0)
		s->data.standby_signal = true;
	*tampered |= s->data.whole == SIM_HALF_REWOUND || !s->data.standby_signal;
	(void) sim_start(&c, i);
}

/* Starts, ends and rebuilds.  "*tampered": a half-made or old directory may be in use. */
static void
fault_step(int i, bool *tampered)
{
	SimServer *s = &c.server[i];

	switch (any(12))
	{
		case 0:
			sim_crash(&c, i);
			break;
		case 1:
			sim_power_loss(&c, i, (SimLsn) any(40));
			break;
		case 2:
			(void) sim_stop_fast(&c, i);
			break;
		case 3:
			(void) sim_promote(&c, i);
			break;
		case 4:
			/* pg_rewind's own recovery writes, see single_user_recovery_moves_the_end. */
			if (!careless)
				s->data.standby_signal = true;
			*tampered |= !s->data.standby_signal;
			/* Of a source without the fork's segment: see rewind_from_a_source_without_the_fork */
			*tampered |= sim_rewind_begin(&c, i, any(c.n), any(3) == 0) == SIM_REWIND_BEGUN && recycled;
			break;
		case 5:
			(void) sim_clone_begin(&c, i, any(c.n), any(2) == 0);
			break;
		case 6:
			sim_rebuild_stop(&c, i);
			break;
		case 7:
			(void) sim_wipe(&c, i, any(2) == 0);
			break;
		case 8:
			(void) sim_swap_side(&c, i);
			break;
		case 9:
			/* A promotion that died without its signal goes on with the old timeline. */
			if (!careless)
				s->data.standby_signal = true;
			*tampered |= s->life == SIM_STANDBY && !s->data.standby_signal;
			(void) sim_restart_in_place(&c, i);
			break;
		default:
			start_somehow(i, tampered);
			break;
	}
}

static uint16_t claimed;

/* A claim that nobody else has; not asked where redo has not begun, so ids may still meet. */
static SimAnswer
claim(void *context, const SimAsked *asked)
{
	(void) context;
	if (!asked->promoting)
		return (SimAnswer){false, 0};
	claimed = asked->target >= claimed ? asked->target + 1 : claimed + 1;
	return (SimAnswer){any(8) == 0, claimed};
}

static void
random_run(uint64_t run)
{
	bool tampered = false;
	int	 faults;

	seed = run * UINT64_C(0x9E3779B97F4A7C15) + 1;
	recycled = false;
	careless = any(4) == 0;
	begin(2 + any(4));
	c.major = 15 + any(4);
	faults = 100 + any(1500);
	claimed = 1;
	if (any(4) != 0)
		c.authorise = claim;
	for (int k = 0; k < 6000 && !c.full && broken == NULL; k++)
	{
		int i = any(c.n);
		int before = c.n_promotions;

		if (any(faults) < 8)
			fault_step(i, &tampered);
		else if (c.server[i].life == SIM_DOWN && any(20) == 0)
			start_somehow(i, &tampered);
		else if (any(8) == 0)
			user_step(i);
		else
			work_step(i);
		(void) sim_rebuild_step(&c, any(c.n));
		if (c.server[i].disk_full != (any(3000) == 0))
			c.server[i].disk_full = !c.server[i].disk_full;
		tampered |= strayed(&c.server[i]);
		check_server(i, tampered);
		done.promotions += c.n_promotions > before;
		done.steps++;
	}
	done.runs++;
	done.commits += (uint64_t) c.n_commits;
	done.full += c.full;
	done.twice += may_mix(false);
	for (int i = 0; i < c.n; i++)
	{
		done.mixtures += c.server[i].data.mixture;
		done.followed += streams(i) && c.server[i].at_timeline > 1;
	}
	done.tampered += tampered;
	if (broken != NULL)
		printf("# run %llu\n", (unsigned long long) run);
}

static void
random_steps(void)
{
	clock_t		begun = clock();
	const char *runs = getenv("SIM_SERVER_RUNS");
	uint64_t	n = runs != NULL ? strtoull(runs, NULL, 10) : 1000;
	double		seconds;

	for (uint64_t run = 1; run <= n && broken == NULL; run++)
		random_run(run);
	seconds = (double) (clock() - begun) / CLOCKS_PER_SEC;
	printf("# %llu runs, %llu steps, %.2f million steps a second; %llu promotions, %llu commits, %llu full, %llu mixtures, %llu runs with one id twice, %llu tampered with, %llu followers of a later timeline\n",
		   (unsigned long long) done.runs, (unsigned long long) done.steps, (double) done.steps / seconds / 1e6,
		   (unsigned long long) done.promotions, (unsigned long long) done.commits, (unsigned long long) done.full,
		   (unsigned long long) done.mixtures, (unsigned long long) done.twice,
		   (unsigned long long) done.tampered, (unsigned long long) done.followed);
}

/* ---- the program ---- */

#define TEST(function)      \
	{                       \
#function, function \
	}

static const struct
{
	const char *name;
	void (*function)(void);
} tests[] = {
	TEST(newest_history_plus_one),
	TEST(gap_hides_what_is_above),
	TEST(burnt_ids_move_the_choice),
	TEST(callback_not_called_without_redo),
	TEST(refused_promotion_ends_the_server),
	TEST(promotion_replays_all_local_wal_first),
	TEST(failed_promotion_leaves_a_history),
	TEST(stale_history_blocks_until_it_is_removed),
	TEST(stale_history_of_the_same_id_misleads),
	TEST(signal_gone_and_no_history_starts_the_old_timeline),
	TEST(full_disk_ends_a_promotion),
	TEST(late_promotion_happens_on_another_timeline),
	TEST(promotion_writes_a_history_that_falls),
	TEST(history_that_falls_deceives_a_standby),
	TEST(burnt_newest_stops_a_start),
	TEST(garbage_history_kills),
	TEST(clone_has_only_its_own_history),
	TEST(histories_agree_with_lineage),
	TEST(receiver_begins_at_replay_position),
	TEST(segment_start_under_reports),
	TEST(change_of_timeline_relabels_flushed),
	TEST(delayed_standby_does_not_ask),
	TEST(paused_replay_ignores_conninfo),
	TEST(killed_receiver_comes_back_and_flushed_what_it_had),
	TEST(only_flushed_wal_is_sent),
	TEST(cascading_standby_follows_a_promotion),
	TEST(removed_segments_are_not_sent),
	TEST(other_system_id_is_refused),
	TEST(two_walsenders_count_twice_in_stock),
	TEST(name_counts_whoever_bears_it),
	TEST(replies_are_late_lost_and_of_old_connections),
	TEST(ended_timeline_is_counted_for_an_instant),
	TEST(catchup_is_not_counted),
	TEST(cancelled_wait_is_visible),
	TEST(released_position_never_falls),
	TEST(power_loss_loses_unsynced_wal),
	TEST(crash_keeps_written_wal_and_loses_the_rest),
	TEST(restart_in_place_shows_what_was_not_answered),
	TEST(crashed_primary_is_consistent_only_at_the_end),
	TEST(fast_stop_of_a_standby_notes_what_it_replayed),
	TEST(stopped_primary_follows_if_its_checkpoint_was_received),
	TEST(stopped_primary_does_not_follow_if_it_was_not),
	TEST(server_ahead_restarts_and_goes_on),
	TEST(start_with_min_recovery_past_the_fork_is_refused),
	TEST(diverged_server_shows_lost_rows),
	TEST(full_disk_is_a_panic_of_a_primary),
	TEST(same_id_and_shape_is_silent),
	TEST(same_id_and_other_shape_is_stuck),
	TEST(older_copy_on_its_own_timeline_is_believed),
	TEST(rewind_of_same_timeline_is_a_noop),
	TEST(rewind_before_the_first_checkpoint),
	TEST(rewind_removes_what_diverged),
	TEST(rewind_does_not_see_unreplayed_wal),
	TEST(rewind_needs_checksums_and_wal),
	TEST(rewind_from_a_source_without_the_fork),
	TEST(half_rewound_directory_starts_and_is_a_mixture),
	TEST(interrupted_rewind_can_be_run_again),
	TEST(second_rewind_is_a_trap),
	TEST(single_user_recovery_moves_the_end),
	TEST(clone_in_place_and_aside),
	TEST(copy_without_sync_does_not_survive_power_loss),
	TEST(random_steps),
};

int
main(void)
{
	int n = (int) (sizeof(tests) / sizeof(tests[0]));
	int failed = 0;

	printf("1..%d\n", n);
	for (int k = 0; k < n; k++)
	{
		broken = NULL;
		tests[k].function();
		printf("%sok %d - server: %s\n", broken != NULL ? "not " : "", k + 1, tests[k].name);
		if (broken != NULL)
			printf("# line %d: %s\n", broken_line, broken);
		failed += broken != NULL;
	}
	return failed > 0 ? 1 : 0;
}
