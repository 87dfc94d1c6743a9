/*
 * supervisor/command.c
 *	  How postgres is called.
 *
 * See command.h.
 */
#include "command.h"

#include <stdlib.h>

char **
command_arguments(const Command *command, const char *const *last)
{
	const char **arguments;
	int			 n = 0;
	int			 n_last = 0;

	while (last[n_last] != NULL)
		n_last++;
	arguments = calloc((size_t) (command->n_options + n_last) + 4, sizeof(char *));
	if (arguments == NULL)
		return NULL;
	arguments[n++] = command->program;
	arguments[n++] = "-D";
	arguments[n++] = command->directory;
	for (int i = 0; i < command->n_options; i++)
		arguments[n++] = command->options[i];
	for (int i = 0; i < n_last; i++)
		arguments[n++] = last[i];
	return (char **) arguments;
}
