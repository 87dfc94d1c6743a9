/*
 * keep/clone.c
 *	  A directory that is the same as another one, and can be written without changing that one.
 *
 * See clone.h.  An overlay is mounted in a user name space of this process's own, in which its
 * user is itself: that needs no root, and PostgreSQL, which refuses to run as root, runs there.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "clone.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../node/store.h"
#include "../supervisor/files.h"

#define COPIED_AT_ONCE (64 * 1024 * 1024)

/* What each overlay has. */
#define DATA	"data"
#define UPPER	"upper"
#define OVERLAY "overlay"

static const char *const names[] = {
	[CLONE_ANY] = "any", [CLONE_REFLINK] = "reflink", [CLONE_OVERLAY] = "overlay", [CLONE_COPY] = "copy"};

const char *
clone_name(CloneMethod method)
{
	return names[method];
}

CloneMethod
clone_method(const char *name)
{
	for (int method = CLONE_REFLINK; method <= CLONE_COPY; method++)
	{
		if (strcmp(name, names[method]) == 0)
			return (CloneMethod) method;
	}
	return CLONE_ANY;
}

/* ---- files ---- */

/* The descriptors of a file and of its clone, which is new; false: errno says why not. */
static bool
open_both(const char *from, const char *to, int *in, int *out)
{
	struct stat kind;

	*out = -1;
	*in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*in < 0 || fstat(*in, &kind) != 0)
		return false;
	*out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kind.st_mode & 0777);
	return *out >= 0 && fchmod(*out, kind.st_mode & 0777) == 0;
}

static bool
copy_bytes(int in, int out)
{
	ssize_t n;

	while ((n = copy_file_range(in, NULL, out, NULL, COPIED_AT_ONCE, 0)) > 0)
		continue;
	return n == 0;
}

static bool
clone_file(CloneMethod method, const char *from, const char *to)
{
	int	 in;
	int	 out;
	bool done = open_both(from, to, &in, &out) && (method == CLONE_REFLINK ? ioctl(out, FICLONE, in) == 0 : copy_bytes(in, out));
	int	 failure = errno;

	if (in >= 0)
		(void) close(in);
	if (out >= 0 && close(out) != 0 && done)
		return false;
	errno = failure;
	return done;
}

bool
clone_has_reflinks(const char *from, const char *to)
{
	char source[STORE_PATH_SIZE];
	char target[STORE_PATH_SIZE];
	bool done;

	if (!files_join(source, from, "PG_VERSION") || !files_join(target, to, "reflink"))
		return false;
	(void) unlink(target);
	done = clone_file(CLONE_REFLINK, source, target);
	(void) unlink(target);
	return done;
}

/* ---- trees ---- */

typedef struct Target
{
	CloneMethod method;
	const char *path;
} Target;

static bool
clone_entry(const char *directory, const char *name, void *context, Words *words)
{
	const Target *target = context;
	char		  from[STORE_PATH_SIZE];
	char		  to[STORE_PATH_SIZE];
	struct stat	  kind;

	if (!files_join(from, directory, name) || !files_join(to, target->path, name))
		return words_set(words, "", "the path of \"%s\" in \"%s\" is too long", name, target->path);
	if (lstat(from, &kind) != 0)
		return files_fail(words, "", "look at", from);
	if (S_ISDIR(kind.st_mode))
		return clone_tree(target->method, from, to, words);
	if (!S_ISREG(kind.st_mode))
		return words_set(words, "", "\"%s\" is no regular file", from);
	return clone_file(target->method, from, to) ||
		   files_fail(words, errno == ENOSPC ? "Make room there." : "", target->method == CLONE_REFLINK ? "clone a file to" : "copy a file to", to);
}

bool
clone_tree(CloneMethod method, const char *from, const char *to, Words *words)
{
	Target		target = {.method = method, .path = to};
	struct stat kind;

	if (stat(from, &kind) != 0)
		return files_fail(words, "", "look at", from);
	if (mkdir(to, kind.st_mode & 0777) != 0 || chmod(to, kind.st_mode & 0777) != 0)
		return files_fail(words, "", "create the directory", to);
	return files_each(from, clone_entry, &target, words);
}

static uint64_t size_found;

static int
add_size(const char *path, const struct stat *kind, int type, struct FTW *where)
{
	(void) path;
	(void) type;
	(void) where;
	size_found += (uint64_t) kind->st_blocks * 512;
	return 0;
}

uint64_t
clone_size(const char *path)
{
	size_found = 0;
	(void) nftw(path, add_size, 32, FTW_PHYS);
	return size_found;
}

bool
clone_flush(const char *path, Words *words)
{
	int	 fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && syncfs(fd) == 0;

	if (!done)
		(void) files_fail(words, "", "write the directory", path);
	if (fd >= 0)
		(void) close(fd);
	return done;
}

/* ---- overlays ---- */

static bool
write_to(const char *path, const char *text)
{
	int	 fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text);

	if (fd >= 0)
		(void) close(fd);
	return done;
}

/* In them, this process may mount; its user and group are the same. */
static bool
enter_name_spaces(void)
{
	static bool is_there;
	char		users[64];
	char		groups[64];

	if (is_there)
		return true;
	(void) snprintf(users, sizeof(users), "%u %u 1", geteuid(), geteuid());
	(void) snprintf(groups, sizeof(groups), "%u %u 1", getegid(), getegid());
	is_there = unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_to("/proc/self/setgroups", "deny") &&
			   write_to("/proc/self/uid_map", users) && write_to("/proc/self/gid_map", groups) &&
			   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return is_there;
}

/* What would separate options of the mount. */
static bool
has_special(const char *path)
{
	return strpbrk(path, ",:\\\"") != NULL;
}

bool
clone_mount(const char *lower, const char *directory, Words *words)
{
	char options[4 * STORE_PATH_SIZE];
	char data[STORE_PATH_SIZE];

	if (has_special(lower) || has_special(directory) || !files_join(data, directory, DATA))
		return words_set(words, "Use another --method, or another place for the archive.", "no overlay can be mounted on \"%s\": the path has special characters", directory);
	if (!enter_name_spaces())
		return words_set(words, "Use another --method, or allow user name spaces (sysctl user.max_user_namespaces).",
						 "could not create a user name space: %s", strerror(errno));
	(void) snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s/" UPPER ",workdir=%s/" OVERLAY ",userxattr", lower, directory, directory);
	return mount("overlay", data, "overlay", 0, options) == 0 ||
		   words_set(words, "Use another --method. Overlays without root need Linux 5.11, and a file system that has extended attributes.",
					 "could not mount an overlay on \"%s\": %s", data, strerror(errno));
}

void
clone_unmount(const char *directory)
{
	char data[STORE_PATH_SIZE];

	if (files_join(data, directory, DATA))
		(void) umount2(data, MNT_DETACH);
}

static bool
make_trial(const char *directory)
{
	static const char *const parts[] = {"", DATA, UPPER, OVERLAY};
	char					 path[STORE_PATH_SIZE];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		if (!files_join(path, directory, parts[i]) || mkdir(path, S_IRWXU) != 0)
			return false;
	}
	return true;
}

bool
clone_has_overlays(const char *lower, const char *directory)
{
	char  trial[STORE_PATH_SIZE];
	char  made[STORE_PATH_SIZE];
	Words words;
	pid_t pid;
	int	  status = 1;

	if (!files_join(trial, directory, "trial") || !files_remove_tree(trial, &words) || !make_trial(trial))
		return false;
	pid = fork();
	if (pid == 0)
		_exit(clone_mount(lower, trial, &words) ? 0 : 1);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;

	/* the kernel's own directory in there is nobody's to read */
	if (files_join(made, trial, OVERLAY "/work"))
		(void) chmod(made, S_IRWXU);
	(void) files_remove_tree(trial, &words);
	return pid > 0 && status == 0;
}
