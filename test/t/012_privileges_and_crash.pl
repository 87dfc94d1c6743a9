# test/t/012_privileges_and_crash.pl
#	  What an ordinary role may do over a connection, and a server whose backend
#	  crashes: all its processes start again, and the member is what it was.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Cluster;
use Test::More;

my $cluster = PgLeaderCluster->new('crash', 3, settings => \%PgLeaderCluster::STEADY);
my ($leader, $term, $server);

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');
$server = $cluster->server($leader);

# ---- privileges ----

# as_role(ROLE, QUERY): (exit code, output, errors) on the leader
sub as_role
{
	my ($role, $query) = @_;

	return $server->psql('postgres', $query, extra_params => [ '-U', $role ]);
}

$server->safe_psql('postgres', 'CREATE ROLE reader LOGIN');
$server->safe_psql('postgres', 'CREATE ROLE operator LOGIN');
$server->safe_psql('postgres', 'CREATE ROLE watcher LOGIN IN ROLE pg_monitor');

foreach my $query ('SELECT * FROM pg_leader_status', 'SELECT * FROM pg_leader_peers',
	'SELECT * FROM pg_leader_events', 'SELECT * FROM pg_stat_pg_leader',
	'SELECT * FROM pg_leader_stat_messages', 'SELECT * FROM pg_leader_stat_drops',
	'SELECT * FROM pg_leader_stat_peers', 'SELECT * FROM pg_leader_stat_times',
	'SELECT * FROM pg_leader_stat_histogram',
	'SELECT pg_leader_node_id(), pg_leader_term(), pg_leader_leader_id(), pg_leader_is_leader()',
	'SELECT * FROM pg_leader_lease()', 'SELECT get_node_info()', 'SELECT pg_leader_wait_for_leader()')
{
	foreach my $role ('reader', 'watcher')
	{
		my ($code, $out) = as_role($role, $query);

		ok($code == 0 && $out ne '', ($role eq 'reader' ? 'anyone' : 'a monitor') . " may: $query");
	}
}
is((as_role('reader', 'SELECT state_file FROM pg_leader_status'))[1], '', 'not everyone may see where files are');
is((as_role('watcher', 'SELECT state_file FROM pg_leader_status'))[1], $cluster->state_file($leader),
	'a monitor may');

foreach my $function ('pg_leader_transfer', 'pg_leader_admit', 'pg_stat_pg_leader_reset')
{
	my ($code, $out, $err) = as_role('reader', "SELECT $function()");

	like($err, qr/ERROR:  permission denied for function $function/, "not anyone may: $function()");
}
$server->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION pg_leader_transfer(int4, interval) TO operator');
is(($cluster->wait_for_leader('after all refusals: all agree'))[0], $leader, 'after all refusals: same leader');
my ($code, $out, $err) = as_role('operator', 'SELECT pg_leader_transfer()');
is($code, 0, 'who was granted it may: pg_leader_transfer()');
($leader, $term) = $cluster->wait_for_leader('the transfer: all agree');
is($out, $leader, 'the transfer: its answer');

# ---- a crash ----

# crash(ID): one of its backends gets SIGKILL; returns when the server is back.
sub crash
{
	my $id = shift;
	my $offset = $cluster->log_size($id);
	my $session = $cluster->server($id)->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query('SELECT pg_backend_pid()');
	my $boot = $cluster->status($id)->{boot};

	$cluster->remember($id);
	kill 'KILL', $pid;
	$cluster->wait_for_log($id, qr/all server processes terminated; reinitializing/, $offset);
	$cluster->wait_until("node $id answers again, after another start of the member",
		sub { my $s = $cluster->status($id); $s && ($s->{boot} // 0) > $boot });
	is($cluster->status($id)->{boot}, $boot + 1, "node $id: one start more");
	is($cluster->status($id)->{state_file_health}, 'ok', "node $id: its state file is good");
	$cluster->compare_state($id);
	eval { $session->quit };
	return;
}

foreach my $id ($cluster->others($leader))
{
	crash($id);
	is_deeply([ $cluster->wait_for_leader("a crash of follower $id: all agree") ], [ $leader, $term ],
		"a crash of follower $id: same leader, same term");
}
crash($leader);
my (undef, $new_term) = $cluster->wait_for_leader('a crash of the leader: all agree');
cmp_ok($new_term, '>', $term, 'a crash of the leader: in a higher term');

$cluster->check_history;
done_testing();
