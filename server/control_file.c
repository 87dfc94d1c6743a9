/*
 * server/control_file.c
 *	  What pg_control says, read without raising errors.
 *
 * See control_file.h.  PostgreSQL's own get_controlfile() raises them.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "port/pg_crc32c.h"

#include "server/control_file.h"

/* A file that is just being written is read again so often, a millisecond later. */
#define READS 10

static bool
read_once(ControlFileData *control, Words *words)
{
	int		file = open(XLOG_CONTROL_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (file < 0)
		return words_set(words, NULL, "could not open \"%s\": %s", XLOG_CONTROL_FILE, strerror(errno));
	length = read(file, control, sizeof(*control));
	if (length != (ssize_t) sizeof(*control))
		(void) words_set(words, NULL, "could not read \"%s\": %s", XLOG_CONTROL_FILE,
						 length < 0 ? strerror(errno) : "it is too short");
	(void) close(file);
	return length == (ssize_t) sizeof(*control);
}

bool
control_file_read(ControlFileData *control, Words *words)
{
	int i;

	for (i = 0; i < READS; i++)
	{
		pg_crc32c crc;

		if (!read_once(control, words))
			return false;
		INIT_CRC32C(crc);
		COMP_CRC32C(crc, control, offsetof(ControlFileData, crc));
		FIN_CRC32C(crc);
		if (EQ_CRC32C(crc, control->crc))
			return true;
		pg_usleep(1000);
	}
	return words_set(words, NULL, "the checksum of \"%s\" is wrong", XLOG_CONTROL_FILE);
}

TimeLineID
control_file_timeline(const ControlFileData *control)
{
	return Max(control->checkPointCopy.ThisTimeLineID, control->minRecoveryPointTLI);
}
