/*
 * keep/instance.c
 *	  A PostgreSQL that replays WAL of the archive on a copy of data, up to one point.
 *
 * See instance.h.  What has become of it is read in its log, which needs no role to connect as.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../node/clock.h"
#include "../supervisor/files.h"
#include "instance_files.h"

#define SOCKET "/.s.PGSQL.5432"

/* Microseconds. */
#define LOOK		  5000
#define STOP_BOUND	  UINT64_C(60000000)
#define KILL_BOUND	  UINT64_C(10000000)
#define STATUS_NO_RUN 127

/* How often figures are raised on the way. */
#define MOST_STARTS 8

#define LINE_SIZE 2048

const char *
instance_programs(void)
{
	static char path[STORE_PATH_SIZE];
	ssize_t		length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char	   *slash;

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL)
		*slash = '\0';
	return path;
}

bool
instance_init(Instance *instance, const Archive *archive, const char *directory, const char *data, const char *upper, Words *words)
{
	memset(instance, 0, sizeof(*instance));
	instance->archive = archive;
	instance->lock_fd = -1;
	if (strlen(directory) + strlen(SOCKET) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
		return words_set(words, "Use a shorter path for the archive.", "the path of the Unix socket \"%s" SOCKET "\" is too long", directory);
	(void) snprintf(instance->directory, sizeof(instance->directory), "%s", directory);
	return (files_join(instance->data, directory, data) && files_join(instance->upper, directory, upper)) ||
		   words_set(words, "Use a shorter path for the archive.", "the path \"%s\" is too long", directory);
}

static void
path_of(const Instance *instance, const char *name, char *path)
{
	(void) files_join(path, instance->directory, name);
}

void
instance_conninfo(const Instance *instance, char *conninfo, size_t size)
{
	char  quoted[2 * STORE_PATH_SIZE];
	char *to = quoted;

	for (const char *from = instance->directory; *from != '\0'; from++)
	{
		if (*from == '\'' || *from == '\\')
			*to++ = '\\';
		*to++ = *from;
	}
	*to = '\0';
	(void) snprintf(conninfo, size, strpbrk(quoted, " \\") != NULL ? "host='%s' port=%d dbname=postgres" : "host=%s port=%d dbname=postgres",
					quoted, INSTANCE_PORT);
}

/* Its settings, with figures as high as its data want them. */
static bool
write_settings(const Instance *instance, Words *words)
{
	Control control;

	return control_read(instance->data, &control, words) && instance_files_write(instance, &control.figures, words);
}

/* ---- the lock ---- */

bool
instance_lock(Instance *instance)
{
	char path[STORE_PATH_SIZE];

	path_of(instance, "lock", path);
	instance->lock_fd = open(path, O_RDWR | O_CREAT, S_IRUSR | S_IWUSR); /* inherited by the server */
	if (instance->lock_fd >= 0 && flock(instance->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	instance_unlock(instance);
	return false;
}

void
instance_unlock(Instance *instance)
{
	if (instance->lock_fd >= 0)
		(void) close(instance->lock_fd);
	instance->lock_fd = -1;
}

bool
instance_is_running(const Instance *instance)
{
	char path[STORE_PATH_SIZE];
	int	 fd;
	bool is_free;

	path_of(instance, "lock", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_free = flock(fd, LOCK_EX | LOCK_NB) == 0;
	(void) close(fd);
	return !is_free;
}

bool
instance_is_opened(const Instance *instance)
{
	char path[STORE_PATH_SIZE];

	path_of(instance, "opened", path);
	return files_exists(path);
}

bool
instance_has_served(const Instance *instance)
{
	char path[STORE_PATH_SIZE];

	path_of(instance, "served", path);
	return files_exists(path);
}

bool
instance_arm(const Instance *instance, Words *words)
{
	char path[STORE_PATH_SIZE];

	return (files_join(path, instance->upper, "recovery.signal") && files_write(path, "", words)) ||
		   words_set(words, "", "could not create \"%s/recovery.signal\"", instance->upper);
}

/* ---- starting ---- */

/* Does not return. */
static void
become_postgres(const Instance *instance, bool ends_with_us, int log, pid_t parent)
{
	char	 program[STORE_PATH_SIZE];
	char	 config[STORE_PATH_SIZE + 32];
	int		 null = open("/dev/null", O_RDONLY);
	sigset_t none;

	(void) files_join(program, instance_programs(), "postgres");
	(void) snprintf(config, sizeof(config), "config_file=%s/postgresql.conf", instance->directory);
	(void) setsid();
	(void) signal(SIGPIPE, SIG_DFL);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);

	/* a postmaster that is killed would leave busy processes behind for a while */
	if (ends_with_us && (prctl(PR_SET_PDEATHSIG, SIGQUIT, 0, 0, 0) != 0 || getppid() != parent))
		_exit(STATUS_NO_RUN);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0)
		(void) execl(program, "postgres", "-D", instance->data, "-c", config, (char *) NULL);
	_exit(STATUS_NO_RUN);
}

/*
 * What a server that was killed has left.  Nothing of it runs, since this process has the lock, whatever PostgreSQL
 * takes the process for that has its number now.
 */
static bool
remove_stale(const Instance *instance, Words *words)
{
	static const char *const names[] = {SOCKET, SOCKET ".lock", "/opened", NULL};
	char					 path[STORE_PATH_SIZE];

	for (const char *const *name = names; *name != NULL; name++)
	{
		path_of(instance, *name + 1, path);
		if (unlink(path) != 0 && errno != ENOENT)
			return files_fail(words, "", "remove the file", path);
	}
	return files_join(path, instance->data, "postmaster.pid") &&
		   (unlink(path) == 0 || errno == ENOENT || files_fail(words, "", "remove the file", path));
}

static bool
start(Instance *instance, bool ends_with_us, Words *words)
{
	char  path[STORE_PATH_SIZE];
	char  before[STORE_PATH_SIZE];
	pid_t self = getpid();
	int	  log;

	if (!remove_stale(instance, words))
		return false;
	path_of(instance, "log", path);
	path_of(instance, "log.before", before);
	(void) rename(path, before);
	log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (log < 0)
		return files_fail(words, "", "create the file", path);
	instance->pid = fork();
	if (instance->pid == 0)
		become_postgres(instance, ends_with_us, log, self);
	(void) close(log);
	if (instance->pid > 0)
		return true;
	instance->pid = 0;
	return words_set(words, "", "could not start a process: %s", strerror(errno));
}

/* ---- what the log says ---- */

typedef struct Log
{
	FILE *file;
	bool  is_paused; /* at its point */
	bool  is_promoted;
	bool  shuts_down; /* at its point */
	bool  lacks_figures;
	char  error[WORDS_SIZE]; /* the first that was FATAL or worse */
} Log;

static void
take_line(Log *log, char *line)
{
	char *error = strstr(line, "FATAL:  ");

	if (error == NULL)
		error = strstr(line, "PANIC:  ");
	line[strcspn(line, "\n")] = '\0';
	log->is_paused |= strstr(line, "LOG:  pausing at the end of recovery") != NULL;
	log->is_promoted |= strstr(line, "LOG:  database system is ready to accept connections") != NULL;
	log->shuts_down |= strstr(line, "LOG:  shutdown at recovery target") != NULL;
	log->lacks_figures |= strstr(line, "insufficient parameter settings") != NULL;

	/* sessions that come before it lets them in */
	if (error != NULL && log->error[0] == '\0' && strstr(error, "the database system is ") == NULL)
		(void) snprintf(log->error, sizeof(log->error), "%.*s", (int) sizeof(log->error) - 1, error + strlen("FATAL:  "));
}

/* All complete lines that are new. */
static void
read_log(const Instance *instance, Log *log)
{
	char path[STORE_PATH_SIZE];
	char line[LINE_SIZE];
	long before;

	if (log->file == NULL)
	{
		path_of(instance, "log", path);
		log->file = fopen(path, "re");
	}
	if (log->file == NULL)
		return;
	clearerr(log->file);
	for (before = ftell(log->file); fgets(line, sizeof(line), log->file) != NULL; before = ftell(log->file))
	{
		if (strchr(line, '\n') == NULL && strlen(line) + 1 < sizeof(line))
		{
			(void) fseek(log->file, before, SEEK_SET);
			return;
		}
		take_line(log, line);
	}
}

/* Has the server ended?  One that is no child of this process ends with its lock. */
static bool
has_ended(Instance *instance)
{
	if (instance->pid == 0)
		return !instance_is_running(instance);
	if (waitpid(instance->pid, NULL, WNOHANG) != instance->pid)
		return false;
	instance->pid = 0;
	return true;
}

static InstanceEnd
is_there(const Instance *instance, const Log *log, Words *words)
{
	char path[STORE_PATH_SIZE];

	path_of(instance, "served", path);
	if (!files_write(path, "", words))
		return INSTANCE_FAILED;
	path_of(instance, "opened", path);
	if (!files_write(path, log->is_paused ? "read-only\n" : "read-write\n", words))
		return INSTANCE_FAILED;
	return log->is_paused ? INSTANCE_PAUSED : INSTANCE_PROMOTED;
}

static InstanceEnd
say_failure(const Log *log, Words *words)
{
	(void) words_set(words, "", "PostgreSQL has ended before it came to that state: %.900s",
					 log->error[0] != '\0' ? log->error : "it could not be run");
	return INSTANCE_FAILED;
}

/* Until it is there, or it has ended, or figures are missing. */
static InstanceEnd
follow(Instance *instance, Log *log, uint64_t until, Words *words)
{
	for (;;)
	{
		bool ended = has_ended(instance);

		read_log(instance, log);
		if (ended && log->shuts_down && instance->target.shuts_down)
			return INSTANCE_SHUT_DOWN;
		if (ended)
			return say_failure(log, words);
		if (log->is_paused || log->is_promoted)
			return is_there(instance, log, words);
		if (log->lacks_figures)
			return INSTANCE_FAILED;
		if (clock_now() >= until)
		{
			(void) words_set(words, "Give it a longer --timeout.", "PostgreSQL has not come to that state in time");
			return INSTANCE_FAILED;
		}
		(void) usleep(LOOK);
	}
}

/* ---- opening ---- */

InstanceEnd
instance_open(Instance *instance, bool ends_with_us, uint64_t timeout, Words *words)
{
	uint64_t	until = clock_now() + timeout;
	InstanceEnd end = INSTANCE_FAILED;
	Words		other;

	for (int i = 0; i < MOST_STARTS; i++)
	{
		Log log = {.file = NULL};

		if (!write_settings(instance, words) || !start(instance, ends_with_us, words))
			return INSTANCE_FAILED;
		end = follow(instance, &log, until, words);
		if (log.file != NULL)
			(void) fclose(log.file);
		if (end != INSTANCE_FAILED)
			return end;
		(void) instance_stop(instance, true, &other);

		/* pg_control has the primary's new ones before it says that they are missing */
		if (!log.lacks_figures)
			return end;
	}
	return end;
}

InstanceEnd
instance_await(Instance *instance, uint64_t timeout, Words *words)
{
	Log			log = {.file = NULL};
	InstanceEnd end = follow(instance, &log, clock_now() + timeout, words);

	if (log.file != NULL)
		(void) fclose(log.file);
	if (end == INSTANCE_FAILED && log.lacks_figures)
		(void) words_set(words, "Remove it with del_restored, and restore it again.", "PostgreSQL waits for settings as high as the primary had them");
	return end;
}

/* ---- stopping ---- */

/* Its postmaster; 0: there is none. */
static pid_t
postmaster(const Instance *instance)
{
	char	path[STORE_PATH_SIZE];
	char	text[2 * STORE_PATH_SIZE];
	char	name[64];
	ssize_t length;
	int		pid;

	if (!files_join(path, instance->upper, "postmaster.pid") || files_read(path, text, sizeof(text)) <= 0)
		return 0;
	pid = atoi(text);
	(void) snprintf(name, sizeof(name), "/proc/%d/cmdline", pid);
	length = pid > 0 ? files_read(name, text, sizeof(text)) : 0;

	/* the number may be another process's by now */
	return length > 0 && memmem(text, (size_t) length, instance->data, strlen(instance->data) + 1) != NULL ? pid : 0;
}

/* Until nothing of it runs. */
static bool
is_gone(Instance *instance, uint64_t bound)
{
	uint64_t until = clock_now() + bound;

	while (clock_now() < until)
	{
		/* a process that this one has started is there until it is waited for */
		if (has_ended(instance) && (instance->lock_fd >= 0 || !instance_is_running(instance)))
			return true;
		(void) usleep(LOOK);
	}
	return false;
}

bool
instance_stop(Instance *instance, bool at_once, Words *words)
{
	pid_t pid = instance->pid != 0 ? instance->pid : postmaster(instance);

	if (pid != 0)
		(void) kill(pid, at_once ? SIGQUIT : SIGINT);
	if (is_gone(instance, at_once ? KILL_BOUND : STOP_BOUND))
		return true;
	if (pid != 0)
		(void) kill(pid, SIGKILL);
	return is_gone(instance, KILL_BOUND) ||
		   words_set(words, "", "the server in \"%s\" does not end", instance->directory);
}
