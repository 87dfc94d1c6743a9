/*
 * keep/instance_files.c
 *	  The configuration of an instance.
 *
 * See instance.h for what it must not have.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "instance_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../supervisor/files.h"
#include "keep.h"

#define CONFIG_SIZE	 (16 * STORE_PATH_SIZE)
#define COMMAND_SIZE (8 * STORE_PATH_SIZE)

const char *const instance_foreign_files[] = {
	"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf", "postmaster.pid", "postmaster.opts",
	"standby.signal", "recovery.signal", "current_logfiles", "logrotate", "promote", NULL};

/* As a word for the shell, with "%" as restore_command wants it. */
static void
quote_for_shell(char *to, const char *from)
{
	*to++ = '\'';
	for (; *from != '\0'; from++)
	{
		if (*from == '\'')
			to = stpcpy(to, "'\\'");
		if (*from == '%')
			*to++ = '%';
		*to++ = *from;
	}
	(void) strcpy(to, "'");
}

/* name = 'value' */
static void
put(FILE *file, const char *name, const char *value)
{
	fprintf(file, "%s = '", name);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			fputc(*value, file);
		fputc(*value, file);
	}
	fputs("'\n", file);
}

static void
put_restore_command(FILE *file, const Archive *archive)
{
	char program[STORE_PATH_SIZE];
	char quoted[4 * STORE_PATH_SIZE];
	char directory[4 * STORE_PATH_SIZE];
	char command[COMMAND_SIZE + 64];

	(void) files_join(program, instance_programs(), KEEP_PROGRAM);
	quote_for_shell(quoted, program);
	quote_for_shell(directory, archive->path);
	(void) snprintf(command, sizeof(command), "%.*s -A %.*s get %%f %%p", COMMAND_SIZE / 2, quoted, COMMAND_SIZE / 2, directory);
	put(file, "restore_command", command);
}

static void
put_target(FILE *file, const InstanceTarget *target)
{
	if (target->name[0] != '\0')
		put(file, "recovery_target_name", target->name);
	else
		fprintf(file, "recovery_target_lsn = '%X/%08X'\n", (unsigned int) (target->record >> 32), (unsigned int) target->record);
	fprintf(file, "recovery_target_inclusive = on\nrecovery_target_timeline = '%" PRIu32 "'\nrecovery_target_action = '%s'\n",
			target->timeline, target->shuts_down ? "shutdown" : "pause");
}

/* The list of directories has its own quotes. */
static void
put_socket(FILE *file, const char *directory)
{
	char  list[2 * STORE_PATH_SIZE + 4];
	char *to = list;

	*to++ = '"';
	for (; *directory != '\0'; directory++)
	{
		if (*directory == '"')
			*to++ = '"';
		*to++ = *directory;
	}
	(void) strcpy(to, "\"");
	put(file, "unix_socket_directories", list);
}

static void
put_figures(FILE *file, const ControlFigures *figures)
{
	fprintf(file, "max_connections = %d\nmax_worker_processes = %d\nmax_wal_senders = %d\n"
				  "max_prepared_transactions = %d\nmax_locks_per_transaction = %d\n",
			figures->max_connections, figures->max_worker_processes, figures->max_wal_senders,
			figures->max_prepared_transactions, figures->max_locks_per_transaction);
}

static bool
write_settings(const Instance *instance, const ControlFigures *figures, Words *words)
{
	static char text[CONFIG_SIZE];
	char		path[STORE_PATH_SIZE];
	FILE	   *file = fmemopen(text, sizeof(text), "w");

	if (file == NULL)
		return words_set(words, "", "out of memory");
	fputs("# Written by " KEEP_PROGRAM ".\n"
		  "listen_addresses = ''\nport = 5432\nunix_socket_permissions = 0700\nssl = off\n"
		  "shared_preload_libraries = ''\narchive_mode = off\nhot_standby = on\n"
		  "synchronous_standby_names = ''\nprimary_conninfo = ''\nprimary_slot_name = ''\nmax_logical_replication_workers = 0\n"
		  "logging_collector = off\nlog_destination = 'stderr'\nlog_line_prefix = '%m [%p] '\n"
		  "log_checkpoints = off\nlc_messages = 'C'\nrecovery_init_sync_method = syncfs\n",
		  file);
	if (instance->target.is_unsafe)
		fputs("fsync = off\n", file);
	put_socket(file, instance->directory);
	(void) files_join(path, instance->directory, "pg_hba.conf");
	put(file, "hba_file", path);
	(void) files_join(path, instance->directory, "pg_ident.conf");
	put(file, "ident_file", path);
	put_restore_command(file, instance->archive);
	put_target(file, &instance->target);
	put_figures(file, figures);
	if (ferror(file) != 0 || fclose(file) != 0)
		return words_set(words, "", "the configuration for \"%s\" is too long", instance->directory);
	(void) files_join(path, instance->directory, "postgresql.conf");
	return files_write(path, text, words);
}

static bool
write_file(const char *directory, const char *name, const char *text, Words *words)
{
	char path[STORE_PATH_SIZE];

	return files_join(path, directory, name) && files_write(path, text, words);
}

bool
instance_files_write(const Instance *instance, const ControlFigures *figures, Words *words)
{
	/* whoever may enter the directory owns the data */
	return write_file(instance->directory, "pg_hba.conf", "local all all trust\n", words) &&
		   write_file(instance->directory, "pg_ident.conf", "", words) && write_settings(instance, figures, words);
}
