# test/t/055_stops.pl
#	  Managed servers that are stopped, restarted and killed behind their supervisor's back,
#	  and supervisors that are killed (scenario 86).
#
# What a supervisor does with a server that says nothing is in 040_supervisor.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PgLeaderManaged;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = PgLeaderManaged->new('stops', 3, settings => { min_timeout => '300ms', max_timeout => '600ms' },
	conf => PgLeaderManaged::QUIET);
my ($primary, $one, $other);
my $told = 0;

sub learn_roles { ($primary, $one, $other) = $cluster->wait_for_roles; return; }

sub commit_one
{
	$told++;
	is($cluster->sql($primary, "INSERT INTO told VALUES ($told)"), '', "commit $told");
	is($cluster->sql($primary, 'SELECT count(*) FROM told'), $told, 'all commits are there');
	return;
}

# is_replaced(ID): tests; another one is the open primary, whom that follows once it runs.
sub is_replaced
{
	my $id = shift;

	$cluster->wait_until('another one is the open primary', sub { $primary = $cluster->open_primary; defined $primary && $primary != $id });
	commit_one();
	return;
}

# stays_down(ID, OFFSET): tests; its supervisor does, and says so, and its member goes on.
sub stays_down
{
	my ($id, $offset) = @_;

	$cluster->wait_for_log($id, qr/somebody has stopped the server, and it stays down\n.*HINT:  Stop this supervisor and start it again/, $offset);
	$cluster->stays('it stays down', 2.5, sub { !defined $cluster->postmaster($id) && $cluster->is_running($id) });
	return;
}

# start_again(ID): its supervisor was stopped.
sub start_again
{
	my $id = shift;

	$cluster->start($id);
	learn_roles();
	return;
}

$cluster->start_all;
learn_roles();
is($cluster->sql($primary, 'CREATE TABLE told (n int)'), '', 'a table');
commit_one();

subtest 'pg_ctl_stop of a follower: it stays down, the others go on' => sub {
	my $term = $cluster->status($primary)->{term};
	my $offset = $cluster->log_size($one);
	my $down = $one;

	system_or_bail('pg_ctl', '-s', '-D', $cluster->server($down)->data_dir, '-m', 'fast', 'stop');
	stays_down($down, $offset);
	commit_one();
	is($cluster->status($primary)->{term}, $term, 'in the same term');

	# its member is at home in the supervisor, and votes
	my $old = $primary;
	$cluster->kill_server($old);
	$cluster->wait_until('with its vote there is another leader', sub { grep { $_ != $old } $cluster->leads($cluster->others($down)) or defined $cluster->open_primary });
	is($cluster->stop($down), 0, 'its supervisor is stopped');

	$cluster->start($down);
	learn_roles();
	commit_one();
};

subtest 'pg_ctl_stop of the primary: it stays down, another one takes over' => sub {
	my $down = $primary;
	my $offset = $cluster->log_size($down);

	system_or_bail('pg_ctl', '-s', '-D', $cluster->server($down)->data_dir, '-m', 'fast', 'stop');
	is_replaced($down);
	stays_down($down, $offset);
	is($cluster->stop($down), 0, 'its supervisor is stopped');
	start_again($down);
	commit_one();
};

subtest 'pg_ctl_restart of a follower: it cannot be put outside its supervisor' => sub {
	my $down = $one;
	my $data = $cluster->server($down)->data_dir;
	my $offset = $cluster->log_size($down);

	# whatever pg_ctl makes of that: from 17 on, a recovery target that was reached
	system 'pg_ctl', '-s', '-w', '-D', $data, '-m', 'fast', '-l', "$data/../outside.log", 'restart';
	is($cluster->postmaster($down), undef, 'it fails');
	like(slurp_file("$data/../outside.log"), qr/FATAL:  pg_leader\.manage is on, and this server was not started by pg_leader_supervisor\n.*HINT:  Start it with pg_leader_supervisor/, 'and says why, and what to do');
	stays_down($down, $offset);
	commit_one();
	is($cluster->stop($down), 0, 'its supervisor is stopped');
	start_again($down);
};

subtest 'two_supervisors for the primary: refused, and the first goes on' => sub {
	my $term = $cluster->status($primary)->{term};
	my $supervisor = $cluster->supervisor($primary);

	command_checks_all([ 'pg_leader_supervisor', '-D', $cluster->server($primary)->data_dir ], 1, [qr/^$/],
		[qr/ERROR:  another supervisor runs for node $primary \(process $supervisor\)/], 'it is refused');
	is($cluster->status($primary)->{term}, $term, 'the primary is in the same term');
	commit_one();
};

subtest 'supervisor_killed, that of the primary: its server ends, another one takes over' => sub {
	my $old = $primary;
	my @before = $cluster->processes($old);

	$cluster->signal($old, 'KILL');
	$cluster->wait_until('its server is gone', sub { PgLeaderCluster::are_gone(@before) });
	ok(!$cluster->is_running($old), 'and so is the supervisor');
	is_replaced($old);
	start_again($old);
};

subtest 'postmaster_killed, that of the primary, with orphans_left: one hangs' => sub {
	my $old = $primary;
	my $offset = $cluster->log_size($old);
	my @before = $cluster->processes($old);
	my $hangs = $cluster->titled($old, qr/background writer/);

	kill 'STOP', $hangs;
	kill 'KILL', $before[0];
	is_replaced($old);
	$cluster->wait_for_log($old, qr/killed by signal 9, and is started again/, $offset);
	$cluster->wait_for_log($old, qr/started the server as a standby/, $offset);
	like($cluster->log_of($old, $offset), qr/killed \d+ processes of the server.*started the server as a standby/s, 'complaint 24: what hung was killed before the next start');
	ok(PgLeaderCluster::are_gone(@before), 'nothing is left of the server before');
	learn_roles();
	commit_one();
};

$cluster->check_timelines;
$cluster->check_history;
$cluster->stop_all;
done_testing();
