/*
 * supervisor/program.h
 *	  Programs of PostgreSQL that the job's process runs: it reads what they say.
 */
#ifndef PG_LEADER_PROGRAM_H
#define PG_LEADER_PROGRAM_H

#include "../node/words.h"

typedef struct Program
{
	const char		  *directory; /* where it is */
	const char		  *name;
	const char *const *arguments; /* up to NULL, without the program's name */

	/* Called for each line of what it writes to standard error; false: kill it. */
	bool (*line)(const char *line, void *context);

	/* And to standard output; NULL: that is thrown away. */
	bool (*output)(const char *line, void *context);
	void *context;

	/* If it writes nothing for so many ms, it is killed; 0: it may take its time. */
	int patience;
} Program;

/*
 * Run it to its end; it is killed if this process ends.  false: it was not run, or has failed:
 * the words have the last line that it wrote to standard error.
 */
extern bool program_run(const Program *program, Words *words);

#endif /* PG_LEADER_PROGRAM_H */
