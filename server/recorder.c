/*
 * server/recorder.c
 *	  The process that may block: journal of events, looks at files.
 *
 * A background worker of its own beside the election's, which must never wait for a
 * disk.  As long as that one has the state file open, and so locked, this process
 *
 *	  writes	the events that shared memory has and the journal has not, woken by each;
 *				what could not be written is tried again each second, as long as shared
 *				memory holds it
 *	  looks		each second, whether the state file is still at its path, and whether
 *				nobody else may write to it or read the keys; what is wrong is in the log
 *				and, of the state file, in pg_leader_status
 *
 * Its end: at SIGTERM, or when the postmaster is gone, it waits until the election's
 * worker has ended, and writes its last event.  The exit code is always 1: with 0 the
 * postmaster would not start it again.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procsignal.h"

#include "node/clock.h"
#include "node/journal.h"
#include "node/secret.h"
#include "server/compat.h"
#include "server/library.h"
#include "server/once_a_minute.h"
#include "server/recorder.h"
#include "server/settings.h"
#include "server/shared.h"

/* How often files are looked at. */
#define LOOK_INTERVAL_MS 1000

/* How long the end of the election's worker is waited for, in microseconds. */
#define LEAVING_LIMIT UINT64CONST(5000000)

static Journal	journal = {.fd = -1};
static uint64_t written; /* the last number that the journal holds */
static uint64_t failure_logged_at;

/* Where the journal is, and whose it has to be; false: the settings do not say. */
static bool
identify(char *directory, StoreIdentity *identity)
{
	memset(identity, 0, sizeof(*identity));
	identity->node_id = settings.node_id;
	identity->cluster_digest = cluster_text_digest(settings.cluster_name);
	return settings.node_id >= 0 && settings_state_directory(directory, STORE_PATH_SIZE);
}

/* ---- the election's worker ---- */

static void
show_journal(const char *path, const StoreIdentity *identity)
{
	static uint8_t		image[JOURNAL_FILE_SIZE + 1];
	static JournalEvent events[JOURNAL_EVENTS];
	Words				words;
	StoreIdentity		found;
	size_t				length;
	bool				missing;
	int					n_events;
	int					n_bad;
	int					i;

	if (!journal_read(path, image, &length, &missing, &words) ||
		journal_scan(image, length, identity, events, &n_events, &n_bad, &found) > JOURNAL_TORN)
		return;
	for (i = 0; i < n_events; i++)
	{
		if (events[i].number > shared_last_event())
			shared_restore_event(&events[i]);
	}
}

void
recorder_load_events(StoreEvidence *evidence)
{
	char		  directory[STORE_PATH_SIZE];
	char		  path[STORE_PATH_SIZE];
	StoreIdentity identity;
	JournalEvent  event;
	uint64_t	  number;
	uint64_t	  last;

	if (identify(directory, &identity) &&
		journal_path(directory, identity.node_id, path, sizeof(path)))
		show_journal(path, &identity);
	if (evidence == NULL)
		return;

	/* of shared memory, which may hold more than a journal that was taken away */
	memset(evidence, 0, sizeof(*evidence));
	last = shared_last_event();
	for (number = last > SHARED_EVENTS ? last - SHARED_EVENTS + 1 : 1; number <= last; number++)
	{
		if (shared_get_event(number, &event) && event.number == number)
			journal_heed(&event, evidence);
	}
}

/* ---- the journal ---- */

static void
log_failure(const Words *words)
{
	if (!once_a_minute(&failure_logged_at, clock_now()))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_IO_ERROR),
			 errmsg("pg_leader: could not write the journal of events: %s", words->error),
			 errdetail("It is tried again each second. Elections do not need it."),
			 errhint("Events that are not in the journal are lost when the server restarts.")));
}

static void
open_journal(void)
{
	char		  directory[STORE_PATH_SIZE];
	Words		  words;
	StoreIdentity identity;

	if (!identify(directory, &identity))
		return;
	if (!journal_open(&journal, directory, &identity, &written, &words))
		log_failure(&words);
	else if (words.error[0] != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("pg_leader: the journal of events is not complete: %s", words.error),
				 errdetail("Elections do not need it.")));
}

static void
write_events(void)
{
	Words		 words;
	JournalEvent event;
	uint64_t	 last = shared_last_event();

	if (last > SHARED_EVENTS && written < last - SHARED_EVENTS)
		written = last - SHARED_EVENTS;
	while (written < last)
	{
		/* its writer was stopped in the middle: later */
		if (!shared_get_event(written + 1, &event))
			return;
		if (event.number == written + 1 && !journal_write(&journal, &event, &words))
		{
			log_failure(&words);
			return;
		}
		written++;
	}
}

/* ---- looking ---- */

/*
 * Tell the log of what is wrong, once.  "said" is what it was told last.
 */
static void
tell_if_new(char *said, const char *error, const char *detail, const char *hint)
{
	if (strcmp(said, error) == 0)
		return;
	if (error[0] != '\0')
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_leader: %s", error),
				 errdetail("%s", detail),
				 errhint("%s", hint)));
	else
		ereport(LOG,
				(errmsg("pg_leader: no longer: %s", said)));
	strlcpy(said, error, WORDS_SIZE);
}

static void
look_at_state_file(const SharedStore *store)
{
	static char		   said[WORDS_SIZE];
	static const char *health[] = {
		[STORE_SOUND] = "",
		[STORE_OPEN_TO_OTHERS] = "writable by others",
		[STORE_GONE] = "removed or replaced"};
	Words	   words;
	StoreSight sight = store_look(store->path, store->device, store->inode, &words);

	shared_publish_health(health[sight]);
	tell_if_new(said, words.error, sight == STORE_GONE ? "What is saved now would not be found after a restart." : "The next start would refuse it.", words.hint);
}

static void
look_at_secret_file(void)
{
	static char said[WORDS_SIZE];
	char		path[STORE_PATH_SIZE];
	Words		words = {"", ""};

	if (settings.secret_file[0] != '\0' && settings_secret_file(path, sizeof(path)))
		(void) secret_look(path, &words);
	tell_if_new(said, words.error,
				"This member goes on with the keys that it has read. A reload or a restart would refuse the file.", words.hint);
}

/*
 * Files that are there are looked at by their names: they can be taken away, or be
 * replaced, while a process has them open.
 */
static void
turn(void)
{
	SharedStore store;

	if (!shared_peek_store(&store))
		return;
	if (journal.fd >= 0 && !journal_is_in_place(&journal))
		journal_close(&journal);
	if (store.is_held && journal.fd < 0)
		open_journal();
	if (journal.fd >= 0)
		write_events();
	if (store.is_held)
	{
		look_at_state_file(&store);
		look_at_secret_file();
		return;
	}

	/* whose state file it is now, is not known */
	journal_close(&journal);
	shared_publish_health("");
}

/* ---- its life ---- */

static void
at_exit(int code, Datum argument)
{
	shared_recorder_stop();
}

/*
 * The election's worker ends at the same moment, and its last event says why.  If it
 * does not, only this process is to end, which then starts again.
 */
static void
leave(void)
{
	uint64_t	end = clock_now() + LEAVING_LIMIT;
	SharedStore store;

	while (shared_peek_store(&store) && store.is_held && clock_now() < end)
		pg_usleep(10000);
	if (journal.fd >= 0)
		write_events();
	proc_exit(1);
}

void
pg_leader_recorder_main(Datum argument)
{
	uint32 wait_event;

	library_check_worker();
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGUSR1, procsignal_sigusr1_handler);
	BackgroundWorkerUnblockSignals();

	before_shmem_exit(at_exit, 0);
	shared_recorder_start();
	wait_event = compat_wait_event("PgLeaderRecorder");
	for (;;)
	{
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		turn();
		if (ShutdownRequestPending ||
			(WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH,
					   LOOK_INTERVAL_MS, wait_event) &
			 WL_POSTMASTER_DEATH))
			leave();
		ResetLatch(MyLatch);
	}
}
