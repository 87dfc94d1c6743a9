/*
 * keep/verb_state.c
 *	  get_state_all: a line for each member, for "run", and for the archive; or metrics of them.
 *
 * The members are asked now, and nothing is changed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "../node/clock.h"
#include "../tools/ctl_table.h"
#include "catalogue.h"
#include "keep.h"
#include "metrics.h"
#include "proven.h"
#include "status.h"
#include "wal.h"
#include "watch.h"

#define PATIENCE UINT64_C(2500000) /* us, for all members together */

#define DETAIL_SIZE 1024
#define LSN_SIZE	24

/* What is printed. */
typedef struct Line
{
	char		name[ARCHIVE_NAME_SIZE];
	const char *where;
	const char *kind;
	const char *state;
	char		detail[DETAIL_SIZE];
} Line;

/* The last gap that no base backup is behind. */
typedef struct Gap
{
	uint64_t from; /* 0: there is none */
	uint64_t to;
} Gap;

typedef enum Format
{
	FORMAT_TEXT = 0,
	FORMAT_JSON,
	FORMAT_PROMETHEUS
} Format;

static Format format;

static const char *
write_lsn(uint64_t lsn, char *text)
{
	(void) snprintf(text, LSN_SIZE, "%X/%X", (unsigned) (lsn >> 32), (unsigned) lsn);
	return text;
}

static void
print_text(const char *name, const char *value, bool first)
{
	ctl_json_name(name, first);
	ctl_json_text(value);
}

static void
print_lsn(const char *name, uint64_t lsn)
{
	char text[LSN_SIZE];

	print_text(name, lsn != 0 ? write_lsn(lsn, text) : NULL, false);
}

/* What every line has; Prometheus has none. */
static void
begin_line(const Line *line)
{
	if (format == FORMAT_TEXT)
		printf("%-4s %-22s %-8s %-10s %s\n", line->name, line->where, line->kind, line->state, line->detail);
	if (format != FORMAT_JSON)
		return;
	putchar('{');
	print_text("name", line->name, true);
	print_text("where", line->where, false);
	print_text("kind", line->kind, false);
	print_text("state", line->state, false);
	print_text("detail", line->detail, false);
}

static void
end_line(void)
{
	if (format == FORMAT_JSON)
		printf("}\n");
}

/* ---- members ---- */

/* All that answer in time. */
static void
ask_members(Watch *watch)
{
	uint64_t	  until = clock_now() + PATIENCE;
	struct pollfd fds[MEMBERS_MOST];
	int			  answered = 0;

	while (clock_now() < until && answered < watch->members->n)
	{
		watch_fds(watch, fds);
		if (poll(fds, (nfds_t) watch->members->n, 20) < 0)
			continue;
		watch_go_on(watch, fds);
		answered = 0;
		for (int i = 0; i < watch->members->n; i++)
			answered += watch->at[i].said.at != 0 || watch->at[i].error[0] != '\0';
	}
}

static void
describe_member(const Watch *watch, int i, bool is_source, PlanHolds holds, Line *line)
{
	const WatchMember *member = &watch->at[i];
	const WatchSaid	  *said = &member->said;
	char			   slot[LSN_SIZE];
	char			   durable[LSN_SIZE];

	(void) write_lsn(said->slot.restart, slot);
	(void) write_lsn(watch->archive.durable, durable);
	if (holds == PLAN_DOWN)
		(void) snprintf(line->detail, sizeof(line->detail), "%s", member->error[0] != '\0' ? member->error : "it does not answer");
	else if (holds == PLAN_CLEAR)
		(void) snprintf(line->detail, sizeof(line->detail), "no slot %s yet: \"run\" makes it", watch->slot);
	else if (holds == PLAN_LOST)
		(void) snprintf(line->detail, sizeof(line->detail), "slot %s holds no WAL any more: \"run\" makes it anew", watch->slot);
	else if (is_source)
		(void) snprintf(line->detail, sizeof(line->detail), "leader, term %" PRIu64 ", timeline %u, lease; slot from %s", said->term, said->timeline, slot);
	else if (holds == PLAN_EXPOSED)
		(void) snprintf(line->detail, sizeof(line->detail), "slot starts at %s, and the archive is at %s: not yet a source", slot, durable);
	else
		(void) snprintf(line->detail, sizeof(line->detail), "from %s, archive is at %s", slot, durable);
}

static void
print_member(const Archive *archive, const Watch *watch, int i, int source)
{
	const WatchSaid *said = &watch->at[i].said;
	PlanHolds		 holds = watch_holds(watch, i);
	bool			 is_target = i == source && (holds == PLAN_HOLDING || holds == PLAN_EXPOSED);
	Line			 line = {.where = watch->members->at[i].name, .kind = "storage", .state = is_target ? "Target" : plan_holds_name(holds)};

	(void) snprintf(line.name, sizeof(line.name), "n%d", watch_answers(watch, i) && said->node_id >= 0 ? said->node_id : i);
	describe_member(watch, i, i == source, holds, &line);
	begin_line(&line);
	if (format == FORMAT_PROMETHEUS)
		metrics_print_storage(archive->settings.name, line.where, line.state, holds == PLAN_HOLDING, i == 0);
	if (format == FORMAT_JSON)
	{
		ctl_json_number("term", i == source ? (int64_t) said->term : -1);
		print_lsn("wal_end", said->end);
		print_lsn("slot", said->slot.restart);
	}
	end_line();
}

/* ---- run ---- */

static bool
print_run(const Archive *archive, const Status *status)
{
	Line	 line = {.name = "p0", .where = archive->settings.name, .kind = "proxy", .state = status_name(status->state)};
	char	 durable[LSN_SIZE];
	uint64_t lag = status->sent > archive->state.durable ? status->sent - archive->state.durable : 0;

	(void) write_lsn(archive->state.durable, durable);
	if (status->state == STATUS_STARTED)
		(void) snprintf(line.detail, sizeof(line.detail), "streams from %s, lag %" PRIu64 " B, fsynced %s", status->source, lag, durable);
	else if (status->state == STATUS_STOPPED)
		(void) snprintf(line.detail, sizeof(line.detail), "by \"stop\"; fsynced %s", durable);
	else if (status->state == STATUS_WAITING)
		(void) snprintf(line.detail, sizeof(line.detail), "%s; fsynced %s", status->trouble[0] != '\0' ? status->trouble : "no leader is known", durable);
	else
		(void) snprintf(line.detail, sizeof(line.detail), "\"run\" does not run; fsynced %s", durable);
	begin_line(&line);
	if (format == FORMAT_PROMETHEUS)
	{
		metrics_print(archive->settings.name, "streaming", "1: WAL is received.", status->state == STATUS_STARTED);
		metrics_print(archive->settings.name, "lag_bytes", "How far the archive was behind its source's WAL while it received last; 0: it does not receive.",
					  status->state == STATUS_STARTED ? lag : 0);
	}
	if (format == FORMAT_JSON)
	{
		print_text("source", status->source[0] != '\0' ? status->source : NULL, false);
		ctl_json_number("lag", status->state == STATUS_STARTED ? (int64_t) lag : -1);
	}
	end_line();
	return status->state == STATUS_STARTED;
}

/* ---- the archive ---- */

static bool
find_gap(const CatalogueEntry *entry, void *context)
{
	Gap *gap = context;

	if (strcmp(entry->kind, "gap") == 0)
		*gap = (Gap){catalogue_get_lsn(entry, "from"), catalogue_get_lsn(entry, "to")};
	else if (strcmp(entry->kind, "base") == 0 && catalogue_get_number(entry, "gid") >= gap->to)
		*gap = (Gap){0, 0};
	return true;
}

/* The first hole, into text; false: there is none. */
static bool
find_hole(const Archive *archive, char *text, size_t size)
{
	static Lineage path;
	uint32_t	   timeline;
	uint64_t	   segment;
	Words		   words;

	if (archive->state.timeline == 0)
		return false;
	if (!archive_lineage(archive, archive->state.timeline, &path, &words))
	{
		(void) snprintf(text, size, "%.*s", (int) size - 1, words.error);
		return true;
	}
	if (!wal_find_hole(archive, &path, &timeline, &segment))
		return false;
	segment *= archive->state.segment_size;
	(void) snprintf(text, size, "hole: the segment at %X/%X of timeline %u is missing", (unsigned) (segment >> 32), (unsigned) segment, timeline);
	return true;
}

/* With base backups, whether they are good for anything; false: the last drill has failed. */
static bool
describe_proof(const Archive *archive, Line *line, Proven *proven)
{
	char   text[DETAIL_SIZE / 4];
	size_t length = strlen(line->detail);
	Words  words;

	if (!proven_read(archive, proven, &words) || archive_condition(archive->path) != ARCHIVE_ARCHIVED)
		return true; /* a catalogue that is damaged was said before */
	proven_describe(proven, time(NULL), text, sizeof(text));
	(void) snprintf(line->detail + length, sizeof(line->detail) - length, ", %s", text[0] != '\0' ? text : "not proven yet: make a drill");
	return proven->failed_gid == 0;
}

static void
print_archive_metrics(const Archive *archive, const Proven *proven, bool has_gap, bool exposed)
{
	const char *name = archive->settings.name;

	metrics_print(name, "durable_bytes", "LSN up to which WAL is on the archive's disk.", archive->state.durable);
	metrics_print(name, "gap", "1: WAL is missing in the archive.", has_gap);
	metrics_print(name, "exposed", "1: a failover now could leave a gap.", exposed);
	metrics_print(name, "archived", "1: there is a base backup.", archive_condition(archive->path) == ARCHIVE_ARCHIVED);
	metrics_print(name, "proven_timestamp_seconds", "When a drill has last ended well; 0: none ever has.", (uint64_t) proven->at);
	metrics_print(name, "drill_failed", "1: the last drill has failed.", proven->failed_gid != 0);
	metrics_print(name, "asked_timestamp_seconds", "When all this was so.", (uint64_t) time(NULL));
}

static bool
print_archive(const Archive *archive, bool exposed)
{
	Proven proven;
	Gap	   gap = {0, 0};
	Line   line = {.where = archive->path, .kind = "archive", .state = archive_condition_name(archive_condition(archive->path))};
	char   begin[LSN_SIZE];
	char   end[LSN_SIZE];
	char   trouble[DETAIL_SIZE / 2] = "no hole";
	Words  words;
	bool   is_bad;
	bool   has_gap;

	words_clear(&words);
	is_bad = find_hole(archive, trouble, sizeof(trouble));
	if (!catalogue_read(archive, find_gap, &gap, &words) && !is_bad)
	{
		(void) snprintf(trouble, sizeof(trouble), "%.*s", (int) sizeof(trouble) - 1, words.error);
		is_bad = true;
	}
	if (!is_bad && gap.from != 0)
	{
		(void) snprintf(trouble, sizeof(trouble), "gap from %s to %s: make a base backup", write_lsn(gap.from, begin), write_lsn(gap.to, end));
		is_bad = true;
	}
	has_gap = is_bad;
	if (has_gap)
		line.state = "Gap";
	(void) snprintf(line.name, sizeof(line.name), "%s", archive->settings.name);
	if (archive->state.timeline == 0)
		(void) snprintf(line.detail, sizeof(line.detail), "no WAL yet");
	else
		(void) snprintf(line.detail, sizeof(line.detail), "WAL %s..%s, timeline %u, %s%s", write_lsn(archive->state.begin, begin),
						write_lsn(archive->state.durable, end), archive->state.timeline, trouble,
						exposed ? ", exposed: a failover now could leave a gap" : "");
	is_bad |= !describe_proof(archive, &line, &proven);
	begin_line(&line);
	if (format == FORMAT_PROMETHEUS)
		print_archive_metrics(archive, &proven, has_gap, exposed);
	if (format == FORMAT_JSON)
	{
		ctl_json_number("timeline", archive->state.timeline);
		print_lsn("begin", archive->state.begin);
		print_lsn("durable", archive->state.durable);
		ctl_json_number("term", (int64_t) archive->state.term);
		ctl_json_number("proven", proven.gid != 0 ? (int64_t) proven.gid : -1);
		ctl_json_number("proven_at", proven.gid != 0 ? (int64_t) proven.at : -1);
		ctl_json_number("failed", proven.failed_gid != 0 ? (int64_t) proven.failed_gid : -1);
		ctl_json_name("exposed", false);
		fputs(exposed ? "true" : "false", stdout);
	}
	end_line();
	return !is_bad;
}

static bool
print_all(KeepCall *call, Watch *watch)
{
	PlanWord words[MEMBERS_MOST];
	uint64_t term = call->archive->state.term;
	Status	 status;
	Words	 why;
	bool	 exposed;
	bool	 good;
	int		 source;

	ask_members(watch);
	words_clear(&why);
	if (!archive_refresh(call->archive, &why))
		return keep_fail(&why) == EXIT_DONE;
	watch_set_position(watch, &call->archive->state);
	watch_words(watch, words);
	source = plan_source(words, watch->members->n, &term);
	exposed = call->archive->state.timeline != 0 && watch_is_exposed(watch, source);
	for (int i = 0; i < watch->members->n; i++)
		print_member(call->archive, watch, i, source);
	status_read(call->archive, &status);
	good = print_run(call->archive, &status);
	return print_archive(call->archive, exposed) && good && !exposed;
}

int
verb_get_state_all(KeepCall *call)
{
	static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {"prometheus", no_argument, NULL, 'p'}, {NULL, 0, NULL, 0}};
	static Members			   members;
	static Watch			   watch;
	Words					   words;
	int						   option;
	bool					   good;

	while ((option = getopt_long(call->argc, call->argv, "", long_options, NULL)) != -1)
	{
		if (option != 'j' && option != 'p')
			return keep_usage("get_state_all was called wrongly");
		format = option == 'j' ? FORMAT_JSON : FORMAT_PROMETHEUS;
	}
	if (optind != call->argc)
		return keep_usage("get_state_all has no arguments");
	words_clear(&words);
	if (!members_parse(&call->archive->settings, &members, &words))
		return keep_fail(&words);
	watch_init(&watch, call->archive, &members, false);
	good = print_all(call, &watch);
	watch_close(&watch);
	members_free(&members);
	return good ? EXIT_DONE : EXIT_FAILED;
}
