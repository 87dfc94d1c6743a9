#!/usr/bin/perl
# test/stand/managed.pl
#	  Managed servers on the stand, while a client commits all the time: the primary is
#	  killed, frozen and cut off, a session of it crashes, and two or all nodes lose their power.
#
# Each time another server takes commits in time, and the old one comes back by itself.  In the
# end nothing is missing that the client was told of, and all servers have the same contents.
# The client is bench/writer; it is beside the nodes, on the bridge, and reaches all of them
# whatever is cut: also a primary that no other member hears.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Cwd qw(realpath);
use List::Util qw(max);
use POSIX ();
use Stand;
use Test::More;

# s.  Most of the time another server takes commits within half a second.
use constant { OPENED => 15, RETURNED => 60 };

my $why = Stand::missing();
plan skip_all => $why if defined $why;

my $stand = Stand->new(nodes => 3, settings => "PGLD_MANAGE=on\n");
my @all = $stand->ids;
my $host = $stand->join_bridge;
my $ledger = "$stand->{dir}/ledger";
my $client;
my $owner = $$;

END { if ($client && $$ == $owner) { local $?; kill 'TERM', $client; waitpid($client, 0); } }

# ---- the servers ----

sub value
{
	my ($id, $sql) = @_;
	my $rows = $stand->query($id, $sql) // return;
	return $rows->[0][0];
}

# Of these nodes: the one that answers commits, undef if there is none.
sub open_primary
{
	my (@ids) = @_;
	my ($primary) = grep { (value($_, 'SELECT is_open FROM pg_leader_fence') // '') eq 't' } @ids;

	return $primary;
}

# The nodes that stream from it, of those that it knows as members.
sub followers
{
	my ($primary) = @_;
	my $rows = $stand->query($primary,
		q(SELECT substr(application_name, 11) FROM pg_stat_replication WHERE state = 'streaming' AND application_name ~ '^pg_leader_[0-9]+$')) // [];

	return map { $_->[0] } @$rows;
}

# The open primary that all others stream from; dies after a while.
sub settled
{
	my $primary;

	Chaos::eventually(RETURNED, sub {
			$primary = open_primary(@all) // return 0;
			return followers($primary) == @all - 1;
		}) or die "no open primary that all others stream from\n" . status();
	return $primary;
}

sub status { return $stand->run('ctl.sh', '--config', $stand->{config}, '-c', 'status'); }

# The state of each process of a node, its supervisor's first: T is stopped.  Nothing: none runs.
sub states
{
	my ($id) = @_;
	my ($supervisor) = Chaos::slurp("$stand->{dir}/state/node-$id.supervisor") =~ /(\d+)/;

	return join '', map { Chaos::slurp("/proc/$_/stat") =~ /\) ([^ZX]) / ? $1 : '' } $supervisor, $stand->pids($id);
}

# ---- the client ----

sub start_client
{
	my ($primary) = @_;
	my $conninfo = 'host=' . join(',', map { $stand->address($_) } @all) . ' port=' . join(',', map { $stand->{tcp} + $_ } @all)
	  . ' user=client dbname=postgres target_session_attrs=read-write connect_timeout=2';

	foreach my $id (@all)
	{
		open(my $hba, '>>', "$stand->{dir}/node$id/pg_hba.conf") or die "pg_hba.conf: $!";
		print $hba "host postgres client $host/32 trust\n";
		close $hba;
		defined value($id, 'SELECT pg_reload_conf()') or die "node $id does not answer";
	}
	defined $stand->query($primary, $_) or die "node $primary: $_"
	  foreach 'CREATE ROLE client LOGIN', 'CREATE TABLE told (n int8)', 'GRANT INSERT ON told TO client';
	$stand->run('make', '-s', '-C', realpath("$FindBin::RealBin/../../bench"), "BUILD=$stand->{dir}/bench", "$stand->{dir}/bench/writer");
	$client = fork() // die "fork: $!";
	return if $client;
	open(STDOUT, '>', $ledger) or POSIX::_exit(126);
	open(STDERR, '>&', \*STDOUT);
	exec("$stand->{dir}/bench/writer", $conninfo, 1000) or POSIX::_exit(127);
}

# What it was told from that place of the ledger on: [number, time in s, node]...
sub told
{
	my ($from) = @_;

	open(my $file, '<', $ledger) or return;
	seek $file, $from, 0;
	return map { /^(\d+) (\d+) (\d+)\n/ ? [ $1, $2 / 1e6, $3 - $stand->{tcp} ] : () } <$file>;
}

sub ledger_end { return -s $ledger // 0; }

# A test: it is told of commits from then on, by another node than that one, if one is named.
sub ok_commits
{
	my ($name, $from, $old) = @_;
	my $done = Chaos::eventually(OPENED, sub { grep { !defined $old || $_->[2] != $old } told($from) });

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($done, $name) || diag(status());
}

# The longest time from one commit to the next, from that place of the ledger on.
sub longest_gap
{
	my ($from) = @_;
	my @times = map { $_->[1] } told($from);

	return max(0, map { $times[$_] - $times[ $_ - 1 ] } 1 .. $#times);
}

# A test: the node streams from another one.
sub ok_follows
{
	my ($id) = @_;
	my $done = Chaos::eventually(RETURNED, sub {
			my $primary = open_primary(grep { $_ != $id } @all);
			return defined $primary && grep { $_ == $id } followers($primary);
		});

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($done, "node $id follows by itself") || diag(status());
}

# ---- what happens to them ----

$stand->launch(1, @all);
my $primary = settled();
pass("from nothing: node $primary is open, and the others stream from it");
my @standbys = grep { $_ != $primary } @all;
my $pictures = status();
like($pictures, qr/^$primary +open for commits +\d+ +- +leader /m, 'status shows which one is open');
like($pictures, qr/^$_ +streaming from node $primary +\d+ +[\d.]+ \w+ +follower /m, "and that node $_ streams from it") foreach @standbys;
start_client($primary);
ok_commits('a client commits', 0);

# Faults that another node outlives: what its processes are then, what is done to the primary,
# and what undoes it.
my @faults = (
	[ 'old_primary_killed', qr/^$/, sub { $stand->ctl("kill $_[0]") }, sub { $stand->ctl("start $_[0]") } ],
	[ 'frozen_then_resumed, all of the node', qr/^T{5,}$/, sub { $stand->ctl("pause $_[0]") }, sub { $stand->ctl("resume $_[0]") } ],
	[ 'isolated', qr/^[^T]{5,}$/, sub { $stand->ctl("isolate $_[0]") }, sub { $stand->ctl('brainjoin') } ],
	[ 'crashed backend', qr/^[^T]+$/, sub { kill 'KILL', $stand->titled($_[0], qr/^postgres: .* client postgres /) }, sub { } ]);
foreach my $fault (@faults)
{
	my ($name, $expected, $break, $mend) = @$fault;
	my $old = settled();
	my $from = ledger_end();

	ok_commits("$name: the client commits on node $old", $from);
	$break->($old);
	like(states($old), $expected, "$name: its processes");
	ok_commits("$name: another node takes commits", $from, $old);
	my $mended = Chaos::now();
	$mend->($old);
	ok_follows($old);
	diag(sprintf('%s: %.2f s without a commit; %.2f s until node %d follows', $name, longest_gap($from), Chaos::now() - $mended, $old));
}

# Nobody else hears of it: who has a session keeps it.
my $frozen = settled();
my $postmaster = $stand->postmaster($frozen);
kill 'STOP', $postmaster;
ok_commits('frozen_then_resumed, the postmaster alone: commits go on', ledger_end());
kill 'CONT', $postmaster;
settled();
pass('and all is well when it goes on');

my ($left, @two) = reverse $frozen, grep { $_ != $frozen } @all;
$stand->ctl("kill @two");
my $alone = ledger_end();
ok(!Chaos::eventually(1, sub { told($alone) }), "two_of_three_down_and_up: node $left alone answers no commit");
$stand->ctl("start @two");
ok_commits('two_of_three_down_and_up: commits go on', $alone);
settled();

$stand->ctl('kill ALL');
my $killed = ledger_end();
$stand->ctl('start ALL');
ok_commits('all_down_and_up: commits go on', $killed);
$primary = settled();

# ---- what is left of it ----

kill 'TERM', $client;
waitpid($client, 0);
undef $client;
my %told = map { $_->[0] => 1 } told(0);
my %there = map { $_->[0] => 1 } @{ $stand->query($primary, 'SELECT n FROM told') // [] };
my @lost = grep { !$there{$_} } sort { $a <=> $b } keys %told;
cmp_ok(scalar keys %told, '>', 100, 'the client was told of many commits');
is(join(' ', @lost[ 0 .. ($#lost > 9 ? 9 : $#lost) ]), '', 'none of them is missing');
diag(sprintf('acknowledged: %d, lost: %d, there without an answer: %d', scalar keys %told, scalar @lost, scalar grep { !$told{$_} } keys %there));

my $end = value($primary, 'SELECT pg_current_wal_flush_lsn()');
my $contents = q(SELECT concat_ws(' ', count(*), sum(n), md5(string_agg(n::text, ' ' ORDER BY n))) FROM told);
foreach my $id (grep { $_ != $primary } @all)
{
	ok(Chaos::eventually(RETURNED, sub { (value($id, "SELECT pg_last_wal_replay_lsn() >= '$end'") // '') eq 't' }), "node $id has replayed all");
	is(value($id, $contents), value($primary, $contents), "and has the contents of node $primary");
}
$stand->ctl('stop ALL');
is(join(' ', map { $stand->pids($_) } @all), '', 'all of them stop');
done_testing();
