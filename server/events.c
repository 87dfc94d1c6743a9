/*
 * server/events.c
 *	  The events of this member across restarts: between shared memory and journal.
 *
 * See events.h.  Events are shown in shared memory first.  One write at a time is under
 * way, and the next one is begun when the worker comes by and finds that it is done.
 * What could not be written is tried again with the next event, as long as shared
 * memory holds it.  The two hold the same otherwise.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "node/clock.h"
#include "node/journal.h"
#include "server/events.h"
#include "server/once_a_minute.h"
#include "server/settings.h"
#include "server/shared.h"

/* How long the process may outlive itself for the last events, in microseconds. */
#define FINISH_TIME UINT64CONST(200000)

#define UNIX_EPOCH_TO_POSTGRES \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

static Journal	journal = {.fd = -1};
static uint64_t written;	  /* the last number that the journal holds */
static uint64_t begun;		  /* the last number of the write that is under way */
static uint64_t failed_until; /* the newest event when a write failed; 0: none has */
static uint64_t write_failed_at;
static uint8_t	boot_id[JOURNAL_BOOT_ID];

/* Only while the worker starts. */
static uint8_t		image[JOURNAL_FILE_SIZE + 1];
static JournalEvent events[JOURNAL_EVENTS];

/* Where the journal is, and whose it has to be; false: the settings do not say. */
static bool
identify(char *directory, StoreIdentity *identity)
{
	memset(identity, 0, sizeof(*identity));
	identity->node_id = settings.node_id;
	identity->cluster_digest = cluster_text_digest(settings.cluster_name);
	return settings.node_id >= 0 && settings_state_directory(directory, STORE_PATH_SIZE);
}

static void
from_journal(const JournalEvent *event, SharedEvent *shown)
{
	static const uint8_t unknown[JOURNAL_BOOT_ID];

	/* journal_decode() lets nothing through that a timestamptz could not hold */
	StaticAssertStmt(PG_INT64_MAX - UNIX_EPOCH_TO_POSTGRES < END_TIMESTAMP &&
						 -UNIX_EPOCH_TO_POSTGRES >= MIN_TIMESTAMP,
					 "every wall clock of a journal is a timestamptz");

	memset(shown, 0, sizeof(*shown));
	shown->number = event->number;
	shown->at = event->at - UNIX_EPOCH_TO_POSTGRES;
	shown->boot = event->boot;
	shown->other_clock = memcmp(event->boot_id, boot_id, JOURNAL_BOOT_ID) != 0 ||
						 memcmp(boot_id, unknown, JOURNAL_BOOT_ID) == 0;
	shown->boot_time = event->boot_time;
	shown->term = event->term;
	shown->role = event->role;
	shown->leader_id = event->leader_id;
	shown->lease_start = event->lease_start;
	shown->lease_end = event->lease_end;
	strlcpy(shown->reason, event->reason, sizeof(shown->reason));
}

static void
to_journal(const SharedEvent *shown, JournalEvent *event)
{
	memset(event, 0, sizeof(*event));
	event->number = shown->number;
	event->at = shown->at + UNIX_EPOCH_TO_POSTGRES;
	event->boot = shown->boot;
	if (!shown->other_clock)
		memcpy(event->boot_id, boot_id, JOURNAL_BOOT_ID);
	event->boot_time = shown->boot_time;
	event->term = shown->term;
	event->role = shown->role;
	event->leader_id = shown->leader_id;
	event->lease_start = shown->lease_start;
	event->lease_end = shown->lease_end;
	strlcpy(event->reason, shown->reason, sizeof(event->reason));
}

/* The last number that the file holds; what is newer than all that is shown, is. */
static uint64_t
read_journal(const char *path, const StoreIdentity *identity)
{
	char		  error[STORE_ERROR_SIZE];
	bool		  missing;
	size_t		  length;
	StoreIdentity found;
	int			  n_events;
	int			  n_bad;
	int			  i;

	if (!journal_read(path, image, &length, &missing, error))
		return 0;
	if (journal_scan(image, length, identity, events, &n_events, &n_bad, &found) > JOURNAL_TORN)
		return 0;
	for (i = 0; i < n_events; i++)
	{
		SharedEvent shown;

		from_journal(&events[i], &shown);
		if (shown.number > shared_last_event())
			shared_restore_event(&shown);
	}
	return n_events > 0 ? events[n_events - 1].number : 0;
}

void
events_load(void)
{
	char		  directory[STORE_PATH_SIZE];
	char		  path[STORE_PATH_SIZE];
	StoreIdentity identity;

	journal_boot_id(boot_id);
	if (shared_last_event() == 0 && identify(directory, &identity) &&
		journal_path(directory, identity.node_id, path, sizeof(path)))
		(void) read_journal(path, &identity);
}

void
events_open(void)
{
	char		  directory[STORE_PATH_SIZE];
	char		  error[STORE_ERROR_SIZE];
	StoreIdentity identity;
	bool		  opened;

	if (!identify(directory, &identity))
		return;
	opened = journal_open(&journal, directory, &identity, error);
	if (opened)
		written = read_journal(journal.path, &identity);
	if (error[0] != '\0')
		ereport(WARNING,
				(errmsg("pg_leader: the journal of events is not complete: %s", error),
				 errdetail("Elections do not need it."),
				 opened ? 0 : errhint("Events will not outlive this server's next restart.")));
}

static void
tell_failure(const char *error)
{
	failed_until = shared_last_event();
	if (!once_a_minute(&write_failed_at, clock_now()))
		return;
	ereport(LOG,
			(errmsg("pg_leader: could not keep events: %s", error),
			 errdetail("It is tried again with each event. Elections do not need it.")));
}

/*
 * Nothing is under way: begin with what comes next, if there is something.
 */
static void
begin_next(void)
{
	char		 error[STORE_ERROR_SIZE];
	JournalEvent batch[JOURNAL_BATCH];
	SharedEvent	 shown;
	uint64_t	 last = shared_last_event();
	int			 n = 0;

	if (written == last || failed_until == last)
		return;
	if (last > SHARED_EVENTS && written < last - SHARED_EVENTS)
		written = last - SHARED_EVENTS;
	while (written < last && !shared_get_event(written + 1, &shown))
		written++;
	while (n < JOURNAL_BATCH && written + n < last && shared_get_event(written + n + 1, &shown))
		to_journal(&shown, &batch[n++]);
	if (n == 0)
		return;
	n = journal_begin_write(&journal, batch, n, error);
	begun = written + n;
	if (n == 0)
		tell_failure(error);
}

void
events_write(void)
{
	char error[STORE_ERROR_SIZE];

	if (journal.fd < 0)
		return;
	switch (journal_progress(&journal, error))
	{
		case JOURNAL_WRITING:
			return;
		case JOURNAL_WRITTEN:
			written = begun;
			failed_until = 0;
			break;
		case JOURNAL_FAILED:
			tell_failure(error);
			return;
		case JOURNAL_IDLE:
			break;
	}
	begin_next();
}

void
events_finish(void)
{
	uint64_t now = clock_now();
	uint64_t end = now + FINISH_TIME;

	/* a write that was under way may fail, and what came after it still be kept */
	events_write();
	while (journal.fd >= 0 && journal.is_writing && now < end)
	{
		journal_wait(&journal, end - now);
		events_write();
		now = clock_now();
	}
}
