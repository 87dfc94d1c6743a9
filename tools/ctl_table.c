/*
 * tools/ctl_table.c
 *	  Prints tables as psql does, and JSON.
 *
 * See ctl_table.h.
 */
#include "ctl_table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
ctl_table_add(CtlTable *table, const char *format, ...)
{
	va_list args;
	char  **cells = realloc(table->cells, sizeof(char *) * (size_t) (table->n_cells + 1));
	char   *text;

	va_start(args, format);
	if (cells == NULL || vasprintf(&text, format, args) < 0)
	{
		fputs("out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	va_end(args);
	table->cells = cells;
	table->cells[table->n_cells++] = text;
}

static void
print_cell(FILE *to, const char *text, int width, bool right, bool is_last)
{
	int padding = width - (int) strlen(text);

	if (padding < 0)
		padding = 0;
	fprintf(to, " %*s%s%*s", right ? padding : 0, "", text, right || is_last ? 0 : padding, "");
	fputs(is_last ? "\n" : " |", to);
}

void
ctl_table_print(FILE *to, CtlTable *table)
{
	int widths[CTL_TABLE_COLUMNS];
	int last = table->n_columns - 1;

	for (int i = 0; i <= last; i++)
	{
		widths[i] = (int) strlen(table->titles[i]);
		for (int j = i; j < table->n_cells; j += table->n_columns)
		{
			if ((int) strlen(table->cells[j]) > widths[i])
				widths[i] = (int) strlen(table->cells[j]);
		}
	}
	for (int i = 0; i <= last; i++)
		print_cell(to, table->titles[i], widths[i], false, i == last);
	for (int i = 0; i <= last; i++)
	{
		for (int j = 0; j < widths[i] + 2; j++)
			fputc('-', to);
		fputc(i == last ? '\n' : '+', to);
	}
	for (int j = 0; j < table->n_cells; j++)
	{
		int i = j % table->n_columns;

		print_cell(to, table->cells[j], widths[i], table->right[i], i == last);
		free(table->cells[j]);
	}
	free(table->cells);
	table->cells = NULL;
	table->n_cells = 0;
}

void
ctl_json_text(const char *text)
{
	if (text == NULL)
	{
		fputs("null", stdout);
		return;
	}
	putchar('"');
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char) *text < ' ')
			printf("\\u%04x", (unsigned) *text);
		else
			putchar(*text);
	}
	putchar('"');
}

void
ctl_json_name(const char *name, bool first)
{
	printf("%s\"%s\": ", first ? "" : ", ", name);
}

void
ctl_json_number(const char *name, int64_t value)
{
	ctl_json_name(name, false);
	if (value < 0)
		fputs("null", stdout);
	else
		printf("%" PRId64, value);
}
