/*
 * keep/control.c
 *	  What pg_control says of a data directory.
 *
 * See control.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "postgres_fe.h"

#include <fcntl.h>
#include <unistd.h>

#include "catalog/pg_control.h"
#include "port/pg_crc32c.h"

#include "../supervisor/files.h"
#include "control.h"

/* A server that runs may be writing it: its checksum is wrong for a moment then. */
#define READS 20
#define PAUSE 5000 /* us */

static bool
is_whole(const ControlFileData *data)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, offsetof(ControlFileData, crc));
	FIN_CRC32C(crc);
	return EQ_CRC32C(crc, data->crc);
}

static bool
read_data(const char *path, ControlFileData *data, Words *words)
{
	for (int i = 0; i < READS; i++)
	{
		int		fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n;

		if (fd < 0)
			return files_fail(words, "", "open the file", path);
		n = read(fd, data, sizeof(*data));
		(void) close(fd);
		if (n == (ssize_t) sizeof(*data) && data->pg_control_version != PG_CONTROL_VERSION)
			return words_set(words, "Use the pg_leader_keep that was built for the cluster's version of PostgreSQL.",
							 "\"%s\" is of another version of PostgreSQL", path);
		if (n == (ssize_t) sizeof(*data) && is_whole(data))
			return true;
		(void) usleep(PAUSE);
	}
	return words_set(words, "", "\"%s\" is damaged", path);
}

bool
control_read(const char *data, Control *control, Words *words)
{
	ControlFileData found;
	char			path[STORE_PATH_SIZE];

	memset(control, 0, sizeof(*control));
	if (!files_join(path, data, "global/pg_control"))
		return words_set(words, "", "the path \"%s\" is too long", data);
	if (!read_data(path, &found, words))
		return false;
	control->system_id = found.system_identifier;
	control->segment_size = found.xlog_seg_size;
	control->redo = found.checkPointCopy.redo;
	control->end = found.minRecoveryPoint;
	control->end_timeline = found.minRecoveryPointTLI;
	control->is_stopped = found.state == DB_SHUTDOWNED_IN_RECOVERY;
	control->has_checksums = found.data_checksum_version != 0;
	control->figures = (ControlFigures){.max_connections = found.MaxConnections,
										.max_worker_processes = found.max_worker_processes,
										.max_wal_senders = found.max_wal_senders,
										.max_prepared_transactions = found.max_prepared_xacts,
										.max_locks_per_transaction = found.max_locks_per_xact};
	return true;
}
