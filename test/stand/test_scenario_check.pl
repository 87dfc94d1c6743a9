#!/usr/bin/perl
# test/stand/test_scenario_check.pl
#	  The check that follows every scenario, with records made by hand: one that
#	  finds nothing in a bad record would pass everything else as well.  And what
#	  else judges on the stand: logs, refusals, exit statuses; and who may have it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../chaos";

use File::Temp qw(tempdir);
use Nemesis;
use Scenario;
use Test::More;
use Time::HiRes qw(sleep);

# An event from a few words: time, term, role, leader, start and end of a lease.
sub made_by_hand
{
	my %event;
	@event{qw(boot_time term role leader_id lease_start lease_end)} = @_;
	return { %event, reason => 'made by hand' };
}

# What the check says, with numbers for events and lives.
sub problems_of
{
	my ($record) = @_;

	foreach my $lives (values %$record)
	{
		my ($boot, $number) = (0, 0);
		foreach my $life (@$lives)
		{
			$life->{boot} = ++$boot;
			$_->{number} = ++$number foreach @{ $life->{events} };
		}
	}
	return join("\n", Scenario::problems_of($record));
}

sub test_check
{
	my $e = \&made_by_hand;
	my $good = sub {
		return {
			0 => [
				{ events => [ $e->(1, 1, 'leader', 0, 1), $e->(5, 1, 'follower', undef, 1, 4) ], until => undef },
				{ events => [ $e->(7, 1, 'follower', undef), $e->(8, 2, 'follower', 1) ], until => undef } ],
			1 => [ { events => [ $e->(2, 1, 'follower', 0), $e->(4, 2, 'leader', 1, 4) ], until => 9 } ],
		};
	};
	my @bad = (
		[ 'term 1 after 2', sub { $_[0]{1}[0]{events}[0]{term} = 3 } ],
		[ 'term falls across a restart', sub { $_[0]{0}[0]{events}[1]{term} = 2 } ],
		[ 'two members lead a term', sub { $_[0]{0}[1]{events}[1] = $e->(8, 2, 'leader', 0) } ],
		[ 'another leader is named', sub { $_[0]{0}[1]{events}[1]{leader_id} = 3 } ],
		[ 'leases overlap by a microsecond', sub { $_[0]{0}[0]{events}[1]{lease_end} = 4.000001 } ],
		[ 'a lease within one that is not over',
			sub { push @{ $_[0]{0}[1]{events} }, $e->(8.5, 3, 'leader', 0, 8.5) } ],
		[ 'a killed leader held its lease too long',
			sub { pop @{ $_[0]{0}[0]{events} }; $_[0]{0}[0]{until} = 4.1 } ],
		[ 'a later lease is of the same term',
			sub { $_[0]{1}[0]{events}[1]{term} = 1; $_[0]{0}[1]{events}[1]{term} = 1 } ],
		[ 'a node leads, follows and leads in one term',
			sub { splice @{ $_[0]{1}[0]{events} }, 2, 0, $e->(5, 2, 'follower', undef), $e->(6, 2, 'leader', 1) } ],
		[ 'a node leads a term in two lives',
			sub { push @{ $_[0]{1} }, { events => [ $e->(9.4, 2, 'follower', undef), $e->(9.5, 2, 'leader', 1) ] } } ],
		[ 'a lease that holds no more has no end',
			sub { $_[0]{1}[0]{until} = undef; $_[0]{1}[0]{goes_on} = 1 } ],
		[ 'a lease without an end is followed by another',
			sub { push @{ $_[0]{1}[0]{events} }, $e->(10, 3, 'leader', 1, 10) } ],
		[ 'somebody saw two leaders',
			sub { $_[0]{0}[1]{events}[0]{reason} = 'node 1 claims to lead a term that has another leader' } ]);

	is(problems_of($good->()), '', 'a good record is good');
	foreach my $case (@bad)
	{
		my ($what, $spoil) = @$case;
		my $record = $good->();
		$spoil->($record);
		isnt(problems_of($record), '', "found: $what");
	}
	my $record = $good->();
	$record->{0}[1]{events}[0]{term} = 0;
	isnt(problems_of($record), '', 'found: a term that is 0 after a restart');
	$record->{0}[1]{forgot} = 1;
	is(problems_of($record), '', 'unless the node was made to forget it');
	$record = $good->();
	$record->{1}[0]{goes_on} = $record->{0}[1]{goes_on} = 1;
	is(problems_of($record), '', 'a lease that holds needs no end');
	push @{ $record->{1}[0]{events} }, $e->(4.5, 2, 'leader', 1, 4);
	is(problems_of($record), '', 'nor is it led twice when a leader tells something else');
	return;
}

sub test_logs
{
	my $at = '2026-01-01 00:00:00.000 UTC';
	my $expected = { 'KILL 7' => 1, 'TERM 8' => 1, 'save 9' => 1 };
	my @good = (
		'[1] LOG:  background worker "pg_leader" (PID 7) was terminated by signal 9: Killed',
		'[1] LOG:  background worker "pg_leader" (PID 8) exited with exit code 1',
		'[9] FATAL:  pg_leader: could not save term and vote: File too large',
		'[1] LOG:  background worker "pg_leader" (PID 9) exited with exit code 1',
		'[1] LOG:  received fast shutdown request',
		'[1] LOG:  background worker "logical replication launcher" (PID 10) exited with exit code 1',
		'[1] LOG:  starting PostgreSQL 15.1');
	my @bad = (
		'[7] FATAL:  pg_leader: assertion failed: "x" in f, raft.c:1',
		'[1] PANIC:  could not write to file',
		'TRAP: FailedAssertion("x", File: "raft.c", Line: 1, PID: 7)',
		'[1] LOG:  background worker "pg_leader" (PID 7) was terminated by signal 11: Segmentation fault',
		'[1] LOG:  server process (PID 8) was terminated by signal 9: Killed',
		'[1] LOG:  background worker "pg_leader" (PID 7) exited with exit code 1',
		'[1] LOG:  background worker "pg_leader" (PID 8) exited with exit code 3',
		'[8] FATAL:  pg_leader: could not save term and vote: File too large');

	is(join("\n", Stand::suspicious_lines($expected, map { "$at $_\n" } @good)), '', 'a good log is good');
	foreach my $line (@bad)
	{
		is(join("\n", Stand::suspicious_lines($expected, map { "$at $_\n" } @good, $line)), "$at $line",
			"found: $line");
	}
	return;
}

sub test_refusals
{
	foreach my $output (
		'ctl.sh: there is no leader to hand over', 'ctl.sh: node 1 did not hand over: node 3 does not answer',
		'ctl.sh: node 0 did not hand over: timed out while waiting for the new leader',
		'ctl.sh: node 0 did not hand over: psql: error: connection to server on socket "x" failed: FATAL:  the database system is shutting down',
		'ctl.sh: node 2 did not hand over: WARNING:  terminating connection due to immediate shutdown command')
	{
		ok(Nemesis::is_known_refusal("$output\nhint: wait\n"), "no failure: $output");
	}
	foreach my $output (
		'', 'ctl.sh: the stand is not up', 'ctl.sh: node 1 did not hand over: function pg_leader_transfer(integer) does not exist',
		'ctl.sh: node 1 did not hand over: 3')
	{
		ok(!Nemesis::is_known_refusal("$output\n"), "a failure: $output");
	}
	return;
}

# A script that a signal ended has not succeeded.
sub test_statuses
{
	my $dir = tempdir(CLEANUP => 1);

	foreach my $case ([ 'exit 0', 0 ], [ 'exit 3', 3 ], [ 'kill -TERM $$', 143 ], [ 'kill -KILL $$', 137 ])
	{
		my ($text, $wanted) = @$case;
		open(my $file, '>', "$dir/script") or die $!;
		print $file "#!/bin/sh\n$text\n";
		close $file;
		chmod 0755, "$dir/script";
		my ($status) = Stand->try_run("$dir/script");
		is($status, $wanted, "the status of: $text");
	}
	return;
}

sub test_owner
{
	my $path = tempdir(CLEANUP => 1) . '/run/.owner';
	my $lock = Stand::take_stand($path);

	ok(!eval { Stand::take_stand($path); 1 }, 'a stand that is in use is not taken');
	like($@, qr/^process $$ has a stand/, 'and its owner is named');
	close $lock;
	ok(eval { Stand::take_stand($path); 1 }, 'it is taken when its owner has ended');
	return;
}

# It needs no server to go on for ever.
sub test_orphaned_observer
{
	my $observer = $ENV{OBSERVER} // "$FindBin::RealBin/../../build/stand/observer";
	my $dir = tempdir(CLEANUP => 1);

  SKIP: {
		skip('there is no observer; make -C test/stand builds it', 1) unless -x $observer;
		my $parent = fork() // die "fork: $!";
		if ($parent == 0)
		{
			exec('sh', '-c', '"$@" 2>"$0/told" & echo $! >"$0/pid"; wait', $dir, $observer, '--output',
				"$dir/history", '--socket-directory', $dir, '--ports', '5432');
		}
		sleep(0.01) until -s "$dir/history" && -s "$dir/pid";
		kill 'KILL', $parent;
		waitpid($parent, 0);
		open(my $file, '<', "$dir/pid") or die $!;
		chomp(my $pid = <$file>);
		my $end = time + 20;
		sleep(0.05) while Stand::goes_on($pid) && time < $end;
		ok(!Stand::goes_on($pid), 'the observer ends when whoever started it is killed') || kill 'KILL', $pid;
	}
	return;
}

test_check();
test_logs();
test_refusals();
test_statuses();
test_owner();
test_orphaned_observer();
done_testing();
