/*
 * supervisor/work.c
 *	  A job's process: what it does.
 *
 * See work.h.  May wait for the network and for disks.  Decides nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/logging.h"

#include "copy.h"
#include "holders.h"
#include "say.h"
#include "work.h"

/* How long the leader may take to answer, us. */
#define PATIENCE UINT64_C(2000000)

static int channel = -1;

static void
tell(JobTell what, JobMessage *message)
{
	message->tell = what;
	(void) send(channel, message, sizeof(*message), MSG_NOSIGNAL);
}

static void
tell_sentence(const char *sentence)
{
	JobMessage message;

	memset(&message, 0, sizeof(message));
	(void) snprintf(message.words.error, sizeof(message.words.error), "%s", sentence);
	tell(JOB_SAYS, &message);
}

/*
 * What a job that was killed has started has this lock, too, until it has ended.  Only then another
 * one changes anything.
 */
static bool
wait_for_last_job(const JobOrder *order, Words *words)
{
	char path[STORE_PATH_SIZE];
	int	 fd;

	if (snprintf(path, sizeof(path), "%s/node-%d.job", order->state_directory, order->self) >= (int) sizeof(path))
		return words_set(words, "", "the path of the state directory is too long");
	fd = open(path, O_RDWR | O_CREAT, S_IRUSR | S_IWUSR); /* inherited by programs */
	if (fd < 0 || !holders_lock(fd, true, NULL))
		return words_set(words, "Find out which process has it open, and end that.", "could not lock \"%s\": %s", path, strerror(errno));
	return true;
}

/* ---- asking the leader ---- */

static bool
read_lineage(Upstream *upstream, uint32_t timeline, Lineage *lineage, Words *words)
{
	static char text[UPSTREAM_HISTORY_SIZE];
	size_t		length;

	lineage_first(lineage);
	return timeline == 1 || (upstream_history(upstream, timeline, text, &length, words) && length > 0 &&
							 lineage_parse(lineage, timeline, text, length, words) == LINEAGE_GOOD);
}

/* The segment in which its WAL parts from ours. */
static bool
has_fork(Upstream *upstream, const JobOrder *order, uint32_t timeline)
{
	static Lineage lineage;
	uint64_t	   fork = order->common.index;
	char		   byte;
	Words		   words;

	return fork > 0 && read_lineage(upstream, timeline, &lineage, &words) &&
		   upstream_read(upstream, lineage_timeline_before(&lineage, fork), fork - 1, fork, &byte, &words) == UPSTREAM_READ;
}

static bool
ask_leader(const JobOrder *order, JobMessage *message)
{
	Upstream upstream;

	upstream_init(&upstream, order->self, PATIENCE, NULL);
	if (!upstream_connect(&upstream, order->conninfo, &message->words) ||
		!upstream_identify(&upstream, &message->identity, &message->words))
		return false;
	message->has_fork = has_fork(&upstream, order, message->identity.timeline);
	upstream_close(&upstream);
	tell(JOB_LEADER_IS, message);
	return true;
}

/* ---- */

static bool
obey(const JobOrder *order, JobMessage *message)
{
	switch (order->kind)
	{
		case JOB_ASK:
			return ask_leader(order, message);
		case JOB_REWIND:
			return copy_rewind(order, tell_sentence, &message->has_tried, &message->words);
		case JOB_CLONE:
			return copy_clone(order, tell_sentence, &message->words);
		case JOB_FINISH:
			return copy_finish(order, &message->words);
		case JOB_CLEAN:
			return copy_clean(order, &message->words);
	}
	return words_set(&message->words, "", "there is no such job");
}

int
work(const char *socket)
{
	static JobOrder order;
	JobMessage		message;
	bool			done;

	channel = atoi(socket);
	if (fcntl(channel, F_SETFD, FD_CLOEXEC) != 0 ||
		recv(channel, &order, sizeof(order), 0) != (ssize_t) sizeof(order))
	{
		fprintf(stderr, "%s: error: %s is for the supervisor itself\n", PROGRAM, JOB_OPTION);
		return 2;
	}
	pg_logging_init(PROGRAM);
	memset(&message, 0, sizeof(message));
	done = (order.kind == JOB_ASK || wait_for_last_job(&order, &message.words)) && obey(&order, &message);
	tell(done ? JOB_DONE : JOB_FAILED, &message);
	return done ? 0 : 1;
}
