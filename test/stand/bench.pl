#!/usr/bin/perl
# test/stand/bench.pl
#	  What bench/failover and bench/compare measure is what happened, the figures are right,
#	  and they leave nothing behind, also when interrupted.
#
# Not how fast anything is: the bounds are those of a machine that does other things.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../../bench";

use Bench;
use File::Temp qw(tempdir);
use List::Util qw(all sum);
use Test::More;
use Time::HiRes qw(sleep);

my $bench = "$FindBin::RealBin/../../bench";
my $dir = tempdir('bench_XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;

# (exit status, all that it said)
sub run
{
	my ($program, @arguments) = @_;
	my $pid = open(my $pipe, '-|') // die "fork: $!";

	if ($pid == 0)
	{
		$ENV{TMPDIR} = $dir;
		open(STDERR, '>&', \*STDOUT);
		exec("$bench/$program", @arguments) or POSIX::_exit(127);
	}
	my $output = do { local $/ = undef; <$pipe> } // '';
	close $pipe;
	return ($? >> 8, $output);
}

# What is left in the directory that it was to use.
sub leftovers { return grep { !m{/[^/]+\.(?:tsv|svg)$} } glob "$dir/*"; }

# ---- figures ----

is_deeply(Bench::statistics(map { 101 - $_ } 1 .. 100),
	{ n => 100, min => 1, mean => 50.5, median => 50, p95 => 95, p99 => 99, max => 100 },
	'statistics of 1 to 100');
is_deeply(Bench::statistics(7), { n => 1, map { $_ => 7 } @Bench::FIGURES }, 'statistics of one value');
is(Bench::formula_mean(200, 400, 50, 4), 215, 'the formula: 200 + 200 / 5 - 50 / 2');
is(Bench::formula_cdf(149, 200, 400, 50, 4), 0, 'nobody times out before the shortest timeout');
is(Bench::formula_cdf(400, 200, 400, 50, 4), 1, 'somebody has after the longest');

# The mean of a distribution on [0, 400] is the area above its curve.
my $mean = sum(map { 1 - Bench::formula_cdf($_ + 0.5, 200, 400, 50, 4) } 0 .. 399);
cmp_ok(abs($mean - 215), '<', 0.01, 'the curve and the mean of the formula agree');

# ---- what cannot work is told before anything begins ----

foreach ([ [qw(--nodes 1)], qr/--nodes is a whole number from 2/ ],
	[ [qw(--nodes 2)], qr/two members cannot elect/ ],
	[ [qw(--fault fire)], qr/no fault "fire"\nhint: the faults are graceful_stop/ ],
	[ [qw(--min 400)], qr/--min \(400 ms\) must be less than --max/ ],
	[ [qw(--heartbeat 101)], qr/--heartbeat \(101 ms\) must be at most half/ ],
	[ [ '--output', $0 ], qr/exists already/ ], [ ['more'], qr/no argument is needed, not even "more"/ ])
{
	my ($words, $expected) = @$_;
	my ($status, $output) = run('failover', @$words);
	is($status, 2, "@$words: called wrongly");
	like($output, $expected, 'and why');
}

is_deeply([ (run('plot', '--output', "$dir/no.svg", "$bench/README.md"))[0] ], [1], 'plot fails at what is no data file');

# ---- trials ----

my ($status, $output) = run('failover', qw(--nodes 3 --trials 2 --jitter --output), "$dir/kill.tsv");
is($status, 0, 'bench/failover makes two trials on three servers') or diag($output);
note($output);
like($output, qr/^pg_leader: failover +2 +[0-9.]+ /m, 'and prints the figures of both');
like($output, qr/^the machine meanwhile: pwrite and fdatasync \d+ times.*\nthe machine meanwhile: a timer rings late by \d+ times/m,
	'and the jitter meanwhile');
like($output, qr/^  95 % intervals +mean [-\d.]+ to [\d.]+, median \? to \?/m, 'and how sure they are: of two trials, not very');
like($output, qr/^pg_leader at rest: \d+ s between the trials, in which the term rose by \d+/m, 'and what happened between the trials');
my ($interval) = $output =~ /^each node was sampled ([0-9.]+) ms apart \(median\)/m;
cmp_ok($interval // 1e9, '<', 20, 'each node was looked at often');

my ($facts, @rows) = Bench::read_data("$dir/kill.tsv");
is(scalar @rows, 2, 'a line for each trial is in the file');
is($facts->{fault}, 'kill_all', 'with the settings at its head');
foreach my $row (@rows)
{
	isnt($row->{new}, $row->{old}, "trial $row->{trial}: another node leads");
	cmp_ok($row->{terms}, '>=', 1, 'in a later term');
	ok(0 < $row->{failover} && $row->{failover} < 30_000, "after $row->{failover} ms");
	ok($row->{pre_vote} <= $row->{candidate} && $row->{candidate} <= $row->{leader}
		  && $row->{leader} < $row->{failover}, 'what the events say comes in order, and before what was seen');
	cmp_ok($row->{held}, '<=', $row->{action}, 'nobody saw the lease of a killed leader');
	cmp_ok($row->{gap}, '>', 0, "there is no lease for $row->{gap} ms");
	cmp_ok($row->{gap} + $row->{held}, '>=', $row->{leader}, 'until there was a leader');
}
is_deeply([ leftovers() ], [], 'nothing is left behind');

# ---- until clients commit ----

foreach ([ [qw(--until dawn)], qr/--until is leader or writable/ ], [ [qw(--until writable --nodes 5)], qr/--nodes does not go with/ ],
	[ [qw(--until writable --patroni 30)], qr/"30" is not ttl/ ], [ [qw(--until writable --fault kill,fire)], qr/no fault "fire"/ ])
{
	my ($words, $expected) = @$_;
	my ($code, $said) = run('compare', @$words);
	is($code, 2, "@$words: called wrongly");
	like($said, $expected, 'and why');
}

($status, $output) = run('compare', qw(--until writable --minutes 0 --patroni none --auto-failover none --pg-leader 50/200-400 --output), "$dir/writable.tsv");
is($status, 0, 'bench/compare --until writable: nothing is lost, and no two servers answer at once') or diag($output);
@rows = Bench::read_table("$dir/writable.tsv");
is(join(' ', map { $_->{fault} } @rows), 'kill isolate freeze switchover', 'each fault is done once');
ok((all { 0 < $_->{sessions} && $_->{sessions} <= $_->{client} && $_->{acknowledged} > 10 && $_->{lost} eq '0' && $_->{overlap} == 0 } @rows), 'and what it found is possible')
  or diag($output);
is_deeply([ (run('plot', '--output', "$dir/writable.svg", "$dir/writable.tsv"))[0] ], [0], 'plot draws it') if system('type gnuplot >/dev/null 2>&1') == 0;
is_deeply([ leftovers() ], [], 'nothing is left behind');

# ---- interruption ----

my $pid = open(my $pipe, '-|') // die "fork: $!";
if ($pid == 0)
{
	$ENV{TMPDIR} = $dir;
	exec("$bench/failover", qw(--nodes 3 --trials 100000 --fault transfer --output), "$dir/transfer.tsv")
	  or POSIX::_exit(127);
}
my $end = time + 120;
while (time < $end && !(-e "$dir/transfer.tsv" && (Bench::read_data("$dir/transfer.tsv"))[1])) { sleep(0.05); }
# What does not end by SIGINT ends with its parent.
$SIG{ALRM} = sub { fail('it ends within 60 s after SIGINT'); kill 'KILL', $pid; };
alarm 60;
kill 'INT', $pid;
$output = do { local $/ = undef; <$pipe> };
alarm 0;
close $pipe;
is($? >> 8, 1, 'an interrupted run says that it did not come to its end');
like($output, qr/^pg_leader: failover +[1-9]/m, 'prints the figures until then');
is_deeply([ leftovers() ], [], 'and leaves nothing behind');
(undef, @rows) = Bench::read_data("$dir/transfer.tsv");
ok(@rows > 0 && (all { $_->{failover} > 0 && $_->{new} != $_->{old} } @rows),
	scalar(@rows) . ' trials until then are in the file');
# A member that stood still for a moment was not asked for its events.
my @gaps = grep { defined } map { $_->{lease_gap} } @rows;
ok(@gaps > 0 && (all { $_ > 0 && $_ < 30_000 } @gaps), 'no two leases at once, by what their holders say');
done_testing();
