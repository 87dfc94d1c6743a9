# test/t/006_reload.pl
#	  SIGHUP: timeouts change under a leader that stays, a combination that cannot
#	  work changes nothing, datagrams are logged on demand.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;

my $cluster = PgLeaderCluster->new('reload', 3, settings => \%PgLeaderCluster::STEADY);
my ($leader, $term, $id, $offset, $log);

sub timeouts_of
{
	my $status = $cluster->status(shift);

	return join ' ', map { $status->{$_} } qw(min_timeout max_timeout heartbeat_interval);
}

# Times that this text stands in a part of a log.
sub count_of { my ($pattern, $text) = @_; return scalar(() = $text =~ /$pattern/g); }

sub refused_by { return $cluster->sql(shift, 'SELECT refused_settings FROM pg_leader_status') // '' }

# As pg_leader_status orders them.
sub refused_names
{
	my $settings = shift;

	return map { "pg_leader.$_" }
	  grep { exists $settings->{$_} } qw(min_timeout max_timeout heartbeat_interval max_clock_drift);
}

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');
is(timeouts_of($leader), '00:00:01 00:00:02 00:00:00.1', 'the timeouts of the start');

# ---- new timeouts ----

foreach my $node ($cluster->others($leader), $leader)
{
	$offset = $cluster->log_size($node);
	$cluster->set($node, min_timeout => '1500ms', max_timeout => '3s', heartbeat_interval => '150ms');
	$cluster->server($node)->reload;
	$cluster->wait_for_log($node,
		qr/pg_leader: timeouts are now 1500 to 3000 ms, heartbeats every 150 ms/, $offset);
	$cluster->wait_until("node $node shows the new timeouts",
		sub { timeouts_of($node) eq '00:00:01.5 00:00:03 00:00:00.15' });
}
is_deeply([ $cluster->wait_for_leader('new timeouts: all agree') ], [ $leader, $term ],
	'new timeouts: same leader, same term');

# ---- combinations that cannot work ----

foreach my $bad (
	[ 'min above max', { min_timeout => '4s' }, 'the minimum timeout must be below the maximum timeout' ],
	[ 'min equals max', { min_timeout => '3s' }, 'the minimum timeout must be below the maximum timeout' ],
	[ 'heartbeats too rare', { heartbeat_interval => '1s' }, 'the heartbeat interval must be at most half the minimum timeout' ],
	[ 'no lease left', { min_timeout => '20ms', max_timeout => '40ms', heartbeat_interval => '10ms', max_clock_drift => '0.5' },
		'the lease would be shorter than the heartbeat interval' ])
{
	my ($what, $settings, $message) = @$bad;

	foreach my $node ($leader, ($cluster->others($leader))[0])
	{
		$offset = $cluster->log_size($node);
		$cluster->set($node, %$settings);
		$cluster->server($node)->reload;
		$cluster->wait_for_log($node, qr/\Q$message\E/, $offset);
		$log = $cluster->log_of($node, $offset);
		is(count_of('new timeouts are not usable, keeping the old ones', $log), 1, "$what, node $node: one message");
		like($log, qr/WARNING:  pg_leader: new timeouts are not usable, keeping the old ones: \Q$message\E[^\n]*\n[^\n]*HINT:  Correct the pg_leader settings and reload again/,
			"$what, node $node: with a hint");
		is(timeouts_of($node), '00:00:01.5 00:00:03 00:00:00.15', "$what, node $node: the timeouts are as before");
		$cluster->wait_until("$what, node $node: shown", sub { refused_by($node) eq join(', ', refused_names($settings)) });
		$cluster->set($node, min_timeout => '1500ms', max_timeout => '3s', heartbeat_interval => '150ms',
			max_clock_drift => '0.1');
	}
}

# A single value out of its range is the server's to refuse.
$offset = $cluster->log_size($leader);
$cluster->set($leader, min_timeout => '1ms');
$cluster->server($leader)->reload;
$cluster->wait_for_log($leader, qr/1 ms is outside the valid range for parameter "pg_leader.min_timeout"/, $offset);
$cluster->set($leader, min_timeout => '1500ms');

# So is a change that takes a restart.
$offset = $cluster->log_size($leader);
$cluster->set($leader, node_id => 9);
$cluster->server($leader)->reload;
$cluster->wait_for_log($leader,
	qr/parameter "pg_leader.node_id" cannot be changed without restarting the server/, $offset);
$cluster->set($leader, node_id => $leader);
is_deeply([ $cluster->wait_for_leader('bad settings: all agree') ], [ $leader, $term ],
	'bad settings: same leader, same term');

# ---- datagrams in the log ----

$id = ($cluster->others($leader))[0];
unlike($cluster->log_of($id), qr/received heartbeat/i, 'no datagram is logged by default');
foreach my $node ($leader, $id)
{
	$cluster->set($node, log_messages => 'on');
	$cluster->server($node)->reload;
}
$cluster->wait_for_log($leader, qr/pg_leader: sent heartbeat to node $id, term $term/i);
$cluster->wait_for_log($leader, qr/pg_leader: received heartbeat answer from node $id, term $term/i);
$cluster->wait_for_log($id, qr/pg_leader: received heartbeat from node $leader, term $term/i);
$cluster->wait_for_log($id, qr/pg_leader: sent heartbeat answer to node $leader, term $term/i);
foreach my $node ($leader, $id)
{
	$cluster->set($node, log_messages => 'off');
	$cluster->server($node)->reload;
}
$offset = 0;
$cluster->wait_until('log_messages off: no more of them for a second', sub {
	my $before = $cluster->log_size($id);
	$cluster->sql($id, 'SELECT pg_sleep(1)');
	return $cluster->log_size($id) == $before;
});
is_deeply([ $cluster->wait_for_leader('log_messages: all agree') ], [ $leader, $term ],
	'log_messages: same leader, same term');

$cluster->check_history;
done_testing();
