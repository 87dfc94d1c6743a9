/*
 * keep/drills.c
 *	  The drills that "run" makes by itself.
 *
 * See drills.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "drills.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../supervisor/say.h"
#include "catalogue.h"

#define LOOK_INTERVAL  UINT64_C(5000000)
#define LOWER_PRIORITY 10

void
drills_init(Drills *drills, const Archive *archive)
{
	*drills = (Drills){.archive = archive, .read_up_to = -1};
}

/* ---- what there is to prove ---- */

typedef struct Read
{
	PlanDrills facts;
	int		   n_drills;
} Read;

static bool
take_entry(const CatalogueEntry *entry, void *context)
{
	Read	   *read = context;
	PlanDrills *facts = &read->facts;
	const char *value;

	if (strcmp(entry->kind, "base") == 0)
		facts->now.base = catalogue_get_number(entry, "gid");
	if (strcmp(entry->kind, "drill") != 0)
		return true;
	read->n_drills++;
	facts->proven = (PlanDrill){(uint32_t) catalogue_get_number(entry, "timeline"), catalogue_get_number(entry, "base")};
	value = catalogue_get(entry, "seconds");
	facts->began_at = (int64_t) entry->at - (value != NULL ? (int64_t) strtod(value, NULL) : 0);
	value = catalogue_get(entry, "result");
	facts->is_good = value != NULL && strcmp(value, "ok") == 0;
	return true;
}

/* A drill that this process began, and that could not say so there, counts until there is another one. */
static bool
read_catalogue(Drills *drills)
{
	Read  read = {{.now.base = 0}, 0};
	Words words;

	if (!catalogue_read(drills->archive, take_entry, &read, &words))
		return false;
	drills->facts.now.base = read.facts.now.base;
	if (read.n_drills == drills->n_drills)
		return true;
	drills->n_drills = read.n_drills;
	drills->facts.proven = read.facts.proven;
	drills->facts.began_at = read.facts.began_at;
	drills->facts.is_good = read.facts.is_good;
	return true;
}

/* false: it is not known, which others say. */
static bool
gather(Drills *drills)
{
	PlanDrill	was = drills->facts.now;
	char		path[STORE_PATH_SIZE];
	struct stat catalogue;

	archive_path(drills->archive, "catalogue", path);
	if (stat(path, &catalogue) != 0 || (catalogue.st_size != drills->read_up_to && !read_catalogue(drills)))
		return false;
	drills->read_up_to = catalogue.st_size;
	drills->facts.now.timeline = drills->archive->state.timeline;
	if (drills->facts.now.timeline != was.timeline || drills->facts.now.base != was.base)
		drills->facts.seen_at = (int64_t) time(NULL);
	return true;
}

/* ---- the process ---- */

/* Does not return. */
static void
become_drill(const Archive *archive, pid_t parent)
{
	const char *const arguments[] = {"pg_leader_keep", "-A", archive->path, "drill",
									 archive->settings.drill_sql[0] != '\0' ? "--sql" : "latest",
									 archive->settings.drill_sql[0] != '\0' ? archive->settings.drill_sql : NULL, "latest", NULL};
	sigset_t		  none;

	(void) signal(SIGPIPE, SIG_DFL);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
		_exit(127);
	(void) setpriority(PRIO_PROCESS, 0, LOWER_PRIORITY);
	(void) execv("/proc/self/exe", (char *const *) arguments);
	_exit(127);
}

static void
begin(Drills *drills)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		become_drill(drills->archive, parent);
	drills->facts.begun = drills->facts.now;
	drills->facts.began_at = (int64_t) time(NULL);
	drills->facts.is_good = pid > 0;
	if (pid < 0)
		say_warning("", "could not start a process for a drill: %s", strerror(errno));
	else
		drills->pid = pid;
}

/* Has it ended?  What it had to say it has said. */
static bool
has_ended(Drills *drills)
{
	int	  status = 0;
	pid_t pid = waitpid(drills->pid, &status, WNOHANG);

	if (pid == 0 || (pid < 0 && errno == EINTR))
		return false;
	drills->pid = 0;
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
	{
		say_warning("\"pg_leader_keep drill latest\" makes it once more.", "the drill of the newest state has failed");
		drills->facts.is_good = false;
	}
	return true;
}

void
drills_go_on(Drills *drills)
{
	int64_t every = (int64_t) settings_hours(&drills->archive->settings) * 3600;

	if (clock_now() < drills->look_at)
		return;
	drills->look_at = clock_now() + LOOK_INTERVAL;
	if (drills->pid != 0 && !has_ended(drills))
		return;
	if (every == 0 || !gather(drills) || !plan_drill_is_due(&drills->facts, every, (int64_t) time(NULL)))
		return;
	if (geteuid() != 0)
		begin(drills);
	else if (!drills->said_root)
	{
		say_warning("Run this program as the user that the archive belongs to, or set drill_hours = '0'.", "root makes no drills: they run PostgreSQL");
		drills->said_root = true;
	}
}

void
drills_end(Drills *drills)
{
	if (drills->pid == 0)
		return;
	(void) kill(drills->pid, SIGKILL);
	while (waitpid(drills->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	drills->pid = 0;
}
