/*
 * supervisor/command.h
 *	  How postgres is called: as the server, and to tell a setting.
 *
 * Made by main.c of its own arguments.
 */
#ifndef PG_LEADER_COMMAND_H
#define PG_LEADER_COMMAND_H

#include "../node/store.h"

/* The exit status of a child that could not run the program. */
#define COMMAND_NOT_RUN 127

typedef struct Command
{
	char		 program[STORE_PATH_SIZE]; /* postgres, beside the supervisor's own program */
	char		 directory[STORE_PATH_SIZE];
	const char **options; /* -c NAME=VALUE..., and all behind "--" */
	int			 n_options;
} Command;

/*
 * Its arguments, from the program's name on, with those of "last" (up to NULL) behind them,
 * so that these count.  To be freed; NULL: out of memory.
 */
extern char **command_arguments(const Command *command, const char *const *last);

#endif /* PG_LEADER_COMMAND_H */
