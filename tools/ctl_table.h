/*
 * tools/ctl_table.h
 *	  Prints tables as psql does, and JSON.
 *
 * For pg_leaderctl.  Knows nothing of what it prints.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CTL_TABLE_COLUMNS 8

typedef struct CtlTable
{
	int				   n_columns; /* 1 .. CTL_TABLE_COLUMNS */
	const char *const *titles;
	const bool		  *right; /* aligned to the right? */
	int				   n_cells;
	char			 **cells;
} CtlTable;

/* The next cell, from left to right; copied. */
extern void ctl_table_add(CtlTable *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What was added is freed. */
extern void ctl_table_print(FILE *to, CtlTable *table);

/* A text as JSON to standard output; NULL: null. */
extern void ctl_json_text(const char *text);

/* A member of an object: "name": value.  first: no comma before it.  A number below 0: null. */
extern void ctl_json_name(const char *name, bool first);
extern void ctl_json_number(const char *name, int64_t value);

#endif /* CTL_TABLE_H */
