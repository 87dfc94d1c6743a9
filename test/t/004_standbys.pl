# test/t/004_standbys.pl
#	  A primary and its two standbys are the three members: who leads has nothing
#	  to do with who can write, and a server in recovery is a member like others.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;

my $cluster = PgLeaderCluster->new('standbys', 1, settings => \%PgLeaderCluster::STEADY);
my ($leader, $term, $old_term, $directory, $offset);

# Do these name the same leader, which may be one that nobody can ask?
sub name_the_same
{
	my %views = map { $_ ? (join(' ', $_->{term} // '', $_->{leader_id} // 'none') => 1) : ('no answer' => 1) }
		map { $cluster->status($_) } @_;

	return keys %views == 1 && (keys %views)[0] =~ /^\d+ \d+$/;
}

# Node 0 becomes the primary; nodes 1 and 2 come out of a backup of it, node 1
# with its state outside the data directory, node 2 with it inside.
$cluster->add($_) foreach 1, 2;
$cluster->{list} = $cluster->list(0, 1, 2);
$cluster->set(0, cluster => $cluster->{list}, state_directory => 'pg_leader');
$cluster->member(0)->{state_directory} = $cluster->server(0)->data_dir . '/pg_leader';
$cluster->write_first_state(0);
$cluster->start(0);
$cluster->server(0)->backup('base');
foreach my $id (1, 2)
{
	$cluster->create($id, $cluster->server(0), 'base');
}
$directory = $cluster->server(2)->data_dir . '/pg_leader';
ok(-e "$directory/node-0.state", "the backup has brought the primary's state file along");
unlink "$directory/node-0.state" or die;
$cluster->member(2)->{state_directory} = $directory;
$cluster->set(2, state_directory => 'pg_leader');
$cluster->write_first_state($_) foreach 1, 2;
$cluster->start(1, 2);

($leader, $term) = $cluster->wait_for_leader('a primary and two standbys: one leader');
foreach my $id (1, 2)
{
	my $status = $cluster->status($id);

	is($cluster->sql($id, 'SELECT pg_is_in_recovery()'), 't', "node $id is a standby");
	is($status->{node_id}, $id, "standby $id: pg_leader_status");
	is($status->{state_file}, $cluster->state_file($id), "standby $id: its state file");
	is(scalar keys %{ $cluster->peers($id) }, 3, "standby $id: pg_leader_peers");
	cmp_ok($cluster->sql($id, 'SELECT count(*) FROM pg_leader_events'), '>', 0, "standby $id: pg_leader_events");
	cmp_ok($cluster->sql($id, 'SELECT datagrams_received FROM pg_stat_pg_leader'), '>', 0, "standby $id: pg_stat_pg_leader");
	like($cluster->sql($id, 'SELECT get_node_info()'), qr/^node $id: /, "standby $id: get_node_info()");
	is($cluster->sql($id, 'SELECT pg_leader_wait_for_leader()'), $leader, "standby $id: pg_leader_wait_for_leader()");
	is($cluster->sql($id, 'SELECT pg_stat_pg_leader_reset()'), '', "standby $id: pg_stat_pg_leader_reset()");
}

# ---- a standby leads ----

foreach my $target (0, 1, 2, 0)
{
	($leader, $term) = $cluster->wait_for_leader("before the transfer to $target: one leader");
	next if $leader == $target;
	is($cluster->sql($leader, "SELECT pg_leader_transfer($target)"), $target, "transfer from $leader to $target");
	($leader, $term) = $cluster->wait_for_leader("transfer to $target: all agree");
	is($leader, $target, "transfer to $target: it leads");
}

$old_term = $term;
$cluster->kill_all(0);
($leader, $term) = $cluster->wait_for_leader('the primary is killed: the standbys have a leader', 1, 2);
cmp_ok($term, '>', $old_term, 'the primary is killed: in a higher term');
is($cluster->sql($leader, 'SELECT pg_is_in_recovery() AND pg_leader_is_leader()'), 't', 'it is a standby');

# ---- during recovery ----

# The primary comes back through crash recovery.
$cluster->start(0);
like($cluster->log_of(0), qr/automatic recovery in progress/, 'the primary recovers from its crash');
$cluster->wait_for_leader('the primary has recovered: all agree', 0, 1, 2);

# A standby that lets nobody connect is in recovery and nothing else; with one of
# the others gone, and the other one started anew, there is a leader only by its
# help.
$offset = $cluster->log_size(2);
$cluster->server(2)->append_conf('postgresql.conf', 'hot_standby = off');
$cluster->restart(2);
$cluster->wait_until('no connections during recovery', sub { !defined $cluster->sql(2, 'SELECT 1') });
$cluster->wait_until('one of three in recovery: the others agree', sub { name_the_same(0, 1) });
$cluster->kill_all(0, 1);
$cluster->start(0);
$cluster->wait_until('it takes part: the other one has a leader',
	sub { my $status = $cluster->status(0); return $status && defined $status->{leader_id} });
like($cluster->log_of(2, $offset), qr/node 2 follows node|node 2 became leader/, 'and it says so in its log');
$cluster->start(1);
$cluster->wait_until('all are back', sub { name_the_same(0, 1) });

$cluster->check_history;
done_testing();
