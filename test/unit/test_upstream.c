/*
 * test/unit/test_upstream.c
 *	  The connection string for another member, as libpq reads it.
 *
 * What servers answer is in test/t/042_upstream.pl.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "../../node/upstream.h"

static char	 conninfo[1024];
static Words words;

static void
build(const char *parameters)
{
	assert_true(upstream_conninfo(parameters, "10.0.0.1", 5433, "pg_leader_3", conninfo, sizeof(conninfo), &words));
	assert_string_equal(words.error, "");
}

/* What libpq reads as that parameter. */
static void
assert_value(const char *keyword, const char *expected)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);

	assert_non_null(options);
	for (PQconninfoOption *option = options; option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, keyword) != 0)
			continue;
		if (expected == NULL)
			assert_null(option->val);
		else
			assert_string_equal(option->val, expected);
		PQconninfoFree(options);
		return;
	}
	fail_msg("libpq does not know %s", keyword);
}

static void
says_who_and_to_whom(void **state)
{
	(void) state;
	build("user=replicator sslmode=require");
	assert_string_equal(conninfo, "host=10.0.0.1 port=5433 dbname=postgres application_name=pg_leader_3 user=replicator sslmode=require "
								  "keepalives_idle=2 keepalives_interval=1 keepalives_count=3 tcp_user_timeout=5000");
	build("");
	assert_value("host", "10.0.0.1");
	assert_value("port", "5433");
	assert_value("application_name", "pg_leader_3");
	assert_value("user", NULL);
	assert_true(upstream_conninfo("", "2001:db8::1", 65535, "x", conninfo, sizeof(conninfo), &words));
	assert_value("host", "2001:db8::1");
	assert_value("port", "65535");
}

static void
keepalives_are_the_users_if_set(void **state)
{
	(void) state;
	build("keepalives_count=9 tcp_user_timeout=0");
	assert_value("keepalives_count", "9");
	assert_value("tcp_user_timeout", "0");
	assert_value("keepalives_idle", "2");
	assert_int_equal(strstr(strstr(conninfo, "keepalives_count") + 1, "keepalives_count") != NULL, false);
}

/* Spaces, quotes, backslashes, nothing at all, and what looks like another parameter. */
static void
any_value_survives(void **state)
{
	static const char *const values[] = {"it's", "back\\slash", "\\", "'", "a b", "x host=10.0.0.9", "\t", "\xc3\xa4", "' host='10.0.0.9"};

	(void) state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		char   parameters[128] = "passfile='";
		size_t n = strlen(parameters);

		for (const char *c = values[i]; *c != '\0'; c++)
		{
			if (*c == '\'' || *c == '\\')
				parameters[n++] = '\\';
			parameters[n++] = *c;
		}
		memcpy(parameters + n, "' user=u", sizeof("' user=u"));
		build(parameters);
		assert_value("passfile", values[i]);
		assert_value("host", "10.0.0.1");
		assert_value("user", "u");
	}
	build("sslcert='' user=u");
	assert_value("sslcert", "");
	assert_value("user", "u");
	assert_true(upstream_conninfo("user=u", "a host=b", 1, "it's", conninfo, sizeof(conninfo), &words));
	assert_value("host", "a host=b");
	assert_value("application_name", "it's");
	build("postgresql://u@/?sslmode=require");
	assert_value("user", "u");
	assert_value("sslmode", "require");
}

static void
what_is_ours_is_refused(void **state)
{
	static const char *const refused[] = {"host", "hostaddr", "port", "dbname", "replication", "application_name", "options", "service"};

	(void) state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		char parameters[64];
		char expected[128];

		(void) snprintf(parameters, sizeof(parameters), "user=u %s=1", refused[i]);
		(void) snprintf(expected, sizeof(expected), "the parameters for replication set \"%s\"", refused[i]);
		assert_false(upstream_conninfo(parameters, "10.0.0.1", 5432, "x", conninfo, sizeof(conninfo), &words));
		assert_string_equal(words.error, expected);
		assert_string_equal(words.hint, "Leave it out: pg_leader sets it.");
	}
	assert_false(upstream_conninfo("no_such=1", "10.0.0.1", 5432, "x", conninfo, sizeof(conninfo), &words));
	assert_string_equal(words.error, "the parameters for replication cannot be read: invalid connection option \"no_such\"");
	assert_false(upstream_conninfo("user='u", "10.0.0.1", 5432, "x", conninfo, sizeof(conninfo), &words));
	assert_string_equal(words.error, "the parameters for replication cannot be read: unterminated quoted string in connection info string");
}

/* Of any size: it is whole, or it is said that it is not. */
static void
too_long_is_said(void **state)
{
	size_t length;

	(void) state;
	build("passfile='it\\'s' user=u");
	length = strlen(conninfo);
	for (size_t size = 1; size <= length + 2; size++)
	{
		char *exact = malloc(size); /* so that a sanitizer sees what is written behind it */

		assert_int_equal(upstream_conninfo("passfile='it\\'s' user=u", "10.0.0.1", 5433, "pg_leader_3", exact, size, &words), size > length);
		assert_string_equal(words.error, size > length ? "" : "the parameters for replication are too long");
		free(exact);
	}
}

/* As libpq finds it; false: it does not, or there is no room for it. */
static void
the_role_is_the_users_or_libpqs_default(void **state)
{
	char user[16] = "";

	(void) state;
	assert_int_equal(setenv("PGUSER", "from_environ", 1), 0);
	assert_true(upstream_user("sslmode=require user='it\\'s me'", user, sizeof(user)));
	assert_string_equal(user, "it's me");
	assert_true(upstream_user("postgresql://u@/?sslmode=require", user, sizeof(user)));
	assert_string_equal(user, "u");
	assert_true(upstream_user("", user, sizeof(user)));
	assert_string_equal(user, "from_environ");
	assert_false(upstream_user("", user, sizeof("from_environ") - 1));
	assert_true(upstream_user("", user, sizeof("from_environ")));
	assert_false(upstream_user("no_such=1", user, sizeof(user)));
	assert_false(upstream_user("user='u", user, sizeof(user)));
	assert_int_equal(unsetenv("PGUSER"), 0);
}

static void
without_a_connection_there_is_no_answer(void **state)
{
	Upstream		 upstream;
	UpstreamIdentity identity;
	char			 byte;
	size_t			 length;

	(void) state;
	upstream_init(&upstream, 3, 1000, NULL);
	assert_false(upstream_identify(&upstream, &identity, &words));
	assert_string_equal(words.error, "there is no connection");
	assert_false(upstream_history(&upstream, 2, &byte, &length, &words));
	assert_int_equal(upstream_read(&upstream, 1, 0, 1, &byte, &words), UPSTREAM_FAILED);
	upstream_close(&upstream);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_who_and_to_whom),
		cmocka_unit_test(keepalives_are_the_users_if_set),
		cmocka_unit_test(any_value_survives),
		cmocka_unit_test(what_is_ours_is_refused),
		cmocka_unit_test(too_long_is_said),
		cmocka_unit_test(the_role_is_the_users_or_libpqs_default),
		cmocka_unit_test(without_a_connection_there_is_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
