/*
 * keep/metrics.c
 *	  Metrics of an archive in the text format of Prometheus.
 *
 * See metrics.h.
 */
#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>

static void
begin_metric(const char *name, const char *help)
{
	printf("# HELP pg_leader_keep_%s %s\n# TYPE pg_leader_keep_%s gauge\n", name, help, name);
}

static void
print_label(const char *name, const char *value)
{
	printf("%s=\"", name);
	for (; *value != '\0'; value++)
	{
		if (*value == '"' || *value == '\\')
			putchar('\\');
		putchar(*value);
	}
	putchar('"');
}

void
metrics_print(const char *archive, const char *name, const char *help, uint64_t value)
{
	begin_metric(name, help);
	printf("pg_leader_keep_%s{", name);
	print_label("archive", archive);
	printf("} %" PRIu64 "\n", value);
}

void
metrics_print_storage(const char *archive, const char *storage, const char *state, bool holds, bool first)
{
	if (first)
		begin_metric("storage_holds", "1: this member could send the archive what it lacks.");
	printf("pg_leader_keep_storage_holds{");
	print_label("archive", archive);
	putchar(',');
	print_label("storage", storage);
	putchar(',');
	print_label("state", state);
	printf("} %d\n", holds);
}
