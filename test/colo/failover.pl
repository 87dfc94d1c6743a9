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
	my $other = $colo->mode(1 - $id);

	like($other, $other_is, "$name: the other side was not told");
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

my %case = (
	primary_lost => sub {
		my ($name) = @_;
		my $began = time;

		$colo->unplug(0);
		$colo->kill_qemu(0);
		$colo->kill_nodes(0);
		wait_for_survivor($name, 1, $began);
		check_survivor($name, 1, qr/^dead$/);
	},
	secondary_killed => sub {
		my ($name) = @_;
		my $began = time;

		$colo->kill_qemu(1);
		$colo->kill_nodes(1);
		wait_for_survivor($name, 0, $began);
		check_survivor($name, 0, qr/^dead$/);
	},
	secondary_unplugged => sub {
		my ($name) = @_;
		my $began = time;

		$colo->unplug(1);
		wait_for_survivor($name, 0, $began);
		check_survivor($name, 0, qr/^secondary$/);
	},
	# Checkpoints one after the other: the side that goes on waits in one of them.
	primary_unplugged_in_checkpoint => sub {
		my ($name) = @_;
		my $began = time;

		$colo->unplug(0);
		wait_for_survivor($name, 1, $began);
		check_survivor($name, 1, qr/^(primary|silent)/);
	},
	secondary_unplugged_in_checkpoint => sub {
		my ($name) = @_;
		my $began = time;

		$colo->unplug(1);
		wait_for_survivor($name, 0, $began);
		check_survivor($name, 0, qr/^(secondary|silent)/);
	},
	links_between_hosts_cut => sub {
		my ($name) = @_;
		my $began = time;

		$colo->ctl(qw(disconnect 0 1 both));
		wait_for_survivor($name, 0, $began);
		check_survivor($name, 0, qr/^secondary$/);
	},
	# The primary lives, and is not told: what it would answer does not get out.
	links_cut_and_secondary_leads => sub {
		my ($name) = @_;
		my $began = time;

		$colo->ctl(qw(disconnect 0 1 both));
		wait_for_survivor($name, 1, $began);
		check_survivor($name, 1, qr/^(primary|silent)/);
	},
	# Leadership moves on while the links are cut: the other side is elected, and cannot know
	# that this one lives, but for what it has taken.
	links_cut_then_the_other_leads => sub {
		my ($name) = @_;
		my $began = time;

		$colo->ctl(qw(disconnect 0 1 both));
		wait_for_survivor($name, 0, $began);
		my ($term) = ($colo->wait_for_leader(0, 2))[1];
		$colo->ctl('pause', 0);
		is(($colo->wait_for_leader_above($term, 1, 2))[0], 1, "$name: the secondary's host leads");
		ok(Chaos::eventually(30, sub { Chaos::slurp("$colo->{dir}/node1.log") =~ /this side may not go on: .*notify_command failed for gained_lease/s }),
			"$name: it may not go on");
		$colo->ctl('resume', 0);
		check_survivor($name, 0, qr/^secondary$/);
	},
	primary_qemu_killed => sub {
		my ($name) = @_;
		my $began = time;

		$colo->kill_qemu(0);
		wait_for_survivor($name, 1, $began);
		check_survivor($name, 1, qr/^dead$/);
		is(($colo->settled)[0], 1, "$name: leadership was handed over");
	},
	hand_over => sub {
		my ($name) = @_;
		my ($term) = ($colo->settled)[1];

		$colo->ctl('transfer', 1);
		my ($leader) = $colo->wait_for_leader_above($term, $colo->ids);
		is($leader, 1, "$name: the secondary's host leads");
		ok(Chaos::eventually(30, sub { Chaos::slurp("$colo->{dir}/node1.log") =~ /colo_failover\.pl: the other side is not gone: .*notify_command failed for gained_lease/s }),
			"$name: its command says that the other side is not gone");
		is($colo->mode(0) . ' ' . $colo->mode(1), 'primary secondary', "$name: COLO runs on, nobody was told anything");
		ok($colo->put('after', 20), "$name: the guest answers");
		is_complete("$name, in the guest", $colo->lines);
		$colo->make_leader(0);
	});

my %leader = (links_cut_and_secondary_leads => 1);
my %options = map { ($_ => [ '--checkpoint', 300 ]) } qw(primary_unplugged_in_checkpoint secondary_unplugged_in_checkpoint);
my @cases = $ENV{COLO_CASES} ? split(/[ ,]+/, $ENV{COLO_CASES}) : sort keys %case;
foreach my $name (@cases)
{
	die "there is no case \"$name\": " . join(' ', sort keys %case) unless $case{$name};
	foreach my $run (1 .. $runs)
	{
		my $what = "$name, run $run";

		begin($what, $leader{$name} // 0, @{ $options{$name} // [] });
		diag($colo->{started}) if $ENV{COLO_VERBOSE};
		$case{$name}->($what);
		diag_logs() if $ENV{COLO_VERBOSE};
		$colo->down;
	}
}
done_testing();
