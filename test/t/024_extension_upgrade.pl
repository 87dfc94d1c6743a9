# test/t/024_extension_upgrade.pl
#	  A primary and its two standbys get the next version of pg_leader one after the
#	  other, and then ALTER EXTENSION pg_leader UPDATE: there is a leader all the time,
#	  and what comes out is what CREATE EXTENSION makes.  And what is said when the
#	  order was another one.
#
# The next version is made here, by changing a copy of the tree: it has one function
# more, one column more in a view, and the two scripts that belong to that.  Versions
# that have been released, and their upgrade scripts, are found in the tree.
#
# An upgrade script that makes C functions begins with one of them, in a block that
# gives a missing one a hint, as $next_library_needed does here: a server that has not been
# restarted yet runs the older library.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PgLeaderUpgrade;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the installation of PostgreSQL cannot be copied; run this by test/run.sh'
  unless PgLeaderUpgrade::is_possible();

my ($current) = PgLeaderUpgrade::slurp("$PgLeaderUpgrade::TREE/pg_leader.control") =~ /^default_version\s*=\s*'(.*)'/m
  or die 'pg_leader.control has no default_version';

# ---- the next version ----

use constant NEXT_COLUMN => "    OUT paused bool,\n    OUT next text)";

my $next_function = q{CREATE FUNCTION pg_leader_next()
RETURNS text
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
};

my $next_library_needed = qq{DO \$\$
BEGIN
$next_function
EXCEPTION WHEN undefined_function THEN
	RAISE EXCEPTION 'the pg_leader library of this server is older than the objects of the extension'
		USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Install the new version of pg_leader on this server, restart it, and repeat the command.';
END
\$\$;
};

my $next_privileges = q{
COMMENT ON FUNCTION pg_leader_next() IS
'what comes next';

REVOKE ALL ON FUNCTION pg_leader_next() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_leader_next() TO pg_monitor;
};

# What the script of the current version says of pg_leader_status, with the new column.
sub next_status
{
	my ($script) = @_;
	my ($function) = $script =~ /^(CREATE FUNCTION pg_leader_get_status\(.*?;\n\nCOMMENT ON FUNCTION .*?;\n)/ms or die;
	my ($view) = $script =~ /^(CREATE VIEW pg_leader_status AS.*?;\n\nCOMMENT ON VIEW .*?;\n)/ms or die;

	$function =~ s/    OUT paused bool\)/${\NEXT_COLUMN}/ or die;
	return "$function\n$view";
}

sub make_next
{
	my $full = PgLeaderUpgrade::slurp("pg_leader--$current.sql");
	my $status = next_status($full);
	my $upgrade = "$next_library_needed$next_privileges
DROP VIEW pg_leader_status;
DROP FUNCTION pg_leader_get_status();
$status
GRANT SELECT ON pg_leader_status TO PUBLIC;
";

	append_to_file("pg_leader--$current--next.sql", $upgrade);
	$full =~ s/    OUT paused bool\)\nAS/${\NEXT_COLUMN}\nAS/ or die;
	append_to_file('pg_leader--next.sql', "$full\n$next_function$next_privileges");
	PgLeaderUpgrade::edit('pg_leader.control', sub { s/^(default_version\s*=\s*)'.*'/$1'next'/m });
	PgLeaderUpgrade::edit('server/status.c',
		sub { s/(\npg_leader_get_status\(PG_FUNCTION_ARGS\).*?)(\tPG_RETURN_DATUM\(return_row)/$1\tadd_text(&row, "next");\n$2/s });
	append_to_file('server/next.c', q{
#include "postgres.h"
#include "server/row.h"
EXPORTED_FUNCTION(pg_leader_next);
Datum
pg_leader_next(PG_FUNCTION_ARGS)
{
	require_library();
	PG_RETURN_TEXT_P(cstring_to_text("next"));
}
});
	return;
}

my $next_tree = PgLeaderUpgrade::build('next', \&make_next);

# ---- what comes out of an upgrade ----

# Everything that makes an object what it is, for all objects of the extension.
my $describe = q{
WITH member AS (
	SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
	FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'pg_leader' AND d.deptype = 'e'),
acl AS (
	SELECT 'pg_proc'::regclass::oid AS classid, oid AS objid, proowner AS owner, proacl AS acl FROM pg_proc
	UNION ALL SELECT 'pg_class'::regclass::oid, oid, relowner, relacl FROM pg_class)
SELECT format('extension: version %s, relocatable %s, %s', extversion, extrelocatable,
	obj_description(oid, 'pg_extension')) FROM pg_extension WHERE extname = 'pg_leader'
UNION ALL SELECT format('%s: exists', name) FROM member
UNION ALL SELECT format('%s: comment %s', name, obj_description(objid, (SELECT relname FROM pg_class c WHERE c.oid = classid))) FROM member
UNION ALL SELECT format('%s: %s', name, pg_get_functiondef(objid)) FROM member WHERE classid = 'pg_proc'::regclass
UNION ALL SELECT format('%s: kind %s, owner %s, options %s, %s', name, relkind, relowner::regrole, reloptions,
	CASE WHEN relkind = 'v' THEN pg_get_viewdef(objid) END)
	FROM member JOIN pg_class c ON c.oid = objid WHERE classid = 'pg_class'::regclass
UNION ALL SELECT format('%s: column %s %s %s, %s', name, attnum, attname, format_type(atttypid, atttypmod),
	col_description(attrelid, attnum))
	FROM member JOIN pg_attribute ON attrelid = objid WHERE classid = 'pg_class'::regclass AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT format('%s: owner %s, privilege %s', name, owner::regrole, p)
	FROM member JOIN acl USING (classid, objid), unnest(coalesce(acl, '{}')) p
UNION ALL SELECT format('%s: default privileges', name) FROM member JOIN acl USING (classid, objid) WHERE acl IS NULL
UNION ALL SELECT format('%s: privilege at first %s', name, p) FROM member
	JOIN pg_init_privs i ON i.classoid = classid AND i.objoid = objid, unnest(i.initprivs) p
ORDER BY 1};

my $server;
my $databases = 0;

# made(SQL...): the objects that these statements make, in a database of their own.
sub made
{
	my @statements = @_;
	my $database = 'upgrade_' . $databases++;

	$server->safe_psql('postgres', "CREATE DATABASE $database");
	$server->safe_psql($database, $_) foreach @statements;
	return $server->safe_psql($database, $describe);
}

# Versions with a script that makes all of it, in the tree's folder DIRECTORY.
sub versions { return map { m{/pg_leader--((?:(?!--).)+)\.sql$} } glob "$_[0]/pg_leader--*.sql"; }

# update_equals(TREE, VERSION): from all other versions of that tree to this one.
sub update_equals
{
	my ($tree, $version) = @_;
	my $fresh = made('CREATE EXTENSION pg_leader');

	like($fresh, qr/^extension: version \Q$version\E,/, "CREATE EXTENSION makes version $version");
	cmp_ok(scalar(() = $fresh =~ /: exists$/mg), '>', 20, "version $version: it has objects");
	foreach my $old (grep { $_ ne $version } versions($tree))
	{
		is(made("CREATE EXTENSION pg_leader VERSION '$old'", 'ALTER EXTENSION pg_leader UPDATE'), $fresh,
			"from $old to $version: the same objects as of a fresh version $version");
	}
	return $fresh;
}

my $installation = PgLeaderUpgrade::installation('plain');
PgLeaderUpgrade::install($PgLeaderUpgrade::TREE, $installation);
$server = PostgreSQL::Test::Cluster->new('plain', install_path => $installation);
$server->init;
$server->start;
update_equals($PgLeaderUpgrade::TREE, $current);

# Every upgrade script in the tree says what to do if the library is an older one.
foreach my $script (glob "$PgLeaderUpgrade::TREE/pg_leader--*--*.sql")
{
	my $text = PgLeaderUpgrade::slurp($script);

	ok($text !~ /LANGUAGE C\b/i || $text =~ /WHEN undefined_function.*HINT = /s, "$script: a hint for an older library");
}

PgLeaderUpgrade::install($next_tree, $installation);
my $fresh = update_equals($next_tree, 'next');
like($fresh, qr/function pg_leader_next\(\): exists/, 'the next version has something more');

# What is compared would show a mistake: here is one of each kind.
chomp(my $share = `$installation/bin/pg_config --sharedir`);
my $script_name = "$share/extension/pg_leader--$current--next.sql";
my $script = PgLeaderUpgrade::slurp($script_name);
foreach my $mistake (
	[ 'a function is forgotten', sub { s/\Q$next_function\E//; s/\Q$next_privileges\E// } ],
	[ 'a function is another one', sub { s/VOLATILE PARALLEL SAFE/STABLE PARALLEL SAFE/ } ],
	[ 'a comment is forgotten', sub { s/COMMENT ON FUNCTION pg_leader_next.*?;//s } ],
	[ 'a view is another one', sub { s/(CREATE VIEW pg_leader_status AS\n)SELECT \*/$1SELECT *, 1 AS more/ } ],
	[ 'a privilege is left', sub { s/REVOKE.*?;// } ],
	[ 'a privilege is forgotten', sub { s/GRANT SELECT.*?;// } ],
	[ 'an object is left', sub { $_ .= 'CREATE VIEW pg_leader_more AS SELECT 1;' } ])
{
	my ($what, $edit) = @$mistake;

	PgLeaderUpgrade::edit($script_name, $edit);
	isnt(made("CREATE EXTENSION pg_leader VERSION '$current'", 'ALTER EXTENSION pg_leader UPDATE'), $fresh,
		"a mistake in an upgrade script is noticed: $what");
	PgLeaderUpgrade::edit($script_name, sub { $_ = $script });
}
$server->stop;

# ---- a primary and two standbys, one after the other ----

my %installations = map { $_ => PgLeaderUpgrade::installation("node_$_") } 0 .. 2;
PgLeaderUpgrade::install($PgLeaderUpgrade::TREE, $_) foreach values %installations;
my $cluster = PgLeaderCluster->new('upgrade', 1, blank => 1, settings => \%PgLeaderCluster::STEADY,
	installations => \%installations);
my $min_timeout = 1000;

$cluster->start_with_standbys(1, 2);

my ($leader, $term) = $cluster->wait_for_leader('a primary and two standbys: one leader');
if ($leader != 0)
{
	is($cluster->sql($leader, 'SELECT pg_leader_transfer(0)'), 0, 'the primary shall lead');
	($leader, $term) = $cluster->wait_for_leader('the primary leads');
}

sub version_of
{
	my $id = shift;

	return $cluster->sql($id, q{SELECT extversion FROM pg_extension WHERE extname = 'pg_leader'});
}

# failing_on(ID): every view is read, and every function called that changes nothing and is not of managed mode alone; what
# of it fails.
sub failing_on
{
	my $id = shift;
	my @queries = split /\n/, $cluster->sql($id, q{
		SELECT format('SELECT count(*) FROM %s', pg_describe_object(d.classid, d.objid, 0))
		FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass
		WHERE e.extname = 'pg_leader' AND d.deptype = 'e'
			AND d.classid IN ('pg_class'::regclass, 'pg_proc'::regclass)
			AND pg_describe_object(d.classid, d.objid, 0) !~ '(transfer|switchover|admit|trust_data|reset|pause|resume|reinit|restart|slots_missing)'});
	my @failures;

	cmp_ok(scalar @queries, '>', 20, "node $id: there is something to ask");
	foreach my $query (@queries)
	{
		$query =~ s/FROM (view|function) /FROM /;
		$query =~ s/\((?:integer|interval|[a-z ,]+)\)$/()/;
		push @failures, "$query: " . $cluster->failure($id, $query) unless defined $cluster->sql($id, $query);
	}
	return join "\n", @failures;
}

my $first_term = $term;
my $history = PgLeaderUpgrade::watch($cluster, nodes => 3, min_timeout_us => 1000 * $min_timeout, max_timeout_us => 2_000_000);
my $from = PgLeaderCluster::clock_now();

# The files are new, the server that runs is the old one.
PgLeaderUpgrade::install($next_tree, $installations{0});
my $failure = $cluster->failure(0, 'ALTER EXTENSION pg_leader UPDATE');
like($failure, qr/ERROR:  the pg_leader library of this server is older than the objects of the extension\nHINT:  Install the new version of pg_leader on this server, restart it, and repeat the command\./,
	'too early: ALTER EXTENSION says what is missing');
is(version_of(0), $current, 'too early: nothing has changed');
is(failing_on(0), '', 'too early: everything works as before');

foreach my $id (1, 2)
{
	PgLeaderUpgrade::install($next_tree, $installations{$id});
	PgLeaderUpgrade::restart($cluster, $history, $id);
	is_deeply([ $cluster->agreed(0, 1, 2) ], [ $leader, $term ], "node $id is upgraded: leader and term are the same");
	is($cluster->sql($id, 'SELECT pg_is_in_recovery()'), 't', "node $id is a standby still");
	is(version_of($id), $current, "node $id: old objects ...");
	is(failing_on($id), '', "node $id: ... and the new library: everything works");
}

($leader, $term) = PgLeaderUpgrade::transfer($cluster, $history, 0, 1);
PgLeaderUpgrade::restart($cluster, $history, 0);
is_deeply([ $cluster->agreed(0, 1, 2) ], [ $leader, $term ], 'the primary is upgraded: leader and term are the same');
is(failing_on(0), '', 'the primary: old objects and the new library: everything works');

is($cluster->sql(0, 'ALTER EXTENSION pg_leader UPDATE'), '', 'ALTER EXTENSION pg_leader UPDATE on the primary');
foreach my $id (0, 1, 2)
{
	$cluster->wait_until("node $id has the new objects", sub { version_of($id) eq 'next' });
	is($cluster->sql($id, 'SELECT next FROM pg_leader_status'), 'next', "node $id: the new column");
	is($cluster->sql($id, 'SELECT pg_leader_next()'), 'next', "node $id: the new function");
	is(failing_on($id), '', "node $id: everything works");
}
is($cluster->sql(0, $describe), $fresh, 'the same objects as of a fresh version');
is_deeply([ $cluster->agreed(0, 1, 2) ], [ $leader, $term ], 'all the time: leader and term are the same');

my $to = PgLeaderCluster::clock_now();
PgLeaderUpgrade::watched($history);
my $longest = PgLeaderUpgrade::longest_without($history, $from, $to);
is($term, $first_term + 1, 'there were two leaders, one after the other');
cmp_ok($longest, '<', PgLeaderUpgrade::NO_FAILOVER, "never without a leader for as long as any failover takes: $longest ms");

# ---- new objects, and a standby that went back to the old library ----

my $offset = $cluster->log_size(2);
PgLeaderUpgrade::install($PgLeaderUpgrade::TREE, $installations{2});
$cluster->stop(2);
$cluster->start(2);
$cluster->wait_until('the old library: it takes part', sub { ($cluster->sql(2, 'SELECT pg_leader_leader_id()') // '') eq $leader });
like($cluster->failure(2, 'SELECT * FROM pg_leader_status'),
	qr/ERROR:  the pg_leader library of this server is older than the objects of the extension\nHINT:  Install the new version of pg_leader on this server, and restart it\./,
	'the old library: a view with a column more says what is missing');
like($cluster->failure(2, 'SELECT pg_leader_next()'), qr/could not find function "pg_leader_next" in file/,
	'the old library: a new function is not there');
is($cluster->sql(2, 'SELECT count(*) FROM pg_leader_peers'), 3, 'the old library: the other views work');
unlike($cluster->log_of(2, $offset), qr/terminated by signal/, 'the old library: nothing has crashed');
PgLeaderUpgrade::install($next_tree, $installations{2});
$cluster->restart(2);
is($cluster->sql(2, 'SELECT next FROM pg_leader_status'), 'next', 'the new library again');

$cluster->check_history;
done_testing();
