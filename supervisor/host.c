/*
 * supervisor/host.c
 *	  The member, while its server does not run.
 *
 * See host.h.  What the member decides is saved, shown and sent by node/member.c, as in the
 * election worker; there is nobody to show it to but whoever reads the log.
 */
#include "host.h"

#include <stdlib.h>

#include "../node/clock.h"
#include "../node/home.h"
#include "../node/journal.h"
#include "say.h"

/* Big, and needed as long as the process lives. */
static Home home;

static const SupervisorSettings *open_with;
static void (*after_turn)(void);
static struct event_base *event_base;
static struct event		 *readable;
static struct event		 *timer;

/* What people were told last. */
static int32_t	said_leader;
static uint64_t said_term;

/* ---- save, show, send ---- */

static uint64_t
host_now(Member *member)
{
	(void) member;
	return clock_now();
}

static MemberSave
host_save(Member *member)
{
	Words words;

	(void) member;
	if (home_save(&home, &words))
		return MEMBER_SAVED;
	say_error(words.hint, "could not save term and vote: %s", words.error);
	return MEMBER_NOT_SAVED;
}

static void
host_show(Member *member)
{
	(void) member;
}

static void
host_send(Member *member, const RaftMessage *message)
{
	(void) member;
	(void) transport_send(&home.transport, message);
}

/* One line for each change of leader.  A higher term can come without an event. */
static void
host_sent(Member *member)
{
	const RaftOutput *output = &member->output;
	int32_t			  leader = member->raft.leader_id;
	uint64_t		  term = member->raft.saved.term;
	char			  why[256] = "a higher term has begun";

	if (leader == said_leader && (term == said_term || leader == RAFT_NONE))
		return;
	said_leader = leader;
	said_term = term;
	if (output->n_events > 0)
		(void) raft_describe_event(&output->events[output->n_events - 1], why, sizeof(why));
	if (leader == RAFT_NONE)
		say("node %d knows no leader in term %llu: %s", (int) home.config.node_id, (unsigned long long) term, why);
	else
		say("node %d takes node %d for the leader of term %llu: %s", (int) home.config.node_id, (int) leader,
			(unsigned long long) term, why);
}

static const MemberHost host = {
	.now = host_now,
	.save = host_save,
	.show = host_show,
	.send = host_send,
	.sent = host_sent,
};

/* ---- opening and closing ---- */

/* What the journal of events beside a state file that is lost tells of it. */
static void
look_for_evidence(StoreEvidence *evidence)
{
	static uint8_t		image[JOURNAL_FILE_SIZE + 1];
	static JournalEvent events[JOURNAL_EVENTS];
	StoreIdentity		identity = {.cluster_digest = cluster_text_digest(open_with->cluster_name), .node_id = open_with->node_id};
	StoreIdentity		found;
	char				path[STORE_PATH_SIZE];
	size_t				length;
	bool				missing;
	Words				words;
	int					n = 0;
	int					n_bad;
	JournalVerdict		verdict;

	if (!journal_path(open_with->state_directory, identity.node_id, path, sizeof(path)) ||
		!journal_read(path, image, &length, &missing, &words))
		return;
	verdict = journal_scan(image, length, &identity, events, &n, &n_bad, &found);
	for (int i = 0; (verdict == JOURNAL_GOOD || verdict == JOURNAL_TORN) && i < n; i++)
		journal_heed(&events[i], evidence);
}

static bool
take_keys(const SupervisorSettings *settings, Words *words)
{
	if (settings->secret_file[0] != '\0')
		return secret_read(&home.secret, settings->secret_file, words) != SECRET_FAILED;
	secret_forget(&home.secret);
	return true;
}

static void on_event(evutil_socket_t fd, short what, void *argument);

static bool
add_events(Words *words)
{
	readable = event_new(event_base, home_pollable(&home), EV_READ | EV_PERSIST, on_event, NULL);
	if (readable == NULL || event_add(readable, NULL) != 0)
		return words_set(words, "", "could not wait for datagrams");
	host_wind();
	return true;
}

bool
host_open(const SupervisorSettings *settings, Words *words)
{
	HomeSettings at = {
		.cluster = &settings->cluster,
		.config = {.node_id = settings->node_id,
				   .may_lead = false,
				   .managed = true,
				   .timeouts = settings->timeouts},
		.cluster_name = settings->cluster_name,
		.listen_address = settings->listen_address,
		.state_directory = settings->state_directory,
		.look_for_evidence = look_for_evidence};

	words_clear(words);
	cluster_configure(&settings->cluster, &at.config);
	open_with = settings;
	said_leader = RAFT_NONE;
	said_term = 0;
	if (take_keys(settings, words) && home_open(&home, &at, words) &&
		(home_start(&home, &host) || words_set(words, "", "could not get random numbers")) && add_events(words))
		return true;
	host_close();
	return false;
}

void
host_close(void)
{
	if (readable != NULL)
		event_free(readable);
	readable = NULL;
	if (timer != NULL)
		(void) event_del(timer);
	home_close(&home);
}

Member *
host_member(void)
{
	return home.member.state == MEMBER_RUNS ? &home.member : NULL;
}

/* ---- turns ---- */

void
host_wind(void)
{
	uint64_t	   now = clock_now();
	uint64_t	   deadline;
	uint64_t	   wait;
	struct timeval until;

	if (host_member() == NULL)
		return;
	deadline = home_deadline(&home);
	wait = deadline > now ? deadline - now : 0;
	until = (struct timeval){.tv_sec = (time_t) (wait / 1000000), .tv_usec = (suseconds_t) (wait % 1000000)};
	(void) event_add(timer, &until);
}

static void
on_event(evutil_socket_t fd, short what, void *argument)
{
	Words words;

	(void) fd;
	(void) argument;
	if (host_member() == NULL)
		return;
	words_clear(&words);
	if (!home_turn(&home, (what & EV_READ) == 0, &words))
		say_error(words.hint, "the member cannot be reached: %s", words.error);
	else if (host_member() != NULL)
	{
		host_wind();
		after_turn();
		return;
	}
	host_close(); /* it was said why; it is opened anew after a while */
}

bool
host_init(struct event_base *base, void (*turned)(void))
{
	event_base = base;
	after_turn = turned;
	home_init(&home);
	timer = evtimer_new(base, on_event, NULL);
	return timer != NULL;
}
