/*
 * supervisor/files.c
 *	  Paths and files, with words for what fails.
 *
 * See files.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/file_utils.h"

#include "files.h"

#define HINT_OWNER "It has to belong to the user that runs this program."

#define COPIED_AT_ONCE (1024 * 1024)

bool
files_fail(Words *words, const char *hint, const char *doing, const char *path)
{
	return words_set(words, hint, "could not %s \"%s\": %s", doing, path, strerror(errno));
}

bool
files_join(char *path, const char *directory, const char *name)
{
	if (snprintf(path, STORE_PATH_SIZE, "%s/%s", directory, name) < STORE_PATH_SIZE)
		return true;
	path[0] = '\0';
	return false;
}

ssize_t
files_read(const char *path, char *text, size_t size)
{
	int		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t length;
	int		failure;

	if (fd < 0)
		return -1;
	length = read(fd, text, size - 1);
	failure = errno;
	(void) close(fd);
	errno = failure;
	text[length > 0 ? length : 0] = '\0';
	return length;
}

bool
files_exists(const char *path)
{
	struct stat kind;

	return lstat(path, &kind) == 0;
}

bool
files_is_directory(const char *directory, const char *name)
{
	char		path[STORE_PATH_SIZE];
	struct stat kind;

	return files_join(path, directory, name) && stat(path, &kind) == 0 && S_ISDIR(kind.st_mode);
}

/* Before Linux 5.8 only another device tells it. */
bool
files_is_mount(const char *directory, const char *name)
{
	char		 path[STORE_PATH_SIZE];
	struct statx entry;
	struct stat	 here;

	if (!files_join(path, directory, name) || statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &entry) != 0 ||
		stat(directory, &here) != 0)
		return false;
	if ((entry.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0)
		return (entry.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
	return makedev(entry.stx_dev_major, entry.stx_dev_minor) != here.st_dev;
}

bool
files_sync_directory(const char *path, Words *words)
{
	int	 fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;

	if (!done)
		(void) files_fail(words, "", "write the directory", path);
	if (fd >= 0)
		(void) close(fd);
	return done;
}

/* durable_rename() of libpgcommon cannot do it for directories. */
bool
files_rename(const char *from, const char *to, Words *words)
{
	return (rename(from, to) == 0 && fsync_parent_path(to) == 0) || files_fail(words, HINT_OWNER, "rename to", to);
}

/* The descriptor is closed, whatever comes of it. */
static bool
finish(int fd, bool good, const char *path, Words *words)
{
	good = good && fsync(fd) == 0;
	if (!good)
		(void) files_fail(words, HINT_OWNER, "write the file", path);
	(void) close(fd);
	return good;
}

static bool
write_all(int fd, const char *bytes, size_t length)
{
	errno = 0;
	if (write(fd, bytes, length) == (ssize_t) length)
		return true;
	if (errno == 0)
		errno = ENOSPC; /* a part of it was written */
	return false;
}

bool
files_write(const char *path, const char *text, Words *words)
{
	char new[STORE_PATH_SIZE];
	int	   fd;
	size_t length = strlen(text);

	if (snprintf(new, sizeof(new), "%s.new", path) >= (int) sizeof(new))
		return words_set(words, "", "the path \"%s\" is too long", path);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return files_fail(words, HINT_OWNER, "create the file", new);
	if (!finish(fd, write_all(fd, text, length), new, words))
		return false;
	return files_rename(new, path, words);
}

static bool
copy_bytes(int from, int to)
{
	static char buffer[COPIED_AT_ONCE];
	ssize_t		n;

	while ((n = read(from, buffer, sizeof(buffer))) > 0)
	{
		if (!write_all(to, buffer, (size_t) n))
			return false;
	}
	return n == 0;
}

bool
files_copy(const char *from, const char *to, size_t most, Words *words)
{
	int			in = open(from, O_RDONLY | O_CLOEXEC);
	struct stat kind;
	int			out;
	bool		good;

	if (in < 0 || fstat(in, &kind) != 0)
	{
		(void) files_fail(words, "", "read the file", from);
		if (in >= 0)
			(void) close(in);
		return false;
	}
	if (most != 0 && (size_t) kind.st_size > most)
	{
		(void) close(in);
		return words_set(words, "", "the file \"%s\" is too large", from);
	}
	(void) unlink(to);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kind.st_mode & 07777);
	good = out >= 0 && fchmod(out, kind.st_mode & 07777) == 0;
	good = out >= 0 ? finish(out, good && copy_bytes(in, out), to, words) : files_fail(words, HINT_OWNER, "create the file", to);
	(void) close(in);
	return good;
}

bool
files_remove_tree(const char *path, Words *words)
{
	struct stat kind;

	if (lstat(path, &kind) != 0)
		return errno == ENOENT || files_fail(words, HINT_OWNER, "look at", path);

	/* rmtree() would follow a link, and empty what it leads to */
	if (!S_ISDIR(kind.st_mode))
		return unlink(path) == 0 || files_fail(words, HINT_OWNER, "remove the file", path);
	return rmtree(path, true) ||
		   words_set(words, "Remove it, or make it possible for the user that runs the server.", "could not remove the directory \"%s\"", path);
}

uint64_t
files_room(const char *path)
{
	struct statvfs room;

	return statvfs(path, &room) == 0 ? (uint64_t) room.f_bavail * room.f_frsize : UINT64_MAX;
}

static int
is_entry(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

bool
files_each(const char *path, bool (*each)(const char *directory, const char *name, void *context, Words *words),
		   void *context, Words *words)
{
	struct dirent **entries;
	int				n = scandir(path, &entries, is_entry, alphasort);
	bool			good = n >= 0;

	if (!good)
		return files_fail(words, "", "read the directory", path);
	for (int i = 0; i < n; i++)
	{
		good = good && each(path, entries[i]->d_name, context, words);
		free(entries[i]);
	}
	free(entries);
	return good;
}
