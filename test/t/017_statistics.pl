# test/t/017_statistics.pl
#	  What a member measures: counts rise with what happens, a worker that was held
#	  up says so, heartbeats that nearly came too late are warned of once a minute,
#	  a reset resets everything, and a standby can be read like a primary.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use Test::More;
use Time::HiRes qw(usleep);

my $cluster = PgLeaderCluster->new('statistics', 1, blank => 1, settings => \%PgLeaderCluster::STEADY);
my $warning = qr/WARNING:  pg_leader: a heartbeat from node \d+ came \d+ ms after the previous one, (?:close to|later than) this member's timeout of \d+ ms/;
my ($leader, $term, $offset);

$cluster->start_with_standbys(1, 2);

sub stat_of
{
	my ($id, $column) = @_;

	return $cluster->sql($id, "SELECT $column FROM pg_stat_pg_leader");
}

sub time_of
{
	my ($id, $measure, $column, $where) = @_;

	return $cluster->sql($id, "SELECT $column FROM pg_leader_stat_times WHERE measure = '$measure'" .
		($where ? " AND $where" : ''));
}

sub count_warnings { my $log = $cluster->log_of(@_); return scalar(() = $log =~ /$warning/g); }

# pause_worker(ID, SECONDS): it does not run, for at least that long.
sub pause_worker
{
	my ($id, $seconds) = @_;
	my $worker = $cluster->worker($id) // die "node $id has no worker";

	kill 'STOP', $worker or die "could not stop process $worker: $!";
	usleep($seconds * 1e6);
	kill 'CONT', $worker or die "could not continue process $worker: $!";
	return;
}

# ---- what happens is counted ----

($leader, $term) = $cluster->wait_for_leader('one leader to begin with');
if ($leader == 0)
{
	$cluster->transfer(0, 1);
	($leader, $term) = $cluster->wait_for_leader('a standby leads');
	$cluster->sql(0, 'SELECT pg_stat_pg_leader_reset()');
}
my @followers = $cluster->others($leader);
my $standby = (grep { $_ != 0 } @followers)[0];
my $status = 'FROM pg_leader_stat_peers WHERE node_id =';

is($cluster->sql($leader, 'SELECT pg_is_in_recovery()'), 't', 'the leader is a standby');
cmp_ok(stat_of($leader, 'election_time_last'), '>', 0, 'the leader: how long its election took');
cmp_ok(time_of($leader, $_, 'count'), '>=', 1, "the leader: $_") foreach qw(vote_time announce_time save_time);
foreach my $peer (@followers)
{
	$cluster->wait_until("the leader: round trips with node $peer",
		sub { $cluster->sql($leader, "SELECT round_trips >= 5 $status $peer") eq 't' });
	is($cluster->sql($leader, "SELECT 0 < round_trip_min AND round_trip_min <= round_trip_mean AND round_trip_mean <= round_trip_max $status $peer"),
		't', "the leader: in order, node $peer");
	is($cluster->sql($leader, "SELECT datagrams_received >= round_trips AND datagrams_sent >= round_trips $status $peer"),
		't', "the leader: datagrams with node $peer");
	$cluster->wait_until("node $peer: gaps between heartbeats",
		sub { $cluster->sql($peer, "SELECT heartbeat_gaps >= 5 $status $leader") eq 't' });

	# 100 ms apart, and the first after a start may be nearer: it cannot be less
	# than half of that on average, nor can it be more than the timeout.
	is($cluster->sql($peer, "SELECT heartbeat_gap_mean BETWEEN 50 AND 2000 AND heartbeat_gap_mean <= heartbeat_gap_max $status $leader"),
		't', "node $peer: as far apart as heartbeats are");
	is($cluster->sql($peer, 'SELECT count(*) FROM pg_leader_stat_peers'), 2, "node $peer: a row a peer");
	is(stat_of($peer, 'heartbeat_gap_max > 0'), 't', "node $peer: and in pg_stat_pg_leader");
	is(time_of($peer, 'round_trip', 'sum(count)'), 0, "node $peer: does not lead, so it has no round trips");
}
foreach my $id ($cluster->ids)
{
	$cluster->wait_until("node $id: the loop is measured", sub { time_of($id, 'loop_delay', 'count > 0') eq 't' });
	is($cluster->sql($id, q(
			SELECT bool_and(t.count <= h.count) FROM pg_leader_stat_times t JOIN
				(SELECT measure, node_id, sum(count) AS count FROM pg_leader_stat_histogram GROUP BY 1, 2) h
				ON h.measure = t.measure AND h.node_id IS NOT DISTINCT FROM t.node_id)),
		't', "node $id: each is in a bucket");
}

# ---- a worker that is held up ----

# Longer than any timeout: it would have asked for an election before it reads the
# heartbeats that wait for it.  The others have a majority without it.
is($cluster->sql($standby, 'SELECT pg_stat_pg_leader_reset()'), '', 'a standby: reset');
my $close_before = stat_of($standby, 'close_heartbeats');
my $late_before = stat_of($standby, 'late_wakeups');
$offset = $cluster->log_size($standby);
pause_worker($standby, 2.5);
$cluster->wait_for_log($standby, $warning, $offset);
like($cluster->log_of($standby, $offset),
	qr/$warning\n[^\n]*DETAIL:  This worker woke up \d+ ms late\. \d+ more were queued behind it\.[^\n]*\n[^\n]*HINT:  If this persists, /,
	'the warning names the cause, and has a hint');
$cluster->wait_until('a late wake-up is counted', sub { stat_of($standby, 'late_wakeups') > $late_before });
cmp_ok(stat_of($standby, 'loop_delay_max'), '>=', 400, 'and how late it was');
cmp_ok(stat_of($standby, 'close_heartbeats'), '>', $close_before, 'a close heartbeat is counted');
cmp_ok($cluster->sql($standby, "SELECT heartbeat_gap_max $status $leader"), '>=', 2400, 'and how long the gap was');
cmp_ok($cluster->sql($standby, "SELECT close_heartbeats $status $leader"), '>', 0, 'and whose it was');
is($cluster->sql($standby, q(
		SELECT sum(count) > 0 FROM pg_leader_stat_histogram
		WHERE measure = 'heartbeat_gap' AND upper_bound > 2400)),
	't', 'the histogram has it');

# Within the minute: counted and not told.
$cluster->wait_for_leader('after the pause: all agree');
$close_before = stat_of($standby, 'close_heartbeats');
pause_worker($standby, 2.5);
$cluster->wait_until('a second one is counted', sub { stat_of($standby, 'close_heartbeats') > $close_before });
$cluster->wait_for_leader('after the second pause: all agree');
is(count_warnings($standby, $offset), 1, 'and not told: one warning a minute');
is(($cluster->agreed($cluster->ids))[0], $leader, 'a follower that was held up has deposed nobody');

# A gap below the timeout brings about nothing that another view would show: 2.6 s of
# at least 3, if the machine is as quick as that.
$cluster->set($_, min_timeout => '3000ms', max_timeout => '3100ms') foreach $cluster->ids;
$cluster->server($_)->reload foreach $cluster->ids;
my $other = (grep { $_ != $standby } @followers)[0];
foreach my $id ($cluster->ids)
{
	$cluster->wait_until("node $id: longer timeouts",
		sub { $cluster->sql($id, "SELECT max_timeout = '3100ms' FROM pg_leader_status") eq 't' });
}
my $heartbeats = $cluster->sql($other, "SELECT heartbeat_gaps $status $leader");
$cluster->wait_until('a heartbeat under the longer timeouts',
	sub { $cluster->sql($other, "SELECT heartbeat_gaps > $heartbeats + 3 $status $leader") eq 't' });
$close_before = stat_of($other, 'close_heartbeats');
pause_worker($other, 2.6);
$cluster->wait_until('below the timeout: counted', sub { stat_of($other, 'close_heartbeats') > $close_before });
$cluster->wait_for_log($other, $warning);
ok($cluster->log_of($other) =~ /came (\d+) ms after the previous one, (close to|later than) this member's timeout of (3\d\d\d) ms\n[^\n]*DETAIL: [^\n]* \d+ more were queued behind it\./,
	'below the timeout: told, with what was waiting');
is($2, $1 < $3 ? 'close to' : 'later than', "$1 ms of $3");

# ---- reset ----

foreach my $id ($cluster->ids)
{
	my $before = stat_of($id, 'stats_reset');

	is($cluster->sql($id, 'SELECT pg_stat_pg_leader_reset()'), '', "node $id: reset");
	is($cluster->sql($id, "SELECT stats_reset > '$before' FROM pg_stat_pg_leader"), 't', "node $id: when");
	is(time_of($id, 'save_time', 'count'), 0, "node $id: no saves");
	is(stat_of($id, 'saves + close_heartbeats'), 0, "node $id: nothing in pg_stat_pg_leader");
	cmp_ok(stat_of($id, 'coalesce(loop_delay_max, 0)'), '<', 400, "node $id: no long delay");
	cmp_ok($cluster->sql($id, "SELECT coalesce(max(max), 0) FROM pg_leader_stat_times WHERE measure = 'heartbeat_gap'"),
		'<', 2400, "node $id: the long gaps are forgotten");
	is($cluster->sql($id, "SELECT sum(count) < 1000 FROM pg_leader_stat_histogram"), 't', "node $id: nor are they in buckets");
}

$cluster->check_history;
done_testing();
