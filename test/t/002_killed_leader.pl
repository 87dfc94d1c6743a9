# test/t/002_killed_leader.pl
#	  A leader that goes without a word: all its processes, its postmaster or its
#	  worker alone are killed, or its worker is paused.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PgLeaderCluster;
use IPC::Run;
use Test::More;

# How often a process has gone to sleep.
sub switches_of
{
	my ($pid) = @_;
	my ($n) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;

	return $n;
}

my $cluster = PgLeaderCluster->new('killed', 3);
my ($leader, $term, $old, $old_term, $boot, $offset, @orphans);

$cluster->start_all;
($leader, $term) = $cluster->wait_for_leader('one leader to begin with');

# ---- all processes ----

($old, $old_term) = ($leader, $term);
$cluster->kill_all($old);
($leader, $term) = $cluster->wait_for_leader('all processes killed: the others have a leader');
isnt($leader, $old, 'all processes killed: it is another one');
cmp_ok($term, '>', $old_term, 'all processes killed: in a higher term');
$cluster->start($old);
$cluster->wait_for_leader('all processes killed: back again, and all agree', $cluster->ids);
is($cluster->status($old)->{boot}, 2, 'all processes killed: that was its second start');

# ---- the postmaster alone ----

($old, $old_term) = $cluster->wait_for_leader('ready for the next');
$offset = $cluster->log_size($old);
@orphans = $cluster->kill_postmaster($old);
$cluster->wait_until('postmaster killed: its worker and all others have ended',
	sub { PgLeaderCluster::are_gone(@orphans) });
$cluster->compare_state($old);
like($cluster->log_of($old, $offset), qr/handed over to node \d/,
	'postmaster killed: its worker has handed over');
($leader, $term) = $cluster->wait_for_leader('postmaster killed: the others have a leader');
isnt($leader, $old, 'postmaster killed: it is another one');
cmp_ok($term, '>', $old_term, 'postmaster killed: in a higher term');
$cluster->start($old);
$cluster->wait_for_leader('postmaster killed: back again, and all agree', $cluster->ids);

# ---- the worker alone ----

# SIGKILL: the server restarts all its processes, as after any such crash.
($old, $old_term) = $cluster->wait_for_leader('ready for the next');
$boot = $cluster->status($old)->{boot};
$offset = $cluster->log_size($old);
$cluster->remember($old);
kill 'KILL', $cluster->worker($old);
$cluster->wait_for_log($old, qr/all server processes terminated; reinitializing/, $offset);
$cluster->wait_until('worker killed: its server answers, and the member has started again',
	sub { my $s = $cluster->status($old); $s && ($s->{boot} // 0) > $boot });
($leader, $term) = $cluster->wait_for_leader('worker killed: all have one leader');
cmp_ok($term, '>', $old_term, 'worker killed: nobody leads the old term any more');
$cluster->compare_state($old);

# SIGTERM: the worker resigns and is started again, and the server runs on.
($old, $old_term) = $cluster->wait_for_leader('ready for the next');
$boot = $cluster->status($old)->{boot};
$offset = $cluster->log_size($old);
$cluster->remember($old);
kill 'TERM', $cluster->worker($old);
$cluster->wait_until('worker terminated: it has started again',
	sub { my $s = $cluster->status($old); $s && ($s->{boot} // 0) > $boot });
($leader, $term) = $cluster->wait_for_leader('worker terminated: all have one leader');
cmp_ok($term, '>', $old_term, 'worker terminated: in a higher term');
like($cluster->log_of($old, $offset), qr/handed over to node \d/,
	'worker terminated: it has handed over');
unlike($cluster->log_of($old, $offset), qr/reinitializing/, 'worker terminated: the server ran on');

# SIGSTOP: the worker cannot even withdraw its lease, so the lease must end by
# itself, before anyone else has one.
($old, $old_term) = $cluster->wait_for_leader('ready for the next');
$cluster->remember($old);
my $worker = $cluster->worker($old);
kill 'STOP', $worker;
($leader, $term) = $cluster->wait_for_leader('worker paused: the others have a leader', $cluster->others($old));
is($cluster->sql($old, "SELECT role, pg_leader_is_leader(), is_leader, (SELECT l.term FROM pg_leader_lease() l)
		FROM pg_leader_status"), 'leader|f|f|', 'worker paused: it has not heard, and has no lease all the same');
like($cluster->failure($old, 'SELECT pg_leader_transfer()'),
	qr/ERROR:  the worker of pg_leader did not answer in time\nHINT:  /, 'worker paused: a request ends with an error');
kill 'CONT', $worker;
my ($same, $same_term) = $cluster->wait_for_leader('worker resumed: all agree', $cluster->ids);
cmp_ok($same_term, '>', $old_term, 'worker resumed: nobody leads the old term any more');

# A follower that stood still reads what has come before it takes the silence for a death.
($leader, $term) = $cluster->wait_for_leader('ready for the next');
my $stalled = ($cluster->others($leader))[0];
my $asked = $cluster->sql($stalled, 'SELECT pre_votes_started FROM pg_stat_pg_leader');
my $late = $cluster->sql($stalled, 'SELECT late_wakeups FROM pg_stat_pg_leader');
$worker = $cluster->worker($stalled);
foreach my $round (1 .. 5)
{
	kill 'STOP', $worker;
	sleep(1); # longer than the timeout
	kill 'CONT', $worker;
	$cluster->wait_until("follower paused, $round: it has noticed",
		sub { $cluster->sql($stalled, 'SELECT late_wakeups FROM pg_stat_pg_leader') >= $late + $round });
}
is($cluster->sql($stalled, 'SELECT pre_votes_started FROM pg_stat_pg_leader'), $asked, 'follower paused: it has asked for no pre-vote');
is(join('|', $cluster->wait_for_leader('follower paused: all agree')), "$leader|$term", 'follower paused: the same leader, in the same term');

# ---- two of three: no majority, no leader ----

($leader, $term) = $cluster->wait_for_leader('ready for the next');
my ($first, $last) = $cluster->others($leader);
$cluster->kill_all($leader, $first);
$cluster->wait_until('a minority: nobody leads',
	sub { my $s = $cluster->status($last); $s && !defined $s->{leader_id} && !$s->{is_leader} });
$cluster->stays('a minority: and nobody will', 2, sub { !$cluster->leads($last) });

# A session that waits for a leader sleeps until there is news, and a cancel ends it at once.
my ($out, $err) = ('', '');
my $waiting = IPC::Run::start([ 'psql', '-XAtq', '-d', $cluster->server($last)->connstr('postgres'),
		'-c', "SELECT pg_leader_wait_for_leader('30 days')" ], '>', \$out, '2>', \$err);
my $backend;
$cluster->wait_until('a session waits for a leader', sub {
	$backend = $cluster->sql($last, "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_leader_wait%' AND wait_event_type = 'Extension'");
});
my $switches = switches_of($backend);
$cluster->stays('it waits', 1, sub { -d "/proc/$backend" });
cmp_ok(switches_of($backend) - $switches, '<', 20, 'it does not wake up to look');
is($cluster->sql($last, "SELECT pg_cancel_backend($backend)"), 't', 'it is cancelled');
my $cancelled = $cluster->clock_now;
$waiting->finish;
like($err, qr/canceling statement due to user request/, 'and ends');
cmp_ok(($cluster->clock_now - $cancelled) / 1e6, '<', 30, 'at once');

# One that waits when the leader appears is told.
$waiting = IPC::Run::start([ 'psql', '-XAtq', '-d', $cluster->server($last)->connstr('postgres'),
		'-c', "SELECT pg_leader_wait_for_leader('10 minutes')" ], '>', \$out, '2>', \$err);
$cluster->start($leader);
my (undef, $next_term) = $cluster->wait_for_leader('a majority again: one leader');
cmp_ok($next_term, '>', $term, 'a majority again: in a higher term');
$waiting->finish;
like($out, qr/^\d+$/, 'a majority again: who waits for a leader is told');

$cluster->check_history;
done_testing();
