/*
 * test/unit/test_inquiry.c
 *	  What the supervisor asks PostgreSQL for, and that it leaves out only what stands nowhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../supervisor/files.h"
#include "../../supervisor/inquiry.h"

#define NAME "pg_leader.notify_command"

static Command command;
static char	   directory[] = "/tmp/pg_leader_inquiry.XXXXXX";

static void
write_file(const char *name, const char *text, size_t size)
{
	char  path[STORE_PATH_SIZE];
	FILE *file;

	assert_true(files_join(path, directory, name));
	if (text == NULL)
	{
		(void) unlink(path);
		return;
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/* In place of PostgreSQL a script that tells what it was asked for. */
static int
set_up(void **state)
{
	static const char script[] = "#!/bin/sh\nwhile [ \"$1\" != -C ]; do shift; done\necho \"asked for $2\"\n";

	(void) state;
	assert_non_null(mkdtemp(directory));
	write_file("postgres", script, strlen(script));
	assert_true(files_join(command.program, directory, "postgres"));
	assert_int_equal(chmod(command.program, 0700), 0);
	(void) strcpy(command.directory, directory);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	write_file("postgres", NULL, 0);
	write_file("postgresql.conf", NULL, 0);
	write_file("postgresql.auto.conf", NULL, 0);
	return rmdir(directory);
}

static Asked
answer_to(const char *name)
{
	static const char *const names[] = {NAME, "data_directory"};
	const char				*value = NULL;
	Asked					 asked;
	Words					 words;

	assert_true(inquiry_begin(&command, names, 2, &words));
	asked = inquiry_answer(&command, name, &value, &words);
	if (asked == ASKED_FOUND)
	{
		assert_non_null(value);
		assert_memory_equal(value, "asked for ", strlen("asked for "));
		assert_string_equal(value + strlen("asked for "), name);
	}
	inquiry_end();
	return asked;
}

static Asked
answer_where(const char *conf, const char *automatic, const char *option)
{
	command.options = &option;
	command.n_options = option != NULL;
	write_file("postgresql.conf", conf, conf != NULL ? strlen(conf) : 0);
	write_file("postgresql.auto.conf", automatic, automatic != NULL ? strlen(automatic) : 0);
	return answer_to(NAME);
}

static void
what_stands_nowhere_is_not_asked_for(void **state)
{
	(void) state;
	assert_int_equal(answer_where(NULL, NULL, NULL), ASKED_NOT_SET);
	assert_int_equal(answer_where("", "", "port=5432"), ASKED_NOT_SET);
	assert_int_equal(answer_where("port = 1\n # " NAME " = 'x'\n#include 'y'\r\n#data_directory = 'ConfigDir'",
								  "pg_leader.notify_timeout = 1s\n", "pg_leader.node_id=1"),
					 ASKED_NOT_SET);
}

static void
what_stands_somewhere_is_asked_for(void **state)
{
	(void) state;
	assert_int_equal(answer_where(NAME " = 'x'", NULL, NULL), ASKED_FOUND);
	assert_int_equal(answer_where("# words\n\t PG_Leader.Notify_Command 'x' # more words", NULL, NULL), ASKED_FOUND);
	assert_int_equal(answer_where("# " NAME "\n" NAME "='x'\n", NULL, NULL), ASKED_FOUND);
	assert_int_equal(answer_where("port = 1 # without an end of line", NAME " = 'x'\n", NULL), ASKED_FOUND);
	assert_int_equal(answer_where(NULL, NAME " = 'x'\n", NULL), ASKED_FOUND);
	assert_int_equal(answer_where("", "", NAME "=x"), ASKED_FOUND);
	assert_int_equal(answer_where("", "", "--PG-leader.notify-command=x"), ASKED_FOUND);
}

static void
what_may_stand_elsewhere_is_asked_for(void **state)
{
	(void) state;
	assert_int_equal(answer_where("include 'x'", NULL, NULL), ASKED_FOUND);
	assert_int_equal(answer_where("port = 1\n  Include_Dir = 'conf.d'\n", NULL, NULL), ASKED_FOUND);
	assert_int_equal(answer_where("include_if_exists 'x'", NULL, NULL), ASKED_FOUND);
	assert_int_equal(answer_where("data_directory = '/var/lib/x'\n", NULL, NULL), ASKED_FOUND);
	assert_int_equal(answer_where("", NULL, "data_directory=/var/lib/x"), ASKED_FOUND);
	assert_int_equal(answer_where("", NULL, "--config-file=/etc/x"), ASKED_FOUND);
}

static void
what_cannot_be_read_through_is_asked_for(void **state)
{
	static char long_text[300000];

	(void) state;
	memset(long_text, '\n', sizeof(long_text) - 1);
	assert_int_equal(answer_where(long_text, NULL, NULL), ASKED_FOUND);
	assert_int_equal(answer_where("", NULL, NULL), ASKED_NOT_SET);
	write_file("postgresql.conf", "\0" NAME " = 'x'\n", strlen(NAME) + 8);
	assert_int_equal(answer_to(NAME), ASKED_FOUND);
}

static void
settings_of_postgresql_are_asked_for(void **state)
{
	(void) state;
	(void) answer_where("", NULL, NULL);
	assert_int_equal(answer_to("data_directory"), ASKED_FOUND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_stands_nowhere_is_not_asked_for),
		cmocka_unit_test(what_stands_somewhere_is_asked_for),
		cmocka_unit_test(what_may_stand_elsewhere_is_asked_for),
		cmocka_unit_test(what_cannot_be_read_through_is_asked_for),
		cmocka_unit_test(settings_of_postgresql_are_asked_for),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
