#!/usr/bin/perl
# test/colo/failover.pl
#	  A guest under QEMU's COLO loses one of its hosts, or the hosts lose each other:
#	  exactly one side goes on, and no line that the guest answered is lost.
#
# Runs under TCG.  Each case begins with two new QEMUs; COLO_RUNS says how often each is
# run, COLO_CASES which.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Colo;
use List::Util qw(min);
use Test::More;
use Time::HiRes qw(sleep time);

use constant LIMIT => 60;

my $why = Colo::missing();
plan skip_all => $why if defined $why;
my $colo = Colo->new(guest => Colo::guest_directory());
my $runs = $ENV{COLO_RUNS} // 1;
diag('QEMU runs under TCG: the times are those of an emulated processor');

# ---- what holds in each case ----

# From an instant on, which side goes on, and the guest answers: seconds.
sub wait_for_survivor
{
	my ($name, $id, $began) = @_;
	my $told = Chaos::eventually(LIMIT, sub { $colo->mode($id) eq 'none' && time - $began });
	my $answered;

	ok($told, "$name: side $id goes on alone") or return diag_logs();
	for (my $try = 0; $try < 20 && !$answered; $try++)
	{
		$answered = time - $began if $colo->put("after$try", 3);
	}
	ok($answered, "$name: the guest answers") or return diag_logs();
	diag(sprintf '%s: told to go on after %.2f s, first answer after %.2f s', $name, $told, $answered);
	return;
}

sub diag_logs
{
	foreach my $file (glob("$colo->{run}/*_log $colo->{run}/*.out"), map { "$colo->{dir}/node$_.log" } 0, 1)
	{
		my @lines = split /\n/, Chaos::slurp($file);
		diag("$file:", map { "\n  $_" } splice @lines, -min(8, scalar @lines)) if @lines;
	}
	return;
}

# Every line that was answered is where the survivor's disk is, in the order of the
# answers; a line that was not answered may be there.
sub is_complete
{
	my ($name, @found) = @_;
	my @answered = @{ $colo->{answered} };
	my %is_answered = map { $_ => 1 } @answered;

	is(join(' ', grep { $is_answered{$_} } @found), "@answered", "$name: all " . @answered . ' lines that were answered are there');
	is(join(' ', grep { !$colo->{asked}{$_} } @found), '', "$name: and none that nobody sent");
	return;
}

# The lines, in the guest and on its disk; the other side, if it lives, waits as before.
sub check_survivor
{
	my ($name, $id, $other_is) = @_;
	my $other = $colo->freed_mode(1 - $id);

	is($other, $other_is, "$name: the other side was not told");
	like($colo->new_log($id) . $colo->watch_log($id), qr/goes on alone/, "$name: what told this side says so");
	unlike($colo->new_log(1 - $id) . $colo->watch_log(1 - $id), qr/goes on alone/, "$name: and nothing of the other side does");
	my ($status, $said) = $colo->fail_over($id);
	is("$status $said", "1 colo_failover.pl: this guest has been failed over already: it was the " . $colo->side($id) . ", and goes on alone\n", "$name: a second time is refused");
	$colo->put("last$_") foreach 0 .. 2;
	is_complete("$name, in the guest", $colo->lines);
	is_complete("$name, on the disk", $colo->lines_on_disk($id));
	return;
}

sub begin
{
	my ($name, $leader, @options) = @_;

	$colo->mark_logs;
	$colo->{answered} = [];
	$colo->{asked} = {};
	$colo->{started} = '';
	# Before there is a QEMU, so that notify_command has come to its end when a case begins.
	$colo->make_leader($leader);
	$colo->up(@options);
	# The first checkpoints are long, and packets wait for them.
	my $n = 0;
	for (my $try = 0; $try < 40 && $n < 4; $try++) { $n++ if $colo->put("before$try", 20); }
	is($n, 4, "$name: the guest answers under COLO") or diag_logs();
	is($colo->mode(0) . ' ' . $colo->mode(1), 'primary secondary', "$name: COLO runs");
	is(($colo->settled)[0], $leader, "$name: node $leader leads");
	return;
}

# ---- cases ----

# What is done to whom, which side goes on, and what the other one is then.
#
#	leader		the node that leads before, 0 by default
#	options		of colo_start.pl
#	also		what is looked at besides, before QEMU is asked to end
my %case = (
	primary_lost => {
		fault => sub { $colo->unplug(0); $colo->kill_qemu(0); $colo->kill_nodes(0); },
		survivor => 1, other => 'dead'
	},
	# Checkpoints one after the other: the side that goes on can be waiting in one of them.
	primary_unplugged_in_checkpoint => {
		options => [ '--checkpoint', 300 ],
		fault => sub { $colo->unplug(0) },
		survivor => 1, other => 'primary'
	},
	primary_qemu_killed => {
		fault => sub { $colo->kill_qemu(0) },
		survivor => 1, other => 'dead',
		also => sub { is(($colo->settled)[0], 1, "$_[0]: leadership was handed over"); }
	},
	secondary_killed => {
		fault => sub { $colo->kill_qemu(1); $colo->kill_nodes(1); },
		survivor => 0, other => 'dead'
	},
	secondary_unplugged => {
		fault => sub { $colo->unplug(1) },
		survivor => 0, other => 'secondary'
	},
	secondary_unplugged_in_checkpoint => {
		options => [ '--checkpoint', 300 ],
		fault => sub { $colo->unplug(1) },
		survivor => 0, other => 'secondary'
	},
	links_between_hosts_cut => {
		fault => sub { $colo->ctl(qw(disconnect 0 1 both)) },
		survivor => 0, other => 'secondary'
	},
	# The primary lives, and is not told: what it would answer does not get out.
	links_cut_and_secondary_leads => {
		leader => 1,
		fault => sub { $colo->ctl(qw(disconnect 0 1 both)) },
		survivor => 1, other => 'primary'
	},
	# The other side is elected while the links are cut.  It cannot know that this one
	# lives, but for what it has taken.
	links_cut_then_the_other_leads => {
		fault => sub { $colo->ctl(qw(disconnect 0 1 both)) },
		survivor => 0, other => 'secondary',
		also => \&lead_with_the_other
	});

sub lead_with_the_other
{
	my ($name) = @_;
	my ($term) = ($colo->wait_for_leader(0, 2))[1];

	$colo->ctl('pause', 0);
	is(($colo->wait_for_leader_above($term, 1, 2))[0], 1, "$name: the secondary's host leads");
	ok(Chaos::eventually(30, sub { $colo->new_log(1) =~ /this side may not go on: .*notify_command failed for gained_lease/s }),
		"$name: it may not go on");
	$colo->ctl('resume', 0);
	return;
}

sub run_case
{
	my ($name, $case) = @_;

	begin($name, $case->{leader} // 0, @{ $case->{options} // [] });
	my $began = time;
	$case->{fault}->();
	wait_for_survivor($name, $case->{survivor}, $began);
	$case->{also}->($name) if $case->{also};
	check_survivor($name, $case->{survivor}, $case->{other});
	return;
}

# Nothing is lost, and nobody goes on alone.
sub hand_over
{
	my ($name) = @_;

	begin($name, 0);
	my ($term) = ($colo->settled)[1];
	$colo->ctl('transfer', 1);
	my ($leader) = $colo->wait_for_leader_above($term, $colo->ids);
	is($leader, 1, "$name: the secondary's host leads");
	ok(Chaos::eventually(30, sub { $colo->new_log(1) =~ /colo_failover\.pl: the other side is not gone: .*notify_command failed for gained_lease/s }),
		"$name: its command says that the other side is not gone");
	is($colo->mode(0) . ' ' . $colo->mode(1), 'primary secondary', "$name: COLO runs on, nobody was told anything");
	ok($colo->put('after', 20), "$name: the guest answers");
	is_complete("$name, in the guest", $colo->lines);
	return;
}

my @all = ('hand_over', sort keys %case);
foreach my $case ($ENV{COLO_CASES} ? split(/[ ,]+/, $ENV{COLO_CASES}) : @all)
{
	die "there is no case \"$case\": @all\n" unless grep { $_ eq $case } @all;
	foreach my $run (1 .. $runs)
	{
		my $name = "$case, run $run";

		if ($case{$case}) { run_case($name, $case{$case}); }
		else { hand_over($name); }
		diag($colo->{started}) if $ENV{COLO_VERBOSE};
		diag_logs() if $ENV{COLO_VERBOSE};
		$colo->down;
	}
}
done_testing();
