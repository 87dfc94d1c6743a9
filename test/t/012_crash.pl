# test/t/012_crash.pl
#	  A server whose backend crashes: all its processes start again, and the
#	  member is what it was.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use PostgreSQL::Test::Cluster;
use Test::More;

my $cluster = PgLeaderCluster->new('crash', 3, settings => \%PgLeaderCluster::STEADY);
my ($leader, $term);

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');

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
