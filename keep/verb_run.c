/*
 * keep/verb_run.c
 *	  run: receive WAL, in the foreground, until a signal.
 *
 * One loop: the members are watched (watch.h), plan.h says from whom to take WAL, and the stream
 * (stream.h) takes it.  The stream ends at once when its member is not the one any more: its fence
 * is closed, it is silent, or another one leads in a higher term.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../supervisor/files.h"
#include "../supervisor/say.h"
#include "drills.h"
#include "keep.h"
#include "status.h"
#include "stream.h"
#include "watch.h"

#define RETRY		  UINT64_C(500000) /* us, after a stream has failed */
#define AT_ONCE		  UINT64_C(10000)
#define SHOW_INTERVAL UINT64_C(1000000)
#define MOST_WAIT	  UINT64_C(100000)

/* A member that has just come back has no slot for a moment. */
#define EXPOSED_FOR UINT64_C(2000000)

typedef struct Run
{
	Archive *archive;
	Members	 members;
	Watch	 watch;
	Stream	 stream;
	Drills	 drills;
	uint64_t begin_at; /* no stream before that */
	uint64_t show_at;
	bool	 was_stopped;
	uint64_t exposed_at; /* since when; 0: it is not */
	bool	 said_exposed;
	int		 was_source;
	Status	 status;
	char	 trouble[WORDS_SIZE / 2]; /* why the last stream has failed */
} Run;

static volatile sig_atomic_t ends;

static void
on_signal(int number)
{
	(void) number;
	ends = 1;
}

/* They come only while the loop waits. */
static void
hold_signals(sigset_t *waiting)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t		 held;

	(void) sigemptyset(&held);
	(void) sigaddset(&held, SIGTERM);
	(void) sigaddset(&held, SIGINT);
	(void) sigaddset(&held, SIGQUIT);
	(void) sigprocmask(SIG_BLOCK, &held, waiting);
	(void) sigaction(SIGTERM, &action, NULL);
	(void) sigaction(SIGINT, &action, NULL);
	(void) sigaction(SIGQUIT, &action, NULL);
	(void) signal(SIGPIPE, SIG_IGN);
	(void) sigdelset(waiting, SIGTERM);
	(void) sigdelset(waiting, SIGINT);
	(void) sigdelset(waiting, SIGQUIT);
}

static const char *
name_of(const Run *run, int member)
{
	return run->members.at[member].name;
}

/* ---- the stream ---- */

/* What it was that has ended it; the same again is not said again. */
static void
note_trouble(Run *run, const Words *words)
{
	if (strncmp(run->trouble, words->error, sizeof(run->trouble) - 1) != 0)
		say_warning(words->hint, "%s", words->error);
	(void) snprintf(run->trouble, sizeof(run->trouble), "%s", words->error);
}

static void
drop_stream(Run *run, const char *why)
{
	Words words;
	int	  member = run->stream.member;

	words_clear(&words);
	if (!stream_is_on(&run->stream))
		return;
	if (stream_end(&run->stream, &words) != STREAM_GOES_ON)
		note_trouble(run, &words);
	say("no longer streaming from %s: %s", name_of(run, member), why);
}

/* What has become of it, and when to begin again. */
static void
take_end(Run *run, StreamEnd end, int member, const Words *words)
{
	if (end == STREAM_GOES_ON)
		return;
	run->begin_at = clock_now() + (end == STREAM_ENDED || end == STREAM_GONE ? AT_ONCE : RETRY);
	if (end == STREAM_ENDED)
		say("%s has no more WAL of that timeline", name_of(run, member));
	else
		note_trouble(run, words);
}

static void
begin_stream(Run *run, int source, uint64_t term)
{
	Words	  words;
	StreamEnd end = stream_begin(&run->stream, source, term, &words);

	watch_set_position(&run->watch, &run->archive->state);
	if (end != STREAM_GOES_ON)
	{
		take_end(run, end, source, &words);
		return;
	}
	run->trouble[0] = '\0';
	say("streaming from %s, which leads in term %" PRIu64 ", from %X/%X on timeline %u", name_of(run, source), term,
		(unsigned) (run->stream.received >> 32), (unsigned) run->stream.received, run->stream.timeline);
}

static void
go_on_streaming(Run *run)
{
	Words	  words;
	int		  member = run->stream.member;
	StreamEnd end = stream_go_on(&run->stream, &words);

	watch_set_position(&run->watch, &run->archive->state);
	take_end(run, end, member, &words);
}

/* ---- who leads ---- */

/* A term is on disk before WAL of it is taken; false: it is not. */
static bool
remember_term(Run *run, uint64_t term)
{
	ArchiveState next = run->archive->state;
	Words		 words;

	if (term <= next.term)
		return true;
	next.term = term;
	words_clear(&words);
	if (archive_save(run->archive, &next, &words))
		return true;
	note_trouble(run, &words);
	return false;
}

static void
follow_leader(Run *run)
{
	PlanWord words[MEMBERS_MOST];
	uint64_t term = run->archive->state.term;
	int		 source;

	watch_words(&run->watch, words);
	source = plan_source(words, run->members.n, &term);
	if (!remember_term(run, term) || archive_is_stopped(run->archive))
		source = -1;
	if (stream_is_on(&run->stream) && run->stream.member != source)
		drop_stream(run, source >= 0 ? "another member leads" : archive_is_stopped(run->archive) ? "receiving is stopped" :
																								   "it does not lead any more, or is silent");
	if (!stream_is_on(&run->stream) && source >= 0 && clock_now() >= run->begin_at)
		begin_stream(run, source, term);
	run->was_source = source;
	run->watch.streams = stream_is_on(&run->stream) ? run->stream.member : -1;
}

/* ---- showing ---- */

static void
say_exposed(Run *run)
{
	bool	 exposed = run->was_source >= 0 && run->archive->state.timeline != 0 && watch_is_exposed(&run->watch, run->was_source);
	uint64_t now = clock_now();

	if (!exposed)
		run->exposed_at = 0;
	else if (run->exposed_at == 0)
		run->exposed_at = now;
	if (exposed && !run->said_exposed && now - run->exposed_at >= EXPOSED_FOR)
	{
		say_warning("See \"pg_leader_keep get_state_all\".", "exposed: a failover now could leave a gap in the archive");
		run->said_exposed = true;
	}
	else if (!exposed && run->said_exposed)
	{
		say("no longer exposed: all members that answer hold what the archive lacks");
		run->said_exposed = false;
	}
}

static void
say_what_changed(Run *run)
{
	bool stopped = archive_is_stopped(run->archive);

	if (stopped != run->was_stopped)
		say(stopped ? "receiving is stopped: the members keep the WAL" : "receiving goes on");
	run->was_stopped = stopped;
	say_exposed(run);
	for (int i = 0; i < run->members.n; i++)
	{
		WatchMember *member = &run->watch.at[i];

		if (member->error[0] == '\0' || strcmp(member->error, member->said_error) == 0)
			continue;
		say("%s: %s", name_of(run, i), member->error);
		(void) snprintf(member->said_error, sizeof(member->said_error), "%s", member->error);
	}
}

static void
show(Run *run, bool now)
{
	Status *status = &run->status;
	bool	on = stream_is_on(&run->stream);
	Words	words;
	Status	next = {.state = on ? STATUS_STARTED : run->was_stopped ? STATUS_STOPPED :
																	  STATUS_WAITING};

	if (on)
	{
		(void) snprintf(next.source, sizeof(next.source), "%s", name_of(run, run->stream.member));
		next.timeline = run->stream.timeline;
		next.received = run->stream.received;
		next.sent = run->stream.sent;
	}
	else
		(void) snprintf(next.trouble, sizeof(next.trouble), "%s", run->was_source < 0 ? "" : run->trouble);
	if (!now && next.state == status->state && clock_now() < run->show_at)
		return;
	*status = next;
	run->show_at = clock_now() + SHOW_INTERVAL;
	words_clear(&words);
	if (!status_write(run->archive, status, &words))
		note_trouble(run, &words);
}

/* ---- the loop ---- */

static void
wait_for_news(Run *run, struct pollfd *fds, const sigset_t *waiting)
{
	uint64_t		now = clock_now();
	uint64_t		next = watch_next_at(&run->watch);
	struct timespec wait;
	int				n = run->members.n;

	watch_fds(&run->watch, fds);
	fds[n] = (struct pollfd){.fd = stream_is_on(&run->stream) ? PQsocket(run->stream.connection) : -1, .events = POLLIN};
	if (next > now + MOST_WAIT)
		next = now + MOST_WAIT;
	next = next > now ? next - now : 0;
	wait = (struct timespec){.tv_sec = (time_t) (next / 1000000), .tv_nsec = (long) (next % 1000000) * 1000};
	if (ppoll(fds, (nfds_t) n + 1, &wait, waiting) <= 0)
	{
		for (int i = 0; i <= n; i++)
			fds[i].revents = 0;
	}
}

static void
run_on(Run *run)
{
	struct pollfd fds[MEMBERS_MOST + 1];
	sigset_t	  waiting;

	hold_signals(&waiting);
	while (!ends)
	{
		wait_for_news(run, fds, &waiting);
		watch_go_on(&run->watch, fds);
		if (stream_is_on(&run->stream))
			go_on_streaming(run);
		follow_leader(run);
		say_what_changed(run);
		drills_go_on(&run->drills);
		show(run, false);
	}
	drills_end(&run->drills);
	drop_stream(run, "a signal has ended this program");
}

/* What a run before has left that was ended in the middle. */
static bool
clean_work(const Archive *archive, Words *words)
{
	char path[STORE_PATH_SIZE];

	archive_path(archive, "work/cut", path);
	return files_remove_tree(path, words);
}

int
verb_run(KeepCall *call)
{
	static Run run;
	Words	   words;
	int		   lock;

	if (call->argc != 1)
		return keep_usage("run has no arguments");
	words_clear(&words);
	run.archive = call->archive;
	run.was_source = -1;
	lock = archive_lock(call->archive, "run", &words);
	if (lock < 0 || !archive_refresh(call->archive, &words) || !clean_work(call->archive, &words) ||
		!members_parse(&call->archive->settings, &run.members, &words))
		return keep_fail(&words);
	say_as(KEEP_PROGRAM);
	if (call->archive->state_damaged)
		say_warning("", "one slot of the archive's state was damaged, and the other one counts");
	watch_init(&run.watch, call->archive, &run.members, true);
	stream_init(&run.stream, call->archive, &run.members);
	drills_init(&run.drills, call->archive);
	say("archive %s: timeline %u, up to %X/%X", call->archive->settings.name, call->archive->state.timeline,
		(unsigned) (call->archive->state.durable >> 32), (unsigned) call->archive->state.durable);
	show(&run, true);
	run_on(&run);
	watch_close(&run.watch);
	members_free(&run.members);
	(void) close(lock);
	return EXIT_DONE;
}
