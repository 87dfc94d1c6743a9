#!/usr/bin/perl
# test/bench/tools.pl
#	  What measures, measured: its figures, what it takes for a write, and a short run
#	  of each tool.
#
# Short runs say nothing of speed; what they print only has to be possible.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../../bench", "$FindBin::RealBin/../chaos", "$FindBin::RealBin/../stand";

use Callgrind;
use File::Temp qw(tempdir);
use List::Util qw(all max min);
use Measure qw(fit percentile ratio_interval t_interval writes);
use Outage;
use Test::More;

my $bench = "$FindBin::RealBin/../../bench";
my $scratch = tempdir('pg_leader_bench_XXXXXX', TMPDIR => 1, CLEANUP => 1);

sub near
{
	my ($got, $expected, $what) = @_;
	my $far = max(map { abs($got->[$_] - $expected->[$_]) } 0 .. $#$expected);

	return ok($far < 1e-3, $what) || diag("got @$got, expected @$expected");
}

# ---- figures ----

near([ t_interval(1 .. 5) ], [ 3, 3 - 1.96322, 3 + 1.96322 ], 'interval of a mean, from the table of t');
near([ t_interval(map { $_ % 2 } 1 .. 62) ], [ 0.5, 0.5 - 0.12802, 0.5 + 0.12802 ],
	'interval of a mean, from the expansion of t');
near([ ratio_interval(2, 0.5) ], [1], 'a ratio and its inverse make one');
near([ ratio_interval(0.98, 0.99, 1.00) ], [ 0.98997, 0.96548, 1.01507 ], 'interval of ratios');
is((t_interval(7))[2], 'inf', 'one value says nothing of its interval');
is_deeply([ Bench::percentile_interval(0.5, 1 .. 101) ], [ 40, 62 ], 'interval of a median: ranks of the binomial distribution');
is_deeply([ Bench::percentile_interval(0.95, 1 .. 40) ], [ 35, undef ], 'and of a percentile that few values are above');
my @twice = map { 2 * $_ } my @some = map { 100 + ($_ * 37) % 50 } 1 .. 200;
my $ratios = Bench::ratio_intervals(\@some, \@twice);
ok((all { $ratios->{$_}[0] < 2 && $ratios->{$_}[1] >= 2 && $ratios->{$_}[1] - $ratios->{$_}[0] < 0.2 } qw(mean median p95)),
	'intervals of ratios hold the ratio, and little else');
is_deeply([ percentile(0.95, 1 .. 101), percentile(0.5, 4, 1), percentile(0.95, 3) ], [ 96, 1, 3 ],
	'percentiles, by nearest rank, of values in any order');
near([ fit([ 2, 7 ], [ 4, 11 ], [ 14, 31 ]) ], [ 3, 2, 1 ], 'a line through points that are on one');

# ---- answers of servers ----

# Begun every 10 ms, answered 1 ms later.
sub answers
{
	my ($server, $timeline, $from, $until) = @_;
	return map { [ $from + $_ / 100 + 0.001, $server, 0, $from + $_ / 100, $timeline ] } 0 .. 100 * ($until - $from);
}

near([ Outage::longest_gap(answers(0, '01', 1, 2), answers(1, '02', 2.5, 3)) ], [500], 'the longest time without an answer, from whatever server');
near([ Outage::overlap(answers(0, '01', 1, 2), answers(1, '02', 2.5, 3)) ], [0], 'one server after the other: they do not overlap');
near([ Outage::overlap(answers(0, '09', 1, 2), answers(1, '0A', 2.5, 3), answers(0, '0B', 3.5, 4)) ], [0], 'nor do they where the first one is the primary again');
near([ Outage::overlap(answers(0, '09', 1, 2), answers(1, '0A', 1.5, 3)) ], [499], 'both at once: they do, for as long as both answer');
near([ Outage::overlap(answers(0, '09', 1, 2), answers(1, '0A', 2.5, 4), answers(0, '09', 3, 3)) ], [499], 'also where the old one answers once more');
near([ Outage::overlap(answers(0, '01', 1, 2), answers(1, '01', 1.5, 3)) ], [499], 'and where both are on one timeline');
near([ Outage::overlap([ 2, 0, 0, 1, '01' ], [ 1.5, 1, 0, 1.4, '02' ]) ], [0], 'an answer that comes late may have been given in time');
my @told = map { { told => $_ } } [ 1, 2, 3 ], [ 4, 5, 6 ];
Outage::mark_lost([ 6, 1, 3, 4, 7 ], @told);
is_deeply([ map { $_->{lost} } @told ], [ 1, 1 ], 'what a client was told of, and is not there, is lost');

# ---- system calls ----

my @harmless = (
	'17 recvfrom(9, "\0", 512, 0, NULL, NULL) = 224', '17 sendto(9, "x", 1, 0, NULL, 0) = 1',
	'17 openat(AT_FDCWD, "O_RDONLY", O_RDONLY|O_CLOEXEC) = 3', '17 epoll_wait(4,  <unfinished ...>',
	'17 <... epoll_wait resumed>[], 1, -1) = 0', '17 read(7, "write(2, ", 8) = 8');
my @writing = (
	'17 pwrite64(5, "", 128, 0) = 128', '17 write(2, "x", 1 <unfinished ...>', '17 fdatasync(5) = 0',
	'17 openat(AT_FDCWD, "x", O_RDWR) = 3', 'open("x", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3',
	'17 rename("a", "b") = 0', '17 ftruncate(5, 0) = 0', '17 mkdirat(AT_FDCWD, "x", 0700) = 0');
my ($calls, $writes) = writes(@harmless, @writing);
is_deeply($writes, \@writing, 'what may write is told from what cannot');
is($calls->{epoll_wait}, 1, 'a call that was interrupted counts once');

# ---- instructions ----

# main calls the library twice, for 40 in all; the library passes one call of 25 on, and calls
# itself, which counts once.
open(my $counted, '>', "$scratch/callgrind") or die $!;
print $counted <<'TEXT';
events: Ir
ob=(1) /bin/postgres
fn=(1) main
10 100
cob=(2) /lib/library.so
cfn=(2) hook
calls=2 5
10 40
cfn=(3) other
calls=1 5
12 7
ob=(2)
fn=(2)
5 9
cfn=(4) inner
calls=2 5
6 6
cob=(1)
cfn=(5) standard
calls=1 5
7 25
ob=(1)
fn=(5)
+1 25
totals: 147
TEXT
close $counted;
is_deeply(Callgrind::count("$scratch/callgrind", 'library.so', 'standard'), { all => 147, library => 15, calls => 2 },
	"what a library does is told from what it passes on");

# ---- the tools ----

# (exit status, what it said)
sub run
{
	my (@command) = @_;
	open(my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @command) or die $!;
	my $output = do { local $/ = undef; <$pipe> // '' };
	close $pipe;
	return ($? >> 8, $output);
}

# Rows of a file of results, each {column => value}.
sub rows
{
	my ($path) = @_;
	open(my $file, '<', $path) or return;
	my @lines = grep { !/^#/ } <$file>;
	chomp @lines;
	my @columns = split /\t/, shift(@lines) // '';
	return map { my %row; @row{@columns} = split /\t/; \%row } @lines;
}

foreach my $tool (qw(overhead calm scale promote fence pgbench keep))
{
	my ($status, $output) = run("$bench/$tool", '--help');
	ok($status == 0 && $output =~ /^NAME.*^SYNOPSIS.*^EXIT STATUS/ms, "$tool explains itself");
	($status, $output) = run("$bench/$tool", '--output', "$scratch/none", 'nonsense');
	ok($status == 2 && $output =~ /nonsense.*^hint:/ms && !-e "$scratch/none",
		"$tool refuses what it does not know");
}
like((run("$bench/calm", '--timings', '20/30-60'))[1], qr/at most half/, 'calm refuses timings that cannot work');

my ($status, $output) = run("$bench/scale", '--sizes', '3', '--seconds', 1, '--rounds', 2,
	'--timings', '50/400-800', '--output', "$scratch/scale.tsv");
my ($row) = rows("$scratch/scale.tsv");
is($status, 0, 'scale measures') || diag($output);
ok($row && $row->{members} == 3 && $row->{failovers} == 2
	  && $row->{leader_sent_s} > 2 && $row->{leader_sent_s} < 400
	  && $row->{leader_sent_s} > $row->{follower_sent_s}
	  && $row->{leader_cpu_us_s} > 0
	  && $row->{lease_median} > 10 && $row->{known_median} >= $row->{lease_median},
	'what it found is possible') || diag($output);

($status, $output) = run("$bench/calm", '--nodes', 3, '--minutes', 0.05, '--load', 'idle', '--timings',
	'500/4000-8000', '--output', "$scratch/calm.tsv");
($row) = rows("$scratch/calm.tsv");
is($status, 0, 'calm measures') || diag($output);
ok($row && $row->{quiet} eq 'yes' && $row->{elections_started} == 0 && $row->{delay_n} >= 1 && $row->{loop_n} >= 1
	  && $row->{loop_p99} <= $row->{loop_max}
	  && $row->{delay_max} >= $row->{delay_p50},
	'seconds are calm at timeouts of seconds') || diag($output);

($status, $output) = run("$bench/overhead", '--parts', 'idle call', '--nodes', 3, '--idle', 1,
	'--rounds', 2, '--timings', '100/1000-2000', '--output', "$scratch/overhead.tsv");
my %found = map { $_->{what} => $_->{value} } rows("$scratch/overhead.tsv");
is($status, 0, 'overhead measures') || diag($output);
ok(($found{'processor, leader of 3'} // 0) > 0
	  && ($found{"private, leader's worker"} // 0) > 0
	  && ($found{'pg_leader_is_leader(), leader, 2 backends at once'} // 0) > 0
	  && ($found{'calls that write a file, leader'} // 1) == 0,
	'what it found is possible') || diag($output);

($status, $output) = run("$bench/overhead", '--parts', 'pgbench', '--nodes', 3, '--pairs', 4, '--max-pairs', 4,
	'--seconds', 1, '--warm-up', 1, '--scale', 1, '--timings', '100/1000-2000', '--output', "$scratch/pgbench.tsv");
%found = map { $_->{what} => $_ } grep { $_->{part} eq 'pgbench' } rows("$scratch/pgbench.tsv");
is($status, 0, 'overhead runs pgbench') || diag($output);
foreach my $what (map { ("$_, leader", "$_, follower") } 'select-only', 'TPC-B')
{
	my $ratio = $found{"$what over without"} // { value => 0, low => 0, high => 0, n => 0 };
	ok($found{"$what, with"}{value} > 0 && $found{"$what, without"}{value} > 0 && $found{"$what, worker"}{value} > 0
		  && $ratio->{n} == 4 && $ratio->{low} <= $ratio->{value} && $ratio->{value} <= $ratio->{high},
		"$what: time of a transaction, the worker's, and ratio") || diag($output);
}

($status, $output) = run("$bench/promote", '--promotions', 2, '--cases', 'plain receiver', '--output', "$scratch/promote.tsv");
my @promotions = rows("$scratch/promote.tsv");
is($status, 0, 'promote measures') || diag($output);
ok(@promotions == 4 && (all { $_->{commit} > 0 && $_->{commit} < 60e6 && ($_->{promote} eq '-' || $_->{promote} <= $_->{open}) } @promotions),
	'what it found is possible') || diag($output);

($status, $output) = run("$bench/writable", '--rounds', 2, '--output', "$scratch/writable.tsv");
my @rounds = rows("$scratch/writable.tsv");
is($status, 0, 'writable measures, and nothing is lost') || diag($output);
ok(@rounds == 2 && (all { $_->{gap} > 0 && $_->{gap} < 60e3 && $_->{how} =~ /^(?:followed|rewound|cloned)$/ } @rounds), 'what it found is possible') || diag($output);

($status, $output) = run("$bench/fence", '--starts', 2, '--pairs', 2, '--seconds', 1, '--scale', 1, '--output', "$scratch/tpcb.tsv");
my @pairs = rows("$scratch/tpcb.tsv");
is($status, 0, 'fence measures TPC-B') || diag($output);
ok(@pairs == 4 && (all { $_->{fence} > 0 && $_->{stock} > 0 && $_->{ratio} > 0 } @pairs), 'what it found is possible') || diag($output);

($status, $output) = run("$bench/fence", '--time', '--starts', 2, '--rounds', 1, '--output', "$scratch/time.tsv");
my @times = rows("$scratch/time.tsv");
is($status, 0, 'fence measures processor time') || diag($output);
is(scalar(grep { $_->{with} > 0 && $_->{without} > 0 } @times), 4, 'what it found is possible') || diag($output);

($status, $output) = run("$bench/fence", '--calm', '--seconds', 6, '--stops', 2, '--scale', 1, '--heartbeat', 100, '--min', 1000,
	'--max', 2000, '--output', "$scratch/fence_calm.tsv");
my @calm = rows("$scratch/fence_calm.tsv");
is($status, 0, 'all commits pass the fence while nothing is wrong') || diag($output);
ok(@calm == 3 && (all { $_->{answered} > 0 && $_->{rows} == $_->{answered} && $_->{withheld} == 0 } @calm) && $calm[2]{closed} > 0 && $calm[2]{closed} == $calm[2]{stops},
	'none is withheld, also where the fence was closed for a while') || diag($output);

($status, $output) = run("$bench/pgbench", '--rounds', 1, '--kills', 1, '--clients', 2, '--transactions', 1000, '--output', "$scratch/pgbench_runs.tsv");
my %runs = map { $_->{case} => $_ } rows("$scratch/pgbench_runs.tsv");
is($status, 0, 'pgbench measures, and nothing is lost') || diag($output);
ok(keys %runs == 4 && (all { $_->{tps} > 0 && $_->{p50} <= $_->{max} } values %runs) && $runs{'managed, killed'}{told} == 2000 && $runs{'managed, killed'}{begun_anew} > 0
	  && $output =~ /^told \d+ times: the client aborted/m, 'what it found is possible') || diag($output);

($status, $output) = run("$bench/keep", '--scale', 1, '--pairs', 1, '--seconds', 1, '--clients', 2, '--failovers', 1, '--restores', 1, '--output', "$scratch/keep.tsv");
my %kept = map { $_->{case} => $_ } rows("$scratch/keep.tsv");
is($status, 0, 'keep measures, and states are as they were') || diag($output);
like($kept{$_}{tps}, qr/^[1-9]\d*$/, "keep: $_: transactions") foreach 'with the archive', 'without it';
like($kept{$_}{ms}, qr/^[1-9]\d*$/, "keep: $_: ms") foreach 'follow', 'restore by overlay', 'restore by copy';
is_deeply([ glob("$ENV{TMPDIR}/pg_leader_{scale,chaos,promote,writable,fence,pgbench}_*") ], [], 'nothing is left behind') if $ENV{TMPDIR};
done_testing();
