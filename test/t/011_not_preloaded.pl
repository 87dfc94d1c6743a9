# test/t/011_not_preloaded.pl
#	  A server that did not preload the library: the extension is there, and
#	  everything in it says what is missing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Cluster;
use Test::More;

my $server = PgLeaderCluster::template();
my (@functions, @views);

$server->start;
is($server->safe_psql('postgres', 'SHOW shared_preload_libraries'), '', 'the library is not preloaded');
$server->safe_psql('postgres', 'DROP EXTENSION pg_leader');
$server->safe_psql('postgres', 'CREATE EXTENSION pg_leader');
pass('CREATE EXTENSION works all the same');

# A call of every function, and every view; names come from the catalog, so that
# none is forgotten.
@functions = split /\n/, $server->safe_psql('postgres', q{
	SELECT format('SELECT %s(%s)', p.oid::regproc,
		(SELECT string_agg(format('%L::%s', CASE a.type WHEN 'pg_lsn'::regtype THEN '0/1' ELSE '1' END, a.type::regtype), ', ')
			FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a(type, number) WHERE a.number <= p.pronargs - p.pronargdefaults))
	FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	WHERE e.extname = 'pg_leader' ORDER BY 1});
@views = split /\n/, $server->safe_psql('postgres', q{
	SELECT format('SELECT * FROM %s', c.oid::regclass)
	FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	WHERE e.extname = 'pg_leader' AND c.relkind = 'v' ORDER BY 1});

# One that asks PostgreSQL alone works.
my $plain = 'SELECT * FROM pg_leader_slots';
is($server->safe_psql('postgres', $plain), '', $plain);
@views = grep { $_ ne $plain } @views;

cmp_ok(scalar @functions, '>=', 10, 'the extension has functions');
cmp_ok(scalar @views, '>=', 4, 'the extension has views');

foreach my $query (@functions, @views)
{
	# each in a session of its own, then all in one that has loaded the library
	foreach my $before ('', "LOAD 'pg_leader'; ")
	{
		my ($code, $out, $err) = $server->psql('postgres', $before . $query);

		like($err, qr/ERROR:  pg_leader must be loaded via shared_preload_libraries\nHINT:  Add pg_leader to shared_preload_libraries and restart the server\./,
			"$before$query");
	}
}
is($server->safe_psql('postgres', 'SELECT 1'), '1', 'the server is well');
$server->stop;
done_testing();
